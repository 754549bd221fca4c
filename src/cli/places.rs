// SPDX-License-Identifier: MIT
//! The repositories of one run: each is open, or there is an error that says why not; none of them
//! counts twice.

use crate::base::{Error, FileId, Kind, Monitor, Result, limits};
use crate::hestia::named::DEFAULT;
use crate::repo::IndexedRepository;

/// One repository of a run.
pub struct Place {
    /// What the person calls it: a name, an address, or `default`.
    pub name: String,
    /// The repository with its index, if it is there.
    pub opened: Result<IndexedRepository>,
}

impl Place {
    /// A repository that was opened, or not, by this name.
    pub fn of(name: Option<&str>, opened: Result<IndexedRepository>) -> Self {
        Self { name: name.unwrap_or(DEFAULT).to_owned(), opened }
    }
}

/// One backup goes into a bounded number of repositories.
pub fn check_number(places: usize) -> Result<()> {
    let most = limits::REPOSITORIES_AT_ONCE_MAX;
    if places <= most {
        return Ok(());
    }
    Err(Error::new(Kind::Limit, format!("back up into {places} repositories at once"))
        .why(format!("there may be {most}")))
}

/// Whoever names a repository twice, by its name and its address perhaps, has one backup less than
/// they think: the second one is an error.
pub fn refuse_the_same(places: &mut [Place]) {
    let mut seen: Vec<(FileId, String)> = Vec::new();
    for place in places {
        let Ok(repository) = &place.opened else { continue };
        let id = repository.config().repository_id;
        match seen.iter().find(|(other, _)| *other == id) {
            Some((_, other)) => {
                let why = format!("it is the repository {other} once more");
                place.opened = Err(Error::new(Kind::Invalid, "count it twice").why(why));
            }
            None => seen.push((id, place.name.clone())),
        }
    }
}

/// Tells which are not open. If none is, that fails with the first one's error.
pub fn check_some_open(places: &[Place], monitor: &dyn Monitor) -> Result<()> {
    let none_is = places.iter().all(|place| place.opened.is_err());
    let mut first = None;
    for place in places {
        let Err(error) = &place.opened else { continue };
        let told = error.retold();
        if none_is && first.is_none() {
            first = Some(told);
        } else {
            monitor.warn(told.within(format!("back up into the repository {}", place.name)));
        }
    }
    first.map_or(Ok(()), Err)
}
