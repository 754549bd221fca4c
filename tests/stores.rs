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
            .env("GHOSTSNAP_STATE_DIR", self.folder.path().join("state"))
            .env("GHOSTSNAP_REPOSITORY", address)
            .env("GHOSTSNAP_PASSWORD", "correct horse")
            .env("RUST_LOG", "trace")
            .env("GHOSTSNAP_CACHE_DIR", self.path("cache"))
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
    // What this machine wrote it does not ask for again; without its copy it does.
    let gets = |args: &[&str]| {
        let events = desk.ok(args);
        let result: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        result["traffic"]["requests_get"].as_u64().unwrap()
    };
    let (with, without) =
        (gets(&["backup", "data", "--json"]), gets(&["backup", "data", "--json", "--no-cache"]));
    assert!(with + 4 <= without, "{with} and {without}");
    assert_eq!(desk.snapshots(), 4);
    fs::remove_dir_all(desk.path("cache")).unwrap();
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

/// What a run asks a store far away for is counted in journeys; docs/performance.md says for what.
fn takes_few_requests(desk: &Desk) {
    desk.ok(&["init"]);
    let requests = |args: &[&str]| {
        let events = desk.ok(args);
        let result: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        let kinds = ["put", "get", "list", "delete"]
            .map(|kind| result["traffic"][format!("requests_{kind}")].as_u64().unwrap_or_default());
        kinds.iter().sum::<u64>()
    };
    let night = ["backup", "data", "--json"];
    // Large: two packs of content and one of trees.
    assert_eq!(requests(&night), 15);
    // Somebody else may have given the folder above another time: that is one pack of trees more.
    let unchanged = requests(&night);
    assert!([10, 13].contains(&unchanged), "{unchanged}");
    desk.write("a.txt", b"changed");
    assert_eq!(requests(&night), 14);
    assert_eq!(requests(&["restore", "latest", "--target", "back", "--json"]), 11);
    desk.is_good();
}

#[test]
fn a_night_in_s3_takes_few_requests() {
    let Some(server) = stores::s3() else { return };
    takes_few_requests(&Desk::new(stores::at(server.port, &server.place()), stores::keys()));
}

#[test]
fn a_night_in_azure_takes_as_few() {
    let Some(server) = stores::azure() else { return };
    takes_few_requests(&Desk::new(server.place(), server.keys()));
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
    // Scattered, so that two uploads at once do not take turns in being refused; and one in four
    // alone, since storing a pack takes several requests that must all pass.
    let storm = |seen: &Seen| match (seen.number * 2_654_435_761) >> 29 & 7 {
        0 if seen.number.is_multiple_of(2) => Act::Refuse(503, "SlowDown"),
        0 => Act::Refuse(500, "InternalError"),
        1 => Act::RefuseEarly(429, "TooManyRequests"),
        _ => Act::Pass,
    };
    let Some((text, _)) = comes_through(&[("GHOSTSNAP_RETRY_SECONDS", "300")], storm) else {
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
    // Whichever request it is then; the answer to a HEAD has no more to say.
    let words = ["tries over", "the store answered 503"];
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

/// A desk whose repository has a name: its entry says how S3 is reached, the environment nothing.
fn named_desk(options: &[&str]) -> Option<(Desk, u16)> {
    let server = stores::s3()?;
    let address = stores::at(server.port, &server.place());
    let mut desk = Desk::new("offsite".to_owned(), stores::keys());
    fs::create_dir(desk.path("etc")).unwrap();
    fs::write(desk.path("etc/ghostsnap.toml"), "").unwrap();
    fs::write(desk.path("secret"), format!("{}\n", stores::SECRET)).unwrap();
    fs::set_permissions(desk.path("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    // What stores of other repositories need must not reach this one.
    desk.environment = vec![
        ("AWS_ACCESS_KEY_ID", "AKIAOTHER".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "other+secret".to_owned()),
        ("THE_SECRET_KEY", stores::SECRET.to_owned()),
        ("GHOSTSNAP_CONFIG", desk.path("etc/ghostsnap.toml").display().to_string()),
    ];
    let id = format!("key_id={}", stores::KEY_ID);
    let line = ["repository", "add", "offsite", &address, &id, "retry_seconds=20"];
    desk.ok(&[&line, options].concat());
    Some((desk, server.port))
}

#[test]
fn a_named_repository_takes_its_secret_from_a_file_the_environment_or_a_command() {
    let Some((desk, _)) = named_desk(&["secret_env=THE_SECRET_KEY"]) else { return };
    desk.ok(&["init"]);
    let file = format!("secret_file={}", desk.path("secret").display());
    let command = format!("secret_command=head -n 1 '{}'", desk.path("secret").display());
    for (count, way) in ["secret_env=THE_SECRET_KEY", &file, &command].into_iter().enumerate() {
        desk.ok(&["repository", "change", "offsite", way]);
        desk.ok(&["backup", "data", "-v"]);
        assert_eq!(desk.snapshots(), count + 1);
        for format in ["json", "plain", "csv", "shell", "table"] {
            desk.ok(&["repository", "list", "--format", format]);
            desk.ok(&["repository", "show", "offsite", "--format", format]);
        }
        let steps = desk.ok(&["repository", "test", "offsite", "--format", "plain"]);
        assert_eq!(steps.matches("\tgood\t").count(), 5, "{steps}");
    }
    desk.is_good();
    let secret = desk.path("secret");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    desk.ok(&["repository", "change", "offsite", &file]);
    let output = desk.run(&["snapshots"]);
    assert_eq!(code(&output), 10, "{}", stderr(&output));
    assert!(stderr(&output).contains("chmod 600"), "{}", stderr(&output));
}

#[test]
fn a_test_of_a_named_repository_says_what_is_wrong_and_what_mends_it() {
    let Some((desk, port)) = named_desk(&["secret_env=THE_SECRET_KEY"]) else { return };
    let change = |word: &str| desk.ok(&["repository", "change", "offsite", word]);
    let fails = |exit: i32, step: &str, words: &[&str]| {
        let output = desk.run(&["repository", "test", "offsite", "--format", "plain"]);
        let rows = String::from_utf8_lossy(&output.stdout).into_owned();
        let text = stderr(&output);
        assert_eq!(code(&output), exit, "{text}{rows}");
        assert!(rows.contains(&format!("{step}\tfailed\t")), "{rows}");
        for word in words {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
    };
    let url = |port: u16, place: &str| format!("url={}", stores::at(port, place));
    change("secret_env=GHOSTSNAP_CONFIG");
    fails(10, "connect", &["check secret", "offsite.toml"]);
    change("secret_env=THE_SECRET_KEY");
    change("key_id=AKIANOBODY");
    fails(10, "connect", &["check key_id", "offsite.toml"]);
    change("key_id=AKIALOOKS");
    fails(10, "write", &["lacks the right"]);
    change(&format!("key_id={}", stores::KEY_ID));
    change(&url(port, "no-such-bucket/x"));
    fails(3, "connect", &["make the bucket"]);
    change("retry_seconds=2");
    change("url=s3:https://no-such-host.invalid/bucket/x");
    fails(15, "connect", &["name of the store cannot be resolved"]);
    change(&url(port, "tests/x").replace("http:", "https:"));
    fails(15, "connect", &["offsite"]);
    // What answers is a proxy, which says what the store does not: a wrong clock, a right lacking.
    for (code, method, step, words) in [
        ("RequestTimeTooSkewed", "PUT", "write", "timedatectl"),
        ("AccessDenied", "PUT", "write", "lacks the right"),
        ("RequestTimeTooSkewed", "HEAD", "connect", "timedatectl"),
    ] {
        let proxy = Proxy::new(port, move |seen: &Seen| {
            let probed = method == "HEAD" || seen.method == method;
            if probed { Act::RefuseEarly(403, code) } else { Act::Pass }
        });
        change(&url(proxy.port, "tests/x"));
        fails(10, step, &[words]);
    }
    // A store that keeps everything is append-only, and no failure.
    let proxy = Proxy::new(port, |seen: &Seen| {
        if seen.method == "DELETE" { Act::RefuseEarly(403, "AccessDenied") } else { Act::Pass }
    });
    change(&url(proxy.port, "tests/x"));
    let rows = desk.ok(&["repository", "test", "offsite", "--format", "plain"]);
    assert!(rows.contains("delete\tkept\t") && rows.contains("append_only=yes"), "{rows}");
    change("append_only=yes");
    let rows = desk.ok(&["repository", "test", "offsite", "--format", "plain"]);
    assert!(rows.contains("as its options say"), "{rows}");
}
