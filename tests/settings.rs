// SPDX-License-Identifier: MIT
//! Settings that commands list and change, through the program itself against a double of HestiaCP:
//! as an administrator types it, and as the panel and the API call it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::*;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Output, Stdio};

trait Program {
    fn ghostsnap(&self, args: &[&str]) -> Output;
    /// As a shim calls it.
    fn panel(&self, args: &[&str]) -> (i32, String);
    fn set(&self, key: &str, value: &str) -> (i32, String);
    /// The same by root at a shell.
    fn set_at_shell(&self, key: &str, value: &str) -> (i32, String);
    /// What is listed of a key.
    fn listed(&self, key: &str) -> Value;
    fn write(&self, text: &str);
    fn text(&self) -> String;
}

impl Program for Machine {
    fn ghostsnap(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ghostsnap"))
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("GHOSTSNAP_HESTIA_BELOW", self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn panel(&self, args: &[&str]) -> (i32, String) {
        let args: Vec<&str> = ["--panel"].iter().chain(args).copied().collect();
        let output = self.ghostsnap(&args);
        assert!(output.stderr.is_empty(), "the panel never sees this: {output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    fn set(&self, key: &str, value: &str) -> (i32, String) {
        self.panel(&["v-ghostsnap-change-setting", key, value])
    }

    fn set_at_shell(&self, key: &str, value: &str) -> (i32, String) {
        let output = self.ghostsnap(&["hestia", "change-setting", key, value]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn listed(&self, key: &str) -> Value {
        let (code, text) = self.panel(&["v-ghostsnap-list-settings", "json"]);
        assert_eq!(code, 0, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()[key].clone()
    }

    fn write(&self, text: &str) {
        let folder = self.path("etc/ghostsnap");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.join("ghostsnap.toml"), text).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path("etc/ghostsnap/ghostsnap.toml")).unwrap()
    }
}

const EXAMPLE: &str = include_str!("../hestia-plugin/conf/ghostsnap.toml");

#[test]
fn a_setting_is_changed_in_its_place_and_goes_back_to_its_default() {
    let machine = machine();
    machine.write(EXAMPLE);
    assert_eq!(machine.listed("jobs")["SET"], "no");
    assert_eq!(machine.set("jobs", "4").0, 0);
    assert_eq!(machine.text(), EXAMPLE.replace("#jobs = 1\n", "#jobs = 1\njobs = 4\n"));
    let row = machine.listed("jobs");
    assert_eq!([&row["VALUE"], &row["DEFAULT"], &row["SET"]], ["4", "1", "yes"]);
    assert_eq!([&row["TYPE"], &row["CHANGE"], &row["GROUP"]], ["number", "anywhere", "backup"]);
    assert_eq!(machine.set("jobs", "").0, 0);
    assert_eq!(machine.text(), EXAMPLE);
    // Without a file there is one then, for root alone.
    fs::remove_file(machine.path("etc/ghostsnap/ghostsnap.toml")).unwrap();
    let (code, text) = machine.set("users.alice.exclude", "/web/*/big,*.{iso,img}");
    assert_eq!(code, 0, "{text}");
    assert_eq!(machine.text(), "[users.alice]\nexclude = [\"/web/*/big\", \"*.{iso,img}\"]\n");
    let mode = machine.path("etc/ghostsnap/ghostsnap.toml").metadata().unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(machine.listed("users.alice.exclude")["VALUE"], "/web/*/big,*.{iso,img}");
    let left: Vec<_> = fs::read_dir(machine.path("etc/ghostsnap")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_the_parser_does_not_take_is_not_written() {
    let machine = machine();
    let before = "# mine\njobs = 2\n[keep]\ndaily = 3\n";
    machine.write(before);
    for (key, value, why) in [
        ("jobs", "99", "a number from 1 to 16"),
        ("jobs", "many", "this must be a number"),
        ("mode", "sometimes", "`tarball` or `direct`"),
        ("exclude", "a[b", "read the pattern"),
        ("keep.daily", "0", "this keeps nothing"),
        ("notifications.mail", "nobody", "mail addresses"),
        ("notifications.webhooks.x.preset", "json", "it has no url_file"),
        ("users.Not a user.mode", "direct", "find the setting"),
        ("users.'Not a user'.mode", "direct", "the name of a user"),
        ("repository", "relative/path", "an absolute path"),
        ("repository", "default", "the name of a repository"),
        ("nothing", "1", "v-ghostsnap-list-settings"),
        ("metrics", "1", "find the setting"),
    ] {
        let (code, text) = machine.set_at_shell(key, value);
        assert!(code != 0 && text.contains(why), "{key} {value}: {code} {text}");
        assert_ne!(machine.set(key, value).0, 0, "{key} {value}");
        assert_eq!(machine.text(), before, "{key} {value}");
    }
    // What was wrong before is named with its line, and can be mended.
    machine.write("# x\njobs = 99\n");
    let (code, text) = machine.set("mode", "direct");
    assert!(code != 0 && text.contains("line 2"), "{text}");
    assert_eq!(machine.set("jobs", "3").0, 0);
    assert_eq!(machine.text(), "# x\njobs = 3\n");
}

#[test]
fn the_panel_never_decides_which_files_root_touches_and_nobody_gives_a_secret() {
    let machine = machine();
    let before = "[notifications.webhooks.ops]\nurl_file = '/root/ops.url'\n";
    machine.write(before);
    for key in [
        "key_file",
        "log_folder",
        "cache_folder",
        "state_folder",
        "metrics.file",
        "notifications.webhooks.ops.ca_file",
        "notifications.webhooks.ops.allow_http",
    ] {
        let value = if key.ends_with("http") { "yes" } else { "/tmp/x.prom" };
        let (code, text) = machine.set(key, value);
        assert_eq!(code, 10, "{key}: {text}");
        assert!(text.contains("as root at a shell"), "{text}");
        assert_eq!(machine.text(), before);
    }
    for key in ["url", "url_file", "url_env", "url_command", "token", "token_command"] {
        let key = format!("notifications.webhooks.ops.{key}");
        for words in [
            ["--panel", "v-ghostsnap-change-setting", &key, "hunter2"],
            ["hestia", "change-setting", &key, "hunter2"],
        ] {
            let output = machine.ghostsnap(&words);
            assert_eq!(output.status.code(), Some(10), "{output:?}");
            let said = format!("{output:?}");
            assert!(said.contains("root's alone") && !said.contains("hunter2"), "{said}");
            assert_eq!(machine.text(), before);
        }
    }
    assert_eq!(machine.listed("notifications.webhooks.ops.url_file")["VALUE"], "");
    // Root at a shell decides.
    let output = machine.ghostsnap(&["hestia", "change-setting", "metrics.file", "/m/g.prom"]);
    assert!(output.status.success(), "{output:?}");
    assert!(machine.text().ends_with("\n[metrics]\nfile = \"/m/g.prom\"\n"), "{}", machine.text());
}

#[test]
fn another_repository_is_one_that_there_is_and_it_is_said_what_becomes_of_the_old_one() {
    let machine = machine();
    assert_eq!(machine.panel(&["v-ghostsnap-backup-user", "alice"]).0, 0);
    let snapshots = || {
        let (code, text) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
        assert_eq!(code, 0, "{text}");
        serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap().len()
    };
    let (code, text) = machine.set("repository", "offsite");
    assert!(code == 3 && text.contains("find the repository offsite"), "{text}");
    let (code, text) = machine.set("also", "offsite");
    assert!(code == 3 && text.contains("find the repository offsite"), "{text}");
    for (address, why) in [
        ("sftp://u:hunter2@backup.example/x".to_owned(), "perhaps a password"),
        ("s3:https://s3.example.com/b?key=hunter2".to_owned(), "perhaps a password"),
        (machine.path("home").display().to_string(), "let backups go to"),
        (machine.path("new").display().to_string(), "the key of another one"),
    ] {
        let (code, text) = machine.set_at_shell("repository", &address);
        assert!(code != 0 && text.contains(why), "{address}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
        // Through the panel nobody says a folder of this server, or any other place.
        let (code, text) = machine.set("repository", &address);
        assert!(code == 10 && !text.contains("hunter2"), "{text}");
    }
    let folder = machine.path("offsite").display().to_string();
    assert_eq!(machine.panel(&["v-ghostsnap-add-repository", "offsite", &folder]).0, 0);
    let (code, text) = machine.set("repository", "offsite");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("not listed") && text.contains("Backups go to offsite"), "{text}");
    assert_eq!(snapshots(), 0, "they are where they were");
    assert_eq!(machine.panel(&["v-ghostsnap-backup-user", "alice"]).0, 0);
    assert_eq!(snapshots(), 1);
    assert!(machine.path("offsite/config").exists());
    let (_, text) = machine.set("repository", "offsite");
    assert!(!text.contains("Backups go to"), "nothing has changed: {text}");
    // Back again: nothing of the old one was lost.
    let (code, text) = machine.set("repository", "");
    assert!(code == 0 && text.contains("Backups go to"), "{text}");
    assert_eq!(snapshots(), 1);
}

#[test]
fn a_file_that_is_a_link_or_that_others_may_write_is_left_alone() {
    let machine = machine();
    machine.write("jobs = 2\n");
    let folder = machine.path("etc/ghostsnap");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let (code, text) = machine.set("jobs", "3");
    assert!(code != 0 && text.contains("etc/ghostsnap"), "{text}");
    assert_eq!(machine.text(), "jobs = 2\n");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(folder.join("ghostsnap.toml"), folder.join("managed.toml")).unwrap();
    symlink("managed.toml", folder.join("ghostsnap.toml")).unwrap();
    let (code, text) = machine.set("jobs", "3");
    assert!(code != 0 && text.contains("is a link"), "{text}");
    assert_eq!(machine.text(), "jobs = 2\n");
}

#[test]
fn changes_at_the_same_time_are_all_made() {
    let machine = machine();
    machine.write(EXAMPLE);
    let values = [("jobs", "4"), ("mode", "tarball"), ("queue.workers", "3"), ("keep.daily", "9")];
    let children: Vec<_> = values
        .iter()
        .map(|(key, value)| {
            Command::new(env!("CARGO_BIN_EXE_ghostsnap"))
                .args(["hestia", "change-setting", key, value])
                .env_clear()
                .env("GHOSTSNAP_HESTIA_BELOW", machine.folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for (key, value) in values {
        assert_eq!(machine.listed(key)["VALUE"], value, "{key}");
    }
}
