// SPDX-License-Identifier: MIT
//! The rows of the commands that mend a damaged repository.

use super::engine_repair as run;
use super::table::{Arg, Column, Command, Effect, Flag, Holds, Shim, ShimArg, Value, col, wide};
use super::table_care::{DRY, REPOSITORY_ARG};
use super::table_engine::LOOK;
use super::table_flags::{DRY_RUN, FORCE, SHIM_FORMAT};
use super::table_hestia::SHIM;

const INDEX_COLUMNS: &[Column] = &[
    col("REPOSITORY", Holds::Text, "where it is"),
    col("PACKS", Holds::Count, "packs that the new index names"),
];

const PACK_COLUMNS: &[Column] = &[
    col("PACK", Holds::Id, "its id"),
    col(
        "RESULT",
        Holds::Text,
        "`sound`; `back`: it was given up before and is whole; `saved`: all that it \
         held is in new packs; `lost`: some of it is not to \
         be had",
    ),
    col("SAVED", Holds::Count, "chunks that are in new packs now"),
    col("LOST", Holds::Count, "chunks that cannot be had"),
    col("TEXT", Holds::Text, "what was wrong"),
];

const SNAPSHOT_COLUMNS: &[Column] = &[
    col("LOSS", Holds::Text, "number of the loss"),
    col("SNAPSHOT", Holds::Id, "the damaged snapshot"),
    wide("NAME", Holds::Text, "its name"),
    col("USER", Holds::Text, "the Hestia user; empty for plain paths"),
    col(
        "KIND",
        Holds::Text,
        "`file`; `folder`: some of its entries; `table`: only what the next backup compares a dump \
         with; `snapshot`: all of it",
    ),
    col("PATH", Holds::Text, "what is lost, by its path in the snapshot"),
    col("TEXT", Holds::Text, "why"),
    col(
        "RESULT",
        Holds::Text,
        "`repaired`, `dropped`, `left`, or `hopeless` if nothing of it can be had",
    ),
    wide("REPAIRED", Holds::Id, "the id it is stored under now"),
];

/// `repair index`.
pub const REPAIR_INDEX: Command = Command {
    name: "repair index",
    about: "make the index anew from the packs",
    details: "For a repository whose index is lost or damaged. Reads the sealed end of every \
              pack, stores one new index of what is really there, and only then removes the \
              old one. Packs that cannot be read are named and left where they are.",
    examples: &["ghostsnap repair index -r /srv/backup"],
    effect: Effect::Write,
    long: true,
    columns: INDEX_COLUMNS,
    run: run::index,
    shims: &[Shim {
        name: "v-ghostsnap-repair-repository-index",
        about: "make the index of a repository anew",
        details: "From the packs that are there; the old index goes after that.",
        example: "v-ghostsnap-repair-repository-index offsite json",
        args: &[REPOSITORY_ARG, SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

/// `repair packs`.
pub const REPAIR_PACKS: Command = Command {
    name: "repair packs",
    about: "save what can be read of damaged packs",
    details: "Reads all data, or the packs that are named. What can be read of a damaged pack is \
              written into new ones; then the damaged one does not count any more, so that the \
              next backup stores again what still exists. Its file goes with a prune a day later. \
              With --from, what is lost here is taken from another repository: one that snapshots \
              were copied to or from, or a copy of this one's files. Exit code 31 means that \
              something that was backed up is still lost; 'repair snapshots --dry-run' says what.",
    examples: &[
        "ghostsnap repair packs --dry-run",
        "ghostsnap repair packs -r default --from offsite",
    ],
    args: &[Arg::new("PACK", "their ids, as check names them", Value::Text).optional().many()],
    flags: &[
        Flag::new("from", "a repository that has the same snapshots")
            .value("REPOSITORY", Value::Text),
        DRY_RUN,
    ],
    effect: Effect::Write,
    long: true,
    columns: PACK_COLUMNS,
    run: run::packs,
    shims: &[Shim {
        name: "v-ghostsnap-repair-repository-packs",
        about: "save what can be read of damaged packs",
        details: "All data is read. What is lost is taken from the repository FROM, if that is \
                  given.",
        example: "v-ghostsnap-repair-repository-packs default offsite",
        args: &[
            REPOSITORY_ARG,
            ShimArg::new("FROM", "from", "a repository that has copies", Value::Text).optional(),
            DRY,
            SHIM_FORMAT,
        ],
        ..SHIM
    }],
    ..LOOK
};

/// `repair snapshots`.
pub const REPAIR_SNAPSHOTS: Command = Command {
    name: "repair snapshots",
    about: "store damaged snapshots anew without what is lost",
    details: "Says which files of which snapshots are lost, and stores those snapshots anew \
              without them: they are partial, carry the tag `repaired`, and restore without \
              trouble; prune can go on. The damaged ones go after that, unless --keep is \
              given; those of which nothing can be had only with --drop. Try 'repair packs \
              --from' first: what is left out here is not looked for any more. Asks first, or \
              needs --force where there is nobody to ask.",
    examples: &["ghostsnap repair snapshots --dry-run", "ghostsnap repair snapshots --force"],
    args: &[Arg::new("SNAPSHOT", "ids or names; all without any", Value::Text).optional().many()],
    flags: &[
        Flag::new("keep", "keep the damaged snapshots, too"),
        Flag::new("drop", "drop those of which nothing can be had"),
        Flag::new("for-good", "packs that were given up and are not there will not come back"),
        DRY_RUN,
        FORCE,
    ],
    effect: Effect::Destroy,
    long: true,
    columns: SNAPSHOT_COLUMNS,
    run: run::snapshots,
    shims: &[Shim {
        name: "v-ghostsnap-repair-repository-backups",
        about: "store damaged backups anew without what is lost",
        details: "Says what is lost of which. The damaged ones go after that.",
        example: "v-ghostsnap-repair-repository-backups default yes json",
        args: &[REPOSITORY_ARG, DRY, SHIM_FORMAT],
        fixed: &["force"],
        ..SHIM
    }],
    ..LOOK
};
