// SPDX-License-Identifier: MIT
//! The commands for single files, folders and mail accounts of Hestia users.

use super::Context;
use super::args::Invocation;
use super::engine_look::day_and_time;
use super::output::{end_with_the_reader, stop_with_the_reader};
use super::panel::{open, server};
use super::panel_look::{self, visible};
use super::panel_undo::{job_of, tell_way_back};
use super::progress::Progress;
use super::rows::Cell;
use crate::base::units::{ByteSize, number_of};
use crate::base::{FileId, Kind, RelPath, Result, What, WhatIo};
use crate::format::{Node, NodeKind, Snapshot};
use crate::hestia::asuser::Options;
use crate::hestia::jobs::download::{self, DownloadRequest, Form};
use crate::hestia::jobs::files::{self as jobs, FileRequest};
use crate::hestia::jobs::mailbox::{self, MailRequest};
use crate::hestia::jobs::{Safety, Server, manage};
use crate::hestia::{UserName, paths};
use crate::ops::list::Change;
use crate::ops::restore::{Overwrite, Report};
use crate::repo::IndexedRepository;
use crate::tree::deputy::{Person, become_person, serve};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What every command here needs: the user, and a snapshot that is the user's.
struct Meant {
    server: Server,
    user: UserName,
    repository: IndexedRepository,
    snapshot: (FileId, Snapshot),
    /// The second snapshot, if one is named.
    other: Option<(FileId, Snapshot)>,
}

/// Snapshots are looked up before the index is loaded: what is not there is said at once.
fn meant(context: &Context, call: &Invocation, progress: &Progress<'_>) -> Result<Meant> {
    let user = UserName::parse(call.required("USER")?)?;
    let server = server(context, call)?;
    let repository = open(context, call, &server, Some(&user), false)?;
    let all = visible(call, &server, &repository, Some(&user), progress)?;
    let find = |wanted: &str| panel_look::find(call, &all, wanted, Some(user.as_str())).cloned();
    let snapshot = find(call.required("SNAPSHOT")?)?;
    let other = call.text("SNAPSHOT2").map(find).transpose()?;
    let repository = repository.indexed_to_look(progress)?;
    Ok(Meant { server, user, repository, snapshot, other })
}

fn given(call: &Invocation, name: &str) -> Vec<u8> {
    call.path(name).map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default()
}

fn path_of(meant: &Meant, call: &Invocation, name: &str) -> Result<RelPath> {
    paths::below_home(&meant.server.hestia, &meant.user, &given(call, name))
}

/// `ghostsnap hestia list-files`.
pub fn list_files(context: &Context, call: &Invocation) -> Result<()> {
    end_with_the_reader()?;
    let progress = context.progress();
    let meant = meant(context, call, &progress)?;
    let path = path_of(&meant, call, "PATH")?;
    progress.finish();
    let mut rows = context.output.rows(call.command().columns);
    jobs::list_files(&meant.repository, &meant.snapshot.1, &path, &mut |path, node| {
        rows.row(&file_row(path.name().unwrap_or_default(), path, node))
    })?;
    rows.finish()
}

/// `ghostsnap hestia find-files`.
pub fn find_files(context: &Context, call: &Invocation) -> Result<()> {
    end_with_the_reader()?;
    let progress = context.progress();
    let meant = meant(context, call, &progress)?;
    let text = call.required("TEXT")?;
    let mut rows = context.output.rows(call.command().columns);
    let (repository, snapshot) = (&meant.repository, &meant.snapshot.1);
    let done = jobs::find_files(repository, snapshot, text, &progress, &mut |path, node| {
        let [_, shown, rest @ ..] = file_row(&[], path, node);
        let [kind, mode, owner, group, size, day, time, target] = rest;
        rows.row(&[shown, kind, mode, owner, group, size, day, time, target])
    });
    progress.finish();
    done?;
    rows.finish()?;
    progress.partial("name all that was found").map_or(Ok(()), Err)
}

/// A file as `list-files` shows it.
fn file_row(name: &[u8], path: &RelPath, node: &Node) -> [Cell; 10] {
    let meta = &node.meta;
    let (day, time) = day_and_time(meta.mtime);
    let owner =
        |name: &str, id: u32| if name.is_empty() { id.to_string() } else { name.to_owned() };
    [
        name.into(),
        path.as_bytes().into(),
        meta.kind.word().into(),
        format!("{:04o}", meta.mode).into(),
        owner(&meta.user, meta.uid).into(),
        owner(&meta.group, meta.gid).into(),
        meta.size.into(),
        day.into(),
        time.into(),
        meta.target.as_slice().into(),
    ]
}

fn options(call: &Invocation) -> Options {
    let overwrite = match call.text("overwrite") {
        Some("if-changed") => Overwrite::IfChanged,
        Some("if-newer") => Overwrite::IfNewer,
        Some("never") => Overwrite::Never,
        _ => Overwrite::Always,
    };
    let (exact, dry_run) = (call.has("exact"), call.has("dry-run"));
    Options { overwrite, exact, dry_run, ..Options::default() }
}

fn confirm(context: &Context, call: &Invocation, meant: &Meant, what: &str) -> Result<()> {
    if call.has("dry-run") {
        return Ok(());
    }
    let (day, time) = day_and_time(meant.snapshot.1.time);
    let user = &meant.user;
    let removes = if call.has("exact") { " and remove what is newer" } else { "" };
    let question = format!("Restore {what} of {user} as of {day} {time}{removes}?");
    context.confirm(call, &format!("restore {what} of {user}"), &question)
}

/// `ghostsnap hestia restore-file`.
pub fn restore_file(context: &Context, call: &Invocation) -> Result<()> {
    let progress = context.progress();
    let meant = meant(context, call, &progress)?;
    let path = path_of(&meant, call, "PATH")?;
    confirm(context, call, &meant, &path.to_string())?;
    let request = FileRequest {
        snapshot: meant.snapshot.0.to_string(),
        path: given(call, "PATH"),
        target: call.has("TARGET").then(|| given(call, "TARGET")),
        options: options(call),
        force: call.has("earlier"),
        no_safety: call.has("no-safety"),
    };
    let done =
        jobs::restore_file(&meant.server, &meant.repository, &meant.user, &request, &progress);
    progress.finish();
    let done = done?;
    tell(context, call, &progress, &done.report, done.safety.as_ref())
}

/// `ghostsnap hestia restore-mail-account`.
pub fn restore_mail_account(context: &Context, call: &Invocation) -> Result<()> {
    let progress = context.progress();
    let meant = meant(context, call, &progress)?;
    let address = call.required("ACCOUNT")?;
    confirm(context, call, &meant, address)?;
    let request = MailRequest {
        snapshot: meant.snapshot.0.to_string(),
        address: address.to_owned(),
        exact: call.has("exact"),
        dry_run: call.has("dry-run"),
        force: call.has("earlier"),
        no_safety: call.has("no-safety"),
    };
    let (server, repository) = (&meant.server, &meant.repository);
    let done = mailbox::restore_mail_account(server, repository, &meant.user, &request, &progress);
    progress.finish();
    let done = done?;
    if done.made {
        let word = if request.dry_run { "would be made" } else { "was made" };
        context.output.note(&format!("the account {address} {word} again"));
    }
    tell(context, call, &progress, &done.report, done.safety.as_ref())
}

/// Names the changes, and says what they add up to.
fn tell(
    context: &Context,
    call: &Invocation,
    progress: &Progress<'_>,
    report: &Report,
    safety: Option<&Safety>,
) -> Result<()> {
    let mut rows = context.output.rows(call.command().columns);
    for one in &report.changes {
        rows.row(&[
            one.path.as_bytes().into(),
            one.done.word().into(),
            one.kind.word().into(),
            one.bytes.into(),
            job_of(safety),
        ])?;
    }
    rows.finish()?;
    let would = if call.has("dry-run") { "would be " } else { "" };
    context.output.note(&format!(
        "{would}{} created, {} overwritten, {} removed; {} written, {} left as they are",
        report.created,
        report.overwritten,
        report.removed,
        ByteSize(report.bytes),
        report.unchanged
    ));
    tell_way_back(context, safety);
    progress.partial("restore everything").map_or(Ok(()), Err)
}

/// `ghostsnap hestia download-file`.
pub fn download(context: &Context, call: &Invocation) -> Result<()> {
    let progress = context.progress();
    stop_with_the_reader()?;
    let meant = meant(context, call, &progress)?;
    let request = DownloadRequest {
        snapshot: meant.snapshot.0.to_string(),
        path: given(call, "PATH"),
        form: match call.text("form") {
            Some("raw") => Some(Form::Raw),
            Some("zip") => Some(Form::Zip),
            Some("tar.zst") => Some(Form::TarZst),
            _ => None,
        },
        output: call.path("output").map(Path::to_owned),
        force: call.has("force"),
    };
    let done =
        download::download(&meant.server, &meant.repository, &meant.user, &request, &progress);
    progress.finish();
    let done = done?;
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[
        done.path.as_os_str().as_bytes().into(),
        meant.user.as_str().into(),
        done.snapshot.0.to_string().into(),
        done.bytes.into(),
    ])?;
    rows.finish()?;
    progress.partial("put all of it into the file").map_or(Ok(()), Err)
}

/// `ghostsnap hestia diff`.
pub fn diff(context: &Context, call: &Invocation) -> Result<()> {
    end_with_the_reader()?;
    let progress = context.progress();
    let meant = meant(context, call, &progress)?;
    let path = path_of(&meant, call, "path")?;
    let mut rows = context.output.rows(call.command().columns);
    let mut count = 0;
    let mut visit = |change: Change, path: &RelPath, kind: NodeKind, bytes: u64| {
        count += 1;
        let word = change.word();
        rows.row(&[path.as_bytes().into(), word.into(), kind.word().into(), bytes.into()])
    };
    let Meant { server, user, repository, snapshot: (_, snapshot), other } = &meant;
    let done = if let Some((_, other)) = other {
        let mut of_node = |change, path: &RelPath, node: &Node| {
            visit(change, path, node.meta.kind, node.meta.size)
        };
        jobs::diff_snapshots(repository, (snapshot, other), &path, &progress, &mut of_node)
    } else {
        // Another person's files are none of this snapshot's business.
        manage::check_same_person(server, user, snapshot)?;
        jobs::diff_live(server, (repository, snapshot), user, &path, &progress, &mut visit)
    };
    progress.finish();
    done?;
    rows.finish()?;
    context.output.note(&number_of(count, "change"));
    progress.partial("compare everything").map_or(Ok(()), Err)
}

/// `ghostsnap hestia act-as`: the other end of a restore.
pub fn act_as(context: &Context, call: &Invocation) -> Result<()> {
    let number = |text: &str| {
        text.parse::<u32>().what(Kind::Invalid, || format!("use '{text}' as a number of a user"))
    };
    let person = Person {
        uid: number(call.required("UID")?)?,
        gid: number(call.required("GID")?)?,
        groups: call.texts("GROUPS").into_iter().map(number).collect::<Result<_>>()?,
    };
    let home = call.path("HOME").unwrap_or(Path::new("/")).to_owned();
    become_person(&person)?;
    let orders = std::io::stdin().as_fd().try_clone_to_owned().what_io(|| "take orders")?;
    match serve(UnixStream::from(orders), &home, &context.world) {
        // Whoever gave the orders is gone, and with him the one who could be told.
        Err(error) if error.kind() == Kind::Disk => Ok(()),
        done => done,
    }
}
