// SPDX-License-Identifier: MIT
//! What the engine's tests share: small trees on a real disk, compared entry by entry.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Access, Backend, FileKind, FileName, Properties, Variables};
use ghostsnap::base::monitor::{Collect, Counter, Monitor, Stage, Stop};
use ghostsnap::base::{ChunkId, Error, RelPath, Result, Timestamp, World};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::format::tree::Meta;
use ghostsnap::format::{NodeKind, Snapshot};
use ghostsnap::ops::restore::{RestoreOptions, RestoreReport, to_folder};
use ghostsnap::ops::{BackupOptions, BackupReport, backup};
use ghostsnap::repo::index::ChunkPlace;
use ghostsnap::repo::{IndexedRepository, Repository};
use ghostsnap::tree::dir::OwnerPolicy;
use ghostsnap::tree::source::{OpenFile, ReadFile};
use ghostsnap::tree::{Content, Entry, Source, Walk, WalkOptions};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub fn secret() -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[42; 32])).unwrap()
}

/// Bytes that do not compress and differ for every name.
pub fn noise(name: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// An empty store for a test: in memory, or a place of its own below the repository that
/// `GHOSTSNAP_TEST_REPOSITORY` names (its keys and options come from the environment as usual).
pub fn fresh_store() -> Arc<dyn Backend> {
    static PLACES: AtomicU64 = AtomicU64::new(0);
    let Ok(address) = std::env::var("GHOSTSNAP_TEST_REPOSITORY") else {
        return Arc::new(Mem::new());
    };
    let world = Arc::new(World::system());
    let variables = Variables::new(|name| std::env::var(name).ok());
    let access = Access { variables, ..Access::bare(world) };
    let place = PLACES.fetch_add(1, Ordering::SeqCst);
    let address = format!("{address}/{}-{place}", std::process::id());
    ghostsnap::backend::open(&address, &access).unwrap()
}

/// Puts all files of one store into another one, which has none.
pub fn copy_files(from: &dyn Backend, to: &dyn Backend) {
    for kind in FileKind::ALL {
        for (name, size) in from.list(kind).unwrap() {
            to.create(&name, &from.read(&name, 0..size).unwrap()).unwrap();
        }
    }
}

/// The names of all files.
pub fn names_in(store: &dyn Backend) -> BTreeSet<String> {
    let listed = FileKind::ALL.into_iter().flat_map(|kind| store.list(kind).unwrap());
    listed.map(|(name, _)| name.to_string()).collect()
}

pub fn init(backend: Arc<dyn Backend>) -> Repository {
    Repository::init(backend, &secret(), "test", Arc::new(World::seeded(1))).unwrap()
}

pub fn open(backend: Arc<dyn Backend>) -> IndexedRepository {
    try_open(backend).unwrap()
}

pub fn try_open(backend: Arc<dyn Backend>) -> ghostsnap::base::Result<IndexedRepository> {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let repository = Repository::open(backend, &secret(), Arc::new(World::seeded(2)))?;
    // Every other index lies on a disk, as that of a large repository does.
    let is_large = OPENED.fetch_add(1, Ordering::SeqCst) % 2 == 1;
    let folder = std::env::temp_dir();
    let repository = if is_large { repository.with_scratch(&folder, 5) } else { repository };
    repository.indexed(&Collect::default())
}

/// All rows of an index: chunks and where they lie, sorted by id.
pub fn all_chunks(repository: &IndexedRepository) -> Vec<(ChunkId, ChunkPlace)> {
    let mut all = Vec::new();
    let shown = repository.index().each_chunk(|_, rows| {
        all.extend_from_slice(rows);
        Ok(())
    });
    shown.unwrap();
    all
}

/// Small packs, so that a small test has several; each snapshot a second later than the one before.
pub fn options() -> BackupOptions {
    static BACKUPS: AtomicU64 = AtomicU64::new(0);
    let mut time = World::seeded(3).now();
    time.seconds += BACKUPS.fetch_add(1, Ordering::SeqCst) as i64;
    let mut options = BackupOptions::new(Snapshot {
        time,
        host: "test.example".to_owned(),
        source: "paths".to_owned(),
        ..Snapshot::default()
    });
    options.writer.pack_bytes = Some(64 * 1024);
    options
}

pub fn try_backup(
    repository: &IndexedRepository,
    source: &Path,
) -> ghostsnap::base::Result<BackupReport> {
    let mut walk = Walk::new(&[source.to_owned()], WalkOptions::default())?;
    let mut options = options();
    options.template.paths = walk.roots();
    backup(repository, &mut walk, &options, &Collect::default())
}

pub fn backup_now(backend: &Arc<dyn Backend>, source: &Path) -> BackupReport {
    try_backup(&open(Arc::clone(backend)), source).unwrap()
}

/// Where the backed-up folder lies inside its snapshot.
pub fn base_of(source: &Path) -> RelPath {
    RelPath::parse(fs::canonicalize(source).unwrap().as_os_str().as_bytes()).unwrap()
}

pub fn restore_options() -> RestoreOptions {
    RestoreOptions { owners: OwnerPolicy::Numeric, ..RestoreOptions::default() }
}

pub fn restore(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    source: &Path,
    target: &Path,
) -> RestoreReport {
    to_folder(
        repository,
        snapshot,
        &base_of(source),
        &restore_options(),
        target,
        &Collect::default(),
    )
    .unwrap()
}

/// Everything that matters of a tree, by path.
pub fn manifest(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    collect(root, root, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<Vec<u8>, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let content = if kind.is_symlink() {
            format!("-> {:?}", fs::read_link(&path).unwrap())
        } else if kind.is_file() {
            format!("{} {}", meta.len(), blake3::hash(&fs::read(&path).unwrap()).to_hex())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            "folder".to_owned()
        };
        let mut xattrs: Vec<_> = xattr::list(&path)
            .map(|names| names.map(|name| (xattr::get(&path, &name).unwrap(), name)).collect())
            .unwrap_or_default();
        xattrs.sort();
        let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
        let line = format!(
            "{content} mode {:o} owner {}:{} mtime {time} xattrs {xattrs:?}",
            meta.mode(),
            meta.uid(),
            meta.gid()
        );
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        found.insert(name, line);
        if kind.is_dir() {
            collect(root, &path, found);
        }
    }
}

/// A folder with one of each thing that is easy to get wrong.
pub fn sample_tree(root: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(root.join("site/public_html/empty folder")).unwrap();
    fs::create_dir_all(root.join("mail/cur")).unwrap();
    for n in 0..40 {
        fs::write(
            root.join(format!("mail/cur/{n:04}.host:2,S")),
            noise(&format!("mail {n}"), 900 + n * 37),
        )
        .unwrap();
    }
    fs::write(root.join("site/public_html/index.php"), b"<?php echo 'hello'; ?>\n".repeat(50))
        .unwrap();
    fs::write(root.join("site/public_html/big.jpg"), noise("big", 3_300_000)).unwrap();
    fs::write(root.join("site/empty"), b"").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"site/na\xffme \"quoted\" 'x'\n")), b"odd")
        .unwrap();
    fs::write(root.join("site/.htaccess"), b"dot").unwrap();
    fs::set_permissions(root.join("site/.htaccess"), fs::Permissions::from_mode(0o4750)).unwrap();
    std::os::unix::fs::symlink("../does/not/exist", root.join("site/dangling")).unwrap();
    fs::write(root.join("site/one"), noise("twins", 5000)).unwrap();
    fs::hard_link(root.join("site/one"), root.join("site/two")).unwrap();
    let sparse = fs::File::create(root.join("site/sparse.img")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    use std::os::unix::fs::FileExt;
    sparse.write_all_at(b"in the middle", 3_000_000).unwrap();
    fs::set_permissions(root.join("mail"), fs::Permissions::from_mode(0o2770)).unwrap();
}

/// What an entry of a [`Literal`] source holds.
pub enum Body {
    /// Nothing: a folder, a link, a device.
    Nothing,
    /// A file that opens, with the attributes its entry has.
    Bytes(Vec<u8>),
    /// A file that opens to whatever this makes.
    Opener(Box<dyn OpenFile>),
}

/// A source that says exactly what a test tells it: inode numbers and times included, so that the
/// same literal is the same snapshot on every machine.
#[derive(Default)]
pub struct Literal {
    entries: VecDeque<(RelPath, Meta, Body)>,
    serial: u64,
}

impl Literal {
    /// A source of a root folder.
    pub fn new() -> Self {
        let mut literal = Self::default();
        literal.folder("");
        literal
    }

    /// Attributes that differ from entry to entry but not from run to run.
    pub fn meta(&mut self, kind: NodeKind) -> Meta {
        self.serial += 1;
        let time = Timestamp { seconds: 1_700_000_000 + self.serial as i64, nanos: 123_456_789 };
        Meta {
            kind,
            mode: if kind == NodeKind::Folder { 0o755 } else { 0o644 },
            uid: 1001,
            gid: 1002,
            user: "alice".to_owned(),
            group: "www-data".to_owned(),
            mtime: time,
            ctime: time,
            inode: 100 + self.serial,
            links: u64::from(kind == NodeKind::File),
            ..Meta::default()
        }
    }

    /// Adds an entry as it is.
    pub fn entry(&mut self, path: &str, meta: Meta, body: Body) -> &mut Self {
        let path = RelPath::parse(path.as_bytes()).unwrap();
        self.entries.push_back((path, meta, body));
        self
    }

    pub fn folder(&mut self, path: &str) -> &mut Self {
        let meta = self.meta(NodeKind::Folder);
        self.entry(path, meta, Body::Nothing)
    }

    pub fn file(&mut self, path: &str, bytes: &[u8]) -> &mut Self {
        let meta = self.meta(NodeKind::File);
        self.file_as(path, meta, bytes)
    }

    pub fn file_as(&mut self, path: &str, mut meta: Meta, bytes: &[u8]) -> &mut Self {
        meta.size = bytes.len() as u64;
        self.entry(path, meta, Body::Bytes(bytes.to_vec()))
    }

    pub fn link(&mut self, path: &str, target: &[u8]) -> &mut Self {
        let mut meta = self.meta(NodeKind::Symlink);
        meta.target = target.to_vec();
        self.entry(path, meta, Body::Nothing)
    }
}

impl Source for Literal {
    fn next_entry(&mut self, _: &dyn Monitor) -> Result<Option<Entry<'_>>> {
        Ok(self.entries.pop_front().map(|(path, meta, body)| {
            let content = match body {
                Body::Nothing => Content::Nothing,
                Body::Opener(opener) => Content::File(opener),
                Body::Bytes(bytes) => {
                    Content::File(Box::new(LiteralFile { meta: meta.clone(), bytes }))
                }
            };
            Entry { path, meta, content }
        }))
    }
}

/// A file whose attributes and content are given.
#[derive(Clone)]
pub struct LiteralFile {
    pub meta: Meta,
    pub bytes: Vec<u8>,
}

impl OpenFile for LiteralFile {
    fn open(&self) -> Result<Option<Box<dyn ReadFile>>> {
        let content = Cursor::new(self.bytes.clone());
        Ok(Some(Box::new(OpenLiteral { meta: self.meta.clone(), content })))
    }
}

struct OpenLiteral {
    meta: Meta,
    content: Cursor<Vec<u8>>,
}

impl Read for OpenLiteral {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.content.read(buffer)
    }
}

impl ReadFile for OpenLiteral {
    fn meta(&self) -> Result<Meta> {
        Ok(self.meta.clone())
    }
    fn extents(&self, _: u64) -> Result<Vec<(u64, u64)>> {
        Ok(Vec::new())
    }
    fn seek_to(&mut self, offset: u64) -> Result<()> {
        self.content.seek(SeekFrom::Start(offset)).unwrap();
        Ok(())
    }
}

/// Backs a source up with the usual test options.
pub fn backup_source(
    backend: &Arc<dyn Backend>,
    source: &mut dyn Source,
    monitor: &dyn Monitor,
) -> Result<BackupReport> {
    backup(&try_open(Arc::clone(backend))?, source, &options(), monitor)
}

/// What a backend was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    List(FileKind),
    Read(FileName),
    Create(FileName),
    Remove(FileName),
}

/// A backend that tells before it does anything, so that something else can happen just then.
pub struct Hooked {
    inner: Arc<dyn Backend>,
    before: Box<dyn Fn(Call) + Send + Sync>,
}

impl Hooked {
    pub fn new(inner: Arc<dyn Backend>, before: impl Fn(Call) + Send + Sync + 'static) -> Self {
        Self { inner, before: Box::new(before) }
    }
}

impl Backend for Hooked {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        (self.before)(Call::List(kind));
        self.inner.list(kind)
    }
    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        ghostsnap::backend::list_each(self, kinds)
    }
    fn read(&self, name: &FileName, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        (self.before)(Call::Read(*name));
        self.inner.read(name, range)
    }
    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        ghostsnap::backend::whole_by_size(self, name, most)
    }
    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.inner.size(name)
    }
    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        self.inner.sizes(names)
    }
    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        (self.before)(Call::Create(*name));
        self.inner.create(name, bytes)
    }
    fn remove(&self, name: &FileName) -> Result<()> {
        (self.before)(Call::Remove(*name));
        self.inner.remove(name)
    }
    fn leftovers(&self, before: i64, task: ghostsnap::backend::Leftovers) -> Result<(u64, u64)> {
        self.inner.leftovers(before, task)
    }

    fn properties(&self) -> Properties {
        self.inner.properties()
    }
    fn location(&self) -> String {
        self.inner.location()
    }
}

/// Does something once, the first time it is asked to.
pub struct Once(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Once {
    pub fn new(act: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(act))))
    }

    pub fn act(&self) {
        let act = self.0.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
    }
}

/// A monitor that is asked whether to stop, counts how often, and may do something then.
pub struct Watch {
    pub collect: Collect,
    asked: Arc<AtomicU64>,
    answer: Arc<dyn Fn(u64) -> bool + Send + Sync>,
    pub notes: Mutex<Vec<String>>,
}

impl Watch {
    /// `answer` gets the number of the question, from 0.
    pub fn new(answer: impl Fn(u64) -> bool + Send + Sync + 'static) -> Self {
        Self {
            collect: Collect::default(),
            asked: Arc::default(),
            answer: Arc::new(answer),
            notes: Mutex::default(),
        }
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Monitor for Watch {
    fn count(&self, counter: Counter, n: u64) {
        self.collect.count(counter, n);
    }
    fn warn(&self, warning: Error) {
        self.collect.warn(warning);
    }
    fn stage(&self, stage: Stage) {
        if let Stage::Note(note) = stage {
            self.notes.lock().unwrap().push(note);
        }
    }
    fn cancelled(&self) -> bool {
        (self.answer)(self.asked.fetch_add(1, Ordering::SeqCst))
    }
    fn stop(&self) -> Stop {
        let (asked, answer) = (Arc::clone(&self.asked), Arc::clone(&self.answer));
        Stop::when(move || answer(asked.fetch_add(1, Ordering::SeqCst)))
    }
}

/// All of a snapshot's entries as (path, node), the root left out.
pub fn entries(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
) -> Vec<(String, ghostsnap::format::Node)> {
    let reader = ghostsnap::repo::Reader::new(repository);
    let mut found = Vec::new();
    ghostsnap::ops::list::walk(
        &reader,
        snapshot,
        &RelPath::root(),
        true,
        &ghostsnap::tree::Selection::all(),
        &Collect::default(),
        &mut |path, node| {
            found.push((path.to_string(), node.clone()));
            Ok(())
        },
    )
    .unwrap();
    found
}

/// SplitMix64: randomness that a seed replays.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }
}
