// SPDX-License-Identifier: MIT
//! Ctrl-C and its relatives. They are caught, and one thread waits for them. They are not blocked:
//! every program we start, and every service that one of Hestia's commands starts again, would
//! have them blocked as well and could no longer be stopped or reloaded. The first signal asks a
//! running job to stop where the repository is in a good state, the second one ends the program at
//! once. Where no job is listening, or a password is being typed, the first one ends it.

use super::output::to_stderr;
use crate::base::{Error, Kind, Result, WhatIo, monitor};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether somebody wants the program to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    asked: AtomicBool,
    listening: AtomicBool,
    /// The terminal and its settings to put back if the program ends while a password is typed.
    prompt: Mutex<Option<(File, Termios)>>,
}

impl Stop {
    /// Catches the signals and waits for them in a thread of its own.
    pub fn watch() -> Result<Self> {
        let stop = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).what_io(|| "catch signals")?;
        let inner = Arc::clone(&stop.0);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for _ in signals.forever() {
                    inner.asked_once_more();
                }
            })
            .what_io(|| "start the thread that waits for signals")?;
        Ok(stop)
    }

    /// Whether to stop.
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// The same question for the other rooms.
    pub fn handle(&self) -> monitor::Stop {
        let stop = self.clone();
        monitor::Stop::when(move || stop.asked())
    }

    /// From now on a job looks at [`Stop::asked`] and ends in good order.
    pub fn listen(&self) {
        self.0.listening.store(true, Ordering::Relaxed);
    }

    /// Remembers the terminal's settings while `ask` may change them.
    pub fn while_asking<T>(&self, ask: impl FnOnce() -> T) -> T {
        let terminal = File::open("/dev/tty").ok();
        let saved = terminal.and_then(|tty| tcgetattr(&tty).ok().map(|settings| (tty, settings)));
        *self.0.prompt() = saved;
        let answer = ask();
        *self.0.prompt() = None;
        answer
    }
}

impl Inner {
    fn prompt(&self) -> std::sync::MutexGuard<'_, Option<(File, Termios)>> {
        self.prompt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked_once_more(&self) {
        let first = !self.asked.swap(true, Ordering::Relaxed);
        let prompt = self.prompt().take();
        if first && prompt.is_none() && self.listening.load(Ordering::Relaxed) {
            // A terminal that takes no output must not hold the second signal back.
            let told = std::thread::Builder::new().spawn(|| {
                to_stderr(
                    "Stopping as soon as the repository is in a good state. Once more stops at \
                     once.",
                );
            });
            // Without a thread to say it, the job stops all the same.
            drop(told);
            return;
        }
        if let Some((tty, settings)) = prompt {
            // The program ends here; a terminal that refuses cannot be helped any more.
            if tcsetattr(&tty, SetArg::TCSANOW, &settings).is_err() {
                to_stderr("The terminal may not show what you type: run `stty sane`.");
            }
            to_stderr("");
        }
        std::process::exit(i32::from(Kind::Cancelled.exit_code()));
    }
}

/// The error of a question that was not answered with yes.
pub fn declined(what: &str) -> Error {
    Error::new(Kind::Cancelled, what).why("it was not confirmed")
}
