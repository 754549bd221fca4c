// SPDX-License-Identifier: MIT
//! The conformance suite: every backend and every wrapper keeps the contract of `trait Backend`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common {
    pub mod proxy;
    pub mod servers;
    pub mod stores;
}

use common::stores;
use ghostsnap::backend::azure::{Azure, AzureOptions};
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::local::Local;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::retry::{Retried, Retry};
use ghostsnap::backend::s3::{S3, S3Options};
use ghostsnap::backend::throttle::{Rates, Throttled};
use ghostsnap::backend::{self, Access, Backend, FileKind, FileName, Leftovers, read_all};
use ghostsnap::base::monitor::{Collect, Stop};
use ghostsnap::base::units::ByteSize;
use ghostsnap::base::{FileId, Kind, World};
use std::sync::Arc;
use std::time::Duration;

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
    let mut together = backend.list_together(&[FileKind::Pack, FileKind::Index]).unwrap();
    together.sort_unstable();
    assert_eq!(together, [(name(FileKind::Index, 0xab), 0), (pack, 100_000)]);
    // Whole, up to what is asked for.
    assert_eq!(backend.read_whole(&name(FileKind::Index, 0xab), 9).unwrap().unwrap(), b"");
    assert_eq!(backend.read_whole(&pack, 100_000).unwrap().unwrap(), bytes);
    assert_eq!(backend.read_whole(&pack, 99_999).unwrap_err().kind(), Kind::Damaged);
    assert_eq!(backend.list(FileKind::Config).unwrap(), [(FileName::CONFIG, 6)]);
    // What is missing is missing in every way.
    let missing = name(FileKind::Snapshot, 1);
    assert_eq!(backend.size(&missing).unwrap(), None);
    assert_eq!(backend.read(&missing, 0..1).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(backend.read_whole(&missing, 9).unwrap(), None);
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
    // Several sizes at once are those of each, in the order of the question.
    let lock = name(FileKind::Lock, 3);
    backend.create(&lock, b"lock").unwrap();
    let asked = [lock, missing, pack, name(FileKind::Key, 49), name(FileKind::Lock, 4), lock];
    let sizes = [Some(4), None, Some(5), Some(1), None, Some(4)];
    assert_eq!(backend.sizes(&asked).unwrap(), sizes);
    assert_eq!(backend.sizes(&asked[..1]).unwrap(), sizes[..1]);
    assert_eq!(backend.sizes(&[]).unwrap(), []);
    backend.remove(&lock).unwrap();
    assert_eq!(backend.sizes(&asked[..2]).unwrap(), [None, None]);
    // Nothing that has a name is left over.
    assert_eq!(backend.leftovers(i64::MAX, Leftovers::Remove).unwrap(), (0, 0));
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
fn a_store_that_stumbles_or_loses_answers_keeps_the_contract_when_it_is_asked_again() {
    for fault in [Fault::None, Fault::Stumble, Fault::LoseAnswers] {
        let retried = || {
            let world = Arc::new(World::seeded(1));
            let retry = Retry::new(world, Arc::new(Collect::default()), Duration::from_secs(900));
            Retried::new(Arc::new(Faulty::new(Arc::new(Mem::new()), fault)), Arc::new(retry))
        };
        suite(&retried());
        race(&retried());
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

fn retry(access: &Access) -> Arc<Retry> {
    let monitor = Arc::clone(&access.monitor);
    Arc::new(Retry::new(Arc::clone(&access.world), monitor, Duration::from_secs(60)))
}

#[test]
fn s3_keeps_the_contract() {
    let Some(server) = stores::s3() else { return };
    let open = || {
        let address = stores::at(server.port, &server.place());
        backend::open(&address, &stores::access(stores::keys())).unwrap()
    };
    suite(open().as_ref());
    race(open().as_ref());
}

#[test]
fn s3_takes_large_files_in_parts_whole_and_only_once() {
    let Some(server) = stores::s3() else { return };
    let access = stores::access(stores::keys());
    let address = stores::at(server.port, &server.place());
    let mut options = S3Options::new(&address, &access.variables).unwrap();
    (options.whole_max, options.part) = (1024 * 1024, 5 * 1024 * 1024);
    let store = S3::new(options, &access, retry(&access)).unwrap();
    let pack = name(FileKind::Pack, 1);
    let mut bytes = vec![0; 12 * 1024 * 1024 + 17];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    store.create(&pack, &bytes).unwrap();
    assert_eq!(store.list(FileKind::Pack).unwrap(), [(pack, 12 * 1024 * 1024 + 17)]);
    assert!(read_all(&store, &pack).unwrap() == bytes);
    let border = 5 * 1024 * 1024;
    assert_eq!(store.read(&pack, border - 5..border + 5).unwrap(), bytes[5242875..5242885]);
    assert_eq!(store.create(&pack, &bytes).unwrap_err().kind(), Kind::Exists);
}

#[test]
fn s3_lists_more_than_one_page() {
    let Some(server) = stores::s3() else { return };
    let address = stores::at(server.port, &server.place());
    let store = backend::open(&address, &stores::access(stores::keys())).unwrap();
    std::thread::scope(|scope| {
        for part in 0..8u8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..130u8 {
                    let mut id = [part; 32];
                    id[1] = n;
                    store.create(&FileName::new(FileKind::Pack, FileId(id)), &[n]).unwrap();
                }
            });
        }
    });
    let listed = store.list(FileKind::Pack).unwrap();
    let names: std::collections::BTreeSet<FileName> =
        listed.iter().map(|(name, _)| *name).collect();
    assert_eq!((listed.len(), names.len()), (1040, 1040));
    assert_eq!(store.list(FileKind::Key).unwrap(), []);
}

#[test]
fn s3_says_what_is_wrong_and_what_mends_it() {
    let Some(server) = stores::s3() else { return };
    let place = server.place();
    let attempt = |id: &str, secret: &str, place: &str| {
        let address = stores::at(server.port, place);
        let store = backend::open(&address, &stores::access(stores::keys_of(id, secret))).unwrap();
        let listing = store.list(FileKind::Key).map(|_| ());
        // Large enough that the answer comes before the body has been sent.
        let writing = store.create(&name(FileKind::Pack, 1), &vec![7; 3_000_000]);
        [listing, writing]
    };
    for result in attempt(stores::KEY_ID, "wrong/secret", &place) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden, "{error}");
        assert!(error.to_string().contains("check AWS_SECRET_ACCESS_KEY"), "{error}");
        assert!(!error.to_string().contains("wrong/secret") && !error.is_transient());
    }
    for result in attempt("AKIANOBODY", stores::SECRET, &place) {
        assert!(result.unwrap_err().to_string().contains("check AWS_ACCESS_KEY_ID"));
    }
    let [listing, writing] = attempt("AKIALOOKS", stores::SECRET, &place);
    listing.unwrap();
    let error = writing.unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(error.to_string().contains("lacks the right"), "{error}");
    for result in attempt("AKIALOOKS", stores::SECRET, "nobucket/x") {
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), Kind::NotFound | Kind::Forbidden), "{error}");
    }
    let nobody = stores::at(common::servers::free_port(), &place);
    let store = backend::open(&nobody, &stores::access(stores::keys())).unwrap();
    let error = store.size(&FileName::CONFIG).unwrap_err();
    assert_eq!(error.kind(), Kind::Connect);
    assert!(error.to_string().contains("in 4 tries") && error.to_string().contains("firewalls"));
}

#[test]
fn azure_keeps_the_contract() {
    let Some(server) = stores::azure() else { return };
    let open = || backend::open(&server.place(), &stores::access(server.keys())).unwrap();
    suite(open().as_ref());
    race(open().as_ref());
}

#[test]
fn azure_takes_large_files_in_blocks_whole_and_only_once() {
    let Some(server) = stores::azure() else { return };
    let access = stores::access(server.keys());
    let mut options = AzureOptions::new(&server.place(), &access.variables).unwrap();
    (options.whole_max, options.block) = (1024 * 1024, 1024 * 1024);
    let store = Azure::new(options, &access, retry(&access)).unwrap();
    let pack = name(FileKind::Pack, 1);
    let mut bytes = vec![0; 3 * 1024 * 1024 + 17];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    store.create(&pack, &bytes).unwrap();
    assert_eq!(store.list(FileKind::Pack).unwrap(), [(pack, 3 * 1024 * 1024 + 17)]);
    assert!(read_all(&store, &pack).unwrap() == bytes);
    assert_eq!(store.read(&pack, 1048570..1048580).unwrap(), bytes[1048570..1048580]);
    assert_eq!(store.create(&pack, &bytes).unwrap_err().kind(), Kind::Exists);
}

#[test]
fn azure_says_what_is_wrong_and_what_mends_it() {
    let Some(server) = stores::azure() else { return };
    let wrong = "d3Jvbmcga2V5IGZvciBhIHRlc3Q=";
    let keys = stores::azure_keys_of(server.port, wrong);
    let store = backend::open(&server.place(), &stores::access(keys)).unwrap();
    let listing = store.list(FileKind::Key).map(|_| ());
    let writing = store.create(&name(FileKind::Pack, 1), &vec![7; 3_000_000]);
    for result in [listing, writing] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden, "{error}");
        let text = error.to_string();
        assert!(text.contains("AZURE_STORAGE_KEY") && !text.contains(wrong), "{text}");
    }
    let store = backend::open("azure:nowhere/x", &stores::access(server.keys())).unwrap();
    let error = store.list(FileKind::Key).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("make the container"), "{error}");
    assert_eq!(store.size(&FileName::CONFIG).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn an_ssh_server_keeps_the_contract() {
    let Some(server) = stores::ssh() else { return };
    let open = || backend::open(&server.place(), &stores::access(server.keys())).unwrap();
    suite(open().as_ref());
    race(open().as_ref());
    // Larger than what is under way at once, and read across many answers.
    let store = open();
    let mut bytes = vec![0; 7_000_001];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let pack = name(FileKind::Pack, 1);
    store.create(&pack, &bytes).unwrap();
    assert!(read_all(store.as_ref(), &pack).unwrap() == bytes);
    assert_eq!(store.read(&pack, 3_000_000..3_100_000).unwrap(), bytes[3_000_000..3_100_000]);
}

#[test]
fn what_killed_writers_left_on_an_ssh_server_goes_when_it_is_old() {
    let Some(server) = stores::ssh() else { return };
    let place = server.place();
    let store = backend::open(&place, &stores::access(server.keys())).unwrap();
    store.create(&name(FileKind::Lock, 1), b"x").unwrap();
    let temps = std::path::Path::new(place.strip_prefix("sftp://store").unwrap()).join("tmp");
    let left = |n: u8, seconds| {
        let path = temps.join(FileId([n; 32]).to_string());
        let file = std::fs::File::create(path).unwrap();
        file.set_len(100).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
    };
    for (n, seconds) in [(1, 1000), (2, 1000), (3, 5000)] {
        left(n, seconds);
    }
    std::fs::write(temps.join("notes"), "x").unwrap();
    let leftovers = |before, task| store.leftovers(before, task).unwrap();
    assert_eq!(leftovers(1000, Leftovers::Count), (0, 0));
    assert_eq!(leftovers(1001, Leftovers::Count), (2, 200));
    assert_eq!(leftovers(1001, Leftovers::Remove), (2, 200));
    assert_eq!(leftovers(i64::MAX, Leftovers::Remove), (1, 100));
    assert!(temps.join("notes").exists() && store.list(FileKind::Lock).unwrap().len() == 1);
}

#[test]
fn an_ssh_server_that_lets_nobody_in_or_is_another_one_says_so() {
    let Some(server) = stores::ssh() else { return };
    let attempt = |config: &str| {
        let store =
            backend::open(&server.place(), &stores::access(server.keys_in(config))).unwrap();
        store.list(FileKind::Key).unwrap_err()
    };
    let error = attempt("ssh_config_stranger");
    assert!(error.kind() == Kind::Forbidden && error.to_string().contains("public key"), "{error}");
    let error = attempt("ssh_config_wrong_host");
    assert!(
        error.kind() == Kind::Forbidden && error.to_string().contains("fingerprint"),
        "{error}"
    );
}

#[test]
fn rclone_keeps_the_contract() {
    let Some(remote) = stores::rclone() else { return };
    // Without the race: rclone knows no conditional write.
    suite(backend::open(&remote.place(), &stores::access(remote.keys())).unwrap().as_ref());
    let store = backend::open("rclone:nowhere:x", &stores::access(remote.keys())).unwrap();
    let error = store.list(FileKind::Key).unwrap_err();
    assert!(error.to_string().contains("listremotes"), "{error}");
}
