// SPDX-License-Identifier: MIT
//! Foreign keys of a single table of MySQL that takes its old place. A RENAME takes them along:
//! those of other tables would follow the old table to where it is kept, its own would go on
//! pointing into the temporary database. So both are taken off before the change of places and
//! made again after it, as they were, and rows that would point at nothing are counted before.
//!
//! Other databases are none of ours: a key that leads there, or comes from there, is refused.

use super::database::DatabaseServer;
use super::import::{Import, Orphans, Scratch, Servers};
use super::import_mysql::{Definition, quoted, shown, text, unexpected, unhex};
use crate::base::units::number_of;
use crate::base::{Error, Kind, Monitor, Result, limits};
use std::collections::{BTreeMap, BTreeSet};

/// How the marker of an import calls a key.
pub(super) const KIND: &str = "FOREIGN KEY";

/// A table may have been made when the server was less strict.
const SETTINGS: &str = "SET NAMES utf8mb4;\nSET sql_mode = '';\n";
/// What it takes to make foreign keys whether or not rows keep to them.
const UNCHECKED: &str = "SET NAMES utf8mb4;\nSET sql_mode = '';\nSET foreign_key_checks = 0;\n";

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ForeignKey {
    table: String,
    name: String,
    /// The database of the table that it points to.
    schema: String,
    parent: String,
    /// Its columns, each with the one that it points to.
    columns: Vec<(String, String)>,
    /// What becomes of its rows with those that they point to, as SQL has it.
    rules: String,
}

/// The foreign keys of the one table that an import is about.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Those that it has in the backup, to other tables.
    own: Vec<ForeignKey>,
    /// Those that it has to itself: they go where it goes.
    inner: Vec<ForeignKey>,
    /// Those of other tables to it, as they are today.
    incoming: Vec<ForeignKey>,
}

impl ForeignKey {
    /// The statement that makes it in the database where all its tables are.
    fn create(&self) -> String {
        self.between(&quoted(&self.table), &quoted(&self.parent))
    }

    fn between(&self, table: &str, parent: &str) -> String {
        let list = |names: Vec<&String>| {
            names.into_iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
        };
        format!(
            "ALTER TABLE {table} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {parent} ({}){}",
            quoted(&self.name),
            list(self.columns.iter().map(|(own, _)| own).collect()),
            list(self.columns.iter().map(|(_, other)| other).collect()),
            self.rules
        )
    }

    /// The question how many rows of `table` point to no row of `parent`; without one, all do.
    fn orphans(&self, table: &str, parent: Option<&str>) -> String {
        let each = |one: &dyn Fn(&(String, String)) -> String| {
            self.columns.iter().map(one).collect::<Vec<_>>().join(" AND ")
        };
        let set = each(&|(own, _)| format!("own.{} IS NOT NULL", quoted(own)));
        let rows = format!("SELECT COUNT(*) FROM {table} AS own WHERE {set}");
        let Some(parent) = parent else { return format!("{rows};\n") };
        let same = each(&|(own, other)| format!("other.{} = own.{}", quoted(other), quoted(own)));
        format!("{rows} AND NOT EXISTS (SELECT 1 FROM {parent} AS other WHERE {same});\n")
    }

    /// As an import notes it on the server.
    fn definition(&self) -> Definition {
        Definition {
            kind: KIND.to_owned(),
            name: format!("{}\0{}", self.table, self.name),
            settings: UNCHECKED.to_owned(),
            create: self.create().into_bytes(),
        }
    }
}

/// All foreign keys of the tables of a database.
fn of_database(server: &DatabaseServer, database: &str) -> Result<Vec<ForeignKey>> {
    let what = format!("look for foreign keys in {database}");
    let schema = "information_schema";
    let query = format!(
        "SELECT HEX(k.TABLE_NAME), HEX(k.CONSTRAINT_NAME), HEX(k.REFERENCED_TABLE_SCHEMA), \
         HEX(k.REFERENCED_TABLE_NAME), HEX(k.COLUMN_NAME), HEX(k.REFERENCED_COLUMN_NAME), \
         r.DELETE_RULE, r.UPDATE_RULE, (SELECT COUNT(*) FROM {schema}.TABLES WHERE \
         TABLE_SCHEMA = '{schema}' AND TABLE_NAME = 'INNODB_FOREIGN') FROM \
         {schema}.KEY_COLUMN_USAGE k JOIN {schema}.REFERENTIAL_CONSTRAINTS r \
         ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND \
         BINARY r.CONSTRAINT_NAME = BINARY k.CONSTRAINT_NAME AND \
         BINARY r.TABLE_NAME = BINARY k.TABLE_NAME \
         WHERE k.TABLE_SCHEMA = '{database}' AND k.CONSTRAINT_SCHEMA = '{database}' AND \
         r.CONSTRAINT_SCHEMA = '{database}' AND k.REFERENCED_TABLE_NAME IS NOT NULL \
         ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION;\n"
    );
    let mut found: BTreeMap<(String, String), ForeignKey> = BTreeMap::new();
    for line in server.ask_text(&what, None, &query)?.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [table, name, schema, parent, own, other, deleted, updated, is_new] = parts.as_slice()
        else {
            return Err(unexpected(&what));
        };
        // What a key has that says nothing of it: said all the same, it would be another one.
        let unsaid = if *is_new == "1" { "NO ACTION" } else { "RESTRICT" };
        let mut rules = String::new();
        for (event, rule) in [("DELETE", deleted), ("UPDATE", updated)] {
            match *rule {
                rule if rule == unsaid => {}
                "RESTRICT" | "CASCADE" | "SET NULL" | "NO ACTION" | "SET DEFAULT" => {
                    rules.push_str(&format!(" ON {event} {rule}"));
                }
                _ => return Err(unexpected(&what)),
            }
        }
        if found.len() > limits::HESTIA_OBJECTS_MAX {
            return Err(Error::new(Kind::Limit, what).why("there are too many"));
        }
        let (table, name) = (unhex(table)?, unhex(name)?);
        let key = found.entry((table.clone(), name.clone())).or_insert(ForeignKey {
            table,
            name,
            schema: unhex(schema)?,
            parent: unhex(parent)?,
            columns: Vec::new(),
            rules,
        });
        key.columns.push((unhex(own)?, unhex(other)?));
    }
    Ok(found.into_values().collect())
}

impl Keys {
    /// Finds the keys of the table, takes those off that cannot go with it from the temporary
    /// database, and proves that all of them can be made again. Changes nothing that is live.
    pub fn take(servers: &Servers<'_>, import: &Import<'_>, scratch: &Scratch) -> Result<Self> {
        let (live, temporary) = (&import.target.name, &scratch.name);
        let server = servers.hearing;
        let Some(table) = import.table else {
            refuse_elsewhere(server, live, None)?;
            return Ok(Self::default());
        };
        let mut keys = Self::default();
        let mine = |key: &ForeignKey| key.table == table;
        for key in of_database(server, temporary)?.into_iter().filter(mine) {
            if key.schema != *temporary && key.schema != *live {
                let why = format!("its foreign key {} leads to another database", shown(&key.name));
                return Err(refused(table, why));
            }
            let is_inner = key.parent == table && key.schema == *temporary;
            if is_inner { keys.inner.push(key) } else { keys.own.push(key) }
        }
        refuse_elsewhere(server, live, Some(table))?;
        let all = of_database(server, live)?;
        let leads_here =
            |key: &ForeignKey| key.table != table && key.parent == table && key.schema == *live;
        keys.incoming = all.into_iter().filter(leads_here).collect();
        if !keys.own.is_empty() {
            let own: Vec<&ForeignKey> = keys.own.iter().collect();
            take_off(servers.steady, temporary, &own, limits::TABLE_LOCK_SECONDS)?;
        }
        let has = tables(server, live)?;
        for key in keys.own.iter().filter(|key| !has.contains(&key.parent)) {
            if import.orphans == Orphans::Refuse {
                let (name, parent) = (shown(&key.name), shown(&key.parent));
                let why = format!("its foreign key {name} leads to {parent}, which is not there");
                return Err(refused(table, why)
                    .hint(format!("restore {parent} first; --leave-orphans does without")));
            }
        }
        keys.rehearse(servers.steady, import, scratch, &has)?;
        Ok(keys)
    }

    /// Makes every key once between empty tables of the same shape, where the server says what does
    /// not fit.
    fn rehearse(
        &self,
        server: &DatabaseServer,
        import: &Import<'_>,
        scratch: &Scratch,
        has: &BTreeSet<String>,
    ) -> Result<()> {
        let (live, temporary) = (&import.target.name, &scratch.name);
        let table = import.table.unwrap_or_default();
        let here = |name: &str| {
            let database = if name == table { temporary } else { live };
            format!("`{database}`.{}", quoted(name))
        };
        let (one, other) =
            (format!("`{temporary}`.`{temporary}1`"), format!("`{temporary}`.`{temporary}2`"));
        let is_there = |key: &&ForeignKey| key.table != table || has.contains(&key.parent);
        for key in self.outer().filter(is_there) {
            let sql = format!(
                "{SETTINGS}SET lock_wait_timeout = {};\n\
                 CREATE TABLE {one} LIKE {};\nCREATE TABLE {other} LIKE {};\n{};\n\
                 DROP TABLE {one}, {other};\n",
                limits::TABLE_LOCK_SECONDS,
                here(&key.table),
                here(&key.parent),
                key.between(&one, &other)
            );
            let name = format!("{} of {}", shown(&key.name), shown(&key.table));
            server.ask(&format!("make the foreign key {name} again"), None, &sql)?;
        }
        Ok(())
    }

    /// Those that are taken off and made again.
    fn outer(&self) -> impl Iterator<Item = &ForeignKey> {
        self.own.iter().chain(&self.incoming)
    }

    /// What rows would point at nothing, if the table in the temporary database were in its place.
    pub fn orphans_before(
        &self,
        servers: &Servers<'_>,
        import: &Import<'_>,
        scratch: &Scratch,
    ) -> Result<Vec<String>> {
        if self.outer().next().is_none() && self.inner.is_empty() {
            return Ok(Vec::new());
        }
        // The account of the import asks: what a customer may have put in a table's place since
        // would otherwise be run with our rights.
        let (live, name) = (&import.target.name, &scratch.name);
        let host = servers.steady.account_host();
        // In a GRANT, an underscore would stand for any letter.
        let granted = live.replace('_', "\\_");
        let sql = format!("GRANT SELECT ON `{granted}`.* TO `{name}`@`{host}`;\n");
        servers.steady.ask("let the import look at other tables", None, &sql)?;
        count(servers, import, scratch, (name, self.outer().chain(&self.inner)))
    }

    /// The same once it is there.
    pub fn orphans_after(
        &self,
        server: &DatabaseServer,
        import: &Import<'_>,
        scratch: &Scratch,
    ) -> Result<Vec<String>> {
        let servers = Servers { steady: server, hearing: server };
        let keys = self.outer().chain(&self.inner);
        count(&servers, import, scratch, (&import.target.name, keys))
    }

    /// Warns of rows that came while keys to the old table were off, and that point at nothing now
    /// that it is back.
    pub fn warn_after_return(
        &self,
        server: &DatabaseServer,
        import: &Import<'_>,
        scratch: &Scratch,
        monitor: &dyn Monitor,
    ) {
        let servers = Servers { steady: server, hearing: server };
        let keys = self.incoming.iter();
        match count(&servers, import, scratch, (&import.target.name, keys)) {
            Ok(orphans) if orphans.is_empty() => {}
            Ok(orphans) => monitor.warn(left(import.table.unwrap_or_default(), &orphans)),
            Err(error) => monitor.warn(error),
        }
    }

    /// The other tables that point to the table.
    pub fn children(&self) -> impl Iterator<Item = &String> {
        self.incoming.iter().map(|key| &key.table)
    }

    /// What was there and what shall be, for the notes of an import.
    pub fn noted(&self) -> (Vec<Definition>, Vec<Definition>) {
        let old = self.incoming.iter().map(ForeignKey::definition).collect();
        (old, self.outer().map(ForeignKey::definition).collect())
    }

    /// Takes the keys of other tables off the old table.
    pub fn take_off_incoming(&self, server: &DatabaseServer, live: &str) -> Result<()> {
        let keys: Vec<&ForeignKey> = self.incoming.iter().collect();
        take_off(server, live, &keys, limits::TABLE_STEP_SECONDS)
    }

    /// Takes off those of other tables that are there, wherever they lead.
    pub fn take_off_present(&self, server: &DatabaseServer, live: &str) -> Result<()> {
        if self.incoming.is_empty() {
            return Ok(());
        }
        let all = of_database(server, live)?;
        let is_ours = |key: &&ForeignKey| {
            self.incoming.iter().any(|one| (&one.table, &one.name) == (&key.table, &key.name))
        };
        let keys: Vec<&ForeignKey> = all.iter().filter(is_ours).collect();
        take_off(server, live, &keys, limits::TABLE_LOCK_SECONDS)
    }

    /// Makes all keys in the live database.
    pub fn make(&self, server: &DatabaseServer, live: &str) -> Result<()> {
        make_all(server, live, self.outer())
    }

    /// Makes those of other tables.
    pub fn make_incoming(&self, server: &DatabaseServer, live: &str) -> Result<()> {
        make_all(server, live, self.incoming.iter())
    }
}

/// Counts rows that point at nothing, with the table being in the database `place`.
fn count<'k>(
    servers: &Servers<'_>,
    import: &Import<'_>,
    scratch: &Scratch,
    (place, keys): (&str, impl Iterator<Item = &'k ForeignKey>),
) -> Result<Vec<String>> {
    let table = import.table.unwrap_or_default();
    let account = servers.hearing.logged_in_as(&scratch.name, &scratch.password);
    let live = &import.target.name;
    let has = tables(servers.hearing, live)?;
    let here = |name: &str| {
        let database = if name == table { place } else { live };
        format!("`{database}`.{}", quoted(name))
    };
    let mut found = Vec::new();
    for key in keys {
        let parent = (key.parent == table || has.contains(&key.parent)).then(|| here(&key.parent));
        let question = key.orphans(&here(&key.table), parent.as_deref());
        let what = format!("count the rows of {} that point at nothing", shown(&key.table));
        let question = format!("SET NAMES utf8mb4;\n{question}");
        let rows = account.ask_number(&what, None, &question)?;
        if rows > 0 {
            found.push(told(rows, &shown(&key.table), &shown(&key.parent), &shown(&key.name)));
        }
    }
    Ok(found)
}

/// The other tables of a database that have a foreign key to this one.
pub(super) fn referring(
    server: &DatabaseServer,
    database: &str,
    table: &str,
) -> Result<BTreeSet<String>> {
    let keys = of_database(server, database)?.into_iter();
    let leads_here = |key: &ForeignKey| key.parent == table && key.schema == database;
    let tables = keys.filter(leads_here).map(|key| key.table);
    Ok(tables.filter(|other| other != table).collect())
}

/// How rows are told that point at nothing.
fn told(rows: u64, table: &str, parent: &str, key: &str) -> String {
    let rows = number_of(rows, "row");
    format!("{rows} of {table} without their row of {parent} ({key})")
}

/// The error for rows that would point at nothing, before anything was changed.
pub(super) fn orphaned(table: &str, orphans: &[String]) -> Error {
    orphaned_so(table, orphans, "nothing was changed")
}

/// The error for rows that would point at nothing, with what was done about it.
pub(super) fn orphaned_so(table: &str, orphans: &[String], end: &str) -> Error {
    refused(table, format!("it would leave {}; {end}", orphans.join(", "))).hint(
        "restore those tables too, or the whole database; --leave-orphans does it all the same",
    )
}

/// The warning about rows that were left so.
pub(super) fn left(table: &str, orphans: &[String]) -> Error {
    Error::new(Kind::Partial, format!("keep all foreign keys around the table {}", shown(table)))
        .why(format!("there are {}", orphans.join(", ")))
}

fn refused(table: &str, why: String) -> Error {
    Error::new(Kind::Forbidden, format!("put the table {} in its place", shown(table))).why(why)
}

fn take_off(
    server: &DatabaseServer,
    database: &str,
    keys: &[&ForeignKey],
    seconds: u64,
) -> Result<()> {
    let mut sql = format!("{SETTINGS}SET lock_wait_timeout = {seconds};\n");
    for key in keys {
        let (table, name) = (quoted(&key.table), quoted(&key.name));
        sql.push_str(&format!("ALTER TABLE {table} DROP FOREIGN KEY {name};\n"));
    }
    if keys.is_empty() {
        return Ok(());
    }
    server.ask("take foreign keys off", Some(database), &sql).map(drop)
}

fn make_all<'k>(
    server: &DatabaseServer,
    live: &str,
    keys: impl Iterator<Item = &'k ForeignKey>,
) -> Result<()> {
    for key in keys {
        let what = format!("make the foreign key {} of {}", shown(&key.name), shown(&key.table));
        let seconds = limits::TABLE_LOCK_SECONDS;
        let sql = format!("{UNCHECKED}SET lock_wait_timeout = {seconds};\n{};\n", key.create());
        server.ask(&what, Some(live), &sql)?;
    }
    Ok(())
}

/// Makes those noted keys that a database lacks, after an import that was killed. One that leads
/// elsewhere was taken along by the change of places.
pub(super) fn make_missing(
    server: &DatabaseServer,
    live: &str,
    wanted: &[&Definition],
) -> Result<()> {
    let has = of_database(server, live)?;
    for one in wanted {
        let (table, name) = one.name.split_once('\0').unwrap_or_default();
        let found = has.iter().find(|key| key.table == table && key.name == name);
        if found.is_some_and(|key| key.schema == live) {
            continue;
        }
        if let Some(key) = found {
            take_off(server, live, &[key], limits::TABLE_LOCK_SECONDS)?;
        }
        let wait = limits::TABLE_LOCK_SECONDS;
        let mut sql = format!("SET lock_wait_timeout = {wait};\n{}", one.settings).into_bytes();
        sql.extend_from_slice(&one.create);
        sql.extend_from_slice(b";\n");
        server.ask_bytes("make a foreign key", Some(live), &sql)?;
    }
    Ok(())
}

/// Refuses a table, or a whole database, that tables of other databases point to: they would go on
/// pointing to the old one.
fn refuse_elsewhere(server: &DatabaseServer, live: &str, table: Option<&str>) -> Result<()> {
    let what = "look for foreign keys of other databases";
    // MySQL 8 and MariaDB give it different names.
    let schema = "information_schema";
    let query = format!(
        "SELECT TABLE_NAME FROM {schema}.TABLES WHERE TABLE_SCHEMA = '{schema}' AND TABLE_NAME IN \
         ('INNODB_SYS_FOREIGN', 'INNODB_FOREIGN');\n"
    );
    let answer = server.ask_text(what, None, &query)?;
    let source = answer.trim();
    if source.is_empty() && table.is_none() {
        // Without InnoDB there are no foreign keys.
        return Ok(());
    }
    if !["INNODB_SYS_FOREIGN", "INNODB_FOREIGN"].contains(&source) {
        return Err(unexpected(what));
    }
    let start = format!("{}/", file_name(live));
    let query = format!(
        "SELECT DISTINCT SUBSTRING_INDEX(FOR_NAME, '/', 1) FROM {schema}.{source} WHERE \
         BINARY LEFT(REF_NAME, {length}) = {} AND BINARY LEFT(FOR_NAME, {length}) <> {};\n",
        text(&start),
        text(&start),
        length = start.len()
    );
    for other in server.ask_text(what, None, &query)?.lines() {
        let refused = || {
            let why = "a table of another database has a foreign key to it".to_owned();
            let error = table.map_or_else(
                || {
                    let what = format!("put the tables of {live} in their place");
                    Error::new(Kind::Forbidden, what).why(why.clone())
                },
                |table| refused(table, why.clone()),
            );
            error.hint("take that key off, restore, and make it again; nothing was changed")
        };
        let Some(other) = from_file_name(other) else { return Err(refused()) };
        let leads_here =
            |key: &&ForeignKey| key.schema == live && table.is_none_or(|table| key.parent == table);
        if let Some(key) = of_database(server, &other)?.iter().find(leads_here) {
            // Whose database that is, a customer need not know.
            let (name, child, parent) = (shown(&key.name), shown(&key.table), shown(&key.parent));
            let aside = format!("it is in {other}: the key {name} of {child} leads to {parent}");
            return Err(refused().aside(aside));
        }
    }
    Ok(())
}

/// The name of a database as InnoDB writes it: Hestia's are ASCII.
fn file_name(name: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '_' => c.to_string(),
        c => format!("@{:04x}", u32::from(c)),
    };
    name.chars().map(letter).collect()
}

/// The name that InnoDB writes like this, if it is one that Hestia makes.
fn from_file_name(name: &str) -> Option<String> {
    let mut parts = name.split('@');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(4)?;
        plain.push(char::from(u8::try_from(u32::from_str_radix(code, 16).ok()?).ok()?));
        plain.push_str(rest);
    }
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '$');
    plain.chars().all(harmless).then_some(plain)
}

/// The tables of a database.
fn tables(server: &DatabaseServer, database: &str) -> Result<BTreeSet<String>> {
    Ok(super::import_mysql::live(server, database)?.tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_innodb() {
        for (name, file) in
            [("alice_shop", "alice_shop"), ("a.b-c$", "a@002eb@002dc@0024"), ("A1", "A1")]
        {
            assert_eq!(file_name(name), file);
            assert_eq!(from_file_name(file).as_deref(), Some(name));
        }
        for other in ["a@1ebc", "a@0060b", "a@00", "@00e4"] {
            assert_eq!(from_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_key_is_made_and_asked_for_by_all_its_columns() {
        let text = str::to_owned;
        let key = ForeignKey {
            table: text("or`ders"),
            name: text("k"),
            schema: text("shop"),
            parent: text("p"),
            columns: vec![(text("a"), text("x")), (text("b"), text("y"))],
            rules: text(" ON DELETE CASCADE"),
        };
        assert_eq!(
            key.create(),
            "ALTER TABLE `or``ders` ADD CONSTRAINT `k` FOREIGN KEY (`a`, `b`) REFERENCES `p` \
             (`x`, `y`) ON DELETE CASCADE"
        );
        assert_eq!(
            key.orphans("t", Some("p")),
            "SELECT COUNT(*) FROM t AS own WHERE own.`a` IS NOT NULL AND own.`b` IS NOT NULL AND \
             NOT EXISTS (SELECT 1 FROM p AS other WHERE other.`x` = own.`a` AND other.`y` = \
             own.`b`);\n"
        );
    }
}
