// SPDX-License-Identifier: MIT
//! Folders and files of a live file system, held by handles: nothing here follows a link that
//! whoever owns the files could have put there, opens a FIFO or waits for one.

use super::source::{OpenFile, ReadFile, Xattrs};
use crate::base::error::io_error;
use crate::base::path::display_bytes;
use crate::base::units::{bytes, length, wide};
use crate::base::{Error, Kind, Result, Timestamp, WhatIo, limits};
use crate::format::NodeKind;
use crate::format::tree::Meta;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{Gid, Group, Uid, User, Whence, lseek};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use xattr::FileExt as _;

/// A folder held open, for going on beneath it.
#[derive(Clone)]
pub struct Folder {
    handle: Arc<OwnedFd>,
    owners: Arc<Owners>,
}

impl Folder {
    /// Opens a folder by its path, which must be one that only root can change: links in it are
    /// followed. `None` if there is none.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match nix::fcntl::open(path, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self { handle: Arc::new(handle), owners: Arc::default() })),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(io_error(errno.into(), format!("open {}", path.display()))),
        }
    }

    /// The folder of this name in it, never through a link; `None` if there is none.
    pub fn below(&self, name: &[u8]) -> Result<Option<Self>> {
        match open_folder(&self.handle, name) {
            Ok(handle) => {
                Ok(Some(Self { handle: Arc::new(handle), owners: Arc::clone(&self.owners) }))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => {
                Err(io_error(errno.into(), format!("open the folder '{}'", display_bytes(name))))
            }
        }
    }

    /// The folder at the end of several names.
    pub fn beneath<'n>(&self, names: impl IntoIterator<Item = &'n [u8]>) -> Result<Option<Self>> {
        let mut folder = self.clone();
        for name in names {
            match folder.below(name)? {
                Some(below) => folder = below,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    /// The names in it, sorted.
    pub fn names(&self) -> Result<Vec<Vec<u8>>> {
        self.rewind()?;
        Ok(read_entries(&self.handle)?.into_iter().map(|entry| entry.name).collect())
    }

    /// Lets its entries be read from the first one: somebody may have read them through this handle
    /// before.
    pub(super) fn rewind(&self) -> Result<()> {
        lseek(&self.handle, 0, Whence::SeekSet).map(drop).what_io(|| "read its entries")
    }

    /// What the entry of this name is, a link itself and not where it leads; `None` if there is
    /// none.
    pub fn look(&self, name: &[u8]) -> Result<Option<Meta>> {
        let what = || format!("look at '{}'", display_bytes(name));
        let stat = match fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(None),
            stat => stat.what_io(what)?,
        };
        let mut meta = self.owners.meta(&stat);
        if meta.kind == NodeKind::Symlink {
            use std::os::unix::ffi::OsStringExt;
            meta.target = readlinkat(&self.handle, name).what_io(what)?.into_vec();
            meta.size = 0;
        }
        Ok(Some(meta))
    }

    /// The file of this name, to be opened later.
    pub fn file(&self, name: &[u8], xattrs: bool) -> Box<dyn OpenFile> {
        Box::new(DiskFile {
            folder: Arc::clone(&self.handle),
            name: name.to_vec(),
            owners: Arc::clone(&self.owners),
            xattrs,
            whose: None,
        })
    }

    /// The content of a small file; `None` if there is none of this name.
    pub fn read(&self, name: &[u8], bytes_max: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.file(name, false).open()? else { return Ok(None) };
        let what = || format!("read '{}'", display_bytes(name));
        let mut content = Vec::with_capacity(length(file.meta()?.size.min(bytes_max)));
        file.take(bytes_max + 1).read_to_end(&mut content).what_io(what)?;
        if bytes(content.len()) > bytes_max {
            return Err(
                Error::new(Kind::Limit, what()).why(format!("it is larger than {bytes_max} bytes"))
            );
        }
        Ok(Some(content))
    }

    pub(super) fn handle(&self) -> &Arc<OwnedFd> {
        &self.handle
    }

    pub(super) fn owners(&self) -> &Arc<Owners> {
        &self.owners
    }
}

/// Opens a folder below another one.
pub(super) fn open_folder(above: &OwnedFd, name: &[u8]) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(above, name, flags, Mode::empty())
}

/// An entry of a folder as its listing shows it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    /// Its name.
    pub(super) name: Vec<u8>,
    /// It was a folder when the listing was made. False may also mean that the file system does not
    /// say.
    pub(super) is_folder: bool,
}

/// What is in a folder that was just opened, sorted by name. Read straight from its handle: what
/// the C library makes of one costs as much as the entries of a small folder.
pub(super) fn read_entries(folder: &OwnedFd) -> Result<Vec<Listed>> {
    let what = || "read its entries";
    let mut buffer = Vec::with_capacity(limits::FOLDER_READ_BYTES);
    let mut entries = rustix::fs::RawDir::new(folder, buffer.spare_capacity_mut());
    let mut listed = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(io::Error::from).what_io(what)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let is_folder = entry.file_type() == rustix::fs::FileType::Directory;
            listed.push(Listed { name: name.to_vec(), is_folder });
        }
    }
    listed.sort_unstable();
    Ok(listed)
}

/// Whose tree it is.
#[derive(Debug, Clone, Copy)]
pub struct Whose {
    /// The user.
    pub uid: u32,
    /// The user's own group.
    pub gid: u32,
}

impl Whose {
    /// Whether a file is another name of one that this user may not read: who puts it there must
    /// not get its content by way of a backup. Systems allow that if `fs.protected_hardlinks` is
    /// off.
    pub(super) fn has_borrowed(self, stat: &FileStat) -> bool {
        let may_read = stat.st_uid == self.uid
            || stat.st_mode & 0o004 != 0
            || (stat.st_gid == self.gid && stat.st_mode & 0o040 != 0);
        stat.st_nlink > 1 && kind_of(stat) == NodeKind::File && !may_read
    }
}

/// Why such a file is left out.
pub(super) const BORROWED: &str = "it is another name of a file that its user may not read";

/// A file that can be opened beneath its folder.
pub(super) struct DiskFile {
    pub(super) folder: Arc<OwnedFd>,
    pub(super) name: Vec<u8>,
    pub(super) owners: Arc<Owners>,
    pub(super) xattrs: bool,
    pub(super) whose: Option<Whose>,
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
        if self.whose.is_some_and(|whose| whose.has_borrowed(&stat)) {
            return Err(Error::new(Kind::Forbidden, what()).why(BORROWED));
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

pub(super) fn kind_of(stat: &FileStat) -> NodeKind {
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
pub(super) fn xattrs_of<F: AsFd>(file: &F) -> Result<Xattrs> {
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
pub(super) struct Owners {
    users: Mutex<BTreeMap<u32, String>>,
    groups: Mutex<BTreeMap<u32, String>>,
}

impl Owners {
    pub(super) fn meta(&self, stat: &FileStat) -> Meta {
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
            links: if is_file { wide(stat.st_nlink) } else { 0 },
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed_below_an_open_folder_and_what_is_missing_is_none() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        std::fs::create_dir_all(home.join("real/deep")).unwrap();
        std::fs::write(home.join("real/deep/file"), "content").unwrap();
        symlink("real", home.join("link")).unwrap();
        symlink("real/deep/file", home.join("file-link")).unwrap();
        nix::unistd::mkfifo(&home.join("pipe"), Mode::S_IRWXU).unwrap();
        let folder = Folder::open(&home).unwrap().unwrap();
        let deep = folder.beneath([b"real".as_slice(), b"deep"]).unwrap().unwrap();
        assert_eq!(deep.names().unwrap(), [b"file"]);
        assert_eq!(deep.read(b"file", 7).unwrap().unwrap(), b"content");
        assert_eq!(deep.read(b"file", 6).unwrap_err().kind(), Kind::Limit);
        assert!(folder.below(b"link").is_err());
        assert!(folder.read(b"file-link", 100).is_err());
        assert!(folder.read(b"pipe", 100).is_err());
        assert!(folder.read(b"none", 100).unwrap().is_none());
        assert!(folder.below(b"none").unwrap().is_none());
        assert!(folder.look(b"none").unwrap().is_none());
        assert_eq!(folder.look(b"link").unwrap().unwrap().target, b"real");
        assert!(Folder::open(&home.join("none")).unwrap().is_none());
    }
}
