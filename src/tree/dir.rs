// SPDX-License-Identifier: MIT
//! Writing below a folder that somebody else may own. Every path is walked name by name from an
//! open handle of the root, never following a link; a file with other names is never written in
//! place. So a customer's links and races cannot make us write outside the target.

use crate::base::error::io_error;
use crate::base::path::display_bytes;
use crate::base::units::wide;
use crate::base::{Error, Kind, RelPath, Result, Timestamp, WhatIo, limits};
use crate::format::NodeKind;
use crate::format::tree::Meta;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, futimens,
    mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{
    Gid, Group, LinkatFlags, Uid, UnlinkatFlags, User, fchown, fchownat, getegid, geteuid, linkat,
    symlinkat, unlinkat,
};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use xattr::FileExt as _;

/// How owners are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerPolicy {
    /// By name where this machine knows the name, else by number.
    #[default]
    Named,
    /// By number.
    Numeric,
    /// Not at all: everything belongs to whoever restores.
    Keep,
}

/// A folder to write below.
pub struct Target {
    /// None if the folder is not there and nothing may be made.
    root: Option<Arc<OwnedFd>>,
    owners: OwnerPolicy,
    is_root_user: bool,
    ids: Mutex<HashMap<(bool, String), Option<u32>>>,
    folders: Mutex<HashMap<RelPath, Arc<OwnedFd>>>,
}

/// What lies at a path now.
#[derive(Debug, Clone, Copy)]
pub struct Existing {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of content.
    pub size: u64,
    /// When its content last changed.
    pub mtime: Timestamp,
    /// How many names it has.
    pub links: u64,
    /// Its identity.
    pub inode: (u64, u64),
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// Open folder handles kept at a time.
const FOLDERS_OPEN_MAX: usize = 64;

impl Target {
    /// Opens the folder, making it and those above it if need be. The path itself is the
    /// administrator's word: links in it are followed.
    pub fn open(path: &Path, owners: OwnerPolicy) -> Result<Self> {
        let what = || format!("open the target folder {}", path.display());
        // What is restored may be anybody's mail and passwords: a new folder is for its owner only.
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(path).what_io(what)?;
        let root = File::open(path).what_io(what)?;
        if !root.metadata().what_io(what)?.is_dir() {
            return Err(Error::new(Kind::Invalid, what()).why("it is not a folder"));
        }
        Ok(Self::new(Some(root), owners))
    }

    /// For looking only: a folder that is not there is not made and taken as empty.
    pub fn open_to_look(path: &Path, owners: OwnerPolicy) -> Result<Self> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::new(None, owners))
            }
            _ => Self::open(path, owners),
        }
    }

    fn new(root: Option<File>, owners: OwnerPolicy) -> Self {
        Self {
            root: root.map(|root| Arc::new(root.into())),
            owners,
            is_root_user: geteuid().is_root(),
            ids: Mutex::default(),
            folders: Mutex::default(),
        }
    }

    fn root(&self) -> Result<&Arc<OwnedFd>> {
        self.root.as_ref().ok_or_else(|| {
            Error::new(Kind::NotFound, "open the target folder").why("it does not exist")
        })
    }

    /// A handle of a folder below the root; refuses to pass through anything but folders.
    pub fn folder(&self, path: &RelPath) -> Result<Arc<OwnedFd>> {
        if path.is_root() {
            return self.root().map(Arc::clone);
        }
        if let Some(folder) = self.cached().get(path) {
            return Ok(Arc::clone(folder));
        }
        let above = self.folder(&path.parent().unwrap_or_default())?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let name = path.name().unwrap_or_default();
        let opened = match openat(&above, name, flags, Mode::empty()) {
            // Whoever may not list a folder may still go through it.
            Err(Errno::EACCES) => {
                openat(&above, name, flags | OFlag::O_PATH, Mode::empty()).or(Err(Errno::EACCES))
            }
            opened => opened,
        };
        let folder = match opened {
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                return Err(Error::new(Kind::Forbidden, format!("go into {path}"))
                    .why("something that is not a folder, perhaps a link, is in its place"));
            }
            folder => Arc::new(folder.what_io(|| format!("open the folder {path}"))?),
        };
        let mut cache = self.cached();
        if cache.len() >= FOLDERS_OPEN_MAX {
            cache.clear();
        }
        cache.insert(path.clone(), Arc::clone(&folder));
        Ok(folder)
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, HashMap<RelPath, Arc<OwnedFd>>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lies at a path; `None` if nothing does.
    pub fn look(&self, path: &RelPath) -> Result<Option<Existing>> {
        let folder = match self.folder(&path.parent().unwrap_or_default()) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            folder => folder?,
        };
        let name = path.name().unwrap_or(b".");
        match fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(None),
            stat => stat.what_io(|| format!("look at {path}")).map(|stat| Some(existing(&stat))),
        }
    }

    /// Makes a folder unless it is there already; says whether it was made. Open to its owner only
    /// until [`Self::finish_folder`].
    pub fn make_folder(&self, path: &RelPath) -> Result<bool> {
        let Some(name) = path.name() else { return Ok(false) };
        let above = self.folder(&path.parent().unwrap_or_default())?;
        match mkdirat(&above, name, Mode::S_IRWXU) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => self.folder(path).map(|_| false),
            Err(errno) => Err(io_error(errno.into(), format!("make the folder {path}"))),
        }
    }

    /// Creates a file that must not exist yet, open to its owner only.
    pub fn create(&self, path: &RelPath) -> Result<File> {
        let name = path.name().unwrap_or_default();
        self.create_as(path, name)
    }

    /// Creates a file under another name in the folder of `path`.
    pub fn create_as(&self, path: &RelPath, name: &[u8]) -> Result<File> {
        let folder = self.folder(&path.parent().unwrap_or_default())?;
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR);
        file.map(File::from).what_io(|| format!("create {path}"))
    }

    /// Opens an existing regular file of one name for reading and writing.
    pub fn open_file(&self, path: &RelPath) -> Result<File> {
        self.open_beside(path, path.name().unwrap_or_default())
    }

    /// The same for a file of another name in the folder of `path`.
    pub fn open_beside(&self, path: &RelPath, name: &[u8]) -> Result<File> {
        let folder = self.folder(&path.parent().unwrap_or_default())?;
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let what = || format!("open {path}");
        let file = openat(&folder, name, flags, Mode::empty());
        let file = file.map(File::from).what_io(what)?;
        let stat = nix::sys::stat::fstat(&file).what_io(what)?;
        if existing(&stat).kind != NodeKind::File || stat.st_nlink != 1 {
            return Err(Error::new(Kind::Forbidden, what())
                .why("it was exchanged for something else a moment ago"));
        }
        Ok(file)
    }

    /// Opens an existing file only if it is still the one of this device and inode: what somebody
    /// put in its place must not get its owner and mode.
    pub fn open_same(&self, path: &RelPath, inode: (u64, u64)) -> Result<File> {
        let file = self.open_file(path)?;
        same_identity(&file, path, inode)?;
        Ok(file)
    }

    /// The device and inode of a folder.
    pub fn identity(&self, path: &RelPath) -> Result<(u64, u64)> {
        let stat = nix::sys::stat::fstat(self.folder(path)?);
        stat.what_io(|| format!("look at {path}")).map(|stat| (stat.st_dev, stat.st_ino))
    }

    /// Opens a regular file for reading only.
    pub fn open_to_read(&self, path: &RelPath) -> Result<File> {
        let folder = self.folder(&path.parent().unwrap_or_default())?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&folder, path.name().unwrap_or_default(), flags, Mode::empty());
        file.map(File::from).what_io(|| format!("open {path}"))
    }

    /// The same for the regular file of this device and inode alone.
    pub fn open_same_to_read(&self, path: &RelPath, inode: (u64, u64)) -> Result<File> {
        let file = self.open_to_read(path)?;
        same_identity(&file, path, inode)?;
        Ok(file)
    }

    /// Where a symbolic link points.
    pub fn link_target(&self, path: &RelPath) -> Result<Vec<u8>> {
        let folder = self.folder(&path.parent().unwrap_or_default())?;
        let target = readlinkat(&folder, path.name().unwrap_or_default());
        target.map(OsString::into_vec).what_io(|| format!("read the link {path}"))
    }

    /// Gives a file just made here to somebody else.
    pub fn hand_over(path: &RelPath, file: &File, owner: (u32, u32)) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        fchown(file, Some(uid), Some(gid)).what_io(|| format!("give {path} its owner"))
    }

    /// The same for a folder.
    pub fn hand_over_folder(&self, path: &RelPath, owner: (u32, u32)) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        let folder = self.folder(path)?;
        fchown(&folder, Some(uid), Some(gid)).what_io(|| format!("give {path} its owner"))
    }

    /// Removes a file of ours in the folder of `path`; never a folder.
    pub fn unlink(&self, path: &RelPath, name: &[u8]) -> Result<()> {
        let folder = self.folder(&path.parent().unwrap_or_default())?;
        match unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            removed => removed.what_io(|| format!("remove '{}'", display_bytes(name))),
        }
    }

    /// Gives a temporary file of the same folder its final name, replacing what is there.
    pub fn rename(&self, path: &RelPath, temporary: &[u8]) -> Result<()> {
        let folder = self.folder(&path.parent().unwrap_or_default())?;
        renameat(&folder, temporary, &folder, path.name().unwrap_or_default())
            .what_io(|| format!("put {path} in place"))
    }

    /// Makes a symbolic link or a device node, with owner and times.
    pub fn make_special(&self, path: &RelPath, meta: &Meta) -> Result<()> {
        let folder = self.folder(&path.parent().unwrap_or_default())?;
        let name = path.name().unwrap_or_default();
        let what = || format!("make {path}");
        if meta.kind == NodeKind::Symlink {
            symlinkat(meta.target.as_slice(), &folder, name).what_io(what)?;
        } else {
            let kind = match meta.kind {
                NodeKind::Fifo => SFlag::S_IFIFO,
                NodeKind::CharDevice => SFlag::S_IFCHR,
                NodeKind::BlockDevice => SFlag::S_IFBLK,
                _ => return Err(Error::new(Kind::Internal, what()).why("it is no special file")),
            };
            let mode = Mode::from_bits_truncate(meta.mode & 0o777);
            mknodat(&folder, name, kind, mode, meta.rdev).what_io(what)?;
        }
        let (uid, gid) = self.owner_of(meta);
        if uid.is_some() || gid.is_some() {
            let what = || format!("give {path} its owner");
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let made = openat(&folder, name, flags, Mode::empty()).what_io(what)?;
            let found = existing(&nix::sys::stat::fstat(&made).what_io(what)?);
            if found.kind != meta.kind || found.links != 1 {
                return Err(Error::new(Kind::Forbidden, what())
                    .why("it was exchanged for something else a moment ago"));
            }
            fchownat(&made, "", uid, gid, AtFlags::AT_EMPTY_PATH).what_io(what)?;
        }
        let time = time_spec(meta.mtime);
        utimensat(&folder, name, &time, &time, UtimensatFlags::NoFollowSymlink)
            .what_io(|| format!("give {path} its time"))
    }

    /// Gives a folder a mode and leaves the rest of it.
    pub fn set_folder_mode(&self, path: &RelPath, mode: u32) -> Result<()> {
        let what = || format!("give {path} its mode");
        let mode = Mode::from_bits_truncate(mode & 0o7777);
        let folder = self.folder(path)?;
        match fchmod(&folder, mode) {
            // A handle that is only good for going through: the folder may not be listed yet.
            Err(Errno::EBADF) => {
                let above = self.folder(&path.parent().unwrap_or_default())?;
                let name = path.name().unwrap_or(b".");
                fchmodat(&above, name, mode, FchmodatFlags::NoFollowSymlink).what_io(what)?;
                self.cached().remove(path);
                Ok(())
            }
            done => done.what_io(what),
        }
    }

    /// Lets the owner of a file read it.
    pub fn make_readable(&self, path: &RelPath) -> Result<()> {
        let what = || format!("give {path} its mode");
        let Some(found) = self.look(path)?.filter(|one| one.kind == NodeKind::File) else {
            return Err(Error::new(Kind::Forbidden, what()).why("it is no file any more"));
        };
        let above = self.folder(&path.parent().unwrap_or_default())?;
        let mode = Mode::from_bits_truncate(found.mode | 0o400);
        let name = path.name().unwrap_or(b".");
        fchmodat(&above, name, mode, FchmodatFlags::NoFollowSymlink).what_io(what)
    }

    /// Gives an open file its owner, mode, attributes and times, in the order that keeps all.
    pub fn finish_file(&self, path: &RelPath, file: &File, meta: &Meta) -> Result<()> {
        self.apply(path, file, meta)
    }

    /// The same for a folder, if it still is the one of this device and inode.
    pub fn finish_folder(&self, path: &RelPath, meta: &Meta, inode: (u64, u64)) -> Result<()> {
        let folder = self.folder(path)?;
        same_identity(&folder, path, inode)?;
        self.apply(path, &folder, meta)
    }

    /// Sets all that can be set; the first failure is the result.
    fn apply(&self, path: &RelPath, file: impl AsFd, meta: &Meta) -> Result<()> {
        let (uid, gid) = self.owner_of(meta);
        let owned = if uid.is_some() || gid.is_some() {
            fchown(file.as_fd(), uid, gid).what_io(|| format!("give {path} its owner"))
        } else {
            Ok(())
        };
        // After the owner: changing it clears the set-id bits.
        let mode = Mode::from_bits_truncate(self.mode_of(meta, owned.is_ok()));
        let mode = fchmod(file.as_fd(), mode).what_io(|| format!("give {path} its mode"));
        let xattrs = self.apply_xattrs(path, &file, meta);
        let time = time_spec(meta.mtime);
        let times = futimens(file.as_fd(), &time, &time);
        owned.and(mode).and(xattrs).and(times.what_io(|| format!("give {path} its time")))
    }

    /// The mode a restored entry gets. A program that lends its owner's rights must not lend those
    /// of somebody else because it changed hands.
    fn mode_of(&self, meta: &Meta, owner_can_be_set: bool) -> u32 {
        let owner_is_set = owner_can_be_set && self.owner_of(meta).0.is_some();
        let is_ours = meta.uid == geteuid().as_raw() && meta.gid == getegid().as_raw();
        if owner_is_set || is_ours || meta.kind == NodeKind::Folder {
            meta.mode & 0o7777
        } else {
            meta.mode & 0o1777
        }
    }

    fn apply_xattrs(&self, path: &RelPath, file: &impl AsFd, meta: &Meta) -> Result<()> {
        let handle = XattrHandle(file.as_fd());
        let mut result = Ok(());
        for (name, value) in &meta.xattrs {
            use std::os::unix::ffi::OsStrExt;
            let privileged = !name.starts_with(b"user.") && !name.starts_with(b"system.posix_acl");
            if privileged && !self.is_root_user {
                continue;
            }
            let name_text = std::ffi::OsStr::from_bytes(name);
            match handle.set_xattr(name_text, value) {
                // The target file system has no such attributes; content and mode are unharmed.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOTSUP) => {}
                set => {
                    let what = || format!("give {path} its attribute {}", display_bytes(name));
                    result = result.and(set.what_io(what));
                }
            }
        }
        result
    }

    /// Another name for a file restored before.
    pub fn link(&self, existing: &RelPath, path: &RelPath) -> Result<()> {
        let from = self.folder(&existing.parent().unwrap_or_default())?;
        let to = self.folder(&path.parent().unwrap_or_default())?;
        linkat(
            &from,
            existing.name().unwrap_or_default(),
            &to,
            path.name().unwrap_or_default(),
            LinkatFlags::empty(),
        )
        .what_io(|| format!("link {path} to {existing}"))
    }

    /// Whether a folder is where another file system is mounted.
    pub fn is_mount(&self, path: &RelPath) -> Result<bool> {
        let Some(above) = path.parent() else { return Ok(false) };
        Ok(self.identity(path)?.0 != self.identity(&above)?.0)
    }

    /// Removes whatever lies at a path, folders with all they hold but never what is mounted there;
    /// counts what went.
    pub fn remove(&self, path: &RelPath) -> Result<u64> {
        let Some(name) = path.name() else { return Ok(0) };
        let above = self.folder(&path.parent().unwrap_or_default())?;
        self.cached().retain(|one, _| !path.contains(one));
        remove_at(&above, name, 0).map_err(|error| error.within(format!("remove {path}")))
    }

    /// Removes a folder in which there is nothing.
    pub fn remove_empty_folder(&self, path: &RelPath) -> Result<()> {
        let Some(name) = path.name() else { return Ok(()) };
        let above = self.folder(&path.parent().unwrap_or_default())?;
        self.cached().retain(|one, _| !path.contains(one));
        unlinkat(&above, name, UnlinkatFlags::RemoveDir).what_io(|| format!("remove {path}"))
    }

    /// The names in a folder.
    pub fn names(&self, path: &RelPath) -> Result<Vec<Vec<u8>>> {
        let folder = self.folder(path)?;
        names_of(&folder).map_err(|error| error.within(format!("read the folder {path}")))
    }

    /// Waits until all that was written is on the disk.
    pub fn sync(&self) -> Result<()> {
        nix::unistd::syncfs(self.root()?).what_io(|| "write the target folder to its disk")
    }

    /// Waits until a folder's entries are on the disk.
    pub fn sync_folder(&self, path: &RelPath) -> Result<()> {
        let what = || format!("write the folder {path} to its disk");
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        // A handle that is only good for going through cannot be synchronised.
        let folder = openat(&self.folder(path)?, ".", flags, Mode::empty()).what_io(what)?;
        nix::unistd::fsync(&folder).what_io(what)
    }

    /// Whether what is there already has the mode, times and owner it would be given.
    pub fn looks_right(&self, existing: &Existing, meta: &Meta) -> bool {
        let (uid, gid) = self.owner_of(meta);
        existing.mode == self.mode_of(meta, true)
            && existing.mtime == meta.mtime
            && uid.is_none_or(|uid| uid.as_raw() == existing.owner.0)
            && gid.is_none_or(|gid| gid.as_raw() == existing.owner.1)
    }

    /// Whether a symbolic link or FIFO is there already as it should be.
    pub fn is_right_special(&self, path: &RelPath, existing: &Existing, meta: &Meta) -> bool {
        let (uid, gid) = self.owner_of(meta);
        let same = existing.kind == meta.kind
            && existing.mtime == meta.mtime
            && uid.is_none_or(|uid| uid.as_raw() == existing.owner.0)
            && gid.is_none_or(|gid| gid.as_raw() == existing.owner.1);
        match meta.kind {
            NodeKind::Symlink => {
                same && self.link_target(path).is_ok_and(|found| found == meta.target)
            }
            NodeKind::Fifo => same && existing.mode & 0o777 == meta.mode & 0o777,
            _ => false,
        }
    }

    fn owner_of(&self, meta: &Meta) -> (Option<Uid>, Option<Gid>) {
        if !self.is_root_user || self.owners == OwnerPolicy::Keep {
            return (None, None);
        }
        let uid = self.local_id(true, &meta.user).unwrap_or(meta.uid);
        let gid = self.local_id(false, &meta.group).unwrap_or(meta.gid);
        (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
    }

    fn local_id(&self, is_user: bool, name: &str) -> Option<u32> {
        if self.owners == OwnerPolicy::Numeric || name.is_empty() {
            return None;
        }
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        *ids.entry((is_user, name.to_owned())).or_insert_with(|| {
            if is_user {
                User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
            } else {
                Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
            }
        })
    }
}

fn existing(stat: &FileStat) -> Existing {
    let format = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let kind = match format {
        SFlag::S_IFDIR => NodeKind::Folder,
        SFlag::S_IFLNK => NodeKind::Symlink,
        SFlag::S_IFREG => NodeKind::File,
        SFlag::S_IFIFO => NodeKind::Fifo,
        SFlag::S_IFCHR => NodeKind::CharDevice,
        SFlag::S_IFBLK => NodeKind::BlockDevice,
        _ => NodeKind::Socket,
    };
    Existing {
        kind,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: Timestamp {
            seconds: stat.st_mtime,
            nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        },
        links: wide(stat.st_nlink),
        inode: (stat.st_dev, stat.st_ino),
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
    }
}

fn same_identity(file: impl AsFd, path: &RelPath, inode: (u64, u64)) -> Result<()> {
    let what = || format!("change {path}");
    let stat = nix::sys::stat::fstat(file).what_io(what)?;
    if (stat.st_dev, stat.st_ino) == inode {
        return Ok(());
    }
    Err(Error::new(Kind::Forbidden, what()).why("it was exchanged for something else meanwhile"))
}

fn time_spec(time: Timestamp) -> TimeSpec {
    TimeSpec::new(time.seconds, i64::from(time.nanos))
}

struct XattrHandle<'f>(std::os::fd::BorrowedFd<'f>);

impl std::os::fd::AsRawFd for XattrHandle<'_> {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl xattr::FileExt for XattrHandle<'_> {}

fn names_of(folder: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let what = || "read its entries";
    // A fresh handle: reading moves a position that clones share.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let fresh = openat(folder, ".", flags, Mode::empty()).what_io(what)?;
    let mut reader = nix::dir::Dir::from_fd(fresh).what_io(what)?;
    let mut names = Vec::new();
    for entry in reader.iter() {
        let entry = entry.what_io(what)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

fn remove_at(above: &OwnedFd, name: &[u8], depth: usize) -> Result<u64> {
    let what = || format!("remove '{}'", display_bytes(name));
    match unlinkat(above, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => return Ok(1),
        Err(Errno::ENOENT) => return Ok(0),
        Err(Errno::EISDIR | Errno::EPERM) if depth < limits::TREE_DEPTH_MAX => {}
        Err(errno) => return Err(io_error(errno.into(), what())),
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = openat(above, name, flags, Mode::empty()).what_io(what)?;
    let device = |handle: &OwnedFd| nix::sys::stat::fstat(handle).map(|found| found.st_dev);
    if device(&folder).what_io(what)? != device(above).what_io(what)? {
        return Err(Error::new(Kind::InUse, what()).why("something is mounted there"));
    }
    let mut removed = 1;
    for child in names_of(&folder)? {
        removed += remove_at(&folder, &child, depth + 1)?;
    }
    unlinkat(above, name, UnlinkatFlags::RemoveDir).what_io(what)?;
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_link_in_the_way_is_never_passed() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("uploads")).unwrap();
        let target = Target::open(inside.path(), OwnerPolicy::Keep).unwrap();
        assert_eq!(target.create(&path("uploads/x")).unwrap_err().kind(), Kind::Forbidden);
        assert!(target.make_folder(&path("uploads")).is_err());
        assert!(target.names(&path("uploads")).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        // Removing takes the link, not what it points to.
        assert_eq!(target.remove(&path("uploads")).unwrap(), 1);
        assert!(outside.path().exists());
    }

    #[test]
    fn a_file_of_two_names_is_not_opened_for_writing() {
        let inside = tempfile::tempdir().unwrap();
        std::fs::write(inside.path().join("a"), b"x").unwrap();
        let target = Target::open(inside.path(), OwnerPolicy::Keep).unwrap();
        assert!(target.open_file(&path("a")).is_ok());
        std::fs::hard_link(inside.path().join("a"), inside.path().join("b")).unwrap();
        assert_eq!(target.open_file(&path("a")).unwrap_err().kind(), Kind::Forbidden);
    }

    #[test]
    fn removing_counts_everything_below() {
        let inside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(inside.path().join("a/b/c")).unwrap();
        std::fs::write(inside.path().join("a/b/f"), b"x").unwrap();
        let target = Target::open(inside.path(), OwnerPolicy::Keep).unwrap();
        assert_eq!(target.remove(&path("a")).unwrap(), 4);
        assert!(target.look(&path("a")).unwrap().is_none());
    }
}
