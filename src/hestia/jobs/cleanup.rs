// SPDX-License-Identifier: MIT
//! Thins out a user's tarballs in Hestia's folder. Never by itself, never another user's, never
//! one whose content is not proven to be in the repository, and always through Hestia's own
//! command, so that Hestia's list stays true.

use super::{Server, TARBALL_BYTES_TAG, is_made_from, manage};
use crate::base::{Error, FileId, Kind, Monitor, Result};
use crate::format::Snapshot;
use crate::hestia::call::Call;
use crate::hestia::conf::Row;
use crate::hestia::inventory;
use crate::hestia::layout::UserName;
use crate::hestia::tarballs::{self, Tarball};

/// What a cleanup did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleanup {
    /// Removed, oldest first.
    pub removed: Vec<String>,
    /// Not among the newest, but kept, and why.
    pub kept: Vec<(String, String)>,
}

/// Removes the user's tarballs but for the newest `keep`, as far as `snapshots` prove that their
/// content is in the repository: in each one, if there are several. Stops at the first one that
/// Hestia does not remove.
pub fn cleanup(
    server: &Server,
    user: &UserName,
    keep: usize,
    snapshots: &[Vec<(FileId, Snapshot)>],
    monitor: &dyn Monitor,
) -> Result<Cleanup> {
    let all = tarballs::of_user(&server.hestia, user)?;
    let identity = inventory::user(&server.hestia, user)?.identity;
    let surplus = all.len().saturating_sub(keep);
    let mut done = Cleanup::default();
    for tarball in all.iter().take(surplus) {
        let name = tarball.name.file_name();
        let row = tarballs::registered(&server.hestia, user, &name)?;
        let reason = reason_to_keep(user, tarball, row.as_ref(), &identity, snapshots);
        if let Some(why) = reason {
            done.kept.push((name, why.to_owned()));
        } else {
            remove(server, user, &name, monitor)?;
            done.removed.push(name);
        }
    }
    Ok(done)
}

fn reason_to_keep(
    user: &UserName,
    tarball: &Tarball,
    row: Option<&Row>,
    identity: &str,
    snapshots: &[Vec<(FileId, Snapshot)>],
) -> Option<&'static str> {
    let Some(row) = row else { return Some("Hestia does not list it") };
    // v-delete-user-backup removes the copies elsewhere along with the one here.
    if row.text("TYPE") != "local" {
        return Some("Hestia keeps copies elsewhere and would remove those as well");
    }
    let name = tarball.name.file_name();
    let bytes = format!("{TARBALL_BYTES_TAG}{}", tarball.bytes);
    let proves = |(_, one): &(FileId, Snapshot)| {
        one.user == user.as_str()
            && !one.is_partial()
            && is_made_from(one, &name)
            && one.tags.contains(&bytes)
            && manage::is_of_today(one, identity)
    };
    let proof = !snapshots.is_empty() && snapshots.iter().all(|one| one.iter().any(proves));
    (!proof).then_some("its content is not in the repository, or not all of it")
}

fn remove(server: &Server, user: &UserName, name: &str, monitor: &dyn Monitor) -> Result<()> {
    let what = || format!("remove the tarball {name}");
    let call = Call::hestia(&server.hestia, "v-delete-user-backup", [user.as_str(), name]);
    server.caller.call(&call, monitor)?.check(what(), &call)?;
    let is_there = server.hestia.in_backup(name).symlink_metadata().is_ok();
    if is_there || tarballs::registered(&server.hestia, user, name)?.is_some() {
        return Err(Error::new(Kind::Internal, what())
            .why("v-delete-user-backup said that all went well, but it is still there"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::World;
    use crate::base::monitor::Collect;
    use crate::hestia::call::fake::{Recorder, outcome};
    use crate::hestia::layout::Hestia;
    use crate::hestia::settings::Settings;
    use std::fs;
    use std::sync::Arc;

    const DAYS: [&str; 4] = ["20", "21", "22", "23"];

    fn name(user: &str, day: &str) -> String {
        format!("{user}.2026-11-{day}_00-00-00.tar")
    }

    struct Fixture {
        _folder: tempfile::TempDir,
        server: Server,
        caller: Arc<Recorder>,
        bob: UserName,
    }

    /// Four tarballs of `bob`, four of `bob.x`; removing one works if `works`.
    fn fixture(works: bool) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        fs::create_dir_all(&hestia.backup).unwrap();
        fs::create_dir_all(hestia.command("")).unwrap();
        for user in ["bob", "bob.x"] {
            let user = UserName::parse(user).unwrap();
            fs::create_dir_all(hestia.user_data(&user)).unwrap();
            let conf = "DATE='2026-11-22'\nTIME='07:03:50'\n";
            fs::write(hestia.user_file(&user, "user.conf"), conf).unwrap();
            let mut rows = String::new();
            for day in DAYS {
                let name = name(user.as_str(), day);
                fs::write(hestia.in_backup(&name), "tar").unwrap();
                rows = format!("{rows}BACKUP='{name}' TYPE='local' SIZE='1'\n");
            }
            fs::write(hestia.user_file(&user, "backup.conf"), rows).unwrap();
        }
        let there = hestia.clone();
        let caller = Arc::new(Recorder::new(move |call| {
            let words: Vec<&str> =
                call.arguments.iter().map(|word| word.to_str().unwrap()).collect();
            let user = UserName::parse(words[0]).unwrap();
            if works {
                fs::remove_file(there.in_backup(words[1])).unwrap();
                let conf = there.user_file(&user, "backup.conf");
                let rows = fs::read_to_string(&conf).unwrap();
                let kept: Vec<&str> = rows.lines().filter(|row| !row.contains(words[1])).collect();
                fs::write(conf, kept.join("\n")).unwrap();
            }
            outcome(0, "")
        }));
        let server = Server {
            hestia,
            settings: Settings::default(),
            caller: caller.clone(),
            world: Arc::new(World::seeded(1)),
        };
        Fixture { _folder: folder, server, caller, bob: UserName::parse("bob").unwrap() }
    }

    fn made_from(user: &str, name: &str, bytes: u64, warnings: u64) -> (FileId, Snapshot) {
        let snapshot = Snapshot {
            user: user.to_owned(),
            user_identity: "2026-11-22T07:03:50".to_owned(),
            tags: super::super::tarball_tags(name, bytes).to_vec(),
            warnings,
            ..Snapshot::default()
        };
        (FileId::default(), snapshot)
    }

    fn run(fixture: &Fixture, keep: usize, snapshots: &[(FileId, Snapshot)]) -> Result<Cleanup> {
        let snapshots = [snapshots.to_vec()];
        cleanup(&fixture.server, &fixture.bob, keep, &snapshots, &Collect::default())
    }

    #[test]
    fn the_oldest_go_first_and_bob_x_keeps_everything() {
        let fixture = fixture(true);
        let all: Vec<_> =
            DAYS.iter().map(|day| made_from("bob", &name("bob", day), 3, 0)).collect();
        let done = run(&fixture, 3, &all).unwrap();
        assert_eq!(done.removed, [name("bob", "20")]);
        let done = run(&fixture, 0, &all).unwrap();
        assert_eq!(done.removed, [name("bob", "21"), name("bob", "22"), name("bob", "23")]);
        assert_eq!(
            fixture.caller.lines()[0],
            format!("v-delete-user-backup bob {}", name("bob", "20"))
        );
        let left = fs::read_dir(&fixture.server.hestia.backup).unwrap().count();
        assert_eq!(left, DAYS.len());
    }

    #[test]
    fn what_is_not_proven_to_be_in_the_repository_stays() {
        let fixture = fixture(true);
        let snapshots = [
            made_from("bob.x", &name("bob", "20"), 3, 0),
            made_from("bob", &name("bob", "21"), 3, 1),
            made_from("bob", &name("bob", "22"), 4, 0),
            made_from("bob", &name("bob", "23"), 3, 0),
        ];
        let done = run(&fixture, 0, &snapshots).unwrap();
        assert_eq!(done.removed, [name("bob", "23")]);
        assert_eq!(done.kept.len(), 3);
    }

    #[test]
    fn of_several_repositories_each_must_have_it() {
        let fixture = fixture(true);
        let stored = |days: &[&str]| -> Vec<_> {
            days.iter().map(|day| made_from("bob", &name("bob", day), 3, 0)).collect()
        };
        let snapshots = [stored(&["20", "21", "22"]), stored(&["21", "22", "23"])];
        let clean = |snapshots: &[Vec<_>]| {
            cleanup(&fixture.server, &fixture.bob, 1, snapshots, &Collect::default()).unwrap()
        };
        let done = clean(&snapshots);
        assert_eq!(done.removed, [name("bob", "21"), name("bob", "22")]);
        assert_eq!(done.kept.len(), 1);
        assert!(clean(&[]).removed.is_empty(), "nothing proves nothing");
    }

    #[test]
    fn copies_elsewhere_and_tarballs_unknown_to_hestia_stay() {
        let fixture = fixture(true);
        let conf = fixture.server.hestia.user_file(&fixture.bob, "backup.conf");
        fs::write(conf, format!("BACKUP='{}' TYPE='sftp,local'\n", name("bob", "20"))).unwrap();
        let all: Vec<_> =
            DAYS.iter().map(|day| made_from("bob", &name("bob", day), 3, 0)).collect();
        let done = run(&fixture, 0, &all).unwrap();
        assert_eq!((done.removed.len(), done.kept.len()), (0, 4));
    }

    #[test]
    fn a_removal_that_did_not_happen_is_an_error() {
        let fixture = fixture(false);
        let all: Vec<_> =
            DAYS.iter().map(|day| made_from("bob", &name("bob", day), 3, 0)).collect();
        let error = run(&fixture, 0, &all).unwrap_err();
        assert!(error.one_line().contains("still there"));
        assert_eq!(fixture.caller.lines().len(), 1);
    }
}
