// SPDX-License-Identifier: MIT
//! Cuts file content into chunks at borders that depend on the content and on a secret table, so
//! that an insertion moves only the chunks around it and borders of known files cannot be guessed.
//! Files up to the smallest chunk are one chunk and never pass through the cutter.

use crate::crypto::Keys;
use fastcdc::v2020::{Normalization, cut_gear, select_masks};

/// Which sizes a repository cuts with; stored in its config, so that deduplication stays stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    /// No chunk but the last of a file is smaller.
    pub min: u32,
    /// What the cutter aims at.
    pub average: u32,
    /// No chunk is larger.
    pub max: u32,
}

impl ChunkSizes {
    /// For files: measured as the best trade between index size, speed and deduplication.
    pub const FILES: Self = Self { min: 512 * 1024, average: 1024 * 1024, max: 4 * 1024 * 1024 };

    /// Whether the cutter can work with them: even, ascending, within the library's bounds.
    pub fn are_valid(self) -> bool {
        let even = [self.min, self.average, self.max].iter().all(|size| size.is_multiple_of(2));
        even && self.average.is_power_of_two()
            && (64..=1024 * 1024).contains(&self.min)
            && (256..=4 * 1024 * 1024).contains(&self.average)
            && (1024..=4 * 1024 * 1024).contains(&self.max)
            && self.min <= self.average
            && self.average < self.max
    }
}

/// Finds chunk borders; cheap to share between threads.
pub struct Chunker {
    sizes: ChunkSizes,
    masks: (u64, u64),
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
}

impl Chunker {
    /// A chunker with the repository's secret table; `sizes` must be valid.
    pub fn new(keys: &Keys, sizes: ChunkSizes) -> Self {
        let gear = keys.gear_table();
        let mut gear_shifted = gear.clone();
        gear_shifted.iter_mut().for_each(|word| *word <<= 1);
        let average = crate::base::units::length(u64::from(sizes.average));
        let masks = select_masks(average, Normalization::Level1);
        Self { sizes, masks, gear, gear_shifted }
    }

    /// The sizes it cuts with.
    pub fn sizes(&self) -> ChunkSizes {
        self.sizes
    }

    /// Length of the first chunk of `data`. Unless `data` ends the file, it must hold at least
    /// the largest chunk, or the border would depend on how the data was read.
    pub fn cut(&self, data: &[u8]) -> usize {
        let size = |value| crate::base::units::length(u64::from(value));
        let (strict, loose) = self.masks;
        if data.len() <= size(self.sizes.min) {
            return data.len();
        }
        let (_, cut) = cut_gear(
            data,
            size(self.sizes.min),
            size(self.sizes.average),
            size(self.sizes.max),
            strict,
            loose,
            strict << 1,
            loose << 1,
            self.gear.as_slice(),
            self.gear_shifted.as_slice(),
        );
        cut.clamp(1, data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;

    fn chunker(seed: u8) -> Chunker {
        let keys = Keys::new(MasterKey::new([seed; 32]));
        Chunker::new(&keys, ChunkSizes { min: 1024, average: 4096, max: 16384 })
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(b"chunker").finalize_xof().fill(&mut bytes);
        bytes
    }

    fn borders(chunker: &Chunker, mut data: &[u8]) -> Vec<usize> {
        let mut cuts = Vec::new();
        while !data.is_empty() {
            let cut = chunker.cut(data);
            cuts.push(cut);
            data = &data[cut..];
        }
        cuts
    }

    #[test]
    fn the_sizes_for_files_are_valid() {
        assert!(ChunkSizes::FILES.are_valid());
        assert!(!ChunkSizes { min: 3, average: 5, max: 7 }.are_valid());
    }

    #[test]
    fn an_insertion_moves_few_borders() {
        let data = noise(400_000);
        let mut changed = data.clone();
        changed.splice(200_000..200_000, [1, 2, 3]);
        let (a, b) = (borders(&chunker(1), &data), borders(&chunker(1), &changed));
        let same_tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
        let same_head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
        assert!(same_head + same_tail + 4 >= a.len(), "{} of {}", same_head + same_tail, a.len());
        assert!(a.iter().rev().skip(1).all(|cut| (1024..=16384).contains(cut)));
    }

    #[test]
    fn borders_are_secret_and_frozen() {
        let data = noise(100_000);
        assert_ne!(borders(&chunker(1), &data), borders(&chunker(2), &data));
        // A golden vector: a library update that moves borders would end deduplication silently.
        let cuts = borders(&chunker(1), &data);
        let hash = blake3::hash(format!("{cuts:?}").as_bytes()).to_hex();
        assert_eq!(&hash[..16], "5083d249225363a0");
    }
}
