// SPDX-License-Identifier: MIT
//! Frees what no snapshot needs, while backups go on. A pack that nothing needs is first *marked*,
//! and from then on no backup counts on it; a later prune removes it, when every backup that may
//! have counted on it before has ended or claimed it (`repo/fence.rs`). Packs of which little is
//! needed are written anew and marked.
//!
//! Every step leaves a repository from which the next prune goes on: what was written anew is found
//! twice and the emptier place is marked; what was dropped and not removed counts again and is
//! judged anew.

pub(super) mod book;
mod needed;
pub(super) mod plan;
mod repack;
mod vouch;

pub use plan::{Fate, Notes, Plan, PruneOptions};

use crate::backend::{FileKind, FileName, Leftovers};
use crate::base::monitor::{Counts, Stage, check_cancelled};
use crate::base::units::number_of;
use crate::base::{Counter, Error, FileId, Kind, Monitor, Result, Within, limits, units};
use crate::format::Snapshot;
use crate::repo::locks::{Found, Held, Holder, in_use};
use crate::repo::{IndexedRepository, Reader, Repository, Writer, WriterOptions};
use book::Book;
use needed::Needed;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a prune did, or would do.
#[derive(Debug)]
pub struct PruneReport {
    /// The plan it began with.
    pub plan: Plan,
    /// Bytes of all packs before.
    pub stored_bytes: u64,
    /// Files that were removed, and their bytes.
    pub removed: (u64, u64),
    /// Files that killed runs left unfinished, and their bytes: removed, or on a dry run to be.
    pub leftovers: (u64, u64),
    /// Bytes of new packs.
    pub written: u64,
    /// Packs that are marked now, and their bytes: a prune after the grace period frees them.
    pub marked: (u64, u64),
    /// Why nothing was removed at once, though that was asked for.
    pub held_back: Option<Error>,
}

impl PruneReport {
    /// Nothing is done yet.
    fn of(plan: Plan, stored_bytes: u64) -> Self {
        let (removed, leftovers, marked) = ((0, 0), (0, 0), (0, 0));
        Self { plan, stored_bytes, removed, leftovers, written: 0, marked, held_back: None }
    }
}

/// Prunes a repository, or only says what it would do.
pub fn prune(
    repository: Repository,
    options: &PruneOptions,
    dry_run: bool,
    monitor: &dyn Monitor,
) -> Result<PruneReport> {
    let place = repository.backend().location();
    let what = || format!("prune the repository at {place}");
    repository.refuse_write_only("prune the repository")?;
    if repository.backend().properties().append_only && !dry_run {
        return Err(Error::new(Kind::Forbidden, what())
            .why("its place is append-only: nothing in it can be removed")
            .hint("prune it with a key that may delete, from a machine that others cannot reach"));
    }
    let (held, others) = lock(&repository, dry_run, monitor).within(what)?;
    // Before the snapshots are listed: one that comes later is of a run that had not ended then.
    let now = repository.world().now().seconds;
    let mut options = *options;
    options.busy_since = since(&others);
    options.epoch = repository.keys().newest_epoch();
    // With somebody at work nothing goes at once, and what is young may be theirs.
    let is_wanted_now = options.now;
    options.now &= others.is_empty();
    // The snapshots first: whatever one of these needs was in the index before it.
    let snapshots = repository.snapshots().within(what)?;
    repository.check_history().within(what)?;
    if !dry_run {
        vouch::vouch(&repository, now, options.grace_seconds, monitor).within(what)?;
    }
    let mut repository = repository.indexed_under(held, monitor)?;
    if snapshots.is_empty() && !repository.index().packs().is_empty() && !options.may_empty {
        return Err(Error::new(Kind::NotFound, "find any snapshot")
            .why("there is none, so everything that is stored would go")
            .hint("if their files were lost, put them back from a copy; --force goes on"))
        .within(what);
    }
    if !dry_run && !others.iter().any(is_prune) {
        take_back_drops(&mut repository, monitor).within(what)?;
    }
    let seen: HashSet<FileId> = snapshots.iter().map(|(id, _)| *id).collect();
    let needed = needed_by(&repository, &snapshots, monitor).within(what)?;
    drop(snapshots);
    let mut listed = packs(&repository)?;
    // Of these nobody knows what is in them: they stay.
    listed.retain(|(id, _)| !repository.index().disputed().contains(id));
    let mut notes = Notes::of(repository.index());
    // Whoever can only add may claim for ever, if a claim of tomorrow counts.
    notes.claims.values_mut().for_each(|time| *time = (*time).min(now));
    let options = &options;
    let plan = plan::plan(repository.index(), &needed, &listed, &notes, options, now);
    let plan = plan.within(what)?;
    let mut report = PruneReport::of(plan, listed.iter().map(|(_, size)| size).sum());
    let task = if dry_run { Leftovers::Count } else { Leftovers::Remove };
    // With no grace period somebody may still be at it, whom a lock of long ago does not show.
    let oldest = now.saturating_sub(options.grace_seconds.max(limits::LEFTOVER_SECONDS));
    report.leftovers = leftovers(&repository, oldest, task, monitor).within(what)?;
    if dry_run {
        tell_unproven(&repository, monitor);
        return Ok(report);
    }
    add(&mut report.removed, report.leftovers);
    let book = Book::new(&repository, notes);
    let sizes = listed.into_iter().collect();
    Job { repository: &repository, options, monitor, now, seen, sizes, book, is_wanted_now }
        .run(&mut report)
        .within(what)?;
    Ok(report)
}

/// What killed runs left of files that never got their names. Nothing depends on it.
fn leftovers(
    repository: &Repository,
    before: i64,
    task: Leftovers,
    monitor: &dyn Monitor,
) -> Result<(u64, u64)> {
    match repository.backend().leftovers(before, task) {
        Err(error) if error.kind() != Kind::Cancelled => {
            monitor.warn(error.within("remove what killed runs left unfinished"));
            Ok((0, 0))
        }
        found => found,
    }
}

/// What a plan cannot decide yet.
fn tell_unproven(repository: &IndexedRepository, monitor: &dyn Monitor) {
    let unproven = units::bytes(repository.index().unproven().len());
    if unproven > 0 {
        let packs = number_of(unproven, "pack");
        let note = format!("{packs} of write-only keys: the prune itself looks at them first");
        monitor.stage(Stage::Note(note));
    }
}

/// What all snapshots need.
fn needed_by(
    repository: &IndexedRepository,
    snapshots: &[(FileId, Snapshot)],
    monitor: &dyn Monitor,
) -> Result<Needed> {
    monitor.stage(Stage::Step { name: "finding what is needed", total: None });
    let reader = Reader::new(repository);
    let mut needed = Needed::none(repository.index());
    for (id, snapshot) in snapshots {
        monitor.stage(Stage::Object(format!("snapshot {}", id.short())));
        needed::add_snapshot(repository, &reader, snapshot, &mut needed, monitor)
            .within(|| format!("find what snapshot {id} needs"))
            .map_err(|error| match error.kind() {
                Kind::Damaged | Kind::NotFound => error
                    .with_kind(Kind::Damaged)
                    .hint("nothing was changed; 'ghostsnap check' names what is lost"),
                _ => error,
            })?;
    }
    Ok(needed)
}

fn packs(repository: &Repository) -> Result<Vec<(FileId, u64)>> {
    let listed = repository.backend().list(FileKind::Pack)?;
    Ok(listed.into_iter().map(|(name, size)| (name.id, size)).collect())
}

/// Notes that a prune is at work, and says who else is writing. Two on one machine would do the
/// same work twice, and a repair would take back what is noted here. On a full disk it goes on
/// without.
fn lock(
    repository: &Repository,
    dry_run: bool,
    monitor: &dyn Monitor,
) -> Result<(Option<Arc<Held>>, Vec<Found>)> {
    let held = if dry_run {
        None
    } else {
        match repository.lock("prune") {
            Err(error) if error.kind() == Kind::Disk => None,
            held => held?,
        }
    };
    let own = held.as_ref().map(Held::id);
    let others = if dry_run {
        let mut all = repository.locks()?;
        all.retain(|one| one.holder != Holder::Dead);
        all
    } else {
        repository.others_at_work(own, monitor)?
    };
    let is_repair = |one: &Found| one.lock.as_ref().is_some_and(|lock| lock.work == "repair");
    let is_in_the_way =
        |one: &&Found| is_repair(one) || one.holder == Holder::Runs && is_prune(one);
    let in_the_way: Vec<Found> = others.iter().filter(is_in_the_way).cloned().collect();
    if !in_the_way.is_empty() && !dry_run {
        return Err(in_use("prune", &in_the_way));
    }
    Ok((held.map(Arc::new), others))
}

fn is_prune(found: &Found) -> bool {
    found.lock.as_ref().is_some_and(|lock| lock.work == "prune")
}

/// Since when somebody is writing who is no prune.
fn since(others: &[Found]) -> Option<i64> {
    let writers = others.iter().filter(|one| !is_prune(one));
    // A lock that cannot be read tells no time: anything may be its holder's.
    writers.map(|one| one.lock.as_ref().map_or(i64::MIN / 2, |lock| lock.time.seconds)).min()
}

/// A prune that died while it removed packs has left some that do not count though they are there.
/// A backup may have claimed one of them at that very moment, so all of them are only marked again,
/// and judged anew.
fn take_back_drops(repository: &mut IndexedRepository, monitor: &dyn Monitor) -> Result<()> {
    let dropped = Notes::of(repository.index()).drops;
    let there = packs(repository)?;
    let left: Vec<FileId> =
        there.into_iter().map(|(id, _)| id).filter(|id| dropped.contains_key(id)).collect();
    if left.is_empty() {
        return Ok(());
    }
    let mut book = Book::new(repository, Notes::of(repository.index()));
    let now = repository.world().now().seconds;
    for id in &left {
        book.notes.drops.remove(id);
        // Whoever looks meanwhile counts on none of them: another machine's prune may be at it.
        book.notes.marks.insert(*id, now);
    }
    book.store()?;
    repository.reload(monitor)
}

/// A prune that changes something.
struct Job<'j> {
    repository: &'j IndexedRepository,
    options: &'j PruneOptions,
    monitor: &'j dyn Monitor,
    now: i64,
    /// The snapshots that the plan knows.
    seen: HashSet<FileId>,
    /// What the store has.
    sizes: HashMap<FileId, u64>,
    book: Book<'j>,
    /// Whether all was to be removed at once.
    is_wanted_now: bool,
}

impl Job<'_> {
    /// First what only frees space, so that a full disk is no obstacle; then what needs some.
    fn run(&mut self, report: &mut PruneReport) -> Result<()> {
        let segments = self.repository.index().segments();
        let replaced = segments.iter().filter(|one| one.is_replaced).map(|one| one.id).collect();
        book::remove_segments(self.repository, replaced)?;
        self.book.refuse_rival()?;
        let going = going(self.repository, &report.plan);
        let removed = self.remove(&going)?;
        add(&mut report.removed, removed);
        self.book.refuse_rival()?;
        // At once: a mark counts from the moment at which others can see it. And before packs are
        // written anew, for which there may be no room yet.
        self.note(&report.plan);
        self.book.store()?;
        if self.is_wanted_now {
            self.remove_marked(report)?;
        }
        let moved = self.repack(report).map_err(|error| match error.kind() {
            Kind::Disk => error.hint("--max-repack-size 0 writes nothing anew"),
            _ => error,
        })?;
        if !moved.is_empty() {
            self.book.refuse_rival()?;
            let now = self.repository.world().now().seconds;
            self.book.notes.marks.extend(moved.iter().map(|id| (*id, now)));
            self.book.store()?;
        }
        self.book.merge(
            self.repository.index(),
            self.now,
            self.options.grace_seconds,
            self.monitor,
        )?;
        if self.is_wanted_now && !moved.is_empty() && report.held_back.is_none() {
            self.remove_marked(report)?;
        }
        let marked = self.book.notes.marks.keys().chain(self.book.notes.strays.keys());
        for id in marked {
            add(&mut report.marked, (1, self.size(id)));
        }
        Ok(())
    }

    fn size(&self, id: &FileId) -> u64 {
        self.sizes.get(id).copied().unwrap_or_default()
    }

    /// Removes packs that the plan lets go; returns how many, and their bytes. What somebody has
    /// claimed or named meanwhile stays.
    fn remove(&mut self, going: &[FileId]) -> Result<(u64, u64)> {
        if going.is_empty() {
            return Ok((0, 0));
        }
        self.drop(going);
        match self.book.store() {
            // Not even a note fits: one of those that have been marked for so long makes room for
            // it, if nobody is there who could claim it.
            Err(error) if error.kind() == Kind::Disk => {
                if !self.others()?.is_empty() {
                    return Err(error);
                }
                let largest = going.iter().max_by_key(|id| self.size(id));
                self.remove_packs(largest.into_iter())?;
                self.book.store()?;
            }
            stored => stored?,
        }
        let claimed = self.book.claimed_meanwhile()?;
        let kept: Vec<FileId> = going.iter().filter(|id| claimed.contains(*id)).copied().collect();
        if !kept.is_empty() {
            for id in &kept {
                self.book.notes.drops.remove(id);
            }
            self.book.store()?;
        }
        self.remove_packs(going.iter().filter(|id| !claimed.contains(*id)))
    }

    fn drop(&mut self, going: &[FileId]) {
        let notes = &mut self.book.notes;
        for id in going {
            notes.marks.remove(id);
            notes.strays.remove(id);
            // The note of what was given up stays as well: it must not count again, whatever
            // becomes of this run.
            notes.drops.insert(*id, self.now);
        }
    }

    fn remove_packs<'i>(&self, packs: impl Iterator<Item = &'i FileId>) -> Result<(u64, u64)> {
        let mut removed = (0, 0);
        self.monitor.stage(Stage::Step { name: "removing packs", total: None });
        for id in packs {
            check_cancelled(self.monitor)?;
            let name = FileName::new(FileKind::Pack, *id);
            self.repository.backend().remove(&name).within(|| format!("remove {name}"))?;
            if self.sizes.contains_key(id) {
                add(&mut removed, (1, self.size(id)));
            }
        }
        Ok(removed)
    }

    /// Writes anew what is needed of packs that hold too little of it.
    fn repack(&self, report: &mut PruneReport) -> Result<Vec<FileId>> {
        let packs = report.plan.packs(self.repository.index(), Fate::Repack);
        if packs.is_empty() {
            return Ok(Vec::new());
        }
        let total = packs.iter().map(|pack| pack.size).sum();
        self.monitor.stage(Stage::Step {
            name: "writing packs anew",
            total: Some((Counter::BytesChecked, total)),
        });
        let options = WriterOptions { level: self.options.level, ..WriterOptions::default() };
        let writer = Writer::new(self.repository, options);
        let used = &report.plan.used;
        let moved = repack::repack(self.repository, packs, used, &writer, self.monitor);
        // Also after a failure: what is written is found by the next run.
        let written: Result<Counts> = writer.finish();
        let moved = moved?;
        report.written = written?.get(Counter::BytesStored);
        Ok(moved.into_iter().map(|pack| pack.id).collect())
    }

    /// Notes what the plan has found, and forgets what is over.
    fn note(&mut self, plan: &Plan) {
        let now = self.repository.world().now().seconds;
        let (index, grace) = (self.repository.index(), self.options.grace_seconds);
        let notes = &mut self.book.notes;
        for (pack, fate) in index.packs().iter().zip(&plan.fates) {
            match fate {
                Fate::Rescue => {
                    notes.marks.remove(&pack.id);
                }
                Fate::Mark => {
                    notes.marks.insert(pack.id, now);
                }
                _ => {}
            }
        }
        let strays: HashSet<FileId> = plan.strays.iter().map(|(id, _, _)| *id).collect();
        notes.strays.retain(|id, _| strays.contains(id));
        for (id, _, fate) in &plan.strays {
            if *fate == Fate::Mark {
                notes.strays.insert(*id, now);
            }
        }
        let named: HashSet<FileId> = index.packs().iter().map(|pack| pack.id).collect();
        notes.marks.retain(|id, _| named.contains(id));
        notes.claims.retain(|_, time| now.saturating_sub(*time) < grace);
        // As long as a segment names it, or somebody may be writing such a segment anew.
        let long = 2 * grace.max(limits::PRUNE_GRACE_SECONDS);
        for out in [&mut notes.drops, &mut notes.damaged] {
            out.retain(|id, time| index.dropped().contains(id) || now.saturating_sub(*time) < long);
        }
    }

    fn others(&self) -> Result<Vec<Found>> {
        self.repository.others_at_work(self.repository.own_lock(), self.monitor)
    }

    /// Whoever may count on what is marked now: somebody at work, or a backup that has ended since
    /// the plan was made.
    fn who_is_in_the_way(&self) -> Result<Option<Error>> {
        let what = "remove at once what is not needed";
        if self.repository.own_lock().is_none() {
            return Ok(Some(
                Error::new(Kind::Disk, what)
                    .why("there is no room for a lock, by which others could see this run")
                    .hint("free some space there, or wait out the grace period"),
            ));
        }
        let others = self.others()?;
        if !others.is_empty() {
            return Ok(Some(in_use(what, &others)));
        }
        let now = self.repository.backend().list(FileKind::Snapshot)?;
        if now.iter().any(|(name, _)| !self.seen.contains(&name.id)) {
            return Ok(Some(
                Error::new(Kind::InUse, what)
                    .why("a backup has ended meanwhile, and what it needs was not looked at")
                    .hint("run it again"),
            ));
        }
        Ok(None)
    }

    /// Removes all that is marked, if nobody may count on it.
    fn remove_marked(&mut self, report: &mut PruneReport) -> Result<()> {
        if let Some(error) = self.who_is_in_the_way()? {
            report.held_back = Some(error);
            return Ok(());
        }
        let notes = &self.book.notes;
        let there = |id: &&FileId| self.sizes.contains_key(*id);
        let damaged = notes.damaged.keys().filter(there);
        let noted = notes.marks.keys().chain(notes.strays.keys()).chain(damaged);
        let unclaimed = noted.filter(|id| !notes.claims.contains_key(*id));
        let all: Vec<FileId> = unclaimed.copied().collect();
        let removed = self.remove_now(&all, report)?;
        add(&mut report.removed, removed);
        Ok(())
    }

    /// Removes what was marked in this run. A snapshot that appears after the drops were noted was
    /// stored by somebody who did not see them: then all stays for the next time.
    fn remove_now(&mut self, going: &[FileId], report: &mut PruneReport) -> Result<(u64, u64)> {
        let before = self.book.notes.clone();
        self.drop(going);
        self.book.store()?;
        let claimed = self.book.claimed_meanwhile()?;
        let is_claimed = going.iter().any(|id| claimed.contains(id));
        let in_the_way = self.who_is_in_the_way()?;
        if is_claimed || in_the_way.is_some() {
            self.book.notes = before;
            self.book.store()?;
            let claimed = || {
                Error::new(Kind::InUse, "remove at once what is not needed")
                    .why("a backup counts on some of it")
                    .hint("run it again when that has ended")
            };
            report.held_back = Some(in_the_way.unwrap_or_else(claimed));
            return Ok((0, 0));
        }
        self.remove_packs(going.iter())
    }
}

/// What the plan lets go.
fn going(repository: &IndexedRepository, plan: &Plan) -> Vec<FileId> {
    let packs = plan.packs(repository.index(), Fate::Remove);
    let strays = plan.strays.iter().filter(|(_, _, fate)| *fate == Fate::Remove);
    packs.into_iter().map(|pack| pack.id).chain(strays.map(|(id, _, _)| *id)).collect()
}

fn add(sum: &mut (u64, u64), more: (u64, u64)) {
    *sum = (sum.0 + more.0, sum.1 + more.1);
}
