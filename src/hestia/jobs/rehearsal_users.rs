// SPDX-License-Identifier: MIT
//! Rehearsals of many users within a time: whoever has waited longest comes first, and who failed
//! last night waits no less than the others, so that one who always fails keeps nobody from a
//! turn.

use super::Server;
use super::rehearsal::{Rehearsal, RehearsalRequest, rehearse};
use super::report::State;
use super::several;
use crate::base::{Error, FileId, Kind, Monitor, Result, Timestamp};
use crate::format::Snapshot;
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::hestia::records::Records;
use crate::repo::IndexedRepository;
use std::time::Duration;

/// A user, and the repository in which the user's backups are to be proven.
pub struct Candidate<'c> {
    /// Who.
    pub user: UserName,
    /// The name of the repository.
    pub place: &'c str,
    /// The repository, or why it is not there.
    pub repository: Result<&'c IndexedRepository, &'c Error>,
    /// The snapshots in it.
    pub snapshots: &'c [(FileId, Snapshot)],
}

/// How far to go.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    /// No rehearsal begins after this.
    pub time: Option<Duration>,
    /// Leave databases out.
    pub without_databases: bool,
}

/// What is known of a user before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    /// The newest backup of this person.
    newest: Option<FileId>,
    /// Its name.
    name: String,
    /// When the last rehearsal was.
    last: Option<i64>,
    /// When the newest backup was proven, if it was.
    proven: Option<i64>,
}

/// Rehearses users until the time is used up. The results come in the order of the work; those who
/// did not get their turn say why.
pub fn rehearse_users(
    server: &Server,
    candidates: &[Candidate<'_>],
    budget: &Budget,
    monitor: &dyn Monitor,
) -> Vec<Rehearsal> {
    let mut waiting: Vec<(Standing, &Candidate<'_>)> =
        candidates.iter().map(|one| (standing(server, one, monitor), one)).collect();
    waiting.sort_by(|(a, one), (b, other)| a.turn().cmp(&b.turn()).then(one.user.cmp(&other.user)));
    let is_left = waiting.iter().any(|(one, _)| one.newest.is_some() && one.proven.is_none());
    let started = server.world.ticks();
    let mut has_begun = false;
    let mut reports = Vec::with_capacity(waiting.len());
    for (standing, one) in waiting {
        let spent = server.world.ticks().saturating_sub(started);
        let is_over = has_begun && budget.time.is_some_and(|time| spent >= time);
        let why_not = why_not(one, &standing, is_left, is_over, monitor);
        has_begun |= why_not.is_none();
        reports.push(match why_not {
            Some(state) => Rehearsal::without(&one.user, state),
            None => try_one(server, one, &standing, budget, monitor),
        });
    }
    reports
}

impl Standing {
    /// Whose turn it is: first those whose newest backup is not proven, and of all who has waited
    /// longest.
    fn turn(&self) -> (bool, i64) {
        (self.proven.is_some(), self.last.unwrap_or(i64::MIN))
    }
}

fn standing(server: &Server, one: &Candidate<'_>, monitor: &dyn Monitor) -> Standing {
    // Of a user who cannot be read, whatever has the name counts.
    let identity = inventory::user(&server.hestia, &one.user).map(|user| user.identity).ok();
    let is_own = |snapshot: &Snapshot| {
        let is_earlier = identity.as_ref().is_some_and(|identity| {
            !snapshot.user_identity.is_empty() && snapshot.user_identity != *identity
        });
        snapshot.user == one.user.as_str() && !snapshot.is_safety() && !is_earlier
    };
    let own = one.snapshots.iter().filter(|(_, snapshot)| is_own(snapshot));
    let newest = own.max_by_key(|(_, snapshot)| snapshot.time);
    let id = one.repository.ok().map(|repository| repository.config().repository_id);
    let records = Records::new(&server.settings.state_folder);
    let before = id.and_then(|id| records.rehearsed(&id, &one.user, monitor));
    let success = before.as_ref().and_then(|before| before.success.as_ref());
    let proven = success
        .filter(|success| newest.is_some_and(|(newest, _)| newest.to_string() == success.snapshot));
    Standing {
        newest: newest.map(|(id, _)| *id),
        name: newest.map(|(_, one)| one.name.clone()).unwrap_or_default(),
        proven: proven.map(|success| success.time),
        last: before.as_ref().map(|before| before.moment.time),
    }
}

/// Why a user is not rehearsed now, if so. `is_left` says that somebody's newest backup is not
/// proven: as long as there is one, what is proven need not be proven again.
fn why_not(
    one: &Candidate<'_>,
    standing: &Standing,
    is_left: bool,
    is_over: bool,
    monitor: &dyn Monitor,
) -> Option<State> {
    let what = || format!("rehearse the restore of {}", one.user);
    let skipped = |kind, why: String| Some(State::Skipped(Error::new(kind, what()).why(why)));
    if monitor.cancelled() {
        return skipped(Kind::Cancelled, "stopped on request".to_owned());
    }
    if let Err(error) = one.repository {
        return Some(State::Failed(error.retold().within(what())));
    }
    if standing.newest.is_none() {
        return skipped(Kind::NotFound, "there is no backup".to_owned());
    }
    if let (Some(time), true) = (standing.proven, is_left) {
        let day = Timestamp::from_seconds(time).local().date();
        return skipped(Kind::Exists, format!("{} was proven on {day}", standing.name));
    }
    if is_over {
        return skipped(Kind::Limit, "the time is used up; it comes first next time".to_owned());
    }
    None
}

/// Rehearses one. Whatever happens, a mistake of the program included, is this user's trouble.
fn try_one(
    server: &Server,
    one: &Candidate<'_>,
    standing: &Standing,
    budget: &Budget,
    monitor: &dyn Monitor,
) -> Rehearsal {
    let failed = |error: Error| {
        let state = match error.kind() {
            Kind::InUse => State::Skipped(error),
            _ => State::Failed(error),
        };
        Rehearsal::without(&one.user, state)
    };
    let (Ok(repository), Some(newest)) = (one.repository, standing.newest) else {
        return failed(Error::new(Kind::Internal, "rehearse what is not there"));
    };
    let request = RehearsalRequest {
        snapshot: newest.to_string(),
        without_databases: budget.without_databases,
    };
    let act = |_: usize, (): &()| rehearse(server, repository, &one.user, &request, monitor);
    let done = several::each(&[()], 1, act).pop();
    match done {
        Some(Ok(Ok(report))) => report,
        Some(Ok(Err(error)) | Err(error)) => failed(error),
        None => failed(Error::new(Kind::Internal, "rehearse the restore")),
    }
}
