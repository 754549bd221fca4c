// SPDX-License-Identifier: MIT
//! The conformance suite: every backend and every wrapper keeps the contract of `trait Backend`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::local::Local;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::throttle::{Rates, Throttled};
use ghostsnap::backend::{Backend, FileKind, FileName, read_all};
use ghostsnap::base::monitor::Stop;
use ghostsnap::base::units::ByteSize;
use ghostsnap::base::{FileId, Kind, World};
use std::sync::Arc;

fn name(kind: FileKind, n: u8) -> FileName {
    FileName::new(kind, FileId([n; 32]))
}

fn suite(backend: &dyn Backend) {
    for kind in FileKind::ALL {
        assert_eq!(backend.list(kind).unwrap(), [], "an empty store lists nothing: {kind:?}");
    }
    // What is stored is there, whole, listed with its size, and readable in parts.
    let pack = name(FileKind::Pack, 0xab);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    backend.create(&pack, &bytes).unwrap();
    assert_eq!(backend.size(&pack).unwrap(), Some(100_000));
    assert_eq!(read_all(backend, &pack).unwrap(), bytes);
    assert_eq!(backend.read(&pack, 10..20).unwrap(), bytes[10..20]);
    assert_eq!(backend.read(&pack, 100_000..100_000).unwrap(), b"");
    assert_eq!(backend.list(FileKind::Pack).unwrap(), [(pack, 100_000)]);
    // A read beyond the end is damage, not a short answer.
    assert_eq!(backend.read(&pack, 99_999..100_001).unwrap_err().kind(), Kind::Damaged);
    // A new file never replaces one that is there.
    assert_eq!(backend.create(&pack, b"other").unwrap_err().kind(), Kind::Exists);
    assert_eq!(read_all(backend, &pack).unwrap(), bytes);
    // Kinds are separate; empty files are files; the config has one name.
    backend.create(&name(FileKind::Index, 0xab), b"").unwrap();
    backend.create(&FileName::CONFIG, b"config").unwrap();
    assert_eq!(backend.list(FileKind::Index).unwrap(), [(name(FileKind::Index, 0xab), 0)]);
    assert_eq!(backend.list(FileKind::Config).unwrap(), [(FileName::CONFIG, 6)]);
    // What is missing is missing in every way.
    let missing = name(FileKind::Snapshot, 1);
    assert_eq!(backend.size(&missing).unwrap(), None);
    assert_eq!(backend.read(&missing, 0..1).unwrap_err().kind(), Kind::NotFound);
    // Removing is final and may be repeated.
    backend.remove(&pack).unwrap();
    backend.remove(&pack).unwrap();
    assert_eq!(backend.list(FileKind::Pack).unwrap(), []);
    backend.create(&pack, b"again").unwrap();
    // Many files of one kind: the list is complete.
    for n in 0..50 {
        backend.create(&name(FileKind::Key, n), &[n]).unwrap();
    }
    let mut listed = backend.list(FileKind::Key).unwrap();
    listed.sort_unstable();
    assert_eq!(listed.len(), 50);
    assert!(!backend.location().is_empty());
}

/// Of many who create one name at once exactly one succeeds, and the file is whole.
fn race(backend: &dyn Backend) {
    let contested = name(FileKind::Lock, 9);
    let winners: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u8)
            .map(|n| scope.spawn(move || backend.create(&contested, &[n; 10_000]).is_ok()))
            .collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!(winners, 1);
    let bytes = read_all(backend, &contested).unwrap();
    assert!(bytes.len() == 10_000 && bytes.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn memory_keeps_the_contract() {
    suite(&Mem::new());
    race(&Mem::new());
}

#[test]
fn a_local_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    suite(&Local::new(&folder.path().join("not/yet/there")));
    race(&Local::new(&folder.path().join("race")));
}

#[test]
fn the_fault_wrapper_without_a_fault_keeps_the_contract() {
    suite(&Faulty::new(Arc::new(Mem::new()), Fault::None));
}

#[test]
fn the_throttle_keeps_the_contract_whatever_its_rates() {
    let world = Arc::new(World::seeded(1));
    let slow = Rates { upload: Some(ByteSize(1000)), download: Some(ByteSize(2000)) };
    for rates in [Rates::default(), slow] {
        let wrap = || Throttled::wrap(Arc::new(Mem::new()), rates, &world, &Stop::NEVER);
        suite(wrap().as_ref());
        race(wrap().as_ref());
    }
}

#[test]
fn a_throttle_takes_the_time_of_its_rates_each_for_itself() {
    let world = Arc::new(World::seeded(1));
    let rates = Rates { upload: Some(ByteSize(1000)), download: Some(ByteSize(4000)) };
    let store = Throttled::wrap(Arc::new(Mem::new()), rates, &world, &Stop::NEVER);
    let spent = |act: &dyn Fn()| {
        let before = world.ticks();
        act();
        world.ticks().saturating_sub(before).as_millis()
    };
    let file = |n| name(FileKind::Pack, n);
    let upload = |n: u8| spent(&|| store.create(&file(n), &[0; 8000]).unwrap());
    let download = |n: u8| spent(&|| drop(read_all(store.as_ref(), &file(n)).unwrap()));
    assert_eq!([upload(1), upload(2), upload(3)], [0, 8000, 8000]);
    assert_eq!([download(1), download(2), download(3)], [0, 2000, 2000]);
}

#[test]
fn a_full_disk_and_a_read_only_one_say_so() {
    let full = Mem::new().with_quota(10);
    let error = full.create(&name(FileKind::Pack, 1), &[0; 11]).unwrap_err();
    assert_eq!(error.kind(), Kind::Disk);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    // A path below a file can never be made a folder, not even by root.
    let error = Local::new(&file.join("x")).create(&name(FileKind::Pack, 1), b"x").unwrap_err();
    assert!(error.to_string().contains("make the folder"), "{error}");
}

#[test]
fn a_dead_process_does_nothing_more() {
    for fault in [Fault::DieBefore(1), Fault::DieAfter(1)] {
        let mem = Mem::new();
        let faulty = Faulty::new(Arc::new(mem.clone()), fault);
        faulty.create(&name(FileKind::Key, 0), b"0").unwrap();
        assert!(faulty.create(&name(FileKind::Key, 1), b"1").is_err());
        assert!(faulty.create(&name(FileKind::Key, 2), b"2").is_err());
        assert!(faulty.list(FileKind::Key).is_err());
        let expected = if fault == Fault::DieBefore(1) { 1 } else { 2 };
        assert_eq!(mem.list(FileKind::Key).unwrap().len(), expected);
    }
}
