// SPDX-License-Identifier: MIT
//! `decoders::tar` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(tar);
