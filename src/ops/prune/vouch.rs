// SPDX-License-Identifier: MIT
//! Where there are write-only keys, index segments of those who have no others prove nothing.
//! Before a prune decides anything it compares what they say of each pack with the pack's own end,
//! once, and says the same in the name of the master keys. What does not agree stays as it is, and
//! no pack goes by it.

use super::book::remove_segments;
use crate::backend::{FileKind, FileName};
use crate::base::monitor::{Stage, check_cancelled};
use crate::base::{Counter, FileId, Kind, Monitor, Result, Within, limits, units};
use crate::format::envelope::is_deposit;
use crate::format::{IndexSegment, PackEntry};
use crate::repo::{Repository, pack_entry};
use std::collections::{HashMap, HashSet};

/// Vouches for what can be. `now` in seconds since 1970; segments that are younger than `grace`
/// stay, as somebody may be about to look for them.
pub(super) fn vouch(
    repository: &Repository,
    now: i64,
    grace: i64,
    monitor: &dyn Monitor,
) -> Result<()> {
    if !repository.keys().has_authority() {
        return Ok(());
    }
    let segments = segments(repository)?;
    let replaced: HashSet<FileId> =
        segments.iter().flat_map(|one| one.replaces.iter().copied()).collect();
    let valid = || segments.iter().filter(|one| !replaced.contains(&one.id));
    let mut known: HashSet<FileId> = HashSet::new();
    for segment in valid().filter(|one| !one.is_unproven) {
        known.extend(&segment.packs);
    }
    let unproven = || valid().filter(|one| one.is_unproven);
    let mut said: HashMap<FileId, i64> = HashMap::new();
    for segment in unproven() {
        for pack in segment.packs.iter().filter(|pack| !known.contains(*pack)) {
            let time = said.entry(*pack).or_insert(segment.time);
            *time = (*time).max(segment.time);
        }
    }
    // No younger than they can be, whatever was said.
    let time = said.values().copied().max().unwrap_or_default().min(now);
    if unproven().next().is_none() {
        return Ok(());
    }
    let there: HashMap<FileId, u64> = repository
        .backend()
        .list(FileKind::Pack)?
        .into_iter()
        .map(|(name, size)| (name.id, size))
        .collect();
    let ends = read_ends(repository, said.into_keys().collect(), &there, monitor)?;
    known.extend(ends.iter().map(|entry| entry.id));
    // Of what is gone on purpose nothing is left to say.
    let gone = valid().flat_map(|one| &one.gone).filter(|id| !there.contains_key(*id));
    known.extend(gone);
    let is_over = |time: i64| time == 0 || now.saturating_sub(time) >= grace;
    let is_done = |segment: &&Said| {
        is_over(segment.time)
            && !segment.packs.is_empty()
            && !segment.has_notes
            && segment.packs.iter().all(|pack| known.contains(pack))
    };
    let done = unproven().filter(is_done).map(|one| one.id).collect();
    store(repository, ends, done, time)
}

/// What matters here of a segment.
struct Said {
    id: FileId,
    packs: Vec<FileId>,
    replaces: Vec<FileId>,
    /// Packs that do not count any more, whoever lists them.
    gone: Vec<FileId>,
    has_notes: bool,
    time: i64,
    is_unproven: bool,
}

impl Said {
    fn of(id: FileId, segment: IndexSegment) -> Self {
        let gone = segment.notes.iter().filter(|note| note.kind.takes_out());
        Self {
            id,
            packs: segment.packs.iter().map(|pack| pack.id).collect(),
            gone: gone.map(|note| note.pack).collect(),
            has_notes: !segment.notes.is_empty(),
            replaces: segment.replaces,
            time: segment.time,
            is_unproven: segment.is_unproven,
        }
    }
}

/// All segments, as [`crate::repo::Index::load`] takes them.
fn segments(repository: &Repository) -> Result<Vec<Said>> {
    let mut segments = Vec::new();
    let mut seen = HashSet::new();
    for round in 0..limits::INDEX_LISTINGS_MAX {
        let before = seen.len();
        for (name, _) in repository.backend().list(FileKind::Index)? {
            if !seen.insert(name) {
                continue;
            }
            match repository.segment(&name.id) {
                Ok(segment) => segments.push(Said::of(name.id, segment)),
                Err(error)
                    if error.kind() == Kind::NotFound
                        && repository.backend().size(&name)?.is_none() => {}
                Err(error) => return Err(error.within(format!("read {name}"))),
            }
        }
        if round > 0 && seen.len() == before {
            break;
        }
    }
    Ok(segments)
}

/// What these packs say of themselves, as far as they are there and say anything.
fn read_ends(
    repository: &Repository,
    mut packs: Vec<FileId>,
    there: &HashMap<FileId, u64>,
    monitor: &dyn Monitor,
) -> Result<Vec<PackEntry>> {
    packs.sort_unstable();
    let total = Some((Counter::Checked, units::bytes(packs.len())));
    if !packs.is_empty() {
        monitor.stage(Stage::Step { name: "reading the ends of new packs", total });
    }
    let mut ends = Vec::new();
    for id in packs {
        check_cancelled(monitor)?;
        let name = FileName::new(FileKind::Pack, id);
        let Some(size) = there.get(&id) else { continue };
        match pack_entry(repository, &name, *size) {
            // A pack of the owner's that only others name is a copy, and its blobs may be bent.
            Ok(entry) if is_deposit(&entry.header) => ends.push(entry),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), Kind::Damaged | Kind::NotFound | Kind::Newer) => {
                monitor.warn(error.within(format!("make sure of what is in {name}")));
            }
            Err(error) => return Err(error.within(format!("make sure of what is in {name}"))),
        }
        monitor.count(Counter::Checked, 1);
    }
    Ok(ends)
}

/// Stores what is vouched for, in segments of bounded size; then those go of which nothing is left
/// to say. No segment names them: what is proven goes before what they say, should they come back.
fn store(
    repository: &Repository,
    ends: Vec<PackEntry>,
    done: Vec<FileId>,
    time: i64,
) -> Result<()> {
    let mut open = IndexSegment { time, ..IndexSegment::default() };
    let mut chunks = 0;
    let what = || "vouch for new packs";
    for pack in ends {
        let inside: usize = pack.blobs.iter().map(|blob| blob.chunks.len()).sum();
        if chunks + inside > limits::INDEX_SEGMENT_CHUNKS && !open.packs.is_empty() {
            let full = std::mem::replace(&mut open, IndexSegment { time, ..Default::default() });
            repository.store_segment(&full).within(what)?;
            chunks = 0;
        }
        chunks += inside;
        open.packs.push(pack);
    }
    if !open.packs.is_empty() {
        repository.store_segment(&open).within(what)?;
    }
    remove_segments(repository, done)
}
