// SPDX-License-Identifier: MIT
//! `ghostsnap copy`: snapshots from one repository into another.

use super::Context;
use super::args::Invocation;
use super::engine_look::{day_and_time, is_wanted};
use super::repository;
use super::rows::Cell;
use super::tended::Tending;
use crate::base::units::{ByteSize, bytes, length, number_of};
use crate::base::{Error, FileId, Kind, Result};
use crate::format::Snapshot;
use crate::hestia::named::{DEFAULT, RepositoryName};
use crate::ops::copy::{Copied, CopyState, compare, copy as copy_all};
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
    let level = repository::readable_settings(call)?.compression_level;
    let progress = context.progress();
    let source = repository::open_meant(context, call, &from)?.repository;
    let all = source.readable_snapshots(&progress)?;
    let wanted = newest(all, call);
    if wanted.is_empty() {
        let whose = call.text("user").map(|user| format!(" of {user}")).unwrap_or_default();
        return Err(Error::new(Kind::NotFound, format!("copy snapshots{whose}"))
            .why(format!("there are none in {}", source.backend().location())));
    }
    let source = source.indexed_to_read("copy", &progress)?;
    let options = WriterOptions { level, ..WriterOptions::default() };
    let result = if call.has("dry-run") {
        let target = repository::open_or_pretend(context, call, &to)?.indexed(&progress);
        target.and_then(|mut target| {
            target.leave_out_lost_packs(&progress)?;
            compare(&source, &target, wanted, options, &progress)
        })
    } else {
        let target = repository::open_or_make(context, call, &to)?;
        let tending = Tending::of(context, call, Some(&to), &target);
        let result = target
            .indexed_to_write("copy", &progress)
            .and_then(|mut target| copy_all(&source, &mut target, wanted, options, &progress));
        if ["user", "host", "tag"].iter().all(|filter| call.texts(filter).is_empty()) {
            tending.end_copy(context, &called(call, &source), &result);
        }
        result
    };
    progress.finish();
    let done = result?;
    let mut rows = context.output.rows(call.command().columns);
    for one in &done {
        rows.row(&row(one))?;
    }
    rows.finish()?;
    tell(context, &done);
    failures(&done)
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
    Err(Error::new(Kind::Partial, "copy every snapshot").why(failed.join("; ")))
}

/// What the repository is called that is copied from.
fn called(call: &Invocation, source: &IndexedRepository) -> String {
    let name = call.text("from").filter(|text| RepositoryName::is_meant(text));
    let usual = || call.text("from").is_none().then_some(DEFAULT);
    name.or_else(usual).map_or_else(|| source.backend().location(), str::to_owned)
}

/// The backups that the options let through, oldest first; with --last the newest of each user.
fn newest(mut all: Vec<(FileId, Snapshot)>, call: &Invocation) -> Vec<(FileId, Snapshot)> {
    all.retain(|(_, one)| is_wanted(one, call) && !one.is_safety());
    let Some(last) = call.number("last").map(length) else { return all };
    let of = |one: &Snapshot| (one.user.clone(), one.paths.clone());
    let mut counts: HashMap<_, usize> = HashMap::new();
    let mut kept: Vec<(FileId, Snapshot)> = Vec::new();
    for one in all.into_iter().rev() {
        let count = counts.entry(of(&one.1)).or_default();
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
