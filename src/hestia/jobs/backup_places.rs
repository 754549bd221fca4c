// SPDX-License-Identifier: MIT
//! The repositories that users are backed up into: a user's source goes into all of them at once,
//! and one that is not there or fails leaves the user's backup in the others.

use super::report::{Gather, Placed};
use crate::base::monitor::{Stage, Unheard};
use crate::base::{Error, FileId, Kind, Monitor, Result};
use crate::format::Snapshot;
use crate::hestia::layout::UserName;
use crate::ops::BackupOptions;
use crate::ops::backup::{BackupReport, Parent};
use crate::ops::several::{Target, backup_to_each};
use crate::repo::IndexedRepository;
use crate::tree::Source;

/// A repository of a run.
pub struct Place<'p> {
    /// What the person calls it.
    pub name: &'p str,
    /// The repository; the error, of which the person has been told, if it is not there.
    pub repository: Result<&'p IndexedRepository, &'p Error>,
}

/// A repository in which a user's backup is whole.
pub(super) struct Complete<'p> {
    pub(super) name: &'p str,
    pub(super) repository: &'p IndexedRepository,
    /// The user's snapshots in it: those of when the run began, and the new one.
    pub(super) snapshots: Vec<(FileId, Snapshot)>,
}

/// All of them, with the snapshots that were there when the run began.
pub(super) struct Places<'p>(Vec<Known<'p>>);

struct Known<'p> {
    name: &'p str,
    there: Result<(&'p IndexedRepository, Vec<(FileId, Snapshot)>)>,
}

impl<'p> Places<'p> {
    /// Reads what is in each of them; fails if that fails in all.
    pub(super) fn look(places: &[Place<'p>], monitor: &dyn Monitor) -> Result<Self> {
        let mut known: Vec<Known<'p>> = Vec::with_capacity(places.len());
        for place in places {
            let there = match place.repository {
                Ok(repository) => {
                    repository.readable_snapshots(monitor).map(|all| (repository, all))
                }
                Err(error) => Err(error.retold()),
            };
            if let (Ok(_), Err(error)) = (place.repository, &there)
                && places.len() > 1
            {
                let what = format!("back up into the repository {}", place.name);
                monitor.warn(error.retold().within(what));
            }
            known.push(Known { name: place.name, there });
        }
        if known.iter().any(|place| place.there.is_ok()) {
            return Ok(Self(known));
        }
        let first = known.into_iter().find_map(|place| place.there.err());
        Err(first.unwrap_or_else(|| Error::new(Kind::Usage, "back up").why("nowhere to store it")))
    }

    /// How many there are, open or not.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The user's snapshots in all of them.
    pub(super) fn snapshots_of(&self, user: &UserName) -> Vec<(FileId, Snapshot)> {
        let all = self.0.iter().filter_map(|place| place.there.as_ref().ok());
        let all = all.flat_map(|(_, snapshots)| of_user(snapshots, user));
        all.collect()
    }

    /// The snapshots that are there now, a list for each: a forget may have been at work since the
    /// run began. Fails if one of them cannot say.
    pub(super) fn now(&self, monitor: &dyn Monitor) -> Result<Vec<Vec<(FileId, Snapshot)>>> {
        let now = |place: &Known<'_>| match &place.there {
            Ok((repository, _)) => repository.readable_snapshots(monitor),
            Err(error) => Err(error.retold()),
        };
        self.0.iter().map(now).collect()
    }

    /// Those in which the user's backup is whole.
    pub(super) fn complete(&self, user: &UserName, placed: &[Placed]) -> Vec<Complete<'p>> {
        let both = self.0.iter().zip(placed).filter_map(|(place, one)| {
            let new = one.snapshot.as_ref().filter(|(_, it)| !it.is_partial())?;
            let (repository, all) = place.there.as_ref().ok()?;
            let mut snapshots: Vec<(FileId, Snapshot)> = of_user(all, user).collect();
            snapshots.push(new.clone());
            Some(Complete { name: place.name, repository, snapshots })
        });
        both.collect()
    }

    /// Stores a user's source in each of them; what went wrong in one is told, and is the failure
    /// of all if none has it.
    pub(super) fn store(
        &self,
        user: &UserName,
        source: &mut dyn Source,
        options: &BackupOptions,
        gather: &Gather<'_>,
    ) -> Result<Vec<Placed>> {
        gather.stage(Stage::Step { name: "storing", total: None });
        let before = gather.warnings();
        let open: Vec<_> = self.0.iter().filter_map(|place| place.there.as_ref().ok()).collect();
        let heard: Vec<Gather<'_>> = open.iter().map(|_| Gather::new(&Unheard)).collect();
        let mut targets = Vec::with_capacity(open.len());
        for ((repository, all), monitor) in open.iter().zip(&heard) {
            let parent = Parent::Among(of_user(all, user).collect());
            let options = BackupOptions { parent, ..options.clone() };
            targets.push(Target { repository, options, monitor });
        }
        let mut results = backup_to_each(source, &targets, gather).into_iter().zip(&heard);
        let (mut placed, mut failures) = (Vec::new(), Vec::new());
        for place in &self.0 {
            let (snapshot, mut warnings) = match &place.there {
                Ok((repository, _)) => {
                    let Some((report, heard)) = results.next() else { continue };
                    let stored = report.and_then(|report| proven(repository, &report));
                    (stored, heard.warnings())
                }
                Err(error) => (Err(error.retold()), Vec::new()),
            };
            warnings.splice(0..0, before.iter().cloned());
            let snapshot = snapshot.map_err(|error| failures.push((placed.len(), error))).ok();
            placed.push(Placed { repository: place.name.to_owned(), snapshot, warnings });
        }
        self.tell(user, &mut placed, failures, gather)?;
        Ok(placed)
    }

    /// Tells what failed where.
    fn tell(
        &self,
        user: &UserName,
        placed: &mut [Placed],
        failures: Vec<(usize, Error)>,
        gather: &Gather<'_>,
    ) -> Result<()> {
        let all_failed = failures.len() == placed.len();
        let mut first = None;
        for (at, error) in failures {
            let Some(place) = placed.get_mut(at) else { continue };
            if all_failed && first.is_none() {
                first = Some(error);
                continue;
            }
            let what = format!("store the user {user} in the repository {}", place.repository);
            let error = error.within(what);
            place.warnings = vec![error.one_line()];
            // Of one that was not there the person has been told.
            if self.0.get(at).is_some_and(|known| known.there.is_err()) {
                gather.keep(error.one_line());
            } else {
                gather.warn(error);
            }
        }
        first.map_or(Ok(()), Err)
    }
}

fn of_user<'s>(
    all: &'s [(FileId, Snapshot)],
    user: &UserName,
) -> impl Iterator<Item = (FileId, Snapshot)> + use<'s> {
    let user = user.to_string();
    all.iter().filter(move |(_, one)| one.user == user).cloned()
}

/// The new snapshot, read once more as a restore would: what others are told is there must be.
pub(super) fn proven(
    repository: &IndexedRepository,
    report: &BackupReport,
) -> Result<(FileId, Snapshot)> {
    let id = report.id.ok_or_else(|| Error::new(Kind::Internal, "find the new snapshot"))?;
    let read = repository.snapshot(&id)?;
    // Storing it has added the entry of the history that vouches for it, and said who sealed it.
    let (history, is_deposit) = (read.history.clone(), read.is_deposit);
    let stored = Snapshot { history, is_deposit, ..report.snapshot.clone() };
    if read != stored {
        return Err(Error::new(Kind::Damaged, "read the new snapshot back"));
    }
    Ok((id, read))
}
