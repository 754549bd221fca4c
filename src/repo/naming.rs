// SPDX-License-Identifier: MIT
//! What index segments say of packs. They are read one after the other and need not all be in
//! memory; which of them count, and so which packs do, shows when the last was read.

use super::{Repository, authority};
use crate::base::{Error, FileId, Kind, Result, units};
use crate::format::pack::file_id;
use crate::format::{IndexSegment, Note, NoteKind, PackEntry};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The segments read so far, and the packs that they name, each under a number of its own.
#[derive(Default)]
pub struct Naming {
    segments: BTreeMap<FileId, Told>,
    numbers: HashMap<FileId, u32>,
    /// What only those say who can add: each version of a pack by its hash, under a number of its
    /// own.
    doubted: HashMap<FileId, Vec<(FileId, u32)>>,
    /// Where they do not agree: what the pack itself says, if it says anything.
    settled: HashMap<FileId, Option<FileId>>,
    count: u32,
}

/// What is kept of a segment.
pub struct Told {
    /// The segments whose content it took over.
    pub replaces: Vec<FileId>,
    /// What it notes of packs.
    pub notes: Vec<Note>,
    /// When its packs were stored.
    pub time: i64,
    /// The numbers of its packs.
    pub packs: Vec<u32>,
    /// Whether nobody who has the master keys vouches for it.
    pub is_unproven: bool,
}

/// The packs that some notes mean.
pub type Noted = HashSet<FileId>;

/// What counts.
pub struct Judged {
    /// Segments that others have taken over.
    pub replaced: HashSet<FileId>,
    /// Packs that count as if no segment named them: they are being removed, or were given up.
    pub taken_out: Noted,
    /// Of these, those that a repair has given up.
    pub given_up: Noted,
    /// Packs that nothing needed.
    pub marked: Noted,
    /// Packs that a running backup counted on.
    pub claimed: Noted,
    /// By number: when the pack was stored, as the first segment says that counts and names it.
    pub named: Vec<Option<i64>>,
    /// Numbers that only those name who can add.
    pub unproven: HashSet<u32>,
    /// Packs of which several of them say different things, and they themselves nothing.
    pub disputed: HashSet<FileId>,
}

impl Judged {
    /// Whether nobody vouches for what is said of the pack of this number.
    pub fn is_unproven(&self, number: usize) -> bool {
        u32::try_from(number).is_ok_and(|number| self.unproven.contains(&number))
    }

    /// Whether a segment that counts names the pack of this number.
    pub fn is_named(&self, number: usize) -> bool {
        self.named.get(number).is_some_and(Option::is_some)
    }

    /// When a pack was stored, if it counts.
    pub fn counts(&self, number: usize, pack: &FileId) -> Option<i64> {
        self.named.get(number).copied().flatten().filter(|_| !self.taken_out.contains(pack))
    }
}

impl Naming {
    /// Takes a segment in. `keep` gets each pack that none before has named; their numbers count
    /// from 0.
    pub fn add(
        &mut self,
        id: FileId,
        segment: IndexSegment,
        mut keep: impl FnMut(u32, PackEntry) -> Result<()>,
    ) -> Result<()> {
        let IndexSegment { packs: entries, replaces, notes, time, is_unproven } = segment;
        let mut packs = Vec::with_capacity(entries.len());
        for entry in entries {
            let digest = is_unproven.then(|| digest_of(&entry));
            let known = match &digest {
                None => self.numbers.get(&entry.id).copied(),
                Some(digest) => {
                    let versions = self.doubted.get(&entry.id).into_iter().flatten();
                    let mut same = versions.filter(|(one, _)| one == digest);
                    same.next().map(|(_, number)| *number)
                }
            };
            if let Some(number) = known {
                packs.push(number);
                continue;
            }
            let number = self.count;
            self.count = self.count.checked_add(1).ok_or_else(too_many)?;
            match digest {
                None => drop(self.numbers.insert(entry.id, number)),
                Some(digest) => self.doubted.entry(entry.id).or_default().push((digest, number)),
            }
            packs.push(number);
            keep(number, entry)?;
        }
        self.segments.insert(id, Told { replaces, notes, time, packs, is_unproven });
        Ok(())
    }

    /// Whether a segment was taken in.
    pub fn has(&self, segment: &FileId) -> bool {
        self.segments.contains_key(segment)
    }

    /// How many segments were taken in.
    pub fn count(&self) -> usize {
        self.segments.len()
    }

    /// Says what counts, now that all segments were taken in.
    pub fn judge(&self) -> Judged {
        let replaced: HashSet<FileId> =
            self.segments.values().flat_map(|one| one.replaces.iter().copied()).collect();
        let valid = || self.segments.iter().filter(|(id, _)| !replaced.contains(id));
        let noted = |is_meant: fn(NoteKind) -> bool| -> Noted {
            let notes = valid().flat_map(|(_, segment)| &segment.notes);
            notes.filter(|note| is_meant(note.kind)).map(|note| note.pack).collect()
        };
        let mut named = vec![None; units::length(u64::from(self.count))];
        for (_, segment) in valid() {
            for number in &segment.packs {
                if let Some(time) = named.get_mut(units::length(u64::from(*number))) {
                    time.get_or_insert(segment.time);
                }
            }
        }
        let (unproven, disputed) = self.doubt(&mut named);
        Judged {
            unproven,
            disputed,
            taken_out: noted(NoteKind::takes_out),
            given_up: noted(|kind| kind == NoteKind::Damaged),
            marked: noted(|kind| kind == NoteKind::Mark),
            claimed: noted(|kind| kind == NoteKind::Claim),
            named,
            replaced,
        }
    }

    /// Takes out of what is named what is not to be believed: what only those say who can add,
    /// where somebody else says something, or where they do not agree and the pack itself says
    /// otherwise or nothing. Returns what is left of it, and the packs of which nothing is.
    fn doubt(&self, named: &mut [Option<i64>]) -> (HashSet<u32>, HashSet<FileId>) {
        let (mut unproven, mut disputed) = (HashSet::new(), HashSet::new());
        for (pack, versions) in &self.doubted {
            let place = |number: u32| units::length(u64::from(number));
            let is_named = |number: u32, named: &[Option<i64>]| {
                named.get(place(number)).is_some_and(Option::is_some)
            };
            let is_proven = self.numbers.get(pack).is_some_and(|number| is_named(*number, named));
            let alive: Vec<&(FileId, u32)> =
                versions.iter().filter(|(_, number)| is_named(*number, named)).collect();
            let said = self.settled.get(pack).copied().flatten();
            let believed = match alive.as_slice() {
                _ if is_proven => None,
                [(_, number)] => Some(*number),
                several => {
                    let mut same = several.iter().filter(|(digest, _)| Some(*digest) == said);
                    same.next().map(|(_, number)| *number)
                }
            };
            if believed.is_none() && !is_proven && !alive.is_empty() {
                disputed.insert(*pack);
            }
            unproven.extend(believed);
            for (_, number) in alive.into_iter().filter(|(_, number)| Some(*number) != believed) {
                if let Some(time) = named.get_mut(place(*number)) {
                    *time = None;
                }
            }
        }
        (unproven, disputed)
    }

    /// Where those who can only add do not agree, lets the packs themselves decide.
    pub fn settle(&mut self, repository: &Repository) -> Result<()> {
        for pack in self.judge().disputed {
            let end = authority::end_of(repository, &pack)?;
            self.settled.insert(pack, end.as_ref().map(digest_of));
        }
        Ok(())
    }

    /// The segments, by name.
    pub fn into_segments(self) -> impl Iterator<Item = (FileId, Told)> {
        self.segments.into_iter()
    }
}

/// Two that say the same of a pack have the same.
fn digest_of(entry: &PackEntry) -> FileId {
    let packs = vec![entry.clone()];
    file_id(&IndexSegment { packs, ..IndexSegment::default() }.encode())
}

fn too_many() -> Error {
    Error::new(Kind::Limit, "load the index").why("it has too many entries")
}

/// An index that does not fit into numbers of 32 bits.
pub(super) fn full(_: std::num::TryFromIntError) -> Error {
    too_many()
}
