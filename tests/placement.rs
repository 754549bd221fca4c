// SPDX-License-Identifier: MIT
//! hestia-plugin/install.sh against a folder that stands for a machine: it places what is ours,
//! keeps what the admin changed, and takes away exactly what it placed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const LIST: &str = "usr/local/hestia/bin/v-ghostsnap-list-users";
const BACKUP: &str = "usr/local/hestia/bin/v-ghostsnap-backup-user";
const API: &str = "usr/local/hestia/data/api/ghostsnap-user";
const PAGE: &str = "usr/local/hestia/web/list/ghostsnap/files/index.php";
const SCRIPT: &str = "usr/local/hestia/web/js/custom_scripts/ghostsnap.js";
const MANIFEST: &str = "var/lib/ghostsnap/manifest";

struct Machine(tempfile::TempDir);

impl Machine {
    fn with_hestia() -> Self {
        let machine = Self::without_hestia();
        for path in [
            "bin/v-list-users",
            "data/api/billing",
            "web/list/backup/index.php",
            "web/inc/main.php",
            "web/templates/pages/list_backup.php",
            "web/js/custom_scripts/README.txt",
        ] {
            machine.write(&format!("usr/local/hestia/{path}"), "hestia's");
        }
        machine
    }

    fn without_hestia() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("usr/share/ghostsnap/bin/v-ghostsnap-list-users", "list 1");
        machine.write("usr/share/ghostsnap/bin/v-ghostsnap-backup-user", "backup 1");
        machine.write("usr/share/ghostsnap/api/ghostsnap-user", "api 1");
        for path in [
            "list/ghostsnap/files/index.php",
            "list/ghostsnap/index.php",
            "list/ghostsnap/jobs/index.php",
            "inc/ghostsnap/page.php",
            "templates/pages/ghostsnap/list.php",
            "js/custom_scripts/ghostsnap.js",
        ] {
            machine.write(&format!("usr/share/ghostsnap/web/{path}"), path);
        }
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// Exit code and output of `install.sh`.
    fn run(&self, args: &[&str]) -> (i32, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hestia-plugin/install.sh");
        let output = Command::new("bash")
            .arg(script)
            .args(args)
            .env("GHOSTSNAP_ROOT", self.0.path())
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    fn place(&self) -> String {
        let (code, words) = self.run(&["place"]);
        assert_eq!(code, 0, "{words}");
        words
    }

    /// Every file of Hestia with its text, and every folder.
    fn hestia(&self) -> Vec<(PathBuf, String)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path("usr/local/hestia")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    files.push((path.clone(), "folder".into()));
                    folders.push(path);
                } else {
                    files.push((path.clone(), fs::read_to_string(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

#[test]
fn placing_twice_is_placing_once_and_removing_leaves_hestia_as_it_was() {
    let machine = Machine::with_hestia();
    let before = machine.hestia();
    assert_eq!(machine.place(), "");
    assert_eq!(machine.read(LIST).as_deref(), Some("list 1"));
    let mode = |path: &str| machine.path(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(LIST), mode(API), mode(PAGE), mode(SCRIPT)), (0o755, 0o644, 0o644, 0o644));
    let (placed, manifest) = (machine.hestia(), machine.read(MANIFEST));
    assert_eq!(machine.place(), "");
    assert_eq!((machine.hestia(), machine.read(MANIFEST)), (placed, manifest));
    assert_eq!(machine.run(&["status"]).0, 0);
    assert_eq!(machine.run(&["remove"]), (0, String::new()));
    assert_eq!(machine.hestia(), before);
    assert_eq!(machine.read(MANIFEST), None);
    assert_eq!(machine.run(&["remove"]), (0, String::new()));
}

#[test]
fn a_new_version_replaces_and_drops_its_own_files() {
    let machine = Machine::with_hestia();
    machine.place();
    machine.write("usr/share/ghostsnap/bin/v-ghostsnap-list-users", "list 2");
    fs::remove_file(machine.path("usr/share/ghostsnap/bin/v-ghostsnap-backup-user")).unwrap();
    assert!(machine.run(&["status"]).1.contains("outdated"));
    assert_eq!(machine.place(), "");
    assert_eq!(machine.read(LIST).as_deref(), Some("list 2"));
    assert_eq!(machine.read(BACKUP), None);
}

#[test]
fn what_the_admin_changed_is_kept_until_forced() {
    let machine = Machine::with_hestia();
    machine.place();
    machine.write(LIST, "edited");
    machine.write("usr/share/ghostsnap/bin/v-ghostsnap-list-users", "list 2");
    for _ in 0..2 {
        assert!(machine.place().contains("kept"), "it is said every time");
        assert_eq!(machine.read(LIST).as_deref(), Some("edited"));
    }
    assert!(machine.run(&["status"]).1.contains("changed"));
    assert_eq!(machine.run(&["place", "--force"]), (0, String::new()));
    assert_eq!(machine.read(LIST).as_deref(), Some("list 2"));
    machine.write(LIST, "edited again");
    assert!(machine.run(&["remove"]).1.contains("kept"));
    assert_eq!(machine.read(LIST).as_deref(), Some("edited again"));
    assert_eq!(machine.read(BACKUP), None);
}

#[test]
fn a_strangers_file_or_link_of_the_same_name_is_not_ours() {
    let machine = Machine::with_hestia();
    machine.write(LIST, "somebody else's");
    machine.write("victim", "precious");
    fs::create_dir_all(machine.path(API).parent().unwrap()).unwrap();
    symlink(machine.path("victim"), machine.path(API)).unwrap();
    assert_eq!(machine.place().matches("kept").count(), 2);
    assert!(!machine.read(MANIFEST).unwrap().contains("list-users"));
    machine.run(&["remove"]);
    assert_eq!(machine.read(LIST).as_deref(), Some("somebody else's"));
    assert_eq!(machine.read("victim").as_deref(), Some("precious"));
    machine.run(&["place", "--force"]);
    assert_eq!(machine.read(API).as_deref(), Some("api 1"));
    assert_eq!(machine.read("victim").as_deref(), Some("precious"), "links are not followed");
}

#[test]
fn a_hestia_upgrade_that_lost_files_gets_them_back() {
    let machine = Machine::with_hestia();
    machine.place();
    fs::remove_file(machine.path(LIST)).unwrap();
    assert!(machine.run(&["status"]).1.contains("missing"));
    machine.place();
    assert_eq!(machine.read(LIST).as_deref(), Some("list 1"));
}

#[test]
fn without_hestia_nothing_is_placed_and_nothing_fails() {
    let machine = Machine::without_hestia();
    assert!(machine.place().contains("not installed"));
    assert!(!machine.path("usr/local").exists());
    assert_eq!(machine.run(&["status"]).0, 0);
    assert_eq!(machine.run(&["remove"]).0, 0);
    assert_eq!(machine.run(&["nonsense"]).0, 1);
}

#[test]
fn an_empty_package_folder_is_a_fault_and_not_a_removal() {
    let machine = Machine::with_hestia();
    machine.place();
    fs::remove_dir_all(machine.path("usr/share/ghostsnap")).unwrap();
    fs::create_dir_all(machine.path("usr/share/ghostsnap")).unwrap();
    assert_eq!(machine.run(&["place"]).0, 1);
    assert!(machine.read(LIST).is_some());
}

#[test]
fn a_removal_that_is_called_off_puts_everything_back() {
    let machine = Machine::without_hestia();
    let script = "#!/bin/sh\necho \"$1\" >> \"$GHOSTSNAP_ROOT/called\"\n";
    machine.write("usr/share/ghostsnap/install.sh", script);
    let path = machine.path("usr/share/ghostsnap/install.sh");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    let maintainer = |name: &str, action: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("debian/ghostsnap.{name}"));
        let mut command = Command::new("sh");
        command.arg(file).arg(action).env("DPKG_ROOT", machine.0.path());
        assert!(command.status().unwrap().success(), "{name} {action}");
    };
    for (back, away) in [("abort-remove", "remove"), ("abort-deconfigure", "deconfigure")] {
        maintainer("prerm", away);
        maintainer("postinst", back);
    }
    assert_eq!(machine.read("called").unwrap(), "remove\nplace\nremove\nplace\n");
}
