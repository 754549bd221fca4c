// SPDX-License-Identifier: MIT
//! Which repository is meant, and opening it: what the options say, else the environment, else the
//! settings of this server, whose key file then opens it too.

use super::Context;
use super::args::Invocation;
use super::secret::Asker;
use crate::backend::throttle::{Rates, Throttled};
use crate::backend::{self, FileName};
use crate::base::units::ByteSize;
use crate::base::{Error, Kind, Monitor, Result, Within};
use crate::format::keyslot::Secret;
use crate::hestia::settings::SETTINGS_FILE;
use crate::hestia::{Settings, setup};
use crate::repo::{IndexedRepository, Repository};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a repository is.
pub struct Address {
    /// A path or URL.
    pub text: String,
    /// The key file that the settings name beside it; it need not exist.
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

/// The settings of this server. With `--hestia-below`, everything they name by default lies below
/// that folder too.
pub fn settings(call: &Invocation) -> Result<Settings> {
    let path = call.path("config").unwrap_or(Path::new(SETTINGS_FILE));
    if path != Path::new(SETTINGS_FILE) && !path.exists() {
        return Err(Error::new(Kind::NotFound, format!("read the settings in {}", path.display()))
            .why("there is no such file")
            .hint("check --config and GHOSTSNAP_CONFIG"));
    }
    let Some(folder) = call.path("hestia-below") else { return Settings::read(path) };
    let below = |path: &Path| folder.join(path.strip_prefix("/").unwrap_or(path));
    let path = if path == Path::new(SETTINGS_FILE) { below(path) } else { path.to_owned() };
    let mut settings = Settings::read(&path)?;
    let usual = Settings::default();
    if settings.repository == usual.repository {
        settings.repository = below(Path::new(&usual.repository)).display().to_string();
    }
    if settings.key_file == usual.key_file {
        settings.key_file = below(&usual.key_file);
    }
    if settings.log_folder == usual.log_folder {
        settings.log_folder = below(&usual.log_folder);
    }
    settings.run_folder = below(&usual.run_folder);
    Ok(settings)
}

/// The settings, or the usual ones for somebody who may not read them and has a repository of
/// their own.
pub fn readable_settings(call: &Invocation) -> Result<Settings> {
    match settings(call) {
        Err(error) if error.kind() == Kind::Forbidden && call.has("repository") => {
            Ok(Settings::default())
        }
        settings => settings,
    }
}

/// Whether there was a first backup, or somebody says where the repository is.
pub fn is_set_up(context: &Context, call: &Invocation, settings: &Settings) -> Result<bool> {
    if call.has("repository") || settings.key_file.exists() {
        return Ok(true);
    }
    let backend = backend::open(&settings.repository, &context.access())?;
    Ok(backend.size(&FileName::CONFIG)?.is_some())
}

/// Opens the repository of this server with the key file of its settings; `-r` and `--key-file`
/// take their place. `make` says that the first backup may make both; a repository that somebody
/// named is never made by the way.
pub fn open_of_server(
    context: &Context,
    call: &Invocation,
    settings: &Settings,
    make: bool,
) -> Result<Repository> {
    let named = call.text("repository");
    let says_password = call.has("password-file")
        || call.has("password-command")
        || call.has("key-file")
        || std::env::var_os("GHOSTSNAP_PASSWORD").is_some();
    if says_password || (named.is_some() && !settings.key_file.exists()) {
        return open(context, call).map(|opened| opened.repository);
    }
    let rates = rates(call, settings)?;
    let mut settings = settings.clone();
    if let Some(named) = named {
        named.clone_into(&mut settings.repository);
    }
    let access = context.access();
    if !make || named.is_some() {
        return setup::open(&settings, &access).map(|opened| at_rates(context, opened, rates));
    }
    let opened = setup::open_or_make(&settings, &access)?;
    if let Some(made) = opened.made {
        context.output.important(&made.advice());
    }
    Ok(at_rates(context, opened.repository, rates))
}

/// How fast the repository may be written and read: what the options say, else the settings.
fn rates(call: &Invocation, settings: &Settings) -> Result<Rates> {
    let rate = |name: &str, set: Option<ByteSize>| match call.text(name) {
        Some(text) => Rates::parse(text).within(|| format!("take --{name}")),
        None => Ok(set),
    };
    Ok(Rates {
        upload: rate("limit-upload", settings.rates.upload)?,
        download: rate("limit-download", settings.rates.download)?,
    })
}

fn at_rates(context: &Context, repository: Repository, rates: Rates) -> Repository {
    let stop = context.stop.handle();
    repository.through(|store| Throttled::wrap(store, rates, &context.world, &stop))
}

/// The repository that is meant. The one of the settings counts if there are settings, or if it
/// exists: a machine without HestiaCP has neither.
pub fn address(call: &Invocation) -> Result<Address> {
    if let Some(text) = call.text("repository") {
        return Ok(Address { text: text.to_owned(), key_file: None });
    }
    let settings = settings(call)?;
    let has_settings = call.path("config").is_some_and(Path::exists) || call.has("hestia-below");
    if has_settings || Path::new(&settings.repository).exists() {
        return Ok(Address { text: settings.repository, key_file: Some(settings.key_file) });
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
    let rates = rates(call, &readable_settings(call)?)?;
    let backend = backend::open(&address.text, &context.access())?;
    // Nobody should type a password for a repository that is not there.
    let secret = if backend.size(&FileName::CONFIG)?.is_none() {
        Secret::password("")
    } else {
        asker(context, call).present(address.key_file.as_deref().filter(|path| path.exists()))?
    };
    let world = Arc::clone(&context.world);
    let repository = Repository::open(backend, &secret, world)?;
    Ok(Opened { repository: at_rates(context, repository, rates), secret })
}
