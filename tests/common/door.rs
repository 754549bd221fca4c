// SPDX-License-Identifier: MIT
//! The door of HestiaCP's REST API: the double of it, or, where GHOSTSNAP_TEST_HESTIA_API is set,
//! the real one of this machine, with two customers made for the test. Asked by curl, as
//! docs/api.md says.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use crate::site::{Site, copy_tree, project, write_program};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The real one has one file of settings.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const PROFILES: [&str; 3] = ["ghostsnap-admin", "ghostsnap-user", "ghostsnap-user-restore"];

pub struct Door {
    pub address: String,
    pub customers: [String; 2],
    bin: PathBuf,
    sudo: Option<PathBuf>,
    folder: tempfile::TempDir,
    place: Place,
}

enum Place {
    Double(Site),
    Real(Real),
}

/// What the real one is given for a test, and loses after it.
struct Real {
    server: Option<Child>,
    placed: Vec<PathBuf>,
    customers: Vec<String>,
    settings: Vec<(&'static str, String)>,
    keys: std::cell::RefCell<Vec<String>>,
    _turn: MutexGuard<'static, ()>,
}

pub struct Key(PathBuf);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub code: String,
    pub is_json: bool,
    pub body: String,
}

impl Key {
    /// The file that curl reads.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Answer {
    pub fn rows(&self) -> serde_json::Map<String, Value> {
        let value: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} {self:?}"));
        value.as_object().unwrap().clone()
    }

    pub fn ids(&self) -> Vec<String> {
        self.rows().keys().cloned().collect()
    }
}

impl Door {
    /// A door with two customers, who have a file `My Files/notes.txt` and a backup each.
    pub fn open() -> Self {
        let door = match std::env::var_os("GHOSTSNAP_TEST_HESTIA_API") {
            Some(_) => Self::real(),
            None => Self::double(),
        };
        for customer in &door.customers {
            let output = door.command("v-ghostsnap-backup-user", &[customer]);
            assert!(output.status.success(), "{output:?}");
        }
        door
    }

    fn double() -> Self {
        let site = Site::start();
        let hestia = site.machine.path("usr/local/hestia");
        copy_tree(&project("hestia-plugin/api"), &hestia.join("data/api"));
        let conf = hestia.join("conf/hestia.conf");
        let text = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, text + "API_SYSTEM='2'\nAPI_ALLOWED_IP='127.0.0.1'\n").unwrap();
        Self {
            address: site.address.clone(),
            customers: ["alice", "bob"].map(str::to_owned),
            bin: hestia.join("bin"),
            sudo: Some(site.machine.path("sudo")),
            folder: tempfile::tempdir().unwrap(),
            place: Place::Double(site),
        }
    }

    fn real() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let real = Real {
            server: None,
            placed: Vec::new(),
            customers: Vec::new(),
            settings: Vec::new(),
            keys: Default::default(),
            _turn: turn,
        };
        let mut door = Self {
            address: String::new(),
            customers: ["gsapione", "gsapitwo"].map(str::to_owned),
            bin: "/usr/local/hestia/bin".into(),
            sudo: None,
            folder,
            place: Place::Real(real),
        };
        door.place_plugin();
        door.let_in();
        door.add_customers();
        door.serve();
        door
    }

    fn real_mut(&mut self) -> &mut Real {
        match &mut self.place {
            Place::Real(real) => real,
            Place::Double(_) => panic!("this is the double"),
        }
    }

    /// Commands and profiles as the package places them; settings and repository are the test's.
    fn place_plugin(&mut self) {
        let folder = self.folder.path().to_owned();
        let here = folder.display();
        fs::write(
            folder.join("ghostsnap.toml"),
            format!(
                "repository = \"{here}/repository\"\nkey_file = \"{here}/key\"\n\
                 state_folder = \"{here}/state\"\nlog_folder = \"{here}/log\"\n\
                 load_wait_minutes = 0\n"
            ),
        )
        .unwrap();
        let program = folder.join("ghostsnap");
        let text = format!(
            "#!/bin/sh\nGHOSTSNAP_CONFIG='{here}/ghostsnap.toml' exec '{}' \"$@\"\n",
            env!("CARGO_BIN_EXE_ghostsnap")
        );
        write_program(&program, &text);
        let bin = self.bin.clone();
        for shim in fs::read_dir(project("bin-shims")).unwrap() {
            let shim = shim.unwrap();
            let text = fs::read_to_string(shim.path()).unwrap();
            let to = bin.join(shim.file_name());
            assert!(
                !to.exists(),
                "{} is installed: this test needs a Hestia without it",
                to.display()
            );
            self.real_mut().placed.push(to.clone());
            write_program(&to, &text.replace("/usr/bin/ghostsnap", program.to_str().unwrap()));
        }
        for name in PROFILES {
            let to = Path::new("/usr/local/hestia/data/api").join(name);
            self.real_mut().placed.push(to.clone());
            fs::copy(project("hestia-plugin/api").join(name), to).unwrap();
        }
    }

    fn let_in(&mut self) {
        let conf = fs::read_to_string("/usr/local/hestia/conf/hestia.conf").unwrap();
        for (key, value) in [("API_SYSTEM", "2"), ("API_ALLOWED_IP", "127.0.0.1")] {
            let start = format!("{key}='");
            let before = conf.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or("'");
            let before = before.trim_end_matches('\'').to_owned();
            self.real_mut().settings.push((key, before));
            self.must("v-change-sys-config-value", &[key, value]);
        }
    }

    fn add_customers(&mut self) {
        for name in self.customers.clone() {
            self.must("v-add-user", &[&name, "ApiPass-1", &format!("{name}@example.com")]);
            self.real_mut().customers.push(name.clone());
            let files = Path::new("/home").join(&name).join("My Files");
            fs::create_dir(&files).unwrap();
            fs::write(files.join("notes.txt"), format!("of {name}\n")).unwrap();
            let owner = nix::unistd::User::from_name(&name).unwrap().unwrap();
            for path in [files.join("notes.txt"), files] {
                nix::unistd::chown(&path, Some(owner.uid), Some(owner.gid)).unwrap();
            }
        }
    }

    /// PHP's own server in front of the real `web/api`, as the panel's own account.
    fn serve(&mut self) {
        let web = self.folder.path().join("web");
        copy_tree(Path::new("/usr/local/hestia/web/api"), &web.join("api"));
        copy_tree(Path::new("/usr/local/hestia/web/inc"), &web.join("inc"));
        let loader = web.join("inc/vendor/autoload.php");
        if !loader.exists() {
            // What HestiaCP's composer.json brings, as far as the API needs it.
            fs::create_dir_all(loader.parent().unwrap()).unwrap();
            let text = "<?php namespace Hestiacp\\quoteshellarg; function quoteshellarg($text) { \
                        return \"'\" . str_replace(\"'\", \"'\\\\''\", $text) . \"'\"; }\n";
            fs::write(&loader, text).unwrap();
        }
        let router = web.join("router.php");
        fs::write(&router, "<?php chdir(__DIR__ . '/api'); include __DIR__ . '/api/index.php';\n")
            .unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let server = Command::new("setpriv")
            .args(["--reuid", "hestiaweb", "--regid", "hestiaweb", "--init-groups", "env", "-i"])
            .args(["PATH=/usr/local/bin:/usr/bin:/bin", "php", "-d", "display_errors=0"])
            .args(["-S", &address, "-t"])
            .args([&web, &router])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.folder.path().join("php.log")).unwrap())
            .spawn()
            .unwrap();
        self.real_mut().server = Some(server);
        while TcpStream::connect(&address).is_err() {
            let ended = self.real_mut().server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "PHP's server does not start");
            std::thread::yield_now();
        }
        self.address = format!("http://{address}");
    }

    /// Runs one of the panel's commands as root does.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Output {
        let path = self.bin.join(name);
        let mut command = match &self.sudo {
            Some(sudo) => {
                let mut command = Command::new(sudo);
                command.arg(path);
                command
            }
            None => Command::new(path),
        };
        command.args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn must(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.command(name, arguments);
        assert!(output.status.success(), "{name} {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A key of this user, as a file of curl's.
    pub fn key(&self, user: &str, profiles: &str) -> Key {
        let text = self.must("v-add-access-key", &[user, profiles, "a test", "json"]);
        let made: Value = serde_json::from_str(&text).unwrap();
        let [id, secret] =
            ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"].map(|name| made[name].as_str().unwrap());
        if let Place::Real(real) = &self.place {
            real.keys.borrow_mut().push(id.to_owned());
        }
        self.key_of(id, secret)
    }

    /// The file for an id and a secret, which may be wrong.
    pub fn key_of(&self, id: &str, secret: &str) -> Key {
        let path = self.folder.path().join(format!("curl-{id}-{}", secret.len()));
        let text = format!(
            "url = \"{}/api/\"\ndata-urlencode = \"access_key={id}\"\n\
             data-urlencode = \"secret_key={secret}\"\n",
            self.address
        );
        fs::write(&path, text).unwrap();
        Key(path)
    }

    /// Asks a command with these arguments.
    pub fn ask(&self, key: &Key, words: &[&str]) -> Answer {
        let mut fields = vec![format!("cmd={}", words[0])];
        fields
            .extend(words[1..].iter().zip(1..).map(|(word, number)| format!("arg{number}={word}")));
        self.send(key, &fields)
    }

    /// Sends these fields, each `NAME=VALUE`.
    pub fn send(&self, key: &Key, fields: &[String]) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-i", "-K"]).arg(&key.0);
        for field in fields {
            curl.args(["--data-urlencode", field]);
        }
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let header = |name: &str| {
            let start = format!("{name}:");
            let of =
                |line: &str| line.to_lowercase().strip_prefix(&start).map(|v| v.trim().to_owned());
            head.lines().find_map(of).unwrap_or_default()
        };
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            code: header("hestia-exit-code"),
            is_json: header("content-type").starts_with("application/json"),
            body: body.to_owned(),
        }
    }

    pub fn home_of(&self, name: &str) -> PathBuf {
        match &self.place {
            Place::Double(site) => site.home_of(name, ""),
            Place::Real(_) => Path::new("/home").join(name),
        }
    }

    /// The names and contents below the user's `My Files`.
    pub fn state_of(&self, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.home_of(name).join("My Files")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let mut all: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        all.sort();
        all
    }

    /// Waits until a job of the queue has ended, in the way a client does.
    pub fn wait_for_job(&self, key: &Key, user: &str, job: &str) -> serde_json::Map<String, Value> {
        for _ in 0..1200 {
            let answer = self.ask(key, &["v-ghostsnap-list-user-job", user, job, "json"]);
            let row = answer.rows()[job].as_object().unwrap().clone();
            if row["STATE"] != "waiting" && row["STATE"] != "running" {
                return row;
            }
            ghostsnap::base::World::system().sleep(std::time::Duration::from_millis(100));
        }
        panic!("the job does not end");
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // The server may have ended by itself.
            killpg(Pid::from_raw(server.id() as i32), Signal::SIGKILL).ok();
            server.wait().ok();
        }
        let run = |name: &str, arguments: &[&str]| {
            let path = Path::new("/usr/local/hestia/bin").join(name);
            // What cannot be taken back here is seen by the next run.
            Command::new(path).args(arguments).stdin(Stdio::null()).output().ok();
        };
        for key in self.keys.borrow().iter() {
            run("v-delete-access-key", &[key]);
        }
        for name in &self.customers {
            run("v-delete-user", &[name]);
        }
        for (key, value) in &self.settings {
            run("v-change-sys-config-value", &[key, value]);
        }
        for path in &self.placed {
            fs::remove_file(path).ok();
        }
        // Not empty where somebody else uses it.
        for folder in ["/var/spool/ghostsnap/requests", "/var/spool/ghostsnap"] {
            fs::remove_dir(folder).ok();
        }
    }
}
