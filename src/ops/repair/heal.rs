// SPDX-License-Identifier: MIT
//! Takes what is lost here from another repository: one that snapshots were copied from or to, or
//! a copy of this one's files.

use super::losses::{Affected, affected, is_loss, snapshot_names};
use crate::base::monitor::{Scoped, Stage, check_cancelled};
use crate::base::{Counter, Error, Kind, Monitor, Result, Within};
use crate::format::Snapshot;
use crate::format::snapshot::Origin;
use crate::ops::copy::{copy_content, identity};
use crate::repo::{IndexedRepository, WriterOptions};
use std::collections::HashMap;

/// Whether the other's files are copies of ours, byte for byte.
pub fn is_twin(ours: &IndexedRepository, other: &IndexedRepository) -> bool {
    ours.config().repository_id == other.config().repository_id
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
    let listed = snapshot_names(ours)?;
    ours.reload(monitor)?;
    let broken = affected(ours, &listed, monitor)?;
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
    let size = (Counter::BytesSource, copy.totals.bytes);
    monitor.stage(Stage::Step { name: "copying", total: Some(size) });
    let own = broken.snapshot.as_ref().map(|snapshot| (broken.id, snapshot.clone()));
    let lent = own.as_ref().map(|own| (copy, own));
    let (tree, _) = copy_content(other, ours, copy, lent, options, monitor).within(what)?;
    ours.look_for_index().within(what)?;
    if let Some(own) = &broken.snapshot {
        if own.tree != tree {
            // Somebody else may have written there. What is ours by its name is back; the rest is
            // not taken on another's word.
            monitor.warn(
                Error::new(Kind::Partial, what())
                    .why("its copy holds something else, or an older version put it together"),
            );
        }
        return Ok(());
    }
    if ours.backend().properties().append_only {
        return Err(append_only().within(what()));
    }
    let pins = "its pin and its tags are those of the copy";
    monitor.warn(Error::new(Kind::Partial, what()).why(format!("its record was lost: {pins}")));
    let healed = Snapshot { tree, origin: Some(origin), ..copy.clone() };
    ours.commit(&healed).within(|| "store the snapshot").within(what)?;
    ours.remove_snapshot(&broken.id).within(|| "remove the damaged record").within(what)
}

/// Nothing can take the place of something else there.
pub fn append_only() -> Error {
    Error::new(Kind::Forbidden, "store a snapshot in the place of another")
        .why("the store is append-only: nothing in it can be removed")
        .hint("do it with a key that may delete, from a machine that others cannot reach")
}
