// SPDX-License-Identifier: MIT
//! What a rehearsal looks at while a user's tree passes by: whether those files that Hestia itself
//! would have to understand can be understood, and which objects are there.

use crate::base::path::display_bytes;
use crate::base::units::number_of;
use crate::base::{RelPath, Result, WhatIo, limits, units};
use crate::format::Snapshot;
use crate::format::tree::{Node, NodeKind};
use crate::hestia::conf::{self, BadLine, Row};
use crate::hestia::inventory::DbKind;
use crate::hestia::objects::Seen;
use crate::ops::prove::Witness;
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was seen of a user's tree.
#[derive(Default)]
pub(super) struct Parts(Mutex<Found>);

#[derive(Default)]
struct Found {
    seen: Seen,
    /// Folders of domains, as `web/a.example`, and those with their row.
    domains: BTreeSet<String>,
    with_row: BTreeSet<String>,
    databases: BTreeSet<String>,
    has_user: bool,
    /// What a restore could do nothing with, one line each.
    problems: Vec<String>,
    /// More objects than are looked at.
    is_too_many: bool,
}

/// What is to be said of it.
pub(super) struct Told {
    /// The databases, by the names of their folders.
    pub databases: Vec<String>,
    /// What a restore could do nothing with.
    pub problems: Vec<String>,
}

impl Parts {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there, and what is missing of what the snapshot says it has.
    pub fn finish(self, snapshot: &Snapshot) -> Told {
        let found = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Found { seen, domains, with_row, databases, has_user, mut problems, is_too_many } =
            found;
        if !has_user {
            problems.push("hestia/user.conf: it is not there, or says nothing".to_owned());
        }
        for domain in domains.difference(&with_row) {
            problems.push(format!("{domain}: it has no row, so Hestia would not know it"));
        }
        let there: BTreeSet<_> = seen.objects().into_iter().collect();
        let missing = snapshot.objects.iter().filter(|one| !there.contains(*one));
        for one in missing.take(limits::REASONS_MAX).filter(|_| !is_too_many) {
            problems
                .push(format!("{} {}: the snapshot names it and lacks it", one.section, one.name));
        }
        Told { databases: databases.into_iter().collect(), problems }
    }

    fn problem(&self, path: &RelPath, why: &str) {
        let mut found = self.found();
        if found.problems.len() < limits::REASONS_MAX {
            found.problems.push(format!("{path}: {why}"));
        }
    }

    fn bad_lines(&self, path: &RelPath, bad: &[BadLine]) {
        if let Some(first) = bad.first() {
            let lines = number_of(units::bytes(bad.len()), "line");
            self.problem(
                path,
                &format!("{lines} cannot be read, line {} first: {}", first.line, first.why),
            );
        }
    }

    fn rows(&self, path: &RelPath, text: &[u8]) -> Vec<Row> {
        let read = conf::parse_rows(text);
        self.bad_lines(path, &read.bad);
        read.rows
    }

    /// A file of Hestia's own.
    fn configuration(&self, path: &RelPath, names: &[&[u8]], text: &[u8]) {
        match names {
            [b"hestia", b"user.conf"] => {
                let (row, bad) = conf::parse_keys(text);
                self.bad_lines(path, &bad);
                self.found().has_user = row.pairs().next().is_some();
            }
            [b"cron", b"cron.conf"] => {
                self.found().seen.count_jobs(text);
                let rows = self.rows(path, text);
                if rows.iter().any(|row| row.get("CMD").is_none()) {
                    self.problem(path, "a job in it has no command");
                }
            }
            [top @ (b"web" | b"dns" | b"mail"), domain, b"hestia", file] => {
                let rows = self.rows(path, text);
                let (domain, file) = (display_bytes(domain), display_bytes(file));
                let top = display_bytes(top);
                if file == format!("{top}.conf") {
                    if rows.iter().any(|row| row.get("DOMAIN") == Some(&domain)) {
                        self.found().with_row.insert(format!("{top}/{domain}"));
                    }
                } else if top == "mail"
                    && file == format!("{domain}.conf")
                    && rows.iter().any(|row| row.text("ACCOUNT").is_empty())
                {
                    self.problem(path, "an account in it has no name");
                }
            }
            _ => drop(self.rows(path, text)),
        }
    }
}

/// What kind of file is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Configuration,
    Certificate,
    Passwords,
}

fn look(names: &[&[u8]]) -> Option<Look> {
    match names {
        [b"hestia", b"user.conf"] | [b"cron", b"cron.conf"] => Some(Look::Configuration),
        [b"web" | b"dns" | b"mail", _, b"hestia", file] if file.ends_with(b".conf") => {
            Some(Look::Configuration)
        }
        [b"mail", _, b"conf", b"passwd"] => Some(Look::Passwords),
        [b"web" | b"mail", _, b"conf", .., file] => {
            let is_one = |ending: &&[u8]| file.ends_with(ending);
            let endings: [&[u8]; 4] = [b".crt", b".key", b".ca", b".pem"];
            endings.iter().any(is_one).then_some(Look::Certificate)
        }
        _ => None,
    }
}

/// Whether a path is the dump of the database in whose folder it lies.
fn is_dump(names: &[&[u8]]) -> bool {
    let [b"db", database, file] = names else { return false };
    let rest = file.strip_prefix(*database).and_then(|rest| rest.strip_prefix(b"."));
    let kind = rest.and_then(|rest| rest.strip_suffix(b".sql"));
    kind.and_then(|kind| DbKind::parse(std::str::from_utf8(kind).ok()?)).is_some()
}

impl Witness for Parts {
    fn entry(&self, path: &RelPath, node: &Node) -> bool {
        let names: Vec<&[u8]> = path.names().collect();
        let mut found = self.found();
        if found.seen.note(path, node.meta.kind).is_err() {
            found.is_too_many = true;
        }
        match names.as_slice() {
            [top @ (b"web" | b"dns" | b"mail"), domain] if node.is_folder() => {
                let domain = format!("{}/{}", display_bytes(top), display_bytes(domain));
                found.domains.insert(domain);
            }
            [b"db", database] if node.is_folder() => {
                found.databases.insert(display_bytes(database));
            }
            _ => {}
        }
        // Dumps are rebuilt on their way into a database.
        !(node.meta.kind == NodeKind::File && is_dump(&names))
    }

    fn content(&self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let names: Vec<&[u8]> = path.names().collect();
        let Some(look) = look(&names) else { return Ok(()) };
        if node.meta.size > limits::CONF_FILE_BYTES_MAX {
            self.problem(path, "it is larger than any that Hestia makes");
            return Ok(());
        }
        let mut text = Vec::new();
        content.take(node.meta.size).read_to_end(&mut text).what_io(|| "read it")?;
        match look {
            Look::Configuration => self.configuration(path, &names, &text),
            Look::Certificate => {
                if let Err(why) = check_pem(&text) {
                    self.problem(path, why);
                }
            }
            Look::Passwords => {
                let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                if lines.into_iter().any(|line| line.split(|byte| *byte == b':').count() < 2) {
                    self.problem(path, "a line in it is no account");
                }
            }
        }
        Ok(())
    }
}

/// Whether a certificate or key is one, by its form: blocks with a beginning, an end, and letters
/// of base64 between. An empty file is what Hestia makes where there is no authority.
fn check_pem(text: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no certificate or key")?;
    if text.trim().is_empty() {
        return Ok(());
    }
    let (mut block, mut blocks, mut letters): (Option<&str>, u32, usize) = (None, 0, 0);
    for line in text.lines().map(str::trim) {
        let begins = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let ends = line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----"));
        match (block, begins, ends) {
            (None, Some(name), _) => (block, letters) = (Some(name), 0),
            (Some(name), None, Some(end)) if name == end && letters > 0 => {
                (block, blocks) = (None, blocks + 1);
            }
            (Some(_), None, None) => {
                let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
                // Old keys say in two lines how they are locked.
                if !line.contains(':') && !line.chars().all(is_base64) {
                    return Err("a line of the certificate or key is none of base64");
                }
                letters += line.len();
            }
            // Between blocks may stand what people read.
            (None, None, None) => {}
            _ => return Err("the blocks of the certificate or key do not fit together"),
        }
    }
    match (block, blocks) {
        (None, 1..) => Ok(()),
        (Some(_), _) => Err("the certificate or key is cut off"),
        (None, 0) => Err("it is no certificate or key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::snapshot::Object;
    use crate::format::tree::Meta;

    const CERTIFICATE: &str =
        "-----BEGIN CERTIFICATE-----\nMIIBszCC\nAVmgAw==\n-----END CERTIFICATE-----\n";

    fn node(kind: NodeKind, size: u64) -> Node {
        Node { meta: Meta { kind, size, ..Meta::default() }, ..Node::default() }
    }

    /// What is said of a tree of these files; a folder is made for each step of a path.
    fn problems(files: &[(&str, &str)], objects: &[(&str, &str)]) -> Vec<String> {
        let parts = Parts::default();
        for (path, text) in files {
            let mut at = 0;
            while let Some(next) = path[at..].find('/') {
                let folder = RelPath::parse(&path.as_bytes()[..at + next]).unwrap();
                parts.entry(&folder, &node(NodeKind::Folder, 0));
                at += next + 1;
            }
            let file = node(NodeKind::File, u64::try_from(text.len()).unwrap());
            let path = RelPath::parse(path.as_bytes()).unwrap();
            if parts.entry(&path, &file) {
                parts.content(&path, &file, &mut text.as_bytes()).unwrap();
            }
        }
        let one = |(section, name): &(&str, &str)| Object {
            section: (*section).to_owned(),
            name: (*name).to_owned(),
        };
        let objects = objects.iter().map(one).collect();
        parts.finish(&Snapshot { objects, ..Snapshot::default() }).problems
    }

    const USER: (&str, &str) = ("hestia/user.conf", "NAME='O'Brien'\nPACKAGE='default'\n");
    const SITE: (&str, &str) =
        ("web/a.example/hestia/web.conf", "DOMAIN='a.example' IP='1.2.3.4'\n");

    #[test]
    fn a_tree_that_hestia_understands_has_no_problems() {
        let files = [
            USER,
            SITE,
            ("web/a.example/conf/ssl.a.example.crt", CERTIFICATE),
            ("web/a.example/conf/ssl.a.example.ca", ""),
            ("mail/a.example/hestia/mail.conf", "DOMAIN='a.example'\n"),
            ("mail/a.example/hestia/a.example.conf", "ACCOUNT='info' ALIAS=''\n"),
            ("mail/a.example/conf/passwd", "info:{MD5}x:alice:mail::/home\n"),
            ("cron/cron.conf", "JOB='1' MIN='1' CMD='x'\n"),
            ("db/alice_a/alice_a.mysql.sql", "not looked at here"),
        ];
        let objects =
            [("WEB", "a.example"), ("MAIL", "a.example"), ("CRON", "1"), ("DB", "alice_a")];
        assert_eq!(problems(&files, &objects), [""; 0]);
    }

    #[test]
    fn what_hestia_could_do_nothing_with_is_named() {
        for (files, objects, words) in [
            (vec![SITE], vec![], "hestia/user.conf: it is not there"),
            (vec![USER, ("web/a.example/data/x", "")], vec![], "web/a.example: it has no row"),
            (
                vec![USER, ("web/b.example/hestia/web.conf", SITE.1)],
                vec![],
                "web/b.example: it has no row",
            ),
            (vec![USER, ("cron/cron.conf", "JOB='1' MIN='1\n")], vec![], "line 1 first"),
            (vec![USER, ("cron/cron.conf", "JOB='1'\n")], vec![], "no command"),
            (vec![USER, SITE], vec![("WEB", "c.example")], "WEB c.example: the snapshot names it"),
            (
                vec![USER, SITE, ("web/a.example/conf/x.key", "-----BEGIN KEY-----\nAA==\n")],
                vec![],
                "x.key: the certificate or key is cut off",
            ),
            (vec![USER, SITE, ("web/a.example/conf/x.crt", "hello")], vec![], "no certificate"),
            (
                vec![
                    USER,
                    ("mail/a.example/hestia/mail.conf", "DOMAIN='a.example'"),
                    ("mail/a.example/conf/passwd", "info"),
                ],
                vec![],
                "no account",
            ),
        ] {
            let found = problems(&files, &objects);
            assert!(found.iter().any(|one| one.contains(words)), "{words}: {found:?}");
        }
    }

    #[test]
    fn certificates_are_known_by_their_form() {
        let two = CERTIFICATE.repeat(2);
        let locked = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: A,B\n\n\
                      AAAA\n-----END RSA PRIVATE KEY-----\n";
        for good in ["", CERTIFICATE, &two, &format!("subject=/CN=a\n{CERTIFICATE}"), locked] {
            assert_eq!(check_pem(good.as_bytes()), Ok(()), "{good}");
        }
        let cut = &CERTIFICATE[..CERTIFICATE.len() / 2];
        let swapped = CERTIFICATE.replace("END CERTIFICATE", "END KEY");
        let torn = CERTIFICATE.replace("MIIB", "M\u{1}IB");
        for bad in [cut, &swapped, &torn, "x", "-----BEGIN A-----\n-----END A-----\n"] {
            assert!(check_pem(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
