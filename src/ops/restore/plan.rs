// SPDX-License-Identifier: MIT
//! Which parts of which packs go where: pure data, made from the tree and the index before
//! anything is read.

use crate::base::{ChunkId, Error, Kind, RelPath, Result, limits};
use crate::format::Node;
use crate::repo::Index;
use crate::repo::reader::Span;
use std::sync::atomic::{AtomicBool, AtomicU32};

/// How a file's new content reaches its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Nothing is there: create it.
    Create,
    /// Write another file beside it, then rename over it.
    Replace(Vec<u8>),
    /// Write the changed parts into it, if it still is the file of this device and inode.
    InPlace((u64, u64)),
}

/// One file to be written.
#[derive(Debug)]
pub struct FilePlan {
    /// Where, below the target.
    pub path: RelPath,
    /// What.
    pub node: Node,
    /// How.
    pub way: Way,
    /// Parts still to be written.
    pub parts_left: AtomicU32,
    /// Some part could not be had.
    pub failed: AtomicBool,
    /// We made a file for it that is not complete yet; nothing else is ours to remove.
    pub unfinished: AtomicBool,
}

impl FilePlan {
    /// A file of which so many parts are to be written.
    pub fn new(path: RelPath, node: Node, way: Way, parts: u32) -> Self {
        let (failed, unfinished) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { path, node, way, parts_left: AtomicU32::new(parts), failed, unfinished }
    }
}

/// One part of one file: `length` bytes at `from` of a plain blob, to `to` of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The chunk, for finding it elsewhere if this place is damaged.
    pub id: ChunkId,
    /// Place of the blob in the index.
    pub blob: u32,
    /// First byte in the chunk.
    pub skip: u32,
    /// First byte in the plain blob.
    pub from: u32,
    /// Bytes.
    pub length: u32,
    /// Place of the file in the plan.
    pub file: u32,
    /// First byte in the file.
    pub to: u64,
}

/// Consecutive blobs of one pack that are read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Place of the pack in the index.
    pub pack: u32,
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// Its parts, sorted by blob: a range of the plan's parts.
    pub parts: std::ops::Range<usize>,
}

/// A stretch of a chunk and its place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What goes there.
    pub span: Span,
    /// First byte in the file.
    pub to: u64,
}

/// The stretches of chunks that make up a file, with the places they go to.
pub fn places(node: &Node, spans: &[Span]) -> Result<Vec<Place>> {
    let damaged = |why: &str| Error::new(Kind::Damaged, "lay the file out").why(why.to_owned());
    let whole = [(0, node.meta.size)];
    let extents = if node.extents.is_empty() { &whole[..] } else { &node.extents };
    let mut extents = extents.iter().copied();
    let (mut at, mut left) = extents.next().unwrap_or((0, 0));
    let mut places = Vec::with_capacity(spans.len());
    for span in spans {
        if left == 0 {
            (at, left) = extents.next().ok_or_else(|| damaged("it has more data than its size"))?;
        }
        let length = u64::from(span.length);
        if length > left {
            return Err(damaged("a chunk reaches beyond its data"));
        }
        places.push(Place { span: *span, to: at });
        at += length;
        left -= length;
    }
    if left > 0 || extents.next().is_some() {
        return Err(damaged("it has less data than its size"));
    }
    Ok(places)
}

/// Sorts parts by where they lie and joins neighbours into reads of at most `longest` bytes, or of
/// one blob.
pub fn reads(index: &Index, parts: &mut [Part], longest: u64) -> Result<Vec<Read>> {
    parts.sort_unstable_by_key(|part| (part.blob, part.from));
    let lost = || Error::new(Kind::Damaged, "plan the reads").why("the index does not add up");
    let mut reads: Vec<Read> = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let blob = index.blob(part.blob).ok_or_else(lost)?;
        let start = u64::from(blob.offset);
        let end = start + u64::from(blob.stored_length);
        match reads.last_mut() {
            Some(last) if joins(last, blob.pack, start, end, longest) => {
                last.end = last.end.max(end);
                last.parts.end = place + 1;
            }
            _ => reads.push(Read { pack: blob.pack, start, end, parts: place..place + 1 }),
        }
    }
    Ok(reads)
}

fn joins(last: &Read, pack: u32, start: u64, end: u64, longest: u64) -> bool {
    last.pack == pack
        && start >= last.start
        && start <= last.end + limits::COALESCE_GAP_BYTES
        && end - last.start <= longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FileId;
    use crate::format::envelope::HEADER_BYTES;
    use crate::format::{BlobEntry, Compression, IndexSegment, PackClass, PackEntry};

    fn index() -> Index {
        let blob = |ordinal: u32, offset, stored| BlobEntry {
            ordinal,
            offset,
            stored_length: stored,
            plain_length: 10,
            compression: Compression::None,
            chunks: vec![(ChunkId([u8::try_from(ordinal).unwrap(); 32]), 10)],
        };
        let pack = PackEntry {
            id: FileId([1; 32]),
            class: PackClass::Data,
            size: 1 << 30,
            header: [0; HEADER_BYTES],
            blobs: vec![blob(0, 48, 100), blob(1, 148, 100), blob(2, 50_000_000, 100)],
        };
        let segment = IndexSegment { packs: vec![pack], ..IndexSegment::default() };
        Index::from_segments(vec![(FileId([2; 32]), segment)]).unwrap()
    }

    #[test]
    fn neighbours_are_read_together_and_far_ones_apart() {
        let id = ChunkId([0; 32]);
        let part = |blob| Part { id, blob, skip: 0, from: 0, length: 10, file: 0, to: 0 };
        let mut parts = [part(2), part(0), part(1)];
        let reads = reads(&index(), &mut parts, limits::COALESCE_READ_BYTES).unwrap();
        assert_eq!(reads.len(), 2);
        assert_eq!((reads[0].start, reads[0].end, reads[0].parts.clone()), (48, 248, 0..2));
        assert_eq!(reads[1].parts, 2..3);
    }

    #[test]
    fn data_that_does_not_fit_its_size_is_damage() {
        let span = |n| Span { id: ChunkId([n; 32]), from: 0, length: 10 };
        let mut node = Node::default();
        node.meta.size = 20;
        assert_eq!(places(&node, &[span(0), span(1)]).unwrap()[1].to, 10);
        assert!(places(&node, &[span(0)]).is_err());
        assert!(places(&node, &[span(0), span(1), span(2)]).is_err());
        node.meta.size = 100;
        node.extents = vec![(30, 10), (60, 10)];
        assert_eq!(places(&node, &[span(0), span(1)]).unwrap()[1].to, 60);
        node.extents = vec![(30, 5), (60, 15)];
        assert!(places(&node, &[span(0), span(1)]).is_err());
    }
}
