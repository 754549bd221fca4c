// SPDX-License-Identifier: MIT
//! Requests of those who have no rights: a customer's cron job runs as the customer, who may
//! neither write where jobs are nor become root. The customer puts a small file into a folder where
//! everybody may write and nobody may look, and the runner accepts it if the file's owner is that
//! customer, or the panel's administrator. Backups only, of that user only, so many a day.
//!
//! Nothing in that folder is trusted: links are not followed, pipes not waited for, and whatever is
//! no request goes. Its owner may still change a file while it is read; what was read is what is
//! checked.

use super::job::millis;
use super::{Folders, Spool};
use crate::base::error::io_error;
use crate::base::{Error, FileId, Kind, Monitor, Result, WhatIo, World, limits};
use crate::hestia::accounts;
use crate::hestia::{Hestia, UserName, inventory};
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The administrator of the panel where Hestia's settings name nobody.
const USUAL_ADMIN: &str = "admin";
/// Beginning of a request that is being written.
const DRAFT: &str = ".new-";
/// Everybody makes files there, nobody looks, and nobody removes those of others.
const MODE: u32 = 0o1733;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `backup`, the only thing that may be asked for.
    pub what: String,
    /// Of whom.
    pub user: String,
    /// Whether the user's panel is told how it went.
    #[serde(default)]
    pub notify: bool,
}

/// A request whose owner may ask for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Whose backup.
    pub user: UserName,
    /// What tells this user from a later one of the same name.
    pub person: String,
    /// Whether the user's panel is told how it went.
    pub notify: bool,
    /// Who asked.
    pub by: String,
}

/// Puts a request into the folder.
pub fn hand_in(folders: &Folders, user: &UserName, notify: bool, world: &World) -> Result<()> {
    let what = || format!("ask for a backup of {user}");
    let request = Request { what: "backup".to_owned(), user: user.to_string(), notify };
    let text = serde_json::to_vec(&request)
        .map_err(|error| Error::new(Kind::Internal, what()).cause(error))?;
    let name = FileId(world.random_32()?).to_string();
    let draft = folders.requests.join(format!("{DRAFT}{name}"));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut file = options.open(&draft).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::Disabled, what())
            .why("this server takes no requests yet")
            .hint("an administrator starts that with: ghostsnap hestia run-jobs"),
        _ => io_error(error, what()),
    })?;
    let written = file.write_all(&text).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| fs::rename(&draft, folders.requests.join(&name)));
    if let Err(error) = placed {
        // A draft that stays is removed by the runner.
        return match fs::remove_file(&draft) {
            Ok(()) | Err(_) => Err(io_error(error, what())),
        };
    }
    Ok(())
}

/// Makes the folder of the requests, and says whether it can be used.
pub fn prepare(folders: &Folders) -> Result<()> {
    let path = &folders.requests;
    let what = || format!("make the folder {}", path.display());
    for folder in [path.parent().unwrap_or(path), path.as_path()] {
        DirBuilder::new().recursive(true).mode(0o755).create(folder).what_io(what)?;
        let found = folder.symlink_metadata().what_io(what)?;
        if !found.is_dir() || found.uid() != geteuid().as_raw() {
            return Err(Error::new(Kind::Forbidden, what())
                .why(format!("{} is no folder of root's", folder.display())));
        }
    }
    if path.metadata().what_io(what)?.permissions().mode() & 0o7777 != MODE {
        fs::set_permissions(path, Permissions::from_mode(MODE)).what_io(what)?;
    }
    Ok(())
}

/// Looks through the folder and empties it.
pub struct Collector<'c> {
    /// The folder, and where rubbish goes.
    pub folders: &'c Folders,
    /// Whose users may ask.
    pub hestia: &'c Hestia,
    /// What was asked for before.
    pub spool: &'c Spool,
    /// How many requests of a user are accepted a day.
    pub requests_a_day: usize,
    /// Time.
    pub world: &'c World,
    /// Who is told what was no request.
    pub monitor: &'c dyn Monitor,
}

impl Collector<'_> {
    /// What was asked for and may be. Takes so many at a time; also says whether there may be more.
    pub fn collect(&self) -> Result<(Vec<Accepted>, bool)> {
        let what = || format!("list {}", self.folders.requests.display());
        let entries = match fs::read_dir(&self.folders.requests) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Vec::new(), false));
            }
            entries => entries.what_io(what)?,
        };
        let (mut accepted, mut refused, mut seen): (Vec<Accepted>, Vec<Error>, usize) =
            (Vec::new(), Vec::new(), 0);
        // Whoever has asked too often asks no more questions of the disk in this look.
        let mut answered: Vec<UserName> = Vec::new();
        let mut drafts: HashMap<u32, usize> = HashMap::new();
        for entry in entries.take(limits::REQUESTS_LOOKED_AT) {
            let entry = entry.what_io(what)?;
            // Who has many at once writes none: they would only hide what others ask for.
            if let Some(owner) = self.writer_of(&entry.path())
                && *drafts.entry(owner).and_modify(|count| *count += 1).or_insert(1)
                    <= limits::REQUEST_DRAFTS_OF_OWNER
            {
                continue;
            }
            seen += 1;
            if seen > limits::REQUESTS_AT_ONCE {
                break;
            }
            match self.take(&entry.path()) {
                Ok(one) if answered.contains(&one.user) => {}
                Ok(one) => {
                    answered.push(one.user.clone());
                    match self.check_rate(&one) {
                        Ok(()) => accepted.push(one),
                        Err(error) => refused.push(error),
                    }
                }
                Err(error) => refused.push(error),
            }
        }
        let untold = refused.len().saturating_sub(limits::REQUESTS_REFUSED_TOLD);
        for error in refused.into_iter().take(limits::REQUESTS_REFUSED_TOLD) {
            self.monitor.warn(error);
        }
        if untold > 0 {
            self.monitor.warn(
                Error::new(Kind::Limit, "name all that was refused")
                    .why(format!("there are {untold} more")),
            );
        }
        Ok((accepted, seen > limits::REQUESTS_AT_ONCE))
    }

    /// Who may be writing at it this moment.
    fn writer_of(&self, path: &Path) -> Option<u32> {
        let name = path.file_name()?;
        if !name.as_encoded_bytes().starts_with(DRAFT.as_bytes()) {
            return None;
        }
        let data = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
        // Not when it was changed: that can be put off for ever.
        let made = data.created().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let now = u64::try_from(self.world.now().seconds).unwrap_or(0);
        (now.saturating_sub(made) < limits::REQUEST_DRAFT_SECONDS).then(|| data.uid())
    }

    /// Reads an entry and removes it, whatever it is.
    fn take(&self, path: &Path) -> Result<Accepted> {
        let read = read(path);
        self.remove(path)?;
        let (owner, text) = read?;
        let what = || format!("accept a request of the account {owner}");
        let request: Request = serde_json::from_slice(&text)
            .map_err(|error| Error::new(Kind::Parsing, what()).why(error.to_string()))?;
        if request.what != "backup" {
            return Err(Error::new(Kind::Forbidden, what()).why("only backups can be asked for"));
        }
        let user = UserName::parse(&request.user).map_err(|error| error.within(what()))?;
        if !inventory::exists(self.hestia, &user) {
            return Err(Error::new(Kind::NotFound, what()).why(format!("there is no user {user}")));
        }
        let by = self.who(owner, &user)?.ok_or_else(|| {
            Error::new(Kind::Forbidden, what()).why(format!("it is for the user {user}"))
        })?;
        let person = inventory::user(self.hestia, &user)?.identity;
        Ok(Accepted { user, person, notify: request.notify, by })
    }

    /// Whether the account of this number may ask for a user, and who that is.
    fn who(&self, owner: u32, user: &UserName) -> Result<Option<String>> {
        let is_account = |name: &str| -> Result<bool> {
            let numbers = accounts::numbers(self.hestia, name)?;
            Ok(numbers.get(name).and_then(|number| number.parse().ok()) == Some(owner))
        };
        // An account of root's number would be root; a user cannot have it.
        if owner != 0 && is_account(user.as_str())? {
            return Ok(Some("cron".to_owned()));
        }
        let admin = inventory::system_setting(self.hestia, "ROOT_USER")?;
        let admin = if admin.is_empty() { USUAL_ADMIN.to_owned() } else { admin };
        if owner != 0 && is_account(&admin)? {
            return Ok(Some(format!("cron of {admin}")));
        }
        Ok(None)
    }

    fn check_rate(&self, one: &Accepted) -> Result<()> {
        let since = millis(self.world.now()).saturating_sub(86_400_000);
        let jobs = self.spool.all(Some(&one.user))?.jobs;
        let asked = jobs.iter().filter(|job| job.by.starts_with("cron") && job.asked > since);
        let asked = asked.count();
        if asked < self.requests_a_day {
            return Ok(());
        }
        Err(Error::new(Kind::Limit, format!("accept a request for a backup of {}", one.user))
            .why(format!("there were {asked} within a day")))
    }

    /// Removes whatever it is. Folders may hold anything: they first go where nobody adds to them.
    fn remove(&self, path: &Path) -> Result<()> {
        let what = || format!("remove {}", path.display());
        let is_folder = path.symlink_metadata().is_ok_and(|data| data.is_dir());
        if !is_folder {
            return match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.what_io(what),
            };
        }
        let rubbish = &self.folders.rubbish;
        DirBuilder::new().recursive(true).mode(0o700).create(rubbish).what_io(what)?;
        let place = rubbish.join(FileId(self.world.random_32()?).to_string());
        fs::rename(path, &place).what_io(what)?;
        Ok(())
    }
}

/// Removes what was no request. It may be much: not for whoever has something else to do.
///
/// A tree may be as deep as somebody liked to make it, and its owner may still be in it: so folders
/// are not gone into but brought up, one level at a time. Only names right below what is root's are
/// ever followed, and one folder is open at a time.
pub fn remove_rubbish(folders: &Folders, world: &World) -> Result<()> {
    let top = &folders.rubbish;
    let what = || format!("remove {}", top.display());
    loop {
        let mut left = false;
        for entry in fs::read_dir(top).what_io(what)? {
            let path = entry.what_io(what)?.path();
            if !path.symlink_metadata().what_io(what)?.is_dir() {
                gone(fs::remove_file(&path)).what_io(what)?;
                continue;
            }
            for inner in fs::read_dir(&path).what_io(what)? {
                let inner = inner.what_io(what)?;
                if inner.file_type().what_io(what)?.is_dir() {
                    let up = top.join(FileId(world.random_32()?).to_string());
                    gone(fs::rename(inner.path(), up)).what_io(what)?;
                } else {
                    gone(fs::remove_file(inner.path())).what_io(what)?;
                }
            }
            match gone(fs::remove_dir(&path)) {
                // Its owner has put something into it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                removed => removed.what_io(what)?,
            }
            left = true;
        }
        if !left {
            return gone(fs::remove_dir(top)).what_io(what);
        }
    }
}

/// What is gone already is as good as removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The owner's number and the text of what may be a request.
fn read(path: &Path) -> Result<(u32, Vec<u8>)> {
    let what = || format!("accept {}", path.display());
    let refuse = |why: &str| Err(Error::new(Kind::Forbidden, what()).why(why));
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file: File = opened.what_io(what)?;
    let found = file.metadata().what_io(what)?;
    if !found.is_file() {
        return refuse("it is no file");
    }
    if found.nlink() != 1 {
        return refuse("it has several names");
    }
    let mut text = Vec::new();
    file.take(limits::REQUEST_BYTES_MAX + 1).read_to_end(&mut text).what_io(what)?;
    if crate::base::units::bytes(text.len()) > limits::REQUEST_BYTES_MAX {
        return refuse("it is too large");
    }
    Ok((found.uid(), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::{Mode, mkdirat};

    #[test]
    fn a_tree_of_any_depth_goes_with_few_handles_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let kept = path("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "of somebody else").unwrap();
        let folders = Folders::below(folder.path());
        // Deeper than there are handles, and than a path may be long.
        fs::create_dir_all(folders.rubbish.join("tree")).unwrap();
        let mut at = File::open(folders.rubbish.join("tree")).unwrap();
        for _ in 0..3000 {
            mkdirat(&at, "deeper", Mode::S_IRWXU).unwrap();
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            at = nix::fcntl::openat(&at, "deeper", flags, Mode::empty()).unwrap().into();
        }
        std::os::unix::fs::symlink(&kept, folders.rubbish.join("link")).unwrap();
        std::os::unix::fs::symlink(&kept, folders.rubbish.join("tree/link")).unwrap();
        fs::write(folders.rubbish.join("tree/file"), "").unwrap();
        remove_rubbish(&folders, &World::seeded(1)).unwrap();
        assert!(!folders.rubbish.exists());
        assert!(kept.join("file").exists());
    }
}
