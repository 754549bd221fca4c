// SPDX-License-Identifier: MIT
//! Rank 0: the words everybody uses. Knows nothing of backups, repositories or Hestia.

pub mod error;
pub mod id;
pub mod limits;
pub mod monitor;
pub mod notify_limits;
pub mod pace;
pub mod path;
pub mod settings_limits;
pub mod units;
pub mod world;

pub use error::{Error, Kind, Result, What, WhatIo, Within};
pub use id::{ChunkId, FileId};
pub use monitor::{Counter, Monitor};
pub use path::RelPath;
pub use world::{Timestamp, World};
