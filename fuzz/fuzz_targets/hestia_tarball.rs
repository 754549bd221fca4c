// SPDX-License-Identifier: MIT
//! `decoders::hestia_tarball` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(hestia_tarball);
