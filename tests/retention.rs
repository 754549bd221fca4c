// SPDX-License-Identifier: MIT
//! Which backups of Hestia users go, by whose rule, and that what nobody has written down is never
//! done unasked.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]
#![allow(clippy::panic, clippy::as_conversions)]

#[path = "common/hestia.rs"]
mod hestia;

use ghostsnap::base::FileId;
use ghostsnap::hestia::BackupMode;
use ghostsnap::hestia::inventory;
use ghostsnap::hestia::jobs::health::{Known, Light, of_user};
use ghostsnap::hestia::jobs::retention::plan;
use ghostsnap::hestia::settings::UserSettings;
use ghostsnap::ops::forget::{Policy, Verdict};
use ghostsnap::ops::pin::pin;
use ghostsnap::ops::tripwire::alarm_off;
use hestia::*;
use std::fs;
use std::time::Duration;

const DAY: u64 = 86_400;

fn direct() -> Machine {
    let mut machine = Machine::empty("gzip");
    machine.server.settings.mode = BackupMode::Direct;
    machine.add_user("alice");
    machine.add_user("bob");
    machine
}

/// A backup of each user, a day apart.
fn night(machine: &Machine, user: &str) -> FileId {
    machine.server.world.sleep(Duration::from_secs(DAY));
    machine.good_backup(user).0
}

fn last(count: u32) -> Policy {
    Policy { last: count, ..Policy::default() }
}

fn planned(machine: &Machine) -> Vec<Verdict> {
    let now = machine.server.world.now();
    plan(&machine.server, &machine.repository(), &[], now).unwrap()
}

fn going(machine: &Machine) -> Vec<FileId> {
    let mut gone: Vec<Verdict> = planned(machine);
    gone.retain(|one| !one.is_kept());
    gone.sort_by_key(|one| one.snapshot.time);
    gone.into_iter().map(|one| one.id).collect()
}

fn ids(machine: &Machine) -> Vec<FileId> {
    machine.snapshots().into_iter().map(|(id, _)| id).collect()
}

#[test]
fn without_a_rule_nothing_goes_unasked_and_hestia_says_how_many_otherwise() {
    let machine = direct();
    let nights: Vec<FileId> = (0..7).map(|_| night(&machine, "alice")).collect();
    assert_eq!(ids(&machine), nights, "a backup drops nothing");
    // BACKUPS='5' in user.conf.
    assert_eq!(going(&machine), nights[..2]);
    assert_eq!(ids(&machine), nights, "a plan drops nothing");
}

#[test]
fn each_backup_that_ended_well_drops_what_the_rule_does_not_keep() {
    let mut machine = direct();
    machine.server.settings.keep = Some(last(2));
    let own = UserSettings { keep: Some(last(3)), ..UserSettings::default() };
    machine.server.settings.users.insert("bob".to_owned(), own);
    let alices: Vec<FileId> = (0..4).map(|_| night(&machine, "alice")).collect();
    let bobs: Vec<FileId> = (0..4).map(|_| night(&machine, "bob")).collect();
    let left = ids(&machine);
    assert_eq!(left, [&alices[2..], &bobs[1..]].concat());
    // The package's rule goes before the server's.
    machine.server.settings.packages.insert("default".to_owned(), last(1));
    let newest = night(&machine, "alice");
    assert_eq!(ids(&machine), [&bobs[1..], &[newest]].concat());
}

#[test]
fn a_partial_backup_drops_nothing_and_pinned_ones_stay() {
    let mut machine = direct();
    machine.server.settings.keep = Some(last(1));
    let first = night(&machine, "alice");
    let repository = machine.repository();
    let before = repository.snapshot(&first).unwrap();
    let pinned = pin(&repository, (&first, &before), true).unwrap();
    let again = repository.snapshot(&pinned).unwrap();
    assert!(pinned != first && again.pinned);
    assert_eq!(pin(&repository, (&pinned, &again), true).unwrap(), pinned, "it is already");
    assert_eq!(again.tree, before.tree);
    let second = night(&machine, "alice");
    assert_eq!(ids(&machine), [pinned, second]);
    // A night in which something cannot be read.
    machine.add_database("alice", "alice_shop", "mysql", 2);
    machine.fault("dump-breaks-alice_shop");
    machine.server.world.sleep(Duration::from_secs(DAY));
    let outcome = machine.backup("alice");
    machine.heal();
    assert_eq!(outcome.state.word(), "partial", "{outcome:?}");
    assert_eq!(ids(&machine).len(), 3);
    let unpinned = pin(&machine.repository(), (&pinned, &again), false).unwrap();
    assert!(unpinned != pinned);
    assert_eq!(going(&machine), [unpinned]);
}

#[test]
fn the_health_of_a_user_is_told_from_what_is_there() {
    let machine = direct();
    let look = |name: &str| {
        let all = machine.snapshots();
        let row = inventory::user(&machine.hestia, &user(name)).unwrap();
        let now = machine.server.world.now();
        let health = of_user(&machine.server.settings, &row, Ok(&all), Known::default(), now);
        (health.light, health.backups)
    };
    night(&machine, "alice");
    // Bob is new: there is time for a first one.
    assert_eq!((look("alice"), look("bob")), ((Light::Green, 1), (Light::Yellow, 0)));
    let rows = machine.hestia.user_file(&user("bob"), "user.conf");
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, text.replace("DATE='2026-11-22'", "DATE='2020-01-01'")).unwrap();
    assert_eq!(look("bob"), (Light::Red, 0));
    machine.server.world.sleep(Duration::from_secs(30 * 3600));
    assert_eq!(look("alice"), (Light::Yellow, 1));
    machine.server.world.sleep(Duration::from_secs(30 * 3600));
    assert_eq!(look("alice"), (Light::Red, 1));
    // A later user of the same name has no backup yet.
    night(&machine, "alice");
    fs::remove_dir_all(machine.hestia.user_file(&user("alice"), "")).unwrap();
    machine.add_user_made_at("alice", "23:59:59");
    assert_eq!(look("alice"), (Light::Yellow, 0));
}

#[test]
fn a_user_whose_files_were_encrypted_loses_no_backup_and_is_red() {
    let mut machine = direct();
    machine.server.settings.keep = Some(last(1));
    let home = machine.hestia.user_home(&user("alice"));
    let file = |n: u32| home.join(format!("My Files/{n}.txt"));
    let note = |n: u32| format!("note {n}\n").repeat(300);
    (0..60).for_each(|n| fs::write(file(n), note(n)).unwrap());
    night(&machine, "alice");
    let good = night(&machine, "alice");
    assert_eq!(ids(&machine), [good]);
    (0..60).for_each(|n| fs::write(file(n), noise(&format!("locked {n}"), 2500)).unwrap());
    machine.server.world.sleep(Duration::from_secs(DAY));
    let outcome = machine.backup("alice");
    assert_eq!(outcome.state.word(), "partial", "{outcome:?}");
    assert!(outcome.reasons()[0].contains("looks encrypted"), "{outcome:?}");
    night(&machine, "alice");
    let all = machine.snapshots();
    assert_eq!(all.len(), 3, "no rule drops any");
    assert!(all[0].1.pinned && all[1].1.has_alarm());
    let row = inventory::user(&machine.hestia, &user("alice")).unwrap();
    let look = || {
        let now = machine.server.world.now();
        of_user(&machine.server.settings, &row, Ok(&machine.snapshots()), Known::default(), now)
    };
    let health = look();
    assert_eq!(health.light, Light::Red);
    assert!(health.reason.contains("alarm-off"), "{}", health.reason);
    alarm_off(&machine.repository(), (&all[1].0, &all[1].1)).unwrap();
    assert_eq!(look().light, Light::Green);
    let newest = night(&machine, "alice");
    let left = machine.snapshots();
    assert_eq!(left.len(), 2, "the pinned one and the newest");
    assert!(left[0].1.pinned && left[1].0 == newest);
}

#[test]
fn who_is_gone_keeps_the_backups_for_a_time_and_a_later_user_is_somebody_else() {
    let mut machine = direct();
    let first = night(&machine, "alice");
    let second = night(&machine, "alice");
    fs::remove_dir_all(machine.hestia.user_file(&user("alice"), "")).unwrap();
    assert!(going(&machine).is_empty(), "no time is set");
    machine.server.settings.deleted_user_days = Some(30);
    machine.server.settings.keep = Some(last(1));
    assert!(going(&machine).is_empty(), "the rule is for those who are there");
    // Somebody else gets the name; what the one before had is not counted.
    machine.add_user_made_at("alice", "23:59:59");
    let third = night(&machine, "alice");
    assert_eq!(ids(&machine), [first, second, third]);
    machine.server.world.sleep(Duration::from_secs(30 * DAY));
    assert_eq!(going(&machine), [first, second]);
}
