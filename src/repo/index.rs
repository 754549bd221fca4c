// SPDX-License-Identifier: MIT
//! The index in memory: packs, their blobs, and a sorted table of chunks at 44 bytes each. Built
//! from the segments of the repository; never changed afterwards (a writer keeps its own additions).

use super::Repository;
use super::chunk_table::ChunkTable;
use crate::backend::FileKind;
use crate::base::monitor::check_cancelled;
use crate::base::{ChunkId, Error, FileId, Kind, Monitor, Result, Within, limits, units};
use crate::format::envelope::HEADER_BYTES;
use crate::format::{
    BlobEntry, Compression, IndexSegment, Note, NoteKind, PackClass, PackEntry, RecordKind,
};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

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
}

/// The rows of a table of chunks to be.
type Chunks = Vec<(ChunkId, ChunkPlace)>;

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
}

impl Index {
    /// Reads all segments. A segment that vanishes meanwhile was merged into a new one by somebody
    /// else, so the listing is taken again.
    pub fn load(repository: &Repository, monitor: &dyn Monitor) -> Result<Self> {
        for _ in 0..5 {
            match Self::load_once(repository, monitor) {
                Err(error) if error.kind() == Kind::NotFound => {}
                loaded => return loaded.within(|| "load the index"),
            }
        }
        Err(Error::new(Kind::InUse, "load the index")
            .why("its segments kept changing")
            .hint("run the command again"))
    }

    fn load_once(repository: &Repository, monitor: &dyn Monitor) -> Result<Self> {
        let mut segments = BTreeMap::new();
        // A listing is no single moment: it may miss a segment that was merged away and the one
        // made of it too. That one was there before the other went, so the next listing has it.
        for round in 0..limits::INDEX_LISTINGS_MAX {
            let listed = repository.list(FileKind::Index)?;
            if let Some(copy) = repository.copy() {
                copy.keep_only(FileKind::Index, &listed.iter().map(|(name, _)| *name).collect());
            }
            let known = segments.len();
            for (name, size) in listed {
                check_cancelled(monitor)?;
                if segments.contains_key(&name.id) {
                    continue;
                }
                let plain = repository.load_listed(RecordKind::Index, (name, size))?;
                let segment = IndexSegment::decode(&plain).within(|| format!("read {name}"))?;
                segments.insert(name.id, segment);
            }
            if round > 0 && segments.len() == known {
                break;
            }
        }
        // If somebody adds segments faster than they are listed, those of before are all here.
        Self::from_segments(segments.into_iter().collect())
    }

    /// Builds an index from segments. What a segment replaces is left out, so is a pack that a note
    /// drops, and a pack named twice counts once.
    pub fn from_segments(segments: Vec<(FileId, IndexSegment)>) -> Result<Self> {
        let replaced: HashSet<FileId> =
            segments.iter().flat_map(|(_, segment)| segment.replaces.iter().copied()).collect();
        let valid = || segments.iter().filter(|(id, _)| !replaced.contains(id));
        let noted = |is_meant: fn(NoteKind) -> bool| -> HashSet<FileId> {
            let notes = valid().flat_map(|(_, segment)| &segment.notes);
            notes.filter(|note| is_meant(note.kind)).map(|note| note.pack).collect()
        };
        let dropped = noted(NoteKind::takes_out);
        let claimed = noted(|kind| kind == NoteKind::Claim);
        let marked = noted(|kind| kind == NoteKind::Mark);
        let mut index = Self::default();
        let mut seen = HashSet::new();
        let mut chunks = Vec::new();
        for (id, segment) in segments {
            let is_replaced = replaced.contains(&id);
            let (mut named, mut dropped_chunks) = (0, 0);
            for pack in segment.packs.iter().filter(|_| !is_replaced) {
                let inside =
                    pack.blobs.iter().map(|blob| units::bytes(blob.chunks.len())).sum::<u64>();
                named += inside;
                if dropped.contains(&pack.id) {
                    dropped_chunks += inside;
                    index.dropped.insert(pack.id);
                } else if seen.insert(pack.id) {
                    index.add_pack(pack, segment.time, &mut chunks)?;
                }
            }
            index.segments.push(Segment {
                id,
                is_replaced,
                replaces: segment.replaces,
                notes: segment.notes,
                chunks: named,
                dropped_chunks,
                packs: segment.packs.len(),
                time: segment.time,
            });
        }
        index.chunks = ChunkTable::new(chunks);
        let is_leaving = |pack: &Pack| marked.contains(&pack.id) && !claimed.contains(&pack.id);
        if index.packs.iter().any(is_leaving) {
            index.leaving = index.packs.iter().map(is_leaving).collect();
        }
        Ok(index)
    }

    fn add_pack(&mut self, entry: &PackEntry, time: i64, chunks: &mut Chunks) -> Result<()> {
        let full = |_| Error::new(Kind::Limit, "load the index").why("it has too many entries");
        let pack = u32::try_from(self.packs.len()).map_err(full)?;
        let first = u32::try_from(self.blobs.len()).map_err(full)?;
        for blob in &entry.blobs {
            self.add_blob(pack, blob, chunks)?;
        }
        self.stored_bytes += entry.size;
        self.packs.push(Pack {
            id: entry.id,
            class: entry.class,
            size: entry.size,
            header: entry.header,
            blobs: (first, u32::try_from(entry.blobs.len()).map_err(full)?),
            time,
        });
        Ok(())
    }

    fn add_blob(&mut self, pack: u32, entry: &BlobEntry, chunks: &mut Chunks) -> Result<()> {
        let full = |_| Error::new(Kind::Limit, "load the index").why("it has too many entries");
        let blob = u32::try_from(self.blobs.len()).map_err(full)?;
        let mut offset = 0;
        for (id, length) in &entry.chunks {
            chunks.push((*id, ChunkPlace { blob, offset, length: *length }));
            offset += *length;
        }
        self.blobs.push(Blob {
            pack,
            ordinal: entry.ordinal,
            offset: u32::try_from(entry.offset).map_err(full)?,
            stored_length: entry.stored_length,
            plain_length: entry.plain_length,
            compression: entry.compression,
        });
        Ok(())
    }

    /// Forgets the chunks of the packs that `is_lost` names; returns those packs.
    pub fn leave_out(&mut self, is_lost: impl Fn(u32, &Pack) -> bool) -> Vec<(u32, FileId)> {
        let lost: HashSet<u32> = (0u32..)
            .zip(&self.packs)
            .filter(|(place, pack)| is_lost(*place, pack))
            .map(|(place, _)| place)
            .collect();
        if lost.is_empty() {
            return Vec::new();
        }
        let blobs = &self.blobs;
        let pack_of = |place: &ChunkPlace| {
            blobs.get(units::length(u64::from(place.blob))).map(|blob| blob.pack)
        };
        self.chunks.retain(|place| pack_of(place).is_some_and(|pack| !lost.contains(&pack)));
        (0u32..)
            .zip(&self.packs)
            .filter(|(place, _)| lost.contains(place))
            .map(|(place, pack)| (place, pack.id))
            .collect()
    }

    /// Where a chunk lies.
    pub fn find(&self, id: &ChunkId) -> Option<ChunkPlace> {
        self.find_all(id).next()
    }

    /// All places of a chunk: two writers may have stored it at the same time.
    pub fn find_all<'a>(&'a self, id: &'a ChunkId) -> impl Iterator<Item = ChunkPlace> + 'a {
        self.chunks.find_all(id)
    }

    /// Whether a chunk is stored, for now at least.
    pub fn contains(&self, id: &ChunkId) -> bool {
        self.find(id).is_some()
    }

    /// Where in [`Self::chunks`] the rows of a chunk are.
    pub fn rows_of(&self, id: &ChunkId) -> Range<usize> {
        self.chunks.rows_of(id)
    }

    /// A pack that has this chunk and will stay. Only this may be counted on by what is stored from
    /// now on: a chunk in a pack that is leaving can still be read, but not for long.
    pub fn lasting(&self, id: &ChunkId) -> Option<u32> {
        let mut packs = self.find_all(id).filter_map(|place| Some(self.blob(place.blob)?.pack));
        if self.leaving.is_empty() {
            return packs.next();
        }
        packs.find(|pack| !self.is_leaving(*pack))
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

    /// All chunks, sorted by id.
    pub fn chunks(&self) -> &[(ChunkId, ChunkPlace)] {
        self.chunks.rows()
    }

    /// Packs that segments name though they do not count any more.
    pub fn dropped(&self) -> &HashSet<FileId> {
        &self.dropped
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let place = index.find(&ChunkId([11; 32])).unwrap();
        assert_eq!((place.offset, place.length), (4, 6));
        assert_eq!(index.find_all(&ChunkId([20; 32])).count(), 2);
        assert!(!index.contains(&ChunkId([99; 32])));
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
        assert!(!index.contains(&chunk(20)));
        assert_eq!(index.find_all(&chunk(10)).count(), 2);
        let twin = index.lasting(&chunk(10)).and_then(|place| index.pack(place)).unwrap();
        assert_eq!(twin.id, id(4));
        // Claimed: counted on whatever its mark.
        assert!(index.lasting(&chunk(30)).is_some());
        assert_eq!(index.packs().len(), 3);
        let first = index.segments().first().unwrap();
        assert_eq!((first.chunks, first.dropped_chunks, first.is_replaced), (8, 2, false));
    }
}
