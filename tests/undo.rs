// SPDX-License-Identifier: MIT
//! Restores that are taken back, later or at once because they failed: what was there before is
//! there again, exactly, and nothing newer is lost. Against the double of Hestia in tests/double.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]
#![allow(clippy::print_stderr)]

#[path = "common/hestia.rs"]
mod double;

use double::{Machine, all, machine, only, user};
use ghostsnap::base::Kind;
use ghostsnap::hestia::BackupMode;
use ghostsnap::hestia::jobs::files::{self, FileRequest};
use ghostsnap::hestia::jobs::mailbox::{self, MailRequest};
use ghostsnap::hestia::jobs::{
    self, BackupRequest, RestoreReport, RestoreRequest, Through, UndoReport, UndoRequest,
};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const PUBLIC: &str = "web/shop.example/public_html";
const MAILS: &str = "mail/shop.example/info";

trait Undoing {
    fn home(&self, path: &str) -> PathBuf;
    fn put(&self, path: &str, text: &str);
    fn text(&self, path: &str) -> Option<String>;
    fn restored(&self, request: RestoreRequest) -> RestoreReport;
    fn try_undo(&self, job: &str) -> ghostsnap::base::Result<UndoReport>;
    fn undo(&self, job: &str) -> UndoReport;
    fn rows(&self, file: &str) -> PathBuf;
    /// Everything, with modes, owners and the times of files.
    fn all_of_alice(&self) -> BTreeMap<String, String>;
}

impl Undoing for Machine {
    fn home(&self, path: &str) -> PathBuf {
        self.hestia.user_home(&user("alice")).join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.home(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.home(path)).ok()
    }

    fn restored(&self, request: RestoreRequest) -> RestoreReport {
        let report = self.restore("alice", request).unwrap();
        assert_eq!(report.kind(), None, "{report:?}");
        report
    }

    fn try_undo(&self, job: &str) -> ghostsnap::base::Result<UndoReport> {
        let request = UndoRequest { job: job.into(), ..UndoRequest::default() };
        jobs::undo(&self.server, &self.repository(), &user("alice"), &request, &self.monitor)
    }

    fn undo(&self, job: &str) -> UndoReport {
        let report = self.try_undo(job).unwrap();
        assert_eq!(report.kind(), None, "{report:?}");
        report
    }

    fn rows(&self, file: &str) -> PathBuf {
        self.hestia.user_file(&user("alice"), file)
    }

    fn all_of_alice(&self) -> BTreeMap<String, String> {
        let mut found = self.state_of("alice");
        let home = self.home("");
        for (name, what) in &mut found {
            let Some(path) = name.strip_prefix("home/") else { continue };
            let meta = fs::symlink_metadata(home.join(path)).unwrap();
            *what += &format!(" {}:{}", meta.uid(), meta.gid());
            // Hestia writes configuration and its error pages anew at every rebuild.
            let is_hestias = path.starts_with("conf/") || path.contains("/document_errors/");
            if meta.is_file() && !is_hestias {
                *what += &format!(" {}.{}", meta.mtime(), meta.mtime_nsec());
            }
        }
        // Bookkeeping of Hestia's.
        found.retain(|name, _| name != "data/history.log");
        found
    }
}

fn placed(request: RestoreRequest) -> RestoreRequest {
    RestoreRequest { through: Through::Place, ..request }
}

fn differences(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<String> {
    let names = a.keys().chain(b.keys());
    let differs = |name: &&String| a.get(*name) != b.get(*name);
    let mut found: Vec<String> = names
        .filter(differs)
        .map(|name| format!("{name}: {:?} is now {:?}", a.get(name), b.get(name)))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Alice, backed up, as Hestia leaves sites; then much is changed that a restore would undo.
fn changed_since() -> Machine {
    let machine = machine();
    for domain in ["shop.example", "static.example"] {
        assert_eq!(machine.run("v-rebuild-web-domain", &["alice", domain]), 0);
    }
    machine.put("My Files/old.txt", "goes");
    machine.put("drafts/a.txt", "goes with its folder");
    machine.put_conf("alice", "web/static.example/nginx.conf_old", "# goes\n");
    machine.good_backup("alice");
    // Files: changed, removed, new, of another mode, kind and time.
    machine.put(&format!("{PUBLIC}/index.php"), "<?php // edited");
    machine.put(&format!("{PUBLIC}/new/deep/er.php"), "new");
    machine.put(&format!("{PUBLIC}/.user.ini"), "kept by restores");
    fs::remove_file(machine.home(&format!("{PUBLIC}/link"))).unwrap();
    symlink("/etc/passwd", machine.home(&format!("{PUBLIC}/link"))).unwrap();
    fs::remove_dir_all(machine.home(&format!("{PUBLIC}/img"))).unwrap();
    machine.put(&format!("{PUBLIC}/img"), "a file where a folder was");
    let private = machine.home("web/shop.example/private");
    fs::set_permissions(private, fs::Permissions::from_mode(0o700)).unwrap();
    let cache = format!("{PUBLIC}/wp-content/cache/page");
    machine.put(&cache, "what backups leave out");
    let twin = machine.home(&format!("{PUBLIC}/twin.php"));
    fs::set_permissions(twin, fs::Permissions::from_mode(0o640)).unwrap();
    machine.put(".bashrc", "alias x=y\n");
    fs::remove_file(machine.home("My Files/old.txt")).unwrap();
    fs::remove_dir_all(machine.home("drafts")).unwrap();
    // Mails: one read since, one deleted, one new.
    let mail = machine.home(MAILS).join("cur/1767203600.M2001P1.host:2,S");
    fs::rename(&mail, mail.with_file_name("1767203600.M2001P1.host:2,RS")).unwrap();
    machine.put(&format!("{MAILS}/new/1767203999.M1P1.host"), "Subject: newer\n");
    // Rows, zones, jobs, databases.
    let zone = "ID='1' RECORD='@' TYPE='A' VALUE='192.0.2.7' SUSPENDED='no'\n";
    fs::write(machine.rows("dns/shop.example.conf"), zone).unwrap();
    fs::write(
        machine.rows("cron.conf"),
        "JOB='7' MIN='1' HOUR='2' DAY='*' MONTH='*' WDAY='*' CMD='own' SUSPENDED='no'\n",
    )
    .unwrap();
    let accounts = "ACCOUNT='info' ALIAS='boss' QUOTA='9' SUSPENDED='no'\n";
    fs::write(machine.rows("mail/shop.example.conf"), accounts).unwrap();
    fs::write(machine.path("mysql/alice_wp.sql"), double::dump("mysql", 5)).unwrap();
    fs::write(machine.path("pgsql/alice_geo.sql"), double::dump("pgsql", 4)).unwrap();
    // What is gone altogether, and what is new altogether.
    assert_eq!(machine.run("v-delete-web-domain", &["alice", "static.example"]), 0);
    assert_eq!(machine.run("v-delete-database", &["alice", "alice_shop"]), 0);
    machine.add_web("alice", "newer.example");
    assert_eq!(machine.run("v-rebuild-web-domain", &["alice", "newer.example"]), 0);
    machine
}

#[test]
fn an_undo_after_a_restore_of_everything_gives_exactly_the_state_before() {
    for through in [Through::Place, Through::Tarball] {
        let machine = changed_since();
        let before = machine.all_of_alice();
        let report = machine.restored(RestoreRequest { through, ..all() });
        let restored = machine.all_of_alice();
        assert!(differences(&before, &restored).len() > 20, "{restored:#?}");
        let safety = report.safety.unwrap();
        assert_eq!(
            safety.undo_command(),
            format!("v-ghostsnap-undo-restore alice {}", safety.snapshot.name)
        );
        let undone = machine.undo("latest");
        assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new());
        // And the undo itself can be undone.
        machine.undo(&undone.safety.unwrap().snapshot.name);
        let mut again = differences(&restored, &machine.all_of_alice());
        // A row that is made again is ours, where the first was the double's copy.
        again.retain(|one| !one.starts_with("data/web.conf:"));
        assert_eq!(again, Vec::<String>::new(), "{through:?}");
    }
}

#[test]
fn every_single_object_goes_back_alone() {
    for (number, sections) in [
        ["shop.example", "no", "no", "no", "no", "no"],
        ["static.example", "no", "no", "no", "no", "no"],
        ["no", "*", "no", "no", "no", "no"],
        ["no", "no", "*", "no", "no", "no"],
        ["no", "no", "no", "alice_wp", "no", "no"],
        ["no", "no", "no", "alice_shop", "no", "no"],
        ["no", "no", "no", "no", "*", "no"],
        ["no", "no", "no", "no", "no", "My Files,.bashrc,drafts"],
    ]
    .into_iter()
    .enumerate()
    {
        let machine = changed_since();
        let before = machine.all_of_alice();
        machine.restored(placed(only(sections)));
        assert_ne!(machine.all_of_alice(), before, "{number}");
        machine.undo("latest");
        assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new(), "{number}");
    }
}

#[test]
fn what_was_made_or_touched_since_the_restore_stays() {
    let machine = changed_since();
    machine.restored(placed(only(["shop.example", "no", "*", "no", "*", "My Files,drafts"])));
    machine.put(&format!("{PUBLIC}/after.php"), "made since");
    machine.put("My Files/old.txt", "restored, then edited");
    machine.put("drafts/mine.txt", "made since");
    machine.put(&format!("{MAILS}/new/1767209999.M9P9.host"), "Subject: came since\n");
    let row = "JOB='8' MIN='5' HOUR='5' DAY='*' MONTH='*' WDAY='*' CMD='since' SUSPENDED='no'";
    machine.add_row("alice", "cron.conf", row);
    let report = machine.undo("latest");
    assert!(report.newer >= 4, "{report:?}");
    assert_eq!(machine.text(&format!("{PUBLIC}/after.php")).as_deref(), Some("made since"));
    assert_eq!(machine.text(&format!("{PUBLIC}/new/deep/er.php")).as_deref(), Some("new"));
    assert_eq!(machine.text("My Files/old.txt").as_deref(), Some("restored, then edited"));
    assert_eq!(machine.text("drafts/mine.txt").as_deref(), Some("made since"));
    assert_eq!(machine.text("drafts/a.txt"), None);
    assert!(machine.home(&format!("{MAILS}/new/1767209999.M9P9.host")).exists());
}

#[test]
fn mails_that_the_restore_brought_go_even_if_they_were_read_since() {
    let machine = machine();
    machine.put(&format!("{MAILS}/new/17.M17P1.host"), "Subject: brought\n");
    machine.put(&format!("{MAILS}/.Sent/cur/18.M18P1.host:2,S"), "Subject: sent\n");
    machine.good_backup("alice");
    let (brought, own) = ("new/17.M17P1.host", "cur/1767203600.M2001P1.host:2,S");
    let mails = machine.home(MAILS);
    fs::remove_file(mails.join(brought)).unwrap();
    fs::remove_dir_all(mails.join(".Sent")).unwrap();
    machine.restored(placed(only(["no", "no", "*", "no", "no", "no"])));
    assert!(mails.join(brought).exists() && mails.join(".Sent/cur").exists());
    // The customer reads one that came back and one that was always there.
    fs::rename(mails.join(brought), mails.join("cur/17.M17P1.host:2,S")).unwrap();
    fs::rename(mails.join(own), mails.join("cur/1767203600.M2001P1.host:2,FS")).unwrap();
    machine.undo("latest");
    let names = |folder: &str| {
        let entries = fs::read_dir(mails.join(folder)).unwrap();
        entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names("cur"), ["1767203600.M2001P1.host:2,FS"]);
    assert!(!mails.join(".Sent").exists());
}

#[test]
fn an_exact_restore_of_mails_goes_back_with_every_flag() {
    let machine = machine();
    machine.good_backup("alice");
    let cur = machine.home(MAILS).join("cur");
    let (old, new) = ("1767203600.M2001P1.host:2,S", "1767203600.M2001P1.host:2,RS");
    fs::rename(cur.join(old), cur.join(new)).unwrap();
    let before = machine.all_of_alice();
    let request = MailRequest {
        snapshot: "latest".into(),
        address: "info@shop.example".into(),
        exact: true,
        ..MailRequest::default()
    };
    let repository = machine.repository();
    let (server, monitor) = (&machine.server, &machine.monitor);
    mailbox::restore_mail_account(server, &repository, &user("alice"), &request, monitor).unwrap();
    assert!(cur.join(old).exists() && !cur.join(new).exists());
    machine.undo("latest");
    assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new());
}

fn restore_file(machine: &Machine, path: &str, target: Option<&str>, exact: bool) {
    let mut request = FileRequest {
        snapshot: "latest".into(),
        path: path.into(),
        target: target.map(Into::into),
        ..FileRequest::default()
    };
    request.options.exact = exact;
    let repository = machine.repository();
    let (server, monitor) = (&machine.server, &machine.monitor);
    let done = files::restore_file(server, &repository, &user("alice"), &request, monitor);
    let done = done.unwrap();
    assert!(done.safety.is_some() && done.report.warnings == 0);
}

#[test]
fn files_and_folders_go_back_wherever_they_were_put() {
    for (path, target, exact) in [
        (format!("{PUBLIC}/index.php"), None, false),
        (PUBLIC.to_owned(), None, false),
        (format!("{PUBLIC}/img"), Some("My Files/pictures/of/site".to_owned()), false),
        ("My Files/old.txt".to_owned(), Some("web/shop.example/private/x.txt".to_owned()), false),
        ("My Files".to_owned(), None, true),
        ("drafts".to_owned(), None, true),
        (".bashrc".to_owned(), None, false),
    ] {
        let machine = changed_since();
        // A folder of the customer's that a restore finds is none that it made.
        fs::create_dir_all(machine.home("web/shop.example/private/own")).unwrap();
        if path == PUBLIC {
            // Another kind of thing is in the way of a merge.
            fs::remove_file(machine.home(&format!("{PUBLIC}/img"))).unwrap();
        }
        let before = machine.all_of_alice();
        restore_file(&machine, &path, target.as_deref(), exact);
        assert_ne!(machine.all_of_alice(), before, "{path}");
        machine.undo("latest");
        assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn an_account_that_a_restore_made_again_goes_again() {
    let machine = machine();
    machine.good_backup("alice");
    assert_eq!(machine.run("v-delete-mail-account", &["alice", "shop.example", "info"]), 0);
    let before = machine.all_of_alice();
    let request = MailRequest {
        snapshot: "latest".into(),
        address: "info@shop.example".into(),
        ..MailRequest::default()
    };
    let repository = machine.repository();
    let (server, monitor) = (&machine.server, &machine.monitor);
    let done =
        mailbox::restore_mail_account(server, &repository, &user("alice"), &request, monitor);
    assert!(done.unwrap().made && machine.home(MAILS).exists());
    machine.undo("latest");
    assert!(machine.history().contains("delete alice mail/shop.example.conf info\n"));
    assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new());
}

#[test]
fn what_was_saved_before_a_restore_is_no_backup() {
    let machine = changed_since();
    let newest = machine.snapshots().pop().unwrap().0;
    machine.restored(placed(all()));
    let safety = machine.snapshots().pop().unwrap().1;
    assert!(safety.is_safety() && safety.parent == Some(newest));
    let list = jobs::list(&machine.repository(), Some(&user("alice")), &machine.monitor).unwrap();
    assert_eq!(list.len(), 1);
    // Neither the latest, nor found as a backup, nor the parent of the next one.
    let named = RestoreRequest { snapshot: safety.name.clone(), ..placed(all()) };
    assert_eq!(machine.restore("alice", named).unwrap_err().kind(), Kind::NotFound);
    let (_, backup) = machine.good_backup("alice");
    assert_eq!(backup.parent, Some(newest));
}

#[test]
fn what_cannot_be_saved_is_not_overwritten_and_everything_else_is() {
    let machine = changed_since();
    machine.fault("dump-breaks-alice_wp");
    let broken = fs::read(machine.path("mysql/alice_wp.sql")).unwrap();
    let report = machine.restore("alice", placed(all())).unwrap();
    let problems: Vec<String> =
        report.problems().map(|(object, why)| format!("{}: {why}", object.name)).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let said = ["alice_wp: ", "could not be saved", "Lost connection", "--no-safety"];
    assert!(said.iter().all(|part| problems[0].contains(part)), "{problems:?}");
    assert_eq!(fs::read(machine.path("mysql/alice_wp.sql")).unwrap(), broken);
    assert!(machine.text(&format!("{PUBLIC}/index.php")).unwrap().contains("echo"));
    // Asked for alone it is an error, and nothing remains of the try.
    let (count, one) =
        (machine.snapshots().len(), only(["no", "no", "no", "alice_wp", "no", "no"]));
    let error = machine.restore("alice", placed(one.clone())).unwrap_err();
    assert!(error.one_line().contains("could not be saved"), "{error:?}");
    assert_eq!(machine.snapshots().len(), count);
    let report = machine.restored(RestoreRequest { no_safety: true, ..placed(one) });
    assert!(report.safety.is_none());
    assert_ne!(fs::read(machine.path("mysql/alice_wp.sql")).unwrap(), broken);
}

#[test]
fn a_site_whose_restore_fails_is_as_it_was_and_the_others_are_restored() {
    let machine = changed_since();
    let before = machine.all_of_alice();
    // Hestia rebuilds once more after the content is in place, and that fails.
    machine.fault("rebuild-fails-late-shop.example");
    let report =
        machine.restore("alice", placed(only(["*", "no", "no", "no", "no", "no"]))).unwrap();
    let problems: Vec<String> =
        report.problems().map(|(object, why)| format!("{}: {why}", object.name)).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("shop.example: not restored: cannot run"), "{problems:?}");
    assert!(problems[0].ends_with("it is as it was"), "{problems:?}");
    let after = machine.all_of_alice();
    let touched: Vec<String> = differences(&before, &after)
        .into_iter()
        .filter(|one| one.contains("shop.example"))
        .collect();
    assert_eq!(touched, Vec::<String>::new());
    assert!(after.contains_key("home/web/static.example/public_html/index.php"));
}

/// A machine whose homes lie on a small disk; `None` where none can be mounted.
struct SmallDisk {
    machine: Machine,
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.machine.hestia.home).status());
    }
}

fn small_disk() -> Option<SmallDisk> {
    let machine = Machine::empty("gzip");
    let mount = ["-t", "tmpfs", "-o", "size=4m", "none"];
    let mounted = Command::new("mount").args(mount).arg(&machine.hestia.home).status();
    if !nix::unistd::geteuid().is_root() || !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "a small disk cannot be mounted");
        eprintln!("SKIPPED: a small file system cannot be mounted here");
        return None;
    }
    machine.add_user("alice");
    machine.add_web("alice", "shop.example");
    assert_eq!(machine.run("v-rebuild-web-domain", &["alice", "shop.example"]), 0);
    let names: Vec<String> = (0..160).map(|number| format!("{number:03}")).collect();
    for name in &names {
        fs::write(machine.home(PUBLIC).join(name), double::noise(name, 15_000)).unwrap();
    }
    machine.good_backup("alice");
    // Half of what is restored has room.
    for name in &names {
        machine.put(&format!("{PUBLIC}/{name}"), &format!("small {name}"));
    }
    fs::write(machine.home("My Files/full"), double::noise("full", 2_300_000)).unwrap();
    Some(SmallDisk { machine })
}

#[test]
fn a_disk_that_fills_up_in_the_middle_leaves_everything_as_it_was() {
    let Some(disk) = small_disk() else { return };
    let machine = &disk.machine;
    let before = machine.all_of_alice();
    let request =
        FileRequest { snapshot: "latest".into(), path: PUBLIC.into(), ..FileRequest::default() };
    let (repository, monitor) = (machine.repository(), &machine.monitor);
    let alice = user("alice");
    let error = files::restore_file(&machine.server, &repository, &alice, &request, monitor);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Disk);
    assert!(error.hint_text().unwrap().starts_with("it is as it was"), "{error:?}");
    assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new());
    // There is nothing to undo.
    assert_eq!(machine.try_undo("latest").unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn an_undo_for_which_there_is_no_room_can_be_tried_again() {
    let Some(disk) = small_disk() else { return };
    let machine = &disk.machine;
    let (path, full) = (format!("{PUBLIC}/000"), machine.home("My Files/full"));
    fs::remove_file(&full).unwrap();
    fs::write(machine.home(&path), double::noise("large", 900_000)).unwrap();
    let before = machine.all_of_alice();
    restore_file(machine, &path, None, false);
    let restored = machine.all_of_alice();
    assert_ne!(before, restored);
    // As much as there is room for.
    let filled = fs::write(&full, double::noise("full", 4_000_000));
    assert!(filled.is_err());
    let report = machine.try_undo("latest");
    assert!(report.map_or(true, |report| report.kind().is_some()));
    fs::remove_file(&full).unwrap();
    assert_eq!(differences(&restored, &machine.all_of_alice()), Vec::<String>::new());
    machine.undo("latest");
    assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new());
}

#[test]
fn a_process_that_dies_at_its_work_is_followed_by_the_way_back() {
    let mut machine = changed_since();
    let before = machine.all_of_alice();
    let program = std::mem::replace(&mut machine.server.settings.program, "/bin/false".into());
    let request =
        FileRequest { snapshot: "latest".into(), path: PUBLIC.into(), ..FileRequest::default() };
    let (repository, alice) = (machine.repository(), user("alice"));
    let done =
        files::restore_file(&machine.server, &repository, &alice, &request, &machine.monitor);
    let hint = done.unwrap_err().hint_text().unwrap_or_default().to_owned();
    assert!(hint.contains("putting it back failed too"), "{hint}");
    assert!(hint.contains("v-ghostsnap-undo-restore alice safety-alice-"), "{hint}");
    machine.server.settings.program = program;
    machine.undo("latest");
    assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new());
}

#[test]
fn a_site_with_something_that_no_backup_can_hold_is_not_overwritten() {
    let machine = changed_since();
    let device = machine.home(&format!("{PUBLIC}/device"));
    let made = Command::new("mknod").arg(&device).args(["c", "1", "3"]).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no device can be made here");
        return;
    }
    let before = machine.text(&format!("{PUBLIC}/index.php"));
    // The restore would remove it, and nothing could bring it back.
    let report =
        machine.restore("alice", placed(only(["*", "no", "no", "no", "no", "no"]))).unwrap();
    let problems: Vec<String> =
        report.problems().map(|(object, why)| format!("{}: {why}", object.name)).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("shop.example") && problems[0].contains("device"), "{problems:?}");
    assert_eq!(machine.text(&format!("{PUBLIC}/index.php")), before);
    assert!(machine.text("web/static.example/public_html/index.php").is_some());
    // Where it stays as it is, it is in nobody's way.
    fs::rename(&device, machine.home("web/shop.example/private/device")).unwrap();
    machine.restored(placed(only(["shop.example", "no", "no", "no", "no", "no"])));
    assert_ne!(machine.text(&format!("{PUBLIC}/index.php")), before);
}

#[test]
fn without_the_snapshot_that_was_restored_nothing_is_removed_and_that_is_said() {
    let machine = changed_since();
    machine.restored(placed(only(["shop.example", "no", "no", "no", "no", "drafts"])));
    let restored = machine.snapshots().remove(0).0;
    machine.repository().remove_snapshot(&restored).unwrap();
    let report = machine.try_undo("latest").unwrap();
    assert_eq!(report.kind(), Some(Kind::Partial));
    assert!(report.warnings.iter().any(|one| one.contains("is gone")), "{report:?}");
    let index = machine.text(&format!("{PUBLIC}/index.php"));
    assert_eq!(index.as_deref(), Some("<?php // edited"));
    assert!(machine.home("drafts/a.txt").exists());
}

#[test]
fn a_site_for_which_there_is_no_room_is_as_it_was() {
    let machine = machine();
    assert_eq!(machine.run("v-rebuild-web-domain", &["alice", "shop.example"]), 0);
    let big = format!("{PUBLIC}/big.bin");
    machine.put(&big, &"x".repeat(3_000_000));
    machine.good_backup("alice");
    fs::remove_file(machine.home(&big)).unwrap();
    let home = machine.home("");
    let aside = home.parent().unwrap().join("aside");
    fs::rename(&home, &aside).unwrap();
    fs::create_dir(&home).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(&home).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a small file system cannot be mounted here");
        return;
    }
    let copied = Command::new("cp").arg("-a").arg(aside.join(".")).arg(&home).status();
    assert!(copied.unwrap().success());
    machine.put(&format!("{PUBLIC}/index.php"), "<?php // edited");
    machine.put(&format!("{PUBLIC}/new.php"), "new");
    let before = machine.all_of_alice();
    let request = placed(only(["shop.example", "no", "no", "no", "no", "no"]));
    let report = machine.restore("alice", RestoreRequest { force: true, ..request }).unwrap();
    let why = report.problems().next().unwrap().1.to_owned();
    let request =
        FileRequest { snapshot: "latest".into(), path: PUBLIC.into(), ..FileRequest::default() };
    let after = machine.all_of_alice();
    let one = files::restore_file(
        &machine.server,
        &machine.repository(),
        &user("alice"),
        &request,
        &machine.monitor,
    );
    let after_one = machine.all_of_alice();
    assert!(Command::new("umount").arg(&home).status().unwrap().success());
    assert!(
        why.contains("no room for 1 of its files") && why.ends_with("it is as it was"),
        "{why}"
    );
    assert_eq!(differences(&before, &after), Vec::<String>::new());
    let error = one.unwrap_err();
    assert_eq!(error.kind(), Kind::Disk, "{error}");
    assert!(error.hint_text().unwrap().contains("it is as it was"), "{error}");
    assert_eq!(differences(&before, &after_one), Vec::<String>::new());
}

#[test]
fn a_put_back_that_fails_too_names_the_command_that_tries_it_again() {
    let machine = changed_since();
    let before = machine.all_of_alice();
    machine.fault("rebuild-fails-shop.example");
    let request = placed(only(["shop.example", "no", "no", "no", "no", "no"]));
    let report = machine.restore("alice", request).unwrap();
    let (_, why) = report.problems().next().unwrap();
    let command = report.safety.as_ref().unwrap().undo_command();
    assert!(why.contains("putting it back failed too") && why.contains(&command), "{why}");
    machine.heal();
    machine.undo("latest");
    assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new());
}

#[test]
fn restores_are_listed_by_their_names_and_undone_ones_say_so() {
    let machine = changed_since();
    let list = || {
        let repository = machine.repository();
        jobs::list_restores(&machine.server, &repository, &user("alice"), &machine.monitor).unwrap()
    };
    assert!(list().is_empty());
    assert_eq!(machine.try_undo("latest").unwrap_err().kind(), Kind::NotFound);
    machine.restored(placed(only(["static.example", "no", "no", "no", "no", "no"])));
    let jobs = list();
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].before.command.as_str(), &jobs[0].undone_by), ("restore", &None));
    assert_eq!(jobs[0].before.created, jobs[0].before.objects);
    machine.undo(&jobs[0].id.to_string()[..8]);
    let jobs = list();
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0].undone_by.as_ref(), Some(&jobs[1].snapshot.name));
    // What has come since would be taken away.
    for once_more in ["latest".to_owned(), jobs[0].id.to_string(), jobs[0].snapshot.name.clone()] {
        let error = machine.try_undo(&once_more).unwrap_err();
        assert_eq!(error.kind(), Kind::Exists, "{once_more}");
        assert!(error.hint_text().unwrap().contains(&jobs[1].snapshot.name));
    }
}

#[test]
fn nobody_undoes_what_is_not_his() {
    let machine = changed_since();
    machine.good_backup("bob");
    let of_bob = machine.restore("bob", placed(all())).unwrap().safety.unwrap();
    for job in [of_bob.snapshot.name.clone(), of_bob.id.to_string()] {
        assert_eq!(machine.try_undo(&job).unwrap_err().kind(), Kind::NotFound, "{job}");
    }
    // Nor does somebody who got the name later.
    let of_alice = machine.restored(placed(all())).safety.unwrap();
    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    assert!(machine.try_undo("latest").is_err());
    machine.add_user_made_at("alice", "09:09:09");
    let before = machine.all_of_alice();
    for job in [of_alice.snapshot.name.as_str(), "latest"] {
        assert_eq!(machine.try_undo(job).unwrap_err().kind(), Kind::NotFound, "{job}");
    }
    assert_eq!(machine.all_of_alice(), before);
}

#[test]
fn links_that_are_put_in_the_way_lead_an_undo_nowhere() {
    let machine = changed_since();
    machine.restored(placed(only(["shop.example", "no", "no", "no", "no", "My Files,drafts"])));
    let outside = machine.path("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    // As if the restore had made them: same names, same content.
    for file in ["a.txt", "old.txt", "index.php", "er.php"] {
        fs::write(outside.join(file), "goes").unwrap();
    }
    fs::write(outside.join("a.txt"), "goes with its folder").unwrap();
    let swap = |path: &str, to: &Path| {
        let path = machine.home(path);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        symlink(to, path).unwrap();
    };
    swap("drafts", &outside);
    swap("My Files", &outside);
    swap(PUBLIC, &outside);
    // What it says of it matters less than what it does.
    drop(machine.try_undo("latest"));
    let mut left: Vec<String> = fs::read_dir(&outside)
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["a.txt", "deep", "er.php", "index.php", "old.txt"]);
    assert_eq!(fs::read_to_string(outside.join("index.php")).unwrap(), "goes");
    assert!(fs::read_dir(outside.join("deep")).unwrap().next().is_none());
}

#[test]
fn a_user_made_anew_has_no_undo() {
    let machine = machine();
    machine.good_backup("alice");
    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    let report = machine.restored(placed(all()));
    assert!(report.created && report.safety.is_none());
    assert_eq!(machine.try_undo("latest").unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_dry_run_of_an_undo_says_what_it_would_do_and_does_nothing() {
    let machine = changed_since();
    machine.restored(placed(all()));
    let (before, count) = (machine.all_of_alice(), machine.snapshots().len());
    let request = UndoRequest { job: "latest".into(), dry_run: true, ..UndoRequest::default() };
    let (repository, alice) = (machine.repository(), user("alice"));
    let report =
        jobs::undo(&machine.server, &repository, &alice, &request, &machine.monitor).unwrap();
    assert_eq!((machine.all_of_alice(), machine.snapshots().len()), (before, count));
    let find = |section: &str, name: &str| {
        let found = report
            .objects
            .iter()
            .find(|one| one.object.section == section && one.object.name == name);
        found.unwrap_or_else(|| panic!("{section} {name}: {report:?}"))
    };
    assert!(find("WEB", "static.example").removed && find("DB", "alice_shop").removed);
    let site = find("WEB", "shop.example");
    assert!(!site.removed && site.changes.contains("overwritten"), "{site:?}");
}

#[test]
fn an_entry_of_the_home_with_a_sign_of_a_mail_address_is_saved_like_any_other() {
    let machine = machine();
    machine.put("mail@old/doc", "v1");
    machine.good_backup("alice");
    machine.put("mail@old/doc", "v2");
    machine.restored(placed(only(["no", "no", "no", "no", "no", "mail@old"])));
    assert_eq!(machine.text("mail@old/doc").unwrap(), "v1");
    machine.undo("latest");
    assert_eq!(machine.text("mail@old/doc").unwrap(), "v2");
}

/// What an undo would delete with the object must not have been there before the restore.
#[test]
fn files_of_a_site_or_mail_domain_that_hestia_lost_stay_as_they_are() {
    let machine = machine();
    machine.good_backup("alice");
    let upload = format!("{PUBLIC}/upload.jpg");
    machine.put(&upload, "of today");
    machine.put(&format!("{PUBLIC}/index.php"), "of today");
    for (file, domain) in [("web.conf", "shop.example"), ("mail.conf", "shop.example")] {
        let rows = fs::read_to_string(machine.rows(file)).unwrap();
        let left = rows.lines().filter(|row| !row.contains(&format!("DOMAIN='{domain}'")));
        let left: String = left.map(|row| format!("{row}\n")).collect();
        assert_ne!(left, rows);
        fs::write(machine.rows(file), left).unwrap();
    }
    let report = machine.restore("alice", placed(all())).unwrap();
    let problems: Vec<String> =
        report.problems().map(|(object, why)| format!("{} {why}", object.section)).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    for (section, folder) in [("WEB", "web/shop.example"), ("MAIL", "mail/shop.example")] {
        let said = [section, "files are in", folder, "Hestia does not have it", "--no-safety"];
        let is_it = |text: &String| said.iter().all(|part| text.contains(part));
        assert!(problems.iter().any(is_it), "{problems:?}");
    }
    machine.undo("latest");
    assert_eq!(machine.text(&upload).unwrap(), "of today");
    assert_eq!(machine.text(&format!("{PUBLIC}/index.php")).unwrap(), "of today");
    assert!(machine.home(MAILS).join("cur").exists());
    // An empty folder is in nobody's way, and neither is one that was moved away.
    fs::rename(machine.home("web/shop.example"), machine.home("web-of-today")).unwrap();
    fs::create_dir(machine.home("web/shop.example")).unwrap();
    machine.restored(placed(only(["shop.example", "no", "no", "no", "no", "no"])));
    assert!(machine.text(&format!("{PUBLIC}/index.php")).unwrap().contains("echo"));
}

#[test]
fn entries_of_the_home_that_look_the_same_come_back_both_and_go_both() {
    let machine = machine();
    machine.put("a\nb/doc", "with a line break");
    machine.put("a\\u{a}b/doc", "with the words of one");
    let request = BackupRequest { mode: Some(BackupMode::Direct), ..BackupRequest::default() };
    assert_eq!(machine.backup_with("alice", request).state.word(), "succeeded");
    for name in ["a\nb", "a\\u{a}b"] {
        fs::remove_dir_all(machine.home(name)).unwrap();
    }
    let before = machine.all_of_alice();
    let home = || only(["no", "no", "no", "no", "no", "*"]);
    machine.restored(placed(home()));
    assert_eq!(machine.text("a\nb/doc").unwrap(), "with a line break");
    assert_eq!(machine.text("a\\u{a}b/doc").unwrap(), "with the words of one");
    machine.undo("latest");
    assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new());
    // What is there under such a name cannot be saved, and stays.
    machine.put("a\nb/doc", "of today");
    let report = machine.restore("alice", placed(home())).unwrap();
    assert_eq!(report.problems().count(), 1, "{report:?}");
    assert_eq!(machine.text("a\nb/doc").unwrap(), "of today");
}

#[test]
fn what_was_mounted_since_in_place_of_a_link_is_not_emptied() {
    let machine = machine();
    let uploads = machine.home(&format!("{PUBLIC}/uploads"));
    symlink("/srv/media", &uploads).unwrap();
    machine.good_backup("alice");
    fs::remove_file(&uploads).unwrap();
    fs::create_dir(&uploads).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=1m", "none"];
    let mounted = Command::new("mount").args(mount).arg(&uploads).status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "nothing can be mounted");
        eprintln!("SKIPPED: nothing can be mounted here");
        return;
    }
    fs::write(uploads.join("picture"), "of today").unwrap();
    let sites = only(["shop.example", "no", "no", "no", "no", "no"]);
    let said = match machine.restore("alice", placed(sites)) {
        Ok(report) => report.problems().map(|(_, why)| why.to_owned()).collect::<String>(),
        Err(error) => error.one_line(),
    };
    let left = fs::read_to_string(uploads.join("picture"));
    drop(Command::new("umount").arg("-l").arg(&uploads).status());
    assert_eq!(left.unwrap(), "of today");
    assert!(said.contains("uploads"), "{said}");
}

/// Whoever encrypts mails leaves the part of their names by which servers know them.
#[test]
fn mails_that_are_there_and_damaged_come_back() {
    let machine = machine();
    let cur = machine.home(MAILS).join("cur");
    let (whole, locked) = ("1767203600.M2001P1.host:2,S", "17.M17P1.host:2,S");
    let read_since = "18.M18P1.host:2,";
    machine.put(&format!("{MAILS}/cur/{locked}"), "Subject: locked later\n");
    machine.put(&format!("{MAILS}/cur/{read_since}"), "Subject: read later\n");
    machine.good_backup("alice");
    let text = fs::read_to_string(cur.join(whole)).unwrap();
    fs::write(cur.join(whole), text.replace('e', "\u{1}")).unwrap();
    fs::remove_file(cur.join(locked)).unwrap();
    machine.put(&format!("{MAILS}/cur/{locked}.locked"), "noise of another length");
    fs::rename(cur.join(read_since), cur.join("18.M18P1.host:2,S")).unwrap();
    let before = machine.all_of_alice();
    machine.restored(placed(only(["no", "no", "shop.example", "no", "no", "no"])));
    assert_eq!(fs::read_to_string(cur.join(whole)).unwrap(), text);
    assert_eq!(fs::read_to_string(cur.join(locked)).unwrap(), "Subject: locked later\n");
    assert!(cur.join("18.M18P1.host:2,S").exists() && !cur.join(read_since).exists());
    machine.undo("latest");
    assert_eq!(differences(&before, &machine.all_of_alice()), Vec::<String>::new());
    // One mail that is asked for by its path comes back whatever else is there.
    restore_file(&machine, &format!("{MAILS}/cur/{read_since}"), None, false);
    assert!(cur.join(read_since).exists());
}
