// SPDX-License-Identifier: MIT
//! A wrapper that is no faster than asked for, so that a backup leaves room on the line for the
//! customers of a server. All connections of a repository share the rate. What is waited for is the
//! time of the files before, so that a rate holds over a run; one file goes as fast as the line
//! takes it.

use super::{Backend, FileKind, FileName, Leftovers, Properties};
use crate::base::monitor::Stop;
use crate::base::pace::Pace;
use crate::base::units::{ByteSize, bytes as length_of};
use crate::base::{Error, Kind, Result, World, limits};
use std::ops::Range;
use std::sync::Arc;

/// The most that is sent and fetched a second; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Bytes that are stored.
    pub upload: Option<ByteSize>,
    /// Bytes that are read.
    pub download: Option<ByteSize>,
}

impl Rates {
    /// A rate as people write it; `0` is none. One at which nothing would ever end is refused.
    pub fn parse(text: &str) -> Result<Option<ByteSize>> {
        let rate = ByteSize::parse(text)?;
        if rate.0 > 0 && rate.0 < limits::RATE_BYTES_MIN {
            let least = ByteSize(limits::RATE_BYTES_MIN);
            return Err(Error::new(Kind::Invalid, format!("keep to {rate} a second"))
                .why(format!("a limit is {least} a second or more, or 0 for none")));
        }
        Ok((rate.0 > 0).then_some(rate))
    }
}

/// A backend that keeps to rates.
pub struct Throttled {
    inner: Arc<dyn Backend>,
    upload: Option<Pace>,
    download: Option<Pace>,
}

impl Throttled {
    /// Wraps a backend, if there is a rate to keep.
    pub fn wrap(
        inner: Arc<dyn Backend>,
        rates: Rates,
        world: &Arc<World>,
        stop: &Stop,
    ) -> Arc<dyn Backend> {
        if rates == Rates::default() {
            return inner;
        }
        let pace = |rate: ByteSize| Pace::new(Arc::clone(world), rate.0, stop.clone());
        let (upload, download) = (rates.upload.map(pace), rates.download.map(pace));
        Arc::new(Self { inner, upload, download })
    }
}

impl Backend for Throttled {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        self.inner.list(kind)
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        self.inner.list_together(kinds)
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        if let Some(pace) = &self.download {
            pace.count(range.end.saturating_sub(range.start));
        }
        self.inner.read(name, range)
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        let read = self.inner.read_whole(name, most)?;
        if let (Some(pace), Some(bytes)) = (&self.download, &read) {
            pace.count(length_of(bytes.len()));
        }
        Ok(read)
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.inner.size(name)
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        self.inner.sizes(names)
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        if let Some(pace) = &self.upload {
            pace.count(length_of(bytes.len()));
        }
        self.inner.create(name, bytes)
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        self.inner.remove(name)
    }

    fn leftovers(&self, before: i64, task: Leftovers) -> Result<(u64, u64)> {
        self.inner.leftovers(before, task)
    }

    fn properties(&self) -> Properties {
        self.inner.properties()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
