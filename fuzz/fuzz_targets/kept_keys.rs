// SPDX-License-Identifier: MIT
//! `decoders::kept_keys` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(kept_keys);
