// SPDX-License-Identifier: MIT
//! The commands through HestiaCP's REST API, with access keys of an administrator and of two
//! customers: the own data yes, others' never, and errors with the right codes. Asked of the
//! double, or of the real API where GHOSTSNAP_TEST_HESTIA_API is set.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

// The pages' browser comes along with the site; nobody starts it here.
#[path = "common/browser.rs"]
mod browser;
#[path = "common/door.rs"]
mod door;
#[path = "common/hestia.rs"]
mod double;
#[path = "common/site.rs"]
mod site;

use door::Door;
use site::project;
use std::fs;

const CUSTOMERS: &str = "ghostsnap-user,ghostsnap-user-restore";

/// The commands of a profile, as HestiaCP reads them.
fn commands(profile: &str) -> Vec<String> {
    let text = fs::read_to_string(project("hestia-plugin/api").join(profile)).unwrap();
    text.split('\'').nth(3).unwrap().split(',').map(str::to_owned).collect()
}

#[test]
fn a_customer_reaches_what_is_theirs() {
    let door = Door::open();
    let own = &door.customers[0];
    let key = door.key(own, CUSTOMERS);
    let list = door.ask(&key, &["v-ghostsnap-list-user-backups", own, "json"]);
    assert_eq!((list.status, list.code.as_str(), list.is_json), (200, "0", true), "{list:?}");
    let id = list.ids().pop().unwrap();
    assert_eq!(list.rows()[&id]["USER"], own.as_str());
    let files = ["v-ghostsnap-list-user-files", own, &id, "My Files", "json"];
    assert_eq!(door.ask(&key, &files).ids(), ["notes.txt"]);
    let found = door.ask(&key, &["v-ghostsnap-find-user-files", own, "latest", "NOTES", "json"]);
    assert_eq!(found.ids(), ["My Files/notes.txt"]);
    // Lists of nothing are objects all the same.
    let jobs = door.ask(&key, &["v-ghostsnap-list-user-jobs", own, "json"]);
    assert_eq!((jobs.status, jobs.ids()), (200, vec![]));
    // All that looks and needs no more than a user answers.
    for name in commands("ghostsnap-user") {
        if name.contains("-list-user") && !name.contains("job") {
            let answer = door.ask(&key, &[&name, own, "latest", "", "json"][..]);
            assert!(["0", "1", "2"].contains(&answer.code.as_str()), "{name}: {answer:?}");
        }
    }
}

#[test]
fn a_customer_backs_up_deletes_a_file_and_restores_it_by_jobs() {
    let door = Door::open();
    let own = &door.customers[1];
    let key = door.key(own, CUSTOMERS);
    let count = || door.ask(&key, &["v-ghostsnap-list-user-backups", own, "json"]).ids().len();
    let before = count();
    let asked = door.ask(&key, &["v-ghostsnap-schedule-user-backup", own, "", "", "json"]);
    assert_eq!(asked.status, 200, "{asked:?}");
    let row = door.wait_for_job(&key, own, &asked.ids()[0]);
    assert_eq!(row["STATE"], "done", "{row:?}");
    assert_eq!(count(), before + 1);
    let words = ["v-ghostsnap-schedule-restore-file", own, "latest", "My Files/notes.txt"];
    let asked = door.ask(&key, &[&words[..], &["My Files/old.txt", "", "", "json"]].concat());
    assert_eq!(asked.status, 200, "{asked:?}");
    let row = door.wait_for_job(&key, own, &asked.ids()[0]);
    assert_eq!(row["STATE"], "done", "{row:?}");
    let copy = door.home_of(own).join("My Files/old.txt");
    assert_eq!(fs::read_to_string(copy).unwrap(), format!("of {own}\n"));
    // Somebody else knows nothing of that job.
    let other = &door.customers[0];
    let stranger = door.key(other, CUSTOMERS);
    let job = &asked.ids()[0];
    for name in ["v-ghostsnap-list-user-job", "v-ghostsnap-cancel-user-job"] {
        let answer = door.ask(&stranger, &[name, other, job]);
        assert_eq!((answer.status, answer.code.as_str()), (400, "3"), "{answer:?}");
        assert!(!answer.body.contains("notes"), "{answer:?}");
    }
}

#[test]
fn a_customers_key_opens_nothing_of_anybody_else() {
    let door = Door::open();
    let [own, other] = [&door.customers[0], &door.customers[1]];
    let of_other = door.key(other, CUSTOMERS);
    let theirs = door.ask(&of_other, &["v-ghostsnap-list-user-backups", other, "json"]).ids();
    let key = door.key(own, CUSTOMERS);
    let before = door.state_of(other);
    let names = [commands("ghostsnap-user"), commands("ghostsnap-user-restore")].concat();
    assert!(names.len() > 25, "{names:?}");
    for name in &names {
        for user in [other.as_str(), "", &format!("{own} {other}"), "*", "admin", "../admin"] {
            let answer = door.ask(&key, &[name, user, &theirs[0], "My Files/notes.txt"]);
            assert_eq!((answer.status, answer.code.as_str()), (401, "10"), "{name} {answer:?}");
        }
        let none = door.ask(&key, &[name]);
        assert_eq!((none.status, none.code.as_str()), (401, "10"), "{name} {none:?}");
        // The own name, and what belongs to somebody else.
        let answer = door.ask(&key, &[name, own, &theirs[0], "My Files/notes.txt", "", "", "json"]);
        for part in [format!("of {other}"), format!("hestia-{other}-")] {
            assert!(!answer.body.contains(&part), "{name}: {answer:?}");
        }
    }
    // What was handed in found nothing to do; an argument never becomes two.
    for job in door.ask(&key, &["v-ghostsnap-list-user-jobs", own, "json"]).ids() {
        let row = door.wait_for_job(&key, own, &job);
        assert!(row["KIND"] == "backup" || row["STATE"] != "done", "{row:?}");
    }
    for words in [
        ["v-ghostsnap-list-user-backup", own, &format!("latest' {other} '"), "json"],
        ["v-ghostsnap-list-user-backup", own, &format!("latest\n{other}"), "json"],
        ["v-ghostsnap-list-user-files", own, &theirs[0], "json"],
    ] {
        let answer = door.ask(&key, &words);
        assert!([2, 3].map(|code| code.to_string()).contains(&answer.code), "{answer:?}");
        assert!(!answer.body.contains("notes"), "{answer:?}");
    }
    assert_eq!(door.state_of(other), before);
    let after = door.ask(&of_other, &["v-ghostsnap-list-user-backups", other, "json"]).ids();
    assert_eq!(after, theirs);
}

#[test]
fn a_key_calls_what_its_profiles_name_and_nothing_else() {
    let door = Door::open();
    let own = &door.customers[0];
    let looking = door.key(own, "ghostsnap-user");
    let refused = [commands("ghostsnap-admin"), commands("ghostsnap-user-restore")].concat();
    let hestias = ["v-list-users", "v-delete-user", "v-ghostsnap-no-such"].map(str::to_owned);
    for name in refused.iter().chain(&hestias) {
        let answer = door.ask(&looking, &[name, own, "latest", "json"]);
        assert_eq!((answer.status, answer.code.as_str()), (401, "10"), "{name} {answer:?}");
    }
    // A customer is not given what is the administrator's.
    let output = door.command("v-add-access-key", &[own, "ghostsnap-admin", "x", "json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let admin = door.key("admin", "ghostsnap-admin");
    let answer = door.ask(&admin, &["v-delete-user", own]);
    assert_eq!((answer.status, answer.code.as_str()), (401, "10"), "{answer:?}");
    assert!(door.home_of(own).exists());
}

#[test]
fn an_administrators_key_sees_everybody() {
    let door = Door::open();
    let key = door.key("admin", &format!("ghostsnap-admin,{CUSTOMERS}"));
    let health = door.ask(&key, &["v-ghostsnap-list-health", "json"]);
    assert!(health.is_json, "{health:?}");
    for customer in &door.customers {
        assert_eq!(health.rows()[customer]["BACKUPS"], "1", "{health:?}");
        let list = door.ask(&key, &["v-ghostsnap-list-user-backups", customer, "json"]);
        assert_eq!((list.status, list.ids().len()), (200, 1), "{list:?}");
    }
    let added = door.ask(&key, &["v-ghostsnap-add-schedule", "nightly", "when=daily 02:30"]);
    assert_eq!(added.code, "0", "{added:?}");
    let list = door.ask(&key, &["v-ghostsnap-list-schedules", "json"]);
    assert_eq!(list.rows()["nightly"]["WHEN"], "daily 02:30");
    let gone = door.ask(&key, &["v-ghostsnap-delete-schedule", "nightly"]);
    assert_eq!(gone.code, "0", "{gone:?}");
}

#[test]
fn errors_have_the_codes_that_the_document_promises() {
    let door = Door::open();
    let own = &door.customers[0];
    let key = door.key(own, CUSTOMERS);
    let list = "v-ghostsnap-list-user-backup";
    for (words, status, code) in [
        (vec![list, own, "20200101", "json"], 400, "3"),
        (vec![list, own, "latest", "yaml"], 422, "2"),
        (vec![list, own], 400, "1"),
        (vec!["v-ghostsnap-list-user-files", own, "latest", "../../etc"], 422, "2"),
        (vec!["not a command"], 422, "2"),
    ] {
        let answer = door.ask(&key, &words);
        assert_eq!((answer.status, answer.code.as_str()), (status, code), "{words:?} {answer:?}");
        let body = answer.body.as_str();
        assert!(body.starts_with("Error: ") || body.starts_with("Usage: "), "{words:?} {answer:?}");
        assert_eq!(body.lines().count(), 1, "{answer:?}");
    }
    let only_code = ["cmd=v-ghostsnap-list-user-backup", "arg2=20200101", "returncode=yes"];
    let mut fields = only_code.map(str::to_owned).to_vec();
    fields.push(format!("arg1={own}"));
    let answer = door.send(&key, &fields);
    assert_eq!((answer.status, answer.body.as_str()), (200, "3"), "{answer:?}");
    for wrong in [door.key_of("NOSUCHKEY12345678901", &"x".repeat(40)), {
        let whole = fs::read_to_string(key.path()).unwrap();
        let id = whole.split("access_key=").nth(1).unwrap().split('"').next().unwrap();
        door.key_of(id, &"x".repeat(40))
    }] {
        let answer = door.ask(&wrong, &["v-ghostsnap-list-user-backups", own, "json"]);
        assert_eq!((answer.status, answer.code.as_str()), (401, "9"), "{answer:?}");
    }
}
