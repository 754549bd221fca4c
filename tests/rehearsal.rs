// SPDX-License-Identifier: MIT
//! Rehearsals of restores: a sound backup is proven, and what could not be restored is found and
//! named. Hestia is a double; where databases are imported, MariaDB and PostgreSQL are real.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;
#[path = "common/servers.rs"]
mod servers;

use double::{Machine, user};
use ghostsnap::base::monitor::{Collect, Stop};
use ghostsnap::base::{Kind, Monitor, Result, World};
use ghostsnap::format::Snapshot;
use ghostsnap::format::keyslot::Secret;
use ghostsnap::hestia::jobs::rehearsal_users::{Budget, Candidate, rehearse_users};
use ghostsnap::hestia::jobs::{Rehearsal, RehearsalRequest, Server, rehearse};
use ghostsnap::hestia::records::{Records, Rehearsed};
use ghostsnap::ops::{self, BackupOptions};
use ghostsnap::tree::tar_in::TarSource;
use servers::DbServer;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A machine whose users are read as they live.
fn machine() -> Machine {
    let mut machine = Machine::empty("zstd");
    let mut settings = machine.server.settings.clone();
    settings.mode = ghostsnap::hestia::BackupMode::Direct;
    let world = Arc::clone(&machine.server.world);
    machine.server = Server::new(machine.hestia.clone(), settings, world);
    machine
}

/// One with database servers of its own.
struct Bench {
    machine: Machine,
    mysql: DbServer,
    pgsql: DbServer,
}

fn bench() -> Option<Bench> {
    let (mysql, pgsql) = (DbServer::mariadb()?, DbServer::postgres()?);
    let mut machine = machine();
    machine.hestia.tools = "/usr/bin".into();
    fs::write(machine.hestia.conf("mysql.conf"), mysql.row("root")).unwrap();
    fs::write(machine.hestia.conf("pgsql.conf"), pgsql.row("postgres")).unwrap();
    let settings = machine.server.settings.clone();
    machine.server =
        Server::new(machine.hestia.clone(), settings, Arc::clone(&machine.server.world));
    machine.add_user("alice");
    machine.add_web("alice", "shop.example");
    Some(Bench { machine, mysql, pgsql })
}

const MYSQL_ROWS: &str = "SELECT * FROM alice_a.t ORDER BY id; SELECT COUNT(*) FROM alice_a.v";
const PGSQL_ROWS: &str = "SELECT * FROM places ORDER BY id";

impl Bench {
    /// Two databases of alice, of which the first looks into a third.
    fn add_databases(&self) {
        for name in ["alice_a", "alice_b"] {
            self.mysql.mysql(&format!("CREATE DATABASE {name}"));
            self.list("mysql", name, "alice_u");
        }
        self.mysql.mysql(
            "CREATE USER alice_u@localhost; GRANT ALL ON alice_a.* TO alice_u@localhost; \
             GRANT ALL ON alice_b.* TO alice_u@localhost; \
             CREATE TABLE alice_b.far (id INT PRIMARY KEY); INSERT INTO alice_b.far VALUES (7); \
             CREATE TABLE alice_a.t (id INT PRIMARY KEY, t TEXT); \
             INSERT INTO alice_a.t VALUES (1, 'one'), (2, 'two'), (3, 'three'); \
             CREATE TABLE alice_a.empty (id INT); \
             CREATE DEFINER=alice_u@localhost VIEW alice_a.v AS SELECT id FROM alice_b.far; \
             USE alice_a; CREATE DEFINER=alice_u@localhost TRIGGER n BEFORE INSERT ON t \
             FOR EACH ROW SET NEW.t = UPPER(NEW.t)",
        );
        self.pgsql.psql("postgres", "CREATE ROLE alice_p LOGIN PASSWORD 'x'");
        self.pgsql.psql("postgres", "CREATE DATABASE alice_geo OWNER alice_p");
        self.pgsql.psql(
            "alice_geo",
            "SET ROLE alice_p; CREATE TABLE places (id int PRIMARY KEY, n text); \
             INSERT INTO places VALUES (1, 'Ort'), (2, 'Place')",
        );
        self.list("pgsql", "alice_geo", "alice_p");
    }

    fn list(&self, kind: &str, name: &str, account: &str) {
        self.machine.add_row("alice", "db.conf", &row(kind, name, account));
    }

    /// Databases and accounts that should be gone.
    fn temporary(&self) -> String {
        let mysql = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE \
                     'ghostsnap%' UNION SELECT User FROM mysql.user WHERE User LIKE 'ghostsnap%'";
        let pgsql = "SELECT datname FROM pg_database WHERE datname LIKE 'ghostsnap%' UNION \
                     SELECT rolname FROM pg_roles WHERE rolname LIKE 'ghostsnap%'";
        self.mysql.mysql(mysql) + &self.pgsql.psql("postgres", pgsql)
    }

    /// All that the servers know of databases, accounts and rights, and alice's rows.
    fn state(&self) -> String {
        let mysql = format!(
            "SHOW DATABASES; SELECT User, Host FROM mysql.user ORDER BY 1, 2; \
             SHOW GRANTS FOR alice_u@localhost; {MYSQL_ROWS}"
        );
        let roles = "SELECT rolname, rolcanlogin FROM pg_roles ORDER BY 1; \
                     SELECT datname, datacl FROM pg_database ORDER BY 1";
        [
            self.mysql.mysql(&mysql),
            self.pgsql.psql("postgres", roles),
            self.pgsql.psql("alice_geo", PGSQL_ROWS),
        ]
        .join("\n")
    }
}

fn row(kind: &str, name: &str, account: &str) -> String {
    format!(
        "DB='{name}' DBUSER='{account}' MD5='' HOST='127.0.0.1' TYPE='{kind}' \
         CHARSET='UTF8MB4' U_DISK='1' SUSPENDED='no' TIME='07:06:17' DATE='2026-11-22'"
    )
}

trait Rehearses {
    fn try_rehearsal(&self, name: &str, databases: bool, by: &dyn Monitor) -> Result<Rehearsal>;
    fn rehearse(&self, name: &str) -> Rehearsal;
    fn noted(&self, name: &str) -> Option<Rehearsed>;
    /// A snapshot of alice that holds just these files.
    fn store(&self, files: &[(&str, &str)]) -> Snapshot;
    fn packs(&self) -> Vec<PathBuf>;
    fn program(&self, args: &[&str]) -> Command;
    /// Lets the program find the repository, and this process what the program does.
    fn be_as_the_program(&mut self);
}

impl Rehearses for Machine {
    fn try_rehearsal(&self, name: &str, databases: bool, by: &dyn Monitor) -> Result<Rehearsal> {
        let request = RehearsalRequest { snapshot: "latest".into(), without_databases: !databases };
        rehearse(&self.server, &self.repository(), &user(name), &request, by)
    }

    fn rehearse(&self, name: &str) -> Rehearsal {
        self.try_rehearsal(name, true, &self.monitor).unwrap()
    }

    fn noted(&self, name: &str) -> Option<Rehearsed> {
        let id = self.repository().config().repository_id;
        let monitor = Collect::default();
        let records = Records::new(&self.server.settings.state_folder);
        let noted = records.rehearsed(&id, &user(name), &monitor);
        assert_eq!(monitor.warnings(), [""; 0]);
        noted
    }

    fn store(&self, files: &[(&str, &str)]) -> Snapshot {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(text.len()).unwrap());
            header.set_mode(0o644);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let template = Snapshot {
            name: "hestia-alice-made".into(),
            user: "alice".into(),
            time: self.server.world.now(),
            source: "direct".into(),
            ..Snapshot::default()
        };
        let mut source = TarSource::new(bytes.as_slice());
        let options = BackupOptions::new(template);
        ops::backup(&self.repository(), &mut source, &options, &self.monitor).unwrap().snapshot
    }

    fn packs(&self) -> Vec<PathBuf> {
        let folder = PathBuf::from(&self.server.settings.repository).join("packs");
        let mut found = Vec::new();
        let mut waiting = vec![folder];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { waiting.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }

    fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghostsnap"));
        command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("GHOSTSNAP_HESTIA_BELOW", self.folder.path()).stdin(Stdio::null());
        command
    }

    fn be_as_the_program(&mut self) {
        let mut settings = self.server.settings.clone();
        settings.run_folder = self.path("run/ghostsnap");
        fs::write(&settings.key_file, Secret::key_file_text(&[42; 32]).as_bytes()).unwrap();
        fs::set_permissions(&settings.key_file, fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "repository = '{}'\nkey_file = '{}'\nstate_folder = '{}'\n",
            settings.repository,
            settings.key_file.display(),
            settings.state_folder.display()
        );
        fs::create_dir_all(self.path("etc/ghostsnap")).unwrap();
        fs::write(self.path("etc/ghostsnap/ghostsnap.toml"), text).unwrap();
        self.server = Server::new(self.hestia.clone(), settings, Arc::new(World::system()));
    }
}

fn reasons(report: &Rehearsal) -> String {
    report.outcome.reasons().join("; ")
}

#[test]
fn a_sound_backup_is_proven_and_noted_and_nothing_of_the_user_changes() {
    let Some(bench) = bench() else { return };
    bench.add_databases();
    let machine = &bench.machine;
    let (id, snapshot) = machine.good_backup("alice");
    let (state, live) = (bench.state(), machine.state_of("alice"));
    let report = machine.rehearse("alice");
    assert_eq!((report.outcome.state.word(), reasons(&report).as_str()), ("succeeded", ""));
    assert_eq!((report.files, report.bytes), (snapshot.totals.files, snapshot.totals.bytes));
    assert_eq!((report.databases, report.counted.tables), (3, 4));
    assert_eq!(report.counted.rows, 3 + 1 + 2, "all rows of all tables");
    assert_eq!((bench.state(), machine.state_of("alice")), (state, live));
    assert_eq!(bench.temporary(), "");
    let noted = machine.noted("alice").unwrap();
    assert_eq!(
        (noted.moment.snapshot.clone(), noted.result.as_str()),
        (id.to_string(), "succeeded")
    );
    assert_eq!((noted.databases, noted.rows, noted.files), (3, 6, report.files));
    assert_eq!(noted.success, Some(noted.moment));
    assert_eq!(machine.monitor.warnings(), [""; 0]);

    // A user who is gone, with everything, can be proven as well: but for the view that looks into
    // another database, which a restore would bring first.
    bench.mysql.mysql("DROP DATABASE alice_a; DROP DATABASE alice_b; DROP USER alice_u@localhost");
    bench.pgsql.psql("postgres", "DROP DATABASE alice_geo");
    bench.pgsql.psql("postgres", "DROP ROLE alice_p");
    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    let report = machine.rehearse("alice");
    assert_eq!(report.outcome.state.word(), "partial", "{}", reasons(&report));
    assert!(reasons(&report).contains("alice_a was not imported: it looks into alice_b"));
    assert_eq!((report.databases, report.counted.rows), (2, 3));
    assert_eq!(bench.temporary(), "");
    let roles =
        bench.pgsql.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^alice'");
    assert_eq!(roles, "0", "no account is made for a rehearsal but its own");
}

const USER: (&str, &str) = ("hestia/user.conf", "NAME='alice'\nPACKAGE='default'\n");

#[test]
fn a_dump_that_cannot_be_imported_is_found_whatever_is_wrong_with_it() {
    let Some(bench) = bench() else { return };
    let machine = &bench.machine;
    let whole = "CREATE TABLE `t` (`id` int);\nINSERT INTO `t` VALUES (1),(2);\n\
                 CREATE TABLE `u` (`id` int);\nINSERT INTO `u` VALUES (1);\n";
    let closing = "-- Dump completed\n";
    let geo = "--\n-- Name: t; Type: TABLE; Schema: public; Owner: -\n--\n\nCREATE TABLE public.t (\n    \
               id integer\n);\nINSERT INTO public.t VALUES (1);\n";
    let geo_end = "--\n-- PostgreSQL database dump complete\n--\n";
    for (mysql, pgsql, words) in [
        (format!("{whole}{closing}"), format!("{geo}{geo_end}"), None),
        (whole.to_owned(), format!("{geo}{geo_end}"), Some(["alice_a.mysql.sql", "not whole"])),
        (
            format!("{whole}INSERT INTO `nosuch` VALUES (1);\n{closing}"),
            format!("{geo}{geo_end}"),
            Some(["alice_a", "nosuch"]),
        ),
        // What the tool of MySQL does not stop at is found by counting.
        (
            format!("{whole}DELETE FROM `t`;\n{closing}"),
            format!("{geo}{geo_end}"),
            Some(["alice_a", "t"]),
        ),
        (format!("{whole}{closing}"), geo.to_owned(), Some(["alice_geo.pgsql.sql", "not whole"])),
        (
            format!("{whole}{closing}"),
            format!("{geo}SELECT 1/0;\n{geo_end}"),
            Some(["alice_geo", "division by zero"]),
        ),
    ] {
        let (mysql_row, pgsql_row) =
            (row("mysql", "alice_a", "alice_u"), row("pgsql", "alice_geo", "alice_p"));
        machine.store(&[
            USER,
            ("db/alice_a/hestia/db.conf", &mysql_row),
            ("db/alice_a/alice_a.mysql.sql", &mysql),
            ("db/alice_geo/hestia/db.conf", &pgsql_row),
            ("db/alice_geo/alice_geo.pgsql.sql", &pgsql),
        ]);
        let report = machine.rehearse("alice");
        let found = reasons(&report);
        match words {
            None => assert_eq!((report.outcome.state.word(), found.as_str()), ("succeeded", "")),
            Some(words) => {
                assert_eq!(report.outcome.state.word(), "failed", "{words:?}: {found}");
                assert!(words.iter().all(|word| found.contains(word)), "{words:?}: {found}");
                let noted = machine.noted("alice").unwrap();
                assert_eq!(noted.result, "failed");
                assert!(noted.reasons[0].contains(words[0]), "{noted:?}");
                // When it last went well is not forgotten by that.
                assert!(noted.success.unwrap().time <= noted.moment.time);
                // The other database was tried all the same.
                assert_eq!(report.databases, 1);
            }
        }
        assert_eq!(bench.temporary(), "", "{words:?}");
    }
    // Without databases a cut-off dump is found, too.
    let mysql_row = row("mysql", "alice_a", "alice_u");
    machine.store(&[
        USER,
        ("db/alice_a/hestia/db.conf", &mysql_row),
        ("db/alice_a/alice_a.mysql.sql", whole),
    ]);
    let report = machine.try_rehearsal("alice", false, &machine.monitor).unwrap();
    assert!(reasons(&report).contains("not whole"), "{}", reasons(&report));
}

#[test]
fn a_rehearsal_that_is_stopped_at_any_time_leaves_nothing_behind() {
    let Some(bench) = bench() else { return };
    bench.add_databases();
    let machine = &bench.machine;
    machine.good_backup("alice");
    let state = bench.state();
    let mut stopped = 0;
    for patience in [0, 2, 10, 30, 60, 120, 250] {
        let monitor = Impatient { asked: Arc::default(), patience };
        match machine.try_rehearsal("alice", true, &monitor) {
            Ok(report) => assert_eq!(report.outcome.state.word(), "succeeded"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Cancelled, "{error}");
                stopped += 1;
            }
        }
        assert_eq!(bench.temporary(), "", "{patience}");
        assert_eq!(bench.state(), state);
    }
    assert!(stopped >= 3, "{stopped}");
    assert!(machine.noted("alice").is_none_or(|noted| noted.result == "succeeded"));
}

/// Says stop after so many questions.
struct Impatient {
    asked: Arc<AtomicU64>,
    patience: u64,
}

impl Monitor for Impatient {
    fn count(&self, _: ghostsnap::base::Counter, _: u64) {}
    fn warn(&self, _: ghostsnap::base::Error) {}
    fn stage(&self, _: ghostsnap::base::monitor::Stage) {}
    fn cancelled(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.patience
    }
    fn stop(&self) -> Stop {
        let (asked, patience) = (Arc::clone(&self.asked), self.patience);
        Stop::when(move || asked.fetch_add(1, Ordering::Relaxed) >= patience)
    }
}

#[test]
fn what_a_killed_rehearsal_left_goes_with_the_next_one_of_anybody() {
    let Some(mut bench) = bench() else { return };
    bench.add_databases();
    bench.machine.be_as_the_program();
    let machine = &bench.machine;
    machine.add_user("bob");
    machine.good_backup("alice");
    machine.good_backup("bob");
    let state = bench.state();
    // A client that never comes to the end of an import; questions it hands on.
    let tools = machine.folder.path().join("usr/bin");
    let reached = machine.path("reached");
    for (name, question) in [("mariadb", "--skip-column-names"), ("psql", "-A")] {
        let text = format!(
            "#!/bin/bash\nfor word in \"$@\"; do [ \"$word\" = {question} ] && \
             exec /usr/bin/{name} \"$@\"; done\necho $$ > {}\nexec sleep 600\n",
            reached.display()
        );
        fs::write(tools.join(name), text).unwrap();
        fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut first = machine.program(&["hestia", "verify-user", "alice"]).spawn().unwrap();
    while fs::read_to_string(&reached).unwrap_or_default().trim().is_empty() {
        assert!(first.try_wait().unwrap().is_none(), "it must get as far as an import");
        std::thread::yield_now();
    }
    // Nobody takes from a rehearsal that is at work what it needs.
    assert_eq!(machine.rehearse("bob").outcome.state.word(), "succeeded");
    assert!(bench.temporary().contains("ghostsnap"), "{}", bench.temporary());
    let error = machine.try_rehearsal("alice", true, &machine.monitor).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
    // A backup may go on meanwhile.
    machine.good_backup("alice");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(bench.temporary().contains("ghostsnap"));
    assert_eq!(machine.rehearse("bob").outcome.state.word(), "succeeded");
    assert_eq!(bench.temporary(), "");
    let client: i32 = fs::read_to_string(&reached).unwrap().trim().parse().unwrap();
    let client = nix::unistd::Pid::from_raw(client);
    nix::sys::signal::kill(client, nix::sys::signal::SIGKILL).unwrap();
    assert_eq!(machine.rehearse("alice").outcome.state.word(), "succeeded");
    assert_eq!(bench.temporary(), "");
    assert_eq!(bench.state(), state);
}

#[test]
fn databases_that_cannot_be_tried_here_are_named_and_never_silently_green() {
    let machine = machine();
    machine.add_alice();
    machine.good_backup("alice");
    // The double of the server knows nothing of its data folder.
    let report = machine.rehearse("alice");
    assert_eq!(report.outcome.state.word(), "partial");
    let found = reasons(&report);
    assert!(found.contains("alice_wp was not imported: the server does not answer"), "{found}");
    fs::remove_file(machine.hestia.conf("mysql.conf")).unwrap();
    let found = reasons(&machine.rehearse("alice"));
    assert!(found.contains("Hestia knows no mysql server on this machine"), "{found}");
    let report = machine.try_rehearsal("alice", false, &machine.monitor).unwrap();
    assert_eq!((report.outcome.state.word(), report.databases), ("partial", 0));
    assert!(reasons(&report).contains("alice_geo was not imported: left out on request"));
    assert_eq!(machine.noted("alice").unwrap().success, None);
    // Neither is a backup that lacks something itself.
    machine.add_user("bob");
    machine.add_database("bob", "bob_shop", "mysql", 2);
    machine.fault("dump-breaks-bob_shop");
    assert_eq!(machine.backup("bob").state.word(), "partial");
    machine.heal();
    let report = machine.rehearse("bob");
    assert_eq!(report.outcome.state.word(), "partial");
    assert!(reasons(&report).contains("the backup itself is not complete"), "{report:?}");
}

/// Whatever a customer makes of holes and further names, it is read once.
#[test]
fn holes_and_further_names_of_a_file_take_no_time() {
    let machine = machine();
    machine.add_user("bob");
    let home = machine.hestia.user_home(&user("bob"));
    fs::create_dir(home.join("odd")).unwrap();
    for name in ["a", "b", "c"] {
        let file = fs::File::create(home.join("odd").join(name)).unwrap();
        file.set_len(15 << 40).unwrap();
    }
    fs::write(home.join("odd/0"), "x".repeat(1 << 20)).unwrap();
    for name in 1..40 {
        fs::hard_link(home.join("odd/0"), home.join(format!("odd/{name}"))).unwrap();
    }
    machine.good_backup("bob");
    let report = machine.rehearse("bob");
    assert_eq!(report.outcome.state.word(), "succeeded", "{report:?}");
    assert!(report.files >= 43 && report.bytes > 45 << 40, "{report:?}");
}

#[test]
fn a_flipped_byte_is_found_and_the_files_it_hits_are_named() {
    let machine = machine();
    machine.add_user("alice");
    machine.add_web("alice", "shop.example");
    let (_, snapshot) = machine.good_backup("alice");
    assert_eq!(machine.rehearse("alice").outcome.state.word(), "succeeded");
    let mut hit = 0;
    for pack in machine.packs() {
        let sound = fs::read(&pack).unwrap();
        let mut bad = sound.clone();
        bad[100] ^= 1;
        fs::write(&pack, &bad).unwrap();
        let report = machine.rehearse("alice");
        fs::write(&pack, &sound).unwrap();
        assert_eq!(report.outcome.state.word(), "failed", "{}", pack.display());
        let found = reasons(&report);
        let names = ["web/shop.example", "hestia", "user_dir", "pam", "cron", "/: "];
        assert!(names.iter().any(|name| found.contains(name)), "{found}");
        assert!(report.files < snapshot.totals.files);
        let noted = machine.noted("alice").unwrap();
        assert_eq!((noted.result.as_str(), noted.reasons.is_empty()), ("failed", false));
        hit += 1;
    }
    assert!(hit >= 2, "packs of content and of trees");
    // And a pack that is gone.
    let pack = machine.packs().remove(0);
    fs::rename(&pack, machine.path("away")).unwrap();
    assert_eq!(machine.rehearse("alice").outcome.state.word(), "failed");
    fs::rename(machine.path("away"), &pack).unwrap();
    assert_eq!(machine.rehearse("alice").outcome.state.word(), "succeeded");
}

#[test]
fn what_hestia_could_not_take_back_is_named() {
    let machine = machine();
    machine.add_user("alice");
    machine.store(&[USER, ("web/a.example/data/index.html", "x")]);
    let report = machine.rehearse("alice");
    assert_eq!(report.outcome.state.word(), "failed");
    assert!(reasons(&report).contains("web/a.example: it has no row"), "{}", reasons(&report));
}

/// Rehearses all three users and says of each, in the order of the work, what became of it.
fn night(machine: &Machine, time: Option<Duration>) -> Vec<String> {
    let repository = machine.repository();
    let snapshots = repository.snapshots().unwrap();
    let candidates: Vec<Candidate<'_>> = ["alice", "bob", "carol"]
        .map(|name| Candidate {
            user: user(name),
            place: "default",
            repository: Ok(&repository),
            snapshots: &snapshots,
        })
        .into();
    let budget = Budget { time, without_databases: false };
    let done = rehearse_users(&machine.server, &candidates, &budget, &machine.monitor);
    let one = |one: &Rehearsal| format!("{} {}", one.outcome.user, one.outcome.state.word());
    let mut said: Vec<String> = done.iter().map(one).collect();
    machine.server.world.sleep(Duration::from_secs(2));
    // The test is faster than the clock of the notes, so the order of those who only wait is open.
    let waiting = said.iter().position(|one| one.ends_with("skipped")).unwrap_or(said.len());
    said[waiting..].sort();
    said
}

#[test]
fn users_take_turns_within_a_time_and_what_is_proven_is_not_proven_again() {
    let machine = machine();
    for name in ["alice", "bob", "carol"] {
        machine.add_user(name);
        machine.good_backup(name);
    }
    let none = Some(Duration::ZERO);
    // One begins whatever the time; the others come first next time.
    assert_eq!(night(&machine, none), ["alice succeeded", "bob skipped", "carol skipped"]);
    assert_eq!(night(&machine, none), ["bob succeeded", "alice skipped", "carol skipped"]);
    assert_eq!(night(&machine, None), ["carol succeeded", "alice skipped", "bob skipped"]);
    // When all are proven it begins from the start.
    assert_eq!(night(&machine, none), ["alice succeeded", "bob skipped", "carol skipped"]);
    // A new backup is not proven by the rehearsal of the one before.
    fs::write(machine.hestia.user_home(&user("bob")).join("new"), "x").unwrap();
    machine.good_backup("bob");
    assert_eq!(night(&machine, None), ["bob succeeded", "alice skipped", "carol skipped"]);
    // One that always fails does not keep the others from their turn.
    machine.store(&[("web/a.example/data/x", "no user.conf")]);
    fs::write(machine.hestia.user_home(&user("carol")).join("new"), "x").unwrap();
    machine.good_backup("carol");
    let first = night(&machine, none);
    let second = night(&machine, none);
    let firsts = [first[0].as_str(), second[0].as_str()];
    assert!(firsts.contains(&"alice failed") && firsts.contains(&"carol succeeded"), "{firsts:?}");
}

#[test]
fn the_lists_say_what_the_last_run_said_and_when_a_backup_was_proven() {
    let mut machine = machine();
    machine.be_as_the_program();
    machine.add_alice();
    let rows = |args: &[&str]| {
        let output = run(machine.program(args));
        let text = String::from_utf8(output.stdout).unwrap();
        let found = serde_json::from_str::<serde_json::Value>(&text);
        (output.status.code().unwrap(), found.unwrap_or_else(|_| panic!("{text}")))
    };
    let alice = || rows(&["--panel", "hestia", "status", "--format", "json"]).1["alice"].clone();
    // The world of the program is another one than the backups'.
    run(machine.program(&["hestia", "backup", "--mode", "direct"]));
    let first = alice();
    assert_eq!((first["LAST_ERROR"].as_str(), first["VERIFIED"].as_str()), (Some(""), Some("")));
    assert_eq!(first["GROWTH"], "");
    machine.fault("dump-breaks-alice_shop");
    fs::write(machine.hestia.user_home(&user("alice")).join("new"), "12345").unwrap();
    run(machine.program(&["hestia", "backup", "--mode", "direct"]));
    machine.heal();
    let second = alice();
    assert!(second["LAST_ERROR"].as_str().unwrap().contains("alice_shop"), "{second}");
    assert!(second["GROWTH"].as_str().unwrap().parse::<i64>().unwrap() < 5, "{second}");
    run(machine.program(&["hestia", "backup", "--mode", "direct"]));
    assert_eq!(alice()["LAST_ERROR"], "");
    // The columns of before are where they were.
    let text = run(machine.program(&["hestia", "status", "--format", "csv"])).stdout;
    let text = String::from_utf8(text).unwrap();
    let head = "USER,LIGHT,DATE,TIME,AGE,STATUS,BACKUPS,SIZE,STORED,WEEK,REPOSITORY,REASON,";
    assert!(text.starts_with(&format!("{head}LAST_ERROR,VERIFIED,GROWTH,NEXT\n")), "{text}");

    // A repository that is not there is the server's trouble.
    let away = machine.path("away");
    fs::rename(&machine.server.settings.repository, &away).unwrap();
    run(machine.program(&["hestia", "backup", "--mode", "direct"]));
    fs::rename(&away, &machine.server.settings.repository).unwrap();
    assert!(alice()["LAST_ERROR"].as_str().unwrap().contains("repository"), "{}", alice());
    run(machine.program(&["hestia", "backup", "--mode", "direct"]));

    // Rehearsed: it is partial here, as the double is no server. Without databases it is proven.
    run(machine.program(&["hestia", "verify-user", "alice"]));
    assert_eq!(
        (alice()["VERIFIED"].as_str(), alice()["LIGHT"].as_str()),
        (Some(""), Some("green"))
    );
    machine.add_user("bob");
    run(machine.program(&["hestia", "backup", "-u", "bob"]));
    run(machine.program(&["hestia", "verify-user", "bob"]));
    let bob = || rows(&["--panel", "hestia", "status", "bob", "--format", "json"]).1["bob"].clone();
    assert_eq!(bob()["VERIFIED"].as_str().unwrap().len(), "2026-01-01".len());
    let (code, all) = rows(&["hestia", "repository-status", "--format", "json", "--check"]);
    assert_eq!((code, all["default"]["LIGHT"].as_str()), (0, Some("green")));
    assert_eq!(all["default"]["CHECKED"], "");

    // Damage: the rehearsal, a check and both lights say so.
    let pack = machine.packs().remove(0);
    let sound = fs::read(&pack).unwrap();
    let mut bad = sound.clone();
    bad[60] ^= 1;
    fs::write(&pack, bad).unwrap();
    let repository = machine.server.settings.repository.as_str();
    let check = |args: &[&str]| {
        let mut command = machine.program(&["check", "-r", repository, "--quiet"]);
        let config = machine.path("etc/ghostsnap/ghostsnap.toml");
        command.env("GHOSTSNAP_KEY_FILE", &machine.server.settings.key_file).args(args);
        run({
            command.arg("--config").arg(config);
            command
        })
        .status
        .code()
    };
    let failed = run(machine.program(&["hestia", "verify-user", "alice"])).status.code();
    let failed_bob = run(machine.program(&["hestia", "verify-user", "bob"])).status.code();
    assert!([failed, failed_bob].contains(&Some(31)), "{failed:?} {failed_bob:?}");
    let reds = [alice(), bob()].iter().filter(|one| one["LIGHT"] == "red").count();
    assert!(reds >= 1, "{} {}", alice(), bob());
    assert_eq!(check(&["--read-data"]), Some(31));
    fs::write(&pack, &sound).unwrap();
    let state = || {
        let (code, all) = rows(&["hestia", "repository-status", "--format", "json", "--check"]);
        let word = |name: &str| all["default"][name].as_str().unwrap().to_owned();
        (code, word("LIGHT"), word("CHECK"), word("CHECK_EXTENT"))
    };
    let said = |code, light: &str, check: &str, extent: &str| {
        (code, light.to_owned(), check.to_owned(), extent.to_owned())
    };
    assert_eq!(state(), said(30, "red", "damaged", "all data"));
    assert_eq!(check(&[]), Some(0));
    assert_eq!(state(), said(30, "red", "succeeded", "structure"));
    assert_eq!(check(&["--read-data"]), Some(0));
    assert_eq!(state(), said(0, "green", "succeeded", "all data"));
    // A repository that this server does not know leaves no note here.
    let other = machine.path("other").display().to_string();
    for verb in ["init", "check", "prune"] {
        let mut command = machine.program(&[verb, "-r", &other]);
        command.env("GHOSTSNAP_PASSWORD", "x").arg("--config");
        command.arg(machine.path("etc/ghostsnap/ghostsnap.toml"));
        assert_eq!(run(command).status.code(), Some(0), "{verb}");
    }
    let notes = |name: &str| fs::read_dir(machine.server.settings.state_folder.join(name));
    assert_eq!(notes("checks").unwrap().count(), 1);
    assert!(notes("prunes").is_err(), "nothing was pruned");
}

fn run(mut command: Command) -> Output {
    command.output().unwrap()
}

#[test]
fn the_commands_print_rows_and_end_with_the_code_that_says_it() {
    let machine = machine();
    for name in ["alice", "bob"] {
        machine.add_user(name);
    }
    let ok = |args: &[&str]| {
        let output = run(machine.program(args));
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    ok(&["hestia", "backup", "--quiet"]);
    let text = ok(&["hestia", "verify-user", "alice", "--format", "csv", "--quiet"]);
    assert!(text.starts_with("USER,RESULT,SNAPSHOT,NAME,FILES,SIZE,DATABASES"), "{text}");
    assert!(
        text.contains("\nalice,succeeded,") || text.contains("\n\"alice\",\"succeeded\","),
        "{text}"
    );
    let text = ok(&["--panel", "hestia", "verify-users", "--max-time", "1h"]);
    assert!(
        text.contains("bob") && text.contains("succeeded") && text.contains("skipped"),
        "{text}"
    );
    let state = machine.folder.path().join("var/lib/ghostsnap/verified");
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    let code = |args: &[&str]| run(machine.program(args)).status.code();
    assert_eq!(code(&["hestia", "verify-user", "nobody"]), Some(3));
    assert_eq!(code(&["hestia", "verify-users", "--max-time", "soon"]), Some(2));
    // A note that somebody spoiled is said, and written anew.
    let folder = fs::read_dir(&state).unwrap().next().unwrap().unwrap().path();
    fs::write(folder.join("alice.json"), "{").unwrap();
    let output = run(machine.program(&["hestia", "verify-users", "alice"]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("alice.json"), "{output:?}");
    assert!(fs::read_to_string(folder.join("alice.json")).unwrap().contains("succeeded"));
}
