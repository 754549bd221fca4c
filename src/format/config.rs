// SPDX-License-Identifier: MIT
//! The repository's own description, written last when a repository is made: a repository with a
//! config is complete, one without is half-initialised.

use super::chunker::ChunkSizes;
use super::damaged;
use crate::base::id::FileId;
use crate::base::{Result, Timestamp};
use prost::Message;

/// What holds for the whole repository, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Random identity, so that two repositories are never taken for one another.
    pub repository_id: FileId,
    /// When it was made.
    pub created: Timestamp,
    /// How files are cut.
    pub file_chunks: ChunkSizes,
}

#[derive(Clone, PartialEq, Message)]
struct ConfigRecord {
    #[prost(bytes = "vec", tag = "1")]
    repository_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    created: i64,
    #[prost(uint32, tag = "3")]
    chunk_min: u32,
    #[prost(uint32, tag = "4")]
    chunk_average: u32,
    #[prost(uint32, tag = "5")]
    chunk_max: u32,
}

impl Config {
    /// The plain record.
    pub fn encode(&self) -> Vec<u8> {
        ConfigRecord {
            repository_id: self.repository_id.as_bytes().to_vec(),
            created: self.created.seconds,
            chunk_min: self.file_chunks.min,
            chunk_average: self.file_chunks.average,
            chunk_max: self.file_chunks.max,
        }
        .encode_to_vec()
    }

    /// Reads a plain record.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let what = "read the repository's config";
        let record =
            ConfigRecord::decode(plain).map_err(|cause| damaged(what, cause.to_string()))?;
        let repository_id = FileId::from_slice(&record.repository_id)
            .ok_or_else(|| damaged(what, "its repository id is not 32 bytes"))?;
        let file_chunks = ChunkSizes {
            min: record.chunk_min,
            average: record.chunk_average,
            max: record.chunk_max,
        };
        if !file_chunks.are_valid() {
            return Err(damaged(what, "its chunk sizes make no sense"));
        }
        Ok(Self { repository_id, created: Timestamp::from_seconds(record.created), file_chunks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_survives_encoding_and_nonsense_is_refused() {
        let config = Config {
            repository_id: FileId([3; 32]),
            created: Timestamp::from_seconds(5),
            file_chunks: ChunkSizes::FILES,
        };
        assert_eq!(Config::decode(&config.encode()).unwrap(), config);
        let odd = Config { file_chunks: ChunkSizes { min: 1, average: 0, max: 9 }, ..config };
        assert!(Config::decode(&odd.encode()).is_err());
        assert!(Config::decode(&[0xff; 9]).is_err());
    }
}
