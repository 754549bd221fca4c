// SPDX-License-Identifier: MIT
//! `decoders::config` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(config);
