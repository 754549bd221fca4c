// SPDX-License-Identifier: MIT
//! The sorted table of chunks of an index. Ids are keyed hashes, so they are spread evenly: a table
//! of where the ids with the same first bits begin leads to a handful of rows at once, where a
//! binary search over all of them would miss the processor's cache at every step.
//!
//! A large table lies in a scratch file, if there is a place for one: then a chunk takes half a
//! byte of memory instead of 44, and looking for it costs one small read, mostly from the system's
//! cache.

use super::index::ChunkPlace;
use crate::backend::scratch::Scratch;
use crate::base::id::ID_BYTES;
use crate::base::{ChunkId, Error, Kind, Result, units};
use std::ops::Range;
use std::path::PathBuf;

/// A chunk and where it lies.
pub type Row = (ChunkId, ChunkPlace);

/// Rows that the ids of one beginning have on average.
const ROWS_TOGETHER: usize = 8;

/// Bytes of a row in a file: the id and three numbers.
const ROW_BYTES: usize = ID_BYTES + 12;

/// Rows that are read or written at once.
const ROWS_AT_ONCE: usize = 372;

/// Which chunk lies where.
#[derive(Debug)]
pub struct ChunkTable {
    rows: Place,
    ends: Ends,
}

/// Where the rows are.
#[derive(Debug)]
enum Place {
    Memory(Vec<Row>),
    Disk(Scratch),
}

impl Default for ChunkTable {
    fn default() -> Self {
        Self { rows: Place::Memory(Vec::new()), ends: Ends::new(0) }
    }
}

/// Where the rows of each beginning end.
#[derive(Debug)]
struct Ends {
    /// By beginning, as far as there are rows.
    places: Vec<u32>,
    /// Bits of a beginning.
    bits: u32,
    rows: u32,
}

impl Ends {
    /// For about so many rows.
    fn new(rows: usize) -> Self {
        let bits = (rows / ROWS_TOGETHER).checked_ilog2().unwrap_or(0).min(28);
        Self { places: Vec::new(), bits, rows: 0 }
    }

    /// The next row, in the order of ids.
    fn push(&mut self, id: &ChunkId) {
        let beginning = self.beginning(id);
        while self.places.len() < beginning {
            self.places.push(self.rows);
        }
        // There are no more: [`Rows::push`] sees to that.
        self.rows = self.rows.saturating_add(1);
    }

    fn beginning(&self, id: &ChunkId) -> usize {
        let first = (start_of(id) >> 32) >> (32 - self.bits);
        units::length(first)
    }

    /// The rows of the ids that begin as this one does.
    fn run(&self, id: &ChunkId) -> Range<usize> {
        self.run_of(self.beginning(id))
    }

    fn run_of(&self, beginning: usize) -> Range<usize> {
        let end = |beginning: usize| {
            units::length(u64::from(self.places.get(beginning).copied().unwrap_or(self.rows)))
        };
        beginning.checked_sub(1).map_or(0, end)..end(beginning)
    }

    /// Runs one after the other, as many at once as have about so many rows, in all of them.
    fn stretches(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut beginning = 0;
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = at;
            while at < self.len() && (at - start < rows) {
                at = self.run_of(beginning).end;
                beginning += 1;
            }
            (at > start).then_some(start..at)
        })
    }

    fn len(&self) -> usize {
        units::length(u64::from(self.rows))
    }
}

/// The places of one chunk.
#[derive(Debug)]
pub enum Places<'t> {
    /// As they lie in memory.
    Memory(std::slice::Iter<'t, Row>),
    /// As they were read.
    Disk(std::vec::IntoIter<Row>),
}

impl Iterator for Places<'_> {
    type Item = ChunkPlace;

    fn next(&mut self) -> Option<ChunkPlace> {
        match self {
            Self::Memory(rows) => rows.next().map(|(_, place)| *place),
            Self::Disk(rows) => rows.next().map(|(_, place)| place),
        }
    }
}

impl ChunkTable {
    /// Rows that it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// All places of a chunk.
    pub fn find_all(&self, id: &ChunkId) -> Result<Places<'_>> {
        let run = self.ends.run(id);
        match &self.rows {
            Place::Memory(rows) => {
                let rows = rows.get(run).unwrap_or_default();
                Ok(Places::Memory(rows.get(same(rows, id)).unwrap_or_default().iter()))
            }
            Place::Disk(file) => {
                let mut rows = read(file, run)?;
                rows.retain(|(one, _)| one == id);
                Ok(Places::Disk(rows.into_iter()))
            }
        }
    }

    /// Which rows are those of a chunk.
    pub fn rows_of(&self, id: &ChunkId) -> Result<Range<usize>> {
        let run = self.ends.run(id);
        let same = match &self.rows {
            Place::Memory(rows) => same(rows.get(run.clone()).unwrap_or_default(), id),
            Place::Disk(file) => same(&read(file, run.clone())?, id),
        };
        Ok(run.start + same.start..run.start + same.end)
    }

    /// Shows all rows in their order, those of the same chunk together, with the number of the
    /// first of them.
    pub fn each(&self, mut visit: impl FnMut(usize, &[Row]) -> Result<()>) -> Result<()> {
        let mut row = 0;
        let mut visit_all = |rows: &[Row]| {
            rows.chunk_by(|(a, _), (b, _)| a == b).try_for_each(|same| {
                visit(row, same)?;
                row += same.len();
                Ok(())
            })
        };
        match &self.rows {
            Place::Memory(rows) => visit_all(rows),
            Place::Disk(file) => self
                .ends
                .stretches(ROWS_AT_ONCE)
                .try_for_each(|stretch| visit_all(&read(file, stretch)?)),
        }
    }
}

/// Where among the rows of one beginning those of a chunk are.
fn same(rows: &[Row], id: &ChunkId) -> Range<usize> {
    let start = start_of(id);
    // Numbers first, as above. Nearly always there is one row or none.
    let from = rows.partition_point(|(one, _)| {
        let beginning = start_of(one);
        beginning < start || (beginning == start && one < id)
    });
    let after = rows.get(from..).unwrap_or_default().iter();
    from..from + after.take_while(|(one, _)| one == id).count()
}

/// By id, and those of the same id by blob.
fn sort(rows: &mut [Row]) {
    // Comparing a number first spares nearly all comparisons of whole ids.
    rows.sort_unstable_by(|(a, place), (b, other)| {
        let order = start_of(a).cmp(&start_of(b)).then_with(|| a.cmp(b));
        order.then_with(|| place.blob.cmp(&other.blob))
    });
}

/// The first eight bytes of an id, as a number.
fn start_of(id: &ChunkId) -> u64 {
    id.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

fn read(file: &Scratch, rows: Range<usize>) -> Result<Vec<Row>> {
    let mut bytes = vec![0; rows.len() * ROW_BYTES];
    file.read(units::bytes(rows.start * ROW_BYTES), &mut bytes)?;
    Ok(decoded(&bytes))
}

fn decoded(bytes: &[u8]) -> Vec<Row> {
    let (rows, _) = bytes.as_chunks::<ROW_BYTES>();
    rows.iter().map(decode).collect()
}

fn encode((id, place): &Row, to: &mut Vec<u8>) {
    to.extend_from_slice(id.as_bytes());
    for number in [place.blob, place.offset, place.length] {
        to.extend_from_slice(&number.to_le_bytes());
    }
}

fn decode(row: &[u8; ROW_BYTES]) -> Row {
    let mut id = [0; ID_BYTES];
    let mut numbers = [0u32; 3];
    let (name, rest) = row.split_at(ID_BYTES);
    id.copy_from_slice(name);
    let (words, _) = rest.as_chunks::<4>();
    numbers.iter_mut().zip(words).for_each(|(to, from)| *to = u32::from_le_bytes(*from));
    let [blob, offset, length] = numbers;
    (ChunkId(id), ChunkPlace { blob, offset, length })
}

/// Rows on their way into a table, in any order.
pub struct Rows {
    memory: Vec<Row>,
    /// How many may be in memory, if there is another place for them.
    room: usize,
    folder: Option<PathBuf>,
    spilled: Option<Spilled>,
    count: u32,
}

impl Rows {
    /// None yet. What does not fit into memory goes to the disk of the folder, if there is one.
    pub fn new(folder: Option<PathBuf>, room: usize) -> Self {
        Self { memory: Vec::new(), room, folder, spilled: None, count: 0 }
    }

    /// Adds one.
    pub fn push(&mut self, row: Row) -> Result<()> {
        let full = || Error::new(Kind::Limit, "load the index").why("it has too many entries");
        self.count = self.count.checked_add(1).ok_or_else(full)?;
        if let Some(spilled) = &mut self.spilled {
            return spilled.push(&row);
        }
        if let Some(folder) = self.folder.as_deref().filter(|_| self.memory.len() >= self.room) {
            let mut spilled = Spilled::new(Scratch::new(folder)?);
            for row in std::mem::take(&mut self.memory) {
                spilled.push(&row)?;
            }
            spilled.push(&row)?;
            self.spilled = Some(spilled);
            return Ok(());
        }
        self.memory.push(row);
        Ok(())
    }

    /// Sorts them. `moved` says where the blob of a row lies in the end; rows of one that lies
    /// nowhere are left out.
    pub fn into_table(self, moved: impl Fn(u32) -> Option<u32>) -> Result<ChunkTable> {
        let mut ends = Ends::new(units::length(u64::from(self.count)));
        let settle = |rows: &mut Vec<Row>, ends: &mut Ends| {
            rows.retain_mut(|(_, place)| {
                moved(place.blob).inspect(|blob| place.blob = *blob).is_some()
            });
            sort(rows);
            for (id, _) in rows.iter() {
                ends.push(id);
            }
        };
        let Some(spilled) = self.spilled else {
            let mut rows = self.memory;
            settle(&mut rows, &mut ends);
            rows.shrink_to_fit();
            return Ok(ChunkTable { rows: Place::Memory(rows), ends });
        };
        let folder = self.folder.unwrap_or_default();
        let mut file = Scratch::new(&folder)?;
        for part in 0..spilled.parts.len() {
            let mut rows = spilled.rows_of(part)?;
            settle(&mut rows, &mut ends);
            let mut bytes = Vec::with_capacity(rows.len() * ROW_BYTES);
            for row in &rows {
                encode(row, &mut bytes);
            }
            file.append(&bytes)?;
        }
        Ok(ChunkTable { rows: Place::Disk(file), ends })
    }
}

/// Rows on a disk, in parts by the first byte of their ids, so that one part after the other can be
/// sorted in memory.
struct Spilled {
    file: Scratch,
    parts: Vec<SpilledPart>,
}

#[derive(Default)]
struct SpilledPart {
    /// Where full blocks of [`ROWS_AT_ONCE`] rows begin in the file.
    blocks: Vec<u64>,
    /// Rows of the next block.
    open: Vec<u8>,
}

impl Spilled {
    fn new(file: Scratch) -> Self {
        let parts = std::iter::repeat_with(SpilledPart::default);
        Self { file, parts: parts.take(usize::from(u8::MAX) + 1).collect() }
    }

    fn push(&mut self, row: &Row) -> Result<()> {
        let first = row.0.as_bytes().first().copied().unwrap_or_default();
        let Some(part) = self.parts.get_mut(usize::from(first)) else { return Ok(()) };
        encode(row, &mut part.open);
        if part.open.len() >= ROWS_AT_ONCE * ROW_BYTES {
            part.blocks.push(self.file.append(&part.open)?);
            part.open.clear();
        }
        Ok(())
    }

    fn rows_of(&self, part: usize) -> Result<Vec<Row>> {
        let Some(part) = self.parts.get(part) else { return Ok(Vec::new()) };
        let mut rows = Vec::with_capacity(part.blocks.len() * ROWS_AT_ONCE);
        let mut block = vec![0; ROWS_AT_ONCE * ROW_BYTES];
        for start in &part.blocks {
            self.file.read(*start, &mut block)?;
            rows.extend(decoded(&block));
        }
        rows.extend(decoded(&part.open));
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same rows in memory and on a disk.
    fn tables(rows: &[Row], moved: impl Fn(u32) -> Option<u32> + Copy) -> [ChunkTable; 2] {
        let folder = tempfile::tempdir().unwrap();
        [None, Some(folder.path().to_owned())].map(|folder| {
            let is_on_disk = folder.is_some();
            let mut all = Rows::new(folder, 3);
            for row in rows {
                all.push(*row).unwrap();
            }
            let table = all.into_table(moved).unwrap();
            let is_large = is_on_disk && rows.len() > 3;
            assert_eq!(matches!(table.rows, Place::Disk(_)), is_large);
            table
        })
    }

    fn found(table: &ChunkTable, id: &ChunkId) -> Vec<u32> {
        table.find_all(id).unwrap().map(|place| place.blob).collect()
    }

    proptest! {
        #[test]
        fn every_chunk_is_found_and_no_other(
            // Few different bytes, so that ids share beginnings, and are there twice.
            ids in proptest::collection::vec(((0u8..4, any::<u8>()), 0u8..3), 0..300),
            others in proptest::collection::vec(((0u8..6, any::<u8>()), 0u8..4), 1..50),
            even_only: bool,
        ) {
            let id = |((first, second), last): ((u8, u8), u8)| {
                let mut id = [last; 32];
                id[..2].copy_from_slice(&[first * 51, second]);
                ChunkId(id)
            };
            let rows: Vec<_> = (0u32..).zip(ids.into_iter().map(id)).map(|(blob, id)| {
                (id, ChunkPlace { blob, offset: blob * 3, length: 1 })
            }).collect();
            let moved = |blob: u32| (!even_only || blob.is_multiple_of(2)).then_some(blob + 7);
            for table in tables(&rows, moved) {
                let wanted = rows.iter().map(|(id, _)| *id).chain(others.iter().copied().map(id));
                for id in wanted {
                    let right: Vec<u32> = rows.iter().filter(|(one, _)| *one == id)
                        .filter_map(|(_, place)| moved(place.blob)).collect();
                    prop_assert_eq!(found(&table, &id), &right[..]);
                    prop_assert_eq!(table.rows_of(&id).unwrap().len(), right.len());
                }
                let mut next = 0;
                table.each(|first, same| {
                    assert_eq!(first, next);
                    next += same.len();
                    assert_eq!(table.rows_of(&same[0].0).unwrap(), first..next);
                    assert!(same.iter().all(|(id, place)| *id == same[0].0
                        && place.offset == (place.blob - 7) * 3));
                    Ok(())
                }).unwrap();
                prop_assert_eq!(next, table.len());
            }
        }
    }

    #[test]
    fn ids_spread_evenly_are_found_in_large_tables() {
        let id = |n: u32| ChunkId(*blake3::hash(&n.to_le_bytes()).as_bytes());
        let row = |blob: u32| (id(blob), ChunkPlace { blob, offset: 0, length: 1 });
        // On the disk some parts have full blocks and some have not.
        let rows: Vec<Row> = (0..100_000).map(row).collect();
        for table in tables(&rows, Some) {
            assert!(table.ends.bits >= 13);
            for n in (0..100_000).step_by(7) {
                assert_eq!(found(&table, &id(n)), [n]);
            }
            assert!(found(&table, &id(100_001)).is_empty());
        }
    }
}
