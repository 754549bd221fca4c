// SPDX-License-Identifier: MIT
//! What of the snapshots cannot be had any more: files of which a chunk is in no index, folders
//! whose list cannot be read.

use crate::backend::{FileKind, FileName};
use crate::base::monitor::check_cancelled;
use crate::base::{ChunkId, Counter, Error, FileId, Kind, Monitor, RelPath, Result, limits};
use crate::format::tree::Tree;
use crate::format::{Node, NodeKind, PackClass, Snapshot};
use crate::ops::restore::places;
use crate::repo::{IndexedRepository, Reader, Repository};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// A file: some or all of its content.
    File,
    /// Some or all entries of a folder, and nobody knows which.
    Folder,
    /// Only what the next backup would have compared a dump with.
    Table,
}

impl LossKind {
    /// The word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Table => "table",
        }
    }
}

/// Something that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Where in the snapshot.
    pub path: RelPath,
    /// What.
    pub kind: LossKind,
    /// Bytes of the file, as far as they are known.
    pub size: u64,
    /// Why.
    pub why: String,
}

/// A snapshot of which something is lost.
#[derive(Debug)]
pub struct Affected {
    /// Its id.
    pub id: FileId,
    /// Its record; `None` if that is what is lost.
    pub snapshot: Option<Snapshot>,
    /// What else.
    pub losses: Vec<Loss>,
}

impl Affected {
    /// Whether something that was backed up cannot be had.
    pub fn loses_content(&self) -> bool {
        self.snapshot.is_none() || self.losses.iter().any(|one| one.kind != LossKind::Table)
    }
}

/// The snapshots of which something is lost, and what. Those of newer programs are warnings. Data
/// is not read: what cannot be opened counts as lost once `repair packs` has taken it out of the
/// index.
/// Only these snapshots are looked at, which were listed before the index was loaded: what a backup
/// adds meanwhile may need an index that is newer than ours.
pub fn affected(
    repository: &IndexedRepository,
    listed: &[FileName],
    monitor: &dyn Monitor,
) -> Result<Vec<Affected>> {
    let mut found = Vec::new();
    let mut survey = Survey::new(repository, monitor);
    for (id, snapshot) in all(repository, listed, monitor)? {
        check_cancelled(monitor)?;
        let Some(snapshot) = snapshot else {
            found.push(Affected { id, snapshot, losses: Vec::new() });
            continue;
        };
        match survey.folder(&snapshot.tree, 0) {
            Ok(losses) if losses.is_empty() => {}
            Ok(losses) => {
                let losses = losses.to_vec();
                found.push(Affected { id, snapshot: Some(snapshot), losses });
            }
            Err(error) if error.kind() == Kind::Newer => {
                monitor.warn(error.within(format!("judge snapshot {id}")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// All snapshots; `None` for those that are damaged.
fn all(
    repository: &IndexedRepository,
    listed: &[FileName],
    monitor: &dyn Monitor,
) -> Result<Vec<(FileId, Option<Snapshot>)>> {
    let mut all = Vec::new();
    for name in listed {
        match twice(|| repository.snapshot(&name.id)) {
            Ok(snapshot) => all.push((name.id, Some(snapshot))),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) if error.kind() == Kind::Damaged => all.push((name.id, None)),
            Err(error) if error.kind() == Kind::Newer => monitor.warn(error),
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

type Losses = Arc<[Loss]>;

/// Walks trees; one that was seen is not walked again.
pub struct Survey<'a> {
    reader: Reader<'a>,
    repository: &'a IndexedRepository,
    whole: HashSet<Vec<ChunkId>>,
    broken: HashMap<Vec<ChunkId>, Losses>,
    monitor: &'a dyn Monitor,
}

/// Whether an error means that what is stored is not there or not as it was.
pub fn is_loss(error: &Error) -> bool {
    matches!(error.kind(), Kind::Damaged | Kind::NotFound)
}

/// The names of all snapshots.
pub fn snapshot_names(repository: &Repository) -> Result<Vec<FileName>> {
    let listed = repository.backend().list(FileKind::Snapshot)?;
    let mut names: Vec<FileName> = listed.into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    Ok(names)
}

/// Reads something; if it is damaged, once more. What is sound then is not what is broken: nothing
/// may be decided on a machine that reads now this, now that.
pub fn twice<T>(mut read: impl FnMut() -> Result<T>) -> Result<T> {
    let first = match read() {
        Err(error) if is_loss(&error) => error,
        other => return other,
    };
    match read() {
        Err(error) => Err(error),
        Ok(_) => Err(Error::new(Kind::Disk, "read the same twice")
            .why(format!("it was damaged ({}) and sound a moment later", first.reasons_or_what()))
            .hint("look for bad memory, a bad cable or a bad disk before you repair anything")),
    }
}

/// The entries of a folder as far as they can be read, and why not all could.
pub fn readable_part(
    reader: &Reader<'_>,
    chunks: &[ChunkId],
) -> Result<(Vec<Node>, Option<Error>)> {
    let (mut nodes, mut trouble) = (Vec::<Node>::new(), None);
    for id in chunks {
        let part =
            twice(|| reader.chunk(PackClass::Meta, id).and_then(|plain| Tree::decode(&plain)));
        let part = part.map(|tree| tree.0);
        match part {
            Ok(part) => {
                let last = nodes.last().map(|node| node.name.clone());
                let in_order = |node: &Node| last.as_ref().is_none_or(|last| *last < node.name);
                if part.first().is_none_or(in_order) {
                    nodes.extend(part);
                } else {
                    let error = Error::new(Kind::Damaged, format!("read tree {id}"));
                    trouble = trouble.or(Some(error.why("its entries are out of order")));
                }
            }
            Err(error) if is_loss(&error) => trouble = trouble.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Ok((nodes, trouble))
}

impl<'a> Survey<'a> {
    /// A survey that has seen nothing.
    pub fn new(repository: &'a IndexedRepository, monitor: &'a dyn Monitor) -> Self {
        let reader = Reader::new(repository);
        Self { reader, repository, whole: HashSet::new(), broken: HashMap::new(), monitor }
    }

    /// What is lost of a folder, by paths below it.
    pub fn folder(&mut self, chunks: &[ChunkId], depth: usize) -> Result<Losses> {
        if self.whole.contains(chunks) {
            return Ok(Losses::default());
        }
        if let Some(known) = self.broken.get(chunks) {
            return Ok(Arc::clone(known));
        }
        check_cancelled(self.monitor)?;
        if depth > limits::TREE_DEPTH_MAX {
            let why = "it is deeper than any backup goes".to_owned();
            let path = RelPath::root();
            return Ok([Loss { path, kind: LossKind::Folder, size: 0, why }].into());
        }
        let (nodes, trouble) = readable_part(&self.reader, chunks)?;
        let mut losses: Vec<Loss> = trouble
            .map(|error| Loss {
                path: RelPath::root(),
                kind: LossKind::Folder,
                size: 0,
                why: error.reasons_or_what(),
            })
            .into_iter()
            .collect();
        for node in nodes {
            self.monitor.count(Counter::Checked, 1);
            let path = RelPath::root().join(&node.name)?;
            match node.meta.kind {
                NodeKind::Folder => {
                    for loss in self.folder(&node.chunks, depth + 1)?.iter() {
                        losses.push(Loss { path: path.join_path(&loss.path)?, ..loss.clone() });
                    }
                }
                NodeKind::File => {
                    let lost = self.file(&node)?;
                    losses.extend(lost.map(|(kind, why)| Loss {
                        path,
                        kind,
                        size: node.meta.size,
                        why,
                    }));
                }
                _ => {}
            }
        }
        if losses.is_empty() {
            self.whole.insert(chunks.to_vec());
            return Ok(Losses::default());
        }
        let losses: Losses = losses.into();
        self.broken.insert(chunks.to_vec(), Arc::clone(&losses));
        Ok(losses)
    }

    /// Whether a file has lost something.
    fn file(&self, node: &Node) -> Result<Option<(LossKind, String)>> {
        let whole = self.reader.spans_of(node).and_then(|spans| places(node, &spans));
        match whole {
            Err(error) if is_loss(&error) => {
                return Ok(Some((LossKind::File, error.reasons_or_what())));
            }
            other => drop(other?),
        }
        let index = self.repository.index();
        let maps = self.reader.row_maps(node)?;
        let mut is_lost = false;
        for chunk in maps.iter().flat_map(|map| &map.chunks) {
            is_lost |= !index.contains(&chunk.table)?;
        }
        let why = || "a table of its rows is lost; its content is whole".to_owned();
        Ok(is_lost.then(|| (LossKind::Table, why())))
    }
}
