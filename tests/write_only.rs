// SPDX-License-Identifier: MIT
//! Keys that can add backups and neither read nor remove what is stored: what a server has that was
//! broken into. The owner restores; the thief reads nothing but the names of the last backups; and
//! nothing that he writes makes the owner's prune, check or repair remove what is good.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]
#![allow(clippy::as_conversions)]

mod common;

use common::*;
use ghostsnap::backend::fault::{Fault, Faulty};
use ghostsnap::backend::mem::Mem;
use ghostsnap::backend::{Backend, FileKind, FileName, read_all};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{ChunkId, Counter, FileId, Kind, RelPath, Result, World};
use ghostsnap::crypto::kdf::derive_from_key_file;
use ghostsnap::crypto::sign::WriterKey;
use ghostsnap::crypto::{Keys, MasterKey, NonceIndex, SealKey};
use ghostsnap::format::envelope::{self, HEADER_BYTES, is_deposit};
use ghostsnap::format::history::{Entry, Removed, content_of};
use ghostsnap::format::keyslot::{KeySlot, Secret, seal_slot};
use ghostsnap::format::rows::RowMap;
use ghostsnap::format::snapshot::Origin;
use ghostsnap::format::tree::Tree;
use ghostsnap::format::{
    Compression, Config, Header, IndexSegment, Node, Note, NoteKind, PackClass, PackEntry,
    PackReader, PackWriter, RecordKind, Snapshot, pack,
};
use ghostsnap::ops::BackupReport;
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::copy::{Copied, CopyState, copy};
use ghostsnap::ops::forget::{Policy, execute, plan};
use ghostsnap::ops::prune::{PruneOptions, PruneReport, prune};
use ghostsnap::ops::repair::{PackOptions, rebuild_index, repair_packs};
use ghostsnap::ops::restore::to_folder;
use ghostsnap::repo::diary::Diary;
use ghostsnap::repo::kept::KeptFile;
use ghostsnap::repo::{
    IndexedRepository, LocalCopy, Reader, Repository, Writer, WriterOptions, pack_entry,
};
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Worlds that never draw the same random numbers twice.
fn world() -> Arc<World> {
    static WORLDS: AtomicU64 = AtomicU64::new(5000);
    Arc::new(World::seeded(WORLDS.fetch_add(1, Ordering::SeqCst)))
}

fn key_file(byte: u8) -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[byte; 32])).unwrap()
}

const OWNER: u8 = 1;
const SERVER: u8 = 2;

/// A repository that admits write-only keys, a server that has such a key, and what it remembers.
struct Bench {
    folder: tempfile::TempDir,
    store: Arc<dyn Backend>,
    /// Whose key the thief has.
    stolen: u8,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = fresh_store();
        let made = Repository::init_for_write_only_keys(
            Arc::clone(&store),
            &key_file(OWNER),
            "owner",
            world(),
        );
        made.unwrap().add_write_only_key(&key_file(SERVER), "server").unwrap();
        let bench = Self { folder, store, stolen: SERVER };
        sample_tree(&bench.source());
        bench
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn change(&self, name: &str) {
        fs::write(self.source().join("site").join(name), noise(name, 90_000)).unwrap();
    }

    fn owner(&self) -> Repository {
        self.owner_on(Arc::clone(&self.store))
    }

    fn owner_on(&self, store: Arc<dyn Backend>) -> Repository {
        Repository::open(store, &key_file(OWNER), world()).unwrap()
    }

    /// The server as it is, with what it remembers.
    fn server(&self) -> Repository {
        self.server_on(Arc::clone(&self.store)).unwrap()
    }

    fn server_on(&self, store: Arc<dyn Backend>) -> Result<Repository> {
        let repository = Repository::open(store, &key_file(SERVER), world())?;
        let id = repository.config().repository_id;
        let diary = Diary::new(&self.state().join("history"), &id, "server");
        let kept = KeptFile::new(&self.state().join("write-only"), &id);
        diary.prepare()?;
        kept.prepare()?;
        kept.same_owner(&repository)?;
        Ok(repository.with_diary(diary).with_kept(kept))
    }

    /// Somebody who has the server's key and nothing else of it.
    fn thief(&self) -> Repository {
        Repository::open(Arc::clone(&self.store), &key_file(self.stolen), world()).unwrap()
    }

    fn try_back_up(&self, store: Arc<dyn Backend>) -> Result<BackupReport> {
        let repository = self.server_on(store)?.indexed_to_write("backup", &Collect::default())?;
        try_backup(&repository, &self.source())
    }

    fn back_up(&self) -> BackupReport {
        self.try_back_up(Arc::clone(&self.store)).unwrap()
    }

    /// A backup by somebody who has all keys.
    fn owner_backs_up(&self) -> BackupReport {
        let repository = self.owner().indexed_to_write("backup", &Collect::default()).unwrap();
        try_backup(&repository, &self.source()).unwrap()
    }

    fn prune(&self) -> PruneReport {
        self.prune_with(PruneOptions { now: true, ..PruneOptions::default() })
    }

    fn prune_with(&self, options: PruneOptions) -> PruneReport {
        prune(self.owner(), &options, false, &Collect::default()).unwrap()
    }

    fn findings(&self) -> Vec<String> {
        let found = check(self.owner(), ReadData::All, &Collect::default()).unwrap().findings;
        let bad = found.into_iter().filter(|one| one.severity != Severity::Garbage);
        bad.map(|one| format!("{}: {}", one.object, one.detail)).collect()
    }

    fn packs(&self, class: PackClass) -> Vec<(FileName, Vec<u8>)> {
        let all = self.store.list(FileKind::Pack).unwrap().into_iter();
        let all = all.map(|(name, _)| (name, read_all(self.store.as_ref(), &name).unwrap()));
        let code = if class == PackClass::Data { 5 } else { 6 };
        all.filter(|(_, bytes)| bytes[4] == code).collect()
    }

    /// What a snapshot restores to with the owner's key.
    fn content_of(&self, snapshot: &Snapshot) -> String {
        let repository = self.owner().indexed(&Collect::default()).unwrap();
        let target = tempfile::tempdir().unwrap();
        let report = restore(&repository, snapshot, &self.source(), target.path());
        assert_eq!(report.warnings, 0);
        format!("{:?}", manifest(target.path()))
    }

    fn content(&self) -> String {
        format!("{:?}", manifest(&self.source()))
    }
}

fn count(report: &BackupReport, counter: Counter) -> u64 {
    report.counts.get(counter)
}

#[test]
fn the_owner_restores_what_write_only_keys_have_stored() {
    let bench = Bench::new();
    let first = bench.back_up();
    let before = bench.content();
    bench.change("new");
    let second = bench.back_up();
    assert_eq!(bench.content_of(&first.snapshot), before);
    assert_eq!(bench.content_of(&second.snapshot), bench.content());
    assert_eq!(bench.findings(), [""; 0]);
    let all = bench.owner().snapshots().unwrap();
    assert!(all.len() == 2 && all.iter().all(|(_, one)| one.is_deposit));
}

#[test]
fn the_second_backup_reads_and_stores_only_what_is_new() {
    let bench = Bench::new();
    bench.back_up();
    let packs = bench.packs(PackClass::Data).len();
    let second = bench.back_up();
    assert_eq!(count(&second, Counter::BytesRead), 0);
    assert_eq!(count(&second, Counter::FilesNew) + count(&second, Counter::FilesChanged), 0);
    assert!(count(&second, Counter::FoldersReused) > 5);
    assert_eq!(bench.packs(PackClass::Data).len(), packs);
    bench.change("new");
    let third = bench.back_up();
    assert_eq!(count(&third, Counter::FilesNew), 1);
    assert_eq!(count(&third, Counter::BytesRead), 90_000);
    assert!(third.snapshot.parent.is_some());
}

#[test]
fn whoever_has_all_that_the_server_has_reads_no_content_and_nothing_of_others() {
    let bench = Bench::new();
    bench.owner_backs_up();
    let theirs: Vec<FileName> = FileKind::ALL
        .into_iter()
        .flat_map(|kind| bench.store.list(kind).unwrap())
        .map(|one| one.0)
        .collect();
    bench.change("secret-name");
    bench.back_up();
    for repository in [bench.server(), bench.thief()] {
        let keys = repository.keys();
        let knows = repository.readable_snapshots(&Collect::default()).unwrap().len() == 1;
        let mut opened = 0;
        for class in [PackClass::Data, PackClass::Meta] {
            for (name, bytes) in bench.packs(class) {
                let read = PackReader::new(keys, class, &bytes);
                let is_own = knows && class == PackClass::Meta && !theirs.contains(&name);
                assert_eq!(read.is_ok(), is_own, "{name}");
                opened += u32::from(is_own);
                if let Err(error) = read {
                    assert_eq!(error.kind(), Kind::Forbidden, "{error}");
                }
                // Not by its end, and not as an ordinary pack of theirs either.
                assert!(pack_entry(&repository, &name, bytes.len() as u64).is_err());
                let mut posing = bytes;
                posing[8] ^= 4;
                assert!(PackReader::new(keys, class, &posing).is_err(), "{name}");
            }
        }
        assert_eq!(opened > 0, knows);
        for (name, _) in bench.store.list(FileKind::Snapshot).unwrap() {
            let is_own = knows && !theirs.contains(&name);
            assert_eq!(repository.snapshot(&name.id).is_ok(), is_own);
        }
        assert!(keys.masters().next().is_none());
    }
    // What lies on the server's disk says nothing of content, and no key of content is there.
    let kept =
        bench.state().join("write-only").join(bench.owner().config().repository_id.to_string());
    let kept = fs::read(kept).unwrap();
    for (_, bytes) in bench.packs(PackClass::Data) {
        let salt = &bytes[16..48];
        assert!(!kept.windows(32).any(|window| window == salt));
    }
    assert!(
        bench
            .packs(PackClass::Meta)
            .iter()
            .any(|(_, bytes)| { kept.windows(32).any(|window| *window == bytes[16..48]) })
    );
}

#[test]
fn what_write_only_keys_cannot_do_says_so() {
    let bench = Bench::new();
    let report = bench.back_up();
    let heard = Collect::default();
    let server = || bench.server();
    let denied = |result: Result<()>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden, "{error}");
        assert!(error.one_line().contains("write-only"), "{error}");
    };
    let target = tempfile::tempdir().unwrap();
    let indexed = server().indexed(&heard).unwrap();
    let restored = restore(&indexed, &report.snapshot, &bench.source(), target.path());
    assert!(restored.warnings > 0, "no content comes back");
    denied(check(server(), ReadData::All, &heard).map(drop));
    denied(prune(server(), &PruneOptions::default(), false, &heard).map(drop));
    denied(prune(server(), &PruneOptions::default(), true, &heard).map(drop));
    let id = report.id.unwrap();
    denied(server().remove_snapshot(&id));
    denied(server().add_key(&key_file(7), "x").map(drop));
    denied(server().add_write_only_key(&key_file(7), "x").map(drop));
    denied(server().change_key(&key_file(SERVER), &key_file(7), None).map(drop));
    denied(server().remove_key(&server().key_slots().unwrap()[0].0));
    denied(server().rotate_keys(&[key_file(SERVER)], true, &heard).map(drop));
    denied(rebuild_index(&server(), &heard).map(drop));
    denied(repair_packs(server(), &[], None, PackOptions::default(), &heard).map(drop));
    denied(server().history(true).map(drop));
    denied(ghostsnap::ops::pin::pin(&indexed, (&id, &report.snapshot), true).map(drop));
    let policy = Policy { last: 1, ..Policy::default() };
    let forgets = plan(vec![(id, report.snapshot)], &policy, world().now()).unwrap();
    denied(execute(&server(), &forgets).map(drop));
    // What it can do: look at its own, and at the structure as far as it may.
    let found = check(server(), ReadData::None, &heard).unwrap();
    assert!(!found.is_damaged(), "{:?}", found.findings);
    assert_eq!(found.snapshots, 1);
    assert_eq!(bench.findings(), [""; 0]);
}

#[test]
fn a_repository_admits_write_only_keys_only_if_it_was_made_so() {
    let store: Arc<dyn Backend> = Arc::new(Mem::new());
    let made = Repository::init(Arc::clone(&store), &key_file(OWNER), "owner", world()).unwrap();
    let error = made.add_write_only_key(&key_file(SERVER), "server").unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden, "{error}");
    assert!(error.hint_text().unwrap().contains("ghostsnap copy"), "{error}");
    // An older program knows that it does not understand this one.
    let bench = Bench::new();
    let features = |name: &FileName| read_all(bench.store.as_ref(), name).unwrap()[8];
    assert_eq!(features(&FileName::CONFIG), 4);
    assert_eq!(features(&slot_of(&bench, SERVER)), 4 | 8);
    assert_eq!(features(&slot_of(&bench, OWNER)), 8);
}

fn slot_of(bench: &Bench, who: u8) -> FileName {
    let slot = bench.owner().slot_of(&key_file(who)).unwrap().unwrap();
    assert_eq!(slot.1.write_only, who == SERVER);
    FileName::new(FileKind::Key, slot.0)
}

#[test]
fn whoever_loses_what_it_remembers_reads_everything_once_and_stores_no_content_again() {
    let bench = Bench::new();
    bench.back_up();
    let data = bench.packs(PackClass::Data).len();
    fs::remove_dir_all(bench.state()).unwrap();
    let again = bench.back_up();
    assert!(again.snapshot.parent.is_none());
    assert!(count(&again, Counter::FilesNew) > 10);
    assert_eq!(bench.packs(PackClass::Data).len(), data, "content is found by the index");
    // Its trees are there twice now, so the next one is as quick as ever.
    let quick = bench.back_up();
    assert_eq!(count(&quick, Counter::BytesRead), 0);
    assert_eq!(bench.content_of(&quick.snapshot), bench.content());
    assert_eq!(bench.findings(), [""; 0]);
}

#[test]
fn a_memory_that_is_damaged_stops_no_backup() {
    let bench = Bench::new();
    bench.back_up();
    let id = bench.owner().config().repository_id;
    let path = bench.state().join("write-only").join(id.to_string());
    fs::write(&path, [0xff; 90]).unwrap();
    let repository =
        Repository::open(Arc::clone(&bench.store), &key_file(SERVER), world()).unwrap();
    let kept = KeptFile::new(&bench.state().join("write-only"), &id);
    assert_eq!(kept.prepare().unwrap_err().kind(), Kind::Damaged);
    let repository =
        repository.with_kept(kept).indexed_to_write("backup", &Collect::default()).unwrap();
    let report = try_backup(&repository, &bench.source()).unwrap();
    assert_eq!(bench.content_of(&report.snapshot), bench.content());
    assert_eq!(count(&bench.back_up(), Counter::BytesRead), 0, "it is whole again");
}

#[test]
fn the_owner_forgets_and_prunes_and_the_server_goes_on_quickly() {
    let bench = Bench::new();
    for number in 0..4 {
        bench.change(&format!("file-{}", number % 2));
        fs::write(bench.source().join("site/file-0"), noise(&format!("x{number}"), 80_000))
            .unwrap();
        bench.back_up();
    }
    let owner = bench.owner();
    let policy = Policy { last: 1, ..Policy::default() };
    let forgets = plan(owner.snapshots().unwrap(), &policy, owner.world().now()).unwrap();
    assert_eq!(execute(&owner, &forgets).unwrap(), 3);
    let bytes = |bench: &Bench| -> u64 {
        bench.store.list(FileKind::Pack).unwrap().iter().map(|(_, size)| size).sum()
    };
    let before = bytes(&bench);
    let report = bench.prune_with(PruneOptions { now: true, max_unused: 0, ..Default::default() });
    assert!(report.removed.0 > 0 && bytes(&bench) < before, "{report:?}");
    assert_eq!(bench.findings(), [""; 0]);
    let next = bench.back_up();
    assert_eq!(count(&next, Counter::BytesRead), 0, "its trees are still its own");
    assert_eq!(bench.content_of(&next.snapshot), bench.content());
    assert_eq!(bench.prune().removed.0, 0);
    // All is vouched for, so nothing is looked at again.
    let index = bench.owner().indexed(&Collect::default()).unwrap();
    assert!(index.index().unproven().is_empty());
}

#[test]
fn rotated_keys_end_the_slot_of_the_server_or_renew_it() {
    let bench = Bench::new();
    let first = bench.back_up();
    let rotate = |secrets: &[Secret], without_others| {
        bench.owner().rotate_keys(secrets, without_others, &Collect::default())
    };
    let error = rotate(&[key_file(OWNER)], false).unwrap_err();
    assert!(error.one_line().contains("(server)"), "{error}");
    let rotated = rotate(&[key_file(OWNER), key_file(SERVER)], false).unwrap();
    let kinds: Vec<bool> = rotated.renewed.iter().map(|(_, slot)| slot.write_only).collect();
    assert!(rotated.epoch == 1 && kinds.contains(&true) && kinds.contains(&false));
    bench.change("after");
    let second = bench.back_up();
    assert_eq!(count(&second, Counter::FilesNew), 1, "its parent is readable still");
    let owner = bench.owner();
    let (_, stored) = owner.snapshots().unwrap().pop().unwrap();
    assert!(stored.history.is_some() && stored.is_deposit);
    assert_eq!(stored.tree, second.snapshot.tree);
    let packs = bench.store.list(FileKind::Pack).unwrap();
    let epochs = packs.iter().map(|(name, _)| read_all(bench.store.as_ref(), name).unwrap()[6]);
    assert!(epochs.max() == Some(1), "sealed for the new key");
    assert_eq!(bench.findings(), [""; 0]);
    bench.prune();
    assert!(bench.content_of(&first.snapshot).len() > 100);
    assert_eq!(bench.content_of(&second.snapshot), bench.content());
    // Let go, it adds nothing any more; nothing is lost.
    rotate(&[key_file(OWNER)], true).unwrap();
    let error = bench.server_on(Arc::clone(&bench.store)).map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Password, "{error}");
    assert_eq!(bench.content_of(&second.snapshot), bench.content());
    // The last key that opens everything cannot go, whatever others there are.
    let owner = bench.owner();
    owner.add_write_only_key(&key_file(9), "again").unwrap();
    let own = owner.slot_of(&key_file(OWNER)).unwrap().unwrap().0;
    assert_eq!(owner.remove_key(&own).unwrap_err().kind(), Kind::Forbidden);
}

/// What somebody who has no master key of the repository can put among its key slots.
fn forged_slots(bench: &Bench) -> Vec<Vec<u8>> {
    let own = read_all(bench.store.as_ref(), &slot_of(bench, OWNER)).unwrap();
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = own.clone();
        change(&mut bytes);
        bytes
    };
    let mut forged = vec![
        b"rubbish".to_vec(),
        Vec::new(),
        // Of a newer version.
        with(|bytes| bytes[15] = 0x80),
        // One's own with another label, another proof, and no proof at all.
        with(|bytes| bytes[55] ^= 1),
        with(|bytes| *bytes.last_mut().unwrap() ^= 1),
        with(|bytes| bytes[8] &= !8),
        with(|bytes| drop(bytes.split_off(bytes.len() - 64))),
    ];
    // Made as the owner makes them, of keys of his own, that were rotated often.
    let mut keys = Keys::new(MasterKey::new([66; 32]));
    for n in 0..5 {
        keys = keys.rotated(MasterKey::new([n; 32]));
    }
    for keys in [keys.clone(), keys.with_authority()] {
        let (label, created) = ("owner".to_owned(), world().now());
        let slot = KeySlot { label, created, kdf: None, epoch: 0, write_only: false };
        forged.push(seal_slot(&keys, &key_file(99), &slot, &world()).unwrap());
    }
    forged
}

#[test]
fn what_a_thief_puts_among_the_key_slots_is_in_nobodys_way() {
    let bench = Bench::new();
    let done = bench.back_up();
    // Before there are others that open with the same secret: which of those is found first is
    // their names' matter.
    let own = slot_of(&bench, OWNER).id;
    let mut forged: Vec<FileId> = Vec::new();
    let more = (0..100u32).map(|n| n.to_le_bytes().to_vec());
    for bytes in forged_slots(&bench).into_iter().chain(more) {
        let id = pack::file_id(&bytes);
        bench.store.create(&FileName::new(FileKind::Key, id), &bytes).unwrap();
        forged.push(id);
    }
    let labels = |repository: &Repository| {
        let slots = repository.key_slots().unwrap().into_iter();
        slots.map(|(_, slot)| (slot.label, slot.epoch, slot.write_only)).collect::<Vec<_>>()
    };
    let both = [("owner".to_owned(), 0, false), ("server".to_owned(), 0, true)];
    for repository in [bench.owner(), bench.server()] {
        let mut found = labels(&repository);
        found.sort();
        assert_eq!(found, both);
        let files = repository.slot_files().unwrap();
        let bad: HashSet<FileId> =
            files.iter().filter(|file| file.slot.is_err()).map(|file| file.id).collect();
        assert_eq!(bad, forged.iter().copied().collect());
    }
    // They are no keys that the owner could be left with.
    assert_eq!(bench.owner().remove_key(&own).unwrap_err().kind(), Kind::Forbidden);
    let second = bench.owner().add_key(&key_file(5), "second").unwrap();
    bench.owner().change_key(&key_file(5), &key_file(6), None).unwrap();
    assert!(bench.owner().remove_key(&second).is_err(), "it was changed");
    let secrets = [key_file(OWNER), key_file(SERVER), key_file(6)];
    let rotated = bench.owner().rotate_keys(&secrets, false, &Collect::default()).unwrap();
    assert_eq!((rotated.epoch, rotated.renewed.len()), (1, 3));
    for id in &forged {
        bench.owner().remove_key(id).unwrap();
    }
    assert_eq!(bench.store.list(FileKind::Key).unwrap().len(), 3);
    assert_eq!(bench.content_of(&done.snapshot), bench.content());
    bench.back_up();
}

/// A slot of a key file, as somebody with a program of his own takes it apart: what all can read,
/// and what is wrapped.
fn taken_apart(slot: &[u8], byte: u8) -> (Vec<u8>, Vec<u8>) {
    let proof = if slot[8] & 8 != 0 { 64 } else { 0 };
    let slot = &slot[..slot.len() - proof];
    let length = u32::from_le_bytes(slot[48..52].try_into().unwrap()) as usize;
    let (clear, sealed) = slot.split_at(52 + length);
    let mut text = sealed.to_vec();
    let key = SealKey::new(&derive_from_key_file(&[byte; 32], slot[16..48].try_into().unwrap()));
    let plain = key.open(NonceIndex::Message(0), clear, &mut text).unwrap().to_vec();
    (clear.to_vec(), plain)
}

/// Write-only slots for the server's secret, made by somebody who has that: all is as in the true
/// one, but what is stored from then on would be sealed for him. With the true owner's name or with
/// his own, without a proof or with one of his.
fn redirecting_slots(bench: &Bench) -> Vec<Vec<u8>> {
    let own = Keys::new(MasterKey::new([66; 32])).with_authority();
    let (theirs, his) = (bench.owner(), own.write_only_parts().unwrap());
    let theirs = theirs.keys().write_only_parts().unwrap();
    let (label, created) = ("server".to_owned(), world().now());
    let slot = KeySlot { label, created, kdf: None, epoch: 0, write_only: true };
    let own_slot = seal_slot(&own, &key_file(SERVER), &slot, &world()).unwrap();
    let true_slot = read_all(bench.store.as_ref(), &slot_of(bench, SERVER)).unwrap();
    let exchange = |text: &mut Vec<u8>, from: [u8; 32], to: [u8; 32]| {
        let at = text.windows(32).position(|window| window == from).unwrap();
        text[at..at + 32].copy_from_slice(&to);
    };
    let mut all = Vec::new();
    for names_himself in [false, true] {
        for proves in [false, true] {
            let (mut clear, _) = taken_apart(&own_slot, SERVER);
            clear[8] = if proves { 4 | 8 } else { 4 };
            // Another name each time.
            clear[20] ^= 2 * u8::from(names_himself) + u8::from(proves);
            let (_, mut text) = taken_apart(&true_slot, SERVER);
            exchange(&mut text, theirs.deposit, his.deposit);
            if names_himself {
                exchange(&mut text, theirs.epochs[0].2, his.epochs[0].2);
            }
            let salt = clear[16..48].try_into().unwrap();
            let key = SealKey::new(&derive_from_key_file(&[SERVER; 32], salt));
            let tag = key.seal(NonceIndex::Message(0), &clear, &mut text);
            let mut slot = [&clear[..], &text, &tag].concat();
            if proves {
                slot.extend(own.prove_slot(&slot).unwrap());
            }
            all.push(slot);
        }
    }
    all
}

#[test]
fn whoever_knows_a_write_only_secret_cannot_have_backups_sealed_for_himself() {
    let bench = Bench::new();
    bench.back_up();
    let owner = bench.server().keys().owner();
    let true_slot = slot_of(&bench, SERVER);
    let forged = redirecting_slots(&bench);
    for is_alone in [false, true] {
        if is_alone {
            bench.store.remove(&true_slot).unwrap();
        }
        for bytes in forged.clone() {
            let name = FileName::new(FileKind::Key, pack::file_id(&bytes));
            bench.store.create(&name, &bytes).unwrap();
            bench.change("more");
            match bench.try_back_up(Arc::clone(&bench.store)) {
                Ok(done) => {
                    assert!(!is_alone, "there was no other key");
                    assert_eq!(bench.server().keys().owner(), owner);
                    assert_eq!(bench.content_of(&done.snapshot), bench.content());
                }
                Err(error) => {
                    assert!(matches!(error.kind(), Kind::Damaged | Kind::Password), "{error}");
                }
            }
            bench.store.remove(&name).unwrap();
        }
    }
}

#[test]
fn a_slot_of_before_a_rotation_that_is_put_back_is_not_taken() {
    let bench = Bench::new();
    bench.back_up();
    let slots = bench.store.list(FileKind::Key).unwrap().into_iter();
    let before: Vec<(FileName, Vec<u8>)> =
        slots.map(|(name, _)| (name, read_all(bench.store.as_ref(), &name).unwrap())).collect();
    let both = [key_file(OWNER), key_file(SERVER)];
    bench.owner().rotate_keys(&both, false, &Collect::default()).unwrap();
    before.iter().for_each(|(name, bytes)| drop(bench.store.create(name, bytes)));
    assert_eq!(bench.store.list(FileKind::Key).unwrap().len(), 4);
    for repository in [bench.owner(), bench.server()] {
        assert_eq!(repository.keys().newest_epoch(), 1);
    }
    // The newest key is in one full slot alone; what was put back is no other.
    let newest = bench.owner().slot_of(&key_file(OWNER)).unwrap().unwrap();
    assert_eq!(newest.1.epoch, 1);
    assert_eq!(bench.owner().remove_key(&newest.0).unwrap_err().kind(), Kind::Forbidden);
    // And a rotation makes a new one, whatever lies there.
    let rotated = bench.owner().rotate_keys(&both, false, &Collect::default()).unwrap();
    assert_eq!(rotated.epoch, 2);
    assert_eq!(bench.store.list(FileKind::Key).unwrap().len(), 2);
    bench.back_up();
    assert_eq!(bench.findings(), [""; 0]);
}

#[test]
fn what_a_thief_adds_to_the_index_is_not_named_for_ever() {
    let bench = Bench::new();
    bench.back_up();
    for _ in 0..200 {
        say(&bench, IndexSegment::default());
    }
    bench.prune();
    bench.change("more");
    bench.back_up();
    bench.prune();
    let repository = bench.owner().indexed(&Collect::default()).unwrap();
    let named: usize = repository.index().segments().iter().map(|one| one.replaces.len()).sum();
    assert!(named < 40, "{named}");
}

#[test]
fn a_secret_that_opens_a_write_only_slot_too_opens_everything() {
    let bench = Bench::new();
    bench.owner().add_write_only_key(&key_file(OWNER), "the same").unwrap();
    assert!(!bench.owner().keys().is_write_only());
    bench.owner().change_key(&key_file(OWNER), &key_file(7), None).unwrap();
    let with = |byte| Repository::open(Arc::clone(&bench.store), &key_file(byte), world());
    assert_eq!(with(OWNER).map(drop).unwrap_err().kind(), Kind::Password);
    let changed = with(7).unwrap();
    let mut slots: Vec<(String, bool)> = changed
        .key_slots()
        .unwrap()
        .into_iter()
        .map(|(_, slot)| (slot.label, slot.write_only))
        .collect();
    slots.sort();
    let label = |label: &str| label.to_owned();
    let right = [(label("owner"), false), (label("server"), true), (label("the same"), true)];
    assert_eq!(slots, right);
    assert!(!changed.keys().is_write_only());
}

#[test]
fn a_backup_that_dies_anywhere_harms_nothing_and_the_next_one_works() {
    let mut done = false;
    for step in 0..200 {
        let bench = Bench::new();
        let first = bench.back_up();
        let before = bench.content();
        bench.change("new");
        let fault =
            if step % 2 == 0 { Fault::DieBefore(step / 2) } else { Fault::DieAfter(step / 2) };
        let dies: Arc<dyn Backend> = Arc::new(Faulty::new(Arc::clone(&bench.store), fault));
        let is_over = bench.try_back_up(dies).is_ok();
        for (name, _) in bench.store.list(FileKind::Lock).unwrap() {
            bench.store.remove(&name).unwrap();
        }
        assert_eq!(bench.content_of(&first.snapshot), before, "step {step}");
        let next = bench.back_up();
        assert_eq!(bench.content_of(&next.snapshot), bench.content(), "step {step}");
        assert_eq!(count(&bench.back_up(), Counter::BytesRead), 0, "step {step}");
        assert_eq!(bench.findings(), [""; 0], "step {step}");
        bench.prune();
        assert_eq!(bench.content_of(&next.snapshot), bench.content(), "step {step}");
        if is_over && step % 2 == 1 {
            done = true;
            break;
        }
    }
    assert!(done);
}

#[test]
fn a_prune_that_dies_anywhere_harms_nothing() {
    let mut done = false;
    for step in 0..200 {
        let bench = Bench::new();
        bench.back_up();
        bench.change("new");
        let kept = bench.back_up();
        let (oldest, _) = bench.owner().snapshots().unwrap().remove(0);
        bench.owner().remove_snapshot(&oldest).unwrap();
        let fault =
            if step % 2 == 0 { Fault::DieBefore(step / 2) } else { Fault::DieAfter(step / 2) };
        let dies: Arc<dyn Backend> = Arc::new(Faulty::new(Arc::clone(&bench.store), fault));
        let options = PruneOptions { now: true, max_unused: 0, ..PruneOptions::default() };
        let is_over = prune(bench.owner_on(dies), &options, false, &Collect::default()).is_ok();
        for (name, _) in bench.store.list(FileKind::Lock).unwrap() {
            bench.store.remove(&name).unwrap();
        }
        assert_eq!(bench.content_of(&kept.snapshot), bench.content(), "step {step}");
        assert_eq!(count(&bench.back_up(), Counter::BytesRead), 0, "step {step}");
        bench.prune();
        assert_eq!(bench.findings(), [""; 0], "step {step}");
        assert_eq!(bench.content_of(&kept.snapshot), bench.content(), "step {step}");
        if is_over && step % 2 == 1 {
            done = true;
            break;
        }
    }
    assert!(done);
}

#[test]
fn another_config_in_the_place_of_the_true_one_is_refused() {
    let bench = Bench::new();
    bench.back_up();
    // On a store that lets files be overwritten.
    let thief = bench.thief();
    let config = Config { write_only_keys: false, ..thief.config().clone() };
    let header = Header::new(RecordKind::Config, thief.world().random_32().unwrap());
    let stored = envelope::seal_with_features(thief.keys(), header, &config.encode()).unwrap();
    bench.store.remove(&FileName::CONFIG).unwrap();
    bench.store.create(&FileName::CONFIG, &stored).unwrap();
    for key in [OWNER, SERVER] {
        let opened = Repository::open(Arc::clone(&bench.store), &key_file(key), world());
        let error = opened.map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        assert!(error.one_line().contains("write-only"), "{error}");
    }
}

/// What somebody with the server's key does.
type Forgery = fn(&Bench);

/// What the owner does after that, not knowing.
type Care = fn(&Bench);

const FORGERIES: &[(&str, Forgery)] = &[
    ("notes that drop, mark, give up", notes),
    ("segments that replace all others", replaces),
    ("other sizes of all packs", sizes),
    ("other content of all packs", contents),
    ("all chunks in packs that are not there", nowhere),
    ("all chunks in packs of rubbish", |bench| poison(bench, false)),
    ("all chunks in packs of rubbish, of another length", |bench| poison(bench, true)),
    ("another tree under the name of each tree", trees),
    ("copies of the owner's packs that are not whole", bent_copies),
    ("the owner's trees under other names", other_names),
    ("an older state of the index", |bench| replay(bench, &all_segments(bench))),
    ("locks of this and other machines", locks),
];

const CARES: &[(&str, Care)] = &[
    ("prune", |bench| drop(try_prune(bench))),
    ("repair index, prune", |bench| {
        rebuild_index(&bench.owner(), &Collect::default()).ok();
        drop(try_prune(bench));
    }),
    ("repair packs, prune twice", |bench| {
        let heard = Collect::default();
        repair_packs(bench.owner(), &[], None, PackOptions::default(), &heard).ok();
        drop(try_prune(bench));
        drop(try_prune(bench));
    }),
];

fn try_prune(bench: &Bench) -> Result<PruneReport> {
    let options =
        PruneOptions { now: true, max_unused: 0, grace_seconds: 0, ..PruneOptions::default() };
    prune(bench.owner(), &options, false, &Collect::default())
}

/// Backups of both, some of whose data is vouched for and some is not.
fn home() -> (Bench, Vec<(Snapshot, String)>) {
    let bench = Bench::new();
    let mut all = Vec::new();
    all.push((bench.back_up().snapshot, bench.content()));
    bench.change("by-owner");
    all.push((bench.owner_backs_up().snapshot, bench.content()));
    prune(bench.owner(), &PruneOptions::default(), false, &Collect::default()).unwrap();
    bench.change("later");
    all.push((bench.back_up().snapshot, bench.content()));
    (bench, all)
}

/// All that is listed, by whoever.
fn entries(bench: &Bench) -> Vec<PackEntry> {
    let owner = bench.owner();
    let names = bench.store.list(FileKind::Index).unwrap().into_iter();
    let mut all: Vec<PackEntry> =
        names.flat_map(|(name, _)| owner.segment(&name.id).unwrap().packs).collect();
    all.sort_by_key(|pack| pack.id);
    all.dedup_by_key(|pack| pack.id);
    assert!(all.len() > 5);
    all
}

fn all_segments(bench: &Bench) -> Vec<(FileName, Vec<u8>)> {
    let names = bench.store.list(FileKind::Index).unwrap().into_iter();
    names.map(|(name, _)| (name, read_all(bench.store.as_ref(), &name).unwrap())).collect()
}

fn say(bench: &Bench, segment: IndexSegment) {
    bench.thief().store_segment(&segment).unwrap();
}

fn notes(bench: &Bench) {
    let kinds = [NoteKind::Mark, NoteKind::Stray, NoteKind::Drop, NoteKind::Damaged];
    let of =
        |kind| entries(bench).into_iter().map(move |pack| Note { kind, pack: pack.id, time: 1 });
    say(
        bench,
        IndexSegment { notes: kinds.into_iter().flat_map(of).collect(), ..Default::default() },
    );
}

fn replaces(bench: &Bench) {
    let replaces = all_segments(bench).into_iter().map(|(name, _)| name.id).collect();
    say(bench, IndexSegment { replaces, ..IndexSegment::default() });
}

fn sizes(bench: &Bench) {
    let packs = entries(bench).into_iter();
    let packs = packs.map(|pack| PackEntry { size: pack.size + 1, ..pack }).collect();
    // Whichever segment is read first.
    for time in 0..4 {
        let packs: &Vec<PackEntry> = &packs;
        say(bench, IndexSegment { packs: packs.clone(), time, ..IndexSegment::default() });
    }
}

fn contents(bench: &Bench) {
    let all = entries(bench);
    // What lies in the next pack of its sort is said to lie in this one.
    let mut packs = Vec::new();
    for class in [PackClass::Data, PackClass::Meta] {
        let own: Vec<&PackEntry> = all.iter().filter(|pack| pack.class == class).collect();
        for (place, pack) in own.iter().enumerate() {
            let other = own[(place + 1) % own.len()];
            let size = pack.size.max(other.size);
            let blobs = other.blobs.clone();
            packs.push(PackEntry { size, blobs, ..(*pack).clone() });
            packs.push(PackEntry { blobs: Vec::new(), ..(*pack).clone() });
        }
    }
    for time in 0..4 {
        let packs: &Vec<PackEntry> = &packs;
        say(bench, IndexSegment { packs: packs.clone(), time, ..IndexSegment::default() });
    }
}

fn nowhere(bench: &Bench) {
    let packs = entries(bench).into_iter().map(|mut pack| {
        pack.id.0[0] ^= 0xff;
        pack
    });
    say(bench, IndexSegment { packs: packs.collect(), ..IndexSegment::default() });
}

/// A pack with all these chunks, as whoever has the key can make it.
fn make_pack(bench: &Bench, class: PackClass, chunks: &[(ChunkId, Vec<u8>)]) {
    let thief = bench.thief();
    let salt = thief.world().random_32().unwrap();
    let mut writer = PackWriter::new(thief.keys(), class, salt, 0).unwrap();
    for (id, plain) in chunks {
        let length = u32::try_from(plain.len()).unwrap();
        writer.add(plain, Compression::None, vec![(*id, length)]).unwrap();
    }
    let header: [u8; HEADER_BYTES] = writer.header();
    let (bytes, blobs) = writer.finish().unwrap();
    let id = pack::file_id(&bytes);
    bench.store.create(&FileName::new(FileKind::Pack, id), &bytes).unwrap();
    let entry = PackEntry { id, class, size: bytes.len() as u64, header, blobs };
    say(bench, IndexSegment { packs: vec![entry], ..IndexSegment::default() });
}

fn all_chunks(bench: &Bench, class: PackClass) -> Vec<(ChunkId, u32)> {
    let packs = entries(bench).into_iter().filter(|pack| pack.class == class);
    packs.flat_map(|pack| pack.blobs).flat_map(|blob| blob.chunks).collect()
}

fn poison(bench: &Bench, is_longer: bool) {
    for class in [PackClass::Data, PackClass::Meta] {
        let rubbish = |(id, length): (ChunkId, u32)| {
            (id, noise("rubbish", length as usize + usize::from(is_longer)))
        };
        let chunks: Vec<_> = all_chunks(bench, class).into_iter().map(rubbish).collect();
        make_pack(bench, class, &chunks);
        make_pack(bench, class, &chunks);
    }
}

fn trees(bench: &Bench) {
    let (id, _) = bench.owner().snapshots().unwrap().pop().unwrap();
    let evil = bench.owner().snapshot(&id).unwrap();
    let repository = bench.owner().indexed(&Collect::default()).unwrap();
    let other = Reader::new(&repository).chunk(PackClass::Meta, &evil.tree[0]).unwrap();
    let chunks = all_chunks(bench, PackClass::Meta).into_iter();
    let chunks: Vec<_> = chunks.map(|(id, _)| (id, other.clone())).collect();
    make_pack(bench, PackClass::Meta, &chunks);
}

/// Packs of the owner's, with what is said of them.
fn of_owner(bench: &Bench) -> Vec<(PackEntry, Vec<u8>)> {
    let own = entries(bench).into_iter().filter(|pack| !is_deposit(&pack.header));
    let read = |pack: PackEntry| {
        let name = FileName::new(FileKind::Pack, pack.id);
        let bytes = read_all(bench.store.as_ref(), &name).unwrap();
        (pack, bytes)
    };
    own.map(read).collect()
}

/// Stores a copy of a pack, and says that it holds this.
fn store_copy(bench: &Bench, entry: PackEntry, bytes: &[u8]) {
    let id = pack::file_id(bytes);
    bench.store.create(&FileName::new(FileKind::Pack, id), bytes).unwrap();
    say(bench, IndexSegment { packs: vec![PackEntry { id, ..entry }], ..Default::default() });
}

/// Each pack of the owner's once more, with a blob that does not open and a smaller name.
fn bent_copies(bench: &Bench) {
    let all = of_owner(bench);
    assert!(all.len() > 1);
    for (entry, bytes) in all {
        let bent = |n: usize| {
            let mut bent = bytes.clone();
            bent[HEADER_BYTES + n % 20] ^= u8::try_from(n / 20 + 1).unwrap();
            bent
        };
        let best = (0..2000).map(bent).min_by_key(|bent| pack::file_id(bent)).unwrap();
        store_copy(bench, entry.clone(), &best);
        // The same, posing as a deposit.
        let mut posing = entry;
        posing.header[8] |= 4;
        let next = (2000..2050).map(bent).min_by_key(|bent| pack::file_id(bent)).unwrap();
        store_copy(bench, posing, &next);
    }
}

/// The owner's trees once more, in packs without a good end, under the names of other trees.
fn other_names(bench: &Bench) {
    let roots = bench.owner().snapshots().unwrap().into_iter().map(|(_, one)| one.tree[0]);
    let roots: Vec<ChunkId> = roots.collect();
    for (entry, bytes) in
        of_owner(bench).into_iter().filter(|(one, _)| one.class == PackClass::Meta)
    {
        for (n, root) in (1..).zip(&roots) {
            let (mut entry, mut bytes) = (entry.clone(), bytes.clone());
            *bytes.last_mut().unwrap() ^= n;
            entry.blobs[0].chunks[0].0 = *root;
            store_copy(bench, entry, &bytes);
        }
    }
}

fn replay(bench: &Bench, before: &[(FileName, Vec<u8>)]) {
    drop(try_prune(bench));
    for (name, bytes) in before {
        if bench.store.size(name).unwrap().is_none() {
            bench.store.create(name, bytes).unwrap();
        }
    }
}

fn locks(bench: &Bench) {
    for work in ["prune", "repair", "backup"] {
        std::mem::forget(bench.thief().lock(work).unwrap());
    }
}

/// What those say of the index who have the master keys: which packs count, and what is noted.
fn proven(bench: &Bench) -> (Vec<FileId>, Vec<Note>) {
    let repository = bench.owner().indexed(&Collect::default()).unwrap();
    let index = repository.index();
    let packs = index.packs().iter().map(|pack| pack.id);
    let mut packs: Vec<FileId> = packs.filter(|id| !index.unproven().contains(id)).collect();
    let segments = index.segments().iter().filter(|one| !one.is_replaced);
    let mut notes: Vec<Note> = segments.flat_map(|one| one.notes.iter().copied()).collect();
    packs.sort_unstable();
    notes.sort_unstable();
    (packs, notes)
}

#[test]
fn what_the_owner_has_replaced_does_not_count_again_though_it_was_signed() {
    for is_made_anew in [false, true] {
        let bench = Bench::new();
        let mut ever = Vec::new();
        for round in 0..5 {
            bench.change(&format!("by-server-{round}"));
            bench.back_up();
            bench.change(&format!("by-owner-{round}"));
            let done = bench.owner_backs_up();
            if round < 4 {
                bench.owner().remove_snapshot(&done.id.unwrap()).unwrap();
            }
            // Marks what is not needed; the next one removes it.
            let options =
                PruneOptions { max_unused: 0, grace_seconds: 0, ..PruneOptions::default() };
            bench.prune_with(options);
            ever.extend(all_segments(&bench));
        }
        if is_made_anew {
            rebuild_index(&bench.owner(), &Collect::default()).unwrap();
        }
        let before = proven(&bench);
        let there = bench.store.list(FileKind::Index).unwrap().len();
        for (name, bytes) in &ever {
            if bench.store.size(name).unwrap().is_none() {
                bench.store.create(name, bytes).unwrap();
            }
        }
        assert!(bench.store.list(FileKind::Index).unwrap().len() > there + 5);
        assert_eq!(proven(&bench), before);
        // A prune clears them away, and what it writes says so still.
        bench.prune();
        let before = proven(&bench);
        for (name, bytes) in &ever {
            if bench.store.size(name).unwrap().is_none() {
                bench.store.create(name, bytes).unwrap();
            }
        }
        assert_eq!(proven(&bench), before);
        assert_eq!(bench.findings(), [""; 0]);
    }
}

#[test]
fn nothing_that_a_thief_writes_makes_the_owner_remove_what_is_good() {
    for (forged, forge) in FORGERIES {
        for (cared, care) in CARES {
            let story = format!("{forged}; {cared}");
            let (bench, all) = home();
            let before = names_in(bench.store.as_ref());
            forge(&bench);
            let evil: Vec<String> =
                names_in(bench.store.as_ref()).difference(&before).cloned().collect();
            assert!(!evil.is_empty() || *forged == "an older state of the index", "{story}");
            care(&bench);
            // All that he wrote goes: what is left is what was good, and it is all there.
            let kinds = [FileKind::Index, FileKind::Pack, FileKind::Lock, FileKind::Snapshot];
            for (name, _) in kinds.into_iter().flat_map(|kind| bench.store.list(kind).unwrap()) {
                if evil.contains(&name.to_string()) {
                    bench.store.remove(&name).unwrap();
                }
            }
            rebuild_index(&bench.owner(), &Collect::default()).unwrap();
            for (snapshot, content) in &all {
                assert_eq!(&bench.content_of(snapshot), content, "{story}");
            }
            let next = bench.back_up();
            assert_eq!(bench.content_of(&next.snapshot), bench.content(), "{story}");
        }
    }
}

#[test]
fn the_same_lies_with_the_owners_key_do_harm() {
    // Or the test above would prove nothing.
    let comes_back = |bench: &Bench, (snapshot, content): &(Snapshot, String)| {
        let repository = bench.owner().indexed(&Collect::default()).unwrap();
        let target = tempfile::tempdir().unwrap();
        let (base, heard) = (base_of(&bench.source()), Collect::default());
        let into = target.path();
        let done = to_folder(&repository, snapshot, &base, &restore_options(), into, &heard);
        done.is_ok() && &format!("{:?}", manifest(into)) == content
    };
    let lies: [(&str, Forgery); 4] = [
        ("notes", notes),
        ("replaces", replaces),
        ("rubbish", |bench| poison(bench, false)),
        ("longer rubbish", |bench| poison(bench, true)),
    ];
    for (name, lie) in lies {
        let (mut bench, all) = home();
        bench.stolen = OWNER;
        lie(&bench);
        let hidden = all.iter().any(|one| !comes_back(&bench, one));
        drop(try_prune(&bench));
        drop(try_prune(&bench));
        rebuild_index(&bench.owner(), &Collect::default()).ok();
        let lost = all.iter().any(|one| !comes_back(&bench, one));
        assert!(if name == "replaces" { hidden } else { lost }, "{name}");
    }
}

#[test]
fn whatever_a_thief_writes_the_owner_restores_at_once() {
    for (forged, forge) in FORGERIES {
        let (bench, all) = home();
        forge(&bench);
        // Where there is no telling how long a file is, it is said, and the repair tells.
        if forged.contains("packs of rubbish") || forged.contains("not there") {
            let heard = Collect::default();
            repair_packs(bench.owner(), &[], None, PackOptions::default(), &heard).unwrap();
        }
        for (snapshot, content) in &all {
            assert_eq!(&bench.content_of(snapshot), content, "{forged}");
        }
    }
}

#[test]
fn rubbish_under_a_good_name_is_found_and_never_restored() {
    let (bench, all) = home();
    poison(&bench, false);
    let repository = bench.owner().indexed(&Collect::default()).unwrap();
    for (snapshot, content) in &all {
        let target = tempfile::tempdir().unwrap();
        let report = restore(&repository, snapshot, &bench.source(), target.path());
        assert_eq!(report.warnings, 0, "another place of each chunk is found");
        assert_eq!(&format!("{:?}", manifest(target.path())), content);
    }
    assert_eq!(bench.findings().len(), 4, "{:?}", bench.findings());
    repair_packs(bench.owner(), &[], None, PackOptions::default(), &Collect::default()).unwrap();
    assert_eq!(bench.findings(), [""; 0]);
    // A backup counts on what is left, and on no rubbish.
    bench.change("after");
    let next = bench.back_up();
    assert_eq!(bench.content_of(&next.snapshot), bench.content());
}

#[test]
fn a_snapshot_of_nothing_holds_a_prune_up_and_no_more() {
    let (bench, all) = home();
    let repository = bench.thief().indexed(&Collect::default()).unwrap();
    let forged = Snapshot { tree: vec![ChunkId([7; 32])], ..all[0].0.clone() };
    let id = repository.commit(&forged).unwrap();
    let packs = bench.store.list(FileKind::Pack).unwrap();
    assert_eq!(try_prune(&bench).unwrap_err().kind(), Kind::Damaged);
    assert_eq!(bench.store.list(FileKind::Pack).unwrap(), packs);
    bench.owner().remove_snapshot(&id).unwrap();
    try_prune(&bench).unwrap();
    for (snapshot, content) in &all {
        assert_eq!(&bench.content_of(snapshot), content);
    }
}

#[test]
fn a_claim_of_tomorrow_keeps_rubbish_no_longer_than_another() {
    let bench = Bench::new();
    bench.back_up();
    let (id, _) = bench.owner().snapshots().unwrap().remove(0);
    bench.change("new");
    bench.back_up();
    bench.owner().remove_snapshot(&id).unwrap();
    let of = |pack: PackEntry| Note { kind: NoteKind::Claim, pack: pack.id, time: i64::MAX / 2 };
    let notes = entries(&bench).into_iter().map(of).collect();
    say(&bench, IndexSegment { notes, ..IndexSegment::default() });
    try_prune(&bench).unwrap();
    assert!(try_prune(&bench).unwrap().plan.fates.len() > 1);
    let claims = bench.owner().indexed(&Collect::default()).unwrap();
    let notes = claims.index().segments().iter().flat_map(|one| &one.notes);
    let now = claims.world().now().seconds;
    assert!(notes.filter(|one| one.kind == NoteKind::Claim).all(|one| one.time <= now));
}

#[test]
fn what_write_only_keys_say_is_not_said_in_the_owners_name_by_a_merge() {
    let bench = Bench::new();
    // Many small segments, so that a prune merges those it may.
    for number in 0..20 {
        bench.change(&format!("n{number}"));
        bench.back_up();
    }
    contents(&bench);
    let options = PruneOptions { grace_seconds: 0, ..PruneOptions::default() };
    for _ in 0..3 {
        prune(bench.owner(), &options, false, &Collect::default()).unwrap();
    }
    let owner = bench.owner();
    let honest = |pack: &PackEntry| {
        let name = FileName::new(FileKind::Pack, pack.id);
        let size = bench.store.size(&name).unwrap().unwrap();
        pack_entry(&owner, &name, size).unwrap() == *pack
    };
    for (name, _) in bench.store.list(FileKind::Index).unwrap() {
        let segment = owner.segment(&name.id).unwrap();
        assert!(segment.is_unproven || segment.packs.iter().all(honest), "{name}");
    }
    assert_eq!(bench.findings(), [""; 0]);
}

#[test]
fn a_header_says_what_a_file_is_and_nothing_else_changes() {
    let bench = Bench::new();
    let report = bench.back_up();
    let name = FileName::new(FileKind::Snapshot, report.id.unwrap());
    let stored = read_all(bench.store.as_ref(), &name).unwrap();
    let header = Header::decode(&stored, RecordKind::Snapshot).unwrap();
    assert_eq!(header.features, envelope::FEATURE_WRITE_ONLY);
    let index = bench.owner().indexed(&Collect::default()).unwrap();
    for pack in index.index().packs() {
        let bytes =
            read_all(bench.store.as_ref(), &FileName::new(FileKind::Pack, pack.id)).unwrap();
        assert_eq!(bytes[..HEADER_BYTES], pack.header);
        assert!(envelope::is_deposit(&pack.header));
    }
    assert!(index.index().unproven().len() == index.index().packs().len());
}

#[test]
fn the_copy_on_the_server_holds_what_the_store_holds_and_nothing_else() {
    let bench = Bench::new();
    let folder = bench.folder.path().join("cache");
    for _ in 0..2 {
        let server = bench.server();
        let copy = LocalCopy::new(&folder, &server.config().repository_id, 1 << 30);
        let repository =
            server.with_copy(copy).indexed_to_write("backup", &Collect::default()).unwrap();
        try_backup(&repository, &bench.source()).unwrap();
    }
    let kinds = FileKind::ALL.into_iter().flat_map(|kind| bench.store.list(kind).unwrap());
    let stored: Vec<Vec<u8>> =
        kinds.map(|(name, _)| read_all(bench.store.as_ref(), &name).unwrap()).collect();
    let mut copied = 0;
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            assert!(stored.contains(&bytes), "{}", path.display());
            assert_ne!(bytes[4], 5, "no content");
            copied += 1;
        }
    }
    assert!(copied > 3);
}

fn made_of(copied: &[Copied]) -> usize {
    copied.iter().filter(|one| matches!(one.state, CopyState::Made(..))).count()
}

#[test]
fn copies_go_into_it_and_not_out_of_it() {
    let bench = Bench::new();
    let plain: Arc<dyn Backend> = Arc::new(Mem::new());
    Repository::init(Arc::clone(&plain), &key_file(OWNER), "x", world()).unwrap();
    let source = || {
        let source = Repository::open(Arc::clone(&plain), &key_file(OWNER), world()).unwrap();
        source.indexed(&Collect::default()).unwrap()
    };
    let copied = |heard: &Collect| {
        let (source, writer) = (source(), ghostsnap::repo::WriterOptions::default());
        let all = source.snapshots().unwrap();
        let mut target = bench.server().indexed_to_write("copy", heard).unwrap();
        let done = copy(&source, &mut target, all, writer, heard).unwrap();
        made_of(&done)
    };
    let report = try_backup(&source(), &bench.source()).unwrap();
    assert_eq!((copied(&Collect::default()), copied(&Collect::default())), (1, 0));
    let (_, there) = bench.owner().snapshots().unwrap().pop().unwrap();
    assert_eq!(bench.content_of(&there), bench.content());
    assert_eq!(there.origin.unwrap().snapshot, report.id.unwrap());
    let heard = Collect::default();
    let (server, mut target) = (bench.server().indexed(&heard).unwrap(), source());
    let all = server.readable_snapshots(&heard).unwrap();
    let options = ghostsnap::repo::WriterOptions::default();
    let error = copy(&server, &mut target, all, options, &heard).map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden, "{error}");
}

#[test]
fn a_name_of_another_snapshot_hides_it_from_no_copy() {
    let (bench, all) = home();
    let repository = bench.thief().indexed(&Collect::default()).unwrap();
    let ids = bench.owner().snapshots().unwrap();
    let here = bench.owner().config().repository_id;
    for (id, snapshot) in &ids {
        let origin = Some(Origin { repository: here, snapshot: *id });
        repository.commit(&Snapshot { origin, ..snapshot.clone() }).unwrap();
    }
    let heard = Collect::default();
    let away: Arc<dyn Backend> = Arc::new(Mem::new());
    let made = Repository::init(Arc::clone(&away), &key_file(OWNER), "x", world()).unwrap();
    let source = bench.owner().indexed(&heard).unwrap();
    let mut target = made.indexed_to_write("copy", &heard).unwrap();
    // Those of the thief first.
    let mut snapshots = source.snapshots().unwrap();
    snapshots.sort_by_key(|(id, _)| ids.iter().any(|(one, _)| one == id));
    let options = ghostsnap::repo::WriterOptions::default();
    let done = copy(&source, &mut target, snapshots, options, &heard).unwrap();
    assert_eq!(made_of(&done), 2 * all.len());
}

#[test]
fn the_owner_misses_what_was_taken_away_whatever_a_thief_signs() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.back_up();
    }
    let owner = || {
        let owner = bench.owner();
        let id = owner.config().repository_id;
        let diary = Diary::new(&bench.folder.path().join("owner"), &id, "owner");
        diary.prepare().unwrap();
        owner.with_diary(diary)
    };
    assert_eq!(owner().history(true).unwrap().problems(), []);
    let all = owner().snapshots().unwrap();
    let (stolen, _) = all[1];
    bench.store.remove(&FileName::new(FileKind::Snapshot, stolen)).unwrap();
    // The thief says in a name of his own that the server has removed it.
    let server = all[1].1.history.as_ref().unwrap().entry().unwrap();
    let lie = |repository: &Repository, seed: u8| {
        let key = WriterKey::new(&[seed; 32].into());
        let mut removed = Removed::new();
        removed.entry(server.writer).or_default().add(server.number, server.number);
        let snapshot = Snapshot { history: None, ..all[0].1.clone() };
        let entry = Entry {
            writer: key.writer(),
            host: "thief".to_owned(),
            number: 1,
            before: None,
            time: snapshot.time,
            content: Some(content_of(&snapshot)),
            removed,
            seen: Default::default(),
        };
        let signed = entry.sign(&key, &repository.config().repository_id);
        let plain = Snapshot { history: Some(signed), ..snapshot }.encode();
        let header = Header::new(RecordKind::Snapshot, repository.world().random_32().unwrap());
        let stored = envelope::seal_with_features(repository.keys(), header, &plain).unwrap();
        let name = FileName::new(FileKind::Snapshot, pack::file_id(&stored));
        bench.store.create(&name, &stored).unwrap();
    };
    lie(&bench.thief(), 7);
    let problems = owner().history(true).unwrap().problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(try_prune_of(owner()).unwrap_err().kind(), Kind::Damaged);
    // With the owner's key the same words count.
    lie(&bench.owner(), 8);
    assert_eq!(owner().history(true).unwrap().problems(), []);
}

fn try_prune_of(owner: Repository) -> Result<PruneReport> {
    prune(owner, &PruneOptions::default(), false, &Collect::default())
}

/// A dump whose rows all differ.
fn dump(rows: usize) -> String {
    let row = |row: usize| format!("({row},'{}'),\n", blake3::hash(&row.to_le_bytes()).to_hex());
    let rows: String = (0..rows).map(row).collect();
    format!("INSERT INTO `t` VALUES\n{rows}-- Dump completed\n")
}

/// Stores what the server's backup holds once more, with row maps that lie about lengths, as if it
/// had been made a second before.
fn add_lying_maps(server: &IndexedRepository, of: &Snapshot, path: &RelPath) {
    let writer = Writer::new(server, WriterOptions::default());
    let mut meta = writer.bundle(PackClass::Meta).unwrap();
    let mut add = |plain: &[u8]| {
        let id = server.keys().tree_id(plain);
        meta.add(&writer, id, plain).unwrap();
        id
    };
    let reader = Reader::new(server);
    let mut chain: Vec<Node> = Vec::new();
    for name in path.names() {
        let tree = chain.last().map_or(&of.tree, |node| &node.chunks);
        let nodes = reader.tree(tree).unwrap();
        chain.push(nodes.into_iter().find(|node| node.name == name).unwrap());
    }
    let mut node = chain.pop().unwrap();
    let lying = |mut map: RowMap| {
        map.chunks.iter_mut().for_each(|one| one.length += 7);
        map
    };
    let maps = reader.row_maps(&node).unwrap().into_iter().map(lying);
    node.chunks = maps.map(|map| add(&map.encode())).collect();
    while let Some(above) = chain.pop() {
        let chunks = vec![add(&Tree::encode(std::slice::from_ref(&node)))];
        node = Node { chunks, ..above };
    }
    let tree = vec![add(&Tree::encode(std::slice::from_ref(&node)))];
    meta.flush(&writer).unwrap();
    writer.finish().unwrap();
    let mut evil = Snapshot { tree, parent: None, ..of.clone() };
    evil.time.seconds -= 1;
    server.commit(&evil).unwrap();
}

#[test]
fn what_somebody_adds_who_lies_about_rows_spoils_no_copy_of_another_backup() {
    let bench = Bench::new();
    fs::write(bench.source().join("dump.sql"), dump(9000)).unwrap();
    let good = bench.back_up().id.unwrap();
    let heard = Collect::default();
    let path = base_of(&bench.source()).join(b"dump.sql").unwrap();
    let server = bench.server().indexed_to_write("backup", &heard).unwrap();
    let known = server.readable_snapshots(&heard).unwrap();
    let (_, snapshot) = known.into_iter().find(|(id, _)| *id == good).unwrap();
    add_lying_maps(&server, &snapshot, &path);
    drop(server);

    let away: Arc<dyn Backend> = Arc::new(Mem::new());
    let made = Repository::init(Arc::clone(&away), &key_file(OWNER), "x", world()).unwrap();
    let source = bench.owner().indexed(&heard).unwrap();
    let mut target = made.indexed_to_write("copy", &heard).unwrap();
    let all = source.snapshots().unwrap();
    assert_eq!(all.len(), 2);
    let done = copy(&source, &mut target, all, WriterOptions::default(), &heard).unwrap();
    let failed = |one: &&Copied| matches!(one.state, CopyState::Failed(_));
    assert_eq!(done.iter().filter(failed).map(|one| one.id == good).collect::<Vec<_>>(), [false]);
    drop(target);
    let there = Repository::open(away, &key_file(OWNER), world()).unwrap();
    let there = there.indexed(&heard).unwrap();
    let copied = there.snapshots().unwrap();
    assert_eq!(copied.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let base = base_of(&bench.source());
    let options = restore_options();
    to_folder(&there, &copied[0].1, &base, &options, folder.path(), &heard).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("dump.sql")).unwrap(), dump(9000));
}
