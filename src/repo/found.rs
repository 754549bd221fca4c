// SPDX-License-Identifier: MIT
//! From an address to an open repository: whether there is one, and which of its keys opens it.

use super::{Repository, unlock};
use crate::backend::{Backend, FileKind, FileName};
use crate::base::{Error, Kind, Result, Within, World, limits};
use crate::format::keyslot::Secret;
use std::sync::Arc;

/// A repository that is there and still closed.
pub struct Found {
    backend: Arc<dyn Backend>,
    config: Vec<u8>,
}

impl Found {
    /// Looks whether there is one.
    pub fn at(backend: Arc<dyn Backend>) -> Result<Self> {
        let what = || format!("open the repository at {}", backend.location());
        let config = read_config(backend.as_ref()).within(what)?;
        Ok(Self { backend, config })
    }

    /// Opens it with a password or key file.
    pub fn open(self, secret: &Secret, world: Arc<World>) -> Result<Repository> {
        let Self { backend, config: stored } = self;
        let what = || format!("open the repository at {}", backend.location());
        let (keys, config) = unlock::unlock(backend.as_ref(), secret, &stored).within(what)?;
        Ok(Repository::of(backend, Arc::new(keys), config, world))
    }
}

fn read_config(backend: &dyn Backend) -> Result<Vec<u8>> {
    match backend.read_whole(&FileName::CONFIG, limits::RECORD_BYTES_MAX)? {
        Some(stored) => Ok(stored),
        None if backend.list(FileKind::Key)?.is_empty() => Err(Error::new(
            Kind::NotFound,
            "find a repository there",
        )
        .why("there is none at this place")
        .hint(
            "check the address, and whether its disk is mounted; 'ghostsnap init' makes a new one",
        )),
        None if !backend.list(FileKind::Snapshot)?.is_empty() => {
            Err(Error::new(Kind::Damaged, "read the repository's config")
                .why("the file is missing, though there are snapshots")
                .hint("put it back from a copy of the repository; it cannot be made anew"))
        }
        None => Err(Error::new(Kind::NotFound, "find a complete repository there")
            .why("making it was interrupted before its config was written")
            .hint("run 'ghostsnap init' again")),
    }
}
