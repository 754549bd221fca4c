// SPDX-License-Identifier: MIT
//! The rows of the commands for single files, folders and mail accounts of Hestia users, and the
//! panel's commands that end in them.

use super::files;
use super::table::{
    Arg, Column, Command, Effect, Flag, Holds, Owner, Role, Shim, ShimArg, Value, col, wide,
};
use super::table_flags::{
    DRY_RUN, FORCE, NO_SAFETY, SHIM_FORMAT, SHIM_SNAPSHOT, SHIM_USER, SNAPSHOT,
};
use super::table_undo::JOB_COLUMN;

/// The commands, in the order of the help.
pub const FILES: &[Command] =
    &[LIST_FILES, FIND_FILES, RESTORE_FILE, RESTORE_MAIL_ACCOUNT, DOWNLOAD, DIFF, ACT_AS];

const USER: Arg = Arg::new("USER", "the Hestia user", Value::Text);
const PATH: Arg = Arg::new(
    "PATH",
    "a file or folder in the user's home, such as web/example.com/public_html",
    Value::HomePath,
);
const EXACT: Flag = Flag::new("exact", "remove what the snapshot does not have");
const OVERWRITE: Flag = Flag::new(
    "overwrite",
    "when to change files that are there; `always` compares the content, `if-changed` trusts size \
     and time",
)
.value("WHEN", Value::Choice(&["always", "if-changed", "if-newer", "never"]))
.default("always");
const EARLIER: Flag = Flag::new("earlier", "take the snapshot of an earlier user of this name");

const FILE_COLUMNS: &[Column] = &[
    col("NAME", Holds::Raw, "its name"),
    wide("PATH", Holds::Raw, "where it lies below the home"),
    col("TYPE", Holds::Text, "file, dir, symlink or fifo"),
    col("MODE", Holds::Text, "permissions, octal"),
    wide("OWNER", Holds::Text, "the owner's name, or number"),
    wide("GROUP", Holds::Text, "the group's name, or number"),
    col("SIZE", Holds::Bytes, "bytes of content"),
    col("DATE", Holds::Text, "day of the last change, local time"),
    col("TIME", Holds::Text, "time of that day"),
    wide("TARGET", Holds::Raw, "what a link points at"),
];

const FOUND_COLUMNS: &[Column] = &[
    col("PATH", Holds::Raw, "where it lies below the home"),
    col("TYPE", Holds::Text, "file, dir, symlink or fifo"),
    col("MODE", Holds::Text, "permissions, octal"),
    wide("OWNER", Holds::Text, "the owner's name, or number"),
    wide("GROUP", Holds::Text, "the group's name, or number"),
    col("SIZE", Holds::Bytes, "bytes of content"),
    col("DATE", Holds::Text, "day of the last change, local time"),
    col("TIME", Holds::Text, "time of that day"),
    wide("TARGET", Holds::Raw, "what a link points at"),
];

const CHANGE_COLUMNS: &[Column] = &[
    col("PATH", Holds::Raw, "where it lies below the home"),
    col("RESULT", Holds::Text, "`created`, `overwritten` or `removed`"),
    col("TYPE", Holds::Text, "file, dir, symlink or fifo"),
    col("SIZE", Holds::Bytes, "bytes of content"),
    JOB_COLUMN,
];

const DIFF_COLUMNS: &[Column] = &[
    col("PATH", Holds::Raw, "where it lies below the home, or in the snapshot"),
    col("CHANGE", Holds::Text, "added, removed, modified, or metadata (owner, mode, times)"),
    col("TYPE", Holds::Text, "file, dir, symlink or fifo"),
    col("SIZE", Holds::Bytes, "bytes of content"),
];

const DOWNLOAD_COLUMNS: &[Column] = &[
    col("FILE", Holds::Raw, "the file that was written"),
    col("USER", Holds::Text, "the Hestia user"),
    col("SNAPSHOT", Holds::Id, "the snapshot it was made from"),
    col("SIZE", Holds::Bytes, "its size"),
];

/// A command that looks and is done; the base of the rows below.
const LOOK: Command = Command {
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
    run: files::act_as,
};

/// A shim for a hosting customer; the base of the ones below.
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

const SHIM_OWNER: ShimArg = ShimArg { to: "USER", ..SHIM_USER };
const SHIM_OF: ShimArg = ShimArg { to: "SNAPSHOT", ..SHIM_SNAPSHOT };
const SHIM_PATH: ShimArg =
    ShimArg::new("PATH", "PATH", "a file or folder in the user's home", Value::HomePath);

const LIST_FILES: Command = Command {
    name: "hestia list-files",
    about: "list the files of a user in a snapshot",
    details: "One folder at a time, as the user knows it: the home, the web domains, the mail \
              domains, and what lies in them.",
    examples: &[
        "ghostsnap hestia list-files alice latest",
        "ghostsnap hestia list-files alice latest web/example.com/public_html --json",
    ],
    args: &[USER, SNAPSHOT, PATH.optional()],
    columns: FILE_COLUMNS,
    run: files::list_files,
    shims: &[Shim {
        name: "v-ghostsnap-list-user-files",
        about: "list the files of a user in a snapshot",
        details: "One folder at a time, as the user knows it; without PATH the home. The user may \
                  have been deleted.",
        example: "v-ghostsnap-list-user-files alice latest web/example.com/public_html json",
        owner: Owner::LiveOrGone,
        args: &[SHIM_OWNER, SHIM_OF, SHIM_PATH.optional(), SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

const FIND_FILES: Command = Command {
    name: "hestia find-files",
    about: "find files of a user in a snapshot by a part of their name",
    details: "In all folders of the home, the web domains and the mail domains. Upper and lower \
              case are the same.",
    examples: &["ghostsnap hestia find-files alice latest invoice"],
    args: &[USER, SNAPSHOT, Arg::new("TEXT", "what the name has in it", Value::Text)],
    columns: FOUND_COLUMNS,
    run: files::find_files,
    shims: &[Shim {
        name: "v-ghostsnap-find-user-files",
        about: "find files of a user in a snapshot by a part of their name",
        details: "Upper and lower case are the same. The user may have been deleted.",
        example: "v-ghostsnap-find-user-files alice latest invoice json",
        owner: Owner::LiveOrGone,
        args: &[
            SHIM_OWNER,
            SHIM_OF,
            ShimArg::new("TEXT", "TEXT", "what the name has in it", Value::Text),
            SHIM_FORMAT,
        ],
        ..SHIM
    }],
    ..LOOK
};

const RESTORE_FILE: Command = Command {
    name: "hestia restore-file",
    about: "put a file or folder of a user back in place",
    details: "A process with the user's rights writes, so permissions and quota hold and no link \
              leads out of the home. Each file is replaced in one step, and only what differs is \
              written. What was made since stays, unless --exact is given. Without TARGET it goes \
              where it was. Asks before it overwrites, or needs --force where there is nobody to \
              ask.",
    examples: &[
        "ghostsnap hestia restore-file alice latest web/example.com/public_html/index.php",
        "ghostsnap hestia restore-file alice latest web/example.com/public_html --exact --dry-run",
        "ghostsnap hestia restore-file alice 3f9c2a1b 'My Files' 'My Files of Monday' --force",
    ],
    args: &[
        USER,
        SNAPSHOT,
        PATH,
        Arg::new("TARGET", "where in the home it goes instead", Value::HomePath).optional(),
    ],
    flags: &[OVERWRITE, EXACT, DRY_RUN, NO_SAFETY, EARLIER, FORCE],
    effect: Effect::Destroy,
    long: true,
    columns: CHANGE_COLUMNS,
    run: files::restore_file,
    shims: &[Shim {
        name: "v-ghostsnap-restore-file",
        about: "put a file or folder of a user back in place",
        details: "Written as the user, and only what differs. What was made since stays. Without \
                  TARGET it goes where it was.",
        example: "v-ghostsnap-restore-file alice latest web/example.com/public_html/index.php",
        args: &[
            SHIM_OWNER,
            SHIM_OF,
            SHIM_PATH,
            ShimArg::new("TARGET", "TARGET", "where in the home it goes", Value::HomePath)
                .optional(),
            ShimArg::new("EXACT", "exact", "`yes` removes what is newer", Value::YesNo).optional(),
            ShimArg::new("DRYRUN", "dry-run", "`yes` changes nothing", Value::YesNo).optional(),
        ],
        fixed: &["force"],
        ..SHIM
    }],
    ..LOOK
};

const RESTORE_MAIL_ACCOUNT: Command = Command {
    name: "hestia restore-mail-account",
    about: "bring a mail account of a user back",
    details: "Mails that are gone come back, those that are there and whole stay, whatever their flags, and \
              so do newer ones unless --exact is given. An account that was deleted is made again \
              by Hestia, with its password, aliases, forwards and automatic answer; of one that \
              is there nothing but mails is touched. Its domain must be there.",
    examples: &["ghostsnap hestia restore-mail-account alice latest info@example.com --force"],
    args: &[USER, SNAPSHOT, Arg::new("ACCOUNT", "the address, ACCOUNT@DOMAIN", Value::Text)],
    flags: &[EXACT, DRY_RUN, NO_SAFETY, EARLIER, FORCE],
    effect: Effect::Destroy,
    long: true,
    columns: CHANGE_COLUMNS,
    run: files::restore_mail_account,
    shims: &[Shim {
        name: "v-ghostsnap-restore-mail-account",
        about: "bring a mail account of a user back",
        details: "Mails that are there stay. An account that was deleted is made again, with its \
                  password, aliases, forwards and automatic answer.",
        example: "v-ghostsnap-restore-mail-account alice latest info@example.com",
        args: &[
            SHIM_OWNER,
            SHIM_OF,
            ShimArg::new("ACCOUNT", "ACCOUNT", "the address, ACCOUNT@DOMAIN", Value::Text),
            ShimArg::new("EXACT", "exact", "`yes` removes what is newer", Value::YesNo).optional(),
            ShimArg::new("DRYRUN", "dry-run", "`yes` changes nothing", Value::YesNo).optional(),
        ],
        fixed: &["force"],
        ..SHIM
    }],
    ..LOOK
};

const DOWNLOAD: Command = Command {
    name: "hestia download-file",
    about: "make a file or folder of a snapshot ready for download",
    details: "Without --output it is written to /backup as USER.gs-CODE-NAME, where the panel can \
              serve it to the user; it goes after a day, and three of a user are kept. A folder \
              becomes a zip archive or, which keeps owners and attributes, a tar stream.",
    examples: &[
        "ghostsnap hestia download-file alice latest web/example.com/public_html/index.php",
        "ghostsnap hestia download-file alice latest 'My Files' --form tar.zst --output /root/a.tzst",
    ],
    args: &[USER, SNAPSHOT, PATH],
    flags: &[
        Flag::new("form", "`auto` gives a file as it is and a folder as a zip archive")
            .value("FORM", Value::Choice(FORMS))
            .default("auto"),
        Flag::new("output", "the file to write").short('o').value("FILE", Value::Path),
        Flag::new("force", "overwrite that file if it exists").short('f'),
    ],
    effect: Effect::Write,
    long: true,
    columns: DOWNLOAD_COLUMNS,
    run: files::download,
    shims: &[Shim {
        name: "v-ghostsnap-download-user-file",
        about: "make a file or folder of a snapshot ready for download",
        details: "Written to /backup as USER.gs-CODE-NAME, where the panel can serve it for a \
                  day. The user may have been deleted.",
        example: "v-ghostsnap-download-user-file alice latest web/example.com/public_html zip",
        owner: Owner::LiveOrGone,
        args: &[
            SHIM_OWNER,
            SHIM_OF,
            SHIM_PATH,
            ShimArg::new("FORM", "form", "`auto`, `raw`, `zip` or `tar.zst`", Value::Choice(FORMS))
                .default("auto"),
        ],
        ..SHIM
    }],
    ..LOOK
};

const FORMS: &[&str] = &["auto", "raw", "zip", "tar.zst"];

const DIFF: Command = Command {
    name: "hestia diff",
    about: "compare a snapshot of a user with another one, or with the user as he is now",
    details: "Without SNAPSHOT2 the files of the home are read and compared by their content; \
              configuration and databases are compared between snapshots only. --path looks at \
              one file or folder.",
    examples: &[
        "ghostsnap hestia diff alice latest --path web/example.com",
        "ghostsnap hestia diff alice 3f9c2a1b latest",
    ],
    args: &[USER, SNAPSHOT, Arg::new("SNAPSHOT2", "the later snapshot", Value::Text).optional()],
    flags: &[Flag::new("path", "only this file or folder").value("PATH", Value::HomePath)],
    long: true,
    columns: DIFF_COLUMNS,
    run: files::diff,
    shims: &[Shim {
        name: "v-ghostsnap-diff-user",
        about: "compare a snapshot of a user with another one, or with the user as he is now",
        details: "Without SNAPSHOT2 the files of the home are read and compared by their content.",
        example: "v-ghostsnap-diff-user alice 3f9c2a1b latest",
        args: &[
            SHIM_OWNER,
            SHIM_OF,
            ShimArg::new("SNAPSHOT2", "SNAPSHOT2", "the later snapshot", Value::Text).optional(),
            ShimArg::new("PATH", "path", "only this file or folder", Value::HomePath).optional(),
            SHIM_FORMAT,
        ],
        ..SHIM
    }],
    ..LOOK
};

const ACT_AS: Command = Command {
    name: "hestia act-as",
    about: "take on a user's rights and change files on order",
    details: "Started by a restore, with its orders on standard input; of no use to anybody else.",
    args: &[
        Arg::new("UID", "the user's number", Value::Number),
        Arg::new("GID", "the number of the group that new files get", Value::Number),
        Arg::new("GROUPS", "the numbers of the user's groups, separated by commas", Value::List),
        Arg::new("HOME", "the folder below which it works", Value::Path),
    ],
    effect: Effect::Write,
    hidden: true,
    run: files::act_as,
    ..LOOK
};
