// SPDX-License-Identifier: MIT
//! A copy on this machine of what is read again and again of a repository far away: index,
//! snapshots and trees, sealed as they are there. A hint and no more: what exists, only the store
//! says; what the copy has is checked like everything else; and what goes wrong with it costs time.

use super::index::Pack;
use crate::backend::local::Local;
use crate::backend::{Backend, FileKind, FileName, read_all};
use crate::base::{FileId, Kind, limits};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The copy of one repository.
pub struct LocalCopy {
    files: Local,
    room: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes that it has by now; `None` until they have been counted.
    bytes: Option<u64>,
    /// How often a part of a pack was read that it does not have.
    misses: BTreeMap<FileId, u32>,
}

impl LocalCopy {
    /// The copy of a repository in a folder for all of them, of at most this many bytes.
    pub fn new(below: &Path, repository: &FileId, room: u64) -> Self {
        let files = Local::disposable(&below.join(repository.to_string()));
        Self { files, room, state: Mutex::default() }
    }

    /// A whole file, if it has it.
    pub fn whole(&self, name: &FileName) -> Option<Vec<u8>> {
        read_all(&self.files, name).ok()
    }

    /// Keeps a file. One that does not fit, or cannot be written, is not kept.
    pub fn keep(&self, name: &FileName, bytes: &[u8]) {
        let size = crate::base::units::bytes(bytes.len());
        if size > self.room || self.files.create(name, bytes).is_err() {
            return;
        }
        let mut state = self.state();
        let kept = match state.bytes {
            Some(before) => before.saturating_add(size),
            None => self.files_by_age().iter().map(|(_, size)| size).sum(),
        };
        state.bytes = Some(if kept > self.room { self.make_room() } else { kept });
    }

    /// Drops a file that is not what it should be.
    pub fn drop_file(&self, name: &FileName) {
        // One that cannot be removed is found wanting again.
        drop(self.files.remove(name));
        self.state().bytes = None;
    }

    /// Drops the files of a kind that the store has no longer.
    pub fn keep_only(&self, kind: FileKind, stored: &BTreeSet<FileName>) {
        for (name, _) in self.files.list(kind).unwrap_or_default() {
            if !stored.contains(&name) {
                self.drop_file(&name);
            }
        }
    }

    /// A part of a pack, if it has the pack or it is time to get it.
    pub fn part(&self, store: &dyn Backend, pack: &Pack, range: &Range<u64>) -> Option<Vec<u8>> {
        let name = FileName::new(FileKind::Pack, pack.id);
        match self.files.read(&name, range.clone()) {
            Ok(part) => return Some(part),
            Err(error) if error.kind() == Kind::NotFound => {}
            // It would be in the way of a sound one.
            Err(_) => self.drop_file(&name),
        }
        if !self.is_wanted(pack) {
            return None;
        }
        let whole = store.read(&name, 0..pack.size).ok()?;
        self.keep(&name, &whole);
        let start = crate::base::units::length(range.start);
        whole.get(start..crate::base::units::length(range.end)).map(<[u8]>::to_vec)
    }

    /// A small pack is got whole at once, a large one when parts of it are read again and again.
    fn is_wanted(&self, pack: &Pack) -> bool {
        if pack.size <= limits::COPY_AT_ONCE_BYTES {
            return true;
        }
        let mut state = self.state();
        let misses = state.misses.entry(pack.id).or_default();
        *misses += 1;
        *misses == limits::COPY_AFTER_MISSES
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the oldest files until a quarter of the room is free; returns what is left.
    fn make_room(&self) -> u64 {
        let files = self.files_by_age();
        let mut bytes: u64 = files.iter().map(|(_, size)| size).sum();
        for (name, size) in files {
            if bytes <= self.room / 4 * 3 {
                break;
            }
            if self.files.remove(&name).is_ok() {
                bytes -= size;
            }
        }
        bytes
    }

    /// All files, the oldest first.
    fn files_by_age(&self) -> Vec<(FileName, u64)> {
        let kinds = [FileKind::Index, FileKind::Snapshot, FileKind::Pack].into_iter();
        let listed = kinds.map(|kind| self.files.list(kind).unwrap_or_default());
        let mut files: Vec<_> = listed.flatten().collect();
        files.sort_by_cached_key(|(name, _)| self.files.modified(name));
        files
    }
}
