// SPDX-License-Identifier: MIT
//! What became of a job over several users: each one's result with its reasons, and the exit
//! code of the whole.

use crate::base::monitor::{Stage, Stop};
use crate::base::{Counter, Error, FileId, Kind, Monitor, limits};
use crate::format::Snapshot;
use std::sync::{Mutex, PoisonError};

/// How it went for one user.
#[derive(Debug)]
pub enum State {
    /// Everything is in the repository.
    Succeeded,
    /// A snapshot exists; the reasons say what is not in it or not done beside it.
    Partial,
    /// There is no new snapshot.
    Failed(Error),
    /// It was not tried.
    Skipped(Error),
}

impl State {
    /// Its name in JSON and tables.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// What a job did for one user.
#[derive(Debug)]
pub struct UserOutcome {
    /// The user, as named.
    pub user: String,
    /// How it went.
    pub state: State,
    /// The new snapshot; of several the first.
    pub snapshot: Option<(FileId, Snapshot)>,
    /// What became of it in each repository; empty if it did not get that far.
    pub places: Vec<Placed>,
    /// The tarball it was made from.
    pub tarball: Option<String>,
    /// Size of that tarball.
    pub tarball_bytes: u64,
    /// Tarballs that the cleanup removed, oldest first.
    pub removed: Vec<String>,
    /// What went wrong without stopping the job, one line each.
    pub warnings: Vec<String>,
    /// What is worth knowing and no fault.
    pub notes: Vec<String>,
    /// How long it took.
    pub milliseconds: u64,
}

impl UserOutcome {
    /// An outcome without a snapshot.
    pub fn without(user: impl Into<String>, state: State) -> Self {
        Self {
            user: user.into(),
            state,
            snapshot: None,
            places: Vec::new(),
            tarball: None,
            tarball_bytes: 0,
            removed: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            milliseconds: 0,
        }
    }

    /// Why it is not a plain success, one line each.
    pub fn reasons(&self) -> Vec<String> {
        match &self.state {
            State::Succeeded => Vec::new(),
            State::Partial => self.warnings.clone(),
            State::Failed(error) | State::Skipped(error) => vec![error.one_line()],
        }
    }
}

/// What a job did for a user in one repository.
#[derive(Debug)]
pub struct Placed {
    /// The repository's name.
    pub repository: String,
    /// The snapshot, if there is one.
    pub snapshot: Option<(FileId, Snapshot)>,
    /// What is not in it, or why there is none, one line each.
    pub warnings: Vec<String>,
}

impl Placed {
    /// How it went there, as [`State::word`] says it.
    pub fn word(&self) -> &'static str {
        match (&self.snapshot, self.warnings.is_empty()) {
            (None, _) => "failed",
            (Some(_), false) => "partial",
            (Some(_), true) => "succeeded",
        }
    }
}

/// What a job did for all its users.
#[derive(Debug, Default)]
pub struct RunReport {
    /// One per user, in the order of the work.
    pub users: Vec<UserOutcome>,
    /// Whether it was stopped on request.
    pub cancelled: bool,
}

impl RunReport {
    /// How many users ended in this state, by its word.
    pub fn count(&self, word: &str) -> usize {
        self.users.iter().filter(|one| one.state.word() == word).count()
    }

    /// The kind of failure the exit code stands for; `None` if all went well. A single user's
    /// failure keeps its own kind; a user that policy leaves out of many is no failure.
    pub fn kind(&self) -> Option<Kind> {
        if self.cancelled {
            return Some(Kind::Cancelled);
        }
        if let [only] = self.users.as_slice() {
            return match &only.state {
                State::Succeeded => None,
                State::Partial => Some(Kind::Partial),
                State::Failed(error) | State::Skipped(error) => Some(error.kind()),
            };
        }
        let troubled = self.count("failed") + self.count("partial");
        (troubled > 0).then_some(Kind::Partial)
    }
}

/// Passes everything on and keeps the warnings as text: they are one user's reasons.
pub(crate) struct Gather<'m> {
    outer: &'m dyn Monitor,
    warnings: Mutex<Vec<String>>,
}

impl<'m> Gather<'m> {
    pub(crate) fn new(outer: &'m dyn Monitor) -> Self {
        Self { outer, warnings: Mutex::new(Vec::new()) }
    }

    /// The warnings so far; of very many the first ones and a word on the rest.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gather<'_> {
    /// Keeps what has been told already.
    pub(crate) fn keep(&self, line: String) {
        let mut kept = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.len() {
            count if count < limits::REASONS_MAX => kept.push(line),
            limits::REASONS_MAX => kept.push("... and more; the log has them all".to_owned()),
            _ => {}
        }
    }
}

impl Monitor for Gather<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.outer.count(counter, n);
    }

    fn warn(&self, warning: Error) {
        self.keep(warning.one_line());
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
    use crate::base::monitor::Collect;

    fn outcome(state: State) -> UserOutcome {
        UserOutcome::without("x", state)
    }

    fn kind(states: Vec<State>) -> Option<Kind> {
        RunReport { users: states.into_iter().map(outcome).collect(), cancelled: false }.kind()
    }

    #[test]
    fn the_exit_code_tells_whether_all_went_well() {
        let failed = || State::Failed(Error::new(Kind::Disk, "x"));
        let skipped = || State::Skipped(Error::new(Kind::Suspended, "x"));
        assert_eq!(kind(vec![]), None);
        assert_eq!(kind(vec![State::Succeeded, skipped()]), None);
        assert_eq!(kind(vec![skipped()]), Some(Kind::Suspended));
        assert_eq!(kind(vec![failed()]), Some(Kind::Disk));
        assert_eq!(kind(vec![State::Partial]), Some(Kind::Partial));
        assert_eq!(kind(vec![State::Succeeded, failed()]), Some(Kind::Partial));
        assert_eq!(kind(vec![failed(), failed()]), Some(Kind::Partial));
    }

    #[test]
    fn warnings_are_passed_on_and_kept_within_bounds() {
        let all = Collect::default();
        let gather = Gather::new(&all);
        for _ in 0..limits::REASONS_MAX + 5 {
            gather.warn(Error::new(Kind::Disk, "read x"));
        }
        assert_eq!(gather.warnings().len(), limits::REASONS_MAX + 1);
        assert_eq!(all.warnings().len(), limits::REASONS_MAX + 5);
    }
}
