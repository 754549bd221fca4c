// SPDX-License-Identifier: MIT
//! Index segments: immutable lists of packs and what lies in them. A repository's index is the
//! union of its segments; a later segment may replace earlier ones by naming them. Notes say of
//! packs, wherever they are listed, whether they will stay.

use super::damaged;
use super::envelope::{self, HEADER_BYTES, Header};
use super::pack::{BlobEntry, BlobRecord, PackClass, blob_records, blobs_end, blobs_from};
use crate::base::id::FileId;
use crate::base::{Error, Kind, Result, limits};
use crate::crypto::Keys;
use crate::crypto::sign::SIGNATURE_BYTES;
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
}

/// What a note says of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// No snapshot needed it then: it will be removed a grace period later, and nobody counts on
    /// what lies in it any more.
    Mark,
    /// No segment named it then, though it was there.
    Stray,
    /// It does not count any more, whatever segment names it: it is being removed.
    Drop,
    /// A backup that was running then counts on it: it stays, whatever marks it has.
    Claim,
    /// It was damaged then, and what could be read of it lies elsewhere: it does not count any
    /// more, whatever segment names it.
    Damaged,
}

impl NoteKind {
    /// Whether a pack with this note counts as if no segment named it.
    pub const fn takes_out(self) -> bool {
        matches!(self, Self::Drop | Self::Damaged)
    }
}

/// A note about a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Note {
    /// What it says.
    pub kind: NoteKind,
    /// The pack.
    pub pack: FileId,
    /// When it was noted, in seconds since 1970.
    pub time: i64,
}

/// One index segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexSegment {
    /// The packs it describes.
    pub packs: Vec<PackEntry>,
    /// Segments whose content it took over.
    pub replaces: Vec<FileId>,
    /// What it notes of packs.
    pub notes: Vec<Note>,
    /// When its packs were stored, in seconds since 1970, if that was not long ago: a run that
    /// goes on, or takes up again what was interrupted, may still count on them. 0 otherwise.
    pub time: i64,
    /// Whether nobody who has the master keys vouches for what it says, where there are others that
    /// can write one.
    pub is_unproven: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SegmentRecord {
    #[prost(message, repeated, tag = "1")]
    packs: Vec<PackRecord>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    replaces: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    notes: Vec<NoteRecord>,
    #[prost(sint64, tag = "4")]
    time: i64,
    /// Of the record without it, which is why it comes last and is written by itself.
    #[prost(bytes = "vec", tag = "5")]
    proof: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct NoteRecord {
    /// 1 = mark, 2 = stray, 3 = drop, 4 = claim.
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(bytes = "vec", tag = "2")]
    pack: Vec<u8>,
    #[prost(sint64, tag = "3")]
    time: i64,
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
            header: pack.header.to_vec(),
        });
        let replaces = self.replaces.iter().map(|id| id.as_bytes().to_vec());
        let notes = self.notes.iter().map(|note| NoteRecord {
            kind: match note.kind {
                NoteKind::Mark => 1,
                NoteKind::Stray => 2,
                NoteKind::Drop => 3,
                NoteKind::Claim => 4,
                NoteKind::Damaged => 5,
            },
            pack: note.pack.as_bytes().to_vec(),
            time: note.time,
        });
        SegmentRecord {
            packs: packs.collect(),
            replaces: replaces.collect(),
            notes: notes.collect(),
            time: self.time,
            proof: Vec::new(),
        }
        .encode_to_vec()
    }

    /// The plain record for a file with this salt, proven if these keys can and somebody asks.
    pub fn encode_for(&self, keys: &Keys, salt: &[u8; 32]) -> Vec<u8> {
        let mut record = self.encode();
        if let Some(proof) = keys.prove(salt, &record) {
            record.extend_from_slice(&PROOF_TAG);
            record.extend_from_slice(&proof);
        }
        record
    }

    /// Reads a plain record that was in a file with this header. Where there are write-only keys,
    /// one without a proof adds deposits and claims, and takes nothing away from what others say.
    pub fn decode_for(keys: &Keys, header: &Header, plain: &[u8]) -> Result<Self> {
        let mut segment = Self::decode(plain)?;
        segment.is_unproven = keys.has_authority() && !is_proven(keys, header, plain);
        if segment.is_unproven {
            segment.replaces.clear();
            segment.notes.retain(|note| note.kind == NoteKind::Claim);
            // Write-only keys make nothing else: what looks like a pack of the owner's is a copy of
            // one, and what is said of it a lie.
            segment.packs.retain(|pack| envelope::is_deposit(&pack.header));
        }
        Ok(segment)
    }

    /// What a reader of it must know.
    pub fn features(&self) -> u64 {
        if self.notes.is_empty() { 0 } else { envelope::FEATURE_NOTES }
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
        let notes = record.notes.iter().map(|note| {
            let kind = match note.kind {
                1 => NoteKind::Mark,
                2 => NoteKind::Stray,
                3 => NoteKind::Drop,
                4 => NoteKind::Claim,
                5 => NoteKind::Damaged,
                other => {
                    return Err(Error::new(Kind::Newer, what)
                        .why(format!("notes of kind {other} are not known to this program")));
                }
            };
            Ok(Note { kind, pack: id(&note.pack)?, time: note.time })
        });
        let notes = notes.collect::<Result<_>>()?;
        Ok(Self { packs, replaces, notes, time: record.time, is_unproven: false })
    }
}

/// The start of field 5, 64 bytes long, which comes last: what is in front of it is proven.
const PROOF_TAG: [u8; 2] = [0x2a, 64];

fn is_proven(keys: &Keys, header: &Header, plain: &[u8]) -> bool {
    let Some((record, proof)) = plain.split_last_chunk::<SIGNATURE_BYTES>() else { return false };
    let Some((record, tag)) = record.split_last_chunk::<2>() else { return false };
    *tag == PROOF_TAG && keys.is_proven(header.epoch, &header.salt, record, proof)
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
        };
        let note = |kind, first| Note { kind, pack: FileId([first; 32]), time: 1_800_000_000 };
        let segment = IndexSegment {
            packs: vec![pack.clone()],
            replaces: vec![FileId([8; 32])],
            notes: vec![
                note(NoteKind::Mark, 7),
                note(NoteKind::Stray, 1),
                note(NoteKind::Drop, 2),
                note(NoteKind::Claim, 3),
                note(NoteKind::Damaged, 6),
            ],
            time: 1_800_000_001,
            is_unproven: false,
        };
        assert_eq!(IndexSegment::decode(&segment.encode()).unwrap(), segment);
        assert_eq!(segment.features(), envelope::FEATURE_NOTES);
        let plain = IndexSegment { notes: vec![], ..segment };
        assert_eq!(plain.features(), 0);
        let small = IndexSegment { packs: vec![PackEntry { size: 60, ..pack }], ..plain };
        assert!(IndexSegment::decode(&small.encode()).is_err());
    }

    #[test]
    fn what_nobody_vouches_for_adds_and_takes_nothing_away() {
        let full = Keys::new(crate::crypto::MasterKey::new([9; 32])).with_authority();
        let only = Keys::write_only(full.write_only_parts().unwrap()).unwrap();
        let note = |kind| Note { kind, pack: FileId([7; 32]), time: 1 };
        let kinds = [NoteKind::Mark, NoteKind::Drop, NoteKind::Claim, NoteKind::Damaged];
        let segment = IndexSegment {
            replaces: vec![FileId([8; 32])],
            notes: kinds.map(note).to_vec(),
            ..IndexSegment::default()
        };
        let header = Header::new(crate::format::RecordKind::Index, [3; 32]);
        let read =
            |header: &Header, plain: &[u8]| IndexSegment::decode_for(&only, header, plain).unwrap();
        let proven = segment.encode_for(&full, &[3; 32]);
        assert_eq!(read(&header, &proven), segment);
        assert_eq!(IndexSegment::decode_for(&full, &header, &proven).unwrap(), segment);
        let adds = IndexSegment {
            notes: vec![note(NoteKind::Claim)],
            is_unproven: true,
            ..IndexSegment::default()
        };
        assert_eq!(read(&header, &segment.encode_for(&only, &[3; 32])), adds);
        // A proof of another file, of other bytes, not at the end, or cut.
        assert_eq!(read(&Header { salt: [4; 32], ..header }, &proven), adds);
        assert_eq!(read(&Header { epoch: 1, ..header }, &proven), adds);
        assert_eq!(read(&header, &[&proven[..], &[0x20, 0]].concat()), adds);
        let other = IndexSegment { time: 5, ..segment.clone() }.encode();
        let moved = [&other[..], &proven[proven.len() - 66..]].concat();
        assert_eq!(read(&header, &moved), IndexSegment { time: 5, ..adds });
        // Where there are no write-only keys, nobody proves anything and all counts.
        let plain = Keys::new(crate::crypto::MasterKey::new([9; 32]));
        assert_eq!(segment.encode_for(&plain, &[3; 32]), segment.encode());
        let read = IndexSegment::decode_for(&plain, &header, &segment.encode()).unwrap();
        assert_eq!(read, segment);
    }
}
