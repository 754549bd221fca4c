// SPDX-License-Identifier: MIT
//! The row of the engine's `backup`.

use super::engine_backup;
use super::table::{Arg, Column, Command, Effect, Flag, Holds, Value, col, wide};
use super::table_engine::LOOK;
use super::table_flags::{DRY_RUN, EXCLUDE};

const BACKUP_COLUMNS: &[Column] = &[
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
    col("REPOSITORY", Holds::Text, "the repository it is in, as it was named"),
];

/// How `backup` takes what it reads.
const BACKUP_FLAGS: &[Flag] = &[
    Flag::new("also", "back up into this repository too; may be repeated")
        .value("REPOSITORY", Value::Text)
        .many(),
    EXCLUDE,
    Flag::new(
        "exclude-file",
        "leave out what matches a glob in this file, one a line; may be repeated",
    )
    .value("FILE", Value::Path)
    .many(),
    Flag::new("one-file-system", "do not enter folders on other file systems").short('x'),
    Flag::new("tag", "label the snapshot; may be repeated").value("TAG", Value::Text).many(),
    Flag::new("host", "name this machine in the snapshot").value("HOST", Value::Text),
    Flag::new("name", "name the snapshot").value("NAME", Value::Text),
    Flag::new("stdin", "back up what comes in on standard input"),
    Flag::new("stdin-filename", "what to call it in the snapshot")
        .value("NAME", Value::Text)
        .default("stdin"),
    Flag::new("devices", "take device nodes and named pipes too; sockets are always left out"),
    Flag::new("parent", "compare with this snapshot; `none` reads every file again")
        .value("SNAPSHOT", Value::Text),
    Flag::new(
        "level",
        "zstd level, 1 (fast) to 19 (small); without it what the settings say, or 3",
    )
    .value("N", Value::Number),
    DRY_RUN,
];

/// Backs up paths or a stream.
pub const BACKUP: Command = Command {
    name: "backup",
    about: "back up files and folders",
    details: "Files that have not changed since the last snapshot of the same paths are not \
              read again. The folder of the repository itself is left out. What cannot be \
              read is named in a warning, the rest is stored, and the exit code is 30. \
              Interrupt it at any time: the next run goes on from what was stored, but for the \
              last 64 MiB or so. \
              With --also the files are looked through and a stream is read once, and each \
              repository gets a snapshot of its own; one that fails does not stop the others, and \
              the exit code is 30.",
    examples: &[
        "ghostsnap backup -r /srv/backup /etc /home --exclude '*.tmp' --tag nightly",
        "ghostsnap backup -r /srv/backup --stdin --stdin-filename all.sql",
        "ghostsnap backup -r /srv/backup --also offsite /etc /home",
    ],
    args: &[Arg::new("PATH", "what to back up", Value::Path).optional().many()],
    flags: BACKUP_FLAGS,
    effect: Effect::Write,
    long: true,
    columns: BACKUP_COLUMNS,
    run: engine_backup::backup,
    ..LOOK
};
