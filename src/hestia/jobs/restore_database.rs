// SPDX-License-Identifier: MIT
//! Gives one database back, or one table of it, into its place or beside it, straight from the
//! repository and without Hestia's own restore: the dump is streamed into the server as it is
//! read, through an account that can harm nobody, and only what came whole takes the old one's
//! place (see [`crate::hestia::import`]).

use super::database_plan::{Plan, Stored};
use super::report::Gather;
use super::safety::{self, Intent, Safety};
use super::{News, Server, databases_in_place, manage};
use crate::base::monitor::Stage;
use crate::base::{Error, FileId, Kind, Monitor, Result, Within, units};
use crate::format::Snapshot;
use crate::format::snapshot::Object;
use crate::hestia::call::{Call, ToTheEnd};
use crate::hestia::conf;
use crate::hestia::database::{DatabaseRow, DatabaseServer, RunOptions};
use crate::hestia::import::{self, Import, Orphans, Purpose};
use crate::hestia::import_trace::{self, Failure};
use crate::hestia::inventory::{self, DbKind};
use crate::hestia::layout::UserName;
use crate::hestia::mysql_maker;
use crate::ops::restore::FileReader;
use crate::repo::{IndexedRepository, Reader};

/// Whose databases are given back, and from what. The user's lock is held by whoever has one.
#[derive(Clone, Copy)]
pub(super) struct DatabaseJob<'s> {
    /// The machine.
    pub server: &'s Server,
    /// Where the snapshot is.
    pub repository: &'s IndexedRepository,
    /// The snapshot.
    pub snapshot: &'s Snapshot,
    /// The user they are for, who is there and not suspended.
    pub user: &'s UserName,
    /// The user they were backed up from.
    pub from: &'s UserName,
}

/// Which database, and what of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'o> {
    /// The database as the snapshot names it.
    pub database: &'o str,
    /// One table of it; all of it without.
    pub table: Option<&'o str>,
    /// Another name, beside the original.
    pub new_name: Option<&'o str>,
    /// What the number of databases in the user's package means.
    pub package: Package,
    /// Of a table: what becomes of a restore after which rows would point at nothing.
    pub orphans: Orphans,
}

impl<'o> Order<'o> {
    /// What a request asks for.
    pub fn of(request: &'o DatabaseRequest) -> Self {
        Self {
            database: &request.database,
            table: request.table.as_deref(),
            new_name: request.new_name.as_deref(),
            package: Package::Binds,
            orphans: request.orphans,
        }
    }
}

/// What the number of databases in a user's package means to a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Package {
    /// Nothing goes beyond it.
    Binds,
    /// What the user had comes back, as with Hestia's own restore.
    Yields,
}

/// A database that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// As it is now called.
    pub name: String,
    /// Whether it was made anew.
    pub created: bool,
    /// Tables that came back.
    pub tables: u64,
}

/// Which database to restore, and whereto.
#[derive(Debug, Clone, Default)]
pub struct DatabaseRequest {
    /// Which snapshot: id, prefix, name or `latest`.
    pub snapshot: String,
    /// The database as the snapshot names it.
    pub database: String,
    /// One table of it; all of it without.
    pub table: Option<String>,
    /// Another name, beside the original.
    pub new_name: Option<String>,
    /// Take the snapshot of an earlier user of this name.
    pub force: bool,
    /// Notify the user in the panel.
    pub notify: bool,
    /// Do not save before what will be overwritten.
    pub no_safety: bool,
    /// Of a table: what becomes of a restore after which rows would point at nothing.
    pub orphans: Orphans,
}

/// What came back.
#[derive(Debug)]
pub struct DatabaseReport {
    /// The user.
    pub user: UserName,
    /// The snapshot.
    pub snapshot: (FileId, Snapshot),
    /// The database as it is now called.
    pub name: String,
    /// Whether it was made anew.
    pub created: bool,
    /// Tables that came back.
    pub tables: u64,
    /// What takes it back.
    pub safety: Option<Safety>,
    /// What went wrong beside, one line each.
    pub warnings: Vec<String>,
}

/// Restores a database of a user. Fails with the old one as it was, unless the error says
/// otherwise.
pub fn restore_database(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &DatabaseRequest,
    monitor: &dyn Monitor,
) -> Result<DatabaseReport> {
    let gather = Gather::new(monitor);
    let _lock = server.lock(user, "a restore")?;
    let (id, snapshot) = manage::find(repository, user, &request.snapshot, monitor)?;
    let whole = request.new_name.as_deref().unwrap_or(&request.database);
    monitor.stage(Stage::Object(format!("database {whole} from {}", snapshot.name)));
    let job = DatabaseJob { server, repository, snapshot: &snapshot, user, from: user };
    let order = Order::of(request);
    let done = databases_in_place::finish_killed(server, user, &gather).and_then(|()| {
        check_user(server, user, &snapshot, request)?;
        let ready = Ready::find(&job, &order, &gather)?;
        let object = Object { section: "DB".to_owned(), name: ready.plan.target.name.clone() };
        let intent = Intent {
            command: "restore-database",
            restored: (id, &snapshot),
            objects: vec![object],
            table: request.table.clone(),
            table_created: ready.makes_table()?,
            place: None,
            exact: true,
        };
        let no_safety = request.no_safety;
        let safety = safety::of_one(server, repository, user, &intent, no_safety, &gather)?;
        match ready.place(&gather) {
            Ok(placed) => Ok((placed, safety)),
            Err(Failure { error, is_untouched }) => {
                let nothing_to_undo = safety.as_ref().filter(|_| is_untouched);
                safety::forget(nothing_to_undo, repository, &gather);
                Err(error)
            }
        }
    });
    let thing = match &request.table {
        Some(table) => format!("the table {table} of {whole}"),
        None => format!("the database {whole}"),
    };
    let (asked_for, is_problem) = (request.notify, done.is_err());
    let (topic, text) = match &done {
        Ok(_) => ("Restore done", format!("Ghostsnap restored {thing} from {}.", snapshot.name)),
        Err(error) => {
            let why = error.one_line();
            ("Restore failed", format!("Ghostsnap did not restore {thing}: {why}"))
        }
    };
    server.tell(user, &News { topic, text, is_problem, asked_for }, monitor);
    let (Placed { name, created, tables }, safety) = done?;
    let (user, warnings) = (user.clone(), gather.warnings());
    Ok(DatabaseReport { user, snapshot: (id, snapshot), name, created, tables, safety, warnings })
}

pub(super) fn check_user(
    server: &Server,
    user: &UserName,
    snapshot: &Snapshot,
    request: &DatabaseRequest,
) -> Result<()> {
    let found = inventory::user(&server.hestia, user)
        .map_err(|error| error.hint(format!("v-ghostsnap-restore-user {user} makes the user")))?;
    if found.is_suspended() {
        return Err(Error::new(Kind::Suspended, format!("restore a database of {user}"))
            .why("the user is suspended")
            .hint(format!("v-unsuspend-user {user} lifts that")));
    }
    if request.force { Ok(()) } else { manage::check_same_person(server, user, snapshot) }
}

/// Gives a database of a snapshot back, or a table of it: in its place, or beside it. What Hestia
/// does not list gets its row, its account and its rights. Fails with the old one as it was, unless
/// the error says otherwise.
pub(super) fn into_place(
    job: &DatabaseJob<'_>,
    order: &Order<'_>,
    monitor: &dyn Monitor,
) -> Result<Placed, Failure> {
    Ready::find(job, order, monitor).map_err(Failure::early)?.place(monitor)
}

/// All that has to be known before anything is changed.
pub(super) struct Ready<'r> {
    job: DatabaseJob<'r>,
    /// The one table that is wanted.
    pub table: Option<&'r str>,
    /// The database in the snapshot.
    pub stored: Stored,
    /// What will be done.
    pub plan: Plan,
    /// Where it lies.
    pub server: DatabaseServer,
    /// Whether it is there already.
    pub is_there: bool,
    has_account: bool,
    orphans: Orphans,
}

impl<'r> Ready<'r> {
    /// Finds out, and whether it may be done.
    pub fn find(job: &DatabaseJob<'r>, order: &Order<'r>, monitor: &dyn Monitor) -> Result<Self> {
        let reader = Reader::new(job.repository);
        let stored = Stored::find(&reader, job.snapshot, order.database)?;
        let mut plan = Plan::make(job, &stored, order)?;
        let target = &plan.target;
        let server = DatabaseServer::find(&job.server.hestia, target.kind, &target.host)?;
        let hearing = server.hearing(&monitor.stop());
        let is_there = exists(&hearing, &target.name)?;
        if is_there && plan.new_row.is_some() {
            let name = &target.name;
            return Err(Error::new(Kind::Exists, format!("make the database {name}"))
                .why("the server has one of this name that Hestia does not list")
                .hint(
                    "look whose it is; then rename or remove it, or restore under another name",
                ));
        }
        let has_account = import::has_account(&hearing, target)?;
        if !has_account {
            plan.fit_password(job, &hearing)?;
        }
        let (table, orphans) = (order.table, order.orphans);
        Ok(Self { job: *job, table, stored, plan, server, is_there, has_account, orphans })
    }

    /// Whether it makes a table that is not there.
    fn makes_table(&self) -> Result<bool> {
        let Some(table) = self.table.filter(|_| self.is_there) else { return Ok(false) };
        Ok(!import_trace::has_table(&self.server, &self.plan.target.name, table)?)
    }

    fn place(self, monitor: &dyn Monitor) -> Result<Placed, Failure> {
        let Self { job, table, stored, mut plan, server, is_there, has_account, orphans } = self;
        let low_priority = job.server.settings.low_priority;
        let options = RunOptions { low_priority, stop: monitor.stop() };
        let (target, siblings) = (&plan.target, &plan.siblings);
        let whose = databases_in_place::whose(job.server, job.user);
        let whose = whose.as_str();
        let (exists, purpose) = (is_there, Purpose::Restore);
        let import = Import { target, exists, table, siblings, whose, options, purpose, orphans };
        let reader = Reader::new(job.repository);
        let mut dump = FileReader::new(&reader, &stored.dump).map_err(Failure::early)?;
        // The row first: whatever happens to us from here on, the next restore finds its way by it.
        let listed = Listed::new(&job, &plan).map_err(Failure::early)?;
        let done = match import::attempt(&server, &import, &mut dump, &job.server.world, monitor) {
            Ok(done) => done,
            Err(mut failure) => {
                failure.is_untouched &= listed.take_back(monitor);
                return Err(failure);
            }
        };
        // The database is in its place: what goes wrong from here on is said beside it.
        if plan.new_row.is_some() || !is_there || !has_account {
            let rights = give_rights(&job, &plan.target, &server, monitor);
            let what = || format!("give the account {} its rights", plan.target.user);
            plan.changes.extend(rights.within(what).err());
        }
        plan.changes.into_iter().for_each(|change| monitor.warn(change));
        let tables = units::bytes(done.content.tables.len());
        Ok(Placed { name: plan.target.name, created: !is_there, tables })
    }
}

/// Whether the server has a database of this name.
pub(super) fn exists(server: &DatabaseServer, name: &str) -> Result<bool> {
    let table = match server.kind {
        DbKind::Mysql => "information_schema.SCHEMATA WHERE SCHEMA_NAME",
        DbKind::Pgsql => "pg_database WHERE datname",
    };
    let query = format!("SELECT COUNT(*) FROM {table} = '{name}';\n");
    Ok(server.ask_number(&format!("look for the database {name}"), None, &query)? > 0)
}

/// The row of a database that Hestia did not list.
struct Listed(Option<(std::path::PathBuf, String)>);

impl Listed {
    fn new(job: &DatabaseJob<'_>, plan: &Plan) -> Result<Self> {
        let Some(row) = &plan.new_row else { return Ok(Self(None)) };
        let path = job.server.hestia.user_file(job.user, "db.conf");
        let line = row.to_line();
        conf::append_row(&path, &line)
            .within(|| format!("list the database {}", plan.target.name))?;
        Ok(Self(Some((path, line))))
    }

    /// Takes it off the list again. Says whether it is as it was.
    fn take_back(self, monitor: &dyn Monitor) -> bool {
        if let Some((path, line)) = self.0
            && let Err(error) = conf::take_back_row(&path, &line)
        {
            monitor.warn(error);
            return false;
        }
        true
    }
}

/// Lets Hestia make the account of a database with its password and its rights, and count again.
/// Of PostgreSQL it would take the password away where it does not know it; there the import has
/// made what is needed.
fn give_rights(
    job: &DatabaseJob<'_>,
    target: &DatabaseRow,
    server: &DatabaseServer,
    monitor: &dyn Monitor,
) -> Result<()> {
    let (hestia, user) = (&job.server.hestia, job.user.as_str());
    let mut calls = Vec::new();
    let mut made = Ok(());
    if target.kind == DbKind::Mysql && !target.password_hash.is_empty() {
        made = mysql_maker::make_accounts(server, target);
        // Without, it would make accounts that the server does not know.
        if made.is_ok() {
            calls.push(Call::hestia(hestia, "v-rebuild-database", [user, &target.name]));
        }
    }
    calls.push(Call::hestia(hestia, "v-update-user-counters", [user]));
    for call in calls {
        let outcome = job.server.caller.call(&call, &ToTheEnd(monitor))?;
        outcome.check(format!("run {}", call.line()), &call)?;
    }
    made
}
