// SPDX-License-Identifier: MIT
//! Which key slot has opened a repository far away last on this machine: the next command asks for
//! that one first and need not list them all. A hint and no more: a slot that is gone, or that
//! another secret opens, is none, and then all are listed as ever; where there are write-only keys
//! they always are.

use crate::backend::local::Local;
use crate::backend::{Backend, FileKind, FileName};
use crate::base::FileId;
use crate::format::pack;
use std::path::Path;

/// The folder beside the copies of repositories.
const FOLDER: &str = "opened";

/// The hint for one repository. It is known by its config, as that can be read before it is opened.
pub(super) struct LastSlot {
    files: Local,
    name: FileName,
}

impl LastSlot {
    /// That of the repository with this config, in the folder of copies.
    pub(super) fn new(below: &Path, stored_config: &[u8]) -> Self {
        let name = FileName::new(FileKind::Key, pack::file_id(stored_config));
        Self { files: Local::disposable(&below.join(FOLDER)), name }
    }

    /// The slot, if one is known.
    pub(super) fn get(&self) -> Option<FileName> {
        let bytes = self.files.read_whole(&self.name, 32).ok()??;
        Some(FileName::new(FileKind::Key, FileId(bytes.try_into().ok()?)))
    }

    /// Notes that this one opened it. What cannot be noted costs a listing the next time.
    pub(super) fn note(&self, slot: &FileId) {
        if self.get().is_none_or(|known| known.id != *slot) {
            drop(self.files.remove(&self.name));
            drop(self.files.create(&self.name, &slot.0));
        }
    }
}
