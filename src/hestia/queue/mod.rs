// SPDX-License-Identifier: MIT
//! The queue of jobs. Whoever wants something that takes a while hands it in and goes on: a job is
//! a small file ([`job`], [`spool`]), and a runner ([`runner`], [`turn`]) works them off, each as a
//! process of its own ([`child`]) that notes how far it is ([`note`]). Customers whose cron runs
//! without rights hand in requests ([`request`]); what is due again and again, schedules do
//! ([`schedule`], [`when`]). The settings of all that are [`Rules`].
//!
//! Nothing here opens a repository or reads a key: what a job does is one of the panel's commands,
//! with its arguments, and this room does not know what that means.

pub mod child;
pub mod due;
pub mod job;
pub mod note;
pub mod request;
mod rules;
pub mod runner;
pub mod schedule;
pub mod spool;
pub mod turn;
pub mod when;

pub use job::{Job, JobId, JobKind, JobState, NewJob};
pub use note::Note;
pub use rules::Rules;
pub(super) use rules::{WrittenQueue, rules};
pub use spool::Spool;

use std::path::{Path, PathBuf};

/// The folders of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Where the jobs are, `/var/lib/ghostsnap/jobs`: root's alone.
    pub jobs: PathBuf,
    /// Where customers put their requests, `/var/spool/ghostsnap/requests`: everybody writes,
    /// nobody looks.
    pub requests: PathBuf,
    /// Where what was no request goes before it is removed.
    pub rubbish: PathBuf,
}

impl Folders {
    /// Those below a folder; `/` on a real machine.
    pub fn below(root: &Path) -> Self {
        Self {
            jobs: root.join("var/lib/ghostsnap/jobs"),
            requests: root.join("var/spool/ghostsnap/requests"),
            rubbish: root.join("var/spool/ghostsnap/rubbish"),
        }
    }
}
