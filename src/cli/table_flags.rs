// SPDX-License-Identifier: MIT
//! Arguments and options that several commands share, and those that all commands have.

use super::table::{Arg, Flag, ShimArg, Value};

/// The output formats.
pub const FORMATS: &[&str] = &["json", "plain", "csv", "shell", "table"];
/// The output formats of Hestia's own commands.
pub const HESTIA_FORMATS: &[&str] = &["json", "plain", "csv", "shell"];

/// The options of every command.
pub const GLOBAL: &[Flag] = &[
    Flag::new(
        "repository",
        "the repository, its name or address; without it the one in the settings",
    )
    .short('r')
    .also(&["repo"])
    .value("REPOSITORY", Value::Text)
    .env(&["GHOSTSNAP_REPOSITORY", "GHOSTSNAP_REPO"]),
    Flag::new("password-file", "read the password from the first line of this file")
        .value("FILE", Value::Path)
        .env(&["GHOSTSNAP_PASSWORD_FILE"]),
    Flag::new("password-command", "take the password from the first line this command prints")
        .value("COMMAND", Value::Text)
        .env(&["GHOSTSNAP_PASSWORD_COMMAND"]),
    Flag::new("key-file", "open the repository with this key file instead of a password")
        .value("FILE", Value::Path)
        .env(&["GHOSTSNAP_KEY_FILE"]),
    Flag::new("limit-upload", "store no more than this a second, such as 5M; 0 is no limit")
        .value("RATE", Value::Text),
    Flag::new("limit-download", "read no more of the repository than this a second")
        .value("RATE", Value::Text),
    Flag::new("cache-dir", "keep copies of a far repository's index and trees here")
        .value("DIR", Value::Path)
        .env(&["GHOSTSNAP_CACHE_DIR"]),
    Flag::new("state-dir", "remember here which backups this machine has seen in repositories")
        .value("DIR", Value::Path)
        .env(&["GHOSTSNAP_STATE_DIR"]),
    Flag::new("no-cache", "read everything from the repository itself"),
    Flag::new("json", "print JSON; long jobs write one line per event and the result last"),
    Flag::new("format", "how to print rows; a terminal gets a table, anything else shell columns")
        .value("FORMAT", Value::Choice(FORMATS)),
    Flag::new("quiet", "print results, warnings and errors, no progress").short('q'),
    Flag::new("verbose", "also name every object and file that was handled").short('v'),
    Flag::new("config", "the settings file")
        .value("FILE", Value::Path)
        .default("/etc/ghostsnap/ghostsnap.toml")
        .env(&["GHOSTSNAP_CONFIG"]),
    Flag::new("hestia-below", "use the HestiaCP below this folder, for tests and rehearsals")
        .value("FOLDER", Value::Path)
        .env(&["GHOSTSNAP_HESTIA_BELOW"])
        .hidden(),
    Flag::new("panel", "speak as HestiaCP's commands do: errors on standard output, no progress")
        .hidden(),
];

/// Skips the question before something is removed or overwritten.
pub const FORCE: Flag = Flag::new("force", "do not ask before anything is removed or overwritten")
    .short('f')
    .also(&["yes"]);
/// Shows what would happen.
pub const DRY_RUN: Flag = Flag::new("dry-run", "say what would be done, change nothing").short('n');
/// Restores without a way back.
pub const NO_SAFETY: Flag = Flag::new(
    "no-safety",
    "do not save before what will be overwritten: the restore cannot be taken back",
);
/// Globs of entries to take.
pub const INCLUDE: Flag = Flag::new("include", "take only what matches this glob; may be repeated")
    .short('i')
    .value("GLOB", Value::Text)
    .many();
/// Globs of entries to leave.
pub const EXCLUDE: Flag = Flag::new("exclude", "leave out what matches this glob; may be repeated")
    .short('e')
    .value("GLOB", Value::Text)
    .many();
/// A tag to filter by.
pub const TAG_FILTER: Flag = Flag::new("tag", "only snapshots with this tag; may be repeated")
    .value("TAG", Value::Text)
    .many();
/// A host to filter by.
pub const HOST_FILTER: Flag =
    Flag::new("host", "only snapshots of this machine").value("HOST", Value::Text);
/// A user to filter by.
pub const USER_FILTER: Flag =
    Flag::new("user", "only snapshots of this Hestia user").short('u').value("USER", Value::Text);

/// A snapshot.
pub const SNAPSHOT: Arg = Arg::new(
    "SNAPSHOT",
    "a snapshot: id or its first 4 digits or more, name, or `latest`",
    Value::Text,
);

/// The user of a shim.
pub const SHIM_USER: ShimArg =
    ShimArg::new("USER", "user", "the Hestia user", Value::Text).check("user");
/// How a snapshot is named.
pub const WHICH_SNAPSHOT: &str = "id or its first 4 digits or more, name, or `latest`";
/// The snapshot of a shim.
pub const SHIM_SNAPSHOT: ShimArg =
    ShimArg::new("SNAPSHOT", "snapshot", WHICH_SNAPSHOT, Value::Text).check("snapshot");
/// The format of a list.
pub const SHIM_FORMAT: ShimArg = ShimArg::new(
    "FORMAT",
    "format",
    "`shell`, `json`, `plain` or `csv`",
    Value::Choice(HESTIA_FORMATS),
)
.default("shell")
.check("format");
/// Whether to write a mail.
pub const SHIM_NOTIFY: ShimArg =
    ShimArg::new("NOTIFY", "notify", "`yes` notifies the user in the panel", Value::YesNo)
        .optional();
/// Whether to look only.
pub const SHIM_DRY_RUN: ShimArg = ShimArg::new(
    "DRY_RUN",
    "dry-run",
    "`yes` says what would happen, and changes nothing",
    Value::YesNo,
)
.optional();
/// Whether the restore of a table may leave rows whose foreign keys point at nothing.
pub const SHIM_LEAVE_ORPHANS: ShimArg = ShimArg::new(
    "LEAVE_ORPHANS",
    "leave-orphans",
    "`yes` restores a table even if rows would then point at nothing",
    Value::YesNo,
)
.optional();
/// Other repositories than the configured ones.
pub const SHIM_REPOSITORIES: ShimArg = ShimArg::new(
    "REPOSITORY",
    "repository",
    "another repository than the one in the settings, its name or address, or names of several \
     with commas between them",
    Value::Text,
)
.optional();
/// Another repository than the configured one.
pub const SHIM_REPOSITORY: ShimArg = ShimArg::new(
    "REPOSITORY",
    "repository",
    "another repository than the one in the settings: its name or address",
    Value::Text,
)
.optional();
