// SPDX-License-Identifier: MIT
//! The steps of a restore: Hestia is given a tarball of configuration, or of everything; the rest
//! is put in place by us; and both are compared with the snapshot.

use super::export::{self, Access, Order};
use super::filter::Facts;
use super::ftp_accounts::{Before, Wanted};
use super::in_place::{Site, Undo};
use super::offers::Offers;
use super::preflight::{self, TakenNames};
use super::restore::{RestoreRequest, Through};
use super::restore_database::DatabaseJob;
use super::shelf::{SharedShelf, Shelf, WebParts};
use super::verify::{self, Done, Restored};
use super::{IMPORTED, Server, databases_in_place};
use crate::base::error::io_error;
use crate::base::monitor::{Stage, Stop};
use crate::base::{Counter, Error, Kind, Monitor, Result, WhatIo, Within, limits};
use crate::format::Snapshot;
use crate::format::snapshot::Object;
use crate::hestia::call::{Call, Outcome, ToTheEnd};
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::hestia::select::{Choice, Sections};
use crate::repo::IndexedRepository;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub(super) struct Job<'j> {
    pub server: &'j Server,
    pub repository: &'j IndexedRepository,
    pub user: &'j UserName,
    pub from: &'j UserName,
    pub snapshot: &'j Snapshot,
    pub request: &'j RestoreRequest,
    /// The restore that is taken back by this one.
    pub undoes: Option<&'j Undo<'j>>,
    /// The objects of which some is back and some is not.
    pub partial: RefCell<BTreeSet<Object>>,
}

impl Job<'_> {
    pub fn run(&mut self, monitor: &dyn Monitor) -> Result<(Vec<Restored>, u64)> {
        self.remove_leftovers(monitor);
        let tarball = TemporaryTarball(self.server.hestia.in_backup(&self.file_name()));
        let done = self.with(&tarball, monitor);
        tarball.remove(monitor);
        done
    }

    /// A restore that was killed leaves its tarball behind; with the user's lock held, whatever
    /// bears such a name is one.
    fn remove_leftovers(&self, monitor: &dyn Monitor) {
        let folder = &self.server.hestia.backup;
        // What cannot be listed cannot be tidied; writing there will tell.
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.take(limits::LISTED_ENTRIES_MAX) {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| is_ours(name, self.user)) {
                TemporaryTarball(entry.path()).remove(monitor);
            }
        }
    }

    /// Where Hestia looks for it, but not beginning with the user's name: older releases count
    /// every file that does when they thin out their backups.
    fn file_name(&self) -> String {
        let stamp = self.snapshot.tree.first().map(crate::base::ChunkId::short);
        format!("gs-{}-{}.tar", self.user, stamp.unwrap_or_default())
    }

    fn with(
        &self,
        tarball: &TemporaryTarball,
        monitor: &dyn Monitor,
    ) -> Result<(Vec<Restored>, u64)> {
        let server = self.server;
        let mut sections = self.request.sections.clone();
        let shelf = SharedShelf::default();
        let (mut facts, mut bytes) = self.write(tarball, &sections, &shelf, monitor)?;
        let unsound = preflight::unsound_databases(&facts);
        if !unsound.is_empty() {
            // Hestia would empty these; the rest of the user is none the worse for them.
            let sound = facts.databases.keys().filter(|name| !unsound.contains_key(*name));
            sections.db = match sound.cloned().collect::<Vec<_>>() {
                none if none.is_empty() => Choice::Nothing,
                some => Choice::Some(some),
            };
            self.check_something_left(&sections, &facts, unsound.values().next())?;
            (facts, bytes) = self.write(tarball, &sections, &shelf, &Muted(monitor))?;
        }
        let seen = if self.in_place() { preflight::without_home(&facts) } else { facts.clone() };
        preflight::check(&server.hestia, self.user, self.from, &seen)?;
        // What we put in place ourselves follows no link.
        let is_hestias = |one: &&Object| !(self.in_place() && one.section == "UDIR");
        let objects: Vec<&Object> = facts.objects.iter().filter(is_hestias).collect();
        preflight::check_live_folders(&server.hestia, self.user, &objects)?;
        let offers = Offers::read(&server.hestia)?;
        let taken = TakenNames::but_of(&server.hestia, self.user)?;
        let logins = Before::look(server, self.user)?;
        let outcome = match self.hestia_restores(&sections, &facts, monitor)? {
            Ended::ByItself(outcome) => Ok(outcome),
            Ended::Unknown(error) => Err(error),
        };
        // From here on something has been done, so whatever goes wrong is said beside it.
        let placed = match &outcome {
            Ok(_) if self.in_place() && inventory::exists(&server.hestia, self.user) => {
                self.put_in_place(&facts, &shelf.take(), (&offers, &taken), monitor)
            }
            _ => BTreeMap::new(),
        };
        if let Err(error) = self.settle_logins(&logins, &facts, monitor) {
            monitor.warn(error);
        }
        let mut objects = self.verified(&facts, outcome, &placed, monitor);
        let lost = unsound.into_iter().map(|(name, why)| Restored {
            object: Object { section: "DB".to_owned(), name },
            problem: Some(format!("left alone: {why}")),
        });
        objects.extend(lost);
        if let Err(error) = verify::user_is_there(&server.hestia, self.user) {
            monitor.warn(error);
        }
        Ok((objects, bytes))
    }

    fn settle_logins(&self, before: &Before, facts: &Facts, monitor: &dyn Monitor) -> Result<()> {
        let domains = facts.of("WEB");
        let from = (self.repository, self.snapshot);
        // Without it every new account is locked, which is better than what Hestia may have left.
        let wanted = Wanted::read(from, domains, (self.user, self.from));
        let wanted = wanted.unwrap_or_else(|error| {
            monitor.warn(error);
            Wanted::default()
        });
        before.settle(self.server, self.user, &wanted, monitor)
    }

    pub fn in_place(&self) -> bool {
        self.request.through == Through::Place
    }

    fn verified(
        &self,
        facts: &Facts,
        outcome: Result<Outcome>,
        placed: &BTreeMap<Object, Option<String>>,
        monitor: &dyn Monitor,
    ) -> Vec<Restored> {
        let who = (self.user, self.from);
        let verified = outcome.and_then(|outcome| {
            let done = Done { outcome: &outcome, in_place: self.in_place(), placed };
            let objects = verify::verify(&self.server.hestia, who, facts, &done, monitor)?;
            if !outcome.is_ok() && !objects.iter().any(|one| one.problem.is_some()) {
                let failed = Error::new(Kind::Partial, "end the restore properly");
                monitor.warn(failed.why(format!("v-restore-user failed: {}", outcome.complaint())));
            }
            Ok(objects)
        });
        verified.unwrap_or_else(|error| {
            let objects = verify::unverified(facts, &error);
            monitor.warn(error.within(format!("verify the restore of {}", self.user)));
            objects
        })
    }

    /// Databases, sites, mailboxes and the home, each on its own: one that fails stops no other.
    fn put_in_place(
        &self,
        facts: &Facts,
        shelf: &Shelf,
        (offers, taken): (&Offers, &TakenNames),
        monitor: &dyn Monitor,
    ) -> BTreeMap<Object, Option<String>> {
        let (server, repository, snapshot) = (self.server, self.repository, self.snapshot);
        let (user, from) = (self.user, self.from);
        let is_taken = |name: &str| taken.has(name);
        let undoes = self.undoes;
        let site =
            Site { server, repository, snapshot, user, from, offers, taken: &is_taken, undoes };
        for path in &shelf.too_large {
            monitor
                .warn(Error::new(Kind::Limit, format!("take over {path}")).why("it is too large"));
        }
        let job = DatabaseJob { server, repository, snapshot, user, from };
        let mut placed = databases_in_place::place(&job, facts, monitor);
        let none = WebParts::default();
        for object in &facts.objects {
            let name = &object.name;
            let done = match object.section.as_str() {
                // How it differs was told before.
                "WEB" => site.web(name, shelf.web.get(name).unwrap_or(&none), monitor).map(drop),
                "MAIL" => site.mailboxes(name, monitor),
                "UDIR" => site.home_entry(name, monitor),
                _ => continue,
            };
            if done.as_ref().is_err_and(|error| error.kind() == Kind::Partial) {
                self.partial.borrow_mut().insert(object.clone());
            }
            placed.insert(object.clone(), done.err().map(|error| error.one_line()));
        }
        site.finish(facts.of("WEB").next().is_some(), monitor);
        placed
    }

    fn check_something_left(
        &self,
        sections: &Sections,
        facts: &Facts,
        why: Option<&String>,
    ) -> Result<()> {
        let left = facts.all_objects().iter().any(|one| sections.takes(one));
        if left || !inventory::exists(&self.server.hestia, self.user) {
            return Ok(());
        }
        Err(Error::new(Kind::Db, format!("restore the databases of {}", self.user))
            .why(why.cloned().unwrap_or_default())
            .hint("nothing was changed; an older snapshot may have a sound dump"))
    }

    fn write(
        &self,
        tarball: &TemporaryTarball,
        sections: &Sections,
        shelf: &SharedShelf,
        monitor: &dyn Monitor,
    ) -> Result<(Facts, u64)> {
        let order = Order {
            sections,
            access: Access::Root,
            admin: self.request.admin,
            trusted: self.request.trust_config || self.snapshot.source != IMPORTED,
            renamed: (self.user != self.from).then_some((self.from, self.user)),
            shelf: self.in_place().then_some(shelf),
        };
        let (server, path) = (self.server, &tarball.0);
        export::write(server, self.repository, self.snapshot, path, &order, monitor)
    }

    /// Runs `v-restore-user`. Fails if it did not start or ended before it came to anything.
    fn hestia_restores(
        &self,
        sections: &Sections,
        facts: &Facts,
        monitor: &dyn Monitor,
    ) -> Result<Ended> {
        let existed = inventory::exists(&self.server.hestia, self.user);
        let mut words = selectors(sections, facts);
        if self.in_place() {
            [words[0], words[3], words[5]] = ["no"; 3];
            if existed && words.iter().all(|word| *word == "no") {
                // There is nothing for it to do.
                return Ok(Ended::ByItself(Outcome { code: Some(0), output: String::new() }));
            }
        }
        monitor.stage(Stage::Step { name: "Hestia restores", total: None });
        let mut arguments = vec![self.user.to_string(), self.file_name()];
        arguments.extend(words.map(str::to_owned));
        arguments.push("no".to_owned());
        let mut call = Call::hestia(&self.server.hestia, "v-restore-user", arguments);
        call.low_priority = self.server.settings.low_priority;
        call.limit = self.server.settings.restore_limit;
        let private = self.in_place().then(|| PrivateFolder::new(self)).transpose()?;
        call.environment.extend(
            private.iter().map(|one| ("BACKUP_TEMP".to_owned(), one.0.display().to_string())),
        );
        let what = || format!("restore the user {}", self.user);
        // Stopped half-way it would leave half a user behind.
        let outcome = match self.server.caller.call(&call, &ToTheEnd(monitor)).within(what) {
            Ok(outcome) => outcome,
            // Only a command that is not there or may not be run fails like this.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => {
                return Err(error);
            }
            Err(error) => return Ok(Ended::Unknown(error)),
        };
        let made_user = !existed && inventory::exists(&self.server.hestia, self.user);
        if made_user || verify::reached_anything(&outcome) {
            return Ok(Ended::ByItself(outcome));
        }
        outcome.check(what(), &call).map(Ended::ByItself)
    }
}

/// Where Hestia unpacks configuration while it restores. It gives its folder to the customer while
/// it works there as root, who could exchange what it has unpacked; in here nobody can.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn new(job: &Job<'_>) -> Result<Self> {
        let path = job.server.hestia.in_backup(&format!(".{}.d", job.file_name()));
        let what = || format!("make the folder {}", path.display());
        if path.symlink_metadata().is_ok() {
            std::fs::remove_dir_all(&path).what_io(what)?;
        }
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&path)
            .what_io(what)?;
        Ok(Self(path))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // Only root sees what is left of it, and the next restore of this snapshot removes it.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// How a restore by Hestia that was started ended.
enum Ended {
    /// It says how.
    ByItself(Outcome),
    /// It was stopped or lost sight of; nobody knows how far it came.
    Unknown(Error),
}

/// The arguments WEB DNS MAIL DB CRON UDIR. The tarball holds nothing but what is meant, so all of
/// it is: Hestia takes names for patterns. What is not there is `no`: Hestia fails on an empty
/// section.
fn selectors(sections: &Sections, facts: &Facts) -> [&'static str; 6] {
    let word = |meant: bool| if meant { "*" } else { "no" };
    let has = |section: &str| facts.of(section).next().is_some();
    let web = facts.of("WEB").any(|name| facts.web_with_data.contains(name));
    let cron = facts.has_cron && !sections.cron.is_nothing();
    [web, has("DNS"), has("MAIL"), has("DB"), cron, has("UDIR")].map(word)
}

/// Whether a restore of this user gave a file this name: `gs-USER-<8 digits>.tar`, or that with a
/// dot before and `.<process>.part` behind while it is written.
fn is_ours(name: &str, user: &UserName) -> bool {
    let draft = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".part"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let draft = draft.and_then(|rest| rest.rsplit_once('.')).filter(|(_, process)| number(process));
    let name = draft.map_or(name, |(name, _)| name);
    let stamp = name
        .strip_prefix("gs-")
        .and_then(|rest| rest.strip_prefix(user.as_str()))
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(".tar"));
    stamp.is_some_and(|stamp| stamp.len() == 8 && stamp.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The tarball between us and Hestia; gone when the job is, however it ended.
struct TemporaryTarball(PathBuf);

impl TemporaryTarball {
    fn remove(&self, monitor: &dyn Monitor) {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                monitor.warn(io_error(error, format!("remove {}", self.0.display())));
            }
            _ => {}
        }
    }
}

impl Drop for TemporaryTarball {
    fn drop(&mut self) {
        // Only after a panic is there anything left; that is what will be reported.
        drop(std::fs::remove_file(&self.0));
    }
}

/// A monitor for doing something a second time: its warnings have been given.
pub(super) struct Muted<'m>(pub(super) &'m dyn Monitor);

impl Monitor for Muted<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.0.count(counter, n);
    }
    fn warn(&self, _warning: Error) {}
    fn stage(&self, stage: Stage) {
        self.0.stage(stage);
    }
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
    fn stop(&self) -> Stop {
        self.0.stop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_told_from_what_belongs_to_others() {
        let user = UserName::parse("a").unwrap();
        for ours in ["gs-a-0123abcd.tar", ".gs-a-0123abcd.tar.4711.part"] {
            assert!(is_ours(ours, &user), "{ours}");
        }
        for other in [
            "gs-a-b-0123abcd.tar",
            "gs-ab-0123abcd.tar",
            "a.gs-0123abcd.tar",
            "gs-a-mine.tar",
            ".gs-a-0123abcd.tar.x.part",
            "gs-a-0123abcd.tar.gz",
        ] {
            assert!(!is_ours(other, &user), "{other}");
        }
    }

    #[test]
    fn hestia_is_asked_for_all_that_is_there_and_nothing_else() {
        let mut facts = Facts { has_cron: true, cron_jobs: 1, ..Facts::default() };
        for (section, name) in [("WEB", "a.example"), ("DB", "alice_wp"), ("DNS", "a.example")] {
            facts.objects.insert(Object { section: section.into(), name: name.into() });
        }
        let words =
            |sections: &Sections, facts: &Facts| -> String { selectors(sections, facts).join(" ") };
        // A web domain without files is nothing to Hestia.
        assert_eq!(words(&Sections::all(), &facts), "no * no * * no");
        facts.web_with_data.insert("a.example".into());
        let no_cron = Sections::parse(&["", "", "", "", "no"]).unwrap();
        assert_eq!(words(&no_cron, &facts), "* * no * no no");
    }
}
