// SPDX-License-Identifier: MIT
//! Feeding a snapshot to a sink, entry by entry in the order of the tree.

use super::find_node;
use super::plan::{Place, places};
use crate::base::monitor::check_cancelled;
use crate::base::{ChunkId, Counter, Monitor, RelPath, Result, Within, units};
use crate::format::{Node, NodeKind, Snapshot};
use crate::repo::{IndexedRepository, Reader};
use crate::tree::select::Verdict;
use crate::tree::{Selection, Sink};
use std::io::{self, Read};

/// Hands what lies at `base` of the snapshot to a sink. The first failure ends it: half a tarball
/// is of no use to anybody.
pub fn to_sink(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    base: &RelPath,
    selection: &Selection,
    mut sink: Box<dyn Sink + '_>,
    monitor: &dyn Monitor,
) -> Result<()> {
    let reader = Reader::new(repository);
    let node = find_node(&reader, snapshot, base)?;
    let mut feed = Feed { reader: &reader, selection, sink: sink.as_mut(), monitor };
    if node.is_folder() {
        feed.folder(&node.chunks, &RelPath::root())?;
    } else {
        let path = RelPath::parse(&node.name)?;
        feed.entry(&node, &path)?;
    }
    sink.finish()
}

struct Feed<'a> {
    reader: &'a Reader<'a>,
    selection: &'a Selection,
    sink: &'a mut dyn Sink,
    monitor: &'a dyn Monitor,
}

impl Feed<'_> {
    fn folder(&mut self, chunks: &[ChunkId], path: &RelPath) -> Result<()> {
        for node in self.reader.tree(chunks).within(|| format!("read the folder {path}"))? {
            check_cancelled(self.monitor)?;
            let below = path.join(&node.name)?;
            match self.selection.verdict(&below, node.is_folder()) {
                Verdict::Leave => continue,
                Verdict::Take | Verdict::Enter => self.entry(&node, &below)?,
            }
            if node.is_folder() {
                self.folder(&node.chunks, &below)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, node: &Node, path: &RelPath) -> Result<()> {
        let what = || format!("restore {path}");
        if node.meta.kind != NodeKind::File {
            return self.sink.entry(path, node, &mut io::empty()).within(what);
        }
        let mut content = FileReader::new(self.reader, node).within(what)?;
        self.sink.entry(path, node, &mut content).within(what)?;
        self.monitor.count(Counter::FilesRestored, 1);
        self.monitor.count(Counter::BytesRestored, node.meta.size);
        Ok(())
    }
}

/// The content of one stored file as a stream, holes as zeros.
pub struct FileReader<'r> {
    reader: &'r Reader<'r>,
    places: std::vec::IntoIter<Place>,
    next: Option<Place>,
    chunk: Vec<u8>,
    used: usize,
    at: u64,
    size: u64,
}

impl<'r> FileReader<'r> {
    /// A stream over the content of `node`, which must be a file.
    pub fn new(reader: &'r Reader<'r>, node: &Node) -> Result<Self> {
        let mut places = places(node, &reader.spans_of(node)?)?.into_iter();
        let next = places.next();
        let size = node.meta.size;
        Ok(Self { reader, places, next, chunk: Vec::new(), used: 0, at: 0, size })
    }
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        if let Some(rest) = self.chunk.get(self.used..).filter(|rest| !rest.is_empty()) {
            let count = rest.len().min(buffer.len());
            buffer.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.used += count;
            self.at += units::bytes(count);
            return Ok(count);
        }
        let hole_end = self.next.map_or(self.size, |next| next.to);
        if self.at < hole_end {
            let count = units::length(hole_end - self.at).min(buffer.len());
            buffer.iter_mut().take(count).for_each(|byte| *byte = 0);
            self.at += units::bytes(count);
            return Ok(count);
        }
        if let Some(Place { span, .. }) = self.next {
            self.chunk = self.reader.span(&span)?;
            self.used = 0;
            self.next = self.places.next();
        }
        self.read(buffer)
    }
}
