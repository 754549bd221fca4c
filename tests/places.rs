// SPDX-License-Identifier: MIT
//! Users into several repositories in one run, through the program itself and against a double of
//! HestiaCP: each user is read and dumped once, and no repository stops another one.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::{Machine, machine};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A machine, and repositories with the names `offsite` and `box`.
struct Desk(Machine);

impl Desk {
    fn new(settings: &str) -> Self {
        let desk = Self(machine());
        for name in ["offsite", "box"] {
            let folder = desk.0.path(name);
            desk.ok(&["repository", "add", name, folder.to_str().unwrap()]);
        }
        fs::write(desk.0.path("etc/ghostsnap/ghostsnap.toml"), settings).unwrap();
        desk
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ghostsnap"))
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("GHOSTSNAP_HESTIA_BELOW", self.0.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Backs up; gives the exit code, (user, repository, result, reason) of each row, and what a
    /// person reads beside.
    fn backup(&self, args: &[&str]) -> (i32, Vec<[String; 4]>, String) {
        let words = [&["hestia", "backup", "--format", "json"], args].concat();
        let output = self.run(&words);
        let said = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        if text.is_empty() {
            return (code, Vec::new(), said);
        }
        let rows: Value = serde_json::from_str(&text).unwrap();
        let row = |(key, row): (&String, &Value)| {
            let user = key.split('#').next().unwrap().to_owned();
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            [user, text("REPOSITORY"), text("RESULT"), text("REASON")]
        };
        (code, rows.as_object().unwrap().iter().map(row).collect(), said)
    }

    /// Databases that were dumped since the last time this was asked.
    fn dumped(&self) -> Vec<String> {
        let path = self.0.path("dumps");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::remove_file(&path).unwrap_or_default();
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    fn snapshots(&self, repository: &str, user: &str) -> usize {
        let rows = self.ok(&["snapshots", "-r", repository, "--user", user, "--format", "json"]);
        serde_json::from_str::<Value>(&rows).unwrap().as_object().unwrap().len()
    }

    /// What a user's newest snapshot restores to, as one text.
    fn content(&self, repository: &str, user: &str) -> String {
        let target = tempfile::tempdir().unwrap();
        let into = target.path().to_str().unwrap();
        self.ok(&["restore", "-r", repository, "latest", "--user", user, "--target", into]);
        self.ok(&["check", "-r", repository, "--read-data"]);
        let mut lines = Vec::new();
        list(target.path(), target.path(), &mut lines);
        lines.sort();
        assert!(lines.len() > 20, "{lines:?}");
        lines.join("\n")
    }

    /// The disk of a repository is not mounted.
    fn lose(&self, name: &str) {
        fs::rename(self.0.path(name), self.0.path(&format!("{name}.away"))).unwrap();
    }

    fn mount(&self, name: &str) {
        fs::rename(self.0.path(&format!("{name}.away")), self.0.path(name)).unwrap();
    }
}

fn list(root: &Path, folder: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            list(root, &path, lines);
        } else if meta.is_symlink() {
            lines.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
        } else {
            lines.push(format!("{name} {}", blake3::hash(&fs::read(&path).unwrap())));
        }
    }
}

const ALICE: [&str; 3] = ["alice_geo", "alice_shop", "alice_wp"];

fn shown(rows: &[[String; 4]]) -> Vec<String> {
    rows.iter().map(|[user, place, result, _]| format!("{user} {place} {result}")).collect()
}

#[test]
fn a_user_is_dumped_once_and_is_in_every_repository() {
    let desk = Desk::new("also = ['offsite', 'box']\n");
    for _night in 0..2 {
        let (code, rows, said) = desk.backup(&["--user", "alice"]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(
            shown(&rows),
            ["alice default succeeded", "alice offsite succeeded", "alice box succeeded"]
        );
        assert_eq!(desk.dumped(), ALICE, "each database is dumped once");
    }
    let content = desk.content("default", "alice");
    assert_eq!(desk.content("offsite", "alice"), content);
    assert_eq!(desk.content("box", "alice"), content);
    // The snapshots of one run have one name, so that a person finds them again.
    let names = |repository: &str| {
        let rows = desk.ok(&["snapshots", "-r", repository, "--format", "json"]);
        let rows: Value = serde_json::from_str(&rows).unwrap();
        let name = |row: &Value| row["NAME"].as_str().unwrap().to_owned();
        rows.as_object().unwrap().values().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names("default"), names("box"));
    // What is said of a user says where the backup is.
    let history = desk.0.history();
    assert!(history.contains("in default and offsite and box"), "{history}");
}

#[test]
fn a_repository_that_is_away_stops_no_other_one_and_the_user_is_partial() {
    let desk = Desk::new("also = ['offsite']\n");
    assert_eq!(desk.backup(&["--user", "alice"]).0, 0);
    for (away, there) in [("offsite", "default"), ("var/lib/ghostsnap/repository", "offsite")] {
        desk.dumped();
        desk.lose(away);
        let (code, rows, said) = desk.backup(&["--user", "alice"]);
        assert_eq!(code, 30, "{said}");
        let name = if away == "offsite" { "offsite" } else { "default" };
        let of = |wanted: &str| rows.iter().find(|[_, place, ..]| place == wanted).unwrap();
        assert_eq!(of(there)[2], "succeeded", "{rows:?}");
        assert_eq!(of(name)[2], "failed");
        assert!(of(name)[3].contains(&format!("in the repository {name}")), "{rows:?}");
        assert!(said.contains(&format!("back up into the repository {name}")), "{said}");
        assert_eq!(said.matches("Warning:").count(), 1, "{said}");
        assert_eq!(desk.dumped(), ALICE);
        let history = desk.0.history();
        let last = history.lines().rfind(|line| line.starts_with("log")).unwrap();
        // The customer reads it, and where backups are stored is nothing for them.
        assert!(last.contains(&format!("in {there}, but: ")), "{last}");
        assert!(last.ends_with("the administrator knows") && !last.contains(name), "{last}");
        assert!(desk.content(there, "alice").contains("alice_wp"));
        desk.mount(away);
    }
    assert_eq!((desk.snapshots("default", "alice"), desk.snapshots("offsite", "alice")), (2, 2));
    // If nobody is there, it is the failure of the first.
    for name in ["offsite", "var/lib/ghostsnap/repository"] {
        desk.lose(name);
    }
    let (code, rows, said) = desk.backup(&["--user", "alice"]);
    assert_eq!((code, rows.len()), (3, 0), "{said}");
    assert!(said.contains("is the disk mounted?"), "{said}");
}

#[test]
fn each_user_has_the_repositories_of_the_settings_or_its_own() {
    let desk = Desk::new(
        "also = ['offsite']\n[users.alice]\nalso = []\n[users.bob]\nrepository = 'box'\n\
         [users.carol]\nalso = ['box']\n",
    );
    desk.0.add_user("carol");
    desk.0.add_user("dave");
    let (code, rows, said) = desk.backup(&["--jobs", "2"]);
    assert_eq!(code, 0, "{said}");
    let mut rows = shown(&rows);
    rows.sort();
    assert_eq!(
        rows,
        [
            "alice default succeeded",
            "bob box succeeded",
            "bob offsite succeeded",
            "carol box succeeded",
            "carol default succeeded",
            "dave default succeeded",
            "dave offsite succeeded",
        ]
    );
    assert_eq!(desk.dumped(), ALICE);
    // One that is away is a matter of those who are meant to be in it.
    desk.lose("offsite");
    let (code, rows, said) = desk.backup(&["--jobs", "3"]);
    assert_eq!(code, 30, "{said}");
    let mut failed: Vec<&str> = Vec::new();
    for [user, place, result, _] in &rows {
        assert_eq!(result == "failed", place == "offsite", "{rows:?}");
        if result == "failed" {
            failed.push(user);
        }
    }
    failed.sort_unstable();
    assert_eq!(failed, ["bob", "dave"]);
    // The command's word counts before that of the settings.
    desk.mount("offsite");
    let (_, rows, _) = desk.backup(&["--user", "bob", "--also", "default"]);
    assert_eq!(shown(&rows), ["bob box succeeded", "bob default succeeded"]);
    let (_, rows, _) = desk.backup(&["--user", "dave", "-r", "box"]);
    assert_eq!(shown(&rows), ["dave box succeeded"]);
    let (_, rows, _) = desk.backup(&["--user", "dave", "-r", "box", "--also", "offsite"]);
    assert_eq!(shown(&rows), ["dave box succeeded", "dave offsite succeeded"]);
}

#[test]
fn hestia_makes_one_tarball_for_all_and_none_goes_before_all_have_it() {
    let desk = Desk::new("mode = 'tarball'\nalso = ['offsite']\n");
    let (code, rows, said) = desk.backup(&["--user", "alice"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(shown(&rows), ["alice default succeeded", "alice offsite succeeded"]);
    assert_eq!(desk.0.backups().len(), 1, "Hestia made one");
    assert_eq!(desk.content("offsite", "alice"), desk.content("default", "alice"));
    desk.lose("offsite");
    let cleanup = ["--user", "alice", "--cleanup", "--keep-tarballs", "0"];
    let (code, rows, said) = desk.backup(&cleanup);
    assert_eq!((code, desk.0.backups().len()), (30, 2), "{rows:?} {said}");
    assert!(said.contains("offsite lacks a backup"), "{said}");
    desk.mount("offsite");
    let (code, rows, said) = desk.backup(&cleanup);
    assert_eq!(code, 0, "{said}");
    // The second one is in the first repository alone.
    assert_eq!(desk.0.backups().len(), 1, "{rows:?} {said}");
    assert!(said.contains("not in the repository"), "{said}");
}

#[test]
fn what_is_wrong_with_a_user_is_in_every_snapshot_and_is_told_once() {
    let desk = Desk::new("also = ['offsite', 'box']\n");
    desk.0.fault("dump-breaks-alice_wp");
    let (code, rows, said) = desk.backup(&["--user", "alice"]);
    assert_eq!(code, 30);
    assert_eq!(said.matches("Warning:").count(), 1, "{said}");
    for [_, place, result, reason] in &rows {
        assert_eq!(result, "partial", "{place}");
        assert!(reason.contains("alice_wp"), "{reason}");
    }
    assert_eq!(desk.dumped(), ALICE);
}

#[test]
fn the_panels_command_takes_names_with_commas_between() {
    let desk = Desk::new("");
    let panel = |args: &[&str]| desk.run(&[&["--panel", "v-ghostsnap-backup-user"], args].concat());
    let output = panel(&["alice", "default,offsite", "yes"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!((desk.snapshots("default", "alice"), desk.snapshots("offsite", "alice")), (1, 1));
    assert!(!desk.0.path("box").exists());
    assert!(desk.0.history().contains("bell alice"), "{}", desk.0.history());
    // The same one twice is one backup less than it looks.
    let folder = desk.0.path("offsite").display().to_string();
    let (code, rows, said) = desk.backup(&["--user", "alice", "-r", "offsite,offsite"]);
    assert_eq!((code, rows.len()), (30, 2), "{said}");
    assert!(said.contains("once more"), "{said}");
    assert!(desk.0.path("offsite").exists(), "{folder}");
}

#[test]
fn a_repository_that_the_settings_name_beside_the_first_is_not_forgotten() {
    let desk = Desk::new("also = ['offsite']\n[users.bob]\nalso = ['box']\n");
    for name in ["offsite", "box"] {
        let output = desk.run(&["repository", "delete", name, "--force"]);
        assert_eq!(output.status.code(), Some(7), "{output:?}");
    }
}
