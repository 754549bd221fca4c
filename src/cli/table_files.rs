// SPDX-License-Identifier: MIT
//! The rows of the commands for single files, folders and mail accounts of Hestia users, and the
//! panel's commands that end in them.

use super::files;
use super::table::{Arg, Command, Effect, Value};

/// The commands, in the order of the help.
pub const FILES: &[Command] = &[ACT_AS];

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
