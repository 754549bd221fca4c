// SPDX-License-Identifier: MIT
//! Takes what is lost here from another repository: one that snapshots were copied from or to, or
//! a copy of this one's files.

use super::losses::{Affected, affected, is_loss};
use crate::backend::{FileKind, FileName, read_all};
use crate::base::monitor::{Scoped, Stage, check_cancelled};
use crate::base::{Counter, Error, FileId, Kind, Monitor, Result, Within};
use crate::format::Snapshot;
use crate::format::pack::file_id;
use crate::format::snapshot::Origin;
use crate::ops::copy::{copy_content, identity};
use crate::repo::{IndexedRepository, WriterOptions};
use std::collections::HashMap;

/// Whether the other's files are copies of ours, byte for byte.
pub fn is_twin(ours: &IndexedRepository, other: &IndexedRepository) -> bool {
    ours.config().repository_id == other.config().repository_id
}

/// Puts a file of the repository back as it is in its twin, if it is whole there.
pub fn replace_file(
    ours: &IndexedRepository,
    twin: &IndexedRepository,
    name: &FileName,
    dry_run: bool,
    monitor: &dyn Monitor,
) -> Result<bool> {
    let bytes = match read_all(twin.backend().as_ref(), name) {
        Ok(bytes) if file_id(&bytes) == name.id => bytes,
        Ok(_) => {
            let error = Error::new(Kind::Damaged, format!("take {name} from the other repository"));
            monitor.warn(error.why("it is damaged there, too"));
            return Ok(false);
        }
        Err(error) if is_loss(&error) => return Ok(false),
        Err(error) => return Err(error.within("read the other repository")),
    };
    if !dry_run {
        ours.backend().remove(name)?;
        ours.backend().create(name, &bytes)?;
    }
    Ok(true)
}

/// Stores again what snapshots here have lost and their copies over there still have. Returns the
/// bytes that were taken over.
///
/// A snapshot and its copy hold the same, chunk for chunk. So what is lost gets the same names
/// again when it is copied back, and the snapshot that needs it is whole without being touched.
pub fn from_copy(
    ours: &mut IndexedRepository,
    other: &IndexedRepository,
    options: WriterOptions,
    monitor: &dyn Monitor,
) -> Result<u64> {
    let broken = affected(ours, monitor)?;
    if broken.is_empty() {
        return Ok(0);
    }
    let theirs: HashMap<Origin, Snapshot> = other
        .readable_snapshots(monitor)?
        .into_iter()
        .map(|(id, snapshot)| (identity(other, &id, &snapshot), snapshot))
        .collect();
    let monitor = &Scoped::new(monitor);
    let total = broken.len();
    for (at, one) in broken.into_iter().enumerate() {
        check_cancelled(monitor)?;
        monitor.stage(Stage::Object(format!("snapshot {} of {total}: {}", at + 1, one.id)));
        let origin = match &one.snapshot {
            Some(snapshot) => identity(ours, &one.id, snapshot),
            None => Origin { repository: ours.config().repository_id, snapshot: one.id },
        };
        let Some(copy) = theirs.get(&origin) else {
            let what = format!("heal snapshot {}", one.id);
            monitor.warn(
                Error::new(Kind::NotFound, what).why("the other repository has no copy of it"),
            );
            continue;
        };
        match heal(ours, other, &one, (copy, origin), options, monitor) {
            Ok(()) => ours.reload(monitor)?,
            Err(error) if is_loss(&error) || error.kind() == Kind::Newer => monitor.warn(error),
            Err(error) => return Err(error),
        }
    }
    Ok(monitor.counts.get(Counter::BytesNew))
}

fn heal(
    ours: &IndexedRepository,
    other: &IndexedRepository,
    broken: &Affected,
    (copy, origin): (&Snapshot, Origin),
    options: WriterOptions,
    monitor: &dyn Monitor,
) -> Result<()> {
    let what = || format!("heal snapshot {}", broken.id);
    // It lends itself: what is still here of it is not even read over there.
    let own = broken.snapshot.as_ref().map(|snapshot| (broken.id, snapshot.clone()));
    let lent = own.as_ref().map(|own| (copy, own));
    let (tree, _) = copy_content(other, ours, copy, lent, options, monitor).within(what)?;
    let like = broken.snapshot.as_ref().unwrap_or(copy);
    if broken.snapshot.is_some() && like.tree == tree {
        return Ok(());
    }
    // Its record is lost, or an older program put the trees together in another way.
    let healed = Snapshot { tree, origin: Some(origin), ..like.clone() };
    replace(ours, &broken.id, &healed).within(what)
}

/// Stores a snapshot in the place of another.
pub fn replace(repository: &IndexedRepository, old: &FileId, new: &Snapshot) -> Result<()> {
    repository.commit(new).within(|| "store the snapshot")?;
    let old = FileName::new(FileKind::Snapshot, *old);
    repository.backend().remove(&old).within(|| "remove what it was before")
}
