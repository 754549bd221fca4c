// SPDX-License-Identifier: MIT
//! The commands for HestiaCP that only look: users, and the snapshots that a caller may know of.

use super::Context;
use super::args::Invocation;
use super::engine_look::day_and_time;
use super::output::end_with_the_reader;
use super::panel::{open, server, user_of};
use super::repository;
use super::rows::Cell;
use super::table::Role;
use crate::base::units::{bytes, number_of};
use crate::base::{FileId, Monitor, Result};
use crate::format::Snapshot;
use crate::hestia::UserName;
use crate::hestia::inventory::{self, User};
use crate::hestia::jobs::{self, Server};
use crate::repo::{Repository, snapshots};

const MIB: u64 = 1 << 20;

/// `ghostsnap hestia list-users`.
pub fn list_users(context: &Context, call: &Invocation) -> Result<()> {
    let server = server(context, call)?;
    let users = inventory::users(&server.hestia)?;
    tell_unusable(context, &server)?;
    let bare = !["detailed", "format", "json", "verbose"].iter().any(|name| call.has(name));
    if bare {
        return users.iter().try_for_each(|user| context.output.line(user.as_str()));
    }
    let progress = context.progress();
    let mut rows = context.output.rows(call.command().columns);
    for name in users {
        let user = inventory::user(&server.hestia, &name)?;
        rows.row(&user_row(&server, &user, &progress)?)?;
    }
    progress.finish();
    rows.finish()
}

/// `ghostsnap hestia user-info`.
pub fn user_info(context: &Context, call: &Invocation) -> Result<()> {
    let server = server(context, call)?;
    let user = inventory::named(&server.hestia, call.required("USER")?)?;
    let progress = context.progress();
    let row = user_row(&server, &user, &progress)?;
    progress.finish();
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&row)?;
    rows.finish()
}

fn user_row(server: &Server, user: &User, monitor: &dyn Monitor) -> Result<[Cell; 15]> {
    let has = inventory::of_user(&server.hestia, &user.name)?;
    let names = |list: &[String]| Cell::list(list.iter().map(String::as_str));
    let row = [
        user.name.as_str().into(),
        user.row.text("NAME").into(),
        user.contact().into(),
        user.row.text("ROLE").into(),
        user.package().into(),
        names(&has.web),
        names(&has.dns),
        Cell::list(has.mail.iter().map(|domain| domain.name.as_str())),
        Cell::list(has.databases.iter().map(|database| database.name.as_str())),
        bytes(has.cron.len()).into(),
        names(&has.user_dirs),
        user.row.number("U_DISK").into(),
        user.is_suspended().into(),
        user.tarballs_kept().into(),
        user.row.text("DATE").into(),
    ];
    has.problems.into_iter().for_each(|problem| monitor.warn(problem));
    Ok(row)
}

/// The snapshots that the caller may know of. The panel's commands act for the person who has the
/// name today: snapshots of an earlier user of that name do not exist for them.
pub(super) fn visible(
    call: &Invocation,
    server: &Server,
    repository: &Repository,
    user: Option<&UserName>,
    monitor: &dyn Monitor,
) -> Result<Vec<(FileId, Snapshot)>> {
    let mut all = jobs::list(repository, user, monitor)?;
    if call.shim().is_some()
        && let Some(user) = user
        && inventory::exists(&server.hestia, user)
    {
        let identity = inventory::user(&server.hestia, user)?.identity;
        all.retain(|(_, one)| jobs::manage::is_of_today(one, &identity));
    }
    Ok(all)
}

/// The snapshot that a person means by an id, a prefix, a name or `latest`.
pub(super) fn find<'a>(
    call: &Invocation,
    all: &'a [(FileId, Snapshot)],
    wanted: &str,
    user: Option<&str>,
) -> Result<&'a (FileId, Snapshot)> {
    snapshots::find(all, wanted, user).map_err(|error| {
        if error.hint_text().is_none() {
            return error;
        }
        error.hint(match (call.shim(), user) {
            (Some(_), Some(user)) => format!("v-ghostsnap-list-user-backups {user} lists them"),
            (_, Some(user)) => {
                format!("list them with 'ghostsnap hestia list-backups --user {user}'")
            }
            _ => "list them with 'ghostsnap hestia list-backups'".to_owned(),
        })
    })
}

/// Folders in `data/users` that are no users to this program, told to an administrator: nobody
/// should believe that they are backed up.
pub(super) fn tell_unusable(context: &Context, server: &Server) -> Result<()> {
    let style = context.output.style();
    if !(style.panel && context.output.is_machine()) {
        for error in inventory::unusable(&server.hestia)? {
            context.output.warning(&error);
        }
    }
    Ok(())
}

/// `ghostsnap hestia list-backups`.
pub fn list_backups(context: &Context, call: &Invocation) -> Result<()> {
    end_with_the_reader()?;
    let user = user_of(call, "user")?;
    let server = server(context, call)?;
    let progress = context.progress();
    // Before the first backup there is nothing, which is no failure of a list.
    let all = if repository::is_set_up(context, call, &server.settings, user.as_ref())? {
        let repository = open(context, call, &server, user.as_ref(), false)?;
        visible(call, &server, &repository, user.as_ref(), &progress)?
    } else {
        Vec::new()
    };
    progress.finish();
    if let (true, Some(user)) = (all.is_empty(), &user) {
        // A user without snapshots is an empty list; nobody is an error.
        inventory::user(&server.hestia, user)?;
    }
    let mut rows = context.output.rows(call.command().columns);
    for (id, snapshot) in &all {
        rows.row(&list_row(call, id, snapshot))?;
    }
    rows.finish()?;
    context.output.note(&number_of(bytes(all.len()), "snapshot"));
    progress.partial("list all snapshots").map_or(Ok(()), Err)
}

fn list_row(call: &Invocation, id: &FileId, snapshot: &Snapshot) -> [Cell; 17] {
    let (day, time) = day_and_time(snapshot.time);
    let section = |name| Cell::list(snapshot.objects_of(name));
    let totals = snapshot.totals;
    // What the repository had before tells a customer what others have.
    let is_customer = call.shim().is_some_and(|shim| shim.role == Role::User);
    [
        id.to_string().into(),
        snapshot.name.as_str().into(),
        snapshot.user.as_str().into(),
        day.into(),
        time.into(),
        totals.bytes.div_ceil(MIB).into(),
        if is_customer { Cell::empty() } else { totals.bytes_new.div_ceil(MIB).into() },
        section("WEB"),
        section("DNS"),
        section("MAIL"),
        section("DB"),
        section("CRON"),
        section("UDIR"),
        totals.milliseconds.div_ceil(60_000).max(1).into(),
        if snapshot.is_partial() { "partial" } else { "complete" }.into(),
        Cell::list(snapshot.tags.iter().map(String::as_str).filter(|tag| !is_ours(tag))),
        Cell::list(snapshot.left_out.iter().map(String::as_str)),
    ]
}

/// Whether the tag is a note of the program to itself.
fn is_ours(tag: &str) -> bool {
    [jobs::TARBALL_TAG, jobs::TARBALL_BYTES_TAG].iter().any(|ours| tag.starts_with(ours))
}

/// `ghostsnap hestia show-backup`.
pub fn show_backup(context: &Context, call: &Invocation) -> Result<()> {
    end_with_the_reader()?;
    let user = user_of(call, "user")?;
    let server = server(context, call)?;
    let repository = open(context, call, &server, user.as_ref(), false)?;
    let progress = context.progress();
    let all = visible(call, &server, &repository, user.as_ref(), &progress)?;
    progress.finish();
    let user = user.as_ref().map(UserName::as_str);
    let (id, snapshot) = find(call, &all, call.required("SNAPSHOT")?, user)?;
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&list_row(call, id, snapshot))?;
    rows.finish()
}
