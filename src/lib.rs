// SPDX-License-Identifier: MIT
//! Ghostsnap
pub mod base;
pub mod crypto;
pub mod format;
pub mod hestia;
pub mod tree;
