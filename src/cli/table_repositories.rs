// SPDX-License-Identifier: MIT
//! The rows of the commands for repositories that have a name, with their shims.

use super::named;
use super::table::{Arg, Column, Command, Effect, Flag, Holds, Shim, ShimArg, Value, col, wide};
use super::table_flags::{FORCE, SHIM_FORMAT};
use super::table_hestia::{LOOK, SHIM};

const COLUMNS: &[Column] = &[
    col("NAME", Holds::Text, "its name; `default` is the one that ghostsnap.toml describes"),
    col("URL", Holds::Text, "its address"),
    col("TYPE", Holds::Text, "`folder`, `s3`, `azure`, `sftp` or `rclone`"),
    col("DEFAULT", Holds::YesNo, "whether backups go there if nothing else is said"),
    col("USERS", Holds::List, "Hestia users whose backups go there by the settings"),
    wide("KEY_FILE", Holds::Text, "the file with its key; empty if a password opens it"),
    wide("OPTIONS", Holds::List, "its options, `KEY=VALUE`"),
    wide("SECRETS", Holds::List, "where its secrets are: a file, a variable, a command"),
];

const TEST_COLUMNS: &[Column] = &[
    col("STEP", Holds::Text, "`connect`, `write`, `read`, `list` or `delete`"),
    col(
        "RESULT",
        Holds::Text,
        "`good`, `failed`, `kept` if the place lets nothing be removed, `skipped`",
    ),
    col("REASON", Holds::Text, "why, and what mends it"),
];

const DELETED_COLUMNS: &[Column] = &[
    col("NAME", Holds::Text, "its name"),
    col("URL", Holds::Text, "its address"),
    col("FILES", Holds::Count, "files of data that were removed"),
];

const NAME: Arg = Arg::new("NAME", "the repository's name", Value::Text);
const OPTION: Arg = Arg::new("KEY=VALUE", "an option; no secret", Value::Text).many();
const SHIM_NAME: ShimArg = ShimArg::new("NAME", "NAME", "the repository's name", Value::Text);
const SHIM_OPTION: ShimArg =
    ShimArg::new("KEY=VALUE", "KEY=VALUE", "an option; no secret", Value::Text).many();

/// The commands, in the order of the help.
pub const REPOSITORIES: &[Command] = &[ADD, LIST, SHOW, CHANGE, DELETE, TEST];

const ADD: Command = Command {
    name: "repository add",
    about: "give a repository a name",
    details: "Writes /etc/ghostsnap/repositories/NAME.toml, readable by root alone: the address, \
              options such as key_id=... and region=..., and where secrets are: \
              secret_file=/PATH, secret_env=VARIABLE or secret_command='pass show x', which is \
              run without a shell. A secret itself is never taken from the command line; \
              secret=- reads \
              it from the next line of standard input and keeps it in a file beside. A key file \
              NAME.key opens the repository, or key_file=/PATH, or a password (password_file, \
              password_env, password_command). Nothing is made at the address: the first backup \
              of a Hestia user, or 'ghostsnap init -r NAME', does that. A name works wherever a repository is given.",
    examples: &[
        "ghostsnap repository add offsite s3:https://s3.example.com/bucket/server1 key_id=AKIA1 \
         secret_file=/root/s3-secret",
        "ghostsnap repository add disk2 /mnt/disk2/repository",
    ],
    args: &[
        NAME,
        Arg::new("URL", "its address: an absolute path or URL, without secrets", Value::Text),
        OPTION.optional(),
    ],
    effect: Effect::Write,
    columns: COLUMNS,
    run: named::add,
    shims: &[Shim {
        name: "v-ghostsnap-add-repository",
        about: "give a repository a name",
        details: "Secrets are given as secret_file, or read from standard input with secret=-, \
                  never themselves. What names a program, or another file of root, is taken by \
                  'ghostsnap repository add' alone. Nothing is made at the address; the first \
                  backup does that.",
        example: "v-ghostsnap-add-repository offsite s3:https://s3.example.com/bucket/server1 \
                  key_id=AKIA1 secret_file=/root/s3-secret",
        args: &[
            SHIM_NAME,
            ShimArg::new("URL", "URL", "its address, without secrets", Value::Text),
            SHIM_OPTION.optional(),
        ],
        ..SHIM
    }],
    ..LOOK
};

const LIST: Command = Command {
    name: "repository list",
    about: "list the repositories of this server",
    details: "The one that ghostsnap.toml describes is called `default`. Secrets are not shown.",
    examples: &["ghostsnap repository list", "ghostsnap repository list --json"],
    columns: COLUMNS,
    run: named::list,
    shims: &[Shim {
        name: "v-ghostsnap-list-repositories",
        about: "list the repositories of this server",
        details: "The one that ghostsnap.toml describes is called default. Secrets are not shown.",
        example: "v-ghostsnap-list-repositories json",
        args: &[SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

const SHOW: Command = Command {
    name: "repository show",
    about: "show how a repository is set up",
    details: "Secrets are not shown, only where they are.",
    examples: &["ghostsnap repository show offsite --json"],
    args: &[NAME],
    columns: COLUMNS,
    run: named::show,
    shims: &[Shim {
        name: "v-ghostsnap-list-repository",
        about: "show how a repository is set up",
        details: "Secrets are not shown, only where they are.",
        example: "v-ghostsnap-list-repository offsite json",
        args: &[SHIM_NAME, SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

const CHANGE: Command = Command {
    name: "repository change",
    about: "change the options of a repository",
    details: "As `repository add` takes them; KEY= removes an option, url=... changes the address. \
              What is stored is not touched.",
    examples: &[
        "ghostsnap repository change offsite region=eu-central-1 retry_seconds=",
        "ghostsnap repository change offsite secret=- < /root/new-secret",
    ],
    args: &[NAME, OPTION],
    effect: Effect::Write,
    columns: COLUMNS,
    run: named::change,
    shims: &[Shim {
        name: "v-ghostsnap-change-repository",
        about: "change the options of a repository",
        details: "KEY= removes an option, url=... changes the address. What is stored is not \
                  touched.",
        example: "v-ghostsnap-change-repository offsite region=eu-central-1",
        args: &[SHIM_NAME, SHIM_OPTION],
        ..SHIM
    }],
    ..LOOK
};

const DELETE: Command = Command {
    name: "repository delete",
    about: "forget the name of a repository, or remove all of it",
    details: "The entry and the secrets that were kept beside it go; the key file and everything \
              that is stored stay. With --data and --confirm NAME all files of the repository are \
              removed as well, but only if its key opens it: what is not known to be a repository \
              of this server is not touched. A repository that the settings name is not deleted.",
    examples: &[
        "ghostsnap repository delete offsite",
        "ghostsnap repository delete offsite --data --confirm offsite --force",
    ],
    args: &[NAME],
    flags: &[
        Flag::new("data", "remove everything that is stored in it, too"),
        Flag::new("confirm", "the name once more, if the data is to go").value("NAME", Value::Text),
        FORCE,
    ],
    effect: Effect::Destroy,
    long: true,
    columns: DELETED_COLUMNS,
    run: named::delete,
    shims: &[Shim {
        name: "v-ghostsnap-delete-repository",
        about: "forget the name of a repository, or remove all of it",
        details: "What is stored stays, unless DATA is yes and CONFIRM is the name once more. \
                  The key file stays.",
        example: "v-ghostsnap-delete-repository offsite",
        args: &[
            SHIM_NAME,
            ShimArg::new("DATA", "data", "`yes` removes what is stored in it, too", Value::YesNo)
                .optional(),
            ShimArg::new("CONFIRM", "confirm", "the name once more, for that", Value::Text)
                .optional(),
        ],
        fixed: &["force"],
        ..SHIM
    }],
    ..LOOK
};

const TEST: Command = Command {
    name: "repository test",
    about: "try out whether the place of a repository can be used",
    details: "Connects, writes a small file under a name that no repository uses, reads it back, \
              lists it and deletes it, and says of the first step that fails why, and what mends \
              it. A place that lets nothing be removed is append-only, which is no failure.",
    examples: &["ghostsnap repository test offsite"],
    args: &[NAME],
    effect: Effect::Write,
    long: true,
    columns: TEST_COLUMNS,
    run: named::test,
    shims: &[Shim {
        name: "v-ghostsnap-test-repository",
        about: "try out whether the place of a repository can be used",
        details: "Writes, reads, lists and deletes a small file, and says what is wrong and what \
                  mends it.",
        example: "v-ghostsnap-test-repository offsite json",
        args: &[SHIM_NAME, SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};
