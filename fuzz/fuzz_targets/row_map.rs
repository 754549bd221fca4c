// SPDX-License-Identifier: MIT
//! `decoders::row_map` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(row_map);
