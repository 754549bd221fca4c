// SPDX-License-Identifier: MIT
//! A repository with its index: for whoever looks, reads for long, judges, or writes.

use super::fence::Relied;
use super::fresh::Fresh;
use super::locks::Held;
use super::{Index, IndexedRepository, Repository};
use crate::backend::FileKind;
use crate::base::{Monitor, Result, Timestamp};
use std::sync::Arc;
use std::time::Duration;

impl Repository {
    /// Loads the index.
    pub fn indexed(self, monitor: &dyn Monitor) -> Result<IndexedRepository> {
        self.indexed_under(None, monitor)
    }

    /// Loads what can be read of the index, for somebody who looks and changes nothing.
    pub fn indexed_to_look(self, monitor: &dyn Monitor) -> Result<IndexedRepository> {
        let loaded = (self.world.ticks(), self.world.now());
        let index = Index::load_to_look(&self, monitor)?;
        Ok(self.with_index(index, loaded, None))
    }

    /// Loads the index for a run that will write: notes first that there is one, and leaves out
    /// packs that are lost.
    pub fn indexed_to_write(self, work: &str, monitor: &dyn Monitor) -> Result<IndexedRepository> {
        let held = self.lock(work)?;
        self.foresee(&[FileKind::Index, FileKind::Pack, FileKind::Snapshot])?;
        let mut repository = self.indexed_under(held.map(Arc::new), monitor)?;
        repository.leave_out_lost_packs(monitor)?;
        Ok(repository)
    }

    /// Loads what can be read of the index, for a run that reads for long: notes it, where that can
    /// be done, so that nothing is removed at once under its hands.
    pub fn indexed_to_read(self, work: &str, monitor: &dyn Monitor) -> Result<IndexedRepository> {
        // Who may not write there, or has no room, reads all the same.
        let held = self.lock(work).ok().flatten();
        let loaded = (self.world.ticks(), self.world.now());
        let index = Index::load_to_look(&self, monitor)?;
        Ok(self.with_index(index, loaded, held.map(Arc::new)))
    }

    /// Loads all of the index, for a run that reads for long and judges what is stored.
    pub fn indexed_to_judge(self, work: &str, monitor: &dyn Monitor) -> Result<IndexedRepository> {
        let held = self.lock(work).ok().flatten();
        self.indexed_under(held.map(Arc::new), monitor)
    }

    /// Loads the index under a lock that was taken before.
    pub fn indexed_under(
        self,
        lock: Option<Arc<Held>>,
        monitor: &dyn Monitor,
    ) -> Result<IndexedRepository> {
        let loaded = (self.world.ticks(), self.world.now());
        let index = Index::load(&self, monitor)?;
        Ok(self.with_index(index, loaded, lock))
    }

    fn with_index(
        self,
        index: Index,
        loaded: (Duration, Timestamp),
        lock: Option<Arc<Held>>,
    ) -> IndexedRepository {
        let fresh = Arc::new(Fresh::new(&self, index.packs().len()));
        let relied = Relied::new(&index);
        IndexedRepository { repository: self, index, fresh, relied, loaded, lock }
    }
}

impl IndexedRepository {
    /// The same repository with what can be read of its index as it is now, for somebody who looks.
    pub fn again_to_look(&self, monitor: &dyn Monitor) -> Result<Self> {
        let closed = self.closed();
        let loaded = (closed.world.ticks(), closed.world.now());
        let index = Index::load_to_look(&closed, monitor)?;
        Ok(closed.with_index(index, loaded, self.lock.clone()))
    }
}
