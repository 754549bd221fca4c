// SPDX-License-Identifier: MIT
//! Files of rows, such as SQL dumps, against the same file of the parent: what group of rows was
//! there already is only referred to, what is new is stored together. What all of this looks like
//! when it is stored is defined in `format/rows.rs`.

use crate::base::{ChunkId, Counter, Error, Kind, Monitor, Result, limits, units};
use crate::crypto::Keys;
use crate::format::rows::{GroupName, RowChunk, RowCutter, RowMap, RowSpan, RowTable};
use crate::format::{Node, PackClass};
use crate::repo::{Reader, Writer};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Names of groups are hashes already.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A group somewhere: the number of its chunk, first byte, length.
type Place = (u32, u32, u32);
type Groups = HashMap<GroupName, Place, BuildHasherDefault<NameHasher>>;

/// What the parent's version of a file lends.
#[derive(Default)]
pub struct Known {
    average: Option<u32>,
    chunks: Vec<RowChunk>,
    /// What is in each chunk.
    outlines: Vec<Outline>,
    groups: Groups,
}

/// What is in a chunk, in so far as it matters to whoever takes it whole.
#[derive(Default)]
struct Outline {
    groups: usize,
    /// How many groups there are up to the end of one behind which a map may end, and that end.
    borders: Vec<(usize, u32)>,
}

/// Whether a map may end behind the group of this name.
fn is_border(name: &GroupName) -> bool {
    matches!(name, [0, second, ..] if *second < 16)
}

impl Known {
    /// Reads the row tables of a file of the parent. What cannot be read is not lent: that costs
    /// space, not correctness.
    pub fn of(node: &Node, reader: &Reader<'_>, writer: &Writer<'_>) -> Self {
        let Ok(maps) = reader.row_maps(node) else { return Self::default() };
        let average = maps.first().map(|map| map.average);
        if average != Some(average_for(node.meta.size, average)) {
            return Self::default();
        }
        let mut known = Self { average, ..Self::default() };
        for chunk in worth_keeping(&maps) {
            if known.groups.len() >= limits::ROW_GROUPS_MAX {
                break;
            }
            if writer.has(&chunk.id)
                && writer.has(&chunk.table)
                && let Ok(plain) = reader.chunk(PackClass::Meta, &chunk.table)
                && let Ok(table) = RowTable::decode(&plain)
            {
                known.add(chunk, &table);
            }
        }
        known
    }

    fn add(&mut self, chunk: RowChunk, table: &RowTable) {
        let total: u64 = table.groups.iter().map(|(_, size)| u64::from(*size)).sum();
        let Ok(number) = u32::try_from(self.chunks.len()) else { return };
        if total != u64::from(chunk.length) {
            return;
        }
        self.chunks.push(chunk);
        let mut outline = Outline::default();
        let mut from = 0;
        for (name, size) in &table.groups {
            self.groups.insert(*name, (number, from, *size));
            from += size;
            outline.groups += 1;
            if is_border(name) {
                outline.borders.push((outline.groups, from));
            }
        }
        self.outlines.push(outline);
    }
}

/// The chunks whose rows are still worth referring to: mostly in use, and not crumbs.
fn worth_keeping(maps: &[RowMap]) -> Vec<RowChunk> {
    let mut order: Vec<RowChunk> = Vec::new();
    let mut used: HashMap<RowChunk, u64> = HashMap::new();
    for map in maps {
        for chunk in &map.chunks {
            used.entry(*chunk).or_insert_with(|| {
                order.push(*chunk);
                0
            });
        }
        for span in &map.spans {
            if let Some(used) = map
                .chunks
                .get(units::length(u64::from(span.chunk)))
                .and_then(|chunk| used.get_mut(chunk))
            {
                *used += u64::from(span.length);
            }
        }
    }
    let is_small =
        |chunk: &RowChunk| units::length(u64::from(chunk.length)) < limits::ROW_CHUNK_BYTES / 4;
    let crumbs = order.iter().filter(|chunk| is_small(chunk)).count();
    let too_many = crumbs > limits::ROW_CHUNKS_SMALL_MAX;
    order.retain(|chunk| {
        let alive = used.get(chunk).copied().unwrap_or_default().saturating_mul(100);
        alive >= u64::from(chunk.length) * limits::ROW_CHUNK_ALIVE_PERCENT
            && !(too_many && is_small(chunk))
    });
    order
}

/// The average length of groups for a file of this size. Groups of larger files are larger, so
/// that a bounded number of them is looked up; what was chosen once is kept as long as it fits,
/// since another average moves all borders.
fn average_for(size: u64, so_far: Option<u32>) -> u32 {
    let bound = units::bytes(limits::ROW_GROUPS_MAX);
    let mut average = so_far.filter(|average| *average > 0).unwrap_or(limits::ROW_GROUP_BYTES);
    while size / u64::from(average) > bound && coarser(average) > average {
        average = coarser(average);
    }
    average
}

/// The next larger average; the largest stays well below the largest group.
fn coarser(average: u32) -> u32 {
    if average < limits::ROW_GROUP_BYTES * 32 { average * 4 } else { average }
}

/// A new chunk on its way through the workers.
struct Fresh {
    id: Receiver<Result<ChunkId>>,
    table: Vec<u8>,
    length: u32,
}

/// The stretches of one row map to be; chunks are numbered through, the lent ones first.
struct Draft {
    average: u32,
    groups: usize,
    spans: Vec<RowSpan>,
}

impl Draft {
    fn new(average: u32) -> Self {
        Self { average, groups: 0, spans: Vec::new() }
    }

    fn push(&mut self, groups: usize, (chunk, from, length): Place) {
        self.groups += groups;
        match self.spans.last_mut() {
            Some(last) if last.chunk == chunk && last.from + last.length == from => {
                last.length += length;
            }
            _ => self.spans.push(RowSpan { chunk, from, length }),
        }
    }

    /// Whether the map ends here.
    fn ends(&self, is_border: bool) -> bool {
        (is_border && self.groups >= limits::ROW_MAP_GROUPS_MIN)
            || self.groups >= limits::ROW_MAP_GROUPS_MAX
    }
}

/// A file of rows while it is read.
pub struct RowFile {
    cutter: RowCutter,
    average: u32,
    /// Groups of this average so far, and how many there may be.
    groups: usize,
    groups_max: usize,
    known: Known,
    added: Groups,
    fresh: Vec<Fresh>,
    data: Vec<u8>,
    table: RowTable,
    waiting: NewChunks,
    drafts: Vec<Draft>,
    bytes: u64,
    /// Chunks in a row that turned out to be changed, and beginnings of chunks to pass by.
    changed: u32,
    pass_by: u32,
}

/// A chunk of new rows for a worker, and where its id goes.
pub type NewChunk = (Vec<u8>, Sender<Result<ChunkId>>);
/// Chunks of new rows that follow each other in the file.
pub type NewChunks = Vec<NewChunk>;

impl RowFile {
    /// A file of about this many bytes, beside what its parent lends.
    pub fn new(keys: &Keys, known: Known, size_hint: u64) -> Self {
        let average = known.average.unwrap_or_else(|| average_for(size_hint, None));
        Self {
            cutter: RowCutter::new(keys, average),
            average,
            groups: 0,
            groups_max: limits::ROW_GROUPS_MAX,
            known,
            added: Groups::default(),
            fresh: Vec::new(),
            data: Vec::new(),
            table: RowTable::default(),
            waiting: Vec::new(),
            drafts: vec![Draft::new(average)],
            bytes: 0,
            changed: 0,
            pass_by: 0,
        }
    }

    /// Takes the first group of `data`, or as much as is known to be one chunk; see
    /// [`RowCutter::cut`] for how much there must be. Returns its length, and chunks of new rows
    /// when there are enough to share a blob: what is near in the file should be near in the
    /// repository, or a restore reads all blobs at once.
    pub fn take(
        &mut self,
        keys: &Keys,
        data: &[u8],
        monitor: &dyn Monitor,
    ) -> Result<(usize, Option<NewChunks>)> {
        let cut = self.cutter.cut(data);
        let group = data.get(..cut).unwrap_or_default();
        let name = keys.row_name(group);
        let size = u32::try_from(cut).unwrap_or(u32::MAX);
        let found = self.known.groups.get(&name).or_else(|| self.added.get(&name));
        let found = found.copied().filter(|place| place.2 == size);
        if let Some((number, 0, _)) = found
            && let Some(taken) = self.take_whole(keys, number, data, monitor)
        {
            return Ok((taken, None));
        }
        self.bytes += u64::from(size);
        let place = match found {
            Some(place) => {
                monitor.count(Counter::ChunksReused, 1);
                place
            }
            None => self.add(name, group, size)?,
        };
        self.groups += 1;
        let grows = self.groups >= self.groups_max;
        if grows {
            // Larger than anybody foresaw: the rest is cut more coarsely, or the names of its
            // groups would fill the memory. The next backup cuts all of it so.
            self.groups = 0;
            self.average = coarser(self.average);
            self.cutter = RowCutter::new(keys, self.average);
        }
        self.draft(1, place, |draft| grows || draft.ends(is_border(&name)));
        if self.data.len() >= limits::ROW_CHUNK_BYTES {
            self.end_chunk();
        }
        let full = self.waiting.len() >= limits::ROW_CHUNKS_TOGETHER;
        Ok((cut, full.then(|| std::mem::take(&mut self.waiting))))
    }

    /// Takes a whole chunk of the parent's, if the data begins with it: it is hashed several times
    /// faster than its groups, and a table that nobody wrote to is nothing but such chunks.
    fn take_whole(
        &mut self,
        keys: &Keys,
        number: u32,
        data: &[u8],
        monitor: &dyn Monitor,
    ) -> Option<usize> {
        let place = units::length(u64::from(number));
        let chunk = *self.known.chunks.get(place)?;
        let whole = data.get(..units::length(u64::from(chunk.length)))?;
        let outline = self.known.outlines.get(place)?;
        if self.groups + outline.groups >= self.groups_max {
            return None;
        }
        if self.pass_by > 0 {
            self.pass_by -= 1;
            return None;
        }
        if keys.data_id(whole) != chunk.id {
            // Where rows change all over, chunks are rarely the same: they are tried ever less.
            self.pass_by = (1 << self.changed) - 1;
            self.changed = (self.changed + 1).min(limits::ROW_CHUNKS_PASSED_BY_BITS);
            return None;
        }
        self.changed = 0;
        let outline = std::mem::take(self.known.outlines.get_mut(place)?);
        monitor.count(Counter::ChunksReused, units::bytes(outline.groups));
        self.groups += outline.groups;
        self.bytes += u64::from(chunk.length);
        let (mut groups, mut from) = (0, 0);
        for (up_to, end) in &outline.borders {
            self.draft(up_to - groups, (number, from, end - from), |draft| draft.ends(true));
            (groups, from) = (*up_to, *end);
        }
        if from < chunk.length {
            let rest = (number, from, chunk.length - from);
            self.draft(outline.groups - groups, rest, |draft| draft.ends(false));
        }
        if let Some(emptied) = self.known.outlines.get_mut(place) {
            *emptied = outline;
        }
        Some(whole.len())
    }

    /// Adds groups that lie together to the last map, which may end with them.
    fn draft(&mut self, groups: usize, place: Place, ends: impl Fn(&Draft) -> bool) {
        let next = Draft::new(self.average);
        if self.drafts.last_mut().is_none_or(|draft| {
            draft.push(groups, place);
            ends(draft)
        }) {
            self.drafts.push(next);
        }
    }

    fn add(&mut self, name: GroupName, group: &[u8], size: u32) -> Result<Place> {
        let many = |_| Error::new(Kind::Limit, "store rows").why("there are too many");
        let number = u32::try_from(self.known.chunks.len() + self.fresh.len()).map_err(many)?;
        let place = (number, u32::try_from(self.data.len()).map_err(many)?, size);
        self.data.extend_from_slice(group);
        self.table.groups.push((name, size));
        if self.added.len() < limits::ROW_GROUPS_MAX / 2 {
            self.added.insert(name, place);
        }
        Ok(place)
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the last chunk; returns those that nobody has yet.
    pub fn last_chunks(&mut self) -> NewChunks {
        self.end_chunk();
        std::mem::take(&mut self.waiting)
    }

    fn end_chunk(&mut self) {
        if self.data.is_empty() {
            return;
        }
        let (done, id) = bounded(1);
        let data = std::mem::take(&mut self.data);
        let table = std::mem::take(&mut self.table).encode();
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.fresh.push(Fresh { id, table, length });
        self.waiting.push((data, done));
    }

    /// What the assembler needs; all chunks must have been handed out.
    pub fn end(self) -> RowWork {
        let Self { known, fresh, drafts, bytes, .. } = self;
        RowWork { lent: known.chunks, fresh, drafts, bytes }
    }
}

/// A file of rows that has been read, some of its chunks still with the workers.
pub struct RowWork {
    lent: Vec<RowChunk>,
    fresh: Vec<Fresh>,
    drafts: Vec<Draft>,
    bytes: u64,
}

impl RowWork {
    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits for the chunks, stores tables and maps, and returns the ids of the maps.
    pub fn store(
        self,
        mut store_meta: impl FnMut(&[u8]) -> Result<ChunkId>,
    ) -> Result<Vec<ChunkId>> {
        let gone = || Error::new(Kind::Internal, "store rows").why("a worker stopped");
        let mut chunks = self.lent;
        for fresh in self.fresh {
            let table = store_meta(&fresh.table)?;
            let id = fresh.id.recv().map_err(|_| gone())??;
            chunks.push(RowChunk { id, table, length: fresh.length });
        }
        let mut maps = Vec::with_capacity(self.drafts.len());
        for draft in self.drafts.into_iter().filter(|draft| draft.groups > 0) {
            let map = map_of(draft, &chunks).ok_or_else(gone)?;
            maps.push(store_meta(&map.encode())?);
        }
        Ok(maps)
    }
}

/// Gives the chunks of one map numbers of their own.
fn map_of(draft: Draft, all: &[RowChunk]) -> Option<RowMap> {
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let mut map = RowMap { average: draft.average, ..RowMap::default() };
    for span in draft.spans {
        let next = u32::try_from(map.chunks.len()).ok()?;
        let chunk = *numbers.entry(span.chunk).or_insert(next);
        if chunk == next {
            map.chunks.push(*all.get(units::length(u64::from(span.chunk)))?);
        }
        map.spans.push(RowSpan { chunk, ..span });
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(n: u8, length: u32) -> RowChunk {
        RowChunk { id: ChunkId([n; 32]), table: ChunkId([n; 32]), length }
    }

    fn span(chunk: u32, length: u32) -> RowSpan {
        RowSpan { chunk, from: 0, length }
    }

    #[test]
    fn a_chunk_that_is_mostly_out_of_date_lends_nothing() {
        let big = u32::try_from(limits::ROW_CHUNK_BYTES).unwrap();
        let map = RowMap {
            chunks: vec![chunk(1, big), chunk(2, big)],
            spans: vec![span(0, big / 3), span(1, big / 2)],
            average: 1024,
        };
        assert_eq!(worth_keeping(&[map]), [chunk(2, big)]);
    }

    #[test]
    fn crumbs_are_stored_again_once_they_are_many() {
        let crumbs = |count: u8| RowMap {
            chunks: (0..count).map(|n| chunk(n, 1000)).collect(),
            spans: (0..count).map(|n| span(n.into(), 1000)).collect(),
            average: 1024,
        };
        let few = u8::try_from(limits::ROW_CHUNKS_SMALL_MAX).unwrap();
        assert_eq!(worth_keeping(&[crumbs(few)]).len(), usize::from(few));
        assert!(worth_keeping(&[crumbs(few + 1)]).is_empty());
    }

    #[test]
    fn a_file_larger_than_foreseen_goes_on_with_larger_groups() {
        let keys = Keys::new(crate::crypto::MasterKey::new([3; 32]));
        let mut file = RowFile::new(&keys, Known::default(), 0);
        file.groups_max = 100;
        let data: Vec<u8> =
            (0..40_000).flat_map(|n| format!("({n},'row'),\n").into_bytes()).collect();
        let (mut rest, mut groups) = (data.as_slice(), 0);
        while !rest.is_empty() {
            let monitor = crate::base::monitor::Collect::default();
            let (cut, _) = file.take(&keys, rest, &monitor).unwrap();
            rest = rest.get(cut..).unwrap();
            groups += 1;
        }
        // 77 KB of the smallest groups, 300 KB of the next, and the others larger still.
        assert!((150..300).contains(&groups), "{groups}");
        let averages: Vec<u32> = file.drafts.iter().map(|draft| draft.average).collect();
        assert_eq!(averages, [768, 3072, 12_288]);
        assert_eq!(file.bytes, units::bytes(data.len()));
    }

    fn keys() -> Keys {
        Keys::new(crate::crypto::MasterKey::new([3; 32]))
    }

    fn dump(rows: u32) -> Vec<u8> {
        (0..rows)
            .flat_map(|n| format!("({n},'the row of number {n}',NULL),\n").into_bytes())
            .collect()
    }

    /// Takes all of it; returns how many steps that took.
    fn take_all(file: &mut RowFile, data: &[u8]) -> (usize, NewChunks) {
        let (mut rest, mut steps, mut chunks) = (data, 0, Vec::new());
        while !rest.is_empty() {
            let monitor = crate::base::monitor::Collect::default();
            let (taken, more) = file.take(&keys(), rest, &monitor).unwrap();
            rest = rest.get(taken..).unwrap();
            chunks.extend(more.unwrap_or_default());
            steps += 1;
        }
        chunks.extend(file.last_chunks());
        (steps, chunks)
    }

    /// What a file of this content lends to the next.
    fn lent(data: &[u8]) -> Known {
        let mut file = RowFile::new(&keys(), Known::default(), 0);
        let (_, chunks) = take_all(&mut file, data);
        let mut known = Known { average: Some(file.average), ..Known::default() };
        for ((plain, _), fresh) in chunks.iter().zip(&file.fresh) {
            let id = keys().data_id(plain);
            let chunk = RowChunk { id, table: id, length: fresh.length };
            known.add(chunk, &RowTable::decode(&fresh.table).unwrap());
        }
        known
    }

    fn drafted(file: &RowFile) -> Vec<(usize, Vec<RowSpan>)> {
        file.drafts.iter().map(|draft| (draft.groups, draft.spans.clone())).collect()
    }

    #[test]
    fn chunks_that_are_the_same_are_taken_whole_and_end_up_in_the_same_maps() {
        let data = dump(1_000_000);
        let mut quick = RowFile::new(&keys(), lent(&data), 0);
        let mut slow = RowFile::new(&keys(), lent(&data), 0);
        slow.pass_by = u32::MAX;
        let chunks = quick.known.chunks.len();
        assert!(chunks > 40 && quick.known.outlines.iter().any(|one| !one.borders.is_empty()));
        let (steps, new) = take_all(&mut quick, &data);
        assert_eq!((steps, new.len()), (chunks, 0));
        assert!(take_all(&mut slow, &data).0 > chunks * 100);
        assert!(slow.drafts.len() > 2);
        assert_eq!(drafted(&quick), drafted(&slow));
        assert_eq!((quick.bytes, quick.groups), (slow.bytes, slow.groups));
    }

    #[test]
    fn what_changed_is_found_row_by_row_and_the_chunks_around_it_are_still_taken_whole() {
        let old = dump(300_000);
        let mut data = old.clone();
        let middle = data.len() / 2;
        data.get_mut(middle..middle + 4).unwrap().fill(b'x');
        data.extend_from_slice(b"(0,'one more',NULL);\n");
        let mut file = RowFile::new(&keys(), lent(&old), 0);
        let chunks = file.known.chunks.len();
        let (steps, new) = take_all(&mut file, &data);
        let one_chunk = limits::ROW_CHUNK_BYTES / units::length(u64::from(limits::ROW_GROUP_BYTES));
        assert!(steps > chunks && steps < chunks + one_chunk * 2, "{steps}");
        // The changed group and what follows the last row.
        let bytes: usize = new.iter().map(|(plain, _)| plain.len()).sum();
        assert!(bytes < limits::ROW_GROUP_BYTES_MAX, "{bytes}");
        assert_eq!(file.bytes, units::bytes(data.len()));
    }

    #[test]
    fn chunks_are_tried_ever_less_where_all_of_them_changed() {
        let old = dump(300_000);
        let text = String::from_utf8(old.clone()).unwrap();
        let data = text.replace("000,'the", "000,'The").into_bytes();
        let mut file = RowFile::new(&keys(), lent(&old), 0);
        let chunks = file.known.chunks.len();
        take_all(&mut file, &data);
        assert!(chunks > 20 && file.changed == limits::ROW_CHUNKS_PASSED_BY_BITS);
    }

    #[test]
    fn the_groups_of_larger_files_are_larger() {
        assert_eq!(average_for(0, None), 768);
        assert_eq!(average_for(1 << 30, None), 768);
        assert_eq!(average_for(5 << 30, None), 3072);
        assert_eq!(average_for(1 << 30, Some(3072)), 3072);
        assert_eq!(average_for(u64::MAX, None), 49152);
    }
}
