// SPDX-License-Identifier: MIT
//! zstd per blob, with the plain length known beforehand, so that decompression is bounded by
//! what the index says and takes one call. What does not shrink is stored as it is.

use super::damaged;
use crate::base::{Error, Kind, Result, What};

/// How a blob's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As they are.
    None,
    /// One zstd frame.
    Zstd,
}

impl Compression {
    /// The code on disk.
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Zstd => 1,
        }
    }

    /// Reads a code; unknown ones belong to a newer program.
    pub fn from_code(code: u8) -> Result<Self> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::Zstd),
            other => Err(Error::new(Kind::Newer, "read a blob")
                .why(format!("compression {other} is not known to this program"))),
        }
    }
}

/// Lowest and highest level a user may ask for; 0 stores everything as it is.
pub const LEVELS: std::ops::RangeInclusive<i32> = 0..=19;

/// Part of a large blob that is compressed first to see whether the rest is worth it.
const PROBE_BYTES: usize = 64 * 1024;

/// A reusable compressor for one thread.
pub struct Compressor {
    inner: Option<zstd::bulk::Compressor<'static>>,
    scratch: Vec<u8>,
}

impl Compressor {
    /// A compressor of the given level (see [`LEVELS`]).
    pub fn new(level: i32) -> Result<Self> {
        let inner = if level == 0 {
            None
        } else {
            let made = zstd::bulk::Compressor::new(level);
            Some(made.what(Kind::Internal, || format!("set zstd up for level {level}"))?)
        };
        Ok(Self { inner, scratch: Vec::new() })
    }

    /// Appends the stored form of `plain` to `stored` and says which form it is. Compression that
    /// saves less than a fiftieth is not worth decompressing later.
    pub fn compress_onto(&mut self, plain: &[u8], stored: &mut Vec<u8>) -> Compression {
        let start = stored.len();
        if self.shrinks(plain) && self.zstd_onto(plain, stored) {
            let size = stored.len() - start;
            if size < plain.len() - plain.len() / 50 {
                return Compression::Zstd;
            }
        }
        stored.truncate(start);
        stored.extend_from_slice(plain);
        Compression::None
    }

    /// Whether compressing is worth trying: looks at the middle of a large piece; small ones are
    /// simply tried whole.
    pub fn shrinks(&mut self, plain: &[u8]) -> bool {
        if plain.len() < 4 * PROBE_BYTES {
            return true;
        }
        let middle = plain.len() / 2;
        let Some(probe) = plain.get(middle..middle + PROBE_BYTES) else { return true };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let tried = self.zstd_onto(probe, &mut scratch);
        let shrinks = tried && scratch.len() < PROBE_BYTES - PROBE_BYTES / 50;
        self.scratch = scratch;
        shrinks
    }

    fn zstd_onto(&mut self, plain: &[u8], stored: &mut Vec<u8>) -> bool {
        let Some(inner) = &mut self.inner else { return false };
        let start = stored.len();
        stored.resize(start + zstd::zstd_safe::compress_bound(plain.len()), 0);
        let Some(room) = stored.get_mut(start..) else { return false };
        // A failure here only means that the blob is stored as it is.
        let written = inner.compress_to_buffer(plain, room).unwrap_or(0);
        stored.truncate(start + written);
        written > 0
    }
}

/// Undoes [`Compressor::compress_onto`]; the result has exactly `plain_length` bytes or it is an
/// error.
pub fn decompress(code: u8, stored: &[u8], plain_length: usize) -> Result<Vec<u8>> {
    let plain = match Compression::from_code(code)? {
        Compression::None => stored.to_vec(),
        Compression::Zstd => zstd::bulk::decompress(stored, plain_length)
            .map_err(|cause| damaged("decompress a blob", cause.to_string()))?,
    };
    if plain.len() != plain_length {
        return Err(damaged(
            "decompress a blob",
            format!("it has {} bytes instead of {plain_length}", plain.len()),
        ));
    }
    Ok(plain)
}

/// A decompressor that reuses its memory; for restores and checks.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl Decompressor {
    /// A decompressor for one thread.
    pub fn new() -> Result<Self> {
        zstd::bulk::Decompressor::new().what(Kind::Internal, || "set zstd up").map(Self)
    }

    /// Decompresses into `plain`, replacing what it held.
    pub fn decompress_into(
        &mut self,
        compression: Compression,
        stored: &[u8],
        plain_length: usize,
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        plain.clear();
        match compression {
            Compression::None => plain.extend_from_slice(stored),
            Compression::Zstd => {
                plain.reserve(plain_length);
                self.0
                    .decompress_to_buffer(stored, plain)
                    .map_err(|cause| damaged("decompress a blob", cause.to_string()))?;
            }
        }
        if plain.len() != plain_length {
            return Err(damaged(
                "decompress a blob",
                format!("it has {} bytes instead of {plain_length}", plain.len()),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn text_shrinks_and_noise_is_kept_as_it_is() {
        let mut compressor = Compressor::new(3).unwrap();
        for (plain, expected) in [
            (b"<?php echo 1; ?>".repeat(1000), Compression::Zstd),
            (b"<?php echo 1; ?>".repeat(100_000), Compression::Zstd),
            (noise(10_000), Compression::None),
            (noise(1_000_000), Compression::None),
            (Vec::new(), Compression::None),
        ] {
            let mut stored = b"before".to_vec();
            let compression = compressor.compress_onto(&plain, &mut stored);
            assert_eq!(compression, expected);
            assert_eq!(&stored[..6], b"before");
            assert_eq!(decompress(compression.code(), &stored[6..], plain.len()).unwrap(), plain);
        }
    }

    #[test]
    fn level_zero_stores() {
        let mut stored = Vec::new();
        assert_eq!(
            Compressor::new(0).unwrap().compress_onto(&[0; 5000], &mut stored),
            Compression::None
        );
    }

    #[test]
    fn a_wrong_length_is_damage_in_both_directions() {
        let mut stored = Vec::new();
        let compression = Compressor::new(3).unwrap().compress_onto(&[5; 5000], &mut stored);
        for length in [4999, 5001] {
            assert!(decompress(compression.code(), &stored, length).is_err());
        }
    }
}
