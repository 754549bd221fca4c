// SPDX-License-Identifier: MIT
//! `decoders::recovery_kit` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(recovery_kit);
