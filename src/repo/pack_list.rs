// SPDX-License-Identifier: MIT
//! The packs of an index with all that it says of them, for whoever compares the two: kept as
//! bytes, on a disk if they are many, and taken from there one by one.

use crate::backend::scratch::Scratch;
use crate::base::{Error, FileId, Kind, Result, units};
use crate::format::{IndexSegment, PackEntry};
use std::path::{Path, PathBuf};

/// What is in memory of a pack.
#[derive(Debug, Clone, Copy)]
pub struct PackHead {
    /// Its name.
    pub id: FileId,
    /// Its size as stored.
    pub size: u64,
    at: u64,
    length: usize,
}

/// Bytes that a chunk takes in a list: its id and its length.
const CHUNK_BYTES: usize = 36;

/// Packs in the order in which they were added.
#[derive(Debug)]
pub struct PackList {
    heads: Vec<PackHead>,
    bytes: Bytes,
    folder: Option<PathBuf>,
    /// Bytes that may be in memory, if there is a folder.
    room: usize,
}

#[derive(Debug)]
enum Bytes {
    Memory(Vec<u8>),
    Disk(Scratch),
}

impl PackList {
    /// None yet; more than so many chunks go to the disk of the folder.
    pub fn new(folder: Option<&Path>, chunks: usize) -> Self {
        let (folder, room) = (folder.map(Path::to_owned), chunks.saturating_mul(CHUNK_BYTES));
        Self { heads: Vec::new(), bytes: Bytes::Memory(Vec::new()), folder, room }
    }

    /// Adds one.
    pub fn push(&mut self, entry: PackEntry) -> Result<()> {
        let (id, size) = (entry.id, entry.size);
        let encoded = IndexSegment { packs: vec![entry], ..IndexSegment::default() }.encode();
        let added = match &mut self.bytes {
            Bytes::Disk(scratch) => scratch.append(&encoded).ok(),
            Bytes::Memory(bytes) => Some(add(bytes, &encoded)),
        };
        let at = match added {
            Some(at) => at,
            None => add(self.back_in_memory()?, &encoded),
        };
        self.heads.push(PackHead { id, size, at, length: encoded.len() });
        self.make_room();
        Ok(())
    }

    /// Moves what is too large for memory to the disk; if that cannot be, it stays.
    fn make_room(&mut self) {
        let Bytes::Memory(bytes) = &self.bytes else { return };
        let Some(folder) = self.folder.as_deref().filter(|_| bytes.len() > self.room) else {
            return;
        };
        let moved = Scratch::new(folder).and_then(|mut scratch| {
            scratch.append(bytes)?;
            Ok(scratch)
        });
        match moved {
            Ok(scratch) => self.bytes = Bytes::Disk(scratch),
            Err(_) => self.folder = None,
        }
    }

    /// The disk is full: all are in memory from now on.
    fn back_in_memory(&mut self) -> Result<&mut Vec<u8>> {
        self.folder = None;
        if let Bytes::Disk(scratch) = &self.bytes {
            let length = self.heads.last().map_or(0, |last| units::length(last.at) + last.length);
            let mut bytes = vec![0; length];
            scratch.read(0, &mut bytes)?;
            self.bytes = Bytes::Memory(bytes);
        }
        match &mut self.bytes {
            Bytes::Memory(bytes) => Ok(bytes),
            Bytes::Disk(_) => unreachable!("invariant: it was replaced above"),
        }
    }

    /// The packs, without what lies in them.
    pub fn heads(&self) -> &[PackHead] {
        &self.heads
    }

    /// All that the index says of one of them.
    pub fn entry(&self, head: &PackHead) -> Result<PackEntry> {
        let lost = || Error::new(Kind::Internal, "read a list of packs").why("it is cut off");
        let read = match &self.bytes {
            Bytes::Memory(bytes) => {
                let start = units::length(head.at);
                IndexSegment::decode(bytes.get(start..start + head.length).ok_or_else(lost)?)
            }
            Bytes::Disk(scratch) => {
                let mut bytes = vec![0; head.length];
                scratch.read(head.at, &mut bytes)?;
                IndexSegment::decode(&bytes)
            }
        };
        read?.packs.pop().ok_or_else(lost)
    }
}

/// Returns where the bytes begin.
fn add(bytes: &mut Vec<u8>, more: &[u8]) -> u64 {
    let at = units::bytes(bytes.len());
    bytes.extend_from_slice(more);
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ChunkId;
    use crate::format::envelope::HEADER_BYTES;
    use crate::format::{BlobEntry, Compression, PackClass};

    #[test]
    fn packs_are_the_same_from_a_disk_and_from_memory() {
        let pack = |n: u8| PackEntry {
            id: FileId([n; 32]),
            class: PackClass::Data,
            size: 1000,
            header: [n; HEADER_BYTES],
            blobs: vec![BlobEntry {
                ordinal: 0,
                offset: 48,
                stored_length: 26,
                plain_length: 10,
                compression: Compression::None,
                chunks: vec![(ChunkId([n; 32]), 4), (ChunkId([n + 1; 32]), 6)],
            }],
        };
        let folder = tempfile::tempdir().unwrap();
        // The last one has no room, as on a full disk.
        for place in [None, Some(folder.path()), Some(Path::new("/dev/null/none"))] {
            let mut list = PackList::new(place, 40);
            (0..20).for_each(|n| list.push(pack(n)).unwrap());
            assert_eq!(matches!(list.bytes, Bytes::Disk(_)), place == Some(folder.path()));
            let all_there = |list: &PackList| {
                let entries = list.heads().iter().map(|head| list.entry(head).unwrap());
                assert!(entries.eq((0..20).map(pack)));
            };
            all_there(&list);
            list.back_in_memory().unwrap();
            all_there(&list);
        }
    }
}
