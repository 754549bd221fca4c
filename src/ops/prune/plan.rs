// SPDX-License-Identifier: MIT
//! What a prune will do with each pack: decided from the index, from what is needed and from what
//! earlier prunes have noted, without touching anything. The same plan is what `--dry-run` shows.

use super::needed::Needed;
use crate::base::{ChunkId, Error, FileId, Kind, Result, limits, units};
use crate::format::envelope::{epoch_of, is_deposit};
use crate::format::{Note, NoteKind, PackClass};
use crate::repo::Index;
use crate::repo::index::{ChunkPlace, Pack};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Seconds by which the clocks of two machines may differ.
const CLOCKS_DIFFER: i64 = 3600;

/// What a prune may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneOptions {
    /// Unneeded bytes that may stay inside of packs, in thousandths of the needed ones.
    pub max_unused: u64,
    /// Bytes of packs that may be written anew in this run.
    pub max_repack: Option<u64>,
    /// Bytes of packs that are sealed under keys from before a rotation and may be written anew in
    /// this run because of that.
    pub max_reseal: u64,
    /// The epoch of the newest keys. The prune fills it in.
    pub epoch: u16,
    /// How long what nothing needs stays marked before it is removed.
    pub grace_seconds: i64,
    /// Remove what is marked in this very run, if nobody else is at work.
    pub now: bool,
    /// Go on even if there is no snapshot at all.
    pub may_empty: bool,
    /// Bytes of a full data pack.
    pub pack_bytes: u64,
    /// Compression level of what is written anew.
    pub level: i32,
    /// Since when others have been writing: what was stored since then may be theirs, however long
    /// ago it was. The prune fills it in.
    pub busy_since: Option<i64>,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: 50,
            max_repack: None,
            max_reseal: limits::RESEAL_BYTES,
            epoch: 0,
            grace_seconds: limits::PRUNE_GRACE_SECONDS,
            now: false,
            may_empty: false,
            pack_bytes: limits::PACK_BYTES_MIN,
            level: 3,
            busy_since: None,
        }
    }
}

/// What becomes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It stays as it is.
    Keep,
    /// What is needed of it is written into a new pack; then it is marked.
    Repack,
    /// It was marked, and is needed after all.
    Rescue,
    /// Nothing needs it: it is marked.
    Mark,
    /// It is marked, and its grace period is not over.
    Wait,
    /// It is marked long enough, or is not there: it goes.
    Remove,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Self; 6] =
        [Self::Keep, Self::Repack, Self::Rescue, Self::Mark, Self::Wait, Self::Remove];

    /// The word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Repack => "repack",
            Self::Rescue => "rescue",
            Self::Mark => "mark",
            Self::Wait => "wait",
            Self::Remove => "remove",
        }
    }
}

/// All notes of an index about packs; of several of a kind the latest counts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Notes {
    /// When a pack was marked.
    pub marks: HashMap<FileId, i64>,
    /// When a file was first found that no segment names.
    pub strays: HashMap<FileId, i64>,
    /// When a pack ceased to count.
    pub drops: HashMap<FileId, i64>,
    /// When a running backup counted on a pack.
    pub claims: HashMap<FileId, i64>,
    /// When a repair gave a pack up.
    pub damaged: HashMap<FileId, i64>,
}

impl Notes {
    /// Those of the segments that nobody has taken over.
    pub fn of(index: &Index) -> Self {
        let mut notes = Self::default();
        let valid = index.segments().iter().filter(|segment| !segment.is_replaced);
        for note in valid.flat_map(|segment| &segment.notes) {
            let times = match note.kind {
                NoteKind::Mark => &mut notes.marks,
                NoteKind::Stray => &mut notes.strays,
                NoteKind::Drop => &mut notes.drops,
                NoteKind::Claim => &mut notes.claims,
                NoteKind::Damaged => &mut notes.damaged,
            };
            let time = times.entry(note.pack).or_insert(note.time);
            *time = (*time).max(note.time);
        }
        notes
    }
}

impl Notes {
    /// Whether a backup claimed a pack not long ago.
    fn is_claimed(&self, id: &FileId, over: &impl Fn(i64) -> bool) -> bool {
        self.claims.get(id).is_some_and(|time| !over(*time))
    }

    /// Whether a pack counts as if no segment named it.
    pub fn take_out(&self, id: &FileId) -> bool {
        self.drops.contains_key(id) || self.damaged.contains_key(id)
    }

    /// As a segment holds them, sorted: the same notes are the same bytes.
    pub fn sorted(&self) -> Vec<Note> {
        let kinds = [
            (NoteKind::Mark, &self.marks),
            (NoteKind::Stray, &self.strays),
            (NoteKind::Drop, &self.drops),
            (NoteKind::Claim, &self.claims),
            (NoteKind::Damaged, &self.damaged),
        ];
        let note =
            |kind| move |(pack, time): (&FileId, &i64)| Note { kind, pack: *pack, time: *time };
        let mut notes: Vec<Note> =
            kinds.into_iter().flat_map(|(kind, times)| times.iter().map(note(kind))).collect();
        notes.sort_unstable();
        notes
    }
}

/// What a prune will do.
#[derive(Debug)]
pub struct Plan {
    /// What becomes of each pack of the index, in its order.
    pub fates: Vec<Fate>,
    /// Files that no segment names, with their sizes.
    pub strays: Vec<(FileId, u64, Fate)>,
    /// The rows of the index whose chunk is needed from just that place.
    pub used: Needed,
    /// Stored bytes of what is needed, as near as can be told without reading.
    pub needed_bytes: u64,
    /// Packs, and their bytes, that stay sealed under keys from before a rotation.
    pub of_old_keys: (u64, u64),
    /// Packs and bytes of each fate.
    sums: HashMap<Fate, (u64, u64)>,
    /// Files and bytes of each fate that no segment names.
    stray_sums: HashMap<Fate, (u64, u64)>,
}

impl Plan {
    /// How many packs have this fate, and their bytes.
    pub fn sum(&self, fate: Fate) -> (u64, u64) {
        self.sums.get(&fate).copied().unwrap_or_default()
    }

    /// The same for files that no segment names.
    pub fn stray_sum(&self, fate: Fate) -> (u64, u64) {
        self.stray_sums.get(&fate).copied().unwrap_or_default()
    }

    /// The packs of a fate.
    pub fn packs<'i>(&self, index: &'i Index, fate: Fate) -> Vec<&'i Pack> {
        let packs = index.packs().iter().zip(&self.fates);
        packs.filter(|(_, one)| **one == fate).map(|(pack, _)| pack).collect()
    }
}

/// What is known of a pack.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    is_there: bool,
    /// Plain bytes in it, and those that are needed from it.
    plain: u64,
    used: u64,
}

impl Use {
    /// Stored bytes in proportion.
    fn used_of(&self, size: u64) -> u64 {
        let share = u128::from(size) * u128::from(self.used) / u128::from(self.plain.max(1));
        u64::try_from(share).unwrap_or(size)
    }
}

/// All packs of an index, with nothing needed from any.
fn unused(index: &Index, listed: &[(FileId, u64)]) -> Vec<Use> {
    let sizes: HashMap<FileId, u64> = listed.iter().copied().collect();
    let is_there = |pack: &Pack| sizes.get(&pack.id) == Some(&pack.size);
    let unused = |pack: &Pack| Use { is_there: is_there(pack), ..Use::default() };
    let mut uses: Vec<Use> = index.packs().iter().map(unused).collect();
    for blob in index.blobs() {
        if let Some(one) = uses.get_mut(units::length(u64::from(blob.pack))) {
            one.plain += u64::from(blob.plain_length);
        }
    }
    uses
}

/// Decides. `listed` is what the store has, `now` the time in seconds since 1970.
pub fn plan(
    index: &Index,
    needed: &Needed,
    listed: &[(FileId, u64)],
    notes: &Notes,
    options: &PruneOptions,
    now: i64,
) -> Result<Plan> {
    let mut uses = unused(index, listed);
    let used = places(index, needed, &mut uses)?;
    let over = |time: i64| now.saturating_sub(time) >= options.grace_seconds;
    // Who stored it may be at work yet, or was interrupted and will take it up again.
    let is_busy = |time: i64| options.busy_since.is_some_and(|since| time >= since - CLOCKS_DIFFER);
    let is_young = |time: i64| time != 0 && (!over(time) || is_busy(time));
    let mut fates: Vec<Fate> = index
        .packs()
        .iter()
        .zip((0u32..).zip(&uses))
        .map(|(pack, (place, one))| {
            let marked = notes.marks.get(&pack.id).copied();
            let is_claimed =
                !options.now && is_young(pack.time) || notes.is_claimed(&pack.id, &over);
            match marked {
                // Nothing is decided by what nobody vouches for.
                _ if index.unproven().contains(&pack.id) => Fate::Keep,
                Some(_) if one.used > 0 => Fate::Rescue,
                None if one.used > 0 => Fate::Keep,
                _ if is_claimed => Fate::Keep,
                _ if !one.is_there => Fate::Remove,
                Some(time) if index.is_leaving(place) && over(time) => Fate::Remove,
                Some(_) if index.is_leaving(place) => Fate::Wait,
                _ => Fate::Mark,
            }
        })
        .collect();
    let used_bytes = |(pack, one): (&Pack, &Use)| one.used_of(pack.size);
    let needed_bytes = index.packs().iter().zip(&uses).map(used_bytes).sum();
    let may_move =
        |pack: &Pack| (options.now || !is_young(pack.time)) && can_move(index, pack, options);
    choose_repacks(index, &uses, (needed_bytes, &may_move), options, &mut fates);
    let is_over = |time: i64| over(time) && options.busy_since.is_none_or(|since| since > time);
    let strays = strays(index, listed, notes, &is_over);
    let mut plan = Plan {
        fates,
        strays,
        used,
        needed_bytes,
        of_old_keys: (0, 0),
        sums: HashMap::new(),
        stray_sums: HashMap::new(),
    };
    for (pack, fate) in index.packs().iter().zip(&plan.fates) {
        add(&mut plan.sums, *fate, pack.size);
        if matches!(fate, Fate::Keep | Fate::Rescue) && epoch_of(&pack.header) < options.epoch {
            plan.of_old_keys.0 += 1;
            plan.of_old_keys.1 += pack.size;
        }
    }
    for (_, size, fate) in &plan.strays {
        add(&mut plan.stray_sums, *fate, *size);
    }
    Ok(plan)
}

fn add(sums: &mut HashMap<Fate, (u64, u64)>, fate: Fate, bytes: u64) {
    let sum = sums.entry(fate).or_default();
    *sum = (sum.0 + 1, sum.1 + bytes);
}

/// A row of the index: its number, the length of its chunk, and the pack in which it lies.
type Row = (usize, u64, u32);

/// From which place each needed chunk is needed. Of several, one that will stay; if none will, all
/// of them, so that two prunes at the same time never each remove what the other one kept.
fn places(index: &Index, needed: &Needed, uses: &mut [Use]) -> Result<Needed> {
    let mut used = Needed::none(index);
    let mut several: Vec<Vec<Row>> = Vec::new();
    let doubted = doubted(index);
    let is_doubted = |pack: u32| doubted.get(units::length(u64::from(pack))) == Some(&true);
    index.each_chunk(|first, rows| {
        if !needed.has(first) {
            return Ok(());
        }
        let row = |(row, (_, place)): (usize, &(ChunkId, ChunkPlace))| {
            Some((row, u64::from(place.length), index.pack_of(place)?))
        };
        let rows: Vec<Row> = (first..).zip(rows).filter_map(row).collect();
        let is_there = |(_, _, pack): &&Row| use_of(uses, *pack).is_there;
        let there: Vec<Row> = rows.iter().filter(is_there).copied().collect();
        if there.len() > 1 && there.iter().any(|(_, _, pack)| is_doubted(*pack)) {
            // What may be a lie takes nobody's place.
            let is_sure = |(_, _, pack): &&Row| !is_doubted(*pack) && !index.is_leaving(*pack);
            let sure: Vec<Row> = there.iter().filter(is_sure).copied().collect();
            if sure.is_empty() {
                for row in &there {
                    take(uses, &mut used, row);
                }
            } else {
                several.push(sure);
            }
            return Ok(());
        }
        let staying = there.iter().filter(|(_, _, pack)| !index.is_leaving(*pack)).count();
        match (there.len(), staying) {
            (0, _) => return Err(lost(index, &rows)),
            (_, 0) | (1, _) => there.iter().for_each(|row| take(uses, &mut used, row)),
            _ => several.push(there),
        }
        Ok(())
    })?;
    for there in several {
        let staying = there.iter().filter(|(_, _, pack)| !index.is_leaving(*pack));
        let best = staying.max_by_key(|(_, _, pack)| {
            let name = index.pack(*pack).map(|pack| pack.id);
            (use_of(uses, *pack).used, Reverse(name))
        });
        if let Some(row) = best {
            take(uses, &mut used, row);
        }
    }
    Ok(used)
}

/// Of each pack, whether what it holds was sealed by somebody who can only add, and may be
/// anything; or nobody vouches for what is said of it; or its header is another one's, too: salts
/// are never used twice, so one of them is a copy, of which only the end need be whole. Empty if
/// there is none.
fn doubted(index: &Index) -> Vec<bool> {
    let mut headers = HashMap::new();
    for pack in index.packs() {
        *headers.entry(pack.header).or_insert(0u32) += 1;
    }
    let is_copied = |pack: &Pack| headers.get(&pack.header).is_some_and(|times| *times > 1);
    let is_doubted = |pack: &Pack| {
        is_deposit(&pack.header) || index.unproven().contains(&pack.id) || is_copied(pack)
    };
    if !index.packs().iter().any(is_doubted) {
        return Vec::new();
    }
    index.packs().iter().map(is_doubted).collect()
}

/// Whether a pack can be written anew. Not what nobody vouches for; and not the trees of a machine
/// with write-only keys, which could not read them any more, and would read every file instead. If
/// the keys were rotated since, it has others anyway.
fn can_move(index: &Index, pack: &Pack, options: &PruneOptions) -> bool {
    let is_own = is_deposit(&pack.header) && pack.class == PackClass::Meta;
    let is_old = epoch_of(&pack.header) < options.epoch;
    !index.unproven().contains(&pack.id) && (!is_own || is_old)
}

fn use_of(uses: &[Use], pack: u32) -> Use {
    uses.get(units::length(u64::from(pack))).copied().unwrap_or_default()
}

fn take(uses: &mut [Use], used: &mut Needed, (row, length, pack): &Row) {
    used.add(*row);
    if let Some(one) = uses.get_mut(units::length(u64::from(*pack))) {
        // An empty chunk is needed as well.
        one.used += (*length).max(1);
    }
}

fn lost(index: &Index, rows: &[Row]) -> Error {
    let pack = rows.first().and_then(|(_, _, pack)| index.pack(*pack));
    let name = pack.map_or_else(String::new, |pack| pack.id.to_string());
    Error::new(Kind::Damaged, "plan what to remove")
        .why(format!("pack {name}, which snapshots need, is missing or cut off"))
        .hint("nothing was changed; 'ghostsnap check' names what is lost")
}

/// Packs with the greatest share of what nobody needs, until little enough is left; small ones of
/// which a full one can be made; and some of those that are sealed under keys from before.
fn choose_repacks(
    index: &Index,
    uses: &[Use],
    (needed_bytes, may_move): (u64, &dyn Fn(&Pack) -> bool),
    options: &PruneOptions,
    fates: &mut [Fate],
) {
    let mut room = options.max_repack.unwrap_or(u64::MAX);
    let unused_of = |place: usize, pack: &Pack| {
        let one = uses.get(place).copied().unwrap_or_default();
        pack.size.saturating_sub(one.used_of(pack.size))
    };
    let mut partly: Vec<(usize, &Pack, u64)> = kept(index, fates)
        .filter(|(_, pack)| may_move(pack))
        .map(|(place, pack)| (place, pack, unused_of(place, pack)))
        .filter(|(place, _, _)| uses.get(*place).is_some_and(|one| one.used < one.plain))
        .collect();
    let share = |unused: u64, pack: &Pack| unused.saturating_mul(1_000_000) / pack.size.max(1);
    partly.sort_by_key(|(_, pack, unused)| (Reverse(share(*unused, pack)), pack.id));
    let mut unused: u64 = partly.iter().map(|(_, _, unused)| unused).sum();
    let allowed = u64::try_from(u128::from(needed_bytes) * u128::from(options.max_unused) / 1000)
        .unwrap_or(u64::MAX);
    for (place, pack, gain) in partly {
        if unused <= allowed {
            break;
        }
        if pack.size <= room {
            room -= pack.size;
            unused -= gain;
            set(fates, place, Fate::Repack);
        }
    }
    for (class, full) in
        [(PackClass::Data, options.pack_bytes), (PackClass::Meta, limits::META_PACK_BYTES)]
    {
        let small: Vec<(usize, u64)> = kept(index, fates)
            .filter(|(_, pack)| pack.class == class && pack.size < full / 4 && may_move(pack))
            .map(|(place, pack)| (place, pack.size))
            .collect();
        let together: u64 = small.iter().map(|(_, size)| size).sum();
        if (together >= full || small.len() >= limits::SMALL_PACKS_MAX) && together <= room {
            room -= together;
            for (place, _) in small {
                set(fates, place, Fate::Repack);
            }
        }
    }
    let is_old = |pack: &Pack| epoch_of(&pack.header) < options.epoch && may_move(pack);
    let old: Vec<(usize, u64)> = kept(index, fates)
        .filter(|(place, pack)| is_old(pack) && uses.get(*place).is_some_and(|one| one.used > 0))
        .map(|(place, pack)| (place, pack.size))
        .collect();
    let mut room = room.min(options.max_reseal);
    for (place, size) in old {
        if size <= room {
            room -= size;
            set(fates, place, Fate::Repack);
        }
    }
}

fn kept<'i>(index: &'i Index, fates: &[Fate]) -> impl Iterator<Item = (usize, &'i Pack)> {
    let kept: Vec<bool> = fates.iter().map(|fate| *fate == Fate::Keep).collect();
    index.packs().iter().enumerate().filter(move |(place, _)| kept.get(*place) == Some(&true))
}

fn set(fates: &mut [Fate], place: usize, fate: Fate) {
    if let Some(one) = fates.get_mut(place) {
        *one = fate;
    }
}

/// Files that no segment names: packs of runs that were killed or still go on, and those whose
/// removal was interrupted.
fn strays(
    index: &Index,
    listed: &[(FileId, u64)],
    notes: &Notes,
    over: &impl Fn(i64) -> bool,
) -> Vec<(FileId, u64, Fate)> {
    let named: std::collections::HashSet<FileId> =
        index.packs().iter().map(|pack| pack.id).collect();
    let strays = listed.iter().filter(|(id, _)| !named.contains(id));
    let fate = |id: &FileId| {
        if notes.is_claimed(id, over) {
            return Fate::Wait;
        }
        if notes.drops.contains_key(id) {
            return Fate::Remove;
        }
        match notes.damaged.get(id).or_else(|| notes.strays.get(id)) {
            Some(time) if over(*time) => Fate::Remove,
            Some(_) => Fate::Wait,
            None => Fate::Mark,
        }
    };
    strays.map(|(id, size)| (*id, *size, fate(id))).collect()
}
