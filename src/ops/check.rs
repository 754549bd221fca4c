// SPDX-License-Identifier: MIT
//! Is everything there and whole? Structure first: index, packs, snapshots, trees, every chunk of
//! every file. Then, if asked, the data: every blob opened, every chunk compared with its name.

use super::check_unproven::check_unproven;
use super::restore::places;
use crate::backend::{FileKind, FileName};
use crate::base::monitor::{Stage, check_cancelled};
use crate::base::{
    ChunkId, Counter, Error, FileId, Kind, Monitor, RelPath, Result, Timestamp, Within, limits,
    units,
};
use crate::format::compress::Decompressor;
use crate::format::pack::{FOOTER_BYTES, blobs_end, end_length};
use crate::format::{BlobEntry, Node, NodeKind, PackEntry, PackReader, Snapshot};
use crate::repo::naming::{Judged, Naming};
use crate::repo::pack_list::{PackHead, PackList};
use crate::repo::writer::check_chunks;
use crate::repo::{IndexedRepository, Reader, Repository};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the finding of a pack begins that no index knows.
pub const UNNAMED: &str = "no index segment names the pack";

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Takes space, harms nothing; prune removes it.
    Garbage,
    /// Written by a newer program: cannot be judged here.
    Newer,
    /// Something that was backed up cannot be restored.
    Damaged,
}

impl Severity {
    /// The word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::Newer => "newer",
            Self::Damaged => "damaged",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What it concerns: a file of the repository or a path in a snapshot.
    pub object: String,
    /// What is wrong with it.
    pub detail: String,
}

/// How much data a check reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadData {
    /// None: structure only.
    #[default]
    None,
    /// Packs drawn at random, this many of a hundred.
    Percent(u8),
    /// One of so many parts, counted from 1: each pack is always in the same one.
    Part(u16, u16),
    /// All packs.
    All,
}

impl ReadData {
    /// One part, as people say it: `3/30`, or `day/30` for another one each day.
    pub fn part(text: &str, now: Timestamp) -> Result<Self> {
        let wrong = || {
            Error::new(Kind::Invalid, format!("read the part '{}'", text.escape_debug()))
                .why("it is N/M, with N from 1 to M, or day/M, with M up to 10000")
        };
        let (part, parts) = text.split_once('/').ok_or_else(wrong)?;
        let parts: u16 = parts.parse().map_err(|_| wrong())?;
        if !(1..=10_000).contains(&parts) {
            return Err(wrong());
        }
        let part = match part {
            "day" => {
                let days = now.seconds.div_euclid(86_400).rem_euclid(i64::from(parts));
                u16::try_from(days).map_err(|_| wrong())? + 1
            }
            number => number.parse().map_err(|_| wrong())?,
        };
        if (1..=parts).contains(&part) { Ok(Self::Part(part, parts)) } else { Err(wrong()) }
    }
}

/// What a check found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Packs looked at.
    pub packs: u64,
    /// Packs read.
    pub packs_read: u64,
}

impl CheckReport {
    /// Whether something cannot be restored.
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Damaged)
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        object: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.findings.push(Finding { severity, object: object.into(), detail: detail.into() });
    }

    /// Turns an error into a finding; only "stop" and trouble with the store stay errors.
    pub(super) fn take(&mut self, object: &str, error: Error) -> Result<()> {
        match error.kind() {
            Kind::Damaged | Kind::NotFound => {
                self.add(Severity::Damaged, object, error.reasons_or_what());
            }
            Kind::Newer => self.add(Severity::Newer, object, error.reasons_or_what()),
            _ => return Err(error),
        }
        Ok(())
    }
}

/// Checks a repository.
pub fn check(repository: Repository, read: ReadData, monitor: &dyn Monitor) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    if read != ReadData::None {
        repository.refuse_write_only("read the data that is stored")?;
    }
    // The snapshots first: whatever one of these names was in the index before it. One that a
    // backup adds meanwhile may need an index newer than ours and is for the next check.
    let mut snapshots = repository.backend().list(FileKind::Snapshot)?;
    snapshots.sort_unstable();
    let mut listed = check_segments(&repository, &mut report, monitor)?;
    check_unproven(&repository, &listed, &mut report, monitor)?;
    let removed = check_packs(&repository, &listed, &mut report)?;
    listed.entries.retain(|entry| !removed.contains(&entry.id));
    // An index that cannot be loaded makes everything else unjudgeable; it is reported above.
    let mut repository = match repository.indexed(monitor) {
        Ok(repository) => repository,
        Err(error) => {
            report.take("index", error)?;
            return Ok(report);
        }
    };
    repository.leave_out_removed_packs(&removed);
    let (good, unreadable) = check_snapshots(&repository, &snapshots, &mut report, monitor)?;
    check_history(&repository, (&good, unreadable), &mut report)?;
    check_data(&repository, &listed, read, &mut report, monitor)?;
    Ok(report)
}

/// Reads every index segment, and says which packs they name.
pub(super) fn check_segments(
    repository: &Repository,
    report: &mut CheckReport,
    monitor: &dyn Monitor,
) -> Result<Listed> {
    monitor.stage(Stage::Step { name: "checking the index", total: None });
    let mut naming = Naming::default();
    let mut list = PackList::new(repository.scratch(), repository.chunks_in_memory());
    let mut seen = HashSet::new();
    // As in loading: what was merged away while it was listed is in a segment of the next listing.
    for round in 0..limits::INDEX_LISTINGS_MAX {
        let known = seen.len();
        for (name, _) in repository.backend().list(FileKind::Index)? {
            check_cancelled(monitor)?;
            if !seen.insert(name) {
                continue;
            }
            match repository.segment(&name.id) {
                Ok(segment) => naming.add(name.id, segment, |_, entry| list.push(entry))?,
                Err(error) if is_gone(repository, &name, &error)? => {}
                Err(error) => report.take(&name.to_string(), error)?,
            }
            monitor.count(Counter::Checked, 1);
        }
        if round > 0 && seen.len() == known {
            break;
        }
    }
    naming.settle(repository)?;
    Ok(Listed::of(&naming.judge(), list))
}

/// Whether an error only means that somebody removed the file since it was listed.
fn is_gone(repository: &Repository, name: &FileName, error: &Error) -> Result<bool> {
    Ok(error.kind() == Kind::NotFound && repository.backend().size(name)?.is_none())
}

/// What the index says of packs.
pub(super) struct Listed {
    /// Those that count, each once.
    pub entries: Vec<PackHead>,
    /// Those that nothing needs and that will be removed.
    pub marked: HashSet<FileId>,
    /// Those that a repair has given up.
    pub damaged: Vec<PackHead>,
    /// Of those that count, those of which only those speak who can add and nothing else.
    pub unproven: Vec<PackHead>,
    /// Packs of which several of them say different things.
    pub disputed: HashSet<FileId>,
    /// What lies in them.
    pub list: PackList,
}

impl Listed {
    /// Without those that only replaced segments name, and those that are dropped.
    fn of(judged: &Judged, list: PackList) -> Self {
        let (mut entries, mut damaged, mut unproven) = (Vec::new(), Vec::new(), Vec::new());
        for (number, head) in list.heads().iter().enumerate() {
            if judged.counts(number, &head.id).is_some() {
                entries.push(*head);
                unproven.extend(judged.is_unproven(number).then_some(*head));
            } else if judged.is_named(number) && judged.given_up.contains(&head.id) {
                damaged.push(*head);
            }
        }
        let (marked, disputed) = (judged.marked.clone(), judged.disputed.clone());
        Self { entries, marked, damaged, unproven, disputed, list }
    }
}

/// Compares the index with what the store has. Returns the packs that nothing needed and that were
/// removed before that was noted.
fn check_packs(
    repository: &Repository,
    index: &Listed,
    report: &mut CheckReport,
) -> Result<HashSet<FileId>> {
    let listed: HashMap<FileName, u64> =
        repository.backend().list(FileKind::Pack)?.into_iter().collect();
    let mut known = HashSet::new();
    let mut removed = HashSet::new();
    for entry in &index.entries {
        let name = FileName::new(FileKind::Pack, entry.id);
        known.insert(name);
        report.packs += 1;
        match listed.get(&name) {
            None if index.marked.contains(&entry.id) => {
                removed.insert(entry.id);
                let why =
                    "no snapshot needed the pack, and it was removed; the next prune notes it";
                report.add(Severity::Garbage, name.to_string(), why);
            }
            None => report.add(Severity::Damaged, name.to_string(), "the pack is missing"),
            Some(size) if *size != entry.size => report.add(
                Severity::Damaged,
                name.to_string(),
                format!("the pack has {size} bytes instead of {}", entry.size),
            ),
            Some(_) => {}
        }
    }
    let damaged = index.damaged.iter().map(|entry| FileName::new(FileKind::Pack, entry.id));
    for name in damaged.filter(|name| listed.contains_key(name)) {
        known.insert(name);
        let why = "a repair gave the pack up; a prune removes it";
        report.add(Severity::Garbage, name.to_string(), why);
    }
    for name in listed.keys().filter(|name| !known.contains(name)) {
        report.add(
            Severity::Garbage,
            name.to_string(),
            format!("{UNNAMED}: an interrupted run left it, or one is going on"),
        );
    }
    Ok(removed)
}

fn check_snapshots(
    repository: &IndexedRepository,
    listed: &[(FileName, u64)],
    report: &mut CheckReport,
    monitor: &dyn Monitor,
) -> Result<(Vec<(FileId, Snapshot)>, u64)> {
    monitor.stage(Stage::Step { name: "checking snapshots", total: None });
    let (mut read, mut unreadable) = (Vec::new(), 0u64);
    let mut trees =
        Trees { reader: Reader::new(repository), repository, seen: HashSet::new(), monitor };
    for (name, _) in listed {
        check_cancelled(monitor)?;
        let snapshot = match repository.snapshot_if_ours(&name.id) {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => continue,
            Err(error) if is_gone(repository, name, &error)? => continue,
            Err(error) => {
                report.snapshots += 1;
                unreadable += 1;
                report.take(&name.to_string(), error)?;
                continue;
            }
        };
        report.snapshots += 1;
        let label = if snapshot.name.is_empty() { name.id.short() } else { snapshot.name.clone() };
        trees.folder(&snapshot.tree, &label, &RelPath::root(), report)?;
        read.push((name.id, snapshot));
    }
    Ok((read, unreadable))
}

/// Whether anything was taken away behind everybody's back, and whether all is signed by whoever is
/// said to have written it.
fn check_history(
    repository: &Repository,
    (snapshots, unreadable): (&[(FileId, Snapshot)], u64),
    report: &mut CheckReport,
) -> Result<()> {
    if repository.keys().is_write_only() {
        // What was removed on purpose, only the owner can read.
        return Ok(());
    }
    let mut history = repository.history_of(snapshots, unreadable)?;
    for (file, error) in history.broken.drain(..) {
        report.take(&format!("history/{file}"), error)?;
    }
    for file in &history.ledger.forged {
        let why = "its entry of the history is not signed by its writer, or is of something else";
        report.add(Severity::Damaged, format!("history of {file}"), why);
    }
    for problem in history.problems() {
        report.add(Severity::Damaged, "history", problem.to_string());
    }
    Ok(())
}

/// Walks trees; one that was seen in an earlier snapshot is not walked again.
struct Trees<'a> {
    reader: Reader<'a>,
    repository: &'a IndexedRepository,
    seen: HashSet<Vec<ChunkId>>,
    monitor: &'a dyn Monitor,
}

impl Trees<'_> {
    fn folder(
        &mut self,
        chunks: &[ChunkId],
        label: &str,
        path: &RelPath,
        report: &mut CheckReport,
    ) -> Result<()> {
        if !self.seen.insert(chunks.to_vec()) {
            return Ok(());
        }
        check_cancelled(self.monitor)?;
        let nodes = match self.reader.tree(chunks) {
            Ok(nodes) => nodes,
            Err(error) if self.is_of_others(&error) => return Ok(()),
            Err(error) => return report.take(&format!("{label}:{path}"), error),
        };
        if path.depth() >= limits::PATH_BYTES_MAX / 2 {
            return Ok(());
        }
        for node in nodes {
            let below = path.join(&node.name)?;
            self.monitor.count(Counter::Checked, 1);
            if node.is_folder() {
                self.folder(&node.chunks, label, &below, report)?;
            } else if node.meta.kind == NodeKind::File
                && let Err(error) = self.file(&node)
                && !self.is_of_others(&error)
            {
                report.take(&format!("{label}:{below}"), error)?;
            }
        }
        Ok(())
    }

    /// Whether an error only means that whoever can only add has not stored it.
    fn is_of_others(&self, error: &Error) -> bool {
        error.kind() == Kind::Forbidden && self.repository.keys().is_write_only()
    }

    /// Every chunk is in the index and all together make up the file's size.
    fn file(&self, node: &Node) -> Result<()> {
        places(node, &self.reader.spans_of(node)?)?;
        let tables = self.reader.row_maps(node)?;
        // A table is missed by the next backup only, but nothing that is referred to may be lost.
        for chunk in tables.iter().flat_map(|map| &map.chunks) {
            if !self.repository.index().contains(&chunk.table)? {
                let what = format!("find the row table {}", chunk.table);
                return Err(Error::new(Kind::Damaged, what).why("it is not in the index"));
            }
        }
        Ok(())
    }
}

fn check_data(
    repository: &IndexedRepository,
    listed: &Listed,
    read: ReadData,
    report: &mut CheckReport,
    monitor: &dyn Monitor,
) -> Result<()> {
    let chosen = choose(repository, &listed.entries, read)?;
    let bytes = chosen.iter().map(|pack| pack.size).sum();
    monitor
        .stage(Stage::Step { name: "reading data", total: Some((Counter::BytesChecked, bytes)) });
    report.packs_read = units::bytes(chosen.len());
    for (id, error) in read_packs(repository, &listed.list, &chosen, monitor) {
        let name = FileName::new(FileKind::Pack, id);
        // Nothing needed it, and a prune has removed it since the index was loaded.
        let is_pruned = listed.marked.contains(&id) && is_gone(repository, &name, &error)?;
        if !is_pruned {
            report.take(&name.to_string(), error)?;
        }
    }
    Ok(())
}

/// Reads whole packs; what is wrong with which.
pub(super) fn read_packs(
    repository: &Repository,
    list: &PackList,
    chosen: &[&PackHead],
    monitor: &dyn Monitor,
) -> Vec<(FileId, Error)> {
    let next = AtomicUsize::new(0);
    let troubles = Mutex::new(Vec::new());
    let workers = repository.world().cores().min(limits::WORKERS_MAX).min(chosen.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(pack) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let checked = check_cancelled(monitor)
                        .and_then(|()| list.entry(pack))
                        .and_then(|entry| check_pack(repository, &entry, monitor));
                    if let Err(error) = checked {
                        let mut troubles =
                            troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        troubles.push((pack.id, error));
                    }
                }
            });
        }
    });
    let mut troubles = troubles.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    troubles.sort_by_key(|(id, _)| *id);
    troubles
}

/// In which of so many parts a pack is. Names are hashes, so the parts are about equally large.
fn part_of(id: &FileId, parts: u16) -> u16 {
    let start = id.as_bytes().first_chunk().map_or(0, |start| u64::from_be_bytes(*start));
    let part = start % u64::from(parts.max(1));
    u16::try_from(part).map_or(1, |part| part + 1)
}

fn choose<'e>(
    repository: &Repository,
    entries: &'e [PackHead],
    read: ReadData,
) -> Result<Vec<&'e PackHead>> {
    let percent = match read {
        ReadData::None => return Ok(Vec::new()),
        ReadData::All => return Ok(entries.iter().collect()),
        ReadData::Percent(percent) => percent,
        ReadData::Part(part, parts) => {
            let is_in = |entry: &&PackHead| part_of(&entry.id, parts) == part;
            return Ok(entries.iter().filter(is_in).collect());
        }
    };
    let mut chosen = Vec::new();
    for entry in entries {
        let mut dice = [0; 2];
        repository.world().fill_random(&mut dice)?;
        if u16::from_le_bytes(dice) % 100 < u16::from(percent) {
            chosen.push(entry);
        }
    }
    // A sample of few packs must not be empty: it would prove nothing.
    if chosen.is_empty() {
        chosen.extend(entries.first());
    }
    Ok(chosen)
}

/// Reads a whole pack: its bytes against its name, every blob, every chunk, and its sealed end.
pub(super) fn check_pack(
    repository: &Repository,
    entry: &PackEntry,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut reading = PackCheck {
        repository,
        entry,
        reader: PackReader::from_header(repository.keys(), entry.class, &entry.header)?,
        hasher: blake3::Hasher::new(),
        decompressor: Decompressor::new()?,
        plain: Vec::new(),
        trouble: None,
        at: 0,
    };
    let mut blobs = entry.blobs.as_slice();
    while !blobs.is_empty() {
        let count = run_of(blobs);
        let (run, rest) = blobs.split_at(count);
        reading.blobs(run)?;
        let read = run.iter().map(|blob| u64::from(blob.stored_length)).sum();
        monitor.count(Counter::BytesChecked, read);
        blobs = rest;
    }
    reading.end()
}

/// How many blobs are read at once.
fn run_of(blobs: &[BlobEntry]) -> usize {
    let mut bytes = 0;
    let fits = |blob: &&BlobEntry| {
        bytes += u64::from(blob.stored_length);
        bytes <= limits::COALESCE_READ_BYTES
    };
    blobs.iter().take_while(fits).count().max(1)
}

struct PackCheck<'a> {
    repository: &'a Repository,
    entry: &'a PackEntry,
    reader: PackReader,
    hasher: blake3::Hasher,
    decompressor: Decompressor,
    plain: Vec<u8>,
    trouble: Option<Error>,
    at: u64,
}

impl PackCheck<'_> {
    fn read(&mut self, end: u64) -> Result<Vec<u8>> {
        let name = FileName::new(FileKind::Pack, self.entry.id);
        let bytes = self.repository.backend().read(&name, self.at..end)?;
        self.hasher.update(&bytes);
        self.at = end;
        Ok(bytes)
    }

    fn blobs(&mut self, run: &[BlobEntry]) -> Result<()> {
        let start = self.at;
        let mut bytes = self.read(blobs_end(run))?;
        for blob in run {
            let from = units::length(blob.offset - start);
            let to = from + units::length(u64::from(blob.stored_length));
            let sealed = bytes.get_mut(from..to).unwrap_or_default();
            // All of the pack is read even so: the report should name its first trouble only, and
            // its hash tells whether the file or the index is wrong.
            if let Err(error) = self.blob(blob, sealed) {
                self.trouble.get_or_insert(error);
            }
        }
        Ok(())
    }

    fn blob(&mut self, blob: &BlobEntry, sealed: &mut [u8]) -> Result<()> {
        let packed = self.reader.open_blob(blob.ordinal, sealed)?;
        let length = units::length(u64::from(blob.plain_length));
        self.decompressor.decompress_into(blob.compression, packed, length, &mut self.plain)?;
        check_chunks(self.repository.keys(), self.entry.class, &blob.chunks, &self.plain)
    }

    fn end(mut self) -> Result<()> {
        let end = self.read(self.entry.size)?;
        if let Some(error) = self.trouble {
            return Err(error);
        }
        let damaged = |why: &str| Error::new(Kind::Damaged, "read the pack").why(why.to_owned());
        if FileId(*self.hasher.finalize().as_bytes()) != self.entry.id {
            return Err(damaged("its bytes do not match its name"));
        }
        let tail = end.len().checked_sub(FOOTER_BYTES).ok_or_else(|| damaged("it has no end"))?;
        let (before, footer) = end.split_at(tail);
        let length = units::length(end_length(footer, self.entry.size)?);
        let sealed = tail.checked_sub(length).and_then(|from| before.get(from..));
        let sealed = sealed.ok_or_else(|| damaged("its end is cut off"))?;
        if self.reader.open_end(sealed).within(|| "read the pack's end")? != self.entry.blobs {
            return Err(damaged("its end and the index disagree"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_month_are_all_different_and_all_there_are() {
        let on = |day: i64, text: &str| {
            ReadData::part(text, Timestamp::from_seconds(day * 86_400 + 7200))
        };
        let parts: Vec<ReadData> = (20_000..20_030).map(|day| on(day, "day/30").unwrap()).collect();
        for part in 1..=30 {
            assert_eq!(parts.iter().filter(|one| **one == ReadData::Part(part, 30)).count(), 1);
        }
        assert_eq!(on(20_000, "day/30").unwrap(), on(20_030, "day/30").unwrap());
        assert_eq!(on(0, "3/4").unwrap(), ReadData::Part(3, 4));
        for bad in ["", "3", "0/4", "5/4", "day/0", "1/99999", "x/3", "-1/3", "1/3/4"] {
            assert_eq!(on(0, bad).unwrap_err().kind(), Kind::Invalid, "{bad}");
        }
    }

    #[test]
    fn each_pack_is_in_just_one_part() {
        let mut counts = [0; 8];
        for number in 0..800u32 {
            let part = part_of(&FileId(*blake3::hash(&number.to_le_bytes()).as_bytes()), 7);
            counts[usize::from(part)] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|count| (70..160).contains(count)), "{counts:?}");
        assert_eq!(part_of(&FileId([255; 32]), 1), 1);
    }
}
