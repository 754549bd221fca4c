// SPDX-License-Identifier: MIT
//! The user being read: open handles of what Hestia keeps and of the home, the rows, and what is
//! left out. Everything is read beneath these two handles, so that a home whose folders are
//! exchanged for links leads nowhere.

use super::{DirectOptions, Narrow};
use crate::base::path::check_name;
use crate::base::{Error, Kind, Monitor, RelPath, Result, Timestamp, limits};
use crate::hestia::asuser;
use crate::hestia::conf::{self, Row};
use crate::hestia::excludes::Excludes;
use crate::hestia::inventory::User;
use crate::hestia::layout::{Hestia, UserName};
use crate::hestia::select::{Choice, Sections};
use crate::tree::live::{Folder, Whose};
use crate::tree::{Selection, WalkOptions};
use std::collections::BTreeMap;

/// Top folders of a home that are stored in other places, or not at all, as in Hestia.
const NOT_OF_THE_HOME: [&str; 5] = ["/conf", "/web", "/dns", "/tmp", "/mail"];

/// The user being read.
pub struct Subject {
    /// Where Hestia is.
    pub hestia: Hestia,
    /// Who it is.
    pub name: UserName,
    /// What Hestia says of the user.
    pub row: Row,
    /// What Hestia keeps of the user; root's.
    pub data: Folder,
    /// The home; the customer's.
    pub home: Folder,
    /// Hestia's own settings.
    pub system: Row,
    /// The user's own row, with the counts of what is there.
    counts: Row,
    /// What the user has taken out of the backups.
    pub excludes: Excludes,
    /// The time of folders that exist only in the tree: it must not move, or a night in which
    /// nothing changed would store all of them again.
    pub made: Timestamp,
    one_file_system: bool,
    leave_out: Vec<String>,
    whose: Option<Whose>,
    narrow: Option<Narrow>,
}

/// All rows of one name in a file of rows.
#[derive(Debug, Clone)]
pub struct Object {
    /// The domain or database.
    pub name: String,
    /// Its first row.
    pub row: Row,
    /// The rows as they stand in the file.
    pub text: Vec<u8>,
}

impl Subject {
    /// Opens a user.
    pub fn open(
        hestia: &Hestia,
        user: &User,
        options: &DirectOptions,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let open = |path: std::path::PathBuf| {
            Folder::open(&path)?.ok_or_else(|| {
                Error::new(Kind::NotFound, format!("open {}", path.display()))
                    .why("it is not there")
            })
        };
        let (data, home) =
            (open(hestia.user_data(&user.name))?, open(hestia.user_home(&user.name))?);
        let path = hestia.hestia_conf();
        // Without it no site, mailbox or database would be known to belong to Hestia.
        let text = conf::read_file(&path)?.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("read {}", path.display())).why("it is not there")
        })?;
        let (system, bad) = conf::parse_keys(&text);
        for problem in conf::complaints(&path, &bad) {
            monitor.warn(problem);
        }
        let narrow = options.narrow.clone();
        let excludes = match data.read(b"backup-excludes.conf", limits::CONF_FILE_BYTES_MAX)? {
            Some(text) if narrow.is_none() => {
                let path = hestia.user_file(&user.name, "backup-excludes.conf");
                let (excludes, problems) = Excludes::parse(&text, &path);
                for problem in problems {
                    monitor.warn(problem);
                }
                excludes
            }
            _ => Excludes::default(),
        };
        let mut leave_out = Vec::new();
        if narrow.is_none() {
            leave_out.extend_from_slice(&options.exclude);
        }
        if options.default_excludes && narrow.is_none() {
            leave_out.extend(super::DEFAULT_EXCLUDES.iter().map(|&glob| glob.to_owned()));
        }
        // Of a user without an account there is nobody who could have put anything there.
        let person = asuser::person(hestia, &user.name, false).ok();
        let whose = person.map(|person| Whose { uid: person.uid, gid: person.gid });
        // A mistake in a pattern must show before anything is read.
        Selection::new::<String>(&[], &leave_out)?;
        Ok(Self {
            hestia: hestia.clone(),
            name: user.name.clone(),
            row: user.row.clone(),
            data,
            home,
            system,
            counts: user.row.clone(),
            excludes,
            made: made(user),
            one_file_system: options.one_file_system,
            leave_out,
            whose,
            narrow,
        })
    }

    /// Whether Hestia backs this section up: its service is there, and the user has not left the
    /// section out.
    pub fn has_section(&self, section: &str, service: &str) -> bool {
        !self.system.text(service).is_empty() && !self.leaves_out(section)
    }

    /// Whether nothing of this section is read.
    pub fn leaves_out(&self, section: &str) -> bool {
        let not_meant = |narrow: &Narrow| narrow.sections.choice(section).is_nothing();
        self.excludes.section(section) || self.narrow.as_ref().is_some_and(not_meant)
    }

    /// Whether all of the user is read.
    pub fn is_whole(&self) -> bool {
        self.narrow.is_none()
    }

    fn is_meant(&self, section: &str, name: &str) -> bool {
        let is_meant = |narrow: &Narrow| narrow.sections.choice(section).takes(name);
        self.narrow.as_ref().is_none_or(is_meant)
    }

    /// Whether Hestia counts objects of this section for the user: then there is a list of them. A
    /// service that was installed after the user was made has none until its first object.
    fn should_have(&self, section: &str) -> bool {
        let counter = match section {
            "WEB" => "U_WEB_DOMAINS",
            "DNS" => "U_DNS_DOMAINS",
            "MAIL" => "U_MAIL_DOMAINS",
            "DB" => "U_DATABASES",
            _ => return false,
        };
        self.counts.text(counter).parse().is_ok_and(|count: u64| count > 0)
    }

    /// The objects of a file of rows that are not left out, in its order. Rows that cannot be read
    /// and names that no folder can have are warnings.
    pub fn objects(
        &self,
        file: &str,
        key: &str,
        section: &str,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Object>> {
        let path = self.hestia.user_file(&self.name, file);
        let text = self.data.read(file.as_bytes(), limits::CONF_FILE_BYTES_MAX)?;
        if text.is_none() && self.should_have(section) {
            monitor.warn(
                Error::new(Kind::NotFound, format!("read {}", path.display()))
                    .why("it is not there, although the user has what is listed in it"),
            );
        }
        let text = text.unwrap_or_default();
        let rows = conf::parse_rows(&text);
        for problem in conf::complaints(&path, &rows.bad) {
            monitor.warn(problem);
        }
        let mut found: Vec<Object> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Ok(row) = Row::parse(line) else { continue };
            let name = row.text(key);
            if name.is_empty() {
                let what = format!("read a row of {}", path.display());
                monitor.warn(Error::new(Kind::Parsing, what).why(format!("it has no {key}")));
                continue;
            }
            if self.excludes.object(section, name) || !self.is_meant(section, name) {
                continue;
            }
            if let Err(error) = check_name(name.as_bytes()) {
                monitor.warn(error.within(format!("read {}", path.display())));
                continue;
            }
            let mut text = line.to_vec();
            if !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            if let Some(same) = places.get(name).and_then(|place| found.get_mut(*place)) {
                same.text.extend_from_slice(&text);
                continue;
            }
            places.insert(name.to_owned(), found.len());
            found.push(Object { name: name.to_owned(), row, text });
            if found.len() > limits::HESTIA_OBJECTS_MAX {
                return Err(Error::new(Kind::Limit, format!("read {}", path.display()))
                    .why(format!("it has more than {} objects", limits::HESTIA_OBJECTS_MAX)));
            }
        }
        Ok(found)
    }

    /// Globs of what is left out below the home.
    pub fn left_out(&self) -> Vec<String> {
        let mut globs = self.leave_out.clone();
        globs.extend(self.excludes.below_home());
        globs
    }

    /// How a part of the home is walked. `beside` are patterns for this walk alone; all patterns
    /// see paths as they are in the home.
    pub fn walk_options(&self, beside: &[String]) -> Result<WalkOptions> {
        self.walk_only(&self.only(), beside)
    }

    /// The same for the home without sites and mails.
    pub fn home_options(&self) -> Result<WalkOptions> {
        let only = match &self.narrow {
            Some(Narrow { path: None, sections: Sections { udir: Choice::Some(names), .. } }) => {
                names.iter().map(|name| format!("/{}", literal(name))).collect()
            }
            _ => self.only(),
        };
        self.walk_only(&only, &self.home_patterns())
    }

    fn walk_only(&self, only: &[String], beside: &[String]) -> Result<WalkOptions> {
        let mut patterns = self.leave_out.clone();
        patterns.extend_from_slice(beside);
        Ok(WalkOptions {
            selection: Selection::new(only, &patterns)?,
            one_file_system: self.one_file_system,
            mounts_told: true,
            special_files: true,
            xattrs: true,
            leave_out: Vec::new(),
            whose: self.whose,
        })
    }

    /// Patterns for what alone is read of the files; none, if all of them are.
    fn only(&self) -> Vec<String> {
        match &self.narrow {
            Some(Narrow { path: Some(path), .. }) => exactly(path).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Patterns for what of the home is not walked as the home.
    fn home_patterns(&self) -> Vec<String> {
        let mut patterns: Vec<String> = NOT_OF_THE_HOME.map(str::to_owned).to_vec();
        for path in self.excludes.home_paths() {
            patterns.push(self.pattern(&[], path, path.contains('/')));
        }
        if self.has_native_staging() {
            patterns.push("/backup".to_owned());
        }
        patterns
    }

    /// A pattern for a path that is left out below some folders of the home. Of a folder only what
    /// is in it is left out, where `folder_stays`.
    pub fn pattern(&self, above: &[&str], path: &str, folder_stays: bool) -> String {
        let names = above.iter().copied().chain(path.split('/'));
        // Only a folder that can be opened is one; anything else is left out itself.
        let is_folder = || {
            let names = names.clone().map(str::as_bytes);
            self.home.beneath(names).is_ok_and(|found| found.is_some())
        };
        let end = if folder_stays && is_folder() { "/*" } else { "" };
        let names: Vec<String> = names.clone().map(literal).collect();
        format!("/{}{end}", names.join("/"))
    }

    /// Whether `backup` in the home is where Hestia's restic jobs put a copy of the configuration,
    /// hashes of passwords and dumps: it is root's, and it has what no customer can put there.
    fn has_native_staging(&self) -> bool {
        let roots =
            |meta: Option<crate::format::tree::Meta>| meta.is_some_and(|meta| meta.uid == 0);
        let pam = self.home.beneath([b"backup".as_slice(), b"pam"]);
        self.home.look(b"backup").is_ok_and(roots)
            && pam.is_ok_and(|pam| pam.is_some_and(|pam| pam.look(b"shadow").is_ok_and(roots)))
    }
}

/// When Hestia made the user; 1970 if it does not say.
fn made(user: &User) -> Timestamp {
    let time = user.identity.parse::<jiff::civil::DateTime>().ok();
    let time = time.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok());
    Timestamp::from_seconds(time.map_or(0, |time| time.timestamp().as_second()))
}

/// A path of the tree.
pub fn path(names: &[&str]) -> Result<RelPath> {
    names.iter().try_fold(RelPath::root(), |path, name| path.join(name.as_bytes()))
}

/// A pattern that matches this path and nothing else; where a name is no text, the folder that
/// it lies in. None, if that is all.
fn exactly(path: &RelPath) -> Option<String> {
    let names = path.names().map_while(|name| std::str::from_utf8(name).ok()).map(literal);
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| format!("/{}", names.join("/")))
}

/// A pattern that matches this text and nothing else.
fn literal(text: &str) -> String {
    let is_special = |c: &char| matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '!' | ',' | '\\');
    let escaped = |c: char| is_special(&c).then_some('\\').into_iter().chain([c]);
    text.chars().flat_map(escaped).collect()
}
