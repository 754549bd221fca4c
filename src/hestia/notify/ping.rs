// SPDX-License-Identifier: MIT
//! Pings: a URL is asked when a run begins and when it ends, as healthchecks.io and its like take
//! it (`/start`, nothing, `/fail`), so that somebody outside notices when nothing happens at all.

use super::rules::{NotifyRules, PingUrl, Pinged};
use crate::hestia::layout::UserName;
use crate::hestia::records::LastRun;

/// A run that pings may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is done.
    pub of: Pinged,
    /// For whom; `None` if it names nobody.
    pub users: Option<Vec<UserName>>,
    /// Whether it leaves some out by a pattern.
    pub is_part: bool,
}

/// The pings that are about a run: those of everybody only if it is for everybody.
pub fn meant(rules: &NotifyRules, run: &Run) -> Vec<(String, PingUrl)> {
    let is_meant = |ping: &PingUrl| {
        ping.of == run.of
            && match (&ping.user, &run.users) {
                (None, None) => !run.is_part,
                (Some(_), None) => true,
                (Some(user), Some(users)) => users.contains(user),
                (None, Some(_)) => false,
            }
    };
    let pings = rules.pings.iter().filter(|(_, ping)| is_meant(ping));
    pings.map(|(name, ping)| (name.clone(), ping.clone())).collect()
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Whether all of it went well.
    pub is_well: bool,
    /// What is said of it.
    pub text: String,
}

impl Ending {
    /// The word behind the URL.
    pub const fn word(&self) -> &'static str {
        if self.is_well { "" } else { "fail" }
    }
}

/// How a run ended for one user, in words for the customer. What is noted of it counts if it is of
/// this run. If nothing is, the user had no part in a run that went well: then nothing is known of
/// the user, and whoever waits for a ping should hear none.
pub fn of_user(whole: &Ending, noted: Option<&LastRun>, started: i64) -> Option<Ending> {
    let Some(run) = noted.filter(|run| run.time >= started) else {
        let text = "the run failed".to_owned();
        return (!whole.is_well).then_some(Ending { is_well: false, text });
    };
    let text = match run.result.as_str() {
        "succeeded" => "the backup succeeded".to_owned(),
        result => format!("{result}: {}", run.told_to_customer()),
    };
    Some(Ending { is_well: run.result == "succeeded", text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hestia::Settings;
    use std::path::Path;

    #[test]
    fn a_ping_is_about_everybody_or_about_its_user() {
        let one = |name: &str, more: &str| {
            format!("[notifications.pings.{name}]\nurl_file = '/{name}'\n{more}\n")
        };
        let text = one("all", "") + &one("alice", "user = 'alice'") + &one("look", "of = 'check'");
        let rules = Settings::parse(&text, Path::new("x")).unwrap().notifications;
        let of = |of, users: Option<&[&str]>| {
            let parse = |name: &&str| UserName::parse(name).unwrap();
            let users = users.map(|users| users.iter().map(parse).collect());
            let names =
                meant(&rules, &Run { of, users, is_part: false }).into_iter().map(|(name, _)| name);
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(Pinged::Backup, None), "alice all");
        assert_eq!(of(Pinged::Backup, Some(&["alice"])), "alice");
        assert_eq!(of(Pinged::Backup, Some(&["bob"])), "");
        let part = Run { of: Pinged::Backup, users: None, is_part: true };
        assert_eq!(meant(&rules, &part).len(), 1, "everybody is not all who fit a pattern");
        assert_eq!(
            (of(Pinged::Check, None), of(Pinged::Prune, None)),
            ("look".into(), String::new())
        );
    }

    #[test]
    fn a_user_failed_if_the_run_says_so_of_the_user() {
        let whole = Ending { is_well: false, text: "1 failed".into() };
        let run = |result: &str| LastRun {
            time: 10,
            result: result.into(),
            reasons: vec!["/srv/secret".into(), "x cannot be read".into()],
            own: vec!["x cannot be read".into()],
            ..LastRun::default()
        };
        let of = |noted: Option<&LastRun>, started| of_user(&whole, noted, started).unwrap();
        assert!(of(Some(&run("succeeded")), 9).is_well);
        assert!(!of(Some(&run("succeeded")), 11).is_well, "of an earlier run");
        assert_eq!(of(Some(&run("partial")), 9).text, "partial: x cannot be read");
        assert_eq!(of(None, 0).word(), "fail");
        // Left out, suspended, or a name that nobody has: that is no success.
        let well = Ending { is_well: true, text: String::new() };
        assert_eq!(of_user(&well, Some(&run("succeeded")), 11), None);
        assert!(of_user(&well, Some(&run("succeeded")), 9).unwrap().is_well);
    }
}
