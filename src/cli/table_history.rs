// SPDX-License-Identifier: MIT
//! The rows of the commands about a repository's history.

use super::engine_history;
use super::table::{Column, Command, Effect, Holds, Shim, col, wide};
use super::table_care::REPOSITORY_ARG;
use super::table_engine::LOOK;
use super::table_flags::{DRY_RUN, FORCE, SHIM_FORMAT};
use super::table_hestia::SHIM;

const COLUMNS: &[Column] = &[
    col("WRITER", Holds::Id, "the public key of whoever wrote"),
    col("HOST", Holds::Text, "the machine; empty if nothing of it is left"),
    col("ENTRIES", Holds::Count, "how many of its entries are there: snapshots, and removals"),
    col("REMOVED", Holds::Count, "how many were removed on purpose"),
    col("LAST", Holds::Count, "the number of its last one"),
    col("DATE", Holds::Text, "the day of that, local time"),
    col("TIME", Holds::Text, "the time of that day"),
    col("STATE", Holds::Text, "`well` or `wrong`"),
    col("REASON", Holds::List, "what is wrong"),
    wide("HEAD", Holds::Id, "the hash of its last entry, which stands for all before it"),
];

/// `history`.
pub const HISTORY: Command = Command {
    name: "history",
    about: "tell whether anybody took backups away or put an older state back",
    details: "Each machine signs what it stores and removes, one entry after the other, and \
              remembers what it has seen. What is gone though nobody said that it was removed, and \
              a second history beside the first, is named; whatever removes something is refused \
              then. A machine that has never seen the newest entries cannot miss them. Exit code \
              31 means that something is wrong.",
    examples: &["ghostsnap history -r /srv/backup"],
    columns: COLUMNS,
    run: engine_history::history,
    shims: &[Shim {
        name: "v-ghostsnap-list-repository-history",
        about: "tell whether anybody took backups away",
        details: "Each machine that writes into the repository signs what it stores and removes; \
                  what is gone and was not removed by anybody is named.",
        example: "v-ghostsnap-list-repository-history offsite json",
        args: &[REPOSITORY_ARG, SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

/// `accept-history`.
pub const ACCEPT: Command = Command {
    name: "accept-history",
    about: "go on from the backups that are there, after others were taken away",
    details: "Signs that what is gone is gone, so that nobody misses it any more. Look before at \
              what 'ghostsnap history' says, and find out why: for instance a store that was put \
              back from a copy. Asks first, or needs --force where there is nobody to ask.",
    examples: &["ghostsnap accept-history -r /srv/backup"],
    flags: &[DRY_RUN, FORCE],
    effect: Effect::Destroy,
    columns: COLUMNS,
    run: engine_history::accept,
    shims: &[Shim {
        name: "v-ghostsnap-accept-repository-history",
        about: "go on from the backups that are there",
        details: "After somebody has looked at why backups are gone: signs that they are, so that \
                  rules drop and prunes free again.",
        example: "v-ghostsnap-accept-repository-history offsite",
        args: &[REPOSITORY_ARG, SHIM_FORMAT],
        fixed: &["force"],
        ..SHIM
    }],
    ..LOOK
};
