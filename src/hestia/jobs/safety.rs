// SPDX-License-Identifier: MIT
//! What a restore will overwrite or remove, saved before it does: a snapshot in the same
//! repository, of exactly the objects or files concerned and of everything in them, also of what
//! backups leave out. It costs what changed since the last backup. [`mod@super::undo`] brings it
//! back.
//!
//! It says what was about to happen ([`Before`]), so that no journal is needed: what was restored,
//! what is saved, and what is there tell what to take back.

use super::in_place::{mail_folder, names_in_home};
use super::outlook::Subject;
use super::plan::Plan;
use super::report::Gather;
use super::restore_steps::Muted;
use super::saved::{Scope, lacking};
use super::verify::Restored;
use super::{Server, free_name_of};
use crate::base::monitor::Stage;
use crate::base::{Error, FileId, Kind, Monitor, RelPath, Result, Within};
use crate::format::Snapshot;
use crate::format::snapshot::{Before, Object, Place, SAFETY};
use crate::hestia::conf;
use crate::hestia::database::{DatabaseRow, DatabaseServer, RunOptions};
use crate::hestia::direct::idn::to_ascii;
use crate::hestia::direct::{DirectOptions, HestiaDirect, Narrow};
use crate::hestia::inventory::{self, DbKind};
use crate::hestia::layout::UserName;
use crate::hestia::select::{Choice, Sections};
use crate::ops::{self, BackupOptions, backup::Parent};
use crate::repo::{IndexedRepository, WriterOptions};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// What somebody is about to restore.
pub(super) struct Intent<'i> {
    /// The command that does it.
    pub command: &'static str,
    /// What is to be restored.
    pub restored: (FileId, &'i Snapshot),
    /// Objects, as they are or will be called here.
    pub objects: Vec<Object>,
    /// One table of the only object.
    pub table: Option<String>,
    /// Whether that table is not there yet.
    pub table_created: bool,
    /// One file or folder: its place in the tree of the snapshot, and below the home.
    pub place: Option<(RelPath, RelPath)>,
    /// Whether what the snapshot lacks goes there.
    pub exact: bool,
}

/// What was saved.
#[derive(Debug, Clone)]
pub struct Safety {
    /// The snapshot's id.
    pub id: FileId,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What could not be saved and must not be overwritten, and why.
    pub refused: Vec<(Object, String)>,
}

impl Safety {
    /// The command that takes the restore back.
    pub fn undo_command(&self) -> String {
        format!("v-ghostsnap-undo-restore {} {}", self.snapshot.user, self.snapshot.name)
    }
}

/// Saves what the restore of one thing will overwrite, if that is wanted. Fails if it cannot.
pub(super) fn of_one(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    intent: &Intent<'_>,
    no_safety: bool,
    monitor: &dyn Monitor,
) -> Result<Option<Safety>> {
    if no_safety || !server.settings.safety {
        return Ok(None);
    }
    let safety = take(server, repository, user, intent, monitor)?;
    match safety.refused.first() {
        None => Ok(Some(safety)),
        Some((object, why)) => {
            repository.remove_snapshot(&safety.id)?;
            Err(refusal(format!("restore {}", object.name), why))
        }
    }
}

/// What was saved before a restore of a user, and of which objects.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// What was saved, if anything was to be.
    pub safety: Option<Safety>,
    /// What is meant, by its names in the snapshot and here.
    named: Vec<(Object, Object)>,
}

impl Subject<'_> {
    /// Saves what the planned restore will overwrite. Fails if nothing of it may be restored.
    pub(super) fn save(&self, id: &FileId, plans: &[Plan], monitor: &dyn Monitor) -> Result<Saved> {
        if self.request.no_safety || !self.server.settings.safety {
            return Ok(Saved::default());
        }
        let named: Vec<(Object, Object)> = plans
            .iter()
            .map(|plan| {
                let here = Object { name: plan.here.clone(), ..plan.object.clone() };
                (plan.object.clone(), here)
            })
            .collect();
        let intent = Intent {
            command: "restore",
            restored: (*id, self.snapshot),
            objects: named.iter().map(|(_, here)| here.clone()).collect(),
            table: None,
            table_created: false,
            place: None,
            exact: false,
        };
        let safety = take(self.server, self.repository, self.user, &intent, monitor)?;
        let saved = Saved { safety: Some(safety), named };
        let refused = saved.refused();
        if let Some((object, why)) = refused.first()
            && refused.len() == saved.named.len()
        {
            saved.forget(self.repository, monitor);
            return Err(refusal(format!("restore {} {}", object.section, object.name), why));
        }
        Ok(saved)
    }
}

impl Saved {
    fn refused(&self) -> &[(Object, String)] {
        self.safety.as_ref().map_or(&[], |safety| &safety.refused)
    }

    /// The choice without what could not be saved.
    pub fn left(&self, sections: &Sections) -> Sections {
        without(sections, &self.named, self.refused())
    }

    /// How an object of the snapshot is called here.
    pub fn here(&self, object: &Object) -> Object {
        let named = self.named.iter().find(|(one, _)| one == object);
        named.map_or_else(|| object.clone(), |(_, here)| here.clone())
    }

    /// What became of all objects: of those that could not be saved, nothing.
    pub fn with_refused(&self, mut objects: Vec<Restored>) -> Vec<Restored> {
        for (here, why) in self.refused() {
            let object = self.named.iter().find(|(_, one)| one == here);
            let object = object.map_or_else(|| here.clone(), |(object, _)| object.clone());
            let error = refusal(format!("restore {}", object.name), why);
            let hint = error.hint_text().unwrap_or_default();
            objects
                .push(Restored { object, problem: Some(format!("{} ({hint})", error.one_line())) });
        }
        objects
    }

    /// Removes what was saved: nothing has changed.
    pub fn forget(&self, repository: &IndexedRepository, monitor: &dyn Monitor) {
        forget(self.safety.as_ref(), repository, monitor);
    }
}

/// Removes what was saved before something that has changed nothing: there is nothing to undo.
pub(super) fn forget(
    safety: Option<&Safety>,
    repository: &IndexedRepository,
    monitor: &dyn Monitor,
) {
    let Some(safety) = safety else { return };
    if let Err(error) = repository.remove_snapshot(&safety.id) {
        monitor.warn(error.within("remove what was saved before"));
    }
}

/// Says that something could not be saved before it would have been overwritten.
pub(super) fn refusal(what: impl Into<String>, why: &str) -> Error {
    Error::new(Kind::Partial, what)
        .why(format!("what is there now could not be saved before: {why}"))
        .hint("nothing was changed; --no-safety restores without saving it")
}

/// Saves what a restore of a living user will overwrite or remove. What cannot be saved is
/// refused and nothing else: it is in [`Safety::refused`], by the name it has here.
pub(super) fn take(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    intent: &Intent<'_>,
    monitor: &dyn Monitor,
) -> Result<Safety> {
    let what = || format!("save what {user} has now");
    monitor.stage(Stage::Step { name: "saving what is there now", total: None });
    let muted = Muted(monitor);
    let gather = Gather::new(&muted);
    // Chunks in packs that are lost must be stored again; the restore itself still tries them.
    let own = repository.again_to_write("safety snapshot", &muted).within(what);
    let mut own = own.map_err(|error| match error.kind() {
        Kind::Damaged | Kind::Newer => error.hint(
            "'ghostsnap repair index' mends the index; with --no-safety it goes on without saving \
             what is there now",
        ),
        _ => error,
    })?;
    let Now { there, created, orphans } = Now::of(server, user, &intent.objects)?;
    let is_touched = |object: &&Object| !orphans.iter().any(|(orphan, _)| orphan == *object);
    let touched = intent.objects.iter().filter(is_touched).cloned().collect();
    let mut template = template(server, &own, user, &muted)?;
    template.before = Some(Before {
        restored: intent.restored.0,
        command: intent.command.to_owned(),
        objects: touched,
        created,
        table: intent.table.clone().unwrap_or_default(),
        table_created: intent.table_created,
        place: intent
            .place
            .as_ref()
            .map(|(from, to)| Place { from: from.as_bytes().to_vec(), to: to.as_bytes().to_vec() }),
    });
    let narrow = Narrow {
        sections: sections(server, user, &there, intent.place.as_ref().map(|(_, to)| to))?,
        path: intent.place.as_ref().map(|(_, to)| to.clone()),
    };
    let (id, snapshot) = store(server, &own, user, narrow, template, &gather).within(what)?;
    let warnings = gather.warnings();
    let mut safety = Safety { id, snapshot, refused: Vec::new() };
    own.reload(&muted).within(what)?;
    let scope = Scope {
        server,
        repository: &own,
        user,
        snapshots: (intent.restored.1, &safety.snapshot),
        exact: intent.exact,
        // Where everything could be read, it is still asked whether everything was meant.
        is_thorough: !warnings.is_empty() || intent.place.is_some(),
    };
    safety.refused = refused(&scope, &there, intent, &warnings)?;
    safety.refused.extend(orphans);
    for warning in warnings {
        // It concerns what will not be overwritten, or was said of what will not be restored.
        monitor.stage(Stage::Note(format!("saving what is there now: {warning}")));
    }
    Ok(safety)
}

fn template(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    monitor: &dyn Monitor,
) -> Result<Snapshot> {
    let (time, all) = (server.world.now(), repository.readable_snapshots(monitor)?);
    Ok(Snapshot {
        name: free_name_of(SAFETY, user, time, &all)?,
        time,
        host: server.world.host(),
        user: user.to_string(),
        user_identity: inventory::user(&server.hestia, user)?.identity,
        source: SAFETY.to_owned(),
        ..Snapshot::default()
    })
}

fn store(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    narrow: Narrow,
    mut template: Snapshot,
    monitor: &Gather<'_>,
) -> Result<(FileId, Snapshot)> {
    let settings = &server.settings;
    let options = DirectOptions {
        one_file_system: !settings.other_file_systems,
        // Somebody waits for it.
        run: RunOptions { low_priority: false, stop: monitor.stop() },
        narrow: Some(narrow),
        ..DirectOptions::default()
    };
    let found = inventory::user(&server.hestia, user)?;
    let mut source = HestiaDirect::open(&server.hestia, &found, &options, monitor)?;
    template.warnings = crate::base::units::bytes(monitor.warnings().len());
    let writer = WriterOptions { level: settings.compression_level, ..WriterOptions::default() };
    let options = BackupOptions { writer, parent: Parent::Auto, ..BackupOptions::new(template) };
    let report = ops::backup(repository, &mut source, &options, monitor)?;
    let id = report.id.ok_or_else(|| Error::new(Kind::Internal, "find the new snapshot"))?;
    Ok((id, report.snapshot))
}

/// What a user has of some objects.
struct Now {
    there: Vec<Object>,
    created: Vec<Object>,
    /// Those that Hestia does not have and whose files are there all the same, and why they stay
    /// as they are: to undo a restore of them would be to delete them, with those files.
    orphans: Vec<(Object, String)>,
}

impl Now {
    fn of(server: &Server, user: &UserName, objects: &[Object]) -> Result<Self> {
        let mut now = Self { there: Vec::new(), created: Vec::new(), orphans: Vec::new() };
        for object in objects {
            if is_there(server, user, object)? {
                now.there.push(object.clone());
            } else if let Some(folder) = files_of(object).filter(|one| has_any(server, user, one)) {
                let why = format!("files are in {folder}, though Hestia does not have it");
                now.orphans.push((object.clone(), why));
            } else {
                now.created.push(object.clone());
            }
        }
        Ok(now)
    }
}

/// Where the files of an object lie below the home that go if Hestia deletes it.
fn files_of(object: &Object) -> Option<String> {
    let name = object.name.as_str();
    // What no folder can be called has none.
    let mail = |domain| mail_folder(domain).ok().map(|folder| format!("mail/{folder}"));
    match (object.section.as_str(), name.split_once('@')) {
        ("WEB", _) => Some(format!("web/{name}")),
        ("MAIL", Some((account, domain))) => Some(format!("{}/{account}", mail(domain)?)),
        ("MAIL", None) => mail(name),
        _ => None,
    }
}

/// Whether there is such a folder with anything in it, or something else in its place.
fn has_any(server: &Server, user: &UserName, folder: &str) -> bool {
    let path = server.hestia.user_home(user).join(folder);
    let is_empty = || std::fs::read_dir(&path).is_ok_and(|mut names| names.next().is_none());
    path.symlink_metadata().is_ok() && !is_empty()
}

fn refused(
    scope: &Scope<'_>,
    there: &[Object],
    intent: &Intent<'_>,
    warnings: &[String],
) -> Result<Vec<(Object, String)>> {
    let mut refused = Vec::new();
    // Nobody saves what lies under a name that cannot be shown as it is.
    let why = "its name is no plain text";
    for odd in intent.objects.iter().filter(|one| is_escaped(one)) {
        let names = names_in_home(scope.repository, scope.snapshots.0, &odd.name)?;
        let home = scope.server.hestia.user_home(scope.user);
        let is_there = |name| home.join(OsStr::from_bytes(name)).symlink_metadata().is_ok();
        if names.iter().any(|name| is_there(name)) {
            refused.push((odd.clone(), why.to_owned()));
        }
    }
    let mut check = |object: &Object, place| -> Result<()> {
        let lacking = lacking(scope, object, place)?;
        if let Some(path) = lacking.filter(|_| !is_lost(scope, object)) {
            let is_of = |text: &&String| text.contains(&object.name);
            let warning = warnings.iter().find(is_of).or(warnings.first());
            let usual = || format!("backups do not reach {path}");
            refused.push((object.clone(), warning.cloned().unwrap_or_else(usual)));
        }
        Ok(())
    };
    if let Some((from, to)) = &intent.place {
        let object = Object { section: "UDIR".to_owned(), name: to.to_string() };
        check(&object, Some((from, to)))?;
    } else {
        for object in there {
            check(object, None)?;
        }
    }
    Ok(refused)
}

/// Whether an entry of the home has another name on the disk than the one that is shown.
fn is_escaped(object: &Object) -> bool {
    object.section == "UDIR" && object.name.contains('\\')
}

/// Whether an object is only listed: a database that its server does not have has nothing in it
/// that could be lost. A server that does not answer has not said so.
fn is_lost(scope: &Scope<'_>, object: &Object) -> bool {
    if object.section != "DB" {
        return false;
    }
    let file = scope.server.hestia.user_file(scope.user, "db.conf");
    let is_known = conf::read_rows(&file).and_then(|found| {
        let row = found.rows.iter().find(|row| row.get("DB") == Some(&object.name));
        let Some(row) = row.map(DatabaseRow::parse).transpose()? else { return Ok(true) };
        let server = DatabaseServer::find(&scope.server.hestia, row.kind, &row.host)?;
        let table = match row.kind {
            DbKind::Mysql => "information_schema.SCHEMATA WHERE SCHEMA_NAME",
            DbKind::Pgsql => "pg_database WHERE datname",
        };
        let query = format!("SELECT COUNT(*) FROM {table} = '{}';\n", row.name);
        Ok(server.ask_number(&format!("look for {}", row.name), None, &query)? > 0)
    });
    is_known.is_ok_and(|known| !known)
}

/// The choice without what was refused. `named` are the objects that are meant, by their names in
/// the snapshot and by those they have here.
pub(super) fn without(
    sections: &Sections,
    named: &[(Object, Object)],
    refused: &[(Object, String)],
) -> Sections {
    let stays = |here: &Object| !refused.iter().any(|(one, _)| one == here);
    let choice = |section: &str| {
        let of_it = || named.iter().filter(|(one, _)| one.section == section);
        if of_it().all(|(_, here)| stays(here)) {
            return sections.choice(section).clone();
        }
        let left = of_it().filter(|(_, here)| stays(here)).map(|(one, _)| one.name.clone());
        match left.collect::<Vec<_>>() {
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

/// Whether the user has such an object.
pub(super) fn is_there(server: &Server, user: &UserName, object: &Object) -> Result<bool> {
    let hestia = &server.hestia;
    let (file, key, name) = match (object.section.as_str(), object.name.as_str()) {
        ("UDIR", name) => return Ok(hestia.user_home(user).join(name).symlink_metadata().is_ok()),
        ("CRON", _) => {
            return Ok(!conf::read_rows(&hestia.user_file(user, "cron.conf"))?.rows.is_empty());
        }
        ("MAIL", name) => match name.split_once('@') {
            Some((account, domain)) => (format!("mail/{domain}.conf"), "ACCOUNT", account),
            None => ("mail.conf".to_owned(), "DOMAIN", name),
        },
        ("WEB", name) => ("web.conf".to_owned(), "DOMAIN", name),
        ("DNS", name) => ("dns.conf".to_owned(), "DOMAIN", name),
        ("DB", name) => ("db.conf".to_owned(), "DB", name),
        _ => return Ok(false),
    };
    let rows = conf::read_rows(&hestia.user_file(user, &file))?.rows;
    Ok(rows.iter().any(|row| row.get(key) == Some(name)))
}

/// What is read of the user: these objects, and the one that a path below the home lies in.
fn sections(
    server: &Server,
    user: &UserName,
    objects: &[Object],
    place: Option<&RelPath>,
) -> Result<Sections> {
    let mut wanted = objects.to_vec();
    if let Some(place) = place {
        wanted.extend(holder(server, user, place)?);
    }
    let choice = |section: &str| {
        let names = wanted.iter().filter(|one| one.section == section);
        let names = names.map(|one| match section {
            // Of a mail account its domain.
            "MAIL" => one.name.rsplit('@').next().unwrap_or_default().to_owned(),
            _ => one.name.clone(),
        });
        match names.collect::<Vec<_>>() {
            none if none.is_empty() => Choice::Nothing,
            names => Choice::Some(names),
        }
    };
    let cron = wanted.iter().any(|one| one.section == "CRON");
    Ok(Sections {
        web: choice("WEB"),
        dns: choice("DNS"),
        mail: choice("MAIL"),
        db: choice("DB"),
        cron: if cron { Choice::All } else { Choice::Nothing },
        udir: choice("UDIR"),
    })
}

/// The object that a path below the home lies in.
fn holder(server: &Server, user: &UserName, path: &RelPath) -> Result<Option<Object>> {
    let names: Vec<String> =
        path.names().take(2).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let object = |section: &str, name: &str| {
        Some(Object { section: section.to_owned(), name: name.to_owned() })
    };
    Ok(match names.as_slice() {
        [top, domain] if top == "web" => object("WEB", domain),
        [top, folder] if top == "mail" => {
            let rows = conf::read_rows(&server.hestia.user_file(user, "mail.conf"))?.rows;
            let domains = rows.iter().map(|row| row.text("DOMAIN"));
            let found = domains.into_iter().find(|one| to_ascii(one).as_deref() == Some(folder));
            object("MAIL", found.unwrap_or(folder))
        }
        [top, ..] => object("UDIR", top),
        [] => None,
    })
}
