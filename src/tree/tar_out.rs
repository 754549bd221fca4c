// SPDX-License-Identifier: MIT
//! Tar streams written as GNU tar does: long names and links in members of their own, large
//! numbers in binary. Only what that form cannot hold (nanoseconds, extended attributes) goes to a
//! PAX header, which GNU tar and bsdtar read in the same stream.

use super::sink::Sink;
use super::tar_member::{BLOCK, padding};
use crate::base::units::{bytes, length};
use crate::base::{Error, Kind, RelPath, Result, Timestamp, WhatIo};
use crate::format::tree::{Meta, Node, NodeKind};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// What GNU tar pads its output to.
const RECORD: u64 = 20 * BLOCK;
/// Names of this length or more get a member of their own.
const SHORT_NAME: usize = 100;
/// The largest piece of content moved at once.
const COPY_BYTES: usize = 128 * 1024;

/// Writes members one after another.
#[derive(Debug)]
pub struct TarWriter<W> {
    out: W,
    /// Bytes written.
    written: u64,
    buffer: Vec<u8>,
}

/// A member whose size is not known before its content is written.
#[derive(Debug)]
pub struct OpenMember {
    name: Vec<u8>,
    meta: Meta,
    /// Where its header lies in the output.
    header: u64,
    /// [`TarWriter::written`] at the start of its content.
    start: u64,
}

impl<W: Write> TarWriter<W> {
    /// Starts a stream.
    pub fn new(out: W) -> Self {
        Self { out, written: 0, buffer: vec![0; COPY_BYTES] }
    }

    /// Writes one member. `name` is written as it is, so a folder's name ends in a slash;
    /// `content` must yield `meta.size` bytes of a file, neither more nor less, and is not looked
    /// at for anything else. Sockets have no form in a tar stream.
    pub fn member(&mut self, name: &[u8], meta: &Meta, content: &mut dyn Read) -> Result<()> {
        let size = if meta.kind == NodeKind::File { meta.size } else { 0 };
        self.extensions(name, meta)?;
        self.put(&header(name, meta, size)?)?;
        self.copy(content, size)?;
        self.pad(size)
    }

    /// Writes another name of a file that was written under the name `of`.
    pub fn hard_link(&mut self, name: &[u8], of: &[u8], meta: &Meta) -> Result<()> {
        // Attributes belong to the file, which has them already.
        let mut meta = Meta { target: of.to_vec(), xattrs: Vec::new(), ..meta.clone() };
        meta.mtime.nanos = 0;
        self.extensions(name, &meta)?;
        self.put(&flagged_header(b'1', name, &meta, 0)?)
    }

    /// Ends the stream: the end mark, filled to a full record.
    pub fn finish(mut self) -> Result<W> {
        let end = self.written + 2 * BLOCK;
        let fill = (RECORD - end % RECORD) % RECORD;
        self.put(&vec![0; length(2 * BLOCK + fill)])?;
        self.out.flush().what_io(|| WRITE)?;
        Ok(self.out)
    }

    /// Copies exactly `size` bytes and makes sure that no more follow.
    fn copy(&mut self, content: &mut dyn Read, size: u64) -> Result<()> {
        let mut left = size;
        loop {
            // At the end one more byte is asked for: there must be none.
            let most = length(left.max(1)).min(self.buffer.len());
            let Some(piece) = self.buffer.get_mut(..most) else { return Ok(()) };
            let got = match content.read(piece) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                done => done.what_io(|| "read the content of a file")?,
            };
            if got == 0 && left == 0 {
                return Ok(());
            }
            let Some(piece) =
                piece.get(..got).filter(|piece| (1..=left).contains(&bytes(piece.len())))
            else {
                return Err(Error::new(Kind::Internal, WRITE)
                    .why(format!("a file of {size} bytes turned out to be of another length")));
            };
            self.out.write_all(piece).what_io(|| WRITE)?;
            self.written += bytes(got);
            left -= bytes(got);
        }
    }

    fn put(&mut self, block: &[u8]) -> Result<()> {
        self.out.write_all(block).what_io(|| WRITE)?;
        self.written += bytes(block.len());
        Ok(())
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        self.put(&vec![0; length(padding(size))])
    }

    /// Writes what has no room in the header.
    fn extensions(&mut self, name: &[u8], meta: &Meta) -> Result<()> {
        let records = pax_records(meta);
        if !records.is_empty() {
            self.extension(b'x', b"./PaxHeaders/ghostsnap", &records)?;
        }
        if meta.target.len() >= SHORT_NAME {
            let target = [meta.target.as_slice(), b"\0"].concat();
            self.extension(b'K', b"././@LongLink", &target)?;
        }
        if name.len() >= SHORT_NAME {
            self.extension(b'L', b"././@LongLink", &[name, b"\0"].concat())?;
        }
        Ok(())
    }

    fn extension(&mut self, flag: u8, name: &[u8], text: &[u8]) -> Result<()> {
        let meta = Meta { mode: 0o644, ..Meta::default() };
        let size = bytes(text.len());
        self.put(&flagged_header(flag, name, &meta, size)?)?;
        self.put(text)?;
        self.pad(size)
    }
}

impl<W: Write + Seek> TarWriter<W> {
    /// Begins a file whose size shows at its end; its content is what is then written to this
    /// writer. [`Self::close_member`] must follow before anything else.
    pub fn open_member(&mut self, name: &[u8], meta: &Meta) -> Result<OpenMember> {
        self.extensions(name, meta)?;
        let at = self.out.stream_position().what_io(|| WRITE)?;
        self.put(&header(name, meta, 0)?)?;
        Ok(OpenMember { name: name.to_vec(), meta: meta.clone(), header: at, start: self.written })
    }

    /// Ends the content and writes its size into the header.
    pub fn close_member(&mut self, member: &OpenMember) -> Result<()> {
        let size = self.written - member.start;
        self.pad(size)?;
        let block = header(&member.name, &member.meta, size)?;
        self.out.seek(SeekFrom::Start(member.header)).what_io(|| WRITE)?;
        self.out.write_all(&block).what_io(|| WRITE)?;
        self.out.seek(SeekFrom::End(0)).what_io(|| WRITE)?;
        Ok(())
    }
}

impl<W: Write> Write for TarWriter<W> {
    /// The content of an open member.
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(piece)?;
        self.written += bytes(taken);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

const WRITE: &str = "write the tar archive";

fn header(name: &[u8], meta: &Meta, size: u64) -> Result<[u8; 512]> {
    let flag = match meta.kind {
        NodeKind::File => b'0',
        NodeKind::Symlink => b'2',
        NodeKind::CharDevice => b'3',
        NodeKind::BlockDevice => b'4',
        NodeKind::Folder => b'5',
        NodeKind::Fifo => b'6',
        NodeKind::Socket => {
            return Err(Error::new(Kind::Invalid, WRITE).why("a socket has no form in it"));
        }
    };
    flagged_header(flag, name, meta, size)
}

fn flagged_header(flag: u8, name: &[u8], meta: &Meta, size: u64) -> Result<[u8; 512]> {
    let mut header = tar::Header::new_gnu();
    let too_large = || Error::new(Kind::Invalid, WRITE).why("a size in it is too large");
    if let Some(gnu) = header.as_gnu_mut() {
        fill_text(&mut gnu.name, name);
        fill_text(&mut gnu.linkname, &meta.target);
        fill_text(&mut gnu.uname, without_cut_name(&meta.user));
        fill_text(&mut gnu.gname, without_cut_name(&meta.group));
        fill_number(&mut gnu.mode, i64::from(meta.mode & 0o7777));
        fill_number(&mut gnu.uid, i64::from(meta.uid));
        fill_number(&mut gnu.gid, i64::from(meta.gid));
        fill_number(&mut gnu.size, i64::try_from(size).map_err(|_| too_large())?);
        fill_number(&mut gnu.mtime, meta.mtime.seconds);
        gnu.typeflag = [flag];
        if matches!(meta.kind, NodeKind::CharDevice | NodeKind::BlockDevice) {
            let part = |part: u64| i64::try_from(part).unwrap_or(0);
            fill_number(&mut gnu.dev_major, part(nix::sys::stat::major(meta.rdev)));
            fill_number(&mut gnu.dev_minor, part(nix::sys::stat::minor(meta.rdev)));
        }
    }
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// An owner's name that has no room is left out: cut, it would name somebody else.
fn without_cut_name(name: &str) -> &[u8] {
    if name.len() < 32 { name.as_bytes() } else { b"" }
}

fn fill_text(field: &mut [u8], text: &[u8]) {
    for (to, from) in field.iter_mut().zip(text) {
        *to = *from;
    }
}

/// Octal where it fits, else two's complement with the first bit set.
fn fill_number(field: &mut [u8], value: i64) {
    let digits = field.len().saturating_sub(1);
    let octal = format!("{value:0digits$o}");
    if value >= 0 && octal.len() <= digits {
        fill_text(field, octal.as_bytes());
        return;
    }
    // Wide fields keep the sign in front; a field of 8 bytes still holds 32-bit owners.
    let fill = if value < 0 { 0xff } else { 0 };
    field.fill(fill);
    for (to, from) in field.iter_mut().rev().zip(value.to_be_bytes().iter().rev()) {
        *to = *from;
    }
    if let Some(first) = field.first_mut() {
        *first |= 0x80;
    }
}

fn pax_records(meta: &Meta) -> Vec<u8> {
    let mut records = Vec::new();
    if meta.mtime.nanos != 0 {
        pax_record(&mut records, b"mtime", time(meta.mtime).as_bytes());
    }
    for (name, value) in &meta.xattrs {
        let mut key = b"SCHILY.xattr.".to_vec();
        for byte in name {
            match byte {
                b'%' => key.extend_from_slice(b"%25"),
                b'=' => key.extend_from_slice(b"%3D"),
                other => key.push(*other),
            }
        }
        pax_record(&mut records, &key, value);
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn pax_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut whole = rest + 1;
    while whole != rest + whole.to_string().len() {
        whole = rest + whole.to_string().len();
    }
    records.extend_from_slice(format!("{whole} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn time(stamp: Timestamp) -> String {
    let Timestamp { seconds, nanos } = stamp;
    let text = if seconds >= 0 {
        format!("{seconds}.{nanos:09}")
    } else {
        // 2 seconds before 1970 and half a second after that is -1.5.
        format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos)
    };
    text.trim_end_matches('0').to_owned()
}

/// Writes the entries of a tree as one tar stream.
#[derive(Debug)]
pub struct TarSink<W> {
    tar: TarWriter<W>,
}

impl<W: Write> TarSink<W> {
    /// Starts the stream.
    pub fn new(out: W) -> Self {
        Self { tar: TarWriter::new(out) }
    }
}

impl<W: Write> Sink for TarSink<W> {
    fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        if node.meta.kind == NodeKind::Socket {
            // As with tar itself: a socket is made by whoever listens on it.
            return Ok(());
        }
        self.tar.member(&member_name(b"./", path, node), &node.meta, content)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.tar.finish().map(drop)
    }
}

/// The name of a member: `prefix`, the path, and a slash behind a folder.
pub fn member_name(prefix: &[u8], path: &RelPath, node: &Node) -> Vec<u8> {
    let mut name = [prefix, path.as_bytes()].concat();
    if node.is_folder() && !name.ends_with(b"/") {
        name.push(b'/');
    }
    name
}
