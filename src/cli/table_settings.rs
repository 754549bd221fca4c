// SPDX-License-Identifier: MIT
//! The rows of the commands that list and change the settings of this server.

use super::settings;
use super::table::{Arg, Column, Command, Effect, Holds, Shim, ShimArg, Value, col, wide};
use super::table_flags::SHIM_FORMAT;
use super::table_hestia::{LOOK, SHIM};

/// The commands, in the order of the help.
pub const SETTINGS: &[Command] = &[LIST, CHANGE];

const COLUMNS: &[Column] = &[
    col("KEY", Holds::Text, "its dotted name"),
    wide("GROUP", Holds::Text, "what it is about"),
    col("VALUE", Holds::Raw, "what is in force; empty for nothing, and for what leads to a secret"),
    col("DEFAULT", Holds::Text, "what it is where nothing is set"),
    col("SET", Holds::YesNo, "whether it is set in the file"),
    wide("TYPE", Holds::Text, "`text`, `number`, `yesno`, `list` or `choice`"),
    wide("CHOICES", Holds::List, "the words to choose from"),
    wide(
        "CHANGE",
        Holds::Text,
        "`anywhere`; `shell` for what only root changes, at a shell; `file` for what only an editor \
         changes, since it is about a secret",
    ),
    col("ABOUT", Holds::Text, "what it means"),
];

const KEY: &str = "the setting's dotted name, such as `queue.workers`";
const VALUE: &str = "its value; without it the default";

const LIST: Command = Command {
    name: "hestia settings",
    about: "list the settings of this server",
    details: "Every key of ghostsnap.toml with what is in force, what it is by default and what it \
              means; those of single users, packages, webhooks and pings where the file names \
              them. What says where a secret is has no value here.",
    examples: &["ghostsnap hestia settings"],
    columns: COLUMNS,
    run: settings::list,
    shims: &[Shim {
        name: "v-ghostsnap-list-settings",
        about: "list the settings of this server",
        details: "With what is in force, the default and the meaning of each.",
        example: "v-ghostsnap-list-settings json",
        args: &[SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

const CHANGE: Command = Command {
    name: "hestia change-setting",
    about: "change a setting of this server",
    details: "Writes ghostsnap.toml anew: comments, order and all other keys stay as they are, and \
              the whole file is judged before it takes the place of the old one. A list has commas \
              between its words, or is written as in the file: [\"a\", \"b\"]. Secrets, and where they \
              are, are never taken. `repository` is the name of a repository (or a path or URL): \
              old backups stay where they are and are not listed any more.",
    examples: &[
        "ghostsnap hestia change-setting queue.workers 2",
        "ghostsnap hestia change-setting repository offsite",
        "ghostsnap hestia change-setting users.alice.exclude '/web/*/public_html/videos'",
        "ghostsnap hestia change-setting jobs",
    ],
    args: &[Arg::new("KEY", KEY, Value::Text), Arg::new("VALUE", VALUE, Value::Text).optional()],
    effect: Effect::Write,
    columns: COLUMNS,
    run: settings::change,
    shims: &[Shim {
        name: "v-ghostsnap-change-setting",
        about: "change a setting of this server",
        details: "An empty VALUE is the default. What decides which files root reads or writes is \
                  changed at a shell only, by `ghostsnap hestia change-setting`.",
        example: "v-ghostsnap-change-setting queue.workers 2",
        args: &[
            ShimArg::new("KEY", "KEY", KEY, Value::Text),
            ShimArg::new("VALUE", "VALUE", VALUE, Value::Text).optional(),
        ],
        ..SHIM
    }],
    ..LOOK
};
