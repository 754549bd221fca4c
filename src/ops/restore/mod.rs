// SPDX-License-Identifier: MIT
//! From a snapshot back to files: into a folder (planned, in the order of the packs, by several
//! workers) or entry by entry into a sink such as a tarball.

mod deputy;
mod fetch;
mod folder;
mod origin;
mod plan;
mod sink;

pub use deputy::{Change, Done, Place, Report, Rules, Undoes, by_deputy};
pub use folder::to_folder;
pub use origin::to_origin;
pub(super) use plan::places;
pub use sink::{FileReader, to_sink};

use crate::base::monitor::Counts;
use crate::base::{Error, Kind, RelPath, Result, Timestamp};
use crate::format::tree::Meta;
use crate::format::{Node, NodeKind, Snapshot};
use crate::repo::Reader;
use crate::tree::Selection;
use crate::tree::dir::{Existing, OwnerPolicy};

/// What happens to a file that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// It becomes what the snapshot has; only parts that differ are written.
    #[default]
    Always,
    /// The same, but a file of the right size and time is taken to be right.
    IfChanged,
    /// Only if the snapshot's is newer.
    IfNewer,
    /// It is left alone.
    Never,
}

impl Overwrite {
    /// Whether what is there may become what the snapshot has.
    pub fn allows(self, existing: &Existing, wanted: &Meta) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::IfNewer => wanted.mtime > existing.mtime,
            Self::IfChanged => {
                existing.kind != NodeKind::File
                    || existing.size != wanted.size
                    || !same_time(existing.mtime, wanted.mtime)
            }
        }
    }
}

/// Some file systems keep times to the second only.
fn same_time(a: Timestamp, b: Timestamp) -> bool {
    a == b || (a.seconds == b.seconds && (a.nanos == 0 || b.nanos == 0))
}

/// How a restore into a folder is done.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Which entries, by their path below `base`.
    pub selection: Selection,
    /// What happens to files that exist.
    pub overwrite: Overwrite,
    /// Remove what the snapshot's folders do not hold.
    pub delete: bool,
    /// Change nothing; count what would change.
    pub dry_run: bool,
    /// Read every restored file back and compare it with the snapshot.
    pub verify: bool,
    /// Whose the files will be.
    pub owners: OwnerPolicy,
    /// Worker threads; 0 means as many as the machine has room for.
    pub workers: usize,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            selection: Selection::all(),
            overwrite: Overwrite::Always,
            delete: false,
            dry_run: false,
            verify: false,
            owners: OwnerPolicy::Named,
            workers: 0,
        }
    }
}

/// What a restore did.
#[derive(Debug)]
pub struct RestoreReport {
    /// All that was counted.
    pub counts: Counts,
    /// Things that could not be restored; more than 0 makes the result partial.
    pub warnings: u64,
}

/// Finds an entry of a snapshot by its path; the root is an empty folder node with the root's tree.
pub fn find_node(reader: &Reader<'_>, snapshot: &Snapshot, path: &RelPath) -> Result<Node> {
    let root = Meta { kind: NodeKind::Folder, mode: 0o755, ..Meta::default() };
    let mut node = Node { meta: root, chunks: snapshot.tree.clone(), ..Node::default() };
    for name in path.names() {
        let missing = || {
            Error::new(Kind::NotFound, format!("find {path} in the snapshot"))
                .why("the snapshot has no such file or folder")
        };
        if !node.is_folder() {
            return Err(missing());
        }
        let nodes = reader.tree(&node.chunks)?;
        node = nodes.into_iter().find(|one| one.name == name).ok_or_else(missing)?;
    }
    Ok(node)
}
