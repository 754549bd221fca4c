// SPDX-License-Identifier: MIT
//! The text of docs/cli.md and docs/errors.md.

use super::args::{capital, flag_help};
use super::table::{self, Column, Command, Effect, Flag, Owner, Role, Shim, ShimArg, Value};
use super::table_flags::GLOBAL;
use crate::base::Kind;

const MADE: &str = "<!-- Made by `ghostsnap generate` from src/cli/table*.rs; edit those. -->\n";

/// docs/cli.md.
pub fn cli() -> String {
    let mut text = format!("# Commands\n\n{MADE}\n");
    text.push_str(
        "`ghostsnap COMMAND --help` says the same. Exit codes and error messages are in \
         [errors.md](errors.md).\n\n",
    );
    text.push_str("- [Options of every command](#options-of-every-command)\n");
    for one in shown() {
        text.push_str(&format!("- [ghostsnap {}](#{}): {}\n", one.name, anchor(one), one.about));
    }
    text.push_str("- [Commands of the panel](#commands-of-the-panel)\n");
    text.push_str("\n## Options of every command\n\n");
    text.push_str(&flag_table(GLOBAL));
    text.push_str(OUTPUT);
    for one in shown() {
        text.push_str(&command_section(one));
    }
    text.push_str(SHIMS);
    for (command, shim) in table::shims() {
        text.push_str(&shim_section(command, shim));
    }
    text
}

const OUTPUT: &str = "
Rows are printed in one of five formats. `json` is an object keyed by the first column with upper-
case keys and string values, as HestiaCP prints; `plain` has tabs and no header; `csv` has a
header; `shell` has aligned columns under a dashed rule and an empty value is a dash; `table` is
for a person. Control characters are escaped in every format. A value that is not UTF-8 is escaped
too, and its exact bytes are in a further column with `_B64` behind its name. With `--json`, long
jobs print one JSON object per line: `step`, `object`, `note`, `progress`, `warning`, and `result`
last. The result has the rows and how it went: `exit`, and if that is not 0 also `kind` and `text`.
Where there are no rows, the last line is an `error` with the same fields. Other commands print
one JSON document on standard output; their warnings and errors are such lines on standard error.

Globs: one without a slash (`*.tmp`) matches a name in every folder, one with a slash
(`etc/**/*.conf`, `home/alice`) matches the whole path: from the root of the snapshot, or, where
`restore` is given a PATH or `--in-place`, from the folder that is restored. `*` and `?` stay
inside one name, `**` crosses folders. What matches brings all that lies below it. `--include` takes
only what matches one of its globs, with the folders above it; what an `--exclude` matches is left
out all the same.
";

const SHIMS: &str = "
## Commands of the panel

These lie in `/usr/local/hestia/bin`. They take positions, not options, in HestiaCP's order; an
empty argument means the same as none. They print errors on standard output as `Error: ...`, log
as HestiaCP's own commands do, and can be called by root, by the panel, from cron and through the
API. Access keys are allowed them by the profiles `ghostsnap-user` (a customer, for the own user
only) and `ghostsnap-admin`.
";

fn shown() -> impl Iterator<Item = &'static Command> {
    table::commands().filter(|one| !one.hidden)
}

fn anchor(command: &Command) -> String {
    format!("ghostsnap-{}", command.name.replace(' ', "-"))
}

fn command_section(command: &'static Command) -> String {
    let mut text = format!("\n## ghostsnap {}\n\n{}", command.name, capital(command.about));
    if !command.details.is_empty() {
        text.push_str(&format!(" {}", command.details));
    }
    text.push_str(&format!("\n\n    ghostsnap {}{}\n", command.name, usage(command)));
    if !command.args.is_empty() {
        text.push_str("\n| Argument | Meaning |\n|---|---|\n");
        for arg in command.args {
            text.push_str(&format!("| `{}` | {} |\n", arg.name, cell(arg.about)));
        }
    }
    let visible: Vec<Flag> = command.flags.iter().filter(|flag| !flag.hidden).copied().collect();
    if !visible.is_empty() {
        text.push('\n');
        text.push_str(&flag_table(&visible));
    }
    text.push_str(&column_table(command.columns));
    text.push_str("\nExamples:\n\n");
    for example in command.examples {
        text.push_str(&format!("    {example}\n"));
    }
    text
}

fn usage(command: &Command) -> String {
    let mut text = String::from(" [OPTIONS]");
    for arg in command.args {
        let dots = if arg.many { "..." } else { "" };
        let word = format!("{}{dots}", arg.name);
        text.push_str(&if arg.required { format!(" {word}") } else { format!(" [{word}]") });
    }
    text
}

fn flag_table(flags: &[Flag]) -> String {
    let mut text = String::from("| Option | Meaning |\n|---|---|\n");
    for flag in flags.iter().filter(|flag| !flag.hidden) {
        let mut names = String::new();
        if let Some(letter) = flag.short {
            names.push_str(&format!("-{letter}, "));
        }
        names.push_str(&format!("--{}", flag.long));
        for other in flag.also {
            names.push_str(&format!(", --{other}"));
        }
        match (flag.value, flag.bare) {
            (Some((name, _)), Some(_)) => names.push_str(&format!("[={name}]")),
            (Some((name, _)), None) => names.push_str(&format!(" {name}")),
            (None, _) => {}
        }
        let mut help = flag_help(flag);
        if let Some((_, Value::Choice(words))) = flag.value {
            help.push_str(&format!(" [{}]", words.join(", ")));
        }
        text.push_str(&format!("| `{names}` | {} |\n", cell(&help)));
    }
    text
}

fn column_table(columns: &[Column]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n| Column | Meaning |\n|---|---|\n");
    for column in columns {
        let only = if column.shown { "" } else { " (json, plain and csv only)" };
        text.push_str(&format!("| `{}` | {}{only} |\n", column.name, cell(column.about)));
    }
    text
}

fn shim_section(command: &Command, shim: &Shim) -> String {
    let usage = if shim.args.is_empty() { String::new() } else { format!(" {}", shim.usage()) };
    let mut text = format!(
        "\n### {}\n\n{} {}\n\n    {}{usage}\n\n",
        shim.name,
        capital(shim.about),
        shim.details,
        shim.name,
    );
    if !shim.args.is_empty() {
        text.push_str("| Argument | Meaning |\n|---|---|\n");
        for arg in shim.args {
            text.push_str(&format!("| `{}` | {} |\n", arg.name, cell(&arg_help(arg))));
        }
        text.push('\n');
    }
    let who = match shim.role {
        Role::Admin => "`ghostsnap-admin`",
        Role::User => "`ghostsnap-user`",
    };
    let effect = match command.effect {
        Effect::Read => "reads",
        Effect::Write => "writes",
        Effect::Destroy => "overwrites or removes",
    };
    let gone = if shim.owner == Owner::LiveOrGone { "; works for a deleted user too" } else { "" };
    text.push_str(&format!("API profile {who}; {effect}{gone}. "));
    text.push_str(&format!("Same as [ghostsnap {}](#{}).\n\n", command.name, anchor(command)));
    text.push_str(&format!("    {}\n", shim.example));
    text
}

fn arg_help(arg: &ShimArg) -> String {
    match arg.default {
        Some(default) => format!("{} [default: {default}]", arg.about),
        None => arg.about.to_owned(),
    }
}

/// Text in a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// docs/errors.md.
pub fn errors() -> String {
    let mut text = format!("# Exit codes and errors\n\n{MADE}\n");
    text.push_str(
        "An error says what could not be done, why, and where it helps what to do:\n\n    \
         Error: cannot open the repository /srv/backup\n      \
         why:  there is none at this place\n      \
         hint: make one with 'ghostsnap init', or check the address\n\n\
         Run from the panel or through the API it is one line on standard output. Codes up to 17 \
         are HestiaCP's own. Treat a code that is not in this list as a failure.\n\n\
         | Code | Meaning | What to do | HTTP status of the API |\n|---|---|---|---|\n\
         | 0 | success: everything was done and is durable | | 200 |\n",
    );
    for kind in Kind::ALL {
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            kind.exit_code(),
            cell(kind.meaning()),
            cell(advice(kind)),
            http_status(kind),
        ));
    }
    text
}

/// What HestiaCP's API makes of the exit code.
fn http_status(kind: Kind) -> u16 {
    match kind {
        Kind::Invalid => 422,
        Kind::Suspended | Kind::Password | Kind::Forbidden => 401,
        _ => 400,
    }
}

fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::Usage => "read the usage line it prints",
        Kind::Invalid => "correct the value it names",
        Kind::NotFound => "look for the right name with a list command",
        Kind::Exists => "choose another name, or use what is there",
        Kind::Suspended => "unsuspend the user first",
        Kind::InUse => "wait for the other run, then try again",
        Kind::Limit => "raise the limit it names, or ask for less",
        Kind::Password => "check --key-file, --password-file or GHOSTSNAP_PASSWORD",
        Kind::Forbidden => "run it as root, or correct the mode of the file it names",
        Kind::Disabled => "switch the subsystem on in HestiaCP",
        Kind::Parsing => "look at the file it names; a cut-off tarball must be made again",
        Kind::Disk => "free space, or look at the kernel's log for a failing disk",
        Kind::Load => "try again later, or raise BACKUP_LA_LIMIT",
        Kind::Connect => "check the network and the address of the repository",
        Kind::Db => "look whether the database server runs, then try again",
        Kind::Partial => "read the warnings; what they do not name was done",
        Kind::Damaged => "run ghostsnap check --read-data and keep the repository as it is",
        Kind::Newer => "install the newest Ghostsnap on this machine",
        Kind::Cancelled => "run it again; it goes on from what was stored",
        Kind::Internal => "report it with the message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_names_every_command_shim_option_and_column() {
        let text = cli();
        for one in shown() {
            assert!(text.contains(&format!("## ghostsnap {}\n", one.name)), "{}", one.name);
            for flag in one.flags.iter().filter(|flag| !flag.hidden) {
                assert!(text.contains(&format!("--{}", flag.long)), "{}", flag.long);
            }
        }
        for (_, shim) in table::shims() {
            assert!(text.contains(&format!("### {}\n", shim.name)), "{}", shim.name);
        }
    }

    #[test]
    fn every_exit_code_has_a_line_and_an_advice() {
        let text = errors();
        for kind in Kind::ALL {
            assert!(text.contains(&format!("\n| {} | ", kind.exit_code())), "{kind:?}");
            assert!(!advice(kind).is_empty());
        }
    }
}
