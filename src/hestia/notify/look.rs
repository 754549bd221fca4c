// SPDX-License-Identifier: MIT
//! One look at the whole server: how well each user and each repository is, from which everything
//! that is told, and every metric, is made. Whoever opens repositories fills it in.

use super::told::Book;
use super::trouble::{self, PlaceState, Seen, Subject};
use crate::base::{Monitor, Result, Timestamp};
use crate::hestia::Hestia;
use crate::hestia::inventory::{self, User};
use crate::hestia::jobs::health::{Health, Light};
use crate::hestia::layout::UserName;
use crate::hestia::settings::{Settings, Suspended};

/// A user, and how well the user's backups are.
#[derive(Debug)]
pub struct UserLook {
    /// The user.
    pub user: User,
    /// The worst light of all repositories.
    pub light: Light,
    /// Each repository of the user, the first one first.
    pub places: Vec<(String, Health)>,
}

impl UserLook {
    /// What was seen of a user.
    pub fn new(user: User, places: Vec<(String, Health)>) -> Self {
        let light = places.iter().map(|(_, health)| health.light).max().unwrap_or(Light::Red);
        Self { user, light, places }
    }

    /// How it is in the first repository.
    pub fn first(&self) -> Option<&Health> {
        self.places.first().map(|(_, health)| health)
    }

    /// Bytes that backups of the last seven days have added, in all repositories.
    pub fn added_week(&self) -> u64 {
        self.places.iter().map(|(_, health)| health.added_week).sum()
    }
}

/// How well everything is.
#[derive(Debug, Default)]
pub struct Look {
    /// The users.
    pub users: Vec<UserLook>,
    /// The repositories.
    pub places: Vec<PlaceState>,
}

impl Look {
    /// What is wrong, one by one; also with those who could not be told.
    pub fn seen(&self, settings: &Settings, book: &Book, now: Timestamp) -> Seen {
        let mut seen = Seen::default();
        for one in &self.users {
            let subject = Subject::User(one.user.name.clone());
            let found = trouble::of_user(settings, &one.user, &one.places, now);
            seen.troubles.extend(found);
            if one.places.iter().any(|(_, health)| health.is_unknown) {
                seen.unknown.insert(subject);
            } else {
                seen.looked.insert(subject);
            }
        }
        for place in &self.places {
            let subject = Subject::Repository(place.name.clone());
            seen.troubles.extend(trouble::of_place(settings, place));
            let is_known = place.light.is_ok();
            if is_known {
                seen.looked.insert(subject)
            } else {
                seen.unknown.insert(subject)
            };
        }
        for (name, told) in &book.receivers {
            seen.looked.insert(Subject::Receiver(name.clone()));
            if let Some(failing) = told.failing.as_ref().filter(|one| one.times > 1) {
                let reason = &failing.reason;
                seen.troubles.push(trouble::of_receiver(name, failing.since, reason, now));
            }
        }
        seen
    }
}

/// The users that backups are made of: those whom a rule leaves out are nobody's trouble. One whose
/// files cannot be read is told of and left out.
pub fn users(hestia: &Hestia, settings: &Settings, monitor: &dyn Monitor) -> Result<Vec<User>> {
    let policy = inventory::system_setting(hestia, "POLICY_BACKUP_SUSPENDED_USERS")?;
    let takes_suspended = policy == "yes" && settings.suspended_users != Suspended::Skip;
    let mut users = Vec::new();
    for name in inventory::users(hestia)? {
        match inventory::user(hestia, &name) {
            Ok(user) if user.is_suspended() && !takes_suspended => {}
            Ok(user) => users.push(user),
            Err(error) => monitor.warn(error),
        }
    }
    Ok(users)
}

/// The administrator's user of the panel, if Hestia has one.
pub fn root(hestia: &Hestia) -> Result<Option<UserName>> {
    let name = inventory::system_setting(hestia, "ROOT_USER")?;
    let name = if name.is_empty() { "admin" } else { name.as_str() };
    // Somebody with a strange name is told nothing in the panel.
    let name = UserName::parse(name).ok();
    Ok(name.filter(|name| inventory::exists(hestia, name)))
}
