// SPDX-License-Identifier: MIT
//! A single table of PostgreSQL: what is meant by its name, whether it can come back alone, and its
//! change of places. Its rows come into a table of another name while everybody goes on with the
//! old one; only when the whole dump has been read is that dropped, and what is tied to it made
//! again: all within one transaction.

use super::database::DatabaseServer;
use super::dump_text::{Content, Editor};
use super::dump_text_pgsql::{self, Named, OneTable, Wanted, last_part, named};
use super::import::{Import, Orphans, Scratch};
use super::import_pgsql;
use super::import_pgsql_keys::{self, Keys, literal, unhex};
use super::import_pgsql_rights::Rights;
use crate::base::{Error, Kind, Monitor, Result, WhatIo, limits};
use crate::tree::command::Input;
use std::io::{self, Read, Write};

/// Imports a table; all is as before if that fails.
pub(super) fn run(
    server: &DatabaseServer,
    import: &Import<'_>,
    scratch: &Scratch,
    given: &str,
    dump: &mut dyn Read,
    monitor: &dyn Monitor,
) -> Result<Content> {
    let live = &import.target.name;
    let readings = readings(given)?;
    if let Some(table) = tree(server, live, &readings)? {
        return Err(part_of_a_tree(&table));
    }
    let wanted = Wanted { given: given.to_owned(), readings, interim: scratch.name.clone() };
    let mut client = import_pgsql::client(server, import, scratch, live)?;
    let (content, own) = Editor::of_table(wanted).run_table(dump, &mut client)?;
    if !content.is_whole {
        // Dropping the client ends it before it may think that this was all.
        return Err(Error::new(Kind::Db, "read the dump")
            .why("its closing line is missing, so it is not whole"));
    }
    let Some(table) = named(&own.token) else { return Err(missing(given, &own.near)) };
    if content.trees.contains(&own.token) {
        return Err(part_of_a_tree(&table));
    }
    let keys = Keys::find(server, live, &table)?;
    let rights = Rights::of_table(server, import.target, &table)?;
    let rows = content.tables.get(&own.token).copied().unwrap_or(0);
    let write = || -> io::Result<Input> {
        client.write_all(change(&own, &keys, rows, &scratch.secret).as_bytes())?;
        client.write_all(&own.later)?;
        let end = keys.end(&own, import.orphans, &scratch.secret);
        let only = rights.only(&own.token, &scratch.secret);
        let rights = rights.again(&scratch.secret);
        client.write_all(format!("{only}{end}{rights}COMMIT;\n").as_bytes())?;
        Ok(client)
    };
    let client = write().what_io(|| "import the dump");
    client.and_then(Input::finish).map_err(|error| in_words(&table, error))?;
    // The table is in its place: whatever cannot be looked at now does not undo that.
    let left = match import.orphans {
        Orphans::Leave => import_pgsql_keys::left(server, live, &table, &keys),
        Orphans::Refuse => Ok(None),
    };
    let now = Rights::of_table(server, import.target, &table);
    for told in [left, now.map(|now| rights.lost(&now))] {
        if let Some(told) = told.unwrap_or_else(Some) {
            monitor.warn(told);
        }
    }
    Ok(content)
}

/// The statements that put the filled table in the place of the old one.
fn change(own: &OneTable, keys: &Keys, rows: u64, secret: &str) -> String {
    let OneTable { token, interim, .. } = own;
    let (off, name, lock) = (keys.take_off(), last_part(token), limits::TABLE_LOCK_SECONDS);
    let text = |name: &str| format!("'{}'", name.replace('\'', "''"));
    let (plain, other) = (named(token).unwrap_or_default().1, last_part(interim));
    // Newer servers name constraints after the table they were made with.
    format!(
        "DO $gs{secret}$ DECLARE has bigint; BEGIN\n\
         SELECT pg_catalog.count(*) INTO has FROM ONLY {interim};\n\
         IF has OPERATOR(pg_catalog.<) {rows} THEN RAISE EXCEPTION \
         'the table got % of {rows} rows', has; END IF;\n\
         END $gs{secret}$;\n\
         SET LOCAL lock_timeout = '{lock}s';\n{off}DROP TABLE IF EXISTS {token};\n\
         ALTER TABLE {interim} RENAME TO {name};\n\
         DO $gs{secret}$ DECLARE one text; BEGIN\n\
         FOR one IN SELECT c.conname FROM pg_catalog.pg_constraint c WHERE \
         c.conrelid OPERATOR(pg_catalog.=) {}::pg_catalog.regclass AND \
         pg_catalog.starts_with(c.conname, {}) LOOP\n\
         EXECUTE pg_catalog.format('ALTER TABLE {} RENAME CONSTRAINT %I TO %I', one, \
         pg_catalog.replace(one, {}, {}));\n\
         END LOOP; END $gs{secret}$;\n",
        text(token),
        text(other),
        token.replace('%', "%%").replace('\'', "''"),
        text(other),
        text(&plain),
    )
}

/// What may be meant by the name of a table.
pub(super) fn readings(given: &str) -> Result<Vec<Named>> {
    if given.contains(['\n', '\0']) {
        return Err(Error::new(Kind::Invalid, "take the name of a table").why("it spans lines"));
    }
    Ok(dump_text_pgsql::readings(given))
}

fn missing(given: &str, near: &[String]) -> Error {
    let what = format!("find the table {} in the dump", given.escape_debug());
    let error = Error::new(Kind::NotFound, what).why("the dump has no such table");
    if near.is_empty() {
        return error;
    }
    error.hint(format!("it has {}", near.join(", ")))
}

/// A name without the schema that everybody has.
pub(super) fn shown(name: &str) -> &str {
    name.strip_prefix("public.").unwrap_or(name)
}

pub(super) fn shown_name((schema, name): &Named) -> String {
    shown(&format!("{schema}.{name}")).escape_debug().to_string()
}

const BESIDE: &str = "restore the whole database, or all of it beside this one (--as) and take the \
                      rows from there";

/// The error of the server in our words.
fn in_words(table: &Named, error: Error) -> Error {
    let text = error.one_line();
    if let Some((_, rest)) = text.split_once("these would point at nothing: ") {
        let rest = rest.split_once("; CONTEXT: ").map_or(rest, |(orphans, _)| orphans);
        let orphans = rest.lines().next().unwrap_or_default().to_owned();
        return super::import_mysql_keys::orphaned(&shown_name(table), &[orphans]);
    }
    let what = || format!("put the table {} in the place of the old one", shown_name(table));
    if let Some((_, rest)) = text.split_once(" because other objects depend on it") {
        // The server's hint would take those objects away.
        let which = rest.split_once("DETAIL: ").map_or("", |(_, which)| which);
        let which = which.split_once("HINT: ").map_or(which, |(which, _)| which);
        let which = which.trim().trim_end_matches(';');
        return Error::new(Kind::Forbidden, what())
            .why(format!("other objects depend on it: {which}; nothing was changed"))
            .hint(BESIDE);
    }
    if text.contains("row-level security policy") {
        return Error::new(Kind::Forbidden, what())
            .why(
                "a table with a foreign key to it, or one that it points to, has FORCE ROW LEVEL \
                 SECURITY, so its rows cannot be looked at; nothing was changed",
            )
            .hint(BESIDE);
    }
    error
}

/// What is wrong with a table that is not whole by itself.
pub(super) fn part_of_a_tree(table: &Named) -> Error {
    Error::new(Kind::Forbidden, format!("restore the table {} alone", shown_name(table)))
        .why(
            "it is partitioned, a partition, or one that other tables inherit from: what belongs \
             to it is in several tables",
        )
        .hint(BESIDE)
}

/// Which of these tables there is in a database and is not whole by itself.
pub(super) fn tree(
    server: &DatabaseServer,
    database: &str,
    tables: &[Named],
) -> Result<Option<Named>> {
    let hex = |text: &str| format!("encode(convert_to({text}, 'UTF8'), 'hex')");
    let one = |(schema, name): &Named| format!("({}, {})", literal(schema), literal(name));
    let list: Vec<String> = tables.iter().map(one).collect();
    let query = format!(
        "SELECT {}, {} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE (n.nspname, c.relname) IN ({}) AND (c.relkind = 'p' OR c.relispartition OR \
         EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)) LIMIT 1;\n",
        hex("n.nspname"),
        hex("c.relname"),
        list.join(", ")
    );
    let answer = server.ask_text("look what the table is", Some(database), &query)?;
    let line = answer.lines().next().and_then(|line| line.split_once('\t'));
    Ok(line.and_then(|(schema, name)| Some((unhex(schema)?, unhex(name)?))))
}
