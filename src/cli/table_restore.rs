// SPDX-License-Identifier: MIT
//! The panel's commands that restore a user or a part of one. What stands in the head of
//! `table_hestia.rs` about their headers holds here too.

use super::table::{Owner, Role, Shim, ShimArg, Value};
use super::table_flags::{SHIM_DRY_RUN, SHIM_NOTIFY, SHIM_SNAPSHOT, SHIM_USER};

const POSITIONAL_USER: ShimArg = ShimArg { to: "USER", ..SHIM_USER };

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

/// Those commands.
pub const RESTORE_SHIMS: &[Shim] = &[
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
    Shim {
        name: "v-ghostsnap-migrate-user",
        about: "restore a user from a snapshot of another user",
        details: "Everything that carries the old name gets the new one: databases, their users, \
                  FTP accounts, and the paths in configuration and cron jobs. The other user, \
                  living or deleted, is not touched. What names a database in the files of an \
                  application has to be changed there.",
        example: "v-ghostsnap-migrate-user bob alice latest no no no '*' '*' '*'",
        role: Role::Admin,
        owner: Owner::LiveOrGone,
        args: &[
            POSITIONAL_USER,
            ShimArg::new("FROM", "from", "the user the snapshot is of", Value::Text),
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
