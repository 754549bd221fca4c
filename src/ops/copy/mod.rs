// SPDX-License-Identifier: MIT
//! Copies snapshots into another repository, which has other keys: every chunk gets another id
//! there and every tree, list and row map is written anew, with the same borders. Nothing touches a
//! disk. A copy names the snapshot it was made of, so that it is known again: it is not made twice,
//! and the next copy takes over what has not changed by walking the two beside each other.
//!
//! It is a backup whose source is a repository, with the same commit point and the same pipeline:
//! what dies on the way leaves chunks that the next copy need not send, and no snapshot.

mod content;

use crate::base::monitor::{Collect, Counts, Scoped, Stage, check_cancelled};
use crate::base::{Counter, Error, FileId, Kind, Monitor, Result, Within};
use crate::format::Snapshot;
use crate::format::snapshot::Origin;
use crate::repo::{IndexedRepository, Writer, WriterOptions};
pub(super) use content::copy_content;
use content::{Known, Lent, copy_tree};
use std::collections::{HashMap, HashSet};

/// A snapshot and what became of it.
#[derive(Debug)]
pub struct Copied {
    /// Its id where it comes from.
    pub id: FileId,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// How it went.
    pub state: CopyState,
    /// What that added over there, or would have.
    pub added: Added,
}

/// How the copy of one snapshot went.
#[derive(Debug)]
pub enum CopyState {
    /// There was a copy of it, of this id.
    Present(FileId),
    /// It was copied: the copy's id and record.
    Made(FileId, Box<Snapshot>),
    /// There is none, and nobody was to make one.
    Lacking,
    /// Something of it cannot be read; nothing of it counts.
    Failed(Error),
}

/// What is new to the other repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Added {
    /// Chunks of content.
    pub chunks: u64,
    /// Plain bytes of those, and of trees.
    pub bytes: u64,
    /// Bytes that are stored for them.
    pub bytes_stored: u64,
}

/// What a snapshot is called wherever it is copied to. Whoever can only add could call his own like
/// another, and that one would never be copied; so only such keys believe each other.
pub fn identity(repository: &IndexedRepository, id: &FileId, snapshot: &Snapshot) -> Origin {
    let here = Origin { repository: repository.config().repository_id, snapshot: *id };
    let is_believed = !snapshot.is_deposit || repository.keys().is_write_only();
    snapshot.origin.filter(|_| is_believed).unwrap_or(here)
}

/// Copies these snapshots of `source`, in this order, each unless it is there. What is damaged
/// fails by itself; what ends the line to a store ends everything.
pub fn copy(
    source: &IndexedRepository,
    target: &mut IndexedRepository,
    snapshots: Vec<(FileId, Snapshot)>,
    options: WriterOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<Copied>> {
    let mut both = Both::look(source, target, monitor)?;
    let total = both.begin(source, &snapshots, monitor);
    let mut done = Vec::new();
    let mut is_new = false;
    for (id, snapshot) in snapshots {
        let origin = identity(source, &id, &snapshot);
        if let Some(present) = both.next((&id, &snapshot), origin, (done.len(), total), monitor)? {
            done.push(present);
            continue;
        }
        if std::mem::take(&mut is_new) {
            // What was copied just now can be read only by an index that knows it.
            target.reload(monitor)?;
        }
        let lent = both.lender(source, &snapshot);
        let made = copy_one(source, target, (&snapshot, origin), lent, options, monitor);
        let (state, added) = match made.within(|| format!("copy snapshot {id}")) {
            Ok((copy, made, added)) => {
                is_new = true;
                both.there.insert(origin, (copy, made.clone()));
                (CopyState::Made(copy, Box::new(made)), added)
            }
            Err(error) if is_damage(&error) => (CopyState::Failed(error), Added::default()),
            Err(error) => return Err(error),
        };
        done.push(Copied { id, snapshot, state, added });
    }
    Ok(done)
}

/// Says what [`copy`] would do with these, and writes nothing. What is new is read here, as the
/// names of chunks over there are known by their content alone.
pub fn compare(
    source: &IndexedRepository,
    target: &IndexedRepository,
    snapshots: Vec<(FileId, Snapshot)>,
    options: WriterOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<Copied>> {
    let both = Both::look(source, target, monitor)?;
    let total = both.begin(source, &snapshots, monitor);
    // One for all of them: what the first needs, the others would find.
    let writer = Writer::new(target, WriterOptions { dry_run: true, ..options });
    let known = Known::default();
    let (mut done, mut seen) = (Vec::new(), HashSet::new());
    for (id, snapshot) in snapshots {
        let origin = identity(source, &id, &snapshot);
        if let Some(present) = both.next((&id, &snapshot), origin, (done.len(), total), monitor)? {
            done.push(present);
            continue;
        }
        if !seen.insert(origin) {
            // The same one twice here: it would be copied once.
            continue;
        }
        let monitor = &Scoped::new(monitor);
        let before = writer.counts().get(Counter::BytesStored);
        let lent = both.lender(source, &snapshot);
        let read = copy_tree(source, (&writer, &known), &snapshot.tree, lent, monitor);
        check_cancelled(monitor)?;
        let (state, added) = match read.within(|| format!("compare snapshot {id}")) {
            Ok(_) => {
                let stored = writer.counts().get(Counter::BytesStored).saturating_sub(before);
                monitor.count(Counter::BytesStored, stored);
                (CopyState::Lacking, Added::counted(&monitor.counts))
            }
            Err(error) if is_damage(&error) => (CopyState::Failed(error), Added::default()),
            Err(error) => return Err(error),
        };
        done.push(Copied { id, snapshot, state, added });
    }
    Ok(done)
}

impl Added {
    fn counted(counts: &Counts) -> Self {
        Self {
            chunks: counts.get(Counter::ChunksNew),
            bytes: counts.get(Counter::BytesNew),
            bytes_stored: counts.get(Counter::BytesStored),
        }
    }
}

/// What there is here, and of it over there.
struct Both {
    ours: Vec<(FileId, Snapshot)>,
    there: HashMap<Origin, (FileId, Snapshot)>,
}

impl Both {
    fn look(
        source: &IndexedRepository,
        target: &IndexedRepository,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        if source.config().repository_id == target.config().repository_id {
            return Err(Error::new(Kind::Usage, "copy snapshots")
                .why("both are the same repository, or one is a copy of the other's files"));
        }
        source.refuse_write_only("copy from a repository")?;
        let theirs = target.readable_snapshots(monitor)?;
        let named = |(id, one)| (identity(target, &id, &one), (id, one));
        let there = theirs.into_iter().map(named).collect();
        // Those that cannot be read were named when the ones to copy were chosen.
        Ok(Self { ours: source.readable_snapshots(&Collect::default())?, there })
    }

    /// Says how much there is to do; returns how many snapshots there are.
    fn begin(
        &self,
        source: &IndexedRepository,
        snapshots: &[(FileId, Snapshot)],
        monitor: &dyn Monitor,
    ) -> usize {
        let is_lacking =
            |(id, one): &&(FileId, Snapshot)| !self.there.contains_key(&identity(source, id, one));
        let size = snapshots.iter().filter(is_lacking).map(|(_, one)| one.totals.bytes).sum();
        let total = Some((Counter::BytesSource, size));
        monitor.stage(Stage::Step { name: "copying", total });
        snapshots.len()
    }

    /// Says which one it is at; that one, if it is there.
    fn next(
        &self,
        (id, snapshot): (&FileId, &Snapshot),
        origin: Origin,
        (done, total): (usize, usize),
        monitor: &dyn Monitor,
    ) -> Result<Option<Copied>> {
        check_cancelled(monitor)?;
        if let Some((copy, _)) = self.there.get(&origin) {
            let (snapshot, state) = (snapshot.clone(), CopyState::Present(*copy));
            return Ok(Some(Copied { id: *id, snapshot, state, added: Added::default() }));
        }
        monitor.stage(Stage::Object(format!("snapshot {} of {total}: {id}", done + 1)));
        Ok(None)
    }

    /// The newest snapshot of the same things that both have, beside its copy.
    fn lender(&self, source: &IndexedRepository, wanted: &Snapshot) -> Option<Lent<'_>> {
        let alike = |one: &Snapshot| one.user == wanted.user && one.paths == wanted.paths;
        let both = self.ours.iter().filter(|(_, one)| alike(one)).filter_map(|(id, one)| {
            let copy = self.there.get(&identity(source, id, one))?;
            Some((one, copy))
        });
        both.max_by_key(|(one, _)| (one.time <= wanted.time, one.time))
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), Kind::Damaged | Kind::Newer | Kind::NotFound | Kind::Limit)
}

fn copy_one(
    source: &IndexedRepository,
    target: &IndexedRepository,
    (snapshot, origin): (&Snapshot, Origin),
    lent: Option<Lent<'_>>,
    options: WriterOptions,
    monitor: &dyn Monitor,
) -> Result<(FileId, Snapshot, Added)> {
    let monitor = &Scoped::new(monitor);
    let started = target.world().ticks();
    let (tree, written) = copy_content(source, target, snapshot, lent, options, monitor)?;
    for counter in [Counter::BytesStored, Counter::Packs] {
        monitor.count(counter, written.get(counter));
    }
    let mut copy = Snapshot { tree, origin: Some(origin), ..snapshot.clone() };
    copy.parent = lent.map(|(_, (id, _))| *id);
    let added = Added::counted(&monitor.counts);
    (copy.totals.bytes_new, copy.totals.bytes_stored) = (added.bytes, added.bytes_stored);
    let spent = target.world().ticks().saturating_sub(started);
    copy.totals.milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
    let id = target.commit(&copy).within(|| "store the snapshot")?;
    Ok((id, copy, added))
}
