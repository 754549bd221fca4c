// SPDX-License-Identifier: MIT
//! What the restore of a database or a table would do, before anything is touched: which tables
//! and views would be made, overwritten and removed, and what stands in its way. The dump is read
//! to its end, so that one which is not whole is known before somebody counts on it.

use super::database_plan::Stored;
use super::findings::Finding;
use super::outlook::Outlook;
use super::plan::{Action, Plan};
use super::restore_database::{self, DatabaseRequest, Order, Ready};
use super::{Server, manage};
use crate::base::units::number_of;
use crate::base::{Kind, Monitor, Result, WhatIo};
use crate::format::snapshot::Object;
use crate::format::{Node, Snapshot};
use crate::hestia::database::{DatabaseRow, DatabaseServer};
use crate::hestia::dump_text::{Content, Watch};
use crate::hestia::import::{self, Estimate};
use crate::hestia::inventory::DbKind;
use crate::hestia::layout::UserName;
use crate::ops::restore::FileReader;
use crate::repo::{IndexedRepository, Reader};
use std::io::{self, Read};

/// Looks at what the restore of a database would do. Changes nothing.
pub fn preview_database(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &DatabaseRequest,
    monitor: &dyn Monitor,
) -> Result<Outlook> {
    let (id, snapshot) = manage::find(repository, user, &request.snapshot, monitor)?;
    let job =
        restore_database::DatabaseJob { server, repository, snapshot: &snapshot, user, from: user };
    let order = Order::of(request);
    let mut findings = Vec::new();
    if let Err(error) = restore_database::check_user(server, user, &snapshot, request) {
        findings.push(Finding::from_error(&error));
    }
    let mut plans = Vec::new();
    match Ready::find(&job, &order, monitor) {
        Err(error) => {
            let found = Finding::from_error(&error);
            findings.retain(|one| one.why != found.why);
            findings.push(found);
        }
        Ok(ready) => {
            let name = ready.plan.target.name.clone();
            let object = Object { section: "DB".to_owned(), name };
            let kind = ready.plan.target.kind;
            let content = content(repository, &ready.stored.dump, kind, monitor)?;
            findings.extend(obstacles(&ready, &content, &object));
            let tie = ties(&ready, &object)?;
            let is_known = |tie: &Finding| findings.iter().any(|one| one.why == tie.why);
            let tie = tie.filter(|tie| !is_known(tie));
            findings.extend(tie);
            plans.push(plan(&ready, &content, object)?);
        }
    }
    Ok(Outlook { snapshot: (id, snapshot), plans, findings })
}

/// What the dump makes.
fn content(
    repository: &IndexedRepository,
    dump: &Node,
    kind: DbKind,
    monitor: &dyn Monitor,
) -> Result<Content> {
    let reader = Reader::new(repository);
    let mut dump = FileReader::new(&reader, dump)?;
    let mut watch = Watch::new(&mut dump, kind);
    let mut piece = vec![0; 256 * 1024];
    loop {
        crate::base::monitor::check_cancelled(monitor)?;
        match watch.read(&mut piece) {
            Ok(0) => return watch.finish(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => drop(read.what_io(|| "read the dump")?),
        }
    }
}

const NOT_WHOLE: &str = "the closing line of its dump is missing, so it is not whole";
const OLDER: &str = "an older snapshot may have a sound dump";

fn obstacles(ready: &Ready<'_>, content: &Content, object: &Object) -> Vec<Finding> {
    let kind = ready.plan.target.kind;
    let mut found = Vec::new();
    let object = || Some(object.clone());
    if !content.is_whole {
        found.push(Finding::stop(object(), Kind::Db, NOT_WHOLE.to_owned(), OLDER));
    }
    if let Some(table) = ready.table {
        let is_meant = |one: &&String| import::is_meant(kind, table, one);
        let stored = content.tables.keys().find(is_meant);
        if let Some(name) = stored.filter(|name| content.trees.contains(*name)) {
            found.push(Finding::from_error(&import::not_whole(name)));
        }
        if stored.is_none() {
            let why = format!("its dump has no table {}", table.escape_debug());
            let mend = "--dry-run without the table names those it has";
            found.push(Finding::stop(object(), Kind::NotFound, why, mend));
        }
        if !ready.is_there {
            let why = "there is no such database to put a table into".to_owned();
            found.push(Finding::stop(object(), Kind::NotFound, why, "restore the whole database"));
        }
    }
    if ready.plan.target.is_suspended {
        let why = "it is suspended, and stays so".to_owned();
        found.push(Finding::change(object(), why, "v-unsuspend-database lifts that"));
    }
    for change in &ready.plan.changes {
        let why = format!("cannot {}: {}", change.what(), change.reasons());
        found.push(Finding::change(object(), why, change.hint_text().unwrap_or_default()));
    }
    found
}

/// What a table is tied to: how many rows would point at nothing is known when it is imported.
fn ties(ready: &Ready<'_>, object: &Object) -> Result<Option<Finding>> {
    let Some(table) = ready.table.filter(|_| ready.is_there) else { return Ok(None) };
    let (others, obstacle) = import::ties(&ready.server, &ready.plan.target.name, table)?;
    if let Some(error) = obstacle {
        return Ok(Some(Finding::from_error(&error)));
    }
    if others.is_empty() {
        return Ok(None);
    }
    let others: Vec<String> = others.iter().map(|name| name.escape_debug().to_string()).collect();
    let why = format!(
        "foreign keys of {} lead to it: rows there that need rows which the backup lacks would \
         stop the restore",
        others.join(", ")
    );
    Ok(Some(Finding::change(Some(object.clone()), why, "--leave-orphans leaves them so")))
}

fn plan(ready: &Ready<'_>, content: &Content, object: Object) -> Result<Plan> {
    let target = &ready.plan.target;
    let live =
        if ready.is_there { import::estimates(&ready.server, &target.name)? } else { Vec::new() };
    let mut plan = Plan::new(object, ready.is_there);
    add_tables(&mut plan, target.kind, (content, ready.table), &live);
    Ok(plan)
}

/// The plan of a database that a user's restore brings back, with its tables and views, and what
/// stands in its way. Fails if that cannot be known.
pub(super) fn plan_database(
    server: &Server,
    (repository, snapshot): (&IndexedRepository, &Snapshot),
    plan: &Plan,
    monitor: &dyn Monitor,
) -> Result<(Plan, Option<Finding>)> {
    let reader = Reader::new(repository);
    let stored = Stored::find(&reader, snapshot, &plan.object.name)?;
    let DatabaseRow { kind, host, .. } = &stored.database;
    let content = content(repository, &stored.dump, *kind, monitor)?;
    let mut live = Vec::new();
    if plan.exists {
        let server = DatabaseServer::find(&server.hestia, *kind, host)?.hearing(&monitor.stop());
        // A row whose database its server does not have holds nothing to overwrite.
        if restore_database::exists(&server, &plan.here)? {
            live = import::estimates(&server, &plan.here)?;
        }
    }
    let here = plan.here.clone();
    let mut named = Plan { here, ..Plan::new(plan.object.clone(), plan.exists) };
    add_tables(&mut named, *kind, (&content, None), &live);
    let unsound = || {
        let why = format!("it will be left alone: {NOT_WHOLE}");
        Finding::change(Some(plan.object.clone()), why, OLDER)
    };
    Ok((named, (!content.is_whole).then(unsound)))
}

fn add_tables(
    plan: &mut Plan,
    kind: DbKind,
    (content, table): (&Content, Option<&str>),
    live: &[Estimate],
) {
    let plain = |name: &str| import::plain_name(kind, name);
    let is_meant = |name: &str| table.is_none_or(|table| import::is_meant(kind, table, name));
    for (name, rows) in content.tables.iter().filter(|(name, _)| is_meant(name)) {
        let has = live.iter().find(|one| !one.is_view && plain(&one.name) == plain(name));
        let shown = plain(name).escape_debug().to_string();
        match has {
            None => plan.add(Action::Create, &format!("table {shown}")),
            Some(has) => {
                let rows = match (has.rows, kind) {
                    (Some(now), DbKind::Pgsql) => format!(", about {now} rows now, {rows} then"),
                    (Some(now), DbKind::Mysql) => format!(", about {now} rows now"),
                    (None, _) => String::new(),
                };
                plan.add(Action::Overwrite, &format!("table {shown}{rows}"));
            }
        }
    }
    if table.is_some() {
        return;
    }
    for name in &content.views {
        let has = live.iter().any(|one| one.is_view && plain(&one.name) == plain(name));
        let action = if has { Action::Overwrite } else { Action::Create };
        plan.add(action, &format!("view {}", plain(name).escape_debug()));
    }
    for one in live {
        let known = content.tables.keys().chain(&content.views);
        if known.into_iter().any(|name| plain(name) == plain(&one.name)) {
            continue;
        }
        let word = if one.is_view { "view" } else { "table" };
        let rows = one.rows.map(|rows| format!(", about {}", number_of(rows, "row")));
        let shown = plain(&one.name).escape_debug().to_string();
        plan.add(Action::Remove, &format!("{word} {shown}{}", rows.unwrap_or_default()));
    }
}
