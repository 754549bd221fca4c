// SPDX-License-Identifier: MIT
//! The repositories of one run: each is open, or there is an error that says why not; none of them
//! counts twice.

use crate::backend::shown_address;
use crate::base::{Error, FileId, Kind, Monitor, Result, limits};
use crate::hestia::named::{DEFAULT, RepositoryName};
use crate::repo::IndexedRepository;

/// One repository of a run.
pub struct Place {
    /// What the person calls it: a name, `default`, or an address as it may be shown.
    pub name: String,
    /// The repository with its index, if it is there.
    pub opened: Result<IndexedRepository>,
}

impl Place {
    /// A repository that was opened, or not, by this name.
    pub fn of(name: Option<&str>, opened: Result<IndexedRepository>) -> Self {
        let name = name.unwrap_or(DEFAULT);
        let is_name = RepositoryName::is_meant(name);
        let name = if is_name { name.to_owned() } else { shown_address(name) };
        Self { name, opened }
    }

    /// What keeps it from being used, in a warning's words.
    pub fn told(&self, error: &Error) -> Error {
        error.retold().within(format!("back up into the repository {}", self.name))
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
/// they think: for each place the error that says so, if one before it is the same.
pub fn the_same(places: &[&Place]) -> Vec<Option<Error>> {
    let mut seen: Vec<(FileId, &str)> = Vec::new();
    let mut errors = Vec::with_capacity(places.len());
    for place in places {
        let id = place.opened.as_ref().ok().map(|repository| repository.config().repository_id);
        let before = seen.iter().find(|(other, _)| Some(*other) == id);
        errors.push(before.map(|(_, other)| {
            let why = format!("it is the repository {other} once more");
            Error::new(Kind::Invalid, "count it twice").why(why)
        }));
        seen.extend(id.map(|id| (id, place.name.as_str())));
    }
    errors
}

/// Tells which of them are not open or are the same as one before, and gives those up. If none is
/// left, that fails with the first one's error.
pub fn check_all(places: &mut [Place], monitor: &dyn Monitor) -> Result<()> {
    let twice = the_same(&places.iter().collect::<Vec<_>>());
    for (place, error) in places.iter_mut().zip(twice) {
        if let Some(error) = error {
            place.opened = Err(error);
        }
    }
    let none_is = places.iter().all(|place| place.opened.is_err());
    let mut first = None;
    for place in places {
        let Err(error) = &place.opened else { continue };
        if none_is && first.is_none() {
            first = Some(error.retold());
        } else {
            monitor.warn(place.told(error));
        }
    }
    first.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_place_holds_no_secret_of_its_address() {
        let refused = || Error::new(Kind::Invalid, "use this address");
        let place = |text| Place::of(Some(text), Err(refused()));
        for address in ["s3:https://id:hush@host/b", "s3:https://host/b?hush", "sftp://me:hush@h/b"]
        {
            let place = place(address);
            let told = place.told(&refused()).to_string();
            assert!(!told.contains("hush") && !place.name.contains("hush"), "{told}");
        }
        for text in ["offsite", "default", "/srv/a@b", "s3:https://host/b", "./r"] {
            assert_eq!(place(text).name, text);
        }
    }
}
