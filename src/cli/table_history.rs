// SPDX-License-Identifier: MIT
//! The row of the command about a repository's history.

use super::engine_history;
use super::table::{Column, Command, Effect, Flag, Holds, Shim, col, wide};
use super::table_care::REPOSITORY_ARG;
use super::table_engine::LOOK;
use super::table_flags::{DRY_RUN, FORCE, SHIM_FORMAT};
use super::table_hestia::SHIM;

const COLUMNS: &[Column] = &[
    wide("WRITER", Holds::Id, "the public key of whoever wrote"),
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
              a second history beside the first, is refused by everything that writes. --accept \
              signs that what is gone is gone, after a look at why: for instance a store that was \
              put back from a copy. Exit code 31 means that something is wrong.",
    examples: &["ghostsnap history -r /srv/backup", "ghostsnap history --accept"],
    flags: &[Flag::new("accept", "go on from what is there"), DRY_RUN, FORCE],
    effect: Effect::Destroy,
    columns: COLUMNS,
    run: engine_history::history,
    shims: &[
        Shim {
            name: "v-ghostsnap-list-repository-history",
            about: "tell whether anybody took backups away",
            details: "Each machine that writes into the repository signs what it stores and \
                      removes; what is gone and was not removed by anybody is named.",
            example: "v-ghostsnap-list-repository-history offsite json",
            args: &[REPOSITORY_ARG, SHIM_FORMAT],
            ..SHIM
        },
        Shim {
            name: "v-ghostsnap-accept-repository-history",
            about: "go on from the backups that are there",
            details: "After somebody has looked at why backups are gone: signs that they are, so \
                      that backups go on.",
            example: "v-ghostsnap-accept-repository-history offsite",
            args: &[REPOSITORY_ARG, SHIM_FORMAT],
            fixed: &["accept", "force"],
            ..SHIM
        },
    ],
    ..LOOK
};
