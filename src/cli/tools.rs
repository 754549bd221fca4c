// SPDX-License-Identifier: MIT
//! Commands about the program itself: completions, and the files made from the table.

use super::args::{Invocation, clap_command};
use super::{Context, generate};
use crate::base::{Error, Kind, Result};
use clap_complete::Shell;
use std::path::Path;

/// `ghostsnap completions SHELL`.
pub fn completions(context: &Context, call: &Invocation) -> Result<()> {
    let name = call.required("SHELL")?;
    let shell: Shell = name.parse().map_err(|why: String| {
        Error::new(Kind::Invalid, format!("complete for the shell {name}")).why(why)
    })?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut clap_command(), "ghostsnap", &mut script);
    context.output.bytes(&script)
}

/// `ghostsnap generate`.
pub fn generate(context: &Context, call: &Invocation) -> Result<()> {
    let mut package_only = false;
    if let Some(folder) = call.path("man") {
        generate::write_man_pages(folder)?;
        package_only = true;
    }
    if let Some(folder) = call.path("completions") {
        generate::write_completions(folder)?;
        package_only = true;
    }
    if package_only {
        return Ok(());
    }
    let root = call.path("root").unwrap_or(Path::new("."));
    if !call.has("check") {
        for path in generate::write(root)? {
            context.output.note(&format!("wrote {}", path.display()));
        }
        return Ok(());
    }
    let differing = generate::check(root)?;
    if differing.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, "find the generated files as they should be")
        .why(differing.join(", "))
        .hint("run `ghostsnap generate` in the project's folder and commit what it writes"))
}
