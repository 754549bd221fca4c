// SPDX-License-Identifier: MIT
//! What is done again and again: add, list, change, delete, do it now; and what whoever works the
//! queue off hands in when something is due.

use super::Context;
use super::args::{Invocation, Parsed, parse_words};
use super::engine_look::day_and_time;
use super::panel_queue::{asked_by, spool};
use super::rows::Cell;
use super::words::split_words;
use super::{panel_own, repository, run_jobs};
use crate::base::units::{bytes, number_of};
use crate::base::{Error, Kind, Monitor, Result, Timestamp};
use crate::hestia::queue::due::{self, Clock, Memory};
use crate::hestia::queue::job::{millis, time_of};
use crate::hestia::queue::schedule::{self, Schedule};
use crate::hestia::queue::{Job, JobId, NewJob, Spool};
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::Table;

fn folder(call: &Invocation) -> PathBuf {
    repository::entries_folder(call).parent().unwrap_or(Path::new("/")).join(schedule::FOLDER)
}

/// The clock of this machine; `wait` is for how many seconds a high load puts off.
pub(super) fn clock(context: &Context, wait: i64) -> Clock {
    Clock {
        now: context.world.now(),
        zone: TimeZone::system(),
        host: context.world.host(),
        load: due::load(),
        load_wait_seconds: wait,
    }
}

/// `ghostsnap hestia add-schedule`.
pub fn add(context: &Context, call: &Invocation) -> Result<()> {
    let name = call.required("NAME")?;
    schedule::check_name(name)?;
    let folder = folder(call);
    let path = schedule::path_of(&folder, name);
    if path.exists() {
        return Err(Error::new(Kind::Exists, format!("add the schedule {name}"))
            .why(format!("{} is there already", path.display()))
            .hint(format!("ghostsnap hestia change-schedule {name} KEY=VALUE")));
    }
    // What nobody says stands in the file, so that whoever looks into it sees what can be said.
    let mut table = Table::new();
    schedule::set(&mut table, "do=backup")?;
    schedule::set(&mut table, &format!("when={}", schedule::USUAL_TIME))?;
    keep(context, call, &folder, name, table, true)
}

/// `ghostsnap hestia change-schedule`.
pub fn change(context: &Context, call: &Invocation) -> Result<()> {
    let name = call.required("NAME")?;
    schedule::check_name(name)?;
    let folder = folder(call);
    let table = schedule::table(&folder, name)?;
    keep(context, call, &folder, name, table, false)
}

fn keep(
    context: &Context,
    call: &Invocation,
    folder: &Path,
    name: &str,
    mut table: Table,
    new: bool,
) -> Result<()> {
    call.texts("KEY=VALUE").into_iter().try_for_each(|word| schedule::set(&mut table, word))?;
    let draft = Schedule::parse(name, &table.to_string(), &schedule::path_of(folder, name))
        .map_err(|error| Error::new(error.kind(), "set it up so").why(error.reasons()))?;
    draft.jobs("").iter().try_for_each(check)?;
    let spool = spool(context, call);
    spool.make()?;
    // Due the next time after now, whatever was due before. That comes first: whoever looks between
    // the two would find a time of long ago that the schedule has missed.
    let now = millis(context.world.now());
    due::remember(&spool, |memories| {
        memories.entry(name.to_owned()).or_default().until = now;
    })?;
    let written = schedule::write(folder, name, &table, new)?;
    run_jobs::wake(context, call);
    print(context, call, &spool, &[written])
}

/// Refuses now what its jobs would be refused for every night.
fn check(new: &NewJob) -> Result<()> {
    let words = split_words(&new.command)?.into_iter().map(OsString::from);
    let words: Vec<OsString> = words.chain(new.words.iter().cloned()).collect();
    match parse_words(&words, &|_| None) {
        Parsed::Run(_) => Ok(()),
        Parsed::Refused { text, kind, .. } => {
            let line = text.lines().next().unwrap_or_default();
            let line = line.strip_prefix("Error: ").unwrap_or(line);
            Err(Error::new(kind, "set it up so").why(line))
        }
        Parsed::Text(text) => Err(Error::new(Kind::Usage, text)),
    }
}

/// The administrator's schedules, and what is wrong with files that are none.
pub(super) fn all(call: &Invocation) -> Result<(Vec<Schedule>, Vec<Error>)> {
    schedule::read_all(&folder(call))
}

/// `ghostsnap hestia list-schedules`.
pub fn list(context: &Context, call: &Invocation) -> Result<()> {
    let (all, problems) = all(call)?;
    for problem in &problems {
        context.output.warning(problem);
    }
    print(context, call, &spool(context, call), &all)?;
    context.output.note(&number_of(bytes(all.len()), "schedule"));
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Partial, "list all schedules")
        .why(format!("{}, named above", number_of(bytes(problems.len()), "failure"))))
}

fn print(context: &Context, call: &Invocation, spool: &Spool, all: &[Schedule]) -> Result<()> {
    let memories = due::memories(spool);
    let clock = clock(context, 0);
    let mut rows = context.output.rows(call.command().columns);
    for one in all {
        let memory = memories.get(&one.name);
        let next = clock.next(one, memory).filter(|_| one.enabled);
        rows.row(&row(spool, one, memory, next))?;
    }
    rows.finish()
}

pub(super) fn moment(time: Timestamp) -> String {
    let (day, time) = day_and_time(time);
    format!("{day} {time}")
}

fn row(
    spool: &Spool,
    one: &Schedule,
    memory: Option<&Memory>,
    next: Option<Timestamp>,
) -> [Cell; 19] {
    let list = |words: &[String]| Cell::list(words.iter().map(String::as_str));
    let number = |number: Option<u16>| number.map_or_else(Cell::empty, |n| u64::from(n).into());
    let done = memory.and_then(|memory| memory.done);
    let jobs = memory.map(|memory| memory.jobs.as_slice()).unwrap_or_default();
    [
        one.name.as_str().into(),
        one.task.word().into(),
        one.when.text().into(),
        u64::from(one.spread_minutes).into(),
        list(&one.include),
        list(&one.exclude),
        list(&one.repositories),
        one.subset.as_str().into(),
        one.max_time.as_str().into(),
        number(one.hours_max),
        number(one.load_max),
        one.enabled.into(),
        next.map_or_else(String::new, moment).into(),
        done.map_or_else(String::new, |done| moment(time_of(done))).into(),
        state(spool, jobs).into(),
        list(jobs),
        one.from.as_str().into(),
        list(&one.to),
        number(one.newest),
    ]
}

/// Of several jobs the one that needs looking at.
pub(super) fn state(spool: &Spool, jobs: &[String]) -> &'static str {
    let job = |id: &String| spool.find(&JobId::parse(id).ok()?, None).ok();
    let states = jobs.iter().filter_map(job).map(|job: Job| job.state);
    states.max_by_key(|state| state.concern()).map_or("", |state| state.word())
}

/// `ghostsnap hestia delete-schedule`.
pub fn delete(context: &Context, call: &Invocation) -> Result<()> {
    let name = call.required("NAME")?;
    schedule::check_name(name)?;
    let folder = folder(call);
    schedule::table(&folder, name)?;
    let what = format!("delete the schedule {name}");
    context.confirm(call, &what, &format!("Do no more what {name} does?"))?;
    schedule::remove(&folder, name)
}

/// `ghostsnap hestia run-schedule`.
pub fn run_now(context: &Context, call: &Invocation) -> Result<()> {
    let spool = spool(context, call);
    let jobs = if call.has("due") {
        hand_in_due(context, call, &context.progress())?
    } else {
        let name = call.required("NAME")?;
        schedule::check_name(name)?;
        let one = schedule::read(&folder(call), name)?;
        hand_in(&spool, &one, &asked_by(), context.world.now())?
    };
    run_jobs::wake(context, call);
    let mut rows = context.output.rows(call.command().columns);
    for job in &jobs {
        rows.row(&[
            job.id.as_str().into(),
            job.kind.word().into(),
            job.what.as_str().into(),
            job.state.word().into(),
        ])?;
    }
    rows.finish()
}

/// Hands in what is due. What is wrong with one schedule is told and stops no other one.
pub(super) fn hand_in_due(
    context: &Context,
    call: &Invocation,
    monitor: &dyn Monitor,
) -> Result<Vec<Job>> {
    let (mut all, problems) = all(call)?;
    for problem in problems {
        monitor.warn(problem);
    }
    let settings = repository::settings(call)?;
    all.extend(panel_own::schedules(call, &settings, monitor)?);
    let spool = spool(context, call);
    let wait = settings.load_wait.as_secs();
    let clock = clock(context, i64::try_from(wait).unwrap_or(i64::MAX));
    let mut memories = due::memories(&spool);
    let before = memories.clone();
    let due = clock.due(&all, &mut memories);
    let mut jobs = Vec::new();
    for one in all.iter().filter(|one| due.contains(&one.name)) {
        let by = match &one.of {
            Some((user, _)) => user.to_string(),
            None => format!("schedule {}", one.name),
        };
        match hand_in(&spool, one, &by, clock.now) {
            Ok(more) => jobs.extend(more),
            Err(error) => {
                // It stays due.
                memories.remove(&one.name);
                monitor.warn(error.within(format!("do what {} does", one.name)));
            }
        }
    }
    // Only now: whoever is killed before does it again, which is better than never.
    due::remember(&spool, |kept| {
        kept.retain(|name, memory| {
            all.iter().any(|one| one.name == *name) || clock.is_recent(name, memory)
        });
        for (name, memory) in memories {
            // Somebody may have changed one that nothing was decided about.
            if before.get(&name) != Some(&memory) {
                kept.entry(name).or_default().until = memory.until;
            }
        }
    })?;
    Ok(jobs)
}

/// Hands in what one schedule does. What still waits from last time is not handed in again.
fn hand_in(spool: &Spool, one: &Schedule, by: &str, now: Timestamp) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for new in one.jobs(by) {
        match spool.submit(new) {
            Ok((job, _)) => jobs.push(job),
            Err(error) if error.kind() == Kind::Exists => {}
            Err(error) => return Err(error),
        }
    }
    if !jobs.is_empty() {
        let ids = jobs.iter().map(|job| job.id.to_string()).collect();
        due::remember(spool, |memories| {
            let new = || Memory { until: millis(now), ..Memory::default() };
            let memory = memories.entry(one.name.clone()).or_insert_with(new);
            memory.done = Some(millis(now));
            memory.jobs = ids;
        })?;
    }
    Ok(jobs)
}
