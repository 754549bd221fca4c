// SPDX-License-Identifier: MIT
//! The history of a repository: who stored or removed which snapshots, one entry after the other,
//! signed. Each writer has a chain of its own, so nobody waits for anybody: an entry has the number
//! after the one before it, and names that one by its hash. Snapshots carry the entry that stored
//! them; what was removed is said in files of its own.

use super::damaged;
use super::snapshot::Snapshot;
use crate::base::{Error, FileId, Result, Timestamp};
use crate::crypto::sign::{WriterId, WriterKey};
use prost::Message;
use std::collections::BTreeMap;

/// The largest number that is believed: an entry a millisecond for thirty years.
pub const NUMBER_MAX: u64 = 1 << 40;

/// One place in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number, from 1 on.
    pub number: u64,
    /// The hash of the entry.
    pub digest: FileId,
}

/// Numbers of one chain, as first and last of ranges in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans(Vec<(u64, u64)>);

impl Spans {
    /// The numbers of these ranges.
    pub fn of(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut spans = Self(ranges.into_iter().filter(|(first, last)| first <= last).collect());
        spans.merge();
        spans
    }

    /// Adds the numbers from `first` to `last`.
    pub fn add(&mut self, first: u64, last: u64) {
        if first <= last {
            self.0.push((first, last));
            self.merge();
        }
    }

    /// Adds all of another.
    pub fn add_all(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
        self.merge();
    }

    fn merge(&mut self) {
        self.0.sort_unstable();
        self.0.dedup_by(|next, before| {
            let touches = next.0 <= before.1.saturating_add(1);
            if touches {
                before.1 = before.1.max(next.1);
            }
            touches
        });
    }

    /// The numbers that both have.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let (mut both, mut mine, mut theirs) = (Vec::new(), self.0.iter(), other.0.iter());
        let (mut a, mut b) = (mine.next(), theirs.next());
        while let (Some(one), Some(two)) = (a, b) {
            let (first, last) = (one.0.max(two.0), one.1.min(two.1));
            if first <= last {
                both.push((first, last));
            }
            if one.1 <= two.1 {
                a = mine.next();
            } else {
                b = theirs.next();
            }
        }
        Self(both)
    }

    /// Its ranges, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    /// Whether it has a number.
    pub fn has(&self, number: u64) -> bool {
        self.end_of(number).is_some()
    }

    /// The last number of the range that has this one.
    fn end_of(&self, number: u64) -> Option<u64> {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        let (_, last) = self.0.get(after.checked_sub(1)?)?;
        (number <= *last).then_some(*last)
    }

    /// The largest number.
    pub fn last(&self) -> u64 {
        self.0.last().map_or(0, |(_, last)| *last)
    }

    /// How many numbers it has.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// All ranges from 1 to `last` that it lacks.
    pub fn gaps(&self, last: u64) -> impl Iterator<Item = (u64, u64)> {
        let ends = self.0.iter().map(|(_, last)| last.saturating_add(1));
        let starts = std::iter::once(1).chain(ends);
        let befores = self.0.iter().map(|(first, _)| first.saturating_sub(1)).chain([u64::MAX]);
        let gaps = starts.zip(befores).map(move |(first, before)| (first, before.min(last)));
        gaps.filter(|(first, before)| first <= before)
    }
}

/// The numbers that somebody has removed, by whose they were.
pub type Removed = BTreeMap<WriterId, Spans>;

/// What one run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub writer: WriterId,
    /// The machine.
    pub host: String,
    /// Its place in the chain.
    pub number: u64,
    /// The one it follows; `None` for the first. What lies between was never stored.
    pub before: Option<Head>,
    /// When.
    pub time: Timestamp,
    /// What its snapshot holds, if it stored one ([`content_of`]).
    pub content: Option<FileId>,
    /// What was ever removed, as far as the writer knew, if it removed something.
    pub removed: Removed,
    /// Where the chains of others were.
    pub seen: BTreeMap<WriterId, Head>,
}

/// An entry as it is stored: its bytes are what is signed.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedEntry {
    bytes: Vec<u8>,
    signature: Vec<u8>,
}

impl std::fmt::Debug for SignedEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedEntry({})", self.digest())
    }
}

/// What a snapshot holds, and of whom: what its entry vouches for. Pins and tags may change.
pub fn content_of(snapshot: &Snapshot) -> FileId {
    let mut hash = blake3::Hasher::new_derive_key("ghostsnap v1 history content");
    let mut add = |bytes: &[u8]| {
        hash.update(&crate::base::units::bytes(bytes.len()).to_le_bytes());
        hash.update(bytes);
    };
    let tree: Vec<u8> = snapshot.tree.iter().flat_map(|id| *id.as_bytes()).collect();
    add(&tree);
    for text in [&snapshot.name, &snapshot.host, &snapshot.user, &snapshot.user_identity] {
        add(text.as_bytes());
    }
    add(snapshot.source.as_bytes());
    add(&snapshot.time.seconds.to_le_bytes());
    add(&snapshot.warnings.to_le_bytes());
    FileId(*hash.finalize().as_bytes())
}

#[derive(Clone, PartialEq, Message)]
struct EntryRecord {
    #[prost(bytes = "vec", tag = "1")]
    writer: Vec<u8>,
    #[prost(string, tag = "2")]
    host: String,
    #[prost(uint64, tag = "3")]
    number: u64,
    #[prost(message, optional, tag = "4")]
    before: Option<HeadRecord>,
    #[prost(sint64, tag = "5")]
    time: i64,
    #[prost(bytes = "vec", tag = "6")]
    content: Vec<u8>,
    #[prost(message, repeated, tag = "7")]
    removed: Vec<RemovedRecord>,
    #[prost(message, repeated, tag = "8")]
    seen: Vec<HeadRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct HeadRecord {
    #[prost(bytes = "vec", tag = "1")]
    writer: Vec<u8>,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(bytes = "vec", tag = "3")]
    digest: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RemovedRecord {
    #[prost(bytes = "vec", tag = "1")]
    writer: Vec<u8>,
    #[prost(uint64, repeated, tag = "2")]
    spans: Vec<u64>,
}

/// A signed entry, inside a snapshot or as a file of its own.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SignedRecord {
    #[prost(bytes = "vec", tag = "1")]
    entry: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

/// What a machine remembers of a repository.
#[derive(Clone, PartialEq, Message)]
struct MemoryRecord {
    #[prost(bytes = "vec", tag = "1")]
    seed: Vec<u8>,
    #[prost(string, tag = "2")]
    machine: String,
    #[prost(uint64, tag = "3")]
    next: u64,
    #[prost(message, optional, tag = "4")]
    last: Option<HeadRecord>,
    #[prost(message, repeated, tag = "5")]
    heads: Vec<HeadRecord>,
    #[prost(message, repeated, tag = "6")]
    removed: Vec<RemovedRecord>,
}

fn broken(why: &str) -> Error {
    damaged("read an entry of the history", why)
}

impl HeadRecord {
    fn of(writer: Option<WriterId>, head: Head) -> Self {
        let writer = writer.map(|one| one.0.to_vec()).unwrap_or_default();
        Self { writer, number: head.number, digest: head.digest.as_bytes().to_vec() }
    }

    fn head(&self) -> Result<Head> {
        let digest = FileId::from_slice(&self.digest).ok_or_else(|| broken("a hash is cut off"))?;
        if self.number == 0 || self.number > NUMBER_MAX {
            return Err(broken("no entry has such a number"));
        }
        Ok(Head { number: self.number, digest })
    }
}

fn writer_of(bytes: &[u8]) -> Result<WriterId> {
    WriterId::from_slice(bytes).ok_or_else(|| broken("a writer's key has 32 bytes"))
}

fn heads_of(records: &[HeadRecord]) -> Result<BTreeMap<WriterId, Head>> {
    records.iter().map(|one| Ok((writer_of(&one.writer)?, one.head()?))).collect()
}

fn head_records(heads: &BTreeMap<WriterId, Head>) -> Vec<HeadRecord> {
    heads.iter().map(|(writer, head)| HeadRecord::of(Some(*writer), *head)).collect()
}

fn removed_of(records: &[RemovedRecord]) -> Result<Removed> {
    let mut removed = Removed::new();
    for record in records {
        let spans = removed.entry(writer_of(&record.writer)?).or_default();
        let (pairs, rest) = record.spans.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(broken("a range has two ends"));
        }
        // In order and apart, as they are written: many ranges cost no more than their bytes.
        let mut end = 0u64;
        for &[first, last] in pairs {
            if first <= end || last < first || last > NUMBER_MAX {
                return Err(broken("its ranges are not in order"));
            }
            end = last;
            spans.0.push((first, last));
        }
        if spans.0.windows(2).any(|pair| matches!(pair, [a, b] if a.1 >= b.0)) {
            return Err(broken("a writer is named twice"));
        }
    }
    Ok(removed)
}

fn removed_records(removed: &Removed) -> Vec<RemovedRecord> {
    let spans = |spans: &Spans| spans.0.iter().flat_map(|(first, last)| [*first, *last]).collect();
    let record = |(writer, one): (&WriterId, &Spans)| RemovedRecord {
        writer: writer.0.to_vec(),
        spans: spans(one),
    };
    removed.iter().map(record).collect()
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        EntryRecord {
            writer: self.writer.0.to_vec(),
            host: self.host.clone(),
            number: self.number,
            before: self.before.map(|head| HeadRecord::of(None, head)),
            time: self.time.seconds,
            content: self.content.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
            removed: removed_records(&self.removed),
            seen: head_records(&self.seen),
        }
        .encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let record = EntryRecord::decode(bytes).map_err(|cause| broken(&cause.to_string()))?;
        let before = record.before.as_ref().map(HeadRecord::head).transpose()?;
        let is_order = record.number > before.map_or(0, |head| head.number);
        if !is_order || record.number > NUMBER_MAX {
            return Err(broken("it does not come after the one before it"));
        }
        Ok(Self {
            writer: writer_of(&record.writer)?,
            host: record.host,
            number: record.number,
            before,
            time: Timestamp::from_seconds(record.time),
            content: FileId::from_slice(&record.content),
            removed: removed_of(&record.removed)?,
            seen: heads_of(&record.seen)?,
        })
    }

    /// Signs it, for a repository.
    pub fn sign(&self, key: &WriterKey, repository: &FileId) -> SignedEntry {
        let bytes = self.encode();
        let signature = key.sign(repository.as_bytes(), &bytes).to_vec();
        SignedEntry { bytes, signature }
    }
}

impl SignedEntry {
    /// The hash by which the next one names it.
    pub fn digest(&self) -> FileId {
        FileId(*blake3::hash(&self.bytes).as_bytes())
    }

    /// What it says, whoever signed it.
    pub fn entry(&self) -> Result<Entry> {
        Entry::decode(&self.bytes)
    }

    /// Whether its writer signed it, for this repository.
    pub fn is_signed(&self, entry: &Entry, repository: &FileId) -> bool {
        entry.writer.has_signed(repository.as_bytes(), &self.bytes, &self.signature)
    }

    pub(super) fn record(&self) -> SignedRecord {
        SignedRecord { entry: self.bytes.clone(), signature: self.signature.clone() }
    }

    pub(super) fn of_record(record: SignedRecord) -> Self {
        Self { bytes: record.entry, signature: record.signature }
    }

    /// The plain record of a file of its own.
    pub fn encode(&self) -> Vec<u8> {
        self.record().encode_to_vec()
    }

    /// Reads a plain record.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let record = SignedRecord::decode(plain).map_err(|cause| broken(&cause.to_string()))?;
        Ok(Self::of_record(record))
    }
}

/// What a machine remembers of a repository: its own place there, and where it has seen others.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// The 32 bytes of its private key; none before it has written.
    pub seed: zeroize::Zeroizing<Vec<u8>>,
    /// The machine they were drawn on: a clone of it is somebody else.
    pub machine: String,
    /// The number of its next entry.
    pub next: u64,
    /// Its last one that was stored.
    pub last: Option<Head>,
    /// The last entry that it saw of each writer.
    pub heads: BTreeMap<WriterId, Head>,
    /// What it knows to be removed.
    pub removed: Removed,
}

impl Memory {
    /// As it is kept on the machine.
    pub fn encode(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let record = MemoryRecord {
            seed: self.seed.to_vec(),
            machine: self.machine.clone(),
            next: self.next,
            last: self.last.map(|head| HeadRecord::of(None, head)),
            heads: head_records(&self.heads),
            removed: removed_records(&self.removed),
        };
        zeroize::Zeroizing::new(record.encode_to_vec())
    }

    /// Reads what was kept.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let record = MemoryRecord::decode(bytes).map_err(|cause| broken(&cause.to_string()))?;
        Ok(Self {
            seed: zeroize::Zeroizing::new(record.seed),
            machine: record.machine,
            next: record.next,
            last: record.last.as_ref().map(HeadRecord::head).transpose()?,
            heads: heads_of(&record.heads)?,
            removed: removed_of(&record.removed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    fn entry(key: &WriterKey) -> Entry {
        let mut spans = Spans::default();
        spans.add(3, 5);
        spans.add(1, 1);
        let head = Head { number: 6, digest: FileId([7; 32]) };
        Entry {
            writer: key.writer(),
            host: "web1".to_owned(),
            number: 9,
            before: Some(Head { number: 7, digest: FileId([8; 32]) }),
            time: Timestamp::from_seconds(-4),
            content: Some(FileId([5; 32])),
            removed: [(WriterId([2; 32]), spans)].into(),
            seen: [(WriterId([2; 32]), head)].into(),
        }
    }

    #[test]
    fn entries_and_memories_survive_encoding() {
        let key = WriterKey::new(&Zeroizing::new([1; 32]));
        let entry = entry(&key);
        let signed = entry.sign(&key, &FileId([3; 32]));
        let back = SignedEntry::decode(&signed.encode()).unwrap();
        assert_eq!(back.entry().unwrap(), entry);
        assert!(
            back.is_signed(&entry, &FileId([3; 32])) && !back.is_signed(&entry, &FileId([4; 32]))
        );
        let memory = Memory {
            seed: Zeroizing::new(vec![1; 32]),
            machine: "m".to_owned(),
            next: 10,
            last: entry.before,
            heads: entry.seen.clone(),
            removed: entry.removed.clone(),
        };
        assert!(Memory::decode(&memory.encode()).unwrap() == memory);
    }

    #[test]
    fn entries_that_lie_about_their_order_are_refused() {
        let key = WriterKey::new(&Zeroizing::new([1; 32]));
        let first = Entry { number: 0, before: None, ..entry(&key) };
        assert!(Entry::decode(&first.encode()).is_err());
        let same = Entry { number: 7, ..entry(&key) };
        assert!(Entry::decode(&same.encode()).is_err());
        let spans = Spans(vec![(3, 5), (4, 9)]);
        let overlapping = Entry { removed: [(WriterId([2; 32]), spans)].into(), ..entry(&key) };
        assert!(Entry::decode(&overlapping.encode()).is_err());
    }

    proptest! {
        #[test]
        fn spans_are_a_set_of_numbers(
            ranges in prop::collection::vec((1u64..60, 0u64..9), 0..12), last in 0u64..80,
        ) {
            let mut spans = Spans::default();
            let mut set = std::collections::BTreeSet::new();
            for (first, more) in ranges {
                spans.add(first, first + more);
                set.extend(first..=first + more);
            }
            for number in 0..80 {
                prop_assert_eq!(spans.has(number), set.contains(&number));
            }
            prop_assert_eq!(spans.count(), u64::try_from(set.len()).unwrap());
            let low = Spans::of([(2, 5), (9, 30)]);
            let common: Vec<u64> = spans.common(&low).ranges().flat_map(|(a, b)| a..=b).collect();
            let expected: Vec<u64> = set.iter().copied().filter(|one| low.has(*one)).collect();
            prop_assert_eq!(common, expected);
            let lacking: Vec<u64> = (1..=last).filter(|one| !set.contains(one)).collect();
            let gaps: Vec<u64> = spans.gaps(last).flat_map(|(first, end)| first..=end).collect();
            prop_assert_eq!(gaps, lacking);
        }
    }
}
