// SPDX-License-Identifier: MIT
//! The import of MySQL and MariaDB. Tables change places by one RENAME, which happens wholly or
//! not at all. Views, triggers, routines and events cannot be renamed: they are made anew from
//! what the server itself says of the imported ones, each with the database's own user as its
//! definer, so that nobody gains another one's rights by a dump.

use super::database::{DatabaseServer, Tool};
use super::dump_text::{Content, Editor};
use super::import::{self, Counted, Import, Orphans, Purpose, Scratch, Servers};
use super::import_mysql_keys::{self, Keys};
pub(super) use super::import_mysql_look::{estimates, live, rows};
use super::inventory::DbKind;
use super::mysql_maker::{self, Maker, Way};
use super::{import_mysql_marker, import_mysql_turn, import_rehearsal};
use crate::base::{Error, Kind, Monitor, Result, limits};
use std::io::Read;

/// Imports a dump; see [`super::import::run`].
pub(super) fn run(
    servers: &Servers<'_>,
    import: &Import<'_>,
    scratch: &Scratch,
    dump: &mut dyn Read,
    monitor: &dyn Monitor,
) -> Result<(Content, Option<Counted>)> {
    let steady = &servers.steady.in_turn(&scratch.name);
    let servers = &Servers { steady, ..*servers };
    let done = run_in(servers, import, scratch, dump, monitor);
    if let Err(error) = clean_up(servers.steady, scratch, done.as_ref().err()) {
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
    let maker = prepare(servers.steady, import, scratch)?;
    let beginning = mysql_maker::beginning(dump)?;
    let way = Way::new(&beginning, maker);
    let mut dump = beginning.as_slice().chain(dump);
    let account = servers.hearing.logged_in_as(&scratch.name, &scratch.password);
    let arguments = [
        "--batch",
        // No word in the input is a command of the client but DELIMITER.
        "--binary-mode",
        // LOAD DATA LOCAL would read files of this machine as root.
        "--skip-local-infile",
        "--default-character-set=utf8mb4",
        "--max-allowed-packet=1G",
        "-D",
        &scratch.name,
    ];
    let mut client = account.tool(Tool::Client, "import the dump".to_owned(), &arguments)?;
    import.options.apply(&mut client);
    let editor = Editor::new(DbKind::Mysql, import.table).for_maker(way.to);
    let content =
        import::feed(editor, import.table, &mut dump, client.input()?, &|_| String::new())
            .map_err(|error| way.explain(error))?;
    if let Some(missing) = import::missing(servers.hearing, &scratch.name, &content)? {
        return Err(Error::new(Kind::Db, "import the dump").why(missing));
    }
    if import.purpose == Purpose::Rehearsal {
        let counted = import_rehearsal::count(servers.hearing, &scratch.name, &content)?;
        way.warn(&content, monitor);
        return Ok((content, Some(counted)));
    }
    let keys = Keys::take(servers, import, scratch)?;
    let orphans = keys.orphans_before(servers, import, scratch)?;
    refuse_orphans(import, &orphans, "nothing was changed")?;
    let server = servers.steady;
    let swap = Swap { server, import, scratch, keys };
    if import.exists {
        swap.run(monitor)?;
    } else {
        let made = make_live(server, import, scratch)?;
        swap.run(monitor).map_err(|error| take_back(server, (import, scratch), &made, error))?;
    }
    if let Some(table) = import.table.filter(|_| !orphans.is_empty()) {
        monitor.warn(import_mysql_keys::left(table, &orphans));
    }
    way.warn(&content, monitor);
    Ok((content, None))
}

/// Fails if rows would point at nothing, unless that was allowed.
fn refuse_orphans(import: &Import<'_>, orphans: &[String], end: &str) -> Result<()> {
    match import.table {
        Some(table) if !orphans.is_empty() && import.orphans == Orphans::Refuse => {
            Err(import_mysql_keys::orphaned_so(table, orphans, end))
        }
        _ => Ok(()),
    }
}

/// What had to be made before the tables could get their place.
struct Made {
    /// The account, as SQL names it.
    owner: String,
    /// It was not there before.
    is_new: bool,
}

/// Makes the database, and the account that it is for if that is gone: a server makes no view that
/// calls a function for somebody it does not know or who may not call it. The account has the
/// rights that Hestia gives it, and until then a password that nobody knows. Of a database that is
/// there, what its account may do is not ours to change.
fn make_live(server: &DatabaseServer, import: &Import<'_>, scratch: &Scratch) -> Result<Made> {
    let (live, user) = (&import.target.name, &import.target.user);
    let host = server.account_host();
    let known =
        format!("SELECT COUNT(*) FROM mysql.user WHERE User = '{user}' AND Host = '{host}';\n");
    let is_new = server.ask_number("look for the account of the database", None, &known)? == 0;
    let made = Made { owner: format!("`{user}`@`{host}`"), is_new };
    let database = format!("CREATE DATABASE `{live}`{};\n", charset(import));
    server.ask("make the database", None, &database)?;
    let mut account = format!("GRANT ALL ON `{live}`.* TO {};\n", made.owner);
    if is_new {
        let create = format!("CREATE USER {} IDENTIFIED BY '{}';\n", made.owner, scratch.password);
        account.insert_str(0, &create);
    }
    match server.ask("make the account of the database", None, &account) {
        Ok(_) => Ok(made),
        Err(error) => Err(take_back(server, (import, scratch), &made, error)),
    }
}

/// Removes what [`make_live`] made, because of an error; says with it if that fails too.
fn take_back(
    server: &DatabaseServer,
    (import, scratch): (&Import<'_>, &Scratch),
    made: &Made,
    error: Error,
) -> Error {
    match remove_live(server, &import.target.name, made) {
        Ok(()) => error,
        Err(second) => {
            scratch.touched.set(true);
            error.hint(format!("what was made for it stays: {}", second.one_line()))
        }
    }
}

fn remove_live(server: &DatabaseServer, live: &str, made: &Made) -> Result<()> {
    let Made { owner, is_new } = made;
    let database = format!("DROP DATABASE `{live}`;\n");
    server.ask("remove the database that was to be made", None, &database)?;
    let account = if *is_new {
        format!("DROP USER IF EXISTS {owner};\n")
    } else {
        // Rights that are not there cannot be taken away without an error.
        let rights = format!("ALL PRIVILEGES ON `{live}`.*");
        format!("GRANT {rights} TO {owner};\nREVOKE {rights} FROM {owner};\n")
    };
    server.ask("remove what its account might do", None, &account).map(drop)
}

/// Makes what the import needs. Says whose server it is.
fn prepare(
    server: &DatabaseServer,
    import: &Import<'_>,
    scratch: &Scratch,
) -> Result<Option<Maker>> {
    let Scratch { name, password, aside, .. } = scratch;
    let charset = charset(import);
    let host = server.account_host();
    let mut sql = format!("CREATE DATABASE `{aside}`{charset};\n");
    sql.push_str(&import_mysql_marker::begin(import, scratch));
    sql.push_str(&format!(
        "CREATE DATABASE `{name}`{charset};\n\
         CREATE USER `{name}`@`{host}` IDENTIFIED BY '{password}';\n\
         GRANT ALL ON `{name}`.* TO `{name}`@`{host}`;\n"
    ));
    // A view of the dump names the tables of its own database too, if it looks into others.
    let own = import.exists.then_some(&import.target.name);
    for sibling in import.siblings.iter().chain(own) {
        // In a GRANT, an underscore would stand for any letter.
        let sibling = sibling.replace('_', "\\_");
        sql.push_str(&format!("GRANT SELECT, SHOW VIEW ON `{sibling}`.* TO `{name}`@`{host}`;\n"));
    }
    sql.push_str("SELECT VERSION();\n");
    let version = server.ask_text("make a temporary database", None, &sql)?;
    Ok(Maker::of_version(&version))
}

/// As Hestia makes databases.
fn charset(import: &Import<'_>) -> String {
    match import.target.charset.as_str() {
        "" => String::new(),
        charset => format!(" CHARACTER SET {charset}"),
    }
}

/// Removes what an import leaves. The old tables are only removed if they are not needed.
pub(super) fn clean_up(
    server: &DatabaseServer,
    scratch: &Scratch,
    failed: Option<&Error>,
) -> Result<()> {
    let Scratch { name, aside, .. } = scratch;
    let what = "remove the temporary database";
    let host = server.account_host();
    // The account first: it must be gone even if something still holds the database, such as an
    // event of the dump, which may even hold the lock of our steps.
    let out_of_turn = server.out_of_turn();
    out_of_turn.ask(what, None, &format!("DROP USER IF EXISTS `{name}`@`{host}`;\n"))?;
    import_mysql_turn::end_sessions(&out_of_turn, name)?;
    let seconds = limits::TABLE_LOCK_SECONDS;
    let wait = format!("SET lock_wait_timeout = {seconds};\n");
    server.ask(what, None, &format!("{wait}DROP DATABASE IF EXISTS `{name}`;\n"))?;
    if failed.is_some() && scratch.touched.get() {
        // Without the note nobody could.
        return Err(Error::new(Kind::Db, what).why(format!(
            "what was taken off the database is noted in {aside}, and the user's next backup or \
             restore makes it again"
        )));
    }
    let count = format!(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{aside}' AND \
         TABLE_NAME <> '{name}';\n"
    );
    if failed.is_some() && server.ask_number(what, None, &count)? > 0 {
        return Err(Error::new(Kind::Db, what)
            .why(format!("the tables as they were before are in the database {aside}")));
    }
    let sql = format!("SET foreign_key_checks = 0;\nDROP DATABASE IF EXISTS `{aside}`;\n");
    server.ask(what, None, &sql).map(drop)
}

/// A definition that cannot be renamed.
pub(super) struct Definition {
    /// `VIEW`, `TRIGGER`, `FUNCTION`, `PROCEDURE`, `PACKAGE`, `PACKAGE BODY` or `EVENT`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Settings that it was made under.
    pub settings: String,
    /// The statement that makes it.
    pub create: Vec<u8>,
}

impl Definition {
    fn has_ansi_quotes(&self) -> bool {
        let mode = self.settings.lines().find_map(|line| line.strip_prefix("SET sql_mode = "));
        mode.is_some_and(|mode| mode.contains("ANSI_QUOTES"))
    }
}

/// The change of places.
pub(super) struct Swap<'s> {
    pub server: &'s DatabaseServer,
    pub import: &'s Import<'s>,
    pub scratch: &'s Scratch,
    /// The foreign keys of a single table.
    pub keys: Keys,
}

impl Swap<'_> {
    fn run(&self, monitor: &dyn Monitor) -> Result<()> {
        let live = &self.import.target.name;
        let mut new = self.definitions(&self.scratch.name)?;
        let old = self.definitions(live)?;
        self.give_to_owner(&mut new)?;
        let moved = self.tables(&self.scratch.name)?;
        let kept = self.tables(live)?;
        if let Some(table) = self.import.table
            && kept.iter().chain(&moved).any(|other| other != table)
        {
            return Err(Error::new(Kind::Internal, format!("replace {} alone", shown(table))));
        }
        import_mysql_turn::wait_for(self.server, live, kept.iter().chain(self.keys.children()))?;
        let (old_keys, new_keys) = self.keys.noted();
        let noted = ((old.iter().chain(&old_keys)), (new.iter().chain(&new_keys)));
        import_mysql_marker::note(self, noted, (&kept, &moved))?;
        self.scratch.touched.set(true);
        let done = self.change(&new, &old, &moved, &kept);
        let Err(error) = done else { return Ok(()) };
        match self.change_back(&old, &kept, &moved) {
            Ok(()) => {
                self.scratch.touched.set(false);
                if !kept.is_empty() {
                    self.keys.warn_after_return(self.server, self.import, self.scratch, monitor);
                }
                Err(error)
            }
            Err(second) => Err(error.hint(format!(
                "the database is not as it was: {}; its tables are in {}",
                second.one_line(),
                self.scratch.aside
            ))),
        }
    }

    /// The tables of a database that the import is about.
    pub fn tables(&self, database: &str) -> Result<Vec<String>> {
        let query = format!(
            "SELECT HEX(TABLE_NAME) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = '{database}' AND TABLE_TYPE NOT LIKE '%VIEW';\n"
        );
        let answer = self.server.ask_text("list the tables", None, &query)?;
        let tables = answer.lines().map(unhex);
        // What the import notes beside the old tables is none of them. The server would take `shop`
        // and `Shop` for the same.
        let is_meant = |table: &String| {
            *table != self.scratch.name && self.import.table.is_none_or(|only| only == table)
        };
        tables.filter(|table| table.as_ref().map_or(true, is_meant)).collect()
    }

    /// Everything in a database that cannot be renamed; of a single table, its triggers.
    pub fn definitions(&self, database: &str) -> Result<Vec<Definition>> {
        let what = format!("read the definitions in {database}");
        let schema = "information_schema";
        let query = if let Some(table) = self.import.table {
            format!(
                "SELECT 'TRIGGER', HEX(TRIGGER_NAME) FROM {schema}.TRIGGERS WHERE \
                 EVENT_OBJECT_SCHEMA = '{database}' AND BINARY EVENT_OBJECT_TABLE = BINARY {};\n",
                text(table)
            )
        } else {
            format!(
                "SELECT ROUTINE_TYPE, HEX(ROUTINE_NAME) FROM {schema}.ROUTINES WHERE \
                 ROUTINE_SCHEMA = '{database}' ORDER BY ROUTINE_TYPE, ROUTINE_NAME;\n\
                 SELECT 'VIEW', HEX(TABLE_NAME) FROM {schema}.VIEWS WHERE \
                 TABLE_SCHEMA = '{database}';\n\
                 SELECT 'TRIGGER', HEX(TRIGGER_NAME) FROM {schema}.TRIGGERS WHERE \
                 EVENT_OBJECT_SCHEMA = '{database}' ORDER BY ACTION_ORDER;\n\
                 SELECT 'EVENT', HEX(EVENT_NAME) FROM {schema}.EVENTS WHERE \
                 EVENT_SCHEMA = '{database}';\n"
            )
        };
        let mut found = Vec::new();
        let mut questions = String::from(
            "SET NAMES utf8mb4;\nSET sql_mode = '';\nSET character_set_results = binary;\n",
        );
        for line in self.server.ask_text(&what, None, &query)?.lines() {
            let (kind, name) = line.split_once('\t').ok_or_else(|| unexpected(&what))?;
            let name = unhex(name)?;
            questions.push_str(&format!("SHOW CREATE {kind} {};\n", quoted(&name)));
            found.push((kind.to_owned(), name));
        }
        let answer = self.server.ask(&what, Some(database), &questions)?;
        let rows: Vec<&[u8]> =
            answer.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()).collect();
        if rows.len() != found.len() {
            return Err(unexpected(&what));
        }
        let pairs = found.into_iter().zip(rows);
        pairs.map(|((kind, name), row)| definition(kind, name, row)).collect()
    }

    /// Makes the database's user the definer of what the temporary account made.
    fn give_to_owner(&self, definitions: &mut [Definition]) -> Result<()> {
        let owner = &self.import.target.user;
        let query = format!("SELECT Host FROM mysql.user WHERE User = '{owner}' ORDER BY Host;\n");
        let hosts = self.server.ask_text("find the database's user", None, &query)?;
        let host = match hosts.lines().find(|host| *host == "localhost").or(hosts.lines().next()) {
            Some(host) if host.bytes().all(|c| c.is_ascii_graphic() && c != b'`') => host,
            // The user comes with the row, a moment later; Hestia makes it for both hosts.
            _ => "localhost",
        };
        let from = |quote: char| {
            let (name, host) = (&self.scratch.name, self.server.account_host());
            format!("DEFINER={quote}{name}{quote}@{quote}{host}{quote}")
        };
        let to = format!("DEFINER=`{owner}`@`{host}`");
        for one in definitions {
            // What was made in the mode ANSI_QUOTES is told in it.
            let from = if one.has_ansi_quotes() { from('"') } else { from('`') };
            let place = one.create.windows(from.len()).position(|part| part == from.as_bytes());
            // It stands before the name, so before anything a customer wrote.
            let place = place.filter(|at| *at < 100).ok_or_else(|| {
                Error::new(Kind::Db, format!("take over the {} {}", one.kind, shown(&one.name)))
                    .why("its definer is not the account that imported it")
            })?;
            one.create.splice(place..place + from.len(), to.bytes());
        }
        Ok(())
    }

    fn change(
        &self,
        new: &[Definition],
        old: &[Definition],
        moved: &[String],
        kept: &[String],
    ) -> Result<()> {
        let (live, temporary) = (&self.import.target.name, &self.scratch.name);
        let what = "put the new tables in the place of the old ones";
        let step = limits::TABLE_STEP_SECONDS;
        self.drop_all(live, old, step)?;
        let triggers: Vec<&Definition> = new.iter().filter(|one| one.kind == "TRIGGER").collect();
        self.drop_all(temporary, triggers, step)?;
        let mut renames = moves(live, &self.scratch.aside, kept);
        renames.extend(moves(temporary, live, moved));
        self.keys.take_off_incoming(self.server, live)?;
        self.rename(what, &renames, step)?;
        self.keys.make(self.server, live)?;
        self.make_all(new)?;
        // Customers go on meanwhile; from here on the keys hold.
        let orphans = self.keys.orphans_after(self.server, self.import, self.scratch)?;
        refuse_orphans(self.import, &orphans, "the table is as it was before")
    }

    fn change_back(&self, old: &[Definition], kept: &[String], moved: &[String]) -> Result<()> {
        let (live, aside) = (&self.import.target.name, &self.scratch.aside);
        let what = "put the old tables back";
        let is_here = |tables: &[String]| tables.iter().any(|table| moved.contains(table));
        let is_moved = !self.tables(aside)?.is_empty()
            || (kept.is_empty() && (moved.is_empty() || is_here(&self.tables(live)?)));
        if !is_moved {
            // Nothing new is in its place. To take off what is left, and blocked, would fail again.
            let (keys, _) = self.keys.noted();
            return self.make_missing(old.iter().chain(&keys));
        }
        let (now, long) = (self.definitions(live)?, limits::TABLE_LOCK_SECONDS);
        self.drop_all(live, &now, long)?;
        self.keys.take_off_present(self.server, live)?;
        let is_aside = self.tables(aside)?;
        if !is_aside.is_empty() || kept.is_empty() {
            let mut renames = moves(live, &self.scratch.name, &self.tables(live)?);
            renames.extend(moves(aside, live, &is_aside));
            self.rename(what, &renames, long)?;
        }
        self.keys.make_incoming(self.server, live)?;
        self.make_all(old)
    }

    fn rename(&self, what: &str, renames: &[String], seconds: u64) -> Result<()> {
        if renames.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SET NAMES utf8mb4;\nSET lock_wait_timeout = {seconds};\nRENAME TABLE {};\n",
            renames.join(", ")
        );
        self.server.ask(what, None, &sql).map(drop)
    }

    fn drop_all<'d>(
        &self,
        database: &str,
        definitions: impl IntoIterator<Item = &'d Definition>,
        seconds: u64,
    ) -> Result<()> {
        let mut sql = format!("SET NAMES utf8mb4;\nSET lock_wait_timeout = {seconds};\n");
        for one in definitions {
            sql.push_str(&format!("DROP {} IF EXISTS {};\n", one.kind, quoted(&one.name)));
        }
        self.server.ask("remove the old definitions", Some(database), &sql).map(drop)
    }

    /// Makes definitions in the live database. Views may need each other, in any order: what does
    /// not work at first is tried again as long as others did.
    /// What cannot be made stops no other; the first failure is the answer.
    pub fn make_all<'d>(
        &self,
        definitions: impl IntoIterator<Item = &'d Definition>,
    ) -> Result<()> {
        let mut waiting: Vec<&Definition> = definitions.into_iter().collect();
        let mut failed = None;
        while !waiting.is_empty() {
            let (mut left, mut first) = (Vec::new(), None);
            for one in &waiting {
                match self.make(one) {
                    Ok(()) => {}
                    Err(error) if one.kind == "VIEW" => {
                        left.push(*one);
                        first = first.or(Some(error));
                    }
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if left.len() == waiting.len() {
                failed = failed.or(first);
                break;
            }
            waiting = left;
        }
        failed.map_or(Ok(()), Err)
    }

    fn make(&self, one: &Definition) -> Result<()> {
        let what = format!("make the {} {}", one.kind.to_lowercase(), shown(&one.name));
        // The text ends where a word stands that its author cannot know.
        let end = &self.scratch.secret;
        let wait = limits::TABLE_LOCK_SECONDS;
        let settings = format!("SET lock_wait_timeout = {wait};\n{}", one.settings);
        let mut sql = format!("{settings}\nDELIMITER {end}\n").into_bytes();
        sql.extend_from_slice(&one.create);
        sql.extend_from_slice(format!("\n{end}\n").as_bytes());
        self.server.ask_bytes(&what, Some(&self.import.target.name), &sql).map(drop)
    }
}

fn moves(from: &str, to: &str, tables: &[String]) -> Vec<String> {
    let one = |table: &String| {
        let table = quoted(table);
        format!("`{from}`.{table} TO `{to}`.{table}")
    };
    tables.iter().map(one).collect()
}

/// Reads a row of SHOW CREATE.
fn definition(kind: String, name: String, row: &[u8]) -> Result<Definition> {
    let columns: Vec<Vec<u8>> = row.split(|byte| *byte == b'\t').map(unescaped).collect();
    let what = || format!("read the definition of {}", shown(&name));
    let column = |at: usize| {
        let text = columns.get(at).map(|text| String::from_utf8_lossy(text).into_owned());
        let plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ',' | ':' | '+' | '-' | '/');
        match text {
            Some(text) if text.chars().all(plain) => Ok(text),
            _ => Err(unexpected(&what())),
        }
    };
    let (create, mode, zone, charset) = match kind.as_str() {
        "VIEW" => (1, None, None, 2),
        "EVENT" => (3, Some(1), Some(2), 4),
        _ => (2, Some(1), None, 3),
    };
    let mut settings = format!(
        "SET character_set_client = {};\nSET collation_connection = {};\n",
        column(charset)?,
        column(charset + 1)?
    );
    let mode = mode.map_or(Ok(String::new()), column)?;
    settings.push_str(&format!("SET sql_mode = '{mode}';\n"));
    if let Some(zone) = zone {
        settings.push_str(&format!("SET time_zone = '{}';\n", column(zone)?));
    }
    let create = columns.get(create).filter(|text| text.starts_with(b"CREATE ")).cloned();
    let create = create.ok_or_else(|| unexpected(&what()))?;
    Ok(Definition { kind, name, settings, create })
}

/// Undoes what the client's batch mode does to a column.
fn unescaped(column: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(column.len());
    let mut bytes = column.iter();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.as_slice().first()) {
            (b'\\', Some(next)) => {
                plain.push(match next {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    other => *other,
                });
                bytes.next();
            }
            (byte, _) => plain.push(*byte),
        }
    }
    plain
}

pub(super) fn unexpected(what: &str) -> Error {
    Error::new(Kind::Db, what).why("the server's answer is not what it should be")
}

pub(super) fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

/// A name within SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text within SQL, in a form that no setting gives another meaning.
pub(super) fn text(text: &str) -> String {
    let hex: Vec<String> = text.bytes().map(|byte| format!("{byte:02X}")).collect();
    format!("CONVERT(X'{}' USING utf8mb4)", hex.concat())
}

pub(super) fn unhex(text: &str) -> Result<String> {
    let wrong = || unexpected("read a name");
    let digits = text.trim().as_bytes();
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    String::from_utf8(bytes.ok_or_else(wrong)?).map_err(|_| wrong())
}
