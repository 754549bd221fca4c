// SPDX-License-Identifier: MIT
//! For programs that watch: `ghostsnap metrics`, and `ghostsnap hestia check-health`, which answers
//! as Nagios wants it.

use super::Context;
use super::args::Invocation;
use super::notify::{book_place, look_at_all, receivers};
use super::panel::server;
use super::panel_places::Want;
use crate::base::units::bytes;
use crate::base::units::number_of;
use crate::base::{Monitor, Result, WhatIo};
use crate::hestia::jobs::Server;
use crate::hestia::jobs::health::Light;
use crate::hestia::notify::message::plain;
use crate::hestia::notify::trouble::{Subject, Trouble};
use crate::hestia::notify::{Look, Target, UserLook, metrics};
use nix::fcntl::OFlag;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Letters of Nagios' line before its numbers: older agents cut off what follows 1,024 bytes.
const LINE_LETTERS: usize = 600;

/// `ghostsnap metrics`.
pub fn metrics(context: &Context, call: &Invocation) -> Result<()> {
    let server = server(context, call)?;
    server.hestia.check_installed()?;
    let progress = context.progress();
    let look = look_at_all(context, call, &server, Want::Sizes, &progress);
    progress.finish();
    let targets = receivers(&server, &progress)?;
    let text = text(&server, &look?, &targets, &progress);
    match call.path("output") {
        Some(file) => write(file, &text),
        None => context.output.bytes(text.as_bytes()),
    }
}

/// The metrics of what was seen.
pub(super) fn text(
    server: &Server,
    look: &Look,
    targets: &[Target],
    monitor: &dyn Monitor,
) -> String {
    let book = book_place(server).read(monitor);
    metrics::text(look, targets, &book, server.world.now())
}

/// Puts metrics into a file that others may read, as a whole: who reads it never sees half of it.
/// Its folder may be somebody else's, so that nothing there is followed.
pub(super) fn write(file: &Path, text: &str) -> Result<()> {
    let what = || format!("write the metrics into {}", file.display());
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    // The collector reads what ends in .prom.
    name.push(".new");
    let draft = file.with_file_name(name);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).what_io(what),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o644).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut draft_file = options.open(&draft).what_io(what)?;
    draft_file.write_all(text.as_bytes()).what_io(what)?;
    // The program's umask is not what the collector needs.
    let readable = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
    draft_file.set_permissions(readable).what_io(what)?;
    fs::rename(&draft, file).what_io(what)
}

/// What Nagios calls what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

/// `ghostsnap hestia check-health`.
pub fn check_health(context: &Context, call: &Invocation) -> Result<()> {
    let (verdict, line) = match judged(context, call) {
        Ok(judged) => judged,
        Err(error) => (Verdict::Unknown, harmless(&error.one_line())),
    };
    context.output.end_with(verdict.code());
    context.output.line(&format!("GHOSTSNAP {} - {line}", verdict.word()))
}

fn judged(context: &Context, call: &Invocation) -> Result<(Verdict, String)> {
    let server = server(context, call)?;
    server.hestia.check_installed()?;
    // What is odd about one file is none of this line.
    let heard = crate::base::monitor::Collect::default();
    let look = look_at_all(context, call, &server, Want::State, &heard)?;
    let mut book = book_place(&server).read(&heard);
    let targets = receivers(&server, &heard)?;
    // Whoever is not told any more cannot fail to be.
    book.receivers.retain(|name, _| targets.iter().any(|one| one.name == *name));
    let now = server.world.now();
    let seen = look.seen(&server.settings, &book, now);
    // As notifications have it: whoever is new has time for a first backup.
    let worst = seen.troubles.iter().map(|one| one.light);
    let unknown = (!seen.unknown.is_empty()).then_some(Light::Yellow);
    // But not if nobody has one.
    let has_backup = |one: &UserLook| one.first().is_some_and(|health| health.newest.is_some());
    let is_meant = |one: &&UserLook| one.light != Light::Off;
    let nobody = !look.users.iter().filter(is_meant).any(has_backup);
    let worst = worst.chain(unknown).chain(nobody.then_some(Light::Yellow));
    let worst = worst.max().unwrap_or(Light::Green);
    let verdict = match worst {
        _ if look.users.is_empty() => Verdict::Unknown,
        Light::Red => Verdict::Critical,
        Light::Yellow => Verdict::Warning,
        Light::Green | Light::Off => Verdict::Ok,
    };
    let mut troubles: Vec<_> = seen.troubles.iter().collect();
    // What is said last may be cut off: first what is worst, and what concerns many.
    let is_of_one = |one: &Trouble| matches!(one.subject, Subject::User(_));
    troubles.sort_by_key(|one| (std::cmp::Reverse(one.light), is_of_one(one)));
    let text = |one: &&Trouble| format!("{}: {}", one.subject, one.full);
    let mut troubles: Vec<String> = troubles.iter().map(text).collect();
    troubles.extend((troubles.is_empty() && nobody).then(|| "nobody has a backup yet".to_owned()));
    let users = number_of(bytes(look.users.len()), "user");
    let said = if troubles.is_empty() { "all is well".to_owned() } else { troubles.join("; ") };
    let line = harmless(&format!("{users}: {said}"));
    Ok((verdict, format!("{line} | {}", performance(&server, &look))))
}

/// Nothing in the text may be taken for the beginning of numbers.
fn harmless(text: &str) -> String {
    plain(&text.replace('|', "/"), LINE_LETTERS)
}

/// Numbers, as Nagios draws them: `label=value[unit];warn;crit;min`.
fn performance(server: &Server, look: &Look) -> String {
    let count = |light| look.users.iter().filter(|one| one.light == light).count();
    let [green, yellow, red, off] =
        [Light::Green, Light::Yellow, Light::Red, Light::Off].map(count);
    let hour = |hours: u16| u32::from(hours) * 3600;
    let (warn, alarm) = (hour(server.settings.warn_hours), hour(server.settings.alarm_hours));
    let now = server.world.now().seconds;
    let good = look.users.iter().filter_map(|one| Some(one.first()?.good.as_ref()?.1.time.seconds));
    let oldest = good.min().map_or_else(String::new, |time| {
        let age = now.saturating_sub(time).max(0);
        format!(" oldest_backup={age}s;{warn};{alarm};0")
    });
    format!("green={green};;;0 yellow={yellow};0;;0 red={red};;0;0 off={off};;;0{oldest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn metrics_are_replaced_as_a_whole_and_nothing_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("g.prom"), folder.path().join("other"));
        fs::write(&other, "precious").unwrap();
        for name in ["g.prom", ".g.prom.new"] {
            std::os::unix::fs::symlink(&other, folder.path().join(name)).unwrap();
        }
        write(&file, "one\n").unwrap();
        write(&file, "two\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two\n");
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert_eq!(file.symlink_metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no draft is left");
        assert!(write(&folder.path().join("none/g.prom"), "x").is_err());
    }

    #[test]
    fn a_line_for_nagios_is_one_line_and_its_bar_is_ours() {
        assert_eq!(harmless("a|b\nc\u{1b}"), "a/b c\\u{1b}");
        assert_eq!(harmless(&"x".repeat(9000)).len(), LINE_LETTERS + 4);
    }
}
