// SPDX-License-Identifier: MIT
//! What customers decide about their own backups, if the administrator lets them: through the
//! program itself, as the panel and the API call it, against a double of HestiaCP.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::*;
use ghostsnap::base::World;
use ghostsnap::hestia::queue::{Job, JobState, Spool};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

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

const BOTH: &str = "[customers]\nschedule = true\nexclude = true\n";

/// A server with these settings.
fn server(settings: &str) -> Server {
    let server = Server(machine());
    server.settings(settings);
    server
}

impl Server {
    fn settings(&self, text: &str) {
        let folder = self.path("etc/ghostsnap");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.join("ghostsnap.toml"), text).unwrap();
    }

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

    fn schedule_of(&self, user: &str) -> Value {
        let text = self.ok(&["v-ghostsnap-list-user-schedule", user, "json"]);
        serde_json::from_str::<Value>(&text).unwrap()[user].clone()
    }

    /// The exclusions of a user, each with whether it counts.
    fn excludes_of(&self, user: &str) -> Vec<(String, String)> {
        let text = self.ok(&["v-ghostsnap-list-user-excludes", user, "json"]);
        let rows: Value = serde_json::from_str(&text).unwrap();
        let rows = rows.as_object().unwrap();
        let used = |row: &Value| row["USED"].as_str().unwrap().to_owned();
        rows.iter().map(|(exclude, row)| (exclude.clone(), used(row))).collect()
    }

    fn exclude(&self, user: &str, globs: &[&str]) -> (i32, String) {
        self.panel(&[&["v-ghostsnap-change-user-excludes", user][..], globs].concat())
    }

    fn jobs(&self) -> Vec<Job> {
        let spool = Spool::new(&self.path("var/lib/ghostsnap/jobs"), &Arc::new(World::system()));
        spool.all(None).unwrap().jobs
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
            drop(self.hold_queue());
            let output = self.call(&["hestia", "run-jobs", "--until-empty"]);
            assert!(output.status.success(), "{output:?}");
            if !String::from_utf8(output.stderr).unwrap().contains("somebody else") {
                return;
            }
        }
    }

    /// As if a day had gone by since the schedule of this user was looked at.
    fn a_day_later(&self, user: &str) {
        let _held = self.hold_queue();
        let path = self.path("var/lib/ghostsnap/jobs/schedules.json");
        let mut all: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let name = format!("user {user}");
        let until = all[&name]["until"].as_i64().unwrap() - 25 * 3_600_000;
        all[&name]["until"] = until.into();
        fs::write(path, all.to_string()).unwrap();
    }

    /// The paths of a user's newest backup.
    fn stored(&self, user: &str) -> String {
        let text = self.ok(&["v-ghostsnap-list-user-backups", user, "plain"]);
        let id = text.lines().last().unwrap().split('\t').next().unwrap().to_owned();
        let key = self.path("etc/ghostsnap/repository.key").display().to_string();
        let place = self.path("var/lib/ghostsnap/repository").display().to_string();
        let output =
            self.call(&["ls", "-R", "-r", &place, "--key-file", &key, &id, "--format", "plain"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| format!("{}\n", line.split('\t').next().unwrap())).collect()
    }
}

#[test]
fn nothing_is_decided_by_customers_unless_the_administrator_lets_them() {
    let machine = server("");
    for (command, value) in [
        ("v-ghostsnap-change-user-schedule", "daily 03:00"),
        ("v-ghostsnap-change-user-excludes", "videos"),
    ] {
        let (code, text) = machine.panel(&[command, "alice", value]);
        assert_eq!(code, 10, "{text}");
        assert!(text.contains("the administrator does not allow it"), "{text}");
    }
    assert!(!machine.path("etc/ghostsnap/customers").exists());
    let row = machine.schedule_of("alice");
    assert_eq!([&row["ALLOWED"], &row["EXCLUDES_ALLOWED"], &row["WHEN"]], ["no", "no", ""]);
    // For one user, and for whoever has a package; one of both.
    machine.settings(
        "[users.alice.customer]\nexclude = true\n[packages.default.customers]\nschedule = true\n",
    );
    machine.ok(&["v-ghostsnap-change-user-excludes", "alice", "videos"]);
    assert_eq!(machine.exclude("bob", &["videos"]).0, 10);
    let allowed = |user: &str| machine.schedule_of(user)["ALLOWED"].clone();
    assert_eq!([allowed("alice"), allowed("bob")], ["yes", "yes"]);
    // By command as well.
    machine.ok(&["v-ghostsnap-change-setting", "users.bob.customer.exclude", "yes"]);
    assert_eq!(machine.exclude("bob", &["videos"]).0, 0);
    assert_eq!(machine.exclude("nobody", &["videos"]).0, 3);
}

#[test]
fn an_exclusion_makes_the_own_files_fewer_and_touches_nothing_else() {
    let machine = server(BOTH);
    for user in ["alice", "bob"] {
        let home = machine.hestia.user_home(&double::user(user));
        fs::create_dir_all(home.join("My Files/videos/deep")).unwrap();
        fs::write(home.join("My Files/videos/deep/a.mp4"), "film").unwrap();
        fs::write(home.join("keep.txt"), "kept").unwrap();
    }
    machine.ok(&["v-ghostsnap-backup-user", "alice"]);
    let before = machine.stored("alice");
    assert!(before.contains("a.mp4"), "{before}");
    // As much as can be asked for.
    let greedy = [
        "/My Files/videos",
        "*.conf",
        "user.conf",
        "hestia",
        "/hestia",
        "db",
        "/db/**",
        "*.sql",
        "*.sql.zst",
        "cron*",
        "dns",
        "web.conf",
        "mail",
        "pam",
        "[a-z]*.conf",
    ];
    let (code, text) = machine.exclude("alice", &greedy);
    assert_eq!(code, 0, "{text}");
    machine.ok(&["v-ghostsnap-backup-user", "alice"]);
    let after = machine.stored("alice");
    let gone: Vec<&str> =
        before.lines().filter(|line| !after.lines().any(|one| one == *line)).collect();
    assert!(gone.iter().any(|line| line.contains("a.mp4")), "{gone:?}");
    // What is hers and no file of hers is all there.
    let kept =
        |line: &&&str| line.contains("hestia/") || line.contains(".sql") || line.contains("cron");
    assert_eq!(gone.iter().filter(kept).count(), 0, "{gone:?}");
    assert!(after.contains("keep.txt"), "{after}");
    // Nobody else's.
    machine.ok(&["v-ghostsnap-backup-user", "bob"]);
    assert!(machine.stored("bob").contains("a.mp4"));
    // A restore that removes what is newer leaves what no backup has.
    let film = machine.hestia.user_home(&user("alice")).join("My Files/videos/deep/a.mp4");
    let newer = film.with_file_name("../../newer.txt");
    fs::write(&newer, "x").unwrap();
    let exact = ["v-ghostsnap-restore-file", "alice", "latest", "My Files", "", "yes"];
    let (code, text) = machine.panel(&exact);
    assert_eq!(code, 0, "{text}");
    assert!(!newer.exists(), "it was newer: {text}");
    assert!(film.exists(), "{text}");
    // Nor does it remove what the backup left out once it is not left out any more.
    let wishes = machine.path("etc/ghostsnap/customers/alice.toml");
    let kept = fs::read_to_string(&wishes).unwrap();
    machine.ok(&["v-ghostsnap-change-user-excludes", "alice"]);
    fs::write(&newer, "x").unwrap();
    let (code, text) = machine.panel(&exact);
    assert_eq!(code, 0, "{text}");
    assert!(!newer.exists() && film.exists(), "{text}");
    fs::write(&wishes, kept).unwrap();
    // What is taken back counts from the next backup on, and so does what is allowed no more.
    assert_eq!(machine.excludes_of("alice").len(), greedy.len());
    machine.settings("");
    assert!(machine.excludes_of("alice").iter().all(|(_, used)| used == "no"));
    machine.ok(&["v-ghostsnap-backup-user", "alice"]);
    assert!(machine.stored("alice").contains("a.mp4"));
    machine.settings(BOTH);
    machine.ok(&["v-ghostsnap-change-user-excludes", "alice"]);
    assert_eq!(machine.excludes_of("alice"), []);
}

#[test]
fn a_file_that_says_nonsense_leaves_nothing_out_and_is_told() {
    let machine = server(BOTH);
    machine.ok(&["v-ghostsnap-change-user-excludes", "alice", "My Files"]);
    let file = machine.path("etc/ghostsnap/customers/alice.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap().replace("My Files", "*");
    fs::write(&file, text).unwrap();
    let (code, text) = machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    assert!(code == 30 && text.contains("leaves everything out"), "{text}");
    assert!(machine.stored("alice").contains("notes.txt"));
    // And a file that others may write is not believed.
    machine.ok(&["v-ghostsnap-change-user-excludes", "alice", "My Files"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(machine.panel(&["v-ghostsnap-backup-user", "alice"]).0, 30);
    assert!(machine.stored("alice").contains("notes.txt"));
}

#[test]
fn what_is_hostile_is_refused_and_nothing_changes() {
    let machine = server(BOTH);
    machine.ok(&["v-ghostsnap-change-user-excludes", "alice", "mine"]);
    machine.ok(&["v-ghostsnap-change-user-schedule", "alice", "daily 03:00"]);
    let long = "x".repeat(201);
    let wild = "*a?".repeat(10);
    let all = ["?*", "*?", "**/*", "[!.]*", "{*,x}"];
    for bad in ["*", "/", "../bob", "a/../../bob", "a\nb", "a[b", long.as_str(), &wild]
        .into_iter()
        .chain(all)
    {
        let (code, text) = machine.exclude("alice", &[bad]);
        assert!(code != 0 && !text.contains("\u{1b}"), "{bad:?}: {text}");
    }
    let many: Vec<String> = (0..51).map(|number| format!("f{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_ne!(machine.exclude("alice", &many).0, 0);
    for bad in ["hourly", "* * * * *", "daily *:00", "weekly * 03:00", "monthly */1 03:00"] {
        let (code, text) = machine.panel(&["v-ghostsnap-change-user-schedule", "alice", bad]);
        assert_eq!(code, 2, "{bad}: {text}");
    }
    for user in ["../alice", "alice.toml", "alice/../bob", "", "alice,bob", "*"] {
        for command in ["list-user-excludes", "list-user-schedule", "change-user-excludes"] {
            let (code, text) = machine.panel(&[&format!("v-ghostsnap-{command}"), user, "json"]);
            assert!(code != 0 && !text.contains("mine"), "{command} {user:?}: {text}");
        }
    }
    assert_eq!(machine.excludes_of("alice"), [("mine".to_owned(), "yes".to_owned())]);
    assert_eq!(machine.schedule_of("alice")["WHEN"], "daily 03:00");
    assert_eq!(machine.excludes_of("bob"), []);
    assert_eq!(machine.schedule_of("bob")["WHEN"], "");
    let files: Vec<_> = fs::read_dir(machine.path("etc/ghostsnap/customers")).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn an_own_backup_is_a_job_of_that_user_and_of_nobody_else() {
    let machine = server(BOTH);
    machine.ok(&["v-ghostsnap-change-user-schedule", "alice", "Daily  03:00"]);
    let row = machine.schedule_of("alice");
    assert_eq!([&row["WHEN"], &row["SPREAD"], &row["LAST"]], ["daily 03:00", "60", ""]);
    assert!(
        row["NEXT"].as_str().unwrap().contains(" 03:")
            || row["NEXT"].as_str().unwrap().contains(" 04:")
    );
    machine.work();
    assert!(machine.jobs().is_empty(), "it is not due");
    machine.a_day_later("alice");
    machine.work();
    let jobs = machine.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!((jobs[0].state, jobs[0].by.as_str()), (JobState::Done, "alice"));
    assert_eq!(jobs[0].command, "v-ghostsnap-backup-user");
    let list = |user: &str| machine.ok(&["v-ghostsnap-list-user-jobs", user, "json"]);
    assert!(
        list("alice").contains(jobs[0].id.as_str()) && !list("bob").contains(jobs[0].id.as_str())
    );
    assert!(machine.stored("alice").contains("notes.txt"));
    assert_eq!(machine.ok(&["v-ghostsnap-list-user-backups", "bob", "json"]), "{\n}\n");
    let row = machine.schedule_of("alice");
    assert_eq!([&row["STATE"], &row["JOB"]], ["done", jobs[0].id.as_str()]);
    // Not for a suspended one, and not when it is allowed no more.
    let conf = machine.hestia.user_file(&user("alice"), "user.conf");
    let text = fs::read_to_string(&conf).unwrap();
    machine.a_day_later("alice");
    fs::write(&conf, format!("{text}SUSPENDED='yes'\n")).unwrap();
    machine.work();
    fs::write(&conf, &text).unwrap();
    machine.work();
    machine.a_day_later("alice");
    machine.settings("");
    machine.work();
    assert_eq!(machine.jobs().len(), 1);
    assert_eq!(machine.schedule_of("alice")["NEXT"], "");
    // And never again, if that is what the customer says.
    machine.settings(BOTH);
    machine.ok(&["v-ghostsnap-change-user-schedule", "alice", ""]);
    machine.work();
    assert_eq!(machine.schedule_of("alice")["WHEN"], "");
    assert_eq!(machine.jobs().len(), 1);
}

#[test]
fn a_new_person_of_an_old_name_begins_anew() {
    let machine = server(BOTH);
    machine.ok(&["v-ghostsnap-change-user-excludes", "alice", "secret-project"]);
    machine.ok(&["v-ghostsnap-change-user-schedule", "alice", "daily 03:00"]);
    machine.work();
    machine.a_day_later("alice");
    machine.work();
    assert_eq!(machine.jobs().len(), 1);
    machine.run("v-delete-user", &["alice"]);
    machine.work();
    machine.add_user_made_at("alice", "09:09:09");
    assert_eq!(machine.excludes_of("alice"), []);
    let row = machine.schedule_of("alice");
    assert_eq!([&row["WHEN"], &row["LAST"], &row["JOB"], &row["NEXT"]], ["", "", "", ""]);
    machine.work();
    assert_eq!(machine.jobs().len(), 1, "nothing is done for her unasked");
}

#[test]
fn by_tarball_hestias_own_exclusions_count_and_that_is_said() {
    let machine = server(&format!("mode = \"tarball\"\n{BOTH}"));
    let (code, text) = machine.exclude("alice", &["videos"]);
    assert!(code != 0 && text.contains("Hestia's own page"), "{text}");
}
