// SPDX-License-Identifier: MIT
//! Pins a snapshot, so that no policy drops it, or takes the pin off. A snapshot never changes: it
//! is stored anew, and the one before goes after that. So it has another id then.

use super::copy::identity;
use crate::backend::{FileKind, FileName};
use crate::base::{Error, FileId, Kind, Result, Within};
use crate::format::Snapshot;
use crate::repo::IndexedRepository;

/// Pins or unpins; returns the snapshot's id from now on.
pub fn pin(
    repository: &IndexedRepository,
    (id, snapshot): (&FileId, &Snapshot),
    pinned: bool,
) -> Result<FileId> {
    if snapshot.pinned == pinned {
        return Ok(*id);
    }
    replace(repository, (id, snapshot), Snapshot { pinned, ..snapshot.clone() })
}

/// Stores a snapshot anew with something else said of it; returns its id from now on.
pub(super) fn replace(
    repository: &IndexedRepository,
    (id, snapshot): (&FileId, &Snapshot),
    changed: Snapshot,
) -> Result<FileId> {
    repository.refuse_write_only("change a snapshot")?;
    if repository.backend().properties().append_only {
        return Err(Error::new(Kind::Forbidden, format!("change snapshot {}", id.short()))
            .why("the store is append-only: the one before could not be removed")
            .hint("do it with a key that may delete, from a machine that others cannot reach"));
    }
    // Copies elsewhere know it by what it was first.
    let origin = Some(identity(repository, id, snapshot));
    let changed = Snapshot { origin, ..changed };
    let new = repository.commit(&changed).within(|| "store the snapshot")?;
    let name = FileName::new(FileKind::Snapshot, *id);
    if repository.backend().size(&name)?.is_none() {
        // Nothing has kept what it needs since then.
        repository.remove_snapshot(&new)?;
        return Err(Error::new(Kind::NotFound, format!("find snapshot {}", id.short()))
            .why("it was dropped meanwhile"));
    }
    let before = repository.remove_snapshots([(*id, Some(snapshot))]);
    before.within(|| "remove what it was before")?;
    Ok(new)
}
