// SPDX-License-Identifier: MIT
//! What is due: what is remembered of each schedule, and the clock that decides by it. When each
//! was due last is noted beside the jobs, so that what was missed while the machine was off is done
//! once.

use super::job::{millis, time_of};
use super::schedule::{Schedule, is_own};
use super::spool::{Spool, replace};
use crate::base::{Result, Timestamp, limits};
use crate::hestia::conf;
use crate::hestia::inventory::User;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What is remembered of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Up to when it was looked at (milliseconds since 1970): what was due before is done.
    pub until: i64,
    /// When it was done last.
    pub done: Option<i64>,
    /// The jobs that were handed in then.
    pub jobs: Vec<String>,
}

/// What is remembered of all.
pub type Memories = BTreeMap<String, Memory>;

/// Where that is.
fn memory_path(spool: &Spool) -> PathBuf {
    spool.folder().join("schedules.json")
}

/// Reads it. One that is lost or broken makes nothing due: that is what new schedules are.
pub fn memories(spool: &Spool) -> Memories {
    let bytes = conf::read_file(&memory_path(spool)).ok().flatten().unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Changes it.
pub fn remember(spool: &Spool, change: impl FnOnce(&mut Memories)) -> Result<()> {
    spool.make()?;
    let _held = spool.lock()?;
    let before = memories(spool);
    let mut now = before.clone();
    change(&mut now);
    if now == before {
        return Ok(());
    }
    let text = serde_json::to_vec(&now).unwrap_or_default();
    replace(&memory_path(spool), &text, true)
}

/// What decides about what is due.
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// This machine's zone.
    pub zone: TimeZone,
    /// This machine's name.
    pub host: String,
    /// The load, as far as it is known.
    pub load: Option<f64>,
    /// How long a high load puts off.
    pub load_wait_seconds: i64,
}

impl Clock {
    /// When it is due next, after what is remembered.
    pub fn next(&self, schedule: &Schedule, memory: Option<&Memory>) -> Option<Timestamp> {
        let since = memory.map_or(self.now, |memory| time_of(memory.until));
        schedule.next(since, &self.host, &self.zone)
    }

    /// When one of these backs a user up next. A time that has passed waits for the load, or for
    /// whoever works the queue off.
    pub fn next_backup(
        &self,
        all: &[Schedule],
        memories: &Memories,
        user: &User,
    ) -> Option<Timestamp> {
        let all = all.iter().filter(|one| one.backs_up(user));
        all.filter_map(|one| self.next(one, memories.get(&one.name))).min()
    }

    /// Decides what is due, and notes it as done. What was due several times is done once; what
    /// is new is first due in the future.
    pub fn due(&self, schedules: &[Schedule], memories: &mut Memories) -> Vec<String> {
        memories.retain(|name, memory| {
            schedules.iter().any(|schedule| schedule.name == *name) || self.is_recent(name, memory)
        });
        let now = millis(self.now);
        let mut due = Vec::new();
        for schedule in schedules {
            let Some(memory) = memories.get_mut(&schedule.name) else {
                memories.insert(schedule.name.clone(), Memory { until: now, ..Memory::default() });
                continue;
            };
            // A clock that was far ahead for a while must not silence a schedule for as long.
            memory.until = memory.until.min(now);
            let next = self.next(schedule, Some(memory)).filter(|next| *next <= self.now);
            if next.is_some() && self.is_recent(&schedule.name, memory) {
                // A customer who changes the time has no second backup of the day by it.
                memory.until = now;
                continue;
            }
            if let Some(next) = next.filter(|_| schedule.enabled)
                && !self.is_put_off(schedule, next)
            {
                memory.until = now;
                due.push(schedule.name.clone());
            }
        }
        due
    }

    /// Whether it is a customer's that was done within the last hours: that is remembered even if
    /// the customer takes the time back and gives another one.
    pub fn is_recent(&self, name: &str, memory: &Memory) -> bool {
        let hours = limits::OWN_BACKUP_HOURS;
        let ago = |done: i64| millis(self.now).saturating_sub(done);
        is_own(name) && memory.done.is_some_and(|done| (0..hours * 3_600_000).contains(&ago(done)))
    }

    /// Whether the load is too high; not for ever.
    fn is_put_off(&self, schedule: &Schedule, since: Timestamp) -> bool {
        let waited = self.now.seconds.saturating_sub(since.seconds);
        let is_high =
            schedule.load_max.zip(self.load).is_some_and(|(most, load)| load > f64::from(most));
        is_high && waited < self.load_wait_seconds.max(0)
    }
}

/// The load of the last minute.
pub fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hestia::UserName;
    use std::path::Path;

    fn schedule(name: &str, text: &str) -> Schedule {
        Schedule::parse(name, text, Path::new("x.toml")).unwrap()
    }

    fn clock(now: i64) -> Clock {
        Clock {
            now: Timestamp::from_seconds(now),
            zone: TimeZone::UTC,
            host: "test.example".to_owned(),
            load: Some(3.5),
            load_wait_seconds: 3600,
        }
    }

    const DAY: i64 = 86_400;
    /// A midnight in UTC.
    const MIDNIGHT: i64 = 20_000 * DAY;

    #[test]
    fn what_was_missed_is_done_once_and_what_is_new_in_the_future() {
        let all = [schedule("nightly", "when = 'daily 02:30'\nspread_minutes = 0")];
        let mut memories = Memories::new();
        let due = |now: i64, memories: &mut Memories| clock(now).due(&all, memories);
        // It is new: half past two of this night is over.
        assert!(due(MIDNIGHT + 3 * 3600, &mut memories).is_empty());
        assert!(due(MIDNIGHT + DAY + 2 * 3600, &mut memories).is_empty());
        assert_eq!(due(MIDNIGHT + DAY + 9000, &mut memories), ["nightly"]);
        assert!(due(MIDNIGHT + DAY + 9001, &mut memories).is_empty());
        // The machine was off for a week.
        assert_eq!(due(MIDNIGHT + 8 * DAY, &mut memories), ["nightly"]);
        assert!(due(MIDNIGHT + 8 * DAY + 1, &mut memories).is_empty());
        // A clock far ahead, put right again.
        assert_eq!(due(MIDNIGHT + 900 * DAY, &mut memories), ["nightly"]);
        assert!(due(MIDNIGHT + 9 * DAY, &mut memories).is_empty());
        assert_eq!(due(MIDNIGHT + 10 * DAY, &mut memories), ["nightly"]);
    }

    #[test]
    fn a_customer_has_one_backup_of_a_day_however_often_the_time_is_changed() {
        let user = |when: &str| {
            let (row, _) = crate::hestia::conf::parse_keys(b"");
            let name = UserName::parse("alice").unwrap();
            Schedule::own(&User { name, row, identity: "x".to_owned() }, when).unwrap()
        };
        let mut memories = Memories::new();
        let at = |hours: i64| MIDNIGHT + hours * 3600;
        clock(at(0)).due(&[user("daily 01:00")], &mut memories);
        assert_eq!(clock(at(3)).due(&[user("daily 01:00")], &mut memories), ["user alice"]);
        memories.get_mut("user alice").unwrap().done = Some(at(3) * 1000);
        // Another time, and the time taken back and another one given.
        assert!(clock(at(7)).due(&[user("daily 05:00")], &mut memories).is_empty());
        assert!(clock(at(8)).due(&[], &mut memories).is_empty());
        assert!(clock(at(11)).due(&[user("daily 09:00")], &mut memories).is_empty());
        assert_eq!(clock(at(35)).due(&[user("daily 09:00")], &mut memories), ["user alice"]);
    }

    #[test]
    fn the_next_backup_of_a_user_is_that_of_the_first_schedule_that_means_the_user() {
        let user = |name: &str, identity: &str| {
            let (row, _) = crate::hestia::conf::parse_keys(b"");
            User { name: UserName::parse(name).unwrap(), row, identity: identity.to_owned() }
        };
        let exact = |name: &str, text: &str| schedule(name, &format!("spread_minutes = 0\n{text}"));
        let mut all = vec![
            exact("shops", "when = 'daily 04:00'\ninclude = ['shop*']"),
            exact("night", "when = 'daily 05:00'\nexclude = ['test*']"),
            exact("off", "when = 'daily 01:00'\nenabled = false"),
            exact("check", "do = 'check'\nwhen = 'daily 01:00'"),
        ];
        all.push(Schedule {
            spread_minutes: 0,
            ..Schedule::own(&user("alice", "first"), "daily 03:00").unwrap()
        });
        let mut memories = Memories::new();
        let hour = |memories: &Memories, name: &str, identity: &str| {
            let next = clock(MIDNIGHT).next_backup(&all, memories, &user(name, identity));
            next.map(|next| (next.seconds - MIDNIGHT) / 3600)
        };
        assert_eq!(hour(&memories, "shop1", ""), Some(4));
        assert_eq!(hour(&memories, "bob", ""), Some(5));
        assert_eq!(hour(&memories, "test1", ""), None);
        assert_eq!(hour(&memories, "alice", "first"), Some(3));
        assert_eq!(hour(&memories, "alice", "second"), Some(5), "somebody else's wish");
        // What was due yesterday and is not done yet.
        let until = (MIDNIGHT - DAY) * 1000;
        memories.insert("night".to_owned(), Memory { until, ..Memory::default() });
        assert_eq!(hour(&memories, "bob", ""), Some(5 - 24));
    }

    #[test]
    fn a_high_load_puts_off_for_a_while_and_a_disabled_one_is_not_due() {
        let text = "when = '0 2 * * *'\nload_max = 3";
        let all = [schedule("a", text), schedule("b", &format!("{text}\nenabled = false"))];
        let mut memories = Memories::new();
        let at = MIDNIGHT + 7200;
        clock(MIDNIGHT).due(&all, &mut memories);
        assert!(clock(at).due(&all, &mut memories).is_empty());
        assert!(clock(at + 3599).due(&all, &mut memories).is_empty());
        assert_eq!(clock(at + 3600).due(&all, &mut memories), ["a"]);
        let quiet = |now: i64| Clock { load: Some(2.9), ..clock(now) };
        assert_eq!(quiet(at + DAY).due(&all, &mut memories), ["a"]);
    }
}
