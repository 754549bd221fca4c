// SPDX-License-Identifier: MIT
//! `decoders::dump_pgsql` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(dump_pgsql);
