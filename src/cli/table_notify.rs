// SPDX-License-Identifier: MIT
//! The rows of the commands that tell people how backups are.

use super::notify;
use super::table::{Arg, Column, Command, Effect, Flag, Holds, Shim, ShimArg, Value, col, wide};
use super::table_flags::SHIM_FORMAT;
use super::table_hestia::{LOOK, SHIM};

/// The commands, in the order of the help.
pub const NOTIFY: &[Command] = &[TELL, LIST, TEST];

const RECEIVER: &str = "a receiver, such as `panel` or the name of a webhook";

const SENT_COLUMNS: &[Column] = &[
    col("RECEIVER", Holds::Text, "who was told"),
    col("KIND", Holds::Text, "panel, mail, or what a webhook speaks"),
    col("STATE", Holds::Text, "`sent` or `failed`"),
    col("TITLE", Holds::Text, "what"),
    col("ERROR", Holds::Text, "why it could not be sent; it is tried again by the next run"),
];

const COLUMNS: &[Column] = &[
    col("RECEIVER", Holds::Text, "who is told"),
    col("KIND", Holds::Text, "panel, mail, or what a webhook speaks"),
    col("USER", Holds::Text, "the customer whose news these are; empty for the administrator's"),
    col("STATE", Holds::Text, "`well`, `failing`, or empty as long as there was nothing to tell"),
    col("DATE", Holds::Text, "the day on which something arrived last, local time"),
    wide("TIME", Holds::Text, "the time of that day"),
    col("OPEN", Holds::Count, "troubles that were told and are not over"),
    col("ERROR", Holds::Text, "why nothing arrives"),
    wide("SINCE", Holds::Text, "since when nothing arrives, local time"),
];

const TEST_COLUMNS: &[Column] = &[
    col("RECEIVER", Holds::Text, "who was told"),
    col("KIND", Holds::Text, "panel, mail, or what a webhook speaks"),
    col("STATE", Holds::Text, "`sent` or `failed`"),
    col("ERROR", Holds::Text, "why it could not be sent"),
];

const TELL: Command = Command {
    name: "hestia notify",
    about: "tell people what is wrong with backups, and what is over",
    details: "Looks at all users and repositories and tells whoever the settings name what is new, \
              what is still wrong after `again_hours`, and what is over; and sends summaries that \
              are due. The same happens after each backup, check and rehearsal; a timer does it \
              every hour, so that a night without any backup is told as well. What could not be \
              sent is sent by the next run.",
    examples: &["ghostsnap hestia notify"],
    flags: &[Flag::new(
        "behind",
        "as after a run: only the log hears what goes wrong, and nobody is waited for",
    )],
    effect: Effect::Write,
    columns: SENT_COLUMNS,
    run: notify::notify,
    ..LOOK
};

const LIST: Command = Command {
    name: "hestia notifications",
    about: "list who is told how backups are",
    details: "Receivers that the settings name, and whether what was sent has arrived. Addresses of \
              webhooks are secrets and not shown. A mail counts as arrived once Hestia has taken it.",
    examples: &["ghostsnap hestia notifications"],
    columns: COLUMNS,
    run: notify::list,
    shims: &[Shim {
        name: "v-ghostsnap-list-notifications",
        about: "list who is told how backups are",
        details: "And whether it arrives.",
        example: "v-ghostsnap-list-notifications json",
        args: &[SHIM_FORMAT],
        ..SHIM
    }],
    ..LOOK
};

const TEST: Command = Command {
    name: "hestia test-notification",
    about: "send a test message",
    details: "To all receivers of the administrator, or to one. With --user to those of a customer. \
              Hestia's own way of sending mail says that all is well whatever becomes of a mail, \
              so look into the mailbox.",
    examples: &[
        "ghostsnap hestia test-notification",
        "ghostsnap hestia test-notification ops",
        "ghostsnap hestia test-notification --user alice",
    ],
    args: &[Arg::new("RECEIVER", RECEIVER, Value::Text).optional()],
    flags: &[Flag::new("user", "to this customer").value("USER", Value::Text)],
    effect: Effect::Write,
    columns: TEST_COLUMNS,
    run: notify::test,
    shims: &[Shim {
        name: "v-ghostsnap-test-notification",
        about: "send a test message",
        details: "To all receivers of the administrator, or to one.",
        example: "v-ghostsnap-test-notification ops",
        args: &[
            ShimArg::new("RECEIVER", "RECEIVER", RECEIVER, Value::Text).optional(),
            SHIM_FORMAT,
        ],
        ..SHIM
    }],
    ..LOOK
};
