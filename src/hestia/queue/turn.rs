// SPDX-License-Identifier: MIT
//! Whose turn it is, and what becomes of a job that ended: decisions without a clock, a disk or a
//! process.

use super::Rules;
use super::job::{Job, JobId, JobState, millis};
use crate::base::units::Span;
use crate::base::{Kind, Timestamp, limits};
use std::time::Duration;

/// What happens to a job that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is begun.
    Begin,
    /// It goes on waiting, for this.
    Waits(String),
}

/// Decides about those that wait, in the order of their turns. `busy` says who else works on a
/// user.
///
/// As many run as the settings say, one of a user. One that somebody waits for in front of a screen
/// has a place of its own beside them: a restore reads and writes little, and does not wait for
/// hours behind the nightly backup of everybody else. After half an hour only age counts: whoever
/// keeps asking for urgent things does not keep everybody else waiting.
pub fn turns(
    jobs: &[Job],
    rules: &Rules,
    now: i64,
    busy: &dyn Fn(&str) -> Option<String>,
) -> Vec<(JobId, Turn)> {
    let mut running: Vec<&Job> = jobs.iter().filter(|job| job.state == JobState::Running).collect();
    let mut waiting: Vec<&Job> = jobs.iter().filter(|job| job.state == JobState::Waiting).collect();
    let is_overdue = |job: &Job| now.saturating_sub(job.asked) > limits::JOB_OVERDUE_MILLIS;
    waiting.sort_by(|a, b| match (is_overdue(a), is_overdue(b)) {
        (true, true) => (a.asked, &a.id).cmp(&(b.asked, &b.id)),
        (a_is, b_is) => b_is.cmp(&a_is).then_with(|| a.turn().cmp(&b.turn())),
    });
    let mut turns = Vec::new();
    for (place, job) in waiting.into_iter().enumerate() {
        match reason_to_wait(job, &running, rules, now, busy) {
            // Of those far behind nobody asks why.
            Some(_) if place >= limits::JOBS_EXPLAINED => {}
            Some(why) => turns.push((job.id.clone(), Turn::Waits(why))),
            None => {
                running.push(job);
                turns.push((job.id.clone(), Turn::Begin));
            }
        }
    }
    turns
}

fn reason_to_wait(
    job: &Job,
    running: &[&Job],
    rules: &Rules,
    now: i64,
    busy: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let is_awaited = job.kind.is_awaited();
    let none_is = !running.iter().any(|one| one.kind.is_awaited());
    let is_copy = |job: &Job| job.kind == super::JobKind::Copy;
    // The first copy over a slow line takes days: no backup waits for it.
    let taken = running.iter().filter(|one| is_copy(job) || !is_copy(one)).count();
    let has_place = taken < rules.workers || (is_awaited && none_is && taken == rules.workers);
    if let Some(one) = running.iter().find(|one| !job.user.is_empty() && one.user == job.user) {
        return Some(format!("the job {} of the same user", one.id));
    }
    if job.kind == super::JobKind::Care && running.iter().any(|one| one.kind == job.kind) {
        return Some("another job that looks after a repository".to_owned());
    }
    if is_copy(job) && running.iter().any(|one| is_copy(one) && one.repository == job.repository) {
        // Both would find the same snapshots lacking, and store each twice.
        return Some("another copy into the same repository".to_owned());
    }
    if !has_place {
        return Some("a free place: other jobs are running".to_owned());
    }
    if job.not_before.is_some_and(|time| time > now) {
        let before = if job.waits.is_empty() { "the next try" } else { job.waits.as_str() };
        return Some(before.to_owned());
    }
    if job.user.is_empty() { None } else { busy(&job.user) }
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ending {
    /// Its exit code; none, if it was killed.
    pub code: Option<u8>,
    /// What it said about it.
    pub error: String,
    /// Whether it had read or written anything.
    pub did_something: bool,
    /// It was stopped because it took longer than so many seconds.
    pub late_after: Option<u64>,
}

impl Ending {
    /// Notes it in the job: over, or waiting once more.
    pub fn apply(&self, job: &mut Job, now: Timestamp) {
        let cancelled = Kind::Cancelled.exit_code();
        let asked = job.cancel.is_some();
        if let Some(seconds) = self.late_after
            && self.code.is_none_or(|code| code == cancelled)
        {
            let time = Span(Duration::from_secs(seconds));
            let error = format!("stopped: it took longer than {time}{}", advice(job));
            return job.end(JobState::Failed, Some(Kind::Load.exit_code()), error, now);
        }
        match self.code {
            Some(0) => job.end(JobState::Done, Some(0), String::new(), now),
            Some(code) if code == Kind::Partial.exit_code() => {
                job.end(JobState::Partial, Some(code), self.error.clone(), now);
            }
            Some(code) if code == Kind::InUse.exit_code() && self.may_wait(job, now) => {
                again(job, now, limits::JOB_BUSY_PAUSE, self.error.clone());
            }
            Some(code) if code == cancelled && asked => {
                job.end(JobState::Cancelled, Some(code), self.error.clone(), now);
            }
            None if asked => {
                let error = format!("stopped by force{}", advice(job));
                job.end(JobState::Cancelled, Some(cancelled), error, now);
            }
            Some(code) if code != cancelled => {
                job.end(JobState::Failed, Some(code), self.error.clone(), now);
            }
            // Killed, or asked to stop when the machine went down.
            _ if job.kind.is_repeatable() && job.interrupted == 0 => {
                job.interrupted = 1;
                let why = "its next try: it was cut off".to_owned();
                again(job, now, limits::JOB_AGAIN_PAUSE, why);
            }
            _ => {
                let error = format!("cut off{}", advice(job));
                job.end(JobState::Interrupted, None, error, now);
            }
        }
    }

    /// Somebody else is at it and nothing was done yet; but not for ever.
    fn may_wait(&self, job: &Job, now: Timestamp) -> bool {
        let age = millis(now).saturating_sub(job.asked);
        !self.did_something && job.cancel.is_none() && age < limits::JOB_BUSY_MILLIS_MAX
    }
}

/// It waits once more.
fn again(job: &mut Job, now: Timestamp, pause: Duration, why: String) {
    let pause = i64::try_from(pause.as_millis()).unwrap_or(0);
    job.state = JobState::Waiting;
    job.not_before = Some(millis(now).saturating_add(pause));
    job.waits = why;
}

/// What to do about one that was cut off.
fn advice(job: &Job) -> String {
    if job.kind.is_repeatable() {
        return if job.interrupted > 0 {
            " twice; hand it in again".to_owned()
        } else {
            String::new()
        };
    }
    format!(
        ", and not begun again by itself: v-ghostsnap-list-user-restores {0} says what can be \
         taken back; or hand it in again",
        job.user
    )
}

#[cfg(test)]
mod tests {
    use super::super::{JobKind, NewJob};
    use super::*;
    use crate::base::World;
    use crate::hestia::UserName;

    fn job(world: &World, kind: JobKind, user: &str, state: JobState) -> Job {
        let new = NewJob {
            kind,
            user: (!user.is_empty()).then(|| UserName::parse(user).unwrap()),
            person: String::new(),
            command: String::new(),
            words: Vec::new(),
            what: String::new(),
            repository: String::new(),
            by: String::new(),
            seconds_max: None,
        };
        let now = world.now();
        let mut job = Job::new(JobId::new(world, now).unwrap(), new, now);
        job.state = state;
        job
    }

    /// Those that begin, as `kind user`.
    fn begun(jobs: &[Job], workers: usize, busy: &[&str]) -> Vec<String> {
        let rules = Rules { workers, ..Rules::default() };
        let is_busy = |user: &str| busy.contains(&user).then(|| "a backup is running".to_owned());
        let turns = turns(jobs, &rules, 0, &is_busy);
        let begins = turns.into_iter().filter(|(_, turn)| *turn == Turn::Begin);
        let named = |id: JobId| {
            let job = jobs.iter().find(|job| job.id == id).unwrap();
            format!("{} {}", job.kind.word(), job.user)
        };
        begins.map(|(id, _)| named(id)).collect()
    }

    #[test]
    fn whose_turn_it_is() {
        use JobKind::{Backup, Care, Download, Export, Restore};
        use JobState::{Running, Waiting};
        let world = World::seeded(1);
        let job = |kind, user, state| job(&world, kind, user, state);
        let waiting =
            [job(Backup, "a", Waiting), job(Export, "b", Waiting), job(Restore, "c", Waiting)];
        assert_eq!(begun(&waiting, 1, &[]), ["restore c"]);
        assert_eq!(begun(&waiting, 2, &[]), ["restore c", "export b"]);
        assert_eq!(begun(&waiting, 9, &["c"]), ["export b", "backup a"]);
        // One place beside the others for somebody who waits in front of a screen, and one only.
        let full = [
            job(Backup, "a", Running),
            job(Export, "b", Waiting),
            job(Restore, "c", Waiting),
            job(Download, "d", Waiting),
        ];
        assert_eq!(begun(&full, 1, &[]), ["restore c"]);
        let fuller = [job(Backup, "a", Running), job(Restore, "b", Running), full[2].clone()];
        assert!(begun(&fuller, 1, &[]).is_empty());
        // Of one user one, whatever the places; an administrator's jobs have no user.
        let same =
            [job(Backup, "a", Running), job(Restore, "a", Waiting), job(Backup, "", Waiting)];
        assert_eq!(begun(&same, 9, &[]), ["backup "]);
        let care = [job(Care, "", Waiting), job(Care, "", Waiting)];
        assert_eq!(begun(&care, 9, &[]).len(), 1);
    }

    #[test]
    fn a_copy_keeps_no_backup_waiting_and_is_the_only_one_into_its_repository() {
        use JobKind::{Backup, Copy};
        use JobState::{Running, Waiting};
        let world = World::seeded(1);
        let job = |kind, user, state| job(&world, kind, user, state);
        let into = |repository: &str, state| Job {
            repository: repository.to_owned(),
            ..job(Copy, "", state)
        };
        let jobs = [into("a", Running), job(Backup, "x", Waiting), job(Backup, "y", Waiting)];
        assert_eq!(begun(&jobs, 1, &[]), ["backup x"]);
        assert!(begun(&[job(Backup, "x", Running), into("a", Waiting)], 1, &[]).is_empty());
        let same = [into("a", Running), into("a", Waiting), into("b", Waiting)];
        assert_eq!(begun(&same, 9, &[]), ["copy "]);
        assert_eq!(begun(&same[1..], 9, &[]).len(), 2);
    }

    #[test]
    fn whoever_keeps_asking_for_urgent_things_keeps_nobody_waiting_for_ever() {
        let world = World::seeded(1);
        let mut jobs = vec![job(&world, JobKind::Backup, "a", JobState::Waiting)];
        let first = jobs[0].asked;
        jobs.extend((0..5).map(|_| job(&world, JobKind::Restore, "b", JobState::Waiting)));
        let rules = Rules { workers: 1, ..Rules::default() };
        let begins = |now: i64| {
            let turns = turns(&jobs, &rules, now, &|_| None);
            let begun = turns.iter().find(|(_, turn)| *turn == Turn::Begin).unwrap();
            jobs.iter().find(|job| job.id == begun.0).unwrap().kind
        };
        assert_eq!(begins(first), JobKind::Restore);
        assert_eq!(begins(first + limits::JOB_OVERDUE_MILLIS + 1), JobKind::Backup);
    }

    #[test]
    fn what_becomes_of_a_job_that_ended() {
        let world = World::seeded(1);
        let now = world.now();
        let end = |kind: JobKind, code: Option<u8>, change: &dyn Fn(&mut Job, &mut Ending)| {
            let mut job = job(&world, kind, "bob", JobState::Running);
            let mut ending = Ending { code, error: "why".to_owned(), ..Ending::default() };
            change(&mut job, &mut ending);
            ending.apply(&mut job, now);
            job
        };
        let plain = |kind, code| end(kind, code, &|_, _| ()).state;
        let asked = |job: &mut Job, _: &mut Ending| job.cancel = Some(0);
        assert_eq!(plain(JobKind::Backup, Some(0)), JobState::Done);
        assert_eq!(plain(JobKind::Backup, Some(30)), JobState::Partial);
        assert_eq!(plain(JobKind::Restore, Some(17)), JobState::Failed);
        assert_eq!(end(JobKind::Restore, Some(33), &asked).state, JobState::Cancelled);
        assert_eq!(end(JobKind::Restore, Some(0), &asked).state, JobState::Done);
        let forced = end(JobKind::Restore, None, &asked);
        assert_eq!(forced.state, JobState::Cancelled);
        assert!(forced.error.contains("v-ghostsnap-list-user-restores bob"), "{}", forced.error);
        // Killed, or stopped when the machine went down.
        for code in [None, Some(33)] {
            assert_eq!(plain(JobKind::Backup, code), JobState::Waiting);
            assert_eq!(plain(JobKind::Restore, code), JobState::Interrupted);
            let second = end(JobKind::Backup, code, &|job, _| job.interrupted = 1);
            assert_eq!(second.state, JobState::Interrupted);
        }
        // Somebody else works on the user: later, unless something was done or it has been a day.
        assert_eq!(plain(JobKind::Restore, Some(7)), JobState::Waiting);
        let did = |_: &mut Job, ending: &mut Ending| ending.did_something = true;
        assert_eq!(end(JobKind::Restore, Some(7), &did).state, JobState::Failed);
        let old = |job: &mut Job, _: &mut Ending| job.asked = 0;
        assert_eq!(end(JobKind::Restore, Some(7), &old).state, JobState::Failed);
        let late = |_: &mut Job, ending: &mut Ending| ending.late_after = Some(3600);
        let job = end(JobKind::Backup, Some(33), &late);
        assert_eq!((job.state, job.code), (JobState::Failed, Some(14)));
        assert!(job.error.contains("longer than"), "{}", job.error);
        assert_eq!(end(JobKind::Backup, Some(0), &late).state, JobState::Done);
    }
}
