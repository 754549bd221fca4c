// SPDX-License-Identifier: MIT
//! The keys of files that whoever has write-only keys made itself. Without them it could never look
//! at its own last backup again, to compare with; with them it opens those files and no others. The
//! keys of packs of content are there while such a pack is being written and looked at, and never
//! afterwards.

use super::keys::Purpose;
use super::seal::SealKey;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// The key of a file, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptKey {
    /// The file's salt.
    pub salt: [u8; 32],
    /// What the file is.
    pub purpose: Purpose,
    /// When it was last of use, in seconds since 1970; 0 if it has been just now.
    pub used: i64,
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for KeptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeptKey({:?}, secret)", self.purpose)
    }
}

/// All of them.
#[derive(Default)]
pub struct Kept(Mutex<HashMap<[u8; 32], KeptKey>>);

impl Kept {
    fn keys(&self) -> MutexGuard<'_, HashMap<[u8; 32], KeptKey>> {
        // A panic elsewhere leaves a whole map behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds keys that were kept before.
    pub fn add(&self, keys: Vec<KeptKey>) {
        let mut known = self.keys();
        for key in keys.into_iter().filter(|key| key.purpose != Purpose::DataPack) {
            known.entry(key.salt).or_insert(key);
        }
    }

    /// All that may be kept for later.
    pub fn lasting(&self) -> Vec<KeptKey> {
        let mut keys: Vec<KeptKey> = self.keys().values().cloned().collect();
        keys.retain(|key| key.purpose != Purpose::DataPack);
        keys.sort_unstable_by_key(|key| key.salt);
        keys
    }

    /// Remembers the key of a file that is being made.
    pub(super) fn put(&self, purpose: Purpose, salt: [u8; 32], key: Zeroizing<[u8; 32]>) {
        self.keys().insert(salt, KeptKey { salt, purpose, used: 0, key });
    }

    /// The key of a file.
    pub(super) fn get(&self, purpose: Purpose, salt: &[u8; 32]) -> Option<SealKey> {
        let mut keys = self.keys();
        let kept = keys.get_mut(salt).filter(|kept| kept.purpose == purpose)?;
        kept.used = 0;
        Some(SealKey::new(&kept.key))
    }

    /// Forgets the key of a file.
    pub(super) fn forget(&self, salt: &[u8; 32]) {
        self.keys().remove(salt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_content_are_never_kept_and_none_is_shown() {
        let kept = Kept::default();
        for (salt, purpose) in (1u8..).zip([Purpose::DataPack, Purpose::MetaPack]) {
            kept.put(purpose, [salt; 32], Zeroizing::new([salt; 32]));
            assert!(kept.get(purpose, &[salt; 32]).is_some());
            assert!(kept.get(Purpose::Snapshot, &[salt; 32]).is_none());
        }
        let lasting = kept.lasting();
        assert_eq!(lasting.iter().map(|key| key.salt[0]).collect::<Vec<_>>(), [2]);
        assert_eq!(format!("{lasting:?}"), "[KeptKey(MetaPack, secret)]");
        let other = Kept::default();
        other.add(vec![KeptKey { purpose: Purpose::DataPack, ..lasting[0].clone() }]);
        assert!(other.get(Purpose::DataPack, &[2; 32]).is_none());
        other.add(lasting);
        assert!(other.get(Purpose::MetaPack, &[2; 32]).is_some());
        other.forget(&[2; 32]);
        assert!(other.get(Purpose::MetaPack, &[2; 32]).is_none());
    }
}
