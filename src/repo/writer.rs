// SPDX-License-Identifier: MIT
//! Puts new chunks into blobs, blobs into packs, packs into the repository and the list of them
//! into the index. A pack is opened and checked again, chunk by chunk, before it leaves memory; the
//! index names it only after the store confirmed its size. Several writers may work at the same
//! time, each for a backup of its own; what one has stored the others need not (`fresh.rs`).

use super::fresh::{Fresh, Looked};
use super::{IndexedRepository, LocalCopy, Repository};
use crate::backend::{Backend, FileKind};
use crate::base::monitor::{Counts, Stage};
use crate::base::{ChunkId, Counter, Error, Kind, Monitor, Result, Within, limits, units};
use crate::crypto::Keys;
use crate::format::compress::Decompressor;
use crate::format::{
    BlobEntry, Compression, Compressor, PackClass, PackEntry, PackReader, PackWriter, envelope,
    pack,
};
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How a writer works.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Compression level, 0 to 19.
    pub level: i32,
    /// Bytes of a data pack; `None` grows with the repository.
    pub pack_bytes: Option<u64>,
    /// Bytes after which an index segment is stored while the writer is still running.
    pub checkpoint_bytes: u64,
    /// Write nothing: only count what would be written.
    pub dry_run: bool,
    /// How many writers work at the same time and share the memory for packs.
    pub writers: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            level: 3,
            pack_bytes: None,
            checkpoint_bytes: limits::CHECKPOINT_BYTES,
            dry_run: false,
            writers: 1,
        }
    }
}

/// Adds chunks to a repository; shared by all workers of one backup.
pub struct Writer<'r> {
    repository: &'r IndexedRepository,
    options: WriterOptions,
    /// What was stored before it began.
    stored_bytes: u64,
    data: Mutex<Option<OpenPack>>,
    meta: Mutex<Option<OpenPack>>,
    shared: Arc<Shared>,
    queue: Option<SyncSender<FinishedPack>>,
    uploaders: Vec<JoinHandle<()>>,
}

/// A pack that is being filled, and the size at which it is full.
type OpenPack = (PackWriter, u64);

/// What writer and uploaders share.
struct Shared {
    backend: Arc<dyn Backend>,
    copy: Option<Arc<LocalCopy>>,
    keys: Arc<Keys>,
    checkpoint_bytes: u64,
    fresh: Arc<Fresh>,
    /// Chunks that this writer has promised to store.
    claimed: Mutex<HashSet<ChunkId>>,
    failure: Mutex<Option<Error>>,
    counts: Counts,
}

struct FinishedPack {
    class: PackClass,
    header: [u8; envelope::HEADER_BYTES],
    bytes: Vec<u8>,
    blobs: Vec<BlobEntry>,
}

impl<'r> Writer<'r> {
    /// Starts a writer with its uploader threads.
    pub fn new(repository: &'r IndexedRepository, options: WriterOptions) -> Self {
        let shared = Arc::new(Shared {
            backend: Arc::clone(repository.backend()),
            copy: repository.copy.clone(),
            keys: Arc::clone(repository.keys()),
            checkpoint_bytes: options.checkpoint_bytes,
            fresh: Arc::clone(&repository.fresh),
            claimed: Mutex::default(),
            failure: Mutex::default(),
            counts: Counts::default(),
        });
        // One pack being written and one waiting: with the one being filled, that is the bulk of
        // a backup's memory.
        let (queue, packs) = sync_channel(0);
        let packs = Arc::new(Mutex::new(packs));
        let connections = repository.backend().properties().connections.clamp(1, 4);
        let writers = options.writers.max(1);
        let uploaders = (0..(connections.min(2) / writers).max(1)).map(|_| {
            let (shared, packs) = (Arc::clone(&shared), Arc::clone(&packs));
            std::thread::spawn(move || shared.upload_all(&packs))
        });
        Self {
            options,
            stored_bytes: repository.index().stored_bytes(),
            data: Mutex::new(None),
            meta: Mutex::new(None),
            uploaders: uploaders.collect(),
            repository,
            shared,
            queue: Some(queue),
        }
    }

    /// The repository written to.
    pub fn repository(&self) -> &IndexedRepository {
        self.repository
    }

    /// What was counted so far.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// A bundle for one worker.
    pub fn bundle(&self, class: PackClass) -> Result<Bundle> {
        Ok(Bundle {
            class,
            small: Collected::default(),
            large: Collected::default(),
            packed: Vec::new(),
            compressor: Compressor::new(self.options.level)?,
        })
    }

    /// Claims a chunk: true for exactly one caller, and only if the repository lacks it.
    fn claim(&self, id: &ChunkId) -> bool {
        if self.repository.rely_on(id) {
            return false;
        }
        let mut claimed = lock(&self.shared.claimed);
        !self.shared.fresh.contains(id) && claimed.insert(*id)
    }

    /// Whether a chunk is stored or about to be.
    pub fn has(&self, id: &ChunkId) -> bool {
        // In this order: what is claimed counts as fresh before it is no longer claimed.
        self.repository.rely_on(id)
            || lock(&self.shared.claimed).contains(id)
            || self.shared.fresh.contains(id)
    }

    /// Seals a blob into the open pack of its class; a full pack goes to the uploaders.
    pub fn add_blob(
        &self,
        class: PackClass,
        packed: &[u8],
        compression: Compression,
        chunks: Vec<(ChunkId, u32)>,
    ) -> Result<()> {
        if self.options.dry_run {
            self.shared.counts.add(Counter::BytesStored, units::bytes(packed.len()));
            return Ok(());
        }
        let slot = match class {
            PackClass::Data => &self.data,
            PackClass::Meta => &self.meta,
        };
        let full = {
            let mut open = lock(slot);
            let (mut writer, target) = match open.take() {
                Some(pack) => pack,
                None => self.new_pack(class)?,
            };
            writer.add(packed, compression, chunks)?;
            if writer.size() >= target {
                Some(writer)
            } else {
                *open = Some((writer, target));
                None
            }
        };
        full.map_or(Ok(()), |writer| self.send(class, writer))
    }

    fn new_pack(&self, class: PackClass) -> Result<OpenPack> {
        // A first backup makes a repository large while it runs: its packs grow with it.
        let stored = self.stored_bytes + self.shared.counts.get(Counter::BytesStored);
        let most = self.repository.backend().properties().pack_bytes_max;
        let usual = || pack_bytes_for(stored, self.options.writers).min(most);
        let data = self.options.pack_bytes.unwrap_or_else(usual);
        let target = match class {
            PackClass::Data => data,
            PackClass::Meta => limits::META_PACK_BYTES.min(data),
        };
        let salt = self.repository.world().random_32_for(class.kind().word())?;
        // The last blob may pass the target by its own size.
        let room = units::length(target) + limits::BLOB_PLAIN_BYTES_MAX / 2;
        Ok((PackWriter::new(self.repository.keys(), class, salt, room)?, target))
    }

    fn send(&self, class: PackClass, writer: PackWriter) -> Result<()> {
        let header = writer.header();
        let (bytes, blobs) = writer.finish()?;
        let pack = FinishedPack { class, header, bytes, blobs };
        let stopped = || Error::new(Kind::Internal, "store a pack").why("the uploaders are gone");
        self.queue.as_ref().ok_or_else(stopped)?.send(pack).map_err(|_| stopped())?;
        // Stop reading early when storing has failed already.
        lock(&self.shared.failure).take().map_or(Ok(()), Err)
    }

    /// Stores what is still open and the index; returns what was counted. Everything added before
    /// is durable and found by the next `Index::load` when this returns. Bundles must have been
    /// flushed. After a failure, too, the packs that are stored are put into the index: the next
    /// run need not store them again.
    pub fn finish(self) -> Result<Counts> {
        // What could not be removed is garbage, and of no concern to whoever repairs or prunes.
        self.end(Looked::AtOnce).map(|(counts, _)| counts)
    }

    /// The same for whoever stores a snapshot next: whether a store far away has the new index is
    /// looked at by [`IndexedRepository::commit`], together with what else is looked at there.
    /// Parts of the index that are replaced and cannot be removed are told, and hold nothing up.
    pub fn finish_to_commit(self, monitor: &dyn Monitor) -> Result<Counts> {
        let (counts, left) = self.end(Looked::ByCommit)?;
        if let Some(error) = left {
            let hint = match error.kind() {
                Kind::Forbidden => "; with append_only=yes nothing is removed",
                _ => "; a prune removes it",
            };
            let note = format!("a part of the index that is replaced stays: {}", error.one_line());
            monitor.stage(Stage::Note(note + hint));
        }
        Ok(counts)
    }

    /// What was counted, and what could not be removed.
    fn end(mut self, looked: Looked) -> Result<(Counts, Option<Error>)> {
        let sent = self.send_open();
        let joined = self.join();
        let named = self.shared.fresh.name_packs(looked);
        sent.and(joined).and(named)?;
        let left = self.shared.fresh.merge_segments()?;
        let shared = Arc::get_mut(&mut self.shared).ok_or_else(|| {
            Error::new(Kind::Internal, "end a writer").why("an uploader still runs")
        })?;
        Ok((std::mem::take(&mut shared.counts), left))
    }

    fn send_open(&self) -> Result<()> {
        let open = [
            (PackClass::Data, lock(&self.data).take()),
            (PackClass::Meta, lock(&self.meta).take()),
        ];
        for (class, pack) in open {
            if let Some((writer, _)) = pack.filter(|(writer, _)| !writer.is_empty()) {
                self.send(class, writer)?;
            }
        }
        Ok(())
    }

    /// Waits for the uploaders and passes on what failed there.
    fn join(&mut self) -> Result<()> {
        self.queue = None;
        for uploader in self.uploaders.drain(..) {
            if uploader.join().is_err() {
                return Err(Error::new(Kind::Internal, "store a pack").why("an uploader panicked"));
            }
        }
        lock(&self.shared.failure).take().map_or(Ok(()), Err)
    }
}

impl Drop for Writer<'_> {
    /// A writer that is given up waits for its uploaders; what they stored is garbage for prune or
    /// named by a checkpoint.
    fn drop(&mut self) {
        self.queue = None;
        for uploader in self.uploaders.drain(..) {
            // The failure that ended the backup is reported by whoever gave up.
            drop(uploader.join());
        }
    }
}

/// Packs grow with the square root of the repository: 16 MiB up to 1 GiB, 48 MiB from 9 GiB. Those
/// of several writers share the memory of one.
fn pack_bytes_for(stored_bytes: u64, writers: usize) -> u64 {
    let gibibytes = (stored_bytes >> 30).max(1);
    let scaled = limits::PACK_BYTES_MIN * (gibibytes * 16).isqrt() / 4;
    let most = limits::PACK_BYTES_MAX / units::bytes(writers.max(1));
    scaled.clamp(limits::PACK_BYTES_MIN, most.max(limits::PACK_BYTES_MIN))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere ends the run anyway; the data behind the lock is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn upload_all(&self, packs: &Mutex<Receiver<FinishedPack>>) {
        loop {
            let next = lock(packs).recv();
            let Ok(pack) = next else { return };
            if lock(&self.failure).is_some() {
                continue;
            }
            if let Err(error) = self.upload(pack) {
                lock(&self.failure).get_or_insert(error);
            }
        }
    }

    fn upload(&self, pack: FinishedPack) -> Result<()> {
        let verified = verify(&self.keys, &pack).within(|| "verify a pack before storing it");
        if pack.class == PackClass::Data {
            // Whoever can only add has no business in it any more.
            self.keys.forget_file(&envelope::salt_of(&pack.header));
        }
        verified?;
        let size = units::bytes(pack.bytes.len());
        // Trees are read again the next night.
        let copy = self.copy.as_deref().filter(|_| pack.class == PackClass::Meta);
        let backend = self.backend.as_ref();
        let id = super::store_and_keep(backend, copy, FileKind::Pack, &pack.bytes)?;
        self.counts.add(Counter::Packs, 1);
        self.counts.add(Counter::BytesStored, size);
        let entry =
            PackEntry { id, class: pack.class, size, header: pack.header, blobs: pack.blobs };
        drop(pack.bytes);
        let ids: Vec<ChunkId> =
            entry.blobs.iter().flat_map(|blob| &blob.chunks).map(|one| one.0).collect();
        let is_due = self.fresh.add(entry, &ids, self.checkpoint_bytes);
        let mut claimed = lock(&self.claimed);
        for id in &ids {
            claimed.remove(id);
        }
        drop(claimed);
        if is_due { self.fresh.name_packs(Looked::AtOnce) } else { Ok(()) }
    }
}

/// Opens every blob of a finished pack the way a reader will and compares every chunk with its
/// name: a bug in compression or a flipped bit in memory is found before it becomes a backup.
fn verify(keys: &Keys, finished: &FinishedPack) -> Result<()> {
    let wrong = |why: &str| Error::new(Kind::Internal, "read it back").why(why.to_owned());
    let reader = PackReader::new(keys, finished.class, &finished.bytes)?;
    let mut decompressor = Decompressor::new()?;
    let (mut sealed, mut plain) = (Vec::new(), Vec::new());
    for blob in &finished.blobs {
        let start = units::length(blob.offset);
        let end = start + units::length(u64::from(blob.stored_length));
        let stored = finished.bytes.get(start..end).ok_or_else(|| wrong("a blob is cut off"))?;
        sealed.clear();
        sealed.extend_from_slice(stored);
        let packed = reader.open_blob(blob.ordinal, &mut sealed)?;
        let length = units::length(u64::from(blob.plain_length));
        decompressor.decompress_into(blob.compression, packed, length, &mut plain)?;
        check_chunks(keys, finished.class, &blob.chunks, &plain)?;
    }
    let footer = finished.bytes.len() - pack::FOOTER_BYTES;
    let tail = finished.bytes.get(footer..).unwrap_or_default();
    let length = units::length(pack::end_length(tail, units::bytes(finished.bytes.len()))?);
    let end = finished.bytes.get(footer - length..footer).unwrap_or_default();
    if reader.open_end(end)? != finished.blobs {
        return Err(wrong("its list of blobs differs"));
    }
    Ok(())
}

/// Compares the chunks of a plain blob with their names.
pub(crate) fn check_chunks(
    keys: &Keys,
    class: PackClass,
    chunks: &[(ChunkId, u32)],
    plain: &[u8],
) -> Result<()> {
    let mut rest = plain;
    for (id, length) in chunks {
        let cut = units::length(u64::from(*length)).min(rest.len());
        let (chunk, after) = rest.split_at(cut);
        let found = match class {
            PackClass::Data => keys.data_id(chunk),
            PackClass::Meta => keys.tree_id(chunk),
        };
        if found != *id {
            return Err(Error::new(Kind::Damaged, format!("read chunk {id}"))
                .why("its content does not match its name"));
        }
        rest = after;
    }
    Ok(())
}

/// Collects chunks into blobs; one per worker. Small chunks share blobs of 512 KiB, large ones that
/// compress share blobs of 4 MiB, and large ones that do not are blobs of their own.
pub struct Bundle {
    class: PackClass,
    small: Collected,
    large: Collected,
    packed: Vec<u8>,
    compressor: Compressor,
}

/// The blob being filled.
#[derive(Default)]
struct Collected {
    plain: Vec<u8>,
    chunks: Vec<(ChunkId, u32)>,
}

impl Collected {
    fn push(&mut self, id: ChunkId, length: u32, chunk: &[u8]) {
        self.plain.extend_from_slice(chunk);
        self.chunks.push((id, length));
    }
}

impl Bundle {
    /// Adds a chunk if the repository lacks it; says whether it was new.
    pub fn add(&mut self, writer: &Writer<'_>, id: ChunkId, chunk: &[u8]) -> Result<bool> {
        if !writer.claim(&id) {
            return Ok(false);
        }
        self.put(writer, id, chunk)?;
        Ok(true)
    }

    /// Adds a chunk, whether or not the repository has it: for moving it out of another pack.
    pub fn put(&mut self, writer: &Writer<'_>, id: ChunkId, chunk: &[u8]) -> Result<()> {
        let length = u32::try_from(chunk.len()).map_err(|_| {
            Error::new(Kind::Internal, "add a chunk").why("it is larger than 4 GiB")
        })?;
        if chunk.len() < limits::BUNDLE_BYTES {
            self.small.push(id, length, chunk);
            if self.small.plain.len() >= limits::BUNDLE_BYTES {
                store(self.class, &mut self.small, &mut self.packed, &mut self.compressor, writer)?;
            }
        } else if self.compressor.shrinks(chunk) {
            self.large.push(id, length, chunk);
            if self.large.plain.len() >= limits::LARGE_BUNDLE_BYTES {
                store(self.class, &mut self.large, &mut self.packed, &mut self.compressor, writer)?;
            }
        } else {
            writer.add_blob(self.class, chunk, Compression::None, vec![(id, length)])?;
        }
        Ok(())
    }

    /// Stores what is collected; must be called before the writer finishes.
    pub fn flush(&mut self, writer: &Writer<'_>) -> Result<()> {
        store(self.class, &mut self.small, &mut self.packed, &mut self.compressor, writer)?;
        store(self.class, &mut self.large, &mut self.packed, &mut self.compressor, writer)
    }
}

/// Compresses and stores a collected blob.
fn store(
    class: PackClass,
    collected: &mut Collected,
    packed: &mut Vec<u8>,
    compressor: &mut Compressor,
    writer: &Writer<'_>,
) -> Result<()> {
    if collected.chunks.is_empty() {
        return Ok(());
    }
    packed.clear();
    let compression = compressor.compress_onto(&collected.plain, packed);
    let chunks = std::mem::take(&mut collected.chunks);
    collected.plain.clear();
    writer.add_blob(class, packed, compression, chunks)
}

/// Names a chunk as its class does.
pub fn chunk_id(repository: &Repository, class: PackClass, plain: &[u8]) -> ChunkId {
    match class {
        PackClass::Data => repository.keys().data_id(plain),
        PackClass::Meta => repository.keys().tree_id(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_grow_with_the_square_root_of_the_repository() {
        let mib = |gib: u64| pack_bytes_for(gib << 30, 1) >> 20;
        assert_eq!((mib(0), mib(1), mib(4), mib(9), mib(1000)), (16, 16, 32, 48, 48));
        let shared = |writers| pack_bytes_for(1000 << 30, writers) >> 20;
        assert_eq!((shared(0), shared(2), shared(3), shared(16)), (48, 24, 16, 16));
    }
}
