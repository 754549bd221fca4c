// SPDX-License-Identifier: MIT
//! `ghostsnap hestia list-restores` and `undo-restore`.

use super::Context;
use super::args::Invocation;
use super::engine_look::day_and_time;
use super::panel::{open, server};
use super::repository;
use super::rows::Cell;
use crate::base::path::display_bytes;
use crate::base::units::{bytes, number_of};
use crate::base::{Error, Result};
use crate::format::snapshot::Object;
use crate::hestia::jobs::{self, RestoreJob, Safety, UndoReport, UndoRequest};
use crate::hestia::{UserName, inventory};

/// `ghostsnap hestia list-restores`.
pub fn list_restores(context: &Context, call: &Invocation) -> Result<()> {
    let user = UserName::parse(call.required("USER")?)?;
    let server = server(context, call)?;
    let progress = context.progress();
    let found = if repository::is_set_up(context, call, &server.settings, Some(&user))? {
        let repository = open(context, call, &server, Some(&user), false)?;
        jobs::list_restores(&server, &repository, &user, &progress)?
    } else {
        inventory::user(&server.hestia, &user)?;
        Vec::new()
    };
    progress.finish();
    let mut rows = context.output.rows(call.command().columns);
    for job in &found {
        rows.row(&restore_row(job))?;
    }
    rows.finish()?;
    context.output.note(&number_of(bytes(found.len()), "restore"));
    progress.partial("list all restores").map_or(Ok(()), Err)
}

fn restore_row(job: &RestoreJob) -> [Cell; 9] {
    let (day, time) = day_and_time(job.snapshot.time);
    let before = &job.before;
    let mut objects: Vec<String> = before.objects.iter().map(named).collect();
    if !before.table.is_empty() {
        objects = objects.into_iter().map(|one| format!("{one}.{}", before.table)).collect();
    }
    if let Some(place) = &before.place {
        objects = vec![display_bytes(&place.to)];
    }
    let created: Vec<String> = before.created.iter().map(named).collect();
    let snapshot = match job.restored.as_str() {
        "" => before.restored.to_string(),
        name => name.to_owned(),
    };
    [
        job.snapshot.name.as_str().into(),
        job.id.to_string().into(),
        day.into(),
        time.into(),
        before.command.as_str().into(),
        snapshot.into(),
        Cell::list(objects.iter().map(String::as_str)),
        Cell::list(created.iter().map(String::as_str)),
        job.undone_by.as_deref().unwrap_or_default().into(),
    ]
}

fn named(object: &Object) -> String {
    match object.section.as_str() {
        "CRON" => "CRON".to_owned(),
        "FILE" => object.name.clone(),
        section => format!("{section} {}", object.name),
    }
}

/// `ghostsnap hestia undo-restore`.
pub fn undo_restore(context: &Context, call: &Invocation) -> Result<()> {
    let user = UserName::parse(call.required("USER")?)?;
    let server = server(context, call)?;
    let repository = open(context, call, &server, Some(&user), false)?;
    let job = call.required("JOB")?;
    let dry_run = call.has("dry-run");
    if !dry_run {
        let question = format!("Undo the restore {job} of {user}?");
        context.confirm(call, &format!("undo a restore of {user}"), &question)?;
    }
    let request = UndoRequest {
        job: job.to_owned(),
        dry_run,
        notify: call.has("notify"),
        no_safety: call.has("no-safety"),
    };
    let progress = context.progress();
    let repository = repository.indexed_to_read("undo", &progress)?;
    let result = jobs::undo(&server, &repository, &user, &request, &progress);
    progress.finish();
    report(context, call, &result?, dry_run)
}

fn report(context: &Context, call: &Invocation, report: &UndoReport, dry_run: bool) -> Result<()> {
    let mut rows = context.output.rows(call.command().columns);
    for one in &report.objects {
        let result = match (&one.problem, one.removed, dry_run) {
            (Some(_), _, _) => "failed",
            (None, true, true) => "remove",
            (None, true, false) => "removed",
            (None, false, _) => "put back",
        };
        rows.row(&[
            named(&one.object).into(),
            result.into(),
            one.changes.as_str().into(),
            one.problem.as_deref().unwrap_or_default().into(),
            job_of(report.safety.as_ref()),
        ])?;
    }
    rows.finish()?;
    let name = &report.job.snapshot.name;
    let newer = match report.newer {
        0 => String::new(),
        count => format!("; {} newer and kept", number_of(count, "entry")),
    };
    let done = if dry_run { "nothing was changed of" } else { "undid" };
    context.output.note(&format!("{done} {name}{newer}"));
    tell_way_back(context, report.safety.as_ref());
    let Some(kind) = report.kind() else { return Ok(()) };
    let failed: Vec<String> = report
        .problems()
        .map(|(object, _)| named(object))
        .chain(report.warnings.iter().cloned())
        .collect();
    Err(Error::new(kind, format!("undo all of {name}")).why(failed.join("; ")))
}

/// The cell of a restore's name.
pub(super) fn job_of(safety: Option<&Safety>) -> Cell {
    safety.map_or_else(Cell::empty, |safety| safety.snapshot.name.as_str().into())
}

/// Says how a restore is taken back.
pub(super) fn tell_way_back(context: &Context, safety: Option<&Safety>) {
    if let Some(safety) = safety {
        context.output.note(&format!("{} takes it back", safety.undo_command()));
    }
}
