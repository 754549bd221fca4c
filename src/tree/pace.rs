// SPDX-License-Identifier: MIT
//! A source that is read no faster than asked for, whatever reads it and in how many threads.
//! What is not read, because it did not change, costs no time.

use super::source::{Content, Entry, OpenFile, ReadFile, Source, Xattrs};
use crate::base::pace::Pace;
use crate::base::units::{bytes, length};
use crate::base::{Monitor, RelPath, Result};
use crate::format::snapshot::Object;
use crate::format::tree::Meta;
use std::io::Read;
use std::sync::Arc;

/// How often a reader may pause: a wish to stop is heard between two pauses.
const PAUSES_PER_SECOND: u64 = 10;

/// How much may be read at once.
fn piece(pace: &Pace) -> usize {
    length((pace.bytes_per_second() / PAUSES_PER_SECOND).max(1))
}

/// A source read at a pace, if there is one to keep.
pub struct Paced<S> {
    inner: S,
    pace: Option<Arc<Pace>>,
}

impl<S: Source> Paced<S> {
    /// The source at this pace.
    pub fn new(inner: S, pace: Option<Arc<Pace>>) -> Self {
        Self { inner, pace }
    }
}

impl<S: Source> Source for Paced<S> {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        let pace = self.pace.clone();
        let Some(entry) = self.inner.next_entry(monitor)? else { return Ok(None) };
        let Some(pace) = pace else { return Ok(Some(entry)) };
        let Entry { path, meta, content } = entry;
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
        let most = buffer.len().min(piece(&self.pace));
        let read = self.reader.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.pace.count(bytes(read));
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
    use crate::base::monitor::{Collect, Stop};
    use crate::base::{Timestamp, World};
    use crate::tree::stream::StreamFile;
    use std::time::Duration;

    #[test]
    fn a_stream_takes_the_time_that_its_rate_asks_for_and_stays_as_it_is() {
        let world = Arc::new(World::seeded(1));
        let path = RelPath::parse(b"dump.sql").unwrap();
        let content = vec![7; 50_000];
        let stream = StreamFile::new(path, Timestamp::default(), content.as_slice());
        let pace = Pace::new(Arc::clone(&world), 10_000, Stop::NEVER);
        let mut source = Paced::new(stream, Some(Arc::new(pace)));
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
