// SPDX-License-Identifier: MIT
//! The rows of the engine's commands: everything that needs no HestiaCP.

use super::table::{
    Arg, Column, Command, Effect, Flag, Holds, Owner, Shim, ShimArg, Value, col, wide,
};
use super::table_backup::BACKUP;
use super::table_flags::{
    DRY_RUN, EXCLUDE, FORCE, HOST_FILTER, INCLUDE, SHIM_DRY_RUN, SHIM_FORMAT, SHIM_USER, SNAPSHOT,
    TAG_FILTER, USER_FILTER,
};
use super::table_hestia::SHIM;
use super::{
    engine, engine_copy, engine_look, table_care as care, table_history, table_keys as keys,
    table_repair as repair, tools,
};

/// A command that looks and is done; the base of the rows below.
pub(super) const LOOK: Command = Command {
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
    run: tools::completions,
};

const SNAPSHOT_COLUMNS: &[Column] = &[
    col("SNAPSHOT", Holds::Id, "its id"),
    wide("NAME", Holds::Text, "its name, such as `hestia-alice-20260102-030405`"),
    col("DATE", Holds::Text, "the day it stands for, local time"),
    col("TIME", Holds::Text, "the time of that day"),
    col("HOST", Holds::Text, "the machine it was made on"),
    col("USER", Holds::Text, "the Hestia user; empty for plain paths"),
    col("FILES", Holds::Count, "how many files it holds"),
    col("SIZE", Holds::Bytes, "bytes of file content it holds"),
    col("NEW", Holds::Bytes, "bytes the repository did not have before"),
    wide("STORED", Holds::Bytes, "bytes written for them"),
    wide("WARNINGS", Holds::Count, "what could not be backed up; 0 means it is complete"),
    wide("PARENT", Holds::Text, "the snapshot it was compared with"),
    wide("SECONDS", Holds::Count, "how long it took"),
    col("TAGS", Holds::List, "its labels"),
    col("PATHS", Holds::Raw, "the paths backed up"),
];

const NODE_COLUMNS: &[Column] = &[
    col("PATH", Holds::Raw, "where it lies in the snapshot"),
    col("TYPE", Holds::Text, "file, dir, symlink, fifo, socket, blockdev or chardev"),
    col("MODE", Holds::Text, "permissions, octal"),
    col("OWNER", Holds::Text, "owner and group, by name where known"),
    wide("UID", Holds::Count, "owner, as a number"),
    wide("GID", Holds::Count, "group, as a number"),
    col("SIZE", Holds::Bytes, "bytes of content"),
    col("DATE", Holds::Text, "day of the last change, local time"),
    col("TIME", Holds::Text, "time of that day"),
    wide("TARGET", Holds::Raw, "what a link points at"),
    wide("TORN", Holds::YesNo, "whether it changed while it was read"),
];

const FOUND_COLUMNS: &[Column] = &[
    col("FOUND", Holds::Raw, "snapshot and path, joined by a colon"),
    wide("SNAPSHOT", Holds::Id, "the snapshot's id"),
    wide("PATH", Holds::Raw, "where it lies in the snapshot"),
    col("TYPE", Holds::Text, "file, dir, symlink, fifo, socket, blockdev or chardev"),
    col("SIZE", Holds::Bytes, "bytes of content"),
    col("DATE", Holds::Text, "day of the last change, local time"),
    col("TIME", Holds::Text, "time of that day"),
];

const DIFF_COLUMNS: &[Column] = &[
    col("PATH", Holds::Raw, "where it lies"),
    col("CHANGE", Holds::Text, "added, removed, modified, or metadata (owner, mode, times)"),
    col("TYPE", Holds::Text, "file, dir, symlink, fifo, socket, blockdev or chardev"),
    col("SIZE", Holds::Bytes, "bytes of content, in the newer snapshot that has it"),
];

const RESTORE_COLUMNS: &[Column] = &[
    col("TARGET", Holds::Raw, "the folder restored into"),
    col("RESTORED", Holds::Count, "files written"),
    col("UNCHANGED", Holds::Count, "files that were right already"),
    col("REMOVED", Holds::Count, "files and folders removed by --delete"),
    col("SIZE", Holds::Bytes, "bytes written"),
    col("FAILED", Holds::Count, "what could not be restored"),
];

const COPY_COLUMNS: &[Column] = &[
    col("SNAPSHOT", Holds::Id, "its id where it comes from"),
    wide("NAME", Holds::Text, "its name"),
    col("DATE", Holds::Text, "the day it stands for, local time"),
    col("TIME", Holds::Text, "the time of that day"),
    col("USER", Holds::Text, "the Hestia user; empty for plain paths"),
    col(
        "RESULT",
        Holds::Text,
        "`copied`, `present` if there was a copy, or `failed`; with --dry-run `missing`, not `copied`",
    ),
    col("COPY", Holds::Id, "the id of the copy"),
    col("SIZE", Holds::Bytes, "bytes of file content it holds"),
    col("STORED", Holds::Bytes, "bytes written for it"),
    col("REASON", Holds::Text, "why it failed"),
    wide("CHUNKS", Holds::Count, "chunks of content that were not there"),
    wide("NEW", Holds::Bytes, "bytes of those and of folders, before they are compressed"),
];

const INIT_COLUMNS: &[Column] = &[
    col("REPOSITORY", Holds::Text, "where it is"),
    col("KEY", Holds::Id, "the id of its first key slot"),
    col("LABEL", Holds::Text, "what the key is called"),
    col("METHOD", Holds::Text, "password or key-file"),
];

const STATS_COLUMNS: &[Column] = &[
    col("REPOSITORY", Holds::Text, "where it is"),
    col("SNAPSHOTS", Holds::Count, "snapshots in it"),
    col("SIZE", Holds::Bytes, "bytes of file content in all snapshots together"),
    col("UNIQUE", Holds::Bytes, "plain bytes of the different chunks among them"),
    col("STORED", Holds::Bytes, "bytes the repository takes for these"),
    col("CHUNKS", Holds::Count, "different chunks"),
    col("BLOBS", Holds::Count, "blobs they are stored in"),
    col("PACKS", Holds::Count, "pack files of content"),
    wide("TREES", Holds::Count, "pack files of trees"),
];

/// How `restore` writes.
const RESTORE_FLAGS: &[Flag] = &[
    Flag::new("target", "the folder to restore into").short('t').value("FOLDER", Value::Path),
    Flag::new("in-place", "restore to where the files came from"),
    INCLUDE,
    EXCLUDE,
    Flag::new(
        "overwrite",
        "when to change files that are there; `always` compares the content, `if-changed` trusts \
         size and time",
    )
    .value("WHEN", Value::Choice(&["always", "if-changed", "if-newer", "never"]))
    .default("always"),
    Flag::new("delete", "remove what the snapshot does not have"),
    Flag::new("verify", "read everything back afterwards and compare"),
    Flag::new("numeric-owners", "set owners by number, not by name"),
    USER_FILTER,
    DRY_RUN,
    FORCE,
];

const COPY_SHIM: Shim = Shim {
    name: "v-ghostsnap-copy-backups",
    about: "copy the snapshots of all users into another repository",
    details: "Only what is not there is sent. It takes as long as it takes: a schedule with do=copy \
              does it as a job of the queue.",
    example: "v-ghostsnap-copy-backups default offsite",
    args: &[
        ShimArg::new("FROM", "from", "the repository to copy from", Value::Text),
        ShimArg::new("TO", "to", "the repository to copy into", Value::Text),
        SHIM_DRY_RUN,
        SHIM_FORMAT,
    ],
    ..SHIM
};

/// Copies snapshots.
const COPY: Command = Command {
    name: "copy",
    about: "copy snapshots into another repository",
    details: "The two have different keys; names, addresses and `default` are taken. Each snapshot \
              is copied once, oldest first; chunks that are there are not sent, and what has not \
              changed since the last copy is not even read. What is saved before restores is not \
              copied. A copy is a snapshot like any other: it restores on its own, whatever \
              becomes of the repository it came from. Interrupt it at any time: the next run \
              goes on from what was stored. A repository with a name that does not exist yet is \
              made. An option such as --key-file is for both repositories; names know their own \
              keys. --dry-run says what is missing there, and how much of it is new: it reads what \
              a copy would read, and writes nothing there, nor makes anything.",
    examples: &[
        "ghostsnap copy --from default --to offsite",
        "ghostsnap copy --from default --to offsite --user alice --last 7",
        "ghostsnap copy --from default --to offsite --dry-run",
    ],
    flags: &[
        Flag::new(
            "from",
            "the repository to copy from; without it the one that is meant elsewhere",
        )
        .value("REPOSITORY", Value::Text),
        Flag::new("to", "the repository to copy into").value("REPOSITORY", Value::Text),
        USER_FILTER,
        HOST_FILTER,
        TAG_FILTER,
        Flag::new("last", "only the newest N of each user").value("N", Value::Number),
        DRY_RUN,
    ],
    effect: Effect::Write,
    long: true,
    columns: COPY_COLUMNS,
    run: engine_copy::copy,
    shims: &[
        COPY_SHIM,
        Shim {
            name: "v-ghostsnap-copy-user-backups",
            about: "copy the snapshots of a user into another repository",
            details: "Only what is not there is sent. The user may have been deleted.",
            example: "v-ghostsnap-copy-user-backups alice default offsite",
            owner: Owner::LiveOrGone,
            args: &[
                SHIM_USER,
                ShimArg::new("FROM", "from", "the repository to copy from", Value::Text),
                ShimArg::new("TO", "to", "the repository to copy into", Value::Text),
            ],
            ..SHIM
        },
    ],
    ..LOOK
};

/// The commands, in the order of the help.
pub const ENGINE: &[Command] = &[
    Command {
        name: "init",
        about: "make a new repository",
        details: "The password is asked for twice unless it comes from a file, a command or \
                  the environment. With --key-file a random key is made and written to that \
                  file if it does not exist; without -r the settings say where the repository \
                  and its key file are. Without the password or key nobody can read the \
                  repository again, so keep a copy of it somewhere else.",
        examples: &[
            "ghostsnap init -r /srv/backup",
            "ghostsnap init -r /srv/backup --key-file /etc/ghostsnap/key",
            "ghostsnap init -r offsite --write-only-keys",
        ],
        flags: &[
            Flag::new("label", "what to call the first key").value("TEXT", Value::Text),
            Flag::new("force", "also in a folder that holds other things").short('f'),
            Flag::new(
                "write-only-keys",
                "admit keys that can add backups and not read them; it cannot be changed later",
            ),
        ],
        effect: Effect::Write,
        columns: INIT_COLUMNS,
        run: engine::init,
        ..LOOK
    },
    BACKUP,
    Command {
        name: "restore",
        about: "restore files from a snapshot",
        details: "Give --target or --in-place. With PATH only that file or folder is restored, \
                  and a folder's content ends up directly in the target. Only what differs is \
                  written. --in-place and --delete ask first, or need --force where there is \
                  nobody to ask.",
        examples: &[
            "ghostsnap restore -r /srv/backup latest --target /tmp/out",
            "ghostsnap restore -r /srv/backup 3f9c2a1b etc/nginx --target /tmp/nginx --verify",
        ],
        args: &[
            SNAPSHOT,
            Arg::new("PATH", "a file or folder in the snapshot", Value::Path).optional(),
        ],
        flags: RESTORE_FLAGS,
        effect: Effect::Destroy,
        long: true,
        columns: RESTORE_COLUMNS,
        run: engine::restore,
        ..LOOK
    },
    Command {
        name: "snapshots",
        about: "list the snapshots",
        details: "Oldest first.",
        examples: &[
            "ghostsnap snapshots -r /srv/backup",
            "ghostsnap snapshots --tag nightly --json",
        ],
        flags: &[
            USER_FILTER,
            HOST_FILTER,
            TAG_FILTER,
            Flag::new("last", "only the newest N").value("N", Value::Number),
        ],
        columns: SNAPSHOT_COLUMNS,
        run: engine_look::snapshots,
        ..LOOK
    },
    Command {
        name: "ls",
        about: "list the files in a snapshot",
        details: "Without PATH it starts at the root of the snapshot.",
        examples: &["ghostsnap ls latest etc", "ghostsnap ls latest --recursive --format plain"],
        args: &[
            SNAPSHOT,
            Arg::new("PATH", "a file or folder in the snapshot", Value::Path).optional(),
        ],
        flags: &[
            Flag::new("recursive", "enter folders too").short('R'),
            INCLUDE,
            EXCLUDE,
            USER_FILTER,
        ],
        columns: NODE_COLUMNS,
        run: engine_look::ls,
        ..LOOK
    },
    Command {
        name: "find",
        about: "find files in all snapshots",
        details: "A glob without a slash matches names in every folder, one with a slash \
                  matches from the root of the snapshot.",
        examples: &[
            "ghostsnap find 'wp-config.php'",
            "ghostsnap find --snapshot latest 'etc/**/*.conf'",
        ],
        args: &[Arg::new("GLOB", "what to look for", Value::Text).many()],
        flags: &[
            Flag::new("snapshot", "look only here").short('s').value("SNAPSHOT", Value::Text),
            USER_FILTER,
            HOST_FILTER,
            TAG_FILTER,
        ],
        long: true,
        columns: FOUND_COLUMNS,
        run: engine_look::find,
        ..LOOK
    },
    Command {
        name: "dump",
        about: "write one file of a snapshot to standard output",
        details: "",
        examples: &["ghostsnap dump latest etc/passwd"],
        args: &[SNAPSHOT, Arg::new("PATH", "a file in the snapshot", Value::Path)],
        flags: &[
            Flag::new("output", "write it to this new file instead")
                .short('o')
                .value("FILE", Value::Path),
            USER_FILTER,
        ],
        run: engine_look::dump,
        ..LOOK
    },
    Command {
        name: "diff",
        about: "say what changed between two snapshots",
        details: "Files count as changed when their content, type or target differ; with \
                  --attributes also when owner, mode, times or extended attributes do.",
        examples: &["ghostsnap diff 3f9c2a1b latest"],
        args: &[
            Arg::new("OLD", "the first snapshot", Value::Text),
            Arg::new("NEW", "the second snapshot", Value::Text),
        ],
        flags: &[Flag::new("attributes", "compare owners, modes and times too")],
        columns: DIFF_COLUMNS,
        run: engine_look::diff,
        ..LOOK
    },
    COPY,
    care::FORGET,
    care::PIN,
    care::UNPIN,
    care::ALARM_OFF,
    care::PRUNE,
    care::CHECK,
    repair::REPAIR_INDEX,
    repair::REPAIR_PACKS,
    repair::REPAIR_SNAPSHOTS,
    care::UNLOCK,
    table_history::HISTORY,
    table_history::ACCEPT,
    keys::LIST,
    keys::ADD,
    keys::CHANGE,
    keys::REMOVE,
    keys::KIT,
    keys::TEST,
    keys::ROTATE,
    Command {
        name: "stats",
        about: "say how large the repository is and what deduplication saves",
        details: "",
        examples: &["ghostsnap stats -r /srv/backup --json"],
        long: true,
        columns: STATS_COLUMNS,
        run: engine_look::stats,
        ..LOOK
    },
    Command {
        name: "completions",
        about: "print the completion script of a shell",
        details: "",
        examples: &["ghostsnap completions bash"],
        args: &[Arg::new(
            "SHELL",
            "bash, elvish, fish, powershell or zsh",
            Value::Choice(&["bash", "elvish", "fish", "powershell", "zsh"]),
        )],
        run: tools::completions,
        ..LOOK
    },
    Command {
        name: "generate",
        about: "write the files made from the table of commands",
        details: "Without options it writes the files that are committed; --check only compares \
                  them. --man and --completions write what is made when a package is built.",
        flags: &[
            Flag::new("check", "compare, write nothing; exit code 1 if a file differs"),
            Flag::new("root", "the project's folder").value("FOLDER", Value::Path).default("."),
            Flag::new("man", "write the man pages into this folder").value("FOLDER", Value::Path),
            Flag::new("completions", "write the completion scripts into this folder")
                .value("FOLDER", Value::Path),
        ],
        effect: Effect::Write,
        hidden: true,
        run: tools::generate,
        ..LOOK
    },
];
