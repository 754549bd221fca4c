// SPDX-License-Identifier: MIT
//! The only place that prints: rows, lines, events, warnings and errors, on the stream where
//! whoever called will read them.

use super::rows::{Cell, Format, Renderer};
use super::table::Column;
use crate::base::monitor::{Counter, Counts};
use crate::base::path::display_bytes;
use crate::base::units::ByteSize;
use crate::base::{Error, Kind, Result, WhatIo, limits, units};
use indicatif::ProgressBar;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes of rows that are collected before they are written.
const PRINTED_BYTES: usize = 64 * 1024;

/// What a command's output should look like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// The format asked for; `None` lets the kind of standard output decide.
    pub format: Option<Format>,
    /// `--json` was given.
    pub json: bool,
    /// One line of JSON per event, the result last (`--json` on a long job).
    pub events: bool,
    /// As Hestia's own commands speak: all on standard output, no colour.
    pub panel: bool,
    /// Results, warnings and errors only.
    pub quiet: bool,
    /// Every object too.
    pub verbose: bool,
}

/// Standard output and standard error.
#[derive(Debug)]
pub struct Output {
    style: Style,
    format: Format,
    colour: bool,
    closed: AtomicBool,
    /// The `result` event so far, without its end: how the job went belongs into it.
    result: Mutex<Option<String>>,
    /// Whether the beginning of that line is printed: nothing else may come before its end.
    line_open: AtomicBool,
    /// The bar that is on the screen.
    bar: Mutex<Option<ProgressBar>>,
    /// What stores were asked for.
    traffic: Counts,
    /// Where the rows of a job go, apart from what else it says.
    result_file: Option<Mutex<File>>,
    /// What a command that went well ends with.
    exit_code: AtomicU8,
}

/// What is counted of the traffic with stores.
const TRAFFIC: [Counter; 7] = [
    Counter::RequestsPut,
    Counter::RequestsGet,
    Counter::RequestsList,
    Counter::RequestsDelete,
    Counter::Retries,
    Counter::BytesSent,
    Counter::BytesReceived,
];

impl Output {
    /// The process's own output.
    pub fn new(style: Style) -> Self {
        let terminal = io::stdout().is_terminal() && !style.panel;
        let usual = if terminal { Format::Table } else { Format::Shell };
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            style,
            format: style.format.unwrap_or(usual),
            colour: terminal && !no_colour,
            closed: AtomicBool::new(false),
            result: Mutex::new(None),
            line_open: AtomicBool::new(false),
            bar: Mutex::new(None),
            traffic: Counts::default(),
            result_file: None,
            exit_code: AtomicU8::new(0),
        }
    }

    /// That of a job of the queue: rows go into a file, everything else to standard output, which
    /// is the job's log.
    pub fn of_job(style: Style, result: &Path) -> Result<Self> {
        let what = || format!("write {}", result.display());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(result).what_io(what)?;
        Ok(Self { result_file: Some(Mutex::new(file)), ..Self::new(style) })
    }

    /// Lets a command that goes well end with another code than 0, because those who ask it have
    /// codes of their own.
    pub fn end_with(&self, code: u8) {
        self.exit_code.store(code, Ordering::Relaxed);
    }

    /// What a command that went well ends with.
    pub fn exit_code(&self) -> u8 {
        self.exit_code.load(Ordering::Relaxed)
    }

    /// What stores were asked for while the command ran.
    pub fn traffic(&self) -> &Counts {
        &self.traffic
    }

    /// One line about it; nothing where no store was asked.
    pub fn traffic_line(&self) -> Option<String> {
        let [put, get, list, delete, retries, sent, received] =
            TRAFFIC.map(|counter| self.traffic.get(counter));
        let again = if retries > 0 { format!(", {retries} again") } else { String::new() };
        (put + get + list + delete > 0).then(|| {
            format!(
                "requests: {put} PUT, {get} GET, {list} LIST, {delete} DELETE{again}; {} sent, {} \
                 received",
                ByteSize(sent),
                ByteSize(received)
            )
        })
    }

    /// Makes room above this bar for what is told while it is there.
    pub fn show_bar(&self, bar: Option<ProgressBar>) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    /// A note from somebody who does not know what is on the screen.
    pub fn note_between(&self, text: &str) {
        if self.style.events {
            let event = serde_json::json!({ "event": "note", "text": text });
            self.out_or_lost(&event.to_string());
            return;
        }
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bar {
            Some(bar) => bar.suspend(|| self.note(text)),
            None => self.note(text),
        }
    }

    /// How it was asked to be.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether a program reads standard output rather than a person.
    pub fn is_machine(&self) -> bool {
        self.style.events || matches!(self.format, Format::Json | Format::Plain | Format::Csv)
    }

    /// Whether whoever read standard output has gone, which is no failure.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Takes the rows of a command as they come.
    pub fn rows(&self, columns: &'static [Column]) -> RowPrinter<'_> {
        let renderer = Renderer::new(columns, self.format, self.style.events, self.colour);
        RowPrinter { output: self, renderer: Some(renderer) }
    }

    /// Prints one line of JSON; nothing while a result is being printed, which is one line too.
    pub fn event(&self, event: &serde_json::Value) -> Result<()> {
        if self.line_open.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.bytes(format!("{event}\n").as_bytes())
    }

    /// Ends the `result` event, if there is one, with how the command went. Says whether it did.
    pub fn end(&self, error: Option<&Error>) -> Result<bool> {
        let started = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        let started = match (started, error) {
            (Some(started), _) => started,
            (None, None) if self.style.events => "{\"event\":\"result\",\"rows\":{}".to_owned(),
            (None, _) => return Ok(false),
        };
        self.line_open.store(false, Ordering::Relaxed);
        let mut state = error.map_or_else(|| serde_json::json!({ "exit": 0 }), state_of);
        if self.traffic_line().is_some()
            && let Some(fields) = state.as_object_mut()
        {
            let counts = TRAFFIC.map(|one| (one.word().to_owned(), self.traffic.get(one).into()));
            fields.insert("traffic".to_owned(), serde_json::Map::from_iter(counts).into());
        }
        let fields = state.to_string();
        let fields = fields.trim_start_matches('{');
        self.bytes(format!("{started},{fields}\n").as_bytes())?;
        Ok(true)
    }

    /// Prints a line of the result for a person or a script; control characters are escaped.
    pub fn line(&self, text: &str) -> Result<()> {
        self.bytes(format!("{}\n", display_bytes(text.as_bytes())).as_bytes())
    }

    /// Prints bytes as they are, such as a file's content.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        if let Some(file) = &self.result_file {
            let what = || "write the result of a job";
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let at = file.stream_position().what_io(what)?;
            // Nobody reads more of it, and a customer's job must not fill the disk.
            let Some(room) = limits::JOB_RESULT_BYTES_MAX.checked_sub(at) else { return Ok(()) };
            let Some(start) = bytes.get(..units::length(room)) else {
                return file.write_all(bytes).what_io(what);
            };
            file.write_all(start).what_io(what)?;
            return file.write_all(b"\n... there was more\n").what_io(what);
        }
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|cause| self.write_failed(cause))
    }

    /// Turns a failed write into an error, and remembers a reader that has gone.
    pub fn write_failed(&self, cause: io::Error) -> Error {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            self.closed.store(true, Ordering::Relaxed);
        }
        Error::new(Kind::Disk, "write to standard output").cause(cause)
    }

    /// Tells a person something that is not the result. Lost if standard error is closed, since
    /// there is nobody left to tell.
    pub fn note(&self, text: &str) {
        if self.result_file.is_some() {
            self.out_or_lost(&printable(text));
        } else if !self.style.quiet && !self.style.panel {
            to_stderr(&printable(text));
        }
    }

    /// Tells what must not be missed even when quiet, such as how to keep a recovery key. The
    /// panel reads standard output only.
    pub fn important(&self, text: &str) {
        if self.style.panel {
            self.out_or_lost(&printable(text));
        } else {
            to_stderr(&printable(text));
        }
    }

    /// Prints a warning.
    pub fn warning(&self, warning: &Error) {
        let event = serde_json::json!({ "event": "warning", "text": warning.one_line() });
        if self.style.events {
            if let Err(error) = self.event(&event) {
                // As below: the exit code tells the same.
                drop(error);
            }
        } else if self.style.panel {
            self.out_or_lost(&printable(&format!("Warning: {}", warning.one_line())));
        }
        if self.style.panel {
            return;
        }
        if self.speaks_json() {
            to_stderr(&event.to_string());
        } else {
            to_stderr(&printable(&format!("Warning: {warning}")));
        }
    }

    /// Prints the error a command ended with. A program that asked for JSON gets it as JSON: on
    /// standard output among the events of a long job, on standard error beside the one document
    /// that a short command prints.
    pub fn error(&self, error: &Error) {
        let event = || refusal(error.kind(), &error.one_line());
        if self.style.events && !self.end(Some(error)).unwrap_or(true) {
            self.out_or_lost(&event());
        }
        if self.style.panel {
            self.out_or_lost(&printable(&format!("Error: {}", error.one_line())));
        } else if self.speaks_json() {
            to_stderr(&event());
        } else {
            to_stderr(&printable(&format!("Error: {error}")));
        }
    }

    /// Whether warnings and errors of a short command are lines of JSON.
    fn speaks_json(&self) -> bool {
        self.style.json && !self.style.events
    }

    /// For lines whose loss changes nothing: the exit code tells the same.
    fn out_or_lost(&self, line: &str) {
        let line = format!("{line}\n");
        let written = match self.result_file {
            Some(_) => to_stdout(&line).map_err(|cause| self.write_failed(cause)),
            None => self.bytes(line.as_bytes()),
        };
        if let Err(error) = written {
            drop(error);
        }
    }
}

/// What a program is told of a failure.
fn state_of(error: &Error) -> serde_json::Value {
    failure(error.kind(), &error.one_line())
}

fn failure(kind: Kind, text: &str) -> serde_json::Value {
    let kind_word = format!("{kind:?}").to_lowercase();
    serde_json::json!({ "exit": kind.exit_code(), "kind": kind_word, "text": text })
}

/// A failure as a line of JSON by itself.
pub fn refusal(kind: Kind, text: &str) -> String {
    let fields = failure(kind, text).to_string();
    format!("{{\"event\":\"error\",{}", fields.trim_start_matches('{'))
}

/// Prints rows as they come.
pub struct RowPrinter<'o> {
    output: &'o Output,
    /// None once it is finished.
    renderer: Option<Renderer>,
}

impl RowPrinter<'_> {
    /// Prints a row, now or a little later. It has one cell for each column.
    pub fn row(&mut self, row: &[Cell]) -> Result<()> {
        let Some(renderer) = &mut self.renderer else { return Ok(()) };
        renderer.row(row);
        let Some(text) = renderer.take(PRINTED_BYTES) else { return Ok(()) };
        if self.output.style.events {
            self.output.line_open.store(true, Ordering::Relaxed);
        }
        self.output.bytes(text.as_bytes())
    }

    /// Prints what is left. A person is told if there was nothing.
    pub fn finish(mut self) -> Result<()> {
        let Some(renderer) = self.renderer.take() else { return Ok(()) };
        if self.output.style.events {
            self.keep(renderer);
            return Ok(());
        }
        if renderer.count() == 0 && self.output.format == Format::Table {
            self.output.note("nothing to show");
            return Ok(());
        }
        self.output.bytes(renderer.finish().as_bytes())
    }

    /// Keeps the end of a `result` for [`Output::end`].
    fn keep(&self, renderer: Renderer) {
        let mut result = self.output.result.lock().unwrap_or_else(PoisonError::into_inner);
        *result = Some(renderer.finish());
    }
}

impl Drop for RowPrinter<'_> {
    /// A job that failed among its rows: a line that was begun must come to its end.
    fn drop(&mut self) {
        if self.output.line_open.load(Ordering::Relaxed)
            && let Some(renderer) = self.renderer.take()
        {
            self.keep(renderer);
        }
    }
}

/// Line by line, with everything escaped that could fool a terminal.
fn printable(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| display_bytes(line.as_bytes())).collect();
    lines.join("\n")
}

/// Writes a line to standard error. A failure is not reported: there is nowhere to report it.
pub fn to_stderr(line: &str) {
    if let Err(error) = writeln!(io::stderr().lock(), "{line}") {
        drop(error);
    }
}

/// Writes text to standard output, for help and usage.
pub fn to_stdout(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Ends the program as soon as nobody reads its output any more: the panel gives a look up that
/// takes too long, and nothing shall work on for nobody. Only for what changes nothing.
pub fn end_with_the_reader() -> Result<()> {
    when_nobody_reads(|| std::process::exit(i32::from(Kind::Cancelled.exit_code())))
}

/// The same for what has begun something that must be taken back: it stops as if somebody had
/// asked it to.
pub fn stop_with_the_reader() -> Result<()> {
    // To itself, so that it arrives.
    when_nobody_reads(|| {
        kill(Pid::this(), Signal::SIGTERM).ok();
    })
}

fn when_nobody_reads(act: impl FnOnce() + Send + 'static) -> Result<()> {
    let output = std::io::stdout();
    let gone = move || {
        let mut watched = [PollFd::new(output.as_fd(), PollFlags::empty())];
        while poll(&mut watched, PollTimeout::NONE) == Err(Errno::EINTR) {}
        let told =
            watched.iter().filter_map(PollFd::revents).fold(PollFlags::empty(), |a, b| a | b);
        if told.contains(PollFlags::POLLERR) {
            act();
        }
    };
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(gone)
        .what_io(|| "start the thread that watches the reader")?;
    Ok(())
}
