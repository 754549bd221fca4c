// SPDX-License-Identifier: MIT
//! The Debian package, installed, upgraded and removed in a folder that stands for a machine.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs the package: make deb-test builds it and runs the same"]
fn the_package_comes_and_goes_without_a_trace() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deb.sh");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
