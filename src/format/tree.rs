// SPDX-License-Identifier: MIT
//! Trees: the sorted entries of one folder. A large folder is several chunks, split at borders
//! that depend on the names, so that one new mail among 200,000 rewrites one chunk.

use super::damaged;
use crate::base::id::{ChunkId, ID_BYTES};
use crate::base::{Error, Kind, Result, Timestamp, limits, path};
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum NodeKind {
    /// A regular file.
    #[default]
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A socket.
    Socket,
}

impl NodeKind {
    const fn code(self) -> u32 {
        match self {
            Self::File => 1,
            Self::Folder => 2,
            Self::Symlink => 3,
            Self::Fifo => 4,
            Self::CharDevice => 5,
            Self::BlockDevice => 6,
            Self::Socket => 7,
        }
    }

    fn from_code(code: u32) -> Result<Self> {
        Ok(match code {
            1 => Self::File,
            2 => Self::Folder,
            3 => Self::Symlink,
            4 => Self::Fifo,
            5 => Self::CharDevice,
            6 => Self::BlockDevice,
            7 => Self::Socket,
            other => {
                return Err(Error::new(Kind::Newer, "read a tree")
                    .why(format!("entries of kind {other} are not known to this program")));
            }
        })
    }

    /// The word used in JSON and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "dir",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::CharDevice => "chardev",
            Self::BlockDevice => "blockdev",
            Self::Socket => "socket",
        }
    }
}

/// Everything a file system says about an entry but its name and content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits, including set-id and sticky (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name where the entry came from; empty if it had none.
    pub user: String,
    /// Group's name; empty if it had none.
    pub group: String,
    /// When the content last changed.
    pub mtime: Timestamp,
    /// When anything last changed; 1970 if the source has no such time.
    pub ctime: Timestamp,
    /// Bytes of content, holes included.
    pub size: u64,
    /// Inode number, 0 if the source has none; with `device` tells hard links.
    pub inode: u64,
    /// The file system it lay on, 0 if the source has none.
    pub device: u64,
    /// How many names the file had.
    pub links: u64,
    /// Where a symbolic link points.
    pub target: Vec<u8>,
    /// Device number of a device node.
    pub rdev: u64,
    /// Extended attributes, POSIX ACLs among them, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Meta {
    /// The identity by which two names of one file are recognised; `None` for a file of one name.
    pub fn hard_link(&self) -> Option<(u64, u64)> {
        (self.kind == NodeKind::File && self.links > 1 && self.inode != 0)
            .then_some((self.device, self.inode))
    }
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its name, raw bytes.
    pub name: Vec<u8>,
    /// What it is and whose.
    pub meta: Meta,
    /// Of a file: its data, chunk after chunk. Of a folder: the chunks of its tree. With
    /// `indirect` set: meta chunks that hold the list of ids.
    pub chunks: Vec<ChunkId>,
    /// Whether `chunks` are lists of ids (very long files).
    pub indirect: bool,
    /// Whether `chunks` are row maps (SQL dumps).
    pub rows: bool,
    /// Where the data lies in a file with holes: (offset, length), ascending; empty if it has none.
    pub extents: Vec<(u64, u64)>,
    /// The file changed while it was read; what is stored may mix two states.
    pub torn: bool,
}

impl Node {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.meta.kind == NodeKind::Folder
    }

    /// Bytes of data its chunks must add up to.
    pub fn data_bytes(&self) -> u64 {
        if self.extents.is_empty() {
            self.meta.size
        } else {
            self.extents.iter().map(|(_, length)| *length).sum()
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct TreeRecord {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<NodeRecord>,
    /// Names of the owners that occur in `nodes`.
    #[prost(message, repeated, tag = "2")]
    users: Vec<OwnerRecord>,
    #[prost(message, repeated, tag = "3")]
    groups: Vec<OwnerRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct OwnerRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct NodeRecord {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(uint32, tag = "3")]
    mode: u32,
    #[prost(uint32, tag = "4")]
    uid: u32,
    #[prost(uint32, tag = "5")]
    gid: u32,
    #[prost(sint64, tag = "6")]
    mtime: i64,
    #[prost(uint32, tag = "7")]
    mtime_nanos: u32,
    #[prost(sint64, tag = "8")]
    ctime: i64,
    #[prost(uint32, tag = "9")]
    ctime_nanos: u32,
    #[prost(uint64, tag = "10")]
    size: u64,
    #[prost(uint64, tag = "11")]
    inode: u64,
    #[prost(uint64, tag = "12")]
    device: u64,
    #[prost(uint64, tag = "13")]
    links: u64,
    #[prost(bytes = "vec", tag = "14")]
    target: Vec<u8>,
    #[prost(uint64, tag = "15")]
    rdev: u64,
    #[prost(message, repeated, tag = "16")]
    xattrs: Vec<XattrRecord>,
    #[prost(bytes = "vec", tag = "17")]
    chunks: Vec<u8>,
    #[prost(bool, tag = "18")]
    indirect: bool,
    #[prost(uint64, repeated, tag = "19")]
    extents: Vec<u64>,
    #[prost(bool, tag = "20")]
    torn: bool,
    #[prost(bool, tag = "21")]
    rows: bool,
}

#[derive(Clone, PartialEq, Message)]
struct XattrRecord {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// The entries of one tree chunk, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree(pub Vec<Node>);

impl Tree {
    /// The plain record.
    pub fn encode(nodes: &[Node]) -> Vec<u8> {
        let nodes_in = nodes.iter().map(node_record).collect();
        let mut record = TreeRecord { nodes: nodes_in, ..TreeRecord::default() };
        for meta in nodes.iter().map(|node| &node.meta) {
            add_owner(&mut record.users, meta.uid, &meta.user);
            add_owner(&mut record.groups, meta.gid, &meta.group);
        }
        record.encode_to_vec()
    }

    /// Reads a plain record. Names are checked: sorted, unique, and harmless as names.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let what = "read a tree";
        // Before anything is made of them: an empty entry has two bytes here, some hundred there.
        if fields_of(plain) > limits::TREE_FIELDS_MAX {
            return Err(damaged(what, "it has more entries than a part of a tree may have"));
        }
        let record = TreeRecord::decode(plain).map_err(|cause| damaged(what, cause.to_string()))?;
        let mut nodes = Vec::with_capacity(record.nodes.len());
        for one in record.nodes {
            path::check_name(&one.name).map_err(|error| error.with_kind(Kind::Damaged))?;
            nodes.push(node_from(one, &record.users, &record.groups)?);
        }
        let sorted = nodes.windows(2).all(|pair| match pair {
            [a, b] => a.name < b.name,
            _ => true,
        });
        if !sorted {
            return Err(damaged(what, "its entries are not sorted or not unique"));
        }
        Ok(Self(nodes))
    }

    /// Whether a tree chunk may end behind the entry of this name. Depends on the name alone, so
    /// that the same folder splits the same way every night.
    pub fn ends_after(name: &[u8]) -> bool {
        let hash = blake3::hash(name);
        hash.as_bytes().first().is_some_and(|byte| *byte == 0)
    }
}

/// Counts the fields of a record, nested ones not; what is no record is left to the decoder.
fn fields_of(mut record: &[u8]) -> usize {
    let mut count = 0;
    while let Ok((number, kind)) = decode_key(&mut record) {
        if skip_field(kind, number, &mut record, DecodeContext::default()).is_err() {
            break;
        }
        count += 1;
    }
    count
}

fn add_owner(owners: &mut Vec<OwnerRecord>, id: u32, name: &str) {
    if !name.is_empty() && !owners.iter().any(|owner| owner.id == id) {
        owners.push(OwnerRecord { id, name: name.to_owned() });
    }
}

fn owner_name(owners: &[OwnerRecord], id: u32) -> String {
    owners.iter().find(|owner| owner.id == id).map(|owner| owner.name.clone()).unwrap_or_default()
}

fn node_record(node: &Node) -> NodeRecord {
    let meta = &node.meta;
    NodeRecord {
        name: node.name.clone(),
        kind: meta.kind.code(),
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        mtime: meta.mtime.seconds,
        mtime_nanos: meta.mtime.nanos,
        ctime: meta.ctime.seconds,
        ctime_nanos: meta.ctime.nanos,
        size: meta.size,
        inode: meta.inode,
        device: meta.device,
        links: meta.links,
        target: meta.target.clone(),
        rdev: meta.rdev,
        xattrs: meta
            .xattrs
            .iter()
            .map(|(name, value)| XattrRecord { name: name.clone(), value: value.clone() })
            .collect(),
        chunks: ids_bytes(&node.chunks),
        indirect: node.indirect,
        extents: node.extents.iter().flat_map(|(offset, length)| [*offset, *length]).collect(),
        torn: node.torn,
        rows: node.rows,
    }
}

fn node_from(record: NodeRecord, users: &[OwnerRecord], groups: &[OwnerRecord]) -> Result<Node> {
    let time = |seconds, nanos: u32| Timestamp { seconds, nanos: nanos.min(999_999_999) };
    let xattr = |one: XattrRecord| (one.name, one.value);
    let meta = Meta {
        kind: NodeKind::from_code(record.kind)?,
        mode: record.mode & 0o7777,
        uid: record.uid,
        gid: record.gid,
        user: owner_name(users, record.uid),
        group: owner_name(groups, record.gid),
        mtime: time(record.mtime, record.mtime_nanos),
        ctime: time(record.ctime, record.ctime_nanos),
        size: record.size,
        inode: record.inode,
        device: record.device,
        links: record.links,
        target: record.target,
        rdev: record.rdev,
        xattrs: record.xattrs.into_iter().map(xattr).collect(),
    };
    Ok(Node {
        name: record.name,
        extents: extents_from(&record.extents, record.size)?,
        meta,
        chunks: ids_from(&record.chunks)?,
        indirect: record.indirect,
        torn: record.torn,
        rows: record.rows,
    })
}

/// Pairs of offset and length, ascending and inside the file.
fn extents_from(numbers: &[u64], size: u64) -> Result<Vec<(u64, u64)>> {
    let wrong = || damaged("read a tree", "the extents of a sparse file make no sense");
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > limits::EXTENTS_MAX {
        return Err(wrong());
    }
    let mut end = 0;
    for [offset, length] in pairs {
        if *offset < end || *length == 0 {
            return Err(wrong());
        }
        end = offset.checked_add(*length).filter(|end| *end <= size).ok_or_else(wrong)?;
    }
    Ok(pairs.iter().map(|[offset, length]| (*offset, *length)).collect())
}

/// Ids one after another.
pub fn ids_bytes(ids: &[ChunkId]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ids.len() * ID_BYTES);
    for id in ids {
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}

/// Undoes [`ids_bytes`].
pub fn ids_from(bytes: &[u8]) -> Result<Vec<ChunkId>> {
    let (ids, rest) = bytes.as_chunks::<ID_BYTES>();
    if !rest.is_empty() {
        return Err(damaged("read a list of chunks", "its length is not a multiple of 32"));
    }
    Ok(ids.iter().map(|id| ChunkId(*id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &[u8]) -> Node {
        Node {
            name: name.to_vec(),
            meta: Meta { mode: 0o644, uid: 1001, gid: 33, links: 1, ..Meta::default() },
            ..Node::default()
        }
    }

    #[test]
    fn nodes_survive_encoding_with_all_they_carry() {
        let mut full = node(b"a\xff");
        full.meta = Meta {
            kind: NodeKind::File,
            mode: 0o4755,
            uid: 1001,
            gid: 33,
            user: "alice".to_owned(),
            group: "www-data".to_owned(),
            mtime: Timestamp { seconds: -5, nanos: 999_999_999 },
            ctime: Timestamp { seconds: 7, nanos: 8 },
            size: 4096,
            inode: 12,
            device: 3,
            links: 2,
            target: b"../x".to_vec(),
            rdev: 5,
            xattrs: vec![(b"user.a".to_vec(), vec![0, 1])],
        };
        full.chunks = vec![ChunkId([1; 32]), ChunkId([2; 32])];
        full.indirect = true;
        full.extents = vec![(0, 10), (100, 5)];
        full.torn = true;
        let nodes = vec![full, node(b"b")];
        let decoded = Tree::decode(&Tree::encode(&nodes)).unwrap().0;
        assert_eq!(decoded[0], nodes[0]);
        // Names of owners belong to ids: node b shares them.
        assert_eq!(decoded[1].meta.user, "alice");
    }

    #[test]
    fn hostile_trees_are_refused() {
        for nodes in [
            vec![node(b"..")],
            vec![node(b"a/b")],
            vec![node(b"")],
            vec![node(b"b"), node(b"a")],
            vec![node(b"a"), node(b"a")],
        ] {
            assert_eq!(Tree::decode(&Tree::encode(&nodes)).unwrap_err().kind(), Kind::Damaged);
        }
        for extents in [vec![(0, 0)], vec![(5, 5), (7, 1)], vec![(u64::MAX, 2)], vec![(0, 11)]] {
            let mut bad = node(b"x");
            bad.meta.size = 10;
            bad.extents = extents;
            assert!(Tree::decode(&Tree::encode(&[bad])).is_err());
        }
    }

    #[test]
    fn one_name_in_about_256_ends_a_chunk() {
        let ends = (0..25_600).filter(|n| Tree::ends_after(format!("mail-{n}").as_bytes())).count();
        assert!((60..140).contains(&ends), "{ends}");
    }
}
