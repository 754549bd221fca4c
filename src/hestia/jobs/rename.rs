// SPDX-License-Identifier: MIT
//! A user's tree under another name: what Hestia would take for the old user's is written as if it
//! had been the new user's from the start. Hestia's own restore drops the database that an archive
//! names before it gives it a new name, renames only the first FTP account, and leaves paths as
//! they are.

use super::verify::renamed;
use super::web_row::new_name;
use crate::base::units::bytes;
use crate::base::{RelPath, Result, WhatIo, limits};
use crate::format::tree::{Node, NodeKind};
use crate::hestia::conf::{self, Row};
use crate::hestia::dump_text::quoted;
use crate::hestia::layout::{Hestia, UserName};
use crate::tree::Sink;
use crate::tree::source::SIZE_UNKNOWN;
use std::io::{self, BufRead, BufReader, Read};

/// A sink that renames what goes through it.
pub struct Renamer {
    inner: Box<dyn Sink>,
    names: Names,
}

/// The two names, and what they stand for.
#[derive(Debug, Clone)]
struct Names {
    old: UserName,
    new: UserName,
    old_home: String,
    new_home: String,
}

impl Renamer {
    /// Puts a renamer in front of a sink.
    pub fn new(inner: Box<dyn Sink>, hestia: &Hestia, from: &UserName, to: &UserName) -> Self {
        let home = |user: &UserName| hestia.user_home(user).display().to_string();
        let (old_home, new_home) = (home(from), home(to));
        let (old, new) = (from.clone(), to.clone());
        Self { inner, names: Names { old, new, old_home, new_home } }
    }

    fn text(
        &mut self,
        path: &RelPath,
        node: &Node,
        content: &mut dyn Read,
        change: impl Fn(&Names, &[u8]) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let mut text = Vec::new();
        let limit = limits::CONF_FILE_BYTES_MAX;
        content.take(limit).read_to_end(&mut text).what_io(|| format!("read {path}"))?;
        let text = change(&self.names, &text)?;
        let mut node = node.clone();
        node.meta.size = bytes(text.len());
        node.extents.clear();
        self.inner.entry(path, &node, &mut text.as_slice())
    }
}

impl Sink for Renamer {
    fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let new_path = self.names.path(path)?;
        let names: Vec<&[u8]> = path.names().collect();
        if node.meta.kind != NodeKind::File {
            return self.inner.entry(&new_path, node, content);
        }
        match names.as_slice() {
            [b"pam", _] => self.text(&new_path, node, content, Names::account),
            [b"web", _, b"hestia", b"web.conf"] => {
                self.text(&new_path, node, content, |names, text| names.rows(text, Names::web))
            }
            [b"db", _, b"hestia", b"db.conf"] => {
                self.text(&new_path, node, content, |names, text| names.rows(text, Names::database))
            }
            [b"cron", b"cron.conf"] => {
                self.text(&new_path, node, content, |names, text| names.rows(text, Names::job))
            }
            [b"web" | b"mail", _, b"conf", ..] => {
                self.text(&new_path, node, content, |names, text| Ok(names.paths(text)))
            }
            [b"db", _, name] if name.ends_with(b".mysql.sql") => {
                let mut node = node.clone();
                node.meta.size = SIZE_UNKNOWN;
                let mut dump = Definers::new(content, &self.names.old, &self.names.new);
                self.inner.entry(&new_path, &node, &mut dump)
            }
            _ => self.inner.entry(&new_path, node, content),
        }
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.inner.finish()
    }
}

impl Names {
    /// Databases have their folder and their dump named after them.
    fn path(&self, path: &RelPath) -> Result<RelPath> {
        let names: Vec<&[u8]> = path.names().collect();
        let [b"db", database, rest @ ..] = names.as_slice() else { return Ok(path.clone()) };
        let Ok(old) = std::str::from_utf8(database) else { return Ok(path.clone()) };
        let new = renamed(old, &self.new, &self.old);
        let mut changed = RelPath::parse(b"db")?.join(new.as_bytes())?;
        for name in rest {
            let ending = name.strip_prefix(*database).filter(|end| end.starts_with(b"."));
            let renamed = ending.map(|end| [new.as_bytes(), end].concat());
            changed = changed.join(renamed.as_deref().unwrap_or(name))?;
        }
        Ok(changed)
    }

    /// The first field of each line is a name, the home is in one of the others.
    #[expect(clippy::unnecessary_wraps, reason = "one of several of this shape")]
    fn account(&self, text: &[u8]) -> Result<Vec<u8>> {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().map(|line| {
            let fields = line.split(':').map(|field| {
                let is_name = field == self.old.as_str();
                let is_home = field == self.old_home;
                if is_name {
                    self.new.as_str()
                } else if is_home {
                    self.new_home.as_str()
                } else {
                    field
                }
            });
            fields.collect::<Vec<_>>().join(":") + "\n"
        });
        Ok(lines.collect::<String>().into_bytes())
    }

    fn rows(&self, text: &[u8], change: fn(&Self, &mut Row) -> Result<()>) -> Result<Vec<u8>> {
        let mut lines = String::new();
        for mut row in conf::parse_rows(text).rows {
            change(self, &mut row)?;
            lines.push_str(&row.to_line());
            lines.push('\n');
        }
        Ok(lines.into_bytes())
    }

    fn web(&self, row: &mut Row) -> Result<()> {
        if !row.text("FTP_USER").is_empty() {
            let names = row.text("FTP_USER").split(':').filter(|name| !name.is_empty());
            let names: Vec<String> =
                names.map(|name| new_name(name, &self.new, &self.old)).collect();
            row.set("FTP_USER", &names.join(":"))?;
        }
        for key in ["CUSTOM_DOCROOT", "CUSTOM_PHPROOT"] {
            self.path_in(row, key)?;
        }
        Ok(())
    }

    fn database(&self, row: &mut Row) -> Result<()> {
        for key in ["DB", "DBUSER"] {
            let name = renamed(row.text(key), &self.new, &self.old);
            row.set(key, &name)?;
        }
        Ok(())
    }

    fn job(&self, row: &mut Row) -> Result<()> {
        self.path_in(row, "CMD")
    }

    fn path_in(&self, row: &mut Row, key: &str) -> Result<()> {
        let Some(value) = row.get(key).map(str::to_owned) else { return Ok(()) };
        let changed = self.paths(value.as_bytes());
        row.set(key, &String::from_utf8_lossy(&changed))
    }

    /// The same text with the new home wherever the old one stands: `/home/alice` and what lies
    /// below it, but not `/home/alice2` or `/mnt/home/alice`.
    fn paths(&self, text: &[u8]) -> Vec<u8> {
        let old = self.old_home.as_bytes();
        let in_name =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let mut changed = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.windows(old.len().max(1)).position(|part| part == old) {
            let (before, found) = rest.split_at(at);
            let after = found.get(old.len()..).unwrap_or_default();
            changed.extend_from_slice(before);
            let begins = !changed.last().is_some_and(|byte| in_name(byte) || *byte == b'/');
            let ends = !after.first().is_some_and(in_name);
            changed.extend_from_slice(if begins && ends { self.new_home.as_bytes() } else { old });
            rest = after;
        }
        changed.extend_from_slice(rest);
        changed
    }
}

/// A MariaDB dump whose views, triggers and routines run as the new database user. Rows of data
/// are left as they are: the words are looked for only where mariadb-dump writes them.
struct Definers<'c> {
    content: BufReader<&'c mut dyn Read>,
    old: Vec<u8>,
    new: Vec<u8>,
    /// What is ready to be read, and how much of it has been.
    ready: Vec<u8>,
    used: usize,
    /// In the middle of a line that is too long to be looked at.
    in_long_line: bool,
}

/// Lines that name a definer are short; those of data can be as long as a packet.
const DEFINER_LINE_BYTES: u64 = 64 * 1024;

impl<'c> Definers<'c> {
    fn new(content: &'c mut dyn Read, old: &UserName, new: &UserName) -> Self {
        let word = |user: &UserName| format!("DEFINER=`{user}_").into_bytes();
        Self {
            content: BufReader::with_capacity(128 * 1024, content),
            old: word(old),
            new: word(new),
            ready: Vec::new(),
            used: 0,
            in_long_line: false,
        }
    }

    fn next(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.used = 0;
        let mut limited = (&mut self.content).take(DEFINER_LINE_BYTES);
        limited.read_until(b'\n', &mut self.ready)?;
        let is_whole = self.ready.ends_with(b"\n");
        let looks = !self.in_long_line
            && (self.ready.starts_with(b"/*!5") || self.ready.starts_with(b"CREATE "));
        if looks {
            let at = self.ready.windows(self.old.len()).position(|part| part == self.old);
            if let Some(at) = at {
                self.ready.splice(at..at + self.old.len(), self.new.iter().copied());
            }
        }
        if !self.in_long_line {
            self.forget_database();
        }
        self.in_long_line = !is_whole;
        Ok(())
    }
}

impl Definers<'_> {
    /// A definition may be made under another collation of the database, by its old name: without
    /// one, the database that the dump goes to is meant.
    fn forget_database(&mut self) {
        const WORD: &[u8] = b"ALTER DATABASE ";
        if let Some(rest) = self.ready.strip_prefix(WORD)
            && let Some((_, used)) = quoted(rest, b'`')
        {
            self.ready.drain(WORD.len() - 1..WORD.len() + used);
        }
    }
}

impl Read for Definers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used >= self.ready.len() {
            self.next()?;
        }
        let rest = self.ready.get(self.used..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.used += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Keep(Arc<Mutex<Vec<(String, String)>>>);

    impl Sink for Keep {
        fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
            let mut text = String::new();
            content.read_to_string(&mut text).unwrap();
            assert!([SIZE_UNKNOWN, bytes(text.len())].contains(&node.meta.size));
            self.0.lock().unwrap().push((path.to_string(), text));
            Ok(())
        }
        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    fn through(path: &str, text: &str) -> (String, String) {
        let keep = Keep::default();
        let name = |text| UserName::parse(text).unwrap();
        let hestia = Hestia::default();
        let mut sink = Renamer::new(Box::new(keep.clone()), &hestia, &name("al"), &name("carol"));
        let mut node = Node::default();
        node.meta.kind = NodeKind::File;
        node.meta.size = bytes(text.len());
        sink.entry(&RelPath::parse(path.as_bytes()).unwrap(), &node, &mut text.as_bytes()).unwrap();
        keep.0.lock().unwrap().remove(0)
    }

    #[test]
    fn a_database_is_the_new_users_in_every_place_that_names_it() {
        assert_eq!(
            through("db/al_wp/hestia/db.conf", "DB='al_wp' DBUSER='al_u' MD5='*1'\n"),
            (
                "db/carol_wp/hestia/db.conf".into(),
                "DB='carol_wp' DBUSER='carol_u' MD5='*1'\n".into()
            )
        );
        let dump = "/*!50013 DEFINER=`al_u`@`localhost` SQL SECURITY DEFINER */\n\
                    INSERT INTO `t` VALUES ('DEFINER=`al_u`');\n\
                    CREATE DEFINER=`al_u`@`%` PROCEDURE `p`()\n\
                    ALTER DATABASE `al_wp` CHARACTER SET latin1 COLLATE latin1_german1_ci ;\n";
        let (path, text) = through("db/al_wp/al_wp.mysql.sql", dump);
        assert_eq!(path, "db/carol_wp/carol_wp.mysql.sql");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "/*!50013 DEFINER=`carol_u`@`localhost` SQL SECURITY DEFINER */");
        assert_eq!(lines[1], "INSERT INTO `t` VALUES ('DEFINER=`al_u`');");
        assert_eq!(lines[2], "CREATE DEFINER=`carol_u`@`%` PROCEDURE `p`()");
        assert_eq!(lines[3], "ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_german1_ci ;");
    }

    #[test]
    fn accounts_and_paths_are_the_new_users_and_nobody_elses_are_touched() {
        let (_, text) = through("pam/passwd", "al:x:1005:1005:al@al.example:/home/al:/bin/bash\n");
        assert_eq!(text, "carol:x:1005:1005:al@al.example:/home/carol:/bin/bash\n");
        let (_, text) = through(
            "cron/cron.conf",
            "JOB='1' CMD='/home/al/run /home/al2/x /mnt/home/al /home/al > /home/al/log'\n",
        );
        assert_eq!(
            text,
            "JOB='1' CMD='/home/carol/run /home/al2/x /mnt/home/al /home/carol > /home/carol/log'\n"
        );
        let row = "DOMAIN='a.example' FTP_USER='al_f1:al_f2' CUSTOM_DOCROOT='/home/al/web/b/'\n";
        let (_, text) = through("web/a.example/hestia/web.conf", row);
        assert_eq!(
            text,
            "DOMAIN='a.example' FTP_USER='carol_f1:carol_f2' CUSTOM_DOCROOT='/home/carol/web/b/'\n"
        );
        let (_, text) = through("web/a.example/conf/nginx.conf_x", "root /home/al/web/x;\n");
        assert_eq!(text, "root /home/carol/web/x;\n");
        let (_, text) = through("web/a.example/data/public_html/x", "/home/al/\n");
        assert_eq!(text, "/home/al/\n");
    }

    #[test]
    fn lines_of_data_pass_however_long_they_are() {
        let long = format!("INSERT {}\nCREATE DEFINER=`al_u`@`x`\n", "x".repeat(300_000));
        let (_, text) = through("db/al_wp/al_wp.mysql.sql", &long);
        assert_eq!(text, long.replace("al_u", "carol_u"));
    }
}
