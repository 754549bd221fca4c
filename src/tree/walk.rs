// SPDX-License-Identifier: MIT
//! Entries of a folder on disk. Every step goes beneath an already opened folder handle and never
//! follows a link, so that whoever owns the files cannot lead the walk out of its tree.

use super::live::{
    BORROWED, DiskFile, Folder, Listed, Owners, Whose, open_folder, read_entries, xattrs_of,
};
use super::select::{Selection, Verdict};
use super::source::{Content, Entry, Source};
use crate::base::error::io_error;
use crate::base::{Counter, Error, Kind, Monitor, RelPath, Result, WhatIo, limits, units};
use crate::format::NodeKind;
use crate::format::tree::Meta;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use super::live::data_extents;

/// What a walk takes.
#[derive(Debug, Clone)]
pub struct WalkOptions {
    /// Which entries are meant.
    pub selection: Selection,
    /// Stay on the file system of each root.
    pub one_file_system: bool,
    /// With `one_file_system`: what is mounted below and stays out is a warning.
    pub mounts_told: bool,
    /// Take device nodes and FIFOs (as nodes, never opened) instead of skipping them.
    pub special_files: bool,
    /// Read extended attributes.
    pub xattrs: bool,
    /// Folders to leave out wherever they lie, by device and inode.
    pub leave_out: Vec<(u64, u64)>,
    /// Whose tree it is: other names of files that this user may not read are left out, with a
    /// warning.
    pub whose: Option<Whose>,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self {
            selection: Selection::all(),
            one_file_system: false,
            mounts_told: false,
            special_files: false,
            xattrs: true,
            leave_out: Vec::new(),
            whose: None,
        }
    }
}

/// A source over one or several paths. Each keeps its full path in the tree, so that two roots can
/// never be mixed up.
pub struct Walk {
    options: Arc<WalkOptions>,
    owners: Arc<Owners>,
    roots: Vec<PathBuf>,
    /// Folders above the roots that were handed out already.
    announced: Vec<RelPath>,
    pending: Vec<RelPath>,
    stack: Vec<Frame>,
    started: bool,
    /// Why paths are left out; told when the walk begins.
    missing: Vec<Error>,
    /// Instead of roots: a folder that is open already.
    beneath: Option<Beneath>,
}

/// A walk that goes beneath an open folder.
struct Beneath {
    /// Taken when the walk begins.
    folder: Option<Folder>,
    /// Where it lies in the source's tree.
    base: RelPath,
    /// Where the selection's patterns see it.
    seen_at: RelPath,
}

/// A folder being walked.
struct Frame {
    path: RelPath,
    folder: Arc<OwnedFd>,
    entries: std::vec::IntoIter<Listed>,
    device: u64,
}

impl Walk {
    /// A walk over these paths; links in them are resolved first, and a path inside another one is
    /// dropped. One that does not exist is a warning; if none does, that is an error.
    pub fn new(paths: &[PathBuf], options: WalkOptions) -> Result<Self> {
        let mut roots = Vec::new();
        let mut missing = Vec::new();
        for path in paths {
            let what = || format!("back up {}", path.display());
            match std::fs::canonicalize(path).what_io(what) {
                Ok(root) => roots.push(root),
                Err(error) => missing.push(error),
            }
        }
        if roots.is_empty()
            && let Some(error) = missing.pop()
        {
            return Err(error);
        }
        roots.sort();
        roots.dedup_by(|later, earlier| later.starts_with(&*earlier));
        roots.reverse();
        Ok(Self {
            options: Arc::new(options),
            owners: Arc::default(),
            roots,
            announced: Vec::new(),
            pending: Vec::new(),
            stack: Vec::new(),
            started: false,
            missing,
            beneath: None,
        })
    }

    /// A walk beneath an open folder: nothing above it is looked at, and no change of names can
    /// lead it elsewhere. The folder itself comes first, as `base` in the source's tree; patterns
    /// of the selection see it as `seen_at`.
    pub fn beneath(folder: Folder, base: RelPath, seen_at: RelPath, options: WalkOptions) -> Self {
        Self {
            options: Arc::new(options),
            owners: Arc::clone(folder.owners()),
            roots: Vec::new(),
            announced: Vec::new(),
            pending: Vec::new(),
            stack: Vec::new(),
            started: false,
            missing: Vec::new(),
            beneath: Some(Beneath { folder: Some(folder), base, seen_at }),
        }
    }

    /// The folder that a walk beneath it begins with.
    fn take_open_folder(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'static>>> {
        let Some(beneath) = &mut self.beneath else { return Ok(None) };
        let Some(folder) = beneath.folder.take() else { return Ok(None) };
        let path = beneath.base.clone();
        folder.rewind()?;
        let stat = look_at(folder.handle(), &path)?;
        let meta = self.folder_meta(folder.handle(), &stat, monitor, &path);
        self.push_frame(path.clone(), Arc::clone(folder.handle()), stat.st_dev, monitor);
        Ok(Some(Entry { path, meta, content: Content::Nothing }))
    }

    /// What the selection says of an entry.
    fn verdict(&self, path: &RelPath, is_folder: bool) -> Result<Verdict> {
        let selection = &self.options.selection;
        if selection.is_all() {
            return Ok(Verdict::Take);
        }
        let Some(beneath) = &self.beneath else { return Ok(selection.verdict(path, is_folder)) };
        let below = beneath.base.strip(path).unwrap_or_default();
        Ok(selection.verdict(&beneath.seen_at.join_path(&below)?, is_folder))
    }

    /// The resolved paths, for the snapshot.
    pub fn roots(&self) -> Vec<Vec<u8>> {
        use std::os::unix::ffi::OsStrExt;
        self.roots.iter().rev().map(|path| path.as_os_str().as_bytes().to_vec()).collect()
    }

    /// Queues the folders above a root, then the root itself.
    fn queue_root(&mut self, root: &Path) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        let full = RelPath::parse(root.as_os_str().as_bytes())?;
        let mut steps = Vec::new();
        let mut at = Some(full.clone());
        while let Some(path) = at {
            at = path.parent();
            let is_root_itself = path == full;
            if is_root_itself || !self.announced.contains(&path) {
                if !is_root_itself {
                    self.announced.push(path.clone());
                }
                steps.push(path);
            }
        }
        self.pending = steps;
        Ok(())
    }

    /// An entry for a folder above a root, or for a root. Its path was free of links when the walk
    /// began; it is gone down name by name, so that a link put there since leads nowhere.
    fn take_pending(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'static>>> {
        let Some(path) = self.pending.pop() else { return Ok(None) };
        let is_root = self.pending.is_empty();
        let what = || format!("read /{path}");
        let above = open_from_the_top(&path.parent().unwrap_or_default()).what_io(what)?;
        let name = path.name().unwrap_or(b".").to_vec();
        let stat = fstatat(&above, name.as_slice(), AtFlags::AT_SYMLINK_NOFOLLOW).what_io(what)?;
        let mut meta = self.owners.meta(&stat);
        if is_root && meta.kind == NodeKind::Folder {
            let folder = open_folder(&above, &name).what_io(what)?;
            let stat = look_at(&folder, &path)?;
            meta = self.folder_meta(&folder, &stat, monitor, &path);
            self.push_frame(path.clone(), Arc::new(folder), stat.st_dev, monitor);
        } else if is_root {
            return Ok(self.entry_of(path, &Arc::new(above), &name, meta, monitor));
        } else if meta.kind != NodeKind::Folder {
            return Err(Error::new(Kind::Forbidden, what())
                .why("it was a folder a moment ago and is something else now"));
        } else if let Ok(folder) = open_folder(&above, &name) {
            meta = self.folder_meta(&folder, &look_at(&folder, &path)?, monitor, &path);
        }
        Ok(Some(Entry { path, meta, content: Content::Nothing }))
    }

    fn folder_meta(
        &self,
        folder: &OwnedFd,
        stat: &FileStat,
        monitor: &dyn Monitor,
        path: &RelPath,
    ) -> Meta {
        let mut meta = self.owners.meta(stat);
        if self.options.xattrs {
            match xattrs_of(folder) {
                Ok(xattrs) => meta.xattrs = xattrs,
                Err(error) => monitor.warn(error.within(format!("read the attributes of {path}"))),
            }
        }
        meta
    }

    fn push_frame(
        &mut self,
        path: RelPath,
        folder: Arc<OwnedFd>,
        device: u64,
        monitor: &dyn Monitor,
    ) {
        if self.stack.len() >= limits::TREE_DEPTH_MAX {
            monitor.warn(
                Error::new(Kind::Limit, format!("read the folder {path}"))
                    .why(format!("folders are nested deeper than {}", limits::TREE_DEPTH_MAX)),
            );
            return;
        }
        match read_entries(&folder) {
            Ok(entries) => {
                self.stack.push(Frame { path, folder, entries: entries.into_iter(), device });
            }
            Err(error) => monitor.warn(error.within(format!("read the folder {path}"))),
        }
    }

    /// The next entry below the folder on top of the stack; `None` if that folder is done.
    fn step(&mut self, monitor: &dyn Monitor) -> Result<Step> {
        let Some(frame) = self.stack.last_mut() else { return Ok(Step::Done) };
        let Some(Listed { name, is_folder }) = frame.entries.next() else {
            self.stack.pop();
            return Ok(Step::Again);
        };
        let path = match frame.path.join(&name) {
            Ok(path) => path,
            Err(error) => {
                monitor.warn(error);
                return Ok(Step::Again);
            }
        };
        let folder = Arc::clone(&frame.folder);
        let device = frame.device;
        if is_folder {
            // What it is is looked at when it is open.
            return self.enter(path, &folder, &name, device, monitor);
        }
        let stat = match fstatat(&folder, name.as_slice(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => {
                monitor.count(Counter::FilesVanished, 1);
                return Ok(Step::Again);
            }
            Err(errno) => {
                monitor.warn(io_error(errno.into(), format!("look at {path}")));
                return Ok(Step::Again);
            }
        };
        let meta = self.owners.meta(&stat);
        if meta.kind == NodeKind::Folder {
            return self.enter(path, &folder, &name, device, monitor);
        }
        if self.verdict(&path, false)? == Verdict::Leave {
            return Ok(Step::Again);
        }
        if self.options.whose.is_some_and(|whose| whose.has_borrowed(&stat)) {
            let what = format!("back up {path}");
            monitor.warn(Error::new(Kind::Forbidden, what).why(BORROWED));
            return Ok(Step::Again);
        }
        let entry = self.entry_of(path, &folder, &name, meta, monitor);
        Ok(entry.map_or(Step::Again, Step::of))
    }

    /// A folder below the one on top of the stack, if it is meant.
    fn enter(
        &mut self,
        path: RelPath,
        above: &OwnedFd,
        name: &[u8],
        device: u64,
        monitor: &dyn Monitor,
    ) -> Result<Step> {
        if self.verdict(&path, true)? == Verdict::Leave {
            return Ok(Step::Again);
        }
        let folder = match open_folder(above, name) {
            Ok(folder) => folder,
            Err(Errno::ENOENT) => {
                monitor.count(Counter::FilesVanished, 1);
                return Ok(Step::Again);
            }
            Err(errno) => {
                monitor.warn(io_error(errno.into(), format!("open the folder {path}")));
                return Ok(Step::Again);
            }
        };
        let stat = look_at(&folder, &path)?;
        if self.options.leave_out.contains(&(stat.st_dev, stat.st_ino)) {
            return Ok(Step::Again);
        }
        let meta = self.folder_meta(&folder, &stat, monitor, &path);
        if self.options.one_file_system && stat.st_dev != device {
            // The mount point stays as an empty folder; what is mounted there is not ours.
            if self.options.mounts_told {
                let what = format!("back up what is mounted at {path}");
                monitor.warn(Error::new(Kind::Partial, what).why("it is another file system"));
            }
            return Ok(Step::of(Entry { path, meta, content: Content::Nothing }));
        }
        self.push_frame(path.clone(), Arc::new(folder), stat.st_dev, monitor);
        Ok(Step::of(Entry { path, meta, content: Content::Nothing }))
    }

    /// The entry of something that is not a folder; `None` if it is left out.
    fn entry_of(
        &self,
        path: RelPath,
        folder: &Arc<OwnedFd>,
        name: &[u8],
        mut meta: Meta,
        monitor: &dyn Monitor,
    ) -> Option<Entry<'static>> {
        let content = match meta.kind {
            NodeKind::File => Content::File(Box::new(DiskFile {
                folder: Arc::clone(folder),
                name: name.to_vec(),
                owners: Arc::clone(&self.owners),
                xattrs: self.options.xattrs,
                whose: self.options.whose,
            })),
            NodeKind::Symlink => {
                use std::os::unix::ffi::OsStringExt;
                match readlinkat(folder, name) {
                    Ok(target) => meta.target = target.into_vec(),
                    Err(errno) => {
                        monitor.warn(io_error(errno.into(), format!("read the link {path}")));
                        return None;
                    }
                }
                meta.size = 0;
                Content::Nothing
            }
            NodeKind::Socket => return skip(&path, meta.kind, monitor),
            _ if !self.options.special_files => return skip(&path, meta.kind, monitor),
            _ => Content::Nothing,
        };
        Some(Entry { path, meta, content })
    }
}

/// Leaves out a special file, by name.
fn skip(path: &RelPath, kind: NodeKind, monitor: &dyn Monitor) -> Option<Entry<'static>> {
    monitor.count(Counter::FilesSkipped, 1);
    let note = format!("skipped {path}: it is a {}", kind.word());
    monitor.stage(crate::base::monitor::Stage::Note(note));
    None
}

enum Step {
    Entry(Box<Entry<'static>>),
    Again,
    Done,
}

impl Step {
    fn of(entry: Entry<'static>) -> Self {
        Self::Entry(Box::new(entry))
    }
}

impl Source for Walk {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        Self::next_entry(self, monitor)
    }
}

impl Walk {
    /// The next entry, which borrows nothing of the walk.
    pub fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'static>>> {
        for error in self.missing.drain(..) {
            monitor.warn(error);
        }
        if let Some(entry) = self.take_open_folder(monitor)? {
            return Ok(Some(entry));
        }
        loop {
            if !self.pending.is_empty() {
                if let Some(entry) = self.take_pending(monitor)? {
                    self.started = true;
                    return Ok(Some(entry));
                }
                continue;
            }
            match self.step(monitor)? {
                Step::Entry(entry) => return Ok(Some(*entry)),
                Step::Again => {}
                Step::Done => match self.roots.pop() {
                    Some(root) => self.queue_root(&root)?,
                    None => return Ok(None),
                },
            }
        }
    }
}

fn look_at(folder: &OwnedFd, path: &RelPath) -> Result<FileStat> {
    fstat(folder).what_io(|| format!("look at {path}"))
}

/// Opens a folder for going on from it, name by name from `/`, following no link.
fn open_from_the_top(path: &RelPath) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let top = nix::fcntl::open("/", flags, Mode::empty())?;
    path.names().try_fold(top, |above, name| openat(&above, name, flags, Mode::empty()))
}

/// Reads until the buffer is full or the file ends; says how much it got.
pub fn read_full(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled.min(units::length(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::monitor::Collect;
    use std::fs;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).unwrap()
    }

    fn seen(walk: &mut Walk, monitor: &Collect) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(entry) = walk.next_entry(monitor).unwrap() {
            seen.push(entry.path.to_string());
        }
        seen
    }

    #[test]
    fn a_walk_beneath_an_open_folder_has_its_own_place_and_another_for_patterns() {
        let root = tempfile::tempdir().unwrap();
        let site = root.path().join("site");
        fs::create_dir_all(site.join("cache/deep")).unwrap();
        fs::create_dir_all(site.join("wp/cache")).unwrap();
        fs::write(site.join("wp/index.php"), "x").unwrap();
        let selection = Selection::new::<&str>(&[], &["/web/a/cache/*", "/data"]).unwrap();
        let options = WalkOptions { selection, ..WalkOptions::default() };
        let folder = Folder::open(&site).unwrap().unwrap();
        // Whatever takes the folder's name meanwhile is not walked.
        fs::rename(&site, root.path().join("moved")).unwrap();
        fs::create_dir(&site).unwrap();
        fs::write(site.join("other"), "x").unwrap();
        let mut walk = Walk::beneath(folder, path("web/a/data"), path("web/a"), options);
        let monitor = Collect::default();
        assert_eq!(
            seen(&mut walk, &monitor),
            [
                "web/a/data",
                "web/a/data/cache",
                "web/a/data/wp",
                "web/a/data/wp/cache",
                "web/a/data/wp/index.php"
            ]
        );
        assert_eq!(monitor.warnings(), [""; 0]);
    }

    #[test]
    fn what_is_mounted_below_stays_out_and_is_told() {
        let selection = Selection::new::<&str>(&["/proc"], &[]).unwrap();
        let options = WalkOptions {
            selection,
            one_file_system: true,
            mounts_told: true,
            ..WalkOptions::default()
        };
        let folder = Folder::open(Path::new("/")).unwrap().unwrap();
        let mut walk = Walk::beneath(folder, path("base"), RelPath::root(), options);
        let monitor = Collect::default();
        assert_eq!(seen(&mut walk, &monitor), ["base", "base/proc"]);
        assert_eq!(
            monitor.warnings(),
            ["cannot back up what is mounted at base/proc: it is another file system"]
        );
    }

    #[test]
    fn another_name_of_a_file_that_its_user_may_not_read_is_left_out() {
        use super::super::source::OpenFile;
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        for (name, mode) in [("secret", 0o640), ("public", 0o644), ("single", 0o600)] {
            let file = folder.path().join(name);
            std::fs::write(&file, name).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            if name == "single" {
                std::fs::rename(&file, home.join(name)).unwrap();
            } else {
                std::fs::hard_link(&file, home.join(name)).unwrap();
            }
        }
        let found = std::fs::metadata(&home).unwrap();
        let walked = |uid, gid| {
            let whose = Some(Whose { uid, gid });
            let options = WalkOptions { whose, ..WalkOptions::default() };
            let handle = Folder::open(&home).unwrap().unwrap();
            let mut walk = Walk::beneath(handle, path("h"), RelPath::root(), options);
            let monitor = Collect::default();
            let names = seen(&mut walk, &monitor);
            (names.len(), monitor.warnings().concat())
        };
        let (count, said) = walked(found.uid() + 1, found.gid() + 1);
        assert_eq!((count, said.contains("back up h/secret: ")), (3, true), "{said}");
        for (uid, gid) in [(found.uid(), found.gid() + 1), (found.uid() + 1, found.gid())] {
            assert_eq!(walked(uid, gid), (4, String::new()));
        }
        // It may be put there after it was looked at.
        let file = |whose| {
            let handle = Folder::open(&home).unwrap().unwrap();
            let (folder, owners) = (Arc::clone(handle.handle()), Arc::default());
            DiskFile { folder, name: b"secret".to_vec(), owners, xattrs: false, whose }
        };
        assert!(file(None).open().unwrap().is_some());
        let whose = Some(Whose { uid: found.uid() + 1, gid: found.gid() + 1 });
        assert!(file(whose).open().is_err());
    }
}
