// SPDX-License-Identifier: MIT
//! The rows of the commands for programs that watch.

use super::monitoring;
use super::table::{Command, Flag, Value};
use super::table_hestia::LOOK;

/// The commands, in the order of the help.
pub const MONITORING: &[Command] = &[METRICS, CHECK_HEALTH];

const METRICS: Command = Command {
    name: "metrics",
    about: "print how well users and repositories are, for Prometheus",
    details: "In the text format of Prometheus: lights, ages, sizes, the last runs, checks and \
              prunes. With --output it goes into a file, which is replaced as a whole, for the \
              textfile collector of node_exporter; with `file` in `[metrics]` of the settings that \
              happens by itself after each run and every hour. Reads indexes, and no packs.",
    examples: &[
        "ghostsnap metrics",
        "ghostsnap metrics --output /var/lib/prometheus/node-exporter/ghostsnap.prom",
    ],
    flags: &[Flag::new("output", "write them into this file")
        .short('o')
        .value("FILE", Value::Path)],
    run: monitoring::metrics,
    ..LOOK
};

const CHECK_HEALTH: Command = Command {
    name: "hestia check-health",
    about: "say in one line how all is, with the exit codes of Nagios",
    details: "For Nagios, Icinga, Checkmk and their like, who call this and understand no other \
              codes: it ends with 0 if all is well, 1 if something is yellow, 2 if something is \
              red, and 3 if that cannot be told; unlike all other commands, whose codes are those \
              of Hestia. One line says what is wrong, and behind a bar how many users have which \
              light, and how old the oldest last complete backup is.",
    examples: &["ghostsnap hestia check-health"],
    run: monitoring::check_health,
    ..LOOK
};
