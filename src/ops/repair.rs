// SPDX-License-Identifier: MIT
//! Making the index anew from the sealed ends of all packs.

use crate::backend::{FileKind, FileName};
use crate::base::error::io_error;
use crate::base::monitor::{Stage, check_cancelled};
use crate::base::{Counter, Error, FileId, Kind, Monitor, Result, Within, units};
use crate::format::envelope::HEADER_BYTES;
use crate::format::pack::{FOOTER_BYTES, blobs_end, end_length};
use crate::format::{IndexSegment, PackClass, PackEntry, PackReader, RecordKind};
use crate::repo::Repository;
use crate::repo::locks::{Held, in_use};
use std::collections::HashMap;

/// Reads the end of every pack and stores one new index of what is really there; only then the old
/// segments go. A pack whose end is damaged is a warning and keeps the entry it had. Anything else
/// that cannot be read (a store that does not answer, a newer version) ends it before a change.
pub fn rebuild_index(repository: &Repository, monitor: &dyn Monitor) -> Result<u64> {
    // It takes the notes of a prune back, so none may be acting on them.
    let held = match repository.lock("repair") {
        Err(error) if error.kind() == Kind::Disk => None,
        held => held?,
    };
    let mut others = repository.others_at_work(held.as_ref().map(Held::id), monitor)?;
    others.retain(|one| one.lock.as_ref().is_none_or(|lock| lock.work == "prune"));
    if !others.is_empty() {
        return Err(in_use("make the index anew", &others));
    }
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
                damaged.insert(name.id, size);
            }
            // Pruned by somebody else since the listing.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error.within(format!("index {name}"))),
        }
        monitor.count(Counter::Checked, 1);
    }
    if !damaged.is_empty() {
        entries.extend(known_entries(repository, &old, damaged)?);
    }
    let found = units::bytes(entries.len());
    if entries.is_empty() {
        return Ok(found);
    }
    let segment = IndexSegment { packs: entries, replaces: old.clone(), ..IndexSegment::default() };
    repository.store_record(RecordKind::Index, 0, &segment.encode())?;
    for id in old {
        repository.backend().remove(&FileName::new(FileKind::Index, id))?;
    }
    Ok(found)
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

/// What the readable old segments say of these packs: a damaged end leaves most blobs whole.
fn known_entries(
    repository: &Repository,
    old: &[FileId],
    mut wanted: HashMap<FileId, u64>,
) -> Result<Vec<PackEntry>> {
    let mut known = Vec::new();
    for id in old {
        let segment = repository
            .load_record(RecordKind::Index, id)
            .and_then(|plain| IndexSegment::decode(&plain));
        match segment {
            Ok(segment) => known.extend(segment.packs.into_iter().filter(|pack| {
                wanted.get(&pack.id) == Some(&pack.size) && wanted.remove(&pack.id).is_some()
            })),
            Err(error) if matches!(error.kind(), Kind::Damaged | Kind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}

/// What lies in one pack, from its end alone.
pub fn pack_entry(repository: &Repository, name: &FileName, size: u64) -> Result<PackEntry> {
    let damaged = |why: &str| Error::new(Kind::Damaged, "read its end").why(why.to_owned());
    let backend = repository.backend();
    let footer_at = size
        .checked_sub(units::bytes(FOOTER_BYTES))
        .filter(|at| *at >= units::bytes(HEADER_BYTES))
        .ok_or_else(|| damaged("it is too short"))?;
    let start = backend.read(name, 0..units::bytes(HEADER_BYTES))?;
    let footer = backend.read(name, footer_at..size)?;
    let length = end_length(&footer, size)?;
    let sealed = backend.read(name, footer_at - length..footer_at)?;
    let header = <[u8; HEADER_BYTES]>::try_from(start.as_slice())
        .map_err(|_| damaged("its header is cut off"))?;
    let mut trouble = None;
    for class in [PackClass::Data, PackClass::Meta] {
        let read = PackReader::new(repository.keys(), class, &start)
            .and_then(|reader| reader.open_end(&sealed));
        match read {
            Ok(blobs) if blobs_end(&blobs) == footer_at - length => {
                return Ok(PackEntry { id: name.id, class, size, header, blobs });
            }
            Ok(_) => trouble = Some(damaged("its list of blobs does not fit its size")),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    let unknown = || io_error(std::io::Error::from(std::io::ErrorKind::InvalidData), "read it");
    Err(trouble.unwrap_or_else(unknown)).within(|| "read its end")
}
