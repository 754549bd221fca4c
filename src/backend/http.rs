// SPDX-License-Identifier: MIT
//! Requests over HTTP, for the stores that speak it. One client with pooled connections and a small
//! runtime of its own; async code ends here. What a request and its answer hold is bounded, and
//! their time too: not the whole of it, which depends on the line, but that without progress.
//!
//! It never asks again (`backend/retry.rs` does) and never follows a redirect, and its errors never
//! hold an address: a query may be a signature.

use crate::backend::{Access, FileName, too_large};
use crate::base::units::{Span, bytes as length_of, length};
use crate::base::{Counter, Error, Kind, Monitor, Result, What, WhatIo, World, limits};
use futures_util::future::{Either, select};
use futures_util::stream::unfold;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use reqwest::{Body, Certificate, Client, Method, Response, Url, redirect};
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// A client with its runtime.
pub struct Http {
    runtime: Runtime,
    client: Client,
    world: Arc<World>,
    monitor: Arc<dyn Monitor>,
    silence: Duration,
}

/// What is asked.
pub struct Request<'a> {
    /// What it is for, completing "cannot ...".
    pub what: &'a str,
    /// How it is counted.
    pub counter: Counter,
    /// GET, PUT and so on.
    pub method: Method,
    /// Where to; may hold a signature.
    pub url: Url,
    /// All headers, signed.
    pub headers: HeaderMap,
    /// What is sent, one slice after the other.
    pub body: &'a [&'a [u8]],
    /// Whether `body` is content of a file, which is counted.
    pub is_content: bool,
    /// Bytes that the answer may have.
    pub answer_max: u64,
    /// How much longer than usual its first line may take, once all is sent.
    pub answer_wait: Duration,
}

/// What came back, whole.
pub struct Answer {
    /// 200 and so on.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// Where a store is.
#[derive(Clone, Copy)]
pub enum Route<'a> {
    /// Somewhere on the network. The system's certificate authorities are trusted, and those of a
    /// file beside them.
    Outside(Option<&'a Path>),
    /// A program on this machine: never through a proxy.
    ThisMachine,
}

impl Answer {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Http {
    /// A client for one store.
    pub fn new(access: &Access, route: Route<'_>) -> Result<Self> {
        let what = || "prepare for requests";
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let mut client = Client::builder()
            .connect_timeout(limits::CONNECT_WAIT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("ghostsnap/", env!("CARGO_PKG_VERSION")));
        if let Route::ThisMachine = route {
            client = client.no_proxy();
        }
        if let Route::Outside(Some(path)) = route {
            let reading = || format!("read the certificates in {}", path.display());
            let bytes = fs::read(path).what_io(reading)?;
            let certificates = Certificate::from_pem_bundle(&bytes);
            for one in certificates.what(Kind::Invalid, reading)? {
                client = client.add_root_certificate(one);
            }
        }
        let seconds = access.variables.number("GHOSTSNAP_SILENCE_SECONDS")?;
        Ok(Self {
            runtime: runtime.what_io(what)?,
            client: client.build().what(Kind::Internal, what)?,
            world: Arc::clone(&access.world),
            monitor: Arc::clone(&access.monitor),
            silence: seconds.map_or(limits::SILENCE_WAIT, Duration::from_secs),
        })
    }

    /// Runs something to its end on the calling thread.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer> {
        self.monitor.count(request.counter, 1);
        let what = request.what;
        let mut pace = Pace::new(self, self.silence);
        let mut response = self.exchange(&request, &mut pace).await?;
        // Whatever the answer took: its body has a span of its own.
        pace = Pace::new(self, self.silence);
        let mut body = Vec::new();
        loop {
            let Some(piece) = pace.within(what, response.chunk()).await? else { break };
            let size = length_of(piece.len());
            pace.moved(size);
            if length_of(body.len()) + size > request.answer_max {
                return Err(Error::new(Kind::Connect, what)
                    .why(format!("the answer is longer than {} bytes", request.answer_max)));
            }
            body.extend_from_slice(&piece);
        }
        if request.counter == Counter::RequestsGet {
            self.monitor.count(Counter::BytesReceived, length_of(body.len()));
        }
        Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body })
    }

    /// Sends the request and waits for the first line of the answer, which may come before all of
    /// the request is sent.
    async fn exchange(&self, request: &Request<'_>, pace: &mut Pace<'_>) -> Result<Response> {
        let what = request.what;
        let call = self.client.request(request.method.clone(), request.url.clone());
        let mut headers = request.headers.clone();
        let length: usize = request.body.iter().map(|part| part.len()).sum();
        if length > 0 {
            // Without it a body that is a stream would be sent in chunks, which stores refuse.
            headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        let call = call.headers(headers);
        if length <= limits::HTTP_PIECE_BYTES {
            let response = pace.within(what, call.body(request.body.concat()).send()).await?;
            if request.is_content {
                self.monitor.count(Counter::BytesSent, length_of(length));
            }
            return Ok(response);
        }

        // The body goes through a narrow channel piece by piece: so it is never copied whole, and
        // how fast the pieces leave is the progress.
        let (sender, receiver) = mpsc::channel::<Vec<u8>>(1);
        let pieces = unfold(receiver, |mut receiver| async {
            let piece = receiver.recv().await?;
            Some((Ok::<_, Infallible>(piece), receiver))
        });
        let response = pin!(call.body(Body::wrap_stream(pieces)).send());
        let feeding = pin!(self.feed(request, sender, pace));
        match select(feeding, response).await {
            Either::Left((Ok(()), response)) => {
                let patience = Pace::new(self, self.silence.saturating_add(request.answer_wait));
                patience.within(what, response).await
            }
            Either::Left((Err(error), _)) => Err(error),
            Either::Right((response, _)) => response.map_err(|error| trouble(what, error)),
        }
    }

    async fn feed(
        &self,
        request: &Request<'_>,
        sender: mpsc::Sender<Vec<u8>>,
        pace: &mut Pace<'_>,
    ) -> Result<()> {
        let pieces = request.body.iter().flat_map(|part| part.chunks(limits::HTTP_PIECE_BYTES));
        for piece in pieces {
            let waiting = tokio::time::timeout(pace.left(), sender.send(piece.to_vec()));
            match waiting.await {
                Err(_) => return Err(stalled(request.what, self.silence)),
                // Nobody takes the rest: the answer, or what broke the connection, is on its way.
                Ok(Err(_)) => return Ok(()),
                Ok(Ok(())) => {}
            }
            pace.moved(length_of(piece.len()));
            if request.is_content {
                self.monitor.count(Counter::BytesSent, length_of(piece.len()));
            }
        }
        Ok(())
    }
}

/// Notices when nothing moves any more. A trickle of bytes is no movement.
struct Pace<'h> {
    http: &'h Http,
    /// How long nothing may move.
    span: Duration,
    until: Duration,
    seen: u64,
}

impl<'h> Pace<'h> {
    fn new(http: &'h Http, span: Duration) -> Self {
        Self { http, span, until: http.world.ticks() + span, seen: 0 }
    }

    fn left(&self) -> Duration {
        self.until.saturating_sub(self.http.world.ticks())
    }

    fn moved(&mut self, bytes: u64) {
        self.seen += bytes;
        if self.seen >= limits::PROGRESS_BYTES {
            self.seen = 0;
            self.until = self.http.world.ticks() + self.span;
        }
    }

    async fn within<T>(
        &self,
        what: &str,
        step: impl Future<Output = reqwest::Result<T>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.left(), step).await {
            Err(_) => Err(stalled(what, self.span)),
            Ok(result) => result.map_err(|error| trouble(what, error)),
        }
    }
}

fn stalled(what: &str, silence: Duration) -> Error {
    Error::new(Kind::Connect, what)
        .why(format!("the store made no progress for {}", Span(silence)))
        .transient()
}

/// A failed exchange in our words. Only what a person has to mend is final.
pub fn trouble(what: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let (connecting, unsendable) = (error.is_connect(), error.is_builder());
    let ours = Error::new(Kind::Connect, what).cause(error);
    let reasons = ours.reasons();
    let says = |words: &[&str]| words.iter().any(|word| reasons.contains(word));
    if unsendable {
        return ours.with_kind(Kind::Invalid);
    }
    if says(&["invalid peer certificate", "UnknownIssuer", "CaUsedAsEndEntity"]) {
        return Error::new(Kind::Connect, what)
            .why(format!("the certificate of the store is not trusted ({})", tail(&reasons)))
            .hint(
                "if it is of an authority of your own, name its file in SSL_CERT_FILE; if it has \
                 expired or is of another name, mend it at the store",
            );
    }
    if says(&["InvalidContentType", "InvalidMessage"]) {
        return Error::new(Kind::Connect, what)
            .why("the store does not speak TLS at this port")
            .hint("check the address: https or http, and the port");
    }
    if says(&["dns error", "failed to lookup address"]) {
        return Error::new(Kind::Connect, what)
            .why("the name of the store cannot be resolved")
            .hint("check the address and this machine's name server")
            .transient();
    }
    if connecting {
        return Error::new(Kind::Connect, what)
            .why(format!("the store cannot be reached ({})", tail(&reasons)))
            .hint("check the address, the port and firewalls")
            .transient();
    }
    Error::new(Kind::Connect, what)
        .why(format!("the connection broke ({})", tail(&reasons)))
        .transient()
}

/// The innermost cause: what stands behind the last colon but one belongs together.
fn tail(reasons: &str) -> &str {
    reasons.rsplit(": ").next().unwrap_or(reasons)
}

/// What a header or a document of a store says, in a message: bounded and on one line.
pub fn quoted(text: &str) -> String {
    let line: String = text.chars().take(limits::ANSWER_QUOTED_CHARS).collect();
    crate::base::path::display_bytes(line.trim().as_bytes())
}

/// The length that a `Content-Length` header names.
pub fn told_length(answer: &Answer) -> Option<u64> {
    answer.header("content-length")?.parse().ok()
}

/// The whole size in `Content-Range: bytes 0-9/100`.
pub fn told_size(answer: &Answer) -> Option<u64> {
    answer.header("content-range").and_then(size_in)
}

/// The whole size that a `Content-Range` names.
pub fn size_in(range: &str) -> Option<u64> {
    range.rsplit('/').next()?.parse().ok()
}

/// What the read of a whole file of at most `most` bytes came to, asked for as a range.
pub fn whole(name: &FileName, most: u64, answer: Answer) -> Result<Vec<u8>> {
    let size = told_size(&answer).or_else(|| told_length(&answer));
    match (answer.status, size) {
        // An empty file has no first byte.
        (416, Some(0)) => Ok(Vec::new()),
        (200 | 206, Some(size)) if size > most => Err(too_large(name, size)),
        (200 | 206, Some(size)) if size == length_of(answer.body.len()) => Ok(answer.body),
        // Sent in pieces to its end, without a word of how much it is.
        (200, None) if length_of(answer.body.len()) <= most => Ok(answer.body),
        (_, size) => Err(Error::new(Kind::Connect, format!("read {name}"))
            .why(format!("{} of {} bytes came", answer.body.len(), size.unwrap_or(0)))
            .transient()),
    }
}

/// What a ranged read came to. A file that is too short is damaged; an answer that is not what was
/// asked for is never content.
pub fn ranged(what: &str, range: &std::ops::Range<u64>, answer: Answer) -> Result<Vec<u8>> {
    let wanted = range.end - range.start;
    let short = |size: u64| {
        Error::new(Kind::Damaged, what)
            .why(format!("it has {size} bytes, byte {} was asked for", range.end))
    };
    let size = told_size(&answer);
    if answer.status == 416 {
        return Err(size.map_or_else(
            || Error::new(Kind::Damaged, what).why("it has fewer bytes than asked for"),
            short,
        ));
    }
    if let Some(size) = size.filter(|size| *size < range.end) {
        return Err(short(size));
    }
    let whole = answer.status == 200 && range.start == 0;
    if length_of(answer.body.len()) != wanted || !(answer.status == 206 || whole) {
        return Err(Error::new(Kind::Connect, what)
            .why(format!("{} bytes came instead of {wanted}", answer.body.len()))
            .transient());
    }
    debug_assert_eq!(answer.body.len(), length(wanted));
    Ok(answer.body)
}
