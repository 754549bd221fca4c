// SPDX-License-Identifier: MIT
//! `decoders::dump_mysql` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(dump_mysql);
