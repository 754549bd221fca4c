// SPDX-License-Identifier: MIT
//! `/etc/ghostsnap/repositories/NAME.toml`: repositories that have a name, each with its address,
//! its options and where its secrets are. An entry never holds a secret itself: it names the file,
//! the variable or the command that gives it, so that an entry can be shown to whoever may run the
//! command that shows it.
//!
//! Entries belong to root and are nobody else's to read or write; one that is not is refused, since
//! whoever may write it decides where backups go and which command root runs.

use super::call::private_folder;
use super::settings::Place;
use crate::backend::place_of;
use crate::backend::private_file::{check_private, remove_file, replace, sync};
use crate::backend::worded::Words;
use crate::base::error::io_error;
use crate::base::{Error, Kind, Result, WhatIo, limits};
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use toml::{Spanned, Value};

/// The name of the repository that ghostsnap.toml describes.
pub const DEFAULT: &str = "default";
/// The folder of the entries, beside ghostsnap.toml.
pub const FOLDER: &str = "repositories";

/// The name of a repository: a word without `/` and `:`, which addresses have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Whether this means a name rather than a path or URL.
    pub fn is_meant(text: &str) -> bool {
        !text.contains(['/', ':']) && ![".", ".."].contains(&text)
    }

    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() <= limits::REPOSITORY_NAME_BYTES_MAX && text.chars().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(Kind::Invalid, format!("use '{}' as the name of a repository", shown(text)))
            .why("a name has letters, digits, hyphens, dots and underscores"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    crate::base::path::display_bytes(short.as_bytes())
}

/// What an option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Text.
    Text,
    /// Yes or no.
    Flag,
    /// A whole number.
    Number,
    /// An absolute path.
    Path,
    /// Something that only a file, a variable or a command gives.
    Secret,
}

/// An option of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// What it is called.
    pub key: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// The variable that a store knows it by; `None` for what no store is told.
    pub variable: Option<&'static str>,
    /// Kinds of places that have it.
    places: &'static [&'static str],
}

const fn setting(
    key: &'static str,
    holds: Holds,
    variable: &'static str,
    places: &'static [&'static str],
) -> Setting {
    Setting { key, holds, variable: Some(variable), places }
}

const STORES: &[&str] = &["s3", "azure", "sftp", "rclone"];
const WEB: &[&str] = &["s3", "azure"];
const ALL: &[&str] = &["s3", "azure", "sftp", "rclone", "folder"];

/// Every option. A key may stand twice, for two kinds of places.
pub const SETTINGS: &[Setting] = &[
    setting("key_id", Holds::Text, "AWS_ACCESS_KEY_ID", &["s3"]),
    setting("secret", Holds::Secret, "AWS_SECRET_ACCESS_KEY", &["s3"]),
    setting("session_token", Holds::Secret, "AWS_SESSION_TOKEN", &["s3"]),
    setting("credentials", Holds::Text, "GHOSTSNAP_CREDENTIALS", WEB),
    setting("client_id", Holds::Text, "AZURE_CLIENT_ID", &["azure"]),
    setting("region", Holds::Text, "AWS_REGION", &["s3"]),
    setting("path_style", Holds::Flag, "GHOSTSNAP_S3_PATH_STYLE", &["s3"]),
    setting("account", Holds::Text, "AZURE_STORAGE_ACCOUNT", &["azure"]),
    setting("secret", Holds::Secret, "AZURE_STORAGE_KEY", &["azure"]),
    setting("sas_token", Holds::Secret, "AZURE_STORAGE_SAS_TOKEN", &["azure"]),
    setting("connection_string", Holds::Secret, "AZURE_STORAGE_CONNECTION_STRING", &["azure"]),
    setting("endpoint", Holds::Text, "AZURE_STORAGE_BLOB_ENDPOINT", &["azure"]),
    setting("ssh_config", Holds::Path, "GHOSTSNAP_SSH_CONFIG", &["sftp"]),
    setting("rclone_config", Holds::Path, "RCLONE_CONFIG", &["rclone"]),
    setting("rclone_password", Holds::Secret, "RCLONE_CONFIG_PASS", &["rclone"]),
    setting("ca_file", Holds::Path, "GHOSTSNAP_CA_FILE", WEB),
    setting("allow_http", Holds::Flag, "GHOSTSNAP_ALLOW_HTTP", WEB),
    setting("append_only", Holds::Flag, "GHOSTSNAP_APPEND_ONLY", STORES),
    setting("retry_seconds", Holds::Number, "GHOSTSNAP_RETRY_SECONDS", STORES),
    setting("silence_seconds", Holds::Number, "GHOSTSNAP_SILENCE_SECONDS", STORES),
    Setting { key: "key_file", holds: Holds::Path, variable: None, places: ALL },
    Setting { key: "password", holds: Holds::Secret, variable: None, places: ALL },
];

/// Whether a store of a named repository takes this variable from its entry alone. What an entry
/// leaves out is not set: the keys of one repository never reach another one's store.
pub fn is_ours(variable: &str) -> bool {
    variable == "AWS_DEFAULT_REGION" || SETTINGS.iter().any(|one| one.variable == Some(variable))
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In the first line of a file.
    File(PathBuf),
    /// In a variable of the environment.
    Environment(String),
    /// In the first line that a command prints; it is started without a shell.
    Command(Vec<String>),
}

/// What is behind the key of a secret.
const WAYS: [&str; 3] = ["_file", "_env", "_command"];

impl SecretPlace {
    const fn way(&self) -> &'static str {
        match self {
            Self::File(_) => "_file",
            Self::Environment(_) => "_env",
            Self::Command(_) => "_command",
        }
    }
}

impl fmt::Display for SecretPlace {
    /// Where it is, without the arguments of the command.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Command(words) => {
                write!(f, "command {}", words.first().map_or("", String::as_str))
            }
        }
    }
}

/// A repository with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: RepositoryName,
    /// Its address.
    pub url: String,
    options: BTreeMap<&'static str, String>,
    secrets: BTreeMap<&'static str, SecretPlace>,
}

impl Entry {
    /// An entry without options.
    pub fn new(name: RepositoryName, url: &str) -> Self {
        let (options, secrets) = (BTreeMap::new(), BTreeMap::new());
        Self { name, url: url.to_owned(), options, secrets }
    }

    /// What kind of place it is at.
    pub fn place(&self) -> &'static str {
        place_of(&self.url)
    }

    /// The options that are no secrets, by their keys.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.options.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Where its secrets are, by their keys.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretPlace)> {
        self.secrets.iter().map(|(key, place)| (*key, place))
    }

    /// Where the password that opens it is, if a password does.
    pub fn password(&self) -> Option<&SecretPlace> {
        self.secrets.get("password")
    }

    /// The file with the key that opens it, if no password does.
    pub fn key_file(&self, folder: &Path) -> PathBuf {
        let beside = || folder.join(format!("{}.key", self.name));
        self.options.get("key_file").map_or_else(beside, PathBuf::from)
    }

    /// The options of this kind of place, with the variables that its store knows them by.
    pub fn settings(&self) -> impl Iterator<Item = &'static Setting> + use<> {
        let place = self.place();
        SETTINGS.iter().filter(move |one| one.places.contains(&place))
    }

    /// What its store's variables are called here.
    pub fn words(&self, folder: &Path) -> Words {
        let names = self.settings().filter_map(|one| Some((one.variable?, one.key)));
        let names = names.map(|(variable, key)| (variable.to_owned(), key.to_owned()));
        let file = path_of(folder, &self.name);
        Words::new(names, format!("{} ({})", self.name, file.display()))
    }

    /// Sets or, with an empty value, removes what `KEY=VALUE` says. A secret is never taken from
    /// there.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let what = |key: &str| format!("set {key} of the repository {}", self.name);
        let wrong = |why: String| Error::new(Kind::Invalid, what(key)).why(why);
        if key == "url" {
            check_url(value).map_err(wrong)?;
            value.clone_into(&mut self.url);
            return Ok(());
        }
        if let Some(one) = self.settings().find(|one| one.key == key) {
            if one.holds == Holds::Secret {
                return Err(on_the_command_line(what(one.key), one.key));
            }
            let value = if value.is_empty() {
                None
            } else {
                Some(checked(one.holds, value).map_err(wrong)?)
            };
            self.options.remove(one.key);
            self.options.extend(value.map(|value| (one.key, value)));
            return Ok(());
        }
        // A key that is not known is not repeated: it may be the beginning of a secret.
        let unknown = || Error::new(Kind::Invalid, what("an option")).why(self.known_keys());
        let (one, way) = self.secret_key(key).ok_or_else(unknown)?;
        let place = match way {
            _ if value.is_empty() => None,
            "_file" => Some(SecretPlace::File(checked(Holds::Path, value).map_err(wrong)?.into())),
            "_env" => Some(SecretPlace::Environment(variable_name(value).map_err(wrong)?)),
            _ => return Err(wrong("a command is a list of words".to_owned())),
        };
        self.secrets.remove(one.key);
        self.secrets.extend(place.map(|place| (one.key, place)));
        Ok(())
    }

    /// Sets where a secret is.
    pub fn set_secret(&mut self, key: &str, place: SecretPlace) -> Result<()> {
        let found = self.settings().find(|one| one.key == key && one.holds == Holds::Secret);
        let one = found.ok_or_else(|| {
            Error::new(Kind::Invalid, format!("set an option of the repository {}", self.name))
                .why(self.known_keys())
        })?;
        if let SecretPlace::Command(words) = &place {
            check_command(words).map_err(|why| {
                Error::new(Kind::Invalid, format!("set {key}_command of {}", self.name)).why(why)
            })?;
        }
        self.secrets.insert(one.key, place);
        Ok(())
    }

    /// The secret that a key such as `secret_file` is about, and the way to it.
    pub fn secret_key(&self, key: &str) -> Option<(&'static Setting, &'static str)> {
        let way = WAYS.into_iter().find(|way| key.ends_with(way))?;
        let stem = key.strip_suffix(way)?;
        let one = self.settings().find(|one| one.key == stem && one.holds == Holds::Secret)?;
        Some((one, way))
    }

    fn known_keys(&self) -> String {
        let keys = self.settings().map(|one| match one.holds {
            Holds::Secret => format!("{0}_file, {0}_env, {0}_command", one.key),
            _ => one.key.to_owned(),
        });
        let keys: Vec<String> = std::iter::once("url".to_owned()).chain(keys).collect();
        format!("a repository of this kind ({}) has {}", self.place(), keys.join(", "))
    }

    /// The text of its file.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# A repository of Ghostsnap. 'ghostsnap repository change {}' changes it.\n",
            self.name
        );
        let mut line = |key: &str, value: Value| text.push_str(&format!("{key} = {value}\n"));
        line("url", self.url.as_str().into());
        for (key, value) in &self.options {
            line(key, value.as_str().into());
        }
        for (key, place) in &self.secrets {
            let value = match place {
                SecretPlace::File(path) => path.display().to_string().into(),
                SecretPlace::Environment(name) => name.as_str().into(),
                SecretPlace::Command(words) => words.clone().into(),
            };
            line(&format!("{key}{}", place.way()), value);
        }
        text
    }

    /// Reads the text of an entry; `path` is for the messages.
    pub fn parse(name: RepositoryName, text: &str, path: &Path) -> Result<Self> {
        let place = Place { text, path };
        let written: BTreeMap<Spanned<String>, Spanned<Value>> = toml::from_str(text)
            .map_err(|error| place.error(error.span().map(|span| span.start), error.message()))?;
        let url = written.iter().find(|(key, _)| key.get_ref() == "url");
        let (_, url) = url.ok_or_else(|| place.error(None, "it has no url"))?;
        let wrong_url = |why: &str| place.error(Some(url.span().start), why);
        let address = url.get_ref().as_str().ok_or_else(|| wrong_url("url must be text"))?;
        check_url(address).map_err(|why| wrong_url(&why))?;
        let mut entry = Self::new(name, address);
        for (key, value) in &written {
            let at = Some(key.span().start);
            entry.take(key.get_ref(), value.get_ref()).map_err(|why| place.error(at, &why))?;
        }
        Ok(entry)
    }

    /// One line of a file. What is wrong is told without the value, which may be a secret that
    /// somebody wrote where it does not belong.
    fn take(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Boolean(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Array(words) if key.ends_with("_command") => {
                let (one, _) = self.secret_key(key).ok_or_else(|| self.known_keys())?;
                self.refuse_second(one)?;
                let words = words.iter().map(|word| word.as_str().map(str::to_owned));
                let words: Option<Vec<String>> = words.collect();
                let words = words.ok_or("a command is a list of texts")?;
                check_command(&words)?;
                self.secrets.insert(one.key, SecretPlace::Command(words));
                return Ok(());
            }
            _ => return Err("this must be text, a number, or true or false".to_owned()),
        };
        if text.is_empty() {
            return Err("this is empty".to_owned());
        }
        if let Some((one, way)) = self.secret_key(key) {
            self.refuse_second(one)?;
            if way == "_command" {
                return Err("a command is a list of texts, such as [\"pass\", \"x\"]".to_owned());
            }
        }
        self.set(key, &text).map_err(|error| error.reasons())
    }

    fn refuse_second(&self, one: &Setting) -> Result<(), String> {
        if self.secrets.contains_key(one.key) {
            return Err(format!("{} is given in two ways", one.key));
        }
        Ok(())
    }
}

fn on_the_command_line(what: String, key: &str) -> Error {
    Error::new(Kind::Usage, what)
        .why("secrets stand neither on a command line nor in an entry, where others can read them")
        .hint(format!(
            "use {key}_file, {key}_env or {key}_command, or {key}=- to type it on standard input"
        ))
}

/// Says what is wrong with an address, if anything is.
pub fn check_url(url: &str) -> Result<(), String> {
    if RepositoryName::is_meant(url) {
        return Err("url must be a path such as /srv/backups, or s3:https://host/bucket".to_owned());
    }
    if place_of(url) == "folder" && !url.starts_with('/') && !url.starts_with("file:///") {
        return Err(
            "url must be an absolute path, or begin with s3:, azure:, sftp: or rclone:".to_owned()
        );
    }
    Ok(())
}

fn checked(holds: Holds, value: &str) -> Result<String, String> {
    match holds {
        Holds::Flag => match value {
            "yes" | "no" => Ok(value.to_owned()),
            _ => Err("this must be yes or no".to_owned()),
        },
        Holds::Number if value.parse::<u32>().is_err() => {
            Err("this must be a whole number".to_owned())
        }
        Holds::Path if !value.starts_with('/') => Err("this must be an absolute path".to_owned()),
        _ => Ok(value.to_owned()),
    }
}

fn variable_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // A secret that somebody put here by mistake is not repeated.
    if text.chars().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("this must be the name of a variable".to_owned())
}

fn check_command(words: &[String]) -> Result<(), String> {
    if words.first().is_some_and(|program| !program.is_empty()) {
        return Ok(());
    }
    Err("the command is empty".to_owned())
}

/// The file of an entry.
pub fn path_of(folder: &Path, name: &RepositoryName) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

/// Reads the entry of this name.
pub fn read(folder: &Path, name: &RepositoryName) -> Result<Entry> {
    let path = path_of(folder, name);
    let text = read_private(&path)?.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("find the repository {name}"))
            .why(format!("there is no {}", path.display()))
            .hint(format!(
                "'ghostsnap repository list' lists those with a name; a folder is written ./{name}"
            ))
    })?;
    Entry::parse(name.clone(), &text, &path)
}

/// The names of all entries, sorted.
pub fn names(folder: &Path) -> Result<Vec<RepositoryName>> {
    let what = || format!("list {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.what_io(what)?,
    };
    let mut names = Vec::new();
    for entry in entries.take(limits::LISTED_ENTRIES_MAX) {
        let file = entry.what_io(what)?.file_name();
        let stem = file.to_str().and_then(|file| file.strip_suffix(".toml"));
        names.extend(stem.and_then(|stem| RepositoryName::parse(stem).ok()));
    }
    names.sort();
    Ok(names)
}

/// Writes an entry: whole, durable and readable by its owner alone. With `new` an entry of that
/// name is left as it is and the call fails.
pub fn write(folder: &Path, entry: &Entry, new: bool) -> Result<()> {
    write_private(folder, &path_of(folder, &entry.name), entry.text().as_bytes(), new)
}

/// Keeps a secret in a file of its own beside the entry; returns where.
pub fn keep_secret(folder: &Path, name: &RepositoryName, key: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.{key}"));
    write_private(folder, &path, format!("{text}\n").as_bytes(), false)?;
    Ok(path)
}

/// Removes an entry and the secrets that were kept beside it; its key file stays.
pub fn remove(folder: &Path, entry: &Entry) -> Result<()> {
    for (key, place) in entry.secrets() {
        let kept = folder.join(format!("{}.{key}", entry.name));
        if *place == SecretPlace::File(kept.clone()) {
            remove_file(&kept)?;
        }
    }
    remove_file(&path_of(folder, &entry.name))?;
    sync(folder)
}

pub(super) fn write_private(folder: &Path, path: &Path, bytes: &[u8], new: bool) -> Result<()> {
    private_folder(folder)?;
    let meta = folder.symlink_metadata().what_io(|| format!("write {}", path.display()))?;
    check_private(folder, &meta)?;
    replace(path, bytes, new)
}

/// Reads a text file that is nobody else's to read or write; `None` if there is none. What is
/// checked is what is read: the opened file, not its name.
pub fn read_private(path: &Path) -> Result<Option<String>> {
    read_private_within(path, limits::SECRET_FILE_BYTES_MAX)
}

/// The same of a file that may be longer: so many bytes of it.
pub(super) fn read_private_within(path: &Path, bytes_max: u64) -> Result<Option<String>> {
    let what = || format!("read {}", path.display());
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error, what())),
    };
    let meta = file.metadata().what_io(what)?;
    check_private(path, &meta)?;
    if !meta.is_file() {
        return Err(Error::new(Kind::Invalid, what()).why("it is no plain file"));
    }
    let mut text = String::new();
    file.take(bytes_max).read_to_string(&mut text).what_io(what)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    fn parse(text: &str) -> Result<Entry> {
        Entry::parse(name("b2"), text, Path::new("/etc/ghostsnap/repositories/b2.toml"))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_word_is_a_name_and_the_rest_are_addresses() {
        for text in ["offsite", "b2.eu-1", "A_b"] {
            assert!(RepositoryName::is_meant(text) && RepositoryName::parse(text).is_ok());
        }
        for text in ["/srv/r", "./r", "s3:https://h/b", "..", "."] {
            assert!(!RepositoryName::is_meant(text), "{text}");
        }
        for text in ["", "-x", ".x", "a b", "a\n", "a/b", "é", &"a".repeat(65)] {
            assert!(RepositoryName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let mut entry = Entry::new(name("b2"), "s3:https://host/bucket/server \"1\"");
        for (key, value) in [("key_id", "AKIA\\1"), ("path_style", "yes"), ("retry_seconds", "9")] {
            entry.set(key, value).unwrap();
        }
        entry.set("session_token_file", "/run/token").unwrap();
        entry.set("password_env", "PW").unwrap();
        let words = ["pass", "show", "a 'b' \"c\""].map(str::to_owned).to_vec();
        entry.set_secret("secret", SecretPlace::Command(words)).unwrap();
        assert_eq!(parse(&entry.text()).unwrap(), entry);
        let secrets: Vec<String> =
            entry.secrets().map(|(key, place)| format!("{key}: {place}")).collect();
        assert_eq!(
            secrets,
            ["password: environment PW", "secret: command pass", "session_token: file /run/token"]
        );
        entry.set("secret_command", "").unwrap();
        entry.set("key_id", "").unwrap();
        assert!(!entry.text().contains("pass\"") && !entry.text().contains("key_id"));
    }

    #[test]
    fn a_mistake_in_an_entry_names_the_line_and_never_a_value() {
        let url = "url = 's3:https://h/bucket'\n";
        for (text, line, words) in [
            (format!("{url}keyid = 'hush'"), 2, "key_id"),
            (format!("{url}secret = 'hush'"), 2, "neither on a command line nor in an entry"),
            (format!("{url}account = 'hush'"), 2, "of this kind (s3)"),
            (format!("{url}secret_file = 'hush'"), 2, "an absolute path"),
            (format!("{url}secret_env = 'hush/='"), 2, "name of a variable"),
            (format!("{url}secret_command = 'hush'"), 2, "a list of texts"),
            (format!("{url}secret_command = []"), 2, "the command is empty"),
            (format!("{url}secret_env = 'A'\nsecret_file = '/hush'"), 3, "in two ways"),
            (format!("{url}path_style = 'hush'"), 2, "yes or no"),
            (format!("{url}retry_seconds = 'hush'"), 2, "a whole number"),
            ("key_id = 'hush'\n".to_owned(), 1, "it has no url"),
            ("url = 'hush'\n".to_owned(), 1, "url must be"),
            ("url = 'a/hush'\n".to_owned(), 1, "an absolute path"),
            (format!("{url}{url}"), 2, "duplicate key"),
        ] {
            let error = parse(&text).unwrap_err();
            let said = error.to_string();
            assert_eq!(error.kind(), Kind::Invalid, "{text}");
            assert!(said.contains(&format!("b2.toml, line {line}")), "{text}: {said}");
            assert!(said.contains(words) && !said.contains("hush"), "{text}: {said}");
        }
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
        let mut entry = Entry::new(name("b2"), "s3:https://h/bucket");
        let error = entry.set("secret", "hush").unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.hint_text().unwrap().contains("secret=-"), "{error}");
        assert!(!error.to_string().contains("hush"));
    }

    #[test]
    fn entries_are_roots_own_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("etc/repositories");
        assert!(names(&folder).unwrap().is_empty());
        assert_eq!(read(&folder, &name("b2")).unwrap_err().kind(), Kind::NotFound);
        let entry = Entry::new(name("b2"), "/srv/b2");
        write(&folder, &entry, true).unwrap();
        let path = path_of(&folder, &entry.name);
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        assert_eq!(read(&folder, &entry.name).unwrap(), entry);
        assert_eq!(write(&folder, &entry, true).unwrap_err().kind(), Kind::Exists);
        write(&folder, &entry, false).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left behind");
        assert_eq!(names(&folder).unwrap(), [name("b2")]);
        for bits in [0o640, 0o602, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
            let error = read(&folder, &entry.name).unwrap_err();
            assert_eq!(error.kind(), Kind::Forbidden);
            assert!(error.hint_text().unwrap().contains("chmod 600"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(read(&folder, &entry.name).is_err(), "no link is followed");
    }

    #[test]
    fn what_was_kept_beside_an_entry_goes_with_it_and_its_key_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("repositories");
        let mut entry = Entry::new(name("b2"), "s3:https://h/bucket");
        let kept = keep_secret(&folder, &entry.name, "secret", "hush").unwrap();
        assert_eq!(mode(&kept), 0o600);
        entry.set_secret("secret", SecretPlace::File(kept.clone())).unwrap();
        let own = folder.join("own");
        fs::write(&own, "x").unwrap();
        entry.set("session_token_file", own.to_str().unwrap()).unwrap();
        write(&folder, &entry, true).unwrap();
        fs::write(entry.key_file(&folder), "key").unwrap();
        remove(&folder, &entry).unwrap();
        assert!(!kept.exists() && own.exists() && entry.key_file(&folder).exists());
        assert!(names(&folder).unwrap().is_empty());
    }

    #[test]
    fn a_store_takes_nothing_of_ours_from_the_environment() {
        for variable in ["AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "RCLONE_CONFIG_PASS"] {
            assert!(is_ours(variable));
        }
        assert!(!is_ours("HOME") && !is_ours("HTTPS_PROXY"));
    }
}
