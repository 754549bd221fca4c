// SPDX-License-Identifier: MIT
//! The repository's own description, written last when a repository is made: a repository with a
//! config is complete, one without is half-initialised.

use super::chunker::ChunkSizes;
use super::{damaged, envelope};
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
    /// Whether there may be keys that can add and not read. Decided when it is made, as those who
    /// have such keys must not be able to decide it.
    pub write_only_keys: bool,
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
    #[prost(bool, tag = "6")]
    write_only_keys: bool,
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
            write_only_keys: self.write_only_keys,
        }
        .encode_to_vec()
    }

    /// What a reader of the repository must know.
    pub fn features(&self) -> u64 {
        if self.write_only_keys { envelope::FEATURE_WRITE_ONLY } else { 0 }
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
        let created = Timestamp::from_seconds(record.created);
        Ok(Self { repository_id, created, file_chunks, write_only_keys: record.write_only_keys })
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
            write_only_keys: false,
        };
        assert_eq!(Config::decode(&config.encode()).unwrap(), config);
        let adding = Config { write_only_keys: true, ..config.clone() };
        assert_eq!(Config::decode(&adding.encode()).unwrap(), adding);
        assert_eq!((config.features(), adding.features()), (0, 4));
        let odd = Config { file_chunks: ChunkSizes { min: 1, average: 0, max: 9 }, ..config };
        assert!(Config::decode(&odd.encode()).is_err());
        assert!(Config::decode(&[0xff; 9]).is_err());
    }
}
