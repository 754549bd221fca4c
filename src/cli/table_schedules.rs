// SPDX-License-Identifier: MIT
//! The rows of the commands for what is done again and again, with their shims.

use super::panel_schedules;
use super::table::{
    Arg, Column, Command, Effect, Flag, Holds, Owner, Role, Shim, ShimArg, Value, col, wide,
};
use super::table_flags::{FORCE, SHIM_FORMAT};
use super::table_jobs::QUEUE_LOOK;

/// The commands, in the order of the help.
pub const SCHEDULES: &[Command] = &[ADD, LIST, CHANGE, DELETE, RUN];

const NAME: Arg = Arg::new("NAME", "the schedule's name", Value::Text);
const OPTION: Arg = Arg::new("KEY=VALUE", "what it does, and when", Value::Text).optional().many();
const SHIM_NAME: ShimArg = ShimArg::new("NAME", "NAME", "the schedule's name", Value::Text);
const SHIM_OPTION: ShimArg =
    ShimArg::new("KEY=VALUE", "KEY=VALUE", "what it does, and when", Value::Text).optional().many();

const COLUMNS: &[Column] = &[
    col("NAME", Holds::Text, "its name"),
    col("DO", Holds::Text, "backup, copy, forget, prune, check or verify"),
    col("WHEN", Holds::Text, "when it is due, as it was written"),
    wide("SPREAD", Holds::Count, "over how many minutes servers spread it"),
    wide("INCLUDE", Holds::List, "globs of its users; all without any"),
    wide("EXCLUDE", Holds::List, "globs of users it leaves out"),
    wide("REPOSITORIES", Holds::List, "names of its repositories; the usual ones without any"),
    wide("SUBSET", Holds::Text, "which part of the data a check reads"),
    wide("MAX_TIME", Holds::Text, "after which time no further rehearsal begins"),
    wide("HOURS_MAX", Holds::Count, "longest time it may run"),
    wide("LOAD_MAX", Holds::Count, "it is put off while the load is above this"),
    col("ENABLED", Holds::YesNo, "whether it is done at all"),
    col("NEXT", Holds::Text, "when it is due next, local time"),
    col("LAST", Holds::Text, "when it was done last"),
    col("STATE", Holds::Text, "how that went: the state of its job"),
    wide("JOBS", Holds::List, "the ids of the jobs it handed in then"),
    wide("FROM", Holds::Text, "the repository that is copied from; the usual one without any"),
    wide("TO", Holds::List, "names of the repositories that are copied into"),
    wide("NEWEST", Holds::Count, "how many of the newest backups of each user are copied"),
];

const JOB_COLUMNS: &[Column] = &[
    col("JOB", Holds::Text, "the id of a job that was handed in"),
    col("KIND", Holds::Text, "backup, copy, verify or care"),
    col("WHAT", Holds::Text, "the command and its arguments"),
    col("STATE", Holds::Text, "`waiting`"),
];

const SHIM: Shim = Shim {
    name: "",
    about: "",
    details: "",
    example: "",
    role: Role::Admin,
    owner: Owner::Nobody,
    args: &[],
    fixed: &[],
};

const ADD: Command = Command {
    name: "hestia add-schedule",
    about: "let something be done again and again",
    details: "Without options it backs all users up every night. do= is backup, copy, forget \
              (with prune), prune, check, or verify, which rehearses restores. when= is `daily \
              02:30`, `weekly sun 03:00`, `monthly 1 04:00`, `hourly`, or the five fields of \
              cron; the former are spread over spread_minutes=, 60 if it is not said, by a \
              time that stays the same on this machine. include= and exclude= are globs of \
              users, repositories= names, each with commas between; a copy goes from= a \
              repository, the usual one without, to= one or several, and newest=7 takes seven \
              backups of each user and no older ones; subset=day/30 lets a check read a thirtieth \
              of the data; after max_time=2h no further rehearsal begins; \
              hours_max= is the longest time; load_max= puts it off while the load is above, \
              for load_wait_minutes of the settings at most; enabled=no keeps it from being \
              done. What was missed while the machine was off is done once. It runs as a job \
              of the queue.",
    examples: &[
        "ghostsnap hestia add-schedule nightly",
        "ghostsnap hestia add-schedule offsite do=copy 'when=daily 04:00' from=default to=offsite",
        "ghostsnap hestia add-schedule weekly-check do=check 'when=weekly sun 04:00' subset=day/30",
    ],
    args: &[NAME, OPTION],
    effect: Effect::Write,
    columns: COLUMNS,
    run: panel_schedules::add,
    shims: &[Shim {
        name: "v-ghostsnap-add-schedule",
        about: "let something be done again and again",
        details: "Without options it backs all users up every night.",
        example: "v-ghostsnap-add-schedule nightly 'when=daily 02:30' exclude=test-*",
        args: &[SHIM_NAME, SHIM_OPTION],
        ..SHIM
    }],
    ..QUEUE_LOOK
};

const LIST: Command = Command {
    name: "hestia list-schedules",
    about: "list what is done again and again",
    examples: &["ghostsnap hestia list-schedules"],
    columns: COLUMNS,
    run: panel_schedules::list,
    shims: &[Shim {
        name: "v-ghostsnap-list-schedules",
        about: "list what is done again and again",
        details: "With when it is due next, and how it went last time.",
        example: "v-ghostsnap-list-schedules json",
        args: &[SHIM_FORMAT],
        ..SHIM
    }],
    ..QUEUE_LOOK
};

const CHANGE: Command = Command {
    name: "hestia change-schedule",
    about: "change what is done again and again, or when",
    details: "As `hestia add-schedule` takes it; KEY= takes an option out. It is due the next time \
              after now.",
    examples: &["ghostsnap hestia change-schedule nightly 'when=daily 04:00' hours_max="],
    args: &[NAME, OPTION],
    effect: Effect::Write,
    columns: COLUMNS,
    run: panel_schedules::change,
    shims: &[Shim {
        name: "v-ghostsnap-change-schedule",
        about: "change what is done again and again, or when",
        details: "KEY= takes an option out.",
        example: "v-ghostsnap-change-schedule nightly 'when=daily 04:00'",
        args: &[SHIM_NAME, SHIM_OPTION],
        ..SHIM
    }],
    ..QUEUE_LOOK
};

const DELETE: Command = Command {
    name: "hestia delete-schedule",
    about: "do something no more",
    details: "Jobs that it has handed in stay. Asks first, or needs --force where there is nobody \
              to ask.",
    examples: &["ghostsnap hestia delete-schedule nightly --force"],
    args: &[NAME],
    flags: &[FORCE],
    effect: Effect::Destroy,
    columns: &[],
    run: panel_schedules::delete,
    shims: &[Shim {
        name: "v-ghostsnap-delete-schedule",
        about: "do something no more",
        details: "Jobs that it has handed in stay.",
        example: "v-ghostsnap-delete-schedule nightly",
        args: &[SHIM_NAME],
        fixed: &["force"],
        ..SHIM
    }],
    ..QUEUE_LOOK
};

const RUN: Command = Command {
    name: "hestia run-schedule",
    about: "do now what is done again and again",
    details: "Hands the jobs in and returns. When it is due next does not change.",
    examples: &["ghostsnap hestia run-schedule nightly", "ghostsnap hestia run-schedule --due"],
    args: &[Arg::new("NAME", "the schedule's name", Value::Text).optional()],
    flags: &[Flag::new("due", "instead: all that are due, as whoever works the queue off does")],
    effect: Effect::Write,
    columns: JOB_COLUMNS,
    run: panel_schedules::run_now,
    shims: &[Shim {
        name: "v-ghostsnap-run-schedule",
        about: "do now what is done again and again",
        details: "Returns at once with the ids of the jobs.",
        example: "v-ghostsnap-run-schedule nightly",
        args: &[SHIM_NAME, SHIM_FORMAT],
        ..SHIM
    }],
    ..QUEUE_LOOK
};
