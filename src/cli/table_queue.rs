// SPDX-License-Identifier: MIT
//! The rows of the commands that hand jobs to the queue. Each takes the arguments of the panel's
//! command that the job will be, in the same order: what is waiting is that command.

use super::panel_queue;
use super::table::{Arg, Column, Command, Effect, Holds, Owner, Role, Shim, ShimArg, Value, col};
use super::table_flags::{
    SHIM_DRY_RUN, SHIM_FORMAT, SHIM_LEAVE_ORPHANS, SHIM_NOTIFY, SHIM_SNAPSHOT, SHIM_USER,
};
use super::table_jobs::{
    CANCEL_JOB, LIST_JOB, LIST_JOBS, LIST_USER_JOBS, QUEUE_LOOK, RUN_JOB, RUN_JOBS,
};
use crate::hestia::queue::JobKind;

/// The commands, in the order of the help.
pub const QUEUE: &[Command] = &[
    BACKUP,
    RESTORE,
    RESTORE_WEB,
    RESTORE_MAIL,
    RESTORE_DNS,
    RESTORE_CRON,
    RESTORE_DATABASE,
    RESTORE_FILE,
    RESTORE_MAIL_ACCOUNT,
    UNDO,
    EXPORT,
    DOWNLOAD,
    VERIFY,
    LIST_JOBS,
    LIST_USER_JOBS,
    LIST_JOB,
    CANCEL_JOB,
    RUN_JOBS,
    RUN_JOB,
];

/// What a command of the queue hands over: the row, the panel's command that will run, and what
/// kind of job that is.
pub const TARGETS: &[(&str, &str, JobKind)] = &[
    ("hestia schedule-backup", "v-ghostsnap-backup-user", JobKind::Backup),
    ("hestia schedule-restore", "v-ghostsnap-restore-user", JobKind::Restore),
    ("hestia schedule-restore-web-domain", "v-ghostsnap-restore-web-domain", JobKind::Restore),
    ("hestia schedule-restore-mail-domain", "v-ghostsnap-restore-mail-domain", JobKind::Restore),
    ("hestia schedule-restore-dns-domain", "v-ghostsnap-restore-dns-domain", JobKind::Restore),
    ("hestia schedule-restore-cron-job", "v-ghostsnap-restore-cron-job", JobKind::Restore),
    ("hestia schedule-restore-database", "v-ghostsnap-restore-database", JobKind::Restore),
    ("hestia schedule-restore-file", "v-ghostsnap-restore-file", JobKind::Restore),
    ("hestia schedule-restore-mail-account", "v-ghostsnap-restore-mail-account", JobKind::Restore),
    ("hestia schedule-undo-restore", "v-ghostsnap-undo-restore", JobKind::Undo),
    ("hestia schedule-export", "v-ghostsnap-export-user-backup", JobKind::Export),
    ("hestia schedule-download-file", "v-ghostsnap-download-user-file", JobKind::Download),
    ("hestia schedule-verify", "v-ghostsnap-verify-user-backup", JobKind::Verify),
];

/// Shims that a customer's own Linux account may call: they hand over to the program before they
/// look at anything of Hestia, which such an account may not read.
pub const FOR_EVERYBODY: &[&str] = &["v-ghostsnap-schedule-user-backup"];

const SCHEDULED_COLUMNS: &[Column] = &[
    col("JOB", Holds::Text, "its id, `YYYYMMDD-HHMMSS-` (UTC) and eight digits"),
    col("KIND", Holds::Text, "backup, restore, undo, export, download or verify"),
    col("USER", Holds::Text, "the Hestia user"),
    col("WHAT", Holds::Text, "the arguments, in words"),
    col("STATE", Holds::Text, "`waiting`"),
    col("AHEAD", Holds::Count, "how many jobs will begin before it or run already"),
];

const USER: ShimArg = ShimArg { to: "USER", ..SHIM_USER };
const SNAPSHOT: ShimArg = ShimArg { to: "SNAPSHOT", ..SHIM_SNAPSHOT };
const NOTIFY: ShimArg = ShimArg { to: "NOTIFY", ..SHIM_NOTIFY };
const DRY_RUN: ShimArg = ShimArg { to: "DRY_RUN", ..SHIM_DRY_RUN };
const LEAVE_ORPHANS: ShimArg = ShimArg { to: "LEAVE_ORPHANS", ..SHIM_LEAVE_ORPHANS };
const EXACT: ShimArg = optional("EXACT", "`yes` removes what is newer", Value::YesNo);
const REPOSITORY: ShimArg = optional(
    "REPOSITORY",
    "the name of one repository that the user is backed up into; all of them without",
    Value::Text,
);

const fn must(name: &'static str, about: &'static str, value: Value) -> ShimArg {
    ShimArg::new(name, name, about, value)
}

const fn optional(name: &'static str, about: &'static str, value: Value) -> ShimArg {
    must(name, about, value).optional()
}

const fn domain(about: &'static str) -> ShimArg {
    must("DOMAIN", about, Value::Text).check("domain")
}

/// The row's own arguments: those of the shim.
#[expect(clippy::indexing_slicing, reason = "a constant: an index too far does not compile")]
const fn arguments<const N: usize>(from: [ShimArg; N]) -> [Arg; N] {
    let mut all = [Arg::new("", "", Value::Text); N];
    let mut place = 0;
    while place < N {
        let one = from[place];
        let arg = Arg::new(one.name, one.about, one.value);
        all[place] = if one.required { arg } else { arg.optional() };
        place += 1;
    }
    all
}

/// The arguments of the shim: those and FORMAT.
#[expect(clippy::indexing_slicing, reason = "a constant: an index too far does not compile")]
const fn with_format<const N: usize, const M: usize>(from: [ShimArg; N]) -> [ShimArg; M] {
    let mut all = [SHIM_FORMAT; M];
    let mut place = 0;
    while place < N {
        all[place] = from[place];
        place += 1;
    }
    all
}

const SCHEDULE: Command = Command {
    effect: Effect::Write,
    columns: SCHEDULED_COLUMNS,
    run: panel_queue::schedule,
    ..QUEUE_LOOK
};

const SHIM: Shim = Shim {
    name: "",
    about: "",
    details: "Returns at once with the id of the job; v-ghostsnap-list-user-job USER JOB tells how \
              it goes.",
    example: "",
    role: Role::User,
    owner: Owner::Live,
    args: &[],
    fixed: &[],
};

const SHIM_GONE: Shim = Shim { owner: Owner::LiveOrGone, ..SHIM };

const BACKUP_ARGS: [ShimArg; 3] = [USER, REPOSITORY, NOTIFY];
const BACKUP: Command = Command {
    name: "hestia schedule-backup",
    about: "let a user be backed up soon",
    details: "Called by somebody who is not root, it hands in a request, which is accepted if it \
              comes from the Linux account of that user or from the panel's administrator; \
              REPOSITORY cannot be chosen then.",
    examples: &["ghostsnap hestia schedule-backup alice"],
    args: &arguments(BACKUP_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-user-backup",
        about: "let a user be backed up soon",
        details: "Returns at once with the id of the job; v-ghostsnap-list-user-job USER JOB tells \
                  how it goes. Works in a customer's own cron jobs, too: it says nothing then, and \
                  takes no REPOSITORY.",
        example: "v-ghostsnap-schedule-user-backup alice",
        args: &with_format::<3, 4>(BACKUP_ARGS),
        ..SHIM
    }],
    ..SCHEDULE
};

const RESTORE_ARGS: [ShimArg; 10] = [
    USER,
    SNAPSHOT,
    optional("WEB", "web domains: names with commas between them, `*` or `no`", Value::Text),
    optional("DNS", "DNS zones, likewise", Value::Text),
    optional("MAIL", "mail domains, likewise", Value::Text),
    optional("DB", "databases, likewise", Value::Text),
    optional("CRON", "cron jobs: `*` or `no`", Value::Text),
    optional("UDIR", "folders of the home: names, `*` or `no`", Value::Text),
    NOTIFY,
    DRY_RUN,
];
const RESTORE: Command = Command {
    name: "hestia schedule-restore",
    about: "let a user be restored soon",
    details: "Takes what v-ghostsnap-restore-user takes.",
    examples: &[
        "ghostsnap hestia schedule-restore alice latest example.com no no alice_shop no no",
    ],
    args: &arguments(RESTORE_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-user-restore",
        about: "let a user be restored soon",
        example: "v-ghostsnap-schedule-user-restore alice latest 'example.com' no no '*' no no",
        args: &with_format::<10, 11>(RESTORE_ARGS),
        ..SHIM_GONE
    }],
    ..SCHEDULE
};

const WEB_ARGS: [ShimArg; 5] = [USER, SNAPSHOT, domain("the web domain"), NOTIFY, DRY_RUN];
const RESTORE_WEB: Command = Command {
    name: "hestia schedule-restore-web-domain",
    about: "let a web domain be restored soon",
    examples: &["ghostsnap hestia schedule-restore-web-domain alice latest example.com"],
    args: &arguments(WEB_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-restore-web-domain",
        about: "let a web domain be restored soon",
        example: "v-ghostsnap-schedule-restore-web-domain alice latest example.com",
        args: &with_format::<5, 6>(WEB_ARGS),
        ..SHIM_GONE
    }],
    ..SCHEDULE
};

const MAIL_ARGS: [ShimArg; 5] = [USER, SNAPSHOT, domain("the mail domain"), NOTIFY, DRY_RUN];
const RESTORE_MAIL: Command = Command {
    name: "hestia schedule-restore-mail-domain",
    about: "let a mail domain be restored soon",
    examples: &["ghostsnap hestia schedule-restore-mail-domain alice latest example.com"],
    args: &arguments(MAIL_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-restore-mail-domain",
        about: "let a mail domain be restored soon",
        example: "v-ghostsnap-schedule-restore-mail-domain alice latest example.com",
        args: &with_format::<5, 6>(MAIL_ARGS),
        ..SHIM_GONE
    }],
    ..SCHEDULE
};

const DNS_ARGS: [ShimArg; 5] = [USER, SNAPSHOT, domain("the DNS zone"), NOTIFY, DRY_RUN];
const RESTORE_DNS: Command = Command {
    name: "hestia schedule-restore-dns-domain",
    about: "let a DNS zone be restored soon",
    examples: &["ghostsnap hestia schedule-restore-dns-domain alice latest example.com"],
    args: &arguments(DNS_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-restore-dns-domain",
        about: "let a DNS zone be restored soon",
        example: "v-ghostsnap-schedule-restore-dns-domain alice latest example.com",
        args: &with_format::<5, 6>(DNS_ARGS),
        ..SHIM_GONE
    }],
    ..SCHEDULE
};

const CRON_ARGS: [ShimArg; 5] = [
    USER,
    SNAPSHOT,
    must("CRONJOB", "any job: Hestia restores all of them together", Value::Text),
    NOTIFY,
    DRY_RUN,
];
const RESTORE_CRON: Command = Command {
    name: "hestia schedule-restore-cron-job",
    about: "let the cron jobs be restored soon",
    examples: &["ghostsnap hestia schedule-restore-cron-job alice latest '*'"],
    args: &arguments(CRON_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-restore-cron-job",
        about: "let the cron jobs be restored soon",
        example: "v-ghostsnap-schedule-restore-cron-job alice latest '*'",
        args: &with_format::<5, 6>(CRON_ARGS),
        ..SHIM_GONE
    }],
    ..SCHEDULE
};

const DATABASE_ARGS: [ShimArg; 7] = [
    USER,
    SNAPSHOT,
    must("DATABASE", "the database", Value::Text).check("database"),
    optional("TABLE", "one table of it", Value::Text),
    NOTIFY,
    DRY_RUN,
    LEAVE_ORPHANS,
];
const RESTORE_DATABASE: Command = Command {
    name: "hestia schedule-restore-database",
    about: "let a database, or a table of it, be restored soon",
    examples: &["ghostsnap hestia schedule-restore-database alice latest alice_shop"],
    args: &arguments(DATABASE_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-restore-database",
        about: "let a database, or a table of it, be restored soon",
        example: "v-ghostsnap-schedule-restore-database alice latest alice_shop",
        args: &with_format::<7, 8>(DATABASE_ARGS),
        ..SHIM
    }],
    ..SCHEDULE
};

const FILE_ARGS: [ShimArg; 6] = [
    USER,
    SNAPSHOT,
    must("PATH", "a file or folder in the user's home", Value::HomePath),
    optional("TARGET", "where in the home it goes", Value::HomePath),
    EXACT,
    DRY_RUN,
];
const RESTORE_FILE: Command = Command {
    name: "hestia schedule-restore-file",
    about: "let a file or folder be put back soon",
    examples: &["ghostsnap hestia schedule-restore-file alice latest 'My Files' 'My Files (old)'"],
    args: &arguments(FILE_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-restore-file",
        about: "let a file or folder be put back soon",
        example: "v-ghostsnap-schedule-restore-file alice latest web/example.com/public_html",
        args: &with_format::<6, 7>(FILE_ARGS),
        ..SHIM
    }],
    ..SCHEDULE
};

const MAIL_ACCOUNT_ARGS: [ShimArg; 5] =
    [USER, SNAPSHOT, must("ACCOUNT", "the address, ACCOUNT@DOMAIN", Value::Text), EXACT, DRY_RUN];
const RESTORE_MAIL_ACCOUNT: Command = Command {
    name: "hestia schedule-restore-mail-account",
    about: "let a mail account be brought back soon",
    examples: &["ghostsnap hestia schedule-restore-mail-account alice latest info@example.com"],
    args: &arguments(MAIL_ACCOUNT_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-restore-mail-account",
        about: "let a mail account be brought back soon",
        example: "v-ghostsnap-schedule-restore-mail-account alice latest info@example.com",
        args: &with_format::<5, 6>(MAIL_ACCOUNT_ARGS),
        ..SHIM
    }],
    ..SCHEDULE
};

const UNDO_ARGS: [ShimArg; 4] = [
    USER,
    must("RESTORE", "the restore: its name or id, or `latest`", Value::Text).check("snapshot"),
    NOTIFY,
    DRY_RUN,
];
const UNDO: Command = Command {
    name: "hestia schedule-undo-restore",
    about: "let a restore be undone soon",
    examples: &["ghostsnap hestia schedule-undo-restore alice latest"],
    args: &arguments(UNDO_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-undo-restore",
        about: "let a restore be undone soon",
        example: "v-ghostsnap-schedule-undo-restore alice latest",
        args: &with_format::<4, 5>(UNDO_ARGS),
        ..SHIM
    }],
    ..SCHEDULE
};

const EXPORT_ARGS: [ShimArg; 2] = [USER, SNAPSHOT];
const EXPORT: Command = Command {
    name: "hestia schedule-export",
    about: "let a Hestia tarball be made of a snapshot soon",
    examples: &["ghostsnap hestia schedule-export alice latest"],
    args: &arguments(EXPORT_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-user-export",
        about: "let a Hestia tarball be made of a snapshot soon",
        example: "v-ghostsnap-schedule-user-export alice latest",
        args: &with_format::<2, 3>(EXPORT_ARGS),
        ..SHIM_GONE
    }],
    ..SCHEDULE
};

const DOWNLOAD_ARGS: [ShimArg; 4] = [
    USER,
    SNAPSHOT,
    must("PATH", "a file or folder in the user's home", Value::HomePath),
    optional("FORM", "`auto`, `raw`, `zip` or `tar.zst`", Value::Text),
];
const DOWNLOAD: Command = Command {
    name: "hestia schedule-download-file",
    about: "let a file or folder be made ready for download soon",
    examples: &["ghostsnap hestia schedule-download-file alice latest 'My Files' zip"],
    args: &arguments(DOWNLOAD_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-download-user-file",
        about: "let a file or folder be made ready for download soon",
        details: "Returns at once with the id of the job; RESULT of v-ghostsnap-list-user-job USER \
                  JOB names the file when it is there.",
        example: "v-ghostsnap-schedule-download-user-file alice latest 'My Files' zip",
        args: &with_format::<4, 5>(DOWNLOAD_ARGS),
        ..SHIM_GONE
    }],
    ..SCHEDULE
};

const VERIFY_ARGS: [ShimArg; 2] = [USER, ShimArg { required: false, ..SNAPSHOT }];
const VERIFY: Command = Command {
    name: "hestia schedule-verify",
    about: "let a backup of a user be proven soon",
    details: "Takes what v-ghostsnap-verify-user-backup takes: the newest without SNAPSHOT.",
    examples: &["ghostsnap hestia schedule-verify alice"],
    args: &arguments(VERIFY_ARGS),
    shims: &[Shim {
        name: "v-ghostsnap-schedule-user-verify",
        about: "let a backup of a user be proven soon",
        example: "v-ghostsnap-schedule-user-verify alice",
        role: Role::Admin,
        args: &with_format::<2, 3>(VERIFY_ARGS),
        ..SHIM_GONE
    }],
    ..SCHEDULE
};

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    #[test]
    fn a_scheduled_command_takes_the_words_of_the_command_it_will_be() {
        for (name, target, _) in TARGETS {
            let row = table::command(name).unwrap();
            let (_, target) = table::shim(target).unwrap();
            for (arg, theirs) in row.args.iter().zip(target.args) {
                assert_eq!(arg.required, theirs.required, "{name} {}", arg.name);
                let is_choice = matches!(theirs.value, Value::Choice(_));
                assert!(is_choice || arg.value == theirs.value, "{name} {}", arg.name);
            }
            let rest = target.args.get(row.args.len()..).unwrap_or_default();
            assert!(row.args.len() <= target.args.len() && rest.iter().all(|arg| !arg.required));
            for shim in row.shims {
                assert_eq!(shim.owner, target.owner, "{name}");
            }
        }
    }

    #[test]
    fn every_command_of_the_queue_that_hands_over_has_its_target() {
        let hands_over = |one: &&Command| one.name.starts_with("hestia schedule-");
        for row in QUEUE.iter().filter(hands_over) {
            assert!(TARGETS.iter().any(|(name, ..)| *name == row.name), "{}", row.name);
        }
        for name in FOR_EVERYBODY {
            assert!(table::shim(name).is_some(), "{name}");
        }
    }
}
