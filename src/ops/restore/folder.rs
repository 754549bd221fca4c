// SPDX-License-Identifier: MIT
//! Restoring into a folder: walk the snapshot, decide per entry, fetch in batches, then links and
//! folder attributes, then everything to the disk.

use super::fetch::{Fetch, finish, write_empty};
use super::plan::{FilePlan, Part, Place, Way, places, reads};
use super::{Overwrite, RestoreOptions, RestoreReport, find_node};
use crate::base::monitor::{Counts, Scoped, Stage, check_cancelled};
use crate::base::{ChunkId, Counter, Error, Kind, Monitor, RelPath, Result, Within, limits, units};
use crate::format::tree::Meta;
use crate::format::{Node, NodeKind, Snapshot};
use crate::repo::{IndexedRepository, Reader};
use crate::tree::dir::{Existing, Target};
use crate::tree::select::Verdict;
use crate::tree::walk::{data_extents, read_full};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Restores what lies at `base` in the snapshot into `target`: the content of a folder, or one
/// file under its own name. Single failures are warnings; the report counts them.
pub fn to_folder(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    base: &RelPath,
    options: &RestoreOptions,
    target: &Path,
    monitor: &dyn Monitor,
) -> Result<RestoreReport> {
    let scope = Scoped::new(monitor);
    let reader = Reader::new(repository);
    let node = find_node(&reader, snapshot, base)?;
    scope.stage(Stage::Step {
        name: "restoring",
        total: Some((Counter::BytesRestored, snapshot.totals.bytes)),
    });
    let mut restore = Restore {
        repository,
        reader,
        options,
        target: if options.dry_run {
            Target::open_to_look(target, options.owners)?
        } else {
            Target::open(target, options.owners)?
        },
        monitor: &scope,
        files: Vec::new(),
        parts: Vec::new(),
        folders: Vec::new(),
        entered: Vec::new(),
        links: HashMap::new(),
        waiting_links: Vec::new(),
        verify: Vec::new(),
    };
    if node.is_folder() {
        restore.folder(&node.chunks, &RelPath::root())?;
    } else {
        restore.entry(node, &RelPath::root(), Verdict::Take)?;
    }
    restore.end()?;
    let warnings = scope.warnings();
    let counts = Counts::default();
    counts.add_all(&scope.counts);
    Ok(RestoreReport { counts, warnings })
}

struct Restore<'a> {
    repository: &'a IndexedRepository,
    reader: Reader<'a>,
    options: &'a RestoreOptions,
    target: Target,
    monitor: &'a Scoped<'a>,
    /// The batch being planned.
    files: Vec<FilePlan>,
    parts: Vec<Part>,
    /// Folders whose attributes are set at the end, parents first, with their device and inode.
    folders: Vec<(RelPath, Meta, (u64, u64))>,
    /// Folders on the way down that only lead to what is meant, and whether they were made.
    entered: Vec<(RelPath, Meta, bool)>,
    /// The first path restored of each file with several names.
    links: HashMap<(u64, u64), RelPath>,
    /// Further names: (first path, this path).
    waiting_links: Vec<(RelPath, RelPath)>,
    /// Files to be read back.
    verify: Vec<(RelPath, Node)>,
}

impl Restore<'_> {
    /// Restores the entries of one folder.
    fn folder(&mut self, chunks: &[ChunkId], path: &RelPath) -> Result<()> {
        let nodes = self.reader.tree(chunks).within(|| format!("read the folder {path}"))?;
        if self.options.delete && self.options.selection.verdict(path, true) == Verdict::Take {
            self.remove_others(&nodes, path);
        }
        for node in nodes {
            check_cancelled(self.monitor)?;
            let below = path.join(&node.name)?;
            let verdict = self.options.selection.verdict(&below, node.is_folder());
            if verdict != Verdict::Leave {
                self.entry(node, path, verdict)?;
            }
        }
        Ok(())
    }

    /// Restores one entry into the folder `above`. Only a failure that concerns everything is an
    /// error.
    fn entry(&mut self, node: Node, above: &RelPath, verdict: Verdict) -> Result<()> {
        let name = node.name.clone();
        let path = if name.is_empty() { above.clone() } else { above.join(&name)? };
        if verdict == Verdict::Take
            && let Err(error) = self.make_entered()
        {
            self.monitor.warn(error.within(format!("restore {path}")));
            return Ok(());
        }
        let result = match node.meta.kind {
            NodeKind::Folder => return self.enter(node, &path, verdict),
            NodeKind::File => self.file(node, &path),
            NodeKind::Socket => Ok(()),
            _ => self.special(&node, &path),
        };
        match result {
            Err(error) if matters_to_all(&error) => Err(error),
            Err(error) => {
                self.monitor.warn(error.within(format!("restore {path}")));
                Ok(())
            }
            Ok(()) if self.files.len() >= limits::RESTORE_BATCH_FILES => self.run_batch(),
            Ok(()) => Ok(()),
        }
    }

    fn enter(&mut self, node: Node, path: &RelPath, verdict: Verdict) -> Result<()> {
        self.monitor.stage(Stage::Object(path.to_string()));
        if verdict == Verdict::Enter {
            // Made when something in it is meant, or never.
            self.entered.push((path.clone(), node.meta, false));
        } else {
            match self.make_folder(path, verdict) {
                Ok(_) if self.options.dry_run => {}
                Ok((_, inode)) => self.folders.push((path.clone(), node.meta, inode)),
                Err(error) => {
                    self.monitor.warn(error.within(format!("restore {path} and all in it")));
                    return Ok(());
                }
            }
            self.monitor.count(Counter::Folders, 1);
        }
        let done = self.folder(&node.chunks, path);
        if verdict == Verdict::Enter {
            self.entered.pop();
        }
        match done {
            Err(error) if !matters_to_all(&error) => {
                self.monitor.warn(error);
                Ok(())
            }
            done => done,
        }
    }

    /// Makes the folders that lead to what is meant. One that is there stays as it is.
    fn make_entered(&mut self) -> Result<()> {
        let mut entered = std::mem::take(&mut self.entered);
        let mut result = Ok(());
        for (path, meta, made) in entered.iter_mut().filter(|(_, _, made)| !made) {
            match self.make_folder(path, Verdict::Enter) {
                Ok((true, inode)) => self.folders.push((path.clone(), meta.clone(), inode)),
                Ok((false, _)) => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            *made = true;
        }
        self.entered = entered;
        result
    }

    /// Makes sure of a folder; says whether it is new, and its identity.
    fn make_folder(&self, path: &RelPath, verdict: Verdict) -> Result<(bool, (u64, u64))> {
        let in_the_way = self.look(path)?.is_some_and(|one| one.kind != NodeKind::Folder);
        if in_the_way && (self.options.overwrite == Overwrite::Never || verdict == Verdict::Enter) {
            return Err(Error::new(Kind::Exists, format!("make the folder {path}"))
                .why("something else is in its place"));
        }
        if self.options.dry_run {
            return Ok((false, (0, 0)));
        }
        if in_the_way {
            self.target.remove(path)?;
        }
        let made = self.target.make_folder(path)?;
        Ok((made, self.target.identity(path)?))
    }

    /// What lies at a path now. On a dry run that is nothing where a folder above would first
    /// have to take the place of something else.
    fn look(&self, path: &RelPath) -> Result<Option<Existing>> {
        match self.target.look(path) {
            Err(error) if self.options.dry_run && error.kind() == Kind::Forbidden => Ok(None),
            found => found,
        }
    }

    fn file(&mut self, node: Node, path: &RelPath) -> Result<()> {
        let existing = self.look(path)?;
        let keep = existing.is_some_and(|existing| !self.may_overwrite(&existing, &node.meta));
        let taken_to_be_right = keep && self.options.overwrite == Overwrite::IfChanged;
        if let Some(key) = node.meta.hard_link()
            && (!keep || taken_to_be_right)
        {
            // Only a name whose content will be the snapshot's may lend it to others.
            if let Some(first) = self.links.get(&key) {
                self.waiting_links.push((first.clone(), path.clone()));
                return Ok(());
            }
            self.links.insert(key, path.clone());
        }
        if keep {
            self.monitor.count(Counter::FilesUnchanged, 1);
            return Ok(());
        }
        let places = places(&node, &self.reader.spans_of(&node)?)?;
        if let Some(existing) = existing
            && self.is_right_already(path, &existing, &node, &places)
        {
            self.monitor.count(Counter::FilesUnchanged, 1);
            return Ok(());
        }
        let (way, keep) = self.way_for(path, existing.as_ref(), &node, &places)?;
        let missing: Vec<_> = places.iter().filter(|place| !keep.contains(&place.to)).collect();
        if matches!(way, Way::InPlace(_))
            && missing.is_empty()
            && existing.map(|one| one.size) == Some(node.meta.size)
        {
            return self.content_is_right(node, path, way);
        }
        self.refuse_full_folder(path, existing.as_ref())?;
        if self.options.dry_run {
            self.monitor.count(Counter::FilesRestored, 1);
            let bytes = missing.iter().map(|place| u64::from(place.span.length)).sum();
            self.monitor.count(Counter::BytesRestored, bytes);
            return Ok(());
        }
        if existing.is_some_and(|one| one.kind == NodeKind::Folder) {
            self.give_way(path)?;
        }
        if self.options.verify {
            self.verify.push((path.clone(), node.clone()));
        }
        self.plan_file(node, path, way, &missing)
    }

    /// A folder with something in it gives way to a file only where removing was asked for.
    fn refuse_full_folder(&self, path: &RelPath, existing: Option<&Existing>) -> Result<()> {
        let is_folder = existing.is_some_and(|one| one.kind == NodeKind::Folder);
        if !is_folder || self.options.delete || self.target.names(path)?.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Exists, format!("put {path} in place"))
            .why("a folder that is not empty is there")
            .hint("--delete removes what the snapshot does not have"))
    }

    fn plan_file(
        &mut self,
        node: Node,
        path: &RelPath,
        way: Way,
        missing: &[&Place],
    ) -> Result<()> {
        let full = |_| Error::new(Kind::Limit, "plan the restore").why("it has too many parts");
        let file = u32::try_from(self.files.len()).map_err(full)?;
        let parts = u32::try_from(missing.len()).map_err(full)?;
        let plan = FilePlan::new(path.clone(), node, way, parts);
        if missing.is_empty() {
            write_empty(&self.target, &plan, self.monitor)?;
            self.monitor.count(Counter::FilesRestored, 1);
            return Ok(());
        }
        for Place { span, to } in missing {
            let place = self.repository.index().find(&span.id)?.ok_or_else(|| {
                Error::new(Kind::Damaged, "plan the restore").why("a chunk is missing")
            })?;
            self.parts.push(Part {
                id: span.id,
                blob: place.blob,
                skip: span.from,
                from: place.offset.saturating_add(span.from),
                length: span.length,
                file,
                to: *to,
            });
        }
        self.files.push(plan);
        Ok(())
    }

    fn may_overwrite(&self, existing: &Existing, wanted: &Meta) -> bool {
        self.options.overwrite.allows(existing, wanted)
    }

    /// How the file gets its content, and at which places an existing file has it already.
    fn way_for(
        &self,
        path: &RelPath,
        existing: Option<&Existing>,
        node: &Node,
        places: &[Place],
    ) -> Result<(Way, HashSet<u64>)> {
        let Some(existing) = existing else { return Ok((Way::Create, HashSet::new())) };
        if existing.kind == NodeKind::Folder {
            return Ok((Way::Create, HashSet::new()));
        }
        let beside = || -> Result<Way> {
            let mut random = [0; 8];
            self.repository.world().fill_random(&mut random)?;
            let digits = u64::from_le_bytes(random);
            Ok(Way::Replace(format!(".ghostsnap-{digits:016x}").into_bytes()))
        };
        if existing.kind != NodeKind::File || existing.links != 1 || !node.extents.is_empty() {
            return Ok((beside()?, HashSet::new()));
        }
        let Ok(file) = self.target.open_same(path, existing.inode) else {
            return Ok((beside()?, HashSet::new()));
        };
        let keep = matching(&self.reader, &file, places);
        let all_right = keep.len() == places.len() && existing.size == node.meta.size;
        // A small file is replaced in one step; a large one keeps what is right.
        if all_right || places.len() > 1 {
            Ok((Way::InPlace(existing.inode), keep))
        } else {
            Ok((beside()?, HashSet::new()))
        }
    }

    /// A file with several names or with holes is never written in place; it is left alone if it is
    /// right in everything.
    fn is_right_already(
        &self,
        path: &RelPath,
        existing: &Existing,
        node: &Node,
        places: &[Place],
    ) -> bool {
        let in_question = existing.links > 1 || !node.extents.is_empty();
        if !in_question
            || existing.kind != NodeKind::File
            || existing.size != node.meta.size
            || !self.target.looks_right(existing, &node.meta)
        {
            return false;
        }
        let Ok(file) = self.target.open_to_read(path) else { return false };
        let same_holes = node.extents.is_empty()
            || data_extents(&file, existing.size).is_ok_and(|extents| extents == node.extents);
        same_holes && matching(&self.reader, &file, places).len() == places.len()
    }

    fn content_is_right(&mut self, node: Node, path: &RelPath, way: Way) -> Result<()> {
        self.monitor.count(Counter::FilesUnchanged, 1);
        if self.options.dry_run {
            return Ok(());
        }
        let Way::InPlace(inode) = way else { return Ok(()) };
        let file = self.target.open_same(path, inode)?;
        finish(&self.target, &FilePlan::new(path.clone(), node, way, 0), &file)
    }

    fn special(&mut self, node: &Node, path: &RelPath) -> Result<()> {
        if let Some(existing) = self.look(path)? {
            if !self.may_overwrite(&existing, &node.meta)
                && self.options.overwrite != Overwrite::IfChanged
            {
                self.monitor.count(Counter::FilesUnchanged, 1);
                return Ok(());
            }
            if self.target.is_right_special(path, &existing, &node.meta) {
                self.monitor.count(Counter::FilesUnchanged, 1);
                return Ok(());
            }
            self.refuse_full_folder(path, Some(&existing))?;
            if !self.options.dry_run {
                self.replace(path, &existing)?;
            }
        }
        self.monitor.count(Counter::FilesRestored, 1);
        if self.options.dry_run { Ok(()) } else { self.target.make_special(path, &node.meta) }
    }

    /// Removes what the snapshot's folder does not hold.
    fn remove_others(&self, nodes: &[Node], path: &RelPath) {
        match self.is_unknown_mount(nodes, path) {
            Ok(false) => {}
            Ok(true) => return self.monitor.warn(left_mounted(path)),
            Err(error) => return self.monitor.warn(error),
        }
        let names = match self.target.names(path) {
            // A folder that is not there has nothing to remove.
            Err(error) if error.kind() == Kind::NotFound => return,
            Err(error) if self.options.dry_run && error.kind() == Kind::Forbidden => return,
            Err(error) => return self.monitor.warn(error),
            Ok(names) => names,
        };
        for name in names {
            if nodes.binary_search_by(|node| node.name.cmp(&name)).is_ok() {
                continue;
            }
            let removed = path.join(&name).and_then(|below| self.remove_other(&below));
            match removed {
                Ok((count, _)) => self.monitor.count(Counter::FilesRemoved, count),
                Err(error) => self.monitor.warn(error),
            }
        }
    }

    /// Whether something is mounted at a folder of which the snapshot holds nothing: a backup that
    /// stays on its file system leaves such a folder empty.
    fn is_unknown_mount(&self, nodes: &[Node], path: &RelPath) -> Result<bool> {
        if !nodes.is_empty() {
            return Ok(false);
        }
        match self.target.is_mount(path) {
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => Ok(false),
            found => found,
        }
    }

    /// Removes what something else comes in the place of.
    fn replace(&self, path: &RelPath, existing: &Existing) -> Result<()> {
        if existing.kind == NodeKind::Folder {
            return self.give_way(path);
        }
        self.target.remove(path).map(drop)
    }

    /// Removes a folder in whose place something else comes. What is left out or mounted in it
    /// stays, and then it stays too.
    fn give_way(&self, path: &RelPath) -> Result<()> {
        let mut empty = !self.target.is_mount(path)?;
        for name in self.target.names(path)? {
            if empty {
                let (count, gone) = self.remove_other(&path.join(&name)?)?;
                self.monitor.count(Counter::FilesRemoved, count);
                empty = gone;
            }
        }
        if !empty {
            return Err(Error::new(Kind::Exists, format!("put something else in place of {path}"))
                .why("in the folder that is there now is what is not to be removed"));
        }
        self.target.remove_empty_folder(path)
    }

    /// Removes an entry that the snapshot lacks, with all in it but what is left out at any depth;
    /// says how many went and whether the entry itself did.
    fn remove_other(&self, path: &RelPath) -> Result<(u64, bool)> {
        if self.options.selection.verdict(path, false) == Verdict::Leave {
            return Ok((0, false));
        }
        let Some(existing) = self.target.look(path)? else { return Ok((0, true)) };
        if existing.kind == NodeKind::Folder && self.target.is_mount(path)? {
            self.monitor.warn(left_mounted(path));
            return Ok((0, false));
        }
        let (mut removed, mut empty) = (0, true);
        let in_parts = self.options.dry_run || !self.options.selection.is_all();
        if existing.kind == NodeKind::Folder && in_parts && path.depth() < limits::TREE_DEPTH_MAX {
            for name in self.target.names(path)? {
                let (count, gone) = self.remove_other(&path.join(&name)?)?;
                removed += count;
                empty &= gone;
            }
        }
        if empty {
            removed += if self.options.dry_run { 1 } else { self.target.remove(path)? };
        }
        Ok((removed, empty))
    }

    fn run_batch(&mut self) -> Result<()> {
        let files = std::mem::take(&mut self.files);
        let mut parts = std::mem::take(&mut self.parts);
        let longest = if self.repository.backend().properties().is_far {
            limits::COALESCE_FAR_READ_BYTES
        } else {
            limits::COALESCE_READ_BYTES
        };
        let reads = reads(self.repository.index(), &mut parts, longest)?;
        let cores = self.repository.world().cores();
        let workers = if self.options.workers == 0 { cores } else { self.options.workers };
        Fetch::new(self.repository, &self.target, self.monitor, &files, &parts, &reads)
            .run(workers.min(limits::WORKERS_MAX))
    }

    fn end(&mut self) -> Result<()> {
        self.run_batch()?;
        for (first, path) in std::mem::take(&mut self.waiting_links) {
            if let Err(error) = self.link(&first, &path) {
                self.monitor.warn(error);
            }
        }
        // Children before parents: setting a time or mode must be the last touch.
        for (path, meta, inode) in self.folders.iter().rev() {
            if let Err(error) = self.target.finish_folder(path, meta, *inode) {
                self.monitor.warn(error);
            }
        }
        if self.options.dry_run {
            return Ok(());
        }
        for (path, node) in std::mem::take(&mut self.verify) {
            if let Err(error) = self.verify(&path, &node) {
                self.monitor.warn(error.within(format!("verify {path}")));
            }
        }
        self.target.sync()
    }

    fn link(&self, first: &RelPath, path: &RelPath) -> Result<()> {
        if self.options.dry_run {
            self.monitor.count(Counter::FilesRestored, 1);
            return Ok(());
        }
        if let Some(existing) = self.target.look(path)? {
            let linked = self.target.look(first)?.is_some_and(|one| one.inode == existing.inode);
            if linked || self.options.overwrite == Overwrite::Never {
                self.monitor.count(Counter::FilesUnchanged, 1);
                return Ok(());
            }
            self.refuse_full_folder(path, Some(&existing))?;
            self.replace(path, &existing)?;
        }
        self.target.link(first, path)?;
        self.monitor.count(Counter::FilesRestored, 1);
        Ok(())
    }

    /// Reads a restored file back and compares every chunk with its name.
    fn verify(&self, path: &RelPath, node: &Node) -> Result<()> {
        let damaged = |why: &str| Error::new(Kind::Damaged, "read it back").why(why.to_owned());
        let existing = self.target.look(path)?.ok_or_else(|| damaged("it is missing"))?;
        if existing.size != node.meta.size {
            return Err(damaged("its size is wrong"));
        }
        let mut file = self.target.open_to_read(path)?;
        let mut buffer = Vec::new();
        for Place { span, to } in places(node, &self.reader.spans_of(node)?)? {
            buffer.resize(units::length(u64::from(span.length)), 0);
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(to))
                .and_then(|_| read_full(&mut file, &mut buffer))
                .map_err(|error| crate::base::error::io_error(error, "read it back"))?;
            if !self.reader.holds(&span, &buffer)? {
                return Err(damaged("its content differs from the snapshot"));
            }
        }
        Ok(())
    }
}

/// The places of an existing file that already hold the right chunk.
pub(super) fn matching(reader: &Reader<'_>, file: &File, places: &[Place]) -> HashSet<u64> {
    let mut buffer = Vec::new();
    let mut right = HashSet::new();
    for Place { span, to } in places {
        buffer.resize(units::length(u64::from(span.length)), 0);
        let read = file.read_exact_at(&mut buffer, *to);
        if read.is_ok() && reader.holds(span, &buffer).unwrap_or(false) {
            right.insert(*to);
        }
    }
    right
}

/// Whether going on makes no sense: the store is gone, or somebody said stop.
pub(super) fn matters_to_all(error: &Error) -> bool {
    matches!(error.kind(), Kind::Cancelled | Kind::Internal | Kind::Newer | Kind::Connect)
}

fn left_mounted(path: &RelPath) -> Error {
    Error::new(Kind::Partial, format!("remove what the snapshot lacks in {path}"))
        .why("another file system is mounted there")
}
