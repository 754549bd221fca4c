// SPDX-License-Identifier: MIT
//! The text of a dump, looked at line by line while it streams by: what is in it ([`Content`]), and
//! what has to be changed or left out for an import by somebody who is no administrator
//! ([`Editor`]). Lines may be as long as they like; only their beginnings are looked at.
//!
//! Nothing here protects a server: that is done by the rights of the account that imports. A
//! customer who writes confusing comments into routines confuses the restore of those alone.

use super::dump_text_mysql::Mysql;
pub use super::dump_watch::Watch;
use super::import_pgsql_keys::unchecked;
use super::inventory::DbKind;
use super::mysql_maker::Maker;
use super::sql_lexer::Lexer;
use crate::base::{Error, Kind, Result, WhatIo, limits};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

/// What a dump makes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Content {
    /// Tables, and how many rows the dump has for them, at least: MySQL's own tool writes many
    /// on a line. Those of PostgreSQL are `schema.table`, as written in SQL.
    pub tables: BTreeMap<String, u64>,
    /// The last table that rows came for.
    pub last_filled: Option<String>,
    /// Views, written likewise.
    pub views: BTreeSet<String>,
    /// Functions and procedures.
    pub routines: u64,
    /// Triggers.
    pub triggers: u64,
    /// Events of MySQL.
    pub events: u64,
    /// Foreign keys of the one table of PostgreSQL that is wanted, which are made without a look at
    /// the rows: its name and theirs, as written in SQL.
    pub unchecked_keys: Vec<(String, String)>,
    /// What the server does not read of tables of MySQL, and in which table, as far as it is told.
    pub left_out: BTreeSet<String>,
    /// Whether the closing line came.
    pub is_whole: bool,
}

impl Content {
    /// Notes a row of a table, or of the last one.
    pub(super) fn note_row(&mut self, table: Option<&str>) {
        if let Some(table) = table
            && self.last_filled.as_deref() != Some(table)
            && self.tables.contains_key(table)
        {
            self.last_filled = Some(table.to_owned());
        }
        let table = table.or(self.last_filled.as_deref()).unwrap_or_default();
        if let Some(rows) = self.tables.get_mut(table) {
            *rows += 1;
        }
    }
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Drop,
    /// The first bytes are replaced.
    Replace(usize, Vec<u8>),
}

/// As much of a line as is looked at: room for two quoted names of 64 letters of four bytes each.
const START_BYTES: usize = 2048;

/// Passes a dump on with what an import must not see taken out.
pub struct Editor {
    dialect: Dialect,
    /// The one table that is wanted, without quotes; everything without it.
    only: Option<String>,
    content: Content,
    /// The beginning of the line in hand, until it is decided.
    start: Vec<u8>,
    /// What becomes of the rest of the line in hand.
    rest: Option<bool>,
}

enum Dialect {
    Mysql(Mysql),
    Pgsql(Box<Pgsql>),
}

#[derive(Default)]
struct Pgsql {
    lexer: Lexer,
    /// Whether objects have begun; before them stand settings and the drops of what is not there.
    objects: bool,
    /// The section in hand, held back until its end says whether it is wanted.
    held: Option<Section>,
    /// A sequence that may turn out to belong to the table.
    sequence: Option<Section>,
    /// The wanted table as SQL has it, once its definition has come.
    token: Option<String>,
    /// The names of sequences that do.
    own_sequences: BTreeSet<String>,
    /// Its foreign keys.
    keys: Vec<(String, String)>,
    /// Whether the rows of another table pass by.
    is_foreign: bool,
}

struct Section {
    name: String,
    kind: String,
    text: Vec<u8>,
}

impl Editor {
    /// An editor for dumps of this engine; of `only` this table (of PostgreSQL, `schema.table`).
    pub fn new(kind: DbKind, only: Option<&str>) -> Self {
        let dialect = match kind {
            DbKind::Mysql => Dialect::Mysql(Mysql::default()),
            DbKind::Pgsql => Dialect::Pgsql(Box::default()),
        };
        let only = only.map(str::to_owned);
        let (content, start) = (Content::default(), Vec::with_capacity(START_BYTES));
        Self { dialect, only, content, start, rest: None }
    }

    /// The same for a server of MySQL or MariaDB, which do not know all of each other's words.
    pub(super) fn for_maker(mut self, maker: Option<Maker>) -> Self {
        if let Dialect::Mysql(mysql) = &mut self.dialect {
            mysql.maker = maker;
        }
        self
    }

    /// The engine that the dump is for.
    pub(super) fn kind(&self) -> DbKind {
        match self.dialect {
            Dialect::Mysql(_) => DbKind::Mysql,
            Dialect::Pgsql(_) => DbKind::Pgsql,
        }
    }

    /// Reads a dump to its end and writes what is left of it.
    pub fn run(mut self, from: &mut dyn Read, to: &mut dyn Write) -> Result<Content> {
        let what = || "pass a dump on";
        let mut piece = vec![0; 256 * 1024];
        loop {
            match from.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => self.push(piece.get(..count).unwrap_or_default(), to)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).what_io(what),
            }
        }
        self.finish(to)
    }

    /// Takes a piece of the dump.
    pub fn push(&mut self, piece: &[u8], to: &mut dyn Write) -> Result<()> {
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            let ends = line.ends_with(b"\n");
            if let Some(keep) = self.rest {
                self.emit(keep, line, to)?;
            } else {
                self.start.extend_from_slice(line);
                if ends || self.start.len() >= START_BYTES {
                    self.decide(to)?;
                }
            }
            if ends {
                self.rest = None;
            }
        }
        Ok(())
    }

    /// Takes the end of the dump.
    pub fn finish(mut self, to: &mut dyn Write) -> Result<Content> {
        if self.rest.is_none() && !self.start.is_empty() {
            self.decide(to)?;
        }
        if let Dialect::Pgsql(pgsql) = &mut self.dialect
            && let Some(section) = pgsql.held.take()
        {
            pgsql.end_section(section, self.only.as_deref(), to)?;
        }
        if let Dialect::Pgsql(pgsql) = self.dialect {
            self.content.unchecked_keys = pgsql.keys;
        }
        Ok(self.content)
    }

    fn decide(&mut self, to: &mut dyn Write) -> Result<()> {
        let start = std::mem::take(&mut self.start);
        let names = self.content.tables.len() + self.content.views.len();
        if names > limits::HESTIA_OBJECTS_MAX {
            return Err(Error::new(Kind::Limit, "read a dump").why("it has too many tables"));
        }
        let only = self.only.as_deref();
        let verdict = match &mut self.dialect {
            Dialect::Mysql(mysql) => mysql.line(&start, only, &mut self.content),
            Dialect::Pgsql(pgsql) => pgsql.line(&start, only, &mut self.content, to)?,
        };
        match verdict {
            Verdict::Keep => self.emit(true, &start, to)?,
            Verdict::Drop => self.emit(false, &start, to)?,
            Verdict::Replace(count, with) => {
                to.write_all(&with).what_io(|| WRITE)?;
                self.emit(true, start.get(count..).unwrap_or_default(), to)?;
            }
        }
        Ok(())
    }

    fn emit(&mut self, keep: bool, part: &[u8], to: &mut dyn Write) -> Result<()> {
        self.rest = Some(keep);
        if let Dialect::Pgsql(pgsql) = &mut self.dialect {
            pgsql.lexer.take(part);
            if let Some(section) = &mut pgsql.held {
                if keep {
                    if section.text.len() + part.len() > limits::SECTION_BYTES_MAX {
                        return Err(Error::new(Kind::Limit, "read a dump")
                            .why(format!("the definition of {} is too long", section.name)));
                    }
                    section.text.extend_from_slice(part);
                }
                return Ok(());
            }
        }
        if keep { to.write_all(part).what_io(|| WRITE) } else { Ok(()) }
    }
}

const WRITE: &str = "hand a dump to the database server";

pub(super) fn quoted(text: &[u8], quote: u8) -> Option<(String, usize)> {
    let mut name = Vec::new();
    let mut at = 1;
    if text.first() != Some(&quote) {
        return None;
    }
    loop {
        match (text.get(at)?, text.get(at + 1)) {
            (byte, Some(next)) if *byte == quote && *next == quote => {
                name.push(quote);
                at += 2;
            }
            (byte, _) if *byte == quote => {
                return Some((String::from_utf8_lossy(&name).into_owned(), at + 1));
            }
            (byte, _) => {
                name.push(*byte);
                at += 1;
            }
        }
    }
}

impl Pgsql {
    fn line(
        &mut self,
        line: &[u8],
        only: Option<&str>,
        content: &mut Content,
        to: &mut dyn Write,
    ) -> Result<Verdict> {
        if !self.lexer.is_outside() {
            return Ok(self.verdict());
        }
        let text = line.trim_ascii_end();
        if text.starts_with(b"-- PostgreSQL database dump complete") {
            content.is_whole = true;
            self.end_held(only, to)?;
            self.is_foreign = false;
        }
        if text.starts_with(b"\\restrict ") || text.starts_with(b"\\unrestrict ") {
            return Ok(Verdict::Drop);
        }
        let header = text.strip_prefix(b"-- Name: ");
        let header = header.or_else(|| text.strip_prefix(b"-- Data for Name: "));
        if let Some((name, kind, schema)) = header.and_then(section_header) {
            self.objects = true;
            self.end_held(only, to)?;
            self.begin_section(&name, kind, &schema, only);
        }
        Self::note(text, only, content);
        if !self.objects {
            // An empty database has nothing to drop but its schema.
            let is_kept = text.is_empty()
                || [&b"--"[..], b"SET ", b"SELECT pg_catalog.set_config(", b"DROP SCHEMA public;"]
                    .iter()
                    .any(|word| text.starts_with(word));
            return Ok(if is_kept { Verdict::Keep } else { Verdict::Drop });
        }
        // Only an extension's owner may, and that is the administrator.
        if text.starts_with(b"COMMENT ON EXTENSION ") {
            return Ok(Verdict::Drop);
        }
        Ok(self.verdict())
    }

    fn verdict(&self) -> Verdict {
        if self.is_foreign { Verdict::Drop } else { Verdict::Keep }
    }

    fn end_held(&mut self, only: Option<&str>, to: &mut dyn Write) -> Result<()> {
        match self.held.take() {
            Some(section) => self.end_section(section, only, to),
            None => Ok(()),
        }
    }

    fn begin_section(&mut self, name: &str, kind: String, schema: &str, only: Option<&str>) {
        self.is_foreign = false;
        let Some(only) = only else { return };
        if kind == "TABLE DATA" {
            self.is_foreign = format!("{schema}.{name}") != only;
        } else {
            let name = format!("{schema}.{name}");
            self.held = Some(Section { name, kind, text: Vec::new() });
        }
    }

    /// Decides whether a section belongs to the one table that is wanted.
    fn end_section(
        &mut self,
        section: Section,
        only: Option<&str>,
        to: &mut dyn Write,
    ) -> Result<()> {
        let Some(only) = only else { return Ok(()) };
        let text = String::from_utf8_lossy(&section.text).into_owned();
        let statement: String = text
            .lines()
            .filter(|line| !line.starts_with("--") && !line.is_empty())
            .take(2)
            .collect::<Vec<_>>()
            .join(" ");
        if section.kind == "TABLE"
            && let Some(name) = created_table(&statement)
            && unquoted_pair(name) == only
        {
            self.token = Some(name.to_owned());
            return to.write_all(&section.text).what_io(|| WRITE);
        }
        let Some(only) = self.token.as_deref() else { return Ok(()) };
        let alters = |rest: &str| {
            ["ALTER TABLE ONLY ", "ALTER TABLE "].iter().any(|word| {
                statement
                    .strip_prefix(word)
                    .and_then(|after| after.strip_prefix(only))
                    .is_some_and(|after| after.starts_with(rest))
            })
        };
        let on_table = || {
            [" ON ", " ON ONLY "].iter().any(|word| {
                let word = format!("{word}{only} ");
                statement.contains(&word)
            })
        };
        let is_wanted = match section.kind.as_str() {
            "SEQUENCE" if alters(" ALTER COLUMN ") => {
                self.own_sequences.insert(section.name.clone());
                true
            }
            "SEQUENCE" => {
                self.sequence = Some(section);
                return Ok(());
            }
            "SEQUENCE OWNED BY" if statement.contains(&format!(" OWNED BY {only}.")) => {
                if let Some(sequence) = self.sequence.take_if(|one| one.name == section.name) {
                    to.write_all(&sequence.text).what_io(|| WRITE)?;
                }
                self.own_sequences.insert(section.name.clone());
                true
            }
            "SEQUENCE SET" => self.own_sequences.contains(&section.name),
            "FK CONSTRAINT" if alters(" ") => {
                let only = only.to_owned();
                return self.write_key(&text, only, to);
            }
            "DEFAULT" | "CONSTRAINT" | "ROW SECURITY" => alters(" "),
            "INDEX" | "TRIGGER" | "POLICY" => on_table(),
            "RULE" => statement.contains(&format!(" TO {only} ")),
            "COMMENT" => ["COMMENT ON TABLE ", "COMMENT ON COLUMN "].iter().any(|word| {
                statement
                    .strip_prefix(word)
                    .and_then(|after| after.strip_prefix(only))
                    .is_some_and(|after| after.starts_with([' ', '.']))
            }),
            _ => false,
        };
        if is_wanted { to.write_all(&section.text).what_io(|| WRITE) } else { Ok(()) }
    }

    fn write_key(&mut self, text: &str, only: String, to: &mut dyn Write) -> Result<()> {
        let (text, name) = unchecked(text);
        self.keys.extend(name.map(|name| (only, name)));
        to.write_all(text.as_bytes()).what_io(|| WRITE)
    }

    fn note(text: &[u8], only: Option<&str>, content: &mut Content) {
        let name_up_to = |word: &[u8], end: &str| {
            let rest = text.strip_prefix(word)?;
            let rest = String::from_utf8_lossy(rest);
            Some(rest.split_once(end).map_or(&*rest, |(name, _)| name).to_owned())
        };
        if let Some(name) = std::str::from_utf8(text).ok().and_then(created_table) {
            if only.is_none_or(|only| only == unquoted_pair(name)) {
                content.tables.entry(name.to_owned()).or_default();
            }
        } else if let Some(name) = name_up_to(b"INSERT INTO ", " VALUES")
            .or_else(|| name_up_to(b"INSERT INTO ", " DEFAULT VALUES"))
        {
            let name = name.split(" OVERRIDING").next().unwrap_or_default().to_owned();
            content.note_row(Some(&name));
        } else if only.is_none() {
            if let Some(name) = name_up_to(b"CREATE VIEW ", " AS")
                .or_else(|| name_up_to(b"CREATE MATERIALIZED VIEW ", " AS"))
            {
                // The reloptions of a view stand between its name and the AS.
                content.views.insert(name.split(" WITH (").next().unwrap_or_default().to_owned());
            } else if text.starts_with(b"CREATE FUNCTION ")
                || text.starts_with(b"CREATE PROCEDURE ")
            {
                content.routines += 1;
            } else if text.starts_with(b"CREATE TRIGGER ") {
                content.triggers += 1;
            }
        }
    }
}

/// `places; Type: TABLE; Schema: public; Owner: -` in its parts: name, kind, schema.
fn section_header(text: &[u8]) -> Option<(String, String, String)> {
    let text = String::from_utf8_lossy(text);
    let (name, rest) = text.split_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let (schema, _) = rest.split_once("; Owner: ")?;
    Some((name.to_owned(), kind.to_owned(), schema.to_owned()))
}

/// The name in the first line of a table's definition.
fn created_table(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("CREATE ")?;
    let rest = rest.strip_prefix("UNLOGGED ").unwrap_or(rest).strip_prefix("TABLE ")?;
    rest.split_once(" (").map(|(name, _)| name)
}

/// `public."Odd one"` as `public.Odd one`, as comments have it.
pub(super) fn unquoted_pair(name: &str) -> String {
    name.replace("\"\"", "\u{0}").replace('"', "").replace('\u{0}', "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: &str = r"/*M!999999\- enable the sandbox mode */
-- MariaDB dump
/*!40101 SET NAMES utf8mb4 */;

--
-- Table structure for table `a`
--

DROP TABLE IF EXISTS `a`;
CREATE TABLE `a` (
  `id` int
);
INSERT INTO `a` VALUES
(1,'CREATE TABLE `x` ('),
(2,'\n-- Table structure for table `b`');
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`u``x`@`%`*/ /*!50003 TRIGGER t AFTER INSERT ON a FOR EACH ROW
-- Table structure for table `b`
SET @x = 1 */;;
DELIMITER ;

--
-- Table structure for table `b`
--

CREATE TABLE `b` (
  `id` int
);
INSERT INTO `b` VALUES (1),(2);

--
-- Dumping routines for database 'x'
--
DELIMITER ;;
CREATE DEFINER=`u`@`localhost` PROCEDURE `p`()
BEGIN
  CREATE DEFINER=`u`@`%` VIEW x AS SELECT 1;
END ;;
DELIMITER ;

--
-- Final view structure for view `v`
--

/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`u`@`%` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select 1 */;
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;
-- Dump completed
";

    fn edit(kind: DbKind, only: Option<&str>, dump: &str) -> (String, Content) {
        let mut text = Vec::new();
        let mut editor = Editor::new(kind, only);
        for piece in dump.as_bytes().chunks(7) {
            editor.push(piece, &mut text).unwrap();
        }
        let content = editor.finish(&mut text).unwrap();
        (String::from_utf8(text).unwrap(), content)
    }

    #[test]
    fn a_dump_of_mysql_loses_its_definers_and_nothing_else() {
        let (text, content) = edit(DbKind::Mysql, None, MYSQL);
        let expected = MYSQL
            .replace("/*M!999999\\- enable the sandbox mode */\n", "")
            .replace("/*!50017 DEFINER=`u``x`@`%`*/", "/*!50017 */")
            .replace("CREATE DEFINER=`u`@`localhost` PROCEDURE", "CREATE  PROCEDURE")
            .replace("/*!50013 DEFINER=`u`@`%` SQL", "/*!50013  SQL");
        assert_eq!(text, expected);
        assert_eq!(content.tables, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        assert_eq!(content.last_filled.as_deref(), Some("b"));
        assert_eq!((content.routines, content.triggers, content.events), (1, 1, 0));
        assert!(content.views.contains("v") && content.is_whole);
    }

    #[test]
    fn one_table_of_mysql_is_its_section_between_the_settings() {
        let (text, content) = edit(DbKind::Mysql, Some("a"), MYSQL);
        assert!(text.contains("SET NAMES") && text.contains("OLD_TIME_ZONE"));
        assert!(text.contains("(2,'") && text.contains("TRIGGER t") && text.contains("SET @x"));
        assert!(!text.contains("CREATE TABLE `b`") && !text.contains("PROCEDURE"));
        assert_eq!((content.tables.len(), content.triggers, content.routines), (1, 1, 0));
        assert!(edit(DbKind::Mysql, Some("nosuch"), MYSQL).1.tables.is_empty());
    }

    #[test]
    fn a_line_without_end_is_not_held_in_memory() {
        let row = format!("INSERT INTO `a` VALUES (1,'{}');\n", "x".repeat(3_000_000));
        let dump = MYSQL.replace("INSERT INTO `b` VALUES (1),(2);\n", &row);
        let mut editor = Editor::new(DbKind::Mysql, None);
        let mut text = Vec::new();
        editor.push(dump.as_bytes(), &mut text).unwrap();
        assert!(editor.start.capacity() < 1_000_000);
        assert!(editor.finish(&mut text).unwrap().is_whole);
        assert!(String::from_utf8(text).unwrap().contains(&row));
    }

    #[test]
    fn a_dump_that_is_cut_is_not_whole() {
        let cut = MYSQL.replace("-- Dump completed\n", "");
        assert!(!edit(DbKind::Mysql, None, &cut).1.is_whole);
        let more = format!("{MYSQL}DROP TABLE x;\n");
        assert!(!edit(DbKind::Mysql, None, &more).1.is_whole);
    }
}
