// SPDX-License-Identifier: MIT
//! Makes a repository as large as those of a full server, without that server: users with folders
//! of small files, each file a name, a number and zeros, so that all of the metadata is real and
//! the content costs next to nothing. Days after the first change some files of each user; further
//! snapshots hold what the last day held. `benches/scale.py` measures what such a repository costs.
#![allow(clippy::print_stdout)]

use ghostsnap::backend::{Access, Backend};
use ghostsnap::base::monitor::{Collect, Counter, Monitor};
use ghostsnap::base::{Error, Kind, RelPath, Result, Timestamp, World};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::format::tree::Meta;
use ghostsnap::format::{NodeKind, Snapshot};
use ghostsnap::ops::backup::Parent;
use ghostsnap::ops::{BackupOptions, backup};
use ghostsnap::repo::{IndexedRepository, Repository};
use ghostsnap::tree::source::{OpenFile, ReadFile};
use ghostsnap::tree::{Content, Entry, Source};
use std::io::{Cursor, Read};
use std::process::ExitCode;
use std::sync::Arc;

/// Files in one folder.
const FOLDER_FILES: u64 = 250;
/// The first day: 2026-01-01.
const FIRST_DAY: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    users: u64,
    files: u64,
    bytes: usize,
    /// Days on which a thousandth of the files changes.
    days: u64,
    /// Snapshots of each user in all.
    snapshots: u64,
}

/// The content of one file: `benches/scale.py` writes the same.
fn content(user: u64, file: u64, day: u64, bytes: usize) -> Vec<u8> {
    let mut content = format!("user {user} file {file} day {day}\n").into_bytes();
    content.resize(bytes.max(content.len()), 0);
    content
}

/// The day of a file's last change.
fn changed(file: u64, day: u64) -> u64 {
    (1..=day).rev().find(|one| file % 1000 == one % 1000).unwrap_or(0)
}

/// The files of one user on one day.
struct Site {
    size: Size,
    user: u64,
    day: u64,
    /// Entries so far: three folders from the root, then folders with their files.
    at: u64,
}

impl Site {
    fn meta(&self, kind: NodeKind, inode: u64, day: u64) -> Meta {
        let time = Timestamp::from_seconds(FIRST_DAY + i64::try_from(day).unwrap_or(0) * DAY);
        Meta {
            kind,
            mode: if kind == NodeKind::Folder { 0o755 } else { 0o644 },
            uid: 1000,
            gid: 1000,
            user: format!("u{:03}", self.user),
            group: format!("u{:03}", self.user),
            mtime: time,
            ctime: time,
            inode,
            device: 1,
            links: 1,
            ..Meta::default()
        }
    }

    fn folder(&self, path: &str) -> Result<Entry<'static>> {
        let meta = self.meta(NodeKind::Folder, self.at + 1, 0);
        Ok(Entry { path: RelPath::parse(path.as_bytes())?, meta, content: Content::Nothing })
    }

    fn file(&self, file: u64) -> Result<Entry<'static>> {
        let day = changed(file, self.day);
        let mut meta = self.meta(NodeKind::File, self.at + 1, day);
        let bytes = content(self.user, file, day, self.size.bytes);
        meta.size = u64::try_from(bytes.len()).unwrap_or(0);
        let path = format!("{}/f{file:06}.php", folder_of(self.user, file / FOLDER_FILES));
        let content = Content::File(Box::new(Made { meta: meta.clone(), bytes }));
        Ok(Entry { path: RelPath::parse(path.as_bytes())?, meta, content })
    }
}

fn folder_of(user: u64, folder: u64) -> String {
    format!("srv/u{user:03}/d{folder:04}")
}

impl Source for Site {
    fn next_entry(&mut self, _: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        let at = self.at;
        let entry = match at {
            0 => self.folder("")?,
            1 => self.folder("srv")?,
            2 => self.folder(&format!("srv/u{:03}", self.user))?,
            _ => {
                let (folder, inside) =
                    ((at - 3) / (FOLDER_FILES + 1), (at - 3) % (FOLDER_FILES + 1));
                let first = folder * FOLDER_FILES;
                match inside {
                    _ if first >= self.size.files => return Ok(None),
                    0 => self.folder(&folder_of(self.user, folder))?,
                    _ => self.file(first + inside - 1)?,
                }
            }
        };
        self.at += 1;
        Ok(Some(entry))
    }
}

struct Made {
    meta: Meta,
    bytes: Vec<u8>,
}

impl OpenFile for Made {
    fn open(&self) -> Result<Option<Box<dyn ReadFile>>> {
        let content = Cursor::new(self.bytes.clone());
        Ok(Some(Box::new(Opened { meta: self.meta.clone(), content })))
    }
}

struct Opened {
    meta: Meta,
    content: Cursor<Vec<u8>>,
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.content.read(buffer)
    }
}

impl ReadFile for Opened {
    fn meta(&self) -> Result<Meta> {
        Ok(self.meta.clone())
    }
    fn extents(&self, _: u64) -> Result<Vec<(u64, u64)>> {
        Ok(Vec::new())
    }
    fn seek_to(&mut self, offset: u64) -> Result<()> {
        self.content.set_position(offset);
        Ok(())
    }
}

fn template(user: u64, day: u64) -> Snapshot {
    Snapshot {
        time: Timestamp::from_seconds(FIRST_DAY + i64::try_from(day).unwrap_or(0) * DAY),
        host: "scale.example".to_owned(),
        source: "paths".to_owned(),
        paths: vec![format!("srv/u{user:03}").into_bytes()],
        ..Snapshot::default()
    }
}

/// All days of one user; returns its chunks.
fn user(repository: &IndexedRepository, size: Size, user: u64) -> Result<u64> {
    let monitor = Collect::default();
    let mut last: Option<(ghostsnap::base::FileId, Snapshot)> = None;
    let mut chunks = 0;
    for day in 0..size.days {
        let mut options = BackupOptions::new(template(user, day));
        options.tripwire = false;
        options.parent = last.take().map_or(Parent::None, |parent| Parent::Among(vec![parent]));
        let mut site = Site { size, user, day, at: 0 };
        let report = backup(repository, &mut site, &options, &monitor)?;
        chunks += report.counts.get(Counter::ChunksNew);
        last = report.id.map(|id| (id, report.snapshot));
    }
    let Some((_, last)) = last else { return Ok(chunks) };
    for day in size.days..size.snapshots {
        let time = template(user, day).time;
        repository.commit(&Snapshot { time, ..last.clone() })?;
    }
    Ok(chunks)
}

fn run(words: &[String]) -> Result<()> {
    let [place, key, numbers @ ..] = words else {
        return Err(Error::new(Kind::Usage, "make a repository")
            .why("usage: scale REPOSITORY KEY_FILE USERS FILES BYTES DAYS SNAPSHOTS"));
    };
    let number = |at: usize, usual: u64| {
        numbers.get(at).and_then(|one: &String| one.parse().ok()).unwrap_or(usual)
    };
    let size = Size {
        users: number(0, 100),
        files: number(1, 100_000),
        bytes: usize::try_from(number(2, 8192)).unwrap_or(8192),
        days: number(3, 3),
        snapshots: number(4, 30),
    };
    let world = Arc::new(World::system());
    let store: Arc<dyn Backend> =
        ghostsnap::backend::open(place, &Access::bare(Arc::clone(&world)))?;
    let read = std::fs::read_to_string(key);
    let text =
        read.map_err(|error| Error::new(Kind::Usage, "read the key").why(error.to_string()))?;
    let secret = Secret::from_file_text(&text)?;
    let mut repository =
        Repository::init(store, &secret, "scale", world)?.indexed(&Collect::default())?;
    let mut chunks = 0;
    for one in 0..size.users {
        chunks += user(&repository, size, one)?;
        // Users are backed up one by one, on a server by a run each.
        if one % 10 == 9 {
            println!("{} users, {chunks} chunks", one + 1);
            repository.reload(&Collect::default())?;
        }
    }
    println!("{} users, {chunks} chunks in all", size.users);
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
