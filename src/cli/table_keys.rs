// SPDX-License-Identifier: MIT
//! The rows of the commands about keys.

use super::engine_keys;
use super::table::{Arg, Column, Command, Effect, Flag, Holds, Shim, Value, col, wide};
use super::table_care::REPOSITORY_ARG;
use super::table_engine::LOOK;
use super::table_flags::{FORCE, SHIM_FORMAT};
use super::table_hestia::SHIM;

const CHANGED_KEY_COLUMNS: &[Column] = &[
    col("KEY", Holds::Id, "the slot's id"),
    col("LABEL", Holds::Text, "what its owner called it"),
    col("METHOD", Holds::Text, "password or key-file"),
];

const LABEL: Flag = Flag::new("label", "what to call the key").value("TEXT", Value::Text);
const NEW_PASSWORD_FILE: Flag =
    Flag::new("new-password-file", "take the new password from the first line of this file")
        .value("FILE", Value::Path);
const NEW_PASSWORD_COMMAND: Flag =
    Flag::new("new-password-command", "take the new password from the first line this prints")
        .value("COMMAND", Value::Text);
const NEW_KEY_FILE: Flag =
    Flag::new("new-key-file", "use this key file; a new one is made if it does not exist")
        .value("FILE", Value::Path);
const NEW_SECRET_FLAGS: &[Flag] = &[LABEL, NEW_PASSWORD_FILE, NEW_PASSWORD_COMMAND, NEW_KEY_FILE];

const KEY_COLUMNS: &[Column] = &[
    col("KEY", Holds::Id, "the slot's id"),
    col("LABEL", Holds::Text, "what its owner called it"),
    col("METHOD", Holds::Text, "password or key-file"),
    col("DATE", Holds::Text, "the day it was made, local time"),
    col("TIME", Holds::Text, "the time of that day"),
    col("MEMORY", Holds::Bytes, "memory one try of a password costs; empty for key files"),
    wide("PASSES", Holds::Count, "passes over that memory"),
    col("EPOCH", Holds::Count, "how often the keys were rotated before it was made"),
    col(
        "ACCESS",
        Holds::Text,
        "`full`; `write-only`: it adds backups and reads none; `none`: damaged, or put there by \
         somebody who has no key that opens everything",
    ),
];

const ROTATED_COLUMNS: &[Column] = &[
    col("KEY", Holds::Id, "the slot's id"),
    col("LABEL", Holds::Text, "what its owner called it"),
    col("METHOD", Holds::Text, "password or key-file"),
    col("RESULT", Holds::Text, "renewed, or removed"),
];

const TESTED_COLUMNS: &[Column] = &[
    col("KEY", Holds::Id, "the slot that it opens"),
    col("LABEL", Holds::Text, "what its owner called it"),
    col("SNAPSHOTS", Holds::Count, "how many snapshots can be listed with it"),
    col("DATE", Holds::Text, "the day of the newest, local time"),
    col("TIME", Holds::Text, "the time of that day"),
];

/// `key list`.
pub const LIST: Command = Command {
    name: "key list",
    about: "list the keys that open the repository",
    details: "",
    examples: &["ghostsnap key list -r /srv/backup"],
    columns: KEY_COLUMNS,
    run: engine_keys::list,
    shims: &[Shim {
        name: "v-ghostsnap-list-repository-keys",
        about: "list the keys that open a repository",
        details: "They are added, changed, rotated and removed with 'ghostsnap key' at a shell: \
                  whoever has the panel alone must not lock others out of the backups.",
        example: "v-ghostsnap-list-repository-keys offsite json",
        args: &[REPOSITORY_ARG, SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

/// `key add`.
pub const ADD: Command = Command {
    name: "key add",
    about: "add a password or key file",
    details: "Asks for a new password twice unless one of the options says where it is. With \
              --write-only the new key can add backups and neither read nor remove what is \
              stored, if the repository was made with 'init --write-only-keys': give that one to \
              the server, and keep this one elsewhere.",
    examples: &[
        "ghostsnap key add --label office",
        "ghostsnap key add --new-key-file /root/recovery.key --label recovery",
        "ghostsnap key add -r offsite --write-only --new-key-file server1.key --label server1",
    ],
    flags: &[
        LABEL,
        NEW_PASSWORD_FILE,
        NEW_PASSWORD_COMMAND,
        NEW_KEY_FILE,
        Flag::new("write-only", "the new key can add backups and not read them"),
    ],
    effect: Effect::Write,
    columns: CHANGED_KEY_COLUMNS,
    run: engine_keys::add,
    ..LOOK
};

/// `key change`.
pub const CHANGE: Command = Command {
    name: "key change",
    about: "replace the password or key file used now by another",
    details: "The new key is added first, then the old one is removed.",
    examples: &["ghostsnap key change -r /srv/backup"],
    flags: NEW_SECRET_FLAGS,
    effect: Effect::Write,
    columns: CHANGED_KEY_COLUMNS,
    run: engine_keys::change,
    ..LOOK
};

/// `key remove`.
pub const REMOVE: Command = Command {
    name: "key remove",
    about: "remove a key",
    details: "The last key cannot be removed. Asks first, or needs --force where there is \
              nobody to ask.",
    examples: &["ghostsnap key remove 3f9c2a1b --force"],
    args: &[Arg::new("KEY", "the slot's id or the beginning of one", Value::Text)],
    flags: &[FORCE],
    effect: Effect::Destroy,
    columns: CHANGED_KEY_COLUMNS,
    run: engine_keys::remove,
    ..LOOK
};

/// `key kit`.
pub const KIT: Command = Command {
    name: "key kit",
    about: "print a recovery kit: a page with a key of its own",
    details: "Adds a key and prints a page with it, as lines that can be typed and as a QR code, \
              and with what to do when the server is gone. Keep it in a safe or in a password \
              manager, never on the server alone. The page works as a --key-file. 'key test' \
              proves that it opens the repository; 'key remove' makes a page that was lost worthless.",
    examples: &["ghostsnap key kit -o kit.txt", "ghostsnap key kit -r offsite"],
    flags: &[
        Flag::new("output", "write it to this new file instead")
            .short('o')
            .value("FILE", Value::Path),
        Flag::new("label", "what to call its key").value("TEXT", Value::Text),
    ],
    effect: Effect::Write,
    run: engine_keys::kit,
    ..LOOK
};

/// `key test`.
pub const TEST: Command = Command {
    name: "key test",
    about: "prove that a key file, password file or recovery kit opens the repository",
    details: "Opens the repository with nothing but this file and the access to the store, lists \
              the snapshots and reads the newest one's root. A mistyped line of a kit is named.",
    examples: &["ghostsnap key test kit.txt -r offsite"],
    args: &[Arg::new("FILE", "the file to test", Value::Path)],
    columns: TESTED_COLUMNS,
    run: engine_keys::test,
    ..LOOK
};

/// `key rotate`.
pub const ROTATE: Command = Command {
    name: "key rotate",
    about: "seal everything from now on under new keys",
    details: "For when somebody may have kept the keys: a former administrator, a server that was \
              broken into. First add a new password or key file, remove the ones that are known to \
              others, then rotate: what is stored from now on opens only with the secrets given \
              here. Write-only keys must be given, too, to go on adding. What was stored before \
              stays readable, and each prune writes some of it anew under the new keys. A recovery \
              kit must be given, too, or be made again. Nobody else may be writing. If it is \
              interrupted, run it again.",
    examples: &[
        "ghostsnap key rotate --also kit.txt",
        "ghostsnap key rotate --drop-others --force",
    ],
    flags: &[
        Flag::new("also", "renew the key of this key file, password file or recovery kit as well")
            .value("FILE", Value::Path)
            .many(),
        Flag::new("drop-others", "remove the keys whose secrets are not given"),
        FORCE,
    ],
    effect: Effect::Destroy,
    columns: ROTATED_COLUMNS,
    run: engine_keys::rotate,
    ..LOOK
};
