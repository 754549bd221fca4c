// SPDX-License-Identifier: MIT
//! The rows of the commands for HestiaCP users, and the panel's commands that end in them.
//!
//! A shim's `# options:` header is authorization: Hestia's API reads the position of USER from
//! it and compares that argument with the owner of the access key. What a customer may call
//! takes neither a path nor a repository.

use super::table::{
    Arg, Column, Command, Effect, Flag, Holds, Owner, Role, Shim, ShimArg, Value, col, wide,
};
use super::table_databases::RESTORE_DATABASE;
use super::table_flags::{
    DRY_RUN, FORCE, NO_SAFETY, SHIM_FORMAT, SHIM_NOTIFY, SHIM_REPOSITORIES, SHIM_SNAPSHOT,
    SHIM_USER, USER_FILTER, WHICH_SNAPSHOT,
};
use super::table_undo::{JOB_COLUMN, LIST_RESTORES, UNDO_RESTORE};
use super::{panel, panel_backup, panel_look, panel_restore, table_restore};
use crate::hestia::BackupMode;

pub(super) const USER: Arg = Arg::new("USER", "the Hestia user", Value::Text);
const SNAPSHOT_FLAG: Flag = Flag::new("snapshot", WHICH_SNAPSHOT)
    .short('s')
    .value("SNAPSHOT", Value::Text)
    .default("latest");
pub(super) const NOTIFY: Flag =
    Flag::new("notify", "notify the user in the panel, however it went");

/// The sections of a Hestia user, as options of `restore` and `export`.
macro_rules! sections {
    ($($flag:expr),* $(,)?) => {
        &[
            Flag::new("web", "web domains: names separated by commas, `*` for all, `no` for none")
                .value("DOMAINS", Value::Text),
            Flag::new("dns", "DNS zones, likewise").value("ZONES", Value::Text),
            Flag::new("mail", "mail domains, likewise").value("DOMAINS", Value::Text),
            Flag::new("db", "databases, likewise").value("NAMES", Value::Text),
            Flag::new("cron", "cron jobs: `*` or `no`").value("JOBS", Value::Text),
            Flag::new("udir", "folders of the home: names, `*` or `no`")
                .value("FOLDERS", Value::Text),
            $($flag),*
        ]
    };
}

const LIST_COLUMNS: &[Column] = &[
    col("SNAPSHOT", Holds::Id, "its id"),
    wide("NAME", Holds::Text, "its name, `hestia-USER-YYYYMMDD-HHMMSS` (UTC)"),
    col("USER", Holds::Text, "the Hestia user"),
    col("DATE", Holds::Text, "the day it stands for, local time"),
    col("TIME", Holds::Text, "the time of that day"),
    col("SIZE", Holds::Mib, "MiB of content it holds"),
    wide("NEW", Holds::Mib, "MiB the repository did not have before; empty for customers"),
    wide("WEB", Holds::List, "web domains in it"),
    wide("DNS", Holds::List, "DNS zones in it"),
    wide("MAIL", Holds::List, "mail domains in it"),
    wide("DB", Holds::List, "databases in it"),
    wide("CRON", Holds::Count, "number of cron jobs in it"),
    wide("UDIR", Holds::List, "folders and files of the home in it"),
    wide("RUNTIME", Holds::Count, "minutes it took, at least 1"),
    col("STATUS", Holds::Text, "`complete`, or `partial` if something could not be backed up"),
    col("TAGS", Holds::List, "its labels"),
    LEFT_OUT,
];

/// Of what a customer or an admin leaves out nothing comes back.
const LEFT_OUT: Column =
    wide("LEFT_OUT", Holds::List, "globs, as paths in the home, of what was left out of it");

const OBJECT_COLUMNS: &[Column] = &[
    col("SNAPSHOT", Holds::Id, "its id"),
    wide("NAME", Holds::Text, "its name, `hestia-USER-YYYYMMDD-HHMMSS` (UTC)"),
    wide("USER", Holds::Text, "the Hestia user"),
    col("DATE", Holds::Text, "the day it stands for, local time"),
    col("TIME", Holds::Text, "the time of that day"),
    col("SIZE", Holds::Mib, "MiB of content it holds"),
    wide("NEW", Holds::Mib, "MiB the repository did not have before; empty for customers"),
    col("WEB", Holds::List, "web domains in it"),
    col("DNS", Holds::List, "DNS zones in it"),
    col("MAIL", Holds::List, "mail domains in it"),
    col("DB", Holds::List, "databases in it"),
    col("CRON", Holds::Count, "number of cron jobs in it"),
    col("UDIR", Holds::List, "folders and files of the home in it"),
    wide("RUNTIME", Holds::Count, "minutes it took, at least 1"),
    col("STATUS", Holds::Text, "`complete`, or `partial` if something could not be backed up"),
    wide("TAGS", Holds::List, "its labels"),
    LEFT_OUT,
];

const USER_COLUMNS: &[Column] = &[
    col("USER", Holds::Text, "the user's name"),
    wide("NAME", Holds::Text, "the full name"),
    wide("CONTACT", Holds::Text, "the mail address"),
    col("ROLE", Holds::Text, "`admin` or `user`"),
    col("PACKAGE", Holds::Text, "the hosting package"),
    col("WEB", Holds::List, "web domains"),
    col("DNS", Holds::List, "DNS zones"),
    col("MAIL", Holds::List, "mail domains"),
    col("DB", Holds::List, "databases"),
    col("CRON", Holds::Count, "number of cron jobs"),
    wide("UDIR", Holds::List, "folders and files of the home"),
    col("DISK", Holds::Mib, "MiB used, as Hestia counted last"),
    col("SUSPENDED", Holds::YesNo, "whether the user is suspended"),
    wide("BACKUPS", Holds::Text, "tarballs the package allows"),
    wide("DATE", Holds::Text, "the day the user was added"),
];

const RESULT_COLUMNS: &[Column] = &[
    col("USER", Holds::Text, "the Hestia user"),
    col("RESULT", Holds::Text, "`succeeded`, `partial`, `failed` or `skipped`"),
    col("SNAPSHOT", Holds::Id, "the snapshot's id"),
    wide("NAME", Holds::Text, "the snapshot's name"),
    col("SIZE", Holds::Bytes, "bytes of content it holds"),
    col("NEW", Holds::Bytes, "bytes the repository did not have before"),
    wide("STORED", Holds::Bytes, "bytes written for them"),
    wide("WARNINGS", Holds::Count, "what could not be backed up"),
    wide("SECONDS", Holds::Count, "how long it took"),
    wide("TARBALL", Holds::Text, "the tarball it was made from"),
    wide("REMOVED", Holds::List, "tarballs that --cleanup removed"),
    col("REASON", Holds::Text, "why it is not a plain success"),
    col("REPOSITORY", Holds::Text, "the repository it is in, as it was named"),
];

const IMPORT_COLUMNS: &[Column] = &[
    col("TARBALL", Holds::Raw, "the tarball"),
    col("USER", Holds::Text, "the Hestia user it belongs to"),
    col("RESULT", Holds::Text, "`succeeded`, `partial`, `failed` or `skipped`"),
    col("SNAPSHOT", Holds::Id, "the snapshot's id"),
    wide("NAME", Holds::Text, "the snapshot's name"),
    col("SIZE", Holds::Bytes, "bytes of content it holds"),
    col("NEW", Holds::Bytes, "bytes the repository did not have before"),
    wide("WARNINGS", Holds::Count, "what could not be read"),
    col("REASON", Holds::Text, "why it is not a plain success"),
];

const EXPORT_COLUMNS: &[Column] = &[
    col("TARBALL", Holds::Raw, "the tarball that was written"),
    col("USER", Holds::Text, "the Hestia user"),
    col("SNAPSHOT", Holds::Id, "the snapshot it was made from"),
    col("SIZE", Holds::Bytes, "its size"),
];

pub(super) const RESTORED_COLUMNS: &[Column] = &[
    col("OBJECT", Holds::Text, "section and name of what was restored"),
    col(
        "RESULT",
        Holds::Text,
        "`restored`, `partial` or `failed`; of a dry run `stops` or `changes` for what is found, \
         `planned`, and `create`, `overwrite` or `remove` for each path",
    ),
    col(
        "REASON",
        Holds::Text,
        "what the check afterwards missed; of a dry run what is found and mends it, counts, paths",
    ),
    JOB_COLUMN,
];

const DELETED_COLUMNS: &[Column] = &[
    col("SNAPSHOT", Holds::Id, "its id"),
    col("NAME", Holds::Text, "its name"),
    col("USER", Holds::Text, "the Hestia user"),
];

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
    run: panel_look::list_users,
};

/// A shim for the administrator; the base of the ones below.
pub(super) const SHIM: Shim = Shim {
    name: "",
    about: "",
    details: "",
    example: "",
    role: Role::Admin,
    owner: Owner::Nobody,
    args: &[],
    fixed: &[],
};

pub(super) const POSITIONAL_USER: ShimArg = ShimArg { to: "USER", ..SHIM_USER };
pub(super) const POSITIONAL_SNAPSHOT: ShimArg = ShimArg { to: "SNAPSHOT", ..SHIM_SNAPSHOT };

/// The commands, in the order of the help.
pub const HESTIA: &[Command] = &[
    LIST_USERS,
    USER_INFO,
    BACKUP,
    IMPORT,
    LIST_BACKUPS,
    SHOW_BACKUP,
    EXPORT,
    RESTORE,
    RESTORE_DATABASE,
    LIST_RESTORES,
    UNDO_RESTORE,
    DELETE_BACKUP,
    super::table_care::FORGET_OF_USERS,
    super::table_rehearsal::VERIFY_USER,
    super::table_rehearsal::VERIFY_USERS,
    super::table_health::STATUS,
    super::table_health::REPOSITORY_STATUS,
];

const LIST_USERS: Command = Command {
    name: "hestia list-users",
    about: "list the users of this server",
    details: "Without options it prints bare names, one a line, so that a script can loop over \
              them. Suspended users are listed too.",
    examples: &["ghostsnap hestia list-users", "ghostsnap hestia list-users --detailed"],
    flags: &[Flag::new("detailed", "print what each user has").short('d')],
    columns: USER_COLUMNS,
    run: panel_look::list_users,
    shims: &[Shim {
        name: "v-ghostsnap-list-users",
        about: "list the users that can be backed up",
        details: "Suspended users are listed too.",
        example: "v-ghostsnap-list-users json",
        args: &[SHIM_FORMAT],
        fixed: &["detailed"],
        ..SHIM
    }],
    ..LOOK
};

const USER_INFO: Command = Command {
    name: "hestia user-info",
    about: "say what a user has",
    details: "A user that does not exist is an error.",
    examples: &["ghostsnap hestia user-info alice"],
    args: &[USER],
    columns: USER_COLUMNS,
    run: panel_look::user_info,
    shims: &[Shim {
        name: "v-ghostsnap-list-user",
        about: "list what of a user can be backed up",
        details: "The lists are read from Hestia's own files at this moment.",
        example: "v-ghostsnap-list-user alice json",
        role: Role::User,
        owner: Owner::Live,
        args: &[POSITIONAL_USER, SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

const BACKUP: Command = Command {
    name: "hestia backup",
    about: "back up Hestia users",
    details: "Backs up the named users, or all. The live user is read, without a tarball and \
              without space beside; files that did not change are not even opened, and of \
              databases only rows that changed are stored. With --mode tarball Hestia makes its \
              tarball, which is opened and stored file by file. Both give the same backup. One \
              user's failure does not stop the others; the exit code is 30 if some failed. \
              Nothing is ever removed from /backup without --cleanup, and with it only tarballs \
              whose content is in the repository. \
              The first run on a server makes a local repository and a key file and says how to \
              keep a copy of the key. With --also, or `also` in the settings, users go into \
              several repositories in one run: they are read and their databases dumped once, and \
              there is a row for each repository. One that cannot be reached stops no other one; \
              users who are not in it are partial.",
    examples: &[
        "ghostsnap hestia backup --user alice",
        "ghostsnap hestia backup --also offsite --also box",
        "ghostsnap hestia backup --include 'prod-*' --include 'user[1-5]' --exclude 'prod-test' \
         --cleanup --keep-tarballs 1",
    ],
    flags: &[
        Flag::new("user", "back up this user; may be repeated; without it all users")
            .short('u')
            .value("USER", Value::Text)
            .many(),
        Flag::new("include", "also users whose name matches this glob; may be repeated")
            .short('i')
            .value("GLOB", Value::List)
            .many(),
        Flag::new("exclude", "no user whose name matches this glob; may be repeated")
            .short('e')
            .value("GLOB", Value::List)
            .many(),
        Flag::new(
            "mode",
            "by the tarball that Hestia makes, or direct from the live user; without it what the \
             settings say",
        )
        .value("MODE", Value::Choice(BackupMode::WORDS)),
        Flag::new(
            "limit-read",
            "read no more than this a second in a direct backup, such as 50M; 0 is no limit; without \
             it what the settings say",
        )
        .value("SIZE", Value::Text),
        Flag::new(
            "jobs",
            "back up so many users at the same time, 1 to 16; without it what the settings say, or 1",
        )
        .value("N", Value::Number),
        Flag::new(
            "also",
            "also into this repository, instead of those that the settings name beside the first; \
             may be repeated",
        )
        .value("REPOSITORY", Value::Text)
        .many(),
        Flag::new("cleanup", "then remove old tarballs whose content is in the repository"),
        Flag::new(
            "keep-tarballs",
            "how many of the newest tarballs --cleanup leaves, 0 allowed; without it what the \
             settings say, or 3",
        )
        .value("N", Value::Number),
        NOTIFY,
    ],
    effect: Effect::Write,
    long: true,
    columns: RESULT_COLUMNS,
    run: panel_backup::backup,
    shims: &[
        Shim {
            name: "v-ghostsnap-backup-user",
            about: "back up a user into the repository",
            details: "The live user is read and stored encrypted and deduplicated; no tarball is \
                      made, unless the settings say so. The first call on a server makes a local \
                      repository and a key file.",
            example: "v-ghostsnap-backup-user alice",
            owner: Owner::Live,
            args: &[SHIM_USER, SHIM_REPOSITORIES, SHIM_NOTIFY],
            ..SHIM
        },
        Shim {
            name: "v-ghostsnap-backup-users",
            about: "back up all users into the repository",
            details: "INCLUDE and EXCLUDE are globs on user names, several separated by commas. \
                      One user's failure does not stop the others.",
            example: "v-ghostsnap-backup-users 'prod-*' 'prod-test,prod-old'",
            args: &[
                ShimArg::new("INCLUDE", "include", "globs of the users to back up", Value::List)
                    .optional(),
                ShimArg::new("EXCLUDE", "exclude", "globs of the users to leave out", Value::List)
                    .optional(),
                SHIM_REPOSITORIES,
            ],
            ..SHIM
        },
    ],
    ..LOOK
};

const IMPORT: Command = Command {
    name: "hestia import",
    about: "take old Hestia tarballs into the repository",
    details: "Each becomes a snapshot with the date of its making. A tarball whose content is in \
              the repository already is skipped. The tarballs stay where they are. Their names \
              must be Hestia's own (USER.YYYY-MM-DD_HH-MM-SS.tar) or that of an export \
              (USER.gs-SNAPSHOT.tar).",
    examples: &["ghostsnap hestia import /backup/alice.2026-01-02_03-04-05.tar"],
    args: &[Arg::new("TARBALL", "a tarball, as a path or as a name in /backup", Value::Path).many()],
    flags: &[
        Flag::new("user", "only if it belongs to this user").short('u').value("USER", Value::Text),
        Flag::new("force", "also if its content is in the repository already").short('f'),
    ],
    effect: Effect::Write,
    long: true,
    columns: IMPORT_COLUMNS,
    run: panel::import,
    shims: &[Shim {
        name: "v-ghostsnap-import-user-backup",
        about: "take an old tarball of a user into the repository",
        details: "BACKUP is the name of a tarball in /backup. The user may have been deleted.",
        example: "v-ghostsnap-import-user-backup alice alice.2026-01-02_03-04-05.tar",
        owner: Owner::LiveOrGone,
        args: &[
            SHIM_USER,
            ShimArg::new("BACKUP", "TARBALL", "a tarball in /backup", Value::Path).check("backup"),
        ],
        ..SHIM
    }],
    ..LOOK
};

const LIST_BACKUPS: Command = Command {
    name: "hestia list-backups",
    about: "list the snapshots of Hestia users",
    details: "Oldest first. Snapshots of deleted users are listed too.",
    examples: &[
        "ghostsnap hestia list-backups --user alice",
        "ghostsnap hestia list-backups --json",
    ],
    flags: &[USER_FILTER],
    columns: LIST_COLUMNS,
    run: panel_look::list_backups,
    shims: &[Shim {
        name: "v-ghostsnap-list-user-backups",
        about: "list the snapshots of a user",
        details: "Oldest first. The user may have been deleted.",
        example: "v-ghostsnap-list-user-backups alice json",
        role: Role::User,
        owner: Owner::LiveOrGone,
        args: &[SHIM_USER, SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

const SHOW_BACKUP: Command = Command {
    name: "hestia show-backup",
    about: "list what is in one snapshot of a Hestia user",
    details: "",
    examples: &["ghostsnap hestia show-backup hestia-alice-20260102-030405"],
    args: &[Arg::new("SNAPSHOT", WHICH_SNAPSHOT, Value::Text)],
    flags: &[USER_FILTER],
    columns: OBJECT_COLUMNS,
    run: panel_look::show_backup,
    shims: &[Shim {
        name: "v-ghostsnap-list-user-backup",
        about: "list what is in one snapshot of a user",
        details: "The user may have been deleted.",
        example: "v-ghostsnap-list-user-backup alice latest json",
        role: Role::User,
        owner: Owner::LiveOrGone,
        args: &[SHIM_USER, POSITIONAL_SNAPSHOT, SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

const EXPORT: Command = Command {
    name: "hestia export",
    about: "make a Hestia tarball from a snapshot",
    details: "The tarball is one that Hestia's own restore accepts. Without --output it is \
              written to /backup as USER.gs-SNAPSHOT.tar, where the panel can download it and \
              Hestia's rotation leaves it alone. If a section option names something, sections \
              that are not named are left out; if all that are given say `no`, the others are \
              taken whole.",
    examples: &[
        "ghostsnap hestia export alice --output /root/alice.tar",
        "ghostsnap hestia export alice --snapshot 3f9c2a1b --web example.com --db '*'",
    ],
    args: &[USER],
    flags: sections![
        SNAPSHOT_FLAG,
        Flag::new("output", "the file to write").short('o').value("FILE", Value::Path),
        Flag::new("force", "overwrite that file if it exists").short('f'),
    ],
    effect: Effect::Write,
    long: true,
    columns: EXPORT_COLUMNS,
    run: panel::export,
    shims: &[Shim {
        name: "v-ghostsnap-export-user-backup",
        about: "make a Hestia tarball from a snapshot",
        details: "Written to /backup as USER.gs-SNAPSHOT.tar, where the panel can download it. \
                  The user may have been deleted.",
        example: "v-ghostsnap-export-user-backup alice latest",
        role: Role::User,
        owner: Owner::LiveOrGone,
        args: &[POSITIONAL_USER, SHIM_SNAPSHOT],
        ..SHIM
    }],
    ..LOOK
};

const RESTORE: Command = Command {
    name: "hestia restore",
    about: "restore a Hestia user from a snapshot",
    details: "Hestia's own v-restore-user and its rebuild commands restore the configuration, \
              files go straight to their place, written with the rights of the user, and then it \
              looks whether everything arrived. A deleted user is made again. If a section \
              option names something, sections that are not named are left alone; if all that \
              are given say `no`, the others are restored whole. With \
              --target or --temp the files are only put into a folder and Hestia is not called. \
              Before anything is touched it looks for what would stop or surprise it, and says \
              what mends that; --dry-run does that alone, and says what would be made, \
              overwritten and removed, of databases table by table, for which it reads their \
              dumps. Asks before it overwrites, or needs --force where there is nobody to ask; \
              --force also takes a snapshot that is of an earlier user of the same name or, as an \
              old tarball may, does not say of whom.",
    examples: &[
        "ghostsnap hestia restore alice",
        "ghostsnap hestia restore alice --snapshot 3f9c2a1b --db alice_shop --force",
        "ghostsnap hestia restore alice --web shop.example --dry-run",
        "ghostsnap hestia restore alice --target /tmp/alice",
    ],
    args: &[USER],
    flags: sections![
        SNAPSHOT_FLAG,
        Flag::new("target", "put the files into this folder")
            .short('t')
            .value("FOLDER", Value::Path),
        Flag::new("temp", "put the files into a new folder below /tmp and name it"),
        Flag::new("from", "the user the snapshot is of, if it is another one")
            .value("USER", Value::Text),
        Flag::new("admin", "let a user that is made anew be an administrator if it was one"),
        Flag::new(
            "through",
            "how content travels: `place`, straight to where it belongs, or \
                              `tarball`, all of it through one that Hestia unpacks"
        )
        .value("WAY", Value::Choice(&["place", "tarball"]))
        .default("place"),
        Flag::new(
            "trust-config",
            "take over what an imported tarball adds to the configuration \
                                   of web servers"
        ),
        NOTIFY,
        NO_SAFETY,
        DRY_RUN,
        FORCE,
    ],
    effect: Effect::Destroy,
    long: true,
    columns: RESTORED_COLUMNS,
    run: panel_restore::restore,
    shims: table_restore::RESTORE_SHIMS,
    ..LOOK
};

const DELETE_BACKUP: Command = Command {
    name: "hestia delete-backup",
    about: "drop snapshots of a Hestia user",
    details: "The data stays in the repository until it is pruned. Asks first, or needs --force \
              where there is nobody to ask.",
    examples: &["ghostsnap hestia delete-backup --user alice 3f9c2a1b"],
    args: &[Arg::new("SNAPSHOT", "ids or names", Value::Text).many()],
    flags: &[USER_FILTER, FORCE],
    effect: Effect::Destroy,
    columns: DELETED_COLUMNS,
    run: panel::delete_backup,
    shims: &[Shim {
        name: "v-ghostsnap-delete-user-backup",
        about: "drop a snapshot of a user",
        details: "The data stays in the repository until it is pruned. The user may have been \
                  deleted.",
        example: "v-ghostsnap-delete-user-backup alice 3f9c2a1b",
        owner: Owner::LiveOrGone,
        args: &[SHIM_USER, POSITIONAL_SNAPSHOT],
        fixed: &["force"],
        ..SHIM
    }],
    ..LOOK
};
