// SPDX-License-Identifier: MIT
//! Random master keys and what is derived from them: a sub-key per purpose, a key per file, the
//! keyed hashes that name chunks, and the secret table of the chunker.
//!
//! A repository begins with the master key of epoch 0; each rotation adds one. Files are sealed
//! under the newest and say which. What names chunks and cuts files stays that of epoch 0: with
//! another, nothing stored before would ever be found again.
//!
//! Write-only keys hold what names and cuts, what opens config, index and locks, and a public key
//! with which a backup is sealed for those who have the master keys.

use super::deposit::{DepositPublic, DepositSecret};
use super::kept::Kept;
use super::seal::SealKey;
use super::sign::{Authority, SIGNATURE_BYTES, is_proof, is_slot_proof};
use crate::base::id::ChunkId;
use std::sync::Arc;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The root of all keys of a repository.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Takes 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for wrapping in a key slot only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(secret)")
    }
}

/// What a sub-key is for. The context strings are part of the format and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Packs of file content.
    DataPack,
    /// Packs of trees.
    MetaPack,
    /// Index segments.
    Index,
    /// Snapshots.
    Snapshot,
    /// The repository's config record.
    Config,
    /// Lock records.
    Lock,
    /// Entries of the history that are files of their own.
    History,
}

impl Purpose {
    const fn context(self) -> &'static str {
        match self {
            Self::DataPack => "ghostsnap v1 data pack",
            Self::MetaPack => "ghostsnap v1 meta pack",
            Self::Index => "ghostsnap v1 index",
            Self::Snapshot => "ghostsnap v1 snapshot",
            Self::Config => "ghostsnap v1 config",
            Self::Lock => "ghostsnap v1 lock",
            Self::History => "ghostsnap v1 history",
        }
    }

    /// The code of its kind of file, if whoever has write-only keys can make one.
    pub(super) const fn deposit_code(self) -> Option<u8> {
        match self {
            Self::Snapshot => Some(3),
            Self::DataPack => Some(5),
            Self::MetaPack => Some(6),
            Self::Index | Self::Config | Self::Lock | Self::History => None,
        }
    }

    const ALL: [Self; 7] = [
        Self::DataPack,
        Self::MetaPack,
        Self::Index,
        Self::Snapshot,
        Self::Config,
        Self::Lock,
        Self::History,
    ];
}

/// What is known of one epoch.
#[derive(Clone)]
struct Epoch {
    purposes: Vec<(Purpose, Secret)>,
    /// What the proofs in its index segments are compared with.
    authority: [u8; 32],
    /// What only the master key gives.
    own: Option<Own>,
}

type Secret = Zeroizing<[u8; 32]>;

#[derive(Clone)]
struct Own {
    master: MasterKey,
    deposits: DepositSecret,
    authority: Authority,
}

impl Epoch {
    fn new(master: MasterKey) -> Self {
        let derived = |purpose: Purpose| (purpose, derive(purpose.context(), &master));
        let purposes = Purpose::ALL.into_iter().map(derived).collect();
        let authority = Authority::of(&master);
        let deposits = DepositSecret::of(&master);
        let public = authority.public();
        Self { purposes, authority: public, own: Some(Own { master, deposits, authority }) }
    }

    fn sub_key(&self, purpose: Purpose) -> Option<&Secret> {
        self.purposes.iter().find(|(one, _)| *one == purpose).map(|(_, key)| key)
    }
}

/// What names chunks and cuts files.
#[derive(Clone)]
struct Names {
    data_id: Secret,
    tree_id: Secret,
    row_name: Secret,
    gear: Zeroizing<Vec<u8>>,
}

/// What write-only keys hold in the place of the newest master key.
#[derive(Clone)]
struct WriteOnly {
    public: DepositPublic,
    kept: Arc<Kept>,
}

/// Why there is no key for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKey {
    /// It is sealed under a master key that came later.
    Epoch,
    /// These keys can only add.
    WriteOnly,
    /// What stands in its header is no salt of a deposit.
    Salt,
}

/// A file that is about to be sealed.
pub struct NewFile {
    /// What seals it.
    pub key: SealKey,
    /// The salt for its header.
    pub salt: [u8; 32],
    /// The epoch for its header.
    pub epoch: u16,
    /// Whether it is a deposit, which its header has to say.
    pub is_deposit: bool,
}

/// All that write-only keys consist of, for a key slot.
pub struct WriteOnlyParts {
    /// The sub-keys that name chunks of content, trees, and groups of rows.
    pub names: [Secret; 3],
    /// The table of the chunker.
    pub gear: Zeroizing<Vec<u8>>,
    /// The sub-key of the config.
    pub config: Secret,
    /// Of each epoch the sub-keys for index segments and locks, and the authority's public key.
    pub epochs: Vec<(Secret, Secret, [u8; 32])>,
    /// The public key of the newest epoch.
    pub deposit: [u8; 32],
}

/// Bytes of the chunker's table.
pub const GEAR_BYTES: usize = 2048;

/// All keys of a repository, derived once.
#[derive(Clone)]
pub struct Keys {
    /// By number, the first one too.
    epochs: Vec<Epoch>,
    names: Names,
    write_only: Option<WriteOnly>,
    /// Whether the repository admits write-only keys.
    has_authority: bool,
}

fn derive(context: &str, master: &MasterKey) -> Secret {
    Zeroizing::new(blake3::derive_key(context, &master.0))
}

fn gear(master: &MasterKey) -> Zeroizing<Vec<u8>> {
    let mut hasher = blake3::Hasher::new_derive_key("ghostsnap v1 chunker gear table");
    hasher.update(&master.0);
    let mut table = Zeroizing::new(vec![0; GEAR_BYTES]);
    hasher.finalize_xof().fill(&mut table);
    table
}

impl Keys {
    /// Those of a repository whose keys were never rotated.
    pub fn new(master: MasterKey) -> Self {
        let names = Names {
            data_id: derive("ghostsnap v1 data chunk id", &master),
            tree_id: derive("ghostsnap v1 tree chunk id", &master),
            row_name: derive("ghostsnap v1 row group name", &master),
            gear: gear(&master),
        };
        Self { names, epochs: vec![Epoch::new(master)], write_only: None, has_authority: false }
    }

    /// The same keys and one more, under which everything is sealed from now on.
    #[must_use]
    pub fn rotated(mut self, next: MasterKey) -> Self {
        self.epochs.push(Epoch::new(next));
        self
    }

    /// The same keys, of a repository that admits write-only keys: those who have master keys prove
    /// what they say in its index.
    #[must_use]
    pub fn with_authority(self) -> Self {
        Self { has_authority: true, ..self }
    }

    /// Whether the repository admits write-only keys.
    pub fn has_authority(&self) -> bool {
        self.has_authority
    }

    /// Whether these can add and read nothing back.
    pub fn is_write_only(&self) -> bool {
        self.write_only.is_some()
    }

    /// The keys of files that write-only keys made, if these are such.
    pub fn kept(&self) -> Option<&Kept> {
        self.write_only.as_ref().map(|one| &*one.kept)
    }

    /// Forgets the key of a file that these keys made.
    pub fn forget_file(&self, salt: &[u8; 32]) {
        if let Some(kept) = self.kept() {
            kept.forget(salt);
        }
    }

    /// The master keys in the order of their epochs, for wrapping them in another key slot; none of
    /// write-only keys.
    pub fn masters(&self) -> impl Iterator<Item = &MasterKey> {
        self.epochs.iter().filter_map(|epoch| epoch.own.as_ref().map(|own| &own.master))
    }

    /// The epoch that files are sealed under.
    pub fn newest_epoch(&self) -> u16 {
        // There are far fewer: `limits::EPOCHS_MAX`.
        u16::try_from(self.epochs.len().saturating_sub(1)).unwrap_or(u16::MAX)
    }

    /// What seals a new file, from 32 bytes that nobody knows or uses again: in the one place that
    /// knows who can open what. `None` for what these keys cannot make.
    pub fn new_file(&self, purpose: Purpose, random: &[u8; 32]) -> Option<NewFile> {
        let newest = self.newest_epoch();
        if let Some(only) = &self.write_only
            && let Some((salt, key)) = only.public.seal(purpose, random)
        {
            let file = NewFile { key: SealKey::new(&key), salt, epoch: newest, is_deposit: true };
            only.kept.put(purpose, salt, key);
            return Some(file);
        }
        // The config stays as it was made.
        let epoch = if purpose == Purpose::Config { 0 } else { newest };
        let key = self.file_key(purpose, epoch, false, random).ok()?;
        Some(NewFile { key, salt: *random, epoch, is_deposit: false })
    }

    /// The key of one file: derived from the purpose's sub-key and the file's random salt, so
    /// that no two files ever share a key and nonces may simply count. That of a deposit from the
    /// salt and the epoch's private key, or as it was kept.
    pub fn file_key(
        &self,
        purpose: Purpose,
        epoch: u16,
        is_deposit: bool,
        salt: &[u8; 32],
    ) -> Result<SealKey, NoKey> {
        if let Some(kept) = self.kept().filter(|_| is_deposit) {
            return kept.get(purpose, salt).ok_or(NoKey::WriteOnly);
        }
        let epoch = self.epochs.get(usize::from(epoch)).ok_or(NoKey::Epoch)?;
        if is_deposit {
            let own = epoch.own.as_ref().ok_or(NoKey::WriteOnly)?;
            let key = own.deposits.open(purpose, salt).ok_or(NoKey::Salt)?;
            return Ok(SealKey::new(&key));
        }
        let key = epoch.sub_key(purpose).ok_or(NoKey::WriteOnly)?;
        let file_key = Zeroizing::new(*blake3::keyed_hash(key, salt).as_bytes());
        Ok(SealKey::new(&file_key))
    }

    /// Proves an index segment in the name of the newest master key. `None` if nobody asks for that
    /// in this repository, or with write-only keys.
    pub fn prove(&self, salt: &[u8; 32], record: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        let own = self.epochs.last()?.own.as_ref().filter(|_| self.has_authority)?;
        Some(own.authority.prove(salt, record))
    }

    /// Whether somebody who has the master key of this epoch has proven a record.
    pub fn is_proven(
        &self,
        epoch: u16,
        salt: &[u8; 32],
        record: &[u8],
        proof: &[u8; SIGNATURE_BYTES],
    ) -> bool {
        let epoch = self.epochs.get(usize::from(epoch));
        epoch.is_some_and(|epoch| is_proof(&epoch.authority, salt, record, proof))
    }

    /// Whose repository it is, where there are write-only keys: the public key of the first epoch's
    /// authority.
    pub fn owner(&self) -> Option<[u8; 32]> {
        self.epochs.first().filter(|_| self.has_authority).map(|first| first.authority)
    }

    /// The proof that somebody who has master keys made this key slot; none where nobody else
    /// could. By those of the first epoch, which all of them have, of whatever epoch the slot is.
    pub fn prove_slot(&self, slot: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        let first = self.epochs.first()?.own.as_ref().filter(|_| self.has_authority)?;
        Some(first.authority.prove_slot(slot))
    }

    /// Whether somebody who has master keys made this key slot.
    pub fn is_slot_proven(&self, slot: &[u8], proof: &[u8; SIGNATURE_BYTES]) -> bool {
        self.epochs.first().is_some_and(|first| is_slot_proof(&first.authority, slot, proof))
    }

    /// Names a chunk of file content. Keyed, so that the name tells an outsider nothing.
    pub fn data_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.names.data_id, plain).as_bytes())
    }

    /// Names a chunk of a tree; a key of its own keeps content from posing as a tree.
    pub fn tree_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.names.tree_id, plain).as_bytes())
    }

    /// Names a group of rows within one file: 80 bits, since nothing but the some million groups of
    /// the same file are ever compared with it.
    pub fn row_name(&self, plain: &[u8]) -> [u8; 10] {
        let mut name = [0; 10];
        let hash = blake3::keyed_hash(&self.names.row_name, plain);
        name.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        name
    }

    /// The secret table of the chunker: 256 words drawn from the master key, so that chunk borders
    /// cannot be predicted for known files.
    pub fn gear_table(&self) -> Box<[u64; 256]> {
        let mut table = Box::new([0; 256]);
        let (words, _) = self.names.gear.as_chunks::<8>();
        table.iter_mut().zip(words).for_each(|(to, from)| *to = u64::from_le_bytes(*from));
        table
    }
}

impl Keys {
    /// What of these keys can only add. `None` if they are no more than that themselves.
    pub fn write_only_parts(&self) -> Option<WriteOnlyParts> {
        let first = self.epochs.first()?;
        let deposit = self.epochs.last()?.own.as_ref()?.deposits.public().to_bytes();
        let of_epoch = |epoch: &Epoch| {
            let sub_key = |purpose| epoch.sub_key(purpose).cloned();
            Some((sub_key(Purpose::Index)?, sub_key(Purpose::Lock)?, epoch.authority))
        };
        let Names { data_id, tree_id, row_name, gear } = self.names.clone();
        Some(WriteOnlyParts {
            names: [data_id, tree_id, row_name],
            gear,
            config: first.sub_key(Purpose::Config)?.clone(),
            epochs: self.epochs.iter().map(of_epoch).collect::<Option<_>>()?,
            deposit,
        })
    }

    /// Keys that can only add. `None` if there is no epoch, a table of another size, or a public
    /// key with which everybody could open everything.
    pub fn write_only(parts: WriteOnlyParts) -> Option<Self> {
        let WriteOnlyParts { names: [data_id, tree_id, row_name], gear, .. } = parts;
        let public = DepositPublic::new(parts.deposit)?;
        let mut epochs: Vec<Epoch> = parts
            .epochs
            .into_iter()
            .map(|(index, lock, authority)| {
                let purposes = vec![(Purpose::Index, index), (Purpose::Lock, lock)];
                Epoch { purposes, authority, own: None }
            })
            .collect();
        epochs.first_mut()?.purposes.push((Purpose::Config, parts.config));
        if gear.len() != GEAR_BYTES {
            return None;
        }
        Some(Self {
            epochs,
            names: Names { data_id, tree_id, row_name, gear },
            write_only: Some(WriteOnly { public, kept: Arc::default() }),
            has_authority: true,
        })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::NonceIndex;

    fn keys(seed: u8) -> Keys {
        Keys::new(MasterKey::new([seed; 32]))
    }

    #[test]
    fn purposes_and_salts_give_different_keys() {
        let keys = keys(1);
        let sealed = |purpose, salt| {
            let mut text = [0; 16];
            let key = keys.file_key(purpose, 0, false, &[salt; 32]).unwrap();
            key.seal(NonceIndex::Message(0), b"", &mut text);
            text
        };
        let mut seen: Vec<_> = Purpose::ALL.iter().map(|purpose| sealed(*purpose, 1)).collect();
        seen.push(sealed(Purpose::DataPack, 2));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Purpose::ALL.len() + 1);
    }

    #[test]
    fn names_of_chunks_depend_on_the_key_and_on_the_kind() {
        assert_ne!(keys(1).data_id(b"x"), keys(2).data_id(b"x"));
        assert_ne!(keys(1).data_id(b"x"), keys(1).tree_id(b"x"));
        assert_ne!(*keys(1).gear_table(), *keys(2).gear_table());
    }

    #[test]
    fn a_rotation_changes_what_seals_and_not_what_names() {
        let (before, after) = (keys(1), keys(1).rotated(MasterKey::new([2; 32])));
        let sealed = |keys: &Keys, epoch| {
            let mut text = [0; 16];
            let key = keys.file_key(Purpose::Index, epoch, false, &[7; 32]).ok()?;
            key.seal(NonceIndex::Message(0), b"", &mut text);
            Some(text)
        };
        assert_eq!((before.newest_epoch(), after.newest_epoch()), (0, 1));
        assert_eq!(sealed(&before, 0), sealed(&after, 0));
        assert_eq!(sealed(&before, 1), None);
        assert_eq!(sealed(&after, 1), sealed(&keys(2), 0));
        assert_eq!(before.data_id(b"x"), after.data_id(b"x"));
        assert_eq!(*before.gear_table(), *after.gear_table());
    }

    fn adding(full: &Keys) -> Keys {
        Keys::write_only(full.write_only_parts().unwrap()).unwrap()
    }

    #[test]
    fn write_only_keys_name_and_cut_the_same_and_seal_for_the_owner() {
        let full = keys(1).rotated(MasterKey::new([2; 32])).with_authority();
        let only = adding(&full);
        assert_eq!(only.data_id(b"x"), full.data_id(b"x"));
        assert_eq!(only.tree_id(b"x"), full.tree_id(b"x"));
        assert_eq!(only.row_name(b"x"), full.row_name(b"x"));
        assert_eq!(*only.gear_table(), *full.gear_table());
        assert!(only.is_write_only() && !full.is_write_only() && only.newest_epoch() == 1);
        for purpose in [Purpose::DataPack, Purpose::MetaPack, Purpose::Snapshot] {
            let file = only.new_file(purpose, &[5; 32]).unwrap();
            assert!(file.is_deposit && file.salt != [5; 32] && file.epoch == 1);
            let mut text = *b"content";
            let tag = file.key.seal(NonceIndex::Message(0), b"", &mut text);
            let mut sealed = [&text[..], &tag].concat();
            // The other one who has the same slot cannot open it, nor can these keys once they
            // have forgotten it.
            assert!(adding(&full).file_key(purpose, 1, true, &file.salt).is_err());
            assert!(only.file_key(purpose, 1, true, &file.salt).is_ok());
            only.forget_file(&file.salt);
            let denied = only.file_key(purpose, 1, true, &file.salt).err();
            assert_eq!(denied, Some(NoKey::WriteOnly));
            let owner = full.file_key(purpose, 1, true, &file.salt).ok().unwrap();
            assert_eq!(owner.open(NonceIndex::Message(0), b"", &mut sealed).unwrap(), b"content");
            // As another epoch's, or as an ordinary file, it is something else.
            for (epoch, is_deposit) in [(0, true), (1, false)] {
                let key = full.file_key(purpose, epoch, is_deposit, &file.salt).ok().unwrap();
                let mut sealed = [&text[..], &tag].concat();
                assert!(key.open(NonceIndex::Message(0), b"", &mut sealed).is_none());
            }
        }
    }

    #[test]
    fn write_only_keys_open_index_locks_and_config_and_nothing_else() {
        let full = keys(1).rotated(MasterKey::new([2; 32]));
        let only = adding(&full);
        let opens = |purpose, epoch| only.file_key(purpose, epoch, false, &[3; 32]);
        for epoch in [0, 1] {
            assert!(opens(Purpose::Index, epoch).is_ok() && opens(Purpose::Lock, epoch).is_ok());
            for purpose in
                [Purpose::DataPack, Purpose::MetaPack, Purpose::Snapshot, Purpose::History]
            {
                assert_eq!(opens(purpose, epoch).err(), Some(NoKey::WriteOnly), "{purpose:?}");
            }
        }
        assert!(opens(Purpose::Config, 0).is_ok());
        assert_eq!(opens(Purpose::Config, 1).err(), Some(NoKey::WriteOnly));
        assert_eq!(opens(Purpose::Index, 2).err(), Some(NoKey::Epoch));
        assert!(only.new_file(Purpose::History, &[3; 32]).is_none());
        assert!(only.masters().next().is_none() && only.write_only_parts().is_none());
        let shared = full.file_key(Purpose::DataPack, 0, true, &[0; 32]).err();
        assert_eq!(shared, Some(NoKey::Salt));
    }

    #[test]
    fn only_whoever_has_the_master_key_proves_and_only_where_that_counts() {
        let plain = keys(1);
        assert!(plain.prove(&[1; 32], b"record").is_none());
        let full = plain.rotated(MasterKey::new([2; 32])).with_authority();
        let only = adding(&full);
        assert!(only.prove(&[1; 32], b"record").is_none() && only.has_authority());
        let proof = full.prove(&[1; 32], b"record").unwrap();
        for keys in [&full, &only] {
            assert!(keys.is_proven(1, &[1; 32], b"record", &proof));
            assert!(!keys.is_proven(0, &[1; 32], b"record", &proof));
            assert!(!keys.is_proven(2, &[1; 32], b"record", &proof));
        }
    }

    #[test]
    fn debug_output_never_shows_a_key() {
        assert_eq!(
            format!("{:?} {:?} {:?}", keys(7), adding(&keys(7)), MasterKey::new([7; 32])),
            "Keys(secret) Keys(secret) MasterKey(secret)"
        );
    }
}
