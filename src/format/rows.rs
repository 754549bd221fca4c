// SPDX-License-Identifier: MIT
//! Files of rows, such as SQL dumps. Between two dumps of a database few rows differ, but all over
//! the file: chunks of a mebibyte would all be new. So a file of rows is cut into *groups* of
//! about a kibibyte that end where a row does. New groups are stored together in chunks of some
//! hundred kibibytes, a *row table* beside each says which groups are in it, and the *row map* of
//! the file says which stretches of which chunks make it up. Only the next backup of the same file
//! looks at the tables; the index knows nothing of groups.

use super::damaged;
use super::tree::{ids_bytes, ids_from};
use crate::base::units::{bytes, length};
use crate::base::{ChunkId, Result, limits};
use crate::crypto::Keys;
use memchr::memchr2_iter;
use prost::Message;

/// Bytes of a group's name: a keyed hash, long enough that two groups of one file never share it
/// by chance.
pub const GROUP_NAME_BYTES: usize = 10;

/// The name of a group of rows.
pub type GroupName = [u8; GROUP_NAME_BYTES];

/// What a row map starts with; no tree and no list of ids does.
const MAP_PREFIX: &[u8] = b"map\0";
/// What a row table starts with.
const TABLE_PREFIX: &[u8] = b"tab\0";

/// Cuts a stream into groups of rows. A row ends behind a line break, and behind the comma in
/// `),(`, which separates the rows of one long `INSERT`. Whether a group ends there depends on
/// this row alone, so that a change elsewhere moves no border.
#[derive(Debug, Clone, Copy)]
pub struct RowCutter {
    average: u64,
    key: u64,
}

impl RowCutter {
    /// A cutter that aims at groups of `average` bytes, with borders that depend on the key.
    pub fn new(keys: &Keys, average: u32) -> Self {
        let key = keys.gear_table().first().copied().unwrap_or_default();
        Self { average: u64::from(average.max(1)), key }
    }

    /// Length of the first group of `data`. Unless `data` ends the file it must hold at least
    /// [`limits::ROW_GROUP_BYTES_MAX`], or the border would depend on how it was read.
    pub fn cut(&self, data: &[u8]) -> usize {
        let window = data.get(..limits::ROW_GROUP_BYTES_MAX).unwrap_or(data);
        let mut row_start = 0;
        let least = length(self.average / 2);
        for at in memchr2_iter(b'\n', b'(', window) {
            let end = match window.get(at) {
                Some(b'\n') => at + 1,
                _ if window.get(..at).is_some_and(|before| before.ends_with(b"),")) => at,
                _ => continue,
            };
            let row = window.get(row_start..end).unwrap_or_default();
            if end >= least && self.ends_group(row) {
                return end;
            }
            row_start = end;
        }
        window.len()
    }

    /// True for one row in (half the average / its length), so that groups have the same size
    /// whatever the rows have. The other half is the least length of a group: without it few large
    /// groups would hold most of the rows, and be hit by most of the changes.
    fn ends_group(&self, row: &[u8]) -> bool {
        let rest = (self.average / 2).max(1);
        bytes(row.len()) >= rest || self.mix(row) < bytes(row.len()) * (u64::MAX / rest)
    }

    /// Spreads a row over 64 bits: fast, and no more than evenly, since only borders depend on it.
    fn mix(&self, row: &[u8]) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut state = self.key ^ bytes(row.len());
        let mut words = row.chunks_exact(8);
        for word in &mut words {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            state = (state ^ word).wrapping_mul(ODD);
            state ^= state >> 29;
        }
        let mut last = [0; 8];
        last.iter_mut().zip(words.remainder()).for_each(|(to, from)| *to = *from);
        state = (state ^ u64::from_le_bytes(last)).wrapping_mul(ODD);
        state ^= state >> 32;
        state.wrapping_mul(ODD)
    }
}

/// Which groups a chunk of rows holds, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowTable {
    /// Each group's name and length.
    pub groups: Vec<(GroupName, u32)>,
}

impl RowTable {
    /// The plain bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut plain = TABLE_PREFIX.to_vec();
        for (name, size) in &self.groups {
            plain.extend_from_slice(name);
            prost::encoding::encode_varint(u64::from(*size), &mut plain);
        }
        plain
    }

    /// Reads a table back.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let wrong = |why: &str| damaged("read a row table", why);
        let mut rest = plain.strip_prefix(TABLE_PREFIX).ok_or_else(|| wrong("it is none"))?;
        let mut groups = Vec::with_capacity(rest.len() / (GROUP_NAME_BYTES + 1));
        while !rest.is_empty() {
            let (name, after) =
                rest.split_first_chunk().ok_or_else(|| wrong("it ends in a name"))?;
            rest = after;
            let size = prost::encoding::decode_varint(&mut rest)
                .ok()
                .and_then(|size| u32::try_from(size).ok())
                .filter(|size| *size > 0)
                .ok_or_else(|| wrong("a length in it is none"))?;
            groups.push((*name, size));
        }
        Ok(Self { groups })
    }
}

/// A chunk of rows that a map refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowChunk {
    /// Its id; it lies in a data pack.
    pub id: ChunkId,
    /// Its row table, in a meta pack.
    pub table: ChunkId,
    /// Its length.
    pub length: u32,
}

/// A stretch of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowSpan {
    /// Which of the map's chunks.
    pub chunk: u32,
    /// First byte in it.
    pub from: u32,
    /// Bytes.
    pub length: u32,
}

/// What a part of a file of rows is made of; the maps of a file follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowMap {
    /// The chunks it refers to.
    pub chunks: Vec<RowChunk>,
    /// Stretches of them, in the order of the file.
    pub spans: Vec<RowSpan>,
    /// The average that the groups were cut with.
    pub average: u32,
}

#[derive(Clone, PartialEq, Message)]
struct RowMapRecord {
    #[prost(bytes = "vec", tag = "1")]
    chunks: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    tables: Vec<u8>,
    #[prost(uint32, repeated, tag = "3")]
    lengths: Vec<u32>,
    #[prost(uint32, repeated, tag = "4")]
    spans: Vec<u32>,
    #[prost(uint32, tag = "5")]
    average: u32,
}

impl RowMap {
    /// The plain bytes.
    pub fn encode(&self) -> Vec<u8> {
        let ids = |of: fn(&RowChunk) -> ChunkId| {
            ids_bytes(&self.chunks.iter().map(of).collect::<Vec<_>>())
        };
        let record = RowMapRecord {
            chunks: ids(|one| one.id),
            tables: ids(|one| one.table),
            lengths: self.chunks.iter().map(|one| one.length).collect(),
            spans: self.spans.iter().flat_map(|one| [one.chunk, one.from, one.length]).collect(),
            average: self.average,
        };
        [MAP_PREFIX, &record.encode_to_vec()].concat()
    }

    /// Reads a map back. Every stretch lies within its chunk.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let wrong = |why: &str| damaged("read a row map", why);
        let plain = plain.strip_prefix(MAP_PREFIX).ok_or_else(|| wrong("it is none"))?;
        let record = RowMapRecord::decode(plain).map_err(|cause| wrong(&cause.to_string()))?;
        let (ids, tables) = (ids_from(&record.chunks)?, ids_from(&record.tables)?);
        if ids.len() != tables.len() || ids.len() != record.lengths.len() {
            return Err(wrong("its lists differ in length"));
        }
        let chunks: Vec<RowChunk> = ids
            .into_iter()
            .zip(tables)
            .zip(record.lengths)
            .map(|((id, table), length)| RowChunk { id, table, length })
            .collect();
        let mut spans = Vec::with_capacity(record.spans.len() / 3);
        for numbers in record.spans.chunks(3) {
            let &[chunk, from, size] = numbers else { return Err(wrong("a stretch is cut off")) };
            let whole = chunks.get(length(u64::from(chunk)));
            let whole = whole.ok_or_else(|| wrong("a stretch names no chunk"))?.length;
            if size == 0 || from.checked_add(size).is_none_or(|end| end > whole) {
                return Err(wrong("a stretch reaches beyond its chunk"));
            }
            spans.push(RowSpan { chunk, from, length: size });
        }
        Ok(Self { chunks, spans, average: record.average })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use std::fmt::Write;

    fn keys() -> Keys {
        Keys::new(MasterKey::new([5; 32]))
    }

    fn groups(average: u32, data: &[u8]) -> Vec<&[u8]> {
        let cutter = RowCutter::new(&keys(), average);
        let (mut rest, mut groups) = (data, Vec::new());
        while !rest.is_empty() {
            let (group, after) = rest.split_at(cutter.cut(rest));
            groups.push(group);
            rest = after;
        }
        groups
    }

    fn dump(rows: u32, separator: &str) -> Vec<u8> {
        let mut text = String::from("INSERT INTO `t` VALUES (0)");
        for row in 0..rows {
            write!(text, ",{separator}({row},'name {}',NULL,0,0,0)", row * 7919 % 1000).unwrap();
        }
        text.into_bytes()
    }

    #[test]
    fn groups_end_where_rows_end_and_have_the_size_aimed_at() {
        for separator in ["", "\n"] {
            let data = dump(100_000, separator);
            let groups = groups(1024, &data);
            let average = data.len() / groups.len();
            assert!((900..1200).contains(&average), "{average}");
            let ends = if separator.is_empty() { b"),".as_slice() } else { b"\n" };
            assert!(groups[1..groups.len() - 1].iter().all(|group| group.ends_with(ends)));
        }
    }

    #[test]
    fn a_changed_row_changes_its_group_and_no_other_border() {
        let old = dump(50_000, "");
        let new = String::from_utf8(old.clone()).unwrap().replace("(25000,", "(25000000,");
        let (before, after) = (groups(1024, &old), groups(1024, new.as_bytes()));
        let known: std::collections::HashSet<_> = before.iter().collect();
        assert!(after.iter().filter(|group| !known.contains(group)).count() <= 2);
    }

    #[test]
    fn rows_larger_than_any_group_are_cut_by_length() {
        let data = vec![b'x'; 3 * limits::ROW_GROUP_BYTES_MAX + 5];
        let lengths: Vec<_> = groups(1024, &data).iter().map(|one| one.len()).collect();
        let max = limits::ROW_GROUP_BYTES_MAX;
        assert_eq!(lengths, [max, max, max, 5]);
    }

    fn map() -> RowMap {
        let chunk = |n: u8, length| RowChunk {
            id: ChunkId([n; 32]),
            table: ChunkId([n + 100; 32]),
            length,
        };
        let span = |chunk, from, length| RowSpan { chunk, from, length };
        RowMap {
            chunks: vec![chunk(1, 1000), chunk(2, 50)],
            spans: vec![span(0, 0, 600), span(1, 10, 40), span(0, 700, 300)],
            average: 1024,
        }
    }

    #[test]
    fn maps_and_tables_read_back_as_written() {
        assert_eq!(RowMap::decode(&map().encode()).unwrap(), map());
        let table = RowTable { groups: vec![([1; 10], 5), ([2; 10], 70_000)] };
        assert_eq!(RowTable::decode(&table.encode()).unwrap(), table);
    }

    #[test]
    fn maps_and_tables_that_lie_are_damage() {
        let mut beyond = map();
        beyond.spans[1].length = 41;
        let mut nowhere = map();
        nowhere.spans[1].chunk = 2;
        let mut empty = map();
        empty.spans[1].length = 0;
        for wrong in [beyond, nowhere, empty] {
            assert!(RowMap::decode(&wrong.encode()).is_err());
        }
        let whole = RowTable { groups: vec![([1; 10], 5)] }.encode();
        for cut in 4 + 1..whole.len() {
            assert!(RowTable::decode(&whole[..cut]).is_err());
        }
        assert!(RowTable::decode(b"ids\0").is_err());
        assert!(RowMap::decode(b"").is_err());
    }
}
