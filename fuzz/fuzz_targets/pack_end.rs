// SPDX-License-Identifier: MIT
//! `decoders::pack_end` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(pack_end);
