// SPDX-License-Identifier: MIT
//! The rows of the commands that look after a repository.

use super::engine_care as care;
use super::table::{
    Arg, Column, Command, Effect, Flag, Holds, Owner, Shim, ShimArg, Value, col, wide,
};
use super::table_engine::LOOK;
use super::table_flags::{
    DRY_RUN, FORCE, HOST_FILTER, SHIM_FORMAT, SHIM_USER, TAG_FILTER, USER_FILTER,
};
use super::table_hestia::SHIM;

const FORGET_COLUMNS: &[Column] = &[
    col("SNAPSHOT", Holds::Id, "its id"),
    wide("NAME", Holds::Text, "its name"),
    col("DATE", Holds::Text, "the day it stands for, local time"),
    col("TIME", Holds::Text, "the time of that day"),
    col("HOST", Holds::Text, "the machine it was made on"),
    col("USER", Holds::Text, "the Hestia user; empty for plain paths"),
    col("ACTION", Holds::Text, "`keep` or `forget`"),
    col("REASONS", Holds::List, "why it is kept"),
];

const CHECK_COLUMNS: &[Column] = &[
    col("FINDING", Holds::Text, "number of the finding"),
    col("SEVERITY", Holds::Text, "damage loses data, garbage only wastes space"),
    col("OBJECT", Holds::Text, "the file of the repository it is about"),
    col("TEXT", Holds::Text, "what is wrong"),
];

const PRUNE_COLUMNS: &[Column] = &[
    col(
        "ACTION",
        Holds::Text,
        "`keep`; `repack`: what is needed of them is written anew; `rescue`: they are needed after \
         all; `mark`: nothing needs them from now on; `wait`: the grace period is not over; \
         `remove`; `stray`: no index names them, for now; `freed`: what was removed in this run",
    ),
    col("FILES", Holds::Count, "packs that are meant"),
    col("SIZE", Holds::Bytes, "their bytes"),
];

const LOCK_COLUMNS: &[Column] = &[
    col("LOCK", Holds::Id, "its id"),
    col("WORK", Holds::Text, "what its holder is at"),
    col("HOST", Holds::Text, "on which machine"),
    col("PROCESS", Holds::Count, "in which process"),
    col("DATE", Holds::Text, "since which day, local time"),
    col("TIME", Holds::Text, "since when on that day"),
    col("HOLDER", Holds::Text, "`runs`, `dead`, or `unknown` on another machine"),
    col("ACTION", Holds::Text, "`remove` or `keep`"),
];

const FORGET_FLAGS: &[Flag] = &[
    Flag::new("keep-last", "keep the newest N").value("N", Value::Number),
    Flag::new("keep-hourly", "keep the newest of each of the last N hours that have one")
        .value("N", Value::Number),
    Flag::new("keep-daily", "the same for days").value("N", Value::Number),
    Flag::new("keep-weekly", "the same for weeks").value("N", Value::Number),
    Flag::new("keep-monthly", "the same for months").value("N", Value::Number),
    Flag::new("keep-yearly", "the same for years").value("N", Value::Number),
    Flag::new("keep-within", "keep all of the last N days before the newest")
        .value("N", Value::Number),
    Flag::new("keep-tag", "keep all with this tag; may be repeated")
        .value("TAG", Value::Text)
        .many(),
    USER_FILTER,
    HOST_FILTER,
    TAG_FILTER,
    DRY_RUN,
    FORCE,
];

/// `forget`.
pub const FORGET: Command = Command {
    name: "forget",
    about: "drop snapshots",
    details: "Drops the named snapshots, or those that none of the --keep options keeps. The \
              options look at each user, or each machine and its paths, separately, and the \
              newest complete snapshot of each always stays; one that is named goes, the last \
              one too. The data stays in the repository until \
              it is pruned. Asks first, or needs --force where there is nobody to ask.",
    examples: &[
        "ghostsnap forget -r /srv/backup 3f9c2a1b --dry-run",
        "ghostsnap forget --user alice --keep-daily 7 --keep-weekly 4 --force",
    ],
    args: &[Arg::new("SNAPSHOT", "ids or names", Value::Text).optional().many()],
    flags: FORGET_FLAGS,
    effect: Effect::Destroy,
    columns: FORGET_COLUMNS,
    run: care::forget,
    ..LOOK
};

/// `check`.
pub const CHECK: Command = Command {
    name: "check",
    about: "check the repository",
    details: "Without options it checks that every snapshot, tree and index fits together \
              and that every pack is there. --read-data reads and decrypts everything too; \
              --read-data=5% a random twentieth; --read-data-subset=day/30 another thirtieth each \
              day, so that all is read within a month. Exit code 31 means damage was found.",
    examples: &["ghostsnap check -r /srv/backup", "ghostsnap check -r /srv/backup --read-data=5%"],
    flags: &[
        Flag::new("read-data", "read the data too, all of it or a share")
            .value("SHARE", Value::Percent)
            .bare("100%"),
        Flag::new("read-data-subset", "read one part of the data: N/M, or day/M for one each day")
            .value("PART", Value::Text),
    ],
    long: true,
    columns: CHECK_COLUMNS,
    run: care::check,
    shims: &[Shim {
        name: "v-ghostsnap-check-repository",
        about: "check the repository",
        details: "Every snapshot, tree and index, and whether every pack is there; with READ_DATA \
                  everything, or a share of it, is read and decrypted, too.",
        example: "v-ghostsnap-check-repository offsite 5%",
        args: &[
            REPOSITORY_ARG,
            ShimArg::new("READ_DATA", "read-data", "the share to read, `5%`", Value::Percent)
                .optional(),
            SHIM_FORMAT,
        ],
        ..SHIM
    }],
    ..LOOK
};

const PINNED_COLUMNS: &[Column] = &[
    col("SNAPSHOT", Holds::Id, "its id from now on"),
    wide("NAME", Holds::Text, "its name"),
    col("PINNED", Holds::YesNo, "whether it is pinned"),
    wide("BEFORE", Holds::Id, "its id before"),
];

/// `pin`.
pub const PIN: Command = Command {
    name: "pin",
    about: "keep a snapshot whatever a policy says",
    details: "No forget by a policy drops it, until it is unpinned or named itself. It is stored \
              anew and has another id then.",
    examples: &["ghostsnap pin -r /srv/backup 3f9c2a1b"],
    args: &[Arg::new("SNAPSHOT", "ids or names", Value::Text).many()],
    effect: Effect::Write,
    columns: PINNED_COLUMNS,
    run: care::pin,
    ..LOOK
};

/// `unpin`.
pub const UNPIN: Command = Command {
    name: "unpin",
    about: "let policies drop a snapshot again",
    details: "It is stored anew and has another id then.",
    examples: &["ghostsnap unpin -r /srv/backup 3f9c2a1b"],
    ..PIN
};

/// `alarm-off`.
pub const ALARM_OFF: Command = Command {
    name: "alarm-off",
    about: "take back the alarm that files look encrypted",
    details: "A backup that finds many files replaced by what looks encrypted gets the tag \
              `alarm`: the last good one is pinned, and no policy drops anything of that user. \
              Look at the files, restore what is needed, and then take the alarm off: of these \
              snapshots, or of all of one user. They are stored anew and have other ids then. \
              What was pinned stays pinned.",
    examples: &["ghostsnap alarm-off --user alice"],
    args: &[Arg::new("SNAPSHOT", "ids or names; all of the user without any", Value::Text)
        .optional()
        .many()],
    flags: &[USER_FILTER, HOST_FILTER],
    shims: &[Shim {
        name: "v-ghostsnap-clear-user-alarm",
        about: "take back the alarm that files of a user look encrypted",
        details: "Rules may drop backups of the user again. What was pinned stays pinned.",
        example: "v-ghostsnap-clear-user-alarm alice",
        owner: Owner::LiveOrGone,
        args: &[SHIM_USER, REPOSITORY_ARG, SHIM_FORMAT],
        ..SHIM
    }],
    run: care::alarm_off,
    ..PIN
};

/// `hestia forget`.
pub const FORGET_OF_USERS: Command = Command {
    name: "hestia forget",
    about: "drop backups of Hestia users that no rule keeps",
    details: "The rule of the user, of the user's package or of the server, as the settings have \
              it; without any, as many are kept as Hestia keeps tarballs of the user (BACKUPS). \
              Only backups that this server has made are looked at. The newest complete one of \
              each user always stays, a partial one never takes the place of a complete one, and \
              pinned ones stay. Those of users who are gone stay for `deleted_user_days`, and for \
              ever if that is not set. With a rule in the settings, each backup of a user does \
              this by itself when it has ended well.",
    examples: &["ghostsnap hestia forget --dry-run", "ghostsnap hestia forget alice --force"],
    args: &[Arg::new("USER", "users; all without any", Value::Text).optional().many()],
    flags: &[DRY_RUN, FORCE],
    effect: Effect::Destroy,
    columns: FORGET_COLUMNS,
    run: care::forget_of_users,
    shims: &[
        Shim {
            name: "v-ghostsnap-forget-user-backups",
            about: "drop backups of a user that no rule keeps",
            details: "As the settings say, or as many as the package allows. The user may have \
                      been deleted.",
            example: "v-ghostsnap-forget-user-backups alice yes json",
            owner: Owner::LiveOrGone,
            args: &[ShimArg { to: "USER", ..SHIM_USER }, DRY, SHIM_FORMAT],
            fixed: &["force"],
            ..SHIM
        },
        Shim {
            name: "v-ghostsnap-forget-backups",
            about: "drop backups of all users that no rule keeps",
            details: "As the settings say, or as many as the package of each user allows.",
            example: "v-ghostsnap-forget-backups yes json",
            args: &[DRY, SHIM_FORMAT],
            fixed: &["force"],
            ..SHIM
        },
    ],
    ..LOOK
};

/// An argument of shims that only look with `yes`.
pub const DRY: ShimArg =
    ShimArg::new("DRY_RUN", "dry-run", "`yes` only says what would be dropped", Value::YesNo)
        .optional();

/// A named repository as an argument of shims.
pub const REPOSITORY_ARG: ShimArg = ShimArg::new(
    "REPOSITORY",
    "repository",
    "its name; without it the one in the settings",
    Value::Text,
)
.optional();

/// `prune`.
pub const PRUNE: Command = Command {
    name: "prune",
    about: "free the space of what no snapshot needs",
    details: "Backups may go on meanwhile, from this and other servers. So what nothing needs is \
              marked first, and removed by a later run, after a grace period: let it run every \
              day or week. Packs of which too little is needed are written anew; --max-unused says \
              how much may be left. With --now all of it is removed in this run, but only if \
              nobody else is writing or restoring. It can be stopped at any time and goes on the \
              next time. On a full disk, what was marked before goes without any space.",
    examples: &[
        "ghostsnap prune --dry-run",
        "ghostsnap prune -r offsite --max-repack-size 20G",
        "ghostsnap prune --now",
    ],
    flags: &[
        Flag::new("max-unused", "how much of what is needed may be left unused in packs; 5%")
            .value("SHARE", Value::Percent),
        Flag::new("repack-all", "leave nothing unused in packs"),
        Flag::new("max-repack-size", "read no more than this for writing packs anew, such as 20G")
            .value("SIZE", Value::Text),
        Flag::new("max-reseal-size", "write no more than this anew because its keys are old; 4G")
            .value("SIZE", Value::Text),
        Flag::new("grace", "hours between mark and removal; 20, and 2 at least")
            .value("HOURS", Value::Number),
        Flag::new("now", "remove at once, if nobody else is writing"),
        DRY_RUN,
        Flag::new("force", "go on even if there is no snapshot at all, so that nothing is needed"),
    ],
    effect: Effect::Write,
    long: true,
    columns: PRUNE_COLUMNS,
    run: care::prune,
    shims: &[Shim {
        name: "v-ghostsnap-prune-repository",
        about: "free the space of what no backup needs",
        details: "What nothing needs is marked first and removed by a run at least 20 hours \
                  later, so that backups may go on meanwhile.",
        example: "v-ghostsnap-prune-repository offsite json",
        args: &[REPOSITORY_ARG, SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

/// `unlock`.
pub const UNLOCK: Command = Command {
    name: "unlock",
    about: "list who is writing into the repository, and remove what the dead left",
    details: "Locks hold nobody up: they only tell 'prune --now' and 'repository delete --data' \
              that somebody is at work. Those of killed processes are recognised by themselves, on \
              other machines after a week. With --all the others go as well: only if you know \
              that nobody is writing.",
    examples: &["ghostsnap unlock --dry-run", "ghostsnap unlock --all --force"],
    flags: &[
        Flag::new("all", "remove the locks of those who may still be writing, too"),
        DRY_RUN,
        FORCE,
    ],
    effect: Effect::Destroy,
    columns: LOCK_COLUMNS,
    run: care::unlock,
    ..LOOK
};
