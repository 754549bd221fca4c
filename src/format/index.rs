// SPDX-License-Identifier: MIT
//! Index segments: immutable lists of packs and what lies in them. A repository's index is the
//! union of its segments; a later segment may replace earlier ones by naming them.

use super::damaged;
use super::envelope::HEADER_BYTES;
use super::pack::{BlobEntry, BlobRecord, PackClass, blob_records, blobs_end, blobs_from};
use crate::base::id::FileId;
use crate::base::{Error, Kind, Result, limits};
use prost::Message;

/// One pack in an index segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackEntry {
    /// The pack's name.
    pub id: FileId,
    /// What it holds.
    pub class: PackClass,
    /// Its size as stored.
    pub size: u64,
    /// Its header, so that a blob can be opened with one read.
    pub header: [u8; HEADER_BYTES],
    /// Its blobs in order.
    pub blobs: Vec<BlobEntry>,
    /// When prune found it unused; 0 if it is in use. A pack is deleted only a grace period later.
    pub marked: i64,
}

/// One index segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexSegment {
    /// The packs it describes.
    pub packs: Vec<PackEntry>,
    /// Segments whose content it took over.
    pub replaces: Vec<FileId>,
}

#[derive(Clone, PartialEq, Message)]
struct SegmentRecord {
    #[prost(message, repeated, tag = "1")]
    packs: Vec<PackRecord>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    replaces: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct PackRecord {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    /// 1 = data, 2 = meta.
    #[prost(uint32, tag = "2")]
    class: u32,
    #[prost(uint64, tag = "3")]
    size: u64,
    #[prost(message, repeated, tag = "4")]
    blobs: Vec<BlobRecord>,
    #[prost(sint64, tag = "5")]
    marked: i64,
    #[prost(bytes = "vec", tag = "6")]
    header: Vec<u8>,
}

impl IndexSegment {
    /// The plain record.
    pub fn encode(&self) -> Vec<u8> {
        let packs = self.packs.iter().map(|pack| PackRecord {
            id: pack.id.as_bytes().to_vec(),
            class: match pack.class {
                PackClass::Data => 1,
                PackClass::Meta => 2,
            },
            size: pack.size,
            blobs: blob_records(&pack.blobs),
            marked: pack.marked,
            header: pack.header.to_vec(),
        });
        let replaces = self.replaces.iter().map(|id| id.as_bytes().to_vec());
        SegmentRecord { packs: packs.collect(), replaces: replaces.collect() }.encode_to_vec()
    }

    /// Reads a plain record.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let what = "read an index segment";
        let record =
            SegmentRecord::decode(plain).map_err(|cause| damaged(what, cause.to_string()))?;
        let id = |bytes: &[u8]| {
            FileId::from_slice(bytes)
                .ok_or_else(|| damaged(what, "it holds an id of a wrong length"))
        };
        let packs = record.packs.into_iter().map(|pack| {
            let entry = PackEntry {
                id: id(&pack.id)?,
                class: match pack.class {
                    1 => PackClass::Data,
                    2 => PackClass::Meta,
                    other => {
                        return Err(Error::new(Kind::Newer, what)
                            .why(format!("packs of class {other} are not known to this program")));
                    }
                },
                size: pack.size,
                blobs: blobs_from(pack.blobs)?,
                marked: pack.marked,
                header: <[u8; HEADER_BYTES]>::try_from(pack.header.as_slice())
                    .map_err(|_| damaged(what, "it holds a header of a wrong length"))?,
            };
            if entry.size > limits::PACK_FILE_BYTES_MAX {
                return Err(damaged(what, format!("pack {} is too large to be one", entry.id)));
            }
            if entry.size < blobs_end(&entry.blobs) {
                return Err(damaged(what, format!("pack {} is smaller than its blobs", entry.id)));
            }
            Ok(entry)
        });
        let packs = packs.collect::<Result<_>>()?;
        let replaces = record.replaces.iter().map(|bytes| id(bytes)).collect::<Result<_>>()?;
        Ok(Self { packs, replaces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ChunkId;
    use crate::format::Compression;

    #[test]
    fn a_segment_survives_encoding() {
        let blob = BlobEntry {
            ordinal: 0,
            offset: 48,
            stored_length: 23,
            plain_length: 7,
            compression: Compression::None,
            chunks: vec![(ChunkId([1; 32]), 3), (ChunkId([2; 32]), 4)],
        };
        let pack = PackEntry {
            id: FileId([7; 32]),
            class: PackClass::Meta,
            size: 100,
            header: [9; HEADER_BYTES],
            blobs: vec![blob],
            marked: 0,
        };
        let segment = IndexSegment { packs: vec![pack.clone()], replaces: vec![FileId([8; 32])] };
        assert_eq!(IndexSegment::decode(&segment.encode()).unwrap(), segment);
        let small = IndexSegment { packs: vec![PackEntry { size: 60, ..pack }], replaces: vec![] };
        assert!(IndexSegment::decode(&small.encode()).is_err());
    }
}
