// SPDX-License-Identifier: MIT
//! The program as people and scripts call it: words in, output and exit code out.
#![allow(clippy::print_stderr)]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with something to back up and a place for a repository.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(desk.path("data/sub")).unwrap();
        fs::write(desk.path("data/a.txt"), "first").unwrap();
        fs::write(desk.path("data/sub/b.txt"), "second").unwrap();
        symlink("a.txt", desk.path("data/link")).unwrap();
        desk
    }

    fn with_repository() -> Self {
        let desk = Self::new();
        assert_eq!(code(&desk.run(&["init"])), 0);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The path of a file inside a snapshot.
    fn stored(&self, name: &str) -> String {
        self.text(name).trim_start_matches('/').to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghostsnap"));
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("GHOSTSNAP_REPOSITORY", self.path("repository"))
            .env("GHOSTSNAP_STATE_DIR", self.path("state"))
            .env("GHOSTSNAP_PASSWORD", "correct horse")
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs what must go well and returns its standard output.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        stdout(&output)
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    fn backup(&self) -> String {
        let text = self.ok(&["backup", "data", "--format", "plain"]);
        text.split('\t').next().unwrap().to_owned()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn what_was_backed_up_comes_back() {
    let desk = Desk::with_repository();
    let id = desk.backup();
    assert_eq!(id.len(), 64);
    fs::remove_dir_all(desk.path("data")).unwrap();
    let rows = desk.json(&["restore", &id, "--in-place", "--force", "--format", "json"]);
    assert_eq!(rows[desk.text("data")]["RESTORED"], "3");
    assert_eq!(fs::read_to_string(desk.path("data/sub/b.txt")).unwrap(), "second");
    assert_eq!(fs::read_link(desk.path("data/link")).unwrap(), Path::new("a.txt"));
}

#[test]
fn a_part_can_be_restored_elsewhere_and_verified() {
    let desk = Desk::with_repository();
    desk.backup();
    let from = desk.stored("data/sub");
    desk.ok(&["restore", "latest", &from, "--target", "out", "--verify"]);
    assert_eq!(fs::read_to_string(desk.path("out/b.txt")).unwrap(), "second");
    assert!(!desk.path("out/a.txt").exists());
}

#[test]
fn in_place_with_delete_stays_inside_what_was_backed_up() {
    let desk = Desk::with_repository();
    desk.backup();
    fs::write(desk.path("data/later.txt"), "x").unwrap();
    fs::write(desk.path("beside.txt"), "x").unwrap();
    let refused = desk.run(&["restore", "latest", "--in-place", "--delete"]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    desk.ok(&["restore", "latest", "--in-place", "--delete", "--force"]);
    assert!(!desk.path("data/later.txt").exists());
    assert!(desk.path("beside.txt").exists() && desk.path("repository").exists());
}

#[test]
fn each_failure_has_its_exit_code_and_says_what_why_and_what_to_do() {
    let desk = Desk::with_repository();
    let wrong = desk.command(&["snapshots"]).env("GHOSTSNAP_PASSWORD", "x").output().unwrap();
    assert_eq!(code(&wrong), 9, "{}", stderr(&wrong));
    let none = desk.run(&["snapshots", "-r", "/nowhere/at/all"]);
    assert_eq!(code(&none), 3, "{}", stderr(&none));
    assert_eq!(code(&desk.run(&["init"])), 4);
    assert_eq!(code(&desk.run(&["ls", "latest"])), 3);
    assert_eq!(code(&desk.run(&["backup"])), 1);
    assert_eq!(code(&desk.run(&["backup", "/nowhere"])), 3);
    assert_eq!(code(&desk.run(&["backup", "data", "--level", "99"])), 2);
    assert_eq!(code(&desk.run(&["restore", "latest"])), 1);
    let error = stderr(&none);
    assert!(error.starts_with("Error: cannot open the repository"), "{error}");
    assert!(error.contains("\n  why:  ") && error.contains("\n  hint: "), "{error}");
    assert!(stdout(&none).is_empty());
}

#[test]
fn without_any_password_the_error_names_the_ways() {
    let desk = Desk::with_repository();
    let mut command = desk.command(&["snapshots"]);
    // A session of its own has no terminal to ask on.
    let program = command.get_program().to_owned();
    let mut alone = Command::new("setsid");
    alone.arg("--wait").arg(program).arg("snapshots").env_clear();
    alone.env("GHOSTSNAP_REPOSITORY", desk.path("repository"));
    alone.env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    let output = alone.output().unwrap();
    assert_eq!(code(&output), 9, "{}", stderr(&output));
    assert!(stderr(&output).contains("--password-file"), "{}", stderr(&output));
    assert_eq!(code(&command.output().unwrap()), 0);
}

#[test]
fn passwords_come_from_files_and_commands_and_never_show() {
    let desk = Desk::with_repository();
    fs::write(desk.path("password"), "correct horse\n").unwrap();
    for source in [
        ["--password-file", &desk.text("password")],
        ["--password-command", &format!("cat {}", desk.text("password"))],
    ] {
        let mut command = desk.command(&["snapshots"]);
        let output = command.args(source).env_remove("GHOSTSNAP_PASSWORD").output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(!stderr(&output).contains("correct horse"));
    }
    let open = desk.run(&["snapshots", "--password-file", &desk.text("password")]);
    assert!(stderr(&open).contains("chmod 600"), "others can read the file: {}", stderr(&open));
}

#[test]
fn keys_can_be_added_changed_and_removed_but_not_the_last() {
    let desk = Desk::with_repository();
    let key = desk.text("recovery.key");
    desk.ok(&["key", "add", "--new-key-file", &key, "--label", "recovery"]);
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    let slots = desk.json(&["key", "list", "--json"]);
    let by_label = |label: &str| {
        let found = slots.as_object().unwrap().iter().find(|(_, slot)| slot["LABEL"] == label);
        found.unwrap().0.clone()
    };
    let first = &by_label("first");
    assert_ne!(first, &by_label("recovery"));
    let with_key = |args: &[&str]| {
        let mut command = desk.command(args);
        command.args(["--key-file", &key]).env_remove("GHOSTSNAP_PASSWORD");
        command.output().unwrap()
    };
    assert_eq!(code(&with_key(&["snapshots"])), 0);
    assert_eq!(code(&with_key(&["key", "remove", first])), 1, "it asks first");
    assert_eq!(code(&with_key(&["key", "remove", &first[..8], "--force"])), 0);
    assert_eq!(code(&desk.run(&["snapshots"])), 9, "the password opens nothing any more");
    let last = stdout(&with_key(&["key", "list", "--format", "plain"]));
    let last = last.split('\t').next().unwrap().to_owned();
    assert_ne!(code(&with_key(&["key", "remove", &last, "--force"])), 0);
    let new = desk.text("new.key");
    assert_eq!(code(&with_key(&["key", "change", "--new-key-file", &new])), 0);
    assert_eq!(code(&with_key(&["snapshots"])), 9);
}

#[test]
fn a_stream_is_one_file_and_comes_out_as_it_went_in() {
    let desk = Desk::with_repository();
    let mut command = desk.command(&["backup", "--stdin", "--stdin-filename", "db/all.sql"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    child.stdin.take().unwrap().write_all(&content).unwrap();
    assert!(child.wait().unwrap().success());
    let back = desk.run(&["dump", "latest", "db/all.sql"]);
    assert_eq!(code(&back), 0);
    assert!(back.stdout == content);
    desk.ok(&["dump", "latest", "db/all.sql", "--output", "copy.sql"]);
    assert!(fs::read(desk.path("copy.sql")).unwrap() == content);
    let again = desk.run(&["dump", "latest", "db/all.sql", "--output", "copy.sql"]);
    assert_eq!(code(&again), 4, "nothing is overwritten");
}

#[test]
fn one_run_backs_up_into_several_repositories_and_each_has_all() {
    let desk = Desk::with_repository();
    let (second, third) = (desk.text("second"), desk.text("third"));
    for other in [&second, &third] {
        desk.ok(&["init", "-r", other]);
    }
    let also = ["--also", &second, "--also", &third];
    let rows = desk.json(&[&["backup", "data", "--format", "json"], &also[..]].concat());
    let rows = rows.as_object().unwrap();
    let mut places: Vec<&str> =
        rows.values().map(|row| row["REPOSITORY"].as_str().unwrap()).collect();
    places.sort_unstable();
    let first = desk.text("repository");
    assert_eq!(places, [first.as_str(), &second, &third]);
    for (id, row) in rows {
        let place = row["REPOSITORY"].as_str().unwrap();
        let target = desk.text(&format!("out-{}", &id[..8]));
        let from = desk.stored("data");
        desk.ok(&["restore", "-r", place, id, &from, "--target", &target, "--verify"]);
        let restored = Path::new(&target).join("sub/b.txt");
        assert_eq!(fs::read_to_string(restored).unwrap(), "second");
    }
    // A stream cannot be read twice.
    let mut child = desk
        .command(&[&["backup", "--stdin", "--stdin-filename", "x.sql"], &also[..]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let rows: Vec<u8> = (0..90_000).flat_map(|n| format!("({n},'x'),\n").into_bytes()).collect();
    child.stdin.take().unwrap().write_all(&rows).unwrap();
    assert!(child.wait().unwrap().success());
    for place in [&first, &second, &third] {
        let dumped = desk.run(&["dump", "-r", place, "latest", "x.sql"]);
        assert_eq!((code(&dumped), dumped.stdout == rows), (0, true), "{place}");
        desk.ok(&["check", "-r", place, "--read-data"]);
    }
}

#[test]
fn a_repository_that_is_not_there_stops_no_other_one_and_the_exit_code_tells() {
    let desk = Desk::with_repository();
    let (first, second, gone) = (desk.text("repository"), desk.text("second"), desk.text("gone"));
    desk.ok(&["init", "-r", &second]);
    let snapshots = |place: &str| {
        let rows = desk.json(&["snapshots", "-r", place, "--json"]);
        rows.as_object().unwrap().len()
    };
    // Whichever it is; and one that is named twice is one backup less than it looks.
    let link = desk.text("link-to-first");
    symlink(&first, &link).unwrap();
    for (main, also, words) in [
        (&gone, &second, "there is none at this place"),
        (&second, &gone, "there is none at this place"),
        (&first, &link, "once more"),
    ] {
        let output = desk.run(&["backup", "data", "-r", main, "--also", also]);
        assert_eq!(code(&output), 30, "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert_eq!(stderr(&output).matches("Warning:").count(), 1, "{}", stderr(&output));
    }
    assert_eq!((snapshots(&first), snapshots(&second)), (1, 2));
    // If there is nobody to store anything, it is the first one's failure.
    let other = desk.text("gone as well");
    let output = desk.run(&["backup", "data", "-r", &gone, "--also", &other]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains(&other) && !stderr(&output).contains("file"));
    // What is refused of an address is not repeated, by whichever way it is told.
    for more in [&["--json"][..], &[]] {
        let also = ["--also", "s3:https://id:hush@127.0.0.1/bucket"];
        let output = desk.run(&[&["backup", "data"], &also[..], more].concat());
        let told = [stdout(&output), stderr(&output)].concat();
        assert!(told.contains("s3:https://***@127.0.0.1") && !told.contains("hush"), "{told}");
    }
    assert_eq!((snapshots(&first), snapshots(&second)), (3, 2));
    // A snapshot is in one repository.
    let args = ["backup", "data", "--also", &second, "--parent", "3f9c2a1b"];
    assert_eq!(code(&desk.run(&args)), 1);
    let nine: Vec<&str> = (0..8).flat_map(|_| ["--also", "x"]).collect();
    assert_eq!(code(&desk.run(&[&["backup", "data"], &nine[..]].concat())), 8);
    assert_eq!((snapshots(&first), snapshots(&second)), (3, 2));
}

#[test]
fn lists_are_the_same_rows_in_every_format() {
    let desk = Desk::with_repository();
    let odd = desk.path("data").join(std::ffi::OsStr::from_bytes(b"x\xff\n\"y"));
    fs::write(odd, "odd").unwrap();
    desk.backup();
    let base = desk.stored("data");
    let list = |format: &str| desk.ok(&["ls", "latest", &base, "-R", "--format", format]);
    let json: Value = serde_json::from_str(&list("json")).unwrap();
    let paths: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(paths.len(), 5);
    assert_eq!(json[format!("{base}/a.txt")]["SIZE"], "5");
    let exact = json.as_object().unwrap().values().find_map(|one| one["PATH_B64"].as_str());
    assert!(exact.is_some(), "bytes that are no text come along");
    assert_eq!(list("plain").lines().count(), 5);
    assert_eq!(list("csv").lines().count(), 6);
    assert_eq!(list("shell").lines().count(), 7);
    assert_eq!(list("table").lines().count(), 6);
    let found = desk.ok(&["find", "b.*", "--format", "plain"]);
    assert!(found.contains("data/sub/b.txt"), "{found}");
}

#[test]
fn changes_between_two_snapshots_are_named() {
    let desk = Desk::with_repository();
    let old = desk.backup();
    fs::write(desk.path("data/a.txt"), "changed").unwrap();
    fs::remove_file(desk.path("data/link")).unwrap();
    fs::write(desk.path("data/new.txt"), "").unwrap();
    let new = desk.backup();
    let rows = desk.json(&["diff", &old, &new, "--json"]);
    let change = |name: &str| rows[desk.stored(name)]["CHANGE"].as_str().unwrap().to_owned();
    assert_eq!(change("data/a.txt"), "modified");
    assert_eq!(change("data/link"), "removed");
    assert_eq!(change("data/new.txt"), "added");
    assert_eq!(rows.as_object().unwrap().len(), 3);
}

#[test]
fn exclusions_come_from_options_and_files() {
    let desk = Desk::with_repository();
    fs::write(desk.path("patterns"), "# comment\n\nsub\n").unwrap();
    desk.ok(&["backup", "data", "-e", "*.txt", "--exclude-file", "patterns"]);
    let rows = desk.ok(&["ls", "latest", &desk.stored("data"), "-R", "--format", "plain"]);
    assert_eq!(rows.lines().count(), 1, "{rows}");
}

#[test]
fn a_dry_run_stores_nothing() {
    let desk = Desk::with_repository();
    let rows = desk.json(&["backup", "data", "--dry-run", "--format", "json"]);
    assert_eq!(rows["dry-run"]["FILES"], "2");
    assert_eq!(desk.ok(&["snapshots", "--json"]), "{\n}\n");
}

#[test]
fn forgetting_asks_and_keeps_what_a_policy_keeps() {
    let desk = Desk::with_repository();
    let first = desk.backup();
    let second = desk.backup();
    assert_eq!(code(&desk.run(&["forget", &first])), 1);
    assert_eq!(code(&desk.run(&["forget", "--force"])), 1, "neither ids nor a policy");
    let rows = desk.json(&["forget", "--keep-last", "1", "--dry-run", "--json"]);
    assert_eq!(
        (&rows[&first]["ACTION"], &rows[&second]["ACTION"]),
        (&"forget".into(), &"keep".into())
    );
    assert_eq!(desk.ok(&["snapshots", "--format", "plain"]).lines().count(), 2);
    desk.ok(&["forget", "--keep-last", "1", "--force"]);
    assert_eq!(desk.backup().len(), 64, "life goes on");
    assert_eq!(code(&desk.run(&["ls", &first])), 3);
    desk.ok(&["check", "--read-data"]);
}

#[test]
fn pruning_frees_what_nothing_needs_unless_somebody_writes() {
    let desk = Desk::with_repository();
    let large = desk.path("data/large");
    let mut noise = vec![0; 3_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    fs::write(&large, noise).unwrap();
    let first = desk.backup();
    fs::remove_file(&large).unwrap();
    desk.backup();
    desk.ok(&["forget", &first, "--force"]);
    let row = |rows: &serde_json::Value, action: &str, column: &str| -> u64 {
        rows[action][column].as_str().unwrap().parse().unwrap()
    };
    let stored = || -> u64 {
        let rows = desk.json(&["stats", "--format", "json"]);
        let row = rows.as_object().unwrap().values().next().unwrap();
        row["STORED"].as_str().unwrap().parse().unwrap()
    };
    // What is young may belong to a run that goes on.
    let rows = desk.json(&["prune", "--format", "json"]);
    assert_eq!(row(&rows, "mark", "FILES"), 0);
    assert!(stored() > 3_000_000);
    assert_eq!(code(&desk.run(&["prune", "--grace", "1"])), 2, "too short a grace period");

    let (mut writer, input) = endless_backup(&desk);
    while fs::read_dir(desk.path("repository/locks")).map_or(0, Iterator::count) == 0 {
        ghostsnap::base::World::system().sleep(std::time::Duration::from_millis(20));
    }
    let refused = desk.run(&["prune", "--now"]);
    assert_eq!(code(&refused), 7, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("a backup on "), "{}", stderr(&refused));
    let locks = desk.json(&["unlock", "--json"]);
    let lock = locks.as_object().unwrap().values().next().unwrap();
    assert_eq!((&lock["WORK"], &lock["HOLDER"]), (&"backup".into(), &"runs".into()));
    assert_eq!(lock["ACTION"], "keep");
    assert!(stored() > 3_000_000);
    // Killed, it leaves its lock, which is nobody's any more.
    writer.kill().unwrap();
    writer.wait().unwrap();
    drop(input);
    assert_eq!(fs::read_dir(desk.path("repository/locks")).unwrap().count(), 1);
    let rows = desk.json(&["prune", "--now", "--dry-run", "--format", "json"]);
    assert!(row(&rows, "remove", "SIZE") + row(&rows, "repack", "SIZE") > 3_000_000);
    assert_eq!(row(&rows, "freed", "SIZE"), 0, "a dry run frees nothing");
    assert!(stored() > 3_000_000);
    let done = desk.run(&["prune", "--now"]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(stored() < 100_000, "{}", stored());
    assert_eq!(fs::read_dir(desk.path("repository/locks")).unwrap().count(), 0);
    desk.ok(&["check", "--read-data"]);
    assert_eq!(desk.backup().len(), 64, "life goes on");
}

#[test]
fn a_damaged_snapshot_holds_nobody_up_and_can_be_dropped() {
    let desk = Desk::with_repository();
    let ids = || -> Vec<String> {
        let rows = desk.json(&["snapshots", "--json"]);
        rows.as_object().unwrap().keys().cloned().collect()
    };
    desk.backup();
    let first = ids().pop().unwrap();
    fs::write(desk.path("data/a.txt"), "second").unwrap();
    desk.backup();
    let file = desk.path("repository/snapshots").join(&first);
    let mut bytes = fs::read(&file).unwrap();
    bytes[70] ^= 1;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&file, bytes).unwrap();
    let target = desk.text("target");
    let restored = desk.run(&["restore", "latest", "--target", &target]);
    assert_eq!(code(&restored), 0, "{}", stderr(&restored));
    assert!(stderr(&restored).contains(&first[..8]), "it is named: {}", stderr(&restored));
    desk.ok(&["ls", "latest"]);
    let refused = desk.run(&["forget", "--keep-last", "1", "--force"]);
    assert_eq!(code(&refused), 31);
    assert!(stderr(&refused).contains("forget ID"), "{}", stderr(&refused));
    assert_eq!(code(&desk.run(&["prune", "--now"])), 31);
    desk.ok(&["forget", &first, "--force"]);
    desk.ok(&["prune", "--now"]);
    desk.ok(&["check", "--read-data"]);
    assert_eq!(ids().len(), 1);
}

#[test]
fn without_any_snapshot_nothing_is_pruned_unasked_and_pins_are_kept() {
    let desk = Desk::with_repository();
    let first = desk.backup();
    let rows = desk.json(&["pin", &first, &first, "--json"]);
    let rows = rows.as_object().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    let pinned = rows.keys().next().unwrap();
    desk.backup();
    desk.ok(&["forget", "--keep-last", "1", "--force"]);
    assert_eq!(desk.ok(&["snapshots", "--format", "plain"]).lines().count(), 2);
    desk.ok(&["unpin", pinned]);
    desk.ok(&["forget", "--keep-last", "1", "--force"]);
    assert_eq!(desk.ok(&["snapshots", "--format", "plain"]).lines().count(), 1);
    fs::remove_dir_all(desk.path("repository/snapshots")).unwrap();
    fs::create_dir(desk.path("repository/snapshots")).unwrap();
    // This machine has seen some there; somebody has to say that they are gone for good.
    let refused = desk.run(&["prune", "--now", "--force"]);
    assert_eq!(code(&refused), 31, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("ghostsnap accept-history"), "{}", stderr(&refused));
    assert_eq!(code(&desk.run(&["history"])), 31);
    assert_eq!(code(&desk.run(&["accept-history"])), 1, "nobody was asked");
    desk.ok(&["accept-history", "--force"]);
    desk.ok(&["history"]);
    let refused = desk.run(&["prune", "--now"]);
    assert_eq!(code(&refused), 3, "{}", stderr(&refused));
    let rows = desk.json(&["prune", "--now", "--force", "--format", "json"]);
    assert!(rows["freed"]["FILES"].as_str().unwrap().parse::<u64>().unwrap() > 0);
}

#[test]
fn damage_is_found_and_has_its_exit_code() {
    let desk = Desk::with_repository();
    fs::write(desk.path("data/big"), vec![7; 100_000]).unwrap();
    desk.backup();
    desk.ok(&["check"]);
    let mut packs = Vec::new();
    for folder in fs::read_dir(desk.path("repository/packs")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            packs.push(file.unwrap().path());
        }
    }
    let pack = packs.first().unwrap();
    let mut bytes = fs::read(pack).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::set_permissions(pack, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(pack, bytes).unwrap();
    let output = desk.run(&["check", "--read-data", "--format", "csv"]);
    assert_eq!(code(&output), 31, "{}", stderr(&output));
    assert!(stdout(&output).contains("damaged"), "{}", stdout(&output));
}

#[test]
fn events_are_json_lines_and_the_result_is_last() {
    let desk = Desk::with_repository();
    let text = desk.ok(&["backup", "data", "--json"]);
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["event"] == "progress"));
    let last = events.last().unwrap();
    assert_eq!(last["event"], "result");
    let row = last["rows"].as_object().unwrap().values().next().unwrap();
    assert_eq!((&row["FILES"], &row["WARNINGS"]), (&"2".into(), &"0".into()));
    let failed = desk.run(&["restore", "ffff0000", "--target", "x", "--json"]);
    let last = stdout(&failed);
    let last: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"error".into(), &3.into()));
}

#[test]
fn a_long_result_is_one_line_and_carries_its_state() {
    let desk = Desk::with_repository();
    for number in 0..2000 {
        fs::write(desk.path(&format!("data/file-with-a-long-name-{number}")), "").unwrap();
    }
    desk.backup();
    let text = desk.ok(&["find", "file-*", "--json"]);
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"result".into(), &0.into()));
    assert_eq!(last["rows"].as_object().unwrap().len(), 2000);
    let partial = desk.run(&["backup", "data", "/nowhere/at/all", "--json"]);
    let last = stdout(&partial);
    let last: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"result".into(), &30.into()));
    assert_eq!((code(&partial), &last["kind"]), (30, &"partial".into()));
}

#[test]
fn short_commands_tell_their_errors_in_json_too() {
    let desk = Desk::with_repository();
    for (args, exit) in
        [(&["ls", "nothing", "--json"][..], 3), (&["ls", "--json"], 1), (&["init", "--json"], 4)]
    {
        let output = desk.run(args);
        assert_eq!((code(&output), stdout(&output)), (exit, String::new()), "{args:?}");
        let event: Value = serde_json::from_str(&stderr(&output)).unwrap();
        assert_eq!((&event["event"], &event["exit"]), (&"error".into(), &exit.into()), "{args:?}");
    }
}

#[test]
fn what_makes_or_changes_something_says_what_in_json() {
    let desk = Desk::new();
    let made = desk.json(&["init", "--json", "--label", "mine"]);
    let row = &made[desk.text("repository")];
    assert_eq!((&row["LABEL"], &row["METHOD"]), (&"mine".into(), &"password".into()));
    let added = desk.json(&["key", "add", "--new-key-file", "k", "--label", "second", "--json"]);
    let (id, row) = added.as_object().unwrap().iter().next().unwrap();
    assert_eq!((&row["LABEL"], &row["METHOD"]), (&"second".into(), &"key-file".into()));
    let removed = desk.json(&["key", "remove", id, "--force", "--json"]);
    assert_eq!(removed[id]["LABEL"], "second");
    desk.backup();
    let repaired = desk.ok(&["repair", "index", "--json"]);
    let last: Value = serde_json::from_str(repaired.lines().last().unwrap()).unwrap();
    assert_eq!(last["rows"][desk.text("repository")]["PACKS"], "2");
}

#[test]
fn a_dry_run_changes_nothing_and_says_would() {
    let desk = Desk::with_repository();
    let told = stderr(&desk.run(&["backup", "data", "--dry-run"]));
    assert!(told.contains("would store"), "{told}");
    desk.backup();
    let output = desk.run(&["restore", "latest", "--target", "new/place", "--dry-run", "--delete"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("3 files would be restored"), "{}", stderr(&output));
    assert!(!desk.path("new").exists());
    desk.ok(&["restore", "latest", "--target", "out"]);
    let again = stderr(&desk.run(&["restore", "latest", "--target", "out"]));
    assert!(again.contains("0 files restored, 3 were right already"), "{again}");
}

#[test]
fn the_settings_say_where_the_first_key_goes_and_how_hard_to_compress() {
    let desk = Desk::new();
    let settings = format!(
        "repository = '{0}/r'\nkey_file = '{0}/etc/key'\ncompression_level = 19\n",
        desk.text("")
    );
    fs::write(desk.path("s.toml"), settings).unwrap();
    let run = |args: &[&str]| {
        let mut command = desk.command(args);
        command.env_remove("GHOSTSNAP_REPOSITORY").env_remove("GHOSTSNAP_PASSWORD");
        command.env("GHOSTSNAP_CONFIG", desk.path("s.toml")).output().unwrap()
    };
    let made = run(&["init"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    assert!(stderr(&made).contains("etc/key is the only thing"), "{}", stderr(&made));
    assert_eq!(fs::metadata(desk.path("etc/key")).unwrap().mode() & 0o777, 0o600);
    let text: String = (0..40_000).map(|number| format!("line {} of it\n", number * 7)).collect();
    fs::write(desk.path("data/long"), text).unwrap();
    let stored = |args: &[&str]| -> u64 {
        let output = run(args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output).split('\t').nth(9).unwrap().parse().unwrap()
    };
    let hard = stored(&["backup", "data", "--format", "plain", "--dry-run"]);
    let light = stored(&["backup", "data", "--format", "plain", "--dry-run", "--level", "1"]);
    assert!(hard < light, "{hard} {light}");
    // A repository whose key is there already: no word of a password.
    fs::remove_dir_all(desk.path("r")).unwrap();
    let again = run(&["init"]);
    assert!(!stderr(&again).contains("password"), "{}", stderr(&again));
}

#[test]
fn a_repository_keeps_away_from_other_things_and_from_itself() {
    let desk = Desk::with_repository();
    let refused = desk.run(&["init", "-r", "./data"]);
    assert_eq!(code(&refused), 4, "{}", stderr(&refused));
    assert!(!desk.path("data/config").exists() && !desk.path("data/keys").exists());
    assert_eq!(code(&desk.run(&["init", "-r", "data/a.txt"])), 2);
    assert_eq!(code(&desk.run(&["snapshots", "-r", "data/a.txt"])), 2);
    assert_eq!(code(&desk.run(&["snapshots", "-r", &"x".repeat(5000)])), 2);
    let output = desk.run(&["backup", "."]);
    assert_eq!(code(&output), 0, "no loss, so complete: {}", stderr(&output));
    assert!(stderr(&output).contains("it is left out"), "{}", stderr(&output));
    let all = desk.ok(&["ls", "latest", "-R", "--format", "plain"]);
    assert!(all.contains("a.txt") && !all.contains("repository"), "{all}");
    assert_eq!(code(&desk.run(&["backup", "repository/packs"])), 2);
    desk.ok(&["init", "-r", "./data", "--force"]);
}

#[test]
fn a_dumped_file_is_whole_or_not_there() {
    let desk = Desk::with_repository();
    fs::write(desk.path("data/big"), vec![7; 100_000]).unwrap();
    desk.backup();
    let stored = desk.stored("data/big");
    desk.ok(&["dump", "latest", &stored, "-o", "copy"]);
    assert_eq!(fs::read(desk.path("copy")).unwrap(), vec![7; 100_000]);
    assert_eq!(code(&desk.run(&["dump", "latest", &stored, "-o", "copy"])), 4);
    fs::remove_dir_all(desk.path("repository/packs")).unwrap();
    let broken = desk.run(&["dump", "latest", &stored, "-o", "other"]);
    assert_ne!(code(&broken), 0);
    let names: Vec<_> =
        fs::read_dir(desk.path("")).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("other")), "{names:?}");
}

#[test]
fn a_lost_index_is_pointed_at() {
    let desk = Desk::with_repository();
    desk.backup();
    fs::remove_dir_all(desk.path("repository/index")).unwrap();
    let output = desk.run(&["check"]);
    assert_eq!(code(&output), 31);
    assert!(stderr(&output).contains("repair index"), "{}", stderr(&output));
    desk.ok(&["repair", "index"]);
    desk.ok(&["check"]);
}

#[test]
fn a_recovery_kit_opens_the_repository_when_all_else_is_gone() {
    let desk = Desk::with_repository();
    let id = desk.backup();
    desk.ok(&["key", "kit", "-o", "kit.txt"]);
    let mode = fs::metadata(desk.path("kit.txt")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(code(&desk.run(&["key", "kit", "-o", "kit.txt"])), 4, "never over another");
    let keys = desk.json(&["key", "list", "--json"]);
    assert_eq!(
        keys.as_object().unwrap().len(),
        2,
        "a page that was not written has no key: {keys}"
    );
    let without = |args: &[&str]| {
        let mut command = desk.command(args);
        command.env_remove("GHOSTSNAP_PASSWORD").output().unwrap()
    };
    let tested = without(&["key", "test", "kit.txt", "--json"]);
    assert_eq!(code(&tested), 0, "{}", stderr(&tested));
    let rows: Value = serde_json::from_str(&stdout(&tested)).unwrap();
    let (slot, row) = rows.as_object().unwrap().iter().next().unwrap();
    assert_eq!(row["SNAPSHOTS"], "1");
    assert!(row["LABEL"].as_str().unwrap().starts_with("recovery kit 2"), "{row}");
    let restored = without(&["restore", &id, "--target", "out", "--key-file", "kit.txt"]);
    assert_eq!(code(&restored), 0, "{}", stderr(&restored));
    // A slip of the fingers is named; a kit that was taken back opens nothing.
    let page = fs::read_to_string(desk.path("kit.txt")).unwrap();
    let line = page.lines().find(|line| line.trim_start().starts_with("3:")).unwrap();
    let digit = if line.as_bytes()[7] == b'0' { "1" } else { "0" };
    let mut slip = line.to_owned();
    slip.replace_range(7..8, digit);
    fs::write(desk.path("slip.txt"), page.replace(line, &slip)).unwrap();
    let told = without(&["key", "test", "slip.txt"]);
    assert_eq!(code(&told), 9, "{}", stderr(&told));
    assert!(stderr(&told).contains("line 3:"), "{}", stderr(&told));
    desk.ok(&["key", "remove", slot, "--force"]);
    assert_eq!(code(&without(&["key", "test", "kit.txt"])), 9);
    // On a terminal or into a printer.
    assert!(desk.ok(&["key", "kit"]).starts_with("GHOSTSNAP RECOVERY KIT v1\n"));
}

#[test]
fn keys_are_rotated_for_all_who_are_to_go_on() {
    let desk = Desk::with_repository();
    let id = desk.backup();
    desk.ok(&["key", "kit", "-o", "kit.txt"]);
    let refused = desk.run(&["key", "rotate"]);
    assert_eq!(code(&refused), 10, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("(recovery kit 2"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--also"), "{}", stderr(&refused));
    let rows = desk.json(&["key", "rotate", "--also", "kit.txt", "--json"]);
    let results = rows.as_object().unwrap().values().map(|row| row["RESULT"].as_str().unwrap());
    let mut results: Vec<&str> = results.collect();
    results.sort_unstable();
    assert_eq!(results, ["removed", "removed", "renewed", "renewed"]);
    let keys = desk.json(&["key", "list", "--json"]);
    assert!(keys.as_object().unwrap().values().all(|row| row["EPOCH"] == "1"), "{keys}");
    // What was there, what comes, by the password and by the kit.
    let later = desk.backup();
    for (number, id) in [id, later].iter().enumerate() {
        let target = format!("out{number}");
        desk.ok(&["restore", id, "--target", &target, "--key-file", "kit.txt"]);
    }
    desk.ok(&["check", "--read-data"]);
    let pruned = desk.run(&["prune", "--max-reseal-size", "0"]);
    assert!(stderr(&pruned).contains("under the keys of before"), "{}", stderr(&pruned));
    let pruned = desk.run(&["prune", "--now"]);
    assert!(!stderr(&pruned).contains("under the keys of before"), "{}", stderr(&pruned));
    desk.ok(&["check", "--read-data"]);
    desk.ok(&["key", "rotate", "--drop-others", "--force"]);
    let mut kit = desk.command(&["snapshots", "--key-file", "kit.txt"]);
    assert_eq!(code(&kit.env_remove("GHOSTSNAP_PASSWORD").output().unwrap()), 9);
}

#[test]
fn damage_is_mended_by_the_commands_that_are_named() {
    let desk = Desk::with_repository();
    for number in 0..20u32 {
        let mut noise = vec![0; 40_000];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut noise);
        fs::write(desk.path(&format!("data/{number}")), noise).unwrap();
    }
    desk.backup();
    desk.ok(&["init", "-r", "./elsewhere"]);
    desk.ok(&["copy", "--from", "./repository", "--to", "./elsewhere"]);
    let damage = || {
        let folder = fs::read_dir(desk.path("repository/packs")).unwrap();
        let packs = folder.flat_map(|one| fs::read_dir(one.unwrap().path()).unwrap());
        let largest =
            packs.map(|one| one.unwrap().path()).max_by_key(|one| one.metadata().unwrap().len());
        let mut bytes = fs::read(largest.as_ref().unwrap()).unwrap();
        bytes[100_000] ^= 1;
        fs::write(largest.unwrap(), bytes).unwrap();
    };
    damage();
    let told = desk.run(&["check", "--read-data"]);
    assert_eq!(code(&told), 31);
    assert!(stderr(&told).contains("repair packs"), "{}", stderr(&told));
    // A copy has it all.
    let told = desk.ok(&["repair", "packs", "--from", "./elsewhere", "--json"]);
    let last: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    let (_, row) = last["rows"].as_object().unwrap().iter().next().unwrap();
    assert_eq!((&row["RESULT"], &row["LOST"]), (&"saved".into(), &"0".into()), "{last}");
    desk.ok(&["check", "--read-data"]);
    desk.ok(&["restore", "latest", "--target", "out", "--verify"]);
    // Without one, what is lost is named, and the rest restores.
    desk.ok(&["prune", "--now"]);
    damage();
    let told = desk.run(&["repair", "packs"]);
    assert_eq!(code(&told), 31, "{}", stderr(&told));
    assert!(stderr(&told).contains("repair snapshots"), "{}", stderr(&told));
    let told = desk.run(&["repair", "snapshots", "--dry-run", "--format", "json"]);
    assert_eq!(code(&told), 31);
    let rows: Value = serde_json::from_str(&stdout(&told)).unwrap();
    assert_eq!(rows["1"]["KIND"], "file", "{rows}");
    assert_eq!(code(&desk.run(&["repair", "snapshots"])), 1, "asks first");
    let rows = desk.json(&["repair", "snapshots", "--force", "--format", "json"]);
    assert_eq!(rows["1"]["RESULT"], "repaired", "{rows}");
    desk.ok(&["check", "--read-data"]);
    desk.ok(&["restore", "latest", &desk.stored("data"), "--target", "rest", "--verify"]);
    let count = |name: &str| fs::read_dir(desk.path(name)).unwrap().count();
    assert!(count("rest") < count("data"), "{} {}", count("rest"), count("data"));
    assert!(count("rest") > 3);
}

#[test]
fn programs_we_start_can_be_stopped_and_learn_no_password() {
    let desk = Desk::with_repository();
    let command = "bash -c 'grep SigBlk /proc/self/status > mask; env > seen; echo correct horse'";
    desk.ok(&["snapshots", "--password-command", command]);
    let mask = fs::read_to_string(desk.path("mask")).unwrap();
    let mask = u64::from_str_radix(mask.trim_start_matches("SigBlk:").trim(), 16).unwrap();
    assert_eq!(mask & 0x4003, 0, "SIGHUP, SIGINT and SIGTERM get through: {mask:x}");
    assert!(!fs::read_to_string(desk.path("seen")).unwrap().contains("GHOSTSNAP_PASSWORD"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let desk = Desk::with_repository();
    for number in 0..3000 {
        fs::write(desk.path(&format!("data/file-with-a-long-name-{number}")), "").unwrap();
    }
    desk.backup();
    let mut command = desk.command(&["ls", "latest", "-R", "--format", "plain"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}

/// Starts a backup of a stream that never ends by itself and waits until it runs.
fn endless_backup(desk: &Desk) -> (std::process::Child, std::process::ChildStdin) {
    let mut command = desk.command(&["backup", "--stdin", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = child.stdin.take().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    events.read_line(&mut line).unwrap();
    assert!(line.contains("event"), "{line}");
    // Somebody has to read on, or the backup would wait for us.
    std::thread::spawn(move || std::io::copy(&mut events, &mut std::io::sink()));
    (child, input)
}

fn interrupt(child: &std::process::Child) {
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
}

#[test]
fn one_interrupt_stops_in_good_order_and_the_next_backup_works() {
    let desk = Desk::with_repository();
    let (mut child, mut input) = endless_backup(&desk);
    interrupt(&child);
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.starts_with("Stopping"), "{line}");
    let block = vec![1; 1 << 16];
    while input.write_all(&block).is_ok() {}
    assert_eq!(child.wait().unwrap().code(), Some(33));
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("Error: cannot"), "{rest}");
    desk.backup();
    desk.ok(&["check", "--read-data"]);
}

#[test]
fn the_second_interrupt_stops_at_once() {
    let desk = Desk::with_repository();
    let (mut child, _input) = endless_backup(&desk);
    interrupt(&child);
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    errors.read_line(&mut String::new()).unwrap();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(33));
    desk.backup();
    desk.ok(&["check"]);
}

#[test]
fn completions_and_help_need_no_repository() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(desk.ok(&["completions", shell]).contains("ghostsnap"));
    }
    assert!(desk.ok(&["--version"]).starts_with("ghostsnap "));
    assert!(desk.ok(&["hestia", "restore", "--help"]).contains("--udir"));
}

/// Something mounted, until it is dropped.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn mounted(at: &Path) -> Option<Mounted> {
    fs::create_dir_all(at).unwrap();
    let done =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(at).status();
    if !nix::unistd::geteuid().is_root() || !done.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "nothing can be mounted");
        eprintln!("SKIPPED: nothing can be mounted here");
        return None;
    }
    Some(Mounted(at.to_owned()))
}

#[test]
fn what_is_mounted_is_never_removed_by_a_restore_of_what_is_around_it() {
    let desk = Desk::new();
    desk.ok(&["init"]);
    let data = desk.path("data");
    fs::create_dir_all(data.join("sub")).unwrap();
    fs::write(data.join("sub/file"), "old").unwrap();
    fs::write(data.join("was-a-file"), "old").unwrap();
    let Some(disk) = mounted(&data.join("sub/disk")) else { return };
    fs::write(disk.0.join("db"), "on another disk").unwrap();
    desk.ok(&["backup", "--one-file-system", "data"]);
    fs::remove_file(data.join("was-a-file")).unwrap();
    let new = mounted(&data.join("was-a-file/deep")).unwrap();
    fs::write(new.0.join("db"), "on a third one").unwrap();
    let unknown = mounted(&data.join("unknown/deep")).unwrap();
    fs::write(unknown.0.join("db"), "on a fourth one").unwrap();
    fs::write(data.join("sub/newer"), "goes").unwrap();
    let output = desk.run(&["restore", "latest", "--in-place", "--delete", "--force"]);
    assert_eq!(output.status.code(), Some(30), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("mounted"), "{said}");
    assert!(said.contains("was-a-file"), "{said}");
    assert!(!data.join("sub/newer").exists(), "{said}");
    for (disk, text) in
        [(&disk, "on another disk"), (&new, "on a third one"), (&unknown, "on a fourth one")]
    {
        assert_eq!(fs::read_to_string(disk.0.join("db")).unwrap(), text, "{said}");
    }
}
