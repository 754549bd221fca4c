// SPDX-License-Identifier: MIT
//! The history of a repository (docs/format.md section 6.6): every snapshot that is stored and
//! every removal is signed and has a number, and this machine remembers what it has seen. So
//! nobody who holds the store can take the newest backups away, or put an older state in the place
//! of today's, without being noticed.
//!
//! What was taken away stops nothing that adds: a backup that is not made is worse. It stops what
//! removes, and everybody is told.

use super::Repository;
use super::diary::Diary;
use super::ledger::{Ledger, Problem, Voice, Wrong};
use crate::backend::private_file::Hold;
use crate::backend::{FileKind, FileName, read_all};
use crate::base::{Error, FileId, Kind, Result, Within, World, limits};
use crate::crypto::sign::WriterKey;
use crate::format::history::{Entry, Head, Memory, Removed, SignedEntry, Spans, content_of};
use crate::format::{RecordKind, Snapshot};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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

/// Shared by all that a process does with one repository: the last look, and when it was.
#[derive(Default, Clone)]
pub(super) struct Judgement(Arc<Mutex<(Look, Duration)>>);

impl Judgement {
    /// A look that is old says nothing any more: a run may take a whole night.
    fn get(&self, world: &World) -> Look {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = world.ticks().saturating_sub(last.1) > limits::HISTORY_LOOK_SPAN;
        if is_old { Look::Not } else { last.0.clone() }
    }

    fn set(&self, world: &World, look: Look) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (look, world.ticks());
    }
}

/// The history as it is now, compared with what this machine remembers.
pub struct History {
    /// All entries.
    pub ledger: Ledger,
    /// What is wrong, whoever looks how often.
    pub wrong: Wrong,
    /// Snapshots that cannot be read, which account for as many entries.
    pub unreadable: u64,
    /// Files of the history that cannot be read, and why.
    pub broken: Vec<(FileId, Error)>,
}

impl History {
    /// Fails if there is something that nobody accounts for.
    pub fn verdict(&self) -> Result<()> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(taken_away(&problems)) }
    }

    /// What nobody accounts for. Entries of snapshots that cannot be read are none of it: those
    /// are damage, and found by whoever reads them.
    pub fn problems(&self) -> Vec<Problem> {
        if !self.wrong.is_forked() && self.wrong.gone() <= self.unreadable {
            return Vec::new();
        }
        self.wrong.problems()
    }
}

/// Records of removals as they are in the repository.
#[derive(Default)]
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
    fn take(repository: &'r Repository, diary: &'r Diary) -> Result<Self> {
        let held = diary.hold(&repository.world, limits::MEMORY_WAIT)?.ok_or_else(|| {
            Error::new(Kind::InUse, "sign a snapshot").why("another process is about to, for long")
        })?;
        let mut memory = diary.read()?;
        let key = diary.key(&mut memory, &repository.world)?;
        // Never one that somebody has signed away: it would not be missed.
        let removed = memory.removed.get(&key.writer()).map_or(0, Spans::last);
        let number = memory.next.max(removed.saturating_add(1));
        memory.next = number.saturating_add(1);
        diary.write(&memory)?;
        Ok(Self { repository, held: Some((diary, held)), memory, key, number })
    }

    /// For whoever remembers nothing: a writer of this one entry.
    fn once(repository: &'r Repository) -> Result<Self> {
        let seed = zeroize::Zeroizing::new(repository.world.random_32_for("writer key")?);
        let (memory, key) = (Memory::default(), WriterKey::new(&seed));
        Ok(Self { repository, held: None, memory, key, number: 1 })
    }

    fn sign(&self, content: Option<FileId>, removed: Removed) -> SignedEntry {
        let writer = self.key.writer();
        let is_gone = |writer, head: &Head| {
            self.memory.removed.get(writer).is_some_and(|spans| spans.has(head.number))
        };
        let others = self.memory.heads.iter();
        let others = others.filter(|(one, head)| **one != writer && !is_gone(*one, head));
        let seen = others.take(limits::HISTORY_SEEN_MAX).map(|(one, head)| (*one, *head)).collect();
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

    /// Remembers that the entry was stored. If it cannot, the next look at the repository does.
    fn done(mut self, signed: &SignedEntry) {
        let Some((diary, _held)) = &self.held else { return };
        let head = Head { number: self.number, digest: signed.digest() };
        self.memory.last = Some(head);
        self.memory.heads.insert(self.key.writer(), head);
        drop(diary.write(&self.memory));
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

    /// Signs a snapshot, hands it to `store` and remembers it. If that cannot be remembered now, it
    /// is the only entry of a writer of its own, and the next look remembers that.
    pub(super) fn with_entry(
        &self,
        snapshot: &Snapshot,
        store: impl FnOnce(&Snapshot) -> Result<FileId>,
    ) -> Result<FileId> {
        let Some(diary) = self.diary.as_deref() else {
            return store(&Snapshot { history: None, ..snapshot.clone() });
        };
        let pen = Pen::take(self, diary).or_else(|_| Pen::once(self))?;
        let signed = pen.sign(Some(content_of(snapshot)), Removed::new());
        let id = store(&Snapshot { history: Some(signed.clone()), ..snapshot.clone() })?;
        pen.done(&signed);
        Ok(id)
    }

    /// Looks at the snapshots that were just listed: is everything there that this machine has
    /// seen? Asks the store for what was removed only if it does not know that already; what is
    /// odd even then is looked at again by [`Self::check_history`].
    pub(super) fn note_history(&self, found: &[(FileId, Snapshot)], unreadable: u64) {
        if self.diary.is_none() || matches!(self.judgement.get(&self.world), Look::Wrong(_)) {
            return;
        }
        if self.keys.is_write_only() {
            // It cannot read what was removed on purpose, so it remembers and does not judge.
            if let Ok(history) = self.compare(found, unreadable, Files::default(), false) {
                self.remember(&history.ledger);
            }
            return;
        }
        let look = |files: Files| -> Result<bool> {
            let history = self.compare(found, unreadable, files, false)?;
            self.remember(&history.ledger);
            Ok(history.problems().is_empty())
        };
        let is_well = match look(Files::default()) {
            Ok(false) => self.history_files().and_then(look),
            known => known,
        };
        let look = if is_well.is_ok_and(|is_well| is_well) { Look::Well } else { Look::Odd };
        self.judgement.set(&self.world, look);
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
            let voice = if snapshot.is_deposit { Voice::OwnChain } else { Voice::Full };
            ledger.add_as(voice, *id, signed, Some(content_of(snapshot)), |entry| {
                let seen = memory.heads.get(&entry.writer).map_or(0, |head| head.number);
                entry.number <= seen || signed.is_signed(entry, repository)
            });
        }
    }

    /// Remembers what was seen. Nobody waits for that: if it cannot be now, the next look does it.
    fn remember(&self, ledger: &Ledger) {
        let Some(diary) = self.diary.as_deref() else { return };
        let wrong = ledger.wrong();
        let merge = |memory: Memory| merge(memory, ledger, &wrong);
        let is_new = |memory: &Memory| merge(memory.clone()) != *memory;
        if !diary.read().is_ok_and(|memory| is_new(&memory)) {
            return;
        }
        let Ok(Some(_held)) = diary.hold(&self.world, Duration::ZERO) else { return };
        if let Ok(memory) = diary.read() {
            drop(diary.write(&merge(memory)));
        }
    }

    /// Whether something was taken from the repository behind everybody's back. What removes is
    /// refused then, and whoever reads or adds is warned.
    pub fn check_history(&self) -> Result<()> {
        let look = self.judgement.get(&self.world);
        if self.diary.is_none() || look == Look::Well || self.keys.is_write_only() {
            return Ok(());
        }
        if let Look::Wrong(problems) = look {
            return Err(taken_away(&problems));
        }
        self.history(false).within(|| LOOKING)?.verdict()
    }

    /// The history as it is now. What looks wrong is looked at several times: others may be storing
    /// and removing. `all`: also the signatures that were looked at before.
    pub fn history(&self, all: bool) -> Result<History> {
        self.refuse_write_only("look at the history of the repository")?;
        let first = self.history_once(all)?;
        self.looked_at_again(first, all)
    }

    /// The same, beginning with snapshots that were listed and read just now.
    pub fn history_of(&self, found: &[(FileId, Snapshot)], unreadable: u64) -> Result<History> {
        let first = self.compare(found, unreadable, self.history_files()?, true)?;
        self.looked_at_again(first, true)
    }

    fn looked_at_again(&self, mut found: History, all: bool) -> Result<History> {
        for _ in 1..limits::HISTORY_LOOKS {
            if found.problems().is_empty() {
                break;
            }
            self.world.sleep(limits::HISTORY_PAUSE);
            let again = self.history_once(all)?;
            let wrong = found.wrong.common(&again.wrong);
            found = History { wrong, ..again };
        }
        self.remember(&found.ledger);
        let problems = found.problems();
        let look = if problems.is_empty() { Look::Well } else { Look::Wrong(problems) };
        self.judgement.set(&self.world, look);
        Ok(found)
    }

    fn history_once(&self, all: bool) -> Result<History> {
        let (mut found, mut unreadable) = (Vec::new(), 0u64);
        // First the snapshots: what is gone from them was said to be removed before.
        for (name, snapshot) in self.each_snapshot(self.backend.list(FileKind::Snapshot)?) {
            match snapshot {
                Ok(Some(snapshot)) => found.push((name.id, snapshot)),
                Ok(None) => {}
                Err(error)
                    if error.kind() == Kind::NotFound && self.backend.size(&name)?.is_none() => {}
                Err(error) if is_of_file(&error) => unreadable = unreadable.saturating_add(1),
                Err(error) => return Err(error),
            }
        }
        self.compare(&found, unreadable, self.history_files()?, all)
    }

    /// Compares what is there with what this machine remembers.
    fn compare(
        &self,
        found: &[(FileId, Snapshot)],
        unreadable: u64,
        Files { read, broken }: Files,
        all: bool,
    ) -> Result<History> {
        let memory = self.memory()?;
        let mut ledger = Ledger::new(&memory);
        let seen = if all { &Memory::default() } else { &memory };
        self.add_snapshots(&mut ledger, found, seen);
        let repository = &self.config.repository_id;
        for (id, signed) in &read {
            ledger.add(*id, signed, None, |entry| signed.is_signed(entry, repository));
        }
        ledger.settle();
        let wrong = ledger.wrong();
        Ok(History { ledger, wrong, unreadable, broken })
    }

    /// Reads all records of removals. One that is gone was taken over by another: then all are
    /// listed again.
    fn history_files(&self) -> Result<Files> {
        for _ in 0..limits::INDEX_LISTINGS_MAX {
            let mut files = Files { read: Vec::new(), broken: Vec::new() };
            let mut is_settled = true;
            for (name, _) in self.backend.list(FileKind::History)? {
                let plain = read_all(self.backend.as_ref(), &name);
                let plain =
                    plain.and_then(|bytes| self.open_named(RecordKind::History, &name, &bytes));
                match plain.and_then(|(_, plain)| SignedEntry::decode(&plain)) {
                    Ok(signed) => files.read.push((name.id, signed)),
                    Err(error) if error.kind() == Kind::NotFound => is_settled = false,
                    // A folder in its place, too: nobody can stop everything by making one.
                    Err(error)
                        if is_of_file(&error)
                            || matches!(error.kind(), Kind::Invalid | Kind::Forbidden) =>
                    {
                        files.broken.push((name.id, error));
                    }
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
    /// becomes garbage for prune. One that is not given cannot be read.
    pub fn remove_snapshots<'s>(
        &self,
        these: impl IntoIterator<Item = (FileId, Option<&'s Snapshot>)>,
    ) -> Result<()> {
        self.refuse_write_only("remove snapshots")?;
        let these: Vec<_> = these.into_iter().collect();
        let numbers = self.numbers_of(&these)?;
        let mut said = self.say_or_remember(&numbers)?;
        for (id, _) in &these {
            self.backend.remove(&FileName::new(FileKind::Snapshot, *id))?;
            if said.is_none() {
                // What was removed makes room for saying so.
                said = self.say_or_remember(&numbers)?;
            }
        }
        self.drop_replaced(said.unwrap_or_default());
        Ok(())
    }

    /// Says that these numbers are removed; `None` if the store has no room for that. Then this
    /// machine remembers it, and says it with whatever it removes next.
    fn say_or_remember(&self, numbers: &Removed) -> Result<Option<Vec<FileId>>> {
        if numbers.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let files = self.history_files()?;
        let Some(diary) = self.diary.as_deref() else {
            return self.say_removed(numbers, files).map(Some);
        };
        match self.say_removed(numbers, files) {
            Err(error) if matches!(error.kind(), Kind::Disk | Kind::Limit) => {
                let what = || "remember what is removed";
                let _held = diary.hold(&self.world, limits::MEMORY_WAIT).within(what)?;
                let mut memory = diary.read().within(what)?;
                add_all(&mut memory.removed, numbers);
                diary.write(&memory).within(what)?;
                Ok(None)
            }
            said => said.map(Some),
        }
    }

    /// Removes one snapshot that nobody has at hand.
    pub fn remove_snapshot(&self, id: &FileId) -> Result<()> {
        match self.snapshot(id) {
            Ok(snapshot) => self.remove_snapshots([(*id, Some(&snapshot))]),
            Err(error) if is_lost(&error) => self.remove_snapshots([(*id, None)]),
            Err(error) => Err(error),
        }
    }

    /// The numbers that go with snapshots.
    fn numbers_of(&self, these: &[(FileId, Option<&Snapshot>)]) -> Result<Removed> {
        let mut numbers = Removed::new();
        let mut unreadable = 0u64;
        let mut found = Vec::new();
        for (id, snapshot) in these {
            match snapshot {
                Some(snapshot) => found.push((*snapshot).clone()),
                None => match self.snapshot(id) {
                    Ok(snapshot) => found.push(snapshot),
                    // It has no number that we know.
                    Err(error) if is_lost(&error) => unreadable = unreadable.saturating_add(1),
                    Err(error) => return Err(error),
                },
            }
        }
        if unreadable > 0 && self.diary.is_some() {
            // All that is gone must be theirs, if it is no more than they are; twice, as others may
            // be storing.
            let (one, two) = (self.history_once(false)?, self.history_once(false)?);
            let wrong = one.wrong.common(&two.wrong);
            if !wrong.is_forked() && (1..=unreadable).contains(&wrong.gone()) {
                numbers = two.ledger.removed_if_accepted(&wrong);
            }
        }
        for snapshot in &found {
            let signed = snapshot.history.as_ref();
            if let Some(entry) = signed.and_then(|signed| signed.entry().ok()) {
                numbers.entry(entry.writer).or_default().add(entry.number, entry.number);
            }
        }
        Ok(numbers)
    }

    /// Stores that these numbers are removed, and all that were ever; returns the records that the
    /// new one takes over.
    fn say_removed(&self, numbers: &Removed, files: Files) -> Result<Vec<FileId>> {
        // Who cannot remember says it all the same.
        let pen = self.diary.as_deref().and_then(|diary| Pen::take(self, diary).ok());
        let mut pen = pen.map_or_else(|| Pen::once(self), Ok)?;
        let mut removed = numbers.clone();
        add_all(&mut removed, &pen.memory.removed);
        let repository = &self.config.repository_id;
        for (_, signed) in &files.read {
            let Ok(entry) = signed.entry() else { continue };
            if signed.is_signed(&entry, repository) {
                removed.entry(entry.writer).or_default().add(entry.number, entry.number);
                add_all(&mut removed, &entry.removed);
            }
        }
        let signed = pen.sign(None, removed.clone());
        let stored = self.seal(RecordKind::History, 0, &signed.encode())?;
        let name = FileName::new(FileKind::History, crate::format::pack::file_id(&stored));
        self.backend.create(&name, &stored)?;
        // If it is gone again, somebody else has taken it over already.
        if let Some(size) = self.backend.size(&name)? {
            super::has_arrived(&name, Some(size), crate::base::units::bytes(stored.len()))?;
        }
        pen.memory.removed = removed;
        pen.done(&signed);
        Ok(files.read.into_iter().map(|(id, _)| id).collect())
    }

    /// Removes records that another one has taken over. One that stays harms nothing.
    fn drop_replaced(&self, replaced: Vec<FileId>) {
        if self.backend.properties().append_only {
            return;
        }
        for id in replaced {
            drop(self.backend.remove(&FileName::new(FileKind::History, id)));
        }
    }

    /// Goes on from what is there: signs that what `history` lacks is gone.
    pub fn accept_history(&self, history: &History) -> Result<()> {
        let what = || "go on from the history that is there";
        if !history.problems().is_empty() {
            let removed = history.ledger.removed_if_accepted(&history.wrong);
            let replaced = self.say_or_remember(&removed).within(what)?;
            self.drop_replaced(replaced.unwrap_or_default());
        }
        for (id, error) in &history.broken {
            // What it said is said anew; one of a newer version is not ours to judge.
            if error.kind() != Kind::Newer && !self.backend.properties().append_only {
                self.backend.remove(&FileName::new(FileKind::History, *id)).within(what)?;
            }
        }
        self.judgement.set(&self.world, Look::Not);
        Ok(())
    }
}

const LOOKING: &str = "make sure that nobody has taken backups away";

fn taken_away(problems: &[Problem]) -> Error {
    let mut why: Vec<String> = problems.iter().take(3).map(ToString::to_string).collect();
    why.extend((problems.len() > 3).then(|| format!("and {} more", problems.len() - 3)));
    Error::new(Kind::Damaged, LOOKING).why(why.join("; ")).hint(
        "if you know why, such as a store that was put back from a copy, \
         'ghostsnap accept-history' goes on from what is there; else see docs/operations.md",
    )
}

/// Whether an error says that a file is not as it should be, and not that the store is ill.
pub(super) fn is_of_file(error: &Error) -> bool {
    matches!(error.kind(), Kind::Damaged | Kind::Newer)
}

/// Whether nothing can be read of a snapshot, however often one tries.
fn is_lost(error: &Error) -> bool {
    is_of_file(error) || error.kind() == Kind::NotFound
}

fn add_all(removed: &mut Removed, more: &Removed) {
    for (writer, spans) in more {
        removed.entry(*writer).or_default().add_all(spans);
    }
}

/// What is remembered after a look. Of a chain with two histories nobody knows which is the true
/// one.
fn merge(mut memory: Memory, ledger: &Ledger, wrong: &Wrong) -> Memory {
    for (writer, head) in ledger.heads() {
        if wrong.is_forked_of(&writer) {
            continue;
        }
        let known = memory.heads.entry(writer).or_insert(head);
        if head.number > known.number {
            *known = head;
        }
    }
    add_all(&mut memory.removed, &ledger.removed);
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
