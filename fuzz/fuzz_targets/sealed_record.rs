// SPDX-License-Identifier: MIT
//! `decoders::sealed_record` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(sealed_record);
