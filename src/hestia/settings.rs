// SPDX-License-Identifier: MIT
//! `/etc/ghostsnap/ghostsnap.toml`: what an admin may set, and what holds where nothing is set.
//! An unknown key or a bad value is an error that names the file, the line and what is allowed:
//! a misspelt setting that is silently ignored is found out on the day of the restore.
//!
//! The annotated example is `hestia-plugin/conf/ghostsnap.toml`; a test holds it to this file.

use super::conf;
use super::customers::{Allowed, WrittenMay};
use super::keep::{self, WrittenKeep, WrittenPackage};
use super::layout::UserName;
use super::named::{DEFAULT, RepositoryName};
use super::notify::rules::{
    self as notify, NotifyRules, WrittenCustomer, WrittenMetrics, WrittenNotify,
};
use super::queue::{self, Rules, WrittenQueue};
pub(super) use super::setting_place::Place;
use super::setting_place::without_value;
use crate::backend::throttle::Rates;
use crate::base::units::ByteSize;
use crate::base::{Error, Kind, Result, limits};
use crate::ops::forget::Policy;
use crate::tree::Selection;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Where the settings live on a real machine.
pub const SETTINGS_FILE: &str = "/etc/ghostsnap/ghostsnap.toml";

/// When a user's panel gets a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// Never, unless a command asks for it.
    Never,
    /// When a backup or restore failed or left something out.
    #[default]
    Problems,
    /// After every job.
    Always,
}

/// What a run over all users does with suspended ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suspended {
    /// What Hestia's own `POLICY_BACKUP_SUSPENDED_USERS` says.
    #[default]
    Hestia,
    /// Leave them out.
    Skip,
}

/// How users are backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupMode {
    /// By the tarball that Hestia makes of the user.
    Tarball,
    /// Straight from the live user.
    #[default]
    Direct,
}

impl BackupMode {
    /// Every mode's word, as in settings, commands and snapshots.
    pub const WORDS: &'static [&'static str] = &["tarball", "direct"];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tarball => "tarball",
            Self::Direct => "direct",
        }
    }

    /// Reads a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Tarball, Self::Direct].into_iter().find(|mode| mode.word() == word)
    }
}

/// What is set for one user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserSettings {
    /// How the user is backed up, if not as the others.
    pub mode: Option<BackupMode>,
    /// Globs of what a direct backup of the user leaves out.
    pub exclude: Vec<String>,
    /// The name of the repository the user is backed up into, if not that of the others.
    pub repository: Option<String>,
    /// The names of further ones, if not those of the others.
    pub also: Option<Vec<String>>,
    /// Which backups of the user are kept, if not as those of the package or of the others.
    pub keep: Option<Policy>,
}

/// The settings of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The repository: a path, a URL, or the name of one that has a name.
    pub repository: String,
    /// The file with the key that opens it.
    pub key_file: PathBuf,
    /// The names of further repositories that users are backed up into.
    pub also: Vec<String>,
    /// How users are backed up.
    pub mode: BackupMode,
    /// Globs of what direct backups leave out, as paths in a home.
    pub exclude: Vec<String>,
    /// Whether direct backups leave out caches and sessions.
    pub default_excludes: bool,
    /// Whether direct backups take what is mounted inside a home.
    pub other_file_systems: bool,
    /// How long a direct backup waits for the load to fall.
    pub load_wait: Duration,
    /// How many users are backed up at the same time.
    pub jobs: usize,
    /// Most bytes a second that direct backups read.
    pub read_limit: Option<ByteSize>,
    /// How fast the repository may be written and read.
    pub rates: Rates,
    /// From how many hours on the last complete backup of a user is late.
    pub warn_hours: u16,
    /// From how many hours on it is far too old.
    pub alarm_hours: u16,
    /// From how many days on the last rehearsal that succeeded is too old; never, if 0.
    pub verify_days: u16,
    /// From how many days on the last check of a repository is too old; never, if 0.
    pub check_days: u16,
    /// Which backups are kept, if anything is written down about it.
    pub keep: Option<Policy>,
    /// The same for users of a package.
    pub packages: BTreeMap<String, Policy>,
    /// For how many days after the last one backups of users are kept who are gone; for ever if
    /// nothing is set.
    pub deleted_user_days: Option<u16>,
    /// How the queue of jobs is worked off.
    pub queue: Rules,
    /// What customers may decide about their own backups.
    pub customers: Allowed,
    /// What is set for single users, by their names.
    pub users: BTreeMap<String, UserSettings>,
    /// How many tarballs of a user `--cleanup` leaves in the folder of Hestia's backups.
    pub keep_tarballs: usize,
    /// Effort of the compression, as zstd counts it.
    pub compression_level: i32,
    /// When to ring the bell.
    pub notify: Notify,
    /// Who else is told what, and where.
    pub notifications: NotifyRules,
    /// The file that metrics are written into after each run.
    pub metrics_file: Option<PathBuf>,
    /// What to do with suspended users.
    pub suspended_users: Suspended,
    /// Whether backups run with the lowest priority.
    pub low_priority: bool,
    /// Longest time for Hestia to make a tarball.
    pub backup_limit: Duration,
    /// Longest time for Hestia to take a tarball back.
    pub restore_limit: Duration,
    /// Whether files that were encrypted in place raise an alarm.
    pub tripwire: bool,
    /// Whether restores save what they overwrite, so that they can be taken back.
    pub safety: bool,
    /// For how many days that is kept.
    pub safety_days: u16,
    /// Where the output of Hestia's commands is kept.
    pub log_folder: PathBuf,
    /// Where the locks are; not a setting, but tests have their own.
    pub run_folder: PathBuf,
    /// Where copies of a far repository's index, snapshots and trees lie.
    pub cache_folder: PathBuf,
    /// Where it is noted what runs, checks and rehearsals came to.
    pub state_folder: PathBuf,
    /// Where it is kept what customers decide; not a setting either.
    pub customers_folder: PathBuf,
    /// This program, to start it again; not a setting either.
    pub program: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            repository: "/var/lib/ghostsnap/repository".to_owned(),
            key_file: "/etc/ghostsnap/repository.key".into(),
            also: Vec::new(),
            mode: BackupMode::default(),
            exclude: Vec::new(),
            default_excludes: true,
            other_file_systems: false,
            load_wait: minutes(60),
            jobs: 1,
            read_limit: None,
            rates: Rates::default(),
            warn_hours: 26,
            alarm_hours: 50,
            verify_days: 0,
            check_days: 0,
            keep: None,
            packages: BTreeMap::new(),
            deleted_user_days: None,
            queue: Rules::default(),
            customers: Allowed::default(),
            users: BTreeMap::new(),
            keep_tarballs: 3,
            compression_level: 3,
            notify: Notify::default(),
            notifications: NotifyRules::default(),
            metrics_file: None,
            suspended_users: Suspended::default(),
            low_priority: true,
            backup_limit: hours(24),
            restore_limit: hours(24),
            tripwire: true,
            safety: true,
            safety_days: 7,
            log_folder: "/var/log/ghostsnap".into(),
            run_folder: super::userlock::RUN_FOLDER.into(),
            cache_folder: "/var/cache/ghostsnap".into(),
            state_folder: "/var/lib/ghostsnap".into(),
            customers_folder: "/etc/ghostsnap/customers".into(),
            program: "/proc/self/exe".into(),
        }
    }
}

const fn minutes(number: u64) -> Duration {
    Duration::from_secs(number * 60)
}

const fn hours(number: u64) -> Duration {
    Duration::from_secs(number * 3600)
}

/// The file as it is written: everything may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    repository: Option<Spanned<String>>,
    key_file: Option<Spanned<PathBuf>>,
    also: Option<Spanned<Vec<String>>>,
    mode: Option<BackupMode>,
    exclude: Option<Spanned<Vec<String>>>,
    default_excludes: Option<bool>,
    other_file_systems: Option<bool>,
    load_wait_minutes: Option<Spanned<i64>>,
    jobs: Option<Spanned<i64>>,
    limit_read: Option<Spanned<String>>,
    limit_upload: Option<Spanned<String>>,
    limit_download: Option<Spanned<String>>,
    keep_tarballs: Option<Spanned<i64>>,
    compression_level: Option<Spanned<i64>>,
    notify: Option<Notify>,
    suspended_users: Option<Suspended>,
    low_priority: Option<bool>,
    backup_hours_max: Option<Spanned<i64>>,
    restore_hours_max: Option<Spanned<i64>>,
    tripwire: Option<bool>,
    safety: Option<bool>,
    safety_days: Option<Spanned<i64>>,
    log_folder: Option<Spanned<PathBuf>>,
    cache_folder: Option<Spanned<PathBuf>>,
    state_folder: Option<Spanned<PathBuf>>,
    deleted_user_days: Option<Spanned<i64>>,
    warn_hours: Option<Spanned<i64>>,
    alarm_hours: Option<Spanned<i64>>,
    verify_days: Option<Spanned<i64>>,
    check_days: Option<Spanned<i64>>,
    keep: Option<Spanned<WrittenKeep>>,
    #[serde(default)]
    queue: WrittenQueue,
    #[serde(default)]
    notifications: WrittenNotify,
    #[serde(default)]
    metrics: WrittenMetrics,
    #[serde(default)]
    customers: WrittenMay,
    #[serde(default)]
    packages: BTreeMap<String, WrittenPackage>,
    #[serde(default)]
    users: BTreeMap<Spanned<String>, WrittenUser>,
}

/// The table of one user.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenUser {
    mode: Option<BackupMode>,
    repository: Option<Spanned<String>>,
    also: Option<Spanned<Vec<String>>>,
    exclude: Option<Spanned<Vec<String>>>,
    keep: Option<Spanned<WrittenKeep>>,
    notifications: Option<WrittenCustomer>,
    customer: Option<WrittenMay>,
}

impl Written {
    /// What customers may decide.
    fn allowed(&self) -> Allowed {
        let of_package =
            |(name, one): (&String, &WrittenPackage)| Some((name.clone(), one.customers?));
        let of_user = |(name, one): (&Spanned<String>, &WrittenUser)| {
            Some((name.get_ref().clone(), one.customer?))
        };
        Allowed {
            all: self.customers.may(),
            packages: self.packages.iter().filter_map(of_package).collect(),
            users: self.users.iter().filter_map(of_user).collect(),
        }
    }
}

impl Settings {
    /// Reads the settings file; the defaults, if there is none.
    pub fn read(path: &Path) -> Result<Self> {
        match conf::read_file(path)? {
            None => Ok(Self::default()),
            Some(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| {
                    Error::new(Kind::Invalid, format!("read the settings in {}", path.display()))
                        .why("it is not UTF-8 text")
                })?;
                Self::parse(&text, path)
            }
        }
    }

    /// Reads the text of a settings file; `path` is for the messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let place = Place { text, path };
        let written: Written = toml::from_str(text).map_err(|error| {
            let at = error.span().map(|span| span.start);
            place.error(at, &without_value(error.message()))
        })?;
        let mut settings = Self { customers: written.allowed(), ..Self::default() };
        place.repository(&mut settings, written.repository, written.key_file.as_ref())?;
        for (written, setting) in [
            (written.key_file, &mut settings.key_file),
            (written.log_folder, &mut settings.log_folder),
            (written.cache_folder, &mut settings.cache_folder),
            (written.state_folder, &mut settings.state_folder),
        ] {
            if let Some(value) = written {
                place.check(&value, "an absolute path", |value| value.is_absolute())?;
                *setting = value.into_inner();
            }
        }
        if let Some(value) = written.keep_tarballs {
            settings.keep_tarballs = place.number(&value, 0, 100_000)?;
        }
        if let Some(value) = written.compression_level {
            settings.compression_level = place.number(&value, 1, 19)?;
        }
        if let Some(value) = written.backup_hours_max {
            settings.backup_limit = hours(place.number(&value, 1, 720)?);
        }
        if let Some(value) = written.restore_hours_max {
            settings.restore_limit = hours(place.number(&value, 1, 720)?);
        }
        settings.tripwire = written.tripwire.unwrap_or(settings.tripwire);
        settings.safety = written.safety.unwrap_or(settings.safety);
        if let Some(value) = written.load_wait_minutes {
            settings.load_wait = minutes(place.number(&value, 0, 10_080)?);
        }
        if let Some(value) = written.jobs {
            settings.jobs = place.number(&value, 1, 16)?;
        }
        settings.read_limit = place.rate(written.limit_read)?;
        settings.rates.upload = place.rate(written.limit_upload)?;
        settings.rates.download = place.rate(written.limit_download)?;
        settings.also = place.names(written.also)?.unwrap_or_default();
        settings.exclude = place.globs(written.exclude)?;
        place.keep(
            &mut settings,
            (written.keep, written.packages),
            [written.deleted_user_days, written.warn_hours, written.alarm_hours],
        )?;
        settings.queue = queue::rules(&place, &written.queue)?;
        let days = [written.safety_days, written.verify_days, written.check_days];
        place.days(&mut settings, days)?;
        let single = written
            .users
            .iter()
            .filter_map(|(name, user)| user.notifications.map(|own| (name.get_ref().clone(), own)));
        let single = single.collect();
        settings.notifications = notify::rules(&place, written.notifications, single)?;
        settings.metrics_file = notify::metrics_file(&place, written.metrics)?;
        settings.users = place.users(written.users)?;
        settings.mode = written.mode.unwrap_or(settings.mode);
        settings.default_excludes = written.default_excludes.unwrap_or(settings.default_excludes);
        settings.other_file_systems =
            written.other_file_systems.unwrap_or(settings.other_file_systems);
        settings.notify = written.notify.unwrap_or(settings.notify);
        settings.suspended_users = written.suspended_users.unwrap_or(settings.suspended_users);
        settings.low_priority = written.low_priority.unwrap_or(settings.low_priority);
        Ok(settings)
    }

    /// Which backups of a user of this package are kept, if anything is written down about it.
    pub fn keep_of(&self, user: &str, package: &str) -> Option<&Policy> {
        let own = self.users.get(user).and_then(|user| user.keep.as_ref());
        own.or_else(|| self.packages.get(package)).or(self.keep.as_ref())
    }

    /// How this user is backed up.
    pub fn mode_of(&self, user: &str) -> BackupMode {
        self.users.get(user).and_then(|user| user.mode).unwrap_or(self.mode)
    }

    /// The repository of this user; `None` is the one of all others.
    pub fn repository_of(&self, user: &str) -> Option<&str> {
        let own = self.users.get(user).and_then(|user| user.repository.as_deref());
        own.filter(|name| *name != DEFAULT && *name != self.repository)
    }

    /// The names of all repositories that this user is backed up into, none twice; the first is the
    /// one that everything else is done with.
    pub fn repositories_of(&self, user: &str) -> Vec<String> {
        let own = self.users.get(user).and_then(|user| user.also.as_ref());
        let mut names = vec![self.repository_of(user).unwrap_or(DEFAULT)];
        for name in own.unwrap_or(&self.also) {
            let name = if *name == self.repository { DEFAULT } else { name };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.into_iter().map(str::to_owned).collect()
    }

    /// What a direct backup of this user leaves out.
    pub fn exclude_of(&self, user: &str) -> Vec<String> {
        let own = self.users.get(user).map(|user| user.exclude.as_slice()).unwrap_or_default();
        [&self.exclude, own].concat()
    }

    /// The log of Hestia's commands.
    pub fn log_file(&self) -> PathBuf {
        self.log_folder.join("hestia.log")
    }
}

fn is_name(text: &str) -> bool {
    text != DEFAULT && RepositoryName::parse(text).is_ok()
}

impl Place<'_> {
    /// The repository; one with a name says itself what opens it.
    fn repository(
        &self,
        settings: &mut Settings,
        repository: Option<Spanned<String>>,
        key_file: Option<&Spanned<PathBuf>>,
    ) -> Result<()> {
        let Some(repository) = repository else { return Ok(()) };
        self.check(&repository, "a path, a URL or the name of a repository", |value| {
            !RepositoryName::is_meant(value) || is_name(value)
        })?;
        if let (true, Some(key)) = (is_name(repository.get_ref()), key_file) {
            let why = "a repository with a name has its key file in its own entry";
            return Err(self.error(Some(key.span().start), why));
        }
        settings.repository = repository.into_inner();
        Ok(())
    }

    /// Which backups are kept, and when too few are there.
    fn keep(
        &self,
        settings: &mut Settings,
        (keep, packages): (Option<Spanned<WrittenKeep>>, BTreeMap<String, WrittenPackage>),
        [deleted, warn, alarm]: [Option<Spanned<i64>>; 3],
    ) -> Result<()> {
        settings.keep = keep::policy(self, keep)?;
        for (name, package) in packages {
            if let Some(policy) = keep::policy(self, package.keep)? {
                settings.packages.insert(name, policy);
            }
        }
        if let Some(value) = deleted {
            settings.deleted_user_days = Some(self.number(&value, 1, 36_500)?);
        }
        if let Some(value) = warn {
            settings.warn_hours = self.number(&value, 1, 10_000)?;
        }
        if let Some(value) = alarm {
            settings.alarm_hours = self.number(&value, 1, 10_000)?;
        }
        Ok(())
    }

    /// For how long an undo is kept, and from when on nobody has looked for too long.
    fn days(
        &self,
        settings: &mut Settings,
        [safety, verify, check]: [Option<Spanned<i64>>; 3],
    ) -> Result<()> {
        for (least, written, setting) in [
            (1, safety, &mut settings.safety_days),
            (0, verify, &mut settings.verify_days),
            (0, check, &mut settings.check_days),
        ] {
            if let Some(value) = written {
                *setting = self.number(&value, least, 3650)?;
            }
        }
        Ok(())
    }

    /// What holds for one user only.
    fn users(
        &self,
        written: BTreeMap<Spanned<String>, WrittenUser>,
    ) -> Result<BTreeMap<String, UserSettings>> {
        let mut users = BTreeMap::new();
        for (name, user) in written {
            self.check(&name, "the name of a user", |name| UserName::parse(name).is_ok())?;
            let exclude = self.globs(user.exclude)?;
            if let Some(one) = &user.repository {
                let is_known = |one: &String| one == DEFAULT || is_name(one);
                self.check(one, "the name of a repository", is_known)?;
            }
            let repository = user.repository.map(Spanned::into_inner);
            let keep = keep::policy(self, user.keep)?;
            let also = self.names(user.also)?;
            let user = UserSettings { mode: user.mode, exclude, repository, also, keep };
            users.insert(name.into_inner(), user);
        }
        Ok(users)
    }

    /// Names of repositories beside the first one.
    fn names(&self, value: Option<Spanned<Vec<String>>>) -> Result<Option<Vec<String>>> {
        let Some(value) = value else { return Ok(None) };
        let is_known = |one: &String| one == DEFAULT || is_name(one);
        self.check(&value, "a list of names of repositories", |names| names.iter().all(is_known))?;
        let most = limits::REPOSITORIES_AT_ONCE_MAX - 1;
        let allowed = format!("a list of at most {most} names");
        self.check(&value, &allowed, |names| names.len() <= most)?;
        Ok(Some(value.into_inner()))
    }

    fn globs(&self, value: Option<Spanned<Vec<String>>>) -> Result<Vec<String>> {
        let Some(value) = value else { return Ok(Vec::new()) };
        Selection::new::<String>(&[], value.get_ref())
            .map_err(|error| self.error(Some(value.span().start), &error.one_line()))?;
        Ok(value.into_inner())
    }

    fn rate(&self, value: Option<Spanned<String>>) -> Result<Option<ByteSize>> {
        let Some(value) = value else { return Ok(None) };
        Rates::parse(value.get_ref())
            .map_err(|error| self.error(Some(value.span().start), &error.one_line()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../hestia-plugin/conf/ghostsnap.toml");

    fn parse(text: &str) -> Result<Settings> {
        Settings::parse(text, Path::new("/etc/ghostsnap/ghostsnap.toml"))
    }

    #[test]
    fn an_empty_file_and_no_file_mean_the_defaults() {
        assert_eq!(parse("").unwrap(), Settings::default());
        assert_eq!(Settings::read(Path::new("/nonexistent/x.toml")).unwrap(), Settings::default());
    }

    #[test]
    fn everything_can_be_set() {
        let text = "repository = '/srv/r'\nkey_file = '/k'\nkeep_tarballs = 0\ncompression_level = 9\n\
                    notify = 'always'\nsuspended_users = 'skip'\nlow_priority = false\n\
                    backup_hours_max = 2\nrestore_hours_max = 3\nlog_folder = '/l'\n\
                    cache_folder = '/c'\nstate_folder = '/s'\nsafety = false\nsafety_days = 30\n\
                    tripwire = false\nverify_days = 31\ncheck_days = 8\n";
        let settings = parse(text).unwrap();
        assert_eq!((settings.repository.as_str(), settings.keep_tarballs), ("/srv/r", 0));
        assert_eq!((settings.notify, settings.suspended_users), (Notify::Always, Suspended::Skip));
        assert_eq!((settings.backup_limit, settings.restore_limit), (hours(2), hours(3)));
        assert_eq!((settings.compression_level, settings.low_priority), (9, false));
        assert_eq!((settings.safety, settings.safety_days), (false, 30));
        assert!(!settings.tripwire);
        assert_eq!((settings.verify_days, settings.check_days), (31, 8));
        assert_eq!(settings.log_folder, Path::new("/l"));
        assert_eq!(settings.cache_folder, Path::new("/c"));
        assert_eq!(settings.state_folder, Path::new("/s"));
    }

    #[test]
    fn a_rule_of_the_user_goes_before_that_of_the_package_and_of_the_server() {
        let settings = parse(
            "[keep]\ndaily = 14\n[packages.gold.keep]\nmonthly = 12\nwithin_days = 30\n\
             [users.alice]\nkeep = { last = 3 }\n[users.bob]\nexclude = ['x']\n",
        )
        .unwrap();
        let of = |user, package| settings.keep_of(user, package).unwrap();
        assert_eq!((of("alice", "gold").last, of("alice", "gold").monthly), (3, 0));
        assert_eq!(of("bob", "gold").within_seconds, Some(30 * 86_400));
        assert_eq!(of("bob", "default").daily, 14);
        assert_eq!(parse("").unwrap().keep_of("alice", "gold"), None);
        for (text, why) in [
            ("[keep]\nlast = 0", "keeps nothing"),
            ("[keep]\n", "keeps nothing"),
            ("[keep]\nlast = -1", "a number from 0"),
            ("[keep]\nnightly = 1", "nightly"),
            ("deleted_user_days = 0", "a number from 1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_user_may_have_a_repository_of_its_own() {
        let settings = parse(
            "repository = 'first'\n[users.alice]\nrepository = 'second'\n\
             [users.bob]\nrepository = 'default'\n[users.carol]\nrepository = 'first'\n",
        )
        .unwrap();
        let of = |user| settings.repository_of(user);
        assert_eq!((of("alice"), of("bob")), (Some("second"), None));
        assert_eq!((of("carol"), of("dave")), (None, None));
    }

    #[test]
    fn everybody_may_have_further_repositories_and_a_user_others_or_none() {
        let settings = parse(
            "repository = 'first'\nalso = ['offsite', 'box', 'first', 'box']\n\
             [users.alice]\nrepository = 'box'\n[users.bob]\nalso = []\n\
             [users.carol]\nalso = ['tape']\n[users.dave]\nrepository = 'own'\n\
             also = ['default', 'box']\n",
        )
        .unwrap();
        let of = |user| settings.repositories_of(user).join(" ");
        assert_eq!(of("erin"), "default offsite box");
        assert_eq!(of("alice"), "box offsite default");
        assert_eq!((of("bob"), of("carol")), ("default".into(), "default tape".into()));
        assert_eq!(of("dave"), "own default box");
    }

    #[test]
    fn a_mistake_names_file_line_and_what_is_allowed() {
        for (text, line, words) in [
            ("\n\nkeep_tarbals = 3\n", 3, "keep_tarballs"),
            ("keep_tarballs = -1", 1, "a number from 0 to 100000"),
            ("compression_level = 3\ncompression_level = 4\n", 2, "duplicate key"),
            ("# x\ncompression_level = 99", 2, "a number from 1 to 19"),
            ("notify = 'sometimes'", 1, "`never`, `problems`, `always`"),
            ("repository = 'a'\nkey_file = '/k'", 2, "in its own entry"),
            ("[users.alice]\nrepository = '/srv/r'", 2, "the name of a repository"),
            ("also = ['/srv/r']", 1, "a list of names of repositories"),
            ("also = ['a','b','c','d','e','f','g','h']", 1, "at most 7"),
            ("[users.alice]\nalso = 'x'", 2, "sequence"),
            ("key_file = 'relative'", 1, "an absolute path"),
            ("repository = ' '", 1, "a path, a URL or the name"),
            ("limit_upload = '5 boats'", 1, "a number with an optional K, M, G or T"),
            ("limit_upload = '1K'", 1, "or 0 for none"),
            ("low_priority = 'yes'", 1, "boolean"),
            ("repository = ", 1, ""),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            let message = error.one_line();
            let place = format!("/etc/ghostsnap/ghostsnap.toml, line {line}:");
            assert!(message.contains(&place) && message.contains(words), "{text:?}: {message}");
        }
    }

    #[test]
    fn the_example_shows_every_setting_with_its_default() {
        assert_eq!(parse(EXAMPLE).unwrap(), Settings::default());
        let is_setting =
            |line: &&str| line.starts_with('#') && line.contains(" = ") && !line.starts_with("# ");
        let shown: Vec<&str> =
            EXAMPLE.lines().filter(is_setting).map(|line| line.trim_start_matches('#')).collect();
        assert_eq!(parse(&shown.join("\n")).unwrap(), Settings::default());
        let keys: Vec<&str> = shown.iter().filter_map(|line| line.split(" = ").next()).collect();
        assert_eq!(
            keys,
            [
                "repository",
                "key_file",
                "also",
                "mode",
                "exclude",
                "default_excludes",
                "other_file_systems",
                "load_wait_minutes",
                "jobs",
                "limit_read",
                "limit_upload",
                "limit_download",
                "keep_tarballs",
                "compression_level",
                "notify",
                "suspended_users",
                "low_priority",
                "backup_hours_max",
                "restore_hours_max",
                "tripwire",
                "safety",
                "safety_days",
                "log_folder",
                "cache_folder",
                "state_folder",
                "warn_hours",
                "alarm_hours",
                "verify_days",
                "check_days",
            ]
        );
    }
}
