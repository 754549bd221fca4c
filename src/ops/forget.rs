// SPDX-License-Identifier: MIT
//! Which snapshots to keep: a pure plan with a reason for each, then the removal. Data is not
//! touched here; prune frees it later.

use crate::base::{Error, FileId, Kind, Result, Timestamp, limits, units};
use crate::format::Snapshot;
use crate::repo::Repository;
use std::collections::BTreeMap;

/// What to keep of each group of snapshots. Counts snapshots, never days on a calendar: after a
/// long outage nothing is lost that was kept before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The newest N.
    pub last: u32,
    /// The newest of each of the last N hours that have one.
    pub hourly: u32,
    /// The same for days.
    pub daily: u32,
    /// The same for weeks (ISO).
    pub weekly: u32,
    /// The same for months.
    pub monthly: u32,
    /// The same for years.
    pub yearly: u32,
    /// All not older than this many seconds before the newest.
    pub within_seconds: Option<i64>,
    /// All with one of these tags.
    pub tags: Vec<String>,
    /// Snapshots that were taken before a restore, for this many seconds. They are no backups:
    /// nothing else here counts them.
    pub safety_seconds: i64,
}

impl Policy {
    /// Whether it would keep nothing but what is always kept.
    pub fn is_empty(&self) -> bool {
        Self { safety_seconds: 0, ..self.clone() } == Self::default()
    }
}

/// The fate of one snapshot.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The snapshot.
    pub id: FileId,
    /// What it is.
    pub snapshot: Snapshot,
    /// Why it is kept; empty if it goes.
    pub reasons: Vec<String>,
}

impl Verdict {
    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// Snapshots of the same user and host belong together; without a user, those of the same host and
/// paths. A later user of the same name is somebody else.
pub fn group_of(snapshot: &Snapshot) -> (String, String, String, Vec<Vec<u8>>) {
    let paths = if snapshot.user.is_empty() { snapshot.paths.clone() } else { Vec::new() };
    let Snapshot { user, user_identity, host, .. } = snapshot;
    (user.clone(), user_identity.clone(), host.clone(), paths)
}

/// Applies a policy; the newest first within each group. An empty policy is an error: it would
/// keep next to nothing. The newest complete snapshot of a group and pinned ones always stay. So do
/// those of a time still to come, made while a clock was wrong; they take no place of others, or
/// each new snapshot would be older than they are and go at once.
pub fn plan(
    snapshots: Vec<(FileId, Snapshot)>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Vec<Verdict>> {
    if policy.is_empty() {
        return Err(Error::new(Kind::Usage, "forget snapshots by a policy")
            .why("no --keep option is given, so nearly nothing would be kept"));
    }
    let mut groups: BTreeMap<_, Vec<(FileId, Snapshot)>> = BTreeMap::new();
    let mut verdicts = Vec::new();
    for (id, snapshot) in snapshots {
        if snapshot.time.seconds > now.seconds.saturating_add(limits::CLOCK_SKEW_SECONDS) {
            verdicts.push(Verdict { id, snapshot, reasons: vec!["future".to_owned()] });
            continue;
        }
        if snapshot.is_safety() {
            verdicts.push(safety_verdict(id, snapshot, policy, now));
            continue;
        }
        groups.entry(group_of(&snapshot)).or_default().push((id, snapshot));
    }
    verdicts.extend(groups.into_values().flat_map(|group| plan_group(group, policy)));
    Ok(verdicts)
}

/// What a restore can be taken back with stays for its time, whatever is kept of backups.
fn safety_verdict(id: FileId, snapshot: Snapshot, policy: &Policy, now: Timestamp) -> Verdict {
    let age = now.seconds.saturating_sub(snapshot.time.seconds);
    let mut verdict = Verdict { id, snapshot, reasons: Vec::new() };
    if age <= policy.safety_seconds {
        verdict.reasons.push("safety".to_owned());
    }
    if verdict.snapshot.pinned {
        verdict.reasons.push("pinned".to_owned());
    }
    verdict
}

type PeriodName = fn(Timestamp) -> String;

fn plan_group(mut group: Vec<(FileId, Snapshot)>, policy: &Policy) -> Vec<Verdict> {
    group.sort_by(|(a_id, a), (b_id, b)| (b.time, b_id).cmp(&(a.time, a_id)));
    let newest = group.first().map(|(_, one)| one.time.seconds).unwrap_or_default();
    let mut verdicts: Vec<Verdict> = group
        .into_iter()
        .map(|(id, snapshot)| Verdict { id, snapshot, reasons: Vec::new() })
        .collect();
    let periods: [(&str, u32, PeriodName); 5] = [
        ("hourly", policy.hourly, |time| time.local().strftime("%Y-%m-%d %H").to_string()),
        ("daily", policy.daily, |time| time.local().strftime("%Y-%m-%d").to_string()),
        ("weekly", policy.weekly, |time| time.local().strftime("%G-W%V").to_string()),
        ("monthly", policy.monthly, |time| time.local().strftime("%Y-%m").to_string()),
        ("yearly", policy.yearly, |time| time.local().strftime("%Y").to_string()),
    ];
    // A partial snapshot takes no place that a complete one could have.
    for complete in [true, false] {
        keep_last(&mut verdicts, policy.last, complete);
    }
    for (name, count, period) in periods {
        keep_by_period(&mut verdicts, name, count, period);
    }
    for verdict in &mut verdicts {
        keep_by_itself(verdict, policy, newest);
    }
    if verdicts.iter().any(|one| one.snapshot.has_alarm()) {
        // What is newest may be worth nothing: nothing older goes until somebody has looked.
        for verdict in &mut verdicts {
            verdict.reasons.push("alarm".to_owned());
        }
    }
    if let Some(best) = verdicts.iter_mut().find(|one| !one.snapshot.is_partial()) {
        best.reasons.push("newest complete".to_owned());
    } else if let Some(best) = verdicts.first_mut() {
        best.reasons.push("newest".to_owned());
    }
    verdicts
}

fn keep_last(verdicts: &mut [Verdict], count: u32, complete: bool) {
    let mut left = count;
    for verdict in verdicts.iter_mut().filter(|one| one.snapshot.is_partial() != complete) {
        if left == 0 {
            return;
        }
        left -= 1;
        verdict.reasons.push("last".to_owned());
    }
}

/// The newest complete snapshot of each of the newest `count` periods; a partial one only where a
/// period has no complete one.
fn keep_by_period(verdicts: &mut [Verdict], name: &str, count: u32, period: PeriodName) {
    let mut best: Vec<(String, usize)> = Vec::new();
    for (place, verdict) in verdicts.iter().enumerate() {
        let this = period(verdict.snapshot.time);
        match best.last_mut() {
            Some((last, chosen)) if *last == this => {
                let better = verdicts.get(*chosen).is_some_and(|one| one.snapshot.is_partial())
                    && !verdict.snapshot.is_partial();
                if better {
                    *chosen = place;
                }
            }
            _ => best.push((this, place)),
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    for (this, place) in best.into_iter().take(count) {
        if let Some(verdict) = verdicts.get_mut(place) {
            verdict.reasons.push(format!("{name} {this}"));
        }
    }
}

fn keep_by_itself(verdict: &mut Verdict, policy: &Policy, newest: i64) {
    if let Some(seconds) = policy.within_seconds
        && newest.saturating_sub(verdict.snapshot.time.seconds) <= seconds
    {
        verdict.reasons.push("within".to_owned());
    }
    if verdict.snapshot.tags.iter().any(|tag| policy.tags.contains(tag)) {
        verdict.reasons.push("tag".to_owned());
    }
    if verdict.snapshot.pinned {
        verdict.reasons.push("pinned".to_owned());
    }
}

/// Removes the snapshots of a plan that are not kept; returns how many went.
pub fn execute(repository: &Repository, plan: &[Verdict]) -> Result<u64> {
    repository.refuse_write_only("remove snapshots")?;
    repository.check_history()?;
    let going = || plan.iter().filter(|verdict| !verdict.is_kept());
    // One without a tree stands for one that cannot be read.
    let readable = |one: &'_ Verdict| !one.snapshot.tree.is_empty();
    repository
        .remove_snapshots(going().map(|one| (one.id, readable(one).then_some(&one.snapshot))))?;
    Ok(units::bytes(going().count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ChunkId;
    use proptest::prelude::*;

    const DAY: i64 = 86_400;
    const NOW: Timestamp = Timestamp::from_seconds(1000 * DAY);

    fn snapshot(number: u8, user: &str, seconds: i64, warnings: u64) -> (FileId, Snapshot) {
        let snapshot = Snapshot {
            user: user.to_owned(),
            time: Timestamp::from_seconds(seconds),
            tree: vec![ChunkId([1; 32])],
            warnings,
            ..Snapshot::default()
        };
        (FileId([number; 32]), snapshot)
    }

    fn kept(plan: &[Verdict]) -> Vec<u8> {
        let mut kept: Vec<u8> =
            plan.iter().filter(|one| one.is_kept()).map(|one| one.id.0[0]).collect();
        kept.sort_unstable();
        kept
    }

    #[test]
    fn counts_snapshots_not_days_since_now() {
        // Ten days without a backup: a policy of seven dailies keeps the seven newest all the same.
        let all: Vec<_> = (0..20).map(|n| snapshot(n, "a", i64::from(n) * DAY, 0)).collect();
        let policy = Policy { daily: 7, ..Policy::default() };
        assert_eq!(kept(&plan(all, &policy, NOW).unwrap()), [13, 14, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn groups_do_not_push_each_other_out() {
        let all =
            vec![snapshot(1, "bob", 1, 0), snapshot(2, "alice", 2, 0), snapshot(3, "alice", 3, 0)];
        let policy = Policy { last: 1, ..Policy::default() };
        assert_eq!(kept(&plan(all, &policy, NOW).unwrap()), [1, 3]);
    }

    #[test]
    fn a_later_user_of_the_same_name_pushes_nobody_out() {
        let mut all = vec![snapshot(1, "a", 1, 0), snapshot(2, "a", 2, 0), snapshot(3, "a", 3, 0)];
        all[2].1.user_identity = "made later".to_owned();
        let policy = Policy { last: 1, ..Policy::default() };
        assert_eq!(kept(&plan(all, &policy, NOW).unwrap()), [2, 3]);
    }

    #[test]
    fn a_partial_snapshot_never_pushes_out_a_complete_one() {
        let all = vec![snapshot(1, "a", 1, 0), snapshot(2, "a", 2, 0), snapshot(3, "a", 3, 5)];
        let policy = Policy { last: 1, ..Policy::default() };
        assert_eq!(kept(&plan(all.clone(), &policy, NOW).unwrap()), [2, 3]);
        let policy = Policy { daily: 1, ..Policy::default() };
        assert_eq!(kept(&plan(all, &policy, NOW).unwrap()), [2]);
    }

    #[test]
    fn a_snapshot_of_a_wrong_clock_neither_goes_nor_pushes_out_the_true_newest() {
        let all = vec![
            snapshot(1, "a", 998 * DAY, 0),
            snapshot(2, "a", 999 * DAY, 0),
            snapshot(3, "a", 5000 * DAY, 0),
        ];
        let policy = Policy { last: 1, daily: 1, ..Policy::default() };
        assert_eq!(kept(&plan(all, &policy, NOW).unwrap()), [2, 3]);
    }

    #[test]
    fn what_takes_a_restore_back_has_a_time_of_its_own_and_counts_for_nothing() {
        let safety = |number, seconds| {
            let (id, mut one) = snapshot(number, "a", seconds, 0);
            one.source = crate::format::snapshot::SAFETY.to_owned();
            (id, one)
        };
        let all = vec![
            snapshot(1, "a", 990 * DAY, 0),
            snapshot(2, "a", 991 * DAY, 0),
            safety(3, 992 * DAY),
            safety(4, 993 * DAY),
            safety(5, 1000 * DAY),
        ];
        let policy = Policy { last: 1, safety_seconds: 7 * DAY, ..Policy::default() };
        assert_eq!(kept(&plan(all.clone(), &policy, NOW).unwrap()), [2, 4, 5]);
        // With nobody's backup left, none of them takes its place.
        let policy = Policy { last: 5, ..Policy::default() };
        assert_eq!(kept(&plan(all, &policy, NOW).unwrap()), [1, 2, 5]);
        let policy = Policy { safety_seconds: DAY, ..Policy::default() };
        assert!(plan(Vec::new(), &policy, NOW).is_err());
    }

    #[test]
    fn an_empty_policy_is_refused() {
        assert_eq!(plan(vec![], &Policy::default(), NOW).unwrap_err().kind(), Kind::Usage);
    }

    proptest! {
        #[test]
        fn the_newest_complete_snapshot_and_pinned_ones_always_stay(
            times in prop::collection::vec((0i64..400 * DAY, 0u64..2, any::<bool>()), 1..30),
            last in 0u32..3, daily in 0u32..5, yearly in 0u32..2,
        ) {
            let all: Vec<_> = (0u8..).zip(&times).map(|(n, (time, warnings, pinned))| {
                let (id, mut one) = snapshot(n, "a", *time, *warnings);
                one.pinned = *pinned;
                (id, one)
            }).collect();
            let policy = Policy { last, daily, yearly, hourly: 1, ..Policy::default() };
            let plan = plan(all.clone(), &policy, NOW).unwrap();
            prop_assert_eq!(plan.len(), all.len());
            let newest = plan.iter().find(|one| !one.snapshot.is_partial());
            prop_assert!(newest.is_none_or(Verdict::is_kept));
            prop_assert!(plan.iter().all(|one| !one.snapshot.pinned || one.is_kept()));
            prop_assert!(plan.iter().any(Verdict::is_kept));
        }
    }
}
