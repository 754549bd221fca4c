// SPDX-License-Identifier: MIT
//! The row of `ghostsnap hestia restore-database`, and the panel's commands that restore.

use super::panel_database;
use super::table::{Arg, Command, Effect, Flag, Owner, Role, Shim, ShimArg, Value};
use super::table_flags::{FORCE, SHIM_DRY_RUN, SHIM_NOTIFY, SHIM_SNAPSHOT};
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
              single table comes with its rows, indexes, constraints and triggers. Of PostgreSQL \
              a table outside of `public` is SCHEMA.TABLE. Asks before it overwrites, or needs \
              --force where there is nobody to ask.",
    examples: &[
        "ghostsnap hestia restore-database alice latest alice_shop",
        "ghostsnap hestia restore-database alice 3f9c2a1b alice_shop orders --force",
        "ghostsnap hestia restore-database alice latest alice_shop --as alice_old",
    ],
    args: &[
        USER,
        Arg::new("SNAPSHOT", "id, beginning of one, name, or `latest`", Value::Text),
        Arg::new("DATABASE", "the database", Value::Text),
        Arg::new("TABLE", "one table of it; all of it without", Value::Text).optional(),
    ],
    flags: &[
        Flag::new("as", "put it beside the original, under this name").value("NAME", Value::Text),
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
        ],
        fixed: &["force"],
    }],
    ..LOOK
};

/// The panel's commands that restore through Hestia.
pub(super) const RESTORE_SHIMS: &[Shim] = &[
    Shim {
        name: "v-ghostsnap-restore-user",
        about: "restore a user from a snapshot",
        details: "The six selections are written as for v-restore-user: empty or * for \
                  everything, no for nothing, or names separated by commas. A deleted user is \
                  made again.",
        example: "v-ghostsnap-restore-user alice latest 'example.com' no no 'alice_shop' no no",
        role: Role::User,
        owner: Owner::LiveOrGone,
        args: &[
            POSITIONAL_USER,
            SHIM_SNAPSHOT,
            section("WEB", "web", "web domains"),
            section("DNS", "dns", "DNS zones"),
            section("MAIL", "mail", "mail domains"),
            section("DB", "db", "databases"),
            section("CRON", "cron", "cron jobs"),
            section("UDIR", "udir", "folders of the home"),
            SHIM_NOTIFY,
            SHIM_DRY_RUN,
        ],
        fixed: &["force"],
    },
    restore_one(
        "v-ghostsnap-restore-web-domain",
        "restore one web domain from a snapshot",
        "v-ghostsnap-restore-web-domain alice latest example.com",
        &[
            POSITIONAL_USER,
            SHIM_SNAPSHOT,
            object("DOMAIN", "web", "the web domain").check("domain"),
            SHIM_NOTIFY,
            SHIM_DRY_RUN,
        ],
    ),
    restore_one(
        "v-ghostsnap-restore-mail-domain",
        "restore one mail domain from a snapshot",
        "v-ghostsnap-restore-mail-domain alice latest example.com",
        &[
            POSITIONAL_USER,
            SHIM_SNAPSHOT,
            object("DOMAIN", "mail", "the mail domain").check("domain"),
            SHIM_NOTIFY,
            SHIM_DRY_RUN,
        ],
    ),
    restore_one(
        "v-ghostsnap-restore-dns-domain",
        "restore one DNS zone from a snapshot",
        "v-ghostsnap-restore-dns-domain alice latest example.com",
        &[
            POSITIONAL_USER,
            SHIM_SNAPSHOT,
            object("DOMAIN", "dns", "the DNS zone").check("domain"),
            SHIM_NOTIFY,
            SHIM_DRY_RUN,
        ],
    ),
    restore_one(
        "v-ghostsnap-restore-cron-job",
        "restore the cron jobs from a snapshot",
        "v-ghostsnap-restore-cron-job alice latest '*'",
        &[
            POSITIONAL_USER,
            SHIM_SNAPSHOT,
            object("JOB", "cron", "any job: Hestia restores all of them together"),
            SHIM_NOTIFY,
            SHIM_DRY_RUN,
        ],
    ),
];

const fn section(name: &'static str, to: &'static str, about: &'static str) -> ShimArg {
    ShimArg::new(name, to, about, Value::Text).default("*")
}

const fn object(name: &'static str, to: &'static str, about: &'static str) -> ShimArg {
    ShimArg::new(name, to, about, Value::Text)
}

/// One of the commands that restore a single object.
const fn restore_one(
    name: &'static str,
    about: &'static str,
    example: &'static str,
    args: &'static [ShimArg],
) -> Shim {
    Shim {
        name,
        about,
        details: "Everything else of the user stays as it is.",
        example,
        role: Role::User,
        owner: Owner::LiveOrGone,
        args,
        fixed: &["force"],
    }
}
