// SPDX-License-Identifier: MIT
//! Runs the panel's commands with bash, against a small stand-in for HestiaCP's main.sh and a
//! program that records what it was called with.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use ghostsnap::cli::table::{self, Effect, Owner, Role, Shim};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A HestiaCP just large enough for a shim.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for part in ["bin", "func", "conf", "log", "data/users/alice", "data/users/admin"] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        fs::copy(project("tests/fixtures/shims/main.sh"), root.join("func/main.sh")).unwrap();
        fs::write(root.join("conf/hestia.conf"), "DEMO_MODE='no'\n").unwrap();
        // Pluginable replaces every command that reads this file and did not say otherwise.
        let conf = format!(
            "HESTIA='{}'\nif [ -z \"$bin_actions\" ]; then echo taken over; exit 99; fi\n",
            root.display()
        );
        fs::write(root.join("hestia.conf"), conf).unwrap();
        let recorder = format!(
            "#!/bin/bash\nprintf '%s\\0' \"$@\" > '{0}/argv'\ncat '{0}/says' 2>/dev/null\n\
             exit \"$(cat '{0}/code' 2>/dev/null || echo 0)\"\n",
            root.display()
        );
        write_program(&root.join("ghostsnap"), &recorder);
        let stage = Self { folder };
        stage.place(&stage.path("ghostsnap"));
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the shims into `bin`, calling this program.
    fn place(&self, program: &Path) {
        for (_, shim) in table::shims() {
            let text = fs::read_to_string(project("bin-shims").join(shim.name)).unwrap();
            let text = text
                .replace("/usr/bin/ghostsnap", program.to_str().unwrap())
                .replace("/etc/hestiacp/hestia.conf", self.path("hestia.conf").to_str().unwrap());
            write_program(&self.path("bin").join(shim.name), &text);
        }
    }

    /// The program ends with this code and prints this.
    fn answer(&self, code: u8, says: &str) {
        fs::write(self.path("code"), code.to_string()).unwrap();
        fs::write(self.path("says"), says).unwrap();
    }

    fn run(&self, shim: &str, args: &[&str]) -> Output {
        let mut command = Command::new("bash");
        command.arg(self.path("bin").join(shim)).args(args).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap()
    }

    /// What the program was called with; `None` if it was not.
    fn argv(&self) -> Option<Vec<String>> {
        let bytes = fs::read(self.path("argv")).ok()?;
        fs::remove_file(self.path("argv")).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        Some(text.split_terminator('\0').map(str::to_owned).collect())
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path("log").join(name)).unwrap_or_default()
    }
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Arguments that every check lets through.
fn good_args(shim: &Shim) -> Vec<&'static str> {
    let value = |name: &str| match name {
        "USER" => "alice",
        "SNAPSHOT" | "JOB" | "RESTORE" => "latest",
        "FORMAT" => "json",
        "DOMAIN" => "example.com",
        "DATABASE" => "alice_wp",
        "BACKUP" => "alice.2026-01-02_03-04-05.tar",
        "NOTIFY" => "yes",
        _ => "x",
    };
    shim.args.iter().map(|arg| value(arg.name)).collect()
}

#[test]
fn every_shim_hands_its_arguments_on_in_order() {
    let stage = Stage::new();
    for (_, shim) in table::shims() {
        let args = good_args(shim);
        let output = stage.run(shim.name, &args);
        assert_eq!(code(&output), 0, "{}: {}", shim.name, stdout(&output));
        let mut expected = vec!["--panel", shim.name];
        expected.extend(&args);
        assert_eq!(stage.argv().unwrap(), expected, "{}", shim.name);
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn too_few_arguments_print_the_usage_and_call_nothing() {
    let stage = Stage::new();
    for (_, shim) in table::shims() {
        for count in 0..shim.required() {
            let output = stage.run(shim.name, &good_args(shim)[..count]);
            assert_eq!(code(&output), 1, "{}", shim.name);
            assert_eq!(stdout(&output), format!("Usage: {} {}\n", shim.name, shim.usage()));
            assert_eq!(stage.argv(), None, "{}", shim.name);
        }
    }
}

#[test]
fn what_may_be_a_secret_does_not_stand_in_the_log() {
    let stage = Stage::new();
    for code in [0, 1] {
        stage.answer(code, "");
        let url = "s3:https://host/bucket";
        stage.run("v-ghostsnap-add-repository", &["offsite", url, "key_id=A", "secret=hush"]);
        stage.run("v-ghostsnap-change-repository", &["offsite", "secret=hush"]);
    }
    let log = stage.log("system.log") + &stage.log("error.log");
    assert!(log.contains("v-ghostsnap-add-repository") && log.contains("offsite"), "{log}");
    assert!(!log.contains("hush"), "{log}");
}

#[test]
fn hostile_arguments_arrive_as_they_are() {
    let stage = Stage::new();
    let evil = ["/srv/$(touch pwned) `id` \"q\" 'q' \\n *;|&\n\t#", "", "--force", "-r/etc"];
    for word in evil {
        stage.run("v-ghostsnap-backup-user", &["alice", word, "yes"]);
        let argv = stage.argv().unwrap();
        assert_eq!(argv, ["--panel", "v-ghostsnap-backup-user", "alice", word, "yes"]);
    }
    assert!(!Path::new("pwned").exists());
}

#[test]
fn what_hestia_refuses_never_reaches_the_program() {
    let stage = Stage::new();
    for (_, shim) in table::shims().into_iter().filter(|(_, shim)| shim.owner != Owner::Nobody) {
        for user in ["../etc", "a;b", "$(id)", "-u", "a b"] {
            let mut args = good_args(shim);
            args[0] = user;
            let output = stage.run(shim.name, &args);
            assert_eq!(code(&output), 2, "{} {user}", shim.name);
            assert!(stdout(&output).starts_with("Error: invalid user format"));
            assert_eq!(stage.argv(), None);
        }
    }
    let output = stage.run("v-ghostsnap-list-user-backup", &["alice", "../../x", "json"]);
    assert_eq!((code(&output), stage.argv()), (2, None));
    let output = stage.run("v-ghostsnap-import-user-backup", &["alice", "/etc/passwd"]);
    assert_eq!((code(&output), stage.argv()), (2, None));
}

#[test]
fn a_user_that_is_gone_can_be_listed_and_restored_but_not_backed_up() {
    let stage = Stage::new();
    for (_, shim) in table::shims().into_iter().filter(|(_, shim)| shim.owner != Owner::Nobody) {
        let mut args = good_args(shim);
        args[0] = "gone";
        let output = stage.run(shim.name, &args);
        let expected = if shim.owner == Owner::Live { 3 } else { 0 };
        assert_eq!(code(&output), expected, "{}", shim.name);
        assert_eq!(stage.argv().is_some(), expected == 0, "{}", shim.name);
    }
}

#[test]
fn hestia_knows_the_user_before_it_looks_for_one() {
    let stage = Stage::new();
    for (_, shim) in table::shims().into_iter().filter(|(_, shim)| shim.owner != Owner::Nobody) {
        fs::write(stage.path("log/seen.log"), "").unwrap();
        stage.run(shim.name, &good_args(shim));
        assert_eq!(stage.log("seen.log"), "user=alice\n", "{}", shim.name);
    }
}

#[test]
fn the_programs_exit_code_and_words_are_kept_and_logged() {
    let stage = Stage::new();
    stage.answer(30, "Error: cannot back up everything\n");
    for (_, shim) in table::shims() {
        fs::write(stage.path("log/error.log"), "").unwrap();
        let output = stage.run(shim.name, &good_args(shim));
        assert_eq!(code(&output), 30, "{}", shim.name);
        assert_eq!(stdout(&output), "Error: cannot back up everything\n");
        let log = stage.log("error.log");
        assert!(log.contains("[Error 30]") && log.contains(shim.name), "{log}");
    }
}

#[test]
fn success_is_logged_for_what_changes_something_only() {
    let stage = Stage::new();
    for (command, shim) in table::shims() {
        fs::write(stage.path("log/system.log"), "").unwrap();
        stage.run(shim.name, &good_args(shim));
        let logged = stage.log("system.log").contains(shim.name);
        assert_eq!(logged, command.effect != Effect::Read, "{}", shim.name);
    }
    assert_eq!(stage.log("error.log"), "");
}

#[test]
fn demo_mode_lets_only_reading_through() {
    let stage = Stage::new();
    fs::write(stage.path("conf/hestia.conf"), "DEMO_MODE='yes'\n").unwrap();
    for (command, shim) in table::shims() {
        let output = stage.run(shim.name, &good_args(shim));
        let reads = command.effect == Effect::Read;
        assert_eq!(code(&output), i32::from(!reads), "{}", shim.name);
        assert_eq!(stage.argv().is_some(), reads, "{}", shim.name);
    }
}

/// What HestiaCP's API does to find the owner of an object: it takes the words behind
/// `# options:`, split at single spaces, without brackets, and counts up to USER; 0 means that
/// nobody is compared with anybody.
fn user_position_as_the_api_sees_it(text: &str) -> usize {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("# options:"));
    let words = lines.next().expect("there is a header");
    assert_eq!(lines.next(), None, "there is one header only");
    let words = words.strip_prefix(' ').unwrap();
    words
        .split(' ')
        .map(|word| word.replace(['[', ']'], "").to_uppercase())
        .position(|word| word == "USER")
        .map_or(0, |place| place + 1)
}

#[test]
fn the_api_compares_the_user_of_every_shim_a_customer_may_call() {
    let read = |name: &str| fs::read_to_string(project("hestia-plugin/api").join(name)).unwrap();
    let profile = read("ghostsnap-user") + &read("ghostsnap-user-restore");
    for (_, shim) in table::shims() {
        let text = fs::read_to_string(project("bin-shims").join(shim.name)).unwrap();
        let position = user_position_as_the_api_sees_it(&text);
        assert_eq!(position, usize::from(shim.owner != Owner::Nobody), "{}", shim.name);
        let listed = profile.split(['\'', ',']).any(|name| name == shim.name);
        assert_eq!(listed, shim.role == Role::User, "{}", shim.name);
        assert!(!listed || position == 1, "{}", shim.name);
    }
}

#[test]
fn the_real_program_answers_in_hestias_words() {
    let stage = Stage::new();
    stage.place(Path::new(env!("CARGO_BIN_EXE_ghostsnap")));
    for shim in ["v-ghostsnap-backup-user", "v-ghostsnap-list-user-backups"] {
        let output = stage.run(shim, &[""]);
        assert_eq!(code(&output), 2, "an empty user is never the administrator");
        assert_eq!(stdout(&output), "Error: cannot use an empty USER\n");
    }
    let output = stage
        .run("v-ghostsnap-restore-user", &["alice", "latest", "", "", "", "", "", "", "maybe"]);
    assert_eq!(code(&output), 2);
    assert!(stdout(&output).starts_with("Error: cannot use 'maybe' for NOTIFY"));
}

#[test]
fn shellcheck_finds_nothing_at_style_level() {
    let files: Vec<PathBuf> =
        table::shims().iter().map(|(_, shim)| project("bin-shims").join(shim.name)).collect();
    let ours = ["tests/fixtures/shims/main.sh", "hestia-plugin/install.sh"].map(project);
    match Command::new("shellcheck").args(["-S", "style"]).args(files).args(ours).output() {
        Ok(output) => assert!(output.status.success(), "{}", stdout(&output)),
        // Not everybody who builds this has it; `make check` insists on it.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

#[test]
fn a_customers_own_account_reaches_the_program_before_anything_of_hestia_is_read() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this needs root");
        return;
    }
    let stage = Stage::new();
    stage.answer(10, "Error: said by the program");
    let mode = |path: &str, mode| {
        fs::set_permissions(stage.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    // As on a real machine: commands are everybody's to run, settings are not.
    mode("", 0o755);
    for closed in ["hestia.conf", "func/main.sh", "conf", "data"] {
        mode(closed, 0o700);
    }
    let shim = "v-ghostsnap-schedule-user-backup";
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--reuid", "61001", "--regid", "61001", "--clear-groups", "bash"]);
    command.arg(stage.path("bin").join(shim)).arg("alice").env_clear();
    let output = command.env("PATH", "/usr/bin:/bin").output().unwrap();
    assert_eq!((code(&output), stdout(&output).as_str()), (10, "Error: said by the program"));
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert!(!complaints.contains("hestia.conf") && !complaints.contains("main.sh"), "{complaints}");
}
