// SPDX-License-Identifier: MIT
//! The direct way of a backup: the live user is read where it lies. Like Hestia's own nightly job
//! it steps back behind everything else on the machine and waits while the load is high, though
//! not for ever.

use super::Server;
use crate::base::monitor::{Stage, check_cancelled};
use crate::base::units;
use crate::base::{Monitor, Result, World};
use crate::hestia::call::Call;
use crate::hestia::conf;
use crate::hestia::database::RunOptions;
use crate::hestia::direct::{DirectOptions, HestiaDirect};
use crate::hestia::inventory::User;
use std::path::Path;
use std::time::Duration;

/// The last minute's load, as the first number in this file.
const LOAD: &str = "/proc/loadavg";
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long a wish to stop may go unnoticed.
const LISTEN_EVERY: Duration = Duration::from_millis(500);

/// Opens a user for reading, when the machine has time for it.
pub(super) fn open(server: &Server, user: &User, monitor: &dyn Monitor) -> Result<HestiaDirect> {
    let settings = &server.settings;
    let limit = load_limit(server)?;
    let patience = settings.load_wait;
    let load = || load_in(Path::new(LOAD));
    if !wait_for_load(&load, limit, patience, &server.world, monitor)? {
        let waited = units::Span(patience);
        let note = format!("{}: the load stayed at {limit} or more for {waited}", user.name);
        monitor.stage(Stage::Note(note));
    }
    let options = DirectOptions {
        exclude: server.exclude_of(user, monitor),
        default_excludes: settings.default_excludes,
        one_file_system: !settings.other_file_systems,
        run: RunOptions { low_priority: settings.low_priority, stop: monitor.stop() },
        narrow: None,
    };
    HestiaDirect::open(&server.hestia, user, &options, monitor)
}

/// Hestia's own limit: what its settings say, or the number of processors.
fn load_limit(server: &Server) -> Result<u64> {
    let text = conf::read_file(&server.hestia.hestia_conf())?.unwrap_or_default();
    let set = conf::parse_keys(&text).0.text("BACKUP_LA_LIMIT").parse().ok();
    let cores = u64::try_from(server.world.cores()).unwrap_or(1);
    Ok(set.filter(|limit| *limit > 0).unwrap_or(cores))
}

/// Whole processors that were wanted in the last minute; none if the system does not say.
fn load_in(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.split('.').next()?.parse().ok()
}

/// Waits until the load is below the limit; whether it is.
fn wait_for_load(
    load: &dyn Fn() -> Option<u64>,
    limit: u64,
    patience: Duration,
    world: &World,
    monitor: &dyn Monitor,
) -> Result<bool> {
    let is_high = || load().is_some_and(|load| load >= limit);
    let started = world.ticks();
    let mut told = false;
    while is_high() {
        if world.ticks().saturating_sub(started) >= patience {
            return Ok(patience.is_zero());
        }
        if !std::mem::replace(&mut told, true) {
            monitor.stage(Stage::Step { name: "waiting for a lower load", total: None });
        }
        let looked = world.ticks();
        while world.ticks().saturating_sub(looked) < LOOK_EVERY.min(patience) {
            check_cancelled(monitor)?;
            world.sleep(LISTEN_EVERY.min(patience));
        }
    }
    Ok(true)
}

/// Lets everything else on the machine go first, as Hestia does with its own backups. What cannot
/// be done is no reason to make no backup.
pub(super) fn step_back(server: &Server, monitor: &dyn Monitor) {
    if !server.settings.low_priority {
        return;
    }
    let process = std::process::id().to_string();
    for (tool, arguments) in [
        ("renice", ["-n", "19", "-p", &process].as_slice()),
        ("ionice", ["-c2", "-n7", "-p", &process].as_slice()),
    ] {
        let program = server.hestia.tools.join(tool);
        if !program.exists() {
            continue;
        }
        let call = Call::program(program, arguments.iter().copied());
        let done = server.caller.call(&call, monitor).and_then(|end| end.check("step back", &call));
        if let Err(error) = done {
            monitor.stage(Stage::Note(error.one_line()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::monitor::Collect;
    use std::cell::Cell;

    #[test]
    fn a_high_load_is_waited_for_but_not_for_ever() {
        let (world, monitor) = (World::seeded(1), Collect::default());
        let looks = Cell::new(0);
        let wait = |falls_after: u64, seconds: u64| {
            looks.set(0);
            let load = || {
                looks.set(looks.get() + 1);
                Some(if looks.get() > falls_after { 1 } else { 4 })
            };
            let patience = Duration::from_secs(seconds);
            wait_for_load(&load, 4, patience, &world, &monitor).unwrap()
        };
        assert!(wait(0, 60) && looks.get() == 1);
        assert!(wait(3, 60) && looks.get() == 4);
        assert!(!wait(100, 60) && looks.get() <= 8);
        assert!(wait(100, 0) && looks.get() == 1, "no patience asks for no wait");
        assert!(wait_for_load(&|| None, 4, LOOK_EVERY, &world, &monitor).unwrap());
    }

    #[test]
    fn the_load_is_the_first_number_of_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("loadavg");
        assert_eq!(load_in(&file), None);
        std::fs::write(&file, "12.73 0.75 0.69 2/311 12345\n").unwrap();
        assert_eq!(load_in(&file), Some(12));
        std::fs::write(&file, "").unwrap();
        assert_eq!(load_in(&file), None);
    }
}
