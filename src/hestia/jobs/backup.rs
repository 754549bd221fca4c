// SPDX-License-Identifier: MIT
//! Backs users up: Hestia makes a tarball, the tarball is proven to be new and complete, opened
//! and stored, and only then may older ones go. One user's failure never stops the others.

use super::cleanup::{self, Cleanup};
use super::report::{Gather, RunReport, State, UserOutcome};
use super::{News, Server, free_name, tarball_tags};
use crate::base::monitor::Stage;
use crate::base::{Error, FileId, Kind, Monitor, RelPath, Result, WhatIo, Within, limits};
use crate::format::Snapshot;
use crate::format::snapshot::Object;
use crate::hestia::call::{Call, Caller};
use crate::hestia::conf::{self, Row};
use crate::hestia::inventory::{self, User};
use crate::hestia::layout::UserName;
use crate::hestia::settings::Suspended;
use crate::hestia::tarball_in::HestiaTarball;
use crate::hestia::tarballs::{self, Tarball};
use crate::ops::{self, BackupOptions};
use crate::repo::{IndexedRepository, WriterOptions};
use crate::tree::{Entry, Source};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;

/// Which users to back up, and what to do beside.
#[derive(Debug, Clone, Default)]
pub struct BackupRequest {
    /// Users by name.
    pub users: Vec<String>,
    /// Globs of further users; without these and without names, all users.
    pub include: Vec<String>,
    /// Globs of users to leave out.
    pub exclude: Vec<String>,
    /// Thin out the tarballs of each user whose backup is complete.
    pub cleanup: bool,
    /// How many tarballs a cleanup leaves; the settings say, if this does not.
    pub keep_tarballs: Option<usize>,
    /// Notify each user in the panel.
    pub notify: bool,
    /// Free labels for the snapshots.
    pub tags: Vec<String>,
}

/// Backs up every user that the request means.
pub fn backup_users(
    server: &Server,
    repository: &mut IndexedRepository,
    request: &BackupRequest,
    monitor: &dyn Monitor,
) -> Result<RunReport> {
    let chosen =
        inventory::choose(&server.hestia, &request.users, &request.include, &request.exclude)?;
    let mut report = RunReport::default();
    for (name, error) in chosen.unknown {
        report.users.push(UserOutcome::without(name, State::Failed(error)));
    }
    if chosen.users.is_empty() && report.users.is_empty() {
        return Err(Error::new(Kind::NotFound, "find users to back up")
            .why("no user of this Hestia is meant by the names and patterns given"));
    }
    if !chosen.users.is_empty() {
        tarballs::check_kept_here(&server.hestia)?;
    }
    let mut snapshots = repository.readable_snapshots(monitor)?;
    let total = chosen.users.len();
    for (at, user) in chosen.users.iter().enumerate() {
        monitor.stage(Stage::Object(format!("user {} of {total}: {user}", at + 1)));
        let outcome = if monitor.cancelled() {
            report.cancelled = true;
            let stopped = Error::new(Kind::Cancelled, format!("back up the user {user}"));
            UserOutcome::without(user.as_str(), State::Skipped(stopped.why("stopped on request")))
        } else {
            let named = request.users.iter().any(|name| name == user.as_str());
            one_user(server, repository, &mut snapshots, user, named, request, monitor)
        };
        report.cancelled |=
            matches!(&outcome.state, State::Failed(error) if error.kind() == Kind::Cancelled);
        report.users.push(outcome);
    }
    Ok(report)
}

/// Backs one user up and tells Hestia how it went.
fn one_user(
    server: &Server,
    repository: &mut IndexedRepository,
    snapshots: &mut Vec<(FileId, Snapshot)>,
    user: &UserName,
    named: bool,
    request: &BackupRequest,
    monitor: &dyn Monitor,
) -> UserOutcome {
    let started = server.world.ticks();
    let gather = Gather::new(monitor);
    let mut outcome = match skip_reason(server, user, named) {
        Ok(Some(error)) => UserOutcome::without(user.as_str(), State::Skipped(error)),
        Ok(None) => match tried(server, repository, snapshots, user, request, &gather) {
            Ok(outcome) => outcome,
            Err(error) => UserOutcome::without(user.as_str(), State::Failed(error)),
        },
        Err(error) => UserOutcome::without(user.as_str(), State::Failed(error)),
    };
    outcome.warnings = gather.warnings();
    if matches!(outcome.state, State::Succeeded) && !outcome.warnings.is_empty() {
        outcome.state = State::Partial;
    }
    let spent = server.world.ticks().saturating_sub(started);
    outcome.milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
    if !matches!(outcome.state, State::Skipped(_)) {
        server.tell(user, &news_of(&outcome, request.notify), monitor);
    }
    outcome
}

fn news_of(outcome: &UserOutcome, asked_for: bool) -> News<'static> {
    let name = outcome.snapshot.as_ref().map(|(_, one)| one.name.as_str()).unwrap_or_default();
    let reasons = outcome.reasons().join("; ");
    let (topic, text) = match outcome.state {
        State::Succeeded => ("Backup made", format!("Ghostsnap made the backup {name}.")),
        State::Partial => {
            ("Backup incomplete", format!("Ghostsnap made the backup {name}, but: {reasons}"))
        }
        _ => ("Backup failed", format!("Ghostsnap made no backup: {reasons}")),
    };
    News { topic, text, is_problem: !matches!(outcome.state, State::Succeeded), asked_for }
}

/// Why a user is left out of a run, if so. Naming a user overrides our own setting, not Hestia's.
fn skip_reason(server: &Server, name: &UserName, named: bool) -> Result<Option<Error>> {
    let user = inventory::user(&server.hestia, name)?;
    let skip = |kind, why: &str| {
        Ok(Some(Error::new(kind, format!("back up the user {name}")).why(why.to_owned())))
    };
    if user.is_suspended() {
        let policy = inventory::system_setting(&server.hestia, "POLICY_BACKUP_SUSPENDED_USERS")?;
        if policy != "yes" {
            return skip(
                Kind::Suspended,
                "the user is suspended, and Hestia's POLICY_BACKUP_SUSPENDED_USERS is not 'yes'",
            );
        }
        if server.settings.suspended_users == Suspended::Skip && !named {
            return skip(
                Kind::Suspended,
                "the user is suspended, and the settings leave such users out",
            );
        }
    }
    if user.tarballs_kept() == 0 {
        return skip(Kind::Disabled, "the user's package allows no backups (BACKUPS is 0)");
    }
    Ok(None)
}

fn tried(
    server: &Server,
    repository: &mut IndexedRepository,
    snapshots: &mut Vec<(FileId, Snapshot)>,
    name: &UserName,
    request: &BackupRequest,
    monitor: &dyn Monitor,
) -> Result<UserOutcome> {
    let _lock = server.lock(name, "a backup")?;
    let user = inventory::user(&server.hestia, name)?;
    let time = server.world.now();
    let (tarball, row) = make_tarball(server, &user, monitor)?;
    let file_name = tarball.name.file_name();
    let file = open(server, &tarball)?;
    let mut tags = request.tags.clone();
    tags.extend(tarball_tags(&file_name, tarball.bytes));
    let template = Snapshot {
        name: free_name(name, time, snapshots)?,
        time,
        host: server.world.host(),
        user: name.to_string(),
        user_identity: user.identity.clone(),
        source: "tarball".to_owned(),
        tags,
        ..Snapshot::default()
    };
    let source = HestiaTarball::open(file, name.as_str())?;
    let mut source = Expecting::new(source, &row);
    let stored = store(server, repository, &mut source, template, monitor)
        .within(|| format!("store the tarball {file_name}"))?;
    snapshots.push(stored.clone());
    let mut outcome = UserOutcome::without(name.as_str(), State::Succeeded);
    outcome.tarball = Some(file_name);
    outcome.tarball_bytes = tarball.bytes;
    outcome.snapshot = Some(stored);
    check_same_user(server, &user, monitor);
    if request.cleanup {
        let keep = request.keep_tarballs.unwrap_or(server.settings.keep_tarballs);
        // What is in the repository now, not what was when the run began: a forget may have been
        // at work meanwhile.
        let proven = repository.readable_snapshots(monitor)?;
        match cleanup::cleanup(server, name, keep, &proven, monitor) {
            Ok(Cleanup { removed, kept }) => {
                outcome.removed = removed;
                let note = |(name, why): &(String, String)| format!("kept {name}: {why}");
                outcome.notes.extend(kept.iter().map(note));
            }
            Err(error) => monitor.warn(error.within("thin out the tarballs")),
        }
    }
    Ok(outcome)
}

/// Has Hestia make a tarball and proves that it did.
fn make_tarball(server: &Server, user: &User, monitor: &dyn Monitor) -> Result<(Tarball, Row)> {
    let (hestia, name) = (&server.hestia, &user.name);
    refuse_option_like_names(server, name)?;
    monitor.stage(Stage::Step { name: "Hestia makes a tarball", total: None });
    let before = tarballs::of_user(hestia, name)?;
    let mut call = Call::hestia(hestia, "v-backup-user", [name.as_str()]);
    call.low_priority = server.settings.low_priority;
    call.limit = server.settings.backup_limit;
    let caller: &dyn Caller = server.caller.as_ref();
    let what = || format!("back up the user {name}");
    let leftovers = temporary_folders(server);
    let outcome = caller.call(&call, monitor).within(what).map_err(|error| {
        let left: Vec<_> = temporary_folders(server).difference(&leftovers).cloned().collect();
        if left.is_empty() {
            error
        } else {
            error.hint(format!("it left behind {}", left.join(", ")))
        }
    })?;
    outcome.check(what(), &call)?;
    let after = tarballs::of_user(hestia, name)?;
    let (tarball, row) = tarballs::made(hestia, name, &before, &after)?;
    Ok((tarball.clone(), row))
}

/// Hestia's script hands the names in a mail domain's folder to tar as they are, as root: one that
/// begins with a dash would be an option, and options of tar run programs.
fn refuse_option_like_names(server: &Server, user: &UserName) -> Result<()> {
    let home = server.hestia.user_home(user);
    let mut folders = vec![home.clone(), home.join("web"), home.join("mail"), home.join("dns")];
    folders.extend(list(&home.join("mail"))?);
    for path in folders {
        for entry in list(&path)? {
            let is_option =
                entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"-"));
            if is_option {
                return Err(Error::new(Kind::Forbidden, format!("back up the user {user}"))
                    .why(format!(
                        "{} would be taken for an option by Hestia's backup, which runs as root",
                        entry.display().to_string().escape_debug()
                    ))
                    .hint("rename or remove it, and ask who put it there"));
            }
        }
    }
    Ok(())
}

/// The entries of a folder; none if it is not there.
fn list(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let what = || format!("read {}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.what_io(what)?,
    };
    let paths = entries.take(limits::LISTED_ENTRIES_MAX).map(|entry| entry.map(|one| one.path()));
    paths.collect::<std::io::Result<Vec<_>>>().what_io(what)
}

/// The folders in which Hestia puts tarballs together; a stopped run leaves its own behind.
fn temporary_folders(server: &Server) -> BTreeSet<String> {
    // Only for a hint: a folder that cannot be listed gives none.
    let entries = std::fs::read_dir(&server.hestia.backup).into_iter().flatten();
    let paths =
        entries.take(limits::LISTED_ENTRIES_MAX).filter_map(|entry| Some(entry.ok()?.path()));
    let is_one = |path: &std::path::PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("tmp."))
    };
    paths.filter(is_one).map(|path| path.display().to_string()).collect()
}

/// Opens a tarball, and makes sure that it is the one that was looked at.
fn open(server: &Server, tarball: &Tarball) -> Result<File> {
    let path = server.hestia.in_backup(&tarball.name.file_name());
    let what = || format!("open {}", path.display());
    let file =
        conf::open_regular(&path).map_err(|error| crate::base::error::io_error(error, what()))?;
    if tarball.is(&file)? {
        return Ok(file);
    }
    Err(Error::new(Kind::NotFound, what()).why("it was replaced in the meantime"))
}

/// Stores a source as a snapshot and makes its chunks known to what comes next.
pub(super) fn store(
    server: &Server,
    repository: &mut IndexedRepository,
    source: &mut dyn Source,
    template: Snapshot,
    monitor: &dyn Monitor,
) -> Result<(FileId, Snapshot)> {
    monitor.stage(Stage::Step { name: "storing", total: None });
    let writer =
        WriterOptions { level: server.settings.compression_level, ..WriterOptions::default() };
    let options = BackupOptions { writer, ..BackupOptions::new(template) };
    let report = ops::backup(repository, source, &options, monitor);
    repository.reload(monitor)?;
    let report = report?;
    let id = report.id.ok_or_else(|| Error::new(Kind::Internal, "find the new snapshot"))?;
    // What others are told is there must be there: read it once more, as a restore would.
    let read = repository.snapshot(&id)?;
    if read != report.snapshot {
        return Err(Error::new(Kind::Damaged, "read the new snapshot back"));
    }
    Ok((id, read))
}

/// A user can be removed, or removed and made anew, while the work goes on.
fn check_same_user(server: &Server, user: &User, monitor: &dyn Monitor) {
    let now = inventory::user(&server.hestia, &user.name).map(|now| now.identity);
    if now.is_ok_and(|identity| identity == user.identity) {
        return;
    }
    monitor.warn(
        Error::new(Kind::NotFound, format!("find the user {} after the backup", user.name))
            .why("the user was removed or made anew meanwhile; the backup is of the one before"),
    );
}

/// A source that is held to the list Hestia made of it: what is listed and does not come is a
/// warning, before the snapshot is written, so that the snapshot itself says it is partial.
pub(super) struct Expecting<S> {
    inner: S,
    expected: Vec<Object>,
    seen: BTreeSet<Object>,
}

/// Sections of a row of backup.conf and the folders of the tree. CRON is never filled on Debian.
const LISTED: [(&str, &[u8]); 5] =
    [("WEB", b"web"), ("DNS", b"dns"), ("MAIL", b"mail"), ("DB", b"db"), ("UDIR", b"user_dir")];

impl<S: Source> Expecting<S> {
    pub(super) fn new(inner: S, row: &Row) -> Self {
        let object =
            |section: &str, name: &str| Object { section: section.into(), name: name.into() };
        let of = |(section, _): (&'static str, &[u8])| {
            row.list(section).map(move |name| object(section, name)).collect::<Vec<_>>()
        };
        Self { inner, expected: LISTED.into_iter().flat_map(of).collect(), seen: BTreeSet::new() }
    }
}

fn object_at(path: &RelPath) -> Option<Object> {
    let mut names = path.names();
    let (top, name, rest) = (names.next()?, names.next()?, names.next());
    let (section, _) = LISTED.iter().find(|(_, folder)| *folder == top && rest.is_none())?;
    let name = crate::base::path::display_bytes(name);
    Some(Object { section: (*section).to_owned(), name })
}

fn complain(expected: &[Object], seen: &BTreeSet<Object>, monitor: &dyn Monitor) {
    // Hestia's list is cut at spaces and commas; a home with such names cannot be compared.
    let odd = seen.iter().any(|one| one.section == "UDIR" && one.name.contains([' ', ',', '\\']));
    for one in expected.iter().filter(|one| !seen.contains(one)) {
        if one.section != "UDIR" || !odd {
            monitor.warn(
                Error::new(
                    Kind::Parsing,
                    format!("find {} {} in the tarball", one.section, one.name),
                )
                .why("Hestia lists it as backed up, but it is not in there"),
            );
        }
    }
}

impl<S: Source> Source for Expecting<S> {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        let entry = self.inner.next_entry(monitor)?;
        match &entry {
            Some(entry) => self.seen.extend(object_at(&entry.path)),
            None => complain(&self.expected, &self.seen, monitor),
        }
        Ok(entry)
    }

    fn names_earlier_entries(&self) -> Option<fn(&RelPath) -> bool> {
        self.inner.names_earlier_entries()
    }

    fn objects(&self) -> Vec<Object> {
        self.inner.objects()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::monitor::Collect;
    use crate::format::tree::{Meta, NodeKind};
    use crate::tree::Content;

    struct Paths(Vec<&'static str>);

    impl Source for Paths {
        fn next_entry(&mut self, _: &dyn Monitor) -> Result<Option<Entry<'_>>> {
            Ok(self.0.pop().map(|path| Entry {
                path: RelPath::parse(path.as_bytes()).unwrap(),
                meta: Meta { kind: NodeKind::Folder, ..Meta::default() },
                content: Content::Nothing,
            }))
        }
    }

    fn warnings(row: &str, paths: &[&'static str]) -> Vec<String> {
        let row = Row::parse(row.as_bytes()).unwrap();
        let mut source = Expecting::new(Paths(paths.to_vec()), &row);
        let monitor = Collect::default();
        while source.next_entry(&monitor).unwrap().is_some() {}
        monitor.warnings()
    }

    #[test]
    fn what_hestia_lists_and_the_tarball_lacks_is_a_warning() {
        let row = "WEB='a.example,b.example' DNS='' DB='alice_wp' CRON='' UDIR='docs'";
        assert_eq!(
            warnings(row, &["web/a.example", "web/b.example", "db/alice_wp", "user_dir/docs"]),
            [""; 0]
        );
        let found = warnings(row, &["web/a.example", "web/b.example/data", "mail/b.example"]);
        assert_eq!(found.len(), 3);
        assert!(found[0].starts_with("cannot find WEB b.example in the tarball"));
    }

    #[test]
    fn folders_whose_names_hestia_cuts_up_are_not_missed() {
        assert_eq!(
            warnings("UDIR='My,Files,docs'", &["user_dir/My Files", "user_dir/docs"]),
            [""; 0]
        );
        assert_eq!(warnings("UDIR='My,docs'", &["user_dir/docs"]).len(), 1);
    }
}
