// SPDX-License-Identifier: MIT
//! Rank 6: the outside. One table of commands ([`table`]), what was typed ([`args`]), what is
//! printed ([`output`], [`progress`]), passwords ([`secret`]), the files made from the table
//! ([`generate`]), and the functions behind the commands.

pub mod args;
mod around;
pub mod engine;
mod engine_backup;
pub mod engine_care;
mod engine_copy;
mod engine_history;
pub mod engine_keys;
pub mod engine_look;
mod engine_repair;
pub mod files;
pub mod generate;
mod generate_api;
pub mod generate_docs;
pub mod generate_shims;
mod job_note;
mod kit;
mod monitoring;
mod named;
mod notify;
pub mod output;
pub mod panel;
mod panel_backup;
mod panel_database;
mod panel_health;
pub mod panel_look;
mod panel_own;
mod panel_places;
mod panel_queue;
mod panel_rehearsal;
mod panel_restore;
mod panel_schedules;
mod panel_undo;
mod places;
pub mod progress;
pub mod repository;
pub mod rows;
mod run_jobs;
pub mod secret;
mod settings;
pub mod signals;
pub mod table;
mod table_backup;
pub mod table_care;
pub mod table_databases;
pub mod table_engine;
pub mod table_files;
pub mod table_flags;
mod table_health;
pub mod table_hestia;
pub mod table_history;
mod table_jobs;
pub mod table_keys;
mod table_monitoring;
mod table_notify;
mod table_own;
mod table_queue;
mod table_rehearsal;
mod table_repair;
mod table_repositories;
mod table_restore;
mod table_schedules;
mod table_settings;
mod table_undo;
mod tended;
pub mod tools;
pub mod words;

use crate::backend::{Access, Variables};
use crate::base::{Error, Kind, Result, WhatIo, World};
use args::{Invocation, Parsed};
use around::Around;
use job_note::JobNote;
use output::{Output, Style};
use progress::{Progress, StoreMonitor};
use rows::Format;
use signals::Stop;
use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};
use std::sync::Arc;

/// What every command has at hand.
pub struct Context {
    /// Time, randomness, this machine.
    pub world: Arc<World>,
    /// Where results go.
    pub output: Arc<Output>,
    /// Whether somebody wants the program to stop.
    pub stop: Stop,
    /// What is noted of a job of the queue while it works.
    pub note: Option<Arc<JobNote>>,
}

impl Context {
    /// The monitor of a long job.
    pub fn progress(&self) -> Progress<'_> {
        Progress::new(&self.output, &self.stop, &self.world).beside(self.note.clone())
    }

    /// How stores are reached: with the keys of the environment.
    pub fn access(&self) -> Access {
        Access {
            world: Arc::clone(&self.world),
            monitor: Arc::new(StoreMonitor::new(&self.output, &self.stop)),
            variables: Variables::new(|name| std::env::var(name).ok()),
        }
    }

    /// Goes on only if a person says yes or --force was given.
    pub fn confirm(&self, call: &Invocation, what: &str, question: &str) -> Result<()> {
        if call.has("force") {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Error::new(Kind::Usage, what)
                .why("it must be confirmed and there is nobody to ask")
                .hint("add --force"));
        }
        output::to_stderr(&format!("{question} [y/N]"));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).what_io(|| "read the answer")?;
        if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
            return Ok(());
        }
        Err(signals::declined(what))
    }
}

/// Does what the words behind the program's name say and returns the exit code.
pub fn run(words: &[OsString]) -> u8 {
    match args::parse_words(words, &|name| std::env::var_os(name)) {
        Parsed::Text(text) => match output::to_stdout(&text) {
            Ok(()) => 0,
            // Whoever asked for the help has seen enough of it.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
            Err(_) => Kind::Disk.exit_code(),
        },
        Parsed::Refused { text, kind, panel } => {
            if !panel && words.iter().any(|word| word == "--json") {
                output::to_stderr(&output::refusal(kind, &text));
            } else if !panel {
                output::to_stderr(&text);
            } else if output::to_stdout(&format!("{text}\n")).is_err() {
                return Kind::Disk.exit_code();
            }
            kind.exit_code()
        }
        Parsed::Run(call) => run_command(&call),
    }
}

fn run_command(call: &Invocation) -> u8 {
    let output = Arc::new(Output::new(style_of(call)));
    let stop = match Stop::watch() {
        Ok(stop) => stop,
        Err(error) => {
            output.error(&error);
            return error.kind().exit_code();
        }
    };
    let context = Context { world: Arc::new(World::system()), output, stop, note: None };
    let around = Around::begin(&context, call);
    let result = (call.command().run)(&context, call);
    let told = result.as_ref().err().map(Error::retold);
    if call.command().long
        && let Some(line) = context.output.traffic_line()
    {
        context.output.note(&line);
    }
    let code = match result.and_then(|()| context.output.end(None)) {
        Ok(_) => context.output.exit_code(),
        Err(_) if context.output.is_closed() => 0,
        Err(error) => {
            context.output.error(&error);
            error.kind().exit_code()
        }
    };
    around.end(&context, call, told.as_ref());
    code
}

fn style_of(call: &Invocation) -> Style {
    let json = call.has("json");
    let events = json && call.command().long;
    let asked = call.text("format").and_then(Format::parse);
    let panel = call.has("panel");
    Style {
        json,
        format: asked.or_else(|| json.then_some(Format::Json)),
        events,
        panel,
        quiet: call.has("quiet"),
        verbose: call.has("verbose"),
    }
}
