// SPDX-License-Identifier: MIT
//! Gives a user back: a native tarball for Hestia's `v-restore-user`, checked before and
//! compared with the result afterwards. Configuration is restored by Hestia itself; what it
//! swallows is found out and said.

use super::findings::{self, Finding};
use super::outlook::{Outlook, Subject};
use super::report::Gather;
use super::restore_steps::{Job, Muted};
use super::safety::{Safety, Saved};
use super::verify::Restored;
use super::{News, Server, databases_in_place, manage};
use crate::base::monitor::Stage;
use crate::base::{Counter, Error, FileId, Kind, Monitor, Result};
use crate::format::Snapshot;
use crate::format::snapshot::Object;
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::hestia::select::Sections;
use crate::repo::IndexedRepository;
use std::cell::RefCell;

/// What to restore, and how far to go.
#[derive(Debug, Clone, Default)]
pub struct RestoreRequest {
    /// Which snapshot: id, prefix, name or `latest`.
    pub snapshot: String,
    /// The user it was taken of, if that is another one than the user to restore.
    pub from: Option<UserName>,
    /// What of it.
    pub sections: Sections,
    /// Somebody said that what the user has now may be replaced.
    pub confirmed: bool,
    /// Take the snapshot of an earlier user of this name.
    pub force: bool,
    /// Let a user that is made anew be the administrator the snapshot says. Without it nobody
    /// becomes one by a restore.
    pub admin: bool,
    /// Notify the user in the panel.
    pub notify: bool,
    /// Which way the content takes.
    pub through: Through,
    /// Take over what a tarball from elsewhere adds to the configuration of servers.
    pub trust_config: bool,
    /// Do not save before what will be overwritten.
    pub no_safety: bool,
}

/// Which way sites, mailboxes and the home take from the repository to their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Through {
    /// Straight; Hestia gets the configuration alone.
    #[default]
    Place,
    /// Through a tarball with everything in it, which Hestia unpacks.
    Tarball,
}

impl Through {
    /// Reads the word of the command line.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "tarball" => Some(Self::Tarball),
            "place" => Some(Self::Place),
            _ => None,
        }
    }
}

/// What a restore did.
#[derive(Debug)]
pub struct RestoreReport {
    /// The user.
    pub user: UserName,
    /// The snapshot.
    pub snapshot: (FileId, Snapshot),
    /// Whether the user was made anew.
    pub created: bool,
    /// Every object that was asked for, and whether it is back.
    pub objects: Vec<Restored>,
    /// What takes it back.
    pub safety: Option<Safety>,
    /// Size of the tarball that Hestia was given.
    pub tarball_bytes: u64,
    /// What went wrong beside, one line each.
    pub warnings: Vec<String>,
    /// What is otherwise than it was, one line each.
    pub changes: Vec<String>,
    /// How long it took.
    pub milliseconds: u64,
}

impl RestoreReport {
    /// The objects that are not back.
    pub fn problems(&self) -> impl Iterator<Item = (&Object, &str)> {
        self.objects.iter().filter_map(|one| Some((&one.object, one.problem.as_deref()?)))
    }

    /// The kind of failure the exit code stands for; `None` if everything is back and proven.
    pub fn kind(&self) -> Option<Kind> {
        let clean = self.warnings.is_empty() && self.problems().next().is_none();
        (!clean).then_some(Kind::Partial)
    }
}

/// Restores a user, or parts of one. The user may be gone. Fails before anything has changed, or
/// reports object by object what became of it.
pub fn restore(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &RestoreRequest,
    monitor: &dyn Monitor,
) -> Result<RestoreReport> {
    let started = server.world.ticks();
    let gather = Gather::new(monitor);
    let _lock = server.lock(user, "a restore")?;
    let from = request.from.as_ref().unwrap_or(user);
    let (id, snapshot) = manage::find(repository, from, &request.snapshot, monitor)?;
    monitor.stage(Stage::Object(format!("user {user} from {}", snapshot.name)));
    let created = check_allowed(server, user, from, &snapshot, request)?;
    databases_in_place::finish_killed(server, user, &gather)?;
    let subject = Subject { server, repository, user, from, snapshot: &snapshot, request };
    let (plans, found) = subject.look(&Muted(monitor))?;
    let is_overruled = |one: &Finding| request.force && one.stops == Some(Kind::Exists);
    let found: Vec<Finding> = found.into_iter().filter(|one| !is_overruled(one)).collect();
    if let Some(error) = findings::as_error(user, &found) {
        return Err(error);
    }
    let changes = told(&found, monitor);
    let saved = if created { Saved::default() } else { subject.save(&id, &plans, monitor)? };
    let request = &RestoreRequest { sections: saved.left(&request.sections), ..request.clone() };
    let mut job = Job {
        server,
        repository,
        user,
        from,
        snapshot: &snapshot,
        request,
        undoes: None,
        partial: RefCell::default(),
    };
    let files = plans.iter().map(|plan| plan.created + plan.overwritten).sum();
    let total = Some((Counter::FilesRestored, files));
    monitor.stage(Stage::Step { name: "restoring", total });
    let done = job.run(&gather);
    let (objects, tarball_bytes) = match done {
        Ok((objects, bytes)) => {
            let objects = job.roll_back(objects, &saved, &gather);
            (saved.with_refused(objects), bytes)
        }
        Err(error) => {
            saved.forget(repository, monitor);
            let text = format!("Ghostsnap restored nothing: {}", error.one_line());
            let asked_for = request.notify;
            let news = News { topic: "Restore failed", text, is_problem: true, asked_for };
            server.tell(user, &news, monitor);
            return Err(error);
        }
    };
    let spent = server.world.ticks().saturating_sub(started);
    let report = RestoreReport {
        user: user.clone(),
        snapshot: (id, snapshot),
        created: created && inventory::exists(&server.hestia, user),
        objects,
        safety: saved.safety,
        tarball_bytes,
        warnings: gather.warnings(),
        changes,
        milliseconds: u64::try_from(spent.as_millis()).unwrap_or(u64::MAX),
    };
    server.tell(user, &news_of(&report, request.notify), monitor);
    Ok(report)
}

/// Looks at what a restore would do, and at what stands in its way. Changes nothing.
pub fn preview(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &RestoreRequest,
    monitor: &dyn Monitor,
) -> Result<Outlook> {
    let from = request.from.as_ref().unwrap_or(user);
    let (id, snapshot) = manage::find(repository, from, &request.snapshot, monitor)?;
    request.sections.check_against(&snapshot.objects)?;
    let agreed = RestoreRequest { confirmed: true, ..request.clone() };
    let refused = check_allowed(server, user, from, &snapshot, &agreed).err();
    let subject = Subject { server, repository, user, from, snapshot: &snapshot, request };
    let (mut plans, mut findings) = subject.look(monitor)?;
    subject.name_tables((&mut plans, &mut findings), monitor)?;
    if let Some(error) = refused {
        let first = Finding::from_error(&error);
        // The look has found the same, if it is about an object.
        findings.retain(|one| one.why != first.why);
        findings.insert(0, first);
    }
    Ok(Outlook { snapshot: (id, snapshot), plans, findings })
}

/// What will be otherwise than it was is worth knowing and no fault.
fn told(found: &[Finding], monitor: &dyn Monitor) -> Vec<String> {
    let line = |one: &Finding| {
        let mend = if one.mend.is_empty() { String::new() } else { format!(" ({})", one.mend) };
        format!("{}: {}{mend}", one.name(), one.why)
    };
    let changes: Vec<String> = found.iter().map(line).collect();
    for change in &changes {
        monitor.stage(Stage::Note(change.clone()));
    }
    changes
}

fn news_of(report: &RestoreReport, asked_for: bool) -> News<'static> {
    let name = &report.snapshot.1.name;
    let mut problems: Vec<String> = report
        .problems()
        .map(|(object, why)| format!("{} {}: {why}", object.section, object.name))
        .collect();
    problems.extend(report.warnings.iter().cloned());
    if problems.is_empty() {
        let text = format!("Ghostsnap restored {name}.");
        return News { topic: "Restore done", text, is_problem: false, asked_for };
    }
    let some_are_back = report.objects.iter().any(|one| one.problem.is_none());
    let done = if some_are_back { "restored" } else { "began to restore" };
    let text = format!("Ghostsnap {done} {name}, but: {}", problems.join("; "));
    News { topic: "Restore incomplete", text, is_problem: true, asked_for }
}

/// What needs no look at the content. Says whether the user has to be made anew.
fn check_allowed(
    server: &Server,
    user: &UserName,
    from: &UserName,
    snapshot: &Snapshot,
    request: &RestoreRequest,
) -> Result<bool> {
    let what = || format!("restore the user {user}");
    if request.sections.is_nothing() {
        return Err(Error::new(Kind::Usage, what()).why("every section is given as 'no'"));
    }
    request.sections.check_against(&snapshot.objects)?;
    if !inventory::exists(&server.hestia, user) {
        server.hestia.check_installed()?;
        return Ok(true);
    }
    if inventory::user(&server.hestia, user)?.is_suspended() {
        return Err(Error::new(Kind::Suspended, what())
            .why("Hestia restores nothing for a suspended user")
            .hint(format!("v-unsuspend-user {user} lifts that")));
    }
    if user == from && !request.force {
        manage::check_same_person(server, user, snapshot)?;
    }
    if !request.confirmed && !request.force {
        return Err(Error::new(Kind::Usage, what())
            .why("it would replace what the user has now, and nobody agreed to that")
            .hint("--force agrees"));
    }
    Ok(false)
}
