// SPDX-License-Identifier: MIT
//! Restoring below somebody's home through a deputy that acts as that person. What is there is
//! looked at beneath our own handle and compared with the snapshot; only what differs is sent.
//! Every change is made by the deputy, but for entries directly in a home that the person may not
//! write to: those are made here and handed over.

mod book;
mod file;
mod remove;
mod undo;

pub use undo::Undoes;

use super::folder::matters_to_all;
use super::{Overwrite, find_node};
use crate::base::monitor::{Scoped, Stage, check_cancelled};
use crate::base::{ChunkId, Counter, Error, Kind, Monitor, RelPath, Result, Within, limits};
use crate::format::tree::Meta;
use crate::format::{Node, NodeKind, Snapshot};
use crate::repo::{IndexedRepository, Reader};
use crate::tree::Selection;
use crate::tree::deputy::{Deputy, Order, Person, can_make};
use crate::tree::dir::{Existing, Target};
use crate::tree::select::Verdict;
use book::{Book, Item};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use undo::LastFolder;

/// What to restore, and how.
#[derive(Clone)]
pub struct Rules {
    /// Which entries, by their path below the restored folder.
    pub selection: Selection,
    /// What happens to files that exist.
    pub overwrite: Overwrite,
    /// Remove what the snapshot's folders do not hold.
    pub exact: bool,
    /// Change nothing; say what would change.
    pub dry_run: bool,
    /// Mails are the same whatever flags their names carry, and whether they are new or read.
    pub maildir: bool,
    /// The restored folder itself is Hestia's to make: if it is there, its mode, owner and times
    /// stay, and if it is not, its group may write to it.
    pub keep_top: bool,
    /// Paths below the home that are neither written nor removed.
    pub spared: fn(&RelPath) -> bool,
    /// Paths below the home that backups leave out: that the snapshot lacks them is no reason to
    /// remove them.
    pub left_out: Selection,
    /// An earlier restore that this one takes back: of what the snapshot lacks, only that goes
    /// which it made. Goes with `exact`.
    pub undoes: Option<Undoes>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            selection: Selection::all(),
            overwrite: Overwrite::Always,
            exact: false,
            dry_run: false,
            maildir: false,
            keep_top: false,
            spared: |_| false,
            left_out: Selection::all(),
            undoes: None,
        }
    }
}

/// What happened, or would happen, to one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Done {
    /// It was not there.
    Created,
    /// It was there and differed.
    Overwritten,
    /// The snapshot does not have it.
    Removed,
}

impl Done {
    /// The word shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Overwritten => "overwritten",
            Self::Removed => "removed",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What became of it.
    pub done: Done,
    /// Where, below the home.
    pub path: RelPath,
    /// What it is, or was.
    pub kind: NodeKind,
    /// Bytes of content.
    pub bytes: u64,
}

/// What a restore through a deputy did.
#[derive(Debug, Default)]
pub struct Report {
    /// Entries that were not there.
    pub created: u64,
    /// Files that differed.
    pub overwritten: u64,
    /// Files that were right already, or that were to be left.
    pub unchanged: u64,
    /// Entries removed.
    pub removed: u64,
    /// Entries that neither the snapshot has nor the restore that was taken back: they stay.
    pub newer: u64,
    /// Bytes of content written.
    pub bytes: u64,
    /// Files and folders that were somebody else's in the snapshot and are the person's now.
    pub other_owners: u64,
    /// Things that could not be done; more than 0 makes the result partial.
    pub warnings: u64,
    /// The changes one by one, as far as there is room for them.
    pub changes: Vec<Change>,
}

impl Report {
    /// How many changes there are, named or not.
    pub fn count(&self) -> u64 {
        self.created + self.overwritten + self.removed
    }

    /// Whether nothing is otherwise than before, because nothing could be done.
    pub fn failed_whole(&self) -> bool {
        self.count() == 0 && self.warnings > 0
    }

    fn add(&mut self, change: Change, count: u64) {
        match change.done {
            Done::Created => self.created += count,
            Done::Overwritten => self.overwritten += count,
            Done::Removed => self.removed += count,
        }
        if change.done != Done::Removed {
            self.bytes += change.bytes;
        }
        if self.changes.len() < limits::CHANGES_NAMED_MAX {
            self.changes.push(change);
        }
    }
}

/// Where a restore goes.
pub struct Place<'p> {
    /// The home, seen with our own rights.
    pub home: &'p Target,
    /// The path below it: of the file, or of the folder that gets the content.
    pub path: RelPath,
    /// Who the deputy is.
    pub person: &'p Person,
    /// The person's name.
    pub name: &'p str,
}

/// Restores what lies at `base` in the snapshot to a place below a home. Failures of single
/// entries are warnings; the report counts them. Files for which there was no room make all of it
/// fail, in the end. A dry run needs no deputy.
pub fn by_deputy(
    (repository, snapshot, base): (&IndexedRepository, &Snapshot, &RelPath),
    rules: &Rules,
    place: &Place<'_>,
    deputy: Option<Deputy<'_>>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    let scope = Scoped::new(monitor);
    let reader = Reader::new(repository);
    let node = match find_node(&reader, snapshot, base) {
        // Nothing was there; what the restore made goes all the same.
        Err(error) if error.kind() == Kind::NotFound && rules.undoes.is_some() => None,
        node => Some(node?),
    };
    let is_file = node.as_ref().is_some_and(|node| !node.is_folder());
    if place.path.is_root() && (rules.exact || is_file) {
        return Err(Error::new(Kind::Invalid, "restore to the home itself")
            .why("that would remove what belongs to all of the user")
            .hint("name a folder in it"));
    }
    scope.stage(Stage::Step { name: "restoring", total: None });
    let mut plan = Plan {
        repository,
        reader,
        rules,
        place,
        deputy,
        monitor: &scope,
        book: Book::new(&scope),
        lost: false,
        finish: Vec::new(),
        links: HashMap::new(),
        waiting_links: Vec::new(),
        mails: None,
        is_alone: node.as_ref().is_some_and(|node| !node.is_folder()),
        before: (snapshot, base),
        mails_before: None,
        last_folder: LastFolder::default(),
    };
    let done = match &node {
        Some(node) => plan.make_parents(snapshot, base).and_then(|()| plan.top(node)),
        None => plan.remove_other(&place.path, &RelPath::root()).map(drop),
    };
    let done = done.and_then(|()| plan.remove_parents());
    // A full disk is no reason to leave folders without their modes.
    let ended = if plan.lost { Ok(()) } else { plan.end() };
    done.and(ended)?;
    if let Some(error) = plan.book.no_room(&place.path) {
        return Err(error);
    }
    let mut report = plan.book.report;
    report.warnings = scope.warnings();
    if report.other_owners > 0 && !rules.dry_run {
        monitor.stage(Stage::Note(format!(
            "files and folders that were somebody else's and are {}'s now: {}",
            place.name, report.other_owners
        )));
    }
    Ok(report)
}

/// Where mails are, by the part of their names that never changes.
type Mails = BTreeMap<Vec<u8>, Vec<RelPath>>;

struct Plan<'a> {
    repository: &'a IndexedRepository,
    reader: Reader<'a>,
    rules: &'a Rules,
    place: &'a Place<'a>,
    deputy: Option<Deputy<'a>>,
    monitor: &'a Scoped<'a>,
    book: Book<'a>,
    /// The deputy is gone or does not answer: nothing more can be done.
    lost: bool,
    /// Folders whose attributes are set at the end, parents first.
    finish: Vec<(RelPath, Meta)>,
    /// The first path restored of each file with several names.
    links: HashMap<(u64, u64), RelPath>,
    /// Further names: (first path, this path, the entry).
    waiting_links: Vec<(RelPath, RelPath, u64)>,
    /// The mails that a maildir has now, by the part of their names that never changes.
    mails: Option<(RelPath, Mails)>,
    /// Whether one file is restored, and no folder.
    is_alone: bool,
    /// What is restored: when an earlier restore is taken back, what was there before it.
    before: (&'a Snapshot, &'a RelPath),
    /// The mails that a maildir had then.
    mails_before: Option<(RelPath, BTreeSet<Vec<u8>>)>,
    last_folder: LastFolder,
}

impl Plan<'_> {
    /// The folders above the place. One that is missing comes back as the snapshot has it, if it
    /// has it under this name.
    fn make_parents(&mut self, snapshot: &Snapshot, base: &RelPath) -> Result<()> {
        let mut missing = Vec::new();
        let (mut here, mut there) = (self.place.path.parent(), base.parent());
        while let Some(path) = here.filter(|path| !path.is_root()) {
            match self.place.home.look(&path)? {
                Some(found) if found.kind == NodeKind::Folder => break,
                Some(_) => {
                    return Err(Error::new(Kind::Forbidden, format!("go into {path}"))
                        .why("something that is not a folder, perhaps a link, is in its place"));
                }
                None => {}
            }
            there = there.filter(|there| there.name() == path.name());
            let known = there.as_ref().map(|there| find_node(&self.reader, snapshot, there));
            let usual = Meta { kind: NodeKind::Folder, mode: 0o755, ..Meta::default() };
            let meta = known.transpose()?.map_or(usual, |node| node.meta);
            there = there.and_then(|there| there.parent());
            here = path.parent();
            missing.push((path, meta));
        }
        for (path, meta) in missing.into_iter().rev() {
            self.make_folder(&path, &meta).within(|| format!("make the folder {path}"))?;
            // It has no time of its own where nothing is known of it.
            if meta.mtime.seconds != 0 {
                self.finish.push((path, meta));
            }
        }
        Ok(())
    }

    fn top(&mut self, node: &Node) -> Result<()> {
        let path = self.place.path.clone();
        if !node.is_folder() {
            return self.entry(node, &path);
        }
        if self.rules.keep_top {
            let there = self.look(&path)?.is_some_and(|one| one.kind == NodeKind::Folder);
            let meta = Meta { kind: NodeKind::Folder, mode: 0o770, ..Meta::default() };
            if !there {
                self.make_folder(&path, &meta)?;
            }
        } else if !path.is_root() && !self.enter(node, &path)? {
            return Ok(());
        }
        self.folder(&node.chunks, &path, &RelPath::root())
    }

    /// Restores the content of one folder; `below` is its path as the selection knows it.
    fn folder(&mut self, chunks: &[ChunkId], path: &RelPath, below: &RelPath) -> Result<()> {
        let nodes = self.reader.tree(chunks).within(|| format!("read the folder {path}"))?;
        if self.rules.exact && self.rules.selection.verdict(below, true) == Verdict::Take {
            self.remove_others(&nodes, path, below)?;
        }
        for node in nodes {
            check_cancelled(self.monitor)?;
            let (inner, inner_below) = (path.join(&node.name)?, below.join(&node.name)?);
            let verdict = self.rules.selection.verdict(&inner_below, node.is_folder());
            if verdict == Verdict::Leave || (self.rules.spared)(&inner) {
                continue;
            }
            if !node.is_folder() {
                self.entry(&node, &inner)?;
                continue;
            }
            self.monitor.stage(Stage::Object(inner.to_string()));
            let entered = match self.enter(&node, &inner) {
                Err(error) if self.ends_all(&error) => return Err(error),
                Err(error) => {
                    self.monitor.warn(error.within(format!("restore {inner} and all in it")));
                    false
                }
                Ok(entered) => entered,
            };
            if entered && let Err(error) = self.folder(&node.chunks, &inner, &inner_below) {
                if self.ends_all(&error) {
                    return Err(error);
                }
                self.monitor.warn(error);
            }
        }
        Ok(())
    }

    /// Makes sure of a folder; says whether it is there, or would be.
    fn enter(&mut self, node: &Node, path: &RelPath) -> Result<bool> {
        self.count_owner(&node.meta);
        let found = self.look(path)?;
        if let Some(found) = found.filter(|found| found.kind == NodeKind::Folder) {
            // What belongs to somebody else keeps what it was given by its owner.
            if found.owner.0 == self.place.person.uid && !self.rules.dry_run {
                self.finish.push((path.clone(), node.meta.clone()));
            }
            self.monitor.count(Counter::Folders, 1);
            return Ok(true);
        }
        if found.is_some() {
            if self.rules.overwrite == Overwrite::Never {
                return Err(Error::new(Kind::Exists, format!("make the folder {path}"))
                    .why("something else is in its place"));
            }
            self.remove(path, found.map_or(NodeKind::File, |one| one.kind), false)?;
        }
        self.book.report.add(change(Done::Created, path, node), 1);
        self.monitor.count(Counter::Folders, 1);
        if self.rules.dry_run {
            return Ok(true);
        }
        self.make_folder(path, &node.meta)?;
        self.finish.push((path.clone(), node.meta.clone()));
        Ok(true)
    }

    /// Makes a folder and waits for it: all that comes next depends on it.
    fn make_folder(&mut self, path: &RelPath, meta: &Meta) -> Result<()> {
        if self.rules.dry_run {
            return Ok(());
        }
        if self.is_ours_to_make(path) {
            self.place.home.make_folder(path)?;
            let person = self.place.person;
            return self.place.home.hand_over_folder(path, (person.uid, person.gid));
        }
        // Until it is finished nobody else looks into it who could not do so later.
        let mode = meta.mode & 0o777;
        self.ask(&Order::Folder { path: path.clone(), mode })
    }

    /// Orders one thing and waits for its end.
    fn ask(&mut self, order: &Order) -> Result<()> {
        self.book.items.push_back(Item::Asked);
        self.send(order)?;
        self.settle()?;
        self.book.asked.take().map_or(Ok(()), Err)
    }

    /// Whether the person may not make this entry and we do: directly in a home that is not his.
    fn is_ours_to_make(&self, path: &RelPath) -> bool {
        let home = self.place.home.look(&RelPath::root());
        path.depth() == 1
            && home.is_ok_and(|home| home.is_some_and(|one| one.owner.0 != self.place.person.uid))
    }

    /// What lies at a path now. On a dry run that is nothing where a folder above would first
    /// have to take the place of something else.
    fn look(&self, path: &RelPath) -> Result<Option<Existing>> {
        match self.place.home.look(path) {
            Err(error) if self.rules.dry_run && error.kind() == Kind::Forbidden => Ok(None),
            found => found,
        }
    }

    /// Restores anything but a folder. Only a failure that concerns everything is an error.
    fn entry(&mut self, node: &Node, path: &RelPath) -> Result<()> {
        let done = match node.meta.kind {
            NodeKind::File => self.file(node, path),
            kind if can_make(kind) => self.special(node, path),
            // A socket is made by whoever listens on it, a device node by root alone.
            _ => return Ok(()),
        };
        match done {
            Err(error) if self.ends_all(&error) => Err(error),
            Err(error) => {
                self.monitor.warn(error.within(format!("restore {path}")));
                Ok(())
            }
            Ok(()) if self.book.is_hopeless() => {
                Err(Error::new(Kind::Disk, format!("restore {path} and what follows"))
                    .why("the disk or the user's quota is full")
                    .hint("free some space there, then run the command again"))
            }
            Ok(()) => Ok(()),
        }
    }

    fn special(&mut self, node: &Node, path: &RelPath) -> Result<()> {
        // Root would make a link of a customer's choice, and Hestia's scripts would follow it.
        if self.is_ours_to_make(path) {
            return Err(Error::new(Kind::Forbidden, format!("make {path}"))
                .why("links and pipes are not made in a home that belongs to root"));
        }
        let existing = self.look(path)?;
        if let Some(existing) = &existing {
            let same = existing.kind == node.meta.kind && self.is_same_link(path, &node.meta);
            if same || self.rules.overwrite == Overwrite::Never {
                self.leave();
                return Ok(());
            }
            if existing.kind == NodeKind::Folder {
                self.make_room(path, Some(existing))?;
            } else {
                self.remove(path, existing.kind, true)?;
            }
        }
        self.count_owner(&node.meta);
        let done = if existing.is_some() { Done::Overwritten } else { Done::Created };
        let change = change(done, path, node);
        if self.rules.dry_run {
            self.book.report.add(change, 1);
            return Ok(());
        }
        self.book.items.push_back(Item::Changed(change));
        self.send(&Order::Special { path: path.clone(), meta: node.meta.clone() })
    }

    fn is_same_link(&self, path: &RelPath, meta: &Meta) -> bool {
        meta.kind != NodeKind::Symlink
            || self.place.home.link_target(path).is_ok_and(|target| target == meta.target)
    }

    fn count_owner(&mut self, meta: &Meta) {
        let his = if meta.user.is_empty() {
            meta.uid == self.place.person.uid
        } else {
            meta.user == self.place.name
        };
        self.book.report.other_owners += u64::from(!his);
    }

    fn send(&mut self, order: &Order) -> Result<()> {
        let sent = match &mut self.deputy {
            Some(deputy) => deputy.order(order, &mut self.book),
            None => Err(Error::new(Kind::Internal, "restore").why("nobody is there to do it")),
        };
        self.lost |= sent.is_err();
        sent
    }

    fn settle(&mut self) -> Result<()> {
        let settled = self.deputy.as_mut().map_or(Ok(()), |one| one.settle(&mut self.book));
        self.lost |= settled.is_err();
        settled
    }

    /// Whether going on makes no sense.
    fn ends_all(&self, error: &Error) -> bool {
        self.lost || self.book.is_hopeless() || matters_to_all(error)
    }

    fn end(&mut self) -> Result<()> {
        if !self.rules.dry_run {
            self.settle()?;
        }
        for (first, path, bytes) in std::mem::take(&mut self.waiting_links) {
            match self.link(&first, &path, bytes) {
                Err(error) if self.ends_all(&error) => return Err(error),
                Err(error) => self.monitor.warn(error),
                Ok(()) => {}
            }
        }
        if self.rules.dry_run {
            return Ok(());
        }
        // Children before parents: setting a time or mode must be the last touch.
        for (path, meta) in std::mem::take(&mut self.finish).into_iter().rev() {
            self.book.items.push_back(Item::Dressed(path.clone()));
            self.send(&Order::Finish { path, meta })?;
        }
        self.ask(&Order::Quit)?;
        // What was made here lies directly in the home.
        if self.place.path.depth() == 1 {
            self.place.home.sync_folder(&RelPath::root())
        } else {
            Ok(())
        }
    }

    fn link(&mut self, first: &RelPath, path: &RelPath, bytes: u64) -> Result<()> {
        // What is there must not go for a link to something that is not back.
        if self.book.failed.contains(first) || self.is_ours_to_make(path) {
            return Err(Error::new(Kind::Partial, format!("restore {path}"))
                .why(format!("it is another name of {first}, which is not back or not here")));
        }
        let existing = self.look(path)?;
        if let Some(existing) = &existing {
            let linked = self.look(first)?.is_some_and(|one| one.inode == existing.inode);
            if linked || self.rules.overwrite == Overwrite::Never {
                self.leave();
                return Ok(());
            }
            if existing.kind == NodeKind::Folder {
                self.make_room(path, Some(existing))?;
            } else {
                self.remove(path, existing.kind, true)?;
            }
        }
        let done = if existing.is_some() { Done::Overwritten } else { Done::Created };
        let change = Change { done, path: path.clone(), kind: NodeKind::File, bytes };
        if self.rules.dry_run {
            self.book.report.add(change, 1);
            return Ok(());
        }
        self.book.items.push_back(Item::Changed(change));
        self.send(&Order::Link { first: first.clone(), path: path.clone() })
    }
}

fn change(done: Done, path: &RelPath, node: &Node) -> Change {
    let bytes = if node.meta.kind == NodeKind::File { node.meta.size } else { 0 };
    Change { done, path: path.clone(), kind: node.meta.kind, bytes }
}
