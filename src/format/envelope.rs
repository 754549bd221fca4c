// SPDX-License-Identifier: MIT
//! The 48-byte header every sealed file starts with, and sealed records (config, index segments,
//! snapshots): header, then one sealed message.

use super::compress::{Compressor, decompress};
use super::damaged;
use crate::base::{Error, Kind, Result, limits, units};
use crate::crypto::{Keys, NoKey, NonceIndex, Purpose, SealKey};

/// The format this program writes.
pub const FORMAT_VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 48;
/// Some file of a snapshot is stored row by row, as `format/rows.rs` says.
pub const FEATURE_ROWS: u64 = 1;
/// An index segment carries notes about packs: not all that it or others name will stay.
pub const FEATURE_NOTES: u64 = 2;
/// Of a config: the repository admits write-only keys. Of a key slot: it holds such keys. Of a pack
/// or snapshot: it is a deposit, sealed by such keys.
pub const FEATURE_WRITE_ONLY: u64 = 4;
/// A key slot that ends with a proof of who made it.
pub const FEATURE_PROVEN_SLOT: u64 = 8;
const MAGIC: [u8; 4] = *b"GSNP";
/// The header up to the salt: bound to every message of its file.
const BOUND_BYTES: usize = 16;

/// What a file of the repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// The repository's own description.
    Config,
    /// A wrapped master key.
    KeySlot,
    /// One user or path at one time.
    Snapshot,
    /// Which chunk lies where.
    Index,
    /// Blobs of file content.
    DataPack,
    /// Blobs of trees.
    MetaPack,
    /// A running operation.
    Lock,
    /// An entry of the history.
    History,
}

impl RecordKind {
    const ALL: [Self; 8] = [
        Self::Config,
        Self::KeySlot,
        Self::Snapshot,
        Self::Index,
        Self::DataPack,
        Self::MetaPack,
        Self::Lock,
        Self::History,
    ];

    const fn code(self) -> u8 {
        match self {
            Self::Config => 1,
            Self::KeySlot => 2,
            Self::Snapshot => 3,
            Self::Index => 4,
            Self::DataPack => 5,
            Self::MetaPack => 6,
            Self::Lock => 7,
            Self::History => 8,
        }
    }

    /// The word used in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::KeySlot => "key slot",
            Self::Snapshot => "snapshot",
            Self::Index => "index segment",
            Self::DataPack => "data pack",
            Self::MetaPack => "meta pack",
            Self::Lock => "lock",
            Self::History => "entry of the history",
        }
    }

    /// Bytes of the largest plain record: others than the owner may be able to add snapshots, and
    /// all of them are read to list one.
    const fn plain_max(self) -> usize {
        match self {
            Self::Snapshot => limits::SNAPSHOT_PLAIN_BYTES_MAX,
            _ => limits::RECORD_PLAIN_BYTES_MAX,
        }
    }

    fn with_article(self) -> String {
        let word = self.word();
        let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {word}")
    }

    /// Features that a reader of this kind knows.
    const fn known_features(self) -> u64 {
        let some = FEATURE_ROWS | FEATURE_NOTES;
        match self {
            Self::Index | Self::Lock | Self::History => some,
            Self::KeySlot => some | FEATURE_WRITE_ONLY | FEATURE_PROVEN_SLOT,
            Self::Config | Self::Snapshot | Self::DataPack | Self::MetaPack => {
                some | FEATURE_WRITE_ONLY
            }
        }
    }

    /// The sub-key this kind is sealed under; key slots are sealed under a password's key instead.
    pub const fn purpose(self) -> Option<Purpose> {
        match self {
            Self::Config => Some(Purpose::Config),
            Self::KeySlot => None,
            Self::Snapshot => Some(Purpose::Snapshot),
            Self::Index => Some(Purpose::Index),
            Self::DataPack => Some(Purpose::DataPack),
            Self::MetaPack => Some(Purpose::MetaPack),
            Self::Lock => Some(Purpose::Lock),
            Self::History => Some(Purpose::History),
        }
    }
}

/// The plain start of a sealed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the file is.
    pub kind: RecordKind,
    /// Which generation of the master key it is sealed under: how often keys were rotated before.
    pub epoch: u16,
    /// Features its reader must know.
    pub features: u64,
    /// Random, never used twice.
    pub salt: [u8; 32],
}

impl Header {
    /// A header as this program writes it.
    pub fn new(kind: RecordKind, salt: [u8; 32]) -> Self {
        Self { kind, epoch: 0, features: 0, salt }
    }

    /// The 48 bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let parts: [&[u8]; 5] = [
            &MAGIC,
            &[self.kind.code(), FORMAT_VERSION],
            &self.epoch.to_le_bytes(),
            &self.features.to_le_bytes(),
            &self.salt,
        ];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// Reads a header and refuses what is not ours, of another kind, or of a newer version.
    pub fn decode(bytes: &[u8], expected: RecordKind) -> Result<Self> {
        let what = || format!("read a {}", expected.word());
        let short = || damaged(what(), "it is shorter than its header");
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
        let ([kind, version], rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        let (epoch, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        let (features, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let (salt, _) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        if *magic != MAGIC {
            return Err(damaged(what(), "it does not start like a Ghostsnap file"));
        }
        let features = u64::from_le_bytes(*features);
        let unknown = features & !expected.known_features();
        if *version > FORMAT_VERSION || unknown != 0 {
            return Err(newer(what(), *version, unknown));
        }
        if *version == 0 {
            return Err(damaged(what(), "its format version is 0"));
        }
        let epoch = u16::from_le_bytes(*epoch);
        let found = RecordKind::ALL.into_iter().find(|one| one.code() == *kind);
        if found != Some(expected) {
            let found = found.map_or("of an unknown kind", RecordKind::word);
            return Err(damaged(what(), format!("the file is a {found}")));
        }
        Ok(Self { kind: expected, epoch, features, salt: *salt })
    }
}

fn newer(what: String, version: u8, features: u64) -> Error {
    let why = if version > FORMAT_VERSION {
        format!("it has format version {version}, this program knows up to {FORMAT_VERSION}")
    } else {
        format!("it needs features {features:#x} that this program does not know")
    };
    Error::new(Kind::Newer, what)
        .why(why)
        .hint("it was written by a newer ghostsnap: update this one")
}

/// Which generation of the master key a file with this header is sealed under.
pub fn epoch_of(header: &[u8; HEADER_BYTES]) -> u16 {
    u16::from_le_bytes([header[6], header[7]])
}

/// Whether a file with this header was sealed by write-only keys: nobody vouches for what it says.
pub fn is_deposit(header: &[u8; HEADER_BYTES]) -> bool {
    let features = std::array::from_fn(|at| header.get(8 + at).copied().unwrap_or_default());
    u64::from_le_bytes(features) & FEATURE_WRITE_ONLY != 0
}

/// The salt in a header.
pub fn salt_of(header: &[u8; HEADER_BYTES]) -> [u8; 32] {
    std::array::from_fn(|at| header.get(BOUND_BYTES + at).copied().unwrap_or_default())
}

fn purpose_of(kind: RecordKind) -> Result<Purpose> {
    kind.purpose().ok_or_else(|| {
        Error::new(Kind::Internal, format!("find the key of a {}", kind.word()))
            .why("its kind has none")
    })
}

/// The header of a new file and its key. Of `header`, kind and features count, and its salt, which
/// must be fresh randomness.
pub(super) fn new_key(keys: &Keys, header: &Header) -> Result<(Header, SealKey)> {
    let Header { kind, salt, features, .. } = *header;
    let Some(file) = keys.new_file(purpose_of(kind)?, &salt) else {
        return Err(write_only(format!("make a {}", kind.word())));
    };
    // The config of a repository says by the same bit something about all of it.
    let own = if file.is_deposit { FEATURE_WRITE_ONLY } else { 0 };
    let features = features | own;
    Ok((Header { kind, epoch: file.epoch, features, salt: file.salt }, file.key))
}

/// The key of the file with this header.
pub(super) fn key_of(keys: &Keys, header: &Header) -> Result<SealKey> {
    let Header { kind, epoch, salt, features } = header;
    let can_be = kind.purpose().is_some() && *kind != RecordKind::Config;
    let is_deposit = can_be && features & FEATURE_WRITE_ONLY != 0;
    let what = || format!("open {}", kind.with_article());
    keys.file_key(purpose_of(*kind)?, *epoch, is_deposit, salt).map_err(|reason| match reason {
        NoKey::Epoch => Error::new(Kind::Newer, what())
            .why("the keys of the repository were rotated since, and these are those of before")
            .hint(
                "run it again; if that does not help, 'ghostsnap key list' shows which keys open \
                 everything",
            ),
        NoKey::WriteOnly => write_only(what()),
        NoKey::Salt => damaged(what(), "its salt is not that of a sealed file"),
    })
}

/// Whether these keys are meant to open a file with this header: what others have stored is none of
/// the business of whoever can only add.
pub fn is_ours(keys: &Keys, header: &Header) -> bool {
    let Some(purpose) = header.kind.purpose() else { return true };
    let is_deposit = header.features & FEATURE_WRITE_ONLY != 0;
    let key = keys.file_key(purpose, header.epoch, is_deposit, &header.salt);
    !keys.is_write_only() || !matches!(key, Err(NoKey::WriteOnly))
}

/// What write-only keys cannot do.
pub fn write_only(what: impl Into<String>) -> Error {
    Error::new(Kind::Forbidden, what)
        .why("this key is write-only: it adds backups and cannot read or remove what is stored")
        .hint("do it with the owner's key (--key-file), best on another machine")
}

/// What is bound to message `index` of a file with this header.
pub fn bound_data(header: &[u8; HEADER_BYTES], index: NonceIndex) -> [u8; BOUND_BYTES + 8] {
    let index = match index {
        NonceIndex::Message(index) => u64::from(index),
        NonceIndex::End => u64::MAX,
    };
    let mut bound = [0; BOUND_BYTES + 8];
    let parts = header.iter().take(BOUND_BYTES).copied().chain(index.to_le_bytes());
    bound.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    bound
}

/// Frames a plain record: compression byte, plain length, then the possibly compressed bytes.
pub fn frame(plain: &[u8], compressor: &mut Compressor) -> Result<Vec<u8>> {
    let plain_length = u32::try_from(plain.len())
        .map_err(|_| Error::new(Kind::Limit, "write a record").why("it is larger than 4 GiB"))?;
    let mut framed = Vec::with_capacity(plain.len() / 2 + 64);
    framed.push(0);
    framed.extend_from_slice(&plain_length.to_le_bytes());
    let compression = compressor.compress_onto(plain, &mut framed);
    if let Some(first) = framed.first_mut() {
        *first = compression.code();
    }
    Ok(framed)
}

/// Undoes [`frame`].
pub fn unframe(framed: &[u8], plain_max: usize) -> Result<Vec<u8>> {
    let what = "read a record";
    let ([compression], rest) =
        framed.split_first_chunk::<1>().ok_or_else(|| damaged(what, "it is empty"))?;
    let (length, body) =
        rest.split_first_chunk::<4>().ok_or_else(|| damaged(what, "it has no length"))?;
    let plain_length = units::length(u64::from(u32::from_le_bytes(*length)));
    if plain_length > plain_max {
        return Err(damaged(what, format!("it claims {plain_length} bytes")));
    }
    decompress(*compression, body, plain_length)
}

/// Seals one record (config, snapshot, index segment or lock).
pub fn seal_record(keys: &Keys, kind: RecordKind, salt: [u8; 32], plain: &[u8]) -> Result<Vec<u8>> {
    seal_with_features(keys, Header::new(kind, salt), plain)
}

/// Seals one record, under the newest keys, with a header that may ask for features.
pub fn seal_with_features(keys: &Keys, header: Header, plain: &[u8]) -> Result<Vec<u8>> {
    let (header, key) = new_key(keys, &header)?;
    let kind = header.kind;
    let header = header.encode();
    let index = NonceIndex::Message(0);
    let mut text = frame(plain, &mut Compressor::new(3)?)?;
    let tag = key.seal(index, &bound_data(&header, index), &mut text);
    let stored = [&header[..], &text, &tag].concat();
    // What nobody could read again is not written.
    if plain.len() > kind.plain_max() || units::bytes(stored.len()) > limits::RECORD_BYTES_MAX {
        return Err(Error::new(Kind::Limit, "seal a record")
            .why(format!("it is {} bytes long, which is more than may be read", stored.len())));
    }
    Ok(stored)
}

/// Opens a record sealed by [`seal_record`].
pub fn open_record(keys: &Keys, kind: RecordKind, stored: &[u8]) -> Result<Vec<u8>> {
    open_with_header(keys, kind, stored).map(|(_, plain)| plain)
}

/// The same, with its header.
pub fn open_with_header(keys: &Keys, kind: RecordKind, stored: &[u8]) -> Result<(Header, Vec<u8>)> {
    let what = || format!("open {}", kind.with_article());
    if units::bytes(stored.len()) > limits::RECORD_BYTES_MAX {
        return Err(damaged(what(), format!("it is {} bytes long", stored.len())));
    }
    let header = Header::decode(stored, kind)?;
    let (plain_header, sealed) = stored
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| damaged(what(), "it is shorter than its header"))?;
    let index = NonceIndex::Message(0);
    let mut text = sealed.to_vec();
    let opened = key_of(keys, &header)?
        .open(index, &bound_data(plain_header, index), &mut text)
        .ok_or_else(|| damaged(what(), "its contents were changed or cut off"))?;
    Ok((header, unframe(opened, kind.plain_max())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;

    fn keys() -> Keys {
        Keys::new(MasterKey::new([9; 32]))
    }

    #[test]
    fn a_record_opens_only_as_what_it_is() {
        let stored = seal_record(&keys(), RecordKind::Snapshot, [1; 32], b"hello").unwrap();
        assert_eq!(open_record(&keys(), RecordKind::Snapshot, &stored).unwrap(), b"hello");
        let error = open_record(&keys(), RecordKind::Index, &stored).unwrap_err();
        assert!(error.one_line().contains("the file is a snapshot"), "{error}");
        let mut posing = stored.clone();
        posing[4] = RecordKind::Index.code();
        assert_eq!(
            open_record(&keys(), RecordKind::Index, &posing).unwrap_err().kind(),
            Kind::Damaged
        );
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let stored = seal_record(&keys(), RecordKind::Index, [1; 32], &[7; 300]).unwrap();
        for place in 0..stored.len() {
            let mut bent = stored.clone();
            bent[place] ^= 0x10;
            assert!(open_record(&keys(), RecordKind::Index, &bent).is_err(), "byte {place}");
            assert!(open_record(&keys(), RecordKind::Index, &stored[..place]).is_err());
        }
    }

    #[test]
    fn a_newer_version_or_feature_is_unsupported_not_damaged() {
        let stored = seal_record(&keys(), RecordKind::Config, [1; 32], b"x").unwrap();
        let mut version = stored.clone();
        version[5] = 99;
        let mut feature = stored.clone();
        feature[8] = 128;
        // Only some kinds of file can be deposits.
        let mut deposit = seal_record(&keys(), RecordKind::Index, [1; 32], b"x").unwrap();
        deposit[8] = 4;
        let index = open_record(&keys(), RecordKind::Index, &deposit).unwrap_err();
        assert_eq!(index.kind(), Kind::Newer);
        // Sealed under keys that came later.
        let mut epoch = stored.clone();
        epoch[6] = 1;
        for bytes in [version, feature, epoch] {
            assert_eq!(
                open_record(&keys(), RecordKind::Config, &bytes).unwrap_err().kind(),
                Kind::Newer
            );
        }
    }

    #[test]
    fn a_deposit_opens_with_the_owners_keys_and_says_what_it_is() {
        let only = Keys::write_only(keys().write_only_parts().unwrap()).unwrap();
        let stored = seal_record(&only, RecordKind::Snapshot, [1; 32], b"hello").unwrap();
        assert_eq!(stored[8], 4);
        assert!(is_deposit(stored.first_chunk().unwrap()));
        assert_eq!(open_record(&keys(), RecordKind::Snapshot, &stored).unwrap(), b"hello");
        let other = Keys::write_only(keys().write_only_parts().unwrap()).unwrap();
        let error = open_record(&other, RecordKind::Snapshot, &stored).unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden, "{error}");
        let mut bent = stored.clone();
        bent[16..48].fill(0);
        let error = open_record(&keys(), RecordKind::Snapshot, &bent).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        let mut posing = stored;
        posing[8] = 0;
        let error = open_record(&keys(), RecordKind::Snapshot, &posing).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        let error = seal_record(&only, RecordKind::History, [1; 32], b"x").unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden, "{error}");
    }

    #[test]
    fn a_record_that_claims_to_be_huge_is_refused_before_allocation() {
        assert!(unframe(&[1, 0xff, 0xff, 0xff, 0xff, 1, 2, 3], 1000).is_err());
        assert!(unframe(&[0, 5, 0, 0, 0, 1], 1000).is_err());
        assert!(unframe(&[], 1000).is_err());
        assert!(unframe(&[0, 5, 0, 0, 0, 1, 2, 3, 4, 5], 4).is_err());
        assert!(unframe(&[0, 5, 0, 0, 0, 1, 2, 3, 4, 5], 5).is_ok());
    }
}
