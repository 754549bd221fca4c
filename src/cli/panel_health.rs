// SPDX-License-Identifier: MIT
//! How well the users of this server are backed up.

use super::Context;
use super::args::Invocation;
use super::output::end_with_the_reader;
use super::panel::server;
use super::repository;
use super::rows::Cell;
use super::table::Role;
use super::{panel_own, panel_queue, panel_schedules};
use crate::base::units::bytes;
use crate::base::{Error, FileId, Kind, Monitor, Result, Timestamp};
use crate::format::Snapshot;
use crate::hestia::UserName;
use crate::hestia::inventory::{self, User};
use crate::hestia::jobs::Server;
use crate::hestia::jobs::health::{self, Health, Known, Light};
use crate::hestia::named::DEFAULT;
use crate::hestia::notify::UserLook;
use crate::hestia::queue::due;
use crate::hestia::records::Records;
use std::collections::BTreeMap;

/// The id of a repository, if there is one, and its snapshots, or why they are not known.
type Listed = std::result::Result<(Option<FileId>, Vec<(FileId, Snapshot)>), Error>;

/// `ghostsnap hestia status`.
pub fn status(context: &Context, call: &Invocation) -> Result<()> {
    end_with_the_reader()?;
    let server = server(context, call)?;
    let wanted = call.texts("USER");
    let users = if wanted.is_empty() {
        inventory::users(&server.hestia)?
    } else {
        let named = wanted.into_iter().map(|name| inventory::named(&server.hestia, name));
        named.map(|user| user.map(|user| user.name)).collect::<Result<_>>()?
    };
    let users = users.iter().map(|name| inventory::user(&server.hestia, name));
    let users = users.collect::<Result<Vec<_>>>()?;
    let progress = context.progress();
    let looks = look_at_users(context, call, &server, users, &progress);
    let found: Vec<(User, Health)> =
        looks.into_iter().filter_map(|one| Some((one.user, health::worst(one.places)?))).collect();
    let next = next_backups(context, call, &server, &found, &progress)?;
    progress.finish();
    let mut rows = context.output.rows(call.command().columns);
    for ((user, health), next) in found.iter().zip(next) {
        rows.row(&row(call, &server, &user.name, health, next))?;
    }
    rows.finish()?;
    if !call.has("check") {
        return Ok(());
    }
    let all = found.iter().map(|(user, health)| (user.name.as_str(), health));
    health::verdict(all).map_or(Ok(()), Err)
}

fn is_customer(call: &Invocation) -> bool {
    call.shim().is_some_and(|shim| shim.role == Role::User)
}

/// When the schedules back each of these users up next, the customers' own among them.
fn next_backups(
    context: &Context,
    call: &Invocation,
    server: &Server,
    found: &[(User, Health)],
    monitor: &dyn Monitor,
) -> Result<Vec<Option<Timestamp>>> {
    let (mut all, problems) = panel_schedules::all(call)?;
    let warn = |error: Error| {
        // What is wrong with a schedule is nothing that a customer could mend.
        if !is_customer(call) {
            monitor.warn(error);
        }
    };
    problems.into_iter().for_each(warn);
    for (user, _) in found {
        match panel_own::one_schedule(&server.hestia, &server.settings, user.name.as_str()) {
            Ok(own) => all.extend(own),
            Err(error) => warn(error.within(format!("look when {} is backed up", user.name))),
        }
    }
    let memories = due::memories(&panel_queue::spool(context, call));
    let clock = panel_schedules::clock(context, 0);
    let next = |(user, health): &(User, Health)| {
        let has_backups = health.light != Light::Off && !user.is_suspended();
        has_backups.then(|| clock.next_backup(&all, &memories, user)).flatten()
    };
    Ok(found.iter().map(next).collect())
}

/// Looks at these users, in all the repositories that each is backed up into; each repository is
/// opened once.
pub(super) fn look_at_users(
    context: &Context,
    call: &Invocation,
    server: &Server,
    users: Vec<User>,
    monitor: &dyn Monitor,
) -> Vec<UserLook> {
    let mut repositories: BTreeMap<String, Listed> = BTreeMap::new();
    let (now, records) = (server.world.now(), Records::new(&server.settings.state_folder));
    let look = |user: User| {
        let mut all = Vec::new();
        for place in places_of(call, server, &user.name) {
            let listed = repositories
                .entry(place.clone())
                .or_insert_with(|| snapshots_in(context, call, server, &place, monitor));
            let id = listed.as_ref().ok().and_then(|(id, _)| *id);
            let known = Known {
                run: records.run(&user.name, monitor),
                rehearsed: id.and_then(|id| records.rehearsed(&id, &user.name, monitor)),
            };
            let listed = listed.as_ref().map(|(_, all)| all.as_slice());
            all.push((place, health::of_user(&server.settings, &user, listed, known, now)));
        }
        UserLook::new(user, all)
    };
    users.into_iter().map(look).collect()
}

/// The repositories that a user is backed up into.
fn places_of(call: &Invocation, server: &Server, name: &UserName) -> Vec<String> {
    match call.text("repository") {
        Some(text) => vec![text.to_owned()],
        None => server.settings.repositories_of(name.as_str()),
    }
}

/// What is in a repository. Before the first backup there is nothing, which is no failure.
fn snapshots_in(
    context: &Context,
    call: &Invocation,
    server: &Server,
    place: &str,
    monitor: &dyn Monitor,
) -> Listed {
    if place == DEFAULT && !repository::is_set_up(context, call, &server.settings, None)? {
        return Ok((None, Vec::new()));
    }
    match repository::open_by_text(context, call, &server.settings, place, false) {
        Err(error)
            if error.kind() == Kind::NotFound
                && call.text("repository").is_none()
                && !repository::was_made(context, call, place) =>
        {
            Ok((None, Vec::new()))
        }
        opened => {
            let opened = opened?;
            let all = opened.readable_snapshots(monitor)?;
            Ok((Some(opened.config().repository_id), all))
        }
    }
}

fn row(
    call: &Invocation,
    server: &Server,
    name: &UserName,
    health: &Health,
    next: Option<Timestamp>,
) -> [Cell; 16] {
    // How much a backup adds tells what others have stored; why a repository cannot be read is
    // nothing for them either.
    let is_customer = is_customer(call);
    let added = |bytes: u64| if is_customer { "".into() } else { Cell::from(bytes) };
    let reason = match &health.trouble {
        Some(trouble) if !is_customer => trouble.as_str(),
        _ => health.reason.as_str(),
    };
    let day_and_time = |one: &Option<(FileId, Snapshot)>| match one {
        Some((_, one)) => super::engine_look::day_and_time(one.time),
        None => (String::new(), String::new()),
    };
    let (day, time) = day_and_time(&health.good);
    let newest = health.newest.as_ref().map(|(_, one)| one);
    let status = match newest {
        Some(one) if one.is_partial() => "partial",
        Some(_) => "complete",
        None => "none",
    };
    let repository = places_of(call, server, name);
    [
        name.as_str().into(),
        health.light.word().into(),
        day.into(),
        time.into(),
        health.age_hours.map_or_else(String::new, |hours| hours.to_string()).into(),
        status.into(),
        if health.is_unknown { Cell::empty() } else { bytes(health.backups).into() },
        newest.map_or(0, |one| one.totals.bytes).into(),
        added(newest.map_or(0, |one| one.totals.bytes_stored)),
        added(health.added_week),
        Cell::list(repository.iter().map(String::as_str)),
        reason.into(),
        last_error(health, is_customer).into(),
        health.verified.map_or_else(String::new, |time| time.local().date().to_string()).into(),
        health.growth.map_or_else(String::new, |bytes| bytes.to_string()).into(),
        next.map_or_else(String::new, panel_schedules::moment).into(),
    ]
}

/// What the last run said, if it did not succeed.
fn last_error(health: &Health, is_customer: bool) -> String {
    match &health.last_run {
        Some(run) if run.result == "succeeded" => String::new(),
        Some(run) if is_customer => run.told_to_customer(),
        Some(run) => run.reasons.join("; "),
        None => String::new(),
    }
}
