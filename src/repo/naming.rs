// SPDX-License-Identifier: MIT
//! What index segments say of packs. They are read one after the other and need not all be in
//! memory; which of them count, and so which packs do, shows when the last was read.

use crate::base::{Error, FileId, Kind, Result, units};
use crate::format::{IndexSegment, Note, NoteKind, PackEntry};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The segments read so far, and the packs that they name, each under a number of its own.
#[derive(Default)]
pub struct Naming {
    segments: BTreeMap<FileId, Told>,
    numbers: HashMap<FileId, u32>,
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
}

impl Judged {
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
        let IndexSegment { packs: entries, replaces, notes, time } = segment;
        let mut packs = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(number) = self.numbers.get(&entry.id) {
                packs.push(*number);
                continue;
            }
            let number = u32::try_from(self.numbers.len()).map_err(full)?;
            self.numbers.insert(entry.id, number);
            packs.push(number);
            keep(number, entry)?;
        }
        self.segments.insert(id, Told { replaces, notes, time, packs });
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
        let mut named = vec![None; self.numbers.len()];
        for (_, segment) in valid() {
            for number in &segment.packs {
                if let Some(time) = named.get_mut(units::length(u64::from(*number))) {
                    time.get_or_insert(segment.time);
                }
            }
        }
        Judged {
            taken_out: noted(NoteKind::takes_out),
            given_up: noted(|kind| kind == NoteKind::Damaged),
            marked: noted(|kind| kind == NoteKind::Mark),
            claimed: noted(|kind| kind == NoteKind::Claim),
            named,
            replaced,
        }
    }

    /// The segments, by name.
    pub fn into_segments(self) -> impl Iterator<Item = (FileId, Told)> {
        self.segments.into_iter()
    }
}

/// An index that does not fit into numbers of 32 bits.
pub(super) fn full(_: std::num::TryFromIntError) -> Error {
    Error::new(Kind::Limit, "load the index").why("it has too many entries")
}
