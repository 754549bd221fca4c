// SPDX-License-Identifier: MIT
//! A panel on loopback: PHP's own web server over a double of HestiaCP's pages (tests/double/panel)
//! with ours among them, our commands as the panel calls them, and a machine with users behind it.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use crate::browser::Browser;
use crate::double::{Machine, user};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub struct Site {
    pub machine: Machine,
    server: Child,
    pub address: String,
}

pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Site {
    /// A panel with `alice` (all there is), `bob` (a little) and the administrator `admin`.
    pub fn start() -> Self {
        let machine = crate::double::machine();
        machine.add_user("admin");
        let site = Self::over(machine);
        site.change("admin", "ROLE", "admin");
        site
    }

    pub fn over(machine: Machine) -> Self {
        let root = machine.folder.path().to_owned();
        // The deputy that writes into a home comes through.
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(root.join("sessions")).unwrap();
        let web = root.join("usr/local/hestia/web");
        copy_tree(&project("tests/double/panel"), &web);
        for part in fs::read_dir(project("web-panel-templates")).unwrap() {
            let part = part.unwrap();
            if part.file_type().unwrap().is_dir() {
                copy_tree(&part.path(), &web.join(part.file_name()));
            }
        }
        Self::place_commands(&root);
        // Somebody else may take the port first; then there is another one.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let address = format!("127.0.0.1:{port}");
            let mut server = Command::new("php")
                .args(["-d", "display_errors=stdout", "-d", "html_errors=0", "-S", &address])
                .arg(web.join("router.php"))
                .env("GHOSTSNAP_PANEL_ROOT", &root)
                .env("PHP_CLI_SERVER_WORKERS", "5")
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(root.join("php.log")).unwrap())
                .spawn()
                .unwrap();
            while server.try_wait().unwrap().is_none() {
                if TcpStream::connect(&address).is_ok() {
                    return Self { machine, server, address: format!("http://{address}") };
                }
                std::thread::yield_now();
            }
        }
        panic!("PHP's server does not start: {:?}", fs::read_to_string(root.join("php.log")));
    }

    /// The real shims, with a `main.sh` to source, and `sudo` as the panel has it: no environment.
    fn place_commands(root: &Path) {
        let hestia = root.join("usr/local/hestia");
        fs::create_dir_all(hestia.join("func")).unwrap();
        fs::create_dir_all(hestia.join("log")).unwrap();
        fs::copy(project("tests/fixtures/shims/main.sh"), hestia.join("func/main.sh")).unwrap();
        let conf = root.join("hestia.conf");
        fs::write(&conf, format!("HESTIA='{}'\n", hestia.display())).unwrap();
        for shim in fs::read_dir(project("bin-shims")).unwrap() {
            let shim = shim.unwrap();
            let text = fs::read_to_string(shim.path()).unwrap();
            let text = text
                .replace("/usr/bin/ghostsnap", env!("CARGO_BIN_EXE_ghostsnap"))
                .replace("/etc/hestiacp/hestia.conf", conf.to_str().unwrap());
            write_program(&hestia.join("bin").join(shim.file_name()), &text);
        }
        let sudo = format!(
            "#!/bin/sh\nexec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
             GHOSTSNAP_HESTIA_BELOW='{}' \"$@\"\n",
            root.display()
        );
        write_program(&root.join("sudo"), &sudo);
    }

    /// Settings of the panel, such as `POLICY_SYSTEM_HIDE_ADMIN=yes`, one a line.
    pub fn set(&self, lines: &str) {
        fs::write(self.machine.path("panel.conf"), lines).unwrap();
    }

    /// Changes a value of the user's own file.
    pub fn change(&self, name: &str, key: &str, value: &str) {
        let conf = self.machine.hestia.user_file(&user(name), "user.conf");
        let text = fs::read_to_string(&conf).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with(&format!("{key}=")));
        let kept: Vec<&str> = lines.collect();
        fs::write(&conf, format!("{}\n{key}='{value}'\n", kept.join("\n"))).unwrap();
    }

    /// Lets a command wait until it is released.
    pub fn hold(&self, command: &str) -> Held {
        let path = self.machine.hestia.command(command);
        let real = path.with_extension("real");
        fs::rename(&path, &real).unwrap();
        let [gate, begun] =
            ["gate", "begun"].map(|what| self.machine.path(&format!("{command}.{what}")));
        fs::write(&gate, "").unwrap();
        let text = format!(
            "#!/bin/sh\necho $$ >>'{}'\nwhile [ -e '{}' ]; do sleep 0.05; done\nexec '{}' \"$@\"\n",
            begun.display(),
            gate.display(),
            real.display()
        );
        write_program(&path, &text);
        Held { gate, begun }
    }

    /// Puts a command back that was held.
    pub fn restore(&self, command: &str) {
        let path = self.machine.hestia.command(command);
        fs::rename(path.with_extension("real"), &path).unwrap();
        fs::remove_file(self.machine.path(&format!("{command}.begun"))).unwrap();
    }

    /// Changes a file of the panel.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.machine.path("usr/local/hestia/web").join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Runs a command as the panel does.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Output {
        let path = self.machine.hestia.command(name);
        Command::new(self.machine.path("sudo")).arg(path).args(arguments).output().unwrap()
    }

    pub fn back_up(&self, user: &str) {
        let output = self.command("v-ghostsnap-backup-user", &[user]);
        assert!(output.status.success(), "{output:?}");
    }

    /// The ids of a user's snapshots, oldest first.
    pub fn snapshots(&self, user: &str) -> Vec<String> {
        let output = self.command("v-ghostsnap-list-user-backups", &[user, "json"]);
        let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
        rows.as_object().unwrap().keys().cloned().collect()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// A browser in which this user has logged in.
    pub fn browser_of(&self, name: &str, theme: &str) -> Browser {
        let browser = Browser::start();
        browser.open(&self.url("/login/"));
        for (field, text) in [("user", name), ("password", name), ("theme", theme)] {
            browser.fill(&format!("[name={field}]"), text);
        }
        browser.click_away("#login-form button");
        assert!(browser.has(".main-menu-list"), "{}", browser.text());
        browser
    }

    pub fn home_of(&self, name: &str, path: &str) -> PathBuf {
        self.machine.hestia.user_home(&user(name)).join(path)
    }

    /// What PHP complained about: every page must run without a notice.
    pub fn assert_quiet(&self) {
        let log = fs::read_to_string(self.machine.path("php.log")).unwrap();
        let wrong: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("PHP ") && !line.contains("Development Server"))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// A command that waits.
pub struct Held {
    gate: PathBuf,
    begun: PathBuf,
}

impl Held {
    /// How many have been started so far.
    pub fn count(&self) -> usize {
        fs::read_to_string(&self.begun).map_or(0, |text| text.lines().count())
    }

    /// Lets them go on, and those that are started later.
    pub fn release(self) {
        fs::remove_file(&self.gate).unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.server.id().try_into().unwrap());
        // The server may have ended by itself.
        killpg(group, Signal::SIGKILL).ok();
        self.server.wait().ok();
    }
}

/// The token of the page, and what else a form carries.
pub fn form(browser: &Browser, values: &[(&str, &str)]) -> Option<Value> {
    let token = browser.value("document.querySelector('#token').getAttribute('token')");
    let mut form = json!({ "token": token });
    for (name, value) in values {
        form[*name] = (*value).into();
    }
    Some(form)
}

pub fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
