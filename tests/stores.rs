// SPDX-License-Identifier: MIT
//! Repositories in real stores, through the program itself: their whole life, and what becomes of
//! them when the line or the store does wrong (tests/common/proxy.rs). Whatever happens, a backup
//! succeeds or says why not, and what is in the repository stays good.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common {
    pub mod proxy;
    pub mod servers;
    pub mod stores;
}

use common::proxy::{Act, Proxy, Seen};
use common::stores::{self, Pairs};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Something to back up and the way to a repository.
struct Desk {
    folder: tempfile::TempDir,
    address: String,
    environment: Pairs,
}

impl Desk {
    fn new(address: String, environment: Pairs) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("data/sub")).unwrap();
        let desk = Self { folder, address, environment };
        desk.write("a.txt", b"first");
        desk.write("sub/b.txt", b"second");
        desk.write("large", &noise(1, 20_000_000));
        desk
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path("data").join(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same desk with another way to the same repository.
    fn through(&self, address: &str, more: &[(&'static str, &str)], args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghostsnap"));
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.folder.path())
            .env("GHOSTSNAP_REPOSITORY", address)
            .env("GHOSTSNAP_PASSWORD", "correct horse")
            .env("RUST_LOG", "trace")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(more.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let secrets = self.environment.iter().filter(|(name, _)| name.contains("KEY"));
        for (name, secret) in secrets.filter(|(name, _)| !name.ends_with("_ID")) {
            let all = [&output.stdout[..], &output.stderr[..]].concat();
            assert!(!String::from_utf8_lossy(&all).contains(secret), "{name} is printed");
        }
        output
    }

    fn run(&self, args: &[&str]) -> Output {
        self.through(&self.address, &[], args)
    }

    /// Runs what must go well and returns its standard output.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn snapshots(&self) -> usize {
        let rows: Value = serde_json::from_str(&self.ok(&["snapshots", "--json"])).unwrap();
        rows.as_object().map_or_else(|| rows.as_array().unwrap().len(), |rows| rows.len())
    }

    /// Everything comes back as it is now, and a check that reads all data finds nothing damaged.
    fn is_good(&self) {
        self.ok(&["check", "--read-data=100%"]);
        let target = self.path("back");
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        self.ok(&["restore", "latest", "--target", "back"]);
        let data = self.path("data");
        let restored = target.join(data.strip_prefix("/").unwrap());
        for name in ["a.txt", "sub/b.txt", "large"] {
            assert!(fs::read(data.join(name)).unwrap() == fs::read(restored.join(name)).unwrap());
        }
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Made, filled, read, thinned out, checked.
fn whole_life(desk: &Desk) {
    let output = desk.run(&["snapshots"]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    desk.ok(&["init"]);
    assert_eq!(code(&desk.run(&["init"])), 4);
    let output = desk.run(&["backup", "data"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains(" PUT, "), "{}", stderr(&output));
    desk.write("a.txt", b"changed");
    let events = desk.ok(&["backup", "data", "--json"]);
    let result: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!(result["event"], "result");
    assert!(result["traffic"]["requests_put"].as_u64().unwrap() >= 3, "{result}");
    assert!(result["traffic"]["bytes_sent"].as_u64().unwrap() < 100_000, "{result}");
    assert_eq!(desk.snapshots(), 2);
    desk.is_good();
    desk.ok(&["forget", "--keep-last", "1", "--force"]);
    assert_eq!(desk.snapshots(), 1);
    desk.is_good();
}

#[test]
fn a_repository_lives_in_s3() {
    let Some(server) = stores::s3() else { return };
    whole_life(&Desk::new(stores::at(server.port, &server.place()), stores::keys()));
}

#[test]
fn a_repository_lives_in_azure() {
    let Some(server) = stores::azure() else { return };
    whole_life(&Desk::new(server.place(), server.keys()));
}

#[test]
fn a_repository_lives_on_an_ssh_server() {
    let Some(server) = stores::ssh() else { return };
    whole_life(&Desk::new(server.place(), server.keys()));
}

#[test]
fn a_repository_lives_behind_rclone() {
    let Some(remote) = stores::rclone() else { return };
    whole_life(&Desk::new(remote.place(), remote.keys()));
}

/// A repository in S3 with one snapshot, then one file more, and a proxy in front of it.
fn with_proxy(
    plan: impl Fn(&Seen) -> Act + Send + Sync + 'static,
) -> Option<(Desk, Proxy, String)> {
    let server = stores::s3()?;
    let place = server.place();
    let desk = Desk::new(stores::at(server.port, &place), stores::keys());
    desk.ok(&["init"]);
    desk.ok(&["backup", "data"]);
    desk.write("large", &noise(2, 20_000_000));
    let proxy = Proxy::new(server.port, plan);
    let address = stores::at(proxy.port, &place);
    Some((desk, proxy, address))
}

/// The backup comes through, however it is done to, and the repository is good.
fn comes_through(
    more: &[(&'static str, &str)],
    plan: impl Fn(&Seen) -> Act + Send + Sync + 'static,
) -> Option<(String, Proxy)> {
    let (desk, proxy, address) = with_proxy(plan)?;
    let output = desk.through(&address, more, &["backup", "data"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(desk.snapshots(), 2);
    desk.is_good();
    Some((stderr(&output), proxy))
}

/// The backup fails and says these words; what was stored is good, and the next one works.
fn fails_clearly(
    exit: i32,
    words: &[&str],
    more: &[(&'static str, &str)],
    plan: impl Fn(&Seen) -> Act + Send + Sync + 'static,
) {
    let Some((desk, _proxy, address)) = with_proxy(plan) else { return };
    let output = desk.through(&address, more, &["backup", "data"]);
    let text = stderr(&output);
    assert_eq!(code(&output), exit, "{text}");
    for word in words {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    assert_eq!(desk.snapshots(), 1);
    desk.ok(&["check", "--read-data=100%"]);
    desk.ok(&["backup", "data"]);
    desk.is_good();
}

#[test]
fn a_storm_of_refusals_is_waited_out() {
    // Scattered, so that two uploads at once do not take turns in being refused.
    let storm = |seen: &Seen| match (seen.number * 2_654_435_761) >> 29 & 7 {
        0 => Act::Refuse(503, "SlowDown"),
        1 | 2 => Act::Refuse(500, "InternalError"),
        3 => Act::RefuseEarly(429, "TooManyRequests"),
        _ => Act::Pass,
    };
    let Some((text, _)) = comes_through(&[("GHOSTSNAP_RETRY_SECONDS", "120")], storm) else {
        return;
    };
    assert!(text.contains("the store answered 50") && text.contains("trying again in"), "{text}");
    assert!(text.contains(" again; "), "{text}");
}

#[test]
fn connections_cut_in_the_middle_are_made_again() {
    let cuts = |seen: &Seen| match seen.number % 3 {
        0 if seen.method == "PUT" => Act::CutRequest(seen.length / 2),
        0 => Act::CutAnswer(10),
        1 if seen.method == "PUT" => Act::LoseAnswer,
        _ => Act::Pass,
    };
    comes_through(&[("GHOSTSNAP_RETRY_SECONDS", "120")], cuts);
}

#[test]
fn a_silent_store_and_one_that_only_drips_are_asked_again() {
    let slow = |seen: &Seen| match seen.number {
        0 | 3 => Act::Silence,
        1 | 5 => Act::Drip(Duration::from_millis(100)),
        _ => Act::Pass,
    };
    let more = [("GHOSTSNAP_SILENCE_SECONDS", "2"), ("GHOSTSNAP_RETRY_SECONDS", "60")];
    let Some((text, _)) = comes_through(&more, slow) else { return };
    assert!(text.contains("no progress for 2.0 s"), "{text}");
}

#[test]
fn a_cut_listing_is_never_taken_for_a_short_one() {
    let lists = |seen: &Seen| seen.is("GET", "list-type=2");
    let shapes: [fn(String) -> String; 3] = [
        |body| body[..body.len() * 2 / 3].to_owned(),
        |body| body.replace("<IsTruncated>false<", "<IsTruncated>true<"),
        |body| {
            let start = body.find("<Contents>").unwrap_or(0);
            let end = body.rfind("</Contents>").map_or(0, |end| end + "</Contents>".len());
            format!("{}{}", &body[..start], &body[end..])
        },
    ];
    for shape in shapes {
        let more = [("GHOSTSNAP_RETRY_SECONDS", "3")];
        fails_clearly(15, &["cut off"], &more, move |seen| {
            if lists(seen) { Act::Rewrite(shape) } else { Act::Pass }
        });
    }
}

#[test]
fn a_store_that_goes_away_ends_the_backup_within_bounds() {
    let gone = |seen: &Seen| match seen.number {
        0..10 => Act::Pass,
        _ => Act::Refuse(503, "ServiceUnavailable"),
    };
    let words = ["tries over", "503 ServiceUnavailable"];
    fails_clearly(15, &words, &[("GHOSTSNAP_RETRY_SECONDS", "4")], gone);
}

#[test]
fn a_key_that_expires_on_the_way_and_a_wrong_clock_are_named() {
    let cases = [
        ("ExpiredToken", "AWS_SESSION_TOKEN"),
        ("RequestTimeTooSkewed", "timedatectl"),
        ("AccessDenied", "lacks the right"),
    ];
    for (code, words) in cases {
        fails_clearly(10, &[words], &[], move |seen| {
            // The first pack is refused while it is being sent.
            if seen.is("PUT", "packs/") { Act::RefuseEarly(403, code) } else { Act::Pass }
        });
    }
}
