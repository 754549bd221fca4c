// SPDX-License-Identifier: MIT
//! Entries of a folder on disk. Every step goes beneath an already opened folder handle and never
//! follows a link, so that whoever owns the files cannot lead the walk out of its tree.

use super::select::{Selection, Verdict};
use super::source::{Content, Entry, OpenFile, ReadFile, Source, Xattrs};
use crate::base::error::io_error;
use crate::base::path::display_bytes;
use crate::base::{
    Counter, Error, Kind, Monitor, RelPath, Result, Timestamp, WhatIo, limits, units,
};
use crate::format::NodeKind;
use crate::format::tree::Meta;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{Gid, Group, Uid, User, Whence, lseek};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use xattr::FileExt as _;

/// What a walk takes.
#[derive(Debug, Clone)]
pub struct WalkOptions {
    /// Which entries are meant.
    pub selection: Selection,
    /// Stay on the file system of each root.
    pub one_file_system: bool,
    /// Take device nodes and FIFOs (as nodes, never opened) instead of skipping them.
    pub special_files: bool,
    /// Read extended attributes.
    pub xattrs: bool,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self {
            selection: Selection::all(),
            one_file_system: false,
            special_files: false,
            xattrs: true,
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
}

/// A folder being walked.
struct Frame {
    path: RelPath,
    folder: Arc<OwnedFd>,
    names: std::vec::IntoIter<Vec<u8>>,
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
        })
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
            meta = self.folder_meta(&folder, monitor, &path)?;
            self.push_frame(path.clone(), folder, monitor)?;
        } else if is_root {
            return Ok(self.entry_of(path, &Arc::new(above), &name, meta, monitor));
        } else if meta.kind != NodeKind::Folder {
            return Err(Error::new(Kind::Forbidden, what())
                .why("it was a folder a moment ago and is something else now"));
        } else if let Ok(folder) = open_folder(&above, &name) {
            meta = self.folder_meta(&folder, monitor, &path)?;
        }
        Ok(Some(Entry { path, meta, content: Content::Nothing }))
    }

    fn folder_meta(&self, folder: &OwnedFd, monitor: &dyn Monitor, path: &RelPath) -> Result<Meta> {
        let stat = fstat(folder).what_io(|| format!("look at {path}"))?;
        let mut meta = self.owners.meta(&stat);
        if self.options.xattrs {
            match xattrs_of(folder) {
                Ok(xattrs) => meta.xattrs = xattrs,
                Err(error) => monitor.warn(error.within(format!("read the attributes of {path}"))),
            }
        }
        Ok(meta)
    }

    fn push_frame(&mut self, path: RelPath, folder: OwnedFd, monitor: &dyn Monitor) -> Result<()> {
        if self.stack.len() >= limits::TREE_DEPTH_MAX {
            monitor.warn(
                Error::new(Kind::Limit, format!("read the folder {path}"))
                    .why(format!("folders are nested deeper than {}", limits::TREE_DEPTH_MAX)),
            );
            return Ok(());
        }
        let device = fstat(&folder).what_io(|| format!("look at {path}"))?.st_dev;
        match read_names(&folder) {
            Ok(names) => self.stack.push(Frame {
                path,
                folder: Arc::new(folder),
                names: names.into_iter(),
                device,
            }),
            Err(error) => monitor.warn(error.within(format!("read the folder {path}"))),
        }
        Ok(())
    }

    /// The next entry below the folder on top of the stack; `None` if that folder is done.
    fn step(&mut self, monitor: &dyn Monitor) -> Result<Step> {
        let Some(frame) = self.stack.last_mut() else { return Ok(Step::Done) };
        let Some(name) = frame.names.next() else {
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
        let verdict = self.options.selection.verdict(&path, meta.kind == NodeKind::Folder);
        if verdict == Verdict::Leave {
            return Ok(Step::Again);
        }
        if meta.kind != NodeKind::Folder {
            let entry = self.entry_of(path, &folder, &name, meta, monitor);
            return Ok(entry.map_or(Step::Again, |entry| Step::Entry(Box::new(entry))));
        }
        let entry = self.enter(path, &folder, &name, (stat.st_dev, device), monitor)?;
        Ok(entry.map_or(Step::Again, |entry| Step::Entry(Box::new(entry))))
    }

    fn enter(
        &mut self,
        path: RelPath,
        above: &OwnedFd,
        name: &[u8],
        (device, device_above): (u64, u64),
        monitor: &dyn Monitor,
    ) -> Result<Option<Entry<'static>>> {
        let folder = match open_folder(above, name) {
            Ok(folder) => folder,
            Err(Errno::ENOENT) => {
                monitor.count(Counter::FilesVanished, 1);
                return Ok(None);
            }
            Err(errno) => {
                monitor.warn(io_error(errno.into(), format!("open the folder {path}")));
                return Ok(None);
            }
        };
        let meta = self.folder_meta(&folder, monitor, &path)?;
        if self.options.one_file_system && device != device_above {
            // The mount point stays as an empty folder; what is mounted there is not ours.
            return Ok(Some(Entry { path, meta, content: Content::Nothing }));
        }
        self.push_frame(path.clone(), folder, monitor)?;
        Ok(Some(Entry { path, meta, content: Content::Nothing }))
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

impl Source for Walk {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        for error in self.missing.drain(..) {
            monitor.warn(error);
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

/// A file that can be opened beneath its folder.
struct DiskFile {
    folder: Arc<OwnedFd>,
    name: Vec<u8>,
    owners: Arc<Owners>,
    xattrs: bool,
}

impl OpenFile for DiskFile {
    fn open(&self) -> Result<Option<Box<dyn ReadFile>>> {
        let what = || format!("open '{}'", display_bytes(&self.name));
        // Not blocking, so that a file swapped for a FIFO cannot hold us; no link is followed.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.folder, self.name.as_slice(), flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            opened => File::from(opened.what_io(what)?),
        };
        let stat = fstat(&file).what_io(what)?;
        if kind_of(&stat) != NodeKind::File {
            return Err(Error::new(Kind::Forbidden, what())
                .why("it was a file a moment ago and is something else now"));
        }
        let owners = Arc::clone(&self.owners);
        Ok(Some(Box::new(LiveFile { file, owners, xattrs: self.xattrs })))
    }
}

struct LiveFile {
    file: File,
    owners: Arc<Owners>,
    xattrs: bool,
}

impl Read for LiveFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.file.read(buffer)
    }
}

impl ReadFile for LiveFile {
    fn meta(&self) -> Result<Meta> {
        let stat = fstat(&self.file).what_io(|| "look at an open file")?;
        Ok(self.owners.meta(&stat))
    }

    fn xattrs(&self) -> Result<Option<Xattrs>> {
        if self.xattrs { xattrs_of(&self.file).map(Some) } else { Ok(None) }
    }

    fn extents(&self, size: u64) -> Result<Vec<(u64, u64)>> {
        let stat = fstat(&self.file).what_io(|| "look at an open file")?;
        let on_disk = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        if on_disk >= size || size == 0 {
            return Ok(Vec::new());
        }
        let extents = data_extents(&self.file, size);
        lseek(&self.file, 0, Whence::SeekSet).what_io(|| "rewind a file")?;
        extents
    }

    fn seek_to(&mut self, offset: u64) -> Result<()> {
        use std::io::Seek;
        self.file.seek(std::io::SeekFrom::Start(offset)).what_io(|| "move inside a file")?;
        Ok(())
    }
}

/// Where the data of a sparse file lies. A file system that cannot tell, or a file with too many
/// holes, gives none: the file is then read whole, holes as zeros.
pub fn data_extents(file: &File, size: u64) -> Result<Vec<(u64, u64)>> {
    let what = || "find the holes of a file";
    let number = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match lseek(file, number(at), Whence::SeekData) {
            Err(Errno::ENXIO) => break,
            Err(Errno::EINVAL | Errno::ENOTSUP) => return Ok(Vec::new()),
            found => u64::try_from(found.what_io(what)?).unwrap_or(size).min(size),
        };
        let end = lseek(file, number(start), Whence::SeekHole).what_io(what)?;
        let end = u64::try_from(end).unwrap_or(size).min(size);
        if end <= start || extents.len() >= limits::EXTENTS_READ_MAX {
            return Ok(Vec::new());
        }
        extents.push((start, end - start));
        at = end;
    }
    let extents = without_smallest_holes(extents);
    let whole = extents == [(0, size)];
    // A file that is one hole must not look like one without holes.
    Ok(if whole || extents.is_empty() { extents_of_empty(size, whole) } else { extents })
}

/// Fills the smallest holes until few enough are left: the others are still not read.
fn without_smallest_holes(extents: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    if extents.len() <= limits::EXTENTS_MAX {
        return extents;
    }
    let gap = |pair: &[(u64, u64)]| match pair {
        [(start, length), (next, _)] => next.saturating_sub(start + length),
        _ => 0,
    };
    let mut gaps: Vec<u64> = extents.windows(2).map(gap).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    // Holes at least this large stay; with many of one size, fewer than allowed do.
    let keep = gaps.get(limits::EXTENTS_MAX - 1).copied().unwrap_or(0);
    let mut kept: Vec<(u64, u64)> = Vec::new();
    for (start, length) in extents {
        match kept.last_mut() {
            Some(last) if start - (last.0 + last.1) <= keep => last.1 = start + length - last.0,
            _ => kept.push((start, length)),
        }
    }
    kept
}

fn extents_of_empty(size: u64, whole: bool) -> Vec<(u64, u64)> {
    if whole { Vec::new() } else { vec![(size - 1, 1)] }
}

/// Opens a folder below another one.
fn open_folder(above: &OwnedFd, name: &[u8]) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(above, name, flags, Mode::empty())
}

/// Opens a folder for going on from it, name by name from `/`, following no link.
fn open_from_the_top(path: &RelPath) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let top = nix::fcntl::open("/", flags, Mode::empty())?;
    path.names().try_fold(top, |above, name| openat(&above, name, flags, Mode::empty()))
}

/// The names in an open folder, sorted.
fn read_names(folder: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let what = || "read its entries";
    let copy = folder.as_fd().try_clone_to_owned().what_io(what)?;
    let mut reader = nix::dir::Dir::from_fd(copy).what_io(what)?;
    let mut names = Vec::new();
    for entry in reader.iter() {
        let entry = entry.what_io(what)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn kind_of(stat: &FileStat) -> NodeKind {
    let format = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    match format {
        SFlag::S_IFDIR => NodeKind::Folder,
        SFlag::S_IFLNK => NodeKind::Symlink,
        SFlag::S_IFIFO => NodeKind::Fifo,
        SFlag::S_IFCHR => NodeKind::CharDevice,
        SFlag::S_IFBLK => NodeKind::BlockDevice,
        SFlag::S_IFSOCK => NodeKind::Socket,
        _ => NodeKind::File,
    }
}

/// Extended attributes, sorted; none where the file system has none.
fn xattrs_of<F: AsFd>(file: &F) -> Result<Xattrs> {
    use std::os::unix::ffi::OsStringExt;
    let what = || "read extended attributes";
    let file = Handle(file.as_fd());
    let names = match file.list_xattr() {
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOTSUP) => return Ok(Vec::new()),
        names => names.what_io(what)?,
    };
    let mut found = Vec::new();
    let mut bytes = 0;
    for name in names {
        let Some(value) = file.get_xattr(&name).what_io(what)? else { continue };
        bytes += name.len() + value.len();
        if bytes > limits::XATTR_BYTES_MAX {
            return Err(Error::new(Kind::Limit, "read extended attributes")
                .why(format!("they are larger than {} bytes", limits::XATTR_BYTES_MAX)));
        }
        found.push((name.into_vec(), value));
    }
    found.sort_unstable();
    Ok(found)
}

/// Lets the xattr crate work on a borrowed handle.
struct Handle<'f>(std::os::fd::BorrowedFd<'f>);

impl std::os::fd::AsRawFd for Handle<'_> {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl xattr::FileExt for Handle<'_> {}

/// Names of users and groups, asked once each.
#[derive(Default)]
struct Owners {
    users: Mutex<HashMap<u32, String>>,
    groups: Mutex<HashMap<u32, String>>,
}

impl Owners {
    fn meta(&self, stat: &FileStat) -> Meta {
        let kind = kind_of(stat);
        let time = |seconds, nanos| Timestamp { seconds, nanos: u32::try_from(nanos).unwrap_or(0) };
        let is_file = kind == NodeKind::File;
        Meta {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            user: self.user(stat.st_uid),
            group: self.group(stat.st_gid),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            size: if is_file { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
            inode: stat.st_ino,
            // Device numbers change with mounts; only hard links need them.
            device: if is_file && stat.st_nlink > 1 { stat.st_dev } else { 0 },
            links: if is_file { stat.st_nlink } else { 0 },
            target: Vec::new(),
            rdev: match kind {
                NodeKind::CharDevice | NodeKind::BlockDevice => stat.st_rdev,
                _ => 0,
            },
            xattrs: Vec::new(),
        }
    }

    fn user(&self, id: u32) -> String {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = || User::from_uid(Uid::from_raw(id)).ok().flatten().map(|user| user.name);
        users.entry(id).or_insert_with(|| ask().unwrap_or_default()).clone()
    }

    fn group(&self, id: u32) -> String {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = || Group::from_gid(Gid::from_raw(id)).ok().flatten().map(|group| group.name);
        groups.entry(id).or_insert_with(|| ask().unwrap_or_default()).clone()
    }
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
