// SPDX-License-Identifier: MIT
//! Key slots of a repository: open with one, list, add, change and remove, and rotate the keys in
//! them. The data never changes when a password does; the last slot cannot be removed.

use super::locks::{Held, in_use};
use super::unlock::{self, Tries, no_slot_opens, read_slot, slot_names};
use super::{Repository, store_named};
use crate::backend::{FileKind, FileName};
use crate::base::{Error, FileId, Kind, Result, Within, limits};
use crate::base::{Monitor, World};
use crate::crypto::MasterKey;
use crate::crypto::{KdfParams, Keys};
use crate::format::keyslot::{
    KeySlot, Secret, describe_proven_slot, describe_slot, open_slot, seal_slot,
};

impl Repository {
    /// The key slots, oldest first. One that cannot be read is an error naming it; where others can
    /// add something that looks like one, what they add is passed over.
    pub fn key_slots(&self) -> Result<Vec<(FileId, KeySlot)>> {
        let mut slots = Vec::new();
        for file in self.slot_files()? {
            match file.slot {
                Ok(slot) => slots.push((file.id, slot)),
                Err(_) if self.keys.has_authority() => {}
                Err(error) => return Err(error),
            }
        }
        slots.sort_by_key(|(id, slot)| (slot.created, *id));
        Ok(slots)
    }

    /// What lies where key slots are: a slot, or why it is none.
    pub fn slot_files(&self) -> Result<Vec<SlotFile>> {
        let backend = self.backend.as_ref();
        let mut files = Vec::new();
        for (name, size) in slot_names(backend)? {
            let slot = match read_slot(backend, &name, size) {
                Ok(stored) => self.proven_slot(&stored),
                Err(error) if error.kind() == Kind::Damaged => Err(error),
                Err(error) => return Err(error),
            };
            files.push(SlotFile { id: name.id, slot: slot.within(|| format!("read {name}")) });
        }
        Ok(files)
    }

    fn proven_slot(&self, stored: &[u8]) -> Result<KeySlot> {
        describe_proven_slot(&self.keys, stored)?.ok_or_else(|| {
            Error::new(Kind::Damaged, "read a key slot")
                .why("it does not come from anybody who has keys that open everything")
                .hint("'ghostsnap key remove' takes it away")
        })
    }

    /// Adds a slot that opens with `secret`.
    pub fn add_key(&self, secret: &Secret, label: &str) -> Result<FileId> {
        self.add_slot(secret, &new_slot(secret, label, &self.world))
    }

    /// Adds a slot with which `secret` can add backups, and neither read nor remove what is stored.
    pub fn add_write_only_key(&self, secret: &Secret, label: &str) -> Result<FileId> {
        if !self.config.write_only_keys {
            return Err(Error::new(Kind::Forbidden, "add a write-only key")
                .why("that is decided when a repository is made, and this one was made without")
                .hint(
                    "make a new one with 'ghostsnap init --write-only-keys' and fill it with \
                     'ghostsnap copy'",
                ));
        }
        let slot = KeySlot { write_only: true, ..new_slot(secret, label, &self.world) };
        self.add_slot(secret, &slot)
    }

    fn add_slot(&self, secret: &Secret, slot: &KeySlot) -> Result<FileId> {
        self.refuse_write_only("add a key slot")?;
        if self.key_slots()?.len() >= limits::KEY_SLOTS_MAX {
            return Err(Error::new(Kind::Limit, "add a key slot")
                .why(format!("there are {} already", limits::KEY_SLOTS_MAX)));
        }
        self.refuse_old_keys().within(|| "add a key slot")?;
        self.store_slot(&self.keys, secret, slot)
    }

    /// A slot made of old keys would open nothing of what others store, and look as if it did.
    fn refuse_old_keys(&self) -> Result<()> {
        let slots = self.key_slots()?;
        if slots.iter().all(|(_, slot)| slot.epoch <= self.keys.newest_epoch()) {
            return Ok(());
        }
        Err(Error::new(Kind::InUse, "use keys of before a rotation")
            .why("other slots hold newer keys than the one that opened the repository")
            .hint("'ghostsnap key rotate' ends a rotation that was interrupted"))
    }

    fn store_slot(&self, keys: &Keys, secret: &Secret, slot: &KeySlot) -> Result<FileId> {
        let stored = seal_slot(keys, secret, slot, &self.world)?;
        store_named(self.backend.as_ref(), FileKind::Key, &stored).within(|| "add a key slot")
    }

    /// The slot that this secret opens, of several the one that is worth most; those that are
    /// damaged or newer hide none that is not.
    pub fn slot_of(&self, secret: &Secret) -> Result<Option<(FileId, KeySlot)>> {
        let found = unlock::slot_of(self.backend.as_ref(), secret)?;
        Ok(found.map(|(name, slot)| (name.id, slot)))
    }

    /// Removes a slot, never the last one, nor the last one that opens everything.
    pub fn remove_key(&self, id: &FileId) -> Result<()> {
        self.refuse_write_only("remove a key slot")?;
        let what = || format!("remove key slot {id}");
        let files = self.slot_files()?;
        if !files.iter().any(|file| file.id == *id) {
            return Err(Error::new(Kind::NotFound, what()).why("the repository has no such slot"));
        }
        // What cannot be read, or was not made by anybody who may, opens nothing.
        let staying = files.iter().filter(|file| file.id != *id);
        let staying: Vec<&KeySlot> = staying.filter_map(|file| file.slot.as_ref().ok()).collect();
        if staying.is_empty() {
            return Err(Error::new(Kind::Forbidden, what())
                .why("it is the last one: without it nobody could open the repository")
                .hint("add another slot first"));
        }
        if staying.iter().all(|slot| slot.write_only) {
            return Err(Error::new(Kind::Forbidden, what())
                .why("only write-only keys would be left: nobody could read the backups")
                .hint("add another slot first"));
        }
        // What was stored since a rotation opens with the newest keys alone.
        let slots = files.iter().filter_map(|file| file.slot.as_ref().ok());
        let newest = slots.map(|slot| slot.epoch).max().unwrap_or_default();
        if staying.iter().all(|slot| slot.write_only || slot.epoch < newest) {
            return Err(Error::new(Kind::Forbidden, what())
                .why("it alone has the newest keys: nobody could read what is stored since then")
                .hint("'ghostsnap key rotate' gives them to the others"));
        }
        self.backend.remove(&FileName::new(FileKind::Key, *id))
    }

    /// Replaces each slot that `old` opens by one of its sort that `new` opens: the new ones are
    /// stored before the old ones go. Returns the one that opens most.
    pub fn change_key(&self, old: &Secret, new: &Secret, label: Option<&str>) -> Result<FileId> {
        let backend = self.backend.as_ref();
        let mut tries = Tries::new(old);
        let mut opened = Vec::new();
        for (name, size) in slot_names(backend)? {
            // A damaged slot must not keep a good one from being changed.
            let read = read_slot(backend, &name, size)
                .and_then(|stored| Ok((tries.open(&stored)?, describe_slot(&stored)?)));
            match read {
                Ok((Some(_), slot)) => opened.push((name, slot)),
                Ok((None, _)) => {}
                Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Newer) => {}
                Err(error) => return Err(error),
            }
        }
        opened.sort_by_key(|(_, slot)| slot.write_only);
        let mut added = None;
        for write_only in [false, true] {
            let Some((_, slot)) = opened.iter().find(|(_, slot)| slot.write_only == write_only)
            else {
                continue;
            };
            let label = label.unwrap_or(&slot.label);
            let slot = KeySlot { write_only, ..new_slot(new, label, &self.world) };
            let id = self.add_slot(new, &slot)?;
            added = added.or(Some(id));
        }
        let Some(added) = added else { return Err(no_slot_opens(old, None)) };
        opened.iter().try_for_each(|(name, _)| backend.remove(name))?;
        Ok(added)
    }
}

/// A file where key slots are.
#[derive(Debug)]
pub struct SlotFile {
    /// Its name.
    pub id: FileId,
    /// The slot, or why it is none.
    pub slot: Result<KeySlot>,
}

/// What a slot for this secret says about itself.
pub(super) fn new_slot(secret: &Secret, label: &str, world: &World) -> KeySlot {
    let kdf = match secret {
        Secret::Password(_) => Some(KdfParams::STANDARD),
        Secret::KeyFile(_) => None,
    };
    KeySlot { label: label.to_owned(), created: world.now(), kdf, epoch: 0, write_only: false }
}

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// The epoch under which everything is sealed from now on.
    pub epoch: u16,
    /// The slots that hold its key.
    pub renewed: Vec<(FileId, KeySlot)>,
    /// The slots that are gone: those that were renewed, and those of others.
    pub removed: Vec<(FileId, KeySlot)>,
}

/// A slot, and what opens it.
struct Owned {
    id: FileId,
    slot: KeySlot,
    /// Which of the secrets, and the keys in it.
    opened: Option<(usize, Keys)>,
}

impl Repository {
    /// Makes a new master key, under which everything is sealed from now on, and gives it to these
    /// secrets. The slots of others would open only what was stored before; they go, or nothing
    /// happens. After a rotation that was interrupted the next one makes one more key.
    pub fn rotate_keys(
        &self,
        secrets: &[Secret],
        without_others: bool,
        monitor: &dyn Monitor,
    ) -> Result<Rotated> {
        let what = "rotate the keys";
        self.refuse_write_only(what)?;
        if self.backend.properties().append_only {
            return Err(Error::new(Kind::Forbidden, what)
                .why("the store is append-only: the slots of before could not be removed")
                .hint(
                    "do it with a key that may delete, from a machine that others cannot reach",
                ));
        }
        // Two rotations at a time would make two keys of one epoch. And whoever writes would go on
        // under the keys of before, and not understand what others store.
        let held = self.lock("rotation")?;
        let others = self.others_at_work(held.as_ref().map(Held::id), monitor)?;
        if !others.is_empty() {
            return Err(in_use(what, &others));
        }
        let slots = self.owned_slots(secrets)?;
        refuse_to_rotate(&slots, secrets.len(), without_others).within(|| what)?;
        let (keys, epoch) = self.next_keys(&slots).within(|| what)?;
        // Those that open everything first: the new key must not be in write-only slots alone.
        for write_only in [false, true] {
            for number in 0..secrets.len() {
                self.renew(&slots, (number, secrets), &keys, write_only)?;
            }
        }
        self.prove(secrets, epoch).within(|| "make sure that the new keys open it")?;
        let mut removed = Vec::new();
        for one in slots.into_iter().filter(|one| one.slot.epoch != epoch) {
            self.backend.remove(&FileName::new(FileKind::Key, one.id))?;
            removed.push((one.id, one.slot));
        }
        Ok(Rotated { epoch, renewed: self.key_slots()?, removed })
    }

    fn owned_slots(&self, secrets: &[Secret]) -> Result<Vec<Owned>> {
        let backend = self.backend.as_ref();
        let mut slots = Vec::new();
        for (name, size) in slot_names(backend)? {
            let read = read_slot(backend, &name, size)
                .and_then(|stored| Ok((self.proven_slot(&stored)?, stored)));
            let (slot, stored) = match read.within(|| format!("read {name}")) {
                Ok(read) => read,
                // Nobody who has the keys made it: whatever it says is nothing to go by.
                Err(error)
                    if self.keys.has_authority()
                        && matches!(error.kind(), Kind::Damaged | Kind::Newer) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut opened = None;
            for (number, secret) in secrets.iter().enumerate() {
                if let Some(keys) = open_slot(&stored, secret)? {
                    opened = Some((number, keys));
                    break;
                }
            }
            slots.push(Owned { id: name.id, slot, opened });
        }
        Ok(slots)
    }

    /// The keys from now on: one more.
    fn next_keys(&self, slots: &[Owned]) -> Result<(Keys, u16)> {
        let newest = slots.iter().map(|one| one.slot.epoch).max().unwrap_or_default();
        let opened = || {
            let opened =
                slots.iter().filter_map(|one| Some((one.slot.epoch, &one.opened.as_ref()?.1)));
            opened.filter(|(_, keys)| !keys.is_write_only())
        };
        let Some((_, keys)) = opened().find(|(epoch, _)| *epoch == newest) else {
            return Err(Error::new(Kind::Password, "take up a rotation that was interrupted")
                .why("the newest keys are in a slot that none of the secrets given opens")
                .hint("'ghostsnap key list' shows whose it is; give that one as well"));
        };
        // Always one more: a rotation that was interrupted cannot be told from a slot of before
        // that somebody put back, and whoever had the newest key may be the reason for this one.
        let keys = keys.clone();
        let epoch = newest + 1;
        if epoch >= limits::EPOCHS_MAX {
            return Err(Error::new(Kind::Limit, "make one more key")
                .why(format!("they were rotated {newest} times already"))
                .hint("'ghostsnap copy' into a new repository starts anew"));
        }
        Ok((keys.rotated(MasterKey::new(self.world.random_32()?)), epoch))
    }

    /// Stores a slot of a secret with the new keys, unless it has one, if it had one of that sort.
    fn renew(
        &self,
        slots: &[Owned],
        (number, secrets): (usize, &[Secret]),
        keys: &Keys,
        write_only: bool,
    ) -> Result<()> {
        let mine = || {
            slots
                .iter()
                .filter(|one| one.opened.as_ref().is_some_and(|(whose, _)| *whose == number))
                .filter(|one| one.slot.write_only == write_only)
        };
        let (Some(newest), Some(secret)) =
            (mine().max_by_key(|one| one.slot.created), secrets.get(number))
        else {
            return Ok(());
        };
        if mine().any(|one| one.slot.epoch == keys.newest_epoch()) {
            return Ok(());
        }
        let slot = new_slot(secret, &newest.slot.label, &self.world);
        self.store_slot(keys, secret, &KeySlot { write_only, ..slot }).map(drop)
    }

    /// Opens the repository by each secret and the newest keys, as the next run will.
    fn prove(&self, secrets: &[Secret], epoch: u16) -> Result<()> {
        let slots = self.owned_slots(secrets)?;
        let has = |number| {
            let mut mine = slots.iter().filter_map(|one| one.opened.as_ref());
            mine.any(|(whose, keys)| *whose == number && keys.newest_epoch() == epoch)
        };
        if (0..secrets.len()).all(has) {
            return Ok(());
        }
        Err(Error::new(Kind::Disk, "read the new key slots back").why("one of them is not there"))
    }
}

fn refuse_to_rotate(slots: &[Owned], secrets: usize, without_others: bool) -> Result<()> {
    let opens = |number| {
        slots.iter().any(|one| one.opened.as_ref().is_some_and(|(whose, _)| *whose == number))
    };
    if let Some(number) = (0..secrets).find(|number| !opens(*number)) {
        return Err(Error::new(Kind::Password, "give the new key to all secrets").why(format!(
            "number {} of them opens none of the key slots, or is there twice",
            number + 1
        )));
    }
    let others: Vec<String> = slots
        .iter()
        .filter(|one| one.opened.is_none())
        .map(|one| format!("{} ({})", one.id.short(), one.slot.label.escape_debug()))
        .collect();
    if others.is_empty() || without_others {
        return Ok(());
    }
    Err(Error::new(Kind::Forbidden, "leave the keys of others behind")
        .why(format!("what is stored from now on would not open with {}", others.join(", ")))
        .hint("give their secrets with --also, or let them go with --drop-others"))
}
