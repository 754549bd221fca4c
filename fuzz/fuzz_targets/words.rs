// SPDX-License-Identifier: MIT
//! `decoders::words` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(words);
