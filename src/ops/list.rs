// SPDX-License-Identifier: MIT
//! Looking into snapshots: walk a tree, list a folder, find by pattern, compare two.

use super::restore::find_node;
use crate::base::monitor::check_cancelled;
use crate::base::{ChunkId, Monitor, RelPath, Result, Within};
use crate::format::{Node, Snapshot};
use crate::repo::Reader;
use crate::tree::Selection;
use crate::tree::select::Verdict;

/// Hands `visit` every entry at or below `base` that the selection takes, folders first. With
/// `recursive` off only the content of one folder.
pub fn walk(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    base: &RelPath,
    recursive: bool,
    selection: &Selection,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(&RelPath, &Node) -> Result<()>,
) -> Result<()> {
    let node = find_node(reader, snapshot, base)?;
    if !node.is_folder() {
        return visit(base, &node);
    }
    let mut walk = Walker { reader, recursive, selection, monitor, visit };
    walk.folder(&node.chunks, base)
}

struct Walker<'a> {
    reader: &'a Reader<'a>,
    recursive: bool,
    selection: &'a Selection,
    monitor: &'a dyn Monitor,
    visit: &'a mut dyn FnMut(&RelPath, &Node) -> Result<()>,
}

impl Walker<'_> {
    fn folder(&mut self, chunks: &[ChunkId], path: &RelPath) -> Result<()> {
        for node in self.reader.tree(chunks).within(|| format!("read the folder {path}"))? {
            check_cancelled(self.monitor)?;
            let below = path.join(&node.name)?;
            let verdict = self.selection.verdict(&below, node.is_folder());
            if verdict == Verdict::Take {
                (self.visit)(&below, &node)?;
            }
            if verdict != Verdict::Leave && self.recursive && node.is_folder() {
                self.folder(&node.chunks, &below)?;
            }
        }
        Ok(())
    }
}

/// What differs between two snapshots at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Content or kind differ.
    Modified,
    /// Only owner, mode, times or attributes differ.
    Metadata,
}

impl Change {
    /// The sign shown to people.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Added => "+",
            Self::Removed => "-",
            Self::Modified => "M",
            Self::Metadata => "U",
        }
    }

    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Modified => "modified",
            Self::Metadata => "metadata",
        }
    }
}

/// Compares two snapshots below `base`; equal folders are not entered.
pub fn diff(
    reader: &Reader<'_>,
    (before, after): (&Snapshot, &Snapshot),
    base: &RelPath,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(Change, &RelPath, &Node) -> Result<()>,
) -> Result<()> {
    let first = find_node(reader, before, base)?;
    let second = find_node(reader, after, base)?;
    let mut diff = Diff { reader, monitor, visit };
    diff.folders(Some(&first), Some(&second), base)
}

struct Diff<'a> {
    reader: &'a Reader<'a>,
    monitor: &'a dyn Monitor,
    visit: &'a mut dyn FnMut(Change, &RelPath, &Node) -> Result<()>,
}

impl Diff<'_> {
    fn folders(&mut self, a: Option<&Node>, b: Option<&Node>, path: &RelPath) -> Result<()> {
        check_cancelled(self.monitor)?;
        let nodes = |node: Option<&Node>| match node.filter(|node| node.is_folder()) {
            Some(node) => self.reader.tree(&node.chunks),
            None => Ok(Vec::new()),
        };
        let (before, after) = (nodes(a)?, nodes(b)?);
        let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let (a, b) = match (before.peek(), after.peek()) {
                (None, None) => return Ok(()),
                (Some(a), Some(b)) if a.name == b.name => (before.next(), after.next()),
                (Some(a), Some(b)) if a.name < b.name => (before.next(), None),
                (Some(_), None) => (before.next(), None),
                (_, Some(_)) => (None, after.next()),
            };
            self.entry(a, b, path)?;
        }
    }

    fn entry(&mut self, a: Option<&Node>, b: Option<&Node>, above: &RelPath) -> Result<()> {
        let Some(node) = b.or(a) else { return Ok(()) };
        let path = above.join(&node.name)?;
        let change = match (a, b) {
            (None, _) => Some(Change::Added),
            (_, None) => Some(Change::Removed),
            (Some(a), Some(b)) => compare(a, b),
        };
        if let Some(change) = change {
            (self.visit)(change, &path, node)?;
        }
        let is_folder = |node: Option<&Node>| node.is_some_and(Node::is_folder);
        let same_tree = matches!((a, b), (Some(a), Some(b)) if a.chunks == b.chunks);
        if (is_folder(a) || is_folder(b)) && !same_tree {
            self.folders(a, b, &path)?;
        }
        Ok(())
    }
}

fn compare(a: &Node, b: &Node) -> Option<Change> {
    let content = |node: &Node| {
        let chunks = if node.is_folder() { Vec::new() } else { node.chunks.clone() };
        (node.meta.kind, chunks, node.extents.clone(), node.meta.target.clone(), node.meta.rdev)
    };
    let looks = |node: &Node| {
        let meta = &node.meta;
        (meta.mode, meta.uid, meta.gid, meta.mtime, meta.xattrs.clone())
    };
    if content(a) != content(b) {
        Some(Change::Modified)
    } else if looks(a) != looks(b) {
        Some(Change::Metadata)
    } else {
        None
    }
}
