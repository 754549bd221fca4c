// SPDX-License-Identifier: MIT
//! `decoders::proven_segment` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(proven_segment);
