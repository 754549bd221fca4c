// SPDX-License-Identifier: MIT
//! Brings a dump into a database without trusting it. It goes into a temporary database first,
//! through an account that has rights on nothing else; what came of it is compared with what the
//! dump should have made; only then do the two change places, and until that is done the old one
//! can come back. A failure at any step leaves the old database as it was.
//!
//! The engine's own parts are in `import_mysql.rs` and `import_pgsql.rs`.

use super::database::{DatabaseRow, DatabaseServer, RunOptions};
use super::dump_text::{Content, Editor};
use super::import_trace::{Failure, Trace};
use super::inventory::DbKind;
use super::{import_mysql, import_mysql_keys, import_pgsql};
use crate::base::error::WhatIo;
use crate::base::{Error, Kind, Monitor, Result, Within, World};
use crate::tree::command::Input;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

/// What is to be imported where.
pub struct Import<'i> {
    /// The database as it shall be: its name, user, engine and server.
    pub target: &'i DatabaseRow,
    /// Whether it is there already.
    pub exists: bool,
    /// The one table that is wanted (of PostgreSQL, one of `public`, or with its schema before it).
    pub table: Option<&'i str>,
    /// Databases of the same account on that server: what it makes may look into them, as the
    /// account itself may, and change nothing there.
    pub siblings: &'i [String],
    /// Whose import it is, as it says itself on the server: the Hestia user and the machine.
    pub whose: &'i str,
    /// How programs are run.
    pub options: RunOptions,
    /// What it is for.
    pub purpose: Purpose,
    /// Of a single table: what becomes of a restore after which rows would point at nothing.
    pub orphans: Orphans,
}

/// What a restore of a single table does about rows, its own or those of other tables, whose
/// foreign keys would then point at nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orphans {
    /// It says which and how many, and changes nothing.
    #[default]
    Refuse,
    /// It leaves them so and says it; the keys hold for what is written from then on.
    Leave,
}

/// What an import is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// The new database takes the old one's place.
    #[default]
    Restore,
    /// It ends with the comparison, and what was made for it goes; nothing that is there changes.
    Rehearsal,
}

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What the dump made.
    pub content: Content,
    /// Of a rehearsal: what was counted in the temporary database.
    pub counted: Option<Counted>,
}

/// What is in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Tables.
    pub tables: u64,
    /// Rows in all of them.
    pub rows: u64,
}

/// The server of an import, for steps of two kinds.
pub(super) struct Servers<'s> {
    /// For what must come to its end once it has begun.
    pub steady: &'s DatabaseServer,
    /// For what may be left as soon as somebody says stop.
    pub hearing: &'s DatabaseServer,
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
    /// Of MySQL: whether something live is not as it was.
    pub touched: Cell<bool>,
}

impl Scratch {
    pub(super) fn new(world: &World) -> Result<Self> {
        let hex = |bytes: &[u8]| {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            digits.concat()
        };
        let (first, second) = (world.random_32()?, world.random_32()?);
        let id = hex(first.get(..6).unwrap_or_default());
        Ok(Self {
            // No underscore: in a GRANT of MySQL it would stand for any letter.
            name: format!("ghostsnap{id}"),
            aside: format!("ghostsnapold{id}"),
            // A server may ask for letters of all kinds.
            password: format!("{}-Aa1", hex(&second)),
            // MySQL's client takes 15 letters for a delimiter, at most.
            secret: first.iter().skip(6).take(15).map(|byte| letter(*byte)).collect(),
            touched: Cell::new(false),
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
    attempt(server, import, dump, world, monitor).map_err(|failure| failure.error)
}

/// As [`run`], which says of a failure too whether anything live was changed.
pub fn attempt(
    server: &DatabaseServer,
    import: &Import<'_>,
    dump: &mut dyn Read,
    world: &World,
    monitor: &dyn Monitor,
) -> Result<Imported, Failure> {
    let what = || match import.table {
        _ if import.purpose == Purpose::Rehearsal => {
            format!("rehearse the restore of the database {}", import.target.name)
        }
        Some(table) => format!("restore the table {table} of {}", import.target.name),
        None => format!("restore the database {}", import.target.name),
    };
    if import.table.is_some() && !import.exists {
        return Err(Failure::early(
            Error::new(Kind::NotFound, what()).why("there is no such database to put a table into"),
        ));
    }
    let scratch = Scratch::new(world).map_err(Failure::early)?;
    let trace = Trace::take(server, import);
    // A stop ends the import at any time, but a statement that makes, moves or removes things goes
    // on in the server when its client is gone, and nobody would know what became of it.
    let servers = Servers { steady: server, hearing: &server.hearing(&import.options.stop) };
    let done = match server.kind {
        DbKind::Mysql => import_mysql::run(&servers, import, &scratch, dump, monitor),
        DbKind::Pgsql => import_pgsql::run(&servers, import, &scratch, dump, monitor),
    };
    match done.map_err(with_way_out).within(what) {
        Ok((content, counted)) => Ok(Imported { content, counted }),
        Err(error) => {
            let is_untouched = match server.kind {
                DbKind::Mysql => !scratch.touched.get(),
                DbKind::Pgsql => trace.is_same(server, import, &error),
            };
            Err(Failure { error, is_untouched })
        }
    }
}

/// An import has the rights of a customer. What needs more than those is told apart from what is
/// broken by the server's own words.
fn with_way_out(error: Error) -> Error {
    const WORDS: [&str; 4] = ["denied", "must be superuser", "SUPER privilege", "must be owner"];
    let text = error.one_line();
    if error.hint_text().is_some() || !WORDS.iter().any(|word| text.contains(word)) {
        return error;
    }
    if text.contains("log_bin_trust_function_creators") {
        return error.hint(
            "SET GLOBAL log_bin_trust_function_creators = 1 on the server allows it; or restore it \
             with --through tarball, by which Hestia imports the dump as the server's root",
        );
    }
    error.hint(
        "if you know who wrote the dump: ghostsnap hestia restore with --through tarball lets \
         Hestia import it as the server's root",
    )
}

/// Whether the server knows the account that a database belongs to.
pub fn has_account(server: &DatabaseServer, target: &DatabaseRow) -> Result<bool> {
    let account = &target.user;
    let query = match server.kind {
        DbKind::Mysql => format!("SELECT COUNT(*) FROM mysql.user WHERE User = '{account}';\n"),
        DbKind::Pgsql => format!("SELECT count(*) FROM pg_roles WHERE rolname = '{account}';\n"),
    };
    Ok(server.ask_number(&format!("look for the account {account}"), None, &query)? > 0)
}

/// Feeds a dump to a client and holds it to its end. PostgreSQL gets the statements of `end` before
/// all of it counts.
pub(super) fn feed(
    editor: Editor,
    only: Option<&str>,
    dump: &mut dyn Read,
    mut client: Input,
    end: &dyn Fn(&Content) -> String,
) -> Result<Content> {
    let kind = editor.kind();
    let content = editor.run(dump, &mut client)?;
    if !content.is_whole {
        // Dropping the client ends it before it may think that this was all.
        return Err(Error::new(Kind::Db, "read the dump")
            .why("its closing line is missing, so it is not whole"));
    }
    if let Some(only) = only
        && content.tables.is_empty()
    {
        return Err(Error::new(Kind::NotFound, format!("find the table {only} in the dump"))
            .why("the dump has no such table"));
    }
    if kind == DbKind::Pgsql {
        let end = format!("{}COMMIT;\n", end(&content));
        client.write_all(end.as_bytes()).what_io(|| "import the dump")?;
    }
    client.finish()?;
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

/// A table or view of a live database, and how many rows the server thinks it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Its name, as dumps have it.
    pub name: String,
    /// Rows; `None` where the server does not know.
    pub rows: Option<u64>,
    /// Whether it is a view.
    pub is_view: bool,
}

/// The tables and views of a live database, without a look at their rows.
pub fn estimates(server: &DatabaseServer, database: &str) -> Result<Vec<Estimate>> {
    let (live, rows) = match server.kind {
        DbKind::Mysql => {
            (import_mysql::live(server, database)?, import_mysql::estimates(server, database)?)
        }
        DbKind::Pgsql => {
            (import_pgsql::live(server, database)?, import_pgsql::estimates(server, database)?)
        }
    };
    let one = |name: &String, is_view: bool| Estimate {
        name: name.clone(),
        rows: rows.get(name).copied().filter(|_| !is_view),
        is_view,
    };
    let tables = live.tables.iter().map(|name| one(name, false));
    Ok(tables.chain(live.views.iter().map(|name| one(name, true))).collect())
}

/// The other tables of a live database that have foreign keys to a table of it, and what stands in
/// the way of its restore alone.
pub fn ties(
    server: &DatabaseServer,
    database: &str,
    table: &str,
) -> Result<(BTreeSet<String>, Option<Error>)> {
    match server.kind {
        DbKind::Mysql => {
            import_mysql_keys::referring(server, database, table).map(|others| (others, None))
        }
        DbKind::Pgsql => import_pgsql::ties(server, database, table),
    }
}

/// The error about a table of a dump of PostgreSQL that is not whole by itself.
pub fn not_whole(name: &str) -> Error {
    let name = super::dump_text_pgsql::named(name).unwrap_or_default();
    super::import_pgsql_table::part_of_a_tree(&name)
}

/// The name of a table without the quotes that SQL needs.
pub fn plain_name(kind: DbKind, name: &str) -> String {
    match kind {
        DbKind::Mysql => name.to_owned(),
        DbKind::Pgsql => super::dump_text_pgsql::unquoted_pair(name),
    }
}

/// Whether somebody who wants the table `given` means the one that a dump calls `name`.
pub fn is_meant(kind: DbKind, given: &str, name: &str) -> bool {
    match kind {
        DbKind::Mysql => given == name,
        DbKind::Pgsql => super::dump_text_pgsql::is_meant(given, name),
    }
}

/// What a live database lacks of what its dump makes; `None` if it lacks nothing. An import into
/// MySQL stops at the first error, so of rows it is enough to count those of the last table and
/// to ask of the others whether they have any; PostgreSQL's, as Hestia does it, goes on after
/// errors, so there all rows are counted.
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
    problems.extend(without("tables", expected.tables.keys(), &live.tables));
    problems.extend(without("views", expected.views.iter(), &live.views));
    for (word, has, should) in [
        ("functions and procedures", live.routines, expected.routines),
        ("triggers", live.triggers, expected.triggers),
        ("events", live.events, expected.events),
    ] {
        if has < should {
            problems.push(format!("it has {has} of {should} {word}"));
        }
    }
    problems.extend(missing_rows(server, database, expected, &live)?);
    Ok((!problems.is_empty()).then(|| problems.join("; ")))
}

/// Which of the expected names are not there.
fn without<'n>(
    word: &str,
    expected: impl Iterator<Item = &'n String>,
    live: &BTreeSet<String>,
) -> Option<String> {
    let expected: Vec<&String> = expected.collect();
    let lacking: Vec<&String> =
        expected.iter().copied().filter(|name| !live.contains(*name)).collect();
    let (has, should) = (expected.len() - lacking.len(), expected.len());
    let problem = || format!("it has {has} of {should} {word}, without {}", shown(&lacking));
    (!lacking.is_empty()).then(problem)
}

fn missing_rows(
    server: &DatabaseServer,
    database: &str,
    expected: &Content,
    live: &Live,
) -> Result<Vec<String>> {
    let is_filled = |(name, rows): &(&String, &u64)| **rows > 0 && live.tables.contains(*name);
    let filled = expected.tables.iter().filter(is_filled);
    let filled: Vec<&String> = filled.map(|(name, _)| name).collect();
    let answers = match server.kind {
        _ if filled.is_empty() => return Ok(Vec::new()),
        DbKind::Mysql => {
            let last = expected.last_filled.as_ref();
            import_mysql::rows(server, database, &filled, |table| Some(table) == last)?
        }
        DbKind::Pgsql => import_pgsql::rows(server, database, &filled)?,
    };
    let (mut empty, mut short) = (Vec::new(), Vec::new());
    for (name, found) in filled.iter().copied().zip(numbers(&answers, filled.len())?) {
        let should = expected.tables.get(name).copied().unwrap_or(0);
        match found {
            Rows::Counted(0) | Rows::Any(false) => empty.push(name),
            Rows::Counted(has) if has < should => {
                short.push(format!("{} has {has} of {should} rows", name.escape_debug()));
            }
            _ => {}
        }
    }
    short.truncate(NAMES_SHOWN);
    if !empty.is_empty() {
        let (count, all) = (empty.len(), filled.len());
        let names = shown(&empty);
        let problem = format!("{count} of {all} tables that should have rows have none: {names}");
        short.insert(0, problem);
    }
    Ok(short)
}

/// Names that a message tells.
const NAMES_SHOWN: usize = 3;

/// The first few of many names.
fn shown(names: &[&String]) -> String {
    let some: Vec<String> =
        names.iter().take(NAMES_SHOWN).map(|name| name.escape_debug().to_string()).collect();
    let more = names.len().saturating_sub(some.len());
    if more > 0 { format!("{} and {more} more", some.join(", ")) } else { some.join(", ") }
}

/// What a server says of the rows of a table.
pub(super) enum Rows {
    /// Whether it has any.
    Any(bool),
    /// How many it has.
    Counted(u64),
}

/// Reads lines of a name and how many rows are thought to be there.
pub(super) fn estimated(answer: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (rows, name) = line.split_once('\t')?;
        Some((name.to_owned(), rows.parse().ok()?))
    };
    answer.lines().filter_map(line).collect()
}

/// Reads lines of `e0`, `e1` (rows or none) and `c` with a number.
pub(super) fn numbers(answer: &str, lines: usize) -> Result<Vec<Rows>> {
    let one = |line: &str| match line.split_at_checked(1)? {
        ("e", rest) => Some(Rows::Any(rest == "1")),
        ("c", rest) => rest.parse().ok().map(Rows::Counted),
        _ => None,
    };
    let found: Option<Vec<Rows>> =
        answer.lines().map(str::trim).filter(|line| !line.is_empty()).map(one).collect();
    found.filter(|found| found.len() == lines).ok_or_else(|| {
        Error::new(Kind::Db, "look for rows in the tables")
            .why("the server's answer is not what it should be")
    })
}
