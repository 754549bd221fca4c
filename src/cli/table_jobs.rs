// SPDX-License-Identifier: MIT
//! The rows of the commands that look at the queue, take jobs from it, and work it off.

use super::table::{
    Arg, Column, Command, Effect, Flag, Holds, Owner, Role, Shim, ShimArg, Value, col, wide,
};
use super::table_flags::{SHIM_FORMAT, SHIM_USER};
use super::{panel_queue, run_jobs};

const USER: Arg = Arg::new("USER", "the Hestia user", Value::Text);
const JOB: Arg = Arg::new("JOB", "the job's id", Value::Text);
const SHIM_OWNER: ShimArg = ShimArg { to: "USER", ..SHIM_USER };
const SHIM_JOB: ShimArg = ShimArg::new("JOB", "JOB", "the job's id", Value::Text).check("snapshot");

/// The columns of a job; a single one has two more.
macro_rules! job_columns {
    ($($more:expr),* $(,)?) => {
        &[
            col("JOB", Holds::Text, "its id, `YYYYMMDD-HHMMSS-` (UTC) and eight digits"),
            col("KIND", Holds::Text, "backup, restore, undo, export, download, verify, copy or care"),
            col("USER", Holds::Text, "the Hestia user; empty for a job over many"),
            col("WHAT", Holds::Text, "the arguments, in words"),
            wide("REPOSITORY", Holds::Text, "the repository that was asked for; empty for the usual"),
            col(
                "STATE",
                Holds::Text,
                "`waiting`, `running`, `done`, `partial`, `failed`, `cancelled` or `interrupted`",
            ),
            wide("WAITS", Holds::Text, "what a waiting job waits for"),
            wide("BY", Holds::Text, "who asked: `panel`, `root`, `cron` or `schedule NAME`"),
            col("DATE", Holds::Text, "the day it was asked for, local time"),
            col("TIME", Holds::Text, "the time of that day"),
            wide("STARTED", Holds::Text, "when it began, `YYYY-MM-DD HH:MM:SS`"),
            wide("ENDED", Holds::Text, "when it ended"),
            wide("RUNTIME", Holds::Count, "seconds it ran, or has been running"),
            wide("ATTEMPT", Holds::Count, "how many times it was begun"),
            col("PERCENT", Holds::Count, "how much is done, where that can be told"),
            wide("STEP", Holds::Text, "what it is at"),
            wide("BYTES", Holds::Bytes, "bytes done"),
            wide("BYTES_TOTAL", Holds::Bytes, "bytes there are to do, where that can be told"),
            wide("OBJECTS", Holds::Count, "files and folders done"),
            wide("OBJECT", Holds::Text, "the object in hand"),
            col("SECONDS_LEFT", Holds::Count, "an estimate, where one can be made"),
            wide("WARNINGS", Holds::Count, "warnings so far"),
            wide("CODE", Holds::Text, "the exit code, when it has ended"),
            col("ERROR", Holds::Text, "why it failed, or what to do"),
            $($more),*
        ]
    };
}

const JOB_COLUMNS: &[Column] = job_columns!();
const ONE_JOB_COLUMNS: &[Column] = job_columns!(
    wide("RESULT", Holds::Text, "the rows it printed, as JSON, when it has ended"),
    wide("LOG", Holds::Text, "the end of what else it said"),
);
const CANCELLED_COLUMNS: &[Column] = &[
    col("JOB", Holds::Text, "its id"),
    col("STATE", Holds::Text, "`cancelled`, or `running` until it has stopped"),
];

/// A command that looks and is done; the base of the rows of the queue.
pub(super) const QUEUE_LOOK: Command = Command {
    name: "",
    about: "",
    details: "",
    examples: &[],
    args: &[],
    flags: &[],
    effect: Effect::Read,
    long: false,
    columns: &[],
    shims: &[],
    hidden: false,
    run: panel_queue::list_jobs,
};

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

/// All jobs.
pub(super) const LIST_JOBS: Command = Command {
    name: "hestia list-jobs",
    about: "list the jobs of the queue",
    details: "In the order in which they were asked for. Those that have ended stay for \
              `days_kept` of the settings.",
    examples: &["ghostsnap hestia list-jobs", "ghostsnap hestia list-jobs --active --json"],
    flags: &[Flag::new("active", "only those that wait or run")],
    columns: JOB_COLUMNS,
    shims: &[Shim {
        name: "v-ghostsnap-list-jobs",
        about: "list the jobs of the queue",
        details: "In the order in which they were asked for.",
        example: "v-ghostsnap-list-jobs json",
        args: &[SHIM_FORMAT],
        ..SHIM
    }],
    ..QUEUE_LOOK
};

/// Those of a user.
pub(super) const LIST_USER_JOBS: Command = Command {
    name: "hestia list-user-jobs",
    about: "list the jobs of a user",
    details: "In the order in which they were asked for.",
    examples: &["ghostsnap hestia list-user-jobs alice"],
    args: &[USER],
    columns: JOB_COLUMNS,
    shims: &[Shim {
        name: "v-ghostsnap-list-user-jobs",
        about: "list the jobs of a user",
        details: "In the order in which they were asked for.",
        example: "v-ghostsnap-list-user-jobs alice json",
        role: Role::User,
        owner: Owner::LiveOrGone,
        args: &[SHIM_OWNER, SHIM_FORMAT],
        ..SHIM
    }],
    ..QUEUE_LOOK
};

/// One of them.
pub(super) const LIST_JOB: Command = Command {
    name: "hestia list-job",
    about: "say how a job goes, or how it went",
    details: "With --user a job of somebody else is not found.",
    examples: &["ghostsnap hestia list-job 20260102-030405-3f9c2a1b"],
    args: &[JOB],
    flags: &[OF_USER],
    columns: ONE_JOB_COLUMNS,
    run: panel_queue::list_job,
    shims: &[
        Shim {
            name: "v-ghostsnap-list-job",
            about: "say how a job goes, or how it went",
            example: "v-ghostsnap-list-job 20260102-030405-3f9c2a1b json",
            args: &[SHIM_JOB, SHIM_FORMAT],
            ..SHIM
        },
        Shim {
            name: "v-ghostsnap-list-user-job",
            about: "say how a job of a user goes, or how it went",
            details: "A job of somebody else is not found.",
            example: "v-ghostsnap-list-user-job alice 20260102-030405-3f9c2a1b json",
            role: Role::User,
            owner: Owner::LiveOrGone,
            args: &[SHIM_USER, SHIM_JOB, SHIM_FORMAT],
            ..SHIM
        },
    ],
    ..QUEUE_LOOK
};

const OF_USER: Flag =
    Flag::new("user", "only if it is a job of this user").short('u').value("USER", Value::Text);

/// Takes one out.
pub(super) const CANCEL_JOB: Command = Command {
    name: "hestia cancel-job",
    about: "cancel a job",
    details: "A waiting one never begins. A running one is asked to stop where the repository and \
              the user are in a good state, and is made to after a while.",
    examples: &["ghostsnap hestia cancel-job 20260102-030405-3f9c2a1b"],
    args: &[JOB],
    flags: &[OF_USER],
    effect: Effect::Write,
    columns: CANCELLED_COLUMNS,
    run: panel_queue::cancel_job,
    shims: &[
        Shim {
            name: "v-ghostsnap-cancel-job",
            about: "cancel a job",
            example: "v-ghostsnap-cancel-job 20260102-030405-3f9c2a1b",
            args: &[SHIM_JOB],
            ..SHIM
        },
        Shim {
            name: "v-ghostsnap-cancel-user-job",
            about: "cancel a job of a user",
            details: "A job of somebody else is not found.",
            example: "v-ghostsnap-cancel-user-job alice 20260102-030405-3f9c2a1b",
            role: Role::User,
            owner: Owner::LiveOrGone,
            args: &[SHIM_USER, SHIM_JOB],
            ..SHIM
        },
    ],
    ..QUEUE_LOOK
};

/// Works the queue off.
pub(super) const RUN_JOBS: Command = Command {
    name: "hestia run-jobs",
    about: "work off the queue",
    details: "Started by ghostsnap-jobs.service; where no systemd runs, by whoever hands a job in, \
              and by cron. One at a time works, the others end at once. Jobs are processes of \
              their own and outlive it.",
    examples: &["ghostsnap hestia run-jobs", "ghostsnap hestia run-jobs --until-empty"],
    flags: &[Flag::new("until-empty", "end when nothing waits and nothing runs")],
    effect: Effect::Write,
    run: run_jobs::run_jobs,
    ..QUEUE_LOOK
};

/// Does one job.
pub(super) const RUN_JOB: Command = Command {
    name: "hestia run-job",
    about: "do one job of the queue",
    details: "Started by `run-jobs` for each job, with the number of the attempt; of no use to \
              anybody else.",
    args: &[JOB, Arg::new("ATTEMPT", "which time it is begun", Value::Number)],
    effect: Effect::Write,
    hidden: true,
    run: run_jobs::run_job,
    ..QUEUE_LOOK
};
