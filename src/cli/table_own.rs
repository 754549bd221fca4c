// SPDX-License-Identifier: MIT
//! The rows of what customers decide about their own backups, where the settings allow it.

use super::panel_own;
use super::table::{
    Arg, Column, Command, Effect, Holds, Owner, Role, Shim, ShimArg, Value, col, wide,
};
use super::table_flags::{SHIM_FORMAT, SHIM_USER};
use super::table_jobs::QUEUE_LOOK;

/// The commands, in the order of the help.
pub const OWN: &[Command] = &[SCHEDULE, CHANGE_SCHEDULE, EXCLUDES, CHANGE_EXCLUDES];

const USER: Arg = Arg::new("USER", "the Hestia user", Value::Text);
const OF_USER: ShimArg = ShimArg { to: "USER", ..SHIM_USER };

const SCHEDULE_COLUMNS: &[Column] = &[
    col("USER", Holds::Text, "whose it is"),
    col("ALLOWED", Holds::YesNo, "whether the user may have one"),
    col("WHEN", Holds::Text, "when the backup is due; empty for never"),
    wide("SPREAD", Holds::Count, "by up to so many minutes it begins later, always by the same"),
    col("NEXT", Holds::Text, "when it is due next, local time"),
    col("LAST", Holds::Text, "when it was handed in last"),
    col("STATE", Holds::Text, "how that went: the state of its job"),
    wide("JOB", Holds::Text, "the id of that job"),
    wide("EXCLUDES_ALLOWED", Holds::YesNo, "whether the user may leave files out"),
];

const EXCLUDE_COLUMNS: &[Column] = &[
    col("EXCLUDE", Holds::Raw, "a path in the home, perhaps with `*`, that stays out"),
    col("USED", Holds::YesNo, "whether the settings let it count"),
];

const WHEN: &str = "`daily 02:30`, `weekly sun 03:00` or `monthly 1 04:00`; without it never";
const EXCLUDE: &str = "what stays out: a path in the home, or a name wherever it is; `*` within a \
                       name, `**` across folders";

const SHIM: Shim = Shim {
    name: "",
    about: "",
    details: "",
    example: "",
    role: Role::User,
    owner: Owner::Live,
    args: &[],
    fixed: &[],
};

const SCHEDULE: Command = Command {
    name: "hestia list-user-schedule",
    about: "show when the own backup of a user is due",
    details: "Beside whatever the administrator's schedules do.",
    examples: &["ghostsnap hestia list-user-schedule alice"],
    args: &[USER],
    columns: SCHEDULE_COLUMNS,
    run: panel_own::schedule,
    shims: &[Shim {
        name: "v-ghostsnap-list-user-schedule",
        about: "show when the own backup of a user is due",
        details: "And whether the user may have one, and may leave files out.",
        example: "v-ghostsnap-list-user-schedule alice json",
        args: &[OF_USER, SHIM_FORMAT],
        ..SHIM
    }],
    ..QUEUE_LOOK
};

const CHANGE_SCHEDULE: Command = Command {
    name: "hestia change-user-schedule",
    about: "say when the own backup of a user is due",
    details: "At most once a day, spread over an hour so that not everybody begins at the same \
              moment; a backup of this user into the places that are this user's, and nothing \
              else. Only where `customers.schedule` of the settings allows it.",
    examples: &[
        "ghostsnap hestia change-user-schedule alice 'daily 12:00'",
        "ghostsnap hestia change-user-schedule alice",
    ],
    args: &[USER, Arg::new("WHEN", WHEN, Value::Text).optional()],
    effect: Effect::Write,
    columns: SCHEDULE_COLUMNS,
    run: panel_own::change_schedule,
    shims: &[Shim {
        name: "v-ghostsnap-change-user-schedule",
        about: "say when the own backup of a user is due",
        details: "At most once a day, and only if the administrator allows it. Without WHEN: never.",
        example: "v-ghostsnap-change-user-schedule alice 'daily 12:00'",
        args: &[OF_USER, ShimArg::new("WHEN", "WHEN", WHEN, Value::Text).optional()],
        ..SHIM
    }],
    ..QUEUE_LOOK
};

const EXCLUDES: Command = Command {
    name: "hestia list-user-excludes",
    about: "list what a user leaves out of the own backups",
    details: "Beside what the settings and Hestia's own page for exclusions leave out.",
    examples: &["ghostsnap hestia list-user-excludes alice"],
    args: &[USER],
    columns: EXCLUDE_COLUMNS,
    run: panel_own::excludes,
    shims: &[Shim {
        name: "v-ghostsnap-list-user-excludes",
        about: "list what a user leaves out of the own backups",
        details: "Beside what the administrator leaves out.",
        example: "v-ghostsnap-list-user-excludes alice json",
        args: &[OF_USER, SHIM_FORMAT],
        ..SHIM
    }],
    ..QUEUE_LOOK
};

const CHANGE_EXCLUDES: Command = Command {
    name: "hestia change-user-excludes",
    about: "say what a user leaves out of the own backups",
    details: "Takes the place of all there were; none without any. Paths and names as in `exclude` \
              of the settings, 50 at most. They make backups of the user's own files smaller and \
              touch nothing else: no database, no configuration, nothing that is stored already. \
              Only where `customers.exclude` of the settings allows it, and for direct backups.",
    examples: &[
        "ghostsnap hestia change-user-excludes alice '/web/*/public_html/cache' '*.iso'",
        "ghostsnap hestia change-user-excludes alice",
    ],
    args: &[USER, Arg::new("EXCLUDE", EXCLUDE, Value::Text).optional().many()],
    effect: Effect::Write,
    columns: EXCLUDE_COLUMNS,
    run: panel_own::change_excludes,
    shims: &[Shim {
        name: "v-ghostsnap-change-user-excludes",
        about: "say what a user leaves out of the own backups",
        details: "Takes the place of all there were; none without any. Only if the administrator \
                  allows it.",
        example: "v-ghostsnap-change-user-excludes alice '/web/*/public_html/cache' '*.iso'",
        args: &[
            OF_USER,
            ShimArg::new("EXCLUDE", "EXCLUDE", EXCLUDE, Value::Text).optional().many(),
        ],
        ..SHIM
    }],
    ..QUEUE_LOOK
};
