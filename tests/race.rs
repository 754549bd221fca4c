// SPDX-License-Identifier: MIT
//! Whoever owns the files may move them about while we work. Links that take the place of folders
//! and files in a tight loop never lead a backup to read, or a restore to write, outside of its
//! tree, and a FIFO in a file's place holds nobody up.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::Backend;
use ghostsnap::base::monitor::{Collect, Monitor};
use ghostsnap::base::{RelPath, Result, World};
use ghostsnap::ops::restore::{RestoreOptions, to_folder};
use ghostsnap::tree::{Entry, Source, Walk, WalkOptions};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const TIME: Duration = Duration::from_millis(1200);

/// Swaps each pair of entries, over and over, while `work` runs again and again for a second.
fn while_flipping(pairs: &[(PathBuf, PathBuf)], mut work: impl FnMut(u64)) {
    let (stop, flips) = (AtomicBool::new(false), AtomicU64::new(0));
    let world = World::system();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (one, other) in pairs {
                    // One of them may be gone for a moment; that is part of the game.
                    let flags = RenameFlags::RENAME_EXCHANGE;
                    if renameat2(AT_FDCWD, one, AT_FDCWD, other, flags).is_ok() {
                        flips.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        let mut round = 0;
        while world.ticks() < TIME {
            work(round);
            round += 1;
        }
        assert!(round > 1, "no round ended in time");
    });
    assert!(flips.load(Ordering::Relaxed) > 100, "only {flips:?} flips");
}

const SECRET: &[u8] = b"of somebody else";

/// A folder outside with files whose content must never be seen or touched.
fn outside(root: &Path) -> PathBuf {
    let outside = root.join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    for name in ["a", "b", "secret", "deep/a", "deep/secret"] {
        fs::write(outside.join(name), SECRET).unwrap();
    }
    fs::set_permissions(outside.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    outside
}

fn repository() -> Arc<dyn Backend> {
    let backend = fresh_store();
    init(Arc::clone(&backend));
    backend
}

fn assert_nothing_of(content: &[u8], backend: &Arc<dyn Backend>) {
    let repository = open(Arc::clone(backend));
    let id = repository.keys().data_id(content);
    let is_there = repository.index().contains(&id).unwrap();
    assert!(!is_there, "something from outside is in the repository");
}

/// A home in which a folder and a link to the outside, a file and a link, and a file and a FIFO
/// stand side by side.
fn home(root: &Path, outside: &Path) -> (PathBuf, Vec<(PathBuf, PathBuf)>) {
    let home = root.join("home");
    fs::create_dir_all(home.join("folder/deep")).unwrap();
    for name in ["a", "b", "deep/a", "deep/b"] {
        fs::write(home.join("folder").join(name), noise(name, 3000)).unwrap();
    }
    symlink(outside, home.join("folder-link")).unwrap();
    fs::write(home.join("file"), noise("file", 3000)).unwrap();
    symlink(outside.join("secret"), home.join("file-link")).unwrap();
    fs::write(home.join("other"), noise("other", 1_500_000)).unwrap();
    nix::unistd::mkfifo(&home.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pair = |one, other| (home.join(one), home.join(other));
    let pairs =
        vec![pair("folder", "folder-link"), pair("file", "file-link"), pair("other", "pipe")];
    (home, pairs)
}

#[test]
fn a_backup_never_follows_a_link_that_takes_a_place() {
    let root = tempfile::tempdir().unwrap();
    let outside = outside(root.path());
    let (home, pairs) = home(root.path(), &outside);
    let backend = repository();
    while_flipping(&pairs, |_| {
        let options = WalkOptions { special_files: true, ..WalkOptions::default() };
        let mut walk = Walk::new(std::slice::from_ref(&home), options).unwrap();
        backup_source(&backend, &mut walk, &Collect::default()).unwrap();
    });
    assert_nothing_of(SECRET, &backend);
    assert!(open(Arc::clone(&backend)).snapshots().unwrap().len() > 1);
}

#[test]
fn a_folder_above_the_path_to_back_up_is_not_exchanged_for_a_link_either() {
    let root = tempfile::tempdir().unwrap();
    let outside = outside(root.path());
    let (home, _) = home(root.path(), &outside);
    let backend = repository();
    for path in ["folder/deep", "folder/deep/a"] {
        for moment in ["", "home", "home/folder"] {
            let mut walk = Walk::new(&[home.join(path)], WalkOptions::default()).unwrap();
            let act = || {
                fs::rename(home.join("folder"), home.join("moved")).unwrap();
                symlink(&outside, home.join("folder")).unwrap();
            };
            let moment =
                base_of(root.path()).join_path(&RelPath::parse(moment.as_bytes()).unwrap());
            let mut source = After { walk: &mut walk, moment: moment.unwrap(), act: Some(&act) };
            assert!(backup_source(&backend, &mut source, &Collect::default()).is_err());
            assert!(source.act.is_none());
            assert_nothing_of(SECRET, &backend);
            fs::remove_file(home.join("folder")).unwrap();
            fs::rename(home.join("moved"), home.join("folder")).unwrap();
        }
    }
}

/// A source that does something after it has handed out a certain entry.
struct After<'a> {
    walk: &'a mut Walk,
    moment: RelPath,
    act: Option<&'a dyn Fn()>,
}

impl Source for After<'_> {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        let entry = self.walk.next_entry(monitor)?;
        if entry.as_ref().is_some_and(|entry| entry.path == self.moment)
            && let Some(act) = self.act.take()
        {
            act();
        }
        Ok(entry)
    }
}

#[test]
fn a_restore_never_writes_through_a_link_that_takes_a_place() {
    let root = tempfile::tempdir().unwrap();
    let outside = outside(root.path());
    let (home, pairs) = home(root.path(), &outside);
    let backend = repository();
    let report = backup_now(&backend, &home);
    let repository = open(Arc::clone(&backend));
    let before = manifest(&outside);
    while_flipping(&pairs, |round| {
        let options = RestoreOptions {
            delete: round % 2 == 0,
            verify: round % 3 == 0,
            workers: 2,
            ..restore_options()
        };
        // Make sure that there is something to write.
        for name in ["folder/a", "folder/deep/b"] {
            let path = home.join(name);
            if !fs::canonicalize(&path).is_ok_and(|path| path.starts_with(&outside)) {
                drop(fs::remove_file(home.join("folder-link").join("nothing")));
            }
        }
        let monitor = Collect::default();
        let base = base_of(&home);
        to_folder(&repository, &report.snapshot, &base, &options, &home, &monitor).unwrap();
        // Put back what a round with `delete` took from the game.
        for (_, other) in &pairs {
            if fs::symlink_metadata(other).is_err() {
                match other.file_name().unwrap().to_str().unwrap() {
                    "pipe" => nix::unistd::mkfifo(other, nix::sys::stat::Mode::S_IRWXU).unwrap(),
                    "file-link" => symlink(outside.join("secret"), other).unwrap(),
                    _ => symlink(&outside, other).unwrap(),
                }
            }
        }
        assert_eq!(manifest(&outside), before, "round {round}");
    });
    assert_eq!(manifest(&outside), before);
}

#[test]
fn owner_and_mode_are_never_given_to_what_was_put_in_a_folders_place() {
    if !nix::unistd::geteuid().is_root() {
        return; // giving owners needs root
    }
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    fs::create_dir_all(home.join("site")).unwrap();
    fs::create_dir_all(home.join("logs")).unwrap();
    fs::write(home.join("site/a"), noise("a", 100)).unwrap();
    // More folders than are kept open.
    for n in 0..100 {
        fs::create_dir(home.join(format!("site/{n}"))).unwrap();
    }
    nix::unistd::chown(&home.join("site"), Some(1001.into()), Some(1001.into())).unwrap();
    fs::set_permissions(home.join("logs"), fs::Permissions::from_mode(0o700)).unwrap();
    let backend = repository();
    let report = backup_now(&backend, &home.join("site"));
    // The snapshot's tree: .../home/site. While it is restored, root's folder takes its place.
    let there = home.clone();
    let watch = Watch::new(move |asked| {
        if asked == 1 {
            let (site, logs) = (there.join("site"), there.join("logs"));
            let flags = RenameFlags::RENAME_EXCHANGE;
            renameat2(AT_FDCWD, &site, AT_FDCWD, &logs, flags).unwrap();
        }
        false
    });
    let base = base_of(&home);
    let repository = open(backend);
    to_folder(&repository, &report.snapshot, &base, &restore_options(), &home, &watch).unwrap();
    let logs = fs::metadata(home.join("site")).unwrap();
    assert_eq!((logs.uid(), logs.mode() & 0o777), (0, 0o700));
    let warnings = watch.collect.warnings();
    assert!(warnings.iter().any(|one| one.contains("exchanged")), "{warnings:?}");
}
