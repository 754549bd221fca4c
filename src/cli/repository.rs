// SPDX-License-Identifier: MIT
//! Which repository is meant, and opening it: what the options say, else the environment, else the
//! settings of this server, whose key file then opens it too.

use super::Context;
use super::args::Invocation;
use super::secret::Asker;
use crate::backend::{self, FileName};
use crate::base::{Error, Kind, Monitor, Result};
use crate::format::keyslot::Secret;
use crate::hestia::Settings;
use crate::hestia::settings::SETTINGS_FILE;
use crate::repo::{IndexedRepository, Repository};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a repository is.
pub struct Address {
    /// A path or URL.
    pub text: String,
    /// The key file that the settings name beside it.
    pub key_file: Option<PathBuf>,
}

/// An open repository and what opened it.
pub struct Opened {
    /// The repository.
    pub repository: Repository,
    /// The password or key.
    pub secret: Secret,
}

impl Opened {
    /// With its index.
    pub fn indexed(self, monitor: &dyn Monitor) -> Result<IndexedRepository> {
        self.repository.indexed(monitor)
    }
}

/// The settings of this server.
pub fn settings(call: &Invocation) -> Result<Settings> {
    Settings::read(call.path("config").unwrap_or(Path::new(SETTINGS_FILE)))
}

/// The repository that is meant. The one of the settings counts if there are settings, or if it
/// exists: a machine without HestiaCP has neither.
pub fn address(call: &Invocation) -> Result<Address> {
    if let Some(text) = call.text("repository") {
        return Ok(Address { text: text.to_owned(), key_file: None });
    }
    let settings = settings(call)?;
    let has_settings = call.path("config").is_some_and(Path::exists);
    if has_settings || Path::new(&settings.repository).exists() {
        let key_file = Some(settings.key_file).filter(|path| path.exists());
        return Ok(Address { text: settings.repository, key_file });
    }
    Err(Error::new(Kind::Usage, "tell which repository is meant")
        .why("none is given and there are no settings on this machine")
        .hint("use -r FOLDER or GHOSTSNAP_REPOSITORY"))
}

/// Who finds out the password.
pub fn asker<'a>(context: &'a Context, call: &'a Invocation) -> Asker<'a> {
    Asker { call, output: &context.output, stop: &context.stop, world: &context.world }
}

/// Opens the repository that is meant.
pub fn open(context: &Context, call: &Invocation) -> Result<Opened> {
    let address = address(call)?;
    let backend = backend::open(&address.text)?;
    // Nobody should type a password for a repository that is not there.
    let secret = if backend.size(&FileName::CONFIG)?.is_none() {
        Secret::password("")
    } else {
        asker(context, call).present(address.key_file.as_deref())?
    };
    let world = Arc::clone(&context.world);
    let repository = Repository::open(backend, &secret, world)?;
    Ok(Opened { repository, secret })
}
