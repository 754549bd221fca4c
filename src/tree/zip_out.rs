// SPDX-License-Identifier: MIT
//! Zip archives, written in one go to anything that takes bytes: each file is followed by its
//! sizes, the directory comes at the end, and 64-bit fields are used where they are needed (PKWARE
//! APPNOTE 6.3). For people who open a download on a desktop; a tar stream keeps more.

use super::sink::Sink;
use crate::base::units::bytes;
use crate::base::{Error, Kind, RelPath, Result, Timestamp, WhatIo, limits};
use crate::format::{Node, NodeKind};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::{self, Read, Write};

const WRITE: &str = "write the zip archive";
const COPY_BYTES: usize = 128 * 1024;
/// From here on a size might not fit into 32 bits, compressed or not.
const LARGE: u64 = 0xf000_0000;
const NO_ROOM: u32 = u32::MAX;

/// Counts what goes through.
struct Counted<W> {
    out: W,
    written: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.out.write(buffer)?;
        self.written += bytes(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What the directory says of an entry.
struct Entry {
    name: Vec<u8>,
    is_deflated: bool,
    mtime: Timestamp,
    mode: u32,
    crc: u32,
    stored: u64,
    size: u64,
    offset: u64,
}

/// Writes the entries of a tree as a zip archive.
pub struct ZipSink<W: Write> {
    out: Counted<W>,
    directory: Vec<u8>,
    entries: u64,
}

impl<W: Write> ZipSink<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self { out: Counted { out, written: 0 }, directory: Vec::new(), entries: 0 }
    }

    /// Ends the archive and gives back where it was written to.
    pub fn close(mut self) -> Result<W> {
        let (start, size) = (self.out.written, bytes(self.directory.len()));
        let mut end = std::mem::take(&mut self.directory);
        let end_64 = start + size;
        end.extend(b"PK\x06\x06");
        end.extend(44_u64.to_le_bytes());
        end.extend([45, 3, 45, 0]);
        end.extend([0; 8]);
        for number in [self.entries, self.entries, size, start] {
            end.extend(number.to_le_bytes());
        }
        end.extend(b"PK\x06\x07");
        end.extend([0; 4]);
        end.extend(end_64.to_le_bytes());
        end.extend(1_u32.to_le_bytes());
        end.extend(b"PK\x05\x06");
        end.extend([0; 4]);
        let entries = u16::try_from(self.entries).unwrap_or(u16::MAX).to_le_bytes();
        end.extend([entries, entries].concat());
        for number in [size, start] {
            end.extend(u32::try_from(number).unwrap_or(NO_ROOM).to_le_bytes());
        }
        end.extend([0; 2]);
        self.out.write_all(&end).what_io(|| WRITE)?;
        self.out.flush().what_io(|| WRITE)?;
        Ok(self.out.out)
    }

    fn add(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let meta = &node.meta;
        let (kind_bits, link): (u32, &[u8]) = match meta.kind {
            NodeKind::File => (0o100_000, b""),
            NodeKind::Folder => (0o040_000, b""),
            NodeKind::Symlink => (0o120_000, &meta.target),
            // The others have no form here.
            _ => return Ok(()),
        };
        let mut name = path.as_bytes().to_vec();
        if node.is_folder() {
            name.push(b'/');
        }
        let is_file = meta.kind == NodeKind::File;
        let mut entry = Entry {
            name,
            is_deflated: is_file,
            mtime: meta.mtime,
            mode: kind_bits | (meta.mode & 0o7777),
            crc: 0,
            stored: 0,
            size: if is_file { meta.size } else { bytes(link.len()) },
            offset: self.out.written,
        };
        if is_file {
            let header = local_header(&entry)?;
            self.out.write_all(&header).what_io(|| WRITE)?;
            self.deflate(&mut entry, content)?;
            let trailer = trailer(&entry);
            self.out.write_all(&trailer).what_io(|| WRITE)?;
        } else {
            let mut crc = Crc::new();
            crc.update(link);
            (entry.crc, entry.stored) = (crc.sum(), entry.size);
            let header = local_header(&entry)?;
            self.out.write_all(&[header.as_slice(), link].concat()).what_io(|| WRITE)?;
        }
        self.list(&entry)
    }

    fn deflate(&mut self, entry: &mut Entry, content: &mut dyn Read) -> Result<()> {
        let before = self.out.written;
        let mut crc = Crc::new();
        // What is fetched once is not worth a long compression.
        let mut deflate = DeflateEncoder::new(&mut self.out, Compression::fast());
        let mut buffer = vec![0; COPY_BYTES];
        let mut read = 0;
        loop {
            let count = content.read(&mut buffer).what_io(|| "read what goes into the archive")?;
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            crc.update(piece);
            deflate.write_all(piece).what_io(|| WRITE)?;
            read += bytes(count);
        }
        deflate.finish().what_io(|| WRITE)?;
        if read != entry.size {
            return Err(Error::new(Kind::Damaged, WRITE).why("a file has another length than said"));
        }
        (entry.crc, entry.stored) = (crc.sum(), self.out.written - before);
        Ok(())
    }

    fn list(&mut self, entry: &Entry) -> Result<()> {
        let record = directory_record(entry)?;
        if self.directory.len() + record.len() > limits::ZIP_DIRECTORY_BYTES_MAX {
            return Err(Error::new(Kind::Limit, WRITE)
                .why("it has too many entries for this form")
                .hint("a tar stream has no such limit"));
        }
        self.directory.extend(record);
        self.entries += 1;
        Ok(())
    }
}

impl<W: Write> Sink for ZipSink<W> {
    fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        self.add(path, node, content)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.close().map(drop)
    }
}

/// Version, flags, method and time, which both headers of an entry begin with.
fn common(entry: &Entry) -> Vec<u8> {
    // Bit 3: sizes follow the content; bit 11: the name is UTF-8.
    let sizes_follow = if entry.is_deflated { 1 << 3 } else { 0 };
    let is_utf8 = if std::str::from_utf8(&entry.name).is_ok() { 1 << 11 } else { 0 };
    let flags: u16 = sizes_follow | is_utf8;
    let method: u16 = if entry.is_deflated { 8 } else { 0 };
    let mut record = 45_u16.to_le_bytes().to_vec();
    record.extend(flags.to_le_bytes());
    record.extend(method.to_le_bytes());
    record.extend(dos_time(entry.mtime));
    record
}

/// The hour and the day of a time as DOS counted them, in local time, from 1980 to 2107.
fn dos_time(time: Timestamp) -> [u8; 4] {
    let civil = time.local();
    let part = |number: i8| u16::try_from(number).unwrap_or(0);
    let year = civil.year().clamp(1980, 2107) - 1980;
    let day =
        (u16::try_from(year).unwrap_or(0) << 9) | (part(civil.month()) << 5) | part(civil.day());
    let hour =
        (part(civil.hour()) << 11) | (part(civil.minute()) << 5) | (part(civil.second()) / 2);
    let ([a, b], [c, d]) = (hour.to_le_bytes(), day.to_le_bytes());
    [a, b, c, d]
}

/// The exact second, where it fits.
fn unix_time(entry: &Entry) -> Vec<u8> {
    let Ok(seconds) = i32::try_from(entry.mtime.seconds) else { return Vec::new() };
    let mut extra = b"UT\x05\x00\x01".to_vec();
    extra.extend(seconds.to_le_bytes());
    extra
}

fn is_large(entry: &Entry) -> bool {
    entry.size >= LARGE
}

fn name_length(entry: &Entry) -> Result<[u8; 2]> {
    let long = |_| Error::new(Kind::Limit, WRITE).why("a path is too long for this form");
    u16::try_from(entry.name.len()).map_err(long).map(u16::to_le_bytes)
}

fn extra_length(extra: &[u8]) -> [u8; 2] {
    // Two or three short fields.
    u16::try_from(extra.len()).unwrap_or(0).to_le_bytes()
}

fn local_header(entry: &Entry) -> Result<Vec<u8>> {
    let mut record = b"PK\x03\x04".to_vec();
    record.extend(common(entry));
    let mut extra = unix_time(entry);
    if is_large(entry) {
        extra.extend([1, 0, 16, 0]);
        extra.extend([0; 16]);
        record.extend([0; 4]);
        record.extend([0xff; 8]);
    } else if entry.is_deflated {
        record.extend([0; 12]);
    } else {
        record.extend(entry.crc.to_le_bytes());
        let size = u32::try_from(entry.size).unwrap_or(NO_ROOM).to_le_bytes();
        record.extend([size, size].concat());
    }
    record.extend(name_length(entry)?);
    record.extend(extra_length(&extra));
    record.extend(&entry.name);
    record.extend(extra);
    Ok(record)
}

/// The sizes behind the content.
fn trailer(entry: &Entry) -> Vec<u8> {
    let mut record = b"PK\x07\x08".to_vec();
    record.extend(entry.crc.to_le_bytes());
    for size in [entry.stored, entry.size] {
        if is_large(entry) {
            record.extend(size.to_le_bytes());
        } else {
            record.extend(u32::try_from(size).unwrap_or(NO_ROOM).to_le_bytes());
        }
    }
    record
}

fn directory_record(entry: &Entry) -> Result<Vec<u8>> {
    let mut record = b"PK\x01\x02".to_vec();
    // Made on Unix: the upper half of the attributes is the mode.
    record.extend([45, 3]);
    record.extend(common(entry));
    record.extend(entry.crc.to_le_bytes());
    let mut extra = unix_time(entry);
    let mut large = Vec::new();
    for size in [entry.stored, entry.size] {
        record.extend(if is_large(entry) { NO_ROOM } else { short(size) }.to_le_bytes());
    }
    if is_large(entry) {
        large.extend(entry.size.to_le_bytes());
        large.extend(entry.stored.to_le_bytes());
    }
    if entry.offset >= u64::from(NO_ROOM) {
        large.extend(entry.offset.to_le_bytes());
    }
    if !large.is_empty() {
        extra.extend([1, 0]);
        extra.extend(extra_length(&large));
        extra.extend(large);
    }
    record.extend(name_length(entry)?);
    record.extend(extra_length(&extra));
    record.extend([0; 6]);
    let folder_bit = u32::from(entry.name.ends_with(b"/")) << 4;
    record.extend(((entry.mode << 16) | folder_bit).to_le_bytes());
    record.extend(short(entry.offset).to_le_bytes());
    record.extend(&entry.name);
    record.extend(extra);
    Ok(record)
}

fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(NO_ROOM)
}

/// Longest path that the form can hold; longer ones cannot come from a tree.
const _: () = assert!(limits::PATH_BYTES_MAX < 65_535);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::Meta;
    use std::process::Command;

    fn archive() -> Vec<u8> {
        let mut zip = ZipSink::new(Vec::new());
        let mut add = |path: &str, kind, mode, content: &[u8]| {
            let mtime = Timestamp::from_seconds(1_767_323_045);
            let mut meta = Meta { kind, mode, mtime, ..Meta::default() };
            if kind == NodeKind::Symlink {
                meta.target = content.to_vec();
            } else {
                meta.size = bytes(content.len());
            }
            let node = Node { meta, ..Node::default() };
            let mut content = if kind == NodeKind::File { content } else { b"" };
            zip.entry(&RelPath::parse(path.as_bytes()).unwrap(), &node, &mut content).unwrap();
        };
        add("a", NodeKind::Folder, 0o750, b"");
        add("a/gr\u{fc}n.txt", NodeKind::File, 0o640, &b"hello ".repeat(1000));
        add("a/empty", NodeKind::File, 0o600, b"");
        add("a/link", NodeKind::Symlink, 0o777, b"empty");
        add("a/pipe", NodeKind::Fifo, 0o600, b"");
        zip.close().unwrap()
    }

    #[test]
    fn another_program_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.zip");
        std::fs::write(&path, archive()).unwrap();
        let script = "import sys, zipfile\n\
            z = zipfile.ZipFile(sys.argv[1])\n\
            assert z.testzip() is None\n\
            for i in z.infolist(): print(i.filename, oct(i.external_attr >> 16), i.file_size)\n\
            print(z.read('a/gr\u{fc}n.txt') == b'hello ' * 1000, z.read('a/link'))\n";
        let Ok(out) = Command::new("python3").arg("-c").arg(script).arg(&path).output() else {
            assert!(std::env::var_os("CI").is_none(), "python3 is missing");
            return;
        };
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            "a/ 0o40750 0\na/gr\u{fc}n.txt 0o100640 6000\na/empty 0o100600 0\n\
             a/link 0o120777 5\nTrue b'empty'\n"
        );
    }

    #[test]
    fn sizes_and_places_beyond_32_bits_have_fields_of_their_own() {
        let entry = Entry {
            name: b"x".to_vec(),
            is_deflated: true,
            mtime: Timestamp::from_seconds(i64::MAX),
            mode: 0o100_644,
            crc: 1,
            stored: 5 << 32,
            size: 6 << 32,
            offset: 7 << 32,
        };
        let record = directory_record(&entry).unwrap();
        let extra: Vec<u8> = [6_u64 << 32, 5 << 32, 7 << 32].map(u64::to_le_bytes).concat();
        assert!(record.ends_with(&[&[1, 0, 24, 0][..], &extra].concat()));
        assert_eq!(trailer(&entry).len(), 24);
    }

    #[test]
    fn a_file_of_another_length_than_said_is_refused() {
        let meta = Meta { size: 5, ..Meta::default() };
        let node = Node { meta, ..Node::default() };
        let mut zip = ZipSink::new(Vec::new());
        let path = RelPath::parse(b"x").unwrap();
        assert!(zip.entry(&path, &node, &mut &b"four"[..]).is_err());
    }
}
