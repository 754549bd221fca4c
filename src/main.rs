// SPDX-License-Identifier: MIT
//! The program: arguments in, exit code out. Everything else is in the library.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        ghostsnap::cli::output::to_stderr(&format!(
            "Error: internal error, please report it: {panic}"
        ));
    }));
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Unwinding ends here, so that everything on the way up has released what it held.
    match std::panic::catch_unwind(|| ghostsnap::cli::run(&words)) {
        Ok(code) => ExitCode::from(code),
        Err(_) => internal_error(&words),
    }
}

/// The panel reads standard output only, and only its last line.
fn internal_error(words: &[OsString]) -> ExitCode {
    let code = ghostsnap::base::Kind::Internal.exit_code();
    if words.first().is_some_and(|word| word == "--panel") {
        let line = "Error: internal error; see the log of the command\n";
        if ghostsnap::cli::output::to_stdout(line).is_err() {
            return ExitCode::from(code);
        }
    }
    ExitCode::from(code)
}
