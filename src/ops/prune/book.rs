// SPDX-License-Identifier: MIT
//! The notes of a prune and how they get into the index: one small segment that takes over the
//! notes of earlier ones, and now and then larger ones made of many small or half-empty segments.
//! Always the new before the old.

use super::plan::Notes;
use crate::backend::{FileKind, FileName};
use crate::base::{Error, FileId, Kind, Monitor, Result, Within, limits, units};
use crate::format::{IndexSegment, NoteKind, PackEntry};
use crate::repo::index::Segment;
use crate::repo::{Index, IndexedRepository, Repository};
use std::collections::{BTreeSet, HashSet};

/// Small segments of which one is made, at least.
const MERGED_MIN: usize = 16;

/// The notes as they are in the repository, and as they should be.
pub struct Book<'r> {
    repository: &'r IndexedRepository,
    /// What is to be noted.
    pub notes: Notes,
    /// What is noted.
    stored: Notes,
    /// The segments that hold just that.
    segments: Vec<FileId>,
    /// Where there are write-only keys: all segments that were ever replaced. Whoever can only add
    /// may store them once more, as they were signed; so whatever takes over the segment that says
    /// that they do not count says it as well.
    buried: BTreeSet<FileId>,
    /// Segments for which nobody vouches.
    unproven: HashSet<FileId>,
    /// All segments that this prune has seen or written.
    known: HashSet<FileId>,
    /// Packs that others have claimed or named since the index was loaded.
    claimed: HashSet<FileId>,
    /// Whether another prune has noted something since.
    has_rival: bool,
}

impl<'r> Book<'r> {
    /// As an index found it.
    pub fn new(repository: &'r IndexedRepository, notes: Notes) -> Self {
        let segments = repository.index().segments();
        let holds_notes = |one: &&Segment| one.packs == 0 && !one.is_replaced;
        let mut buried = BTreeSet::new();
        if repository.keys().has_authority() {
            buried.extend(segments.iter().flat_map(|one| one.replaces.iter().copied()));
        }
        // Of what nobody vouches for nothing has to be said for ever: it took nothing away.
        let unproven = segments.iter().filter(|one| one.is_unproven).map(|one| one.id).collect();
        Self {
            repository,
            stored: notes.clone(),
            notes,
            segments: segments.iter().filter(holds_notes).map(|one| one.id).collect(),
            buried,
            unproven,
            known: segments.iter().map(|one| one.id).collect(),
            claimed: HashSet::new(),
            has_rival: false,
        }
    }

    /// Stores the notes if they changed.
    pub fn store(&mut self) -> Result<()> {
        if self.notes == self.stored && self.segments.len() < 2 {
            return Ok(());
        }
        self.replace(Vec::new())
    }

    /// Stores the notes and takes these other segments over.
    fn replace(&mut self, mut replaces: Vec<FileId>) -> Result<()> {
        replaces.extend_from_slice(&self.segments);
        let mut all = self.buried.clone();
        all.extend(replaces.iter().filter(|id| !self.unproven.contains(id)));
        let segment = IndexSegment {
            replaces: all.iter().copied().collect(),
            notes: self.notes.sorted(),
            ..IndexSegment::default()
        };
        if !segment.replaces.is_empty() || !segment.notes.is_empty() {
            let id = self
                .repository
                .store_segment(&segment)
                .within(|| "note in the index what will be removed")?;
            self.known.insert(id);
            self.segments = vec![id];
        }
        if self.repository.keys().has_authority() {
            self.buried = all;
        }
        self.stored = self.notes.clone();
        remove_segments(self.repository, replaces)
    }

    /// The packs that others have claimed or named since the index was loaded. Looked at until a
    /// listing shows nothing new: what takes over a segment that is gone is in the next one.
    pub fn claimed_meanwhile(&mut self) -> Result<HashSet<FileId>> {
        loop {
            let mut is_new = false;
            for (name, _) in self.repository.backend().list(FileKind::Index)? {
                if self.buried.contains(&name.id) || !self.known.insert(name.id) {
                    continue;
                }
                is_new = true;
                let Some(segment) = read(self.repository, &name)? else { continue };
                self.claimed.extend(segment.packs.iter().map(|pack| pack.id));
                for note in segment.notes {
                    match note.kind {
                        NoteKind::Claim => drop(self.claimed.insert(note.pack)),
                        _ => self.has_rival = true,
                    }
                }
            }
            if !is_new {
                return Ok(self.claimed.clone());
            }
        }
    }

    /// Fails if another prune has noted something since the index was loaded: what it decided would
    /// be taken back here.
    pub fn refuse_rival(&mut self) -> Result<()> {
        self.claimed_meanwhile()?;
        if !self.has_rival {
            return Ok(());
        }
        Err(Error::new(Kind::InUse, "note what will be removed")
            .why("another prune has done so meanwhile")
            .hint("run it again"))
    }

    /// Makes large segments of small ones and of those in which much does not count any more.
    pub fn merge(
        &mut self,
        index: &Index,
        now: i64,
        grace: i64,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let chosen =
            chosen(index.segments(), |time| time == 0 || now.saturating_sub(time) >= grace);
        if chosen.is_empty() {
            return self.store();
        }
        let mut open: Vec<PackEntry> = Vec::new();
        let mut chunks = 0;
        let mut seen = HashSet::new();
        for id in &chosen {
            crate::base::monitor::check_cancelled(monitor)?;
            let name = FileName::new(FileKind::Index, *id);
            let Some(segment) = read(self.repository, &name)? else {
                // Somebody else is merging: what this one held is there under another name.
                return self.store();
            };
            for pack in segment.packs {
                if self.notes.take_out(&pack.id) || !seen.insert(pack.id) {
                    continue;
                }
                let inside: usize = pack.blobs.iter().map(|blob| blob.chunks.len()).sum();
                if chunks + inside > limits::INDEX_SEGMENT_CHUNKS && !open.is_empty() {
                    self.store_packs(std::mem::take(&mut open))?;
                    chunks = 0;
                }
                chunks += inside;
                open.push(pack);
            }
        }
        if !open.is_empty() {
            self.store_packs(open)?;
        }
        self.replace(chosen)
    }

    fn store_packs(&mut self, packs: Vec<PackEntry>) -> Result<()> {
        let segment = IndexSegment { packs, ..IndexSegment::default() };
        let id = self.repository.store_segment(&segment).within(|| "merge index segments")?;
        self.known.insert(id);
        Ok(())
    }
}

/// Segments worth writing anew: the small ones if there are many, and those of which a quarter does
/// not count.
fn chosen(segments: &[Segment], is_old: impl Fn(i64) -> bool) -> Vec<FileId> {
    // What nobody vouches for would look as if somebody did.
    let is_meant = |one: &&Segment| !one.is_replaced && one.packs > 0 && !one.is_unproven;
    let candidates = || segments.iter().filter(is_meant);
    let full = units::bytes(limits::INDEX_SEGMENT_CHUNKS);
    let left = |one: &Segment| one.chunks - one.dropped_chunks;
    let is_small = |one: &&Segment| left(one) < full / 2 && is_old(one.time);
    let small: Vec<FileId> = candidates().filter(is_small).map(|one| one.id).collect();
    let is_hollow = |one: &&Segment| one.dropped_chunks * 4 > one.chunks && is_old(one.time);
    let hollow = candidates().filter(is_hollow).map(|one| one.id);
    if small.len() >= MERGED_MIN {
        let mut all: Vec<FileId> = small.into_iter().chain(hollow).collect();
        all.sort_unstable();
        all.dedup();
        return all;
    }
    hollow.collect()
}

/// Removes segments whose content others have; one that is gone is no trouble.
pub fn remove_segments(repository: &Repository, segments: Vec<FileId>) -> Result<()> {
    for id in segments {
        repository
            .backend()
            .remove(&FileName::new(FileKind::Index, id))
            .within(|| "remove an index segment that was taken over")?;
    }
    Ok(())
}

/// A segment from the store itself; `None` if it is gone.
fn read(repository: &Repository, name: &FileName) -> Result<Option<IndexSegment>> {
    match repository.segment(&name.id) {
        Ok(segment) => Ok(Some(segment)),
        Err(error)
            if error.kind() == Kind::NotFound && repository.backend().size(name)?.is_none() =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
