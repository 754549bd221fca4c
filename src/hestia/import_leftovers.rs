// SPDX-License-Identifier: MIT
//! What an import leaves on a server that was killed: a temporary database and account, and old
//! tables or an old database put aside. Each import says on the server whose it is, where no
//! customer can write. Whoever holds the lock of that user knows that it does not run any more,
//! and brings it to an end: before the change of places the old state is completed, after it the
//! new one. Nothing that is in its place is ever replaced here, and nothing goes that is needed.

use super::database::{DatabaseRow, DatabaseServer};
use super::import::{Import, Purpose, Scratch};
use super::inventory::DbKind;
use super::{import_mysql_marker, import_mysql_turn, import_pgsql};
use crate::base::{Error, Kind, Monitor, Result, World, limits};

/// Brings to an end what killed imports of one user left on a server. `rows` are the user's
/// databases there. Says what it did; what it must leave alone is a warning. Fails with
/// [`Kind::InUse`] if the server is still at work on one: nothing may be done beside it.
pub fn finish(
    server: &DatabaseServer,
    whose: &str,
    rows: &[DatabaseRow],
    world: &World,
    monitor: &dyn Monitor,
) -> Result<Vec<String>> {
    let (mut told, mut busy) = (Vec::new(), None);
    for left in found(server, whose)? {
        let what = format!("clean up after a restore of {} that was killed", left.target);
        let Some(row) = rows.iter().find(|row| row.name == left.target) else {
            let aside = left.scratch(world)?.aside;
            let why = format!("Hestia does not list it any more; {aside} is left");
            monitor.warn(Error::new(Kind::Db, what).why(why));
            continue;
        };
        let scratch = left.scratch(world)?;
        let import = Import {
            target: row,
            exists: true,
            table: None,
            siblings: &[],
            whose,
            options: super::database::RunOptions::default(),
            purpose: Purpose::Restore,
            orphans: super::import::Orphans::Refuse,
        };
        if is_busy(server, &scratch, &left.id)? {
            let error = Error::new(Kind::InUse, what).why("the server is still at it");
            busy = busy.or(Some(error.hint("try again when it has ended")));
            continue;
        }
        let done = match server.kind {
            DbKind::Mysql => {
                let server = server.in_turn(&scratch.name);
                import_mysql_marker::finish(&server, &import, &scratch)
            }
            DbKind::Pgsql => import_pgsql::finish(server, &import, &scratch),
        };
        match done {
            Ok(end) => told.push(format!("{}: {end}", left.target)),
            Err(error) => monitor.warn(error.within(what)),
        }
    }
    busy.map_or(Ok(told), Err)
}

/// What one import left.
pub(super) struct Left {
    /// The digits in its names.
    id: String,
    /// The database it was about.
    pub(super) target: String,
}

/// How the marker of a rehearsal begins.
pub(super) const REHEARSAL: &str = "rehearsal of ";

impl Left {
    pub(super) fn scratch(&self, world: &World) -> Result<Scratch> {
        let new = Scratch::new(world)?;
        let (name, aside) = (format!("ghostsnap{}", self.id), format!("ghostsnapold{}", self.id));
        Ok(Scratch { name, aside, ..new })
    }
}

/// What imports of this user left: those alone that say so.
pub(super) fn found(server: &DatabaseServer, whose: &str) -> Result<Vec<Left>> {
    let answer = match server.kind {
        DbKind::Mysql => import_mysql_marker::markers(server)?,
        DbKind::Pgsql => import_pgsql::markers(server)?,
    };
    let mut all = Vec::new();
    for (name, text) in answer.into_iter().take(limits::HESTIA_OBJECTS_MAX) {
        let id = name.strip_prefix("ghostsnapold").or_else(|| name.strip_prefix("ghostsnap"));
        let is_id = |id: &&str| {
            id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let target = text.strip_prefix(whose).and_then(|rest| rest.strip_prefix(": "));
        if let (Some(id), Some(target)) = (id.filter(is_id), target) {
            all.push(Left { id: id.to_owned(), target: target.to_owned() });
        }
    }
    Ok(all)
}

/// Whether the server still works at a statement of that import: its client outlives us. What its
/// own account still does is ended.
fn is_busy(server: &DatabaseServer, scratch: &Scratch, id: &str) -> Result<bool> {
    let (what, name) = ("look whether the server is still at it", &scratch.name);
    let ending = "end what a killed restore still does";
    if server.kind == DbKind::Mysql {
        // The account first, or events of the dump go on beginning in its name.
        let host = server.account_host();
        server.ask(ending, None, &format!("DROP USER IF EXISTS `{name}`@`{host}`;\n"))?;
        return Ok(!import_mysql_turn::end_sessions(server, name)?);
    }
    // Anybody can write the digits into a statement, but not as the administrator.
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND \
         ((usename = current_user AND state <> 'idle' AND query LIKE '%{id}%') \
         OR usename = '{name}');\n"
    );
    if server.ask_number(what, None, &query)? == 0 {
        return Ok(false);
    }
    let end = format!(
        "ALTER ROLE \"{name}\" NOLOGIN;\n\
         SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE usename = '{name}';\nSELECT pg_sleep(1);\n"
    );
    // The account may be gone: what is still there then is not its own, and is waited for.
    drop(server.ask(ending, None, &end));
    Ok(server.ask_number(what, None, &query)? > 0)
}

/// What an import writes of itself on the server. A rehearsal is none of those that a restore
/// brings to an end.
pub(super) fn marker(import: &Import<'_>) -> String {
    let start = match import.purpose {
        Purpose::Restore => "",
        Purpose::Rehearsal => REHEARSAL,
    };
    format!("{start}{}: {}", import.whose, import.target.name)
}
