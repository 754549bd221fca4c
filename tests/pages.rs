// SPDX-License-Identifier: MIT
//! The pages in the panel, in a real browser: what customers and administrators see and do there,
//! and what nobody can do by any parameter. Pictures of the pages are kept below target/pages.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/browser.rs"]
mod browser;
#[path = "common/hestia.rs"]
mod double;
#[path = "common/site.rs"]
mod site;

use browser::{Browser, DESKTOP, PHONE};
use site::{Site, form, project};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

/// Names that a customer, or whoever broke into a site, may give to files.
const HOSTILE: [&[u8]; 9] = [
    b"<script>window.isOwned=1;",
    b"\"><img src=x onerror=window.isOwned=1>",
    b"' onmouseover='window.isOwned=1",
    b"&lt;img src=x onerror=window.isOwned=1&gt;",
    b"two\nlines.txt",
    b"not utf-8 \xff\xfe.txt",
    b"$(touch owned) `id` ; & | * ? \\ %00 %2e",
    b"100% +plus&amp=1#x.txt",
    "\u{202e}gpj.exe ü 日本".as_bytes(),
];

/// What the page shows of each of them, in the same order.
const PART_OF: [&str; 9] = [
    "<script>",
    "\"><img",
    "' onmouse",
    "&lt;img",
    "two\\u{a}lines",
    "not utf-8",
    "$(touch",
    "100% +plus&amp=1#x.txt",
    "\\u{202e}gpj",
];

/// What a person who does not see the page would meet without a name.
const UNNAMED: &str = "[...document.querySelectorAll('.app-content :is(a, button, input, select, \
     textarea):not([type=hidden])')].filter(one => !one.textContent.trim() && !one.title && \
     !one.labels?.length && !one.getAttribute('aria-label')).map(one => one.outerHTML)";

fn name(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// A site whose alice has a folder of hostile names, and a backup of everybody.
fn site() -> Site {
    let site = Site::start();
    let folder = site.home_of("alice", "web/shop.example/public_html/odd");
    fs::create_dir(&folder).unwrap();
    for (number, bytes) in HOSTILE.iter().enumerate() {
        fs::write(folder.join(name(bytes)), format!("content {number}\n")).unwrap();
    }
    // Its path says `</script>`.
    fs::create_dir(folder.join("<")).unwrap();
    fs::write(folder.join("<").join("script><img src=x onerror=window.isOwned=1>"), "in\n")
        .unwrap();
    for name in ["alice", "bob"] {
        site.back_up(name);
    }
    site
}

fn files_below(folder: &Path, ending: &str, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, ending, found);
        } else if path.extension().is_some_and(|one| one == ending) {
            found.push(path);
        }
    }
}

#[test]
fn all_php_is_php() {
    let mut files = Vec::new();
    files_below(&project("web-panel-templates"), "php", &mut files);
    assert!(files.len() > 8, "{files:?}");
    for file in files {
        let output = Command::new("php").arg("-l").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", file.display());
    }
}

#[test]
fn the_package_has_every_folder_of_pages() {
    let list = fs::read_to_string(project("debian/ghostsnap.install")).unwrap();
    for entry in fs::read_dir(project("web-panel-templates")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let line = format!("web-panel-templates/{name} usr/share/ghostsnap/web\n");
        assert!(!entry.path().is_dir() || list.contains(&line), "{name}");
    }
}

#[test]
fn the_catalogue_of_words_is_current() {
    let script = project("web-panel-templates/pot.sh");
    let output = Command::new("bash").arg(script).arg("--check").output().unwrap();
    assert!(output.status.success(), "run `make pot`: {output:?}");
}

#[test]
fn a_customer_sees_snapshots_opens_one_and_browses_it() {
    let site = site();
    let browser = site.browser_of("alice", "");
    browser.follow(&site.url("/list/ghostsnap/"));
    assert!(browser.text().contains("2 sites, 3 databases, 1 mail domain"), "{}", browser.text());
    assert!(browser.text().contains("Complete"), "{}", browser.text());
    browser.picture("list");
    browser.click_away(".units-table-heading-cell a");
    let text = browser.text();
    for part in ["shop.example", "alice_geo", "info@shop.example", "2 cron jobs"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("Left out of it:"), "{text}");
    browser.picture("snapshot");
    browser.click_away("a[href*='public_html']");
    assert!(browser.text().contains("index.php"), "{}", browser.text());
    assert!(browser.text().contains("→ index.php"), "links say where they lead");
    browser.click_away("a[href*='path=web%2Fshop.example%2Fpublic_html%2Fimg']");
    assert!(browser.text().contains("a.jpg"), "{}", browser.text());
    browser.assert_content();
    // The way back, each folder by itself.
    browser.click_away(".ghostsnap-path li:nth-child(2) a");
    assert!(browser.text().contains("static.example"), "{}", browser.text());
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn names_that_want_to_be_code_stay_names_and_their_files_come_down_whole() {
    let site = site();
    let browser = site.browser_of("alice", "");
    let id = &site.snapshots("alice")[0];
    let folder = "web%2Fshop.example%2Fpublic_html%2Fodd";
    let here = site.url(&format!("/list/ghostsnap/files/?snapshot={id}&path={folder}"));
    browser.follow(&here);
    let rows = ".units-table-row";
    let count = browser.value(&format!("document.querySelectorAll('{rows}').length"));
    assert_eq!(count, HOSTILE.len() + 1, "{}", browser.text());
    for shown in [
        "<script>window.isOwned=1;",
        "\"><img src=x onerror=window.isOwned=1>",
        "&lt;img src=x onerror=window.isOwned=1&gt;",
        "two\\u{a}lines.txt",
        "\\u{202e}gpj.exe ü 日本",
    ] {
        assert!(browser.text().contains(shown), "{shown}: {}", browser.text());
    }
    browser.picture("hostile-names");
    for (number, part) in PART_OF.iter().enumerate() {
        let content = format!("content {number}\n");
        let row = browser.value(&format!(
            "[...document.querySelectorAll('{rows}')].findIndex(row => \
             row.querySelector('form') && row.innerText.includes({}))",
            serde_json::json!(part)
        ));
        let nth = row.as_i64().unwrap() + 2;
        let button = format!("{rows}:nth-child({nth}) form button");
        let (_, bytes) = browser.download(|| browser.click(&button));
        assert_eq!(String::from_utf8(bytes).unwrap(), content, "{number}");
    }
    browser.click_away(&format!("{rows} a[href*='odd%2F%3C']"));
    assert!(browser.text().contains("script><img src=x"), "{}", browser.text());
    assert_eq!(browser.value("window.isOwned"), serde_json::Value::Null);
    // A folder is packed by a job.
    browser.click_away(".toolbar form button");
    browser.wait_for("document.querySelector('.js-ghostsnap-download')");
    let (name, bytes) = browser.download(|| browser.click(".js-ghostsnap-download"));
    assert!(name.ends_with(".zip") && bytes.starts_with(b"PK"), "{name}");
    assert_eq!(browser.value("window.isOwned"), serde_json::Value::Null);
    browser.assert_content();
    site.assert_quiet();
    assert!(!Path::new("owned").exists());
}

#[test]
fn a_file_is_found_by_a_part_of_its_name() {
    let site = site();
    let browser = site.browser_of("alice", "");
    let id = &site.snapshots("alice")[0];
    browser.follow(&site.url(&format!("/list/ghostsnap/files/?snapshot={id}")));
    browser.fill("input[type=search]", "NOTES");
    browser.leave(|| browser.press("Enter"));
    assert!(browser.text().contains("My Files/notes.txt"), "{}", browser.text());
    let (_, bytes) = browser.download(|| browser.click(".units-table-row form button"));
    assert_eq!(bytes, b"of alice\n");
    browser.fill("input[type=search]", "<script>window.isOwned=1");
    browser.leave(|| browser.press("Enter"));
    assert!(browser.text().contains("odd/<script>window.isOwned=1;"), "{}", browser.text());
    browser.fill("input[type=search]", "no such file");
    browser.leave(|| browser.press("Enter"));
    assert!(browser.text().contains("Nothing found"), "{}", browser.text());
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn what_changed_is_shown_and_a_lost_file_leads_to_its_restore() {
    let site = site();
    let index = site.home_of("alice", "web/shop.example/public_html/index.php");
    let before = fs::read(&index).unwrap();
    fs::write(&index, "hacked").unwrap();
    fs::write(site.home_of("alice", "My Files/new.txt"), "new").unwrap();
    fs::remove_file(site.home_of("alice", ".bashrc")).unwrap();
    let browser = site.browser_of("alice", "");
    browser.follow(&site.url("/list/ghostsnap/"));
    browser.click_away("a[href*='changes']");
    // There is one snapshot: it is compared with the files as they are.
    let row = |path: &str| {
        browser.value(&format!(
            "[...document.querySelectorAll('.units-table-row')].find(row => \
             row.innerText.includes({})).innerText.replace(/\\s+/g, ' ')",
            serde_json::json!(path)
        ))
    };
    assert!(row("index.php").as_str().unwrap().contains("Changed"), "{}", browser.text());
    assert!(row(".bashrc").as_str().unwrap().contains("Gone"), "{}", browser.text());
    assert!(row("new.txt").as_str().unwrap().contains("New"), "{}", browser.text());
    browser.picture("changes");
    // A second backup is compared with the first by itself.
    site.back_up("alice");
    browser.follow(&site.url("/list/ghostsnap/"));
    browser.click_away("a[href*='changes']");
    assert!(browser.text().contains("What changed after"), "{}", browser.text());
    browser.click_away("a[href*='restore'][href*='index.php']");
    browser.click_away("button[name=dry_run][value=no]");
    browser.wait_for("document.querySelector('.ghostsnap-job').innerText.includes('Done')");
    assert_eq!(fs::read(&index).unwrap(), before);
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn a_customer_restores_a_file_watches_the_job_and_takes_it_back() {
    let site = site();
    let file = site.home_of("alice", "My Files/notes.txt");
    fs::write(&file, "a bad day\n").unwrap();
    let browser = site.browser_of("alice", "");
    let id = &site.snapshots("alice")[0];
    browser.follow(&site.url(&format!("/list/ghostsnap/files/?snapshot={id}&path=My%20Files")));
    browser.click_away("a[href*='restore'][href*='notes.txt']");
    browser.picture("restore");
    // To look only changes nothing, and names the file.
    browser.click_away("button[name=dry_run][value=yes]");
    browser.wait_for("document.querySelector('.ghostsnap-job').innerText.includes('Done')");
    assert!(browser.text().contains("My Files/notes.txt"), "{}", browser.text());
    assert!(browser.text().contains("Nothing was changed"), "{}", browser.text());
    assert_eq!(fs::read_to_string(&file).unwrap(), "a bad day\n");
    browser.picture("job-dry-run");
    // Beside it, as a copy.
    let again =
        format!("/list/ghostsnap/restore/?snapshot={id}&part=file&name=My%20Files/notes.txt");
    browser.follow(&site.url(&again));
    browser.fill("[name=target]", "My Files/old notes.txt");
    browser.click_away("button[name=dry_run][value=no]");
    browser.wait_for("document.querySelector('.ghostsnap-job').innerText.includes('Done')");
    let copy = site.home_of("alice", "My Files/old notes.txt");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "of alice\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), "a bad day\n");
    // In its place.
    browser.follow(&site.url(&again));
    browser.click_away("button[name=dry_run][value=no]");
    browser.wait_for("document.querySelector('.ghostsnap-job').innerText.includes('Done')");
    assert_eq!(fs::read_to_string(&file).unwrap(), "of alice\n");
    browser.picture("job-done");
    // And back.
    browser.click_away("a[href='/list/ghostsnap/restores/']");
    browser.picture("restores");
    browser.click_away(".units-table-row a[href*='restores/?restore=']");
    browser.click_away("button[name=dry_run][value=no]");
    browser.wait_for("document.querySelector('.ghostsnap-job').innerText.includes('Done')");
    assert_eq!(fs::read_to_string(&file).unwrap(), "a bad day\n");
    browser.follow(&site.url("/list/ghostsnap/jobs/"));
    assert!(browser.text().contains("4 jobs"), "{}", browser.text());
    browser.picture("jobs");
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn a_customer_backs_up_now_and_restores_a_site_and_a_database() {
    let site = site();
    let browser = site.browser_of("alice", "");
    browser.follow(&site.url("/list/ghostsnap/"));
    browser.click_away(".toolbar form button");
    assert!(browser.text().contains("Backup"), "{}", browser.text());
    browser.wait_for("document.querySelector('.ghostsnap-job').innerText.includes('Done')");
    assert_eq!(site.snapshots("alice").len(), 2);
    let index = site.home_of("alice", "web/shop.example/public_html/index.php");
    let dump = site.machine.path("mysql/alice_shop.sql");
    let before = [fs::read(&index).unwrap(), fs::read(&dump).unwrap()];
    fs::remove_file(&index).unwrap();
    fs::write(&dump, double::dump("mysql", 2)).unwrap();
    for part in ["part=web&name=shop.example", "part=db&name=alice_shop"] {
        let page = format!("/list/ghostsnap/restore/?snapshot=latest&{part}");
        browser.follow(&site.url(&page));
        browser.click_away("button[name=dry_run][value=no]");
        browser.wait_for("document.querySelector('.ghostsnap-job').innerText.includes('Done')");
    }
    assert_eq!([fs::read(&index).unwrap(), fs::read(&dump).unwrap()], before);
    // And takes everything along, as a tarball that HestiaCP restores.
    browser.follow(&site.url("/list/ghostsnap/snapshot/?snapshot=latest"));
    browser.click_away(".toolbar form button");
    browser.wait_for("document.querySelector('.js-ghostsnap-download')");
    let (name, bytes) = browser.download(|| browser.click(".js-ghostsnap-download"));
    assert!(name.ends_with(".tar") && bytes.len() > 100_000, "{name}");
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn nobody_restores_sees_or_cancels_what_is_not_theirs() {
    let site = site();
    let of_alice = site.snapshots("alice")[0].clone();
    let own = site.snapshots("bob")[0].clone();
    let alice = site.browser_of("alice", "");
    alice.follow(&site.url("/list/ghostsnap/"));
    alice.click_away(".toolbar form button");
    let address = alice.address();
    let job = address.split("job=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    alice.wait_for("document.querySelector('.ghostsnap-job').innerText.includes('Done')");
    let browser = site.browser_of("bob", "");
    // The job of another.
    for page in ["jobs/?", "jobs/?of=all&", "job/?token=x&", "jobs/?user=alice&"] {
        let (_, _, text) = browser.fetch(&format!("/list/ghostsnap/{page}job={job}"), None);
        assert!(!text.contains(&of_alice) && !text.contains("Backup<"), "{page}: {text}");
    }
    let before = site.machine.state_of("alice");
    let index = "web/shop.example/public_html/index.php";
    let asked: [&[(&str, &str)]; 9] = [
        &[("action", "restore"), ("part", "file"), ("snapshot", &of_alice), ("name", index)],
        &[("action", "restore"), ("part", "all"), ("snapshot", &of_alice), ("web", "yes")],
        &[("action", "restore"), ("part", "db"), ("snapshot", &of_alice), ("name", "alice_wp")],
        &[("action", "restore"), ("part", "db"), ("snapshot", &own), ("name", "alice_wp")],
        &[("action", "restore"), ("part", "web"), ("snapshot", &own), ("name", "shop.example")],
        &[
            ("action", "restore"),
            ("part", "file"),
            ("snapshot", &own),
            ("name", "My Files/notes.txt"),
            ("place", "copy"),
            ("target", "../alice/My Files/notes.txt"),
        ],
        &[("action", "undo"), ("restore", "latest"), ("of", "alice"), ("user", "alice")],
        &[("action", "cancel"), ("job", &job), ("of", "all")],
        &[("action", "download"), ("snapshot", &of_alice), ("path", "My Files")],
    ];
    for values in asked {
        let extra =
            [values, &[("user", "alice"), ("look", "alice"), ("account", "alice")]].concat();
        browser.fetch("/schedule/ghostsnap/", form(&browser, &extra));
    }
    browser.follow(&site.url("/list/ghostsnap/jobs/"));
    browser.wait_for(
        "fetch(location.href).then(a => a.text()).then(text => !/Waiting|Running/.test(text))",
    );
    browser.follow(&site.url("/list/ghostsnap/jobs/"));
    assert!(!browser.text().contains("Done"), "{}", browser.text());
    assert_eq!(site.machine.state_of("alice"), before);
    // A backup is of whoever asks.
    let count = site.snapshots("alice").len();
    let values = [("action", "backup"), ("of", "alice"), ("user", "alice")];
    browser.fetch("/schedule/ghostsnap/", form(&browser, &values));
    browser.follow(&site.url("/list/ghostsnap/jobs/"));
    browser.wait_for(
        "fetch(location.href).then(a => a.text()).then(text => !/Waiting|Running/.test(text))",
    );
    assert_eq!(site.snapshots("alice").len(), count);
    browser.follow(&site.url("/list/ghostsnap/jobs/"));
    assert_eq!(site.snapshots("bob").len(), 2, "{}", browser.text());
    // The answer to a job's script needs the token.
    let (status, _, _) = alice.fetch(&format!("/list/ghostsnap/job/?job={job}"), None);
    assert_eq!(status, 403);
    // And none of it happens without it.
    let mut values = form(&browser, &[("action", "backup")]);
    values.as_mut().unwrap()["token"] = "guessed".into();
    let (_, address, _) = browser.fetch("/schedule/ghostsnap/", values);
    assert!(address.contains("/login/"), "{address}");
    let (_, address, _) = browser.fetch("/schedule/ghostsnap/?action=backup", None);
    assert!(address.contains("/list/ghostsnap/"), "{address}");
    assert_eq!(site.snapshots("bob").len(), 2);
    site.assert_quiet();
}

#[test]
fn a_protected_account_is_looked_at_and_not_changed() {
    let site = site();
    site.back_up("admin");
    site.set("POLICY_SYSTEM_PROTECTED_ADMIN=yes");
    let browser = site.browser_of("admin", "");
    let token = browser.value("document.querySelector('#token').getAttribute('token')");
    browser.follow(&site.url(&format!("/login/?loginas=admin&token={}", token.as_str().unwrap())));
    browser.follow(&site.url("/list/ghostsnap/"));
    assert!(browser.text().contains("1 snapshot"), "{}", browser.text());
    assert!(!browser.text().contains("Back up now"), "{}", browser.text());
    let values = [("action", "backup")];
    let (_, _, text) = browser.fetch("/schedule/ghostsnap/", form(&browser, &values));
    assert!(text.contains("can only be looked at"), "{text}");
    browser.assert_content();
    site.assert_quiet();
}

/// Starts a request that is not waited for; `window.NAME` will be what it answers.
fn begin(browser: &Browser, name: &str, page: &str) {
    let page = serde_json::json!(page);
    let asked = format!("void (window.{name} = fetch({page}).then(a => a.text()))");
    browser.value(&asked);
}

/// Looks again and again, in the time of the browser.
fn wait_until(browser: &Browser, what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1200 {
        if holds() {
            return;
        }
        browser.value("new Promise(done => setTimeout(done, 50))");
    }
    unreachable!("waited in vain until {what}");
}

#[test]
fn a_suspended_customer_looks_and_changes_nothing_where_that_is_allowed() {
    let site = site();
    let id = site.snapshots("bob")[0].clone();
    site.set("POLICY_USER_VIEW_SUSPENDED=yes");
    site.change("bob", "SUSPENDED", "yes");
    let browser = site.browser_of("bob", "");
    let before = site.machine.state_of("bob");
    browser.follow(&site.url("/list/ghostsnap/"));
    assert!(browser.text().contains("1 snapshot"), "{}", browser.text());
    assert!(!browser.text().contains("Back up now"), "{}", browser.text());
    browser.click_away(".units-table-heading-cell a");
    assert!(!browser.has("a[href*='/restore/']") && !browser.has("form"), "{}", browser.text());
    let page = format!("/list/ghostsnap/restore/?snapshot={id}&part=all");
    let (_, address, _) = browser.fetch(&page, None);
    assert!(address.contains("/list/ghostsnap/snapshot/"), "{address}");
    for action in ["backup", "restore", "undo", "export", "cancel"] {
        let values = [("action", action), ("snapshot", &id), ("part", "all"), ("web", "yes")];
        let (_, _, text) = browser.fetch("/schedule/ghostsnap/", form(&browser, &values));
        assert!(text.contains("can only be looked at"), "{action}: {text}");
    }
    let list = site.command("v-ghostsnap-list-user-jobs", &["bob", "json"]);
    assert_eq!(String::from_utf8_lossy(&list.stdout).trim(), "{\n}", "no job was handed in");
    assert_eq!(site.machine.state_of("bob"), before);
    // A download is a look.
    let values = [("snapshot", id.as_str()), ("path", "My Files/notes.txt"), ("size", "7")];
    let (_, _, text) = browser.fetch("/download/ghostsnap/", form(&browser, &values));
    assert_eq!(text, "of bob\n");
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn a_customer_who_is_suspended_while_logged_in_is_let_in_no_more() {
    let site = site();
    let id = site.snapshots("bob")[0].clone();
    let act = |page: &str, values: Option<&[(&str, &str)]>| {
        let browser = site.browser_of("bob", "");
        browser.follow(&site.url("/list/ghostsnap/"));
        site.change("bob", "SUSPENDED", "yes");
        let answer = browser.fetch(page, values.and_then(|values| form(&browser, values)));
        site.change("bob", "SUSPENDED", "no");
        answer
    };
    let file: &[(&str, &str)] = &[("snapshot", &id), ("path", "My Files/notes.txt")];
    for (page, values) in [
        ("/list/ghostsnap/?view=own", None),
        ("/list/ghostsnap/job/?job=x", None),
        ("/schedule/ghostsnap/", Some([("action", "backup")].as_slice())),
        ("/download/ghostsnap/", Some(file)),
    ] {
        let (_, address, text) = act(page, values);
        assert!(address.contains("/login/"), "{page} {address}: {text}");
    }
    let list = site.command("v-ghostsnap-list-user-jobs", &["bob", "json"]);
    assert_eq!(String::from_utf8_lossy(&list.stdout).trim(), "{\n}", "no job was handed in");
    site.assert_quiet();
}

#[test]
fn the_account_of_the_server_is_hidden_and_guarded_from_other_administrators() {
    let site = site();
    site.machine.add_user("helper");
    site.change("helper", "ROLE", "admin");
    site.back_up("admin");
    let scheduled = site.command("v-ghostsnap-schedule-user-backup", &["admin", "", "", "json"]);
    let row: serde_json::Value = serde_json::from_slice(&scheduled.stdout).unwrap();
    let job = row.as_object().unwrap().keys().next().unwrap().clone();
    let pages = [
        "/list/ghostsnap/server/".to_owned(),
        "/list/ghostsnap/jobs/?of=all".to_owned(),
        format!("/list/ghostsnap/jobs/?of=all&job={job}"),
        "/list/ghostsnap/growth/?of=admin".to_owned(),
    ];
    let shown = |browser: &Browser, page: &str| {
        browser.follow(&site.url(page));
        browser.text().matches("admin").count()
    };
    let browser = site.browser_of("helper", "");
    for page in &pages {
        assert!(shown(&browser, page) > 0 || page.contains("job="), "{page}: {}", browser.text());
    }
    assert!(browser.has("svg") || browser.text().contains("Not enough"), "{}", browser.text());
    let jobs = || site.command("v-ghostsnap-list-user-jobs", &["admin", "json"]).stdout;
    let before = jobs();
    for policy in ["HIDE", "PROTECTED"] {
        site.set(&format!("POLICY_SYSTEM_{policy}_ADMIN=yes"));
        for values in [
            [("action", "backup"), ("of", "admin"), ("x", "")],
            [("action", "cancel"), ("of", "all"), ("job", &job)],
        ] {
            browser.follow(&site.url("/list/ghostsnap/server/"));
            let (_, _, text) = browser.fetch("/schedule/ghostsnap/", form(&browser, &values));
            assert!(text.contains("can only be looked at"), "{values:?}: {text}");
        }
        assert_eq!(jobs(), before, "nothing was handed in or cancelled");
    }
    site.set("POLICY_SYSTEM_HIDE_ADMIN=yes");
    for page in &pages {
        assert_eq!(shown(&browser, page), 0, "{page}: {}", browser.text());
    }
    let answer = format!("/list/ghostsnap/job/?of=all&job={job}&token=");
    let token = "document.querySelector('#token').getAttribute('token')";
    let answer = answer + browser.value(token).as_str().unwrap();
    assert_eq!(browser.fetch(&answer, None).0, 404);
    browser.forgive();
    // The account itself sees all of it.
    let owner = site.browser_of("admin", "");
    for page in &pages {
        assert!(shown(&owner, page) > 0 || page.contains("job="), "{page}: {}", owner.text());
    }
    assert_eq!(owner.fetch(&answer, None).0, 403, "the token is another session's");
    site.assert_quiet();
}

#[test]
fn a_slow_look_holds_neither_the_session_nor_the_panel() {
    let site = site();
    let browser = site.browser_of("alice", "");
    let page = "/list/ghostsnap/files/?snapshot=latest&path=web";
    for (command, page) in [
        ("v-ghostsnap-list-user-files", page),
        ("v-ghostsnap-list-user-files", "/list/ghostsnap/snapshot/?snapshot=latest"),
        ("v-ghostsnap-find-user-files", "/list/ghostsnap/files/?snapshot=latest&q=notes"),
        ("v-ghostsnap-diff-user", "/list/ghostsnap/changes/?snapshot=latest&with=now"),
    ] {
        let held = site.hold(command);
        begin(&browser, "first", page);
        wait_until(&browser, "the command runs", || held.count() == 1);
        browser.follow(&site.url("/list/ghostsnap/jobs/"));
        assert!(browser.text().contains("No jobs"), "{page}: {}", browser.text());
        // A second one does not begin beside it.
        browser.follow(&site.url(page));
        assert!(browser.text().contains("still running"), "{page}: {}", browser.text());
        assert_eq!(held.count(), 1);
        if page.contains("/snapshot/") {
            assert!(browser.text().contains("Restore everything"), "{}", browser.text());
        }
        if command.contains("diff") {
            browser.picture("busy");
        }
        held.release();
        site.restore(command);
        if page.contains("/snapshot/") {
            // It is shown all the same, as far as it is known without a look.
            browser.follow(&site.url(page));
        } else {
            browser.click_away(".ghostsnap-nothing a");
        }
        assert!(!browser.text().contains("still running"), "{page}: {}", browser.text());
    }
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn looks_of_everybody_leave_workers_for_everybody() {
    let site = site();
    site.edit("inc/ghostsnap/looks.php", "LOOKS_AT_ONCE = 2", "LOOKS_AT_ONCE = 1");
    let held = site.hold("v-ghostsnap-list-user-files");
    let page = "/list/ghostsnap/files/?snapshot=latest";
    let [alice, bob] = ["alice", "bob"].map(|name| site.browser_of(name, ""));
    begin(&alice, "first", page);
    wait_until(&alice, "one runs", || held.count() == 1);
    bob.follow(&site.url(page));
    assert!(bob.text().contains("Others are looking"), "{}", bob.text());
    // Who could do something about it is not locked out.
    let admin = site.browser_of("admin", "");
    admin.follow(&site.url("/list/ghostsnap/server/"));
    assert!(admin.text().contains("Backups of this server"), "{}", admin.text());
    assert!(!admin.text().contains("Others are looking"), "{}", admin.text());
    held.release();
    assert!(alice.value("window.first").as_str().unwrap().contains("My Files"));
    site.assert_quiet();
}

#[test]
fn a_look_is_cut_off_and_a_download_becomes_a_job() {
    let site = site();
    site.edit("inc/ghostsnap/looks.php", "LOOK_SECONDS = 90", "LOOK_SECONDS = 1");
    let browser = site.browser_of("alice", "");
    let [files, file] =
        ["v-ghostsnap-list-user-files", "v-ghostsnap-download-user-file"].map(|one| site.hold(one));
    browser.follow(&site.url("/list/ghostsnap/files/?snapshot=latest"));
    assert!(browser.text().contains("takes too long"), "{}", browser.text());
    assert_eq!(files.count(), 1);
    let values = [("snapshot", "latest"), ("path", "My Files/notes.txt"), ("size", "9")];
    let (_, address, _) = browser.fetch("/download/ghostsnap/", form(&browser, &values));
    assert!(address.contains("/list/ghostsnap/jobs/?job="), "{address}");
    // What is large is not even begun.
    let begun = file.count();
    let values = [("snapshot", "latest"), ("path", "My Files/notes.txt"), ("size", "99999999999")];
    let (_, address, _) = browser.fetch("/download/ghostsnap/", form(&browser, &values));
    assert!(address.contains("/list/ghostsnap/jobs/?job="), "{address}");
    assert_eq!(file.count(), begun);
    files.release();
    browser.follow(&site.url(address.trim_start_matches(&site.address)));
    browser.wait_for("document.querySelector('.js-ghostsnap-download')");
    let (name, bytes) = browser.download(|| browser.click(".js-ghostsnap-download"));
    assert_eq!((name.as_str(), bytes.as_slice()), ("notes.txt", b"of alice\n".as_slice()));
    site.assert_quiet();
}

#[test]
fn a_look_that_nobody_waits_for_ends() {
    let site = site();
    for words in [["list-files", "web"], ["find-files", "notes"], ["diff", ""]] {
        let mut look = Command::new(site.machine.path("sudo"))
            .arg(env!("CARGO_BIN_EXE_ghostsnap"))
            .args(["--password-command", "sleep 20", "hestia", words[0], "alice", "latest"])
            .args(words[1..].iter().filter(|word| !word.is_empty()))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        drop(look.stdout.take());
        assert_eq!(look.wait().unwrap().code(), Some(33), "{words:?}");
    }
}

#[test]
fn files_come_down_whatever_they_are_called() {
    let site = Site::start();
    let folder = site.home_of("alice", "My Files");
    for name in ["index.php", "dump.sql", "access.log", ".env", "site.tar.gz", "x.php.bak"] {
        fs::write(folder.join(name), format!("this is {name}")).unwrap();
    }
    site.back_up("alice");
    let browser = site.browser_of("alice", "");
    browser.follow(&site.url("/list/ghostsnap/files/?snapshot=latest&path=My%20Files"));
    for name in ["index.php", "dump.sql", "access.log", ".env", "site.tar.gz", "x.php.bak"] {
        let path = format!("My Files/{name}");
        let values = [("snapshot", "latest"), ("path", path.as_str())];
        let (status, _, text) = browser.fetch("/download/ghostsnap/", form(&browser, &values));
        assert_eq!((status, text), (200, format!("this is {name}")));
    }
    let row = browser.value(
        "[...document.querySelectorAll('.units-table-row')].findIndex(row => \
         row.innerText.includes('index.php'))",
    );
    let button = format!(".units-table-row:nth-child({}) form button", row.as_i64().unwrap() + 2);
    let (name, _) = browser.download(|| browser.click(&button));
    assert_eq!(name, "index.php");
    site.assert_quiet();
}

#[test]
fn nothing_of_another_user_is_shown_or_handed_out_by_any_parameter() {
    let site = site();
    let browser = site.browser_of("bob", "");
    let of_alice = site.snapshots("alice")[0].clone();
    let own = site.snapshots("bob")[0].clone();
    let name_of_alice = "hestia-alice";
    let pages = [
        format!("/list/ghostsnap/snapshot/?snapshot={of_alice}"),
        format!("/list/ghostsnap/snapshot/?snapshot={of_alice}&user=alice&look=alice"),
        format!("/list/ghostsnap/files/?snapshot={of_alice}&path=web"),
        format!("/list/ghostsnap/files/?snapshot={own}&path=../alice/web"),
        format!("/list/ghostsnap/files/?snapshot={own}&path=/home/alice/web/shop.example"),
        format!("/list/ghostsnap/files/?snapshot={own}&path=web/../../alice/web"),
        format!("/list/ghostsnap/files/?snapshot[]={of_alice}&path[]=web"),
        format!("/list/ghostsnap/files/?snapshot={own}'%20alice&path=web"),
        format!("/list/ghostsnap/?user=alice&look=alice&view=own&{name_of_alice}"),
    ];
    for page in pages {
        let (_, _, text) = browser.fetch(&page, None);
        assert!(!text.contains("shop.example") || page.contains("shop.example"), "{page}: {text}");
        assert!(!text.contains("static.example") && !text.contains("alice_"), "{page}: {text}");
    }
    let index = "web/shop.example/public_html/index.php";
    let tries = [
        (of_alice.as_str(), index),
        (own.as_str(), "../alice/web/shop.example/public_html/index.php"),
        (own.as_str(), "/home/alice/web/shop.example/public_html/index.php"),
        (own.as_str(), "/etc/passwd"),
        ("latest' alice '", index),
        ("", index),
    ];
    for (snapshot, path) in tries {
        let values = [("snapshot", snapshot), ("path", path), ("user", "alice"), ("look", "alice")];
        let (_, address, text) = browser.fetch("/download/ghostsnap/", form(&browser, &values));
        assert!(address.contains("/list/ghostsnap/"), "{path} {address}: {text}");
        assert!(!text.contains("<?php echo"), "{text}");
    }
    // Without the token, or by a link, nothing is made and nothing is handed out.
    let mut values = form(&browser, &[("snapshot", &own), ("path", "My Files/notes.txt")]);
    let (_, address, text) = browser.fetch("/download/ghostsnap/", values.clone());
    assert!(address.ends_with("/download/ghostsnap/") && text == "of bob\n", "{address} {text}");
    values.as_mut().unwrap()["token"] = "guessed".into();
    let before = site.machine.backups();
    let (_, address, _) = browser.fetch("/download/ghostsnap/", values);
    assert!(address.contains("/login/"), "{address}");
    let by_link = format!("/download/ghostsnap/?snapshot={own}&path=My%20Files/notes.txt");
    let (_, address, _) = browser.fetch(&by_link, None);
    assert!(address.contains("/list/ghostsnap/"), "{address}");
    assert_eq!(site.machine.backups(), before);
    let (status, _, _) = browser.fetch("/inc/ghostsnap/commands.php", None);
    assert_eq!(status, 404);
    site.assert_quiet();
}

#[test]
fn a_bookmark_is_answered_with_something_to_click_at() {
    let site = site();
    let browser = site.browser_of("alice", "");
    browser.open(&site.url("/list/ghostsnap/?view=own"));
    assert!(browser.text().contains("One click leads on"), "{}", browser.text());
    assert!(!browser.text().contains("shop.example"));
    browser.picture("bookmark");
    browser.click_away("a.button");
    assert!(browser.text().contains("2 sites"), "{}", browser.text());
    // The link never leads away.
    browser.open(&site.url("//evil.example/list/ghostsnap/"));
    assert!(!browser.text().contains("evil"), "{}", browser.text());
    browser.forgive();
    site.assert_quiet();
}

#[test]
fn pages_hold_together_in_the_dark_and_on_a_phone() {
    let site = site();
    for (theme, size, label) in
        [("dark", DESKTOP, "dark"), ("", PHONE, "phone"), ("dark", PHONE, "dark-phone")]
    {
        let browser = site.browser_of("alice", theme);
        browser.resize(size);
        let id = &site.snapshots("alice")[0];
        let odd = "web%2Fshop.example%2Fpublic_html%2Fodd";
        for (name, page) in [
            ("list", "/list/ghostsnap/".to_owned()),
            ("snapshot", format!("/list/ghostsnap/snapshot/?snapshot={id}")),
            ("files", format!("/list/ghostsnap/files/?snapshot={id}&path={odd}")),
            ("changes", format!("/list/ghostsnap/changes/?snapshot={id}")),
            ("restore", format!("/list/ghostsnap/restore/?snapshot={id}&part=all")),
            ("restore-file", format!("/list/ghostsnap/restore/?snapshot={id}&part=file&name=web")),
            ("jobs", "/list/ghostsnap/jobs/".to_owned()),
            ("restores", "/list/ghostsnap/restores/".to_owned()),
        ] {
            browser.follow(&site.url(&page));
            browser.picture(&format!("{name}-{label}"));
            let wide = browser.value("document.documentElement.scrollWidth - innerWidth");
            assert!(wide.as_i64().unwrap() <= 0, "{name} {label} is {wide} pixels too wide");
            assert_eq!(browser.value(UNNAMED), serde_json::json!([]), "{name} {label}");
        }
        // And the keyboard alone leads on.
        browser.follow(&site.url("/list/ghostsnap/"));
        browser.value("document.querySelector('.units-table-heading-cell a').focus()");
        browser.leave(|| browser.press("Enter"));
        assert!(browser.address().contains("/snapshot/"), "{}", browser.address());
        browser.assert_content();
    }
}

#[test]
fn an_administrator_sees_everybody_and_what_needs_a_look_first() {
    let site = site();
    let browser = site.browser_of("admin", "");
    browser.click_away(".main-menu-list a[href='/list/ghostsnap/']");
    assert!(browser.address().ends_with("/list/ghostsnap/server/"), "{}", browser.address());
    let rows = browser.value(
        "[...document.querySelectorAll('.units-table-row .units-table-heading-cell')]\
         .map(cell => cell.lastChild.textContent.trim())",
    );
    assert_eq!(rows, serde_json::json!(["admin", "alice", "bob"]), "no backup, then by name");
    assert!(browser.text().contains("there is no backup"), "{}", browser.text());
    assert!(!browser.text().contains("Next:"), "nothing backs anybody up");
    let words = ["nightly", "when=30 2 * * *", "exclude=bob"];
    assert!(site.command("v-ghostsnap-add-schedule", &words).status.success());
    browser.follow(&site.url("/list/ghostsnap/server/"));
    let next = browser.value(
        "[...document.querySelectorAll('.units-table-row')].map(row => row.innerText)\
         .map(text => /Next: \\d\\d [A-Z][a-z][a-z], 02:30/.test(text))",
    );
    assert_eq!(next, serde_json::json!([true, true, false]), "{}", browser.text());
    browser.picture("server");
    browser.click_away("a[href*='growth/?of=alice']");
    assert!(browser.text().contains("Not enough backups yet"), "{}", browser.text());
    for _ in 0..2 {
        fs::write(site.home_of("alice", "My Files/more"), double::noise("x", 3_000_000)).unwrap();
        site.back_up("alice");
    }
    browser.follow(&site.url("/list/ghostsnap/growth/?of=alice"));
    let dots = browser.value("document.querySelectorAll('svg.ghostsnap-chart .dot').length");
    assert_eq!(dots, 3, "{}", browser.text());
    browser.picture("growth");
    browser.assert_content();
    // Somebody is looked after: then the pages are the customer's, and the server's are shut.
    browser.follow(&site.url("/list/ghostsnap/server/"));
    browser.click_away("a[href*='loginas=alice']");
    browser.follow(&site.url("/list/ghostsnap/"));
    assert!(browser.text().contains("3 databases"), "{}", browser.text());
    assert!(!browser.has("a[href='/list/ghostsnap/server/']"));
    browser.follow(&site.url("/list/ghostsnap/server/"));
    assert!(browser.address().ends_with("/list/ghostsnap/"), "{}", browser.address());
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn before_the_first_backup_an_administrator_is_told_what_to_do() {
    let site = Site::start();
    let browser = site.browser_of("admin", "");
    browser.follow(&site.url("/list/ghostsnap/"));
    browser.click_away(".ghostsnap-steps a");
    for words in ["copy it off this server", "ghostsnap key kit", "Every night at 02:30"] {
        assert!(browser.text().contains(words), "{words}: {}", browser.text());
    }
    browser.picture("first-steps");
    // Each step is done with its button, and the page says so.
    let marks = || {
        browser.value(
            "[...document.querySelectorAll('.ghostsnap-steps h3 .ghostsnap-light')]\
             .map(one => one.innerText.trim())",
        )
    };
    assert_eq!(marks(), serde_json::json!(["To do", "To do", "To do", "Yours to do"]));
    browser.click_away(".ghostsnap-steps form[action='/add/ghostsnap/'] button");
    assert!(browser.text().contains("default can be used"), "{}", browser.text());
    browser.click_away(".ghostsnap-steps form[action='/edit/ghostsnap/'] button");
    assert!(browser.text().contains("nightly: Every day at 02:30"), "{}", browser.text());
    browser.value("document.querySelector('#ghostsnap-of').value = 'bob'");
    browser.click_away(".ghostsnap-first button");
    browser.wait_for("document.querySelector('.ghostsnap-job').innerText.includes('Done')");
    assert_eq!(site.snapshots("bob").len(), 1);
    browser.follow(&site.url("/list/ghostsnap/setup/"));
    assert_eq!(marks(), serde_json::json!(["Done", "Done", "Done", "Yours to do"]));
    browser.picture("first-steps-done");
    browser.follow(&site.url("/list/ghostsnap/server/"));
    assert!(!browser.has(".ghostsnap-steps"), "{}", browser.text());
    browser.assert_content();
    // A customer is told that there is nothing yet.
    let customer = site.browser_of("alice", "");
    customer.follow(&site.url("/list/ghostsnap/"));
    assert!(customer.text().contains("No backup yet"), "{}", customer.text());
    customer.picture("nothing-yet");
    site.assert_quiet();
}

#[test]
fn repositories_are_added_and_tried_out_by_administrators() {
    let site = site();
    let browser = site.browser_of("admin", "");
    browser.follow(&site.url("/list/ghostsnap/repositories/"));
    browser.click_away("a[href='/add/ghostsnap/']");
    browser.fill("[name=name]", "<b>evil");
    browser.fill("[name=url]", site.machine.path("elsewhere").to_str().unwrap());
    browser.click_away("button[form='ghostsnap-add']");
    assert!(browser.has(".inline-alert-danger"), "{}", browser.text());
    assert_eq!(browser.value("document.querySelector('[name=name]').value"), "<b>evil");
    browser.fill("[name=name]", "elsewhere");
    browser.click_away("button[form='ghostsnap-add']");
    assert!(browser.text().contains("has been added"), "{}", browser.text());
    let row = ".units-table-row:last-child";
    assert!(
        browser
            .value(&format!("document.querySelector('{row}').innerText"))
            .as_str()
            .unwrap()
            .contains("elsewhere")
    );
    browser.click_away(&format!("{row} form button"));
    assert!(browser.text().contains("elsewhere can be used"), "{}", browser.text());
    browser.picture("repositories");
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn schedules_are_added_changed_done_now_and_deleted_by_administrators() {
    let site = site();
    let browser = site.browser_of("admin", "");
    browser.follow(&site.url("/list/ghostsnap/schedules/"));
    assert!(browser.text().contains("Nothing is done by itself"), "{}", browser.text());
    browser.picture("schedules-none");
    browser.click_away("a[href='/edit/ghostsnap/']");
    // Fields that are for something else are out of the way.
    let is_seen = |field: &str| {
        browser.value(&format!("document.querySelector('[name={field}]').offsetParent !== null"))
    };
    assert_eq!([is_seen("time"), is_seen("cron"), is_seen("include")], [true, false, true]);
    let choose = |field: &str, value: &str| {
        browser.value(&format!(
            "(() => {{ const one = document.querySelector('[name={field}]'); one.value = '{value}'; \
             one.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
        ))
    };
    choose("rhythm", "cron");
    choose("do", "verify");
    assert_eq!([is_seen("time"), is_seen("cron"), is_seen("include")], [false, true, false]);
    // What is refused is not lost.
    browser.fill("[name=name]", "<b>drill");
    browser.fill("[name=cron]", "0 25 * * *");
    browser.click_away("button[form='ghostsnap-schedule']");
    assert!(browser.has(".inline-alert-danger"), "{}", browser.text());
    assert_eq!(browser.value("document.querySelector('[name=name]').value"), "<b>drill");
    assert_eq!(browser.value("document.querySelector('[name=cron]').value"), "0 25 * * *");
    browser.fill("[name=name]", "night");
    choose("do", "backup");
    choose("rhythm", "weekly");
    choose("weekday", "wed");
    choose("time", "03:15");
    browser.fill("[name=include]", "bob  al*");
    browser.fill("[name=exclude]", "alice");
    browser.fill("[name=hours_max]", "5");
    browser.picture("schedule-form");
    browser.click_away("button[form='ghostsnap-schedule']");
    let row = || browser.value("document.querySelector('.units-table-row').innerText");
    let said = |part: &str| {
        let text = row();
        assert!(text.as_str().unwrap().contains(part), "{part}: {text}");
    };
    ["night", "Wednesday at 03:15", "bob,al* without alice", "Never"]
        .iter()
        .for_each(|part| said(part));
    browser.picture("schedules");
    let listed = || {
        let output = site.command("v-ghostsnap-list-schedules", &["json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let first = listed()["night"].clone();
    assert_eq!(first["WHEN"], "weekly wed 03:15");
    assert_eq!([&first["HOURS_MAX"], &first["ENABLED"]], ["5", "yes"]);
    // Saved unchanged it is what it was; then it becomes something else.
    browser.click_away(".units-table-heading-cell a");
    browser.click_away("button[form='ghostsnap-schedule']");
    assert_eq!(listed()["night"], first);
    browser.click_away("a[title='Change']");
    choose("do", "check");
    choose("rhythm", "monthly");
    browser.fill("[name=day]", "7");
    browser.fill("[name=subset]", "day/30");
    browser.click_away("button[form='ghostsnap-schedule']");
    assert_eq!(listed()["night"]["WHEN"], "monthly 7 03:15");
    assert_eq!([&listed()["night"]["SUBSET"], &listed()["night"]["INCLUDE"]], ["day/30", ""]);
    ["Check the repository", "Every month on day 7 at 03:15"].iter().for_each(|part| said(part));
    browser.click_away("button[title='Switch off']");
    said("Off");
    browser.click_away("button[title='Switch on']");
    browser.click_away("button[title='Do it now']");
    assert!(browser.text().contains("Care of the repository"), "{}", browser.text());
    browser.follow(&site.url("/list/ghostsnap/schedules/"));
    browser.click_away("a[title='Delete']");
    assert!(listed().get("night").is_some(), "it is only asked");
    browser.picture("schedule-delete");
    browser.click_away(".button-danger");
    assert_eq!(listed(), serde_json::json!({}));
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn pages_of_the_server_hold_together_in_the_dark_and_on_a_phone() {
    let site = site();
    let added = site.command("v-ghostsnap-add-schedule", &["nightly", "exclude=test-*"]);
    assert!(added.status.success(), "{added:?}");
    for (theme, size, label) in [("dark", DESKTOP, "dark"), ("", PHONE, "phone")] {
        let browser = site.browser_of("admin", theme);
        browser.resize(size);
        for (name, page) in [
            ("server", "/list/ghostsnap/server/"),
            ("setup", "/list/ghostsnap/setup/"),
            ("schedules", "/list/ghostsnap/schedules/"),
            ("schedule-form", "/edit/ghostsnap/?name=nightly"),
            ("schedule-delete", "/list/ghostsnap/schedules/?delete=nightly"),
            ("repositories", "/list/ghostsnap/repositories/"),
            ("add-repository", "/add/ghostsnap/"),
        ] {
            browser.follow(&site.url(page));
            browser.picture(&format!("{name}-{label}"));
            let wide = browser.value("document.documentElement.scrollWidth - innerWidth");
            assert!(wide.as_i64().unwrap() <= 0, "{name} {label} is {wide} pixels too wide");
            assert_eq!(browser.value(UNNAMED), serde_json::json!([]), "{name} {label}");
        }
        browser.assert_content();
    }
    site.assert_quiet();
}

#[test]
fn pages_of_the_server_are_shut_to_customers() {
    let site = site();
    let browser = site.browser_of("bob", "");
    let before = fs::read_dir(site.machine.path("etc")).unwrap().count();
    for page in
        ["server/", "repositories/", "growth/?of=alice", "jobs/?of=all", "setup/", "schedules/"]
    {
        let (_, address, text) = browser.fetch(&format!("/list/ghostsnap/{page}"), None);
        assert!(!text.contains("alice") && !text.contains("repository.key"), "{page}: {text}");
        assert!(page.starts_with("jobs") || address.ends_with("/list/ghostsnap/"), "{address}");
    }
    for page in ["/add/ghostsnap/", "/edit/ghostsnap/"] {
        let (_, address, _) = browser.fetch(page, None);
        assert!(address.ends_with("/list/ghostsnap/"), "{address}");
    }
    for action in ["add", "run", "delete"] {
        let values = [("name", "evil"), ("do", "backup"), ("time", "01:00"), ("action", action)];
        let (_, address, _) = browser.fetch("/edit/ghostsnap/", form(&browser, &values));
        assert!(address.ends_with("/list/ghostsnap/"), "{address}");
    }
    let elsewhere = site.machine.path("evil").display().to_string();
    for action in ["", "test"] {
        let values = [("name", "evil"), ("url", elsewhere.as_str()), ("action", action)];
        let (_, address, _) = browser.fetch("/add/ghostsnap/", form(&browser, &values));
        assert!(address.ends_with("/list/ghostsnap/"), "{address}");
    }
    assert_eq!(fs::read_dir(site.machine.path("etc")).unwrap().count(), before);
    assert!(!site.machine.path("evil").exists());
    site.assert_quiet();
}

#[test]
fn the_panel_gets_a_menu_entry_and_a_button_and_its_login_page_nothing() {
    let site = site();
    let browser = browser::Browser::start();
    browser.open(&site.url("/login/"));
    assert!(!browser.has("a[href='/list/ghostsnap/']"));
    browser.assert_content();
    let browser = site.browser_of("alice", "");
    browser.follow(&site.url("/list/backup/"));
    browser.picture("native-page");
    browser.click_away(".toolbar-buttons a[href='/list/ghostsnap/']");
    assert!(browser.has(".main-menu-item-link.active[href='/list/ghostsnap/']"));
    // A panel with other markup is left alone.
    let script = fs::read_to_string(project("web-panel-templates/js/custom_scripts/ghostsnap.js"));
    browser.follow(&site.url("/list/web/"));
    browser.value("document.body.innerHTML = '<p>something new</p>'; 1");
    browser.value(&format!("{}; 1", script.unwrap()));
    assert_eq!(browser.text(), "something new");
    browser.assert_content();
}
