// SPDX-License-Identifier: MIT
//! Makes a native tarball of a snapshot, whole or selected: a file that an unchanged Hestia, with
//! or without Ghostsnap, takes back with `v-restore-user`.

use super::filter::{Facts, Filter, SharedFacts};
use super::rename::Renamer;
use super::shelf::{Nowhere, SharedShelf, Shelf, Sorter};
use super::{Server, manage};
use crate::base::monitor::Stage;
use crate::base::{Error, FileId, Kind, Monitor, RelPath, Result, WhatIo, Within, limits, units};
use crate::format::Snapshot;
use crate::hestia::inventory;
use crate::hestia::layout::{Hestia, UserName};
use crate::hestia::select::Sections;
use crate::hestia::tarball_out::{HestiaTarballSink, Mode, Options};
use crate::hestia::tarballs;
use crate::ops::restore::to_sink;
use crate::repo::IndexedRepository;
use crate::tree::Sink;
use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What to export, and where to.
#[derive(Debug, Clone, Default)]
pub struct ExportRequest {
    /// Which snapshot: id, prefix, name or `latest`.
    pub snapshot: String,
    /// What of it.
    pub sections: Sections,
    /// The file to write; without one, `USER.gs-<id>.tar` in the folder of Hestia's backups, where
    /// the user's panel can download it.
    pub output: Option<PathBuf>,
    /// Overwrite the file if it exists.
    pub force: bool,
}

/// What an export made.
#[derive(Debug)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What is in it.
    pub facts: Facts,
    /// The snapshot it was made of.
    pub snapshot: (FileId, Snapshot),
}

/// Makes a tarball of a user's snapshot. The user may be gone.
pub fn export(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &ExportRequest,
    monitor: &dyn Monitor,
) -> Result<Exported> {
    let _lock = server.lock(user, "an export")?;
    let (id, snapshot) = manage::find(repository, user, &request.snapshot, monitor)?;
    request.sections.check_against(&snapshot.objects)?;
    // The panel serves it to whoever bears the name today.
    if request.output.is_none() && !request.force {
        manage::check_same_person(server, user, &snapshot)?;
    }
    let standard = server.hestia.in_backup(&format!("{user}.gs-{}.tar", id.short()));
    let path = request.output.clone().unwrap_or(standard);
    if request.output.is_some() && !request.force && path.symlink_metadata().is_ok() {
        return Err(Error::new(Kind::Exists, format!("export to {}", path.display()))
            .why("it exists")
            .hint("--force overwrites it"));
    }
    let order = Order {
        sections: &request.sections,
        access: Access::Panel(user),
        admin: false,
        trusted: true,
        renamed: None,
        shelf: None,
    };
    let (facts, bytes) = write(server, repository, &snapshot, &path, &order, monitor)?;
    if request.output.is_none() {
        remove_older_exports(server, user, &path)?;
    }
    Ok(Exported { path, bytes, facts, snapshot: (id, snapshot) })
}

/// One export per user lies in Hestia's folder: customers make them, and the folder is everybody's.
fn remove_older_exports(server: &Server, user: &UserName, newest: &Path) -> Result<()> {
    let folder = &server.hestia.backup;
    let what = || format!("remove older exports of {user}");
    for entry in std::fs::read_dir(folder).what_io(what)?.take(limits::LISTED_ENTRIES_MAX) {
        let path = entry.what_io(what)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_export = tarballs::export_of(name).is_some_and(|(owner, _)| owner == *user);
        if is_export && path != newest {
            std::fs::remove_file(&path).what_io(what)?;
        }
    }
    Ok(())
}

/// Refuses to fill the disk: everybody's backups pass through it. A whole user rarely shrinks to
/// less than half.
fn check_room(snapshot: &Snapshot, path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let what = || format!("write {}", path.display());
    let disk = nix::sys::statvfs::statvfs(folder).what_io(what)?;
    let free = disk.blocks_available() * disk.fragment_size();
    let needed = snapshot.totals.bytes / 2;
    if free > needed {
        return Ok(());
    }
    Err(Error::new(Kind::Disk, what())
        .why(format!(
            "{} are free, and the tarball needs about {}",
            units::ByteSize(free),
            units::ByteSize(needed)
        ))
        .hint("free some space there, or choose less of the snapshot"))
}

/// How a tarball is written.
pub(super) struct Order<'o> {
    /// What of the snapshot.
    pub sections: &'o Sections,
    /// Who may read it.
    pub access: Access<'o>,
    /// Whether a role of administrator stays in it.
    pub admin: bool,
    /// Whether additions to the configuration of servers stay in it.
    pub trusted: bool,
    /// The user it was backed up from and the one it is for, if those are two.
    pub renamed: Option<(&'o UserName, &'o UserName)>,
    /// Keeps the configuration of web domains here, and leaves all content out.
    pub shelf: Option<&'o SharedShelf>,
}

/// Who may read a tarball.
pub(super) enum Access<'o> {
    /// Root alone.
    Root,
    /// Also the panel, for the user to download it.
    Panel(&'o UserName),
}

/// Writes a tarball under a temporary name and gives it its own when it is complete.
pub(super) fn write(
    server: &Server,
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    path: &Path,
    order: &Order<'_>,
    monitor: &dyn Monitor,
) -> Result<(Facts, u64)> {
    let what = || format!("write {}", path.display());
    monitor.stage(Stage::Step { name: "writing a tarball", total: None });
    if *order.sections == Sections::all() && order.shelf.is_none() {
        check_room(snapshot, path)?;
    }
    let draft = Draft::new(path)?;
    let file = draft.file.try_clone().what_io(what)?;
    let options = options(&server.hestia, order.admin)?;
    let mode = options.mode;
    let facts = SharedFacts::default();
    let mut sink: Box<dyn Sink> = Box::new(HestiaTarballSink::new(file, options).within(what)?);
    let mut selection = order.sections.selection()?;
    if let Some(shelf) = order.shelf {
        sink = Box::new(Sorter::new(sink, shelf));
        selection = order.sections.configuration()?;
    }
    if let Some((from, to)) = order.renamed {
        sink = Box::new(Renamer::new(sink, &server.hestia, from, to));
    }
    let mut filter = Filter::new(sink, order.sections.clone(), &facts);
    if !order.trusted {
        filter = filter.without_additions();
    }
    if matches!(order.access, Access::Root) && order.shelf.is_none() {
        // An export is whole whatever Hestia makes of it: it may be the last copy.
        filter = filter.in_mode(mode);
    }
    to_sink(repository, snapshot, &RelPath::root(), &selection, Box::new(filter), monitor)
        .within(what)?;
    if let Access::Panel(user) = order.access {
        open_to_panel(&draft.file, user, monitor);
    }
    let bytes = draft.publish(path).within(what)?;
    let facts = facts.get();
    for warning in &facts.warnings {
        monitor.warn(Error::new(Kind::Parsing, "write everything as it is").why(warning.clone()));
    }
    if !facts.additions.is_empty() {
        let what = "take over additions to the configuration of web servers";
        monitor.warn(
            Error::new(Kind::Forbidden, what)
                .why(format!(
                    "the snapshot was made from a tarball, and servers read them as root: {}",
                    facts.additions.join(", ")
                ))
                .hint("--trust-config takes them over, if you know who wrote them"),
        );
    }
    Ok((facts, bytes))
}

/// Looks at what a restore would hand to Hestia, without writing anything. The tables of dumps are
/// not counted: the dumps are not read.
pub(super) fn look(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    order: &Order<'_>,
    monitor: &dyn Monitor,
) -> Result<(Facts, Shelf)> {
    let (facts, shelf) = (SharedFacts::default(), SharedShelf::default());
    let sorter = Box::new(Sorter::new(Box::new(Nowhere), &shelf));
    let mut filter = Filter::new(sorter, order.sections.clone(), &facts);
    if !order.trusted {
        filter = filter.without_additions();
    }
    let selection = order.sections.configuration()?;
    to_sink(repository, snapshot, &RelPath::root(), &selection, Box::new(filter), monitor)
        .within(|| format!("look into {}", snapshot.name))?;
    Ok((facts.get(), shelf.take()))
}

/// The mode that this Hestia writes itself.
fn options(hestia: &Hestia, admin: bool) -> Result<Options> {
    let mode = match inventory::system_setting(hestia, "BACKUP_MODE")?.as_str() {
        "gzip" => Mode::Gzip,
        _ => Mode::Zstd,
    };
    // A tarball that is read once is not worth a long compression.
    Ok(Options { mode, level: 1, role_admin_allowed: admin })
}

/// As Hestia does with its own: mode 640, owner `hestiaweb`, group of the user.
pub(super) fn open_to_panel(file: &File, user: &UserName, monitor: &dyn Monitor) {
    let panel = nix::unistd::User::from_name("hestiaweb").ok().flatten();
    let group = nix::unistd::Group::from_name(user.as_str()).ok().flatten();
    let done = nix::unistd::fchown(file, panel.map(|one| one.uid), group.map(|one| one.gid))
        .map_err(std::io::Error::from)
        .and_then(|()| file.set_permissions(Permissions::from_mode(0o640)));
    if let Err(error) = done {
        let what = "let the panel read the file";
        monitor.warn(crate::base::error::io_error(error, what));
    }
}

/// A file that is not complete yet; it is gone if it never gets there.
pub(super) struct Draft {
    pub(super) file: File,
    path: PathBuf,
    published: bool,
}

impl Draft {
    pub(super) fn new(target: &Path) -> Result<Self> {
        // Hidden, and starting with no user's name: Hestia's rotation must not count it.
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let what = || format!("make {}", path.display());
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(crate::base::error::io_error(error, what()));
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path).what_io(what)?;
        Ok(Self { file, path, published: false })
    }

    pub(super) fn publish(mut self, target: &Path) -> Result<u64> {
        let what = || format!("complete {}", target.display());
        self.file.sync_all().what_io(what)?;
        let bytes = self.file.metadata().what_io(what)?.len();
        std::fs::rename(&self.path, target).what_io(what)?;
        self.published = true;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).what_io(what)?;
        folder.sync_all().what_io(what)?;
        Ok(bytes)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // A leftover is hidden and named after us; the error that led here is what matters.
            drop(std::fs::remove_file(&self.path));
        }
    }
}
