// SPDX-License-Identifier: MIT
//! `ghostsnap hestia backup`: users into the repositories that are theirs. Users who share theirs
//! are backed up together, and each repository is opened once.

use super::Context;
use super::args::Invocation;
use super::panel::{backup_row, ending, id_of, name_of, server, tell_notes, tell_sum, total_of};
use super::panel_look::tell_unusable;
use super::places::{self, Place};
use super::progress::Progress;
use super::repository;
use super::rows::Cell;
use crate::backend::throttle::Rates;
use crate::base::units::{bytes, length};
use crate::base::{Error, Kind, Monitor, Result, Within, limits};
use crate::hestia::jobs::{self, BackupRequest, Placed, RunReport, Server, State, UserOutcome};
use crate::hestia::named::{DEFAULT, RepositoryName};
use crate::hestia::{BackupMode, Settings, UserName};
use std::collections::{BTreeMap, BTreeSet};

/// `ghostsnap hestia backup`.
pub fn backup(context: &Context, call: &Invocation) -> Result<()> {
    let texts = |name| call.texts(name).into_iter().map(str::to_owned).collect::<Vec<String>>();
    let server = server(context, call)?;
    let request = BackupRequest {
        users: texts("user"),
        include: texts("include"),
        exclude: texts("exclude"),
        cleanup: call.has("cleanup"),
        keep_tarballs: call.number("keep-tarballs").map(length),
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
        match outcome.places.as_slice() {
            [] | [_] => rows.row(&backup_row(outcome))?,
            several => {
                for (number, place) in several.iter().enumerate() {
                    rows.row(&placed_row(outcome, place, number == 0))?;
                }
            }
        }
    }
    rows.finish()?;
    tell_notes(context, &report);
    tell_sum(context, &progress, &report);
    ending(report, "back up every user")
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

/// The names or addresses of the repositories of a user; the first is the one that counts for
/// everything else.
fn repositories_of(call: &Invocation, settings: &Settings, user: &UserName) -> Vec<String> {
    let also = call.texts("also").into_iter().map(str::to_owned);
    let Some(text) = call.text("repository") else {
        let mut names = settings.repositories_of(user.as_str());
        if call.has("also") {
            names.truncate(1);
            names.extend(also);
        }
        return names;
    };
    // Names have no commas; a path or URL may.
    let is_list = RepositoryName::is_meant(text);
    let names: Vec<&str> = if is_list { text.split(',').collect() } else { vec![text] };
    names.into_iter().map(str::to_owned).chain(also).collect()
}

/// Repositories by name or address, behind whether the first is another one than everybody's.
type Meant = (bool, Vec<String>);

/// Backs users up, each into all the repositories that are meant for the user. One that cannot be
/// opened is the trouble of its users, and not of the others.
fn into_each(
    context: &Context,
    call: &Invocation,
    server: &Server,
    mut request: BackupRequest,
    progress: &Progress<'_>,
) -> Result<RunReport> {
    let chosen = jobs::chosen_users(server, &request)?;
    let settings = &server.settings;
    // The first repository of most users first.
    let mut groups: BTreeMap<Meant, Vec<UserName>> = BTreeMap::new();
    for user in chosen.users {
        let names = repositories_of(call, settings, &user);
        places::check_number(names.len())?;
        let is_own = names.first().is_some_and(|name| name != DEFAULT);
        groups.entry((is_own, names)).or_default().push(user);
    }
    let mut opened = Opened { context, call, settings, progress, places: BTreeMap::new() };
    let mut left: Vec<(Meant, Vec<UserName>)> = groups.into_iter().collect();
    if left.len() < 2 {
        let ((_, names), users) =
            left.pop().unwrap_or_else(|| ((false, vec![DEFAULT.to_owned()]), Vec::new()));
        let done = opened.back_up(server, &names, &request);
        return done.inspect_err(|error| jobs::note_failure(server, &users, error, progress));
    }
    let mut whole = RunReport::default();
    for (name, error) in chosen.unknown {
        whole.users.push(UserOutcome::without(name, State::Failed(error)));
    }
    left.reverse();
    while let Some(((_, names), users)) = left.pop() {
        request.here = Some(users.clone());
        let done = opened.back_up(server, &names, &request);
        let done = done.unwrap_or_else(|error| {
            jobs::note_failure(server, &users, &error, progress);
            all_failed(users, &error)
        });
        whole.users.extend(done.users);
        whole.cancelled |= done.cancelled;
        let later: BTreeSet<&String> = left.iter().flat_map(|((_, names), _)| names).collect();
        opened.places.retain(|name, _| later.contains(name));
    }
    Ok(whole)
}

/// The repositories of a run, opened when they are needed.
struct Opened<'o> {
    context: &'o Context,
    call: &'o Invocation,
    settings: &'o Settings,
    progress: &'o Progress<'o>,
    places: BTreeMap<String, Place>,
}

impl Opened<'_> {
    /// Backs up what the request means into these.
    fn back_up(
        &mut self,
        server: &Server,
        names: &[String],
        request: &BackupRequest,
    ) -> Result<RunReport> {
        let Self { context, call, settings, progress, .. } = *self;
        for name in names {
            if !self.places.contains_key(name) {
                let opened = repository::open_by_text(context, call, settings, name, true);
                let opened = opened.and_then(|one| one.indexed_to_write("backup", progress));
                let place = Place::of(Some(name), opened);
                // Of one that stands alone the person hears by the end of the run.
                if let (Err(error), true) = (&place.opened, names.len() > 1) {
                    progress.warn(place.told(error));
                }
                self.places.insert(name.clone(), place);
            }
        }
        let meant: Vec<&Place> = names.iter().filter_map(|name| self.places.get(name)).collect();
        let twice = places::the_same(&meant);
        for (place, error) in meant.iter().zip(&twice) {
            if let Some(error) = error {
                progress.warn(place.told(error));
            }
        }
        let mut places = Vec::with_capacity(meant.len());
        for (place, twice) in meant.into_iter().zip(&twice) {
            let repository = twice.as_ref().map_or_else(|| place.opened.as_ref(), Err);
            places.push(jobs::Place { name: &place.name, repository });
        }
        jobs::backup_users_into(server, &places, request, progress)
    }
}

/// The same failure for each of them.
fn all_failed(users: Vec<UserName>, error: &Error) -> RunReport {
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
}

/// What became of a user in one repository of several. What happened beside, in none of them, is
/// every one's; what was removed is named once.
fn placed_row(outcome: &UserOutcome, place: &Placed, is_first: bool) -> [Cell; 13] {
    let others = outcome.places.iter().flat_map(|one| &one.warnings);
    let others: BTreeSet<&String> = others.collect();
    let beside = outcome.warnings.iter().filter(|one| !others.contains(one));
    let beside: Vec<&String> = if place.snapshot.is_some() { beside.collect() } else { Vec::new() };
    let reasons: Vec<&str> = place.warnings.iter().chain(beside).map(String::as_str).collect();
    let word = if place.word() == "succeeded" && !reasons.is_empty() {
        State::Partial.word()
    } else {
        place.word()
    };
    let removed = outcome.removed.iter().filter(|_| is_first);
    let snapshot = place.snapshot.as_ref();
    [
        outcome.user.as_str().into(),
        word.into(),
        id_of(snapshot).into(),
        name_of(snapshot).into(),
        total_of(snapshot, |totals| totals.bytes),
        total_of(snapshot, |totals| totals.bytes_new),
        total_of(snapshot, |totals| totals.bytes_stored),
        bytes(reasons.len()).into(),
        (outcome.milliseconds / 1000).into(),
        outcome.tarball.as_deref().unwrap_or_default().into(),
        Cell::list(removed.map(String::as_str)),
        reasons.join("; ").into(),
        place.repository.as_str().into(),
    ]
}
