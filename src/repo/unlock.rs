// SPDX-License-Identifier: MIT
//! Opening a repository: which of its key slots a secret opens, and which of those to take. Others
//! may be able to add files to the store, and put back slots that were there once: of several the
//! newest counts, and one that only adds must be the owner's own.

use crate::backend::{Backend, FileKind, FileName};
use crate::base::{Error, Kind, Result, Within, limits};
use crate::crypto::{KdfParams, Keys};
use crate::format::keyslot::{KeySlot, Secret, describe_proven_slot, describe_slot, open_slot};
use crate::format::{Config, RecordKind, envelope};
use std::cmp::Reverse;

/// Finds the slot that this secret opens and whose key opens the config. All are looked at each
/// time: to ask for the one that opened it last would spare a listing, and let somebody who puts a
/// slot back that was there before a rotation have backups sealed with the keys of then.
pub(super) fn unlock(
    backend: &dyn Backend,
    secret: &Secret,
    stored_config: &[u8],
) -> Result<(Keys, Config)> {
    // A config of a newer version must say so before any password is blamed.
    envelope::Header::decode(stored_config, RecordKind::Config)?;
    let config_of = |keys: &Keys| {
        let plain = envelope::open_record(keys, RecordKind::Config, stored_config)?;
        Config::decode(&plain)
    };
    // A slot of an interrupted init wraps another master key.
    let search = search(backend, secret, |keys| config_of(keys).map(drop))?;
    let Some(best) = search.best else {
        return Err(match search.trouble {
            Some(error) if search.opened_any => error,
            trouble => search.left_out.unwrap_or_else(|| no_slot_opens(secret, trouble)),
        });
    };
    let config = config_of(&best.keys)?;
    admitted(best.keys, config)
}

/// The slot of this secret that is worth most; those that are damaged or newer hide none that is
/// not.
pub(super) fn slot_of(
    backend: &dyn Backend,
    secret: &Secret,
) -> Result<Option<(FileName, KeySlot)>> {
    let found = search(backend, secret, |_| Ok(()))?;
    match (found.best, found.trouble) {
        (Some(best), _) => Ok(Some((best.door.name, best.door.slot))),
        (None, trouble) => trouble.map_or(Ok(None), Err),
    }
}

/// A slot that a secret may open.
struct Door {
    name: FileName,
    stored: Vec<u8>,
    slot: KeySlot,
}

impl Door {
    /// What a try costs.
    fn cost(&self) -> u64 {
        self.slot.kdf.map_or(0, |kdf| u64::from(kdf.memory_kib) * u64::from(kdf.passes))
    }
}

struct Opened {
    door: Door,
    keys: Keys,
}

impl Opened {
    /// Whether another slot, if it opens as well, may have to be taken instead, or shows that one
    /// of the two is false. Somebody may have made it to be dear.
    fn may_give_way_to(&self, other: &Door) -> bool {
        let standard = KdfParams::STANDARD;
        let standard = u64::from(standard.memory_kib) * u64::from(standard.passes);
        let is_worth = if self.door.slot.write_only {
            other.slot.write_only
        } else {
            !other.slot.write_only && other.slot.epoch > self.door.slot.epoch
        };
        is_worth && other.cost() <= self.door.cost().max(standard)
    }
}

/// What was found of a secret's slots.
#[derive(Default)]
struct Search {
    best: Option<Opened>,
    trouble: Option<Error>,
    opened_any: bool,
    /// Why not all were tried.
    left_out: Option<Error>,
}

fn search(
    backend: &dyn Backend,
    secret: &Secret,
    accept: impl Fn(&Keys) -> Result<()>,
) -> Result<Search> {
    let mut found = Search::default();
    let mut tries = Tries::new(secret);
    for door in doors(backend, secret, &mut found.trouble)? {
        if found.best.as_ref().is_some_and(|best| !best.may_give_way_to(&door)) {
            continue;
        }
        let within = |error: Error| error.within(format!("read {}", door.name));
        let keys = match tries.open(&door.stored) {
            Ok(Some(keys)) => keys,
            Ok(None) => continue,
            // A damaged slot must not keep a good one from being tried.
            Err(error) => {
                found.trouble = found.trouble.or(Some(within(error)));
                continue;
            }
        };
        found.opened_any = true;
        if let Err(error) = accept(&keys).and_then(|()| refuse_false(&keys, &door)) {
            found.trouble = found.trouble.or(Some(within(error)));
            continue;
        }
        refuse_two_owners(found.best.as_ref(), &keys, &door)?;
        if found.best.as_ref().is_none_or(|best| best.door.slot.epoch < door.slot.epoch) {
            found.best = Some(Opened { door, keys });
        }
    }
    found.left_out = tries.left_out();
    Ok(found)
}

/// The slots that fit this secret, those that are worth most and cost least first.
fn doors(backend: &dyn Backend, secret: &Secret, trouble: &mut Option<Error>) -> Result<Vec<Door>> {
    let mut doors = Vec::new();
    for (name, size) in slot_names(backend)? {
        let read = read_slot(backend, &name, size)
            .and_then(|stored| Ok((describe_slot(&stored)?, stored)));
        match read.within(|| format!("read {name}")) {
            Ok((slot, stored)) => doors.push(Door { name, stored, slot }),
            Err(error) => *trouble = trouble.take().or(Some(error)),
        }
    }
    doors.retain(|door| door.slot.kdf.is_some() == matches!(secret, Secret::Password(_)));
    doors.sort_by_key(|door| {
        (door.slot.write_only, door.cost(), Reverse(door.slot.epoch), door.name)
    });
    Ok(doors)
}

/// Whoever knows the secret of a write-only slot could make another one, for which everything would
/// be sealed that only he reads: so it must be from those whose index it belongs to.
fn refuse_false(keys: &Keys, door: &Door) -> Result<()> {
    if !keys.is_write_only() || describe_proven_slot(keys, &door.stored)?.is_some() {
        return Ok(());
    }
    Err(Error::new(Kind::Damaged, "open a key slot")
        .why("it does not come from anybody who has keys that open everything")
        .hint("'ghostsnap key list' and 'key remove' on the owner's machine take it away"))
}

fn refuse_two_owners(best: Option<&Opened>, keys: &Keys, door: &Door) -> Result<()> {
    let Some(best) = best else { return Ok(()) };
    if !keys.is_write_only() || best.keys.owner() == keys.owner() {
        return Ok(());
    }
    Err(Error::new(Kind::Damaged, "tell whose repository it is")
        .why(format!("{} and {} name different owners", best.door.name, door.name))
        .hint(
            "somebody has added one of them: 'ghostsnap key list' on the owner's machine shows \
             which one opens nothing, and 'key remove' takes it away",
        ))
}

/// Tries slots with a secret, but not for ever: whoever can add files could add many.
pub(super) struct Tries<'s> {
    secret: &'s Secret,
    left: usize,
    left_out: usize,
}

impl<'s> Tries<'s> {
    pub(super) fn new(secret: &'s Secret) -> Self {
        Self { secret, left: limits::KEY_SLOTS_MAX, left_out: 0 }
    }

    /// Opens this slot, if it can be.
    pub(super) fn open(&mut self, stored: &[u8]) -> Result<Option<Keys>> {
        let needs_password = describe_slot(stored)?.kdf.is_some();
        if needs_password != matches!(self.secret, Secret::Password(_)) {
            return Ok(None);
        }
        // A key file costs nothing to try.
        if needs_password {
            let Some(left) = self.left.checked_sub(1) else {
                self.left_out += 1;
                return Ok(None);
            };
            self.left = left;
        }
        open_slot(stored, self.secret)
    }

    /// What to say if no slot was opened though there were others.
    fn left_out(&self) -> Option<Error> {
        let (most, more) = (limits::KEY_SLOTS_MAX, self.left_out);
        (more > 0).then(|| {
            Error::new(Kind::Limit, "try all of its key slots")
                .why(format!("the password opens none of {most}, and {more} more were not tried"))
                .hint(
                    "somebody may have added files to keys/ in the store: remove those that are \
                     new, or open it with a key file or a recovery kit",
                )
        })
    }
}

/// The config says which keys there may be. So does each slot, which whoever has write-only keys
/// cannot make: another config in the place of the true one is none.
fn admitted(keys: Keys, config: Config) -> Result<(Keys, Config)> {
    if config.write_only_keys == keys.has_authority() {
        return Ok((keys, config));
    }
    Err(Error::new(Kind::Damaged, "unlock it")
        .why("its config and the key say different things of whether it admits write-only keys")
        .hint("somebody may have exchanged the config: put it back from a copy"))
}

pub(super) fn no_slot_opens(secret: &Secret, trouble: Option<Error>) -> Error {
    let given = match secret {
        Secret::Password(_) => "password",
        Secret::KeyFile(_) => "key file",
    };
    let error = Error::new(Kind::Password, "unlock it");
    match trouble {
        Some(trouble) => error.cause(trouble),
        None => error.why(format!("the {given} opens none of its key slots")),
    }
    .hint("check GHOSTSNAP_PASSWORD, --password-file or --key-file")
}

/// The files where key slots are.
pub(super) fn slot_names(backend: &dyn Backend) -> Result<Vec<(FileName, u64)>> {
    let mut names = backend.list(FileKind::Key)?;
    names.sort_unstable();
    if names.len() > limits::KEY_FILES_MAX {
        return Err(Error::new(Kind::Limit, "read the key slots")
            .why(format!(
                "there are {} files in keys/, at most {} are looked at",
                names.len(),
                limits::KEY_FILES_MAX
            ))
            .hint("somebody may have added them to the store: remove those that are new"));
    }
    Ok(names)
}

pub(super) fn read_slot(backend: &dyn Backend, name: &FileName, size: u64) -> Result<Vec<u8>> {
    if size > limits::KEY_SLOT_BYTES_MAX {
        return Err(Error::new(Kind::Damaged, format!("read {name}"))
            .why(format!("it is {size} bytes long")));
    }
    backend.read(name, 0..size)
}
