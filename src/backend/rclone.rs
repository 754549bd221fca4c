// SPDX-License-Identifier: MIT
//! Whatever rclone reaches: one `rclone rcd` as long as the store is open, asked over its remote
//! control on the loopback interface. Unlike a program for each file it says for each request
//! whether it went well, lists whole or not at all, and starts once. A random password keeps other
//! users of the machine out; it travels in the environment and never on a command line.
//!
//! How durable a file is when rclone says yes, its remote decides. There is no conditional write:
//! the size is asked for before.

use super::child::Child;
use super::http::{self, Answer, Http, Request, Route, quoted};
use super::{
    Access, Backend, FileKind, FileName, Leftovers, Properties, Variables, list_each, missing,
    size_each, whole_by_size,
};
use crate::base::units::bytes as length_of;
use crate::base::{Counter, Error, FileId, Kind, Result, World, limits};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const RCLONE: &str = "/usr/bin/rclone";
/// It tells us what is wrong rather than to ask again by itself for longer than we wait for it:
/// whoever asks again is `retry.rs`. Twice, since some remotes renew what lets them in between two
/// tries.
const ARGUMENTS: [&str; 12] = [
    "rcd",
    "--rc-addr",
    "127.0.0.1:0",
    "--rc-serve",
    "--log-level",
    "NOTICE",
    "--retries",
    "1",
    "--low-level-retries",
    "2",
    "--contimeout",
    "20s",
];
const BOUNDARY: &str = "7e0b1d3b9a5f4c0e8c61b9f1a2d3c4e5";

/// A repository behind rclone.
pub struct Rclone {
    /// `remote:path`.
    place: String,
    environment: Vec<(String, String)>,
    append_only: bool,
    http: Http,
    world: Arc<World>,
    server: Mutex<Option<Server>>,
}

/// A running `rclone rcd`.
struct Server {
    child: Child,
    url: Url,
    authorization: HeaderValue,
}

/// Where requests go right now.
#[derive(Clone)]
struct Way {
    url: Url,
    authorization: HeaderValue,
}

#[derive(Deserialize)]
struct Listing {
    list: Vec<Item>,
}

#[derive(Deserialize)]
struct Looked {
    item: Option<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "Path")]
    path: String,
    #[serde(rename = "Size")]
    size: i64,
}

#[derive(Deserialize, Default)]
struct Failure {
    #[serde(default)]
    error: String,
}

impl Rclone {
    /// Reads `rclone:remote:path`. Nothing is started yet.
    pub fn new(address: &str, access: &Access) -> Result<Self> {
        let place = address.strip_prefix("rclone:").unwrap_or_default().trim_end_matches('/');
        let wrong = |why: &str| {
            Error::new(Kind::Invalid, "use this rclone address")
                .why(why.to_owned())
                .hint("write rclone:remote:path, with a remote of 'rclone listremotes'")
        };
        let (remote, _) = place.split_once(':').ok_or_else(|| wrong("it names no remote"))?;
        if remote.is_empty() || remote.contains([',', '=']) {
            return Err(wrong("it does not begin with the name of a remote")
                .hint("keep options and secrets in rclone's own configuration: rclone config"));
        }
        if place.contains(['[', ']']) {
            return Err(wrong("it has brackets, which rclone reads as something else"));
        }
        Ok(Self {
            place: place.to_owned(),
            environment: environment(&access.variables),
            append_only: access.variables.flag("GHOSTSNAP_APPEND_ONLY")?,
            http: Http::new(access, Route::ThisMachine)?,
            world: Arc::clone(&access.world),
            server: Mutex::new(None),
        })
    }

    /// The way to a running rclone; starts one where there is none.
    fn way(&self, what: &str) -> Result<Way> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = server.as_mut()
            && !running.child.has_ended()
        {
            return Ok(running.way());
        }
        let started = self.start(what)?;
        let way = started.way();
        *server = Some(started);
        Ok(way)
    }

    fn start(&self, what: &str) -> Result<Server> {
        let password = FileId(self.world.random_32_for("password of rclone")?).to_string();
        let mut environment = self.environment.clone();
        environment.push(("RCLONE_RC_USER".to_owned(), "ghostsnap".to_owned()));
        environment.push(("RCLONE_RC_PASS".to_owned(), password.clone()));
        let arguments = ARGUMENTS.into_iter().map(Into::into).collect();
        let child = Child::start(Path::new(RCLONE), arguments, environment, limits::SILENCE_WAIT);
        let mut child = child.map_err(|error| {
            let lacking = error.kind() == Kind::NotFound;
            if lacking { error.hint("apt install rclone") } else { error }
        })?;
        let until = self.world.ticks() + limits::CONNECT_WAIT;
        let port = loop {
            let said = child.complaint();
            if let Some(port) = port_in(&said) {
                break port;
            }
            if child.has_ended() || self.world.ticks() > until {
                return Err(Error::new(Kind::Connect, what)
                    .why(format!("rclone does not start: {}", quoted(&said))));
            }
            self.world.sleep(limits::LAST_WORDS_WAIT / 10);
        };
        let unusable = || Error::new(Kind::Internal, what).why("rclone's address cannot be used");
        let url = Url::parse(&format!("http://127.0.0.1:{port}/")).map_err(|_| unusable())?;
        let words = azure_core::base64::encode(format!("ghostsnap:{password}"));
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {words}")).map_err(|_| unusable())?;
        authorization.set_sensitive(true);
        Ok(Server { child, url, authorization })
    }

    /// Sends one command; its answer may be a failure.
    fn command(
        &self,
        what: &str,
        counter: Counter,
        name: &str,
        input: &serde_json::Value,
    ) -> Result<Answer> {
        let way = self.way(what)?;
        let body = input.to_string();
        let mut url = way.url.clone();
        url.set_path(&format!("operations/{name}"));
        self.http.run(self.http.send(Request {
            what,
            counter,
            method: Method::POST,
            url,
            headers: way.headers("application/json"),
            body: &[body.as_bytes()],
            is_content: false,
            answer_max: limits::RECORD_BYTES_MAX,
            answer_wait: Duration::ZERO,
        }))
    }

    fn stat(&self, what: &str, name: &FileName) -> Result<Option<u64>> {
        let item = self.item(what, &name.to_string())?;
        item.map(|item| size_of(what, &item)).transpose()
    }

    /// A file or folder at a path, if there is one.
    fn item(&self, what: &str, path: &str) -> Result<Option<Item>> {
        let input = json!({ "fs": self.place, "remote": path });
        let answer = self.command(what, Counter::RequestsGet, "stat", &input)?;
        if answer.status == 404 {
            return Ok(None);
        }
        let looked: Looked = understood(what, &answer)?;
        Ok(looked.item)
    }
}

impl Server {
    fn way(&self) -> Way {
        Way { url: self.url.clone(), authorization: self.authorization.clone() }
    }
}

impl Way {
    fn headers(&self, content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        if let Ok(value) = HeaderValue::from_str(content_type) {
            headers.insert(CONTENT_TYPE, value);
        }
        headers
    }
}

impl Backend for Rclone {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        if kind == FileKind::Config {
            let size = self.size(&FileName::CONFIG)?;
            return Ok(size.map(|size| (FileName::CONFIG, size)).into_iter().collect());
        }
        let what = format!("list {}", kind.folder());
        let options =
            json!({ "recurse": true, "filesOnly": true, "noModTime": true, "noMimeType": true });
        let input = json!({ "fs": self.place, "remote": kind.folder(), "opt": options });
        let answer = self.command(&what, Counter::RequestsList, "list", &input)?;
        if answer.status == 404 && said(&answer).contains("directory not found") {
            // A folder that does not exist is an empty one. But rclone says the same of a folder
            // below that was gone when it came to it.
            return match self.item(&what, kind.folder())? {
                None => Ok(Vec::new()),
                Some(_) => Err(failed(&what, &answer).transient()),
            };
        }
        let listing: Listing = understood(&what, &answer)?;
        let mut files = Vec::new();
        for item in listing.list {
            if let Some(name) = FileName::parse(kind, &item.path) {
                files.push((name, size_of(&what, &item)?));
            }
        }
        Ok(files)
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        list_each(self, kinds)
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        let what = format!("read {name}");
        if range.is_empty() {
            let size = self.size(name)?.ok_or_else(|| missing(name))?;
            let short = Error::new(Kind::Damaged, what).why(format!("it has {size} bytes"));
            return if range.end <= size { Ok(Vec::new()) } else { Err(short) };
        }
        let way = self.way(&what)?;
        let mut url = way.url.clone();
        url.set_path(&format!("[{}]/{name}", self.place));
        let mut headers = way.headers("application/octet-stream");
        let wanted = format!("bytes={}-{}", range.start, range.end - 1);
        if let Ok(value) = HeaderValue::from_str(&wanted) {
            headers.insert(RANGE, value);
        }
        let answer = self.http.run(self.http.send(Request {
            what: &what,
            counter: Counter::RequestsGet,
            method: Method::GET,
            url,
            headers,
            body: &[],
            is_content: false,
            answer_max: (range.end - range.start).max(limits::STORE_ANSWER_BYTES_MAX),
            answer_wait: Duration::ZERO,
        }))?;
        match answer.status {
            200 | 206 | 416 => http::ranged(&what, &range, answer),
            404 => Err(missing(name)),
            _ => Err(failed(&what, &answer)),
        }
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        whole_by_size(self, name, most)
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.stat(&format!("look at {name}"), name)
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        size_each(self, names)
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        let what = format!("write {name}");
        if self.stat(&what, name)?.is_some() {
            return Err(Error::new(Kind::Exists, what).why("the store has a file of that name"));
        }
        let path = name.to_string();
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", &path));
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let way = self.way(&what)?;
        let mut url = way.url.clone();
        url.set_path("operations/uploadfile");
        url.query_pairs_mut().append_pair("fs", &self.place).append_pair("remote", folder);
        let answer = self.http.run(self.http.send(Request {
            what: &what,
            counter: Counter::RequestsPut,
            method: Method::POST,
            url,
            headers: way.headers(&format!("multipart/form-data; boundary={BOUNDARY}")),
            body: &[head.as_bytes(), bytes, tail.as_bytes()],
            is_content: true,
            answer_max: limits::STORE_ANSWER_BYTES_MAX,
            answer_wait: pass_on_wait(length_of(bytes.len())),
        }))?;
        if answer.status != 200 {
            return Err(failed(&what, &answer));
        }
        Ok(())
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        let what = format!("remove {name}");
        let input = json!({ "fs": self.place, "remote": name.to_string() });
        let answer = self.command(&what, Counter::RequestsDelete, "deletefile", &input)?;
        match answer.status {
            200 | 404 => Ok(()),
            _ => Err(failed(&what, &answer)),
        }
    }

    fn leftovers(&self, _: i64, _: Leftovers) -> Result<(u64, u64)> {
        Ok((0, 0))
    }

    fn properties(&self) -> Properties {
        // rclone asks its remote for us, however often that takes.
        Properties {
            connections: 2,
            append_only: self.append_only,
            is_far: true,
            listed_at_once: usize::MAX,
            pack_bytes_max: limits::PACK_BYTES_MAX,
        }
    }

    fn location(&self) -> String {
        format!("rclone:{}", self.place)
    }
}

/// What rclone finds in its environment: where its configuration is and how it opens.
fn environment(variables: &Variables) -> Vec<(String, String)> {
    let passed_on = [
        "HOME",
        "XDG_CONFIG_HOME",
        "RCLONE_CONFIG",
        "RCLONE_CONFIG_PASS",
        "RCLONE_BWLIMIT",
        "SSH_AUTH_SOCK",
        "HTTPS_PROXY",
        "NO_PROXY",
    ];
    passed_on.into_iter().filter_map(|name| Some((name.to_owned(), variables.get(name)?))).collect()
}

/// How long rclone may take to pass on what it has.
fn pass_on_wait(bytes: u64) -> Duration {
    Duration::from_secs(bytes / limits::PASSED_ON_BYTES_A_SECOND)
}

/// The port in `Serving remote control on http://127.0.0.1:43915/`.
fn port_in(said: &str) -> Option<u16> {
    let after = said.split_once("http://127.0.0.1:")?.1;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn understood<T: serde::de::DeserializeOwned>(what: &str, answer: &Answer) -> Result<T> {
    if answer.status != 200 {
        return Err(failed(what, answer));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|_| Error::new(Kind::Connect, what).why("rclone's answer was cut off").transient())
}

fn size_of(what: &str, item: &Item) -> Result<u64> {
    u64::try_from(item.size)
        .map_err(|_| Error::new(Kind::Connect, what).why("the remote does not tell sizes"))
}

fn said(answer: &Answer) -> String {
    let failure: Failure = serde_json::from_slice(&answer.body).unwrap_or_default();
    failure.error
}

fn failed(what: &str, answer: &Answer) -> Error {
    let text = said(answer);
    let small = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| small.contains(word));
    let error = Error::new(Kind::Connect, what).why(format!("rclone: {}", quoted(&text)));
    if says(&["didn't find section", "unknown type of remote", "config file"]) {
        return error.with_kind(Kind::NotFound).hint(
            "'rclone listremotes' shows the remotes of this user; another configuration is named \
             in RCLONE_CONFIG",
        );
    }
    // Before rights: some stores answer 403 to all of it.
    if says(&BUSY) {
        return error.transient();
    }
    if says(&FULL) {
        return error.with_kind(Kind::Disk).hint("free some space there");
    }
    if says(&NO_RIGHT) || ["401", "403"].iter().any(|code| is_status(&small, code)) {
        return error.with_kind(Kind::Forbidden).hint("try 'rclone lsd' with the same remote");
    }
    // It has tried again by itself where it knows how; what is left is mostly the line.
    error.transient()
}

/// What stores say, in small letters, that are asked too often.
const BUSY: [&str; 5] =
    ["ratelimit", "rate limit", "quota metric", "too many requests", "slowdown"];
/// What those say that are full.
const FULL: [&str; 7] = [
    "no space left",
    "quota exceeded",
    "quotaexceeded",
    "quota has been exceeded",
    "quotalimitreached",
    "insufficientstorage",
    "insufficient_space",
];
/// What those say that do not know or like whoever asks.
const NO_RIGHT: [&str; 4] =
    ["accessdenied", "access denied", "permission denied", "signaturedoesnotmatch"];

/// Whether a text in small letters names this status of HTTP: as one, since the same digits stand
/// in ports, sizes and names of packs.
fn is_status(text: &str, code: &str) -> bool {
    text.match_indices(code).any(|(start, _)| {
        let (before, after) = text.split_at(start);
        let after = after.get(code.len()..).unwrap_or_default();
        let is_called = ["error", "status", "code", "statuscode"].iter().any(|word| {
            let rest = before.trim_end_matches([' ', ':', '=']);
            rest.len() < before.len() && rest.ends_with(word)
        });
        let is_alone = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
        let is_named =
            is_alone && [" forbidden", " unauthorized"].iter().any(|word| after.starts_with(word));
        is_named || is_called && !after.starts_with(|c: char| c.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A store whose rclone is a thread that gives these answers, one after the other.
    fn answering(answers: Vec<(u16, serde_json::Value)>) -> Rclone {
        answering_after(Duration::ZERO, answers)
    }

    /// The same of one that takes its time.
    fn answering_after(time: Duration, answers: Vec<(u16, serde_json::Value)>) -> Rclone {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let is_upload = take_request(&mut stream);
                World::system().sleep(if is_upload { time } else { Duration::ZERO });
                let body = body.to_string();
                let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
                let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let second = |name: &str| (name == "GHOSTSNAP_SILENCE_SECONDS").then(|| "1".to_owned());
        let access = Access::bare(Arc::new(World::system()));
        let access = Access { variables: Variables::new(second), ..access };
        let store = Rclone::new("rclone:box:a", &access).unwrap();
        let sleeping = vec!["1000".into()];
        let (path, silence) = (Path::new("/bin/sleep"), limits::SILENCE_WAIT);
        let child = Child::start(path, sleeping, Vec::new(), silence).unwrap();
        let authorization = HeaderValue::from_static("Basic x");
        *store.server.lock().unwrap() = Some(Server { child, url, authorization });
        store
    }

    /// Takes a request to the end of its body; whether it is an upload.
    fn take_request(stream: &mut TcpStream) -> bool {
        let (mut taken, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let length = stream.read(&mut piece).unwrap();
            taken.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&taken).to_lowercase();
            let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
            let told = head.split("content-length: ").nth(1).unwrap();
            let told: usize = told.lines().next().unwrap().parse().unwrap();
            let head = taken.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            if taken.len() >= head + 4 + told {
                return text.starts_with("post /operations/uploadfile");
            }
        }
    }

    #[test]
    fn a_listing_that_broke_in_a_folder_below_is_never_an_empty_one() {
        let gone = || (404, json!({ "error": "error in ListJSON: directory not found" }));
        let folder = json!({ "item": { "Path": "packs", "Size": -1, "IsDir": true } });
        let broken = answering(vec![gone(), (200, folder)]).list(FileKind::Pack).unwrap_err();
        assert!(broken.is_transient(), "{broken}");
        let nothing = (200, json!({ "item": null }));
        assert_eq!(answering(vec![gone(), nothing]).list(FileKind::Pack).unwrap(), []);
        // Nor is one of which nobody can say.
        let trouble = (500, json!({ "error": "dial tcp: connection refused" }));
        assert!(answering(vec![gone(), trouble]).list(FileKind::Pack).is_err());
    }

    #[test]
    fn a_remote_that_takes_no_stream_is_waited_for_as_long_as_the_bytes_need() {
        let name = FileName::new(FileKind::Pack, FileId([1; 32]));
        let answers = vec![(200, json!({ "item": null })), (200, json!({}))];
        let slow = answering_after(Duration::from_millis(1500), answers.clone());
        slow.create(&name, &vec![0; 1 << 20]).unwrap();
        let slow = answering_after(Duration::from_millis(1500), answers);
        assert!(slow.create(&name, b"little").unwrap_err().is_transient());
        assert_eq!(pass_on_wait(48 << 20).as_secs() / 60, 14);
    }

    #[test]
    fn rclone_is_told_to_leave_it_to_us_to_ask_again() {
        let followed = |flag, value| ARGUMENTS.windows(2).any(|two| two == [flag, value]);
        assert!(followed("--retries", "1") && followed("--low-level-retries", "2"));
        assert!(followed("--contimeout", "20s"));
    }

    #[test]
    fn an_address_names_a_remote_and_holds_no_options() {
        let access = Access::bare(Arc::new(World::seeded(1)));
        let open = |address| Rclone::new(address, &access);
        assert_eq!(open("rclone:box:a/b/").ok().unwrap().location(), "rclone:box:a/b");
        for address in ["rclone:box", "rclone::a", "rclone:sftp,pass=hush:a", "rclone:box:[a]"] {
            let error = open(address).err().unwrap();
            assert!(error.kind() == Kind::Invalid && !error.to_string().contains("hush"));
        }
    }

    #[test]
    fn the_port_is_read_off_what_rclone_says() {
        let said = "2026/11/29 NOTICE: Serving remote control on http://127.0.0.1:43915/";
        assert_eq!(port_in(said), Some(43915));
        assert_eq!(port_in("Failed to start"), None);
    }

    #[test]
    fn failures_of_rclone_say_what_mends_them() {
        let tell = |text: &str| {
            let body = json!({ "error": text, "status": 500 }).to_string().into_bytes();
            failed("read x", &Answer { status: 500, headers: HeaderMap::new(), body })
        };
        let error = tell("didn't find section in config file");
        assert!(error.kind() == Kind::NotFound && error.to_string().contains("listremotes"));
        assert_eq!(tell("write: no space left on device").kind(), Kind::Disk);
        assert!(tell("dial tcp: connection refused").is_transient());
        // Digits say nothing by themselves.
        for passing in [
            "Post \"http://127.0.0.1:40311/\": connection reset",
            "read packs/40/403a: unexpected EOF",
            "write packs/01/401: error 4031: i/o timeout",
            "googleapi: Error 403: User Rate Limit Exceeded., userRateLimitExceeded",
            "googleapi: Error 403: Quota exceeded for quota metric 'Queries', rateLimitExceeded",
        ] {
            assert!(tell(passing).is_transient(), "{passing}");
        }
        for denied in [
            "googleapi: Error 403: The user does not have sufficient permissions",
            "AccessDenied: Access Denied",
            "operation error S3: PutObject, https response error StatusCode: 403, RequestID: x",
            "status code: 401, request id: x",
            "unexpected response: 401 Unauthorized",
            "sftp: \"Permission denied\"",
        ] {
            assert_eq!(tell(denied).kind(), Kind::Forbidden, "{denied}");
        }
        let full = "googleapi: Error 403: The user's Drive storage quota has been exceeded., \
                    storageQuotaExceeded";
        assert_eq!(tell(full).kind(), Kind::Disk);
    }
}
