// SPDX-License-Identifier: MIT
//! The commands for HestiaCP through the program itself, against a double of HestiaCP: as an admin
//! types them, and as the panel's commands call them.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::*;
use serde_json::Value;
use std::fs;
use std::process::{Command, Output, Stdio};

trait Program {
    fn ghostsnap(&self, args: &[&str]) -> Output;
    fn ok(&self, args: &[&str]) -> String;
    /// As a shim calls it.
    fn panel(&self, args: &[&str]) -> (i32, String);
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

    fn ok(&self, args: &[&str]) -> String {
        let output = self.ghostsnap(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn panel(&self, args: &[&str]) -> (i32, String) {
        let args: Vec<&str> = ["--panel"].iter().chain(args).copied().collect();
        let output = self.ghostsnap(&args);
        let code = output.status.code().unwrap();
        assert!(output.stderr.is_empty(), "the panel never sees this: {output:?}");
        (code, String::from_utf8(output.stdout).unwrap())
    }
}

fn json(text: &str) -> Value {
    let parsed = serde_json::from_str(text);
    assert!(parsed.is_ok(), "{text}");
    parsed.unwrap()
}

/// Values of the only row.
fn row(text: &str) -> Value {
    let rows = json(text);
    assert_eq!(rows.as_object().unwrap().len(), 1, "{text}");
    rows.as_object().unwrap().values().next().unwrap().clone()
}

/// A machine whose settings let Hestia make the tarballs.
fn by_tarball() -> Machine {
    let machine = machine();
    fs::create_dir_all(machine.path("etc/ghostsnap")).unwrap();
    fs::write(machine.path("etc/ghostsnap/ghostsnap.toml"), "mode = \"tarball\"\n").unwrap();
    machine
}

#[test]
fn users_are_listed_bare_for_scripts_and_in_full_on_request() {
    let machine = machine();
    assert_eq!(machine.ok(&["hestia", "list-users"]), "alice\nbob\n");
    let rows = json(&machine.ok(&["hestia", "list-users", "--json"]));
    assert_eq!(rows["alice"]["DB"], "alice_wp,alice_shop,alice_geo");
    assert_eq!(rows["alice"]["CRON"], "2");
    let (code, text) = machine.panel(&["v-ghostsnap-list-users"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("USER   ROLE  PACKAGE"), "{text}");
    let (code, text) = machine.panel(&["v-ghostsnap-list-user", "nobody", "json"]);
    assert_eq!(code, 3);
    assert!(text.starts_with("Error: cannot find the user nobody"), "{text}");
    assert!(!machine.ok(&["hestia", "user-info", "alice", "--json"]).contains("HASH"));
}

#[test]
fn the_first_backup_makes_repository_and_key_and_says_so_once() {
    let machine = machine();
    let (code, text) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    assert_eq!((code, text.as_str()), (0, "{\n}\n"), "nothing is set up yet");
    let (code, text) = machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("repository.key") && text.contains("Copy it"), "{text}");
    let (code, text) = machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    assert!(code == 0 && !text.contains("Copy it"), "{text}");
    let (_, text) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    assert_eq!(json(&text).as_object().unwrap().len(), 2);
    // A repository that somebody names is never made by the way.
    let elsewhere = machine.path("elsewhere").display().to_string();
    let (code, text) = machine.panel(&["v-ghostsnap-backup-user", "alice", &elsewhere]);
    assert_eq!(code, 3, "{text}");
    assert!(!machine.path("elsewhere").exists());
}

#[test]
fn lists_use_hestias_words() {
    let machine = machine();
    machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    let (_, text) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    let found = row(&text);
    assert_eq!(found["WEB"], "shop.example,static.example");
    assert_eq!((&found["CRON"], &found["RUNTIME"]), (&"2".into(), &"1".into()));
    assert_eq!((&found["STATUS"], &found["TAGS"]), (&"complete".into(), &"".into()));
    let name = found["NAME"].as_str().unwrap();
    let (code, text) = machine.panel(&["v-ghostsnap-list-user-backup", "alice", name, "json"]);
    assert_eq!((code, &row(&text)), (0, &found));
    // Another user's snapshot does not exist.
    let (code, text) = machine.panel(&["v-ghostsnap-list-user-backup", "bob", name, "json"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.starts_with("Error: "), "{text}");
    let (code, text) = machine.panel(&["v-ghostsnap-list-user-backups", "bob", "json"]);
    assert_eq!((code, text.as_str()), (0, "{\n}\n"));
    let (code, _) = machine.panel(&["v-ghostsnap-list-user-backups", "nobody", "json"]);
    assert_eq!(code, 3);
}

#[test]
fn one_users_failure_does_not_stop_the_others() {
    let machine = by_tarball();
    machine.fault("backup-fails-alice");
    let output = machine.ghostsnap(&["hestia", "backup", "--json"]);
    assert_eq!(output.status.code(), Some(30));
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = text.lines().map(json).collect();
    let result = events.iter().find(|event| event["event"] == "result").unwrap();
    assert_eq!(result["rows"]["alice"]["RESULT"], "failed");
    assert_eq!(result["rows"]["bob"]["RESULT"], "succeeded");
    assert!(events.iter().any(|event| event["name"] == "user 2 of 2: bob"));
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"result".into(), &30.into()));
    assert_eq!(last["kind"], "partial");
    let (code, text) = machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    assert_eq!(code, 8, "Hestia's own code is kept: {text}");
    assert!(text.lines().last().unwrap().starts_with("Error: cannot"), "{text}");
}

#[test]
fn patterns_choose_users() {
    let machine = machine();
    machine.add_user("prod-1");
    machine.add_user("prod-test");
    let text =
        machine.ok(&["hestia", "backup", "-i", "prod-*", "-e", "prod-t*", "--format", "plain"]);
    assert_eq!(text.lines().count(), 1, "{text}");
    let (code, text) = machine.panel(&["v-ghostsnap-backup-users", "prod-*,b?b", "prod-test"]);
    assert_eq!((code, text.lines().filter(|line| line.contains("succeeded")).count()), (0, 2));
    let (code, _) = machine.panel(&["v-ghostsnap-backup-users", "nobody-*"]);
    assert_eq!(code, 3);
}

#[test]
fn a_deleted_user_comes_back_through_the_panel() {
    let machine = machine();
    let before = machine.content_of("alice");
    machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    let (code, text) = machine.panel(&["v-ghostsnap-restore-user", "alice", "latest"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("DB alice_wp"), "{text}");
    assert_eq!(machine.content_of("alice"), before);
}

#[test]
fn a_single_object_is_restored_and_nothing_else() {
    let machine = machine();
    machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    let (code, text) =
        machine.panel(&["v-ghostsnap-restore-cron-job", "alice", "latest", "1", "no"]);
    assert_eq!(code, 0, "{text}");
    let asked = machine.history();
    let asked = asked.lines().rfind(|line| line.starts_with("restore ")).unwrap();
    assert!(asked.contains(".tar no no no no * no"), "{asked}");
    let (code, text) =
        machine.panel(&["v-ghostsnap-restore-web-domain", "alice", "latest", "not-hers.example"]);
    assert_eq!(code, 3, "{text}");
}

#[test]
fn an_admin_is_asked_before_a_user_is_overwritten() {
    let machine = machine();
    machine.ok(&["hestia", "backup", "-u", "alice"]);
    let output = machine.ghostsnap(&["hestia", "restore", "alice"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!machine.was_asked_to_restore());
    let text = machine.ok(&["hestia", "restore", "alice", "--dry-run", "--web", "shop.example"]);
    assert!(text.contains("planned") && !machine.history().contains("rebuild-web"), "{text}");
    machine.ok(&["hestia", "restore", "alice", "--force", "--web", "shop.example"]);
    assert!(machine.history().contains("rebuild-web alice shop.example\n"));
    assert!(!machine.was_asked_to_restore());
    let through = ["--through", "tarball", "--web", "shop.example"];
    machine.ok(&[&["hestia", "restore", "alice", "--force"][..], &through].concat());
    let asked = machine.history();
    let asked = asked.lines().rfind(|line| line.starts_with("restore ")).unwrap();
    assert!(asked.contains(".tar * no no no no no"), "{asked}");
}

#[test]
fn a_new_person_of_an_old_name_sees_nothing_of_the_old_one() {
    let machine = machine();
    machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    machine.run("v-delete-user", &["alice"]);
    let (_, text) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    assert_eq!(json(&text).as_object().unwrap().len(), 1, "she is gone, her backups are not");
    machine.add_user_made_at("alice", "09:09:09");
    let (code, text) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    assert_eq!((code, text.as_str()), (0, "{\n}\n"));
    for command in [
        ["v-ghostsnap-list-user-backup", "alice", "latest"],
        ["v-ghostsnap-export-user-backup", "alice", "latest"],
        ["v-ghostsnap-restore-user", "alice", "latest"],
    ] {
        let (code, text) = machine.panel(&command);
        assert_eq!(code, 3, "{command:?}: {text}");
    }
    assert!(!machine.was_asked_to_restore());
    // The admin, who knows, sees and restores it.
    assert!(machine.ok(&["hestia", "list-backups", "-u", "alice"]).contains("complete"));
    machine.ok(&["hestia", "restore", "alice", "--force"]);
}

#[test]
fn a_snapshot_that_does_not_say_of_whom_is_for_the_administrator_only() {
    let machine = machine();
    let conf = machine.hestia.user_file(&user("alice"), "user.conf");
    let known = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, known.replace("TIME='07:03:50'\n", "")).unwrap();
    machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    fs::write(&conf, known).unwrap();
    let (code, text) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    assert_eq!((code, text.as_str()), (0, "{\n}\n"));
    let (code, text) = machine.panel(&["v-ghostsnap-restore-user", "alice", "latest"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("v-ghostsnap-list-user-backups alice"), "{text}");
    assert!(machine.ok(&["hestia", "list-backups", "-u", "alice"]).contains("complete"));
    machine.ok(&["hestia", "restore", "alice", "--force"]);
}

#[test]
fn customers_learn_nothing_of_what_others_have() {
    let machine = machine();
    machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    let (_, text) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    assert_eq!(row(&text)["NEW"], "");
    assert_ne!(row(&machine.ok(&["hestia", "list-backups", "--json"]))["NEW"], "");
    machine.run("v-delete-user", &["alice"]);
    machine.add_web("bob", "shop.example");
    let (code, text) = machine.panel(&["v-ghostsnap-restore-user", "alice", "latest"]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("another user") && !text.contains("bob"), "{text}");
    let output = machine.ghostsnap(&["hestia", "restore", "alice"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("that user is bob"), "{output:?}");
}

#[test]
fn saying_no_to_one_section_takes_all_the_others() {
    let machine = machine();
    machine.ok(&["hestia", "backup", "-u", "alice"]);
    let chosen = ["--through", "tarball", "--db", "no", "--cron", "no"];
    machine.ok(&[&["hestia", "restore", "alice", "--force"][..], &chosen].concat());
    let asked = machine.history();
    let asked = asked.lines().rfind(|line| line.starts_with("restore ")).unwrap();
    assert!(asked.contains(".tar * * * no no *"), "{asked}");
}

#[test]
fn keeping_tarballs_without_a_cleanup_is_a_mistake() {
    let machine = machine();
    let output = machine.ghostsnap(&["hestia", "backup", "--keep-tarballs", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--cleanup"), "{output:?}");
    assert!(machine.backups().is_empty());
}

#[test]
fn a_folder_that_is_no_user_is_named_to_the_administrator() {
    let machine = machine();
    let odd = machine.hestia.users().join("alice (copy)");
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("user.conf"), "").unwrap();
    for command in [&["hestia", "list-users"][..], &["hestia", "backup"]] {
        let output = machine.ghostsnap(command);
        assert_eq!(output.status.code(), Some(0));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("alice (copy) for a user"), "{told}");
    }
    let (_, text) = machine.panel(&["v-ghostsnap-list-users", "json"]);
    assert_eq!(json(&text).as_object().unwrap().len(), 2);
}

#[test]
fn what_hestias_restore_would_stop_at_is_left_out_and_the_rest_comes_back() {
    let machine = machine();
    let home = machine.hestia.user_home(&user("bob"));
    fs::write(home.join("notes.tar.gz.bak"), "x").unwrap();
    fs::write(home.join("notes.tar.gz"), "y").unwrap();
    machine.ok(&["hestia", "backup", "-u", "bob"]);
    fs::remove_file(home.join("notes.tar.gz")).unwrap();
    let through = ["--force", "--through", "tarball"];
    let output = machine.ghostsnap(&[&["hestia", "restore", "bob"][..], &through].concat());
    assert_eq!(output.status.code(), Some(30), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("'notes.tar.gz.bak' of the home: left out"), "{told}");
    assert_eq!(fs::read_to_string(home.join("notes.tar.gz")).unwrap(), "y");
    // Straight to its place it comes back too.
    fs::remove_file(home.join("notes.tar.gz.bak")).unwrap();
    machine.ok(&["hestia", "restore", "bob", "--force"]);
    assert_eq!(fs::read_to_string(home.join("notes.tar.gz.bak")).unwrap(), "x");
}

#[test]
fn an_interrupt_stops_hestias_backup_and_nothing_of_it_stays() {
    let machine = by_tarball();
    machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    let before = machine.backups();
    machine.fault("backup-waits-bob");
    let fifo = machine.path("waiting");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ghostsnap"))
        .args(["hestia", "backup", "-u", "bob", "--json"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("GHOSTSNAP_HESTIA_BELOW", machine.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Says that Hestia is in the middle of it.
    fs::read(&fifo).unwrap();
    assert!(machine.backups().iter().any(|name| name.starts_with("tmp.")));
    let world = ghostsnap::base::World::system();
    let started = world.ticks();
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(33));
    let took = world.ticks().saturating_sub(started);
    assert!(took.as_secs() < 15, "it had to be killed");
    let output = child.wait_with_output().unwrap();
    assert_eq!(machine.backups(), before);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("v-log-action"), "{output:?}");
    let last = String::from_utf8(output.stdout).unwrap();
    let last = json(last.lines().last().unwrap());
    assert_eq!((&last["event"], &last["exit"]), (&"result".into(), &33.into()));
    assert_eq!(last["rows"]["bob"]["RESULT"], "failed");
}

#[test]
fn a_tarball_goes_out_and_comes_in_again() {
    let machine = by_tarball();
    machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    let (code, text) = machine.panel(&["v-ghostsnap-export-user-backup", "alice", "latest"]);
    assert_eq!(code, 0, "{text}");
    assert!(machine.backups().iter().any(|name| name.starts_with("alice.gs-")));
    let output = machine.path("out.tar").display().to_string();
    machine.ok(&["hestia", "export", "alice", "-o", &output, "--db", "alice_wp"]);
    let again = machine.ghostsnap(&["hestia", "export", "alice", "-o", &output]);
    assert_eq!(again.status.code(), Some(4));
    let tarball = machine.backups().into_iter().find(|name| name.starts_with("alice.2")).unwrap();
    let (code, text) = machine.panel(&["v-ghostsnap-import-user-backup", "alice", &tarball]);
    assert_eq!(code, 4, "it is in the repository already: {text}");
    let (code, text) = machine.panel(&["v-ghostsnap-import-user-backup", "bob", &tarball]);
    assert_eq!(code, 3, "it is not bob's: {text}");
    machine.ok(&["hestia", "import", "--force", &tarball]);
}

#[test]
fn an_export_comes_in_again_under_its_own_name_once_its_snapshot_is_gone() {
    let machine = machine();
    machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    let (_, listed) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    let made = row(&listed);
    machine.panel(&["v-ghostsnap-export-user-backup", "alice", "latest"]);
    let export = machine.backups().into_iter().find(|name| name.contains(".gs-")).unwrap();
    let (code, text) = machine.panel(&["v-ghostsnap-import-user-backup", "bob", &export]);
    assert_eq!(code, 3, "it is not bob's: {text}");
    let (code, text) = machine.panel(&["v-ghostsnap-import-user-backup", "alice", &export]);
    assert_eq!(code, 4, "its snapshot is still there: {text}");
    machine.panel(&["v-ghostsnap-delete-user-backup", "alice", "latest"]);
    let (code, text) = machine.panel(&["v-ghostsnap-import-user-backup", "alice", &export]);
    assert_eq!(code, 0, "{text}");
    let (_, listed) = machine.panel(&["v-ghostsnap-list-user-backups", "alice", "json"]);
    let again = row(&listed);
    assert_eq!((&again["WEB"], &again["DATE"]), (&made["WEB"], &made["DATE"]));
}

#[test]
fn files_can_be_put_into_a_folder_without_hestia() {
    let machine = machine();
    machine.ok(&["hestia", "backup", "-u", "alice"]);
    let target = machine.path("target").display().to_string();
    machine.ok(&["hestia", "restore", "alice", "--target", &target, "--web", "shop.example"]);
    let page = machine.path("target/web/shop.example/data/public_html/index.php");
    assert_eq!(fs::read_to_string(page).unwrap(), "<?php echo 'shop.example';\n");
    assert!(!machine.path("target/web/static.example").exists());
    let again = machine.ghostsnap(&["hestia", "restore", "alice", "--target", &target]);
    assert_eq!(again.status.code(), Some(1), "the folder is not empty");
    assert!(!machine.was_asked_to_restore());
}

#[test]
fn snapshots_are_removed_one_by_one() {
    let machine = machine();
    machine.ok(&["hestia", "backup"]);
    let (code, text) = machine.panel(&["v-ghostsnap-delete-user-backup", "alice", "latest"]);
    assert_eq!(code, 0, "{text}");
    let (code, _) = machine.panel(&["v-ghostsnap-delete-user-backup", "alice", "latest"]);
    assert_eq!(code, 3);
    let output = machine.ghostsnap(&["hestia", "delete-backup", "latest", "--force"]);
    assert_eq!(output.status.code(), Some(1), "whose is not said");
    assert!(machine.ok(&["hestia", "list-backups", "--format", "plain"]).contains("\tbob\t"));
}

#[test]
fn a_wrong_setting_is_named_with_its_line() {
    let machine = machine();
    fs::create_dir_all(machine.path("etc/ghostsnap")).unwrap();
    fs::write(machine.path("etc/ghostsnap/ghostsnap.toml"), "\nkeep_tarbals = 3\n").unwrap();
    let (code, text) = machine.panel(&["v-ghostsnap-backup-user", "alice"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("line 2") && text.contains("keep_tarballs"), "{text}");
}

#[test]
fn a_machine_without_hestia_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ghostsnap"))
        .args(["hestia", "backup"])
        .env_clear()
        .env("GHOSTSNAP_HESTIA_BELOW", folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("HestiaCP"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}
