// SPDX-License-Identifier: MIT
//! A native Hestia tarball as a source: the outer archive is read member by member, the compressed
//! archives and dumps in it are opened on the way, and what comes out is the canonical tree. No
//! temporary file is made. Hestia does not look at the exit codes of the programs that make these
//! archives, so each is read to its very end here: one that is cut off is an error, never a short
//! folder.

use super::objects::Seen;
use super::tarball_dump::Dump;
use crate::base::error::WhatIo;
use crate::base::path::display_bytes;
use crate::base::units::{bytes, length};
use crate::base::{Error, Kind, Monitor, RelPath, Result, limits};
use crate::format::snapshot::Object;
use crate::format::tree::NodeKind;
use crate::tree::source::{Content, Entry, SIZE_UNKNOWN, Source};
use crate::tree::tar_in::{Body, Head, MemberContent, Order, TarSource, head_of, read_some};
use crate::tree::tar_member::{Member, Members, foreign};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Opens a tarball that `v-backup-user` made, in zstd or gzip mode.
///
/// Members that this program does not know are kept as they are; the mode's marker `./.zstd` is
/// not, since whoever writes a tarball chooses the mode. The times of folders Hestia makes anew
/// for each backup are kept as they are.
pub struct HestiaTarball {
    file: Arc<File>,
    user: String,
    outer: Members<BufReader<FileRange>>,
    order: Order,
    waiting: VecDeque<(Head, Origin)>,
    inner: Option<Inner>,
    dump: Option<Dump<Decoder>>,
    facts: Facts,
}

/// Where the content of a head comes from.
#[derive(Debug)]
enum Origin {
    Outer,
    Memory(Vec<u8>),
    Dump,
}

/// An archive in the archive.
struct Inner {
    /// Where its entries belong.
    base: RelPath,
    /// For an archive of `user_dir`: the only name at its top.
    only: Option<Vec<u8>>,
    source: TarSource<BufReader<Decoder>>,
    is_empty: bool,
}

/// What must be known at the end.
#[derive(Default)]
struct Facts {
    passwd: bool,
    user_conf: bool,
    seen: Seen,
}

/// The compressed forms Hestia writes.
const SUFFIXES: [&[u8]; 2] = [b".zst", b".gz"];

/// What a member of the outer archive is, read off its path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The marker of zstd mode.
    Marker,
    /// A compressed archive: its entries belong at `base`; `only` is their one top name.
    Archive { base: RelPath, only: Option<Vec<u8>> },
    /// A compressed dump, which becomes this file.
    Dump { plain: RelPath },
    /// Anything else.
    Plain,
}

/// Says what a regular file of this path is in a tarball.
pub(super) fn shape(path: &RelPath) -> Result<Shape> {
    let names: Vec<&[u8]> = path.names().collect();
    Ok(match names.as_slice() {
        [b".zstd"] => Shape::Marker,
        [b"web", _, name] if archive_name(name) == Some(b"domain_data") => {
            Shape::Archive { base: sibling(path, b"data")?, only: None }
        }
        [b"mail", _, name] if archive_name(name) == Some(b"accounts") => {
            Shape::Archive { base: sibling(path, b"accounts")?, only: None }
        }
        [b"user_dir", name] => match archive_name(name).filter(|entry| !entry.is_empty()) {
            Some(entry) => {
                Shape::Archive { base: sibling(path, entry)?, only: Some(entry.to_vec()) }
            }
            None => Shape::Plain,
        },
        [b"db", database, name] => match without_suffix(name) {
            Some(plain) if is_dump(database, plain) => Shape::Dump { plain: sibling(path, plain)? },
            _ => Shape::Plain,
        },
        _ => Shape::Plain,
    })
}

/// Whether a file of this name in the folder of a database is its dump.
pub(super) fn is_dump(database: &[u8], name: &[u8]) -> bool {
    name.starts_with(database) && name.get(database.len()) == Some(&b'.') && name.ends_with(b".sql")
}

fn without_suffix(name: &[u8]) -> Option<&[u8]> {
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(*suffix))
}

fn archive_name(name: &[u8]) -> Option<&[u8]> {
    without_suffix(name)?.strip_suffix(b".tar")
}

fn sibling(path: &RelPath, name: &[u8]) -> Result<RelPath> {
    path.parent().unwrap_or_default().join(name)
}

impl HestiaTarball {
    /// Opens a tarball of this user. Whether it is one shows at its end, since its members may
    /// come in any order: the last call of [`Source::next_entry`] fails if it is not.
    pub fn open(file: File, user: &str) -> Result<Self> {
        let size = file.metadata().what_io(|| "open the Hestia tarball")?.len();
        let file = Arc::new(file);
        let range = FileRange::new(&file, 0, size);
        Ok(Self {
            file,
            user: user.to_owned(),
            outer: Members::new(BufReader::new(range), "the Hestia tarball".to_owned()),
            order: Order::default(),
            waiting: VecDeque::new(),
            inner: None,
            dump: None,
            facts: Facts::default(),
        })
    }

    fn next_head(&mut self, monitor: &dyn Monitor) -> Result<Option<(Head, Option<Origin>)>> {
        loop {
            if let Some((head, origin)) = self.waiting.pop_front() {
                return Ok(Some((head, Some(origin))));
            }
            if let Some(mut dump) = self.dump.take() {
                dump.end(monitor)?;
            }
            if let Some(inner) = &mut self.inner {
                if let Some(head) = inner.next_head(monitor)? {
                    return Ok(Some((head, None)));
                }
                self.inner = None;
            }
            self.outer.pass_over(seek_on)?;
            match self.outer.next()? {
                Some(member) => self.take(member, monitor)?,
                None => return Ok(None),
            }
        }
    }

    /// Looks at one member of the outer archive.
    fn take(&mut self, member: Member, monitor: &dyn Monitor) -> Result<()> {
        let member_name = display_bytes(&member.name);
        if let Some(lost) = member.lost {
            monitor.warn(skipped(&member_name, lost));
        }
        let (path, head) = head_of(member).map_err(|error| self.outer.wrong(error.reasons()))?;
        let Some(mut head) = head else {
            self.enter(&path, false)?;
            monitor.warn(skipped(&member_name, "it is a device node"));
            return Ok(());
        };
        let is_file = matches!(head.body, Body::Stream);
        let shape = if is_file { shape(&path)? } else { Shape::Plain };
        let belongs_at = if let Shape::Archive { base, .. } = &shape { base } else { &path };
        self.facts.seen.note(belongs_at, head.meta.kind)?;
        match shape {
            Shape::Marker => Ok(()),
            Shape::Plain => {
                self.enter(&path, head.meta.kind == NodeKind::Folder)?;
                let origin = if is_file { self.look_into(&path)? } else { Origin::Outer };
                self.waiting.push_back((head, origin));
                Ok(())
            }
            Shape::Dump { plain } => {
                let decoder = self.decoder(&member_name)?;
                self.enter(&plain, false)?;
                self.dump = Some(Dump::new(decoder, &member_name, &plain));
                head.path = plain;
                head.meta.size = SIZE_UNKNOWN;
                self.waiting.push_back((head, Origin::Dump));
                Ok(())
            }
            Shape::Archive { base, only } => {
                let decoder = self.decoder(&member_name)?;
                let label = format!("'{member_name}' of the Hestia tarball");
                // A leaf here: nothing else of the outer archive may lie below it.
                self.enter(&base, false)?;
                let reader = BufReader::with_capacity(DECODED_BYTES, decoder);
                let source = TarSource::labelled(reader, label, &base);
                self.inner = Some(Inner { base, only, source, is_empty: true });
                Ok(())
            }
        }
    }

    /// Takes note of a path, and of the folders above it that the archive did not name.
    fn enter(&mut self, path: &RelPath, is_folder: bool) -> Result<()> {
        let missing = self
            .order
            .enter(path, is_folder)
            .map_err(|error| self.outer.wrong(error.reasons()).with_kind(error.kind()))?;
        self.waiting.extend(missing.into_iter().map(|path| (Head::folder(path), Origin::Outer)));
        Ok(())
    }

    /// Reads the small files that say whose tarball it is and what is in it.
    fn look_into(&mut self, path: &RelPath) -> Result<Origin> {
        match path.as_bytes() {
            b"pam/passwd" => {
                let text = self.whole()?;
                self.check_passwd(&text)?;
                self.facts.passwd = true;
                Ok(Origin::Memory(text))
            }
            b"cron/cron.conf" => {
                let text = self.whole()?;
                self.facts.seen.count_jobs(&text);
                Ok(Origin::Memory(text))
            }
            b"hestia/user.conf" => {
                self.facts.user_conf = true;
                Ok(Origin::Outer)
            }
            _ => Ok(Origin::Outer),
        }
    }

    /// The content of the member in hand.
    fn whole(&mut self) -> Result<Vec<u8>> {
        let size = self.outer.remaining();
        if size > limits::HESTIA_FILE_BYTES_MAX {
            return Err(self.outer.wrong(format!("it has {size} bytes, far more than it could")));
        }
        let mut text = Vec::with_capacity(length(size));
        let mut content = MemberContent(&mut self.outer);
        content.read_to_end(&mut text).map_err(|cause| foreign(cause, READ.to_owned()))?;
        Ok(text)
    }

    /// Every row of `pam/passwd` must be the user's own.
    fn check_passwd(&self, text: &[u8]) -> Result<()> {
        let mut rows = text.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()).peekable();
        let nobody = rows.peek().is_none();
        let name = |row: &[u8]| row.split(|byte| *byte == b':').next().map(<[u8]>::to_vec);
        let stranger = rows.filter_map(name).find(|name| name != self.user.as_bytes());
        let why = match stranger {
            None if nobody => "its pam/passwd is empty".to_owned(),
            None => return Ok(()),
            Some(name) => format!("it is a tarball of '{}'", display_bytes(&name)),
        };
        Err(self.not_of_this_user(&why))
    }

    fn check_end(&self) -> Result<()> {
        let missing = match (self.facts.passwd, self.facts.user_conf) {
            (true, true) => return Ok(()),
            (false, _) => "it has no ./pam/passwd",
            (true, false) => "it has no ./hestia/user.conf",
        };
        Err(self.not_of_this_user(missing))
    }

    fn not_of_this_user(&self, why: &str) -> Error {
        let user = display_bytes(self.user.as_bytes());
        Error::new(Kind::Parsing, format!("take the file as a tarball of user '{user}'"))
            .why(format!("not a Hestia tarball of this user: {why}"))
    }

    /// Opens the compressed content of the member in hand, whichever form it has.
    fn decoder(&mut self, member: &str) -> Result<Decoder> {
        let start = self.outer.position();
        let end = start + self.outer.remaining();
        let mut range = FileRange::new(&self.file, start, end);
        let what = || unpack(member);
        let mut magic = [0; 4];
        let mut got = 0;
        while let Some(rest) = magic.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match read_some(&mut range, rest, what)? {
                0 => break,
                some => got += some,
            }
        }
        let range = FileRange::new(&self.file, start, end);
        let reader = BufReader::with_capacity(COMPRESSED_BYTES, range);
        match magic {
            // pzstd puts a skippable frame in front, with one of sixteen magic numbers.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                let decoder = zstd::stream::read::Decoder::with_buffer(reader);
                decoder.map(Decoder::Zstd).what_io(what)
            }
            [0x1f, 0x8b, ..] => Ok(Decoder::Gzip(flate2::bufread::MultiGzDecoder::new(reader))),
            _ if start == end => Err(Error::new(Kind::Parsing, what()).why("it is empty")),
            _ => Err(Error::new(Kind::Parsing, what()).why("it is neither zstd nor gzip")),
        }
    }
}

const READ: &str = "read the Hestia tarball";
/// Read ahead of a decompressor.
const COMPRESSED_BYTES: usize = 128 * 1024;
/// Read ahead behind it: tar headers are small.
const DECODED_BYTES: usize = 64 * 1024;

pub(super) fn unpack(member: &str) -> String {
    format!("unpack '{member}' of the Hestia tarball")
}

pub(super) fn skipped(member: &str, why: &str) -> Error {
    Error::new(Kind::Partial, format!("keep all of '{member}' of the Hestia tarball")).why(why)
}

/// Hard links never leave the inner archive they are in.
fn ends_inner_archive(folder: &RelPath) -> bool {
    let names: Vec<&[u8]> = folder.names().collect();
    matches!(
        names.as_slice(),
        [b"web", _, b"data"] | [b"mail", _, b"accounts"] | [b"user_dir", _] | []
    )
}

impl Source for HestiaTarball {
    fn names_earlier_entries(&self) -> Option<fn(&RelPath) -> bool> {
        Some(ends_inner_archive)
    }

    fn next_entry(&mut self, monitor: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        let Some((Head { path, meta, body }, origin)) = self.next_head(monitor)? else {
            self.check_end()?;
            return Ok(None);
        };
        let content: Content<'_> = match (body, origin) {
            (Body::Nothing, _) => Content::Nothing,
            (Body::SameAs(target), _) => Content::SameAs(target),
            (Body::Stream, Some(Origin::Memory(text))) => {
                Content::Stream(Box::new(Cursor::new(text)))
            }
            (Body::Stream, Some(Origin::Outer)) => {
                Content::Stream(Box::new(MemberContent(&mut self.outer)))
            }
            (Body::Stream, _) => match (&mut self.inner, &mut self.dump) {
                (Some(inner), _) => Content::Stream(inner.source.content()),
                (None, Some(dump)) => Content::Rows(Box::new(dump)),
                (None, None) => return Err(Error::new(Kind::Internal, READ)),
            },
        };
        Ok(Some(Entry { path, meta, content }))
    }

    fn objects(&self) -> Vec<Object> {
        self.facts.seen.objects()
    }
}

impl Inner {
    fn next_head(&mut self, monitor: &dyn Monitor) -> Result<Option<Head>> {
        loop {
            let Some(mut head) = self.source.next_head(monitor)? else {
                if self.is_empty && self.only.is_some() {
                    let what = format!("keep '{}' of the Hestia tarball", self.base);
                    monitor.warn(Error::new(Kind::Partial, what).why("its archive is empty"));
                }
                return Ok(None);
            };
            if self.only.is_some() && head.path.is_root() {
                continue;
            }
            self.is_empty = false;
            head.path = self.place(&head.path)?;
            if let Body::SameAs(target) = &head.body {
                head.body = Body::SameAs(self.place(target)?);
            }
            return Ok(Some(head));
        }
    }

    /// Where an entry of this archive belongs in the whole tree.
    fn place(&self, path: &RelPath) -> Result<RelPath> {
        let Some(only) = &self.only else { return self.base.join_path(path) };
        let mut names = path.names();
        if names.next() != Some(only) {
            return Err(Error::new(Kind::Parsing, format!("take '{path}' of the Hestia tarball"))
                .why(format!("the archive may hold '{}' only", display_bytes(only))));
        }
        names.try_fold(self.base.clone(), |place, name| place.join(name))
    }
}

/// A decompressor that reads all frames or members of its input and fails on anything else.
enum Decoder {
    Zstd(zstd::stream::read::Decoder<'static, BufReader<FileRange>>),
    Gzip(flate2::bufread::MultiGzDecoder<BufReader<FileRange>>),
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
        }
    }
}

/// A part of a file, read without moving the file's own position.
struct FileRange {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl FileRange {
    fn new(file: &Arc<File>, start: u64, end: u64) -> Self {
        Self { file: Arc::clone(file), position: start, end }
    }
}

impl Read for FileRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(length(self.end.saturating_sub(self.position)));
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let got = self.file.read_at(buffer, self.position)?;
        if got == 0 {
            let error = Error::new(Kind::Parsing, READ).why("the file is cut off");
            return Err(error.into());
        }
        self.position += bytes(got);
        Ok(got)
    }
}

impl Seek for FileRange {
    /// Moves on from here; never past the end.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
        };
        match target.filter(|target| *target <= self.end) {
            Some(target) => {
                self.position = target;
                Ok(target)
            }
            None => Err(Error::new(Kind::Parsing, READ).why("the file is cut off").into()),
        }
    }
}

/// Moves the outer archive past a member without reading it.
fn seek_on(reader: &mut BufReader<FileRange>, by: u64) -> io::Result<()> {
    let by = i64::try_from(by).map_err(io::Error::other)?;
    reader.seek_relative(by)
}
