// SPDX-License-Identifier: MIT
//! Metrics in the text format of Prometheus, from one look at the server: everything a monitoring
//! can ask about, in base units, nothing that a customer wrote but the names of users and
//! repositories.

use super::look::{Look, UserLook};
use super::target::Target;
use super::told::Book;
use crate::base::Timestamp;
use crate::hestia::jobs::health::Light;
use std::fmt::Display;

/// A family of metrics; all are gauges: what is true now, and may be less than before.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name behind `ghostsnap_`.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident = $name:literal, $help:literal;)+) => {
        $(const $constant: Family = Family { name: $name, help: $help };)+

        /// Every family, in the order in which they are printed.
        pub const FAMILIES: &[Family] = &[$($constant),+];
    };
}

families! {
    INFO = "info", "The version of Ghostsnap; always 1.";
    LOOKED = "last_look_timestamp_seconds", "When this was found out.";
    USER_HEALTH = "user_health", "0 is green, 1 yellow, 2 red, -1 without backups by wish.";
    USER_ALARM = "user_alarm", "1 if many files of the user look encrypted.";
    USER_BACKUPS = "user_backups", "Backups of the user in a repository.";
    USER_NEWEST = "user_last_backup_timestamp_seconds", "When the newest backup was made.";
    USER_COMPLETE = "user_last_complete_backup_timestamp_seconds",
        "When the newest backup was made that is complete.";
    USER_SIZE = "user_last_backup_size_bytes", "Content of the newest backup.";
    USER_WEEK = "user_stored_last_week_bytes", "What backups of seven days have added.";
    USER_RUN = "user_last_run_timestamp_seconds", "When the last run of the backup ended.";
    USER_RUN_TIME = "user_last_run_duration_seconds", "How long it took.";
    USER_RUN_RESULT = "user_last_run_result", "0 is succeeded, 1 partial, 2 failed.";
    USER_VERIFIED = "user_last_verified_timestamp_seconds",
        "When a rehearsal of a restore succeeded last.";
    PLACE_HEALTH = "repository_health", "0 is green, 1 yellow, 2 red or not to be read.";
    PLACE_SNAPSHOTS = "repository_snapshots", "Snapshots in the repository.";
    PLACE_USERS = "repository_users", "Users who have snapshots in it.";
    PLACE_SOURCE = "repository_source_bytes", "Content of all snapshots, each counted alone.";
    PLACE_STORED = "repository_stored_bytes", "What is stored for it.";
    PLACE_DISK = "repository_disk_size_bytes", "Size of the disk of a local repository.";
    PLACE_FREE = "repository_disk_free_bytes", "What is free there.";
    PLACE_CHECK = "repository_last_check_timestamp_seconds", "When it was checked last.";
    PLACE_CHECK_RESULT = "repository_last_check_result",
        "0 is succeeded, 1 partial, 2 failed, 3 damaged.";
    PLACE_PRUNE = "repository_last_prune_timestamp_seconds", "When it was pruned last.";
    PLACE_PRUNE_RESULT = "repository_last_prune_result", "0 is succeeded, 1 partial, 2 failed.";
    PLACE_COPY = "repository_last_copy_timestamp_seconds", "When something was copied into it last.";
    PLACE_COPY_RESULT = "repository_last_copy_result", "0 is succeeded, 1 partial, 2 failed.";
    RECEIVER_FAILING = "receiver_failing", "1 if notifications do not arrive there.";
}

type Labels<'l> = [(&'static str, &'l str)];

/// The metrics.
pub fn text(look: &Look, targets: &[Target], book: &Book, now: Timestamp) -> String {
    let mut out = Out(FAMILIES.iter().map(|_| String::new()).collect());
    out.add(INFO, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.add(LOOKED, &[], now.seconds);
    for one in &look.users {
        user(&mut out, one);
    }
    for place in &look.places {
        let labels: &Labels<'_> = &[("repository", &place.name)];
        let light = place.light.as_ref().map_or(Light::Red, |(light, _)| *light);
        let light = if place.taken.is_some() { Light::Red } else { light };
        out.add(PLACE_HEALTH, labels, number_of(light));
        if let Some(sizes) = &place.sizes {
            out.add(PLACE_SNAPSHOTS, labels, sizes.snapshots);
            out.add(PLACE_USERS, labels, sizes.users);
            out.add(PLACE_SOURCE, labels, sizes.bytes_source);
            out.add(PLACE_STORED, labels, sizes.bytes_stored);
        }
        if let Some(disk) = place.disk {
            out.add(PLACE_DISK, labels, disk.bytes);
            out.add(PLACE_FREE, labels, disk.free);
        }
        for (tended, time, result) in [
            (&place.check, PLACE_CHECK, PLACE_CHECK_RESULT),
            (&place.prune, PLACE_PRUNE, PLACE_PRUNE_RESULT),
            (&place.copy, PLACE_COPY, PLACE_COPY_RESULT),
        ] {
            if let Some(tended) = tended {
                out.add(time, labels, tended.time);
                out.add(result, labels, number_of_result(&tended.result));
            }
        }
    }
    let mut mails = 0;
    for target in targets {
        // The file is for everybody who may log in here: an address is nobody's business.
        let label = if target.name.contains('@') {
            mails += 1;
            format!("mail {mails}")
        } else {
            target.name.clone()
        };
        let told = book.receivers.get(&target.name);
        let is_failing = told.is_some_and(|told| told.failing.is_some());
        out.add(RECEIVER_FAILING, &[("receiver", &label)], u8::from(is_failing));
    }
    out.finish()
}

fn user(out: &mut Out, one: &UserLook) {
    let name = one.user.name.as_str();
    let labels: &Labels<'_> = &[("user", name)];
    out.add(USER_HEALTH, labels, number_of(one.light));
    let known = one.places.iter().filter(|(_, health)| !health.is_unknown);
    if known.clone().next().is_some() {
        let alarm = known.clone().any(|(_, health)| health.alarm.is_some());
        out.add(USER_ALARM, labels, u8::from(alarm));
    }
    for (place, health) in known {
        let labels: &Labels<'_> = &[("user", name), ("repository", place)];
        out.add(USER_BACKUPS, labels, health.backups);
        out.add(USER_WEEK, labels, health.added_week);
        if let Some((_, newest)) = &health.newest {
            out.add(USER_NEWEST, labels, newest.time.seconds);
            out.add(USER_SIZE, labels, newest.totals.bytes);
        }
        if let Some((_, good)) = &health.good {
            out.add(USER_COMPLETE, labels, good.time.seconds);
        }
        if let Some(time) = health.verified {
            out.add(USER_VERIFIED, labels, time.seconds);
        }
    }
    if let Some(run) = one.first().and_then(|health| health.last_run.as_ref()) {
        out.add(USER_RUN, labels, run.time);
        let (seconds, milliseconds) = (run.milliseconds / 1000, run.milliseconds % 1000);
        out.add(USER_RUN_TIME, labels, format!("{seconds}.{milliseconds:03}"));
        out.add(USER_RUN_RESULT, labels, number_of_result(&run.result));
    }
}

const fn number_of(light: Light) -> i8 {
    match light {
        Light::Off => -1,
        Light::Green => 0,
        Light::Yellow => 1,
        Light::Red => 2,
    }
}

fn number_of_result(word: &str) -> u8 {
    match word {
        "succeeded" => 0,
        "partial" => 1,
        "damaged" => 3,
        _ => 2,
    }
}

/// Samples by their families: those of one family stand together.
struct Out(Vec<String>);

impl Out {
    fn add(&mut self, family: Family, labels: &Labels<'_>, value: impl Display) {
        let place = FAMILIES.iter().position(|one| one.name == family.name);
        let Some(samples) = place.and_then(|place| self.0.get_mut(place)) else { return };
        let labels: Vec<String> =
            labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        samples.push_str(&format!("ghostsnap_{}{labels} {value}\n", family.name));
    }

    fn finish(self) -> String {
        let mut text = String::new();
        for (family, samples) in FAMILIES.iter().zip(self.0) {
            if !samples.is_empty() {
                let (name, help) = (family.name, family.help);
                text.push_str(&format!(
                    "# HELP ghostsnap_{name} {help}\n# TYPE ghostsnap_{name} gauge\n{samples}"
                ));
            }
        }
        text
    }
}

/// The value of a label, as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::rules::Digest;
    use super::super::target::Way;
    use super::super::told::{Failing, Told};
    use super::super::trouble::{Disk, PlaceState, Sizes};
    use super::*;
    use crate::hestia::records::Tended;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const DASHBOARD: &str = include_str!("../../../hestia-plugin/grafana-dashboard.json");

    fn place(name: &str) -> PlaceState {
        let tended = Tended { time: 7, result: "damaged".into(), ..Tended::default() };
        PlaceState {
            name: name.to_owned(),
            light: Ok((Light::Yellow, "x".into())),
            taken: None,
            check: Some(tended.clone()),
            prune: Some(tended.clone()),
            copy: Some(tended),
            disk: Some(Disk { bytes: 100, free: 40 }),
            sizes: Some(Sizes { snapshots: 3, users: 2, bytes_source: 9, bytes_stored: 5 }),
        }
    }

    fn metrics(names: &[&str]) -> String {
        let look =
            Look { users: Vec::new(), places: names.iter().map(|name| place(name)).collect() };
        let way = Way::Mail("a@b".into());
        let target = Target { name: "mail a@b".into(), of: None, way, digest: Digest::Never };
        let failing = Some(Failing { since: 1, times: 1, reason: "x".into() });
        let told = Told { failing, ..Told::default() };
        let receivers = BTreeMap::from([(target.name.clone(), told)]);
        text(&look, &[target], &Book { time: 0, receivers }, Timestamp::from_seconds(9))
    }

    #[test]
    fn names_and_units_are_as_prometheus_wants_them() {
        let names: BTreeSet<&str> = FAMILIES.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        for Family { name, help } in FAMILIES {
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.chars().all(plain) && !name.starts_with('_'), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}");
            for word in ["_total", "_count", "_sum", "_bucket", "_gauge", "_kilobytes", "_hours"] {
                assert!(!name.ends_with(word), "{name}");
            }
            let has_unit = name.ends_with("_seconds") || name.ends_with("_bytes");
            let is_time = name.contains("timestamp") || name.contains("duration");
            assert!(!is_time || has_unit, "{name}");
        }
    }

    #[test]
    fn what_is_known_is_told_and_what_is_not_is_left_out() {
        let text = metrics(&["default"]);
        for line in [
            "# TYPE ghostsnap_repository_health gauge",
            "ghostsnap_repository_health{repository=\"default\"} 1",
            "ghostsnap_repository_stored_bytes{repository=\"default\"} 5",
            "ghostsnap_repository_disk_free_bytes{repository=\"default\"} 40",
            "ghostsnap_repository_last_check_result{repository=\"default\"} 3",
            "ghostsnap_repository_last_copy_timestamp_seconds{repository=\"default\"} 7",
            "ghostsnap_receiver_failing{receiver=\"mail 1\"} 1",
            "ghostsnap_last_look_timestamp_seconds 9",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
        }
        assert!(!text.contains("ghostsnap_user_"), "there are no users: {text}");
    }

    #[test]
    fn the_dashboard_asks_only_for_what_there_is() {
        let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
        assert!(dashboard["panels"].as_array().unwrap().len() >= 8);
        let mut asked = BTreeSet::new();
        for part in DASHBOARD.split("ghostsnap_").skip(1) {
            let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap();
            asked.insert(&part[..end]);
        }
        assert!(asked.len() >= 10, "{asked:?}");
        for name in asked {
            assert!(FAMILIES.iter().any(|one| one.name == name), "{name}");
        }
    }

    /// Name, labels, value.
    type Sample = (String, Vec<(String, String)>, f64);

    /// Reads a line of the format back.
    fn parse(line: &str) -> Option<Sample> {
        let name: String =
            line.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let mut rest = line[name.len()..].chars().peekable();
        let mut labels = Vec::new();
        if rest.peek() == Some(&'{') {
            rest.next();
            loop {
                let key: String = rest.by_ref().take_while(|c| *c != '=').collect();
                (rest.next() == Some('"')).then_some(())?;
                let mut value = String::new();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => value.push(match rest.next()? {
                            'n' => '\n',
                            c @ ('\\' | '"') => c,
                            _ => return None,
                        }),
                        c => value.push(c),
                    }
                }
                labels.push((key, value));
                match rest.next()? {
                    ',' => {}
                    '}' => break,
                    _ => return None,
                }
            }
        }
        let value: String = rest.collect();
        Some((name, labels, value.strip_prefix(' ')?.parse().ok()?))
    }

    proptest! {
        #[test]
        fn whatever_a_name_is_it_reads_back(name in "\\PC{0,20}|[\\\\\"\n{},= ]{0,10}") {
            let text = metrics(&[&name]);
            prop_assert!(text.ends_with('\n'));
            let mut typed = BTreeSet::new();
            for line in text.lines() {
                if let Some(rest) = line.strip_prefix("# TYPE ") {
                    let family = rest.split(' ').next().unwrap();
                    prop_assert!(typed.insert(family.to_owned()), "a family is in one place");
                    continue;
                }
                if line.starts_with("# HELP ") {
                    continue;
                }
                let (family, labels, _) = parse(line).unwrap();
                prop_assert!(typed.contains(&family), "{line}");
                if family.starts_with("ghostsnap_repository_") {
                    prop_assert_eq!(&labels, &vec![("repository".to_owned(), name.clone())]);
                }
            }
        }
    }
}
