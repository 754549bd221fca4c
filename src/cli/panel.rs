// SPDX-License-Identifier: MIT
//! The commands for HestiaCP users, behind `ghostsnap hestia ...` and behind the panel's commands.
//! Options become requests to [`crate::hestia::jobs`], reports become rows.

use super::Context;
use super::args::Invocation;
use super::panel_look::{find, tell_unusable, visible};
use super::progress::Progress;
use super::repository;
use super::rows::Cell;
use crate::backend::throttle::Rates;
use crate::base::units::{ByteSize, bytes, length};
use crate::base::{Error, FileId, Kind, Monitor, Result, Within, limits};
use crate::format::snapshot::Snapshot;
use crate::hestia::inventory::SECTIONS;
use crate::hestia::jobs::{
    self, BackupRequest, ExportRequest, ImportRequest, RunReport, Server, State, UserOutcome,
};
use crate::hestia::select::Sections;
use crate::hestia::tarballs;
use crate::hestia::{BackupMode, Hestia, Settings, UserName};
use crate::repo::Repository;
use std::collections::BTreeMap;
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

/// `ghostsnap hestia backup`.
pub fn backup(context: &Context, call: &Invocation) -> Result<()> {
    let texts = |name| call.texts(name).into_iter().map(str::to_owned).collect::<Vec<String>>();
    let server = server(context, call)?;
    let request = BackupRequest {
        users: texts("user"),
        include: texts("include"),
        exclude: texts("exclude"),
        cleanup: call.has("cleanup"),
        keep_tarballs: call.number("keep-tarballs").map(crate::base::units::length),
        notify: call.has("notify"),
        tags: Vec::new(),
        mode: call.text("mode").and_then(BackupMode::parse),
        jobs: jobs(call, &server.settings)?,
        here: None,
        read_limit: match call.text("limit-read") {
            Some(rate) => Rates::parse(rate).within(|| "take --limit-read")?,
            None => server.settings.read_limit,
        },
    };
    if request.keep_tarballs.is_some() && !request.cleanup {
        return Err(Error::new(Kind::Usage, "leave a number of tarballs")
            .why("--keep-tarballs says how many --cleanup leaves, and that is not given")
            .hint("add --cleanup, which removes the others"));
    }
    server.hestia.check_installed()?;
    if request.users.is_empty() {
        tell_unusable(context, &server)?;
    }
    let progress = context.progress();
    let result = into_each(context, call, &server, request, &progress);
    progress.finish();
    let report = result?;
    let mut rows = context.output.rows(call.command().columns);
    for outcome in &report.users {
        rows.row(&backup_row(outcome))?;
    }
    rows.finish()?;
    tell_notes(context, &report);
    tell_sum(context, &progress, &report);
    ending(report, "back up every user")
}

/// Backs users up, each into the repository that the settings name for the user. A repository that
/// cannot be opened is the failure of its users, and not of the others.
fn into_each(
    context: &Context,
    call: &Invocation,
    server: &Server,
    mut request: BackupRequest,
    progress: &Progress<'_>,
) -> Result<RunReport> {
    let into_one = |request: &BackupRequest, user: Option<&UserName>| {
        let repository = open(context, call, server, user, true)?;
        let repository = repository.indexed_to_write("backup", progress)?;
        jobs::backup_users(server, &repository, request, progress)
    };
    let chosen = jobs::chosen_users(server, &request)?;
    let mut groups: BTreeMap<Option<&str>, Vec<UserName>> = BTreeMap::new();
    for user in chosen.users {
        let own = server.settings.repository_of(user.as_str()).filter(|_| !call.has("repository"));
        groups.entry(own).or_default().push(user);
    }
    if groups.len() < 2 {
        return into_one(&request, groups.values().next().and_then(|users| users.first()));
    }
    let mut whole = RunReport::default();
    for (name, error) in chosen.unknown {
        whole.users.push(UserOutcome::without(name, State::Failed(error)));
    }
    for users in groups.into_values() {
        request.here = Some(users.clone());
        let done = into_one(&request, users.first()).unwrap_or_else(|error| {
            let mut failed = RunReport::default();
            for user in users {
                let what = format!("back up the user {user}");
                let mut one = Error::new(error.kind(), what).why(error.reasons_or_what());
                if let Some(hint) = error.hint_text() {
                    one = one.hint(hint);
                }
                failed.users.push(UserOutcome::without(user.as_str(), State::Failed(one)));
            }
            failed.cancelled = error.kind() == Kind::Cancelled;
            failed
        });
        whole.users.extend(done.users);
        whole.cancelled |= done.cancelled;
    }
    Ok(whole)
}

/// What --jobs says, else the settings of this server.
fn jobs(call: &Invocation, settings: &Settings) -> Result<usize> {
    let Some(number) = call.number("jobs") else { return Ok(settings.jobs) };
    let most = limits::JOBS_MAX;
    let jobs = length(number);
    if (1..=most).contains(&jobs) {
        return Ok(jobs);
    }
    Err(Error::new(Kind::Invalid, "use this --jobs")
        .why(format!("it is a number from 1 to {most}")))
}

/// The columns of a backup and, without the last three and the stored size, of an import.
fn backup_row(outcome: &UserOutcome) -> [Cell; 12] {
    let (id, snapshot) =
        outcome.snapshot.as_ref().map_or((None, None), |(id, one)| (Some(id), Some(one)));
    let number = |number: fn(&Snapshot) -> u64| {
        snapshot.map_or_else(Cell::empty, |snapshot| number(snapshot).into())
    };
    [
        outcome.user.as_str().into(),
        outcome.state.word().into(),
        id.map(FileId::to_string).unwrap_or_default().into(),
        snapshot.map(|one| one.name.as_str()).unwrap_or_default().into(),
        number(|one| one.totals.bytes),
        number(|one| one.totals.bytes_new),
        number(|one| one.totals.bytes_stored),
        bytes(outcome.warnings.len()).into(),
        (outcome.milliseconds / 1000).into(),
        outcome.tarball.as_deref().unwrap_or_default().into(),
        Cell::list(outcome.removed.iter().map(String::as_str)),
        outcome.reasons().join("; ").into(),
    ]
}

/// What is worth knowing and no fault, such as a tarball that a cleanup left.
fn tell_notes(context: &Context, report: &RunReport) {
    for outcome in &report.users {
        for note in &outcome.notes {
            context.output.note(&format!("{}: {note}", outcome.user));
        }
    }
}

fn tell_sum(context: &Context, progress: &Progress<'_>, report: &RunReport) {
    let words = ["succeeded", "partial", "failed", "skipped"];
    let counts = words.map(|word| (report.count(word), word));
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    let snapshots = || report.users.iter().filter_map(|one| Some(&one.snapshot.as_ref()?.1));
    let size = snapshots().map(|one| one.totals.bytes).sum();
    let new = snapshots().map(|one| one.totals.bytes_new).sum();
    let stored = snapshots().map(|one| one.totals.bytes_stored).sum();
    context.output.note(&format!(
        "{}; {}; {} new, {} stored",
        counts.join(", "),
        progress.throughput(size),
        ByteSize(new),
        ByteSize(stored),
    ));
}

/// The error that a run ends with: of a single user the user's own.
fn ending(mut report: RunReport, what: &str) -> Result<()> {
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
        let [user, state, id, name, size, new, _, warnings, _, _, _, reason] = backup_row(&outcome);
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
    let repository = repository.indexed(&progress)?;
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
