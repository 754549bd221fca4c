// SPDX-License-Identifier: MIT
//! Room on a disk for what does not fit into memory: a file without a name, which nobody else can
//! open and which is gone with the process, however that ends.

use crate::base::{Kind, Result, WhatIo, units};
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;

/// Bytes that are written once and read where they are needed.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    length: u64,
}

impl Scratch {
    /// An empty one on the disk of this folder, which is made if it is missing.
    pub fn new(folder: &Path) -> Result<Self> {
        let made = tempfile::tempfile_in(folder).or_else(|error| match error.kind() {
            ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                tempfile::tempfile_in(folder)
            }
            _ => Err(error),
        });
        let file = of_disk(made, || format!("keep something for a while in {}", folder.display()))?;
        Ok(Self { file, length: 0 })
    }

    /// Adds bytes at its end; returns where they begin.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let start = self.length;
        let written = self.file.write_all_at(bytes, start);
        of_disk(written, || "keep something for a while on the disk")?;
        self.length += units::bytes(bytes.len());
        Ok(start)
    }

    /// Fills the buffer with what begins there.
    pub fn read(&self, start: u64, buffer: &mut [u8]) -> Result<()> {
        let read = self.file.read_exact_at(buffer, start);
        of_disk(read, || "read again what was kept on the disk for a while")
    }
}

/// Whatever is wrong is the disk's trouble: who can do without it does.
fn of_disk<T, W: Into<String>>(done: std::io::Result<T>, what: impl FnOnce() -> W) -> Result<T> {
    done.what_io(what).map_err(|error| error.with_kind(Kind::Disk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_read_again_and_leaves_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(folder.path()).unwrap();
        assert_eq!(scratch.append(b"abc").unwrap(), 0);
        assert_eq!(scratch.append(b"defg").unwrap(), 3);
        let mut buffer = [0; 4];
        scratch.read(2, &mut buffer).unwrap();
        assert_eq!(&buffer, b"cdef");
        assert!(scratch.read(4, &mut buffer).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Scratch::new(&folder.path().join("missing/too")).is_ok());
        let error = Scratch::new(std::path::Path::new("/dev/null/no")).unwrap_err();
        assert_eq!(error.kind(), Kind::Disk);
    }
}
