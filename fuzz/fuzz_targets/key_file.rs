// SPDX-License-Identifier: MIT
//! `decoders::key_file` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(key_file);
