// SPDX-License-Identifier: MIT
//! What is done again and again, through the program itself, against a double of HestiaCP.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::*;
use ghostsnap::base::World;
use ghostsnap::hestia::queue::{Job, JobKind, JobState, Spool};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// What a copy's job is.
const COPY: &str = "copy --from default --to offsite";

struct Server(Machine);

impl std::ops::Deref for Server {
    type Target = Machine;
    fn deref(&self) -> &Machine {
        &self.0
    }
}

impl Drop for Server {
    /// A runner in the background must not write into a folder that goes.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(self.hold_queue());
        }
    }
}

fn server() -> Server {
    Server(machine())
}

impl Server {
    fn call(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghostsnap"));
        command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("GHOSTSNAP_HESTIA_BELOW", self.folder.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    fn panel(&self, args: &[&str]) -> (i32, String) {
        let args: Vec<&str> = ["--panel"].iter().chain(args).copied().collect();
        let output = self.call(&args);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    fn ok(&self, args: &[&str]) -> String {
        let (code, text) = self.panel(args);
        assert_eq!(code, 0, "{args:?}: {text}");
        text
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    fn rows(&self) -> Value {
        self.json(&["v-ghostsnap-list-schedules", "json"])
    }

    fn spool(&self) -> Spool {
        Spool::new(&self.path("var/lib/ghostsnap/jobs"), &Arc::new(World::system()))
    }

    fn jobs(&self) -> Vec<Job> {
        self.spool().all(None).unwrap().jobs
    }

    /// Nobody works the queue off while this is held.
    fn hold_queue(&self) -> Flock<fs::File> {
        let path = self.path("run/ghostsnap/jobs.lock");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(path).unwrap();
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap()
    }

    /// Works off what is due and what waits.
    fn work(&self) {
        loop {
            // Whoever was started by a command before may be at it.
            drop(self.hold_queue());
            let output = self.call(&["hestia", "run-jobs", "--until-empty"]);
            assert!(output.status.success(), "{output:?}");
            let said = String::from_utf8(output.stderr).unwrap();
            if !said.contains("somebody else") {
                return;
            }
        }
    }

    /// As if the machine had been off since this many hours ago.
    fn was_off_for(&self, name: &str, hours: i64) {
        let _held = self.hold_queue();
        let path = self.path("var/lib/ghostsnap/jobs/schedules.json");
        let mut all: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let until = all[name]["until"].as_i64().unwrap() - hours * 3_600_000;
        all[name]["until"] = until.into();
        fs::write(path, all.to_string()).unwrap();
    }
}

#[test]
fn a_nightly_backup_is_offered_with_one_word_and_runs_when_it_is_told_to() {
    let machine = server();
    assert_eq!(machine.rows().as_object().unwrap().len(), 0, "nothing is done unasked");
    machine.ok(&["v-ghostsnap-add-schedule", "nightly"]);
    let file = machine.path("etc/ghostsnap/schedules/nightly.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let row = &machine.rows()["nightly"];
    assert_eq!((&row["DO"], &row["WHEN"]), (&"backup".into(), &"daily 02:30".into()));
    assert_eq!((&row["LAST"], &row["ENABLED"]), (&"".into(), &"yes".into()));
    let next = row["NEXT"].as_str().unwrap();
    assert!(next.contains(" 02:") || next.contains(" 03:"), "{next}");
    machine.work();
    assert!(machine.jobs().is_empty(), "it is not due");
    let text = machine.ok(&["v-ghostsnap-run-schedule", "nightly", "json"]);
    let handed_in: Value = serde_json::from_str(&text).unwrap();
    machine.work();
    let jobs = machine.jobs();
    assert_eq!((jobs.len(), jobs[0].state, jobs[0].by.as_str()), (1, JobState::Done, "root"));
    assert!(handed_in.as_object().unwrap().contains_key(jobs[0].id.as_str()));
    for user in ["alice", "bob"] {
        let text = machine.ok(&["v-ghostsnap-list-user-backups", user, "json"]);
        let backups: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(backups.as_object().unwrap().len(), 1, "{user}");
    }
    let row = &machine.rows()["nightly"];
    assert_eq!((&row["STATE"], &row["JOBS"]), (&"done".into(), &jobs[0].id.as_str().into()));
    assert_eq!(row["NEXT"].as_str().unwrap(), next, "that one comes all the same");
    // It belongs to nobody: no customer sees it.
    let text = machine.ok(&["v-ghostsnap-list-user-jobs", "alice", "json"]);
    assert_eq!(text, "{\n}\n");
}

#[test]
fn what_was_missed_is_done_once() {
    let machine = server();
    machine.ok(&["v-ghostsnap-add-schedule", "nightly", "include=ali*,bob", "exclude=bob"]);
    machine.was_off_for("nightly", 24 * 9);
    machine.work();
    machine.work();
    let jobs = machine.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!((jobs[0].state, jobs[0].by.as_str()), (JobState::Done, "schedule nightly"));
    let text = machine.ok(&["v-ghostsnap-list-job", jobs[0].id.as_str(), "json"]);
    assert!(text.contains("alice") && !text.contains("\\\"bob\\\""), "{text}");
    // One that is switched off is not due, and not when it is switched on again either.
    machine.ok(&["v-ghostsnap-change-schedule", "nightly", "enabled=no"]);
    machine.was_off_for("nightly", 48);
    machine.work();
    assert_eq!(machine.rows()["nightly"]["NEXT"], "");
    machine.ok(&["v-ghostsnap-change-schedule", "nightly", "enabled="]);
    machine.work();
    assert_eq!(machine.jobs().len(), 1);
}

#[test]
fn repositories_are_looked_after_too() {
    let machine = server();
    machine.ok(&["v-ghostsnap-backup-users"]);
    let held = machine.hold_queue();
    for (name, words) in [
        ("tidy", &["do=forget", "when=weekly sun 04:00"][..]),
        ("check", &["do=check", "when=0 5 * * *", "subset=1/2", "hours_max=2"]),
        ("prune", &["do=prune", "when=monthly 1 04:00"]),
        ("prove", &["do=verify", "when=weekly sat 01:00", "max_time=2h"]),
    ] {
        let words = [&["v-ghostsnap-add-schedule", name], words].concat();
        machine.ok(&words);
        machine.ok(&["v-ghostsnap-run-schedule", name]);
    }
    drop(held);
    machine.work();
    let jobs = machine.jobs();
    let what: Vec<_> = jobs.iter().map(|job| (job.what.as_str(), job.state)).collect();
    assert_eq!(
        what,
        [
            ("hestia forget --force", JobState::Done),
            ("prune", JobState::Done),
            ("check --read-data-subset 1/2", JobState::Done),
            // The double's databases are files: no rehearsal can import into them.
            ("hestia verify-users --max-time 2h", JobState::Partial),
        ],
        "the second prune was handed in while the first one waited: once is enough"
    );
}

#[test]
fn what_is_new_is_copied_into_another_repository_at_night() {
    let machine = server();
    let offsite = machine.path("offsite").display().to_string();
    machine.ok(&["v-ghostsnap-backup-users"]);
    machine.ok(&["v-ghostsnap-add-repository", "offsite", &offsite]);
    machine.ok(&["v-ghostsnap-add-schedule", "copy", "do=copy", "when=0 4 * * *", "to=offsite"]);
    let row = machine.rows()["copy"].clone();
    assert_eq!([&row["DO"], &row["FROM"], &row["TO"]], ["copy", "", "offsite"]);
    assert!(row["NEXT"].as_str().unwrap().ends_with(" 04:00:00"), "{row}");
    machine.was_off_for("copy", 24 * 3);
    machine.work();
    let job = machine.jobs().pop().unwrap();
    assert_eq!((job.kind, job.state), (JobKind::Copy, JobState::Done), "{job:?}");
    assert_eq!((job.what.as_str(), job.repository.as_str()), (COPY, "offsite"));
    let told = machine.json(&["v-ghostsnap-list-job", job.id.as_str(), "json"]);
    let told = &told[job.id.as_str()];
    assert_eq!((&told["PERCENT"], &told["STEP"]), (&"100".into(), &"".into()));
    // All that the snapshots hold was gone through, and it was known before how much that is.
    assert_eq!(told["BYTES"], told["BYTES_TOTAL"]);
    let result: Value = serde_json::from_str(told["RESULT"].as_str().unwrap()).unwrap();
    let rows = result.as_object().unwrap();
    assert!(rows.len() == 2 && rows.values().all(|row| row["RESULT"] == "copied"), "{result}");
    let noted = || {
        let health = machine.json(&["v-ghostsnap-list-repository-health", "json"]);
        let row = &health["offsite"];
        (row["COPY"].as_str().unwrap().to_owned(), row["COPY_EXTENT"].as_str().unwrap().to_owned())
    };
    let succeeded = |extent: &str| ("succeeded".to_owned(), format!("from default: {extent}"));
    assert_eq!(noted(), succeeded("2 snapshots copied, 0 there already"));
    // The next night brings what is new, and no older ones if so many are enough.
    machine.ok(&["v-ghostsnap-backup-user", "alice"]);
    machine.ok(&["v-ghostsnap-change-schedule", "copy", "newest=1", "from=default"]);
    machine.ok(&["v-ghostsnap-run-schedule", "copy"]);
    machine.work();
    assert_eq!(machine.jobs().pop().unwrap().what, format!("{COPY} --last 1"));
    assert_eq!(noted(), succeeded("1 snapshot copied, 1 there already"));
    assert_eq!(machine.rows()["copy"]["STATE"], "done");
    machine.ok(&["v-ghostsnap-verify-user-backup", "bob", "latest", "offsite"]);
    // One that lacks something says so in the list, and it is noted of the repository.
    fs::write(machine.path("home/alice/web/shop.example/public_html/new"), "new").unwrap();
    machine.ok(&["v-ghostsnap-backup-user", "alice"]);
    fs::remove_dir_all(machine.path("var/lib/ghostsnap/repository/packs")).unwrap();
    machine.ok(&["v-ghostsnap-run-schedule", "copy"]);
    machine.work();
    assert_eq!(machine.rows()["copy"]["STATE"], "partial");
    assert_eq!(noted().0, "partial");
}

#[test]
fn what_makes_no_sense_is_refused_before_the_first_night() {
    let machine = server();
    for (words, code) in [
        (&["../x"][..], 2),
        (&["x", "when=sometimes"], 2),
        (&["x", "when=0 0 31 2 *"], 2),
        (&["x", "do=rm"], 2),
        (&["x", "typo=1"], 2),
        (&["x", "nonsense"], 2),
        (&["x", "repositories=s3://key:secret@host/bucket"], 2),
        (&["x", "do=check", "include=alice"], 2),
        (&["x", "hours_max=0"], 2),
        (&["x", "do=copy"], 2),
        (&["x", "do=copy", "to=default"], 2),
        (&["x", "do=copy", "to=s3://key:secret@host/bucket"], 2),
        (&["x", "do=copy", "to=offsite", "exclude=alice"], 2),
        (&["x", "from=default"], 2),
    ] {
        let words = [&["v-ghostsnap-add-schedule"], words].concat();
        let (found, text) = machine.panel(&words);
        assert_eq!(found, code, "{words:?}: {text}");
        assert!(text.starts_with("Error: "), "{text}");
    }
    assert!(!machine.path("etc/ghostsnap/schedules/x.toml").exists());
    machine.ok(&["v-ghostsnap-add-schedule", "x"]);
    assert_eq!(machine.panel(&["v-ghostsnap-add-schedule", "x"]).0, 4);
    assert_eq!(machine.panel(&["v-ghostsnap-run-schedule", "y"]).0, 3);
    // One that was broken by hand is told, and stops no other one.
    let folder = machine.path("etc/ghostsnap/schedules");
    fs::copy(folder.join("x.toml"), folder.join("good.toml")).unwrap();
    fs::write(folder.join("x.toml"), "when = 'never'\n").unwrap();
    let output = machine.call(&["hestia", "list-schedules", "--json"]);
    assert_eq!(output.status.code(), Some(30), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"good\""), "{text}");
    machine.work();
    machine.was_off_for("good", 30);
    machine.work();
    assert_eq!(machine.jobs().len(), 1);
    // A file that others may write decides nothing.
    fs::set_permissions(folder.join("good.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    machine.was_off_for("good", 30);
    machine.work();
    assert_eq!(machine.jobs().len(), 1);
    machine.ok(&["v-ghostsnap-delete-schedule", "x"]);
    assert_eq!(machine.panel(&["v-ghostsnap-delete-schedule", "x"]).0, 3);
}

#[test]
fn the_list_of_health_says_when_each_user_is_backed_up_next() {
    let machine = server();
    let _held = machine.hold_queue();
    let settings = machine.path("etc/ghostsnap/ghostsnap.toml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(settings, "[customers]\nschedule = true\n").unwrap();
    let next = |user: &str| {
        let all: Value =
            serde_json::from_str(&machine.ok(&["v-ghostsnap-list-health", "json"])).unwrap();
        let own = machine.ok(&["v-ghostsnap-list-user-health", user, "json"]);
        let own: Value = serde_json::from_str(&own).unwrap();
        assert_eq!(own[user]["NEXT"], all[user]["NEXT"], "the customer is told the same");
        all[user]["NEXT"].as_str().unwrap().to_owned()
    };
    assert_eq!((next("alice"), next("bob")), (String::new(), String::new()));
    machine.ok(&["v-ghostsnap-add-schedule", "nightly", "when=30 2 * * *", "exclude=bob"]);
    assert_eq!(next("alice"), machine.rows()["nightly"]["NEXT"].as_str().unwrap());
    assert!(next("alice").ends_with(" 02:30:00"), "{}", next("alice"));
    assert_eq!(next("bob"), "");
    // A check backs nobody up.
    machine.ok(&["v-ghostsnap-add-schedule", "check", "do=check", "when=hourly"]);
    assert_eq!(next("bob"), "");
    machine.ok(&["v-ghostsnap-change-user-schedule", "bob", "daily 05:00"]);
    let own = machine.ok(&["v-ghostsnap-list-user-schedule", "bob", "json"]);
    let own: Value = serde_json::from_str(&own).unwrap();
    assert!(next("bob").starts_with("20"), "{}", next("bob"));
    assert_eq!(next("bob"), own["bob"]["NEXT"].as_str().unwrap());
    machine.ok(&["v-ghostsnap-change-schedule", "nightly", "enabled=no"]);
    assert_eq!(next("alice"), "");
    // Other formats have it as well, in the end of each row.
    for format in ["csv", "plain", "shell"] {
        let text = machine.ok(&["v-ghostsnap-list-health", format]);
        assert!(text.contains(&next("bob")), "{format}: {text}");
    }
    // What is wrong with a schedule is for administrators.
    let broken = machine.path("etc/ghostsnap/schedules/broken.toml");
    fs::write(&broken, "when = 'never'\n").unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o600)).unwrap();
    let said = |args: &[&str]| {
        let output = machine.call(args);
        assert!(output.status.success(), "{output:?}");
        format!("{output:?}")
    };
    assert!(said(&["hestia", "status"]).contains("broken.toml"));
    for options in [&["--panel"][..], &[]] {
        let words = [options, &["v-ghostsnap-list-user-health", "bob"]].concat();
        assert!(!said(&words).contains("broken.toml"), "{words:?}");
    }
}
