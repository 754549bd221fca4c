// SPDX-License-Identifier: MIT
//! Asks again. The only place of the program that does: what the backends use below is told not to.
//! A failure that may pass (the backend says which, [`Error::is_transient`]) is waited out within
//! bounds, a little longer each time, and each time somebody hears of it. All others are passed on
//! at once.
//!
//! A store that stores a file and whose answer is lost is the reason why `create` needs care: asked
//! again, it says that the file exists. Then its bytes decide whether it is ours.

use super::{Backend, FileKind, FileName, Leftovers, Properties};
use crate::base::monitor::Stage;
use crate::base::units::{Span, bytes as length_of};
use crate::base::{Counter, Error, Kind, Monitor, Result, World, limits};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Asks a store again, within bounds.
pub struct Retry {
    world: Arc<World>,
    monitor: Arc<dyn Monitor>,
    in_all: Duration,
    /// Whether the store has answered, and has not been waited for in vain since: only then is it
    /// worth waiting for.
    answered: AtomicBool,
}

impl Retry {
    /// Waits for one request no longer than this in all.
    pub fn new(world: Arc<World>, monitor: Arc<dyn Monitor>, in_all: Duration) -> Self {
        Self { world, monitor, in_all, answered: AtomicBool::new(false) }
    }

    /// Does something until it succeeds, fails for good, or has been tried for long enough. It is
    /// told how often it has failed before.
    pub fn persist<T>(&self, mut act: impl FnMut(u32) -> Result<T>) -> Result<T> {
        let began = self.world.ticks();
        let mut failures = 0;
        loop {
            let error = match act(failures) {
                Ok(value) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(value);
                }
                Err(error) if !error.is_transient() => {
                    // Whoever says no is there.
                    let there = error.kind() != Kind::Connect;
                    self.answered.fetch_or(there, Ordering::Relaxed);
                    return Err(error);
                }
                Err(error) => error,
            };
            failures += 1;
            let pause = self.pause(failures)?;
            let spent = self.world.ticks().saturating_sub(began);
            let tries = if self.answered.load(Ordering::Relaxed) {
                limits::RETRY_TRIES
            } else {
                limits::RETRY_TRIES_AT_FIRST
            };
            if failures >= tries || spent + pause > self.in_all {
                // What comes after does not wait as long again for a store that is gone.
                self.answered.store(false, Ordering::Relaxed);
                return Err(given_up(error, failures, spent));
            }
            self.monitor.stage(Stage::Note(format!(
                "{}; trying again in {}",
                error.one_line(),
                Span(pause)
            )));
            self.monitor.count(Counter::Retries, 1);
            self.wait(pause, error)?;
        }
    }

    /// Twice as long each time, and by chance up to half of that shorter.
    fn pause(&self, failures: u32) -> Result<Duration> {
        let doubled = limits::RETRY_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let longest = doubled.min(limits::RETRY_PAUSE_MAX);
        let [chance, ..] = self.world.random_32_for("pause")?;
        Ok(longest.saturating_sub(longest / 2 * u32::from(chance) / 255))
    }

    fn wait(&self, pause: Duration, error: Error) -> Result<()> {
        let until = self.world.ticks() + pause;
        loop {
            if self.monitor.cancelled() {
                return Err(error.settled().with_kind(Kind::Cancelled));
            }
            let left = until.saturating_sub(self.world.ticks());
            if left.is_zero() {
                return Ok(());
            }
            self.world.sleep(left.min(limits::RETRY_LOOK));
        }
    }
}

fn given_up(error: Error, failures: u32, spent: Duration) -> Error {
    if failures == 1 {
        return error.settled();
    }
    error.settled().within(format!("get it done in {failures} tries over {}", Span(spent)))
}

/// A backend whose failures are waited out.
pub struct Retried {
    inner: Arc<dyn Backend>,
    retry: Arc<Retry>,
}

impl Retried {
    /// Wraps a backend. It may use the same [`Retry`] for parts of a request, such as the parts of
    /// an upload: what that gave up is not tried again here.
    pub fn new(inner: Arc<dyn Backend>, retry: Arc<Retry>) -> Self {
        Self { inner, retry }
    }

    /// Whether a file that exists holds exactly these bytes.
    fn is_ours(&self, name: &FileName, bytes: &[u8]) -> Result<bool> {
        if self.size(name)? != Some(length_of(bytes.len())) {
            return Ok(false);
        }
        let mut start = 0;
        for piece in bytes.chunks(crate::base::units::length(limits::COALESCE_READ_BYTES)) {
            let end = start + length_of(piece.len());
            if self.read(name, start..end)? != piece {
                return Ok(false);
            }
            start = end;
        }
        Ok(true)
    }
}

impl Backend for Retried {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        self.retry.persist(|_| self.inner.list(kind))
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        self.retry.persist(|_| self.inner.list_together(kinds))
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        self.retry.persist(|_| self.inner.read(name, range.clone()))
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        self.retry.persist(|_| self.inner.read_whole(name, most))
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.retry.persist(|_| self.inner.size(name))
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        self.retry.persist(|_| self.inner.sizes(names))
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        self.retry.persist(|failures| match self.inner.create(name, bytes) {
            Err(error) if failures > 0 && error.kind() == Kind::Exists => {
                if self.is_ours(name, bytes)? { Ok(()) } else { Err(error) }
            }
            created => created,
        })
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        self.retry.persist(|_| self.inner.remove(name))
    }

    fn leftovers(&self, before: i64, task: Leftovers) -> Result<(u64, u64)> {
        self.retry.persist(|_| self.inner.leftovers(before, task))
    }

    fn properties(&self) -> Properties {
        self.inner.properties()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::{Fault, Faulty};
    use super::super::mem::Mem;
    use super::*;
    use crate::base::FileId;
    use crate::base::monitor::Stop;
    use std::sync::atomic::AtomicU32;

    /// Hears everything; says stop after so many notes.
    #[derive(Default)]
    struct Ear {
        notes: std::sync::Mutex<Vec<String>>,
        patience: Option<usize>,
    }

    impl Monitor for Ear {
        fn count(&self, _: Counter, _: u64) {}
        fn warn(&self, _: Error) {}
        fn stage(&self, stage: Stage) {
            if let Stage::Note(text) = stage {
                self.notes.lock().unwrap().push(text);
            }
        }
        fn cancelled(&self) -> bool {
            self.patience.is_some_and(|patience| self.notes.lock().unwrap().len() >= patience)
        }
        fn stop(&self) -> Stop {
            Stop::NEVER
        }
    }

    fn retry(ear: &Arc<Ear>, world: &Arc<World>) -> Retry {
        let in_all = Duration::from_secs(limits::RETRY_SECONDS);
        let monitor: Arc<dyn Monitor> = Arc::<Ear>::clone(ear);
        Retry::new(Arc::clone(world), monitor, in_all)
    }

    fn fixture() -> (Arc<Ear>, Arc<World>) {
        (Arc::default(), Arc::new(World::seeded(1)))
    }

    fn broken() -> Error {
        Error::new(Kind::Connect, "write x").why("connection reset").transient()
    }

    #[test]
    fn a_store_that_answered_once_is_waited_for_up_to_the_bound() {
        let (ear, world) = fixture();
        let retry = retry(&ear, &world);
        retry.persist(|_| Ok(())).unwrap();
        let error = retry.persist::<()>(|_| Err(broken())).unwrap_err();
        let waited = world.ticks();
        assert!(waited > Duration::from_secs(700) && waited < Duration::from_secs(901));
        assert!(!error.is_transient() && error.kind() == Kind::Connect);
        let notes = ear.notes.lock().unwrap();
        assert!(notes.len() > 15 && notes.len() < 50, "{}", notes.len());
        assert!(notes[0].contains("connection reset; trying again in 0."), "{}", notes[0]);
        assert!(error.one_line().contains("tries over 1"), "{error}");
    }

    #[test]
    fn one_that_never_answered_is_soon_given_up() {
        let (ear, world) = fixture();
        let tries = AtomicU32::new(0);
        let failed = retry(&ear, &world).persist::<()>(|_| {
            tries.fetch_add(1, Ordering::Relaxed);
            Err(broken())
        });
        assert!(failed.unwrap_err().one_line().contains("in 4 tries"));
        assert!(tries.into_inner() == 4 && world.ticks() < Duration::from_secs(4));
    }

    #[test]
    fn one_that_was_waited_for_in_vain_is_waited_for_again_once_it_answers() {
        let (ear, world) = fixture();
        let retry = retry(&ear, &world);
        let tried = |retry: &Retry| {
            let began = world.ticks();
            retry.persist::<()>(|_| Err(broken())).unwrap_err();
            world.ticks().saturating_sub(began)
        };
        retry.persist(|_| Ok(())).unwrap();
        let long = tried(&retry);
        let (next, after) = (tried(&retry), tried(&retry));
        assert!(long > Duration::from_secs(700), "{long:?}");
        assert!(next < Duration::from_secs(4) && after < Duration::from_secs(4), "{next:?}");
        retry.persist(|_| Ok(())).unwrap();
        assert!(tried(&retry) > Duration::from_secs(700));
    }

    #[test]
    fn what_cannot_pass_is_tried_once() {
        let (ear, world) = fixture();
        let denied = || Error::new(Kind::Forbidden, "write x").why("the key is wrong");
        let error = retry(&ear, &world).persist::<()>(|_| Err(denied())).unwrap_err();
        assert_eq!(error.one_line(), "cannot write x: the key is wrong");
        assert!(world.ticks().is_zero() && ear.notes.lock().unwrap().is_empty());
    }

    #[test]
    fn a_wish_to_stop_ends_the_waiting() {
        let ear = Arc::new(Ear { patience: Some(3), ..Ear::default() });
        let world = Arc::new(World::seeded(1));
        let error = retry(&ear, &world).persist::<()>(|_| Err(broken())).unwrap_err();
        assert_eq!((error.kind(), ear.notes.lock().unwrap().len()), (Kind::Cancelled, 3));
    }

    #[test]
    fn a_file_whose_answer_was_lost_is_ours_only_with_our_bytes() {
        let (ear, world) = fixture();
        let name = FileName::new(FileKind::Pack, FileId([1; 32]));
        let mem = Mem::new();
        let faulty = Arc::new(Faulty::new(Arc::new(mem.clone()), Fault::LoseAnswers));
        let store = Retried::new(faulty, Arc::new(retry(&ear, &world)));
        store.create(&name, b"ours").unwrap();
        assert_eq!(ear.notes.lock().unwrap().len(), 1);
        // Somebody else's file of the same name, found after a failure, stays what it is.
        let stumbling = Arc::new(Faulty::new(Arc::new(mem.clone()), Fault::Stumble));
        let store = Retried::new(stumbling, Arc::new(retry(&ear, &world)));
        assert_eq!(store.create(&name, b"hers").unwrap_err().kind(), Kind::Exists);
        assert_eq!(mem.read(&name, 0..4).unwrap(), b"ours");
        // And what was there before the first try is never taken for ours.
        let store = Retried::new(Arc::new(mem), Arc::new(retry(&ear, &world)));
        assert_eq!(store.create(&name, b"ours").unwrap_err().kind(), Kind::Exists);
    }
}
