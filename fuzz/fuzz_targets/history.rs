// SPDX-License-Identifier: MIT
//! `decoders::history` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(history);
