// SPDX-License-Identifier: MIT
//! Hestia's users, backed up and given back, with everything that goes wrong on a real server in
//! silence. Hestia is a double here (tests/double).
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::*;
use ghostsnap::base::{Error, Kind, Monitor, Result};
use ghostsnap::hestia::call::{Call, Caller, Outcome};
use ghostsnap::hestia::jobs::{
    self, BackupRequest, ExportRequest, ImportRequest, RestoreRequest, State, export, import,
};
use ghostsnap::hestia::userlock::UserLock;
use std::fs;
use std::sync::Arc;

fn failed_with(state: &State) -> (Kind, String) {
    match state {
        State::Failed(error) | State::Skipped(error) => (error.kind(), error.one_line()),
        other => panic!("{other:?}"),
    }
}

fn cleanup(keep: usize) -> BackupRequest {
    BackupRequest { cleanup: true, keep_tarballs: Some(keep), ..BackupRequest::default() }
}

/// Checks the main promise in one mode of Hestia.
fn round_trip(mode: &str) {
    let machine = Machine::empty(mode);
    machine.add_alice();
    machine.add_user("bob");
    let before = machine.state_of("alice");
    assert!(before.len() > 30);
    let (_, snapshot) = machine.good_backup("alice");
    assert!(snapshot.name.starts_with("hestia-alice-2026"));
    assert_eq!(snapshot.objects_of("WEB").collect::<Vec<_>>(), ["shop.example", "static.example"]);
    assert_eq!(snapshot.objects_of("CRON").collect::<Vec<_>>(), ["2"]);
    assert_eq!(snapshot.user_identity, "2026-11-22T07:03:50");

    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    assert!(!machine.state_of("alice").contains_key("data"));
    let report = machine.restore("alice", all()).unwrap();
    assert_eq!((report.kind(), report.created), (None, true), "{report:?}");
    assert_eq!(report.objects.len(), 2 + 1 + 1 + 3 + 1 + 3);
    assert_eq!(machine.state_of("alice"), before);
    let left: Vec<String> =
        machine.backups().into_iter().filter(|name| !name.starts_with("alice.2")).collect();
    assert_eq!(left, [""; 0]);
    assert!(machine.history().contains("Info Backup Ghostsnap restored hestia-alice-"));
}

#[test]
fn a_deleted_user_comes_back_in_gzip_mode() {
    round_trip("gzip");
}

#[test]
fn a_deleted_user_comes_back_in_zstd_mode() {
    round_trip("zstd");
}

#[test]
fn a_second_backup_adds_next_to_nothing_even_in_the_other_mode() {
    let machine = machine();
    let (_, first) = machine.good_backup("alice");
    assert!(first.totals.bytes_new > 400_000);
    let conf = fs::read_to_string(machine.hestia.hestia_conf()).unwrap();
    fs::write(machine.hestia.hestia_conf(), conf.replace("gzip", "zstd")).unwrap();
    let (_, second) = machine.good_backup("alice");
    assert!(second.totals.bytes_new < first.totals.bytes_new / 20, "{:?}", second.totals);
    assert_ne!(first.name, second.name);
}

#[test]
fn an_exit_code_of_0_without_a_new_tarball_is_a_failure() {
    let machine = machine();
    machine.good_backup("alice");
    // Yesterday's tarball is there; it must not pass for today's.
    machine.fault("backup-silent-alice");
    let outcome = machine.backup("alice");
    let (kind, why) = failed_with(&outcome.state);
    assert_eq!(kind, Kind::NotFound);
    assert!(why.contains("made none") && why.contains("alice.log"), "{why}");
    assert_eq!(machine.snapshots().len(), 1);
    assert!(machine.history().contains("log alice Error Backup Ghostsnap made no backup"));
}

#[test]
fn a_tarball_that_is_empty_cut_off_or_unknown_to_hestia_is_a_failure() {
    for (fault, words) in [
        ("tarball-empty-bob", "is empty"),
        ("tarball-cut-bob", "store the tarball bob.2026-"),
        ("unregistered-bob", "does not list"),
    ] {
        let machine = machine();
        machine.fault(fault);
        let (_, why) = failed_with(&machine.backup("bob").state);
        assert!(why.contains(words), "{fault}: {why}");
        assert_eq!(machine.snapshots().len(), 0, "{fault}");
    }
}

#[test]
fn a_failure_of_hestia_keeps_its_meaning_and_its_words() {
    let machine = machine();
    machine.fault("dump-fails-alice");
    let (kind, why) = failed_with(&machine.backup("alice").state);
    assert_eq!(kind, Kind::Db);
    assert!(why.contains("exit code 17: dump alice_wp failed"), "{why}");
}

#[test]
fn one_users_failure_stops_nobody_else() {
    let machine = machine();
    machine.add_user("carol");
    machine.add_user("dave");
    machine.fault("backup-fails-bob");
    let suspended = machine.hestia.user_file(&user("dave"), "user.conf");
    let conf = fs::read_to_string(&suspended).unwrap().replace("SUSPENDED='no'", "SUSPENDED='yes'");
    fs::write(&suspended, conf).unwrap();
    let report = machine.try_backup(&BackupRequest::default()).unwrap();
    let states: Vec<_> =
        report.users.iter().map(|one| (one.user.as_str(), one.state.word())).collect();
    assert_eq!(
        states,
        [("alice", "succeeded"), ("bob", "failed"), ("carol", "succeeded"), ("dave", "skipped")]
    );
    assert_eq!(report.kind(), Some(Kind::Partial));
    // Named patterns and a user that does not exist.
    let request = BackupRequest {
        users: vec!["nobody".into()],
        include: vec!["[ac]*".into()],
        exclude: vec!["alice".into()],
        ..BackupRequest::default()
    };
    let report = machine.try_backup(&request).unwrap();
    let states: Vec<_> =
        report.users.iter().map(|one| (one.user.as_str(), one.state.word())).collect();
    assert_eq!(states, [("nobody", "failed"), ("carol", "succeeded")]);
}

#[test]
fn an_unknown_user_is_not_found() {
    let machine = machine();
    for (name, kind) in
        [("nobody", Kind::NotFound), ("../alice", Kind::Invalid), ("ali", Kind::NotFound)]
    {
        let request = BackupRequest { users: vec![name.into()], ..BackupRequest::default() };
        assert_eq!(machine.try_backup(&request).unwrap().kind(), Some(kind), "{name}");
    }
    let request = BackupRequest { include: vec!["zzz*".into()], ..BackupRequest::default() };
    assert_eq!(machine.try_backup(&request).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn suspended_users_follow_hestias_policy() {
    let machine = machine();
    let path = machine.hestia.user_file(&user("bob"), "user.conf");
    let conf = fs::read_to_string(&path).unwrap().replace("SUSPENDED='no'", "SUSPENDED='yes'");
    fs::write(&path, conf).unwrap();
    let outcome = machine.backup("bob");
    assert_eq!((outcome.state.word(), failed_with(&outcome.state).0), ("skipped", Kind::Suspended));
    let conf = fs::read_to_string(machine.hestia.hestia_conf()).unwrap();
    let allowed = conf.replace("SUSPENDED_USERS='no'", "SUSPENDED_USERS='yes'");
    fs::write(machine.hestia.hestia_conf(), allowed).unwrap();
    machine.good_backup("bob");
    let error = machine.restore("bob", all()).unwrap_err();
    assert_eq!(error.kind(), Kind::Suspended);
}

#[test]
fn a_server_without_local_backups_is_told_before_anything_runs() {
    let machine = machine();
    let conf = fs::read_to_string(machine.hestia.hestia_conf()).unwrap();
    fs::write(machine.hestia.hestia_conf(), conf.replace("'local'", "'sftp'")).unwrap();
    let error = machine.try_backup(&BackupRequest::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Disabled);
    assert_eq!(machine.backups(), [""; 0]);
}

#[test]
fn tarballs_are_never_removed_without_being_asked() {
    let machine = machine();
    for _ in 0..3 {
        let outcome = machine.backup_with(
            "bob",
            BackupRequest { keep_tarballs: Some(0), ..BackupRequest::default() },
        );
        assert_eq!(outcome.removed, [""; 0]);
    }
    assert_eq!(machine.backups().len(), 3);
    assert!(!machine.history().contains("delete"));
}

#[test]
fn a_cleanup_keeps_the_newest_and_never_touches_a_namesake() {
    let machine = machine();
    machine.add_user("bob.x");
    machine.good_backup("bob.x");
    for _ in 0..3 {
        machine.good_backup("bob");
    }
    let outcome = machine.backup_with("bob", cleanup(2));
    assert_eq!((outcome.state.word(), outcome.removed.len()), ("succeeded", 2), "{outcome:?}");
    let left = machine.backups();
    assert_eq!((left.len(), left[2].starts_with("bob.x.")), (3, true));
    let newest = outcome.tarball.unwrap();
    assert!(left.contains(&newest));
    // All of them, the newest as well; Hestia's own list stays true.
    let outcome = machine.backup_with("bob", cleanup(0));
    assert_eq!(outcome.removed.len(), 3);
    assert_eq!(machine.backups().len(), 1);
    let rows = fs::read_to_string(machine.hestia.user_file(&user("bob"), "backup.conf")).unwrap();
    assert_eq!(rows.trim(), "");
    assert_eq!(machine.snapshots().len(), 6);
}

#[test]
fn a_cleanup_leaves_what_is_not_or_not_wholly_in_the_repository() {
    let machine = machine();
    assert_eq!(machine.run("v-backup-user", &["alice"]), 0);
    // The next one lacks a domain that Hestia lists.
    machine.fault("web-skipped-static.example");
    let outcome = machine.backup_with("alice", cleanup(0));
    assert_eq!(outcome.state.word(), "partial");
    assert!(outcome.warnings[0].contains("find WEB static.example in the tarball"), "{outcome:?}");
    assert_eq!((outcome.removed.len(), outcome.notes.len()), (0, 2));
    assert!(outcome.snapshot.unwrap().1.is_partial());
    machine.heal();
    let outcome = machine.backup_with("alice", cleanup(0));
    assert_eq!((outcome.removed.len(), outcome.notes.len()), (1, 2));
    assert_eq!(machine.backups().len(), 2);
}

#[test]
fn a_failed_backup_cleans_nothing_up() {
    let machine = machine();
    machine.good_backup("bob");
    machine.fault("backup-silent-bob");
    let outcome = machine.backup_with("bob", cleanup(0));
    assert_eq!((outcome.state.word(), machine.backups().len()), ("failed", 1));
}

#[test]
fn a_restore_replaces_nothing_without_consent() {
    let machine = machine();
    machine.good_backup("alice");
    let request = RestoreRequest { confirmed: false, ..all() };
    assert_eq!(machine.restore("alice", request).unwrap_err().kind(), Kind::Usage);
    assert!(!machine.was_asked_to_restore());
}

#[test]
fn a_snapshot_of_another_user_does_not_exist() {
    let machine = machine();
    let (id, snapshot) = machine.good_backup("alice");
    machine.good_backup("bob");
    for wanted in [snapshot.name, id.to_string(), id.short()] {
        let request = RestoreRequest { snapshot: wanted.clone(), ..all() };
        assert_eq!(machine.restore("bob", request).unwrap_err().kind(), Kind::NotFound);
        let repository = machine.repository();
        let error =
            jobs::delete(&machine.server, &repository, &user("bob"), &wanted, &machine.monitor);
        assert_eq!(error.unwrap_err().kind(), Kind::NotFound);
    }
    let repository = machine.repository();
    jobs::delete(&machine.server, &repository, &user("alice"), "latest", &machine.monitor).unwrap();
    assert_eq!(jobs::list(&repository, Some(&user("alice")), &machine.monitor).unwrap().len(), 0);
    assert_eq!(jobs::list(&repository, None, &machine.monitor).unwrap().len(), 1);
}

#[test]
fn a_selection_restores_that_and_nothing_else() {
    let machine = machine();
    machine.good_backup("alice");
    let home = machine.hestia.user_home(&user("alice"));
    for domain in ["shop.example", "static.example"] {
        fs::write(home.join("web").join(domain).join("public_html/index.php"), "defaced").unwrap();
    }
    fs::write(machine.path("mysql/alice_wp.sql"), "changed").unwrap();
    fs::write(machine.path("mysql/alice_shop.sql"), "changed").unwrap();
    let report = machine
        .restore(
            "alice",
            // What is in the database is no database, so it cannot be saved before.
            RestoreRequest {
                no_safety: true,
                ..only(["shop.example", "no", "no", "alice_wp", "no", "no"])
            },
        )
        .unwrap();
    assert_eq!((report.kind(), report.objects.len()), (None, 2), "{report:?}");
    let text = |path: &str| fs::read_to_string(home.join("web").join(path)).unwrap();
    assert_eq!(text("shop.example/public_html/index.php"), "<?php echo 'shop.example';\n");
    assert_eq!(text("static.example/public_html/index.php"), "defaced");
    assert_eq!(fs::read_to_string(machine.path("mysql/alice_wp.sql")).unwrap(), dump("mysql", 3));
    assert_eq!(fs::read_to_string(machine.path("mysql/alice_shop.sql")).unwrap(), "changed");
    assert!(machine.history().contains(".tar * no no * no no no\n"), "{}", machine.history());
    // The pattern that Hestia would make of a name does not reach further than the name.
    let error =
        machine.restore("alice", only(["shop-example", "no", "no", "no", "no", "no"])).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn an_import_that_fails_in_silence_is_found() {
    let machine = machine();
    machine.good_backup("alice");
    machine.fault("import-fails-alice_wp");
    let report = machine.restore("alice", all()).unwrap();
    let problems: Vec<String> =
        report.problems().map(|(object, why)| format!("{}: {why}", object.name)).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let start = "alice_wp: not restored: it has 0 of 3 tables, without t0, t1, t2; ";
    assert!(problems[0].starts_with(start), "{problems:?}");
    assert_eq!(report.kind(), Some(Kind::Partial));
    assert!(machine.history().contains("log alice Error Backup Ghostsnap restored"));
}

#[test]
fn a_database_server_that_cannot_be_asked_is_said() {
    let machine = machine();
    machine.good_backup("alice");
    machine.fault("mysql-down");
    let report = machine.restore("alice", all()).unwrap();
    assert_eq!(report.problems().count(), 0);
    assert_eq!((report.kind(), report.warnings.len()), (Some(Kind::Partial), 2), "{report:?}");
}

#[test]
fn a_section_that_did_not_happen_is_named() {
    let machine = machine();
    machine.good_backup("alice");
    machine.fault("web-forgotten");
    let report = machine.restore("alice", all()).unwrap();
    assert_eq!(report.problems().count(), 2);
    machine.heal();
    machine.fault("udir-fails-My Files");
    let report = machine.restore("alice", all()).unwrap();
    let problems: Vec<String> =
        report.problems().map(|(object, why)| format!("{}: {why}", object.name)).collect();
    let why = "Hestia stopped here: Can't unpack My Files user dir container";
    let said = format!("My Files: not restored: {why}; it is as it was");
    assert!(problems.contains(&said), "{problems:?}");
}

#[test]
fn a_restore_that_hestia_refuses_at_once_is_an_error_and_leaves_nothing_behind() {
    let machine = machine();
    machine.good_backup("alice");
    let before = (machine.backups(), machine.state_of("alice"));
    // What a killed restore left goes with the next one; what the admin put there stays.
    fs::write(machine.hestia.in_backup("gs-alice-0123abcd.tar"), "").unwrap();
    machine.fault("restore-fails");
    let error = machine.restore("alice", all()).unwrap_err();
    assert_eq!(error.kind(), Kind::Disk);
    assert_eq!((machine.backups(), machine.state_of("alice")), before);
}

#[test]
fn an_empty_dump_leaves_that_database_alone_and_the_rest_comes_back() {
    let machine = machine();
    machine.fault("dump-empty-alice_wp");
    let outcome = machine.backup("alice");
    assert_eq!(outcome.state.word(), "partial", "{outcome:?}");
    fs::remove_file(machine.path("mysql/alice_shop.sql")).unwrap();
    let report = machine.restore("alice", all()).unwrap();
    let problems: Vec<String> =
        report.problems().map(|(object, why)| format!("{}: {why}", object.name)).collect();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("alice_wp: left alone: its dump is empty"), "{problems:?}");
    assert_eq!(fs::read_to_string(machine.path("mysql/alice_wp.sql")).unwrap(), dump("mysql", 3));
    assert_eq!(fs::read_to_string(machine.path("mysql/alice_shop.sql")).unwrap(), dump("mysql", 1));
    assert!(!machine.history().contains("drop alice_wp"));
    let error =
        machine.restore("alice", only(["no", "no", "no", "alice_wp", "no", "no"])).unwrap_err();
    assert_eq!(error.kind(), Kind::Db);
}

#[test]
fn a_domain_that_went_to_somebody_else_is_refused_before_anything_changes() {
    let machine = machine();
    machine.good_backup("alice");
    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    machine.add_web("bob", "shop.example");
    let error = machine.restore("alice", all()).unwrap_err();
    assert_eq!(error.kind(), Kind::Exists);
    assert!(error.to_string().contains("that user is bob"), "{error}");
    assert!(!machine.was_asked_to_restore());
    // The rest of the user can be had.
    let report =
        machine.restore("alice", only(["static.example", "no", "no", "", "", ""])).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
}

/// Backs up a user whose rows somebody has tampered with.
fn tampered(machine: &Machine, name: &str, file: &str, from: &str, to: &str) {
    let path = machine.hestia.user_file(&user(name), file);
    let good = fs::read_to_string(&path).unwrap();
    assert!(good.contains(from));
    fs::write(&path, good.replace(from, to)).unwrap();
    let outcome = machine.backup(name);
    assert!(outcome.snapshot.is_some(), "{outcome:?}");
    fs::write(&path, good).unwrap();
}

#[test]
fn a_tampered_archive_makes_no_administrator() {
    let machine = machine();
    tampered(
        &machine,
        "bob",
        "user.conf",
        "ROLE='user'",
        "ROLE='admin'\nX='$(id)'\nexport ROLE='admin'",
    );
    assert_eq!(machine.run("v-delete-user", &["bob"]), 0);
    machine.restore("bob", all()).unwrap();
    let path = machine.hestia.user_file(&user("bob"), "user.conf");
    let conf = fs::read_to_string(&path).unwrap();
    assert!(
        conf.contains("ROLE='user'") && !conf.contains("admin") && conf.contains("NAME='bob'"),
        "{conf}"
    );
    assert_eq!(machine.run("v-delete-user", &["bob"]), 0);
    machine.restore("bob", RestoreRequest { admin: true, ..all() }).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("ROLE='admin'"));
}

#[test]
fn a_tampered_archive_drops_nobodys_database() {
    for (from, to, words) in [
        ("DBUSER='alice_wpu'", "DBUSER='root'", "DBUSER root"),
        ("DBUSER='alice_wpu'", "DBUSER='bob_blogu'", "belongs to another user"),
    ] {
        let machine = machine();
        machine.add_database("bob", "bob_blog", "mysql", 1);
        tampered(&machine, "alice", "db.conf", from, to);
        let before = machine.state_of("alice");
        let error = machine.restore("alice", all()).unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden);
        assert!(error.one_line().contains(words), "{error}");
        assert!(!machine.was_asked_to_restore());
        assert_eq!(machine.state_of("alice"), before);
    }
    // A whole database of somebody else, smuggled in under its own name.
    let machine = machine();
    machine.add_database("bob", "bob_blog", "mysql", 1);
    machine.add_row(
        "alice",
        "db.conf",
        "DB='bob_blog' DBUSER='alice_u' HOST='localhost' TYPE='mysql' CHARSET='UTF8'",
    );
    machine.good_backup("alice");
    fs::write(machine.path("mysql/bob_blog.sql"), "precious").unwrap();
    let error = machine.restore("alice", all()).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert_eq!(fs::read_to_string(machine.path("mysql/bob_blog.sql")).unwrap(), "precious");
}

#[test]
fn rows_that_are_no_rows_never_reach_hestia() {
    let machine = machine();
    tampered(&machine, "alice", "cron.conf", "CMD='true'", "CMD='true' $(touch /tmp/x)");
    let report = machine.restore("alice", only(["no", "no", "no", "no", "", "no"])).unwrap();
    assert!(report.warnings[0].contains("cron/cron.conf: 1 lines"), "{report:?}");
    let rows = fs::read_to_string(machine.hestia.user_file(&user("alice"), "cron.conf")).unwrap();
    assert!(rows.contains("%quote%hi%quote%") && !rows.contains("touch"), "{rows}");
}

#[test]
fn restoring_as_another_user_never_touches_the_originals_databases() {
    let machine = machine();
    machine.good_backup("alice");
    machine.add_user("carol");
    let as_carol = |arguments| RestoreRequest { from: Some(user("alice")), ..only(arguments) };
    let before = machine.state_of("alice");
    let report = machine.restore("carol", as_carol(["no", "no", "no", "", "", ""])).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
    assert_eq!(machine.state_of("alice"), before);
    assert!(!machine.history().contains("drop alice_"), "{}", machine.history());
    assert_eq!(fs::read_to_string(machine.path("mysql/carol_wp.sql")).unwrap(), dump("mysql", 3));
    let notes = machine.hestia.user_home(&user("carol")).join("My Files/notes.txt");
    assert_eq!(fs::read_to_string(notes).unwrap(), "of alice\n");
    // What is alice's here stays hers.
    let error = machine.restore("carol", as_carol(["", "no", "no", "no", "no", "no"])).unwrap_err();
    assert_eq!(error.kind(), Kind::Exists);
    assert_eq!(machine.state_of("alice"), before);
    // What carol has by now is not dropped for what alice had.
    let before = machine.state_of("carol");
    let error = machine.restore("carol", as_carol(["no", "no", "no", "", "no", "no"])).unwrap_err();
    assert_eq!(error.kind(), Kind::Exists, "{error}");
    assert_eq!(machine.state_of("carol"), before);
}

/// Calls for real, but v-restore-user is stopped when it has done its work.
struct Impatient(Arc<dyn Caller>);

impl Caller for Impatient {
    fn call(&self, call: &Call, monitor: &dyn Monitor) -> Result<Outcome> {
        let outcome = self.0.call(call, monitor)?;
        if call.name() == "v-restore-user" {
            return Err(Error::new(Kind::Load, "wait for v-restore-user").why("it took too long"));
        }
        Ok(outcome)
    }
}

#[test]
fn a_restore_that_was_stopped_half_way_is_never_called_nothing() {
    let mut machine = machine();
    machine.good_backup("alice");
    machine.server.caller = Arc::new(Impatient(Arc::clone(&machine.server.caller)));
    let report = machine.restore("alice", all()).unwrap();
    assert_eq!(report.kind(), Some(Kind::Partial));
    assert!(report.objects.len() > 5, "{report:?}");
    assert_eq!(report.problems().count(), report.objects.len());
    for (object, why) in report.problems() {
        assert!(why.starts_with("not verified: ") && why.contains("too long"), "{object:?} {why}");
    }
    let history = machine.history();
    assert!(history.contains("began to restore") && !history.contains("nothing"), "{history}");
}

#[test]
fn what_cannot_be_looked_at_after_a_restore_is_reported_object_by_object() {
    let mut machine = machine();
    machine.good_backup("bob");
    machine.server.caller = Arc::new(Spoiler(
        Arc::clone(&machine.server.caller),
        machine.hestia.user_file(&user("bob"), "web.conf"),
    ));
    let report = machine.restore("bob", all()).unwrap();
    assert_eq!(report.kind(), Some(Kind::Partial));
    assert!(!report.objects.is_empty());
    assert!(report.problems().all(|(_, why)| why.starts_with("not verified: ")), "{report:?}");
    assert_eq!(report.problems().count(), report.objects.len());
}

/// Calls for real; after v-restore-user a file of rows is a folder.
struct Spoiler(Arc<dyn Caller>, std::path::PathBuf);

impl Caller for Spoiler {
    fn call(&self, call: &Call, monitor: &dyn Monitor) -> Result<Outcome> {
        let outcome = self.0.call(call, monitor)?;
        if call.name() == "v-restore-user" {
            fs::remove_file(&self.1).unwrap();
            fs::create_dir(&self.1).unwrap();
        }
        Ok(outcome)
    }
}

#[test]
fn a_later_user_of_the_same_name_does_not_get_the_earlier_ones_files_unasked() {
    let machine = machine();
    machine.good_backup("bob");
    assert_eq!(machine.run("v-delete-user", &["bob"]), 0);
    machine.add_user_made_at("bob", "23:59:59");
    let error = machine.restore("bob", all()).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    machine.restore("bob", RestoreRequest { force: true, ..all() }).unwrap();
    // The earlier one's tarball is not proven to be in the repository by a snapshot of today's.
    let old = machine.backups().remove(0);
    machine.add_row("bob", "backup.conf", &format!("BACKUP='{old}' TYPE='local' SIZE='1'"));
    machine.good_backup("bob");
    let outcome = machine.backup_with("bob", cleanup(0));
    assert_eq!((outcome.removed.len(), outcome.notes.len()), (2, 1), "{outcome:?}");
    assert!(outcome.notes[0].contains(&old) && outcome.notes[0].contains("not in the repository"));
}

#[test]
fn old_tarballs_are_taken_in_once_with_their_own_time() {
    let machine = machine();
    assert_eq!(machine.run("v-backup-user", &["alice"]), 0);
    let name = machine.backups().pop().unwrap();
    let path = machine.hestia.in_backup(&name);
    let take = |path: &std::path::Path, force: bool| {
        let request = ImportRequest { force, ..ImportRequest::default() };
        import(&machine.server, &mut machine.repository(), path, &request, &machine.monitor)
    };
    let outcome = take(&path, false).unwrap();
    let (_, snapshot) = outcome.snapshot.unwrap();
    let stamp = snapshot.time.local().strftime("%Y-%m-%d_%H-%M-%S").to_string();
    assert_eq!(name, format!("alice.{stamp}.tar"));
    assert_eq!(
        (snapshot.user.as_str(), snapshot.user_identity.as_str()),
        ("alice", "2026-11-22T07:03:50")
    );
    assert_eq!(take(&path, false).unwrap_err().kind(), Kind::Exists);
    take(&path, true).unwrap();
    // Somebody else's content under alice's neighbour's name.
    let wrong = machine.path("bob.2026-01-02_03-04-05.tar");
    fs::copy(&path, &wrong).unwrap();
    let error = take(&wrong, false).unwrap_err();
    assert!(error.one_line().contains("a tarball of 'alice'"), "{error}");
    fs::rename(&wrong, machine.path("backup.tar")).unwrap();
    assert_eq!(take(&machine.path("backup.tar"), false).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(machine.snapshots().len(), 2);
}

#[test]
fn an_exported_tarball_is_one_that_hestia_takes_without_us() {
    let machine = machine();
    let (id, _) = machine.good_backup("alice");
    let before = machine.state_of("alice");
    let latest =
        |output| ExportRequest { snapshot: "latest".into(), output, ..ExportRequest::default() };
    let make = |request: &ExportRequest| {
        export(&machine.server, &machine.repository(), &user("alice"), request, &machine.monitor)
    };
    let exported = make(&latest(None)).unwrap();
    let name = format!("alice.gs-{}.tar", id.short());
    assert_eq!(exported.path, machine.hestia.in_backup(&name));
    assert_eq!(exported.facts.all_objects().len(), 11);
    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    assert_eq!(machine.run("v-restore-user", &["alice", &name, "", "", "", "", "", "", "no"]), 0);
    assert_eq!(machine.state_of("alice"), before);
    // A file of that name is not overwritten, and a failed export leaves none.
    let file = machine.path("out.tar");
    fs::write(&file, "mine").unwrap();
    assert_eq!(make(&latest(Some(file.clone()))).unwrap_err().kind(), Kind::Exists);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    make(&ExportRequest { force: true, ..latest(Some(file.clone())) }).unwrap();
    assert!(fs::metadata(&file).unwrap().len() > 100_000);
    assert_eq!(
        make(&latest(Some(machine.path("none/out.tar")))).unwrap_err().kind(),
        Kind::NotFound
    );
}

#[test]
fn two_jobs_of_one_user_do_not_run_at_once() {
    let machine = machine();
    machine.good_backup("bob");
    let run = &machine.server.settings.run_folder;
    let lock = UserLock::take(run, &user("bob"), "a test").unwrap();
    assert_eq!(failed_with(&machine.backup("bob").state).0, Kind::InUse);
    assert_eq!(machine.restore("bob", all()).unwrap_err().kind(), Kind::InUse);
    machine.good_backup("alice");
    drop(lock);
    machine.good_backup("bob");
}
