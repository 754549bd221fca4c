// SPDX-License-Identifier: MIT
//! A small file of this machine that is nobody else's to read: replaced as a whole, durable, and
//! changed by one process at a time.

use crate::base::{Error, Kind, Result, WhatIo, World, limits};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The file.
pub struct PrivateFile {
    path: PathBuf,
    lock: PathBuf,
}

/// While it lives, no other process changes the file.
pub struct Hold(#[expect(dead_code, reason = "it is held, not used")] Flock<File>);

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

    /// Holds it, unless another process does.
    pub fn try_hold(&self) -> Result<Option<Hold>> {
        let what = || format!("lock {}", self.lock.display());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(&self.lock).what_io(what)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Hold(held))),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(io::Error::from(errno)).what_io(what),
        }
    }

    /// Waits until no other process is about to change it.
    pub fn hold(&self, world: &World) -> Result<Hold> {
        let what = || format!("lock {}", self.lock.display());
        let started = world.ticks();
        loop {
            if let Some(held) = self.try_hold()? {
                return Ok(held);
            }
            if world.ticks().saturating_sub(started) > limits::PRIVATE_FILE_WAIT {
                return Err(Error::new(Kind::InUse, what())
                    .why("another process of this machine has been at it for long"));
            }
            world.sleep(limits::PRIVATE_FILE_LOOK);
        }
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
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(most).read_to_end(&mut bytes).what_io(what)?;
        Ok(Some(bytes))
    }

    /// Replaces its content. Whoever calls it holds it.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let what = || format!("write {}", self.path.display());
        let draft = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(&draft).what_io(what)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.and_then(|()| fs::rename(&draft, &self.path)).what_io(what)?;
        File::open(self.folder()).and_then(|folder| folder.sync_all()).what_io(what)
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
        let held = file.hold(&world).unwrap();
        file.write(b"one").unwrap();
        file.write(b"two").unwrap();
        assert_eq!(file.read(9).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(file.folder()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(file.hold(&world).err().unwrap().kind(), Kind::InUse);
        drop(held);
        assert!(file.try_hold().unwrap().is_some());
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
