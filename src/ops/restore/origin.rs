// SPDX-License-Identifier: MIT
//! Restoring to where it came from: the folder itself and those that lead to it are part of what
//! was backed up, so they come back with their owner, mode and time where they are gone.

use super::folder::to_folder;
use super::{Overwrite, RestoreOptions, RestoreReport, find_node};
use crate::base::{Monitor, RelPath, Result};
use crate::format::tree::Meta;
use crate::format::{Node, Snapshot};
use crate::repo::{IndexedRepository, Reader};
use crate::tree::dir::Target;
use crate::tree::select::Verdict;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Restores what lies at `base` in the snapshot to the same path below `top`, which is `/` but in
/// tests. As [`to_folder`] otherwise.
pub fn to_origin(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    base: &RelPath,
    options: &RestoreOptions,
    top: &Path,
    monitor: &dyn Monitor,
) -> Result<RestoreReport> {
    let reader = Reader::new(repository);
    let node = find_node(&reader, snapshot, base)?;
    let folder = if node.is_folder() { base.clone() } else { base.parent().unwrap_or_default() };
    let made = if options.dry_run {
        Vec::new()
    } else {
        make_missing(&reader, snapshot, &folder, top, options)?
    };
    let target = below(top, &folder);
    let mut report = to_folder(repository, snapshot, base, options, &target, monitor)?;
    let mut attributes = Vec::new();
    let is_made = made.iter().any(|one| one.path == folder);
    let is_meant = options.selection.verdict(&RelPath::root(), true) == Verdict::Take;
    let stays = options.dry_run || options.overwrite == Overwrite::Never || folder.is_root();
    if node.is_folder() && is_meant && !is_made && !stays {
        match Attributes::of(&folder, node, top, options) {
            Ok(one) => attributes.push(one),
            Err(error) => {
                monitor.warn(error);
                report.warnings += 1;
            }
        }
    }
    attributes.extend(made.into_iter().rev());
    for one in attributes {
        if let Err(error) = one.target.finish_folder(&one.name, &one.meta, one.identity) {
            monitor.warn(error);
            report.warnings += 1;
        }
    }
    Ok(report)
}

/// A folder whose attributes are set when all in it is done.
struct Attributes {
    path: RelPath,
    /// The folder above it.
    target: Target,
    name: RelPath,
    meta: Meta,
    identity: (u64, u64),
}

impl Attributes {
    /// Of a folder that is there.
    fn of(path: &RelPath, node: Node, top: &Path, options: &RestoreOptions) -> Result<Self> {
        let above = path.parent().unwrap_or_default();
        let target = Target::open(&below(top, &above), options.owners)?;
        let name = RelPath::root().join(path.name().unwrap_or_default())?;
        let identity = target.identity(&name)?;
        Ok(Self { path: path.clone(), target, name, meta: node.meta, identity })
    }
}

/// Makes the folders that are gone, from the top.
fn make_missing(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    folder: &RelPath,
    top: &Path,
    options: &RestoreOptions,
) -> Result<Vec<Attributes>> {
    let mut missing = Vec::new();
    let mut at = Some(folder.clone());
    while let Some(path) = at.filter(|path| !path.is_root() && !below(top, path).exists()) {
        at = path.parent();
        missing.push(path);
    }
    let mut made = Vec::new();
    for path in missing.into_iter().rev() {
        let node = find_node(reader, snapshot, &path)?;
        let above = path.parent().unwrap_or_default();
        let target = Target::open(&below(top, &above), options.owners)?;
        target.make_folder(&RelPath::root().join(path.name().unwrap_or_default())?)?;
        made.push(Attributes::of(&path, node, top, options)?);
    }
    Ok(made)
}

fn below(top: &Path, path: &RelPath) -> PathBuf {
    top.join(OsStr::from_bytes(path.as_bytes()))
}
