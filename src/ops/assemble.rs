// SPDX-License-Identifier: MIT
//! Puts the trees of a backup together, bottom up, in the order of the source. Waits for the
//! workers only where it must, so that many small folders do not stall them.

use super::backup::Outcome;
use super::parent::ParentFolder;
use super::rows::RowWork;
use super::work::StreamWork;
use crate::base::{ChunkId, Counter, Error, Kind, Monitor, RelPath, Result, limits, units};
use crate::format::tree::Meta;
use crate::format::{Node, NodeKind, PackClass, Tree};
use crate::repo::reader::list_of_ids;
use crate::repo::{Bundle, Writer};
use crate::tree::build::{sort_nodes, split_nodes};
use crossbeam_channel::Receiver;
use std::collections::HashMap;
use std::sync::Arc;

/// What the feeder tells the assembler, in the order of the source.
pub enum Event {
    /// A folder begins.
    Enter {
        /// The folder, still without its tree.
        node: Box<Node>,
        /// The parent's version of it.
        parent: Option<Box<ParentFolder>>,
    },
    /// An entry that needs no work.
    Ready(Box<Node>),
    /// An entry that equals the one at this place of the parent's folder in everything.
    Kept(usize),
    /// Entries whose content the workers store.
    Batch(Receiver<Vec<Outcome>>),
    /// A long stream whose chunks the workers store.
    Stream {
        /// The file, still without its chunks.
        node: Box<Node>,
        /// Its chunks to be.
        work: StreamWork,
    },
    /// A file of rows, some of its chunks still with the workers.
    Rows {
        /// The file, still without its maps.
        node: Box<Node>,
        /// Its maps to be.
        work: Box<RowWork>,
    },
    /// A file of another repository, some of its chunks still with the workers.
    Copied {
        /// The file, still without its chunks; of one of rows, without its maps.
        node: Box<Node>,
        /// All of them, in order.
        pieces: Vec<Piece>,
    },
    /// Another name of an earlier entry.
    SameAs {
        /// The entry, still without its content.
        node: Box<Node>,
        /// The earlier one.
        earlier: RelPath,
    },
    /// The current folder ends.
    Leave,
}

/// Chunks of a file that follow each other.
pub enum Piece {
    /// They are stored.
    There(Vec<ChunkId>),
    /// The workers are at it.
    Coming(Receiver<Result<Vec<ChunkId>>>),
}

/// What became of an entry.
pub enum Finished {
    /// It goes into the tree.
    Node(Box<Node>),
    /// It goes into the tree with these maps.
    Rows(Box<Node>, Box<RowWork>),
    /// It vanished or cannot be read; the monitor knows.
    LeftOut,
}

impl Finished {
    /// A file, with its row maps to be if it is one of rows.
    pub fn of(node: Node, work: Option<Box<RowWork>>) -> Self {
        let node = Box::new(node);
        match work {
            Some(work) => Self::Rows(node, work),
            None => Self::Node(node),
        }
    }
}

/// A finished tree.
#[derive(Debug, Default)]
pub struct Assembly {
    /// The chunks of the root.
    pub chunks: Vec<ChunkId>,
    /// Files in it.
    pub files: u64,
    /// Folders in it.
    pub folders: u64,
    /// Bytes of content in it.
    pub bytes: u64,
    /// Whether a file in it is stored row by row.
    pub has_rows: bool,
}

/// The thread that puts trees together.
pub struct Assembler<'w> {
    writer: &'w Writer<'w>,
    monitor: &'w dyn Monitor,
    bundle: Bundle,
    open: Vec<OpenFolder>,
    /// The entries so far, if the source may name them again.
    earlier: Option<(EarlierEntries, EndsAll)>,
    result: Assembly,
}

/// Says of a folder that ends whether nothing later names an entry in it.
type EndsAll = fn(&RelPath) -> bool;
/// Entries by the hash of their path.
type EarlierEntries = HashMap<[u8; 32], Earlier>;

struct OpenFolder {
    node: Node,
    parent: Option<Box<ParentFolder>>,
    children: Vec<Child>,
}

/// An entry of a folder.
enum Child {
    /// The parent's entry at this place.
    Kept(usize),
    New(Box<Node>),
}

impl OpenFolder {
    fn parents(&self, place: usize) -> Result<&Node> {
        let nodes = self.parent.as_ref().map(|parent| &parent.nodes);
        nodes.and_then(|nodes| nodes.get(place)).ok_or_else(unfinished)
    }

    /// Whether it has exactly the parent's entries.
    fn is_parents(&self) -> bool {
        let kept = self.children.iter().map(|child| match child {
            Child::Kept(place) => Some(*place),
            Child::New(_) => None,
        });
        let Some(mut kept) = kept.collect::<Option<Vec<usize>>>() else { return false };
        kept.sort_unstable();
        kept.dedup();
        let all = self.parent.as_ref().map(|parent| parent.nodes.len());
        kept.len() == self.children.len() && Some(kept.len()) == all
    }

    /// Its entries, in the order of a tree.
    fn nodes(&mut self) -> Result<Vec<Node>> {
        let children = std::mem::take(&mut self.children).into_iter();
        let nodes = children.map(|child| match child {
            Child::New(node) => Ok(*node),
            Child::Kept(place) => self.parents(place).cloned(),
        });
        let mut nodes = nodes.collect::<Result<Vec<Node>>>()?;
        sort_nodes(&mut nodes)?;
        Ok(nodes)
    }
}

impl<'w> Assembler<'w> {
    /// An assembler that stores trees through this writer; `remember` for sources that may name
    /// earlier entries again.
    pub fn new(
        writer: &'w Writer<'w>,
        remember: Option<fn(&RelPath) -> bool>,
        monitor: &'w dyn Monitor,
    ) -> Result<Self> {
        Ok(Self {
            writer,
            monitor,
            bundle: writer.bundle(PackClass::Meta)?,
            open: Vec::new(),
            earlier: remember.map(|ends| (HashMap::new(), ends)),
            result: Assembly::default(),
        })
    }

    /// Takes events until the root folder ends.
    pub fn run(mut self, events: &Receiver<Vec<Event>>) -> Result<Assembly> {
        while let Ok(events) = events.recv() {
            for event in events {
                if self.take(event)? {
                    self.bundle.flush(self.writer)?;
                    return Ok(self.result);
                }
            }
        }
        Err(unfinished())
    }

    /// Takes one event; true if the root folder ends with it.
    fn take(&mut self, event: Event) -> Result<bool> {
        match event {
            Event::Enter { node, parent } => {
                self.open.push(OpenFolder { node: *node, parent, children: Vec::new() });
            }
            Event::Ready(node) => self.add(*node)?,
            Event::Kept(place) => self.keep(place)?,
            Event::Batch(outcomes) => {
                for outcome in outcomes.recv().map_err(|_| unfinished())? {
                    match outcome? {
                        Finished::Node(node) => {
                            let node = self.with_short_list(*node)?;
                            self.add(node)?;
                        }
                        Finished::Rows(node, work) => self.add_rows(*node, *work)?,
                        Finished::LeftOut => {}
                    }
                }
            }
            Event::Stream { mut node, work } => {
                node.chunks = work.ids()?;
                let node = self.with_short_list(*node)?;
                self.add(node)?;
            }
            Event::Rows { node, work } => self.add_rows(*node, *work)?,
            Event::Copied { node, pieces } => {
                let node = self.of_pieces(*node, pieces)?;
                self.add(node)?;
            }
            Event::SameAs { node, earlier } => {
                let node = self.same_as(*node, &earlier)?;
                self.add(node)?;
            }
            Event::Leave => return self.leave(),
        }
        Ok(false)
    }

    fn add_rows(&mut self, mut node: Node, work: RowWork) -> Result<()> {
        node.chunks = work.store(|plain| self.store_meta(plain))?;
        node.rows = true;
        self.add(node)
    }

    fn of_pieces(&mut self, mut node: Node, pieces: Vec<Piece>) -> Result<Node> {
        for piece in pieces {
            node.chunks.extend(match piece {
                Piece::There(ids) => ids,
                Piece::Coming(ids) => ids.recv().map_err(|_| unfinished())??,
            });
        }
        if node.rows { Ok(node) } else { self.with_short_list(node) }
    }

    fn add(&mut self, node: Node) -> Result<()> {
        self.count(&node)?;
        let folder = self.open.last_mut().ok_or_else(unfinished)?;
        folder.children.push(Child::New(Box::new(node)));
        Ok(())
    }

    fn keep(&mut self, place: usize) -> Result<()> {
        let folder = self.open.last_mut().ok_or_else(unfinished)?;
        folder.children.push(Child::Kept(place));
        let nodes = folder.parent.as_ref().map(|parent| Arc::clone(&parent.nodes));
        let nodes = nodes.ok_or_else(unfinished)?;
        self.count(nodes.get(place).ok_or_else(unfinished)?)
    }

    /// Adds an entry to the totals, and to what later ones may be other names of.
    fn count(&mut self, node: &Node) -> Result<()> {
        self.result.has_rows |= node.rows;
        if node.meta.kind == NodeKind::File {
            self.result.files += 1;
            self.result.bytes += node.meta.size;
        }
        if self.earlier.is_some() {
            let key = key_of(&self.path_of(&node.name)?);
            if let Some((earlier, _)) = &mut self.earlier {
                earlier.insert(key, Earlier::of(node));
            }
        }
        Ok(())
    }

    /// Where an entry of the current folder lies.
    fn path_of(&self, name: &[u8]) -> Result<RelPath> {
        let mut path = RelPath::root();
        for folder in self.open.iter().skip(1) {
            path.push(&folder.node.name)?;
        }
        path.push(name)?;
        Ok(path)
    }

    /// Gives an entry the content of an earlier one.
    fn same_as(&self, node: Node, path: &RelPath) -> Result<Node> {
        let earlier = self.earlier.as_ref().and_then(|(earlier, _)| earlier.get(&key_of(path)));
        let Some(earlier) = earlier else {
            let name = crate::base::path::display_bytes(&node.name);
            return Err(Error::new(Kind::Parsing, format!("store '{name}'"))
                .why(format!("it is another name of {path}, which does not come before it")));
        };
        let meta = Meta {
            kind: earlier.kind,
            size: earlier.size,
            target: earlier.target.to_vec(),
            rdev: earlier.rdev,
            ..node.meta
        };
        Ok(Node {
            name: node.name,
            meta,
            chunks: earlier.chunks.to_vec(),
            indirect: earlier.indirect,
            rows: earlier.rows,
            extents: earlier.extents.to_vec(),
            torn: earlier.torn,
        })
    }

    /// Ends the current folder; true if it was the root.
    fn leave(&mut self) -> Result<bool> {
        let mut folder = self.open.pop().ok_or_else(unfinished)?;
        self.result.folders += 1;
        let chunks = match self.unchanged(&folder) {
            Some(chunks) => {
                self.monitor.count(Counter::FoldersReused, 1);
                chunks
            }
            None => self.store_tree(&folder.nodes()?)?,
        };
        if self.open.is_empty() {
            self.result.chunks = chunks;
            return Ok(true);
        }
        let mut node = folder.node;
        let path = self.path_of(&node.name)?;
        if let Some((earlier, ends)) = &mut self.earlier
            && ends(&path)
        {
            earlier.clear();
            earlier.shrink_to_fit();
        }
        node.chunks = chunks;
        let parents = folder.parent.and_then(|parent| parent.node);
        let above = self.open.last_mut().ok_or_else(unfinished)?;
        above.children.push(match parents {
            Some((place, old)) if old == node => Child::Kept(place),
            _ => Child::New(Box::new(node)),
        });
        Ok(false)
    }

    /// The parent's tree, if it has exactly these entries and is still stored.
    fn unchanged(&self, folder: &OpenFolder) -> Option<Vec<ChunkId>> {
        let parent = folder.parent.as_ref()?;
        (folder.is_parents() && parent.chunks.iter().all(|id| self.writer.has(id)))
            .then(|| parent.chunks.clone())
    }

    fn store_tree(&mut self, children: &[Node]) -> Result<Vec<ChunkId>> {
        let mut chunks = Vec::new();
        for run in split_nodes(children) {
            chunks.push(self.store_meta(&Tree::encode(run))?);
        }
        Ok(chunks)
    }

    fn store_meta(&mut self, plain: &[u8]) -> Result<ChunkId> {
        let id = self.writer.repository().keys().tree_id(plain);
        if self.bundle.add(self.writer, id, plain)? {
            self.monitor.count(Counter::BytesNew, units::bytes(plain.len()));
        }
        Ok(id)
    }

    /// A file of very many chunks keeps its list in chunks of its own, split where an id says so:
    /// a log that grows rewrites the end of its list only.
    fn with_short_list(&mut self, mut node: Node) -> Result<Node> {
        if node.chunks.len() <= limits::NODE_CHUNKS_MAX {
            return Ok(node);
        }
        let ids = std::mem::take(&mut node.chunks);
        let mut run = Vec::new();
        for id in ids {
            run.push(id);
            let border = id.as_bytes().first().is_some_and(|byte| *byte == 0);
            if (border && run.len() >= limits::TREE_NODES_MIN)
                || run.len() >= limits::TREE_NODES_MAX
            {
                node.chunks.push(self.store_meta(&list_of_ids(&run))?);
                run.clear();
            }
        }
        if !run.is_empty() {
            node.chunks.push(self.store_meta(&list_of_ids(&run))?);
        }
        node.indirect = true;
        Ok(node)
    }
}

/// What another name of an entry needs to know of it, and no more: a tarball may have millions.
struct Earlier {
    kind: NodeKind,
    size: u64,
    rdev: u64,
    target: Box<[u8]>,
    chunks: Box<[ChunkId]>,
    extents: Box<[(u64, u64)]>,
    indirect: bool,
    rows: bool,
    torn: bool,
}

impl Earlier {
    fn of(node: &Node) -> Self {
        Self {
            kind: node.meta.kind,
            size: node.meta.size,
            rdev: node.meta.rdev,
            target: node.meta.target.as_slice().into(),
            chunks: node.chunks.as_slice().into(),
            extents: node.extents.as_slice().into(),
            indirect: node.indirect,
            rows: node.rows,
            torn: node.torn,
        }
    }
}

fn key_of(path: &RelPath) -> [u8; 32] {
    *blake3::hash(path.as_bytes()).as_bytes()
}

/// The events ended in the middle: somebody else failed and says why.
fn unfinished() -> Error {
    Error::new(Kind::Internal, "put the tree together").why("the backup stopped half way")
}
