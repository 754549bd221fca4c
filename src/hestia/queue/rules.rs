// SPDX-License-Identifier: MIT
//! The table `[queue]` of the settings.

use crate::base::Result;
use crate::hestia::settings::Place;
use serde::Deserialize;
use toml::Spanned;

/// How the queue is worked off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How many jobs run at the same time; one that somebody waits for may run beside them.
    pub workers: usize,
    /// Longest time that a job may run.
    pub seconds_max: u64,
    /// For how many days jobs that have ended are kept.
    pub days_kept: u16,
    /// How many requests of a user's own cron jobs are accepted a day.
    pub requests_a_day: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { workers: 1, seconds_max: 24 * 3600, days_kept: 14, requests_a_day: 6 }
    }
}

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::hestia) struct WrittenQueue {
    workers: Option<Spanned<i64>>,
    hours_max: Option<Spanned<i64>>,
    days_kept: Option<Spanned<i64>>,
    requests_a_day: Option<Spanned<i64>>,
}

/// Reads the table.
pub(in crate::hestia) fn rules(place: &Place<'_>, written: &WrittenQueue) -> Result<Rules> {
    let mut rules = Rules::default();
    if let Some(value) = &written.workers {
        rules.workers = place.number(value, 1, 16)?;
    }
    if let Some(value) = &written.hours_max {
        rules.seconds_max = place.number::<u64>(value, 1, 720)? * 3600;
    }
    if let Some(value) = &written.days_kept {
        rules.days_kept = place.number(value, 1, 3650)?;
    }
    if let Some(value) = &written.requests_a_day {
        rules.requests_a_day = place.number(value, 0, 1000)?;
    }
    Ok(rules)
}
