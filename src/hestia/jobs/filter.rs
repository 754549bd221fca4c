// SPDX-License-Identifier: MIT
//! Looks at a user's tree on its way into a tarball that Hestia will take back, and makes it safe
//! for that. Hestia's scripts believe what stands in an archive, as root; the archive's content
//! comes from a customer. So configuration rows that are not plain `KEY='value'` rows do not get
//! through, and everything that a restore must be held to afterwards is noted here: which objects
//! there are and how many tables each dump makes.

use super::shelf::is_snippet;
use crate::base::path::display_bytes;
use crate::base::units::bytes;
use crate::base::{Error, Kind, RelPath, Result, WhatIo, limits};
use crate::format::snapshot::Object;
use crate::format::tree::{Node, NodeKind};
use crate::hestia::conf::{self, Row};
use crate::hestia::dump_text::{Content, Watch};
use crate::hestia::inventory::{DbKind, SECTIONS};
use crate::hestia::select::{Choice, Sections};
use crate::hestia::tarball_out::Mode;
use crate::tree::Sink;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// What was seen of a tree.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The objects, without CRON.
    pub objects: BTreeSet<Object>,
    /// Cron jobs.
    pub cron_jobs: u64,
    /// Whether there is a cron/cron.conf.
    pub has_cron: bool,
    /// The databases by the names of their folders.
    pub databases: BTreeMap<String, DbFacts>,
    /// Web domains that have files.
    pub web_with_data: BTreeSet<String>,
    /// Additions to the configuration of servers that were left out: domain and name.
    pub additions: Vec<String>,
    /// What was left out, one line each.
    pub warnings: Vec<String>,
}

/// What was seen of one database.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct DbFacts {
    /// Its row.
    pub row: Option<Row>,
    /// Its dump.
    pub dump: Option<DumpFacts>,
}

/// What was seen of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpFacts {
    /// The engine, by the name of the file.
    pub kind: DbKind,
    /// Its size.
    pub bytes: u64,
    /// What it makes.
    pub content: Content,
}

impl Facts {
    /// Everything that a restore should bring back, in Hestia's order.
    pub fn all_objects(&self) -> Vec<Object> {
        let mut all: Vec<Object> = self.objects.iter().cloned().collect();
        if self.has_cron && self.cron_jobs > 0 {
            all.push(Object { section: "CRON".into(), name: self.cron_jobs.to_string() });
        }
        all.sort_by_key(|one| {
            let place = SECTIONS.iter().position(|word| *word == one.section);
            (place, one.name.clone())
        });
        all
    }

    /// The names of one section's objects.
    pub fn of<'f>(&'f self, section: &'f str) -> impl Iterator<Item = &'f str> {
        self.objects.iter().filter(move |one| one.section == section).map(|one| one.name.as_str())
    }
}

/// A sink that looks and cleans, in front of another.
pub struct Filter {
    inner: Box<dyn Sink>,
    sections: Sections,
    facts: Arc<Mutex<Facts>>,
    /// The mode of the tarball, if Hestia is to take it.
    mode: Option<Mode>,
    additions: Additions,
}

/// What becomes of additions to the configuration of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Additions {
    Kept,
    LeftOut,
}

/// The facts, for the one who waits for the sink to be done.
#[derive(Clone, Default)]
pub struct SharedFacts(Arc<Mutex<Facts>>);

impl SharedFacts {
    /// The facts so far.
    pub fn get(&self) -> Facts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Filter {
    /// Puts a filter in front of a sink; objects that `sections` do not name stay behind.
    pub fn new(inner: Box<dyn Sink>, sections: Sections, facts: &SharedFacts) -> Self {
        let (facts, additions) = (Arc::clone(&facts.0), Additions::Kept);
        Self { inner, sections, facts, mode: None, additions }
    }

    /// Leaves out what Hestia cannot take back from a tarball of this mode.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Leaves out what a domain adds to the configuration of servers: those read it as root, and
    /// in a tarball from elsewhere it is anybody's.
    #[must_use]
    pub fn without_additions(mut self) -> Self {
        self.additions = Additions::LeftOut;
        self
    }

    /// Notes an addition that stays behind; says whether this is one.
    fn is_left_out(&self, names: &[&[u8]]) -> bool {
        let [top @ (b"web" | b"mail"), domain, b"conf", .., name] = names else { return false };
        let text = String::from_utf8_lossy(name);
        // Certificates are not read as instructions.
        let is_certificate =
            [".crt", ".key", ".ca", ".pem"].iter().any(|ending| text.ends_with(ending));
        if self.additions == Additions::Kept || is_certificate {
            return false;
        }
        // Hestia makes the others itself, so nobody misses them.
        if *top == b"web" && is_snippet(&text) {
            let name = format!("{}: {}", display_bytes(domain), display_bytes(name));
            self.facts().additions.push(name);
        }
        true
    }

    /// A selection by patterns hands on the folders that lead to a match; an object is meant by
    /// its exact name only.
    fn is_meant(&self, names: &[&[u8]]) -> bool {
        let [top, name, ..] = names else { return true };
        let choice = match *top {
            b"web" => &self.sections.web,
            b"dns" => &self.sections.dns,
            b"mail" => &self.sections.mail,
            b"db" => &self.sections.db,
            b"user_dir" => &self.sections.udir,
            _ => return true,
        };
        std::str::from_utf8(name).map_or(*choice == Choice::All, |name| choice.takes(name))
    }

    /// Whether Hestia's restore would stop at the archive of this entry: it reads the names of a
    /// home off those of the archives, and guesses from the whole path how to unpack one. Such an
    /// entry of the home, or the mails of such a domain, are left out, so that the others come back.
    fn is_beyond_hestia(&self, names: &[&[u8]]) -> bool {
        let Some(mode) = self.mode else { return false };
        let (name, is_home, rest) = match names {
            [b"user_dir", name, rest @ ..] => (name, true, rest),
            [b"mail", name, b"accounts", rest @ ..] => (name, false, rest),
            _ => return false,
        };
        if !is_unpacked_wrongly(name, mode) && (!is_home || is_cut_right(name, mode)) {
            return false;
        }
        if rest.is_empty() {
            let name = display_bytes(name);
            let whose =
                if is_home { format!("'{name}' of the home") } else { format!("mails of {name}") };
            self.facts().warnings.push(format!(
                "{whose}: left out, because Hestia's restore would stop at such a name; restore that \
                 into a folder instead"
            ));
        }
        true
    }

    fn rows(
        &mut self,
        path: &RelPath,
        node: &Node,
        content: &mut dyn Read,
        clean: impl Fn(&[u8]) -> (Vec<u8>, usize),
    ) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let what = || format!("read {path}");
        content.take(limits::CONF_FILE_BYTES_MAX + 1).read_to_end(&mut text).what_io(what)?;
        if bytes(text.len()) > limits::CONF_FILE_BYTES_MAX {
            return Err(Error::new(Kind::Parsing, what())
                .why(format!("it is larger than {} bytes", limits::CONF_FILE_BYTES_MAX)));
        }
        let (clean, dropped) = clean(&text);
        if dropped > 0 {
            self.facts().warnings.push(format!(
                "{path}: {dropped} lines are no rows that Hestia could read and were left out"
            ));
        }
        let mut node = node.clone();
        node.meta.size = bytes(clean.len());
        node.extents.clear();
        self.inner.entry(path, &node, &mut clean.as_slice())?;
        Ok(clean)
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, names: &[&[u8]], node: &Node) {
        let [top, name, rest @ ..] = names else { return };
        let name = display_bytes(name);
        let mut facts = self.facts();
        let section = match (*top, rest) {
            (b"web", []) if node.is_folder() => "WEB",
            (b"dns", []) if node.is_folder() => "DNS",
            (b"mail", []) if node.is_folder() => "MAIL",
            (b"db", []) if node.is_folder() => {
                facts.databases.entry(name.clone()).or_default();
                "DB"
            }
            (b"user_dir", []) => "UDIR",
            (b"web", [b"data"]) => {
                facts.web_with_data.insert(name);
                return;
            }
            _ => return,
        };
        facts.objects.insert(Object { section: section.to_owned(), name });
    }

    fn dump(
        &mut self,
        path: &RelPath,
        node: &Node,
        content: &mut dyn Read,
        database: &[u8],
        kind: DbKind,
    ) -> Result<()> {
        let mut watch = Watch::new(content, kind);
        self.inner.entry(path, node, &mut watch)?;
        let dump = DumpFacts { kind, bytes: node.meta.size, content: watch.finish()? };
        self.facts().databases.entry(display_bytes(database)).or_default().dump = Some(dump);
        Ok(())
    }
}

impl Sink for Filter {
    fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let names: Vec<&[u8]> = path.names().collect();
        if !self.is_meant(&names) || self.is_beyond_hestia(&names) {
            return Ok(());
        }
        self.note(&names, node);
        if node.meta.kind != NodeKind::File {
            return self.inner.entry(path, node, content);
        }
        if self.is_left_out(&names) || is_foreign_key(&names) {
            return Ok(());
        }
        match names.as_slice() {
            [b"hestia", b"user.conf"] => {
                self.rows(path, node, content, clean_keys)?;
            }
            [b"hestia", b"backup-excludes.conf"] => {
                self.rows(path, node, content, clean_excludes)?;
            }
            [b"cron", b"cron.conf"] => {
                let clean = self.rows(path, node, content, clean_rows)?;
                let mut facts = self.facts();
                facts.has_cron = true;
                facts.cron_jobs = bytes(conf::parse_rows(&clean).rows.len());
            }
            [b"db", database, b"hestia", b"db.conf"] => {
                let clean = self.rows(path, node, content, clean_rows)?;
                let row = conf::parse_rows(&clean).rows.into_iter().next();
                self.facts().databases.entry(display_bytes(database)).or_default().row = row;
            }
            [top @ (b"web" | b"dns" | b"mail"), domain, b"hestia", name]
                if name.strip_suffix(b".conf") == Some(*top) =>
            {
                let domain = display_bytes(domain);
                self.rows(path, node, content, |text| row_of_domain(text, &domain))?;
            }
            [b"web" | b"dns" | b"mail", _, b"hestia", name] if name.ends_with(b".conf") => {
                self.rows(path, node, content, clean_rows)?;
            }
            [b"db", database, name] => match dump_kind(database, name) {
                Some(kind) => self.dump(path, node, content, database, kind)?,
                None => self.inner.entry(path, node, content)?,
            },
            _ => self.inner.entry(path, node, content)?,
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.inner.finish()
    }
}

/// Whether a file lies among a zone's signing keys and is none of them: Hestia copies all of them
/// to where those of every zone are.
fn is_foreign_key(names: &[&[u8]]) -> bool {
    let [b"dns", domain, b"conf", b"keys", name] = names else { return false };
    let rest = name.strip_prefix(b"K").unwrap_or_default();
    let is_own = rest.strip_prefix(*domain).is_some_and(|rest| rest.starts_with(b".+"));
    // A name beyond ASCII is written in another way there.
    let is_written_otherwise = !domain.is_ascii() && rest.starts_with(b"xn--");
    !is_own && !is_written_otherwise
}

/// Whether this is the dump of the database whose folder it lies in, and of which engine.
fn dump_kind(database: &[u8], name: &[u8]) -> Option<DbKind> {
    let kind = name.strip_prefix(database)?.strip_prefix(b".")?.strip_suffix(b".sql")?;
    DbKind::parse(std::str::from_utf8(kind).ok()?)
}

/// Whether the name of a home's entry is found again by cutting the first thing that looks like the
/// ending out of the archive's name. A dot means any letter, as in Hestia's expression.
fn is_cut_right(name: &[u8], mode: Mode) -> bool {
    let ending: &[u8] = match mode {
        Mode::Zstd => b".tar.zst",
        Mode::Gzip => b".tar.gz",
    };
    let archive = [name, ending].concat();
    let Some(at) = place_of(&archive, ending) else { return false };
    let (before, rest) = archive.split_at(at);
    rest.get(ending.len()..).is_some_and(|behind| [before, behind].concat() == name)
}

/// Whether Hestia takes the archive for one of another kind as well, because of its name, and then
/// fails. What it tries last decides; something always stands before the name.
fn is_unpacked_wrongly(name: &[u8], mode: Mode) -> bool {
    let path = [b"/", name].concat().to_ascii_lowercase();
    let any: &[&[u8]] = &[b".zip", b".7z", b".rar"];
    let of_mode: &[&[u8]] = match mode {
        Mode::Zstd => &[],
        Mode::Gzip => &[b".tbz", b".tar.bz", b".tar.zst"],
    };
    any.iter().chain(of_mode).any(|pattern| place_of(&path, pattern).is_some())
}

/// Where something begins that looks like the pattern; a dot means any letter.
fn place_of(text: &[u8], pattern: &[u8]) -> Option<usize> {
    let looks_like = |piece: &[u8]| {
        piece.iter().zip(pattern).all(|(is, wanted)| *wanted == b'.' || is == wanted)
    };
    text.windows(pattern.len()).position(looks_like)
}

/// Keeps the lines that are rows, and counts the others.
fn clean_rows(text: &[u8]) -> (Vec<u8>, usize) {
    let (mut clean, mut dropped) = (Vec::with_capacity(text.len()), 0);
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        let is_row = line.len() <= limits::CONF_LINE_BYTES_MAX
            && Row::parse(line).is_ok_and(|row| row.pairs().all(|(key, _)| is_harmless(key)));
        match (line, is_row) {
            ([] | [b'#', ..], _) => {}
            (row, true) => {
                clean.extend_from_slice(row);
                clean.push(b'\n');
            }
            _ => dropped += 1,
        }
    }
    (clean, dropped)
}

/// Hestia's scripts turn the keys of a row into variables of a shell that runs as root: one that
/// means something to the shell, or to the scripts, must not come out of an archive.
fn is_harmless(key: &str) -> bool {
    const MEANINGFUL: [&str; 24] = [
        "PATH",
        "IFS",
        "ENV",
        "HOME",
        "SHELL",
        "SHELLOPTS",
        "HESTIA",
        "BIN",
        "HOMEDIR",
        "BACKUP",
        "BACKUP_TEMP",
        "BACKUP_DISK_LIMIT",
        "BACKUP_LA_LIMIT",
        "BACKUP_GZIP",
        "BACKUP_MODE",
        "BACKUP_SYSTEM",
        "USER_DATA",
        "USER",
        "PWD",
        "TMPDIR",
        "PS4",
        "PROMPT_COMMAND",
        "FUNCNAME",
        "ROOT_USER",
    ];
    let is_name = key.starts_with(|c: char| c.is_ascii_uppercase())
        && key.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
    is_name
        && !MEANINGFUL.contains(&key)
        && !["BASH", "LD_"].iter().any(|start| key.starts_with(start))
}

/// Keeps the six lines that exclusions have: Hestia's backup sources this file as root.
fn clean_excludes(text: &[u8]) -> (Vec<u8>, usize) {
    let (mut clean, mut dropped) = (Vec::new(), 0);
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        let is_exclusion = Row::parse(line).is_ok_and(|row| {
            let pairs: Vec<(&str, &str)> = row.pairs().collect();
            let harmless = |c: char| {
                c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | ',' | '*' | '@')
            };
            matches!(pairs.as_slice(),
                [("WEB" | "DNS" | "MAIL" | "DB" | "CRON" | "USER", value)]
                    if value.chars().all(harmless))
        });
        match (line, is_exclusion) {
            ([] | [b'#', ..], _) => {}
            (row, true) => {
                clean.extend_from_slice(row);
                clean.push(b'\n');
            }
            _ => dropped += 1,
        }
    }
    (clean, dropped)
}

/// Keeps the one row of the domain whose folder this is: any other would be taken over unread.
fn row_of_domain(text: &[u8], domain: &str) -> (Vec<u8>, usize) {
    let (rows, mut dropped) = clean_rows(text);
    let mut kept = Vec::new();
    for line in rows.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let is_own = Row::parse(line).is_ok_and(|row| row.get("DOMAIN") == Some(domain));
        if is_own && kept.is_empty() {
            kept = [line, b"\n"].concat();
        } else {
            dropped += 1;
        }
    }
    (kept, dropped)
}

/// Keeps the lines of `KEY='value'`; a quote within a value, which only Hestia's newer releases
/// read as such, becomes an accent.
fn clean_keys(text: &[u8]) -> (Vec<u8>, usize) {
    let (row, bad) = conf::parse_keys(text);
    let line = |(key, value): (&str, &str)| format!("{key}='{}'\n", value.replace('\'', "\u{b4}"));
    let is_kept = |(key, _): &(&str, &str)| is_harmless(key) || *key == "SHELL";
    let lines: Vec<String> = row.pairs().filter(is_kept).map(line).collect();
    let dropped = row.pairs().filter(|pair| !is_kept(pair)).count();
    (lines.concat().into_bytes(), bad.len() + dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_hestia_would_mix_up_are_known() {
        for (name, zstd, gzip) in [
            ("notes", true, true),
            ("notes.tar.zst", true, true),
            ("notes.tar.zst.bak", false, true),
            ("star.zst", false, true),
            ("a.tar.gz.old", true, false),
            ("tar.gz", true, true),
            ("", true, true),
        ] {
            assert_eq!(is_cut_right(name.as_bytes(), Mode::Zstd), zstd, "{name}");
            assert_eq!(is_cut_right(name.as_bytes(), Mode::Gzip), gzip, "{name}");
        }
        for (name, zstd, gzip) in [
            ("notes.tar.gz", true, true),
            ("notes.tar.zst", true, false),
            ("site.tar.bz2", true, false),
            ("site.TBZ", true, false),
            ("Photos.ZIP", false, false),
            ("unzipped", false, false),
            ("library", false, false),
            ("rarely", false, false),
            ("x.7z", false, false),
            ("ra", true, true),
        ] {
            assert_eq!(!is_unpacked_wrongly(name.as_bytes(), Mode::Zstd), zstd, "{name}");
            assert_eq!(!is_unpacked_wrongly(name.as_bytes(), Mode::Gzip), gzip, "{name}");
        }
    }
    use crate::format::tree::Meta;

    type Written = Vec<(String, Vec<u8>)>;

    /// Keeps what gets through.
    #[derive(Clone, Default)]
    struct Keep(Arc<Mutex<Written>>);

    impl Sink for Keep {
        fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
            let mut text = Vec::new();
            // In small pieces, as a pipe would give it.
            let mut piece = [0; 7];
            loop {
                match content.read(&mut piece).unwrap() {
                    0 => break,
                    count => text.extend_from_slice(&piece[..count]),
                }
            }
            assert_eq!(node.meta.size, bytes(text.len()), "{path}");
            self.0.lock().unwrap().push((path.to_string(), text));
            Ok(())
        }
        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    fn run(entries: &[(&str, Option<&str>)]) -> (Facts, Written) {
        run_with(Sections::all(), entries)
    }

    fn run_with(sections: Sections, entries: &[(&str, Option<&str>)]) -> (Facts, Written) {
        let (keep, facts) = (Keep::default(), SharedFacts::default());
        let mut filter = Filter::new(Box::new(keep.clone()), sections, &facts);
        for (path, content) in entries {
            let kind = if content.is_some() { NodeKind::File } else { NodeKind::Folder };
            let text = content.unwrap_or_default().as_bytes();
            let meta = Meta { kind, size: bytes(text.len()), ..Meta::default() };
            let node = Node { meta, ..Node::default() };
            filter.entry(&RelPath::parse(path.as_bytes()).unwrap(), &node, &mut &*text).unwrap();
        }
        let written = keep.0.lock().unwrap().clone();
        (facts.get(), written)
    }

    #[test]
    fn rows_that_could_run_in_a_shell_do_not_get_through() {
        let (facts, written) = run(&[
            (
                "hestia/user.conf",
                Some("NAME='O'Brien'\nROLE='user'\nA='x' $(id)\nexport B='1'\nC=`id`\n"),
            ),
            ("web/a.example/hestia/web.conf", Some("DOMAIN='a.example' ALIAS=''$(id)''\n")),
            (
                "cron/cron.conf",
                Some("JOB='1' CMD='echo %quote%hi%quote%'\r\n\nJOB='2' CMD='it's'\n"),
            ),
            ("web/a.example/conf/nginx.conf", Some("server { $(kept) }\n")),
        ]);
        let text = |at: usize| String::from_utf8(written[at].1.clone()).unwrap();
        assert_eq!(
            text(0),
            "NAME='O\u{b4}Brien'\nROLE='user'\nA='x\u{b4} $(id)'\n"
                .replace("A='x\u{b4} $(id)'\n", "")
        );
        assert_eq!(text(1), "");
        assert_eq!(text(2), "JOB='1' CMD='echo %quote%hi%quote%'\n");
        assert_eq!(text(3), "server { $(kept) }\n");
        assert_eq!((facts.cron_jobs, facts.has_cron, facts.warnings.len()), (1, true, 3));
    }

    #[test]
    fn keys_that_mean_something_to_a_shell_do_not_get_through() {
        let (facts, written) = run(&[
            (
                "hestia/backup-excludes.conf",
                Some("WEB='a.example:cache,tmp'\nPATH='/home/alice/bin'\nDB='x;id'\nUSER='*'\n"),
            ),
            (
                "mail/a.example/hestia/mail.conf",
                Some("DOMAIN='a.example' DKIM='no'\nDOMAIN='bob.example' DKIM='no'\n"),
            ),
            ("web/a.example/hestia/web.conf", Some("DOMAIN='a.example' BASH_ENV='/tmp/x'\n")),
            ("cron/cron.conf", Some("JOB='1' CMD='true' IFS='x'\nJOB='2' CMD='true'\n")),
        ]);
        let text = |at: usize| String::from_utf8(written[at].1.clone()).unwrap();
        assert_eq!(text(0), "WEB='a.example:cache,tmp'\nUSER='*'\n");
        assert_eq!(text(1), "DOMAIN='a.example' DKIM='no'\n");
        assert_eq!(text(2), "");
        assert_eq!(text(3), "JOB='2' CMD='true'\n");
        assert_eq!(facts.warnings.len(), 4);
    }

    #[test]
    fn an_object_is_meant_by_its_exact_name_only() {
        let sections = Sections::parse(&["no", "no", "no", "no", "no", "a[1]"]).unwrap();
        let entries = [
            ("user_dir/a1", None),
            ("user_dir/a[1]", None),
            ("user_dir/a[1]/x", Some("y")),
            ("user_dir/a1/x", Some("y")),
        ];
        let (facts, written) = run_with(sections, &entries);
        assert_eq!(facts.of("UDIR").collect::<Vec<_>>(), ["a[1]"]);
        assert_eq!(written.len(), 2);
    }

    #[test]
    fn objects_dumps_and_rows_are_noted() {
        let (facts, _) = run(&[
            ("web", None),
            ("web/a.example", None),
            ("web/a.example/data", None),
            ("mail/a.example", None),
            ("user_dir/.bashrc", Some("x")),
            ("db/alice_wp", None),
            ("db/alice_wp/hestia/db.conf", Some("DB='alice_wp' TYPE='mysql'\n")),
            (
                "db/alice_wp/alice_wp.mysql.sql",
                Some(
                    "-- x\nCREATE TABLE `a` (\n `CREATE TABLE ` int);\nINSERT x;\nCREATE TABLE `b` (x int);\n/*!50001 CREATE VIEW `v` */;",
                ),
            ),
            ("db/alice_geo", None),
            (
                "db/alice_geo/alice_geo.pgsql.sql",
                Some(
                    "--\n-- Name: t; Type: TABLE; Schema: public; Owner: -\n--\nCREATE TABLE public.t (\n);\nINSERT INTO t VALUES ('a\nCREATE TABLE x');\n-- Data for Name: t; Type: TABLE DATA; Schema: public\n-- Name: s; Type: SEQUENCE; Schema: public\n",
                ),
            ),
            ("db/alice_geo/other.sql", Some("CREATE TABLE x")),
        ]);
        let named = |section| facts.of(section).collect::<Vec<_>>();
        assert_eq!(
            (named("WEB"), named("MAIL"), named("UDIR")),
            (vec!["a.example"], vec!["a.example"], vec![".bashrc"])
        );
        let tables = |name: &str| {
            facts.databases[name].dump.as_ref().map_or(0, |dump| dump.content.tables.len())
        };
        assert_eq!((tables("alice_wp"), tables("alice_geo")), (2, 1));
        assert_eq!(facts.databases["alice_wp"].row.as_ref().unwrap().text("TYPE"), "mysql");
        assert_eq!(facts.databases["alice_geo"].row, None);
        assert!(facts.web_with_data.contains("a.example"));
    }
}
