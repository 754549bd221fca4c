// SPDX-License-Identifier: MIT
//! Hestia's tarballs in `/backup` and the rows that register them. Whose a tarball is follows
//! from its whole name, compared exactly: `bob.2026-...` is not one of `bob.x`, nor the reverse.

use super::conf::{self, Row};
use super::layout::{Hestia, UserName};
use crate::base::error::io_error;
use crate::base::{Error, Kind, Result, Timestamp, WhatIo, limits};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::io;
use std::os::unix::fs::MetadataExt;

/// The name of a tarball: `USER.YYYY-MM-DD_HH-MM-SS.tar`, the time in the server's zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TarballName {
    /// The user.
    pub user: UserName,
    stamp: String,
}

const STAMP_FORMAT: &str = "%Y-%m-%d_%H-%M-%S";
const STAMP_BYTES: usize = 19;

impl TarballName {
    /// Reads a file name; `None` if it is no name that Hestia gives.
    pub fn parse(name: &str) -> Option<Self> {
        let body = name.strip_suffix(".tar")?;
        let (user, stamp) = body.split_at_checked(body.len().checked_sub(STAMP_BYTES)?)?;
        let user = UserName::parse(user.strip_suffix('.')?).ok()?;
        let civil = civil_time(stamp)?;
        (civil.strftime(STAMP_FORMAT).to_string() == stamp)
            .then(|| Self { user, stamp: stamp.to_owned() })
    }

    /// The file name.
    pub fn file_name(&self) -> String {
        format!("{}.{}.tar", self.user, self.stamp)
    }

    /// The time it stands for, read in this zone; 1970 for times no calendar has.
    pub fn time(&self, zone: &TimeZone) -> Timestamp {
        let stamp = civil_time(&self.stamp).and_then(|civil| zone.to_timestamp(civil).ok());
        stamp.map_or_else(Timestamp::default, |stamp| Timestamp::from_seconds(stamp.as_second()))
    }
}

fn civil_time(stamp: &str) -> Option<DateTime> {
    DateTime::strptime(STAMP_FORMAT, stamp).ok()
}

/// Whose export a file name says it is, and the beginning of the id of the snapshot in it:
/// `USER.gs-SNAPSHOT.tar`.
pub fn export_of(name: &str) -> Option<(UserName, &str)> {
    let (user, id) = name.strip_suffix(".tar")?.rsplit_once(".gs-")?;
    let is_id = id.len() == 8 && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then_some(())?;
    Some((UserName::parse(user).ok()?, id))
}

/// Whose tarball a file name says it is: one of Hestia's or an export.
pub fn owner_of(name: &str) -> Option<UserName> {
    let made = TarballName::parse(name).map(|name| name.user);
    made.or_else(|| export_of(name).map(|(user, _)| user))
}

/// A tarball that lies in the folder of Hestia's backups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tarball {
    /// Its name, and with it its user and time.
    pub name: TarballName,
    /// Its size.
    pub bytes: u64,
    inode: (u64, u64),
    modified: (i64, i64),
}

impl Tarball {
    /// Whether this is what lies open in `file`.
    pub fn is(&self, file: &std::fs::File) -> Result<bool> {
        let meta = file.metadata().what_io(|| "look at an open tarball")?;
        Ok((meta.dev(), meta.ino()) == self.inode)
    }
}

/// The tarballs of exactly this user, oldest first.
pub fn of_user(hestia: &Hestia, user: &UserName) -> Result<Vec<Tarball>> {
    let folder = &hestia.backup;
    let what = || format!("list {}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(error, what())),
    };
    let mut found = Vec::new();
    for entry in entries.take(limits::LISTED_ENTRIES_MAX) {
        let entry = entry.what_io(what)?;
        let name = entry.file_name().to_str().and_then(TarballName::parse);
        let Some(name) = name.filter(|name| name.user == *user) else { continue };
        let meta = match entry.path().symlink_metadata() {
            Ok(meta) => meta,
            // Rotated away since the listing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(error, what())),
        };
        if meta.is_file() {
            found.push(Tarball {
                name,
                bytes: meta.len(),
                inode: (meta.dev(), meta.ino()),
                modified: (meta.mtime(), meta.mtime_nsec()),
            });
        }
    }
    found.sort();
    Ok(found)
}

/// The row of a tarball in Hestia's list. Names of a customer's folders stand in it, so its end
/// may be broken; name and type come first.
pub fn registered(hestia: &Hestia, user: &UserName, file_name: &str) -> Result<Option<Row>> {
    let text = conf::read_file(&hestia.user_file(user, "backup.conf"))?.unwrap_or_default();
    let mut rows = text.split(|byte| *byte == b'\n').map(Row::parse_leading);
    Ok(rows.rfind(|row| row.get("BACKUP") == Some(file_name)))
}

/// Whether Hestia keeps tarballs on this machine at all.
pub fn check_kept_here(hestia: &Hestia) -> Result<()> {
    let systems = super::inventory::system_setting(hestia, "BACKUP_SYSTEM")?;
    if systems.split(',').any(|system| system.trim() == "local") {
        return Ok(());
    }
    let is = if systems.is_empty() { "not set".to_owned() } else { format!("'{systems}'") };
    Err(Error::new(Kind::Disabled, "let Hestia make a tarball to read")
        .why(format!(
            "BACKUP_SYSTEM in {} is {is}, without 'local'",
            hestia.hestia_conf().display()
        ))
        .hint("v-add-backup-host local switches local backups on"))
}

/// The tarball that a run of `v-backup-user` made: not there before, registered, not empty. The
/// command's exit code proves none of that.
pub fn made<'t>(
    hestia: &Hestia,
    user: &UserName,
    before: &[Tarball],
    after: &'t [Tarball],
) -> Result<(&'t Tarball, Row)> {
    let what = || format!("find the new tarball of user {user}");
    let log = hestia.in_backup(&format!("{user}.log"));
    let hint = format!("{} tells what v-backup-user did", log.display());
    let newest = after.iter().rfind(|one| !before.contains(one));
    let Some(newest) = newest else {
        return Err(Error::new(Kind::NotFound, what())
            .why("v-backup-user said that all went well, but made none")
            .hint(hint));
    };
    let name = newest.name.file_name();
    if newest.bytes == 0 {
        return Err(Error::new(Kind::Parsing, what()).why(format!("{name} is empty")).hint(hint));
    }
    match registered(hestia, user, &name)? {
        Some(row) if row.list("TYPE").any(|one| one == "local") => Ok((newest, row)),
        _ => Err(Error::new(Kind::NotFound, what())
            .why(format!("Hestia does not list {name} as a complete local backup"))
            .hint(hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn user(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn fixture() -> (tempfile::TempDir, Hestia) {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        fs::create_dir_all(&hestia.backup).unwrap();
        for name in ["bob", "bob.x"] {
            fs::create_dir_all(hestia.user_data(&user(name))).unwrap();
        }
        (folder, hestia)
    }

    #[test]
    fn a_name_says_whose_and_from_when() {
        let name = TarballName::parse("bob.x.2026-11-22_07-13-00.tar").unwrap();
        assert_eq!(name.user, user("bob.x"));
        assert_eq!(name.file_name(), "bob.x.2026-11-22_07-13-00.tar");
        assert_eq!(name.time(&TimeZone::UTC).rfc3339(), "2026-11-22T07:13:00Z");
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(name.time(&zone).rfc3339(), "2026-11-22T05:13:00Z");
        for other in [
            "bob.tar",
            "bob.gs-1234abcd.tar",
            "bob.2026-11-22_07-13-00.tar.gz",
            "bob.2026-13-22_07-13-00.tar",
            "bob.2026-1-022_07-13-00.tar",
            ".2026-11-22_07-13-00.tar",
            "b/b.2026-11-22_07-13-00.tar",
            "bob2026-11-22_07-13-00.tar",
            "bob.2026-11-22_07-13-é0.tar",
            "",
        ] {
            assert_eq!(TarballName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn an_export_says_whose_it_is_and_of_which_snapshot() {
        let of = |name| export_of(name).map(|(user, id)| (user.to_string(), id.to_owned()));
        assert_eq!(of("bob.x.gs-1234abcd.tar"), Some(("bob.x".into(), "1234abcd".into())));
        for other in
            ["gs-bob-1234abcd.tar", "bob.gs-1234abc.tar", "bob.gs-1234ABCD.tar", ".gs-1234abcd.tar"]
        {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(owner_of("bob.gs-1234abcd.tar"), Some(user("bob")));
        assert_eq!(owner_of("bob.x.2026-11-22_07-13-00.tar"), Some(user("bob.x")));
        assert_eq!(owner_of("bob.tar"), None);
    }

    #[test]
    fn tarballs_of_bob_are_not_those_of_bob_x() {
        let (_folder, hestia) = fixture();
        for name in [
            "bob.2026-11-23_00-00-00.tar",
            "bob.2026-11-22_00-00-00.tar",
            "bob.x.2026-11-22_00-00-00.tar",
            "bob.gs-12345678.tar",
        ] {
            fs::write(hestia.in_backup(name), "x").unwrap();
        }
        fs::create_dir(hestia.in_backup("bob.2026-11-24_00-00-00.tar")).unwrap();
        std::os::unix::fs::symlink("x", hestia.in_backup("bob.2026-11-25_00-00-00.tar")).unwrap();
        let names = |name| -> Vec<String> {
            of_user(&hestia, &user(name)).unwrap().iter().map(|one| one.name.file_name()).collect()
        };
        assert_eq!(names("bob"), ["bob.2026-11-22_00-00-00.tar", "bob.2026-11-23_00-00-00.tar"]);
        assert_eq!(names("bob.x"), ["bob.x.2026-11-22_00-00-00.tar"]);
    }

    #[test]
    fn only_a_new_registered_local_tarball_counts_as_made() {
        let (_folder, hestia) = fixture();
        let bob = user("bob");
        let put = |name: &str, text: &str| fs::write(hestia.in_backup(name), text).unwrap();
        let rows = |text: &str| fs::write(hestia.user_file(&bob, "backup.conf"), text).unwrap();
        put("bob.2026-11-22_00-00-00.tar", "old");
        let before = of_user(&hestia, &bob).unwrap();
        let made = || {
            let after = of_user(&hestia, &bob).unwrap();
            made(&hestia, &bob, &before, &after).map(|(one, _)| one.name.file_name())
        };
        assert!(made().unwrap_err().one_line().contains("but made none"));
        put("bob.2026-11-23_00-00-00.tar", "");
        assert!(made().unwrap_err().one_line().contains("is empty"));
        put("bob.2026-11-23_00-00-00.tar", "new");
        assert!(made().unwrap_err().one_line().contains("does not list"));
        rows("BACKUP='bob.2026-11-23_00-00-00.tar' TYPE='sftp' SIZE='1'\n");
        assert!(made().is_err());
        rows("BACKUP='bob.2026-11-23_00-00-00.tar' TYPE='sftp,local' UDIR='it's' TIME='1'\n");
        assert_eq!(made().unwrap(), "bob.2026-11-23_00-00-00.tar");
    }

    #[test]
    fn a_server_that_keeps_backups_elsewhere_only_is_told_before_the_work() {
        let (_folder, hestia) = fixture();
        fs::create_dir_all(hestia.conf("")).unwrap();
        for (conf, good) in [
            ("BACKUP_SYSTEM='local'\n", true),
            ("BACKUP_SYSTEM='sftp,local'\n", true),
            ("BACKUP_SYSTEM='sftp'\n", false),
            ("", false),
        ] {
            fs::write(hestia.hestia_conf(), conf).unwrap();
            assert_eq!(check_kept_here(&hestia).is_ok(), good, "{conf}");
        }
    }
}
