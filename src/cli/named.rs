// SPDX-License-Identifier: MIT
//! `ghostsnap repository ...`: repositories that have a name. Nothing here prints a secret or takes
//! one from a command line.

use super::Context;
use super::args::Invocation;
use super::repository;
use super::rows::Cell;
use super::words::split_words;
use crate::backend::private_file::remove_file;
use crate::backend::probe::{Outcome, Step, probe};
use crate::backend::{self, Access, FileName, Variables, place_of, shown_address};
use crate::base::{Error, Kind, Result, WhatIo, Within, limits};
use crate::hestia::named::{self, DEFAULT, Entry, Holds, RepositoryName, SecretPlace};
use crate::hestia::settings::Settings;
use crate::ops::wipe::wipe;
use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// A secret that was typed, and the option it is for.
type Typed = (&'static str, Zeroizing<String>);

/// `ghostsnap repository add`.
pub fn add(context: &Context, call: &Invocation) -> Result<()> {
    let name = new_name(call.required("NAME")?)?;
    let folder = repository::entries_folder(call);
    let path = named::path_of(&folder, &name);
    if path.exists() {
        return Err(Error::new(Kind::Exists, format!("add the repository {name}"))
            .why(format!("{} is there already", path.display()))
            .hint(format!("ghostsnap repository change {name} KEY=VALUE")));
    }
    // The address says which options there are.
    let mut entry = Entry::new(name, call.required("URL")?);
    entry.set("url", call.required("URL")?)?;
    let typed = take_options(context, call, &mut entry)?;
    keep(context, &folder, &mut entry, typed, true)?;
    tell_key(context, &entry, &folder);
    print(context, call, &folder, &[entry])
}

/// `ghostsnap repository change`.
pub fn change(context: &Context, call: &Invocation) -> Result<()> {
    let folder = repository::entries_folder(call);
    let mut entry = named::read(&folder, &existing_name(call.required("NAME")?)?)?;
    let typed = take_options(context, call, &mut entry)?;
    keep(context, &folder, &mut entry, typed, false)?;
    print(context, call, &folder, &[entry])
}

fn new_name(text: &str) -> Result<RepositoryName> {
    let name = RepositoryName::parse(text)?;
    if text == DEFAULT {
        return Err(Error::new(Kind::Invalid, format!("name a repository '{DEFAULT}'"))
            .why("that is the one which ghostsnap.toml describes"));
    }
    Ok(name)
}

fn existing_name(text: &str) -> Result<RepositoryName> {
    if text == DEFAULT {
        return Err(Error::new(Kind::Invalid, "change the default repository")
            .why("it has no entry")
            .hint("ghostsnap.toml describes it"));
    }
    RepositoryName::parse(text)
}

/// Sets what the words say. Messages never repeat a value: it may be a secret.
fn take_options(context: &Context, call: &Invocation, entry: &mut Entry) -> Result<Vec<Typed>> {
    let mut typed = Vec::new();
    for word in call.texts("KEY=VALUE") {
        let (key, value) = word.split_once('=').ok_or_else(|| {
            Error::new(Kind::Usage, "set an option").why("one of the words is not KEY=VALUE")
        })?;
        refuse_through_shim(call, entry, key)?;
        let secret = entry.settings().find(|one| one.key == key && one.holds == Holds::Secret);
        if let (Some(one), "-") = (secret, value) {
            typed.push((one.key, type_secret(context, one.key)?));
        } else if let Some((one, "_command")) = entry.secret_key(key)
            && !value.is_empty()
        {
            let words = split_words(value).within(|| format!("set {key}"))?;
            entry.set_secret(one.key, SecretPlace::Command(words))?;
        } else {
            entry.set(key, value)?;
        }
    }
    Ok(typed)
}

/// Whoever calls through the panel or the API decides neither which programs root runs nor which
/// files it reads and writes, and sends no secret that is there already to a place of his choice.
fn refuse_through_shim(call: &Invocation, entry: &Entry, key: &str) -> Result<()> {
    if call.shim().is_none() {
        return Ok(());
    }
    let names_file = named::SETTINGS.iter().any(|one| one.key == key && one.holds == Holds::Path);
    // A signature is made with other secrets; these are sent as they are.
    let is_sent = ["session_token_file", "sas_token_file", "connection_string_file"];
    let is_elsewhere = ["url", "endpoint"].contains(&key) && entry.secrets().next().is_some();
    let runs = key.ends_with("_command") || key.ends_with("_env");
    if !(names_file || is_sent.contains(&key) || is_elsewhere || runs || key == "allow_http") {
        return Ok(());
    }
    Err(Error::new(Kind::Forbidden, format!("set {}", key.escape_debug()))
        .why("it decides what root runs, reads or sends where, or takes a protection away")
        .hint("as root at a shell: ghostsnap repository change NAME ..."))
}

/// From the terminal, unseen, or the next line of standard input.
fn type_secret(context: &Context, key: &str) -> Result<Zeroizing<String>> {
    let doing = || format!("read {key} from standard input");
    let stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        let question = format!("{key}: ");
        let answer = context.stop.while_asking(|| rpassword::prompt_password(question));
        Zeroizing::new(answer.what_io(doing)?)
    } else {
        let mut line = Zeroizing::new(String::new());
        stdin.lock().take(limits::SECRET_FILE_BYTES_MAX).read_line(&mut line).what_io(doing)?;
        line
    };
    let text = Zeroizing::new(text.trim().to_owned());
    if text.is_empty() {
        return Err(Error::new(Kind::Usage, doing()).why("there is none"));
    }
    Ok(text)
}

/// Looks whether the store could be opened so, then writes everything down.
fn keep(
    context: &Context,
    folder: &Path,
    entry: &mut Entry,
    typed: Vec<Typed>,
    new: bool,
) -> Result<()> {
    let mut kept = Vec::new();
    for (key, _) in &typed {
        let path = folder.join(format!("{}.{key}", entry.name));
        entry.set_secret(key, SecretPlace::File(path))?;
    }
    // A changed address may be of a kind that does not have all of its options.
    let path = named::path_of(folder, &entry.name);
    Entry::parse(entry.name.clone(), &entry.text(), &path)
        .map_err(|error| Error::new(error.kind(), "set it up so").why(error.reasons()))?;
    check(context, entry, folder)?;
    for (key, text) in typed {
        kept.push(named::keep_secret(folder, &entry.name, key, &text)?);
    }
    let written = named::write(folder, entry, new);
    if new && written.is_err() {
        for path in kept {
            remove_file(&path)?;
        }
    }
    written
}

/// Whether address and options go together; secrets are not looked at, since they may be elsewhere
/// than here.
fn check(context: &Context, entry: &Entry, folder: &Path) -> Result<()> {
    let options: Vec<(&str, String)> =
        entry.options().map(|(key, value)| (key, value.to_owned())).collect();
    let secrets: Vec<&str> = entry.secrets().map(|(key, _)| key).collect();
    let mut values = Vec::new();
    for one in entry.settings() {
        let Some(variable) = one.variable else { continue };
        let option = options.iter().find(|(key, _)| *key == one.key);
        let value = option.map(|(_, value)| value.clone());
        let stand_in = || match variable {
            "AZURE_STORAGE_CONNECTION_STRING" => "AccountName=a;AccountKey=eA==".to_owned(),
            _ => "eA==".to_owned(),
        };
        let value = value.or_else(|| secrets.contains(&one.key).then(stand_in));
        values.extend(value.map(|value| (variable, value)));
    }
    let lookup = move |name: &str| {
        let found = values.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| value.clone())
    };
    let variables = Variables::new(lookup).called(entry.words(folder));
    let access = Access { variables, ..context.access() };
    backend::open(&entry.url, &access).map(drop)
}

fn tell_key(context: &Context, entry: &Entry, folder: &Path) {
    let name = &entry.name;
    let by = if entry.password().is_some() {
        format!(
            "If nothing is stored there yet, 'ghostsnap init -r {name}' makes the repository. Keep its \
             password in a safe place off this server: without it nobody can ever read the backups."
        )
    } else {
        format!(
            "If nothing is stored there yet, the first backup of a Hestia user into it, or \
             'ghostsnap init -r {name}', makes the repository and, if it is not there, its key \
             file {}. Then keep a copy of that file off this server: without it nobody, you \
             included, can ever read the backups.",
            entry.key_file(folder).display()
        )
    };
    context.output.important(&by);
}

/// `ghostsnap repository list`.
pub fn list(context: &Context, call: &Invocation) -> Result<()> {
    let folder = repository::entries_folder(call);
    let settings = repository::settings(call)?;
    let progress = context.progress();
    let mut rows = context.output.rows(call.command().columns);
    if !RepositoryName::is_meant(&settings.repository) {
        rows.row(&default_row(&settings))?;
    }
    for name in named::names(&folder)? {
        match named::read(&folder, &name) {
            Ok(entry) => rows.row(&row(&entry, &folder, &settings))?,
            Err(error) => crate::base::Monitor::warn(&progress, error),
        }
    }
    progress.finish();
    rows.finish()?;
    progress.partial("list all repositories").map_or(Ok(()), Err)
}

/// `ghostsnap repository show`.
pub fn show(context: &Context, call: &Invocation) -> Result<()> {
    let folder = repository::entries_folder(call);
    let settings = repository::settings(call)?;
    let text = call.required("NAME")?;
    if text == DEFAULT && !RepositoryName::is_meant(&settings.repository) {
        let mut rows = context.output.rows(call.command().columns);
        rows.row(&default_row(&settings))?;
        return rows.finish();
    }
    let text = if text == DEFAULT { settings.repository.as_str() } else { text };
    print(context, call, &folder, &[named::read(&folder, &RepositoryName::parse(text)?)?])
}

fn print(context: &Context, call: &Invocation, folder: &Path, entries: &[Entry]) -> Result<()> {
    let settings = repository::settings(call)?;
    let mut rows = context.output.rows(call.command().columns);
    for entry in entries {
        rows.row(&row(entry, folder, &settings))?;
    }
    rows.finish()
}

fn default_row(settings: &Settings) -> [Cell; 8] {
    let address = settings.repository.as_str();
    [
        DEFAULT.into(),
        shown_address(address).into(),
        place_of(address).into(),
        true.into(),
        Cell::empty(),
        settings.key_file.display().to_string().into(),
        Cell::empty(),
        Cell::empty(),
    ]
}

fn row(entry: &Entry, folder: &Path, settings: &Settings) -> [Cell; 8] {
    let options = entry.options().filter(|(key, _)| *key != "key_file");
    let options: Vec<String> = options.map(|(key, value)| format!("{key}={value}")).collect();
    let secrets = entry.secrets().map(|(key, place)| format!("{key}: {place}"));
    let secrets: Vec<String> = secrets.collect();
    let list = |names: &[String]| Cell::list(names.iter().map(String::as_str));
    let key_file = entry.password().is_none().then(|| entry.key_file(folder));
    [
        entry.name.as_str().into(),
        shown_address(&entry.url).into(),
        entry.place().into(),
        (settings.repository == entry.name.as_str()).into(),
        Cell::list(users_of(settings, &entry.name)),
        key_file.map(|path| path.display().to_string()).unwrap_or_default().into(),
        list(&options),
        list(&secrets),
    ]
}

fn users_of<'s>(settings: &'s Settings, name: &RepositoryName) -> Vec<&'s str> {
    let users = settings.users.iter();
    let theirs = users.filter(|(_, user)| {
        let also = user.also.iter().flatten().map(String::as_str);
        user.repository.as_deref().into_iter().chain(also).any(|one| one == name.as_str())
    });
    theirs.map(|(user, _)| user.as_str()).collect()
}

/// `ghostsnap repository delete`.
pub fn delete(context: &Context, call: &Invocation) -> Result<()> {
    let name = existing_name(call.required("NAME")?)?;
    let what = || format!("delete the repository {name}");
    let folder = repository::entries_folder(call);
    let entry = named::read(&folder, &name)?;
    let settings = repository::settings(call)?;
    let users = users_of(&settings, &name);
    let everybody =
        settings.repository == name.as_str() || settings.also.contains(&name.to_string());
    if everybody || !users.is_empty() {
        let whose = if users.is_empty() { "this server".to_owned() } else { users.join(", ") };
        return Err(Error::new(Kind::InUse, what())
            .why(format!("the settings say that backups of {whose} go there"))
            .hint("name another repository in ghostsnap.toml first"));
    }
    let data = call.has("data");
    if data != call.has("confirm") || call.text("confirm").is_some_and(|word| word != name.as_str())
    {
        return Err(Error::new(Kind::Usage, what())
            .why("what is stored goes only with --data, and with --confirm and the name once more")
            .hint("leave both out to forget the name only"));
    }
    let question = if data {
        format!("Remove everything that is stored in {name} ({})?", entry.url)
    } else {
        format!("Forget {name}? What is stored there stays.")
    };
    context.confirm(call, &what(), &question)?;
    let mut files = 0;
    if data {
        let meant = repository::by_text(context, call, name.as_str())?;
        // What its key does not open is not known to be ours.
        let opened = repository::open_meant(context, call, &meant)?;
        let progress = context.progress();
        let wiped = wipe(&opened.repository, &progress);
        progress.finish();
        files = wiped.within(what)?;
    }
    named::remove(&folder, &entry)?;
    let key = entry.key_file(&folder);
    if entry.password().is_none() && key.exists() {
        context.output.note(&format!("its key file {} stays", key.display()));
    }
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[name.as_str().into(), shown_address(&entry.url).into(), files.into()])?;
    rows.finish()
}

/// `ghostsnap repository test`.
pub fn test(context: &Context, call: &Invocation) -> Result<()> {
    let text = call.required("NAME")?;
    let meant = repository::by_text(context, call, text)?;
    let store = backend::open(&meant.address, &meant.access)?;
    // A folder of somebody else's is no place to try anything out.
    let is_there = store.size(&FileName::CONFIG);
    let may = match &is_there {
        Ok(None) => backend::refuse_foreign_place(&meant.address),
        _ => Ok(()),
    };
    let done = match may {
        Ok(()) => probe(store.as_ref(), &context.world)?,
        Err(error) => vec![(Step::Connect, Outcome::Failed(error))],
    };
    let append_only = store.properties().append_only;
    let mut rows = context.output.rows(call.command().columns);
    let mut failed = None;
    let steps = [Step::Connect, Step::Write, Step::Read, Step::List, Step::Delete];
    let mut outcomes = done.into_iter();
    for step in steps {
        let (result, reason) = match outcomes.next().map(|(_, outcome)| outcome) {
            None => ("skipped", String::new()),
            Some(Outcome::Good) if step == Step::Delete && append_only => {
                ("good", "but append_only is set: whoever has this key can remove backups".into())
            }
            Some(Outcome::Good) => ("good", String::new()),
            Some(Outcome::Kept(_)) if append_only => {
                ("kept", "the place is append-only, as its options say".to_owned())
            }
            Some(Outcome::Kept(error)) => {
                let why = error.reasons_or_what();
                ("kept", format!("append-only, if that is meant (then set append_only=yes): {why}"))
            }
            Some(Outcome::Failed(error)) => {
                let line = error.one_line();
                failed = Some((step, error));
                ("failed", line)
            }
        };
        rows.row(&[step.word().into(), result.into(), reason.into()])?;
    }
    rows.finish()?;
    if let Some((step, error)) = failed {
        return Err(error.within(format!("use {text}: the step '{}' failed", step.word())));
    }
    let state = if is_there.is_ok_and(|size| size.is_some()) {
        "it holds a repository".to_owned()
    } else {
        format!("there is none yet; the first backup of a Hestia user into {text} makes one")
    };
    context.output.note(&format!("{} can be used; {state}", shown_address(&meant.address)));
    Ok(())
}
