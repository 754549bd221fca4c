// SPDX-License-Identifier: MIT
//! Files of rows, such as SQL dumps, generation after generation: little is stored again, every
//! generation comes back, and what cannot be read is left out and said.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::Backend;
use ghostsnap::backend::mem::Mem;
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Error, Kind, Monitor, RelPath, Result, World};
use ghostsnap::format::tree::Meta;
use ghostsnap::format::{NodeKind, Snapshot};
use ghostsnap::ops::check::{ReadData, check};
use ghostsnap::ops::restore::{FileReader, RestoreOptions, find_node, to_folder};
use ghostsnap::ops::{BackupOptions, BackupReport};
use ghostsnap::repo::{Reader, Repository};
use ghostsnap::tree::source::SIZE_UNKNOWN;
use ghostsnap::tree::{Content, Entry, Source};
use std::io::{self, Read};
use std::sync::Arc;

/// A table: ids with a text that belongs to each.
#[derive(Clone)]
struct Table(Vec<(u32, u32)>);

impl Table {
    fn new(rows: u32) -> Self {
        Self((0..rows).map(|id| (id, 0)).collect())
    }

    /// Changes one row in `every`, scattered, others each day; adds some at the end.
    fn next_day(&mut self, day: u32, every: u32) {
        for (id, version) in &mut self.0 {
            let dice = blake3::hash(format!("{id} on day {day}").as_bytes());
            if u32::from_le_bytes(dice.as_bytes()[..4].try_into().unwrap()) % every == 0 {
                *version = day;
            }
        }
        let last = self.0.last().map_or(0, |row| row.0);
        self.0.extend((1..50).map(|more| (last + more, day)));
        self.0.remove(usize::try_from(day * 31).unwrap() % self.0.len());
    }

    /// As `mysqldump` writes it: rows of long inserts in one line of up to a mebibyte.
    fn dump(&self) -> Vec<u8> {
        let mut out = b"-- dump\nCREATE TABLE `t` (`id` int);\nINSERT INTO `t` VALUES ".to_vec();
        let mut line = 0;
        for (place, (id, version)) in self.0.iter().enumerate() {
            let text = blake3::hash(format!("{id} {version}").as_bytes()).to_hex();
            let row =
                format!("({id},'{text}','{}',NULL,{version})", "a title of some length ".repeat(4));
            if line + row.len() > 1_000_000 {
                out.extend_from_slice(b";\nINSERT INTO `t` VALUES ");
                line = 0;
            } else if place > 0 {
                out.push(b',');
            }
            line += row.len();
            out.extend_from_slice(row.as_bytes());
        }
        out.extend_from_slice(b";\n-- Dump completed\n");
        out
    }
}

/// A folder with one file of rows, and after it a small one.
struct Dump<'d> {
    left: Vec<&'static str>,
    content: Box<dyn Fn() -> Box<dyn Read + 'd> + 'd>,
}

impl<'d> Dump<'d> {
    fn of(data: &'d [u8]) -> Self {
        Self::reading(move || Box::new(data))
    }

    fn reading(content: impl Fn() -> Box<dyn Read + 'd> + 'd) -> Self {
        Self { left: vec!["z", "all.sql", ""], content: Box::new(content) }
    }
}

impl Source for Dump<'_> {
    fn next_entry(&mut self, _: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        let Some(path) = self.left.pop() else { return Ok(None) };
        let kind = if path.is_empty() { NodeKind::Folder } else { NodeKind::File };
        let content = match path {
            "" => Content::Nothing,
            "z" => Content::Stream(Box::new(&b"after"[..])),
            _ => Content::Rows((self.content)()),
        };
        let size = if path == "all.sql" { SIZE_UNKNOWN } else { 0 };
        let meta = Meta { kind, mode: 0o600, size, ..Meta::default() };
        let path = RelPath::parse(path.as_bytes()).unwrap();
        Ok(Some(Entry { path, meta, content }))
    }
}

fn store(backend: &Arc<dyn Backend>, mut source: Dump<'_>, monitor: &Collect) -> BackupReport {
    let options = options();
    let template = Snapshot { user: "alice".to_owned(), ..options.template };
    let options = BackupOptions { template, ..options };
    let mut repository = open(Arc::clone(backend));
    let report = ghostsnap::ops::backup(&repository, &mut source, &options, monitor).unwrap();
    repository.reload(monitor).unwrap();
    report
}

fn read(backend: &Arc<dyn Backend>, snapshot: &Snapshot) -> Vec<u8> {
    let repository = open(Arc::clone(backend));
    let reader = Reader::new(&repository);
    let path = RelPath::parse(b"all.sql").unwrap();
    let node = find_node(&reader, snapshot, &path).unwrap();
    let mut bytes = Vec::new();
    FileReader::new(&reader, &node).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn check_all(backend: &Arc<dyn Backend>) {
    let world = Arc::new(World::seeded(9));
    let repository = Repository::open(Arc::clone(backend), &secret(), world).unwrap();
    assert_eq!(check(repository, ReadData::All, &Collect::default()).unwrap().findings, []);
}

#[test]
fn a_day_of_scattered_changes_adds_little_and_every_day_comes_back() {
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    init(Arc::clone(&backend));
    let (mut table, monitor) = (Table::new(60_000), Collect::default());
    let mut days = Vec::new();
    let mut sizes = Vec::new();
    for day in 1..=12 {
        let dump = table.dump();
        let before = mem.bytes();
        let report = store(&backend, Dump::of(&dump), &monitor);
        sizes.push(mem.bytes() - before);
        assert_eq!(report.snapshot.totals.bytes, u64::try_from(dump.len()).unwrap() + 5);
        days.push((report.snapshot, dump));
        table.next_day(day, 80);
    }
    assert_eq!(monitor.warnings(), [""; 0]);
    for (snapshot, dump) in &days {
        assert!(read(&backend, snapshot) == *dump, "{}", snapshot.name);
    }
    check_all(&backend);
    // 1.25 % of the rows a day.
    let percent: Vec<_> = sizes.iter().map(|size| size * 100 / sizes[0]).collect();
    assert!(percent[1] < 20, "{percent:?}");
    let later: u64 = percent[1..].iter().sum::<u64>() / 11;
    assert!(later < 25, "{percent:?}");
}

#[test]
fn a_dump_is_restored_over_an_older_one_and_verified() {
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let (mut table, monitor) = (Table::new(30_000), Collect::default());
    let first = table.dump();
    store(&backend, Dump::of(&first), &monitor);
    table.next_day(1, 80);
    let second = table.dump();
    let report = store(&backend, Dump::of(&second), &monitor);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("all.sql");
    let options = RestoreOptions { verify: true, ..restore_options() };
    let repository = open(backend);
    for old in [None, Some(&first), Some(&second)] {
        if let Some(old) = old {
            std::fs::write(&target, old).unwrap();
        }
        let root = RelPath::root();
        let monitor = Collect::default();
        to_folder(&repository, &report.snapshot, &root, &options, folder.path(), &monitor).unwrap();
        assert_eq!(monitor.warnings(), [""; 0]);
        assert!(std::fs::read(&target).unwrap() == second);
    }
}

#[test]
fn an_unchanged_dump_adds_next_to_nothing() {
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    init(Arc::clone(&backend));
    let (dump, monitor) = (Table::new(50_000).dump(), Collect::default());
    let first = store(&backend, Dump::of(&dump), &monitor);
    let before = mem.bytes();
    let second = store(&backend, Dump::of(&dump), &monitor);
    assert_eq!(second.snapshot.tree, first.snapshot.tree);
    assert!(mem.bytes() - before < 1024);
}

/// Yields its data and then fails.
struct Breaking<'d>(&'d [u8]);

impl Read for Breaking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(Error::new(Kind::Db, "dump the database").why("it broke").into()),
            got => Ok(got),
        }
    }
}

#[test]
fn a_dump_that_breaks_is_left_out_and_said_and_the_rest_is_kept() {
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let data = Table::new(30_000).dump();
    for data in [&data[..], &data[..100], b""] {
        let monitor = Collect::default();
        let report = store(&backend, Dump::reading(|| Box::new(Breaking(data))), &monitor);
        assert_eq!(report.snapshot.warnings, 1);
        assert!(monitor.warnings()[0].contains("back up all.sql"), "{:?}", monitor.warnings());
        assert!(report.snapshot.is_partial());
        assert_eq!(report.snapshot.totals.files, 1, "the file after it");
    }
    check_all(&backend);
}

#[test]
fn a_snapshot_with_rows_says_what_its_reader_must_know() {
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let monitor = Collect::default();
    let small = store(&backend, Dump::of(b"-- nothing\n"), &monitor);
    assert_eq!(small.snapshot.features, 0);
    let dump = Table::new(10_000).dump();
    let large = store(&backend, Dump::of(&dump), &monitor);
    assert_eq!(large.snapshot.features, 1);
}
