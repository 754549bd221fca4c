// SPDX-License-Identifier: MIT
//! What customers decide about their own backups: when, and what of their files stays out. Nothing
//! here opens a repository; whose it is is the user that the command names, and nobody else's file
//! is ever looked at.

use super::Context;
use super::args::Invocation;
use super::panel_queue::spool;
use super::panel_schedules::{clock, moment, state};
use super::{repository, run_jobs};
use crate::base::{Error, Kind, Monitor, Result};
use crate::hestia::customers::{self, May};
use crate::hestia::inventory::{self, User};
use crate::hestia::queue::JobId;
use crate::hestia::queue::due;
use crate::hestia::queue::job::{millis, time_of};
use crate::hestia::queue::schedule::{Schedule, own_name};
use crate::hestia::{BackupMode, Hestia, Settings, UserName, named};

/// The user that is meant, and the settings.
struct Own {
    settings: Settings,
    user: User,
    may: May,
}

fn own(call: &Invocation) -> Result<Own> {
    let settings = repository::settings(call)?;
    let user = inventory::user(&hestia_of(call), &UserName::parse(call.required("USER")?)?)?;
    let may = settings.customers.of(&user);
    Ok(Own { settings, user, may })
}

fn hestia_of(call: &Invocation) -> Hestia {
    call.path("hestia-below").map_or_else(Hestia::default, Hestia::below)
}

impl Own {
    /// The answer to what the administrator does not allow.
    fn only_if(&self, is_allowed: bool, what: &str, key: &str) -> Result<()> {
        if is_allowed {
            return Ok(());
        }
        let name = &self.user.name;
        Err(Error::new(Kind::Forbidden, format!("{what} of {name}"))
            .why("the administrator does not allow it")
            .hint(format!("an administrator does so by users.{name}.customer.{key}")))
    }
}

/// `ghostsnap hestia list-user-schedule`.
pub fn schedule(context: &Context, call: &Invocation) -> Result<()> {
    print_schedule(context, call, &own(call)?)
}

fn print_schedule(context: &Context, call: &Invocation, own: &Own) -> Result<()> {
    let wishes = customers::read(&own.settings.customers_folder, &own.user)?;
    let spool = spool(context, call);
    let memories = due::memories(&spool);
    let memory = memories.get(&own_name(&own.user.name));
    let is_due = own.may.schedule && !wishes.when.is_empty();
    let plan = if is_due { Some(Schedule::own(&own.user, &wishes.when)?) } else { None };
    let next = plan.as_ref().and_then(|plan| clock(context, 0).next(plan, memory));
    // That of whoever had the name before is nobody's business.
    let is_theirs = |id: &String| {
        let job = JobId::parse(id).and_then(|id| spool.find(&id, Some(&own.user.name)));
        job.is_ok_and(|job| job.is_of_person(&own.user.identity))
    };
    let memory = memory.filter(|memory| memory.jobs.iter().all(is_theirs));
    let jobs = memory.map(|memory| memory.jobs.as_slice()).unwrap_or_default();
    let done = memory.and_then(|memory| memory.done);
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[
        own.user.name.as_str().into(),
        own.may.schedule.into(),
        wishes.when.as_str().into(),
        plan.map_or(0, |plan| u64::from(plan.spread_minutes)).into(),
        next.map_or_else(String::new, moment).into(),
        done.map_or_else(String::new, |done| moment(time_of(done))).into(),
        state(&spool, jobs).into(),
        jobs.first().map_or("", String::as_str).into(),
        own.may.exclude.into(),
    ])?;
    rows.finish()
}

/// `ghostsnap hestia change-user-schedule`.
pub fn change_schedule(context: &Context, call: &Invocation) -> Result<()> {
    let own = own(call)?;
    own.only_if(own.may.schedule, "change the schedule", "schedule")?;
    let when = customers::normal_when(call.text("WHEN").unwrap_or_default())?;
    // Due the next time after now; what a customer had before under this name is over. That comes
    // first, as with the administrator's.
    let spool = spool(context, call);
    let now = millis(context.world.now());
    spool.make()?;
    due::remember(&spool, |memories| {
        memories.entry(own_name(&own.user.name)).or_default().until = now;
    })?;
    let folder = &own.settings.customers_folder;
    customers::change(folder, &own.user, &context.world, |wishes| wishes.when = when)?;
    run_jobs::wake(context, call);
    print_schedule(context, call, &own)
}

/// `ghostsnap hestia list-user-excludes`.
pub fn excludes(context: &Context, call: &Invocation) -> Result<()> {
    print_excludes(context, call, &own(call)?)
}

fn print_excludes(context: &Context, call: &Invocation, own: &Own) -> Result<()> {
    let wishes = customers::read(&own.settings.customers_folder, &own.user)?;
    let mut rows = context.output.rows(call.command().columns);
    for exclude in &wishes.exclude {
        rows.row(&[exclude.as_str().into(), own.may.exclude.into()])?;
    }
    rows.finish()
}

/// `ghostsnap hestia change-user-excludes`.
pub fn change_excludes(context: &Context, call: &Invocation) -> Result<()> {
    let own = own(call)?;
    own.only_if(own.may.exclude, "change the exclusions", "exclude")?;
    if own.settings.mode_of(own.user.name.as_str()) == BackupMode::Tarball {
        return Err(Error::new(Kind::Disabled, "leave that out")
            .why("backups of this user are made of Hestia's tarball")
            .hint("Hestia's own page for exclusions counts there"));
    }
    let mut globs: Vec<String> = Vec::new();
    for glob in call.texts("EXCLUDE").into_iter().map(str::trim) {
        if !globs.iter().any(|one| one == glob) {
            globs.push(glob.to_owned());
        }
    }
    customers::check_excludes(&globs)?;
    let folder = &own.settings.customers_folder;
    customers::change(folder, &own.user, &context.world, |wishes| wishes.exclude = globs)?;
    print_excludes(context, call, &own)
}

/// The schedules of all customers who have one and may: what is due is handed in with the
/// administrator's. A file that is broken is told and stops nobody else's.
pub(super) fn schedules(
    call: &Invocation,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Vec<Schedule>> {
    let hestia = hestia_of(call);
    let mut all = Vec::new();
    for name in named::names(&settings.customers_folder)? {
        match one_schedule(&hestia, settings, name.as_str()) {
            Ok(found) => all.extend(found),
            // Who was deleted leaves a file that says nothing any more.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => monitor.warn(error.within(format!("look when {name} is backed up"))),
        }
    }
    Ok(all)
}

/// The one of a customer who has one and may.
pub(super) fn one_schedule(
    hestia: &Hestia,
    settings: &Settings,
    name: &str,
) -> Result<Option<Schedule>> {
    let user = inventory::user(hestia, &UserName::parse(name)?)?;
    if !settings.customers.of(&user).schedule || user.is_suspended() {
        return Ok(None);
    }
    let wishes = customers::read(&settings.customers_folder, &user)?;
    if wishes.when.is_empty() {
        return Ok(None);
    }
    Schedule::own(&user, &wishes.when).map(Some)
}
