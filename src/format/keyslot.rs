// SPDX-License-Identifier: MIT
//! Key slots: the master keys wrapped under a password (Argon2id) or under a random key file. The
//! wrapping key's parameters are readable by anybody and bound to the wrapped key, so that nobody
//! can weaken them.

use super::envelope::{self, HEADER_BYTES, Header, RecordKind};
use super::{damaged, kit};
use crate::base::{Error, Kind, Result, Timestamp, World, limits};
use crate::crypto::kdf::derive_from_key_file;
use crate::crypto::keys::WriteOnlyParts;
use crate::crypto::sign::SIGNATURE_BYTES;
use crate::crypto::{KdfParams, Keys, MasterKey, NonceIndex, SealKey};
use prost::Message;
use zeroize::{Zeroize, Zeroizing};

/// What opens a slot.
#[derive(Clone)]
pub enum Secret {
    /// Something a person can remember; goes through Argon2id.
    Password(Zeroizing<Vec<u8>>),
    /// 32 random bytes from a key file.
    KeyFile(Zeroizing<[u8; 32]>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Secret(password)",
            Self::KeyFile(_) => "Secret(key file)",
        })
    }
}

/// First line of a key file; the second is the key in hexadecimal.
const KEY_FILE_FIRST_LINE: &str = "ghostsnap-key-file v1";

impl Secret {
    /// A password.
    pub fn password(text: &str) -> Self {
        Self::Password(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// Reads the text of a file: a key file or a recovery kit if it starts like one, else its first
    /// line is a password.
    pub fn from_file_text(text: &str) -> Result<Self> {
        let mut lines = text.lines().map(str::trim_end);
        let first = lines.next().unwrap_or_default();
        if first == KEY_FILE_FIRST_LINE {
            let id = crate::base::id::FileId::parse(lines.next().unwrap_or_default().trim())
                .map_err(|_| {
                    Error::new(Kind::Password, "read the key file")
                        .why("its second line is not a key of 64 hexadecimal digits")
                })?;
            return Ok(Self::KeyFile(Zeroizing::new(id.0)));
        }
        if first.eq_ignore_ascii_case(kit::FIRST_LINE) {
            return kit::read(text);
        }
        if first.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("ghostsnap")) {
            return Err(Error::new(Kind::Password, "read the key file")
                .why("its first line is mistyped: it begins like that of a key, and is another"));
        }
        if first.is_empty() {
            return Err(
                Error::new(Kind::Password, "read the password file").why("its first line is empty")
            );
        }
        Ok(Self::password(first))
    }

    /// The text of a new key file around 32 random bytes.
    pub fn key_file_text(key: &[u8; 32]) -> Zeroizing<String> {
        let id = crate::base::id::FileId(*key);
        Zeroizing::new(format!("{KEY_FILE_FIRST_LINE}\n{id}\n"))
    }
}

/// What a slot says about itself without being opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlot {
    /// What its owner called it.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    /// Argon2id parameters; `None` if a key file opens it.
    pub kdf: Option<KdfParams>,
    /// The newest epoch whose key it holds.
    pub epoch: u16,
    /// Whether its keys can only add.
    pub write_only: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SlotRecord {
    #[prost(string, tag = "1")]
    label: String,
    #[prost(sint64, tag = "2")]
    created: i64,
    /// 1 = Argon2id, 2 = key file.
    #[prost(uint32, tag = "3")]
    method: u32,
    #[prost(uint32, tag = "4")]
    memory_kib: u32,
    #[prost(uint32, tag = "5")]
    passes: u32,
    #[prost(uint32, tag = "6")]
    lanes: u32,
    #[prost(uint32, tag = "7")]
    epoch: u32,
}

const METHOD_ARGON2ID: u32 = 1;
const METHOD_KEY_FILE: u32 = 2;

/// The wrapped part: the master key of each epoch, or else write-only keys.
#[derive(Clone, PartialEq, Message)]
struct WrappedRecord {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<WrappedKey>,
    #[prost(message, optional, tag = "2")]
    write_only: Option<WriteOnlyRecord>,
    /// Whether the repository admits write-only keys: who has such a key can seal another config,
    /// and this not.
    #[prost(bool, tag = "3")]
    write_only_keys: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WriteOnlyRecord {
    #[prost(bytes = "vec", tag = "1")]
    data_chunk_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    tree_chunk_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    row_group_name: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    gear: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    config: Vec<u8>,
    #[prost(message, repeated, tag = "6")]
    epochs: Vec<WriteOnlyEpoch>,
    #[prost(bytes = "vec", tag = "7")]
    deposit: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct WriteOnlyEpoch {
    #[prost(bytes = "vec", tag = "1")]
    index: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    lock: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    authority: Vec<u8>,
}

impl Drop for WrappedGuard {
    fn drop(&mut self) {
        self.0.keys.iter_mut().for_each(|one| one.key.zeroize());
        let Some(only) = &mut self.0.write_only else { return };
        let parts = [
            &mut only.data_chunk_id,
            &mut only.tree_chunk_id,
            &mut only.row_group_name,
            &mut only.gear,
            &mut only.config,
        ];
        parts.into_iter().for_each(Zeroize::zeroize);
        only.epochs.iter_mut().for_each(|one| {
            one.index.zeroize();
            one.lock.zeroize();
        });
    }
}

/// A wrapped part that leaves no key behind in memory.
struct WrappedGuard(WrappedRecord);

#[derive(Clone, PartialEq, Message)]
struct WrappedKey {
    #[prost(uint32, tag = "1")]
    epoch: u32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

/// Makes the stored bytes of a new slot. Its epoch is that of the keys, and what they can do is
/// what `slot` says: of master keys, either all or only to add.
pub fn seal_slot(keys: &Keys, secret: &Secret, slot: &KeySlot, world: &World) -> Result<Vec<u8>> {
    let salt = world.random_32()?;
    let slot = KeySlot { epoch: keys.newest_epoch(), ..slot.clone() };
    let record = slot_record(&slot, secret);
    let wrapping = wrapping_key(secret, slot.kdf, &salt)?;
    let adds = if slot.write_only { envelope::FEATURE_WRITE_ONLY } else { 0 };
    let can_prove = keys.has_authority() && !keys.is_write_only();
    let proves = if can_prove { envelope::FEATURE_PROVEN_SLOT } else { 0 };
    let features = adds | proves;
    let header = Header { features, ..Header::new(RecordKind::KeySlot, salt) };
    let plain_part = plain_part(&header, &record)?;
    let wrapped = WrappedGuard(if slot.write_only { adding(keys)? } else { all_of(keys)? });
    let mut text = Zeroizing::new(wrapped.0.encode_to_vec());
    let tag = SealKey::new(&wrapping).seal(NonceIndex::Message(0), &plain_part, &mut text);
    let mut stored = [&plain_part[..], &text, &tag].concat();
    if let Some(proof) = keys.prove_slot(&stored) {
        stored.extend_from_slice(&proof);
    }
    Ok(stored)
}

fn all_of(keys: &Keys) -> Result<WrappedRecord> {
    if keys.is_write_only() {
        return Err(envelope::write_only("make a key slot"));
    }
    let wrapped = (0u32..).zip(keys.masters());
    let wrapped = wrapped.map(|(epoch, key)| WrappedKey { epoch, key: key.expose().to_vec() });
    let write_only_keys = keys.has_authority();
    Ok(WrappedRecord { keys: wrapped.collect(), write_only: None, write_only_keys })
}

fn adding(keys: &Keys) -> Result<WrappedRecord> {
    let parts = keys.write_only_parts();
    let parts = parts.ok_or_else(|| envelope::write_only("make a key slot"))?;
    let [data_chunk_id, tree_chunk_id, row_group_name] = parts.names.map(|key| key.to_vec());
    let epochs = parts.epochs.iter().map(|(index, lock, authority)| WriteOnlyEpoch {
        index: index.to_vec(),
        lock: lock.to_vec(),
        authority: authority.to_vec(),
    });
    let record = WriteOnlyRecord {
        data_chunk_id,
        tree_chunk_id,
        row_group_name,
        gear: parts.gear.to_vec(),
        config: parts.config.to_vec(),
        epochs: epochs.collect(),
        deposit: parts.deposit.to_vec(),
    };
    Ok(WrappedRecord { keys: Vec::new(), write_only: Some(record), write_only_keys: true })
}

fn slot_record(slot: &KeySlot, secret: &Secret) -> SlotRecord {
    let kdf = slot.kdf.unwrap_or(KdfParams { memory_kib: 0, passes: 0, lanes: 0 });
    SlotRecord {
        label: slot.label.clone(),
        created: slot.created.seconds,
        method: match secret {
            Secret::Password(_) => METHOD_ARGON2ID,
            Secret::KeyFile(_) => METHOD_KEY_FILE,
        },
        memory_kib: kdf.memory_kib,
        passes: kdf.passes,
        lanes: kdf.lanes,
        epoch: u32::from(slot.epoch),
    }
}

fn wrapping_key(
    secret: &Secret,
    kdf: Option<KdfParams>,
    salt: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>> {
    match (secret, kdf) {
        (Secret::Password(password), Some(kdf)) => kdf.derive(password, salt),
        (Secret::KeyFile(key), None) => Ok(derive_from_key_file(key, salt)),
        _ => Err(Error::new(Kind::Internal, "use a key slot").why("its method and secret differ")),
    }
}

/// Header, length of the slot record, slot record: readable by all, bound to the wrapped key.
fn plain_part(header: &Header, record: &SlotRecord) -> Result<Vec<u8>> {
    let record = record.encode_to_vec();
    let length = u32::try_from(record.len())
        .map_err(|_| Error::new(Kind::Limit, "write a key slot").why("its label is too long"))?;
    Ok([&header.encode()[..], &length.to_le_bytes(), &record].concat())
}

struct ParsedSlot<'s> {
    header: Header,
    slot: KeySlot,
    plain_part: &'s [u8],
    sealed: &'s [u8],
    /// What is proven, and the proof.
    proof: Option<(&'s [u8], &'s [u8; SIGNATURE_BYTES])>,
}

fn parse(stored: &[u8]) -> Result<ParsedSlot<'_>> {
    let what = "read a key slot";
    let header = Header::decode(stored, RecordKind::KeySlot)?;
    let cut = || damaged(what, "it is cut off");
    let mut proof = None;
    if header.features & envelope::FEATURE_PROVEN_SLOT != 0 {
        proof = Some(stored.split_last_chunk().ok_or_else(cut)?);
    }
    let stored = proof.map_or(stored, |(proven, _)| proven);
    let (length, rest) = stored
        .get(HEADER_BYTES..)
        .and_then(|rest| rest.split_first_chunk::<4>())
        .ok_or_else(cut)?;
    let length = crate::base::units::length(u64::from(u32::from_le_bytes(*length)));
    let record = rest.get(..length).ok_or_else(cut)?;
    let (plain_part, sealed) = stored.split_at(HEADER_BYTES + 4 + length);
    let record = SlotRecord::decode(record).map_err(|cause| damaged(what, cause.to_string()))?;
    let kdf = match record.method {
        METHOD_ARGON2ID => Some(KdfParams {
            memory_kib: record.memory_kib,
            passes: record.passes,
            lanes: record.lanes,
        }),
        METHOD_KEY_FILE => None,
        other => {
            return Err(Error::new(Kind::Newer, what)
                .why(format!("its method {other} is not known to this program")));
        }
    };
    let epoch = u16::try_from(record.epoch).ok().filter(|one| *one < limits::EPOCHS_MAX);
    let epoch = epoch.ok_or_else(|| damaged(what, "its epoch makes no sense"))?;
    let created = Timestamp::from_seconds(record.created);
    let write_only = header.features & envelope::FEATURE_WRITE_ONLY != 0;
    let slot = KeySlot { label: record.label, created, kdf, epoch, write_only };
    Ok(ParsedSlot { header, slot, plain_part, sealed, proof })
}

/// What the slot says about itself, if somebody who has master keys made it: where there are
/// write-only keys, others may have put something here that looks like one.
pub fn describe_proven_slot(keys: &Keys, stored: &[u8]) -> Result<Option<KeySlot>> {
    let ParsedSlot { slot, proof, .. } = parse(stored)?;
    let is_proven = proof.is_some_and(|(slot, proof)| keys.is_slot_proven(slot, proof));
    Ok(Some(slot).filter(|_| is_proven || !keys.has_authority()))
}

/// What the slot says about itself.
pub fn describe_slot(stored: &[u8]) -> Result<KeySlot> {
    parse(stored).map(|parsed| parsed.slot)
}

/// Opens the slot; `None` if it belongs to another secret.
pub fn open_slot(stored: &[u8], secret: &Secret) -> Result<Option<Keys>> {
    let parsed = parse(stored)?;
    let fits = matches!(
        (secret, parsed.slot.kdf),
        (Secret::Password(_), Some(_)) | (Secret::KeyFile(_), None)
    );
    if !fits {
        return Ok(None);
    }
    let wrapping = wrapping_key(secret, parsed.slot.kdf, &parsed.header.salt)?;
    let mut text = Zeroizing::new(parsed.sealed.to_vec());
    let key = SealKey::new(&wrapping);
    let Some(plain) = key.open(NonceIndex::Message(0), parsed.plain_part, &mut text) else {
        return Ok(None);
    };
    if parsed.slot.write_only {
        return adding_of(plain, parsed.slot.epoch).map(Some);
    }
    keys_of(plain, parsed.slot.epoch).map(Some)
}

fn wrapped_of(plain: &[u8]) -> Result<WrappedGuard> {
    let wrapped = WrappedRecord::decode(plain);
    wrapped.map(WrappedGuard).map_err(|cause| damaged(OPENING, cause.to_string()))
}

/// Write-only keys.
fn adding_of(plain: &[u8], newest: u16) -> Result<Keys> {
    let wrapped = wrapped_of(plain)?;
    let record = wrapped.0.write_only.as_ref();
    let record = record.ok_or_else(|| damaged(OPENING, "it holds no write-only keys"))?;
    if record.epochs.len() != usize::from(newest) + 1 {
        return Err(damaged(OPENING, "it holds another number of keys than it says"));
    }
    let public = |bytes: &[u8]| {
        let key = <[u8; 32]>::try_from(bytes);
        key.map_err(|_| damaged(OPENING, "a key in it is not 32 bytes"))
    };
    let secret = |bytes: &[u8]| public(bytes).map(Zeroizing::new);
    let epoch = |one: &WriteOnlyEpoch| {
        Ok((secret(&one.index)?, secret(&one.lock)?, public(&one.authority)?))
    };
    let parts = WriteOnlyParts {
        names: [
            secret(&record.data_chunk_id)?,
            secret(&record.tree_chunk_id)?,
            secret(&record.row_group_name)?,
        ],
        gear: Zeroizing::new(record.gear.clone()),
        config: secret(&record.config)?,
        epochs: record.epochs.iter().map(epoch).collect::<Result<_>>()?,
        deposit: public(&record.deposit)?,
    };
    Keys::write_only(parts).ok_or_else(|| damaged(OPENING, "its keys make no sense"))
}

const OPENING: &str = "open a key slot";

fn keys_of(plain: &[u8], newest: u16) -> Result<Keys> {
    let what = OPENING;
    let wrapped = wrapped_of(plain)?;
    if wrapped.0.keys.len() != usize::from(newest) + 1 {
        return Err(damaged(what, "it holds another number of keys than it says"));
    }
    let mut keys: Option<Keys> = None;
    for (epoch, one) in (0u32..).zip(&wrapped.0.keys) {
        let key = <[u8; 32]>::try_from(one.key.as_slice()).map(MasterKey::new);
        let key = key.map_err(|_| damaged(what, "a key in it is not 32 bytes"))?;
        if one.epoch != epoch {
            return Err(damaged(what, "the keys in it are not in order"));
        }
        keys = Some(match keys {
            None => Keys::new(key),
            Some(keys) => keys.rotated(key),
        });
    }
    let keys = keys.ok_or_else(|| damaged(what, "it holds no key"))?;
    Ok(if wrapped.0.write_only_keys { keys.with_authority() } else { keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(kdf: Option<KdfParams>) -> KeySlot {
        KeySlot {
            label: "office".to_owned(),
            created: Timestamp::from_seconds(9),
            kdf,
            epoch: 0,
            write_only: false,
        }
    }

    #[test]
    fn a_password_slot_opens_with_its_password_only() {
        let world = World::seeded(1);
        let keys = Keys::new(MasterKey::new([5; 32]));
        let secret = Secret::password("correct horse");
        let stored = seal_slot(&keys, &secret, &slot(Some(KdfParams::FLOOR)), &world).unwrap();
        let opened = open_slot(&stored, &secret).unwrap().unwrap();
        assert_eq!(opened.masters().next().unwrap().expose(), &[5; 32]);
        assert!(open_slot(&stored, &Secret::password("wrong")).unwrap().is_none());
        assert_eq!(describe_slot(&stored).unwrap(), slot(Some(KdfParams::FLOOR)));
    }

    #[test]
    fn a_key_file_slot_ignores_passwords_and_notices_every_change() {
        let world = World::seeded(1);
        let keys = Keys::new(MasterKey::new([5; 32]));
        let text = Secret::key_file_text(&[8; 32]);
        let secret = Secret::from_file_text(&text).unwrap();
        let stored = seal_slot(&keys, &secret, &slot(None), &world).unwrap();
        assert!(open_slot(&stored, &secret).unwrap().is_some());
        assert!(open_slot(&stored, &Secret::password("x")).unwrap().is_none());
        for place in 0..stored.len() {
            let mut bent = stored.clone();
            bent[place] ^= 1;
            assert!(!matches!(open_slot(&bent, &secret), Ok(Some(_))), "byte {place}");
            assert!(!matches!(open_slot(&stored[..place], &secret), Ok(Some(_))));
        }
    }

    #[test]
    fn a_slot_holds_the_keys_of_all_epochs_in_order() {
        let world = World::seeded(1);
        let keys = Keys::new(MasterKey::new([5; 32])).rotated(MasterKey::new([6; 32]));
        let secret = Secret::from_file_text(&Secret::key_file_text(&[8; 32])).unwrap();
        let stored = seal_slot(&keys, &secret, &slot(None), &world).unwrap();
        let opened = open_slot(&stored, &secret).unwrap().unwrap();
        let masters: Vec<u8> = opened.masters().map(|one| one.expose()[0]).collect();
        assert_eq!(masters, [5, 6]);
        assert_eq!(describe_slot(&stored).unwrap().epoch, 1);
        let wrapped = |epochs: &[u32]| {
            let key = |epoch: &u32| WrappedKey { epoch: *epoch, key: vec![1; 32] };
            let keys = epochs.iter().map(key).collect();
            WrappedRecord { keys, ..WrappedRecord::default() }.encode_to_vec()
        };
        assert!(keys_of(&wrapped(&[0, 1]), 1).is_ok());
        for (epochs, newest) in [(&[][..], 0), (&[0], 1), (&[0, 1], 0), (&[1, 0], 1), (&[0, 2], 1)]
        {
            assert!(keys_of(&wrapped(epochs), newest).is_err(), "{epochs:?} {newest}");
        }
    }

    #[test]
    fn a_write_only_slot_gives_keys_that_only_add() {
        let world = World::seeded(1);
        let keys = Keys::new(MasterKey::new([5; 32])).rotated(MasterKey::new([6; 32]));
        let secret = Secret::from_file_text(&Secret::key_file_text(&[8; 32])).unwrap();
        let slot = KeySlot { write_only: true, ..slot(None) };
        let stored = seal_slot(&keys, &secret, &slot, &world).unwrap();
        assert_eq!(describe_slot(&stored).unwrap(), KeySlot { epoch: 1, ..slot.clone() });
        let opened = open_slot(&stored, &secret).unwrap().unwrap();
        assert!(opened.is_write_only() && opened.masters().next().is_none());
        // Those that open everything know of it, too.
        let full = KeySlot { write_only: false, ..slot.clone() };
        for keys in [keys.clone(), keys.clone().with_authority()] {
            let stored = seal_slot(&keys, &secret, &full, &world).unwrap();
            let opened = open_slot(&stored, &secret).unwrap().unwrap();
            assert_eq!(opened.has_authority(), keys.has_authority());
        }
        assert_eq!(opened.data_id(b"x"), keys.data_id(b"x"));
        for place in 0..stored.len() {
            let mut bent = stored.clone();
            bent[place] ^= 4;
            assert!(!matches!(open_slot(&bent, &secret), Ok(Some(_))), "byte {place}");
        }
        // Neither master keys nor another slot come out of it.
        for write_only in [true, false] {
            let slot = KeySlot { write_only, ..slot.clone() };
            let error = seal_slot(&opened, &secret, &slot, &world).unwrap_err();
            assert_eq!(error.kind(), Kind::Forbidden, "{error}");
        }
        let whole = adding(&keys).unwrap();
        assert!(adding_of(&whole.encode_to_vec(), 1).is_ok());
        let record = whole.write_only.unwrap();
        let broken = [
            WriteOnlyRecord { gear: vec![1; 9], ..record.clone() },
            WriteOnlyRecord { deposit: vec![0; 32], ..record.clone() },
            WriteOnlyRecord { config: vec![], ..record.clone() },
            WriteOnlyRecord { epochs: vec![], ..record },
        ];
        for record in broken {
            let wrapped = WrappedRecord { write_only: Some(record), ..WrappedRecord::default() };
            assert!(adding_of(&wrapped.encode_to_vec(), 1).is_err());
        }
    }

    #[test]
    fn files_of_passwords_and_keys_are_told_apart() {
        assert!(matches!(Secret::from_file_text("hunter2\n").unwrap(), Secret::Password(_)));
        assert!(Secret::from_file_text("").is_err());
        assert!(Secret::from_file_text("ghostsnap-key-file v1\nabc\n").is_err());
        assert_eq!(format!("{:?}", Secret::password("hunter2")), "Secret(password)");
    }
}
