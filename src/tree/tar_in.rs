// SPDX-License-Identifier: MIT
//! A tar stream as a source. It is read once, from front to back; nothing is unpacked to a disk.
//! Names are foreign: a member that would leave the tree, comes twice or out of order is an error,
//! because leaving it out could be what its author wants.

use super::source::{Content, Entry, SIZE_UNKNOWN, Source};
use super::tar_member::{Member, Members, foreign};
use crate::base::path::{check_name, display_bytes};
use crate::base::{Counter, Error, Kind, Monitor, RelPath, Result, limits};
use crate::format::tree::{Meta, NodeKind};
use std::collections::{HashSet, VecDeque};
use std::io::{self, Read};

/// The entries of a plain (not compressed) tar stream.
///
/// The root and folders that the archive does not name are made up: mode 0755, owner root, 1970.
/// A hard link becomes [`Content::SameAs`]. Device nodes, and what lies deeper than a tree can be,
/// are reported and left out. Sparse members and archives in several volumes are refused.
#[derive(Debug)]
pub struct TarSource<R> {
    members: Members<R>,
    order: Order,
    reach: Reach,
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
        Self::labelled(reader, "the tar stream".to_owned(), &RelPath::root())
    }

    /// The same with the words by which errors name the stream, for entries that will lie below
    /// `base` in their tree.
    pub(crate) fn labelled(reader: R, label: String, base: &RelPath) -> Self {
        Self {
            members: Members::new(reader, label),
            order: Order::default(),
            reach: Reach::below(base),
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
        if self.reach.leaves_out(&member, self.members.label(), monitor) {
            monitor.count(Counter::FilesSkipped, 1);
            return Ok(());
        }
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
    fn names_earlier_entries(&self) -> Option<fn(&RelPath) -> bool> {
        Some(RelPath::is_root)
    }

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

/// How far down members may lie. What a customer nests deeper than a tree can be must not cost the
/// rest of the backup: that subtree is left out, with one warning.
#[derive(Debug)]
struct Reach {
    depth: usize,
    bytes: usize,
    /// The beginning of the names that were left out last.
    left: Option<Vec<u8>>,
}

impl Reach {
    fn below(base: &RelPath) -> Self {
        Self {
            depth: limits::TREE_DEPTH_MAX.saturating_sub(base.depth()),
            bytes: limits::PATH_BYTES_MAX.saturating_sub(base.as_bytes().len() + 2),
            left: None,
        }
    }

    /// Whether the member lies too deep, or is a hard link to what does. Names that no path may
    /// have are for others to refuse.
    fn leaves_out(&mut self, member: &Member, label: &str, monitor: &dyn Monitor) -> bool {
        let (name, why) = if let Some(beginning) = self.beyond(&member.name) {
            if self.left.as_deref() == Some(beginning) {
                return true;
            }
            self.left = Some(beginning.to_vec());
            (beginning, "it and all in it are nested too deep")
        } else if member.same_as.as_deref().is_some_and(|target| self.beyond(target).is_some()) {
            (member.name.as_slice(), "it is a hard link to what is nested too deep")
        } else {
            return false;
        };
        let shown = display_bytes(name.get(..SHOWN_BYTES).unwrap_or(name));
        let dots = if name.len() > SHOWN_BYTES { "..." } else { "" };
        let what = format!("keep '{shown}{dots}' from {label}");
        monitor.warn(Error::new(Kind::Partial, what).why(format!(
            "{why}: a backup goes down {} folders and {} bytes of path",
            limits::TREE_DEPTH_MAX,
            limits::PATH_BYTES_MAX
        )));
        true
    }

    /// The beginning of a name, up to the first place that is out of reach.
    fn beyond<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let (mut depth, mut length, mut end) = (0, 0, 0);
        for part in name.split(|byte| *byte == b'/') {
            end += part.len();
            if !part.is_empty() && part != b"." {
                check_name(part).ok()?;
                depth += 1;
                length += part.len() + 1;
                if depth > self.depth || length > self.bytes {
                    return name.get(..end);
                }
            }
            end += 1;
        }
        None
    }
}

/// Bytes of a name that is too long to be shown whole.
const SHOWN_BYTES: usize = 120;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::base::monitor::Collect;
    use crate::base::units::bytes;
    use crate::tree::tar_out::TarWriter;

    const SIZE_MAX: usize = 1 << 20;

    /// Everything a source yields, one line an entry; a failure as its last line.
    fn listed(stream: &[u8]) -> (Vec<String>, Collect) {
        let monitor = Collect::default();
        let mut source = TarSource::new(stream);
        let mut lines = Vec::new();
        loop {
            let entry = match source.next_entry(&monitor) {
                Ok(Some(entry)) => entry,
                Ok(None) => return (lines, monitor),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Parsing, "{error}");
                    lines.push(error.one_line());
                    return (lines, monitor);
                }
            };
            let what = match entry.content {
                Content::Nothing => String::new(),
                Content::File(_) => unreachable!(),
                Content::SameAs(path) => format!(" == {path}"),
                Content::Stream(mut content) | Content::Rows(mut content) => {
                    let mut text = Vec::new();
                    match content.read_to_end(&mut text) {
                        Ok(_) => assert_eq!(bytes(text.len()), entry.meta.size),
                        Err(error) => text = error.to_string().into_bytes(),
                    }
                    format!(" '{}'", String::from_utf8_lossy(&text))
                }
            };
            let target = String::from_utf8_lossy(&entry.meta.target).into_owned();
            let kind = entry.meta.kind.word();
            lines.push(format!("{kind} {:o} {} {target}{what}", entry.meta.mode, entry.path));
        }
    }

    /// A raw member; the builder would refuse what we want to try.
    fn raw(flag: u8, name: &[u8], link: &[u8], content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.as_old_mut().linkflag = [flag];
        header.set_mode(0o640);
        header.set_uid(1);
        header.set_gid(2);
        header.set_mtime(3);
        header.set_size(bytes(content.len()));
        header.set_cksum();
        let mut block = header.as_bytes().to_vec();
        block.extend_from_slice(content);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    }

    fn archive(members: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = members.concat();
        stream.resize(stream.len() + 1024, 0);
        stream
    }

    fn file(name: &str) -> Vec<u8> {
        raw(b'0', name.as_bytes(), b"", b"x")
    }

    fn folder(name: &str) -> Vec<u8> {
        raw(b'5', name.as_bytes(), b"", b"")
    }

    fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let whole =
                (rest..rest + 9).find(|whole| rest + whole.to_string().len() == *whole).unwrap();
            text.extend_from_slice(format!("{whole} {key}=").as_bytes());
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        raw(b'x', b"pax", b"", &text)
    }

    fn failure(stream: &[u8]) -> String {
        let (lines, _) = listed(stream);
        let last = lines.last().unwrap().clone();
        assert!(last.starts_with("cannot "), "no failure: {lines:?}");
        last
    }

    #[test]
    fn members_come_with_their_root_and_parents() {
        let (lines, _) = listed(&archive(&[
            file("a/b/c"),
            raw(b'2', b"a/link", b"../x", b""),
            raw(b'6', b"pipe", b"", b""),
            raw(b'1', b"again", b"./a/b/c", b""),
        ]));
        assert_eq!(
            lines,
            [
                "dir 755 . ",
                "dir 755 a ",
                "dir 755 a/b ",
                "file 640 a/b/c  'x'",
                "symlink 640 a/link ../x",
                "fifo 640 pipe ",
                "file 640 again  == a/b/c",
            ]
        );
        assert_eq!(listed(&archive(&[])).0, ["dir 755 . "]);
        assert_eq!(listed(&archive(&[folder("./"), file("./a")])).0.len(), 2);
    }

    #[test]
    fn device_nodes_are_reported_and_left_out() {
        let (lines, monitor) = listed(&archive(&[raw(b'3', b"dev/null", b"", b""), file("dev/x")]));
        assert_eq!(lines, ["dir 755 . ", "dir 755 dev ", "file 640 dev/x  'x'"]);
        assert_eq!(monitor.warnings().len(), 1);
        assert!(monitor.warnings()[0].contains("device node"), "{:?}", monitor.warnings());
    }

    #[test]
    fn hostile_names_are_errors() {
        for (stream, expected) in [
            (archive(&[file("../x")]), "leave its folder"),
            (archive(&[file("a/../x")]), "leave its folder"),
            (archive(&[file("/etc/passwd")]), "absolute"),
            (archive(&[pax(&[("path", b"a\0b")]), file("x")]), "zero byte"),
            (archive(&[file("a"), file("a")]), "twice"),
            (archive(&[file("a"), file("./a")]), "twice"),
            (archive(&[file("a"), file("a/b")]), "not in order"),
            (archive(&[raw(b'2', b"a", b"/etc", b""), file("a/b")]), "not in order"),
            (archive(&[file("a/b"), file("c"), file("a/d")]), "not in order"),
            (archive(&[file("a/b"), folder("a/")]), "twice"),
            (archive(&[file("a"), folder("./")]), "twice"),
            (archive(&[file("")]), "no name"),
            (archive(&[raw(b'2', b".", b"x", b"")]), "root is not a folder"),
            (archive(&[raw(b'2', b"a", b"", b"")]), "symbolic link"),
            (archive(&[raw(b'1', b"a", b"a", b"")]), "hard link to itself"),
            (archive(&[raw(b'1', b"a", b"../a", b"")]), "leave its folder"),
            (archive(&[raw(b'1', b"a/b", b"a", b"")]), "or to a folder"),
            (archive(&[raw(b'1', b"a", b"b", b"content")]), "size"),
            (archive(&[raw(b'5', b"a", b"", b"content")]), "size"),
        ] {
            let failure = failure(&stream);
            assert!(failure.contains(expected), "{failure} lacks {expected}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_never_guessed() {
        for (stream, expected) in [
            (archive(&[raw(b'S', b"a", b"", b"")]), "sparse"),
            (archive(&[pax(&[("GNU.sparse.major", b"1")]), file("a")]), "sparse"),
            (archive(&[pax(&[("SCHILY.realsize", b"9")]), file("a")]), "sparse"),
            (archive(&[raw(b'M', b"a", b"", b"")]), "volumes"),
            (archive(&[raw(b'D', b"a", b"", b"")]), "not supported"),
            (archive(&[raw(b'\xff', b"a", b"", b"")]), "not supported"),
            (archive(&[pax(&[("size", b"-1")]), file("a")]), "number"),
            (archive(&[pax(&[("mtime", b"x")]), file("a")]), "time"),
            (archive(&[pax(&[]), pax(&[]), file("a")]), "contradict"),
            (archive(&[raw(b'g', b"g", b"", b"9 size=1\n"), file("a")]), "contradict"),
            (archive(&[pax(&[])]), "describes no member"),
            (archive(&[pax(&[("uid", b"4294967296")]), file("a")]), "too large"),
            (archive(&[raw(b'L', b"l", b"", &vec![b'x'; SIZE_MAX + 1]), file("a")]), "too long"),
            (archive(&[raw(b'x', b"l", b"", &vec![b'x'; SIZE_MAX + 1]), file("a")]), "too long"),
            (archive(&[raw(b'L', b"l", b"", &vec![b'x'; 256]), file("a")]), "longer than 255"),
            (archive(&[file(&"a/".repeat(40))]), "size"),
        ] {
            let failure = failure(&stream);
            assert!(failure.contains(expected), "{failure} lacks {expected}");
        }
    }

    /// A member whose name has no room in its header.
    fn long(flag: u8, name: &str, link: &[u8]) -> Vec<u8> {
        let content: &[u8] = if flag == b'0' { b"x" } else { b"" };
        [raw(b'L', b"l", b"", name.as_bytes()), raw(flag, b"x", link, content)].concat()
    }

    #[test]
    fn what_is_nested_too_deep_is_left_out_with_one_warning_and_the_rest_is_kept() {
        let at = |depth: usize| "a/".repeat(depth);
        let stream = archive(&[
            long(b'5', &at(limits::TREE_DEPTH_MAX), b""),
            long(b'5', &at(limits::TREE_DEPTH_MAX + 1), b""),
            long(b'5', &at(limits::TREE_DEPTH_MAX + 2), b""),
            long(b'0', &format!("{}file", at(limits::TREE_DEPTH_MAX + 2)), b""),
            file("b"),
        ]);
        let (lines, monitor) = listed(&stream);
        assert_eq!(lines.len(), 1 + limits::TREE_DEPTH_MAX + 1, "{:?}", lines.last());
        assert_eq!(lines.last().unwrap(), "file 640 b  'x'");
        let warnings = monitor.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("nested too deep"), "{warnings:?}");
        assert!(warnings[0].len() < 400, "{}", warnings[0].len());
    }

    #[test]
    fn a_path_that_is_too_long_is_left_out_and_so_are_its_other_names() {
        let far = format!("{}x", format!("{}/", "n".repeat(255)).repeat(130));
        let link = [raw(b'K', b"l", b"", far.as_bytes()), raw(b'1', b"c", b"", b"")].concat();
        let (lines, monitor) = listed(&archive(&[long(b'0', &far, b""), link, file("b")]));
        assert_eq!(lines, ["dir 755 . ", "file 640 b  'x'"]);
        assert_eq!(monitor.warnings().len(), 2, "{:?}", monitor.warnings());
        let hostile = format!("{}../x", "a/".repeat(limits::TREE_DEPTH_MAX - 1));
        assert!(failure(&archive(&[long(b'0', &hostile, b"")])).contains("leave its folder"));
    }

    #[test]
    fn every_cut_and_every_addition_is_an_error() {
        let whole = archive(&[folder("a"), file("a/b"), file("c")]);
        assert_eq!(listed(&whole).0.len(), 4);
        for cut in 0..whole.len() {
            let (lines, _) = listed(&whole[..cut]);
            assert!(lines.last().unwrap().contains("cut off"), "{cut}: {lines:?}");
        }
        let mut padded = whole.clone();
        padded.resize(10_240, 0);
        assert_eq!(listed(&padded).0, listed(&whole).0);
        padded.push(1);
        assert!(failure(&padded).contains("follows its end mark"));
        let half = [file("a"), vec![0; 512], file("b"), vec![0; 1024]].concat();
        assert!(failure(&half).contains("half a mark"));
        assert!(failure(&[whole.clone(), whole].concat()).contains("follows"));
    }

    #[test]
    fn a_changed_header_is_an_error_or_says_the_same() {
        let whole = archive(&[folder("a"), raw(b'0', b"a/b", b"", &[7; 600]), file("c")]);
        let expected = listed(&whole).0;
        for place in (0..1024).chain(2048..whole.len()) {
            for bit in 0..8 {
                let mut broken = whole.clone();
                broken[place] ^= 1 << bit;
                let (lines, _) = listed(&broken);
                let failed = lines.last().unwrap().starts_with("cannot");
                let content = (2560..3072).contains(&place);
                assert!(failed || content || lines == expected, "{place} {bit}: {lines:?}");
            }
        }
    }

    #[test]
    fn a_size_that_lies_never_makes_a_short_file() {
        let mut member = file("a");
        let mut header = tar::Header::from_byte_slice(&member[..512]).clone();
        header.set_size(1 << 40);
        header.set_cksum();
        member[..512].copy_from_slice(header.as_bytes());
        let (lines, _) = listed(&archive(&[member]));
        assert!(lines[1].contains("cut off"), "{lines:?}");
        assert!(lines.last().unwrap().starts_with("cannot"));
    }

    #[test]
    fn what_one_writes_the_other_reads() {
        let long = [b"d/".repeat(90).as_slice(), &[0xff; 200]].concat();
        let meta = Meta {
            mode: 0o6755,
            uid: u32::MAX - 1,
            gid: 3_000_000,
            user: "bob".to_owned(),
            group: "gr\u{fc}n".to_owned(),
            mtime: Timestamp { seconds: -2, nanos: 250_000_000 },
            size: 3,
            links: 1,
            xattrs: vec![
                (b"security.x".to_vec(), vec![0, 10, 61]),
                (b"user.a=b%".to_vec(), vec![]),
            ],
            ..Meta::default()
        };
        let link = Meta {
            kind: NodeKind::Symlink,
            target: vec![0xfe; 300],
            size: 0,
            mtime: Timestamp::from_seconds(-5),
            ..meta.clone()
        };
        let mut tar = TarWriter::new(Vec::new());
        tar.member(&long, &meta, &mut &b"abc"[..]).unwrap();
        tar.member(b"link", &link, &mut io::empty()).unwrap();
        let stream = tar.finish().unwrap();
        assert_eq!(stream.len() % 10_240, 0);
        let monitor = Collect::default();
        let mut source = TarSource::new(stream.as_slice());
        let mut metas = Vec::new();
        while let Some(entry) = source.next_entry(&monitor).unwrap() {
            metas.push((entry.path.as_bytes().to_vec(), entry.meta));
        }
        assert_eq!(metas.len(), 93);
        assert_eq!(metas[91], (long, meta));
        assert_eq!(metas[92], (b"link".to_vec(), link));
    }

    #[test]
    fn old_and_pax_archives_of_another_writer_read_alike() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(2);
        header.set_mode(0o600);
        let long = format!("{}/{}", "p".repeat(90), "n".repeat(90));
        builder.append_data(&mut header, &long, &b"hi"[..]).unwrap();
        builder
            .append_pax_extensions([("mtime", &b"7.000000001"[..]), ("uname", b"zo\xc3\xab")])
            .unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        builder.append_data(&mut header, "q", &b""[..]).unwrap();
        let stream = builder.into_inner().unwrap();
        let mut source = TarSource::new(stream.as_slice());
        let monitor = Collect::default();
        let mut entries = Vec::new();
        while let Some(entry) = source.next_entry(&monitor).unwrap() {
            entries.push((entry.path.to_string(), entry.meta));
        }
        assert_eq!(entries[2].0, long);
        assert_eq!(entries[3].1.mtime, Timestamp { seconds: 7, nanos: 1 });
        assert_eq!(entries[3].1.user, "zo\u{eb}");
    }
}
