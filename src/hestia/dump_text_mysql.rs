// SPDX-License-Identifier: MIT
//! The text of a dump of MySQL or MariaDB, line by line: what it makes, what the account of an
//! import must not see, and what the server that it goes to would not take.

use super::dump_text::{Content, Verdict, quoted};
use super::mysql_maker::Maker;
use crate::base::limits;
use std::collections::BTreeSet;

/// A dump of MySQL or MariaDB on its way.
#[derive(Default)]
pub(super) struct Mysql {
    /// Within `DELIMITER ;;`: the line is the first of a statement, or a later one.
    in_body: Option<bool>,
    /// Whether the section in hand is another table's.
    is_foreign: bool,
    /// Whether the lines are rows of the last table.
    in_rows: bool,
    /// Whether the lines are the rest of a statement for administrators.
    in_dropped: bool,
    /// The last table that was defined.
    table: String,
    /// Whose server the dump goes to, if that is known.
    pub maker: Option<Maker>,
}

impl Mysql {
    /// Decides what becomes of a line, and notes what it makes.
    pub fn line(&mut self, line: &[u8], only: Option<&str>, content: &mut Content) -> Verdict {
        let text = line.trim_ascii_end();
        if let Some(rest) = text.strip_prefix(b"DELIMITER ") {
            self.in_body = (rest != b";").then_some(true);
            return self.section_verdict();
        }
        // Before an event, settings stand between the other delimiters too.
        if let Some(is_first) = self.in_body {
            self.in_body = Some(text.ends_with(b";;"));
            if is_first && !self.is_foreign {
                note_body(text, content);
            }
            return match self.section_verdict() {
                Verdict::Keep if is_first => match setting(line, self.maker) {
                    Some((count, with)) => Verdict::Replace(count, with),
                    None => without_definer(line),
                },
                verdict => verdict,
            };
        }
        if self.in_dropped {
            self.in_dropped = !text.ends_with(b";");
            return Verdict::Drop;
        }
        self.note(text, only, content);
        let is_for_administrators = [
            &b"SET @@GLOBAL.GTID_PURGED"[..],
            b"SET @MYSQLDUMP_TEMP_LOG_BIN",
            b"SET @@SESSION.SQL_LOG_BIN",
            // It would switch the client's own protection on; ours is another one.
            b"/*M!999999\\- enable the sandbox mode",
        ];
        if is_for_administrators.iter().any(|word| text.starts_with(word)) {
            // The numbers of many servers stand on a line each.
            self.in_dropped = text.starts_with(b"SET @@GLOBAL") && !text.ends_with(b";");
            return Verdict::Drop;
        }
        match self.section_verdict() {
            Verdict::Keep if text.starts_with(b"/*!50013 DEFINER=") => without_definer(line),
            Verdict::Keep => match setting(line, self.maker) {
                Some((count, with)) => Verdict::Replace(count, with),
                None => Verdict::Keep,
            },
            verdict => verdict,
        }
    }

    fn section_verdict(&self) -> Verdict {
        if self.is_foreign { Verdict::Drop } else { Verdict::Keep }
    }

    /// Notes what the line begins.
    fn note(&mut self, text: &[u8], only: Option<&str>, content: &mut Content) {
        let sections: [(&[u8], bool); 8] = [
            (b"-- Table structure for table ", true),
            (b"-- Dumping data for table ", true),
            (b"-- Sequence structure for ", true),
            (b"-- Temporary table structure for view ", false),
            (b"-- Temporary view structure for view ", false),
            (b"-- Dumping events for database ", false),
            (b"-- Dumping routines for database ", false),
            (b"-- Final view structure for view ", false),
        ];
        for (word, is_table) in sections {
            if let (Some(rest), Some(only)) = (text.strip_prefix(word), only) {
                let name = backquoted(rest).map(|(name, _)| name);
                self.is_foreign = !is_table || name.as_deref() != Some(only);
            }
        }
        // Settings are put back behind the last section.
        if text.starts_with(b"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE") {
            self.is_foreign = false;
        }
        if text.starts_with(b"-- Dump completed") {
            self.is_foreign = false;
            content.is_whole = true;
        } else if !text.is_empty() {
            content.is_whole = false;
        }
        if self.is_foreign {
            return;
        }
        if self.in_rows && text.starts_with(b"(") {
            content.note_row(None);
            return;
        }
        self.in_rows = false;
        if self.maker == Some(Maker::Mariadb) && text.starts_with(b"  ") {
            note_left_out(text, &self.table, &mut content.left_out);
        }
        if let Some(rest) = text.strip_prefix(b"CREATE TABLE ") {
            if let Some((name, _)) = backquoted(rest) {
                content.tables.entry(name.clone()).or_default();
                self.table = name;
            }
        } else if let Some(rest) = text.strip_prefix(b"INSERT INTO ") {
            // MariaDB writes a line for each row after this one, MySQL goes on in it.
            self.in_rows = rest.ends_with(b" VALUES");
            if let Some((name, _)) = backquoted(rest) {
                content.last_filled = Some(name);
            }
            if !self.in_rows {
                content.note_row(None);
            }
        } else if let Some(rest) = text.strip_prefix(b"/*!50001 VIEW ")
            && let Some((name, _)) = backquoted(rest)
        {
            content.views.insert(name);
        }
    }
}

/// Notes what a statement between other delimiters makes.
fn note_body(text: &[u8], content: &mut Content) {
    let start = text.get(..text.len().min(1024)).unwrap_or_default();
    let has = |word: &[u8]| start.windows(word.len()).any(|part| part == word);
    // Settings come here too, and one of them is called NO_AUTO_CREATE_USER.
    let is_comment = start.starts_with(b"/*!50");
    let definition = if is_comment { start.get(9..).unwrap_or_default() } else { start };
    if !definition.starts_with(b"CREATE") {
        return;
    }
    if has(b"/*!50003 TRIGGER ") {
        content.triggers += 1;
    } else if has(b"/*!50106 EVENT ") {
        // One that is to happen once goes when its time has passed, be it while it is made.
        content.events += u64::from(!has(b" ON SCHEDULE AT "));
    } else {
        content.routines += 1;
    }
}

/// Takes the DEFINER out of the first line of a definition: who imports is the definer, until the
/// restore gives the object to the database's own user.
fn without_definer(line: &[u8]) -> Verdict {
    let word = b"DEFINER=";
    let Some(at) = line.windows(word.len()).take(64).position(|part| part == word) else {
        return Verdict::Keep;
    };
    let before = line.get(..at).unwrap_or_default();
    let after = line.get(at + word.len()..).unwrap_or_default();
    // In double quotes, if it was made in the mode ANSI_QUOTES.
    let name = |text| backquoted(text).or_else(|| quoted(text, b'"'));
    let Some((_, mut used)) = name(after) else { return Verdict::Keep };
    if let Some(host) = after.get(used..).and_then(|rest| rest.strip_prefix(b"@"))
        && let Some((_, length)) = name(host)
    {
        used += 1 + length;
    }
    Verdict::Replace(at + word.len() + used, before.to_vec())
}

/// What a dump says before a definition, as it must be said to this server: how many of the line's
/// first bytes are replaced, and by what. `None` if it can stay.
fn setting(line: &[u8], maker: Option<Maker>) -> Option<(usize, Vec<u8>)> {
    // The database that is meant is the one that the dump goes to, whatever its name was.
    let alter = b"ALTER DATABASE ";
    if let Some(rest) = line.strip_prefix(alter) {
        let (_, used) = backquoted(rest)?;
        return Some((alter.len() + used, b"ALTER DATABASE".to_vec()));
    }
    // MySQL 8 refuses a mode that it has no more, and that says nothing of a definition.
    if maker != Some(Maker::Mysql) || !line.starts_with(b"/*!50003 SET sql_mode ") {
        return None;
    }
    let words: [&[u8]; 3] =
        [b",NO_AUTO_CREATE_USER", b"NO_AUTO_CREATE_USER,", b"NO_AUTO_CREATE_USER"];
    let (at, length) = words.iter().find_map(|word| Some((find(line, word)?, word.len())))?;
    Some((at + length, line.get(..at)?.to_vec()))
}

/// Notes what stands in a line of a table's definition in comments that only MySQL 8 reads.
fn note_left_out(line: &[u8], table: &str, left_out: &mut BTreeSet<String>) {
    let mut rest = line;
    while let Some(comment) = find(rest, b"/*!8").and_then(|at| rest.get(at + 3..)) {
        let end = find(comment, b"*/").unwrap_or(comment.len());
        let (words, after) = comment.split_at(end);
        rest = after;
        let words = String::from_utf8_lossy(words);
        let words = words.trim_start_matches(|c: char| c.is_ascii_digit()).trim();
        if left_out.len() < limits::HESTIA_OBJECTS_MAX {
            left_out.insert(format!("{} in {}", words.escape_debug(), table.escape_debug()));
        }
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|part| part == word)
}

/// A name in backquotes at the front of a text, and how many bytes it takes up there.
fn backquoted(text: &[u8]) -> Option<(String, usize)> {
    quoted(text, b'`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_those_of_the_server_and_of_the_database_that_a_dump_goes_to() {
        let through = |line: &str, maker| {
            let (count, with) = setting(line.as_bytes(), maker)?;
            Some(String::from_utf8(with).unwrap() + &line[count..])
        };
        let alter = "ALTER DATABASE `a``b` CHARACTER SET latin1 COLLATE x ;\n";
        let there = "ALTER DATABASE CHARACTER SET latin1 COLLATE x ;\n";
        assert_eq!(through(alter, None).as_deref(), Some(there));
        let mode = |modes: &str| format!("/*!50003 SET sql_mode    = '{modes}' */ ;\n");
        for (modes, left) in [
            ("A,NO_AUTO_CREATE_USER,B", "A,B"),
            ("NO_AUTO_CREATE_USER,B", "B"),
            ("NO_AUTO_CREATE_USER", ""),
        ] {
            assert_eq!(through(&mode(modes), Some(Maker::Mysql)), Some(mode(left)));
            assert_eq!(through(&mode(modes), Some(Maker::Mariadb)), None);
        }
        for line in [mode("A").as_str(), "INSERT INTO t VALUES ('NO_AUTO_CREATE_USER');\n"] {
            assert_eq!(through(line, Some(Maker::Mysql)), None);
        }
    }

    #[test]
    fn an_account_goes_in_whatever_quotes_it_stands() {
        for account in ["`u`@`h`", "\"u\"@\"h\"", "`u`"] {
            let line = format!("/*!50003 CREATE*/ /*!50017 DEFINER={account}*/ /*!50003 TRIGGER x");
            let Verdict::Replace(count, with) = without_definer(line.as_bytes()) else {
                panic!("{line}");
            };
            let left = String::from_utf8(with).unwrap() + &line[count..];
            assert_eq!(left, "/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER x");
        }
    }

    #[test]
    fn events_that_come_back_every_day_are_counted_and_one_that_may_be_gone_is_not() {
        let mut content = Content::default();
        for when in ["EVERY 1 DAY", "AT '2020-01-01 00:00:00'"] {
            let line = format!(
                "/*!50106 CREATE*/ /*!50117 DEFINER=`u`@`h`*/ /*!50106 EVENT `e` ON SCHEDULE {when} \
                 ON COMPLETION NOT PRESERVE ENABLE DO DELETE FROM t */ ;;"
            );
            note_body(line.as_bytes(), &mut content);
        }
        assert_eq!(content.events, 1);
    }

    #[test]
    fn what_mariadb_does_not_read_of_a_table_is_noted() {
        let mut left_out = BTreeSet::new();
        let line = b"  `p` point NOT NULL /*!80003 SRID 4326 */ /*!80023 INVISIBLE */,";
        note_left_out(line, "goods", &mut left_out);
        note_left_out(b"  `x` int /*!50606 STORAGE DISK */,", "goods", &mut left_out);
        note_left_out(b"  `x` int /*!8", "cut", &mut left_out);
        let told: Vec<&str> = left_out.iter().map(String::as_str).collect();
        assert_eq!(told, [" in cut", "INVISIBLE in goods", "SRID 4326 in goods"]);
    }
}
