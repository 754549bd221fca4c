// SPDX-License-Identifier: MIT
//! What a restore would do, and what stands in its way, before anything is touched.

use super::export::{self, Access, Order};
use super::filter::Facts;
use super::findings::{self, Finding, Question};
use super::in_place::{Site, mail_folder};
use super::offers::Offers;
use super::plan::{self, Action, Place, Plan};
use super::preflight::{self, TakenNames};
use super::restore::{RestoreRequest, Through};
use super::{IMPORTED, Server, look_database, verify};
use crate::base::{FileId, Kind, Monitor, RelPath, Result};
use crate::format::Snapshot;
use crate::format::snapshot::Object;
use crate::hestia::conf;
use crate::hestia::inventory::DbKind;
use crate::hestia::layout::UserName;
use crate::repo::IndexedRepository;
use std::collections::BTreeSet;

/// What a restore would do.
#[derive(Debug)]
pub struct Outlook {
    /// The snapshot.
    pub snapshot: (FileId, Snapshot),
    /// Object by object.
    pub plans: Vec<Plan>,
    /// What would stop it or come out otherwise.
    pub findings: Vec<Finding>,
}

impl Outlook {
    /// Whether the restore would be refused.
    pub fn stops(&self) -> bool {
        self.findings.iter().any(|one| one.stops.is_some())
    }
}

/// Whose restore is looked at.
pub(super) struct Subject<'s> {
    pub server: &'s Server,
    pub repository: &'s IndexedRepository,
    pub user: &'s UserName,
    pub from: &'s UserName,
    pub snapshot: &'s Snapshot,
    pub request: &'s RestoreRequest,
}

impl Subject<'_> {
    /// Looks without writing anything.
    pub fn look(&self, monitor: &dyn Monitor) -> Result<(Vec<Plan>, Vec<Finding>)> {
        let hestia = &self.server.hestia;
        let order = Order {
            sections: &self.request.sections,
            access: Access::Root,
            admin: self.request.admin,
            trusted: self.request.trust_config || self.snapshot.source != IMPORTED,
            renamed: None,
            shelf: None,
        };
        let (facts, shelf) = export::look(self.repository, self.snapshot, &order, monitor)?;
        let offers = Offers::read(hestia)?;
        let taken = TakenNames::but_of(hestia, self.user)?;
        let is_taken = |name: &str| taken.has(name);
        let site = Site {
            server: self.server,
            repository: self.repository,
            snapshot: self.snapshot,
            user: self.user,
            from: self.from,
            offers: &offers,
            taken: &is_taken,
            undoes: None,
        };
        let plans = self.plans(&facts, monitor)?;
        let question = Question {
            hestia,
            offers: &offers,
            user: self.user,
            facts: &facts,
            shelf: &shelf,
            plans: &plans,
        };
        let mut found = findings::look(&question, &site.recipient())?;
        found.extend(preflight::unsound_databases(&facts).into_iter().map(|(name, why)| Finding {
            object: Some(Object { section: "DB".to_owned(), name }),
            stops: None,
            why: format!("it will be left alone: {why}"),
            mend: "an older snapshot may have a sound dump".to_owned(),
            aside: String::new(),
        }));
        let mut sound = preflight::without_unsound(&facts);
        if self.request.through == Through::Place {
            sound = preflight::without_home(&sound);
        }
        if let Err(error) = preflight::check(hestia, self.user, self.from, &sound) {
            found.push(Finding::from_error(&error));
        }
        Ok((plans, found))
    }

    fn plans(&self, facts: &Facts, monitor: &dyn Monitor) -> Result<Vec<Plan>> {
        let live = self.live()?;
        let home = self.server.hestia.user_home(self.user);
        let mut plans = Vec::new();
        for object in facts.all_objects() {
            let name = object.name.clone();
            let here = match object.section.as_str() {
                "DB" => {
                    let dump = facts.databases.get(&name).and_then(|one| one.dump.as_ref());
                    let kind = dump.map_or(DbKind::Mysql, |dump| dump.kind);
                    verify::renamed_here(kind, &name, self.user, self.from)
                }
                _ => name.clone(),
            };
            let exists = match object.section.as_str() {
                "UDIR" => home.join(&name).symlink_metadata().is_ok(),
                "CRON" => live.iter().any(|(section, _)| section == "CRON"),
                section => live.contains(&(section.to_owned(), here.clone())),
            };
            let mut plan = Plan { here, ..Plan::new(object.clone(), exists) };
            let action = if exists { Action::Overwrite } else { Action::Create };
            match object.section.as_str() {
                "WEB" => self.content(&mut plan, ("web", "data"), &name, "web", monitor)?,
                "MAIL" => {
                    let folder = mail_folder(&name)?;
                    self.content(&mut plan, ("mail", "accounts"), &folder, "mail", monitor)?;
                }
                "UDIR" => self.content(&mut plan, ("user_dir", ""), &name, "", monitor)?,
                "DB" => plan.add(action, "all tables"),
                "DNS" => plan.add(action, "all records"),
                "CRON" => plan.add(action, "all jobs"),
                _ => {}
            }
            plans.push(plan);
        }
        Ok(plans)
    }

    /// Names the tables of databases in their plans. That takes a look at the whole of their dumps,
    /// so a restore does without.
    pub fn name_tables(
        &self,
        (plans, found): (&mut [Plan], &mut Vec<Finding>),
        monitor: &dyn Monitor,
    ) -> Result<()> {
        for plan in plans.iter_mut().filter(|plan| plan.object.section == "DB") {
            let from = (self.repository, self.snapshot);
            match look_database::plan_database(self.server, from, plan, monitor) {
                Ok((named, finding)) => {
                    *plan = named;
                    found.extend(finding);
                }
                Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                // What is wrong with it was found already.
                Err(_) if found.iter().any(|one| one.object.as_ref() == Some(&plan.object)) => {}
                Err(error) => {
                    let why = format!("its tables are not known: {}", error.one_line());
                    let mend = "what stands in the way here may stop its restore, too";
                    found.push(Finding::change(Some(plan.object.clone()), why, mend));
                }
            }
        }
        Ok(())
    }

    fn content(
        &self,
        plan: &mut Plan,
        (top, inner): (&str, &str),
        folder: &str,
        below: &str,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let home = self.server.hestia.user_home(self.user);
        let path = |names: &[&str]| {
            let names = names.iter().filter(|name| !name.is_empty());
            names.into_iter().try_fold(RelPath::root(), |path, name| path.join(name.as_bytes()))
        };
        let is_site = top == "web";
        let place = Place {
            base: path(&[top, &plan.object.name, inner])?,
            root: &home,
            target: path(&[below, folder])?,
            takes: &|path| !(is_site && path.depth() > 1 && path.names().next() == Some(b"logs")),
            // As in `Site::site_content`.
            removes: &|path| {
                let mut names = path.names();
                is_site
                    && names.next() == Some(b"public_html")
                    && names.next().is_some_and(|name| !name.starts_with(b"."))
            },
        };
        plan::compare(self.repository, self.snapshot, &place, plan, monitor)
    }

    /// What the user has: section and name.
    fn live(&self) -> Result<BTreeSet<(String, String)>> {
        let mut found = BTreeSet::new();
        for (section, file, key) in [
            ("WEB", "web.conf", "DOMAIN"),
            ("DNS", "dns.conf", "DOMAIN"),
            ("MAIL", "mail.conf", "DOMAIN"),
            ("DB", "db.conf", "DB"),
            ("CRON", "cron.conf", "JOB"),
        ] {
            let rows = conf::read_rows(&self.server.hestia.user_file(self.user, file))?.rows;
            let names = rows.iter().map(|row| (section.to_owned(), row.text(key).to_owned()));
            found.extend(names);
        }
        Ok(found)
    }
}
