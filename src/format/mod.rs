// SPDX-License-Identifier: MIT
//! Rank 2: docs/format.md in Rust. Pure encoding and decoding: bytes in, values out, no I/O. What
//! is decoded here comes from a disk or a network and may be anything: the answer is a value or an
//! error, never a panic and never an allocation that the input did not pay for.

pub mod chunker;
pub mod compress;
pub mod config;
pub mod envelope;
pub mod history;
pub mod index;
pub mod kept;
pub mod keyslot;
pub mod kit;
pub mod lock;
pub mod pack;
pub mod rows;
pub mod snapshot;
pub mod tree;

pub use chunker::Chunker;
pub use compress::{Compression, Compressor};
pub use config::Config;
pub use envelope::{FORMAT_VERSION, Header, RecordKind};
pub use index::{IndexSegment, Note, NoteKind, PackEntry};
pub use keyslot::KeySlot;
pub use pack::{BlobEntry, PackClass, PackReader, PackWriter};
pub use rows::{RowMap, RowTable};
pub use snapshot::Snapshot;
pub use tree::{Node, NodeKind, Tree};

use crate::base::{Error, Kind};

/// "The stored bytes are not what we wrote": the one way this room says so.
pub(crate) fn damaged(what: impl Into<String>, why: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, what).why(why)
}
