// SPDX-License-Identifier: MIT
//! One source for several readers: it is walked once, its streams are read once, and every reader
//! sees the same entries in the same order. Never a repository: what the readers do is their own.
//!
//! The calling thread reads the source and hands out batches; each reader has a thread and a queue
//! of its own. A file is opened by each reader that wants its content, when its turn comes: readers
//! are a few files apart, so all but the first find it in the system's cache, and each sees for
//! itself whether the file changed while it was read. A stream cannot be read twice: its blocks go
//! to everybody.
//!
//! **It cannot hang.** Who waits for whom: the source's thread waits for a reader only while that
//! reader's queue is full; a reader waits for the source's thread only while its own queue is
//! empty; readers never wait for each other. A circle needs both arms at the same reader, whose
//! queue would be full and empty. So there is none, whatever the bounds are, and each wait ends
//! when the one waited for goes on. One that does not go on has ended: a reader that returns,
//! panics or gives up drops its end of the queue, which wakes the source's thread, and that goes on
//! without it; if the source's thread ends, by an error or a panic, its ends drop, which wakes
//! every reader, and one that has not seen the end of the source gets an error. What a reader waits
//! for beside, its store above all, is bounded by that, and slows the others down no longer.
//!
//! Memory is bounded by what one queue holds ([`limits::TEE_MESSAGES`]) times the readers; blocks
//! and batches are shared, so the usual case, in which they keep up, holds one queue's worth.

use super::source::{Content, Entry, OpenFile, ReadFile, Source};
use crate::base::monitor::{Stage, Stop, check_cancelled};
use crate::base::{Counter, Error, Kind, Monitor, RelPath, Result, limits};
use crate::format::snapshot::Object;
use crate::format::tree::{Meta, NodeKind};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, ScopedJoinHandle};

/// Lets so many readers read one source, each on a thread of its own, and gives back what came of
/// each, in order. A reader that fails or panics does so alone. `monitor` hears what the source is
/// at and asks it to stop; its warnings and counts go to the monitor of every reader.
pub fn share<R: Send>(
    source: &mut dyn Source,
    readers: usize,
    monitor: &dyn Monitor,
    read: impl Fn(usize, &mut dyn Source) -> R + Sync,
) -> Vec<Result<R>> {
    let remember = source.names_earlier_entries();
    let read = &read;
    std::thread::scope(|scope| {
        let (mut lines, mut threads) = (Vec::new(), Vec::new());
        for number in 0..readers {
            let (sender, messages) = bounded(limits::TEE_MESSAGES);
            let mut branch = Branch::new(messages, remember);
            // The panic's own words are printed where it happens.
            let work = move || catch_unwind(AssertUnwindSafe(|| read(number, &mut branch)));
            let thread = Builder::new().name(format!("reader {number}"));
            let started = thread.stack_size(limits::JOB_STACK_BYTES).spawn_scoped(scope, work);
            lines.push(started.is_ok().then_some(sender));
            threads.push(started);
        }
        Tee { lines, batch: Vec::new(), folders: 0, bytes: 0 }.run(source, monitor);
        threads.into_iter().map(|thread| result_of(thread.map(ScopedJoinHandle::join))).collect()
    })
}

/// What a thread came to: not started, died, panicked, or ended.
fn result_of<R>(thread: io::Result<std::thread::Result<std::thread::Result<R>>>) -> Result<R> {
    match thread {
        Ok(Ok(Ok(result))) => Ok(result),
        Ok(_) => Err(Error::new(Kind::Internal, "go on")
            .why("the program made a mistake here; what it says of it is above")),
        Err(error) => Err(Error::new(Kind::Limit, "start a thread").cause(error)),
    }
}

/// What the readers are told, one after the other.
enum Told {
    Entry {
        path: RelPath,
        meta: Box<Meta>,
        content: Shared,
    },
    /// The next bytes of the entry before.
    Bytes(Vec<u8>),
    /// The end of those, good or bad.
    EndOfBytes(io::Result<()>),
    Warning(Error),
    Count(Counter, u64),
    /// The end of the source.
    End(Vec<Object>),
    Failed(Error),
}

/// [`Content`], for several.
enum Shared {
    Nothing,
    File(SharedFile),
    Stream,
    Rows,
    SameAs(RelPath),
}

type Batch = Arc<Vec<Told>>;

/// The source's thread.
struct Tee {
    /// Where the readers listen; `None` for one that is gone.
    lines: Vec<Option<Sender<Batch>>>,
    /// What is handed out next.
    batch: Vec<Told>,
    folders: usize,
    bytes: usize,
}

impl Tee {
    /// Reads the source to its end, or until nobody listens any more.
    fn run(mut self, source: &mut dyn Source, monitor: &dyn Monitor) {
        let heard = Heard { outer: monitor, told: Mutex::default() };
        let mut scratch = Vec::new();
        let failed = loop {
            match source.next_entry(&heard) {
                Ok(Some(entry)) => {
                    self.batch.append(&mut heard.taken());
                    self.entry(entry, &mut scratch);
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
            if !self.is_heard() {
                return;
            }
        };
        self.batch.append(&mut heard.taken());
        self.batch.push(failed.map_or_else(|| Told::End(source.objects()), Told::Failed));
        self.hand_out();
    }

    fn is_heard(&self) -> bool {
        self.lines.iter().any(Option::is_some)
    }

    fn entry(&mut self, entry: Entry<'_>, scratch: &mut Vec<u8>) {
        let Entry { path, meta, content } = entry;
        self.folders += usize::from(meta.kind == NodeKind::Folder);
        let xattrs = meta.xattrs.iter().map(|(name, value)| name.len() + value.len());
        self.bytes += path.as_bytes().len() + meta.target.len() + xattrs.sum::<usize>();
        let (content, stream) = match content {
            Content::Nothing => (Shared::Nothing, None),
            Content::File(opener) => (Shared::File(Arc::new(Mutex::new(opener))), None),
            Content::SameAs(earlier) => (Shared::SameAs(earlier), None),
            Content::Stream(reader) => (Shared::Stream, Some(reader)),
            Content::Rows(reader) => (Shared::Rows, Some(reader)),
        };
        // A dump may take long to begin: what came before it need not wait.
        let is_dump = matches!(content, Shared::Rows);
        self.batch.push(Told::Entry { path, meta: Box::new(meta), content });
        if is_dump {
            self.hand_out();
        }
        if let Some(mut reader) = stream {
            self.stream(reader.as_mut(), scratch);
        }
        if self.batch.len() >= limits::TEE_ENTRIES
            || self.folders >= limits::TEE_FOLDERS
            || self.bytes >= limits::TEE_BATCH_BYTES
        {
            self.hand_out();
        }
    }

    /// Hands out the bytes of a stream, up to its end or until nobody wants them.
    fn stream(&mut self, reader: &mut dyn Read, scratch: &mut Vec<u8>) {
        scratch.resize(limits::TEE_BLOCK_BYTES, 0);
        let mut is_first = true;
        loop {
            let (length, end) = fill(reader, scratch);
            let block = scratch.get(..length).unwrap_or_default();
            let is_small = is_first && end.is_some() && length <= limits::TEE_SMALL_BYTES;
            is_first = false;
            if !block.is_empty() {
                self.bytes += length;
                self.batch.push(Told::Bytes(block.to_vec()));
            }
            let is_over = end.is_some();
            self.batch.extend(end.map(Told::EndOfBytes));
            if !is_small {
                self.hand_out();
            }
            if is_over || !self.is_heard() {
                return;
            }
        }
    }

    /// Hands out what has been collected; waits for readers that are behind.
    fn hand_out(&mut self) {
        let batch = Arc::new(std::mem::take(&mut self.batch));
        (self.folders, self.bytes) = (0, 0);
        for line in &mut self.lines {
            // Whoever is gone stays gone.
            let gone = line.as_ref().is_some_and(|line| line.send(Arc::clone(&batch)).is_err());
            if gone {
                *line = None;
            }
        }
    }
}

/// Reads a block; also says whether and how the stream ended behind it.
fn fill(reader: &mut dyn Read, block: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut filled = 0;
    while let Some(room) = block.get_mut(filled..).filter(|room| !room.is_empty()) {
        match reader.read(room) {
            Ok(0) => return (filled, Some(Ok(()))),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(Err(error))),
        }
    }
    (filled, None)
}

/// The source's monitor: keeps what every reader's monitor should hear, in its place.
struct Heard<'m> {
    outer: &'m dyn Monitor,
    told: Mutex<Vec<Told>>,
}

impl Heard<'_> {
    fn taken(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, told: Told) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
}

impl Monitor for Heard<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.keep(Told::Count(counter, n));
    }

    fn warn(&self, warning: Error) {
        self.keep(Told::Warning(warning));
    }

    fn stage(&self, stage: Stage) {
        self.outer.stage(stage);
    }

    fn cancelled(&self) -> bool {
        self.outer.cancelled()
    }

    fn stop(&self) -> Stop {
        self.outer.stop()
    }
}

/// What one reader sees of a shared source: a source like any other.
struct Branch {
    messages: Option<Receiver<Batch>>,
    batch: Batch,
    /// What of the batch comes next.
    at: usize,
    /// Bytes that have been read of the block in hand; `None` between streams.
    stream: Option<usize>,
    remember: Option<fn(&RelPath) -> bool>,
    /// Whether the end has come.
    ended: bool,
}

impl Branch {
    fn new(messages: Receiver<Batch>, remember: Option<fn(&RelPath) -> bool>) -> Self {
        let messages = Some(messages);
        Self { messages, batch: Batch::default(), at: 0, stream: None, remember, ended: false }
    }

    /// Makes sure that there is something at the place in hand.
    fn fetch(&mut self) -> Result<()> {
        while self.at >= self.batch.len() {
            let gone = || Error::new(Kind::Internal, "go on").why("the source is gone");
            // Let go before waiting: its files hold folders open.
            self.batch = Batch::default();
            let messages = self.messages.as_ref().ok_or_else(gone)?;
            self.batch = messages.recv().map_err(|_| gone())?;
            self.at = 0;
        }
        Ok(())
    }

    /// Passes by what nobody read of the stream in hand.
    fn skip_stream(&mut self) -> Result<()> {
        while self.stream.is_some() {
            self.fetch()?;
            if matches!(self.batch.get(self.at), Some(Told::EndOfBytes(_))) {
                self.stream = None;
            }
            self.at += 1;
        }
        Ok(())
    }
}

impl Source for Branch {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        self.skip_stream()?;
        loop {
            if self.ended {
                return Ok(None);
            }
            check_cancelled(monitor)?;
            self.fetch()?;
            let at = self.at;
            self.at += 1;
            let batch = Arc::clone(&self.batch);
            match batch.get(at) {
                Some(Told::Entry { path, meta, content }) => {
                    let (path, meta) = (path.clone(), Meta::clone(meta));
                    let content = self.content(content);
                    return Ok(Some(Entry { path, meta, content }));
                }
                Some(Told::Warning(warning)) => monitor.warn(warning.retold()),
                Some(Told::Count(counter, n)) => monitor.count(*counter, *n),
                Some(Told::Failed(error)) => return Err(error.retold()),
                // Stays where it is: the objects are asked for later.
                Some(Told::End(_)) => (self.ended, self.at) = (true, at),
                Some(Told::Bytes(_) | Told::EndOfBytes(_)) | None => {}
            }
        }
    }

    fn names_earlier_entries(&self) -> Option<fn(&RelPath) -> bool> {
        self.remember
    }

    fn objects(&self) -> Vec<Object> {
        match self.batch.get(self.at) {
            Some(Told::End(objects)) => objects.clone(),
            _ => Vec::new(),
        }
    }

    fn give_up(&mut self) {
        (self.messages, self.batch) = (None, Batch::default());
    }
}

impl Branch {
    fn content(&mut self, content: &Shared) -> Content<'_> {
        match content {
            Shared::Nothing => Content::Nothing,
            Shared::File(file) => Content::File(Box::new(Arc::clone(file))),
            Shared::SameAs(earlier) => Content::SameAs(earlier.clone()),
            Shared::Stream | Shared::Rows => {
                self.stream = Some(0);
                let reader = Box::new(StreamOf(self));
                if matches!(content, Shared::Stream) {
                    Content::Stream(reader)
                } else {
                    Content::Rows(reader)
                }
            }
        }
    }
}

/// A file that each reader opens for itself.
type SharedFile = Arc<Mutex<Box<dyn OpenFile>>>;

impl OpenFile for SharedFile {
    fn open(&self) -> Result<Option<Box<dyn ReadFile>>> {
        self.lock().unwrap_or_else(PoisonError::into_inner).open()
    }
}

/// The stream in hand.
struct StreamOf<'b>(&'b mut Branch);

impl Read for StreamOf<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let branch = &mut *self.0;
        loop {
            let Some(from) = branch.stream else { return Ok(0) };
            branch.fetch()?;
            match branch.batch.get(branch.at) {
                Some(Told::Bytes(block)) => {
                    let rest = block.get(from..).unwrap_or_default();
                    let length = rest.len().min(buffer.len());
                    if length > 0 || buffer.is_empty() {
                        let (into, _) = buffer.split_at_mut(length);
                        into.copy_from_slice(rest.get(..length).unwrap_or_default());
                        branch.stream = Some(from + length);
                        return Ok(length);
                    }
                    (branch.stream, branch.at) = (Some(0), branch.at + 1);
                }
                Some(Told::EndOfBytes(end)) => {
                    let end = end.as_ref().map(|()| 0).map_err(again);
                    (branch.stream, branch.at) = (None, branch.at + 1);
                    return end;
                }
                // A stream ends before anything else comes.
                _ => branch.stream = None,
            }
        }
    }
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return ours.retold().into();
    }
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::monitor::Collect;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What an entry of the test's source holds.
    #[derive(Debug, Clone)]
    enum Held {
        Folder,
        File,
        Stream(usize),
        Rows(usize),
        /// Fails after so many bytes.
        Broken(usize),
        Warning,
    }

    /// How the test's source ends.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Ending {
        Well,
        Error,
        Panic,
    }

    struct Made {
        held: Vec<Held>,
        next: usize,
        ending: Ending,
        /// Bytes of streams that were read.
        read: usize,
    }

    impl Made {
        fn new(held: &[Held], ending: Ending) -> Self {
            Self { held: held.to_vec(), next: 0, ending, read: 0 }
        }
    }

    fn byte(entry: usize, at: usize) -> u8 {
        u8::try_from((entry * 31 + at / 7) % 251).unwrap()
    }

    struct Bytes<'m> {
        entry: usize,
        at: usize,
        length: usize,
        breaks: bool,
        read: &'m mut usize,
    }

    impl Read for Bytes<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.at == self.length && self.breaks {
                return Err(Error::new(Kind::Db, "dump").why("the server went away").into());
            }
            let length = buffer.len().min(self.length - self.at).min(70_000);
            for (place, out) in buffer.iter_mut().take(length).enumerate() {
                *out = byte(self.entry, self.at + place);
            }
            self.at += length;
            *self.read += length;
            Ok(length)
        }
    }

    struct Opener(usize);

    impl OpenFile for Opener {
        fn open(&self) -> Result<Option<Box<dyn ReadFile>>> {
            if self.0.is_multiple_of(2) { Ok(None) } else { Err(Error::new(Kind::Disk, "open")) }
        }
    }

    impl Source for Made {
        fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
            while matches!(self.held.get(self.next), Some(Held::Warning)) {
                monitor.warn(Error::new(Kind::Disk, format!("read entry {}", self.next)));
                monitor.count(Counter::FilesSkipped, 1);
                self.next += 1;
            }
            let entry = self.next;
            self.next += 1;
            let Some(held) = self.held.get(entry) else {
                assert_ne!(self.ending, Ending::Panic, "asked for");
                let error = || Error::new(Kind::Parsing, "read on").why("it is cut off");
                return if self.ending == Ending::Error { Err(error()) } else { Ok(None) };
            };
            let (length, breaks) = match held {
                Held::Stream(length) | Held::Rows(length) => (*length, false),
                Held::Broken(length) => (*length, true),
                Held::Folder | Held::Warning | Held::File => (0, false),
            };
            let bytes = Bytes { entry, at: 0, length, breaks, read: &mut self.read };
            let content = match held {
                Held::Folder | Held::Warning => Content::Nothing,
                Held::File => Content::File(Box::new(Opener(entry))),
                Held::Stream(_) => Content::Stream(Box::new(bytes)),
                Held::Rows(_) | Held::Broken(_) => Content::Rows(Box::new(bytes)),
            };
            let folder = matches!(held, Held::Folder);
            let kind = if folder { NodeKind::Folder } else { NodeKind::File };
            let path = RelPath::parse(format!("e{entry}").as_bytes()).unwrap();
            Ok(Some(Entry { path, meta: Meta { kind, ..Meta::default() }, content }))
        }

        fn objects(&self) -> Vec<Object> {
            vec![Object { section: "WEB".to_owned(), name: self.held.len().to_string() }]
        }
    }

    /// What a reader does beside reading.
    #[derive(Debug, Clone, Copy)]
    enum Habit {
        Steady,
        /// Lets others run between two entries.
        Slow,
        /// Reads only the beginning of each stream.
        Hasty,
        GivesUp(usize),
        Leaves(usize),
        Panics(usize),
    }

    /// A listing of what a reader sees, a line an entry.
    fn listing(source: &mut dyn Source, habit: Habit) -> Vec<String> {
        let (monitor, mut lines) = (Collect::default(), Vec::new());
        loop {
            let number = lines.len();
            match habit {
                Habit::Slow => (0..50).for_each(|_| std::thread::yield_now()),
                Habit::GivesUp(at) if at == number => {
                    source.give_up();
                    assert!(source.next_entry(&monitor).is_err());
                    return lines;
                }
                Habit::Leaves(at) if at == number => return lines,
                Habit::Panics(at) => assert_ne!(at, number, "asked for"),
                _ => {}
            }
            let entry = match source.next_entry(&monitor) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    lines.push(error.one_line());
                    return lines;
                }
            };
            let mut line = format!("{} {:?} ", entry.path, entry.meta.kind);
            line += &match entry.content {
                Content::Nothing | Content::SameAs(_) => String::from("-"),
                Content::File(file) => format!("{:?}", file.open().map(|one| one.is_some())),
                Content::Stream(reader) | Content::Rows(reader) => taken(reader, habit),
            };
            lines.push(line);
        }
        assert!(source.next_entry(&monitor).unwrap().is_none(), "the end stays the end");
        lines.push(format!("{:?}", source.objects()));
        lines.push(format!("{:?}", monitor.warnings()));
        lines.push(monitor.counts.get(Counter::FilesSkipped).to_string());
        lines
    }

    fn taken(mut reader: Box<dyn Read + '_>, habit: Habit) -> String {
        let mut content = Vec::new();
        if matches!(habit, Habit::Hasty) {
            reader.take(10).read_to_end(&mut content).ok();
            return String::from("some");
        }
        let end = reader.read_to_end(&mut content);
        let end = end.map_err(|error| crate::base::error::io_error(error, "read").one_line());
        format!("{} {:?}", blake3::hash(&content), end)
    }

    fn shared(
        held: &[Held],
        ending: Ending,
        habits: &[Habit],
    ) -> (Vec<Result<Vec<String>>>, usize) {
        let mut source = Made::new(held, ending);
        let monitor = Collect::default();
        let run = AssertUnwindSafe(|| {
            share(&mut source, habits.len(), &monitor, |number, branch| {
                listing(branch, habits[number])
            })
        });
        let results = catch_unwind(run).unwrap_or_default();
        (results, source.read)
    }

    fn any_held() -> impl Strategy<Value = Held> {
        let length = prop_oneof![
            0..100_usize,
            limits::TEE_SMALL_BYTES - 1..limits::TEE_SMALL_BYTES + 2,
            limits::TEE_BLOCK_BYTES - 1..limits::TEE_BLOCK_BYTES + 2,
            Just(limits::TEE_BLOCK_BYTES * (limits::TEE_MESSAGES + 3)),
        ];
        prop_oneof![
            3 => Just(Held::Folder),
            5 => Just(Held::File),
            3 => length.clone().prop_map(Held::Stream),
            1 => length.clone().prop_map(Held::Rows),
            1 => length.prop_map(Held::Broken),
            1 => Just(Held::Warning),
        ]
    }

    fn any_habit() -> impl Strategy<Value = Habit> {
        prop_oneof![
            3 => Just(Habit::Steady),
            2 => Just(Habit::Slow),
            1 => Just(Habit::Hasty),
            1 => (0..30_usize).prop_map(Habit::GivesUp),
            1 => (0..30_usize).prop_map(Habit::Leaves),
            1 => (0..30_usize).prop_map(Habit::Panics),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn whoever_stays_sees_what_the_source_says_and_nobody_waits_for_those_who_left(
            held in proptest::collection::vec(any_held(), 0..60),
            habits in proptest::collection::vec(any_habit(), 1..6),
            fails in any::<bool>(),
        ) {
            let ending = if fails { Ending::Error } else { Ending::Well };
            let (results, read) = shared(&held, ending, &habits);
            let alone = listing(&mut Made::new(&held, ending), Habit::Steady);
            prop_assert_eq!(results.len(), habits.len());
            let mut all_bytes = Made::new(&held, ending);
            listing(&mut all_bytes, Habit::Steady);
            prop_assert!(read <= all_bytes.read, "a stream was read twice");
            for (habit, result) in habits.iter().zip(results) {
                match (habit, result) {
                    (Habit::Steady | Habit::Slow, result) => {
                        prop_assert_eq!(&result.unwrap(), &alone);
                    }
                    (Habit::Hasty, result) => prop_assert_eq!(result.unwrap().len(), alone.len()),
                    (Habit::GivesUp(at) | Habit::Leaves(at), result) => {
                        let seen = result.unwrap();
                        prop_assert!(seen.len() == *at || seen.len() == alone.len());
                        let same = seen.iter().zip(&alone).all(|(one, other)| one == other);
                        prop_assert!(same, "{:?} is no beginning of {:?}", seen, alone);
                    }
                    (Habit::Panics(at), Ok(seen)) => {
                        prop_assert!(seen.len() <= *at || seen.len() == alone.len());
                    }
                    (Habit::Panics(_), Err(error)) => prop_assert_eq!(error.kind(), Kind::Internal),
                }
            }
        }
    }

    #[test]
    fn what_breaks_a_stream_is_the_same_for_everybody_and_the_rest_comes() {
        let held = [Held::Broken(600_000), Held::File];
        let (results, _) = shared(&held, Ending::Well, &[Habit::Steady, Habit::Slow]);
        for lines in results.into_iter().map(Result::unwrap) {
            assert!(lines[0].contains("cannot dump: the server went away"), "{lines:?}");
            assert!(lines[1].starts_with("e1 File Err("), "{lines:?}");
        }
    }

    #[test]
    fn a_source_that_panics_leaves_nobody_waiting() {
        let monitor = Collect::default();
        let ended = AtomicUsize::new(0);
        let run = AssertUnwindSafe(|| {
            let mut source = Made::new(&[Held::File, Held::Stream(3_000_000)], Ending::Panic);
            share(&mut source, 3, &monitor, |_, branch| {
                let seen = listing(branch, Habit::Steady);
                assert_eq!(seen.last().unwrap(), "cannot go on: the source is gone");
                ended.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert!(catch_unwind(run).is_err());
        assert_eq!(ended.into_inner(), 3);
    }

    #[test]
    fn nobody_listens_and_the_source_is_left_alone() {
        let held = vec![Held::Stream(limits::TEE_BLOCK_BYTES); 100];
        let (_, read) = shared(&held, Ending::Well, &[Habit::Leaves(1), Habit::GivesUp(2)]);
        assert!(read <= limits::TEE_BLOCK_BYTES * 10, "{read}");
    }
}
