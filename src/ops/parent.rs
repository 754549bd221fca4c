// SPDX-License-Identifier: MIT
//! The parent snapshot of a backup, walked alongside the source. It is a help, not a need: what of
//! it cannot be read is read from the source instead.

use super::backup::{BackupOptions, Parent};
use super::restore::find_node;
use super::rows::Known;
use crate::base::{ChunkId, FileId, Monitor, RelPath, Result, limits};
use crate::format::{Node, Snapshot};
use crate::repo::{IndexedRepository, Reader, Writer};
use std::cell::Cell;
use std::sync::Arc;

/// The snapshots that a backup builds on.
#[derive(Default)]
pub struct Parents {
    /// The one that unchanged files are taken over from.
    pub direct: Option<(FileId, Snapshot)>,
    /// Those before it, the newest first, for files of rows that it lacks: a dump that failed for a
    /// night is not stored whole in the next.
    pub older: Vec<(FileId, Snapshot)>,
}

/// Finds the snapshots that a backup builds on.
pub fn parents_of(
    repository: &IndexedRepository,
    options: &BackupOptions,
    monitor: &dyn Monitor,
) -> Result<Parents> {
    let all = match &options.parent {
        Parent::None => Vec::new(),
        Parent::Id(id) => {
            let direct = Some((*id, repository.snapshot(id)?));
            return Ok(Parents { direct, older: Vec::new() });
        }
        Parent::Auto => repository.readable_snapshots(monitor)?,
        Parent::Among(known) => known.clone(),
    };
    let template = &options.template;
    // Whoever has all keys takes nothing over from a snapshot for which nobody vouches.
    let is_believed = |one: &Snapshot| !one.is_deposit || repository.keys().is_write_only();
    let is_meant = |one: &Snapshot| is_believed(one) && is_parent(one, template);
    let mut all = all.into_iter().rev().filter(|(_, one)| is_meant(one));
    let direct = all.next();
    let is_same_person = |one: &Snapshot| one.user_identity == template.user_identity;
    let older = all.filter(|(_, one)| is_same_person(one));
    Ok(Parents { direct, older: older.take(limits::PARENTS_OLDER_MAX).collect() })
}

/// A Hestia user's snapshots are of one shape, however they were made; plain paths must agree. One
/// that was taken before a restore holds only what that restore would change.
fn is_parent(one: &Snapshot, new: &Snapshot) -> bool {
    if one.is_safety() {
        false
    } else if new.user.is_empty() {
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
    stack: Vec<Option<Beside>>,
    older: &'r [(FileId, Snapshot)],
}

/// The parent's entries of an open folder.
struct Beside {
    nodes: Arc<Vec<Node>>,
    /// The entry that was found last.
    last: Cell<usize>,
}

impl Beside {
    fn place_of(&self, name: &[u8]) -> Option<usize> {
        let is_it = |place: &usize| self.nodes.get(*place).is_some_and(|node| node.name == name);
        // Both sides come in the order of names, so it is mostly the same one or the next.
        let last = self.last.get();
        let near = [last, last.saturating_add(1)].into_iter().find(is_it);
        let place = match near {
            Some(place) => place,
            None => self.nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok()?,
        };
        self.last.set(place);
        Some(place)
    }
}

/// What the assembler needs to know of the parent's version of a folder.
#[derive(Debug, Clone)]
pub struct ParentFolder {
    /// Its node, and its place among the parent's entries of the folder above; the root has none.
    pub node: Option<(usize, Node)>,
    /// The chunks of its tree.
    pub chunks: Vec<ChunkId>,
    /// Its entries.
    pub nodes: Arc<Vec<Node>>,
}

impl<'r> ParentTree<'r> {
    /// Beside the root of a parent, or beside nothing.
    pub fn new(repository: &'r IndexedRepository, parents: &'r Parents) -> Self {
        Self {
            reader: Reader::new(repository),
            root: parents.direct.as_ref().map(|(_, one)| one.tree.clone()),
            stack: Vec::new(),
            older: &parents.older,
        }
    }

    /// Goes into the root.
    pub fn enter_root(&mut self) -> Option<ParentFolder> {
        let chunks = self.root.take()?;
        let nodes = self.push(&chunks)?;
        Some(ParentFolder { node: None, chunks, nodes })
    }

    /// Goes into the folder of this name, which the parent may not have.
    pub fn enter(&mut self, name: &[u8]) -> Option<ParentFolder> {
        let place = self.place_of(name);
        let node = place.and_then(|place| Some((place, self.at(place)?.clone())));
        let Some((place, node)) = node.filter(|(_, node)| node.is_folder()) else {
            self.stack.push(None);
            return None;
        };
        let chunks = node.chunks.clone();
        let nodes = self.push(&chunks)?;
        Some(ParentFolder { node: Some((place, node)), chunks, nodes })
    }

    /// Opens the folder with this tree. A parent that cannot be read costs time, not correctness:
    /// the folder is read afresh.
    fn push(&mut self, chunks: &[ChunkId]) -> Option<Arc<Vec<Node>>> {
        let nodes = self.reader.tree(chunks).ok().map(Arc::new);
        let beside = nodes.clone().map(|nodes| Beside { nodes, last: Cell::default() });
        self.stack.push(beside);
        nodes
    }

    /// Leaves the folder.
    pub fn leave(&mut self) {
        self.stack.pop();
    }

    /// The place of the parent's entry of this name in the current folder.
    pub fn place_of(&self, name: &[u8]) -> Option<usize> {
        self.stack.last()?.as_ref()?.place_of(name)
    }

    /// The parent's entry at a place in the current folder.
    pub fn at(&self, place: usize) -> Option<&Node> {
        self.stack.last()?.as_ref()?.nodes.get(place)
    }

    /// The parent's entry of this name in the current folder.
    pub fn find(&self, name: &[u8]) -> Option<&Node> {
        self.place_of(name).and_then(|place| self.at(place))
    }

    /// The last file of rows of this path in the current folder: the parent's, or the newest of
    /// the snapshots before it.
    pub fn rows(&self, path: &RelPath) -> Option<Node> {
        let own = path.name().and_then(|name| self.find(name));
        if let Some(own) = own.filter(|node| node.rows) {
            return Some(own.clone());
        }
        // What cannot be read is not there: that costs space, not correctness.
        let found = self.older.iter();
        let found = found.filter_map(|(_, one)| find_node(&self.reader, one, path).ok());
        found.into_iter().find(|node| node.rows)
    }

    /// What an earlier file of rows lends to a new one.
    pub fn lent_by(&self, node: &Node, writer: &Writer<'_>) -> Known {
        Known::of(node, &self.reader, writer)
    }

    /// Whether every chunk of the parent's file is stored (invariant 7).
    pub fn has_content(&self, node: &Node, writer: &Writer<'_>) -> Result<bool> {
        if !node.chunks.iter().all(|id| writer.has(id)) {
            return Ok(false);
        }
        if !node.indirect && !node.rows {
            return Ok(true);
        }
        if node.rows {
            // The tables too: the new snapshot will name them, so they must stay as well.
            let maps = self.reader.row_maps(node)?;
            let mut named = maps.iter().flat_map(|map| &map.chunks);
            return Ok(named.all(|one| writer.has(&one.id) && writer.has(&one.table)));
        }
        let chunks = self.reader.chunks_of(node)?;
        Ok(chunks.iter().all(|id| writer.has(id)))
    }
}
