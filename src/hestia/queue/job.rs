// SPDX-License-Identifier: MIT
//! What a job is: one of the panel's commands with its arguments, whose it is, and how it went.
//! Pure data; [`super::spool`] keeps it.

use crate::base::{Error, Kind, Result, Timestamp, World};
use crate::hestia::UserName;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// The name of a job, and of its files: when it was asked for, in UTC, and eight random digits, so
/// that names sort by age and nobody can guess one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// `dddddddd-dddddd-xxxxxxxx`.
const SHAPE: &str = "dddddddd-dddddd-xxxxxxxx";

impl JobId {
    /// A name that no other job has.
    pub fn new(world: &World, now: Timestamp) -> Result<Self> {
        let [a, b, c, d, ..] = world.random_32_for("job")?;
        let number = u32::from_be_bytes([a, b, c, d]);
        Ok(Self(format!("{}-{number:08x}", now.utc().strftime("%Y%m%d-%H%M%S"))))
    }

    /// Takes exactly what [`Self::new`] makes: it becomes a file name.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = |(byte, shape): (u8, u8)| match shape {
            b'd' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            other => byte == other,
        };
        if text.len() == SHAPE.len() && text.bytes().zip(SHAPE.bytes()).all(fits) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.escape_debug().take(80).collect();
        Err(Error::new(Kind::Invalid, format!("take '{shown}' for the id of a job"))
            .why("an id looks like 20260102-030405-3f9c2a1b"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for JobId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|error| error.one_line())
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

macro_rules! words {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $doc:literal])+ $one:ident = $word:literal),+ $(,)?
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[doc = $doc])+ $one),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$one),+];

            /// Its word, as files and lists have it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$one => $word),+ }
            }
        }
    };
}

words! {
    /// What sort of job it is: what may be done about it when something goes wrong, and who goes
    /// first.
    JobKind {
        /// Puts something back into a live user.
        Restore = "restore",
        /// Takes a restore back.
        Undo = "undo",
        /// Makes a file ready for download.
        Download = "download",
        /// Makes a tarball.
        Export = "export",
        /// Tries whether a backup can be restored.
        Verify = "verify",
        /// Backs users up.
        Backup = "backup",
        /// Brings snapshots over to another repository.
        Copy = "copy",
        /// Looks after a repository.
        Care = "care",
    }
}

impl JobKind {
    /// Whether it may be begun again by itself after it was cut off. What changes a live user may
    /// not: nobody knows how far it came, and what the user did since.
    pub const fn is_repeatable(self) -> bool {
        !matches!(self, Self::Restore | Self::Undo)
    }

    /// Whether somebody sits in front of a screen and waits for it.
    pub const fn is_awaited(self) -> bool {
        matches!(self, Self::Restore | Self::Undo | Self::Download)
    }

    /// The lower, the sooner.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Restore | Self::Undo => 0,
            Self::Download => 1,
            Self::Export | Self::Verify => 2,
            Self::Backup => 3,
            Self::Copy => 4,
            Self::Care => 5,
        }
    }
}

words! {
    /// Where a job stands.
    JobState {
        /// Its turn has not come.
        Waiting = "waiting",
        /// It is being done.
        Running = "running",
        /// It did all it should.
        Done = "done",
        /// It did most of it.
        Partial = "partial",
        /// It did not.
        Failed = "failed",
        /// Somebody stopped it.
        Cancelled = "cancelled",
        /// It was cut off: killed, or the machine went down.
        Interrupted = "interrupted",
    }
}

impl JobState {
    /// How much somebody should look at it.
    pub const fn concern(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Waiting => 1,
            Self::Running => 2,
            Self::Cancelled => 3,
            Self::Partial => 4,
            Self::Interrupted => 5,
            Self::Failed => 6,
        }
    }

    /// Whether nothing more will happen to it.
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// An argument: mostly text, but names of files may be any bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Word {
    /// Text.
    Text(String),
    /// What is no text.
    Bytes(Vec<u8>),
}

impl Word {
    /// As an argument of a program.
    pub fn as_os(&self) -> &OsStr {
        match self {
            Self::Text(text) => OsStr::new(text),
            Self::Bytes(bytes) => OsStr::from_bytes(bytes),
        }
    }
}

impl From<&OsStr> for Word {
    fn from(word: &OsStr) -> Self {
        match word.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(word.as_bytes().to_vec()),
        }
    }
}

/// What is handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What sort of job.
    pub kind: JobKind,
    /// Whose it is; nobody's is the administrator's.
    pub user: Option<UserName>,
    /// What tells this user from a later one of the same name; empty if unknown.
    pub person: String,
    /// The panel's command.
    pub command: String,
    /// Its arguments.
    pub words: Vec<OsString>,
    /// The arguments for a person.
    pub what: String,
    /// The repository that was asked for; empty for the usual one.
    pub repository: String,
    /// Who asks.
    pub by: String,
    /// Longest time it may run, if it is another than usual.
    pub seconds_max: Option<u64>,
}

/// A job, as its file has it. Fields are only ever added, with a default: a file of another version
/// of this program must be readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What sort of job.
    pub kind: JobKind,
    /// Whose it is; empty is the administrator's.
    #[serde(default)]
    pub user: String,
    /// What tells this user from a later one of the same name; empty if unknown.
    #[serde(default)]
    pub person: String,
    /// The panel's command that it is; of a schedule's job the words behind `ghostsnap`.
    pub command: String,
    /// The command's arguments.
    #[serde(default)]
    pub words: Vec<Word>,
    /// The arguments for a person.
    #[serde(default)]
    pub what: String,
    /// The repository that was asked for; empty for the usual one.
    #[serde(default)]
    pub repository: String,
    /// Who asked.
    #[serde(default)]
    pub by: String,
    /// When, in milliseconds since 1970.
    #[serde(default)]
    pub asked: i64,
    /// Where it stands.
    pub state: JobState,
    /// How many times it was begun.
    #[serde(default)]
    pub attempt: u32,
    /// How many times it was cut off and waits again because of that.
    #[serde(default)]
    pub interrupted: u32,
    /// When it was begun last, in milliseconds since 1970.
    #[serde(default)]
    pub begun: Option<i64>,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<i64>,
    /// Before this moment it is not begun.
    #[serde(default)]
    pub not_before: Option<i64>,
    /// What it waits for, for a person.
    #[serde(default)]
    pub waits: String,
    /// When somebody asked a running job to stop.
    #[serde(default)]
    pub cancel: Option<i64>,
    /// Longest time it may run, if it is another than usual.
    #[serde(default)]
    pub seconds_max: Option<u64>,
    /// The exit code it ended with.
    #[serde(default)]
    pub code: Option<u8>,
    /// Why it failed, or what to do.
    #[serde(default)]
    pub error: String,
}

impl Job {
    /// A job that waits.
    pub fn new(id: JobId, new: NewJob, now: Timestamp) -> Self {
        Self {
            id,
            kind: new.kind,
            user: new.user.map(|user| user.as_str().to_owned()).unwrap_or_default(),
            person: new.person,
            command: new.command,
            words: new.words.iter().map(|word| Word::from(word.as_os_str())).collect(),
            what: new.what,
            repository: new.repository,
            by: new.by,
            asked: millis(now),
            state: JobState::Waiting,
            attempt: 0,
            interrupted: 0,
            begun: None,
            ended: None,
            not_before: None,
            waits: String::new(),
            cancel: None,
            seconds_max: new.seconds_max,
            code: None,
            error: String::new(),
        }
    }

    /// Its order among those that wait: by kind, then by age.
    pub fn turn(&self) -> (u8, i64, &JobId) {
        (self.kind.rank(), self.asked, &self.id)
    }

    /// Whether the other one asks for the very same.
    pub fn is_same(&self, new: &Self) -> bool {
        self.command == new.command && self.user == new.user && self.words == new.words
    }

    /// Whether it belongs to this user.
    pub fn is_of(&self, user: &UserName) -> bool {
        self.user == user.as_str()
    }

    /// Whether it is of this very person: a name may be given to somebody else.
    pub fn is_of_person(&self, person: &str) -> bool {
        self.person.is_empty() || self.person == person
    }

    /// It is over.
    pub fn end(&mut self, state: JobState, code: Option<u8>, error: String, now: Timestamp) {
        self.state = state;
        self.ended = Some(millis(now));
        self.code = code;
        self.error = error;
        self.waits = String::new();
    }
}

/// Milliseconds since 1970.
pub fn millis(time: Timestamp) -> i64 {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000))
}

/// The same back, without what is below a second.
pub fn time_of(millis: i64) -> Timestamp {
    Timestamp::from_seconds(millis.div_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_harmless_file_name_and_nothing_else_is_an_id() {
        let world = World::seeded(1);
        let id = JobId::new(&world, world.now()).unwrap();
        assert!(id.as_str().starts_with("20260102-030405-"), "{id}");
        assert_eq!(JobId::parse(id.as_str()).unwrap(), id);
        assert_ne!(JobId::new(&world, world.now()).unwrap(), id);
        for bad in [
            "",
            ".",
            "20260102-030405-3F9C2A1B",
            "20260102-030405-3f9c2a1",
            "20260102-030405-3f9c2a1b ",
            "20260102-030405-3f9c2a1b\n",
            "20260102-030405-3f9c2a1b/../x",
            "../../../../etc/shadow00",
            "2026０102-030405-3f9c2a",
            "latest",
        ] {
            assert_eq!(JobId::parse(bad).unwrap_err().kind(), Kind::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn a_job_survives_its_file_whatever_bytes_its_words_have() {
        let world = World::seeded(1);
        let now = world.now();
        let new = NewJob {
            kind: JobKind::Restore,
            user: Some(UserName::parse("bob").unwrap()),
            person: String::new(),
            command: "v-ghostsnap-restore-file".to_owned(),
            words: vec!["bob".into(), OsStr::from_bytes(b"a\xff\nb'").to_owned(), "".into()],
            what: "path a".to_owned(),
            repository: String::new(),
            by: "panel".to_owned(),
            seconds_max: None,
        };
        let job = Job::new(JobId::new(&world, now).unwrap(), new.clone(), now);
        let text = serde_json::to_string(&job).unwrap();
        let read: Job = serde_json::from_str(&text).unwrap();
        assert_eq!(read, job);
        let words: Vec<&OsStr> = read.words.iter().map(Word::as_os).collect();
        assert_eq!(words, new.words.iter().map(OsString::as_os_str).collect::<Vec<_>>());
        // A newer version's field is no obstacle, an id that is none is.
        let newer = text.replace("\"what\"", "\"later\":1,\"what\"");
        assert_eq!(serde_json::from_str::<Job>(&newer).unwrap(), job);
        let evil = text.replace(job.id.as_str(), "../../../../etc/shadow00");
        assert!(serde_json::from_str::<Job>(&evil).is_err());
    }

    #[test]
    fn restores_go_first_and_are_never_begun_again_by_themselves() {
        let ranks = JobKind::ALL.iter().map(|kind| kind.rank());
        assert!(ranks.collect::<Vec<_>>().is_sorted());
        let once: Vec<_> = JobKind::ALL.iter().filter(|kind| !kind.is_repeatable()).collect();
        assert_eq!(once, [&JobKind::Restore, &JobKind::Undo]);
        for kind in JobKind::ALL {
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.word()));
        }
        for state in JobState::ALL {
            assert_eq!(serde_json::to_string(state).unwrap(), format!("\"{}\"", state.word()));
        }
    }
}
