// SPDX-License-Identifier: MIT
//! What this process has stored since its index was loaded. All writers of a repository share it,
//! so that backups which run at the same time count on each other's chunks as soon as those are
//! durable in a pack.
//!
//! A pack counts when the store has confirmed it; the index segment that names it may come later.
//! So before anything refers to chunks for good, [`Fresh::name_packs`] names all packs that count,
//! whoever stored them: invariant 2 of the design holds for each backup, whatever becomes of the
//! others.

use super::chunk_table::{ChunkTable, Rows};
use super::index::ChunkPlace;
use super::{LocalCopy, Repository};
use crate::backend::{Backend, FileKind, FileName};
use crate::base::{ChunkId, Error, FileId, Result, Within, World, limits, units};
use crate::crypto::Keys;
use crate::format::{IndexSegment, PackEntry, pack};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// What was stored since the index was loaded.
pub(super) struct Fresh {
    backend: Arc<dyn Backend>,
    copy: Option<Arc<LocalCopy>>,
    keys: Arc<Keys>,
    world: Arc<World>,
    /// Packs that were there when the index was loaded.
    packs_before: usize,
    chunks: RwLock<FreshChunks>,
    packs: Mutex<Packs>,
    /// Held while segments are stored: whoever finds no unnamed pack must not run ahead of somebody
    /// who is just naming it.
    naming: Mutex<()>,
}

#[derive(Default)]
struct Packs {
    /// Stored packs that no segment names yet.
    unnamed: Vec<PackEntry>,
    unnamed_bytes: u64,
    /// When the last were named, or else the first was stored.
    named: Option<Duration>,
    /// Bytes stored in all.
    bytes: u64,
    /// All packs stored.
    own: HashSet<FileId>,
    /// Segments since the last merge, as long as there is one of all of them to be made.
    segments: Vec<(FileId, Arc<Vec<PackEntry>>)>,
    /// Segments that nobody has looked for yet: no snapshot may count on them.
    unseen: Vec<Unseen>,
    /// Chunks that those since the last merge have named.
    chunks: usize,
}

/// When it is looked at whether a store far away has a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// Before anything else happens.
    AtOnce,
    /// Before the next snapshot is stored, whoever stores it.
    ByCommit,
}

/// A segment that the store said it had stored.
struct Unseen {
    name: FileName,
    size: u64,
    packs: Arc<Vec<PackEntry>>,
}

/// The chunks that were stored; many of them lie on a disk, if there is one for that.
#[derive(Default)]
struct FreshChunks {
    recent: HashSet<ChunkId>,
    earlier: Vec<ChunkTable>,
    folder: Option<PathBuf>,
    /// How many may be in memory, if there is a folder.
    room: usize,
}

impl FreshChunks {
    /// What cannot be looked up is stored again.
    fn contains(&self, id: &ChunkId) -> bool {
        let has = |table: &ChunkTable| table.find_all(id).is_ok_and(|mut all| all.next().is_some());
        self.recent.contains(id) || self.earlier.iter().any(has)
    }

    fn extend(&mut self, ids: &[ChunkId]) {
        self.recent.extend(ids);
        if self.recent.len() < self.room {
            return;
        }
        let Some(folder) = self.folder.clone() else { return };
        match table_of(&self.recent, folder) {
            Ok(table) => {
                self.earlier.push(table);
                self.recent = HashSet::new();
            }
            // They stay in memory.
            Err(_) => self.folder = None,
        }
    }
}

fn table_of(ids: &HashSet<ChunkId>, folder: PathBuf) -> Result<ChunkTable> {
    let nowhere = ChunkPlace { blob: 0, offset: 0, length: 0 };
    let mut rows = Rows::new(Some(folder), 0);
    ids.iter().try_for_each(|id| rows.push((*id, nowhere)))?;
    rows.into_table(Some)
}

impl Packs {
    /// What no segment names after all. The next backup counts on them, too, and has to name them.
    /// If the store has lost one, no backup of this process ends well: each may count on it.
    fn unname(&mut self, packs: Vec<PackEntry>) {
        self.unnamed_bytes += packs.iter().map(|pack| pack.size).sum::<u64>();
        self.unnamed.extend(packs);
    }
}

fn chunks_in(packs: &[PackEntry]) -> usize {
    packs.iter().flat_map(|pack| &pack.blobs).map(|blob| blob.chunks.len()).sum()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere ends what it was at; the data behind the lock is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fresh {
    /// Nothing yet, beside the packs of the index.
    pub(super) fn new(repository: &Repository, packs_before: usize) -> Self {
        Self {
            packs_before,
            backend: Arc::clone(&repository.backend),
            copy: repository.copy.clone(),
            keys: Arc::clone(&repository.keys),
            world: Arc::clone(&repository.world),
            chunks: RwLock::new(FreshChunks {
                folder: repository.scratch().map(Path::to_owned),
                room: repository.chunks_in_memory(),
                ..FreshChunks::default()
            }),
            packs: Mutex::default(),
            naming: Mutex::default(),
        }
    }

    /// Whether a chunk is durable in a pack that counts.
    pub(super) fn contains(&self, id: &ChunkId) -> bool {
        self.chunks.read().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Counts a pack that is durable, and the chunks in it. Returns whether so much is unnamed that
    /// it should be named.
    pub(super) fn add(&self, entry: PackEntry, ids: &[ChunkId], checkpoint_bytes: u64) -> bool {
        let mut packs = lock(&self.packs);
        packs.unnamed_bytes += entry.size;
        packs.bytes += entry.size;
        packs.own.insert(entry.id);
        packs.unnamed.push(entry);
        let share = packs.bytes / limits::CHECKPOINT_SHARE;
        let now = self.world.ticks();
        // Where each request is a journey, some work may be lost rather than many be made.
        let is_early = self.backend.properties().is_far
            && now.saturating_sub(*packs.named.get_or_insert(now)) < limits::CHECKPOINT_FAR_SPAN;
        let is_due = packs.unnamed_bytes >= checkpoint_bytes.max(share) && !is_early;
        drop(packs);
        // Only now, so that whoever counts on these chunks names the pack before relying on it.
        self.chunks.write().unwrap_or_else(PoisonError::into_inner).extend(ids);
        is_due
    }

    /// Stores an index segment of all packs that none names yet. When this returns, every chunk
    /// that [`Self::contains`] has said to be there is found by the next [`super::Index::load`]; if
    /// the look is left to others, when [`Self::look_for`] returns.
    pub(super) fn name_packs(&self, looked: Looked) -> Result<()> {
        let _alone = lock(&self.naming);
        let mut unnamed = {
            let mut packs = lock(&self.packs);
            packs.unnamed_bytes = 0;
            packs.named = Some(self.world.ticks());
            std::mem::take(&mut packs.unnamed)
        };
        if unnamed.is_empty() {
            return Ok(());
        }
        // Not in the order in which the uploaders happened to end: the same backup is the same
        // bytes.
        unnamed.sort_unstable_by_key(|pack| pack.id);
        let arrived = self.have_arrived(&unnamed);
        let segment = self.segment(unnamed, Vec::new());
        let stored = arrived.and_then(|()| self.store(&segment, looked));
        let mut packs = lock(&self.packs);
        match stored {
            Ok((name, unseen)) => {
                packs.chunks += chunks_in(&segment.packs);
                let named = Arc::new(segment.packs);
                if let Some(size) = unseen {
                    packs.unseen.push(Unseen { name, size, packs: Arc::clone(&named) });
                }
                if packs.chunks > limits::INDEX_SEGMENT_CHUNKS {
                    packs.segments = Vec::new();
                } else {
                    packs.segments.push((name.id, named));
                }
                Ok(())
            }
            Err(error) => {
                packs.unname(segment.packs);
                Err(error)
            }
        }
    }

    /// Looks whether the store has the segments that nobody has looked for yet, all together, and
    /// this file; returns the size of that one. From then on a snapshot may count on every chunk
    /// that [`Self::contains`] has said to be there before they were named.
    pub(super) fn look_for(&self, other: Option<FileName>) -> Result<Option<u64>> {
        // Whoever else stores a snapshot waits for the answer: it may count on the same segments.
        let _alone = lock(&self.naming);
        let unseen: Vec<(FileName, u64)> =
            lock(&self.packs).unseen.iter().map(|one| (one.name, one.size)).collect();
        let names: Vec<FileName> = unseen.iter().map(|(name, _)| *name).chain(other).collect();
        let mut sizes = self.backend.sizes(&names)?.into_iter();
        let arrived = unseen
            .iter()
            .try_for_each(|(name, size)| super::has_arrived(name, sizes.next().flatten(), *size));
        let mut packs = lock(&self.packs);
        let seen = std::mem::take(&mut packs.unseen);
        if let Err(error) = arrived {
            packs.segments.retain(|(id, _)| !seen.iter().any(|one| one.name.id == *id));
            for one in seen {
                packs.unname(Arc::unwrap_or_clone(one.packs));
            }
            return Err(error);
        }
        Ok(sizes.next().flatten())
    }

    /// Looks whether a store far away has what it said it had stored: each pack by itself, or all
    /// in one listing where that is fewer requests.
    fn have_arrived(&self, packs: &[PackEntry]) -> Result<()> {
        let properties = self.backend.properties();
        if !properties.is_far {
            return Ok(());
        }
        let name = |pack: &PackEntry| FileName::new(FileKind::Pack, pack.id);
        let there = self.packs_before + lock(&self.packs).own.len();
        let pages = there / properties.listed_at_once.max(1) + 1;
        if packs.len() <= pages {
            return packs.iter().try_for_each(|pack| {
                super::has_arrived(&name(pack), self.backend.size(&name(pack))?, pack.size)
            });
        }
        let listed: HashMap<FileName, u64> =
            self.backend.list(FileKind::Pack)?.into_iter().collect();
        packs.iter().try_for_each(|pack| {
            super::has_arrived(&name(pack), listed.get(&name(pack)).copied(), pack.size)
        })
    }

    /// One segment per backup: the checkpoints of a long run are merged, the new one first. Returns
    /// why those of before are still there, if so: since the new one replaces them, they are only
    /// garbage, which a prune removes.
    pub(super) fn merge_segments(&self) -> Result<Option<Error>> {
        let _alone = lock(&self.naming);
        let segments = {
            let mut packs = lock(&self.packs);
            packs.chunks = 0;
            std::mem::take(&mut packs.segments)
        };
        if segments.len() < 2 || self.backend.properties().append_only {
            return Ok(None);
        }
        let (replaces, packs): (Vec<_>, Vec<_>) = segments.into_iter().unzip();
        let packs = packs.into_iter().flat_map(Arc::unwrap_or_clone).collect();
        let merged = self.segment(packs, replaces.clone());
        self.store(&merged, Looked::AtOnce)?;
        // All that they name is named by one that was seen.
        lock(&self.packs).unseen.retain(|one| !replaces.contains(&one.name.id));
        let mut names = replaces.into_iter().map(|id| FileName::new(FileKind::Index, id));
        // Where one cannot be removed, the others are not tried.
        Ok(names.find_map(|name| self.backend.remove(&name).err()))
    }

    /// Forgets what an index that was loaded just now knows.
    pub(super) fn forget_named(&self) {
        let mut packs = lock(&self.packs);
        if packs.unnamed.is_empty() {
            packs.own.clear();
            packs.unseen.clear();
            drop(packs);
            let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
            (chunks.recent, chunks.earlier) = (HashSet::new(), Vec::new());
        }
    }

    /// The packs that this process has stored.
    pub(super) fn own_packs(&self) -> HashSet<FileId> {
        lock(&self.packs).own.clone()
    }

    fn segment(&self, packs: Vec<PackEntry>, replaces: Vec<FileId>) -> IndexSegment {
        let time = self.world.now().seconds;
        IndexSegment { packs, replaces, time, ..IndexSegment::default() }
    }

    /// Stores a segment; returns its size, too, if it is still to be looked for.
    fn store(&self, segment: &IndexSegment, looked: Looked) -> Result<(FileName, Option<u64>)> {
        let what = || "store an index segment";
        let salt = self.world.random_32()?;
        let stored = super::seal_segment(&self.keys, salt, segment)?;
        let (backend, copy) = (self.backend.as_ref(), self.copy.as_deref());
        if looked == Looked::AtOnce || !backend.properties().is_far {
            let id = super::store_and_keep(backend, copy, FileKind::Index, &stored).within(what)?;
            return Ok((FileName::new(FileKind::Index, id), None));
        }
        let name = FileName::new(FileKind::Index, pack::file_id(&stored));
        backend.create(&name, &stored).within(what)?;
        if let Some(copy) = copy {
            copy.keep(&name, &stored);
        }
        Ok((name, Some(units::bytes(stored.len()))))
    }
}
