// SPDX-License-Identifier: MIT
//! A rate that several threads keep together: so many bytes a second, on average.

use super::World;
use super::monitor::Stop;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a wish to stop may go unnoticed.
const LISTEN_EVERY: Duration = Duration::from_millis(200);

/// The rate that all who hold this keep together.
#[derive(Debug)]
pub struct Pace {
    world: Arc<World>,
    bytes_per_second: u64,
    stop: Stop,
    /// When the next byte may go.
    next: Mutex<Duration>,
}

impl Pace {
    /// So many bytes a second; once somebody says stop, nothing is held back any more: what is left
    /// is little, and should be over soon.
    pub fn new(world: Arc<World>, bytes_per_second: u64, stop: Stop) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        Self { world, bytes_per_second, stop, next: Mutex::default() }
    }

    /// The rate.
    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Waits until what was counted before has had its time, and counts this.
    pub fn count(&self, bytes: u64) {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let starts = (*next).max(self.world.ticks());
        *next = starts.saturating_add(cost);
        drop(next);
        loop {
            let left = starts.saturating_sub(self.world.ticks());
            if left.is_zero() || self.stop.asked() {
                return;
            }
            self.world.sleep(left.min(LISTEN_EVERY));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn what_came_before_is_waited_for_until_somebody_says_stop() {
        let world = Arc::new(World::seeded(1));
        let asked = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&asked);
        let stop = Stop::when(move || stop.load(Ordering::Relaxed));
        let pace = Pace::new(Arc::clone(&world), 1000, stop);
        let spent = |bytes| {
            let before = world.ticks();
            pace.count(bytes);
            world.ticks().saturating_sub(before)
        };
        assert_eq!(spent(5000), Duration::ZERO);
        assert_eq!(spent(500), Duration::from_secs(5));
        assert_eq!(spent(10_000), Duration::from_millis(500));
        asked.store(true, Ordering::Relaxed);
        assert_eq!(spent(10_000), Duration::ZERO);
    }
}
