// SPDX-License-Identifier: MIT
//! `decoders::frame_of_record` on what libFuzzer makes up.
#![no_main]
ghostsnap_fuzz::target!(frame_of_record);
