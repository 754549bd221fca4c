// SPDX-License-Identifier: MIT
//! Users that are backed up at the same time, by one process into one repository: they count on
//! each other's packs, they fail alone, and whenever the process dies, what is listed is whole.
#![allow(clippy::panic, clippy::as_conversions)]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod hestia;

use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::local::Local;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Kind, Monitor, Result, World};
use ghostsnap::format::PackClass;
use ghostsnap::format::keyslot::Secret;
use ghostsnap::hestia::BackupMode;
use ghostsnap::hestia::call::{Call, Caller, Outcome};
use ghostsnap::hestia::jobs::{self, BackupRequest};
use ghostsnap::hestia::settings::UserSettings;
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::repo::{IndexedRepository, Repository, Writer, WriterOptions};
use hestia::*;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn secret() -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[42; 32])).unwrap()
}

fn open(backend: Arc<dyn Backend>) -> Repository {
    Repository::open(backend, &secret(), Arc::new(World::system())).unwrap()
}

fn indexed(backend: Arc<dyn Backend>) -> IndexedRepository {
    open(backend).indexed(&Collect::default()).unwrap()
}

fn at_once(jobs: usize) -> BackupRequest {
    BackupRequest { jobs, mode: Some(BackupMode::Direct), ..BackupRequest::default() }
}

/// Nothing is damaged, and all that any snapshot needs is there.
fn assert_whole(backend: &Arc<dyn Backend>) {
    let report = check(open(Arc::clone(backend)), ReadData::All, &Collect::default()).unwrap();
    let bad: Vec<_> =
        report.findings.iter().filter(|one| one.severity != Severity::Garbage).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let patience = World::system();
    for _ in 0..1200 {
        if holds() {
            return;
        }
        patience.sleep(Duration::from_millis(25));
    }
    panic!("{what} does not come");
}

/// Files below a folder.
fn count(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let entries = entries.map(|one| one.unwrap());
    entries.map(|one| if one.path().is_dir() { count(&one.path()) } else { 1 }).sum()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn what_one_writer_has_stored_is_named_before_another_one_counts_on_it() {
    let backend: Arc<dyn Backend> = Arc::new(Mem::new());
    Repository::init(Arc::clone(&backend), &secret(), "test", Arc::new(World::system())).unwrap();
    let repository = indexed(Arc::clone(&backend));
    let options = WriterOptions { pack_bytes: Some(100_000), ..WriterOptions::default() };
    let (first, second) = (Writer::new(&repository, options), Writer::new(&repository, options));
    let chunk = noise("a large chunk", 700_000);
    let id = repository.keys().data_id(&chunk);
    let mut bundle = first.bundle(PackClass::Data).unwrap();
    assert!(bundle.add(&first, id, &chunk).unwrap());
    wait_until("the pack", || second.has(&id));
    let mut bundle = second.bundle(PackClass::Data).unwrap();
    assert!(!bundle.add(&second, id, &chunk).unwrap(), "it is stored a second time");
    bundle.flush(&second).unwrap();
    assert_eq!(backend.list(FileKind::Index).unwrap().len(), 0);
    second.finish().unwrap();
    // The first one never ends well.
    drop(first);
    assert!(indexed(backend).index().contains(&id).unwrap());
}

#[test]
fn users_at_the_same_time_come_back_whole_and_are_told_in_order() {
    let machine = machine();
    let names = ["alice", "bob", "carol", "dave", "erin"];
    for name in &names[2..] {
        machine.add_user(name);
        machine.add_web(name, &format!("{name}.example"));
        machine.add_database(name, &format!("{name}_db"), "mysql", 2);
    }
    for name in names {
        let file = machine.hestia.user_home(&user(name)).join("My Files/same");
        fs::write(file, noise("the same for all", 2_000_000)).unwrap();
    }
    machine.fault("dump-breaks-carol_db");
    let before = names.map(|name| machine.state_of(name));
    let report = machine.try_backup(&at_once(3)).unwrap();
    let told: Vec<(&str, &str)> =
        report.users.iter().map(|one| (one.user.as_str(), one.state.word())).collect();
    let expected = names.map(|name| (name, if name == "carol" { "partial" } else { "succeeded" }));
    assert_eq!(told, expected);
    let warnings = report.users[2].warnings.join("\n");
    assert!(warnings.contains("carol_db") && report.users[3].warnings.is_empty(), "{warnings}");
    let backend: Arc<dyn Backend> =
        Arc::new(Local::new(Path::new(&machine.server.settings.repository)));
    assert_whole(&backend);
    for (name, before) in names.iter().zip(before).filter(|(name, _)| **name != "carol") {
        fs::remove_dir_all(machine.hestia.user_home(&user(name)).join("My Files")).unwrap();
        machine.restore(name, all()).unwrap();
        assert_eq!(machine.state_of(name), before, "{name}");
    }
    // The next night finds everything, whoever stored it.
    machine.heal();
    let report = machine.try_backup(&at_once(5)).unwrap();
    let new: u64 =
        report.users.iter().map(|one| one.snapshot.as_ref().unwrap().1.totals.bytes_new).sum();
    assert!(new < 200_000, "{new}");
}

#[test]
fn a_user_counts_on_the_packs_of_another_one_who_then_dies() {
    let machine = machine();
    machine.add_database("bob", "bob_notes", "mysql", 1);
    for name in ["alice_wp", "bob_notes"] {
        machine.fault(&format!("dump-holds-{name}"));
    }
    // Alice's files come before her databases, bob's after his.
    let web = machine.hestia.user_home(&user("alice")).join("web/shop.example/public_html");
    let own = machine.hestia.user_home(&user("bob")).join("My Files");
    for n in 0..24 {
        let noise = noise(&format!("common {n}"), 1 << 20);
        fs::write(web.join(format!("{n}.bin")), &noise).unwrap();
        fs::write(own.join(format!("{n}.bin")), &noise).unwrap();
    }
    let repository = machine.path("repository");
    let release = |name: &str| {
        fs::remove_file(machine.path("faults").join(format!("dump-holds-{name}"))).unwrap()
    };
    let report = std::thread::scope(|scope| {
        let run = scope.spawn(|| machine.try_backup(&at_once(2)));
        wait_until("a pack of alice's", || count(&repository.join("packs")) > 0);
        release("bob_notes");
        wait_until("the snapshot of bob", || count(&repository.join("snapshots")) > 0);
        // This is what a crash leaves: alice has stored packs, and named none of them herself.
        copy(&repository, &machine.path("crashed"));
        release("alice_wp");
        run.join().unwrap().unwrap()
    });
    let new = |at: usize| report.users[at].snapshot.as_ref().unwrap().1.totals.bytes_new;
    assert!(new(0) > 24 << 20);
    assert!(new(1) < 10 << 20, "bob stored {} bytes again", new(1));
    let crashed: Arc<dyn Backend> = Arc::new(Local::new(&machine.path("crashed")));
    assert_whole(&crashed);
    let snapshots = indexed(crashed).snapshots().unwrap();
    assert_eq!((snapshots.len(), snapshots[0].1.user.as_str()), (1, "bob"));
    assert_whole(&(Arc::new(Local::new(&repository)) as Arc<dyn Backend>));
}

#[test]
fn whenever_the_process_dies_every_snapshot_is_whole_and_the_next_night_goes_well() {
    let machine = machine();
    machine.add_user("carol");
    for name in ["alice", "bob", "carol"] {
        let file = machine.hestia.user_home(&user(name)).join("My Files/same");
        fs::write(file, noise("the same for all", 900_000)).unwrap();
    }
    let empty = Mem::new();
    let world = || Arc::new(World::system());
    Repository::init(Arc::new(empty.clone()), &secret(), "test", world()).unwrap();
    let run = |backend: Arc<dyn Backend>| {
        let repository = indexed(backend);
        let monitor = Collect::default();
        jobs::backup_users(&machine.server, &repository, &at_once(3), &monitor).unwrap()
    };
    let counting = Arc::new(Faulty::new(Arc::new(empty.copy()), Fault::None));
    assert_eq!(run(Arc::clone(&counting) as Arc<dyn Backend>).kind(), None);
    let mutations = counting.mutations();
    assert!(mutations > 8, "{mutations}");
    for n in 0..mutations {
        for fault in [Fault::DieBefore(n), Fault::DieAfter(n)] {
            let mem = empty.copy();
            let faulty = Arc::new(Faulty::new(Arc::new(mem.clone()), fault));
            let report = run(Arc::clone(&faulty) as Arc<dyn Backend>);
            // Who comes first decides how many segments there are to merge.
            assert!(report.kind().is_some() || faulty.mutations() <= n, "{fault:?}");
            let backend: Arc<dyn Backend> = Arc::new(mem);
            assert_whole(&backend);
            assert_eq!(run(Arc::clone(&backend)).kind(), None, "{fault:?}");
            assert_whole(&backend);
        }
    }
}

/// Panics where Hestia is asked for the tarball of one user.
struct Careless(Arc<dyn Caller>);

impl Caller for Careless {
    fn call(&self, call: &Call, monitor: &dyn Monitor) -> Result<Outcome> {
        assert!(!call.line().starts_with("v-backup-user bob"), "a mistake of ours");
        self.0.call(call, monitor)
    }
}

#[test]
fn a_panic_is_the_failure_of_its_user_alone() {
    for jobs in [1, 2] {
        let mut machine = machine();
        machine.add_user("carol");
        let by_tarball =
            UserSettings { mode: Some(BackupMode::Tarball), ..UserSettings::default() };
        machine.server.settings.mode = BackupMode::Direct;
        machine.server.settings.users.insert("bob".into(), by_tarball);
        machine.server.caller = Arc::new(Careless(Arc::clone(&machine.server.caller)));
        let request = BackupRequest { mode: None, ..at_once(jobs) };
        let report = machine.try_backup(&request).unwrap();
        let told: Vec<&str> = report.users.iter().map(|one| one.state.word()).collect();
        assert_eq!(told, ["succeeded", "failed", "succeeded"]);
        assert_eq!(report.kind(), Some(Kind::Partial));
        let reasons = report.users[1].reasons().join("\n");
        assert!(reasons.contains("the program made a mistake"), "{reasons}");
        // Not even bob's lock stays.
        machine.server.settings.users.clear();
        assert_eq!(machine.try_backup(&request).unwrap().kind(), None);
    }
}
