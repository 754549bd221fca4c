// SPDX-License-Identifier: MIT
//! The queue of jobs through the program itself, against a double of HestiaCP: handed in as the
//! panel does it, worked off by runners that are killed, and asked for by accounts without rights.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]
#![allow(clippy::print_stderr)]

#[path = "common/hestia.rs"]
mod double;

use double::*;
use ghostsnap::base::World;
use ghostsnap::hestia::queue::{Job, JobId, JobKind, JobState, NewJob, Spool};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for something that must happen: machines of testers may be slow.
const PATIENCE: Duration = Duration::from_secs(120);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let world = World::system();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(world.ticks() < PATIENCE, "waited in vain until {what}");
        world.sleep(Duration::from_millis(20));
    }
}

trait Program {
    fn command(&self, args: &[&str]) -> Command;
    fn panel(&self, args: &[&str]) -> (i32, String);
    fn ok(&self, args: &[&str]) -> Value;
    /// Hands a job in and returns its id.
    fn hand_in(&self, args: &[&str]) -> JobId;
    fn spool(&self) -> Spool;
    fn job(&self, id: &JobId) -> Job;
    fn ends(&self, id: &JobId) -> Job;
    fn runs(&self, id: &JobId) -> Job;
    /// Nobody works the queue off while this is held.
    fn hold_queue(&self) -> Flock<File>;
    fn runner(&self) -> Child;
    fn note(&self, id: &JobId) -> Value;
}

impl Program for Machine {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghostsnap"));
        command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("GHOSTSNAP_HESTIA_BELOW", self.folder.path()).stdin(Stdio::null());
        command
    }

    fn panel(&self, args: &[&str]) -> (i32, String) {
        let args: Vec<&str> = ["--panel"].iter().chain(args).copied().collect();
        let output = self.command(&args).output().unwrap();
        assert!(output.stderr.is_empty(), "the panel never sees this: {output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    fn ok(&self, args: &[&str]) -> Value {
        let (code, text) = self.panel(args);
        assert_eq!(code, 0, "{args:?}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn hand_in(&self, args: &[&str]) -> JobId {
        let (code, text) = self.panel(args);
        assert_eq!(code, 0, "{args:?}: {text}");
        // A header, a rule, and the job's row.
        let row = text.lines().nth(2).unwrap();
        JobId::parse(row.split_whitespace().next().unwrap()).unwrap()
    }

    fn spool(&self) -> Spool {
        Spool::new(&self.path("var/lib/ghostsnap/jobs"), &Arc::new(World::system()))
    }

    fn job(&self, id: &JobId) -> Job {
        self.spool().find(id, None).unwrap()
    }

    fn ends(&self, id: &JobId) -> Job {
        until("the job ends", || Some(self.job(id)).filter(|job| job.state.has_ended()))
    }

    fn runs(&self, id: &JobId) -> Job {
        until("the job begins", || {
            assert!(!self.job(id).state.has_ended(), "{:?}", self.job(id));
            let has_noted = || self.spool().note_path(id).exists();
            Some(self.job(id)).filter(|job| job.state == JobState::Running && has_noted())
        })
    }

    fn hold_queue(&self) -> Flock<File> {
        let path = self.path("run/ghostsnap/jobs.lock");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let open =
            || OpenOptions::new().create(true).write(true).truncate(false).open(&path).unwrap();
        until("nobody works the queue off", || {
            Flock::lock(open(), FlockArg::LockExclusiveNonblock).ok()
        })
    }

    fn runner(&self) -> Child {
        let mut command = self.command(&["hestia", "run-jobs", "--until-empty"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn note(&self, id: &JobId) -> Value {
        serde_json::from_slice(&fs::read(self.spool().note_path(id)).unwrap()).unwrap()
    }
}

/// A machine that nobody looks at any more once its last job has ended.
struct Guard(Machine);

impl std::ops::Deref for Guard {
    type Target = Machine;
    fn deref(&self) -> &Machine {
        &self.0
    }
}

impl Drop for Guard {
    /// A runner in the background must not write into a folder that goes.
    fn drop(&mut self) {
        self.0.heal();
        if !std::thread::panicking() {
            drop(self.0.hold_queue());
        }
    }
}

fn server() -> Guard {
    Guard(machine())
}

fn kill_hard(process: u64) {
    kill(Pid::from_raw(i32::try_from(process).unwrap()), Signal::SIGKILL).unwrap();
}

fn id(number: u32) -> String {
    format!("20260102-030405-{number:08x}")
}

#[test]
fn what_was_handed_in_is_done_by_somebody_and_says_how_it_went() {
    let machine = server();
    let id = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "alice", "", "yes"]);
    let job = machine.ends(&id);
    assert_eq!((job.state, job.attempt), (JobState::Done, 1), "{job:?}");
    let row =
        &machine.ok(&["v-ghostsnap-list-user-job", "alice", id.as_str(), "json"])[id.as_str()];
    assert_eq!((&row["STATE"], &row["PERCENT"]), (&"done".into(), &"100".into()));
    assert_eq!((&row["KIND"], &row["WHAT"]), (&"backup".into(), &"notify".into()));
    assert!(row["BYTES"].as_str().unwrap().parse::<u64>().unwrap() > 100_000, "{row}");
    assert!(row["OBJECTS"].as_str().unwrap().parse::<u64>().unwrap() > 10, "{row}");
    let result: Value = serde_json::from_str(row["RESULT"].as_str().unwrap()).unwrap();
    assert_eq!(result["alice"]["RESULT"], "succeeded");
    assert!(row["LOG"].as_str().unwrap().contains("repository.key"), "the first backup tells");
    let backups = machine.ok(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    assert_eq!(backups.as_object().unwrap().len(), 1);
    // For a person the log follows the row.
    let (_, text) = machine.panel(&["v-ghostsnap-list-job", id.as_str()]);
    assert!(text.starts_with("JOB ") && text.contains("repository.key"), "{text}");
    // What failed says why.
    let id = machine.hand_in(&["v-ghostsnap-schedule-user-export", "alice", "0000000000"]);
    let job = machine.ends(&id);
    assert_eq!((job.state, job.code), (JobState::Failed, Some(3)), "{job:?}");
    assert!(job.error.contains("0000000000"), "{job:?}");
    let jobs = machine.ok(&["v-ghostsnap-list-user-jobs", "alice", "json"]);
    assert_eq!(jobs.as_object().unwrap().len(), 2);
}

#[test]
fn a_file_is_restored_and_downloaded_through_the_queue() {
    let machine = server();
    machine.panel(&["v-ghostsnap-backup-user", "bob"]);
    let file = machine.path("home/bob/My Files/notes.txt");
    fs::write(&file, "spoilt").unwrap();
    let restore = ["v-ghostsnap-schedule-restore-file", "bob", "latest", "My Files/notes.txt"];
    let download = ["v-ghostsnap-schedule-download-user-file", "bob", "latest", "My Files", "zip"];
    let (restore, download) = (machine.hand_in(&restore), machine.hand_in(&download));
    let job = machine.ends(&restore);
    assert_eq!(job.state, JobState::Done, "{job:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "of bob\n");
    let job = machine.ends(&download);
    assert_eq!(job.state, JobState::Done, "{job:?}");
    let row = machine.ok(&["v-ghostsnap-list-user-job", "bob", download.as_str(), "json"]);
    let result: Value =
        serde_json::from_str(row[download.as_str()]["RESULT"].as_str().unwrap()).unwrap();
    let made = result.as_object().unwrap().keys().next().unwrap();
    assert!(PathBuf::from(made).is_file(), "{made}");
}

#[test]
fn restores_go_first_one_of_a_user_at_a_time_and_each_once() {
    let machine = server();
    for user in ["alice", "bob"] {
        machine.panel(&["v-ghostsnap-backup-user", user]);
    }
    let held = machine.hold_queue();
    let backup = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "bob"]);
    let export = machine.hand_in(&["v-ghostsnap-schedule-user-export", "alice", "latest"]);
    let of_alice = ["v-ghostsnap-schedule-restore-file", "alice", "latest", ".bashrc"];
    let restore = machine.hand_in(&of_alice);
    let (code, text) = machine.panel(&of_alice);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains(restore.as_str()), "{text}");
    drop(held);
    // Many want to work it off; one does.
    let mut runners: Vec<Child> = (0..6).map(|_| machine.runner()).collect();
    for runner in &mut runners {
        assert!(runner.wait().unwrap().success());
    }
    let [backup, export, restore] = [&backup, &export, &restore].map(|id| machine.ends(id));
    for job in [&backup, &export, &restore] {
        assert_eq!((job.state, job.attempt), (JobState::Done, 1), "{job:?}");
    }
    assert!(restore.begun < export.begun && export.begun < backup.begun);
    assert!(restore.ended <= export.begun, "one of a user at a time");
    assert!(export.ended <= backup.begun, "one at a time");
}

#[test]
fn a_restore_does_not_wait_behind_the_backup_of_somebody_else() {
    let machine = server();
    machine.panel(&["v-ghostsnap-backup-user", "bob"]);
    machine.fault("dump-holds-alice_wp");
    let backup = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "alice"]);
    machine.runs(&backup);
    let restore = ["v-ghostsnap-schedule-restore-file", "bob", "latest", ".bashrc"];
    let restore = machine.hand_in(&restore);
    let export = machine.hand_in(&["v-ghostsnap-schedule-user-export", "bob", "latest"]);
    assert_eq!(machine.ends(&restore).state, JobState::Done);
    // What nobody sits in front of does wait, and says for what.
    until("it says what it waits for", || {
        machine.job(&export).waits.contains("other jobs are running").then_some(())
    });
    assert_eq!(machine.job(&export).state, JobState::Waiting);
    machine.heal();
    assert_eq!(machine.ends(&backup).state, JobState::Done);
    assert_eq!(machine.ends(&export).state, JobState::Done);
}

#[test]
fn a_job_waits_while_somebody_else_works_on_its_user() {
    let machine = server();
    machine.fault("dump-holds-alice_wp");
    let mut nightly = machine.command(&["hestia", "backup", "--user", "alice"]).spawn().unwrap();
    let lock = machine.path("run/ghostsnap/user-alice.lock");
    until("the backup has begun", || lock.exists().then_some(()));
    let id = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "alice"]);
    let waits = until("it says what it waits for", || {
        Some(machine.job(&id).waits).filter(|waits| !waits.is_empty())
    });
    assert!(waits.contains(&format!("(process {})", nightly.id())), "{waits}");
    machine.heal();
    assert!(nightly.wait().unwrap().success());
    assert_eq!(machine.ends(&id).state, JobState::Done);
}

#[test]
fn a_job_that_waits_or_runs_can_be_cancelled() {
    let machine = server();
    machine.fault("dump-holds-alice_wp");
    let running = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "alice"]);
    let process = until("it has noted its process", || {
        machine.runs(&running);
        machine.note(&running)["process"].as_u64()
    });
    let waiting = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "bob"]);
    let cancel =
        |user: &str, id: &JobId| machine.panel(&["v-ghostsnap-cancel-user-job", user, id.as_str()]);
    assert_eq!(cancel("bob", &running).0, 3, "that is somebody else's");
    let (code, text) = cancel("bob", &waiting);
    assert!(code == 0 && text.contains("cancelled"), "{text}");
    assert_eq!(machine.job(&waiting).attempt, 0);
    let (code, text) = cancel("alice", &running);
    assert!(code == 0 && text.contains("running"), "{text}");
    let job = machine.ends(&running);
    assert_eq!((job.state, job.code), (JobState::Cancelled, Some(33)), "{job:?}");
    let gone = PathBuf::from(format!("/proc/{process}"));
    until("its process is gone", || (!gone.exists()).then_some(()));
    assert_eq!(cancel("alice", &running).0, 3, "it has ended");
    let backups = machine.ok(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    assert!(backups.as_object().unwrap().is_empty());
}

#[test]
fn a_job_of_somebody_else_does_not_exist() {
    let machine = server();
    let id = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "alice"]);
    machine.ends(&id);
    for command in ["v-ghostsnap-list-user-job", "v-ghostsnap-cancel-user-job"] {
        let answers = [id.as_str(), "20260102-030405-00000000"].map(|id| {
            let (code, text) = machine.panel(&[command, "bob", id]);
            (code, text.replace(id, "ID"))
        });
        assert_eq!(answers[0], answers[1], "nothing is to be learned from the difference");
        assert_eq!(answers[0].0, 3);
        for bad in ["latest", "../../etc/passwd", "*", "20260102-030405-0000000G"] {
            let (code, text) = machine.panel(&[command, "alice", bad]);
            assert!(code == 2 && text.starts_with("Error: "), "{bad}: {text}");
        }
    }
    let jobs = machine.ok(&["v-ghostsnap-list-user-jobs", "bob", "json"]);
    assert!(jobs.as_object().unwrap().is_empty());
    assert_eq!(machine.panel(&["v-ghostsnap-list-user-jobs", "nobody"]).0, 3);
    let all = machine.ok(&["v-ghostsnap-list-jobs", "json"]);
    assert_eq!(all.as_object().unwrap().len(), 1);
}

#[test]
fn what_can_never_work_is_refused_before_it_waits() {
    let machine = server();
    for (words, code) in [
        (&["v-ghostsnap-schedule-user-backup", "nobody"][..], 3),
        (&["v-ghostsnap-schedule-user-backup", "../alice"], 2),
        (&["v-ghostsnap-schedule-user-backup", "alice", "elsewhere"], 3),
        (&["v-ghostsnap-schedule-user-backup", "alice", "s3://user:secret@host/bucket"], 2),
        (&["v-ghostsnap-schedule-user-backup", "alice", "/root/mine"], 2),
        (&["v-ghostsnap-schedule-user-restore", "alice"], 1),
        (&["v-ghostsnap-schedule-user-backup", "alice", "", "maybe"], 2),
        (&["v-ghostsnap-schedule-download-user-file", "alice", "latest", "x", "exe"], 2),
    ] {
        let (found, text) = machine.panel(words);
        assert_eq!(found, code, "{words:?}: {text}");
        assert!(!text.contains("secret") || code == 2, "{text}");
    }
    assert!(machine.spool().all(None).unwrap().jobs.is_empty());
}

#[test]
fn a_runner_that_is_killed_leaves_the_job_running_and_the_next_one_takes_it_over() {
    let machine = server();
    let held = machine.hold_queue();
    machine.fault("dump-holds-alice_wp");
    let id = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "alice"]);
    drop(held);
    let mut first = machine.runner();
    machine.runs(&id);
    kill_hard(first.id().into());
    first.wait().unwrap();
    let mut second = machine.runner();
    until("the next one works", || {
        let lock = File::open(machine.path("run/ghostsnap/jobs.lock")).unwrap();
        Flock::lock(lock, FlockArg::LockSharedNonblock).is_err().then_some(())
    });
    assert_eq!(machine.job(&id).attempt, 1, "it runs, and is not begun again");
    machine.heal();
    let job = machine.ends(&id);
    assert_eq!((job.state, job.attempt, job.interrupted), (JobState::Done, 1, 0), "{job:?}");
    assert!(second.wait().unwrap().success());
    // And cancelling reaches a process that another runner started.
    let held = machine.hold_queue();
    machine.fault("dump-holds-alice_wp");
    let id = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "alice"]);
    drop(held);
    let mut first = machine.runner();
    machine.runs(&id);
    kill_hard(first.id().into());
    first.wait().unwrap();
    machine.panel(&["v-ghostsnap-cancel-job", id.as_str()]);
    let mut second = machine.runner();
    let job = machine.ends(&id);
    assert_eq!((job.state, job.code), (JobState::Cancelled, Some(33)), "{job:?}");
    second.wait().unwrap();
}

#[test]
fn a_backup_that_is_killed_is_begun_again_once() {
    let machine = server();
    machine.panel(&["v-ghostsnap-backup-user", "bob"]);
    machine.fault("dump-holds-alice_wp");
    let id = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "alice"]);
    let mut processes = Vec::new();
    for attempt in 1..=2 {
        until("it is begun", || {
            let noted =
                machine.job(&id).attempt == attempt && machine.spool().note_path(&id).exists();
            let process = machine.note_if(&id)?;
            (noted && !processes.contains(&process)).then(|| processes.push(process))
        });
        kill_hard(*processes.last().unwrap());
    }
    let job = machine.ends(&id);
    assert_eq!((job.state, job.attempt, job.code), (JobState::Interrupted, 2, None), "{job:?}");
    assert!(job.error.contains("cut off twice"), "{job:?}");
}

trait NoteIf {
    fn note_if(&self, id: &JobId) -> Option<u64>;
}

impl NoteIf for Machine {
    fn note_if(&self, id: &JobId) -> Option<u64> {
        let text = fs::read(self.spool().note_path(id)).ok()?;
        serde_json::from_slice::<Value>(&text).ok()?["process"].as_u64()
    }
}

/// A job as a machine that went down left it.
fn left_running(machine: &Machine, kind: JobKind, command: &str, words: &[&str]) -> JobId {
    let new = NewJob {
        kind,
        user: Some(user(words[0])),
        person: String::new(),
        command: command.to_owned(),
        words: words.iter().map(Into::into).collect(),
        what: String::new(),
        repository: String::new(),
        by: "root".to_owned(),
        seconds_max: None,
    };
    let (job, _) = machine.spool().submit(new).unwrap();
    let begin = |job: &mut Job| {
        job.state = JobState::Running;
        job.attempt = 1;
        job.begun = Some(job.asked);
        Ok(())
    };
    machine.spool().change(&job.id, begin).unwrap();
    // Its number belongs to somebody else now.
    let note = format!("{{\"attempt\":1,\"process\":{},\"started\":1}}", std::process::id());
    fs::write(machine.spool().note_path(&job.id), note).unwrap();
    job.id
}

#[test]
fn whoever_gets_a_name_that_was_somebody_elses_sees_no_job_of_before() {
    let machine = server();
    let id = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "bob"]);
    assert_eq!(machine.panel(&["v-ghostsnap-list-user-job", "bob", id.as_str()]).0, 0);
    // The account is deleted, and another customer gets the name.
    let conf = machine.path("usr/local/hestia/data/users/bob/user.conf");
    let text = fs::read_to_string(&conf).unwrap().replace("2026-11-22", "2026-11-25");
    fs::write(&conf, text).unwrap();
    for command in ["v-ghostsnap-list-user-job", "v-ghostsnap-cancel-user-job"] {
        assert_eq!(machine.panel(&[command, "bob", id.as_str()]).0, 3, "{command}");
    }
    let jobs = machine.ok(&["v-ghostsnap-list-user-jobs", "bob", "json"]);
    assert!(jobs.as_object().is_none_or(serde_json::Map::is_empty), "{jobs}");
    assert!(machine.spool().find(&id, None).is_ok());
}

#[test]
fn after_the_machine_went_down_backups_go_on_and_restores_say_what_to_do() {
    let machine = server();
    machine.panel(&["v-ghostsnap-backup-user", "bob"]);
    let held = machine.hold_queue();
    let backup = left_running(&machine, JobKind::Backup, "v-ghostsnap-backup-user", &["alice"]);
    let words = ["bob", "latest", ".bashrc"];
    let restore = left_running(&machine, JobKind::Restore, "v-ghostsnap-restore-file", &words);
    fs::write(machine.path("home/bob/.bashrc"), "newer\n").unwrap();
    drop(held);
    assert!(machine.runner().wait().unwrap().success());
    let job = machine.job(&backup);
    assert_eq!((job.state, job.attempt, job.interrupted), (JobState::Done, 2, 1), "{job:?}");
    let job = machine.job(&restore);
    assert_eq!((job.state, job.attempt), (JobState::Interrupted, 1), "{job:?}");
    assert!(job.error.contains("v-ghostsnap-list-user-restores bob"), "{job:?}");
    let kept = fs::read_to_string(machine.path("home/bob/.bashrc")).unwrap();
    assert_eq!(kept, "newer\n", "nothing is restored by itself");
}

#[test]
fn a_job_that_takes_too_long_is_stopped() {
    let machine = server();
    machine.fault("dump-holds-alice_wp");
    let held = machine.hold_queue();
    let id = machine.hand_in(&["v-ghostsnap-schedule-user-backup", "alice"]);
    let shorten = |job: &mut Job| {
        job.seconds_max = Some(1);
        Ok(())
    };
    machine.spool().change(&id, shorten).unwrap();
    drop(held);
    assert!(machine.runner().wait().unwrap().success());
    let job = machine.job(&id);
    assert_eq!((job.state, job.code), (JobState::Failed, Some(14)), "{job:?}");
    assert!(job.error.contains("longer than 1"), "{job:?}");
}

#[test]
fn a_disk_that_takes_nothing_is_said_and_leaves_no_half_job() {
    let machine = server();
    machine.spool().make().unwrap();
    // As a full disk does, writing fails.
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    let program = env!("CARGO_BIN_EXE_ghostsnap");
    let mut command = Command::new("/bin/bash");
    command.args(["-c", script, "bash", program, "--panel", "v-ghostsnap-schedule-user-backup"]);
    command.arg("alice").env("GHOSTSNAP_HESTIA_BELOW", machine.folder.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && text.starts_with("Error: cannot write"), "{text}");
    let left = fs::read_dir(machine.spool().active_folder()).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn whoever_works_it_off_keeps_nothing_open_that_the_caller_had() {
    let machine = server();
    machine.fault("dump-holds-alice_wp");
    // A script of the administrator that holds a lock around the call.
    let lock = machine.path("lock");
    let mut command = Command::new("/usr/bin/flock");
    command.arg(&lock).arg(env!("CARGO_BIN_EXE_ghostsnap")).args(["--panel"]);
    command.args(["v-ghostsnap-schedule-user-backup", "alice"]).env_clear();
    command.env("GHOSTSNAP_HESTIA_BELOW", machine.folder.path()).stdin(Stdio::null());
    assert!(command.output().unwrap().status.success());
    let id = machine.spool().all(None).unwrap().jobs[0].id.clone();
    machine.runs(&id);
    let file = File::open(&lock).unwrap();
    assert!(Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok(), "somebody still has it");
    machine.heal();
    machine.ends(&id);
}

#[test]
fn many_may_hand_in_at_once_and_nothing_is_lost() {
    let machine = server();
    machine.panel(&["v-ghostsnap-backup-user", "bob"]);
    let held = machine.hold_queue();
    let ids: Vec<JobId> = std::thread::scope(|scope| {
        let one = |number: usize| {
            let machine = &machine;
            scope.spawn(move || {
                let path = format!("no such file {number}");
                let words = ["v-ghostsnap-schedule-restore-file", "bob", "latest", &path];
                machine.hand_in(&words)
            })
        };
        let threads: Vec<_> = (0..12).map(one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let listed = machine.ok(&["v-ghostsnap-list-user-jobs", "bob", "json"]);
    assert_eq!(listed.as_object().unwrap().len(), 12);
    drop(held);
    assert!(machine.runner().wait().unwrap().success());
    for id in ids {
        let job = machine.job(&id);
        assert_eq!((job.state, job.attempt), (JobState::Failed, 1), "{job:?}");
    }
}

// ---- requests of accounts without rights ----------------------------------------------------

const ALICE: u32 = 61_001;
const BOB: u32 = 61_002;
const ADMIN: u32 = 61_003;

/// A server whose users have accounts of their own, and that takes requests. Their numbers belong
/// to nobody on this machine.
fn with_accounts(name: &str) -> Option<Guard> {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "{name} needs root");
        eprintln!("SKIPPED: {name} needs root");
        return None;
    }
    let machine = server();
    let row =
        |name: &str, number: u32| format!("{name}:x:{number}:{number}::/home/{name}:/bin/sh\n");
    let rows = row("alice", ALICE) + &row("bob", BOB) + &row("admin", ADMIN) + &row("root", 0);
    fs::write(machine.hestia.etc.join("passwd"), rows).unwrap();
    // A customer may come here, as to /var/spool on a real machine.
    fs::create_dir_all(machine.path("var/spool")).unwrap();
    fs::set_permissions(machine.folder.path(), Permissions::from_mode(0o711)).unwrap();
    assert!(machine.runner().wait().unwrap().success());
    Some(machine)
}

impl Guard {
    fn requests(&self) -> PathBuf {
        self.path("var/spool/ghostsnap/requests")
    }

    /// Calls as the account of this number.
    fn call_as(&self, account: u32, args: &[&str]) -> Output {
        let mut command = Command::new("/usr/bin/setpriv");
        let number = account.to_string();
        command.args(["--reuid", &number, "--regid", &number, "--clear-groups", "--no-new-privs"]);
        command.arg(env!("CARGO_BIN_EXE_ghostsnap")).args(args).env_clear();
        command.env("GHOSTSNAP_HESTIA_BELOW", self.folder.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    fn shell_as(&self, account: u32, script: &str) {
        let number = account.to_string();
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--reuid", &number, "--regid", &number, "--clear-groups", "--no-new-privs"]);
        let folder = self.requests();
        let status = command.args(["/bin/bash", "-c", script, "bash"]).arg(folder).status();
        assert!(status.unwrap().success(), "{script}");
    }

    /// Works off what is there and returns what was accepted: users and who asked.
    fn worked_off(&self) -> Vec<(String, String)> {
        assert!(self.runner().wait().unwrap().success());
        let jobs = self.spool().all(None).unwrap().jobs;
        jobs.into_iter().map(|job| (job.user, job.by)).collect()
    }
}

fn pair(user: &str, by: &str) -> (String, String) {
    (user.to_owned(), by.to_owned())
}

#[test]
fn a_customers_cron_job_is_silent_and_gets_its_backup() {
    let Some(machine) = with_accounts("a_customers_cron_job_is_silent_and_gets_its_backup") else {
        return;
    };
    let folder = fs::metadata(machine.requests()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o7777, 0o1733);
    let output = machine.call_as(ALICE, &["--panel", "v-ghostsnap-schedule-user-backup", "alice"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "cron would send a mail");
    // The panel's administrator may ask for anybody.
    let output = machine.call_as(ADMIN, &["--panel", "v-ghostsnap-schedule-user-backup", "bob"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let accepted = machine.worked_off();
    assert_eq!(accepted.len(), 2, "{accepted:?}");
    assert!(accepted.contains(&pair("alice", "cron")), "{accepted:?}");
    assert!(accepted.contains(&pair("bob", "cron of admin")), "{accepted:?}");
    let backups = machine.ok(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    assert_eq!(backups.as_object().unwrap().len(), 1);
    assert_eq!(fs::read_dir(machine.requests()).unwrap().count(), 0);
}

#[test]
fn an_account_without_rights_asks_for_its_own_backup_and_nothing_else() {
    let Some(machine) =
        with_accounts("an_account_without_rights_asks_for_its_own_backup_and_nothing_else")
    else {
        return;
    };
    for words in [
        &["--panel", "v-ghostsnap-schedule-user-restore", "alice", "latest"][..],
        &["--panel", "v-ghostsnap-schedule-user-backup", "alice", "offsite"],
        &["hestia", "list-jobs"],
        &["hestia", "run-jobs"],
    ] {
        let output = machine.call_as(ALICE, words);
        assert_ne!(output.status.code(), Some(0), "{words:?}: {output:?}");
    }
    // It is handed in, and refused where it is known who hands it in.
    let output = machine.call_as(BOB, &["--panel", "v-ghostsnap-schedule-user-backup", "alice"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(machine.worked_off(), []);
    // Nobody sees who else asks, or takes it away.
    machine.call_as(ALICE, &["--panel", "v-ghostsnap-schedule-user-backup", "alice"]);
    let name = fs::read_dir(machine.requests()).unwrap().next().unwrap().unwrap().file_name();
    let name = name.into_string().unwrap();
    machine.shell_as(BOB, "! ls \"$1\" 2> /dev/null");
    machine.shell_as(BOB, &format!("! cat \"$1/{name}\" 2> /dev/null"));
    machine.shell_as(BOB, &format!("! rm -f \"$1/{name}\" 2> /dev/null"));
    machine.shell_as(BOB, &format!("! mv \"$1/{name}\" \"$1/x\" 2> /dev/null"));
    assert_eq!(machine.worked_off(), [pair("alice", "cron")]);
}

#[test]
fn what_is_no_request_is_removed_and_never_followed() {
    let Some(machine) = with_accounts("what_is_no_request_is_removed_and_never_followed") else {
        return;
    };
    let secret = machine.path("secret");
    fs::write(&secret, r#"{"what":"backup","user":"alice"}"#).unwrap();
    let folder = machine.requests();
    symlink(&secret, folder.join("link-of-root")).unwrap();
    machine.shell_as(
        ALICE,
        r#"cd "$1" && umask 077
        good='{"what":"backup","user":"alice"}'
        ln -s /etc/passwd link; ln -s . loop; ln -s /nowhere dangling
        mkfifo pipe; mkdir folder; mkdir -p deep/er/and/deeper; echo "$good" > deep/er/x
        touch empty; head -c 5000000 /dev/zero > large
        echo "$good" > twin; ln twin twin2
        echo "$good" > $'new\nline'$'\e[2J'
        echo '{"what":"restore","user":"alice"}' > restore
        echo '{"what":"backup","user":"bob"}' > of-bob
        echo '{"what":"backup","user":"root"}' > of-root
        echo '{"what":"backup","user":"../alice"}' > up
        echo '{"what":"backup","user":"alice","notify":"x"}' > type
        echo '{"what":"backup","user":"alice","command":"id"}' > more
        printf '{"what":"backup","user":"al\0ice"}' > nul
        echo '[' > broken
        (umask 0; mkdir -m 0 locked)
        echo 'x' > .new-old"#,
    );
    // Such a request is in nobody's way for long; but it may just be in the making.
    let mut runner = machine.runner();
    assert!(runner.wait().unwrap().success());
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, [".new-old"]);
    // Of all that, the one with the odd name was a request; the twins were not.
    assert_eq!(machine.worked_off(), [pair("alice", "cron")]);
    assert!(secret.exists() && PathBuf::from("/etc/passwd").exists());
    until("the rubbish is gone", || {
        (!machine.path("var/spool/ghostsnap/rubbish").exists()).then_some(())
    });
}

#[test]
fn requests_by_the_thousand_are_one_job_and_so_many_a_day() {
    let Some(machine) = with_accounts("requests_by_the_thousand_are_one_job_and_so_many_a_day")
    else {
        return;
    };
    let flood = r#"cd "$1" && for n in $(seq 3000); do
        echo '{"what":"backup","user":"alice"}' > "$n"; done"#;
    machine.shell_as(ALICE, flood);
    let output = machine.call_as(BOB, &["--panel", "v-ghostsnap-schedule-user-backup", "bob"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let accepted = machine.worked_off();
    let of = |name: &str| accepted.iter().filter(|(user, _)| user == name).count();
    assert!((1..=4).contains(&of("alice")), "{accepted:?}");
    assert_eq!(of("bob"), 1, "nobody is pushed out");
    for _ in 0..8 {
        machine.call_as(ALICE, &["--panel", "v-ghostsnap-schedule-user-backup", "alice"]);
        machine.worked_off();
    }
    let accepted = machine.worked_off();
    let of_alice = accepted.iter().filter(|(user, _)| user == "alice").count();
    assert_eq!(of_alice, 6, "as many as the settings allow");
    assert_eq!(fs::read_dir(machine.requests()).unwrap().count(), 0);
}

#[test]
fn ids_that_are_none_are_not_looked_for() {
    assert!(JobId::parse(&id(7)).is_ok());
    assert!(JobId::parse(&format!("{}\n", id(7))).is_err());
}

#[test]
fn requests_that_never_get_written_do_not_pile_up() {
    let Some(machine) = with_accounts("requests_that_never_get_written_do_not_pile_up") else {
        return;
    };
    machine.shell_as(ALICE, r#"cd "$1" && for n in {1..300}; do echo x > .new-$n; done"#);
    machine.call_as(BOB, &["--panel", "v-ghostsnap-schedule-user-backup", "bob"]);
    assert_eq!(machine.worked_off(), [pair("bob", "cron")]);
    let left = fs::read_dir(machine.requests()).unwrap().count();
    assert!((1..=8).contains(&left), "{left} are there yet");
}
