// SPDX-License-Identifier: MIT
//! Notifications through the program itself, against a double of HestiaCP and a receiver on
//! loopback: who is told what and when, and that nothing of it harms a backup or tells a secret.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;
#[path = "common/receiver.rs"]
mod receiver;

use double::*;
use receiver::{Answer, Receiver};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// What would be the key to somebody's chat.
const SECRET: &str = "T0kenThatNobodyMaySee";

/// A machine, a receiver, and everything that was said.
struct Site {
    machine: Machine,
    receiver: Receiver,
    said: Mutex<String>,
}

impl Site {
    /// With these settings; `HOOK` in them is the file with the receiver's URL.
    fn new(settings: &str) -> Self {
        let machine = machine();
        machine.add_user("admin");
        let receiver = Receiver::start();
        let site = Self { machine, receiver, said: Mutex::default() };
        fs::create_dir_all(site.machine.path("etc/ghostsnap")).unwrap();
        let url = format!("{}/services/{SECRET}?key={SECRET}", site.receiver.url);
        let hook = site.secret("hook.url", &url);
        let hook = format!("url_file = '{hook}'\nallow_http = true");
        site.set(&settings.replace("HOOK", &hook));
        site
    }

    fn secret(&self, name: &str, text: &str) -> String {
        let path = self.machine.path(&format!("etc/ghostsnap/{name}"));
        fs::write(&path, format!("{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    fn set(&self, settings: &str) {
        fs::write(self.machine.path("etc/ghostsnap/ghostsnap.toml"), settings).unwrap();
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_ghostsnap"))
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("GHOSTSNAP_HESTIA_BELOW", self.machine.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (stdout, stderr) =
            (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        self.said.lock().unwrap().push_str(&format!("{stdout}\n{stderr}\n"));
        (status.code().unwrap(), stdout)
    }

    fn ok(&self, args: &[&str]) -> String {
        let (code, text) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {text}");
        text
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.machine.path(name)).unwrap_or_default()
    }

    /// Titles of what has come since the last time.
    fn titles(&self) -> Vec<String> {
        let title = |one: receiver::Received| one.json()["title"].as_str().unwrap().to_owned();
        self.receiver.take().into_iter().map(title).map(|title| without_host(&title)).collect()
    }

    /// No word that was said, and no file beside the secret's own, holds the secret.
    fn assert_no_secret_was_told(&self) {
        assert!(!self.said.lock().unwrap().contains(SECRET));
        let mut folders = vec![self.machine.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_symlink() || path.extension().is_some_and(|end| end == "url") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = fs::read(&path).unwrap();
                let found = String::from_utf8_lossy(&bytes).contains(SECRET);
                assert!(!found, "{}", path.display());
            }
        }
    }
}

fn without_host(title: &str) -> String {
    let rest = title.strip_prefix("Ghostsnap on ").and_then(|rest| rest.split_once(": "));
    rest.map_or(title, |(_, rest)| rest).to_owned()
}

fn rows(text: &str) -> Vec<Value> {
    let rows: Value = serde_json::from_str(text).unwrap();
    rows.as_object().unwrap().values().cloned().collect()
}

const ALL_WAYS: &str = "[notifications]\npanel = true\nmail = ['ops@a.example']\n\
                        [notifications.webhooks.ops]\nHOOK\n";

#[test]
fn a_copy_that_lacks_something_is_told_and_so_is_its_end() {
    let site = Site::new("[notifications.webhooks.ops]\nHOOK\n");
    let packs = site.machine.path("var/lib/ghostsnap/repository/packs");
    let away = site.machine.path("var/lib/ghostsnap/packs-away");
    let offsite = site.machine.path("offsite").display().to_string();
    site.ok(&["hestia", "backup"]);
    site.ok(&["repository", "add", "offsite", &offsite]);
    // Somebody took the content away.
    fs::rename(&packs, &away).unwrap();
    let copy = ["copy", "--from", "default", "--to", "offsite"];
    assert_eq!(site.run(&copy).0, 30);
    let told = site.receiver.take();
    assert_eq!(told.len(), 1);
    let trouble = &told[0].json()["troubles"][0];
    assert_eq!([&trouble["name"], &trouble["sort"]], ["offsite", "copy"]);
    let text = trouble["text"].as_str().unwrap();
    assert!(text.starts_with("the copy of ") && text.contains("is not complete: "), "{text}");
    // A dry run finds the same, and is no news; nor is one user's copy.
    assert_eq!(site.run(&[&copy[..], &["--dry-run"]].concat()).0, 30);
    assert_eq!(site.run(&[&copy[..], &["--user", "nobody"]].concat()).0, 3);
    assert_eq!(site.titles(), [""; 0]);
    fs::rename(&away, &packs).unwrap();
    site.ok(&[&copy[..], &["--user", "alice"]].concat());
    assert_eq!(site.titles(), [""; 0]);
    site.ok(&copy);
    let told = site.receiver.take();
    let over = told[0].json();
    assert_eq!((told.len(), &over["event"]), (1, &"over".into()));
    assert!(over["text"][0].as_str().unwrap().contains("the last copy into it is whole"), "{over}");
    assert_eq!(site.run(&["hestia", "check-health"]).0, 0);
}

#[test]
fn trouble_is_told_once_by_every_way_and_so_is_its_end() {
    let site = Site::new(ALL_WAYS);
    site.ok(&["hestia", "backup"]);
    assert_eq!(site.titles(), [""; 0], "all is well");
    site.machine.fault("dump-breaks-alice_wp");
    let (code, _) = site.run(&["--panel", "v-ghostsnap-backup-user", "alice"]);
    assert_eq!(code, 30);
    let told = site.receiver.take();
    assert_eq!(told.len(), 1);
    assert!(told[0].path.starts_with(&format!("/services/{SECRET}?key=")));
    let message = told[0].json();
    assert_eq!((&message["event"], &message["light"]), (&"trouble".into(), &"yellow".into()));
    assert_eq!(message["troubles"][0]["name"], "alice");
    let line = message["text"][0].as_str().unwrap();
    assert!(line.starts_with("alice: the last backup is not complete: "), "{line}");
    assert!(line.contains("alice_wp"), "{line}");
    let mails = site.file("mails");
    assert!(mails.starts_with("To: ops@a.example\nSubject: Ghostsnap on "), "{mails}");
    assert!(mails.contains("alice_wp"), "{mails}");
    let bells = site.file("bells");
    assert!(bells.contains("admin: Ghostsnap on ") && bells.contains("<p>alice: "), "{bells}");
    // The same night after night is not told again.
    site.run(&["hestia", "backup", "--user", "alice"]);
    site.ok(&["hestia", "notify"]);
    assert_eq!(site.titles(), [""; 0]);
    assert_eq!(site.file("mails"), mails);
    // Its end is.
    site.machine.heal();
    site.ok(&["hestia", "backup", "--user", "alice"]);
    assert_eq!(site.titles(), ["1 problem is over"]);
    assert!(site.file("mails").contains("Over: alice: the last backup is complete"));
    site.ok(&["hestia", "notify"]);
    assert_eq!(site.titles(), [""; 0]);
    site.assert_no_secret_was_told();
}

#[test]
fn a_receiver_that_hangs_or_fails_harms_no_backup_and_is_told_of() {
    let settings = ALL_WAYS.replace("panel = true", "panel = true\ntimeout_seconds = 1");
    let site = Site::new(&settings);
    site.receiver.answer(Answer::Never);
    site.machine.fault("mail-fails");
    site.ok(&["hestia", "backup", "--user", "alice"]);
    // Bob and the administrator have no backup; the panel was told, the others were tried.
    assert!(site.file("bells").contains("there is no backup"));
    assert_eq!(site.receiver.take().len(), 3, "tried three times");
    site.receiver.answer(Answer::Status(500));
    let (code, text) = site.run(&["hestia", "notify", "--json"]);
    assert_eq!(code, 30);
    assert!(text.contains("it answers 500"), "{text}");
    assert_eq!(site.receiver.take().len(), 3);
    let listed = rows(&site.ok(&["--panel", "v-ghostsnap-list-notifications", "json"]));
    let states: Vec<&str> = listed.iter().map(|row| row["STATE"].as_str().unwrap()).collect();
    assert_eq!(states, ["well", "failing", "failing"]);
    let log = site.file("var/log/ghostsnap/notifications.log");
    assert!(log.contains("webhook ops: cannot send to webhook ops: it answers 500"), "{log}");
    // Twice in a row is a trouble of its own, which whoever can be told is told.
    site.run(&["hestia", "notify"]);
    assert!(site.file("bells").contains("notifications to webhook ops: they do not arrive"));
    // What did not arrive arrives later.
    site.receiver.take();
    site.receiver.answer(Answer::Status(204));
    site.machine.heal();
    site.ok(&["hestia", "notify"]);
    assert_eq!(site.titles(), ["3 problems"], "two users, and the mail");
    assert!(site.file("mails").contains("there is no backup"));
    site.ok(&["hestia", "notify"]);
    assert!(site.file("bells").contains("Over: notifications to webhook ops: they arrive again"));
    site.assert_no_secret_was_told();
}

#[test]
fn a_redirect_takes_no_secret_to_somebody_else() {
    let site = Site::new("[notifications.webhooks.ops]\nHOOK\n");
    let other = Receiver::start();
    site.receiver.answer(Answer::Redirect(format!("{}/x", other.url)));
    let (code, text) = site.run(&["--panel", "v-ghostsnap-test-notification", "ops", "json"]);
    assert_eq!(code, 15);
    assert!(text.contains("307, a redirect, and those are not followed"), "{text}");
    assert_eq!((site.receiver.take().len(), other.take().len()), (1, 0));
    site.assert_no_secret_was_told();
}

#[test]
fn each_preset_speaks_as_its_receiver_does() {
    let site = Site::new(
        "[notifications.webhooks.slack]\nHOOK\npreset = 'slack'\n\
         [notifications.webhooks.discord]\nHOOK\npreset = 'discord'\n\
         [notifications.webhooks.telegram]\nHOOK\npreset = 'telegram'\nchat_id = '-100'\n\
         [notifications.webhooks.ntfy]\nHOOK\npreset = 'ntfy'\ntoken_env = 'NONE'\n",
    );
    let test = |name: &str| {
        site.ok(&["hestia", "test-notification", name]);
        site.receiver.take().remove(0).json()
    };
    assert!(test("slack")["text"].as_str().unwrap().contains("a test"));
    assert_eq!(test("discord")["allowed_mentions"]["parse"].as_array().unwrap().len(), 0);
    assert_eq!(test("telegram")["chat_id"], "-100");
    // A token that is not there is told, and nothing is sent without it.
    let (code, text) = site.run(&["hestia", "test-notification", "ntfy", "--json"]);
    assert_eq!(code, 9, "{text}");
    assert_eq!(site.receiver.take().len(), 0);
    let token = site.secret("token.url", SECRET);
    let hook = site.machine.path("etc/ghostsnap/hook.url").display().to_string();
    site.set(&format!(
        "[notifications.webhooks.ntfy]\npreset = 'ntfy'\nurl_file = '{hook}'\nallow_http = true\n\
         token_file = '{token}'\n"
    ));
    site.ok(&["hestia", "test-notification"]);
    let received = site.receiver.take().remove(0);
    assert_eq!(received.path, "/services", "the topic goes along as JSON");
    assert_eq!(received.json()["topic"], SECRET);
    assert!(received.headers.to_lowercase().contains("authorization: bearer "));
    let (code, text) = site.run(&["hestia", "test-notification", "nobody"]);
    assert_eq!((code, text.as_str()), (3, ""));
    site.assert_no_secret_was_told();
}

#[test]
fn a_customer_is_told_what_is_theirs_and_nothing_of_the_servers() {
    let site = Site::new(
        "[notifications.users]\npanel = true\nmail = true\n\
         [users.bob]\nnotifications = { mail = false }\n\
         [notifications.webhooks.alice]\nHOOK\nuser = 'alice'\n",
    );
    site.ok(&["hestia", "backup"]);
    // The repository is gone: the server's trouble.
    let place = site.machine.path("var/lib/ghostsnap/repository");
    let aside = site.machine.path("aside");
    fs::rename(&place, &aside).unwrap();
    let (code, _) = site.run(&["hestia", "backup"]);
    assert_ne!(code, 0);
    let message = site.receiver.take().remove(0);
    assert!(message.body.contains("the administrator knows"), "{}", message.body);
    for hidden in ["/var/lib", "repository", "default", "bob"] {
        assert!(!message.body.contains(hidden), "{hidden}: {}", message.body);
        assert!(!site.file("mails").contains(hidden), "{hidden}: {}", site.file("mails"));
    }
    assert!(
        site.file("mails").contains("To: alice@a.example\nSubject: Backups of alice: 1 problem")
    );
    assert!(!site.file("mails").contains("bob@"), "bob wants no mails");
    let bells = site.file("bells");
    assert!(bells.contains("bob: Backups of bob: 1 problem"), "{bells}");
    // It comes back.
    fs::rename(&aside, &place).unwrap();
    site.ok(&["hestia", "backup"]);
    assert_eq!(site.titles(), ["Backups of alice: 1 problem is over"]);
    site.assert_no_secret_was_told();
}

#[test]
fn a_customer_reads_nothing_of_a_second_repository_that_is_gone() {
    let site = Site::new("[notifications.webhooks.alice]\nHOOK\nuser = 'alice'\n");
    let second = site.machine.path("srv/second-place");
    fs::create_dir_all(second.parent().unwrap()).unwrap();
    let second = second.display().to_string();
    site.ok(&["repository", "add", "offsite", &second]);
    let path = site.machine.path("etc/ghostsnap/ghostsnap.toml");
    let settings = format!("also = ['offsite']\n{}", fs::read_to_string(&path).unwrap());
    fs::write(&path, settings).unwrap();
    site.ok(&["hestia", "backup"]);
    fs::rename(&second, site.machine.path("aside")).unwrap();
    site.machine.fault("dump-breaks-alice_wp");
    let (code, _) = site.run(&["hestia", "backup", "--user", "alice"]);
    assert_eq!(code, 30);
    let message = site.receiver.take().remove(0);
    let own = "cannot dump the database alice_wp; the administrator knows why";
    assert!(message.body.contains(own), "what is alice's own: {}", message.body);
    for hidden in ["second-place", "offsite", "default", "/srv", "mariadb-dump", "Lost connection"]
    {
        assert!(!message.body.contains(hidden), "{hidden}: {}", message.body);
    }
    let looked = site.ok(&["--panel", "v-ghostsnap-list-user-health", "alice", "json"]);
    assert!(looked.contains("alice_wp") && !looked.contains("second-place"), "{looked}");
}

#[test]
fn hostile_names_stay_text() {
    let site = Site::new(ALL_WAYS);
    let home = site.machine.hestia.user_home(&user("bob"));
    // A file that cannot be read, with a name that means something in HTML, shells and headers.
    let name = "<img src=x onerror=alert(1)>\"'$(id)`id`\r\nBcc: all@b.example\u{202e}\\";
    std::os::unix::fs::symlink("x", home.join("link")).unwrap();
    nix::unistd::mkfifo(&home.join("My Files/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(home.join(name)).unwrap();
    let run = serde_json::json!({
        "identity": "2026-11-22T07:03:50", "time": 2_000_000_000, "milliseconds": 1,
        "result": "failed", "reasons": [format!("cannot read {name}")],
        "own": [format!("cannot read {name}")], "repositories": [],
    });
    site.ok(&["hestia", "backup"]);
    site.receiver.take();
    let runs = site.machine.path("var/lib/ghostsnap/runs/bob.json");
    fs::write(&runs, run.to_string()).unwrap();
    site.ok(&["hestia", "notify"]);
    let mails = site.file("mails");
    assert!(mails.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;$(id)`id`"), "{mails}");
    assert!(!mails.contains("<img") && !mails.contains("\nBcc:"), "{mails}");
    assert!(!mails.contains('\u{202e}'), "{mails}");
    let bells = site.file("bells");
    assert!(!bells.contains("<img") && !bells.contains('\\') && !bells.contains('\r'), "{bells}");
    assert!(bells.contains("&lt;img"), "{bells}");
    assert_eq!(site.receiver.take().len(), 1);
}

#[test]
fn summaries_are_sent_when_they_are_due() {
    let site = Site::new(
        "[notifications]\ndigest = 'daily'\n[notifications.webhooks.ops]\nHOOK\n\
         [notifications.users]\nmail = true\ndigest = 'weekly'\n",
    );
    site.ok(&["hestia", "backup"]);
    assert_eq!(site.titles(), [""; 0], "not before the first one is due");
    let book = site.machine.path("var/lib/ghostsnap/notifications/told.json");
    let mut told: Value = serde_json::from_str(&fs::read_to_string(&book).unwrap()).unwrap();
    for receiver in told["receivers"].as_object_mut().unwrap().values_mut() {
        receiver["digest"] = 1_700_000_000.into();
    }
    fs::write(&book, told.to_string()).unwrap();
    site.ok(&["hestia", "notify"]);
    let message = site.receiver.take().remove(0).json();
    assert_eq!(
        without_host(message["title"].as_str().unwrap()),
        "summary: 3 green, 0 yellow, 0 red"
    );
    assert_eq!(message["text"][2], "Nothing is wrong.");
    let mails = site.file("mails");
    assert!(mails.contains("To: bob@a.example\nSubject: Backups of bob: summary"), "{mails}");
    assert!(mails.contains("The last complete backup is of 20"), "{mails}");
    site.ok(&["hestia", "notify"]);
    assert_eq!(site.receiver.take().len(), 0);
    assert_eq!(site.file("mails"), mails);
}

#[test]
fn a_repository_that_cannot_be_read_is_one_line_whoever_it_is_about() {
    let site = Site::new(ALL_WAYS);
    site.ok(&["hestia", "backup"]);
    site.titles();
    fs::rename(site.machine.path("var/lib/ghostsnap/repository"), site.machine.path("aside"))
        .unwrap();
    site.ok(&["hestia", "notify"]);
    let message = site.receiver.take().remove(0).json();
    let lines = message["text"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{message}");
    assert!(lines[0].as_str().unwrap().starts_with("repository default: cannot "), "{message}");
    fs::rename(site.machine.path("aside"), site.machine.path("var/lib/ghostsnap/repository"))
        .unwrap();
    site.ok(&["hestia", "notify"]);
    assert_eq!(site.titles(), ["1 problem is over"]);
}

#[test]
fn a_summary_never_says_that_all_is_well_of_what_nobody_knows() {
    let site = Site::new(
        "[notifications]\ndigest = 'daily'\n[notifications.webhooks.ops]\nHOOK\n\
         [notifications.webhooks.alice]\nHOOK\nuser = 'alice'\ndigest = 'daily'\n",
    );
    site.ok(&["hestia", "backup"]);
    fs::rename(site.machine.path("var/lib/ghostsnap/repository"), site.machine.path("aside"))
        .unwrap();
    let book = site.machine.path("var/lib/ghostsnap/notifications/told.json");
    let mut told: Value = serde_json::from_str(&fs::read_to_string(&book).unwrap()).unwrap();
    for receiver in told["receivers"].as_object_mut().unwrap().values_mut() {
        receiver["digest"] = 1_700_000_000.into();
    }
    fs::write(&book, told.to_string()).unwrap();
    site.ok(&["hestia", "notify"]);
    let said: Vec<Value> = site.receiver.take().iter().map(|one| one.json()).collect();
    let digests: Vec<&Value> = said.iter().filter(|one| one["event"] == "digest").collect();
    assert_eq!(digests.len(), 2, "{said:?}");
    for digest in digests {
        assert_ne!(digest["light"], "green", "{digest}");
        assert!(!digest["text"].to_string().contains("Nothing is wrong"), "{digest}");
    }
    let alice = said.iter().find(|one| one["host"].is_null()).unwrap();
    assert!(alice["text"].to_string().contains("cannot be read at this moment"), "{alice}");
}

#[test]
fn settings_that_are_wrong_do_not_repeat_what_may_be_a_secret() {
    let site = Site::new("");
    for wrong in [
        format!("[notifications.webhooks.ops]\nHOOK\npreset = '{SECRET}'\n"),
        format!("[notifications]\ndigest = '{SECRET}'\n"),
        format!("[notifications]\nmail = '{SECRET}'\n"),
    ] {
        site.set(&wrong.replace("HOOK", "url_file = '/x'"));
        let (code, _) = site.run(&["hestia", "notify"]);
        assert_ne!(code, 0, "{wrong}");
    }
    site.set("[notifications]\nmail = ['a@b.example', 'a@b.example']\n");
    assert_ne!(site.run(&["hestia", "notify"]).0, 0);
    let said = site.said.lock().unwrap();
    assert!(said.contains("different mail addresses") && !said.contains(SECRET), "{said}");
}

#[test]
fn a_backup_that_waits_for_nobody_has_not_failed() {
    let site =
        Site::new("[notifications.webhooks.ops]\nHOOK\n[notifications.users]\npanel = true\n");
    site.ok(&["hestia", "backup"]);
    let held = ghostsnap::hestia::userlock::UserLock::take(
        &site.machine.path("run/ghostsnap"),
        &user("alice"),
        "a backup",
    );
    let (code, _) = site.run(&["hestia", "backup", "--user", "alice"]);
    assert_eq!(code, 7, "whoever asked is told");
    drop(held.unwrap());
    site.ok(&["hestia", "notify"]);
    assert_eq!(site.titles(), [""; 0]);
    assert_eq!(site.file("bells"), "");
}

#[test]
fn backups_that_somebody_took_away_are_told_to_the_administrator() {
    let site =
        Site::new("[notifications.webhooks.ops]\nHOOK\n[notifications.users]\npanel = true\n");
    site.ok(&["hestia", "backup"]);
    site.ok(&["hestia", "backup", "--user", "alice"]);
    let folder = site.machine.path("var/lib/ghostsnap/repository/snapshots");
    let aside = site.machine.path("aside");
    fs::create_dir(&aside).unwrap();
    let stolen: Vec<_> = fs::read_dir(&folder).unwrap().map(|one| one.unwrap().path()).collect();
    for path in &stolen[..2] {
        fs::rename(path, aside.join(path.file_name().unwrap())).unwrap();
    }
    let status = site.run(&["hestia", "repository-status", "--format", "json"]).1;
    assert!(status.contains("\"red\"") && status.contains("nobody says that"), "{status}");
    // Backups go on, and the next one tells.
    let (code, _) = site.run(&["hestia", "backup", "--user", "bob"]);
    assert_eq!(code, 0);
    let told = site.receiver.take();
    let told: String = told.iter().map(|one| one.body.as_str()).collect();
    assert!(told.contains("repository default: cannot make sure that nobody has taken"), "{told}");
    assert!(!site.file("bells").contains("taken"), "customers learn nothing of it");
    assert_eq!(site.run(&["hestia", "check-health"]).0, 2);
    assert_eq!(site.run(&["check"]).0, 31);
    // Whoever brings them back has brought them back.
    for path in &stolen[..2] {
        fs::rename(aside.join(path.file_name().unwrap()), path).unwrap();
    }
    site.ok(&["check", "--read-data"]);
    site.ok(&["hestia", "notify"]);
    let told: String = site.receiver.take().iter().map(|one| one.body.clone()).collect();
    assert!(told.contains("no backup is missing in it any more"), "{told}");
    assert_eq!(site.run(&["hestia", "check-health"]).0, 0);
}

const PINGS: &str = "[notifications.pings.nightly]\nHOOK\n\
                     [notifications.pings.alice]\nHOOK\nuser = 'alice'\n";

#[test]
fn somebody_outside_hears_that_a_run_begins_and_how_it_ends() {
    let site = Site::new(PINGS);
    let pinged = |args: &[&str]| {
        site.run(args);
        let received = site.receiver.take();
        let one = |one: &receiver::Received| {
            let path = one.path.replace(SECRET, "X");
            format!("{path} {}", one.body).replace("/services/X", "").trim().to_owned()
        };
        // Those of one moment are sent at the same time, in no order.
        let mut said = received.iter().map(one).collect::<Vec<_>>();
        said.sort_by_key(|said| (!said.starts_with("/start"), said.clone()));
        said
    };
    let (start, end) = ("/start?key=X", "?key=X");
    // Whoever a run leaves out did not succeed in it, and a part is not everybody.
    assert_eq!(pinged(&["hestia", "backup", "--exclude", "alice"]), [start]);
    assert_eq!(
        pinged(&["hestia", "backup"]),
        [start, start, &format!("{end} it ended well"), &format!("{end} the backup succeeded")]
    );
    // Of one user's run only the one about that user hears, and of others' nobody.
    site.machine.fault("dump-breaks-alice_wp");
    let alone = pinged(&["--panel", "v-ghostsnap-backup-user", "alice"]);
    assert_eq!((alone.len(), alone[0].as_str()), (2, start));
    assert!(alone[1].starts_with("/fail?key=X partial: "), "{alone:?}");
    assert_eq!(pinged(&["hestia", "backup", "--user", "bob"]), [""; 0]);
    site.machine.heal();
    // Somebody who does not answer changes nothing.
    site.receiver.answer(Answer::Status(404));
    site.ok(&["hestia", "backup"]);
    let log = site.file("var/log/ghostsnap/notifications.log");
    assert!(log.contains("cannot ping nightly: it answers 404"), "{log}");
    site.assert_no_secret_was_told();
}

#[test]
fn metrics_are_printed_and_refreshed_after_each_run() {
    let site = Site::new("");
    let file = site.machine.path("g.prom");
    site.set(&format!("[metrics]\nfile = '{}'\n", file.display()));
    site.ok(&["hestia", "backup", "--user", "alice"]);
    let refreshed = fs::read_to_string(&file).unwrap();
    let printed = site.ok(&["metrics"]);
    for text in [&refreshed, &printed] {
        for line in [
            "ghostsnap_user_health{user=\"alice\"} 0",
            "ghostsnap_user_health{user=\"bob\"} 2",
            "ghostsnap_user_backups{user=\"alice\",repository=\"default\"} 1",
            "ghostsnap_user_last_run_result{user=\"alice\"} 0",
            "ghostsnap_repository_health{repository=\"default\"} 0",
            "ghostsnap_repository_snapshots{repository=\"default\"} 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
        }
        assert!(text.contains("ghostsnap_repository_disk_free_bytes{"), "{text}");
    }
    // A place that cannot be written harms no backup.
    site.set("[metrics]\nfile = '/proc/none/g.prom'\n");
    site.ok(&["hestia", "backup", "--user", "alice"]);
    assert!(site.file("var/log/ghostsnap/notifications.log").contains("cannot write the metrics"));
}

#[test]
fn a_user_who_is_new_is_no_problem_yet() {
    let site = Site::new("[notifications.webhooks.ops]\nHOOK\n");
    site.ok(&["hestia", "backup"]);
    site.machine.add_user("carol");
    let conf = site.machine.path("usr/local/hestia/data/users/carol/user.conf");
    let made = jiff::Zoned::now().strftime("TIME='%H:%M:%S'\nDATE='%Y-%m-%d'").to_string();
    let text = fs::read_to_string(&conf).unwrap();
    let new = text.replace("TIME='07:03:50'\nDATE='2026-11-22'", &made);
    assert_ne!(new, text);
    fs::write(&conf, new).unwrap();
    let (code, line) = site.run(&["hestia", "check-health"]);
    assert_eq!(code, 0, "{line}");
    site.ok(&["hestia", "notify"]);
    assert_eq!(site.titles(), [""; 0]);
}

#[test]
fn nagios_gets_its_own_codes_and_one_line() {
    let site = Site::new("");
    let check = || site.run(&["hestia", "check-health"]);
    let (code, line) = check();
    assert_eq!(code, 2, "{line}");
    assert!(
        line.starts_with("GHOSTSNAP CRITICAL - 3 users: admin: there is no backup; "),
        "{line}"
    );
    site.ok(&["hestia", "backup"]);
    let (code, line) = check();
    let is_well =
        "GHOSTSNAP OK - 3 users: all is well | green=3;;;0 yellow=0;0;;0 red=0;;0;0 off=0;;;0 ";
    assert!(code == 0 && line.starts_with(is_well), "{line}");
    assert!(line.trim_end().ends_with("s;93600;180000;0") && line.lines().count() == 1, "{line}");
    site.machine.fault("dump-breaks-alice_wp");
    site.run(&["hestia", "backup", "--user", "alice"]);
    let (code, line) = check();
    assert!(code == 1 && line.starts_with("GHOSTSNAP WARNING - 3 users: alice: "), "{line}");
    site.set("this is no setting\n");
    let (code, line) = check();
    assert!(
        code == 3 && line.starts_with("GHOSTSNAP UNKNOWN - cannot read the settings"),
        "{line}"
    );
}
