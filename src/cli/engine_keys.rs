// SPDX-License-Identifier: MIT
//! The commands about keys: list, add, change, remove.

use super::Context;
use super::args::Invocation;
use super::engine_look::day_and_time;
use super::repository::{self, Opened};
use super::rows::Cell;
use super::secret::NewSecret;
use crate::base::{Error, FileId, Kind, Result, WhatIo};
use crate::format::keyslot::KeySlot;
use crate::repo::Repository;

/// `ghostsnap key list`.
pub fn list(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let mut rows = context.output.rows(call.command().columns);
    for (id, slot) in repository.key_slots()? {
        let (day, time) = day_and_time(slot.created);
        let memory = slot.kdf.map(|kdf| u64::from(kdf.memory_kib) * 1024);
        rows.row(&[
            id.to_string().into(),
            slot.label.as_str().into(),
            if slot.kdf.is_some() { "password" } else { "key-file" }.into(),
            day.into(),
            time.into(),
            memory.map_or_else(Cell::empty, Cell::from),
            slot.kdf.map_or_else(Cell::empty, |kdf| u64::from(kdf.passes).into()),
        ])?;
    }
    rows.finish()
}

/// `ghostsnap key add`.
pub fn add(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let new = repository::asker(context, call).further()?;
    let label = call.text("label").unwrap_or("added");
    let result = repository.add_key(&new.secret, label);
    let id = or_remove_key_file(result, &new)?;
    context.output.note(&format!("added key {id}"));
    print_key(context, call, &repository, &id)
}

/// `ghostsnap key change`.
pub fn change(context: &Context, call: &Invocation) -> Result<()> {
    let meant = repository::meant(context, call)?;
    let Opened { repository, secret } = repository::open_meant(context, call, &meant)?;
    let new = repository::asker(context, call).further()?;
    let result = repository.change_key(&secret, &new.secret, call.text("label"));
    let id = or_remove_key_file(result, &new)?;
    context.output.note(&format!("the repository opens with the new key {id} now"));
    // The next run of this server would find the door shut.
    if let Some(path) = meant.key_file().filter(|path| path.exists()) {
        context.output.important(&format!(
            "If {} was the key that changed, it opens nothing any more: put the new key in its place, \
             or name the new one in the settings.",
            path.display()
        ));
    }
    print_key(context, call, &repository, &id)
}

/// The row of a new key.
fn print_key(
    context: &Context,
    call: &Invocation,
    repository: &Repository,
    wanted: &FileId,
) -> Result<()> {
    let mut rows = context.output.rows(call.command().columns);
    for (id, slot) in repository.key_slots()?.iter().filter(|(id, _)| id == wanted) {
        rows.row(&key_cells(id, slot))?;
    }
    rows.finish()
}

/// A key by its id, label and method.
pub fn key_cells(id: &FileId, slot: &KeySlot) -> [Cell; 3] {
    let method = if slot.kdf.is_some() { "password" } else { "key-file" };
    [id.to_string().into(), slot.label.as_str().into(), method.into()]
}

/// A key file that was made for a slot that was not made opens nothing.
fn or_remove_key_file(result: Result<FileId>, new: &NewSecret) -> Result<FileId> {
    if let (Err(_), Some(path)) = (&result, &new.made) {
        let what = || format!("remove the new key file {}", path.display());
        std::fs::remove_file(path).what_io(what)?;
    }
    result
}

/// `ghostsnap key remove`.
pub fn remove(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let slots = repository.key_slots()?;
    let (id, slot) = find(&slots, call.required("KEY")?)?;
    let question = format!("Remove key {} ({})?", id.short(), slot.label);
    context.confirm(call, "remove a key", &question)?;
    repository.remove_key(id)?;
    context.output.note(&format!("removed key {id}"));
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&key_cells(id, slot))?;
    rows.finish()
}

fn find<'s>(slots: &'s [(FileId, KeySlot)], wanted: &str) -> Result<&'s (FileId, KeySlot)> {
    let mut matches = slots.iter().filter(|(id, _)| id.to_string().starts_with(wanted));
    let problem = match (matches.next(), matches.next()) {
        (Some(found), None) => return Ok(found),
        (Some(_), Some(_)) => (Kind::Invalid, "several keys begin like this"),
        (None, _) => (Kind::NotFound, "no key begins like this"),
    };
    Err(Error::new(problem.0, format!("find the key '{}'", wanted.escape_debug()))
        .why(problem.1)
        .hint("list them with 'ghostsnap key list'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn a_key_is_found_by_a_beginning_that_only_it_has() {
        let slot = || KeySlot { label: String::new(), created: Timestamp::default(), kdf: None };
        let slots = [(FileId([0xab; 32]), slot()), (FileId([0xac; 32]), slot())];
        assert_eq!(find(&slots, "ab").unwrap().0, FileId([0xab; 32]));
        assert_eq!(find(&slots, "a").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(find(&slots, "ff").unwrap_err().kind(), Kind::NotFound);
    }
}
