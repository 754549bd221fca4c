// SPDX-License-Identifier: MIT
//! Writes what is needed of some packs into new ones. A blob that is needed as a whole keeps its
//! compressed bytes and gets a new seal; of any other only the needed chunks are taken over.

use super::needed::Needed;
use crate::backend::{FileKind, FileName};
use crate::base::monitor::check_cancelled;
use crate::base::{ChunkId, Counter, Error, Kind, Monitor, Result, Within, limits, units};
use crate::format::compress::decompress;
use crate::format::{Compression, PackClass, PackReader};
use crate::repo::index::{Blob, Pack};
use crate::repo::writer::check_chunks;
use crate::repo::{Bundle, Index, IndexedRepository, Writer};
use std::collections::{HashMap, HashSet};

/// The chunks that are needed from a blob: where in it, how long, which.
type Wanted = Vec<(u32, u32, ChunkId)>;

/// Writes the needed chunks of these packs again. Returns the packs that were read without trouble;
/// the others are warnings and stay what they are. What is written is durable only after the
/// writer has finished.
pub fn repack<'i>(
    repository: &'i IndexedRepository,
    packs: Vec<&'i Pack>,
    used: &Needed,
    writer: &Writer<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<&'i Pack>> {
    let mut wanted = wanted(repository.index(), &packs, used)?;
    let mut data = writer.bundle(PackClass::Data)?;
    let mut meta = writer.bundle(PackClass::Meta)?;
    let mut done = Vec::new();
    for pack in packs {
        check_cancelled(monitor)?;
        let bundle = match pack.class {
            PackClass::Data => &mut data,
            PackClass::Meta => &mut meta,
        };
        // What is written of a pack before one of its blobs cannot be read is there twice then.
        match move_pack(repository, pack, &mut wanted, (&mut *bundle, writer)) {
            Ok(()) => done.push(pack),
            Err(error) if matches!(error.kind(), Kind::Damaged | Kind::NotFound) => {
                monitor
                    .warn(error.within(format!("write what is needed of pack {} anew", pack.id)));
            }
            Err(error) => return Err(error),
        }
        monitor.count(Counter::BytesChecked, pack.size);
    }
    data.flush(writer)?;
    meta.flush(writer)?;
    Ok(done)
}

/// What is needed of each blob of the packs, in the order in which it lies there.
fn wanted(index: &Index, packs: &[&Pack], used: &Needed) -> Result<HashMap<u32, Wanted>> {
    let mut blobs = HashSet::new();
    for pack in packs {
        blobs.extend(pack.blobs.0..pack.blobs.0.saturating_add(pack.blobs.1));
    }
    let mut wanted: HashMap<u32, Wanted> = HashMap::new();
    index.each_chunk(|first, rows| {
        for (row, (id, place)) in (first..).zip(rows) {
            if used.has(row) && blobs.contains(&place.blob) {
                wanted.entry(place.blob).or_default().push((place.offset, place.length, *id));
            }
        }
        Ok(())
    })?;
    for chunks in wanted.values_mut() {
        chunks.sort_unstable();
    }
    Ok(wanted)
}

/// A blob as it is needed.
enum Part {
    /// All of it: compressed bytes as they are.
    Whole { packed: Vec<u8>, compression: Compression, chunks: Vec<(ChunkId, u32)> },
    /// Some chunks.
    Some(Vec<(ChunkId, Vec<u8>)>),
}

fn move_pack(
    repository: &IndexedRepository,
    pack: &Pack,
    wanted: &mut HashMap<u32, Wanted>,
    (bundle, writer): (&mut Bundle, &Writer<'_>),
) -> Result<()> {
    let index = repository.index();
    let source = Source {
        repository,
        reader: PackReader::from_header(repository.keys(), pack.class, &pack.header)?,
        name: FileName::new(FileKind::Pack, pack.id),
        class: pack.class,
    };
    let mut run: Vec<(&Blob, Wanted)> = Vec::new();
    for place in pack.blobs.0..pack.blobs.0.saturating_add(pack.blobs.1) {
        let (Some(blob), Some(chunks)) = (index.blob(place), wanted.remove(&place)) else {
            continue;
        };
        if let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) {
            let gap = u64::from(blob.offset).saturating_sub(end_of(last));
            let length = end_of(blob).saturating_sub(u64::from(first.offset));
            if gap > limits::COALESCE_GAP_BYTES || length > limits::COALESCE_READ_BYTES {
                source.move_run(std::mem::take(&mut run), bundle, writer)?;
            }
        }
        run.push((blob, chunks));
    }
    source.move_run(run, bundle, writer)
}

fn end_of(blob: &Blob) -> u64 {
    u64::from(blob.offset) + u64::from(blob.stored_length)
}

/// The pack that is being moved.
struct Source<'s> {
    repository: &'s IndexedRepository,
    reader: PackReader,
    name: FileName,
    class: PackClass,
}

impl Source<'_> {
    /// Reads neighbouring blobs at once, and opens and writes one after the other.
    fn move_run(
        &self,
        run: Vec<(&Blob, Wanted)>,
        bundle: &mut Bundle,
        writer: &Writer<'_>,
    ) -> Result<()> {
        let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { return Ok(()) };
        let start = u64::from(first.offset);
        let mut bytes = self.repository.backend().read(&self.name, start..end_of(last))?;
        for (blob, chunks) in run {
            let from = units::length(u64::from(blob.offset) - start);
            let to = from + units::length(u64::from(blob.stored_length));
            let sealed = bytes.get_mut(from..to).ok_or_else(|| self.cut())?;
            let part = self
                .part(blob, chunks, sealed)
                .within(|| format!("read blob {} of {}", blob.ordinal, self.name))?;
            write(part, self.class, bundle, writer)?;
        }
        Ok(())
    }

    fn part(&self, blob: &Blob, chunks: Wanted, sealed: &mut [u8]) -> Result<Part> {
        let keys = self.repository.keys();
        let packed = self.reader.open_blob(blob.ordinal, sealed)?;
        let length = units::length(u64::from(blob.plain_length));
        let plain = decompress(blob.compression.code(), packed, length)?;
        let found: u64 = chunks.iter().map(|(_, length, _)| u64::from(*length)).sum();
        if found == u64::from(blob.plain_length) {
            let chunks: Vec<(ChunkId, u32)> =
                chunks.into_iter().map(|(_, length, id)| (id, length)).collect();
            check_chunks(keys, self.class, &chunks, &plain)?;
            let packed = packed.to_vec();
            return Ok(Part::Whole { packed, compression: blob.compression, chunks });
        }
        let mut some = Vec::new();
        for (offset, length, id) in chunks {
            let from = units::length(u64::from(offset));
            let chunk = plain.get(from..from + units::length(u64::from(length)));
            let chunk = chunk.ok_or_else(|| self.cut())?;
            check_chunks(keys, self.class, &[(id, length)], chunk)?;
            some.push((id, chunk.to_vec()));
        }
        Ok(Part::Some(some))
    }

    fn cut(&self) -> Error {
        Error::new(Kind::Damaged, format!("read {}", self.name)).why("a blob is cut off")
    }
}

fn write(part: Part, class: PackClass, bundle: &mut Bundle, writer: &Writer<'_>) -> Result<()> {
    match part {
        Part::Whole { packed, compression, chunks } => {
            writer.add_blob(class, &packed, compression, chunks)
        }
        Part::Some(chunks) => {
            for (id, chunk) in chunks {
                bundle.put(writer, id, &chunk)?;
            }
            Ok(())
        }
    }
}
