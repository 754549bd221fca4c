// SPDX-License-Identifier: MIT
//! The files that are made from the table of commands are the ones that are committed.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

#[test]
fn the_generated_files_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let findings = ghostsnap::cli::generate::check(root).unwrap();
    assert!(findings.is_empty(), "run `cargo run -- generate`: {findings:?}");
}
