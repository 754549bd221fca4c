// SPDX-License-Identifier: MIT
//! A folder on a local or mounted disk. A file appears under its name only when it is whole and on
//! the disk: written to `tmp/`, synced, renamed, folder synced.

use super::{
    Backend, FileKind, FileName, Leftovers, Properties, is_temporary, list_each, missing,
    size_each, whole_by_size,
};
use crate::base::error::io_error;
use crate::base::{Error, FileId, Kind, Result, WhatIo, limits, units};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, PosixFadviseAdvice, RenameFlags, posix_fadvise, renameat2};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

const TEMP_FOLDER: &str = "tmp";

/// A repository in a folder.
pub struct Local {
    root: PathBuf,
    temps: AtomicU64,
    is_durable: bool,
}

impl Local {
    /// A repository at this path, which need not exist yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), temps: AtomicU64::new(0), is_durable: true }
    }

    /// A folder whose files may be gone or wrong after the machine went down: nothing waits for
    /// the disk.
    pub fn disposable(root: &Path) -> Self {
        Self { is_durable: false, ..Self::new(root) }
    }

    /// When a file was written; `None` if it is not there.
    pub fn modified(&self, name: &FileName) -> Option<SystemTime> {
        fs::metadata(self.path(name)).and_then(|meta| meta.modified()).ok()
    }

    /// Something in the folder that no repository has; `None` also where there is no folder.
    pub fn foreign_entry(&self) -> Result<Option<PathBuf>> {
        let what = || format!("list {}", self.root.display());
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries.what_io(what)?,
        };
        let is_ours = |name: &str| {
            // A fresh file system is not empty either.
            [TEMP_FOLDER, "lost+found"].contains(&name)
                || FileKind::ALL.iter().any(|kind| kind.folder() == name)
        };
        for entry in entries.take(limits::LISTED_ENTRIES_MAX) {
            let entry = entry.what_io(what)?;
            if !entry.file_name().to_str().is_some_and(is_ours) {
                return Ok(Some(entry.path()));
            }
        }
        Ok(None)
    }

    fn path(&self, name: &FileName) -> PathBuf {
        self.root.join(name.to_string())
    }

    /// Writes a temporary file of a name that nobody else uses; on failure nothing of it remains.
    fn write_temp(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let (path, file) = self.create_temp()?;
        let sync = || if self.is_durable { file.sync_all() } else { Ok(()) };
        let written = (&file).write_all(bytes).and_then(|()| sync());
        match written {
            Ok(()) => {
                if self.is_durable {
                    forget_cached(&file, bytes.len());
                }
                Ok(path)
            }
            Err(error) => {
                // What matters is the first error; a temporary file left behind is only garbage.
                drop(fs::remove_file(path));
                Err(error)
            }
        }
    }

    /// A name that is taken belongs to another handle, to a process of the same number on another
    /// machine, or is what a killed one left behind: it is neither used nor removed.
    fn create_temp(&self) -> io::Result<(PathBuf, File)> {
        let folder = self.root.join(TEMP_FOLDER);
        for _ in 0..limits::TEMP_NAMES_TRIED {
            let serial = self.temps.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{serial}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return opened.map(|file| (path, file)),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }
}

impl Backend for Local {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        let folder = self.root.join(kind.folder());
        let what = || format!("list {}", folder.display());
        match kind {
            FileKind::Config => {
                let size = self.size(&FileName::CONFIG)?;
                Ok(size.map(|size| (FileName::CONFIG, size)).into_iter().collect())
            }
            FileKind::Pack => {
                let mut files = Vec::new();
                let ours = |name: &str| name.len() == 2 && u8::from_str_radix(name, 16).is_ok();
                for (name, _) in read_folder(&folder).what_io(what)? {
                    if !ours(&name) {
                        continue;
                    }
                    files.extend(list_files(kind, &folder.join(name)).what_io(what)?);
                }
                Ok(files)
            }
            _ => list_files(kind, &folder).what_io(what),
        }
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        list_each(self, kinds)
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        let path = self.path(name);
        let what = || format!("read {}", path.display());
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(name)),
            opened => opened.what_io(what)?,
        };
        let wanted = range.end.saturating_sub(range.start);
        let size = file.metadata().what_io(what)?.len();
        if range.end > size {
            return Err(Error::new(Kind::Damaged, what())
                .why(format!("it has {size} bytes, byte {} was asked for", range.end)));
        }
        let mut bytes = vec![0; units::length(wanted)];
        file.read_exact_at(&mut bytes, range.start).what_io(what)?;
        Ok(bytes)
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        whole_by_size(self, name, most)
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(error, format!("look at {}", path.display()))),
        }
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        size_each(self, names)
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        let what = || format!("write {}", path.display());
        let folder = path.parent().unwrap_or(&self.root);
        make_folder(folder)?;
        make_folder(&self.root.join(TEMP_FOLDER))?;
        let temp = self.write_temp(bytes).map_err(|error| match error.kind() {
            // Only the final name may be said to exist.
            io::ErrorKind::AlreadyExists => Error::new(Kind::Disk, what())
                .why(format!("{} is full of leftovers", self.root.join(TEMP_FOLDER).display()))
                .hint("'ghostsnap prune' removes those that are old"),
            _ => io_error(error, what()),
        })?;
        if let Err(error) = rename_new(&temp, &path) {
            // As in write_temp: only garbage.
            drop(fs::remove_file(&temp));
            return Err(io_error(error, what()));
        }
        if self.is_durable { sync_folder(folder).what_io(what) } else { Ok(()) }
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        let path = self.path(name);
        let what = || format!("remove {}", path.display());
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error(error, what())),
            Ok(()) => sync_folder(path.parent().unwrap_or(&self.root)).what_io(what),
        }
    }

    fn leftovers(&self, before: i64, task: Leftovers) -> Result<(u64, u64)> {
        let folder = self.root.join(TEMP_FOLDER);
        let what = || format!("look at what is left in {}", folder.display());
        let mut found = (0, 0);
        let names = read_folder(&folder).what_io(what)?;
        for (_, path) in names.into_iter().filter(|(name, _)| is_temporary(name)) {
            let meta = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                meta => meta.what_io(what)?,
            };
            if !meta.is_file() || meta.mtime() >= before {
                continue;
            }
            if task == Leftovers::Remove {
                fs::remove_file(&path).what_io(|| format!("remove {}", path.display()))?;
            }
            found = (found.0 + 1, found.1 + meta.len());
        }
        Ok(found)
    }

    fn properties(&self) -> Properties {
        Properties {
            connections: 2,
            append_only: false,
            is_far: false,
            listed_at_once: limits::LISTED_AT_ONCE,
            pack_bytes_max: limits::PACK_BYTES_MAX,
        }
    }

    fn location(&self) -> String {
        self.root.display().to_string()
    }
}

/// Names and types of a folder's entries; a folder that does not exist has none.
fn read_folder(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A name that is not UTF-8 is not ours.
        if let Ok(name) = entry.file_name().into_string() {
            names.push((name, entry.path()));
        }
    }
    Ok(names)
}

fn list_files(kind: FileKind, folder: &Path) -> io::Result<Vec<(FileName, u64)>> {
    let mut files = Vec::new();
    for (name, path) in read_folder(folder)? {
        let Ok(id) = FileId::parse(&name) else { continue };
        match fs::metadata(&path) {
            Ok(meta) => files.push((FileName::new(kind, id), meta.len())),
            // Removed by another process since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Makes a folder and those above it, durable, for the owner only.
fn make_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let what = || format!("make the folder {}", folder.display());
    DirBuilder::new().recursive(true).mode(0o700).create(folder).what_io(what)?;
    match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => sync_folder(above).what_io(what),
        _ => Ok(()),
    }
}

/// A pack that was just written is not read soon: its pages are given back, so that a backup does
/// not push the server's own files out of memory. Measured: it also saves half the system time.
fn forget_cached(file: &File, length: usize) {
    if length >= 1024 * 1024 {
        let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        // Advice only: a file system that does not take it loses nothing.
        posix_fadvise(file, 0, 0, advice).unwrap_or_default();
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot sync folders; they are durable on rename.
        Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => Ok(()),
        synced => synced,
    }
}

/// Renames without replacing, also where the file system knows no such rename.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::ENOTSUP) => {}
        renamed => return renamed.map_err(io::Error::from),
    }
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // No links either (FAT, some network shares). Names in a repository are hashes of random
        // content or the config of one being made, so that nobody else writes this one.
        Err(_) if to.exists() => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        Err(_) => fs::rename(from, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_file_is_private_and_nothing_temporary_remains() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let local = Local::new(&folder.path().join("a/b"));
        let name = FileName::new(FileKind::Pack, FileId([7; 32]));
        local.create(&name, b"hello").unwrap();
        let mode = fs::metadata(local.path(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path().join("a/b/tmp")).unwrap().count(), 0);
        assert_eq!(local.create(&name, b"other").unwrap_err().kind(), Kind::Exists);
        assert_eq!(local.read(&name, 1..4).unwrap(), b"ell");
        assert_eq!(fs::read_dir(folder.path().join("a/b/tmp")).unwrap().count(), 0);
    }

    #[test]
    fn what_killed_writers_left_is_counted_and_removed_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let (local, temps) = (Local::new(folder.path()), folder.path().join(TEMP_FOLDER));
        assert_eq!(local.leftovers(i64::MAX, Leftovers::Remove).unwrap(), (0, 0));
        fs::create_dir_all(temps.join("1-2")).unwrap();
        let own = FileId([7; 32]).to_string();
        for name in ["4711-0", "4711-1", &own, "notes", "1-x"] {
            fs::write(temps.join(name), b"part").unwrap();
        }
        let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        for name in ["4711-1", &own, "notes"] {
            let file = OpenOptions::new().write(true).open(temps.join(name)).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        assert_eq!(local.leftovers(1000, Leftovers::Count).unwrap(), (0, 0));
        assert_eq!(local.leftovers(1001, Leftovers::Count).unwrap(), (2, 8));
        assert_eq!(local.leftovers(1001, Leftovers::Remove).unwrap(), (2, 8));
        assert_eq!(local.leftovers(i64::MAX, Leftovers::Count).unwrap(), (1, 4));
        assert!(temps.join("notes").exists() && temps.join("4711-0").exists());
    }

    #[test]
    fn files_that_are_not_ours_are_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::new(folder.path());
        local.create(&FileName::new(FileKind::Index, FileId([7; 32])), b"x").unwrap();
        fs::write(folder.path().join("index/README"), b"hi").unwrap();
        assert_eq!(local.list(FileKind::Index).unwrap().len(), 1);
    }

    #[test]
    fn a_temporary_file_of_somebody_else_is_neither_used_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::new(folder.path());
        fs::create_dir(folder.path().join(TEMP_FOLDER)).unwrap();
        let other = folder.path().join(format!("{TEMP_FOLDER}/{}-0", std::process::id()));
        fs::write(&other, b"being written").unwrap();
        let name = FileName::new(FileKind::Index, FileId([7; 32]));
        local.create(&name, b"mine").unwrap();
        assert_eq!(local.read(&name, 0..4).unwrap(), b"mine");
        assert_eq!(fs::read(&other).unwrap(), b"being written");
    }
}
