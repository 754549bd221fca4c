// SPDX-License-Identifier: MIT
//! The only place that reads the clock and the random generator. Everything else takes a
//! [`World`], so that a test can replay a run from a seed and get the same repository bytes.
#![allow(clippy::disallowed_methods)] // this file is the replacement that clippy.toml names

use super::error::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time: seconds since 1970 (negative before) and nanoseconds below one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01 00:00:00 UTC.
    pub seconds: i64,
    /// Nanoseconds to add, below 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// A time of whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// The civil time in UTC; times no calendar can name become 1970.
    pub fn utc(self) -> jiff::civil::DateTime {
        self.in_zone(&jiff::tz::TimeZone::UTC)
    }

    /// The civil time in this machine's zone.
    pub fn local(self) -> jiff::civil::DateTime {
        self.in_zone(&jiff::tz::TimeZone::system())
    }

    fn in_zone(self, zone: &jiff::tz::TimeZone) -> jiff::civil::DateTime {
        let stamp =
            jiff::Timestamp::from_second(self.seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        zone.to_datetime(stamp)
    }

    /// `2026-11-23T03:04:05Z`.
    pub fn rfc3339(self) -> String {
        self.utc().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// Where time, randomness and the machine's identity come from.
#[derive(Debug)]
pub struct World(Inner);

#[derive(Debug)]
enum Inner {
    System { started: Instant },
    Seeded { seed: u64, draws: Mutex<BTreeMap<&'static str, u64>>, nanos: AtomicU64 },
}

impl World {
    /// The real clock and the operating system's generator.
    pub fn system() -> Self {
        Self(Inner::System { started: Instant::now() })
    }

    /// A replayable world: each draw of randomness and each look at the clock depends only on the
    /// seed and on how many came before. Never for real data.
    pub fn seeded(seed: u64) -> Self {
        Self(Inner::Seeded { seed, draws: Mutex::default(), nanos: AtomicU64::new(0) })
    }

    /// The time now. A seeded world starts at 2026-01-02 03:04:05 UTC and moves a millisecond
    /// with every look.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::System { .. } => system_now(),
            Inner::Seeded { nanos, .. } => {
                let nanos = nanos.fetch_add(1_000_000, Ordering::Relaxed);
                seeded_time(nanos)
            }
        }
    }

    /// Time since the world began; only differences mean something.
    pub fn ticks(&self) -> Duration {
        match &self.0 {
            Inner::System { started } => started.elapsed(),
            Inner::Seeded { nanos, .. } => Duration::from_nanos(nanos.load(Ordering::Relaxed)),
        }
    }

    /// Waits; a seeded world just moves its clock.
    pub fn sleep(&self, time: Duration) {
        match &self.0 {
            Inner::System { .. } => std::thread::sleep(time),
            Inner::Seeded { nanos, .. } => {
                let step = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                nanos.fetch_add(step, Ordering::Relaxed);
            }
        }
    }

    /// Fills the buffer with randomness fit for keys.
    pub fn fill_random(&self, buffer: &mut [u8]) -> Result<()> {
        self.fill_random_for("", buffer)
    }

    fn fill_random_for(&self, purpose: &'static str, buffer: &mut [u8]) -> Result<()> {
        match &self.0 {
            Inner::System { .. } => getrandom::fill(buffer).map_err(|cause| {
                Error::new(Kind::Internal, "draw random numbers").why(cause.to_string())
            }),
            Inner::Seeded { seed, draws, .. } => {
                let mut draws = draws.lock().unwrap_or_else(PoisonError::into_inner);
                let next = draws.entry(purpose).or_default();
                let draw = *next;
                *next += 1;
                let mut hasher = blake3::Hasher::new_derive_key("ghostsnap seeded test world");
                hasher.update(&seed.to_le_bytes());
                hasher.update(&draw.to_le_bytes());
                hasher.update(purpose.as_bytes());
                hasher.finalize_xof().fill(buffer);
                Ok(())
            }
        }
    }

    /// 32 random bytes for one purpose; draws for one do not move those for another, so
    /// that a seeded world replays whatever the order of threads.
    pub fn random_32_for(&self, purpose: &'static str) -> Result<[u8; 32]> {
        let mut bytes = [0; 32];
        self.fill_random_for(purpose, &mut bytes)?;
        Ok(bytes)
    }

    /// 32 random bytes.
    pub fn random_32(&self) -> Result<[u8; 32]> {
        let mut bytes = [0; 32];
        self.fill_random(&mut bytes)?;
        Ok(bytes)
    }

    /// What tells this machine from others of the same name; empty if nothing does.
    pub fn machine_id(&self) -> String {
        match &self.0 {
            Inner::System { .. } => {
                let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
                id.trim().to_owned()
            }
            Inner::Seeded { seed, .. } => format!("seeded {seed}"),
        }
    }

    /// The name of this machine, `localhost` if it has none.
    pub fn host(&self) -> String {
        match &self.0 {
            Inner::System { .. } => nix::unistd::gethostname()
                .ok()
                .and_then(|name| name.into_string().ok())
                .unwrap_or_else(|| "localhost".to_owned()),
            Inner::Seeded { .. } => "test.example".to_owned(),
        }
    }

    /// This process, so that others can tell whether it still runs.
    pub fn process(&self) -> Process {
        match &self.0 {
            Inner::System { .. } => {
                let id = std::process::id();
                Process { machine: machine(), id, started: start_of(id).unwrap_or_default() }
            }
            Inner::Seeded { seed, .. } => {
                Process { machine: format!("seeded {seed}"), id: 1, started: 1 }
            }
        }
    }

    /// Whether a process runs; `None` if that cannot be seen from here.
    pub fn runs(&self, process: &Process) -> Option<bool> {
        match &self.0 {
            // Where the kernel does not say which machine this is, nobody is known.
            Inner::System { .. } if process.machine != machine() => None,
            Inner::System { .. } if process.machine.starts_with(' ') => None,
            Inner::System { .. } => Some(start_of(process.id) == Some(process.started)),
            Inner::Seeded { .. } => (self.process() == *process).then_some(true),
        }
    }

    /// How many workers the machine has room for.
    pub fn cores(&self) -> usize {
        match &self.0 {
            Inner::System { .. } => std::thread::available_parallelism().map_or(1, usize::from),
            Inner::Seeded { .. } => 1,
        }
    }
}

/// A process, told from all others: ids are given again, and each container counts its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// The machine since it was started, and which of its counts of processes is meant.
    pub machine: String,
    /// Its id there.
    pub id: u32,
    /// When it was started, in the machine's own time.
    pub started: u64,
}

/// This machine since it was started, and the count of processes that this one is in.
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let count = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), count.display())
}

/// When a process was started: the 22nd field of its line, where the second is a name in
/// parentheses that may hold anything.
fn start_of(id: u32) -> Option<u64> {
    let line = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn system_now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: since.subsec_nanos(),
        },
        // A clock before 1970: the machine lost its time. Backups still work.
        Err(_) => Timestamp::default(),
    }
}

fn seeded_time(nanos: u64) -> Timestamp {
    const START: i64 = 1_767_323_045;
    let since = Duration::from_nanos(nanos);
    Timestamp {
        seconds: START + i64::try_from(since.as_secs()).unwrap_or(0),
        nanos: since.subsec_nanos(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_world_replays() {
        let (a, b) = (World::seeded(7), World::seeded(7));
        assert_eq!(a.random_32().unwrap(), b.random_32().unwrap());
        assert_ne!(a.random_32().unwrap(), World::seeded(7).random_32().unwrap());
        assert_eq!(a.now(), b.now());
        // a has drawn twice, b once: another purpose does not notice.
        assert_eq!(a.random_32_for("x").unwrap(), b.random_32_for("x").unwrap());
        assert_ne!(a.random_32_for("x").unwrap(), a.random_32_for("y").unwrap());
        assert_eq!(World::seeded(1).now().rfc3339(), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn a_process_is_known_from_one_that_got_its_id() {
        let world = World::system();
        let own = world.process();
        assert_eq!(world.runs(&own), Some(true));
        let earlier = Process { started: own.started.wrapping_sub(1), ..own.clone() };
        assert_eq!(world.runs(&earlier), Some(false));
        assert_eq!(world.runs(&Process { id: u32::MAX, ..own.clone() }), Some(false));
        assert_eq!(world.runs(&Process { machine: "another".to_owned(), ..own }), None);
    }

    #[test]
    fn impossible_times_do_not_panic() {
        assert_eq!(Timestamp::from_seconds(i64::MAX).rfc3339(), "1970-01-01T00:00:00Z");
    }
}
