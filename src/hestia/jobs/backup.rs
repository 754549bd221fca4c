// SPDX-License-Identifier: MIT
//! Backs users up, each by the tarball that Hestia makes of the user or straight from the live
//! user, and only then may older tarballs go. One user's failure never stops the others.

use super::backup_places::{Place, Places, proven};
use super::cleanup::{self, Cleanup};
use super::report::{Gather, RunReport, State, UserOutcome};
use super::several::{self, OneOfSeveral};
use super::{
    News, Server, backup_direct, backup_tarball, databases_in_place, free_name, last_run, retention,
};
use crate::base::monitor::{Scoped, Stage};
use crate::base::pace::Pace;
use crate::base::units::{ByteSize, number_of};
use crate::base::{Error, FileId, Kind, Monitor, Result, Within, limits};
use crate::format::Snapshot;
use crate::hestia::conf;
use crate::hestia::excludes::Excludes;
use crate::hestia::inventory::{self, User};
use crate::hestia::layout::UserName;
use crate::hestia::named::DEFAULT;
use crate::hestia::settings::{BackupMode, Suspended};
use crate::hestia::tarballs;
use crate::ops::{self, BackupOptions};
use crate::repo::{IndexedRepository, WriterOptions};
use crate::tree::Source;
use crate::tree::pace::Paced;
use std::sync::Arc;

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
    /// Most bytes a second that direct backups read, all together.
    pub read_limit: Option<ByteSize>,
    /// Users that are backed up at the same time; 0 means one.
    pub jobs: usize,
    /// Of the users that are meant, those whose backups go into this repository; all, if this does
    /// not say. Names that are nobody's are then somebody else's to report.
    pub here: Option<Vec<UserName>>,
}

/// Backs up every user that the request means into one repository.
pub fn backup_users(
    server: &Server,
    repository: &IndexedRepository,
    request: &BackupRequest,
    monitor: &dyn Monitor,
) -> Result<RunReport> {
    let place = Place { name: DEFAULT, repository: Ok(repository) };
    backup_users_into(server, &[place], request, monitor)
}

/// Backs up every user that the request means, several at a time if it says so, each into all of
/// the places at once. A place that is not there, or fails, is each user's trouble and not the end.
pub fn backup_users_into(
    server: &Server,
    places: &[Place<'_>],
    request: &BackupRequest,
    monitor: &dyn Monitor,
) -> Result<RunReport> {
    let mut chosen = chosen_users(server, request)?;
    if let Some(here) = &request.here {
        chosen.users.retain(|user| here.contains(user));
        chosen.unknown.clear();
    }
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
    let at_once = request.jobs.clamp(1, limits::JOBS_MAX).min(chosen.users.len().max(1));
    let pace = |limit: ByteSize| Pace::new(Arc::clone(&server.world), limit.0, monitor.stop());
    let run = Run {
        server,
        request,
        places: Places::look(places, monitor)?,
        pace: request.read_limit.map(pace).map(Arc::new),
        at_once,
    };
    let total = chosen.users.len();
    if at_once > 1 {
        monitor.stage(Stage::Step { name: "storing", total: None });
    }
    let outcomes = several::each(&chosen.users, at_once, |at, user| {
        monitor.stage(Stage::Object(format!("user {} of {total}: {user}", at + 1)));
        if at_once == 1 {
            return run.user(user, monitor);
        }
        run.user(user, &OneOfSeveral::new(user.as_str(), monitor))
    });
    for (user, outcome) in chosen.users.iter().zip(outcomes) {
        let outcome = outcome
            .unwrap_or_else(|error| UserOutcome::without(user.as_str(), State::Failed(error)));
        report.cancelled |= is_stop(&outcome.state);
        report.users.push(outcome);
    }
    Ok(report)
}

/// The users that a request means, and the names that are nobody's.
pub fn chosen_users(server: &Server, request: &BackupRequest) -> Result<inventory::Chosen> {
    inventory::choose(&server.hestia, &request.users, &request.include, &request.exclude)
}

/// What Hestia's exclusions keep out of a tarball of this user.
fn left_out_of_tarball(server: &Server, user: &UserName) -> Result<Vec<String>> {
    let rows = conf::read_rows(&server.hestia.user_file(user, "web.conf"))?.rows;
    let sites = rows.iter().filter_map(|row| row.get("DOMAIN").map(str::to_owned));
    let sites: Vec<String> = sites.collect();
    Ok(Excludes::of(&server.hestia, user)?.below_home_in_tarballs(&sites))
}

fn is_stop(state: &State) -> bool {
    matches!(state, State::Failed(error) | State::Skipped(error) if error.kind() == Kind::Cancelled)
}

/// What the backups of one run share.
struct Run<'r> {
    server: &'r Server,
    request: &'r BackupRequest,
    /// The repositories, and what was in them when the run began.
    places: Places<'r>,
    /// How fast live users are read, all of them together.
    pace: Option<Arc<Pace>>,
    /// How many users are backed up at the same time.
    at_once: usize,
}

impl Run<'_> {
    /// Backs one user up and tells Hestia how it went.
    fn user(&self, user: &UserName, monitor: &dyn Monitor) -> UserOutcome {
        let Self { server, request, .. } = self;
        if monitor.cancelled() {
            let stopped = Error::new(Kind::Cancelled, format!("back up the user {user}"));
            let state = State::Skipped(stopped.why("stopped on request"));
            return UserOutcome::without(user.as_str(), state);
        }
        let named = request.users.iter().any(|name| name == user.as_str());
        let mut is_busy = false;
        let started = server.world.ticks();
        let gather = Gather::new(monitor);
        let mut outcome = match skip_reason(server, user, named) {
            Ok(Some(error)) => UserOutcome::without(user.as_str(), State::Skipped(error)),
            Ok(None) => match server.lock(user, "a backup") {
                Ok(_lock) => {
                    // What a killed restore left half done would be stored like that.
                    let done = databases_in_place::finish_killed(server, user, &gather);
                    done.err().into_iter().for_each(|error| gather.warn(error));
                    self.tried(user, &gather).unwrap_or_else(|error| {
                        UserOutcome::without(user.as_str(), State::Failed(error))
                    })
                }
                Err(error) => {
                    is_busy = error.kind() == Kind::InUse;
                    UserOutcome::without(user.as_str(), State::Failed(error))
                }
            },
            Err(error) => UserOutcome::without(user.as_str(), State::Failed(error)),
        };
        outcome.warnings = gather.warnings();
        if matches!(outcome.state, State::Succeeded) && !outcome.warnings.is_empty() {
            outcome.state = State::Partial;
        }
        let spent = server.world.ticks().saturating_sub(started);
        outcome.milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
        // Whose backup is being made, or was stopped by a person, has not failed.
        let is_news = !is_busy && !matches!(outcome.state, State::Skipped(_));
        if is_news && !is_stop(&outcome.state) {
            server.tell_of_backup(user, &news_of(&outcome, request.notify), monitor);
            last_run::note(server, user, &outcome, monitor);
        }
        outcome
    }

    fn tried(&self, name: &UserName, monitor: &Gather<'_>) -> Result<UserOutcome> {
        let Self { server, request, .. } = self;
        let user = inventory::user(&server.hestia, name)?;
        let time = server.world.now();
        let mode = mode_of(server, request, name);
        let mut template = Snapshot {
            name: free_name(name, time, &self.places.snapshots_of(name))?,
            time,
            host: server.world.host(),
            user: name.to_string(),
            user_identity: user.identity.clone(),
            source: mode.word().to_owned(),
            tags: request.tags.clone(),
            ..Snapshot::default()
        };
        let mut outcome = UserOutcome::without(name.as_str(), State::Succeeded);
        outcome.places = match mode {
            BackupMode::Direct => {
                // What is found out before the first entry counts for the snapshot, too.
                let opening = Scoped::new(monitor);
                let source = backup_direct::open(server, &user, &opening)?;
                template.warnings = opening.warnings();
                template.left_out = source.left_out();
                let mut source = Paced::new(source, self.pace.clone());
                self.places
                    .store(name, &mut source, &self.options(template), monitor)
                    .within(|| format!("store the user {name}"))?
            }
            BackupMode::Tarball => {
                tarballs::check_kept_here(&server.hestia)?;
                let mut made = backup_tarball::make(server, &user, monitor)?;
                template.tags.extend(made.tags);
                template.left_out = left_out_of_tarball(server, name)?;
                let options = self.options(template);
                let stored = self
                    .places
                    .store(name, &mut made.source, &options, monitor)
                    .within(|| format!("store the tarball {}", made.file_name))?;
                outcome.tarball = Some(made.file_name);
                outcome.tarball_bytes = made.bytes;
                stored
            }
        };
        outcome.snapshot = outcome.places.iter().find_map(|place| place.snapshot.clone());
        check_same_user(server, &user, monitor);
        for place in self.places.complete(name, &outcome.places) {
            let whose =
                if self.places.count() > 1 { format!(" in {}", place.name) } else { String::new() };
            let dropped = retention::after_backup(server, place, &user, monitor);
            if dropped > 0 {
                let older = number_of(dropped, "older backup");
                outcome.notes.push(format!("dropped {older}{whose}"));
            }
        }
        if request.cleanup {
            self.clean_up(name, &mut outcome, monitor);
        }
        Ok(outcome)
    }

    /// Processors and memory are shared by the backups that run at the same time.
    fn options(&self, template: Snapshot) -> BackupOptions {
        let usual = options(self.server, template);
        let writers = self.at_once * self.places.count();
        let writer = WriterOptions { writers, ..usual.writer };
        let workers = (self.server.world.cores() / writers).max(1);
        BackupOptions { writer, workers, ..usual }
    }

    /// Thins out the tarballs of a user whose content is stored, in every repository if there are
    /// several.
    fn clean_up(&self, name: &UserName, outcome: &mut UserOutcome, monitor: &dyn Monitor) {
        let Self { server, request, .. } = self;
        if let Some(place) = outcome.places.iter().find(|place| place.snapshot.is_none()) {
            outcome.notes.push(format!("kept all tarballs: {} lacks a backup", place.repository));
            return;
        }
        let keep = request.keep_tarballs.unwrap_or(server.settings.keep_tarballs);
        let done = self
            .places
            .now(monitor)
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
}

/// How this server stores a source.
pub(super) fn options(server: &Server, template: Snapshot) -> BackupOptions {
    let level = server.settings.compression_level;
    let writer = WriterOptions { level, ..WriterOptions::default() };
    let usual = BackupOptions::new(template);
    let tripwire = usual.tripwire && server.settings.tripwire;
    BackupOptions { writer, tripwire, ..usual }
}

fn news_of(outcome: &UserOutcome, asked_for: bool) -> News<'static> {
    let name = outcome.snapshot.as_ref().map(|(_, one)| one.name.as_str()).unwrap_or_default();
    let reasons = last_run::told_to_customer(outcome);
    let places = outcome.places.iter().filter(|place| place.snapshot.is_some());
    let places: Vec<&str> = places.map(|place| place.repository.as_str()).collect();
    let places = match outcome.places.as_slice() {
        [] | [_] => String::new(),
        _ => format!(" in {}", places.join(" and ")),
    };
    let (topic, text) = match outcome.state {
        State::Succeeded => ("Backup made", format!("Ghostsnap made the backup {name}{places}.")),
        State::Partial => {
            let text = format!("Ghostsnap made the backup {name}{places}, but: {reasons}");
            ("Backup incomplete", text)
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

/// How a user is backed up: the command says, or else the settings.
fn mode_of(server: &Server, request: &BackupRequest, name: &UserName) -> BackupMode {
    request.mode.unwrap_or_else(|| server.settings.mode_of(name.as_str()))
}

/// Stores a source as a snapshot.
pub(super) fn store(
    repository: &IndexedRepository,
    source: &mut dyn Source,
    options: &BackupOptions,
    monitor: &dyn Monitor,
) -> Result<(FileId, Snapshot)> {
    monitor.stage(Stage::Step { name: "storing", total: None });
    let report = ops::backup(repository, source, options, monitor)?;
    proven(repository, &report)
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
