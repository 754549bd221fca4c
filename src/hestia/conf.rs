// SPDX-License-Identifier: MIT
//! Hestia's configuration files: `KEY='value'`, one a line (user.conf, hestia.conf) or all on one
//! line per object (web.conf, db.conf, backup.conf). They are read, never run: a value can come
//! from a hosting customer, and a shell that sources it does what the customer wants.
//!
//! Values hold every character but `'` and the line break, so each value has exactly one written
//! form and what is printed reads back as it was. Where a key comes twice, the last one counts,
//! as it does for Hestia.

use crate::base::error::io_error;
use crate::base::{Error, Kind, Result, WhatIo, Within, limits, units};
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The keys and values of one object, in the order they were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row(Vec<(String, String)>);

/// A line that is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// The rows of a file, and the lines that were none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// What could be read.
    pub rows: Vec<Row>,
    /// What could not.
    pub bad: Vec<BadLine>,
}

impl Row {
    /// Reads one line of `K1='v1' K2='v2'`.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
        let mut pairs = Vec::new();
        let mut rest = line.trim_ascii();
        while !rest.is_empty() {
            let (pair, after) = split_pair(rest)?;
            if !after.is_empty() && !after.starts_with([' ', '\t']) {
                return Err("something follows a closing quote".to_owned());
            }
            pairs.push(pair);
            rest = after.trim_ascii_start();
        }
        Ok(Self(pairs))
    }

    /// As much of a line as can be read: the pairs before the first thing that is none. For rows
    /// whose first keys matter and whose last ones a customer's file name may have broken.
    pub fn parse_leading(line: &[u8]) -> Self {
        let text = String::from_utf8_lossy(line);
        let mut pairs = Vec::new();
        let mut rest = text.trim_ascii();
        while let Ok((pair, after)) = split_pair(rest) {
            pairs.push(pair);
            if !after.starts_with([' ', '\t']) {
                break;
            }
            rest = after.trim_ascii_start();
        }
        Self(pairs)
    }

    /// The value of a key: the last one, if it comes more than once.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The value of a key, empty if it is missing.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// Whether the value is `yes`.
    pub fn is_yes(&self, key: &str) -> bool {
        self.get(key) == Some("yes")
    }

    /// The value of a key as a number; 0 for anything else, `unlimited` included.
    pub fn number(&self, key: &str) -> u64 {
        self.text(key).parse().unwrap_or(0)
    }

    /// The parts of a comma list, without empty ones.
    pub fn list(&self, key: &str) -> impl Iterator<Item = &str> {
        self.text(key).split(',').filter(|part| !part.is_empty())
    }

    /// Sets a key, in its old place if it was there.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let good = check_key(key).and_then(|()| {
            if value.contains('\'') || value.contains(is_forbidden) {
                Err("a value must hold no quote and no control character".to_owned())
            } else {
                Ok(())
            }
        });
        good.map_err(|why| {
            Error::new(Kind::Invalid, format!("set {}", key.escape_debug())).why(why)
        })?;
        match self.0.iter_mut().rev().find(|(name, _)| name == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// The keys and values in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// As one line without its end.
    pub fn to_line(&self) -> String {
        let pairs: Vec<String> =
            self.pairs().map(|(key, value)| format!("{key}='{value}'")).collect();
        pairs.join(" ")
    }

    /// As one line per key.
    pub fn to_lines(&self) -> String {
        let pairs: Vec<String> =
            self.pairs().map(|(key, value)| format!("{key}='{value}'")).collect();
        if pairs.is_empty() { String::new() } else { pairs.join("\n") + "\n" }
    }
}

/// Takes one `KEY='value'` off the front of a line.
fn split_pair(text: &str) -> Result<((String, String), &str), String> {
    let (key, after) = text.split_once('=').ok_or("a key has no value")?;
    check_key(key)?;
    let after = after.strip_prefix('\'').ok_or("a value is not quoted")?;
    let (value, after) = after.split_once('\'').ok_or("a quote is not closed")?;
    if value.contains(is_forbidden) {
        return Err("a value holds control characters".to_owned());
    }
    Ok(((key.to_owned(), value.to_owned()), after))
}

fn check_key(key: &str) -> Result<(), String> {
    let mut letters = key.bytes();
    let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_');
    if starts && letters.all(|c| c.is_ascii_alphanumeric() || c == b'_') && key.len() <= 128 {
        return Ok(());
    }
    Err("a key is no name".to_owned())
}

/// Control characters end the line, fool a terminal, or are cut out by Hestia; a tab is harmless.
fn is_forbidden(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// Reads a file of one object a line.
pub fn parse_rows(text: &[u8]) -> Rows {
    let mut found = Rows::default();
    for (number, line) in numbered(text) {
        let read = if line.len() > limits::CONF_LINE_BYTES_MAX {
            Err(format!("it is longer than {} bytes", limits::CONF_LINE_BYTES_MAX))
        } else {
            Row::parse(line)
        };
        match read {
            Ok(row) => found.rows.push(row),
            Err(why) => found.bad.push(BadLine { line: number, why }),
        }
    }
    found
}

/// Reads a file of one key a line into one row. As in Hestia, a value here may hold quotes: it
/// reaches to the last one of its line, so that a name such as `O'Brien` loses nothing.
pub fn parse_keys(text: &[u8]) -> (Row, Vec<BadLine>) {
    let (mut row, mut bad) = (Row::default(), Vec::new());
    for (number, line) in numbered(text) {
        match one_key(line) {
            Ok(pair) => row.0.push(pair),
            Err(why) => bad.push(BadLine { line: number, why }),
        }
    }
    (row, bad)
}

fn one_key(line: &[u8]) -> Result<(String, String), String> {
    if line.len() > limits::CONF_LINE_BYTES_MAX {
        return Err(format!("it is longer than {} bytes", limits::CONF_LINE_BYTES_MAX));
    }
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let (key, value) = line.split_once('=').ok_or("it is not KEY='value'")?;
    let (key, value) = (key.trim_end(), value.trim_start());
    check_key(key)?;
    let quoted = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
    // Hestia reads these without quotes, too; what a shell would make more of is not meant so.
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._,:/@-".contains(c);
    let bare = Some(value).filter(|value| value.chars().all(is_word));
    let inner = quoted.or(bare).ok_or("its value is not quoted")?;
    if inner.contains(is_forbidden) {
        return Err("a value holds control characters".to_owned());
    }
    Ok((key.to_owned(), inner.to_owned()))
}

/// Adds a row to a file of rows, as Hestia itself does: in one write at the end. A file that was
/// edited by hand may lack its last line break.
pub fn append_row(path: &Path, row: &str) -> Result<()> {
    let what = || format!("add a row to {}", path.display());
    let before = read_file(path)?.unwrap_or_default();
    let gap = if before.is_empty() || before.ends_with(b"\n") { "" } else { "\n" };
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o660).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut file = options.open(path).what_io(what)?;
    file.write_all(format!("{gap}{row}\n").as_bytes()).what_io(what)?;
    file.sync_all().what_io(what)
}

/// Takes a row out again that [`append_row`] added; what others added meanwhile stays.
pub fn take_back_row(path: &Path, row: &str) -> Result<()> {
    let what = || format!("take a row out of {}", path.display());
    rewrite(path, |line| (line != row.as_bytes()).then(|| line.to_vec())).within(what)
}

/// Puts a row in the place of another one; what others added or changed meanwhile stays.
pub fn change_row(path: &Path, old: &Row, new: &Row) -> Result<()> {
    let what = || format!("change a row of {}", path.display());
    let changed = |line: &[u8]| {
        let is_old = Row::parse(line).is_ok_and(|row| row == *old);
        Some(if is_old { new.to_line().into_bytes() } else { line.to_vec() })
    };
    rewrite(path, changed).within(what)
}

/// Writes a file anew line by line; lines without an answer go.
fn rewrite(path: &Path, change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Result<()> {
    let what = || format!("write {}", path.display());
    let text = read_file(path)?.unwrap_or_default();
    let mut lines = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (bare, end) = match line.strip_suffix(b"\n") {
            Some(bare) => (bare, b"\n".as_slice()),
            None => (line, b"".as_slice()),
        };
        if let Some(changed) = change(bare) {
            lines.extend_from_slice(&changed);
            lines.extend_from_slice(end);
        }
    }
    let old = std::fs::symlink_metadata(path).what_io(what)?;
    let draft = path.with_extension("ghostsnap");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(&draft).what_io(what)?;
    file.write_all(&lines).what_io(what)?;
    std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid())).what_io(what)?;
    file.set_permissions(old.permissions()).what_io(what)?;
    file.sync_all().what_io(what)?;
    std::fs::rename(&draft, path).what_io(what)
}

/// The lines that say something, with their numbers.
fn numbered(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}

/// A cron command as the customer wrote it: quotes are stored as a word.
pub fn cron_command(stored: &str) -> String {
    stored.replace("%quote%", "'").replace("%dots%", ":")
}

/// A cron command as Hestia stores it.
pub fn cron_stored(command: &str) -> String {
    command.replace('\'', "%quote%")
}

/// Opens a file for reading without following a link and without hanging on a pipe.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// Reads a small file whole; `None` if it does not exist.
pub fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    let what = || format!("read {}", path.display());
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error, what())),
    };
    let mut text = Vec::new();
    file.take(limits::CONF_FILE_BYTES_MAX + 1).read_to_end(&mut text).what_io(what)?;
    if units::bytes(text.len()) > limits::CONF_FILE_BYTES_MAX {
        return Err(Error::new(Kind::Parsing, what())
            .why(format!("it is larger than {} bytes", limits::CONF_FILE_BYTES_MAX)));
    }
    Ok(Some(text))
}

/// Reads a file of one object a line; a missing one has no rows, as in Hestia.
pub fn read_rows(path: &Path) -> Result<Rows> {
    Ok(read_file(path)?.map(|text| parse_rows(&text)).unwrap_or_default())
}

/// The warnings for the lines of a file that were no rows.
pub fn complaints(path: &Path, bad: &[BadLine]) -> Vec<Error> {
    let one = |bad: &BadLine| {
        Error::new(Kind::Parsing, format!("read line {} of {}", bad.line, path.display()))
            .why(bad.why.clone())
    };
    bad.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_added_on_a_line_of_its_own_and_taken_back_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.conf");
        std::fs::write(&path, "A='1'").unwrap();
        append_row(&path, "B='2'").unwrap();
        append_row(&path, "C='3'").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "A='1'\nB='2'\nC='3'\n");
        take_back_row(&path, "B='2'").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "A='1'\nC='3'\n");
    }
    use proptest::prelude::*;

    const DB: &str = "DB='alice_wp' DBUSER='alice_u' MD5='*5625' HOST='localhost' TYPE='mysql' \
                      CHARSET='UTF8MB4' U_DISK='6' SUSPENDED='no' TIME='07:06:17' DATE='2026-11-22'";

    #[test]
    fn a_row_of_hestia_reads_and_prints_unchanged() {
        let row = Row::parse(DB.as_bytes()).unwrap();
        assert_eq!(
            (row.text("DB"), row.text("HOST"), row.number("U_DISK")),
            ("alice_wp", "localhost", 6)
        );
        assert_eq!(row.get("NONE"), None);
        assert_eq!(row.to_line(), DB);
    }

    #[test]
    fn values_may_hold_spaces_equal_signs_and_other_keys() {
        let row =
            Row::parse(br#"JOB='1' CMD='cd /x && echo "a=b" DB=%quote%y%quote% # $(id)'"#).unwrap();
        assert_eq!(cron_command(row.text("CMD")), r#"cd /x && echo "a=b" DB='y' # $(id)"#);
        assert_eq!(row.get("DB"), None);
        assert_eq!(cron_stored("echo 'hi'"), "echo %quote%hi%quote%");
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(Row::parse(b"A='1' B='2' A='3'").unwrap().get("A"), Some("3"));
    }

    #[test]
    fn hostile_lines_are_named_and_the_others_still_read() {
        let text =
            b"A='1'\nA='1\nA='1' $(id)\nA='x'y\n='2'\nA=1\nA='\xff'\nA='a\0b'\n\n# note\nA='2'\n";
        let found = parse_rows(text);
        assert_eq!(found.rows.iter().map(|row| row.text("A")).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(found.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8]);
        let long =
            [b"A='".to_vec(), vec![b'x'; limits::CONF_LINE_BYTES_MAX], b"'".to_vec()].concat();
        assert_eq!(parse_rows(&long).bad.len(), 1);
    }

    #[test]
    fn the_sound_beginning_of_a_broken_row_can_be_read() {
        let row = Row::parse_leading(b"BACKUP='a.tar' TYPE='local' UDIR='.ssh,it's mine' TIME='1'");
        assert_eq!(
            (row.text("BACKUP"), row.text("TYPE"), row.get("TIME")),
            ("a.tar", "local", None)
        );
        assert_eq!(Row::parse_leading(b"junk"), Row::default());
    }

    #[test]
    fn keys_of_many_lines_become_one_row() {
        let (row, bad) = parse_keys(b"NAME='Al O'Brien'\nROLE='user'\nbroken\nROLE='admin'\n");
        assert_eq!((row.text("NAME"), row.text("ROLE"), bad.len()), ("Al O'Brien", "admin", 1));
        assert_eq!(row.to_lines(), "NAME='Al O'Brien'\nROLE='user'\nROLE='admin'\n");
    }

    #[test]
    fn a_value_that_could_break_out_is_not_set() {
        let mut row = Row::default();
        row.set("ROLE", "user").unwrap();
        row.set("ROLE", "admin").unwrap();
        assert_eq!(row.to_line(), "ROLE='admin'");
        for (key, value) in [("A", "x'y"), ("A", "x\ny"), ("A B", "x"), ("", "x"), ("A=", "x")] {
            assert_eq!(row.set(key, value).unwrap_err().kind(), Kind::Invalid);
        }
    }

    #[test]
    fn a_file_that_is_a_link_or_a_pipe_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        std::fs::write(&real, "A='1'\n").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(read_rows(&real).unwrap().rows.len(), 1);
        assert!(read_rows(&link).is_err());
        assert!(read_rows(&pipe).is_err());
        assert_eq!(read_file(&folder.path().join("none")).unwrap(), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(
            pairs in proptest::collection::vec(("[A-Za-z_][A-Za-z0-9_]{0,8}", "[^'\\p{Cc}]{0,12}"), 0..6)
        ) {
            let mut row = Row::default();
            for (key, value) in &pairs {
                row.set(key, value).unwrap();
            }
            prop_assert_eq!(&Row::parse(row.to_line().as_bytes()).unwrap(), &row);
            prop_assert_eq!(parse_keys(row.to_lines().as_bytes()), (row, Vec::new()));
        }

        #[test]
        fn no_input_makes_it_panic_and_what_reads_prints_to_the_same(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            for row in parse_rows(&text).rows {
                prop_assert_eq!(&Row::parse(row.to_line().as_bytes()).unwrap(), &row);
            }
        }
    }
}
