// SPDX-License-Identifier: MIT
//! Dumps that were kept waiting. While a store does not answer nobody reads the dump that is on its
//! way there, and MariaDB ends a connection that has taken nothing for a minute
//! (`net_write_timeout`). That is no fault of the database: such a dump is made once more.

use crate::base::{Error, Kind, RelPath, World, limits};
use crate::hestia::database::DatabaseRow;
use crate::tree::command::Output;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The dump that was handed out last, until it is known that it went well.
pub(super) struct LastDump {
    path: RelPath,
    database: Box<DatabaseRow>,
    failed: Arc<AtomicBool>,
}

impl LastDump {
    /// Hands a dump out.
    pub fn of(path: RelPath, database: Box<DatabaseRow>, dump: Output) -> (Self, Box<dyn Read>) {
        let failed = Arc::default();
        let patient = Patient::new(dump, Arc::clone(&failed), World::system());
        (Self { path, database, failed }, Box::new(patient))
    }

    /// What is to be dumped again.
    pub fn again(self) -> Option<(RelPath, Box<DatabaseRow>)> {
        self.failed.load(Ordering::Acquire).then_some((self.path, self.database))
    }
}

/// A dump whose failure, if it was kept waiting before, is one that passes.
struct Patient<R> {
    dump: R,
    failed: Arc<AtomicBool>,
    /// Servers live in real time.
    world: World,
    left: Option<Duration>,
    waited: Duration,
}

impl<R: Read> Patient<R> {
    const fn new(dump: R, failed: Arc<AtomicBool>, world: World) -> Self {
        Self { dump, failed, world, left: None, waited: Duration::ZERO }
    }

    fn judged(&self, error: io::Error) -> io::Error {
        let error: Error = crate::base::error::io_error(error, "read its content");
        let was_held_up = self.waited >= Duration::from_secs(limits::DUMP_HELD_UP_SECONDS);
        if !was_held_up || error.kind() == Kind::Cancelled {
            return error.into();
        }
        self.failed.store(true, Ordering::Release);
        error.transient().into()
    }
}

impl<R: Read> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.world.ticks();
        let away = self.left.map_or(Duration::ZERO, |left| now.saturating_sub(left));
        self.waited = self.waited.max(away);
        let done = self.dump.read(buffer);
        self.left = Some(self.world.ticks());
        done.map_err(|error| self.judged(error))
    }
}

/// What is told when a dump is made again.
pub(super) fn note(database: &DatabaseRow) -> String {
    format!("dumping {} once more: it was kept waiting by the store, and failed", database.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(Kind);

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(Error::new(self.0, "dump the database a").into())
        }
    }

    fn end(kind: Kind, waits: Duration) -> (bool, bool) {
        let failed = Arc::default();
        let mut dump = Patient::new(Failing(kind), Arc::clone(&failed), World::seeded(7));
        dump.left = Some(dump.world.ticks());
        dump.world.sleep(waits);
        let error = dump.read(&mut [0; 8]).unwrap_err();
        let error = crate::base::error::io_error(error, "read");
        assert_eq!(error.kind(), kind);
        (error.is_transient(), failed.load(Ordering::Acquire))
    }

    #[test]
    fn only_a_dump_that_was_kept_waiting_is_made_again() {
        let long = Duration::from_secs(limits::DUMP_HELD_UP_SECONDS);
        assert_eq!(end(Kind::Db, long), (true, true));
        assert_eq!(end(Kind::Db, long.mul_f64(0.9)), (false, false));
        assert_eq!(end(Kind::Cancelled, long), (false, false));
    }
}
