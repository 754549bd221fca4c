// SPDX-License-Identifier: MIT
//! The content of a snapshot into another repository: walks it beside the snapshot that lends,
//! reads what is new, names and stores it anew.

use crate::base::monitor::{Counts, check_cancelled};
use crate::base::units::{bytes, length};
use crate::base::{ChunkId, Counter, Error, FileId, Kind, Monitor, Result, limits};
use crate::format::rows::{RowChunk, RowMap, RowTable};
use crate::format::{Node, NodeKind, PackClass, Snapshot};
use crate::ops::assemble::{Assembler, Event, Piece};
use crate::repo::{Bundle, IndexedRepository, Reader, Writer, WriterOptions};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;

/// A snapshot that both repositories have.
pub(in crate::ops) type Lent<'l> = (&'l Snapshot, &'l (FileId, Snapshot));

/// Stores the content of a snapshot in another repository: the root of its tree there. Before
/// anything counts on it there is a commit, or a look for the index.
pub(in crate::ops) fn copy_content(
    source: &IndexedRepository,
    target: &IndexedRepository,
    snapshot: &Snapshot,
    lent: Option<Lent<'_>>,
    options: WriterOptions,
    monitor: &dyn Monitor,
) -> Result<(Vec<ChunkId>, Counts)> {
    let writer = Writer::new(target, options);
    let with = (&writer, &Known::default());
    let stored = copy_tree(source, with, &snapshot.tree, lent, monitor);
    // Also after a failure: what is stored already is kept for the next run.
    let finished = match &stored {
        Err(error) if error.kind() == Kind::Internal => Ok(Counts::default()),
        _ => writer.finish_to_commit(monitor),
    };
    let tree = stored?;
    let written = finished?;
    check_cancelled(monitor)?;
    Ok((tree, written))
}

/// A piece of work: chunks that follow each other, or the map of a part of a file of rows.
enum Job {
    Chunks(Vec<ChunkId>, Sender<Result<Vec<ChunkId>>>),
    Map(RowMap, HashMap<ChunkId, RowChunk>, Sender<Result<Vec<ChunkId>>>),
}

/// Ids in the other repository of what was copied just now.
#[derive(Default)]
pub(super) struct Known {
    chunks: Mutex<HashMap<ChunkId, ChunkId>>,
    rows: Mutex<HashMap<ChunkId, RowChunk>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere ends the run anyway; the data behind the lock is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers, within bounds; what is forgotten is only read once more.
fn remember<T>(known: &Mutex<HashMap<ChunkId, T>>, id: ChunkId, there: T) {
    let mut known = lock(known);
    if known.len() >= limits::COPIED_CHUNKS_REMEMBERED {
        known.clear();
    }
    known.insert(id, there);
}

/// Runs the pipeline; returns the root of the tree over there.
pub(super) fn copy_tree(
    source: &IndexedRepository,
    (writer, known): (&Writer<'_>, &Known),
    tree: &[ChunkId],
    lent: Option<Lent<'_>>,
    monitor: &dyn Monitor,
) -> Result<Vec<ChunkId>> {
    let (reader, there) = (&Reader::new(source), &Reader::new(writer.repository()));
    let lent = lent.map(|(one, (_, copy))| (one.tree.as_slice(), copy.tree.as_slice()));
    let (jobs, waiting) = bounded(limits::JOBS_WAITING);
    let (events, arriving) = bounded(limits::EVENTS_IN_FLIGHT);
    let mut feeder = Feeder { reader, there, writer, known, jobs, events, monitor };
    if let Some((ours, theirs)) = lent
        && ours == tree
        && let Some(size) = feeder.whole_tree(theirs, 0)
    {
        monitor.count(Counter::BytesSource, size);
        return Ok(theirs.to_vec());
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..writer.repository().world().cores().clamp(1, limits::WORKERS_MAX))
                .map(|_| {
                    let waiting: Receiver<Job> = waiting.clone();
                    scope.spawn(move || Worker::new(reader, writer, known, monitor)?.run(&waiting))
                })
                .collect();
        drop(waiting);
        let assembler = scope.spawn(move || Assembler::new(writer, None, monitor)?.run(&arriving));
        let fed = feeder.root(tree, lent);
        drop(feeder);
        let worked = workers.into_iter().map(join).collect::<Vec<_>>();
        let assembled = join(assembler);
        worked.into_iter().collect::<Result<Vec<()>>>()?;
        match fed {
            Err(error) if error.kind() != Kind::Internal => Err(error),
            Err(error) => assembled.and(Err(error)),
            Ok(()) => assembled.map(|assembly| assembly.chunks),
        }
    })
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(_) => Err(Error::new(Kind::Internal, "copy").why("a worker panicked")),
    }
}

/// The chunks of a folder or file here, and those of its copy.
type Pair<'p> = (&'p [ChunkId], &'p [ChunkId]);

/// Walks the snapshot beside the one that lends, decides, and hands out the work.
struct Feeder<'a, 'r> {
    reader: &'a Reader<'r>,
    there: &'a Reader<'r>,
    writer: &'a Writer<'a>,
    known: &'a Known,
    jobs: Sender<Job>,
    events: Sender<Vec<Event>>,
    monitor: &'a dyn Monitor,
}

fn stopped() -> Error {
    Error::new(Kind::Internal, "copy").why("nobody takes the work")
}

impl Feeder<'_, '_> {
    fn send(&self, event: Event) -> Result<()> {
        self.events.send(vec![event]).map_err(|_| stopped())
    }

    fn root(&mut self, tree: &[ChunkId], lent: Option<Pair<'_>>) -> Result<()> {
        self.send(Event::Enter { node: Box::default(), parent: None })?;
        self.folder(tree, lent, 0)?;
        self.send(Event::Leave)
    }

    fn folder(&mut self, tree: &[ChunkId], lent: Option<Pair<'_>>, depth: usize) -> Result<()> {
        if depth > limits::TREE_DEPTH_MAX {
            return Err(Error::new(Kind::Damaged, "read a tree").why("it is nested too deep"));
        }
        let nodes = self.reader.tree(tree)?;
        // What cannot be read is not lent: that costs time, not correctness.
        let both =
            |(ours, theirs)| Some((self.reader.tree(ours).ok()?, self.there.tree(theirs).ok()?));
        let (ours, theirs) = lent.and_then(both).unwrap_or_default();
        let theirs: HashMap<&[u8], &Node> =
            theirs.iter().map(|node| (node.name.as_slice(), node)).collect();
        let pairs = ours.iter().filter_map(|node| {
            let copy = *theirs.get(node.name.as_slice())?;
            let alike = copy.meta.kind == node.meta.kind && copy.rows == node.rows;
            alike.then_some((node.name.as_slice(), (node, copy)))
        });
        let pairs: HashMap<&[u8], (&Node, &Node)> = pairs.collect();
        for node in nodes {
            check_cancelled(self.monitor)?;
            let pair = pairs.get(node.name.as_slice()).copied();
            match node.meta.kind {
                NodeKind::Folder => self.subfolder(node, pair, depth)?,
                NodeKind::File => self.file(node, pair)?,
                _ => self.send(Event::Ready(Box::new(node)))?,
            }
        }
        Ok(())
    }

    fn subfolder(
        &mut self,
        mut node: Node,
        pair: Option<(&Node, &Node)>,
        depth: usize,
    ) -> Result<()> {
        if let Some((ours, theirs)) = pair
            && ours.chunks == node.chunks
            && let Some(size) = self.whole_tree(&theirs.chunks, depth + 1)
        {
            self.monitor.count(Counter::BytesSource, size);
            self.monitor.count(Counter::FoldersReused, 1);
            node.chunks.clone_from(&theirs.chunks);
            return self.send(Event::Ready(Box::new(node)));
        }
        let tree = std::mem::take(&mut node.chunks);
        self.send(Event::Enter { node: Box::new(node), parent: None })?;
        let lent = pair.map(|(ours, theirs)| (ours.chunks.as_slice(), theirs.chunks.as_slice()));
        self.folder(&tree, lent, depth + 1)?;
        self.send(Event::Leave)
    }

    fn file(&mut self, mut node: Node, pair: Option<(&Node, &Node)>) -> Result<()> {
        self.monitor.count(Counter::BytesSource, node.meta.size);
        if node.chunks.is_empty() {
            return self.send(Event::Ready(Box::new(node)));
        }
        if let Some((ours, theirs)) = pair
            && ours.chunks == node.chunks
            && ours.indirect == node.indirect
            && ours.rows == node.rows
            && self.whole_file(theirs).is_some()
        {
            self.monitor.count(Counter::FilesReused, 1);
            node.chunks.clone_from(&theirs.chunks);
            node.indirect = theirs.indirect;
            return self.send(Event::Ready(Box::new(node)));
        }
        let pair = pair.filter(|(ours, _)| ours.rows == node.rows);
        let pieces = if node.rows { self.maps(&node, pair)? } else { self.chunks(&node, pair)? };
        node.chunks = Vec::new();
        node.indirect = false;
        self.send(Event::Copied { node: Box::new(node), pieces })
    }

    /// The pieces of a file, in order; those that are over there are only named.
    fn chunks(&self, node: &Node, pair: Option<(&Node, &Node)>) -> Result<Vec<Piece>> {
        let list = |node: &Node, reader: &Reader<'_>| reader.chunks_of(node).ok();
        let lists = pair
            .and_then(|(ours, theirs)| Some((list(ours, self.reader)?, list(theirs, self.there)?)));
        let (ours, theirs) = lists.filter(|(a, b)| a.len() == b.len()).unwrap_or_default();
        let lent: HashMap<ChunkId, ChunkId> = ours.into_iter().zip(theirs).collect();
        let mut pieces = Vec::new();
        let mut wanted = Vec::new();
        for id in self.reader.chunks_of(node)? {
            let there =
                lent.get(&id).copied().or_else(|| lock(&self.known.chunks).get(&id).copied());
            let Some(there) = there.filter(|there| self.writer.has(there)) else {
                wanted.push(id);
                if wanted.len() >= limits::COPY_JOB_CHUNKS {
                    self.hand_out(&mut wanted, &mut pieces)?;
                }
                continue;
            };
            self.hand_out(&mut wanted, &mut pieces)?;
            match pieces.last_mut() {
                Some(Piece::There(run)) => run.push(there),
                _ => pieces.push(Piece::There(vec![there])),
            }
        }
        self.hand_out(&mut wanted, &mut pieces)?;
        Ok(pieces)
    }

    fn hand_out(&self, wanted: &mut Vec<ChunkId>, pieces: &mut Vec<Piece>) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let (done, arriving) = bounded(1);
        let job = Job::Chunks(std::mem::take(wanted), done);
        self.jobs.send(job).map_err(|_| stopped())?;
        pieces.push(Piece::Coming(arriving));
        Ok(())
    }

    /// The maps of a file of rows, in order.
    fn maps(&self, node: &Node, pair: Option<(&Node, &Node)>) -> Result<Vec<Piece>> {
        let mut lent: HashMap<ChunkId, RowChunk> = HashMap::new();
        if let Some((ours, theirs)) = pair
            && let (Ok(ours), Ok(theirs)) =
                (self.reader.row_maps(ours), self.there.row_maps(theirs))
            && ours.len() == theirs.len()
        {
            for (ours, theirs) in ours.iter().zip(&theirs) {
                let both = ours.chunks.iter().zip(&theirs.chunks);
                let both = both.filter(|(one, copy)| {
                    one.length == copy.length
                        && self.writer.has(&copy.id)
                        && self.writer.has(&copy.table)
                });
                lent.extend(both.map(|(one, copy)| (one.id, *copy)));
            }
        }
        let mut pieces = Vec::new();
        for map in self.reader.row_maps(node)? {
            let ours = map.chunks.iter().filter_map(|one| Some((one.id, *lent.get(&one.id)?)));
            let ours = ours.collect();
            let (done, arriving) = bounded(1);
            self.jobs.send(Job::Map(map, ours, done)).map_err(|_| stopped())?;
            pieces.push(Piece::Coming(arriving));
        }
        Ok(pieces)
    }

    /// Bytes of content of a folder over there, if all of it is there: what was lost is copied
    /// again, as far as it is here.
    fn whole_tree(&self, tree: &[ChunkId], depth: usize) -> Option<u64> {
        if depth > limits::TREE_DEPTH_MAX || !self.has_all(tree) {
            return None;
        }
        let mut sum = 0;
        for node in self.there.tree(tree).ok()? {
            sum += match node.meta.kind {
                NodeKind::Folder => self.whole_tree(&node.chunks, depth + 1)?,
                NodeKind::File => self.whole_file(&node)?,
                _ => 0,
            };
        }
        Some(sum)
    }

    fn whole_file(&self, node: &Node) -> Option<u64> {
        if !self.has_all(&node.chunks) {
            return None;
        }
        if node.rows {
            for map in self.there.row_maps(node).ok()? {
                let chunks = map.chunks.iter();
                if !chunks.flat_map(|one| [one.id, one.table]).all(|id| self.writer.has(&id)) {
                    return None;
                }
            }
        } else if node.indirect && !self.has_all(&self.there.chunks_of(node).ok()?) {
            return None;
        }
        Some(node.meta.size)
    }

    fn has_all(&self, ids: &[ChunkId]) -> bool {
        ids.iter().all(|id| self.writer.has(id))
    }
}

/// Reads chunks here and stores them there.
struct Worker<'a, 'r> {
    reader: &'a Reader<'r>,
    writer: &'a Writer<'a>,
    known: &'a Known,
    monitor: &'a dyn Monitor,
    data: Bundle,
    meta: Bundle,
}

impl<'a, 'r> Worker<'a, 'r> {
    fn new(
        reader: &'a Reader<'r>,
        writer: &'a Writer<'a>,
        known: &'a Known,
        monitor: &'a dyn Monitor,
    ) -> Result<Self> {
        let (data, meta) = (writer.bundle(PackClass::Data)?, writer.bundle(PackClass::Meta)?);
        Ok(Self { reader, writer, known, monitor, data, meta })
    }

    fn run(mut self, jobs: &Receiver<Job>) -> Result<()> {
        while let Ok(job) = jobs.recv() {
            let (result, done) = match job {
                Job::Chunks(ids, done) => {
                    (ids.iter().map(|id| self.chunk(id).map(|(id, _)| id)).collect(), done)
                }
                Job::Map(map, lent, done) => (self.map(map, &lent).map(|id| vec![id]), done),
            };
            // Nobody waits for it once something else has failed.
            drop(done.send(result));
        }
        self.data.flush(self.writer)?;
        self.meta.flush(self.writer)
    }

    /// Copies a chunk of content; returns its id there and its bytes.
    fn chunk(&mut self, id: &ChunkId) -> Result<(ChunkId, Vec<u8>)> {
        let plain = self.reader.chunk(PackClass::Data, id)?;
        if self.reader.repository().keys().data_id(&plain) != *id {
            return Err(Error::new(Kind::Damaged, format!("read chunk {id}"))
                .why("its content does not match its name"));
        }
        self.monitor.count(Counter::BytesRead, bytes(plain.len()));
        let there = self.writer.repository().keys().data_id(&plain);
        let is_new = self.data.add(self.writer, there, &plain)?;
        if is_new {
            self.monitor.count(Counter::ChunksNew, 1);
            self.monitor.count(Counter::BytesNew, bytes(plain.len()));
        }
        remember(&self.known.chunks, *id, there);
        Ok((there, plain))
    }

    /// Copies the map of a part of a file of rows, and the chunks it refers to.
    fn map(&mut self, mut map: RowMap, lent: &HashMap<ChunkId, RowChunk>) -> Result<ChunkId> {
        for one in &mut map.chunks {
            let known = lent.get(&one.id).copied();
            let known = known.or_else(|| lock(&self.known.rows).get(&one.id).copied());
            // Another map may say something else of it, and lie.
            let known = known.filter(|there| there.length == one.length);
            *one = match known {
                Some(there) => there,
                None => self.rows(one)?,
            };
        }
        self.store_meta(&map.encode())
    }

    /// Copies a chunk of rows. The names of its groups depend on the keys: the table that the next
    /// backup over there looks into is made anew. One that is lost is left empty, as format.md
    /// allows: that costs space, not content.
    fn rows(&mut self, one: &RowChunk) -> Result<RowChunk> {
        let (id, plain) = self.chunk(&one.id)?;
        if bytes(plain.len()) != u64::from(one.length) {
            return Err(Error::new(Kind::Damaged, format!("read chunk {}", one.id))
                .why("it has another length than its row map says"));
        }
        let mut table = RowTable::default();
        let ours = self.reader.chunk(PackClass::Meta, &one.table);
        if let Ok(ours) = ours.and_then(|plain| RowTable::decode(&plain)) {
            let mut rest = plain.as_slice();
            for (_, size) in ours.groups {
                let Some((group, after)) = rest.split_at_checked(length(u64::from(size))) else {
                    break;
                };
                table.groups.push((self.writer.repository().keys().row_name(group), size));
                rest = after;
            }
        }
        let table = self.store_meta(&table.encode())?;
        let there = RowChunk { id, table, length: one.length };
        remember(&self.known.rows, one.id, there);
        Ok(there)
    }

    fn store_meta(&mut self, plain: &[u8]) -> Result<ChunkId> {
        let id = self.writer.repository().keys().tree_id(plain);
        if self.meta.add(self.writer, id, plain)? {
            self.monitor.count(Counter::BytesNew, bytes(plain.len()));
        }
        Ok(id)
    }
}
