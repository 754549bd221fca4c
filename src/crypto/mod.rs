// SPDX-License-Identifier: MIT
//! Rank 1: keys, sealing and key derivation. No I/O, no clock, no generator: the caller hands in
//! salts. Small enough for an auditor to read in one sitting.

mod deposit;
pub mod kdf;
pub mod kept;
pub mod keys;
pub mod seal;
pub mod sign;

pub use kdf::KdfParams;
pub use kept::{Kept, KeptKey};
pub use keys::{Keys, MasterKey, NewFile, NoKey, Purpose};
pub use seal::{NonceIndex, SealKey, TAG_BYTES};
