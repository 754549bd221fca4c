// SPDX-License-Identifier: MIT
//! `/etc/ghostsnap/schedules/NAME.toml`: what is done again and again, and when. A file belongs to
//! root and is nobody else's to read or write, as those of repositories. When each was due last is
//! noted beside the jobs: whatever was missed while the machine was off is done once.

use super::job::{JobKind, NewJob, millis};
use super::spool::{Spool, replace};
use super::when::When;
use crate::backend::private_file::remove_file;
use crate::base::units::Span;
use crate::base::{Error, Kind, Result, Timestamp, Within, limits};
use crate::hestia::conf;
use crate::hestia::inventory::{self, User};
use crate::hestia::layout::UserName;
use crate::hestia::named::{self, RepositoryName};
use crate::ops::check::ReadData;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The folder of the schedules, beside ghostsnap.toml.
pub const FOLDER: &str = "schedules";
/// What the nightly one is, if nothing else is said.
pub const USUAL_TIME: &str = "daily 02:30";
/// Over how many minutes servers spread what is due at the same time.
const USUAL_SPREAD: u16 = 60;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Back users up.
    Backup,
    /// Drop backups that no rule keeps, then free their space.
    Forget,
    /// Free the space of what no backup needs.
    Prune,
    /// Look whether a repository is sound.
    Check,
    /// Prove backups by rehearsing their restore.
    Verify,
}

impl Task {
    /// Every word.
    pub const WORDS: &'static [&'static str] = &["backup", "forget", "prune", "check", "verify"];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Forget => "forget",
            Self::Prune => "prune",
            Self::Check => "check",
            Self::Verify => "verify",
        }
    }
}

/// What is due again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// What is done.
    pub task: Task,
    /// When.
    pub when: When,
    /// Over how many minutes it is spread.
    pub spread_minutes: u16,
    /// Globs of the users; all without any.
    pub include: Vec<String>,
    /// Globs of users to leave out.
    pub exclude: Vec<String>,
    /// The names of the repositories; those of each user, or the usual one, without any.
    pub repositories: Vec<String>,
    /// Which part of the data a check reads.
    pub subset: String,
    /// After which time no further rehearsal of a restore begins.
    pub max_time: String,
    /// Longest time it may run.
    pub hours_max: Option<u16>,
    /// It is put off while the load is above this.
    pub load_max: Option<u16>,
    /// Whether it is done at all.
    pub enabled: bool,
    /// The customer whose own it is, and which person that is: a backup of nobody else.
    pub of: Option<(UserName, String)>,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "do")]
    task: Option<Task>,
    when: Option<String>,
    spread_minutes: Option<u16>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    repositories: Vec<String>,
    #[serde(default)]
    subset: String,
    #[serde(default)]
    max_time: String,
    hours_max: Option<u16>,
    load_max: Option<u16>,
    enabled: Option<bool>,
}

/// What a key of the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    List,
    Number,
    YesNo,
}

const KEYS: [(&str, Holds); 11] = [
    ("do", Holds::Text),
    ("when", Holds::Text),
    ("spread_minutes", Holds::Number),
    ("include", Holds::List),
    ("exclude", Holds::List),
    ("repositories", Holds::List),
    ("subset", Holds::Text),
    ("max_time", Holds::Text),
    ("hours_max", Holds::Number),
    ("load_max", Holds::Number),
    ("enabled", Holds::YesNo),
];

/// Sets what `KEY=VALUE` says; an empty value takes the key out.
pub fn set(table: &mut Table, word: &str) -> Result<()> {
    let shown = || word.escape_debug().take(80).collect::<String>();
    let wrong = |why: &str| Error::new(Kind::Invalid, format!("set '{}'", shown())).why(why);
    let (key, value) = word.split_once('=').ok_or_else(|| wrong("it is not KEY=VALUE"))?;
    let Some((_, holds)) = KEYS.iter().find(|(name, _)| *name == key) else {
        let known: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
        return Err(wrong(&format!("the keys are {}", known.join(", "))));
    };
    if value.is_empty() {
        table.remove(key);
        return Ok(());
    }
    let value = match holds {
        Holds::Text => Value::from(value),
        Holds::List => {
            let words = value.split(',').filter(|word| !word.is_empty());
            Value::from(words.map(Value::from).collect::<Vec<_>>())
        }
        Holds::Number => Value::from(value.parse::<i64>().map_err(|_| wrong("it is no number"))?),
        Holds::YesNo => match value {
            "yes" => Value::from(true),
            "no" => Value::from(false),
            _ => return Err(wrong("it is neither yes nor no")),
        },
    };
    table.insert(key.to_owned(), value);
    Ok(())
}

/// The name of a schedule, which becomes a file's.
pub fn check_name(text: &str) -> Result<()> {
    let shown: String = text.escape_debug().take(80).collect();
    RepositoryName::parse(text).map(drop).map_err(|error| {
        Error::new(Kind::Invalid, format!("use '{shown}' as the name of a schedule"))
            .why(error.reasons())
    })
}

impl Schedule {
    /// Reads the text of a file; `path` is for the messages.
    pub fn parse(name: &str, text: &str, path: &Path) -> Result<Self> {
        let what = || format!("read the schedule in {}", path.display());
        let wrong = |why: String| Error::new(Kind::Invalid, what()).why(why);
        let written: Written =
            toml::from_str(text).map_err(|error| wrong(error.message().replace('\n', "; ")))?;
        let when = When::parse(written.when.as_deref().unwrap_or(USUAL_TIME))
            .map_err(|error| error.within(what()))?;
        let task = written.task.unwrap_or(Task::Backup);
        if written.spread_minutes.is_some_and(|minutes| minutes > 1440) {
            return Err(wrong("spread_minutes must be a number from 0 to 1440".to_owned()));
        }
        if written.hours_max.is_some_and(|hours| !(1..=720).contains(&hours)) {
            return Err(wrong("hours_max must be a number from 1 to 720".to_owned()));
        }
        if written.load_max == Some(0) {
            return Err(wrong("load_max must be a number from 1 to 65535".to_owned()));
        }
        let has_users = !(written.include.is_empty() && written.exclude.is_empty());
        if has_users && task != Task::Backup {
            return Err(wrong(format!("{} is not done user by user", task.word())));
        }
        if !written.subset.is_empty() && task != Task::Check {
            return Err(wrong("subset is for a check".to_owned()));
        }
        if !written.max_time.is_empty() && task != Task::Verify {
            return Err(wrong("max_time is for verify".to_owned()));
        }
        // What is wrong with them is said now, and not by a job of some night.
        if !written.subset.is_empty() {
            ReadData::part(&written.subset, Timestamp::from_seconds(0)).within(what)?;
        }
        if !written.max_time.is_empty() {
            Span::parse(&written.max_time).within(what)?;
        }
        for word in written.include.iter().chain(&written.exclude).chain(&written.repositories) {
            if word.is_empty() || word.chars().any(|letter| letter.is_control() || letter == ',') {
                return Err(wrong("a list holds an empty word or a letter it may not".to_owned()));
            }
        }
        for repository in &written.repositories {
            RepositoryName::parse(repository).map_err(|error| error.within(what()))?;
        }
        let usual_spread = if when.is_cron() { 0 } else { USUAL_SPREAD };
        Ok(Self {
            name: name.to_owned(),
            task,
            spread_minutes: written.spread_minutes.unwrap_or(usual_spread),
            when,
            include: written.include,
            exclude: written.exclude,
            repositories: written.repositories,
            subset: written.subset,
            max_time: written.max_time,
            hours_max: written.hours_max,
            load_max: written.load_max,
            enabled: written.enabled.unwrap_or(true),
            of: None,
        })
    }

    /// That of a customer's own backup, into the places that are the customer's.
    pub fn own(user: &User, when: &str) -> Result<Self> {
        let name = own_name(&user.name);
        let mut table = Table::new();
        table.insert("when".to_owned(), Value::from(when));
        let of = Some((user.name.clone(), user.identity.clone()));
        Ok(Self { of, ..Self::parse(&name, &table.to_string(), Path::new(&name))? })
    }

    /// The first time after this one at which it is due on this machine.
    pub fn next(&self, after: Timestamp, host: &str, zone: &TimeZone) -> Option<Timestamp> {
        let shift = self.shift(host);
        let earlier = Timestamp::from_seconds(after.seconds.saturating_sub(shift));
        let next = self.when.next(earlier, zone)?;
        Some(Timestamp::from_seconds(next.seconds.saturating_add(shift)))
    }

    /// By how many seconds this machine is later than the time that was written: always the same
    /// here, another one elsewhere, so that a hundred servers do not come to one store at once.
    fn shift(&self, host: &str) -> i64 {
        let mut hasher = blake3::Hasher::new_derive_key("ghostsnap spread of schedules");
        hasher.update(host.as_bytes()).update(&[0]).update(self.name.as_bytes());
        let mut bytes = [0; 4];
        hasher.finalize_xof().fill(&mut bytes);
        let minutes = u32::from_le_bytes(bytes) % (u32::from(self.spread_minutes) + 1);
        i64::from(minutes) * 60
    }

    /// Whether it backs this user up.
    pub fn backs_up(&self, user: &User) -> bool {
        let is_theirs = match &self.of {
            Some((name, person)) => *name == user.name && *person == user.identity,
            // A pattern that is none makes the backup fail, which its job says.
            None => inventory::is_meant(&user.name, &self.include, &self.exclude).unwrap_or(false),
        };
        is_theirs && self.enabled && self.task == Task::Backup
    }

    /// What is handed in when it is due.
    pub fn jobs(&self, by: &str) -> Vec<NewJob> {
        if let Some((user, person)) = &self.of {
            return vec![own_job(user, person, by)];
        }
        let each: Vec<Vec<&str>> = match self.repositories.as_slice() {
            [] => vec![Vec::new()],
            names => names.iter().map(|name| vec!["--repository", name.as_str()]).collect(),
        };
        let job = |kind: JobKind, command: &str, words: Vec<&str>| {
            let repository =
                words.iter().skip_while(|word| **word != "--repository").nth(1).copied();
            NewJob {
                kind,
                user: None,
                person: String::new(),
                command: command.to_owned(),
                words: words.iter().map(OsString::from).collect(),
                what: [&[command], words.as_slice()].concat().join(" "),
                repository: repository.unwrap_or_default().to_owned(),
                by: by.to_owned(),
                seconds_max: self.hours_max.map(|hours| u64::from(hours) * 3600),
            }
        };
        let all = |kind: JobKind, command: &str, more: &[&str]| -> Vec<NewJob> {
            let words = each.iter().map(|words| [words.as_slice(), more].concat());
            words.map(|words| job(kind, command, words)).collect()
        };
        let of_each = |command: &str, more: &[&str]| all(JobKind::Care, command, more);
        match self.task {
            Task::Backup => {
                let mut words = Vec::new();
                for (place, name) in self.repositories.iter().enumerate() {
                    words.extend([if place == 0 { "--repository" } else { "--also" }, name]);
                }
                for (option, globs) in [("--include", &self.include), ("--exclude", &self.exclude)]
                {
                    for glob in globs {
                        words.extend([option, glob]);
                    }
                }
                vec![job(JobKind::Backup, "hestia backup", words)]
            }
            Task::Forget => {
                let mut jobs = of_each("hestia forget", &["--force"]);
                jobs.extend(of_each("prune", &[]));
                jobs
            }
            Task::Prune => of_each("prune", &[]),
            Task::Check if self.subset.is_empty() => of_each("check", &[]),
            Task::Check => of_each("check", &["--read-data-subset", &self.subset]),
            Task::Verify if self.max_time.is_empty() => {
                all(JobKind::Verify, "hestia verify-users", &[])
            }
            Task::Verify => {
                all(JobKind::Verify, "hestia verify-users", &["--max-time", &self.max_time])
            }
        }
    }
}

/// What the schedule of a customer's own backup is called: no name of a file has a blank.
pub fn own_name(user: &UserName) -> String {
    format!("user {user}")
}

/// Whether it is one of those; an administrator's has no space in its name.
fn is_own(name: &str) -> bool {
    name.starts_with("user ")
}

/// What a customer hands in who asks for a backup.
fn own_job(user: &UserName, person: &str, by: &str) -> NewJob {
    NewJob {
        kind: JobKind::Backup,
        user: Some(user.clone()),
        person: person.to_owned(),
        command: "v-ghostsnap-backup-user".to_owned(),
        words: vec![OsString::from(user.as_str())],
        what: String::new(),
        repository: String::new(),
        by: by.to_owned(),
        seconds_max: None,
    }
}

/// The file of a schedule.
pub fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

/// The table in a file, to be changed.
pub fn table(folder: &Path, name: &str) -> Result<Table> {
    let path = path_of(folder, name);
    let text = named::read_private(&path)?.ok_or_else(|| not_found(name))?;
    text.parse::<Table>().map_err(|error| {
        Error::new(Kind::Invalid, format!("read the schedule in {}", path.display()))
            .why(error.message().to_owned())
    })
}

/// Writes a file: whole, durable and readable by its owner alone.
pub fn write(folder: &Path, name: &str, table: &Table, new: bool) -> Result<Schedule> {
    let path = path_of(folder, name);
    let text = table.to_string();
    let schedule = Schedule::parse(name, &text, &path)
        .map_err(|error| Error::new(error.kind(), "set it up so").why(error.reasons()))?;
    named::write_private(folder, &path, text.as_bytes(), new)?;
    Ok(schedule)
}

/// Removes a file.
pub fn remove(folder: &Path, name: &str) -> Result<()> {
    let path = path_of(folder, name);
    if !path.exists() {
        return Err(not_found(name));
    }
    remove_file(&path)
}

/// Reads one.
pub fn read(folder: &Path, name: &str) -> Result<Schedule> {
    let path = path_of(folder, name);
    let text = named::read_private(&path)?.ok_or_else(|| not_found(name))?;
    Schedule::parse(name, &text, &path)
}

/// All schedules by name, and what is wrong with files that are none.
pub fn read_all(folder: &Path) -> Result<(Vec<Schedule>, Vec<Error>)> {
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for name in named::names(folder)? {
        match read(folder, name.as_str()) {
            Ok(schedule) => all.push(schedule),
            Err(error) => problems.push(error),
        }
    }
    Ok((all, problems))
}

fn not_found(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("find the schedule {name}"))
        .why("there is none of that name")
        .hint("v-ghostsnap-list-schedules lists them")
}

/// What is remembered of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Up to when it was looked at (milliseconds since 1970): what was due before is done.
    pub until: i64,
    /// When it was done last.
    pub done: Option<i64>,
    /// The jobs that were handed in then.
    pub jobs: Vec<String>,
}

/// What is remembered of all.
pub type Memories = BTreeMap<String, Memory>;

/// Where that is.
fn memory_path(spool: &Spool) -> PathBuf {
    spool.folder().join("schedules.json")
}

/// Reads it. One that is lost or broken makes nothing due: that is what new schedules are.
pub fn memories(spool: &Spool) -> Memories {
    let bytes = conf::read_file(&memory_path(spool)).ok().flatten().unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Changes it.
pub fn remember(spool: &Spool, change: impl FnOnce(&mut Memories)) -> Result<()> {
    spool.make()?;
    let _held = spool.lock()?;
    let before = memories(spool);
    let mut now = before.clone();
    change(&mut now);
    if now == before {
        return Ok(());
    }
    let text = serde_json::to_vec(&now).unwrap_or_default();
    replace(&memory_path(spool), &text, true)
}

/// What decides about what is due.
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// This machine's zone.
    pub zone: TimeZone,
    /// This machine's name.
    pub host: String,
    /// The load, as far as it is known.
    pub load: Option<f64>,
    /// How long a high load puts off.
    pub load_wait_seconds: i64,
}

impl Clock {
    /// When it is due next, after what is remembered.
    pub fn next(&self, schedule: &Schedule, memory: Option<&Memory>) -> Option<Timestamp> {
        let since = memory.map_or(self.now, |memory| super::job::time_of(memory.until));
        schedule.next(since, &self.host, &self.zone)
    }

    /// When one of these backs a user up next. A time that has passed waits for the load, or for
    /// whoever works the queue off.
    pub fn next_backup(
        &self,
        all: &[Schedule],
        memories: &Memories,
        user: &User,
    ) -> Option<Timestamp> {
        let all = all.iter().filter(|one| one.backs_up(user));
        all.filter_map(|one| self.next(one, memories.get(&one.name))).min()
    }

    /// Decides what is due, and notes it as done. What was due several times is done once; what
    /// is new is first due in the future.
    pub fn due(&self, schedules: &[Schedule], memories: &mut Memories) -> Vec<String> {
        memories.retain(|name, memory| {
            schedules.iter().any(|schedule| schedule.name == *name) || self.is_recent(name, memory)
        });
        let now = millis(self.now);
        let mut due = Vec::new();
        for schedule in schedules {
            let Some(memory) = memories.get_mut(&schedule.name) else {
                memories.insert(schedule.name.clone(), Memory { until: now, ..Memory::default() });
                continue;
            };
            // A clock that was far ahead for a while must not silence a schedule for as long.
            memory.until = memory.until.min(now);
            let next = self.next(schedule, Some(memory)).filter(|next| *next <= self.now);
            if next.is_some() && self.is_recent(&schedule.name, memory) {
                // A customer who changes the time has no second backup of the day by it.
                memory.until = now;
                continue;
            }
            if let Some(next) = next.filter(|_| schedule.enabled)
                && !self.is_put_off(schedule, next)
            {
                memory.until = now;
                due.push(schedule.name.clone());
            }
        }
        due
    }

    /// Whether it is a customer's that was done within the last hours: that is remembered even if
    /// the customer takes the time back and gives another one.
    pub fn is_recent(&self, name: &str, memory: &Memory) -> bool {
        let hours = limits::OWN_BACKUP_HOURS;
        let ago = |done: i64| millis(self.now).saturating_sub(done);
        is_own(name) && memory.done.is_some_and(|done| (0..hours * 3_600_000).contains(&ago(done)))
    }

    /// Whether the load is too high; not for ever.
    fn is_put_off(&self, schedule: &Schedule, since: Timestamp) -> bool {
        let waited = self.now.seconds.saturating_sub(since.seconds);
        let is_high =
            schedule.load_max.zip(self.load).is_some_and(|(most, load)| load > f64::from(most));
        is_high && waited < self.load_wait_seconds.max(0)
    }
}

/// The load of the last minute.
pub fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(name: &str, text: &str) -> Schedule {
        Schedule::parse(name, text, Path::new("x.toml")).unwrap()
    }

    fn clock(now: i64) -> Clock {
        Clock {
            now: Timestamp::from_seconds(now),
            zone: TimeZone::UTC,
            host: "test.example".to_owned(),
            load: Some(3.5),
            load_wait_seconds: 3600,
        }
    }

    const DAY: i64 = 86_400;
    /// A midnight in UTC.
    const MIDNIGHT: i64 = 20_000 * DAY;

    #[test]
    fn what_was_missed_is_done_once_and_what_is_new_in_the_future() {
        let all = [schedule("nightly", "when = 'daily 02:30'\nspread_minutes = 0")];
        let mut memories = Memories::new();
        let due = |now: i64, memories: &mut Memories| clock(now).due(&all, memories);
        // It is new: half past two of this night is over.
        assert!(due(MIDNIGHT + 3 * 3600, &mut memories).is_empty());
        assert!(due(MIDNIGHT + DAY + 2 * 3600, &mut memories).is_empty());
        assert_eq!(due(MIDNIGHT + DAY + 9000, &mut memories), ["nightly"]);
        assert!(due(MIDNIGHT + DAY + 9001, &mut memories).is_empty());
        // The machine was off for a week.
        assert_eq!(due(MIDNIGHT + 8 * DAY, &mut memories), ["nightly"]);
        assert!(due(MIDNIGHT + 8 * DAY + 1, &mut memories).is_empty());
        // A clock far ahead, put right again.
        assert_eq!(due(MIDNIGHT + 900 * DAY, &mut memories), ["nightly"]);
        assert!(due(MIDNIGHT + 9 * DAY, &mut memories).is_empty());
        assert_eq!(due(MIDNIGHT + 10 * DAY, &mut memories), ["nightly"]);
    }

    #[test]
    fn a_customer_has_one_backup_of_a_day_however_often_the_time_is_changed() {
        let user = |when: &str| {
            let (row, _) = crate::hestia::conf::parse_keys(b"");
            let name = UserName::parse("alice").unwrap();
            Schedule::own(&User { name, row, identity: "x".to_owned() }, when).unwrap()
        };
        let mut memories = Memories::new();
        let at = |hours: i64| MIDNIGHT + hours * 3600;
        clock(at(0)).due(&[user("daily 01:00")], &mut memories);
        assert_eq!(clock(at(3)).due(&[user("daily 01:00")], &mut memories), ["user alice"]);
        memories.get_mut("user alice").unwrap().done = Some(at(3) * 1000);
        // Another time, and the time taken back and another one given.
        assert!(clock(at(7)).due(&[user("daily 05:00")], &mut memories).is_empty());
        assert!(clock(at(8)).due(&[], &mut memories).is_empty());
        assert!(clock(at(11)).due(&[user("daily 09:00")], &mut memories).is_empty());
        assert_eq!(clock(at(35)).due(&[user("daily 09:00")], &mut memories), ["user alice"]);
    }

    #[test]
    fn the_next_backup_of_a_user_is_that_of_the_first_schedule_that_means_the_user() {
        let user = |name: &str, identity: &str| {
            let (row, _) = crate::hestia::conf::parse_keys(b"");
            User { name: UserName::parse(name).unwrap(), row, identity: identity.to_owned() }
        };
        let exact = |name: &str, text: &str| schedule(name, &format!("spread_minutes = 0\n{text}"));
        let mut all = vec![
            exact("shops", "when = 'daily 04:00'\ninclude = ['shop*']"),
            exact("night", "when = 'daily 05:00'\nexclude = ['test*']"),
            exact("off", "when = 'daily 01:00'\nenabled = false"),
            exact("check", "do = 'check'\nwhen = 'daily 01:00'"),
        ];
        all.push(Schedule {
            spread_minutes: 0,
            ..Schedule::own(&user("alice", "first"), "daily 03:00").unwrap()
        });
        let mut memories = Memories::new();
        let hour = |memories: &Memories, name: &str, identity: &str| {
            let next = clock(MIDNIGHT).next_backup(&all, memories, &user(name, identity));
            next.map(|next| (next.seconds - MIDNIGHT) / 3600)
        };
        assert_eq!(hour(&memories, "shop1", ""), Some(4));
        assert_eq!(hour(&memories, "bob", ""), Some(5));
        assert_eq!(hour(&memories, "test1", ""), None);
        assert_eq!(hour(&memories, "alice", "first"), Some(3));
        assert_eq!(hour(&memories, "alice", "second"), Some(5), "somebody else's wish");
        // What was due yesterday and is not done yet.
        let until = (MIDNIGHT - DAY) * 1000;
        memories.insert("night".to_owned(), Memory { until, ..Memory::default() });
        assert_eq!(hour(&memories, "bob", ""), Some(5 - 24));
    }

    #[test]
    fn a_high_load_puts_off_for_a_while_and_a_disabled_one_is_not_due() {
        let text = "when = '0 2 * * *'\nload_max = 3";
        let all = [schedule("a", text), schedule("b", &format!("{text}\nenabled = false"))];
        let mut memories = Memories::new();
        let at = MIDNIGHT + 7200;
        clock(MIDNIGHT).due(&all, &mut memories);
        assert!(clock(at).due(&all, &mut memories).is_empty());
        assert!(clock(at + 3599).due(&all, &mut memories).is_empty());
        assert_eq!(clock(at + 3600).due(&all, &mut memories), ["a"]);
        let quiet = |now: i64| Clock { load: Some(2.9), ..clock(now) };
        assert_eq!(quiet(at + DAY).due(&all, &mut memories), ["a"]);
    }

    #[test]
    fn servers_spread_and_each_keeps_to_its_time() {
        let one = schedule("nightly", "when = 'daily 02:30'");
        let at = |host: &str| {
            let next = one.next(Timestamp::from_seconds(MIDNIGHT), host, &TimeZone::UTC).unwrap();
            next.seconds - MIDNIGHT
        };
        let times: std::collections::BTreeSet<i64> =
            (0..50).map(|number| at(&format!("server{number}"))).collect();
        assert!(times.len() > 20, "{times:?}");
        assert!(times.iter().all(|time| (9000..=9000 + 3600).contains(time)), "{times:?}");
        assert_eq!(at("server1"), at("server1"));
        // Whoever writes the minute means it.
        let exact = schedule("x", "when = '30 2 * * *'");
        let next =
            exact.next(Timestamp::from_seconds(MIDNIGHT), "server1", &TimeZone::UTC).unwrap();
        assert_eq!(next.seconds - MIDNIGHT, 9000);
    }

    #[test]
    fn words_become_a_file_and_a_file_becomes_jobs() {
        let mut table = Table::new();
        for word in [
            "do=backup",
            "when=weekly sun 03:00",
            "include=prod-*,shop",
            "exclude=prod-test",
            "repositories=offsite,box",
            "hours_max=6",
            "enabled=yes",
            "subset=x",
            "subset=",
        ] {
            set(&mut table, word).unwrap();
        }
        let one = schedule("w", &table.to_string());
        let jobs = one.jobs("schedule w");
        let words: Vec<_> = jobs[0].words.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words.join(" "),
            "--repository offsite --also box --include prod-* --include shop --exclude prod-test"
        );
        assert_eq!((jobs.len(), jobs[0].seconds_max), (1, Some(6 * 3600)));
        let care = schedule("c", "do = 'forget'\nrepositories = ['a', 'b']");
        let what: Vec<_> = care.jobs("").into_iter().map(|job| job.what).collect();
        assert_eq!(
            what,
            [
                "hestia forget --repository a --force",
                "hestia forget --repository b --force",
                "prune --repository a",
                "prune --repository b",
            ]
        );
        for bad in ["when", "what=1", "hours_max=x", "enabled=1", "=x", "DO=backup"] {
            assert_eq!(set(&mut Table::new(), bad).unwrap_err().kind(), Kind::Invalid, "{bad}");
        }
        for bad in [
            "do = 'sleep'",
            "when = 'now'",
            "hours_max = 0",
            "load_max = 0",
            "typo = 1",
            "spread_minutes = 9999",
            "repositories = ['s3://x/y']",
            "include = ['a,b']",
            "do = 'check'\ninclude = ['a']",
            "subset = 'day/30'",
            "max_time = '2h'",
            "do = 'check'\nsubset = 'abc'",
            "do = 'verify'\nmax_time = 'abc'",
            "include = ['']",
        ] {
            let error = Schedule::parse("x", bad, Path::new("x.toml")).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{bad}");
        }
    }
}
