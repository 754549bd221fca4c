// SPDX-License-Identifier: MIT
//! Imports that are only rehearsed: what they count, and how what they made goes again, also after
//! one was killed. A rehearsal makes a database and an account of its own and nothing else: neither
//! a database nor an account that is there is changed, and nobody but it may use what it made.

use super::database::DatabaseServer;
use super::dump_text::Content;
use super::import::{Counted, Import, Rows, Scratch, numbers, plain_name};
use super::import_leftovers::{self, REHEARSAL, marker};
use super::inventory::DbKind;
use super::{import_mysql, import_mysql_marker, import_pgsql};
use crate::base::{Error, Kind, Monitor, Result, World, units};
use std::collections::BTreeSet;

/// Counts everything in a database, and compares it with what its dump should have made: all
/// tables of it here, where a restore is content with the last one.
pub(super) fn count(
    server: &DatabaseServer,
    database: &str,
    expected: &Content,
) -> Result<Counted> {
    let tables = match server.kind {
        DbKind::Mysql => import_mysql::live(server, database)?.tables,
        DbKind::Pgsql => import_pgsql::live(server, database)?.tables,
    };
    let all: Vec<&String> = tables.iter().collect();
    let mut counted = Counted { tables: units::bytes(all.len()), rows: 0 };
    if all.is_empty() {
        return Ok(counted);
    }
    let answer = match server.kind {
        DbKind::Mysql => import_mysql::rows(server, database, &all, |_| true)?,
        DbKind::Pgsql => import_pgsql::rows(server, database, &all)?,
    };
    for (name, found) in all.iter().zip(numbers(&answer, all.len())?) {
        let Rows::Counted(has) = found else { continue };
        counted.rows += has;
        let should = expected.tables.get(*name).copied().unwrap_or(0);
        if has < should {
            let name = plain_name(server.kind, name);
            let name = name.escape_debug();
            return Err(Error::new(Kind::Db, "import the dump")
                .why(format!("{name} has {has} of {should} rows")));
        }
    }
    Ok(counted)
}

/// The statements that make the account of a rehearsal on PostgreSQL: it owns what it makes and is
/// nobody else.
pub(super) fn pgsql_account(import: &Import<'_>, scratch: &Scratch) -> String {
    let Scratch { name, password, .. } = scratch;
    let marker = marker(import);
    format!(
        "BEGIN;\nCREATE ROLE \"{name}\" LOGIN PASSWORD '{password}';\n\
         COMMENT ON ROLE \"{name}\" IS '{marker}';\nCOMMIT;\n"
    )
}

/// Removes what a rehearsal made, whoever still uses it.
pub(super) fn remove(server: &DatabaseServer, scratch: &Scratch) -> Result<()> {
    let Scratch { name, .. } = scratch;
    match server.kind {
        DbKind::Mysql => {
            let what = "end what a rehearsal left running";
            let query = format!(
                "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{name}' OR \
                 (ID <> CONNECTION_ID() AND DB = '{name}');\n"
            );
            for id in server.ask_text(what, None, &query)?.lines() {
                if let Ok(id) = id.trim().parse::<u64>() {
                    // It may have ended by itself since.
                    drop(server.ask(what, None, &format!("KILL {id};\n")));
                }
            }
            import_mysql::clean_up(server, scratch, None)
        }
        DbKind::Pgsql => {
            let what = "remove the temporary database";
            let sql = format!(
                "DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE);\n\
                 SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE usename = '{name}';\nDROP ROLE IF EXISTS \"{name}\";\n"
            );
            server.ask(what, None, &sql).map(drop)
        }
    }
}

/// Whose rehearsals have left something on a server: as they said it there themselves.
pub fn left_by(server: &DatabaseServer) -> Result<BTreeSet<String>> {
    let markers = match server.kind {
        DbKind::Mysql => import_mysql_marker::markers(server)?,
        DbKind::Pgsql => import_pgsql::markers(server)?,
    };
    let whose = |text: &String| {
        let rest = text.strip_prefix(REHEARSAL)?;
        rest.rsplit_once(": ").map(|(whose, _)| whose.to_owned())
    };
    Ok(markers.iter().filter_map(|(_, text)| whose(text)).collect())
}

/// Removes what killed rehearsals left that say they are this one's; none of them may run any more.
/// Says of which databases they were.
pub fn finish(
    server: &DatabaseServer,
    whose: &str,
    world: &World,
    monitor: &dyn Monitor,
) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for left in import_leftovers::found(server, &format!("{REHEARSAL}{whose}"))? {
        match remove(server, &left.scratch(world)?) {
            Ok(()) => told.push(left.target),
            Err(error) => {
                let what = format!("clean up after a rehearsal of {} that was killed", left.target);
                monitor.warn(error.within(what));
            }
        }
    }
    Ok(told)
}
