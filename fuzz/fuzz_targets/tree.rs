// SPDX-License-Identifier: MIT
//! `decoders::tree` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(tree);
