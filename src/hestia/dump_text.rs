// SPDX-License-Identifier: MIT
//! The text of a dump, looked at line by line while it streams by: what is in it ([`Content`]), and
//! what has to be changed or left out for an import by somebody who is no administrator
//! ([`Editor`]). Lines may be as long as they like; only their beginnings are looked at.
//!
//! Nothing here protects a server: that is done by the rights of the account that imports. A
//! customer who writes confusing comments into routines confuses the restore of those alone.

use super::dump_text_mysql::Mysql;
use super::dump_text_pgsql::{OneTable, Pgsql, Wanted};
pub use super::dump_watch::Watch;
use super::inventory::DbKind;
use super::mysql_maker::Maker;
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
    /// Tables of PostgreSQL that are not whole by themselves: partitioned ones, their partitions,
    /// and those that others inherit from.
    pub trees: BTreeSet<String>,
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

impl Editor {
    /// An editor for dumps of this engine; of MySQL, `only` this table. Of PostgreSQL that is
    /// [`Self::of_table`].
    pub fn new(kind: DbKind, only: Option<&str>) -> Self {
        let dialect = match kind {
            DbKind::Mysql => Dialect::Mysql(Mysql::default()),
            DbKind::Pgsql => Dialect::Pgsql(Box::default()),
        };
        let only = only.map(str::to_owned);
        let (content, start) = (Content::default(), Vec::with_capacity(START_BYTES));
        Self { dialect, only, content, start, rest: None }
    }

    /// An editor for one table of a dump of PostgreSQL.
    pub(super) fn of_table(wanted: Wanted) -> Self {
        let dialect = Dialect::Pgsql(Box::new(Pgsql::of_table(wanted)));
        Self { dialect, ..Self::new(DbKind::Pgsql, None) }
    }

    /// As [`Self::run`], for one table of PostgreSQL.
    pub(super) fn run_table(
        mut self,
        from: &mut dyn Read,
        to: &mut dyn Write,
    ) -> Result<(Content, OneTable)> {
        self.read(from, to)?;
        self.end(to)?;
        let table = match self.dialect {
            Dialect::Pgsql(pgsql) => pgsql.finish(),
            Dialect::Mysql(_) => OneTable::default(),
        };
        Ok((self.content, table))
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
        self.read(from, to)?;
        self.finish(to)
    }

    fn read(&mut self, from: &mut dyn Read, to: &mut dyn Write) -> Result<()> {
        let what = || "pass a dump on";
        let mut piece = vec![0; 256 * 1024];
        loop {
            match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => self.push(piece.get(..count).unwrap_or_default(), to)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).what_io(what),
            }
        }
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
        self.end(to)?;
        Ok(self.content)
    }

    fn end(&mut self, to: &mut dyn Write) -> Result<()> {
        if self.rest.is_none() && !self.start.is_empty() {
            self.decide(to)?;
        }
        match &mut self.dialect {
            Dialect::Pgsql(pgsql) => pgsql.end_held(to),
            Dialect::Mysql(_) => Ok(()),
        }
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
            Dialect::Pgsql(pgsql) => pgsql.line(&start, &mut self.content, to)?,
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
        if let Dialect::Pgsql(pgsql) = &mut self.dialect
            && pgsql.take(keep, part)?
        {
            return Ok(());
        }
        if keep { to.write_all(part).what_io(|| WRITE) } else { Ok(()) }
    }
}

pub(super) const WRITE: &str = "hand a dump to the database server";

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
