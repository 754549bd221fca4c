// SPDX-License-Identifier: MIT
//! Rotated keys: what is stored from then on opens only with the secrets that were renewed, what
//! was stored before stays readable and is sealed anew bit by bit, and a rotation that dies at any
//! step leaves a repository that opens.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName, read_all};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Error, Kind, Result, World};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::ops::check::{ReadData, check};
use ghostsnap::ops::prune::{PruneOptions, prune};
use ghostsnap::repo::Repository;
use ghostsnap::repo::keys::Rotated;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Worlds that never draw the same salt twice.
fn world() -> Arc<World> {
    static WORLDS: AtomicU64 = AtomicU64::new(1000);
    Arc::new(World::seeded(WORLDS.fetch_add(1, Ordering::SeqCst)))
}

fn key_file(byte: u8) -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[byte; 32])).unwrap()
}

fn opened(backend: &Arc<dyn Backend>, secret: &Secret) -> Result<Repository> {
    Repository::open(Arc::clone(backend), secret, world())
}

fn rotate(backend: &Arc<dyn Backend>, secrets: &[Secret], without_others: bool) -> Result<Rotated> {
    opened(backend, &secrets[0])?.rotate_keys(secrets, without_others, &Collect::default())
}

fn back_up(backend: &Arc<dyn Backend>, secret: &Secret, source: &Path) -> Result<()> {
    let repository = opened(backend, secret)?.indexed_to_write("backup", &Collect::default())?;
    try_backup(&repository, source).map(drop)
}

fn check_whole(backend: &Arc<dyn Backend>, secret: &Secret) {
    let found =
        check(opened(backend, secret).unwrap(), ReadData::All, &Collect::default()).unwrap();
    assert!(!found.is_damaged(), "{:?}", found.findings);
}

/// A lock of a process that is dead, as its machine recognises it.
fn bury(backend: &dyn Backend) {
    for (name, _) in backend.list(FileKind::Lock).unwrap() {
        backend.remove(&name).unwrap();
    }
}

fn epochs(backend: &dyn Backend, kind: FileKind) -> Vec<u8> {
    let names = backend.list(kind).unwrap();
    let mut found: Vec<u8> =
        names.iter().map(|(name, _)| read_all(backend, name).unwrap()[6]).collect();
    found.sort_unstable();
    found.dedup();
    found
}

struct Bench {
    folder: tempfile::TempDir,
    mem: Mem,
    backend: Arc<dyn Backend>,
}

/// A repository with one backup, opened by key 1.
fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    Repository::init(Arc::clone(&backend), &key_file(1), "server", world()).unwrap();
    let bench = Bench { folder, mem, backend };
    sample_tree(&bench.source());
    back_up(&bench.backend, &key_file(1), &bench.source()).unwrap();
    bench
}

impl Bench {
    fn source(&self) -> std::path::PathBuf {
        self.folder.path().join("source")
    }

    fn change(&self, number: u8) {
        fs::write(self.source().join("site/changed"), vec![number; 70_000]).unwrap();
    }
}

#[test]
fn what_is_stored_after_a_rotation_opens_with_the_new_key_only() {
    let bench = bench();
    let (_, before_size) = bench.backend.list(FileKind::Key).unwrap()[0];
    assert!(before_size > 0);
    // Somebody keeps the store as it was, with the slot that their secret opens.
    let stolen = bench.backend.list(FileKind::Key).unwrap();
    let stolen = (stolen[0].0, read_all(bench.backend.as_ref(), &stolen[0].0).unwrap());
    let rotated = rotate(&bench.backend, &[key_file(1)], false).unwrap();
    assert_eq!((rotated.epoch, rotated.renewed.len(), rotated.removed.len()), (1, 1, 1));
    assert_eq!(rotated.renewed[0].1.label, "server");
    bench.change(1);
    back_up(&bench.backend, &key_file(1), &bench.source()).unwrap();
    assert_eq!(epochs(bench.backend.as_ref(), FileKind::Pack), [0, 1]);
    assert_eq!(epochs(bench.backend.as_ref(), FileKind::Snapshot), [0, 1]);
    check_whole(&bench.backend, &key_file(1));
    // Both backups share what did not change.
    let repository = opened(&bench.backend, &key_file(1)).unwrap();
    assert_eq!(repository.snapshots().unwrap().len(), 2);
    // The old slot in a copy of the store still opens what was there, and nothing that came later.
    let copy = Mem::new();
    for kind in FileKind::ALL.into_iter().filter(|kind| *kind != FileKind::Key) {
        for (name, _) in bench.backend.list(kind).unwrap() {
            copy.create(&name, &read_all(bench.backend.as_ref(), &name).unwrap()).unwrap();
        }
    }
    copy.create(&stolen.0, &stolen.1).unwrap();
    let copy: Arc<dyn Backend> = Arc::new(copy);
    let thief = opened(&copy, &key_file(1)).unwrap();
    let error = thief.snapshots().unwrap_err();
    assert_eq!(error.kind(), Kind::Newer, "{error}");
    assert!(error.one_line().contains("rotated since"), "{error}");
    let heard = Collect::default();
    assert_eq!(thief.readable_snapshots(&heard).unwrap().len(), 1);
    assert_eq!(thief.indexed(&heard).map(drop).unwrap_err().kind(), Kind::Newer);
}

#[test]
fn nobody_is_left_with_keys_of_before_unless_that_is_asked_for() {
    let bench = bench();
    opened(&bench.backend, &key_file(1)).unwrap().add_key(&key_file(2), "kit").unwrap();
    let error = rotate(&bench.backend, &[key_file(1)], false).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden, "{error}");
    assert!(error.one_line().contains("(kit)"), "{error}");
    let error = rotate(&bench.backend, &[key_file(1), key_file(9)], true).unwrap_err();
    assert_eq!(error.kind(), Kind::Password, "{error}");
    assert_eq!(bench.backend.list(FileKind::Key).unwrap().len(), 2, "nothing was changed");
    // Given, both go on, with their labels.
    let both = [key_file(1), key_file(2)];
    let rotated = rotate(&bench.backend, &both, false).unwrap();
    let mut labels: Vec<&str> = rotated.renewed.iter().map(|(_, one)| &*one.label).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["kit", "server"]);
    // Let go, one does.
    let rotated = rotate(&bench.backend, &[key_file(2)], true).unwrap();
    assert_eq!((rotated.epoch, rotated.renewed.len(), rotated.removed.len()), (2, 1, 2));
    let error = opened(&bench.backend, &key_file(1)).map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Password);
    check_whole(&bench.backend, &key_file(2));
}

#[test]
fn somebody_at_work_holds_a_rotation_up() {
    let bench = bench();
    let held = opened(&bench.backend, &key_file(1)).unwrap().lock("backup").unwrap();
    let error = rotate(&bench.backend, &[key_file(1)], false).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    drop(held);
    rotate(&bench.backend, &[key_file(1)], false).unwrap();
}

#[test]
fn a_rotation_that_dies_anywhere_leaves_a_repository_that_opens_and_is_ended_by_the_next() {
    let both = [key_file(1), key_file(2)];
    let mut epochs = Vec::new();
    for step in 0.. {
        let bench = bench();
        opened(&bench.backend, &key_file(1)).unwrap().add_key(&key_file(2), "kit").unwrap();
        let dies: Arc<dyn Backend> =
            Arc::new(Faulty::new(Arc::clone(&bench.backend), Fault::DieBefore(step)));
        let is_over = rotate(&dies, &both, false).is_ok();
        bury(bench.backend.as_ref());
        for secret in &both {
            check_whole(&bench.backend, secret);
            bench.change(u8::try_from(step).unwrap());
            // Whatever keys they find, they may write.
            back_up(&bench.backend, secret, &bench.source()).or_else(newer_is_said).unwrap();
        }
        if is_over {
            assert!(step > 3, "it died {step} times");
            // Before the first slot was stored nothing had begun, behind the last nothing is left.
            assert!(epochs.contains(&1) && epochs.contains(&2), "{epochs:?}");
            return;
        }
        let rotated = rotate(&bench.backend, &both, false).unwrap();
        assert_eq!(rotated.renewed.len(), 2, "step {step}");
        assert!(rotated.renewed.iter().all(|(_, slot)| slot.epoch == rotated.epoch));
        epochs.push(rotated.epoch);
        for secret in &both {
            check_whole(&bench.backend, secret);
            back_up(&bench.backend, secret, &bench.source()).unwrap();
        }
    }
}

#[test]
fn who_is_let_go_does_not_keep_the_key_of_an_interrupted_rotation() {
    let both = [key_file(1), key_file(2)];
    let mut let_go = 0;
    for step in 1..20 {
        let bench = bench();
        opened(&bench.backend, &key_file(1)).unwrap().add_key(&key_file(2), "kit").unwrap();
        let dies: Arc<dyn Backend> =
            Arc::new(Faulty::new(Arc::clone(&bench.backend), Fault::DieBefore(step)));
        drop(rotate(&dies, &both, false));
        bury(bench.backend.as_ref());
        // Where the other one alone has the newest key, it cannot be left behind like this.
        let Ok(rotated) = rotate(&bench.backend, &[key_file(1)], true) else { continue };
        let_go += 1;
        assert_eq!(rotated.renewed.len(), 1, "step {step}");
        let error = opened(&bench.backend, &key_file(2)).map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::Password, "step {step}");
        check_whole(&bench.backend, &key_file(1));
    }
    assert!(let_go > 15, "only {let_go} times");
}

#[test]
fn no_slot_is_made_of_keys_that_are_not_the_newest() {
    let bench = bench();
    let before = opened(&bench.backend, &key_file(1)).unwrap();
    rotate(&bench.backend, &[key_file(1)], false).unwrap();
    let error = before.add_key(&key_file(2), "kit").unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    opened(&bench.backend, &key_file(1)).unwrap().add_key(&key_file(2), "kit").unwrap();
    check_whole(&bench.backend, &key_file(2));
}

/// Of two slots of one secret the old one may be found first; then it is said what to do.
fn newer_is_said(error: Error) -> Result<()> {
    assert_eq!(error.kind(), Kind::Newer, "{error}");
    assert!(error.hint_text().unwrap().contains("key list"), "{error}");
    Ok(())
}

#[test]
fn prunes_seal_what_was_stored_before_anew_bit_by_bit() {
    let bench = bench();
    for number in 0..6 {
        let bytes = World::seeded(number).random_32().unwrap().repeat(4000);
        fs::write(bench.source().join(format!("site/{number}")), bytes).unwrap();
        back_up(&bench.backend, &key_file(1), &bench.source()).unwrap();
    }
    let packs = || bench.backend.list(FileKind::Pack).unwrap().len();
    let largest = bench.backend.list(FileKind::Pack).unwrap();
    let largest = largest.iter().map(|(_, size)| *size).max().unwrap();
    assert!(packs() > 6);
    rotate(&bench.backend, &[key_file(1)], false).unwrap();
    let options = |max_reseal| PruneOptions {
        max_reseal,
        now: true,
        max_unused: 1000,
        ..PruneOptions::default()
    };
    let run = |max_reseal| {
        let repository = opened(&bench.backend, &key_file(1)).unwrap();
        prune(repository, &options(max_reseal), false, &Collect::default()).unwrap()
    };
    let report = run(0);
    assert_eq!((report.written, report.plan.of_old_keys.0), (0, u64::try_from(packs()).unwrap()));
    let mut left = u64::MAX;
    for _ in 0..100 {
        let report = run(largest);
        assert!(report.written <= 2 * largest, "{} bytes at once", report.written);
        assert!(report.plan.of_old_keys.1 < left, "each run gets on");
        left = report.plan.of_old_keys.1;
        check_whole(&bench.backend, &key_file(1));
        if left == 0 {
            break;
        }
    }
    assert_eq!(left, 0);
    assert_eq!(epochs(bench.backend.as_ref(), FileKind::Pack), [1]);
    assert_eq!(run(u64::MAX).written, 0, "nothing is written a second time");
    // And the next backup finds all of it.
    let before = packs();
    back_up(&bench.backend, &key_file(1), &bench.source()).unwrap();
    assert!(packs() <= before + 1);
    let names: Vec<FileName> = bench.mem.names();
    assert!(names.iter().any(|name| name.kind == FileKind::Snapshot));
}
