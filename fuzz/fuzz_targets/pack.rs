// SPDX-License-Identifier: MIT
//! `decoders::pack` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(pack);
