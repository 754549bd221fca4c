// SPDX-License-Identifier: MIT
//! How far a running job is: a small file beside the job that its process replaces at most once a
//! second, and at its end. A hint for people, but for the end: that decides how a job went whose
//! runner was killed.

use super::spool::{Spool, replace};
use crate::base::{Result, units};
use crate::hestia::conf;
use crate::hestia::queue::JobId;
use serde::{Deserialize, Serialize};

/// What is noted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// Which attempt this is about.
    pub attempt: u32,
    /// The process.
    pub process: u32,
    /// When that was started, in the machine's own time: process ids are given again.
    pub started: u64,
    /// What the job is at.
    pub step: String,
    /// The object in hand.
    pub object: String,
    /// How much of the step is done, in whatever it counts.
    pub done: u64,
    /// How much there is, if that is known.
    pub total: Option<u64>,
    /// Milliseconds since the step began.
    pub step_millis: u64,
    /// Bytes read, written or looked at.
    pub bytes: u64,
    /// How many there are, if that is known.
    pub bytes_total: Option<u64>,
    /// Files and folders.
    pub objects: u64,
    /// Warnings.
    pub warnings: u64,
    /// The exit code, once it has ended.
    pub code: Option<u8>,
    /// The error it ended with.
    pub error: String,
}

/// From how much on the time that is left can be guessed at.
const GUESS_FROM_PERCENT: u64 = 2;

impl Note {
    /// What a job's process noted last; nothing, if it noted nothing or something that is none.
    pub fn read(spool: &Spool, id: &JobId) -> Option<Self> {
        let bytes = conf::read_file(&spool.note_path(id)).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    /// Replaces what was noted.
    pub fn write(&self, spool: &Spool, id: &JobId) -> Result<()> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        replace(&spool.note_path(id), &text, self.code.is_some())
    }

    /// How much is done, where that can be told. Never all of it before the end.
    pub fn percent(&self) -> Option<u64> {
        let total = self.total.filter(|total| *total > 0)?;
        let percent = u128::from(self.done.min(total)) * 100 / u128::from(total);
        u64::try_from(percent.min(99)).ok()
    }

    /// Seconds that are left, at the pace so far.
    pub fn seconds_left(&self) -> Option<u64> {
        let total = self.total?;
        let left = total.checked_sub(self.done)?;
        if self.percent()? < GUESS_FROM_PERCENT || self.done == 0 {
            return None;
        }
        let millis = u128::from(self.step_millis) * u128::from(left) / u128::from(self.done);
        u64::try_from(millis / 1000).ok()
    }

    /// The end of the log, from the beginning of a line on.
    pub fn log_end(spool: &Spool, id: &JobId) -> String {
        let bytes = super::spool::read_end(&spool.log_path(id)).unwrap_or_default();
        let cut = units::bytes(bytes.len()) >= crate::base::limits::JOB_LOG_SHOWN_BYTES;
        let from = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(place) if cut => place + 1,
            _ => 0,
        };
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_guessed_from_what_is_done() {
        let note = |done, total, step_millis| Note { done, total, step_millis, ..Note::default() };
        let half = note(50, Some(100), 30_000);
        assert_eq!((half.percent(), half.seconds_left()), (Some(50), Some(30)));
        // More than was expected is not finished.
        assert_eq!(note(200, Some(100), 1).percent(), Some(99));
        for nothing in [note(5, None, 1000), note(0, Some(0), 1000)] {
            assert_eq!((nothing.percent(), nothing.seconds_left()), (None, None));
        }
        // Too early to tell.
        let early = note(1, Some(1000), 1000);
        assert_eq!((early.percent(), early.seconds_left()), (Some(0), None));
        let large = note(u64::MAX / 2, Some(u64::MAX), u64::MAX);
        assert_eq!(large.percent(), Some(49));
    }
}
