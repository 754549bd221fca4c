// SPDX-License-Identifier: MIT
//! Key slots of a repository: open with one, list, add, change and remove. The data never changes
//! when a password does; the last slot cannot be removed.

use super::{Repository, store_named};
use crate::backend::{Backend, FileKind, FileName};
use crate::base::{Error, FileId, Kind, Result, Within, limits};
use crate::crypto::{KdfParams, Keys};
use crate::format::keyslot::{KeySlot, Secret, describe_slot, open_slot, seal_slot};
use crate::format::{Config, RecordKind, envelope};

/// Finds the slot that this secret opens and whose key opens the config.
pub(super) fn unlock(
    backend: &dyn Backend,
    secret: &Secret,
    stored_config: &[u8],
) -> Result<(Keys, Config)> {
    // A config of a newer version must say so before any password is blamed.
    envelope::Header::decode(stored_config, RecordKind::Config)?;
    let mut trouble = None;
    let mut opened_a_slot = false;
    for (name, size) in slot_names(backend)? {
        let master =
            match read_slot(backend, &name, size).and_then(|bytes| open_slot(&bytes, secret)) {
                Ok(Some(master)) => master,
                Ok(None) => continue,
                // A damaged slot must not keep a good one from being tried.
                Err(error) => {
                    trouble = trouble.or(Some(error.within(format!("read {name}"))));
                    continue;
                }
            };
        opened_a_slot = true;
        let keys = Keys::new(master);
        match envelope::open_record(&keys, RecordKind::Config, stored_config) {
            Ok(plain) => return Ok((keys, Config::decode(&plain)?)),
            // A slot of an interrupted init wraps another master key.
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    match trouble {
        Some(error) if opened_a_slot => Err(error),
        trouble => Err(no_slot_opens(secret, trouble)),
    }
}

fn no_slot_opens(secret: &Secret, trouble: Option<Error>) -> Error {
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

fn slot_names(backend: &dyn Backend) -> Result<Vec<(FileName, u64)>> {
    let mut names = backend.list(FileKind::Key)?;
    names.sort_unstable();
    if names.len() > limits::KEY_SLOTS_MAX {
        return Err(Error::new(Kind::Limit, "read the key slots").why(format!(
            "there are {}, at most {} are tried",
            names.len(),
            limits::KEY_SLOTS_MAX
        )));
    }
    Ok(names)
}

fn read_slot(backend: &dyn Backend, name: &FileName, size: u64) -> Result<Vec<u8>> {
    if size > limits::KEY_SLOT_BYTES_MAX {
        return Err(Error::new(Kind::Damaged, format!("read {name}"))
            .why(format!("it is {size} bytes long")));
    }
    backend.read(name, 0..size)
}

impl Repository {
    /// The key slots, oldest first. One that cannot be read is an error naming it.
    pub fn key_slots(&self) -> Result<Vec<(FileId, KeySlot)>> {
        let backend = self.backend.as_ref();
        let mut slots = Vec::new();
        for (name, size) in slot_names(backend)? {
            let stored = read_slot(backend, &name, size)?;
            slots.push((name.id, describe_slot(&stored).within(|| format!("read {name}"))?));
        }
        slots.sort_by_key(|(id, slot)| (slot.created, *id));
        Ok(slots)
    }

    /// Adds a slot that opens with `secret`.
    pub fn add_key(&self, secret: &Secret, label: &str) -> Result<FileId> {
        if slot_names(self.backend.as_ref())?.len() >= limits::KEY_SLOTS_MAX {
            return Err(Error::new(Kind::Limit, "add a key slot")
                .why(format!("there are {} already", limits::KEY_SLOTS_MAX)));
        }
        let slot = KeySlot {
            label: label.to_owned(),
            created: self.world.now(),
            kdf: match secret {
                Secret::Password(_) => Some(KdfParams::STANDARD),
                Secret::KeyFile(_) => None,
            },
        };
        let stored = seal_slot(self.keys.master(), secret, &slot, &self.world)?;
        store_named(self.backend.as_ref(), FileKind::Key, &stored).within(|| "add a key slot")
    }

    /// The slot that this secret opens; those that are damaged or newer hide none that is not.
    pub fn slot_of(&self, secret: &Secret) -> Result<Option<(FileId, KeySlot)>> {
        let backend = self.backend.as_ref();
        let mut trouble = None;
        for (name, size) in slot_names(backend)? {
            let opened = read_slot(backend, &name, size).and_then(|stored| {
                let is_it = open_slot(&stored, secret)?.is_some();
                if is_it { describe_slot(&stored).map(Some) } else { Ok(None) }
            });
            match opened {
                Ok(Some(slot)) => return Ok(Some((name.id, slot))),
                Ok(None) => {}
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    /// Removes a slot, never the last one.
    pub fn remove_key(&self, id: &FileId) -> Result<()> {
        let names = slot_names(self.backend.as_ref())?;
        let name = FileName::new(FileKind::Key, *id);
        if !names.iter().any(|(one, _)| *one == name) {
            return Err(Error::new(Kind::NotFound, format!("remove key slot {id}"))
                .why("the repository has no such slot"));
        }
        if names.len() < 2 {
            return Err(Error::new(Kind::Forbidden, format!("remove key slot {id}"))
                .why("it is the last one: without it nobody could open the repository")
                .hint("add another slot first"));
        }
        self.backend.remove(&name)
    }

    /// Replaces the slot that `old` opens by one that `new` opens: the new one is stored before
    /// the old one goes.
    pub fn change_key(&self, old: &Secret, new: &Secret, label: Option<&str>) -> Result<FileId> {
        let backend = self.backend.as_ref();
        for (name, size) in slot_names(backend)? {
            let stored = read_slot(backend, &name, size)?;
            if open_slot(&stored, old)?.is_none() {
                continue;
            }
            let label = match label {
                Some(label) => label.to_owned(),
                None => describe_slot(&stored)?.label,
            };
            let added = self.add_key(new, &label)?;
            backend.remove(&name)?;
            return Ok(added);
        }
        Err(no_slot_opens(old, None))
    }
}
