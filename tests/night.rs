// SPDX-License-Identifier: MIT
//! Nights that go wrong, through the program itself: dumps that hang or fail, a stop meanwhile.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod hestia;
#[path = "common/servers.rs"]
mod servers;

use ghostsnap::base::{RelPath, World};
use ghostsnap::hestia::BackupMode;
use ghostsnap::hestia::jobs::BackupRequest;
use ghostsnap::ops::restore::{FileReader, find_node};
use ghostsnap::repo::Reader;
use hestia::*;
use servers::DbServer;
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// How soon a stop is heard.
const HEARD: Duration = Duration::from_secs(2);

fn command(machine: &Machine, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ghostsnap"));
    command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("GHOSTSNAP_HESTIA_BELOW", machine.folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ok(machine: &Machine, args: &[&str]) -> String {
    let output = command(machine, args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Presses Ctrl-C; the exit code is that of a stop, and soon.
fn interrupt(mut child: Child) -> Output {
    let world = World::system();
    let started = world.ticks();
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(33));
    let took = world.ticks().saturating_sub(started);
    let output = child.wait_with_output().unwrap();
    assert!(took < HEARD, "{took:?}: {output:?}");
    output
}

/// The repository is whole, and the next night goes well.
fn next_night_is_good(machine: &Machine) {
    let (repository, key) = (machine.path("var/lib/ghostsnap/repository"), key(machine));
    let repository = repository.display().to_string();
    ok(machine, &["check", "--read-data", "-r", &repository, "--key-file", &key]);
    ok(machine, &["hestia", "backup", "-u", "alice"]);
}

fn key(machine: &Machine) -> String {
    machine.path("etc/ghostsnap/repository.key").display().to_string()
}

/// A machine whose user alice has her MySQL databases on a server of the test's own.
fn with_mariadb(machine: &Machine) -> Option<DbServer> {
    let server = DbServer::mariadb()?;
    fs::write(machine.hestia.conf("mysql.conf"), server.row("root")).unwrap();
    let rows = machine.hestia.user_file(&user("alice"), "db.conf");
    let text = fs::read_to_string(&rows).unwrap();
    let moved = text.lines().map(|row| match row.contains("TYPE='mysql'") {
        true => row.replace("HOST='localhost'", "HOST='127.0.0.1'") + "\n",
        false => row.to_owned() + "\n",
    });
    fs::write(&rows, moved.collect::<String>()).unwrap();
    for tool in ["mariadb", "mariadb-dump"] {
        let path = machine.hestia.tools.join(tool);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), path).unwrap();
    }
    for name in ["alice_wp", "alice_shop"] {
        server.mysql(&format!(
            "CREATE DATABASE {name}; CREATE TABLE {name}.t (id INT); \
             INSERT INTO {name}.t VALUES (1)"
        ));
    }
    Some(server)
}

#[test]
fn a_dump_that_says_nothing_hears_a_stop() {
    let machine = machine();
    ok(&machine, &["hestia", "backup", "-u", "alice"]);
    machine.fault("dump-waits-alice_wp");
    let fifo = machine.path("waiting");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let child = command(&machine, &["hestia", "backup", "-u", "alice"]).spawn().unwrap();
    fs::read(&fifo).unwrap();
    let output = interrupt(child);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("stopped on request"), "{told}");
    machine.heal();
    next_night_is_good(&machine);
    let list = ok(&machine, &["hestia", "list-backups", "-u", "alice"]);
    assert_eq!(list.matches(" complete ").count(), 2, "{list}");
}

#[test]
fn users_at_the_same_time_all_hear_a_stop() {
    let machine = machine();
    machine.add_database("bob", "bob_notes", "mysql", 1);
    for name in ["alice_wp", "bob_notes"] {
        machine.fault(&format!("dump-waits-{name}"));
    }
    let fifo = machine.path("waiting");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let child = command(&machine, &["hestia", "backup", "--jobs", "2"]).spawn().unwrap();
    // Both hang, whoever says so first; one reading may take the words of both.
    let mut said = 0;
    while said < 2 {
        said += fs::read(&fifo).unwrap().len();
    }
    let output = interrupt(child);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told.matches("failed").count(), 2, "{told}");
    machine.heal();
    next_night_is_good(&machine);
}

#[test]
fn a_dump_that_waits_for_a_locked_table_hears_a_stop() {
    let machine = machine();
    let Some(server) = with_mariadb(&machine) else { return };
    ok(&machine, &["hestia", "backup", "-u", "alice"]);
    let lock = server.mysql_session("LOCK TABLES alice_wp.t WRITE");
    let child = command(&machine, &["hestia", "backup", "-u", "alice"]).spawn().unwrap();
    let patience = World::system();
    let waits = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                 WHERE STATE LIKE 'Waiting for table%'";
    let waited = (0..600).any(|_| {
        patience.sleep(Duration::from_millis(50));
        server.mysql(waits) == "1"
    });
    assert!(waited, "the dump does not wait");
    interrupt(child);
    // The server does not wait for a client that is gone, nor does anybody wait for it.
    drop(lock);
    next_night_is_good(&machine);
}

/// A dump of this many rows; of one in a hundred the night is told.
fn big_dump(night: u32) -> String {
    let mut text = String::from("CREATE TABLE `t` (\n  `id` int\n);\n");
    for row in 0..20_000_u32 {
        let changed = if row % 100 == night { night } else { 0 };
        let noise = blake3::hash(&[row.to_le_bytes(), changed.to_le_bytes()].concat()).to_hex();
        text += &format!("INSERT INTO `t` VALUES ({row},'{noise}');\n");
    }
    text + "-- Dump completed\n"
}

#[test]
fn after_a_night_without_its_dump_a_database_adds_only_what_changed() {
    for failed_nights in [1, 3] {
        let machine = machine();
        let file = machine.path("mysql/alice_wp.sql");
        let request = BackupRequest { mode: Some(BackupMode::Direct), ..Default::default() };
        fs::write(&file, big_dump(1)).unwrap();
        let (_, first) = machine.backup_with("alice", request.clone()).snapshot.unwrap();
        machine.fault("dump-breaks-alice_wp");
        for _ in 0..failed_nights {
            let outcome = machine.backup_with("alice", request.clone());
            assert_eq!(outcome.state.word(), "partial");
        }
        machine.heal();
        let text = big_dump(2);
        fs::write(&file, &text).unwrap();
        let (_, next) = machine.backup_with("alice", request.clone()).snapshot.unwrap();
        let size = u64::try_from(text.len()).unwrap();
        assert!(first.totals.bytes_new > size);
        let added = next.totals.bytes_new;
        // Two rows of a hundred, most of them in groups of their own.
        assert!(added * 4 < size && added > 0, "{added} of {size} bytes");
        let repository = machine.repository();
        let reader = Reader::new(&repository);
        let path = RelPath::parse(b"db/alice_wp/alice_wp.mysql.sql").unwrap();
        let node = find_node(&reader, &next, &path).unwrap();
        let mut restored = String::new();
        FileReader::new(&reader, &node).unwrap().read_to_string(&mut restored).unwrap();
        assert!(restored == text);
    }
}

#[test]
fn a_backup_that_is_held_to_a_rate_hears_a_stop() {
    let machine = machine();
    let (repository, key) = (machine.path("held").display().to_string(), key(&machine));
    let ends = ["-r", &repository, "--key-file", &key];
    let with = |args: &[&str]| command(&machine, &[args, &ends[..]].concat());
    fs::create_dir_all(machine.path("etc/ghostsnap")).unwrap();
    fs::create_dir_all(machine.path("files")).unwrap();
    assert!(with(&["init"]).output().unwrap().status.success());
    for n in 0..40 {
        let noise = noise(&n.to_string(), 1 << 20);
        fs::write(machine.path("files").join(n.to_string()), noise).unwrap();
    }
    let files = machine.path("files").display().to_string();
    // What is too slow to ever end is refused.
    let refused = with(&["backup", &files, "--limit-upload", "1K"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let child = with(&["backup", &files, "--limit-upload", "64K"]).spawn().unwrap();
    // The first pack is stored; the second waits for four minutes.
    let patience = World::system();
    let stored =
        || fs::read_dir(machine.path("held/packs")).is_ok_and(|mut all| all.next().is_some());
    assert!((0..600).any(|_| {
        patience.sleep(Duration::from_millis(50));
        stored()
    }));
    interrupt(child);
    assert!(with(&["check", "--read-data"]).output().unwrap().status.success());
    let next = with(&["backup", &files, "--json"]).output().unwrap();
    assert!(next.status.success(), "{next:?}");
}
