// SPDX-License-Identifier: MIT
//! A database in a snapshot, and what giving it back will do: under which name it comes, to which
//! server, and whether Hestia has to be told of it. Nobody else's database and nobody else's
//! account is touched, whatever a row in a backup says.

use super::restore_database::{DatabaseJob, Order, Package};
use super::verify::{renamed_here, start_of};
use crate::base::{Error, Kind, RelPath, Result, WhatIo, Within, limits};
use crate::format::Snapshot;
use crate::format::tree::Node;
use crate::hestia::conf::{self, Row};
use crate::hestia::database::{DatabaseRow, DatabaseServer};
use crate::hestia::dump;
use crate::hestia::inventory::{self, DbKind};
use crate::hestia::layout::UserName;
use crate::hestia::mysql_maker::Maker;
use crate::ops::restore::{FileReader, find_node};
use crate::repo::Reader;
use std::io::Read;

/// A database in a snapshot.
pub(super) struct Stored {
    /// Hestia's row of it.
    pub row: Row,
    /// What that says.
    pub database: DatabaseRow,
    /// Its dump.
    pub dump: Node,
}

impl Stored {
    /// Finds it by the name it has there.
    pub fn find(reader: &Reader<'_>, snapshot: &Snapshot, name: &str) -> Result<Self> {
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
pub(super) struct Plan {
    /// The database as it shall be.
    pub target: DatabaseRow,
    /// The row that Hestia gets, if it has none yet.
    pub new_row: Option<Row>,
    /// Other databases of the same account: what it makes may look into those.
    pub siblings: Vec<String>,
    /// What of it will be otherwise than it was.
    pub changes: Vec<Error>,
}

impl Plan {
    /// Decides. Fails if the database, its account or the user's package do not allow it.
    pub fn make(job: &DatabaseJob<'_>, stored: &Stored, order: &Order<'_>) -> Result<Self> {
        let (hestia, user) = (&job.server.hestia, job.user);
        let own = conf::read_rows(&hestia.user_file(user, "db.conf"))?.rows;
        let kind = stored.database.kind;
        let name = match order.new_name {
            Some(name) => own_name(user, kind, name),
            None => here(job, kind, &stored.database.name),
        };
        let what = || format!("restore the database {}", name.escape_debug());
        let listed = own.iter().find(|row| row.get("DB") == Some(&name));
        let is_another = order.new_name.is_some() || user != job.from;
        if is_another && listed.is_some() {
            return Err(Error::new(Kind::Exists, what())
                .why("the user has a database of this name")
                .hint("choose another name for it"));
        }
        let siblings = |account: &DatabaseRow| siblings(&own, account);
        if let Some(row) = listed {
            let mut target = DatabaseRow::parse(row)?;
            refuse_foreign(job, &target, true)?;
            if target.kind != kind {
                return Err(Error::new(Kind::Exists, what())
                    .why("today's database of this name has another engine"));
            }
            know_hash(&mut target, stored);
            let siblings = siblings(&target);
            return Ok(Self { target, new_row: None, siblings, changes: Vec::new() });
        }
        if order.package == Package::Binds {
            check_package(job, own.len()).within(what)?;
        }
        let (row, is_listed, changes) = new_row(job, stored, &name, &own)?;
        let mut target = DatabaseRow::parse(&row)?;
        refuse_foreign(job, &target, is_listed)?;
        know_hash(&mut target, stored);
        let siblings = siblings(&target);
        Ok(Self { target, new_row: Some(row), siblings, changes })
    }

    /// Sees to the password of an account that has to be made: not every server takes every hash.
    pub fn fit_password(&mut self, job: &DatabaseJob<'_>, server: &DatabaseServer) -> Result<()> {
        let target = &mut self.target;
        let hash = &target.password_hash;
        let is_known = match target.kind {
            _ if hash.is_empty() => false,
            DbKind::Pgsql => true,
            DbKind::Mysql => Maker::of_server(server)?.is_none_or(|maker| maker.knows_hash(hash)),
        };
        if is_known {
            return Ok(());
        }
        let mut change = no_password(job.user, &target.user, &target.name);
        if !hash.is_empty() {
            change = change.why(
                "its hash is one of MySQL 8, by which MariaDB can tell no password, so nobody can \
                 log in as that account",
            );
            if let Some(row) = &mut self.new_row {
                target.password_hash = unknown_password(job)?;
                row.set("MD5", &target.password_hash)?;
            }
        }
        self.changes.push(change);
        Ok(())
    }
}

/// The row that Hestia gets, and whether it lists the account of it already.
fn new_row(
    job: &DatabaseJob<'_>,
    stored: &Stored,
    name: &str,
    own: &[Row],
) -> Result<(Row, bool, Vec<Error>)> {
    let kind = stored.database.kind;
    let account = here(job, kind, &stored.database.user);
    let mut row = stored.row.clone();
    row.set("DB", name)?;
    row.set("DBUSER", &account)?;
    row.set("SUSPENDED", "no")?;
    // Today's password counts, if the account is there: Hestia sets the one it reads.
    let same = own.iter().find(|row| {
        row.get("DBUSER") == Some(&account)
            && row.get("TYPE") == Some(kind.word())
            && row.get("HOST") == Some(&stored.database.host)
    });
    let mut changes = Vec::new();
    if let Some(live) = same {
        if live.text("MD5").is_empty() && kind == DbKind::Mysql {
            let other = live.text("DB");
            return Err(Error::new(Kind::Invalid, format!("make the database {name}"))
                .why(format!("Hestia does not know the password of {account}, and would remove it"))
                .hint(format!("v-change-database-password {} {other} sets one", job.user)));
        }
        row.set("MD5", live.text("MD5"))?;
    } else if stored.database.password_hash.is_empty() && kind == DbKind::Mysql {
        // With an empty one it would let everybody in.
        row.set("MD5", &unknown_password(job)?)?;
        changes.push(no_password(job.user, &account, name));
    }
    Ok((row, same.is_some(), changes))
}

/// What is said of an account that comes back without its password.
pub(super) fn no_password(user: &UserName, account: &str, database: &str) -> Error {
    Error::new(Kind::Partial, format!("give the account {account} its password back"))
        .why("the snapshot does not know it, so nobody can log in as that account")
        .hint(format!("v-change-database-password {user} {database} PASSWORD sets one"))
}

/// A hash as MySQL and MariaDB keep them, of a password that nobody knows.
fn unknown_password(job: &DatabaseJob<'_>) -> Result<String> {
    let random = job.server.world.random_32()?;
    let digits: Vec<String> = random.iter().take(20).map(|byte| format!("{byte:02X}")).collect();
    Ok(format!("*{}", digits.concat()))
}

/// Hestia does not always know the hash of a PostgreSQL password; the grants in a snapshot do.
fn know_hash(target: &mut DatabaseRow, stored: &Stored) {
    if target.kind == DbKind::Pgsql && target.password_hash.is_empty() {
        target.password_hash.clone_from(&stored.database.password_hash);
    }
}

/// The other databases of the same account.
fn siblings(own: &[Row], account: &DatabaseRow) -> Vec<String> {
    let rows = own.iter().filter_map(|row| DatabaseRow::parse(row).ok());
    let same = rows.filter(|row| {
        (row.kind, &row.user, &row.host) == (account.kind, &account.user, &account.host)
    });
    same.map(|row| row.name).filter(|name| *name != account.name).collect()
}

/// The name that something of the snapshot's user has for the user it is restored for.
fn here(job: &DatabaseJob<'_>, kind: DbKind, name: &str) -> String {
    renamed_here(kind, name, job.user, job.from)
}

/// Hestia's databases begin with the name of their user; PostgreSQL's are small letters.
fn own_name(user: &UserName, kind: DbKind, name: &str) -> String {
    let name = if kind == DbKind::Pgsql { name.to_lowercase() } else { name.to_owned() };
    let start = start_of(kind, user);
    if name.starts_with(&start) { name } else { start + &name }
}

fn refuse_foreign(job: &DatabaseJob<'_>, target: &DatabaseRow, is_listed: bool) -> Result<()> {
    let user = job.user;
    let others = inventory::rows_of_others(&job.server.hestia, user, "db.conf")?;
    // What two engines call the same are two things.
    let is_same = |row: &Row| row.get("TYPE") == Some(target.kind.word());
    let start = start_of(target.kind, user);
    for (key, value) in [("DB", &target.name), ("DBUSER", &target.user)] {
        let refuse = |why: String| {
            let what = format!("restore the database {} for {user}", target.name);
            Err(Error::new(Kind::Forbidden, what).why(why))
        };
        if let Some((owner, _)) =
            others.iter().find(|(_, row)| is_same(row) && row.get(key) == Some(value))
        {
            return refuse(format!("{key} {value} belongs to another user"))
                .map_err(|error| error.aside(format!("that user is {owner}")));
        }
        let is_own = value.starts_with(&start);
        if !is_own && !(is_listed && (key == "DBUSER" || is_named(job, value)?)) {
            return refuse(format!(
                "{key} {value} does not begin with {start}, so Hestia made it for nobody here"
            ));
        }
    }
    Ok(())
}

fn is_named(job: &DatabaseJob<'_>, name: &str) -> Result<bool> {
    let path = job.server.hestia.user_file(job.user, "db.conf");
    let own = conf::read_rows(&path)?.rows;
    Ok(own.iter().any(|row| row.get("DB") == Some(name)))
}

fn check_package(job: &DatabaseJob<'_>, has: usize) -> Result<()> {
    let user = job.user;
    let row = inventory::user(&job.server.hestia, user)?.row;
    let most = row.text("DATABASES");
    if most.parse::<usize>().is_ok_and(|most| has >= most) {
        return Err(Error::new(Kind::Limit, format!("add a database for {user}"))
            .why(format!("the user's package allows {most}")));
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
        assert_eq!(own_name(&user, DbKind::Pgsql, "Bob_copy"), "bob_copy");
        assert_eq!(own_name(&user, DbKind::Mysql, "bob_copy"), "Bob_bob_copy");
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
