// SPDX-License-Identifier: MIT
//! Mending: whatever is done to a pack, all that can be read is saved, what is lost is named and no
//! longer counted on, a copy gives it back, and a repair that dies half way harms nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName, Properties, read_all};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{ChunkId, FileId, Kind, Result, World};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::format::{PackClass, Snapshot};
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::copy::copy;
use ghostsnap::ops::prune::{PruneOptions, prune};
use ghostsnap::ops::repair::{
    LossKind, PackFate, PackOptions, PacksReport, Repaired, SnapshotFate, SnapshotOptions,
    rebuild_index, repair_packs, repair_snapshots,
};
use ghostsnap::ops::restore::{find_node, to_folder};
use ghostsnap::repo::{IndexedRepository, Reader, Repository, WriterOptions};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const OPTIONS: PackOptions = PackOptions { dry_run: false, level: 3 };

/// Each time with other salts, as in life.
fn closed(disk: &Arc<dyn Backend>) -> Repository {
    try_closed(disk).unwrap()
}

fn try_closed(disk: &Arc<dyn Backend>) -> Result<Repository> {
    static OPENED: AtomicU64 = AtomicU64::new(500);
    let world = World::seeded(OPENED.fetch_add(1, Ordering::SeqCst));
    Repository::open(Arc::clone(disk), &secret(), Arc::new(world))
}

struct Fixture {
    _folder: tempfile::TempDir,
    source: PathBuf,
    disk: Mem,
    snapshots: Vec<(FileId, Snapshot)>,
    contents: Vec<BTreeMap<Vec<u8>, String>>,
}

/// Rows as a dump has them.
fn dump(rows: usize, changed: usize) -> String {
    let mut text = String::from("INSERT INTO `t` VALUES\n");
    for row in 0..rows {
        let word = blake3::hash(&row.to_le_bytes()).to_hex();
        let mark = if row % 50 == changed { "changed" } else { "same" };
        text.push_str(&format!("({row},'{word}','{mark}'),\n"));
    }
    text + "-- Dump completed\n"
}

impl Fixture {
    /// Two snapshots of one of everything, in many small packs.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("a/deep/er")).unwrap();
        for n in 0..12 {
            fs::write(source.join(format!("a/{n}")), noise(&format!("x{n}"), 9000)).unwrap();
            fs::write(source.join(format!("a/deep/{n}")), noise(&format!("y{n}"), 500)).unwrap();
        }
        fs::write(source.join("a/deep/er/large"), noise("large", 700_000)).unwrap();
        fs::write(source.join("dump.sql"), dump(9000, 1)).unwrap();
        let mut fixture = Self {
            _folder: folder,
            source,
            disk: Mem::new(),
            snapshots: Vec::new(),
            contents: Vec::new(),
        };
        init(fixture.store());
        for round in 1..3 {
            fs::write(fixture.source.join("a/7"), noise(&format!("round {round}"), 9000)).unwrap();
            fs::write(fixture.source.join("dump.sql"), dump(9000, round)).unwrap();
            let made = backup_now(&fixture.store(), &fixture.source);
            fixture.snapshots.push((made.id.unwrap(), made.snapshot));
            fixture.contents.push(manifest(&fixture.source));
        }
        fixture
    }

    fn store(&self) -> Arc<dyn Backend> {
        Arc::new(self.disk.clone())
    }

    fn packs(&self) -> Vec<FileName> {
        let mut packs: Vec<_> =
            self.disk.list(FileKind::Pack).unwrap().into_iter().map(|(name, _)| name).collect();
        packs.sort_unstable();
        packs
    }

    /// A copy of the files as they are now.
    fn twin(&self) -> Mem {
        let twin = Mem::new();
        copy_files(&self.disk, &twin);
        twin
    }

    /// Another repository with copies of all snapshots, and its keys.
    fn elsewhere(&self) -> Mem {
        let there = Mem::new();
        let world = Arc::new(World::seeded(70));
        Repository::init(Arc::new(there.clone()), &their_secret(), "there", world).unwrap();
        let ours = open(self.store());
        let mut theirs = open_there(&there);
        let snapshots = self.snapshots.clone();
        copy(&ours, &mut theirs, snapshots, WriterOptions::default(), &Collect::default()).unwrap();
        there
    }

    fn repair(&self, other: Option<&IndexedRepository>) -> PacksReport {
        repair_packs(closed(&self.store()), &[], other, OPTIONS, &Collect::default()).unwrap()
    }

    /// Everything in all its snapshots, byte for byte.
    fn assert_whole(&self, story: &str) {
        let repository = open(self.store());
        let known: Vec<FileId> =
            repository.snapshots().unwrap().into_iter().map(|(id, _)| id).collect();
        let mine: Vec<FileId> = self.snapshots.iter().map(|(id, _)| *id).collect();
        assert_eq!(sorted(known), sorted(mine), "{story}");
        for ((_, snapshot), content) in self.snapshots.iter().zip(&self.contents) {
            let target = tempfile::tempdir().unwrap();
            let report = restore(&repository, snapshot, &self.source, target.path());
            assert_eq!(report.warnings, 0, "{story}");
            assert!(manifest(target.path()) == *content, "{story}");
        }
        assert_eq!(damages(&self.store()), Vec::<String>::new(), "{story}");
    }

    /// Whatever restores is right; what does not is warned of. How many files are there.
    fn assert_right(&self, story: &str) -> usize {
        let repository = open(self.store());
        let mut whole = 0;
        for (_, snapshot) in repository.snapshots().unwrap() {
            let place = self.snapshots.iter().position(|(_, one)| one.time == snapshot.time);
            let content = &self.contents[place.unwrap()];
            let target = tempfile::tempdir().unwrap();
            let base = base_of(&self.source);
            let options = restore_options();
            let heard = Collect::default();
            let report = to_folder(&repository, &snapshot, &base, &options, target.path(), &heard);
            let found = manifest(target.path());
            for (path, line) in &found {
                // The time of a folder with less in it is what it was.
                assert_eq!(Some(line), content.get(path), "{story} {path:?}");
            }
            let is_warned = report.is_err() || report.is_ok_and(|report| report.warnings > 0);
            let is_partial = snapshot.warnings > 0 || is_warned;
            assert!(found.len() == content.len() || is_partial, "{story}");
            whole += found.len();
        }
        whole
    }
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all
}

fn their_secret() -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[77; 32])).unwrap()
}

fn open_there(disk: &Mem) -> IndexedRepository {
    let store: Arc<dyn Backend> = Arc::new(disk.clone());
    let world = Arc::new(World::seeded(71));
    let closed = Repository::open(store, &their_secret(), world).unwrap();
    closed.indexed(&Collect::default()).unwrap()
}

fn damages(disk: &Arc<dyn Backend>) -> Vec<String> {
    let report = check(closed(disk), ReadData::All, &Collect::default()).unwrap();
    let damaged = report.findings.iter().filter(|one| one.severity == Severity::Damaged);
    damaged.map(|one| format!("{}: {}", one.object, one.detail)).collect()
}

fn mend_snapshots(disk: &Arc<dyn Backend>, keep: bool) -> Vec<Repaired> {
    let options = SnapshotOptions { keep, drop: true, for_good: true, level: 3 };
    repair_snapshots(closed(disk), options, |_| true, &Collect::default()).unwrap()
}

fn flip(disk: &Mem, name: &FileName) {
    disk.tamper(name, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
    });
}

/// What may become of a pack.
fn damage(disk: &Mem, name: &FileName, how: usize) {
    match how {
        0 => disk.remove(name).unwrap(),
        1 => disk.tamper(name, |bytes| bytes.truncate(bytes.len() / 2)),
        2 => disk.tamper(name, Vec::clear),
        3 => flip(disk, name),
        4 => disk.tamper(name, |bytes| *bytes.last_mut().unwrap() ^= 1),
        5 => disk.tamper(name, |bytes| bytes[20] ^= 1),
        _ => disk.tamper(name, |bytes| bytes.push(0)),
    }
}

const WAYS: usize = 7;

#[test]
fn whatever_is_done_to_a_pack_the_rest_is_saved_and_what_is_lost_is_named() {
    let count = Fixture::new().packs().len();
    assert!(count > 4, "{count}");
    let (mut saved, mut lost) = (0, 0);
    for (at, how) in (0..count)
        .flat_map(|at| (0..WAYS).filter(move |how| (at + how) % 2 == 0).map(move |how| (at, how)))
    {
        let fixture = Fixture::new();
        let story = format!("pack {at}, way {how}");
        let before = fixture.assert_right(&story);
        damage(&fixture.disk, &fixture.packs()[at], how);
        let report = fixture.repair(None);
        assert_eq!(report.packs.len(), 1, "{story}");
        let pack = &report.packs[0];
        saved += usize::from(pack.fate == PackFate::Saved);
        let is_lost = pack.fate == PackFate::Lost;
        lost += usize::from(is_lost);
        assert_eq!(is_lost, !report.affected.is_empty(), "{story}");
        // Wrong at the end or behind it, nothing of it is lost.
        assert!(!(is_lost && (how == 4 || how == 6)), "{story}");
        fixture.assert_right(&story);
        if !is_lost {
            fixture.assert_whole(&story);
            continue;
        }
        // Twice does nothing more.
        let again = fixture.repair(None);
        assert!(again.packs.is_empty() && !again.affected.is_empty(), "{story}");
        let mended = mend_snapshots(&fixture.store(), false);
        assert!(!mended.is_empty(), "{story}");
        assert_eq!(damages(&fixture.store()), Vec::<String>::new(), "{story}");
        let now = PruneOptions { now: true, may_empty: true, ..PruneOptions::default() };
        prune(closed(&fixture.store()), &now, false, &Collect::default()).unwrap();
        assert_eq!(damages(&fixture.store()), Vec::<String>::new(), "{story}");
        assert!(fixture.assert_right(&story) <= before, "{story}");
        assert!(mend_snapshots(&fixture.store(), false).is_empty(), "{story}");
    }
    assert!(saved > 0 && lost > 0, "{saved} {lost}");
}

#[test]
fn the_next_backup_stores_again_what_a_repair_gave_up() {
    let mut fixture = Fixture::new();
    let packs = fixture.packs();
    for name in &packs {
        flip(&fixture.disk, name);
    }
    let report = fixture.repair(None);
    assert!(!report.affected.is_empty());
    let ready = closed(&fixture.store()).indexed_to_write("backup", &Collect::default()).unwrap();
    let made = try_backup(&ready, &fixture.source).unwrap();
    fixture.snapshots.push((made.id.unwrap(), made.snapshot));
    fixture.contents.push(manifest(&fixture.source));
    let repository = open(fixture.store());
    let target = tempfile::tempdir().unwrap();
    let newest = &fixture.snapshots[2].1;
    assert_eq!(restore(&repository, newest, &fixture.source, target.path()).warnings, 0);
    assert!(manifest(target.path()) == fixture.contents[2]);
    // It stored the content again that the second snapshot shares with it: only what it does not
    // share is lost now.
    let mended = mend_snapshots(&fixture.store(), false);
    assert!(mended.iter().all(|one| one.was.id != fixture.snapshots[2].0));
    assert_eq!(damages(&fixture.store()), Vec::<String>::new());
}

#[test]
fn a_copy_gives_back_what_is_lost_and_no_snapshot_changes() {
    for way in 0..WAYS {
        let fixture = Fixture::new();
        let there = fixture.elsewhere();
        for name in fixture.packs() {
            damage(&fixture.disk, &name, way);
        }
        let report = fixture.repair(Some(&open_there(&there)));
        assert!(report.affected.is_empty(), "way {way}: {:?}", report.affected);
        assert!(report.packs.iter().all(|one| one.fate == PackFate::Saved), "way {way}");
        fixture.assert_whole(&format!("way {way}"));
    }
}

#[test]
fn a_copy_heals_what_was_given_up_before_and_lost_records_too() {
    let fixture = Fixture::new();
    let there = fixture.elsewhere();
    for name in fixture.packs() {
        fixture.disk.remove(&name).unwrap();
    }
    assert_eq!(fixture.repair(None).affected.len(), 2);
    let (first, _) = fixture.snapshots[0];
    flip(&fixture.disk, &FileName::new(FileKind::Snapshot, first));
    let report = fixture.repair(Some(&open_there(&there)));
    assert!(report.packs.is_empty() && report.affected.is_empty() && report.healed > 0);
    assert_eq!(damages(&fixture.store()), Vec::<String>::new());
    let repository = open(fixture.store());
    let now = repository.snapshots().unwrap();
    assert_eq!(now.len(), 2);
    // The one whose record was whole is the same; the other is stored anew, with the same trees.
    assert_eq!(now[1].0, fixture.snapshots[1].0);
    assert_eq!(now[0].1.tree, fixture.snapshots[0].1.tree);
    fixture.assert_right("healed");
}

#[test]
fn a_copy_of_the_files_lends_what_cannot_be_read_and_nothing_is_removed() {
    let fixture = Fixture::new();
    let twin = fixture.twin();
    let before = fixture.packs();
    for (at, name) in before.iter().enumerate() {
        damage(&fixture.disk, name, at % WAYS);
    }
    let left = names_in(&fixture.disk);
    let twin: Arc<dyn Backend> = Arc::new(twin);
    let report = fixture.repair(Some(&open(twin)));
    assert!(report.packs.iter().all(|one| one.fate == PackFate::Saved), "{report:?}");
    assert!(names_in(&fixture.disk).is_superset(&left));
    fixture.assert_whole("twin");
}

#[test]
fn a_repository_that_is_its_own_copy_is_no_help_and_no_harm() {
    let fixture = Fixture::new();
    let pack = fixture.packs()[0];
    flip(&fixture.disk, &pack);
    let report = fixture.repair(Some(&open(fixture.store())));
    assert_eq!(report.packs[0].fate, PackFate::Lost);
    assert!(fixture.disk.size(&pack).unwrap().is_some());
    fixture.assert_right("itself");
}

#[test]
fn what_ends_while_snapshots_are_judged_is_not_touched() {
    let fixture = Fixture::new();
    lose(&fixture, PackClass::Meta);
    // A whole backup that ends just when the index has been loaded.
    let (inner, source) = (fixture.store(), fixture.source.clone());
    let done = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&done);
    let store: Arc<dyn Backend> = Arc::new(Hooked::new(fixture.store(), move |call| {
        if call == Call::List(FileKind::Pack) && seen.fetch_add(1, Ordering::SeqCst) == 0 {
            let ready = closed(&inner).indexed_to_write("backup", &Collect::default()).unwrap();
            try_backup(&ready, &source).unwrap();
        }
    }));
    let options = SnapshotOptions { drop: true, for_good: true, ..SnapshotOptions::default() };
    repair_snapshots(closed(&store), options, |_| true, &Collect::default()).unwrap();
    assert!(done.load(Ordering::SeqCst) > 0);
    let left = open(fixture.store()).snapshots().unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].1.tags.is_empty() && left[0].1.warnings == 0);
    assert_eq!(damages(&fixture.store()), Vec::<String>::new());
}

#[test]
fn a_disk_that_is_away_costs_no_snapshot() {
    let fixture = Fixture::new();
    let away = fixture.twin();
    for name in fixture.packs() {
        fixture.disk.remove(&name).unwrap();
    }
    let careful = SnapshotOptions { drop: true, ..SnapshotOptions::default() };
    let mend =
        || repair_snapshots(closed(&fixture.store()), careful, |_| true, &Collect::default());
    // The index still says what is missing when it was made anew.
    rebuild_index(&closed(&fixture.store()), &Collect::default()).unwrap();
    assert!(mend().unwrap_err().to_string().contains("repair packs"));
    fixture.repair(None);
    assert!(mend().unwrap_err().to_string().contains("for-good"));
    for (name, size) in away.list(FileKind::Pack).unwrap() {
        fixture.disk.create(&name, &away.read(&name, 0..size).unwrap()).unwrap();
    }
    let report = fixture.repair(None);
    assert!(report.packs.iter().all(|one| one.fate == PackFate::Back));
    fixture.assert_whole("the disk is back");
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let fixture = Fixture::new();
    let packs = fixture.packs();
    flip(&fixture.disk, &packs[0]);
    damage(&fixture.disk, &packs[1], 4);
    let before = names_in(&fixture.disk);
    let dry = PackOptions { dry_run: true, level: 3 };
    let told = repair_packs(closed(&fixture.store()), &[], None, dry, &Collect::default()).unwrap();
    assert_eq!(names_in(&fixture.disk), before);
    let done = fixture.repair(None);
    let essence = |report: &PacksReport| {
        let packs = report.packs.iter();
        packs.map(|one| (one.id, one.fate, one.saved, one.lost.len())).collect::<Vec<_>>()
    };
    assert_eq!(essence(&told), essence(&done));
}

#[test]
fn packs_can_be_named_and_unknown_or_sound_ones_are_told() {
    let fixture = Fixture::new();
    let packs = fixture.packs();
    flip(&fixture.disk, &packs[0]);
    flip(&fixture.disk, &packs[2]);
    let only = |ids: &[FileId]| {
        repair_packs(closed(&fixture.store()), ids, None, OPTIONS, &Collect::default())
    };
    let report = only(&[packs[0].id, packs[1].id]).unwrap();
    let fates: Vec<_> = report.packs.iter().map(|one| (one.id, one.fate)).collect();
    assert!(fates.contains(&(packs[1].id, PackFate::Sound)), "{fates:?}");
    assert_eq!(fates.len(), 2);
    // The third was not looked at.
    assert!(damages(&fixture.store()).iter().any(|one| one.contains(&packs[2].id.to_string())));
    assert_eq!(only(&[FileId([9; 32])]).unwrap_err().kind(), Kind::NotFound);
}

/// Reads of packs are wrong now and then.
struct BadMemory(Mem, Mutex<u64>);

impl Backend for BadMemory {
    fn leftovers(&self, before: i64, task: ghostsnap::backend::Leftovers) -> Result<(u64, u64)> {
        self.0.leftovers(before, task)
    }

    fn location(&self) -> String {
        self.0.location()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        self.0.list(kind)
    }
    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        ghostsnap::backend::list_each(self, kinds)
    }
    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = self.0.read(name, range)?;
        let mut turn = self.1.lock().unwrap();
        *turn += 1;
        if name.kind == FileKind::Pack && (*turn).is_multiple_of(2) {
            bytes[0] ^= 1;
        }
        Ok(bytes)
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
        self.0.remove(name)
    }
    fn properties(&self) -> Properties {
        self.0.properties()
    }
}

#[test]
fn nothing_is_given_up_on_a_machine_that_reads_now_this_now_that() {
    let fixture = Fixture::new();
    let before: Vec<_> = fixture.disk.list(FileKind::Index).unwrap();
    let mut refused = 0;
    for start in 0..4 {
        let bad: Arc<dyn Backend> = Arc::new(BadMemory(fixture.disk.clone(), Mutex::new(start)));
        let ids: Vec<FileId> = fixture.packs().iter().map(|name| name.id).collect();
        let result = repair_packs(closed(&bad), &ids, None, OPTIONS, &Collect::default());
        refused += usize::from(result.is_err_and(|error| error.kind() == Kind::Disk));
    }
    assert_eq!(refused, 4);
    // Some new packs may be there, but nothing was taken out of the index.
    let now = fixture.disk.list(FileKind::Index).unwrap();
    assert!(before.iter().all(|one| now.contains(one)));
    fixture.assert_whole("bad memory");
}

#[test]
fn a_repair_that_dies_anywhere_harms_nothing_and_goes_on() {
    let broken = Fixture::new();
    let packs = broken.packs();
    let there = broken.elsewhere();
    damage(&broken.disk, &packs[0], 1);
    damage(&broken.disk, &packs[1], 3);
    damage(&broken.disk, &packs[2], 4);
    let run = |store: Arc<dyn Backend>| -> Result<()> {
        repair_packs(
            try_closed(&store)?,
            &[],
            Some(&open_there(&there)),
            OPTIONS,
            &Collect::default(),
        )
        .map(drop)
    };
    let counting = Arc::new(Faulty::new(Arc::new(broken.twin()), Fault::None));
    let store: Arc<dyn Backend> = counting.clone();
    run(store).unwrap();
    let steps = counting.mutations();
    assert!(steps >= 4, "{steps}");
    // The last takes the lock away: nobody is told if that fails.
    for step in 0..steps - 1 {
        for fault in [Fault::DieBefore(step), Fault::DieAfter(step)] {
            let disk = broken.twin();
            let faulty: Arc<dyn Backend> = Arc::new(Faulty::new(Arc::new(disk.clone()), fault));
            assert!(run(faulty).is_err(), "{fault:?}");
            // Dead: its lock stays, and says that its process has ended.
            for (name, _) in disk.list(FileKind::Lock).unwrap() {
                disk.remove(&name).unwrap();
            }
            let after = Fixture { disk, ..broken.again() };
            after.assert_right(&format!("{fault:?}"));
            run(after.store()).unwrap();
            after.assert_whole(&format!("{fault:?}"));
        }
    }
}

impl Fixture {
    fn again(&self) -> Self {
        Self {
            _folder: tempfile::tempdir().unwrap(),
            source: self.source.clone(),
            disk: self.disk.clone(),
            snapshots: self.snapshots.clone(),
            contents: self.contents.clone(),
        }
    }
}

/// Removes the packs of a class, and makes the index know it.
fn lose(fixture: &Fixture, class: PackClass) {
    for pack in open(fixture.store()).index().packs() {
        if pack.class == class {
            fixture.disk.remove(&FileName::new(FileKind::Pack, pack.id)).unwrap();
        }
    }
    fixture.repair(None);
}

#[test]
fn what_is_lost_is_left_out_and_the_rest_stays_as_it_was() {
    let fixture = Fixture::new();
    let repository = open(fixture.store());
    let large = repository.index().packs().iter().max_by_key(|pack| pack.size).unwrap().id;
    fixture.disk.remove(&FileName::new(FileKind::Pack, large)).unwrap();
    // Not before it is known what is lost with it.
    let options = SnapshotOptions { level: 3, ..SnapshotOptions::default() };
    let closed_now = closed(&fixture.store());
    let refused = repair_snapshots(closed_now, options, |_| true, &Collect::default());
    assert!(refused.unwrap_err().to_string().contains("repair packs"));
    fixture.repair(None);
    let mended = mend_snapshots(&fixture.store(), true);
    assert_eq!(mended.len(), 2);
    let lost: Vec<String> = mended[0].was.losses.iter().map(|one| one.path.to_string()).collect();
    assert!(lost.iter().all(|path| path.contains("large")), "{lost:?}");
    assert!(mended[0].was.losses.iter().all(|one| one.kind == LossKind::File));
    let at = fixture.snapshots.iter().position(|(id, _)| *id == mended[0].was.id).unwrap();
    let before = fixture.snapshots[at].1.totals;
    let SnapshotFate::Repaired(id) = mended[0].fate else { panic!("{:?}", mended[0].fate) };
    // The damaged ones were to be kept.
    let repository = open(fixture.store());
    let all = repository.snapshots().unwrap();
    assert_eq!(all.len(), 4);
    let repaired = &all.iter().find(|(one, _)| *one == id).unwrap().1;
    assert_eq!(repaired.tags, ["repaired"]);
    assert_eq!(repaired.warnings, 1);
    assert_eq!(repaired.totals.files, before.files - 1);
    assert_eq!(repaired.totals.bytes, before.bytes - 700_000);
    let target = tempfile::tempdir().unwrap();
    assert_eq!(restore(&repository, repaired, &fixture.source, target.path()).warnings, 0);
    let mut expected = fixture.contents[at].clone();
    expected.remove(b"a/deep/er/large".as_slice()).unwrap();
    assert!(manifest(target.path()) == expected);
}

#[test]
fn a_snapshot_of_which_nothing_is_left_is_dropped_and_told() {
    let fixture = Fixture::new();
    lose(&fixture, PackClass::Meta);
    let (first, _) = fixture.snapshots[0];
    flip(&fixture.disk, &FileName::new(FileKind::Snapshot, first));
    let mended = mend_snapshots(&fixture.store(), false);
    let fates: Vec<_> = mended.iter().map(|one| one.fate).collect();
    assert_eq!(fates, [SnapshotFate::Dropped, SnapshotFate::Dropped]);
    assert!(mended.iter().any(|one| one.was.snapshot.is_none()));
    assert!(open(fixture.store()).snapshots().unwrap().is_empty());
    assert_eq!(damages(&fixture.store()), Vec::<String>::new());
}

#[test]
fn of_a_dump_only_its_table_may_be_lost_and_nothing_of_the_snapshot_is_then() {
    let fixture = Fixture::new();
    let tables = {
        let repository = open(fixture.store());
        let reader = Reader::new(&repository);
        let path = base_of(&fixture.source).join(b"dump.sql").unwrap();
        let node = find_node(&reader, &fixture.snapshots[0].1, &path).unwrap();
        let maps = reader.row_maps(&node).unwrap();
        assert!(node.rows && !maps.is_empty());
        let chunks = maps.iter().flat_map(|map| &map.chunks);
        chunks.map(|chunk| chunk.table).collect::<Vec<_>>()
    };
    let lost = without_chunks(&fixture, &tables);
    assert!(lost > 0);
    let report = fixture.repair(None);
    assert!(report.affected.iter().all(|one| !one.loses_content()), "{:?}", report.affected);
    assert!(!report.affected.is_empty());
    let mended = mend_snapshots(&fixture.store(), false);
    assert!(mended.iter().flat_map(|one| &one.was.losses).all(|one| one.kind == LossKind::Table));
    assert_eq!(damages(&fixture.store()), Vec::<String>::new());
    let repository = open(fixture.store());
    for (_, snapshot) in repository.snapshots().unwrap() {
        assert_eq!((snapshot.warnings, snapshot.tags.len()), (0, 0));
        let at = fixture.snapshots.iter().position(|(_, one)| one.time == snapshot.time).unwrap();
        let target = tempfile::tempdir().unwrap();
        assert_eq!(restore(&repository, &snapshot, &fixture.source, target.path()).warnings, 0);
        assert!(manifest(target.path()) == fixture.contents[at]);
    }
}

/// Makes the index forget these chunks: every pack that holds one is written anew without them.
fn without_chunks(fixture: &Fixture, gone: &[ChunkId]) -> usize {
    let repository = open(fixture.store());
    let index = repository.index();
    let mut packs = std::collections::BTreeSet::new();
    let mut kept = Vec::new();
    for id in gone {
        for place in index.find_all(id).unwrap() {
            packs.insert(index.pack_of(&place).unwrap());
        }
    }
    let reader = Reader::new(&repository);
    for (id, place) in all_chunks(&repository) {
        let pack = index.pack_of(&place).unwrap();
        if packs.contains(&pack) && !gone.contains(&id) {
            let class = index.pack(pack).unwrap().class;
            kept.push((class, id, reader.chunk(class, &id).unwrap()));
        }
    }
    let writer = ghostsnap::repo::Writer::new(&repository, WriterOptions::default());
    for (class, id, plain) in kept {
        let mut bundle = writer.bundle(class).unwrap();
        bundle.put(&writer, id, &plain).unwrap();
        bundle.flush(&writer).unwrap();
    }
    writer.finish().unwrap();
    for place in &packs {
        let id = index.pack(*place).unwrap().id;
        fixture.disk.remove(&FileName::new(FileKind::Pack, id)).unwrap();
    }
    packs.len()
}

#[test]
fn what_a_newer_program_wrote_is_left_alone() {
    let fixture = Fixture::new();
    let packs = fixture.packs();
    // The version in the header of a pack and of a snapshot.
    let (first, _) = fixture.snapshots[0];
    let name = FileName::new(FileKind::Snapshot, first);
    fixture.disk.tamper(&name, |bytes| bytes[5] = 9);
    flip(&fixture.disk, &packs[0]);
    fixture.repair(None);
    let mended = mend_snapshots(&fixture.store(), false);
    assert!(mended.iter().all(|one| one.was.id != first));
    assert!(fixture.disk.size(&name).unwrap().is_some());
}

#[test]
fn the_index_has_to_be_whole_before_packs_are_judged() {
    let fixture = Fixture::new();
    let (segment, _) = fixture.disk.list(FileKind::Index).unwrap()[0];
    flip(&fixture.disk, &segment);
    let refused = repair_packs(closed(&fixture.store()), &[], None, OPTIONS, &Collect::default());
    assert!(refused.unwrap_err().to_string().contains("repair index"));
    rebuild_index(&closed(&fixture.store()), &Collect::default()).unwrap();
    fixture.repair(None);
    fixture.assert_whole("index first");
}

#[test]
fn a_pack_that_was_only_away_comes_back() {
    let fixture = Fixture::new();
    let twin = fixture.twin();
    let packs = fixture.packs();
    for name in &packs[..3] {
        fixture.disk.remove(name).unwrap();
    }
    assert!(fixture.repair(None).packs.iter().any(|one| one.fate == PackFate::Lost));
    // The index is made anew meanwhile; what was given up stays so.
    rebuild_index(&closed(&fixture.store()), &Collect::default()).unwrap();
    for name in &packs[..3] {
        fixture.disk.create(name, &read_all(&twin, name).unwrap()).unwrap();
    }
    flip(&fixture.disk, &packs[1]);
    let report = fixture.repair(None);
    let back: Vec<FileId> = report.packs.iter().map(|one| one.id).collect();
    assert_eq!(sorted(back), sorted(vec![packs[0].id, packs[2].id]));
    assert!(report.packs.iter().all(|one| one.fate == PackFate::Back));
    fixture.assert_right("some are back");
}

#[test]
fn a_prune_removes_what_was_given_up_a_grace_period_later_and_not_before() {
    let fixture = Fixture::new();
    let there = fixture.elsewhere();
    let pack = fixture.packs()[0];
    flip(&fixture.disk, &pack);
    fixture.repair(Some(&open_there(&there)));
    let prune_at = |hours: u64| {
        let world = World::seeded(4000 + hours);
        world.sleep(Duration::from_secs(hours * 3600));
        let store = fixture.store();
        let closed = Repository::open(store, &secret(), Arc::new(world)).unwrap();
        prune(closed, &PruneOptions::default(), false, &Collect::default()).unwrap();
        fixture.disk.size(&pack).unwrap().is_some()
    };
    assert!(prune_at(1));
    rebuild_index(&closed(&fixture.store()), &Collect::default()).unwrap();
    assert!(prune_at(2));
    assert!(!prune_at(30));
    fixture.assert_whole("pruned");
    // The note goes when no segment names the pack.
    assert!(!prune_at(31));
    fixture.assert_whole("pruned again");
}

#[test]
fn a_listing_that_lacks_a_pack_gives_none_up() {
    let fixture = Fixture::new();
    let short: Arc<dyn Backend> =
        Arc::new(Faulty::new(fixture.store(), Fault::ShortList(FileKind::Pack)));
    let report = repair_packs(closed(&short), &[], None, OPTIONS, &Collect::default()).unwrap();
    assert!(report.packs.is_empty(), "{:?}", report.packs);
    // One that is really gone is.
    fixture.disk.remove(&fixture.packs()[0]).unwrap();
    let report =
        repair_packs(closed(&fixture.store()), &[], None, OPTIONS, &Collect::default()).unwrap();
    assert_eq!(report.packs.len(), 1);
}
