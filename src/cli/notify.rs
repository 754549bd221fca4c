// SPDX-License-Identifier: MIT
//! Telling people how backups are: `ghostsnap hestia notify`, `notifications` and
//! `test-notification`.

use super::args::Invocation;
use super::panel::server;
use super::panel_places::{self, Want};
use super::rows::Cell;
use super::secret::find_secret_for;
use super::{Context, engine_look, monitoring, panel_health};
use crate::base::monitor::Collect;
use crate::base::{Error, Kind, Monitor, Result, Timestamp, notify_limits};
use crate::hestia::UserName;
use crate::hestia::jobs::Server;
use crate::hestia::named::SecretPlace;
use crate::hestia::notify::message::Writer;
use crate::hestia::notify::pass::log_line;
use crate::hestia::notify::pass::{Pass, Sent};
use crate::hestia::notify::send::Sender;
use crate::hestia::notify::{Book, BookPlace, Look, Target, look, targets};
use std::time::Duration;

/// Looks at all users and repositories.
pub(super) fn look_at_all(
    context: &Context,
    call: &Invocation,
    server: &Server,
    want: Want,
    monitor: &dyn Monitor,
) -> Result<Look> {
    let users = look::users(&server.hestia, &server.settings, monitor)?;
    let users = panel_health::look_at_users(context, call, server, users, monitor);
    let places = panel_places::states(context, call, server, want, monitor)?;
    Ok(Look { users, places })
}

pub(super) fn book_place(server: &Server) -> BookPlace {
    BookPlace::new(&server.settings.state_folder, &server.settings.run_folder)
}

/// A secret of a receiver.
pub(super) fn secret(what: &str, place: &SecretPlace) -> Result<zeroize::Zeroizing<String>> {
    find_secret_for(&format!("{what}: find its secret"), place)
}

/// Everybody who is told.
pub(super) fn receivers(server: &Server, monitor: &dyn Monitor) -> Result<Vec<Target>> {
    let users = look::users(&server.hestia, &server.settings, monitor)?;
    let root = look::root(&server.hestia)?;
    Ok(targets(&server.settings.notifications, root.as_ref(), &users))
}

/// `ghostsnap hestia notify`.
pub fn notify(context: &Context, call: &Invocation) -> Result<()> {
    let server = server(context, call)?;
    server.hestia.check_installed()?;
    if call.has("behind") {
        return behind(context, call, &server);
    }
    let progress = context.progress();
    let sent = match book_place(&server).lock(&server.world, notify_limits::LOCK_WAIT)? {
        Some(_held) => pass(context, call, &server, &progress),
        None => Err(Error::new(Kind::InUse, "tell anybody how backups are")
            .why("somebody else does, for quite a while")),
    };
    progress.finish();
    // Whoever came meanwhile has left word and gone.
    let later = look_while_asked(context, call, &server);
    let sent = sent?;
    let mut rows = context.output.rows(call.command().columns);
    for one in &sent {
        let error = one.error.as_ref().map(Error::one_line).unwrap_or_default();
        rows.row(&[
            one.target.name.as_str().into(),
            one.target.way.word().into(),
            if one.error.is_some() { "failed" } else { "sent" }.into(),
            one.titles.join("; ").into(),
            error.into(),
        ])?;
    }
    rows.finish()?;
    ending(&sent)?;
    later
}

fn ending(sent: &[Sent]) -> Result<()> {
    let failed: Vec<&str> =
        sent.iter().filter(|one| one.error.is_some()).map(|one| one.target.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Partial, "tell everybody").why(format!("not {}", failed.join(", not "))))
}

/// The same after a run, where nobody hears what is said: that goes into the log. Who comes while
/// somebody else is at it leaves word, and that one looks once more: many runs at a time make few
/// looks.
fn behind(context: &Context, call: &Invocation, server: &Server) -> Result<()> {
    book_place(server).ask_again()?;
    look_while_asked(context, call, server)
}

fn look_while_asked(context: &Context, call: &Invocation, server: &Server) -> Result<()> {
    let (place, heard) = (book_place(server), Collect::default());
    let mut result = Ok(());
    while place.is_asked() {
        let Some(held) = place.lock(&server.world, Duration::ZERO)? else { break };
        place.answer()?;
        // Whom it could not tell is in the log by then.
        result = pass(context, call, server, &heard).map(drop);
        drop(held);
        if result.is_err() {
            break;
        }
    }
    for error in heard.into_warnings().iter().chain(result.as_ref().err()) {
        log_line(server, &error.one_line())?;
    }
    result
}

/// Looks, tells, and writes the metrics. Whoever calls it holds the lock.
fn pass(
    context: &Context,
    call: &Invocation,
    server: &Server,
    monitor: &dyn Monitor,
) -> Result<Vec<Sent>> {
    let is_telling = server.settings.notifications.tell_anybody();
    let metrics = server.settings.metrics_file.as_deref();
    if !is_telling && metrics.is_none() {
        return Ok(Vec::new());
    }
    let (place, time) = (book_place(server), notify_limits::TIMER_WAIT);
    let want = if metrics.is_some() { Want::Sizes } else { Want::State };
    let look = look_at_all(context, call, server, want, monitor)?;
    let targets = receivers(server, monitor)?;
    let told = if is_telling {
        Pass { server, secrets: &secret, targets: targets.clone(), time, monitor }
            .tell(&look, &place)
    } else {
        Ok(Vec::new())
    };
    if let Some(file) = metrics {
        let text = monitoring::text(server, &look, &targets, monitor);
        monitoring::write(file, &text)?;
    }
    told
}

/// `ghostsnap hestia notifications`.
pub fn list(context: &Context, call: &Invocation) -> Result<()> {
    let server = server(context, call)?;
    let progress = context.progress();
    let all = receivers(&server, &progress)?;
    let book = book_place(&server).read(&progress);
    progress.finish();
    let mut rows = context.output.rows(call.command().columns);
    for target in &all {
        rows.row(&row(target, &book))?;
    }
    rows.finish()
}

fn row(target: &Target, book: &Book) -> [Cell; 9] {
    let told = book.receivers.get(&target.name).cloned().unwrap_or_default();
    let arrived = told.arrived.map(Timestamp::from_seconds).map(engine_look::day_and_time);
    let (day, time) = arrived.unwrap_or_default();
    let state = match (&told.failing, told.arrived) {
        (Some(_), _) => "failing",
        (None, Some(_)) => "well",
        (None, None) => "",
    };
    let since = told.failing.as_ref().map(|failing| {
        let (day, time) = engine_look::day_and_time(Timestamp::from_seconds(failing.since));
        format!("{day} {time}")
    });
    let open = told.troubles.iter().filter(|one| one.is_open).count();
    [
        target.name.as_str().into(),
        target.way.word().into(),
        target.of.as_ref().map_or("", UserName::as_str).into(),
        state.into(),
        day.into(),
        time.into(),
        crate::base::units::bytes(open).into(),
        told.failing.map(|failing| failing.reason).unwrap_or_default().into(),
        since.unwrap_or_default().into(),
    ]
}

/// `ghostsnap hestia test-notification`.
pub fn test(context: &Context, call: &Invocation) -> Result<()> {
    let server = server(context, call)?;
    server.hestia.check_installed()?;
    let progress = context.progress();
    let wanted = call.text("RECEIVER").unwrap_or_default();
    let user = call.text("user").map(UserName::parse).transpose()?;
    let is_meant = |one: &Target| {
        let short = one.name.split_once(' ').map_or("", |(_, name)| name);
        one.of == user && (wanted.is_empty() || [one.name.as_str(), short].contains(&wanted))
    };
    let mut all = receivers(&server, &progress)?;
    all.retain(|one| is_meant(one) || (user.is_none() && one.name == wanted));
    if all.is_empty() {
        return Err(Error::new(Kind::NotFound, "find whom to tell")
            .why(if wanted.is_empty() {
                "the settings name nobody".to_owned()
            } else {
                format!("the settings name no '{wanted}'")
            })
            .hint("'ghostsnap hestia notifications' lists everybody who is told"));
    }
    let host = server.world.host();
    let writer = Writer { host: &host, now: server.world.now() };
    let until = server.world.ticks() + notify_limits::TIMER_WAIT;
    let sender = Sender { server: &server, secrets: &secret, until, monitor: &progress };
    let mut rows = context.output.rows(call.command().columns);
    let mut failed = None;
    for target in &all {
        let result = sender.send(target, &writer.test(target));
        let (state, why) = match &result {
            Ok(()) => ("sent", String::new()),
            Err(error) => ("failed", error.one_line()),
        };
        rows.row(&[
            target.name.as_str().into(),
            target.way.word().into(),
            state.into(),
            why.into(),
        ])?;
        failed = failed.or(result.err());
    }
    progress.finish();
    rows.finish()?;
    failed.map_or(Ok(()), Err)
}
