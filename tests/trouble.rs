// SPDX-License-Identifier: MIT
//! What goes wrong around a repository on an ordinary day: full disks, files in motion, somebody
//! else at work at the same time, a request to stop. What can be saved is saved, and what cannot is
//! named.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]
#![allow(clippy::as_conversions)]

mod common;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::local::Local;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName};
use ghostsnap::base::monitor::{Collect, Monitor};
use ghostsnap::base::{Counter, Error, Kind, RelPath, Result, World};
use ghostsnap::format::NodeKind;
use ghostsnap::format::tree::Meta;
use ghostsnap::ops::check::{CheckReport, ReadData, check};
use ghostsnap::ops::repair::rebuild_index;
use ghostsnap::ops::restore::{Overwrite, RestoreOptions, to_folder};
use ghostsnap::repo::Repository;
use ghostsnap::tree::Selection;
use ghostsnap::tree::source::{OpenFile, ReadFile};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn new_repository() -> (Mem, Arc<dyn Backend>) {
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    init(Arc::clone(&backend));
    (mem, backend)
}

fn plain(backend: &Arc<dyn Backend>) -> Repository {
    Repository::open(Arc::clone(backend), &secret(), Arc::new(World::seeded(9))).unwrap()
}

fn check_all(backend: &Arc<dyn Backend>) -> CheckReport {
    check(plain(backend), ReadData::All, &Collect::default()).unwrap()
}

/// A folder with files of noise, one for each name.
fn folder_of(root: &Path, names: &[&str], length: usize) {
    for name in names {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise(name, length)).unwrap();
    }
}

fn restore_with(
    backend: &Arc<dyn Backend>,
    snapshot: &ghostsnap::format::Snapshot,
    source: &Path,
    target: &Path,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<ghostsnap::ops::restore::RestoreReport> {
    let repository = open(Arc::clone(backend));
    to_folder(&repository, snapshot, &base_of(source), options, target, monitor)
}

// ---- somebody else at work at the same time

#[test]
fn rebuilding_the_index_keeps_what_a_backup_commits_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    folder_of(&source, &["a", "b"], 9000);
    let (_, backend) = new_repository();
    backup_now(&backend, &source);
    for moment in 0..6 {
        let name = format!("new {moment}");
        folder_of(&source, &[&name], 9000);
        let (inner, files) = (Arc::clone(&backend), source.clone());
        let other = Once::new(move || drop(backup_now(&inner, &files)));
        let calls = AtomicU64::new(0);
        let hooked: Arc<dyn Backend> = Arc::new(Hooked::new(Arc::clone(&backend), move |call| {
            let listed = matches!(call, Call::List(FileKind::Pack | FileKind::Index));
            if listed && calls.fetch_add(1, Ordering::SeqCst) == moment {
                other.act();
            }
        }));
        rebuild_index(&plain(&hooked), &Collect::default()).unwrap();
        let found = check_all(&backend);
        assert!(!found.is_damaged(), "moment {moment}: {:?}", found.findings);
    }
    let repository = open(Arc::clone(&backend));
    let (_, newest) = repository.snapshots().unwrap().pop().unwrap();
    restore(&repository, &newest, &source, &target);
}

#[test]
fn rebuilding_the_index_forgets_no_pack_that_could_not_be_read_just_now() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a", "b"], 9000);
    let (mem, backend) = new_repository();
    backup_now(&backend, &source);
    let before = mem.names();
    let faulty: Arc<dyn Backend> =
        Arc::new(Faulty::new(Arc::clone(&backend), Fault::NoRead(FileKind::Pack)));
    assert!(rebuild_index(&plain(&faulty), &Collect::default()).is_err());
    assert_eq!(mem.names(), before);
    assert!(check_all(&backend).findings.is_empty());
}

#[test]
fn rebuilding_the_index_keeps_what_it_knew_of_a_pack_whose_end_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    folder_of(&source, &["a", "b"], 9000);
    let (mem, backend) = new_repository();
    let report = backup_now(&backend, &source);
    for name in mem.names().iter().filter(|name| name.kind == FileKind::Pack) {
        mem.tamper(name, |bytes| *bytes.last_mut().unwrap() ^= 1);
    }
    let monitor = Collect::default();
    rebuild_index(&plain(&backend), &monitor).unwrap();
    assert_eq!(monitor.warnings().len(), 2, "each is named");
    restore(&open(Arc::clone(&backend)), &report.snapshot, &source, &target);
    assert_eq!(manifest(&target), manifest(&source));
}

#[test]
fn checking_while_somebody_backs_up_or_forgets_finds_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a", "b"], 9000);
    let (mem, backend) = new_repository();
    backup_now(&backend, &source);
    backup_now(&backend, &source);
    folder_of(&source, &["c", "d"], 9000);
    let counter = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&counter);
    let hooked: Arc<dyn Backend> = Arc::new(Hooked::new(Arc::new(mem.copy()), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    }));
    check(plain(&hooked), ReadData::All, &Collect::default()).unwrap();
    let calls = counter.load(Ordering::SeqCst);
    assert!(calls > 10);
    for moment in 0..calls {
        let disk: Arc<dyn Backend> = Arc::new(mem.copy());
        let (inner, files) = (Arc::clone(&disk), source.clone());
        let other = Once::new(move || {
            let mut walk = ghostsnap::tree::Walk::new(&[files], Default::default()).unwrap();
            let mut options = options();
            options.template.paths = walk.roots();
            options.writer.checkpoint_bytes = 1;
            options.writer.pack_bytes = Some(1000);
            let repository = open(Arc::clone(&inner));
            ghostsnap::ops::backup(&repository, &mut walk, &options, &Collect::default()).unwrap();
            let oldest = repository.snapshots().unwrap()[0].0;
            repository.remove_snapshot(&oldest).unwrap();
        });
        let count = AtomicU64::new(0);
        let hooked: Arc<dyn Backend> = Arc::new(Hooked::new(Arc::clone(&disk), move |_| {
            if count.fetch_add(1, Ordering::SeqCst) == moment {
                other.act();
            }
        }));
        let found = check(plain(&hooked), ReadData::All, &Collect::default()).unwrap();
        assert!(!found.is_damaged(), "before call {moment}: {:?}", found.findings);
    }
}

#[test]
fn an_index_that_is_merged_while_it_is_listed_is_seen_whole() {
    // A listing need not be one moment: an entry removed meanwhile may be missing although the one
    // that replaces it, made before, is not in the list yet.
    struct Torn(Arc<dyn Backend>, Mem, AtomicU64);
    impl Backend for Torn {
        fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
            if kind == FileKind::Index && self.2.fetch_add(1, Ordering::SeqCst) == 0 {
                return Ok(Vec::new());
            }
            self.0.list(kind)
        }
        fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
            ghostsnap::backend::list_each(self, kinds)
        }
        fn read(&self, name: &FileName, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
            self.1.read(name, range)
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
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a", "b"], 9000);
    let (mem, backend) = new_repository();
    backup_now(&backend, &source);
    let torn: Arc<dyn Backend> = Arc::new(Torn(backend, mem, AtomicU64::new(0)));
    assert!(open(torn).index().chunk_rows() > 0);
}

#[test]
fn a_damaged_old_snapshot_does_not_make_a_new_one_partial() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a"], 900);
    let (mem, backend) = new_repository();
    backup_now(&backend, &source);
    let (name, _) = backend.list(FileKind::Snapshot).unwrap()[0];
    mem.tamper(&name, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let monitor = Collect::default();
    let mut walk =
        ghostsnap::tree::Walk::new(std::slice::from_ref(&source), Default::default()).unwrap();
    let mut options = options();
    options.template.paths = walk.roots();
    let repository = open(Arc::clone(&backend));
    let report = ghostsnap::ops::backup(&repository, &mut walk, &options, &monitor).unwrap();
    assert!(!report.snapshot.is_partial(), "all of the source is in it");
    assert_eq!(monitor.warnings().len(), 1, "but it is told");
}

// ---- full disks and requests to stop

#[test]
fn a_full_repository_keeps_what_was_stored_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a", "b", "c", "d", "e", "f", "g", "h"], 600_000);
    let (mem, _) = new_repository();
    let small: Arc<dyn Backend> = Arc::new(mem.with_quota(3_100_000));
    let error = try_backup(&open(Arc::clone(&small)), &source).unwrap_err();
    assert_eq!(error.kind(), Kind::Disk, "{error}");
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    assert!(open(Arc::clone(&backend)).snapshots().unwrap().is_empty());
    assert!(check_all(&backend).findings.is_empty(), "what is stored is in the index");
    let report = backup_now(&backend, &source);
    let new = report.counts.get(Counter::BytesNew);
    assert!(new < 8 * 600_000 / 2, "{new} bytes were stored again");
    assert!(check_all(&backend).findings.is_empty());
}

#[test]
fn a_full_disk_fails_the_backup_and_nothing_else() {
    if !nix::unistd::geteuid().is_root() {
        return; // mounting needs root
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, disk) = (folder.path().join("source"), folder.path().join("disk"));
    let target = folder.path().join("target");
    fs::create_dir(&disk).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "none"])
        .arg(&disk)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        return; // a sandbox without mounts
    }
    struct Unmount(std::path::PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            drop(std::process::Command::new("umount").arg("-l").arg(&self.0).status());
        }
    }
    let _unmount = Unmount(disk.clone());
    folder_of(&source, &["small"], 100_000);
    let backend: Arc<dyn Backend> = Arc::new(Local::new(&disk.join("repository")));
    init(Arc::clone(&backend));
    let first = backup_now(&backend, &source);
    let before = manifest(&source);
    folder_of(&source, &["1", "2", "3", "4", "5", "6"], 600_000);
    let error = try_backup(&open(Arc::clone(&backend)), &source).unwrap_err();
    assert_eq!(error.kind(), Kind::Disk, "{error}");
    assert_eq!(fs::read_dir(disk.join("repository/tmp")).unwrap().count(), 0, "leftovers");
    let repository = open(Arc::clone(&backend));
    assert_eq!(repository.snapshots().unwrap().len(), 1);
    restore(&repository, &first.snapshot, &source, &target);
    assert_eq!(manifest(&target), before);
    assert!(!check_all(&backend).is_damaged());
}

#[test]
fn a_stopped_backup_keeps_what_was_stored_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let names: Vec<String> = (0..400).map(|n| format!("{:02}/{n}", n / 20)).collect();
    folder_of(&source, &names.iter().map(String::as_str).collect::<Vec<_>>(), 10_000);
    let (mem, backend) = new_repository();
    let run = |stop_after: u64| {
        let mut walk =
            ghostsnap::tree::Walk::new(std::slice::from_ref(&source), Default::default()).unwrap();
        let mut options = options();
        options.template.paths = walk.roots();
        let watch = Watch::new(move |asked| asked >= stop_after);
        let repository = open(Arc::clone(&backend));
        let done = ghostsnap::ops::backup(&repository, &mut walk, &options, &watch);
        (done, watch)
    };
    let mut stored = mem.bytes();
    for stop_after in [150, 250, 350] {
        let (done, _) = run(stop_after);
        assert_eq!(done.unwrap_err().kind(), Kind::Cancelled);
        assert!(mem.bytes() > stored + 500_000, "each run gets further");
        stored = mem.bytes();
        let found = check_all(&backend);
        assert!(found.findings.is_empty(), "what is stored is in the index: {:?}", found.findings);
    }
    let (done, _) = run(u64::MAX);
    let new = done.unwrap().counts.get(Counter::BytesNew);
    assert!(new < 1_500_000, "{new} bytes were stored again");
}

#[test]
fn a_stopped_restore_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    folder_of(&source, &["a", "b", "c"], 1000);
    let (_, backend) = new_repository();
    let report = backup_now(&backend, &source);
    for stop_after in 0..3 {
        let watch = Watch::new(move |asked| asked >= stop_after);
        let options = restore_options();
        let done = restore_with(&backend, &report.snapshot, &source, &target, &options, &watch);
        assert_eq!(done.unwrap_err().kind(), Kind::Cancelled);
    }
}

// ---- sources in motion

/// A file that behaves differently every time it is opened or looked at.
struct Moving<F>(Arc<AtomicU64>, F);

struct OpenMoving {
    metas: std::cell::RefCell<Vec<Meta>>,
    content: Box<dyn Read + Send>,
}

impl<F: Fn(u64) -> Option<(Vec<Meta>, Box<dyn Read + Send>)> + Send> OpenFile for Moving<F> {
    fn open(&self) -> Result<Option<Box<dyn ReadFile>>> {
        let made = (self.1)(self.0.fetch_add(1, Ordering::SeqCst));
        Ok(made.map(|(mut metas, content)| -> Box<dyn ReadFile> {
            metas.reverse();
            Box::new(OpenMoving { metas: metas.into(), content })
        }))
    }
}

impl Read for OpenMoving {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.content.read(buffer)
    }
}

impl ReadFile for OpenMoving {
    fn meta(&self) -> Result<Meta> {
        let mut metas = self.metas.borrow_mut();
        let meta = metas.pop().unwrap();
        if metas.is_empty() {
            metas.push(meta.clone());
        }
        Ok(meta)
    }
    fn extents(&self, _: u64) -> Result<Vec<(u64, u64)>> {
        Ok(Vec::new())
    }
    fn seek_to(&mut self, _: u64) -> Result<()> {
        unreachable!("it has no extents")
    }
}

struct Story {
    monitor: Collect,
    opened: u64,
    backend: Arc<dyn Backend>,
    report: ghostsnap::ops::BackupReport,
}

/// Backs up `before`, the file in motion, and `later`.
fn story(
    size: u64,
    open: impl Fn(u64, Meta) -> Option<(Vec<Meta>, Box<dyn Read + Send>)> + Send + 'static,
) -> Story {
    let mut source = Literal::new();
    let mut meta = source.meta(NodeKind::File);
    meta.size = size;
    let opened = Arc::new(AtomicU64::new(0));
    let told = meta.clone();
    let moving = Moving(Arc::clone(&opened), move |turn| open(turn, told.clone()));
    source.file("before", b"before").entry("moving", meta, Body::Opener(Box::new(moving)));
    source.file("later", b"later");
    let (_, backend) = new_repository();
    let monitor = Collect::default();
    let report = backup_source(&backend, &mut source, &monitor).unwrap();
    let opened = opened.load(Ordering::SeqCst);
    let found = check_all(&backend);
    assert!(found.findings.is_empty(), "{:?}", found.findings);
    Story { monitor, opened, backend, report }
}

impl Story {
    fn node(&self) -> Option<ghostsnap::format::Node> {
        let all = entries(&open(Arc::clone(&self.backend)), &self.report.snapshot);
        for other in ["before", "later"] {
            assert!(all.iter().any(|(path, _)| path == other), "{other} is missing");
        }
        all.into_iter().find(|(path, _)| path == "moving").map(|(_, node)| node)
    }

    fn content(&self) -> Vec<u8> {
        let target = tempfile::tempdir().unwrap();
        let repository = open(Arc::clone(&self.backend));
        let (root, monitor) = (RelPath::root(), Collect::default());
        let snapshot = &self.report.snapshot;
        to_folder(&repository, snapshot, &root, &restore_options(), target.path(), &monitor)
            .unwrap();
        assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
        fs::read(target.path().join("moving")).unwrap()
    }
}

fn bytes(length: usize) -> Box<dyn Read + Send> {
    Box::new(std::io::Cursor::new(noise("moving", length)))
}

#[test]
fn a_file_that_changed_once_while_it_was_read_is_read_again() {
    for (told, first, second) in [(5000, 5000, 7000), (5000, 3000, 5000), (900_000, 700_000, 10)] {
        let story = story(told, move |turn, meta| {
            let length = if turn == 0 { first } else { second };
            let now = Meta { size: length as u64, ..meta.clone() };
            let was = if turn == 0 { Meta { size: told, inode: 1, ..meta } } else { now.clone() };
            let changed =
                Meta { mtime: ghostsnap::base::Timestamp::from_seconds(9), ..now.clone() };
            Some((vec![was, if turn == 0 { changed } else { now }], bytes(length)))
        });
        assert_eq!(story.opened, 2);
        assert_eq!(story.content(), noise("moving", second));
        assert!(!story.node().unwrap().torn);
        assert!(story.monitor.warnings().is_empty());
    }
}

#[test]
fn a_file_that_never_rests_is_stored_as_it_was_read_and_named() {
    for length in [4000, 800_000, 9_000_000] {
        for told in [length as u64 / 2, length as u64, length as u64 * 2] {
            let story = story(told, move |_, meta| {
                let sizes = [told, told + 1];
                Some((sizes.map(|size| Meta { size, ..meta.clone() }).to_vec(), bytes(length)))
            });
            assert_eq!(story.opened, 2);
            let node = story.node().unwrap();
            assert!(node.torn);
            assert_eq!(node.meta.size, story.content().len() as u64);
            assert!(story.content() == noise("moving", length)[..node.meta.size as usize]);
            assert!(story.monitor.warnings()[0].contains("moving"));
            assert!(story.report.snapshot.is_partial());
        }
    }
}

#[test]
fn a_file_that_is_gone_when_its_turn_comes_is_no_failure() {
    let story = story(500, |_, _| None);
    assert!(story.node().is_none());
    assert_eq!(story.report.counts.get(Counter::FilesVanished), 1);
    assert!(!story.report.snapshot.is_partial());
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_is_named_and_the_others_are_kept() {
    struct Bad(u64);
    impl Read for Bad {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::from_raw_os_error(nix::libc::EIO));
            }
            self.0 -= 1;
            buffer.fill(7);
            Ok(buffer.len())
        }
    }
    for (size, good_reads) in [(400, 0), (3_000_000, 0), (90_000_000, 3)] {
        let story =
            story(size, move |_, meta| Some((vec![meta], Box::new(Bad(good_reads)) as Box<_>)));
        assert!(story.node().is_none());
        let warnings = story.monitor.warnings();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("moving"), "{warnings:?}");
        assert!(story.report.snapshot.is_partial());
    }
}

#[test]
fn a_file_whose_attributes_cannot_be_read_is_stored_without_them() {
    struct Odd(LiteralFile);
    struct OpenOdd(Box<dyn ReadFile>);
    impl OpenFile for Odd {
        fn open(&self) -> Result<Option<Box<dyn ReadFile>>> {
            Ok(self.0.open()?.map(|file| -> Box<dyn ReadFile> { Box::new(OpenOdd(file)) }))
        }
    }
    impl Read for OpenOdd {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl ReadFile for OpenOdd {
        fn meta(&self) -> Result<Meta> {
            self.0.meta()
        }
        fn xattrs(&self) -> Result<Option<ghostsnap::tree::source::Xattrs>> {
            Err(Error::new(Kind::Limit, "read extended attributes").why("they are too large"))
        }
        fn extents(&self, size: u64) -> Result<Vec<(u64, u64)>> {
            self.0.extents(size)
        }
        fn seek_to(&mut self, offset: u64) -> Result<()> {
            self.0.seek_to(offset)
        }
    }
    let (_, backend) = new_repository();
    for _ in 0..2 {
        let mut source = Literal::new();
        let mut meta = source.meta(NodeKind::File);
        meta.size = 7;
        let file = LiteralFile { meta: meta.clone(), bytes: b"content".to_vec() };
        source.entry("odd", meta, Body::Opener(Box::new(Odd(file))));
        let monitor = Collect::default();
        let report = backup_source(&backend, &mut source, &monitor).unwrap();
        // Each time: the second snapshot is no more complete than the first.
        assert!(report.snapshot.is_partial());
        assert!(monitor.warnings()[0].contains("attributes of odd"), "{:?}", monitor.warnings());
        assert_eq!(entries(&open(Arc::clone(&backend)), &report.snapshot)[0].1.meta.size, 7);
    }
}

#[test]
fn a_file_changed_in_the_clocks_last_tick_is_read_again_the_next_time() {
    // The kernel's clock moves in steps of some milliseconds. A file written, read and written
    // again within one step shows the same times and size before and after.
    let (_, backend) = new_repository();
    let backup = |content: &'static [u8], age_seconds: i64| {
        let mut source = Literal::new();
        let mut meta = source.meta(NodeKind::File);
        let now = World::seeded(2).now();
        meta.mtime = ghostsnap::base::Timestamp { seconds: now.seconds - age_seconds, ..now };
        meta.ctime = meta.mtime;
        source.file_as("a", meta, content);
        let monitor = Collect::default();
        backup_source(&backend, &mut source, &monitor).unwrap()
    };
    let first = backup(b"one", 0);
    let second = backup(b"two", 0);
    assert_ne!(first.snapshot.tree, second.snapshot.tree);
    assert_eq!(second.counts.get(Counter::FilesReused), 0);
    backup(b"old", 60);
    assert_eq!(backup(b"old", 60).counts.get(Counter::FilesReused), 1);
}

#[test]
fn sockets_and_devices_are_skipped_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a"], 100);
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    nix::unistd::mkfifo(&source.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let device = nix::sys::stat::mknod(
        &source.join("device"),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::S_IRWXU,
        nix::sys::stat::makedev(1, 3),
    );
    let mut names = vec!["socket", "fifo"];
    if device.is_ok() {
        names.push("device");
    }
    let (_, backend) = new_repository();
    let mut walk =
        ghostsnap::tree::Walk::new(std::slice::from_ref(&source), Default::default()).unwrap();
    let watch = Watch::new(|_| false);
    let report =
        ghostsnap::ops::backup(&open(Arc::clone(&backend)), &mut walk, &options(), &watch).unwrap();
    let notes = watch.notes.lock().unwrap().join("\n");
    assert!(names.iter().all(|name| notes.contains(&format!("source/{name}"))), "{notes}");
    assert_eq!(report.counts.get(Counter::FilesSkipped), names.len() as u64);
    assert!(!report.snapshot.is_partial(), "nobody misses a socket");
    // Asked for, FIFOs and devices are taken as nodes and come back; sockets never.
    let options = ghostsnap::tree::WalkOptions { special_files: true, ..Default::default() };
    let mut walk = ghostsnap::tree::Walk::new(std::slice::from_ref(&source), options).unwrap();
    let report = backup_source(&backend, &mut walk, &Collect::default()).unwrap();
    let target = folder.path().join("target");
    restore(&open(backend), &report.snapshot, &source, &target);
    let mut expected = manifest(&source);
    expected.remove(&b"socket"[..]);
    assert_eq!(manifest(&target), expected);
}

#[test]
fn attributes_and_access_lists_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    folder_of(&source, &["a", "b/c"], 1000);
    let long = noise("value", 2000);
    for (path, name, value) in [
        ("a", "user.one", &b""[..]),
        ("a", "user.two", &long),
        ("b", "user.folder", b"\0\xff"),
        ("b/c", "user.comment", "grün".as_bytes()),
    ] {
        if xattr::set(source.join(path), name, value).is_err() {
            return; // a file system without attributes
        }
    }
    let setfacl = |arguments: &[&str], path: &str| {
        let mut command = std::process::Command::new("setfacl");
        command.args(arguments).arg(source.join(path)).status().is_ok_and(|done| done.success())
    };
    let with_access_lists = setfacl(&["-m", "u:33:rx,g:100:w"], "a")
        && setfacl(&["-m", "u:33:rwx,d:u:33:rwx"], "b")
        && setfacl(&["-m", "m::r"], "b/c");
    let (_, backend) = new_repository();
    let report = backup_now(&backend, &source);
    restore(&open(backend), &report.snapshot, &source, &target);
    assert_eq!(manifest(&target), manifest(&source));
    let mut names = 0;
    for path in ["a", "b", "b/c"] {
        for name in xattr::list(source.join(path)).unwrap() {
            let value = |root: &Path| xattr::get(root.join(path), &name).unwrap();
            assert_eq!(value(&target), value(&source), "{path} {name:?}");
            names += 1;
        }
    }
    assert!(!with_access_lists || names > 4, "{names}");
}

// ---- restoring what is left

#[test]
fn a_damaged_blob_costs_the_files_in_it_by_name_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let names: Vec<String> = (0..40).map(|n| format!("{:02}/file-{n:02}", n / 10)).collect();
    folder_of(&source, &names.iter().map(String::as_str).collect::<Vec<_>>(), 20_000);
    fs::write(source.join("00/big"), noise("big", 6_000_000)).unwrap();
    fs::hard_link(source.join("00/file-00"), source.join("other name")).unwrap();
    let (mem, backend) = new_repository();
    let report = backup_now(&backend, &source);
    let repository = open(Arc::clone(&backend));
    let index = repository.index();
    let lost_at = |place: ghostsnap::repo::index::ChunkPlace| place.blob;
    for blob in 0..index.blobs().len() as u32 {
        let pack = index.pack(index.blob(blob).unwrap().pack).unwrap();
        if pack.class == ghostsnap::format::PackClass::Meta {
            continue;
        }
        let disk = mem.copy();
        let at = index.blob(blob).unwrap().offset as usize;
        disk.tamper(&FileName::new(FileKind::Pack, pack.id), |bytes| bytes[at] ^= 1);
        let base = base_of(&source);
        let mut expected: Vec<String> = entries(&repository, &report.snapshot)
            .into_iter()
            .filter(|(_, node)| node.meta.kind == NodeKind::File)
            .filter(|(_, node)| {
                node.chunks.iter().any(|id| lost_at(index.find(id).unwrap().unwrap()) == blob)
            })
            .map(|(path, _)| base.strip(&RelPath::parse(path.as_bytes()).unwrap()).unwrap())
            .map(|path| path.to_string())
            .collect();
        assert!(!expected.is_empty());
        let target = tempfile::tempdir().unwrap();
        let monitor = Collect::default();
        let damaged: Arc<dyn Backend> = Arc::new(disk);
        let options = restore_options();
        let snapshot = &report.snapshot;
        let done =
            restore_with(&damaged, snapshot, &source, target.path(), &options, &monitor).unwrap();
        assert_eq!(done.warnings as usize, expected.len(), "{:?}", monitor.warnings());
        let warnings = monitor.warnings().join("\n");
        for name in &expected {
            assert!(warnings.contains(name.as_str()), "{name} is not in {warnings}");
        }
        let restored = manifest(target.path());
        let mut wanted = manifest(&source);
        wanted.retain(|path, _| {
            let path = String::from_utf8(path.clone()).unwrap();
            !expected.contains(&path)
        });
        expected.clear();
        assert_eq!(restored, wanted);
    }
}

#[test]
fn a_missing_pack_of_one_folder_costs_that_folder_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    folder_of(&source, &["old/a", "old/b"], 900);
    let (_, backend) = new_repository();
    backup_now(&backend, &source);
    let old = backend.list(FileKind::Pack).unwrap();
    folder_of(&source, &["before/c", "z/d"], 900);
    let report = backup_now(&backend, &source);
    for (name, _) in old {
        backend.remove(&name).unwrap();
    }
    let monitor = Collect::default();
    let options = restore_options();
    let done =
        restore_with(&backend, &report.snapshot, &source, &target, &options, &monitor).unwrap();
    assert_eq!(done.warnings, 1, "{:?}", monitor.warnings());
    assert!(monitor.warnings()[0].contains("old"), "{:?}", monitor.warnings());
    for name in ["before/c", "z/d"] {
        assert_eq!(fs::read(target.join(name)).unwrap(), noise(name, 900));
    }
}

#[test]
fn a_chunk_that_is_stored_twice_is_lost_only_with_both_copies() {
    let contents = [("a", 9000), ("b", 9000), ("big", 3_000_000)];
    let source = || {
        let mut source = Literal::new();
        for (path, length) in contents {
            source.file(path, &noise(path, length));
        }
        source
    };
    let (mem, backend) = new_repository();
    // Two writers that do not know of each other.
    let handle = |seed| {
        let world = Arc::new(World::seeded(seed));
        let repository = Repository::open(Arc::clone(&backend), &secret(), world).unwrap();
        repository.indexed(&Collect::default()).unwrap()
    };
    let (one, other) = (handle(70), handle(71));
    let back_up =
        |to| ghostsnap::ops::backup(to, &mut source(), &options(), &Collect::default()).unwrap();
    let report = back_up(&one);
    let packs = backend.list(FileKind::Pack).unwrap();
    back_up(&other);
    let all = backend.list(FileKind::Pack).unwrap();
    assert_eq!(all.len(), packs.len() * 2);
    for first_copies in [true, false] {
        let disk = mem.copy();
        for (name, _) in all.iter().filter(|one| packs.contains(one) == first_copies) {
            disk.tamper(name, |bytes| bytes.iter_mut().skip(48).for_each(|byte| *byte ^= 1));
        }
        let repository = open(Arc::new(disk));
        let (target, monitor) = (tempfile::tempdir().unwrap(), Collect::default());
        let (root, options) = (RelPath::root(), restore_options());
        to_folder(&repository, &report.snapshot, &root, &options, target.path(), &monitor).unwrap();
        assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
        for (path, length) in contents {
            assert!(fs::read(target.path().join(path)).unwrap() == noise(path, length), "{path}");
        }
    }
}

#[test]
fn an_attribute_that_cannot_be_set_costs_the_attribute_and_not_the_file() {
    let (_, backend) = new_repository();
    let mut source = Literal::new();
    for (path, length) in [("small", 10), ("large", 2_000_000), ("empty", 0)] {
        let mut meta = source.meta(NodeKind::File);
        // More than any file system takes.
        meta.xattrs = vec![(b"user.huge".to_vec(), vec![b'x'; 200_000])];
        source.file_as(path, meta, &noise(path, length));
    }
    let report = backup_source(&backend, &mut source, &Collect::default()).unwrap();
    let target = tempfile::tempdir().unwrap();
    let repository = open(backend);
    for round in ["new", "again, in place"] {
        let monitor = Collect::default();
        let done = to_folder(
            &repository,
            &report.snapshot,
            &RelPath::root(),
            &restore_options(),
            target.path(),
            &monitor,
        )
        .unwrap();
        assert_eq!(done.warnings, 3, "{round}: {:?}", monitor.warnings());
        for (path, length) in [("small", 10), ("large", 2_000_000), ("empty", 0)] {
            assert_eq!(fs::read(target.path().join(path)).unwrap(), noise(path, length));
            let mode = fs::metadata(target.path().join(path)).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o644, "what can be set is set");
        }
    }
}

#[test]
fn a_second_name_never_gets_content_that_is_not_the_snapshots() {
    for (overwrite, age) in [(Overwrite::Never, 0), (Overwrite::IfNewer, 1_000_000)] {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        folder_of(&source, &["one"], 5000);
        let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age + 9);
        fs::File::options()
            .write(true)
            .open(source.join("one"))
            .unwrap()
            .set_modified(past)
            .unwrap();
        fs::hard_link(source.join("one"), source.join("two")).unwrap();
        let (_, backend) = new_repository();
        let report = backup_now(&backend, &source);
        // The first name got other content since; the second is gone.
        fs::remove_file(source.join("two")).unwrap();
        fs::write(source.join("one"), b"edited").unwrap();
        let options = RestoreOptions { overwrite, ..restore_options() };
        let monitor = Collect::default();
        let snapshot = &report.snapshot;
        restore_with(&backend, snapshot, &source, &source, &options, &monitor).unwrap();
        assert_eq!(fs::read(source.join("one")).unwrap(), b"edited", "{overwrite:?}");
        assert_eq!(fs::read(source.join("two")).unwrap(), noise("one", 5000), "{overwrite:?}");
    }
}

#[test]
fn a_newer_second_name_is_left_alone_when_only_older_files_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["one"], 5000);
    fs::hard_link(source.join("one"), source.join("two")).unwrap();
    let (_, backend) = new_repository();
    let report = backup_now(&backend, &source);
    fs::remove_file(source.join("one")).unwrap();
    fs::remove_file(source.join("two")).unwrap();
    fs::write(source.join("two"), b"newer").unwrap();
    let future = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(9_000_000_000);
    fs::File::options().write(true).open(source.join("two")).unwrap().set_modified(future).unwrap();
    let options = RestoreOptions { overwrite: Overwrite::IfNewer, ..restore_options() };
    let monitor = Collect::default();
    restore_with(&backend, &report.snapshot, &source, &source, &options, &monitor).unwrap();
    assert_eq!(fs::read(source.join("one")).unwrap(), noise("one", 5000));
    assert_eq!(fs::read(source.join("two")).unwrap(), b"newer");
}

#[test]
fn what_appears_at_a_files_place_meanwhile_is_neither_overwritten_nor_removed() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a", "b", "c"], 5000);
    fs::write(source.join("big"), noise("big", 3_000_000)).unwrap();
    let (_, backend) = new_repository();
    let report = backup_now(&backend, &source);
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    // All files are planned as new; then somebody makes three of them.
    let there = target.clone();
    let watch = Watch::new(move |asked| {
        if asked == 4 {
            fs::write(there.join("a"), b"mine").unwrap();
            fs::create_dir(there.join("b")).unwrap();
            fs::write(there.join("b/mine"), b"mine").unwrap();
            fs::write(there.join("big"), b"mine").unwrap();
        }
        false
    });
    let options = restore_options();
    restore_with(&backend, &report.snapshot, &source, &target, &options, &watch).unwrap();
    assert!(watch.asked() > 4);
    assert_eq!(watch.collect.warnings().len(), 3, "{:?}", watch.collect.warnings());
    assert_eq!(fs::read(target.join("a")).unwrap(), b"mine");
    assert_eq!(fs::read(target.join("b/mine")).unwrap(), b"mine");
    assert_eq!(fs::read(target.join("big")).unwrap(), b"mine");
    assert_eq!(fs::read(target.join("c")).unwrap(), noise("c", 5000));
}

#[test]
fn removing_what_the_snapshot_lacks_spares_what_is_excluded_at_any_depth() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a", "kept/b"], 100);
    let (_, backend) = new_repository();
    let report = backup_now(&backend, &source);
    folder_of(&source, &["new/x", "new/deep/y", "new/deep/z.log", "gone/deep/x", "a.log"], 100);
    std::os::unix::fs::symlink(&source, source.join("new/link")).unwrap();
    let selection = Selection::new::<&str>(&[], &["*.log"]).unwrap();
    let options = RestoreOptions { delete: true, selection, ..restore_options() };
    let dry = RestoreOptions { dry_run: true, ..options.clone() };
    let run = |options: &RestoreOptions| {
        let monitor = Collect::default();
        let snapshot = &report.snapshot;
        restore_with(&backend, snapshot, &source, &source, options, &monitor).unwrap();
        assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
        monitor.counts.get(Counter::FilesRemoved)
    };
    let planned = run(&dry);
    let done = run(&options);
    let left: Vec<String> =
        manifest(&source).into_keys().map(|name| String::from_utf8(name).unwrap()).collect();
    assert_eq!(left, ["a", "a.log", "kept", "kept/b", "new", "new/deep", "new/deep/z.log"]);
    assert_eq!((planned, done), (6, 6), "a dry run counts what goes");
}

#[test]
fn restoring_one_file_leaves_the_folders_above_it_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a/b/file", "a/other", "c/d"], 100);
    let (_, backend) = new_repository();
    let report = backup_now(&backend, &source);
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(source.join("a"), private.clone()).unwrap();
    fs::remove_dir_all(source.join("a/b")).unwrap();
    let selection = Selection::new::<&str>(&["a/b/file"], &[]).unwrap();
    let options = RestoreOptions { selection, ..restore_options() };
    let monitor = Collect::default();
    restore_with(&backend, &report.snapshot, &source, &source, &options, &monitor).unwrap();
    assert_eq!(fs::metadata(source.join("a")).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(source.join("a/b")).unwrap().mode() & 0o777, 0o755);
    assert_eq!(fs::read(source.join("a/b/file")).unwrap(), noise("a/b/file", 100));
}

#[test]
fn a_dry_run_warns_of_nothing_that_would_go_well() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    folder_of(&source, &["a/b/c", "d"], 100);
    std::os::unix::fs::symlink("d", source.join("a/link")).unwrap();
    let (_, backend) = new_repository();
    let report = backup_now(&backend, &source);
    fs::remove_dir_all(source.join("a")).unwrap();
    std::os::unix::fs::symlink("/etc", source.join("a")).unwrap();
    for dry_run in [true, false] {
        let options = RestoreOptions { delete: true, dry_run, ..restore_options() };
        let monitor = Collect::default();
        restore_with(&backend, &report.snapshot, &source, &source, &options, &monitor).unwrap();
        assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
        assert_eq!(monitor.counts.get(Counter::FilesRestored), 2);
        assert_eq!(fs::symlink_metadata(source.join("a")).unwrap().is_symlink(), dry_run);
    }
}

#[test]
fn folders_in_which_nothing_is_meant_are_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    folder_of(&source, &["a/b/x.php", "a/c/y", "d/e/f", "g.php"], 100);
    let (_, backend) = new_repository();
    let report = backup_now(&backend, &source);
    let selection = Selection::new::<&str>(&["*.php"], &[]).unwrap();
    let options = RestoreOptions { selection, ..restore_options() };
    let monitor = Collect::default();
    restore_with(&backend, &report.snapshot, &source, &target, &options, &monitor).unwrap();
    let found: Vec<Vec<u8>> = manifest(&target).into_keys().collect();
    assert_eq!(found, [&b"a"[..], b"a/b", b"a/b/x.php", b"g.php"]);
    let whole = manifest(&source);
    assert!(manifest(&target).iter().all(|(path, line)| whole[path] == *line));
}

// ---- odd sources and repositories

#[test]
fn a_folder_of_files_with_long_attributes_fits_into_the_repository() {
    let (_, backend) = new_repository();
    let mut source = Literal::new();
    let attributes = |n: usize| vec![(b"user.a".to_vec(), noise(&format!("{n}"), 200_000))];
    for n in 0..100 {
        let mut meta = source.meta(NodeKind::File);
        meta.xattrs = attributes(n);
        source.file_as(&format!("{n:03}"), meta, b"x");
    }
    let report = backup_source(&backend, &mut source, &Collect::default()).unwrap();
    assert!(check_all(&backend).findings.is_empty());
    let all = entries(&open(backend), &report.snapshot);
    assert!(all.len() == 100);
    assert!(all.iter().enumerate().all(|(n, (_, node))| node.meta.xattrs == attributes(n)));
}

#[test]
fn a_program_never_lends_the_rights_of_whoever_restored_it() {
    if !nix::unistd::geteuid().is_root() {
        return; // others cannot make files of several owners
    }
    let (_, backend) = new_repository();
    let mut source = Literal::new();
    for (path, uid) in [("mine", 0), ("theirs", 1001)] {
        let meta = Meta { mode: 0o6755, uid, gid: uid, ..source.meta(NodeKind::File) };
        source.file_as(path, meta, b"#!");
    }
    let report = backup_source(&backend, &mut source, &Collect::default()).unwrap();
    for (owners, mine, theirs) in [
        (ghostsnap::tree::dir::OwnerPolicy::Keep, 0o6755, 0o755),
        (ghostsnap::tree::dir::OwnerPolicy::Numeric, 0o6755, 0o6755),
    ] {
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions { owners, ..RestoreOptions::default() };
        let (repository, root) = (open(Arc::clone(&backend)), RelPath::root());
        let monitor = Collect::default();
        to_folder(&repository, &report.snapshot, &root, &options, target.path(), &monitor).unwrap();
        let mode = |path| fs::metadata(target.path().join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("mine"), mode("theirs")), (mine, theirs), "{owners:?}");
    }
}

#[test]
fn files_that_are_not_ours_in_a_repository_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let (source, root) = (folder.path().join("source"), folder.path().join("repository"));
    folder_of(&source, &["a"], 100);
    let backend: Arc<dyn Backend> = Arc::new(Local::new(&root));
    init(Arc::clone(&backend));
    backup_now(&backend, &source);
    for stray in ["packs/README", "packs/.DS_Store", "index/x", "keys/x", "snapshots/x", "y"] {
        fs::write(root.join(stray), b"hello").unwrap();
    }
    fs::create_dir(root.join("packs/lost+found")).unwrap();
    backup_now(&backend, &source);
    assert!(check_all(&backend).findings.is_empty());
}

#[test]
fn a_tree_deeper_than_any_disk_holds_is_cut_off_by_name_and_never_overflows() {
    let (_, backend) = new_repository();
    let mut source = Literal::new();
    let mut path = String::new();
    for _ in 0..3000 {
        path.push_str("/d");
        source.folder(&path);
    }
    source.file(&format!("{path}/file"), b"deep");
    source.file("after", b"after");
    let monitor = Collect::default();
    let report = backup_source(&backend, &mut source, &monitor).unwrap();
    assert!(report.snapshot.is_partial());
    assert_eq!(monitor.warnings().len(), 1, "{:?}", monitor.warnings());
    assert!(check_all(&backend).findings.is_empty());
    let target = tempfile::tempdir().unwrap();
    let repository = open(backend);
    let all = entries(&repository, &report.snapshot);
    assert!(all.iter().any(|(path, _)| path == "after"));
    to_folder(
        &repository,
        &report.snapshot,
        &RelPath::root(),
        &restore_options(),
        target.path(),
        &monitor,
    )
    .unwrap();
    assert_eq!(fs::read(target.path().join("after")).unwrap(), b"after");
}

#[test]
fn errors_of_a_source_keep_their_own_words() {
    struct Broken;
    impl ghostsnap::tree::Source for Broken {
        fn next_entry(&mut self, _: &dyn Monitor) -> Result<Option<ghostsnap::tree::Entry<'_>>> {
            Err(Error::new(Kind::Parsing, "read the tarball").why("it is a poem"))
        }
    }
    let (_, backend) = new_repository();
    let error = backup_source(&backend, &mut Broken, &Collect::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Parsing);
    assert!(error.one_line().contains("poem"));
}

// ---- memory

/// Its own process, since memory is counted by process.
#[test]
#[ignore = "moves several gigabytes: cargo test --test trouble -- --ignored memory"]
fn backing_up_and_restoring_a_large_file_stays_within_the_memory_budget() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let (source, root) = (folder.path().join("source"), folder.path().join("repository"));
    fs::create_dir(&source).unwrap();
    let mut file = fs::File::create(source.join("large")).unwrap();
    for n in 0..150 {
        file.write_all(&noise(&format!("{n}"), 10_000_000)).unwrap();
    }
    file.set_len(3_000_000_000).unwrap();
    for n in 0..20_000 {
        fs::write(source.join(format!("{n}")), noise(&format!("small {n}"), 3000)).unwrap();
    }
    let key = folder.path().join("key");
    let text = ghostsnap::format::keyslot::Secret::key_file_text(&[42; 32]);
    fs::write(&key, text.as_str()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    init(Arc::new(Local::new(&root)));
    let target = folder.path().join("target");
    for arguments in [
        &["backup", source.to_str().unwrap()][..],
        &["restore", "latest", "--target", target.to_str().unwrap(), "--verify"],
        &["check", "--read-data"],
    ] {
        let peak = peak_memory_of(
            std::process::Command::new(env!("CARGO_BIN_EXE_ghostsnap"))
                .args(arguments)
                .arg("--quiet")
                .arg("--repository")
                .arg(&root)
                .arg("--key-file")
                .arg(&key),
        );
        assert!(peak < 256 << 20, "{arguments:?}: {} MiB", peak >> 20);
    }
}

/// Runs a program and says how much memory it had at most.
fn peak_memory_of(command: &mut std::process::Command) -> u64 {
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        if let Some(done) = child.try_wait().unwrap() {
            assert!(done.success());
            return peak;
        }
        World::system().sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_key_that_may_not_remove_costs_a_backup_nothing_but_garbage() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    folder_of(&source, &["a", "b", "c"], 90_000);
    let (_, backend) = new_repository();
    let kept: Arc<dyn Backend> = Arc::new(Faulty::new(Arc::clone(&backend), Fault::NoRemove));
    let mut walk =
        ghostsnap::tree::Walk::new(std::slice::from_ref(&source), Default::default()).unwrap();
    let mut options = options();
    options.template.paths = walk.roots();
    options.writer.checkpoint_bytes = 1;
    let heard = Watch::new(|_| false);
    let report = ghostsnap::ops::backup(&open(kept), &mut walk, &options, &heard).unwrap();
    assert_eq!(report.snapshot.warnings, 0);
    assert!(backend.list(FileKind::Index).unwrap().len() > 2, "what was replaced is there");
    let notes = heard.notes.lock().unwrap();
    assert!(notes.iter().any(|note| note.contains("append_only=yes")), "{notes:?}");
    restore(&open(Arc::clone(&backend)), &report.snapshot, &source, &target);
    assert_eq!(manifest(&target), manifest(&source));
    assert!(!check_all(&backend).is_damaged());
}
