// SPDX-License-Identifier: MIT
//! `decoders::row_table` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(row_table);
