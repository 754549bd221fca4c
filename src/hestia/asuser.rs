// SPDX-License-Identifier: MIT
//! Files of a snapshot back into a user's home, by a process that has the user's rights and no
//! others (`tree/deputy`). So a customer's links, races, permissions and quota can stop a restore
//! or send it astray within what belongs to that customer, and nowhere else.

use super::call::{self, DeputyCall};
use super::customers;
use super::direct::DEFAULT_EXCLUDES;
use super::excludes::Excludes;
use super::inventory;
use super::jobs::Server;
use super::layout::{Hestia, UserName};
use crate::base::{Error, Kind, Monitor, RelPath, Result, WhatIo, World};
use crate::format::Snapshot;
use crate::ops::restore::{Overwrite, Place, Report, Rules, Undoes, by_deputy};
use crate::repo::IndexedRepository;
use crate::tree::Selection;
use crate::tree::deputy::{Deputy, Person};
use crate::tree::dir::{OwnerPolicy, Target};
use nix::unistd::{Gid, Group, User, geteuid, getgrouplist};
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;

/// What is restored of what lies at the given place in the snapshot, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which entries, by their path below the restored folder.
    pub selection: Selection,
    /// What happens to files that exist. [`Overwrite::Always`] compares the content.
    pub overwrite: Overwrite,
    /// Remove what the snapshot's folders do not hold. Without it a restore merges: what was made
    /// since stays.
    pub exact: bool,
    /// Change nothing; say what would change.
    pub dry_run: bool,
    /// An earlier restore that this one takes back: what was not there before it and nobody has
    /// touched since goes, and nothing else does.
    pub undoes: Option<Undoes>,
}

impl Default for Options {
    fn default() -> Self {
        let (selection, overwrite) = (Selection::all(), Overwrite::Always);
        Self { selection, overwrite, exact: false, dry_run: false, undoes: None }
    }
}

/// Restores what lies at `base` in the snapshot to `target` below the user's home: the content of
/// a folder, or one file under the name that `target` ends with. Folders above `target` are made
/// if need be. The user must exist; nothing else about the user is checked or locked here.
///
/// Below `mail` a restore that is not exact leaves mails alone that are there under other flags,
/// and the mail server's own indexes. What belongs to Hestia in the home (logs, configuration) is
/// never written and never removed.
///
/// An error means that the rest was not attempted; what had been done by then stays.
pub fn restore(
    server: &Server,
    (repository, snapshot, base): (&IndexedRepository, &Snapshot, &RelPath),
    user: &UserName,
    target: &RelPath,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report> {
    if is_hestias(target) {
        return Err(Error::new(Kind::Forbidden, format!("restore to {target}"))
            .why("it belongs to Hestia and not to the user"));
    }
    // What could not be read is not in it; that is no reason to remove what is there.
    if options.exact && !options.dry_run && snapshot.is_partial() {
        return Err(Error::new(Kind::Partial, format!("restore {target} exactly"))
            .why("the snapshot is not complete, so what it lacks may have been there")
            .hint("restore without removing anything, or take another snapshot"));
    }
    let is_mail = target.names().next() == Some(b"mail");
    let person = person(&server.hestia, user, is_mail)?;
    let path = server.hestia.user_home(user);
    // Opening makes a folder that is missing; a home is made by Hestia or not at all.
    std::fs::metadata(&path).what_io(|| format!("open the home {}", path.display()))?;
    let home = Target::open(&path, OwnerPolicy::Keep)?;
    let place = Place { home: &home, path: target.clone(), person: &person, name: user.as_str() };
    let rules = Rules {
        selection: options.selection.clone(),
        overwrite: options.overwrite,
        exact: options.exact || options.undoes.is_some(),
        dry_run: options.dry_run,
        maildir: is_mail && !options.exact,
        // A tarball does not say what the folder of a mail domain is like.
        keep_top: is_mail && target.depth() == 2,
        spared: is_hestias,
        left_out: if options.exact { left_out(server, user, snapshot)? } else { Selection::all() },
        undoes: options.undoes.clone(),
    };
    let from = (repository, snapshot, base);
    if options.dry_run {
        return by_deputy(from, &rules, &place, None, monitor);
    }
    let call = DeputyCall { program: &server.settings.program, person: &person, root: &path };
    let (process, socket) = call::start_deputy(&call)?;
    // A silence is measured in real time, whatever clock the rest of the run has.
    let world = World::system();
    let report = Deputy::new(socket, &world, monitor)
        .and_then(|deputy| by_deputy(from, &rules, &place, Some(deputy), monitor));
    // The socket is closed by now, so the deputy tidies up and ends.
    let ended = process.end();
    report.and_then(|report| ended.map(|()| report))
}

/// What stays below the home though the snapshot lacks it: what the backup left out, and what
/// backups leave out today.
fn left_out(server: &Server, user: &UserName, snapshot: &Snapshot) -> Result<Selection> {
    let mut globs = snapshot.left_out.clone();
    globs.extend(server.settings.exclude_of(user.as_str()));
    // Of a snapshot that does not say what was left out: whether or not the wish counts today, it
    // may have done when the backup was made; and one that cannot be read must not lead to files
    // being removed that no backup has.
    match inventory::user(&server.hestia, user) {
        Ok(user) => {
            globs.extend(customers::read(&server.settings.customers_folder, &user)?.exclude);
        }
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    if server.settings.default_excludes {
        globs.extend(DEFAULT_EXCLUDES.iter().map(|&glob| glob.to_owned()));
    }
    globs.extend(Excludes::of(&server.hestia, user)?.below_home());
    Selection::new::<String>(&[], &globs)
}

/// Whether a path below a home is Hestia's: configuration, and the links to a domain's logs.
pub fn is_hestias(path: &RelPath) -> bool {
    let mut names = path.names();
    match names.next() {
        Some(b"conf") => true,
        Some(b"web") => names.nth(1) == Some(b"logs") && names.next().is_some(),
        _ => false,
    }
}

/// Whose rights a process for this user has. On a rehearsal below a folder there are no accounts:
/// whoever owns the folder `tmp` of the home stands in, which Hestia gives to the user even where
/// it keeps the home itself for root; without one, the owner of the home.
pub fn person(hestia: &Hestia, user: &UserName, is_mail: bool) -> Result<Person> {
    let what = || format!("act as the user {user}");
    let home = hestia.user_home(user);
    if *hestia != Hestia::default() {
        let tmp = std::fs::symlink_metadata(home.join("tmp"));
        let meta = tmp.or_else(|_| std::fs::metadata(&home)).what_io(what)?;
        return Ok(Person { uid: meta.uid(), gid: meta.gid(), groups: vec![meta.gid()] });
    }
    let account = User::from_name(user.as_str()).what_io(what)?.ok_or_else(|| {
        Error::new(Kind::NotFound, what()).why("the system has no account of this name")
    })?;
    if account.uid.is_root() || account.dir != home {
        return Err(Error::new(Kind::Forbidden, what()).why(format!(
            "the account has the number {} and the home {}",
            account.uid,
            account.dir.display()
        )));
    }
    let name = CString::new(user.as_str()).map_err(|_| Error::new(Kind::Invalid, what()))?;
    let groups = getgrouplist(&name, account.gid).what_io(what)?;
    let mut gid = account.gid;
    if is_mail && geteuid().is_root() {
        // Mails belong to the user and to the group of the mail server.
        let mail = Group::from_name("mail").what_io(what)?;
        gid = mail.map_or(gid, |group| group.gid);
    }
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    Ok(Person { uid: account.uid.as_raw(), gid: gid.as_raw(), groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hestias_in_a_home_is_known() {
        let path = |text: &str| RelPath::parse(text.as_bytes()).unwrap();
        for hestias in ["conf", "conf/web/x", "web/a.example/logs/a.example.log"] {
            assert!(is_hestias(&path(hestias)), "{hestias}");
        }
        for users in ["web/a.example/logs", "web/a.example/public_html/logs/x", "logs/a", "mail"] {
            assert!(!is_hestias(&path(users)), "{users}");
        }
    }

    #[test]
    fn below_a_folder_the_owner_of_the_home_stands_in() {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        let user = UserName::parse("root").unwrap();
        assert!(person(&hestia, &user, false).is_err());
        std::fs::create_dir_all(hestia.user_home(&user)).unwrap();
        let found = person(&hestia, &user, true).unwrap();
        assert_eq!(found.uid, geteuid().as_raw());
        // On a real machine root is nobody's account.
        let real = person(&Hestia::default(), &user, false);
        assert_eq!(real.unwrap_err().kind(), Kind::Forbidden);
    }
}
