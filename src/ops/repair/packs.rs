// SPDX-License-Identifier: MIT
//! Saves what can be read of damaged packs into new ones and takes the damaged ones out of the
//! index, so that nobody counts on them: the next backup stores again what of it still exists.
//! With a second repository that holds the same, what cannot be read here is taken from there.

use super::alone;
use super::heal;
use super::losses::{Affected, affected, is_loss, snapshot_names, twice};
use crate::backend::{FileKind, FileName};
use crate::base::monitor::{Stage, check_cancelled};
use crate::base::{ChunkId, Counter, Error, FileId, Kind, Monitor, Result, Within, units};
use crate::format::compress::decompress;
use crate::format::{
    BlobEntry, Compression, IndexSegment, Note, NoteKind, PackClass, PackEntry, PackReader,
};
use crate::ops::check::{CheckReport, Listed, check_segments, read_packs};
use crate::ops::prune::book::Book;
use crate::ops::prune::plan::Notes;
use crate::repo::pack_list::{PackHead, PackList};
use crate::repo::writer::check_chunks;
use crate::repo::{Bundle, IndexedRepository, Reader, Repository, Writer, WriterOptions};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How packs are repaired.
#[derive(Debug, Clone, Copy, Default)]
pub struct PackOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Of zstd, for what is compressed anew.
    pub level: i32,
}

/// What became of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackFate {
    /// It was asked for by name, and nothing is wrong with it.
    Sound,
    /// It was given up before and is whole after all: it counts again.
    Back,
    /// All that it held is in new packs.
    Saved,
    /// Some of what it held cannot be had.
    Lost,
}

impl PackFate {
    /// The word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Back => "back",
            Self::Saved => "saved",
            Self::Lost => "lost",
        }
    }
}

/// A pack that was looked at.
#[derive(Debug)]
pub struct PackRepair {
    /// Its name.
    pub id: FileId,
    /// What was wrong with it.
    pub why: String,
    /// What became of it.
    pub fate: PackFate,
    /// Chunks that are in new packs now.
    pub saved: u64,
    /// Chunks that cannot be had.
    pub lost: Vec<ChunkId>,
}

/// What a repair of packs did.
#[derive(Debug, Default)]
pub struct PacksReport {
    /// The packs with which something was wrong, and those that were named.
    pub packs: Vec<PackRepair>,
    /// Chunks that were taken from the other repository.
    pub healed: u64,
    /// The snapshots of which something is lost after all.
    pub affected: Vec<Affected>,
}

/// Repairs these packs, or without any all that are damaged, for which all data is read.
pub fn repair_packs(
    repository: Repository,
    wanted: &[FileId],
    other: Option<&IndexedRepository>,
    options: PackOptions,
    monitor: &dyn Monitor,
) -> Result<PacksReport> {
    repository.refuse_write_only("repair packs")?;
    let held = alone(&repository, "repair packs", monitor)?.map(Arc::new);
    let index = sound_index(&repository, monitor)?;
    let (entries, given_up) = (&index.entries, &index.damaged);
    let mut report = PacksReport::default();
    let back = find_whole(&repository, &index, wanted, monitor)?;
    report.packs.extend(back.iter().map(|id| untouched(*id, PackFate::Back)));
    let wanted: Vec<FileId> = wanted.iter().copied().filter(|id| !back.contains(id)).collect();
    let known: HashSet<FileId> = entries.iter().chain(given_up).map(|entry| entry.id).collect();
    refuse_unknown(&known, &wanted)?;
    let damaged = find_damaged(&repository, &index, &wanted, monitor)?;
    let is_given_up = |id: &FileId| given_up.iter().any(|entry| entry.id == *id);
    let sound = wanted.iter().filter(|id| !damaged.contains_key(*id) && !is_given_up(id));
    report.packs.extend(sound.map(|id| untouched(*id, PackFate::Sound)));
    let listed = snapshot_names(&repository)?;
    let mut repository = repository.indexed_under(held, monitor)?;
    let level = WriterOptions { level: options.level, ..WriterOptions::default() };
    let writing = WriterOptions { dry_run: options.dry_run, ..level };
    if !options.dry_run && !back.is_empty() {
        take_back(&repository, &back)?;
        repository.reload(monitor)?;
    }
    let damaged = entries.iter().filter_map(|one| Some((one, damaged.get(&one.id)?.clone())));
    let damaged = (&index.list, damaged.collect());
    report.packs.extend(save_all(&repository, damaged, other, writing, monitor)?);
    if options.dry_run {
        report.affected = affected(&repository, &listed, monitor)?;
        return Ok(report);
    }
    let was_read = |one: &&PackRepair| matches!(one.fate, PackFate::Saved | PackFate::Lost);
    let going: Vec<FileId> = report.packs.iter().filter(was_read).map(|one| one.id).collect();
    give_up(&repository, &going)?;
    let listed = snapshot_names(&repository)?;
    repository.reload(monitor)?;
    if let Some(other) = other {
        report.healed = heal::from_copy(&mut repository, other, level, monitor)?;
    }
    for pack in &mut report.packs {
        let mut lost = Vec::new();
        for id in std::mem::take(&mut pack.lost) {
            if !repository.index().contains(&id)? {
                lost.push(id);
            }
        }
        pack.lost = lost;
        if pack.lost.is_empty() && pack.fate == PackFate::Lost {
            pack.fate = PackFate::Saved;
        }
    }
    report.affected = affected(&repository, &listed, monitor)?;
    Ok(report)
}

/// Writes what can be read of each pack anew; a blob that cannot be read is taken from a twin of
/// the repository, if there is one. Nothing is removed.
fn save_all(
    repository: &IndexedRepository,
    (list, damaged): (&PackList, Vec<(&PackHead, String)>),
    other: Option<&IndexedRepository>,
    options: WriterOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<PackRepair>> {
    monitor.stage(Stage::Step { name: "saving what can be read", total: None });
    let twin = other.filter(|other| heal::is_twin(repository, other)).map(|other| &**other);
    let reader = Reader::new(repository);
    let writer = Writer::new(repository, options);
    let mut done = Vec::new();
    for (entry, why) in damaged {
        check_cancelled(monitor)?;
        let (saved, lost) = save(repository, &list.entry(entry)?, twin, &reader, &writer)?;
        let fate = if lost.is_empty() { PackFate::Saved } else { PackFate::Lost };
        done.push(PackRepair { id: entry.id, why, fate, saved, lost });
    }
    writer.finish()?;
    Ok(done)
}

/// All packs of an index that can be read in full: whoever drops packs must know where else their
/// chunks are.
fn sound_index(repository: &Repository, monitor: &dyn Monitor) -> Result<Listed> {
    let mut report = CheckReport::default();
    let listed = check_segments(repository, &mut report, monitor)?;
    if let Some(finding) = report.findings.first() {
        return Err(Error::new(Kind::Damaged, "repair packs")
            .why(format!("{}: {}", finding.object, finding.detail))
            .hint("make the index anew first: 'ghostsnap repair index'"));
    }
    Ok(listed)
}

fn untouched(id: FileId, fate: PackFate) -> PackRepair {
    PackRepair { id, why: String::new(), fate, saved: 0, lost: Vec::new() }
}

/// Which packs that were given up are whole: a disk that was not there is there again.
fn find_whole(
    repository: &Repository,
    index: &Listed,
    wanted: &[FileId],
    monitor: &dyn Monitor,
) -> Result<HashSet<FileId>> {
    let sizes: HashMap<FileName, u64> =
        repository.backend().list(FileKind::Pack)?.into_iter().collect();
    let there = |entry: &&PackHead| {
        sizes.get(&FileName::new(FileKind::Pack, entry.id)) == Some(&entry.size)
            && (wanted.is_empty() || wanted.contains(&entry.id))
    };
    let chosen: Vec<&PackHead> = index.damaged.iter().filter(there).collect();
    let mut whole: HashSet<FileId> = chosen.iter().map(|entry| entry.id).collect();
    for (id, error) in read_packs(repository, &index.list, &chosen, monitor) {
        if !is_loss(&error) && error.kind() != Kind::Newer {
            return Err(error);
        }
        whole.remove(&id);
    }
    Ok(whole)
}

/// Takes the notes off that keep these packs out of the index.
fn take_back(repository: &IndexedRepository, packs: &HashSet<FileId>) -> Result<()> {
    let mut book = Book::new(repository, Notes::of(repository.index()));
    book.notes.damaged.retain(|id, _| !packs.contains(id));
    book.store()
}

fn refuse_unknown(known: &HashSet<FileId>, wanted: &[FileId]) -> Result<()> {
    let Some(unknown) = wanted.iter().find(|id| !known.contains(*id)) else { return Ok(()) };
    Err(Error::new(Kind::NotFound, format!("repair pack {unknown}"))
        .why("no index segment names it")
        .hint("'ghostsnap check --read-data' names those that are damaged"))
}

/// Which packs are damaged, and how.
fn find_damaged(
    repository: &Repository,
    index: &Listed,
    wanted: &[FileId],
    monitor: &dyn Monitor,
) -> Result<HashMap<FileId, String>> {
    let mut sizes: HashMap<FileName, u64> =
        repository.backend().list(FileKind::Pack)?.into_iter().collect();
    let mut damaged = HashMap::new();
    let mut chosen = Vec::new();
    let is_wanted = |one: &&PackHead| wanted.is_empty() || wanted.contains(&one.id);
    let name = |entry: &PackHead| FileName::new(FileKind::Pack, entry.id);
    let entries: Vec<&PackHead> = index.entries.iter().filter(is_wanted).collect();
    // A listing alone gives no pack up.
    let unlisted: Vec<FileName> =
        entries.iter().map(|entry| name(entry)).filter(|name| !sizes.contains_key(name)).collect();
    let asked = repository.backend().sizes(&unlisted)?;
    let asked = unlisted.into_iter().zip(asked).filter_map(|(name, size)| Some((name, size?)));
    sizes.extend(asked);
    for entry in entries {
        match sizes.get(&name(entry)) {
            None => drop(damaged.insert(entry.id, "it is missing".to_owned())),
            Some(size) if *size != entry.size => {
                let why = format!("it has {size} bytes instead of {}", entry.size);
                damaged.insert(entry.id, why);
            }
            Some(_) => chosen.push(entry),
        }
    }
    let bytes = chosen.iter().map(|pack| pack.size).sum();
    monitor
        .stage(Stage::Step { name: "reading data", total: Some((Counter::BytesChecked, bytes)) });
    for (id, error) in read_packs(repository, &index.list, &chosen, monitor) {
        match error.kind() {
            Kind::Damaged | Kind::NotFound => {
                damaged.insert(id, error.reasons_or_what());
            }
            Kind::Newer => monitor.warn(error.within(format!("judge pack {id}"))),
            _ => return Err(error),
        }
    }
    Ok(damaged)
}

/// Writes what can be read of a pack anew; how many chunks, and which could not be read anywhere.
fn save(
    repository: &IndexedRepository,
    entry: &PackEntry,
    twin: Option<&Repository>,
    reader: &Reader<'_>,
    writer: &Writer<'_>,
) -> Result<(u64, Vec<ChunkId>)> {
    let mut bundle = writer.bundle(entry.class)?;
    let (mut saved, mut lost) = (0, Vec::new());
    for blob in &entry.blobs {
        let own = or_lost(twice(|| read_blob(repository, entry, blob)))?;
        let packed = match (own, twin) {
            (None, Some(twin)) => or_lost(read_blob(twin, entry, blob))?,
            (own, _) => own,
        };
        if let Some(packed) = packed {
            writer.add_blob(entry.class, &packed.0, packed.1, blob.chunks.clone())?;
            saved += units::bytes(blob.chunks.len());
            continue;
        }
        for (id, _) in &blob.chunks {
            match elsewhere(repository, reader, entry, id)? {
                Some(plain) => {
                    Bundle::put(&mut bundle, writer, *id, &plain)?;
                    saved += 1;
                }
                None => lost.push(*id),
            }
        }
    }
    bundle.flush(writer)?;
    Ok((saved, lost))
}

/// A chunk from another place, if it lies in one.
fn elsewhere(
    repository: &IndexedRepository,
    reader: &Reader<'_>,
    entry: &PackEntry,
    id: &ChunkId,
) -> Result<Option<Vec<u8>>> {
    let keys = repository.keys();
    match reader.chunk(entry.class, id) {
        Ok(plain) => {
            let name = match entry.class {
                PackClass::Data => keys.data_id(&plain),
                PackClass::Meta => keys.tree_id(&plain),
            };
            Ok((name == *id).then_some(plain))
        }
        Err(error) if is_loss(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `None` for what is lost; other trouble stays trouble.
fn or_lost<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_loss(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_blob(
    repository: &Repository,
    entry: &PackEntry,
    blob: &BlobEntry,
) -> Result<(Vec<u8>, Compression)> {
    let name = FileName::new(FileKind::Pack, entry.id);
    let end = blob.offset + u64::from(blob.stored_length);
    let mut sealed = repository.backend().read(&name, blob.offset..end)?;
    let reader = PackReader::from_header(repository.keys(), entry.class, &entry.header)?;
    let packed = reader.open_blob(blob.ordinal, &mut sealed)?;
    let length = units::length(u64::from(blob.plain_length));
    let plain = decompress(blob.compression.code(), packed, length)?;
    check_chunks(repository.keys(), entry.class, &blob.chunks, &plain)?;
    Ok((packed.to_vec(), blob.compression))
}

/// Notes that these packs do not count any more. Their files go with a prune that is a grace period
/// later.
fn give_up(repository: &Repository, packs: &[FileId]) -> Result<()> {
    if packs.is_empty() {
        return Ok(());
    }
    let time = repository.world().now().seconds;
    let notes =
        packs.iter().map(|pack| Note { kind: NoteKind::Damaged, pack: *pack, time }).collect();
    let segment = IndexSegment { notes, ..IndexSegment::default() };
    repository.store_segment(&segment).within(|| "take damaged packs out of the index").map(drop)
}
