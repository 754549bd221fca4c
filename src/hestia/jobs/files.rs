// SPDX-License-Identifier: MIT
//! Single files and folders of a user: looking at them in a snapshot, putting them back in place,
//! and comparing a snapshot with what the user has now.

use super::rollback::Rollback;
use super::safety::{self, Intent, Safety};
use super::{News, Server, manage};
use crate::base::monitor::{Stage, check_cancelled};
use crate::base::{Error, FileId, Kind, Monitor, RelPath, Result};
use crate::format::{Node, NodeKind, Snapshot};
use crate::hestia::asuser::{self, Options};
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::hestia::paths::{self, Meaning};
use crate::ops::list::{self, Change};
use crate::ops::restore::{Done, Report, find_node};
use crate::repo::{IndexedRepository, Reader};
use crate::tree::Selection;

/// Files that a search in a snapshot names: more than a person reads, less than a page can hold.
const FOUND_FILES_MAX: usize = 5_000;

/// What to put back, and where.
#[derive(Debug, Clone, Default)]
pub struct FileRequest {
    /// Which snapshot: id, prefix, name or `latest`.
    pub snapshot: String,
    /// The file or folder, as the customer knows it.
    pub path: Vec<u8>,
    /// Where it goes instead, as the customer would say it. An existing folder, or a path that
    /// ends with a slash, takes a file in.
    pub target: Option<Vec<u8>>,
    /// What happens to what is there.
    pub options: Options,
    /// Take the snapshot of an earlier user of this name.
    pub force: bool,
    /// Do not save before what will be overwritten.
    pub no_safety: bool,
}

/// What a restore of files did.
#[derive(Debug)]
pub struct Restored {
    /// The snapshot.
    pub snapshot: (FileId, Snapshot),
    /// What takes it back.
    pub safety: Option<Safety>,
    /// The changes.
    pub report: Report,
}

/// Puts a file or folder back in place, as the user.
pub fn restore_file(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &FileRequest,
    monitor: &dyn Monitor,
) -> Result<Restored> {
    let path = paths::below_home(&server.hestia, user, &request.path)?;
    let what = || format!("restore {path}");
    let _lock = server.lock(user, "a restore")?;
    let (id, snapshot) = manage::find(repository, user, &request.snapshot, monitor)?;
    check_user(server, user, &snapshot, request.force)?;
    let Meaning::At(base) = paths::meaning(&snapshot, &path)? else {
        return Err(Error::new(Kind::Usage, what())
            .why("it holds all domains, and they are restored one by one")
            .hint("v-ghostsnap-restore-user restores a whole user"));
    };
    let node = find_for(&Reader::new(repository), &snapshot, &base, &path)?;
    let target = target_of(server, user, request.target.as_deref(), &path, &node)?;
    monitor.stage(Stage::Object(format!("{path} of {user} from {}", snapshot.name)));
    let from = (repository, &snapshot, &base);
    let intent = Intent {
        command: "restore-file",
        restored: (id, &snapshot),
        objects: Vec::new(),
        table: None,
        table_created: false,
        place: Some((base.clone(), target.clone())),
        exact: request.options.exact,
    };
    let no_safety = request.no_safety || request.options.dry_run;
    let safety = safety::of_one(server, repository, user, &intent, no_safety, monitor)?;
    let rollback =
        Rollback { server, repository, user, restored: &snapshot, safety: safety.as_ref() };
    let done = asuser::restore(server, from, user, &target, &request.options, monitor)
        .map_err(|error| rollback.place(error, monitor));
    if !request.options.dry_run {
        server.tell(user, &news(&path, &snapshot, &done), monitor);
    }
    let report = done?;
    let nothing_to_undo = safety.as_ref().filter(|_| report.failed_whole());
    safety::forget(nothing_to_undo, repository, monitor);
    let safety = safety.filter(|_| !report.failed_whole());
    Ok(Restored { report, safety, snapshot: (id, snapshot) })
}

fn news(path: &RelPath, snapshot: &Snapshot, done: &Result<Report>) -> News<'static> {
    let name = &snapshot.name;
    let (topic, text) = match done {
        Ok(report) if report.warnings == 0 => {
            ("Restore done", format!("Ghostsnap restored {path} from {name}."))
        }
        Ok(report) => {
            let number = report.warnings;
            let text = format!("Ghostsnap restored {path} from {name}, but for {number} problems.");
            ("Restore incomplete", text)
        }
        Err(error) => {
            let why = error.one_line();
            ("Restore failed", format!("Ghostsnap did not restore all of {path}: {why}"))
        }
    };
    News { topic, text, is_problem: topic != "Restore done", asked_for: false }
}

/// The user must be there, the same person, and not suspended.
pub(super) fn check_user(
    server: &Server,
    user: &UserName,
    snapshot: &Snapshot,
    force: bool,
) -> Result<()> {
    if inventory::user(&server.hestia, user)?.is_suspended() {
        return Err(Error::new(Kind::Suspended, format!("restore files of {user}"))
            .why("nothing is restored for a suspended user")
            .hint(format!("v-unsuspend-user {user} lifts that")));
    }
    if force { Ok(()) } else { manage::check_same_person(server, user, snapshot) }
}

fn target_of(
    server: &Server,
    user: &UserName,
    given: Option<&[u8]>,
    path: &RelPath,
    node: &Node,
) -> Result<RelPath> {
    let Some(given) = given else { return Ok(path.clone()) };
    let target = paths::below_home(&server.hestia, user, given)?;
    if node.is_folder() {
        return Ok(target);
    }
    // A look only: whoever writes there finds out by himself what is there.
    let found = server.hestia.user_home(user).join(os_path(&target)).symlink_metadata();
    let into = given.ends_with(b"/") || target.is_root() || found.is_ok_and(|meta| meta.is_dir());
    if into { target.join(path.name().unwrap_or_default()) } else { Ok(target) }
}

fn os_path(path: &RelPath) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

/// The entry that a path below the home means, named as the customer knows it if there is none.
pub(super) fn find_for(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    base: &RelPath,
    path: &RelPath,
) -> Result<Node> {
    find_node(reader, snapshot, base).map_err(|error| match error.kind() {
        Kind::NotFound => Error::new(Kind::NotFound, format!("find {path} in the snapshot"))
            .why("the snapshot has no such file or folder of the user"),
        _ => error,
    })
}

/// One level of what a customer sees of a snapshot: the entries of a folder by their paths below
/// the home, or the one file that the path names.
pub fn list_files(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    path: &RelPath,
    visit: &mut dyn FnMut(&RelPath, &Node) -> Result<()>,
) -> Result<()> {
    let reader = Reader::new(repository);
    match paths::meaning(snapshot, path)? {
        Meaning::Home => list_home(&reader, snapshot, visit),
        Meaning::Domains(top) => list_domains(&reader, snapshot, &top, visit),
        Meaning::At(base) => {
            let node = find_for(&reader, snapshot, &base, path)?;
            if !node.is_folder() {
                return visit(path, &node);
            }
            let nodes = reader.tree(&node.chunks)?;
            nodes.iter().try_for_each(|node| visit(&path.join(&node.name)?, node))
        }
    }
}

/// Hands `visit` every file and folder of the user whose name has this text in it, whatever the
/// case, by its path below the home. No more than a person reads.
pub fn find_files(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    text: &str,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(&RelPath, &Node) -> Result<()>,
) -> Result<()> {
    let reader = Reader::new(repository);
    let (everything, wanted) = (Selection::all(), text.to_lowercase());
    let mut found = 0;
    let mut look = |path: &RelPath, node: &Node| {
        let Some(path) = paths::home_path(path)? else { return Ok(()) };
        // A domain's folder bears another name in the tree.
        let Some(name) = path.name() else { return Ok(()) };
        let name = String::from_utf8_lossy(name).to_lowercase();
        if !name.contains(&wanted) {
            return Ok(());
        }
        found += 1;
        if found <= FOUND_FILES_MAX { visit(&path, node) } else { Ok(()) }
    };
    list::walk(&reader, snapshot, &RelPath::root(), true, &everything, monitor, &mut look)?;
    if found > FOUND_FILES_MAX {
        let most = FOUND_FILES_MAX;
        monitor.warn(
            Error::new(Kind::Partial, format!("name all {found} files"))
                .why(format!("no more than {most} are listed"))
                .hint("look for more of the name"),
        );
    }
    Ok(())
}

/// The home as its owner knows it, sorted.
fn list_home(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    visit: &mut dyn FnMut(&RelPath, &Node) -> Result<()>,
) -> Result<()> {
    let mut nodes: Vec<Node> = Vec::new();
    for top in reader.tree(&snapshot.tree)? {
        match top.name.as_slice() {
            b"web" | b"mail" => nodes.push(top),
            b"user_dir" => nodes.extend(reader.tree(&top.chunks)?),
            _ => {}
        }
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes.iter().try_for_each(|node| visit(&RelPath::root().join(&node.name)?, node))
}

/// The domains that have files.
fn list_domains(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    top: &RelPath,
    visit: &mut dyn FnMut(&RelPath, &Node) -> Result<()>,
) -> Result<()> {
    let all = find_node(reader, snapshot, top)?;
    for domain in reader.tree(&all.chunks)?.iter().filter(|node| node.is_folder()) {
        let inner: &[u8] = if top.as_bytes() == b"web" { b"data" } else { b"accounts" };
        let parts = reader.tree(&domain.chunks)?;
        let Some(data) = parts.iter().find(|node| node.name == inner) else { continue };
        let path = paths::home_path(&top.join(&domain.name)?.join(inner)?)?;
        path.map_or(Ok(()), |path| visit(&path, data))?;
    }
    Ok(())
}

/// Compares two snapshots, or what of them lies below a path, by the paths below the home. What is
/// no file of the user is named by its place in the tree.
pub fn diff_snapshots(
    repository: &IndexedRepository,
    (before, after): (&Snapshot, &Snapshot),
    path: &RelPath,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(Change, &RelPath, &Node) -> Result<()>,
) -> Result<()> {
    let base = match paths::meaning(before, path)? {
        Meaning::Home => RelPath::root(),
        Meaning::Domains(base) | Meaning::At(base) => base,
    };
    let reader = Reader::new(repository);
    list::diff(&reader, (before, after), &base, monitor, &mut |change, path, node| {
        let shown = paths::home_path(path)?;
        visit(change, shown.as_ref().unwrap_or(path), node)
    })
}

/// Compares a snapshot with the files that the user has now: what was added, changed and removed
/// since. The content decides; modes and times alone do not count.
pub fn diff_live(
    server: &Server,
    (repository, snapshot): (&IndexedRepository, &Snapshot),
    user: &UserName,
    path: &RelPath,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(Change, &RelPath, NodeKind, u64) -> Result<()>,
) -> Result<()> {
    inventory::user(&server.hestia, user)?;
    let reader = Reader::new(repository);
    let mut places = Vec::new();
    match paths::meaning(snapshot, path)? {
        Meaning::At(base) => places.push((base, path.clone())),
        meaning => {
            let tops: &[&[u8]] = match &meaning {
                Meaning::Domains(top) if top.as_bytes() == b"web" => &[b"web"],
                Meaning::Domains(_) => &[b"mail"],
                _ => &[b"web", b"mail", b"user_dir"],
            };
            for top in reader.tree(&snapshot.tree)? {
                if tops.contains(&top.name.as_slice()) {
                    places_below(&reader, &top, &mut places)?;
                }
            }
        }
    }
    let options = Options { exact: true, dry_run: true, ..Options::default() };
    for (base, target) in places {
        check_cancelled(monitor)?;
        let from = (repository, snapshot, &base);
        let report = asuser::restore(server, from, user, &target, &options, monitor)?;
        for one in &report.changes {
            // What a restore would create has been removed since.
            let change = match one.done {
                Done::Created => Change::Removed,
                Done::Overwritten => Change::Modified,
                Done::Removed => Change::Added,
            };
            visit(change, &one.path, one.kind, one.bytes)?;
        }
        if report.count() > crate::base::units::bytes(report.changes.len()) {
            monitor.stage(Stage::Note(format!("{target}: not all changes are named")));
        }
    }
    Ok(())
}

/// The parts of the tree that hold files of the user, and where they lie below the home.
fn places_below(
    reader: &Reader<'_>,
    top: &Node,
    places: &mut Vec<(RelPath, RelPath)>,
) -> Result<()> {
    let root = RelPath::root().join(&top.name)?;
    for node in reader.tree(&top.chunks)? {
        let path = root.join(&node.name)?;
        let inner: &[u8] = match top.name.as_slice() {
            b"web" => b"data",
            b"mail" => b"accounts",
            _ => {
                let home = paths::home_path(&path)?;
                places.extend(home.map(|home| (path, home)));
                continue;
            }
        };
        let has_files =
            node.is_folder() && reader.tree(&node.chunks)?.iter().any(|part| part.name == inner);
        if has_files {
            let base = path.join(inner)?;
            let home = paths::home_path(&base)?;
            places.extend(home.map(|home| (base, home)));
        }
    }
    Ok(())
}
