// SPDX-License-Identifier: MIT
//! All that an operation tells the outside while it runs: counts, warnings, what it is at, and
//! the question whether to stop. Operations print nothing.

use super::error::{Error, Kind, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal),+ $(,)?) => {
        /// Something that is counted while an operation runs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Counter { $($(#[doc = $doc])* $name),+ }

        impl Counter {
            /// Every counter.
            pub const ALL: &'static [Counter] = &[$(Counter::$name),+];

            /// Its name in JSON.
            pub const fn word(self) -> &'static str {
                match self { $(Counter::$name => $word),+ }
            }
        }
    };
}

counters! {
    /// Files whose content was read because no earlier snapshot has them.
    FilesNew = "files_new",
    /// Files whose content was read because they changed.
    FilesChanged = "files_changed",
    /// Files taken over from the parent snapshot without reading them.
    FilesReused = "files_reused",
    /// Files of new content that looks encrypted.
    FilesScrambled = "files_scrambled",
    /// Files that were gone when their turn came.
    FilesVanished = "files_vanished",
    /// Sockets and device nodes left out.
    FilesSkipped = "files_skipped",
    /// Folders seen.
    Folders = "folders",
    /// Folders in which nothing changed.
    FoldersReused = "folders_reused",
    /// Bytes of file content the source holds, read or not.
    BytesSource = "bytes_source",
    /// Bytes of file content read.
    BytesRead = "bytes_read",
    /// Plain bytes not in the repository before.
    BytesNew = "bytes_new",
    /// Bytes written to the repository, compressed and sealed.
    BytesStored = "bytes_stored",
    /// Chunks not in the repository before.
    ChunksNew = "chunks_new",
    /// Chunks found in the repository.
    ChunksReused = "chunks_reused",
    /// Packs written.
    Packs = "packs",
    /// Files written by a restore.
    FilesRestored = "files_restored",
    /// Files that were right already.
    FilesUnchanged = "files_unchanged",
    /// Files and folders removed because the snapshot lacks them.
    FilesRemoved = "files_removed",
    /// Bytes of file content written by a restore.
    BytesRestored = "bytes_restored",
    /// Packs, records or blobs looked at by a check.
    Checked = "checked",
    /// Bytes read back by a check.
    BytesChecked = "bytes_checked",
    /// Requests to a store that write, parts of an upload among them.
    RequestsPut = "requests_put",
    /// Requests that read, or ask for the size.
    RequestsGet = "requests_get",
    /// Requests that list, one for each page.
    RequestsList = "requests_list",
    /// Requests that remove.
    RequestsDelete = "requests_delete",
    /// Requests made again after a failure that may pass.
    Retries = "retries",
    /// Bytes of files sent to a store.
    BytesSent = "bytes_sent",
    /// Bytes of files received from a store.
    BytesReceived = "bytes_received",
}

/// What an operation is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// A step with a name and, where known, the amount of work ahead (bytes or objects).
    Step {
        /// What is being done, such as "reading files".
        name: &'static str,
        /// How much [`Counter`] will grow to, if that is known.
        total: Option<(Counter, u64)>,
    },
    /// The object in hand, such as a path or "user 2 of 7: alice".
    Object(String),
    /// Something worth telling that does not make the result worse, such as a skipped socket.
    Note(String),
}

/// The listener an operation reports to.
pub trait Monitor: Send + Sync {
    /// Adds to a counter.
    fn count(&self, counter: Counter, n: u64);
    /// Reports what went wrong without stopping the operation; makes its result partial.
    fn warn(&self, warning: Error);
    /// Tells what the operation is at.
    fn stage(&self, stage: Stage);
    /// Whether to stop as soon as the repository is in a good state.
    fn cancelled(&self) -> bool;
    /// The same question, for what outlives the call that lends the monitor.
    fn stop(&self) -> Stop;
}

/// Says whether to stop, for what cannot borrow a monitor: a program that is read as a stream, a
/// store that is slowed down. The default never says so.
#[derive(Clone, Default)]
pub struct Stop(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Stop {
    /// Nobody ever says stop.
    pub const NEVER: Self = Self(None);

    /// Says what `asked` says.
    pub fn when(asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(asked)))
    }

    /// Whether to stop.
    pub fn asked(&self) -> bool {
        self.0.as_ref().is_some_and(|asked| asked())
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Stop" } else { "Stop::NEVER" })
    }
}

/// Fails with [`Kind::Cancelled`] once the monitor says to stop.
pub fn check_cancelled(monitor: &dyn Monitor) -> Result<()> {
    if monitor.cancelled() {
        return Err(Error::new(Kind::Cancelled, "go on").why("stopped on request"));
    }
    Ok(())
}

/// Counts in memory; the base of every monitor and enough for most tests.
#[derive(Debug)]
pub struct Counts([AtomicU64; Counter::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counts {
    /// Adds to a counter.
    pub fn add(&self, counter: Counter, n: u64) {
        if let Some(cell) = self.cell(counter) {
            cell.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Adds what another one has counted.
    pub fn add_all(&self, other: &Self) {
        for counter in Counter::ALL {
            self.add(*counter, other.get(*counter));
        }
    }

    /// The counter's value now.
    pub fn get(&self, counter: Counter) -> u64 {
        self.cell(counter).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    fn cell(&self, counter: Counter) -> Option<&AtomicU64> {
        Counter::ALL.iter().position(|one| *one == counter).and_then(|place| self.0.get(place))
    }
}

/// A monitor that keeps everything, for tests and for callers that report at the end.
#[derive(Debug, Default)]
pub struct Collect {
    /// The counters.
    pub counts: Counts,
    warnings: Mutex<Vec<Error>>,
}

impl Collect {
    /// Takes the warnings so far, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        warnings.iter().map(Error::one_line).collect()
    }

    /// The warnings themselves.
    pub fn into_warnings(self) -> Vec<Error> {
        self.warnings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Monitor for Collect {
    fn count(&self, counter: Counter, n: u64) {
        self.counts.add(counter, n);
    }
    fn warn(&self, warning: Error) {
        self.warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(warning);
    }
    fn stage(&self, _stage: Stage) {}
    fn cancelled(&self) -> bool {
        false
    }
    fn stop(&self) -> Stop {
        Stop::NEVER
    }
}

/// Hears nothing and never says stop: for what somebody else listens to already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unheard;

impl Monitor for Unheard {
    fn count(&self, _counter: Counter, _n: u64) {}
    fn warn(&self, _warning: Error) {}
    fn stage(&self, _stage: Stage) {}
    fn cancelled(&self) -> bool {
        false
    }
    fn stop(&self) -> Stop {
        Stop::NEVER
    }
}

/// Passes everything on and counts the warnings, so that an operation knows whether its own
/// result is partial.
pub struct Scoped<'m> {
    outer: &'m dyn Monitor,
    /// What this operation counted.
    pub counts: Counts,
    warnings: AtomicU64,
}

impl<'m> Scoped<'m> {
    /// Wraps a monitor for one operation.
    pub fn new(outer: &'m dyn Monitor) -> Self {
        Self { outer, counts: Counts::default(), warnings: AtomicU64::new(0) }
    }

    /// How many warnings this operation gave.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }
}

impl Monitor for Scoped<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.counts.add(counter, n);
        self.outer.count(counter, n);
    }
    fn warn(&self, warning: Error) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.outer.warn(warning);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_unique_words() {
        let mut words: Vec<_> = Counter::ALL.iter().map(|counter| counter.word()).collect();
        words.sort_unstable();
        let before = words.len();
        words.dedup();
        assert_eq!(words.len(), before);
    }

    #[test]
    fn a_scope_counts_its_own_and_passes_on() {
        let all = Collect::default();
        all.count(Counter::Packs, 1);
        let scope = Scoped::new(&all);
        scope.count(Counter::Packs, 2);
        scope.warn(Error::new(Kind::Disk, "read x"));
        assert_eq!((scope.counts.get(Counter::Packs), all.counts.get(Counter::Packs)), (2, 3));
        assert_eq!((scope.warnings(), all.warnings().len()), (1, 1));
    }
}
