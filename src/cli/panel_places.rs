// SPDX-License-Identifier: MIT
//! `ghostsnap hestia repository-status`: how well the repositories of this server are.

use super::Context;
use super::args::Invocation;
use super::output::end_with_the_reader;
use super::panel::server;
use super::repository;
use super::rows::Cell;
use crate::backend::place_of;
use crate::base::units::{bytes, number_of};
use crate::base::{Error, Kind, Monitor, Result, Timestamp};
use crate::hestia::jobs::Server;
use crate::hestia::jobs::health::Light;
use crate::hestia::jobs::health_places::light;
use crate::hestia::named::{self, DEFAULT, RepositoryName};
use crate::hestia::notify::trouble::{Disk, PlaceState, Sizes};
use crate::hestia::records::{Care, Records, Tended};
use crate::ops::stats::{Stats, stats};
use crate::repo::Repository;
use std::collections::BTreeSet;
use std::path::Path;

/// A repository, and how well it is.
struct Place {
    name: String,
    light: Light,
    reason: String,
    stats: Option<Stats>,
    users: usize,
    check: Option<Tended>,
    prune: Option<Tended>,
    copy: Option<Tended>,
}

/// How much somebody wants to know of repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// How well they are.
    State,
    /// Their sizes too, for which indexes are read.
    Sizes,
}

/// `ghostsnap hestia repository-status`.
pub fn status(context: &Context, call: &Invocation) -> Result<()> {
    end_with_the_reader()?;
    let server = server(context, call)?;
    let progress = context.progress();
    let mut places = Vec::new();
    for name in names(call, &server)? {
        let is_set_up = || repository::is_set_up(context, call, &server.settings, None);
        // Before the first backup there is none, which is no failure.
        if name != DEFAULT || call.has("repository") || is_set_up().unwrap_or(true) {
            places.push(look(context, call, &server, name, &progress));
        }
    }
    progress.finish();
    let mut rows = context.output.rows(call.command().columns);
    for place in &places {
        rows.row(&row(place))?;
    }
    rows.finish()?;
    if !call.has("check") {
        return Ok(());
    }
    let bad = places.iter().filter(|place| place.light >= Light::Yellow);
    let bad: Vec<String> = bad.map(|place| format!("{}: {}", place.name, place.reason)).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Partial, "find every repository well").why(bad.join("; ")))
}

/// Looks at the repositories, without their indexes unless sizes are wanted. One that the first
/// backup will make is none yet.
pub(super) fn states(
    context: &Context,
    call: &Invocation,
    server: &Server,
    want: Want,
    monitor: &dyn Monitor,
) -> Result<Vec<PlaceState>> {
    let mut states = Vec::new();
    for name in names(call, server)? {
        let is_set_up = || repository::is_set_up(context, call, &server.settings, None);
        if name != DEFAULT || is_set_up().unwrap_or(true) {
            states.extend(state(context, call, server, (name, want), monitor));
        }
    }
    Ok(states)
}

fn state(
    context: &Context,
    call: &Invocation,
    server: &Server,
    (name, want): (String, Want),
    monitor: &dyn Monitor,
) -> Option<PlaceState> {
    let records = Records::new(&server.settings.state_folder);
    let opened = repository::open_by_text(context, call, &server.settings, &name, false);
    let disk = repository::by_text(context, call, &name).ok();
    let disk = disk.and_then(|meant| disk_of(&meant.address));
    Some(match opened {
        Err(error)
            if error.kind() == Kind::NotFound && !repository::was_made(context, call, &name) =>
        {
            return None;
        }
        Err(error) => {
            let light = Err(error.one_line());
            let (check, prune, copy) = (None, None, None);
            PlaceState { name, light, taken: None, check, prune, copy, disk, sizes: None }
        }
        Ok(opened) => {
            let id = opened.config().repository_id;
            let check = records.tended(Care::Check, &id, monitor);
            let prune = records.tended(Care::Prune, &id, monitor);
            let copy = records.tended(Care::Copy, &id, monitor);
            let light = light(&server.settings, check.as_ref(), server.world.now());
            let taken = taken_away(&opened);
            let sizes = (want == Want::Sizes).then(|| sizes_of(opened, monitor)).transpose();
            let (light, sizes) = match sizes {
                Ok(sizes) => (Ok(light), sizes),
                Err(error) => (Err(error.one_line()), None),
            };
            PlaceState { name, light, taken, check, prune, copy, disk, sizes }
        }
    })
}

/// What somebody took out of a repository, or what cannot be read of it and may hide that.
fn taken_away(opened: &Repository) -> Option<String> {
    // Trouble with the store is told by whatever else asks it.
    let history = opened.history(false).ok()?;
    if let Err(error) = history.verdict() {
        return Some(error.one_line());
    }
    let snapshots = number_of(history.unreadable, "snapshot");
    (history.unreadable > 0).then(|| format!("{snapshots} cannot be read; a check names them"))
}

fn sizes_of(opened: Repository, monitor: &dyn Monitor) -> Result<Sizes> {
    let (stats, users) = sizes(opened, monitor)?;
    let Stats { snapshots, bytes_source, bytes_stored, .. } = stats;
    Ok(Sizes { snapshots, users, bytes_source, bytes_stored })
}

/// How large a repository is, by its index, and of how many users.
fn sizes(opened: Repository, monitor: &dyn Monitor) -> Result<(Stats, usize)> {
    let opened = opened.indexed(monitor)?;
    let all = opened.readable_snapshots(monitor)?;
    let users: BTreeSet<&str> = all.iter().map(|(_, one)| one.user.as_str()).collect();
    let users = users.iter().filter(|user| !user.is_empty()).count();
    Ok((stats(&opened, monitor)?, users))
}

/// The disk of a repository that lies in a folder of this machine.
fn disk_of(address: &str) -> Option<Disk> {
    if place_of(address) != "folder" {
        return None;
    }
    let folder = Path::new(address.strip_prefix("file://").unwrap_or(address));
    let stat = nix::sys::statvfs::statvfs(folder).ok()?;
    let block = stat.fragment_size();
    let blocks = |number: u64| number.saturating_mul(block);
    // As df counts: what only root may use is neither used nor free.
    let reserved = stat.blocks_free().saturating_sub(stat.blocks_available());
    let bytes = blocks(stat.blocks().saturating_sub(reserved));
    Some(Disk { bytes, free: blocks(stat.blocks_available()) })
}

/// The one that is asked for, else that of the settings and all that have a name.
fn names(call: &Invocation, server: &Server) -> Result<Vec<String>> {
    if let Some(text) = call.text("repository") {
        return Ok(vec![text.to_owned()]);
    }
    let mut names = Vec::new();
    if !RepositoryName::is_meant(&server.settings.repository) {
        names.push(DEFAULT.to_owned());
    }
    let entries = named::names(&repository::entries_folder(call))?;
    names.extend(entries.iter().map(RepositoryName::to_string));
    Ok(names)
}

fn look(
    context: &Context,
    call: &Invocation,
    server: &Server,
    name: String,
    monitor: &dyn Monitor,
) -> Place {
    let records = Records::new(&server.settings.state_folder);
    let (mut check, mut prune, mut copy, mut taken) = (None, None, None, None);
    let opened = repository::open_by_text(context, call, &server.settings, &name, false);
    let read = opened.and_then(|opened| {
        let id = opened.config().repository_id;
        check = records.tended(Care::Check, &id, monitor);
        prune = records.tended(Care::Prune, &id, monitor);
        copy = records.tended(Care::Copy, &id, monitor);
        taken = taken_away(&opened);
        sizes(opened, monitor)
    });
    match read {
        Ok((stats, users)) => {
            let usual = light(&server.settings, check.as_ref(), server.world.now());
            let (light, reason) = taken.map_or(usual, |why| (Light::Red, why));
            Place { name, light, reason, stats: Some(stats), users, check, prune, copy }
        }
        Err(error) => {
            let reason = error.one_line();
            Place { name, light: Light::Red, reason, stats: None, users: 0, check, prune, copy }
        }
    }
}

fn row(place: &Place) -> [Cell; 17] {
    let number = |value: fn(&Stats) -> u64| {
        place.stats.as_ref().map_or_else(Cell::empty, |stats| value(stats).into())
    };
    let day = |tended: &Option<Tended>| match tended {
        Some(one) => Timestamp::from_seconds(one.time).local().date().to_string(),
        None => String::new(),
    };
    let word =
        |tended: &Option<Tended>| tended.as_ref().map(|one| one.result.clone()).unwrap_or_default();
    let users = if place.stats.is_some() { bytes(place.users).into() } else { Cell::empty() };
    [
        place.name.as_str().into(),
        place.light.word().into(),
        number(|stats| stats.snapshots),
        users,
        number(|stats| stats.bytes_source),
        number(|stats| stats.bytes_stored),
        place.stats.as_ref().map_or_else(String::new, ratio).into(),
        day(&place.check).into(),
        word(&place.check).into(),
        place.check.as_ref().map(|one| one.extent.clone()).unwrap_or_default().into(),
        day(&place.prune).into(),
        word(&place.prune).into(),
        place.prune.as_ref().map(|one| one.extent.clone()).unwrap_or_default().into(),
        place.reason.as_str().into(),
        day(&place.copy).into(),
        word(&place.copy).into(),
        place.copy.as_ref().map(|one| one.extent.clone()).unwrap_or_default().into(),
    ]
}

/// How many times what is stored the snapshots hold, with one decimal.
fn ratio(stats: &Stats) -> String {
    if stats.bytes_stored == 0 {
        return String::new();
    }
    let tenths = u128::from(stats.bytes_source) * 10 / u128::from(stats.bytes_stored);
    format!("{}.{}", tenths / 10, tenths % 10)
}
