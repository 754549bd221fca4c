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
    /// For whom; for everybody, if `None`.
    pub users: Option<Vec<UserName>>,
}

/// The pings that are about a run: those of everybody only if it is for everybody.
pub fn meant(rules: &NotifyRules, run: &Run) -> Vec<(String, PingUrl)> {
    let is_meant = |ping: &PingUrl| {
        ping.of == run.of
            && match (&ping.user, &run.users) {
                (_, None) => true,
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

/// How a run ended for one user. What is noted of it counts if it is of this run; what is the
/// server's is nothing for whoever reads the pings of a customer.
pub fn of_user(whole: &Ending, noted: Option<&LastRun>, started: i64) -> Ending {
    let Some(run) = noted.filter(|run| run.time >= started) else {
        let text = if whole.is_well { "the run ended well" } else { "the run failed" };
        return Ending { is_well: whole.is_well, text: text.to_owned() };
    };
    let text = match (run.result.as_str(), run.is_of_server) {
        ("succeeded", _) => "the backup succeeded".to_owned(),
        (_, true) => "the backups could not be stored at that moment".to_owned(),
        (result, false) => format!("{result}: {}", run.reasons.join("; ")),
    };
    Ending { is_well: run.result == "succeeded", text }
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
            let names = meant(&rules, &Run { of, users }).into_iter().map(|(name, _)| name);
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(Pinged::Backup, None), "alice all");
        assert_eq!(of(Pinged::Backup, Some(&["alice"])), "alice");
        assert_eq!(of(Pinged::Backup, Some(&["bob"])), "");
        assert_eq!(
            (of(Pinged::Check, None), of(Pinged::Prune, None)),
            ("look".into(), String::new())
        );
    }

    #[test]
    fn a_user_failed_if_the_run_says_so_of_the_user() {
        let whole = Ending { is_well: false, text: "1 failed".into() };
        let run = |result: &str, is_of_server| LastRun {
            time: 10,
            result: result.into(),
            reasons: vec!["/srv/secret".into()],
            is_of_server,
            ..LastRun::default()
        };
        assert!(of_user(&whole, Some(&run("succeeded", false)), 9).is_well);
        assert!(!of_user(&whole, Some(&run("succeeded", false)), 11).is_well, "of an earlier run");
        assert!(of_user(&whole, Some(&run("failed", false)), 9).text.contains("/srv/secret"));
        assert!(!of_user(&whole, Some(&run("failed", true)), 9).text.contains("/srv/secret"));
        assert_eq!(of_user(&whole, None, 0).word(), "fail");
    }
}
