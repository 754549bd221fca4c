// SPDX-License-Identifier: MIT
//! Gives one database back, or one table of it, into its place or beside it, straight from the
//! repository and without Hestia's own restore: the dump is streamed into the server as it is
//! read, through an account that can harm nobody, and only what came whole takes the old one's
//! place (see [`crate::hestia::import`]).

use super::report::Gather;
use super::safety::{self, Intent, Safety};
use super::{News, Server, manage};
use crate::base::monitor::Stage;
use crate::base::{Error, FileId, Kind, Monitor, RelPath, Result, WhatIo, Within, limits, units};
use crate::format::Snapshot;
use crate::format::snapshot::Object;
use crate::format::tree::Node;
use crate::hestia::call::Call;
use crate::hestia::conf::{self, Row};
use crate::hestia::database::{DatabaseRow, DatabaseServer, RunOptions};
use crate::hestia::dump;
use crate::hestia::import::{self, Import};
use crate::hestia::inventory::{self, DbKind};
use crate::hestia::layout::UserName;
use crate::ops::restore::{FileReader, find_node};
use crate::repo::{IndexedRepository, Reader};
use std::io::Read;

/// Which database to restore, and whereto.
#[derive(Debug, Clone, Default)]
pub struct DatabaseRequest {
    /// Which snapshot: id, prefix, name or `latest`.
    pub snapshot: String,
    /// The database as the snapshot names it.
    pub database: String,
    /// One table of it; all of it without.
    pub table: Option<String>,
    /// Another name, beside the original.
    pub new_name: Option<String>,
    /// Take the snapshot of an earlier user of this name.
    pub force: bool,
    /// Notify the user in the panel.
    pub notify: bool,
    /// Do not save before what will be overwritten.
    pub no_safety: bool,
}

/// What came back.
#[derive(Debug)]
pub struct DatabaseReport {
    /// The user.
    pub user: UserName,
    /// The snapshot.
    pub snapshot: (FileId, Snapshot),
    /// The database as it is now called.
    pub name: String,
    /// Whether it was made anew.
    pub created: bool,
    /// Tables that came back.
    pub tables: u64,
    /// What takes it back.
    pub safety: Option<Safety>,
    /// What went wrong beside, one line each.
    pub warnings: Vec<String>,
}

/// Restores a database of a user. Fails with the old one as it was, unless the error says
/// otherwise.
pub fn restore_database(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &DatabaseRequest,
    monitor: &dyn Monitor,
) -> Result<DatabaseReport> {
    let gather = Gather::new(monitor);
    let _lock = server.lock(user, "a restore")?;
    let (id, snapshot) = manage::find(repository, user, &request.snapshot, monitor)?;
    let whole = request.new_name.as_deref().unwrap_or(&request.database);
    monitor.stage(Stage::Object(format!("database {whole} from {}", snapshot.name)));
    let done = check_user(server, user, &snapshot, request)
        .and_then(|()| run(server, repository, user, (&id, &snapshot), request, &gather));
    let thing = match &request.table {
        Some(table) => format!("the table {table} of {whole}"),
        None => format!("the database {whole}"),
    };
    let (asked_for, is_problem) = (request.notify, done.is_err());
    let (topic, text) = match &done {
        Ok(_) => ("Restore done", format!("Ghostsnap restored {thing} from {}.", snapshot.name)),
        Err(error) => {
            let why = error.one_line();
            ("Restore failed", format!("Ghostsnap did not restore {thing}: {why}"))
        }
    };
    server.tell(user, &News { topic, text, is_problem, asked_for }, monitor);
    let (name, created, tables, safety) = done?;
    let (user, warnings) = (user.clone(), gather.warnings());
    Ok(DatabaseReport { user, snapshot: (id, snapshot), name, created, tables, safety, warnings })
}

fn check_user(
    server: &Server,
    user: &UserName,
    snapshot: &Snapshot,
    request: &DatabaseRequest,
) -> Result<()> {
    let found = inventory::user(&server.hestia, user)
        .map_err(|error| error.hint(format!("v-ghostsnap-restore-user {user} makes the user")))?;
    if found.is_suspended() {
        return Err(Error::new(Kind::Suspended, format!("restore a database of {user}"))
            .why("the user is suspended")
            .hint(format!("v-unsuspend-user {user} lifts that")));
    }
    if request.force { Ok(()) } else { manage::check_same_person(server, user, snapshot) }
}

pub(super) fn run(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    (id, snapshot): (&FileId, &Snapshot),
    request: &DatabaseRequest,
    monitor: &dyn Monitor,
) -> Result<(String, bool, u64, Option<Safety>)> {
    let reader = Reader::new(repository);
    let stored = Stored::find(&reader, snapshot, &request.database)?;
    let plan = Plan::make(server, user, &stored, request)?;
    let database = DatabaseServer::find(&server.hestia, plan.target.kind, &plan.target.host)?;
    let is_there = exists(&database.hearing(&monitor.stop()), &plan.target.name)?;
    if is_there && plan.new_row.is_some() {
        let name = &plan.target.name;
        return Err(Error::new(Kind::Exists, format!("make the database {name}"))
            .why("the server has one of this name that Hestia does not list"));
    }
    let options = RunOptions { low_priority: server.settings.low_priority, stop: monitor.stop() };
    let object = Object { section: "DB".to_owned(), name: plan.target.name.clone() };
    let intent = Intent {
        command: "restore-database",
        restored: (*id, snapshot),
        objects: vec![object],
        table: request.table.clone(),
        place: None,
        exact: true,
    };
    let safety = safety::of_one(server, repository, user, &intent, request.no_safety, monitor)?;
    let table = request.table.as_deref();
    let import = Import { target: &plan.target, exists: is_there, table, options };
    let mut dump = FileReader::new(&reader, &stored.dump)?;
    let done = import::run(&database, &import, &mut dump, &server.world, monitor)?;
    if let Some(row) = &plan.new_row {
        list(server, user, row, &plan.target, monitor)
            .within(|| format!("list the restored database {}", plan.target.name))?;
    }
    let tables = units::bytes(done.content.tables.len());
    Ok((plan.target.name, !is_there, tables, safety))
}

/// A database in a snapshot.
struct Stored {
    row: Row,
    database: DatabaseRow,
    dump: Node,
}

impl Stored {
    fn find(reader: &Reader<'_>, snapshot: &Snapshot, name: &str) -> Result<Self> {
        let what = || format!("find the database {} in the snapshot", name.escape_debug());
        let folder = RelPath::root().join(b"db")?.join(name.as_bytes()).within(what)?;
        let missing = |error: Error| match error.kind() {
            Kind::NotFound => Error::new(Kind::NotFound, what())
                .why("the snapshot has no such database, or no dump of it")
                .hint("ghostsnap hestia show-backup names what is in it"),
            _ => error,
        };
        let row = find_node(reader, snapshot, &folder.join(b"hestia")?.join(b"db.conf")?);
        let row = first_row(reader, &row.map_err(missing)?, name).within(what)?;
        let mut database = DatabaseRow::parse(&row).within(what)?;
        let path = folder.join(dump::file_name(&database).as_bytes())?;
        let dump = find_node(reader, snapshot, &path).map_err(missing)?;
        if dump.meta.size == 0 {
            return Err(Error::new(Kind::Db, what()).why("its dump is empty"));
        }
        if database.kind == DbKind::Pgsql && database.password_hash.is_empty() {
            let path = folder.join(b"conf")?.join(dump::grants_name(&database).as_bytes())?;
            if let Ok(node) = find_node(reader, snapshot, &path) {
                database.password_hash = pgsql_hash(&small_file(reader, &node)?);
            }
        }
        Ok(Self { row, database, dump })
    }
}

fn small_file(reader: &Reader<'_>, node: &Node) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = FileReader::new(reader, node)?;
    let what = || "read what the snapshot says of the database";
    file.take(limits::HESTIA_FILE_BYTES_MAX).read_to_end(&mut text).what_io(what)?;
    Ok(text)
}

fn first_row(reader: &Reader<'_>, node: &Node, name: &str) -> Result<Row> {
    let rows = conf::parse_rows(&small_file(reader, node)?).rows;
    rows.into_iter().find(|row| row.get("DB") == Some(name)).ok_or_else(|| {
        Error::new(Kind::Parsing, "read its row").why("the snapshot has no row for it")
    })
}

/// The hash of the password in a file of grants; empty if there is none that PostgreSQL makes.
fn pgsql_hash(grants: &[u8]) -> String {
    let text = String::from_utf8_lossy(grants);
    let hash = text.split_once("rolpassword='").and_then(|(_, rest)| rest.split_once('\''));
    let hash = hash.map_or("", |(hash, _)| hash);
    let plain = |c: char| c.is_ascii_alphanumeric() || "+/=:$-".contains(c);
    let is_hash = hash.starts_with("md5") || hash.starts_with("SCRAM-SHA-256$");
    if is_hash && hash.chars().all(plain) { hash.to_owned() } else { String::new() }
}

/// What a restore will do.
struct Plan {
    target: DatabaseRow,
    /// The row that Hestia gets, if it has none yet.
    new_row: Option<Row>,
}

impl Plan {
    fn make(
        server: &Server,
        user: &UserName,
        stored: &Stored,
        request: &DatabaseRequest,
    ) -> Result<Self> {
        let hestia = &server.hestia;
        let own = conf::read_rows(&hestia.user_file(user, "db.conf"))?.rows;
        let name = match &request.new_name {
            Some(name) => own_name(user, stored.database.kind, name),
            None => stored.database.name.clone(),
        };
        let what = || format!("restore the database {}", name.escape_debug());
        let listed = own.iter().find(|row| row.get("DB") == Some(&name));
        if request.new_name.is_some() && listed.is_some() {
            return Err(Error::new(Kind::Exists, what())
                .why("the user has a database of this name")
                .hint("choose another name for --as"));
        }
        if let Some(row) = listed {
            let target = DatabaseRow::parse(row)?;
            refuse_foreign(server, user, &target, true)?;
            if target.kind != stored.database.kind {
                return Err(Error::new(Kind::Exists, what())
                    .why("today's database of this name has another engine"));
            }
            return Ok(Self { target, new_row: None });
        }
        check_package(server, user, own.len()).within(what)?;
        let mut row = stored.row.clone();
        row.set("DB", &name)?;
        row.set("SUSPENDED", "no")?;
        // Today's password counts, if the database's user is there: Hestia sets the one it reads.
        let same_user = own.iter().find(|row| {
            row.get("DBUSER") == Some(&stored.database.user)
                && row.get("TYPE") == Some(stored.database.kind.word())
        });
        if let Some(live) = same_user {
            row.set("MD5", live.text("MD5"))?;
            row.set("HOST", live.text("HOST"))?;
        }
        let mut target = DatabaseRow::parse(&row)?;
        refuse_foreign(server, user, &target, same_user.is_some())?;
        if target.kind == DbKind::Mysql && target.password_hash.is_empty() {
            return Err(Error::new(Kind::Invalid, what())
                .why("the hash of its user's password is not known, and without one it had none"));
        }
        if target.password_hash.is_empty() {
            target.password_hash.clone_from(&stored.database.password_hash);
        }
        Ok(Self { target, new_row: Some(row) })
    }
}

/// Hestia's databases begin with the name of their user; PostgreSQL's are small letters.
fn own_name(user: &UserName, kind: DbKind, name: &str) -> String {
    let start = format!("{user}_");
    let full = if name.starts_with(&start) { name.to_owned() } else { format!("{start}{name}") };
    if kind == DbKind::Pgsql { full.to_lowercase() } else { full }
}

/// Nobody else's database and nobody else's account is touched, whatever a row in a backup says.
fn refuse_foreign(
    server: &Server,
    user: &UserName,
    target: &DatabaseRow,
    is_listed: bool,
) -> Result<()> {
    let others = inventory::rows_of_others(&server.hestia, user, "db.conf")?;
    let start = format!("{user}_").to_lowercase();
    for (key, value) in [("DB", &target.name), ("DBUSER", &target.user)] {
        let refuse = |why: String| {
            let what = format!("restore the database {} for {user}", target.name);
            Err(Error::new(Kind::Forbidden, what).why(why))
        };
        if let Some((owner, _)) = others.iter().find(|(_, row)| row.get(key) == Some(value)) {
            return refuse(format!("{key} {value} belongs to user {owner}"));
        }
        let is_own = value.to_lowercase().starts_with(&start);
        if !is_own && !(is_listed && (key == "DBUSER" || is_named(server, user, value)?)) {
            return refuse(format!(
                "{key} {value} does not begin with {user}_, so Hestia made it for nobody here"
            ));
        }
    }
    Ok(())
}

fn is_named(server: &Server, user: &UserName, name: &str) -> Result<bool> {
    let own = conf::read_rows(&server.hestia.user_file(user, "db.conf"))?.rows;
    Ok(own.iter().any(|row| row.get("DB") == Some(name)))
}

fn check_package(server: &Server, user: &UserName, has: usize) -> Result<()> {
    let row = inventory::user(&server.hestia, user)?.row;
    let most = row.text("DATABASES");
    if most.parse::<usize>().is_ok_and(|most| has >= most) {
        return Err(Error::new(Kind::Limit, format!("add a database for {user}"))
            .why(format!("the user's package allows {most}")));
    }
    Ok(())
}

/// Whether the server has a database of this name.
fn exists(server: &DatabaseServer, name: &str) -> Result<bool> {
    let table = match server.kind {
        DbKind::Mysql => "information_schema.SCHEMATA WHERE SCHEMA_NAME",
        DbKind::Pgsql => "pg_database WHERE datname",
    };
    let query = format!("SELECT COUNT(*) FROM {table} = '{name}';\n");
    Ok(server.ask_number(&format!("look for the database {name}"), None, &query)? > 0)
}

/// Tells Hestia of a database that it does not list, and lets it make the database's user.
fn list(
    server: &Server,
    user: &UserName,
    row: &Row,
    target: &DatabaseRow,
    monitor: &dyn Monitor,
) -> Result<()> {
    let hestia = &server.hestia;
    let path = hestia.user_file(user, "db.conf");
    conf::append_row(&path, &row.to_line())?;
    let mut calls = Vec::new();
    // Of PostgreSQL, Hestia would take the password of the user away where it does not know it;
    // there the import has made what is needed.
    if target.kind == DbKind::Mysql {
        calls.push(Call::hestia(hestia, "v-rebuild-database", [user.as_str(), &target.name]));
    }
    calls.push(Call::hestia(hestia, "v-update-user-counters", [user.as_str()]));
    for call in calls {
        let outcome = server.caller.call(&call, monitor)?;
        outcome.check(format!("run {}", call.line()), &call)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_begins_with_the_user() {
        let user = UserName::parse("Bob").unwrap();
        assert_eq!(own_name(&user, DbKind::Mysql, "copy"), "Bob_copy");
        assert_eq!(own_name(&user, DbKind::Mysql, "Bob_copy"), "Bob_copy");
        assert_eq!(own_name(&user, DbKind::Pgsql, "Copy"), "bob_copy");
    }

    #[test]
    fn only_a_hash_that_postgresql_makes_is_taken() {
        let grants = |hash: &str| format!("UPDATE pg_authid SET rolpassword='{hash}' WHERE x\n");
        let scram = "SCRAM-SHA-256$4096:ab+/=$cd=:ef=";
        assert_eq!(pgsql_hash(grants(scram).as_bytes()), scram);
        for bad in ["", "rolpassword", "SCRAM-SHA-256$x\\", "md5; DROP"] {
            assert_eq!(pgsql_hash(grants(bad).as_bytes()), "", "{bad}");
        }
    }
}
