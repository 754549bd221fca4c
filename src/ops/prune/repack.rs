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
    let mut wanted = wanted(repository.index(), &packs, used);
    let mut data = writer.bundle(PackClass::Data)?;
    let mut meta = writer.bundle(PackClass::Meta)?;
    let mut done = Vec::new();
    for pack in packs {
        check_cancelled(monitor)?;
        let bundle = match pack.class {
            PackClass::Data => &mut data,
            PackClass::Meta => &mut meta,
        };
        // All of a pack is read before any of it is written: half of one would free nothing.
        match read(repository, pack, &mut wanted) {
            Ok(blobs) => {
                for blob in blobs {
                    write(blob, pack.class, bundle, writer)?;
                }
                done.push(pack);
            }
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
fn wanted(index: &Index, packs: &[&Pack], used: &Needed) -> HashMap<u32, Wanted> {
    let mut blobs = HashSet::new();
    for pack in packs {
        blobs.extend(pack.blobs.0..pack.blobs.0.saturating_add(pack.blobs.1));
    }
    let mut wanted: HashMap<u32, Wanted> = HashMap::new();
    for (row, (id, place)) in index.chunks().iter().enumerate() {
        if used.has(row) && blobs.contains(&place.blob) {
            wanted.entry(place.blob).or_default().push((place.offset, place.length, *id));
        }
    }
    for chunks in wanted.values_mut() {
        chunks.sort_unstable();
    }
    wanted
}

/// A blob as it is needed.
enum Part {
    /// All of it: compressed bytes as they are.
    Whole { packed: Vec<u8>, compression: Compression, chunks: Vec<(ChunkId, u32)> },
    /// Some chunks.
    Some(Vec<(ChunkId, Vec<u8>)>),
}

fn read(
    repository: &IndexedRepository,
    pack: &Pack,
    wanted: &mut HashMap<u32, Wanted>,
) -> Result<Vec<Part>> {
    let index = repository.index();
    let reader = PackReader::from_header(repository.keys(), pack.class, &pack.header)?;
    let name = FileName::new(FileKind::Pack, pack.id);
    let mut parts = Vec::new();
    let mut run: Vec<(&Blob, Wanted)> = Vec::new();
    for place in pack.blobs.0..pack.blobs.0.saturating_add(pack.blobs.1) {
        let (Some(blob), Some(chunks)) = (index.blob(place), wanted.remove(&place)) else {
            continue;
        };
        if let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) {
            let gap = u64::from(blob.offset) - end_of(last);
            let length = end_of(blob) - u64::from(first.offset);
            if gap > limits::COALESCE_GAP_BYTES || length > limits::COALESCE_READ_BYTES {
                read_run(
                    repository,
                    &reader,
                    &name,
                    pack.class,
                    std::mem::take(&mut run),
                    &mut parts,
                )?;
            }
        }
        run.push((blob, chunks));
    }
    read_run(repository, &reader, &name, pack.class, run, &mut parts)?;
    Ok(parts)
}

fn end_of(blob: &Blob) -> u64 {
    u64::from(blob.offset) + u64::from(blob.stored_length)
}

/// Reads neighbouring blobs at once and opens each.
fn read_run(
    repository: &IndexedRepository,
    reader: &PackReader,
    name: &FileName,
    class: PackClass,
    run: Vec<(&Blob, Wanted)>,
    parts: &mut Vec<Part>,
) -> Result<()> {
    let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { return Ok(()) };
    let start = u64::from(first.offset);
    let mut bytes = repository.backend().read(name, start..end_of(last))?;
    let cut = || Error::new(Kind::Damaged, format!("read {name}")).why("a blob is cut off");
    for (blob, chunks) in run {
        let from = units::length(u64::from(blob.offset) - start);
        let to = from + units::length(u64::from(blob.stored_length));
        let sealed = bytes.get_mut(from..to).ok_or_else(cut)?;
        let what = || format!("read blob {} of {name}", blob.ordinal);
        let packed = reader.open_blob(blob.ordinal, sealed).within(what)?;
        let length = units::length(u64::from(blob.plain_length));
        let plain = decompress(blob.compression.code(), packed, length).within(what)?;
        let found: u64 = chunks.iter().map(|(_, length, _)| u64::from(*length)).sum();
        if found == u64::from(blob.plain_length) {
            let chunks: Vec<(ChunkId, u32)> =
                chunks.into_iter().map(|(_, length, id)| (id, length)).collect();
            check_chunks(repository.keys(), class, &chunks, &plain).within(what)?;
            let packed = packed.to_vec();
            parts.push(Part::Whole { packed, compression: blob.compression, chunks });
            continue;
        }
        let mut some = Vec::new();
        for (offset, length, id) in chunks {
            let from = units::length(u64::from(offset));
            let chunk = plain.get(from..from + units::length(u64::from(length)));
            let chunk = chunk.ok_or_else(cut)?;
            check_chunks(repository.keys(), class, &[(id, length)], chunk).within(what)?;
            some.push((id, chunk.to_vec()));
        }
        parts.push(Part::Some(some));
    }
    Ok(())
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
