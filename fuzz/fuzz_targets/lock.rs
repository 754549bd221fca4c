// SPDX-License-Identifier: MIT
//! `decoders::lock` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(lock);
