// SPDX-License-Identifier: MIT
//! The engine's commands init and restore. Options become requests to [`crate::ops`], reports
//! become rows.

use super::args::Invocation;
use super::repository;
use super::rows::Cell;
use super::secret::NewSecret;
use super::{Context, engine_keys, engine_look};
use crate::backend;
use crate::base::units::number_of;
use crate::base::{Counter, Error, Kind, RelPath, Result, WhatIo};
use crate::format::Snapshot;
use crate::format::keyslot::Secret;
use crate::ops::restore::{
    Overwrite, RestoreOptions, RestoreReport, find_node, to_folder, to_origin,
};
use crate::repo::snapshots::find;
use crate::repo::{IndexedRepository, Reader, Repository};
use crate::tree::Selection;
use crate::tree::dir::OwnerPolicy;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `ghostsnap init`.
pub fn init(context: &Context, call: &Invocation) -> Result<()> {
    let meant = repository::meant(context, call)?;
    let address = meant.address.as_str();
    let backend = backend::open(address, &meant.access)?;
    if !call.has("force") {
        backend::refuse_foreign_place(address)
            .map_err(|error| error.hint("choose an empty or new folder, or add --force"))?;
    }
    let NewSecret { secret, made } = meant.first_secret(context, call)?;
    let label = call.text("label").unwrap_or("first");
    let world = Arc::clone(&context.world);
    let result = if call.has("write-only-keys") {
        Repository::init_for_write_only_keys(backend, &secret, label, world)
    } else {
        Repository::init(backend, &secret, label, world)
    };
    if result.is_err()
        && let Some(path) = &made
    {
        // The key opens nothing; left behind it would look as if it did.
        fs::remove_file(path).what_io(|| format!("remove the new key file {}", path.display()))?;
    }
    let repository = result?;
    context.output.note(&format!("made the repository {address}"));
    let usual = meant.key_file();
    let key_file = made.as_deref().or_else(|| call.path("key-file")).or(usual.as_deref());
    match (&secret, key_file) {
        (Secret::KeyFile(_), Some(path)) => context.output.important(&format!(
            "The key file {} is the only thing that opens it. Keep a copy of it off this machine: \
             without it nobody, you included, can ever read the backups.",
            path.display()
        )),
        _ => context.output.note(
            "Keep the password in a safe place too: without it nobody can ever read the backups.",
        ),
    }
    let mut rows = context.output.rows(call.command().columns);
    for (id, slot) in repository.key_slots()? {
        let [key, label, method] = engine_keys::key_cells(&id, &slot);
        rows.row(&[address.into(), key, label, method])?;
    }
    rows.finish()
}

/// `ghostsnap restore`.
pub fn restore(context: &Context, call: &Invocation) -> Result<()> {
    if call.has("target") == call.has("in-place") {
        return Err(
            Error::new(Kind::Usage, "restore").why("give either --target FOLDER or --in-place")
        );
    }
    let opened = repository::open(context, call)?;
    let all = opened.readable(context)?;
    let (id, snapshot) = find(&all, call.required("SNAPSHOT")?, call.text("user"))?;
    if !call.has("dry-run") && (call.has("in-place") || call.has("delete")) {
        let (day, time) = engine_look::day_and_time(snapshot.time);
        let question = format!("Overwrite files with those of {day} {time} ({})?", id.short());
        context.confirm(call, "restore over existing files", &question)?;
    }
    let options = restore_options(call)?;
    let progress = context.progress();
    let repository = if call.has("dry-run") {
        opened.indexed_to_look(&progress)?
    } else {
        opened.repository.indexed_to_read("restore", &progress)?
    };
    let mut rows = context.output.rows(call.command().columns);
    let mut failed = 0;
    for (base, target) in places(&repository, snapshot, call)? {
        let report = if call.has("in-place") {
            to_origin(&repository, snapshot, &base, &options, Path::new("/"), &progress)
        } else {
            to_folder(&repository, snapshot, &base, &options, &target, &progress)
        };
        let report = report.inspect_err(|_| progress.finish())?;
        failed += report.warnings;
        rows.row(&restored_row(&target, &report))?;
    }
    progress.finish();
    let counts = progress.counts();
    let restored = if call.has("dry-run") { "would be restored" } else { "restored" };
    context.output.note(&format!(
        "{} files {restored}, {} {} right already; {}",
        counts.get(Counter::FilesRestored),
        counts.get(Counter::FilesUnchanged),
        if call.has("dry-run") { "are" } else { "were" },
        progress.throughput(counts.get(Counter::BytesRestored)),
    ));
    rows.finish()?;
    let found = [Counter::FilesRestored, Counter::FilesUnchanged, Counter::Folders];
    let nothing = found.iter().all(|counter| counts.get(*counter) == 0);
    if failed == 0 && nothing && !call.texts("include").is_empty() && !call.has("dry-run") {
        return Err(Error::new(Kind::NotFound, "find anything to restore")
            .why("no --include pattern matches anything in the snapshot")
            .hint("'ghostsnap ls' and 'ghostsnap find' show the paths in it"));
    }
    if failed > 0 {
        return Err(Error::new(Kind::Partial, "restore everything")
            .why(format!("{}, named above", number_of(failed, "failure"))));
    }
    progress.partial("restore everything").map_or(Ok(()), Err)
}

fn restored_row(target: &Path, report: &RestoreReport) -> [Cell; 6] {
    let count = |counter| Cell::from(report.counts.get(counter));
    [
        target.as_os_str().as_bytes().into(),
        count(Counter::FilesRestored),
        count(Counter::FilesUnchanged),
        count(Counter::FilesRemoved),
        count(Counter::BytesRestored),
        report.warnings.into(),
    ]
}

fn restore_options(call: &Invocation) -> Result<RestoreOptions> {
    Ok(RestoreOptions {
        selection: Selection::new(&call.texts("include"), &call.texts("exclude"))?,
        overwrite: match call.text("overwrite") {
            Some("if-changed") => Overwrite::IfChanged,
            Some("if-newer") => Overwrite::IfNewer,
            Some("never") => Overwrite::Never,
            _ => Overwrite::Always,
        },
        delete: call.has("delete"),
        dry_run: call.has("dry-run"),
        verify: call.has("verify"),
        owners: if call.has("numeric-owners") { OwnerPolicy::Numeric } else { OwnerPolicy::Named },
        workers: 0,
    })
}

/// What of the snapshot goes where. In place, each path that was backed up is restored by itself:
/// `--delete` must never look at what lies beside it.
fn places(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    call: &Invocation,
) -> Result<Vec<(RelPath, PathBuf)>> {
    let wanted = call.path("PATH").map(|path| RelPath::parse(path.as_os_str().as_bytes()));
    let wanted = wanted.transpose()?;
    if let Some(target) = call.path("target") {
        return Ok(vec![(wanted.unwrap_or_default(), target.to_owned())]);
    }
    if snapshot.source != "paths" {
        return Err(Error::new(Kind::Usage, "restore this snapshot in place")
            .why("it was not made from paths of a machine")
            .hint("use --target, or ghostsnap hestia restore for a Hestia user"));
    }
    let bases = match wanted {
        Some(path) => vec![path],
        None => snapshot.paths.iter().map(|path| RelPath::parse(path)).collect::<Result<_>>()?,
    };
    let reader = Reader::new(repository);
    let mut places = Vec::new();
    for base in bases {
        let node = find_node(&reader, snapshot, &base)?;
        let folder =
            if node.is_folder() { base.clone() } else { base.parent().unwrap_or_default() };
        let target = Path::new("/").join(OsStr::from_bytes(folder.as_bytes()));
        places.push((base, target));
    }
    Ok(places)
}
