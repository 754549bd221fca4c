// SPDX-License-Identifier: MIT
//! `decoders::hestia_rows` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(hestia_rows);
