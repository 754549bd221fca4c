// SPDX-License-Identifier: MIT
//! Takes restores back. A restore saved before what it would overwrite ([`super::safety`]); that
//! comes back, and what the restore made goes (`put_back.rs`). An undo saves before what it
//! overwrites too, so it can be taken back like any restore.

use super::put_back::{PutBack, server_of};
use super::report::Gather;
use super::restore_steps::Muted;
use super::safety::{self, Intent, Safety};
use super::verify::Restored;
use super::{News, Server, databases_in_place, manage, restore_database};
use crate::base::monitor::Stage;
use crate::base::{Error, FileId, Kind, Monitor, RelPath, Result};
use crate::format::Snapshot;
use crate::format::snapshot::{Before, Object};
use crate::hestia::import_trace;
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::hestia::paths::{self, Meaning};
use crate::ops::restore::Report;
use crate::repo::{IndexedRepository, Repository, snapshots};
use std::cell::Cell;

/// The command that takes restores back, as what was saved before it names it.
pub const UNDO: &str = "undo-restore";

/// Which restore to take back.
#[derive(Debug, Clone, Default)]
pub struct UndoRequest {
    /// What was saved before it: id, prefix, name, or `latest` for the newest restore.
    pub job: String,
    /// Change nothing; say what would change.
    pub dry_run: bool,
    /// Notify the user in the panel.
    pub notify: bool,
    /// Do not save before what will be overwritten.
    pub no_safety: bool,
}

/// A restore that can be taken back.
#[derive(Debug, Clone)]
pub struct RestoreJob {
    /// The id of what was saved before it.
    pub id: FileId,
    /// That snapshot.
    pub snapshot: Snapshot,
    /// What was about to happen.
    pub before: Before,
    /// The name of what was restored; empty if that is gone.
    pub restored: String,
    /// The newest undo of it, if it was taken back.
    pub undone_by: Option<String>,
}

/// What an undo did, or would do, to one object or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The object; of files the section is `FILE`.
    pub object: Object,
    /// Whether it goes, because the restore made it.
    pub removed: bool,
    /// What changes in its files.
    pub changes: String,
    /// Why it is not as it was.
    pub problem: Option<String>,
}

/// What an undo did, or would do.
#[derive(Debug)]
pub struct UndoReport {
    /// The user.
    pub user: UserName,
    /// The restore that was taken back.
    pub job: RestoreJob,
    /// Object by object.
    pub objects: Vec<Undone>,
    /// Entries that are newer than the restore and stayed.
    pub newer: u64,
    /// What takes the undo back.
    pub safety: Option<Safety>,
    /// What went wrong beside, one line each.
    pub warnings: Vec<String>,
}

impl UndoReport {
    /// The objects that are not as they were.
    pub fn problems(&self) -> impl Iterator<Item = (&Object, &str)> {
        self.objects.iter().filter_map(|one| Some((&one.object, one.problem.as_deref()?)))
    }

    /// The kind of failure the exit code stands for; `None` if everything is as it was.
    pub fn kind(&self) -> Option<Kind> {
        let clean = self.warnings.is_empty() && self.problems().next().is_none();
        (!clean).then_some(Kind::Partial)
    }
}

/// The restores of the person who has this name today, oldest first.
pub fn list_restores(
    server: &Server,
    repository: &Repository,
    user: &UserName,
    monitor: &dyn Monitor,
) -> Result<Vec<RestoreJob>> {
    let identity = inventory::user(&server.hestia, user)?.identity;
    let all = repository.readable_snapshots(monitor)?;
    let own = |one: &Snapshot| {
        one.is_safety() && one.user == user.as_str() && manage::is_of_today(one, &identity)
    };
    let jobs: Vec<(&FileId, &Snapshot, &Before)> = all
        .iter()
        .filter(|(_, one)| own(one))
        .filter_map(|(id, one)| Some((id, one, one.before.as_ref()?)))
        .collect();
    let name_of = |id: &FileId| all.iter().find(|(one, _)| one == id).map(|(_, one)| &one.name);
    let undo_of = |id: &FileId| {
        let undo = jobs.iter().rfind(|(_, _, what)| what.command == UNDO && what.restored == *id);
        undo.map(|(_, one, _)| one.name.clone())
    };
    let job = |(id, snapshot, before): &(&FileId, &Snapshot, &Before)| RestoreJob {
        id: **id,
        snapshot: (*snapshot).clone(),
        before: (*before).clone(),
        restored: name_of(&before.restored).cloned().unwrap_or_default(),
        undone_by: undo_of(id),
    };
    Ok(jobs.iter().map(job).collect())
}

/// The restore that a person means.
fn find(all: Vec<RestoreJob>, user: &UserName, wanted: &str) -> Result<RestoreJob> {
    let what = || format!("find the restore '{}'", wanted.escape_debug());
    let hint = format!("v-ghostsnap-list-user-restores {user} lists them");
    if wanted == "latest" {
        let newest = all.into_iter().rfind(|job| job.before.command != UNDO);
        let newest = newest.ok_or_else(|| {
            Error::new(Kind::NotFound, what()).why(format!("nothing was restored for {user}"))
        })?;
        return refuse_undone(newest, user);
    }
    let listed: Vec<_> = all.iter().map(|job| (job.id, job.snapshot.clone())).collect();
    let (id, _) = snapshots::find(&listed, wanted, Some(user.as_str())).map_err(|error| {
        let kind = error.kind();
        Error::new(kind, what())
            .why(if kind == Kind::NotFound {
                "there is no restore of that id or name that could be undone"
            } else {
                "several ids start like this"
            })
            .hint(hint)
    })?;
    let found = all.iter().find(|job| job.id == *id).cloned();
    refuse_undone(found.ok_or_else(|| Error::new(Kind::NotFound, what()))?, user)
}

/// What was undone is not undone again: it would take away what has come since.
fn refuse_undone(job: RestoreJob, user: &UserName) -> Result<RestoreJob> {
    match &job.undone_by {
        None => Ok(job),
        Some(undo) => Err(Error::new(Kind::Exists, format!("undo {}", job.snapshot.name))
            .why("it has been undone already")
            .hint(format!("v-ghostsnap-undo-restore {user} {undo} takes that back"))),
    }
}

/// Takes a restore back. The user must be there and be the same person. Fails before anything has
/// changed, or reports object by object what became of it.
pub fn undo(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &UndoRequest,
    monitor: &dyn Monitor,
) -> Result<UndoReport> {
    let gather = Gather::new(monitor);
    let _lock = server.lock(user, "an undo")?;
    if inventory::user(&server.hestia, user)?.is_suspended() {
        return Err(Error::new(Kind::Suspended, format!("undo a restore of {user}"))
            .why("nothing is restored for a suspended user")
            .hint(format!("v-unsuspend-user {user} lifts that")));
    }
    if !request.dry_run {
        databases_in_place::finish_killed(server, user, &gather)?;
    }
    let all = list_restores(server, repository, user, &Muted(monitor))?;
    let job = find(all, user, &request.job)?;
    monitor.stage(Stage::Object(format!("{} of user {user}", job.snapshot.name)));
    let restored = repository.snapshot(&job.before.restored).ok();
    let work = Work { server, repository, user, job: &job, restored: restored.as_ref() };
    if request.dry_run {
        let (objects, newer) = work.look(&Muted(monitor))?;
        let (user, warnings) = (user.clone(), gather.warnings());
        return Ok(UndoReport { user, job, objects, newer, safety: None, warnings });
    }
    let safety = if request.no_safety || !server.settings.safety {
        None
    } else {
        Some(safety::take(server, repository, user, &work.intent()?, monitor)?)
    };
    let (objects, put_back) = work.run(safety.as_ref(), &gather);
    let (newer, is_untouched) = (put_back.newer.get(), put_back.untouched.get());
    // An undo that changed nothing is none: the restore can still be taken back.
    safety::forget(safety.as_ref().filter(|_| is_untouched), repository, &gather);
    let safety = safety.filter(|_| !is_untouched);
    let warnings = gather.warnings();
    let report = UndoReport { user: user.clone(), job, objects, newer, safety, warnings };
    server.tell(user, &news_of(&report, request.notify), monitor);
    Ok(report)
}

fn news_of(report: &UndoReport, asked_for: bool) -> News<'static> {
    let name = &report.job.snapshot.name;
    let mut problems: Vec<String> = report
        .problems()
        .map(|(object, why)| format!("{} {}: {why}", object.section, object.name))
        .collect();
    problems.extend(report.warnings.iter().cloned());
    if problems.is_empty() {
        let text = format!("Ghostsnap undid the restore {name}.");
        return News { topic: "Restore undone", text, is_problem: false, asked_for };
    }
    let text = format!("Ghostsnap undid the restore {name}, but: {}", problems.join("; "));
    News { topic: "Undo incomplete", text, is_problem: true, asked_for }
}

struct Work<'w> {
    server: &'w Server,
    repository: &'w IndexedRepository,
    user: &'w UserName,
    job: &'w RestoreJob,
    restored: Option<&'w Snapshot>,
}

impl Work<'_> {
    fn put_back(&self) -> PutBack<'_> {
        PutBack {
            server: self.server,
            repository: self.repository,
            user: self.user,
            safety: (&self.job.id, &self.job.snapshot),
            before: &self.job.before,
            restored: self.restored,
            newer: Cell::new(0),
            untouched: Cell::new(false),
            changed: Cell::new(0),
        }
    }

    /// What is saved before: an undo restores the snapshot that was saved before the restore.
    fn intent(&self) -> Result<Intent<'_>> {
        let before = &self.job.before;
        let place = match &before.place {
            None => None,
            Some(place) => {
                let to = RelPath::parse(&place.to)?;
                let from = match paths::meaning(&self.job.snapshot, &to) {
                    Ok(Meaning::At(from)) => from,
                    _ => RelPath::parse(b"user_dir")?.join_path(&to)?,
                };
                Some((from, to))
            }
        };
        let table_created = match before.objects.first() {
            Some(database) if !before.table.is_empty() && !before.table_created => {
                let name = &database.name;
                let server = server_of(self.server, self.user, name)?;
                restore_database::exists(&server, name)?
                    && !import_trace::has_table(&server, name, &before.table)?
            }
            _ => false,
        };
        Ok(Intent {
            command: UNDO,
            restored: (self.job.id, &self.job.snapshot),
            objects: before.objects.clone(),
            table: Some(before.table.clone()).filter(|table| !table.is_empty()),
            table_created,
            place,
            exact: false,
        })
    }

    fn run(&self, safety: Option<&Safety>, monitor: &dyn Monitor) -> (Vec<Undone>, PutBack<'_>) {
        let put_back = self.put_back();
        let before = &self.job.before;
        let refused = safety.map_or(&[][..], |safety| &safety.refused);
        let mut done: Vec<Undone> = refused
            .iter()
            .map(|(object, why)| {
                let error = safety::refusal(format!("undo {}", object.name), why);
                self.undone(object, String::new(), Some(error.one_line()))
            })
            .collect();
        let left: Vec<Object> = before
            .objects
            .iter()
            .filter(|one| !refused.iter().any(|(no, _)| no == *one))
            .cloned()
            .collect();
        let made = |object: &&Object| before.created.contains(object);
        if let (Some(place), true) = (&before.place, refused.is_empty()) {
            let to = RelPath::parse(&place.to).unwrap_or_default();
            let file = Object { section: "FILE".to_owned(), name: to.to_string() };
            let report = put_back.place(place, false, monitor);
            let problem = report.as_ref().err().map(Error::one_line);
            let failed_whole = match &report {
                Ok(report) => report.failed_whole(),
                // Each file was answered for; after any other error that is not known.
                Err(error) => {
                    let is_full = matches!(error.kind(), Kind::Disk | Kind::Limit);
                    is_full && put_back.changed.get() == 0
                }
            };
            put_back.untouched.set(failed_whole && before.created.is_empty());
            let changes = report.map(|report| counted(&report)).unwrap_or_default();
            done.push(Undone { object: file, removed: false, changes, problem });
            // Of an account that is there only mails came back; one that was made goes.
            let made: Vec<Object> = left.iter().filter(made).cloned().collect();
            done.extend(put_back.objects(&made, monitor).iter().map(|one| self.outcome(one)));
        } else if let (false, Some(database)) = (before.table.is_empty(), left.first()) {
            let result = put_back.table(&database.name, &before.table, monitor);
            let name = format!("{}.{}", database.name, before.table);
            let object = Object { section: "DB".to_owned(), name };
            let problem = result.err().map(|error| error.one_line());
            let removed = before.table_created;
            done.push(Undone { object, removed, changes: String::new(), problem });
        } else if before.place.is_none() {
            done.extend(put_back.objects(&left, monitor).iter().map(|one| self.outcome(one)));
        }
        (done, put_back)
    }

    fn outcome(&self, one: &Restored) -> Undone {
        self.undone(&one.object, String::new(), one.problem.clone())
    }

    fn undone(&self, object: &Object, changes: String, problem: Option<String>) -> Undone {
        let removed = self.job.before.created.contains(object);
        Undone { object: object.clone(), removed, changes, problem }
    }

    /// What an undo would do.
    fn look(&self, monitor: &dyn Monitor) -> Result<(Vec<Undone>, u64)> {
        let put_back = self.put_back();
        let before = &self.job.before;
        let mut found = Vec::new();
        if let Some(place) = &before.place {
            let report = put_back.place(place, true, monitor)?;
            let to = RelPath::parse(&place.to).unwrap_or_default();
            let object = Object { section: "FILE".to_owned(), name: to.to_string() };
            found.push(self.undone(&object, counted(&report), None));
        }
        for object in &before.objects {
            let is_new = before.created.contains(object);
            if before.place.is_some() && !is_new {
                continue;
            }
            let counts = if is_new && object.section != "UDIR" {
                String::new()
            } else {
                counted(&put_back.look(object, monitor)?)
            };
            found.push(self.undone(object, counts, None));
        }
        Ok((found, put_back.newer.get()))
    }
}

fn counted(report: &Report) -> String {
    format!(
        "{} created, {} overwritten, {} removed, {} newer and kept",
        report.created, report.overwritten, report.removed, report.newer
    )
}
