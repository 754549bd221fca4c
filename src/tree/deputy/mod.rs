// SPDX-License-Identifier: MIT
//! A deputy: a process with the rights of somebody else that changes files on order. Who gives the
//! orders reads the repository and holds its keys; the deputy holds neither and decides nothing,
//! and the kernel holds it to the permissions and the quota of the one it acts for.
//!
//! The two talk over a socket pair: framed orders one way, one reply for each item the other way,
//! in the order of the items. Whoever the deputy acts for may stop or kill it, so its replies are
//! waited for within bounds and believed no further than a message to show.

mod client;
mod serve;

pub use client::{Answers, Deputy};
pub use serve::{Person, become_person, serve, temporary_name};

use crate::base::{Error, Kind, RelPath, Result, limits, units};
use crate::format::tree::{Meta, Node};
use crate::format::{NodeKind, Tree};
use prost::Message;
use std::io::{Read, Write};

/// What a deputy is told to do. Paths are below the folder it was started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// See to it that a folder is there.
    Folder {
        /// Where.
        path: RelPath,
        /// The mode of a new one, until [`Order::Finish`].
        mode: u32,
    },
    /// Begin a file; [`Order::Data`], [`Order::Hole`] and [`Order::End`] follow.
    File {
        /// Where.
        path: RelPath,
        /// Its size, mode, times and attributes.
        meta: Meta,
        /// The file to fill is there under this name, in the folder of `path`, and stays under it.
        prepared: Option<Vec<u8>>,
    },
    /// The next bytes of the file.
    Data(Vec<u8>),
    /// So many zeros that take no space.
    Hole(u64),
    /// The file is complete, or it cannot be had and what was written of it goes.
    End {
        /// Whether it is complete.
        complete: bool,
    },
    /// Make a symbolic link or a pipe.
    Special {
        /// Where.
        path: RelPath,
        /// What.
        meta: Meta,
    },
    /// Give a file another name.
    Link {
        /// The file.
        first: RelPath,
        /// Its further name.
        path: RelPath,
    },
    /// Give a file whose content is right its mode, times and attributes.
    Dress {
        /// Where.
        path: RelPath,
        /// What it gets.
        meta: Meta,
    },
    /// Give a folder its mode, times and attributes; nothing in it is touched afterwards.
    Finish {
        /// Where.
        path: RelPath,
        /// What it gets.
        meta: Meta,
    },
    /// Remove what is there, a folder with all in it.
    Remove {
        /// Where.
        path: RelPath,
    },
    /// Remove a folder, if there is nothing in it.
    RemoveEmpty {
        /// Where.
        path: RelPath,
    },
    /// Write all to the disk and end.
    Quit,
}

impl Order {
    /// Whether a reply follows. A file is answered at its end.
    fn is_answered(&self) -> bool {
        !matches!(self, Self::File { .. } | Self::Data(_) | Self::Hole(_))
    }
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What went wrong; `None` if nothing did.
    pub failure: Option<(Kind, String)>,
    /// The item is as it should be but for its mode, times or attributes.
    pub in_place: bool,
    /// Entries removed.
    pub removed: u64,
}

#[derive(Clone, PartialEq, Message)]
struct OrderRecord {
    #[prost(bytes = "vec", tag = "1")]
    path: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    other: Vec<u8>,
    /// A tree of one entry: its name is not used, its metadata is.
    #[prost(bytes = "vec", tag = "3")]
    meta: Vec<u8>,
    #[prost(uint64, tag = "4")]
    number: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ReplyRecord {
    /// The exit code of the kind; 0 if all went well.
    #[prost(uint32, tag = "1")]
    code: u32,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(bool, tag = "3")]
    in_place: bool,
    #[prost(uint64, tag = "4")]
    removed: u64,
}

const FOLDER: u8 = 1;
const FILE: u8 = 2;
const DATA: u8 = 3;
const HOLE: u8 = 4;
const END: u8 = 5;
const SPECIAL: u8 = 6;
const LINK: u8 = 7;
const DRESS: u8 = 8;
const FINISH: u8 = 9;
const REMOVE: u8 = 10;
const QUIT: u8 = 11;
const REPLY: u8 = 12;
const REMOVE_EMPTY: u8 = 13;

fn meta_bytes(meta: &Meta) -> Vec<u8> {
    Tree::encode(&[Node { name: b"entry".to_vec(), meta: meta.clone(), ..Node::default() }])
}

fn meta_from(bytes: &[u8]) -> Result<Meta> {
    let mut nodes = Tree::decode(bytes)?.0.into_iter();
    nodes.next().map(|node| node.meta).ok_or_else(|| nonsense("it has no metadata"))
}

fn nonsense(why: &str) -> Error {
    Error::new(Kind::Internal, "understand the other process").why(why.to_owned())
}

/// Kind and length of a frame, then its payload.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(payload.len() + 5);
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn encode_order(order: &Order) -> Vec<u8> {
    let record = |path: &RelPath, other: &[u8], meta: Option<&Meta>, number: u64| {
        let meta = meta.map(meta_bytes).unwrap_or_default();
        OrderRecord { path: path.as_bytes().to_vec(), other: other.to_vec(), meta, number }
            .encode_to_vec()
    };
    let root = RelPath::root();
    match order {
        Order::Data(bytes) => frame(DATA, bytes),
        Order::Folder { path, mode } => frame(FOLDER, &record(path, b"", None, u64::from(*mode))),
        Order::File { path, meta, prepared } => {
            frame(FILE, &record(path, prepared.as_deref().unwrap_or_default(), Some(meta), 0))
        }
        Order::Hole(length) => frame(HOLE, &record(&root, b"", None, *length)),
        Order::End { complete } => frame(END, &record(&root, b"", None, u64::from(*complete))),
        Order::Special { path, meta } => frame(SPECIAL, &record(path, b"", Some(meta), 0)),
        Order::Link { first, path } => frame(LINK, &record(path, first.as_bytes(), None, 0)),
        Order::Dress { path, meta } => frame(DRESS, &record(path, b"", Some(meta), 0)),
        Order::Finish { path, meta } => frame(FINISH, &record(path, b"", Some(meta), 0)),
        Order::Remove { path } => frame(REMOVE, &record(path, b"", None, 0)),
        Order::RemoveEmpty { path } => frame(REMOVE_EMPTY, &record(path, b"", None, 0)),
        Order::Quit => frame(QUIT, b""),
    }
}

fn decode_order(kind: u8, payload: Vec<u8>) -> Result<Order> {
    if kind == DATA {
        return Ok(Order::Data(payload));
    }
    let record = OrderRecord::decode(payload.as_slice()).map_err(|e| nonsense(&e.to_string()))?;
    let path = RelPath::parse(&record.path)?;
    Ok(match kind {
        FOLDER => Order::Folder { path, mode: u32::try_from(record.number).unwrap_or(0) },
        FILE => {
            let prepared = (!record.other.is_empty()).then_some(record.other);
            if let Some(name) = &prepared {
                crate::base::path::check_name(name)?;
            }
            Order::File { path, meta: meta_from(&record.meta)?, prepared }
        }
        HOLE => Order::Hole(record.number),
        END => Order::End { complete: record.number == 1 },
        SPECIAL => Order::Special { path, meta: meta_from(&record.meta)? },
        LINK => Order::Link { first: RelPath::parse(&record.other)?, path },
        DRESS => Order::Dress { path, meta: meta_from(&record.meta)? },
        FINISH => Order::Finish { path, meta: meta_from(&record.meta)? },
        REMOVE => Order::Remove { path },
        REMOVE_EMPTY => Order::RemoveEmpty { path },
        QUIT => Order::Quit,
        _ => return Err(nonsense("it sent an order that does not exist")),
    })
}

fn encode_reply(reply: &Reply) -> Vec<u8> {
    let (code, mut text) = match &reply.failure {
        None => (0, String::new()),
        Some((kind, text)) => (u32::from(kind.exit_code()), text.clone()),
    };
    let room = (0..=limits::DEPUTY_TEXT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(room.unwrap_or(0));
    let (in_place, removed) = (reply.in_place, reply.removed);
    frame(REPLY, &ReplyRecord { code, text, in_place, removed }.encode_to_vec())
}

fn decode_reply(kind: u8, payload: &[u8]) -> Result<Reply> {
    if kind != REPLY {
        return Err(nonsense("it sent something that is no reply"));
    }
    let record = ReplyRecord::decode(payload).map_err(|e| nonsense(&e.to_string()))?;
    let kind = Kind::ALL.into_iter().find(|kind| u32::from(kind.exit_code()) == record.code);
    let failure = match (record.code, kind) {
        (0, _) => None,
        (_, kind) => {
            let text = crate::base::path::display_bytes(record.text.as_bytes());
            Some((kind.unwrap_or(Kind::Internal), text))
        }
    };
    Ok(Reply { failure, in_place: record.in_place, removed: record.removed })
}

/// Reads the head of a frame that may have at most `most` bytes of payload.
fn frame_head(head: [u8; 5], most: usize) -> Result<(u8, usize)> {
    let [kind, a, b, c, d] = head;
    let length = units::length(u64::from(u32::from_le_bytes([a, b, c, d])));
    if length > most {
        return Err(nonsense("it sent more at once than was agreed on"));
    }
    Ok((kind, length))
}

/// Which entries a deputy can make.
pub fn can_make(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::File | NodeKind::Folder | NodeKind::Symlink | NodeKind::Fifo)
}

/// Reads one frame; `None` at the end of the stream.
fn read_frame(from: &mut impl Read, most: usize) -> Result<Option<(u8, Vec<u8>)>> {
    use crate::base::WhatIo;
    let what = || "hear the other process";
    let mut head = [0; 5];
    let (first, rest) = head.split_at_mut(1);
    if crate::tree::walk::read_full(from, first).what_io(what)? == 0 {
        return Ok(None);
    }
    from.read_exact(rest).what_io(what)?;
    let (kind, length) = frame_head(head, most)?;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).what_io(what)?;
    Ok(Some((kind, payload)))
}

fn write_frame(to: &mut impl Write, bytes: &[u8]) -> Result<()> {
    use crate::base::WhatIo;
    to.write_all(bytes).what_io(|| "answer the other process")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn orders_and_replies_arrive_as_they_were_sent() {
        let path = |text: &str| RelPath::parse(text.as_bytes()).unwrap();
        let meta = Meta {
            mode: 0o640,
            uid: 7,
            size: 5,
            mtime: Timestamp { seconds: -3, nanos: 4 },
            xattrs: vec![(b"user.a".to_vec(), b"\0".to_vec())],
            ..Meta::default()
        };
        let orders = [
            Order::Folder { path: path("a"), mode: 0o700 },
            Order::File { path: path("a/\u{fc}"), meta: meta.clone(), prepared: None },
            Order::File { path: path("b"), meta: meta.clone(), prepared: Some(b".x".to_vec()) },
            Order::Data(b"\0\xff".to_vec()),
            Order::Hole(1 << 40),
            Order::End { complete: true },
            Order::End { complete: false },
            Order::Special { path: path("l"), meta: meta.clone() },
            Order::Link { first: path("a/b"), path: path("c") },
            Order::Dress { path: path("d"), meta: meta.clone() },
            Order::Finish { path: path("a"), meta },
            Order::Remove { path: path("gone") },
            Order::RemoveEmpty { path: path("empty") },
            Order::Quit,
        ];
        for order in orders {
            let bytes = encode_order(&order);
            let (kind, payload) = read_frame(&mut bytes.as_slice(), 4096).unwrap().unwrap();
            assert_eq!(decode_order(kind, payload).unwrap(), order);
        }
        let reply = Reply {
            failure: Some((Kind::Disk, "no\u{1b}[2J".to_owned())),
            in_place: true,
            removed: 3,
        };
        let (kind, payload) =
            read_frame(&mut encode_reply(&reply).as_slice(), 4096).unwrap().unwrap();
        let back = decode_reply(kind, &payload).unwrap();
        assert_eq!(back.failure, Some((Kind::Disk, "no\\u{1b}[2J".to_owned())));
        assert!(back.in_place && back.removed == 3);
    }

    #[test]
    fn what_is_too_long_or_no_frame_is_refused_before_it_is_taken_in() {
        let mut long = frame(DATA, b"");
        long[4] = 0xff;
        assert!(read_frame(&mut long.as_slice(), 4096).is_err());
        assert!(read_frame(&mut [].as_slice(), 4096).unwrap().is_none());
        assert!(read_frame(&mut [DATA, 9, 0].as_slice(), 4096).is_err());
        assert!(decode_order(99, Vec::new()).is_err());
        assert!(decode_order(REMOVE, vec![0xff; 9]).is_err());
        let hostile = OrderRecord { path: b"../../etc".to_vec(), ..OrderRecord::default() };
        assert!(decode_order(REMOVE, hostile.encode_to_vec()).is_err());
        assert!(decode_reply(QUIT, b"").is_err());
    }

    #[test]
    fn a_text_is_cut_between_letters() {
        let text = "\u{fc}".repeat(limits::DEPUTY_TEXT_BYTES_MAX);
        let reply = Reply { failure: Some((Kind::Disk, text)), in_place: false, removed: 0 };
        assert!(encode_reply(&reply).len() < limits::DEPUTY_TEXT_BYTES_MAX + 64);
    }
}
