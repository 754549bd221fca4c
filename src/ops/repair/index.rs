// SPDX-License-Identifier: MIT
//! Making the index anew from the sealed ends of all packs.

use super::alone;
use crate::backend::{FileKind, FileName};
use crate::base::monitor::{Stage, check_cancelled};
use crate::base::{Counter, Error, FileId, Kind, Monitor, Result, units};
use crate::format::envelope::HEADER_BYTES;
use crate::format::{IndexSegment, Note, NoteKind, PackEntry, RecordKind};
use crate::ops::check::check_pack;
use crate::repo::{Repository, pack_entry};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Reads the end of every pack and stores one new index of what is really there; only then the old
/// segments go. A pack whose end is damaged is a warning and keeps the entry it had. Anything else
/// that cannot be read (a store that does not answer, a newer version) ends it before a change.
pub fn rebuild_index(repository: &Repository, monitor: &dyn Monitor) -> Result<u64> {
    repository.refuse_write_only("make the index anew")?;
    // It takes the notes of a prune back, so none may be acting on them.
    let _held = alone(repository, "make the index anew", monitor)?;
    // The segments first: all they name was stored before them and so is in the list of packs. A
    // backup that ends after this adds a segment of its own, which is not among the old ones.
    let old = old_segments(repository)?;
    let packs = repository.backend().list(FileKind::Pack)?;
    let total = Some((Counter::Checked, units::bytes(packs.len())));
    monitor.stage(Stage::Step { name: "reading the ends of packs", total });
    let mut entries = Vec::new();
    let mut damaged = HashMap::new();
    for (name, size) in packs {
        check_cancelled(monitor)?;
        match pack_entry(repository, &name, size) {
            Ok(entry) => entries.push(entry),
            Err(error) if error.kind() == Kind::Damaged => {
                monitor.warn(error.within(format!("index {name}")));
                damaged.insert(name.id, Some(size));
            }
            // Pruned by somebody else since the listing.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error.within(format!("index {name}"))),
        }
        monitor.count(Counter::Checked, 1);
    }
    let mut entries = without_copies(repository, &old, entries, monitor)?;
    // What is not there may come back with a disk: its entry stays, and says what is missing.
    let found: HashSet<FileId> = entries.iter().map(|entry| entry.id).collect();
    let (notes, away) = away(repository, &old, &found)?;
    for id in away {
        let is_given_up = notes.iter().any(|note| note.pack == id);
        if damaged.insert(id, None).is_none() && !is_given_up {
            monitor.warn(
                Error::new(Kind::Damaged, format!("index pack {id}"))
                    .why("it is missing")
                    .hint("'ghostsnap repair packs' gives it up, if it is not to be had"),
            );
        }
    }
    let old = without_unproven(repository, old, &damaged)?;
    if !damaged.is_empty() {
        entries.extend(known_entries(repository, &old, damaged)?);
    }
    let found = units::bytes(entries.len());
    if entries.is_empty() {
        return Ok(found);
    }
    if !notes.is_empty() {
        repository.store_segment(&IndexSegment { notes, ..IndexSegment::default() })?;
    }
    let replaces = with_buried(repository, &old)?;
    let segment = IndexSegment { packs: entries, replaces, ..IndexSegment::default() };
    repository.store_segment(&segment)?;
    for id in old {
        repository.backend().remove(&FileName::new(FileKind::Index, id))?;
    }
    Ok(found)
}

/// These segments, and all that were replaced before them: whoever can only add may store those
/// once more, as they were signed.
fn with_buried(repository: &Repository, old: &[FileId]) -> Result<Vec<FileId>> {
    let mut all: BTreeSet<FileId> = old.iter().copied().collect();
    if repository.keys().has_authority() {
        each_readable(repository, old, |id, segment| {
            // That took nothing away, and what is proven goes before what it says.
            if segment.is_unproven {
                all.remove(id);
            }
            all.extend(segment.replaces);
        })?;
    }
    Ok(all.into_iter().collect())
}

/// These packs without those that have another one's header, that the old index did not name, and
/// that are not whole: salts are never used twice, so they are copies, and of a copy the end alone
/// proves nothing.
fn without_copies(
    repository: &Repository,
    old: &[FileId],
    entries: Vec<PackEntry>,
    monitor: &dyn Monitor,
) -> Result<Vec<PackEntry>> {
    let mut times: HashMap<[u8; HEADER_BYTES], u32> = HashMap::new();
    for entry in &entries {
        *times.entry(entry.header).or_default() += 1;
    }
    times.retain(|_, times| *times > 1);
    if times.is_empty() {
        return Ok(entries);
    }
    let mut named = HashSet::new();
    each_readable(repository, old, |_, segment| {
        if !segment.is_unproven {
            named.extend(segment.packs.into_iter().map(|pack| pack.id));
        }
    })?;
    let mut whole = Vec::new();
    for entry in entries {
        if times.contains_key(&entry.header)
            && !named.contains(&entry.id)
            && let Err(error) = check_pack(repository, &entry, monitor)
        {
            if error.kind() != Kind::Damaged {
                return Err(error);
            }
            monitor.warn(error.within(format!("index pack {}, a copy of another one", entry.id)));
            continue;
        }
        whole.push(entry);
    }
    Ok(whole)
}

/// The segments that this program may replace.
fn old_segments(repository: &Repository) -> Result<Vec<FileId>> {
    let mut old = Vec::new();
    for (name, _) in repository.backend().list(FileKind::Index)? {
        match repository.load_record(RecordKind::Index, &name.id) {
            Err(error) if error.kind() == Kind::Newer => {
                return Err(error.within("rebuild the index"));
            }
            Err(error) if !matches!(error.kind(), Kind::Damaged | Kind::NotFound) => {
                return Err(error);
            }
            _ => old.push(name.id),
        }
    }
    Ok(old)
}

/// The notes of packs that a repair has given up, which stay: they end well, and are damaged all
/// the same. And the packs that the old index named, that nobody has marked or dropped, and that
/// are not among these.
fn away(
    repository: &Repository,
    old: &[FileId],
    found: &HashSet<FileId>,
) -> Result<(Vec<Note>, Vec<FileId>)> {
    let mut replaced = HashSet::new();
    let mut told = Vec::new();
    each_readable(repository, old, |id, segment| {
        replaced.extend(segment.replaces);
        let packs = segment.packs.into_iter().map(|pack| pack.id);
        let away: Vec<FileId> = packs.filter(|id| !found.contains(id)).collect();
        told.push((*id, segment.notes, away));
    })?;
    told.retain(|(id, ..)| !replaced.contains(id));
    let all_notes = || told.iter().flat_map(|(_, notes, _)| notes);
    let is_going = |note: &&Note| matches!(note.kind, NoteKind::Mark | NoteKind::Drop);
    let going: HashSet<FileId> = all_notes().filter(is_going).map(|note| note.pack).collect();
    let damaged = all_notes().filter(|note| note.kind == NoteKind::Damaged).copied();
    let notes: BTreeSet<Note> = damaged.collect();
    let away = told.iter().flat_map(|(.., away)| away).filter(|id| !going.contains(*id));
    let away: BTreeSet<FileId> = away.copied().collect();
    Ok((notes.into_iter().collect(), away.into_iter().collect()))
}

/// These segments without those that say something of a damaged pack for which nobody vouches: made
/// anew, it would look as if somebody did.
fn without_unproven(
    repository: &Repository,
    old: Vec<FileId>,
    damaged: &HashMap<FileId, Option<u64>>,
) -> Result<Vec<FileId>> {
    if damaged.is_empty() || !repository.keys().has_authority() {
        return Ok(old);
    }
    let mut staying = HashSet::new();
    each_readable(repository, &old, |id, segment| {
        if segment.is_unproven && segment.packs.iter().any(|pack| damaged.contains_key(&pack.id)) {
            staying.insert(*id);
        }
    })?;
    Ok(old.into_iter().filter(|id| !staying.contains(id)).collect())
}

/// Takes those of these segments that can be read, one after the other.
fn each_readable(
    repository: &Repository,
    ids: &[FileId],
    mut take: impl FnMut(&FileId, IndexSegment),
) -> Result<()> {
    for id in ids {
        match repository.segment(id) {
            Ok(segment) => take(id, segment),
            Err(error) if matches!(error.kind(), Kind::Damaged | Kind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What the readable old segments say of these packs: a damaged end leaves most blobs whole.
fn known_entries(
    repository: &Repository,
    old: &[FileId],
    mut wanted: HashMap<FileId, Option<u64>>,
) -> Result<Vec<PackEntry>> {
    let mut known = Vec::new();
    each_readable(repository, old, |_, segment| {
        known.extend(segment.packs.into_iter().filter(|pack| {
            let size = wanted.get(&pack.id);
            let fits = size.is_some_and(|size| size.is_none_or(|size| size == pack.size));
            fits && wanted.remove(&pack.id).is_some()
        }));
    })?;
    Ok(known)
}
