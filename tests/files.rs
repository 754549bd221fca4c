// SPDX-License-Identifier: MIT
//! Files and folders back into a home, by a process that acts as the user: what arrives, what is
//! left alone, and what a hostile or unlucky home can do to it.
#![allow(missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
#![allow(clippy::print_stderr)]

mod common;

use common::{backup_now, base_of, manifest, noise, open};
use ghostsnap::backend::Backend;
use ghostsnap::backend::mem::Mem;
use ghostsnap::base::monitor::{Collect, Counter, Monitor, Stage, Stop};
use ghostsnap::base::{Error, Kind, RelPath, Result, World};
use ghostsnap::format::Snapshot;
use ghostsnap::hestia::asuser::{self, Options};
use ghostsnap::hestia::jobs::Server;
use ghostsnap::hestia::{Hestia, Settings, UserName};
use ghostsnap::ops::restore::{Done, Overwrite, Report};
use ghostsnap::tree::Selection;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NOBODY: u32 = 65534;

/// A home, what it was in the snapshot, and the repository with that.
struct House {
    folder: tempfile::TempDir,
    backend: Arc<dyn Backend>,
    snapshot: Snapshot,
    server: Server,
    monitor: Collect,
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text.as_bytes()).unwrap()
}

/// The snapshot holds what `make` puts into a folder; the home holds the same.
fn house(make: impl Fn(&Path)) -> House {
    let folder = tempfile::tempdir().unwrap();
    // The deputy must come through; a real home is reached by its owner too.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let hestia = Hestia::below(folder.path());
    let settings =
        Settings { program: env!("CARGO_BIN_EXE_ghostsnap").into(), ..Settings::default() };
    let server = Server::new(hestia.clone(), settings, Arc::new(World::system()));
    let home = hestia.home.join("alice");
    fs::create_dir_all(&home).unwrap();
    make(&home);
    let backend: Arc<dyn Backend> = Arc::new(Mem::new());
    common::init(Arc::clone(&backend));
    let snapshot = backup_now(&backend, &home).snapshot;
    House { folder, backend, snapshot, server, monitor: Collect::default() }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A check that needs root is left out loudly, and never on the build server.
fn needs_root(name: &str) -> bool {
    if !is_root() {
        assert!(std::env::var_os("CI").is_none(), "{name} needs root");
        eprintln!("SKIPPED: {name} needs root");
    }
    is_root()
}

impl House {
    fn home(&self) -> PathBuf {
        self.server.hestia.home.join("alice")
    }

    fn give_to(&self, uid: u32) {
        let owner = format!("{uid}:{uid}");
        let done = Command::new("chown").arg("-Rh").arg(owner).arg(self.home()).status();
        assert!(done.unwrap().success());
    }

    fn try_restore(&self, what: &str, target: &str, options: &Options) -> Result<Report> {
        self.try_watched(what, target, options, &self.monitor)
    }

    fn try_watched(
        &self,
        what: &str,
        target: &str,
        options: &Options,
        monitor: &dyn Monitor,
    ) -> Result<Report> {
        let repository = open(Arc::clone(&self.backend));
        // The snapshot has the whole path of the home.
        let base = base_of(&self.home()).join_path(&path(what)).unwrap();
        let from = (&repository, &self.snapshot, &base);
        let user = UserName::parse("alice").unwrap();
        asuser::restore(&self.server, from, &user, &path(target), options, monitor)
    }

    fn restore(&self, what: &str) -> Report {
        self.try_restore(what, what, &Options::default()).unwrap()
    }

    fn clean(&self, what: &str) -> Report {
        let report = self.restore(what);
        assert_eq!(self.monitor.warnings(), [""; 0]);
        report
    }

    /// No file of ours stays behind, however it ended.
    fn assert_tidy(&self) {
        let left: Vec<_> = manifest(&self.home()).into_keys().collect();
        let ours = |name: &&Vec<u8>| String::from_utf8_lossy(name).contains(".ghostsnap-");
        assert_eq!(left.iter().filter(ours).count(), 0, "{left:?}");
    }
}

fn site(home: &Path) {
    let site = home.join("web/a.example/public_html");
    fs::create_dir_all(site.join("empty")).unwrap();
    fs::write(site.join("index.php"), "<?php one();\n").unwrap();
    fs::write(site.join("big.bin"), noise("big", 3_000_000)).unwrap();
    fs::hard_link(site.join("index.php"), site.join("twin.php")).unwrap();
    symlink("index.php", site.join("link")).unwrap();
    fs::write(site.join("none"), "").unwrap();
    let sparse = fs::File::create(site.join("sparse")).unwrap();
    sparse.set_len(4 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 2 << 20).unwrap();
    fs::set_permissions(site.join("none"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(&site, fs::Permissions::from_mode(0o751)).unwrap();
}

const SITE: &str = "web/a.example/public_html";

#[test]
fn a_folder_that_is_gone_comes_back_as_it_was() {
    let house = house(site);
    let before = manifest(&house.home());
    fs::remove_dir_all(house.home().join("web/a.example")).unwrap();
    let report = house.clean(SITE);
    assert_eq!(report.created, 8, "{report:?}");
    let mut after = manifest(&house.home());
    // Folders above it come back too; the one that stayed was changed by that.
    let mut expected = before;
    for map in [&mut after, &mut expected] {
        map.remove(&b"web"[..]);
    }
    assert_eq!(after, expected);
}

#[test]
fn what_is_right_is_not_touched_and_what_differs_is_replaced_in_one_step() {
    let house = house(site);
    let site = house.home().join(SITE);
    let inode = |name: &str| fs::metadata(site.join(name)).unwrap().ino();
    let before = manifest(&house.home());
    let (none, big) = (inode("none"), inode("big.bin"));
    // Same size, same time: only the content tells.
    let time = fs::metadata(site.join("big.bin")).unwrap().modified().unwrap();
    let file = fs::File::options().write(true).open(site.join("big.bin")).unwrap();
    file.write_all_at(b"x", 1_500_000).unwrap();
    file.set_modified(time).unwrap();
    fs::remove_file(site.join("index.php")).unwrap();
    let trusting = Options { overwrite: Overwrite::IfChanged, ..Options::default() };
    let report = house.try_restore(SITE, SITE, &trusting).unwrap();
    // The other name of the file is made one with it again.
    assert_eq!((report.created, report.overwritten), (1, 1), "{report:?}");
    let report = house.clean(SITE);
    assert_eq!((report.created, report.overwritten, report.bytes), (0, 1, 3_000_000));
    assert_eq!(manifest(&house.home()), before);
    assert_eq!(inode("none"), none);
    assert_ne!(inode("big.bin"), big);
    house.assert_tidy();
}

#[test]
fn a_merge_keeps_what_is_newer_and_exact_removes_it() {
    let house = house(site);
    let site = house.home().join(SITE);
    let before = manifest(&house.home());
    fs::create_dir_all(site.join("uploads/2027")).unwrap();
    fs::write(site.join("uploads/2027/new.jpg"), "new").unwrap();
    assert_eq!(house.clean(SITE).count(), 0);
    assert!(site.join("uploads/2027/new.jpg").exists());
    let dry = Options { exact: true, dry_run: true, ..Options::default() };
    let report = house.try_restore(SITE, SITE, &dry).unwrap();
    let named: Vec<_> = report.changes.iter().map(|one| (one.done, one.path.to_string())).collect();
    let goes = |name: &str| (Done::Removed, format!("{SITE}/uploads{name}"));
    assert_eq!(named, [goes("/2027/new.jpg"), goes("/2027"), goes("")]);
    assert!(site.join("uploads/2027/new.jpg").exists());
    let exact = Options { exact: true, ..Options::default() };
    let report = house.try_restore(SITE, SITE, &exact).unwrap();
    assert_eq!((report.removed, report.count()), (3, 3));
    assert_eq!(manifest(&house.home()), before);
}

#[test]
fn exact_removes_nothing_that_backups_leave_out() {
    let mut house = house(site);
    house.server.settings.exclude = vec!["/web/*/public_html/videos/*".into()];
    let conf =
        house.server.hestia.user_file(&UserName::parse("alice").unwrap(), "backup-excludes.conf");
    fs::create_dir_all(conf.parent().unwrap()).unwrap();
    fs::write(&conf, "WEB='a.example:public_html/big'\nMAIL=''\nUSER=''\n").unwrap();
    let site = house.home().join(SITE);
    for (name, stays) in [
        ("wp-content/cache/page", true),
        ("videos/a.mp4", true),
        ("big/dump", true),
        ("wp-content/shell.php", false),
        ("deep/er/still", false),
    ] {
        fs::create_dir_all(site.join(name).parent().unwrap()).unwrap();
        fs::write(site.join(name), "").unwrap();
        let exact = Options { exact: true, ..Options::default() };
        house.try_restore(SITE, SITE, &exact).unwrap();
        assert_eq!(site.join(name).exists(), stays, "{name}");
    }
}

#[test]
fn a_partial_snapshot_is_no_reason_to_remove_anything() {
    let mut house = house(site);
    house.snapshot.warnings = 1;
    let own = house.home().join(SITE).join("own");
    fs::write(&own, "").unwrap();
    let exact = Options { exact: true, ..Options::default() };
    let error = house.try_restore(SITE, SITE, &exact).unwrap_err();
    assert!(error.one_line().contains("not complete"), "{error}");
    house.try_restore(SITE, SITE, &Options::default()).unwrap();
    assert!(own.exists());
}

#[test]
fn a_selection_is_restored_and_the_rest_left_alone() {
    let house = house(site);
    let site = house.home().join(SITE);
    for name in ["none", "index.php", "link"] {
        fs::remove_file(site.join(name)).unwrap();
    }
    fs::write(site.join("own"), "").unwrap();
    let selection = Selection::new(&["*.php"], &[]).unwrap();
    let options = Options { selection, exact: true, ..Options::default() };
    house.try_restore(SITE, SITE, &options).unwrap();
    assert!(site.join("index.php").exists() && site.join("own").exists());
    assert!(!site.join("none").exists() && !site.join("link").exists());
}

#[test]
fn one_file_goes_where_it_is_wanted() {
    let house = house(site);
    let what = format!("{SITE}/big.bin");
    let old = "web/a.example/private/old/big.bin";
    let report = house.try_restore(&what, old, &Options::default()).unwrap();
    assert_eq!(report.changes[0].path, path(old));
    assert_eq!(fs::read(house.home().join(old)).unwrap(), noise("big", 3_000_000));
    let mode = |text: &str| fs::metadata(house.home().join(text)).unwrap().mode() & 0o777;
    assert_eq!(mode("web/a.example/private"), 0o755);
    // Nothing is written over where that was not wanted.
    fs::write(house.home().join(old), "mine").unwrap();
    let never = Options { overwrite: Overwrite::Never, ..Options::default() };
    let report = house.try_restore(&what, old, &never).unwrap();
    assert_eq!((report.unchanged, report.count()), (1, 0));
    assert_eq!(fs::read(house.home().join(old)).unwrap(), b"mine");
}

#[test]
fn a_link_in_the_way_is_never_passed() {
    let house = house(site);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("index.php"), "theirs").unwrap();
    let site = house.home().join(SITE);
    fs::remove_dir_all(&site).unwrap();
    symlink(outside.path(), &site).unwrap();
    let index = format!("{SITE}/index.php");
    // A file below a link is refused; the folder itself takes the link's place.
    let error = house.try_restore(&index, &index, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    fs::remove_file(&site).unwrap();
    symlink(outside.path(), &site).unwrap();
    house.clean(SITE);
    assert!(site.symlink_metadata().unwrap().is_dir());
    let left: Vec<_> = fs::read_dir(outside.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(fs::read(outside.path().join("index.php")).unwrap(), b"theirs");
}

#[test]
fn a_folder_that_keeps_turning_into_a_link_leads_nowhere() {
    let house = house(|home| {
        let site = home.join(SITE);
        fs::create_dir_all(&site).unwrap();
        for n in 0..200 {
            fs::write(site.join(format!("{n}")), noise(&n.to_string(), 2000)).unwrap();
        }
    });
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let site = house.home().join(SITE);
    let aside = house.home().join("web/a.example/aside");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Each step may fail when the restore was faster.
                fs::rename(&site, &aside).unwrap_or_default();
                symlink(outside.path(), &site).unwrap_or_default();
                fs::remove_file(&site).unwrap_or_default();
                fs::rename(&aside, &site).unwrap_or_default();
            }
        });
        for _ in 0..10 {
            for n in 0..200 {
                fs::write(site.join(format!("{n}")), "x").unwrap_or_default();
            }
            // Whatever it says: it must not write out there, nor hang.
            drop(house.try_restore(SITE, SITE, &Options::default()));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let strange = |name: &str| name.parse::<u32>().is_err();
    for entry in fs::read_dir(outside.path()).unwrap() {
        // The test's own writes may have gone through the link; the restore's may not.
        let entry = entry.unwrap();
        assert!(!strange(entry.file_name().to_str().unwrap()));
        assert_eq!(fs::read(entry.path()).unwrap(), b"x");
    }
}

#[test]
fn a_pipe_in_place_of_a_file_does_not_hold_it_up() {
    let house = house(site);
    let index = house.home().join(SITE).join("index.php");
    fs::remove_file(&index).unwrap();
    nix::unistd::mkfifo(&index, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let report = house.clean(&format!("{SITE}/index.php"));
    assert_eq!(report.overwritten, 1);
    assert_eq!(fs::read(&index).unwrap(), b"<?php one();\n");
}

#[test]
fn a_full_folder_gives_way_only_where_that_was_asked_for() {
    let house = house(site);
    let index = house.home().join(SITE).join("index.php");
    fs::remove_file(&index).unwrap();
    fs::create_dir_all(index.join("full")).unwrap();
    let what = format!("{SITE}/index.php");
    let report = house.restore(&what);
    assert_eq!(report.warnings, 1);
    assert!(house.monitor.warnings()[0].contains("not empty"), "{:?}", house.monitor.warnings());
    assert!(index.join("full").exists());
    fs::remove_dir(index.join("full")).unwrap();
    assert_eq!(house.restore(&what).overwritten, 1);
    assert!(index.is_file());
}

#[test]
fn mails_come_back_once_and_newer_ones_stay() {
    let mails = "mail/a.example/info";
    let house = house(|home| {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(home.join(mails).join(part)).unwrap();
        }
        let mail = |name: &str| fs::write(home.join(mails).join(name), name).unwrap();
        for name in ["cur/1.M1.host,S=9:2,", "new/2.M2.host", "cur/3.M3.host:2,S"] {
            mail(name);
        }
        mail("dovecot-uidlist");
    });
    let at = |name: &str| house.home().join(mails).join(name);
    // One was read and flagged, one was fetched and read, one was deleted, one came.
    fs::rename(at("cur/1.M1.host,S=9:2,"), at("cur/1.M1.host,S=9:2,FS")).unwrap();
    fs::rename(at("new/2.M2.host"), at("cur/2.M2.host:2,S")).unwrap();
    fs::remove_file(at("cur/3.M3.host:2,S")).unwrap();
    fs::write(at("new/4.M4.host"), "four").unwrap();
    fs::write(at("dovecot-uidlist"), "newer").unwrap();
    let report = house.clean(mails);
    assert_eq!((report.created, report.overwritten), (1, 0), "{report:?}");
    let mut names: Vec<_> = ["cur", "new"]
        .iter()
        .flat_map(|part| fs::read_dir(at(part)).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected =
        ["1.M1.host,S=9:2,FS", "2.M2.host:2,S", "3.M3.host:2,S", "4.M4.host"].map(String::from);
    assert_eq!(names, expected);
    assert_eq!(fs::read(at("dovecot-uidlist")).unwrap(), b"newer");
    // The folder of the domain is Hestia's: it keeps its mode.
    let domain = house.home().join("mail/a.example");
    fs::set_permissions(&domain, fs::Permissions::from_mode(0o770)).unwrap();
    house.clean("mail/a.example");
    assert_eq!(fs::metadata(&domain).unwrap().mode() & 0o777, 0o770);
    // Exact means exact.
    let exact = Options { exact: true, ..Options::default() };
    house.try_restore(mails, mails, &exact).unwrap();
    assert!(!at("new/4.M4.host").exists() && at("new/2.M2.host").exists());
}

#[test]
fn what_is_hestias_is_neither_written_nor_removed() {
    let house = house(site);
    let domain = house.home().join("web/a.example");
    fs::create_dir_all(domain.join("logs")).unwrap();
    symlink("/var/log/x.log", domain.join("logs/a.example.log")).unwrap();
    fs::write(domain.join("junk"), "").unwrap();
    let exact = Options { exact: true, ..Options::default() };
    house.try_restore("web/a.example", "web/a.example", &exact).unwrap();
    assert!(domain.join("logs/a.example.log").is_symlink() && !domain.join("junk").exists());
    let conf = house.try_restore(SITE, "conf/web", &Options::default()).unwrap_err();
    assert_eq!(conf.kind(), Kind::Forbidden);
    let home = house.try_restore("web", "", &exact).unwrap_err();
    assert_eq!(home.kind(), Kind::Invalid);
}

/// Says stop as soon as the first file is there.
struct StopAtFirst(Collect, Arc<AtomicBool>);

impl Monitor for StopAtFirst {
    fn count(&self, counter: Counter, n: u64) {
        self.1.fetch_or(counter == Counter::FilesRestored, Ordering::Relaxed);
        self.0.count(counter, n);
    }
    fn warn(&self, warning: Error) {
        self.0.warn(warning);
    }
    fn stage(&self, _: Stage) {}
    fn cancelled(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }
    fn stop(&self) -> Stop {
        let asked = Arc::clone(&self.1);
        Stop::when(move || asked.load(Ordering::Relaxed))
    }
}

#[test]
fn a_stop_leaves_whole_files_and_nothing_of_ours() {
    let house = house(|home| {
        fs::create_dir_all(home.join("many")).unwrap();
        for n in 0..50 {
            fs::write(home.join(format!("many/{n:02}")), noise(&n.to_string(), 400_000)).unwrap();
        }
    });
    for n in 0..50 {
        fs::write(house.home().join(format!("many/{n:02}")), "old").unwrap();
    }
    let stopping = StopAtFirst(Collect::default(), Arc::default());
    let error = house.try_watched("many", "many", &Options::default(), &stopping).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    house.assert_tidy();
    let mut old = 0;
    for n in 0..50 {
        let found = fs::read(house.home().join(format!("many/{n:02}"))).unwrap();
        old += u32::from(found == b"old");
        assert!(found == b"old" || found == noise(&n.to_string(), 400_000));
    }
    assert!(old > 0 && old < 50, "{old}");
}

fn script(house: &House, text: &str) -> PathBuf {
    let path = house.folder.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_deputy_that_dies_or_talks_nonsense_is_an_error_and_leaves_the_old_file() {
    let mut house = house(site);
    let big = house.home().join(SITE).join("big.bin");
    fs::write(&big, "old").unwrap();
    for text in ["exit 0", "exit 7", "head -c 100 >/dev/null; kill -9 $$", "exec yes >&0 2>&0"] {
        house.server.settings.program = script(&house, text);
        let error = house.try_restore(SITE, SITE, &Options::default()).unwrap_err();
        assert!(matches!(error.kind(), Kind::Partial | Kind::Internal), "{text}: {error}");
        assert_eq!(fs::read(&big).unwrap(), b"old");
    }
    house.server.settings.program = "/nonexistent".into();
    let error = house.try_restore(SITE, SITE, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn a_deputy_in_the_middle_of_a_file_tidies_up_when_it_is_left_alone() {
    use ghostsnap::format::tree::Meta;
    use ghostsnap::tree::deputy::{Order, serve};
    let house = house(site);
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let home = house.home();
    let deputy = std::thread::spawn(move || serve(theirs, &home, &World::system()));
    let monitor = Collect::default();
    let world = World::system();
    let mut hand = ghostsnap::tree::deputy::Deputy::new(ours, &world, &monitor).unwrap();
    struct Nobody;
    impl ghostsnap::tree::deputy::Answers for Nobody {
        fn answered(&mut self, _: ghostsnap::tree::deputy::Reply) {}
    }
    let meta = Meta { size: 100, mode: 0o644, ..Meta::default() };
    let file = Order::File { path: path("half"), meta, prepared: None };
    hand.order(&file, &mut Nobody).unwrap();
    hand.order(&Order::Data(vec![1; 50]), &mut Nobody).unwrap();
    drop(hand);
    deputy.join().unwrap().unwrap();
    assert!(!house.home().join("half").exists());
    house.assert_tidy();
}

// ---- With root's rights, for a user that is not root. ----

#[test]
fn everything_belongs_to_the_user_and_the_users_rights_are_the_bounds() {
    if !needs_root("everything_belongs_to_the_user_and_the_users_rights_are_the_bounds") {
        return;
    }
    let house = house(|home| {
        site(home);
        fs::create_dir_all(home.join("web/a.example/roots")).unwrap();
        fs::write(home.join("web/a.example/roots/file"), "one").unwrap();
    });
    house.give_to(NOBODY);
    let domain = house.home().join("web/a.example");
    fs::remove_dir_all(domain.join("public_html")).unwrap();
    // A folder that only root may write to.
    fs::write(domain.join("roots/file"), "root's").unwrap();
    for (name, mode) in [("roots/file", 0o600), ("roots", 0o755)] {
        std::os::unix::fs::chown(domain.join(name), Some(0), Some(0)).unwrap();
        fs::set_permissions(domain.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let report = house.restore("web/a.example");
    let warnings = house.monitor.warnings();
    assert_eq!(report.warnings, 1, "{warnings:?}");
    assert!(warnings[0].contains("roots/file"), "{warnings:?}");
    assert_eq!(fs::read(domain.join("roots/file")).unwrap(), b"root's");
    // What belonged to root in the snapshot belongs to the user now, and that is said.
    assert!(report.other_owners >= 9, "{report:?}");
    for name in ["public_html", "public_html/big.bin", "public_html/link"] {
        let meta = fs::symlink_metadata(domain.join(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (NOBODY, NOBODY), "{name}");
    }
}

#[test]
fn a_folder_without_the_right_to_write_is_written_to_and_keeps_its_mode() {
    if !needs_root("a_folder_without_the_right_to_write_is_written_to_and_keeps_its_mode") {
        return;
    }
    let house = house(site);
    house.give_to(NOBODY);
    let domain = house.home().join("web/a.example");
    fs::remove_dir_all(domain.join("public_html")).unwrap();
    fs::set_permissions(&domain, fs::Permissions::from_mode(0o551)).unwrap();
    house.clean(SITE);
    assert!(domain.join("public_html/index.php").exists());
    assert_eq!(fs::metadata(&domain).unwrap().mode() & 0o777, 0o551);
}

#[test]
fn folders_and_files_directly_in_a_home_of_roots_come_back_as_the_users() {
    if !needs_root("folders_and_files_directly_in_a_home_of_roots_come_back_as_the_users") {
        return;
    }
    let house = house(|home| {
        fs::create_dir_all(home.join("docs/a")).unwrap();
        fs::write(home.join("docs/a/b"), "b").unwrap();
        fs::write(home.join(".bashrc"), "one").unwrap();
    });
    fs::create_dir(house.home().join("tmp")).unwrap();
    house.give_to(NOBODY);
    // As a home looks whose user is locked into it.
    std::os::unix::fs::chown(house.home(), Some(0), Some(0)).unwrap();
    fs::remove_dir_all(house.home().join("docs")).unwrap();
    fs::write(house.home().join(".bashrc"), "two").unwrap();
    for what in ["docs", ".bashrc"] {
        house.clean(what);
        let meta = fs::metadata(house.home().join(what)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (NOBODY, NOBODY), "{what}");
    }
    assert_eq!(fs::read(house.home().join("docs/a/b")).unwrap(), b"b");
    assert_eq!(fs::read(house.home().join(".bashrc")).unwrap(), b"one");
    house.assert_tidy();
}

#[test]
fn a_full_disk_leaves_every_old_file_and_gives_up() {
    if !needs_root("a_full_disk_leaves_every_old_file_and_gives_up") {
        return;
    }
    let house = house(|home| {
        fs::create_dir_all(home.join("many")).unwrap();
        for n in 0..80 {
            fs::write(home.join(format!("many/{n:02}")), noise(&n.to_string(), 100_000)).unwrap();
        }
    });
    let many = house.home().join("many");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(&many).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a small file system cannot be mounted here");
        return;
    }
    for n in 0..80 {
        fs::write(many.join(format!("{n:02}")), "old").unwrap();
    }
    house.give_to(NOBODY);
    let result = house.try_restore("many", "many", &Options::default());
    let found: Vec<_> = (0..80).map(|n| fs::read(many.join(format!("{n:02}"))).unwrap()).collect();
    house.assert_tidy();
    assert!(Command::new("umount").arg(&many).status().unwrap().success());
    assert_eq!(result.unwrap_err().kind(), Kind::Disk);
    let old = found.iter().filter(|content| *content == b"old").count();
    assert!(old > 50 && old < 80, "{old}");
    for (n, content) in found.iter().enumerate() {
        assert!(content == b"old" || *content == noise(&n.to_string(), 100_000));
    }
}

#[test]
fn a_file_that_may_not_be_changed_is_a_warning_and_the_others_come_back() {
    if !needs_root("a_file_that_may_not_be_changed_is_a_warning_and_the_others_come_back") {
        return;
    }
    let house = house(site);
    house.give_to(NOBODY);
    let site = house.home().join(SITE);
    fs::write(site.join("index.php"), "fixed").unwrap();
    fs::write(site.join("none"), "changed").unwrap();
    let change = |how: &str| {
        Command::new("chattr").arg(how).arg(site.join("index.php")).status().unwrap().success()
    };
    if !change("+i") {
        eprintln!("SKIPPED: this file system has no immutable files");
        return;
    }
    let report = house.restore(SITE);
    assert!(change("-i"));
    assert!(report.warnings >= 1, "{:?}", house.monitor.warnings());
    assert_eq!(fs::read(site.join("index.php")).unwrap(), b"fixed");
    assert_eq!(fs::read(site.join("none")).unwrap(), b"");
    house.assert_tidy();
}

#[test]
fn a_deputy_has_given_up_everything_for_good() {
    if !needs_root("a_deputy_has_given_up_everything_for_good") {
        return;
    }
    let house = house(site);
    let program = env!("CARGO_BIN_EXE_ghostsnap");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut child = Command::new(program)
        .args(["hestia", "act-as", "65534", "65534", "65534"])
        .arg(house.home())
        .stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    // It answers, so it is past the change of rights.
    struct Count(u32);
    impl ghostsnap::tree::deputy::Answers for Count {
        fn answered(&mut self, _: ghostsnap::tree::deputy::Reply) {
            self.0 += 1;
        }
    }
    let (world, monitor, mut count) = (World::system(), Collect::default(), Count(0));
    let mut deputy = ghostsnap::tree::deputy::Deputy::new(ours, &world, &monitor).unwrap();
    let order = ghostsnap::tree::deputy::Order::Remove { path: path("nothing") };
    deputy.order(&order, &mut count).unwrap();
    deputy.settle(&mut count).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = |key: &str| {
        let found = status.lines().find(|line| line.starts_with(key)).unwrap();
        found.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("Uid:"), ["65534"; 4]);
    assert_eq!(line("Gid:"), ["65534"; 4]);
    assert_eq!(line("Groups:"), ["65534"]);
    for caps in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(line(caps), ["0000000000000000"], "{caps}");
    }
    assert_eq!(line("NoNewPrivs:"), ["1"]);
    // Not even its own user may look into it: its folder in /proc is root's.
    assert_eq!(fs::metadata(format!("/proc/{}/fd", child.id())).unwrap().uid(), 0);
    drop(deputy);
    assert!(child.wait().unwrap().success());
}

#[test]
fn odd_names_and_links_that_lead_nowhere_come_back() {
    let house = house(|home| {
        fs::create_dir_all(home.join("odd")).unwrap();
        symlink("/nonexistent", home.join("odd/dangling")).unwrap();
        for name in [&[b'x'; 255][..], b"\xff\xfe", b"a\nb", b"-rf"] {
            fs::write(home.join("odd").join(OsStr::from_bytes(name)), "x").unwrap();
        }
    });
    let odd = house.home().join("odd");
    let before = manifest(&odd);
    fs::remove_dir_all(&odd).unwrap();
    house.clean("odd");
    assert_eq!(manifest(&odd), before);
}

/// After a `chmod -R` that went wrong nobody gets into the folders, their owner neither.
#[test]
fn modes_come_back_whatever_was_done_to_them() {
    if !needs_root("a restore as somebody else") {
        return;
    }
    for (wrong, rights) in [("000", 0o000), ("644", 0o644), ("400", 0o400)] {
        let house = house(|home| {
            fs::create_dir_all(home.join("site/a/b/c")).unwrap();
            for name in ["site/top", "site/a/one", "site/a/b/c/deep"] {
                fs::write(home.join(name), name).unwrap();
            }
            fs::set_permissions(home.join("site/a"), fs::Permissions::from_mode(0o751)).unwrap();
            let secret = home.join("site/a/one");
            fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
        });
        house.give_to(NOBODY);
        let modes = || -> Vec<u32> {
            let names = ["site", "site/a", "site/a/b", "site/a/b/c"];
            let files = ["site/top", "site/a/one", "site/a/b/c/deep"];
            let all = names.into_iter().chain(files);
            all.map(|one| fs::metadata(house.home().join(one)).unwrap().mode() & 0o7777).collect()
        };
        let before = modes();
        let site = house.home().join("site");
        fs::remove_file(site.join("a/b/c/deep")).unwrap();
        let done = Command::new("chmod").args(["-R", wrong]).arg(&site).status();
        assert!(done.unwrap().success());
        assert_eq!(fs::metadata(site.join("a/b")).unwrap().mode() & 0o777, rights);
        house.clean("site");
        assert_eq!(modes(), before, "{wrong}");
        assert_eq!(fs::read_to_string(site.join("a/b/c/deep")).unwrap(), "site/a/b/c/deep");
    }
}
