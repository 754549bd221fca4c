// SPDX-License-Identifier: MIT
//! `decoders::index` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(index);
