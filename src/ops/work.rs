// SPDX-License-Identifier: MIT
//! What the workers of a backup do: read files, cut them, hash, and hand new chunks to the writer
//! while they are hot in the cache.

use super::assemble::Finished;
use super::backup::Outcome;
use super::rows::{Known, NewChunks, RowFile, RowWork};
use super::tripwire::looks_encrypted;
use crate::base::error::io_error;
use crate::base::monitor::check_cancelled;
use crate::base::{
    ChunkId, Counter, Error, Kind, Monitor, RelPath, Result, Timestamp, limits, units,
};
use crate::format::{Chunker, Node, PackClass};
use crate::repo::{Bundle, Reader, Writer};
use crate::tree::source::{OpenFile, ReadFile, holds_rows};
use crate::tree::walk::read_full;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;

const NANOS: i128 = 1_000_000_000;

/// A piece of work.
pub enum Job {
    /// Several files of one folder.
    Batch(Vec<Pending>, Sender<Vec<Outcome>>),
    /// One chunk of a long stream.
    Chunk(Vec<u8>, Sender<Result<ChunkId>>),
    /// Chunks of new rows.
    Rows(NewChunks),
}

/// A file whose content is not stored yet.
pub enum Pending {
    /// To be opened.
    File {
        /// What the source said of it.
        node: Node,
        /// Where it lies, for messages.
        path: RelPath,
        /// How to open it.
        opener: Box<dyn OpenFile>,
        /// The parent's file, if that is one of rows.
        rows: Option<Box<Node>>,
    },
    /// Read already.
    Bytes {
        /// The finished node but for its chunks.
        node: Node,
        /// Its content.
        data: Vec<u8>,
    },
}

impl Pending {
    fn size(&self) -> u64 {
        match self {
            Self::File { node, .. } => node.meta.size,
            Self::Bytes { data, .. } => units::bytes(data.len()),
        }
    }
}

/// Files waiting to be handed out together.
#[derive(Default)]
pub struct Batch {
    files: Vec<Pending>,
    bytes: u64,
}

impl Batch {
    /// Adds a file.
    pub fn push(&mut self, pending: Pending) {
        self.bytes += pending.size();
        self.files.push(pending);
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether it should be handed out.
    pub fn is_full(&self) -> bool {
        self.files.len() >= limits::BATCH_FILES || self.bytes >= limits::BATCH_BYTES
    }

    /// The job, and where its outcomes will arrive.
    pub fn into_job(self) -> (Job, Receiver<Vec<Outcome>>) {
        let (done, arriving) = bounded(1);
        (Job::Batch(self.files, done), arriving)
    }
}

/// The chunks of one long stream on their way through the workers.
#[derive(Default)]
pub struct StreamWork {
    chunks: Vec<Receiver<Result<ChunkId>>>,
    bytes: u64,
}

impl StreamWork {
    /// Makes the job of one chunk.
    pub fn chunk(&mut self, data: Vec<u8>) -> Job {
        let (done, arriving) = bounded(1);
        self.bytes += units::bytes(data.len());
        self.chunks.push(arriving);
        Job::Chunk(data, done)
    }

    /// Bytes handed out so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits for all chunks.
    pub fn ids(self) -> Result<Vec<ChunkId>> {
        let gone = || Error::new(Kind::Internal, "store a chunk").why("a worker stopped");
        self.chunks.into_iter().map(|one| one.recv().map_err(|_| gone())?).collect()
    }
}

/// One worker thread; with `watch` it looks at the starts of files that are new since then.
pub fn worker(
    jobs: &Receiver<Job>,
    writer: &Writer<'_>,
    chunker: &Chunker,
    watch: Option<i64>,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut worker = Worker {
        watch,
        writer,
        chunker,
        monitor,
        bundle: writer.bundle(PackClass::Data)?,
        buffer: Vec::new(),
        parents: Reader::new(writer.repository()),
    };
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Batch(files, done) => {
                let mut outcomes = Vec::with_capacity(files.len());
                for file in files {
                    outcomes.push(Ok(worker.store(file)?));
                }
                // Nobody listens any more only when the backup has failed elsewhere.
                if done.send(outcomes).is_err() {
                    return Ok(());
                }
            }
            Job::Chunk(data, done) => {
                let id = worker.add_chunk(&data)?;
                if done.send(Ok(id)).is_err() {
                    return Ok(());
                }
            }
            Job::Rows(chunks) => worker.add_rows(chunks)?,
        }
    }
    worker.bundle.flush(writer)
}

struct Worker<'w> {
    /// Since when content is new, if new files are looked at: were they encrypted?
    watch: Option<i64>,
    writer: &'w Writer<'w>,
    chunker: &'w Chunker,
    monitor: &'w dyn Monitor,
    bundle: Bundle,
    buffer: Vec<u8>,
    /// Reads what the parent's files of rows lend.
    parents: Reader<'w>,
}

impl Worker<'_> {
    /// Stores the content of one file. Only a failure of the repository is an error; a file that
    /// cannot be read is a warning and stays out of the tree.
    fn store(&mut self, pending: Pending) -> Result<Finished> {
        match pending {
            Pending::Bytes { mut node, data } => {
                self.monitor.count(Counter::BytesRead, units::bytes(data.len()));
                node.chunks =
                    if data.is_empty() { vec![] } else { vec![self.add_first(&node.name, &data)?] };
                Ok(Finished::Node(Box::new(node)))
            }
            Pending::File { node, path, opener, rows } => {
                match self.store_file(&node, &path, opener.as_ref(), rows.as_deref()) {
                    Ok(finished) => {
                        if let Finished::Node(node) | Finished::Rows(node, _) = &finished
                            && node.torn
                        {
                            self.monitor.warn(
                                Error::new(Kind::Partial, format!("read {path} in one state"))
                                    .why("it kept changing while it was read"),
                            );
                        }
                        Ok(finished)
                    }
                    Err(Trouble::File(error)) => {
                        self.monitor.warn(error.within(format!("back up {path}")));
                        Ok(Finished::LeftOut)
                    }
                    Err(Trouble::Repository(error)) => Err(error),
                }
            }
        }
    }

    /// Whether the file may change again without its times showing it: they move in steps, and this
    /// one is not over. Such a file is stored without the time that would let it be reused.
    fn may_change_unseen(&self, ctime: Timestamp) -> bool {
        let nanos = |time: Timestamp| i128::from(time.seconds) * NANOS + i128::from(time.nanos);
        let age = nanos(self.writer.repository().world().now()) - nanos(ctime);
        // Whole seconds: a file system that knows no finer time.
        let step = if ctime.nanos == 0 { limits::COARSE_TIME_STEP } else { limits::TIME_STEP };
        let step = i128::try_from(step.as_nanos()).unwrap_or(NANOS);
        (0..step).contains(&age)
    }

    /// Reads a file; if it changed meanwhile, once more; then stores what there is and says so.
    fn store_file(
        &mut self,
        node: &Node,
        path: &RelPath,
        opener: &dyn OpenFile,
        rows: Option<&Node>,
    ) -> Result<Finished, Trouble> {
        let mut torn = None;
        for attempt in 0..2 {
            let Some(mut file) = opener.open().map_err(Trouble::File)? else {
                self.monitor.count(Counter::FilesVanished, 1);
                return Ok(Finished::LeftOut);
            };
            let before = file.meta().map_err(Trouble::File)?;
            let mut read = node.clone();
            // Holes are looked for once: a file in motion is read as plain bytes.
            let sparse = attempt == 0;
            let is_rows =
                holds_rows(&node.name) && before.size >= units::bytes(limits::ROW_FILE_BYTES_MIN);
            let (stored, work) = if is_rows {
                self.read_rows(rows, before.size, file.as_mut())?
            } else {
                (self.read_content(&mut read, before.size, sparse, file.as_mut())?, None)
            };
            read.meta = file.meta().map_err(Trouble::File)?;
            let stable = (before.size, before.mtime, before.ctime)
                == (read.meta.size, read.meta.mtime, read.meta.ctime)
                && stored == read.data_bytes();
            self.read_xattrs(&mut read, path, file.as_ref());
            if stable {
                if self.may_change_unseen(read.meta.ctime) {
                    read.meta.ctime = Timestamp::default();
                }
                return Ok(Finished::of(read, work));
            }
            // The size must say the same as the chunks, whatever the file has become since.
            read.meta.size = stored;
            read.torn = true;
            torn = Some((read, work));
        }
        Ok(torn.map_or(Finished::LeftOut, |(node, work)| Finished::of(node, work)))
    }

    /// A file whose attributes cannot be read is stored without them, and read again next time.
    fn read_xattrs(&self, node: &mut Node, path: &RelPath, file: &dyn ReadFile) {
        match file.xattrs() {
            Ok(None) => {}
            Ok(Some(xattrs)) => node.meta.xattrs = xattrs,
            Err(error) => {
                self.monitor.warn(error.within(format!("read the attributes of {path}")));
                node.meta.ctime = Timestamp::default();
            }
        }
    }

    /// Stores the content of an open file in `node`; returns how many bytes that were.
    fn read_content(
        &mut self,
        node: &mut Node,
        size: u64,
        sparse: bool,
        file: &mut dyn ReadFile,
    ) -> Result<u64, Trouble> {
        if size <= limits::SMALL_FILE_BYTES {
            return self.read_small(node, size, file);
        }
        if sparse {
            node.extents = file.extents(size).map_err(Trouble::File)?;
        }
        if node.extents.is_empty() {
            return self.read_range(node, u64::MAX, file);
        }
        let mut stored = 0;
        for (offset, length) in node.extents.clone() {
            file.seek_to(offset).map_err(Trouble::File)?;
            stored += self.read_range(node, length, file)?;
        }
        Ok(stored)
    }

    fn read_small(
        &mut self,
        node: &mut Node,
        size: u64,
        file: &mut dyn ReadFile,
    ) -> Result<u64, Trouble> {
        // One byte more than expected: a file that grew shows.
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(units::length(size) + 1, 0);
        let length = read_full(file, &mut buffer).map_err(unreadable)?;
        let content = buffer.get(..length).unwrap_or_default();
        self.monitor.count(Counter::BytesRead, units::bytes(length));
        if !content.is_empty() {
            let id = self.add_first(&node.name, content).map_err(Trouble::Repository)?;
            node.chunks.push(id);
        }
        self.buffer = buffer;
        Ok(units::bytes(length))
    }

    /// Cuts up to `length` bytes into chunks, from where the file stands.
    fn read_range(
        &mut self,
        node: &mut Node,
        length: u64,
        file: &mut dyn ReadFile,
    ) -> Result<u64, Trouble> {
        let max = units::length(u64::from(self.chunker.sizes().max));
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(max * 2, 0);
        let (mut start, mut end, mut left, mut stored) = (0, 0, length, 0);
        loop {
            check_cancelled(self.monitor).map_err(Trouble::Repository)?;
            if end - start < max && left > 0 {
                buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
                let ask = (buffer.len() - end).min(units::length(left));
                let part = buffer.get_mut(end..end + ask).unwrap_or_default();
                let got = read_full(file, part).map_err(unreadable)?;
                self.monitor.count(Counter::BytesRead, units::bytes(got));
                end += got;
                left = if got < ask { 0 } else { left - units::bytes(got) };
            }
            let data = buffer.get(start..end).unwrap_or_default();
            if data.is_empty() {
                self.buffer = buffer;
                return Ok(stored);
            }
            let cut = self.chunker.cut(data);
            let chunk = data.get(..cut).unwrap_or_default();
            let added = if node.chunks.is_empty() {
                self.add_first(&node.name, chunk)
            } else {
                self.add_chunk(chunk)
            };
            node.chunks.push(added.map_err(Trouble::Repository)?);
            start += cut;
            stored += units::bytes(cut);
        }
    }

    /// Stores an open file of rows; returns how many bytes it has.
    fn read_rows(
        &mut self,
        parent: Option<&Node>,
        size: u64,
        file: &mut dyn ReadFile,
    ) -> Result<(u64, Option<Box<RowWork>>), Trouble> {
        let keys = Arc::clone(self.writer.repository().keys());
        let known = parent.map(|node| Known::of(node, &self.parents, self.writer));
        let mut rows = RowFile::new(&keys, known.unwrap_or_default(), size);
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(limits::ROW_READ_BYTES, 0);
        let (mut start, mut end, mut is_last) = (0, 0, false);
        while !is_last {
            check_cancelled(self.monitor).map_err(Trouble::Repository)?;
            buffer.copy_within(start..end, 0);
            (start, end) = (0, end - start);
            let room = buffer.get_mut(end..).unwrap_or_default();
            let got = read_full(file, room).map_err(unreadable)?;
            self.monitor.count(Counter::BytesRead, units::bytes(got));
            is_last = got < room.len();
            end += got;
            while end - start >= limits::ROW_GROUP_BYTES_MAX || (is_last && start < end) {
                let rest = buffer.get(start..end).unwrap_or_default();
                let taken = rows.take(&keys, rest, self.monitor).map_err(Trouble::Repository)?;
                start += taken.0;
                self.add_rows(taken.1.unwrap_or_default()).map_err(Trouble::Repository)?;
            }
        }
        self.buffer = buffer;
        self.add_rows(rows.last_chunks()).map_err(Trouble::Repository)?;
        Ok((rows.bytes(), Some(Box::new(rows.end()))))
    }

    /// Stores chunks of rows; if there are enough of them, in a blob of their own.
    fn add_rows(&mut self, chunks: NewChunks) -> Result<()> {
        let together = chunks.len() >= limits::ROW_CHUNKS_TOGETHER;
        if together {
            self.bundle.flush(self.writer)?;
        }
        for (data, done) in chunks {
            let id = self.add_chunk(&data)?;
            // Nobody listens for the chunks of a file that was given up half way, but others still
            // want theirs: go on.
            drop(done.send(Ok(id)));
        }
        if together { self.bundle.flush(self.writer) } else { Ok(()) }
    }

    /// Adds the first chunk of a file, and looks at it if it is new.
    fn add_first(&mut self, name: &[u8], chunk: &[u8]) -> Result<ChunkId> {
        let (id, is_new) = self.add(chunk)?;
        if let Some(since) = self.watch
            && (is_new || self.was_stored_since(&id, since))
            && looks_encrypted(name, chunk)
        {
            self.monitor.count(Counter::FilesScrambled, 1);
        }
        Ok(id)
    }

    /// Whether a chunk came into the repository only since then: a run that died had stored it.
    fn was_stored_since(&self, id: &ChunkId, since: i64) -> bool {
        let index = self.writer.repository().index();
        // Where that cannot be looked up, it only makes an alarm less likely.
        let Ok(places) = index.find_all(id) else { return false };
        let mut packs = places.filter_map(|place| index.blob(place.blob));
        packs.all(|blob| index.pack(blob.pack).is_some_and(|pack| pack.time > since))
    }

    fn add_chunk(&mut self, chunk: &[u8]) -> Result<ChunkId> {
        self.add(chunk).map(|(id, _)| id)
    }

    fn add(&mut self, chunk: &[u8]) -> Result<(ChunkId, bool)> {
        let id = self.writer.repository().keys().data_id(chunk);
        let is_new = self.bundle.add(self.writer, id, chunk)?;
        if is_new {
            self.monitor.count(Counter::ChunksNew, 1);
            self.monitor.count(Counter::BytesNew, units::bytes(chunk.len()));
        } else {
            self.monitor.count(Counter::ChunksReused, 1);
        }
        Ok((id, is_new))
    }
}

/// Whose fault it is decides whether the backup goes on.
enum Trouble {
    File(Error),
    Repository(Error),
}

fn unreadable(error: std::io::Error) -> Trouble {
    Trouble::File(io_error(error, "read its content"))
}
