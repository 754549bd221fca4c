// SPDX-License-Identifier: MIT
//! Die at every possible moment of every operation that writes: old snapshots still restore, check
//! finds no damage, and the next backup works. And what holds for a killed process holds for a full
//! disk and a listing that was cut off.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;
#[path = "common/servers.rs"]
mod servers;
#[path = "common/stores.rs"]
mod stores;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Counter, Kind, Result, World};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::forget::{Policy, execute, plan};
use ghostsnap::ops::prune::{PruneOptions, prune};
use ghostsnap::repo::Repository;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Makes an empty store.
type Stores<'s> = &'s dyn Fn() -> Arc<dyn Backend>;
type Operation = fn(Arc<dyn Backend>, &Path) -> Result<()>;

fn open_other(backend: Arc<dyn Backend>) -> Result<Repository> {
    Repository::open(backend, &secret(), Arc::new(World::seeded(50)))
}

fn backup_second(backend: Arc<dyn Backend>, source: &Path) -> Result<()> {
    let repository = open_other(backend)?.indexed(&Collect::default())?;
    let mut walk = ghostsnap::tree::Walk::new(&[source.to_owned()], Default::default())?;
    let mut options = options();
    options.template.paths = walk.roots();
    options.writer.checkpoint_bytes = 100_000; // several index segments, merged at the end
    ghostsnap::ops::backup(&repository, &mut walk, &options, &Collect::default()).map(|_| ())
}

fn forget_oldest(backend: Arc<dyn Backend>, _: &Path) -> Result<()> {
    let repository = open_other(backend)?;
    let policy = Policy { last: 1, ..Policy::default() };
    let plan = plan(repository.snapshots()?, &policy, repository.world().now())?;
    execute(&repository, &plan).map(|_| ())
}

fn rebuild_index(backend: Arc<dyn Backend>, _: &Path) -> Result<()> {
    ghostsnap::ops::repair::rebuild_index(&open_other(backend)?, &Collect::default()).map(|_| ())
}

fn change_key(backend: Arc<dyn Backend>, _: &Path) -> Result<()> {
    let other = Secret::from_file_text(&Secret::key_file_text(&[43; 32])).unwrap();
    let repository = open_other(backend)?;
    repository.add_key(&other, "other")?;
    repository.change_key(&other, &other, Some("changed")).map(|_| ())
}

struct Fixture {
    _folder: tempfile::TempDir,
    source: std::path::PathBuf,
    before: Arc<dyn Backend>,
}

impl Fixture {
    /// A store of its own with what was there before.
    fn copy(&self, stores: Stores<'_>) -> Arc<dyn Backend> {
        let store = stores();
        copy_files(self.before.as_ref(), store.as_ref());
        store
    }
}

/// A repository with one snapshot, and a source that has changed since.
fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("a/b")).unwrap();
    for n in 0..30 {
        fs::write(source.join(format!("a/{n}")), noise(&format!("x{n}"), 4000)).unwrap();
    }
    fs::write(source.join("a/b/big"), noise("big", 700_000)).unwrap();
    let before: Arc<dyn Backend> = Arc::new(Mem::new());
    init(Arc::clone(&before));
    backup_now(&before, &source);
    fs::write(source.join("a/3"), noise("changed", 90_000)).unwrap();
    fs::write(source.join("a/b/new"), noise("new", 600_000)).unwrap();
    Fixture { _folder: folder, source, before }
}

/// What every snapshot restores to, by its id.
fn contents(backend: &Arc<dyn Backend>, source: &Path) -> Vec<(String, String)> {
    let repository = open(Arc::clone(backend));
    let mut found = Vec::new();
    for (id, snapshot) in repository.snapshots().unwrap() {
        let target = tempfile::tempdir().unwrap();
        let report = restore(&repository, &snapshot, source, target.path());
        assert_eq!(report.warnings, 0);
        found.push((id.to_string(), format!("{:?}", manifest(target.path()))));
    }
    found
}

fn assert_good(
    backend: &Arc<dyn Backend>,
    fixture: &Fixture,
    old: &[(String, String)],
    story: &str,
) {
    let now = contents(backend, &fixture.source);
    for (id, content) in &now {
        if let Some((_, before)) = old.iter().find(|(one, _)| one == id) {
            assert_eq!(content, before, "{story}: an old snapshot changed");
        }
    }
    assert!(!now.is_empty(), "{story}: no snapshot is left");
    let report =
        check(open_other(Arc::clone(backend)).unwrap(), ReadData::All, &Collect::default());
    let findings = report.unwrap().findings;
    assert!(findings.iter().all(|one| one.severity == Severity::Garbage), "{story}: {findings:?}");
    // And life goes on.
    let report = backup_now(backend, &fixture.source);
    let target = tempfile::tempdir().unwrap();
    restore(&open(Arc::clone(backend)), &report.snapshot, &fixture.source, target.path());
    assert_eq!(manifest(target.path()), manifest(&fixture.source), "{story}");
}

fn sweep(name: &str, operation: Operation) {
    sweep_in(&fresh_store, name, operation);
}

fn sweep_in(stores: Stores<'_>, name: &str, operation: Operation) {
    let fixture = fixture();
    let old = contents(&fixture.before, &fixture.source);
    let counter = Arc::new(Faulty::new(fixture.copy(stores), Fault::None));
    operation(counter.clone(), &fixture.source).unwrap();
    let mutations = counter.mutations();
    assert!(mutations > 0, "{name} changes nothing");
    for k in 0..mutations {
        for fault in [Fault::DieBefore(k), Fault::DieAfter(k), Fault::FullFrom(k)] {
            let disk = fixture.copy(stores);
            let faulty = Faulty::new(Arc::clone(&disk), fault);
            // It may fail; it may not corrupt.
            drop(operation(Arc::new(faulty), &fixture.source));
            assert_good(&disk, &fixture, &old, &format!("{name}, {fault:?}"));
        }
    }
}

/// A second snapshot first, so that there is something to forget; its mutations are swept along.
fn backup_and_forget(backend: Arc<dyn Backend>, source: &Path) -> Result<()> {
    backup_second(Arc::clone(&backend), source)?;
    forget_oldest(backend, source)
}

/// And then what only that one needed goes, too; `tests/prune.rs` sweeps it closer.
fn backup_forget_and_prune(backend: Arc<dyn Backend>, source: &Path) -> Result<()> {
    backup_and_forget(Arc::clone(&backend), source)?;
    let options = PruneOptions { now: true, max_unused: 0, ..PruneOptions::default() };
    prune(open_other(backend)?, &options, false, &Collect::default()).map(|_| ())
}

#[test]
fn a_backup_may_die_anywhere() {
    sweep("backup", backup_second);
}

#[test]
fn forgetting_may_die_anywhere() {
    sweep("forget", backup_and_forget);
}

#[test]
fn rebuilding_the_index_may_die_anywhere() {
    sweep("rebuild index", rebuild_index);
}

#[test]
fn changing_a_key_may_die_anywhere() {
    sweep("change key", change_key);
}

#[test]
fn a_backup_to_s3_may_die_anywhere() {
    let Some(server) = stores::s3() else { return };
    let open = |place: &str| {
        let address = stores::at(server.port, place);
        ghostsnap::backend::open(&address, &stores::access(stores::keys())).unwrap()
    };
    sweep_in(&|| open(&server.place()), "backup, forget and prune", backup_forget_and_prune);
}

#[test]
fn a_backup_to_azure_may_die_anywhere() {
    let Some(server) = stores::azure() else { return };
    let open =
        |place: &str| ghostsnap::backend::open(place, &stores::access(server.keys())).unwrap();
    sweep_in(&|| open(&server.place()), "backup, forget and prune", backup_forget_and_prune);
}

#[test]
fn a_killed_backup_is_not_started_from_scratch() {
    let fixture = fixture();
    let new = |report: &ghostsnap::ops::BackupReport| report.counts.get(Counter::BytesNew);
    let whole = new(&backup_now(&fixture.copy(&fresh_store), &fixture.source));
    // How many packs travel before an index names some depends on the store.
    let resumed = (3..12).filter_map(|k| {
        let backend = fixture.copy(&fresh_store);
        let faulty = Faulty::new(Arc::clone(&backend), Fault::DieBefore(k));
        let killed = backup_second(Arc::new(faulty), &fixture.source);
        killed.is_err().then(|| new(&backup_now(&backend, &fixture.source)))
    });
    let resumed: Vec<u64> = resumed.collect();
    assert!(resumed.iter().any(|new| *new < whole), "{resumed:?} of {whole}");
}

#[test]
fn a_listing_that_was_cut_off_is_never_an_empty_one() {
    let fixture = fixture();
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Key] {
        let disk = fixture.copy(&fresh_store);
        let cut = || Arc::new(Faulty::new(Arc::clone(&disk), Fault::CutList(kind)));
        let before = names_in(disk.as_ref());
        assert!(backup_second(cut(), &fixture.source).is_err(), "{kind:?}");
        assert_eq!(
            names_in(disk.as_ref()),
            before,
            "{kind:?}: nothing may be written on half a list"
        );
        let forgotten = forget_oldest(cut(), &fixture.source);
        if kind != FileKind::Index {
            assert_eq!(forgotten.unwrap_err().kind(), Kind::Connect);
        }
    }
}
