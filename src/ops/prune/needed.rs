// SPDX-License-Identifier: MIT
//! Which chunks the snapshots need: every tree, every list, every row map and all that they name.
//! One bit a chunk. What cannot be read ends it: whoever removes data must know all that is needed.

use crate::base::monitor::check_cancelled;
use crate::base::{ChunkId, Counter, Error, Kind, Monitor, RelPath, Result, Within, limits};
use crate::format::tree::Tree;
use crate::format::{Node, NodeKind, PackClass, Snapshot};
use crate::repo::{Index, IndexedRepository, Reader};

/// A bit for each row of an index; that of a chunk with several rows is its first one's.
#[derive(Debug, Clone)]
pub struct Needed(Vec<u64>);

impl Needed {
    /// Nothing is.
    pub fn none(index: &Index) -> Self {
        Self(vec![0; index.chunk_rows() / 64 + 1])
    }

    /// Whether the chunk at this row is needed.
    pub fn has(&self, row: usize) -> bool {
        self.0.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    /// Notes that it is; says whether that is new.
    pub fn add(&mut self, row: usize) -> bool {
        let Some(word) = self.0.get_mut(row / 64) else { return false };
        let bit = 1 << (row % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// Adds what a snapshot needs.
pub fn add_snapshot(
    repository: &IndexedRepository,
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    needed: &mut Needed,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut walk = Walk { repository, reader, needed, monitor };
    let named = || format!("find what snapshot {} needs", snapshot.name);
    walk.folder(&snapshot.tree, &RelPath::root()).within(named)
}

struct Walk<'a> {
    repository: &'a IndexedRepository,
    reader: &'a Reader<'a>,
    needed: &'a mut Needed,
    monitor: &'a dyn Monitor,
}

impl Walk<'_> {
    fn need(&mut self, id: &ChunkId) -> Result<bool> {
        let rows = self.repository.index().rows_of(id)?;
        if rows.is_empty() {
            return Err(Error::new(Kind::Damaged, format!("find chunk {id}"))
                .why("the index does not know it"));
        }
        Ok(self.needed.add(rows.start))
    }

    /// A part of a folder that was seen, in whatever tree, is not read again.
    fn folder(&mut self, parts: &[ChunkId], path: &RelPath) -> Result<()> {
        check_cancelled(self.monitor)?;
        for part in parts {
            if !self.need(part)? {
                continue;
            }
            let plain = self.reader.chunk(PackClass::Meta, part)?;
            let nodes = Tree::decode(&plain).within(|| format!("read tree {part}"))?.0;
            drop(plain);
            for node in &nodes {
                self.monitor.count(Counter::Checked, 1);
                self.node(node, path)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, folder: &RelPath) -> Result<()> {
        let path = || folder.join(&node.name).map(|path| path.to_string()).unwrap_or_default();
        match node.meta.kind {
            NodeKind::Folder => {
                let below = folder.join(&node.name)?;
                if below.depth() > limits::TREE_DEPTH_MAX {
                    return Err(Error::new(Kind::Damaged, format!("read {below}"))
                        .why("it is deeper than any backup goes"));
                }
                self.folder(&node.chunks, &below)
            }
            NodeKind::File => self.file(node).within(|| format!("read what {} needs", path())),
            _ => Ok(()),
        }
    }

    fn file(&mut self, node: &Node) -> Result<()> {
        for id in &node.chunks {
            let is_new = self.need(id)?;
            if !is_new && (node.rows || node.indirect) {
                continue;
            }
            if node.rows {
                self.row_map(id)?;
            } else if node.indirect {
                for listed in self.reader.listed_ids(id)? {
                    self.need(&listed)?;
                }
            }
        }
        Ok(())
    }

    fn row_map(&mut self, id: &ChunkId) -> Result<()> {
        for chunk in self.reader.row_map(id)?.chunks {
            self.need(&chunk.id)?;
            // A table that is lost costs the next backup some space, and no content.
            if let Err(error) = self.need(&chunk.table) {
                self.monitor.warn(error.within("find a table of rows"));
            }
        }
        Ok(())
    }
}
