// SPDX-License-Identifier: MIT
//! What the process of a job notes beside the job while it works, so that others can see how far it
//! is: at most once a second, and at its end. A disk that is full must not stop a job for that.

use crate::base::monitor::{Counter, Counts, Stage};
use crate::base::path::display_bytes;
use crate::base::{Error, World};
use crate::hestia::queue::{JobId, Note, Spool};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Time between two notes.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of an object's name that are noted.
const NAME_BYTES: usize = 300;

/// The note of this process.
#[derive(Debug)]
pub struct JobNote {
    spool: Spool,
    id: JobId,
    world: Arc<World>,
    counts: Counts,
    warnings: AtomicU64,
    /// Milliseconds at which the next one is due.
    next: AtomicU64,
    at: Mutex<At>,
}

/// What the job is at.
#[derive(Debug)]
struct At {
    note: Note,
    /// When the step began.
    since: Duration,
    /// What the step counts, and what it will come to.
    measured: Option<Measured>,
    /// The same of steps before it: one that is gone on with later goes on where it was.
    known: BTreeMap<&'static str, Measured>,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    counter: Counter,
    total: u64,
    /// What was counted before the step.
    before: u64,
    since: Duration,
}

/// What is counted in bytes; a job does mostly one of these.
const BYTES: [Counter; 3] = [Counter::BytesSource, Counter::BytesRestored, Counter::BytesChecked];
/// What is counted as an object.
const OBJECTS: [Counter; 6] = [
    Counter::FilesNew,
    Counter::FilesChanged,
    Counter::FilesReused,
    Counter::FilesRestored,
    Counter::FilesUnchanged,
    Counter::Folders,
];

impl JobNote {
    /// Notes for this attempt at a job.
    pub fn new(spool: Spool, id: JobId, attempt: u32, world: &Arc<World>) -> Self {
        let process = world.process();
        let note =
            Note { attempt, process: process.id, started: process.started, ..Note::default() };
        let at = At { note, since: world.ticks(), measured: None, known: BTreeMap::new() };
        Self {
            spool,
            id,
            world: Arc::clone(world),
            counts: Counts::default(),
            warnings: AtomicU64::new(0),
            next: AtomicU64::new(0),
            at: Mutex::new(at),
        }
    }

    /// Adds to a counter.
    pub fn count(&self, counter: Counter, n: u64) {
        self.counts.add(counter, n);
        self.write_if_due();
    }

    /// One more warning.
    pub fn warn(&self) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
    }

    /// What the job is at.
    pub fn stage(&self, stage: &Stage) {
        {
            let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
            match stage {
                Stage::Step { name, total } => {
                    let since = self.world.ticks();
                    if let Some((counter, total)) = *total {
                        let before = self.counts.get(counter);
                        at.known.insert(name, Measured { counter, total, before, since });
                    }
                    at.measured = at.known.get(name).copied();
                    at.since = at.measured.map_or(since, |measured| measured.since);
                    (*name).clone_into(&mut at.note.step);
                    at.note.object = String::new();
                }
                Stage::Object(name) => {
                    let bytes = name.as_bytes();
                    at.note.object = display_bytes(bytes.get(..NAME_BYTES).unwrap_or(bytes));
                }
                Stage::Note(_) => {}
            }
        }
        self.write_if_due();
    }

    /// Notes it once; whoever looks now sees that the job has begun.
    pub fn begin(&self) {
        self.write_if_due();
    }

    /// Notes how it ended.
    pub fn end(&self, code: u8, error: Option<&Error>) {
        let mut note = self.now();
        note.code = Some(code);
        note.error = error.map(Error::one_line).unwrap_or_default();
        self.write(&note);
    }

    fn now(&self) -> Note {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut note = at.note.clone();
        let sum = |counters: &[Counter]| counters.iter().map(|one| self.counts.get(*one)).sum();
        note.bytes = BYTES.iter().map(|one| self.counts.get(*one)).max().unwrap_or_default();
        note.objects = sum(&OBJECTS);
        note.warnings = self.warnings.load(Ordering::Relaxed);
        let waited = self.world.ticks().saturating_sub(at.since);
        note.step_millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        if let Some(Measured { counter, total, before, .. }) = at.measured {
            note.done = self.counts.get(counter).saturating_sub(before);
            note.total = Some(total);
            note.bytes_total = BYTES.contains(&counter).then(|| before.saturating_add(total));
        }
        note
    }

    fn write_if_due(&self) {
        let now = u64::try_from(self.world.ticks().as_millis()).unwrap_or(u64::MAX);
        let due = self.next.load(Ordering::Relaxed);
        let later = now.saturating_add(u64::try_from(EVERY.as_millis()).unwrap_or(1000));
        let next = &self.next;
        if now >= due
            && next.compare_exchange(due, later, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.write(&self.now());
        }
    }

    fn write(&self, note: &Note) {
        // Without it the job is done all the same; whoever looks sees the one before.
        if let Err(error) = note.write(&self.spool, &self.id) {
            drop(error);
        }
    }
}
