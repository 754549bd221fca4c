// SPDX-License-Identifier: MIT
//! Repositories of every released format, kept as files. What was written once can be read for
//! ever: opened with its key file and with its password, listed, checked, and restored to what the
//! table below says. The folders under tests/golden are append-only: a change that breaks one of
//! them breaks somebody's backups.
//!
//! To add a new one: raise the name in `GOLDEN`, extend `made`, run this test once with
//! GHOSTSNAP_WRITE_GOLDEN=1, commit the folder.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::local::Local;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName, read_all};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Counter, RelPath, Timestamp, World};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::format::snapshot::Object;
use ghostsnap::format::tree::Meta;
use ghostsnap::format::{NodeKind, Snapshot};
use ghostsnap::ops::BackupOptions;
use ghostsnap::ops::check::{ReadData, check};
use ghostsnap::ops::restore::{RestoreOptions, to_folder};
use ghostsnap::repo::Repository;
use ghostsnap::tree::dir::OwnerPolicy;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GOLDEN: [&str; 1] = ["v1"];
/// Two nights of an SQL dump, stored row by row.
const ROWS: &str = "v1-rows";
/// A night of the owner's and one of a server with write-only keys.
const WRITE_ONLY: &str = "v1-write-only";
const PASSWORD: &str = "correct horse battery staple";

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

/// The two states of the source; `night` 1 has one file changed, one gone and one new.
fn source(night: u64) -> Literal {
    let mut source = Literal::new();
    source.folder("web").folder("web/example.com");
    source.file("web/example.com/index.php", b"<?php echo 'hello'; ?>\n".repeat(200).as_slice());
    source.file("web/example.com/empty", b"");
    if night == 0 {
        source.file("web/example.com/gone", b"only in the first");
        source.meta(NodeKind::File);
    } else {
        source.meta(NodeKind::File);
        source.file("web/example.com/new", b"only in the second");
    }
    source.file("web/example.com/image.jpg", &noise("image", 60_000));
    source.link("web/example.com/link", b"../../mail/\xff");
    source.folder("mail").folder("mail/cur");
    for n in 0..70 {
        source.file(&format!("mail/cur/{n:03}.host:2,S"), noise(&format!("{n}"), 500).as_slice());
    }
    let twin = Meta { links: 2, device: 5, ..source.meta(NodeKind::File) };
    source.file_as("mail/one", twin.clone(), b"one file of two names");
    source.file_as("mail/two", twin, b"one file of two names");
    let mut odd = source.meta(NodeKind::File);
    odd.ctime.seconds += i64::try_from(night).unwrap();
    odd.mode = 0o1640;
    odd.mtime = Timestamp { seconds: -1, nanos: 999_999_999 };
    odd.xattrs = vec![(b"user.comment".to_vec(), b"gr\xc3\xbcn\0".to_vec())];
    source.file_as("odd \n name", odd, if night == 0 { b"before" } else { b"after!" });
    let mut fifo = source.meta(NodeKind::Fifo);
    fifo.mode = 0o600;
    source.entry("pipe", fifo, Body::Nothing);
    source
}

fn options(night: u64) -> BackupOptions {
    let mut options = BackupOptions::new(Snapshot {
        name: format!("hestia-alice-2026010{}-030405", night + 1),
        time: Timestamp {
            seconds: 1_767_323_045 + 86_400 * i64::try_from(night).unwrap(),
            nanos: 5,
        },
        host: "server.example.com".to_owned(),
        user: "alice".to_owned(),
        user_identity: "alice 1001".to_owned(),
        source: "paths".to_owned(),
        paths: vec![b"/home/alice".to_vec()],
        tags: vec!["nightly".to_owned()],
        objects: vec![Object { section: "WEB".to_owned(), name: "example.com".to_owned() }],
        pinned: night == 0,
        ..Snapshot::default()
    });
    options.workers = 1;
    options
}

/// The repository as today's program makes it from nothing but a seed.
fn made() -> Mem {
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    let world = Arc::new(World::seeded(2026));
    let repository = Repository::init(Arc::clone(&backend), &secret(), "key file", world).unwrap();
    repository.add_key(&Secret::password(PASSWORD), "password").unwrap();
    for night in 0..2 {
        let world = Arc::new(World::seeded(night));
        let repository = Repository::open(Arc::clone(&backend), &secret(), world).unwrap();
        let repository = repository.indexed(&Collect::default()).unwrap();
        let (mut source, monitor) = (source(night), Collect::default());
        let report =
            ghostsnap::ops::backup(&repository, &mut source, &options(night), &monitor).unwrap();
        assert!(monitor.warnings().is_empty());
        assert_eq!(report.counts.get(Counter::FilesReused), if night == 0 { 0 } else { 75 });
    }
    mem
}

/// The dump of a night: a few rows change.
fn dump(night: u64) -> Vec<u8> {
    let text = |n: u64| match n % 900 {
        7 => format!("row {n} on night {night}"),
        _ => format!("row {n}"),
    };
    let rows: Vec<String> = (0..4000).map(|n| format!("({n},'{}')", hex(&text(n)))).collect();
    let dump = format!("INSERT INTO `t` VALUES {};\n-- Dump completed\n", rows.join(","));
    dump.into_bytes()
}

fn hex(text: &str) -> String {
    noise(text, 16).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn made_of_rows() -> Mem {
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    let world = Arc::new(World::seeded(2027));
    Repository::init(Arc::clone(&backend), &secret(), "key file", world).unwrap();
    for night in 0..2 {
        let world = Arc::new(World::seeded(night));
        let repository = Repository::open(Arc::clone(&backend), &secret(), world).unwrap();
        let repository = repository.indexed(&Collect::default()).unwrap();
        let mut source = Literal::new();
        let mut meta = source.meta(NodeKind::File);
        meta.ctime.seconds += i64::try_from(night).unwrap();
        source.file_as("all.sql", meta, &dump(night));
        let monitor = Collect::default();
        ghostsnap::ops::backup(&repository, &mut source, &options(night), &monitor).unwrap();
        assert!(monitor.warnings().is_empty());
    }
    mem
}

fn server() -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[43; 32])).unwrap()
}

fn made_by_write_only_keys() -> Mem {
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    let world = Arc::new(World::seeded(2028));
    let made =
        Repository::init_for_write_only_keys(Arc::clone(&backend), &secret(), "owner", world);
    made.unwrap().add_write_only_key(&server(), "server").unwrap();
    for (night, key) in [(0, secret()), (1, server())] {
        let world = Arc::new(World::seeded(2030 + night));
        let repository = Repository::open(Arc::clone(&backend), &key, world).unwrap();
        let repository = repository.indexed(&Collect::default()).unwrap();
        let (mut source, monitor) = (source(night), Collect::default());
        ghostsnap::ops::backup(&repository, &mut source, &options(night), &monitor).unwrap();
        assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
    }
    mem
}

#[test]
fn a_golden_repository_of_write_only_keys_opens_with_the_owners_and_only_with_them() {
    let made = files(&made_by_write_only_keys());
    assert!(made == files(&made_by_write_only_keys()));
    let root = folder(WRITE_ONLY);
    if std::env::var_os("GHOSTSNAP_WRITE_GOLDEN").is_some() {
        assert!(!root.exists(), "what is golden is never written again");
        for (name, bytes) in &made {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let repository = open(golden(WRITE_ONLY));
    let snapshots = repository.snapshots().unwrap();
    assert_eq!(snapshots.iter().map(|(_, one)| one.is_deposit).collect::<Vec<_>>(), [false, true]);
    for (_, snapshot) in &snapshots {
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions { owners: OwnerPolicy::Keep, ..RestoreOptions::default() };
        let (root, monitor) = (RelPath::root(), Collect::default());
        to_folder(&repository, snapshot, &root, &options, target.path(), &monitor).unwrap();
        assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
    }
    let open_with =
        |secret| Repository::open(golden(WRITE_ONLY), &secret, Arc::new(World::seeded(1))).unwrap();
    let report = check(open_with(secret()), ReadData::All, &Collect::default()).unwrap();
    assert_eq!(report.findings, []);
    let adding = open_with(server());
    assert!(adding.keys().is_write_only());
    assert!(adding.readable_snapshots(&Collect::default()).unwrap().is_empty());
    assert!(!adding.indexed(&Collect::default()).unwrap().index().packs().is_empty());
}

#[test]
fn a_golden_repository_of_rows_is_what_todays_program_makes_and_restores() {
    let made = files(&made_of_rows());
    assert!(made == files(&made_of_rows()));
    let root = folder(ROWS);
    if std::env::var_os("GHOSTSNAP_WRITE_GOLDEN").is_some() {
        assert!(!root.exists(), "what is golden is never written again");
        for (name, bytes) in &made {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let repository = open(golden(ROWS));
    let new = open(Arc::new(made_of_rows()));
    // Names of chunks, and with them where groups end, are frozen.
    let chunks = |repository: &ghostsnap::repo::IndexedRepository| {
        let all = all_chunks(repository).into_iter();
        all.map(|(id, place)| (id, place.length)).collect::<Vec<_>>()
    };
    assert_eq!(chunks(&new), chunks(&repository));
    for (night, (_, snapshot)) in (0..).zip(&repository.snapshots().unwrap()) {
        assert_eq!(snapshot.features, 1);
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions { owners: OwnerPolicy::Keep, ..RestoreOptions::default() };
        let (root, monitor) = (RelPath::root(), Collect::default());
        to_folder(&repository, snapshot, &root, &options, target.path(), &monitor).unwrap();
        assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
        assert!(fs::read(target.path().join("all.sql")).unwrap() == dump(night));
    }
    let world = Arc::new(World::seeded(1));
    let repository = Repository::open(golden(ROWS), &secret(), world).unwrap();
    let report = check(repository, ReadData::All, &Collect::default()).unwrap();
    assert_eq!(report.findings, []);
}

fn files(mem: &Mem) -> BTreeMap<String, Vec<u8>> {
    mem.names().iter().map(|name| (name.to_string(), read_all(mem, name).unwrap())).collect()
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    let first = files(&made());
    for _ in 0..8 {
        let again = files(&made());
        assert_eq!(first.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
        assert!(first == again);
    }
    assert!(first.values().map(Vec::len).sum::<usize>() < 300_000);
    if std::env::var_os("GHOSTSNAP_WRITE_GOLDEN").is_some() {
        let root = folder(GOLDEN[GOLDEN.len() - 1]);
        assert!(!root.exists(), "what is golden is never written again");
        for (name, bytes) in &first {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn many_packs_stored_side_by_side_are_the_same_bytes_too() {
    let made = || {
        let mem = Mem::new();
        let backend: Arc<dyn Backend> = Arc::new(mem.clone());
        init(Arc::clone(&backend));
        let mut source = Literal::new();
        for folder in 0..16 {
            source.folder(&format!("{folder:02}"));
            source.file(&format!("{folder:02}/large"), &noise(&format!("{folder}"), 600_000));
            for n in 0..600 {
                let path = format!("{folder:02}/{n:03} with a name that takes some room in a tree");
                source.file(&path, path.as_bytes());
            }
        }
        let mut options = options(0);
        options.writer.pack_bytes = Some(64 * 1024);
        let repository = open(Arc::clone(&backend));
        let monitor = Collect::default();
        ghostsnap::ops::backup(&repository, &mut source, &options, &monitor).unwrap();
        files(&mem)
    };
    let first = made();
    let packs = first.keys().filter(|name| name.starts_with("packs/")).count();
    assert!(packs > 18, "{packs}");
    for _ in 0..3 {
        assert!(first == made());
    }
}

#[test]
fn every_golden_folder_is_tested() {
    let mut found: Vec<String> = fs::read_dir(folder(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, [&GOLDEN[..], &[ROWS, WRITE_ONLY]].concat());
}

fn golden(version: &str) -> Arc<dyn Backend> {
    Arc::new(Local::new(&folder(version)))
}

#[test]
fn every_golden_repository_opens_by_key_file_and_by_password_and_is_sound() {
    for version in GOLDEN {
        for secret in [secret(), Secret::password(PASSWORD)] {
            let world = Arc::new(World::seeded(1));
            let repository = Repository::open(golden(version), &secret, world).unwrap();
            let mut labels: Vec<String> =
                repository.key_slots().unwrap().into_iter().map(|(_, slot)| slot.label).collect();
            labels.sort();
            assert_eq!(labels, ["key file", "password"]);
            let report = check(repository, ReadData::All, &Collect::default()).unwrap();
            assert_eq!(report.findings, []);
            assert_eq!((report.snapshots, report.packs_read), (2, 4));
        }
        let wrong = Secret::password("wrong");
        assert!(Repository::open(golden(version), &wrong, Arc::new(World::seeded(1))).is_err());
    }
}

#[test]
fn every_golden_repository_lists_what_it_always_listed() {
    for version in GOLDEN {
        let repository = open(golden(version));
        let snapshots = repository.snapshots().unwrap();
        assert_eq!(snapshots.len(), 2);
        for (night, (_, snapshot)) in (0..).zip(&snapshots) {
            let wanted = options(night).template;
            let found = Snapshot {
                tree: Vec::new(),
                parent: None,
                program: String::new(),
                totals: wanted.totals,
                // Objects are what the source says; a literal says nothing.
                objects: wanted.objects.clone(),
                ..snapshot.clone()
            };
            assert_eq!(found, wanted);
            assert_eq!((snapshot.totals.files, snapshot.totals.folders), (77, 5));
            assert_eq!(snapshot.warnings, 0);
        }
        assert_eq!(snapshots[0].1.parent, None);
        assert_eq!(snapshots[1].1.parent, Some(snapshots[0].0));
    }
}

/// Names of chunks, and with them cutting and keys, do not depend on how anything is compressed:
/// they are frozen, or a new version of the program would store everything once more.
#[test]
fn todays_program_names_chunks_and_trees_as_the_golden_one_did() {
    let mem = made();
    let new = open(Arc::new(mem.clone()));
    let old = open(golden(GOLDEN[GOLDEN.len() - 1]));
    let chunks = |repository: &ghostsnap::repo::IndexedRepository| {
        let all = all_chunks(repository).into_iter();
        all.map(|(id, place)| (id, place.length)).collect::<Vec<_>>()
    };
    assert_eq!(chunks(&new), chunks(&old));
    let trees = |repository: &ghostsnap::repo::IndexedRepository| {
        let all = repository.snapshots().unwrap();
        all.into_iter().map(|(_, one)| one.tree).collect::<Vec<_>>()
    };
    assert_eq!(trees(&new), trees(&old));
    // The plain files of an old repository are not touched by a new backup into it.
    let copy = Mem::new();
    for kind in FileKind::ALL {
        for (name, _) in golden(GOLDEN[0]).list(kind).unwrap() {
            copy.create(&name, &read_all(golden(GOLDEN[0]).as_ref(), &name).unwrap()).unwrap();
        }
    }
    let before: Vec<FileName> = copy.names();
    let backend: Arc<dyn Backend> = Arc::new(copy.clone());
    let repository = open(Arc::clone(&backend));
    let monitor = Collect::default();
    let mut again = source(1);
    let report = ghostsnap::ops::backup(&repository, &mut again, &options(2), &monitor).unwrap();
    assert_eq!(report.counts.get(Counter::BytesRead), 0, "an unchanged night reads nothing");
    assert_eq!(report.counts.get(Counter::ChunksNew), 0);
    let added: Vec<FileName> =
        copy.names().into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(added.iter().map(|name| name.kind).collect::<Vec<_>>(), [FileKind::Snapshot]);
}

#[test]
fn every_golden_repository_restores_to_what_it_always_held() {
    for version in GOLDEN {
        let repository = open(golden(version));
        for (night, (_, snapshot)) in repository.snapshots().unwrap().iter().enumerate() {
            let target = tempfile::tempdir().unwrap();
            let options = RestoreOptions { owners: OwnerPolicy::Keep, ..RestoreOptions::default() };
            let monitor = Collect::default();
            let root = RelPath::root();
            to_folder(&repository, snapshot, &root, &options, target.path(), &monitor).unwrap();
            assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
            assert_restored(target.path(), night);
            let all = entries(&repository, snapshot);
            let (_, node) = all.iter().find(|(path, _)| path == "mail/cur/000.host:2,S").unwrap();
            let meta = &node.meta;
            assert_eq!((meta.uid, meta.gid), (1001, 1002));
            assert_eq!((meta.user.as_str(), meta.group.as_str()), ("alice", "www-data"));
        }
    }
}

fn assert_restored(target: &Path, night: usize) {
    let read = |path: &str| fs::read(target.join(path)).unwrap();
    assert_eq!(read("web/example.com/index.php"), b"<?php echo 'hello'; ?>\n".repeat(200));
    assert_eq!(read("web/example.com/empty"), b"");
    assert!(read("web/example.com/image.jpg") == noise("image", 60_000));
    for n in 0..70 {
        assert_eq!(read(&format!("mail/cur/{n:03}.host:2,S")), noise(&format!("{n}"), 500));
    }
    let (there, not_there) = if night == 0 { ("gone", "new") } else { ("new", "gone") };
    let words = ["only in the first", "only in the second"];
    assert_eq!(read(&format!("web/example.com/{there}")), words[night].as_bytes());
    assert!(!target.join("web/example.com").join(not_there).exists());
    assert_eq!(read("odd \n name"), [b"before", b"after!"][night]);
    let odd = fs::metadata(target.join("odd \n name")).unwrap();
    assert_eq!(odd.mode() & 0o7777, 0o1640);
    assert_eq!((odd.mtime(), odd.mtime_nsec()), (-1, 999_999_999));
    if let Ok(value) = xattr::get(target.join("odd \n name"), "user.comment") {
        assert_eq!(value.unwrap(), b"gr\xc3\xbcn\0");
    }
    use std::os::unix::ffi::OsStrExt;
    let link = fs::read_link(target.join("web/example.com/link")).unwrap();
    assert_eq!(link.as_os_str().as_bytes(), b"../../mail/\xff");
    let inode = |path: &str| fs::metadata(target.join(path)).unwrap().ino();
    assert_eq!(inode("mail/one"), inode("mail/two"));
    assert_eq!(read("mail/two"), b"one file of two names");
    use std::os::unix::fs::FileTypeExt;
    let pipe = fs::symlink_metadata(target.join("pipe")).unwrap();
    assert!(pipe.file_type().is_fifo() && pipe.mode() & 0o777 == 0o600);
    // Root is 1, web 2, example.com 3, index.php 4: each literal entry is a second later.
    let index = fs::metadata(target.join("web/example.com/index.php")).unwrap();
    assert_eq!((index.mtime(), index.mtime_nsec()), (1_700_000_004, 123_456_789));
    assert_eq!(fs::metadata(target.join("web/example.com")).unwrap().mtime(), 1_700_000_003);
}
