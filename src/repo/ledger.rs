// SPDX-License-Identifier: MIT
//! All entries of a repository's history side by side, and what is wrong with them. Pure.
//!
//! Every number of a chain, up to the highest that anybody has seen, is there, or somebody has
//! said that it was removed, or its own writer that it was never stored. What is none of it was
//! taken away behind everybody's back.

use crate::base::{FileId, Timestamp};
use crate::crypto::sign::WriterId;
use crate::format::history::{Entry, Head, Memory, Removed, SignedEntry, Spans};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is wrong with a history.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// These numbers of a chain are gone, and nobody says that they were removed.
    Gone {
        /// Whose.
        writer: WriterId,
        /// The machine, if anything of that chain is left.
        host: String,
        /// The first one.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// There are two histories from this number on.
    Forked {
        /// Whose.
        writer: WriterId,
        /// The machine.
        host: String,
        /// The first number that differs.
        number: u64,
    },
}

impl Problem {
    /// Whose chain it is.
    pub const fn writer(&self) -> &WriterId {
        let (Self::Gone { writer, .. } | Self::Forked { writer, .. }) = self;
        writer
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Gone { host, .. } | Self::Forked { host, .. }) = self;
        let host = if host.is_empty() { "a machine" } else { host };
        match self {
            Self::Gone { first, last, .. } if first == last => {
                write!(f, "entry {first} ")?;
            }
            Self::Gone { first, last, .. } => write!(f, "entries {first} to {last} ")?,
            Self::Forked { number, .. } => write!(f, "entry {number} ")?,
        }
        write!(f, "of {host} ({}) ", self.writer().short())?;
        match self {
            Self::Gone { first, last, .. } if first == last => {
                f.write_str("is gone, and nobody says that it was removed")
            }
            Self::Gone { .. } => f.write_str("are gone, and nobody says that they were removed"),
            Self::Forked { .. } => {
                f.write_str("is another one than it was: there are two histories")
            }
        }
    }
}

/// What is wrong with a history, number by number.
#[derive(Debug, Clone, Default)]
pub struct Wrong {
    hosts: BTreeMap<WriterId, String>,
    gone: Removed,
    forked: Removed,
}

impl Wrong {
    /// What is wrong in both of two looks. While others store and remove something, each look may
    /// miss an entry that is said to be removed a moment later; none misses the same one twice.
    #[must_use]
    pub fn common(self, other: &Self) -> Self {
        let both = |mine: Removed, theirs: &Removed| {
            let both = |(writer, spans): (WriterId, Spans)| {
                Some((writer, spans.common(theirs.get(&writer)?)))
            };
            mine.into_iter().filter_map(both).collect()
        };
        let gone = both(self.gone, &other.gone);
        Self { gone, forked: both(self.forked, &other.forked), hosts: self.hosts }
    }

    /// In words for people.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for (writer, host) in &self.hosts {
            let (writer, host) = (*writer, host.clone());
            let first = self.forked.get(&writer).and_then(|spans| spans.ranges().next());
            found.extend(first.map(|(number, _)| {
                let host = host.clone();
                Problem::Forked { writer, host, number }
            }));
            let gone = self.gone.get(&writer).into_iter().flat_map(Spans::ranges);
            found.extend(gone.map(|(first, last)| {
                let host = host.clone();
                Problem::Gone { writer, host, first, last }
            }));
        }
        found
    }

    /// Whether there are two histories.
    pub fn is_forked(&self) -> bool {
        self.forked.values().any(|spans| spans.count() > 0)
    }

    /// Whether there are two of one writer.
    pub fn is_forked_of(&self, writer: &WriterId) -> bool {
        self.forked.get(writer).is_some_and(|spans| spans.count() > 0)
    }

    /// How many entries are gone.
    pub fn gone(&self) -> u64 {
        self.gone.values().map(Spans::count).fold(0, u64::saturating_add)
    }
}

/// What an entry may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Everything: whoever sealed it can open everything, too.
    Full,
    /// Something of its own chain. Whoever can only add removes nothing, and could otherwise say
    /// that others' snapshots are gone, or were removed on purpose.
    OwnChain,
}

/// One writer's entries.
#[derive(Debug, Default)]
pub struct Chain {
    /// The machine.
    pub host: String,
    /// When its last entry that is there was made.
    pub time: Timestamp,
    /// What is there.
    pub live: BTreeMap<u64, FileId>,
    /// What was never stored, as its writer says.
    skipped: Spans,
    /// The highest number that anybody has seen.
    pub top: u64,
    forks: BTreeSet<u64>,
}

/// The history of a repository.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By writer.
    pub chains: BTreeMap<WriterId, Chain>,
    /// What was removed, as far as anybody says so.
    pub removed: Removed,
    /// What named entries that must be there.
    pointers: Vec<(WriterId, Head)>,
    /// Files whose entry counts for nothing: nobody signed it, or it is of something else.
    pub forged: Vec<FileId>,
}

impl Ledger {
    /// One that begins with what a machine remembers.
    pub fn new(memory: &Memory) -> Self {
        let pointers = memory.heads.iter().map(|(writer, head)| (*writer, *head)).collect();
        Self { removed: memory.removed.clone(), pointers, ..Self::default() }
    }

    /// Adds the entry of a file. `content` is what the snapshot that carries it holds.
    pub fn add(
        &mut self,
        file: FileId,
        signed: &SignedEntry,
        content: Option<FileId>,
        is_signed: impl Fn(&Entry) -> bool,
    ) {
        self.add_as(Voice::Full, file, signed, content, is_signed);
    }

    /// The same, from somebody who may say no more than this.
    pub fn add_as(
        &mut self,
        voice: Voice,
        file: FileId,
        signed: &SignedEntry,
        content: Option<FileId>,
        is_signed: impl Fn(&Entry) -> bool,
    ) {
        let entry = match signed.entry() {
            Ok(entry) if entry.content == content && is_signed(&entry) => entry,
            _ => {
                self.forged.push(file);
                return;
            }
        };
        let digest = signed.digest();
        let chain = self.chains.entry(entry.writer).or_default();
        if chain.live.insert(entry.number, digest).is_some_and(|before| before != digest) {
            chain.forks.insert(entry.number);
        }
        if chain.live.last_key_value().is_some_and(|(last, _)| *last == entry.number) {
            chain.host.clone_from(&entry.host);
            chain.time = entry.time;
        }
        let before = entry.before.map_or(0, |head| head.number);
        chain.skipped.add(before.saturating_add(1), entry.number.saturating_sub(1));
        self.pointers.extend(entry.before.map(|head| (entry.writer, head)));
        if voice == Voice::OwnChain {
            return;
        }
        self.pointers.extend(entry.seen);
        for (writer, spans) in &entry.removed {
            self.removed.entry(*writer).or_default().add_all(spans);
        }
    }

    /// Compares all with what named it, once everything was added.
    pub fn settle(&mut self) {
        for (writer, head) in std::mem::take(&mut self.pointers) {
            let chain = self.chains.entry(writer).or_default();
            chain.top = chain.top.max(head.number);
            if chain.live.get(&head.number).is_some_and(|digest| *digest != head.digest) {
                chain.forks.insert(head.number);
            }
        }
        for chain in self.chains.values_mut() {
            let last = chain.live.last_key_value().map_or(0, |(last, _)| *last);
            chain.top = chain.top.max(last);
        }
    }

    /// The numbers of a chain that somebody accounts for.
    fn accounted(&self, writer: &WriterId, chain: &Chain) -> Spans {
        let mut spans = chain.skipped.clone();
        if let Some(removed) = self.removed.get(writer) {
            spans.add_all(removed);
        }
        spans.add_all(&Spans::of(chain.live.keys().map(|number| (*number, *number))));
        spans
    }

    /// What is wrong.
    pub fn wrong(&self) -> Wrong {
        let mut wrong = Wrong::default();
        for (writer, chain) in &self.chains {
            let removed = self.removed.get(writer);
            let is_removed = |number: u64| removed.is_some_and(|spans| spans.has(number));
            let forks = chain.forks.iter().filter(|number| !is_removed(**number));
            let forked = Spans::of(forks.map(|number| (*number, *number)));
            let gone = Spans::of(self.accounted(writer, chain).gaps(chain.top));
            wrong.hosts.insert(*writer, chain.host.clone());
            wrong.gone.insert(*writer, gone);
            wrong.forked.insert(*writer, forked);
        }
        wrong
    }

    /// What would have to be removed for this to be well: what somebody signs who has looked at it.
    pub fn removed_if_accepted(&self, wrong: &Wrong) -> Removed {
        let mut removed = self.removed.clone();
        for (writer, spans) in wrong.gone.iter().chain(&wrong.forked) {
            if spans.count() > 0 {
                removed.entry(*writer).or_default().add_all(spans);
            }
        }
        removed
    }

    /// Where each chain is.
    pub fn heads(&self) -> BTreeMap<WriterId, Head> {
        let head = |chain: &Chain| {
            let (number, digest) = chain.live.last_key_value()?;
            Some(Head { number: *number, digest: *digest })
        };
        self.chains.iter().filter_map(|(writer, chain)| Some((*writer, head(chain)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sign::WriterKey;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    const HERE: FileId = FileId([9; 32]);

    fn key(number: u8) -> WriterKey {
        WriterKey::new(&Zeroizing::new([number; 32]))
    }

    fn entry(key: &WriterKey, number: u64, before: Option<&SignedEntry>) -> Entry {
        let before = before.map(|one| {
            let entry = one.entry().unwrap();
            Head { number: entry.number, digest: one.digest() }
        });
        Entry {
            writer: key.writer(),
            host: "web1".to_owned(),
            number,
            before,
            time: Timestamp::from_seconds(7),
            content: None,
            removed: Removed::new(),
            seen: BTreeMap::new(),
        }
    }

    fn chain(key: &WriterKey, count: u64) -> Vec<SignedEntry> {
        let mut all: Vec<SignedEntry> = Vec::new();
        for number in 1..=count {
            let next = entry(key, number, all.last()).sign(key, &HERE);
            all.push(next);
        }
        all
    }

    fn ledger(memory: &Memory, entries: &[SignedEntry]) -> Ledger {
        let mut ledger = Ledger::new(memory);
        for one in entries {
            ledger.add(FileId([1; 32]), one, None, |entry| one.is_signed(entry, &HERE));
        }
        ledger.settle();
        ledger
    }

    fn problems(memory: &Memory, entries: &[SignedEntry]) -> Vec<Problem> {
        ledger(memory, entries).wrong().problems()
    }

    fn remembered(entries: &[SignedEntry]) -> Memory {
        Memory { heads: ledger(&Memory::default(), entries).heads(), ..Memory::default() }
    }

    #[test]
    fn what_is_taken_away_is_noticed() {
        let key = key(1);
        let all = chain(&key, 10);
        let memory = remembered(&all);
        assert_eq!(problems(&memory, &all), []);
        // From the middle, by anybody; from the end, by whoever has seen it.
        let holed: Vec<_> = all.iter().take(3).chain(&all[5..]).cloned().collect();
        let text = problems(&Memory::default(), &holed)[0].to_string();
        let writer = key.writer().short();
        assert_eq!(
            text,
            format!(
                "entries 4 to 5 of web1 ({writer}) are gone, and nobody says that they were removed"
            )
        );
        assert_eq!(problems(&Memory::default(), &all[..7]), []);
        let cut = ledger(&memory, &all[..7]);
        assert!(matches!(cut.wrong().problems()[..], [Problem::Gone { first: 8, last: 10, .. }]));
        assert_eq!(cut.wrong().gone(), 3);
        // Everything of a writer.
        assert_eq!(ledger(&memory, &[]).wrong().gone(), 10);
        // Once somebody has looked at it, all is well, for everybody.
        let other = super::tests::key(2);
        let mut accepted = entry(&other, 1, None);
        accepted.removed = cut.removed_if_accepted(&cut.wrong());
        let entries = [&all[..7], &[accepted.sign(&other, &HERE)]].concat();
        assert_eq!(problems(&memory, &entries), []);
    }

    #[test]
    fn what_one_look_misses_and_another_sees_is_there() {
        let key = key(1);
        let all = chain(&key, 6);
        let memory = remembered(&all);
        let first = ledger(&memory, &all[..4]).wrong();
        let holed = [&all[..3], &all[4..]].concat();
        assert_eq!(first.clone().common(&ledger(&memory, &holed).wrong()).gone(), 0);
        let both = first.common(&ledger(&memory, &all[..5]).wrong()).problems();
        assert!(matches!(both[..], [Problem::Gone { first: 6, last: 6, .. }]), "{both:?}");
    }

    #[test]
    fn another_history_is_noticed() {
        let key = key(1);
        let all = chain(&key, 5);
        let mut other = all[..3].to_vec();
        let mut four = entry(&key, 4, all.get(2));
        four.host = "evil".to_owned();
        other.push(four.sign(&key, &HERE));
        let forked = problems(&remembered(&all[..4]), &other);
        assert!(matches!(forked[..], [Problem::Forked { number: 4, .. }]), "{forked:?}");
        let both = [all.clone(), other[3..].to_vec()].concat();
        let forked = ledger(&Memory::default(), &both);
        assert!(matches!(forked.wrong().problems()[..], [Problem::Forked { number: 4, .. }]));
        let accepted =
            Memory { removed: forked.removed_if_accepted(&forked.wrong()), ..remembered(&all) };
        assert_eq!(problems(&accepted, &both), []);
    }

    #[test]
    fn what_a_writer_never_stored_and_what_others_saw_count() {
        let key = key(1);
        let mut all = chain(&key, 3);
        // Number 4 could not be stored.
        all.push(entry(&key, 5, all.last()).sign(&key, &HERE));
        assert_eq!(problems(&Memory::default(), &all), []);
        // A second machine has seen the fifth, so nobody can hide it any more.
        let other = super::tests::key(2);
        let mut seeing = entry(&other, 1, None);
        seeing.seen = ledger(&Memory::default(), &all).heads();
        let seeing = seeing.sign(&other, &HERE);
        let cut = ledger(&Memory::default(), &[&all[..3], &[seeing]].concat());
        assert!(matches!(cut.wrong().problems()[..], [Problem::Gone { first: 4, last: 5, .. }]));
    }

    #[test]
    fn whoever_can_only_add_says_nothing_of_others() {
        let (key, other) = (key(1), super::tests::key(2));
        let all = chain(&key, 3);
        let mut lying = entry(&other, 1, None);
        lying.removed.entry(key.writer()).or_default().add(2, 3);
        lying.seen.insert(key.writer(), Head { number: 9, digest: FileId([5; 32]) });
        let lying = lying.sign(&other, &HERE);
        let wrong_as = |voice| {
            let mut ledger = Ledger::new(&remembered(&all));
            let file = FileId([1; 32]);
            ledger.add(file, &all[0], None, |entry| all[0].is_signed(entry, &HERE));
            ledger.add_as(voice, file, &lying, None, |entry| lying.is_signed(entry, &HERE));
            ledger.settle();
            (ledger.wrong().gone(), ledger.chains.len())
        };
        // Two are gone: hidden, and six more invented, by whoever is believed.
        assert_eq!(wrong_as(Voice::Full), (6, 2));
        assert_eq!(wrong_as(Voice::OwnChain), (2, 2));
    }

    #[test]
    fn an_entry_that_its_writer_did_not_sign_counts_for_nothing() {
        let (key, thief) = (key(1), super::tests::key(2));
        let forged = entry(&key, 1, None).sign(&thief, &HERE);
        let elsewhere = entry(&key, 1, None).sign(&key, &FileId([8; 32]));
        let found = ledger(&Memory::default(), &[forged, elsewhere]);
        assert_eq!((found.forged.len(), found.chains.len()), (2, 0));
    }

    proptest! {
        #[test]
        fn whatever_goes_unsaid_is_found_and_whatever_is_said_is_not(
            count in 1u64..20, gone in prop::collection::btree_set(1u64..20, 0..8),
            said in prop::collection::btree_set(1u64..20, 0..8),
        ) {
            let key = key(1);
            let all = chain(&key, count);
            let mut memory = remembered(&all);
            for number in &said {
                memory.removed.entry(key.writer()).or_default().add(*number, *number);
            }
            let left: Vec<_> = all.iter().filter(|one| {
                !gone.contains(&one.entry().unwrap().number)
            }).cloned().collect();
            let expected: u64 =
                gone.iter().filter(|one| **one <= count && !said.contains(one)).map(|_| 1).sum();
            prop_assert_eq!(ledger(&memory, &left).wrong().gone(), expected);
        }
    }
}
