// SPDX-License-Identifier: MIT
//! The sorted table of chunks of an index. Ids are keyed hashes, so they are spread evenly: a table
//! of where the ids with the same first bits begin leads to a handful of rows at once, where a
//! binary search over all of them would miss the processor's cache at every step.

use super::index::ChunkPlace;
use crate::base::ChunkId;
use std::ops::Range;

/// Rows that the ids of one beginning have on average.
const ROWS_TOGETHER: usize = 8;

/// Which chunk lies where, at 44 bytes a row and half a byte more for the beginnings.
#[derive(Debug, Default)]
pub struct ChunkTable {
    rows: Vec<(ChunkId, ChunkPlace)>,
    /// Where the rows of each beginning end.
    ends: Vec<u32>,
    /// Bits of a beginning.
    bits: u32,
}

impl ChunkTable {
    /// Sorts the rows by id, and those of the same id by blob.
    pub fn new(mut rows: Vec<(ChunkId, ChunkPlace)>) -> Self {
        // Comparing a number first spares nearly all comparisons of whole ids.
        rows.sort_unstable_by(|(a, place), (b, other)| {
            let order = start_of(a).cmp(&start_of(b)).then_with(|| a.cmp(b));
            order.then_with(|| place.blob.cmp(&other.blob))
        });
        rows.shrink_to_fit();
        let mut table = Self { rows, ..Self::default() };
        table.index();
        table
    }

    fn index(&mut self) {
        self.bits = (self.rows.len() / ROWS_TOGETHER).checked_ilog2().unwrap_or(0).min(24);
        self.ends.clear();
        let mut at = 0u32;
        for (id, _) in &self.rows {
            let beginning = self.beginning(id);
            while self.ends.len() < beginning {
                self.ends.push(at);
            }
            // A table of more rows than this finds those at its end by searching all of it.
            at = at.saturating_add(1);
        }
        self.ends.push(at);
    }

    fn beginning(&self, id: &ChunkId) -> usize {
        let first = (start_of(id) >> 32) >> (32 - self.bits);
        crate::base::units::length(first)
    }

    /// All rows of a chunk.
    pub fn find_all<'a>(&'a self, id: &'a ChunkId) -> impl Iterator<Item = ChunkPlace> + 'a {
        let run = self.run(id);
        let start = run.partition_point(|(one, _)| one < id);
        let found = run.iter().skip(start).take_while(move |(one, _)| one == id);
        found.map(|(_, place)| *place)
    }

    /// Where in [`Self::rows`] the rows of a chunk are.
    pub fn rows_of(&self, id: &ChunkId) -> Range<usize> {
        let run = self.run_range(id);
        let rows = self.rows.get(run.clone()).unwrap_or_default();
        let start = run.start + rows.partition_point(|(one, _)| one < id);
        let end = run.start + rows.partition_point(|(one, _)| one <= id);
        start..end
    }

    /// The rows of the ids that begin as this one does.
    fn run(&self, id: &ChunkId) -> &[(ChunkId, ChunkPlace)] {
        self.rows.get(self.run_range(id)).unwrap_or_default()
    }

    fn run_range(&self, id: &ChunkId) -> Range<usize> {
        if u32::try_from(self.rows.len()).is_err() {
            return 0..self.rows.len();
        }
        let beginning = self.beginning(id);
        let end = |beginning: usize| {
            self.ends
                .get(beginning)
                .map_or(self.rows.len(), |end| crate::base::units::length(u64::from(*end)))
        };
        let start = beginning.checked_sub(1).map_or(0, end);
        start..end(beginning)
    }

    /// All rows, sorted.
    pub fn rows(&self) -> &[(ChunkId, ChunkPlace)] {
        &self.rows
    }

    /// Keeps those rows that `is_kept` says.
    pub fn retain(&mut self, is_kept: impl Fn(&ChunkPlace) -> bool) {
        self.rows.retain(|(_, place)| is_kept(place));
        self.index();
    }
}

/// The first eight bytes of an id, as a number.
fn start_of(id: &ChunkId) -> u64 {
    id.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_chunk_is_found_and_no_other(
            // Few different bytes, so that ids share beginnings, and are there twice.
            ids in proptest::collection::vec(((0u8..4, any::<u8>()), 0u8..3), 0..300),
            others in proptest::collection::vec(((0u8..6, any::<u8>()), 0u8..4), 1..50),
        ) {
            let id = |((first, second), last): ((u8, u8), u8)| {
                let mut id = [last; 32];
                id[..2].copy_from_slice(&[first * 51, second]);
                ChunkId(id)
            };
            let rows: Vec<_> = (0u32..).zip(ids.into_iter().map(id)).map(|(blob, id)| {
                (id, ChunkPlace { blob, offset: 0, length: 1 })
            }).collect();
            let mut table = ChunkTable::new(rows.clone());
            for even_only in [false, true] {
                let is_kept = |place: &ChunkPlace| !even_only || place.blob.is_multiple_of(2);
                table.retain(is_kept);
                let wanted = rows.iter().map(|(id, _)| *id).chain(others.iter().copied().map(id));
                for id in wanted {
                    let found: Vec<u32> = table.find_all(&id).map(|place| place.blob).collect();
                    let right: Vec<u32> = rows.iter()
                        .filter(|(one, place)| *one == id && is_kept(place))
                        .map(|(_, place)| place.blob).collect();
                    let rows = table.rows.get(table.rows_of(&id)).unwrap();
                    prop_assert!(rows.iter().all(|(one, _)| *one == id));
                    prop_assert_eq!(rows.len(), right.len());
                    prop_assert_eq!(found, right);
                }
            }
        }
    }

    #[test]
    fn ids_spread_evenly_are_found_in_large_tables() {
        let id = |n: u32| ChunkId(*blake3::hash(&n.to_le_bytes()).as_bytes());
        let row = |blob: u32| (id(blob), ChunkPlace { blob, offset: 0, length: 1 });
        let table = ChunkTable::new((0..20_000).map(row).collect());
        assert!(table.bits >= 11);
        for n in 0..20_000 {
            assert_eq!(table.find_all(&id(n)).map(|place| place.blob).collect::<Vec<_>>(), [n]);
        }
        assert_eq!(table.find_all(&id(20_001)).count(), 0);
    }
}
