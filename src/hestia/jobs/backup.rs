// SPDX-License-Identifier: MIT
//! Backs users up, each by the tarball that Hestia makes of the user or straight from the live
//! user, and only then may older tarballs go. One user's failure never stops the others.

use super::cleanup::{self, Cleanup};
use super::report::{Gather, RunReport, State, UserOutcome};
use super::{News, Server, backup_direct, backup_tarball, free_name};
use crate::base::monitor::{Scoped, Stage};
use crate::base::units::ByteSize;
use crate::base::{Error, FileId, Kind, Monitor, Result, Within};
use crate::format::Snapshot;
use crate::hestia::inventory::{self, User};
use crate::hestia::layout::UserName;
use crate::hestia::settings::{BackupMode, Suspended};
use crate::hestia::tarballs;
use crate::ops::{self, BackupOptions};
use crate::repo::{IndexedRepository, WriterOptions};
use crate::tree::Source;

/// Which users to back up, and what to do beside.
#[derive(Debug, Clone, Default)]
pub struct BackupRequest {
    /// Users by name.
    pub users: Vec<String>,
    /// Globs of further users; without these and without names, all users.
    pub include: Vec<String>,
    /// Globs of users to leave out.
    pub exclude: Vec<String>,
    /// Thin out the tarballs of each user whose backup is complete.
    pub cleanup: bool,
    /// How many tarballs a cleanup leaves; the settings say, if this does not.
    pub keep_tarballs: Option<usize>,
    /// Notify each user in the panel.
    pub notify: bool,
    /// Free labels for the snapshots.
    pub tags: Vec<String>,
    /// How users are backed up; the settings say, if this does not.
    pub mode: Option<BackupMode>,
    /// Most bytes a second that a direct backup reads.
    pub read_limit: Option<ByteSize>,
}

/// Backs up every user that the request means.
pub fn backup_users(
    server: &Server,
    repository: &mut IndexedRepository,
    request: &BackupRequest,
    monitor: &dyn Monitor,
) -> Result<RunReport> {
    let chosen =
        inventory::choose(&server.hestia, &request.users, &request.include, &request.exclude)?;
    super::download::remove_old(server, None, monitor);
    let mut report = RunReport::default();
    for (name, error) in chosen.unknown {
        report.users.push(UserOutcome::without(name, State::Failed(error)));
    }
    if chosen.users.is_empty() && report.users.is_empty() {
        return Err(Error::new(Kind::NotFound, "find users to back up")
            .why("no user of this Hestia is meant by the names and patterns given"));
    }
    let has_mode = |mode| chosen.users.iter().any(|user| mode_of(server, request, user) == mode);
    if has_mode(BackupMode::Tarball) && !has_mode(BackupMode::Direct) {
        tarballs::check_kept_here(&server.hestia)?;
    }
    if has_mode(BackupMode::Direct) {
        backup_direct::step_back(server, monitor);
    }
    let mut snapshots = repository.readable_snapshots(monitor)?;
    let total = chosen.users.len();
    for (at, user) in chosen.users.iter().enumerate() {
        monitor.stage(Stage::Object(format!("user {} of {total}: {user}", at + 1)));
        let outcome = if monitor.cancelled() {
            report.cancelled = true;
            let stopped = Error::new(Kind::Cancelled, format!("back up the user {user}"));
            UserOutcome::without(user.as_str(), State::Skipped(stopped.why("stopped on request")))
        } else {
            let named = request.users.iter().any(|name| name == user.as_str());
            one_user(server, repository, &mut snapshots, user, named, request, monitor)
        };
        report.cancelled |=
            matches!(&outcome.state, State::Failed(error) if error.kind() == Kind::Cancelled);
        report.users.push(outcome);
    }
    Ok(report)
}

/// Backs one user up and tells Hestia how it went.
fn one_user(
    server: &Server,
    repository: &mut IndexedRepository,
    snapshots: &mut Vec<(FileId, Snapshot)>,
    user: &UserName,
    named: bool,
    request: &BackupRequest,
    monitor: &dyn Monitor,
) -> UserOutcome {
    let started = server.world.ticks();
    let gather = Gather::new(monitor);
    let mut outcome = match skip_reason(server, user, named) {
        Ok(Some(error)) => UserOutcome::without(user.as_str(), State::Skipped(error)),
        Ok(None) => match tried(server, repository, snapshots, user, request, &gather) {
            Ok(outcome) => outcome,
            Err(error) => UserOutcome::without(user.as_str(), State::Failed(error)),
        },
        Err(error) => UserOutcome::without(user.as_str(), State::Failed(error)),
    };
    outcome.warnings = gather.warnings();
    if matches!(outcome.state, State::Succeeded) && !outcome.warnings.is_empty() {
        outcome.state = State::Partial;
    }
    let spent = server.world.ticks().saturating_sub(started);
    outcome.milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
    if !matches!(outcome.state, State::Skipped(_)) {
        server.tell(user, &news_of(&outcome, request.notify), monitor);
    }
    outcome
}

fn news_of(outcome: &UserOutcome, asked_for: bool) -> News<'static> {
    let name = outcome.snapshot.as_ref().map(|(_, one)| one.name.as_str()).unwrap_or_default();
    let reasons = outcome.reasons().join("; ");
    let (topic, text) = match outcome.state {
        State::Succeeded => ("Backup made", format!("Ghostsnap made the backup {name}.")),
        State::Partial => {
            ("Backup incomplete", format!("Ghostsnap made the backup {name}, but: {reasons}"))
        }
        _ => ("Backup failed", format!("Ghostsnap made no backup: {reasons}")),
    };
    News { topic, text, is_problem: !matches!(outcome.state, State::Succeeded), asked_for }
}

/// Why a user is left out of a run, if so. Naming a user overrides our own setting, not Hestia's.
fn skip_reason(server: &Server, name: &UserName, named: bool) -> Result<Option<Error>> {
    let user = inventory::user(&server.hestia, name)?;
    let skip = |kind, why: &str| {
        Ok(Some(Error::new(kind, format!("back up the user {name}")).why(why.to_owned())))
    };
    if user.is_suspended() {
        let policy = inventory::system_setting(&server.hestia, "POLICY_BACKUP_SUSPENDED_USERS")?;
        if policy != "yes" {
            return skip(
                Kind::Suspended,
                "the user is suspended, and Hestia's POLICY_BACKUP_SUSPENDED_USERS is not 'yes'",
            );
        }
        if server.settings.suspended_users == Suspended::Skip && !named {
            return skip(
                Kind::Suspended,
                "the user is suspended, and the settings leave such users out",
            );
        }
    }
    if user.tarballs_kept() == 0 {
        return skip(Kind::Disabled, "the user's package allows no backups (BACKUPS is 0)");
    }
    Ok(None)
}

fn tried(
    server: &Server,
    repository: &mut IndexedRepository,
    snapshots: &mut Vec<(FileId, Snapshot)>,
    name: &UserName,
    request: &BackupRequest,
    monitor: &dyn Monitor,
) -> Result<UserOutcome> {
    let _lock = server.lock(name, "a backup")?;
    let user = inventory::user(&server.hestia, name)?;
    let time = server.world.now();
    let mode = mode_of(server, request, name);
    let mut template = Snapshot {
        name: free_name(name, time, snapshots)?,
        time,
        host: server.world.host(),
        user: name.to_string(),
        user_identity: user.identity.clone(),
        source: mode.word().to_owned(),
        tags: request.tags.clone(),
        ..Snapshot::default()
    };
    let mut outcome = UserOutcome::without(name.as_str(), State::Succeeded);
    let stored = match mode {
        BackupMode::Direct => {
            // What is found out before the first entry counts for the snapshot, too.
            let opening = Scoped::new(monitor);
            let mut source = backup_direct::open(server, &user, request.read_limit, &opening)?;
            template.warnings = opening.warnings();
            store(server, repository, &mut source, template, monitor)
                .within(|| format!("store the user {name}"))?
        }
        BackupMode::Tarball => {
            tarballs::check_kept_here(&server.hestia)?;
            let mut made = backup_tarball::make(server, &user, monitor)?;
            template.tags.extend(made.tags);
            let stored = store(server, repository, &mut made.source, template, monitor)
                .within(|| format!("store the tarball {}", made.file_name))?;
            outcome.tarball = Some(made.file_name);
            outcome.tarball_bytes = made.bytes;
            stored
        }
    };
    snapshots.push(stored.clone());
    outcome.snapshot = Some(stored);
    check_same_user(server, &user, monitor);
    if request.cleanup {
        clean_up(server, repository, name, request, &mut outcome, monitor);
    }
    Ok(outcome)
}

/// Thins out the tarballs of a user whose content is stored.
fn clean_up(
    server: &Server,
    repository: &IndexedRepository,
    name: &UserName,
    request: &BackupRequest,
    outcome: &mut UserOutcome,
    monitor: &dyn Monitor,
) {
    let keep = request.keep_tarballs.unwrap_or(server.settings.keep_tarballs);
    // What is in the repository now, not what was when the run began: a forget may have been at
    // work meanwhile.
    let done = repository
        .readable_snapshots(monitor)
        .and_then(|proven| cleanup::cleanup(server, name, keep, &proven, monitor));
    match done {
        Ok(Cleanup { removed, kept }) => {
            outcome.removed = removed;
            let note = |(name, why): &(String, String)| format!("kept {name}: {why}");
            outcome.notes.extend(kept.iter().map(note));
        }
        Err(error) => monitor.warn(error.within("thin out the tarballs")),
    }
}

/// How a user is backed up: the command says, or else the settings.
fn mode_of(server: &Server, request: &BackupRequest, name: &UserName) -> BackupMode {
    request.mode.unwrap_or_else(|| server.settings.mode_of(name.as_str()))
}

/// Stores a source as a snapshot and makes its chunks known to what comes next.
pub(super) fn store(
    server: &Server,
    repository: &mut IndexedRepository,
    source: &mut dyn Source,
    template: Snapshot,
    monitor: &dyn Monitor,
) -> Result<(FileId, Snapshot)> {
    monitor.stage(Stage::Step { name: "storing", total: None });
    let writer =
        WriterOptions { level: server.settings.compression_level, ..WriterOptions::default() };
    let options = BackupOptions { writer, ..BackupOptions::new(template) };
    let report = ops::backup(repository, source, &options, monitor);
    let reloaded = repository.reload(monitor);
    let report = report?;
    reloaded?;
    let id = report.id.ok_or_else(|| Error::new(Kind::Internal, "find the new snapshot"))?;
    // What others are told is there must be there: read it once more, as a restore would.
    let read = repository.snapshot(&id)?;
    if read != report.snapshot {
        return Err(Error::new(Kind::Damaged, "read the new snapshot back"));
    }
    Ok((id, read))
}

/// A user can be removed, or removed and made anew, while the work goes on.
fn check_same_user(server: &Server, user: &User, monitor: &dyn Monitor) {
    let now = inventory::user(&server.hestia, &user.name).map(|now| now.identity);
    if now.is_ok_and(|identity| identity == user.identity) {
        return;
    }
    monitor.warn(
        Error::new(Kind::NotFound, format!("find the user {} after the backup", user.name))
            .why("the user was removed or made anew meanwhile; the backup is of the one before"),
    );
}
