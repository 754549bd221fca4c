// SPDX-License-Identifier: MIT
//! The workers of a restore: read a range of a pack, open its blobs, write their chunks to the
//! files that want them. A file is finished by whoever writes its last part.

use super::plan::{FilePlan, Part, Read, Way};
use crate::backend::{FileKind, FileName};
use crate::base::error::io_error;
use crate::base::monitor::check_cancelled;
use crate::base::{Counter, Error, Kind, Monitor, Result, Within, limits, units};
use crate::format::compress::Decompressor;
use crate::format::envelope::is_deposit;
use crate::format::{PackClass, PackReader};
use crate::repo::{IndexedRepository, Reader};
use crate::tree::dir::Target;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Files of many parts that are kept open between them.
const OPEN_FILES_MAX: usize = 128;

/// Everything the workers share.
pub struct Fetch<'a> {
    /// Where from.
    pub repository: &'a IndexedRepository,
    /// Where to.
    pub target: &'a Target,
    /// Who listens.
    pub monitor: &'a dyn Monitor,
    /// The files.
    pub files: &'a [FilePlan],
    /// Their parts, sorted by blob.
    pub parts: &'a [Part],
    /// What is read together.
    pub reads: &'a [Read],
    /// For chunks whose first place is damaged.
    spare: Reader<'a>,
    open: Mutex<HashMap<u32, Arc<File>>>,
    next: AtomicUsize,
}

impl<'a> Fetch<'a> {
    /// The work of one batch.
    pub fn new(
        repository: &'a IndexedRepository,
        target: &'a Target,
        monitor: &'a dyn Monitor,
        files: &'a [FilePlan],
        parts: &'a [Part],
        reads: &'a [Read],
    ) -> Self {
        let (open, next) = (Mutex::default(), AtomicUsize::new(0));
        let spare = Reader::new(repository);
        Self { repository, target, monitor, files, parts, reads, spare, open, next }
    }

    /// Runs the workers until all parts are written or failed.
    pub fn run(&self, workers: usize) -> Result<()> {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..workers.max(1)).map(|_| scope.spawn(|| self.worker())).collect();
            let ended: Vec<Result<()>> = threads
                .into_iter()
                .map(|thread| match thread.join() {
                    Ok(result) => result,
                    Err(_) => Err(Error::new(Kind::Internal, "restore").why("a worker panicked")),
                })
                .collect();
            ended.into_iter().collect()
        })
    }

    fn worker(&self) -> Result<()> {
        let mut decompressor = Decompressor::new()?;
        let mut plain = Vec::new();
        loop {
            check_cancelled(self.monitor)?;
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(read) = self.reads.get(turn) else { return Ok(()) };
            let parts = self.parts.get(read.parts.clone()).unwrap_or_default();
            if let Err(error) = self.fetch(read, parts, &mut decompressor, &mut plain) {
                // Nothing of this range can be had: every file that wanted a part of it fails,
                // unless there is another copy.
                for part in parts {
                    self.fetch_elsewhere(part, &error);
                }
            }
        }
    }

    fn fetch(
        &self,
        read: &Read,
        parts: &[Part],
        decompressor: &mut Decompressor,
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        let index = self.repository.index();
        let lost = || Error::new(Kind::Damaged, "read a pack").why("the index does not add up");
        let pack = index.pack(read.pack).ok_or_else(lost)?;
        let name = FileName::new(FileKind::Pack, pack.id);
        let mut sealed = self.repository.backend().read(&name, read.start..read.end)?;
        let reader = PackReader::from_header(self.repository.keys(), pack.class, &pack.header)?;
        for group in parts.chunk_by(|a, b| a.blob == b.blob) {
            let Some(first) = group.first() else { continue };
            let blob = index.blob(first.blob).ok_or_else(lost)?;
            let start = units::length(u64::from(blob.offset) - read.start);
            let end = start + units::length(u64::from(blob.stored_length));
            let bytes = sealed.get_mut(start..end).ok_or_else(lost)?;
            let length = units::length(u64::from(blob.plain_length));
            let opened = reader
                .open_blob(blob.ordinal, bytes)
                .and_then(|packed| {
                    decompressor.decompress_into(blob.compression, packed, length, plain)
                })
                .within(|| format!("read pack {}", pack.id));
            for part in group {
                let judged = match &opened {
                    Ok(()) => self.judge(part, plain),
                    Err(error) => {
                        self.fetch_elsewhere(part, error);
                        continue;
                    }
                };
                match judged {
                    Ok(()) => self.write_part(part, plain),
                    Err(error) => self.fetch_elsewhere(part, &error),
                }
            }
        }
        Ok(())
    }

    /// Compares the chunk of a part with its name, if nobody has who is to be believed.
    fn judge(&self, part: &Part, plain: &[u8]) -> Result<()> {
        let index = self.repository.index();
        let pack = index.blob(part.blob).and_then(|blob| index.pack(blob.pack));
        if pack.is_none_or(|pack| !is_deposit(&pack.header)) {
            return Ok(());
        }
        let mut places = index.find_all(&part.id)?;
        let place = places.find(|place| place.blob == part.blob);
        let Some(place) = place.filter(|place| !self.spare.is_judged(*place)) else {
            return Ok(());
        };
        let start = units::length(u64::from(place.offset));
        let end = start + units::length(u64::from(place.length));
        let chunk = plain.get(start..end).unwrap_or_default();
        self.spare.judge(PackClass::Data, &part.id, place, chunk)
    }

    fn write_part(&self, part: &Part, plain: &[u8]) {
        let start = units::length(u64::from(part.from));
        let end = start + units::length(u64::from(part.length));
        if let Some(chunk) = plain.get(start..end) {
            self.write_chunk(part, chunk);
        } else {
            let why = "its blob is too short";
            self.fail(part.file, &Error::new(Kind::Damaged, "cut a chunk").why(why));
        }
    }

    /// Two writers may have stored a chunk at the same time: a second place is as good.
    fn fetch_elsewhere(&self, part: &Part, error: &Error) {
        let index = self.repository.index();
        let mut places = match index.find_all(&part.id) {
            Ok(places) => places,
            Err(error) => return self.fail(part.file, &error),
        };
        if places.nth(1).is_none() {
            return self.fail(part.file, error);
        }
        match self.spare.chunk(PackClass::Data, &part.id) {
            Ok(chunk) => {
                let start = units::length(u64::from(part.skip));
                let wanted = chunk.get(start..start + units::length(u64::from(part.length)));
                wanted
                    .map_or_else(|| self.fail(part.file, error), |one| self.write_chunk(part, one));
            }
            Err(_) => self.fail(part.file, error),
        }
    }

    fn write_chunk(&self, part: &Part, chunk: &[u8]) {
        let Some(file) = self.file(part.file) else { return };
        match self.write(part, file, chunk) {
            Ok(()) => {
                self.monitor.count(Counter::BytesRestored, u64::from(part.length));
                self.part_done(part.file, file);
            }
            Err(error) => self.fail(part.file, &error),
        }
    }

    fn write(&self, part: &Part, file: &FilePlan, chunk: &[u8]) -> Result<()> {
        let handle = self.handle(part.file, file)?;
        handle
            .write_all_at(chunk, part.to)
            .map_err(|error| io_error(error, format!("write {}", file.path)))
    }

    fn file(&self, place: u32) -> Option<&FilePlan> {
        self.files.get(units::length(u64::from(place)))
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file; kept open only while more parts are to come.
    fn handle(&self, place: u32, file: &FilePlan) -> Result<Arc<File>> {
        let mut open = self.opened();
        if let Some(handle) = open.get(&place) {
            return Ok(Arc::clone(handle));
        }
        if open.len() >= OPEN_FILES_MAX {
            open.clear();
        }
        let handle = Arc::new(open_new(self.target, file)?);
        open.insert(place, Arc::clone(&handle));
        Ok(handle)
    }

    fn part_done(&self, place: u32, file: &FilePlan) {
        if file.parts_left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let handle = self.opened().remove(&place);
        if file.failed.load(Ordering::Acquire) {
            return give_up(self.target, file, self.monitor);
        }
        let finished = match handle {
            Some(handle) => finish(self.target, file, &handle),
            None => {
                open_new(self.target, file).and_then(|handle| finish(self.target, file, &handle))
            }
        };
        if let Err(error) = finished {
            self.monitor.warn(error.within(format!("restore {}", file.path)));
            if file.unfinished.load(Ordering::Acquire) {
                return give_up(self.target, file, self.monitor);
            }
        }
        self.monitor.count(Counter::FilesRestored, 1);
    }

    /// Marks a part as lost; the first loss of a file is reported, with its reason.
    fn fail(&self, place: u32, error: &Error) {
        let Some(file) = self.file(place) else { return };
        if !file.failed.swap(true, Ordering::AcqRel) {
            let mut warning =
                Error::new(error.kind(), format!("restore {}", file.path)).why(error.one_line());
            if error.kind() == Kind::Damaged {
                warning = warning.hint("run 'ghostsnap check --read-data'");
            }
            self.monitor.warn(warning);
        }
        self.part_done(place, file);
    }
}

/// Opens the file to write to: new, beside the old one, or the old one itself. A file of many parts
/// may be opened more than once; what somebody else put at its place is left alone.
fn open_new(target: &Target, file: &FilePlan) -> Result<File> {
    let size = file.node.meta.size;
    let ours = file.unfinished.load(Ordering::Acquire);
    let handle = match &file.way {
        Way::InPlace(inode) => target.open_same(&file.path, *inode)?,
        Way::Create if ours => target.open_file(&file.path)?,
        Way::Create => target.create(&file.path)?,
        Way::Replace(name) if ours => target.open_beside(&file.path, name)?,
        Way::Replace(name) => target.create_as(&file.path, name)?,
    };
    let is_new = !matches!(file.way, Way::InPlace(_));
    file.unfinished.store(is_new, Ordering::Release);
    if size > limits::SMALL_FILE_BYTES || !file.node.extents.is_empty() {
        handle.set_len(size).map_err(|error| io_error(error, format!("size {}", file.path)))?;
    }
    Ok(handle)
}

/// Content is complete: size, owner, mode, times, and its name. An attribute that cannot be set is
/// an error, but no reason to lose the content.
pub fn finish(target: &Target, file: &FilePlan, handle: &File) -> Result<()> {
    if matches!(file.way, Way::InPlace(_)) {
        let size = file.node.meta.size;
        handle.set_len(size).map_err(|error| io_error(error, "set its size"))?;
    }
    let dressed = target.finish_file(&file.path, handle, &file.node.meta);
    if let Way::Replace(name) = &file.way {
        target.rename(&file.path, name)?;
    }
    file.unfinished.store(false, Ordering::Release);
    dressed
}

/// A file without content: made and finished at once.
pub fn write_empty(target: &Target, file: &FilePlan, monitor: &dyn Monitor) -> Result<()> {
    let handle = open_new(target, file)?;
    let size = file.node.meta.size;
    let sized = handle.set_len(size).map_err(|error| io_error(error, "set its size"));
    let finished = sized.and_then(|()| finish(target, file, &handle));
    if finished.is_err() {
        give_up(target, file, monitor);
    }
    finished
}

/// A file that could not be completed must not look like one that was.
fn give_up(target: &Target, file: &FilePlan, monitor: &dyn Monitor) {
    if !file.unfinished.load(Ordering::Acquire) {
        return;
    }
    let removed = match &file.way {
        Way::Create => target.unlink(&file.path, file.path.name().unwrap_or_default()),
        Way::Replace(name) => target.unlink(&file.path, name),
        Way::InPlace(_) => return,
    };
    if let Err(error) = removed {
        monitor.warn(error.within(format!("remove the incomplete {}", file.path)));
    }
}
