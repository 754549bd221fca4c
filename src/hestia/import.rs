// SPDX-License-Identifier: MIT
//! Brings a dump into a database without trusting it. It goes into a temporary database first,
//! through an account that has rights on nothing else; what came of it is compared with what the
//! dump should have made; only then do the two change places, and until that is done the old one
//! can come back. A failure at any step leaves the old database as it was.
//!
//! The engine's own parts are in [`super::import_mysql`] and [`super::import_pgsql`].

use super::database::{DatabaseRow, DatabaseServer, RunOptions};
use super::dump_text::{Content, Editor};
use super::inventory::DbKind;
use super::{import_mysql, import_pgsql};
use crate::base::{Error, Kind, Monitor, Result, Within, World};
use crate::tree::command::Input;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// What is to be imported where.
pub struct Import<'i> {
    /// The database as it shall be: its name, user, engine and server.
    pub target: &'i DatabaseRow,
    /// Whether it is there already.
    pub exists: bool,
    /// The one table that is wanted (of PostgreSQL, `schema.table` or one of `public`).
    pub table: Option<&'i str>,
    /// How programs are run.
    pub options: RunOptions,
}

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What the dump made.
    pub content: Content,
}

/// Names that nobody else has, for the time of an import.
pub(super) struct Scratch {
    /// The temporary database, and the account that may do what it likes there.
    pub name: String,
    /// Where the old tables or the old database are kept until the end.
    pub aside: String,
    /// The account's password.
    pub password: String,
    /// A word that no text of a customer holds.
    pub secret: String,
}

impl Scratch {
    fn new(world: &World) -> Result<Self> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (first, second) = (world.random_32()?, world.random_32()?);
        let id = hex(first.get(..6).unwrap_or_default());
        Ok(Self {
            // No underscore: in a GRANT of MySQL it would stand for any letter.
            name: format!("ghostsnap{id}"),
            aside: format!("ghostsnapold{id}"),
            password: hex(&second),
            // MySQL's client takes 15 letters for a delimiter, at most.
            secret: first.iter().skip(6).take(15).map(|byte| letter(*byte)).collect(),
        })
    }
}

fn letter(byte: u8) -> char {
    char::from(
        b"abcdefghijklmnopqrstuvwxyz234567".get(usize::from(byte & 31)).copied().unwrap_or(b'a'),
    )
}

/// Imports a dump. Says in the error whether the old database is as it was; it always is, unless
/// the error says otherwise.
pub fn run(
    server: &DatabaseServer,
    import: &Import<'_>,
    dump: &mut dyn Read,
    world: &World,
    monitor: &dyn Monitor,
) -> Result<Imported> {
    let what = || match import.table {
        Some(table) => format!("restore the table {table} of {}", import.target.name),
        None => format!("restore the database {}", import.target.name),
    };
    if import.table.is_some() && !import.exists {
        return Err(
            Error::new(Kind::NotFound, what()).why("there is no such database to put a table into")
        );
    }
    let scratch = Scratch::new(world)?;
    let content = match server.kind {
        DbKind::Mysql => import_mysql::run(server, import, &scratch, dump, monitor),
        DbKind::Pgsql => import_pgsql::run(server, import, &scratch, dump, monitor),
    };
    Ok(Imported { content: content.within(what)? })
}

/// Feeds a dump to a client and holds it to its end.
pub(super) fn feed(
    kind: DbKind,
    only: Option<&str>,
    dump: &mut dyn Read,
    mut client: Input,
) -> Result<Content> {
    let content = Editor::new(kind, only).run(dump, &mut client)?;
    if !content.is_whole {
        // Dropping the client ends it before it may think that this was all.
        return Err(Error::new(Kind::Db, "read the dump")
            .why("its closing line is missing, so it is not whole"));
    }
    client.finish()?;
    if let Some(only) = only
        && content.tables.is_empty()
    {
        return Err(Error::new(Kind::NotFound, format!("find the table {only} in the dump"))
            .why("the dump has no such table"));
    }
    Ok(content)
}

/// What a live database has, as far as it can be compared with a dump.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Its tables.
    pub tables: BTreeSet<String>,
    /// Its views.
    pub views: BTreeSet<String>,
    /// Functions and procedures.
    pub routines: u64,
    /// Triggers.
    pub triggers: u64,
    /// Events.
    pub events: u64,
}

/// What a live database lacks of what its dump makes; `None` if it lacks nothing. Rows are not
/// counted: of a table that should have some, it is asked whether it has any.
pub fn missing(
    server: &DatabaseServer,
    database: &str,
    expected: &Content,
) -> Result<Option<String>> {
    let live = match server.kind {
        DbKind::Mysql => import_mysql::live(server, database)?,
        DbKind::Pgsql => import_pgsql::live(server, database)?,
    };
    let mut problems = Vec::new();
    let tables: Vec<&String> =
        expected.tables.keys().filter(|name| !live.tables.contains(*name)).collect();
    let total = expected.tables.len();
    if !tables.is_empty() {
        problems.push(format!(
            "it has {} of {total} tables: {} is missing",
            total - tables.len(),
            shown(&tables)
        ));
    }
    let views: Vec<&String> =
        expected.views.iter().filter(|name| !live.views.contains(*name)).collect();
    if !views.is_empty() {
        problems.push(format!(
            "it has {} of {} views: {} is missing",
            expected.views.len() - views.len(),
            expected.views.len(),
            shown(&views)
        ));
    }
    for (word, has, should) in [
        ("functions and procedures", live.routines, expected.routines),
        ("triggers", live.triggers, expected.triggers),
        ("events", live.events, expected.events),
    ] {
        if has < should {
            problems.push(format!("it has {has} of {should} {word}"));
        }
    }
    let filled: Vec<&String> = expected
        .tables
        .iter()
        .filter(|(name, has_rows)| **has_rows && live.tables.contains(*name))
        .map(|(name, _)| name)
        .collect();
    let empty: Vec<&String> = match server.kind {
        DbKind::Mysql => import_mysql::empty_of(server, database, &filled)?,
        DbKind::Pgsql => import_pgsql::empty_of(server, database, &filled)?,
    };
    if !empty.is_empty() {
        problems.push(format!(
            "{} of {} tables that should have rows have none: {}",
            empty.len(),
            filled.len(),
            shown(&empty)
        ));
    }
    Ok((!problems.is_empty()).then(|| problems.join("; ")))
}

/// The first few of many names.
fn shown(names: &[&String]) -> String {
    let some: Vec<String> =
        names.iter().take(3).map(|name| name.escape_debug().to_string()).collect();
    let more = names.len().saturating_sub(some.len());
    if more > 0 { format!("{} and {more} more", some.join(", ")) } else { some.join(", ") }
}

/// Which of `names` an answer of one line each, `1` or `0` for rows or none, calls empty.
pub(super) fn empty_by_answer<'n>(names: &[&'n String], answer: &str) -> Result<Vec<&'n String>> {
    let lines: Vec<&str> = answer.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.len() != names.len() {
        return Err(Error::new(Kind::Db, "look for rows in the tables")
            .why("the server answered another number of lines than it was asked"));
    }
    let answers: BTreeMap<&String, &str> = names.iter().copied().zip(lines).collect();
    Ok(answers
        .into_iter()
        .filter(|(_, one)| matches!(*one, "0" | "f"))
        .map(|(name, _)| name)
        .collect())
}
