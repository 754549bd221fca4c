// SPDX-License-Identifier: MIT
//! jobs
pub mod filter;
pub mod preflight;
pub mod verify;
