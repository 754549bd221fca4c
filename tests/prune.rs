// SPDX-License-Identifier: MIT
//! Prune frees what nothing needs and nothing else, while others work: at every moment of a backup,
//! at every moment of its own, on a full disk and after a crash.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::local::Local;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName, Properties};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{FileId, Kind, Result, World, limits};
use ghostsnap::ops::BackupReport;
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::prune::{Fate, PruneOptions, PruneReport, prune};
use ghostsnap::ops::repair::rebuild_index;
use ghostsnap::repo::{IndexedRepository, Repository};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

const HOUR: u64 = 3600;

/// A repository as a process sees it so many seconds after the tests begin, each with salts and
/// names of its own.
fn at(backend: &Arc<dyn Backend>, seconds: u64) -> Repository {
    static OPENED: AtomicU64 = AtomicU64::new(9000);
    let world = World::seeded(OPENED.fetch_add(1, Ordering::SeqCst));
    world.sleep(Duration::from_secs(seconds));
    Repository::open(Arc::clone(backend), &secret(), Arc::new(world)).unwrap()
}

fn to_write(backend: &Arc<dyn Backend>, seconds: u64) -> IndexedRepository {
    at(backend, seconds).indexed_to_write("backup", &Collect::default()).unwrap()
}

fn small_packs() -> PruneOptions {
    PruneOptions { max_unused: 0, pack_bytes: 64 * 1024, ..PruneOptions::default() }
}

fn try_prune(backend: &Arc<dyn Backend>, seconds: u64) -> Result<PruneReport> {
    prune(at(backend, seconds), &small_packs(), false, &Collect::default())
}

fn pruned(backend: &Arc<dyn Backend>, seconds: u64) -> PruneReport {
    try_prune(backend, seconds).unwrap()
}

fn pruned_now(backend: &Arc<dyn Backend>, seconds: u64) -> PruneReport {
    let options = PruneOptions { now: true, ..small_packs() };
    prune(at(backend, seconds), &options, false, &Collect::default()).unwrap()
}

fn pack_bytes(backend: &Arc<dyn Backend>) -> u64 {
    backend.list(FileKind::Pack).unwrap().iter().map(|(_, size)| size).sum()
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        let path = self.0.path().join("home");
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn write(&self, name: &str, length: usize) {
        fs::write(self.path().join(name), noise(&format!("{name} {length}"), length)).unwrap();
    }

    /// An SQL dump of which every `step`-th row is another one; stored row by row.
    fn dump(&self, name: &str, step: usize) {
        let mut text = String::from("INSERT INTO `t` VALUES\n");
        for row in 0..6000usize {
            let word = blake3::hash(&row.to_le_bytes()).to_hex();
            let mark = if row % step == 1 { step } else { 0 };
            text.push_str(&format!("({row},'{word}',{mark}),\n"));
        }
        fs::write(self.path().join(name), text + "-- Dump completed\n").unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }
}

/// One that has `old`, one that has not; both have `both`. The first is forgotten.
struct Scene {
    home: Home,
    disk: Arc<dyn Backend>,
    last: BackupReport,
}

fn scene() -> Scene {
    let home = Home::new();
    let disk = fresh_store();
    init(Arc::clone(&disk));
    home.write("both", 200_000);
    home.write("old", 600_000);
    home.dump("rows.sql", 500);
    let first = try_backup(&to_write(&disk, 0), &home.path()).unwrap();
    home.remove("old");
    home.write("new", 100_000);
    home.dump("rows.sql", 700);
    let last = try_backup(&to_write(&disk, 10), &home.path()).unwrap();
    at(&disk, 20).remove_snapshot(&first.id.unwrap()).unwrap();
    Scene { home, disk, last }
}

/// Every snapshot restores whole, and nothing is damaged. Returns the findings.
fn assert_whole(disk: &Arc<dyn Backend>, story: &str) -> Vec<String> {
    let repository = at(disk, 0).indexed(&Collect::default()).unwrap();
    for (id, snapshot) in repository.snapshots().unwrap() {
        let target = tempfile::tempdir().unwrap();
        let monitor = Collect::default();
        let base = ghostsnap::base::RelPath::root();
        let options = restore_options();
        let done = ghostsnap::ops::restore::to_folder(
            &repository,
            &snapshot,
            &base,
            &options,
            target.path(),
            &monitor,
        );
        assert!(done.is_ok(), "{story}: {id}: {:?}", done.err());
        assert!(monitor.warnings().is_empty(), "{story}: {id}: {:?}", monitor.warnings());
    }
    let report = check(at(disk, 0), ReadData::All, &Collect::default()).unwrap();
    let bad = report.findings.iter().find(|one| one.severity != Severity::Garbage);
    assert!(bad.is_none(), "{story}: {bad:?}");
    report.findings.into_iter().map(|one| one.detail).collect()
}

fn assert_last_restores(scene: &Scene) {
    let target = tempfile::tempdir().unwrap();
    let repository = open(Arc::clone(&scene.disk));
    restore(&repository, &scene.last.snapshot, &scene.home.path(), target.path());
    assert_eq!(manifest(target.path()), manifest(&scene.home.path()));
}

#[test]
fn what_nothing_needs_is_marked_first_and_goes_a_grace_period_later() {
    let scene = scene();
    let before = pack_bytes(&scene.disk);
    // A pack that is young may belong to a run that goes on.
    let report = pruned(&scene.disk, HOUR);
    assert_eq!(report.plan.sum(Fate::Mark).0, 0);
    assert_eq!(pack_bytes(&scene.disk), before);

    let report = pruned(&scene.disk, 24 * HOUR);
    assert!(report.plan.sum(Fate::Mark).1 > 400_000, "{:?}", report.plan.sum(Fate::Mark));
    assert_eq!(report.removed, (0, 0));
    assert!(pack_bytes(&scene.disk) >= before);
    assert!(assert_whole(&scene.disk, "marked").is_empty());

    let report = pruned(&scene.disk, 30 * HOUR);
    assert_eq!(report.removed, (0, 0), "the grace period is not over");
    assert!(report.plan.sum(Fate::Wait).0 > 0);

    let report = pruned(&scene.disk, 45 * HOUR);
    assert!(report.removed.1 > 400_000);
    // Nothing but what is needed is left, within the seals and lists of packs.
    let left = pack_bytes(&scene.disk);
    assert!(left < 620_000, "{left} bytes left");
    assert!(assert_whole(&scene.disk, "removed").is_empty());
    assert_last_restores(&scene);

    // The next one tidies the index up; then there is nothing left to do.
    pruned(&scene.disk, 46 * HOUR);
    let names = names_in(scene.disk.as_ref());
    let report = pruned(&scene.disk, 47 * HOUR);
    assert_eq!((report.removed, report.written), ((0, 0), 0));
    assert_eq!(names_in(scene.disk.as_ref()), names, "nothing to do is nothing done");
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let scene = scene();
    let names = names_in(scene.disk.as_ref());
    // Not even a lock that is taken back: whoever only looks may have no right to write.
    let counter = Arc::new(Faulty::new(Arc::clone(&scene.disk), Fault::None));
    let watched: Arc<dyn Backend> = counter.clone();
    let dry = prune(at(&watched, 24 * HOUR), &small_packs(), true, &Collect::default()).unwrap();
    assert_eq!((counter.mutations(), names_in(scene.disk.as_ref())), (0, names));
    let real = pruned(&scene.disk, 24 * HOUR);
    for fate in Fate::ALL {
        assert_eq!(dry.plan.sum(fate), real.plan.sum(fate), "{fate:?}");
    }
    assert!(dry.plan.sum(Fate::Mark).0 > 0);
}

#[test]
fn without_others_all_of_it_can_go_at_once() {
    let scene = scene();
    let report = pruned_now(&scene.disk, HOUR);
    assert!(report.held_back.is_none(), "{:?}", report.held_back);
    assert!(report.removed.1 > 400_000);
    assert!(assert_whole(&scene.disk, "at once").is_empty());
    assert_last_restores(&scene);
}

#[test]
fn nothing_goes_at_once_while_somebody_writes() {
    let scene = scene();
    let writer = to_write(&scene.disk, HOUR);
    let before = pack_bytes(&scene.disk);
    let report = pruned_now(&scene.disk, HOUR);
    let error = report.held_back.unwrap();
    assert_eq!(error.kind(), Kind::InUse);
    assert!(error.to_string().contains("a backup on test.example"), "{error}");
    assert!(pack_bytes(&scene.disk) >= before);
    drop(writer);
    assert!(scene.disk.list(FileKind::Lock).unwrap().is_empty());
    assert!(pruned_now(&scene.disk, 2 * HOUR).removed.1 > 400_000);
}

#[test]
fn a_killed_run_is_in_nobodys_way_for_long() {
    let scene = scene();
    std::mem::forget(to_write(&scene.disk, HOUR));
    assert!(pruned_now(&scene.disk, 3 * HOUR).held_back.is_some());
    // On another machine, only time tells.
    assert!(pruned_now(&scene.disk, 200 * HOUR).held_back.is_none());
    assert!(scene.disk.list(FileKind::Lock).unwrap().is_empty());
}

#[test]
fn a_pack_with_little_in_use_is_written_anew() {
    let home = Home::new();
    let disk = fresh_store();
    init(Arc::clone(&disk));
    // Small files share blobs and packs; every third stays.
    for n in 0..90 {
        home.write(&format!("f{n:02}"), 9000);
    }
    let first = try_backup(&to_write(&disk, 0), &home.path()).unwrap();
    for n in (0..90).filter(|n| n % 3 != 0) {
        home.remove(&format!("f{n:02}"));
    }
    let last = try_backup(&to_write(&disk, 10), &home.path()).unwrap();
    at(&disk, 20).remove_snapshot(&first.id.unwrap()).unwrap();
    let whole = pack_bytes(&disk);

    let lenient = PruneOptions { max_unused: 100_000, ..small_packs() };
    let report = prune(at(&disk, 24 * HOUR), &lenient, true, &Collect::default()).unwrap();
    assert_eq!(report.plan.sum(Fate::Repack).0, 0, "as much may stay unused");
    let bounded = PruneOptions { max_repack: Some(100), ..small_packs() };
    let report = prune(at(&disk, 24 * HOUR), &bounded, true, &Collect::default()).unwrap();
    assert_eq!(report.plan.sum(Fate::Repack).0, 0, "no more may be written");

    let report = pruned(&disk, 24 * HOUR);
    assert!(report.plan.sum(Fate::Repack).0 > 0);
    assert!(report.written > 250_000 && report.written < 320_000, "{}", report.written);
    assert!(assert_whole(&disk, "written anew").is_empty());
    pruned(&disk, 48 * HOUR);
    assert!(assert_whole(&disk, "old ones removed").is_empty());
    let left = pack_bytes(&disk);
    assert!(left < whole / 2, "{left} of {whole}");
    let scene = Scene { home, disk, last };
    assert_last_restores(&scene);
}

#[test]
fn many_small_segments_and_packs_become_few() {
    let home = Home::new();
    let disk = fresh_store();
    init(Arc::clone(&disk));
    for n in 0..40 {
        home.write(&format!("f{n}"), 5000);
        try_backup(&to_write(&disk, n), &home.path()).unwrap();
    }
    let count = |kind| disk.list(kind).unwrap().len();
    assert!(count(FileKind::Index) >= 40 && count(FileKind::Pack) >= 80);
    pruned(&disk, 24 * HOUR);
    // The new packs are named by a segment of their own, and one holds the notes.
    assert!(count(FileKind::Index) <= 4, "{} segments", count(FileKind::Index));
    pruned(&disk, 48 * HOUR);
    assert!(count(FileKind::Pack) < 12, "{} packs", count(FileKind::Pack));
    assert_eq!(at(&disk, 0).snapshots().unwrap().len(), 40);
    assert!(assert_whole(&disk, "merged").is_empty());
}

#[test]
fn a_backup_that_counts_on_what_was_marked_meanwhile_keeps_it() {
    let scene = scene();
    let running = to_write(&scene.disk, 23 * HOUR);
    pruned(&scene.disk, 24 * HOUR);
    // The old file is back; it is in the index that was loaded before the mark.
    scene.home.write("old", 600_000);
    let report = try_backup(&running, &scene.home.path()).unwrap();
    assert!(report.snapshot.totals.bytes_stored < 100_000, "it is there and not stored again");
    drop(running);
    let report = pruned(&scene.disk, 50 * HOUR);
    assert!(report.plan.sum(Fate::Rescue).1 > 400_000);
    assert!(report.removed.1 < 10_000, "only the tree of the one that was forgotten");
    assert!(assert_whole(&scene.disk, "rescued").is_empty());
}

#[test]
fn a_backup_that_begins_after_the_mark_does_not_count_on_it() {
    let scene = scene();
    pruned(&scene.disk, 24 * HOUR);
    scene.home.write("old", 600_000);
    let report = try_backup(&to_write(&scene.disk, 25 * HOUR), &scene.home.path()).unwrap();
    assert!(report.snapshot.totals.bytes_stored > 400_000, "it is stored again");
    assert!(pruned(&scene.disk, 50 * HOUR).removed.1 > 400_000);
    assert!(assert_whole(&scene.disk, "stored again").is_empty());
}

/// Runs a backup of the old file again, under its own clock.
fn late_backup(running: &IndexedRepository, home: &Path, seconds: u64) -> Result<BackupReport> {
    running.world().sleep(Duration::from_secs(seconds));
    try_backup(running, home)
}

#[test]
fn what_a_backup_has_stored_stays_for_as_long_as_it_runs() {
    let home = Home::new();
    let disk = fresh_store();
    init(Arc::clone(&disk));
    home.write("first", 50_000);
    try_backup(&to_write(&disk, 0), &home.path()).unwrap();
    // It stores packs and names them, and goes on for days: here, as a run that is stopped late.
    home.write("large", 900_000);
    home.write("larger", 950_000);
    let running = to_write(&disk, HOUR);
    let stopping: Arc<dyn Backend> = Arc::new(Faulty::new(Arc::clone(&disk), Fault::DieAfter(2)));
    let unnamed = at(&disk, HOUR).indexed(&Collect::default()).unwrap().over(stopping);
    assert!(try_backup(&unnamed, &home.path()).is_err());
    for hours in [24, 48, 72, 96] {
        let report = pruned(&disk, hours * HOUR);
        assert_eq!(report.removed, (0, 0), "after {hours} hours");
    }
    drop((running, unnamed));
    assert!(pruned(&disk, 120 * HOUR).removed.1 > 800_000);
    assert!(assert_whole(&disk, "in the end").is_empty());
}

#[test]
fn a_very_long_backup_claims_what_it_counts_on_or_fails() {
    let scene = scene();
    scene.home.write("old", 600_000);
    let running = to_write(&scene.disk, 23 * HOUR);
    pruned(&scene.disk, 24 * HOUR);
    // It ends 19 hours later, and a prune an hour after that finds claim and snapshot.
    late_backup(&running, &scene.home.path(), 20 * HOUR).unwrap();
    drop(running);
    assert!(pruned(&scene.disk, 45 * HOUR).removed.1 < 10_000);
    assert!(assert_whole(&scene.disk, "claimed").is_empty());

    let scene = self::scene();
    scene.home.write("old", 600_000);
    let running = to_write(&scene.disk, 23 * HOUR);
    pruned(&scene.disk, 24 * HOUR);
    assert!(pruned(&scene.disk, 45 * HOUR).removed.1 > 400_000);
    let error = late_backup(&running, &scene.home.path(), 23 * HOUR).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    drop(running);
    assert!(assert_whole(&scene.disk, "refused").is_empty());
    // The next one does it.
    try_backup(&to_write(&scene.disk, 47 * HOUR), &scene.home.path()).unwrap();
    assert!(assert_whole(&scene.disk, "again").is_empty());
}

/// What happens just before which request.
type Turn = (u64, Box<dyn FnOnce() + Send>);

/// Runs something just before the n-th request to the store.
struct Between {
    inner: Arc<dyn Backend>,
    requests: AtomicU64,
    turns: Mutex<Vec<Turn>>,
}

impl Between {
    fn new(inner: &Arc<dyn Backend>, turns: Vec<Turn>) -> Arc<Self> {
        let inner = Arc::clone(inner);
        Arc::new(Self { inner, requests: AtomicU64::new(0), turns: Mutex::new(turns) })
    }

    fn turn(&self) {
        let now = self.requests.fetch_add(1, Ordering::SeqCst);
        let mut due = Vec::new();
        {
            let mut turns = self.turns.lock().unwrap();
            while turns.first().is_some_and(|(when, _)| *when <= now) {
                due.push(turns.remove(0).1);
            }
        }
        for act in due {
            act();
        }
    }
}

impl Backend for Between {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        self.turn();
        self.inner.list(kind)
    }
    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        ghostsnap::backend::list_each(self, kinds)
    }
    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        self.turn();
        self.inner.read(name, range)
    }
    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        ghostsnap::backend::whole_by_size(self, name, most)
    }
    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.turn();
        self.inner.size(name)
    }
    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        ghostsnap::backend::size_each(self, names)
    }
    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        self.turn();
        self.inner.create(name, bytes)
    }
    fn remove(&self, name: &FileName) -> Result<()> {
        self.turn();
        self.inner.remove(name)
    }
    fn leftovers(&self, before: i64, task: ghostsnap::backend::Leftovers) -> Result<(u64, u64)> {
        self.inner.leftovers(before, task)
    }

    fn properties(&self) -> Properties {
        self.inner.properties()
    }
    fn location(&self) -> String {
        self.inner.location()
    }
}

/// A copy in memory of what a scene has, for one of very many tries.
fn copied(scene: &Scene) -> Arc<dyn Backend> {
    let disk: Arc<dyn Backend> = Arc::new(Mem::new());
    copy_files(scene.disk.as_ref(), disk.as_ref());
    disk
}

/// Without a lock a backup always looks before it commits, as one does that took very long.
fn unlocked_backup(backend: &Arc<dyn Backend>, home: &Path, seconds: u64) -> Result<BackupReport> {
    let repository = at(backend, seconds).indexed(&Collect::default())?;
    try_backup(&repository, home)
}

#[test]
fn a_prune_may_happen_at_any_two_moments_of_a_backup() {
    let scene = scene();
    scene.home.write("old", 600_000);
    let home = scene.home.path();
    let counting = Between::new(&copied(&scene), Vec::new());
    let counted: Arc<dyn Backend> = counting.clone();
    unlocked_backup(&counted, &home, 43 * HOUR).unwrap();
    let requests = counting.requests.load(Ordering::SeqCst);
    assert!(requests > 10, "{requests}");
    let (mut ended, mut refused) = (0, 0);
    for mark in 0..requests {
        for remove in mark..requests {
            let disk = copied(&scene);
            let (one, other) = (Arc::clone(&disk), Arc::clone(&disk));
            // Marked at one moment and, after a grace period, removed at another: the backup runs
            // for all of that time.
            let between = Between::new(
                &disk,
                vec![
                    (mark, Box::new(move || drop(try_prune(&one, 23 * HOUR).unwrap()))),
                    (remove, Box::new(move || drop(try_prune(&other, 44 * HOUR).unwrap()))),
                ],
            );
            let backend: Arc<dyn Backend> = between;
            match unlocked_backup(&backend, &home, 43 * HOUR) {
                Ok(_) => ended += 1,
                Err(error) => {
                    // Its own pack may go before it could ask for its size.
                    let is_clear = matches!(error.kind(), Kind::InUse | Kind::Disk);
                    assert!(is_clear, "{mark}, {remove}: {error}");
                    refused += 1;
                }
            }
            assert_whole(&disk, &format!("marked at {mark}, removed at {remove}"));
            drop(pruned(&disk, 90 * HOUR));
            assert_whole(&disk, &format!("marked at {mark}, removed at {remove}, and after"));
        }
    }
    assert!(ended > 0 && refused > 0, "{ended} ended, {refused} refused");
}

#[test]
fn a_backup_may_happen_at_any_moment_of_a_prune() {
    let scene = scene();
    scene.home.write("old", 600_000);
    let home = scene.home.path();
    for now in [false, true] {
        let prepared = copied(&scene);
        drop(pruned(&prepared, 23 * HOUR));
        let options = PruneOptions { now, ..small_packs() };
        let run = |backend: &Arc<dyn Backend>| {
            prune(at(backend, 44 * HOUR), &options, false, &Collect::default())
        };
        let fresh = || {
            let disk: Arc<dyn Backend> = Arc::new(Mem::new());
            copy_files(prepared.as_ref(), disk.as_ref());
            disk
        };
        let counting = Between::new(&fresh(), Vec::new());
        let counted: Arc<dyn Backend> = counting.clone();
        run(&counted).unwrap();
        for turn in 0..counting.requests.load(Ordering::SeqCst) {
            // A short one with a lock; one that began before the mark and took very long.
            for is_long in [false, true] {
                let disk = fresh();
                let begun = if is_long { at(&scene.disk, 22 * HOUR) } else { at(&disk, 44 * HOUR) };
                let (other, home) = (Arc::clone(&disk), home.clone());
                let act = move || {
                    if is_long {
                        // With the index as it was before the mark, on the store as it is now.
                        let stale = begun.indexed(&Collect::default()).unwrap();
                        let stale = stale.over(other);
                        drop(try_backup(&stale, &home));
                    } else {
                        try_backup(&to_write(&other, 44 * HOUR), &home).unwrap();
                    }
                };
                let backend: Arc<dyn Backend> = Between::new(&disk, vec![(turn, Box::new(act))]);
                run(&backend).unwrap();
                let story = format!("backup at {turn}, long {is_long}, at once {now}");
                assert_whole(&disk, &story);
                drop(pruned(&disk, 90 * HOUR));
                drop(pruned(&disk, 120 * HOUR));
                assert_whole(&disk, &format!("{story}, and after"));
            }
        }
    }
}

#[test]
fn two_prunes_at_any_moment_of_each_other_keep_one_copy_of_everything() {
    // Both backups store the same, as two servers do in the same night.
    let home = Home::new();
    let disk: Arc<dyn Backend> = Arc::new(Mem::new());
    init(Arc::clone(&disk));
    home.write("twin", 300_000);
    let (one, other) = (to_write(&disk, 0), to_write(&disk, 1));
    try_backup(&one, &home.path()).unwrap();
    try_backup(&other, &home.path()).unwrap();
    drop((one, other));
    let fresh = || {
        let copy: Arc<dyn Backend> = Arc::new(Mem::new());
        copy_files(disk.as_ref(), copy.as_ref());
        copy
    };
    for now in [false, true] {
        let options = PruneOptions { now, ..small_packs() };
        let run = move |backend: &Arc<dyn Backend>, seconds| {
            // The other one's lock is of another machine: nobody knows whether it lives. If it
            // takes over what was noted just now, this one ends.
            let done = prune(at(backend, seconds), &options, false, &Collect::default());
            assert!(
                done.as_ref().err().is_none_or(|error| error.kind() == Kind::InUse),
                "{done:?}"
            );
        };
        let counting = Between::new(&fresh(), Vec::new());
        let counted: Arc<dyn Backend> = counting.clone();
        run(&counted, 24 * HOUR);
        for turn in 0..counting.requests.load(Ordering::SeqCst) {
            let disk = fresh();
            let inner = Arc::clone(&disk);
            let act = move || run(&inner, 24 * HOUR + 1);
            let backend: Arc<dyn Backend> = Between::new(&disk, vec![(turn, Box::new(act))]);
            run(&backend, 24 * HOUR);
            assert_whole(&disk, &format!("second prune at {turn}, at once {now}"));
            for hours in [48, 72, 96] {
                run(&disk, hours * HOUR);
                assert_whole(&disk, &format!("second prune at {turn}, at once {now}, {hours} h"));
            }
            let left = pack_bytes(&disk);
            assert!(left < 330_000, "second prune at {turn}, at once {now}: {left} bytes left");
        }
    }
}

#[test]
fn a_prune_may_die_anywhere_and_the_next_one_ends_it() {
    let scene = scene();
    for n in 0..30 {
        scene.home.write(&format!("small {n}"), 5000);
    }
    let middle = try_backup(&to_write(&scene.disk, 30), &scene.home.path()).unwrap();
    for n in (0..30).filter(|n| n % 4 != 0) {
        scene.home.remove(&format!("small {n}"));
    }
    try_backup(&to_write(&scene.disk, 40), &scene.home.path()).unwrap();
    at(&scene.disk, 50).remove_snapshot(&middle.id.unwrap()).unwrap();
    let marked = copied(&scene);
    drop(pruned(&marked, 24 * HOUR));
    // Once where it marks and writes anew, once where it removes, once where it does all at once.
    for (start, hours, now) in
        [(&scene.disk, 24, false), (&marked, 48, false), (&scene.disk, 24, true)]
    {
        let options = PruneOptions { now, ..small_packs() };
        let run = |backend: Arc<dyn Backend>, hours: u64| {
            prune(at(&backend, hours * HOUR), &options, false, &Collect::default())
        };
        let fresh = || {
            let disk: Arc<dyn Backend> = Arc::new(Mem::new());
            copy_files(start.as_ref(), disk.as_ref());
            disk
        };
        let counter = Arc::new(Faulty::new(fresh(), Fault::None));
        run(counter.clone(), hours).unwrap();
        assert!(counter.mutations() > 3);
        for k in 0..counter.mutations() {
            for fault in [Fault::DieBefore(k), Fault::DieAfter(k), Fault::FullFrom(k)] {
                let disk = fresh();
                let story = format!("from {hours}, at once {now}, {fault:?}");
                drop(run(Arc::new(Faulty::new(Arc::clone(&disk), fault)), hours));
                assert_whole(&disk, &story);
                for later in [72, 96, 120, 144] {
                    drop(run(Arc::clone(&disk), later).unwrap());
                    assert_whole(&disk, &format!("{story}, {later} h"));
                }
                let left = pack_bytes(&disk);
                assert!(left < 700_000, "{story}: {left} bytes left");
                let findings = assert_whole(&disk, &story);
                assert!(findings.is_empty(), "{story}: {findings:?}");
            }
        }
    }
}

#[test]
fn a_full_disk_is_no_obstacle_to_what_only_frees_space() {
    let scene = scene();
    let disk = Mem::new();
    copy_files(scene.disk.as_ref(), &disk);
    let wide: Arc<dyn Backend> = Arc::new(disk.clone());
    drop(pruned(&wide, 24 * HOUR));
    // Not a byte is left: no lock, no note can be written.
    let full: Arc<dyn Backend> = Arc::new(disk.with_quota(disk.bytes()));
    let report = pruned(&full, 48 * HOUR);
    assert!(report.removed.1 > 400_000);
    assert!(assert_whole(&full, "full").is_empty());
    // What would have to be marked first, to go at once, wants room for a lock.
    let disk = Mem::new();
    copy_files(scene.disk.as_ref(), &disk);
    let full: Arc<dyn Backend> = Arc::new(disk.with_quota(disk.bytes()));
    let now = PruneOptions { now: true, ..small_packs() };
    let told = prune(at(&full, 24 * HOUR), &now, false, &Collect::default());
    assert_eq!(told.unwrap_err().kind(), Kind::Disk);
    assert!(assert_whole(&full, "full and at once").is_empty());
    // With somebody at work who might count on it, it stays.
    let disk = Mem::new();
    copy_files(scene.disk.as_ref(), &disk);
    let wide: Arc<dyn Backend> = Arc::new(disk.clone());
    drop(pruned(&wide, 24 * HOUR));
    let running = to_write(&wide, 47 * HOUR);
    let full: Arc<dyn Backend> = Arc::new(disk.with_quota(disk.bytes()));
    assert_eq!(try_prune(&full, 48 * HOUR).unwrap_err().kind(), Kind::Disk);
    drop(running);
    assert!(assert_whole(&wide, "full and busy").is_empty());
}

#[test]
fn what_a_killed_backup_left_is_used_by_the_next_and_goes_if_not() {
    let home = Home::new();
    let disk = fresh_store();
    init(Arc::clone(&disk));
    home.write("first", 50_000);
    try_backup(&to_write(&disk, 0), &home.path()).unwrap();
    for n in 0..4 {
        home.write(&format!("large {n}"), 600_000);
    }
    let killed: Arc<dyn Backend> = Arc::new(Faulty::new(Arc::clone(&disk), Fault::DieAfter(2)));
    assert!(try_backup(&to_write(&killed, HOUR), &home.path()).is_err());
    let strays = |seconds| {
        let report = pruned(&disk, seconds);
        let counts = Fate::ALL.map(|fate| report.plan.stray_sum(fate).0);
        (counts.iter().sum::<u64>(), report.removed.0)
    };
    let (found, removed) = strays(2 * HOUR);
    assert!(found > 0 && removed == 0);
    let (again, removed) = strays(12 * HOUR);
    assert!(again == found && removed == 0);
    // Of a process on another machine nobody knows that it was killed, so what it stored may be
    // named yet; its lock counts for a week.
    let (again, removed) = strays(24 * HOUR);
    assert!(again == found && removed == 0);
    let (_, removed) = strays(200 * HOUR);
    assert_eq!(removed, found);
    assert!(assert_whole(&disk, "killed").is_empty());
}

#[test]
fn what_is_needed_and_lost_stops_everything() {
    let scene = scene();
    let (name, _) = scene.disk.list(FileKind::Pack).unwrap()[0];
    let (first, _) = scene.disk.list(FileKind::Snapshot).unwrap()[0];
    for victim in [name, first] {
        let disk = copied(&scene);
        if victim == first {
            let mem = Mem::new();
            copy_files(disk.as_ref(), &mem);
            mem.tamper(&victim, |bytes| bytes[60] ^= 1);
            let disk: Arc<dyn Backend> = Arc::new(mem);
            let names = names_in(disk.as_ref());
            assert_eq!(try_prune(&disk, 24 * HOUR).unwrap_err().kind(), Kind::Damaged);
            assert_eq!(names_in(disk.as_ref()), names);
            continue;
        }
        // Each pack in turn: those that are needed stop it, the others are not missed.
        let mut stopped = 0;
        for (pack, _) in scene.disk.list(FileKind::Pack).unwrap() {
            let disk = copied(&scene);
            disk.remove(&pack).unwrap();
            let names = names_in(disk.as_ref());
            match try_prune(&disk, 24 * HOUR) {
                Ok(_) => assert_whole(&disk, "an unneeded pack is gone"),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Damaged, "{error}");
                    assert_eq!(names_in(disk.as_ref()), names);
                    stopped += 1;
                    Vec::new()
                }
            };
        }
        assert!(stopped > 0);
    }
}

#[test]
fn a_damaged_pack_is_named_and_left_alone() {
    let home = Home::new();
    let mem = Mem::new();
    let disk: Arc<dyn Backend> = Arc::new(mem.clone());
    init(Arc::clone(&disk));
    for n in 0..60 {
        home.write(&format!("f{n:02}"), 9000);
    }
    let first = try_backup(&to_write(&disk, 0), &home.path()).unwrap();
    for n in (0..60).filter(|n| n % 3 != 0) {
        home.remove(&format!("f{n:02}"));
    }
    try_backup(&to_write(&disk, 10), &home.path()).unwrap();
    at(&disk, 20).remove_snapshot(&first.id.unwrap()).unwrap();
    let largest = disk.list(FileKind::Pack).unwrap().into_iter().max_by_key(|one| one.1).unwrap();
    mem.tamper(&largest.0, |bytes| bytes[5000] ^= 1);
    let monitor = Collect::default();
    prune(at(&disk, 24 * HOUR), &small_packs(), false, &monitor).unwrap();
    let warnings = monitor.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    drop(pruned(&disk, 48 * HOUR));
    assert!(disk.size(&largest.0).unwrap().is_some());
}

#[test]
fn a_store_that_lets_nothing_be_removed_is_left_alone() {
    struct AppendOnly(Arc<dyn Backend>);
    impl Backend for AppendOnly {
        fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
            self.0.list(kind)
        }
        fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
            ghostsnap::backend::list_each(self, kinds)
        }
        fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
            self.0.read(name, range)
        }
        fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
            ghostsnap::backend::whole_by_size(self, name, most)
        }
        fn size(&self, name: &FileName) -> Result<Option<u64>> {
            self.0.size(name)
        }
        fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
            self.0.sizes(names)
        }
        fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
            self.0.create(name, bytes)
        }
        fn remove(&self, name: &FileName) -> Result<()> {
            panic!("nobody may remove {name}")
        }
        fn leftovers(
            &self,
            before: i64,
            task: ghostsnap::backend::Leftovers,
        ) -> Result<(u64, u64)> {
            self.0.leftovers(before, task)
        }
        fn properties(&self) -> Properties {
            Properties { append_only: true, ..self.0.properties() }
        }
        fn location(&self) -> String {
            self.0.location()
        }
    }
    let scene = scene();
    let disk: Arc<dyn Backend> = Arc::new(AppendOnly(Arc::clone(&scene.disk)));
    assert_eq!(try_prune(&disk, 24 * HOUR).unwrap_err().kind(), Kind::Forbidden);
    // A backup leaves no lock there that nobody could take back.
    try_backup(&to_write(&disk, HOUR), &scene.home.path()).unwrap();
    assert!(scene.disk.list(FileKind::Lock).unwrap().is_empty());
}

#[test]
fn one_prune_at_a_time_on_a_machine() {
    let scene = scene();
    let world = Arc::new(World::system());
    let mine = || Repository::open(Arc::clone(&scene.disk), &secret(), Arc::clone(&world)).unwrap();
    let held = mine().lock("prune").unwrap();
    let error = prune(mine(), &small_packs(), false, &Collect::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
    let error = rebuild_index(&mine(), &Collect::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "it would take back what the prune has noted");
    drop(held);
    let held = mine().lock("repair").unwrap();
    let error = prune(mine(), &small_packs(), false, &Collect::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
    drop(held);
    prune(mine(), &small_packs(), false, &Collect::default()).unwrap();
    // What a process left that has ended is taken away.
    let world_of_another = World::seeded(77);
    assert_eq!(world_of_another.runs(&world.process()), None);
    let _: FileId = scene.last.id.unwrap();
}

#[test]
fn what_killed_runs_left_unfinished_goes_a_grace_period_later() {
    let (home, folder) = (Home::new(), tempfile::tempdir().unwrap());
    home.write("a", 9000);
    let backend: Arc<dyn Backend> = Arc::new(Local::new(folder.path()));
    init(Arc::clone(&backend));
    backup_now(&backend, &home.path());
    let now = at(&backend, 0).world().now().seconds;
    let left = |name: &str, time: i64| {
        let path = folder.path().join("tmp").join(name);
        fs::write(&path, "part").unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(time.try_into().unwrap());
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    };
    let grace = small_packs().grace_seconds.max(limits::LEFTOVER_SECONDS);
    let (old, young) = (left("4711-0", now - grace - 9), left("4711-1", now - grace + 9000));
    let dry = prune(at(&backend, 0), &small_packs(), true, &Collect::default()).unwrap();
    assert_eq!((dry.leftovers, dry.removed, old.exists()), ((1, 4), (0, 0), true));
    let report = pruned_now(&backend, 0);
    assert_eq!((report.leftovers, report.removed), ((1, 4), (1, 4)));
    assert!(!old.exists() && young.exists());
}
