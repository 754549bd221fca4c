// SPDX-License-Identifier: MIT
//! The engine's commands that only look: snapshots, ls, find, dump, diff, stats.

use super::Context;
use super::args::Invocation;
use super::output::Output;
use super::repository::{self, Opened};
use super::rows::Cell;
use crate::backend::local::rename_new;
use crate::base::{Error, Kind, RelPath, Result, Timestamp, WhatIo};
use crate::format::{Node, NodeKind, Snapshot};
use crate::ops::list::{self, Change};
use crate::ops::restore::{FileReader, find_node};
use crate::ops::stats::stats as stats_of;
use crate::repo::Reader;
use crate::repo::snapshots::find as find_snapshot;
use crate::tree::Selection;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes that `dump` moves at a time.
const DUMP_BYTES: usize = 256 * 1024;

/// Day and time as this machine's clock shows them.
pub fn day_and_time(time: Timestamp) -> (String, String) {
    let local = time.local();
    (local.strftime("%Y-%m-%d").to_string(), local.strftime("%H:%M:%S").to_string())
}

/// Whether the options that filter snapshots let this one through.
pub fn is_wanted(snapshot: &Snapshot, call: &Invocation) -> bool {
    call.text("user").is_none_or(|user| snapshot.user == user)
        && call.text("host").is_none_or(|host| snapshot.host == host)
        && call.texts("tag").iter().all(|tag| snapshot.tags.iter().any(|one| one == tag))
}

/// A snapshot under the columns of `snapshots` and `backup`.
pub fn snapshot_row(id: &str, snapshot: &Snapshot) -> [Cell; 15] {
    let (day, time) = day_and_time(snapshot.time);
    [
        id.into(),
        snapshot.name.as_str().into(),
        day.into(),
        time.into(),
        snapshot.host.as_str().into(),
        snapshot.user.as_str().into(),
        snapshot.totals.files.into(),
        snapshot.totals.bytes.into(),
        snapshot.totals.bytes_new.into(),
        snapshot.totals.bytes_stored.into(),
        snapshot.warnings.into(),
        snapshot.parent.map(|id| id.to_string()).unwrap_or_default().into(),
        (snapshot.totals.milliseconds / 1000).into(),
        Cell::list(snapshot.tags.iter().map(String::as_str)),
        snapshot.paths.join(&b","[..]).as_slice().into(),
    ]
}

/// `ghostsnap snapshots`.
pub fn snapshots(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let progress = context.progress();
    let mut all = repository.readable_snapshots(&progress)?;
    progress.finish();
    all.retain(|(_, snapshot)| is_wanted(snapshot, call));
    let last = call.number("last").map_or(all.len(), crate::base::units::length);
    let mut rows = context.output.rows(call.command().columns);
    for (id, snapshot) in all.iter().skip(all.len().saturating_sub(last)) {
        rows.row(&snapshot_row(&id.to_string(), snapshot))?;
    }
    rows.finish()?;
    progress.partial("list all snapshots").map_or(Ok(()), Err)
}

/// `ghostsnap ls`.
pub fn ls(context: &Context, call: &Invocation) -> Result<()> {
    let opened = repository::open(context, call)?;
    let all = opened.readable(context)?;
    let (_, snapshot) = find_snapshot(&all, call.required("SNAPSHOT")?, call.text("user"))?;
    let base = path_of(call)?;
    let progress = context.progress();
    // Only now: a wrong name is answered at once.
    let repository = opened.indexed_to_look(&progress)?;
    let selection = Selection::new(&call.texts("include"), &call.texts("exclude"))?;
    let recursive = call.has("recursive") || call.has("include");
    progress.finish();
    let mut rows = context.output.rows(call.command().columns);
    let reader = Reader::new(&repository);
    list::walk(&reader, snapshot, &base, recursive, &selection, &progress, &mut |path, node| {
        rows.row(&node_row(path, node))
    })?;
    rows.finish()
}

fn path_of(call: &Invocation) -> Result<RelPath> {
    call.path("PATH")
        .map_or_else(|| Ok(RelPath::root()), |path| RelPath::parse(path.as_os_str().as_bytes()))
}

fn node_row(path: &RelPath, node: &Node) -> [Cell; 11] {
    let meta = &node.meta;
    let (day, time) = day_and_time(meta.mtime);
    let owner =
        |name: &str, id: u32| if name.is_empty() { id.to_string() } else { name.to_owned() };
    [
        path.as_bytes().into(),
        meta.kind.word().into(),
        format!("{:04o}", meta.mode).into(),
        format!("{}:{}", owner(&meta.user, meta.uid), owner(&meta.group, meta.gid)).into(),
        u64::from(meta.uid).into(),
        u64::from(meta.gid).into(),
        meta.size.into(),
        day.into(),
        time.into(),
        meta.target.as_slice().into(),
        node.torn.into(),
    ]
}

/// `ghostsnap find`.
pub fn find(context: &Context, call: &Invocation) -> Result<()> {
    let opened = repository::open(context, call)?;
    let progress = context.progress();
    let mut all = opened.repository.readable_snapshots(&progress)?;
    if let Some(wanted) = call.text("snapshot") {
        let (id, _) = find_snapshot(&all, wanted, call.text("user"))?;
        let id = *id;
        all.retain(|(one, _)| *one == id);
    }
    all.retain(|(_, snapshot)| is_wanted(snapshot, call));
    let matches = Selection::new::<&str>(&[], &call.texts("GLOB"))?;
    let repository = opened.indexed_to_look(&progress)?;
    let reader = Reader::new(&repository);
    let mut rows = context.output.rows(call.command().columns);
    for (id, snapshot) in &all {
        let everything = Selection::all();
        let base = RelPath::root();
        list::walk(&reader, snapshot, &base, true, &everything, &progress, &mut |path, node| {
            // What an exclusion by these globs would leave out is what they find.
            if matches.verdict(path, node.is_folder()) == crate::tree::select::Verdict::Leave {
                rows.row(&found_row(&id.to_string(), path, node))?;
            }
            Ok(())
        })
        .inspect_err(|_| progress.finish())?;
    }
    progress.finish();
    rows.finish()?;
    progress.partial("look into all snapshots").map_or(Ok(()), Err)
}

fn found_row(id: &str, path: &RelPath, node: &Node) -> [Cell; 7] {
    let (day, time) = day_and_time(node.meta.mtime);
    let short = id.get(..8).unwrap_or(id);
    let found = [short.as_bytes(), b":", path.as_bytes()].concat();
    [
        found.as_slice().into(),
        id.into(),
        path.as_bytes().into(),
        node.meta.kind.word().into(),
        node.meta.size.into(),
        day.into(),
        time.into(),
    ]
}

/// `ghostsnap dump`.
pub fn dump(context: &Context, call: &Invocation) -> Result<()> {
    let opened = repository::open(context, call)?;
    let all = opened.readable(context)?;
    let (_, snapshot) = find_snapshot(&all, call.required("SNAPSHOT")?, call.text("user"))?;
    let path = path_of(call)?;
    let progress = context.progress();
    let repository = opened.indexed_to_look(&progress)?;
    progress.finish();
    let reader = Reader::new(&repository);
    let node = find_node(&reader, snapshot, &path)?;
    if node.meta.kind != NodeKind::File {
        return Err(Error::new(Kind::Invalid, format!("dump {path}"))
            .why(format!("it is not a file but a {}", node.meta.kind.word())));
    }
    let content = FileReader::new(&reader, &node)?;
    match call.path("output") {
        None => copy_out(content, &context.output),
        Some(file) => write_whole(content, file),
    }
}

/// Writes a new file that has its name only once it is whole.
fn write_whole(mut content: FileReader<'_>, file: &Path) -> Result<()> {
    let doing = || format!("write {}", file.display());
    if file.symlink_metadata().is_ok() {
        return Err(Error::new(Kind::Exists, doing()).why("it exists"));
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = file.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let mut options = OpenOptions::new();
    let mut to = options.write(true).create_new(true).mode(0o600).open(&part).what_io(doing)?;
    let written = std::io::copy(&mut content, &mut to)
        .and_then(|_| to.sync_all())
        .and_then(|()| rename_new(&part, file));
    if written.is_err() {
        // The first error is what matters; what is left is hidden and named after us.
        drop(std::fs::remove_file(&part));
    }
    written.what_io(doing)
}

fn copy_out(mut content: FileReader<'_>, output: &Output) -> Result<()> {
    let mut buffer = vec![0; DUMP_BYTES];
    loop {
        let count = content.read(&mut buffer).what_io(|| "read the file")?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(()),
            Some(read) => output.bytes(read)?,
        }
    }
}

/// `ghostsnap diff`.
pub fn diff(context: &Context, call: &Invocation) -> Result<()> {
    let opened = repository::open(context, call)?;
    let all = opened.readable(context)?;
    let (_, old) = find_snapshot(&all, call.required("OLD")?, None)?;
    let (_, new) = find_snapshot(&all, call.required("NEW")?, None)?;
    let attributes = call.has("attributes");
    let progress = context.progress();
    let repository = opened.indexed_to_look(&progress)?;
    progress.finish();
    let reader = Reader::new(&repository);
    let mut rows = context.output.rows(call.command().columns);
    let mut visit = |change: Change, path: &RelPath, node: &Node| {
        if change == Change::Metadata && !attributes {
            return Ok(());
        }
        rows.row(&[
            path.as_bytes().into(),
            change.word().into(),
            node.meta.kind.word().into(),
            node.meta.size.into(),
        ])
    };
    list::diff(&reader, (old, new), &RelPath::root(), &progress, &mut visit)?;
    rows.finish()
}

/// `ghostsnap stats`.
pub fn stats(context: &Context, call: &Invocation) -> Result<()> {
    let opened = repository::open(context, call)?;
    let progress = context.progress();
    let repository = opened.repository.indexed(&progress)?;
    let stats = stats_of(&repository, &progress)?;
    progress.finish();
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[
        repository.backend().location().into(),
        stats.snapshots.into(),
        stats.bytes_source.into(),
        stats.bytes_plain.into(),
        stats.bytes_stored.into(),
        stats.chunks.into(),
        stats.blobs.into(),
        stats.data_packs.into(),
        stats.meta_packs.into(),
    ])?;
    rows.finish()?;
    progress.partial("count everything").map_or(Ok(()), Err)
}
