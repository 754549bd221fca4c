// SPDX-License-Identifier: MIT
//! The text of docs/api.md: every command that an access key may be allowed, with a call of it and
//! the JSON that it answers. Made from the table, as the profiles are, so neither can lack what the
//! other has.

use super::args::capital;
use super::generate_shims::api_profiles;
use super::table::{self, Column, Command, Holds, Shim};
use super::words::split_words;

/// What the examples ask: a file of curl's, so that the secret stands in no process list.
const CURL: &str = "curl -sK ~/.panel-api";

/// docs/api.md.
pub fn api() -> String {
    let mut text = String::from("# REST API\n\n");
    text.push_str("<!-- Made by `ghostsnap generate` from src/cli/table*.rs; edit those. -->\n");
    text.push_str(INTRODUCTION);
    for (profile, about) in PROFILES {
        text.push_str(&format!("\n## Profile {profile}\n\n{about}\n"));
        for (command, shim) in of_profile(profile) {
            text.push_str(&section(command, shim));
        }
    }
    text
}

/// The profiles in the order of the document, with what they are for.
const PROFILES: [(&str, &str); 3] = [
    (
        "ghostsnap-user",
        "For a customer: looks, backups and downloads. Argument 1 is the user of the key.",
    ),
    (
        "ghostsnap-user-restore",
        "For a customer: whatever changes the user's own sites, databases, mail and files. It is a \
         profile of its own, so that it is granted knowingly.",
    ),
    (
        "ghostsnap-admin",
        "For the administrator of the server. HestiaCP gives such a profile to its own account \
         (`ROOT_USER`) only, whose key may name any user in the customers' commands as well.",
    ),
];

/// The commands of a profile, sorted by name.
fn of_profile(profile: &str) -> Vec<(&'static Command, &'static Shim)> {
    let all = api_profiles();
    let text = all.iter().find(|(name, _)| *name == profile).map_or("", |(_, text)| text);
    let is_in = |name: &str| text.split(['\'', ',']).any(|word| word == name);
    table::shims().into_iter().filter(|(_, shim)| is_in(shim.name)).collect()
}

const INTRODUCTION: &str = r#"
Ghostsnap has no API of its own: its commands are called through HestiaCP's, at
`https://HOST:8083/api/`, with an access key whose permissions are our profiles.

## From nothing to the first answer

1. The administrator lets the API answer: to customers as well (2), to the address of the caller.

       v-change-sys-config-value API_SYSTEM 2
       v-add-sys-api-ip 192.0.2.10

2. A key for alice, who may look, back up and restore. She can also make one in the panel.

       v-add-access-key alice ghostsnap-user,ghostsnap-user-restore 'my script' json

3. Address, key and secret go into a file that only the caller can read: `~/.panel-api`, mode 600.

       url = "https://panel.example.com:8083/api/"
       data-urlencode = "access_key=ACCESS_KEY_ID"
       data-urlencode = "secret_key=SECRET_ACCESS_KEY"

4. The first question.

       curl -sK ~/.panel-api -d cmd=v-ghostsnap-list-user-backups -d arg1=alice -d arg2=json

The same as a JSON document: `{"access_key": "...", "secret_key": "...", "cmd": "...", "arg1": "alice"}`.

## Rules

- Arguments are `arg1` to `arg13`, in the order of the command. One that is left out moves those
  behind it forward: give an empty one (`-d arg3=`) for what is not meant.
- HestiaCP takes blanks from both ends of an argument. A name that begins or ends with one cannot be
  given; restore its folder.
- A customer's key works for its own user alone: any other in `arg1` is answered with 401, whether
  there is such a user or not. A snapshot or job of somebody else is *not found*.
- An answer with `json` as FORMAT is an object keyed by the first column; all values are texts. A
  value that is not UTF-8 is escaped, and its exact bytes are in a further column with `_B64` behind
  its name. An empty list is `{}`, which HestiaCP does not call `application/json`.
- The exit code is in the header `Hestia-Exit-Code`, and with `returncode=yes` it is the body, with
  status 200. Otherwise the status follows it:

| Exit code | Status | Meaning |
|---|---|---|
| 0 | 200 | done; 204 if the command says nothing |
| 1 | 400 | an argument is missing |
| 2 | 422 | an argument is not as it must be |
| 3 | 400 | there is no such snapshot, job or object of this user |
| 5, 9, 10 | 401 | suspended; wrong key or secret; the key may not call this or not for this user |
| 21 | 401 | the API answers the administrator only (`API_SYSTEM`) |
| others | 400 | [errors.md](errors.md); the body is `Error: ...` in one line |

- Partial is code 30 and so 400: the body names what could not be done, and all else was.
- A call is answered when the command has ended, and cut off by the panel's web server after ten
  minutes. The panel has four workers for its pages and its API together: whatever takes long is
  handed in by its `v-ghostsnap-schedule-*` command, which answers at once with a job.

A backup, from the beginning to the end:

    job=$(curl -sK ~/.panel-api -d cmd=v-ghostsnap-schedule-user-backup \
        -d arg1=alice -d arg2= -d arg3= -d arg4=json | jq -r 'keys[0]')
    until curl -sK ~/.panel-api -d cmd=v-ghostsnap-list-user-job -d arg1=alice -d arg2="$job" \
        -d arg3=json | jq -e --arg job "$job" '.[$job].STATE | test("waiting|running") | not'
    do sleep 5; done

The values in the answers below are examples. What each means stands in [cli.md](cli.md).
"#;

fn section(command: &Command, shim: &Shim) -> String {
    let anchor = format!("ghostsnap-{}", command.name.replace(' ', "-"));
    let mut text = format!("\n### {}\n\n{}", shim.name, capital(shim.about));
    if !shim.details.is_empty() {
        text.push_str(&format!(" {}", shim.details));
    }
    text.push_str(&format!(" Same as [ghostsnap {}](cli.md#{anchor}).\n", command.name));
    if !shim.args.is_empty() {
        let numbered = shim.args.iter().zip(1..).map(|(arg, number)| {
            let word = if arg.many { format!("{}...", arg.name) } else { arg.name.to_owned() };
            let shown = if arg.required { word } else { format!("[{word}]") };
            format!("`arg{number}` {shown}")
        });
        text.push_str(&format!("\n{}\n", numbered.collect::<Vec<_>>().join(", ")));
    }
    text.push_str(&format!("\n    {}\n", call(shim)));
    if asks_for_rows(command, shim) {
        text.push_str(&format!("\n```json\n{}\n```\n", answer(command)));
    }
    text
}

/// Whether the example's answer is JSON: the command has rows, and the call a format.
fn asks_for_rows(command: &Command, shim: &Shim) -> bool {
    !command.columns.is_empty() && shim.args.iter().any(|arg| arg.name == "FORMAT")
}

/// The call of the shim's example, with `json` where it takes a format.
fn call(shim: &Shim) -> String {
    let mut words = split_words(shim.example).unwrap_or_default();
    if let Some(place) = shim.args.iter().position(|arg| arg.name == "FORMAT") {
        // The first word is the command itself.
        words.resize(words.len().max(place + 1), String::new());
        words.truncate(place + 1);
        words.push("json".to_owned());
    }
    let mut line = format!("{CURL} -d cmd={}", shim.name);
    for (word, number) in words.iter().skip(1).zip(1..) {
        let part = argument(number, word);
        let last = line.rsplit('\n').next().unwrap_or_default().len();
        line.push_str(if last + part.len() > 88 { " \\\n        " } else { " " });
        line.push_str(&part);
    }
    line
}

fn argument(number: usize, word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._/@".contains(letter);
    if word.chars().all(is_plain) {
        format!("-d arg{number}={word}")
    } else {
        format!("--data-urlencode 'arg{number}={word}'")
    }
}

/// A row as JSON, with values of the kind that each column holds.
fn answer(command: &Command) -> String {
    let [key, rest @ ..] = command.columns else { return "{}".to_owned() };
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let lines: Vec<String> = rest
        .iter()
        .map(|column| {
            format!("        {}: {}", quoted(column.name), quoted(sample(command, column)))
        })
        .collect();
    format!("{{\n    {}: {{\n{}\n    }}\n}}", quoted(sample(command, key)), lines.join(",\n"))
}

/// A value that such a column may have.
fn sample(command: &Command, column: &Column) -> &'static str {
    const ID: &str = "3f9c2a1b5d7e80415c6b9f02e4a8d1739b2c5e6f7a081d4c3b5e9f6072a8d1c4";
    match column.name {
        "NAME" if command.name.contains("repositor") => "offsite",
        "NAME" if command.name.contains("schedule") => "nightly",
        "NAME" if column.about.contains("hestia-") => "hestia-alice-20261130-040005",
        "NAME" if column.holds == Holds::Raw => "index.php",
        "NAME" => "Alice Archer",
        "USER" | "OWNER" | "GROUP" => "alice",
        "JOB" => "20261130-040005-3f9c2a1b",
        "DATE" | "CHECKED" | "PRUNED" | "COPIED" | "VERIFIED" => "2026-11-30",
        "TIME" => "04:00:05",
        "STARTED" | "ENDED" | "LAST" | "NEXT" => "2026-11-30 04:00:05",
        "STATUS" => "complete",
        "STATE" => "done",
        "LIGHT" => "green",
        "RESULT" => "succeeded",
        "KIND" | "DO" => "backup",
        "TYPE" => "file",
        "CHANGE" => "modified",
        "WHEN" => "daily 02:30",
        "BY" => "panel",
        "URL" => "s3:https://s3.example.com/bucket/server1",
        "REPOSITORY" | "REPOSITORIES" | "PACKAGE" => "default",
        "KEY_FILE" => "/etc/ghostsnap/repository.key",
        "WEB" | "DNS" | "MAIL" => "example.com",
        "DB" => "alice_shop",
        "UDIR" => "My Files",
        "OBJECT" | "OBJECTS" if column.holds != Holds::Count => "web example.com",
        "PATH" | "FILE" => "web/example.com/public_html/index.php",
        "TARBALL" => "/backup/alice.2026-11-30_04-00-05.tar",
        "MODE" => "0644",
        "ROLE" => "user",
        "CONTACT" => "alice@example.com",
        "CODE" => "0",
        "ERROR" | "REASON" | "LAST_ERROR" | "WAITS" | "LOG" | "TEXT" | "TARGET" => "",
        _ => match column.holds {
            Holds::Id => ID,
            Holds::Count => "3",
            Holds::Bytes => "73400320",
            Holds::Mib => "70",
            Holds::YesNo => "no",
            Holds::Text | Holds::Raw | Holds::List => "",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_every_profile_has_a_section_with_a_call() {
        let text = api();
        for (profile, commands) in api_profiles() {
            assert!(PROFILES.iter().any(|(name, _)| *name == profile), "{profile}");
            let list = commands.split('\'').nth(3).unwrap();
            for name in list.split(',') {
                assert_eq!(text.matches(&format!("\n### {name}\n")).count(), 1, "{name}");
                assert!(text.contains(&format!("{CURL} -d cmd={name}")), "{name}");
            }
        }
    }

    #[test]
    fn an_answer_is_json_and_names_every_column() {
        for (command, shim) in table::shims() {
            let value: serde_json::Value = serde_json::from_str(&answer(command)).unwrap();
            let Some(row) = value.as_object().and_then(|rows| rows.values().next()) else {
                continue;
            };
            for column in command.columns.iter().skip(1) {
                assert!(row.get(column.name).is_some(), "{}: {}", shim.name, column.name);
            }
        }
    }

    #[test]
    fn a_call_has_an_empty_argument_for_what_is_left_out() {
        let (_, shim) = table::shim("v-ghostsnap-schedule-user-backup").unwrap();
        let expected = " -d arg1=alice -d arg2= -d arg3= -d arg4=json";
        assert!(call(shim).replace(" \\\n        ", " ").ends_with(expected), "{}", call(shim));
    }

    /// As many as HestiaCP's API hands on.
    const MOST_ARGUMENTS: usize = 13;

    #[test]
    fn no_command_takes_more_than_the_api_hands_on() {
        for (_, shim) in table::shims() {
            assert!(shim.args.len() <= MOST_ARGUMENTS, "{}", shim.name);
        }
    }
}
