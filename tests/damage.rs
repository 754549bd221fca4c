// SPDX-License-Identifier: MIT
//! What a broken disk, a cut-off copy or a malicious store does to each kind of file, and what each
//! command then says: never a panic, never wrong data, always the name of what is broken.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::local::Local;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName, read_all};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{FileId, Kind, World};
use ghostsnap::format::Snapshot;
use ghostsnap::ops::check::{ReadData, check};
use ghostsnap::ops::restore::to_folder;
use ghostsnap::repo::{IndexedRepository, Repository};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Clone, Copy)]
enum Damage {
    Removed,
    CutToHalf,
    Emptied,
    BitFlippedAtStart,
    BitFlippedInTheMiddle,
    BitFlippedAtEnd,
    SwappedForAnother,
    GrownByAByte,
}

const ALL: [Damage; 8] = [
    Damage::Removed,
    Damage::CutToHalf,
    Damage::Emptied,
    Damage::BitFlippedAtStart,
    Damage::BitFlippedInTheMiddle,
    Damage::BitFlippedAtEnd,
    Damage::SwappedForAnother,
    Damage::GrownByAByte,
];

fn damage(disk: &Mem, name: &FileName, damage: Damage) {
    let other =
        disk.list(name.kind).unwrap().into_iter().map(|(one, _)| one).find(|one| one != name);
    match damage {
        Damage::Removed => disk.remove(name).unwrap(),
        Damage::CutToHalf => disk.tamper(name, |bytes| bytes.truncate(bytes.len() / 2)),
        Damage::Emptied => disk.tamper(name, Vec::clear),
        Damage::BitFlippedAtStart => disk.tamper(name, |bytes| bytes[20] ^= 4),
        Damage::BitFlippedInTheMiddle => disk.tamper(name, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
        }),
        Damage::BitFlippedAtEnd => disk.tamper(name, |bytes| *bytes.last_mut().unwrap() ^= 4),
        Damage::SwappedForAnother => {
            let swapped = read_all(disk, &other.unwrap()).unwrap();
            disk.tamper(name, |bytes| *bytes = swapped);
        }
        Damage::GrownByAByte => disk.tamper(name, |bytes| bytes.push(0)),
    }
}

struct Fixture {
    _folder: tempfile::TempDir,
    source: PathBuf,
    disk: Mem,
    snapshots: Vec<Snapshot>,
    contents: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// Two snapshots of a small tree that share files, with several packs.
fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    let disk = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(disk.clone());
    let repository = init(Arc::clone(&backend));
    repository
        .add_key(
            &ghostsnap::format::keyslot::Secret::from_file_text(
                &ghostsnap::format::keyslot::Secret::key_file_text(&[7; 32]),
            )
            .unwrap(),
            "second",
        )
        .unwrap();
    let mut snapshots = Vec::new();
    let mut contents = Vec::new();
    for round in 0..2 {
        for n in 0..12 {
            let seed = if n < 6 { format!("{n}") } else { format!("{round} {n}") };
            fs::write(source.join(format!("sub/{n}")), noise(&seed, 30_000)).unwrap();
        }
        snapshots.push(backup_now(&backend, &source).snapshot);
        contents.push(files(&source));
    }
    Fixture { _folder: folder, source, disk, snapshots, contents }
}

fn files(root: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for name in manifest(root).into_keys() {
        use std::os::unix::ffi::OsStrExt;
        let path = root.join(std::ffi::OsStr::from_bytes(&name));
        if path.is_file() {
            found.push((name, fs::read(path).unwrap()));
        }
    }
    found
}

/// Restores everything that can be had; returns whether anything was reported.
fn restore_all(fixture: &Fixture, backend: &Arc<dyn Backend>, story: &str) -> bool {
    let Ok(repository) = to_look(backend) else { return true };
    let mut trouble = false;
    for (snapshot, expected) in fixture.snapshots.iter().zip(&fixture.contents) {
        let target = tempfile::tempdir().unwrap();
        let monitor = Collect::default();
        let base = base_of(&fixture.source);
        let done =
            to_folder(&repository, snapshot, &base, &restore_options(), target.path(), &monitor);
        trouble |= done.is_err() || !monitor.warnings().is_empty();
        let restored = files(target.path());
        for (name, bytes) in &restored {
            let (_, right) = expected.iter().find(|(one, _)| one == name).unwrap();
            assert!(right == bytes, "{story}: wrong data was restored");
        }
        if restored.len() < expected.len() {
            assert!(
                done.is_err() || !monitor.warnings().is_empty(),
                "{story}: silently incomplete"
            );
        }
    }
    trouble
}

/// As whoever restores opens it: with what can be read of the index.
fn to_look(backend: &Arc<dyn Backend>) -> ghostsnap::base::Result<IndexedRepository> {
    let world = Arc::new(World::seeded(8));
    let repository = Repository::open(Arc::clone(backend), &secret(), world)?;
    repository.indexed_to_look(&Collect::default())
}

#[test]
fn a_part_of_the_index_that_cannot_be_read_hides_only_what_it_names() {
    let fixture = fixture();
    let segments = fixture.disk.list(FileKind::Index).unwrap();
    let mut whole = 0;
    for (name, _) in &segments {
        for newer in [false, true] {
            let disk = fixture.disk.copy();
            disk.tamper(name, |bytes| if newer { bytes[15] = 0x80 } else { bytes[60] ^= 1 });
            let backend: Arc<dyn Backend> = Arc::new(disk.clone());
            // Whoever stores or removes something must know all that is noted.
            let error = try_open(Arc::clone(&backend)).err().unwrap();
            let kind = if newer { Kind::Newer } else { Kind::Damaged };
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(&name.to_string()), "{error}");
            let heard = Watch::new(|_| false);
            let world = Arc::new(World::seeded(8));
            let repository = Repository::open(Arc::clone(&backend), &secret(), world).unwrap();
            let repository = repository.indexed_to_read("restore", &heard).unwrap();
            let notes = heard.notes.lock().unwrap().clone();
            assert!(notes.iter().any(|one| one.contains(&name.to_string())), "{notes:?}");
            drop(repository);
            // The older snapshot needs nothing that only the later segment names.
            let older = fixture.snapshots.iter().take(1).zip(&fixture.contents);
            for (snapshot, expected) in older {
                let target = tempfile::tempdir().unwrap();
                let (base, monitor) = (base_of(&fixture.source), Collect::default());
                let (options, into) = (restore_options(), target.path());
                let repository = to_look(&backend).unwrap();
                let done = to_folder(&repository, snapshot, &base, &options, into, &monitor);
                if done.is_ok() && monitor.warnings().is_empty() {
                    assert_eq!(&files(target.path()), expected);
                    whole += 1;
                }
            }
        }
    }
    assert!(segments.len() > 1 && whole == 2 * (segments.len() - 1), "{whole}");
}

fn try_check(backend: &Arc<dyn Backend>) -> ghostsnap::base::Result<bool> {
    let world = Arc::new(World::seeded(9));
    let repository = Repository::open(Arc::clone(backend), &secret(), world)?;
    Ok(check(repository, ReadData::All, &Collect::default())?.is_damaged())
}

fn matrix(kind: FileKind) {
    let fixture = fixture();
    for (name, _) in fixture.disk.list(kind).unwrap() {
        for how in ALL {
            if kind == FileKind::Config && matches!(how, Damage::SwappedForAnother) {
                continue;
            }
            let story = format!("{kind:?} {how:?}");
            let disk = fixture.disk.copy();
            damage(&disk, &name, how);
            let backend: Arc<dyn Backend> = Arc::new(disk.clone());
            let restored_with_trouble = restore_all(&fixture, &backend, &story);
            let found = try_check(&backend).unwrap_or(true);
            // A snapshot that is gone altogether is what forget leaves behind: signed heads will
            // tell the two apart; a key slot is not needed while another one opens.
            let may_be_silent = matches!(kind, FileKind::Snapshot | FileKind::Key);
            assert!(found || may_be_silent, "{story}: check found nothing");
            // Check must see at least what a restore runs into.
            assert!(!restored_with_trouble || found || may_be_silent, "{story}");
            // A later backup never panics and never makes the damage look good.
            if let Ok(repository) = try_open(Arc::clone(&backend)) {
                drop(try_backup(&repository, &fixture.source));
                restore_all(&fixture, &backend, &story);
            }
        }
    }
}

#[test]
fn damaged_packs() {
    matrix(FileKind::Pack);
}

#[test]
fn damaged_index_segments() {
    matrix(FileKind::Index);
}

#[test]
fn damaged_snapshots() {
    matrix(FileKind::Snapshot);
}

#[test]
fn damaged_key_slots() {
    matrix(FileKind::Key);
}

#[test]
fn a_damaged_config() {
    matrix(FileKind::Config);
}

#[test]
fn an_old_snapshot_put_under_a_new_name_is_noticed() {
    let fixture = fixture();
    let names = fixture.disk.list(FileKind::Snapshot).unwrap();
    let old = read_all(&fixture.disk, &names[0].0).unwrap();
    fixture.disk.tamper(&names[1].0, |bytes| *bytes = old);
    let backend: Arc<dyn Backend> = Arc::new(fixture.disk.clone());
    assert!(try_check(&backend).unwrap());
    assert_eq!(open(backend).snapshots().unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn a_snapshot_of_a_newer_program_is_kept_and_said_to_be_newer() {
    let fixture = fixture();
    let (name, _) = fixture.disk.list(FileKind::Snapshot).unwrap()[0];
    fixture.disk.tamper(&name, |bytes| bytes[5] = 99);
    let backend: Arc<dyn Backend> = Arc::new(fixture.disk.clone());
    assert!(!try_check(&backend).unwrap(), "newer is not damaged");
    // Whoever deletes by this list must stop.
    assert_eq!(open(Arc::clone(&backend)).snapshots().unwrap_err().kind(), Kind::Newer);
    // A backup goes on, and the newer snapshot stays.
    backup_now(&backend, &fixture.source);
    assert!(backend.size(&name).unwrap().is_some());
}

#[test]
fn a_record_that_a_store_says_is_endless_is_damaged_and_never_read() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let backend: Arc<dyn Backend> = Arc::new(Local::new(folder.path()));
    copy_files(&fixture.disk, backend.as_ref());
    let name = |kind| FileName::new(kind, FileId([7; 32]));
    let endless = |kind| {
        let file = fs::File::create(folder.path().join(name(kind).to_string())).unwrap();
        file.set_len(300 << 20).unwrap();
    };
    endless(FileKind::Snapshot);
    let heard = Collect::default();
    let repository = open(Arc::clone(&backend));
    assert_eq!(repository.readable_snapshots(&heard).unwrap().len(), fixture.snapshots.len());
    assert_eq!(heard.warnings().len(), 1);
    assert!(heard.warnings()[0].contains("far too many"), "{:?}", heard.warnings());
    endless(FileKind::Index);
    let error = try_open(Arc::clone(&backend)).err().unwrap();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.one_line().contains("far too many"), "{error}");
    // Whoever only looks goes on without it.
    to_look(&backend).unwrap();
}
