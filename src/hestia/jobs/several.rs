// SPDX-License-Identifier: MIT
//! Several users at the same time, each on its own: one that fails or panics fails alone, and the
//! results come in the order of the users.

use crate::base::monitor::{Counter, Stage, Stop};
use crate::base::{Error, Kind, Monitor, Result, limits};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Does something with each of many things, so many at a time; gives back what came of each, in
/// their order. A panic is the failure of the one thing it happened to.
pub(super) fn each<T: Sync, R: Send>(
    things: &[T],
    at_once: usize,
    act: impl Fn(usize, &T) -> R + Sync,
) -> Vec<Result<R>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(things.len()));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(thing) = things.get(at) else { return };
            // What a panic leaves half done is not looked at again: each thing has its own.
            let result = catch_unwind(AssertUnwindSafe(|| act(at, thing))).map_err(|_| {
                Error::new(Kind::Internal, "go on")
                    .why("the program made a mistake here; what it says of it is above")
            });
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for number in 1..at_once {
            let thread = Builder::new().name(format!("job {number}"));
            let started = thread.stack_size(limits::JOB_STACK_BYTES).spawn_scoped(scope, work);
            // Where no thread can be had the others do its part.
            drop(started);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The monitor of one user of several: says whose what it tells is.
pub(super) struct OneOfSeveral<'m> {
    user: &'m str,
    outer: &'m dyn Monitor,
}

impl<'m> OneOfSeveral<'m> {
    /// Passes on what is told of this user.
    pub(super) fn new(user: &'m str, outer: &'m dyn Monitor) -> Self {
        Self { user, outer }
    }
}

impl Monitor for OneOfSeveral<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.outer.count(counter, n);
    }

    fn warn(&self, warning: Error) {
        self.outer.warn(warning.within(format!("back up all of {}", self.user)));
    }

    fn stage(&self, stage: Stage) {
        let user = self.user;
        match stage {
            // Whatever one is at, the others are at something else.
            Stage::Step { .. } => {}
            Stage::Object(name) => self.outer.stage(Stage::Object(format!("{user}: {name}"))),
            Stage::Note(text) if text.starts_with(user) => self.outer.stage(Stage::Note(text)),
            Stage::Note(text) => self.outer.stage(Stage::Note(format!("{user}: {text}"))),
        }
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
    use std::sync::Barrier;

    #[test]
    fn each_is_done_once_in_order_and_a_panic_is_its_own() {
        let things: Vec<usize> = (0..20).collect();
        for at_once in [1, 3, 50] {
            let done = each(&things, at_once, |at, thing| {
                assert_eq!(at, *thing);
                assert_ne!(*thing, 7, "seven");
                thing * 2
            });
            let numbers: Vec<Option<usize>> = done.into_iter().map(Result::ok).collect();
            let expected = (0..20).map(|n| (n != 7).then_some(n * 2));
            assert_eq!(numbers, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn so_many_are_done_at_the_same_time() {
        // Ends only if three meet.
        let meeting = Barrier::new(3);
        assert_eq!(each(&[(); 3], 3, |_, ()| meeting.wait().is_leader()).len(), 3);
    }
}
