// SPDX-License-Identifier: MIT
//! Which backups of Hestia users are kept: by the rule of the user, of the user's package or of the
//! server; without any, as many as Hestia keeps of its own. Only what this server has made is ever
//! looked at.

use super::Server;
use super::backup_places::Complete;
use crate::base::monitor::Stage;
use crate::base::{FileId, Monitor, Result, Timestamp};
use crate::format::Snapshot;
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::hestia::settings::Settings;
use crate::ops::forget::{self, Policy, Verdict};
use crate::repo::Repository;
use std::collections::BTreeMap;

/// The fate of each backup of these users, or of all; nothing is removed.
pub fn plan(
    server: &Server,
    repository: &Repository,
    only: &[UserName],
    now: Timestamp,
) -> Result<Vec<Verdict>> {
    // All must be readable: a snapshot that is not might be the one that a rule keeps.
    let mut of_users: BTreeMap<String, Vec<(FileId, Snapshot)>> = BTreeMap::new();
    let host = server.world.host();
    for (id, snapshot) in repository.snapshots()? {
        let is_meant = only.is_empty() || only.iter().any(|user| user.as_str() == snapshot.user);
        if !snapshot.user.is_empty() && snapshot.host == host && is_meant {
            of_users.entry(snapshot.user.clone()).or_default().push((id, snapshot));
        }
    }
    let mut verdicts = Vec::new();
    for (user, snapshots) in of_users {
        verdicts.extend(plan_user(server, &user, snapshots, now)?);
    }
    Ok(verdicts)
}

fn plan_user(
    server: &Server,
    name: &str,
    snapshots: Vec<(FileId, Snapshot)>,
    now: Timestamp,
) -> Result<Vec<Verdict>> {
    let settings = &server.settings;
    let Some(user) = live(server, name)? else {
        return Ok(of_gone(snapshots, settings, now));
    };
    let is_earlier = |one: &Snapshot| {
        !one.user_identity.is_empty()
            && !user.identity.is_empty()
            && one.user_identity != user.identity
    };
    let (earlier, todays) = snapshots.into_iter().partition(|(_, one)| is_earlier(one));
    let mut verdicts = of_gone(earlier, settings, now);
    let rule = settings.keep_of(name, user.package()).cloned();
    let rule = rule.or_else(|| as_hestia(user.tarballs_kept()));
    verdicts.extend(match rule {
        Some(rule) => {
            let safety_seconds = i64::from(settings.safety_days) * 86_400;
            forget::plan(todays, &Policy { safety_seconds, ..rule }, now)?
        }
        None => all_kept(todays, "no rule"),
    });
    Ok(verdicts)
}

fn live(server: &Server, name: &str) -> Result<Option<inventory::User>> {
    let Ok(name) = UserName::parse(name) else { return Ok(None) };
    if !inventory::exists(&server.hestia, &name) {
        return Ok(None);
    }
    inventory::user(&server.hestia, &name).map(Some)
}

/// As many as Hestia keeps tarballs of the user. Where that is none, the user has no backups, and
/// nothing says how many of earlier ones are wanted.
fn as_hestia(kept: u64) -> Option<Policy> {
    let last = u32::try_from(kept).unwrap_or(u32::MAX);
    (last > 0).then(|| Policy { last, ..Policy::default() })
}

/// Those of a user who is gone, or of an earlier one of the same name, stay for a time that is
/// counted from the newest, and for ever if none is set.
fn of_gone(
    snapshots: Vec<(FileId, Snapshot)>,
    settings: &Settings,
    now: Timestamp,
) -> Vec<Verdict> {
    let Some(days) = settings.deleted_user_days else { return all_kept(snapshots, "user gone") };
    let mut persons: BTreeMap<String, Vec<(FileId, Snapshot)>> = BTreeMap::new();
    for (id, snapshot) in snapshots {
        persons.entry(snapshot.user_identity.clone()).or_default().push((id, snapshot));
    }
    let mut verdicts = Vec::new();
    for snapshots in persons.into_values() {
        let newest = snapshots.iter().map(|(_, one)| one.time.seconds).max().unwrap_or_default();
        if now.seconds.saturating_sub(newest) <= i64::from(days) * 86_400 {
            verdicts.extend(all_kept(snapshots, "user gone"));
            continue;
        }
        if snapshots.iter().any(|(_, one)| one.has_alarm()) {
            verdicts.extend(all_kept(snapshots, "alarm"));
            continue;
        }
        verdicts.extend(snapshots.into_iter().map(|(id, snapshot)| {
            let reasons = if snapshot.pinned { vec!["pinned".to_owned()] } else { Vec::new() };
            Verdict { id, snapshot, reasons }
        }));
    }
    verdicts
}

fn all_kept(snapshots: Vec<(FileId, Snapshot)>, why: &str) -> Vec<Verdict> {
    let keep = |(id, snapshot)| Verdict { id, snapshot, reasons: vec![why.to_owned()] };
    snapshots.into_iter().map(keep).collect()
}

/// Drops what no rule keeps of a user whose backup has just ended well, if the settings have a rule
/// for the user: what nobody has written down is not done unasked. Returns how many went. Looks at
/// what was there when the run began, so that a night of many users does not read all snapshots for
/// each; what has come since stays until the next time.
pub(super) fn after_backup(
    server: &Server,
    place: Complete<'_>,
    user: &inventory::User,
    monitor: &dyn Monitor,
) -> u64 {
    let name = user.name.as_str();
    if server.settings.keep_of(name, user.package()).is_none() {
        return 0;
    }
    let Complete { repository, mut snapshots, .. } = place;
    if repository.keys().is_write_only() {
        let note = format!("{name}: which backups are kept is up to the owner of the repository");
        monitor.stage(Stage::Note(note));
        return 0;
    }
    let host = server.world.host();
    snapshots.retain(|(_, one)| one.host == host);
    let done = plan_user(server, name, snapshots, server.world.now())
        .and_then(|plan| forget::execute(repository, &plan));
    done.unwrap_or_else(|error| {
        monitor.warn(error.within(format!("drop older backups of {}", user.name)));
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn snapshot(number: u8, identity: &str, day: i64) -> (FileId, Snapshot) {
        let snapshot = Snapshot {
            user: "alice".to_owned(),
            user_identity: identity.to_owned(),
            time: Timestamp::from_seconds(day * DAY),
            pinned: number == 9,
            ..Snapshot::default()
        };
        (FileId([number; 32]), snapshot)
    }

    fn kept(verdicts: &[Verdict]) -> Vec<u8> {
        verdicts.iter().filter(|one| one.is_kept()).map(|one| one.id.0[0]).collect()
    }

    #[test]
    fn backups_of_who_is_gone_stay_for_a_time_after_the_last_one() {
        let all = || {
            vec![
                snapshot(1, "first", 10),
                snapshot(9, "first", 11),
                snapshot(2, "first", 12),
                snapshot(3, "second", 80),
                snapshot(4, "second", 95),
            ]
        };
        let now = Timestamp::from_seconds(100 * DAY);
        let for_ever = Settings::default();
        assert_eq!(kept(&of_gone(all(), &for_ever, now)), [1, 9, 2, 3, 4]);
        let some_time = Settings { deleted_user_days: Some(30), ..Settings::default() };
        // The first one's are over, but for the one that is pinned; of the second all stay.
        assert_eq!(kept(&of_gone(all(), &some_time, now)), [9, 3, 4]);
    }

    #[test]
    fn without_a_rule_hestia_says_how_many() {
        assert_eq!(as_hestia(0), None);
        assert_eq!(as_hestia(7).unwrap().last, 7);
    }
}
