// SPDX-License-Identifier: MIT
//! Telling people how backups are: one look at the server ([`look`]) gives what is wrong
//! ([`trouble`]); a pure function decides who is told what of it ([`plan`]), by what was told
//! before ([`told`]) and by the settings ([`rules`], [`target`]); it becomes messages
//! ([`message`], dressed for each receiver by [`dress`]), which are sent ([`send`], [`pass`]).
//! Pings ([`ping`]) say that a run began and ended, metrics ([`metrics`]) say how all is in
//! numbers. Nothing of it can make a backup fail, or wait for long.

pub mod dress;
pub mod look;
pub mod message;
pub mod metrics;
pub mod pass;
pub mod ping;
pub mod plan;
pub mod rules;
pub mod send;
pub mod target;
pub mod told;
pub mod trouble;

pub use look::{Look, UserLook};
pub use target::{Target, targets};
pub use told::{Book, BookPlace};
