// SPDX-License-Identifier: MIT
//! One source into several repositories at once: each gets what it would have got alone, streams
//! are read once, and whatever happens to one of them, the others are whole.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]
#![allow(clippy::as_conversions, clippy::panic)]

mod common;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::{Backend, FileKind};
use ghostsnap::base::monitor::{Collect, Counter, Monitor};
use ghostsnap::base::{Kind, Result, Timestamp, World};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::ops::BackupReport;
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::several::{Target, backup_to_each};
use ghostsnap::repo::{IndexedRepository, Repository};
use ghostsnap::tree::source::SIZE_UNKNOWN;
use ghostsnap::tree::{Content, Entry, Source, Walk, WalkOptions};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Repositories with keys of their own.
fn stores(count: u64) -> Vec<Arc<dyn Backend>> {
    let make = |number| {
        let store = fresh_store();
        let world = Arc::new(World::seeded(100 + number));
        Repository::init(Arc::clone(&store), &secret(), "test", world).unwrap();
        store
    };
    (0..count).map(make).collect()
}

fn into_each(
    stores: &[Arc<dyn Backend>],
    source: &mut dyn Source,
    paths: Vec<Vec<u8>>,
    monitor: &dyn Monitor,
) -> Vec<Result<BackupReport>> {
    // Each run has a randomness of its own.
    static RUNS: AtomicU64 = AtomicU64::new(1000);
    let opened = |store: &Arc<dyn Backend>| {
        let world = Arc::new(World::seeded(RUNS.fetch_add(1, Ordering::SeqCst)));
        let repository = Repository::open(Arc::clone(store), &secret(), world).unwrap();
        repository.indexed(&Collect::default()).unwrap()
    };
    let repositories: Vec<_> = stores.iter().map(opened).collect();
    into(&repositories, source, paths, monitor)
}

fn into(
    repositories: &[IndexedRepository],
    source: &mut dyn Source,
    paths: Vec<Vec<u8>>,
    monitor: &dyn Monitor,
) -> Vec<Result<BackupReport>> {
    let own: Vec<Collect> = repositories.iter().map(|_| Collect::default()).collect();
    let mut options = options();
    options.template.paths = paths;
    let targets: Vec<Target<'_>> = repositories
        .iter()
        .zip(&own)
        .map(|(repository, monitor)| Target { repository, options: options.clone(), monitor })
        .collect();
    backup_to_each(source, &targets, monitor)
}

fn walk_into(stores: &[Arc<dyn Backend>], source: &Path) -> Vec<Result<BackupReport>> {
    let mut walk = Walk::new(&[source.to_owned()], WalkOptions::default()).unwrap();
    let paths = walk.roots();
    into_each(stores, &mut walk, paths, &Collect::default())
}

/// Restores what a report says and compares it with the source.
fn assert_restores(store: &Arc<dyn Backend>, report: &BackupReport, source: &Path, story: &str) {
    let target = tempfile::tempdir().unwrap();
    let done = restore(&open(Arc::clone(store)), &report.snapshot, source, target.path());
    assert_eq!(done.warnings, 0, "{story}");
    assert_eq!(manifest(target.path()), manifest(source), "{story}");
}

fn assert_sound(store: &Arc<dyn Backend>, story: &str) {
    let repository =
        Repository::open(Arc::clone(store), &secret(), Arc::new(World::seeded(50))).unwrap();
    let findings = check(repository, ReadData::All, &Collect::default()).unwrap().findings;
    assert!(findings.iter().all(|one| one.severity == Severity::Garbage), "{story}: {findings:?}");
}

/// Some folders with small and large files.
fn some_files(root: &Path) {
    for folder in 0..12 {
        let below = root.join(format!("f{folder}/deep"));
        fs::create_dir_all(&below).unwrap();
        for n in 0..8 {
            fs::write(below.join(n.to_string()), noise(&format!("{folder} {n}"), 9000)).unwrap();
        }
    }
    fs::write(root.join("f3/large"), noise("large", 3_000_000)).unwrap();
}

#[test]
fn each_repository_gets_what_it_would_have_got_alone() {
    let source = tempfile::tempdir().unwrap();
    sample_tree(source.path());
    some_files(source.path());
    let stores = stores(3);
    let monitor = Collect::default();
    for night in 0..2 {
        let mut walk = Walk::new(&[source.path().to_owned()], WalkOptions::default()).unwrap();
        let paths = walk.roots();
        let results = into_each(&stores, &mut walk, paths, &monitor);
        for (store, result) in stores.iter().zip(results) {
            let report = result.unwrap();
            assert_restores(store, &report, source.path(), "together");
            assert_sound(store, "together");
            let reused = report.counts.get(Counter::FilesReused);
            assert_eq!(night == 1, report.snapshot.parent.is_some());
            assert!(night == 0 || reused > 90, "{reused}");
            // The same files, read by one program after the other.
            let alone = backup_now(store, source.path());
            let totals = |report: &BackupReport| {
                let totals = &report.snapshot.totals;
                (totals.files, totals.folders, totals.bytes, report.snapshot.warnings)
            };
            assert_eq!(totals(&report), totals(&alone));
            let all = |report: &BackupReport| {
                let mut all = entries(&open(Arc::clone(store)), &report.snapshot);
                // Other tests change the folder above.
                all.retain(|(path, _)| path.contains('/'));
                all
            };
            assert_eq!(all(&alone), all(&report));
        }
    }
}

/// A source with dumps that can be read once.
struct Dumps {
    left: Vec<(&'static str, usize, bool)>,
    at_root: bool,
    read: Arc<AtomicU64>,
    made: Arc<AtomicU64>,
}

struct Dump {
    rows: std::io::Cursor<Vec<u8>>,
    breaks: bool,
    read: Arc<AtomicU64>,
}

impl Read for Dump {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.rows.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::SeqCst);
        if length == 0 && self.breaks && !buffer.is_empty() {
            return Err(std::io::Error::other("the server went away"));
        }
        Ok(length)
    }
}

fn rows_of(name: &str, rows: usize) -> Vec<u8> {
    (0..rows).flat_map(|n| format!("({n},'{name} {}'),\n", n * 7919).into_bytes()).collect()
}

impl Source for Dumps {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        let meta = Literal::default().meta(ghostsnap::format::NodeKind::Folder);
        if std::mem::replace(&mut self.at_root, false) {
            monitor.warn(ghostsnap::base::Error::new(Kind::Db, "ask one of the servers"));
            let path = ghostsnap::base::RelPath::root();
            return Ok(Some(Entry { path, meta, content: Content::Nothing }));
        }
        let Some((name, rows, breaks)) = self.left.pop() else { return Ok(None) };
        self.made.fetch_add(1, Ordering::SeqCst);
        let mut meta = Literal::default().meta(ghostsnap::format::NodeKind::File);
        meta.size = SIZE_UNKNOWN;
        meta.mtime = Timestamp::from_seconds(1_700_000_000);
        let read = Arc::clone(&self.read);
        let dump = Dump { rows: std::io::Cursor::new(rows_of(name, rows)), breaks, read };
        let path = ghostsnap::base::RelPath::parse(name.as_bytes()).unwrap();
        let reader: Box<dyn Read> = Box::new(dump);
        let rows = name.ends_with(".sql");
        let content = if rows { Content::Rows(reader) } else { Content::Stream(reader) };
        Ok(Some(Entry { path, meta, content }))
    }
}

const DUMPS: [(&str, usize, bool); 5] = [
    ("small.sql", 100, false),
    ("large.sql", 150_000, false),
    ("torn.sql", 60_000, true),
    ("member.tar", 90_000, false),
    ("tiny.txt", 3, false),
];

fn dumps() -> (Dumps, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (read, made) = (Arc::default(), Arc::default());
    let left = DUMPS.to_vec();
    let dumps = Dumps { left, at_root: true, read: Arc::clone(&read), made: Arc::clone(&made) };
    (dumps, read, made)
}

/// The content of a file of a snapshot.
fn content(store: &Arc<dyn Backend>, report: &BackupReport, name: &str) -> Option<Vec<u8>> {
    let target = tempfile::tempdir().unwrap();
    let repository = open(Arc::clone(store));
    let options = restore_options();
    let base = ghostsnap::base::RelPath::root();
    let monitor = Collect::default();
    ghostsnap::ops::restore::to_folder(
        &repository,
        &report.snapshot,
        &base,
        &options,
        target.path(),
        &monitor,
    )
    .unwrap();
    fs::read(target.path().join(name)).ok()
}

#[test]
fn dumps_are_made_and_read_once_and_are_in_every_repository() {
    let stores = stores(3);
    for night in 0..2 {
        let (mut source, read, made) = dumps();
        let monitor = Collect::default();
        let results = into_each(&stores, &mut source, Vec::new(), &monitor);
        assert_eq!(made.load(Ordering::SeqCst), 5, "each is made once");
        let bytes: usize = DUMPS.iter().map(|(name, rows, _)| rows_of(name, *rows).len()).sum();
        assert_eq!(read.load(Ordering::SeqCst), bytes as u64, "and read once");
        // What is wrong with the source is wrong in every snapshot, and is told once.
        let told = monitor.warnings();
        assert_eq!(told.len(), 2, "{told:?}");
        for (store, result) in stores.iter().zip(results) {
            let report = result.unwrap();
            assert_eq!(report.snapshot.warnings, 2);
            for (name, rows, breaks) in DUMPS {
                let expected = (!breaks).then(|| rows_of(name, rows));
                assert_eq!(content(store, &report, name), expected, "{name}");
            }
            let new = report.snapshot.totals.bytes_new;
            assert!(night == 0 || new < 100_000, "the rows were there: {new}");
            assert_sound(store, "dumps");
        }
    }
}

/// A source whose dump breaks once because it was kept waiting, and comes again.
struct HeldUp {
    at_root: bool,
    tries_left: usize,
}

struct Passing(std::io::Cursor<Vec<u8>>);

impl Read for Passing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(ghostsnap::base::Error::new(Kind::Db, "dump it").transient().into()),
            length => Ok(length),
        }
    }
}

impl Source for HeldUp {
    fn next_entry(&mut self, _: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        if std::mem::replace(&mut self.at_root, false) {
            let meta = Literal::default().meta(ghostsnap::format::NodeKind::Folder);
            let path = ghostsnap::base::RelPath::root();
            return Ok(Some(Entry { path, meta, content: Content::Nothing }));
        }
        let Some(left) = self.tries_left.checked_sub(1) else { return Ok(None) };
        self.tries_left = left;
        let mut meta = Literal::default().meta(ghostsnap::format::NodeKind::File);
        meta.size = SIZE_UNKNOWN;
        let path = ghostsnap::base::RelPath::parse(b"held.sql").unwrap();
        let rows = |count| std::io::Cursor::new(rows_of("held", count));
        let content: Box<dyn Read> =
            if left > 0 { Box::new(Passing(rows(90_000))) } else { Box::new(rows(100_000)) };
        Ok(Some(Entry { path, meta, content: Content::Rows(content) }))
    }
}

#[test]
fn a_dump_that_was_kept_waiting_is_made_again_and_no_word_is_lost_about_it() {
    for count in [1, 3] {
        let stores = stores(count);
        let monitor = Collect::default();
        let mut source = HeldUp { at_root: true, tries_left: 2 };
        let results = into_each(&stores, &mut source, Vec::new(), &monitor);
        assert_eq!(monitor.warnings(), [""; 0]);
        for (store, result) in stores.iter().zip(results) {
            let report = result.unwrap();
            assert_eq!((report.snapshot.warnings, report.snapshot.totals.files), (0, 1));
            assert_eq!(content(store, &report, "held.sql"), Some(rows_of("held", 100_000)));
            assert_sound(store, "again");
        }
    }
}

#[test]
fn whenever_the_store_of_one_dies_the_others_are_whole_and_the_next_night_goes_well() {
    let source = tempfile::tempdir().unwrap();
    some_files(source.path());
    let before = stores(2);
    for result in walk_into(&before, source.path()) {
        result.unwrap();
    }
    for n in 0..5 {
        fs::write(source.path().join(format!("f{n}/new")), noise(&n.to_string(), 60_000)).unwrap();
        fs::write(source.path().join(format!("f{n}/big")), noise(&format!("b{n}"), 600_000))
            .unwrap();
    }
    let copied = || -> Vec<Arc<dyn Backend>> {
        let copy = |from: &Arc<dyn Backend>| {
            let to = fresh_store();
            copy_files(from.as_ref(), to.as_ref());
            to
        };
        before.iter().map(copy).collect()
    };
    let counted = copied();
    let counting = Arc::new(Faulty::new(Arc::clone(&counted[1]), Fault::None));
    let watched = [Arc::clone(&counted[0]), Arc::clone(&counting) as Arc<dyn Backend>];
    walk_into(&watched, source.path()).into_iter().for_each(|result| drop(result.unwrap()));
    let changes = counting.mutations();
    assert!(changes > 6, "{changes}");
    for turn in 0..changes {
        for (fault, dying) in [
            (Fault::DieBefore(turn), turn as usize % 2),
            (Fault::DieAfter(turn), 1 - turn as usize % 2),
        ] {
            {
                let stores = copied();
                let mut faulty = stores.clone();
                faulty[dying] = Arc::new(Faulty::new(Arc::clone(&stores[dying]), fault));
                let story = format!("{fault:?} of {dying}");
                let mut results = walk_into(&faulty, source.path());
                let good = results.swap_remove(1 - dying).unwrap();
                assert_restores(&stores[1 - dying], &good, source.path(), &story);
                // The other one may have died after its snapshot was there.
                let bad = results.pop().unwrap();
                if bad.is_ok() {
                    assert!(turn + 2 >= changes, "{story}: it did not notice");
                }
                for (store, result) in stores.iter().zip(walk_into(&stores, source.path())) {
                    assert_restores(store, &result.unwrap(), source.path(), &story);
                    assert_sound(store, &story);
                }
            }
        }
    }
}

#[test]
fn a_full_disk_and_a_store_that_is_not_there_stop_only_their_own_backup() {
    let source = tempfile::tempdir().unwrap();
    some_files(source.path());
    let stores = stores(3);
    let mut faulty = stores.clone();
    let full = Faulty::new(Arc::clone(&stores[0]), Fault::FullFrom(2));
    faulty[0] = Arc::new(full);
    let unreadable = Faulty::new(Arc::clone(&stores[2]), Fault::NoRead(FileKind::Snapshot));
    faulty[2] = Arc::new(unreadable);
    let results = walk_into(&faulty, source.path());
    assert_eq!(results[0].as_ref().unwrap_err().kind(), Kind::Disk);
    assert!(results[2].is_err());
    assert_restores(&stores[1], results[1].as_ref().unwrap(), source.path(), "the one in between");
}

#[test]
fn if_every_store_dies_the_source_is_left_alone_and_each_says_why() {
    let stores = stores(2);
    let dead = |store: &Arc<dyn Backend>| -> Arc<dyn Backend> {
        Arc::new(Faulty::new(Arc::clone(store), Fault::DieBefore(0)))
    };
    let dead: Vec<_> = stores.iter().map(dead).collect();
    let (mut source, ..) = dumps();
    for result in into_each(&dead, &mut source, Vec::new(), &Collect::default()) {
        assert!(result.unwrap_err().one_line().contains("injected fault"));
    }
}

#[test]
fn a_panic_of_one_is_its_own() {
    let source = tempfile::tempdir().unwrap();
    some_files(source.path());
    let stores = stores(2);
    let hooked = Hooked::new(Arc::clone(&stores[0]), |call| {
        if let Call::List(FileKind::Snapshot) = call {
            panic!("asked for");
        }
    });
    let faulty: [Arc<dyn Backend>; 2] = [Arc::new(hooked), Arc::clone(&stores[1])];
    let results = walk_into(&faulty, source.path());
    assert_eq!(results[0].as_ref().unwrap_err().kind(), Kind::Internal);
    assert_restores(&stores[1], results[1].as_ref().unwrap(), source.path(), "the other one");
}

#[test]
fn a_wish_to_stop_reaches_all() {
    let source = tempfile::tempdir().unwrap();
    some_files(source.path());
    for after in [0, 3, 20, 60, 150] {
        let stores = stores(3);
        let mut walk = Walk::new(&[source.path().to_owned()], WalkOptions::default()).unwrap();
        let paths = walk.roots();
        let monitor = Watch::new(move |asked| asked >= after);
        for result in into_each(&stores, &mut walk, paths, &monitor) {
            assert_eq!(result.unwrap_err().kind(), Kind::Cancelled, "after {after}");
        }
        for store in &stores {
            assert_eq!(store.list(FileKind::Snapshot).unwrap().len(), 0);
            assert_sound(store, "stopped");
        }
    }
}

#[test]
fn other_keys_mean_other_names_for_the_same_content() {
    let source = tempfile::tempdir().unwrap();
    some_files(source.path());
    let stores = stores(2);
    let other = Secret::from_file_text(&Secret::key_file_text(&[43; 32])).unwrap();
    let world = || Arc::new(World::seeded(7));
    let second = Repository::open(Arc::clone(&stores[1]), &secret(), world()).unwrap();
    second.add_key(&other, "other").unwrap();
    let reports: Vec<_> =
        walk_into(&stores, source.path()).into_iter().map(Result::unwrap).collect();
    assert_ne!(reports[0].snapshot.tree, reports[1].snapshot.tree);
    let shared: Vec<String> =
        names_in(stores[0].as_ref()).intersection(&names_in(stores[1].as_ref())).cloned().collect();
    assert_eq!(shared, ["config"]);
}
