// SPDX-License-Identifier: MIT
//! The rows of the commands that prove backups by a rehearsal of their restore, with their shims.
//! They read whole backups and fill a database server for a while, so only an administrator may.

use super::panel_rehearsal;
use super::table::{
    Arg, Column, Command, Effect, Flag, Holds, Owner, Shim, ShimArg, Value, col, wide,
};
use super::table_flags::{SHIM_REPOSITORY, WHICH_SNAPSHOT};
use super::table_hestia::{LOOK, POSITIONAL_USER, SHIM, USER};

const COLUMNS: &[Column] = &[
    col("USER", Holds::Text, "the Hestia user"),
    col(
        "RESULT",
        Holds::Text,
        "`succeeded`: it can be restored; `partial`: what was tried can, the reason says what was \
         not; `failed`; `skipped`",
    ),
    col("SNAPSHOT", Holds::Id, "the snapshot's id"),
    wide("NAME", Holds::Text, "the snapshot's name"),
    col("FILES", Holds::Count, "files that were rebuilt"),
    col("SIZE", Holds::Bytes, "bytes in them"),
    col("DATABASES", Holds::Count, "databases that were imported"),
    wide("TABLES", Holds::Count, "tables in those"),
    col("ROWS", Holds::Count, "rows in those"),
    col("SECONDS", Holds::Count, "how long it took"),
    col("REASON", Holds::Text, "what failed, or was not tried and why"),
    wide("REPOSITORY", Holds::Text, "the repository it is in, as it was named"),
];

const NO_DATABASES: Flag = Flag::new(
    "no-databases",
    "only read the dumps, import none; the result is at best `partial` for users who have some",
);

/// `hestia verify-user`.
pub(super) const VERIFY_USER: Command = Command {
    name: "hestia verify-user",
    about: "prove a backup of a user by rehearsing its restore",
    details: "Everything in the snapshot is read from the repository, opened, compared with its \
              name and put together, and thrown away. What Hestia has to understand is read as it \
              reads it: rows, accounts, certificates. Each dump is imported into a throw-away \
              database of a server on this machine, compared with what it should have made, \
              counted, and removed. Nothing of the user is touched; the user may have been \
              deleted. What cannot be tried here, for want of a server or of space, makes the \
              result `partial` and the exit code 30. The result is noted, for `hestia status`.",
    examples: &[
        "ghostsnap hestia verify-user alice",
        "ghostsnap hestia verify-user alice 3f9c2a1b --no-databases",
    ],
    args: &[
        USER,
        Arg::new(
            "SNAPSHOT",
            "id or its first 4 digits or more, name, or `latest`, which it is \
                  without",
            Value::Text,
        )
        .optional(),
    ],
    flags: &[NO_DATABASES],
    effect: Effect::Write,
    long: true,
    columns: COLUMNS,
    run: panel_rehearsal::verify_user,
    shims: &[Shim {
        name: "v-ghostsnap-verify-user-backup",
        about: "prove a backup of a user by rehearsing its restore",
        details: "Every file is rebuilt and every database imported aside and counted. Nothing of \
                  the user is touched, who may have been deleted.",
        example: "v-ghostsnap-verify-user-backup alice",
        owner: Owner::LiveOrGone,
        args: &[
            POSITIONAL_USER,
            ShimArg::new("SNAPSHOT", "SNAPSHOT", WHICH_SNAPSHOT, Value::Text)
                .default("latest")
                .check("snapshot"),
            SHIM_REPOSITORY,
        ],
        ..SHIM
    }],
    ..LOOK
};

/// `hestia verify-users`.
pub(super) const VERIFY_USERS: Command = Command {
    name: "hestia verify-users",
    about: "prove the newest backups of users, the longest unproven first",
    details: "As `hestia verify-user`, for one user after the other: first those who were never \
              rehearsed, then those whose last rehearsal is longest ago. With --max-time no \
              rehearsal begins after that time; the others come first next time. A user whose \
              newest backup is proven is passed over, unless all are. One user's failure does not \
              stop the others; the exit code is 30 if one failed or is partial.",
    examples: &[
        "ghostsnap hestia verify-users --max-time 2h",
        "ghostsnap hestia verify-users -r offsite",
    ],
    args: &[Arg::new("USER", "users; all without any", Value::Text).optional().many()],
    flags: &[
        Flag::new("max-time", "begin no rehearsal after this time, such as 90m or 2h")
            .value("TIME", Value::Text),
        NO_DATABASES,
    ],
    effect: Effect::Write,
    long: true,
    columns: COLUMNS,
    run: panel_rehearsal::verify_users,
    shims: &[Shim {
        name: "v-ghostsnap-verify-users-backups",
        about: "prove the newest backups of all users, the longest unproven first",
        details: "Begins no rehearsal after MAX_TIME; who did not get a turn comes first next time.",
        example: "v-ghostsnap-verify-users-backups 2h",
        args: &[
            ShimArg::new("MAX_TIME", "max-time", "a time such as 90m or 2h", Value::Text)
                .optional(),
            SHIM_REPOSITORY,
        ],
        ..SHIM
    }],
    ..LOOK
};
