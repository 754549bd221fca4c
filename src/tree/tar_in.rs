// SPDX-License-Identifier: MIT
//! A tar stream as a source. It is read once, from front to back; nothing is unpacked to a disk.
//! Names are foreign: a member that would leave the tree, comes twice or out of order is an error,
//! because leaving it out could be what its author wants.

use super::source::{Content, Entry, SIZE_UNKNOWN, Source};
use super::tar_member::{Member, Members, foreign};
use crate::base::{Counter, Error, Kind, Monitor, RelPath, Result, limits};
use crate::format::tree::{Meta, NodeKind};
use std::collections::{HashSet, VecDeque};
use std::io::{self, Read};

/// The entries of a plain (not compressed) tar stream.
///
/// The root and folders that the archive does not name are made up: mode 0755, owner root, 1970.
/// A hard link becomes [`Content::SameAs`]. Device nodes are reported and left out. Sparse members
/// and archives in several volumes are refused.
#[derive(Debug)]
pub struct TarSource<R> {
    members: Members<R>,
    order: Order,
    /// Folders made up for the member in hand, then that member.
    waiting: VecDeque<Head>,
}

/// An entry without its content.
#[derive(Debug)]
pub(crate) struct Head {
    pub path: RelPath,
    pub meta: Meta,
    pub body: Body,
}

/// What is in an entry.
#[derive(Debug)]
pub(crate) enum Body {
    Nothing,
    /// The bytes that [`TarSource::content`] yields until the next head is asked for.
    Stream,
    SameAs(RelPath),
}

impl<R: Read> TarSource<R> {
    /// Reads the stream from its first byte. Small reads are frequent: hand in a buffered reader.
    pub fn new(reader: R) -> Self {
        Self::labelled(reader, "the tar stream".to_owned())
    }

    /// The same with the words by which errors name the stream.
    pub(crate) fn labelled(reader: R, label: String) -> Self {
        Self {
            members: Members::new(reader, label),
            order: Order::default(),
            waiting: VecDeque::new(),
        }
    }

    /// The next entry without its content.
    pub(crate) fn next_head(&mut self, monitor: &dyn Monitor) -> Result<Option<Head>> {
        loop {
            if let Some(head) = self.waiting.pop_front() {
                return Ok(Some(head));
            }
            let Some(member) = self.members.next()? else {
                if self.order.is_empty() {
                    self.order.enter(&RelPath::root(), true)?;
                    return Ok(Some(Head::folder(RelPath::root())));
                }
                return Ok(None);
            };
            self.take(member, monitor)?;
        }
    }

    /// The content of the last head, if its body is a stream.
    pub(crate) fn content(&mut self) -> Box<dyn Read + '_> {
        Box::new(MemberContent(&mut self.members))
    }

    fn take(&mut self, member: Member, monitor: &dyn Monitor) -> Result<()> {
        let lost = member.lost;
        let (path, head) = match head_of(member) {
            Ok((path, head)) => (path, head),
            Err(error) => return Err(self.members.wrong(error.reasons())),
        };
        let folder = head.as_ref().is_some_and(|head| head.meta.kind == NodeKind::Folder);
        let missing = self
            .order
            .enter(&path, folder)
            .map_err(|error| self.members.wrong(error.reasons()).with_kind(error.kind()))?;
        self.waiting.extend(missing.into_iter().map(Head::folder));
        let warn = |why: &str| {
            let what = format!("keep all of '{path}' from {}", self.members.label());
            monitor.warn(Error::new(Kind::Partial, what).why(why));
        };
        if let Some(lost) = lost {
            warn(lost);
        }
        if let Some(head) = head {
            self.waiting.push_back(head);
        } else {
            monitor.count(Counter::FilesSkipped, 1);
            warn("it is a device node and is left out");
        }
        Ok(())
    }
}

impl<R: Read> Source for TarSource<R> {
    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        let Some(Head { path, meta, body }) = self.next_head(monitor)? else { return Ok(None) };
        let content = match body {
            Body::Nothing => Content::Nothing,
            Body::SameAs(path) => Content::SameAs(path),
            Body::Stream => Content::Stream(self.content()),
        };
        Ok(Some(Entry { path, meta, content }))
    }
}

impl Head {
    /// A folder that the archive does not name itself.
    pub fn folder(path: RelPath) -> Self {
        let meta = Meta { kind: NodeKind::Folder, mode: 0o755, links: 1, ..Meta::default() };
        Self { path, meta, body: Body::Nothing }
    }
}

/// Where a member belongs and what it becomes; no head for a device node.
pub(crate) fn head_of(member: Member) -> Result<(RelPath, Option<Head>)> {
    let path = member_path(&member.name)?;
    let Member { mut meta, same_as, .. } = member;
    let wrong = |why| Error::new(Kind::Parsing, format!("take '{path}'")).why(why);
    if path.is_root() && meta.kind != NodeKind::Folder {
        return Err(wrong("the root is not a folder"));
    }
    let body = match (meta.kind, same_as) {
        (_, Some(target)) => {
            let target = member_path(&target)?;
            if target.is_root() || target.contains(&path) || path.contains(&target) {
                return Err(wrong("it is a hard link to itself or to a folder"));
            }
            meta.size = SIZE_UNKNOWN;
            Body::SameAs(target)
        }
        (NodeKind::File, None) => Body::Stream,
        (NodeKind::Symlink, None) => {
            let long = meta.target.len() > limits::LINK_TARGET_BYTES_MAX;
            if long || meta.target.is_empty() || meta.target.contains(&0) {
                return Err(wrong("no symbolic link can point there"));
            }
            Body::Nothing
        }
        (NodeKind::Folder | NodeKind::Fifo, None) => Body::Nothing,
        (NodeKind::CharDevice | NodeKind::BlockDevice | NodeKind::Socket, None) => {
            return Ok((path, None));
        }
    };
    Ok((path.clone(), Some(Head { path, meta, body })))
}

fn member_path(name: &[u8]) -> Result<RelPath> {
    if name.starts_with(b"/") {
        return Err(Error::new(Kind::Parsing, "take a member").why("its name is absolute"));
    }
    if name.is_empty() {
        return Err(Error::new(Kind::Parsing, "take a member").why("it has no name"));
    }
    RelPath::parse(name).map_err(|error| error.with_kind(Kind::Parsing))
}

/// The content of the member in hand.
pub(crate) struct MemberContent<'m, R>(pub &'m mut Members<R>);

impl<R: Read> Read for MemberContent<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// Watches that paths come in the order a source promises. Remembers the names of the folders that
/// are open, not of the whole tree.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// The folders from the root down to the one in hand.
    open: Vec<Level>,
    /// Names remembered in all of them.
    names: usize,
}

#[derive(Debug)]
struct Level {
    name: Vec<u8>,
    /// Hashes of the names that came in this folder.
    seen: HashSet<[u8; 16]>,
}

impl Order {
    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes note of a path and returns the folders above it that did not come yet, outermost
    /// first. Fails if the path came before, or lies in a folder that was left, or in none.
    pub fn enter(&mut self, path: &RelPath, is_folder: bool) -> Result<Vec<RelPath>> {
        let mut missing = Vec::new();
        if self.open.is_empty() {
            self.open.push(Level { name: Vec::new(), seen: HashSet::new() });
            if path.is_root() {
                return Ok(missing);
            }
            missing.push(RelPath::root());
        }
        let depth = path.depth();
        if depth > limits::TREE_DEPTH_MAX {
            let why = format!("it is nested deeper than {} folders", limits::TREE_DEPTH_MAX);
            return Err(Error::new(Kind::Limit, format!("take '{path}'")).why(why));
        }
        let same = path.names().take(depth.saturating_sub(1));
        let same =
            same.zip(self.open.iter().skip(1)).take_while(|(name, level)| *name == level.name);
        let same = same.count();
        for level in self.open.drain(same + 1..) {
            self.names -= level.seen.len();
        }
        let mut above = RelPath::root();
        for (place, name) in path.names().enumerate() {
            above.push(name)?;
            if place < same {
                continue;
            }
            let last = place + 1 == depth;
            self.note(name, path, last)?;
            if !last {
                missing.push(above.clone());
            }
            if !last || is_folder {
                self.open.push(Level { name: name.to_vec(), seen: HashSet::new() });
            }
        }
        if path.is_root() { Err(twice(path)) } else { Ok(missing) }
    }

    /// Remembers a name in the folder in hand.
    fn note(&mut self, name: &[u8], path: &RelPath, last: bool) -> Result<()> {
        let hash = blake3::hash(name);
        let Some(hash) = hash.as_bytes().first_chunk::<16>() else { return Ok(()) };
        let new = self.open.last_mut().is_some_and(|level| level.seen.insert(*hash));
        if !new {
            return Err(if last { twice(path) } else { out_of_order(path) });
        }
        self.names += 1;
        if self.names > limits::TAR_NAMES_MAX {
            let why = format!("more than {} names are in one folder", limits::TAR_NAMES_MAX);
            return Err(Error::new(Kind::Limit, format!("take '{path}'")).why(why));
        }
        Ok(())
    }
}

fn twice(path: &RelPath) -> Error {
    Error::new(Kind::Parsing, format!("take '{path}'"))
        .why(format!("'{path}' is in it twice, or after what lies in it"))
}

fn out_of_order(path: &RelPath) -> Error {
    Error::new(Kind::Parsing, format!("take '{path}'")).why(format!(
        "members are not in order: the folder of '{path}' was left before, or is no folder"
    ))
}

/// Reads on when a signal came in between; other errors become ours.
pub(crate) fn read_some(
    reader: &mut dyn Read,
    buffer: &mut [u8],
    what: impl Fn() -> String,
) -> Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map_err(|cause| foreign(cause, what())),
        }
    }
}
