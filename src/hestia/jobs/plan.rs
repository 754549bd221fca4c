// SPDX-License-Identifier: MIT
//! What a restore in place would make, overwrite and remove: the snapshot's tree beside what is
//! there. Reads no content and changes nothing; a file of the same size and time counts as right,
//! so a restore, which compares content, may overwrite more.

use crate::base::monitor::check_cancelled;
use crate::base::path::display_bytes;
use crate::base::{ChunkId, Kind, Monitor, RelPath, Result, Within, limits};
use crate::format::snapshot::Object;
use crate::format::{Node, NodeKind, Snapshot};
use crate::ops::restore::find_node;
use crate::repo::{IndexedRepository, Reader};
use crate::tree::dir::{Existing, OwnerPolicy, Target};
use std::collections::HashSet;
use std::path::Path;

/// What would happen to one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is not there and would be made.
    Create,
    /// It is there, and would become what the snapshot has.
    Overwrite,
    /// The snapshot lacks it, and it would go.
    Remove,
}

impl Action {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Overwrite => "overwrite",
            Self::Remove => "remove",
        }
    }
}

/// What would happen to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Which.
    pub object: Object,
    /// Its name here, which may be another one than in the snapshot.
    pub here: String,
    /// Whether it is there at all.
    pub exists: bool,
    /// Entries that would be made.
    pub created: u64,
    /// Entries that would be overwritten.
    pub overwritten: u64,
    /// Entries that would be removed.
    pub removed: u64,
    /// Entries that are right already.
    pub unchanged: u64,
    /// Bytes that it would take up beyond what it takes now; a larger file needs room for both
    /// itself and the one it replaces.
    pub growth: u64,
    /// The first entries that would change, by their path in the object.
    pub paths: Vec<(Action, String)>,
}

impl Plan {
    /// The plan for an object of which nothing is known yet.
    pub fn new(object: Object, exists: bool) -> Self {
        let (created, overwritten, removed, unchanged, growth) = (0, 0, 0, 0, 0);
        let (paths, here) = (Vec::new(), object.name.clone());
        Self { object, here, exists, created, overwritten, removed, unchanged, growth, paths }
    }

    fn note(&mut self, action: Action, path: &RelPath) {
        self.add(action, &display_bytes(path.as_bytes()));
    }

    /// Adds something that would happen to it.
    pub fn add(&mut self, action: Action, path: &str) {
        let count = match action {
            Action::Create => &mut self.created,
            Action::Overwrite => &mut self.overwritten,
            Action::Remove => &mut self.removed,
        };
        *count += 1;
        if self.paths.len() < limits::PLANNED_PATHS_MAX {
            self.paths.push((action, path.to_owned()));
        }
    }
}

/// Where the content of an object lies in the tree and on the disk.
pub struct Place<'p> {
    /// In the snapshot.
    pub base: RelPath,
    /// Below this folder, which may be missing.
    pub root: &'p Path,
    /// And there.
    pub target: RelPath,
    /// Whether a path of it is restored at all.
    pub takes: &'p dyn Fn(&RelPath) -> bool,
    /// Whether an entry that the snapshot lacks would go.
    pub removes: &'p dyn Fn(&RelPath) -> bool,
}

/// Compares an object's content with what is there and adds it to a plan.
pub fn compare(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    place: &Place<'_>,
    plan: &mut Plan,
    monitor: &dyn Monitor,
) -> Result<()> {
    let reader = Reader::new(repository);
    let node = match find_node(&reader, snapshot, &place.base) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        node => node?,
    };
    let live = if place.root.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        Some(Target::open(place.root, OwnerPolicy::Keep)?)
    } else {
        None
    };
    let links = HashSet::new();
    let mut walk = Walk { reader: &reader, live, place, plan, links, monitor };
    if node.is_folder() {
        walk.folder(&node.chunks, &RelPath::root(), 0)
    } else {
        walk.entry(&node, &RelPath::root())
    }
}

struct Walk<'w> {
    reader: &'w Reader<'w>,
    live: Option<Target>,
    place: &'w Place<'w>,
    plan: &'w mut Plan,
    /// Files of several names that were met.
    links: HashSet<(u64, u64)>,
    monitor: &'w dyn Monitor,
}

impl Walk<'_> {
    fn folder(&mut self, chunks: &[ChunkId], path: &RelPath, depth: usize) -> Result<()> {
        check_cancelled(self.monitor)?;
        if depth > limits::TREE_DEPTH_MAX {
            return Ok(());
        }
        let nodes = self.reader.tree(chunks).within(|| format!("read the folder {path}"))?;
        for node in &nodes {
            let below = path.join(&node.name)?;
            if (self.place.takes)(&below) {
                self.entry(node, &below)?;
                if node.is_folder() {
                    self.folder(&node.chunks, &below, depth + 1)?;
                }
            }
        }
        for name in self.live_names(path)? {
            let below = path.join(&name)?;
            let is_known = nodes.binary_search_by(|node| node.name.cmp(&name)).is_ok();
            if !is_known && (self.place.removes)(&below) {
                self.plan.note(Action::Remove, &below);
            }
        }
        Ok(())
    }

    fn entry(&mut self, node: &Node, path: &RelPath) -> Result<()> {
        let existing = self.look(path)?;
        // Other names of a file take no room.
        let is_new = node.meta.hard_link().is_none_or(|key| self.links.insert(key));
        let is_file = node.meta.kind == NodeKind::File;
        let size = if is_file && is_new { node.data_bytes() } else { 0 };
        match existing {
            None => {
                self.plan.growth = self.plan.growth.saturating_add(size);
                self.plan.note(Action::Create, path);
            }
            Some(existing) if is_right(&existing, node) => self.plan.unchanged += 1,
            Some(existing) => {
                let old = if existing.kind == NodeKind::File { existing.size } else { 0 };
                self.plan.growth = self.plan.growth.saturating_add(size.saturating_sub(old));
                self.plan.note(Action::Overwrite, path);
            }
        }
        Ok(())
    }

    fn on_disk(&self, path: &RelPath) -> Result<RelPath> {
        path.names().try_fold(self.place.target.clone(), |above, name| above.join(name))
    }

    /// What lies behind a link or a file in place of a folder is not there.
    fn look(&self, path: &RelPath) -> Result<Option<Existing>> {
        let Some(live) = &self.live else { return Ok(None) };
        match live.look(&self.on_disk(path)?) {
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => Ok(None),
            found => found,
        }
    }

    fn live_names(&self, path: &RelPath) -> Result<Vec<Vec<u8>>> {
        let Some(live) = &self.live else { return Ok(Vec::new()) };
        match live.names(&self.on_disk(path)?) {
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => {
                Ok(Vec::new())
            }
            names => names,
        }
    }
}

fn is_right(existing: &Existing, node: &Node) -> bool {
    let same_kind = existing.kind == node.meta.kind;
    let is_file = node.meta.kind == NodeKind::File;
    same_kind
        && (!is_file
            || (existing.size == node.meta.size
                && existing.mtime.seconds == node.meta.mtime.seconds))
}
