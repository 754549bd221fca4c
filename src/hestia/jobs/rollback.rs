// SPDX-License-Identifier: MIT
//! What could not be restored is as it was: an object whose restore failed as a whole is put back
//! from what was saved before, in the same run. Single files that a damaged repository lacks are
//! no such failure; what could be restored of their object stays.

use super::Server;
use super::put_back::PutBack;
use super::restore_steps::{Job, Muted};
use super::safety::{self, Safety, Saved};
use super::verify::{NOT_REACHED, NOT_TRIED, NOT_VERIFIED, Restored};
use crate::base::{Error, Kind, Monitor, Result};
use crate::format::Snapshot;
use crate::format::snapshot::{Object, Place};
use crate::hestia::layout::UserName;
use crate::hestia::userlock;
use crate::ops::restore::Report;
use crate::repo::IndexedRepository;
use std::cell::Cell;

/// What is needed to put something back at once.
pub(super) struct Rollback<'r> {
    pub server: &'r Server,
    pub repository: &'r IndexedRepository,
    pub user: &'r UserName,
    /// What was being restored.
    pub restored: &'r Snapshot,
    /// What was saved before; without it nothing can be put back.
    pub safety: Option<&'r Safety>,
}

impl Rollback<'_> {
    fn put_back<T>(
        &self,
        monitor: &dyn Monitor,
        put: impl FnOnce(&PutBack<'_>) -> Result<T>,
    ) -> Option<Result<T>> {
        let safety = self.safety?;
        let before = safety.snapshot.before.as_ref()?;
        // What was stopped may go on: nobody writes beside it.
        if let Err(error) = userlock::refuse_while_hestia_works(&self.server.hestia, self.user) {
            return Some(Err(error));
        }
        let repository = match self.repository.again_to_look(&Muted(monitor)) {
            Ok(repository) => repository,
            Err(error) => return Some(Err(error)),
        };
        let put_back = PutBack {
            server: self.server,
            repository: &repository,
            user: self.user,
            safety: (&safety.id, &safety.snapshot),
            before,
            restored: Some(self.restored),
            newer: Cell::new(0),
            untouched: Cell::new(false),
            changed: Cell::new(0),
        };
        Some(put(&put_back))
    }

    /// Puts the place back to which a restore failed; the error says what became of it.
    pub fn place(&self, error: Error, monitor: &dyn Monitor) -> Error {
        let put = self.put_back(monitor, |back| match &back.before.place {
            Some(place) => whole(back, place, monitor),
            None => Ok(()),
        });
        let end = match put {
            None => return error,
            Some(Ok(())) => {
                safety::forget(self.safety, self.repository, monitor);
                "it is as it was".to_owned()
            }
            Some(Err(second)) => self.unsuccessful(&second),
        };
        let hint = error.hint_text().map(|hint| format!("{end}; {hint}"));
        error.hint(hint.unwrap_or(end))
    }

    fn unsuccessful(&self, second: &Error) -> String {
        let undo = self.safety.map(Safety::undo_command).unwrap_or_default();
        format!("putting it back failed too: {}; {undo} tries it again", second.one_line())
    }
}

/// A place, and an account that was made for it.
fn whole(back: &PutBack<'_>, place: &Place, monitor: &dyn Monitor) -> Result<()> {
    let made = back.objects(&back.before.created, monitor);
    let Report { warnings, .. } = back.place(place, false, monitor)?;
    let problem = made.into_iter().find_map(|one| one.problem);
    match problem.or((warnings > 0).then(|| format!("{warnings} of its files are not back"))) {
        None => Ok(()),
        Some(why) => Err(Error::new(Kind::Partial, "put it back").why(why)),
    }
}

impl Job<'_> {
    /// Puts back what failed as a whole, and says so.
    pub fn roll_back(
        &self,
        mut objects: Vec<Restored>,
        saved: &Saved,
        monitor: &dyn Monitor,
    ) -> Vec<Restored> {
        let failed: Vec<Object> = objects
            .iter()
            .filter(|one| one.problem.as_deref().is_some_and(|why| self.is_whole(&one.object, why)))
            .map(|one| one.object.clone())
            .collect();
        if failed.is_empty() {
            return objects;
        }
        let (server, repository, user) = (self.server, self.repository, self.user);
        let safety = saved.safety.as_ref();
        let rollback = Rollback { server, repository, user, restored: self.snapshot, safety };
        let here: Vec<Object> = failed.iter().map(|one| saved.here(one)).collect();
        let put = rollback.put_back(monitor, |back| Ok(back.objects(&here, monitor)));
        let Some(put) = put else { return objects };
        for object in &failed {
            let here = saved.here(object);
            let second = match &put {
                Err(error) => Some(rollback.unsuccessful(error)),
                Ok(done) => {
                    let same = |one: &&Restored| {
                        one.object == here
                            || (here.section == "CRON" && one.object.section == "CRON")
                    };
                    let problem = done.iter().find(same).and_then(|one| one.problem.clone());
                    problem.map(|why| {
                        rollback.unsuccessful(&Error::new(Kind::Partial, "put it back").why(why))
                    })
                }
            };
            let end = second.unwrap_or_else(|| "it is as it was".to_owned());
            for one in objects.iter_mut().filter(|one| one.object == *object) {
                let why = one.problem.take().unwrap_or_default();
                one.problem = Some(format!("not restored: {why}; {end}"));
            }
        }
        objects
    }

    /// Whether an object's problem is one of all of it, and something was done to it.
    fn is_whole(&self, object: &Object, why: &str) -> bool {
        // The import of a database has put the old one back itself.
        let is_import = object.section == "DB" && self.in_place();
        let untouched =
            is_import || [NOT_REACHED, NOT_TRIED].contains(&why) || why.starts_with("left alone");
        // What nobody could look at may be back.
        !untouched && !why.starts_with(NOT_VERIFIED) && !self.partial.borrow().contains(object)
    }
}
