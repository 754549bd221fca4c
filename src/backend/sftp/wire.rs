// SPDX-License-Identifier: MIT
//! The SFTP protocol, version 3 (draft-ietf-secsh-filexfer-02), as far as files that are written
//! once need it: packets over a [`Child`], many of them under way at once.

use crate::backend::child::Child;
use crate::base::limits;
use crate::base::units::{bytes as length_of, length};
use std::io::{self, ErrorKind};

const INIT: u8 = 1;
const VERSION: u8 = 2;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const EXTENDED: u8 = 200;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;

/// Open for reading.
pub const FOR_READING: u32 = 1;
/// Open for writing a file that must not exist.
pub const FOR_A_NEW_FILE: u32 = 2 | 8 | 32;

/// What the server says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// 0 is yes.
    pub code: u32,
    /// In its own words.
    pub text: String,
}

impl Status {
    /// The end of a file or folder.
    pub const END: u32 = 1;
    /// There is no such file.
    pub const MISSING: u32 = 2;
    /// It is not allowed.
    pub const DENIED: u32 = 3;
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Vec<u8>,
    /// Its size, if it is told.
    pub size: Option<u64>,
    /// When it was written to, in seconds since 1970, if it is told.
    pub modified: Option<u32>,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Yes, no, or the end.
    Status(Status),
    /// An open file or folder.
    Handle(Vec<u8>),
    /// Part of a file.
    Data(Vec<u8>),
    /// Entries of a folder.
    Names(Vec<Listed>),
    /// The size of a file, if it is told.
    Size(Option<u64>),
}

/// A request.
#[derive(Debug, Clone)]
pub enum Ask<'a> {
    /// Open a file in a way.
    Open(&'a str, u32),
    /// Close what is open.
    Close(&'a [u8]),
    /// Read from a place so many bytes.
    Read(&'a [u8], u64, u32),
    /// Write at a place.
    Write(&'a [u8], u64, &'a [u8]),
    /// Open a folder.
    OpenFolder(&'a str),
    /// Read some of its entries.
    ReadFolder(&'a [u8]),
    /// Remove a file.
    Remove(&'a str),
    /// Make a folder.
    MakeFolder(&'a str),
    /// Look at a file.
    Stat(&'a str),
    /// Rename; fails if the new name exists.
    Rename(&'a str, &'a str),
    /// Write an open file to the disk.
    Sync(&'a [u8]),
}

impl Ask<'_> {
    /// The packet with its length in front.
    fn packet(&self, id: u32) -> Vec<u8> {
        let (kind, head): (u8, Vec<&[u8]>) = match self {
            Self::Open(path, _) => (OPEN, vec![path.as_bytes()]),
            Self::Close(handle) => (CLOSE, vec![handle]),
            Self::Read(handle, ..) => (READ, vec![handle]),
            Self::Write(handle, ..) => (WRITE, vec![handle]),
            Self::OpenFolder(path) => (OPENDIR, vec![path.as_bytes()]),
            Self::ReadFolder(handle) => (READDIR, vec![handle]),
            Self::Remove(path) => (REMOVE, vec![path.as_bytes()]),
            Self::MakeFolder(path) => (MKDIR, vec![path.as_bytes()]),
            Self::Stat(path) => (STAT, vec![path.as_bytes()]),
            Self::Rename(from, to) => (RENAME, vec![from.as_bytes(), to.as_bytes()]),
            Self::Sync(handle) => (EXTENDED, vec![b"fsync@openssh.com", handle]),
        };
        let mut body = vec![kind];
        body.extend(id.to_be_bytes());
        for part in head {
            put_bytes(&mut body, part);
        }
        // Attributes: a mode, for new files and folders.
        let mut put_mode = |mode: u32| {
            body.extend(4u32.to_be_bytes());
            body.extend(mode.to_be_bytes());
        };
        match self {
            Self::MakeFolder(_) => put_mode(0o700),
            Self::Open(_, way) => {
                body.extend(way.to_be_bytes());
                body.extend(4u32.to_be_bytes());
                body.extend(0o600u32.to_be_bytes());
            }
            Self::Read(_, at, most) => {
                body.extend(at.to_be_bytes());
                body.extend(most.to_be_bytes());
            }
            Self::Write(_, at, bytes) => {
                body.extend(at.to_be_bytes());
                put_bytes(&mut body, bytes);
            }
            _ => {}
        }
        framed(&body)
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(body.len() + 4);
    put_bytes(&mut packet, body);
    packet
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    into.extend(length.to_be_bytes());
    into.extend(bytes);
}

/// A conversation with a server.
pub struct Wire {
    child: Child,
    next: u32,
    /// Whether it can write a file to its disk on request.
    pub can_sync: bool,
}

impl Wire {
    /// Greets the server behind a program.
    pub fn new(child: Child) -> Result<Self, (io::Error, Child)> {
        let mut wire = Self { child, next: 0, can_sync: false };
        let mut hello = vec![INIT];
        hello.extend(3u32.to_be_bytes());
        let answer = wire.child.send(&framed(&hello)).and_then(|()| wire.packet());
        match answer.and_then(|answer| extensions(&answer)) {
            Ok(extensions) => {
                wire.can_sync = extensions.iter().any(|one| one == b"fsync@openssh.com");
                Ok(wire)
            }
            Err(error) => Err((error, wire.child)),
        }
    }

    /// What the program complains about.
    pub fn complaint(&self) -> String {
        self.child.complaint()
    }

    /// Asks one thing.
    pub fn ask(&mut self, ask: Ask<'_>) -> io::Result<Reply> {
        let mut replies = self.ask_all([ask].into_iter())?;
        replies.pop().ok_or_else(|| malformed("no answer"))
    }

    /// Asks many things at once; the answers come in the order of the questions.
    pub fn ask_all<'a>(&mut self, asks: impl Iterator<Item = Ask<'a>>) -> io::Result<Vec<Reply>> {
        let first = self.next;
        let mut replies: Vec<Option<Reply>> = Vec::new();
        let mut under_way = 0;
        for ask in asks {
            if under_way == limits::SFTP_REQUESTS_IN_FLIGHT {
                self.answer(first, &mut replies)?;
                under_way -= 1;
            }
            self.child.send(&ask.packet(self.next))?;
            self.next = self.next.wrapping_add(1);
            replies.push(None);
            under_way += 1;
        }
        for _ in 0..under_way {
            self.answer(first, &mut replies)?;
        }
        replies.into_iter().collect::<Option<_>>().ok_or_else(|| malformed("an answer is missing"))
    }

    fn answer(&mut self, first: u32, replies: &mut [Option<Reply>]) -> io::Result<()> {
        let packet = self.packet()?;
        let (id, reply) = decode(&packet)?;
        let place = length(u64::from(id.wrapping_sub(first)));
        match replies.get_mut(place) {
            Some(slot @ None) => *slot = Some(reply),
            _ => return Err(malformed("an answer to nothing")),
        }
        Ok(())
    }

    fn packet(&mut self) -> io::Result<Vec<u8>> {
        let head = self.child.receive(4)?;
        let size = head.try_into().map(u32::from_be_bytes).map_err(|_| malformed("no length"))?;
        let size = length(u64::from(size));
        if size == 0 || size > limits::SFTP_PACKET_BYTES_MAX {
            return Err(malformed("a packet of an impossible length"));
        }
        self.child.receive(size)
    }
}

/// Something that is no SFTP, such as what a login script prints.
fn malformed(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// Takes a packet apart.
struct Parts<'p>(&'p [u8]);

impl<'p> Parts<'p> {
    fn take(&mut self, count: usize) -> io::Result<&'p [u8]> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| malformed("a packet is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take(1)?.first().copied().ok_or_else(|| malformed("a packet is cut off"))
    }

    fn number(&mut self) -> io::Result<u32> {
        let four = self.take(4)?.try_into().map_err(|_| malformed("a packet is cut off"))?;
        Ok(u32::from_be_bytes(four))
    }

    fn long(&mut self) -> io::Result<u64> {
        Ok(u64::from(self.number()?) << 32 | u64::from(self.number()?))
    }

    fn string(&mut self) -> io::Result<&'p [u8]> {
        let count = length(u64::from(self.number()?));
        self.take(count)
    }

    /// Skips attributes but for the size and the time of the last change.
    fn attributes(&mut self) -> io::Result<(Option<u64>, Option<u32>)> {
        let flags = self.number()?;
        let size = if flags & 1 != 0 { Some(self.long()?) } else { None };
        for (flag, count) in [(2, 8), (4, 4), (8, 4)] {
            if flags & flag != 0 {
                self.take(count)?;
            }
        }
        let modified = if flags & 8 != 0 { Some(self.number()?) } else { None };
        if flags & 0x8000_0000 != 0 {
            for _ in 0..self.number()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok((size, modified))
    }
}

fn decode(packet: &[u8]) -> io::Result<(u32, Reply)> {
    let mut parts = Parts(packet);
    let (kind, id) = (parts.byte()?, parts.number()?);
    let reply = match kind {
        STATUS => {
            let code = parts.number()?;
            // Some servers leave the words out.
            let text = parts.string().unwrap_or_default();
            Reply::Status(Status { code, text: crate::base::path::display_bytes(text) })
        }
        HANDLE => Reply::Handle(parts.string()?.to_vec()),
        DATA => Reply::Data(parts.string()?.to_vec()),
        ATTRS => Reply::Size(parts.attributes()?.0),
        NAME => {
            let count = parts.number()?;
            let mut names = Vec::new();
            for _ in 0..count {
                let name = parts.string()?.to_vec();
                parts.string()?;
                let (size, modified) = parts.attributes()?;
                names.push(Listed { name, size, modified });
            }
            Reply::Names(names)
        }
        _ => return Err(malformed("an answer of no known kind")),
    };
    Ok((id, reply))
}

fn extensions(packet: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut parts = Parts(packet);
    if parts.byte()? != VERSION || parts.number()? < 3 {
        return Err(malformed("it is no SFTP server of version 3"));
    }
    let mut found = Vec::new();
    while !parts.0.is_empty() {
        found.push(parts.string()?.to_vec());
        parts.string()?;
    }
    Ok(found)
}

/// Cuts a range into what one request reads or writes.
pub fn pieces(start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
    let step = length_of(limits::SFTP_PIECE_BYTES);
    (0..(end - start).div_ceil(step)).map(move |n| {
        let from = start + n * step;
        (from, (from + step).min(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_the_protocol_has_them() {
        let open = Ask::Open("/a", FOR_A_NEW_FILE).packet(7);
        assert_eq!(
            open,
            [
                &[0, 0, 0, 23, 3, 0, 0, 0, 7, 0, 0, 0, 2, b'/', b'a', 0, 0, 0, 42][..],
                &[0, 0, 0, 4, 0, 0, 1, 0o200],
            ]
            .concat()
        );
        let write = Ask::Write(b"h", 258, b"xy").packet(1);
        assert_eq!(write[4..10], [6, 0, 0, 0, 1, 0]);
        assert!(write.ends_with(&[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 2, b'x', b'y']));
    }

    #[test]
    fn answers_are_taken_apart_and_cut_ones_are_errors() {
        let mut names = vec![NAME, 0, 0, 0, 9, 0, 0, 0, 1];
        put_bytes(&mut names, b"file");
        put_bytes(&mut names, b"-rw------- file");
        names.extend([0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 0]);
        names.extend([0, 0, 0, 3, 0, 0, 0, 4]);
        let listed = Listed { name: b"file".to_vec(), size: Some(256), modified: Some(4) };
        let expected = Reply::Names(vec![listed]);
        assert_eq!(decode(&names).unwrap(), (9, expected));
        for cut in 0..names.len() {
            assert!(decode(&names[..cut]).is_err(), "{cut}");
        }
        assert!(decode(&[250, 0, 0, 0, 1]).is_err());
        assert!(extensions(b"Welcome to this machine").is_err());
    }

    #[test]
    fn a_range_is_cut_without_gaps() {
        let step = length_of(limits::SFTP_PIECE_BYTES);
        let cut: Vec<_> = pieces(5, 5 + 2 * step + 1).collect();
        assert_eq!(cut, [(5, 5 + step), (5 + step, 5 + 2 * step), (5 + 2 * step, 6 + 2 * step)]);
        assert_eq!(pieces(5, 5).count(), 0);
    }
}
