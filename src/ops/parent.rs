// SPDX-License-Identifier: MIT
//! The parent snapshot of a backup, walked alongside the source. It is a help, not a need: what of
//! it cannot be read is read from the source instead.

use super::backup::{BackupOptions, Parent};
use super::rows::Known;
use crate::base::{ChunkId, FileId, Monitor, Result};
use crate::format::{Node, Snapshot};
use crate::repo::{IndexedRepository, Reader, Writer};

/// The snapshot that unchanged files are taken over from.
pub fn parent_of(
    repository: &IndexedRepository,
    options: &BackupOptions,
    monitor: &dyn Monitor,
) -> Result<Option<(FileId, Snapshot)>> {
    match options.parent {
        Parent::None => Ok(None),
        Parent::Id(id) => repository.snapshot(&id).map(|snapshot| Some((id, snapshot))),
        Parent::Auto => {
            let template = &options.template;
            let mut all = repository.readable_snapshots(monitor)?;
            let place = all.iter().rposition(|(_, one)| is_parent(one, template));
            Ok(place.map(|place| all.swap_remove(place)))
        }
    }
}

/// A Hestia user's snapshots are of one shape, however they were made; plain paths must agree.
fn is_parent(one: &Snapshot, new: &Snapshot) -> bool {
    if new.user.is_empty() {
        one.user.is_empty()
            && one.host == new.host
            && one.paths == new.paths
            && one.source == new.source
    } else {
        one.user == new.user
    }
}

/// The parent's folder beside the one being stored, for every open folder.
pub struct ParentTree<'r> {
    reader: Reader<'r>,
    root: Option<Vec<ChunkId>>,
    stack: Vec<Option<Vec<Node>>>,
}

/// What the assembler needs to know of the parent's version of a folder.
#[derive(Debug, Clone)]
pub struct ParentFolder {
    /// Its node; the root has none of use.
    pub node: Option<Node>,
    /// The chunks of its tree.
    pub chunks: Vec<ChunkId>,
    /// How many entries it had.
    pub entries: usize,
}

impl<'r> ParentTree<'r> {
    /// Beside the root of a parent, or beside nothing.
    pub fn new(repository: &'r IndexedRepository, root: Option<&[ChunkId]>) -> Self {
        Self {
            reader: Reader::new(repository),
            root: root.map(<[ChunkId]>::to_vec),
            stack: Vec::new(),
        }
    }

    /// Goes into the root.
    pub fn enter_root(&mut self) -> Option<ParentFolder> {
        let chunks = self.root.take()?;
        let nodes = self.reader.tree(&chunks).ok();
        let entries = nodes.as_ref().map(Vec::len);
        self.stack.push(nodes);
        entries.map(|entries| ParentFolder { node: None, chunks, entries })
    }

    /// Goes into the folder of this name, which the parent may not have.
    pub fn enter(&mut self, name: &[u8], _monitor: &dyn Monitor) -> Option<ParentFolder> {
        let node = self.find(name).filter(|node| node.is_folder()).cloned();
        let Some(node) = node else {
            self.stack.push(None);
            return None;
        };
        // A parent that cannot be read costs time, not correctness: the folder is read afresh.
        let nodes = self.reader.tree(&node.chunks).ok();
        let entries = nodes.as_ref().map(Vec::len);
        self.stack.push(nodes);
        let chunks = node.chunks.clone();
        entries.map(|entries| ParentFolder { node: Some(node), chunks, entries })
    }

    /// Leaves the folder.
    pub fn leave(&mut self) {
        self.stack.pop();
    }

    /// The parent's entry of this name in the current folder.
    pub fn find(&self, name: &[u8]) -> Option<&Node> {
        let nodes = self.stack.last()?.as_ref()?;
        let place = nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok()?;
        nodes.get(place)
    }

    /// What the parent's file of this name lends to a new one, if it is one of rows.
    pub fn rows(&self, name: &[u8], writer: &Writer<'_>) -> Known {
        let node = self.find(name).filter(|node| node.rows);
        node.map(|node| Known::of(node, &self.reader, writer)).unwrap_or_default()
    }

    /// Whether every chunk of the parent's file is stored (invariant 7).
    pub fn has_content(&self, node: &Node, writer: &Writer<'_>) -> Result<bool> {
        if !node.chunks.iter().all(|id| writer.has(id)) {
            return Ok(false);
        }
        if !node.indirect && !node.rows {
            return Ok(true);
        }
        let chunks = self.reader.chunks_of(node)?;
        Ok(chunks.iter().all(|id| writer.has(id)))
    }
}
