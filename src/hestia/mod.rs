// SPDX-License-Identifier: MIT
//! Rank 5: all that knows HestiaCP.

pub mod tarball_in;
pub mod tarball_out;
