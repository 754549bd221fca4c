// SPDX-License-Identifier: MIT
//! The main promise, on a real disk: what was backed up comes back, byte for byte, name for name.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::local::Local;
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Counter, Kind, World};
use ghostsnap::ops::check::{ReadData, check};
use ghostsnap::ops::restore::{Overwrite, RestoreOptions, find_node, to_folder, to_origin};
use ghostsnap::repo::{Reader, Repository};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

fn check_all(backend: &Arc<dyn Backend>) -> Vec<ghostsnap::ops::check::Finding> {
    let world = Arc::new(World::seeded(9));
    let repository = Repository::open(Arc::clone(backend), &secret(), world).unwrap();
    // As a large one is checked.
    let repository = repository.with_scratch(&std::env::temp_dir(), 5);
    check(repository, ReadData::All, &Collect::default()).unwrap().findings
}

#[test]
fn a_tree_comes_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    sample_tree(&source);
    let backend: Arc<dyn Backend> = Arc::new(Local::new(&folder.path().join("repository")));
    init(Arc::clone(&backend));
    let report = backup_now(&backend, &source);
    assert_eq!(report.snapshot.warnings, 0);
    let repository = open(Arc::clone(&backend));
    let restored = restore(&repository, &report.snapshot, &source, &target);
    assert_eq!(restored.warnings, 0);
    assert_eq!(manifest(&target), manifest(&source));
    // One file of two names is still one file, and holes are holes.
    let inode = |name| fs::metadata(target.join(name)).unwrap().ino();
    assert_eq!(inode("site/one"), inode("site/two"));
    assert!(fs::metadata(target.join("site/sparse.img")).unwrap().blocks() * 512 < 1_000_000);
    assert_eq!(check_all(&backend), []);
}

#[test]
fn an_unchanged_tree_is_not_read_again_and_adds_next_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    sample_tree(&source);
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    init(Arc::clone(&backend));
    let first = backup_now(&backend, &source);
    let size = mem.bytes();
    let second = backup_now(&backend, &source);
    assert_eq!(second.counts.get(Counter::BytesRead), 0);
    // Of the folder itself: other tests change the one above it.
    let repository = open(Arc::clone(&backend));
    let reader = Reader::new(&repository);
    let tree = |snapshot| find_node(&reader, snapshot, &base_of(&source)).unwrap().chunks;
    assert_eq!(tree(&second.snapshot), tree(&first.snapshot));
    assert!(mem.bytes() - size < 1024, "{} bytes", mem.bytes() - size);
    fs::write(source.join("site/.htaccess"), b"changed").unwrap();
    let third = backup_now(&backend, &source);
    assert_eq!(third.counts.get(Counter::FilesChanged), 1);
    assert_eq!(third.counts.get(Counter::BytesRead), 7);
}

#[test]
fn a_restored_hard_link_alone_has_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    sample_tree(&source);
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let report = backup_now(&backend, &source);
    let base = base_of(&source).join(b"site").unwrap().join(b"two").unwrap();
    to_folder(
        &open(backend),
        &report.snapshot,
        &base,
        &restore_options(),
        &target,
        &Collect::default(),
    )
    .unwrap();
    assert_eq!(fs::read(target.join("two")).unwrap(), noise("twins", 5000));
}

#[test]
fn restoring_in_place_writes_only_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    sample_tree(&source);
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let before = manifest(&source);
    let report = backup_now(&backend, &source);
    let big = source.join("site/public_html/big.jpg");
    let mut bytes = fs::read(&big).unwrap();
    bytes[3_200_000] ^= 1;
    fs::write(&big, &bytes).unwrap();
    fs::remove_file(source.join("site/empty")).unwrap();
    fs::write(source.join("site/new file"), b"later").unwrap();
    let options = RestoreOptions { delete: true, ..restore_options() };
    let dry = RestoreOptions { dry_run: true, ..options.clone() };
    let repository = open(backend);
    let restore = |options: &RestoreOptions| {
        to_folder(
            &repository,
            &report.snapshot,
            &base_of(&source),
            options,
            &source,
            &Collect::default(),
        )
        .unwrap()
    };
    let damaged = manifest(&source);
    let planned = restore(&dry);
    assert_eq!(manifest(&source), damaged, "a dry run changes nothing");
    let done = restore(&options);
    assert_eq!(manifest(&source), before);
    for counter in [Counter::FilesRemoved, Counter::BytesRestored] {
        assert_eq!(planned.counts.get(counter), done.counts.get(counter), "{counter:?}");
    }
    assert_eq!(done.counts.get(Counter::FilesRemoved), 1);
    assert!(done.counts.get(Counter::BytesRestored) < 3_300_000, "only the changed chunk");
    let again = restore(&options);
    assert_eq!(again.counts.get(Counter::BytesRestored), 0);
}

#[test]
fn files_that_exist_are_treated_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), b"old!").unwrap();
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let report = backup_now(&backend, &source);
    let repository = open(backend);
    for (overwrite, expected) in [
        (Overwrite::Never, &b"newer"[..]),
        (Overwrite::IfNewer, b"newer"),
        (Overwrite::IfChanged, b"old!"),
        (Overwrite::Always, b"old!"),
    ] {
        fs::write(source.join("a"), b"newer").unwrap();
        let options = RestoreOptions { overwrite, ..restore_options() };
        to_folder(
            &repository,
            &report.snapshot,
            &base_of(&source),
            &options,
            &source,
            &Collect::default(),
        )
        .unwrap();
        assert_eq!(fs::read(source.join("a")).unwrap(), expected, "{overwrite:?}");
    }
}

#[test]
fn what_cannot_be_read_is_named_and_makes_the_result_partial() {
    if nix::unistd::geteuid().is_root() {
        // Root reads everything; a file that is no file any more is the case that remains.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("secret"), b"x").unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(source.join("secret"), fs::Permissions::from_mode(0o0)).unwrap();
    let backend = fresh_store();
    init(Arc::clone(&backend));
    assert!(backup_now(&backend, &source).snapshot.is_partial());
}

#[test]
fn the_index_can_be_rebuilt_from_the_packs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    sample_tree(&source);
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    init(Arc::clone(&backend));
    let report = backup_now(&backend, &source);
    for (name, _) in backend.list(FileKind::Index).unwrap() {
        backend.remove(&name).unwrap();
    }
    let plain =
        Repository::open(Arc::clone(&backend), &secret(), Arc::new(World::seeded(4))).unwrap();
    let found = ghostsnap::ops::repair::rebuild_index(&plain, &Collect::default()).unwrap();
    assert_eq!(found, u64::try_from(backend.list(FileKind::Pack).unwrap().len()).unwrap());
    restore(&open(Arc::clone(&backend)), &report.snapshot, &source, &target);
    assert_eq!(manifest(&target), manifest(&source));
    assert_eq!(check_all(&backend), []);
}

#[test]
fn passwords_open_and_wrong_ones_say_so() {
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let world = || Arc::new(World::seeded(5));
    let wrong = ghostsnap::format::keyslot::Secret::password("wrong");
    let error = Repository::open(Arc::clone(&backend), &wrong, world()).err().unwrap();
    assert_eq!(error.kind(), Kind::Password);
    let repository = Repository::open(Arc::clone(&backend), &secret(), world()).unwrap();
    let only = repository.key_slots().unwrap()[0].0;
    assert_eq!(repository.remove_key(&only).unwrap_err().kind(), Kind::Forbidden);
    let second = ghostsnap::format::keyslot::Secret::password("second");
    repository.add_key(&second, "second").unwrap();
    assert!(Repository::open(Arc::clone(&backend), &second, world()).is_ok());
    let third = ghostsnap::format::keyslot::Secret::password("third");
    repository.change_key(&second, &third, None).unwrap();
    assert!(Repository::open(Arc::clone(&backend), &second, world()).is_err());
    repository.remove_key(&only).unwrap();
    assert!(Repository::open(Arc::clone(&backend), &secret(), world()).is_err());
    assert!(Repository::open(backend, &third, world()).is_ok());
}

#[test]
fn a_place_without_a_repository_and_a_half_made_one_are_told_apart() {
    let mem = Mem::new();
    let backend: Arc<dyn Backend> = Arc::new(mem.clone());
    let world = || Arc::new(World::seeded(5));
    let open = || Repository::open(Arc::clone(&backend), &secret(), world());
    assert!(open().err().unwrap().one_line().contains("there is none"));
    init(Arc::clone(&backend));
    let again = Repository::init(Arc::clone(&backend), &secret(), "x", world()).err().unwrap();
    assert_eq!(again.kind(), Kind::Exists);
    backend.remove(&ghostsnap::backend::FileName::CONFIG).unwrap();
    assert!(open().err().unwrap().one_line().contains("interrupted"));
    let other = Arc::new(World::seeded(77));
    Repository::init(Arc::clone(&backend), &secret(), "x", other).unwrap();
    assert!(open().is_ok());
}

#[test]
fn what_a_lost_pack_held_is_stored_again() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    sample_tree(&source);
    let backend = fresh_store();
    init(Arc::clone(&backend));
    backup_now(&backend, &source);
    for (name, size) in backend.list(FileKind::Pack).unwrap() {
        if size > 1_000_000 {
            backend.remove(&name).unwrap();
        }
    }
    let mut repository = open(Arc::clone(&backend));
    let monitor = Collect::default();
    repository.leave_out_lost_packs(&monitor).unwrap();
    assert!(!monitor.warnings().is_empty(), "lost packs are named");
    let report = try_backup(&repository, &source).unwrap();
    assert!(report.counts.get(Counter::BytesNew) > 1_000_000);
    let restored = restore(&open(backend), &report.snapshot, &source, &target);
    assert_eq!(restored.warnings, 0);
    assert_eq!(manifest(&target), manifest(&source));
}

#[test]
fn a_folder_with_content_gives_way_only_where_removing_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), b"file").unwrap();
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let report = backup_now(&backend, &source);
    fs::create_dir_all(target.join("a")).unwrap();
    fs::write(target.join("a/important"), b"mine").unwrap();
    let repository = open(backend);
    assert_eq!(restore(&repository, &report.snapshot, &source, &target).warnings, 1);
    assert_eq!(fs::read(target.join("a/important")).unwrap(), b"mine");
    let options = RestoreOptions { delete: true, ..restore_options() };
    let base = base_of(&source);
    to_folder(&repository, &report.snapshot, &base, &options, &target, &Collect::default())
        .unwrap();
    assert_eq!(fs::read(target.join("a")).unwrap(), b"file");
}

#[test]
fn what_is_gone_comes_back_in_place_with_the_folders_that_lead_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("a/b/source");
    sample_tree(&source);
    let modes = [(folder.path().join("a"), 0o711), (source.clone(), 0o2751)];
    for (path, mode) in &modes {
        fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
    }
    let before = fs::metadata(&source).unwrap();
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let report = backup_now(&backend, &source);
    let (repository, base) = (open(backend), base_of(&source));
    let elsewhere = tempfile::tempdir().unwrap();
    let back = |overwrite, path: &ghostsnap::base::RelPath| {
        let options = RestoreOptions { overwrite, ..restore_options() };
        let top = elsewhere.path();
        let monitor = Collect::default();
        to_origin(&repository, &report.snapshot, path, &options, top, &monitor).unwrap().warnings
    };
    let now = |path: &Path| {
        let path = elsewhere.path().join(path.canonicalize().unwrap().strip_prefix("/").unwrap());
        (fs::metadata(&path).unwrap(), path)
    };
    assert_eq!(back(Overwrite::Always, &base), 0);
    let (meta, restored) = now(&source);
    assert_eq!(manifest(&restored), manifest(&source));
    assert_eq!(meta.mtime(), before.mtime());
    for (path, mode) in &modes {
        assert_eq!(now(path).0.mode() & 0o7777, *mode, "{}", path.display());
    }
    // One that is there is made right, unless what is there is to stay; those above are not ours.
    let loosen =
        |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    loosen(&restored);
    loosen(&now(&modes[0].0).1);
    assert_eq!(back(Overwrite::Never, &base), 0);
    assert_eq!(now(&source).0.mode() & 0o7777, 0o777);
    assert_eq!(back(Overwrite::Always, &base), 0);
    assert_eq!(now(&source).0.mode() & 0o7777, 0o2751);
    assert_eq!(now(&modes[0].0).0.mode() & 0o7777, 0o777);
    // A file alone brings the folders above it.
    fs::remove_dir_all(&restored).unwrap();
    let file =
        base.join(b"site").unwrap().join(b"public_html").unwrap().join(b"index.php").unwrap();
    assert_eq!(back(Overwrite::Always, &file), 0);
    assert_eq!(now(&source).0.mode() & 0o7777, 0o2751);
    assert_eq!(fs::read_dir(&restored).unwrap().count(), 1);
}

#[test]
fn a_backup_into_a_repository_that_is_removed_meanwhile_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    sample_tree(&source);
    let backend = fresh_store();
    init(Arc::clone(&backend));
    let repository = open(Arc::clone(&backend));
    backend.remove(&ghostsnap::backend::FileName::CONFIG).unwrap();
    let error = try_backup(&repository, &source).unwrap_err();
    assert!(error.to_string().contains("was removed meanwhile"), "{error}");
}

#[test]
fn an_index_is_the_same_on_a_disk_in_memory_and_where_there_is_no_disk() {
    let source = tempfile::tempdir().unwrap();
    sample_tree(source.path());
    let backend = fresh_store();
    init(Arc::clone(&backend));
    backup_now(&backend, source.path());
    let folder = tempfile::tempdir().unwrap();
    let rooms = [None, Some(folder.path()), Some(Path::new("/dev/null/none"))];
    let opened = rooms.map(|room| {
        let world = Arc::new(World::seeded(2));
        let repository = Repository::open(Arc::clone(&backend), &secret(), world).unwrap();
        let repository = match room {
            Some(folder) => repository.with_scratch(folder, 5),
            None => repository,
        };
        repository.indexed(&Collect::default()).unwrap()
    });
    let all = opened.each_ref().map(all_chunks);
    assert!(all[0].len() > 40);
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // More chunks of one run than fit into memory go to the disk, too, and are found there.
    for n in 0..30 {
        fs::write(source.path().join(format!("new-{n}")), noise(&format!("new {n}"), 3000))
            .unwrap();
    }
    let first = try_backup(&opened[1], source.path()).unwrap();
    let second = try_backup(&opened[1], source.path()).unwrap();
    let new = |report: &ghostsnap::ops::BackupReport| report.counts.get(Counter::ChunksNew);
    assert!(new(&first) >= 30, "{}", new(&first));
    assert_eq!(new(&second), 0);
}
