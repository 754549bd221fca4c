// SPDX-License-Identifier: MIT
//! The rows of the commands that say how well users are backed up, and how well repositories are.

use super::table::{
    Arg, Column, Command, Flag, Holds, Owner, Role, Shim, ShimArg, Value, col, wide,
};
use super::table_flags::{SHIM_FORMAT, SHIM_USER};
use super::table_hestia::{LOOK, SHIM};
use super::{panel_health, panel_places};

const COLUMNS: &[Column] = &[
    col("USER", Holds::Text, "the Hestia user"),
    col(
        "LIGHT",
        Holds::Text,
        "`green`, `yellow`, `red`, or `off` if the package allows no backups",
    ),
    col("DATE", Holds::Text, "the day of the last complete backup, local time"),
    col("TIME", Holds::Text, "the time of that day"),
    col("AGE", Holds::Text, "its age in hours"),
    col("STATUS", Holds::Text, "of the last backup: `complete`, `partial` or `none`"),
    col("BACKUPS", Holds::Count, "how many there are; empty if that cannot be told"),
    col("SIZE", Holds::Bytes, "bytes of content in the last one"),
    wide("STORED", Holds::Bytes, "bytes that the last one added; empty for customers"),
    col("WEEK", Holds::Bytes, "bytes that those of seven days added; empty for customers"),
    wide("REPOSITORY", Holds::List, "where they are"),
    col("REASON", Holds::Text, "why the light is not green"),
    col("LAST_ERROR", Holds::Text, "what the last run said, if it did not succeed"),
    col("VERIFIED", Holds::Text, "the day on which a rehearsal of a restore succeeded last"),
    wide(
        "GROWTH",
        Holds::Text,
        "bytes that the last backup holds more than the one before; with a minus, less",
    ),
    col("NEXT", Holds::Text, "when a schedule backs the user up next, local; empty if none does"),
];

const REPOSITORY_COLUMNS: &[Column] = &[
    col("REPOSITORY", Holds::Text, "its name; `default` is the one of the settings"),
    col("LIGHT", Holds::Text, "`green`, `yellow` or `red`"),
    col("SNAPSHOTS", Holds::Count, "how many there are"),
    col("USERS", Holds::Count, "of how many Hestia users"),
    col("SIZE", Holds::Bytes, "bytes of content in all of them, each counted alone"),
    col("STORED", Holds::Bytes, "bytes that are stored for it"),
    col("RATIO", Holds::Text, "how many times what is stored that is"),
    col("CHECKED", Holds::Text, "the day of the last check from this server"),
    col("CHECK", Holds::Text, "what it came to: `succeeded`, `partial`, `damaged` or `failed`"),
    wide("CHECK_EXTENT", Holds::Text, "what of the data it read"),
    col("PRUNED", Holds::Text, "the day of the last prune from this server"),
    wide("PRUNE", Holds::Text, "what it came to: `succeeded`, `partial` or `failed`"),
    wide("PRUNE_EXTENT", Holds::Text, "what it did"),
    col("REASON", Holds::Text, "why the light is not green"),
    col("COPIED", Holds::Text, "the day on which this server copied something into it last"),
    wide("COPY", Holds::Text, "what that came to: `succeeded`, `partial` or `failed`"),
    wide("COPY_EXTENT", Holds::Text, "where from, and how many"),
];

/// `hestia repository-status`.
pub const REPOSITORY_STATUS: Command = Command {
    name: "hestia repository-status",
    about: "say how well the repositories of this server are",
    details: "Red: a repository cannot be read, or a check found damage that no check with \
              --read-data has found gone since. Yellow: the last check failed, or with \
              `check_days` of the settings it is too long ago. Sizes come from the index, checks, \
              prunes and copies from notes that this server keeps of them; no pack is read. With \
              --check it ends with exit code 30 if one is yellow or red, for a monitoring script.",
    examples: &[
        "ghostsnap hestia repository-status",
        "ghostsnap hestia repository-status -r offsite",
    ],
    flags: &[Flag::new("check", "end with exit code 30 if a light is yellow or red")],
    columns: REPOSITORY_COLUMNS,
    run: panel_places::status,
    shims: &[Shim {
        name: "v-ghostsnap-list-repository-health",
        about: "say how well the repositories of this server are",
        details: "A light for each, its size, and when it was checked, pruned and copied into.",
        example: "v-ghostsnap-list-repository-health json",
        args: &[SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

/// `hestia status`.
pub const STATUS: Command = Command {
    name: "hestia status",
    about: "say how well users are backed up",
    details: "Green: the last backup is complete and younger than `warn_hours` of the settings. \
              Yellow: it is partial, or late. Red: there is none, the last complete one is older \
              than `alarm_hours`, a rehearsal of it failed, or the repository cannot be read. With \
              `verify_days` a user is yellow whose last rehearsal is longer ago. Of several \
              repositories of a \
              user the worst counts. It is told from the snapshots that are there, not from what \
              a job said. With --check it ends with exit code 30 if a user is yellow or red, for a \
              monitoring script.",
    examples: &["ghostsnap hestia status", "ghostsnap hestia status --check --quiet"],
    args: &[Arg::new("USER", "users; all without any", Value::Text).optional().many()],
    flags: &[Flag::new("check", "end with exit code 30 if a light is yellow or red")],
    columns: COLUMNS,
    run: panel_health::status,
    shims: &[
        Shim {
            name: "v-ghostsnap-list-health",
            about: "say how well all users are backed up",
            details: "A light for each user, and why it is not green.",
            example: "v-ghostsnap-list-health json",
            args: &[SHIM_FORMAT],
            ..SHIM
        },
        Shim {
            name: "v-ghostsnap-list-user-health",
            about: "say how well a user is backed up",
            details: "A light, and why it is not green.",
            example: "v-ghostsnap-list-user-health alice json",
            role: Role::User,
            owner: Owner::Live,
            args: &[ShimArg { to: "USER", ..SHIM_USER }, SHIM_FORMAT],
            ..SHIM
        },
    ],
    ..LOOK
};
