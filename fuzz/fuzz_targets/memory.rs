// SPDX-License-Identifier: MIT
//! `decoders::memory` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(memory);
