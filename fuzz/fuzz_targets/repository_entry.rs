// SPDX-License-Identifier: MIT
//! `decoders::repository_entry` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(repository_entry);
