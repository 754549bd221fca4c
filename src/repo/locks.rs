// SPDX-License-Identifier: MIT
//! Notes in the repository of who is writing into it. No one waits for them and no backup needs
//! one: whoever could not leave a note looks more closely before it relies on what others stored
//! (`fence.rs`). A process that was killed leaves its note; on the same machine it is known to be
//! dead, elsewhere it stops to count with its age.

use super::Repository;
use crate::backend::{Backend, FileKind, FileName};
use crate::base::{Error, FileId, Kind, Monitor, Result, World, limits};
use crate::format::lock::Lock;
use crate::format::{Header, RecordKind, envelope, pack};
use std::sync::Arc;

/// A note of ours; it goes when this is dropped.
pub struct Held {
    backend: Arc<dyn Backend>,
    name: FileName,
}

impl Held {
    /// Its name, so that nobody takes itself for somebody else.
    pub fn id(&self) -> FileId {
        self.name.id
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What stays behind is known to be dead when this process has ended.
        drop(self.backend.remove(&self.name));
    }
}

/// Whether the holder of a lock may still be writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// It runs, on this machine.
    Runs,
    /// It is on another machine and may run.
    MayRun,
    /// It ended without saying so.
    Dead,
}

impl Holder {
    /// The word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::MayRun => "unknown",
            Self::Dead => "dead",
        }
    }
}

/// A lock that is in the repository.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name.
    pub id: FileId,
    /// Who left it; `None` if it cannot be read.
    pub lock: Option<Lock>,
    /// Whether that one may still be writing.
    pub holder: Holder,
}

impl Repository {
    /// Notes that this process writes now. `None` where a note could never be taken back.
    pub fn lock(&self, work: &str) -> Result<Option<Held>> {
        if self.backend.properties().append_only {
            return Ok(None);
        }
        let lock = Lock {
            work: work.to_owned(),
            host: self.world.host(),
            process: self.world.process(),
            time: self.world.now(),
        };
        let salt = self.world.random_32_for("lock")?;
        let header = Header::new(RecordKind::Lock, salt);
        let stored = envelope::seal_with_features(&self.keys, header, &lock.encode())?;
        let name = FileName::new(FileKind::Lock, pack::file_id(&stored));
        self.backend.create(&name, &stored)?;
        Ok(Some(Held { backend: Arc::clone(&self.backend), name }))
    }

    /// All locks, oldest first; those that cannot be read at the end.
    pub fn locks(&self) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for (name, _) in self.backend.list(FileKind::Lock)? {
            let lock =
                self.load_record(RecordKind::Lock, &name.id).and_then(|plain| Lock::decode(&plain));
            match lock {
                Ok(lock) => {
                    let holder = holder(&lock, &self.world);
                    found.push(Found { id: name.id, lock: Some(lock), holder });
                }
                Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Newer) => {
                    found.push(Found { id: name.id, lock: None, holder: Holder::MayRun });
                }
                // Its holder took it back since the listing.
                Err(error)
                    if error.kind() == Kind::NotFound && self.backend.size(&name)?.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        let age = |one: &Found| one.lock.as_ref().map_or(i64::MAX, |lock| lock.time.seconds);
        found.sort_by_key(|one| (age(one), one.id));
        Ok(found)
    }

    /// Removes what dead processes left; returns the others that may be writing, without `own`.
    pub fn others_at_work(&self, own: Option<FileId>, monitor: &dyn Monitor) -> Result<Vec<Found>> {
        let mut others = self.locks()?;
        others.retain(|one| Some(one.id) != own);
        for dead in others.iter().filter(|one| one.holder == Holder::Dead) {
            if let Err(error) = self.remove_lock(&dead.id) {
                monitor.warn(error.within("remove the lock of a process that has ended"));
            }
        }
        others.retain(|one| one.holder != Holder::Dead);
        Ok(others)
    }

    /// Removes a lock.
    pub fn remove_lock(&self, id: &FileId) -> Result<()> {
        self.backend.remove(&FileName::new(FileKind::Lock, *id))
    }
}

fn holder(lock: &Lock, world: &World) -> Holder {
    match world.runs(&lock.process) {
        Some(true) => Holder::Runs,
        Some(false) => Holder::Dead,
        None => {
            let age = world.now().seconds.saturating_sub(lock.time.seconds);
            if age > limits::LOCK_SECONDS { Holder::Dead } else { Holder::MayRun }
        }
    }
}

/// "Somebody else is writing": what, on which machine, since when.
pub fn in_use(what: &str, others: &[Found]) -> Error {
    let who = others.iter().take(3).map(|one| match &one.lock {
        Some(lock) => format!(
            "a {} on {} (process {}) since {}",
            lock.work,
            lock.host,
            lock.process.id,
            lock.time.rfc3339()
        ),
        None => format!("somebody whose lock {} cannot be read", one.id.short()),
    });
    let who = who.collect::<Vec<_>>().join("; ");
    Error::new(Kind::InUse, what).why(who).hint(
        "wait for it to end; if you know that it has, 'ghostsnap unlock --all' removes what it left",
    )
}
