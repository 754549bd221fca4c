// SPDX-License-Identifier: MIT
//! The copy of a far repository's index, snapshots and trees: it spares requests, and whatever
//! happens to it changes no result.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName, Properties};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Kind, Result, World};
use ghostsnap::ops::check::{ReadData, check};
use ghostsnap::repo::{IndexedRepository, LocalCopy, Reader, Repository};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store far away that counts what is read of it, and may lose packs without a word.
struct Far {
    mem: Mem,
    reads: AtomicU64,
    /// Which pack to lose, counted from now; 0 for none.
    loses: AtomicU64,
    /// Index segments that are still to be lost.
    loses_index: AtomicU64,
}

impl Far {
    /// How often something was read since the last look; keys and config are always.
    fn reads(&self) -> u64 {
        self.reads.swap(0, Ordering::SeqCst)
    }
}

impl Backend for Far {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        self.mem.list(kind)
    }
    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        ghostsnap::backend::list_each(self, kinds)
    }
    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        let is_opening = matches!(name.kind, FileKind::Key | FileKind::Config);
        self.reads.fetch_add(u64::from(!is_opening), Ordering::SeqCst);
        self.mem.read(name, range)
    }
    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        ghostsnap::backend::whole_by_size(self, name, most)
    }
    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.mem.size(name)
    }
    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        ghostsnap::backend::size_each(self, names)
    }
    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        if name.kind == FileKind::Pack {
            let left = self.loses.load(Ordering::SeqCst);
            self.loses.store(left.saturating_sub(1), Ordering::SeqCst);
            if left == 1 {
                return Ok(());
            }
        }
        let left = self.loses_index.load(Ordering::SeqCst);
        if name.kind == FileKind::Index && left > 0 {
            self.loses_index.store(left - 1, Ordering::SeqCst);
            return Ok(());
        }
        self.mem.create(name, bytes)
    }
    fn remove(&self, name: &FileName) -> Result<()> {
        self.mem.remove(name)
    }
    fn leftovers(&self, before: i64, task: ghostsnap::backend::Leftovers) -> Result<(u64, u64)> {
        self.mem.leftovers(before, task)
    }

    fn properties(&self) -> Properties {
        Properties { is_far: true, ..self.mem.properties() }
    }
    fn location(&self) -> String {
        "far away".to_owned()
    }
}

struct Bench {
    folder: tempfile::TempDir,
    far: Arc<Far>,
}

/// A repository with two snapshots of a tree, made by a machine that keeps a copy.
fn bench() -> Bench {
    let far = Arc::new(Far {
        mem: Mem::new(),
        reads: AtomicU64::new(0),
        loses: AtomicU64::new(0),
        loses_index: AtomicU64::new(0),
    });
    let bench = Bench { folder: tempfile::tempdir().unwrap(), far };
    sample_tree(&bench.source());
    init(bench.backend());
    try_backup(&bench.open("here", u64::MAX), &bench.source()).unwrap();
    fs::write(bench.source().join("site/new"), b"new").unwrap();
    try_backup(&bench.open("here", u64::MAX), &bench.source()).unwrap();
    bench.far.reads();
    bench
}

impl Bench {
    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn backend(&self) -> Arc<dyn Backend> {
        let far: Arc<dyn Backend> = self.far.clone();
        far
    }

    fn open(&self, machine: &str, room: u64) -> IndexedRepository {
        static OPENED: AtomicU64 = AtomicU64::new(100);
        let world = Arc::new(World::seeded(OPENED.fetch_add(1, Ordering::SeqCst)));
        let repository = Repository::open(self.backend(), &secret(), world).unwrap();
        let id = repository.config().repository_id;
        let copy = LocalCopy::new(&self.folder.path().join(machine), &id, room);
        repository.with_copy(copy).indexed(&Collect::default()).unwrap()
    }

    /// Names of everything in all snapshots, found through trees.
    fn everything(&self, machine: &str, room: u64) -> Vec<String> {
        let repository = self.open(machine, room);
        let mut found = Vec::new();
        for (id, snapshot) in repository.snapshots().unwrap() {
            found.push(id.to_string());
            walk(&Reader::new(&repository), &snapshot.tree, "", &mut found);
        }
        found
    }

    /// The files of a machine's copy.
    fn copied(&self, machine: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(&self.folder.path().join(machine), &mut files);
        files.sort();
        files
    }
}

fn walk(
    reader: &Reader<'_>,
    chunks: &[ghostsnap::base::ChunkId],
    at: &str,
    found: &mut Vec<String>,
) {
    for node in reader.tree(chunks).unwrap() {
        let path = format!("{at}/{}", String::from_utf8_lossy(&node.name));
        found.push(path.clone());
        if node.is_folder() {
            walk(reader, &node.chunks, &path, found);
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

#[test]
fn what_a_machine_wrote_or_read_once_it_does_not_get_again() {
    let bench = bench();
    let right = bench.everything("here", u64::MAX);
    assert!(right.len() > 100, "{}", right.len());
    assert_eq!(bench.far.reads(), 0);
    // An unchanged night looks up everything in the parent. Only its own snapshot is read back.
    try_backup(&bench.open("here", u64::MAX), &bench.source()).unwrap();
    assert_eq!(bench.far.reads(), 1);
    let right = bench.everything("here", u64::MAX);
    assert_eq!(bench.everything("elsewhere", u64::MAX), right);
    assert!(bench.far.reads() > 0);
    assert_eq!(bench.everything("elsewhere", u64::MAX), right);
    assert_eq!(bench.far.reads(), 0);
    // What the copy holds is sealed as in the store.
    let names = bench.copied("elsewhere").into_iter().map(|path| fs::read(path).unwrap());
    assert!(names.into_iter().all(|bytes| !bytes.windows(10).any(|part| part == b"index.php\0")));
}

#[test]
fn whatever_happens_to_the_copy_the_results_are_the_same() {
    let bench = bench();
    let right = bench.everything("here", u64::MAX);
    let damages: [fn(&Path); 5] = [
        |path| fs::write(path, b"").unwrap(),
        |path| fs::write(path, b"something else that is not sealed at all, and long").unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        },
        |path| fs::remove_file(path).unwrap(),
    ];
    for damage in damages {
        let mut reads = 0;
        for file in bench.copied("here") {
            damage(&file);
            assert_eq!(bench.everything("here", u64::MAX), right, "{}", file.display());
            reads += bench.far.reads();
            // And it is sound again.
            assert_eq!(bench.everything("here", u64::MAX), right, "{}", file.display());
            assert_eq!(bench.far.reads(), 0, "{}", file.display());
        }
        // The end of a pack, where it says what is in it, is not read for trees.
        assert!(reads >= 4, "{reads}");
    }
    // One file in the place of another.
    let files = bench.copied("here");
    for pair in files.windows(2) {
        fs::copy(&pair[0], &pair[1]).unwrap();
        assert_eq!(bench.everything("here", u64::MAX), right);
    }
}

#[test]
fn what_the_store_has_no_longer_is_not_there() {
    let bench = bench();
    let names = bench.far.mem.list(FileKind::Snapshot).unwrap();
    bench.far.mem.remove(&names[0].0).unwrap();
    let repository = bench.open("here", u64::MAX);
    assert_eq!(repository.snapshots().unwrap().len(), 1);
    let kept = bench.copied("here").into_iter();
    let gone = names[0].0.id.to_string();
    assert_eq!(kept.filter(|path| path.ends_with(&gone)).count(), 0);
    // Nothing is stored on the word of the copy: a lost pack of trees is made again.
    for (name, _) in bench.far.mem.list(FileKind::Pack).unwrap() {
        bench.far.mem.remove(&name).unwrap();
    }
    let mut repository = bench.open("here", u64::MAX);
    let monitor = Collect::default();
    repository.leave_out_lost_packs(&monitor).unwrap();
    assert!(!monitor.warnings().is_empty());
    let report = try_backup(&repository, &bench.source()).unwrap();
    let target = bench.folder.path().join("target");
    let restored = restore(&open(bench.backend()), &report.snapshot, &bench.source(), &target);
    assert_eq!(restored.warnings, 0);
    assert_eq!(manifest(&target), manifest(&bench.source()));
}

#[test]
fn it_keeps_within_its_room() {
    let bench = bench();
    let right = bench.everything("here", u64::MAX);
    let sizes = |machine: &str| -> u64 {
        bench.copied(machine).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
    };
    let whole = sizes("here");
    for room in [0, 1000, whole / 3, whole - 1, whole] {
        let machine = format!("of {room}");
        for _ in 0..3 {
            assert_eq!(bench.everything(&machine, room), right);
            assert!(sizes(&machine) <= room, "{} of {room}", sizes(&machine));
        }
    }
    // A place where nothing can be written is none.
    fs::write(bench.folder.path().join("a file"), b"").unwrap();
    assert_eq!(bench.everything("a file", u64::MAX), right);
}

#[test]
fn no_snapshot_counts_on_an_index_that_the_store_lost_without_a_word() {
    let bench = bench();
    fs::write(bench.source().join("site/more"), [7; 50_000]).unwrap();
    let repository = bench.open("here", u64::MAX);
    let before = repository.snapshots().unwrap().len();
    bench.far.loses_index.store(2, Ordering::SeqCst);
    for _ in 0..2 {
        let error = try_backup(&repository, &bench.source()).unwrap_err();
        assert_eq!(error.kind(), Kind::InUse, "{error}");
        assert_eq!(repository.snapshots().unwrap().len(), before);
    }
    // What the backup before has stored is named by the next one of the same process, and whole.
    let packs = bench.far.mem.list(FileKind::Pack).unwrap().len();
    let report = try_backup(&repository, &bench.source()).unwrap();
    assert_eq!(bench.far.mem.list(FileKind::Pack).unwrap().len(), packs, "nothing twice");
    let target = bench.folder.path().join("target");
    let fresh = bench.open("elsewhere", u64::MAX);
    assert_eq!(restore(&fresh, &report.snapshot, &bench.source(), &target).warnings, 0);
    assert_eq!(manifest(&target), manifest(&bench.source()));
    let world = Arc::new(World::seeded(9));
    let opened = Repository::open(bench.backend(), &secret(), world).unwrap();
    let found = check(opened, ReadData::All, &Collect::default()).unwrap();
    assert!(!found.is_damaged(), "{:?}", found.findings);
}

#[test]
fn a_pack_that_the_store_lost_without_a_word_is_named_by_no_index() {
    // One new pack is asked for by its name, many are looked up in one listing.
    for files in [1, 40] {
        let bench = bench();
        for number in 0..files {
            let content = World::seeded(number).random_32().unwrap().repeat(3000);
            fs::write(bench.source().join(format!("site/more-{number}")), content).unwrap();
        }
        bench.far.loses.store(1, Ordering::SeqCst);
        let repository = bench.open("here", 0);
        let before = repository.snapshots().unwrap().len();
        for _ in 0..2 {
            // Nor may the next backup of the same process count on it.
            let error = try_backup(&repository, &bench.source()).unwrap_err();
            assert_eq!(error.kind(), Kind::Disk, "{error}");
            assert!(error.one_line().contains("holds 0 of its"), "{error}");
        }
        assert_eq!(bench.open("here", 0).snapshots().unwrap().len(), before);
        try_backup(&bench.open("here", 0), &bench.source()).unwrap();
        let world = Arc::new(World::seeded(9));
        let repository = Repository::open(bench.backend(), &secret(), world).unwrap();
        let found = check(repository, ReadData::All, &Collect::default()).unwrap();
        assert!(!found.is_damaged(), "{:?}", found.findings);
    }
}
