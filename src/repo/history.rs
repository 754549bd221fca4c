// SPDX-License-Identifier: MIT
//! The history of a repository (docs/format.md section 6.6): every snapshot that is stored and
//! every removal is signed and has a number, and this machine remembers what it has seen. So
//! nobody who holds the store can take the newest backups away, or put an older state in the place
//! of today's, without being noticed.

use super::diary::Diary;
use super::ledger::{Ledger, Problem};
use super::{Repository, file_kind};
use crate::backend::private_file::Hold;
use crate::backend::{FileKind, FileName};
use crate::base::{Error, FileId, Kind, Result, Within, limits};
use crate::crypto::sign::{WriterId, WriterKey};
use crate::format::history::{Entry, Head, Memory, Removed, SignedEntry, content_of};
use crate::format::{RecordKind, Snapshot};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What this process knows of the history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Look {
    /// Nobody has looked.
    #[default]
    Not,
    /// Something is not there, as far as the snapshots alone tell.
    Odd,
    /// Something was taken away, whoever looks how often.
    Wrong(Vec<Problem>),
    /// All is well.
    Well,
}

/// Shared by all that a process does with one repository.
#[derive(Default, Clone)]
pub(super) struct Judgement(Arc<Mutex<Look>>);

impl Judgement {
    fn get(&self) -> Look {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, look: Look) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }
}

/// Removal records as they are in the repository.
struct Files {
    read: Vec<(FileId, SignedEntry)>,
    broken: Vec<(FileId, Error)>,
}

/// About to write the next entry; other processes of this machine wait.
struct Pen<'r> {
    repository: &'r Repository,
    held: Option<(&'r Diary, Hold)>,
    memory: Memory,
    key: WriterKey,
    number: u64,
}

impl<'r> Pen<'r> {
    /// Takes the next number. It counts as used from now on, whatever becomes of it.
    fn take(repository: &'r Repository) -> Result<Self> {
        let what = || "sign the history of the repository";
        let Some(diary) = repository.diary.as_deref() else {
            // Nobody remembers anything here; what is removed must be said all the same.
            let seed = zeroize::Zeroizing::new(repository.world.random_32_for("writer key")?);
            let (memory, key) = (Memory::default(), WriterKey::new(&seed));
            return Ok(Self { repository, held: None, memory, key, number: 1 });
        };
        let held = diary.hold(&repository.world).within(what)?;
        let mut memory = diary.read().within(what)?;
        let key = diary.key(&mut memory, &repository.world).within(what)?;
        let number = memory.next.max(1);
        memory.next = number.saturating_add(1);
        diary.write(&memory).within(what)?;
        Ok(Self { repository, held: Some((diary, held)), memory, key, number })
    }

    fn sign(&self, content: Option<FileId>, removed: Removed) -> SignedEntry {
        let writer = self.key.writer();
        let mut seen = self.memory.heads.clone();
        seen.remove(&writer);
        while seen.len() > limits::HISTORY_SEEN_MAX {
            seen.pop_first();
        }
        let entry = Entry {
            writer,
            host: self.repository.world.host(),
            number: self.number,
            before: self.memory.last,
            time: self.repository.world.now(),
            content,
            removed,
            seen,
        };
        entry.sign(&self.key, &self.repository.config.repository_id)
    }

    /// Remembers that the entry was stored.
    fn done(mut self, signed: &SignedEntry) -> Result<()> {
        let Some((diary, _held)) = &self.held else { return Ok(()) };
        let head = Head { number: self.number, digest: signed.digest() };
        self.memory.last = Some(head);
        self.memory.heads.insert(self.key.writer(), head);
        diary.write(&self.memory)
    }
}

impl Repository {
    /// The same repository, with a memory of its history on this machine.
    #[must_use]
    pub fn with_diary(self, diary: Diary) -> Self {
        Self { diary: Some(Arc::new(diary)), ..self }
    }

    /// The same repository, without one: what is older there than it was elsewhere is no theft.
    #[must_use]
    pub fn without_diary(self) -> Self {
        Self { diary: None, ..self }
    }

    /// Signs a snapshot, hands it to `store` and remembers it. Without a diary it is stored as it
    /// is.
    pub(super) fn with_entry(
        &self,
        snapshot: &Snapshot,
        store: impl FnOnce(&Snapshot) -> Result<FileId>,
    ) -> Result<FileId> {
        if self.diary.is_none() {
            return store(&Snapshot { history: None, ..snapshot.clone() });
        }
        let pen = Pen::take(self)?;
        let signed = pen.sign(Some(content_of(snapshot)), Removed::new());
        let id = store(&Snapshot { history: Some(signed.clone()), ..snapshot.clone() })?;
        pen.done(&signed).within(|| format!("remember snapshot {id}, which is stored"))?;
        Ok(id)
    }

    /// Looks at the snapshots that were just listed: is everything there that this machine has
    /// seen? Asks the store for nothing; what is odd is looked at again by [`Self::check_history`].
    pub(super) fn note_history(&self, found: &[(FileId, Snapshot)], unreadable: u64) {
        if self.diary.is_none() {
            return;
        }
        if matches!(self.judgement.get(), Look::Wrong(_)) {
            return;
        }
        let look = match self.quick_look(found, unreadable) {
            Ok(true) => Look::Well,
            _ => Look::Odd,
        };
        self.judgement.set(look);
    }

    fn quick_look(&self, found: &[(FileId, Snapshot)], unreadable: u64) -> Result<bool> {
        let memory = self.memory()?;
        let mut ledger = Ledger::new(&memory);
        self.add_snapshots(&mut ledger, found, &memory);
        ledger.settle();
        if ledger.problems().is_empty() {
            return self.remember(&ledger).map(|()| true);
        }
        // What cannot be read is damage, and said elsewhere.
        let is_forked = ledger.problems().iter().any(|one| matches!(one, Problem::Forked { .. }));
        Ok(!is_forked && ledger.gone() <= unreadable)
    }

    /// What this machine remembers.
    pub fn memory(&self) -> Result<Memory> {
        self.diary.as_deref().map_or_else(|| Ok(Memory::default()), Diary::read)
    }

    /// Adds what snapshots carry. Signatures of what this machine has seen before were looked at
    /// then; whoever wants all of them looked at begins with an empty memory.
    fn add_snapshots(&self, ledger: &mut Ledger, found: &[(FileId, Snapshot)], memory: &Memory) {
        let repository = &self.config.repository_id;
        for (id, snapshot) in found {
            let Some(signed) = &snapshot.history else { continue };
            ledger.add(*id, signed, Some(content_of(snapshot)), |entry| {
                let seen = memory.heads.get(&entry.writer).map_or(0, |head| head.number);
                entry.number <= seen || signed.is_signed(entry, repository)
            });
        }
    }

    /// Remembers what was seen, if all of it was well.
    fn remember(&self, ledger: &Ledger) -> Result<()> {
        let Some(diary) = self.diary.as_deref() else { return Ok(()) };
        let before = diary.read()?;
        let merged = merge(before.clone(), ledger);
        if merged == before {
            return Ok(());
        }
        let _held = diary.hold(&self.world)?;
        let before = diary.read()?;
        diary.write(&merge(before, ledger))
    }

    /// Refuses a repository from which something was taken behind everybody's back.
    pub fn check_history(&self) -> Result<()> {
        let look = self.judgement.get();
        if self.diary.is_none() || look == Look::Well {
            return Ok(());
        }
        if let Look::Wrong(problems) = look {
            return Err(taken_away(&problems));
        }
        let mut problems = Vec::new();
        for round in 0..limits::HISTORY_LOOKS {
            if round > 0 {
                // Somebody may be removing something, and has said so by the next look.
                self.world.sleep(limits::HISTORY_PAUSE);
            }
            let (ledger, unreadable) = self.ledger(&self.memory()?, false).within(|| LOOKING)?;
            problems = ledger.problems();
            let is_damage = ledger.gone() <= unreadable
                && problems.iter().all(|one| matches!(one, Problem::Gone { .. }));
            if problems.is_empty() {
                self.remember(&ledger)?;
            }
            if is_damage {
                self.judgement.set(Look::Well);
                return Ok(());
            }
        }
        let error = taken_away(&problems);
        self.judgement.set(Look::Wrong(problems));
        Err(error)
    }

    /// The whole history as it is now, compared with what this machine remembers, and how many of
    /// its files cannot be read. `all`: also the signatures that were looked at before.
    pub fn ledger(&self, memory: &Memory, all: bool) -> Result<(Ledger, u64)> {
        let (mut found, mut unreadable) = (Vec::new(), 0u64);
        // First the snapshots: what is gone from them was said to be removed before.
        for (name, snapshot) in self.each_snapshot(self.backend.list(FileKind::Snapshot)?) {
            match snapshot {
                Ok(snapshot) => found.push((name.id, snapshot)),
                Err(error)
                    if error.kind() == Kind::NotFound && self.backend.size(&name)?.is_none() => {}
                Err(error) if is_of_file(&error) => unreadable = unreadable.saturating_add(1),
                Err(error) => return Err(error),
            }
        }
        let files = self.history_files()?;
        let mut ledger = Ledger::new(memory);
        let seen = if all { &Memory::default() } else { memory };
        self.add_snapshots(&mut ledger, &found, seen);
        for (id, signed) in &files.read {
            let repository = &self.config.repository_id;
            ledger.add(*id, signed, None, |entry| signed.is_signed(entry, repository));
        }
        ledger.settle();
        unreadable = unreadable.saturating_add(crate::base::units::bytes(files.broken.len()));
        Ok((ledger, unreadable))
    }

    /// Reads all records of removals. One that is gone was taken over by another: then all are
    /// listed again.
    fn history_files(&self) -> Result<Files> {
        for _ in 0..limits::INDEX_LISTINGS_MAX {
            let mut files = Files { read: Vec::new(), broken: Vec::new() };
            let mut is_settled = true;
            for (name, size) in self.backend.list(FileKind::History)? {
                let plain = self.load_listed(RecordKind::History, (name, size));
                match plain.and_then(|plain| SignedEntry::decode(&plain)) {
                    Ok(signed) => files.read.push((name.id, signed)),
                    Err(error) if error.kind() == Kind::NotFound => is_settled = false,
                    Err(error) if is_of_file(&error) => files.broken.push((name.id, error)),
                    Err(error) => return Err(error),
                }
            }
            if is_settled {
                return Ok(files);
            }
        }
        Err(Error::new(Kind::InUse, "read the history of the repository")
            .why("it kept changing")
            .hint("run it again"))
    }

    /// Removes snapshots, and says before that they are removed on purpose. What only they used
    /// becomes garbage for prune.
    pub fn remove_snapshots<'s>(
        &self,
        these: impl IntoIterator<Item = (FileId, Option<&'s Snapshot>)>,
    ) -> Result<()> {
        let these: Vec<_> = these.into_iter().collect();
        let mut numbers = Removed::new();
        if these.iter().any(|(_, snapshot)| snapshot.is_none()) {
            numbers = self.numbers_of_unreadable()?;
        }
        for (_, snapshot) in &these {
            let signed = snapshot.and_then(|one| one.history.as_ref());
            if let Some(entry) = signed.and_then(|signed| signed.entry().ok()) {
                numbers.entry(entry.writer).or_default().add(entry.number, entry.number);
            }
        }
        let replaced = if numbers.is_empty() { Vec::new() } else { self.say_removed(numbers)? };
        for (id, _) in &these {
            self.backend.remove(&FileName::new(FileKind::Snapshot, *id))?;
        }
        self.drop_replaced(replaced);
        Ok(())
    }

    /// Removes one snapshot.
    pub fn remove_snapshot(&self, id: &FileId) -> Result<()> {
        // One that cannot be read has no number that we know.
        let snapshot = self.snapshot(id).ok();
        self.remove_snapshots([(*id, snapshot.as_ref())])
    }

    /// The numbers that must be those of files that cannot be read; none, if more are gone.
    fn numbers_of_unreadable(&self) -> Result<Removed> {
        if self.diary.is_none() {
            return Ok(Removed::new());
        }
        let (ledger, unreadable) = self.ledger(&self.memory()?, false)?;
        let is_all = ledger.gone() <= unreadable && !ledger.problems().is_empty();
        Ok(if is_all { ledger.removed_if_accepted() } else { Removed::new() })
    }

    /// Stores that these numbers are removed, and all that were ever; returns the records that the
    /// new one takes over.
    fn say_removed(&self, numbers: Removed) -> Result<Vec<FileId>> {
        let what = || "say what is removed";
        let files = self.history_files().within(what)?;
        let mut removed = numbers;
        for (_, signed) in &files.read {
            let Ok(entry) = signed.entry() else { continue };
            removed.entry(entry.writer).or_default().add(entry.number, entry.number);
            for (writer, spans) in &entry.removed {
                removed.entry(*writer).or_default().add_all(spans);
            }
        }
        let pen = Pen::take(self)?;
        let signed = pen.sign(None, removed);
        self.store_record(RecordKind::History, 0, &signed.encode()).within(what)?;
        pen.done(&signed)?;
        Ok(files.read.into_iter().map(|(id, _)| id).collect())
    }

    /// Removes records that another one has taken over. One that stays harms nothing.
    fn drop_replaced(&self, replaced: Vec<FileId>) {
        if self.backend.properties().append_only {
            return;
        }
        for id in replaced {
            drop(self.backend.remove(&FileName::new(file_kind(RecordKind::History), id)));
        }
    }

    /// Goes on from what is there: signs that all that is gone is gone. Returns what was wrong.
    pub fn accept_history(&self) -> Result<Vec<Problem>> {
        let what = || "go on from the history that is there";
        let (ledger, _) = self.ledger(&self.memory()?, false).within(what)?;
        let problems = ledger.problems();
        if !problems.is_empty() {
            let replaced = self.say_removed(ledger.removed_if_accepted()).within(what)?;
            self.drop_replaced(replaced);
        }
        self.judgement.set(Look::Well);
        Ok(problems)
    }
}

const LOOKING: &str = "make sure that nobody has taken backups away";

fn taken_away(problems: &[Problem]) -> Error {
    let mut why: Vec<String> = problems.iter().take(3).map(ToString::to_string).collect();
    why.extend((problems.len() > 3).then(|| format!("and {} more", problems.len() - 3)));
    Error::new(Kind::Damaged, LOOKING).why(why.join("; ")).hint(
        "if you know why, such as a store that was put back from a copy, \
         'ghostsnap history --accept' goes on from what is there; else see docs/operations.md",
    )
}

/// Whether an error says that a file is not as it should be, and not that the store is ill.
fn is_of_file(error: &Error) -> bool {
    matches!(error.kind(), Kind::Damaged | Kind::Newer)
}

/// What is remembered after a look at which all was well.
fn merge(mut memory: Memory, ledger: &Ledger) -> Memory {
    let heads: BTreeMap<WriterId, Head> = ledger.heads();
    for (writer, head) in heads {
        let known = memory.heads.entry(writer).or_insert(head);
        if head.number > known.number {
            *known = head;
        }
    }
    for (writer, spans) in &ledger.removed {
        memory.removed.entry(*writer).or_default().add_all(spans);
    }
    // A run that was killed before it could remember, or a memory that was itself put back from a
    // copy: the chain is longer by now.
    if let Ok(seed) = <[u8; 32]>::try_from(memory.seed.as_slice()) {
        let own = WriterKey::new(&zeroize::Zeroizing::new(seed)).writer();
        let last = memory.last.map_or(0, |head| head.number);
        if let Some(head) = memory.heads.get(&own).filter(|head| head.number > last) {
            memory.next = memory.next.max(head.number.saturating_add(1));
            memory.last = Some(*head);
        }
    }
    memory
}
