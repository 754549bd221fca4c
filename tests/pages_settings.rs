// SPDX-License-Identifier: MIT
//! The pages of settings and notifications, in a real browser: what administrators set there, and
//! what nobody else can by any parameter. Pictures of the pages are kept below target/pages.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/browser.rs"]
mod browser;
#[path = "common/hestia.rs"]
mod double;
#[path = "common/site.rs"]
mod site;

use browser::{Browser, DESKTOP, PHONE};
use serde_json::{Value, json};
use site::{Site, form};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// What a person who does not see the page would meet without a name.
const UNNAMED: &str = "[...document.querySelectorAll('.app-content :is(a, button, input, select, \
     textarea):not([type=hidden])')].filter(one => !one.textContent.trim() && !one.title && \
     !one.labels?.length && !one.getAttribute('aria-label')).map(one => one.outerHTML)";

/// A site with these settings.
fn site(text: &str) -> Site {
    let site = Site::start();
    let folder = site.machine.path("etc/ghostsnap");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(folder.join("ghostsnap.toml"), text).unwrap();
    site
}

fn written(site: &Site) -> String {
    fs::read_to_string(site.machine.path("etc/ghostsnap/ghostsnap.toml")).unwrap()
}

/// The text of the row about a setting or receiver.
fn row(browser: &Browser, about: &str) -> String {
    let found = browser.value(&format!(
        "[...document.querySelectorAll('.units-table-row')].find(row => \
         row.innerText.includes({})).innerText.replace(/\\s+/g, ' ')",
        json!(about)
    ));
    found.as_str().unwrap().to_owned()
}

/// Clicks on what stands in that row.
fn click_in(browser: &Browser, about: &str, what: &str) {
    browser.leave(|| {
        browser.value(&format!(
            "[...document.querySelectorAll('.units-table-row')].find(row => \
             row.innerText.includes({})).querySelector({}).click()",
            json!(about),
            json!(what)
        ));
    });
}

#[test]
fn settings_are_shown_in_groups_and_changed_one_form_at_a_time() {
    let text = "# By hand.\njobs = 2 # why\n\n[users.alice]\nexclude = ['<b>x', '*.{a,b}']\n";
    let site = site(text);
    let browser = site.browser_of("admin", "");
    browser.follow(&site.url("/list/ghostsnap/server/"));
    browser.click_away("a[href='/list/ghostsnap/settings/']");
    let jobs = "Users backed up at the same time";
    assert!(row(&browser, jobs).contains("jobs 2 set 1"), "{}", row(&browser, jobs));
    assert!(row(&browser, "users.alice.exclude").contains("<b>x,*.{a,b}"));
    assert!(row(&browser, "key_file").contains("by root, at a shell"));
    browser.picture("settings");
    // What is refused is said as the command says it, and what was typed is not lost.
    click_in(&browser, jobs, "a[title=Change]");
    browser.picture("setting");
    browser.fill("[name=value]", "99");
    browser.click_away("button[form='ghostsnap-setting']");
    assert!(browser.text().contains("a number from 1 to 16"), "{}", browser.text());
    assert_eq!(browser.value("document.querySelector('[name=value]').value"), "99");
    assert_eq!(written(&site), text);
    browser.fill("[name=value]", "4");
    browser.click_away("button[form='ghostsnap-setting']");
    assert!(browser.text().contains("jobs has been changed"), "{}", browser.text());
    assert_eq!(written(&site), text.replace("jobs = 2 #", "jobs = 4 #"));
    // Back to the default.
    click_in(&browser, jobs, "a[title=Change]");
    browser.click_away("button[name=action][value=reset]");
    assert_eq!(written(&site), text.replace("jobs = 2 # why", "# why"));
    // Saved unchanged it is what it was, and a switch is one click.
    click_in(&browser, "users.alice.exclude", "a[title=Change]");
    browser.click_away("button[form='ghostsnap-setting']");
    assert!(written(&site).contains("[\"<b>x\", \"*.{a,b}\"]"), "{}", written(&site));
    click_in(&browser, "tripwire", "button[title='Switch off']");
    assert!(written(&site).contains("tripwire = false\n"), "{}", written(&site));
    click_in(&browser, "compression", "a[title=Change]");
    browser.click_away("button[form='ghostsnap-setting']");
    assert!(!written(&site).contains("compression"), "nothing is the default");
    // Words to choose from.
    click_in(&browser, "Read the live user", "a[title=Change]");
    browser.value("document.querySelector('[name=value]').value = 'tarball'");
    browser.click_away("button[form='ghostsnap-setting']");
    assert!(written(&site).contains("mode = \"tarball\"\n"), "{}", written(&site));
    // For one user.
    browser.click_away("a[href='/edit/ghostsnap/setting/']");
    browser.fill("[name=key]", "users.bob.shoes");
    browser.fill("[name=value]", "<i>42");
    browser.click_away("button[form='ghostsnap-setting']");
    assert!(browser.text().contains("find the setting 'users.bob.shoes'"), "{}", browser.text());
    assert_eq!(browser.value("document.querySelector('[name=value]').value"), "<i>42");
    browser.fill("[name=key]", "users.bob.keep.daily");
    browser.fill("[name=value]", "30");
    browser.click_away("button[form='ghostsnap-setting']");
    assert!(written(&site).contains("[users.bob.keep]\ndaily = 30\n"), "{}", written(&site));
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn another_repository_is_chosen_and_the_page_says_what_that_means() {
    let site = site("");
    site.back_up("alice");
    let folder = site.machine.path("offsite").display().to_string();
    let added = site.command("v-ghostsnap-add-repository", &["offsite", &folder]);
    assert!(added.status.success(), "{added:?}");
    let browser = site.browser_of("admin", "");
    browser.follow(&site.url("/list/ghostsnap/repositories/"));
    browser.click_away("a[href*='setting/?key=repository']");
    for words in ["stay where they are", "not listed any more", "a first one"] {
        assert!(browser.text().contains(words), "{words}: {}", browser.text());
    }
    browser.picture("setting-repository");
    browser.value("document.querySelector('[name=value]').value = 'offsite'");
    browser.click_away("button[form='ghostsnap-setting']");
    assert_eq!(written(&site), "repository = \"offsite\"\n");
    assert_eq!(site.snapshots("alice").len(), 0);
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn receivers_are_shown_with_what_is_wrong_and_get_a_test() {
    let site = site(
        "[notifications]\npanel = true\nmail = ['ops@example.com']\ntimeout_seconds = 1\n\
         [notifications.webhooks.ops]\nurl_file = '/nonexistent/ops.url'\n",
    );
    let browser = site.browser_of("admin", "");
    browser.follow(&site.url("/list/ghostsnap/notifications/"));
    assert!(row(&browser, "webhook ops").contains("Nothing to tell yet"));
    click_in(&browser, "webhook ops", "button[title='Send a test']");
    assert!(browser.text().contains("No test reached webhook ops: "), "{}", browser.text());
    click_in(&browser, "mail ops@example.com", "button[title='Send a test']");
    assert!(browser.text().contains("A test was sent to mail ops@example.com"));
    browser.click_away(".toolbar form button");
    for words in ["No test reached webhook ops", "A test was sent to panel", "sent to mail ops"] {
        assert!(browser.text().contains(words), "{words}: {}", browser.text());
    }
    // Somebody who is not told stands first, with since when and why.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ghostsnap"))
        .args(["hestia", "notify"])
        .env_clear()
        .env("GHOSTSNAP_HESTIA_BELOW", site.machine.folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(30), "{output:?}");
    browser.follow(&site.url("/list/ghostsnap/notifications/"));
    let first = browser.value("document.querySelector('.units-table-row').innerText");
    for words in ["webhook ops", "Does not arrive", "since 20", "no such file"] {
        assert!(first.as_str().unwrap().contains(words), "{words}: {first}");
    }
    browser.picture("notifications");
    // What is told is set here, and the form leads back here.
    click_in(&browser, "notifications.users.panel", "button[title='Switch on']");
    assert!(browser.address().ends_with("/list/ghostsnap/notifications/"), "{}", browser.address());
    assert!(written(&site).contains("[notifications.users]\npanel = true\n"), "{}", written(&site));
    click_in(&browser, "by mail and webhooks", "a[title=Change]");
    browser.value("document.querySelector('[name=value]').value = 'weekly'");
    browser.click_away("button[form='ghostsnap-setting']");
    assert!(written(&site).contains("digest = \"weekly\"\n"), "{}", written(&site));
    assert!(browser.address().ends_with("/list/ghostsnap/notifications/"), "{}", browser.address());
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn pages_of_settings_hold_together_in_the_dark_and_on_a_phone() {
    let site = site(
        "[notifications]\npanel = true\nmail = ['somebody.with.a.long.name@mail.example.com']\n\
         [users.alice]\nexclude = ['/web/shop.example/public_html/videos/of/the/last/ten/years']\n",
    );
    for (theme, size, label) in [("dark", DESKTOP, "dark"), ("", PHONE, "phone")] {
        let browser = site.browser_of("admin", theme);
        browser.resize(size);
        for (name, page) in [
            ("settings", "/list/ghostsnap/settings/"),
            ("setting", "/edit/ghostsnap/setting/?key=mode"),
            ("setting-new", "/edit/ghostsnap/setting/"),
            ("setting-repository", "/edit/ghostsnap/setting/?key=repository"),
            ("notifications", "/list/ghostsnap/notifications/"),
        ] {
            browser.follow(&site.url(page));
            browser.picture(&format!("{name}-{label}"));
            let wide = browser.value("document.documentElement.scrollWidth - innerWidth");
            assert!(wide.as_i64().unwrap() <= 0, "{name} {label} is {wide} pixels too wide");
            assert_eq!(browser.value(UNNAMED), json!([]), "{name} {label}");
        }
        // And the keyboard alone leads on.
        browser.follow(&site.url("/edit/ghostsnap/setting/?key=jobs"));
        browser.fill("[name=value]", "3");
        browser.leave(|| browser.press("Enter"));
        assert!(written(&site).contains("jobs = 3\n"), "{}", written(&site));
        browser.assert_content();
    }
    site.assert_quiet();
}

#[test]
fn settings_are_shut_to_customers_and_to_whoever_has_no_token() {
    let text = "# mine\njobs = 2\n[notifications]\nmail = ['ops@example.com']\n";
    let site = site(text);
    let bob = site.browser_of("bob", "");
    for page in [
        "/list/ghostsnap/settings/",
        "/list/ghostsnap/notifications/",
        "/edit/ghostsnap/setting/?key=jobs",
        "/edit/ghostsnap/notification/",
    ] {
        let (_, address, seen) = bob.fetch(page, None);
        assert!(address.ends_with("/list/ghostsnap/"), "{page}: {address}");
        assert!(!seen.contains("ops@example.com"), "{page}: {seen}");
    }
    let values = [("key", "jobs"), ("value", "9"), ("receiver", "mail ops@example.com")];
    for page in ["/edit/ghostsnap/setting/", "/edit/ghostsnap/notification/"] {
        let (_, address, _) = bob.fetch(page, form(&bob, &values));
        assert!(address.ends_with("/list/ghostsnap/"), "{page}: {address}");
    }
    // An administrator whose token is not that of the session, or who only looks.
    let admin = site.browser_of("admin", "");
    for page in ["/edit/ghostsnap/setting/", "/edit/ghostsnap/notification/"] {
        let mut values: Option<Value> = form(&admin, &values);
        values.as_mut().unwrap()["token"] = "guessed".into();
        let (_, address, _) = admin.fetch(page, values);
        assert!(address.contains("/login/"), "{page}: {address}");
    }
    let (_, _, _) = admin.fetch("/edit/ghostsnap/setting/?key=jobs&value=9", None);
    // Keys that are for a shell or an editor are not asked for.
    for key in ["key_file", "notifications.webhooks.x.url_file", "nothing", "<b>"] {
        let page = format!("/edit/ghostsnap/setting/?key={key}");
        let (_, address, seen) = admin.fetch(&page, None);
        assert!(address.ends_with("/list/ghostsnap/settings/"), "{key}: {address}");
        assert!(seen.contains("That is not changed here"), "{key}");
    }
    assert_eq!(written(&site), text);
    assert!(!site.machine.path("mails").exists(), "nothing was sent");
    site.assert_quiet();
}

#[test]
fn a_customer_decides_what_is_allowed_and_sees_nothing_of_it_else() {
    let site = site("");
    site.back_up("alice");
    let browser = site.browser_of("alice", "");
    browser.follow(&site.url("/list/ghostsnap/"));
    assert!(!browser.has("a[href='/list/ghostsnap/own/']"));
    let (_, address, text) = browser.fetch("/list/ghostsnap/own/", None);
    assert!(address.ends_with("/list/ghostsnap/?view=own"), "{address}");
    assert!(text.contains("The administrator decides"), "{text}");
    let values = [("action", "excludes"), ("excludes", "videos")];
    let (_, _, text) = browser.fetch("/edit/ghostsnap/own/", form(&browser, &values));
    assert!(text.contains("The administrator decides"), "{text}");
    assert!(!site.machine.path("etc/ghostsnap/customers").exists());
    // Allowed.
    let set = |key: &str| {
        let set = site.command("v-ghostsnap-change-setting", &[key, "yes"]);
        assert!(set.status.success(), "{set:?}");
    };
    set("users.alice.customer.exclude");
    browser.follow(&site.url("/list/ghostsnap/"));
    browser.click_away("a[href='/list/ghostsnap/own/']");
    assert!(!browser.has("#ghostsnap-own-schedule"));
    set("customers.schedule");
    browser.follow(&site.url("/list/ghostsnap/own/"));
    assert_eq!(
        browser.value("document.querySelector('#ghostsnap-time').offsetParent"),
        Value::Null
    );
    let choose = |field: &str, value: &str| {
        browser.value(&format!(
            "(() => {{ const one = document.querySelector('[name={field}]'); one.value = '{value}'; \
             one.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
        ))
    };
    choose("rhythm", "weekly");
    choose("weekday", "wed");
    choose("time", "03:15");
    browser.picture("own");
    browser.click_away("#ghostsnap-own-schedule button[type=submit]");
    assert!(browser.text().contains("own schedule has been changed"), "{}", browser.text());
    // A day without its year, and the time: `Next: 02 Dec, 03:41`.
    let text = browser.text();
    let next = text.lines().find_map(|line| line.split_once("Next: ")).unwrap().1;
    let (day, clock) = next.split_at(8);
    assert!(
        day.ends_with(", ") && (clock.starts_with("03:") || clock.starts_with("04:")),
        "{text}"
    );
    let kept = || {
        let file = site.machine.path("etc/ghostsnap/customers/alice.toml");
        fs::read_to_string(file).unwrap()
    };
    assert!(kept().contains("when = \"weekly wed 03:15\""), "{}", kept());
    // What is refused is not lost.
    let fill = |text: &str| {
        browser
            .value(&format!("document.querySelector('[name=excludes]').value = {}", json!(text)));
        browser.click_away("#ghostsnap-own-excludes button[type=submit]");
    };
    fill("*\n</textarea><script>window.isOwned=1</script>");
    assert!(browser.text().contains("leaves everything out"), "{}", browser.text());
    let shown = || browser.value("document.querySelector('[name=excludes]').value");
    assert_eq!(shown(), "*\n</textarea><script>window.isOwned=1</script>");
    fill("</textarea><script>window.isOwned=1</script>\n\n  My Files/videos  \n--help");
    assert!(browser.text().contains("exclusions have been changed"), "{}", browser.text());
    assert_eq!(shown(), "</textarea><script>window.isOwned=1</script>\nMy Files/videos\n--help");
    assert_eq!(browser.value("window.isOwned"), Value::Null);
    choose("rhythm", "never");
    browser.click_away("#ghostsnap-own-schedule button[type=submit]");
    assert!(kept().contains("when = \"\""), "{}", kept());
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn a_copy_at_night_is_set_up_on_the_page_of_schedules() {
    let site = site("");
    site.back_up("alice");
    site.back_up("admin");
    let folder = site.machine.path("offsite").display().to_string();
    let added = site.command("v-ghostsnap-add-repository", &["offsite", &folder]);
    assert!(added.status.success(), "{added:?}");
    let browser = site.browser_of("admin", "");
    browser.follow(&site.url("/edit/ghostsnap/"));
    let is_seen = |field: &str| {
        browser
            .value(&format!("document.querySelector(\"[name='{field}']\").offsetParent !== null"))
    };
    let fields = ["copy_from", "to[]", "newest", "repositories[]", "include"];
    assert_eq!(fields.map(is_seen), [false, false, false, true, true]);
    let choose = |field: &str, value: &str| {
        browser.value(&format!(
            "(() => {{ const one = document.querySelector('[name={field}]'); one.value = '{value}'; \
             one.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
        ))
    };
    choose("do", "copy");
    assert_eq!(fields.map(is_seen), [true, true, true, false, false]);
    browser.fill("[name=name]", "copy");
    choose("time", "04:00");
    browser.picture("schedule-copy");
    // Without a place to copy into it is refused, and what was typed is not lost.
    browser.fill("[name=newest]", "7");
    browser.click_away("button[form='ghostsnap-schedule']");
    assert!(browser.text().contains("a copy needs to=NAME"), "{}", browser.text());
    assert_eq!(browser.value("document.querySelector('[name=newest]').value"), "7");
    browser.value("document.querySelector(\"[name='to[]'][value=offsite]\").click()");
    browser.click_away("button[form='ghostsnap-schedule']");
    let shown = row(&browser, "copy");
    let said = ["Copy to another repository", "from default to offsite", "Every day at 04:00"];
    assert!(said.iter().all(|part| shown.contains(part)), "{shown}");
    let listed = || {
        let output = site.command("v-ghostsnap-list-schedules", &["json"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["copy"].clone()
    };
    let first = listed();
    assert_eq!([&first["FROM"], &first["TO"], &first["NEWEST"]], ["default", "offsite", "7"]);
    assert_eq!(browser.value(UNNAMED), json!([]));
    // Saved unchanged it is what it was; done now it is a job.
    browser.click_away(".units-table-heading-cell a");
    browser.click_away("button[form='ghostsnap-schedule']");
    assert_eq!(listed(), first);
    browser.click_away("button[title='Do it now']");
    assert!(browser.text().contains("Copy to another repository"), "{}", browser.text());
    // What it copied of the server's own account is not for an administrator who may not see that.
    site.machine.add_user("helper");
    site.change("helper", "ROLE", "admin");
    let helper = site.browser_of("helper", "");
    let page = format!("/list/ghostsnap/jobs/?of=all&job={}", listed()["JOBS"].as_str().unwrap());
    helper.follow(&site.url(&page));
    helper.wait_for("document.body.innerText.includes('alice')");
    assert!(helper.text().contains("admin"), "{}", helper.text());
    helper.picture("job-copy");
    site.set("POLICY_SYSTEM_HIDE_ADMIN=yes");
    helper.follow(&site.url(&page));
    assert!(helper.text().contains("alice"), "{}", helper.text());
    assert!(!helper.text().contains("admin"), "{}", helper.text());
    site.set("");
    // As another task it has nothing left of a copy.
    browser.follow(&site.url("/edit/ghostsnap/?name=copy"));
    choose("do", "check");
    browser.click_away("button[form='ghostsnap-schedule']");
    let other = listed();
    assert_eq!([&other["DO"], &other["FROM"], &other["TO"]], ["check", "", ""]);
    browser.assert_content();
    site.assert_quiet();
}

#[test]
fn nobody_sees_or_changes_what_another_customer_decided() {
    let site = site("[customers]\nschedule = true\nexclude = true\n");
    let own = site.command("v-ghostsnap-change-user-excludes", &["alice", "secret-project"]);
    assert!(own.status.success(), "{own:?}");
    let own = site.command("v-ghostsnap-change-user-schedule", &["alice", "daily 03:00"]);
    assert!(own.status.success(), "{own:?}");
    let file = site.machine.path("etc/ghostsnap/customers/alice.toml");
    let before = fs::read_to_string(&file).unwrap();
    let bob = site.browser_of("bob", "");
    for page in
        ["?user=alice", "?of=alice", "?account=alice", "?look=alice", "alice/", "?view=alice"]
    {
        let (_, _, text) = bob.fetch(&format!("/list/ghostsnap/own/{page}"), None);
        assert!(!text.contains("secret-project") && !text.contains("03:00"), "{page}");
    }
    for action in ["excludes", "schedule"] {
        for name in ["user", "of", "account", "look", "USER"] {
            let values = [
                (name, "alice"),
                ("action", action),
                ("excludes", "mine"),
                ("rhythm", "daily"),
                ("time", "05:00"),
            ];
            bob.fetch("/edit/ghostsnap/own/", form(&bob, &values));
            assert_eq!(fs::read_to_string(&file).unwrap(), before, "{action} {name}");
        }
        let mut values = form(&bob, &[("action", action), ("excludes", "other")]);
        values.as_mut().unwrap()["token"] = "guessed".into();
        let (_, address, _) = bob.fetch("/edit/ghostsnap/own/", values);
        assert!(address.contains("/login/"), "{address}");
    }
    let of_bob = fs::read_to_string(site.machine.path("etc/ghostsnap/customers/bob.toml")).unwrap();
    assert!(of_bob.contains("mine") && of_bob.contains("daily 05:00"), "{of_bob}");
    // An administrator who looks after a customer has that customer's page.
    let admin = site.browser_of("admin", "");
    let token = admin.value("document.querySelector('#token').getAttribute('token')");
    admin.follow(&site.url(&format!("/login/?loginas=alice&token={}", token.as_str().unwrap())));
    admin.follow(&site.url("/list/ghostsnap/own/"));
    assert_eq!(admin.value("document.querySelector('[name=excludes]').value"), "secret-project");
    // Who is looked at only, changes nothing.
    site.set("POLICY_USER_VIEW_SUSPENDED=yes");
    site.change("bob", "SUSPENDED", "yes");
    let values = [("action", "excludes"), ("excludes", "later")];
    let (_, _, text) = bob.fetch("/edit/ghostsnap/own/", form(&bob, &values));
    assert!(text.contains("can only be looked at"), "{text}");
    assert!(
        !fs::read_to_string(site.machine.path("etc/ghostsnap/customers/bob.toml"))
            .unwrap()
            .contains("later")
    );
    site.assert_quiet();
}

#[test]
fn the_page_of_a_customer_holds_together_in_the_dark_and_on_a_phone() {
    let site = site("[customers]\nschedule = true\nexclude = true\n");
    site.back_up("alice");
    let excludes = ["alice", "/web/shop.example/public_html/videos/of/the/last/ten/years", "*.iso"];
    let own = site.command("v-ghostsnap-change-user-excludes", &excludes);
    assert!(own.status.success(), "{own:?}");
    for (theme, size, label) in [("dark", DESKTOP, "dark"), ("", PHONE, "phone")] {
        let browser = site.browser_of("alice", theme);
        browser.resize(size);
        browser.follow(&site.url("/list/ghostsnap/"));
        browser.picture(&format!("list-own-{label}"));
        browser.click_away("a[href='/list/ghostsnap/own/']");
        browser.picture(&format!("own-{label}"));
        let wide = browser.value("document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{label} is {wide} pixels too wide");
        assert_eq!(browser.value(UNNAMED), json!([]), "{label}");
        browser.assert_content();
    }
    site.assert_quiet();
}
