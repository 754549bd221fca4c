// SPDX-License-Identifier: MIT
//! Ghostsnap
pub mod backend;
pub mod base;
pub mod cli;
pub mod crypto;
pub mod format;
pub mod hestia;
pub mod ops;
pub mod repo;
pub mod tree;
