// SPDX-License-Identifier: MIT
//! Stores damaged snapshots anew without what is lost of them, so that everything else restores
//! without trouble and prune knows what is needed. They are partial then.

use super::alone;
use super::heal::append_only;
use super::losses::{Affected, Loss, LossKind, affected, readable_part, snapshot_names};
use crate::backend::{FileKind, FileName};
use crate::base::monitor::{Stage, check_cancelled};
use crate::base::{ChunkId, Error, FileId, Kind, Monitor, RelPath, Result, Within, units};
use crate::format::rows::RowTable;
use crate::format::{Node, NodeKind, PackClass, Snapshot};
use crate::ops::assemble::{Assembler, Event};
use crate::ops::prune::plan::Notes;
use crate::repo::{Bundle, IndexedRepository, Reader, Repository, Writer, WriterOptions};
use crossbeam_channel::{Sender, bounded};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What became of a damaged snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotFate {
    /// It is stored anew under this id.
    Repaired(FileId),
    /// Nothing of it can be had: it is dropped.
    Dropped,
    /// It is as it was.
    Left,
    /// It is as it was: nothing of it can be had, and nobody has said that it may go.
    Hopeless,
}

/// A damaged snapshot and what became of it.
#[derive(Debug)]
pub struct Repaired {
    /// What is lost of it.
    pub was: Affected,
    /// What became of it.
    pub fate: SnapshotFate,
}

/// How snapshots are repaired.
#[derive(Debug, Clone, Copy, Default)]
pub struct SnapshotOptions {
    /// Keep what is repaired, too.
    pub keep: bool,
    /// Drop those of which nothing can be had.
    pub drop: bool,
    /// Packs that were given up because they were not there are gone for good.
    pub for_good: bool,
    /// Of zstd.
    pub level: i32,
}

/// A tag of snapshots that something was left out of.
pub const REPAIRED: &str = "repaired";

/// The damaged snapshots, as they are, and the repository again.
pub fn survey(
    repository: Repository,
    options: SnapshotOptions,
    monitor: &dyn Monitor,
) -> Result<(Vec<Repaired>, Repository)> {
    let listed = snapshot_names(&repository)?;
    let indexed = repository.indexed_to_judge("look", monitor)?;
    refuse_lost_packs(&indexed, options)?;
    let mut broken = Vec::new();
    let reader = Reader::new(&indexed);
    for was in affected(&indexed, &listed, monitor)? {
        let is_hopeless = rest_of(&reader, &was)?.is_empty();
        let fate = if is_hopeless { SnapshotFate::Hopeless } else { SnapshotFate::Left };
        broken.push(Repaired { was, fate });
    }
    Ok((broken, indexed.into_repository()))
}

/// What can be read of a snapshot's root.
fn rest_of(reader: &Reader<'_>, was: &Affected) -> Result<Vec<Node>> {
    let Some(snapshot) = &was.snapshot else { return Ok(Vec::new()) };
    readable_part(reader, &snapshot.tree).map(|(nodes, _)| nodes)
}

/// Stores damaged snapshots anew, those that `meant` lets through.
pub fn repair_snapshots(
    repository: Repository,
    options: SnapshotOptions,
    meant: impl Fn(&Affected) -> bool,
    monitor: &dyn Monitor,
) -> Result<Vec<Repaired>> {
    repository.refuse_write_only("repair snapshots")?;
    let held = alone(&repository, "repair snapshots", monitor)?.map(Arc::new);
    if repository.backend().properties().append_only && !options.keep {
        return Err(append_only().within("repair snapshots").hint("--keep keeps the damaged ones"));
    }
    // First: what a backup adds from now on needs an index that is newer than ours.
    let listed = snapshot_names(&repository)?;
    let mut repository = repository.indexed_under(held, monitor)?;
    refuse_lost_packs(&repository, options)?;
    let broken = affected(&repository, &listed, monitor)?;
    let mut done = Vec::new();
    for was in broken.into_iter().filter(meant) {
        check_cancelled(monitor)?;
        monitor.stage(Stage::Object(format!("snapshot {}", was.id)));
        let fate = repair(&repository, &was, options, monitor)
            .within(|| format!("repair snapshot {}", was.id))?;
        if matches!(fate, SnapshotFate::Repaired(_)) {
            repository.reload(monitor)?;
            refuse_lost_packs(&repository, options)?;
        }
        done.push(Repaired { was, fate });
    }
    Ok(done)
}

/// What is damaged is decided by the index: so all that it names must be there.
fn refuse_lost_packs(repository: &IndexedRepository, options: SnapshotOptions) -> Result<()> {
    let sizes: HashMap<FileName, u64> =
        repository.backend().list(FileKind::Pack)?.into_iter().collect();
    let packs = (0u32..).zip(repository.index().packs());
    let is_lost = packs.filter(|(place, pack)| {
        sizes.get(&FileName::new(FileKind::Pack, pack.id)) != Some(&pack.size)
            && !repository.index().is_leaving(*place)
    });
    let lost = is_lost.count();
    let notes = Notes::of(repository.index());
    // Not those that a prune has removed since.
    let is_away = |id: &&FileId| {
        !sizes.contains_key(&FileName::new(FileKind::Pack, **id)) && !notes.drops.contains_key(*id)
    };
    let away = notes.damaged.keys().filter(is_away).count();
    if lost == 0 && away > 0 && !options.for_good {
        let away = units::number_of(units::bytes(away), "pack");
        return Err(Error::new(Kind::Damaged, "repair snapshots")
            .why(format!("{away} that were given up are not there, and may come back with a disk"))
            .hint("--for-good says that they are gone for good"));
    }
    if lost == 0 {
        return Ok(());
    }
    let lost = units::number_of(units::bytes(lost), "pack");
    Err(Error::new(Kind::Damaged, "repair snapshots")
        .why(format!("{lost} that the index names are missing or cut off"))
        .hint("if they are not to be had, run 'ghostsnap repair packs' first"))
}

fn repair(
    repository: &IndexedRepository,
    was: &Affected,
    options: SnapshotOptions,
    monitor: &dyn Monitor,
) -> Result<SnapshotFate> {
    let reader = Reader::new(repository);
    let is_hopeless = rest_of(&reader, was)?.is_empty();
    let Some(snapshot) = was.snapshot.as_ref().filter(|_| !is_hopeless) else {
        if !options.drop || options.keep {
            return Ok(SnapshotFate::Hopeless);
        }
        refuse_lost_packs(repository, options)?;
        return repository.remove_snapshot(&was.id).map(|()| SnapshotFate::Dropped);
    };
    let level = WriterOptions { level: options.level, ..WriterOptions::default() };
    let writer = Writer::new(repository, level);
    let tree = rewrite(&reader, &writer, snapshot, &was.losses, monitor)?;
    writer.finish()?;
    let new = without(snapshot, tree, &was.losses, options.keep);
    let id = repository.commit(&new).within(|| "store the snapshot")?;
    let name = FileName::new(FileKind::Snapshot, was.id);
    if repository.backend().size(&name)?.is_none() {
        // Somebody has dropped it meanwhile, and wants no other one either.
        repository.remove_snapshot(&id)?;
        return Ok(SnapshotFate::Left);
    }
    if !options.keep {
        refuse_lost_packs(repository, options)?;
        repository.remove_snapshot(&was.id).within(|| "remove the damaged one")?;
    }
    Ok(SnapshotFate::Repaired(id))
}

/// The record of a repaired snapshot. It is not what any copy of the damaged one is: it has no
/// origin but itself.
fn without(old: &Snapshot, tree: Vec<ChunkId>, losses: &[Loss], beside: bool) -> Snapshot {
    let mut new = Snapshot { tree, origin: None, ..old.clone() };
    for loss in losses.iter().filter(|loss| loss.kind != LossKind::Table) {
        new.warnings += 1;
        if loss.kind == LossKind::File {
            new.totals.files = new.totals.files.saturating_sub(1);
            new.totals.bytes = new.totals.bytes.saturating_sub(loss.size);
        }
    }
    if new.warnings > old.warnings && !new.tags.iter().any(|tag| tag == REPAIRED) {
        new.tags.push(REPAIRED.to_owned());
    }
    if beside && !new.name.is_empty() {
        new.name = format!("{}-{REPAIRED}", new.name);
    }
    new
}

/// Puts the trees together again without what is lost.
fn rewrite(
    reader: &Reader<'_>,
    writer: &Writer<'_>,
    snapshot: &Snapshot,
    losses: &[Loss],
    monitor: &dyn Monitor,
) -> Result<Vec<ChunkId>> {
    let (events, arriving) = bounded(crate::base::limits::EVENTS_IN_FLIGHT);
    std::thread::scope(|scope| {
        let assembler = scope.spawn(move || Assembler::new(writer, None, monitor)?.run(&arriving));
        let fed = Rewrite::new(reader, writer, losses, events)
            .and_then(|rewrite| rewrite.root(&snapshot.tree));
        let panicked = || Error::new(Kind::Internal, "put trees together").why("a worker panicked");
        let assembled = assembler.join().map_err(|_| panicked())?;
        match fed {
            // The assembler knows better why it stopped.
            Err(error) if error.kind() == Kind::Internal => assembled.and(Err(error)),
            Err(error) => Err(error),
            Ok(()) => assembled.map(|assembly| assembly.chunks),
        }
    })
}

struct Rewrite<'a> {
    reader: &'a Reader<'a>,
    writer: &'a Writer<'a>,
    bundle: Bundle,
    /// What is lost where.
    losses: BTreeMap<&'a RelPath, LossKind>,
    /// Folders below which something is lost.
    above: HashSet<RelPath>,
    events: Sender<Vec<Event>>,
}

impl<'a> Rewrite<'a> {
    fn new(
        reader: &'a Reader<'a>,
        writer: &'a Writer<'a>,
        losses: &'a [Loss],
        events: Sender<Vec<Event>>,
    ) -> Result<Self> {
        let mut above = HashSet::new();
        for loss in losses {
            let mut path = Some(loss.path.clone());
            while let Some(one) = path {
                path = one.parent();
                above.insert(one);
            }
        }
        Ok(Self {
            reader,
            writer,
            bundle: writer.bundle(PackClass::Meta)?,
            losses: losses.iter().map(|loss| (&loss.path, loss.kind)).collect(),
            above,
            events,
        })
    }

    fn send(&self, event: Event) -> Result<()> {
        let stopped = || Error::new(Kind::Internal, "put trees together").why("nobody takes them");
        self.events.send(vec![event]).map_err(|_| stopped())
    }

    fn root(mut self, tree: &[ChunkId]) -> Result<()> {
        self.send(Event::Enter { node: Box::default(), parent: None })?;
        self.folder(tree, &RelPath::root())?;
        self.bundle.flush(self.writer)?;
        self.send(Event::Leave)
    }

    fn folder(&mut self, tree: &[ChunkId], path: &RelPath) -> Result<()> {
        let (nodes, trouble) = readable_part(self.reader, tree)?;
        if let Some(error) = trouble
            && self.losses.get(path) != Some(&LossKind::Folder)
        {
            return Err(error.with_kind(Kind::Disk).hint("it was sound a moment ago"));
        }
        for mut node in nodes {
            let below = path.join(&node.name)?;
            let lost = self.losses.get(&below).copied();
            match (node.meta.kind, lost) {
                (NodeKind::Folder, _) if self.above.contains(&below) => {
                    let tree = std::mem::take(&mut node.chunks);
                    self.send(Event::Enter { node: Box::new(node), parent: None })?;
                    self.folder(&tree, &below)?;
                    self.send(Event::Leave)?;
                }
                (NodeKind::File, Some(LossKind::File)) => {}
                (NodeKind::File, Some(LossKind::Table)) => {
                    let node = self.with_tables(node)?;
                    self.send(Event::Ready(Box::new(node)))?;
                }
                _ => self.send(Event::Ready(Box::new(node)))?,
            }
        }
        Ok(())
    }

    /// A file of rows with an empty table in the place of each that is lost: its content is whole,
    /// the next backup only finds less to compare with.
    fn with_tables(&mut self, mut node: Node) -> Result<Node> {
        let keys = self.writer.repository().keys();
        let mut chunks = Vec::new();
        for mut map in self.reader.row_maps(&node)? {
            for one in &mut map.chunks {
                if !self.writer.repository().index().contains(&one.table)? {
                    let empty = RowTable::default().encode();
                    one.table = keys.tree_id(&empty);
                    self.bundle.add(self.writer, one.table, &empty)?;
                }
            }
            let plain = map.encode();
            let id = keys.tree_id(&plain);
            self.bundle.add(self.writer, id, &plain)?;
            chunks.push(id);
        }
        node.chunks = chunks;
        Ok(node)
    }
}
