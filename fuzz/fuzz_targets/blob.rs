// SPDX-License-Identifier: MIT
//! `decoders::blob` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(blob);
