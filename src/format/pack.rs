// SPDX-License-Identifier: MIT
//! Packs: header, sealed blobs back to back, a sealed list of the blobs, and a footer that finds
//! the list. A pack is built in memory and written once; a lost index can be rebuilt from the ends
//! of all packs.

use super::compress::Compression;
use super::envelope::{
    HEADER_BYTES, Header, RecordKind, bound_data, frame, key_of, new_key, unframe,
};
use super::{Compressor, damaged};
use crate::base::id::{ChunkId, FileId, ID_BYTES};
use crate::base::{Error, Kind, Result, limits, units};
use crate::crypto::{Keys, NonceIndex, SealKey, TAG_BYTES};
use prost::Message;

/// Whether a pack holds file content or trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackClass {
    /// File content.
    Data,
    /// Trees and long chunk lists.
    Meta,
}

impl PackClass {
    /// The record kind of its packs.
    pub const fn kind(self) -> RecordKind {
        match self {
            Self::Data => RecordKind::DataPack,
            Self::Meta => RecordKind::MetaPack,
        }
    }
}

/// One blob of a pack: where its sealed bytes lie and which chunks it holds, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEntry {
    /// Position in the pack; also its nonce.
    pub ordinal: u32,
    /// First byte in the pack file.
    pub offset: u64,
    /// Sealed bytes, tag included.
    pub stored_length: u32,
    /// Bytes after opening and decompressing.
    pub plain_length: u32,
    /// How the plain bytes are stored.
    pub compression: Compression,
    /// The chunks one after another: id and plain length.
    pub chunks: Vec<(ChunkId, u32)>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BlobRecord {
    #[prost(uint32, tag = "1")]
    stored_length: u32,
    #[prost(uint32, tag = "2")]
    plain_length: u32,
    #[prost(uint32, tag = "3")]
    compression: u32,
    /// Ids, 32 bytes each.
    #[prost(bytes = "vec", tag = "4")]
    ids: Vec<u8>,
    /// One plain length per id; left out if there is one chunk, which is then the whole blob.
    #[prost(uint32, repeated, tag = "5")]
    lengths: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct PackEndRecord {
    #[prost(message, repeated, tag = "1")]
    blobs: Vec<BlobRecord>,
}

pub(super) fn blob_records(blobs: &[BlobEntry]) -> Vec<BlobRecord> {
    blobs.iter().map(blob_record).collect()
}

fn blob_record(blob: &BlobEntry) -> BlobRecord {
    let lengths = match blob.chunks.as_slice() {
        [_] => Vec::new(),
        chunks => chunks.iter().map(|(_, length)| *length).collect(),
    };
    BlobRecord {
        stored_length: blob.stored_length,
        plain_length: blob.plain_length,
        compression: u32::from(blob.compression.code()),
        ids: blob.chunks.iter().flat_map(|(id, _)| *id.as_bytes()).collect(),
        lengths,
    }
}

/// Rebuilds the blob list from its records, checking that it could be the content of one pack.
pub(super) fn blobs_from(records: Vec<BlobRecord>) -> Result<Vec<BlobEntry>> {
    let mut offset = units::bytes(HEADER_BYTES);
    let mut blobs = Vec::with_capacity(records.len());
    for (ordinal, record) in (0u32..).zip(records) {
        let blob = blob_from(ordinal, offset, record)?;
        offset += u64::from(blob.stored_length);
        blobs.push(blob);
    }
    if offset > limits::PACK_FILE_BYTES_MAX {
        return Err(damaged("read a list of blobs", "it describes more than 4 GiB"));
    }
    Ok(blobs)
}

fn blob_from(ordinal: u32, offset: u64, record: BlobRecord) -> Result<BlobEntry> {
    let wrong = |why: &str| damaged(format!("read blob {ordinal} of a list of blobs"), why);
    let code = u8::try_from(record.compression).map_err(|_| wrong("its compression is unknown"))?;
    let (ids, rest) = record.ids.as_chunks::<ID_BYTES>();
    if !rest.is_empty() || ids.is_empty() || ids.len() > limits::BLOB_CHUNKS_MAX {
        return Err(wrong("its chunk ids do not add up"));
    }
    let lengths = if ids.len() == 1 { vec![record.plain_length] } else { record.lengths };
    let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
    let plain_max = units::bytes(limits::BLOB_PLAIN_BYTES_MAX);
    if lengths.len() != ids.len()
        || total != u64::from(record.plain_length)
        || total > plain_max
        || u64::from(record.stored_length) > plain_max + units::bytes(TAG_BYTES)
        || units::length(u64::from(record.stored_length)) < TAG_BYTES
    {
        return Err(wrong("its lengths do not add up"));
    }
    Ok(BlobEntry {
        ordinal,
        offset,
        stored_length: record.stored_length,
        plain_length: record.plain_length,
        compression: Compression::from_code(code)?,
        chunks: ids.iter().map(|id| ChunkId(*id)).zip(lengths).collect(),
    })
}

const FOOTER_MAGIC: [u8; 4] = *b"GSNE";
/// Length of the sealed end (u32) and the footer's magic.
pub const FOOTER_BYTES: usize = 8;

/// Builds one pack in memory.
pub struct PackWriter {
    key: SealKey,
    header: [u8; HEADER_BYTES],
    bytes: Vec<u8>,
    blobs: Vec<BlobEntry>,
}

impl PackWriter {
    /// Starts a pack; `salt` must be fresh randomness, `room` is what the pack will about hold.
    pub fn new(keys: &Keys, class: PackClass, salt: [u8; 32], room: usize) -> Result<Self> {
        let (header, key) = new_key(keys, &Header::new(class.kind(), salt))?;
        let header = header.encode();
        let mut bytes = Vec::with_capacity(room);
        bytes.extend_from_slice(&header);
        Ok(Self { key, header, bytes, blobs: Vec::new() })
    }

    /// Seals one blob into the pack.
    pub fn add(
        &mut self,
        compressed: &[u8],
        compression: Compression,
        chunks: Vec<(ChunkId, u32)>,
    ) -> Result<()> {
        let too_large = |_| Error::new(Kind::Limit, "add a blob to a pack").why("it is too large");
        let ordinal = u32::try_from(self.blobs.len()).map_err(too_large)?;
        let stored_length = u32::try_from(compressed.len() + TAG_BYTES).map_err(too_large)?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(compressed);
        let index = NonceIndex::Message(ordinal);
        let text = self.bytes.get_mut(start..).unwrap_or_default();
        let tag = self.key.seal(index, &bound_data(&self.header, index), text);
        self.bytes.extend_from_slice(&tag);
        self.blobs.push(BlobEntry {
            ordinal,
            offset: units::bytes(start),
            stored_length,
            plain_length: chunks.iter().map(|(_, length)| *length).sum(),
            compression,
            chunks,
        });
        Ok(())
    }

    /// The pack's header, for the index.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        self.header
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        units::bytes(self.bytes.len())
    }

    /// Whether it holds no blob.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Adds the sealed end; returns the file's bytes and the list of its blobs.
    pub fn finish(mut self) -> Result<(Vec<u8>, Vec<BlobEntry>)> {
        let record = PackEndRecord { blobs: blob_records(&self.blobs) };
        let mut end = frame(&record.encode_to_vec(), &mut Compressor::new(3)?)?;
        let bound = bound_data(&self.header, NonceIndex::End);
        let tag = self.key.seal(NonceIndex::End, &bound, &mut end);
        let length = u32::try_from(end.len() + TAG_BYTES)
            .map_err(|_| Error::new(Kind::Limit, "end a pack").why("its blob list is too long"))?;
        for part in [&end[..], &tag, &length.to_le_bytes(), &FOOTER_MAGIC] {
            self.bytes.extend_from_slice(part);
        }
        Ok((self.bytes, self.blobs))
    }
}

/// Opens what lies in one pack.
pub struct PackReader {
    key: SealKey,
    header: [u8; HEADER_BYTES],
}

impl PackReader {
    /// Prepares to open parts of the pack that starts with `start` (at least its header).
    pub fn new(keys: &Keys, class: PackClass, start: &[u8]) -> Result<Self> {
        let header = Header::decode(start, class.kind())?;
        // The bytes as stored are what the blobs are bound to, whatever version wrote them.
        let stored = start
            .first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| damaged("read a pack", "it is shorter than its header"))?;
        Ok(Self { key: key_of(keys, &header)?, header: *stored })
    }

    /// Prepares from the header that the index keeps, so that no read is spent on it.
    pub fn from_header(keys: &Keys, class: PackClass, header: &[u8; HEADER_BYTES]) -> Result<Self> {
        Self::new(keys, class, header)
    }

    /// Opens one blob in place; returns its still compressed bytes.
    pub fn open_blob<'b>(&self, ordinal: u32, sealed: &'b mut [u8]) -> Result<&'b [u8]> {
        let index = NonceIndex::Message(ordinal);
        match self.key.open(index, &bound_data(&self.header, index), sealed) {
            Some(text) => Ok(text),
            None => Err(damaged(format!("open blob {ordinal}"), "its bytes were changed")),
        }
    }

    /// Opens the sealed end of a pack, given the bytes between the last blob and the footer.
    pub fn open_end(&self, sealed: &[u8]) -> Result<Vec<BlobEntry>> {
        let what = "open the end of a pack";
        let mut text = sealed.to_vec();
        let bound = bound_data(&self.header, NonceIndex::End);
        let opened = self
            .key
            .open(NonceIndex::End, &bound, &mut text)
            .ok_or_else(|| damaged(what, "its bytes were changed"))?;
        let record =
            PackEndRecord::decode(unframe(opened, limits::RECORD_PLAIN_BYTES_MAX)?.as_slice())
                .map_err(|cause| damaged(what, cause.to_string()))?;
        blobs_from(record.blobs)
    }
}

/// Length of the sealed end, read from the last [`FOOTER_BYTES`] of a pack of `size` bytes.
pub fn end_length(footer: &[u8], size: u64) -> Result<u64> {
    let what = "read the end of a pack";
    let (length, magic) =
        footer.split_first_chunk::<4>().ok_or_else(|| damaged(what, "it is too short"))?;
    let length = u64::from(u32::from_le_bytes(*length));
    let room = size.saturating_sub(units::bytes(HEADER_BYTES + FOOTER_BYTES));
    if magic != FOOTER_MAGIC || length > room || length > limits::PACK_END_BYTES_MAX {
        return Err(damaged(what, "it is cut off or was changed"));
    }
    Ok(length)
}

/// What a pack of these blobs must weigh without its end; for comparing with the stored size.
pub fn blobs_end(blobs: &[BlobEntry]) -> u64 {
    blobs
        .last()
        .map_or(units::bytes(HEADER_BYTES), |blob| blob.offset + u64::from(blob.stored_length))
}

/// The name of a file: the hash of its stored bytes.
pub fn file_id(bytes: &[u8]) -> FileId {
    FileId(*blake3::hash(bytes).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;

    fn keys() -> Keys {
        Keys::new(MasterKey::new([9; 32]))
    }

    fn pack() -> (Vec<u8>, Vec<BlobEntry>) {
        let mut writer = PackWriter::new(&keys(), PackClass::Data, [4; 32], 1000).unwrap();
        let chunks = vec![(ChunkId([1; 32]), 3), (ChunkId([2; 32]), 4)];
        writer.add(b"abcdefg", Compression::None, chunks).unwrap();
        writer.add(b"hello", Compression::None, vec![(ChunkId([3; 32]), 5)]).unwrap();
        writer.finish().unwrap()
    }

    fn read_end(bytes: &[u8]) -> Result<Vec<BlobEntry>> {
        let reader = PackReader::new(&keys(), PackClass::Data, bytes)?;
        let footer = bytes.len() - FOOTER_BYTES;
        let length = units::length(end_length(&bytes[footer..], units::bytes(bytes.len()))?);
        reader.open_end(&bytes[footer - length..footer])
    }

    #[test]
    fn a_pack_tells_its_blobs_from_its_end_alone() {
        let (bytes, blobs) = pack();
        assert_eq!(read_end(&bytes).unwrap(), blobs);
        let reader = PackReader::new(&keys(), PackClass::Data, &bytes).unwrap();
        for (blob, plain) in blobs.iter().zip([&b"abcdefg"[..], b"hello"]) {
            let start = units::length(blob.offset);
            let mut sealed =
                bytes[start..start + units::length(blob.stored_length.into())].to_vec();
            assert_eq!(reader.open_blob(blob.ordinal, &mut sealed).unwrap(), plain);
        }
    }

    #[test]
    fn blobs_cannot_change_places_or_packs() {
        let (bytes, blobs) = pack();
        let reader = PackReader::new(&keys(), PackClass::Data, &bytes).unwrap();
        let start = units::length(blobs[1].offset);
        let mut sealed =
            bytes[start..start + units::length(blobs[1].stored_length.into())].to_vec();
        assert!(reader.open_blob(0, &mut sealed.clone()).is_err());
        let other = PackWriter::new(&keys(), PackClass::Data, [5; 32], 0).unwrap();
        let other = other.finish().unwrap().0;
        let other = PackReader::new(&keys(), PackClass::Data, &other).unwrap();
        assert!(other.open_blob(1, &mut sealed).is_err());
        assert!(PackReader::new(&keys(), PackClass::Meta, &bytes).is_err());
    }

    #[test]
    fn every_changed_byte_of_the_end_is_noticed() {
        let (bytes, blobs) = pack();
        for place in units::length(blobs_end(&blobs))..bytes.len() {
            let mut bent = bytes.clone();
            bent[place] ^= 1;
            assert!(read_end(&bent).is_err(), "byte {place}");
        }
    }

    #[test]
    fn lists_that_do_not_add_up_are_refused() {
        let good = BlobRecord {
            stored_length: 20,
            plain_length: 4,
            compression: 0,
            ids: vec![1; 32],
            lengths: vec![],
        };
        assert!(blobs_from(vec![good.clone()]).is_ok());
        for bad in [
            BlobRecord { ids: vec![1; 33], ..good.clone() },
            BlobRecord { ids: vec![], ..good.clone() },
            BlobRecord { ids: vec![1; 64], lengths: vec![4, 1], ..good.clone() },
            BlobRecord { stored_length: 3, ..good.clone() },
            BlobRecord { plain_length: u32::MAX, ..good.clone() },
            BlobRecord { compression: 9, ..good },
        ] {
            assert!(blobs_from(vec![bad]).is_err());
        }
    }
}
