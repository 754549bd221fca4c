// SPDX-License-Identifier: MIT
//! `ghostsnap hestia restore-database`.

use super::Context;
use super::args::Invocation;
use super::engine_look::day_and_time;
use super::panel::{open, server};
use super::panel_look::{find, visible};
use super::panel_restore::report_outlook;
use super::panel_undo::{job_of, tell_way_back};
use crate::base::units::number_of;
use crate::base::{Error, FileId, Kind, Result};
use crate::hestia::jobs::{self, DatabaseRequest};
use crate::hestia::{UserName, import::Orphans, inventory};

/// Restores a database, or a table of it.
pub fn restore_database(context: &Context, call: &Invocation) -> Result<()> {
    let user = UserName::parse(call.required("USER")?)?;
    let server = server(context, call)?;
    let repository = open(context, call, &server, Some(&user), false)?;
    let progress = context.progress();
    let all = visible(call, &server, &repository, Some(&user), &progress)?;
    let wanted = call.required("SNAPSHOT")?;
    let (id, snapshot) = find(call, &all, wanted, Some(user.as_str()))?.clone();
    let request = request_of(call, &id)?;
    let lists = |name: &str| -> Result<bool> {
        let found = inventory::of_user(&server.hestia, &user)?;
        Ok(found.databases.iter().any(|one| one.name == name))
    };
    let dry_run = call.has("dry-run");
    if !dry_run && request.new_name.is_none() && lists(&request.database)? {
        let (day, time) = day_and_time(snapshot.time);
        let what = match &request.table {
            Some(table) => format!("the table {table} of {}", request.database),
            None => format!("the database {}", request.database),
        };
        let question = format!("Replace {what} by what it was on {day} at {time}?");
        context.confirm(call, &format!("restore {what}"), &question)?;
    }
    let repository = if dry_run {
        repository.indexed_to_look(&progress)?
    } else {
        repository.indexed_to_read("restore", &progress)?
    };
    if dry_run {
        let outlook = jobs::preview_database(&server, &repository, &user, &request, &progress);
        progress.finish();
        return report_outlook(context, call, &user, &outlook?);
    }
    let result = jobs::restore_database(&server, &repository, &user, &request, &progress);
    progress.finish();
    let report = result?;
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[
        format!("DB {}", report.name).into(),
        "restored".into(),
        report.warnings.join("; ").into(),
        job_of(report.safety.as_ref()),
    ])?;
    rows.finish()?;
    let made = if report.created { ", which was made anew" } else { "" };
    let tables = number_of(report.tables, "table");
    context.output.note(&format!("restored {tables} of {}{made}", report.name));
    tell_way_back(context, report.safety.as_ref());
    if report.warnings.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Partial, format!("clean up after the restore of {}", report.name))
        .why(report.warnings.join("; ")))
}

/// What is asked for.
fn request_of(call: &Invocation, id: &FileId) -> Result<DatabaseRequest> {
    let text = |name: &str| call.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let request = DatabaseRequest {
        snapshot: id.to_string(),
        database: call.required("DATABASE")?.to_owned(),
        table: text("TABLE"),
        new_name: text("as"),
        // The panel acts for whoever has the name today, never for an earlier user of it.
        force: call.has("force") && call.shim().is_none(),
        notify: call.has("notify"),
        no_safety: call.has("no-safety"),
        orphans: if call.has("leave-orphans") { Orphans::Leave } else { Orphans::Refuse },
    };
    if request.orphans == Orphans::Leave && request.table.is_none() {
        return Err(Error::new(Kind::Usage, "leave rows that point at nothing")
            .why("--leave-orphans is for a single table")
            .hint("a whole database comes back as it was, whatever its rows point at"));
    }
    if request.new_name.is_some() && request.table.is_some() {
        return Err(Error::new(Kind::Usage, "restore a table beside the original")
            .why("--as makes a whole database")
            .hint("restore all of it with --as, and take the table from there"));
    }
    Ok(request)
}
