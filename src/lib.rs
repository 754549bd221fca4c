// SPDX-License-Identifier: MIT
//! Ghostsnap
pub mod base;
pub mod cli;
pub mod crypto;
pub mod format;
pub mod tree;
