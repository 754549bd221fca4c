// SPDX-License-Identifier: MIT
//! The keys of its own files that a machine with write-only keys keeps. No part of the repository.

use super::damaged;
use crate::base::{Result, limits};
use crate::crypto::{KeptKey, Purpose};
use prost::Message;
use zeroize::{Zeroize, Zeroizing};

#[derive(Clone, PartialEq, Message)]
struct KeptRecord {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<KeptKeyRecord>,
    #[prost(bytes = "vec", tag = "2")]
    owner: Vec<u8>,
}

/// What is kept for one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keeping {
    /// The keys of files.
    pub keys: Vec<KeptKey>,
    /// Whose repository it is, as when it was opened first.
    pub owner: Option<[u8; 32]>,
}

#[derive(Clone, PartialEq, Message)]
struct KeptKeyRecord {
    #[prost(bytes = "vec", tag = "1")]
    salt: Vec<u8>,
    /// As in headers: 3 = snapshot, 6 = meta pack.
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(sint64, tag = "3")]
    used: i64,
    #[prost(bytes = "vec", tag = "4")]
    key: Vec<u8>,
}

const KINDS: [(u32, Purpose); 2] = [(3, Purpose::Snapshot), (6, Purpose::MetaPack)];

/// The content of the file. Keys of other kinds are not kept.
pub fn encode(keeping: &Keeping) -> Zeroizing<Vec<u8>> {
    let record = |kept: &KeptKey| {
        let (kind, _) = KINDS.iter().find(|(_, purpose)| *purpose == kept.purpose)?;
        let (salt, key) = (kept.salt.to_vec(), kept.key.to_vec());
        Some(KeptKeyRecord { salt, kind: *kind, used: kept.used, key })
    };
    let keys = keeping.keys.iter().filter_map(record).collect();
    let owner = keeping.owner.map(Vec::from).unwrap_or_default();
    let mut all = KeptRecord { keys, owner };
    let bytes = Zeroizing::new(all.encode_to_vec());
    all.keys.iter_mut().for_each(|one| one.key.zeroize());
    bytes
}

/// Reads it. Kinds of a newer program are passed over: they cost time, nothing else.
pub fn decode(bytes: &[u8]) -> Result<Keeping> {
    let what = "read the keys that were kept";
    let mut record = KeptRecord::decode(bytes).map_err(|cause| damaged(what, cause.to_string()))?;
    let mut keys = Vec::new();
    for one in record.keys.iter_mut().take(limits::KEPT_KEYS_MAX) {
        let key = <[u8; 32]>::try_from(one.key.as_slice()).map(Zeroizing::new);
        one.key.zeroize();
        let salt = <[u8; 32]>::try_from(one.salt.as_slice());
        let (Ok(key), Ok(salt)) = (key, salt) else {
            return Err(damaged(what, "one of them is not 32 bytes"));
        };
        let kind = KINDS.iter().find(|(kind, _)| *kind == one.kind);
        keys.extend(kind.map(|(_, purpose)| KeptKey {
            salt,
            purpose: *purpose,
            used: one.used,
            key,
        }));
    }
    let owner = match record.owner.as_slice() {
        [] => None,
        bytes => {
            let owner = <[u8; 32]>::try_from(bytes);
            Some(owner.map_err(|_| damaged(what, "its owner is not 32 bytes"))?)
        }
    };
    Ok(Keeping { keys, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_trees_and_snapshots_are_kept_and_no_others() {
        let kept = |purpose| KeptKey { salt: [1; 32], purpose, used: 9, key: [2; 32].into() };
        let keys = [Purpose::Snapshot, Purpose::MetaPack, Purpose::DataPack].map(kept);
        let keeping = |keys: &[KeptKey]| Keeping { keys: keys.to_vec(), owner: Some([7; 32]) };
        assert_eq!(decode(&encode(&keeping(&keys))).unwrap(), keeping(&keys[..2]));
        assert_eq!(decode(&[]).unwrap(), Keeping::default());
        assert!(decode(&[0x12, 1, 0]).is_err());
        assert!(decode(&[0xff; 9]).is_err());
        let short = KeptKeyRecord { salt: vec![1; 32], kind: 3, used: 0, key: vec![2; 31] };
        assert!(decode(&KeptRecord { keys: vec![short], owner: vec![] }.encode_to_vec()).is_err());
        let newer = KeptKeyRecord { salt: vec![1; 32], kind: 9, used: 0, key: vec![2; 32] };
        assert_eq!(
            decode(&KeptRecord { keys: vec![newer], owner: vec![] }.encode_to_vec()).unwrap().keys,
            []
        );
    }
}
