// SPDX-License-Identifier: MIT
//! `ghostsnap backup`: paths or a stream into one repository, or into several in one run.

use super::args::Invocation;
use super::places::{self, Place};
use super::progress::Progress;
use super::rows::Cell;
use super::{Context, engine_look, repository};
use crate::base::monitor::Unheard;
use crate::base::units::ByteSize;
use crate::base::{Counter, Error, Kind, Monitor, RelPath, Result, WhatIo, limits};
use crate::format::Snapshot;
use crate::ops::backup::{BackupOptions, BackupReport, Parent};
use crate::ops::several::{Target, backup_to_each};
use crate::repo::snapshots::find;
use crate::repo::{IndexedRepository, Repository, WriterOptions};
use crate::tree::stream::StreamFile;
use crate::tree::walk::{Walk, WalkOptions};
use crate::tree::{Selection, Source};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `ghostsnap backup`.
pub fn backup(context: &Context, call: &Invocation) -> Result<()> {
    let paths: Vec<PathBuf> = call.paths("PATH").into_iter().map(Path::to_owned).collect();
    if paths.is_empty() != call.has("stdin") {
        return Err(Error::new(Kind::Usage, "back up").why("give either paths or --stdin"));
    }
    let also = call.texts("also");
    places::check_number(also.len() + 1)?;
    let needs_one = call.text("parent").filter(|parent| *parent != "none");
    if let (false, Some(parent)) = (also.is_empty(), needs_one) {
        return Err(Error::new(Kind::Usage, format!("compare with the snapshot {parent}"))
            .why("a snapshot is in one repository, and --also names more"));
    }
    let level = level(call)?;
    let progress = context.progress();
    let places = open_all(context, call, &also, &progress)?;
    let result = into_each(context, call, (&paths, level), &places, &progress);
    progress.finish();
    let missing = places.iter().any(|place| place.opened.is_err());
    let open = places.into_iter().filter(|place| place.opened.is_ok()).map(|place| place.name);
    tell(context, call, open.zip(result?).collect(), missing, &progress)
}

/// The repositories that are meant, each open or with what keeps it from being so.
fn open_all(
    context: &Context,
    call: &Invocation,
    also: &[&str],
    progress: &Progress<'_>,
) -> Result<Vec<Place>> {
    let indexed = |repository: Repository| {
        if !call.has("dry-run") {
            return repository.indexed_to_write("backup", progress);
        }
        let mut repository = repository.indexed(progress)?;
        repository.leave_out_lost_packs(progress)?;
        Ok(repository)
    };
    let first = repository::open(context, call).map(|opened| opened.repository);
    let mut places = vec![Place::of(call.text("repository"), first.and_then(indexed))];
    for text in also {
        let meant = repository::by_text(context, call, text);
        let opened = meant.and_then(|meant| repository::open_or_make(context, call, &meant));
        places.push(Place::of(Some(text), opened.and_then(indexed)));
    }
    places::check_all(&mut places, progress)?;
    Ok(places)
}

/// Backs up into each of the places that are open.
fn into_each(
    context: &Context,
    call: &Invocation,
    (paths, level): (&[PathBuf], i32),
    places: &[Place],
    progress: &Progress<'_>,
) -> Result<Vec<Result<BackupReport>>> {
    let open: Vec<&IndexedRepository> =
        places.iter().filter_map(|place| place.opened.as_ref().ok()).collect();
    let locations: Vec<String> = open.iter().map(|one| one.backend().location()).collect();
    let (mut source, template) = source(context, call, paths, &locations)?;
    let writers = open.len();
    let usual = WriterOptions::default();
    let writer = WriterOptions { level, dry_run: call.has("dry-run"), writers, ..usual };
    let workers = (context.world.cores() / writers.max(1)).max(1);
    let mut targets = Vec::with_capacity(open.len());
    for repository in open {
        let parent = parent(repository, call)?;
        let template = template.clone();
        let options = BackupOptions { parent, writer, workers, ..BackupOptions::new(template) };
        targets.push(Target { repository, options, monitor: &Unheard });
    }
    Ok(backup_to_each(source.as_mut(), &targets, progress))
}

/// Tells what came of each, and ends as the whole does: if nothing was stored with the first error.
/// Of those that are `missing` the person has been told.
fn tell(
    context: &Context,
    call: &Invocation,
    results: Vec<(String, Result<BackupReport>)>,
    missing: bool,
    progress: &Progress<'_>,
) -> Result<()> {
    let several = missing || results.len() > 1;
    let mut rows = context.output.rows(call.command().columns);
    let (mut failed, mut stored, mut partial) = (None::<Error>, false, false);
    for (name, result) in results {
        match result {
            Ok(report) => {
                let whose = if several { format!("{name}: ") } else { String::new() };
                note(context, call, progress, (&whose, &report));
                let id = report.id.map_or_else(|| "dry-run".to_owned(), |id| id.to_string());
                let mut row = engine_look::snapshot_row(&id, &report.snapshot).to_vec();
                row.push(Cell::from(name.as_str()));
                rows.row(&row)?;
                (stored, partial) = (true, partial | report.snapshot.is_partial());
            }
            Err(error) if failed.is_none() => failed = Some(named(error, &name, several)),
            Err(error) => progress.warn(named(error, &name, several)),
        }
    }
    // Trouble with older snapshots is printed, but it is no fault of this backup.
    let ending = |progress: &Progress<'_>| progress.partial("back up everything");
    match failed {
        Some(error) if stored && error.kind() != Kind::Cancelled => {
            progress.warn(error);
            rows.finish()?;
            ending(progress).map_or(Ok(()), Err)
        }
        Some(error) => {
            if stored {
                rows.finish()?;
            }
            Err(error)
        }
        None => {
            rows.finish()?;
            (missing || partial).then(|| ending(progress)).flatten().map_or(Ok(()), Err)
        }
    }
}

fn named(error: Error, name: &str, several: bool) -> Error {
    if several { error.within(format!("back up into the repository {name}")) } else { error }
}

fn note(
    context: &Context,
    call: &Invocation,
    progress: &Progress<'_>,
    (whose, report): (&str, &BackupReport),
) {
    let count = |counter| report.counts.get(counter);
    let start = if call.has("dry-run") { "a real run would store this: " } else { "" };
    context.output.note(&format!(
        "{whose}{start}{} new, {} changed, {} unchanged files; {}; {} new, {} stored",
        count(Counter::FilesNew),
        count(Counter::FilesChanged),
        count(Counter::FilesReused),
        progress.throughput(report.snapshot.totals.bytes),
        ByteSize(report.snapshot.totals.bytes_new),
        ByteSize(report.snapshot.totals.bytes_stored),
    ));
}

/// What --level says, else the settings of this server.
fn level(call: &Invocation) -> Result<i32> {
    if call.has("level") {
        let level = call.number("level").and_then(|level| i32::try_from(level).ok());
        return level.filter(|level| (1..=19).contains(level)).ok_or_else(|| {
            Error::new(Kind::Invalid, "use this --level").why("it is a number from 1 to 19")
        });
    }
    Ok(repository::readable_settings(call)?.compression_level)
}

fn source(
    context: &Context,
    call: &Invocation,
    paths: &[PathBuf],
    repositories: &[String],
) -> Result<(Box<dyn Source>, Snapshot)> {
    let mut template = Snapshot {
        name: call.text("name").unwrap_or_default().to_owned(),
        time: context.world.now(),
        host: call.text("host").map_or_else(|| context.world.host(), str::to_owned),
        tags: call.texts("tag").into_iter().map(str::to_owned).collect(),
        ..Snapshot::default()
    };
    if call.has("stdin") {
        let name = call.text("stdin-filename").unwrap_or("stdin");
        let path = RelPath::parse(name.as_bytes())?;
        if path.is_root() {
            return Err(Error::new(Kind::Invalid, format!("name a file '{name}'")));
        }
        "stdin".clone_into(&mut template.source);
        template.paths = vec![path.as_bytes().to_vec()];
        let stream = StreamFile::new(path, template.time, std::io::stdin());
        return Ok((Box::new(stream), template));
    }
    let mut options = walk_options(call)?;
    for repository in repositories {
        leave_out_repository(context, paths, Path::new(repository), &mut options)?;
    }
    let walk = Walk::new(paths, options)?;
    "paths".clone_into(&mut template.source);
    template.paths = walk.roots();
    Ok((Box::new(walk), template))
}

/// A repository does not go into itself: it would grow with every run, by what the last one wrote.
fn leave_out_repository(
    context: &Context,
    paths: &[PathBuf],
    repository: &Path,
    options: &mut WalkOptions,
) -> Result<()> {
    let Ok(folder) = repository.canonicalize() else { return Ok(()) };
    let Ok(meta) = folder.metadata() else { return Ok(()) };
    options.leave_out.push((meta.dev(), meta.ino()));
    let roots: Vec<PathBuf> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let what = || format!("back up the repository {} into itself", folder.display());
    if roots.iter().any(|root| root.starts_with(&folder)) {
        return Err(Error::new(Kind::Invalid, what()).why("it would grow with every run"));
    }
    if roots.iter().any(|root| folder.starts_with(root)) {
        // No loss, so it does not make the snapshot partial.
        context.output.warning(&Error::new(Kind::Invalid, what()).why("it is left out"));
    }
    Ok(())
}

fn walk_options(call: &Invocation) -> Result<WalkOptions> {
    let mut exclude: Vec<String> = call.texts("exclude").into_iter().map(str::to_owned).collect();
    for path in call.paths("exclude-file") {
        exclude.extend(patterns_of(path)?);
    }
    Ok(WalkOptions {
        selection: Selection::new::<String>(&[], &exclude)?,
        one_file_system: call.has("one-file-system"),
        mounts_told: false,
        special_files: call.has("devices"),
        ..WalkOptions::default()
    })
}

/// One pattern a line; empty lines and those that begin with # mean nothing.
fn patterns_of(path: &Path) -> Result<Vec<String>> {
    let doing = || format!("read the patterns in {}", path.display());
    let mut text = String::new();
    let file = File::open(path).what_io(doing)?;
    file.take(limits::CONF_FILE_BYTES_MAX).read_to_string(&mut text).what_io(doing)?;
    let lines = text.lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

fn parent(repository: &IndexedRepository, call: &Invocation) -> Result<Parent> {
    match call.text("parent") {
        None => Ok(Parent::Auto),
        Some("none") => Ok(Parent::None),
        Some(wanted) => {
            let all = repository.readable_snapshots(&Unheard)?;
            Ok(Parent::Id(find(&all, wanted, None)?.0))
        }
    }
}
