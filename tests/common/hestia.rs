// SPDX-License-Identifier: MIT
//! A machine with a double of Hestia on it (tests/double), in a temporary folder: users with
//! homes, rows and databases, and a repository beside them.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use ghostsnap::backend;
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{FileId, RelPath, Result, World};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::format::{PackClass, Snapshot};
use ghostsnap::hestia::jobs::{
    self, BackupRequest, RestoreReport, RestoreRequest, RunReport, Server, Through, UserOutcome,
};
use ghostsnap::hestia::{BackupMode, Hestia, Sections, Settings, UserName};
use ghostsnap::ops::restore::find_node;
use ghostsnap::repo::{IndexedRepository, Reader, Repository};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

pub struct Machine {
    pub folder: tempfile::TempDir,
    pub hestia: Hestia,
    pub server: Server,
    pub monitor: Collect,
}

pub fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

/// A machine with the users `alice` (all there is) and `bob` (a little).
pub fn machine() -> Machine {
    let machine = Machine::empty("gzip");
    machine.add_alice();
    machine.add_user("bob");
    machine
}

impl Machine {
    pub fn empty(mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        for path in [
            hestia.command(""),
            hestia.users(),
            hestia.conf(""),
            hestia.backup.clone(),
            hestia.home.clone(),
            hestia.tools.clone(),
            hestia.admin_tools.clone(),
            hestia.etc.clone(),
            hestia.root.join("web/inc"),
        ] {
            fs::create_dir_all(path).unwrap();
        }
        for name in ["mysql", "pgsql", "faults"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let double = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/double/bin");
        for entry in fs::read_dir(double).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let is_client =
                matches!(name.as_str(), "mariadb" | "mariadb-dump" | "psql" | "pg_dump");
            let to = match name.as_str() {
                "chpasswd" => hestia.admin_tools.join(name),
                "mail-wrapper.php" => hestia.root.join("web/inc").join(name),
                _ if is_client => hestia.tools.join(name),
                _ => hestia.command(&name),
            };
            fs::copy(entry.path(), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(
            hestia.hestia_conf(),
            format!(
                "BACKUP_MODE='{mode}'\nBACKUP_SYSTEM='local'\nPOLICY_BACKUP_SUSPENDED_USERS='no'\nVERSION='1.10.3'\n\
                 WEB_SYSTEM='nginx'\nWEB_BACKEND='php-fpm'\nDNS_SYSTEM='bind9'\nMAIL_SYSTEM='exim4'\n\
                 DB_SYSTEM='mysql,pgsql'\nCRON_SYSTEM='cron'\nBACKUP_LA_LIMIT='1000000'\n"
            ),
        )
        .unwrap();
        fs::write(hestia.conf(".mysql.localhost"), "[client]\n").unwrap();
        fs::write(
            hestia.conf("mysql.conf"),
            "HOST='localhost' USER='root' PASSWORD='mysecret' PORT='3306'\n",
        )
        .unwrap();
        fs::write(
            hestia.conf("pgsql.conf"),
            "HOST='localhost' USER='postgres' PASSWORD='pgsecret' PORT='5432' TPL='template1'\n",
        )
        .unwrap();
        let settings = Settings {
            // Under a test, /proc/self/exe is the test.
            program: env!("CARGO_BIN_EXE_ghostsnap").into(),
            repository: folder.path().join("repository").display().to_string(),
            key_file: folder.path().join("key"),
            run_folder: folder.path().join("run"),
            log_folder: folder.path().join("log"),
            state_folder: folder.path().join("state"),
            low_priority: false,
            mode: BackupMode::Tarball,
            load_wait: std::time::Duration::ZERO,
            ..Settings::default()
        };
        let server = Server::new(hestia.clone(), settings, Arc::new(World::seeded(1)));
        let machine = Self { folder, hestia, server, monitor: Collect::default() };
        let backend = machine.backend();
        Repository::init(backend, &secret(), "test", Arc::new(World::seeded(2))).unwrap();
        machine
    }

    fn backend(&self) -> Arc<dyn backend::Backend> {
        let access = backend::Access::bare(Arc::clone(&self.server.world));
        backend::open(&self.server.settings.repository, &access).unwrap()
    }

    pub fn repository(&self) -> IndexedRepository {
        let backend = self.backend();
        let world = Arc::clone(&self.server.world);
        Repository::open(backend, &secret(), world).unwrap().indexed(&self.monitor).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn fault(&self, name: &str) {
        fs::write(self.path("faults").join(name), "").unwrap();
    }

    pub fn heal(&self) {
        fs::remove_dir_all(self.path("faults")).unwrap();
        fs::create_dir(self.path("faults")).unwrap();
    }

    /// A user with a home and nothing else.
    pub fn add_user(&self, name: &str) {
        self.add_user_made_at(name, "07:03:50");
    }

    pub fn add_user_made_at(&self, name: &str, time: &str) {
        let (hestia, user) = (&self.hestia, user(name));
        for folder in ["dns", "mail", "ssl"] {
            fs::create_dir_all(hestia.user_file(&user, folder)).unwrap();
        }
        for file in ["web.conf", "dns.conf", "mail.conf", "db.conf", "cron.conf", "backup.conf"] {
            fs::write(hestia.user_file(&user, file), "").unwrap();
        }
        let conf = format!(
            "NAME='{name}'\nPACKAGE='default'\nBACKUPS='5'\nCONTACT='{name}@a.example'\nMD5='HASH'\n\
             ROLE='user'\nSUSPENDED='no'\nTIME='{time}'\nDATE='2026-11-22'\n"
        );
        fs::write(hestia.user_file(&user, "user.conf"), conf).unwrap();
        for (file, row) in [
            ("passwd", format!("{name}:x:1005:1005:{name}@a.example:/home/{name}:/bin/bash\n")),
            ("shadow", format!("{name}:!:20779:0:99999:7:::\n")),
            ("group", format!("{name}:x:1005:\n")),
        ] {
            let path = hestia.etc.join(file);
            let text = fs::read_to_string(&path).unwrap_or_default();
            if !text.contains(&row) {
                fs::write(path, text + &row).unwrap();
            }
        }
        for folder in ["conf", "web", "mail", "tmp", ".ssh", "My Files"] {
            fs::create_dir_all(hestia.user_home(&user).join(folder)).unwrap();
        }
        fs::write(hestia.user_home(&user).join(".bashrc"), "alias l=ls\n").unwrap();
        fs::write(hestia.user_home(&user).join("My Files/notes.txt"), format!("of {name}\n"))
            .unwrap();
    }

    pub fn add_row(&self, name: &str, file: &str, row: &str) {
        let path = self.hestia.user_file(&user(name), file);
        let text = fs::read_to_string(&path).unwrap() + row + "\n";
        fs::write(path, text).unwrap();
    }

    pub fn add_web(&self, name: &str, domain: &str) {
        let row = format!(
            "DOMAIN='{domain}' IP='127.0.0.1' ALIAS='www.{domain}' TPL='default' SSL='no' SUSPENDED='no' TIME='07:04:04' DATE='2026-11-22'"
        );
        self.add_row(name, "web.conf", &row);
        self.put_conf(
            name,
            &format!("web/{domain}/nginx.conf"),
            &format!("server {{ server_name {domain}; }}\n"),
        );
        let folder = self.hestia.user_home(&user(name)).join("web").join(domain);
        fs::create_dir_all(folder.join("public_html/img")).unwrap();
        fs::create_dir_all(folder.join("private")).unwrap();
        fs::write(folder.join("public_html/index.php"), format!("<?php echo '{domain}';\n"))
            .unwrap();
        fs::write(folder.join("public_html/img/a.jpg"), noise(domain, 200_000)).unwrap();
        fs::hard_link(folder.join("public_html/index.php"), folder.join("public_html/twin.php"))
            .unwrap();
        std::os::unix::fs::symlink("index.php", folder.join("public_html/link")).unwrap();
    }

    /// A file in `conf` of a home.
    pub fn put_conf(&self, name: &str, file: &str, text: &str) {
        let path = self.hestia.user_home(&user(name)).join("conf").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn add_database(&self, name: &str, database: &str, kind: &str, tables: usize) {
        let row = format!(
            "DB='{database}' DBUSER='{database}u' MD5='*56' HOST='localhost' TYPE='{kind}' CHARSET='UTF8MB4' U_DISK='6' SUSPENDED='no' TIME='07:06:17' DATE='2026-11-22'"
        );
        self.add_row(name, "db.conf", &row);
        fs::write(self.path(kind).join(format!("{database}.sql")), dump(kind, tables)).unwrap();
    }

    pub fn add_alice(&self) {
        self.add_user("alice");
        self.add_web("alice", "shop.example");
        self.add_web("alice", "static.example");
        self.add_row(
            "alice",
            "dns.conf",
            "DOMAIN='shop.example' IP='127.0.0.1' RECORDS='1' SUSPENDED='no'",
        );
        let alice = user("alice");
        let put =
            |file: &str, text: &str| fs::write(self.hestia.user_file(&alice, file), text).unwrap();
        put(
            "dns/shop.example.conf",
            "ID='1' RECORD='@' TYPE='TXT' VALUE='\"v=spf1 a mx -all\"' SUSPENDED='no'\n",
        );
        self.put_conf("alice", "dns/shop.example.db", "$TTL 14400\n");
        self.put_conf("alice", "mail/shop.example/passwd", "info:{MD5}x:alice:mail::/home\n");
        self.add_row("alice", "mail.conf", "DOMAIN='shop.example' DKIM='no' SUSPENDED='no'");
        put("mail/shop.example.conf", "ACCOUNT='info' ALIAS='' QUOTA='unlimited' SUSPENDED='no'\n");
        put(
            "cron.conf",
            "JOB='1' MIN='*/5' HOUR='*' DAY='*' MONTH='*' WDAY='*' CMD='echo %quote%hi%quote% > /dev/null' SUSPENDED='no'\nJOB='2' MIN='1' HOUR='*' DAY='*' MONTH='*' WDAY='*' CMD='true' SUSPENDED='no'\n",
        );
        let mails = self.hestia.user_home(&alice).join("mail/shop.example/info/cur");
        fs::create_dir_all(&mails).unwrap();
        fs::write(mails.join("1767203600.M2001P1.host:2,S"), "Subject: hello\n\nworld\n").unwrap();
        self.add_database("alice", "alice_wp", "mysql", 3);
        self.add_database("alice", "alice_shop", "mysql", 1);
        self.add_database("alice", "alice_geo", "pgsql", 2);
    }

    /// Runs one of the double's commands, as an admin would.
    pub fn run(&self, command: &str, arguments: &[&str]) -> i32 {
        let path = self.hestia.command(command);
        Command::new(path).args(arguments).output().unwrap().status.code().unwrap()
    }

    /// What the double was told to do, one line each.
    pub fn history(&self) -> String {
        fs::read_to_string(self.path("history")).unwrap_or_default()
    }

    /// Whether Hestia was asked to restore anything.
    pub fn was_asked_to_restore(&self) -> bool {
        self.history().lines().any(|line| line.starts_with("restore "))
    }

    /// The names in `/backup`, sorted.
    pub fn backups(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.hestia.backup).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn try_backup(&self, request: &BackupRequest) -> Result<RunReport> {
        jobs::backup_users(&self.server, &self.repository(), request, &self.monitor)
    }

    pub fn backup(&self, name: &str) -> UserOutcome {
        self.backup_with(name, BackupRequest::default())
    }

    pub fn backup_with(&self, name: &str, request: BackupRequest) -> UserOutcome {
        let request = BackupRequest { users: vec![name.to_owned()], ..request };
        let mut report = self.try_backup(&request).unwrap();
        assert_eq!(report.users.len(), 1);
        report.users.pop().unwrap()
    }

    /// A backup that must go well.
    pub fn good_backup(&self, name: &str) -> (FileId, Snapshot) {
        let outcome = self.backup(name);
        assert_eq!(outcome.state.word(), "succeeded", "{outcome:?}");
        outcome.snapshot.unwrap()
    }

    pub fn snapshots(&self) -> Vec<(FileId, Snapshot)> {
        self.repository().snapshots().unwrap()
    }

    pub fn restore(&self, name: &str, request: RestoreRequest) -> Result<RestoreReport> {
        jobs::restore(&self.server, &self.repository(), &user(name), &request, &self.monitor)
    }

    /// The same without what Hestia makes anew for every site, with its rows of web domains and
    /// the modes of the sites' folders.
    pub fn content_of(&self, name: &str) -> BTreeMap<String, String> {
        let mut state = self.state_of(name);
        let made = ["cgi-bin", "stats", "logs", "document_errors"];
        state.retain(|path, _| {
            let is_site = path.starts_with("home/web/");
            let names: Vec<&str> = path.split('/').collect();
            let is_made = is_site && names.get(3).is_none_or(|name| made.contains(name));
            !is_made && path != "data/web.conf" && !path.starts_with("home/conf/web")
        });
        state
    }

    /// All that a restore must bring back: files of the home, rows, databases.
    pub fn state_of(&self, name: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        walk(&self.hestia.user_home(&user(name)), "home", &mut found);
        found.retain(|path, _| !path.starts_with("home/tmp"));
        walk(&self.hestia.user_data(&user(name)), "data", &mut found);
        for path in ["data/backup.conf", "data/ssl"] {
            found.remove(path);
        }
        for kind in ["mysql", "pgsql"] {
            let mut dumps = BTreeMap::new();
            walk(&self.path(kind), kind, &mut dumps);
            found.extend(dumps.into_iter().filter(|(path, _)| path.contains(&format!("/{name}_"))));
        }
        found
    }
}

pub fn all() -> RestoreRequest {
    RestoreRequest {
        snapshot: "latest".into(),
        confirmed: true,
        through: Through::Tarball,
        ..RestoreRequest::default()
    }
}

pub fn only(arguments: [&str; 6]) -> RestoreRequest {
    RestoreRequest { sections: Sections::parse(&arguments).unwrap(), ..all() }
}

fn secret() -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[42; 32])).unwrap()
}

pub fn noise(name: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A dump as the tool of that server writes it.
pub fn dump(kind: &str, tables: usize) -> String {
    let mut text = String::new();
    for table in 0..tables {
        if kind == "mysql" {
            text += &format!(
                "DROP TABLE IF EXISTS `t{table}`;\nCREATE TABLE `t{table}` (\n  `id` int\n);\nINSERT INTO `t{table}` VALUES (1),(2);\n"
            );
        } else {
            text += &format!(
                "--\n-- Name: t{table}; Type: TABLE; Schema: public; Owner: -\n--\n\nCREATE TABLE public.t{table} (\n    id integer\n);\nINSERT INTO public.t{table} VALUES (1);\n"
            );
        }
    }
    text + if kind == "mysql" {
        "-- Dump completed on 2026-11-22  7:12:55\n"
    } else {
        "--\n-- PostgreSQL database dump complete\n--\n"
    }
}

fn walk(path: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    let kind = if meta.is_dir() {
        String::new()
    } else if meta.is_symlink() {
        format!("-> {}", fs::read_link(path).unwrap().display())
    } else {
        // Hestia lists restored objects in another order.
        let mut text = fs::read(path).unwrap();
        if name.starts_with("data/") {
            let mut rows: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
            rows.sort();
            text = rows.join(&b'\n');
        }
        blake3::hash(&text).to_hex()[..16].to_owned()
    };
    found.insert(name.to_owned(), format!("{:o} {kind}", meta.mode() & 0o7777));
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let below = format!("{name}/{}", entry.file_name().to_string_lossy());
            walk(&entry.path(), &below, found);
        }
    }
}

impl Machine {
    /// Whether a snapshot has this path.
    pub fn has(&self, snapshot: &Snapshot, path: &str) -> bool {
        let repository = self.repository();
        let path = RelPath::parse(path.as_bytes()).unwrap();
        find_node(&Reader::new(&repository), snapshot, &path).is_ok()
    }

    /// The content of a small file of a snapshot.
    pub fn text_of(&self, snapshot: &Snapshot, path: &str) -> String {
        let repository = self.repository();
        let reader = Reader::new(&repository);
        let path = RelPath::parse(path.as_bytes()).unwrap();
        let node = find_node(&reader, snapshot, &path).unwrap();
        let chunks = node.chunks.iter().map(|id| reader.chunk(PackClass::Data, id).unwrap());
        String::from_utf8(chunks.collect::<Vec<_>>().concat()).unwrap()
    }
}
