// SPDX-License-Identifier: MIT
//! What each receiver was told, in a small file of root's: so that nothing is told again and again,
//! and its end is. Where it cannot be written, for want of room say, it is kept below `/run`:
//! whoever is told of a full disk must not be told every hour. If it is lost, all is told once
//! more.

use super::trouble::{Sort, Subject};
use crate::backend::private_file::{Hold, hold, remove_file};
use crate::base::{Error, Kind, Monitor, Result, WhatIo, Within, World, notify_limits};
use crate::hestia::call::private_folder;
use crate::hestia::layout::UserName;
use crate::hestia::named::{read_private_within, write_private};
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A trouble as it was told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ToldOne {
    /// `user`, `repository` or `receiver`.
    pub about: String,
    /// Its name.
    pub name: String,
    /// What sort it is, by its word.
    pub sort: String,
    /// Since when it is known.
    pub since: i64,
    /// When it was told last.
    pub told: i64,
    /// Whether it was red then.
    pub is_red: bool,
    /// Whether it is the last that was told of it: its end was not told.
    pub is_open: bool,
}

impl ToldOne {
    /// One that is told now.
    pub fn new(subject: &Subject, sort: Sort, now: i64, is_red: bool) -> Self {
        let (about, name, sort) = (subject.word(), subject.name(), sort.word());
        let (about, name, sort) = (about.to_owned(), name.to_owned(), sort.to_owned());
        Self { about, name, sort, since: now, told: now, is_red, is_open: true }
    }

    /// Whether it is this one.
    pub fn is(&self, subject: &Subject, sort: Sort) -> bool {
        self.about == subject.word() && self.name == subject.name() && self.sort == sort.word()
    }

    /// What it is about, unless a newer version wrote it.
    pub fn meaning(&self) -> Option<(Subject, Sort)> {
        let name = self.name.clone();
        let subject = match self.about.as_str() {
            "user" => Subject::User(UserName::parse(&name).ok()?),
            "repository" => Subject::Repository(name),
            "receiver" => Subject::Receiver(name),
            _ => return None,
        };
        let sort = Sort::ALL.into_iter().find(|sort| sort.word() == self.sort)?;
        Some((subject, sort))
    }
}

/// That somebody could not be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Since when.
    pub since: i64,
    /// How many times in a row.
    pub times: u64,
    /// Why it failed the last time.
    pub reason: String,
}

/// What one receiver was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// What was wrong.
    pub troubles: Vec<ToldOne>,
    /// When a summary was sent last, or waited for first.
    pub digest: Option<i64>,
    /// When anything arrived last.
    pub arrived: Option<i64>,
    /// That nothing arrives.
    pub failing: Option<Failing>,
}

/// What all of them were told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    /// When it was written.
    pub time: i64,
    /// By their names.
    pub receivers: BTreeMap<String, Told>,
}

/// Where the book lies.
#[derive(Debug, Clone)]
pub struct BookPlace {
    usual: PathBuf,
    meanwhile: PathBuf,
    lock: PathBuf,
    asked: PathBuf,
}

const FILE: &str = "told.json";

impl BookPlace {
    /// That of a server.
    pub fn new(state_folder: &Path, run_folder: &Path) -> Self {
        Self {
            usual: state_folder.join("notifications").join(FILE),
            meanwhile: run_folder.join(FILE),
            lock: run_folder.join("notifications.lock"),
            asked: run_folder.join("notifications.again"),
        }
    }

    /// Leaves word that somebody should look, from now on.
    pub fn ask_again(&self) -> Result<()> {
        let folder = self.asked.parent().unwrap_or(Path::new("/"));
        write_private(folder, &self.asked, b"", false)
    }

    /// Whether somebody has left word.
    pub fn is_asked(&self) -> bool {
        self.asked.symlink_metadata().is_ok()
    }

    /// Takes the word: what is looked at from now on is what was asked for.
    pub fn answer(&self) -> Result<()> {
        remove_file(&self.asked)
    }

    /// Waits until nobody else tells anything. `None` if somebody does for too long.
    pub fn lock(&self, world: &World, patience: Duration) -> Result<Option<Hold>> {
        private_folder(self.lock.parent().unwrap_or(Path::new("/")))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        options.custom_flags(OFlag::O_NOFOLLOW.bits());
        let what = || format!("lock {}", self.lock.display());
        hold(options.open(&self.lock).what_io(what)?, world, patience)
    }

    /// Reads it. One that makes no sense is none, and that is said.
    pub fn read(&self, monitor: &dyn Monitor) -> Book {
        let read = |path: &Path| match read_one(path) {
            Ok(book) => book.unwrap_or_default(),
            Err(error) => {
                monitor.warn(error.within("tell what was told already"));
                Book::default()
            }
        };
        let (usual, meanwhile) = (read(&self.usual), read(&self.meanwhile));
        if meanwhile.time > usual.time { meanwhile } else { usual }
    }

    /// Writes it.
    pub fn write(&self, book: &Book) -> Result<()> {
        let what = || "note what was told";
        let text = serde_json::to_string(book)
            .map_err(|error| Error::new(Kind::Internal, what()).why(error.to_string()))?;
        let write = |path: &Path| {
            let folder = path.parent().unwrap_or(Path::new("/"));
            write_private(folder, path, format!("{text}\n").as_bytes(), false)
        };
        if write(&self.usual).is_err() {
            return write(&self.meanwhile).within(what);
        }
        // What was kept there while the disk was full is older now, whatever the clock said then.
        remove_file(&self.meanwhile)
    }
}

fn read_one(path: &Path) -> Result<Option<Book>> {
    let Some(text) = read_private_within(path, notify_limits::TOLD_BYTES_MAX)? else {
        return Ok(None);
    };
    let book = serde_json::from_str(&text).map_err(|error| {
        Error::new(Kind::Parsing, format!("read {}", path.display()))
            .why(error.to_string())
            .hint("it is written anew; what is wrong is told once more")
    })?;
    Ok(Some(book))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::monitor::Collect;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn book(time: i64) -> Book {
        let subject = Subject::User(UserName::parse("alice").unwrap());
        let troubles = vec![ToldOne::new(&subject, Sort::Late, 7, true)];
        let failing = Some(Failing { since: 3, times: 2, reason: "it is \"gone\"\n".into() });
        let told = Told { troubles, digest: Some(5), arrived: None, failing };
        Book { time, receivers: BTreeMap::from([("webhook ops".to_owned(), told)]) }
    }

    #[test]
    fn what_was_told_reads_back_wherever_there_was_room() {
        let folder = tempfile::tempdir().unwrap();
        let (state, run) = (folder.path().join("state"), folder.path().join("run"));
        let (place, monitor) = (BookPlace::new(&state, &run), Collect::default());
        let state = state.join("notifications");
        assert_eq!(place.read(&monitor), Book::default());
        place.write(&book(1)).unwrap();
        assert_eq!(place.read(&monitor), book(1));
        // Something stands where the file belongs: as if there were no room.
        fs::remove_file(state.join(FILE)).unwrap();
        fs::create_dir(state.join(FILE)).unwrap();
        fs::write(state.join(FILE).join("x"), "").unwrap();
        place.write(&book(2)).unwrap();
        assert_eq!(place.read(&Collect::default()), book(2));
        fs::remove_dir_all(state.join(FILE)).unwrap();
        place.write(&book(3)).unwrap();
        assert_eq!(place.read(&monitor), book(3));
        assert_eq!(monitor.warnings(), [""; 0]);
        let mode = fs::metadata(state.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_book_that_makes_no_sense_is_none_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let place = BookPlace::new(folder.path(), &folder.path().join("run"));
        place.write(&book(1)).unwrap();
        let path = folder.path().join("notifications").join(FILE);
        let sound = fs::read_to_string(&path).unwrap();
        for text in ["", "[", "{\"receivers\": 3}", &sound[..sound.len() / 2]] {
            fs::write(&path, text).unwrap();
            let monitor = Collect::default();
            assert_eq!(place.read(&monitor), Book::default(), "{text}");
            assert_eq!(monitor.warnings().len(), 1, "{text}");
        }
        // What a newer version writes beside harms nothing, and means nothing.
        fs::write(&path, sound.replace("\"late\"", "\"later\"").replacen('{', "{\"x\":1,", 1))
            .unwrap();
        let read = place.read(&Collect::default());
        assert_eq!(read.receivers["webhook ops"].troubles[0].meaning(), None);
    }

    #[test]
    fn one_at_a_time_tells() {
        let folder = tempfile::tempdir().unwrap();
        let place = BookPlace::new(folder.path(), &folder.path().join("run"));
        let world = World::seeded(1);
        let held = place.lock(&world, notify_limits::LOCK_WAIT).unwrap();
        assert!(held.is_some());
        assert!(
            place.lock(&world, notify_limits::LOCK_WAIT).unwrap().is_none(),
            "it waits, but not for ever"
        );
        drop(held);
        assert!(place.lock(&world, notify_limits::LOCK_WAIT).unwrap().is_some());
    }
}
