// SPDX-License-Identifier: MIT
//! Rank 3: the repository: blobs in, blobs out. Knows backends, keys and the format; never a path
//! of a backed-up tree, never a Hestia word.

mod authority;
mod chunk_table;
pub mod diary;
mod fence;
mod foreseen;
mod found;
mod fresh;
pub mod history;
pub mod index;
mod indexed;
pub mod kept;
pub mod keys;
pub mod ledger;
pub mod local_copy;
pub mod locks;
pub mod naming;
pub mod pack_list;
pub mod reader;
pub mod snapshots;
mod unlock;
pub mod writer;

pub use authority::pack_entry;
pub use found::Found;
pub use index::Index;
pub use local_copy::LocalCopy;
pub use reader::Reader;
pub use writer::{Bundle, Writer, WriterOptions};

use crate::backend::{Backend, FileKind, FileName, read_all, too_large};
use crate::base::{Error, FileId, Kind, Monitor, Result, Timestamp, Within, World, limits};
use crate::crypto::{Keys, MasterKey};
use crate::format::chunker::ChunkSizes;
use crate::format::keyslot::{self, Secret};
use crate::format::{Chunker, Config, Header, IndexSegment, RecordKind, envelope, pack};
use diary::Diary;
use fence::Relied;
use foreseen::Foreseen;
use fresh::Fresh;
use history::Judgement;
use kept::KeptFile;
use locks::Held;
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An open repository: its keys are known, its index is not loaded.
pub struct Repository {
    backend: Arc<dyn Backend>,
    keys: Arc<Keys>,
    config: Config,
    world: Arc<World>,
    copy: Option<Arc<LocalCopy>>,
    /// Where there is room for an index that is too large for memory.
    scratch: Option<(Arc<Path>, usize)>,
    diary: Option<Arc<Diary>>,
    kept: Option<Arc<KeptFile>>,
    judgement: Judgement,
    foreseen: Foreseen,
}

impl Repository {
    /// Makes a repository with one key slot. The config is written last: a crash before leaves a
    /// half-initialised repository that the next `init` completes.
    pub fn init(
        backend: Arc<dyn Backend>,
        secret: &Secret,
        label: &str,
        world: Arc<World>,
    ) -> Result<Self> {
        Self::make(backend, secret, label, world, Admits::FullKeys)
    }

    /// The same for one that admits write-only keys.
    pub fn init_for_write_only_keys(
        backend: Arc<dyn Backend>,
        secret: &Secret,
        label: &str,
        world: Arc<World>,
    ) -> Result<Self> {
        Self::make(backend, secret, label, world, Admits::WriteOnlyKeys)
    }

    fn make(
        backend: Arc<dyn Backend>,
        secret: &Secret,
        label: &str,
        world: Arc<World>,
        admits: Admits,
    ) -> Result<Self> {
        let what = || format!("make a repository at {}", backend.location());
        refuse_to_init(backend.as_ref()).within(what)?;
        let master = MasterKey::new(world.random_32()?);
        let slot = keys::new_slot(secret, label, &world);
        let keys = match admits {
            Admits::FullKeys => Keys::new(master),
            Admits::WriteOnlyKeys => Keys::new(master).with_authority(),
        };
        // Slots that an interrupted init left wrap another key: they would only look like keys.
        let stale = backend.list(FileKind::Key)?;
        let stored = keyslot::seal_slot(&keys, secret, &slot, &world)?;
        store_named(backend.as_ref(), FileKind::Key, &stored).within(what)?;
        let config = Config {
            repository_id: FileId(world.random_32()?),
            created: world.now(),
            file_chunks: ChunkSizes::FILES,
            write_only_keys: admits == Admits::WriteOnlyKeys,
        };
        let header = Header::new(RecordKind::Config, world.random_32()?);
        let header = Header { features: config.features(), ..header };
        let stored = envelope::seal_with_features(&keys, header, &config.encode())?;
        backend.create(&FileName::CONFIG, &stored).within(what)?;
        for (name, _) in stale {
            backend.remove(&name).within(what)?;
        }
        Ok(Self::of(backend, Arc::new(keys), config, world))
    }

    fn of(backend: Arc<dyn Backend>, keys: Arc<Keys>, config: Config, world: Arc<World>) -> Self {
        let (foreseen, judgement) = (Foreseen::default(), Judgement::default());
        let (copy, scratch, diary, kept) = (None, None, None, None);
        Self { backend, keys, config, world, copy, scratch, diary, kept, judgement, foreseen }
    }

    /// Opens a repository with a password or key file.
    pub fn open(backend: Arc<dyn Backend>, secret: &Secret, world: Arc<World>) -> Result<Self> {
        Found::at(backend)?.open(secret, world)
    }
}

/// Which keys a new repository admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admits {
    /// Only those that open everything.
    FullKeys,
    /// Those that can only add, too.
    WriteOnlyKeys,
}

impl Repository {
    /// The same repository over a wrapper of its store.
    #[must_use]
    pub fn through(self, wrap: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>) -> Self {
        Self { backend: wrap(self.backend), ..self }
    }

    /// The same repository, with a copy on this machine of what is read again and again.
    #[must_use]
    pub fn with_copy(self, copy: LocalCopy) -> Self {
        Self { copy: Some(Arc::new(copy)), ..self }
    }

    /// The same repository without one, for looking whether the store itself is sound.
    #[must_use]
    pub fn without_copy(self) -> Self {
        Self { copy: None, ..self }
    }

    /// The same repository, with a folder on whose disk there is room for an index of more chunks
    /// than these.
    #[must_use]
    pub fn with_scratch(self, folder: &Path, chunks: usize) -> Self {
        Self { scratch: Some((folder.into(), chunks)), ..self }
    }

    /// The folder on whose disk there is room, if one was named.
    pub fn scratch(&self) -> Option<&Path> {
        self.scratch.as_ref().map(|(folder, _)| &**folder)
    }

    /// How many chunks are kept in memory before that folder is used.
    pub fn chunks_in_memory(&self) -> usize {
        self.scratch.as_ref().map_or(usize::MAX, |(_, chunks)| *chunks)
    }

    /// The copy on this machine, if there is one.
    pub fn copy(&self) -> Option<&LocalCopy> {
        self.copy.as_deref()
    }

    /// Where time and randomness come from.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What holds for the whole repository.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The store below.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Its keys.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Cuts files the way this repository does.
    pub fn chunker(&self) -> Chunker {
        Chunker::new(&self.keys, self.config.file_chunks)
    }

    /// Fails if the repository was opened with keys that can only add.
    pub fn refuse_write_only(&self, what: &str) -> Result<()> {
        if self.keys.is_write_only() { Err(envelope::write_only(what)) } else { Ok(()) }
    }

    /// Seals and stores an index segment under the hash of its stored bytes; returns its name.
    pub fn store_segment(&self, segment: &IndexSegment) -> Result<FileId> {
        let stored = seal_segment(&self.keys, self.world.random_32()?, segment)?;
        store_and_keep(self.backend.as_ref(), self.copy(), FileKind::Index, &stored)
    }

    /// Reads an index segment from the store itself. What nobody vouches for in it is left out.
    pub fn segment(&self, id: &FileId) -> Result<IndexSegment> {
        let (header, plain) = self.load_with_header(RecordKind::Index, id)?;
        IndexSegment::decode_for(&self.keys, &header, &plain)
    }

    /// The same for one that a listing has named.
    pub(crate) fn listed_segment(&self, listed: (FileName, u64)) -> Result<IndexSegment> {
        let (header, plain) = self.load_listed(RecordKind::Index, listed)?.ok_or_else(not_ours)?;
        IndexSegment::decode_for(&self.keys, &header, &plain)
    }

    /// A record as it is stored.
    fn seal(&self, kind: RecordKind, features: u64, plain: &[u8]) -> Result<Vec<u8>> {
        let header = Header { features, ..Header::new(kind, self.world.random_32()?) };
        envelope::seal_with_features(&self.keys, header, plain)
    }

    /// Reads a record that a listing has named, checking that its bytes are what its name says;
    /// `None` if these keys can only add, and somebody else has stored it.
    pub(crate) fn load_listed(
        &self,
        kind: RecordKind,
        (name, size): (FileName, u64),
    ) -> Result<Option<(Header, Vec<u8>)>> {
        if let Some(copy) = &self.copy
            && let Some(stored) = copy.whole(&name)
        {
            match self.open_if_ours(kind, &name, &stored) {
                Ok(opened) => return Ok(opened),
                Err(_) => copy.drop_file(&name),
            }
        }
        // Whatever the store says: no record is that long.
        if size > limits::RECORD_BYTES_MAX {
            return Err(too_large(&name, size));
        }
        let stored = self.backend.read(&name, 0..size)?;
        let opened = self.open_if_ours(kind, &name, &stored)?;
        if let Some(copy) = &self.copy {
            copy.keep(&name, &stored);
        }
        Ok(opened)
    }

    /// Reads a record from the store itself.
    pub(crate) fn load_record(&self, kind: RecordKind, id: &FileId) -> Result<Vec<u8>> {
        self.load_with_header(kind, id).map(|(_, plain)| plain)
    }

    /// The same, with its header.
    pub(crate) fn load_with_header(
        &self,
        kind: RecordKind,
        id: &FileId,
    ) -> Result<(Header, Vec<u8>)> {
        let name = FileName::new(file_kind(kind), *id);
        let stored = read_all(self.backend.as_ref(), &name)?;
        self.open_named(kind, &name, &stored)
    }

    fn open_if_ours(
        &self,
        kind: RecordKind,
        name: &FileName,
        stored: &[u8],
    ) -> Result<Option<(Header, Vec<u8>)>> {
        let header = Header::decode(stored, kind).within(|| format!("open {name}"))?;
        if !envelope::is_ours(&self.keys, &header) {
            return Ok(None);
        }
        self.open_named(kind, name, stored).map(Some)
    }

    fn open_named(
        &self,
        kind: RecordKind,
        name: &FileName,
        stored: &[u8],
    ) -> Result<(Header, Vec<u8>)> {
        let what = || format!("open {name}");
        // The content first: a record of a newer version is "newer", never "damaged".
        let opened = envelope::open_with_header(&self.keys, kind, stored).within(what)?;
        if pack::file_id(stored) != name.id {
            return Err(Error::new(Kind::Damaged, what()).why("its bytes belong to another name"));
        }
        Ok(opened)
    }
}

/// A repository with its index, as it was when it was loaded. What this process stores later is
/// known to its writers at once, and to its readers after [`Self::reload`].
pub struct IndexedRepository {
    repository: Repository,
    index: Index,
    fresh: Arc<Fresh>,
    /// The packs of the index that writers have counted on.
    relied: Relied,
    /// When the index was loaded, by both clocks.
    loaded: (Duration, Timestamp),
    /// The note of ours that says somebody writes.
    lock: Option<Arc<Held>>,
}

impl IndexedRepository {
    /// Which chunk lies where.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The same repository with an index of its own, as it is now, for a run that will write.
    pub fn again_to_write(&self, work: &str, monitor: &dyn Monitor) -> Result<Self> {
        self.closed().indexed_to_write(work, monitor)
    }

    /// The repository without its index, and without its lock.
    pub fn into_repository(self) -> Repository {
        self.repository
    }

    fn closed(&self) -> Repository {
        let (backend, keys) = (Arc::clone(&self.backend), Arc::clone(&self.keys));
        let world = Arc::clone(&self.world);
        let (copy, diary, kept) = (self.copy.clone(), self.diary.clone(), self.kept.clone());
        let (scratch, judgement) = (self.scratch.clone(), self.judgement.clone());
        let closed = Repository::of(backend, keys, self.config.clone(), world);
        Repository { copy, scratch, diary, kept, judgement, ..closed }
    }

    /// The same index over another store: what was known of a repository, and what it is now.
    #[must_use]
    pub fn over(mut self, backend: Arc<dyn Backend>) -> Self {
        self.repository.backend = backend;
        self.fresh = Arc::new(Fresh::new(&self.repository, self.index.packs().len()));
        self
    }

    /// The lock under which it is open, so that nobody takes itself for somebody else.
    pub fn own_lock(&self) -> Option<FileId> {
        self.lock.as_deref().map(Held::id)
    }

    /// Loads the index again, after a backup has added to it.
    pub fn reload(&mut self, monitor: &dyn Monitor) -> Result<()> {
        self.loaded = (self.world.ticks(), self.world.now());
        self.index = Index::load(&self.repository, monitor)?;
        self.relied = Relied::new(&self.index);
        self.fresh.forget_named();
        self.leave_out_lost_packs(monitor)
    }

    /// Takes packs out of the index in memory that nothing needed and that were removed, so that
    /// whoever needs them after all finds out.
    pub fn leave_out_removed_packs(&mut self, gone: &HashSet<FileId>) {
        let leaving: HashSet<u32> = (0u32..)
            .zip(self.index.packs())
            .filter(|(place, pack)| self.index.is_leaving(*place) && gone.contains(&pack.id))
            .map(|(place, _)| place)
            .collect();
        self.index.leave_out(|place, _| leaving.contains(&place));
    }

    /// Takes packs that are gone or of a wrong size out of the index in memory, so that a backup
    /// stores their chunks again as far as the files still exist. They are named in warnings.
    pub fn leave_out_lost_packs(&mut self, monitor: &dyn Monitor) -> Result<()> {
        let mut sizes: HashMap<FileName, u64> =
            self.repository.list(FileKind::Pack)?.into_iter().collect();
        let lacks = |sizes: &HashMap<FileName, u64>, pack: &index::Pack| {
            sizes.get(&FileName::new(FileKind::Pack, pack.id)) != Some(&pack.size)
        };
        // A listing that was taken ahead may be older than a pack that the index names by now.
        if self.index.packs().iter().any(|pack| lacks(&sizes, pack)) {
            sizes = self.repository.backend.list(FileKind::Pack)?.into_iter().collect();
        }
        let is_lost = |_, pack: &index::Pack| lacks(&sizes, pack);
        for (place, pack) in self.index.leave_out(is_lost) {
            // Nothing needs it, and somebody is removing it.
            if self.index.is_leaving(place) {
                continue;
            }
            monitor.warn(
                Error::new(Kind::Damaged, format!("count on pack {pack}"))
                    .why("it is missing or cut off; what it held is stored again where it still is")
                    .hint(
                        "'ghostsnap repair packs' says what is lost, and takes it out of the index",
                    ),
            );
        }
        Ok(())
    }
}

impl Deref for IndexedRepository {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.repository
    }
}

fn not_ours() -> Error {
    envelope::write_only("read it")
}

/// An index segment as it is stored; `salt` must be fresh randomness.
pub(crate) fn seal_segment(keys: &Keys, salt: [u8; 32], segment: &IndexSegment) -> Result<Vec<u8>> {
    let header = Header::new(RecordKind::Index, salt);
    let header = Header { features: segment.features(), ..header };
    envelope::seal_with_features(keys, header, &segment.encode_for(keys, &salt))
}

fn file_kind(kind: RecordKind) -> FileKind {
    match kind {
        RecordKind::Config => FileKind::Config,
        RecordKind::KeySlot => FileKind::Key,
        RecordKind::Snapshot => FileKind::Snapshot,
        RecordKind::Index => FileKind::Index,
        RecordKind::DataPack | RecordKind::MetaPack => FileKind::Pack,
        RecordKind::Lock => FileKind::Lock,
        RecordKind::History => FileKind::History,
    }
}

/// Stores bytes under their hash and makes sure that all of them arrived; for the packs of a store
/// far away, whoever names them does ([`fresh::Fresh::name_packs`]).
pub(crate) fn store_named(backend: &dyn Backend, kind: FileKind, bytes: &[u8]) -> Result<FileId> {
    let name = FileName::new(kind, pack::file_id(bytes));
    backend.create(&name, bytes)?;
    if kind == FileKind::Pack && backend.properties().is_far {
        // Looked for together with others, before a segment names them.
        return Ok(name.id);
    }
    has_arrived(&name, backend.size(&name)?, crate::base::units::bytes(bytes.len()))?;
    Ok(name.id)
}

/// Whether a store has all of a file that it said it had stored.
fn has_arrived(name: &FileName, stored: Option<u64>, expected: u64) -> Result<()> {
    if stored == Some(expected) {
        return Ok(());
    }
    if stored.is_none() && name.kind == FileKind::Index {
        // Whoever merges segments takes over what it finds, and this one at once.
        return Err(Error::new(Kind::InUse, format!("store {name}"))
            .why("somebody else has taken it over and removed it")
            .hint("run it again"));
    }
    Err(Error::new(Kind::Disk, format!("store {name}"))
        .why(format!("the store holds {} of its {expected} bytes", stored.unwrap_or(0))))
}

/// As [`store_named`]; the copy on this machine gets it too.
pub(crate) fn store_and_keep(
    backend: &dyn Backend,
    copy: Option<&LocalCopy>,
    kind: FileKind,
    bytes: &[u8],
) -> Result<FileId> {
    let id = store_named(backend, kind, bytes)?;
    if let Some(copy) = copy {
        copy.keep(&FileName::new(kind, id), bytes);
    }
    Ok(id)
}

/// A repository may be made where there is none; a half-initialised one may be completed as long
/// as nobody stored anything in it.
fn refuse_to_init(backend: &dyn Backend) -> Result<()> {
    let exists = |why: &str| {
        Err(Error::new(Kind::Exists, "use this place for a new repository").why(why.to_owned()))
    };
    if backend.size(&FileName::CONFIG)?.is_some() {
        return exists("there is a repository already");
    }
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
        if !backend.list(kind)?.is_empty() {
            return exists("it holds data of a repository whose config is missing");
        }
    }
    Ok(())
}
