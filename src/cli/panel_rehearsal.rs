// SPDX-License-Identifier: MIT
//! `ghostsnap hestia verify-user` and `verify-users`: backups proven by a rehearsal of their
//! restore.

use super::Context;
use super::args::Invocation;
use super::panel::{ending, id_of, name_of, server};
use super::panel_look::{find, tell_unusable, visible};
use super::repository;
use super::rows::Cell;
use crate::base::units::{ByteSize, Span, number_of};
use crate::base::{Error, FileId, Monitor, Result, Within};
use crate::format::Snapshot;
use crate::hestia::jobs::rehearsal_users::{Budget, Candidate, rehearse_users};
use crate::hestia::jobs::{Rehearsal, RehearsalRequest, RunReport, Server, rehearse};
use crate::hestia::named::DEFAULT;
use crate::hestia::{UserName, inventory};
use crate::repo::IndexedRepository;
use std::collections::BTreeMap;

/// What a run over these ends with, if not all is well.
const WHAT: &str = "prove every backup";

/// `ghostsnap hestia verify-user`.
pub fn verify_user(context: &Context, call: &Invocation) -> Result<()> {
    let user = UserName::parse(call.required("USER")?)?;
    let server = server(context, call)?;
    let place = place_of(call, &server, &user);
    let progress = context.progress();
    let opened = repository::open_by_text(context, call, &server.settings, &place, false)?;
    let all = visible(call, &server, &opened, Some(&user), &progress)?;
    let wanted = call.text("SNAPSHOT").unwrap_or("latest");
    let (id, _) = find(call, &all, wanted, Some(user.as_str()))?;
    let request =
        RehearsalRequest { snapshot: id.to_string(), without_databases: call.has("no-databases") };
    // What is proven is what the store has, and no copy of it.
    let opened = opened.without_copy().indexed_to_read("rehearsal", &progress)?;
    let result = rehearse(&server, &opened, &user, &request, &progress);
    progress.finish();
    let report = result?;
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&row(&report, &place))?;
    rows.finish()?;
    tell(context, std::slice::from_ref(&report));
    ending(run_of(vec![report]), WHAT)
}

/// `ghostsnap hestia verify-users`.
pub fn verify_users(context: &Context, call: &Invocation) -> Result<()> {
    let server = server(context, call)?;
    let time = call.text("max-time").map(Span::parse).transpose().within(|| "take --max-time")?;
    let budget =
        Budget { time: time.map(|time| time.0), without_databases: call.has("no-databases") };
    server.hestia.check_installed()?;
    let named = call.texts("USER");
    let users = if named.is_empty() {
        tell_unusable(context, &server)?;
        inventory::users(&server.hestia)?
    } else {
        named.into_iter().map(UserName::parse).collect::<Result<_>>()?
    };
    let progress = context.progress();
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    for user in &users {
        let name = place_of(call, &server, user);
        places
            .entry(name)
            .or_insert_with_key(|name| Place::open(context, call, &server, name, &progress));
    }
    let mut candidates = Vec::with_capacity(users.len());
    for user in users {
        let name = place_of(call, &server, &user);
        let Some((name, place)) = places.get_key_value(&name) else { continue };
        let repository = place.opened.as_ref();
        let snapshots = place.snapshots.as_slice();
        candidates.push(Candidate { user, place: name, repository, snapshots });
    }
    let reports = rehearse_users(&server, &candidates, &budget, &progress);
    progress.finish();
    let place_of = |user: &str| {
        let one = candidates.iter().find(|one| one.user.as_str() == user);
        one.map(|one| one.place).unwrap_or_default()
    };
    let mut rows = context.output.rows(call.command().columns);
    for report in &reports {
        rows.row(&row(report, place_of(&report.outcome.user)))?;
    }
    rows.finish()?;
    tell(context, &reports);
    ending(run_of(reports), WHAT)
}

/// The repository in which a user's backups are proven: what `-r` says, else the first one.
fn place_of(call: &Invocation, server: &Server, user: &UserName) -> String {
    if let Some(text) = call.text("repository") {
        return text.to_owned();
    }
    let first = server.settings.repositories_of(user.as_str()).into_iter().next();
    first.unwrap_or_else(|| DEFAULT.to_owned())
}

/// A repository of the run, open or with what is wrong.
struct Place {
    opened: Result<IndexedRepository, Error>,
    snapshots: Vec<(FileId, Snapshot)>,
}

impl Place {
    fn open(
        context: &Context,
        call: &Invocation,
        server: &Server,
        name: &str,
        monitor: &dyn Monitor,
    ) -> Self {
        let opened = repository::open_by_text(context, call, &server.settings, name, false)
            .and_then(|opened| opened.without_copy().indexed_to_read("rehearsal", monitor));
        let listed = opened.and_then(|opened| {
            let snapshots = opened.readable_snapshots(monitor)?;
            Ok((opened, snapshots))
        });
        match listed {
            Ok((opened, snapshots)) => Self { opened: Ok(opened), snapshots },
            Err(error) => Self { opened: Err(error), snapshots: Vec::new() },
        }
    }
}

fn row(report: &Rehearsal, place: &str) -> [Cell; 12] {
    let outcome = &report.outcome;
    let snapshot = outcome.snapshot.as_ref();
    let count = |number: u64| if snapshot.is_some() { number.into() } else { Cell::empty() };
    [
        outcome.user.as_str().into(),
        outcome.state.word().into(),
        id_of(snapshot).into(),
        name_of(snapshot).into(),
        count(report.files),
        count(report.bytes),
        count(report.databases),
        count(report.counted.tables),
        count(report.counted.rows),
        count(outcome.milliseconds / 1000),
        outcome.reasons().join("; ").into(),
        place.into(),
    ]
}

fn tell(context: &Context, reports: &[Rehearsal]) {
    let sum = |number: fn(&Rehearsal) -> u64| reports.iter().map(number).sum::<u64>();
    context.output.note(&format!(
        "{}, {} rebuilt; {} with {} imported and removed again",
        number_of(sum(|one| one.files), "file"),
        ByteSize(sum(|one| one.bytes)),
        number_of(sum(|one| one.databases), "database"),
        number_of(sum(|one| one.counted.rows), "row"),
    ));
}

fn run_of(reports: Vec<Rehearsal>) -> RunReport {
    let mut run = RunReport::default();
    for report in reports {
        run.cancelled |= report.is_cancelled();
        run.users.push(report.outcome);
    }
    run
}
