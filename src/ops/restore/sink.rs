// SPDX-License-Identifier: MIT
//! Feeding a snapshot to a sink, entry by entry in the order of the tree.

use super::find_node;
use super::plan::{Place, places};
use crate::base::monitor::check_cancelled;
use crate::base::{ChunkId, Counter, Error, Kind, Monitor, RelPath, Result, Within, limits, units};
use crate::format::{Node, NodeKind, PackClass, Snapshot};
use crate::repo::reader::Span;
use crate::repo::{IndexedRepository, Reader};
use crate::tree::select::Verdict;
use crate::tree::{Selection, Sink};
use std::collections::VecDeque;
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
    proven: Option<Proven>,
}

impl<'r> FileReader<'r> {
    /// A stream over the content of `node`, which must be a file.
    pub fn new(reader: &'r Reader<'r>, node: &Node) -> Result<Self> {
        let mut places = places(node, &reader.spans_of(node)?)?.into_iter();
        let next = places.next();
        let size = node.meta.size;
        Ok(Self { reader, places, next, chunk: Vec::new(), used: 0, at: 0, size, proven: None })
    }

    /// The same, and every chunk is compared with its name before a byte of it is given away.
    pub fn proving(reader: &'r Reader<'r>, node: &Node) -> Result<Self> {
        Ok(Self { proven: Some(Proven::default()), ..Self::new(reader, node)? })
    }

    /// Goes on behind the hole that it is in, if it is in one; says how many bytes that has.
    pub fn pass_hole(&mut self) -> u64 {
        let is_in_chunk = self.chunk.len() > self.used;
        let end = if is_in_chunk { self.at } else { self.next.map_or(self.size, |next| next.to) };
        let passed = end.saturating_sub(self.at);
        self.at += passed;
        passed
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
            self.chunk = match &mut self.proven {
                Some(proven) => proven.span(self.reader, &span)?,
                None => self.reader.span(&span)?,
            };
            self.used = 0;
            self.next = self.places.next();
        }
        self.read(buffer)
    }
}

/// Chunks that were compared with their names; of those that are read piece by piece the last few.
#[derive(Default)]
struct Proven(VecDeque<(ChunkId, Vec<u8>)>);

impl Proven {
    fn span(&mut self, reader: &Reader<'_>, span: &Span) -> Result<Vec<u8>> {
        let (from, length) =
            (units::length(u64::from(span.from)), units::length(u64::from(span.length)));
        let part = |chunk: &[u8]| {
            let part = chunk.get(from..from.saturating_add(length)).map(<[u8]>::to_vec);
            part.ok_or_else(|| unlike(&span.id, "a stretch reaches beyond its end"))
        };
        if let Some((_, chunk)) = self.0.iter().find(|(id, _)| *id == span.id) {
            return part(chunk);
        }
        let chunk = reader.chunk(PackClass::Data, &span.id)?;
        if reader.repository().keys().data_id(&chunk) != span.id {
            return Err(unlike(&span.id, "its content does not match its name"));
        }
        let found = part(&chunk)?;
        if found.len() == chunk.len() {
            return Ok(chunk);
        }
        if self.0.len() >= limits::PROVEN_CHUNKS_KEPT {
            self.0.pop_front();
        }
        self.0.push_back((span.id, chunk));
        Ok(found)
    }
}

fn unlike(id: &ChunkId, why: &str) -> Error {
    Error::new(Kind::Damaged, format!("read chunk {id}")).why(why.to_owned())
}
