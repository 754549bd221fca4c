// SPDX-License-Identifier: MIT
//! The commands for HestiaCP users, behind `ghostsnap hestia ...` and behind the panel's commands.
//! Options become requests to [`crate::hestia::jobs`], reports become rows.

use super::Context;
use super::args::Invocation;
use super::panel_look::{find, visible};
use super::progress::Progress;
use super::repository;
use super::rows::Cell;
use crate::base::units::{ByteSize, bytes};
use crate::base::{Error, FileId, Kind, Monitor, Result};
use crate::format::snapshot::{Snapshot, Totals};
use crate::hestia::inventory::SECTIONS;
use crate::hestia::jobs::{
    self, ExportRequest, ImportRequest, RunReport, Server, State, UserOutcome,
};
use crate::hestia::select::Sections;
use crate::hestia::tarballs;
use crate::hestia::{Hestia, UserName};
use crate::repo::Repository;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The machine, as the options and settings describe it.
pub(super) fn server(context: &Context, call: &Invocation) -> Result<Server> {
    let hestia = call.path("hestia-below").map_or_else(Hestia::default, Hestia::below);
    let settings = repository::settings(call)?;
    Ok(Server::new(hestia, settings, Arc::clone(&context.world)))
}

pub(super) fn open(
    context: &Context,
    call: &Invocation,
    server: &Server,
    user: Option<&UserName>,
    make: bool,
) -> Result<Repository> {
    repository::open_of_server(context, call, &server.settings, user, make)
}

pub(super) fn user_of(call: &Invocation, name: &str) -> Result<Option<UserName>> {
    call.text(name).map(UserName::parse).transpose()
}

/// The columns of a backup into one repository and, without some of them, of an import.
pub(super) fn backup_row(outcome: &UserOutcome) -> [Cell; 13] {
    let place = outcome.places.first().map(|place| place.repository.as_str());
    [
        outcome.user.as_str().into(),
        outcome.state.word().into(),
        id_of(outcome.snapshot.as_ref()).into(),
        name_of(outcome.snapshot.as_ref()).into(),
        total_of(outcome.snapshot.as_ref(), |totals| totals.bytes),
        total_of(outcome.snapshot.as_ref(), |totals| totals.bytes_new),
        total_of(outcome.snapshot.as_ref(), |totals| totals.bytes_stored),
        bytes(outcome.warnings.len()).into(),
        (outcome.milliseconds / 1000).into(),
        outcome.tarball.as_deref().unwrap_or_default().into(),
        Cell::list(outcome.removed.iter().map(String::as_str)),
        outcome.reasons().join("; ").into(),
        place.unwrap_or_default().into(),
    ]
}

type Stored<'s> = Option<&'s (FileId, Snapshot)>;

pub(super) fn id_of(stored: Stored<'_>) -> String {
    stored.map(|(id, _)| id.to_string()).unwrap_or_default()
}

pub(super) fn name_of(stored: Stored<'_>) -> &str {
    stored.map(|(_, one)| one.name.as_str()).unwrap_or_default()
}

pub(super) fn total_of(stored: Stored<'_>, total: fn(&Totals) -> u64) -> Cell {
    stored.map_or_else(Cell::empty, |(_, one)| total(&one.totals).into())
}

/// What is worth knowing and no fault, such as a tarball that a cleanup left.
pub(super) fn tell_notes(context: &Context, report: &RunReport) {
    for outcome in &report.users {
        for note in &outcome.notes {
            context.output.note(&format!("{}: {note}", outcome.user));
        }
    }
}

pub(super) fn tell_sum(context: &Context, progress: &Progress<'_>, report: &RunReport) {
    let words = ["succeeded", "partial", "failed", "skipped"];
    let counts = words.map(|word| (report.count(word), word));
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    let snapshots = || report.users.iter().filter_map(|one| Some(&one.snapshot.as_ref()?.1));
    let size = snapshots().map(|one| one.totals.bytes).sum();
    // What went into further repositories went there as well.
    let further = |user: &UserOutcome, sum: fn(&Totals) -> u64| -> u64 {
        let places =
            user.places.iter().filter_map(|place| Some(&place.snapshot.as_ref()?.1.totals));
        let alone = user.snapshot.iter().map(|(_, one)| &one.totals);
        if user.places.is_empty() { alone.map(sum).sum() } else { places.map(sum).sum() }
    };
    let new = report.users.iter().map(|user| further(user, |totals| totals.bytes_new)).sum();
    let stored = report.users.iter().map(|user| further(user, |totals| totals.bytes_stored)).sum();
    context.output.note(&format!(
        "{}; {}; {} new, {} stored",
        counts.join(", "),
        progress.throughput(size),
        ByteSize(new),
        ByteSize(stored),
    ));
}

/// The error that a run ends with: of a single user the user's own.
pub(super) fn ending(mut report: RunReport, what: &str) -> Result<()> {
    let Some(kind) = report.kind() else { return Ok(()) };
    if report.users.len() == 1
        && let Some(UserOutcome { state: State::Failed(error) | State::Skipped(error), .. }) =
            report.users.pop()
    {
        return Err(error);
    }
    let words = ["failed", "partial"];
    let counts = words.map(|word| (report.count(word), word));
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    let why = match (report.cancelled, counts.is_empty()) {
        (true, _) => "stopped on request".to_owned(),
        (false, true) => "see the warnings above".to_owned(),
        (false, false) => format!("{}, see above", counts.join(", ")),
    };
    Err(Error::new(kind, what).why(why))
}

/// `ghostsnap hestia import`.
pub fn import(context: &Context, call: &Invocation) -> Result<()> {
    let wanted = user_of(call, "user")?;
    let server = server(context, call)?;
    let repository = open(context, call, &server, wanted.as_ref(), true)?;
    let progress = context.progress();
    let mut repository = repository.indexed_to_write("import", &progress)?;
    let request = ImportRequest { force: call.has("force"), tags: Vec::new() };
    let mut rows = context.output.rows(call.command().columns);
    let mut report = RunReport::default();
    for given in call.paths("TARBALL") {
        let path = tarball_path(&server.hestia, given);
        let result = check_owner(&path, wanted.as_ref())
            .and_then(|()| jobs::import(&server, &mut repository, &path, &request, &progress));
        let outcome = result.unwrap_or_else(|error| failed_import(&path, error));
        let [user, state, id, name, size, new, _, warnings, _, _, _, reason, _] =
            backup_row(&outcome);
        let tarball = given.as_os_str().as_bytes().into();
        rows.row(&[tarball, user, state, id, name, size, new, warnings, reason])?;
        report.users.push(outcome);
        report.cancelled |= progress.cancelled();
        if report.cancelled {
            break;
        }
    }
    progress.finish();
    rows.finish()?;
    tell_sum(context, &progress, &report);
    ending(report, "import every tarball")
}

/// A bare name means the folder of Hestia's backups.
fn tarball_path(hestia: &Hestia, given: &Path) -> PathBuf {
    match given.to_str() {
        Some(name) if !name.contains('/') => hestia.in_backup(name),
        _ => given.to_owned(),
    }
}

fn check_owner(path: &Path, wanted: Option<&UserName>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match tarballs::owner_of(name) {
        Some(user) if user != *wanted => {
            Err(Error::new(Kind::NotFound, format!("import {}", path.display()))
                .why(format!("it is not a tarball of the user {wanted}")))
        }
        _ => Ok(()),
    }
}

/// What is in the repository already is no failure of a run over many.
fn failed_import(path: &Path, error: Error) -> UserOutcome {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let user = tarballs::owner_of(name).map(|user| user.to_string()).unwrap_or_default();
    let state = match error.kind() {
        Kind::Exists => State::Skipped(error),
        _ => State::Failed(error),
    };
    UserOutcome::without(user, state)
}

/// What of the user is meant. Naming something of one section leaves the other sections out;
/// saying `no` to some takes all the others.
pub(super) fn sections(call: &Invocation) -> Result<Sections> {
    let options = SECTIONS.map(str::to_lowercase);
    let names_some = options.iter().any(|name| call.text(name).is_some_and(|word| word != "no"));
    let others = if names_some { "no" } else { "*" };
    let words = options.each_ref().map(|name| call.text(name).unwrap_or(others));
    Sections::parse(&words)
}

/// `ghostsnap hestia export`.
pub fn export(context: &Context, call: &Invocation) -> Result<()> {
    let user = UserName::parse(call.required("USER")?)?;
    let server = server(context, call)?;
    let sections = sections(call)?;
    let repository = open(context, call, &server, Some(&user), false)?;
    let progress = context.progress();
    let all = visible(call, &server, &repository, Some(&user), &progress)?;
    let wanted = call.required("snapshot")?;
    let (id, _) = find(call, &all, wanted, Some(user.as_str()))?;
    let repository = repository.indexed_to_read("export", &progress)?;
    let request = ExportRequest {
        snapshot: id.to_string(),
        sections,
        output: call.path("output").map(Path::to_owned),
        force: call.has("force"),
    };
    let result = jobs::export(&server, &repository, &user, &request, &progress);
    progress.finish();
    let exported = result?;
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[
        exported.path.as_os_str().as_bytes().into(),
        user.as_str().into(),
        exported.snapshot.0.to_string().into(),
        exported.bytes.into(),
    ])?;
    rows.finish()?;
    progress.partial("export everything").map_or(Ok(()), Err)
}

/// `ghostsnap hestia delete-backup`.
pub fn delete_backup(context: &Context, call: &Invocation) -> Result<()> {
    let user = user_of(call, "user")?;
    let server = server(context, call)?;
    let repository = open(context, call, &server, user.as_ref(), false)?;
    let progress = context.progress();
    let all = visible(call, &server, &repository, user.as_ref(), &progress)?;
    let mut going: Vec<&(FileId, Snapshot)> = Vec::new();
    for wanted in call.texts("SNAPSHOT") {
        if wanted == "latest" && user.is_none() {
            return Err(Error::new(Kind::Usage, "remove the latest snapshot")
                .why("it does not say whose")
                .hint("add --user"));
        }
        let found = find(call, &all, wanted, user.as_ref().map(UserName::as_str))?;
        if !going.iter().any(|(id, _)| *id == found.0) {
            going.push(found);
        }
    }
    let names: Vec<&str> = going.iter().map(|(_, one)| one.name.as_str()).collect();
    let question = format!("Remove {}?", names.join(", "));
    context.confirm(call, "remove snapshots", &question)?;
    let mut rows = context.output.rows(call.command().columns);
    for (id, snapshot) in going {
        let owner = UserName::parse(&snapshot.user)?;
        jobs::delete(&server, &repository, &owner, &id.to_string(), &progress)?;
        rows.row(&[
            id.to_string().into(),
            snapshot.name.as_str().into(),
            snapshot.user.as_str().into(),
        ])?;
    }
    progress.finish();
    rows.finish()
}
