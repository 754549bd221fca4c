// SPDX-License-Identifier: MIT
//! Rank 4: the verbs. Each takes a repository, options and a monitor, returns a report and prints
//! nothing.

mod assemble;
pub mod backup;
pub mod check;
mod check_unproven;
pub mod copy;
pub mod forget;
pub mod list;
pub mod parent;
pub mod pin;
pub mod prove;
pub mod prune;
pub mod repair;
pub mod restore;
mod rows;
pub mod several;
pub mod stats;
pub mod tripwire;
pub mod wipe;
mod work;

pub use backup::{BackupOptions, BackupReport, Parent, backup};
