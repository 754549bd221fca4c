// SPDX-License-Identifier: MIT
//! Direct backups: a live user reads as the tarball that Hestia makes of it, without one; what is
//! left out is what was asked for; and nothing from outside of the user's own tree gets in.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/flat.rs"]
mod flat;
#[path = "common/hestia.rs"]
mod hestia;

use flat::{Flat, differences, flatten};
use ghostsnap::base::World;
use ghostsnap::format::tree::NodeKind;
use ghostsnap::hestia::direct::{DirectOptions, HestiaDirect};
use ghostsnap::hestia::inventory;
use ghostsnap::hestia::jobs::BackupRequest;
use ghostsnap::hestia::settings::{BackupMode, UserSettings};
use ghostsnap::hestia::tarball_in::HestiaTarball;
use ghostsnap::tree::Source;
use hestia::*;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const DIRECT: Option<BackupMode> = Some(BackupMode::Direct);

fn plain() -> DirectOptions {
    DirectOptions { default_excludes: false, ..DirectOptions::default() }
}

fn source(machine: &Machine, name: &str, options: &DirectOptions) -> HestiaDirect {
    let user = inventory::named(&machine.hestia, name).unwrap();
    HestiaDirect::open(&machine.hestia, &user, options, &machine.monitor).unwrap()
}

fn direct(machine: &Machine, name: &str, options: &DirectOptions) -> BTreeMap<String, Flat> {
    flatten(&mut source(machine, name, options), &machine.monitor)
}

fn tarball(machine: &Machine, name: &str) -> HestiaTarball {
    assert_eq!(machine.run("v-backup-user", &[name]), 0);
    let newest = machine.backups().into_iter().filter(|one| one.starts_with(&format!("{name}.")));
    let file = fs::File::open(machine.hestia.in_backup(&newest.max().unwrap())).unwrap();
    HestiaTarball::open(file, name).unwrap()
}

fn home(machine: &Machine, name: &str, path: &str) -> PathBuf {
    machine.hestia.user_home(&user(name)).join(path)
}

fn put(machine: &Machine, name: &str, path: &str) {
    let path = home(machine, name, path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

/// What is in both sources and is not the same, and what only one of them has.
fn not_same(machine: &Machine, name: &str) -> Vec<String> {
    let mut tarball = tarball(machine, name);
    let mut from_tarball = flatten(&mut tarball, &machine.monitor);
    let mut live = source(machine, name, &plain());
    let mut from_direct = flatten(&mut live, &machine.monitor);
    assert_eq!(tarball.objects(), live.objects());
    if !nix::unistd::geteuid().is_root() {
        // Copies that somebody else makes are not root's.
        for one in from_tarball.values_mut().chain(from_direct.values_mut()) {
            one.owner.clear();
        }
    }
    let mut found = differences(&from_tarball, &from_direct);
    found.retain(|one| !one.starts_with("only in direct: extra"));
    // An archive of mail has no entry for the folder it is made in.
    found.retain(|one| !one.starts_with("mail/shop.example/accounts\n"));
    found
}

#[test]
fn a_live_user_reads_as_the_tarball_that_is_made_of_it() {
    let machine = machine();
    let folder = home(&machine, "alice", "web/shop.example/public_html");
    for name in [&b"new\nline"[..], b"latin1-\xe9", b"-dash", b"back\\slash*?[x]", b"\"'q' $HOME"] {
        fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    fs::write(folder.join("x".repeat(240)), "long").unwrap();
    symlink("/etc/passwd", folder.join("out")).unwrap();
    nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(folder.join("setgid")).unwrap();
    fs::set_permissions(folder.join("setgid"), fs::Permissions::from_mode(0o2775)).unwrap();
    put(&machine, "alice", "web/shop.example/logs/access.log");
    put(&machine, "alice", "backup/of my own.txt");
    symlink("My Files", home(&machine, "alice", "docs")).unwrap();
    // A domain with everything: a certificate, changed configuration, a link of Hestia's own.
    let row = "DOMAIN='ssl.example' IP='127.0.0.1' ALIAS='' TPL='default' SSL='yes' SUSPENDED='no'";
    machine.add_row("alice", "web.conf", row);
    put(&machine, "alice", "web/ssl.example/public_html/index.html");
    for file in ["nginx.conf", "nginx.ssl.conf", "nginx.conf_mine", "ssl/ssl.example.crt"] {
        machine.put_conf("alice", &format!("web/ssl.example/{file}"), file);
    }
    let conf = home(&machine, "alice", "conf/web/ssl.example");
    symlink(conf.join("nginx.conf_mine"), conf.join("nginx.ssl.conf_mine")).unwrap();
    for file in ["ssl/ssl.example.crt", "ssl/ssl.example.key", "history.log"] {
        let path = machine.hestia.user_file(&user("alice"), file);
        fs::write(&path, file).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    }
    assert_eq!(not_same(&machine, "alice"), [""; 0]);
    assert_eq!(not_same(&machine, "bob"), [""; 0]);
    assert_eq!(machine.monitor.warnings(), [""; 0]);
}

#[test]
fn a_direct_backup_restores_like_one_by_tarball_and_needs_no_space_beside() {
    let machine = machine();
    let before = machine.state_of("alice");
    let outcome =
        machine.backup_with("alice", BackupRequest { mode: DIRECT, ..Default::default() });
    assert_eq!(outcome.state.word(), "succeeded", "{outcome:?}");
    assert_eq!((outcome.tarball, machine.backups()), (None, Vec::new()));
    let (_, snapshot) = outcome.snapshot.unwrap();
    assert_eq!(snapshot.source, "direct");
    let lists = |one: &str| snapshot.objects.iter().any(|object| object.name == one);
    assert!(lists("alice_wp") && lists("shop.example") && lists("My Files"));
    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    machine.restore("alice", all()).unwrap();
    assert_eq!(machine.state_of("alice"), before);
    let listing = std::process::Command::new("tar")
        .arg("-tf")
        .arg(machine.path("last-restored.tar"))
        .output()
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    assert!(listing.contains("./web/") && !listing.contains("extra"), "{listing}");
}

#[test]
fn an_unchanged_night_reads_no_file_of_the_home() {
    let machine = machine();
    let request = || BackupRequest { mode: DIRECT, ..Default::default() };
    machine.backup_with("alice", request());
    let read =
        |machine: &Machine| machine.monitor.counts.get(ghostsnap::base::Counter::FilesReused);
    // Files made a moment ago may change again without showing it: the second run reads them.
    World::system().sleep(Duration::from_millis(50));
    machine.backup_with("alice", request());
    let before = read(&machine);
    let (_, snapshot) = machine.backup_with("alice", request()).snapshot.unwrap();
    let home_files = 17;
    assert!(read(&machine) - before >= home_files, "{} reused", read(&machine) - before);
    assert_eq!(snapshot.totals.bytes_new, 0);
    assert_eq!(snapshot.totals.bytes_stored, 0);
}

#[test]
fn both_ways_share_what_they_store() {
    let machine = machine();
    machine.good_backup("alice");
    let outcome =
        machine.backup_with("alice", BackupRequest { mode: DIRECT, ..Default::default() });
    let (_, snapshot) = outcome.snapshot.unwrap();
    // Trees differ by times and inodes; content does not.
    assert!(snapshot.totals.bytes_new < 20_000, "{} new", snapshot.totals.bytes_new);
    assert!(snapshot.parent.is_some());
}

#[test]
fn what_hestias_tarballs_lose_is_kept_apart() {
    let machine = machine();
    let reply = machine.hestia.user_file(&user("alice"), "mail/info@shop.example.msg");
    fs::write(reply, "I am away").unwrap();
    machine.put_conf("alice", "web/shop.example/htpasswd", "secretuser:$apr1$x");
    let packages = machine.hestia.root.join("data/packages");
    fs::create_dir_all(&packages).unwrap();
    fs::write(packages.join("default.pkg"), "WEB_DOMAINS='10'\n").unwrap();
    let keys = machine.hestia.root.join("data/access-keys");
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("KEY1"), "SECRET_ACCESS_KEY='s3cret'\nUSER='alice'\nCOMMENT='c'\n")
        .unwrap();
    fs::write(keys.join("KEY2"), "SECRET_ACCESS_KEY='s3cret'\nUSER='bob'\n").unwrap();
    let row = "DOMAIN='ftp.example' FTP_USER='alice_a:alice_b' FTP_MD5='h1:h2' FTP_PATH='/x:/y'";
    machine.add_row("alice", "web.conf", row);
    machine.put_conf("alice", "web/ftp.example/nginx.conf", "x");
    put(&machine, "alice", "web/ftp.example/public_html/x");
    let outcome =
        machine.backup_with("alice", BackupRequest { mode: DIRECT, ..Default::default() });
    let (_, snapshot) = outcome.snapshot.unwrap();
    let text = |path: &str| machine.text_of(&snapshot, path);
    assert_eq!(text("extra/mail/shop.example/info@shop.example.msg"), "I am away");
    assert_eq!(text("extra/web/shop.example/conf/htpasswd"), "secretuser:$apr1$x");
    assert_eq!(text("extra/package.pkg"), "WEB_DOMAINS='10'\n");
    assert_eq!(text("extra/access-keys.conf"), "ACCESS_KEY_ID='KEY1' USER='alice' COMMENT='c'\n");
    assert_eq!(
        text("extra/ftp.conf"),
        "DOMAIN='ftp.example' FTP_USER='alice_a' FTP_MD5='h1' FTP_PATH='/x'\n\
         DOMAIN='ftp.example' FTP_USER='alice_b' FTP_MD5='h2' FTP_PATH='/y'\n"
    );
}

#[test]
fn exclusions_of_the_user_and_of_the_settings_are_left_out_and_nothing_else() {
    let machine = machine();
    for path in [
        "web/shop.example/cache/a",
        "web/shop.example/public_html/cache/b",
        "web/shop.example/public_html/one.txt",
        "web/static.example/cache/c",
        "mail/shop.example/infodesk/cur/m",
        "keepout/x",
        "part/drop/deep/x",
        "part/dropped/x",
        "nm/node_modules/x",
        ".cache/thumb",
        "web/shop.example/public_html/wp-content/cache/page",
    ] {
        put(&machine, "alice", path);
    }
    let text = "WEB='shop.example:cache:public_html/one.txt'\nMAIL='shop.example:info'\n\
                DNS=''\nDB='alice_shop'\nCRON='*'\nUSER='keepout,part/drop'; touch /tmp/x\n";
    let excludes = machine.hestia.user_file(&user("alice"), "backup-excludes.conf");
    fs::write(&excludes, text).unwrap();
    let found = direct(&machine, "alice", &plain());
    // The last line is no setting: nothing of it holds, and that is told.
    assert!(found.contains_key("user_dir/keepout/x"));
    assert!(machine.monitor.warnings()[0].contains("backup-excludes.conf"));
    fs::write(&excludes, text.replace("; touch /tmp/x", "")).unwrap();
    let options = DirectOptions {
        exclude: vec!["node_modules".into(), "/web/static.example/public_html/img".into()],
        ..DirectOptions::default()
    };
    let found = direct(&machine, "alice", &options);
    let has = |path: &str| found.contains_key(path);
    for left_out in [
        "web/shop.example/data/cache/a",
        "web/shop.example/data/public_html/one.txt",
        "web/shop.example/data/public_html/wp-content/cache/page",
        "web/static.example/data/public_html/img",
        "mail/shop.example/accounts/info",
        "db/alice_shop",
        "cron",
        "user_dir/keepout",
        "user_dir/part/drop/deep",
        "user_dir/nm/node_modules",
        "user_dir/.cache/thumb",
        "user_dir/conf",
        "user_dir/tmp",
    ] {
        assert!(!has(left_out), "{left_out} is there");
    }
    for kept in [
        "web/shop.example/data/cache",
        "web/shop.example/data/public_html/cache/b",
        "web/static.example/data/cache/c",
        "mail/shop.example/accounts/infodesk/cur/m",
        "db/alice_wp/alice_wp.mysql.sql",
        "user_dir/part/drop",
        "user_dir/part/dropped/x",
        "user_dir/.cache",
        "hestia/backup-excludes.conf",
    ] {
        assert!(has(kept), "{kept} is missing");
    }
    assert!(direct(&machine, "alice", &plain()).contains_key("user_dir/.cache/thumb"));
}

#[test]
fn a_dump_that_breaks_off_fails_its_database_and_nothing_else() {
    let machine = machine();
    machine.fault("dump-breaks-alice_wp");
    let request = BackupRequest { mode: DIRECT, ..Default::default() };
    let outcome = machine.backup_with("alice", request.clone());
    assert_eq!(outcome.state.word(), "partial");
    let warnings = outcome.warnings.join("\n");
    assert!(warnings.contains("alice_wp") && warnings.contains("Lost connection"), "{warnings}");
    let (_, snapshot) = outcome.snapshot.unwrap();
    assert!(machine.has(&snapshot, "db/alice_geo/alice_geo.pgsql.sql"));
    assert!(!machine.has(&snapshot, "db/alice_wp/alice_wp.mysql.sql"));
    assert!(machine.has(&snapshot, "db/alice_wp/hestia/db.conf"));
    machine.heal();
    assert_eq!(machine.backup_with("alice", request).state.word(), "succeeded");
}

#[test]
fn what_is_not_there_is_told_and_the_rest_goes_on() {
    let machine = machine();
    fs::remove_dir_all(home(&machine, "alice", "web/static.example")).unwrap();
    fs::remove_dir_all(home(&machine, "alice", "conf/web/static.example")).unwrap();
    fs::remove_dir_all(home(&machine, "alice", "mail/shop.example")).unwrap();
    fs::remove_file(home(&machine, "alice", "conf/dns/shop.example.db")).unwrap();
    machine.add_row("alice", "web.conf", "DOMAIN='../../etc' SSL='yes'");
    machine.add_row("alice", "db.conf", "DB='alice_x' DBUSER='u' HOST='localhost' TYPE='oracle'");
    let outcome =
        machine.backup_with("alice", BackupRequest { mode: DIRECT, ..Default::default() });
    assert_eq!(outcome.state.word(), "partial");
    let warnings = outcome.warnings.join("\n");
    for words in [
        "the files of static.example",
        "nginx configuration of static.example",
        "the mail of shop.example",
        "the zone of shop.example",
        "../../etc",
        "alice_x",
    ] {
        assert!(warnings.contains(words), "{words} is not in\n{warnings}");
    }
    assert_eq!(outcome.warnings.len(), 6, "{warnings}");
}

#[test]
fn the_settings_say_how_a_user_is_backed_up_and_the_command_has_the_last_word() {
    let mut machine = machine();
    let own =
        UserSettings { mode: DIRECT, exclude: vec!["/My Files".into()], ..UserSettings::default() };
    machine.server.settings.users.insert("alice".into(), own);
    let source = |outcome: ghostsnap::hestia::jobs::UserOutcome| outcome.snapshot.unwrap().1;
    let alice = source(machine.backup("alice"));
    assert_eq!(alice.source, "direct");
    assert!(!machine.has(&alice, "user_dir/My Files") && machine.has(&alice, "user_dir/.bashrc"));
    assert_eq!(source(machine.backup("bob")).source, "tarball");
    let tarball = BackupRequest { mode: Some(BackupMode::Tarball), ..Default::default() };
    assert_eq!(source(machine.backup_with("alice", tarball)).source, "tarball");
    machine.server.settings.mode = BackupMode::Direct;
    assert_eq!(source(machine.backup("bob")).source, "direct");
}

#[test]
fn suspended_users_and_those_without_backups_are_left_out_as_in_hestia() {
    let machine = machine();
    let conf = machine.hestia.user_file(&user("bob"), "user.conf");
    let text = fs::read_to_string(&conf).unwrap();
    let request = || BackupRequest { mode: DIRECT, ..Default::default() };
    fs::write(&conf, text.replace("SUSPENDED='no'", "SUSPENDED='yes'")).unwrap();
    assert_eq!(machine.backup_with("bob", request()).state.word(), "skipped");
    fs::write(&conf, text.replace("BACKUPS='5'", "BACKUPS='0'")).unwrap();
    assert_eq!(machine.backup_with("bob", request()).state.word(), "skipped");
}

#[test]
fn the_staging_folder_of_hestias_restic_jobs_is_no_part_of_the_home() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root's folder is one
    }
    let machine = machine();
    put(&machine, "alice", "backup/pam/shadow");
    put(&machine, "alice", "backup/db/alice_wp.sql.gz");
    assert!(!direct(&machine, "alice", &plain()).contains_key("user_dir/backup"));
    // A folder of the customer's own of that name is.
    let own = home(&machine, "alice", "backup/pam/shadow");
    nix::unistd::chown(&own, Some(1005.into()), None).unwrap();
    assert!(direct(&machine, "alice", &plain()).contains_key("user_dir/backup/db/alice_wp.sql.gz"));
}

/// Swaps each pair of entries, over and over, while `work` runs again and again; leaves them as
/// they were.
fn while_flipping(pairs: &[(PathBuf, PathBuf)], work: impl Fn()) {
    let stop = AtomicBool::new(false);
    let (world, mut rounds) = (World::system(), 0);
    let flip = || {
        for (one, other) in pairs {
            renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                flip();
                flip();
            }
        });
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        while world.ticks() < Duration::from_millis(1000) || rounds < 3 {
            work();
            rounds += 1;
        }
    });
}

const SECRET: &[u8] = b"of somebody else, and long enough to be a chunk of its own";

#[test]
fn links_that_take_the_places_of_folders_never_lead_outside() {
    let machine = machine();
    let outside = machine.path("outside");
    fs::create_dir_all(outside.join("shop.example/public_html")).unwrap();
    fs::create_dir_all(outside.join("info/cur")).unwrap();
    for name in [
        "secret",
        "notes.txt",
        "shop.example/nginx.conf",
        "shop.example/public_html/index.php",
        "info/cur/m",
        "shop.example.db",
        "index.php",
    ] {
        fs::write(outside.join(name), SECRET).unwrap();
    }
    let before = flat::of_folder(&outside);
    // Whatever the customer may own, level by level: a path through a link would move what is
    // outside, and not what we look at.
    for level in [
        &[("web", ""), ("mail", ""), ("conf", ""), ("My Files", "")][..],
        &[("web/shop.example", "shop.example"), ("mail/shop.example", ""), ("conf/dns", "")],
        &[("web/shop.example/public_html", ""), ("conf/web/shop.example", "shop.example")],
        &[("web/shop.example/public_html/index.php", "secret"), ("My Files/notes.txt", "secret")],
    ] {
        let mut pairs = Vec::new();
        for (number, (one, target)) in level.iter().enumerate() {
            let other = home(&machine, "alice", &format!("zz-{number}"));
            drop(fs::remove_file(&other));
            symlink(outside.join(target), &other).unwrap();
            pairs.push((home(&machine, "alice", one), other));
        }
        let pipe = home(&machine, "alice", "pipe");
        drop(fs::remove_file(&pipe));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        pairs.push((home(&machine, "alice", ".bashrc"), pipe));
        while_flipping(&pairs, || {
            let request = BackupRequest { mode: DIRECT, ..Default::default() };
            let outcome = machine.backup_with("alice", request);
            assert_ne!(outcome.state.word(), "skipped");
        });
    }
    assert_eq!(flat::of_folder(&outside), before);
    let repository = machine.repository();
    assert!(repository.snapshots().unwrap().len() >= 2);
    let id = repository.keys().data_id(SECRET);
    let is_there = repository.index().contains(&id).unwrap();
    assert!(!is_there, "something from outside is in the repository");
}

#[test]
fn devices_and_sockets_stay_out_and_a_fifo_is_kept_as_one() {
    let machine = machine();
    let folder = home(&machine, "bob", "My Files");
    nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    let found = direct(&machine, "bob", &plain());
    assert_eq!(found["user_dir/My Files/pipe"].kind, NodeKind::Fifo);
    assert!(!found.contains_key("user_dir/My Files/socket"));
    assert_eq!(machine.monitor.warnings(), [""; 0]);
}
