// SPDX-License-Identifier: MIT
//! Small files of this machine that are nobody else's to read or write: replaced as a whole,
//! durable, and changed by one process at a time.

use super::local::rename_new;
use crate::base::error::io_error;
use crate::base::{Error, Kind, Result, WhatIo, World, limits};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Refuses a file or folder that somebody else owns, or may read or change.
pub fn check_private(path: &Path, meta: &Metadata) -> Result<()> {
    let me = nix::unistd::geteuid().as_raw();
    let owner = meta.uid() == me || meta.uid() == 0;
    let others = meta.mode() & 0o077;
    if owner && others == 0 {
        return Ok(());
    }
    let mode = if meta.is_dir() { "700" } else { "600" };
    let why = if owner { "others may read or change it" } else { "it belongs to somebody else" };
    Err(Error::new(Kind::Forbidden, format!("use {}", path.display()))
        .why(why)
        .hint(format!("chown root {0} && chmod {mode} {0}", path.display())))
}

/// Removes a file; one that is gone already is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.what_io(|| format!("remove {}", path.display())),
    }
}

/// Makes what was done in a folder durable.
pub fn sync(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.what_io(|| format!("write {}", folder.display()))
}

/// Puts a file of these bytes in the place of another; `new` says that there must be none.
pub fn replace(path: &Path, bytes: &[u8], new: bool) -> Result<()> {
    let what = || format!("write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    // Begins with a dot, so that it is never taken for an entry.
    let draft = folder.join(format!(".{}.new-{}", name.display(), std::process::id()));
    remove_file(&draft)?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&draft).what_io(what)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let placed = written
        .and_then(|()| if new { rename_new(&draft, path) } else { fs::rename(&draft, path) });
    if let Err(error) = placed {
        remove_file(&draft)?;
        return Err(io_error(error, what()));
    }
    sync(folder)
}

/// A lock that is held.
pub type Hold = Flock<File>;

/// Holds an open file against others who do the same; `None` if somebody has it for too long.
pub fn hold(mut file: File, world: &World, patience: Duration) -> Result<Option<Hold>> {
    let started = world.ticks();
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Some(held)),
            Err((file, Errno::EWOULDBLOCK)) => file,
            Err((_, errno)) => return Err(io::Error::from(errno)).what_io(|| "hold a lock"),
        };
        if world.ticks().saturating_sub(started) >= patience {
            return Ok(None);
        }
        world.sleep(limits::LOCK_LOOK);
    }
}

/// The file.
pub struct PrivateFile {
    path: PathBuf,
    lock: PathBuf,
}

impl PrivateFile {
    /// One of this name in a folder.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name), lock: folder.join(format!(".{name}.lock")) }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Makes its folder.
    pub fn prepare(&self) -> Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(self.folder());
        made.what_io(|| format!("make the folder {}", self.folder().display()))
    }

    /// While what comes back lives, no other process changes it; `None` if one is about to for too
    /// long.
    pub fn hold(&self, world: &World, patience: Duration) -> Result<Option<Hold>> {
        let what = || format!("lock {}", self.lock.display());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(&self.lock).what_io(what)?;
        hold(file, world, patience)
    }

    /// Its content; `None` if it is not there.
    pub fn read(&self, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let what = || format!("read {}", self.path.display());
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlag::O_NOFOLLOW.bits() | OFlag::O_NONBLOCK.bits());
        let file = match options.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.what_io(what)?,
        };
        check_private(&self.path, &file.metadata().what_io(what)?)?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(most).read_to_end(&mut bytes).what_io(what)?;
        Ok(Some(bytes))
    }

    /// Replaces its content. Whoever calls it holds it.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        replace(&self.path, bytes, false)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn it_is_private_whole_and_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = PrivateFile::new(&folder.path().join("history"), "abc");
        assert_eq!(file.read(9).unwrap(), None);
        file.prepare().unwrap();
        let world = World::seeded(1);
        let held = file.hold(&world, Duration::ZERO).unwrap();
        file.write(b"one").unwrap();
        file.write(b"two").unwrap();
        assert_eq!(file.read(9).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(file.folder()).unwrap().mode() & 0o777, 0o700);
        assert!(held.is_some() && file.hold(&world, Duration::from_secs(1)).unwrap().is_none());
        drop(held);
        assert!(file.hold(&world, Duration::ZERO).unwrap().is_some());
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(file.path(), mode).unwrap();
        assert_eq!(file.read(9).unwrap_err().kind(), Kind::Forbidden);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let file = PrivateFile::new(folder.path(), "abc");
        let other = folder.path().join("other");
        fs::write(&other, "secret").unwrap();
        symlink(&other, file.path()).unwrap();
        assert!(file.read(9).is_err());
        file.write(b"mine").unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"secret");
    }
}
