// SPDX-License-Identifier: MIT
//! A rehearsal of a restore, which proves a backup: everything in a snapshot is rebuilt and thrown
//! away, the files that Hestia would have to understand are read as it reads them, each dump is
//! imported into a throw-away database and counted. Nothing of the user is touched, who need not
//! exist any more. What came of it is noted (see [`crate::hestia::records`]).

use super::rehearsal_databases::{self, Databases, Tried};
use super::rehearsal_parts::Parts;
use super::report::{Gather, State, UserOutcome};
use super::{Server, manage};
use crate::base::monitor::Stage;
use crate::base::units::number_of;
use crate::base::{Error, FileId, Kind, Monitor, Result, Within};
use crate::format::Snapshot;
use crate::hestia::import::Counted;
use crate::hestia::layout::UserName;
use crate::hestia::records::{Moment, Records, Rehearsed, kept_reasons};
use crate::ops::prove::prove;
use crate::repo::{IndexedRepository, Reader};

/// What is rehearsed.
#[derive(Debug, Clone)]
pub struct RehearsalRequest {
    /// Which snapshot: id, prefix, name or `latest`.
    pub snapshot: String,
    /// Leave the databases out: their dumps are only read.
    pub without_databases: bool,
}

/// What came of a rehearsal.
#[derive(Debug)]
pub struct Rehearsal {
    /// How it went, with the snapshot and the reasons.
    pub outcome: UserOutcome,
    /// Files that were rebuilt.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Databases that were imported.
    pub databases: u64,
    /// What was counted in those.
    pub counted: Counted,
}

impl Rehearsal {
    /// Whether it was stopped on request.
    pub fn is_cancelled(&self) -> bool {
        let state = &self.outcome.state;
        matches!(state, State::Failed(error) | State::Skipped(error)
            if error.kind() == Kind::Cancelled)
    }

    /// One that did not come to anything.
    pub(super) fn without(user: &UserName, state: State) -> Self {
        Self {
            outcome: UserOutcome::without(user.as_str(), state),
            files: 0,
            bytes: 0,
            databases: 0,
            counted: Counted::default(),
        }
    }
}

/// What was found.
#[derive(Default)]
struct Findings {
    /// What cannot be restored, one line each.
    failed: Vec<String>,
    /// What was not tried, or what the backup itself says that it lacks.
    skipped: Vec<String>,
    /// The failure that says what kind it is.
    kind: Option<Kind>,
}

impl Findings {
    fn fail(&mut self, kind: Kind, text: String) {
        self.kind = self.kind.or(Some(kind));
        self.failed.push(text);
    }
}

/// Rehearses the restore of a user. Fails if it could not be tried; what it found is the report's.
pub fn rehearse(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &RehearsalRequest,
    monitor: &dyn Monitor,
) -> Result<Rehearsal> {
    let _lock = rehearsal_databases::lock(server, user)?;
    rehearsal_databases::finish_killed(server, Some(user), monitor);
    let found = manage::find(repository, user, &request.snapshot, monitor)?;
    let started = server.world.ticks();
    let gather = Gather::new(monitor);
    let mut report = Rehearsal::without(user, State::Succeeded);
    let mut findings = Findings::default();
    let snapshot = &found.1;
    monitor.stage(Stage::Object(format!("user {user}, {}", snapshot.name)));
    let databases = files(repository, snapshot, &mut report, &mut findings, &gather)
        .within(|| format!("rehearse {}", snapshot.name))?;
    let reader = Reader::new(repository);
    let without = request.without_databases.then_some("left out on request");
    let names = databases.as_slice();
    let all = Databases { server, reader: &reader, snapshot, user, names, without };
    for name in names {
        let (bytes, tried) = all.try_one(name, &gather)?;
        if !matches!(tried, Tried::Failed(_)) {
            report.files += 1;
            report.bytes += bytes;
        }
        take(name, tried, snapshot, &mut report, &mut findings);
    }
    findings.skipped.extend(gather.warnings());
    if snapshot.is_partial() {
        let warnings = number_of(snapshot.warnings, "warning");
        findings.skipped.push(format!("the backup itself is not complete: it has {warnings}"));
    }
    let spent = server.world.ticks().saturating_sub(started);
    report.outcome.milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
    report.outcome.snapshot = Some(found.clone());
    note(server, repository, user, (&found, &report), &findings)
        .unwrap_or_else(|error| findings.skipped.push(told(&error, monitor)));
    report.outcome.state = state_of(user, snapshot, &findings);
    report.outcome.warnings = findings.skipped;
    Ok(report)
}

fn told(error: &Error, monitor: &dyn Monitor) -> String {
    monitor.warn(error.retold());
    error.one_line()
}

/// Rebuilds all files but dumps. Returns the names of the databases.
fn files(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    report: &mut Rehearsal,
    findings: &mut Findings,
    monitor: &dyn Monitor,
) -> Result<Vec<String>> {
    let parts = Parts::default();
    let total = Some((crate::base::Counter::BytesRestored, snapshot.totals.bytes));
    monitor.stage(Stage::Step { name: "rebuilding", total });
    let proof = prove(repository, snapshot, &parts, monitor)?;
    (report.files, report.bytes) = (proof.files, proof.bytes);
    for (path, error) in &proof.findings {
        findings.fail(error.kind(), format!("{path}: {}", error.one_line()));
    }
    let more = proof.found.saturating_sub(crate::base::units::bytes(proof.findings.len()));
    if more > 0 {
        findings.fail(Kind::Damaged, format!("{more} more files cannot be read"));
    }
    let told = parts.finish(snapshot);
    let is_readable = proof.found == 0;
    for problem in told.problems {
        // What a night left out the backup has said itself; and what lies in a folder that cannot
        // be read is named by that.
        match (snapshot.is_partial(), is_readable) {
            (false, true) => findings.fail(Kind::Parsing, problem),
            _ => findings.skipped.push(problem),
        }
    }
    Ok(told.databases)
}

/// Takes over what became of a database.
fn take(
    name: &str,
    tried: Tried,
    snapshot: &Snapshot,
    report: &mut Rehearsal,
    findings: &mut Findings,
) {
    match tried {
        Tried::Counted(counted) => {
            report.databases += 1;
            report.counted.tables += counted.tables;
            report.counted.rows += counted.rows;
        }
        Tried::Skipped(why) => {
            findings.skipped.push(format!("the database {name} was not imported: {why}"));
        }
        Tried::Failed(error) if error.kind() == Kind::NotFound && snapshot.is_partial() => {
            findings.skipped.push(error.one_line());
        }
        Tried::Failed(error) => findings.fail(error.kind(), error.one_line()),
    }
}

fn state_of(user: &UserName, snapshot: &Snapshot, findings: &Findings) -> State {
    if let Some(kind) = findings.kind {
        let what = format!("prove the backup {} of {user}", snapshot.name);
        return State::Failed(Error::new(kind, what).why(findings.failed.join("; ")));
    }
    if findings.skipped.is_empty() { State::Succeeded } else { State::Partial }
}

/// Notes what came of it.
fn note(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    (snapshot, report): (&(FileId, Snapshot), &Rehearsal),
    findings: &Findings,
) -> Result<()> {
    let records = Records::new(&server.settings.state_folder);
    let id = repository.config().repository_id;
    let moment = Moment::of(&snapshot.0, &snapshot.1.name, server.world.now());
    // What cannot be read is written anew in a moment.
    let before = records.rehearsed(&id, user, &crate::base::monitor::Collect::default());
    let state = state_of(user, &snapshot.1, findings);
    let success = match state {
        State::Succeeded => Some(moment.clone()),
        _ => before.and_then(|before| before.success),
    };
    let reasons = [findings.failed.as_slice(), findings.skipped.as_slice()].concat();
    let done = Rehearsed {
        moment,
        milliseconds: report.outcome.milliseconds,
        files: report.files,
        bytes: report.bytes,
        databases: report.databases,
        tables: report.counted.tables,
        rows: report.counted.rows,
        result: state.word().to_owned(),
        reasons: kept_reasons(&reasons),
        success,
    };
    records.note_rehearsal(&id, user, &done)
}
