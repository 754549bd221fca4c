// SPDX-License-Identifier: MIT
//! Notes what the last backup run of a user said, for those who ask later.

use super::Server;
use super::report::{State, UserOutcome};
use crate::base::{Error, Kind, Monitor};
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::hestia::records::{InRepository, LastRun, Records, kept_reasons, noted_time};

/// Notes a run that says something new. That it could not be noted is a warning: the backup itself
/// is done.
pub(super) fn note(server: &Server, user: &UserName, outcome: &UserOutcome, monitor: &dyn Monitor) {
    let places = outcome.places.iter().map(|place| InRepository {
        name: place.repository.clone(),
        result: place.word().to_owned(),
        reasons: kept_reasons(place.warnings.get(..3).unwrap_or(&place.warnings)),
    });
    let run = LastRun {
        milliseconds: outcome.milliseconds,
        result: outcome.state.word().to_owned(),
        reasons: kept_reasons(&worst_first(outcome.reasons())),
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
    let own = outcome.warnings.iter().filter(|one| stored.contains(one));
    worst_first(own.map(|one| without_servers_words(one)).collect())
}

/// A whole database that is missing is worth more than the first of many files.
fn worst_first(mut reasons: Vec<String>) -> Vec<String> {
    reasons.sort_by_key(|one| !one.contains(DATABASE));
    reasons
}

const DATABASE: &str = " the database ";

/// A reason for the customer. What a database server or its client says names sockets and addresses
/// of the server.
fn without_servers_words(reason: &str) -> String {
    let Some((before, after)) = reason.split_once(DATABASE) else { return reason.to_owned() };
    let name = after.split([':', ' ']).next().unwrap_or_default();
    format!("{before}{DATABASE}{name}; the administrator knows why")
}

/// Why a run did not succeed, for the customer.
pub(super) fn told_to_customer(outcome: &UserOutcome) -> String {
    LastRun { own: kept_reasons(&own_reasons(outcome)), ..LastRun::default() }.told_to_customer()
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
