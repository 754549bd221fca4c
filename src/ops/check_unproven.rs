// SPDX-License-Identifier: MIT
//! Where there are write-only keys: whether what only those say who can add is what the packs say
//! of themselves. A part of the check.

use super::check::{CheckReport, Listed, Severity};
use crate::backend::{FileKind, FileName};
use crate::base::monitor::check_cancelled;
use crate::base::{Kind, Monitor, Result};
use crate::repo::{Repository, pack_entry};

/// Compares what only those say who can add with what the packs say of themselves.
pub(super) fn check_unproven(
    repository: &Repository,
    listed: &Listed,
    report: &mut CheckReport,
    monitor: &dyn Monitor,
) -> Result<()> {
    if repository.keys().is_write_only() {
        return Ok(());
    }
    for id in &listed.disputed {
        let why = "those who can only add say different things of it, and it says nothing itself";
        report.add(Severity::Damaged, FileName::new(FileKind::Pack, *id).to_string(), why);
    }
    for head in &listed.unproven {
        check_cancelled(monitor)?;
        let name = FileName::new(FileKind::Pack, head.id);
        match pack_entry(repository, &name, head.size) {
            Ok(entry) if entry == listed.list.entry(head)? => {}
            Ok(_) => {
                let why = "the index says something else of the pack than its own end";
                report.add(Severity::Damaged, name.to_string(), why);
            }
            // One that is not there is found by whoever compares the index with the store.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => report.take(&name.to_string(), error)?,
        }
    }
    Ok(())
}
