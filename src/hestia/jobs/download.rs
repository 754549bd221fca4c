// SPDX-License-Identifier: MIT
//! A file or folder of a snapshot as one file that the panel can serve. It lies in Hestia's folder
//! of backups, the only one that the panel serves from, readable by the panel and the user's group
//! alone, under a name that cannot be guessed, for a day.

use super::export::{Draft, open_to_panel};
use super::files::find_for;
use super::{Server, manage};
use crate::base::error::io_error;
use crate::base::monitor::check_cancelled;
use crate::base::{Error, FileId, Kind, Monitor, RelPath, Result, WhatIo, limits, units};
use crate::format::{Node, NodeKind, Snapshot};
use crate::hestia::layout::{Hestia, UserName};
use crate::hestia::paths::{self, Meaning};
use crate::ops::list;
use crate::ops::restore::{FileReader, to_sink};
use crate::repo::{IndexedRepository, Reader};
use crate::tree::tar_out::{TarWriter, member_name};
use crate::tree::zip_out::ZipSink;
use crate::tree::{Selection, Sink};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The content of one file, as it is.
    Raw,
    /// A zip archive.
    Zip,
    /// A tar stream, compressed with zstd.
    TarZst,
}

/// What to make, and where.
#[derive(Debug, Clone, Default)]
pub struct DownloadRequest {
    /// Which snapshot: id, prefix, name or `latest`.
    pub snapshot: String,
    /// The file or folder, as the customer knows it.
    pub path: Vec<u8>,
    /// The form; a file as it is and a folder as a zip archive, if none is named.
    pub form: Option<Form>,
    /// Where to write; without it, where the panel can serve it.
    pub output: Option<PathBuf>,
    /// Overwrite the output if it exists.
    pub force: bool,
}

/// What was made.
#[derive(Debug)]
pub struct Downloaded {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The snapshot it was made of.
    pub snapshot: (FileId, Snapshot),
}

/// Makes a file for download. The user may be gone.
pub fn download(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &DownloadRequest,
    monitor: &dyn Monitor,
) -> Result<Downloaded> {
    let path = paths::below_home(&server.hestia, user, &request.path)?;
    let what = || format!("make a file of {path}");
    let (id, snapshot) = manage::find(repository, user, &request.snapshot, monitor)?;
    // The panel serves it to whoever bears the name today.
    if request.output.is_none() && !request.force {
        manage::check_same_person(server, user, &snapshot)?;
    }
    let Meaning::At(base) = paths::meaning(&snapshot, &path)? else {
        return Err(Error::new(Kind::Usage, what())
            .why("it holds all domains")
            .hint("v-ghostsnap-export-user-backup makes a tarball of a whole user"));
    };
    let reader = Reader::new(repository);
    let node = find_for(&reader, &snapshot, &base, &path)?;
    let form = form_of(request.form, &node).ok_or_else(|| {
        Error::new(Kind::Invalid, what()).why("only a file can be had as it is, and this is none")
    })?;
    remove_old(server, Some(user), monitor);
    let output = match &request.output {
        Some(output) => output.clone(),
        None => server.hestia.in_backup(&file_name(server, user, &path, form)?),
    };
    if request.output.is_some() && !request.force && output.symlink_metadata().is_ok() {
        return Err(Error::new(Kind::Exists, format!("write {}", output.display()))
            .why("it exists")
            .hint("--force overwrites it"));
    }
    check_room(&reader, &snapshot, &base, &output, monitor)?;
    let draft = Draft::new(&output)?;
    let file = draft.file.try_clone().what_io(what)?;
    let mut out = BufWriter::with_capacity(256 * 1024, file);
    if form == Form::Raw {
        let mut content = Heeding { content: FileReader::new(&reader, &node)?, monitor };
        io::copy(&mut content, &mut out).map_err(|e| io_error(e, what()))?;
        out.flush().what_io(what)?;
    } else {
        let top = RelPath::root().join(path.name().unwrap_or(b"files"))?;
        let inner: Box<dyn Sink> = match form {
            Form::Zip => Box::new(ZipSink::new(out)),
            _ => Box::new(TarZst::new(out)?),
        };
        let mut sink = Box::new(Below { top, inner });
        if node.is_folder() {
            sink.entry(&RelPath::root(), &node, &mut io::empty())?;
        } else {
            // A single file is handed on under its own name already.
            sink.top = RelPath::root();
        }
        to_sink(repository, &snapshot, &base, &Selection::all(), sink, monitor)?;
    }
    if request.output.is_none() {
        open_to_panel(&draft.file, user, monitor);
    }
    let bytes = draft.publish(&output)?;
    Ok(Downloaded { path: output, bytes, snapshot: (id, snapshot) })
}

fn form_of(wanted: Option<Form>, node: &Node) -> Option<Form> {
    let is_file = node.meta.kind == NodeKind::File;
    match wanted {
        None if is_file => Some(Form::Raw),
        None => Some(Form::Zip),
        Some(Form::Raw) if !is_file => None,
        form => form,
    }
}

/// `USER.gs-<16 random digits>-NAME`: the panel serves a user what starts with the user's name.
/// Older releases thin out what has `tar` behind any letter in its name, so no name has.
fn file_name(server: &Server, user: &UserName, path: &RelPath, form: Form) -> Result<String> {
    let mut random = [0; 8];
    server.world.fill_random(&mut random)?;
    let token = u64::from_le_bytes(random);
    let name = harmless(path.name().unwrap_or(b"files"));
    let ending = match form {
        // What the panel's web server refuses to hand out under its own name.
        Form::Raw if is_refused(&name) => ".txt",
        Form::Raw => "",
        Form::Zip => ".zip",
        Form::TarZst => ".tzst",
    };
    Ok(format!("{user}.gs-{token:016x}-{name}{ending}"))
}

fn harmless(name: &[u8]) -> String {
    let letter = |c: &u8| match c {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(*c),
        _ => '_',
    };
    let text: String = name.iter().map(letter).collect();
    let start = text.len().saturating_sub(80);
    let text = text.get(start..).unwrap_or_default().trim_start_matches('.');
    if text.is_empty() || text.contains("tar") { "files".to_owned() } else { text.to_owned() }
}

/// What the web server answers with 404, and `php`, which it would look for among the panel's own
/// pages.
fn is_refused(name: &str) -> bool {
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    ["log", "sql", "sh", "env", "bak", "map", "php"].contains(&ending.as_str())
}

/// Whether a name in the folder of backups is one of these, of this user or of anybody.
fn is_download(name: &str, user: Option<&UserName>) -> bool {
    let has_token = |rest: &str| {
        let token = rest.get(..16).is_some_and(|token| {
            token.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
        });
        token && rest.get(16..17) == Some("-")
    };
    match user {
        Some(user) => name.strip_prefix(&format!("{user}.gs-")).is_some_and(has_token),
        None => name
            .match_indices(".gs-")
            .any(|(at, mark)| at > 0 && name.get(at + mark.len()..).is_some_and(has_token)),
    }
}

/// Removes files for download that are older than a day, and of this user all but the newest few.
pub fn remove_old(server: &Server, user: Option<&UserName>, monitor: &dyn Monitor) {
    let Hestia { backup, .. } = &server.hestia;
    let now = server.world.now().seconds;
    // What cannot be listed cannot be tidied; writing there will tell.
    let entries = std::fs::read_dir(backup).into_iter().flatten().flatten();
    let mut kept = Vec::new();
    let mut going = Vec::new();
    for entry in entries.take(limits::LISTED_ENTRIES_MAX) {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_download(name, None)) else { continue };
        let Some(meta) = entry.metadata().ok().filter(std::fs::Metadata::is_file) else { continue };
        if now - meta.mtime() > limits::DOWNLOAD_SECONDS {
            going.push(entry.path());
        } else if user.is_some() && is_download(name, user) {
            kept.push((meta.mtime(), entry.path()));
        }
    }
    kept.sort();
    let most = limits::DOWNLOADS_KEPT.saturating_sub(1);
    let surplus = kept.len().saturating_sub(most);
    going.extend(kept.into_iter().take(surplus).map(|(_, path)| path));
    for path in going {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                monitor.warn(io_error(error, format!("remove {}", path.display())));
            }
            _ => {}
        }
    }
}

/// Refuses to fill the disk: everybody's backups pass through it.
fn check_room(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    base: &RelPath,
    output: &std::path::Path,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut needed: u64 = 0;
    list::walk(reader, snapshot, base, true, &Selection::all(), monitor, &mut |_, node| {
        needed = needed.saturating_add(node.meta.size).saturating_add(1024);
        Ok(())
    })?;
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let what = || format!("write {}", output.display());
    let disk = nix::sys::statvfs::statvfs(folder.unwrap_or(std::path::Path::new(".")));
    let disk = disk.what_io(what)?;
    // A twentieth stays free: Hestia stops its backups where less is left.
    let spare = disk.blocks() * disk.fragment_size() / 20;
    let free = (disk.blocks_available() * disk.fragment_size()).saturating_sub(spare);
    if needed <= free {
        return Ok(());
    }
    Err(Error::new(Kind::Disk, what())
        .why(format!(
            "{} may be used there, and it needs up to {}",
            units::ByteSize(free),
            units::ByteSize(needed)
        ))
        .hint("choose less, or restore it in place"))
}

/// Content that ends with an error when somebody says stop.
struct Heeding<'m, R> {
    content: R,
    monitor: &'m dyn Monitor,
}

impl<R: Read> Read for Heeding<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        check_cancelled(self.monitor)?;
        self.content.read(to)
    }
}

/// Puts everything below a folder of this name.
struct Below<'s> {
    top: RelPath,
    inner: Box<dyn Sink + 's>,
}

impl Sink for Below<'_> {
    fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        self.inner.entry(&self.top.join_path(path)?, node, content)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.inner.finish()
    }
}

/// A compressed tar stream.
struct TarZst {
    tar: TarWriter<zstd::stream::write::Encoder<'static, BufWriter<File>>>,
}

impl TarZst {
    fn new(out: BufWriter<File>) -> Result<Self> {
        let encoder = zstd::stream::write::Encoder::new(out, 3).what_io(|| "set zstd up")?;
        Ok(Self { tar: TarWriter::new(encoder) })
    }
}

impl Sink for TarZst {
    fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        if node.meta.kind == NodeKind::Socket {
            return Ok(());
        }
        self.tar.member(&member_name(b"", path, node), &node.meta, content)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let what = || "end the compressed stream";
        self.tar.finish()?.finish().what_io(what)?.flush().what_io(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_harmless_to_the_panel_and_to_the_rotation_of_backups() {
        for (name, expected) in [
            (&b"index.php"[..], "index.php"),
            (b"a b\n\xff.txt", "a_b__.txt"),
            (b".htaccess", "htaccess"),
            (b"start.html", "files"),
            (b"backup.tar", "files"),
            (b"...", "files"),
        ] {
            assert_eq!(harmless(name), expected);
        }
        assert_eq!(harmless(&[b'x'; 255]).len(), 80);
        assert!(is_refused("dump.SQL") && is_refused("x.log"));
        assert!(is_refused("index.php") && !is_refused("x.html"));
    }

    #[test]
    fn only_our_own_files_are_ever_removed() {
        let bob = UserName::parse("bob").unwrap();
        let ours = "bob.gs-0123456789abcdef-index.php";
        assert!(is_download(ours, Some(&bob)) && is_download(ours, None));
        assert!(!is_download("bob.x.gs-0123456789abcdef-a", Some(&bob)));
        for other in [
            "bob.2026-01-02_03-04-05.tar",
            "bob.gs-01234567.tar",
            "bob.gs-0123456789abcde-x",
            ".gs-0123456789abcdef-x",
            "bob.gs-0123456789abcdefx",
        ] {
            assert!(!is_download(other, None), "{other}");
        }
    }
}
