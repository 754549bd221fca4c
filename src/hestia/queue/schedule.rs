// SPDX-License-Identifier: MIT
//! `/etc/ghostsnap/schedules/NAME.toml`: what is done again and again, and when. A file belongs to
//! root and is nobody else's to read or write, as those of repositories.

use super::job::{JobKind, NewJob};
use super::when::When;
use crate::backend::private_file::remove_file;
use crate::base::units::Span;
use crate::base::{Error, Kind, Result, Timestamp, Within};
use crate::hestia::inventory::{self, User};
use crate::hestia::layout::UserName;
use crate::hestia::named::{self, DEFAULT, RepositoryName};
use crate::ops::check::ReadData;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
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
    /// Bring over to another repository what it lacks.
    Copy,
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
    pub const WORDS: &'static [&'static str] =
        &["backup", "copy", "forget", "prune", "check", "verify"];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Copy => "copy",
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
    /// The repository that is copied from; empty for the usual one.
    pub from: String,
    /// Those that are copied into.
    pub to: Vec<String>,
    /// How many of the newest backups of each user are copied; all of them without.
    pub newest: Option<u16>,
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
    from: String,
    #[serde(default)]
    to: Vec<String>,
    newest: Option<u16>,
    #[serde(default)]
    subset: String,
    #[serde(default)]
    max_time: String,
    hours_max: Option<u16>,
    load_max: Option<u16>,
    enabled: Option<bool>,
}

impl Written {
    /// Says what of it does not go with what is done.
    fn fits(&self, task: Task) -> Result<(), String> {
        let is_for = |is_said: bool, only: Task, what: &str| {
            if is_said && task != only { Err(what.to_owned()) } else { Ok(()) }
        };
        let has_users = !(self.include.is_empty() && self.exclude.is_empty());
        is_for(has_users, Task::Backup, &format!("{} is not done user by user", task.word()))?;
        is_for(!self.subset.is_empty(), Task::Check, "subset is for a check")?;
        is_for(!self.max_time.is_empty(), Task::Verify, "max_time is for verify")?;
        let is_copied = !self.from.is_empty() || !self.to.is_empty() || self.newest.is_some();
        is_for(is_copied, Task::Copy, "from, to and newest are for a copy")?;
        if self.newest == Some(0) {
            return Err("newest must be a number from 1 to 65535".to_owned());
        }
        if task != Task::Copy {
            return Ok(());
        }
        if !self.repositories.is_empty() {
            return Err("a copy has from and to, and no repositories".to_owned());
        }
        if self.to.is_empty() {
            return Err("a copy needs to=NAME: the repository that is copied into".to_owned());
        }
        if let Some(same) = self.to.iter().find(|to| *to == from_or_usual(&self.from)) {
            return Err(format!("{same} cannot be copied into itself"));
        }
        Ok(())
    }
}

/// Where a copy comes from.
fn from_or_usual(from: &str) -> &str {
    if from.is_empty() { DEFAULT } else { from }
}

/// What a key of the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    List,
    Number,
    YesNo,
}

const KEYS: [(&str, Holds); 14] = [
    ("do", Holds::Text),
    ("when", Holds::Text),
    ("spread_minutes", Holds::Number),
    ("include", Holds::List),
    ("exclude", Holds::List),
    ("repositories", Holds::List),
    ("from", Holds::Text),
    ("to", Holds::List),
    ("newest", Holds::Number),
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
        written.fits(task).map_err(wrong)?;
        // What is wrong with them is said now, and not by a job of some night.
        if !written.subset.is_empty() {
            ReadData::part(&written.subset, Timestamp::from_seconds(0)).within(what)?;
        }
        if !written.max_time.is_empty() {
            Span::parse(&written.max_time).within(what)?;
        }
        let repositories = || written.repositories.iter().chain(&written.to);
        for word in written.include.iter().chain(&written.exclude).chain(repositories()) {
            if word.is_empty() || word.chars().any(|letter| letter.is_control() || letter == ',') {
                return Err(wrong("a list holds an empty word or a letter it may not".to_owned()));
            }
        }
        let from = Some(&written.from).filter(|from| !from.is_empty());
        for repository in repositories().chain(from) {
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
            from: written.from,
            to: written.to,
            newest: written.newest,
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
        let newest = self.newest.map(|newest| newest.to_string());
        let job = |kind: JobKind, command: &str, words: Vec<&str>| {
            let is_place = |word: &&str| ["--repository", "--to"].contains(word);
            let repository = words.iter().skip_while(|word| !is_place(word)).nth(1).copied();
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
            Task::Copy => {
                let last = newest.iter().flat_map(|newest| ["--last", newest.as_str()]);
                let last: Vec<&str> = last.collect();
                let from = ["--from", from_or_usual(&self.from), "--to"];
                let into = self.to.iter().map(|to| [&from[..], &[to.as_str()], &last].concat());
                into.map(|words| job(JobKind::Copy, "copy", words)).collect()
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
pub(super) fn is_own(name: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(name: &str, text: &str) -> Schedule {
        Schedule::parse(name, text, Path::new("x.toml")).unwrap()
    }

    /// A midnight in UTC.
    const MIDNIGHT: i64 = 20_000 * 86_400;

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
    }

    #[test]
    fn a_copy_is_a_job_for_each_repository_that_it_goes_into() {
        let copy = schedule("c", "do = 'copy'\nfrom = 'disk'\nto = ['a', 'b']\nnewest = 7");
        let jobs = copy.jobs("schedule c");
        let what: Vec<_> = jobs.iter().map(|job| job.what.as_str()).collect();
        assert_eq!(what, ["copy --from disk --to a --last 7", "copy --from disk --to b --last 7"]);
        assert_eq!((jobs[1].kind, jobs[1].repository.as_str()), (JobKind::Copy, "b"));
        let usual = schedule("c", "do = 'copy'\nto = ['a']").jobs("");
        assert_eq!(usual[0].what, "copy --from default --to a");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
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
            "do = 'copy'",
            "do = 'copy'\nto = []",
            "do = 'copy'\nto = ['a']\nfrom = 'a'",
            "do = 'copy'\nto = ['default']",
            "do = 'copy'\nto = ['s3://x/y']",
            "do = 'copy'\nto = ['a']\nfrom = '/srv/x'",
            "do = 'copy'\nto = ['a']\nrepositories = ['b']",
            "do = 'copy'\nto = ['a']\ninclude = ['b']",
            "do = 'copy'\nto = ['a']\nnewest = 0",
            "to = ['a']",
            "do = 'check'\nfrom = 'a'",
            "do = 'forget'\nnewest = 3",
        ] {
            let error = Schedule::parse("x", bad, Path::new("x.toml")).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{bad}");
        }
    }
}
