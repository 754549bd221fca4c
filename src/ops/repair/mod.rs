// SPDX-License-Identifier: MIT
//! Mends a damaged repository: first the index, then the packs, then the snapshots. What is not
//! understood because a newer program wrote it is never touched, and nothing goes before what takes
//! its place is stored.

mod heal;
mod index;
mod losses;
mod packs;
mod snapshots;

pub use index::rebuild_index;
pub use losses::{Affected, Loss, LossKind, affected};
pub use packs::{PackFate, PackOptions, PackRepair, PacksReport, repair_packs};
pub use snapshots::{Repaired, SnapshotFate, SnapshotOptions, repair_snapshots, survey};

use crate::base::{Kind, Monitor, Result};
use crate::repo::Repository;
use crate::repo::locks::{Held, in_use};

/// Notes that a repair is going on. A prune may not act meanwhile on what is being changed here, so
/// none may be under way; one that starts later sees the lock. Without room for it, it goes on.
fn alone(repository: &Repository, what: &str, monitor: &dyn Monitor) -> Result<Option<Held>> {
    let held = match repository.lock("repair") {
        Err(error) if error.kind() == Kind::Disk => None,
        held => held?,
    };
    let mut others = repository.others_at_work(held.as_ref().map(Held::id), monitor)?;
    others.retain(|one| {
        one.lock.as_ref().is_none_or(|lock| lock.work == "prune" || lock.work == "repair")
    });
    if others.is_empty() { Ok(held) } else { Err(in_use(what, &others)) }
}
