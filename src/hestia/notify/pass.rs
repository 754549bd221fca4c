// SPDX-License-Identifier: MIT
//! One pass: what is seen, what each receiver is told of it, sending, and noting what arrived. What
//! did not arrive is told by the next pass, as if it were new.

use super::look::Look;
use super::message::{Message, Writer};
use super::plan::{Plan, plan};
use super::send::{Secrets, Sender};
use super::target::{Target, Way};
use super::told::{Book, BookPlace, Failing, Told};
use super::trouble::Seen;
use crate::base::{Error, Kind, Monitor, Result, Timestamp, WhatIo, notify_limits};
use crate::hestia::call::private_folder;
use crate::hestia::jobs::Server;
use nix::fcntl::OFlag;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// Messages to customers after which it is noted what has arrived.
const NOTED_EVERY: usize = 20;
/// Receivers of the administrator that are sent to at the same time.
const AT_ONCE: usize = 8;

/// What became of the messages to one receiver.
#[derive(Debug)]
pub struct Sent {
    /// The receiver.
    pub target: Target,
    /// What was sent, or should have been: titles.
    pub titles: Vec<String>,
    /// Why it could not be sent.
    pub error: Option<Error>,
}

/// A pass over everybody who is told.
pub struct Pass<'p> {
    /// The machine.
    pub server: &'p Server,
    /// Finds secrets.
    pub secrets: &'p Secrets<'p>,
    /// Everybody.
    pub targets: Vec<Target>,
    /// How long it may take.
    pub time: Duration,
    /// Hears what goes wrong with the noting.
    pub monitor: &'p dyn Monitor,
}

/// What one receiver is to be sent.
struct Errand<'e> {
    target: &'e Target,
    plan: Plan,
    messages: Vec<Message>,
}

impl Pass<'_> {
    /// Tells everybody what there is to tell.
    pub fn tell(&self, look: &Look, place: &BookPlace) -> Result<Vec<Sent>> {
        let (now, settings) = (self.server.world.now(), &self.server.settings);
        let mut book = place.read(self.monitor);
        // Whoever is not told any more has nothing that could be over.
        book.receivers.retain(|name, _| self.targets.iter().any(|one| one.name == *name));
        let seen = look.seen(settings, &book, now);
        let host = self.server.world.host();
        let writer = Writer { host: &host, now };
        let mut errands = Vec::new();
        for target in &self.targets {
            let before = book.receivers.get(&target.name).cloned().unwrap_or_default();
            let plan = plan(target, &seen, &before, &settings.notifications, now);
            let messages = messages_of(&writer, target, &plan, look, &seen);
            if messages.is_empty() {
                // Whoever could not be reached is not known to be reached again.
                let after = Told { failing: before.failing, ..plan.after };
                book.receivers.insert(target.name.clone(), after);
            } else {
                errands.push(Errand { target, plan, messages });
            }
        }
        let sent = self.run(errands, (&mut book, place), now);
        book.time = now.seconds;
        place.write(&book)?;
        Ok(sent)
    }

    /// The administrator's first and several at once; then the customers', whose number is not
    /// bounded, one after the other.
    fn run(
        &self,
        errands: Vec<Errand<'_>>,
        (book, place): (&mut Book, &BookPlace),
        now: Timestamp,
    ) -> Vec<Sent> {
        let until = self.server.world.ticks() + self.time;
        let (server, secrets, monitor) = (self.server, self.secrets, self.monitor);
        let sender = Sender { server, secrets, until, monitor };
        let is_many = |one: &Errand<'_>| one.target.of.is_some() && !is_web(one.target);
        let (many, few): (Vec<_>, Vec<_>) = errands.into_iter().partition(is_many);
        let mut sent = Vec::new();
        for group in few.chunks(AT_ONCE) {
            let results = std::thread::scope(|scope| {
                let sender = &sender;
                let one = |errand| scope.spawn(move || send_all(sender, errand));
                let threads: Vec<_> = group.iter().map(one).collect();
                threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
            });
            for (errand, result) in group.iter().zip(results) {
                let panicked =
                    || Err(Error::new(Kind::Internal, format!("send to {}", errand.target.name)));
                sent.push(self.note(errand, result.unwrap_or_else(|_| panicked()), book, now));
            }
        }
        for group in many.chunks(NOTED_EVERY) {
            book.time = now.seconds;
            if let Err(error) = place.write(book) {
                self.monitor.warn(error);
            }
            for errand in group {
                sent.push(self.note(errand, send_all(&sender, errand), book, now));
            }
        }
        sent
    }

    fn note(
        &self,
        errand: &Errand<'_>,
        result: Result<()>,
        book: &mut Book,
        now: Timestamp,
    ) -> Sent {
        let name = &errand.target.name;
        let told = book.receivers.entry(name.clone()).or_default();
        let titles: Vec<String> = errand.messages.iter().map(|one| one.title.clone()).collect();
        let line = match &result {
            Ok(()) => {
                *told =
                    Told { arrived: Some(now.seconds), failing: None, ..errand.plan.after.clone() };
                format!("{name}: sent: {}", titles.join("; "))
            }
            // Nobody has tried: the next pass does.
            Err(error) if error.kind() == Kind::Load => format!("{name}: {}", error.one_line()),
            Err(error) => {
                let (since, times) = match &told.failing {
                    Some(before) => (before.since.min(now.seconds), before.times),
                    None => (now.seconds, 0),
                };
                let reason = error.reasons_or_what();
                // A summary that is due stays due.
                told.digest = told.digest.or(errand.plan.after.digest);
                let times = times.saturating_add(1);
                told.failing = Some(Failing { since, times, reason });
                format!("{name}: {}", error.one_line())
            }
        };
        if let Err(error) = self.log(&line) {
            self.monitor.warn(error);
        }
        Sent { target: errand.target.clone(), titles, error: result.err() }
    }

    /// One line for whoever wants to know what was sent, or why not.
    fn log(&self, line: &str) -> Result<()> {
        log_line(self.server, line)
    }
}

/// Adds a line to the log of notifications.
pub fn log_line(server: &Server, line: &str) -> Result<()> {
    let folder = &server.settings.log_folder;
    let path = folder.join("notifications.log");
    let what = || format!("write the log {}", path.display());
    private_folder(folder)?;
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o640).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut log = options.open(&path).what_io(what)?;
    let line = super::message::plain(line, notify_limits::LINE_LETTERS * 2);
    let time = server.world.now().rfc3339();
    log.write_all(format!("{time} {line}\n").as_bytes()).what_io(what)
}

fn is_web(target: &Target) -> bool {
    matches!(target.way, Way::Webhook(_))
}

fn messages_of(
    writer: &Writer<'_>,
    target: &Target,
    plan: &Plan,
    look: &Look,
    seen: &Seen,
) -> Vec<Message> {
    let news = writer.news(target, plan);
    let digest = plan.digest.then(|| writer.digest(target, look, seen));
    news.into_iter().chain(digest).collect()
}

fn send_all(sender: &Sender<'_>, errand: &Errand<'_>) -> Result<()> {
    errand.messages.iter().try_for_each(|message| sender.send(errand.target, message))
}
