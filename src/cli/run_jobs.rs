// SPDX-License-Identifier: MIT
//! Working the queue off, and the process of a single job: it takes the job's lock, becomes the
//! panel's command that the job is, and notes how it ended.

use super::args::{Invocation, Parsed, parse_words};
use super::around::Around;
use super::job_note::JobNote;
use super::output::{Output, Style};
use super::panel::server;
use super::panel_queue::spool;
use super::rows::Format;
use super::table::command;
use super::{Context, panel_schedules, repository};
use crate::base::monitor::{Stage, Stop};
use crate::base::{Counter, Error, Kind, Monitor, Result, WhatIo, World, limits};
use crate::hestia::queue::child::Again;
use crate::hestia::queue::request::{self, Accepted, Collector};
use crate::hestia::queue::runner::{Runner, is_running};
use crate::hestia::queue::{Job, JobId, JobKind, JobState, NewJob};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Options that say which settings and which Hestia are meant: a job's process gets the same.
const HANDED_ON: [&str; 2] = ["config", "hestia-below"];

/// How this program is started again with the same settings and the same Hestia.
pub(super) fn again(call: &Invocation) -> Result<Again> {
    let settings = repository::settings(call)?;
    let mut options = Vec::new();
    for name in HANDED_ON {
        // A default is none of somebody's.
        let default = command("hestia run-jobs")
            .and_then(|row| row.all_flags().find(|flag| flag.long == name))
            .and_then(|flag| flag.default);
        if let Some(path) =
            call.path(name).filter(|path| Some(path.as_os_str()) != default.map(OsStr::new))
        {
            options.push(OsString::from(format!("--{name}")));
            options.push(std::path::absolute(path).unwrap_or(path.to_owned()).into());
        }
    }
    Ok(Again {
        program: Again::program(),
        options,
        low_priority: settings.low_priority,
        log: settings.log_folder.join("jobs.log"),
    })
}

/// Sees to it that what was handed in is worked off. A failure is told and no more: the job waits,
/// and whoever comes next tries again.
pub(super) fn wake(context: &Context, call: &Invocation) {
    let started = repository::settings(call).and_then(|settings| {
        if is_running(&settings.run_folder)? {
            return Ok(());
        }
        again(call)?.start_runner(!call.has("hestia-below"))
    });
    if let Err(error) = started {
        context.output.warning(&error);
    }
}

/// `ghostsnap hestia run-jobs`.
pub fn run_jobs(context: &Context, call: &Invocation) -> Result<()> {
    let server = server(context, call)?;
    let folders = repository::queue_folders(call);
    let spool = spool(context, call);
    let progress = context.progress();
    let launch = again(call)?;
    let runner = Runner {
        spool: spool.clone(),
        hestia: server.hestia.clone(),
        run_folder: server.settings.run_folder.clone(),
        rules: server.settings.queue.clone(),
        launch: &launch,
        world: Arc::clone(&context.world),
        monitor: &progress,
    };
    let few = Few { outer: &progress, world: &context.world, told: Mutex::default() };
    let collector = Collector {
        folders: &folders,
        hestia: &server.hestia,
        spool: &spool,
        requests_a_day: server.settings.queue.requests_a_day,
        world: &context.world,
        monitor: &few,
    };
    let once = Once { outer: &progress, told: Mutex::default() };
    let mut looked = None;
    let mut removal: Option<JoinHandle<Result<()>>> = None;
    let mut is_stuck = false;
    let mut each = || -> Result<bool> {
        let now = context.world.ticks();
        if looked.is_none_or(|then| now.saturating_sub(then) >= limits::SCHEDULES_LOOK_EVERY) {
            looked = Some(now);
            panel_schedules::hand_in_due(context, call, &once)?;
        }
        request::prepare(&folders)?;
        let (accepted, more) = collector.collect()?;
        for one in accepted {
            match spool.submit(requested(one)) {
                // One waits already: nothing is lost.
                Err(error) if error.kind() == Kind::Exists => {}
                Err(error) => progress.warn(error),
                Ok(_) => {}
            }
        }
        if let Some(thread) = removal.take_if(|thread| thread.is_finished()) {
            let panicked = || Error::new(Kind::Internal, "remove rubbish").why("a thread panicked");
            // What cannot be removed stays until the next start: it is in nobody's way.
            if let Err(error) = thread.join().unwrap_or_else(|_| Err(panicked())) {
                is_stuck = true;
                few.warn(error);
            }
        }
        if removal.is_none() && !is_stuck && folders.rubbish.exists() {
            let (folders, world) = (folders.clone(), Arc::clone(&context.world));
            let thread = std::thread::Builder::new().name("rubbish".to_owned());
            let thread = thread.spawn(move || request::remove_rubbish(&folders, &world));
            removal = Some(thread.what_io(|| "start a thread that removes rubbish")?);
        }
        Ok(more)
    };
    let was_it = runner.run(call.has("until-empty"), &mut each)?;
    progress.finish();
    if !was_it {
        context.output.note("somebody else works the queue off already");
    }
    Ok(())
}

/// Tells the same trouble once: what is wrong with a schedule is wrong at every look.
struct Once<'m> {
    outer: &'m dyn Monitor,
    told: Mutex<BTreeSet<String>>,
}

impl Monitor for Once<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.outer.count(counter, n);
    }
    fn warn(&self, warning: Error) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= limits::RUNNER_TROUBLES_TOLD {
            told.clear();
        }
        if told.insert(warning.one_line()) {
            self.outer.warn(warning);
        }
    }
    fn stage(&self, stage: Stage) {
        self.outer.stage(stage);
    }
    fn cancelled(&self) -> bool {
        self.outer.cancelled()
    }
    fn stop(&self) -> Stop {
        self.outer.stop()
    }
}

/// Tells so much an hour: whoever puts junk into the request folder must not silence the rest.
struct Few<'m> {
    outer: &'m dyn Monitor,
    world: &'m World,
    told: Mutex<(Duration, u32)>,
}

impl Monitor for Few<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.outer.count(counter, n);
    }
    fn warn(&self, warning: Error) {
        let now = self.world.ticks();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(told.0) > Duration::from_secs(3600) {
            *told = (now, 0);
        }
        told.1 = told.1.saturating_add(1);
        if told.1 <= limits::REQUESTS_TOLD_AN_HOUR {
            self.outer.warn(warning);
        }
    }
    fn stage(&self, stage: Stage) {
        self.outer.stage(stage);
    }
    fn cancelled(&self) -> bool {
        self.outer.cancelled()
    }
    fn stop(&self) -> Stop {
        self.outer.stop()
    }
}

fn requested(one: Accepted) -> NewJob {
    let notify = if one.notify { vec!["".into(), "yes".into()] } else { Vec::new() };
    let user: OsString = one.user.as_str().into();
    NewJob {
        kind: JobKind::Backup,
        user: Some(one.user),
        person: one.person,
        command: "v-ghostsnap-backup-user".to_owned(),
        words: std::iter::once(user).chain(notify).collect(),
        what: if one.notify { "notify" } else { "" }.to_owned(),
        repository: String::new(),
        by: one.by,
        seconds_max: None,
    }
}

/// `ghostsnap hestia run-job`.
pub fn run_job(context: &Context, call: &Invocation) -> Result<()> {
    let id = JobId::parse(call.required("JOB")?)?;
    let what = || format!("begin the job {id}");
    let attempt = call.number("ATTEMPT").and_then(|number| u32::try_from(number).ok());
    let spool = spool(context, call);
    let job = spool.find(&id, None)?;
    let Some(_held) = spool.hold_run(&id)? else {
        return Err(Error::new(Kind::InUse, what()).why("it is being done already"));
    };
    // Only now: whoever changes the job holds that lock.
    let job = spool.find(&job.id, None)?;
    if job.state != JobState::Running || Some(job.attempt) != attempt {
        return Err(Error::new(Kind::InUse, what()).why("it is not its turn any more"));
    }
    let note = Arc::new(JobNote::new(spool.clone(), id.clone(), job.attempt, &context.world));
    note.begin();
    let inner = match invocation(call, &job) {
        Ok(inner) => inner,
        Err(error) => {
            note.end(error.kind().exit_code(), Some(&error));
            return Err(error);
        }
    };
    let around = Around::begin(context, &inner);
    let result = become_command(context, &inner, &note, &spool.result_path(&id));
    let code = result.as_ref().map_or_else(|error| error.kind().exit_code(), |()| 0);
    note.end(code, result.as_ref().err());
    around.end(context, &inner, result.as_ref().err());
    result
}

/// Does what the job says, as if the panel had called.
fn become_command(
    context: &Context,
    inner: &Invocation,
    note: &Arc<JobNote>,
    result: &std::path::Path,
) -> Result<()> {
    let style = Style { format: Some(Format::Json), panel: true, ..Style::default() };
    let output = Arc::new(Output::of_job(style, result)?);
    let inner_context = Context {
        world: Arc::clone(&context.world),
        output: Arc::clone(&output),
        stop: context.stop.clone(),
        note: Some(Arc::clone(note)),
    };
    (inner.command().run)(&inner_context, inner)
}

fn invocation(call: &Invocation, job: &Job) -> Result<Invocation> {
    let is_shim = job.command.starts_with("v-");
    let first = is_shim.then(|| OsString::from("--panel")).into_iter();
    let first = first.chain(job.command.split_whitespace().map(OsString::from));
    let words = job.words.iter().map(|word| word.as_os().to_owned());
    let words: Vec<OsString> = first.chain(words).collect();
    let env = |name: &str| match name {
        "GHOSTSNAP_CONFIG" => call.path("config").map(|path| path.as_os_str().to_owned()),
        "GHOSTSNAP_HESTIA_BELOW" => call.path("hestia-below").map(Into::into),
        _ => None,
    };
    match parse_words(&words, &env) {
        Parsed::Run(inner) => Ok(*inner),
        Parsed::Refused { text, kind, .. } => {
            Err(Error::new(kind, format!("do the job {}", job.id)).why(text))
        }
        Parsed::Text(_) => Err(Error::new(Kind::Internal, format!("do the job {}", job.id))),
    }
}
