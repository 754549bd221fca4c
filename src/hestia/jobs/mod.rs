// SPDX-License-Identifier: MIT
//! What Ghostsnap does for Hestia, each a function from (server, repository, request, monitor) to
//! a report: back users up ([`backup`]), thin out their tarballs ([`cleanup`]), take old tarballs
//! in ([`mod@import`]), make tarballs ([`mod@export`]), give users back ([`mod@restore`]) or single
//! databases ([`mod@restore_database`]), and
//! list, show and remove what is there ([`manage`]). Nothing here prints.

mod answers;
pub mod backup;
mod backup_direct;
mod backup_places;
mod backup_tarball;
pub mod cleanup;
mod database_plan;
mod databases_in_place;
pub mod download;
pub mod export;
pub mod files;
pub mod filter;
pub mod findings;
mod ftp_accounts;
pub mod health;
pub mod health_places;
pub mod import;
mod in_place;
mod last_run;
mod leftovers;
pub mod look_database;
pub mod mailbox;
pub mod manage;
pub mod offers;
pub mod outlook;
pub mod plan;
pub mod preflight;
mod put_back;
pub mod rehearsal;
mod rehearsal_databases;
mod rehearsal_parts;
pub mod rehearsal_users;
mod rename;
pub mod report;
pub mod restore;
pub mod restore_database;
mod restore_steps;
pub mod retention;
mod rollback;
pub mod safety;
mod saved;
mod several;
mod shelf;
pub mod undo;
pub mod verify;
mod web_row;

use super::call::{self, Caller, Level, SystemCaller};
use super::customers;
use super::inventory::User;
use super::layout::{Hestia, UserName};
use super::settings::{Notify, Settings};
use crate::base::{Error, FileId, Kind, Monitor, Result, Timestamp, World, limits};
use crate::format::Snapshot;
use std::sync::Arc;

pub use backup::{BackupRequest, backup_users, backup_users_into, chosen_users};
pub use backup_places::Place;
pub use export::{ExportRequest, Exported, export};
pub use import::{ImportRequest, import};
pub use last_run::note_failure;
pub use look_database::preview_database;
pub use manage::{delete, find, list};
pub use outlook::Outlook;
pub use rehearsal::{Rehearsal, RehearsalRequest, rehearse};
pub use report::{Placed, RunReport, State, UserOutcome};
pub use restore::{RestoreReport, RestoreRequest, Through, preview, restore};
pub use restore_database::{DatabaseReport, DatabaseRequest, restore_database};
pub use safety::Safety;
pub use undo::{RestoreJob, UndoReport, UndoRequest, list_restores, undo};

/// The machine that the jobs work on.
#[derive(Clone)]
pub struct Server {
    /// Where Hestia is.
    pub hestia: Hestia,
    /// Our settings.
    pub settings: Settings,
    /// What runs Hestia's commands.
    pub caller: Arc<dyn Caller>,
    /// Time and randomness.
    pub world: Arc<World>,
}

impl Server {
    /// A server whose commands really run.
    pub fn new(hestia: Hestia, settings: Settings, world: Arc<World>) -> Self {
        let caller = Arc::new(SystemCaller::new(&hestia, Some(settings.log_file())));
        Self { hestia, settings, caller, world }
    }

    /// What a direct backup of this user leaves out: by the settings, and by the user's own wish,
    /// where that counts. A wish that cannot be read leaves nothing out.
    fn exclude_of(&self, user: &User, monitor: &dyn Monitor) -> Vec<String> {
        let mut globs = self.settings.exclude_of(user.name.as_str());
        if self.settings.customers.of(user).exclude {
            match customers::read(&self.settings.customers_folder, user) {
                Ok(wishes) => globs.extend(wishes.exclude),
                Err(error) => {
                    monitor.warn(error.within(format!("heed what {} excludes", user.name)));
                }
            }
        }
        globs
    }

    /// Writes what a job did into Hestia's history and, where the settings or the command ask for
    /// it, rings the user's bell.
    fn tell(&self, user: &UserName, news: &News<'_>, monitor: &dyn Monitor) {
        let rings = match self.settings.notify {
            Notify::Always => true,
            Notify::Problems => news.is_problem,
            Notify::Never => false,
        };
        self.tell_and_ring(user, news, rings, monitor);
    }

    /// The same of a backup. Where the panel shows what notifications tell, which is told once and
    /// not every night, the bell does not ring for the same beside.
    fn tell_of_backup(&self, user: &UserName, news: &News<'_>, monitor: &dyn Monitor) {
        let is_told = news.is_problem && self.settings.notifications.of_user(user.as_str()).panel;
        if is_told {
            self.tell_and_ring(user, news, false, monitor);
        } else {
            self.tell(user, news, monitor);
        }
    }

    fn tell_and_ring(&self, user: &UserName, news: &News<'_>, rings: bool, monitor: &dyn Monitor) {
        let level = if news.is_problem { Level::Error } else { Level::Info };
        let caller = self.caller.as_ref();
        call::log_action(caller, &self.hestia, user, level, &news.text, monitor);
        if rings || news.asked_for {
            call::notify(caller, &self.hestia, user, news.topic, &news.text, monitor);
        }
    }

    fn lock(&self, user: &UserName, purpose: &str) -> Result<super::userlock::UserLock> {
        let lock = super::userlock::UserLock::take(&self.settings.run_folder, user, purpose)?;
        // A killed job leaves Hestia's command running; and Hestia's own jobs take no lock.
        super::userlock::refuse_while_hestia_works(&self.hestia, user)?;
        Ok(lock)
    }
}

/// What Hestia and the user are told of a job.
struct News<'n> {
    topic: &'n str,
    text: String,
    is_problem: bool,
    asked_for: bool,
}

/// The source of a snapshot that was made from a tarball which an admin gave us: of this server or
/// from anywhere.
pub const IMPORTED: &str = "imported";

/// The tag that says which tarball a snapshot was made from.
pub const TARBALL_TAG: &str = "tarball:";
/// The tag with that tarball's size.
pub const TARBALL_BYTES_TAG: &str = "tarball-bytes:";

/// The tags that prove later that the content of a tarball is in the repository.
fn tarball_tags(file_name: &str, bytes: u64) -> [String; 2] {
    [format!("{TARBALL_TAG}{file_name}"), format!("{TARBALL_BYTES_TAG}{bytes}")]
}

/// Whether a snapshot was made from this tarball.
fn is_made_from(snapshot: &Snapshot, file_name: &str) -> bool {
    snapshot.tags.iter().any(|tag| tag.strip_prefix(TARBALL_TAG) == Some(file_name))
}

/// A name for a snapshot of this time: `hestia-USER-YYYYMMDD-HHMMSS` in UTC, or that of the next
/// second that no snapshot of the user has yet.
fn free_name(user: &UserName, time: Timestamp, taken: &[(FileId, Snapshot)]) -> Result<String> {
    free_name_of("hestia", user, time, taken)
}

/// The same with another first word.
fn free_name_of(
    word: &str,
    user: &UserName,
    time: Timestamp,
    taken: &[(FileId, Snapshot)],
) -> Result<String> {
    for later in 0..limits::SNAPSHOT_NAME_TRIES {
        let time = Timestamp::from_seconds(time.seconds.saturating_add(later));
        let name = format!("{word}-{user}-{}", time.utc().strftime("%Y%m%d-%H%M%S"));
        if !taken.iter().any(|(_, one)| one.name == name) {
            return Ok(name);
        }
    }
    Err(Error::new(Kind::Limit, format!("find a free name for a snapshot of {user}"))
        .why("those of a whole day are taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_second_gives_the_name_of_the_next() {
        let user = UserName::parse("bob.x").unwrap();
        let time = Timestamp::from_seconds(1_767_323_045);
        let named = |name: &str| {
            (FileId::default(), Snapshot { name: name.to_owned(), ..Snapshot::default() })
        };
        let mut taken = vec![named("hestia-bob-20260102-030405")];
        assert_eq!(free_name(&user, time, &taken).unwrap(), "hestia-bob.x-20260102-030405");
        taken.push(named("hestia-bob.x-20260102-030405"));
        taken.push(named("hestia-bob.x-20260102-030406"));
        assert_eq!(free_name(&user, time, &taken).unwrap(), "hestia-bob.x-20260102-030407");
    }

    #[test]
    fn a_tag_names_exactly_one_tarball() {
        let [tag, bytes] = tarball_tags("bob.x.2026-01-02_03-04-05.tar", 12);
        assert_eq!(bytes, "tarball-bytes:12");
        let snapshot = Snapshot { tags: vec![tag], ..Snapshot::default() };
        assert!(is_made_from(&snapshot, "bob.x.2026-01-02_03-04-05.tar"));
        assert!(!is_made_from(&snapshot, "x.2026-01-02_03-04-05.tar"));
    }
}
