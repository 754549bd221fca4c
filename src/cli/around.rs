// SPDX-License-Identifier: MIT
//! What happens around a run: pings when it begins and ends, people are told what is wrong, metrics
//! are written. None of it may make a run fail, change what it says, or take long; what goes wrong
//! is one line in a log.

use super::args::{Invocation, Parsed, parse_words};
use super::panel::server;
use super::run_jobs::again;
use super::{Context, notify};
use crate::base::monitor::Collect;
use crate::base::{Error, Result, notify_limits};
use crate::hestia::UserName;
use crate::hestia::jobs::Server;
use crate::hestia::notify::dress;
use crate::hestia::notify::pass::log_line;
use crate::hestia::notify::ping::{self, Ending, Run};
use crate::hestia::notify::rules::{PingUrl, Pinged};
use crate::hestia::notify::send::Sender;
use crate::hestia::queue::child::beside;
use crate::hestia::records::Records;
use std::ffi::OsString;
use std::thread::JoinHandle;

/// Commands around which this happens, and what pings call them.
const COMMANDS: [(&str, Option<Pinged>); 8] = [
    ("hestia backup", Some(Pinged::Backup)),
    ("hestia verify-users", Some(Pinged::Verify)),
    ("hestia verify-user", None),
    ("hestia forget", None),
    ("check", Some(Pinged::Check)),
    ("prune", Some(Pinged::Prune)),
    ("copy", Some(Pinged::Copy)),
    ("repair packs", None),
];

/// A run that has begun.
pub(super) struct Around(Option<Begun>);

struct Begun {
    server: Server,
    /// Options that say which settings and which Hestia are meant.
    options: Vec<OsString>,
    pings: Vec<(String, PingUrl)>,
    /// When it began, in seconds since 1970.
    started: i64,
    /// Sends the first pings meanwhile.
    first: Option<JoinHandle<()>>,
}

impl Around {
    /// Says that a run begins, if anybody wants to know.
    pub(super) fn begin(context: &Context, call: &Invocation) -> Self {
        Self(Begun::new(context, call))
    }

    /// Says how it ended.
    pub(super) fn end(self, context: &Context, call: &Invocation, error: Option<&Error>) {
        let Some(begun) = self.0 else { return };
        if call.command().name.starts_with("hestia ") || begun.server.settings.state_folder.is_dir()
        {
            begun.end(context, error);
        }
    }
}

impl Begun {
    fn new(context: &Context, call: &Invocation) -> Option<Self> {
        let (_, of) = COMMANDS.iter().find(|(name, _)| *name == call.command().name)?;
        if call.has("dry-run") {
            return None;
        }
        let own = of_its_own(call, "notify")?;
        // Settings that cannot be read are the run's trouble.
        let server = server(context, &own).ok()?;
        let rules = &server.settings.notifications;
        let is_wanted = rules.tell_anybody()
            || !rules.pings.is_empty()
            || server.settings.metrics_file.is_some();
        if !is_wanted || server.hestia.check_installed().is_err() {
            return None;
        }
        let is_part = !call.texts("include").is_empty() || !call.texts("exclude").is_empty();
        let run = |of| Run { of, users: users_of(call), is_part };
        let pings = of.map(|of| ping::meant(rules, &run(of)));
        let pings = pings.unwrap_or_default();
        let (started, first) = (server.world.now().seconds, first_pings(&server, &pings));
        let options = again(&own).ok()?.options;
        Some(Self { server, options, pings, started, first })
    }

    fn end(mut self, context: &Context, error: Option<&Error>) {
        if let Some(thread) = self.first.take() {
            // It has said in the log what went wrong, and a panic is no reason to say less here.
            drop(thread.join());
        }
        let whole = Ending {
            is_well: error.is_none(),
            text: error.map_or_else(|| "it ended well".to_owned(), Error::one_line),
        };
        let records = Records::new(&self.server.settings.state_folder);
        let heard = Collect::default();
        send(&self.server, &self.pings, &|ping| match &ping.user {
            None => Some((whole.word(), whole.text.clone())),
            Some(user) => {
                let noted = records.run(user, &heard);
                let ending = ping::of_user(&whole, noted.as_ref(), self.started)?;
                Some((ending.word(), ending.text))
            }
        });
        if context.stop.asked() {
            return;
        }
        if let Err(error) = self.tell(context) {
            note(&self.server, &error);
        }
    }

    /// Tells people by a process of its own. It is waited for as long as it usually takes; whatever
    /// it meets that does not answer holds up nobody.
    fn tell(&self, context: &Context) -> Result<()> {
        let mut child = beside(&["hestia", "notify", "--behind"], &self.options)?;
        let until = context.world.ticks() + notify_limits::PASS_WAIT;
        while context.world.ticks() < until && !context.stop.asked() {
            if child.ended()?.is_some() {
                return Ok(());
            }
            context.world.sleep(notify_limits::PASS_LOOK);
        }
        Ok(())
    }
}

/// Says that a run begins. Nobody waits for it before the run ends.
fn first_pings(server: &Server, pings: &[(String, PingUrl)]) -> Option<JoinHandle<()>> {
    if pings.is_empty() {
        return None;
    }
    let (server, pings) = (server.clone(), pings.to_vec());
    let thread = std::thread::Builder::new().name("pings".to_owned());
    let work = move || send(&server, &pings, &|_| Some(("start", String::new())));
    // Without a thread there is no first ping; the last one says what matters.
    thread.spawn(work).ok()
}

/// Sends pings at the same time: one that does not answer holds no other one up.
fn send(
    server: &Server,
    pings: &[(String, PingUrl)],
    what: &dyn Fn(&PingUrl) -> Option<(&'static str, String)>,
) {
    let heard = Collect::default();
    let until = server.world.ticks() + notify_limits::RUN_WAIT;
    let sender = Sender { server, secrets: &notify::secret, until, monitor: &heard };
    std::thread::scope(|scope| {
        for (name, ping) in pings {
            let Some((word, text)) = what(ping) else { continue };
            let sender = &sender;
            scope.spawn(move || {
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                if let Err(error) = sender.ping(name, &ping.address, word, &dress::ping(&lines)) {
                    note(server, &error);
                }
            });
        }
    });
}

/// The last place to say anything: if that is full too, the timer says it in the journal.
fn note(server: &Server, error: &Error) {
    drop(log_line(server, &error.one_line()));
}

/// For whom a run is; for everybody, if it names nobody.
fn users_of(call: &Invocation) -> Option<Vec<UserName>> {
    let named: Vec<&str> = ["user", "USER"].iter().flat_map(|name| call.texts(name)).collect();
    let users = || named.iter().filter_map(|name| UserName::parse(name).ok()).collect();
    (!named.is_empty()).then(users)
}

/// Another command of ours with the same settings and the same Hestia, and nothing else of it.
fn of_its_own(call: &Invocation, command: &str) -> Option<Invocation> {
    let words = ["hestia", command].map(OsString::from);
    let env = |name: &str| match name {
        "GHOSTSNAP_CONFIG" => call.path("config").map(|path| path.as_os_str().to_owned()),
        "GHOSTSNAP_HESTIA_BELOW" => call.path("hestia-below").map(Into::into),
        _ => None,
    };
    match parse_words(&words, &env) {
        Parsed::Run(own) => Some(*own),
        Parsed::Text(_) | Parsed::Refused { .. } => None,
    }
}
