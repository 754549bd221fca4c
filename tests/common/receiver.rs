// SPDX-License-Identifier: MIT
//! Somebody on loopback who receives what is posted, remembers it, and answers as a test wants.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What came.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: String,
    pub body: String,
}

impl Received {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// How it answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Status(u16),
    Redirect(String),
    Never,
}

struct Inner {
    answer: Mutex<Answer>,
    received: Mutex<Vec<Received>>,
    held: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

pub struct Receiver {
    pub url: String,
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            answer: Mutex::new(Answer::Status(200)),
            received: Mutex::default(),
            held: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&inner);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                // A client that gave up is no failure of the test.
                drop(serve(&shared, stream.unwrap()));
            }
        });
        Self { url, inner, thread: Some(thread) }
    }

    pub fn answer(&self, answer: Answer) {
        *self.inner.answer.lock().unwrap() = answer;
    }

    /// What has come since the last time.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.inner.received.lock().unwrap())
    }
}

fn serve(inner: &Inner, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut headers, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let lower = line.to_lowercase();
        if let Some(number) = lower.strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        headers.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    inner.received.lock().unwrap().push(Received { path, headers, body });
    let answer = inner.answer.lock().unwrap().clone();
    let (status, more) = match answer {
        Answer::Status(status) => (status, String::new()),
        Answer::Redirect(to) => (307, format!("Location: {to}\r\n")),
        Answer::Never => {
            inner.held.lock().unwrap().push(stream);
            return Ok(());
        }
    };
    write!(stream, "HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.inner.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.url.trim_start_matches("http://")));
        self.thread.take().unwrap().join().unwrap();
    }
}
