// SPDX-License-Identifier: MIT
//! The row of `ghostsnap hestia restore-database`, and the panel's commands that restore.

use super::panel_database;
use super::table::{Arg, Command, Effect, Flag, Owner, Role, Shim, ShimArg, Value};
use super::table_flags::{
    DRY_RUN, FORCE, NO_SAFETY, SHIM_DRY_RUN, SHIM_LEAVE_ORPHANS, SHIM_NOTIFY, WHICH_SNAPSHOT,
};
use super::table_hestia::{
    LOOK, NOTIFY, POSITIONAL_SNAPSHOT, POSITIONAL_USER, RESTORED_COLUMNS, USER,
};

/// Restores a database, or a table of it.
pub(super) const RESTORE_DATABASE: Command = Command {
    name: "hestia restore-database",
    about: "restore a database, or a table of it, from a snapshot",
    details: "The dump is streamed into a temporary database of the same server, through an \
              account that may touch nothing else, and compared with what it should have made; \
              only then does it take the old one's place. If anything fails, the old one stays \
              as it was. A database that is gone is made again with its user and password. A \
              single table comes with its rows, indexes, constraints and triggers, and the foreign \
              keys of other tables to it hold as before; if rows would then point at nothing, it \
              says which and how many and changes nothing, unless --leave-orphans is given. Of \
              PostgreSQL a table outside of `public` is SCHEMA.TABLE. --dry-run names the tables \
              that would be made, overwritten and removed, and what stands in the way. Asks before \
              it overwrites, or needs --force where there is nobody to ask.",
    examples: &[
        "ghostsnap hestia restore-database alice latest alice_shop",
        "ghostsnap hestia restore-database alice 3f9c2a1b alice_shop orders --force",
        "ghostsnap hestia restore-database alice latest alice_shop --as alice_old",
        "ghostsnap hestia restore-database alice latest alice_shop --dry-run",
    ],
    args: &[
        USER,
        Arg::new("SNAPSHOT", WHICH_SNAPSHOT, Value::Text),
        Arg::new("DATABASE", "the database", Value::Text),
        Arg::new("TABLE", "one table of it; all of it without", Value::Text).optional(),
    ],
    flags: &[
        Flag::new("as", "put it beside the original, under this name").value("NAME", Value::Text),
        Flag::new(
            "leave-orphans",
            "restore a table even if rows would then point at nothing; foreign keys hold for what \
             is written from then on",
        ),
        DRY_RUN,
        NO_SAFETY,
        NOTIFY,
        FORCE,
    ],
    effect: Effect::Destroy,
    long: true,
    columns: RESTORED_COLUMNS,
    run: panel_database::restore_database,
    shims: &[Shim {
        name: "v-ghostsnap-restore-database",
        about: "restore a database, or a table of it, from a snapshot",
        details: "The old one stays until the new one is in and checked. Everything else of the \
                  user stays as it is.",
        example: "v-ghostsnap-restore-database alice latest alice_shop",
        role: Role::User,
        owner: Owner::Live,
        args: &[
            POSITIONAL_USER,
            POSITIONAL_SNAPSHOT,
            ShimArg::new("DATABASE", "DATABASE", "the database", Value::Text).check("database"),
            ShimArg::new("TABLE", "TABLE", "one table of it", Value::Text).optional(),
            SHIM_NOTIFY,
            SHIM_DRY_RUN,
            SHIM_LEAVE_ORPHANS,
        ],
        fixed: &["force"],
    }],
    ..LOOK
};
