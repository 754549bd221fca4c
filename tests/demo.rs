// SPDX-License-Identifier: MIT
//! What `make demo` shows does work: the first thing that somebody tries.
#![allow(missing_docs, clippy::unwrap_used, clippy::pedantic)]

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_demo_ends_well() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demo/run.sh");
    let output = Command::new(script)
        .arg(env!("CARGO_BIN_EXE_ghostsnap"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("== "), "{out}");
}
