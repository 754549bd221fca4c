// SPDX-License-Identifier: MIT
//! The bounds of what is set by commands, as `limits.rs` holds those of everything else.

use std::time::Duration;

/// How long one waits for another who changes the settings: a page of the panel waits with it. A
/// change takes some milliseconds.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// How many exclusions a customer may have: more is a list that nobody reads, and each is compared
/// with every file.
pub const WISHES_EXCLUDES_MAX: usize = 50;
/// How long one may be.
pub const WISHES_EXCLUDE_BYTES_MAX: usize = 200;
/// How many wildcards one may have: fifty with dozens each cost ten milliseconds a file.
pub const WISHES_WILDCARDS_MAX: usize = 10;
/// How long what a customer says of a time may be.
pub const WISHES_WHEN_BYTES_MAX: usize = 40;
/// What a customer's file may hold: all of these, escaped.
pub const WISHES_BYTES_MAX: u64 = 64 * 1024;
