// SPDX-License-Identifier: MIT
//! Where jobs are kept: a file each, replaced as a whole, so that a power cut leaves the old or the
//! new one. `active` holds what waits and runs, `done` what has ended, `work` what belongs to a
//! job: how far it is, its log, its result, and the lock that its process holds while it lives.
//! All of it is root's alone: whoever may write here decides what root runs.
//!
//! Whoever changes a job's file holds the lock of the spool meanwhile. Nobody waits with it.

use super::job::{Job, JobId, NewJob};
use crate::backend::private_file::remove_file;
use crate::base::error::io_error;
use crate::base::{Error, Kind, Result, WhatIo, World, limits};
use crate::hestia::call::private_folder;
use crate::hestia::{UserName, conf};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of all jobs.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
    world: Arc<World>,
}

/// Jobs, and what could not be read.
#[derive(Debug, Default)]
pub struct Listing {
    /// The jobs, by age.
    pub jobs: Vec<Job>,
    /// Files that are no jobs.
    pub problems: Vec<Error>,
}

/// A held lock; it ends with the process at the latest.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held for its drop")] Flock<File>);

impl Spool {
    /// The spool in this folder, which need not be there yet.
    pub fn new(folder: &Path, world: &Arc<World>) -> Self {
        Self { folder: folder.to_owned(), world: Arc::clone(world) }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes its folders.
    pub fn make(&self) -> Result<()> {
        for folder in ["", "active", "done", "work"] {
            private_folder(&self.folder.join(folder))?;
        }
        Ok(())
    }

    /// What changes whenever a job is handed in or goes on: the folder of those that wait or run.
    pub fn active_folder(&self) -> PathBuf {
        self.folder.join("active")
    }

    /// Where a job's process notes how far it is.
    pub fn note_path(&self, id: &JobId) -> PathBuf {
        self.folder.join(format!("work/{id}.note"))
    }

    /// What a job's process says.
    pub fn log_path(&self, id: &JobId) -> PathBuf {
        self.folder.join(format!("work/{id}.log"))
    }

    /// The rows that a job's command printed.
    pub fn result_path(&self, id: &JobId) -> PathBuf {
        self.folder.join(format!("work/{id}.result"))
    }

    /// Hands a job in. Also says how many are ahead of it.
    pub fn submit(&self, new: NewJob) -> Result<(Job, u64)> {
        self.make()?;
        let _held = self.lock()?;
        let now = self.world.now();
        let job = Job::new(JobId::new(&self.world, now)?, new, now);
        let active = self.active()?.jobs;
        let what = || format!("hand in {} {}", job.command, job.what);
        if active.len() >= limits::JOBS_ACTIVE_MAX {
            return Err(Error::new(Kind::Limit, what())
                .why(format!("{} jobs are waiting already", active.len())));
        }
        let of_user = active.iter().filter(|one| one.user == job.user).count();
        if !job.user.is_empty() && of_user >= limits::JOBS_OF_USER_MAX {
            return Err(Error::new(Kind::Limit, what())
                .why(format!("{of_user} jobs of {} are waiting already", job.user)));
        }
        let same = |one: &&Job| one.state == super::JobState::Waiting && one.is_same(&job);
        if let Some(same) = active.iter().find(same) {
            return Err(Error::new(Kind::Exists, what())
                .why(format!("the job {} waits to do just that", same.id)));
        }
        let is_ahead =
            |one: &&Job| one.state != super::JobState::Waiting || one.turn() < job.turn();
        let ahead = active.iter().filter(is_ahead).count();
        self.store("active", &job)?;
        Ok((job, crate::base::units::bytes(ahead)))
    }

    /// The jobs that wait or run.
    pub fn active(&self) -> Result<Listing> {
        let mut listing = self.read_folder("active")?;
        // A job whose end was written and whose begin was not removed before the power went.
        listing.jobs.retain(|job| !self.path("done", &job.id).exists());
        Ok(listing)
    }

    /// All jobs, or those of a user.
    pub fn all(&self, user: Option<&UserName>) -> Result<Listing> {
        // In this order a job that ends meanwhile is seen twice rather than not at all.
        let mut listing = self.active()?;
        let done = self.read_folder("done")?;
        let ended: BTreeSet<&JobId> = done.jobs.iter().map(|job| &job.id).collect();
        listing.jobs.retain(|job| !ended.contains(&job.id));
        listing.jobs.extend(done.jobs);
        listing.problems.extend(done.problems);
        listing.jobs.retain(|job| user.is_none_or(|user| job.is_of(user)));
        listing.jobs.sort_by(|a, b| (a.asked, &a.id).cmp(&(b.asked, &b.id)));
        Ok(listing)
    }

    /// A job. With a user, that of anybody else does not exist.
    pub fn find(&self, id: &JobId, user: Option<&UserName>) -> Result<Job> {
        let found = match self.read("done", id)? {
            Some(job) => Some(job),
            None => match self.read("active", id)? {
                Some(job) => Some(job),
                // It may just have ended.
                None => self.read("done", id)?,
            },
        };
        found.filter(|job| user.is_none_or(|user| job.is_of(user))).ok_or_else(|| not_found(id))
    }

    /// Changes a job that waits or runs; one that has ended afterwards goes to those that have.
    pub fn change<T>(&self, id: &JobId, change: impl FnOnce(&mut Job) -> Result<T>) -> Result<T> {
        let _held = self.lock()?;
        if self.path("done", id).exists() {
            return Err(Error::new(Kind::NotFound, format!("change the job {id}"))
                .why("it has ended already"));
        }
        let mut job = self.read("active", id)?.ok_or_else(|| not_found(id))?;
        let before = job.clone();
        let result = change(&mut job)?;
        if job.state.has_ended() {
            self.store("done", &job)?;
            remove_file(&self.path("active", id))?;
        } else if job != before {
            self.store("active", &job)?;
        }
        Ok(result)
    }

    /// Takes a job's own lock, which its process holds as long as it lives; `None` if it does.
    pub fn hold_run(&self, id: &JobId) -> Result<Option<Held>> {
        try_lock(&self.folder.join(format!("work/{id}.run")))
    }

    /// Removes what has ended before this time (milliseconds since 1970), the oldest beyond so
    /// many, and what belongs to no job any more.
    pub fn sweep(&self, before: i64, kept: usize) -> Result<()> {
        let _held = self.lock()?;
        let active = self.read_folder("active")?;
        let mut done = self.read_folder("done")?.jobs;
        done.sort_by(|a, b| (b.ended, &b.id).cmp(&(a.ended, &a.id)));
        // Nobody pushes out what others want to know.
        let mut of_users: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, job) in done.iter().enumerate() {
            let of_user = of_users.entry(&job.user).or_default();
            *of_user += usize::from(!job.user.is_empty());
            let is_beyond = place >= kept || *of_user > limits::JOBS_KEPT_OF_USER_MAX;
            if is_beyond || job.ended.is_none_or(|ended| ended < before) {
                remove_file(&self.path("done", &job.id))?;
            }
        }
        for job in active.jobs.iter().filter(|job| self.path("done", &job.id).exists()) {
            remove_file(&self.path("active", &job.id))?;
        }
        let work = self.folder.join("work");
        for entry in fs::read_dir(&work).what_io(|| format!("list {}", work.display()))? {
            let path = entry.what_io(|| format!("list {}", work.display()))?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()).map(JobId::parse);
            let is_known =
                |id: &JobId| ["active", "done"].iter().any(|folder| self.path(folder, id).exists());
            if !matches!(id, Some(Ok(id)) if is_known(&id)) {
                remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Nobody else changes anything while this is held.
    pub(super) fn lock(&self) -> Result<Held> {
        let path = self.folder.join("lock");
        let file = open_lock(&path)?;
        let what = || format!("lock {}", path.display());
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(held) => Ok(Held(held)),
            Err((_, errno)) => Err(io_error(errno.into(), what())),
        }
    }

    fn path(&self, folder: &str, id: &JobId) -> PathBuf {
        self.folder.join(format!("{folder}/{id}.json"))
    }

    fn store(&self, folder: &str, job: &Job) -> Result<()> {
        let text = serde_json::to_vec(job).map_err(|error| {
            Error::new(Kind::Internal, format!("write the job {}", job.id)).cause(error)
        })?;
        replace(&self.path(folder, &job.id), &text, true)
    }

    fn read(&self, folder: &str, id: &JobId) -> Result<Option<Job>> {
        read_job(&self.path(folder, id))
    }

    fn read_folder(&self, folder: &str) -> Result<Listing> {
        let path = self.folder.join(folder);
        let what = || format!("list {}", path.display());
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
            entries => entries.what_io(what)?,
        };
        let mut listing = Listing::default();
        for entry in entries {
            let path = entry.what_io(what)?.path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            match read_job(&path) {
                Ok(job) => listing.jobs.extend(job),
                Err(error) => listing.problems.push(error),
            }
        }
        listing.jobs.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(listing)
    }
}

/// What is said of a job that is not there, or not the asker's.
pub fn not_found(id: &JobId) -> Error {
    Error::new(Kind::NotFound, format!("find the job {id}")).why("there is no such job")
}

fn read_job(path: &Path) -> Result<Option<Job>> {
    let Some(bytes) = conf::read_file(path)? else { return Ok(None) };
    let job: Job = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(Kind::Parsing, format!("read the job {}", path.display())).cause(error)
    })?;
    // Its name is what others know it by.
    let is_it = path.file_stem().is_some_and(|stem| stem == job.id.as_str());
    if !is_it {
        return Err(Error::new(Kind::Parsing, format!("read the job {}", path.display()))
            .why(format!("the job in it is {}", job.id)));
    }
    Ok(Some(job))
}

/// Replaces a file as a whole; `durable` says that it must be there after a power cut.
pub(super) fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let what = || format!("write {}", path.display());
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".new-{}", std::process::id()));
    let draft = PathBuf::from(draft);
    remove_file(&draft)?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&draft).what_io(what)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| if durable { file.sync_all() } else { Ok(()) })
        .and_then(|()| fs::rename(&draft, path));
    if let Err(error) = written {
        remove_file(&draft)?;
        return Err(io_error(error, what()));
    }
    if durable && let Some(folder) = path.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).what_io(what)?;
    }
    Ok(())
}

/// The end of a file, as much of it as is shown; nothing, if it is not there.
pub(super) fn read_end(path: &Path) -> Result<Vec<u8>> {
    let what = || format!("read {}", path.display());
    let mut file = match conf::open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.what_io(what)?,
    };
    let length = file.metadata().what_io(what)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limits::JOB_LOG_SHOWN_BYTES))).what_io(what)?;
    let mut bytes = Vec::new();
    file.take(limits::JOB_LOG_SHOWN_BYTES).read_to_end(&mut bytes).what_io(what)?;
    Ok(bytes)
}

fn open_lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options.custom_flags(OFlag::O_NOFOLLOW.bits());
    options.open(path).what_io(|| format!("lock {}", path.display()))
}

/// Takes the lock that this file is; `None` if somebody has it.
pub(super) fn try_lock(path: &Path) -> Result<Option<Held>> {
    match Flock::lock(open_lock(path)?, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Some(Held(held))),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(io_error(errno.into(), format!("lock {}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{JobKind, JobState};
    use super::*;

    fn new(kind: JobKind, user: &str, word: &str) -> NewJob {
        NewJob {
            kind,
            user: (!user.is_empty()).then(|| UserName::parse(user).unwrap()),
            person: String::new(),
            command: format!("v-ghostsnap-{}-user", kind.word()),
            words: vec![user.into(), word.into()],
            what: String::new(),
            repository: String::new(),
            by: "root".to_owned(),
            seconds_max: None,
        }
    }

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(&folder.path().join("jobs"), &Arc::new(World::seeded(1)));
        (folder, spool)
    }

    #[test]
    fn a_job_is_found_until_it_is_swept_and_only_by_its_user() {
        let (_folder, spool) = spool();
        assert!(spool.all(None).unwrap().jobs.is_empty(), "nothing was handed in yet");
        let (job, ahead) = spool.submit(new(JobKind::Backup, "bob", "")).unwrap();
        assert_eq!(ahead, 0);
        let (bob, eve) = (UserName::parse("bob").unwrap(), UserName::parse("bob.x").unwrap());
        assert_eq!(spool.find(&job.id, Some(&bob)).unwrap(), job);
        let error = spool.find(&job.id, Some(&eve)).unwrap_err();
        let nobodys = JobId::parse("20260102-030405-00000000").unwrap();
        let nothing = spool.find(&nobodys, Some(&eve)).unwrap_err();
        // Whether somebody else has such a job is not to be learned.
        let hide = |error: &Error, id: &JobId| error.one_line().replace(id.as_str(), "ID");
        assert_eq!(hide(&error, &job.id), hide(&nothing, &nobodys));
        assert!(spool.all(Some(&eve)).unwrap().jobs.is_empty());
        let now = spool.world.now();
        let end = |job: &mut Job| {
            job.end(JobState::Done, Some(0), String::new(), now);
            Ok(())
        };
        spool.change(&job.id, end).unwrap();
        assert_eq!(spool.find(&job.id, Some(&bob)).unwrap().state, JobState::Done);
        assert!(spool.active().unwrap().jobs.is_empty());
        assert_eq!(spool.change(&job.id, end).unwrap_err().kind(), Kind::NotFound);
        Note::default().write(&spool, &job.id).unwrap();
        spool.sweep(0, 10).unwrap();
        assert_eq!(spool.all(None).unwrap().jobs.len(), 1);
        spool.sweep(i64::MAX, 10).unwrap();
        assert!(spool.all(None).unwrap().jobs.is_empty());
        assert!(!spool.note_path(&job.id).exists(), "what belongs to it goes too");
    }

    use super::super::Note;

    #[test]
    fn the_same_twice_is_told_and_too_many_are_refused() {
        let (_folder, spool) = spool();
        let (first, _) = spool.submit(new(JobKind::Restore, "bob", "1")).unwrap();
        let error = spool.submit(new(JobKind::Restore, "bob", "1")).unwrap_err();
        assert_eq!(error.kind(), Kind::Exists);
        assert!(error.one_line().contains(first.id.as_str()), "{error}");
        // One that runs already does not see what came since.
        let run = |job: &mut Job| {
            job.state = JobState::Running;
            Ok(())
        };
        spool.change(&first.id, run).unwrap();
        spool.submit(new(JobKind::Restore, "bob", "1")).unwrap();
        for number in 2..limits::JOBS_OF_USER_MAX {
            spool.submit(new(JobKind::Backup, "bob", &number.to_string())).unwrap();
        }
        let error = spool.submit(new(JobKind::Backup, "bob", "x")).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        // A restore of somebody else goes before the backups, behind the restores.
        let (_, ahead) = spool.submit(new(JobKind::Restore, "eve", "1")).unwrap();
        assert_eq!(ahead, 2);
    }

    #[test]
    fn the_end_counts_where_a_power_cut_left_both_files() {
        let (_folder, spool) = spool();
        let (job, _) = spool.submit(new(JobKind::Backup, "bob", "")).unwrap();
        let mut ended = job.clone();
        ended.end(JobState::Done, Some(0), String::new(), spool.world.now());
        spool.store("done", &ended).unwrap();
        assert_eq!(spool.all(None).unwrap().jobs, [ended.clone()]);
        assert!(spool.active().unwrap().jobs.is_empty());
        assert_eq!(spool.find(&job.id, None).unwrap(), ended);
        spool.sweep(0, 10).unwrap();
        assert!(!spool.path("active", &job.id).exists());
    }

    #[test]
    fn a_file_that_is_no_job_is_told_and_hides_no_other_one() {
        let (_folder, spool) = spool();
        let (job, _) = spool.submit(new(JobKind::Backup, "bob", "")).unwrap();
        let other = JobId::parse("20260102-030405-00000000").unwrap();
        fs::write(spool.path("active", &other), "{").unwrap();
        fs::copy(spool.path("active", &job.id), spool.path("done", &other)).unwrap();
        let listing = spool.all(None).unwrap();
        assert_eq!((listing.jobs, listing.problems.len()), (vec![job], 2));
        assert!(spool.find(&other, None).is_err());
    }

    #[test]
    fn a_run_has_one_process() {
        let (_folder, spool) = spool();
        let (job, _) = spool.submit(new(JobKind::Backup, "bob", "")).unwrap();
        let held = spool.hold_run(&job.id).unwrap();
        assert!(held.is_some() && spool.hold_run(&job.id).unwrap().is_none());
        drop(held);
        assert!(spool.hold_run(&job.id).unwrap().is_some());
    }
}
