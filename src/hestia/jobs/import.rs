// SPDX-License-Identifier: MIT
//! Takes old tarballs of Hestia in, with the time and the user they stand for.

use super::backup::{options, store};
use super::report::{Gather, State, UserOutcome};
use super::{IMPORTED, Server, free_name, is_made_from, tarball_tags};
use crate::base::error::io_error;
use crate::base::monitor::Stage;
use crate::base::units::length;
use crate::base::{Error, FileId, Kind, Monitor, Result, Timestamp, WhatIo, Within, limits};
use crate::format::Snapshot;
use crate::hestia::conf;
use crate::hestia::inventory;
use crate::hestia::tarball_in::HestiaTarball;
use crate::hestia::tarballs::{self, TarballName};
use crate::repo::IndexedRepository;
use crate::tree::tar_member::Members;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;

/// How tarballs are taken in.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// Take in what is in the repository already.
    pub force: bool,
    /// Free labels for the snapshots.
    pub tags: Vec<String>,
}

/// Takes one tarball in. Its name must be one that Hestia or an export gives; the user in it must
/// be the user in its name.
pub fn import(
    server: &Server,
    repository: &mut IndexedRepository,
    path: &Path,
    request: &ImportRequest,
    monitor: &dyn Monitor,
) -> Result<UserOutcome> {
    let what = || format!("import {}", path.display());
    let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let owner = tarballs::owner_of(file_name).ok_or_else(|| {
        Error::new(Kind::Invalid, what()).why(
            "its name is neither USER.YYYY-MM-DD_HH-MM-SS.tar nor USER.gs-SNAPSHOT.tar, so whose \
             it is cannot be told",
        )
    })?;
    let _lock = server.lock(&owner, "an import")?;
    let started = server.world.ticks();
    let gather = Gather::new(monitor);
    let snapshots = repository.readable_snapshots(monitor)?;
    let user = owner.to_string();
    // An export of a snapshot that is still there brings nothing new.
    let exported = tarballs::export_of(file_name).map(|(_, id)| id);
    let is_there = |id: &FileId, one: &Snapshot| {
        is_made_from(one, file_name)
            || exported.is_some_and(|beginning| id.to_string().starts_with(beginning))
    };
    if let Some((id, one)) = snapshots
        .iter()
        .find(|(id, one)| one.user == user && is_there(id, one))
        .filter(|_| !request.force)
    {
        return Err(Error::new(Kind::Exists, what())
            .why(format!("its content is in the repository as {} ({})", one.name, id.short()))
            .hint("--force imports it once more"));
    }
    monitor.stage(Stage::Object(format!("tarball {file_name}")));
    let file = conf::open_regular(path).map_err(|error| io_error(error, what()))?;
    let bytes = file.metadata().what_io(what)?.len();
    let (user_identity, copied) = look_into(&file).within(what)?;
    let time = TarballName::parse(file_name)
        .map_or(copied, |name| name.time(&jiff::tz::TimeZone::system()));
    let mut tags = request.tags.clone();
    tags.extend(tarball_tags(file_name, bytes));
    let template = Snapshot {
        name: free_name(&owner, time, &snapshots)?,
        time,
        host: server.world.host(),
        user: user.clone(),
        user_identity,
        source: IMPORTED.to_owned(),
        tags,
        ..Snapshot::default()
    };
    let mut source = HestiaTarball::open(file, &user)?;
    let stored =
        store(repository, &mut source, &options(server, template), &gather).within(what)?;
    // The next tarball may be of the same user, and builds on this one.
    repository.reload(monitor)?;
    let mut outcome = UserOutcome::without(user, State::Succeeded);
    outcome.warnings = gather.warnings();
    if !outcome.warnings.is_empty() {
        outcome.state = State::Partial;
    }
    outcome.snapshot = Some(stored);
    outcome.tarball = Some(file_name.to_owned());
    outcome.tarball_bytes = bytes;
    let spent = server.world.ticks().saturating_sub(started);
    outcome.milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
    Ok(outcome)
}

/// When the user in a tarball was made, as an old one may be of somebody who had the name before;
/// and when its `user.conf` was copied into it, which is when Hestia made it.
fn look_into(file: &File) -> Result<(String, Timestamp)> {
    let what = || "look into the tarball";
    let mut file = file.try_clone().what_io(what)?;
    let mut members = Members::new(BufReader::new(&mut file), "the Hestia tarball".to_owned());
    let (mut identity, mut time) = (String::new(), Timestamp::default());
    while let Some(member) = members.next()? {
        let is_conf = matches!(member.name.as_slice(), b"./hestia/user.conf" | b"hestia/user.conf");
        if is_conf && members.remaining() <= limits::HESTIA_FILE_BYTES_MAX {
            let mut text = vec![0; length(members.remaining())];
            let mut filled = 0;
            while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match members.read(rest).what_io(what)? {
                    0 => break,
                    count => filled += count,
                }
            }
            identity = inventory::identity(&conf::parse_keys(&text).0);
            time = member.meta.mtime;
            break;
        }
        members.pass_over(|reader, bytes| {
            reader.seek_relative(i64::try_from(bytes).unwrap_or(i64::MAX))
        })?;
    }
    drop(members);
    file.rewind().what_io(what)?;
    Ok((identity, time))
}
