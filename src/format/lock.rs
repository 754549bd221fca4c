// SPDX-License-Identifier: MIT
//! Locks: who is writing into the repository at this moment. Nobody waits for one. They tell a
//! prune that removes at once, and a person, whether somebody counts on what seems unused.

use super::damaged;
use crate::base::world::Process;
use crate::base::{Result, Timestamp};
use prost::Message;

/// Who writes, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// What it is at: `backup`, `copy`, `prune`.
    pub work: String,
    /// The machine's name.
    pub host: String,
    /// The process.
    pub process: Process,
    /// When it began.
    pub time: Timestamp,
}

#[derive(Clone, PartialEq, Message)]
struct LockRecord {
    #[prost(string, tag = "1")]
    work: String,
    #[prost(string, tag = "2")]
    host: String,
    #[prost(string, tag = "3")]
    machine: String,
    #[prost(uint32, tag = "4")]
    process: u32,
    #[prost(uint64, tag = "5")]
    started: u64,
    #[prost(sint64, tag = "6")]
    time: i64,
}

impl Lock {
    /// The plain record.
    pub fn encode(&self) -> Vec<u8> {
        LockRecord {
            work: self.work.clone(),
            host: self.host.clone(),
            machine: self.process.machine.clone(),
            process: self.process.id,
            started: self.process.started,
            time: self.time.seconds,
        }
        .encode_to_vec()
    }

    /// Reads a plain record.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let record =
            LockRecord::decode(plain).map_err(|cause| damaged("read a lock", cause.to_string()))?;
        Ok(Self {
            work: record.work,
            host: record.host,
            process: Process {
                machine: record.machine,
                id: record.process,
                started: record.started,
            },
            time: Timestamp::from_seconds(record.time),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_survives_encoding() {
        let process = Process { machine: "boot 1".to_owned(), id: 42, started: 99 };
        let lock = Lock {
            work: "backup".to_owned(),
            host: "web1.example".to_owned(),
            process,
            time: Timestamp::from_seconds(1_800_000_000),
        };
        assert_eq!(Lock::decode(&lock.encode()).unwrap(), lock);
        assert!(Lock::decode(&[0xff; 9]).is_err());
    }
}
