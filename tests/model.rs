// SPDX-License-Identifier: MIT
//! Random histories of a home folder and its repository, compared with plain copies of the folder.
//! Whatever happened, and wherever a run died, each snapshot that exists restores to the copy made
//! when it was taken, and check finds no damage.
//!
//! Every history follows from its seed, which is printed on failure. GHOSTSNAP_TEST_SEED=n replays
//! one; GHOSTSNAP_TEST_LONG=1 runs many and longer ones.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]
#![allow(clippy::as_conversions, clippy::print_stderr)]

mod common;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{FileId, RelPath, Result, World};
use ghostsnap::format::Snapshot;
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::forget::{Policy, execute, plan};
use ghostsnap::ops::prune::{PruneOptions, prune};
use ghostsnap::ops::repair::rebuild_index;
use ghostsnap::ops::restore::{Overwrite, RestoreOptions, to_folder};
use ghostsnap::repo::Repository;
use ghostsnap::tree::{Selection, Walk, WalkOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const NAMES: [&[u8]; 12] = [
    b"a",
    b"b",
    b"index.php",
    b"cur",
    b"new",
    b".htaccess",
    b"with space",
    b"\xff\xfe",
    "gr\u{fc}n".as_bytes(),
    b"-rf",
    b"x*[y]",
    b"line\nbreak",
];

/// Says which history failed, and where.
struct Teller {
    seed: u64,
    step: u64,
    last: String,
}

impl Drop for Teller {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "history of GHOSTSNAP_TEST_SEED={}, step {}: {}",
                self.seed, self.step, self.last
            );
        }
    }
}

struct History {
    dice: Dice,
    root: tempfile::TempDir,
    disk: Mem,
    /// What exists, with the copy of the folder at that time.
    kept: Vec<(FileId, Snapshot, PathBuf)>,
    serial: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("home")).unwrap();
        let disk = Mem::new();
        let backend: Arc<dyn Backend> = Arc::new(disk.clone());
        let world = Arc::new(World::system());
        Repository::init(backend, &secret(), "model", world).unwrap();
        Self { dice: Dice(seed), root, disk, kept: Vec::new(), serial: 0 }
    }

    fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    fn fresh(&mut self, word: &str) -> PathBuf {
        self.serial += 1;
        self.root.path().join(format!("{word}-{}", self.serial))
    }

    /// The repository as the next run sees it: healthy, or about to die.
    fn backend(&mut self, may_die: bool) -> Arc<dyn Backend> {
        let disk: Arc<dyn Backend> = Arc::new(self.disk.clone());
        if !may_die || !self.dice.one_in(3) {
            return disk;
        }
        let turn = self.dice.below(7) as u64;
        let fault = match self.dice.below(3) {
            0 => Fault::DieBefore(turn),
            1 => Fault::DieAfter(turn),
            _ => Fault::FullFrom(turn),
        };
        Arc::new(Faulty::new(disk, fault))
    }

    fn step(&mut self) -> String {
        match self.dice.below(20) {
            0..=5 => self.change_files(),
            6..=10 => self.back_up(),
            11 | 12 => self.forget(),
            13 | 14 => self.restore_in_place(),
            15 => self.restore_elsewhere(),
            16 => self.restore_a_part(),
            17 if self.dice.one_in(2) => self.rebuild_index(),
            17 => self.prune(),
            _ => self.check(),
        }
    }

    // ---- the folder

    fn change_files(&mut self) -> String {
        let count = 1 + self.dice.below(12);
        for _ in 0..count {
            // What does not apply (a name that is taken, a folder into itself) just fails.
            drop(self.change_one());
        }
        format!("{count} changes")
    }

    /// Everything below the home folder, files and folders apart.
    fn everything(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let (mut files, mut folders) = (Vec::new(), vec![self.home()]);
        let mut at = 0;
        while at < folders.len() {
            let mut entries: Vec<PathBuf> =
                fs::read_dir(&folders[at]).unwrap().map(|entry| entry.unwrap().path()).collect();
            entries.sort();
            for path in entries {
                if fs::symlink_metadata(&path).unwrap().is_dir() {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
            at += 1;
        }
        (files, folders)
    }

    fn content(&mut self) -> Vec<u8> {
        let length = match self.dice.below(12) {
            0 => 0,
            1..=6 => self.dice.below(6000),
            7 | 8 => self.dice.below(200_000),
            9 => 512 * 1024 - 1 + self.dice.below(3),
            10 => 1_000_000 + self.dice.below(1_000_000),
            _ => 4 * 1024 * 1024 - 1 + self.dice.below(3),
        };
        // Some content comes again, some compresses.
        let serial = self.dice.below(400);
        match self.dice.below(4) {
            0 => format!("line {serial}\n").into_bytes().repeat(length / 8),
            _ => noise(&format!("{serial}"), length),
        }
    }

    fn new_path(&mut self, folders: &[PathBuf]) -> PathBuf {
        let name = NAMES[self.dice.below(NAMES.len())];
        self.dice.pick(folders).unwrap().join(OsStr::from_bytes(name))
    }

    fn change_one(&mut self) -> std::io::Result<()> {
        let (files, folders) = self.everything();
        let path = self.new_path(&folders);
        let old = self.dice.pick(&files).cloned().unwrap_or_else(|| path.clone());
        let regular = fs::symlink_metadata(&old).is_ok_and(|meta| meta.is_file());
        match self.dice.below(16) {
            0..=2 => {
                let content = self.content();
                self.write_new(&path, &content)
            }
            3 => fs::create_dir(&path),
            4 => symlink(OsStr::from_bytes(NAMES[self.dice.below(NAMES.len())]), &path),
            5 => fs::hard_link(&old, &path),
            6 => self.write_sparse(&path),
            7 if regular => self.overwrite_part(&old),
            8 if regular => {
                use std::io::Write;
                let content = self.content();
                fs::OpenOptions::new().append(true).open(&old)?.write_all(&content)
            }
            9 if regular => {
                let size = fs::metadata(&old)?.len() as usize;
                let file = fs::OpenOptions::new().write(true).open(&old)?;
                file.set_len(self.dice.below(size + 1) as u64)
            }
            10 => remove(&old),
            11 => fs::rename(&old, &path),
            12 => fs::rename(self.dice.pick(&folders[1..]).unwrap_or(&old), &path),
            13 => self.change_type(&old),
            14 => self.change_attributes(&old, &folders),
            _ => match self.dice.pick(&folders[1..]) {
                Some(folder) if self.dice.one_in(3) => fs::remove_dir_all(folder),
                _ => remove(&old),
            },
        }
    }

    /// A new file; each has one attribute, so that a restore always has one to set or to change.
    fn write_new(&mut self, path: &Path, content: &[u8]) -> std::io::Result<()> {
        let file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all_at(content, 0)?;
        let value = self.dice.next().to_le_bytes();
        // Not every file system has attributes.
        drop(xattr::set(path, "user.model", &value[..self.dice.below(9)]));
        Ok(())
    }

    fn write_sparse(&mut self, path: &Path) -> std::io::Result<()> {
        self.write_new(path, b"")?;
        let file = fs::OpenOptions::new().write(true).open(path)?;
        let size = 600_000 + self.dice.below(3_000_000) as u64;
        file.set_len(size)?;
        for _ in 0..self.dice.below(4) {
            let data = noise("sparse", 1 + self.dice.below(300_000));
            let at = self.dice.below(size as usize - data.len().min(size as usize - 1)) as u64;
            file.write_all_at(&data[..data.len().min((size - at) as usize)], at)?;
        }
        Ok(())
    }

    /// The same size as before: only the times tell.
    fn overwrite_part(&mut self, path: &Path) -> std::io::Result<()> {
        let file = fs::OpenOptions::new().write(true).open(path)?;
        let size = file.metadata()?.len() as usize;
        if size == 0 {
            return Ok(());
        }
        let at = self.dice.below(size);
        let length = (1 + self.dice.below(100_000)).min(size - at);
        file.write_all_at(&noise(&format!("{}", self.dice.next()), length), at as u64)
    }

    fn change_type(&mut self, path: &Path) -> std::io::Result<()> {
        remove(path)?;
        match self.dice.below(3) {
            0 => symlink("nowhere", path),
            1 => {
                let content = self.content();
                self.write_new(path, &content)
            }
            _ => {
                fs::create_dir(path)?;
                let content = self.content();
                self.write_new(&path.join("inside"), &content)
            }
        }
    }

    fn change_attributes(&mut self, file: &Path, folders: &[PathBuf]) -> std::io::Result<()> {
        let path = if self.dice.one_in(3) { self.dice.pick(folders).unwrap() } else { file };
        let meta = fs::symlink_metadata(path)?;
        match self.dice.below(3) {
            0 if !meta.is_symlink() => {
                let modes = if meta.is_dir() {
                    [0o755, 0o700, 0o2770, 0o1777]
                } else {
                    [0o644, 0o600, 0o4755, 0o444]
                };
                fs::set_permissions(path, fs::Permissions::from_mode(modes[self.dice.below(4)]))
            }
            1 => {
                // Without root this fails, and that is fine.
                let (uid, gid) = (self.dice.below(3) as u32, 33 + self.dice.below(2) as u32);
                std::os::unix::fs::lchown(path, Some(uid), Some(gid))
            }
            _ if !meta.is_symlink() => {
                let seconds = self.dice.below(2_000_000_000) as u64;
                let time = std::time::UNIX_EPOCH + std::time::Duration::new(seconds, 77);
                fs::File::open(path)?.set_modified(time)
            }
            _ => Ok(()),
        }
    }

    // ---- the repository

    fn open(&self, backend: Arc<dyn Backend>) -> Result<Repository> {
        Repository::open(backend, &secret(), Arc::new(World::system()))
    }

    fn try_back_up(&mut self, backend: Arc<dyn Backend>) -> Result<()> {
        let repository = self.open(backend)?.indexed(&Collect::default())?;
        let mut walk = Walk::new(&[self.home()], WalkOptions::default())?;
        let mut options = options();
        options.template.paths = walk.roots();
        options.template.time = repository.world().now();
        options.workers = 1 + self.dice.below(3);
        options.writer.level = [0, 1, 3][self.dice.below(3)];
        options.writer.checkpoint_bytes = [1, 300_000, u64::MAX][self.dice.below(3)];
        options.writer.pack_bytes = Some([1000, 64 * 1024, 1 << 24][self.dice.below(3)]);
        let monitor = Collect::default();
        let report = ghostsnap::ops::backup(&repository, &mut walk, &options, &monitor)?;
        assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
        assert!(report.id.is_some());
        Ok(())
    }

    fn back_up(&mut self) -> String {
        let backend = self.backend(true);
        let done = self.try_back_up(backend);
        // A run may die after its snapshot is stored: what is there counts.
        let before = self.kept.len();
        self.take_stock();
        assert!(done.is_err() || self.kept.len() == before + 1);
        format!("backup: {:?}", done.map_err(|error| error.one_line()))
    }

    /// Compares the list of snapshots with what is known; a new one is of the folder as it is now.
    fn take_stock(&mut self) {
        let backend = self.backend(false);
        let found = self.open(backend).unwrap().snapshots().unwrap();
        self.kept.retain(|(id, _, _)| found.iter().any(|(one, _)| one == id));
        for (id, snapshot) in found {
            if self.kept.iter().all(|(one, _, _)| *one != id) {
                let copy = self.fresh("copy");
                let (home, into) = (self.home(), copy.clone());
                let copied = Command::new("cp").arg("-a").arg("--").args([home, into]).status();
                assert!(copied.unwrap().success());
                self.kept.push((id, snapshot, copy));
            }
        }
    }

    fn forget(&mut self) -> String {
        let backend = self.backend(true);
        let last = 1 + self.dice.below(4) as u32;
        let known: Vec<FileId> = self.kept.iter().map(|(id, _, _)| *id).collect();
        let mut stay = Vec::new();
        let done = self.open(backend).and_then(|repository| {
            let policy = Policy { last, ..Policy::default() };
            let plan = plan(repository.snapshots()?, &policy, repository.world().now())?;
            stay = plan.iter().filter(|one| one.is_kept()).map(|one| one.id).collect();
            execute(&repository, &plan)
        });
        self.take_stock();
        let left = |id: &FileId| self.kept.iter().any(|(one, _, _)| one == id);
        assert!(stay.iter().all(left), "a snapshot to keep is gone");
        if done.is_ok() {
            assert_eq!(self.kept.len(), known.len().min(last as usize));
        }
        format!("forget all but {last}: {:?}", done.map_err(|error| error.one_line()))
    }

    /// Time stands still between the steps, so what one prune marks the next one removes.
    fn prune(&mut self) -> String {
        let backend = self.backend(true);
        let options = PruneOptions {
            max_unused: [0, 50, 500][self.dice.below(3)],
            grace_seconds: 0,
            now: self.dice.one_in(2),
            pack_bytes: [1000, 64 * 1024][self.dice.below(2)],
            ..PruneOptions::default()
        };
        let done = self.open(backend).and_then(|repository| {
            let monitor = Collect::default();
            let report = prune(repository, &options, false, &monitor)?;
            assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
            Ok(report.removed)
        });
        let before = self.kept.len();
        self.take_stock();
        assert_eq!(self.kept.len(), before);
        format!("prune: {:?}", done.map_err(|error| error.one_line()))
    }

    fn pick_kept(&mut self) -> Option<(Snapshot, PathBuf)> {
        let (_, snapshot, copy) = self.dice.pick(&self.kept)?;
        Some((snapshot.clone(), copy.clone()))
    }

    fn restore(&mut self, snapshot: &Snapshot, options: &RestoreOptions, target: &Path) {
        let backend = self.backend(false);
        let repository = self.open(backend).unwrap().indexed(&Collect::default()).unwrap();
        let monitor = Collect::default();
        let base = base_of(&self.home());
        to_folder(&repository, snapshot, &base, options, target, &monitor).unwrap();
        assert!(monitor.warnings().is_empty(), "{:?}", monitor.warnings());
    }

    fn options(&mut self) -> RestoreOptions {
        RestoreOptions {
            workers: 1 + self.dice.below(3),
            verify: self.dice.one_in(2),
            ..restore_options()
        }
    }

    fn restore_in_place(&mut self) -> String {
        let Some((snapshot, copy)) = self.pick_kept() else { return "nothing".to_owned() };
        let home = self.home();
        let options = RestoreOptions { delete: true, ..self.options() };
        let dry = RestoreOptions { dry_run: true, ..options.clone() };
        let before = manifest(&home);
        self.restore(&snapshot, &dry, &home);
        assert_same(&before, &manifest(&home), "a dry run changed something");
        self.restore(&snapshot, &options, &home);
        assert_same(&manifest(&copy), &manifest(&home), "restored in place");
        assert_eq!(twins(&copy), twins(&home));
        format!("restore in place from {}", copy.display())
    }

    fn restore_elsewhere(&mut self) -> String {
        let Some((snapshot, copy)) = self.pick_kept() else { return "nothing".to_owned() };
        let (target, options) = (self.fresh("target"), self.options());
        self.restore(&snapshot, &options, &target);
        assert_same(&manifest(&copy), &manifest(&target), "restored elsewhere");
        assert_eq!(twins(&copy), twins(&target));
        // Once more onto the same: nothing is to be done, by content or by time.
        let overwrite = if self.dice.one_in(2) { Overwrite::Always } else { Overwrite::IfChanged };
        let options = RestoreOptions { overwrite, ..options };
        self.restore(&snapshot, &options, &target);
        assert_same(&manifest(&copy), &manifest(&target), "restored twice");
        fs::remove_dir_all(&target).unwrap();
        format!("restore elsewhere from {}", copy.display())
    }

    fn restore_a_part(&mut self) -> String {
        let Some((snapshot, copy)) = self.pick_kept() else { return "nothing".to_owned() };
        let wanted = manifest(&copy);
        let paths: Vec<&Vec<u8>> = wanted.keys().collect();
        let Some(part) = self.dice.pick(&paths).map(|path| path.to_vec()) else {
            return "nothing".to_owned();
        };
        let Ok(text) = std::str::from_utf8(&part) else { return "not UTF-8".to_owned() };
        let mut pattern = String::from("/");
        for c in text.chars() {
            if "*?[]{}\\!-".contains(c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        let selection = Selection::new(&[&pattern], &[]).unwrap();
        let (target, options) = (self.fresh("target"), self.options());
        self.restore(&snapshot, &RestoreOptions { selection, ..options }, &target);
        let base = RelPath::parse(&part).unwrap();
        let inside = |path: &[u8]| base.contains(&RelPath::parse(path).unwrap());
        let above = |path: &[u8]| RelPath::parse(path).unwrap().contains(&base);
        let mut found = manifest(&target);
        assert!(found.keys().all(|path| inside(path) || above(path)), "{pattern}: {found:?}");
        found.retain(|path, _| inside(path));
        let mut wanted = wanted.clone();
        wanted.retain(|path, _| inside(path));
        assert_same(&wanted, &found, &pattern);
        fs::remove_dir_all(&target).unwrap();
        format!("restore {pattern}")
    }

    fn rebuild_index(&mut self) -> String {
        if self.dice.one_in(2) {
            for (name, _) in self.disk.list(FileKind::Index).unwrap() {
                if self.dice.one_in(2) {
                    self.disk.remove(&name).unwrap();
                }
            }
            // Without it nothing else may happen before it is rebuilt.
            let backend = self.backend(false);
            rebuild_index(&self.open(backend).unwrap(), &Collect::default()).unwrap();
            return "rebuild a broken index".to_owned();
        }
        let backend = self.backend(true);
        let done = self.open(backend);
        let done = done.and_then(|repository| rebuild_index(&repository, &Collect::default()));
        format!("rebuild the index: {:?}", done.map_err(|error| error.one_line()))
    }

    fn check(&mut self) -> String {
        let backend = self.backend(false);
        let report = check(self.open(backend).unwrap(), ReadData::All, &Collect::default());
        let findings = report.unwrap().findings;
        assert!(findings.iter().all(|one| one.severity == Severity::Garbage), "{findings:?}");
        format!("check: {} packs are garbage", findings.len())
    }

    fn end(&mut self) {
        self.check();
        for (_, snapshot, copy) in self.kept.clone() {
            let (target, options) = (self.fresh("target"), self.options());
            self.restore(&snapshot, &options, &target);
            assert_same(&manifest(&copy), &manifest(&target), "at the end");
            assert_eq!(twins(&copy), twins(&target));
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    fs::remove_file(path)
}

/// Which paths are names of one file.
fn twins(root: &Path) -> BTreeSet<Vec<Vec<u8>>> {
    let mut groups: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    for path in manifest(root).into_keys() {
        let meta = fs::symlink_metadata(root.join(OsStr::from_bytes(&path))).unwrap();
        if meta.is_file() {
            groups.entry(meta.ino()).or_default().push(path);
        }
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

fn assert_same(wanted: &BTreeMap<Vec<u8>, String>, found: &BTreeMap<Vec<u8>, String>, what: &str) {
    let show = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
    for (path, line) in wanted {
        assert_eq!(found.get(path), Some(line), "{what}: {}", show(path));
    }
    let extra: Vec<String> =
        found.keys().filter(|path| !wanted.contains_key(*path)).map(show).collect();
    assert!(extra.is_empty(), "{what}: {extra:?} should not be there");
}

fn run(seed: u64, steps: u64) {
    let mut teller = Teller { seed, step: 0, last: String::new() };
    let mut history = History::new(seed);
    history.change_files();
    for step in 0..steps {
        teller.step = step;
        teller.last = format!("after {}", teller.last);
        let done = history.step();
        if std::env::var_os("GHOSTSNAP_TEST_SEED").is_some() {
            eprintln!("{step}: {done}");
        }
        teller.last = done;
    }
    history.end();
}

#[test]
fn random_histories_match_plain_copies() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("GHOSTSNAP_TEST_SEED") {
        return run(seed, 150);
    }
    let long = number("GHOSTSNAP_TEST_LONG").is_some_and(|n: u64| n > 0);
    let (seeds, steps) = if long { (300, 150) } else { (12, 40) };
    // Steps of a short history are the first of the long one of the same seed.
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    run(seed, steps);
                }
            });
        }
    });
}
