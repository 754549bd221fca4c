// SPDX-License-Identifier: MIT
//! A live Hestia user as a source: the same canonical tree that comes out of the tarball which
//! `v-backup-user` makes of the user, read where it lies. No temporary copy is made, and a file
//! that did not change since the parent snapshot is not opened.
//!
//! Beside that tree stands `extra/`: what Hestia's tarballs leave out (`direct/extra.rs`).
//!
//! The customer owns what is read and may change it meanwhile: everything is opened beneath two
//! handles, of the home and of what Hestia keeps of the user, and no link is followed
//! ([`crate::tree::live`]). What cannot be read is a warning and the others go on.

mod again;
mod copies;
mod extra;
pub mod idn;
mod sections;
mod subject;

use super::database::{DatabaseRow, RunOptions};
use super::dump;
use super::inventory::User;
use super::layout::Hestia;
use super::objects::Seen;
use super::select::Sections;
use crate::base::monitor::Stage;
use crate::base::{Kind, Monitor, RelPath, Result, Within, limits};
use crate::format::snapshot::Object;
use crate::format::tree::Meta;
use crate::tree::Walk;
use crate::tree::source::{Content, Entry, SIZE_UNKNOWN, Source};
use again::LastDump;
use sections::{Steps, dressed};
use std::collections::VecDeque;
use std::io::Read;
use subject::Subject;

/// What no restore misses, since it is made anew by itself: caches and sessions, and downloads of
/// tools. Always what is in a folder, never the folder. Paths are seen from the home.
pub const DEFAULT_EXCLUDES: [&str; 15] = [
    "/.cache/*",
    "/.npm/_cacache/*",
    "/.composer/cache/*",
    "/.wp-cli/cache/*",
    "/.local/share/Trash/*",
    "/.vscode-server/*",
    "/web/*/**/wp-content/cache/*",
    "/web/*/**/storage/framework/cache/*",
    "/web/*/**/storage/framework/sessions/*",
    "/web/*/**/storage/framework/views/*",
    "/web/*/**/var/cache/*",
    "/web/*/**/var/page_cache/*",
    "/web/*/**/var/session/*",
    "/web/*/**/var/sessions/*",
    "/mail/*/**/dovecot.index.cache",
];

/// What of a user is read.
#[derive(Clone)]
pub struct DirectOptions {
    /// Globs of what to leave out, as paths in the home, beside what the user has excluded.
    pub exclude: Vec<String>,
    /// Leave out [`DEFAULT_EXCLUDES`] too.
    pub default_excludes: bool,
    /// Leave out what is mounted within a site, a mail domain or the home, with a warning.
    pub one_file_system: bool,
    /// How the programs that dump databases are run.
    pub run: RunOptions,
    /// Read only this, and of it everything: also what the user and the options leave out.
    pub narrow: Option<Narrow>,
}

/// A part of a user.
#[derive(Debug, Clone)]
pub struct Narrow {
    /// These objects.
    pub sections: Sections,
    /// Of the files in them only what lies at or below this path, seen from the home.
    pub path: Option<RelPath>,
}

impl Default for DirectOptions {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            default_excludes: true,
            one_file_system: true,
            run: RunOptions::default(),
            narrow: None,
        }
    }
}

/// A source over a live user.
pub struct HestiaDirect {
    subject: Subject,
    run: RunOptions,
    steps: VecDeque<Step>,
    walk: Option<(Box<Walk>, Dress, bool)>,
    last_dump: Option<LastDump>,
    seen: Seen,
}

/// Something still to do.
enum Step {
    /// This entry.
    Entry(Box<Entry<'static>>),
    /// Everything in a folder.
    Walk(Box<Walk>, Dress),
    /// One object, which becomes steps of its own when its turn comes.
    Object(Section, subject::Object),
    /// The home.
    Home,
    /// What grants a database, as Hestia keeps it.
    Grants(RelPath, Box<DatabaseRow>),
    /// The dump of a database.
    Dump(RelPath, Box<DatabaseRow>),
    /// What Hestia's tarballs leave out.
    Extra,
}

/// The sections of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Web,
    Dns,
    Mail,
    Db,
}

impl Section {
    /// The section's name, the file of its rows, the key of their names, the service that must be
    /// there, and the folder of the tree.
    const fn facts(self) -> [&'static str; 5] {
        match self {
            Self::Web => ["WEB", "web.conf", "DOMAIN", "WEB_SYSTEM", "web"],
            Self::Dns => ["DNS", "dns.conf", "DOMAIN", "DNS_SYSTEM", "dns"],
            Self::Mail => ["MAIL", "mail.conf", "DOMAIN", "MAIL_SYSTEM", "mail"],
            Self::Db => ["DB", "db.conf", "DB", "DB_SYSTEM", "db"],
        }
    }
}

/// How entries of a walk appear in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dress {
    /// As they are.
    Own,
    /// As they are, in a folder that exists only in the tree.
    OwnInto,
    /// As root's copies.
    Copied,
    /// As root's copies, in a folder that exists only in the tree.
    CopiedInto,
}

impl HestiaDirect {
    /// Opens a user. Fails if there is no such user or home, or if a pattern makes no sense.
    pub fn open(
        hestia: &Hestia,
        user: &User,
        options: &DirectOptions,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let subject = Subject::open(hestia, user, options, monitor)
            .within(|| format!("read the user {}", user.name))?;
        let mut steps = VecDeque::new();
        let root = copies::folder(RelPath::root(), 0o700, subject.made);
        steps.push_back(Step::Entry(Box::new(root)));
        let mut account = Steps::of(&subject, monitor);
        account.account().within(|| format!("read the user {}", user.name))?;
        steps.extend(account.into_vec());
        for section in [Section::Web, Section::Dns, Section::Mail, Section::Db] {
            let [name, file, key, service, folder] = section.facts();
            if subject.has_section(name, service) {
                let top = copies::folder(subject::path(&[folder])?, 0o755, subject.made);
                steps.push_back(Step::Entry(Box::new(top)));
                let objects = subject.objects(file, key, name, monitor)?;
                steps.extend(objects.into_iter().map(|object| Step::Object(section, object)));
            }
        }
        if !subject.leaves_out("UDIR") {
            steps.push_back(Step::Home);
        }
        steps.push_back(Step::Extra);
        let mut seen = Seen::default();
        if subject.has_section("CRON", "CRON_SYSTEM") {
            let jobs = subject.data.read(b"cron.conf", limits::CONF_FILE_BYTES_MAX)?;
            seen.count_jobs(&jobs.unwrap_or_default());
        }
        let run = options.run.clone();
        Ok(Self { subject, run, steps, walk: None, last_dump: None, seen })
    }

    /// Globs of what is left out below the home.
    pub fn left_out(&self) -> Vec<String> {
        self.subject.left_out()
    }

    /// Turns a step into others, which take its place.
    fn expand(&mut self, section: Section, object: &subject::Object, monitor: &dyn Monitor) {
        let mut steps = Steps::of(&self.subject, monitor);
        let done = match section {
            Section::Web => steps.web(object),
            Section::Dns => steps.dns(object),
            Section::Mail => steps.mail(object),
            Section::Db => steps.database(object),
        };
        if let Err(error) = done {
            monitor.warn(error.within(format!("back up all of {}", object.name)));
        }
        self.next_are(steps.into_vec());
    }

    fn next_are(&mut self, steps: Vec<Step>) {
        for step in steps.into_iter().rev() {
            self.steps.push_front(step);
        }
    }

    /// The next entry but for dumps, which are opened by the caller.
    fn next_plain(&mut self, monitor: &dyn Monitor) -> Result<Option<Next>> {
        loop {
            if let Some((walk, dress, is_top)) = &mut self.walk {
                let is_top = std::mem::replace(is_top, false);
                if let Some(entry) = walk.next_entry(monitor)? {
                    let dress = *dress;
                    match dressed(entry, dress, is_top, self.subject.made, monitor) {
                        Some(entry) => return Ok(Some(Next::Entry(entry))),
                        None => continue,
                    }
                }
                self.walk = None;
            }
            match self.steps.pop_front() {
                None => return Ok(None),
                Some(Step::Entry(entry)) => return Ok(Some(Next::Entry(*entry))),
                Some(Step::Walk(walk, dress)) => self.walk = Some((walk, dress, true)),
                Some(Step::Object(section, object)) => self.expand(section, &object, monitor),
                Some(Step::Dump(path, database)) => return Ok(Some(Next::Dump(path, database))),
                Some(Step::Home) => {
                    let mut steps = Steps::of(&self.subject, monitor);
                    steps.home()?;
                    self.next_are(steps.into_vec());
                }
                Some(Step::Extra) => {
                    let mut steps = Steps::of(&self.subject, monitor);
                    if let Err(error) = steps.extra() {
                        monitor.warn(error.within("back up all of extra"));
                    }
                    self.next_are(steps.into_vec());
                }
                Some(Step::Grants(path, database)) => {
                    match dump::grants(&self.subject.hestia, &database, &self.run) {
                        Ok(text) => {
                            let entry = copies::text(path, text, self.subject.made);
                            return Ok(Some(Next::Entry(entry)));
                        }
                        Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                        Err(error) => monitor.warn(error),
                    }
                }
            }
        }
    }
}

enum Next {
    Entry(Entry<'static>),
    Dump(RelPath, Box<DatabaseRow>),
}

impl Source for HestiaDirect {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        loop {
            let failed = self.last_dump.take().and_then(LastDump::again);
            let is_second = failed.is_some();
            let (path, database) = match failed {
                Some((path, database)) => {
                    monitor.stage(Stage::Note(again::note(&database)));
                    (path, database)
                }
                None => match self.next_plain(monitor)? {
                    None => return Ok(None),
                    Some(Next::Entry(entry)) => {
                        self.seen.note(&entry.path, entry.meta.kind)?;
                        return Ok(Some(entry));
                    }
                    Some(Next::Dump(path, database)) => (path, database),
                },
            };
            match dump::open(&self.subject.hestia, &database, &self.run) {
                Ok(dump) => {
                    let entry = copies::text(path.clone(), Vec::new(), self.subject.made);
                    let meta = Meta { size: SIZE_UNKNOWN, ..entry.meta };
                    let dump: Box<dyn Read> = if is_second {
                        Box::new(dump)
                    } else {
                        let (last, dump) = LastDump::of(path, database, dump);
                        self.last_dump = Some(last);
                        dump
                    };
                    let content = Content::Rows(dump);
                    return Ok(Some(Entry { path: entry.path, meta, content }));
                }
                Err(error) => monitor.warn(error),
            }
        }
    }

    fn objects(&self) -> Vec<Object> {
        self.seen.objects()
    }
}
