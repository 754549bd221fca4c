// SPDX-License-Identifier: MIT
//! Gets chunks back. A blob is read, opened and decompressed once and kept for a while, because
//! its neighbours in the tree are its neighbours in the blob.

use super::IndexedRepository;
use super::index::{Blob, ChunkPlace, Pack};
use super::writer::check_chunks;
use crate::backend::{FileKind, FileName};
use crate::base::{ChunkId, Error, Kind, Result, Within, limits, units};
use crate::format::compress::decompress;
use crate::format::envelope::is_deposit;
use crate::format::tree::{ids_bytes, ids_from};
use crate::format::{Node, PackClass, PackReader, RowMap, Tree};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reads chunks of one repository; may be shared between threads.
pub struct Reader<'r> {
    repository: &'r IndexedRepository,
    trees: Mutex<Cache>,
    content: Mutex<Cache>,
    /// Chunks of those who can only add that were compared with their names, by their places.
    judged: Mutex<HashSet<(u32, u32)>>,
}

#[derive(Default)]
struct Cache {
    blobs: HashMap<u32, (Arc<Vec<u8>>, u64)>,
    bytes: usize,
    clock: u64,
}

/// A stretch of a data chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The chunk.
    pub id: ChunkId,
    /// First byte in it.
    pub from: u32,
    /// Bytes.
    pub length: u32,
}

/// What a stored list of chunk ids starts with, so that it can never be taken for a tree.
const LIST_PREFIX: &[u8] = b"ids\0";

impl<'r> Reader<'r> {
    /// A reader with an empty cache.
    pub fn new(repository: &'r IndexedRepository) -> Self {
        let (trees, content, judged) = Default::default();
        Self { repository, trees, content, judged }
    }

    /// The repository it reads from.
    pub fn repository(&self) -> &'r IndexedRepository {
        self.repository
    }

    /// One chunk. If the chunk lies in several places, a damaged one does not matter.
    pub fn chunk(&self, class: PackClass, id: &ChunkId) -> Result<Vec<u8>> {
        let mut trouble = None;
        for place in self.repository.index().find_all(id)? {
            match self.chunk_at(class, id, place) {
                Ok(chunk) => return Ok(chunk),
                // A store that does not answer is no damage, whatever another place says.
                Err(error) if error.kind() != Kind::Damaged => trouble = Some(error),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        let error = trouble.unwrap_or_else(|| {
            Error::new(Kind::Damaged, "find it").why("the index does not know it")
        });
        Err(error.within(format!("read chunk {id}")))
    }

    fn chunk_at(&self, class: PackClass, id: &ChunkId, place: ChunkPlace) -> Result<Vec<u8>> {
        let chunk = self.stretch_at(class, place)?;
        if !self.is_judged(place) {
            self.judge(class, id, place, &chunk)?;
        }
        Ok(chunk)
    }

    fn stretch_at(&self, class: PackClass, place: ChunkPlace) -> Result<Vec<u8>> {
        let blob = self.blob(class, place.blob)?;
        let start = units::length(u64::from(place.offset));
        let end = start + units::length(u64::from(place.length));
        blob.get(start..end).map(<[u8]>::to_vec).ok_or_else(|| lost("a blob is too short"))
    }

    /// Whether what lies there is what its name says: those who have the master keys have looked
    /// at it, or this reader has. Whoever can only add may have lied.
    pub fn is_judged(&self, place: ChunkPlace) -> bool {
        let index = self.repository.index();
        let pack = index.blob(place.blob).and_then(|blob| index.pack(blob.pack));
        pack.is_none_or(|pack| !is_deposit(&pack.header))
            || self.judged().contains(&(place.blob, place.offset))
    }

    /// Compares a chunk with its name.
    pub fn judge(
        &self,
        class: PackClass,
        id: &ChunkId,
        place: ChunkPlace,
        chunk: &[u8],
    ) -> Result<()> {
        let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        check_chunks(self.repository.keys(), class, &[(*id, length)], chunk)?;
        let mut judged = self.judged();
        if judged.len() >= limits::JUDGED_MAX {
            judged.clear();
        }
        judged.insert((place.blob, place.offset));
        Ok(())
    }

    fn judged(&self) -> MutexGuard<'_, HashSet<(u32, u32)>> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The length of a chunk. Where its places say different things, somebody lies, and the content
    /// tells.
    fn length_of(&self, id: &ChunkId) -> Result<Option<u32>> {
        let mut places = self.repository.index().find_all(id)?.map(|place| place.length);
        let Some(first) = places.next() else { return Ok(None) };
        if places.all(|other| other == first) {
            return Ok(Some(first));
        }
        Ok(u32::try_from(self.chunk(PackClass::Data, id)?.len()).ok())
    }

    /// One plain blob.
    pub fn blob(&self, class: PackClass, place: u32) -> Result<Arc<Vec<u8>>> {
        if let Some(blob) = self.cached(class, place) {
            return Ok(blob);
        }
        let index = self.repository.index();
        let blob = index.blob(place).ok_or_else(|| lost("the index does not add up"))?;
        let pack = index.pack(blob.pack).ok_or_else(|| lost("the index does not add up"))?;
        if pack.class != class {
            return Err(lost("it lies in a pack of the other kind"));
        }
        // Nobody should fetch what these keys do not open.
        PackReader::from_header(self.repository.keys(), class, &pack.header)?;
        let plain = match self.copied(pack, blob) {
            Some(plain) => plain,
            None => self.stored(pack, blob)?,
        };
        let plain = Arc::new(plain);
        self.keep(class, place, &plain);
        Ok(plain)
    }

    fn stored(&self, pack: &Pack, blob: &Blob) -> Result<Vec<u8>> {
        let name = FileName::new(FileKind::Pack, pack.id);
        let read = self.repository.backend().read(&name, range_of(blob));
        let mut sealed = read.map_err(|error| match error.kind() {
            Kind::NotFound => error.with_kind(Kind::Damaged),
            _ => error,
        })?;
        open_blob(self.repository, pack, blob, &mut sealed)
    }

    /// A blob of trees from the copy on this machine, if there is one and it is sound there.
    fn copied(&self, pack: &Pack, blob: &Blob) -> Option<Vec<u8>> {
        let copy = self.repository.copy().filter(|_| pack.class == PackClass::Meta)?;
        let backend = self.repository.backend().as_ref();
        // What is wrong there is got again once.
        for _ in 0..2 {
            let mut sealed = copy.part(backend, pack, &range_of(blob))?;
            if let Ok(plain) = open_blob(self.repository, pack, blob, &mut sealed) {
                return Some(plain);
            }
            copy.drop_file(&FileName::new(FileKind::Pack, pack.id));
        }
        None
    }

    fn cache(&self, class: PackClass) -> MutexGuard<'_, Cache> {
        let cache = match class {
            PackClass::Meta => &self.trees,
            PackClass::Data => &self.content,
        };
        cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self, class: PackClass, place: u32) -> Option<Arc<Vec<u8>>> {
        let mut cache = self.cache(class);
        cache.clock += 1;
        let now = cache.clock;
        cache.blobs.get_mut(&place).map(|(blob, used)| {
            *used = now;
            Arc::clone(blob)
        })
    }

    /// Keeps a blob; forgets those unused for longest until it fits.
    fn keep(&self, class: PackClass, place: u32, blob: &Arc<Vec<u8>>) {
        let room = match class {
            PackClass::Meta => limits::TREE_CACHE_BYTES,
            PackClass::Data => limits::CONTENT_CACHE_BYTES,
        };
        let mut cache = self.cache(class);
        while cache.bytes + blob.len() > room {
            let oldest = cache.blobs.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            if let Some((gone, _)) = cache.blobs.remove(&oldest) {
                cache.bytes -= gone.len();
            }
        }
        cache.clock += 1;
        let now = cache.clock;
        if cache.blobs.insert(place, (Arc::clone(blob), now)).is_none() {
            cache.bytes += blob.len();
        }
    }

    /// The entries of a folder, given the chunks of its tree.
    pub fn tree(&self, chunks: &[ChunkId]) -> Result<Vec<Node>> {
        let mut nodes: Vec<Node> = Vec::new();
        for id in chunks {
            let plain = self.chunk(PackClass::Meta, id)?;
            let part = Tree::decode(&plain).within(|| format!("read tree {id}"))?.0;
            let in_order = match (nodes.last(), part.first()) {
                (Some(last), Some(first)) => last.name < first.name,
                _ => true,
            };
            if !in_order {
                return Err(lost("the parts of a tree are not in order"));
            }
            nodes.extend(part);
        }
        Ok(nodes)
    }

    /// The row maps of a file of rows; none of any other.
    pub fn row_maps(&self, node: &Node) -> Result<Vec<RowMap>> {
        if !node.rows {
            return Ok(Vec::new());
        }
        node.chunks.iter().map(|id| self.row_map(id)).collect()
    }

    /// One row map.
    pub fn row_map(&self, id: &ChunkId) -> Result<RowMap> {
        RowMap::decode(&self.chunk(PackClass::Meta, id)?)
    }

    /// The stretches of chunks that a file is made of, in order.
    pub fn spans_of(&self, node: &Node) -> Result<Vec<Span>> {
        let missing = || lost("a chunk of it is not in the index");
        let mut spans = Vec::new();
        for map in self.row_maps(node)? {
            for chunk in &map.chunks {
                if self.length_of(&chunk.id)?.ok_or_else(missing)? != chunk.length {
                    return Err(lost("a chunk of rows has another length than its row map says"));
                }
            }
            spans.reserve(map.spans.len());
            for span in &map.spans {
                let chunk = map.chunks.get(units::length(u64::from(span.chunk)));
                let id = chunk.ok_or_else(missing)?.id;
                spans.push(Span { id, from: span.from, length: span.length });
            }
        }
        if !node.rows {
            for id in self.chunks_of(node)? {
                let length = self.length_of(&id)?.ok_or_else(missing)?;
                spans.push(Span { id, from: 0, length });
            }
        }
        Ok(spans)
    }

    /// A stretch of a data chunk. The rest of the chunk is not copied.
    pub fn span(&self, span: &Span) -> Result<Vec<u8>> {
        let mut trouble = None;
        for place in self.repository.index().find_all(&span.id)? {
            let inside = u64::from(span.from) + u64::from(span.length) <= u64::from(place.length);
            match self.part_at(span, place) {
                Ok(bytes) if inside => return Ok(bytes),
                Ok(_) => trouble = trouble.or(Some(lost("a stretch reaches beyond its chunk"))),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        let error = trouble.unwrap_or_else(|| lost("the index does not know it"));
        Err(error.within(format!("read chunk {}", span.id)))
    }

    fn part_at(&self, span: &Span, place: ChunkPlace) -> Result<Vec<u8>> {
        let offset = place.offset.saturating_add(span.from);
        let part = ChunkPlace { offset, length: span.length, ..place };
        if !self.is_judged(place) {
            self.chunk_at(PackClass::Data, &span.id, place)?;
        }
        self.stretch_at(PackClass::Data, part)
    }

    /// Whether these bytes are that stretch of a chunk. A whole chunk is known by its name; for a
    /// part of one it has to be read.
    pub fn holds(&self, span: &Span, bytes: &[u8]) -> Result<bool> {
        let place = self.repository.index().find(&span.id)?;
        if place.is_some_and(|place| place.length == span.length) {
            return Ok(self.repository.keys().data_id(bytes) == span.id);
        }
        Ok(self.span(span)? == bytes)
    }

    /// All data chunks of a file, each once if it is a file of rows.
    pub fn chunks_of(&self, node: &Node) -> Result<Vec<ChunkId>> {
        if node.rows {
            let maps = self.row_maps(node)?;
            let ids = maps.iter().flat_map(|map| &map.chunks).map(|chunk| chunk.id);
            return Ok(ids.collect::<BTreeSet<_>>().into_iter().collect());
        }
        if !node.indirect {
            return Ok(node.chunks.clone());
        }
        let mut chunks = Vec::new();
        for id in &node.chunks {
            chunks.extend(self.listed_ids(id)?);
        }
        Ok(chunks)
    }

    /// The chunks that a list of them names.
    pub fn listed_ids(&self, id: &ChunkId) -> Result<Vec<ChunkId>> {
        let plain = self.chunk(PackClass::Meta, id)?;
        let ids = plain
            .strip_prefix(LIST_PREFIX)
            .ok_or_else(|| lost("a list of chunks is something else"))?;
        ids_from(ids)
    }
}

/// The plain form in which a long list of chunk ids is stored.
pub fn list_of_ids(ids: &[ChunkId]) -> Vec<u8> {
    [LIST_PREFIX, &ids_bytes(ids)].concat()
}

/// Where a blob lies in its pack.
fn range_of(blob: &Blob) -> std::ops::Range<u64> {
    let start = u64::from(blob.offset);
    start..start + u64::from(blob.stored_length)
}

fn lost(why: &str) -> Error {
    Error::new(Kind::Damaged, "read the repository").why(why.to_owned())
}

/// Opens and decompresses one sealed blob.
pub fn open_blob(
    repository: &IndexedRepository,
    pack: &Pack,
    blob: &Blob,
    sealed: &mut [u8],
) -> Result<Vec<u8>> {
    let reader = PackReader::from_header(repository.keys(), pack.class, &pack.header)?;
    let what = || format!("read pack {}", pack.id);
    let packed = reader.open_blob(blob.ordinal, sealed).within(what)?;
    let length = units::length(u64::from(blob.plain_length));
    decompress(blob.compression.code(), packed, length).within(what)
}
