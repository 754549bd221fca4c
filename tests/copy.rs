// SPDX-License-Identifier: MIT
//! Copies between repositories with different keys: the same content in both, nothing sent twice,
//! and whatever dies on the way, both stay good.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind};
use ghostsnap::base::monitor::{Collect, Counts, Monitor, Stage, Stop};
use ghostsnap::base::{Counter, Error, FileId, Kind, Result, World};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::format::{NodeKind, Snapshot};
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::copy::{Added, Copied, CopyState, compare, copy};
use ghostsnap::repo::{IndexedRepository, Reader, Repository, WriterOptions};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

fn their_secret() -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[77; 32])).unwrap()
}

/// Each time with other salts, as in life.
fn open_there(backend: Arc<dyn Backend>) -> Result<IndexedRepository> {
    static OPENED: AtomicU64 = AtomicU64::new(1000);
    let world = Arc::new(World::seeded(OPENED.fetch_add(1, Ordering::SeqCst)));
    Repository::open(backend, &their_secret(), world)?.indexed(&Collect::default())
}

fn make_there(disk: &Mem, seed: u64) {
    let world = Arc::new(World::seeded(seed));
    Repository::init(Arc::new(disk.clone()), &their_secret(), "there", world).unwrap();
}

/// Counts, and stops when it is told to.
#[derive(Default)]
struct Ear {
    counts: Counts,
    stop_after: Option<u64>,
    foreseen: Mutex<Vec<Option<(Counter, u64)>>>,
}

impl Monitor for Ear {
    fn count(&self, counter: Counter, n: u64) {
        self.counts.add(counter, n);
    }
    fn warn(&self, warning: Error) {
        assert!(warning.one_line().is_empty(), "{warning}");
    }
    fn stage(&self, stage: Stage) {
        if let Stage::Step { total, .. } = stage {
            self.foreseen.lock().unwrap().push(total);
        }
    }
    fn cancelled(&self) -> bool {
        self.stop_after.is_some_and(|most| self.counts.get(Counter::BytesRead) > most)
    }
    fn stop(&self) -> Stop {
        Stop::NEVER
    }
}

struct Fixture {
    _folder: tempfile::TempDir,
    source: PathBuf,
    here: Mem,
    there: Mem,
}

/// Some rows as a dump has them.
fn dump(rows: usize, changed: usize) -> String {
    let mut text = String::from("INSERT INTO `t` VALUES\n");
    for row in 0..rows {
        let word = blake3::hash(&row.to_le_bytes()).to_hex();
        let mark = if row == changed { "changed" } else { "same" };
        text.push_str(&format!("({row},'{word}','{mark}'),\n"));
    }
    text + "-- Dump completed\n"
}

impl Fixture {
    /// A repository with two snapshots of a tree that holds one of everything, and another without
    /// any.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("a/deep/er")).unwrap();
        fs::create_dir_all(source.join("same/sub")).unwrap();
        for n in 0..40 {
            fs::write(source.join(format!("a/{n}")), noise(&format!("x{n}"), 3000)).unwrap();
            fs::write(source.join(format!("same/sub/{n}")), noise(&format!("y{n}"), 500)).unwrap();
        }
        fs::write(source.join("a/empty"), "").unwrap();
        fs::write(source.join("a/deep/er/large"), noise("large", 5_000_000)).unwrap();
        fs::write(source.join("twice"), noise("large", 5_000_000)).unwrap();
        fs::write(source.join("dump.sql"), dump(9000, 1)).unwrap();
        std::os::unix::fs::symlink("a/1", source.join("link")).unwrap();
        let holes = fs::File::create(source.join("holes")).unwrap();
        std::os::unix::fs::FileExt::write_at(&holes, &noise("hole", 9000), 3_000_000).unwrap();
        let (here, there) = (Mem::new(), Mem::new());
        make_there(&there, 70);
        let fixture = Self { _folder: folder, source, here, there };
        init(fixture.here());
        fixture.backup();
        fixture.change(1);
        fixture.backup();
        fixture
    }

    fn here(&self) -> Arc<dyn Backend> {
        Arc::new(self.here.clone())
    }

    fn there(&self) -> Arc<dyn Backend> {
        Arc::new(self.there.clone())
    }

    fn backup(&self) {
        backup_now(&self.here(), &self.source);
    }

    /// A file, some rows and the end of a large file change.
    fn change(&self, times: usize) {
        fs::write(self.source.join("a/3"), noise(&format!("changed{times}"), 3000)).unwrap();
        fs::write(self.source.join("dump.sql"), dump(9000, times * 700)).unwrap();
        let mut large = noise("large", 5_000_000);
        large.extend(noise(&format!("more{times}"), 2000));
        fs::write(self.source.join("a/deep/er/large"), large).unwrap();
    }

    fn copy_with(&self, monitor: &dyn Monitor) -> Result<Vec<Copied>> {
        copy_into(&self.here(), self.there(), monitor)
    }

    /// Copies everything; returns the results and what was counted.
    fn copy(&self) -> (Vec<Copied>, Counts) {
        let ear = Ear::default();
        let done = self.copy_with(&ear).unwrap();
        (done, ear.counts)
    }

    fn snapshots_there(&self) -> Vec<(FileId, Snapshot)> {
        open_there(self.there()).unwrap().snapshots().unwrap()
    }

    /// Every snapshot over there restores to what it does here, and all of it is whole.
    fn is_good(&self, disk: &Mem) {
        let there = open_there(Arc::new(disk.clone())).unwrap();
        let here = open(self.here());
        let ours = here.snapshots().unwrap();
        for (_, copy) in there.snapshots().unwrap() {
            let origin = copy.origin.unwrap();
            let (_, one) = ours.iter().find(|(id, _)| *id == origin.snapshot).unwrap();
            assert_eq!(content(&there, &copy, &self.source), content(&here, one, &self.source));
        }
        let there =
            Repository::open(Arc::new(disk.clone()), &their_secret(), Arc::new(World::seeded(61)));
        let report = check(there.unwrap(), ReadData::All, &Collect::default()).unwrap();
        let garbage = |one: &ghostsnap::ops::check::Finding| one.severity == Severity::Garbage;
        assert!(report.findings.iter().all(garbage), "{:?}", report.findings);
    }
}

fn copy_into(
    here: &Arc<dyn Backend>,
    there: Arc<dyn Backend>,
    monitor: &dyn Monitor,
) -> Result<Vec<Copied>> {
    let source = open(Arc::clone(here));
    let mut target = open_there(there)?;
    // Small packs and many segments, so that there is much to die at.
    let options = WriterOptions {
        pack_bytes: Some(1_000_000),
        checkpoint_bytes: 1_500_000,
        ..WriterOptions::default()
    };
    copy(&source, &mut target, source.snapshots()?, options, monitor)
}

fn content(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    source: &Path,
) -> std::collections::BTreeMap<Vec<u8>, String> {
    let target = tempfile::tempdir().unwrap();
    assert_eq!(restore(repository, snapshot, source, target.path()).warnings, 0);
    manifest(target.path())
}

fn made(done: &[Copied]) -> usize {
    done.iter().filter(|one| matches!(one.state, CopyState::Made(..))).count()
}

#[test]
fn a_copy_holds_the_same_and_is_not_made_twice() {
    let fixture = Fixture::new();
    let (done, counts) = fixture.copy();
    assert_eq!((made(&done), fixture.snapshots_there().len()), (2, 2));
    fixture.is_good(&fixture.there);
    // What both snapshots have in common, and what is in one of them twice, was read once.
    let read = counts.get(Counter::BytesRead);
    assert!(read < 8_500_000, "{read}");
    for ((_, ours), (_, copy)) in
        open(fixture.here()).snapshots().unwrap().iter().zip(fixture.snapshots_there())
    {
        assert_eq!((ours.time, &ours.host, &ours.paths), (copy.time, &copy.host, &copy.paths));
        assert_eq!(ours.totals.files, copy.totals.files);
        assert_ne!(ours.tree, copy.tree, "the keys are different");
    }
    let before = fixture.there.names();
    let (done, counts) = fixture.copy();
    assert!(done.iter().all(|one| matches!(one.state, CopyState::Present(_))));
    assert_eq!(counts.get(Counter::BytesRead) + counts.get(Counter::BytesStored), 0);
    assert_eq!(fixture.there.names(), before, "nothing at all was written");
}

#[test]
fn it_is_known_from_the_start_how_much_there_is_to_copy() {
    let fixture = Fixture::new();
    for missing in [2, 1] {
        let ear = Ear::default();
        assert_eq!(made(&fixture.copy_with(&ear).unwrap()), missing);
        let size = ear.counts.get(Counter::BytesSource);
        assert_eq!(*ear.foreseen.lock().unwrap(), [Some((Counter::BytesSource, size))]);
        fixture.change(2);
        fixture.backup();
    }
}

#[test]
fn a_dry_run_says_what_a_copy_would_add_and_writes_nothing() {
    let fixture = Fixture::new();
    for missing in [2, 1] {
        let before = fixture.there.names();
        let counter = Arc::new(Faulty::new(fixture.there(), Fault::None));
        let source = open(fixture.here());
        let mut target = open_there(counter.clone()).unwrap();
        target.leave_out_lost_packs(&Collect::default()).unwrap();
        let all = source.snapshots().unwrap();
        let would =
            compare(&source, &target, all, WriterOptions::default(), &Collect::default()).unwrap();
        drop(target);
        assert_eq!((counter.mutations(), fixture.there.names()), (0, before));
        let lacking = |one: &&Copied| matches!(one.state, CopyState::Lacking);
        assert_eq!(would.iter().filter(lacking).count(), missing);
        let (done, _) = fixture.copy();
        for (one, made) in would.iter().zip(&done) {
            assert_eq!(one.id, made.id);
            assert_eq!(lacking(&one), matches!(made.state, CopyState::Made(..)));
            let plain = |added: Added| (added.chunks, added.bytes);
            assert_eq!(plain(one.added), plain(made.added));
            let (most, least) = (one.added.bytes_stored, made.added.bytes_stored);
            assert!(most.abs_diff(least) <= least / 10 + 5000, "{most} {least}");
        }
        assert!(would.last().unwrap().added.chunks > 0);
        fixture.change(2);
        fixture.backup();
    }
}

#[test]
fn a_copy_after_a_new_backup_reads_and_sends_only_what_is_new() {
    let fixture = Fixture::new();
    fixture.copy();
    fixture.change(2);
    fixture.backup();
    let (done, counts) = fixture.copy();
    assert_eq!(made(&done), 1);
    fixture.is_good(&fixture.there);
    // The end of the large file, one small file, one chunk of rows.
    let (read, stored) = (counts.get(Counter::BytesRead), counts.get(Counter::BytesStored));
    assert!(read < 1_600_000 && stored < 1_600_000, "{read} {stored}");
    // A backup of the same again: nothing is read. The folders above may have another time by now.
    fixture.backup();
    let (_, counts) = fixture.copy();
    assert_eq!(counts.get(Counter::BytesRead), 0);
    let stored = counts.get(Counter::BytesStored);
    assert!(stored < 5000, "{stored}");
    fixture.is_good(&fixture.there);
}

#[test]
fn without_the_snapshot_that_lends_all_is_read_and_nothing_is_sent() {
    let fixture = Fixture::new();
    fixture.copy();
    let repository = open(fixture.here());
    for (id, _) in repository.snapshots().unwrap() {
        repository.remove_snapshot(&id).unwrap();
    }
    fixture.backup();
    let (done, counts) = fixture.copy();
    assert_eq!(made(&done), 1);
    assert!(counts.get(Counter::BytesRead) > 5_000_000);
    // A dump without a parent is put together in another way: that is new.
    let stored = counts.get(Counter::BytesStored);
    assert!(stored < 400_000, "{stored}");
}

#[test]
fn rows_stay_rows_and_the_next_backup_over_there_finds_them() {
    let fixture = Fixture::new();
    fixture.copy();
    let there = open_there(fixture.there()).unwrap();
    let reader = Reader::new(&there);
    let (_, copy) = there.snapshots().unwrap().pop().unwrap();
    let path = base_of(&fixture.source).join(b"dump.sql").unwrap();
    let node = ghostsnap::ops::restore::find_node(&reader, &copy, &path).unwrap();
    assert!(node.rows && node.meta.kind == NodeKind::File);
    let keys = there.keys();
    for map in reader.row_maps(&node).unwrap() {
        for one in &map.chunks {
            let plain = reader.chunk(ghostsnap::format::PackClass::Data, &one.id).unwrap();
            let table = reader.chunk(ghostsnap::format::PackClass::Meta, &one.table).unwrap();
            let table = ghostsnap::format::rows::RowTable::decode(&table).unwrap();
            let mut rest = plain.as_slice();
            for (name, size) in table.groups {
                let (group, after) = rest.split_at(usize::try_from(size).unwrap());
                assert_eq!(keys.row_name(group), name);
                rest = after;
            }
            assert!(rest.is_empty());
        }
    }
}

#[test]
fn a_copy_of_a_copy_is_known_everywhere() {
    let fixture = Fixture::new();
    fixture.copy();
    // Back to where it came from.
    let source = open_there(fixture.there()).unwrap();
    let mut target = open(fixture.here());
    let all = source.snapshots().unwrap();
    let options = WriterOptions::default();
    let done = copy(&source, &mut target, all.clone(), options, &Collect::default()).unwrap();
    assert_eq!(made(&done), 0);
    // On to a third one, which then has what the first would bring.
    let third = Mem::new();
    make_there(&third, 71);
    let mut target = open_there(Arc::new(third.clone())).unwrap();
    copy(&source, &mut target, all, options, &Collect::default()).unwrap();
    fixture.is_good(&third);
    let done = copy_into(&fixture.here(), Arc::new(third), &Collect::default()).unwrap();
    assert_eq!(made(&done), 0);
    let mut same = open(fixture.here());
    let all = same.snapshots().unwrap();
    let error = copy(&open(fixture.here()), &mut same, all, options, &Collect::default());
    assert_eq!(error.unwrap_err().kind(), Kind::Usage);
}

#[test]
fn a_copy_may_die_anywhere() {
    let fixture = Fixture::new();
    let counter = Arc::new(Faulty::new(Arc::new(fixture.there.copy()), Fault::None));
    copy_into(&fixture.here(), counter.clone(), &Collect::default()).unwrap();
    let mutations = counter.mutations();
    assert!(mutations > 10, "{mutations}");
    let whole = fixture.here.names();
    for k in 0..mutations {
        for fault in [Fault::DieBefore(k), Fault::DieAfter(k), Fault::FullFrom(k)] {
            let disk = fixture.there.copy();
            let faulty = Faulty::new(Arc::new(disk.clone()), fault);
            // It may fail; it may not corrupt.
            drop(copy_into(&fixture.here(), Arc::new(faulty), &Collect::default()));
            fixture.is_good(&disk);
            let done = copy_into(&fixture.here(), Arc::new(disk.clone()), &Collect::default());
            assert!(done.unwrap().iter().all(|one| !matches!(one.state, CopyState::Failed(_))));
            assert_eq!(disk.names().iter().filter(|n| n.kind == FileKind::Snapshot).count(), 2);
            fixture.is_good(&disk);
        }
    }
    assert_eq!(fixture.here.names(), whole, "what is copied is not changed");
}

#[test]
fn a_copy_that_was_stopped_goes_on_from_what_was_stored() {
    let fixture = Fixture::new();
    let ear = Ear { stop_after: Some(4_000_000), ..Ear::default() };
    assert_eq!(fixture.copy_with(&ear).unwrap_err().kind(), Kind::Cancelled);
    assert!(fixture.snapshots_there().is_empty());
    let (_, counts) = fixture.copy();
    let whole = Fixture::new().copy().1.get(Counter::BytesStored);
    let rest = counts.get(Counter::BytesStored);
    assert!(rest + 2_000_000 < whole, "{rest} of {whole}");
    fixture.is_good(&fixture.there);
}

#[test]
fn what_was_lost_over_there_is_copied_again() {
    let fixture = Fixture::new();
    fixture.copy();
    let largest = fixture.there().list(FileKind::Pack).unwrap().into_iter().max_by_key(|p| p.1);
    fixture.there().remove(&largest.unwrap().0).unwrap();
    fixture.change(2);
    fixture.backup();
    let source = open(fixture.here());
    let mut target = open_there(fixture.there()).unwrap();
    target.leave_out_lost_packs(&Collect::default()).unwrap();
    let all = source.snapshots().unwrap();
    let options = WriterOptions::default();
    let done = copy(&source, &mut target, all, options, &Collect::default()).unwrap();
    assert_eq!(made(&done), 1);
    let there = open_there(fixture.there()).unwrap();
    let (_, copy) = there.snapshots().unwrap().pop().unwrap();
    let (_, one) = source.snapshots().unwrap().pop().unwrap();
    assert_eq!(content(&there, &copy, &fixture.source), content(&source, &one, &fixture.source));
}

#[test]
fn what_is_damaged_here_fails_alone_and_never_becomes_a_copy() {
    let fixture = Fixture::new();
    let before: Vec<_> = fixture.here().list(FileKind::Pack).unwrap();
    fs::write(fixture.source.join("own"), noise("own", 300_000)).unwrap();
    fixture.backup();
    let new = fixture.here().list(FileKind::Pack).unwrap();
    let new: Vec<_> = new.into_iter().filter(|one| !before.contains(one)).collect();
    let (name, _) = new.iter().max_by_key(|one| one.1).unwrap();
    fixture.here.tamper(name, |bytes| bytes[5000] ^= 1);
    let done = fixture.copy_with(&Collect::default()).unwrap();
    assert_eq!(made(&done), 2);
    let CopyState::Failed(error) = &done[2].state else { panic!("{done:?}") };
    assert_eq!(error.kind(), Kind::Damaged);
    assert_eq!(fixture.snapshots_there().len(), 2);
    fixture.is_good(&fixture.there);
}
