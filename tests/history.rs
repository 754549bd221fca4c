// SPDX-License-Identifier: MIT
//! The history of a repository: what is taken away behind everybody's back is noticed by whoever
//! has seen it, what is removed on purpose is not, and whatever dies on the way raises no alarm.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Error, FileId, Kind, Result, World};
use ghostsnap::format::Snapshot;
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::forget::{Policy, execute, plan};
use ghostsnap::ops::pin::pin;
use ghostsnap::ops::prune::{PruneOptions, prune};
use ghostsnap::repo::Repository;
use ghostsnap::repo::diary::Diary;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store, a home, and what machines remember.
struct Site {
    folder: tempfile::TempDir,
    store: Arc<dyn Backend>,
}

/// A seed that nobody had: no two processes draw the same salts.
fn seed() -> u64 {
    static SEEDS: AtomicU64 = AtomicU64::new(100);
    SEEDS.fetch_add(1, Ordering::SeqCst)
}

impl Site {
    fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), store: Arc::new(Mem::new()) };
        fs::create_dir(site.home()).unwrap();
        Repository::init(site.store.clone(), &secret(), "test", Arc::new(World::seeded(seed())))
            .unwrap();
        site
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The repository as a machine has it, through a store of its own.
    fn on(&self, machine: &str, store: Arc<dyn Backend>) -> Result<Repository> {
        let world = Arc::new(World::seeded(seed()));
        let repository = Repository::open(store, &secret(), Arc::clone(&world))?;
        let id = repository.config().repository_id;
        let diary = Diary::new(&self.folder.path().join(machine), &id, machine);
        diary.prepare()?;
        Ok(repository.with_diary(diary))
    }

    fn at(&self, machine: &str) -> Repository {
        self.on(machine, self.store.clone()).unwrap()
    }

    fn try_backup(&self, machine: &str) -> Result<FileId> {
        fs::write(self.home().join("file"), noise(&seed().to_string(), 3000)).unwrap();
        self.backup_through(machine, self.store.clone())
    }

    fn backup_through(&self, machine: &str, store: Arc<dyn Backend>) -> Result<FileId> {
        let repository =
            self.on(machine, store)?.indexed_to_write("backup", &Collect::default())?;
        Ok(try_backup(&repository, &self.home())?.id.unwrap())
    }

    fn backup(&self, machine: &str) -> FileId {
        self.try_backup(machine).unwrap()
    }

    fn all(&self, machine: &str) -> Vec<(FileId, Snapshot)> {
        self.at(machine).snapshots().unwrap()
    }

    /// Takes snapshots away as somebody does who holds the store and no key.
    fn steal(&self, ids: &[FileId]) {
        for id in ids {
            self.store.remove(&FileName::new(FileKind::Snapshot, *id)).unwrap();
        }
    }

    fn findings(&self, machine: &str) -> Vec<String> {
        let report = check(self.at(machine), ReadData::None, &Collect::default()).unwrap();
        let damage = report.findings.iter().filter(|one| one.severity == Severity::Damaged);
        damage.map(|one| format!("{}: {}", one.object, one.detail)).collect()
    }

    /// What a reader is told.
    fn warnings(&self, machine: &str) -> Vec<String> {
        let heard = Collect::default();
        self.at(machine).readable_snapshots(&heard).unwrap();
        heard.warnings()
    }

    fn copy(&self) -> Arc<dyn Backend> {
        let copy: Arc<dyn Backend> = Arc::new(Mem::new());
        copy_files(self.store.as_ref(), copy.as_ref());
        copy
    }
}

/// Whoever reads or adds is warned, and what removes is refused.
fn is_told(site: &Site, machine: &str, what: &str) {
    let warnings = site.warnings(machine);
    assert!(warnings.iter().any(|one| one.contains(what)), "{what}: {warnings:?}");
    let repository = site.at(machine);
    let error: Error = repository.check_history().unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn the_newest_backups_cannot_be_taken_away_unnoticed() {
    let site = Site::new();
    let ids: Vec<FileId> = (0..5).map(|_| site.backup("web1")).collect();
    assert_eq!(site.findings("web1"), [""; 0]);
    assert_eq!(site.warnings("web1"), [""; 0]);
    site.steal(&ids[2..]);
    is_told(&site, "web1", "entries 3 to 5 of test.example");
    let found = site.findings("web1");
    assert!(found.len() == 1 && found[0].contains("entries 3 to 5"), "{found:?}");
    assert_eq!(site.warnings("web1").len(), 1, "who reads is told, and may read");
    // What adds goes on: a backup that is not made is worse. What removes does not.
    let sixth = site.backup("web1");
    let error = prune(site.at("web1"), &PruneOptions::default(), false, &Collect::default());
    assert_eq!(error.err().unwrap().kind(), Kind::Damaged);
    let repository = site.at("web1");
    let policy = Policy { last: 1, ..Policy::default() };
    let all = plan(site.all("web1"), &policy, repository.world().now()).unwrap();
    assert_eq!(execute(&repository, &all).unwrap_err().kind(), Kind::Damaged);
    // Whoever comes later sees what is missing before the sixth.
    is_told(&site, "new machine", "entries 3 to 5");
    // Junk beside is no cover: neither in the history nor, unsaid, among the snapshots.
    for number in 0..9 {
        let name = FileName::new(FileKind::History, FileId([number; 32]));
        site.store.create(&name, b"junk").unwrap();
    }
    is_told(&site, "web1", "entries 3 to 5");
    assert_eq!(site.findings("web1").len(), 10);
    // After somebody has looked, it goes on, for everybody.
    let repository = site.at("web1");
    let history = repository.history(true).unwrap();
    assert_eq!(history.problems().len(), 1);
    repository.accept_history(&history).unwrap();
    assert_eq!(site.findings("web1"), [""; 0]);
    site.backup("web1");
    site.backup("web2");
    for machine in ["web1", "web2", "new machine"] {
        assert_eq!(site.warnings(machine), [""; 0], "{machine}");
    }
    assert_eq!(site.all("web2").len(), 5);
    assert!(site.all("web2").iter().any(|(id, _)| *id == sixth));
}

#[test]
fn one_from_the_middle_is_missed_by_everybody() {
    let site = Site::new();
    let ids: Vec<FileId> = (0..4).map(|_| site.backup("web1")).collect();
    site.steal(&ids[1..2]);
    let found = site.findings("somebody new");
    assert!(found.len() == 1 && found[0].contains("entry 2 of test.example"), "{found:?}");
    is_told(&site, "web2", "entry 2");
}

#[test]
fn an_older_state_in_the_place_of_todays_is_noticed() {
    let mut site = Site::new();
    site.backup("web1");
    let before = site.copy();
    site.backup("web1");
    site.backup("web2");
    site.store = before;
    is_told(&site, "web1", "entry 2");
    is_told(&site, "web2", "is gone");
}

#[test]
fn two_histories_of_one_writer_are_noticed() {
    let mut site = Site::new();
    site.backup("web1");
    let fork = site.copy();
    // The whole machine is put back from a copy too, so that it writes its second entry twice.
    let (now, then) = (site.folder.path().join("web1"), site.folder.path().join("then"));
    fs::create_dir(&then).unwrap();
    for file in fs::read_dir(&now).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), then.join(file.file_name())).unwrap();
    }
    site.backup("web1");
    site.warnings("web2");
    fs::remove_dir_all(&now).unwrap();
    fs::rename(&then, &now).unwrap();
    site.store = fork;
    site.backup("web1");
    is_told(&site, "web2", "entry 2 of test.example");
    let found = site.findings("web2");
    assert!(found[0].contains("there are two histories"), "{found:?}");
    let repository = site.at("web2");
    repository.accept_history(&repository.history(true).unwrap()).unwrap();
    site.backup("web2");
    site.backup("web1");
    assert_eq!(site.findings("web2"), [""; 0]);
}

#[test]
fn what_is_removed_on_purpose_is_missed_by_nobody() {
    let site = Site::new();
    for _ in 0..3 {
        site.backup("web1");
        site.backup("web2");
    }
    site.warnings("looker");
    // By a rule, on another machine; by a pin, which stores a snapshot anew.
    let repository = site.at("web2");
    let policy = Policy { last: 2, ..Policy::default() };
    let all = plan(site.all("web2"), &policy, repository.world().now()).unwrap();
    assert_eq!(execute(&repository, &all).unwrap(), 4);
    let (id, snapshot) = site.all("web1").remove(0);
    let repository = site.at("web1").indexed_to_write("pin", &Collect::default()).unwrap();
    pin(&repository, (&id, &snapshot), true).unwrap();
    for machine in ["web1", "web2", "looker", "somebody new"] {
        assert_eq!(site.findings(machine), [""; 0], "{machine}");
        assert_eq!(site.warnings(machine), [""; 0], "{machine}");
    }
    // One record says it all.
    assert_eq!(site.store.list(FileKind::History).unwrap().len(), 1);
    site.backup("looker");
    // Without that record nobody would know: so it cannot be taken away either.
    for (name, _) in site.store.list(FileKind::History).unwrap() {
        site.store.remove(&name).unwrap();
    }
    assert!(!site.findings("somebody new").is_empty());
}

#[test]
fn a_machine_without_a_memory_removes_without_harm() {
    let site = Site::new();
    let ids: Vec<FileId> = (0..3).map(|_| site.backup("web1")).collect();
    let world = Arc::new(World::seeded(seed()));
    let bare = Repository::open(site.store.clone(), &secret(), world).unwrap();
    bare.remove_snapshot(&ids[2]).unwrap();
    assert_eq!(site.findings("web1"), [""; 0]);
    site.backup("web1");
    assert_eq!(site.findings("web1"), [""; 0]);
}

#[test]
fn what_cannot_be_read_is_damage_and_no_theft() {
    let site = Site::new();
    let ids: Vec<FileId> = (0..3).map(|_| site.backup("web1")).collect();
    let name = FileName::new(FileKind::Snapshot, ids[1]);
    let size = site.store.size(&name).unwrap().unwrap();
    let mut bytes = site.store.read(&name, 0..size).unwrap();
    bytes[100] ^= 1;
    site.store.remove(&name).unwrap();
    site.store.create(&name, &bytes).unwrap();
    // Backups go on, and a check names the file alone.
    site.backup("web1");
    let found = site.findings("web1");
    assert!(found.len() == 1 && found[0].starts_with("snapshots/"), "{found:?}");
    // Once it is dropped, all is well.
    site.at("web1").remove_snapshot(&ids[1]).unwrap();
    assert_eq!(site.findings("web1"), [""; 0]);
    site.backup("web1");
}

#[test]
fn an_entry_of_somebody_else_is_found() {
    let site = Site::new();
    site.backup("web1");
    site.backup("web2");
    // Whoever has the keys of the repository, but not the machine's, moves an entry to another
    // snapshot.
    let all = site.all("web1");
    let repository = site.at("web1");
    let stolen = Snapshot { history: all[0].1.history.clone(), ..all[1].1.clone() };
    site.steal(&[all[1].0]);
    let plain = stolen.encode();
    let file = forge(&repository, &plain);
    let found = site.findings("web1");
    let forged = found.iter().any(|one| one.starts_with(&format!("history of {file}")));
    assert!(forged, "{found:?}");
    is_told(&site, "web1", "entry 1");
}

/// Stores a snapshot record as it is.
fn forge(repository: &Repository, plain: &[u8]) -> FileId {
    use ghostsnap::format::{Header, RecordKind, envelope, pack};
    let salt = repository.world().random_32().unwrap();
    let header = Header::new(RecordKind::Snapshot, salt);
    let stored = envelope::seal_with_features(repository.keys(), header, plain).unwrap();
    let id = pack::file_id(&stored);
    repository.backend().create(&FileName::new(FileKind::Snapshot, id), &stored).unwrap();
    id
}

type Work = dyn Fn(&Site, Arc<dyn Backend>) -> Result<()>;

#[test]
fn a_full_disk_can_be_freed_and_nobody_misses_what_went() {
    let site = Site::new();
    for _ in 0..4 {
        site.backup("web1");
    }
    site.warnings("web2");
    // Nothing can be written until something has gone.
    struct Full(Arc<dyn Backend>, AtomicU64);
    impl Backend for Full {
        fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
            self.0.list(kind)
        }
        fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
            self.0.list_together(kinds)
        }
        fn read(&self, name: &FileName, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
            self.0.read(name, range)
        }
        fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
            self.0.read_whole(name, most)
        }
        fn size(&self, name: &FileName) -> Result<Option<u64>> {
            self.0.size(name)
        }
        fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
            self.0.sizes(names)
        }
        fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
            if self.1.load(Ordering::SeqCst) == 0 {
                return Err(Error::new(Kind::Disk, "write").why("No space left on device"));
            }
            self.0.create(name, bytes)
        }
        fn remove(&self, name: &FileName) -> Result<()> {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.remove(name)
        }
        fn leftovers(
            &self,
            before: i64,
            task: ghostsnap::backend::Leftovers,
        ) -> Result<(u64, u64)> {
            self.0.leftovers(before, task)
        }
        fn properties(&self) -> ghostsnap::backend::Properties {
            self.0.properties()
        }
        fn location(&self) -> String {
            self.0.location()
        }
    }
    let full = Arc::new(Full(site.store.clone(), AtomicU64::new(0)));
    let repository = site.on("web1", full).unwrap();
    let policy = Policy { last: 1, ..Policy::default() };
    let all = plan(site.all("web1"), &policy, repository.world().now()).unwrap();
    assert_eq!(execute(&repository, &all).unwrap(), 3);
    for machine in ["web1", "web2", "somebody new"] {
        assert_eq!(site.findings(machine), [""; 0], "{machine}");
    }
}

/// Whatever request is the last one of a run, nobody raises an alarm after it.
#[test]
fn a_run_that_dies_anywhere_is_no_theft() {
    let sweep = |run: &Work| {
        for turn in 0.. {
            let fault = if turn % 2 == 0 { Fault::DieBefore } else { Fault::DieAfter };
            let last = turn / 2;
            let site = Site::new();
            for _ in 0..3 {
                site.backup("web1");
            }
            site.backup("web2");
            let faulty = Arc::new(Faulty::new(site.store.clone(), fault(last)));
            let ended = run(&site, faulty);
            for machine in ["web2", "web1", "somebody new"] {
                let found = site.findings(machine);
                assert_eq!(found, [""; 0], "after {last} requests, {machine}");
            }
            site.backup("web1");
            site.backup("web2");
            assert_eq!(site.findings("web1"), [""; 0], "after {last} requests");
            if ended.is_ok() {
                assert!(last > 1, "it changed something");
                return;
            }
        }
    };
    sweep(&|site, store| site.backup_through("web1", store).map(drop));
    sweep(&|site, store| {
        let repository = site.on("web1", store)?;
        let policy = Policy { last: 1, ..Policy::default() };
        let all = plan(repository.snapshots()?, &policy, repository.world().now())?;
        execute(&repository, &all).map(drop)
    });
    sweep(&|site, store| {
        let repository = site.on("web2", store)?;
        let (id, snapshot) = repository.snapshots()?.remove(0);
        let repository = repository.indexed_to_write("pin", &Collect::default())?;
        pin(&repository, (&id, &snapshot), true).map(drop)
    });
}
