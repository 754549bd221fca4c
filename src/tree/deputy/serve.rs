// SPDX-License-Identifier: MIT
//! The deputy's side: give up all rights but one person's, then do what is ordered, beneath one
//! folder and never through a link. A failure concerns one item; only a peer that talks nonsense
//! or is gone ends the loop.

use super::{Order, Reply, decode_order, encode_reply, read_frame, write_frame};
use crate::base::error::io_error;
use crate::base::{Error, Kind, RelPath, Result, WhatIo, World, limits};
use crate::format::NodeKind;
use crate::format::tree::Meta;
use crate::tree::dir::{OwnerPolicy, Target};
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Whose rights a deputy has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user.
    pub uid: u32,
    /// The group that new files get.
    pub gid: u32,
    /// All groups of the user.
    pub groups: Vec<u32>,
}

/// Gives up, for good, all rights but those of this person. Whoever is not root stays who he is,
/// and only if that is the person meant.
///
/// The kernel makes the process untraceable with the change of the user: there is no moment in
/// which the person could take it over and use the groups it has.
pub fn become_person(person: &Person) -> Result<()> {
    let what = || format!("take on the rights of the user with number {}", person.uid);
    umask(Mode::empty());
    prctl::set_no_new_privs().what_io(what)?;
    let (uid, gid) = (Uid::from_raw(person.uid), Gid::from_raw(person.gid));
    if geteuid().is_root() {
        let groups: Vec<Gid> = person.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        setgroups(&groups).what_io(what)?;
        setresgid(gid, gid, gid).what_io(what)?;
        setresuid(uid, uid, uid).what_io(what)?;
        let came_back = !uid.is_root() && setresuid(Uid::from_raw(0), uid, uid).is_ok();
        if came_back {
            return Err(Error::new(Kind::Internal, what()).why("root's rights are still there"));
        }
    }
    if geteuid() != uid {
        return Err(Error::new(Kind::Forbidden, what()).why("only root can do that"));
    }
    prctl::set_dumpable(false).what_io(what)
}

/// Does what is ordered until there are no more orders. What was begun and not completed when the
/// other side goes away is removed.
pub fn serve(mut socket: impl Read + Write, root: &Path, world: &World) -> Result<()> {
    if !root.is_dir() {
        return Err(Error::new(Kind::NotFound, format!("open {}", root.display()))
            .why("there is no such folder, or it may not be entered"));
    }
    let target = Target::open(root, OwnerPolicy::Keep)?;
    let mut hand = Hand {
        target,
        world,
        file: None,
        opened_up: HashMap::new(),
        changes: 0,
        touched: BTreeSet::new(),
    };
    let done = hand.obey(&mut socket);
    hand.drop_file();
    hand.close_up();
    done
}

/// A file that is being filled.
struct Filling {
    path: RelPath,
    meta: Meta,
    /// Its name until it is complete.
    name: Vec<u8>,
    /// Whether it keeps that name.
    is_prepared: bool,
    /// The open file, or why there is none.
    file: Result<File>,
    at: u64,
}

struct Hand<'w> {
    target: Target,
    world: &'w World,
    file: Option<Filling>,
    /// Folders of ours that were given the right to be written, with the modes they had.
    opened_up: HashMap<RelPath, u32>,
    /// Entries changed, and as long as they are few, the folders they lie in.
    changes: usize,
    touched: BTreeSet<RelPath>,
}

impl Hand<'_> {
    fn obey(&mut self, socket: &mut (impl Read + Write)) -> Result<()> {
        while let Some((kind, payload)) = read_frame(socket, limits::DEPUTY_FRAME_BYTES_MAX)? {
            let order = decode_order(kind, payload)?;
            let (is_answered, is_last) = (order.is_answered(), order == Order::Quit);
            let reply = self.reply_to(order);
            if is_answered {
                write_frame(socket, &encode_reply(&reply))?;
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    fn reply_to(&mut self, order: Order) -> Reply {
        let mut reply = Reply { failure: None, in_place: true, removed: 0 };
        let done = match order {
            Order::Folder { path, mode } => self.folder(&path, mode),
            Order::File { path, meta, prepared } => {
                self.begin(path, meta, prepared);
                Ok(())
            }
            Order::Data(bytes) => {
                self.data(&bytes);
                Ok(())
            }
            Order::Hole(length) => {
                self.hole(length);
                Ok(())
            }
            Order::End { complete } => return self.end(complete),
            Order::Special { path, meta } => self.special(&path, &meta),
            Order::Link { first, path } => self.link(&first, &path),
            Order::Dress { path, meta } => self.dress(&path, &meta),
            Order::Finish { path, meta } => self.finish(&path, &meta),
            Order::Remove { path } => {
                let removed = self.in_writable(&path, |target| target.remove(&path));
                removed.map(|count| reply.removed = count)
            }
            Order::RemoveEmpty { path } => {
                reply.removed = 1;
                self.in_writable(&path, |target| target.remove_empty_folder(&path))
            }
            Order::Quit => {
                self.close_up();
                self.sync()
            }
        };
        if let Err(error) = done {
            reply.in_place = false;
            reply.failure = Some((error.kind(), error.one_line()));
        }
        reply
    }

    /// Waits until all is on the disk. A whole file system is synchronised only for many changes:
    /// it waits for what everybody else wrote, too.
    fn sync(&mut self) -> Result<()> {
        if self.changes > limits::SYNC_ONE_BY_ONE_MAX {
            return self.target.sync();
        }
        for folder in std::mem::take(&mut self.touched) {
            match self.target.sync_folder(&folder) {
                // It was removed since, or may not be listed.
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// Remembers that something in the folder of `path` changes.
    fn touch(&mut self, path: &RelPath) {
        self.changes += 1;
        if self.changes <= limits::SYNC_ONE_BY_ONE_MAX {
            self.touched.insert(path.parent().unwrap_or_default());
        }
    }

    /// Does something in the folder of `path`. Hestia takes the right to write from some folders
    /// that belong to the user all the same; it is given for the time of the restore.
    fn in_writable<T>(&mut self, path: &RelPath, act: impl Fn(&Target) -> Result<T>) -> Result<T> {
        self.touch(path);
        self.in_reach(path, act)
    }

    /// The same for what changes nothing of the folder.
    fn in_reach<T>(&mut self, path: &RelPath, act: impl Fn(&Target) -> Result<T>) -> Result<T> {
        match act(&self.target) {
            Err(error) if error.kind() == Kind::Forbidden => {
                let folder = path.parent().unwrap_or_default();
                match self.open_up(&folder) {
                    Ok(true) => act(&self.target),
                    _ => Err(error),
                }
            }
            done => done,
        }
    }

    /// Whether a folder could be made writable that was not. Those above it first, where they let
    /// nobody through.
    fn open_up(&mut self, folder: &RelPath) -> Result<bool> {
        let found = match (self.target.look(folder), folder.parent()) {
            (Err(error), Some(above)) if error.kind() == Kind::Forbidden => {
                if !self.open_up(&above)? {
                    return Err(error);
                }
                self.target.look(folder)
            }
            (found, _) => found,
        };
        let Some(found) = found? else { return Ok(false) };
        let mine = found.owner.0 == geteuid().as_raw();
        if !mine || found.kind != NodeKind::Folder || found.mode & 0o700 == 0o700 {
            return Ok(false);
        }
        self.target.set_folder_mode(folder, found.mode | 0o700)?;
        self.opened_up.entry(folder.clone()).or_insert(found.mode);
        Ok(true)
    }

    /// Gives folders that were opened up the modes they had. One that cannot be reached any more
    /// was moved or removed by its owner, who gave it what he wanted.
    fn close_up(&mut self) {
        for (folder, mode) in std::mem::take(&mut self.opened_up) {
            self.target.set_folder_mode(&folder, mode).unwrap_or_default();
        }
    }

    fn folder(&mut self, path: &RelPath, mode: u32) -> Result<()> {
        let made = self.in_writable(path, |target| target.make_folder(path))?;
        if made { self.target.set_folder_mode(path, mode | 0o700) } else { Ok(()) }
    }

    fn begin(&mut self, path: RelPath, meta: Meta, prepared: Option<Vec<u8>>) {
        self.drop_file();
        let is_prepared = prepared.is_some();
        let opened = match prepared {
            Some(name) => self.target.open_beside(&path, &name).map(|file| (name, file)),
            None => self.create_beside(&path),
        };
        let (name, file) = match opened {
            Ok((name, file)) => (name, Ok(file)),
            Err(error) => (Vec::new(), Err(error)),
        };
        self.file = Some(Filling { path, meta, name, is_prepared, file, at: 0 });
    }

    fn create_beside(&mut self, path: &RelPath) -> Result<(Vec<u8>, File)> {
        let name = temporary_name(self.world)?;
        let file = self.in_writable(path, |target| target.create_as(path, &name))?;
        Ok((name, file))
    }

    /// Writes on; after a first failure the rest of the file is only taken in.
    fn data(&mut self, bytes: &[u8]) {
        let Some(filling) = &mut self.file else { return };
        if let Ok(file) = &mut filling.file {
            match file.write_all(bytes) {
                Ok(()) => filling.at += crate::base::units::bytes(bytes.len()),
                Err(error) => {
                    filling.file = Err(io_error(error, format!("write {}", filling.path)));
                }
            }
        }
    }

    fn hole(&mut self, length: u64) {
        let Some(filling) = &mut self.file else { return };
        let at = filling.at.saturating_add(length);
        if let Ok(file) = &mut filling.file {
            match file.seek(SeekFrom::Start(at)) {
                Ok(_) => filling.at = at,
                Err(error) => {
                    filling.file = Err(io_error(error, format!("write {}", filling.path)));
                }
            }
        }
    }

    fn end(&mut self, complete: bool) -> Reply {
        let done = match self.file.take() {
            None => Err(Error::new(Kind::Internal, "end a file").why("none was begun")),
            Some(filling) => self.complete(filling, complete),
        };
        match done {
            Ok(None) => Reply { failure: None, in_place: true, removed: 0 },
            Ok(Some(undressed)) => {
                let failure = Some((undressed.kind(), undressed.one_line()));
                Reply { failure, in_place: true, removed: 0 }
            }
            Err(error) => {
                let failure = Some((error.kind(), error.one_line()));
                Reply { failure, in_place: false, removed: 0 }
            }
        }
    }

    /// Puts a file in place. An attribute that cannot be set is said and no reason to lose the
    /// content.
    fn complete(&mut self, filling: Filling, complete: bool) -> Result<Option<Error>> {
        let Filling { path, meta, name, is_prepared, file, at } = filling;
        let done = file.and_then(|file| {
            let what = || format!("complete {path}");
            if !complete || at != meta.size {
                return Err(Error::new(Kind::Damaged, what()).why("not all of it could be had"));
            }
            file.set_len(meta.size).what_io(what)?;
            let undressed = self.target.finish_file(&path, &file, &meta).err();
            if self.changes <= limits::SYNC_ONE_BY_ONE_MAX {
                file.sync_all().what_io(what)?;
            }
            if !is_prepared {
                self.target.rename(&path, &name)?;
            }
            Ok(undressed)
        });
        if done.is_err() && !is_prepared && !name.is_empty() {
            self.target.unlink(&path, &name)?;
        }
        done
    }

    /// Removes what was begun and will not be completed.
    fn drop_file(&mut self) {
        if let Some(filling) = self.file.take() {
            // That it is not complete is known; that its rest stays behind shows in the folder.
            self.complete(filling, false).map(drop).unwrap_or_default();
        }
    }

    fn special(&mut self, path: &RelPath, meta: &Meta) -> Result<()> {
        if !matches!(meta.kind, NodeKind::Symlink | NodeKind::Fifo) {
            return Err(Error::new(Kind::Forbidden, format!("make {path}"))
                .why("only root may make a device node"));
        }
        self.in_writable(path, |target| target.make_special(path, meta))
    }

    fn link(&mut self, first: &RelPath, path: &RelPath) -> Result<()> {
        self.in_writable(path, |target| target.link(first, path))
    }

    fn dress(&mut self, path: &RelPath, meta: &Meta) -> Result<()> {
        // Opening by this handle never waits for the other end of a pipe and follows no link.
        let file = match self.in_reach(path, |target| target.open_to_read(path)) {
            // Its owner may not read it, but may change that.
            Err(error) if error.kind() == Kind::Forbidden => {
                self.target.make_readable(path)?;
                self.target.open_to_read(path)?
            }
            file => file?,
        };
        let found = file.metadata().what_io(|| format!("look at {path}"))?;
        if !found.is_file() {
            return Err(Error::new(Kind::Forbidden, format!("change {path}"))
                .why("it was exchanged for something else a moment ago"));
        }
        self.target.finish_file(path, &file, meta)
    }

    fn finish(&mut self, path: &RelPath, meta: &Meta) -> Result<()> {
        // Else its handle is good for going through only.
        self.open_up(path)?;
        self.opened_up.remove(path);
        let identity = self.target.identity(path)?;
        self.target.finish_folder(path, meta, identity)
    }
}

/// A name that nothing in the folder has yet.
pub fn temporary_name(world: &World) -> Result<Vec<u8>> {
    let mut random = [0; 8];
    world.fill_random(&mut random)?;
    let digits = u64::from_le_bytes(random);
    Ok(format!(".ghostsnap-{digits:016x}").into_bytes())
}
