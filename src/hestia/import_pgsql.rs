// SPDX-License-Identifier: MIT
//! The import of PostgreSQL. The temporary account acts as the database's own user, so what it
//! makes is that user's; the client runs in its restricted mode, in which no text it is fed can
//! make it do anything but send statements. Databases change places by their names. A single
//! table is replaced within one transaction.

use super::database::{DatabaseServer, Tool};
use super::dump_text::{Content, Editor};
use super::dump_text_pgsql::named;
use super::import::{self, Counted, Import, Live, Purpose, Scratch, Servers};
use super::import_leftovers::marker;
use super::import_pgsql_attributes::{self, Attributes};
use super::import_pgsql_rights::Rights;
use super::inventory::DbKind;
use super::pgsql_extensions as extensions;
use super::{import_pgsql_keys, import_pgsql_table, import_rehearsal};
use crate::base::{Error, Kind, Monitor, Result, WhatIo};
use crate::tree::command::Input;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

/// Imports a dump; see [`super::import::run`].
pub(super) fn run(
    servers: &Servers<'_>,
    import: &Import<'_>,
    scratch: &Scratch,
    dump: &mut dyn Read,
    monitor: &dyn Monitor,
) -> Result<(Content, Option<Counted>)> {
    check_client(servers.hearing, scratch)?;
    let done = run_in(servers, import, scratch, dump, monitor);
    if let Err(error) = clean_up(servers.steady, import, scratch) {
        monitor.warn(error);
    }
    done
}

fn run_in(
    servers: &Servers<'_>,
    import: &Import<'_>,
    scratch: &Scratch,
    dump: &mut dyn Read,
    monitor: &dyn Monitor,
) -> Result<(Content, Option<Counted>)> {
    let (name, live) = (&scratch.name, &import.target.name);
    let server = servers.hearing;
    make_account(servers.steady, import, scratch)?;
    if let Some(table) = import.table {
        let content = import_pgsql_table::run(server, import, scratch, table, dump, monitor)?;
        return Ok((content, None));
    }
    let like = import.exists.then(|| Attributes::read(server, live)).transpose()?;
    make_database(servers.steady, import, scratch, like.as_ref())?;
    let head = extensions::head(dump)?;
    extensions::add(servers.steady, name, &extensions::named(&head))?;
    let mut dump = head.as_slice().chain(dump);
    let rights = match import.purpose {
        Purpose::Restore if import.exists => Rights::of_database(server, import.target, live)?,
        _ => Rights::default(),
    };
    let client = client(server, import, scratch, name)?;
    let again = |_: &Content| rights.again(&scratch.secret);
    let content = import::feed(Editor::new(DbKind::Pgsql, None), None, &mut dump, client, &again)?;
    if let Some(missing) = import::missing(server, name, &content)? {
        return Err(Error::new(Kind::Db, "import the dump").why(missing));
    }
    if import.purpose == Purpose::Rehearsal {
        let counted = import_rehearsal::count(server, name, &content)?;
        return Ok((content, Some(counted)));
    }
    if import.exists
        && let Some(lost) = rights.lost(&Rights::of_database(server, import.target, name)?)
    {
        monitor.warn(lost);
    }
    swap(servers.steady, import, scratch, like.as_ref(), monitor)?;
    Ok((content, None))
}

/// Clients know the restricted mode since August 2025; without it, a text that changes how the
/// client reads texts could end in commands that the client runs as root.
fn check_client(server: &DatabaseServer, scratch: &Scratch) -> Result<()> {
    let script = format!("\\restrict {0}\nSELECT 1;\n\\unrestrict {0}\n", scratch.secret);
    match server.ask("start psql", None, &script) {
        Err(error) if error.one_line().contains("\\restrict") => {
            Err(Error::new(Kind::Disabled, "restore a PostgreSQL database")
                .why("psql on this machine has no restricted mode, so a dump could give it orders")
                .hint("update postgresql-client (13.22, 14.19, 15.14, 16.10, 17.6 or later)"))
        }
        done => done.map(drop),
    }
}

fn make_account(server: &DatabaseServer, import: &Import<'_>, scratch: &Scratch) -> Result<()> {
    let Scratch { name, password, .. } = scratch;
    let (owner, hash) = (&import.target.user, &import.target.password_hash);
    let what = "make a temporary account";
    if import.purpose == Purpose::Rehearsal {
        let sql = import_rehearsal::pgsql_account(import, scratch);
        return server.ask(what, None, &sql).map(drop);
    }
    let count = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{owner}';\n");
    let mut sql = String::new();
    if server.ask_number(what, None, &count)? == 0 {
        let is_hash = hash.starts_with("md5") || hash.starts_with("SCRAM-SHA-256$");
        let password = if is_hash { format!(" PASSWORD '{hash}'") } else { String::new() };
        // As Hestia makes accounts; its way of deleting them takes both back.
        sql.push_str(&format!(
            "CREATE ROLE \"{owner}\" LOGIN{password};\n\
             GRANT CONNECT ON DATABASE template1 TO \"{owner}\";\n"
        ));
    }
    // Whose import it is: nobody but the administrator can say that of a role.
    let marker = marker(import);
    sql.push_str(&format!(
        "BEGIN;\nCREATE ROLE \"{name}\" LOGIN PASSWORD '{password}';\n\
         COMMENT ON ROLE \"{name}\" IS '{marker}';\n\
         GRANT \"{owner}\" TO \"{name}\";\nALTER ROLE \"{name}\" SET role = '{owner}';\n\
         COMMIT;\n"
    ));
    server.ask(what, None, &sql).map(drop)
}

fn make_database(
    server: &DatabaseServer,
    import: &Import<'_>,
    scratch: &Scratch,
    like: Option<&Attributes>,
) -> Result<()> {
    let (name, live) = (&scratch.name, &import.target.name);
    let owner = match import.purpose {
        Purpose::Restore => &import.target.user,
        Purpose::Rehearsal => name,
    };
    let what = "make a temporary database";
    let mut extensions = String::new();
    if import.exists {
        // Some extensions only the administrator may make.
        let query = "SELECT quote_ident(extname) FROM pg_extension e JOIN pg_namespace n \
                     ON n.oid = e.extnamespace WHERE n.nspname = 'public';\n";
        for extension in server.ask_text(what, Some(live), query)?.lines() {
            extensions.push_str(&format!(
                "CREATE EXTENSION IF NOT EXISTS {extension} WITH SCHEMA public;\n"
            ));
        }
    }
    let like = like.map_or("", |like| like.create.as_str());
    // Nobody else looks into it before it is what it shall be.
    let sql = format!(
        "CREATE DATABASE \"{name}\" OWNER \"{owner}\"{like};\n\
         REVOKE ALL ON DATABASE \"{name}\" FROM PUBLIC;\n"
    );
    server.ask(what, None, &sql)?;
    server.ask(what, Some(name), &extensions).map(drop)
}

/// A client that has begun the transaction of an import.
pub(super) fn client(
    server: &DatabaseServer,
    import: &Import<'_>,
    scratch: &Scratch,
    database: &str,
) -> Result<Input> {
    let account = server.logged_in_as(&scratch.name, &scratch.password);
    let arguments = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database];
    let what = "import the dump";
    let mut client = account.tool(Tool::Client, what.to_owned(), &arguments)?;
    import.options.apply(&mut client);
    let mut client = client.input()?;
    // The end comes from us once the dump is proven: an input that just stops, because we were
    // killed, undoes everything.
    writeln!(client, "\\restrict {}\nBEGIN;", scratch.secret).what_io(|| what)?;
    Ok(client)
}

/// Gives the imported database the name of the live one, which is kept until that is done.
fn swap(
    server: &DatabaseServer,
    import: &Import<'_>,
    scratch: &Scratch,
    like: Option<&Attributes>,
    monitor: &dyn Monitor,
) -> Result<()> {
    let Scratch { name, aside, .. } = scratch;
    let (live, owner) = (&import.target.name, &import.target.user);
    let what = "put the new database in the place of the old one";
    let step = |sql: String| server.ask(what, None, &sql);
    let grants = format!("GRANT ALL PRIVILEGES ON DATABASE \"{name}\" TO \"{owner}\";\n");
    step(grants)?;
    match like {
        Some(like) => like.give(server, name, monitor)?,
        None => step(import_pgsql_attributes::open(name)).map(drop)?,
    }
    if import.exists {
        let lock_out = format!(
            "ALTER DATABASE \"{live}\" ALLOW_CONNECTIONS false;\n\
             SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = '{live}';\nALTER DATABASE \"{live}\" RENAME TO \"{aside}\";\n"
        );
        if let Err(error) = step(lock_out) {
            let open = step(format!("ALTER DATABASE \"{live}\" ALLOW_CONNECTIONS true;\n"));
            return Err(not_as_before(error, open, live));
        }
    }
    // Whoever may connect to the new one could do so again and again before it has its name.
    let end = format!(
        "ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false; \
         SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = '{name}';\nALTER DATABASE \"{name}\" RENAME TO \"{live}\";\n"
    );
    if let Err(error) = step(end) {
        if !import.exists {
            return Err(error);
        }
        let back = step(format!(
            "ALTER DATABASE \"{aside}\" RENAME TO \"{live}\";\n\
             ALTER DATABASE \"{live}\" ALLOW_CONNECTIONS true;\n"
        ));
        return Err(not_as_before(error, back, aside));
    }
    let open = format!("ALTER DATABASE \"{live}\" ALLOW_CONNECTIONS true;\n");
    step(open).map_err(|error| {
        let why = format!("{live} is restored, but nobody can connect to it yet");
        error.hint(format!("{why}: ALTER DATABASE \"{live}\" ALLOW_CONNECTIONS true"))
    })?;
    if import.exists
        && let Err(error) = step(format!("DROP DATABASE \"{aside}\";\n"))
    {
        // The new one is in its place: that is done, whatever becomes of the old one.
        monitor.warn(error.hint(format!("the old database is still there, as {aside}")));
    }
    Ok(())
}

/// The error of a change that was to be undone, with where the old database is if it was not.
fn not_as_before(error: Error, undone: Result<Vec<u8>>, place: &str) -> Error {
    match undone {
        Ok(_) => error,
        Err(second) => error.hint(format!(
            "the database is not as it was: {}; it is called {place}",
            second.one_line()
        )),
    }
}

fn clean_up(server: &DatabaseServer, import: &Import<'_>, scratch: &Scratch) -> Result<()> {
    let (name, target) = (&scratch.name, import.target);
    let what = "remove the temporary account";
    if import.purpose == Purpose::Rehearsal {
        return import_rehearsal::remove(server, scratch);
    }
    let gone =
        server.ask(what, None, &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE);\n"));
    let query = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{name}';\n");
    if server.ask_number(what, None, &query)? > 0 {
        // A dump can make objects that are the account's own; with them it would stay for good,
        // with a password that the dump chose.
        server.ask(what, None, &format!("ALTER ROLE \"{name}\" NOLOGIN;\n"))?;
        let query =
            format!("SELECT count(*) FROM pg_database WHERE datname = '{}';\n", target.name);
        if server.ask_number(what, None, &query)? > 0 {
            let owner = &target.user;
            let sql = format!(
                "REASSIGN OWNED BY \"{name}\" TO \"{owner}\";\nDROP OWNED BY \"{name}\";\n"
            );
            server.ask(what, Some(&target.name), &sql)?;
        }
        server.ask(what, None, &format!("DROP ROLE \"{name}\";\n"))?;
    }
    gone.map(drop)
}

/// The roles that imports left, and whose they are.
pub(super) fn markers(server: &DatabaseServer) -> Result<Vec<(String, String)>> {
    let query = "SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname \
                 ~ '^ghostsnap[0-9a-f]{12}$' AND shobj_description(oid, 'pg_authid') IS NOT NULL;\n";
    let answer = server.ask_text("look for what killed restores left", None, query)?;
    let pairs = answer.lines().filter_map(|line| line.split_once('\t'));
    Ok(pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
}

/// Brings an import that was killed to an end. Databases change places in two steps: between
/// them, the old one is aside and none is in its place.
pub(super) fn finish(
    server: &DatabaseServer,
    import: &Import<'_>,
    scratch: &Scratch,
) -> Result<&'static str> {
    let (live, Scratch { name, aside, .. }) = (&import.target.name, scratch);
    let what = "bring a killed restore to an end";
    let has = |database: &str| {
        let query = format!("SELECT count(*) FROM pg_database WHERE datname = '{database}';\n");
        Ok::<bool, Error>(server.ask_number(what, None, &query)? > 0)
    };
    let open = format!("ALTER DATABASE \"{live}\" ALLOW_CONNECTIONS true;\n");
    let end = match (has(live)?, has(aside)?, has(name)?) {
        (true, false, _) => {
            server.ask(what, None, &open)?;
            "it is as it was before, or the restore was complete"
        }
        (false, false, _) => "it was not touched, and what was temporary is gone",
        (false, true, _) => {
            let back = format!("ALTER DATABASE \"{aside}\" RENAME TO \"{live}\";\n{open}");
            server.ask(what, None, &back)?;
            "it is as it was before"
        }
        (true, true, false) => {
            server.ask(what, None, &format!("{open}DROP DATABASE \"{aside}\";\n"))?;
            "the restore is complete now"
        }
        (true, true, true) => {
            return Err(Error::new(Kind::Db, "tell the old database from the new one")
                .why("somebody has made another one since")
                .hint(format!("the database as it was before is called {aside}")));
        }
    };
    clean_up(server, import, scratch).map(|()| end)
}

/// A name within SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The other tables that have a foreign key to this one, and whether it can come back alone.
pub(super) fn ties(
    server: &DatabaseServer,
    database: &str,
    given: &str,
) -> Result<(BTreeSet<String>, Option<Error>)> {
    let readings = import_pgsql_table::readings(given)?;
    let tree = import_pgsql_table::tree(server, database, &readings)?;
    let mut others = BTreeSet::new();
    for table in &readings {
        others.extend(import_pgsql_keys::referring(server, database, table)?);
    }
    Ok((others, tree.map(|table| import_pgsql_table::part_of_a_tree(&table))))
}

/// What a live database has.
pub(super) fn live(server: &DatabaseServer, database: &str) -> Result<Live> {
    let what = format!("look into the database {database}");
    let own = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";
    let query = format!(
        "SELECT c.relkind, quote_ident(n.nspname) || '.' || quote_ident(c.relname) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm') AND {own};\n\
         SELECT 'R', count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE {own} AND NOT EXISTS (SELECT FROM pg_depend d WHERE \
         d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e');\n\
         SELECT 'T', count(*) FROM pg_trigger WHERE NOT tgisinternal;\n"
    );
    let mut found = Live::default();
    for line in server.ask_text(&what, Some(database), &query)?.lines() {
        let Some((kind, rest)) = line.split_once('\t') else { continue };
        match kind {
            "r" | "p" => drop(found.tables.insert(rest.to_owned())),
            "v" | "m" => drop(found.views.insert(rest.to_owned())),
            "R" => found.routines = rest.parse().unwrap_or(0),
            "T" => found.triggers = rest.parse().unwrap_or(0),
            _ => {}
        }
    }
    Ok(found)
}

/// How many rows the server thinks the tables have; it does not know of all.
pub(super) fn estimates(server: &DatabaseServer, database: &str) -> Result<BTreeMap<String, u64>> {
    let query = "SELECT c.reltuples::bigint, quote_ident(n.nspname) || '.' || \
                 quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n \
                 ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') \
                 AND c.reltuples >= 0;\n";
    let what = "look how large the tables are";
    Ok(import::estimated(&server.ask_text(what, Some(database), query)?))
}

/// Counts the rows of tables.
pub(super) fn rows(server: &DatabaseServer, database: &str, tables: &[&String]) -> Result<String> {
    let mut sql = String::new();
    for table in tables {
        let (schema, table) = named(table).unwrap_or_default();
        let table = format!("{}.{}", quoted(&schema), quoted(&table));
        // Locked, it cannot be swapped any more for a view, whose functions would run with our
        // rights; and only if it is a table it is counted.
        let literal = table.replace('\'', "''");
        sql.push_str(&format!(
            "LOCK TABLE ONLY {table} IN ACCESS SHARE MODE;\n\
             SELECT format('SELECT ''c'' || count(*)::text FROM %s', '{literal}') FROM pg_class \
             WHERE oid = '{literal}'::regclass AND relkind IN ('r', 'p') \\gexec\n"
        ));
    }
    let sql = format!("BEGIN;\n{sql}COMMIT;\n");
    server.ask_text("look for rows in the tables", Some(database), &sql)
}
