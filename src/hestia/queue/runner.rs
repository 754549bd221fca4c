// SPDX-License-Identifier: MIT
//! Works the queue off: begins jobs when it is their turn, stops those that somebody cancels or
//! that take too long, and notes how each ended. There is one runner at a time; jobs are processes
//! of their own and outlive it, so that the next one takes over what is running.
//!
//! Nothing is remembered that matters: what is on the disk and which locks are held says it all,
//! whenever a runner is killed.

use super::Rules;
use super::job::{Job, JobId, JobState, millis};
use super::note::Note;
use super::spool::{Held, Spool, try_lock};
use super::turn::{self, Turn};
use crate::base::{Error, Kind, Monitor, Result, World, limits};
use crate::hestia::call::private_folder;
use crate::hestia::userlock;
use crate::hestia::{Hestia, UserName};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Starts jobs; tests have one of their own.
pub trait Launch: Sync {
    /// Starts the process of a job.
    fn launch(&self, spool: &Spool, job: &Job) -> Result<Box<dyn Process>>;
}

/// A job's process.
pub trait Process {
    /// Its number.
    fn id(&self) -> u32;
    /// Whether it has ended, and with which code; a signal has none.
    fn ended(&mut self) -> Result<Option<Option<u8>>>;
}

/// What a runner works with.
pub struct Runner<'r> {
    /// Where the jobs are.
    pub spool: Spool,
    /// Whose jobs.
    pub hestia: Hestia,
    /// Where the locks of users are, and the runner's own.
    pub run_folder: PathBuf,
    /// The settings of the queue.
    pub rules: Rules,
    /// What starts jobs.
    pub launch: &'r dyn Launch,
    /// Real time: jobs are real.
    pub world: Arc<World>,
    /// Who is told what goes wrong with the queue itself.
    pub monitor: &'r dyn Monitor,
}

/// A job that runs.
struct Running {
    /// Its process, if this runner started it.
    process: Option<Box<dyn Process>>,
    /// How far the stopping of it is, and since when.
    stop: Option<(Stopping, Duration)>,
    /// Whether it is stopped because it took too long.
    late: bool,
    /// When this runner saw it first, and how long it had run by then as far as the clock tells.
    /// From then on the clock is not asked: somebody may set it.
    seen: Duration,
    ran_before: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Asked,
    Urged,
    Killed,
}

/// What a runner remembers between two looks.
#[derive(Default)]
struct State {
    running: BTreeMap<JobId, Running>,
    jobs: Vec<Job>,
    /// When the folder of the jobs was changed last, in nanoseconds, as far as it was read.
    seen: Option<i128>,
    swept: Option<Duration>,
    told: Vec<String>,
}

/// The lock of whoever works the queue off.
pub fn runner_lock(run_folder: &Path) -> PathBuf {
    run_folder.join("jobs.lock")
}

/// Whether somebody works the queue off.
pub fn is_running(run_folder: &Path) -> Result<bool> {
    private_folder(run_folder)?;
    Ok(try_lock(&runner_lock(run_folder))?.is_none())
}

fn nanos(seconds: i64, nanos: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

impl Runner<'_> {
    /// Works until somebody says stop or, if so asked, until nothing waits and nothing runs. Says
    /// whether it was the one to do it.
    pub fn run(&self, until_empty: bool, each: &mut dyn FnMut() -> Result<bool>) -> Result<bool> {
        self.spool.make()?;
        private_folder(&self.run_folder)?;
        let mut state = State::default();
        let mut was_it = false;
        loop {
            let Some(held) = self.hold()? else { return Ok(was_it) };
            was_it = true;
            self.work(&mut state, until_empty, each);
            drop(held);
            // Whoever handed a job in a moment ago saw the lock held and went.
            if self.monitor.cancelled() || self.spool.active()?.jobs.is_empty() {
                return Ok(true);
            }
            state.seen = None;
        }
    }

    /// Somebody may only be looking whether the lock is held.
    fn hold(&self) -> Result<Option<Held>> {
        for _ in 0..limits::RUNNER_LOCK_TRIES {
            if let Some(held) = try_lock(&runner_lock(&self.run_folder))? {
                return Ok(Some(held));
            }
            self.world.sleep(limits::RUNNER_LOCK_PAUSE);
        }
        Ok(None)
    }

    fn work(&self, state: &mut State, until_empty: bool, each: &mut dyn FnMut() -> Result<bool>) {
        while !self.monitor.cancelled() {
            // A full disk or a broken file must not end the one who would go on when it is mended;
            // and what runs is looked after whatever cannot be handed in.
            let (more, looked) = (each(), self.look(state));
            let well = more.is_ok() && looked.is_ok();
            let more = more.unwrap_or_else(|error| {
                self.tell_once(state, error);
                false
            });
            if let Err(error) = looked {
                self.tell_once(state, error);
                self.world.sleep(limits::RUNNER_TROUBLE_PAUSE);
            }
            if well {
                state.told.clear();
            }
            let idle = state.jobs.is_empty() && state.running.is_empty();
            if until_empty && idle && !more {
                return;
            }
            let busy = !state.running.is_empty();
            let pause = if busy { limits::RUNNER_PAUSE } else { limits::RUNNER_IDLE_PAUSE };
            self.world.sleep(pause);
        }
    }

    fn tell_once(&self, state: &mut State, error: Error) {
        let line = error.one_line();
        if !state.told.contains(&line) && state.told.len() < limits::RUNNER_TROUBLES_TOLD {
            state.told.push(line);
            self.monitor.warn(error);
        }
    }

    /// One look at everything.
    fn look(&self, state: &mut State) -> Result<()> {
        self.read(state)?;
        let running: Vec<Job> =
            state.jobs.iter().filter(|job| job.state == JobState::Running).cloned().collect();
        for job in &running {
            self.look_after(state, job)?;
        }
        self.read(state)?;
        self.begin(state)?;
        let now = self.world.ticks();
        if state.swept.is_none_or(|swept| now.saturating_sub(swept) > limits::JOBS_SWEEP_EVERY) {
            state.swept = Some(now);
            let days = i64::from(self.rules.days_kept);
            let before = millis(self.world.now()).saturating_sub(days * 86_400_000);
            self.spool.sweep(before, limits::JOBS_KEPT_MAX)?;
        }
        Ok(())
    }

    /// Reads the jobs anew if anything changed.
    fn read(&self, state: &mut State) -> Result<()> {
        let changed = self.spool.active_folder().metadata().ok();
        let changed = changed.map(|data| nanos(data.mtime(), data.mtime_nsec()));
        if changed.is_some() && changed == state.seen {
            return Ok(());
        }
        let listing = self.spool.active()?;
        // Clocks of file systems tick slowly: what changes within a tick is read once more.
        let now = self.world.now();
        let settled = nanos(now.seconds, i64::from(now.nanos)) - limits::FILE_CLOCK_TICK_NANOS;
        state.seen = changed.filter(|changed| *changed < settled);
        state.jobs = listing.jobs;
        for problem in listing.problems {
            self.tell_once(state, problem);
        }
        Ok(())
    }

    /// A job that is noted as running: whether it still is, and whether it should be.
    fn look_after(&self, state: &mut State, job: &Job) -> Result<()> {
        let known = state.running.entry(job.id.clone()).or_insert_with(|| Running {
            process: None,
            stop: None,
            late: false,
            seen: self.world.ticks(),
            ran_before: self.ran_by_the_clock(job),
        });
        let late = known.late;
        if let Some(process) = &mut known.process {
            if let Some(code) = process.ended()? {
                state.running.remove(&job.id);
                return self.settle(job, code, late);
            }
        // Begun by a runner that is gone: its lock says whether it lives. It is held until it is
        // noted that it does not, so that one which is only just starting finds that out.
        } else if let Some(_held) = self.spool.hold_run(&job.id)? {
            state.running.remove(&job.id);
            return self.settle(job, None, late);
        }
        let longest = job.seconds_max.unwrap_or(self.rules.seconds_max);
        let ran = known.ran_before + self.world.ticks().saturating_sub(known.seen);
        known.late |= ran.as_secs() > longest;
        if job.cancel.is_some() || known.late {
            self.stop(job, known);
        }
        Ok(())
    }

    fn ran_by_the_clock(&self, job: &Job) -> Duration {
        let now = millis(self.world.now());
        let ran = job.begun.map_or(0, |begun| now.saturating_sub(begun));
        Duration::from_millis(u64::try_from(ran).unwrap_or(0))
    }

    /// Asks, then urges, then kills.
    fn stop(&self, job: &Job, running: &mut Running) {
        let now = self.world.ticks();
        let waited = |since: Duration| now.saturating_sub(since);
        let (next, signal) = match running.stop {
            None => (Stopping::Asked, Signal::SIGTERM),
            Some((Stopping::Asked, since)) if waited(since) > limits::JOB_STOP_WAIT => {
                (Stopping::Urged, Signal::SIGTERM)
            }
            Some((Stopping::Urged, since)) if waited(since) > limits::JOB_KILL_WAIT => {
                (Stopping::Killed, Signal::SIGKILL)
            }
            _ => return,
        };
        let Some(process) = self.process_of(job, running) else { return };
        let number = i32::try_from(process).map(Pid::from_raw);
        // One that has just ended is what is wanted.
        if number.is_ok_and(|number| kill(number, signal).is_ok()) {
            running.stop = Some((next, now));
        }
    }

    /// The number of a job's process; of one that another runner started, as the job noted it.
    fn process_of(&self, job: &Job, running: &Running) -> Option<u32> {
        if let Some(process) = &running.process {
            return Some(process.id());
        }
        let note = Note::read(&self.spool, &job.id).filter(|note| note.attempt == job.attempt)?;
        let process = crate::base::world::Process {
            id: note.process,
            started: note.started,
            ..self.world.process()
        };
        (self.world.runs(&process) == Some(true)).then_some(note.process)
    }

    /// Notes how a job ended.
    fn settle(&self, job: &Job, code: Option<u8>, late: bool) -> Result<()> {
        let note = Note::read(&self.spool, &job.id).filter(|note| note.attempt == job.attempt);
        let now = self.world.now();
        let ending = turn::Ending {
            code: note.as_ref().and_then(|note| note.code).or(code),
            error: note.as_ref().map(|note| note.error.clone()).unwrap_or_default(),
            did_something: note.is_some_and(|note| note.bytes > 0 || note.objects > 0),
            late_after: late.then(|| job.seconds_max.unwrap_or(self.rules.seconds_max)),
        };
        // Somebody may have cancelled it meanwhile.
        self.spool.change(&job.id, |job| {
            ending.apply(job, now);
            Ok(())
        })
    }

    /// Begins what may begin.
    fn begin(&self, state: &mut State) -> Result<()> {
        let now = millis(self.world.now());
        // One look at each user: it goes through all processes.
        let known: RefCell<BTreeMap<String, Option<String>>> = RefCell::default();
        let busy = |user: &str| {
            let look = || self.busy(user);
            known.borrow_mut().entry(user.to_owned()).or_insert_with(look).clone()
        };
        for (id, turn) in turn::turns(&state.jobs, &self.rules, now, &busy) {
            let known = state.jobs.iter().find(|job| job.id == id).map(|job| job.waits.as_str());
            let done = match turn {
                Turn::Begin => self.begin_one(&id, &mut state.running),
                Turn::Waits(why) if known != Some(why.as_str()) => self.spool.change(&id, |job| {
                    job.waits = why;
                    Ok(())
                }),
                Turn::Waits(_) => Ok(()),
            };
            match done {
                // Cancelled since it was looked at.
                Err(error) if error.kind() == Kind::NotFound => {}
                done => done?,
            }
        }
        Ok(())
    }

    fn begin_one(&self, id: &JobId, running: &mut BTreeMap<JobId, Running>) -> Result<()> {
        let now = self.world.now();
        let job = self.spool.change(id, |job| {
            // It may have been cancelled since it was looked at.
            if job.state != JobState::Waiting {
                return Ok(None);
            }
            job.state = JobState::Running;
            job.attempt = job.attempt.saturating_add(1);
            job.begun = Some(millis(now));
            job.waits = String::new();
            Ok(Some(job.clone()))
        });
        let Some(job) = job? else { return Ok(()) };
        match self.launch.launch(&self.spool, &job) {
            Ok(process) => {
                let one = Running {
                    process: Some(process),
                    stop: None,
                    late: false,
                    seen: self.world.ticks(),
                    ran_before: Duration::ZERO,
                };
                running.insert(job.id, one);
                Ok(())
            }
            Err(error) => self.spool.change(id, |job| {
                let code = Some(error.kind().exit_code());
                job.end(JobState::Failed, code, error.one_line(), now);
                Ok(())
            }),
        }
    }

    /// Who works on a user at this moment, outside of the queue.
    fn busy(&self, user: &str) -> Option<String> {
        let user = UserName::parse(user).ok()?;
        if let Some(holder) = userlock::holder_of(&self.run_folder, &user) {
            return Some(format!("{holder} is running"));
        }
        let hestia = userlock::refuse_while_hestia_works(&self.hestia, &user).err()?;
        (hestia.kind() == Kind::InUse).then(|| hestia.reasons())
    }
}
