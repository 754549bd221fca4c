// SPDX-License-Identifier: MIT
//! The canonical tree as a native Hestia tarball that an unchanged `v-restore-user` accepts. The
//! archives in it are made on the way: their sizes are written into the outer headers afterwards,
//! so that nothing is stored twice. What Hestia would trip over is left out or added here: no
//! empty `user_dir`, always a `cron/cron.conf`, nobody becomes an administrator.

use super::tarball_in::{Shape, is_dump, shape};
use crate::base::units::bytes;
use crate::base::{ChunkId, Error, Kind, RelPath, Result, WhatIo, limits};
use crate::format::tree::{Meta, Node, NodeKind};
use crate::tree::sink::Sink;
use crate::tree::source::SIZE_UNKNOWN;
use crate::tree::tar_out::{OpenMember, TarWriter, member_name};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

/// The two forms of Hestia's `BACKUP_MODE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `.zst`, with the marker `./.zstd`.
    Zstd,
    /// `.gz`.
    Gzip,
}

/// How a tarball is written.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The compression.
    pub mode: Mode,
    /// Its level: 1 to 19 for zstd, 1 to 9 for gzip.
    pub level: i32,
    /// Whether `hestia/user.conf` may keep a role other than `user`: for a user that is an
    /// administrator on this machine. Hestia believes the role in a tarball.
    pub role_admin_allowed: bool,
}

/// Writes a native tarball.
///
/// Takes a canonical tree, whole or selected; `pam/passwd` must be in it, and a `cron/cron.conf`
/// is made up if it is not (so a restore of a selection must say `no` to CRON). The outer archive
/// is written as Hestia writes it: owner root, folders 0755 but for those of `hestia/`, files with
/// the modes they had but writable for nobody else, whole seconds. Entries in the archives within
/// keep all their metadata, and files of several names stay one file where the snapshot knows of
/// it (one that was made from a tarball does not). Left out are an empty `user_dir`, a folder
/// `vesta` (it would make Hestia read the old layout), the folder `extra` of a direct backup
/// (Hestia would not know what to do with it), and sockets and
/// device nodes (the restore runs as the user, who cannot make them, and would stop there); no
/// source yields those.
pub struct HestiaTarballSink {
    options: Options,
    state: State,
    has_passwd: bool,
    has_cron: bool,
    cron_folder: bool,
    /// The folder `user_dir`, until something in it shows up.
    user_dir: Option<Meta>,
}

enum State {
    /// Between members of the outer archive.
    Outer(Outer),
    /// Within an archive.
    Inner(Box<Inner>),
    /// A write failed.
    Broken,
}

/// An archive in the archive.
struct Inner {
    /// The path of the tree that it holds.
    base: RelPath,
    member: OpenMember,
    tar: TarWriter<Encoder>,
    linked: HashMap<(u64, u64), Linked>,
}

/// A file of the archive that may have more names.
struct Linked {
    /// Its first name there.
    name: Vec<u8>,
    chunks: Vec<ChunkId>,
    size: u64,
    /// Names so far.
    names: u32,
}

impl Inner {
    /// The member to which `node` is another name, if there is one. Files are told by device and
    /// inode; that the content is the same as well is looked at, since a file can change between
    /// its two names.
    fn known_name(&mut self, name: &[u8], node: &Node) -> Option<Vec<u8>> {
        let key = node.meta.hard_link()?;
        if let Some(known) = self.linked.get_mut(&key) {
            let same = known.chunks == node.chunks && known.size == node.meta.size;
            if same && known.names < limits::TARBALL_LINKS_MAX {
                known.names += 1;
                return Some(known.name.clone());
            }
        } else if self.linked.len() < limits::TARBALL_LINKED_MAX && !name.starts_with(LOGS) {
            let (chunks, size) = (node.chunks.clone(), node.meta.size);
            self.linked.insert(key, Linked { name: name.to_vec(), chunks, size, names: 1 });
        }
        None
    }
}

/// Hestia's restore leaves a domain's logs out: nothing may depend on what lies there.
const LOGS: &[u8] = b"./logs/";

type Outer = TarWriter<BufWriter<File>>;

/// Where an entry of the canonical tree goes.
enum Place {
    /// A member of the outer archive.
    Plain,
    /// A compressed file of the outer archive.
    Dump,
    /// A member of the archive that holds `base`, under `prefix` and `name`.
    Inner {
        base: RelPath,
        /// The path of the archive, without the compression's ending.
        archive: Vec<u8>,
        prefix: &'static [u8],
        name: RelPath,
    },
    /// Nowhere.
    Nowhere,
}

impl HestiaTarballSink {
    /// Starts a tarball in an empty file.
    pub fn new(file: File, options: Options) -> Result<Self> {
        let mut outer = TarWriter::new(BufWriter::with_capacity(256 * 1024, file));
        let root = Meta { mode: 0o700, ..plain_meta(NodeKind::Folder, &Meta::default()) };
        outer.member(b"./", &root, &mut io::empty())?;
        if options.mode == Mode::Zstd {
            let marker = plain_meta(NodeKind::File, &Meta::default());
            outer.member(b"./.zstd", &marker, &mut io::empty())?;
        }
        Ok(Self {
            options,
            state: State::Outer(outer),
            has_passwd: false,
            has_cron: false,
            cron_folder: false,
            user_dir: None,
        })
    }

    fn write(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        match place(path, node)? {
            Place::Nowhere => drain(content),
            Place::Plain => self.plain(path, node, content),
            Place::Dump => self.dump(path, node, content),
            Place::Inner { base, archive, prefix, name } => {
                self.enter(&base, &archive, &node.meta)?;
                // Names in an archive of mail or of the home have no `./`, as Hestia's have none.
                if name.is_root() && prefix.is_empty() {
                    return Ok(());
                }
                let State::Inner(inner) = &mut self.state else { return Err(broken()) };
                let name = member_name(prefix, &name, node);
                if let Some(known) = inner.known_name(&name, node) {
                    inner.tar.hard_link(&name, &known, &node.meta)?;
                    return drain(content);
                }
                inner.tar.member(&name, &node.meta, content)
            }
        }
    }

    fn plain(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let is_file = node.meta.kind == NodeKind::File;
        match path.as_bytes() {
            // Its own is written first of all.
            b"" => return drain(content),
            b"user_dir" if node.is_folder() => {
                self.user_dir = Some(node.meta.clone());
                return drain(content);
            }
            b"hestia/user.conf" if is_file => return self.user_conf(path, node, content),
            b"pam/passwd" => self.has_passwd = is_file,
            b"cron" => self.cron_folder = true,
            b"cron/cron.conf" => self.has_cron = is_file,
            _ => {}
        }
        let mut meta = plain_meta(node.meta.kind, &node.meta);
        // Hestia copies these with the modes they have here: a certificate's key stays private.
        // What leads to an inner archive must stay readable: those are unpacked as the user.
        let is_private = path.names().next() == Some(b"hestia");
        if is_file || (is_private && node.is_folder()) {
            meta.mode = node.meta.mode & 0o755;
        }
        self.outer()?.member(&member_name(b"./", path, node), &meta, content)
    }

    fn user_conf(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let mut text = Vec::new();
        content
            .take(limits::HESTIA_FILE_BYTES_MAX + 1)
            .read_to_end(&mut text)
            .what_io(|| "read hestia/user.conf")?;
        if bytes(text.len()) > limits::HESTIA_FILE_BYTES_MAX {
            return Err(Error::new(Kind::Limit, "read hestia/user.conf").why("it is too long"));
        }
        if !self.options.role_admin_allowed {
            text = with_role_user(&text);
        }
        let mut meta = plain_meta(NodeKind::File, &node.meta);
        meta.mode = node.meta.mode & 0o755;
        meta.size = bytes(text.len());
        self.outer()?.member(&member_name(b"./", path, node), &meta, &mut text.as_slice())
    }

    fn dump(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let name = self.compressed_name(path.as_bytes());
        let meta = plain_meta(NodeKind::File, &node.meta);
        let options = self.options;
        self.outer()?;
        let State::Outer(mut outer) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(broken());
        };
        let member = outer.open_member(&name, &meta)?;
        let mut encoder = Encoder::new(outer, options)?;
        let copied = io::copy(content, &mut encoder).what_io(|| WRITE)?;
        if node.meta.size != SIZE_UNKNOWN && copied != node.meta.size {
            let why = format!("{path} has {copied} bytes instead of {}", node.meta.size);
            return Err(Error::new(Kind::Internal, WRITE).why(why));
        }
        let mut outer = encoder.finish()?;
        outer.close_member(&member)?;
        self.state = State::Outer(outer);
        Ok(())
    }

    /// Makes the archive of `base` the one in hand.
    fn enter(&mut self, base: &RelPath, archive: &[u8], meta: &Meta) -> Result<()> {
        if matches!(&self.state, State::Inner(open) if open.base == *base) {
            return Ok(());
        }
        self.outer()?;
        if let Some(folder) = self.user_dir.take_if(|_| base.as_bytes().starts_with(b"user_dir/")) {
            let folder = plain_meta(NodeKind::Folder, &folder);
            self.outer()?.member(b"./user_dir/", &folder, &mut io::empty())?;
        }
        let name = self.compressed_name(archive);
        let options = self.options;
        let State::Outer(mut outer) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(broken());
        };
        let meta = plain_meta(NodeKind::File, &Meta { mtime: meta.mtime, ..Meta::default() });
        let member = outer.open_member(&name, &meta)?;
        let tar = TarWriter::new(Encoder::new(outer, options)?);
        self.state = State::Inner(Box::new(Inner {
            base: base.clone(),
            member,
            tar,
            linked: HashMap::new(),
        }));
        Ok(())
    }

    /// The name of a compressed member.
    fn compressed_name(&self, path: &[u8]) -> Vec<u8> {
        let end: &[u8] = match self.options.mode {
            Mode::Zstd => b".zst",
            Mode::Gzip => b".gz",
        };
        [b"./", path, end].concat()
    }

    /// The outer archive, with the inner one ended.
    fn outer(&mut self) -> Result<&mut Outer> {
        self.state = match std::mem::replace(&mut self.state, State::Broken) {
            State::Inner(inner) => {
                let mut outer = inner.tar.finish()?.finish()?;
                outer.close_member(&inner.member)?;
                State::Outer(outer)
            }
            other => other,
        };
        match &mut self.state {
            State::Outer(outer) => Ok(outer),
            _ => Err(broken()),
        }
    }

    fn end(mut self) -> Result<()> {
        if !self.has_passwd {
            return Err(Error::new(Kind::Invalid, WRITE)
                .why("pam/passwd is not in what was selected, and Hestia asks for it"));
        }
        let empty = Meta::default();
        if !self.cron_folder && !self.has_cron {
            let folder = plain_meta(NodeKind::Folder, &empty);
            self.outer()?.member(b"./cron/", &folder, &mut io::empty())?;
        }
        if !self.has_cron {
            let file = plain_meta(NodeKind::File, &empty);
            self.outer()?.member(b"./cron/cron.conf", &file, &mut io::empty())?;
        }
        self.outer()?;
        let State::Outer(outer) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(broken());
        };
        let file = outer.finish()?.into_inner().map_err(io::IntoInnerError::into_error);
        file.what_io(|| WRITE)?.sync_all().what_io(|| WRITE)
    }
}

impl Sink for HestiaTarballSink {
    fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let done = self.write(path, node, content);
        if done.is_err() {
            self.state = State::Broken;
        }
        done
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.end()
    }
}

const WRITE: &str = "write the Hestia tarball";

fn broken() -> Error {
    Error::new(Kind::Internal, WRITE).why("an earlier write failed")
}

fn drain(content: &mut dyn Read) -> Result<()> {
    io::copy(content, &mut io::sink()).map(drop).what_io(|| WRITE)
}

/// Decides where an entry goes.
fn place(path: &RelPath, node: &Node) -> Result<Place> {
    let kind = node.meta.kind;
    let names: Vec<&[u8]> = path.names().collect();
    let is_folder = node.is_folder();
    if matches!(kind, NodeKind::Socket | NodeKind::CharDevice | NodeKind::BlockDevice) {
        return Ok(Place::Nowhere);
    }
    match names.as_slice() {
        [b"vesta" | b"extra", ..] | [b".zstd"] => return Ok(Place::Nowhere),
        [b"web", domain, b"data", rest @ ..] if is_folder || !rest.is_empty() => {
            return Ok(Place::Inner {
                base: joined(&[b"web", domain, b"data"])?,
                archive: [b"web/", *domain, b"/domain_data.tar"].concat(),
                prefix: b"./",
                name: joined(rest)?,
            });
        }
        [b"mail", domain, b"accounts", rest @ ..] if is_folder || !rest.is_empty() => {
            return Ok(Place::Inner {
                base: joined(&[b"mail", domain, b"accounts"])?,
                archive: [b"mail/", *domain, b"/accounts.tar"].concat(),
                prefix: b"",
                name: joined(rest)?,
            });
        }
        [b"user_dir", name @ ..] if !name.is_empty() => {
            let entry = name.first().copied().unwrap_or_default();
            // The longest names of a home leave no room for what their archive is called.
            joined(&[b"user_dir", &[entry, b".tar.zst"].concat()])?;
            return Ok(Place::Inner {
                base: joined(&[b"user_dir", entry])?,
                archive: [b"user_dir/", entry, b".tar"].concat(),
                prefix: b"",
                name: joined(name)?,
            });
        }
        [b"db", database, name] if kind == NodeKind::File && is_dump(database, name) => {
            return Ok(Place::Dump);
        }
        _ => {}
    }
    if kind == NodeKind::File && shape(path)? != Shape::Plain {
        return Err(Error::new(Kind::Invalid, WRITE)
            .why(format!("'{path}' is a plain file that Hestia would take for an archive")));
    }
    Ok(Place::Plain)
}

fn joined(names: &[&[u8]]) -> Result<RelPath> {
    names.iter().try_fold(RelPath::root(), |path, name| path.join(name))
}

/// Metadata as Hestia writes it in the outer archive.
fn plain_meta(kind: NodeKind, from: &Meta) -> Meta {
    let mode = match kind {
        NodeKind::Folder => 0o755,
        NodeKind::Symlink => 0o777,
        _ => 0o644,
    };
    let mut mtime = from.mtime;
    mtime.nanos = 0;
    Meta {
        kind,
        mode,
        user: "root".to_owned(),
        group: "root".to_owned(),
        mtime,
        size: from.size,
        links: 1,
        target: from.target.clone(),
        ..Meta::default()
    }
}

/// A compressor into the outer archive.
enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Outer>),
    Gzip(flate2::write::GzEncoder<Outer>),
}

impl Encoder {
    fn new(outer: Outer, options: Options) -> Result<Self> {
        Ok(match options.mode {
            Mode::Zstd => {
                let level = options.level.clamp(1, 19);
                let mut encoder =
                    zstd::stream::write::Encoder::new(outer, level).what_io(|| WRITE)?;
                encoder.include_checksum(true).what_io(|| WRITE)?;
                Self::Zstd(encoder)
            }
            Mode::Gzip => {
                let level = u32::try_from(options.level.clamp(1, 9)).unwrap_or(6);
                let level = flate2::Compression::new(level);
                Self::Gzip(flate2::write::GzEncoder::new(outer, level))
            }
        })
    }

    fn finish(self) -> Result<Outer> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        }
        .what_io(|| WRITE)
    }
}

impl Write for Encoder {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(piece),
            Self::Gzip(encoder) => encoder.write(piece),
        }
    }

    /// Nothing: a flush in the middle would cost compression, and the end has its own.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sets the role of a `user.conf` to `user` and changes nothing else. A row that is not of the form
/// `KEY='value'` is kept unless it mentions a role: what Hestia would read there is anybody's
/// guess, so it goes.
fn with_role_user(text: &[u8]) -> Vec<u8> {
    let mut safe = Vec::with_capacity(text.len() + 16);
    let mut has_role = false;
    for row in text.split_inclusive(|byte| *byte == b'\n') {
        match row_with_role_user(row) {
            Some((row, role)) => {
                safe.extend_from_slice(&row);
                has_role |= role;
            }
            None if mentions_role(row) => {}
            None => safe.extend_from_slice(row),
        }
    }
    if !has_role {
        if safe.last().is_some_and(|last| *last != b'\n') {
            safe.push(b'\n');
        }
        safe.extend_from_slice(b"ROLE='user'\n");
    }
    safe
}

fn mentions_role(row: &[u8]) -> bool {
    row.windows(4).any(|four| four.eq_ignore_ascii_case(b"ROLE"))
}

/// The row with the value of each `ROLE` replaced, and whether there was one; `None` if it is not
/// made of `KEY='value'` alone.
fn row_with_role_user(row: &[u8]) -> Option<(Vec<u8>, bool)> {
    let (mut safe, mut has_role) = (Vec::with_capacity(row.len()), false);
    let mut rest = row;
    loop {
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let (blanks, tail) = rest.split_at(blank);
        safe.extend_from_slice(blanks);
        if tail.is_empty() {
            return Some((safe, has_role));
        }
        let key_end = tail.iter().position(|byte| *byte == b'=')?;
        let (key, tail) = tail.split_at(key_end);
        if key.is_empty() || !key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
            return None;
        }
        let value = tail.strip_prefix(b"='")?;
        let value_end = value.iter().position(|byte| *byte == b'\'')?;
        let (value, tail) = value.split_at(value_end);
        let is_role = key.eq_ignore_ascii_case(b"ROLE");
        has_role |= is_role;
        safe.extend_from_slice(key);
        safe.extend_from_slice(b"='");
        safe.extend_from_slice(if is_role { b"user" } else { value });
        safe.push(b'\'');
        rest = tail.get(1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe(text: &str) -> String {
        String::from_utf8(with_role_user(text.as_bytes())).unwrap()
    }

    #[test]
    fn nobody_becomes_an_administrator_and_nothing_else_changes() {
        let conf = "NAME='Al ROLE=x'\nROLE='admin'\nSUSPENDED='no'\n";
        assert_eq!(safe(conf), "NAME='Al ROLE=x'\nROLE='user'\nSUSPENDED='no'\n");
        assert_eq!(safe("A='1'\nROLE='user'\nB=''"), "A='1'\nROLE='user'\nB=''");
        assert_eq!(safe("A='1' ROLE='admin' B='2'\n"), "A='1' ROLE='user' B='2'\n");
        assert_eq!(safe("ROLE='admin'\nROLE='admin'\r\n"), "ROLE='user'\nROLE='user'\r\n");
        assert_eq!(safe("  ROLE='dns-cluster'\n"), "  ROLE='user'\n");
    }

    #[test]
    fn a_role_in_a_form_of_its_own_goes_away() {
        for row in ["ROLE=admin\n", "ROLE=\"admin\"\n", "export ROLE='admin'\n", "ROLE='admin\n"] {
            assert_eq!(
                safe(&format!("A='1'\n{row}B='2'\n")),
                "A='1'\nB='2'\nROLE='user'\n",
                "{row}"
            );
        }
        assert_eq!(safe("odd row\nROLE='user'\n"), "odd row\nROLE='user'\n");
        assert_eq!(safe("A='1'"), "A='1'\nROLE='user'\n");
    }
}
