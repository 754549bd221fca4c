// SPDX-License-Identifier: MIT
//! A proxy that does wrong on purpose, between a client and a store that speaks HTTP. Each request
//! is looked at by a plan, which says what becomes of it: passed on, refused, cut in the middle,
//! answered with lies, or never answered.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as the plan sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How many came before it.
    pub number: usize,
    pub method: String,
    /// Path and query.
    pub target: String,
    pub length: usize,
}

impl Seen {
    pub fn is(&self, method: &str, words: &str) -> bool {
        self.method == method && self.target.contains(words)
    }
}

/// What becomes of a request.
#[derive(Clone)]
pub enum Act {
    Pass,
    /// Answered with this status and code, and never passed on.
    Refuse(u16, &'static str),
    /// The same before its body is read, and the connection is closed.
    RefuseEarly(u16, &'static str),
    /// So many bytes of its body are passed on; then both ends are closed.
    CutRequest(usize),
    /// Passed on; of the answer's body so many bytes come back, then the connection is closed.
    CutAnswer(usize),
    /// Passed on; nothing comes back.
    LoseAnswer,
    /// Never passed on, never answered, until the proxy ends.
    Silence,
    /// The answer comes back a byte at a time, with this pause.
    Drip(Duration),
    /// The body of the answer is changed, and its length with it.
    Rewrite(fn(String) -> String),
}

type Plan = dyn Fn(&Seen) -> Act + Send + Sync;

pub struct Proxy {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicBool>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Proxy {
    /// In front of a port of this machine.
    pub fn new(upstream: u16, plan: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let plan: Arc<Plan> = Arc::new(plan);
        let count = Arc::new(AtomicUsize::new(0));
        let (all, stop) = (Arc::clone(&seen), Arc::clone(&ended));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let (plan, all) = (Arc::clone(&plan), Arc::clone(&all));
                let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
                std::thread::spawn(move || {
                    // A connection that breaks is what this is for.
                    drop(serve(client, upstream, &plan, &all, &count, &stop));
                });
            }
        });
        Self { port, seen, ended }
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str, words: &str) -> usize {
        self.seen().iter().filter(|one| one.is(method, words)).count()
    }
}

/// One request of a connection, which is closed after it.
fn serve(
    client: TcpStream,
    upstream: u16,
    plan: &Arc<Plan>,
    all: &Mutex<Vec<Seen>>,
    count: &AtomicUsize,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = Vec::new();
    loop {
        let before = head.len();
        reader.read_until(b'\n', &mut head)?;
        if head.len() == before {
            return Ok(());
        }
        if head[before..] == *b"\r\n" {
            break;
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut words = text.split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let length = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    let number = count.fetch_add(1, Ordering::SeqCst);
    let seen = Seen { number, method, target, length };
    all.lock().unwrap().push(seen.clone());
    let act = plan(&seen);
    let mut client = client;
    if let Act::RefuseEarly(status, code) = act {
        client.write_all(&refusal(status, code))?;
        return client.shutdown(Shutdown::Write);
    }
    let sent = if let Act::CutRequest(bytes) = act { bytes.min(length) } else { length };
    let mut body = vec![0; sent];
    reader.read_exact(&mut body)?;
    match act {
        Act::Refuse(status, code) => return client.write_all(&refusal(status, code)),
        Act::Silence => {
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            return Ok(());
        }
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
    let head = text.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(head.as_bytes())?;
    server.write_all(&body)?;
    if let Act::CutRequest(_) = act {
        server.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    send_back(client, act, answer)
}

fn send_back(mut client: TcpStream, act: Act, answer: Vec<u8>) -> std::io::Result<()> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0) + 4;
    match act {
        Act::LoseAnswer => client.shutdown(Shutdown::Both),
        Act::CutAnswer(bytes) => {
            client.write_all(&answer[..answer.len().min(end + bytes)])?;
            client.shutdown(Shutdown::Both)
        }
        Act::Drip(pause) => {
            for byte in answer {
                client.write_all(&[byte])?;
                std::thread::sleep(pause);
            }
            Ok(())
        }
        Act::Rewrite(change) => {
            let body = String::from_utf8_lossy(&answer[end..]).into_owned();
            let head = String::from_utf8_lossy(&answer[..end]).into_owned();
            assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
            let lines = head.lines().filter(|line| {
                !line.to_lowercase().starts_with("content-length") && !line.is_empty()
            });
            let head: Vec<&str> = lines.collect();
            let body = change(body);
            let length = body.len();
            client.write_all(
                format!("{}\r\ncontent-length: {length}\r\n\r\n{body}", head.join("\r\n"))
                    .as_bytes(),
            )
        }
        _ => client.write_all(&answer),
    }
}

fn refusal(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>made up by a test</Message></Error>");
    format!(
        "HTTP/1.1 {status} No\r\nconnection: close\r\nx-ms-error-code: {code}\r\n\
         content-type: application/xml\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
