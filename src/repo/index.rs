// SPDX-License-Identifier: MIT
//! The index: packs, their blobs, and a sorted table of chunks, which lies on a disk if it is large.
//! Built from the segments of the repository, one after the other; never changed afterwards (a
//! writer keeps its own additions).

use super::Repository;
use super::chunk_table::{ChunkTable, Places, Row, Rows};
use super::naming::{Judged, Naming, Told, full};
use crate::backend::FileKind;
use crate::base::monitor::{Stage, check_cancelled};
use crate::base::{ChunkId, Error, FileId, Kind, Monitor, Result, Within, limits, units};
use crate::format::envelope::HEADER_BYTES;
use crate::format::{BlobEntry, Compression, IndexSegment, Note, PackClass};
use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;

/// A pack the index knows.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Its name.
    pub id: FileId,
    /// What it holds.
    pub class: PackClass,
    /// Its size as stored.
    pub size: u64,
    /// Its header.
    pub header: [u8; HEADER_BYTES],
    /// Where its blobs begin in [`Index::blobs`], and how many there are.
    pub blobs: (u32, u32),
    /// Chunks in it.
    pub chunks: u64,
    /// When it was stored, if that was not long ago; 0 otherwise.
    pub time: i64,
}

/// A blob the index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Place of its pack in [`Index::packs`].
    pub pack: u32,
    /// Position in the pack.
    pub ordinal: u32,
    /// First byte in the pack.
    pub offset: u32,
    /// Sealed length.
    pub stored_length: u32,
    /// Plain length.
    pub plain_length: u32,
    /// How it is stored.
    pub compression: Compression,
}

/// Where a chunk lies: in which blob and where in its plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// Place of the blob in [`Index::blobs`].
    pub blob: u32,
    /// First byte in the plain blob.
    pub offset: u32,
    /// Length in bytes.
    pub length: u32,
}

/// A segment the index was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub id: FileId,
    /// Whether another segment has taken its content over.
    pub is_replaced: bool,
    /// The segments whose content it took over.
    pub replaces: Vec<FileId>,
    /// What it notes of packs.
    pub notes: Vec<Note>,
    /// Chunks that it names.
    pub chunks: u64,
    /// Of these, those in packs that do not count any more.
    pub dropped_chunks: u64,
    /// Packs that it names.
    pub packs: usize,
    /// When these were stored, if that was not long ago; 0 otherwise.
    pub time: i64,
    /// Whether nobody who has the master keys vouches for it.
    pub is_unproven: bool,
}

/// Which chunk lies where.
#[derive(Debug, Default)]
pub struct Index {
    packs: Vec<Pack>,
    blobs: Vec<Blob>,
    chunks: ChunkTable,
    segments: Vec<Segment>,
    stored_bytes: u64,
    /// Of each pack, whether it will go; empty if none will.
    leaving: Vec<bool>,
    /// Packs that segments name though they do not count any more.
    dropped: HashSet<FileId>,
    /// Places of packs that were found lost since.
    lost: HashSet<u32>,
    /// Packs of which only those speak who can add and nothing else.
    unproven: HashSet<FileId>,
    /// Packs of which several of them say different things.
    disputed: HashSet<FileId>,
}

impl Index {
    /// Reads all segments. A segment that vanishes meanwhile was merged into a new one by somebody
    /// else, so the listing is taken again.
    pub fn load(repository: &Repository, monitor: &dyn Monitor) -> Result<Self> {
        Self::load_with(repository, Unreadable::Fails, monitor)
    }

    /// The same for somebody who only reads what is stored: segments that cannot be read are named,
    /// and what the others know is there. Never for somebody who stores or removes anything: what is
    /// noted in those may forbid it.
    pub fn load_to_look(repository: &Repository, monitor: &dyn Monitor) -> Result<Self> {
        Self::load_with(repository, Unreadable::IsLeftOut, monitor)
    }

    fn load_with(
        repository: &Repository,
        unreadable: Unreadable,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        for _ in 0..5 {
            match Self::load_once(repository, unreadable, monitor) {
                Err(error) if error.kind() == Kind::NotFound => {}
                loaded => return loaded.within(|| "load the index"),
            }
        }
        Err(Error::new(Kind::InUse, "load the index")
            .why("its segments kept changing")
            .hint("run the command again"))
    }

    /// A large one goes to a disk, and if that has no room, into memory all the same.
    fn load_once(
        repository: &Repository,
        unreadable: Unreadable,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        if let Some(folder) = repository.scratch() {
            let room = repository.chunks_in_memory();
            let builder = Builder::new(Some(folder.to_owned()), room);
            match Self::load_into(builder, repository, unreadable, monitor) {
                Err(error) if error.kind() == Kind::Disk => {}
                loaded => return loaded,
            }
        }
        Self::load_into(Builder::new(None, usize::MAX), repository, unreadable, monitor)
    }

    fn load_into(
        mut builder: Builder,
        repository: &Repository,
        unreadable: Unreadable,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let mut left_out = HashSet::new();
        // A listing is no single moment: it may miss a segment that was merged away and the one
        // made of it too. That one was there before the other went, so the next listing has it.
        for round in 0..limits::INDEX_LISTINGS_MAX {
            let mut listed = repository.list(FileKind::Index)?;
            if let Some(copy) = repository.copy() {
                copy.keep_only(FileKind::Index, &listed.iter().map(|(name, _)| *name).collect());
            }
            listed.sort_unstable();
            let known = builder.naming.count();
            for (name, size) in listed {
                check_cancelled(monitor)?;
                if builder.naming.has(&name.id) || left_out.contains(&name) {
                    continue;
                }
                let segment = repository.listed_segment((name, size));
                match segment.within(|| format!("read {name}")) {
                    Ok(segment) => builder.add(name.id, segment)?,
                    Err(error) if unreadable.passes_over(&error) => {
                        left_out.insert(name);
                        monitor.stage(Stage::Note(format!(
                            "going on without a part of the index: {}",
                            error.one_line()
                        )));
                    }
                    Err(error) if error.kind() == Kind::Damaged => {
                        return Err(error.hint(
                            "reading goes on without it; 'ghostsnap repair index' makes it anew \
                             from the packs, for whoever stores, removes or checks",
                        ));
                    }
                    Err(error) => return Err(error),
                }
            }
            if round > 0 && builder.naming.count() == known {
                break;
            }
        }
        // If somebody adds segments faster than they are listed, those of before are all here.
        builder.naming.settle(repository)?;
        builder.finish()
    }

    /// Builds an index in memory.
    pub fn from_segments(segments: Vec<(FileId, IndexSegment)>) -> Result<Self> {
        let mut builder = Builder::new(None, usize::MAX);
        segments.into_iter().try_for_each(|(id, segment)| builder.add(id, segment))?;
        builder.finish()
    }

    /// Forgets the chunks of the packs that `is_lost` names; returns those packs.
    pub fn leave_out(&mut self, is_lost: impl Fn(u32, &Pack) -> bool) -> Vec<(u32, FileId)> {
        let places = (0u32..).zip(&self.packs);
        let lost: Vec<(u32, FileId)> = places
            .filter(|(place, pack)| !self.lost.contains(place) && is_lost(*place, pack))
            .map(|(place, pack)| (place, pack.id))
            .collect();
        self.lost.extend(lost.iter().map(|(place, _)| *place));
        lost
    }

    /// Where a chunk lies.
    pub fn find(&self, id: &ChunkId) -> Result<Option<ChunkPlace>> {
        Ok(self.find_all(id)?.next())
    }

    /// All places of a chunk: two writers may have stored it at the same time.
    pub fn find_all(&self, id: &ChunkId) -> Result<impl Iterator<Item = ChunkPlace> + '_> {
        let places: Places<'_> = self.chunks.find_all(id)?;
        Ok(places.filter(|place| self.lost.is_empty() || !self.is_lost(place)))
    }

    fn is_lost(&self, place: &ChunkPlace) -> bool {
        self.pack_of(place).is_none_or(|pack| self.lost.contains(&pack))
    }

    /// The place of the pack in which a chunk lies.
    pub fn pack_of(&self, place: &ChunkPlace) -> Option<u32> {
        self.blob(place.blob).map(|blob| blob.pack)
    }

    /// Whether a chunk is stored, for now at least.
    pub fn contains(&self, id: &ChunkId) -> Result<bool> {
        Ok(self.find(id)?.is_some())
    }

    /// Which of the rows of [`Self::each_chunk`] are those of a chunk.
    pub fn rows_of(&self, id: &ChunkId) -> Result<Range<usize>> {
        self.chunks.rows_of(id)
    }

    /// How many rows [`Self::each_chunk`] has.
    pub fn chunk_rows(&self) -> usize {
        self.chunks.len()
    }

    /// Shows all chunks, sorted by id: the places of one together, with the number of the first.
    pub fn each_chunk(&self, visit: impl FnMut(usize, &[Row]) -> Result<()>) -> Result<()> {
        self.chunks.each(visit)
    }

    /// A pack that has this chunk and will stay. Only this may be counted on by what is stored from
    /// now on: a chunk in a pack that is leaving can still be read, but not for long. None as well
    /// if that cannot be told: then it is stored again.
    pub fn lasting(&self, id: &ChunkId) -> Option<u32> {
        let mut packs = self.find_all(id).ok()?.filter_map(|place| self.pack_of(&place));
        if self.leaving.is_empty() {
            return packs.next();
        }
        packs.find(|pack| !self.is_leaving(*pack))
    }

    /// The same among packs of which `is_of_use` says so.
    pub fn lasting_in(&self, id: &ChunkId, is_of_use: impl Fn(&Pack) -> bool) -> Option<u32> {
        let mut packs = self.find_all(id).ok()?.filter_map(|place| self.pack_of(&place));
        let is_meant =
            |pack: &u32| !self.is_leaving(*pack) && self.pack(*pack).is_some_and(&is_of_use);
        packs.find(is_meant)
    }

    /// Whether a pack, by its place, is marked as one that nothing needs.
    pub fn is_leaving(&self, pack: u32) -> bool {
        self.leaving.get(units::length(u64::from(pack))).copied().unwrap_or(false)
    }

    /// A blob by its place.
    pub fn blob(&self, place: u32) -> Option<&Blob> {
        self.blobs.get(units::length(u64::from(place)))
    }

    /// A pack by its place.
    pub fn pack(&self, place: u32) -> Option<&Pack> {
        self.packs.get(units::length(u64::from(place)))
    }

    /// All packs.
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// All blobs, grouped by pack.
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// Packs that segments name though they do not count any more.
    pub fn dropped(&self) -> &HashSet<FileId> {
        &self.dropped
    }

    /// Packs of which only those speak who can add and nothing else.
    pub fn unproven(&self) -> &HashSet<FileId> {
        &self.unproven
    }

    /// Packs of which several of them say different things: they are as if no segment listed them,
    /// and nobody may remove them.
    pub fn disputed(&self) -> &HashSet<FileId> {
        &self.disputed
    }

    /// The segments it was built from.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes in all packs.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }
}

/// What becomes of segments that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unreadable {
    /// Nothing goes on.
    Fails,
    /// It is named, and the others are read.
    IsLeftOut,
}

impl Unreadable {
    fn passes_over(self, error: &Error) -> bool {
        self == Self::IsLeftOut && matches!(error.kind(), Kind::Damaged | Kind::Newer)
    }
}

/// Takes segments in, one after the other. Until all are there each pack is kept once, whoever names
/// it.
struct Builder {
    naming: Naming,
    packs: Vec<Pack>,
    blobs: Vec<Blob>,
    rows: Rows,
}

impl Builder {
    fn new(folder: Option<PathBuf>, room: usize) -> Self {
        let (packs, blobs) = (Vec::new(), Vec::new());
        Self { naming: Naming::default(), packs, blobs, rows: Rows::new(folder, room) }
    }

    fn add(&mut self, id: FileId, segment: IndexSegment) -> Result<()> {
        let Self { naming, packs, blobs, rows } = self;
        naming.add(id, segment, |number, entry| {
            let first = u32::try_from(blobs.len()).map_err(full)?;
            entry.blobs.iter().try_for_each(|blob| add_blob(number, blob, blobs, rows))?;
            packs.push(Pack {
                id: entry.id,
                class: entry.class,
                size: entry.size,
                header: entry.header,
                blobs: (first, u32::try_from(entry.blobs.len()).map_err(full)?),
                chunks: entry.blobs.iter().map(|blob| units::bytes(blob.chunks.len())).sum(),
                time: 0,
            });
            Ok(())
        })
    }

    /// What a segment replaces does not count, nor does a pack that a note drops.
    fn finish(mut self) -> Result<Index> {
        let judged = self.naming.judge();
        let mut counts = Vec::with_capacity(self.packs.len());
        for (number, pack) in self.packs.iter_mut().enumerate() {
            let time = judged.counts(number, &pack.id);
            pack.time = time.unwrap_or_default();
            counts.push(time.is_some());
        }
        let mut index = Index { disputed: judged.disputed.clone(), ..Index::default() };
        let unproven = self.packs.iter().enumerate().filter(|(number, pack)| {
            judged.is_unproven(*number) && judged.counts(*number, &pack.id).is_some()
        });
        index.unproven = unproven.map(|(_, pack)| pack.id).collect();
        for (id, told) in std::mem::take(&mut self.naming).into_segments() {
            let segment = self.segment((id, told), &judged, &mut index.dropped);
            index.segments.push(segment);
        }
        let moved = self.keep_only(&counts)?;
        index.chunks = self.rows.into_table(|blob| match &moved {
            None => Some(blob),
            Some(moved) => moved.get(units::length(u64::from(blob))).copied().flatten(),
        })?;
        index.stored_bytes = self.packs.iter().map(|pack| pack.size).sum();
        (index.packs, index.blobs) = (self.packs, self.blobs);
        let is_leaving =
            |pack: &Pack| judged.marked.contains(&pack.id) && !judged.claimed.contains(&pack.id);
        if index.packs.iter().any(is_leaving) {
            index.leaving = index.packs.iter().map(is_leaving).collect();
        }
        Ok(index)
    }

    /// A segment as an index tells of it; adds its packs that do not count to `dropped`.
    fn segment(
        &self,
        (id, told): (FileId, Told),
        judged: &Judged,
        dropped: &mut HashSet<FileId>,
    ) -> Segment {
        let is_replaced = judged.replaced.contains(&id);
        let (mut chunks, mut dropped_chunks) = (0, 0);
        for number in told.packs.iter().filter(|_| !is_replaced) {
            let Some(pack) = self.packs.get(units::length(u64::from(*number))) else { continue };
            chunks += pack.chunks;
            if judged.taken_out.contains(&pack.id) {
                dropped_chunks += pack.chunks;
                dropped.insert(pack.id);
            }
        }
        let packs = told.packs.len();
        let Told { replaces, notes, time, is_unproven, .. } = told;
        Segment {
            id,
            is_replaced,
            replaces,
            notes,
            chunks,
            dropped_chunks,
            packs,
            time,
            is_unproven,
        }
    }

    /// Takes out the packs that do not count, and their blobs; says where which blob is now, if any
    /// has another place.
    fn keep_only(&mut self, counts: &[bool]) -> Result<Option<Vec<Option<u32>>>> {
        if counts.iter().all(|counts| *counts) {
            return Ok(None);
        }
        let mut moved = vec![None; self.blobs.len()];
        let mut packs = Vec::new();
        let mut blobs = Vec::new();
        let kept = std::mem::take(&mut self.packs).into_iter().zip(counts);
        for (mut pack, _) in kept.filter(|(_, counts)| **counts) {
            let place = u32::try_from(packs.len()).map_err(full)?;
            let start = units::length(u64::from(pack.blobs.0));
            let end = start + units::length(u64::from(pack.blobs.1));
            pack.blobs.0 = u32::try_from(blobs.len()).map_err(full)?;
            let places = moved.get_mut(start..end).unwrap_or_default();
            let old = self.blobs.get(start..end).unwrap_or_default();
            for (blob, now) in old.iter().zip(places) {
                *now = Some(u32::try_from(blobs.len()).map_err(full)?);
                blobs.push(Blob { pack: place, ..*blob });
            }
            packs.push(pack);
        }
        (self.packs, self.blobs) = (packs, blobs);
        Ok(Some(moved))
    }
}

fn add_blob(pack: u32, entry: &BlobEntry, blobs: &mut Vec<Blob>, rows: &mut Rows) -> Result<()> {
    let blob = u32::try_from(blobs.len()).map_err(full)?;
    let mut offset = 0;
    for (id, length) in &entry.chunks {
        rows.push((*id, ChunkPlace { blob, offset, length: *length }))?;
        offset += *length;
    }
    blobs.push(Blob {
        pack,
        ordinal: entry.ordinal,
        offset: u32::try_from(entry.offset).map_err(full)?,
        stored_length: entry.stored_length,
        plain_length: entry.plain_length,
        compression: entry.compression,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{NoteKind, PackEntry};

    fn pack(id: u8, chunk: u8) -> PackEntry {
        PackEntry {
            id: FileId([id; 32]),
            class: PackClass::Data,
            size: 100,
            header: [0; HEADER_BYTES],
            blobs: vec![BlobEntry {
                ordinal: 0,
                offset: 48,
                stored_length: 26,
                plain_length: 10,
                compression: Compression::None,
                chunks: vec![(ChunkId([chunk; 32]), 4), (ChunkId([chunk + 1; 32]), 6)],
            }],
        }
    }

    #[test]
    fn segments_unite_and_replaced_ones_do_not_count() {
        let segment = |packs: Vec<PackEntry>| IndexSegment { packs, ..IndexSegment::default() };
        let old = segment(vec![pack(1, 10)]);
        let merged = IndexSegment {
            replaces: vec![FileId([100; 32])],
            ..segment(vec![pack(1, 10), pack(2, 20)])
        };
        let other = segment(vec![pack(3, 20), pack(2, 20)]);
        let index = Index::from_segments(vec![
            (FileId([100; 32]), old),
            (FileId([101; 32]), merged),
            (FileId([102; 32]), other),
        ])
        .unwrap();
        assert_eq!(index.packs().len(), 3);
        assert_eq!(index.stored_bytes(), 300);
        let place = index.find(&ChunkId([11; 32])).unwrap().unwrap();
        assert_eq!((place.offset, place.length), (4, 6));
        assert_eq!(index.find_all(&ChunkId([20; 32])).unwrap().count(), 2);
        assert!(!index.contains(&ChunkId([99; 32])).unwrap());
    }

    #[test]
    fn notes_say_what_counts_and_what_will_stay() {
        let note = |kind, pack| Note { kind, pack: FileId([pack; 32]), time: 1 };
        let packs = IndexSegment {
            packs: vec![pack(1, 10), pack(2, 20), pack(3, 30), pack(4, 10)],
            ..IndexSegment::default()
        };
        let outdated = IndexSegment {
            notes: vec![note(NoteKind::Mark, 4), note(NoteKind::Drop, 1)],
            ..IndexSegment::default()
        };
        let notes = IndexSegment {
            notes: vec![
                note(NoteKind::Mark, 1),
                note(NoteKind::Mark, 3),
                note(NoteKind::Claim, 3),
                note(NoteKind::Drop, 2),
            ],
            replaces: vec![FileId([102; 32])],
            ..IndexSegment::default()
        };
        let id = |n: u8| FileId([n; 32]);
        let index =
            Index::from_segments(vec![(id(101), packs), (id(102), outdated), (id(103), notes)])
                .unwrap();
        let chunk = |n: u8| ChunkId([n; 32]);
        // Dropped: nobody finds it. Marked: can be read, is not counted on, its twin is.
        assert!(!index.contains(&chunk(20)).unwrap());
        assert_eq!(index.find_all(&chunk(10)).unwrap().count(), 2);
        let twin = index.lasting(&chunk(10)).and_then(|place| index.pack(place)).unwrap();
        assert_eq!(twin.id, id(4));
        // Claimed: counted on whatever its mark.
        assert!(index.lasting(&chunk(30)).is_some());
        assert_eq!(index.packs().len(), 3);
        let first = index.segments().first().unwrap();
        assert_eq!((first.chunks, first.dropped_chunks, first.is_replaced), (8, 2, false));
    }
}
