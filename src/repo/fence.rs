// SPDX-License-Identifier: MIT
//! The last look before a snapshot is stored: is everything still there that it counts on? A prune
//! removes only what was marked as unneeded a grace period before, so a run that is shorter need
//! not look. One that is longer, or that could leave no lock, does, and claims what was marked
//! meanwhile: whoever wants to remove it looks for claims *after* it has noted what it drops, and
//! here drops are looked for *after* the claim, so one of the two sees the other.

use super::{Index, IndexedRepository};
use crate::backend::{FileKind, FileName};
use crate::base::{ChunkId, Error, FileId, Kind, Result, Within, limits, units};
use crate::format::{IndexSegment, Note, NoteKind, PackClass, PackReader, Snapshot};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// Which packs of an index somebody has counted on: a bit each.
#[derive(Debug, Default)]
pub(super) struct Relied(Vec<AtomicU64>);

impl Relied {
    /// On none of this index yet.
    pub(super) fn new(index: &Index) -> Self {
        Self((0..=index.packs().len() / 64).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn note(&self, pack: u32) {
        let word = self.0.get(units::length(u64::from(pack / 64)));
        let bit = 1 << (pack % 64);
        if let Some(word) = word
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn has(&self, pack: u32) -> bool {
        let word = self.0.get(units::length(u64::from(pack / 64)));
        word.is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (pack % 64)) != 0)
    }
}

/// What segments that this process did not know say.
#[derive(Default)]
struct News {
    /// Segments that were replaced before: stored once more, they are no news.
    buried: HashSet<FileId>,
    /// All segments that are there now.
    listed: HashSet<FileId>,
    /// Those that were new, read once.
    read: HashMap<FileId, IndexSegment>,
}

impl News {
    /// Reads what is new until a listing shows nothing else and nothing has vanished: what takes
    /// over a segment that is gone was there before it went, so the next listing has it.
    fn look(&mut self, repository: &IndexedRepository) -> Result<()> {
        let segments = repository.index().segments();
        let known: HashSet<FileId> = segments.iter().map(|segment| segment.id).collect();
        self.buried = segments.iter().flat_map(|one| one.replaces.iter().copied()).collect();
        for _ in 0..limits::INDEX_LISTINGS_MAX {
            let listed = repository.backend().list(FileKind::Index)?;
            let names: HashSet<FileId> = listed.iter().map(|(name, _)| name.id).collect();
            let mut is_settled = names == self.listed;
            self.listed = names;
            for (name, size) in listed {
                if known.contains(&name.id) || self.read.contains_key(&name.id) {
                    continue;
                }
                is_settled = false;
                match repository.listed_segment((name, size)) {
                    Ok(segment) => {
                        self.read.insert(name.id, segment);
                    }
                    Err(error)
                        if error.kind() == Kind::NotFound
                            && repository.backend().size(&name)?.is_none() => {}
                    Err(error) => return Err(error),
                }
            }
            if is_settled {
                return Ok(());
            }
        }
        Err(kept_changing())
    }

    /// The new segments that nobody has taken over.
    fn valid(&self) -> impl Iterator<Item = &IndexSegment> {
        let mut replaced = self.buried.clone();
        replaced.extend(self.read.values().flat_map(|one| &one.replaces));
        self.read.iter().filter(move |(id, _)| !replaced.contains(*id)).map(|(_, one)| one)
    }

    fn noted(&self, is_meant: fn(NoteKind) -> bool) -> HashSet<FileId> {
        let notes = self.valid().flat_map(|one| &one.notes);
        notes.filter(|note| is_meant(note.kind)).map(|note| note.pack).collect()
    }
}

impl IndexedRepository {
    /// Stores a snapshot, after making sure that all it counts on is still there: the commit point
    /// of whatever writes.
    pub fn commit(&self, snapshot: &Snapshot) -> Result<FileId> {
        let what = || "make sure that nothing was pruned meanwhile";
        let is_unseen = !self.is_locked_and_named()?;
        if is_unseen || self.is_late() {
            self.still_there().within(what)?;
        }
        let id = self.save_snapshot(snapshot, !is_unseen)?;
        // It may have taken long to get here; and without a lock, somebody who removes at once may
        // have missed both us and the snapshot.
        if (is_unseen || self.is_late())
            && let Err(error) = self.still_there().within(what)
        {
            return Err(match self.remove_snapshot(&id) {
                Ok(()) => error,
                Err(second) => {
                    let stays = format!("snapshot {id} is not whole and stays: {second}");
                    error.hint(stays)
                }
            });
        }
        Ok(id)
    }

    /// Whether the lock of this run is there: others can see it. Fails if the store has not what
    /// names the packs of this run.
    fn is_locked_and_named(&self) -> Result<bool> {
        let lock = self.own_lock().map(|id| FileName::new(FileKind::Lock, id));
        Ok(self.fresh.look_for(lock)?.is_some())
    }

    /// Looks whether the store has the index of what [`super::Writer::finish_to_commit`] ended, for
    /// whoever stores no snapshot after all and counts on it.
    pub fn look_for_index(&self) -> Result<()> {
        self.fresh.look_for(None).map(drop)
    }

    /// Whether what was loaded is so old that it may have been pruned. The clock counts too: the
    /// other one stands still while a machine sleeps.
    fn is_late(&self) -> bool {
        let spent = self.world().ticks().saturating_sub(self.loaded.0).as_secs();
        let passed = self.world().now().seconds.saturating_sub(self.loaded.1.seconds);
        let long = limits::FENCE_SECONDS;
        spent > long || u64::try_from(passed).is_ok_and(|time| time > long)
    }

    fn still_there(&self) -> Result<()> {
        let mut news = News::default();
        news.look(self)?;
        let mut counted = self.relied_packs();
        // What this run has stored may have been marked as well, if it takes very long.
        counted.extend(self.fresh.own_packs());
        self.check_named(&mut news, &counted)?;
        let marked = news.noted(|kind| kind == NoteKind::Mark);
        let leaving: Vec<FileId> = counted.into_iter().filter(|id| marked.contains(id)).collect();
        if leaving.is_empty() {
            return Ok(());
        }
        let time = self.world().now().seconds;
        let claim = |pack: &FileId| Note { kind: NoteKind::Claim, pack: *pack, time };
        let notes = leaving.iter().map(claim).collect();
        let segment = IndexSegment { notes, ..IndexSegment::default() };
        match self.store_segment(&segment) {
            // Whoever takes it over takes the claims over.
            Err(error) if error.kind() == Kind::InUse => {}
            stored => drop(stored?),
        }
        news.look(self)?;
        self.check_named(&mut news, &leaving)
    }

    /// The packs that somebody has counted on since the index was loaded.
    fn relied_packs(&self) -> Vec<FileId> {
        let places = (0u32..).zip(self.index().packs());
        places.filter(|(place, _)| self.relied.has(*place)).map(|(_, pack)| pack.id).collect()
    }

    /// Whether each of these packs is still named by a segment, and dropped by none. A segment that
    /// vanishes meanwhile was taken over, by one that the next look sees.
    fn check_named(&self, news: &mut News, wanted: &[FileId]) -> Result<()> {
        for _ in 0..limits::INDEX_LISTINGS_MAX {
            if self.is_named(news, wanted)? {
                return Ok(());
            }
            news.look(self)?;
        }
        Err(kept_changing())
    }

    /// The same; `false` if it cannot be told yet.
    fn is_named(&self, news: &News, wanted: &[FileId]) -> Result<bool> {
        let dropped = news.noted(NoteKind::takes_out);
        let own = self.fresh.own_packs();
        if let Some(id) = own.iter().find(|id| dropped.contains(*id)) {
            return Err(gone(format!("pack {id}, which this run has stored, was removed again")));
        }
        let mut named: HashSet<FileId> =
            news.valid().flat_map(|one| &one.packs).map(|pack| pack.id).collect();
        let kept = |segment: &&super::index::Segment| news.listed.contains(&segment.id);
        let is_all_kept = self.index().segments().iter().all(|one| kept(&one));
        if !is_all_kept {
            let Some(packs) = self.packs_of_kept_segments(news)? else { return Ok(false) };
            named.extend(packs);
        }
        let is_gone =
            |id: &&FileId| dropped.contains(*id) || (!is_all_kept && !named.contains(*id));
        let gone = wanted.iter().filter(is_gone).count();
        if gone == 0 {
            return Ok(true);
        }
        Err(self::gone(format!("{gone} packs that this run counts on were removed while it ran")))
    }

    /// Which packs the segments name that were there when the index was loaded and still are.
    /// `None` if one of them is gone by now.
    fn packs_of_kept_segments(&self, news: &News) -> Result<Option<Vec<FileId>>> {
        let mut packs = Vec::new();
        for segment in self.index().segments() {
            if segment.is_replaced || !news.listed.contains(&segment.id) {
                continue;
            }
            let name = FileName::new(FileKind::Index, segment.id);
            let segment = match self.segment(&name.id) {
                Err(error)
                    if error.kind() == Kind::NotFound && self.backend().size(&name)?.is_none() =>
                {
                    return Ok(None);
                }
                segment => segment?,
            };
            packs.extend(segment.packs.into_iter().map(|pack| pack.id));
        }
        Ok(Some(packs))
    }

    /// Whether a chunk is stored and will stay; who asks counts on it from now on.
    ///
    /// Whoever can only add counts on trees that it can read the next time, and stores others
    /// again: or it would have to read every file below them for ever.
    pub(super) fn rely_on(&self, id: &ChunkId) -> bool {
        let keys = self.keys();
        let lasting = if keys.is_write_only() {
            self.index().lasting_in(id, |pack| {
                let can_open = || PackReader::from_header(keys, pack.class, &pack.header).is_ok();
                pack.class == PackClass::Data || can_open()
            })
        } else {
            self.index().lasting(id)
        };
        lasting.inspect(|pack| self.relied.note(*pack)).is_some()
    }
}

fn kept_changing() -> Error {
    Error::new(Kind::InUse, "look through the index")
        .why("its segments kept changing")
        .hint("run the command again")
}

fn gone(why: String) -> Error {
    Error::new(Kind::InUse, "count on what is stored")
        .why(why)
        .hint("run it again: what it has stored is used")
}
