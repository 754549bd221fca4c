// SPDX-License-Identifier: MIT
//! The tarball way of a backup: Hestia makes a tarball, and the tarball is proven to be new and
//! complete and opened. Tells what Hestia says is in it and does not come.

use super::leftovers::Before;
use super::{Server, tarball_tags};
use crate::base::monitor::Stage;
use crate::base::{Error, Kind, Monitor, RelPath, Result, WhatIo, Within, limits};
use crate::format::snapshot::Object;
use crate::hestia::call::{Call, Caller};
use crate::hestia::conf::{self, Row};
use crate::hestia::inventory::User;
use crate::hestia::layout::UserName;
use crate::hestia::tarball_in::HestiaTarball;
use crate::hestia::tarballs::{self, Tarball};
use crate::tree::{Entry, Source};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;

/// A tarball that Hestia made just now.
pub(super) struct Made {
    /// Its content.
    pub source: Expecting<HestiaTarball>,
    /// Its name.
    pub file_name: String,
    /// Its size.
    pub bytes: u64,
    /// What proves later that its content is stored.
    pub tags: [String; 2],
}

/// Has Hestia make a tarball of the user and opens it.
pub(super) fn make(server: &Server, user: &User, monitor: &dyn Monitor) -> Result<Made> {
    let (tarball, row) = make_tarball(server, user, monitor)?;
    let file_name = tarball.name.file_name();
    let file = open(server, &tarball)?;
    let source = Expecting::new(HestiaTarball::open(file, user.name.as_str())?, &row);
    let tags = tarball_tags(&file_name, tarball.bytes);
    Ok(Made { source, file_name, bytes: tarball.bytes, tags })
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
    let before_call = Before::look(server, name);
    let outcome = caller.call(&call, monitor).within(what);
    let outcome = outcome.map_err(|error| before_call.clean_up(server, name, error))?;
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
    let more = limits::LISTED_ENTRIES_MAX + 1;
    let paths = entries.take(more).map(|entry| entry.map(|one| one.path()));
    let paths = paths.collect::<std::io::Result<Vec<_>>>().what_io(what)?;
    if paths.len() == more {
        return Err(Error::new(Kind::Limit, what()).why("it has too many entries to look at all"));
    }
    Ok(paths)
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
