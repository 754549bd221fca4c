// SPDX-License-Identifier: MIT
//! The rows of the commands that list restores and take them back, with their shims.

use super::panel_undo;
use super::table::{
    Arg, Column, Command, Effect, Flag, Holds, Owner, Role, Shim, ShimArg, Value, col, wide,
};
use super::table_flags::{DRY_RUN, FORCE, SHIM_DRY_RUN, SHIM_FORMAT, SHIM_NOTIFY};
use super::table_hestia::{LOOK, NOTIFY, POSITIONAL_USER, USER};

/// The column of a restore's name, in what a restore reports.
pub(super) const JOB_COLUMN: Column = wide(
    "JOB",
    Holds::Text,
    "the restore's name for `v-ghostsnap-undo-restore`; empty where there is nothing to undo",
);

const RESTORE_COLUMNS: &[Column] = &[
    col("JOB", Holds::Text, "its name, `safety-USER-YYYYMMDD-HHMMSS` (UTC)"),
    wide("ID", Holds::Id, "the id of what was saved before it"),
    col("DATE", Holds::Text, "the day of the restore, local time"),
    col("TIME", Holds::Text, "the time of that day"),
    col("COMMAND", Holds::Text, "which command it was"),
    col("SNAPSHOT", Holds::Text, "the snapshot that was restored; its id, if it is gone"),
    col("OBJECTS", Holds::List, "what was restored: section and name, or the path of files"),
    wide("CREATED", Holds::List, "which of the objects had not been there"),
    col("UNDONE", Holds::Text, "the undo that took it back; empty if none did"),
];

const UNDONE_COLUMNS: &[Column] = &[
    col("OBJECT", Holds::Text, "section and name, or the path of files"),
    col(
        "RESULT",
        Holds::Text,
        "`put back`, `removed` (the restore had made it) or `failed`; of a dry run `put back` and \
         `remove`",
    ),
    col("CHANGES", Holds::Text, "how many files change, where that is known"),
    col("REASON", Holds::Text, "why it is not as it was"),
    JOB_COLUMN,
];

/// The restores of a user.
pub(super) const LIST_RESTORES: Command = Command {
    name: "hestia list-restores",
    about: "list the restores of a user that can be undone",
    details: "Oldest first. What a restore overwrote is kept for `safety_days` of the settings.",
    examples: &["ghostsnap hestia list-restores alice"],
    args: &[USER],
    columns: RESTORE_COLUMNS,
    run: panel_undo::list_restores,
    shims: &[Shim {
        name: "v-ghostsnap-list-user-restores",
        about: "list the restores of a user that can be undone",
        details: "Oldest first.",
        example: "v-ghostsnap-list-user-restores alice json",
        role: Role::User,
        owner: Owner::Live,
        args: &[POSITIONAL_USER, SHIM_FORMAT],
        fixed: &[],
    }],
    ..LOOK
};

/// Takes one back.
pub(super) const UNDO_RESTORE: Command = Command {
    name: "hestia undo-restore",
    about: "undo a restore",
    details: "Everything that the restore overwrote or removed comes back, and what it made goes. \
              A file that it made and that was changed since stays, and so does what is newer \
              than the restore. A domain, mail account or database that it made goes as a whole. \
              The undo saves before what it changes and can be undone itself.",
    examples: &[
        "ghostsnap hestia undo-restore alice latest",
        "ghostsnap hestia undo-restore alice safety-alice-20260102-030405 --dry-run",
    ],
    args: &[
        USER,
        Arg::new("JOB", "the restore: name, id or its first digits, or `latest`", Value::Text),
    ],
    flags: &[
        Flag::new("no-safety", "do not save before what will be changed"),
        NOTIFY,
        DRY_RUN,
        FORCE,
    ],
    effect: Effect::Destroy,
    long: true,
    columns: UNDONE_COLUMNS,
    run: panel_undo::undo_restore,
    shims: &[Shim {
        name: "v-ghostsnap-undo-restore",
        about: "undo a restore",
        details: "What it overwrote or removed comes back, what it made goes, what is newer \
                  stays.",
        example: "v-ghostsnap-undo-restore alice latest",
        role: Role::User,
        owner: Owner::Live,
        args: &[
            POSITIONAL_USER,
            ShimArg::new("JOB", "JOB", "the restore: its name or id, or `latest`", Value::Text)
                .check("snapshot"),
            SHIM_NOTIFY,
            SHIM_DRY_RUN,
        ],
        fixed: &["force"],
    }],
    ..LOOK
};
