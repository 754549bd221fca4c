// SPDX-License-Identifier: MIT
//! The bounds of what is set by commands, as `limits.rs` holds those of everything else.

use std::time::Duration;

/// How often whoever waits for another one who changes the settings looks. A change takes some
/// milliseconds.
pub const LOCK_LOOK: Duration = Duration::from_millis(20);
/// How long that may take: a page of the panel waits for it.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);
