// SPDX-License-Identifier: MIT
//! A wrapper that fails on purpose. The fault model: a process may die before or after any
//! mutation and does nothing more; a disk may fill up; a listing may be cut off; a read may fail.
//! A single file is never torn by this wrapper: what a torn file looks like is the damage suite's.

use super::{Backend, FileKind, FileName, Leftovers, Properties};
use crate::base::{Error, Kind, Result};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing; mutations are only counted.
    None,
    /// The process dies before the n-th mutation (from 0) happens.
    DieBefore(u64),
    /// The process dies just after the n-th mutation happened, before it learns so.
    DieAfter(u64),
    /// Every write from the n-th on fails: the disk is full. Removing still works.
    FullFrom(u64),
    /// Listings of this kind are cut off.
    CutList(FileKind),
    /// Listings of this kind lack a file, and nothing says so.
    ShortList(FileKind),
    /// Reads of this kind fail.
    NoRead(FileKind),
    /// The key may not remove.
    NoRemove,
    /// Every other request fails before anything happens, in a way that may pass.
    Stumble,
    /// Every other mutation happens, and its answer is lost in a way that may pass.
    LoseAnswers,
}

/// A backend with a fault.
pub struct Faulty {
    inner: Arc<dyn Backend>,
    fault: Fault,
    mutations: AtomicU64,
    reads: AtomicU64,
}

impl Faulty {
    /// Wraps a backend.
    pub fn new(inner: Arc<dyn Backend>, fault: Fault) -> Self {
        Self { inner, fault, mutations: AtomicU64::new(0), reads: AtomicU64::new(0) }
    }

    /// How many mutations were tried so far.
    pub fn mutations(&self) -> u64 {
        self.mutations.load(Ordering::SeqCst)
    }

    fn mutate(&self, writes: bool, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let turn = self.mutations.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::DieBefore(n) if turn >= n => Err(died()),
            Fault::DieAfter(n) if turn > n => Err(died()),
            Fault::DieAfter(n) if turn == n => act().and_then(|()| Err(died())),
            Fault::Stumble if turn.is_multiple_of(2) => Err(stumbled()),
            Fault::LoseAnswers if turn.is_multiple_of(2) => act().and_then(|()| Err(stumbled())),
            Fault::FullFrom(n) if writes && turn >= n => {
                Err(Error::new(Kind::Disk, "write").why("No space left on device"))
            }
            Fault::NoRemove if !writes => Err(Error::new(Kind::Forbidden, "remove a file")
                .why("the key has no right to it (injected fault)")),
            _ => act(),
        }
    }

    /// A dead process reads nothing either.
    fn alive(&self) -> Result<()> {
        let done = self.mutations();
        match self.fault {
            Fault::DieBefore(n) if done > n => Err(died()),
            Fault::DieAfter(n) if done > n => Err(died()),
            Fault::Stumble if self.reads.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) => {
                Err(stumbled())
            }
            _ => Ok(()),
        }
    }
}

fn died() -> Error {
    Error::new(Kind::Disk, "go on").why("the process died here (injected fault)")
}

fn stumbled() -> Error {
    Error::new(Kind::Connect, "get an answer")
        .why("the connection broke (injected fault)")
        .transient()
}

impl Backend for Faulty {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        self.alive()?;
        if self.fault == Fault::CutList(kind) {
            return Err(Error::new(Kind::Connect, format!("list {}", kind.folder()))
                .why("the listing was cut off"));
        }
        let mut listed = self.inner.list(kind)?;
        if self.fault == Fault::ShortList(kind) {
            listed.pop();
        }
        Ok(listed)
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        self.alive()?;
        if let Some(kind) = kinds.iter().find(|kind| self.fault == Fault::CutList(**kind)) {
            return Err(Error::new(Kind::Connect, format!("list {}", kind.folder()))
                .why("the listing was cut off"));
        }
        self.inner.list_together(kinds)
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        self.alive()?;
        if self.fault == Fault::NoRead(name.kind) {
            return Err(Error::new(Kind::Disk, format!("read {name}")).why("Input/output error"));
        }
        self.inner.read(name, range)
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        self.alive()?;
        if self.fault == Fault::NoRead(name.kind) {
            return Err(Error::new(Kind::Disk, format!("read {name}")).why("Input/output error"));
        }
        self.inner.read_whole(name, most)
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.alive()?;
        self.inner.size(name)
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        self.alive()?;
        self.inner.sizes(names)
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        self.mutate(true, || self.inner.create(name, bytes))
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        self.mutate(false, || self.inner.remove(name))
    }

    fn leftovers(&self, before: i64, task: Leftovers) -> Result<(u64, u64)> {
        self.alive()?;
        self.inner.leftovers(before, task)
    }

    fn properties(&self) -> Properties {
        self.inner.properties()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
