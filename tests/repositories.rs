// SPDX-License-Identifier: MIT
//! Repositories with a name, through the program itself: as an admin types it and as the panel's
//! commands call it, in each format, and never with a secret in what is printed.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::{Machine, machine};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

const HUSH: &str = "hush+hush/hush=";

/// A machine with the double of Hestia, and whoever types on it.
struct Desk(Machine);

impl Desk {
    fn new() -> Self {
        Self(machine())
    }

    /// Runs the program with this on its standard input. Whatever it says, it says no secret.
    fn with_input(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ghostsnap"))
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("GHOSTSNAP_HESTIA_BELOW", self.0.folder.path())
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .env("THE_SECRET", HUSH)
            .env("AWS_SECRET_ACCESS_KEY", "another hush")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone already.
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap_or_default();
        let output = child.wait_with_output().unwrap();
        let all = [&output.stdout[..], &output.stderr[..]].concat();
        assert!(!String::from_utf8_lossy(&all).contains("hush"), "{args:?}: {output:?}");
        output
    }

    fn run(&self, args: &[&str]) -> Output {
        self.with_input(args, "")
    }

    /// Exit code, with a key of something else in the environment.
    fn with_a_foreign_key(&self, args: &[&str]) -> Option<i32> {
        let key = self.path("foreign.key");
        fs::write(&key, format!("ghostsnap-key-file v1\n{}\n", "ab".repeat(32))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghostsnap"));
        command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("GHOSTSNAP_HESTIA_BELOW", self.0.folder.path());
        command.env("GHOSTSNAP_KEY_FILE", key).output().unwrap().status.code()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what must fail; returns the exit code and what a person reads.
    fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        let text = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
        (output.status.code().unwrap(), text)
    }

    /// As a shim calls it.
    fn panel(&self, args: &[&str]) -> (i32, String) {
        let args: Vec<&str> = ["--panel"].iter().chain(args).copied().collect();
        let output = self.run(&args);
        assert!(output.stderr.is_empty(), "the panel never sees this: {output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn entry(&self, name: &str) -> PathBuf {
        self.path("etc/ghostsnap/repositories").join(name)
    }

    fn settings(&self, text: &str) {
        fs::create_dir_all(self.path("etc/ghostsnap")).unwrap();
        fs::write(self.path("etc/ghostsnap/ghostsnap.toml"), text).unwrap();
    }

    fn add_folder(&self, name: &str) -> PathBuf {
        let folder = self.path(&format!("{name}-there"));
        self.ok(&["repository", "add", name, folder.to_str().unwrap()]);
        folder
    }

    fn snapshots_in(&self, name: &str) -> usize {
        let rows = json(&self.ok(&["snapshots", "-r", name, "--json"]));
        rows.as_object().unwrap().len()
    }
}

fn json(text: &str) -> Value {
    let parsed = serde_json::from_str(text);
    assert!(parsed.is_ok(), "{text}");
    parsed.unwrap()
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// An administrator's key of the API is no shell of root.
#[test]
fn through_the_panel_nobody_names_a_program_or_a_file_of_root() {
    let desk = Desk::new();
    let secret = desk.entry("s3.secret");
    let secret = format!("secret_file={}", secret.display());
    let place = "s3:https://s3.example.com/bucket/server1";
    let (code, text) =
        desk.panel(&["v-ghostsnap-add-repository", "a", place, "key_id=AKIA1", &secret]);
    assert_eq!(code, 0, "{text}");
    for (word, place) in [
        ("secret_command=/bin/true", place),
        ("secret_env=HOME", place),
        ("password_command=/bin/true", place),
        ("session_token_file=/etc/shadow", place),
        ("ca_file=/home/alice/ca", place),
        ("ca_file=", place),
        ("key_file=/home/alice/new", place),
        ("allow_http=yes", place),
        ("ssh_config=/home/alice/config", "sftp://a@b.example/x"),
        ("rclone_config=/home/alice/config", "rclone:a:b"),
        ("sas_token_file=/etc/shadow", "azure:container/x"),
        ("connection_string_file=/etc/shadow", "azure:container/x"),
    ] {
        let (code, text) = desk.panel(&["v-ghostsnap-add-repository", "b", place, word]);
        assert_eq!(code, 10, "{word}: {text}");
        assert!(!desk.entry("b.toml").exists(), "{word}");
    }
    // What is sent as it is goes nowhere else.
    for word in ["url=s3:https://evil.example/b", "endpoint=https://evil.example"] {
        let (code, text) = desk.panel(&["v-ghostsnap-change-repository", "a", word]);
        assert_eq!(code, 10, "{word}: {text}");
    }
    let (code, text) = desk.panel(&["v-ghostsnap-change-repository", "a", "region=eu-west-1"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn an_entry_is_added_and_listed_in_every_format() {
    let desk = Desk::new();
    desk.ok(&[
        "repository",
        "add",
        "offsite",
        "s3:https://s3.example.com/bucket/server1",
        "key_id=AKIA1",
        "region=eu-west-1",
        "secret_env=THE_SECRET",
        "session_token_command=printf '%s' 'a b'",
        "password_file=/nowhere/pw",
    ]);
    assert_eq!((mode(&desk.entry("offsite.toml")), mode(&desk.entry(""))), (0o600, 0o700));
    let (code, text) = desk.panel(&["v-ghostsnap-list-repositories", "json"]);
    assert_eq!(code, 0);
    let rows = json(&text);
    assert_eq!(rows.as_object().unwrap().len(), 2, "{text}");
    assert_eq!(rows["default"]["DEFAULT"], "yes");
    assert_eq!(rows["default"]["TYPE"], "folder");
    let row = &rows["offsite"];
    assert_eq!(row["URL"], "s3:https://s3.example.com/bucket/server1");
    assert_eq!((&row["TYPE"], &row["DEFAULT"]), (&"s3".into(), &"no".into()));
    assert_eq!(row["OPTIONS"], "key_id=AKIA1,region=eu-west-1");
    assert_eq!(
        row["SECRETS"],
        "password: file /nowhere/pw,secret: environment THE_SECRET,session_token: command printf"
    );
    let (_, one) = desk.panel(&["v-ghostsnap-list-repository", "offsite", "json"]);
    assert_eq!(&json(&one)["offsite"], row);
    let (_, text) = desk.panel(&["v-ghostsnap-list-repository", "offsite", "plain"]);
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with("offsite\ts3:https://s3.example.com/bucket/server1\ts3\tno\t"));
    let (_, text) = desk.panel(&["v-ghostsnap-list-repositories", "csv"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "NAME,URL,TYPE,DEFAULT,USERS,KEY_FILE,OPTIONS,SECRETS");
    assert!(lines[2].starts_with("\"offsite\",\"s3:https://"), "{text}");
    let (_, text) = desk.panel(&["v-ghostsnap-list-repositories"]);
    assert!(text.starts_with("NAME     URL"), "{text}");
    let (_, text) = desk.panel(&["v-ghostsnap-list-repository", "default", "json"]);
    assert_eq!(json(&text)["default"], rows["default"]);
}

#[test]
fn a_name_stands_for_a_repository_wherever_one_is_given() {
    let desk = Desk::new();
    let there = desk.add_folder("disk2");
    assert!(!there.exists(), "adding makes nothing");
    let (code, text) = desk.panel(&["v-ghostsnap-backup-user", "alice", "disk2"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("disk2.key is the only key") && text.contains("Copy it"), "{text}");
    assert_eq!(mode(&desk.entry("disk2.key")), 0o600);
    assert_eq!(desk.snapshots_in("disk2"), 1);
    assert!(!desk.path("etc/ghostsnap/repository.key").exists(), "the default one is not made");
    desk.ok(&["check", "-r", "disk2"]);
    desk.ok(&["hestia", "list-backups", "-r", "disk2", "--user", "alice"]);
    let (code, text) = desk.fails(&["snapshots", "-r", "disk3"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("disk3.toml") && text.contains("./disk3"), "{text}");
    let (code, _) = desk.fails(&["init", "-r", "disk3"]);
    assert_eq!(code, 3, "a misspelt name makes no repository");
    // The key is there and the repository is not: the disk is not mounted.
    fs::remove_dir_all(&there).unwrap();
    let (code, text) = desk.panel(&["v-ghostsnap-backup-user", "alice", "disk2"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("mounted") && text.contains("ghostsnap init -r disk2"), "{text}");
    desk.ok(&["init", "-r", "disk2"]);
    assert_eq!(desk.snapshots_in("disk2"), 0);
}

#[test]
fn the_environment_opens_no_repository_with_a_name() {
    let desk = Desk::new();
    desk.add_folder("disk2");
    assert_eq!(desk.with_a_foreign_key(&["init", "-r", "disk2"]), Some(0));
    assert!(desk.entry("disk2.key").exists(), "it has a key of its own");
    assert_eq!(desk.snapshots_in("disk2"), 0);
    assert_eq!(desk.with_a_foreign_key(&["snapshots", "-r", "disk2"]), Some(0));
    // What is typed counts.
    let key = desk.path("foreign.key");
    let (code, _) = desk.fails(&["snapshots", "-r", "disk2", "--key-file", key.to_str().unwrap()]);
    assert_eq!(code, 9);
}

#[test]
fn a_password_from_an_entry_opens_the_repository() {
    let desk = Desk::new();
    let there = desk.path("there").display().to_string();
    desk.ok(&["repository", "add", "pw", &there, "password_env=THE_SECRET"]);
    let (code, text) = desk.panel(&["v-ghostsnap-backup-user", "alice", "pw"]);
    assert_eq!(code, 3, "only init makes a repository with a password: {text}");
    desk.ok(&["init", "-r", "pw"]);
    let (code, text) = desk.panel(&["v-ghostsnap-backup-user", "alice", "pw"]);
    assert_eq!(code, 0, "{text}");
    assert!(!desk.entry("pw.key").exists());
    desk.ok(&["repository", "change", "pw", "password_command=sh -c 'echo \"$THE_SECRET\"'"]);
    let (code, text) = desk.fails(&["repository", "change", "pw", "password_file=/x"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = desk.fails(&["snapshots", "-r", "pw"]);
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("/x") && text.contains("no such file"), "{text}");
    let (code, text) = desk.fails(&["repository", "change", "pw", "password_command=false"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = desk.fails(&["snapshots", "-r", "pw"]);
    assert!(code == 9 && text.contains("command false"), "{text}");
    desk.ok(&["repository", "change", "pw", "password_command=sh -c 'echo \"$THE_SECRET\"'"]);
    assert_eq!(desk.snapshots_in("pw"), 1);
}

#[test]
fn the_settings_name_the_repository_of_all_and_of_single_users() {
    let desk = Desk::new();
    for name in ["first", "second"] {
        desk.add_folder(name);
    }
    desk.settings("repository = 'first'\n[users.bob]\nrepository = 'second'\n");
    let rows = json(&desk.ok(&["repository", "list", "--json"]));
    assert_eq!(rows["first"]["DEFAULT"], "yes");
    assert_eq!((&rows["second"]["USERS"], rows.get("default")), (&"bob".into(), None));
    let rows = json(desk.ok(&["hestia", "backup", "--json"]).lines().last().unwrap());
    assert_eq!(rows["rows"]["alice"]["RESULT"], "succeeded", "{rows}");
    assert_eq!(rows["rows"]["bob"]["RESULT"], "succeeded");
    for (name, user) in [("first", "alice"), ("second", "bob")] {
        let rows = json(&desk.ok(&["snapshots", "-r", name, "--json"]));
        let users: Vec<&Value> = rows.as_object().unwrap().values().map(|r| &r["USER"]).collect();
        assert_eq!(users, [user]);
        let (code, text) = desk.panel(&["v-ghostsnap-list-user-backup", user, "latest", "json"]);
        assert_eq!(code, 0, "{text}");
    }
    desk.ok(&["hestia", "restore", "bob", "--force"]);
    assert_eq!(
        json(&desk.ok(&["snapshots", "-r", "second", "--json"]))
            .as_object()
            .unwrap()
            .values()
            .filter(|row| row["USER"] == "bob")
            .count(),
        2,
        "its safety"
    );
    // One that cannot be reached is the failure of its users alone.
    fs::remove_dir_all(desk.path("second-there")).unwrap();
    let output = desk.run(&["hestia", "backup", "--json"]);
    assert_eq!(output.status.code(), Some(30));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = json(text.lines().last().unwrap());
    assert_eq!(rows["rows"]["alice"]["RESULT"], "succeeded", "{rows}");
    assert_eq!(rows["rows"]["bob"]["RESULT"], "failed");
    assert!(rows["rows"]["bob"]["REASON"].as_str().unwrap().contains("mounted"), "{rows}");
    let (code, text) = desk.panel(&["v-ghostsnap-delete-repository", "second"]);
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("bob"), "{text}");
}

#[test]
fn secrets_are_refused_on_the_command_line_and_taken_from_standard_input() {
    let desk = Desk::new();
    let url = "s3:https://s3.example.com/bucket";
    let secret = format!("secret={HUSH}");
    let (code, text) = desk.panel(&["v-ghostsnap-add-repository", "b2", url, "key_id=A", &secret]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("secret_file") && text.contains("secret=-"), "{text}");
    let odd = format!("{secret}\u{7}");
    for word in [odd.as_str(), HUSH, "hush", "keyid=hush", "secret_env=hush=", "secret_file=hush"] {
        let (code, text) = desk.fails(&["repository", "add", "b2", url, "key_id=A", word]);
        assert!([1, 2].contains(&code), "{word}: {text}");
    }
    let (code, text) = desk.fails(&["repository", "add", "b2", "s3:https://A:hush@h/bucket"]);
    assert_eq!(code, 2, "{text}");
    let (code, text) = desk.fails(&["repository", "add", "b2", url, "secret_env=THE_SECRET"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("key_id is not set") && text.contains("b2.toml"), "{text}");
    assert!(!desk.entry("b2.toml").exists());
    let line = ["repository", "add", "b2", url, "key_id=A", "secret=-", "session_token=-"];
    let output = desk.with_input(&line, &format!("{HUSH}\nhush token\n"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read_to_string(desk.entry("b2.secret")).unwrap(), format!("{HUSH}\n"));
    assert_eq!(fs::read_to_string(desk.entry("b2.session_token")).unwrap(), "hush token\n");
    assert_eq!(mode(&desk.entry("b2.secret")), 0o600);
    let text = fs::read_to_string(desk.entry("b2.toml")).unwrap();
    assert!(!text.contains("hush") && text.contains("secret_file"), "{text}");
    let (code, text) = desk.fails(&["repository", "add", "b2", "/srv/x"]);
    assert_eq!(code, 4, "{text}");
    let output = desk.with_input(&["repository", "change", "b2", "secret=-"], "new hush\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read_to_string(desk.entry("b2.secret")).unwrap(), "new hush\n");
    desk.ok(&["repository", "change", "b2", "region=eu-west-1", "session_token_file="]);
    let text = fs::read_to_string(desk.entry("b2.toml")).unwrap();
    assert!(text.contains("region") && !text.contains("token"), "{text}");
    let (code, text) = desk.fails(&["repository", "change", "b2", "url=/srv/x"]);
    assert_eq!(code, 2, "a folder has no region: {text}");
    desk.ok(&["repository", "delete", "b2", "--force"]);
    assert!(!desk.entry("b2.toml").exists() && !desk.entry("b2.secret").exists());
}

#[test]
fn an_entry_that_others_can_read_is_refused() {
    let desk = Desk::new();
    desk.add_folder("disk2");
    fs::set_permissions(desk.entry("disk2.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = desk.fails(&["snapshots", "-r", "disk2"]);
    assert_eq!(code, 10, "{text}");
    assert!(text.contains("chmod 600"), "{text}");
    let (code, text) = desk.fails(&["repository", "list"]);
    assert_eq!(code, 30, "the others are listed: {text}");
    assert!(text.contains("default") && text.contains("chmod 600"), "{text}");
}

#[test]
fn deleting_forgets_the_name_and_data_only_when_asked_twice() {
    let desk = Desk::new();
    let there = desk.add_folder("disk2");
    desk.ok(&["init", "-r", "disk2"]);
    desk.ok(&["backup", "-r", "disk2", desk.path("faults").to_str().unwrap()]);
    fs::write(there.join("not-ours"), "x").unwrap();
    let (code, text) = desk.panel(&["v-ghostsnap-delete-repository", "disk2", "yes"]);
    assert_eq!(code, 1, "{text}");
    let (code, text) = desk.panel(&["v-ghostsnap-delete-repository", "disk2", "yes", "disk1"]);
    assert_eq!(code, 1, "{text}");
    let (code, text) = desk.panel(&["v-ghostsnap-delete-repository", "disk2"]);
    assert_eq!(code, 0, "{text}");
    assert!(there.join("config").exists() && desk.entry("disk2.key").exists());
    assert!(!desk.entry("disk2.toml").exists());
    // The same name finds its key and its data again.
    desk.add_folder("disk2");
    assert_eq!(desk.snapshots_in("disk2"), 1);
    // Another key does not open it, so it is not known to be ours.
    let key = fs::read(desk.entry("disk2.key")).unwrap();
    desk.add_folder("disk3");
    desk.ok(&["init", "-r", "disk3"]);
    fs::copy(desk.entry("disk3.key"), desk.entry("disk2.key")).unwrap();
    let all = ["repository", "delete", "disk2", "--data", "--confirm", "disk2", "--force"];
    let (code, text) = desk.fails(&all);
    assert_eq!(code, 9, "{text}");
    assert!(there.join("config").exists() && desk.entry("disk2.toml").exists());
    fs::write(desk.entry("disk2.key"), key).unwrap();
    desk.ok(&all);
    assert!(!there.join("config").exists() && there.join("not-ours").exists());
    assert!(!desk.entry("disk2.toml").exists());
    // A folder in which there is no repository is not touched.
    fs::create_dir(desk.path("disk4-there")).unwrap();
    fs::write(desk.path("disk4-there/snapshots"), "x").unwrap();
    desk.add_folder("disk4");
    let (code, text) =
        desk.fails(&["repository", "delete", "disk4", "--data", "--confirm", "disk4", "--force"]);
    assert_eq!(code, 3, "{text}");
    assert!(desk.path("disk4-there/snapshots").exists());
}

#[test]
fn a_place_is_tried_out_and_left_as_it_was() {
    let desk = Desk::new();
    let there = desk.add_folder("disk2");
    let (code, text) = desk.panel(&["v-ghostsnap-test-repository", "disk2", "json"]);
    assert_eq!(code, 0, "{text}");
    let rows = json(&text);
    for step in ["connect", "write", "read", "list", "delete"] {
        assert_eq!(rows[step]["RESULT"], "good", "{text}");
    }
    assert_eq!(fs::read_dir(there.join("locks")).unwrap().count(), 0);
    let (code, text) = desk.panel(&["v-ghostsnap-backup-user", "alice", "disk2"]);
    assert_eq!(code, 0, "{text}");
    desk.ok(&["repository", "test", "disk2"]);
    // A folder of somebody else's is not touched.
    fs::create_dir(desk.path("disk3-there")).unwrap();
    fs::write(desk.path("disk3-there/letter"), "x").unwrap();
    desk.add_folder("disk3");
    let output = desk.run(&["repository", "test", "disk3", "--format", "plain"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("connect\tfailed\t") && text.contains("write\tskipped"), "{text}");
    assert_eq!(fs::read_dir(desk.path("disk3-there")).unwrap().count(), 1);
}

/// Files below a folder, with the time of each folder's last change.
fn files_below(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = vec![(folder.to_owned(), folder.metadata().unwrap().modified().unwrap())];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push((path.clone(), path.metadata().unwrap().modified().unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn the_snapshots_of_a_user_are_copied_and_restore_without_the_first_repository() {
    let desk = Desk::new();
    desk.add_folder("offsite");
    desk.ok(&["hestia", "backup"]);
    desk.ok(&["hestia", "backup", "-u", "alice"]);
    let copy = ["v-ghostsnap-copy-user-backups", "alice", "default", "offsite"];
    // What is missing is said before anything is made.
    let would = |expected: &str| {
        let text = desk.ok(&["copy", "--to", "offsite", "--dry-run", "--format", "json"]);
        let rows = json(&text);
        let rows = rows.as_object().unwrap();
        assert!(rows.values().all(|row| row["COPY"] == "" || row["RESULT"] == "present"), "{text}");
        let words = rows.values().map(|row| row["RESULT"].as_str().unwrap());
        let mut words: Vec<&str> = words.collect();
        words.sort_unstable();
        assert_eq!(words.join(" "), expected);
    };
    would("missing missing missing");
    assert!(!desk.path("offsite-there").exists());
    assert!(!desk.path("etc/ghostsnap/repositories/offsite.key").exists());
    let (code, text) = desk.panel(&copy);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("offsite.key is the only key"), "{text}");
    assert_eq!(text.matches(" copied ").count(), 2, "{text}");
    assert_eq!(desk.snapshots_in("offsite"), 2);
    let (code, text) = desk.panel(&copy);
    assert_eq!((code, text.matches(" present ").count()), (0, 2), "{text}");
    let before = files_below(&desk.path("offsite-there"));
    would("missing present present");
    assert_eq!(files_below(&desk.path("offsite-there")), before, "not even a lock came and went");
    let last = ["copy", "--from", "default", "--to", "offsite", "--last", "1", "--json"];
    let text = desk.ok(&last);
    let result = json(text.lines().last().unwrap());
    let results: Vec<&Value> =
        result["rows"].as_object().unwrap().values().map(|row| &row["RESULT"]).collect();
    assert_eq!(results.len(), 2, "alice's newest and bob's: {text}");
    assert!(results.contains(&&"copied".into()) && results.contains(&&"present".into()), "{text}");
    assert_eq!(desk.snapshots_in("offsite"), 3);
    let (code, text) = desk.fails(&["copy", "--from", "offsite", "--to", "offsite"]);
    assert_eq!(code, 1, "{text}");
    let (code, text) = desk.fails(&["copy", "--to", "offsite", "--user", "nobody"]);
    assert_eq!(code, 3, "{text}");
    // The day on which the first one is gone.
    fs::remove_dir_all(desk.path("var/lib/ghostsnap/repository")).unwrap();
    let page = desk.path("home/alice/web/shop.example/public_html/index.php");
    let before = fs::read(&page).unwrap();
    fs::write(&page, "defaced").unwrap();
    desk.ok(&["check", "-r", "offsite", "--read-data"]);
    desk.ok(&["hestia", "restore", "alice", "-r", "offsite", "--force"]);
    assert_eq!(fs::read(&page).unwrap(), before);
}

#[test]
fn a_signature_is_not_taken_as_part_of_an_address() {
    let desk = Desk::new();
    let add = ["repository", "add", "far", "azure:backups", "account=acme", "secret_env=SECRET"];
    let (code, text) =
        desk.fails(&[&add[..], &["endpoint=https://acme.example/?sig=hush"]].concat());
    assert_eq!((code, desk.entry("far.toml").exists()), (2, false), "{text}");
    assert!(text.contains("sas_token") && !text.contains("hush"), "{text}");
}
