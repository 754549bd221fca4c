// SPDX-License-Identifier: MIT
//! How well each user is backed up: the age of the last complete backup, what it holds, how much is
//! added, and a light that says it in one word. Decided from the list of snapshots, so that nobody
//! has to believe a job about itself; a rehearsal can make the light worse and never better.

use crate::base::{Error, FileId, Kind, Timestamp, limits};
use crate::format::Snapshot;
use crate::hestia::inventory::User;
use crate::hestia::records::{LastRun, Rehearsed};
use crate::hestia::settings::Settings;

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Light {
    /// The user has no backups by wish: Hestia's package says so.
    Off,
    /// The last backup is complete and young enough.
    Green,
    /// It is partial, or it is late.
    Yellow,
    /// There is none, or it is far too old, or nobody knows.
    Red,
}

impl Light {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }
}

/// How well a user is backed up.
#[derive(Debug)]
pub struct Health {
    /// In one word.
    pub light: Light,
    /// Why it is not green.
    pub reason: String,
    /// Why the backups are not known, if so.
    pub trouble: Option<String>,
    /// Whether nothing is known of the backups.
    pub is_unknown: bool,
    /// The newest backup of this person.
    pub newest: Option<(FileId, Snapshot)>,
    /// The newest complete one.
    pub good: Option<(FileId, Snapshot)>,
    /// How old that is.
    pub age_hours: Option<i64>,
    /// Backups of this person.
    pub backups: usize,
    /// Bytes that the backups of the last seven days have added to the repository.
    pub added_week: u64,
    /// How many bytes more than the one before the newest backup holds.
    pub growth: Option<i64>,
    /// The last run of this person's backup.
    pub last_run: Option<LastRun>,
    /// When a rehearsal succeeded last.
    pub verified: Option<Timestamp>,
    /// The day since which many files look encrypted, if they do.
    pub alarm: Option<String>,
    /// What rehearsals say against it.
    pub proof: Option<Unproven>,
}

/// What rehearsals say against a user's backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unproven {
    /// Red if one failed, yellow if none has succeeded of late.
    pub light: Light,
    /// What everybody may know of it.
    pub reason: String,
    /// What administrators may know beside.
    pub trouble: Option<String>,
}

/// What is noted of a user.
#[derive(Debug, Default)]
pub struct Known {
    /// The last backup run.
    pub run: Option<LastRun>,
    /// The last rehearsal in this repository.
    pub rehearsed: Option<Rehearsed>,
}

/// Looks at a user. `snapshots` are those in the user's repository, of anybody; or why they are not
/// known.
pub fn of_user(
    settings: &Settings,
    user: &User,
    snapshots: Result<&[(FileId, Snapshot)], &Error>,
    known: Known,
    now: Timestamp,
) -> Health {
    let is_persons = |run: &LastRun| run.identity == user.identity;
    let last_run = known.run.filter(is_persons);
    let all = match snapshots {
        Ok(all) => all,
        Err(error) => {
            let mut health = of_snapshots(settings, &[], now);
            health.reason = String::from("the backups cannot be read at this moment");
            health.trouble = Some(error.one_line());
            health.is_unknown = true;
            health.last_run = last_run;
            return health;
        }
    };
    let is_own = |one: &Snapshot| {
        let is_earlier = !one.user_identity.is_empty() && one.user_identity != user.identity;
        one.user == user.name.as_str() && !one.is_safety() && !is_earlier
    };
    let own: Vec<&(FileId, Snapshot)> = all.iter().filter(|(_, one)| is_own(one)).collect();
    let mut health = of_snapshots(settings, &own, now);
    let warn = i64::from(settings.warn_hours);
    if own.is_empty() && age_of(user, now).is_some_and(|hours| hours < warn) {
        // Whoever is new has time for a first one.
        (health.light, health.reason) = (Light::Yellow, "there is no backup yet".to_owned());
    }
    health.last_run = last_run;
    take_rehearsal(&mut health, settings, &own, known.rehearsed, now);
    if user.tarballs_kept() == 0 {
        health.light = Light::Off;
        health.trouble = None;
        health.reason = String::from("the package allows no backups (BACKUPS is 0)");
    }
    health
}

/// For how many hours there has been this user, if that is known.
pub fn age_of(user: &User, now: Timestamp) -> Option<i64> {
    let made: jiff::civil::DateTime = user.identity.parse().ok()?;
    Some(now.local().duration_since(made).as_hours())
}

/// How well a user is backed up who has several repositories: as badly as in the worst of them. Age
/// and sizes are those of the first.
pub fn worst(mut all: Vec<(String, Health)>) -> Option<Health> {
    let several = all.len() > 1;
    let place = (0..all.len()).rev().max_by_key(|place| all.get(*place).map(|one| one.1.light))?;
    let worst = all.get(place)?;
    let said = |text: &str| {
        if several && !text.is_empty() { format!("{}: {text}", worst.0) } else { text.to_owned() }
    };
    let (light, reason) = (worst.1.light, said(&worst.1.reason));
    let trouble = worst.1.trouble.as_deref().map(said);
    let first = all.swap_remove(0).1;
    Some(Health { light, reason, trouble, ..first })
}

fn of_snapshots(settings: &Settings, own: &[&(FileId, Snapshot)], now: Timestamp) -> Health {
    // One of a clock that was wrong must not hide that there is none of today.
    let is_past =
        |one: &Snapshot| one.time.seconds.saturating_sub(now.seconds) <= limits::CLOCK_SKEW_SECONDS;
    let past = || own.iter().filter(|(_, one)| is_past(one));
    let newest = past().max_by_key(|(_, one)| one.time);
    let good = past().filter(|(_, one)| !one.is_partial()).max_by_key(|(_, one)| one.time);
    let hours = |one: &Snapshot| now.seconds.saturating_sub(one.time.seconds).max(0) / 3600;
    let age_hours = good.map(|(_, one)| hours(one));
    let week = 7 * 24;
    let young = own.iter().filter(|(_, one)| hours(one) < week);
    let (mut light, mut reason) = judge(settings, newest.map(|(_, one)| one), age_hours);
    if let Some((_, one)) = own.iter().find(|(_, one)| !is_past(one)).filter(|_| light < Light::Red)
    {
        let day = one.time.local().strftime("%Y-%m-%d");
        let word = format!("a backup is dated {day}: a clock was wrong");
        reason = if reason.is_empty() { word } else { format!("{reason}; {word}") };
        light = Light::Yellow;
    }
    let alarm = own.iter().filter(|(_, one)| one.has_alarm()).max_by_key(|one| one.1.time);
    let alarm = alarm.map(|(_, one)| one.time.local().strftime("%Y-%m-%d").to_string());
    if let Some(day) = &alarm {
        light = Light::Red;
        reason = format!("many files look encrypted since {day}; look, then 'ghostsnap alarm-off'");
    }
    Health {
        light,
        reason,
        trouble: None,
        is_unknown: false,
        newest: newest.map(|one| (*one).clone()),
        good: good.map(|one| (*one).clone()),
        age_hours,
        backups: own.len(),
        added_week: young.map(|(_, one)| one.totals.bytes_stored).sum(),
        growth: growth(own),
        last_run: None,
        verified: None,
        alarm,
        proof: None,
    }
}

fn growth(own: &[&(FileId, Snapshot)]) -> Option<i64> {
    let mut own: Vec<&Snapshot> = own.iter().map(|(_, one)| one).collect();
    own.sort_by_key(|one| one.time);
    let [.., before, newest] = own.as_slice() else { return None };
    let bytes = |one: &Snapshot| i64::try_from(one.totals.bytes).unwrap_or(i64::MAX);
    Some(bytes(newest).saturating_sub(bytes(before)))
}

/// Takes over what a rehearsal showed. One that failed counts as long as what it was about is there
/// and no other one has succeeded since.
fn take_rehearsal(
    health: &mut Health,
    settings: &Settings,
    own: &[&(FileId, Snapshot)],
    rehearsed: Option<Rehearsed>,
    now: Timestamp,
) {
    let is_there = |id: &str| own.iter().any(|(one, _)| one.to_string() == id);
    let failed = rehearsed.as_ref().filter(|done| done.result == "failed");
    let failed = failed.filter(|done| is_there(&done.moment.snapshot)).cloned();
    let success = rehearsed.and_then(|done| done.success);
    // Whoever had the name before is nobody whose backups were proven.
    let oldest = own.iter().map(|(_, one)| one.time.seconds).min();
    let success = success.filter(|done| {
        is_there(&done.snapshot) || oldest.is_some_and(|oldest| done.time >= oldest)
    });
    health.verified = success.map(|done| Timestamp::from_seconds(done.time));
    if let Some(failed) = failed {
        let reason = format!("the rehearsal of {} failed", failed.moment.name);
        let why = failed.reasons.first().map_or_else(String::new, |why| format!(": {why}"));
        unproven(health, Light::Red, reason.clone(), Some(format!("{reason}{why}")));
        return;
    }
    let days = |time: Timestamp| now.seconds.saturating_sub(time.seconds).max(0) / 86_400;
    let most = i64::from(settings.verify_days);
    match health.verified {
        _ if most == 0 || own.is_empty() => {}
        None => {
            let reason = "no rehearsal of a restore has succeeded".to_owned();
            unproven(health, Light::Yellow, reason, None);
        }
        Some(time) if days(time) >= most => {
            let reason = format!("the last rehearsal that succeeded is {} days old", days(time));
            unproven(health, Light::Yellow, reason, None);
        }
        Some(_) => {}
    }
}

fn unproven(health: &mut Health, light: Light, reason: String, trouble: Option<String>) {
    worsen(health, light, &reason, trouble.clone());
    health.proof = Some(Unproven { light, reason, trouble });
}

/// Makes a light worse, or adds a reason to one that is as bad.
fn worsen(health: &mut Health, light: Light, reason: &str, trouble: Option<String>) {
    if light < health.light {
        return;
    }
    let joined = |before: &str, more: &str| {
        if before.is_empty() { more.to_owned() } else { format!("{before}; {more}") }
    };
    let is_worse = light > health.light;
    let before = if is_worse { String::new() } else { health.reason.clone() };
    if let Some(trouble) = trouble {
        health.trouble = Some(joined(&before, &trouble));
    }
    health.reason = joined(&before, reason);
    health.light = light;
}

fn judge(
    settings: &Settings,
    newest: Option<&Snapshot>,
    age_hours: Option<i64>,
) -> (Light, String) {
    let (warn, alarm) = (i64::from(settings.warn_hours), i64::from(settings.alarm_hours));
    match (newest, age_hours) {
        (None, _) => (Light::Red, "there is no backup".to_owned()),
        (Some(_), None) => (Light::Red, "no backup is complete".to_owned()),
        (Some(_), Some(age)) if age >= alarm => {
            (Light::Red, format!("the last complete backup is {age} hours old"))
        }
        (Some(newest), Some(_)) if newest.is_partial() => {
            (Light::Yellow, "the last backup is not complete".to_owned())
        }
        (Some(_), Some(age)) if age >= warn => {
            (Light::Yellow, format!("the last complete backup is {age} hours old"))
        }
        _ => (Light::Green, String::new()),
    }
}

/// What a check of all users ends with: 30 if one is yellow or red.
pub fn verdict<'h>(all: impl Iterator<Item = (&'h str, &'h Health)>) -> Option<Error> {
    let bad: Vec<String> = all
        .filter(|(_, health)| health.light >= Light::Yellow)
        .map(|(name, health)| {
            format!("{name}: {}", health.trouble.as_ref().unwrap_or(&health.reason))
        })
        .collect();
    let first: Vec<&str> = bad.iter().take(5).map(String::as_str).collect();
    let more = bad.len().saturating_sub(first.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    (!bad.is_empty()).then(|| {
        Error::new(Kind::Partial, "find every user well backed up")
            .why(format!("{}{more}", first.join("; ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hestia::records::Moment;

    const HOUR: i64 = 3600;
    const NOW: Timestamp = Timestamp::from_seconds(10_000 * HOUR);

    fn snapshot(hours_ago: i64, warnings: u64) -> (FileId, Snapshot) {
        let mut one = Snapshot {
            user: "alice".to_owned(),
            time: Timestamp::from_seconds(NOW.seconds - hours_ago * HOUR),
            warnings,
            ..Snapshot::default()
        };
        one.totals.bytes_stored = 100;
        (FileId([u8::try_from(hours_ago.rem_euclid(256)).unwrap(); 32]), one)
    }

    fn seen(all: &[(FileId, Snapshot)]) -> (Light, Option<i64>, u64) {
        let own: Vec<&(FileId, Snapshot)> = all.iter().collect();
        let health = of_snapshots(&Settings::default(), &own, NOW);
        assert_eq!(health.reason.is_empty(), health.light == Light::Green);
        (health.light, health.age_hours, health.added_week)
    }

    #[test]
    fn the_light_says_how_late_and_how_complete_it_is() {
        assert_eq!(seen(&[]), (Light::Red, None, 0));
        assert_eq!(seen(&[snapshot(3, 0), snapshot(200, 0)]), (Light::Green, Some(3), 100));
        assert_eq!(seen(&[snapshot(3, 1), snapshot(20, 0)]), (Light::Yellow, Some(20), 200));
        assert_eq!(seen(&[snapshot(30, 0)]), (Light::Yellow, Some(30), 100));
        assert_eq!(seen(&[snapshot(3, 1), snapshot(80, 0)]), (Light::Red, Some(80), 200));
        assert_eq!(seen(&[snapshot(3, 1)]), (Light::Red, None, 100));
    }

    #[test]
    fn an_alarm_is_red_whatever_else_is_well() {
        let mut with_alarm = snapshot(3, 0);
        with_alarm.1.tags.push("alarm".to_owned());
        assert_eq!(seen(&[with_alarm, snapshot(1, 0)]).0, Light::Red);
    }

    #[test]
    fn a_clock_that_was_ahead_is_no_negative_age() {
        let mut ahead = snapshot(0, 0);
        ahead.1.time.seconds += 5 * HOUR;
        assert_eq!(seen(&[ahead]), (Light::Green, Some(0), 100));
    }

    /// A rehearsal of the snapshot that is so many hours old, of so many hours ago.
    fn rehearsed(of: i64, result: &str, ago: i64, success_ago: Option<i64>) -> Rehearsed {
        let moment = |ago: i64| {
            Moment::of(&snapshot(of, 0).0, "x", Timestamp::from_seconds(NOW.seconds - ago * HOUR))
        };
        let reasons = vec!["web/a: read chunk 1: it is torn".to_owned()];
        let success = success_ago.map(moment);
        let result = result.to_owned();
        Rehearsed { moment: moment(ago), result, reasons, success, ..Rehearsed::default() }
    }

    fn proven(verify_days: u16, rehearsed: Option<Rehearsed>) -> Health {
        let settings = Settings { verify_days, ..Settings::default() };
        let all = [snapshot(3, 0), snapshot(20, 0), snapshot(40, 0)];
        let own: Vec<&(FileId, Snapshot)> = all.iter().collect();
        let mut health = of_snapshots(&settings, &own, NOW);
        take_rehearsal(&mut health, &settings, &own, rehearsed, NOW);
        assert_eq!(health.reason.is_empty(), health.light == Light::Green);
        health
    }

    #[test]
    fn a_rehearsal_that_failed_is_red_until_one_succeeds_or_what_failed_is_gone() {
        let failed = proven(0, Some(rehearsed(20, "failed", 1, Some(30))));
        assert_eq!((failed.light, failed.verified.is_some()), (Light::Red, true));
        assert_eq!(failed.reason, "the rehearsal of x failed");
        // What a customer need not know is told to administrators alone.
        assert!(failed.trouble.unwrap().ends_with("failed: web/a: read chunk 1: it is torn"));
        assert_eq!(proven(0, Some(rehearsed(20, "succeeded", 1, Some(1)))).light, Light::Green);
        assert_eq!(proven(0, Some(rehearsed(99, "failed", 1, None))).light, Light::Green);
        assert_eq!(proven(0, Some(rehearsed(20, "partial", 1, None))).light, Light::Green);
    }

    #[test]
    fn who_asks_for_rehearsals_is_told_when_the_last_one_is_too_old() {
        for (verify_days, known, light) in [
            (0, None, Light::Green),
            (1, None, Light::Yellow),
            (1, Some(rehearsed(3, "partial", 1, None)), Light::Yellow),
            (2, Some(rehearsed(3, "succeeded", 40, Some(40))), Light::Green),
            (1, Some(rehearsed(3, "succeeded", 30, Some(30))), Light::Yellow),
            // It was of somebody who had the name before.
            (30, Some(rehearsed(99, "succeeded", 90, Some(90))), Light::Yellow),
        ] {
            assert_eq!(proven(verify_days, known).light, light, "{verify_days}");
        }
    }

    #[test]
    fn a_worse_light_stays_and_an_equal_one_has_both_reasons() {
        let settings = Settings { verify_days: 1, ..Settings::default() };
        let of = |all: &[(FileId, Snapshot)]| {
            let own: Vec<&(FileId, Snapshot)> = all.iter().collect();
            let mut health = of_snapshots(&settings, &own, NOW);
            take_rehearsal(&mut health, &settings, &own, None, NOW);
            health
        };
        let late = of(&[snapshot(30, 0)]);
        assert_eq!(late.light, Light::Yellow);
        assert!(late.reason.contains("hours old; no rehearsal"), "{}", late.reason);
        let far = of(&[snapshot(80, 0)]);
        assert_eq!((far.light, far.reason.contains("rehearsal")), (Light::Red, false));
        assert_eq!(of(&[]).light, Light::Red);
    }

    #[test]
    fn growth_is_what_the_last_backup_holds_more() {
        let with = |hours, bytes| {
            let mut one = snapshot(hours, 0);
            one.1.totals.bytes = bytes;
            one
        };
        let growth_of = |all: &[(FileId, Snapshot)]| growth(&all.iter().collect::<Vec<_>>());
        assert_eq!(growth_of(&[with(1, 500)]), None);
        assert_eq!(growth_of(&[with(1, 500), with(50, 9), with(20, 800)]), Some(-300));
        assert_eq!(growth_of(&[with(20, 0), with(1, u64::MAX)]), Some(i64::MAX));
    }

    #[test]
    fn a_backup_of_a_clock_that_was_wrong_hides_nothing() {
        let ahead = snapshot(-24 * 300, 0);
        let health = |all: &[(FileId, Snapshot)]| {
            of_snapshots(&Settings::default(), &all.iter().collect::<Vec<_>>(), NOW)
        };
        let today = health(&[ahead.clone(), snapshot(3, 0)]);
        assert_eq!((today.light, today.age_hours), (Light::Yellow, Some(3)));
        assert!(today.reason.contains("a clock was wrong"), "{}", today.reason);
        let old = health(&[ahead.clone(), snapshot(24 * 30, 0)]);
        assert_eq!((old.light, old.age_hours), (Light::Red, Some(24 * 30)));
        assert_eq!(health(&[ahead]).light, Light::Red, "none is of today");
        assert_eq!(health(&[snapshot(-1, 0)]).light, Light::Green, "an hour is no wrong clock");
    }

    #[test]
    fn the_worst_repository_counts_and_is_named() {
        let health = |all: &[(FileId, Snapshot)]| {
            of_snapshots(&Settings::default(), &all.iter().collect::<Vec<_>>(), NOW)
        };
        let good = || ("default".to_owned(), health(&[snapshot(3, 0)]));
        let late = || ("offsite".to_owned(), health(&[snapshot(30, 0)]));
        let found = worst(vec![good(), late()]).unwrap();
        assert_eq!((found.light, found.age_hours), (Light::Yellow, Some(3)));
        assert!(found.reason.starts_with("offsite: the last"), "{}", found.reason);
        assert_eq!(worst(vec![good(), good()]).unwrap().reason, "");
        assert!(worst(vec![late()]).unwrap().reason.starts_with("the last"));
        assert!(worst(Vec::new()).is_none());
    }

    #[test]
    fn one_bad_user_is_named_in_the_end() {
        let health = |all: &[(FileId, Snapshot)]| {
            of_snapshots(&Settings::default(), &all.iter().collect::<Vec<_>>(), NOW)
        };
        let (good, bad) = (health(&[snapshot(1, 0)]), health(&[]));
        assert!(verdict([("alice", &good)].into_iter()).is_none());
        let error = verdict([("alice", &good), ("bob", &bad)].into_iter()).unwrap();
        assert_eq!(error.kind(), Kind::Partial);
        assert!(error.to_string().contains("bob: there is no backup"), "{error}");
    }
}
