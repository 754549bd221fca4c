// SPDX-License-Identifier: MIT
//! Notes of checks, prunes and copies, for `hestia repository-status`. They are taken of
//! repositories that this server knows, where it keeps notes already; a check of any other one
//! leaves none.

use super::Context;
use super::args::Invocation;
use super::engine_copy::{failures, in_short};
use super::repository::{self, Key, Meant};
use crate::base::monitor::Collect;
use crate::base::{Error, FileId, Kind, Monitor, Result};
use crate::hestia::jobs::health_places::{DAMAGED, note_of_check};
use crate::hestia::records::{Care, Records, Tended, kept_reasons, noted_time};
use crate::ops::check::{CheckReport, ReadData, Severity};
use crate::ops::copy::Copied;
use crate::repo::Repository;
use std::path::PathBuf;
use std::time::Duration;

/// A check, prune or copy that has begun.
pub struct Tending {
    /// Where notes are kept; nowhere on a machine that keeps none.
    folder: Option<PathBuf>,
    id: FileId,
    started: Duration,
}

impl Tending {
    /// Remembers what is tended, and when that began.
    pub fn begin(context: &Context, call: &Invocation, repository: &Repository) -> Self {
        let meant = repository::meant(context, call).ok();
        Self::of(context, call, meant.as_ref(), repository)
    }

    /// The same for a repository that is meant in another way.
    pub fn of(
        context: &Context,
        call: &Invocation,
        meant: Option<&Meant>,
        repository: &Repository,
    ) -> Self {
        // Who may not read the settings may not write notes either.
        let settings = repository::readable_settings(call).ok();
        let folder = settings.zip(meant).and_then(|(settings, meant)| {
            let is_known = !matches!(meant.key, Key::Asked) || meant.address == settings.repository;
            is_known.then_some(settings.state_folder)
        });
        let folder = folder.filter(|folder| folder.is_dir());
        Self { folder, id: repository.config().repository_id, started: context.world.ticks() }
    }

    /// Notes how a check ended.
    pub fn end_check(self, context: &Context, read: ReadData, result: &Result<CheckReport>) {
        let (result, reason) = match result {
            Err(error) if error.kind() == Kind::Cancelled => return,
            Err(error) => ("failed", error.one_line()),
            Ok(report) => {
                let damaged =
                    |severity| report.findings.iter().find(move |one| one.severity == severity);
                match (damaged(Severity::Damaged), damaged(Severity::Newer)) {
                    (Some(one), _) => (DAMAGED, format!("{}: {}", one.object, one.detail)),
                    (None, Some(one)) => ("partial", format!("{}: {}", one.object, one.detail)),
                    (None, None) => ("succeeded", String::new()),
                }
            }
        };
        let extent = match read {
            ReadData::None => "structure".to_owned(),
            ReadData::Percent(percent) => format!("{percent}% of the data"),
            ReadData::Part(part, parts) => format!("part {part} of {parts} of the data"),
            ReadData::All => "all data".to_owned(),
        };
        let done = self.done(context, result, extent, &reason);
        self.store(context, Care::Check, |before| {
            note_of_check(before, done, read == ReadData::All, context.world.now())
        });
    }

    /// Notes how a prune ended.
    pub fn end_prune(self, context: &Context, extent: String, error: Option<&Error>) {
        let (result, reason) = match error {
            Some(error) if error.kind() == Kind::Cancelled => return,
            Some(error) if error.kind() == Kind::Partial => ("partial", error.one_line()),
            Some(error) => ("failed", error.one_line()),
            None => ("succeeded", String::new()),
        };
        let done = self.done(context, result, extent, &reason);
        self.store(context, Care::Prune, |_| done);
    }

    /// Notes how a copy into it ended; `from` is what the other repository is called, `told` that
    /// there were warnings.
    pub fn end_copy(
        self,
        context: &Context,
        from: &str,
        result: &Result<Vec<Copied>>,
        told: Option<&Error>,
    ) {
        let (word, reason, extent) = match result.as_ref().map(|done| (done, failures(done))) {
            // One that is stopped every night would look as the last one that was not.
            Err(error) if error.kind() == Kind::Cancelled => {
                ("partial", error.one_line(), format!("from {from}"))
            }
            Err(error) => ("failed", error.one_line(), format!("from {from}")),
            Ok((done, failed)) => {
                let wrong = failed.as_ref().err().or(told);
                let reason = wrong.map(Error::one_line).unwrap_or_default();
                let word = if wrong.is_none() { "succeeded" } else { "partial" };
                (word, reason, format!("from {from}: {}", in_short(done)))
            }
        };
        let done = self.done(context, word, extent, &reason);
        self.store(context, Care::Copy, |_| done);
    }

    fn done(&self, context: &Context, result: &str, extent: String, reason: &str) -> Tended {
        let spent = context.world.ticks().saturating_sub(self.started);
        Tended {
            time: noted_time(context.world.now()),
            milliseconds: u64::try_from(spent.as_millis()).unwrap_or(u64::MAX),
            result: result.to_owned(),
            extent,
            reason: kept_reasons(&[reason.to_owned()]).concat(),
            damage: None,
        }
    }

    fn store(self, context: &Context, care: Care, note: impl FnOnce(Option<&Tended>) -> Tended) {
        let Some(folder) = self.folder else { return };
        let records = Records::new(&folder);
        let heard = Collect::default();
        let before = records.tended(care, &self.id, &heard);
        let stored = records.note_care(care, &self.id, &note(before.as_ref()));
        // Whoever may check a repository but is not root keeps no notes for root.
        let error = stored.err().filter(|error| error.kind() != Kind::Forbidden);
        if let Some(error) = error {
            heard.warn(error);
        }
        heard.into_warnings().iter().filter(|one| one.kind() != Kind::Forbidden).for_each(|one| {
            context.output.warning(one);
        });
    }
}
