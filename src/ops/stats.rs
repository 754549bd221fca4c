// SPDX-License-Identifier: MIT
//! Numbers about a repository, from its index and its list of snapshots.

use crate::base::{Monitor, Result, units};
use crate::format::PackClass;
use crate::repo::IndexedRepository;

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Snapshots.
    pub snapshots: u64,
    /// Bytes of file content in all snapshots together, as if each were stored alone.
    pub bytes_source: u64,
    /// Packs of file content.
    pub data_packs: u64,
    /// Packs of trees.
    pub meta_packs: u64,
    /// Blobs.
    pub blobs: u64,
    /// Chunks.
    pub chunks: u64,
    /// Plain bytes of all chunks.
    pub bytes_plain: u64,
    /// Bytes stored.
    pub bytes_stored: u64,
}

/// Counts.
pub fn stats(repository: &IndexedRepository, monitor: &dyn Monitor) -> Result<Stats> {
    let snapshots = repository.readable_snapshots(monitor)?;
    let index = repository.index();
    let packs = |class| units::bytes(index.packs().iter().filter(|one| one.class == class).count());
    Ok(Stats {
        snapshots: units::bytes(snapshots.len()),
        bytes_source: snapshots.iter().map(|(_, one)| one.totals.bytes).sum(),
        data_packs: packs(PackClass::Data),
        meta_packs: packs(PackClass::Meta),
        blobs: units::bytes(index.blobs().len()),
        chunks: units::bytes(index.chunk_rows()),
        bytes_plain: index.blobs().iter().map(|blob| u64::from(blob.plain_length)).sum(),
        bytes_stored: index.stored_bytes(),
    })
}
