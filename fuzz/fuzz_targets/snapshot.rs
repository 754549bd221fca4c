// SPDX-License-Identifier: MIT
//! `decoders::snapshot` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(snapshot);
