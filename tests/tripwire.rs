// SPDX-License-Identifier: MIT
//! A site that is encrypted in place raises the alarm in that very run, keeps the last good backup
//! and holds every rule; what a site goes through in an ordinary year does not.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::Backend;
use ghostsnap::backend::mem::Mem;
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{FileId, World};
use ghostsnap::format::Snapshot;
use ghostsnap::ops::backup;
use ghostsnap::ops::backup::Parent;
use ghostsnap::ops::forget::{Policy, plan};
use ghostsnap::ops::tripwire::alarm_off;
use ghostsnap::repo::{IndexedRepository, Repository};
use ghostsnap::tree::{Walk, WalkOptions};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

struct Site {
    folder: tempfile::TempDir,
    store: Arc<dyn Backend>,
}

/// Bytes that begin like a JPEG and go on like one: as even as noise.
fn photo(name: &str) -> Vec<u8> {
    let mut bytes = noise(name, 30_000);
    bytes[..4].copy_from_slice(b"\xff\xd8\xff\xe0");
    bytes
}

fn php(name: &str, version: u32) -> String {
    format!("<?php // {name}, version {version}\n").repeat(60) + name
}

impl Site {
    /// 120 PHP files, 40 photos, one backup of them.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("source/wp")).unwrap();
        fs::create_dir_all(folder.path().join("source/photos")).unwrap();
        let store: Arc<dyn Backend> = Arc::new(Mem::new());
        init(Arc::clone(&store));
        let site = Self { folder, store };
        site.write_wordpress(1);
        for n in 0..40 {
            fs::write(site.path(&format!("photos/{n}.jpg")), photo(&format!("{n}"))).unwrap();
        }
        assert!(site.backup().1.is_empty());
        site
    }

    fn write_wordpress(&self, version: u32) {
        for n in 0..120 {
            fs::write(self.path(&format!("wp/{n}.php")), php(&n.to_string(), version)).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("source").join(name)
    }

    fn open(&self) -> IndexedRepository {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let number = OPENED.fetch_add(1, Ordering::SeqCst);
        let world = World::seeded(300 + number);
        world.sleep(Duration::from_secs(86_400 * number));
        let store = Arc::clone(&self.store);
        let closed = Repository::open(store, &secret(), Arc::new(world)).unwrap();
        closed.indexed(&Collect::default()).unwrap()
    }

    /// Another night: the snapshot and what was warned of.
    fn backup(&self) -> (Snapshot, Vec<String>) {
        let repository = self.open();
        let mut walk = Walk::new(&[self.path("")], WalkOptions::default()).unwrap();
        let mut options = options();
        options.template.paths = walk.roots();
        options.template.time = repository.world().now();
        let heard = Collect::default();
        let made = backup(&repository, &mut walk, &options, &heard).unwrap();
        (made.snapshot, heard.warnings())
    }

    fn snapshots(&self) -> Vec<(FileId, Snapshot)> {
        self.open().snapshots().unwrap()
    }

    /// Encrypts every file, as those do who want money for the key.
    fn encrypt(&self, rename: bool) {
        for folder in ["wp", "photos"] {
            for entry in fs::read_dir(self.path(folder)).unwrap() {
                let path = entry.unwrap().path();
                let length = fs::read(&path).unwrap().len();
                let secret = noise(&format!("{path:?} encrypted"), length);
                fs::write(&path, secret).unwrap();
                if rename {
                    fs::rename(&path, locked(&path)).unwrap();
                }
            }
        }
    }
}

fn locked(path: &Path) -> PathBuf {
    path.with_extension("locked")
}

/// How many a rule that keeps one would drop.
fn dropped(site: &Site) -> usize {
    let policy = Policy { last: 1, ..Policy::default() };
    let world = World::seeded(9);
    world.sleep(Duration::from_secs(86_400 * 1000));
    let now = world.now();
    let verdicts = plan(site.snapshots(), &policy, now).unwrap();
    verdicts.iter().filter(|one| !one.is_kept()).count()
}

#[test]
fn a_site_that_is_encrypted_in_place_raises_the_alarm_in_that_run() {
    for rename in [false, true] {
        let site = Site::new();
        site.write_wordpress(2);
        site.backup();
        assert_eq!(dropped(&site), 1);
        let good = site.snapshots()[1].1.time;
        site.encrypt(rename);
        let (snapshot, warnings) = site.backup();
        assert_eq!(snapshot.tags, ["alarm"]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        // A test for chance takes some of what is random for something else.
        let (_, told) = warnings[0].split_once("backed up: ").unwrap();
        let told: u32 = told.split_once(" files of the backup before").unwrap().0.parse().unwrap();
        assert!((150..=160).contains(&told), "{warnings:?}");
        // The backup was made, and is whole.
        assert_eq!((snapshot.warnings, snapshot.totals.files), (0, 160));
        // The last good one is pinned, and no rule drops any.
        let all = site.snapshots();
        let pinned: Vec<_> = all.iter().filter(|(_, one)| one.pinned).collect();
        assert_eq!((all.len(), pinned.len(), pinned[0].1.time), (3, 1, good));
        assert_eq!(dropped(&site), 0);
        // The next night is quiet, and holds all the same.
        let (snapshot, warnings) = site.backup();
        assert!(snapshot.tags.is_empty() && warnings.is_empty(), "{warnings:?}");
        assert_eq!(dropped(&site), 0);
        // Somebody has looked. What was pinned stays.
        let repository = site.open();
        for (id, snapshot) in site.snapshots().iter().filter(|(_, one)| one.has_alarm()) {
            alarm_off(&repository, (id, snapshot)).unwrap();
        }
        assert_eq!(site.snapshots().len(), 4);
        assert_eq!(dropped(&site), 2);
    }
}

#[test]
fn the_last_good_one_is_pinned_also_when_the_one_before_was_partial_or_bad() {
    let site = Site::new();
    let good = site.snapshots()[0].1.time;
    // Half of it, then the rest: the second alarm does not take the first for good.
    let half: Vec<PathBuf> = (0..60).map(|n| site.path(&format!("wp/{n}.php"))).collect();
    for path in &half {
        fs::write(path, noise(&format!("{path:?}"), 4000)).unwrap();
    }
    assert_eq!(site.backup().0.tags, ["alarm"]);
    site.encrypt(false);
    assert_eq!(site.backup().0.tags, ["alarm"]);
    let pinned: Vec<_> = site
        .snapshots()
        .into_iter()
        .filter(|(_, one)| one.pinned)
        .map(|(_, one)| one.time)
        .collect();
    assert_eq!(pinned, [good]);
}

#[test]
fn what_a_site_goes_through_in_a_year_raises_none() {
    let site = Site::new();
    // A new version of everything.
    site.write_wordpress(2);
    assert!(site.backup().1.is_empty());
    // A large upload of photos, and of encrypted backups that nobody can look into.
    for n in 0..400 {
        fs::write(site.path(&format!("photos/new{n}.jpg")), photo(&format!("new {n}"))).unwrap();
        fs::write(site.path(&format!("photos/vault{n}")), noise(&format!("v{n}"), 9000)).unwrap();
    }
    assert!(site.backup().1.is_empty());
    // All photos are made smaller.
    for n in 0..400 {
        fs::write(site.path(&format!("photos/new{n}.jpg")), photo(&format!("small {n}"))).unwrap();
    }
    assert!(site.backup().1.is_empty());
    // Everything is moved, and touched.
    fs::rename(site.path("photos"), site.path("pictures")).unwrap();
    for n in 0..400 {
        let path = site.path(&format!("pictures/vault{n}"));
        fs::write(&path, fs::read(&path).unwrap()).unwrap();
    }
    assert!(site.backup().1.is_empty());
    // A few files that are encrypted by wish, changed each night.
    for n in 0..15 {
        fs::write(site.path(&format!("pictures/vault{n}")), noise(&format!("w{n}"), 9000)).unwrap();
    }
    assert!(site.backup().1.is_empty());
    // Nearly everything goes.
    fs::remove_dir_all(site.path("pictures")).unwrap();
    assert!(site.backup().1.is_empty());
    assert!(site.snapshots().iter().all(|(_, one)| one.tags.is_empty() && !one.pinned));
}

#[test]
fn a_run_that_died_with_the_encrypted_files_stored_hides_nothing() {
    let site = Site::new();
    site.encrypt(false);
    assert_eq!(site.backup().0.tags, ["alarm"]);
    // As if it had died just before its snapshot: everything else is there.
    let repository = site.open();
    for (id, one) in site.snapshots() {
        if one.has_alarm() {
            repository.remove_snapshot(&id).unwrap();
        }
    }
    assert_eq!(site.backup().0.tags, ["alarm"]);
}

#[test]
fn a_user_of_the_same_name_on_another_server_is_somebody_else() {
    let site = Site::new();
    site.encrypt(false);
    let repository = site.open();
    let mut walk = Walk::new(&[site.path("")], WalkOptions::default()).unwrap();
    let mut options = options();
    options.template.paths = walk.roots();
    options.template.host = "other.example".to_owned();
    options.template.time = repository.world().now();
    options.parent = Parent::Id(site.snapshots()[0].0);
    let heard = Collect::default();
    backup(&repository, &mut walk, &options, &heard).unwrap();
    assert!(heard.warnings().is_empty());
    assert!(site.snapshots().iter().all(|(_, one)| !one.pinned && !one.has_alarm()));
}

#[test]
fn a_dry_run_pins_nothing_and_who_does_not_want_it_is_not_asked() {
    let site = Site::new();
    site.encrypt(false);
    for dry in [true, false] {
        let repository = site.open();
        let mut walk = Walk::new(&[site.path("")], WalkOptions::default()).unwrap();
        let mut options = options();
        options.template.paths = walk.roots();
        options.template.time = repository.world().now();
        options.writer.dry_run = dry;
        options.tripwire = dry;
        let heard = Collect::default();
        backup(&repository, &mut walk, &options, &heard).unwrap();
        assert!(heard.warnings().is_empty(), "{:?}", heard.warnings());
        assert!(site.snapshots().iter().all(|(_, one)| !one.pinned && !one.has_alarm()));
    }
}
