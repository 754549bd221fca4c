// SPDX-License-Identifier: MIT
//! `decoders::write_only_slot` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(write_only_slot);
