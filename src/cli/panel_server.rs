// SPDX-License-Identifier: MIT
//! What the commands for HestiaCP users begin with: the machine, its repository, the snapshots
//! that may be seen.

use super::Context;
use super::args::Invocation;
use super::repository;
use crate::base::{FileId, Monitor, Result};
use crate::format::snapshot::Snapshot;
use crate::hestia::inventory;
use crate::hestia::jobs::{self, Server};
use crate::hestia::{Hestia, UserName};
use crate::repo::Repository;
use std::sync::Arc;

/// The machine, as the options and settings describe it.
pub(super) fn server(context: &Context, call: &Invocation) -> Result<Server> {
    let hestia = call.path("hestia-below").map_or_else(Hestia::default, Hestia::below);
    let settings = repository::settings(call)?;
    Ok(Server::new(hestia, settings, Arc::clone(&context.world)))
}

/// The repository of the machine, made if it may be.
pub(super) fn open(
    context: &Context,
    call: &Invocation,
    server: &Server,
    make: bool,
) -> Result<Repository> {
    repository::open_of_server(context, call, &server.settings, make)
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
