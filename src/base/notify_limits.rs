// SPDX-License-Identifier: MIT
//! The bounds of notifications, as `limits.rs` holds those of everything else.

/// Webhooks, pings and mail addresses of the administrator: people read them all.
pub const TARGETS_MAX: usize = 20;
/// How long one request of a notification may take.
pub const REQUEST_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
/// How often one is tried, with [`PAUSE`] after the first time and three times as much after
/// each further one.
pub const TRIES: u32 = 3;
/// See [`TRIES`].
pub const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// How long the pings at the end of a run may take, all at the same time.
pub const RUN_WAIT: std::time::Duration = std::time::Duration::from_secs(40);
/// How long a run waits for the process that tells people. What takes longer goes on without it.
pub const PASS_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
/// How often it looks.
pub const PASS_LOOK: std::time::Duration = std::time::Duration::from_millis(20);
/// How long messages may take; what is left is sent by the next one.
pub const TIMER_WAIT: std::time::Duration = std::time::Duration::from_secs(600);
/// How long a command of Hestia may take that hands a mail or a notification over.
pub const CALL_WAIT: std::time::Duration = std::time::Duration::from_secs(30);
/// What a receiver may answer: nobody reads more than its status.
pub const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// How long one waits for another who sends.
pub const LOCK_WAIT: std::time::Duration = std::time::Duration::from_secs(70);
/// What is remembered of what was told: some hundred bytes for each trouble of each receiver.
pub const TOLD_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Lines of a message: nobody reads more of them.
pub const LINES_MAX: usize = 25;
/// Users that one line of a message names.
pub const USERS_NAMED: usize = 10;
/// Letters of one line.
pub const LINE_LETTERS: usize = 400;
