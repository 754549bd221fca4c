// SPDX-License-Identifier: MIT
//! Keeps the keys of the trees and snapshots that a machine with write-only keys has stored, so
//! that it can compare with its own last backup. A file of this machine, as the diary is. Whoever
//! loses it reads every file once more, and nothing else is lost.

use super::Repository;
use crate::backend::private_file::PrivateFile;
use crate::base::{Error, FileId, Kind, Result, Within, limits};
use crate::crypto::KeptKey;
use crate::format::kept::{self, Keeping};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The keys that are kept for one repository.
pub struct KeptFile {
    file: PrivateFile,
}

impl KeptFile {
    /// Those of a repository, in a folder for all of them.
    pub fn new(below: &Path, repository: &FileId) -> Self {
        Self { file: PrivateFile::new(below, &repository.to_string()) }
    }

    /// Makes sure that they can be kept.
    pub fn prepare(&self) -> Result<()> {
        self.file.prepare()?;
        self.read().map(drop)
    }

    /// Fails if the repository is now somebody else's than it was when this machine opened it
    /// first: whoever knows the secret of a key that only adds could make another slot for it, and
    /// all backups would be sealed for him from then on.
    pub fn same_owner(&self, repository: &Repository) -> Result<()> {
        let Some(owner) = repository.keys.owner() else { return Ok(()) };
        // What cannot be read is not taken for a first time: anybody could be the owner then.
        let keeping = self.read()?;
        match keeping.owner {
            Some(known) if known == owner => return Ok(()),
            None => {}
            Some(_) => {
                return Err(Error::new(Kind::Damaged, "tell whose repository it is")
                    .why("it has another owner than when this machine opened it first")
                    .hint(format!(
                        "somebody may have added a false key: look at 'ghostsnap key list' on the \
                         owner's machine. If all is well there, remove {}",
                        self.file.path().display()
                    )));
            }
        }
        let Ok(Some(_held)) = self.file.hold(&repository.world, limits::MEMORY_WAIT) else {
            return Ok(());
        };
        let keeping = Keeping { owner: Some(owner), ..self.read()? };
        self.file.write(&kept::encode(&keeping))
    }

    fn read(&self) -> Result<Keeping> {
        let bytes = self.file.read(limits::KEPT_BYTES_MAX)?;
        let Some(bytes) = bytes else { return Ok(Keeping::default()) };
        let what = || format!("read {}", self.file.path().display());
        kept::decode(&bytes).within(what).map_err(|error| {
            error.hint(
                "if it is lost, and 'ghostsnap key list' on the owner's machine shows no key that is \
                 not his, remove it: the next backup reads every file once more",
            )
        })
    }
}

impl Repository {
    /// The same repository, opened with write-only keys, with those of its own files.
    #[must_use]
    pub fn with_kept(self, file: KeptFile) -> Self {
        if let Some(kept) = self.keys.kept() {
            // What cannot be read is not there; `prepare` has said so.
            kept.add(file.read().unwrap_or_default().keys);
        }
        Self { kept: Some(Arc::new(file)), ..self }
    }

    /// Keeps the keys of what is being stored, before others see it. If that cannot be done now,
    /// the next backup reads more than it would have to: no reason to store nothing.
    pub(super) fn keep_keys(&self) {
        let (Some(kept), Some(file)) = (self.keys.kept(), self.kept.as_deref()) else { return };
        let Ok(Some(_held)) = file.file.hold(&self.world, limits::MEMORY_WAIT) else { return };
        let now = self.world.now().seconds;
        let before = file.read().unwrap_or_default();
        let owner = before.owner.or_else(|| self.keys.owner());
        let keys = merged(before.keys, kept.lasting(), now);
        drop(file.file.write(&kept::encode(&Keeping { keys, owner })));
    }
}

/// What is kept from now on: what was of use not long ago, and of that no more than is needed.
fn merged(before: Vec<KeptKey>, known: Vec<KeptKey>, now: i64) -> Vec<KeptKey> {
    let mut all: BTreeMap<[u8; 32], KeptKey> = BTreeMap::new();
    let known = known.into_iter().map(|key| KeptKey {
        // The clock may have been wrong before.
        used: if key.used == 0 { now } else { key.used.min(now) },
        ..key
    });
    for key in before.into_iter().chain(known) {
        let used = all.get(&key.salt).map_or(key.used, |other| other.used.max(key.used));
        all.insert(key.salt, KeptKey { used, ..key });
    }
    let mut all: Vec<KeptKey> = all.into_values().collect();
    all.retain(|key| now.saturating_sub(key.used) < limits::KEPT_KEY_SECONDS);
    all.sort_by_key(|key| (std::cmp::Reverse(key.used), key.salt));
    all.truncate(limits::KEPT_KEYS_MAX);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Purpose;

    #[test]
    fn keys_that_were_of_no_use_for_long_go() {
        let key = |salt, used| KeptKey {
            salt: [salt; 32],
            purpose: Purpose::MetaPack,
            used,
            key: [1; 32].into(),
        };
        let day = 86_400;
        let now = 100 * day;
        let left = merged(
            vec![key(1, now - 60 * day), key(2, now - 60 * day), key(3, now - 5 * day)],
            vec![key(2, 0), key(4, 0), key(3, now - 9 * day), key(5, now + 900 * day)],
            now,
        );
        let left: Vec<(u8, i64)> = left.iter().map(|one| (one.salt[0], one.used)).collect();
        assert_eq!(left, [(2, now), (4, now), (5, now), (3, now - 5 * day)]);
    }
}
