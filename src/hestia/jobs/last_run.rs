// SPDX-License-Identifier: MIT
//! Notes what the last backup run of a user said, for those who ask later.

use super::Server;
use super::report::{State, UserOutcome};
use crate::base::{Error, Kind, Monitor};
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::hestia::records::{InRepository, LastRun, Records, kept_reasons, noted_time};

/// Notes a run. One that a policy left out, or a person stopped, says nothing new. That it could
/// not be noted is a warning: the backup itself is done.
pub(super) fn note(server: &Server, user: &UserName, outcome: &UserOutcome, monitor: &dyn Monitor) {
    let is_stop = |error: &Error| error.kind() == Kind::Cancelled;
    match &outcome.state {
        State::Skipped(_) => return,
        State::Failed(error) if is_stop(error) => return,
        _ => {}
    }
    let places = outcome.places.iter().map(|place| InRepository {
        name: place.repository.clone(),
        result: place.word().to_owned(),
        reasons: kept_reasons(place.warnings.get(..3).unwrap_or(&place.warnings)),
    });
    let run = LastRun {
        milliseconds: outcome.milliseconds,
        result: outcome.state.word().to_owned(),
        reasons: kept_reasons(&outcome.reasons()),
        own: kept_reasons(&own_reasons(outcome)),
        repositories: places.collect(),
        ..new(server, user)
    };
    store(server, user, &run, monitor);
}

/// What is not in a backup that was stored. Why one could not be stored, in this repository or in
/// any, names places of the server.
fn own_reasons(outcome: &UserOutcome) -> Vec<String> {
    if !matches!(outcome.state, State::Partial) {
        return Vec::new();
    }
    let stored = outcome.places.iter().filter(|place| place.snapshot.is_some());
    let stored: Vec<&String> = stored.flat_map(|place| &place.warnings).collect();
    outcome.warnings.iter().filter(|one| stored.contains(one)).cloned().collect()
}

/// Notes that a run did not come as far as these users, because of the server.
pub fn note_failure(server: &Server, users: &[UserName], error: &Error, monitor: &dyn Monitor) {
    if error.kind() == Kind::Cancelled {
        return;
    }
    for user in users {
        let run = LastRun {
            result: "failed".to_owned(),
            reasons: kept_reasons(&[error.one_line()]),
            ..new(server, user)
        };
        store(server, user, &run, monitor);
    }
}

fn new(server: &Server, user: &UserName) -> LastRun {
    // Of a user who is gone meanwhile nobody will ask.
    let identity = inventory::user(&server.hestia, user).map(|user| user.identity);
    let (identity, time) = (identity.unwrap_or_default(), noted_time(server.world.now()));
    LastRun { identity, time, ..LastRun::default() }
}

fn store(server: &Server, user: &UserName, run: &LastRun, monitor: &dyn Monitor) {
    let records = Records::new(&server.settings.state_folder);
    if let Err(error) = records.note_run(user, run) {
        monitor.warn(error);
    }
}
