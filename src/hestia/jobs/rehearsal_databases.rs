// SPDX-License-Identifier: MIT
//! The databases of a rehearsal: each dump goes into a throw-away database of a server on this
//! machine, is counted there, and goes again. The user's own databases and accounts are not
//! touched. What cannot be tried here is read to its closing line all the same, and said.

use super::database_plan::Stored;
use super::{Server, databases_in_place};
use crate::base::monitor::Stage;
use crate::base::units::ByteSize;
use crate::base::{Error, Kind, Monitor, Result, WhatIo, Within, limits};
use crate::format::Snapshot;
use crate::hestia::call::ToTheEnd;
use crate::hestia::conf;
use crate::hestia::database::{DatabaseRow, DatabaseServer, RunOptions};
use crate::hestia::dump_text::Watch;
use crate::hestia::import::{self, Counted, Import, Orphans, Purpose};
use crate::hestia::inventory::DbKind;
use crate::hestia::layout::UserName;
use crate::hestia::userlock::UserLock;
use crate::hestia::{dump, import_rehearsal};
use crate::ops::restore::FileReader;
use crate::repo::Reader;
use std::collections::BTreeSet;
use std::io::{self, Read};

/// What became of a dump.
pub(super) enum Tried {
    /// It was imported and counted.
    Counted(Counted),
    /// It is whole as far as it can be told without a server.
    Skipped(String),
    /// It cannot be restored.
    Failed(Error),
}

/// Whose databases are rehearsed.
#[derive(Clone, Copy)]
pub(super) struct Databases<'s> {
    pub server: &'s Server,
    pub reader: &'s Reader<'s>,
    pub snapshot: &'s Snapshot,
    pub user: &'s UserName,
    /// All databases in the snapshot.
    pub names: &'s [String],
    /// Why none is to be imported, if so.
    pub without: Option<&'s str>,
}

impl Databases<'_> {
    /// Tries one. Returns how many bytes its dump has. Fails only where the whole must end.
    pub fn try_one(&self, name: &str, monitor: &dyn Monitor) -> Result<(u64, Tried)> {
        monitor.stage(Stage::Object(format!("database {name}")));
        let stored = match Stored::find(self.reader, self.snapshot, name) {
            Ok(stored) => stored,
            Err(error) => return settle(Err(error)).map(|tried| (0, tried)),
        };
        let path = format!("db/{name}/{}", dump::file_name(&stored.database));
        let size = stored.dump.meta.size;
        let why_not = match self.without {
            Some(why) => Err(why.to_owned()),
            None => place_for(self.server, &stored.database, size, monitor),
        };
        let tried = match why_not {
            Ok(place) => self.import(&stored, &place, monitor),
            Err(why) => self.read(&stored, monitor).map(|()| Tried::Skipped(why)),
        };
        let tried = settle(tried.within(|| format!("read {path}")))?;
        Ok((size, tried))
    }

    fn import(
        &self,
        stored: &Stored,
        place: &DatabaseServer,
        monitor: &dyn Monitor,
    ) -> Result<Tried> {
        let whose = databases_in_place::whose(self.server, self.user);
        let exists = is_there(place, &stored.database.name)?;
        let siblings = self.siblings(&stored.database, place);
        let import = Import {
            target: &stored.database,
            exists,
            table: None,
            siblings: &siblings,
            whose: &whose,
            options: RunOptions {
                low_priority: self.server.settings.low_priority,
                stop: monitor.stop(),
            },
            purpose: Purpose::Rehearsal,
            orphans: Orphans::Refuse,
        };
        let mut dump = FileReader::proving(self.reader, &stored.dump)?;
        let done = import::run(place, &import, &mut dump, &self.server.world, &ToTheEnd(monitor));
        match done {
            Ok(done) => Ok(Tried::Counted(done.counted.unwrap_or_default())),
            Err(error) => match self.why_not_here(&error, (&stored.database, place), &siblings) {
                Some(why) => self.read(stored, monitor).map(|()| Tried::Skipped(why)),
                None => Err(error),
            },
        }
    }

    /// Whether an import failed for what this machine lacks, and not the dump.
    fn why_not_here(
        &self,
        error: &Error,
        (database, place): (&DatabaseRow, &DatabaseServer),
        siblings: &[String],
    ) -> Option<String> {
        let text = error.one_line();
        match error.kind() {
            Kind::Disabled => return Some(text),
            Kind::Db => {}
            _ => return None,
        }
        // A server that went away meanwhile says nothing about the dump.
        if place.ask("ask whether the server is there", None, "SELECT 1;\n").is_err() {
            return Some(format!("the server does not answer any more: {text}"));
        }
        // A view may look into another database of the account. A restore brings that too.
        let is_elsewhere = |name: &&String| {
            **name != database.name && !siblings.contains(name) && text.contains(name.as_str())
        };
        let other = self.names.iter().find(is_elsewhere)?;
        Some(format!("it looks into {other}, which is not on this server: {text}"))
    }

    /// Reads a dump to its closing line.
    fn read(&self, stored: &Stored, monitor: &dyn Monitor) -> Result<()> {
        let mut dump = FileReader::proving(self.reader, &stored.dump)?;
        let mut watch = Watch::new(&mut dump, stored.database.kind);
        let mut piece = vec![0; 256 * 1024];
        loop {
            crate::base::monitor::check_cancelled(monitor)?;
            match watch.read(&mut piece) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => drop(read.what_io(|| "read the dump")?),
            }
        }
        if watch.finish()?.is_whole {
            return Ok(());
        }
        Err(Error::new(Kind::Db, "read the dump")
            .why("its closing line is missing, so it is not whole"))
    }

    /// The live databases of the same account, which a view in the dump may look into.
    fn siblings(&self, database: &DatabaseRow, place: &DatabaseServer) -> Vec<String> {
        let path = self.server.hestia.user_file(self.user, "db.conf");
        // A user who is gone has none.
        let rows = conf::read_rows(&path).map(|found| found.rows).unwrap_or_default();
        let rows = rows.iter().filter_map(|row| DatabaseRow::parse(row).ok());
        let same = rows.filter(|row| {
            (row.kind, &row.user) == (database.kind, &database.user) && row.host == place.host
        });
        same.map(|row| row.name).filter(|name| *name != database.name).collect()
    }
}

/// What is wrong with a dump is its own trouble; anything else ends the whole.
fn settle(tried: Result<Tried>) -> Result<Tried> {
    match tried {
        Err(error) => match error.kind() {
            Kind::Cancelled | Kind::Connect | Kind::Forbidden | Kind::Password => Err(error),
            _ => Ok(Tried::Failed(error)),
        },
        tried => tried,
    }
}

fn is_there(server: &DatabaseServer, name: &str) -> Result<bool> {
    let table = match server.kind {
        DbKind::Mysql => "information_schema.SCHEMATA WHERE SCHEMA_NAME",
        DbKind::Pgsql => "pg_database WHERE datname",
    };
    let query = format!("SELECT COUNT(*) FROM {table} = '{name}';\n");
    Ok(server.ask_number(&format!("look for the database {name}"), None, &query)? > 0)
}

/// Whether a server's address means this machine.
fn is_here(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

/// The server on this machine on which a database can be tried, or why there is none.
fn place_for(
    server: &Server,
    database: &DatabaseRow,
    dump_bytes: u64,
    monitor: &dyn Monitor,
) -> Result<DatabaseServer, String> {
    let host = if is_here(&database.host) { &database.host } else { "localhost" };
    let kind = database.kind;
    let found = DatabaseServer::find(&server.hestia, kind, host)
        .map_err(|_| format!("Hestia knows no {} server on this machine", kind.word()))?;
    let found = found.hearing(&monitor.stop());
    let query = match kind {
        DbKind::Mysql => "SELECT @@datadir;\n",
        DbKind::Pgsql => "SHOW data_directory;\n",
    };
    let folder = found.ask_text("ask the server where it keeps its data", None, query);
    let folder =
        folder.map_err(|error| format!("the server does not answer: {}", error.one_line()))?;
    let needs = dump_bytes.saturating_mul(limits::REHEARSAL_SPACE_TIMES);
    let needs = needs.saturating_add(limits::REHEARSAL_SPACE_BYTES);
    match free_bytes(folder.trim()) {
        Some(free) if free < needs => Err(format!(
            "the disk of the server has {} free, and up to {} may be needed",
            ByteSize(free),
            ByteSize(needs)
        )),
        _ => Ok(found),
    }
}

/// What is free on the disk of a folder, if that can be told: a server in a container of its own
/// has another one.
fn free_bytes(folder: &str) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// Removes what killed rehearsals left on the servers of this machine, of whichever user: of those
/// who are not being rehearsed at this moment. `held` is the one whose lock the caller has.
pub(super) fn finish_killed(server: &Server, held: Option<&UserName>, monitor: &dyn Monitor) {
    for (kind, host) in servers_here(server) {
        let done = DatabaseServer::find(&server.hestia, kind, &host).and_then(|found| {
            let left = import_rehearsal::left_by(&found)?;
            finish_on(server, &found, &left, held, monitor)
        });
        // A server that cannot be asked is said by whoever needs it.
        drop(done);
    }
}

fn finish_on(
    server: &Server,
    found: &DatabaseServer,
    left: &BTreeSet<String>,
    held: Option<&UserName>,
    monitor: &dyn Monitor,
) -> Result<()> {
    for whose in left.iter().take(limits::HESTIA_OBJECTS_MAX) {
        let Some((user, _)) = whose.split_once(" on ") else { continue };
        let Ok(user) = UserName::parse(user) else { continue };
        if *whose != databases_in_place::whose(server, &user) {
            continue;
        }
        // Whoever holds the lock is at work on it.
        let lock = if held == Some(&user) { None } else { Some(lock(server, &user)) };
        if matches!(lock, Some(Err(_))) {
            continue;
        }
        for database in import_rehearsal::finish(found, whose, &server.world, monitor)? {
            let text = format!("removed what a killed rehearsal of {database} had left");
            monitor.stage(Stage::Note(text));
        }
    }
    Ok(())
}

/// One rehearsal of a user at a time; backups and restores go on meanwhile.
pub(super) fn lock(server: &Server, user: &UserName) -> Result<UserLock> {
    UserLock::take(&server.settings.run_folder.join("rehearsals"), user, "a rehearsal")
}

/// The database servers of this machine that Hestia knows.
fn servers_here(server: &Server) -> Vec<(DbKind, String)> {
    let mut found = Vec::new();
    for kind in [DbKind::Mysql, DbKind::Pgsql] {
        let path = server.hestia.conf(&format!("{}.conf", kind.word()));
        // Hestia has none of an engine that it does not know.
        let rows = conf::read_rows(&path).map(|read| read.rows).unwrap_or_default();
        let hosts = rows.iter().map(|row| row.text("HOST").to_owned());
        found.extend(hosts.filter(|host| is_here(host)).map(|host| (kind, host)));
    }
    found
}
