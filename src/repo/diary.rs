// SPDX-License-Identifier: MIT
//! What this machine remembers of a repository's history: its private key, its own place, and the
//! last entry that it saw of each writer. Whoever loses it begins a new chain and has to trust what
//! the repository shows.

use crate::backend::private_file::{Hold, PrivateFile};
use crate::base::{FileId, Result, Within, World, limits};
use crate::crypto::sign::WriterKey;
use crate::format::history::Memory;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// The memory of one repository.
pub struct Diary {
    file: PrivateFile,
    machine: String,
}

impl Diary {
    /// That of a repository, in a folder for all of them. `machine` tells this one from others,
    /// clones of it among them.
    pub fn new(below: &Path, repository: &FileId, machine: &str) -> Self {
        let file = PrivateFile::new(below, &repository.to_string());
        Self { file, machine: machine.to_owned() }
    }

    /// Makes sure that it can be kept.
    pub fn prepare(&self) -> Result<()> {
        self.file.prepare()?;
        self.read().map(drop)
    }

    /// While what comes back lives, no other process of this machine writes; `None` if one is about
    /// to for too long.
    pub(super) fn hold(&self, world: &World, patience: Duration) -> Result<Option<Hold>> {
        self.file.hold(world, patience)
    }

    /// What is remembered; nothing, if there is nothing.
    pub(super) fn read(&self) -> Result<Memory> {
        let Some(bytes) = self.file.read(limits::MEMORY_BYTES_MAX)? else {
            return Ok(Memory::default());
        };
        let what = || format!("read {}", self.file.path().display());
        Memory::decode(&bytes).within(what).map_err(|error| {
            error.hint("if it is lost, remove it: this machine then begins a new history there")
        })
    }

    /// Replaces what is remembered. Whoever calls it holds the lock.
    pub(super) fn write(&self, memory: &Memory) -> Result<()> {
        self.file.write(&memory.encode())
    }

    /// The key of this machine, drawn if there is none yet. A machine that is a clone of another,
    /// or has got another name, is a new writer: two must not write under one number.
    pub(super) fn key(&self, memory: &mut Memory, world: &World) -> Result<WriterKey> {
        let known = <[u8; 32]>::try_from(memory.seed.as_slice()).ok().map(Zeroizing::new);
        if let Some(seed) = known.filter(|_| memory.machine == self.machine) {
            return Ok(WriterKey::new(&seed));
        }
        let seed = Zeroizing::new(world.random_32_for("writer key")?);
        memory.seed = Zeroizing::new(seed.to_vec());
        memory.machine.clone_from(&self.machine);
        (memory.next, memory.last) = (1, None);
        Ok(WriterKey::new(&seed))
    }
}
