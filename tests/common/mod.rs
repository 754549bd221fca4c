// SPDX-License-Identifier: MIT
//! What the engine's tests share: small trees on a real disk, compared entry by entry.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use ghostsnap::backend::Backend;
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{RelPath, World};
use ghostsnap::format::Snapshot;
use ghostsnap::format::keyslot::Secret;
use ghostsnap::ops::restore::{RestoreOptions, RestoreReport, to_folder};
use ghostsnap::ops::{BackupOptions, BackupReport, backup};
use ghostsnap::repo::{IndexedRepository, Repository};
use ghostsnap::tree::dir::OwnerPolicy;
use ghostsnap::tree::{Walk, WalkOptions};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

pub fn secret() -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[42; 32])).unwrap()
}

/// Bytes that do not compress and differ for every name.
pub fn noise(name: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub fn init(backend: Arc<dyn Backend>) -> Repository {
    Repository::init(backend, &secret(), "test", Arc::new(World::seeded(1))).unwrap()
}

pub fn open(backend: Arc<dyn Backend>) -> IndexedRepository {
    try_open(backend).unwrap()
}

pub fn try_open(backend: Arc<dyn Backend>) -> ghostsnap::base::Result<IndexedRepository> {
    Repository::open(backend, &secret(), Arc::new(World::seeded(2)))?.indexed(&Collect::default())
}

/// Small packs, so that a small test has several.
pub fn options() -> BackupOptions {
    let world = World::seeded(3);
    let mut options = BackupOptions::new(Snapshot {
        time: world.now(),
        host: "test.example".to_owned(),
        source: "paths".to_owned(),
        ..Snapshot::default()
    });
    options.writer.pack_bytes = Some(64 * 1024);
    options
}

pub fn try_backup(
    repository: &IndexedRepository,
    source: &Path,
) -> ghostsnap::base::Result<BackupReport> {
    let mut walk = Walk::new(&[source.to_owned()], WalkOptions::default())?;
    let mut options = options();
    options.template.paths = walk.roots();
    backup(repository, &mut walk, &options, &Collect::default())
}

pub fn backup_now(backend: &Arc<dyn Backend>, source: &Path) -> BackupReport {
    try_backup(&open(Arc::clone(backend)), source).unwrap()
}

/// Where the backed-up folder lies inside its snapshot.
pub fn base_of(source: &Path) -> RelPath {
    RelPath::parse(fs::canonicalize(source).unwrap().as_os_str().as_bytes()).unwrap()
}

pub fn restore_options() -> RestoreOptions {
    RestoreOptions { owners: OwnerPolicy::Numeric, ..RestoreOptions::default() }
}

pub fn restore(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    source: &Path,
    target: &Path,
) -> RestoreReport {
    to_folder(
        repository,
        snapshot,
        &base_of(source),
        &restore_options(),
        target,
        &Collect::default(),
    )
    .unwrap()
}

/// Everything that matters of a tree, by path.
pub fn manifest(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    collect(root, root, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<Vec<u8>, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let content = if kind.is_symlink() {
            format!("-> {:?}", fs::read_link(&path).unwrap())
        } else if kind.is_file() {
            format!("{} {}", meta.len(), blake3::hash(&fs::read(&path).unwrap()).to_hex())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            "folder".to_owned()
        };
        let mut xattrs: Vec<_> =
            xattr::list(&path).map(|names| names.collect()).unwrap_or_default();
        xattrs.sort();
        let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
        let line = format!(
            "{content} mode {:o} owner {}:{} mtime {time} xattrs {xattrs:?}",
            meta.mode(),
            meta.uid(),
            meta.gid()
        );
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        found.insert(name, line);
        if kind.is_dir() {
            collect(root, &path, found);
        }
    }
}

/// A folder with one of each thing that is easy to get wrong.
pub fn sample_tree(root: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(root.join("site/public_html/empty folder")).unwrap();
    fs::create_dir_all(root.join("mail/cur")).unwrap();
    for n in 0..40 {
        fs::write(
            root.join(format!("mail/cur/{n:04}.host:2,S")),
            noise(&format!("mail {n}"), 900 + n * 37),
        )
        .unwrap();
    }
    fs::write(root.join("site/public_html/index.php"), b"<?php echo 'hello'; ?>\n".repeat(50))
        .unwrap();
    fs::write(root.join("site/public_html/big.jpg"), noise("big", 3_300_000)).unwrap();
    fs::write(root.join("site/empty"), b"").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"site/na\xffme \"quoted\" 'x'\n")), b"odd")
        .unwrap();
    fs::write(root.join("site/.htaccess"), b"dot").unwrap();
    fs::set_permissions(root.join("site/.htaccess"), fs::Permissions::from_mode(0o4750)).unwrap();
    std::os::unix::fs::symlink("../does/not/exist", root.join("site/dangling")).unwrap();
    fs::write(root.join("site/one"), noise("twins", 5000)).unwrap();
    fs::hard_link(root.join("site/one"), root.join("site/two")).unwrap();
    let sparse = fs::File::create(root.join("site/sparse.img")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    use std::os::unix::fs::FileExt;
    sparse.write_all_at(b"in the middle", 3_000_000).unwrap();
    fs::set_permissions(root.join("mail"), fs::Permissions::from_mode(0o2770)).unwrap();
}
