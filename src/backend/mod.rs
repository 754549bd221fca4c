// SPDX-License-Identifier: MIT
//! Rank 1: named immutable files somewhere. Sees opaque bytes: no keys, no snapshots. One
//! conformance suite (tests/backend.rs) runs against every backend and every wrapper.

pub mod azure;
pub mod child;
pub mod fault;
pub mod http;
mod lent;
pub mod local;
pub mod mem;
pub mod open;
pub mod private_file;
pub mod probe;
pub mod rclone;
pub mod retry;
pub mod s3;
pub mod scratch;
pub mod sftp;
pub mod throttle;
pub mod worded;

pub use open::{Access, Variables, open, place_of, refuse_foreign_place, shown_address};

use crate::base::{FileId, Result};
use std::fmt;
use std::ops::Range;

/// Which of a repository's folders a file lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// The one config file.
    Config,
    /// Key slots.
    Key,
    /// Snapshots.
    Snapshot,
    /// Index segments.
    Index,
    /// Packs, in folders of the first two digits of their names.
    Pack,
    /// Lock records.
    Lock,
    /// Entries of the history.
    History,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Config,
        Self::Key,
        Self::Snapshot,
        Self::Index,
        Self::Pack,
        Self::Lock,
        Self::History,
    ];

    /// The folder's name; the config file's for [`FileKind::Config`].
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Pack => "packs",
            Self::Lock => "locks",
            Self::History => "history",
        }
    }
}

/// The name of one file of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName {
    /// Its folder.
    pub kind: FileKind,
    /// Its id; all zeros for the config.
    pub id: FileId,
}

impl FileName {
    /// The config file.
    pub const CONFIG: Self = Self { kind: FileKind::Config, id: FileId([0; 32]) };

    /// A file of a kind.
    pub const fn new(kind: FileKind, id: FileId) -> Self {
        Self { kind, id }
    }
}

impl fmt::Display for FileName {
    /// The path below the repository's root.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.kind.folder();
        match self.kind {
            FileKind::Config => f.write_str(folder),
            FileKind::Pack => {
                let id = self.id.to_string();
                write!(f, "{folder}/{}/{id}", id.get(..2).unwrap_or_default())
            }
            _ => write!(f, "{folder}/{}", self.id),
        }
    }
}

/// What a backend is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties {
    /// How many requests it likes at the same time.
    pub connections: usize,
    /// Files cannot be removed.
    pub append_only: bool,
    /// Each request is a journey, and often a bill: few large ones are better than many small.
    pub is_far: bool,
    /// How many files one request of a listing names, about.
    pub listed_at_once: usize,
    /// Packs up to here are stored in one request and take no more memory than they must.
    pub pack_bytes_max: u64,
}

/// What is done with files that never got their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// They are counted.
    Count,
    /// They are removed.
    Remove,
}

/// Whether a file in the folder of temporary files has a name that a folder or an SSH server gives
/// one: what else lies there is somebody else's.
fn is_temporary(name: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_local = |(process, serial)| is_number(process) && is_number(serial);
    FileId::parse(name).is_ok() || name.split_once('-').is_some_and(is_local)
}

/// A store of immutable files. All methods are required: a wrapper that forgot to forward one
/// would not compile.
pub trait Backend: Send + Sync {
    /// All files of one kind with their sizes, in any order. Complete, or an error: a folder that
    /// does not exist yet is an empty list, a listing that was cut off is not.
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>>;

    /// The same of several kinds: in one listing where a store can do that.
    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>>;

    /// Exactly the bytes of `range`, or an error; a file that is shorter is damaged.
    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>>;

    /// A whole file of at most this many bytes, `None` if it does not exist. One request where a
    /// store can do that.
    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>>;

    /// The size of a file, `None` if it does not exist.
    fn size(&self, name: &FileName) -> Result<Option<u64>>;

    /// The same of several files, in their order: in fewer requests than files where a store can do
    /// that. What it says of a file is as sure as [`Self::size`].
    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>>;

    /// Stores a new file, whole and durable when this returns. An existing file of that name is
    /// left as it is and the call fails with [`crate::base::Kind::Exists`].
    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()>;

    /// Removes a file; one that is gone already is fine.
    fn remove(&self, name: &FileName) -> Result<()>;

    /// What killed writers left behind of files that never got their names, if nobody has written
    /// to it since `before` (seconds since 1970): how many files, and their bytes. Removed, or only
    /// counted. Nothing where a store has no such files.
    fn leftovers(&self, before: i64, task: Leftovers) -> Result<(u64, u64)>;

    /// What it is like.
    fn properties(&self) -> Properties;

    /// Where it is, for messages; never with a secret in it.
    fn location(&self) -> String;
}

/// Files of several kinds, for backends that list them one after the other.
pub fn list_each(backend: &dyn Backend, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
    let mut files = Vec::new();
    for kind in kinds {
        files.extend(backend.list(*kind)?);
    }
    Ok(files)
}

/// The sizes of several files, for backends that ask for one after the other.
pub fn size_each(backend: &dyn Backend, names: &[FileName]) -> Result<Vec<Option<u64>>> {
    names.iter().map(|name| backend.size(name)).collect()
}

/// A whole file, for backends that ask for its size first.
pub fn whole_by_size(backend: &dyn Backend, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
    match backend.size(name)? {
        None => Ok(None),
        Some(size) if size > most => Err(too_large(name, size)),
        // Removed since.
        Some(size) => match backend.read(name, 0..size) {
            Err(error) if error.kind() == crate::base::Kind::NotFound => Ok(None),
            read => read.map(Some),
        },
    }
}

/// "Nobody wrote that", in the words every backend uses.
pub fn too_large(name: &FileName, size: u64) -> crate::base::Error {
    crate::base::Error::new(crate::base::Kind::Damaged, format!("read {name}"))
        .why(format!("it has {size} bytes, far too many for what it should be"))
}

/// A whole record that has to exist.
pub fn read_all(backend: &dyn Backend, name: &FileName) -> Result<Vec<u8>> {
    let whole = backend.read_whole(name, crate::base::limits::RECORD_BYTES_MAX)?;
    whole.ok_or_else(|| missing(name))
}

/// "There is no such file", in the words every backend uses.
pub fn missing(name: &FileName) -> crate::base::Error {
    crate::base::Error::new(crate::base::Kind::NotFound, format!("read {name}"))
        .why("the repository has no such file")
}

impl FileName {
    /// The file of a kind that lies at a path below the repository's root, as [`fmt::Display`]
    /// writes it; `None` for everything that is not ours.
    pub fn parse(kind: FileKind, path: &str) -> Option<Self> {
        let last = path.rsplit('/').next().unwrap_or_default();
        let name = match kind {
            FileKind::Config => Self::CONFIG,
            _ => Self::new(kind, FileId::parse(last).ok()?),
        };
        (name.to_string() == path).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        assert_eq!(FileName::CONFIG.to_string(), "config");
        let pack = FileName::new(FileKind::Pack, FileId([0xab; 32]));
        assert!(pack.to_string().starts_with("packs/ab/abab"));
        let key = FileName::new(FileKind::Key, FileId([0xab; 32]));
        assert!(key.to_string().starts_with("keys/abab"));
        for name in [FileName::CONFIG, pack, key] {
            assert_eq!(FileName::parse(name.kind, &name.to_string()), Some(name));
        }
        let elsewhere = pack.to_string().replace("/ab/", "/ac/");
        assert_eq!(FileName::parse(FileKind::Pack, &elsewhere), None);
        assert_eq!(FileName::parse(FileKind::Key, "keys/README"), None);
        assert_eq!(FileName::parse(FileKind::Index, &key.to_string()), None);
    }
}
