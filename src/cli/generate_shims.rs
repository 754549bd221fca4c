// SPDX-License-Identifier: MIT
//! The text of the shims and of the API profiles.
//!
//! A shim is a real bash file in Hestia's `bin`, because Hestia's API reads the position of USER
//! from the `# options:` line of the command's own file and skips the owner check where it finds
//! none. It checks what Hestia's own commands check, hands its arguments on as they are, and
//! decides nothing about backups.

use super::table::{self, Command, Effect, Owner, Role, Shim};
use super::table_queue::FOR_EVERYBODY;

/// Where the program is; a fixed path, so that nothing in the environment can replace it.
pub const PROGRAM: &str = "/usr/bin/ghostsnap";

/// The bash text of a shim.
pub fn shim(command: &Command, shim: &Shim) -> String {
    let mut text = header(shim);
    if FOR_EVERYBODY.contains(&shim.name) {
        // Hestia's own files are closed to such an account; the program checks everything itself.
        text.push_str(&format!(
            "\n# A customer's cron job.\n[ \"$EUID\" -eq 0 ] || exec {PROGRAM} --panel {} \"$@\"\n",
            shim.name
        ));
    }
    text.push_str(&variables(shim));
    text.push_str(SOURCES);
    text.push_str(&checks(command, shim));
    text.push_str(&action(command, shim));
    text
}

fn header(shim: &Shim) -> String {
    let mut text = format!(
        "#!/bin/bash\n# info: {}\n# options: {}\n#\n# example: {}\n#\n",
        shim.about,
        shim.usage(),
        shim.example
    );
    for line in wrap(shim.details, 76) {
        text.push_str(&format!("# {line}\n"));
    }
    text.push_str(
        "#\n# Made from the command table of ghostsnap; changes here are lost with the next \
         upgrade.\n",
    );
    text
}

/// The variables that Hestia's checks look at, by the names of the checks. `user` must be set
/// before main.sh is read: without it main.sh takes the administrator.
fn variables(shim: &Shim) -> String {
    let mut text = String::from("\n");
    for (place, arg) in shim.args.iter().enumerate() {
        if let Some(rule) = arg.check {
            let number = place + 1;
            let value = match arg.default {
                Some(default) => format!("\"${{{number}:-{default}}}\""),
                None => format!("\"${{{number}:-}}\""),
            };
            // Hestia's checks read the variable by its name.
            if rule != "user" || shim.owner != Owner::Live {
                text.push_str("# shellcheck disable=SC2034 # read by is_format_valid\n");
            }
            text.push_str(&format!("{rule}={value}\n"));
        }
    }
    text
}

const SOURCES: &str = "
# Without this, pluginable (HCPP) would run the command again with its input closed, its output
# held back and backslashes taken out of its arguments.
# shellcheck disable=SC2034 # read by HCPP
bin_actions=1

# shellcheck source=/dev/null
source /etc/hestiacp/hestia.conf
# shellcheck source=/dev/null
source \"$HESTIA/func/main.sh\"
source_conf \"$HESTIA/conf/hestia.conf\"
";

fn checks(command: &Command, shim: &Shim) -> String {
    let usage = if shim.args.is_empty() { String::new() } else { shim.usage() };
    let mut text = format!("\ncheck_args '{}' \"$#\" '{usage}'\n", shim.required());
    let rules: Vec<String> =
        shim.args.iter().filter_map(|arg| arg.check).map(|rule| format!("'{rule}'")).collect();
    if !rules.is_empty() {
        text.push_str(&format!("is_format_valid {}\n", rules.join(" ")));
    }
    if shim.owner == Owner::Live {
        text.push_str("is_object_valid 'user' 'USER' \"$user\"\n");
    }
    if command.effect != Effect::Read {
        text.push_str("check_hestia_demo_mode\n");
    }
    text
}

fn action(command: &Command, shim: &Shim) -> String {
    let log = match command.effect {
        // Hestia's own lists leave no line in its log when they succeed.
        // A line break among the words must not make a line of its own there.
        Effect::Read => {
            "[ \"$code\" -eq 0 ] || log_event \"$code\" \"${ARGUMENTS//[[:cntrl:]]/?}\""
        }
        // Among the words of somebody who does not know better may be a secret, which is refused.
        Effect::Write if shim.args.iter().any(|arg| arg.many || arg.name == "VALUE") => {
            "# Not every word: a secret among them is refused, and must not stand in the log.\n\
             log_event \"$code\" \" '${1//[[:cntrl:]]/?}'\""
        }
        Effect::Write | Effect::Destroy => "log_event \"$code\" \"${ARGUMENTS//[[:cntrl:]]/?}\"",
    };
    format!("\n{PROGRAM} --panel {} \"$@\"\ncode=$?\n\n{log}\nexit \"$code\"\n", shim.name)
}

/// Breaks text into lines of at most `width` letters.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Name and text of the API profiles: which shims an access key may call. Restoring is a profile
/// of its own: Hestia's restore runs as root on folders that belong to the key's owner meanwhile,
/// so an admin grants it knowingly.
pub fn api_profiles() -> Vec<(&'static str, String)> {
    let restores = |name: &str| {
        let starts = ["v-ghostsnap-restore-", "v-ghostsnap-schedule-restore-"];
        starts.iter().any(|start| name.starts_with(start))
            || name == "v-ghostsnap-schedule-user-restore"
            || name.ends_with("-undo-restore")
    };
    let profile = |role: Role, word: &str, restoring: bool| {
        let names: Vec<&str> = table::shims()
            .into_iter()
            .filter(|(_, shim)| shim.role == role && restores(shim.name) == restoring)
            .map(|(_, shim)| shim.name)
            .collect();
        format!("ROLE='{word}'\nCOMMANDS='{}'\n", names.join(","))
    };
    vec![
        ("ghostsnap-admin", profile(Role::Admin, "admin", false)),
        ("ghostsnap-user", profile(Role::User, "user", false)),
        ("ghostsnap-user-restore", profile(Role::User, "user", true)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_is_checks_and_one_call() {
        let (command, one) = table::shim("v-ghostsnap-backup-user").unwrap();
        let text = shim(command, one);
        let lines: Vec<&str> = text.lines().collect();
        let line = |start: &str| lines.iter().position(|line| line.starts_with(start)).unwrap();
        assert_eq!(lines.first(), Some(&"#!/bin/bash"));
        assert!(lines.contains(&"# options: USER [REPOSITORY] [NOTIFY]"));
        assert!(line("user=") < line("bin_actions=1"), "main.sh takes the administrator else");
        assert!(line("bin_actions=1") < line("source "));
        assert!(line("check_args '1'") < line("is_format_valid 'user'"));
        assert!(line("is_object_valid 'user' 'USER' \"$user\"") < line("check_hestia_demo_mode"));
        assert_eq!(text.matches(PROGRAM).count(), 1);
    }

    #[test]
    fn a_deleted_user_can_be_restored_and_listed() {
        for (command, one) in table::shims() {
            let text = shim(command, one);
            let live = one.owner == Owner::Live;
            assert_eq!(text.contains("is_object_valid"), live, "{}", one.name);
        }
    }

    #[test]
    fn every_shim_is_in_exactly_one_profile() {
        let profiles = api_profiles();
        for (_, one) in table::shims() {
            let holds =
                |text: &str| text.split(['\'', ',']).filter(|word| *word == one.name).count();
            let count: usize = profiles.iter().map(|(_, text)| holds(text)).sum();
            assert_eq!(count, 1, "{}", one.name);
        }
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert!(wrap("", 5).is_empty());
    }
}
