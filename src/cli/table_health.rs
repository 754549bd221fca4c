// SPDX-License-Identifier: MIT
//! The row of the command that says how well users are backed up.

use super::panel_health;
use super::table::{
    Arg, Column, Command, Flag, Holds, Owner, Role, Shim, ShimArg, Value, col, wide,
};
use super::table_flags::{SHIM_FORMAT, SHIM_USER};
use super::table_hestia::{LOOK, SHIM};

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
    col("BACKUPS", Holds::Count, "how many there are"),
    col("SIZE", Holds::Bytes, "bytes of content in the last one"),
    wide("STORED", Holds::Bytes, "bytes that the last one added; empty for customers"),
    col("WEEK", Holds::Bytes, "bytes that those of seven days added; empty for customers"),
    wide("REPOSITORY", Holds::List, "where they are"),
    col("REASON", Holds::Text, "why the light is not green"),
];

/// `hestia status`.
pub const STATUS: Command = Command {
    name: "hestia status",
    about: "say how well users are backed up",
    details: "Green: the last backup is complete and younger than `warn_hours` of the settings. \
              Yellow: it is partial, or late. Red: there is none, the last complete one is older \
              than `alarm_hours`, or the repository cannot be read. Of several repositories of a \
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
