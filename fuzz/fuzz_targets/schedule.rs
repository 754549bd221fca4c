// SPDX-License-Identifier: MIT
//! `decoders::schedule` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(schedule);
