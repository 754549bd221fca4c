// SPDX-License-Identifier: MIT
//! From a source to a snapshot. One thread walks the source and decides what can be taken over from
//! the parent; workers read, cut, hash, compress and seal; one thread puts the trees together. The
//! snapshot is written last, when all it names is durable.

use super::assemble::{Assembler, Assembly, Event, Finished};
use super::parent::{ParentTree, parents_of};
use super::rows::{NewChunks, RowFile, RowWork};
use super::tripwire;
use super::work::{Batch, Job, Pending, StreamWork, worker};
use crate::base::monitor::{Counts, Scoped, Stage, check_cancelled};
use crate::base::{Counter, Error, FileId, Kind, Monitor, RelPath, Result, Within, limits, units};
use crate::format::tree::Meta;
use crate::format::{Chunker, Node, NodeKind, Snapshot, envelope};
use crate::repo::{IndexedRepository, Writer, WriterOptions};
use crate::tree::source::{SIZE_UNKNOWN, holds_rows};
use crate::tree::walk::read_full;
use crate::tree::{Content, Entry, Source};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::Read;
use std::thread::ScopedJoinHandle;

/// Which snapshot unchanged files are taken over from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Parent {
    /// The newest snapshot of the same host, user and paths.
    #[default]
    Auto,
    /// The newest fitting one of these, oldest first: for runs over many users, which need not
    /// read all snapshots for each.
    Among(Vec<(FileId, Snapshot)>),
    /// None: everything is read.
    None,
    /// This one.
    Id(FileId),
}

/// How a backup is made.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Name, time, host, user, source, paths and tags of the new snapshot; the rest is filled in.
    pub template: Snapshot,
    /// Where unchanged files come from.
    pub parent: Parent,
    /// Compression and pack sizes; `dry_run` stores nothing.
    pub writer: WriterOptions,
    /// Worker threads; 0 means as many as the machine has room for.
    pub workers: usize,
    /// Whether files that were encrypted in place raise an alarm.
    pub tripwire: bool,
}

impl BackupOptions {
    /// The usual options around a template.
    pub fn new(template: Snapshot) -> Self {
        let tripwire = !template.is_safety();
        let writer = WriterOptions::default();
        Self { template, parent: Parent::Auto, writer, workers: 0, tripwire }
    }
}

/// What a backup did.
#[derive(Debug)]
pub struct BackupReport {
    /// The new snapshot's id; none on a dry run.
    pub id: Option<FileId>,
    /// The new snapshot.
    pub snapshot: Snapshot,
    /// All that was counted.
    pub counts: Counts,
}

/// Backs a source up. Succeeds only when packs, index and snapshot are durable and the snapshot has
/// been read back. What could not be read is a warning and makes the snapshot partial.
pub fn backup(
    repository: &IndexedRepository,
    source: &mut dyn Source,
    options: &BackupOptions,
    monitor: &dyn Monitor,
) -> Result<BackupReport> {
    // What is wrong with older snapshots is told, but does not make this one partial.
    let parents = parents_of(repository, options, monitor)?;
    let monitor = &Scoped::new(monitor);
    if let Some((_, parent)) = &parents.direct {
        // There will be about as much as last time.
        let total = Some((Counter::BytesSource, parent.totals.bytes));
        monitor.stage(Stage::Step { name: "storing", total });
    }
    let started = repository.world().ticks();
    let writer = Writer::new(repository, options.writer);
    let parent_tree = ParentTree::new(repository, &parents);
    let watch = tripwire::since(&parents, options);
    let stored = store_source(&writer, source, (parent_tree, watch), options, monitor);
    // Also after a failure: what is stored already is kept for the next run.
    let finished = match &stored {
        Err(error) if error.kind() == Kind::Internal => Ok(Counts::default()),
        _ => writer.finish_to_commit(monitor),
    };
    let finished_tree = stored?;
    let written = finished?;
    // Whoever stopped it while the last packs were on their way wants no snapshot either.
    check_cancelled(monitor)?;
    for counter in [Counter::BytesStored, Counter::Packs] {
        monitor.count(counter, written.get(counter));
    }
    let mut snapshot = options.template.clone();
    complete(&mut snapshot, finished_tree, monitor);
    snapshot.parent = parents.direct.as_ref().map(|(id, _)| *id);
    snapshot.objects = source.objects();
    let spent = repository.world().ticks().saturating_sub(started);
    snapshot.totals.milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
    let scrambled = monitor.counts.get(Counter::FilesScrambled);
    let alarm = options.tripwire.then(|| tripwire::mark(&mut snapshot, &parents, scrambled));
    let alarm = alarm.flatten();
    let id = if options.writer.dry_run {
        None
    } else {
        Some(repository.commit(&snapshot).within(|| "store the snapshot")?)
    };
    if let (Some(replaced), Some(_)) = (alarm, id) {
        tripwire::raise(repository, &parents, (&snapshot, replaced), monitor);
    }
    let counts = Counts::default();
    counts.add_all(&monitor.counts);
    Ok(BackupReport { id, snapshot, counts })
}

fn complete(snapshot: &mut Snapshot, tree: Assembly, monitor: &Scoped<'_>) {
    let count = |counter| monitor.counts.get(counter);
    snapshot.tree = tree.chunks;
    snapshot.features = if tree.has_rows { envelope::FEATURE_ROWS } else { 0 };
    snapshot.program = String::from(concat!("ghostsnap ", env!("CARGO_PKG_VERSION")));
    snapshot.warnings = snapshot.warnings.saturating_add(monitor.warnings());
    snapshot.totals.files = tree.files;
    snapshot.totals.folders = tree.folders;
    snapshot.totals.bytes = tree.bytes;
    snapshot.totals.bytes_new = count(Counter::BytesNew);
    snapshot.totals.bytes_stored = count(Counter::BytesStored);
}

/// Runs the pipeline; returns the root of the finished tree.
fn store_source(
    writer: &Writer<'_>,
    source: &mut dyn Source,
    (parent, watch): (ParentTree<'_>, Option<i64>),
    options: &BackupOptions,
    monitor: &dyn Monitor,
) -> Result<Assembly> {
    let cores = writer.repository().world().cores();
    let workers = if options.workers == 0 { cores } else { options.workers };
    let chunker = &writer.repository().chunker();
    let (jobs, waiting) = bounded(limits::JOBS_WAITING);
    let (events, arriving) = bounded(limits::EVENTS_IN_FLIGHT);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers.clamp(1, limits::WORKERS_MAX))
            .map(|_| {
                let waiting: Receiver<Job> = waiting.clone();
                scope.spawn(move || worker(&waiting, writer, chunker, watch, monitor))
            })
            .collect();
        drop(waiting);
        let remember = source.names_earlier_entries();
        let assembler =
            scope.spawn(move || Assembler::new(writer, remember, monitor)?.run(&arriving));
        let mut feeder = Feeder::new(writer, chunker, parent, jobs, events);
        let fed = feeder.feed(source, monitor);
        if fed.is_err() {
            source.give_up();
        }
        drop(feeder);
        let worked = workers.into_iter().map(join).collect::<Vec<_>>();
        let assembled = join(assembler);
        // The first cause is what counts: a worker that fails makes the others stop.
        worked.into_iter().collect::<Result<Vec<()>>>()?;
        match fed {
            Err(error) if error.kind() != Kind::Internal => Err(error),
            Err(error) => assembled.and(Err(error)),
            Ok(()) => assembled,
        }
    })
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(_) => Err(Error::new(Kind::Internal, "back up").why("a worker panicked")),
    }
}

/// Walks the source, decides, and hands out the work.
struct Feeder<'a> {
    writer: &'a Writer<'a>,
    chunker: &'a Chunker,
    parent: ParentTree<'a>,
    jobs: Sender<Job>,
    events: Sender<Vec<Event>>,
    /// Events on their way; those that are cheap travel together.
    together: Vec<Event>,
    batch: Batch,
    /// The folders that are open in the tree being built; the root is the first.
    open: Vec<Vec<u8>>,
    started: bool,
    /// Where streamed files lie whose content another entry may share.
    stream_buffer: Vec<u8>,
}

impl<'a> Feeder<'a> {
    fn new(
        writer: &'a Writer<'a>,
        chunker: &'a Chunker,
        parent: ParentTree<'a>,
        jobs: Sender<Job>,
        events: Sender<Vec<Event>>,
    ) -> Self {
        Self {
            writer,
            chunker,
            parent,
            jobs,
            events,
            together: Vec::new(),
            batch: Batch::default(),
            open: Vec::new(),
            started: false,
            stream_buffer: Vec::new(),
        }
    }

    fn feed(&mut self, source: &mut dyn Source, monitor: &dyn Monitor) -> Result<()> {
        while let Some(entry) = source.next_entry(monitor)? {
            check_cancelled(monitor)?;
            self.take(entry, monitor)?;
        }
        if !self.started {
            return Err(Error::new(Kind::NotFound, "back up").why("there is nothing to store"));
        }
        self.leave_to(0)?;
        self.flush_batch()?;
        self.send(Event::Leave)?;
        self.send_together()
    }

    fn take(&mut self, entry: Entry<'_>, monitor: &dyn Monitor) -> Result<()> {
        let Entry { path, meta, content } = entry;
        let Some(name) = path.name().map(<[u8]>::to_vec) else {
            return self.take_root(meta);
        };
        // Whoever reads trees goes down name by name: no snapshot may be deeper than they can.
        let depth = path.depth();
        if depth > limits::TREE_DEPTH_MAX {
            if depth == limits::TREE_DEPTH_MAX + 1 {
                monitor.warn(too_deep(&path));
            }
            return Ok(());
        }
        self.go_to_folder_of(&path)?;
        if meta.kind == NodeKind::Folder {
            monitor.count(Counter::Folders, 1);
            monitor.stage(Stage::Object(path.to_string()));
            self.flush_batch()?;
            let parent = self.parent.enter(&name);
            self.open.push(name.clone());
            let node = Box::new(Node { name, meta, ..Node::default() });
            return self.send(Event::Enter { node, parent: parent.map(Box::new) });
        }
        let node = Node { name, meta, ..Node::default() };
        match content {
            Content::Nothing => self.ready(node),
            Content::File(opener) => {
                monitor.count(Counter::BytesSource, node.meta.size);
                if let Some(place) = self.reusable(&node)? {
                    monitor.count(Counter::FilesReused, 1);
                    return self.keep(place, node);
                }
                let changed = self.parent.find(&node.name).is_some();
                monitor.count(if changed { Counter::FilesChanged } else { Counter::FilesNew }, 1);
                let may_hold_rows = holds_rows(&node.name)
                    && node.meta.size >= units::bytes(limits::ROW_FILE_BYTES_MIN);
                let rows = may_hold_rows.then(|| self.parent.rows(&path)).flatten().map(Box::new);
                self.push_pending(Pending::File { node, path, opener, rows })
            }
            Content::Stream(reader) => {
                monitor.count(Counter::FilesNew, 1);
                self.take_stream(node, &path, reader, monitor)
            }
            Content::Rows(reader) => {
                monitor.count(Counter::FilesNew, 1);
                self.take_rows(node, &path, reader, monitor)
            }
            Content::SameAs(earlier) => {
                monitor.count(Counter::FilesNew, 1);
                self.flush_batch()?;
                self.send(Event::SameAs { node: Box::new(node), earlier })
            }
        }
    }

    fn take_root(&mut self, meta: Meta) -> Result<()> {
        if self.started {
            return Err(out_of_order(&RelPath::root()));
        }
        self.started = true;
        let parent = self.parent.enter_root();
        let node = Box::new(Node { meta, ..Node::default() });
        self.send(Event::Enter { node, parent: parent.map(Box::new) })
    }

    /// Leaves folders until the one on top is where `path` lies.
    fn go_to_folder_of(&mut self, path: &RelPath) -> Result<()> {
        let above = path.depth().saturating_sub(1);
        let common =
            path.names().take(above).zip(&self.open).take_while(|(a, b)| *a == b.as_slice());
        let common = common.count();
        self.leave_to(common)?;
        if !self.started || above != self.open.len() {
            return Err(out_of_order(path));
        }
        Ok(())
    }

    fn leave_to(&mut self, depth: usize) -> Result<()> {
        while self.open.len() > depth {
            self.flush_batch()?;
            self.open.pop();
            self.parent.leave();
            self.send(Event::Leave)?;
        }
        Ok(())
    }

    /// The place of the parent's file, if this one did not change since and all of its content is
    /// still stored.
    fn reusable(&self, node: &Node) -> Result<Option<usize>> {
        let place = self.parent.place_of(&node.name);
        let Some((place, old)) = place.and_then(|place| Some((place, self.parent.at(place)?)))
        else {
            return Ok(None);
        };
        let (new, was) = (&node.meta, &old.meta);
        let same = was.kind == NodeKind::File
            && !old.torn
            && (new.size, new.mtime, new.ctime, new.inode)
                == (was.size, was.mtime, was.ctime, was.inode)
            && new.inode != 0;
        Ok((same && self.parent.has_content(old, self.writer)?).then_some(place))
    }

    /// A file with the content of the parent's.
    fn keep(&mut self, place: usize, mut node: Node) -> Result<()> {
        let Some(old) = self.parent.at(place) else { return self.ready(node) };
        // All but the attributes is fresh; those cannot change without the ctime.
        node.meta.xattrs.clone_from(&old.meta.xattrs);
        if node.meta == old.meta {
            return self.send(Event::Kept(place));
        }
        let Node { name, meta, .. } = node;
        let kept = Node { name, meta, ..old.clone() };
        self.send(Event::Ready(Box::new(kept)))
    }

    fn ready(&mut self, node: Node) -> Result<()> {
        let place = self.parent.place_of(&node.name);
        match place.filter(|place| self.parent.at(*place) == Some(&node)) {
            Some(place) => self.send(Event::Kept(place)),
            None => self.send(Event::Ready(Box::new(node))),
        }
    }

    /// Content that must be taken now. Small: read whole and batched. Large: cut here, the chunks
    /// hashed and compressed by the workers.
    fn take_stream(
        &mut self,
        mut node: Node,
        path: &RelPath,
        mut reader: Box<dyn Read + '_>,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let what = || format!("read {path}");
        let max = units::length(u64::from(self.chunker.sizes().max));
        let small = units::length(limits::SMALL_FILE_BYTES);
        let mut buffer = std::mem::take(&mut self.stream_buffer);
        buffer.resize(max * 2, 0);
        let filled = fill(reader.as_mut(), &mut buffer, 0).within(what)?;
        if filled <= small {
            let data = buffer.get(..filled).unwrap_or_default().to_vec();
            self.stream_buffer = buffer;
            node.meta.size = units::bytes(filled);
            monitor.count(Counter::BytesSource, node.meta.size);
            return self.push_pending(Pending::Bytes { node, data });
        }
        let mut work = StreamWork::default();
        let mut filled = filled;
        while filled > 0 {
            check_cancelled(monitor)?;
            let cut = self.chunker.cut(buffer.get(..filled).unwrap_or_default());
            let chunk = buffer.get(..cut).unwrap_or_default().to_vec();
            monitor.count(Counter::BytesSource, units::bytes(cut));
            self.send_job(work.chunk(chunk))?;
            buffer.copy_within(cut..filled, 0);
            filled = fill(reader.as_mut(), &mut buffer, filled - cut).within(what)?;
        }
        self.stream_buffer = buffer;
        node.meta.size = work.bytes();
        self.send(Event::Stream { node: Box::new(node), work })
    }

    /// A file of rows: cut and looked up here, what is new compressed by the workers.
    fn take_rows(
        &mut self,
        mut node: Node,
        path: &RelPath,
        mut reader: Box<dyn Read + '_>,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.stream_buffer);
        buffer.resize(limits::ROW_READ_BYTES, 0);
        let stored = self.read_rows(&mut node, path, reader.as_mut(), &mut buffer, monitor);
        self.stream_buffer = buffer;
        match stored {
            Ok(Some(work)) => {
                node.meta.size = work.bytes();
                self.flush_batch()?;
                self.send(Event::Rows { node: Box::new(node), work: Box::new(work) })
            }
            Ok(None) => Ok(()),
            Err(Unread::Content(error)) if error.is_transient() => {
                monitor.stage(Stage::Note(error.within(format!("back up {path}")).one_line()));
                Ok(())
            }
            Err(Unread::Content(error)) if error.kind() != Kind::Cancelled => {
                monitor.warn(error.within(format!("back up {path}")));
                Ok(())
            }
            Err(Unread::Content(error) | Unread::Rest(error)) => Err(error),
        }
    }

    /// Reads a file of rows to its end; `None` if it was so small that it is stored otherwise.
    fn read_rows(
        &mut self,
        node: &mut Node,
        path: &RelPath,
        reader: &mut dyn Read,
        buffer: &mut [u8],
        monitor: &dyn Monitor,
    ) -> Result<Option<RowWork>, Unread> {
        let mut end = fill(reader, buffer, 0).map_err(Unread::Content)?;
        if end < limits::ROW_FILE_BYTES_MIN {
            let data = buffer.get(..end).unwrap_or_default().to_vec();
            node.meta.size = units::bytes(end);
            monitor.count(Counter::BytesSource, node.meta.size);
            self.push_pending(Pending::Bytes { node: node.clone(), data }).map_err(Unread::Rest)?;
            return Ok(None);
        }
        let keys = self.writer.repository().keys();
        let old = self.parent.rows(path);
        let known = old.as_ref().map(|old| self.parent.lent_by(old, self.writer));
        let known = known.unwrap_or_default();
        let hint = match node.meta.size {
            SIZE_UNKNOWN => old.map_or(0, |old| old.meta.size),
            known => known,
        };
        let mut file = RowFile::new(keys, known, hint);
        let mut is_last = end < buffer.len();
        let mut start = 0;
        loop {
            check_cancelled(monitor).map_err(Unread::Rest)?;
            while end - start >= limits::ROW_CHUNK_BYTES_MAX || (is_last && start < end) {
                let rest = buffer.get(start..end).unwrap_or_default();
                let (cut, full) = file.take(keys, rest, monitor).map_err(Unread::Rest)?;
                self.send_new_rows(full.unwrap_or_default()).map_err(Unread::Rest)?;
                start += cut;
            }
            monitor.count(Counter::BytesSource, units::bytes(start));
            if is_last {
                self.send_new_rows(file.last_chunks()).map_err(Unread::Rest)?;
                return Ok(Some(file.end()));
            }
            buffer.copy_within(start..end, 0);
            let kept = end - start;
            end = fill(reader, buffer, kept).map_err(Unread::Content)?;
            is_last = end < buffer.len();
            start = 0;
        }
    }

    fn send_new_rows(&self, chunks: NewChunks) -> Result<()> {
        if chunks.is_empty() { Ok(()) } else { self.send_job(Job::Rows(chunks)) }
    }

    fn push_pending(&mut self, pending: Pending) -> Result<()> {
        self.batch.push(pending);
        if self.batch.is_full() { self.flush_batch() } else { Ok(()) }
    }

    fn flush_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (job, done) = std::mem::take(&mut self.batch).into_job();
        self.send(Event::Batch(done))?;
        self.send_job(job)
    }

    fn send_job(&self, job: Job) -> Result<()> {
        self.jobs.send(job).map_err(|_| stopped())
    }

    fn send(&mut self, event: Event) -> Result<()> {
        // What waits for workers, or brings much with it, goes at once.
        let is_cheap = matches!(event, Event::Kept(_) | Event::Enter { .. } | Event::Leave);
        self.together.push(event);
        if is_cheap && self.together.len() < limits::EVENTS_TOGETHER {
            return Ok(());
        }
        self.send_together()
    }

    fn send_together(&mut self) -> Result<()> {
        let events = std::mem::take(&mut self.together);
        self.events.send(events).map_err(|_| stopped())
    }
}

/// Why a file of rows was not stored.
enum Unread {
    /// It could not be read: its own trouble.
    Content(Error),
    /// Everybody's.
    Rest(Error),
}

/// Fills the buffer behind the first `kept` bytes; returns how much is in it.
fn fill(reader: &mut dyn Read, buffer: &mut [u8], kept: usize) -> Result<usize> {
    let room = buffer.get_mut(kept..).unwrap_or_default();
    let read = read_full(reader, room)
        .map_err(|error| crate::base::error::io_error(error, "read its content"))?;
    Ok(kept + read)
}

/// A thread at the other end is gone; its own error says why.
fn stopped() -> Error {
    Error::new(Kind::Internal, "go on").why("a worker stopped")
}

fn too_deep(path: &RelPath) -> Error {
    Error::new(Kind::Limit, format!("back up {path} and all in it"))
        .why(format!("it is nested deeper than {} folders", limits::TREE_DEPTH_MAX))
}

fn out_of_order(path: &RelPath) -> Error {
    Error::new(Kind::Parsing, format!("store {path}"))
        .why("the entries of its folder are not stored together")
}

/// What an event's content turned out to be; see [`Finished`].
pub(super) type Outcome = Result<Finished>;
