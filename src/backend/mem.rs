// SPDX-License-Identifier: MIT
//! A backend in memory, with an optional size limit: the disk of most tests.

use super::{
    Backend, FileKind, FileName, Leftovers, Properties, list_each, missing, size_each,
    whole_by_size,
};
use crate::base::{Error, Kind, Result, units};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files in memory; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Mem {
    files: Arc<Mutex<BTreeMap<FileName, Vec<u8>>>>,
    quota: Option<u64>,
}

impl Mem {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same files with room for this many bytes in all.
    #[must_use]
    pub fn with_quota(&self, quota: u64) -> Self {
        Self { files: Arc::clone(&self.files), quota: Some(quota) }
    }

    /// A store of its own with the same content.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { files: Arc::new(Mutex::new(self.lock().clone())), quota: self.quota }
    }

    /// All files, for tests that look or damage.
    pub fn names(&self) -> Vec<FileName> {
        self.lock().keys().copied().collect()
    }

    /// Changes a file behind everybody's back.
    pub fn tamper(&self, name: &FileName, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(bytes) = self.lock().get_mut(name) {
            change(bytes);
        }
    }

    /// Bytes in all files.
    pub fn bytes(&self) -> u64 {
        self.lock().values().map(|bytes| units::bytes(bytes.len())).sum()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<FileName, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Mem {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        let files = self.lock();
        let of_kind = files.iter().filter(|(name, _)| name.kind == kind);
        Ok(of_kind.map(|(name, bytes)| (*name, units::bytes(bytes.len()))).collect())
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        list_each(self, kinds)
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        let files = self.lock();
        let bytes = files.get(name).ok_or_else(|| missing(name))?;
        let part = bytes.get(units::length(range.start)..units::length(range.end));
        part.map(<[u8]>::to_vec).ok_or_else(|| {
            Error::new(Kind::Damaged, format!("read {name}")).why(format!(
                "it has {} bytes, byte {} was asked for",
                bytes.len(),
                range.end
            ))
        })
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        whole_by_size(self, name, most)
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        Ok(self.lock().get(name).map(|bytes| units::bytes(bytes.len())))
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        size_each(self, names)
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        let used = self.bytes();
        let mut files = self.lock();
        if files.contains_key(name) {
            return Err(Error::new(Kind::Exists, format!("write {name}")).why("it exists"));
        }
        if self.quota.is_some_and(|quota| used + units::bytes(bytes.len()) > quota) {
            return Err(Error::new(Kind::Disk, format!("write {name}")).why("no space left"));
        }
        files.insert(*name, bytes.to_vec());
        Ok(())
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        self.lock().remove(name);
        Ok(())
    }

    fn leftovers(&self, _: i64, _: Leftovers) -> Result<(u64, u64)> {
        Ok((0, 0))
    }

    fn properties(&self) -> Properties {
        Properties {
            connections: 1,
            append_only: false,
            is_far: false,
            listed_at_once: crate::base::limits::LISTED_AT_ONCE,
            pack_bytes_max: crate::base::limits::PACK_BYTES_MAX,
        }
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}
