// SPDX-License-Identifier: MIT
//! What jobs came to, noted for those who ask later: small JSON files of root's in the state
//! folder, one for each thing noted, replaced as a whole. Nothing is decided by them but what a
//! list shows and who is rehearsed next: what is missing or cannot be read counts as not known, and
//! is said.
//!
//! ```text
//! runs/<user>.json                        the last backup run of a user
//! verified/<repository id>/<user>.json    the last rehearsal of a user's backups
//! checks/<repository id>.json             the last check of a repository
//! prunes/<repository id>.json             the last prune of a repository
//! ```

use super::layout::UserName;
use super::named::{read_private, write_private};
use crate::base::{Error, FileId, Kind, Monitor, Result, Timestamp, Within, limits, units};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The last rehearsal of a user's backups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rehearsed {
    /// Which snapshot it was.
    #[serde(flatten)]
    pub moment: Moment,
    /// How long it took.
    pub milliseconds: u64,
    /// Files that were rebuilt.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Databases that were imported.
    pub databases: u64,
    /// Tables in those.
    pub tables: u64,
    /// Rows in those.
    pub rows: u64,
    /// `succeeded`, `partial` or `failed`.
    pub result: String,
    /// What failed, or was left out and why.
    pub reasons: Vec<String>,
    /// The last one that succeeded; this one, if it did.
    pub success: Option<Moment>,
}

/// A snapshot, and when it was rehearsed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Moment {
    /// The snapshot's id.
    pub snapshot: String,
    /// Its name.
    pub name: String,
    /// When the rehearsal ended, in seconds since 1970.
    pub time: i64,
}

/// The last backup run of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LastRun {
    /// Which person it was, as snapshots say it.
    pub identity: String,
    /// When it ended, in seconds since 1970.
    pub time: i64,
    /// How long it took.
    pub milliseconds: u64,
    /// `succeeded`, `partial` or `failed`.
    pub result: String,
    /// Why it did not succeed.
    pub reasons: Vec<String>,
    /// Those of the reasons that are about what the customer has, and for the customer to read.
    pub own: Vec<String>,
    /// What became of it in each repository.
    pub repositories: Vec<InRepository>,
}

impl LastRun {
    /// Why it did not succeed, for the customer. Where the server stores backups, and why it
    /// cannot, is the administrator's.
    pub fn told_to_customer(&self) -> String {
        match self.own.as_slice() {
            [] => "the backup could not be made as it should; the administrator knows".to_owned(),
            own => in_short(own),
        }
    }
}

/// As many reasons as a message holds, and how many more there are: one that was cut off in the
/// middle would look like the last.
pub fn in_short(reasons: &[String]) -> String {
    let mut text = String::new();
    for (place, reason) in reasons.iter().enumerate() {
        let is_first = place == 0;
        if !is_first && text.chars().count() + reason.chars().count() > REASONS_LETTERS {
            let rest = reasons.len().saturating_sub(place);
            return format!("{text}; and {}", units::number_of(units::bytes(rest), "more reason"));
        }
        if !is_first {
            text.push_str("; ");
        }
        text.push_str(reason);
    }
    text
}

/// Letters of reasons in one line of a message.
const REASONS_LETTERS: usize = 300;

/// What became of a run in one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InRepository {
    /// The repository, as it was named.
    pub name: String,
    /// `succeeded`, `partial` or `failed`.
    pub result: String,
    /// Why it did not succeed.
    pub reasons: Vec<String>,
}

/// The last check or prune of a repository, or copy into it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tended {
    /// When it ended, in seconds since 1970.
    pub time: i64,
    /// How long it took.
    pub milliseconds: u64,
    /// `succeeded`, `partial`, `damaged` or `failed`.
    pub result: String,
    /// How much was done: of a check, what was read; of a copy, where from and how many.
    pub extent: String,
    /// Why it did not succeed.
    pub reason: String,
    /// When a check found damage that no check of everything has found gone since.
    pub damage: Option<i64>,
}

/// What must hold for something that was noted, beyond its form.
pub trait Sane {
    /// The times in it.
    fn times(&self) -> Vec<i64>;
}

impl Sane for Rehearsed {
    fn times(&self) -> Vec<i64> {
        let success = self.success.iter().map(|moment| moment.time);
        success.chain([self.moment.time]).collect()
    }
}

impl Sane for LastRun {
    fn times(&self) -> Vec<i64> {
        vec![self.time]
    }
}

impl Sane for Tended {
    fn times(&self) -> Vec<i64> {
        self.damage.into_iter().chain([self.time]).collect()
    }
}

/// How a repository is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Whether all is whole.
    Check,
    /// What nothing needs goes.
    Prune,
    /// Another repository's backups come in.
    Copy,
}

impl Care {
    const fn folder(self) -> &'static str {
        match self {
            Self::Check => "checks",
            Self::Prune => "prunes",
            Self::Copy => "copies",
        }
    }
}

/// The notes of one server.
#[derive(Debug, Clone, Copy)]
pub struct Records<'f> {
    folder: &'f Path,
}

impl<'f> Records<'f> {
    /// Those in this folder, which need not be there.
    pub fn new(folder: &'f Path) -> Self {
        Self { folder }
    }

    /// The last rehearsal of a user's backups in a repository.
    pub fn rehearsed(
        &self,
        repository: &FileId,
        user: &UserName,
        monitor: &dyn Monitor,
    ) -> Option<Rehearsed> {
        load(&self.place_of(repository, user), monitor)
    }

    /// Notes a rehearsal.
    pub fn note_rehearsal(
        &self,
        repository: &FileId,
        user: &UserName,
        done: &Rehearsed,
    ) -> Result<()> {
        store(&self.place_of(repository, user), done)
    }

    /// The last backup run of a user.
    pub fn run(&self, user: &UserName, monitor: &dyn Monitor) -> Option<LastRun> {
        load(&self.run_place(user), monitor)
    }

    /// Notes a backup run.
    pub fn note_run(&self, user: &UserName, run: &LastRun) -> Result<()> {
        store(&self.run_place(user), run)
    }

    fn run_place(&self, user: &UserName) -> PathBuf {
        self.folder.join("runs").join(format!("{user}.json"))
    }

    /// The last check or prune of a repository, or copy into it.
    pub fn tended(&self, care: Care, repository: &FileId, monitor: &dyn Monitor) -> Option<Tended> {
        load(&self.care_place(care, repository), monitor)
    }

    /// Notes one.
    pub fn note_care(&self, care: Care, repository: &FileId, done: &Tended) -> Result<()> {
        store(&self.care_place(care, repository), done)
    }

    fn care_place(&self, care: Care, repository: &FileId) -> PathBuf {
        self.folder.join(care.folder()).join(format!("{repository}.json"))
    }

    fn place_of(&self, repository: &FileId, user: &UserName) -> PathBuf {
        self.folder.join("verified").join(repository.to_string()).join(format!("{user}.json"))
    }
}

/// Reads a note. One that makes no sense is none, and that is said.
fn load<T: DeserializeOwned + Sane>(path: &Path, monitor: &dyn Monitor) -> Option<T> {
    let read = read_private(path).and_then(|text| {
        let Some(text) = text else { return Ok(None) };
        let wrong = |why: String| {
            Error::new(Kind::Parsing, format!("read {}", path.display()))
                .why(why)
                .hint("remove the file; it is written anew by the next run")
        };
        let note: T = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let is_time = |time: &i64| (0..limits::CALENDAR_SECONDS_MAX).contains(time);
        if !note.times().iter().all(is_time) {
            return Err(wrong("a time in it is none".to_owned()));
        }
        Ok(Some(note))
    });
    read.unwrap_or_else(|error| {
        monitor.warn(error.within("tell what the last run came to"));
        None
    })
}

fn store<T: Serialize>(path: &Path, note: &T) -> Result<()> {
    let what = || format!("note the result in {}", path.display());
    let text = serde_json::to_string_pretty(note)
        .map_err(|error| Error::new(Kind::Internal, what()).why(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    write_private(folder, path, format!("{text}\n").as_bytes(), false).within(what)
}

/// As much of a list of reasons as is kept: a whole note stays below what is read of such a file.
pub fn kept_reasons(reasons: &[String]) -> Vec<String> {
    let one = |text: &String| {
        let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
        let mut letters = text.chars().map(plain);
        let mut kept: String = letters.by_ref().take(limits::REASON_LETTERS_MAX).collect();
        if letters.next().is_some() {
            kept.push_str(" ...");
        }
        kept
    };
    reasons.iter().take(limits::REASONS_NOTED_MAX).map(one).collect()
}

impl Moment {
    /// A snapshot that was looked at just now.
    pub fn of(snapshot: &FileId, name: &str, now: Timestamp) -> Self {
        let time = noted_time(now);
        Self { snapshot: snapshot.to_string(), name: name.to_owned(), time }
    }
}

/// A time as it is noted.
pub fn noted_time(now: Timestamp) -> i64 {
    now.seconds.clamp(0, limits::CALENDAR_SECONDS_MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::monitor::Collect;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn alice() -> UserName {
        UserName::parse("alice").unwrap()
    }

    fn done(time: i64) -> Rehearsed {
        let moment = Moment { snapshot: "ab".into(), name: "x".into(), time };
        let success = Some(moment.clone());
        let reasons = vec!["why".to_owned()];
        Rehearsed { moment, rows: 7, reasons, success, ..Rehearsed::default() }
    }

    #[test]
    fn what_is_noted_reads_back_and_is_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path());
        let (id, monitor) = (FileId([7; 32]), Collect::default());
        assert_eq!(records.rehearsed(&id, &alice(), &monitor), None);
        for time in [1, 2] {
            records.note_rehearsal(&id, &alice(), &done(time)).unwrap();
            assert_eq!(records.rehearsed(&id, &alice(), &monitor), Some(done(time)));
        }
        assert_eq!(records.rehearsed(&FileId([8; 32]), &alice(), &monitor), None);
        let place = folder.path().join("verified").join(id.to_string());
        assert_eq!(place.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(place.join("alice.json").metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "no draft is left");
        assert_eq!(monitor.warnings(), [""; 0]);
    }

    #[test]
    fn a_note_that_makes_no_sense_is_none_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path());
        let id = FileId([7; 32]);
        records.note_rehearsal(&id, &alice(), &done(1)).unwrap();
        let path = records.place_of(&id, &alice());
        let sound = fs::read_to_string(&path).unwrap();
        let mut hostile = vec![
            sound[..sound.len() / 2].to_owned(),
            sound.replace("\"time\": 1", "\"time\": -5"),
            sound.replace("\"time\": 1", "\"time\": 9223372036854775807"),
            sound.replace("\"rows\": 7", "\"rows\": -1"),
            "[".repeat(50_000),
            "\u{0}".to_owned(),
            format!("{{\"name\": \"{}\"}}", "x".repeat(200_000)),
        ];
        for text in hostile.drain(..) {
            fs::write(&path, &text).unwrap();
            let monitor = Collect::default();
            assert_eq!(records.rehearsed(&id, &alice(), &monitor), None, "{text:.40}");
            let warnings = monitor.warnings();
            assert_eq!(warnings.len(), 1, "{text:.40}");
            assert!(warnings[0].contains("alice.json"), "{warnings:?}");
        }
        // What others may write is believed by nobody; neither is a link.
        fs::write(&path, &sound).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let monitor = Collect::default();
        assert_eq!(records.rehearsed(&id, &alice(), &monitor), None);
        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert_eq!(records.rehearsed(&id, &alice(), &monitor), None);
        assert_eq!(monitor.warnings().len(), 2);
        // What a newer version adds harms nothing.
        fs::remove_file(&path).unwrap();
        records.note_rehearsal(&id, &alice(), &done(1)).unwrap();
        let more = sound.replacen('{', "{ \"later\": [1],", 1);
        fs::write(&path, more).unwrap();
        let monitor = Collect::default();
        assert_eq!(records.rehearsed(&id, &alice(), &monitor), Some(done(1)));
    }

    #[test]
    fn each_kind_of_note_has_a_place_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path());
        let (id, monitor) = (FileId([7; 32]), Collect::default());
        let run = LastRun { time: 5, result: "failed".into(), ..LastRun::default() };
        records.note_run(&alice(), &run).unwrap();
        let tended = |reason: &str| Tended {
            time: 6,
            reason: reason.to_owned(),
            damage: Some(4),
            ..Tended::default()
        };
        for care in [Care::Check, Care::Prune, Care::Copy] {
            assert_eq!(records.tended(care, &id, &monitor), None);
            records.note_care(care, &id, &tended(care.folder())).unwrap();
        }
        assert_eq!(records.run(&alice(), &monitor), Some(run));
        for care in [Care::Check, Care::Prune, Care::Copy] {
            assert_eq!(records.tended(care, &id, &monitor), Some(tended(care.folder())));
        }
        assert_eq!(records.rehearsed(&id, &alice(), &monitor), None);
        // The longest note that can be made is read back.
        let reasons = kept_reasons(&vec!["\u{1f980}".repeat(9_999); 999]);
        let one = InRepository { reasons: reasons[..3].to_vec(), ..InRepository::default() };
        let repositories = vec![one; limits::REPOSITORIES_AT_ONCE_MAX];
        let long = LastRun { reasons, repositories, ..LastRun::default() };
        records.note_run(&alice(), &long).unwrap();
        assert_eq!(records.run(&alice(), &monitor), Some(long));
        assert_eq!(monitor.warnings(), [""; 0]);
    }

    #[test]
    fn a_message_says_how_many_reasons_it_lacks() {
        let all: Vec<String> = (0..9).map(|one| format!("{one}{}", "x".repeat(99))).collect();
        let text = in_short(&all);
        assert!(text.ends_with("; and 7 more reasons"), "{text}");
        assert_eq!(in_short(&all[..2]), all[..2].join("; "));
        assert_eq!(in_short(&["y".repeat(999)]).len(), 999, "the first one stays");
    }

    #[test]
    fn reasons_are_kept_within_bounds() {
        let long = vec!["ü".repeat(10_000); 1000];
        let kept = kept_reasons(&long);
        assert_eq!(kept.len(), limits::REASONS_NOTED_MAX);
        assert_eq!(kept[0].chars().count(), limits::REASON_LETTERS_MAX + 4);
        assert_eq!(kept_reasons(&["short".to_owned()]), ["short"]);
    }
}
