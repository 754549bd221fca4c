// SPDX-License-Identifier: MIT
//! From a repository's address to its backend: the only list of schemes.

use super::Backend;
use super::azure::{Azure, AzureOptions};
use super::local::Local;
use super::rclone::Rclone;
use super::retry::{Retried, Retry};
use super::s3::{S3, S3Options};
use super::sftp::{Sftp, SftpOptions};
use super::worded::{Worded, Words};
use crate::base::monitor::Collect;
use crate::base::{Error, Kind, Monitor, Result, World, limits};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What opening a backend needs beside its address.
#[derive(Clone)]
pub struct Access {
    /// Time and randomness.
    pub world: Arc<World>,
    /// Hears what is asked again, counts requests, and says whether to stop.
    pub monitor: Arc<dyn Monitor>,
    /// Keys and options of the store.
    pub variables: Variables,
}

impl Access {
    /// With nothing set and nobody listening.
    pub fn bare(world: Arc<World>) -> Self {
        Self { world, monitor: Arc::new(Collect::default()), variables: Variables::none() }
    }

    /// How long a request is asked again.
    fn retry(&self) -> Result<Retry> {
        let seconds = self.variables.number("GHOSTSNAP_RETRY_SECONDS")?;
        let in_all = Duration::from_secs(seconds.unwrap_or(limits::RETRY_SECONDS));
        Ok(Retry::new(Arc::clone(&self.world), Arc::clone(&self.monitor), in_all))
    }
}

/// Looks a variable up by its name.
type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Named values, such as `AWS_SECRET_ACCESS_KEY`: those of the environment, or what somebody wrote
/// down for one repository. Some are secrets, so that it never prints any.
#[derive(Clone)]
pub struct Variables {
    lookup: Arc<Lookup>,
    words: Option<Arc<Words>>,
}

impl Variables {
    /// No variables.
    pub fn none() -> Self {
        Self::new(|_| None)
    }

    /// Whatever this function finds.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { lookup: Arc::new(lookup), words: None }
    }

    /// The same, under names of their own where errors speak of them.
    #[must_use]
    pub fn called(self, words: Words) -> Self {
        Self { words: Some(Arc::new(words)), ..self }
    }

    /// A variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// A variable that is a number.
    pub fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| {
            Error::new(Kind::Invalid, format!("use {name}")).why("it is not a whole number")
        })
    }

    /// A variable that is yes or no; no if it is not set.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name).as_deref() {
            None | Some("no" | "false" | "0") => Ok(false),
            Some("yes" | "true" | "1") => Ok(true),
            Some(_) => {
                Err(Error::new(Kind::Invalid, format!("use {name}"))
                    .why("it is neither yes nor no"))
            }
        }
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

/// Opens the backend at an address: `/path`, `file:///path`, or a store: `s3:`, `azure:`, `sftp:`,
/// `rclone:` (docs/repositories.md).
/// A store is not asked anything yet; what of it fails in a way that may pass is asked again.
pub fn open(address: &str, access: &Access) -> Result<Arc<dyn Backend>> {
    let Some(words) = &access.variables.words else { return open_store(address, access) };
    let opened = open_store(address, access).map_err(|error| words.say(error))?;
    Ok(Arc::new(Worded::new(opened, Arc::clone(words))))
}

fn open_store(address: &str, access: &Access) -> Result<Arc<dyn Backend>> {
    let retry = Arc::new(access.retry()?);
    let inner: Arc<dyn Backend> = match scheme(address) {
        Some("s3") => {
            let options = S3Options::new(address, &access.variables)?;
            Arc::new(S3::new(options, access, Arc::clone(&retry))?)
        }
        Some("azure") => {
            let options = AzureOptions::new(address, &access.variables)?;
            Arc::new(Azure::new(options, access, Arc::clone(&retry))?)
        }
        Some("sftp") => Arc::new(Sftp::new(SftpOptions::new(address, &access.variables)?, access)?),
        Some("rclone") => Arc::new(Rclone::new(address, access)?),
        // A disk that fails does not get better by asking.
        _ => return Ok(Arc::new(local(address)?)),
    };
    Ok(Arc::new(Retried::new(inner, retry)))
}

/// Fails if a repository made at this address would lie among files that are not its own: in
/// somebody's home, say, or among the tarballs of Hestia.
pub fn refuse_foreign_place(address: &str) -> Result<()> {
    if scheme(address).is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        // Names in a store are whole paths: what is not ours lies beside and is never looked at.
        return Ok(());
    }
    let local = local(address)?;
    let Some(found) = local.foreign_entry()? else { return Ok(()) };
    Err(Error::new(Kind::Exists, format!("make a repository at {}", local.location()))
        .why(format!("the folder holds other things, such as {}", found.display())))
}

fn local(address: &str) -> Result<Local> {
    let path = address.strip_prefix("file://").unwrap_or(address);
    if path.is_empty() {
        return Err(Error::new(Kind::Usage, "open the repository").why("its address is empty"));
    }
    if scheme(path).is_some() {
        return Err(Error::new(
            Kind::Invalid,
            format!("open the repository {}", shown_address(path)),
        )
        .why("it is of no kind that this version knows")
        .hint("give a path such as /var/lib/ghostsnap/repository, or s3:https://host/bucket"));
    }
    Ok(Local::new(Path::new(path)))
}

/// The kind of place that an address is of: what a store's address begins with, or `folder`.
pub fn place_of(address: &str) -> &'static str {
    let store = scheme(address).and_then(|one| SCHEMES.into_iter().find(|known| *known == one));
    store.unwrap_or("folder")
}

/// Stores, by what their addresses begin with.
const SCHEMES: [&str; 4] = ["s3", "azure", "sftp", "rclone"];

/// Whether an address leads to another machine than this one, or may.
pub fn is_far(address: &str) -> bool {
    scheme(address).is_some_and(|scheme| scheme != "file")
}

/// Whether a prefix of names in a store has steps such as `..`, which are resolved in the names of
/// files but not in the prefix of a listing.
pub(super) fn has_steps(prefix: &str) -> bool {
    prefix.split('/').any(|part| [".", ".."].contains(&part))
}

/// What an address begins with; `None` for a path.
fn scheme(address: &str) -> Option<&str> {
    let (scheme, _) = address.split_once(':')?;
    let fits = scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (fits && !address.starts_with('/')).then_some(scheme)
}

/// The address as it may be shown: without `user:password@` and without a query. A name before the
/// `@` of an SSH server is no secret.
pub fn shown_address(address: &str) -> String {
    let shown = address.split('?').next().unwrap_or_default();
    let Some((before, rest)) = shown.split_once("://") else { return shown.to_owned() };
    match rest.rsplit_once('@') {
        Some((who, place)) if who.contains(':') || before != "sftp" => {
            format!("{before}://***@{place}")
        }
        _ => shown.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_other_things_is_no_place_for_a_repository() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("r").display().to_string();
        refuse_foreign_place(&address).unwrap();
        // What a disk brings along, and what an interrupted beginning left.
        for name in ["lost+found", "keys", "tmp"] {
            std::fs::create_dir_all(folder.path().join("r").join(name)).unwrap();
        }
        refuse_foreign_place(&address).unwrap();
        std::fs::write(folder.path().join("r/alice.2026-01-02_03-04-05.tar"), "x").unwrap();
        let error = refuse_foreign_place(&address).unwrap_err();
        assert_eq!(error.kind(), Kind::Exists);
        assert!(error.one_line().contains("alice.2026"), "{error}");
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for (address, shown) in [
            ("s3:https://id:hush@host/b?sig=x", "s3:https://***@host/b"),
            ("s3:https://hush@host/b", "s3:https://***@host/b"),
            ("sftp://me:hush@host/b", "sftp://***@host/b"),
            ("sftp://me@host:23/b", "sftp://me@host:23/b"),
            ("/srv/a@b", "/srv/a@b"),
        ] {
            assert_eq!(shown_address(address), shown);
        }
    }

    #[test]
    fn local_paths_open_and_other_schemes_say_so() {
        let open = |address| super::open(address, &Access::bare(Arc::new(World::seeded(1))));
        assert_eq!(open("/tmp/x").unwrap().location(), "/tmp/x");
        assert_eq!(open("file:///tmp/x").unwrap().location(), "/tmp/x");
        assert_eq!(open("./a:b").unwrap().location(), "./a:b");
        for address in ["s3://key:hush@host/b?sig=1", "ftp://key:hush@host/b?sig=1"] {
            let error = open(address).err().unwrap();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(!error.to_string().contains("hush") && !error.to_string().contains("sig="));
        }
    }
}
