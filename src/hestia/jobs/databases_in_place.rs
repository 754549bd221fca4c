// SPDX-License-Identifier: MIT
//! The databases of a restored user, each straight to its place. One that fails stays as it was and
//! stops no other.

use super::Server;
use super::filter::Facts;
use super::restore_database::{self, DatabaseJob, Order, Package};
use crate::base::monitor::Stage;
use crate::base::{Error, Kind, Monitor, Result};
use crate::format::snapshot::Object;
use crate::hestia::call::ToTheEnd;
use crate::hestia::conf;
use crate::hestia::database::{DatabaseRow, DatabaseServer};
use crate::hestia::import::Orphans;
use crate::hestia::import_leftovers;
use crate::hestia::inventory::DbKind;
use crate::hestia::layout::UserName;
use std::collections::{BTreeMap, BTreeSet};

/// Restores them. Returns what went wrong with each, if anything did.
pub(super) fn place(
    job: &DatabaseJob<'_>,
    facts: &Facts,
    monitor: &dyn Monitor,
) -> BTreeMap<Object, Option<String>> {
    // Half a user is worse than a late stop.
    let monitor = &ToTheEnd(monitor);
    let mut placed = BTreeMap::new();
    let mut waiting: Vec<&str> = facts.of("DB").collect();
    // A view may look into another database of its account. Where that is yet to come, the second
    // round finds it.
    for is_last in [false, true] {
        let (mut again, mut has_new) = (Vec::new(), false);
        for name in std::mem::take(&mut waiting) {
            monitor.stage(Stage::Object(format!("database {name}")));
            let order = Order {
                database: name,
                table: None,
                new_name: None,
                package: Package::Yields,
                orphans: Orphans::Refuse,
            };
            let done = restore_database::into_place(job, &order, monitor);
            let done = done.map_err(|failure| failure.error);
            match &done {
                Ok(done) => has_new |= done.created,
                Err(error) if error.kind() == Kind::Db && !is_last => again.push(name),
                Err(_) => {}
            }
            let problem = done.err().map(|error| problem(&error));
            let object = Object { section: "DB".to_owned(), name: name.to_owned() };
            placed.insert(object, problem);
        }
        if has_new {
            waiting = again;
        }
    }
    placed
}

/// Whose imports are those of this user: the user and this machine.
pub(super) fn whose(server: &Server, user: &UserName) -> String {
    format!("{user} on {}", server.world.host().replace(['\'', '\\', '\n'], ""))
}

/// Brings to an end what killed restores of this user left on database servers. The user's lock
/// is held, so none of them runs any more. Fails if a server is still at work on one.
pub(super) fn finish_killed(server: &Server, user: &UserName, monitor: &dyn Monitor) -> Result<()> {
    let mut busy = None;
    let path = server.hestia.user_file(user, "db.conf");
    let rows = conf::read_rows(&path).map(|found| found.rows).unwrap_or_default();
    let rows: Vec<DatabaseRow> =
        rows.iter().filter_map(|row| DatabaseRow::parse(row).ok()).collect();
    let places: BTreeSet<(&str, &str)> =
        rows.iter().map(|row| (row.kind.word(), row.host.as_str())).collect();
    for (word, host) in places {
        let Some(kind) = DbKind::parse(word) else { continue };
        let here = rows.iter().filter(|row| row.kind == kind && row.host == host);
        let here: Vec<DatabaseRow> = here.cloned().collect();
        let done = DatabaseServer::find(&server.hestia, kind, host).and_then(|found| {
            let whose = whose(server, user);
            import_leftovers::finish(&found, &whose, &here, &server.world, monitor)
        });
        match done {
            Err(error) if error.kind() == Kind::InUse => busy = busy.or(Some(error)),
            // A server that cannot be asked is said by whoever needs it.
            done => {
                for one in done.unwrap_or_default() {
                    monitor.stage(Stage::Note(format!("after a restore that was killed: {one}")));
                }
            }
        }
    }
    busy.map_or(Ok(()), Err)
}

/// An import that fails leaves the old one as it was, or says that it could not.
fn problem(error: &Error) -> String {
    let why = error.one_line();
    let is_said = why.contains("not as it was");
    if is_said { why } else { format!("not restored: {why}; it is as it was") }
}
