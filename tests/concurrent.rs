// SPDX-License-Identifier: MIT
//! Several runs on one repository at the same time, as threads and as processes: backups never
//! wait for each other, whoever reads sees whole snapshots, and nothing is lost.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::local::Local;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Counter, Result, World};
use ghostsnap::format::Snapshot;
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::forget::{Policy, execute, plan};
use ghostsnap::ops::restore::to_folder;
use ghostsnap::ops::{BackupReport, backup};
use ghostsnap::repo::{IndexedRepository, Repository};
use ghostsnap::tree::{Walk, WalkOptions};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

/// A handle of its own, with the real clock and the real generator, as another process has it.
fn handle(root: &Path) -> Repository {
    let backend: Arc<dyn Backend> = Arc::new(Local::new(root));
    Repository::open(backend, &secret(), Arc::new(World::system())).unwrap()
}

fn indexed(root: &Path) -> IndexedRepository {
    handle(root).indexed(&Collect::default()).unwrap()
}

/// A backup in small packs with an index segment for each.
fn run(repository: &IndexedRepository, source: &Path, user: &str) -> Result<BackupReport> {
    let mut walk = Walk::new(&[source.to_owned()], WalkOptions::default())?;
    let mut options = options();
    options.template.paths = walk.roots();
    options.template.time = repository.world().now();
    options.template.user = user.to_owned();
    options.writer.pack_bytes = Some(100_000);
    options.writer.checkpoint_bytes = 1;
    let monitor = Collect::default();
    let report = backup(repository, &mut walk, &options, &monitor)?;
    assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
    Ok(report)
}

fn source(root: &Path, name: &str) -> PathBuf {
    let folder = root.join(name);
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("shared"), noise("shared", 700_000)).unwrap();
    for n in 0..20 {
        fs::write(folder.join(format!("sub/{n}")), noise(&format!("{name} {n}"), 30_000)).unwrap();
        fs::write(folder.join(format!("same {n}")), noise(&format!("same {n}"), 30_000)).unwrap();
    }
    folder
}

fn assert_restores(repository: &IndexedRepository, snapshot: &Snapshot, source: &Path) {
    let target = tempfile::tempdir().unwrap();
    let monitor = Collect::default();
    let (base, options) = (base_of(source), restore_options());
    to_folder(repository, snapshot, &base, &options, target.path(), &monitor).unwrap();
    assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
    assert_eq!(manifest(target.path()), manifest(source));
}

fn assert_clean(root: &Path) {
    let report = check(handle(root), ReadData::All, &Collect::default()).unwrap();
    let bad = report.findings.iter().filter(|one| one.severity != Severity::Garbage);
    assert_eq!(bad.count(), 0, "{:?}", report.findings);
}

#[test]
fn writers_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    init(Arc::new(Local::new(&root)));
    let sources: Vec<PathBuf> =
        (0..4).map(|n| source(folder.path(), &format!("user {n}"))).collect();
    let start = Barrier::new(sources.len());
    std::thread::scope(|scope| {
        for source in &sources {
            scope.spawn(|| {
                start.wait();
                for _ in 0..3 {
                    run(&indexed(&root), source, "").unwrap();
                }
            });
        }
    });
    assert_clean(&root);
    let repository = indexed(&root);
    let snapshots = repository.snapshots().unwrap();
    assert_eq!(snapshots.len(), 12);
    for source in &sources {
        use std::os::unix::ffi::OsStrExt;
        let path = fs::canonicalize(source).unwrap().as_os_str().as_bytes().to_vec();
        let mine: Vec<_> =
            snapshots.iter().filter(|(_, one)| one.paths == [path.clone()]).collect();
        assert_eq!(mine.len(), 3);
        assert!(mine.windows(2).all(|pair| pair[1].1.parent == Some(pair[0].0)));
        mine.iter().for_each(|(_, snapshot)| assert_restores(&repository, snapshot, source));
    }
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0, "leftovers");
}

#[test]
fn two_writers_store_the_same_new_data_and_each_has_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    init(Arc::new(Local::new(&root)));
    let source = source(folder.path(), "home");
    // Both have loaded the index before either stores anything.
    let handles = [indexed(&root), indexed(&root)];
    let start = Barrier::new(2);
    let reports: Vec<BackupReport> = std::thread::scope(|scope| {
        let runs: Vec<_> = handles
            .iter()
            .map(|handle| {
                let (start, source) = (&start, &source);
                scope.spawn(move || {
                    start.wait();
                    run(handle, source, "").unwrap()
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for report in &reports {
        assert!(report.counts.get(Counter::BytesNew) > 1_900_000, "neither knew of the other");
    }
    assert_clean(&root);
    let repository = indexed(&root);
    reports.iter().for_each(|report| assert_restores(&repository, &report.snapshot, &source));
    // What is stored twice does no harm, and the next run stores nothing.
    let next = run(&repository, &source, "").unwrap();
    assert_eq!(next.counts.get(Counter::ChunksNew), 0);
    // One snapshot goes: the other still restores.
    repository.remove_snapshot(&reports[0].id.unwrap()).unwrap();
    assert_restores(&indexed(&root), &reports[1].snapshot, &source);
}

#[test]
fn a_reader_sees_whole_snapshots_while_writers_merge_their_segments() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    init(Arc::new(Local::new(&root)));
    let source = source(folder.path(), "home");
    run(&indexed(&root), &source, "").unwrap();
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // The list first, then the index: all that a snapshot names was stored before it.
                let plain = handle(&root);
                let snapshots = plain.snapshots().unwrap();
                let repository = plain.indexed(&Collect::default()).unwrap();
                for (id, snapshot) in &snapshots {
                    let found = entries(&repository, snapshot);
                    assert!(found.len() > 40, "snapshot {id} has {} entries", found.len());
                }
                let report = check(handle(&root), ReadData::None, &Collect::default()).unwrap();
                assert!(!report.is_damaged(), "{:?}", report.findings);
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..6 {
            for n in 0..5 {
                let name = format!("sub/{round} {n}");
                fs::write(source.join(&name), noise(&name, 600_000)).unwrap();
            }
            run(&indexed(&root), &source, "").unwrap();
        }
        while reads.load(Ordering::Relaxed) < 3 && !reader.is_finished() {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let index = Local::new(&root).list(FileKind::Index).unwrap();
    assert_eq!(index.len(), 7, "each run leaves one segment");
    assert_clean(&root);
}

#[test]
fn forgetting_while_somebody_backs_up_costs_neither_anything() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    init(Arc::new(Local::new(&root)));
    let (one, other) = (source(folder.path(), "one"), source(folder.path(), "other"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let forgetter = scope.spawn(|| {
            let mut forgotten = 0;
            while !stop.load(Ordering::Relaxed) {
                let repository = handle(&root);
                let policy = Policy { last: 1, ..Policy::default() };
                let now = repository.world().now();
                let plan = plan(repository.snapshots().unwrap(), &policy, now).unwrap();
                forgotten += execute(&repository, &plan).unwrap();
            }
            forgotten
        });
        std::thread::scope(|writers| {
            for source in [&one, &other] {
                writers.spawn(|| {
                    for round in 0..8 {
                        let name = format!("sub/{round}");
                        fs::write(source.join(&name), noise(&name, 50_000)).unwrap();
                        let user = source.file_name().unwrap().to_str().unwrap();
                        let report = run(&indexed(&root), source, user).unwrap();
                        assert!(report.id.is_some());
                    }
                });
            }
        });
        stop.store(true, Ordering::Relaxed);
        assert!(forgetter.join().unwrap() > 4);
    });
    assert_clean(&root);
    let repository = indexed(&root);
    for source in [&one, &other] {
        let user = source.file_name().unwrap().to_str().unwrap();
        let all = repository.snapshots().unwrap();
        let newest = all.iter().rfind(|(_, snapshot)| snapshot.user == user).unwrap();
        assert_restores(&repository, &newest.1, source);
    }
}

#[test]
fn a_snapshot_forgotten_while_the_list_is_read_is_not_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), "home");
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    init(Arc::clone(&backend));
    let reports: Vec<_> = (0..3).map(|_| backup_now(&backend, &source)).collect();
    let gone = FileName::new(FileKind::Snapshot, reports[1].id.unwrap());
    let hooked = Hooked::new(Arc::clone(&backend), move |call| {
        if matches!(call, Call::Read(name) if name.kind == FileKind::Snapshot) {
            mem.remove(&gone).unwrap();
        }
    });
    let found = open(Arc::new(hooked)).snapshots().unwrap();
    assert_eq!(found.len(), 2);
}

/// The program itself, several times at once.
#[test]
fn processes_share_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    let key = folder.path().join("key");
    fs::write(&key, ghostsnap::format::keyslot::Secret::key_file_text(&[42; 32]).as_str()).unwrap();
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghostsnap"));
        command.args(arguments).arg("--repository").arg(&root).arg("--key-file").arg(&key);
        command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command.env("GHOSTSNAP_STATE_DIR", folder.path().join("state"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    init(Arc::new(Local::new(&root)));
    let sources: Vec<PathBuf> = (0..3).map(|n| source(folder.path(), &format!("{n}"))).collect();
    for round in 0..2 {
        let mut running = Vec::new();
        for source in &sources {
            running.push(program(&["backup", source.to_str().unwrap()]).spawn().unwrap());
        }
        running.push(program(&["check"]).spawn().unwrap());
        running.push(program(&["forget", "--keep-last", "1", "--force"]).spawn().unwrap());
        running.push(program(&["snapshots"]).spawn().unwrap());
        for one in running {
            let done = one.wait_with_output().unwrap();
            let words = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "round {round}: {:?} {words}", done.status);
        }
    }
    assert_clean(&root);
    let repository = indexed(&root);
    let snapshots = repository.snapshots().unwrap();
    for source in &sources {
        let (_, newest) = snapshots
            .iter()
            .rfind(|(_, one)| {
                one.paths[0].ends_with(source.file_name().unwrap().as_encoded_bytes())
            })
            .unwrap();
        assert_restores(&repository, newest, source);
    }
}
