// SPDX-License-Identifier: MIT
//! A Hestia server with a write-only key, through the program itself and against a double of
//! HestiaCP: it backs up and lists, and everything else needs the owner's key.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::{Machine, machine};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A server whose backups go to the repository `vault`, which the owner has made elsewhere.
struct Desk(Machine);

impl Desk {
    fn new() -> Self {
        let desk = Self(machine());
        for folder in ["owner", "etc/ghostsnap"] {
            fs::create_dir_all(desk.0.path(folder)).unwrap();
        }
        let (vault, server) = (desk.text("vault"), desk.text("etc/ghostsnap/server.key"));
        desk.owner(&["init", "--write-only-keys"]);
        let words = ["--write-only", "--new-key-file", &server, "--label", "web1"];
        desk.owner(&[&["key", "add"], &words[..]].concat());
        desk.ok(&["repository", "add", "vault", &vault, &format!("key_file={server}")]);
        let settings = "repository = 'vault'\n[keep]\nlast = 1\n";
        fs::write(desk.0.path("etc/ghostsnap/ghostsnap.toml"), settings).unwrap();
        desk
    }

    fn text(&self, name: &str) -> String {
        self.0.path(name).to_str().unwrap().to_owned()
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

    fn json(&self, args: &[&str]) -> serde_json::Map<String, Value> {
        let text = self.ok(&[args, &["--format", "json"]].concat());
        serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap().clone()
    }

    /// The owner, with the key that opens everything.
    fn owner(&self, args: &[&str]) -> String {
        let (vault, key) = (self.text("vault"), self.text("owner/owner.key"));
        self.ok(&[args, &["-r", &vault, "--key-file", &key]].concat())
    }

    fn backup(&self) -> serde_json::Map<String, Value> {
        self.json(&["hestia", "backup", "--user", "alice"])
    }
}

fn everything_in(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            everything_in(&path, found);
        } else if meta.is_file() {
            found.push(fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_server_backs_up_and_lists_and_the_owner_restores() {
    let desk = Desk::new();
    let first = desk.backup();
    assert!(first.values().all(|row| row["RESULT"] == "succeeded"), "{first:?}");
    let second = desk.run(&["hestia", "backup", "--user", "alice"]);
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("up to the owner"), "no rule drops anything here: {said}");
    assert_eq!(desk.json(&["hestia", "list-backups", "--user", "alice"]).len(), 2);
    assert_eq!(desk.json(&["snapshots", "-r", "vault"]).len(), 2);
    desk.ok(&["check", "-r", "vault"]);
    desk.ok(&["hestia", "status"]);
    let keys = desk.json(&["key", "list", "-r", "vault"]);
    let access = |label: &str| {
        let row = keys.values().find(|row| row["LABEL"] == label).unwrap();
        row["ACCESS"].as_str().unwrap().to_owned()
    };
    assert_eq!((access("web1"), access("first")), ("write-only".to_owned(), "full".to_owned()));
    // A restore by somebody who has the owner's key.
    let target = tempfile::tempdir().unwrap();
    let into = target.path().join("alice");
    let into = into.to_str().unwrap();
    desk.owner(&["restore", "latest", "--user", "alice", "--target", into]);
    let mut restored = Vec::new();
    everything_in(Path::new(into), &mut restored);
    assert!(restored.len() > 20);
    desk.owner(&["check", "--read-data"]);
    desk.owner(&["prune"]);
    let third = desk.backup();
    assert!(third.values().all(|row| row["RESULT"] == "succeeded"), "{third:?}");
    desk.owner(&["check", "--read-data"]);
}

#[test]
fn what_needs_the_owner_says_so_before_anything_is_done() {
    let desk = Desk::new();
    desk.backup();
    let before = desk.0.state_of("alice");
    for words in [
        &["hestia", "restore", "alice", "--force"][..],
        &["hestia", "export", "alice"],
        &["hestia", "forget", "alice", "--force"],
        &["hestia", "verify-user", "alice"],
        &["restore", "-r", "vault", "latest", "--target", "/tmp/never"],
        &["check", "-r", "vault", "--read-data"],
        &["prune", "-r", "vault"],
        &["forget", "-r", "vault", "--keep-last", "1"],
        &["key", "rotate", "-r", "vault"],
        &["key", "kit", "-r", "vault"],
        &["history", "-r", "vault"],
        &["dump", "-r", "vault", "latest", "x"],
    ] {
        let output = desk.run(words);
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(10), "{words:?}: {output:?}");
        assert!(said.contains("write-only") && said.contains("--key-file"), "{words:?}: {said}");
    }
    assert_eq!(desk.0.state_of("alice"), before);
    assert!(desk.0.path("vault/config").exists());
}

#[test]
fn nothing_on_the_server_opens_content() {
    let desk = Desk::new();
    desk.backup();
    // All that lies in the folders of the program on this server.
    let mut all = Vec::new();
    for folder in ["etc/ghostsnap", "var/lib/ghostsnap", "vault"] {
        everything_in(&desk.0.path(folder), &mut all);
    }
    assert!(all.len() > 8);
    let words = [&b"CREATE TABLE"[..], b"alice_wp", b"<?php"];
    for bytes in &all {
        let has = |word: &&[u8]| bytes.windows(word.len()).any(|window| window == *word);
        assert!(!words.iter().any(has));
    }
    // And it does not become the owner by a command.
    let server = desk.text("etc/ghostsnap/server.key");
    let output =
        desk.run(&["restore", "-r", "vault", "--key-file", &server, "latest", "--target", "/x"]);
    assert_eq!(output.status.code(), Some(10), "{output:?}");
}

#[test]
fn a_repository_that_was_made_without_says_what_to_do() {
    let desk = Desk(machine());
    let (place, key) = (desk.text("plain"), desk.text("plain.key"));
    desk.ok(&["init", "-r", &place, "--key-file", &key]);
    let words = ["key", "add", "-r", &place, "--key-file", &key, "--write-only"];
    let output = desk.run(&[&words[..], &["--new-key-file", "never.key"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(said.contains("init --write-only-keys") && said.contains("ghostsnap copy"), "{said}");
    // A copy into one that was made so does it.
    let vault = desk.text("vault");
    desk.ok(&["init", "-r", &vault, "--key-file", &key, "--write-only-keys"]);
}
