// SPDX-License-Identifier: MIT
//! Where the entries of a backup come from. A source yields folders before what is in them, and
//! everything in one folder before it leaves that folder for good.

use crate::base::{Monitor, RelPath, Result};
use crate::format::snapshot::Object;
use crate::format::tree::Meta;
use std::io::Read;

/// Yields the entries of one tree.
pub trait Source {
    /// The next entry, or `None` at the end. Folders come before their content; all entries below
    /// a folder follow it without a foreign one in between; siblings may come in any order; no
    /// path comes twice; the root itself comes first, as the empty path.
    ///
    /// An entry that cannot be read is reported through `monitor.warn` and left out; an error
    /// means that the source as a whole is unusable.
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>>;

    /// Whether [`Content::SameAs`] may come, and if so, for how long an entry must be remembered:
    /// the function says of a folder that ends whether nothing later names an entry in it.
    fn names_earlier_entries(&self) -> Option<fn(&RelPath) -> bool> {
        None
    }

    /// The parts of it that a person would restore by themselves, for the snapshot's list. Asked
    /// after the last entry; only a source that knows Hestia has any.
    fn objects(&self) -> Vec<Object> {
        Vec::new()
    }

    /// Says that nothing more is asked of it though its end has not come: a source that somebody
    /// else reads as well lets them go on.
    fn give_up(&mut self) {}
}

/// Whether a file of this name holds rows: SQL, as every tool for dumps calls it.
pub fn holds_rows(name: &[u8]) -> bool {
    name.ends_with(b".sql")
}

/// The `meta.size` of streamed content whose length shows only at its end, such as a dump that is
/// decompressed on the way.
pub const SIZE_UNKNOWN: u64 = u64::MAX;

/// One entry on its way into a tree.
pub struct Entry<'s> {
    /// Where it lies below the root of the source.
    pub path: RelPath,
    /// What it is and whose. `meta.size` is a hint for files; for streamed content it is exact
    /// or [`SIZE_UNKNOWN`], which the backup replaces by what it read.
    pub meta: Meta,
    /// What is in it.
    pub content: Content<'s>,
}

/// The content of an entry.
pub enum Content<'s> {
    /// None: a folder, a link, a device node.
    Nothing,
    /// A file that can be opened later, by another thread, or not at all if it did not change.
    File(Box<dyn OpenFile>),
    /// Bytes that must be taken now, before the next entry, such as a member of a tar stream.
    /// The reader fails if the stream ends before the member does.
    Stream(Box<dyn Read + 's>),
    /// A stream of rows, such as an SQL dump: stored row by row against the same file of the
    /// parent. `meta.size` is an estimate or [`SIZE_UNKNOWN`]. If the reader fails, this entry is
    /// reported and left out and the backup goes on; a source that is unusable then says so when
    /// it is asked for the next entry. If the failure is one that passes, the same entry comes
    /// next once more, and no word is lost about it.
    Rows(Box<dyn Read + 's>),
    /// Another name of the entry at this path, which came earlier from this source and is not a
    /// folder: content, kind, size, holes and link target are that entry's (a tar stream says of
    /// a hard link no more than this). The source has not checked that there is such an entry:
    /// if there is none, the source is unusable.
    SameAs(RelPath),
}

/// A file that has not been opened yet.
pub trait OpenFile: Send {
    /// Opens it and says what it is now. `None` if it is gone.
    fn open(&self) -> Result<Option<Box<dyn ReadFile>>>;
}

/// Extended attributes: names and values, sorted.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// An open file of a live file system.
pub trait ReadFile: Read {
    /// What the open file is now; extended attributes only if [`Self::xattrs`] has none.
    fn meta(&self) -> Result<Meta>;
    /// Its extended attributes, asked apart: a file whose attributes cannot be read still has its
    /// content. `None` if [`Self::meta`] said them.
    fn xattrs(&self) -> Result<Option<Xattrs>> {
        Ok(None)
    }
    /// Where its data lies: empty if it has no holes.
    fn extents(&self, size: u64) -> Result<Vec<(u64, u64)>>;
    /// Moves to a position.
    fn seek_to(&mut self, offset: u64) -> Result<()>;
}
