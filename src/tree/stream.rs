// SPDX-License-Identifier: MIT
//! A source of one file that comes as a stream, such as standard input.

use super::source::{Content, Entry, SIZE_UNKNOWN, Source, holds_rows};
use crate::base::{Monitor, RelPath, Result, Timestamp};
use crate::format::NodeKind;
use crate::format::tree::Meta;
use std::io::Read;

/// One file read from a stream, in a tree of its own.
pub struct StreamFile<R> {
    path: RelPath,
    time: Timestamp,
    reader: R,
    /// Folders still to hand out, the deepest first.
    folders: Vec<RelPath>,
    done: bool,
}

impl<R: Read> StreamFile<R> {
    /// The file's path in the tree, its time, and where its content comes from.
    pub fn new(path: RelPath, time: Timestamp, reader: R) -> Self {
        let mut folders = Vec::new();
        let mut above = path.parent();
        while let Some(folder) = above {
            above = folder.parent();
            folders.push(folder);
        }
        Self { path, time, reader, folders, done: false }
    }

    fn meta(&self, kind: NodeKind, mode: u32, size: u64) -> Meta {
        Meta {
            kind,
            mode,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            mtime: self.time,
            ctime: self.time,
            size,
            links: 1,
            ..Meta::default()
        }
    }
}

impl<R: Read> Source for StreamFile<R> {
    fn next_entry(&mut self, _monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        if let Some(path) = self.folders.pop() {
            let meta = self.meta(NodeKind::Folder, 0o755, 0);
            return Ok(Some(Entry { path, meta, content: Content::Nothing }));
        }
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        let meta = self.meta(NodeKind::File, 0o600, SIZE_UNKNOWN);
        let reader = Box::new(&mut self.reader);
        let rows = self.path.name().is_some_and(holds_rows);
        let content = if rows { Content::Rows(reader) } else { Content::Stream(reader) };
        Ok(Some(Entry { path: self.path.clone(), meta, content }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::monitor::Collect;

    #[test]
    fn a_stream_is_the_root_the_folders_above_it_and_the_file() {
        let path = RelPath::parse(b"db/all.sql").unwrap();
        let mut source = StreamFile::new(path, Timestamp::default(), &b"select 1"[..]);
        let (mut seen, mut content) = (Vec::new(), Vec::new());
        while let Some(entry) = source.next_entry(&Collect::default()).unwrap() {
            seen.push(entry.path.to_string());
            if let Content::Rows(mut reader) = entry.content {
                reader.read_to_end(&mut content).unwrap();
            }
        }
        assert_eq!(seen, [".", "db", "db/all.sql"]);
        assert_eq!(content, b"select 1");
    }
}
