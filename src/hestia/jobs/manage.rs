// SPDX-License-Identifier: MIT
//! Snapshots of Hestia users: list, find, remove. A snapshot of another user does not exist here,
//! for reading as for removing; neither does one of an earlier user of the same name, unless that
//! is asked for.

use super::Server;
use crate::base::{Error, FileId, Kind, Monitor, Result};
use crate::format::Snapshot;
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::repo::{Repository, snapshots};

/// Whether a snapshot is known to be of the person who has this name today. Unknown counts as no:
/// an old tarball that does not tell may be of somebody who had the name before, whose files and
/// passwords are nothing for today's customer.
pub fn is_of_today(snapshot: &Snapshot, identity: &str) -> bool {
    !identity.is_empty() && snapshot.user_identity == identity
}

/// The backups of one user, or of all Hestia users, oldest first. Snapshots that cannot be read
/// are warnings; those that were taken before a restore are no backups.
pub fn list(
    repository: &Repository,
    user: Option<&UserName>,
    monitor: &dyn Monitor,
) -> Result<Vec<(FileId, Snapshot)>> {
    let mut all = repository.readable_snapshots(monitor)?;
    all.retain(|(_, one)| match user {
        Some(user) => one.user == user.as_str() && !one.is_safety(),
        None => !one.user.is_empty() && !one.is_safety(),
    });
    Ok(all)
}

/// The snapshot of this user that a person means by an id, a prefix, a name or `latest`.
pub fn find(
    repository: &Repository,
    user: &UserName,
    wanted: &str,
    monitor: &dyn Monitor,
) -> Result<(FileId, Snapshot)> {
    let all = list(repository, Some(user), monitor)?;
    snapshots::find(&all, wanted, Some(user.as_str())).cloned().map_err(|error| {
        error.hint(format!("list them with 'ghostsnap hestia list-backups --user {user}'"))
    })
}

/// Fails if a snapshot was taken of an earlier user of this name, or may have been.
pub fn check_same_person(server: &Server, user: &UserName, snapshot: &Snapshot) -> Result<()> {
    if !inventory::exists(&server.hestia, user) {
        return Ok(());
    }
    let identity = inventory::user(&server.hestia, user)?.identity;
    if is_of_today(snapshot, &identity) {
        return Ok(());
    }
    let or_unknown = |text: &str| match text {
        "" => "a time that is not known".to_owned(),
        known => known.to_owned(),
    };
    Err(Error::new(Kind::Forbidden, format!("take {} for the user {user}", snapshot.name))
        .why(format!(
            "it is of a user {user} made at {}, today's was made at {}",
            or_unknown(&snapshot.user_identity),
            or_unknown(&identity)
        ))
        .hint("--force takes it all the same, if it is the same person"))
}

/// Removes a snapshot of this user; its data goes with the next prune.
pub fn delete(
    server: &Server,
    repository: &Repository,
    user: &UserName,
    wanted: &str,
    monitor: &dyn Monitor,
) -> Result<(FileId, Snapshot)> {
    let (id, snapshot) = find(repository, user, wanted, monitor)?;
    if snapshot.pinned {
        return Err(Error::new(Kind::Forbidden, format!("remove snapshot {}", snapshot.name))
            .why("it is pinned")
            .hint("'ghostsnap unpin' takes the pin off"));
    }
    repository.remove_snapshots([(id, Some(&snapshot))])?;
    let text = format!("Ghostsnap removed the snapshot {}.", snapshot.name);
    let news = super::News { topic: "Backup removed", text, is_problem: false, asked_for: false };
    server.tell(user, &news, monitor);
    Ok((id, snapshot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_identity_is_never_taken_for_the_same_person() {
        let of =
            |identity: &str| Snapshot { user_identity: identity.to_owned(), ..Snapshot::default() };
        assert!(!is_of_today(&of(""), "2026-11-22T07:03:50"));
        assert!(!is_of_today(&of("2026-11-22T07:03:50"), ""));
        assert!(!is_of_today(&of(""), ""));
        assert!(is_of_today(&of("2026-11-22T07:03:50"), "2026-11-22T07:03:50"));
        assert!(!is_of_today(&of("2025-01-01T00:00:00"), "2026-11-22T07:03:50"));
    }
}
