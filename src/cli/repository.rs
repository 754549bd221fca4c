// SPDX-License-Identifier: MIT
//! Which repository is meant, and opening it: what the options say, else the environment, else the
//! settings of this server, whose key file then opens it too. A word without `/` and `:` is the
//! name of a repository, whose entry says where it is, how it is reached and what opens it.

use super::Context;
use super::args::Invocation;
use super::secret::{Asker, NewSecret, find_secret};
use crate::backend::mem::Mem;
use crate::backend::open::is_far;
use crate::backend::throttle::{Rates, Throttled};
use crate::backend::{self, Access, FileName, Variables};
use crate::base::monitor::Collect;
use crate::base::units::ByteSize;
use crate::base::{Error, FileId, Kind, Monitor, Result, Within, limits};
use crate::format::Snapshot;
use crate::format::keyslot::Secret;
use crate::hestia::named::{self, DEFAULT, Entry, RepositoryName};
use crate::hestia::queue::Folders;
use crate::hestia::settings::SETTINGS_FILE;
use crate::hestia::setup::Place;
use crate::hestia::{Settings, UserName, customers, setup};
use crate::repo::diary::Diary;
use crate::repo::kept::KeptFile;
use crate::repo::{Found, IndexedRepository, LocalCopy, Repository};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A repository that is meant: where it is, how it is reached, what opens it.
pub struct Meant {
    /// A path or URL.
    pub address: String,
    /// How its store is reached.
    pub access: Access,
    /// What opens it, if no option says so.
    pub key: Key,
}

/// What opens a repository.
pub enum Key {
    /// Whoever is asked.
    Asked,
    /// The key file of the settings; it need not exist.
    Settings(PathBuf),
    /// What the entry of a repository with a name says; entries are in this folder.
    Entry(Box<Entry>, PathBuf),
}

impl Meant {
    /// The key file that opens it, if one does.
    pub fn key_file(&self) -> Option<PathBuf> {
        match &self.key {
            Key::Settings(path) => Some(path.clone()),
            Key::Entry(entry, folder) if entry.password().is_none() => Some(entry.key_file(folder)),
            Key::Asked | Key::Entry(..) => None,
        }
    }

    /// What makes and opens it by itself: a key file.
    fn place(&self) -> Option<Place> {
        let name = match &self.key {
            Key::Entry(entry, _) => Some(entry.name.to_string()),
            Key::Asked | Key::Settings(_) => None,
        };
        Some(Place { address: self.address.clone(), key_file: self.key_file()?, name })
    }

    /// What opens it.
    fn secret(&self, context: &Context, call: &Invocation) -> Result<Secret> {
        let call = &self.heard(call);
        let asker = asker(context, call);
        match &self.key {
            Key::Asked => asker.present(None),
            Key::Settings(path) => asker.present(Some(path.as_path()).filter(|path| path.exists())),
            Key::Entry(entry, folder) => asker.of_entry(entry, &entry.key_file(folder)),
        }
    }

    /// What is said of its password: for a repository with a name, the environment says nothing.
    fn heard(&self, call: &Invocation) -> Invocation {
        match &self.key {
            Key::Entry(..) => call.as_typed(&SECRETS),
            Key::Asked | Key::Settings(_) => call.clone(),
        }
    }

    /// What will open it when it is made.
    pub fn first_secret(&self, context: &Context, call: &Invocation) -> Result<NewSecret> {
        let call = &self.heard(call);
        let asker = asker(context, call);
        let says_key = says_password(call);
        match &self.key {
            Key::Entry(entry, folder) if !says_key => match entry.password() {
                Some(_) => {
                    let secret = asker.of_entry(entry, &entry.key_file(folder))?;
                    Ok(NewSecret { secret, made: None })
                }
                None => asker.first_key(&entry.key_file(folder)),
            },
            _ => asker.first(self.key_file().as_deref()),
        }
    }
}

/// Options that say what opens the repository.
const SECRETS: [&str; 3] = ["password-file", "password-command", "key-file"];

fn says_password(call: &Invocation) -> bool {
    SECRETS.iter().any(|name| call.has(name))
}

/// An open repository and what opened it.
pub struct Opened {
    /// The repository.
    pub repository: Repository,
    /// The password or key.
    pub secret: Secret,
}

impl Opened {
    /// Its snapshots; those that cannot be read are named, and hold nobody up.
    pub fn readable(&self, context: &Context) -> Result<Vec<(FileId, Snapshot)>> {
        let heard = Collect::default();
        let all = self.repository.readable_snapshots(&heard);
        heard.into_warnings().iter().for_each(|warning| context.output.warning(warning));
        all
    }

    /// With what can be read of its index.
    pub fn indexed_to_look(self, monitor: &dyn Monitor) -> Result<IndexedRepository> {
        self.repository.indexed_to_look(monitor)
    }
}

/// The settings file. With `--hestia-below` the usual one lies below that folder too.
pub fn settings_file(call: &Invocation) -> PathBuf {
    let path = call.path("config").unwrap_or(Path::new(SETTINGS_FILE));
    match call.path("hestia-below") {
        Some(folder) if path == Path::new(SETTINGS_FILE) => below(folder, path),
        _ => path.to_owned(),
    }
}

fn below(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path.strip_prefix("/").unwrap_or(path))
}

/// The folder of the repositories that have a name, beside the settings file.
pub fn entries_folder(call: &Invocation) -> PathBuf {
    beside(call, named::FOLDER)
}

/// The folders of the queue.
pub fn queue_folders(call: &Invocation) -> Folders {
    Folders::below(call.path("hestia-below").unwrap_or(Path::new("/")))
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
    let mut settings = placed(call, Settings::read(&settings_file(call))?);
    settings.customers_folder = beside(call, customers::FOLDER);
    Ok(settings)
}

/// A folder beside the settings file.
fn beside(call: &Invocation, name: &str) -> PathBuf {
    settings_file(call).parent().unwrap_or(Path::new("/")).join(name)
}

/// Settings with everything that they name by default below the folder of `--hestia-below`.
pub fn placed(call: &Invocation, mut settings: Settings) -> Settings {
    let Some(folder) = call.path("hestia-below") else { return settings };
    let below = |path: &Path| below(folder, path);
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
    if settings.cache_folder == usual.cache_folder {
        settings.cache_folder = below(&usual.cache_folder);
    }
    if settings.state_folder == usual.state_folder {
        settings.state_folder = below(&usual.state_folder);
    }
    settings.run_folder = below(&usual.run_folder);
    settings
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
pub fn is_set_up(
    context: &Context,
    call: &Invocation,
    settings: &Settings,
    user: Option<&UserName>,
) -> Result<bool> {
    if call.has("repository") {
        return Ok(true);
    }
    let meant = of_user(context, call, settings, user)?;
    if meant.key_file().is_none_or(|path| path.exists()) {
        return Ok(true);
    }
    let backend = backend::open(&meant.address, &meant.access)?;
    Ok(backend.size(&FileName::CONFIG)?.is_some())
}

/// Whether the repository of this name or address was there once, as its key file shows: if it is
/// gone now, a disk is not mounted or worse.
pub fn was_made(context: &Context, call: &Invocation, text: &str) -> bool {
    let meant = by_text(context, call, text).ok();
    meant.and_then(|meant| meant.key_file()).is_some_and(|path| path.exists())
}

/// Opens the repository of this server, or of one user of it, with the key file of the settings or
/// of the repository's entry; `-r` and `--key-file` take their place. `make` says that the first
/// backup may make both; a repository that somebody gave by its address is never made by the way.
pub fn open_of_server(
    context: &Context,
    call: &Invocation,
    settings: &Settings,
    user: Option<&UserName>,
    make: bool,
) -> Result<Repository> {
    open_as_server(context, call, settings, of_user(context, call, settings, user)?, make)
}

/// The same for the repository of this name or address.
pub fn open_by_text(
    context: &Context,
    call: &Invocation,
    settings: &Settings,
    text: &str,
    make: bool,
) -> Result<Repository> {
    let meant = match text {
        DEFAULT => of_settings(context, call, settings)?,
        text => by_text(context, call, text)?,
    };
    open_as_server(context, call, settings, meant, make)
}

fn open_as_server(
    context: &Context,
    call: &Invocation,
    settings: &Settings,
    mut meant: Meant,
    make: bool,
) -> Result<Repository> {
    // The key of this server may well open a repository that somebody gives by its address.
    let by_address = matches!(meant.key, Key::Asked);
    if by_address && settings.key_file.exists() {
        meant.key = Key::Settings(settings.key_file.clone());
    }
    let has_entry = matches!(meant.key, Key::Entry(..));
    let from_env = !has_entry && std::env::var_os("GHOSTSNAP_PASSWORD").is_some();
    let place = meant.place().filter(|_| !says_password(&meant.heard(call)) && !from_env);
    let Some(place) = place else {
        return open_meant(context, call, &meant).map(|opened| opened.repository);
    };
    let dressing = Dressing::of(call, settings, &meant)?;
    if !make || by_address {
        let opened = setup::open(&place, &meant.access)?;
        return dressing.put_on(context, call, opened);
    }
    let opened = setup::open_or_make(&place, &meant.access)?;
    if let Some(made) = opened.made {
        context.output.important(&made.advice());
    }
    dressing.put_on(context, call, opened.repository)
}

/// What `-r` says, else the repository of this user, else that of this server.
fn of_user(
    context: &Context,
    call: &Invocation,
    settings: &Settings,
    user: Option<&UserName>,
) -> Result<Meant> {
    let own = user.and_then(|user| settings.repository_of(user.as_str()));
    match call.text("repository").or(own) {
        Some(DEFAULT) | None => of_settings(context, call, settings),
        Some(text) => by_text(context, call, text),
    }
}

fn of_settings(context: &Context, call: &Invocation, settings: &Settings) -> Result<Meant> {
    if RepositoryName::is_meant(&settings.repository) {
        return by_text(context, call, &settings.repository);
    }
    let key = Key::Settings(settings.key_file.clone());
    Ok(Meant { address: settings.repository.clone(), access: context.access(), key })
}

/// A repository by its name or address.
pub fn by_text(context: &Context, call: &Invocation, text: &str) -> Result<Meant> {
    if !RepositoryName::is_meant(text) {
        let address = text.to_owned();
        return Ok(Meant { address, access: context.access(), key: Key::Asked });
    }
    if text == DEFAULT {
        return of_settings(context, call, &settings(call)?);
    }
    let folder = entries_folder(call);
    let entry = named::read(&folder, &RepositoryName::parse(text)?)?;
    let access = access_of(context, &entry, &folder)?;
    Ok(Meant { address: entry.url.clone(), access, key: Key::Entry(Box::new(entry), folder) })
}

/// How the store of a repository with a name is reached: with what its entry says and nothing else.
fn access_of(context: &Context, entry: &Entry, folder: &Path) -> Result<Access> {
    let mut values: BTreeMap<&'static str, Zeroizing<String>> = BTreeMap::new();
    let variable = |key: &str| entry.settings().find(|one| one.key == key)?.variable;
    for (key, value) in entry.options() {
        if let Some(variable) = variable(key) {
            values.insert(variable, Zeroizing::new(value.to_owned()));
        }
    }
    for (key, place) in entry.secrets() {
        if let Some(variable) = variable(key) {
            let text = find_secret(entry, key, place)?;
            let line = text.lines().next().unwrap_or_default().trim();
            values.insert(variable, Zeroizing::new(line.to_owned()));
        }
    }
    let lookup = move |name: &str| {
        if named::is_ours(name) {
            return values.get(name).map(|value| value.as_str().to_owned());
        }
        std::env::var(name).ok()
    };
    let variables = Variables::new(lookup).called(entry.words(folder));
    Ok(Access { variables, ..context.access() })
}

/// What an open repository gets for this run.
struct Dressing {
    rates: Rates,
    /// The folder for copies of what is far away, if this is.
    copies: Option<PathBuf>,
    /// The folder on whose disk there is room for what is too large for memory.
    scratch: Option<PathBuf>,
    /// The folder where this machine remembers what it has seen of repositories.
    memories: Option<PathBuf>,
}

impl Dressing {
    /// What the options say, else the settings.
    fn of(call: &Invocation, settings: &Settings, meant: &Meant) -> Result<Self> {
        let rate = |name: &str, set: Option<ByteSize>| match call.text(name) {
            Some(text) => Rates::parse(text).within(|| format!("take --{name}")),
            None => Ok(set),
        };
        let rates = Rates {
            upload: rate("limit-upload", settings.rates.upload)?,
            download: rate("limit-download", settings.rates.download)?,
        };
        let is_wanted = is_far(&meant.address) && !call.has("no-cache");
        let scratch = cache_folder(call, settings);
        let copies = if is_wanted { scratch.clone() } else { None };
        Ok(Self { rates, copies, scratch, memories: memory_folder(call, settings) })
    }

    fn put_on(
        self,
        context: &Context,
        call: &Invocation,
        repository: Repository,
    ) -> Result<Repository> {
        let name = call.command().name;
        if !WRITE_ONLY.contains(&name) {
            repository.refuse_write_only(&format!("run 'ghostsnap {name}'"))?;
        }
        let stop = context.stop.handle();
        let rates = self.rates;
        let repository =
            repository.through(|store| Throttled::wrap(store, rates, &context.world, &stop));
        let repository = match &self.memories {
            Some(folder) => with_memory(context, repository, folder)?,
            None => repository,
        };
        let repository = match &self.scratch {
            Some(folder) => repository.with_scratch(folder, limits::INDEX_ROWS_IN_MEMORY),
            None => repository,
        };
        let Some(folder) = self.copies else { return Ok(repository) };
        let copy = LocalCopy::new(&folder, &repository.config().repository_id, limits::COPY_BYTES);
        Ok(repository.with_copy(copy))
    }
}

/// Commands that write-only keys are good for: what adds, and what looks at what they have stored
/// themselves. All others are refused before they begin.
const WRITE_ONLY: &[&str] = &[
    "backup",
    "snapshots",
    "ls",
    "find",
    "diff",
    "copy",
    "check",
    "unlock",
    "stats",
    "key list",
    "key test",
    "metrics",
    "hestia list-users",
    "hestia user-info",
    "hestia backup",
    "hestia import",
    "hestia list-backups",
    "hestia show-backup",
    "hestia list-files",
    "hestia find-files",
    "hestia list-restores",
    "hestia status",
    "hestia repository-status",
    "hestia notify",
    "hestia notifications",
    "hestia check-health",
];

/// A repository that this machine remembers, if it can. Without that only the memory is lost.
fn with_memory(context: &Context, repository: Repository, folder: &Path) -> Result<Repository> {
    let machine = format!("{} {}", context.world.host(), context.world.machine_id());
    let diary = Diary::new(folder, &repository.config().repository_id, &machine);
    let repository = match diary.prepare() {
        Ok(()) => repository.with_diary(diary),
        Err(error) => {
            let what = "remember on this machine which backups there are";
            context.output.warning(&error.within(what));
            repository
        }
    };
    if !repository.keys().is_write_only() {
        return Ok(repository);
    }
    let kept =
        KeptFile::new(&folder.with_file_name("write-only"), &repository.config().repository_id);
    if let Err(error) = kept.prepare() {
        // It is written anew by the next backup, if only its content is wrong.
        let what = "remember on this machine what its backups are compared with";
        context.output.warning(&error.within(what));
    }
    kept.same_owner(&repository)?;
    Ok(repository.with_kept(kept))
}

/// Where this machine remembers what it has seen of repositories.
fn memory_folder(call: &Invocation, settings: &Settings) -> Option<PathBuf> {
    let states = match call.path("state-dir") {
        Some(folder) => Some(folder.to_owned()),
        None if nix::unistd::Uid::effective().is_root() => Some(settings.state_folder.clone()),
        None => of_home("XDG_STATE_HOME", ".local/state").map(|states| states.join("ghostsnap")),
    };
    states.map(|states| states.join("history"))
}

/// A folder of somebody who is not root: as a variable says, or below the home.
fn of_home(variable: &str, usual: &str) -> Option<PathBuf> {
    let path =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|one| one.is_absolute());
    path(variable).or_else(|| path("HOME").map(|home| home.join(usual)))
}

/// Where copies of far repositories lie, and what is too large for memory: as the options or
/// settings say; for somebody who is not root, where such things lie in a home.
fn cache_folder(call: &Invocation, settings: &Settings) -> Option<PathBuf> {
    if let Some(folder) = call.path("cache-dir") {
        return Some(folder.to_owned());
    }
    if nix::unistd::Uid::effective().is_root() {
        return Some(settings.cache_folder.clone());
    }
    of_home("XDG_CACHE_HOME", ".cache").map(|caches| caches.join("ghostsnap"))
}

/// The repository that is meant. The one of the settings counts if there are settings, or if it
/// exists: a machine without HestiaCP has neither.
pub fn meant(context: &Context, call: &Invocation) -> Result<Meant> {
    if let Some(text) = call.text("repository") {
        return by_text(context, call, text);
    }
    let settings = settings(call)?;
    let has_settings = call.path("config").is_some_and(Path::exists) || call.has("hestia-below");
    if has_settings || Path::new(&settings.repository).exists() {
        return of_settings(context, call, &settings);
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
    open_meant(context, call, &meant(context, call)?)
}

/// Opens the repository that snapshots are copied into. One with a name and a key file is made if
/// neither is there, as the first backup makes it.
pub fn open_or_make(context: &Context, call: &Invocation, meant: &Meant) -> Result<Repository> {
    let says = says_password(&meant.heard(call));
    let place = meant.place().filter(|place| place.name.is_some() && !says);
    let Some(place) = place else {
        return open_meant(context, call, meant).map(|opened| opened.repository);
    };
    let dressing = Dressing::of(call, &readable_settings(call)?, meant)?;
    let opened = setup::open_or_make(&place, &meant.access)?;
    if let Some(made) = opened.made {
        context.output.important(&made.advice());
    }
    dressing.put_on(context, call, opened.repository)
}

/// The same without making anything: one that would be made is empty and in memory.
pub fn open_or_pretend(context: &Context, call: &Invocation, meant: &Meant) -> Result<Repository> {
    let says = says_password(&meant.heard(call));
    let place = meant.place().filter(|place| place.name.is_some() && !says);
    let is_new = place.is_some_and(|place| !place.key_file.exists());
    if is_new && backend::open(&meant.address, &meant.access)?.size(&FileName::CONFIG)?.is_none() {
        let world = Arc::clone(&context.world);
        let secret = Secret::from_file_text(&Secret::key_file_text(&world.random_32()?))?;
        return Repository::init(Arc::new(Mem::new()), &secret, "nobody's", world);
    }
    open_meant(context, call, meant).map(|opened| opened.repository)
}

/// Opens this one.
pub fn open_meant(context: &Context, call: &Invocation, meant: &Meant) -> Result<Opened> {
    let dressing = Dressing::of(call, &readable_settings(call)?, meant)?;
    let backend = backend::open(&meant.address, &meant.access)?;
    // Nobody should type a password for a repository that is not there.
    let found = Found::at(backend)?;
    let secret = meant.secret(context, call)?;
    let repository = found.open(&secret, Arc::clone(&context.world))?;
    Ok(Opened { repository: dressing.put_on(context, call, repository)?, secret })
}

/// Opens this one with just this secret, and with nothing of it that is on this machine.
pub fn open_with(context: &Context, meant: &Meant, secret: &Secret) -> Result<Repository> {
    let found = Found::at(backend::open(&meant.address, &meant.access)?)?;
    found.open(secret, Arc::clone(&context.world))
}
