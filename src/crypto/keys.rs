// SPDX-License-Identifier: MIT
//! Random master keys and what is derived from them: a sub-key per purpose, a key per file, the
//! keyed hashes that name chunks, and the secret table of the chunker.
//!
//! A repository begins with the master key of epoch 0; each rotation adds one. Files are sealed
//! under the newest and say which. What names chunks and cuts files stays that of epoch 0: with
//! another, nothing stored before would ever be found again.

use super::seal::SealKey;
use crate::base::id::ChunkId;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The sub-keys of one master key.
#[derive(Clone)]
struct Epoch {
    master: MasterKey,
    purposes: [(Purpose, Zeroizing<[u8; 32]>); 7],
}

impl Epoch {
    fn new(master: MasterKey) -> Self {
        let purposes = Purpose::ALL.map(|purpose| (purpose, derive(purpose.context(), &master)));
        Self { master, purposes }
    }
}

/// All keys of a repository, derived once.
#[derive(Clone)]
pub struct Keys {
    /// By number, the first one too.
    epochs: Vec<Epoch>,
    data_id: Zeroizing<[u8; 32]>,
    tree_id: Zeroizing<[u8; 32]>,
    row_name: Zeroizing<[u8; 32]>,
}

fn derive(context: &str, master: &MasterKey) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key(context, &master.0))
}

impl Keys {
    /// Those of a repository whose keys were never rotated.
    pub fn new(master: MasterKey) -> Self {
        Self {
            data_id: derive("ghostsnap v1 data chunk id", &master),
            tree_id: derive("ghostsnap v1 tree chunk id", &master),
            row_name: derive("ghostsnap v1 row group name", &master),
            epochs: vec![Epoch::new(master)],
        }
    }

    /// The same keys and one more, under which everything is sealed from now on.
    #[must_use]
    pub fn rotated(mut self, next: MasterKey) -> Self {
        self.epochs.push(Epoch::new(next));
        self
    }

    /// The master keys in the order of their epochs, for wrapping them in another key slot.
    pub fn masters(&self) -> impl Iterator<Item = &MasterKey> {
        self.epochs.iter().map(|epoch| &epoch.master)
    }

    /// The epoch that files are sealed under.
    pub fn newest_epoch(&self) -> u16 {
        // There are far fewer: `limits::EPOCHS_MAX`.
        u16::try_from(self.epochs.len().saturating_sub(1)).unwrap_or(u16::MAX)
    }

    /// The key of one file: derived from the purpose's sub-key and the file's random salt, so
    /// that no two files ever share a key and nonces may simply count. `None` if the keys of that
    /// epoch are not among these.
    pub fn file_key(&self, purpose: Purpose, epoch: u16, salt: &[u8; 32]) -> Option<SealKey> {
        let epoch = self.epochs.get(usize::from(epoch))?;
        let (_, key) = epoch.purposes.iter().find(|(one, _)| *one == purpose)?;
        let file_key = Zeroizing::new(*blake3::keyed_hash(key, salt).as_bytes());
        Some(SealKey::new(&file_key))
    }

    /// Names a chunk of file content. Keyed, so that the name tells an outsider nothing.
    pub fn data_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.data_id, plain).as_bytes())
    }

    /// Names a chunk of a tree; a key of its own keeps content from posing as a tree.
    pub fn tree_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.tree_id, plain).as_bytes())
    }

    /// Names a group of rows within one file: 80 bits, since nothing but the some million groups of
    /// the same file are ever compared with it.
    pub fn row_name(&self, plain: &[u8]) -> [u8; 10] {
        let mut name = [0; 10];
        let hash = blake3::keyed_hash(&self.row_name, plain);
        name.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        name
    }

    /// The secret table of the chunker: 256 words drawn from the master key, so that chunk borders
    /// cannot be predicted for known files.
    pub fn gear_table(&self) -> Box<[u64; 256]> {
        let mut hasher = blake3::Hasher::new_derive_key("ghostsnap v1 chunker gear table");
        if let Some(first) = self.epochs.first() {
            hasher.update(&first.master.0);
        }
        let mut reader = hasher.finalize_xof();
        let mut table = Box::new([0; 256]);
        for word in table.iter_mut() {
            let mut bytes = [0; 8];
            reader.fill(&mut bytes);
            *word = u64::from_le_bytes(bytes);
        }
        table
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
            let key = keys.file_key(purpose, 0, &[salt; 32]).unwrap();
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
            let key = keys.file_key(Purpose::Index, epoch, &[7; 32])?;
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

    #[test]
    fn debug_output_never_shows_a_key() {
        assert_eq!(
            format!("{:?} {:?}", keys(7), MasterKey::new([7; 32])),
            "Keys(secret) MasterKey(secret)"
        );
    }
}
