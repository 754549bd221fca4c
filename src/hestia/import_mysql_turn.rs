// SPDX-License-Identifier: MIT
//! One step of an import of MySQL at a time. A client outlives us if we are killed, and the server
//! goes on with what it was told: each script of an import takes a lock with the import's name
//! first ([`DatabaseServer::in_turn`]), so whoever brings a killed import to an end finds the
//! session that is still at it, ends it, and waits until it is gone.
//!
//! And the wait for those who use the tables, which comes before anything is taken off them.

use super::database::DatabaseServer;
use super::import_mysql::quoted;
use crate::base::{Error, Kind, Result, World, limits};
use std::collections::BTreeSet;
use std::time::Duration;

/// Ends the sessions of an import that does not run any more. Says whether all of them are gone.
pub(super) fn end_sessions(server: &DatabaseServer, name: &str) -> Result<bool> {
    let what = "end what a killed restore left running";
    let query = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND \
         (ID = IS_USED_LOCK('{name}') OR USER = '{name}' OR (INFO LIKE '%GET_LOCK(''{name}''%' \
         AND USER NOT IN ('system user', 'event_scheduler')));\n"
    );
    // Servers live in real time, whatever clock the rest of the run has.
    let world = World::system();
    let started = world.ticks();
    loop {
        let sessions = server.ask_text(what, None, &query)?;
        let sessions: Vec<u64> = sessions.lines().filter_map(|id| id.trim().parse().ok()).collect();
        if sessions.is_empty() {
            return Ok(true);
        }
        let waited = world.ticks().saturating_sub(started);
        if waited > Duration::from_secs(limits::TABLE_LOCK_SECONDS) {
            return Ok(false);
        }
        for id in sessions {
            // It may have ended by itself since.
            drop(server.ask(what, None, &format!("KILL {id};\n")));
        }
        world.sleep(Duration::from_millis(200));
    }
}

/// Waits until nobody is in the middle of something with these tables. What comes after it waits
/// no longer than [`limits::TABLE_STEP_SECONDS`] for each, as then keys, triggers and views are
/// off.
pub(super) fn wait_for<'t>(
    server: &DatabaseServer,
    database: &str,
    tables: impl Iterator<Item = &'t String>,
) -> Result<()> {
    let tables: BTreeSet<&String> = tables.collect();
    if tables.is_empty() {
        return Ok(());
    }
    let lock = |table: &&String| format!("`{database}`.{} WRITE", quoted(table));
    let locks: Vec<String> = tables.iter().map(lock).collect();
    let sql = format!(
        "SET NAMES utf8mb4;\nSET lock_wait_timeout = {};\nLOCK TABLES {};\nUNLOCK TABLES;\n",
        limits::TABLE_LOCK_SECONDS,
        locks.join(", ")
    );
    match server.ask("wait for those who use the tables", None, &sql) {
        Err(error) if error.one_line().contains("ERROR 1205 ") => {
            let why = format!("somebody uses them for longer than {}", limits::TABLE_LOCK_SECONDS);
            Err(Error::new(Kind::Db, "wait for those who use the tables")
                .why(format!("{why} seconds; nothing was changed"))
                .hint("SHOW FULL PROCESSLIST names the connection; try again when it has ended"))
        }
        // A table whose trigger is broken cannot be locked: its change of places decides.
        _ => Ok(()),
    }
}
