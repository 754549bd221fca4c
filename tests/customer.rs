// SPDX-License-Identifier: MIT
//! What a customer does with single files, folders and mail accounts, through the program itself
//! against a double of HestiaCP.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::*;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const INDEX: &str = "web/shop.example/public_html/index.php";
const ADDRESS: &str = "info@shop.example";

trait Program {
    fn ghostsnap(&self, args: &[&str]) -> Output;
    fn ok(&self, args: &[&str]) -> String;
    /// Exit code, and what it said.
    fn no(&self, args: &[&str]) -> (i32, String);
    fn home(&self, path: &str) -> PathBuf;
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

    fn no(&self, args: &[&str]) -> (i32, String) {
        let output = self.ghostsnap(args);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn home(&self, path: &str) -> PathBuf {
        self.hestia.user_home(&user("alice")).join(path)
    }
}

fn backed_up() -> Machine {
    let machine = machine();
    machine.ok(&["hestia", "backup", "--user", "alice", "--user", "bob"]);
    machine
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_snapshot_is_looked_through_one_folder_at_a_time() {
    let machine = backed_up();
    let list = |path: &[&str]| {
        let args = [&["--panel", "v-ghostsnap-list-user-files", "alice", "latest"], path].concat();
        let text = machine.ok(&args);
        json(&text).as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let home = [".bashrc", ".ssh", "My Files", "mail", "web"];
    assert_eq!(list(&["", "json"]), home);
    let absolute = machine.home("").display().to_string();
    assert_eq!(list(&[&absolute, "json"]), home);
    assert_eq!(list(&["web", "json"]), ["shop.example", "static.example"]);
    assert_eq!(list(&["web/shop.example", "json"]), ["private", "public_html"]);
    assert_eq!(list(&["mail/shop.example/info", "json"]), ["cur"]);
    assert_eq!(list(&["My Files/notes.txt", "json"]), ["notes.txt"]);
    for (path, code) in [("conf", 3), ("web/none", 3), ("/etc/passwd", 2), ("../bob", 2)] {
        let args = ["--panel", "v-ghostsnap-list-user-files", "alice", "latest", path];
        let (found, text) = machine.no(&args);
        assert_eq!(found, code, "{path}: {text}");
        assert!(text.lines().last().unwrap().starts_with("Error: "), "{text}");
    }
}

#[test]
fn files_are_found_by_a_part_of_their_name() {
    let machine = backed_up();
    let find = |text: &str| {
        let args = ["--panel", "v-ghostsnap-find-user-files", "alice", "latest", text, "json"];
        json(&machine.ok(&args)).as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(find("NOTES"), ["My Files/notes.txt"]);
    let both = ["web/shop.example/public_html/twin.php", "web/static.example/public_html/twin.php"];
    assert_eq!(find("twin"), both);
    // Names only, not paths; and nothing that is not the user's own.
    assert_eq!(find("static.example"), ["web/static.example"]);
    assert_eq!(find("data"), Vec::<String>::new());
    assert_eq!(find("user.conf"), Vec::<String>::new());
    assert_eq!(find("*"), Vec::<String>::new());
}

#[test]
fn a_file_comes_back_and_a_dry_run_says_so_before() {
    let machine = backed_up();
    let index = machine.home(INDEX);
    fs::write(&index, "hacked").unwrap();
    let restore = ["hestia", "restore-file", "alice", "latest", INDEX];
    let dry = [&restore[..], &["--dry-run", "--json"]].concat();
    let lines = machine.ok(&dry);
    assert!(lines.contains("overwritten"), "{lines}");
    assert_eq!(fs::read(&index).unwrap(), b"hacked");
    // Nobody is there to ask.
    assert_eq!(machine.no(&restore).0, 1);
    let shim = ["--panel", "v-ghostsnap-restore-file", "alice", "latest", INDEX];
    machine.ok(&shim);
    assert!(fs::read_to_string(&index).unwrap().contains("shop.example"));
    assert!(machine.history().contains("Ghostsnap restored web/shop.example"));
    // Somewhere else, and into a folder.
    machine.ok(&[&shim[..], &["My Files"]].concat());
    assert!(machine.home("My Files/index.php").exists());
    machine.ok(&[&shim[..], &["old/site.php"]].concat());
    assert!(machine.home("old/site.php").exists());
    let out = [&shim[..], &["/etc/x.php"]].concat();
    assert_eq!(machine.no(&out).0, 2);
}

#[test]
fn an_exact_folder_loses_what_is_newer_and_a_merged_one_does_not() {
    let machine = backed_up();
    let shell = machine.home("web/shop.example/public_html/shell.php");
    fs::write(&shell, "newer").unwrap();
    let folder = "web/shop.example/public_html";
    let restore = ["hestia", "restore-file", "alice", "latest", folder, "--force"];
    machine.ok(&restore);
    assert!(shell.exists());
    machine.ok(&[&restore[..], &["--exact"]].concat());
    assert!(!shell.exists());
    for all in ["web", "mail", ""] {
        let args = ["hestia", "restore-file", "alice", "latest", all, "--force", "--exact"];
        assert_ne!(machine.no(&args).0, 0, "{all}");
    }
}

#[test]
fn another_users_or_an_earlier_persons_snapshot_does_not_exist() {
    let machine = backed_up();
    let names = machine.ok(&["hestia", "list-backups", "--user", "bob", "--json"]);
    let id = json(&names).as_object().unwrap().keys().next().unwrap().clone();
    for shim in [
        "v-ghostsnap-list-user-files",
        "v-ghostsnap-restore-file",
        "v-ghostsnap-download-user-file",
        "v-ghostsnap-diff-user",
    ] {
        let (code, text) = machine.no(&["--panel", shim, "alice", &id, "My Files"]);
        assert_eq!(code, 3, "{shim}: {text}");
    }
    machine.add_user_made_at("alice", "09:09:09");
    let (code, _) =
        machine.no(&["--panel", "v-ghostsnap-restore-file", "alice", "latest", "My Files"]);
    assert_eq!(code, 3);
    let restore = ["hestia", "restore-file", "alice", "latest", "My Files", "--force"];
    assert_eq!(machine.no(&restore).0, 10);
    machine.ok(&[&restore[..], &["--earlier"]].concat());
}

#[test]
fn a_link_planted_in_the_home_leads_a_restore_nowhere() {
    let machine = backed_up();
    let outside = tempfile::tempdir().unwrap();
    fs::remove_dir_all(machine.home("web/shop.example/public_html")).unwrap();
    symlink(outside.path(), machine.home("web/shop.example/public_html")).unwrap();
    let (code, text) = machine.no(&["hestia", "restore-file", "alice", "latest", INDEX, "--force"]);
    assert_eq!(code, 10, "{text}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

fn rows(machine: &Machine) -> PathBuf {
    machine.hestia.user_file(&user("alice"), "mail/shop.example.conf")
}

#[test]
fn a_deleted_mail_account_comes_back_with_its_mails_and_its_row() {
    let machine = machine();
    let hash = "{BLF-CRYPT}$2y$05$nRcD6/It8Z16LouewY40neJ5NlV10giCzAA4ISvuLmMqDF88hG2p.";
    let sales = "ACCOUNT='sales' ALIAS='taken' SUSPENDED='no'\n";
    let info = format!(
        "ACCOUNT='info' ALIAS='office,taken' AUTOREPLY='yes' FWD='a@b.example' FWD_ONLY='' \
         MD5='{hash}' QUOTA='100' U_DISK='7' SUSPENDED='no' PATH='/tmp'\n"
    );
    fs::write(rows(&machine), &info).unwrap();
    machine.ok(&["hestia", "backup", "--user", "alice"]);
    fs::remove_dir_all(machine.home("mail/shop.example/info")).unwrap();
    fs::write(rows(&machine), sales).unwrap();
    let restore = ["--panel", "v-ghostsnap-restore-mail-account", "alice", "latest", ADDRESS];
    // An alias that went to somebody else stays there, which makes the result partial.
    assert_eq!(machine.no(&restore).0, 30);
    let text = fs::read_to_string(rows(&machine)).unwrap();
    let (first, second) = text.split_once('\n').unwrap();
    assert_eq!(first, sales.trim_end());
    for part in ["ACCOUNT='info'", "ALIAS='office'", "FWD='a@b.example'", hash, "QUOTA='100'"] {
        assert!(second.contains(part), "{second}");
    }
    assert!(!second.contains("PATH="), "{second}");
    assert!(machine.history().contains("rebuild-mail alice shop.example"));
    let mail = machine.home("mail/shop.example/info/cur/1767203600.M2001P1.host:2,S");
    assert!(mail.exists());
    // Once more: the account is left as it is, only a lost mail comes back.
    fs::remove_file(&mail).unwrap();
    machine.ok(&restore);
    assert!(mail.exists());
    assert_eq!(fs::read_to_string(rows(&machine)).unwrap(), text);
}

#[test]
fn a_mail_account_that_cannot_be_made_leaves_no_row() {
    let machine = backed_up();
    fs::write(rows(&machine), "").unwrap();
    fs::remove_dir_all(machine.home("mail/shop.example/info")).unwrap();
    machine.fault("mail-rebuild");
    let restore = ["hestia", "restore-mail-account", "alice", "latest", ADDRESS, "--force"];
    let (code, text) = machine.no(&restore);
    assert_eq!(code, 3, "{text}");
    assert_eq!(fs::read_to_string(rows(&machine)).unwrap(), "");
    machine.heal();
    for other in ["none@shop.example", "info@none.example"] {
        let args = ["hestia", "restore-mail-account", "alice", "latest", other, "--force"];
        assert_eq!(machine.no(&args).0, 3, "{other}");
    }
    machine.ok(&restore);
}

fn made(machine: &Machine, args: &[&str]) -> PathBuf {
    let args = [&["hestia", "download-file", "alice", "latest"], args, &["--format", "json"]];
    let text = machine.ok(&args.concat());
    PathBuf::from(json(&text).as_object().unwrap().keys().next().unwrap())
}

fn names_in(archive: &Path, program: &[&str]) -> Option<Vec<String>> {
    let out = Command::new(program[0]).args(&program[1..]).arg(archive).output().ok()?;
    assert!(out.status.success(), "{out:?}");
    Some(String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn a_download_is_for_the_panel_and_its_user_and_does_not_stay() {
    let machine = backed_up();
    let file = made(&machine, &[INDEX]);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(file.parent(), Some(machine.hestia.backup.as_path()));
    assert!(name.starts_with("alice.gs-") && name.ends_with("-index.php.txt"), "{name}");
    let meta = fs::metadata(&file).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o640);
    assert!(fs::read_to_string(&file).unwrap().contains("shop.example"));
    // What looks like one and is another user's, or a tarball, stays.
    let others = ["bob.gs-0123456789abcdef-x", "alice.2026-01-02_03-04-05.tar"];
    for other in others {
        fs::write(machine.hestia.in_backup(other), "").unwrap();
    }
    let old = machine.hestia.in_backup("carol.gs-00000000deadbeef-y.zip");
    fs::write(&old, "").unwrap();
    let day = std::time::Duration::from_secs(100_000);
    let long_ago = fs::metadata(&old).unwrap().modified().unwrap() - day;
    fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    for _ in 0..4 {
        made(&machine, &["My Files"]);
    }
    let mine = machine.backups().iter().filter(|name| name.starts_with("alice.gs-")).count();
    assert_eq!(mine, 3);
    assert!(!old.exists());
    for other in others {
        assert!(machine.hestia.in_backup(other).exists(), "{other}");
    }
}

#[test]
fn a_folder_is_had_as_a_zip_archive_or_a_tar_stream() {
    let machine = backed_up();
    let folder = "web/shop.example/public_html";
    let expected = ["", "img/", "img/a.jpg", "index.php", "link", "twin.php"];
    let expected: Vec<String> = expected.map(|name| format!("public_html/{name}")).into();
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\n\
        assert z.testzip() is None\nprint('\\n'.join(z.namelist()))";
    let zip = made(&machine, &[folder]);
    if let Some(names) = names_in(&zip, &["python3", "-c", script]) {
        assert_eq!(names, expected);
    }
    let tar = made(&machine, &[folder, "--form", "tar.zst"]);
    if let Some(names) = names_in(&tar, &["tar", "--zstd", "-tf"]) {
        assert_eq!(names, expected);
    }
    let own = machine.path("own.zip");
    let to = own.to_str().unwrap();
    made(&machine, &[INDEX, "--form", "zip", "--output", to]);
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o600);
    let again = ["hestia", "download-file", "alice", "latest", INDEX, "--output", to];
    assert_eq!(machine.no(&again).0, 4);
}

#[test]
fn what_changed_since_is_named() {
    let machine = backed_up();
    fs::write(machine.home(INDEX), "changed").unwrap();
    fs::write(machine.home("My Files/new"), "").unwrap();
    fs::remove_file(machine.home(".bashrc")).unwrap();
    let diff = |args: &[&str]| {
        let args = [&["hestia", "diff", "alice"], args, &["--format", "json"]].concat();
        let text = machine.ok(&args);
        let found = json(&text);
        let change = |row: &Value| row["CHANGE"].as_str().unwrap().to_owned();
        let rows = found.as_object().unwrap();
        rows.iter().map(|(path, row)| (path.clone(), change(row))).collect::<Vec<_>>()
    };
    let row = |path: &str, change: &str| (path.to_owned(), change.to_owned());
    let mut live = diff(&["latest"]);
    live.sort();
    // The other name of the changed file changed with it: a change of its own between snapshots;
    // of the live home it is one file, named once.
    let twin = "web/shop.example/public_html/twin.php";
    let mut expected = vec![
        row(".bashrc", "removed"),
        row("My Files/new", "added"),
        row(INDEX, "modified"),
        row(twin, "modified"),
    ];
    assert_eq!(live, expected[..3]);
    assert_eq!(diff(&["latest", "--path", "My Files"]), [row("My Files/new", "added")]);
    let names = machine.ok(&["hestia", "list-backups", "--user", "alice", "--format", "json"]);
    let first = json(&names).as_object().unwrap().keys().next().unwrap().clone();
    machine.ok(&["hestia", "backup", "--user", "alice"]);
    let mut between = diff(&[&first, "latest", "--path", "."]);
    between.retain(|(path, change)| change != "metadata" && !path.starts_with("pam"));
    between.sort();
    expected.sort();
    assert_eq!(between, expected);
}

#[test]
fn a_restore_says_how_to_take_it_back_and_a_customer_does() {
    let machine = backed_up();
    let index = machine.home(INDEX);
    fs::write(&index, "edited").unwrap();
    let restore = ["--panel", "v-ghostsnap-restore-web-domain", "alice", "latest", "shop.example"];
    machine.ok(&restore);
    let restore = ["hestia", "restore-file", "alice", "latest", INDEX, "--force", "--json"];
    fs::write(&index, "edited again").unwrap();
    let lines = machine.ok(&restore);
    let row = lines.lines().find(|line| line.contains("safety-alice-")).unwrap().to_owned();
    assert!(row.contains("overwritten"), "{lines}");
    let list = ["--panel", "v-ghostsnap-list-user-restores", "alice", "json"];
    let jobs = json(&machine.ok(&list));
    let names: Vec<&String> = jobs.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 2);
    assert!(row.contains(names[1].as_str()), "{row}");
    assert_eq!(jobs[names[0].as_str()]["OBJECTS"], "WEB shop.example");
    assert_eq!(jobs[names[1].as_str()]["COMMAND"], "restore-file");
    // Only a look.
    let undo = ["--panel", "v-ghostsnap-undo-restore", "alice", names[1].as_str()];
    let look = machine.ok(&[&undo[..], &["no", "yes"]].concat());
    assert!(look.contains("1 overwritten"), "{look}");
    assert!(fs::read_to_string(&index).unwrap().contains("shop.example"));
    // Neither for somebody else nor without a yes.
    let bob = ["--panel", "v-ghostsnap-undo-restore", "bob", names[1].as_str()];
    let (code, text) = machine.no(&bob);
    assert_eq!(code, 3, "{text}");
    assert!(text.lines().last().unwrap().starts_with("Error: "), "{text}");
    assert_eq!(machine.no(&["hestia", "undo-restore", "alice", "latest"]).0, 1);
    machine.ok(&undo);
    assert_eq!(fs::read_to_string(&index).unwrap(), "edited again");
    assert!(machine.history().contains("Ghostsnap undid the restore"));
    let (code, text) = machine.no(&["hestia", "undo-restore", "alice", "latest", "--force"]);
    assert!(code != 0 && text.contains("undone already"), "{text}");
    machine.ok(&["--panel", "v-ghostsnap-undo-restore", "alice", names[0].as_str()]);
    assert_eq!(fs::read_to_string(&index).unwrap(), "edited");
    // None of this is a backup, and none is left where nobody wants it.
    let backups = json(&machine.ok(&["hestia", "list-backups", "--user", "alice", "--json"]));
    assert_eq!(backups.as_object().unwrap().len(), 1);
    let count = || machine.snapshots().len();
    let before = count();
    machine.ok(&["hestia", "restore-file", "alice", "latest", INDEX, "--force", "--no-safety"]);
    assert_eq!(count(), before);
    let settings = machine.path("etc/ghostsnap/ghostsnap.toml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(&settings, "safety = false\n").unwrap();
    fs::write(&index, "once more").unwrap();
    machine.ok(&["hestia", "restore-file", "alice", "latest", INDEX, "--force"]);
    assert_eq!(count(), before);
}
