// SPDX-License-Identifier: MIT
//! Brings a user's objects and files back to what they were before a restore, from what was saved
//! then: for an undo later, and at once for what a restore could not do. What exists was saved and
//! is restored the way restores do it; what the restore made goes through Hestia's own commands.
//! No file that is newer than the restore goes.

use super::export::{self, Access, Order};
use super::in_place::{Undo, names_in_home};
use super::restore::{RestoreRequest, Through};
use super::restore_database::{self, DatabaseJob, Package};
use super::restore_steps::{Job, Muted};
use super::safety::is_there;
use super::verify::Restored;
use super::{Server, in_place};
use crate::base::monitor::{Scoped, Stage};
use crate::base::{Counter, Error, FileId, Kind, Monitor, RelPath, Result, WhatIo, Within, limits};
use crate::format::Snapshot;
use crate::format::snapshot::{Before, Object, Place};
use crate::hestia::asuser::{self, Options};
use crate::hestia::call::{Call, ToTheEnd};
use crate::hestia::conf::{self, Row};
use crate::hestia::database::{DatabaseRow, DatabaseServer};
use crate::hestia::import::Orphans;
use crate::hestia::import_trace;
use crate::hestia::inventory::DbKind;
use crate::hestia::layout::UserName;
use crate::hestia::paths::{self, Meaning};
use crate::hestia::select::{Choice, Sections};
use crate::ops::restore::{FileReader, Report, Undoes, find_node};
use crate::repo::{IndexedRepository, Reader};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

/// What is put back, and for whom.
pub(super) struct PutBack<'p> {
    pub server: &'p Server,
    /// With an index that knows what was saved.
    pub repository: &'p IndexedRepository,
    pub user: &'p UserName,
    /// What was saved.
    pub safety: (&'p FileId, &'p Snapshot),
    /// What was about to happen then.
    pub before: &'p Before,
    /// What was restored; without it nobody knows what of the files came from it.
    pub restored: Option<&'p Snapshot>,
    /// Entries that are newer than the restore; they stay.
    pub newer: Cell<u64>,
    /// Whether it failed and has certainly changed nothing.
    pub untouched: Cell<bool>,
    /// Entries of files that were changed.
    pub changed: Cell<u64>,
}

impl PutBack<'_> {
    /// Puts objects back that the restore was about. Each on its own: one that fails stops no
    /// other.
    pub fn objects(&self, objects: &[Object], monitor: &dyn Monitor) -> Vec<Restored> {
        let is_new = |object: &&Object| self.before.created.contains(object);
        let saved: Vec<Object> = objects.iter().filter(|one| !is_new(one)).cloned().collect();
        let mut done = Vec::new();
        if !saved.is_empty() {
            done.extend(self.restore(&saved, monitor).unwrap_or_else(|error| {
                let failed = |object: Object| Restored { object, problem: Some(error.one_line()) };
                saved.into_iter().map(failed).collect()
            }));
        }
        for object in objects.iter().filter(is_new) {
            let problem = self.remove(object, monitor).err().map(|error| error.one_line());
            done.push(Restored { object: object.clone(), problem });
        }
        done
    }

    /// Restores what was saved, as any restore does it.
    fn restore(&self, objects: &[Object], monitor: &dyn Monitor) -> Result<Vec<Restored>> {
        let request = RestoreRequest {
            snapshot: self.safety.0.to_string(),
            sections: sections(objects),
            confirmed: true,
            through: Through::Place,
            // It was made of this server's own files.
            trust_config: true,
            no_safety: true,
            ..RestoreRequest::default()
        };
        let snippets = self.snippets(&request.sections, monitor)?;
        let undo = Undo { restored: self.restored, snippets, newer: Cell::new(0) };
        let mut job = Job {
            server: self.server,
            repository: self.repository,
            user: self.user,
            from: self.user,
            snapshot: self.safety.1,
            request: &request,
            undoes: Some(&undo),
            partial: RefCell::default(),
        };
        let done = job.run(monitor);
        self.newer.set(self.newer.get() + undo.newer.get());
        done.map(|(objects, _)| objects)
    }

    /// The additions to web servers that the restore brought.
    fn snippets(
        &self,
        sections: &Sections,
        monitor: &dyn Monitor,
    ) -> Result<BTreeMap<String, BTreeMap<String, Vec<u8>>>> {
        let Some(restored) = self.restored.filter(|_| !sections.web.is_nothing()) else {
            return Ok(BTreeMap::new());
        };
        let sections = Sections { web: sections.web.clone(), ..Sections::nothing() };
        let order = Order {
            sections: &sections,
            access: Access::Root,
            admin: false,
            trusted: true,
            renamed: None,
            shelf: None,
        };
        let (_, shelf) = export::look(self.repository, restored, &order, &Muted(monitor))?;
        Ok(shelf.web.into_iter().map(|(domain, parts)| (domain, parts.snippets)).collect())
    }

    /// Removes an object that the restore made.
    fn remove(&self, object: &Object, monitor: &dyn Monitor) -> Result<()> {
        let name = object.name.as_str();
        monitor.stage(Stage::Object(format!("{} {name}", object.section)));
        if object.section == "UDIR" {
            return self.remove_entry(name, monitor);
        }
        if !is_there(self.server, self.user, object)? {
            return Ok(());
        }
        let user = self.user.as_str();
        match object.section.as_str() {
            "WEB" => self.run(&["v-delete-web-domain", user, name], monitor),
            "DNS" => self.run(&["v-delete-dns-domain", user, name], monitor),
            "MAIL" => match name.split_once('@') {
                Some((account, domain)) => {
                    self.run(&["v-delete-mail-account", user, domain, account], monitor)
                }
                None => self.run(&["v-delete-mail-domain", user, name], monitor),
            },
            "DB" => self.run(&["v-delete-database", user, name], monitor),
            "CRON" => self.remove_jobs(monitor),
            _ => Ok(()),
        }
    }

    /// Removes what the restore made of the home under a name, as it is shown.
    fn remove_entry(&self, shown: &str, monitor: &dyn Monitor) -> Result<()> {
        let names = match self.restored {
            Some(restored) => names_in_home(self.repository, restored, shown)?,
            None => vec![shown.as_bytes().to_vec()],
        };
        let home = self.server.hestia.user_home(self.user);
        for name in names {
            if home.join(OsStr::from_bytes(&name)).symlink_metadata().is_err() {
                continue;
            }
            let path = RelPath::root().join(&name)?;
            let base = RelPath::parse(b"user_dir")?.join_path(&path)?;
            self.files((&base, Some(&base)), &path, false, monitor)?;
        }
        Ok(())
    }

    /// Removes the cron jobs that the restore brought and that nobody has changed since.
    fn remove_jobs(&self, monitor: &dyn Monitor) -> Result<()> {
        let Some(restored) = self.restored else { return Err(gone("cron jobs")) };
        let brought = conf::parse_rows(&self.text(restored, "cron/cron.conf")?).rows;
        let live = conf::read_rows(&self.server.hestia.user_file(self.user, "cron.conf"))?.rows;
        // Of another user's jobs the paths were changed on the way.
        let renamed = restored.user != self.user.as_str();
        let keys = ["JOB", "MIN", "HOUR", "DAY", "MONTH", "WDAY", "CMD"];
        let keys = keys.split_at(if renamed { 6 } else { 7 }).0;
        let same = |a: &Row, b: &Row| keys.iter().all(|key| a.text(key) == b.text(key));
        for row in live {
            if !brought.iter().any(|one| same(one, &row)) {
                self.newer.set(self.newer.get() + 1);
                continue;
            }
            let job = row.text("JOB");
            self.run(&["v-delete-cron-job", self.user.as_str(), job], monitor)?;
        }
        Ok(())
    }

    fn text(&self, snapshot: &Snapshot, path: &str) -> Result<Vec<u8>> {
        let reader = Reader::new(self.repository);
        let node = match find_node(&reader, snapshot, &RelPath::parse(path.as_bytes())?) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
            node => node?,
        };
        let mut text = Vec::new();
        let file = FileReader::new(&reader, &node)?;
        let what = || format!("read {path}");
        file.take(limits::CONF_FILE_BYTES_MAX).read_to_end(&mut text).what_io(what)?;
        Ok(text)
    }

    fn run(&self, words: &[&str], monitor: &dyn Monitor) -> Result<()> {
        let [command, arguments @ ..] = words else { return Ok(()) };
        let call = Call::hestia(&self.server.hestia, command, arguments.iter().copied());
        let outcome = self.server.caller.call(&call, &ToTheEnd(monitor))?;
        outcome.check(format!("run {}", call.line()), &call).map(drop)
    }

    /// Puts the one file or folder back that the restore was about.
    pub fn place(&self, place: &Place, dry_run: bool, monitor: &dyn Monitor) -> Result<Report> {
        let (from, to) = (RelPath::parse(&place.from)?, RelPath::parse(&place.to)?);
        let saved = match paths::meaning(self.safety.1, &to) {
            Ok(Meaning::At(saved)) => saved,
            // No backup has what lies there.
            _ => RelPath::parse(b"user_dir")?.join_path(&to)?,
        };
        self.files((&saved, Some(&from)), &to, dry_run, monitor)
    }

    /// What putting an object's files back would change.
    pub fn look(&self, object: &Object, monitor: &dyn Monitor) -> Result<Report> {
        let name = object.name.as_str();
        let (base, target) = match object.section.as_str() {
            "WEB" => (format!("web/{name}/data"), format!("web/{name}")),
            "MAIL" => {
                let folder = in_place::mail_folder(name)?;
                (format!("mail/{name}/accounts"), format!("mail/{folder}"))
            }
            "UDIR" => (format!("user_dir/{name}"), name.to_owned()),
            _ => return Ok(Report::default()),
        };
        let (base, target) = (RelPath::parse(base.as_bytes())?, RelPath::parse(target.as_bytes())?);
        self.files((&base, Some(&base)), &target, true, monitor)
    }

    fn files(
        &self,
        (saved, restored): (&RelPath, Option<&RelPath>),
        target: &RelPath,
        dry_run: bool,
        monitor: &dyn Monitor,
    ) -> Result<Report> {
        let undoes = self.restored.zip(restored).map(|(snapshot, from)| Undoes {
            snapshot: snapshot.clone(),
            from: from.clone(),
            to: target.clone(),
        });
        if undoes.is_none() {
            monitor.warn(gone(&format!("files in {target}")));
        }
        let options = Options { dry_run, undoes, ..Options::default() };
        let from = (self.repository, self.safety.1, saved);
        let monitor = ToTheEnd(monitor);
        let monitor = &Scoped::new(&monitor);
        let done = asuser::restore(self.server, from, self.user, target, &options, monitor);
        let count = |counter| monitor.counts.get(counter);
        let changed = count(Counter::FilesRestored) + count(Counter::FilesRemoved);
        self.changed.set(self.changed.get() + changed);
        let report = match done {
            // Nothing was there, and what the restore made is not known.
            Err(error) if error.kind() == Kind::NotFound && self.restored.is_none() => {
                return Ok(Report::default());
            }
            report => report?,
        };
        self.newer.set(self.newer.get() + report.newer);
        Ok(report)
    }

    /// Puts one table of a database back.
    pub fn table(&self, database: &str, table: &str, monitor: &dyn Monitor) -> Result<()> {
        let (server, repository) = (self.server, self.repository);
        let (snapshot, user) = (self.safety.1, self.user);
        let job = DatabaseJob { server, repository, snapshot, user, from: user };
        let order = restore_database::Order {
            database,
            table: Some(table),
            new_name: None,
            package: Package::Yields,
            // As it was is what was asked for: what then points at nothing is a warning.
            orphans: Orphans::Leave,
        };
        if self.before.table_created {
            return self.drop_table(database, table);
        }
        let done = restore_database::into_place(&job, &order, &ToTheEnd(monitor));
        done.map(drop).map_err(|failure| {
            self.untouched.set(failure.is_untouched);
            failure.error
        })
    }

    /// Removes a table that was not there before the restore.
    fn drop_table(&self, database: &str, table: &str) -> Result<()> {
        let what = format!("remove the table {} of {database}", table.escape_debug());
        if table.contains(['\n', '\\', '\0']) {
            return Err(Error::new(Kind::Invalid, what).why("no table has such a name"));
        }
        let server = server_of(self.server, self.user, database).within(|| what.clone())?;
        let sql = match server.kind {
            DbKind::Mysql => {
                // Keys of other tables led to it before it was there.
                let (table, wait) = (table.replace('`', "``"), limits::TABLE_LOCK_SECONDS);
                format!(
                    "SET foreign_key_checks = 0;\nSET lock_wait_timeout = {wait};\n\
                     DROP TABLE IF EXISTS `{database}`.`{table}`;\n"
                )
            }
            DbKind::Pgsql => {
                let table =
                    import_trace::pgsql_table(&server, database, table).within(|| what.clone())?;
                let seconds = limits::TABLE_LOCK_SECONDS;
                format!("SET lock_timeout = '{seconds}s';\nDROP TABLE {table};\n")
            }
        };
        server.ask(&what, Some(database), &sql).within(|| what).map(drop)
    }
}

/// The server of a database that the user has.
pub(super) fn server_of(
    server: &Server,
    user: &UserName,
    database: &str,
) -> Result<DatabaseServer> {
    let rows = conf::read_rows(&server.hestia.user_file(user, "db.conf"))?.rows;
    let row = rows.iter().find(|row| row.get("DB") == Some(database));
    let row = row.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("find the database {database}"))
            .why("the user has no such database")
    })?;
    let row = DatabaseRow::parse(row)?;
    DatabaseServer::find(&server.hestia, row.kind, &row.host)
}

fn gone(what: &str) -> Error {
    Error::new(Kind::Partial, format!("remove the {what} that the restore made"))
        .why("the snapshot that was restored is gone, so nobody knows which they are")
}

/// These objects and nothing else.
pub(super) fn sections(objects: &[Object]) -> Sections {
    let choice = |section: &str| {
        let names = objects.iter().filter(|one| one.section == section);
        match names.map(|one| one.name.clone()).collect::<Vec<_>>() {
            none if none.is_empty() => Choice::Nothing,
            _ if section == "CRON" => Choice::All,
            names => Choice::Some(names),
        }
    };
    Sections {
        web: choice("WEB"),
        dns: choice("DNS"),
        mail: choice("MAIL"),
        db: choice("DB"),
        cron: choice("CRON"),
        udir: choice("UDIR"),
    }
}
