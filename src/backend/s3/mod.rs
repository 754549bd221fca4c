// SPDX-License-Identifier: MIT
//! A bucket of S3 or of one of its many likenesses. rust-s3 builds and signs the requests; they go
//! through our own client (`backend/http.rs`), because rust-s3's copies a body twice and bounds the
//! time of a whole transfer instead of the time without progress.
//!
//! A new file is stored with `If-None-Match: *`. Some stores ignore that without a word, so for the
//! one file whose name does not say what is in it, the config, the size is asked for before.

mod errors;
pub mod options;

pub use options::{AccessKey, S3Options};

use super::http::{self, Answer, Http, Request, Route};
use super::lent::Lent;
use super::retry::Retry;
use super::{Access, Backend, FileKind, FileName, Leftovers, Properties, missing};
use crate::base::units::{bytes as length_of, length};
use crate::base::{Counter, Error, Kind, Result, What, Within, limits};
use errors::refusal;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};
use s3::command::{Command, HttpMethod, Multipart};
use s3::creds::Credentials;
use s3::error::S3Error;
use s3::request::Request as _;
use s3::request::tokio_backend::ReqwestRequest;
use s3::serde_types::{CompleteMultipartUploadData, Part};
use s3::{Bucket, Region};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

const CONTENT_TYPE: &str = "application/octet-stream";

/// A repository in a bucket.
pub struct S3 {
    http: Http,
    retry: Arc<Retry>,
    options: S3Options,
    buckets: Mutex<Arc<Buckets>>,
    /// The key, where the provider lends one.
    role: Option<Lent<AccessKey>>,
}

/// A bucket with a key to it.
struct Buckets {
    /// That of the key.
    key_id: String,
    plain: Bucket,
    /// The same, with the condition that a file is new.
    if_new: Bucket,
}

/// Whether a file that is stored must be new.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    None,
    IfNew,
}

impl Buckets {
    fn new(options: &S3Options, key: &AccessKey) -> Result<Self> {
        let what = "use the key of the bucket";
        let token = key.token.as_ref().map(|token| token.as_str());
        let credentials = Credentials::new(Some(&key.id), Some(&key.secret), None, token, None);
        let region =
            Region::Custom { region: options.region.clone(), endpoint: options.endpoint.clone() };
        let credentials = credentials.what(Kind::Invalid, || what)?;
        let mut plain = *Bucket::new(&options.bucket, region, credentials)
            .map_err(|error| unsigned(what, &error))?;
        if options.path_style {
            plain.set_path_style();
        }
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("*"))]);
        let if_new = plain.with_extra_headers(headers).map_err(|error| unsigned(what, &error))?;
        Ok(Self { key_id: key.id.clone(), plain, if_new })
    }

    fn with(&self, condition: Condition) -> &Bucket {
        match condition {
            Condition::None => &self.plain,
            Condition::IfNew => &self.if_new,
        }
    }
}

/// One page of a listing. What would tell that it is not whole must be there.
#[derive(Deserialize)]
struct Page {
    #[serde(rename = "IsTruncated")]
    truncated: bool,
    #[serde(rename = "NextContinuationToken")]
    next: Option<String>,
    #[serde(rename = "KeyCount")]
    count: Option<usize>,
    #[serde(rename = "Contents", default)]
    files: Vec<Listed>,
}

/// Where a page of a listing begins.
enum From {
    /// At the first file.
    Start,
    /// Where the page before ended.
    Token(String),
    /// Behind this key.
    Behind(String),
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Size")]
    size: u64,
}

#[derive(Deserialize)]
struct Started {
    #[serde(rename = "UploadId")]
    upload: String,
}

impl S3 {
    /// A repository in a bucket, which has to exist. Nothing is asked yet. `retry` is for the parts
    /// of an upload; everything else is asked again by whoever wraps this.
    pub fn new(options: S3Options, access: &Access, retry: Arc<Retry>) -> Result<Self> {
        let what = || format!("use the bucket {}", options.bucket);
        // Whoever asks again is `Retry`, and nobody else.
        s3::set_retries(0);
        // One that is lent is asked for with the first request.
        let none = AccessKey { id: String::new(), secret: String::new().into(), token: None };
        let buckets = Buckets::new(&options, options.key.as_ref().unwrap_or(&none)).within(what)?;
        let role = if options.key.is_none() { Some(Lent::role(access)?) } else { None };
        Ok(Self {
            http: Http::new(access, Route::Outside(options.authorities.as_deref()))?,
            retry,
            buckets: Mutex::new(Arc::new(buckets)),
            role,
            options,
        })
    }

    /// The bucket with the key of now.
    async fn buckets(&self) -> Result<Arc<Buckets>> {
        let held = || self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(role) = &self.role else { return Ok(Arc::clone(&held())) };
        let key = role.key().await?;
        if held().key_id != key.id {
            *held() = Arc::new(Buckets::new(&self.options, &key)?);
        }
        Ok(Arc::clone(&held()))
    }

    fn key(&self, path: &str) -> String {
        let prefix = &self.options.prefix;
        if prefix.is_empty() { format!("/{path}") } else { format!("/{prefix}/{path}") }
    }

    /// Sends one signed request; its answer may be a refusal.
    fn ask(
        &self,
        what: &str,
        condition: Condition,
        key: &str,
        command: Command<'_>,
    ) -> Result<Answer> {
        let wrong = |error: S3Error| unsigned(what, &error);
        let content = match &command {
            Command::PutObject { content, .. } => Some(*content),
            _ => None,
        };
        let answer_max = match &command {
            Command::GetObjectRange { start, end: Some(end) } => end - start + 1,
            _ => 0,
        };
        let (method, counter) = kind_of(&command);
        self.http.run(async {
            let buckets = self.buckets().await?;
            let bucket = buckets.with(condition);
            let request = ReqwestRequest::new(bucket, key, command).await.map_err(wrong)?;
            // Of a file it would be a copy, which would be there until all of it is sent.
            let built = match content {
                Some(_) => Vec::new(),
                None => request.request_body().map_err(wrong)?,
            };
            let request = Request {
                what,
                counter,
                method,
                url: request.url().map_err(wrong)?,
                headers: request.headers().await.map_err(wrong)?,
                body: &[content.unwrap_or(&built)],
                is_content: content.is_some(),
                answer_max: answer_max.max(limits::STORE_ANSWER_BYTES_MAX),
                answer_wait: std::time::Duration::ZERO,
            };
            self.http.send(request).await
        })
    }

    /// The same, for answers that are only of use if they say yes.
    fn insist(
        &self,
        what: &str,
        condition: Condition,
        key: &str,
        command: Command<'_>,
    ) -> Result<Answer> {
        let answer = self.ask(what, condition, key, command)?;
        if (200..300).contains(&answer.status) { Ok(answer) } else { Err(refusal(what, &answer)) }
    }

    fn page(&self, what: &str, prefix: &str, from: From, most: usize) -> Result<Page> {
        let (continuation_token, start_after) = match from {
            From::Start => (None, None),
            From::Token(token) => (Some(token), None),
            From::Behind(key) => (None, Some(key)),
        };
        let command = Command::ListObjectsV2 {
            prefix: prefix.trim_start_matches('/').to_owned(),
            delimiter: None,
            continuation_token,
            start_after,
            max_keys: Some(most),
        };
        let answer = self.insist(what, Condition::None, "/", command)?;
        let page = parse::<Page>(what, &answer)?;
        let cut = |why: &str| Error::new(Kind::Connect, what).why(why.to_owned()).transient();
        if page.truncated && page.next.as_ref().is_none_or(String::is_empty) {
            return Err(cut("the listing was cut off: more is to come, and nothing says where"));
        }
        if page.count.is_some_and(|count| count != page.files.len()) {
            return Err(cut("the listing was cut off: it names fewer files than it counts"));
        }
        Ok(page)
    }

    /// The files of these kinds whose path starts like this, page by page.
    fn listed(&self, what: &str, start: &str, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        let prefix = self.key(start);
        let root = self.key("");
        let root = root.trim_start_matches('/');
        let mut files = Vec::new();
        let mut after = None;
        for _ in 0..limits::STORE_PAGES_MAX {
            let from = after.clone().map_or(From::Start, From::Token);
            let page = self.page(what, &prefix, from, limits::LISTED_AT_ONCE)?;
            for file in page.files {
                let path = file.key.strip_prefix(root).unwrap_or(&file.key);
                let name = kinds.iter().find_map(|kind| FileName::parse(*kind, path));
                files.extend(name.map(|name| (name, file.size)));
            }
            if !page.truncated {
                return Ok(files);
            }
            if page.next == after {
                break;
            }
            after = page.next;
        }
        Err(Error::new(Kind::Connect, what).why("the listing does not come to an end"))
    }

    /// Which of these files one page of a listing shows that begins at the first of them. Those
    /// whose folders lie beside each other, such as index and locks, are mostly all on it.
    fn seen(&self, names: &[FileName]) -> Result<HashMap<FileName, u64>> {
        let keys: BTreeMap<String, FileName> = names
            .iter()
            .map(|name| (self.key(&name.to_string()).trim_start_matches('/').to_owned(), *name))
            .collect();
        let Some((first, _)) = keys.first_key_value() else { return Ok(HashMap::new()) };
        // A listing begins behind the name that it is given.
        let mut before = first.clone();
        before.pop();
        let from = From::Behind(before);
        let page = self.page("look at files", &self.key(""), from, limits::LOOKED_AT_ONCE)?;
        let seen = page.files.into_iter();
        Ok(seen.filter_map(|file| Some((*keys.get(&file.key)?, file.size))).collect())
    }

    /// Stores a file that is known, or will turn out, to be new.
    fn put(&self, what: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let command = Command::PutObject {
            content: bytes,
            content_type: CONTENT_TYPE,
            custom_headers: None,
            multipart: None,
        };
        self.insist(what, Condition::IfNew, key, command).map(drop)
    }

    /// Uploads in parts, each asked again by itself: after a cut it goes on where it was.
    fn put_in_parts(&self, what: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let start = || Command::InitiateMultipartUpload { content_type: CONTENT_TYPE };
        let started = self.retry.persist(|_| {
            let answer = self.insist(what, Condition::None, key, start())?;
            parse::<Started>(what, &answer)
        })?;
        let stored = self
            .put_parts(what, key, &started.upload, bytes)
            .and_then(|parts| self.complete(what, key, &started.upload, &parts, bytes));
        if stored.is_err() {
            let abort = Command::AbortMultipartUpload { upload_id: &started.upload };
            // Parts left behind cost space only, and the bucket's own rules remove them.
            drop(self.ask(what, Condition::None, key, abort));
        }
        stored
    }

    fn put_parts(&self, what: &str, key: &str, upload: &str, bytes: &[u8]) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for (number, content) in (1..).zip(bytes.chunks(length(self.options.part))) {
            let answer = self.retry.persist(|_| {
                let command = Command::PutObject {
                    content,
                    content_type: CONTENT_TYPE,
                    custom_headers: None,
                    multipart: Some(Multipart::new(number, upload)),
                };
                self.insist(what, Condition::None, key, command)
            })?;
            let etag = answer.header("etag").ok_or_else(|| {
                Error::new(Kind::Connect, what).why("the store gave a part no ETag")
            })?;
            parts.push(Part { part_number: number, etag: etag.to_owned() });
        }
        Ok(parts)
    }

    fn complete(
        &self,
        what: &str,
        key: &str,
        upload: &str,
        parts: &[Part],
        bytes: &[u8],
    ) -> Result<()> {
        self.retry.persist(|failures| {
            let data = CompleteMultipartUploadData { parts: parts.to_vec() };
            let command = Command::CompleteMultipartUpload { upload_id: upload, data };
            let answer = self.ask(what, Condition::IfNew, key, command)?;
            // An answer that began well can still end in an error.
            let said = String::from_utf8_lossy(&answer.body);
            if answer.status == 200 && said.contains("CompleteMultipartUploadResult") {
                return Ok(());
            }
            let error = refusal(what, &answer);
            // Done already, and the answer was lost: then there is no such upload any more.
            let done = failures > 0 && error.kind() == Kind::NotFound;
            if done && self.head(what, key)? == Some(length_of(bytes.len())) {
                return Ok(());
            }
            Err(error)
        })
    }

    fn head(&self, what: &str, key: &str) -> Result<Option<u64>> {
        let answer = self.ask(what, Condition::None, key, Command::HeadObject)?;
        match answer.status {
            200 => http::told_length(&answer).map(Some).ok_or_else(|| {
                Error::new(Kind::Connect, what).why("the store did not tell its size")
            }),
            404 => Ok(None),
            // No answer to HEAD says why. One to a listing does.
            status if status < 500 && status != 429 => {
                self.page(what, &self.key(""), From::Start, 1)?;
                Err(refusal(what, &answer))
            }
            _ => Err(refusal(what, &answer)),
        }
    }
}

impl Backend for S3 {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        if kind == FileKind::Config {
            let size = self.size(&FileName::CONFIG)?;
            return Ok(size.map(|size| (FileName::CONFIG, size)).into_iter().collect());
        }
        self.listed(&format!("list {}", kind.folder()), &format!("{}/", kind.folder()), &[kind])
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        self.listed("list the repository", "", kinds)
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        let what = format!("read {name}");
        let key = self.key(&name.to_string());
        if range.is_empty() {
            let size = self.size(name)?.ok_or_else(|| missing(name))?;
            let short = Error::new(Kind::Damaged, what).why(format!("it has {size} bytes"));
            return if range.end <= size { Ok(Vec::new()) } else { Err(short) };
        }
        let command = Command::GetObjectRange { start: range.start, end: Some(range.end - 1) };
        let answer = self.ask(&what, Condition::None, &key, command)?;
        match answer.status {
            200 | 206 | 416 => http::ranged(&what, &range, answer),
            404 if errors::is_missing_file(&answer) => Err(missing(name)),
            _ => Err(refusal(&what, &answer)),
        }
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        let what = format!("read {name}");
        let key = self.key(&name.to_string());
        let command = Command::GetObjectRange { start: 0, end: Some(most.saturating_sub(1)) };
        let answer = self.ask(&what, Condition::None, &key, command)?;
        match answer.status {
            200 | 206 | 416 => http::whole(name, most, answer).map(Some),
            404 if errors::is_missing_file(&answer) => Ok(None),
            _ => Err(refusal(&what, &answer)),
        }
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.head(&format!("look at {name}"), &self.key(&name.to_string()))
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        let seen = if names.len() > 1 { self.seen(names)? } else { HashMap::new() };
        // What lies behind the page, or is not in a listing yet, is asked for by itself.
        let size = |name| seen.get(name).map_or_else(|| self.size(name), |size| Ok(Some(*size)));
        names.iter().map(size).collect()
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        let what = format!("write {name}");
        let key = self.key(&name.to_string());
        // Some stores ignore the condition that a file is new, without a word. The names of all
        // files but the config say what is in them, so that nothing else could be written over.
        if name.kind == FileKind::Config && self.head(&what, &key)?.is_some() {
            return Err(Error::new(Kind::Exists, what).why("the store has a file of that name"));
        }
        if length_of(bytes.len()) > self.options.whole_max {
            return self.put_in_parts(&what, &key, bytes);
        }
        self.put(&what, &key, bytes)
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        let what = format!("remove {name}");
        let key = self.key(&name.to_string());
        let answer = self.ask(&what, Condition::None, &key, Command::DeleteObject)?;
        let gone = answer.status == 404 && errors::is_missing_file(&answer);
        if gone || (200..300).contains(&answer.status) {
            return Ok(());
        }
        Err(refusal(&what, &answer))
    }

    fn leftovers(&self, _: i64, _: Leftovers) -> Result<(u64, u64)> {
        Ok((0, 0))
    }

    fn properties(&self) -> Properties {
        Properties {
            connections: 4,
            append_only: self.options.append_only,
            is_far: true,
            listed_at_once: limits::LISTED_AT_ONCE,
            pack_bytes_max: limits::PACK_BYTES_MAX,
        }
    }

    fn location(&self) -> String {
        let S3Options { endpoint, bucket, prefix, .. } = &self.options;
        format!("s3:{endpoint}/{bucket}/{prefix}").trim_end_matches('/').to_owned()
    }
}

fn kind_of(command: &Command<'_>) -> (Method, Counter) {
    let method = match command.http_verb() {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Post => Method::POST,
        HttpMethod::Delete => Method::DELETE,
    };
    let counter = match command {
        Command::ListObjectsV2 { .. } => Counter::RequestsList,
        Command::DeleteObject | Command::AbortMultipartUpload { .. } => Counter::RequestsDelete,
        Command::HeadObject | Command::GetObjectRange { .. } => Counter::RequestsGet,
        _ => Counter::RequestsPut,
    };
    (method, counter)
}

/// A document of the store; one that cannot be read whole was cut off on its way.
fn parse<T: serde::de::DeserializeOwned>(what: &str, answer: &Answer) -> Result<T> {
    let text = String::from_utf8_lossy(&answer.body);
    quick_xml::de::from_str(&text).map_err(|_| {
        Error::new(Kind::Connect, what)
            .why("the answer of the store was cut off, or is none of S3")
            .transient()
    })
}

/// A request that could not even be made. The cause may hold an address, so that only its sort is
/// told.
fn unsigned(what: &str, error: &S3Error) -> Error {
    let why = match error {
        S3Error::Credentials(_) => "the key cannot be used",
        S3Error::UrlParse(_) => "the address cannot be used",
        S3Error::InvalidHeaderValue(_) => "the key holds what no header can",
        _ => "no request could be made",
    };
    Error::new(Kind::Invalid, what).why(why)
}
