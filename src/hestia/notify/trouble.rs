// SPDX-License-Identifier: MIT
//! What is wrong on this server, one by one, from how well users and repositories are. Pure. Each
//! trouble has a sort and somebody or something it is about, by which it is known again, and says
//! in a text of its own what a customer may know of it.

use crate::base::{Timestamp, units::Span};
use crate::hestia::inventory::User;
use crate::hestia::jobs::health::{Health, Light, age_of};
use crate::hestia::layout::UserName;
use crate::hestia::records::{LastRun, Tended, in_short};
use crate::hestia::settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Whom or what a trouble is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A user's backups.
    User(UserName),
    /// A repository.
    Repository(String),
    /// Somebody who is told things.
    Receiver(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "{name}"),
            Self::Repository(name) => write!(f, "repository {name}"),
            Self::Receiver(name) => write!(f, "notifications to {name}"),
        }
    }
}

impl Subject {
    /// What it is in lists for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Repository(_) => "repository",
            Self::Receiver(_) => "receiver",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) => name.as_str(),
            Self::Repository(name) | Self::Receiver(name) => name,
        }
    }
}

/// What sort of trouble it is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// Many files look encrypted.
    Alarm,
    /// A repository cannot be read.
    Unreadable,
    /// Somebody took backups out of a repository.
    Taken,
    /// A check found damage, failed, or is too long ago.
    Check,
    /// A rehearsal of a restore failed.
    Rehearsal,
    /// The last backup failed.
    Failed,
    /// The last backup left something out.
    Partial,
    /// There was no backup for too long.
    Late,
    /// A repository has little room left.
    Full,
    /// No rehearsal has succeeded of late.
    Unproven,
    /// The last prune failed.
    Prune,
    /// The last copy into a repository failed, or left something out.
    Copy,
    /// Somebody could not be told.
    Undelivered,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Alarm,
        Self::Unreadable,
        Self::Taken,
        Self::Check,
        Self::Rehearsal,
        Self::Failed,
        Self::Partial,
        Self::Late,
        Self::Full,
        Self::Unproven,
        Self::Prune,
        Self::Copy,
        Self::Undelivered,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Unreadable => "unreadable",
            Self::Taken => "taken",
            Self::Check => "check",
            Self::Rehearsal => "rehearsal",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Late => "late",
            Self::Full => "full",
            Self::Unproven => "unproven",
            Self::Prune => "prune",
            Self::Copy => "copy",
            Self::Undelivered => "undelivered",
        }
    }

    /// What is said when it is over.
    pub const fn over(self) -> &'static str {
        match self {
            Self::Alarm => "the alarm about encrypted files is off",
            Self::Unreadable => "it can be read again",
            Self::Taken => "no backup is missing in it any more",
            Self::Check => "its last check found all well",
            Self::Rehearsal => "no rehearsal is known that failed",
            Self::Failed => "the last backup did not fail",
            Self::Partial => "the last backup is complete",
            Self::Late => "there is a backup in time again",
            Self::Full => "it has room again",
            Self::Unproven => "a rehearsal of a restore has succeeded",
            Self::Prune => "the last prune succeeded",
            Self::Copy => "the last copy into it is whole",
            Self::Undelivered => "they arrive again",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Whom or what it is about.
    pub subject: Subject,
    /// What sort it is.
    pub sort: Sort,
    /// How bad it is: yellow or red.
    pub light: Light,
    /// What the customer may know, if it is theirs at all.
    pub own: Option<String>,
    /// What the administrator is told.
    pub full: String,
}

/// Everything that was found out in one look at the server.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What is wrong.
    pub troubles: Vec<Trouble>,
    /// What was looked at: what is not wrong there is well.
    pub looked: BTreeSet<Subject>,
    /// What could not be looked at: what was wrong there may still be.
    pub unknown: BTreeSet<Subject>,
}

/// What is wrong with a user's backups. `places` are the user's repositories, the first one first.
pub fn of_user(
    settings: &Settings,
    user: &User,
    places: &[(String, Health)],
    now: Timestamp,
) -> Vec<Trouble> {
    let mut found = Found { user, several: places.len() > 1, troubles: BTreeMap::new() };
    let readable = places.iter().filter(|(_, one)| one.light != Light::Off);
    for (place, health) in readable.filter(|(_, health)| !health.is_unknown) {
        found.stored(settings, place, health, now);
        if let Some(day) = &health.alarm {
            let own = format!("many files look encrypted since {day}: please look at them");
            let full = format!(
                "many files look encrypted since {day}; look, then 'v-ghostsnap-clear-user-alarm {}'",
                user.name
            );
            found.add(Sort::Alarm, Light::Red, place, (&own, &full));
        }
        if let Some(proof) = &health.proof {
            let is_failed = proof.light == Light::Red;
            let sort = if is_failed { Sort::Rehearsal } else { Sort::Unproven };
            let full = proof.trouble.as_ref().unwrap_or(&proof.reason);
            found.add(sort, proof.light, place, (&proof.reason, full));
        }
    }
    let first = places.first().map(|(_, health)| health);
    if let Some((run, health)) = first.and_then(|one| Some((one.last_run.as_ref()?, one))) {
        found.ran(run, health);
    }
    found.troubles.into_values().collect()
}

struct Found<'u> {
    user: &'u User,
    several: bool,
    troubles: BTreeMap<Sort, Trouble>,
}

impl Found<'_> {
    /// Adds a trouble, or what it is in a further repository.
    fn add(&mut self, sort: Sort, light: Light, place: &str, (own, full): (&str, &str)) {
        let full = match place {
            "" => full.to_owned(),
            place if self.several => format!("{place}: {full}"),
            _ => full.to_owned(),
        };
        let subject = Subject::User(self.user.name.clone());
        let new = Trouble { subject, sort, light, own: Some(own.to_owned()), full: full.clone() };
        self.troubles
            .entry(sort)
            .and_modify(|one| {
                one.light = one.light.max(light);
                if !one.full.contains(&full) {
                    one.full = format!("{}; {full}", one.full);
                }
            })
            .or_insert(new);
    }

    /// What the snapshots in one repository say.
    fn stored(&mut self, settings: &Settings, place: &str, health: &Health, now: Timestamp) {
        let warn = i64::from(settings.warn_hours);
        let alarm = i64::from(settings.alarm_hours);
        let Some((_, newest)) = &health.newest else {
            if age_of(self.user, now).is_none_or(|hours| hours >= warn) {
                let text = "there is no backup";
                self.add(Sort::Late, Light::Red, place, (text, text));
            }
            return;
        };
        let light = match health.age_hours {
            Some(age) if age < alarm => Light::Yellow,
            _ => Light::Red,
        };
        let hours = now.seconds.saturating_sub(newest.time.seconds) / 3600;
        if hours >= warn {
            let text = match health.age_hours {
                Some(age) => format!("the last complete backup is {age} hours old"),
                None => format!("the last backup is {hours} hours old, and none is complete"),
            };
            self.add(Sort::Late, light, place, (&text, &text));
        } else if newest.is_partial() {
            let text = "the last backup is not complete";
            self.add(Sort::Partial, light, place, (text, text));
        }
    }

    /// What the last run said, if nothing newer is stored.
    fn ran(&mut self, run: &LastRun, health: &Health) {
        let newest = health.newest.as_ref().map(|(_, one)| one.time.seconds);
        if newest.is_some_and(|newest| newest > run.time) {
            return;
        }
        let reasons = in_short(&run.reasons);
        let own = run.told_to_customer();
        match run.result.as_str() {
            "failed" => {
                let (own, full) =
                    (format!("the backup failed: {own}"), format!("the backup failed: {reasons}"));
                self.add(Sort::Failed, Light::Red, "", (&own, &full));
            }
            "partial" => {
                let text = |why: &str| format!("the last backup is not complete: {why}");
                let light = self.troubles.remove(&Sort::Partial).map(|before| before.light);
                let light = light.unwrap_or(Light::Yellow);
                self.add(Sort::Partial, light, "", (&text(&own), &text(&reasons)));
            }
            _ => {}
        }
    }
}

/// What is known of a repository.
#[derive(Debug, Clone)]
pub struct PlaceState {
    /// Its name.
    pub name: String,
    /// Its light, and why it is not green; or why it cannot be read.
    pub light: Result<(Light, String), String>,
    /// What somebody took out of it, if something is missing.
    pub taken: Option<String>,
    /// The last check.
    pub check: Option<Tended>,
    /// The last prune.
    pub prune: Option<Tended>,
    /// The last copy into it.
    pub copy: Option<Tended>,
    /// How full the disk is that it lies on, if it lies on one of this machine.
    pub disk: Option<Disk>,
    /// How large it is, if anybody wanted to know.
    pub sizes: Option<Sizes>,
}

/// How large a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Snapshots in it.
    pub snapshots: u64,
    /// Users who have some.
    pub users: usize,
    /// Content of all of them, each counted alone.
    pub bytes_source: u64,
    /// What is stored for them.
    pub bytes_stored: u64,
}

/// A disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that can be used.
    pub bytes: u64,
    /// Bytes that are free.
    pub free: u64,
}

impl Disk {
    /// How full it is, in hundredths; 100 only if nothing is free.
    pub fn percent(self) -> u8 {
        let used = u128::from(self.bytes.saturating_sub(self.free));
        let percent = (used * 100).checked_div(u128::from(self.bytes)).unwrap_or(0);
        u8::try_from(percent).unwrap_or(100).min(100)
    }
}

/// What is wrong with a repository.
pub fn of_place(settings: &Settings, place: &PlaceState) -> Vec<Trouble> {
    let mut found = Vec::new();
    let mut add = |sort, light, full: String| {
        let subject = Subject::Repository(place.name.clone());
        found.push(Trouble { subject, sort, light, own: None, full });
    };
    match &place.light {
        Err(why) => add(Sort::Unreadable, Light::Red, why.clone()),
        Ok((light, why)) if *light >= Light::Yellow => add(Sort::Check, *light, why.clone()),
        Ok(_) => {}
    }
    if let Some(why) = &place.taken {
        add(Sort::Taken, Light::Red, why.clone());
    }
    let day = |tended: &Tended| Timestamp::from_seconds(tended.time).local().date();
    if let Some(prune) = place.prune.as_ref().filter(|prune| prune.result == "failed") {
        let why = format!("the prune of {} failed: {}", day(prune), prune.reason);
        add(Sort::Prune, Light::Yellow, why);
    }
    if let Some(copy) = place.copy.as_ref().filter(|copy| copy.result != "succeeded") {
        let word = if copy.result == "partial" { "is not complete" } else { "failed" };
        let why = format!("the copy of {} into it {word}: {}", day(copy), copy.reason);
        add(Sort::Copy, Light::Yellow, why);
    }
    let most = settings.notifications.full_percent;
    if let Some(disk) = place.disk.filter(|disk| most > 0 && disk.percent() >= most) {
        let free = crate::base::units::ByteSize(disk.free);
        let light = if disk.percent() >= nearly(most) { Light::Red } else { Light::Yellow };
        let percent = disk.percent();
        add(Sort::Full, light, format!("its disk is {percent} % full, {free} are free"));
    }
    found
}

/// From what share on it is urgent: half of what was left is gone.
const fn nearly(most: u8) -> u8 {
    most + (100 - most) / 2
}

/// What is wrong with those who are told: they were not, several times.
pub fn of_receiver(name: &str, since: i64, reason: &str, now: Timestamp) -> Trouble {
    let seconds = u64::try_from(now.seconds.saturating_sub(since)).unwrap_or(0);
    let full = format!("they do not arrive, for {}: {reason}", Span(Duration::from_secs(seconds)));
    let subject = Subject::Receiver(name.to_owned());
    Trouble { subject, sort: Sort::Undelivered, light: Light::Yellow, own: None, full }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FileId;
    use crate::format::Snapshot;
    use crate::hestia::conf;
    use crate::hestia::jobs::health::{self, Known};

    const HOUR: i64 = 3600;
    const NOW: Timestamp = Timestamp::from_seconds(1_796_000_000);

    fn alice(hours_old: i64) -> User {
        let made = Timestamp::from_seconds(NOW.seconds - hours_old * HOUR).local();
        let row = conf::parse_keys(b"BACKUPS='5'\n").0;
        let identity = made.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        User { name: UserName::parse("alice").unwrap(), row, identity }
    }

    fn snapshot(hours_ago: i64, warnings: u64, user: &User) -> (FileId, Snapshot) {
        let time = Timestamp::from_seconds(NOW.seconds - hours_ago * HOUR);
        let identity = user.identity.clone();
        let one = Snapshot {
            user: "alice".into(),
            user_identity: identity,
            time,
            warnings,
            ..Snapshot::default()
        };
        (FileId([u8::try_from(hours_ago % 256).unwrap(); 32]), one)
    }

    fn run(user: &User, result: &str, hours_ago: i64, is_own: bool) -> LastRun {
        let time = NOW.seconds - hours_ago * HOUR + 60;
        let (identity, reasons) = (user.identity.clone(), vec!["/srv/secret is full".to_owned()]);
        let own = if is_own { reasons.clone() } else { Vec::new() };
        let result = result.into();
        LastRun { identity, time, result, reasons, own, ..LastRun::default() }
    }

    fn seen(user: &User, all: &[(FileId, Snapshot)], run: Option<LastRun>) -> Vec<Trouble> {
        let settings = Settings::default();
        let known = Known { run, ..Known::default() };
        let health = health::of_user(&settings, user, Ok(all), known, NOW);
        of_user(&settings, user, &[("default".to_owned(), health)], NOW)
    }

    fn words(troubles: &[Trouble]) -> String {
        let words = troubles.iter().map(|one| format!("{} {}", one.light.word(), one.sort.word()));
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_trouble_is_known_by_its_sort() {
        let user = alice(1000);
        let one = |hours, warnings| snapshot(hours, warnings, &user);
        let told = |all: &[(FileId, Snapshot)], run| words(&seen(&user, all, run));
        assert_eq!(told(&[one(3, 0)], None), "");
        assert_eq!(told(&[], None), "red late");
        assert_eq!(told(&[one(30, 0)], None), "yellow late");
        assert_eq!(told(&[one(60, 0)], None), "red late");
        assert_eq!(told(&[one(3, 1), one(20, 0)], None), "yellow partial");
        assert_eq!(told(&[one(3, 1)], None), "red partial");
        assert_eq!(told(&[one(3, 0)], Some(run(&user, "failed", 1, false))), "red failed");
        assert_eq!(
            told(&[one(30, 0)], Some(run(&user, "failed", 1, false))),
            "red failed, yellow late"
        );
        assert_eq!(told(&[one(3, 0)], Some(run(&user, "failed", 9, false))), "", "since then well");
        assert_eq!(told(&[one(3, 1)], Some(run(&user, "partial", 3, false))), "red partial");
        let mut alarmed = one(3, 0);
        alarmed.1.tags.push("alarm".into());
        assert_eq!(told(&[alarmed], None), "red alarm");
    }

    #[test]
    fn whoever_is_new_has_time_for_a_first_backup() {
        assert_eq!(words(&seen(&alice(3), &[], None)), "");
        assert_eq!(words(&seen(&alice(26), &[], None)), "red late");
        let nobody_knows = User { identity: String::new(), ..alice(3) };
        assert_eq!(words(&seen(&nobody_knows, &[], None)), "red late");
    }

    #[test]
    fn a_customer_is_not_told_what_is_the_servers() {
        let user = alice(1000);
        let all = [snapshot(3, 0, &user)];
        let of = |is_own| seen(&user, &all, Some(run(&user, "failed", 1, is_own)));
        let (servers, own) = (of(false), of(true));
        assert!(servers[0].full.contains("/srv/secret"));
        assert!(!servers[0].own.as_ref().unwrap().contains("/srv/secret"));
        assert!(own[0].own.as_ref().unwrap().contains("is full"));
    }

    #[test]
    fn a_repository_that_cannot_be_read_says_nothing_about_its_users() {
        let (settings, user) = (Settings::default(), alice(1000));
        let error = crate::base::Error::new(crate::base::Kind::Connect, "open it");
        let health = health::of_user(&settings, &user, Err(&error), Known::default(), NOW);
        assert_eq!(words(&of_user(&settings, &user, &[("default".into(), health)], NOW)), "");
        let place = |light| PlaceState {
            name: "box".into(),
            light,
            taken: None,
            check: None,
            prune: None,
            copy: None,
            disk: None,
            sizes: None,
        };
        let unreadable = of_place(&settings, &place(Err("gone".into())));
        assert_eq!(words(&unreadable), "red unreadable");
        assert_eq!(unreadable[0].own, None);
        let well = place(Ok((Light::Green, String::new())));
        assert_eq!(words(&of_place(&settings, &well)), "");
        let copied = |result: &str| {
            let reason = "3f9c2a1b: it is damaged".to_owned();
            let copy = Some(Tended { result: result.into(), reason, ..Tended::default() });
            of_place(&settings, &PlaceState { copy, ..well.clone() })
        };
        assert_eq!(words(&copied("succeeded")), "");
        assert_eq!(words(&copied("failed")), "yellow copy");
        let partial = copied("partial");
        assert!(partial[0].full.ends_with("into it is not complete: 3f9c2a1b: it is damaged"));
        let taken = PlaceState { taken: Some("entry 3 is gone".into()), ..well };
        assert_eq!(words(&of_place(&settings, &taken)), "red taken");
    }

    #[test]
    fn a_disk_is_told_before_it_is_full() {
        let full = |percent: u64, full_percent| {
            let disk = Some(Disk { bytes: 1000, free: 1000 - percent * 10 });
            let light = Ok((Light::Green, String::new()));
            let place = PlaceState {
                name: "box".into(),
                light,
                taken: None,
                check: None,
                prune: None,
                copy: None,
                disk,
                sizes: None,
            };
            let mut settings = Settings::default();
            settings.notifications.full_percent = full_percent;
            words(&of_place(&settings, &place))
        };
        assert_eq!((full(89, 90), full(90, 90)), (String::new(), "yellow full".into()));
        assert_eq!((full(95, 90), full(100, 0)), ("red full".into(), String::new()));
        assert_eq!(Disk { bytes: 0, free: 0 }.percent(), 0);
    }
}
