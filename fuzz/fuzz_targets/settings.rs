// SPDX-License-Identifier: MIT
//! `decoders::settings` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(settings);
