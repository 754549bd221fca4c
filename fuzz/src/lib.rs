// SPDX-License-Identifier: MIT
//! What is fuzzed. The list is shared with `tests/fuzz.rs`, which runs it on stable inputs.

pub mod decoders;

/// What libFuzzer calls with one input.
#[macro_export]
macro_rules! target {
    ($decoder:ident) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            $crate::decoders::$decoder(bytes);
        });
    };
}
