// SPDX-License-Identifier: MIT
//! `ghostsnap copy`: snapshots from one repository into another.

use super::Context;
use super::args::Invocation;
use super::engine_look::{day_and_time, is_wanted};
use super::progress::Progress;
use super::repository::{self, Meant};
use super::rows::Cell;
use super::tended::Tending;
use crate::base::units::{ByteSize, bytes, length, number_of};
use crate::base::{Error, FileId, Kind, Result};
use crate::format::Snapshot;
use crate::hestia::named::{DEFAULT, RepositoryName};
use crate::ops::copy::{Copied, CopyState, compare, copy as copy_all};
use crate::ops::forget::group_of;
use crate::repo::{IndexedRepository, WriterOptions};
use std::collections::HashMap;

/// `ghostsnap copy`.
pub fn copy(context: &Context, call: &Invocation) -> Result<()> {
    let to = call.text("to").ok_or_else(|| {
        Error::new(Kind::Usage, "copy snapshots").why("it does not say where to").hint("add --to")
    })?;
    let from = match call.text("from") {
        Some(text) => repository::by_text(context, call, text)?,
        None => repository::meant(context, call)?,
    };
    let to = repository::by_text(context, call, to)?;
    let progress = context.progress();
    let result = if call.has("dry-run") {
        compare_with(context, call, (&from, &to), &progress)
    } else {
        copy_into(context, call, (&from, &to), &progress)
    };
    progress.finish();
    let done = result?;
    let mut rows = context.output.rows(call.command().columns);
    for one in &done {
        rows.row(&row(one))?;
    }
    rows.finish()?;
    tell(context, &done);
    failures(&done)?;
    progress.partial(WHAT).map_or(Ok(()), Err)
}

const WHAT: &str = "copy every snapshot";

/// Says what a copy would do.
fn compare_with(
    context: &Context,
    call: &Invocation,
    (from, to): (&Meant, &Meant),
    progress: &Progress,
) -> Result<Vec<Copied>> {
    let (source, wanted) = what_is_meant(context, call, from, progress)?;
    let mut target = repository::open_or_pretend(context, call, to)?.indexed(progress)?;
    target.leave_out_lost_packs(progress)?;
    compare(&source, &target, wanted, options(call)?, progress)
}

/// Copies, and notes how it ended: also that there was nothing to copy from.
fn copy_into(
    context: &Context,
    call: &Invocation,
    (from, to): (&Meant, &Meant),
    progress: &Progress,
) -> Result<Vec<Copied>> {
    let target = repository::open_or_make(context, call, to)?;
    let tending = Tending::of(context, call, Some(to), &target);
    let result = what_is_meant(context, call, from, progress).and_then(|(source, wanted)| {
        let mut target = target.indexed_to_write("copy", progress)?;
        copy_all(&source, &mut target, wanted, options(call)?, progress)
    });
    let is_all = ["user", "host", "tag"].iter().all(|filter| call.texts(filter).is_empty());
    let is_misuse = result.as_ref().is_err_and(|error| error.kind() == Kind::Usage);
    if is_all && !is_misuse {
        let told = progress.partial(WHAT);
        tending.end_copy(context, &called(call, from), &result, told.as_ref());
    }
    result
}

/// The repository to copy from, and those of its snapshots that are meant.
fn what_is_meant(
    context: &Context,
    call: &Invocation,
    from: &Meant,
    progress: &Progress,
) -> Result<(IndexedRepository, Vec<(FileId, Snapshot)>)> {
    let source = repository::open_meant(context, call, from)?.repository;
    let wanted = newest(source.readable_snapshots(progress)?, call);
    if wanted.is_empty() {
        let whose = call.text("user").map(|user| format!(" of {user}")).unwrap_or_default();
        return Err(Error::new(Kind::NotFound, format!("copy snapshots{whose}"))
            .why(format!("there are none in {}", source.backend().location())));
    }
    Ok((source.indexed_to_read("copy", progress)?, wanted))
}

/// What the repository is called that is copied from.
fn called(call: &Invocation, from: &Meant) -> String {
    let name = call.text("from").filter(|text| RepositoryName::is_meant(text));
    let usual = || call.text("from").is_none().then_some(DEFAULT);
    name.or_else(usual).map_or_else(|| from.address.clone(), str::to_owned)
}

fn options(call: &Invocation) -> Result<WriterOptions> {
    let level = repository::readable_settings(call)?.compression_level;
    Ok(WriterOptions { level, ..WriterOptions::default() })
}

/// Fails if some could not be copied.
pub(super) fn failures(done: &[Copied]) -> Result<()> {
    let failed = done.iter().filter_map(|one| match &one.state {
        CopyState::Failed(error) => Some(format!("{}: {}", one.id.short(), error.one_line())),
        _ => None,
    });
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Partial, WHAT).why(failed.join("; ")))
}

/// The backups that the options let through, oldest first; with --last the newest of those that
/// belong together.
fn newest(mut all: Vec<(FileId, Snapshot)>, call: &Invocation) -> Vec<(FileId, Snapshot)> {
    all.retain(|(_, one)| is_wanted(one, call) && !one.is_safety());
    let Some(last) = call.number("last").map(length) else { return all };
    let mut counts: HashMap<_, usize> = HashMap::new();
    let mut kept: Vec<(FileId, Snapshot)> = Vec::new();
    for one in all.into_iter().rev() {
        let count = counts.entry(group_of(&one.1)).or_default();
        *count += 1;
        if *count <= last {
            kept.push(one);
        }
    }
    kept.reverse();
    kept
}

fn row(one: &Copied) -> [Cell; 12] {
    let (day, time) = day_and_time(one.snapshot.time);
    let (result, copy, reason) = match &one.state {
        CopyState::Present(id) => ("present", id.to_string(), String::new()),
        CopyState::Made(id, _) => ("copied", id.to_string(), String::new()),
        CopyState::Lacking => ("missing", String::new(), String::new()),
        CopyState::Failed(error) => ("failed", String::new(), error.one_line()),
    };
    let is_new = matches!(one.state, CopyState::Made(..) | CopyState::Lacking);
    let number = |number: u64| if is_new { number.into() } else { Cell::empty() };
    [
        one.id.to_string().into(),
        one.snapshot.name.as_str().into(),
        day.into(),
        time.into(),
        one.snapshot.user.as_str().into(),
        result.into(),
        copy.into(),
        one.snapshot.totals.bytes.into(),
        number(one.added.bytes_stored),
        reason.into(),
        number(one.added.chunks),
        number(one.added.bytes),
    ]
}

/// `2 snapshots copied, 5 there already`.
pub(super) fn in_short(done: &[Copied]) -> String {
    let count = |is_meant: fn(&CopyState) -> bool| {
        bytes(done.iter().filter(|one| is_meant(&one.state)).count())
    };
    let copied = count(|state| matches!(state, CopyState::Made(..)));
    let lacking = count(|state| matches!(state, CopyState::Lacking));
    let present = count(|state| matches!(state, CopyState::Present(_)));
    let (number, word) = if lacking > 0 { (lacking, "to copy") } else { (copied, "copied") };
    format!("{} {word}, {present} there already", number_of(number, "snapshot"))
}

fn tell(context: &Context, done: &[Copied]) {
    let sum = |value: fn(&Copied) -> u64| done.iter().map(value).sum::<u64>();
    let stored = ByteSize(sum(|one| one.added.bytes_stored));
    let short = in_short(done);
    if !done.iter().any(|one| matches!(one.state, CopyState::Lacking)) {
        context.output.note(&format!("{short}; {stored} stored"));
        return;
    }
    let chunks = number_of(sum(|one| one.added.chunks), "new chunk");
    let new = ByteSize(sum(|one| one.added.bytes));
    context.output.note(&format!("{short}; {chunks}, {new}, about {stored} to store"));
}
