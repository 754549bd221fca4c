// SPDX-License-Identifier: MIT
//! `ghostsnap copy`: snapshots from one repository into another.

use super::Context;
use super::args::Invocation;
use super::engine_look::{day_and_time, is_wanted};
use super::repository;
use super::rows::Cell;
use crate::base::units::{ByteSize, length, number_of};
use crate::base::{Error, FileId, Kind, Result};
use crate::format::Snapshot;
use crate::ops::copy::{Copied, CopyState, copy as copy_snapshots};
use crate::repo::WriterOptions;
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
    let target = repository::open_or_make(context, call, &to)?;
    let mut target = target.indexed_to_write("copy", &progress)?;
    let options = WriterOptions { level, ..WriterOptions::default() };
    let result = copy_snapshots(&source, &mut target, wanted, options, &progress);
    progress.finish();
    let done = result?;
    let mut rows = context.output.rows(call.command().columns);
    for one in &done {
        rows.row(&row(one))?;
    }
    rows.finish()?;
    tell(context, &done);
    let failed = done.iter().filter_map(|one| match &one.state {
        CopyState::Failed(error) => Some((one, error)),
        _ => None,
    });
    let failed: Vec<String> =
        failed.map(|(one, error)| format!("{}: {}", one.id.short(), error.one_line())).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Partial, "copy every snapshot").why(failed.join("; ")))
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

fn row(one: &Copied) -> [Cell; 10] {
    let (day, time) = day_and_time(one.snapshot.time);
    let (result, copy, stored, reason) = match &one.state {
        CopyState::Present(id) => ("present", id.to_string(), Cell::empty(), String::new()),
        CopyState::Made(id, copy) => {
            ("copied", id.to_string(), copy.totals.bytes_stored.into(), String::new())
        }
        CopyState::Failed(error) => ("failed", String::new(), Cell::empty(), error.one_line()),
    };
    [
        one.id.to_string().into(),
        one.snapshot.name.as_str().into(),
        day.into(),
        time.into(),
        one.snapshot.user.as_str().into(),
        result.into(),
        copy.into(),
        one.snapshot.totals.bytes.into(),
        stored,
        reason.into(),
    ]
}

fn tell(context: &Context, done: &[Copied]) {
    let (mut copied, mut present, mut stored) = (0, 0, 0);
    for one in done {
        match &one.state {
            CopyState::Made(_, copy) => {
                copied += 1;
                stored += copy.totals.bytes_stored;
            }
            CopyState::Present(_) => present += 1,
            CopyState::Failed(_) => {}
        }
    }
    let copied = number_of(copied, "snapshot");
    let stored = ByteSize(stored);
    context.output.note(&format!("{copied} copied, {present} there already; {stored} stored"));
}
