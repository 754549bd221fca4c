// SPDX-License-Identifier: MIT
//! The commands about keys: list, add, change, remove, and the recovery kit.

use super::Context;
use super::args::Invocation;
use super::engine_look::day_and_time;
use super::kit::{self, Page};
use super::repository::{self, Opened};
use super::rows::Cell;
use super::secret::{self, NewSecret};
use crate::base::units::{bytes, number_of};
use crate::base::{Error, FileId, Kind, Result, WhatIo};
use crate::format::keyslot::{KeySlot, Secret};
use crate::repo::keys::SlotFile;
use crate::repo::{Reader, Repository};
use zeroize::Zeroizing;

/// `ghostsnap key list`.
pub fn list(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let mut rows = context.output.rows(call.command().columns);
    let (slots, others): (Vec<_>, Vec<_>) =
        repository.slot_files()?.into_iter().partition(|file| file.slot.is_ok());
    let mut slots: Vec<(FileId, KeySlot)> =
        slots.into_iter().filter_map(|file| Some((file.id, file.slot.ok()?))).collect();
    slots.sort_by_key(|(id, slot)| (slot.created, *id));
    for (id, slot) in slots {
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
            u64::from(slot.epoch).into(),
            if slot.write_only { "write-only" } else { "full" }.into(),
        ])?;
    }
    for other in &others {
        let mut cells = vec![other.id.to_string().into()];
        cells.resize_with(call.command().columns.len() - 1, Cell::empty);
        cells.push("none".into());
        rows.row(&cells)?;
    }
    rows.finish()?;
    for error in others.into_iter().filter_map(|file| file.slot.err()) {
        context.output.important(&error.one_line());
    }
    Ok(())
}

/// `ghostsnap key add`.
pub fn add(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let is_write_only = call.has("write-only");
    if is_write_only && !repository.config().write_only_keys {
        // Before anybody is asked for anything.
        return repository.add_write_only_key(&Secret::password(""), "").map(drop);
    }
    let new = repository::asker(context, call).further()?;
    let label = call.text("label").unwrap_or("added");
    let result = if is_write_only {
        repository.add_write_only_key(&new.secret, label)
    } else {
        repository.add_key(&new.secret, label)
    };
    let id = or_remove_key_file(result, &new, &repository)?;
    context.output.note(&format!("added key {id}"));
    print_key(context, call, &repository, &id)
}

/// `ghostsnap key change`.
pub fn change(context: &Context, call: &Invocation) -> Result<()> {
    let meant = repository::meant(context, call)?;
    let Opened { repository, secret } = repository::open_meant(context, call, &meant)?;
    let new = repository::asker(context, call).further()?;
    let result = repository.change_key(&secret, &new.secret, call.text("label"));
    let id = or_remove_key_file(result, &new, &repository)?;
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

/// A key file that was made for a slot that was not made opens nothing. If it may open something
/// after all, it stays: the old key may be gone.
fn or_remove_key_file(
    result: Result<FileId>,
    new: &NewSecret,
    repository: &Repository,
) -> Result<FileId> {
    if let (Err(_), Some(path)) = (&result, &new.made)
        && matches!(repository.slot_of(&new.secret), Ok(None))
    {
        let what = || format!("remove the new key file {}", path.display());
        std::fs::remove_file(path).what_io(what)?;
    }
    result
}

/// `ghostsnap key remove`.
pub fn remove(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let files = repository.slot_files()?;
    let SlotFile { id, slot } = find(&files, call.required("KEY")?)?;
    let label = slot.as_ref().map_or("none that opens anything", |slot| &slot.label);
    let question = format!("Remove key {} ({})?", id.short(), label);
    context.confirm(call, "remove a key", &question)?;
    repository.remove_key(id)?;
    context.output.note(&format!("removed key {id}"));
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&match slot {
        Ok(slot) => key_cells(id, slot),
        Err(_) => [id.to_string().into(), Cell::empty(), Cell::empty()],
    })?;
    rows.finish()
}

/// `ghostsnap key rotate`.
pub fn rotate(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, secret } = repository::open(context, call)?;
    let asker = repository::asker(context, call);
    let mut secrets = vec![secret];
    for path in call.paths("also") {
        secrets.push(asker.of_file(path)?);
    }
    if call.has("drop-others") {
        let question = "Remove all keys whose secrets are not given?";
        context.confirm(call, "remove the keys of others", question)?;
    }
    let progress = context.progress();
    let rotated = repository.rotate_keys(&secrets, call.has("drop-others"), &progress)?;
    progress.finish();
    let mut rows = context.output.rows(call.command().columns);
    let renewed = rotated.renewed.iter().map(|one| (one, "renewed"));
    for ((id, slot), result) in renewed.chain(rotated.removed.iter().map(|one| (one, "removed"))) {
        let [id, label, method] = key_cells(id, slot);
        rows.row(&[id, label, method, result.into()])?;
    }
    rows.finish()?;
    context.output.note(&format!(
        "sealed under new keys from now on (epoch {}); each 'ghostsnap prune' renews some of what \
         was stored before",
        rotated.epoch
    ));
    Ok(())
}

/// `ghostsnap key kit`.
pub fn kit(context: &Context, call: &Invocation) -> Result<()> {
    let meant = repository::meant(context, call)?;
    let Opened { repository, .. } = repository::open_meant(context, call, &meant)?;
    let key = Zeroizing::new(context.world.random_32()?);
    let (day, _) = day_and_time(context.world.now());
    let label = match call.text("label") {
        Some(label) => label.to_owned(),
        None => format!("recovery kit {day}"),
    };
    let secret = Secret::KeyFile(key.clone());
    let slot = repository.add_key(&secret, &label)?;
    let page = kit::page(&Page {
        address: &repository.backend().location(),
        repository: repository.config().repository_id,
        slot,
        host: &context.world.host(),
        day: &day,
        key: &key,
    });
    let written = page.and_then(|page| match call.path("output") {
        Some(path) => secret::make_secret_file(path, &page),
        None => context.output.bytes(page.as_bytes()),
    });
    if let Err(error) = written {
        // A key that nobody has is only something to wonder about.
        repository.remove_key(&slot)?;
        return Err(error);
    }
    context.output.note(&format!(
        "key {} opens the repository by this page; 'ghostsnap key test FILE' proves it, \
         'ghostsnap key remove {}' makes it worthless",
        slot.short(),
        slot.short()
    ));
    Ok(())
}

/// `ghostsnap key test`.
pub fn test(context: &Context, call: &Invocation) -> Result<()> {
    let path = call.path("FILE").ok_or_else(|| Error::new(Kind::Usage, "test a key"))?;
    let meant = repository::meant(context, call)?;
    let secret = repository::asker(context, call).of_file(path)?;
    let repository = repository::open_with(context, &meant, &secret)?;
    let slot = repository.slot_of(&secret)?;
    let progress = context.progress();
    let all = repository.readable_snapshots(&progress)?;
    let count = all.len();
    let repository = repository.indexed_to_look(&progress)?;
    // The keys of trees, too: the newest snapshot opens.
    if let Some((_, newest)) = all.last() {
        Reader::new(&repository).tree(&newest.tree)?;
    }
    progress.finish();
    let (id, label) = slot.map(|(id, slot)| (id.to_string(), slot.label)).unwrap_or_default();
    let newest = all.last().map(|(_, newest)| day_and_time(newest.time)).unwrap_or_default();
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[id.into(), label.into(), bytes(count).into(), newest.0.into(), newest.1.into()])?;
    rows.finish()?;
    let snapshots = number_of(bytes(count), "snapshot");
    context.output.note(&format!("it opens the repository, which has {snapshots}"));
    progress.partial("read every snapshot").map_or(Ok(()), Err)
}

fn find<'s>(files: &'s [SlotFile], wanted: &str) -> Result<&'s SlotFile> {
    let mut matches = files.iter().filter(|file| file.id.to_string().starts_with(wanted));
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
        let created = Timestamp::default();
        let slot =
            KeySlot { label: String::new(), created, kdf: None, epoch: 0, write_only: false };
        let file = |byte| SlotFile { id: FileId([byte; 32]), slot: Ok(slot.clone()) };
        let slots = [file(0xab), file(0xac)];
        assert_eq!(find(&slots, "ab").unwrap().id, FileId([0xab; 32]));
        assert_eq!(find(&slots, "a").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(find(&slots, "ff").unwrap_err().kind(), Kind::NotFound);
    }
}
