// SPDX-License-Identifier: MIT
//! What a `v-backup-user` that was stopped leaves behind: the folder in which it put the tarball
//! together, and a tarball that is not whole. Only what is surely that user's and of that run
//! goes; the rest is named.

use super::Server;
use crate::base::{Error, limits};
use crate::hestia::layout::UserName;
use crate::hestia::{conf, tarballs, userlock};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What lay there before the run; `None` where it could not be listed: then nothing is known to be
/// new afterwards, and nothing is removed.
pub struct Before {
    folders: Option<BTreeSet<PathBuf>>,
    tarballs: Option<BTreeSet<String>>,
}

impl Before {
    /// Looks before `v-backup-user` is called for this user.
    pub fn look(server: &Server, user: &UserName) -> Self {
        Self { folders: temporary_folders(server), tarballs: tarball_names(server, user) }
    }

    /// Removes what the run of this user left, now that it ended badly with `error`; the user's
    /// lock is held. What stays is named in the error's hint.
    pub fn clean_up(&self, server: &Server, user: &UserName, error: Error) -> Error {
        // Somebody else's run for the same user may be what made these.
        let is_alone = userlock::refuse_while_hestia_works(&server.hestia, user).is_ok();
        let mut left = Vec::new();
        for folder in new_ones(self.folders.as_ref(), temporary_folders(server)) {
            let ours = is_alone && is_of(&folder, user);
            if !ours || std::fs::remove_dir_all(&folder).is_err() {
                left.push(folder.display().to_string());
            }
        }
        for name in new_ones(self.tarballs.as_ref(), tarball_names(server, user)) {
            let path = server.hestia.in_backup(&name);
            // Hestia lists a tarball once it is whole; it is the user's then and stays.
            let row = tarballs::registered(&server.hestia, user, &name);
            let unlisted = is_alone && matches!(row, Ok(None));
            if unlisted && std::fs::remove_file(&path).is_err() {
                left.push(path.display().to_string());
            }
        }
        if left.is_empty() {
            return error;
        }
        error.hint(format!("it left behind {}", left.join(", ")))
    }
}

/// Whether a folder is one in which Hestia puts a tarball of this user together: whose it is
/// stands in it almost from the beginning.
fn is_of(folder: &Path, user: &UserName) -> bool {
    let passwd = conf::read_file(&folder.join("pam/passwd")).ok().flatten().unwrap_or_default();
    passwd.starts_with(format!("{user}:").as_bytes())
}

/// What is there now and was not before, if both are known.
fn new_ones<T: Ord + Clone>(before: Option<&BTreeSet<T>>, now: Option<BTreeSet<T>>) -> Vec<T> {
    match (before, now) {
        (Some(before), Some(now)) => now.difference(before).cloned().collect(),
        _ => Vec::new(),
    }
}

fn tarball_names(server: &Server, user: &UserName) -> Option<BTreeSet<String>> {
    let found = tarballs::of_user(&server.hestia, user).ok()?;
    Some(found.iter().map(|one| one.name.file_name()).collect())
}

/// The folders in which Hestia puts tarballs together.
fn temporary_folders(server: &Server) -> Option<BTreeSet<PathBuf>> {
    let entries = std::fs::read_dir(&server.hestia.backup).ok()?;
    let paths: Result<Vec<PathBuf>, _> = entries
        .take(limits::LISTED_ENTRIES_MAX)
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let is_one = |path: &PathBuf| {
        let is_folder = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        let name = path.file_name().and_then(|name| name.to_str());
        is_folder && name.is_some_and(|name| name.starts_with("tmp."))
    };
    Some(paths.ok()?.into_iter().filter(is_one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Kind, World};
    use crate::hestia::call::fake::{Recorder, outcome};
    use crate::hestia::{Hestia, Settings};
    use std::fs;
    use std::sync::Arc;

    fn server(folder: &Path) -> Server {
        let hestia = Hestia::below(folder);
        fs::create_dir_all(&hestia.backup).unwrap();
        Server {
            hestia,
            settings: Settings::default(),
            caller: Arc::new(Recorder::new(|_| outcome(0, ""))),
            world: Arc::new(World::seeded(1)),
        }
    }

    #[test]
    fn what_a_stopped_run_left_goes_and_what_may_be_anothers_stays() {
        let place = tempfile::tempdir().unwrap();
        let server = server(place.path());
        let bob = UserName::parse("bob").unwrap();
        let put = |name: &str, text: &str| {
            let path = server.hestia.in_backup(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("tmp.old/pam/passwd", "bob:x:1:1::/home/bob:/bin/sh\n");
        put("bob.2026-11-20_00-00-00.tar", "old and unlisted");
        fs::create_dir_all(server.hestia.user_data(&bob)).unwrap();
        let before = Before::look(&server, &bob);
        put("tmp.ours/pam/passwd", "bob:x:1:1::/home/bob:/bin/sh\n");
        put("tmp.other/pam/passwd", "bob.x:x:1:1::/home/bob.x:/bin/sh\n");
        put("tmp.unknown/hestia/user.conf", "");
        put("bob.2026-11-23_00-00-00.tar", "cut off");
        put("bob.2026-11-22_00-00-00.tar", "whole");
        let row = "BACKUP='bob.2026-11-22_00-00-00.tar' TYPE='local' SIZE='1'\n";
        fs::write(server.hestia.user_file(&bob, "backup.conf"), row).unwrap();
        let error = before.clean_up(&server, &bob, Error::new(Kind::Cancelled, "wait"));
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("tmp.other") && hint.contains("tmp.unknown"), "{hint}");
        assert!(!hint.contains("tmp.ours"), "{hint}");
        let mut names: Vec<String> = fs::read_dir(&server.hestia.backup)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "bob.2026-11-20_00-00-00.tar",
                "bob.2026-11-22_00-00-00.tar",
                "tmp.old",
                "tmp.other",
                "tmp.unknown"
            ]
        );
    }
}
