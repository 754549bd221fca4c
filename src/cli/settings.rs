// SPDX-License-Identifier: MIT
//! Listing and changing the settings of this server: `ghostsnap hestia settings` and
//! `change-setting`.

use super::Context;
use super::args::Invocation;
use super::repository;
use super::rows::Cell;
use crate::backend::{self, FileName, place_of, refuse_foreign_place, shown_address};
use crate::base::{Error, Kind, Result};
use crate::hestia::Settings;
use crate::hestia::named::{self, DEFAULT, RepositoryName};
use crate::hestia::setting_file;
use crate::hestia::setting_keys::{self, Change, Listed, Wanted};

/// `ghostsnap hestia settings`.
pub fn list(context: &Context, call: &Invocation) -> Result<()> {
    // A file with a mistake is told as everywhere, with its line.
    repository::settings(call)?;
    let text = setting_file::read(&repository::settings_file(call))?;
    print(context, call, &setting_keys::listed(&text)?)
}

fn print(context: &Context, call: &Invocation, listed: &[Listed]) -> Result<()> {
    let mut rows = context.output.rows(call.command().columns);
    for one in listed {
        let key = setting_keys::row(one.key)?;
        rows.row(&[
            one.name.as_str().into(),
            key.group().into(),
            one.value.as_str().into(),
            key.default.into(),
            one.is_set.into(),
            key.holds.word().into(),
            Cell::list(key.holds.choices().iter().copied()),
            key.change.word().into(),
            key.about.into(),
        ])?;
    }
    rows.finish()
}

/// `ghostsnap hestia change-setting`.
pub fn change(context: &Context, call: &Invocation) -> Result<()> {
    let wanted = Wanted::find(call.required("KEY")?)?;
    let text = call.text("VALUE").unwrap_or_default();
    may_change(call, &wanted)?;
    let value = wanted.value(text)?;
    let file = repository::settings_file(call);
    let is_place = wanted.key.name == "repository";
    let before = repository::settings(call).map(|settings| settings.repository);
    let check = |settings: &Settings| {
        names_are_known(call, &wanted, text)?;
        if is_place { place_fits(context, call, settings, text) } else { Ok(()) }
    };
    let after = setting_file::change(&file, (&wanted.path, value.as_ref()), &context.world, check)?;
    let now = repository::settings(call)?;
    if is_place && before.is_ok_and(|before| before != now.repository) {
        context.output.important(&format!(
            "Backups go to {} from now on. Those that are stored already stay where they are; they \
             are not listed, restored from, checked or thinned out any more, until the setting \
             names their place again.",
            shown_address(&now.repository)
        ));
    }
    let mut listed = setting_keys::listed(&after)?;
    listed.retain(|one| one.name == wanted.name());
    print(context, call, &listed)
}

/// Whoever calls through the panel or the API decides nothing that only root may.
fn may_change(call: &Invocation, wanted: &Wanted) -> Result<()> {
    let refused = || Error::new(Kind::Forbidden, format!("set {}", wanted.name()));
    match wanted.key.change {
        Change::Shell if call.shim().is_some() => Err(refused()
            .why("it decides which files root reads or writes, or takes a protection away")
            .hint(format!(
                "as root at a shell: ghostsnap hestia change-setting {}",
                wanted.name()
            ))),
        Change::File => Err(refused()
            .why("it is about a secret, which no command takes and no list shows")
            .hint(
                "keep the secret in a file that is root's alone, and name that file in \
                 /etc/ghostsnap/ghostsnap.toml with an editor",
            )),
        // A place by its address may be any folder of this server; a name was given by whoever may.
        Change::Anywhere if wanted.key.name == "repository" && call.shim().is_some() => {
            let text = call.text("VALUE").unwrap_or_default();
            if text.is_empty() || RepositoryName::is_meant(text) {
                return Ok(());
            }
            Err(refused()
                .why("through the panel a repository is said by its name alone")
                .hint("v-ghostsnap-add-repository gives an address a name"))
        }
        Change::Anywhere | Change::Shell => Ok(()),
    }
}

/// A repository that is named must be there; whether it can be reached is tried out by others.
fn names_are_known(call: &Invocation, wanted: &Wanted, text: &str) -> Result<()> {
    let names = match wanted.key.name.rsplit('.').next() {
        Some("repository") => vec![text.to_owned()],
        Some("also") => setting_keys::list_of(text).unwrap_or_default(),
        _ => return Ok(()),
    };
    let folder = repository::entries_folder(call);
    for name in names.iter().filter(|name| RepositoryName::is_meant(name) && *name != DEFAULT) {
        if !name.is_empty() {
            named::read(&folder, &RepositoryName::parse(name)?)?;
        }
    }
    Ok(())
}

/// An address has to be one, and without a secret. What lies in a folder of this server is looked
/// at now; whatever else is wrong with a place is found out by a test of it.
fn place_fits(context: &Context, call: &Invocation, settings: &Settings, text: &str) -> Result<()> {
    if text.is_empty() || RepositoryName::is_meant(text) {
        return Ok(());
    }
    let what = || format!("let backups go to {}", shown_address(text));
    if shown_address(text) != text {
        return Err(Error::new(Kind::Usage, what())
            .why("the address holds more than a place, perhaps a password")
            .hint("v-ghostsnap-add-repository gives it a name and keeps secrets in files"));
    }
    named::check_url(text).map_err(|why| Error::new(Kind::Invalid, what()).why(why))?;
    if place_of(text) != "folder" {
        return Ok(());
    }
    refuse_foreign_place(text).map_err(|error| error.within(what()))?;
    let is_made = backend::open(text, &context.access())?.size(&FileName::CONFIG)?.is_some();
    let key_file = repository::placed(call, settings.clone()).key_file;
    if is_made || !key_file.exists() {
        return Ok(());
    }
    Err(Error::new(Kind::NotFound, what())
        .why(format!(
            "there is no repository, and {} is the key of another one: no backup would make it",
            key_file.display()
        ))
        .hint("v-ghostsnap-add-repository NAME FOLDER, and then the name here"))
}
