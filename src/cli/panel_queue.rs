// SPDX-License-Identifier: MIT
//! Handing jobs in, looking at them and cancelling them. Nothing here opens a repository or reads a
//! key: every one of these answers at once.

use super::Context;
use super::args::{Invocation, Parsed, parse_words};
use super::engine_look::day_and_time;
use super::panel::user_of;
use super::rows::Cell;
use super::table::{self, Owner, Value};
use super::table_queue::TARGETS;
use super::{repository, run_jobs};
use crate::base::units::{bytes, number_of};
use crate::base::{Error, Kind, Result, limits};
use crate::hestia::inventory;
use crate::hestia::named::RepositoryName;
use crate::hestia::queue::job::{millis, time_of};
use crate::hestia::queue::spool::not_found;
use crate::hestia::queue::{Job, JobId, JobState, NewJob, Note, Spool, request};
use crate::hestia::{Hestia, UserName, conf};
use nix::unistd::geteuid;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The queue of this machine.
pub(super) fn spool(context: &Context, call: &Invocation) -> Spool {
    Spool::new(&repository::queue_folders(call).jobs, &context.world)
}

/// `ghostsnap hestia schedule-...`: hands the panel's command in that the row stands for.
pub fn schedule(context: &Context, call: &Invocation) -> Result<()> {
    if !is_root(call) {
        return request(context, call);
    }
    let new = new_job(call, &asked_by())?;
    let spool = spool(context, call);
    let (job, ahead) = spool.submit(new)?;
    run_jobs::wake(context, call);
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[
        job.id.as_str().into(),
        job.kind.word().into(),
        job.user.as_str().into(),
        job.what.as_str().into(),
        job.state.word().into(),
        ahead.into(),
    ])?;
    rows.finish()
}

/// Whether the caller may write where jobs are: root, and of a rehearsal the owner of its folder.
fn is_root(call: &Invocation) -> bool {
    let me = geteuid();
    let owner = |path: &Path| path.metadata().is_ok_and(|data| data.uid() == me.as_raw());
    me.is_root() || call.path("hestia-below").is_some_and(owner)
}

/// Somebody without rights, such as a customer's cron job, asks. Says nothing where all went well:
/// cron would send a mail of it.
fn request(context: &Context, call: &Invocation) -> Result<()> {
    let user = UserName::parse(call.required("USER")?)?;
    let name = call.command().name;
    if name != "hestia schedule-backup" {
        return Err(Error::new(Kind::Forbidden, "hand a job in").why("only root may do that"));
    }
    if call.text("REPOSITORY").is_some() {
        return Err(Error::new(Kind::Forbidden, format!("ask for a backup of {user}"))
            .why("only root chooses the repository"));
    }
    let folders = repository::queue_folders(call);
    request::hand_in(&folders, &user, is_yes(call, "NOTIFY"), &context.world)
}

/// What a call hands in.
pub(super) fn new_job(call: &Invocation, by: &str) -> Result<NewJob> {
    let name = call.command().name;
    let Some((_, command, kind)) = TARGETS.iter().find(|(row, ..)| *row == name) else {
        return Err(Error::new(Kind::Internal, format!("find out what {name} hands in")));
    };
    let user = UserName::parse(call.required("USER")?)?;
    let hestia = hestia_of(call);
    let words = words_of(call);
    let Some((_, shim)) = table::shim(command) else {
        return Err(Error::new(Kind::Internal, format!("find the command {command}")));
    };
    if shim.owner == Owner::Live {
        inventory::user(&hestia, &user)?;
    }
    check_words(command, &words)?;
    let repository = call.text("REPOSITORY").unwrap_or_default();
    check_repository(call, &user, repository)?;
    Ok(NewJob {
        kind: *kind,
        person: person_of(&hestia, &user),
        user: Some(user),
        command: (*command).to_owned(),
        words,
        what: in_words(call),
        repository: repository.to_owned(),
        by: by.to_owned(),
        seconds_max: None,
    })
}

/// The arguments of the command that is handed in, in its order.
fn words_of(call: &Invocation) -> Vec<OsString> {
    let word = |arg: &table::Arg| match arg.value {
        Value::YesNo if is_yes(call, arg.name) => OsString::from("yes"),
        Value::YesNo => OsString::new(),
        _ => call.path(arg.name).map(|word| word.as_os_str().to_owned()).unwrap_or_default(),
    };
    let mut words: Vec<OsString> = call.command().args.iter().map(word).collect();
    while words.last().is_some_and(|word| word.is_empty()) {
        words.pop();
    }
    words
}

/// A shim leaves a switch away for `no`, a person may type it.
fn is_yes(call: &Invocation, name: &str) -> bool {
    call.has(name) && call.text(name) != Some("no")
}

/// Refuses now what the command would refuse when its turn comes.
fn check_words(command: &str, words: &[OsString]) -> Result<()> {
    let line = ["--panel".into(), command.into()];
    let line: Vec<OsString> = line.into_iter().chain(words.iter().cloned()).collect();
    match parse_words(&line, &|_| None) {
        Parsed::Run(_) => Ok(()),
        Parsed::Refused { text, kind, .. } => {
            let text = text.strip_prefix("Error: cannot ").unwrap_or(&text).to_owned();
            Err(Error::new(kind, text))
        }
        Parsed::Text(text) => Err(Error::new(Kind::Usage, text)),
    }
}

/// Whoever may back a user up does not choose where to: one of the places that are the user's, or
/// for an administrator at a shell any that has a name. An address could carry a password, and
/// everybody who sees the job would see it.
fn check_repository(call: &Invocation, user: &UserName, name: &str) -> Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    let what = || format!("back {user} up into '{}'", name.escape_debug());
    RepositoryName::parse(name).map_err(|error| error.within(what()))?;
    let own = repository::settings(call)?.repositories_of(user.as_str());
    if call.shim().is_none() || own.iter().any(|one| one == name) {
        return Ok(());
    }
    Err(Error::new(Kind::NotFound, what())
        .why(format!("the user is backed up into {}", own.join(", "))))
}

/// The arguments for a person: `snapshot latest, web example.com`.
fn in_words(call: &Invocation) -> String {
    let said = call.command().args.iter().filter(|arg| arg.name != "USER").filter_map(|arg| {
        let name = arg.name.to_lowercase().replace('_', " ");
        if arg.value == Value::YesNo {
            return is_yes(call, arg.name).then_some(name);
        }
        let word = call.path(arg.name)?.as_os_str();
        let word = crate::base::path::display_bytes(word.as_bytes());
        // The pages tell the parts apart: a name must not look like one.
        Some(format!("{name} {}", word.replace(", ", ",\\ ")))
    });
    said.collect::<Vec<_>>().join(", ")
}

/// Whether the panel or an administrator asks. The panel's own account calls through sudo.
pub(super) fn asked_by() -> String {
    match std::env::var("SUDO_USER") {
        Ok(name) if ["hestiaweb", "admin"].contains(&name.as_str()) => "panel".to_owned(),
        Ok(name) if UserName::parse(&name).is_ok() => name,
        _ => "root".to_owned(),
    }
}

/// `ghostsnap hestia list-jobs` and `list-user-jobs`.
pub fn list_jobs(context: &Context, call: &Invocation) -> Result<()> {
    let user = user_of(call, "USER")?;
    let spool = spool(context, call);
    let mut listing =
        if call.has("active") { spool.active()? } else { spool.all(user.as_ref())? };
    if let Some(user) = &user {
        let person = person_of(&hestia_of(call), user);
        listing.jobs.retain(|job| job.is_of_person(&person));
    }
    if let (true, Some(user)) = (listing.jobs.is_empty(), &user) {
        // A user without jobs is an empty list; nobody is an error.
        inventory::user(&hestia_of(call), user)?;
    }
    if user.is_none() {
        listing.problems.drain(..).for_each(|problem| context.output.warning(&problem));
    }
    let mut rows = context.output.rows(call.command().columns);
    for job in &listing.jobs {
        rows.row(&row(context, &spool, job))?;
    }
    rows.finish()?;
    context.output.note(&number_of(bytes(listing.jobs.len()), "job"));
    Ok(())
}

fn hestia_of(call: &Invocation) -> Hestia {
    call.path("hestia-below").map_or_else(Hestia::default, Hestia::below)
}

/// What tells a user from a later one of the same name; empty if there is none.
fn person_of(hestia: &Hestia, user: &UserName) -> String {
    inventory::user(hestia, user).map(|user| user.identity).unwrap_or_default()
}

/// A job. With a user, that of anybody else does not exist, nor of whoever had the name before.
fn own_job(call: &Invocation, spool: &Spool, id: &JobId, user: Option<&UserName>) -> Result<Job> {
    let job = spool.find(id, user)?;
    match user {
        Some(user) if !job.is_of_person(&person_of(&hestia_of(call), user)) => Err(not_found(id)),
        _ => Ok(job),
    }
}

/// `ghostsnap hestia list-job`.
pub fn list_job(context: &Context, call: &Invocation) -> Result<()> {
    let (user, id) = (user_of(call, "user")?, JobId::parse(call.required("JOB")?)?);
    let spool = spool(context, call);
    let job = own_job(call, &spool, &id, user.as_ref())?;
    let log = Note::log_end(&spool, &id);
    let cells = row(context, &spool, &job);
    let more = [result_of(&spool, &job).into(), log.as_str().into()];
    let cells: Vec<Cell> = cells.into_iter().chain(more).collect();
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&cells)?;
    rows.finish()?;
    if !context.output.is_machine() {
        log.lines().try_for_each(|line| context.output.line(line))?;
    }
    Ok(())
}

/// What the command printed; nothing while it runs, or where it is very much.
fn result_of(spool: &Spool, job: &Job) -> String {
    let path = spool.result_path(&job.id);
    let is_small = path.metadata().is_ok_and(|data| data.len() <= limits::JOB_RESULT_SHOWN_BYTES);
    if !job.state.has_ended() || !is_small {
        return String::new();
    }
    // Without it the state still says how it went.
    let read = conf::read_file(&path).ok().flatten().unwrap_or_default();
    String::from_utf8(read).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// `ghostsnap hestia cancel-job`.
pub fn cancel_job(context: &Context, call: &Invocation) -> Result<()> {
    let (user, id) = (user_of(call, "user")?, JobId::parse(call.required("JOB")?)?);
    let spool = spool(context, call);
    // Before anything is said about it.
    own_job(call, &spool, &id, user.as_ref())?;
    let now = context.world.now();
    let state = spool.change(&id, |job| {
        if job.state == JobState::Waiting {
            let code = Some(Kind::Cancelled.exit_code());
            job.end(JobState::Cancelled, code, "cancelled before it began".to_owned(), now);
        } else if job.cancel.is_none() {
            job.cancel = Some(millis(now));
        }
        Ok(job.state)
    })?;
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[id.as_str().into(), state.word().into()])?;
    rows.finish()
}

/// A job as a row of a list.
fn row(context: &Context, spool: &Spool, job: &Job) -> [Cell; 24] {
    let note = match job.state {
        JobState::Waiting => None,
        _ => Note::read(spool, &job.id).filter(|note| note.attempt == job.attempt),
    };
    let note = note.unwrap_or_default();
    let running = job.state == JobState::Running;
    let (day, time) = day_and_time(time_of(job.asked));
    let number = |number: Option<u64>| number.map_or_else(Cell::empty, Cell::from);
    let percent = match job.state {
        JobState::Done | JobState::Partial => Some(100),
        JobState::Running => note.percent(),
        _ => None,
    };
    let until = job.ended.unwrap_or_else(|| millis(context.world.now()));
    let ran = job.begun.map(|begun| u64::try_from((until - begun) / 1000).unwrap_or(0));
    [
        job.id.as_str().into(),
        job.kind.word().into(),
        job.user.as_str().into(),
        job.what.as_str().into(),
        job.repository.as_str().into(),
        job.state.word().into(),
        job.waits.as_str().into(),
        job.by.as_str().into(),
        day.into(),
        time.into(),
        moment(job.begun).into(),
        moment(job.ended).into(),
        number(ran),
        u64::from(job.attempt).into(),
        number(percent),
        if running { note.step.as_str() } else { "" }.into(),
        note.bytes.into(),
        number(note.bytes_total),
        note.objects.into(),
        if running { note.object.as_str() } else { "" }.into(),
        number(if running { note.seconds_left() } else { None }),
        note.warnings.into(),
        number(job.code.map(u64::from)),
        job.error.as_str().into(),
    ]
}

fn moment(time: Option<i64>) -> String {
    time.map_or_else(String::new, |time| {
        let (day, time) = day_and_time(time_of(time));
        format!("{day} {time}")
    })
}
