// SPDX-License-Identifier: MIT
//! A source that is read no faster than asked for, whatever reads it and in how many threads.
//! What is not read, because it did not change, costs no time.

use super::source::{Content, Entry, OpenFile, ReadFile, Source, Xattrs};
use crate::base::units::{bytes, length};
use crate::base::{Monitor, RelPath, Result, World};
use crate::format::snapshot::Object;
use crate::format::tree::Meta;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a reader may pause: a wish to stop is heard between two pauses.
const PAUSES_PER_SECOND: u64 = 10;

/// The rate that all readers of one source share.
pub struct Pace {
    world: Arc<World>,
    bytes_per_second: u64,
    /// When the next byte may be read.
    next: Mutex<Duration>,
}

impl Pace {
    /// So many bytes a second.
    pub fn new(world: Arc<World>, bytes_per_second: u64) -> Self {
        Self { world, bytes_per_second: bytes_per_second.max(1), next: Mutex::default() }
    }

    /// How much may be read at once.
    fn piece(&self) -> usize {
        length((self.bytes_per_second / PAUSES_PER_SECOND).max(1))
    }

    /// Waits until what was read before has had its time, and counts this.
    fn count(&self, read: usize) {
        if self.bytes_per_second == u64::MAX {
            return;
        }
        let nanos = u128::from(bytes(read)) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let now = self.world.ticks();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let starts = (*next).max(now);
        *next = starts.saturating_add(cost);
        drop(next);
        self.world.sleep(starts.saturating_sub(now));
    }
}

/// A source read at a pace.
pub struct Paced<S> {
    inner: S,
    pace: Arc<Pace>,
}

impl<S: Source> Paced<S> {
    /// The source at this pace.
    pub fn new(inner: S, pace: Pace) -> Self {
        Self { inner, pace: Arc::new(pace) }
    }
}

impl<S: Source> Source for Paced<S> {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        let Some(Entry { path, meta, content }) = self.inner.next_entry(monitor)? else {
            return Ok(None);
        };
        let pace = Arc::clone(&self.pace);
        let content = match content {
            Content::File(opener) => Content::File(Box::new(PacedOpener { opener, pace })),
            Content::Stream(reader) => Content::Stream(Box::new(PacedReader { reader, pace })),
            Content::Rows(reader) => Content::Rows(Box::new(PacedReader { reader, pace })),
            other => other,
        };
        Ok(Some(Entry { path, meta, content }))
    }

    fn names_earlier_entries(&self) -> Option<fn(&RelPath) -> bool> {
        self.inner.names_earlier_entries()
    }

    fn objects(&self) -> Vec<Object> {
        self.inner.objects()
    }
}

struct PacedOpener {
    opener: Box<dyn OpenFile>,
    pace: Arc<Pace>,
}

impl OpenFile for PacedOpener {
    fn open(&self) -> Result<Option<Box<dyn ReadFile>>> {
        let Some(reader) = self.opener.open()? else { return Ok(None) };
        Ok(Some(Box::new(PacedReader { reader, pace: Arc::clone(&self.pace) })))
    }
}

struct PacedReader<R> {
    reader: R,
    pace: Arc<Pace>,
}

impl<R: Read> Read for PacedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(self.pace.piece());
        let read = self.reader.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.pace.count(read);
        Ok(read)
    }
}

impl ReadFile for PacedReader<Box<dyn ReadFile>> {
    fn meta(&self) -> Result<Meta> {
        self.reader.meta()
    }

    fn xattrs(&self) -> Result<Option<Xattrs>> {
        self.reader.xattrs()
    }

    fn extents(&self, size: u64) -> Result<Vec<(u64, u64)>> {
        self.reader.extents(size)
    }

    fn seek_to(&mut self, offset: u64) -> Result<()> {
        self.reader.seek_to(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::base::monitor::Collect;
    use crate::tree::stream::StreamFile;

    #[test]
    fn a_stream_takes_the_time_that_its_rate_asks_for_and_stays_as_it_is() {
        let world = Arc::new(World::seeded(1));
        let path = RelPath::parse(b"dump.sql").unwrap();
        let content = vec![7; 50_000];
        let stream = StreamFile::new(path, Timestamp::default(), content.as_slice());
        let mut source = Paced::new(stream, Pace::new(Arc::clone(&world), 10_000));
        let monitor = Collect::default();
        source.next_entry(&monitor).unwrap().unwrap();
        let entry = source.next_entry(&monitor).unwrap().unwrap();
        let Content::Rows(mut reader) = entry.content else { panic!("no stream") };
        let mut read = Vec::new();
        let before = world.ticks();
        reader.read_to_end(&mut read).unwrap();
        let spent = world.ticks().saturating_sub(before);
        assert_eq!(read, content);
        assert!(spent >= Duration::from_millis(4800), "{spent:?}");
        assert!(spent <= Duration::from_millis(5200), "{spent:?}");
    }
}
