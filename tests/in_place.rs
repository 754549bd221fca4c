// SPDX-License-Identifier: MIT
//! Restores that put content straight to its place, what is looked at before, and what is said of
//! it. Against the double of Hestia in tests/double.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::{Machine, all, machine, only, user};
use ghostsnap::base::Kind;
use ghostsnap::hestia::jobs::{
    self, BackupRequest, ImportRequest, Outlook, RestoreRequest, Through,
};
use ghostsnap::hestia::settings::BackupMode;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

fn placed(request: RestoreRequest) -> RestoreRequest {
    RestoreRequest { through: Through::Place, ..request }
}

fn site(machine: &Machine, path: &str) -> PathBuf {
    machine.hestia.user_home(&user("alice")).join("web").join(path)
}

fn look(machine: &Machine, name: &str, request: &RestoreRequest) -> Outlook {
    let repository = machine.repository();
    jobs::preview(&machine.server, &repository, &user(name), request, &machine.monitor).unwrap()
}

#[test]
fn a_deleted_user_comes_back_and_hestia_was_given_configuration_alone() {
    for mode in ["gzip", "zstd"] {
        let machine = Machine::empty(mode);
        machine.add_alice();
        let before = machine.content_of("alice");
        machine.good_backup("alice");
        assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
        let report = machine.restore("alice", placed(all())).unwrap();
        assert_eq!((report.kind(), report.created), (None, true), "{report:?}");
        assert_eq!(report.objects.len(), 2 + 1 + 1 + 3 + 1 + 3);
        let after = machine.content_of("alice");
        assert_eq!(after, before, "{mode}");
        let tarball = machine.path("last-restored.tar");
        let list = Command::new("tar").arg("-tf").arg(tarball).output().unwrap().stdout;
        let list = String::from_utf8(list).unwrap();
        assert!(list.contains("./mail/shop.example/hestia/"));
        for content in ["domain_data", "accounts.tar", "user_dir", "./web/", "./db/"] {
            assert!(!list.contains(content), "{list}");
        }
        // Nobody but root can get at what Hestia unpacks.
        assert!(machine.history().contains("temporary folder below mode 700\n"));
        assert!(machine.backups().iter().all(|name| name.starts_with("alice.2")));
    }
}

#[test]
fn entries_of_the_home_come_back_whatever_their_names() {
    let machine = machine();
    let home = machine.hestia.user_home(&user("alice"));
    let names: [&[u8]; 5] = [b"new\nline", b"latin1-\xe9", b"back\\slash", b"*?[x]{y}", b"!a,b"];
    let path = |name: &[u8]| home.join(OsStr::from_bytes(name));
    for name in names {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("file"), name).unwrap();
    }
    fs::write(path(b"file-\xff"), "a file").unwrap();
    // Hestia's tarballs cannot hold all of these.
    let request = BackupRequest { mode: Some(BackupMode::Direct), ..BackupRequest::default() };
    let outcome = machine.backup_with("alice", request);
    assert_eq!(outcome.state.word(), "succeeded", "{outcome:?}");
    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    let report = machine.restore("alice", placed(all())).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
    for name in names {
        let found = fs::read(path(name).join("file"));
        assert_eq!(found.ok().as_deref(), Some(name), "{}", name.escape_ascii());
    }
    assert_eq!(fs::read(path(b"file-\xff")).unwrap(), b"a file");
}

#[test]
fn accounts_that_answer_by_themselves_have_something_to_say_again() {
    let machine = machine();
    let alice = user("alice");
    let rows = "ACCOUNT='info' AUTOREPLY='yes' SUSPENDED='no'\n\
                ACCOUNT='sales' AUTOREPLY='' SUSPENDED='no'\n";
    fs::write(machine.hestia.user_file(&alice, "mail/shop.example.conf"), rows).unwrap();
    let text = "I'm away \"until\" Monday.\nC:\\temp $HOME\n";
    let message = machine.hestia.user_file(&alice, "mail/info@shop.example.msg");
    fs::write(&message, text).unwrap();
    let request = BackupRequest { mode: Some(BackupMode::Direct), ..BackupRequest::default() };
    let outcome = machine.backup_with("alice", request);
    assert_eq!(outcome.state.word(), "succeeded", "{outcome:?}");
    fs::remove_file(&message).unwrap();
    let mail = placed(only(["no", "no", "shop.example", "no", "no", "no"]));
    let report = machine.restore("alice", mail.clone()).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
    assert_eq!(fs::read_to_string(&message).unwrap(), text);
    // Another text of today is what the undo brings back.
    fs::write(&message, "back on Tuesday\n").unwrap();
    let report = machine.restore("alice", mail).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
    assert_eq!(fs::read_to_string(&message).unwrap(), text);
    let undo = jobs::UndoRequest { job: "latest".into(), ..Default::default() };
    jobs::undo(&machine.server, &machine.repository(), &alice, &undo, &machine.monitor).unwrap();
    assert_eq!(fs::read_to_string(&message).unwrap(), "back on Tuesday\n");
    assert!(!machine.hestia.user_file(&alice, "mail/sales@shop.example.msg").exists());
}

#[test]
fn what_is_right_is_not_touched_and_what_is_surplus_goes_where_hestia_removes_it() {
    let machine = machine();
    machine.good_backup("alice");
    let put = |path: &str, text: &str| fs::write(site(&machine, path), text).unwrap();
    put("shop.example/public_html/index.php", "defaced");
    put("shop.example/public_html/surplus.php", "shell");
    put("shop.example/public_html/img/surplus.php", "shell");
    put("shop.example/public_html/.user.ini", "own");
    put("shop.example/private/surplus", "own");
    put("static.example/public_html/index.php", "left alone");
    let image = || site(&machine, "shop.example/public_html/img/a.jpg").metadata().unwrap().ino();
    let before = image();
    let request = placed(only(["shop.example", "no", "no", "no", "no", "no"]));
    let outlook = look(&machine, "alice", &request);
    let named: Vec<String> = outlook.plans[0]
        .paths
        .iter()
        .map(|(action, path)| format!("{} {path}", action.word()))
        .collect();
    assert!(named.contains(&"overwrite public_html/index.php".to_owned()), "{named:?}");
    let removed: Vec<&String> = named.iter().filter(|one| one.starts_with("remove")).collect();
    assert_eq!(removed, ["remove public_html/img/surplus.php", "remove public_html/surplus.php"]);
    assert!(site(&machine, "shop.example/public_html/surplus.php").exists());

    let report = machine.restore("alice", request).unwrap();
    assert_eq!((report.kind(), report.objects.len()), (None, 1), "{report:?}");
    let text = |path: &str| fs::read_to_string(site(&machine, path)).ok();
    assert_eq!(
        text("shop.example/public_html/index.php").as_deref(),
        Some("<?php echo 'shop.example';\n")
    );
    assert_eq!(text("shop.example/public_html/surplus.php"), None);
    assert_eq!(text("shop.example/public_html/img/surplus.php"), None);
    for kept in ["shop.example/public_html/.user.ini", "shop.example/private/surplus"] {
        assert_eq!(text(kept).as_deref(), Some("own"), "{kept}");
    }
    assert_eq!(text("static.example/public_html/index.php").as_deref(), Some("left alone"));
    assert_eq!(image(), before);
    // There was nothing to do for Hestia's own restore, which would have emptied the site first.
    assert!(!machine.was_asked_to_restore());
    assert!(machine.history().contains("rebuild-web alice shop.example\n"));
}

#[test]
fn error_pages_of_a_site_outlive_those_that_hestia_puts_there() {
    let machine = machine();
    fs::create_dir(site(&machine, "shop.example/document_errors")).unwrap();
    let page = site(&machine, "shop.example/document_errors/404.html");
    fs::write(&page, "own page").unwrap();
    machine.good_backup("alice");
    machine.restore("alice", placed(only(["shop.example", "no", "no", "no", "no", "no"]))).unwrap();
    assert_eq!(fs::read_to_string(page).unwrap(), "own page");
}

#[test]
fn one_domain_that_fails_stops_no_other_object() {
    let machine = machine();
    machine.good_backup("alice");
    fs::write(site(&machine, "static.example/public_html/index.php"), "defaced").unwrap();
    machine.fault("rebuild-fails-shop.example");
    let report = machine.restore("alice", placed(all())).unwrap();
    let problems: Vec<String> =
        report.problems().map(|(object, why)| format!("{}: {why}", object.name)).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("shop.example: not restored: cannot run v-rebuild-web-domain"),
        "{problems:?}"
    );
    let text = fs::read_to_string(site(&machine, "static.example/public_html/index.php")).unwrap();
    assert_eq!(text, "<?php echo 'static.example';\n");
}

#[test]
fn a_dry_run_names_everything_and_changes_nothing() {
    let machine = machine();
    machine.good_backup("alice");
    fs::remove_dir_all(machine.hestia.user_home(&user("alice")).join("My Files")).unwrap();
    machine.run("v-log-action", &["alice", "Info", "Backup", "before"]);
    let before = (machine.state_of("alice"), machine.backups());
    let history = machine.history();
    let outlook = look(&machine, "alice", &placed(all()));
    assert_eq!((machine.state_of("alice"), machine.backups()), before);
    assert_eq!(machine.history(), history);
    assert!(!outlook.stops(), "{outlook:?}");
    assert_eq!(outlook.plans.len(), 2 + 1 + 1 + 3 + 1 + 3);
    let plan = |name: &str| outlook.plans.iter().find(|one| one.object.name == name).unwrap();
    let files = plan("My Files");
    assert_eq!((files.exists, files.created, files.overwritten), (false, 1, 0));
    assert_eq!(files.growth, 9);
    assert_eq!((plan("alice_wp").exists, plan("alice_wp").overwritten), (true, 3));
    assert!(plan("shop.example").exists);
    assert_eq!(plan("static.example").created, 0);
}

/// Holes and further names of a file take no room, so they need none.
#[test]
fn a_restore_asks_for_the_room_that_it_takes() {
    let machine = machine();
    let home = |path: &str| machine.hestia.user_home(&user("alice")).join(path);
    fs::create_dir_all(home("core")).unwrap();
    fs::create_dir_all(home("generations")).unwrap();
    let file = fs::File::create(home("core/dump")).unwrap();
    file.set_len(15 << 40).unwrap();
    fs::write(home("generations/0"), "x".repeat(1 << 20)).unwrap();
    for name in 1..50 {
        fs::hard_link(home("generations/0"), home(&format!("generations/{name}"))).unwrap();
    }
    let request = BackupRequest { mode: Some(BackupMode::Direct), ..BackupRequest::default() };
    assert_eq!(machine.backup_with("alice", request).state.word(), "succeeded");
    for name in ["core", "generations"] {
        fs::remove_dir_all(home(name)).unwrap();
    }
    let request = only(["no", "no", "no", "no", "no", "core,generations"]);
    let outlook = look(&machine, "alice", &placed(request.clone()));
    assert!(!outlook.stops(), "{outlook:?}");
    let growth: u64 = outlook.plans.iter().map(|plan| plan.growth).sum();
    assert!((1 << 20..2 << 20).contains(&growth), "{growth}");
    let report = machine.restore("alice", placed(request)).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
    assert_eq!(fs::metadata(home("core/dump")).unwrap().len(), 15 << 40);
    assert_eq!(fs::metadata(home("generations/7")).unwrap().nlink(), 50);
}

#[test]
fn everything_that_stands_in_the_way_is_said_at_once_and_nothing_is_touched() {
    let machine = machine();
    machine.good_backup("alice");
    let conf = fs::read_to_string(machine.hestia.hestia_conf()).unwrap();
    let conf = conf + "ENFORCE_SUBDOMAIN_OWNERSHIP='yes'\nDB_SYSTEM='mysql'\n";
    fs::write(machine.hestia.hestia_conf(), conf).unwrap();
    for file in ["web.conf", "mail.conf"] {
        fs::write(machine.hestia.user_file(&user("alice"), file), "").unwrap();
    }
    machine.add_row("bob", "web.conf", "DOMAIN='static.example' ALIAS=''");
    machine.add_row("bob", "web.conf", "DOMAIN='b.example' ALIAS='www.shop.example'");
    let before = machine.state_of("alice");
    let error = machine.restore("alice", placed(all())).unwrap_err();
    let words = error.one_line();
    for part in ["static.example", "belongs to another user", "this Hestia has no pgsql"] {
        assert!(words.contains(part), "{words}");
    }
    assert!(!words.contains("bob") && error.to_string().contains("that user is bob"), "{error}");
    assert_eq!(machine.state_of("alice"), before);
    assert!(!machine.was_asked_to_restore());
    let outlook = look(&machine, "alice", &placed(all()));
    assert!(outlook.stops());
    let whys: Vec<&str> = outlook.findings.iter().map(|one| one.why.as_str()).collect();
    assert!(whys.contains(&"the alias www.shop.example is somebody else's: left out"), "{whys:?}");
}

#[test]
fn a_domain_below_one_of_somebody_else_is_not_restored_unasked() {
    let machine = machine();
    machine.good_backup("alice");
    let conf = fs::read_to_string(machine.hestia.hestia_conf()).unwrap();
    let conf = conf + "ENFORCE_SUBDOMAIN_OWNERSHIP='yes'\n";
    fs::write(machine.hestia.hestia_conf(), conf).unwrap();
    machine.add_web("alice", "blog.b.example");
    machine.good_backup("alice");
    let rows = fs::read_to_string(machine.hestia.user_file(&user("alice"), "web.conf")).unwrap();
    let rows: String =
        rows.lines().filter(|row| !row.contains("blog")).map(|row| format!("{row}\n")).collect();
    fs::write(machine.hestia.user_file(&user("alice"), "web.conf"), rows).unwrap();
    let home = machine.hestia.user_home(&user("alice"));
    fs::remove_dir_all(home.join("web/blog.b.example")).unwrap();
    machine.add_row("bob", "web.conf", "DOMAIN='b.example' ALIAS=''");
    let request = || placed(only(["blog.b.example", "no", "no", "no", "no", "no"]));
    let error = machine.restore("alice", request()).unwrap_err();
    assert_eq!(error.kind(), Kind::Exists);
    assert!(error.one_line().contains("lies below b.example"), "{error}");
    let report = machine.restore("alice", RestoreRequest { force: true, ..request() }).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
}

#[test]
fn additions_to_server_configuration_from_a_foreign_tarball_stay_behind_unless_trusted() {
    let machine = machine();
    let conf = machine.hestia.user_home(&user("alice")).join("conf/web/shop.example");
    fs::create_dir_all(&conf).unwrap();
    fs::write(conf.join("nginx.conf_own"), "load_module /home/alice/x.so;").unwrap();
    fs::write(conf.join("nginx.conf"), "made by Hestia").unwrap();
    assert_eq!(machine.run("v-backup-user", &["alice"]), 0);
    let tarball = machine.backups().pop().unwrap();
    let path = machine.hestia.in_backup(&tarball);
    let mut repository = machine.repository();
    let request = ImportRequest::default();
    jobs::import(&machine.server, &mut repository, &path, &request, &machine.monitor).unwrap();
    assert_eq!(machine.snapshots()[0].1.source, "imported");
    for through in [Through::Place, Through::Tarball] {
        fs::remove_file(conf.join("nginx.conf_own")).ok();
        let web = only(["shop.example", "no", "no", "no", "no", "no"]);
        let request = RestoreRequest { through, ..web.clone() };
        let report = machine.restore("alice", request).unwrap();
        assert_eq!(report.warnings.len(), 1, "{report:?}");
        assert!(report.warnings[0].contains("shop.example: nginx.conf_own"), "{report:?}");
        assert!(!conf.join("nginx.conf_own").exists());
    }
    let web = only(["shop.example", "no", "no", "no", "no", "no"]);
    let request = RestoreRequest { trust_config: true, ..placed(web) };
    let report = machine.restore("alice", request).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
    let text = fs::read_to_string(conf.join("nginx.conf_own")).unwrap();
    assert_eq!(text, "load_module /home/alice/x.so;");
}

fn database(machine: &Machine, path: &str) -> Option<String> {
    fs::read_to_string(machine.path(path)).ok()
}

/// Temporary databases that are left.
fn left_over(machine: &Machine) -> Vec<String> {
    let names = ["mysql", "pgsql"].into_iter().flat_map(|kind| {
        let entries = fs::read_dir(machine.path(kind)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
    });
    names.filter(|name| name.starts_with("ghostsnap")).collect()
}

#[test]
fn a_database_that_fails_stays_as_it_was_and_stops_no_other() {
    let machine = machine();
    machine.good_backup("alice");
    let later = "CREATE TABLE `later` (\n);\n-- Dump completed\n";
    for path in ["mysql/alice_wp.sql", "mysql/alice_shop.sql"] {
        fs::write(machine.path(path), later).unwrap();
    }
    fs::write(machine.path("pgsql/alice_geo.sql"), double::dump("pgsql", 1)).unwrap();
    // The import of the one dump that has this table breaks off.
    fs::write(machine.path("faults/import-fails-t2"), "t2").unwrap();
    let report = machine.restore("alice", placed(all())).unwrap();
    let problems: Vec<String> =
        report.problems().map(|(object, why)| format!("{}: {why}", object.name)).collect();
    assert!(problems[0].ends_with("it is as it was"), "{problems:?}");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("alice_wp: not restored: cannot restore the database alice_wp")
    );
    assert!(problems[0].contains("You have an error in your SQL syntax"), "{problems:?}");
    assert_eq!(report.kind(), Some(Kind::Partial));
    let has = |path: &str| database(&machine, path).unwrap();
    assert_eq!(has("mysql/alice_wp.sql"), later);
    assert_eq!(has("mysql/alice_shop.sql"), double::dump("mysql", 1));
    assert_eq!(has("pgsql/alice_geo.sql"), double::dump("pgsql", 2));
    assert_eq!(left_over(&machine), [""; 0]);
    // Hestia's restore, which drops databases first, was not asked for any of them.
    assert!(machine.history().contains(".tar no * * no * no no\n"), "{}", machine.history());
    assert!(!machine.history().contains("drop "));
}

#[test]
fn a_database_that_hestia_does_not_list_gets_its_row_and_its_account() {
    let machine = machine();
    machine.good_backup("alice");
    let rows = fs::read_to_string(machine.hestia.user_file(&user("alice"), "db.conf")).unwrap();
    fs::write(machine.hestia.user_file(&user("alice"), "db.conf"), "").unwrap();
    for path in ["mysql/alice_wp.sql", "mysql/alice_shop.sql", "pgsql/alice_geo.sql"] {
        fs::remove_file(machine.path(path)).unwrap();
    }
    fs::write(machine.path("faults/import-fails-t2"), "t2").unwrap();
    let request = placed(only(["no", "no", "no", "", "no", "no"]));
    let report = machine.restore("alice", request.clone()).unwrap();
    assert_eq!(report.problems().count(), 1, "{report:?}");
    let listed =
        || fs::read_to_string(machine.hestia.user_file(&user("alice"), "db.conf")).unwrap();
    assert!(!listed().contains("alice_wp"), "{}", listed());
    assert_eq!(database(&machine, "mysql/alice_wp.sql"), None);
    machine.heal();
    let report = machine.restore("alice", request).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
    let names = |text: &str| {
        let keys = |row: &str| row.split(" U_DISK").next().unwrap().to_owned();
        let mut rows: Vec<String> = text.lines().map(keys).collect();
        rows.sort();
        rows
    };
    assert_eq!(names(&listed()), names(&rows));
    let history = machine.history();
    for name in ["alice_wp", "alice_shop"] {
        assert_eq!(history.matches(&format!("rebuild-database alice {name}\n")).count(), 1);
    }
    // Of PostgreSQL, Hestia would take a password away that it does not know.
    assert!(!history.contains("rebuild-database alice alice_geo"));
    assert!(!machine.was_asked_to_restore());
}

#[test]
fn an_account_whose_password_nobody_knows_lets_nobody_in() {
    let machine = machine();
    let path = machine.hestia.user_file(&user("alice"), "db.conf");
    let rows = fs::read_to_string(&path).unwrap();
    fs::write(&path, rows.replace("alice_shopu' MD5='*56'", "alice_shopu' MD5=''")).unwrap();
    machine.good_backup("alice");
    fs::write(&path, "").unwrap();
    fs::remove_file(machine.path("mysql/alice_shop.sql")).unwrap();
    let report = machine
        .restore("alice", placed(only(["no", "no", "no", "alice_shop", "no", "no"])))
        .unwrap();
    assert_eq!((report.problems().count(), report.warnings.len()), (0, 1), "{report:?}");
    assert!(report.warnings[0].contains("v-change-database-password alice alice_shop"));
    let rows = fs::read_to_string(&path).unwrap();
    let hash = rows.split("MD5='").nth(1).unwrap().split('\'').next().unwrap();
    assert!(hash.len() == 41 && hash.starts_with('*'), "{rows}");
    assert!(machine.history().contains("rebuild-database alice alice_shop"));
}

#[test]
fn databases_of_another_user_come_under_the_new_users_names_and_the_old_ones_stay() {
    let machine = machine();
    machine.good_backup("alice");
    let before = machine.state_of("alice");
    let migrate = |section: [&str; 6]| {
        let request = RestoreRequest { from: Some(user("alice")), ..placed(only(section)) };
        machine.restore("bob", request)
    };
    let report = migrate(["no", "no", "no", "", "no", "no"]).unwrap();
    assert_eq!(report.kind(), None, "{report:?}");
    let rows = fs::read_to_string(machine.hestia.user_file(&user("bob"), "db.conf")).unwrap();
    for row in [
        "DB='bob_wp' DBUSER='bob_wpu' MD5='*56'",
        "DB='bob_shop' DBUSER='bob_shopu'",
        "DB='bob_geo' DBUSER='bob_geou'",
    ] {
        assert!(rows.contains(row), "{rows}");
    }
    assert_eq!(database(&machine, "mysql/bob_wp.sql").unwrap(), double::dump("mysql", 3));
    assert_eq!(database(&machine, "pgsql/bob_geo.sql").unwrap(), double::dump("pgsql", 2));
    assert_eq!(machine.state_of("alice"), before);
    // What the other user has by now is not replaced.
    let error = migrate(["no", "no", "no", "alice_wp", "no", "no"]).unwrap_err();
    assert_eq!(error.kind(), Kind::Exists);
}

/// What Hestia leaves of the passwords of several FTP accounts gives each the other one's at the
/// next restore, and the last one an empty one.
#[test]
fn ftp_accounts_have_their_own_passwords_again() {
    let machine = machine();
    let alice = user("alice");
    let row = |hashes: &str| {
        format!(
            "DOMAIN='ftp.example' FTP_USER='alice_a:alice_b' FTP_MD5='{hashes}' FTP_PATH='/x:/y'"
        )
    };
    let file = machine.hestia.user_file(&alice, "web.conf");
    let before = fs::read_to_string(&file).unwrap();
    machine.put_conf("alice", "web/ftp.example/nginx.conf", "x");
    let site = machine.hestia.user_home(&alice).join("web/ftp.example/public_html");
    fs::create_dir_all(&site).unwrap();
    let etc = |name: &str| fs::read_to_string(machine.hestia.etc.join(name)).unwrap();
    let accounts = |hashes: [&str; 2]| {
        for (name, hash) in ["alice_a", "alice_b", "alice_root"]
            .into_iter()
            .zip(hashes.into_iter().chain(["$y$root"]))
        {
            let number = if name == "alice_root" { 0 } else { 1005 };
            for (file, line) in [
                ("passwd", format!("{name}:x:{number}:1005::/:/usr/sbin/nologin\n")),
                ("shadow", format!("{name}:{hash}:20779:0:99999:7:::\n")),
            ] {
                let others: String = etc(file)
                    .lines()
                    .filter(|line| !line.starts_with(&format!("{name}:")))
                    .map(|line| format!("{line}\n"))
                    .collect();
                fs::write(machine.hestia.etc.join(file), others + &line).unwrap();
            }
        }
    };
    let forget = || {
        for file in ["passwd", "shadow"] {
            let others: String = etc(file)
                .lines()
                .filter(|line| !line.starts_with("alice_a:") && !line.starts_with("alice_b:"))
                .map(|line| format!("{line}\n"))
                .collect();
            fs::write(machine.hestia.etc.join(file), others).unwrap();
        }
        fs::write(&file, &before).unwrap();
        let site = machine.hestia.user_home(&user("alice")).join("web/ftp.example");
        if site.exists() {
            fs::remove_dir_all(site).unwrap();
        }
    };
    let hash = |name: &str| {
        let shadow = etc("shadow");
        let row = shadow.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
        row.split(':').nth(1).unwrap().to_owned()
    };
    let sites = || placed(only(["ftp.example", "no", "no", "no", "no", "no"]));

    // The list is as Hestia leaves it; the system knows better.
    accounts(["$y$a", "$y$b"]);
    machine.add_row("alice", "web.conf", &row("$y$b"));
    let request = BackupRequest { mode: Some(BackupMode::Direct), ..BackupRequest::default() };
    assert_eq!(machine.backup_with("alice", request).state.word(), "succeeded");
    for through in [Through::Place, Through::Tarball] {
        forget();
        let report = machine.restore("alice", RestoreRequest { through, ..sites() }).unwrap();
        assert_eq!((report.kind(), report.warnings.len()), (None, 0), "{report:?}");
        assert_eq!((hash("alice_a").as_str(), hash("alice_b").as_str()), ("$y$a", "$y$b"));
        assert!(fs::read_to_string(&file).unwrap().contains("FTP_MD5='$y$a:$y$b'"));
    }
    // Accounts that are there keep what they have.
    accounts(["$y$new", "$y$b"]);
    assert_eq!(machine.restore("alice", sites()).unwrap().kind(), None);
    assert_eq!(hash("alice_a"), "$y$new");

    // Where nobody knows a password, nobody gets in; and no name makes another's account ours.
    forget();
    machine.add_row(
        "alice",
        "web.conf",
        "DOMAIN='ftp.example' FTP_USER='alice_a:alice_b:alice_root' FTP_MD5='$y$b' FTP_PATH='/x:/y:/'",
    );
    fs::create_dir_all(machine.hestia.user_home(&user("alice")).join("web/ftp.example")).unwrap();
    let tarball = BackupRequest { mode: Some(BackupMode::Tarball), ..BackupRequest::default() };
    assert_eq!(machine.backup_with("alice", tarball).state.word(), "succeeded");
    forget();
    let report = machine.restore("alice", sites()).unwrap();
    assert_eq!(report.warnings.len(), 2, "{report:?}");
    assert!(report.warnings[0].contains("v-change-web-domain-ftp-password alice ftp.example"));
    assert_eq!((hash("alice_a").as_str(), hash("alice_b").as_str()), ("!", "!"));
    assert_eq!(hash("alice_root"), "$y$root");
}
