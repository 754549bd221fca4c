// SPDX-License-Identifier: MIT
//! Entries as Hestia's backup makes them: it copies configuration as root into a folder of its
//! own, so that owners are lost, modes lose what the umask takes, and every name is a file of its
//! own. Here the files are read where they lie and only dressed like those copies; times and
//! inodes stay the real ones, by which an unchanged file is recognised.

use crate::base::path::display_bytes;
use crate::base::{Error, Kind, Monitor, RelPath, Result, Timestamp};
use crate::format::tree::{Meta, NodeKind};
use crate::tree::live::Folder;
use crate::tree::source::{Content, Entry, OpenFile, ReadFile};
use std::io::{Cursor, Read};

/// What the umask of root's jobs leaves of a mode.
const COPY_MODE: u32 = 0o755;

/// A folder that exists only in the tree.
pub fn folder(path: RelPath, mode: u32, time: Timestamp) -> Entry<'static> {
    let meta = Meta { mode, mtime: time, ..roots(NodeKind::Folder) };
    Entry { path, meta, content: Content::Nothing }
}

/// A file that exists only in the tree.
pub fn text(path: RelPath, text: Vec<u8>, time: Timestamp) -> Entry<'static> {
    let size = crate::base::units::bytes(text.len());
    let meta = Meta { mode: 0o644, mtime: time, size, links: 1, ..roots(NodeKind::File) };
    Entry { path, meta, content: Content::Stream(Box::new(Cursor::new(text))) }
}

fn roots(kind: NodeKind) -> Meta {
    let root = || "root".to_owned();
    Meta { kind, user: root(), group: root(), ..Meta::default() }
}

/// A file or link of this name as root's copy of it; `None` if it is neither, or not there.
pub fn copy_of(
    from: &Folder,
    name: &[u8],
    path: RelPath,
    monitor: &dyn Monitor,
) -> Option<Entry<'static>> {
    match from.look(name) {
        Ok(Some(meta)) if meta.kind == NodeKind::File => {
            let content = Content::File(from.file(name, false));
            Some(copied(Entry { path, meta, content }))
        }
        Ok(Some(meta)) if meta.kind == NodeKind::Symlink => {
            Some(copied(Entry { path, meta, content: Content::Nothing }))
        }
        Ok(_) => None,
        Err(error) => {
            monitor.warn(error.within(format!("back up {path}")));
            None
        }
    }
}

/// Dresses an entry as root's copy of it.
pub fn copied(entry: Entry<'_>) -> Entry<'_> {
    let Entry { path, meta, content } = entry;
    let content = match content {
        Content::File(opener) => Content::File(Box::new(CopyOf(opener))),
        other => other,
    };
    Entry { path, meta: copied_meta(meta), content }
}

fn copied_meta(meta: Meta) -> Meta {
    let Meta { kind, mode, mtime, ctime, size, inode, target, .. } = meta;
    let mode = if kind == NodeKind::Symlink { 0o777 } else { mode & COPY_MODE };
    let links = u64::from(kind == NodeKind::File);
    Meta { mode, mtime, ctime, size, inode, links, target, ..roots(kind) }
}

struct CopyOf(Box<dyn OpenFile>);

impl OpenFile for CopyOf {
    fn open(&self) -> Result<Option<Box<dyn ReadFile>>> {
        let Some(file) = self.0.open()? else { return Ok(None) };
        Ok(Some(Box::new(OpenCopyOf(file))))
    }
}

struct OpenCopyOf(Box<dyn ReadFile>);

impl Read for OpenCopyOf {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl ReadFile for OpenCopyOf {
    fn meta(&self) -> Result<Meta> {
        self.0.meta().map(copied_meta)
    }

    fn extents(&self, size: u64) -> Result<Vec<(u64, u64)>> {
        self.0.extents(size)
    }

    fn seek_to(&mut self, offset: u64) -> Result<()> {
        self.0.seek_to(offset)
    }
}

/// The customer's own entry as it is, but for what no tarball of Hestia's can hold.
pub fn own<'e>(entry: Entry<'e>, monitor: &dyn Monitor) -> Option<Entry<'e>> {
    if !matches!(entry.meta.kind, NodeKind::CharDevice | NodeKind::BlockDevice) {
        return Some(entry);
    }
    let what = format!("back up {}", display_bytes(entry.path.as_bytes()));
    monitor.warn(Error::new(Kind::Partial, what).why("it is a device node"));
    None
}
