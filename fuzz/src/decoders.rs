// SPDX-License-Identifier: MIT
//! Every decoder of what comes from a disk, a line or a person, as a function that takes any bytes.
//! It may come to a value or an error; it panics if a promise is broken. Nothing here may depend on
//! time, chance or an earlier call.

use ghostsnap::base::limits::RECORD_PLAIN_BYTES_MAX;
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::units::ByteSize;
use ghostsnap::base::{FileId, RelPath, Result, World};
use ghostsnap::crypto::kdf::derive_from_key_file;
use ghostsnap::crypto::{Keys, MasterKey, NonceIndex, Purpose, SealKey};
use ghostsnap::format::compress::{Compressor, decompress};
use ghostsnap::format::envelope::{Header, bound_data, frame, is_deposit, open_record, unframe};
use ghostsnap::format::history::{Memory, SignedEntry};
use ghostsnap::format::keyslot::{
    KeySlot, Secret, describe_proven_slot, describe_slot, open_slot, seal_slot,
};
use ghostsnap::format::lock::Lock;
use ghostsnap::format::pack::{blobs_end, end_length};
use ghostsnap::format::{
    Config, IndexSegment, NoteKind, PackClass, PackReader, RecordKind, RowMap, RowTable, Snapshot,
    Tree, kept, kit,
};
use ghostsnap::hestia::dump_text::Editor;
use ghostsnap::hestia::inventory::DbKind;
use ghostsnap::hestia::named::{Entry as Named, RepositoryName};
use ghostsnap::hestia::queue::schedule::Schedule;
use ghostsnap::hestia::tarball_in::HestiaTarball;
use ghostsnap::hestia::{Settings, conf, setting_edit};
use ghostsnap::repo::Index;
use ghostsnap::repo::ledger::Ledger;
use ghostsnap::tree::select::{Selection, name_matches};
use ghostsnap::tree::source::{Content, Source};
use ghostsnap::tree::tar_in::TarSource;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::LazyLock;

/// One of them: its name, the function, and how many rounds make a quick run of it.
pub struct Decoder {
    pub name: &'static str,
    pub decode: fn(&[u8]),
    pub rounds: usize,
}

macro_rules! decoders {
    ($($name:ident $rounds:literal,)*) => {
        /// All of them.
        pub const DECODERS: &[Decoder] = &[
            $(Decoder { name: stringify!($name), decode: $name, rounds: $rounds },)*
        ];
    };
}

decoders! {
    blob 2000,
    config 4000,
    dump_mysql 1500,
    dump_pgsql 1500,
    frame_of_record 1000,
    hestia_rows 6000,
    hestia_tarball 300,
    history 4000,
    index 4000,
    key_file 2000,
    kept_keys 4000,
    key_slot 4000,
    lock 2000,
    memory 4000,
    pack 3000,
    pack_end 3000,
    proven_segment 3000,
    recovery_kit 2000,
    repository_entry 2000,
    row_map 4000,
    row_table 4000,
    schedule 3000,
    sealed_record 3000,
    settings 1500,
    snapshot 4000,
    tar 1200,
    tree 6000,
    words 6000,
    write_only_slot 3000,
}

/// The keys that everything here is sealed under.
pub fn keys() -> Keys {
    Keys::new(MasterKey::new([9; 32]))
}

/// What [`sealed_record`] lets somebody find: only who has the keys can have made it.
pub const SEALED: &[u8] = b"only who has the keys made this";

pub fn sealed_record(bytes: &[u8]) {
    let kind = RecordKind::Index;
    drop(Header::decode(bytes, kind));
    if let Ok(plain) = open_record(&keys(), kind, bytes) {
        assert_eq!(plain, SEALED, "a forgery was opened");
    }
}

pub fn frame_of_record(bytes: &[u8]) {
    if let Ok(plain) = unframe(bytes, RECORD_PLAIN_BYTES_MAX) {
        assert!(plain.len() <= 512 * 1024 * 1024);
    }
}

pub fn blob(bytes: &[u8]) {
    let code = bytes.first().copied().unwrap_or_default();
    let claimed = bytes.get(1).map_or(0, |byte| usize::from(*byte) * 40);
    if let Ok(plain) = decompress(code, bytes.get(5..).unwrap_or_default(), claimed) {
        assert_eq!(plain.len(), claimed);
    }
}

pub fn index(bytes: &[u8]) {
    let Ok(segment) = IndexSegment::decode(bytes) else { return };
    let twins = vec![(FileId([1; 32]), segment.clone()), (FileId([2; 32]), segment)];
    let Ok(index) = Index::from_segments(twins) else { return };
    let looked = index.each_chunk(|_, rows| {
        for (id, place) in rows {
            assert_eq!(index.find_all(id)?.filter(|one| one == place).count(), 1);
            let blob = index.blob(place.blob).unwrap();
            assert!(place.offset + place.length <= blob.plain_length);
        }
        Ok(())
    });
    looked.unwrap();
}

/// Those of a repository that admits write-only keys.
pub fn authority() -> Keys {
    keys().with_authority()
}

/// The salt of [`proven_segment`]'s file.
pub const PROVEN_SALT: [u8; 32] = [3; 32];

/// A segment where there are write-only keys: unless somebody with master keys has signed just
/// this, it adds deposits and claims, and takes nothing away.
pub fn proven_segment(bytes: &[u8]) {
    let keys = authority();
    let header = Header::new(RecordKind::Index, PROVEN_SALT);
    let Ok(segment) = IndexSegment::decode_for(&keys, &header, bytes) else { return };
    if segment.is_unproven {
        assert!(segment.replaces.is_empty());
        assert!(segment.notes.iter().all(|note| note.kind == NoteKind::Claim));
        assert!(segment.packs.iter().all(|pack| is_deposit(&pack.header)));
    } else {
        assert_eq!(segment.encode_for(&keys, &PROVEN_SALT), bytes, "a forgery was believed");
    }
}

pub fn kept_keys(bytes: &[u8]) {
    let Ok(keeping) = kept::decode(bytes) else { return };
    assert_eq!(kept::decode(&kept::encode(&keeping)).unwrap(), keeping);
}

pub fn snapshot(bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::decode(bytes) {
        assert!(!snapshot.tree.is_empty());
        // Any time can be shown.
        drop(snapshot.time.rfc3339());
        std::hint::black_box(snapshot.time.local());
    }
}

pub fn tree(bytes: &[u8]) {
    let Ok(tree) = Tree::decode(bytes) else { return };
    for node in &tree.0 {
        ghostsnap::base::path::check_name(&node.name).unwrap();
        assert!(node.extents.iter().all(|(at, length)| at + length <= node.meta.size));
        assert!(node.meta.mode <= 0o7777);
    }
    assert!(tree.0.windows(2).all(|pair| pair[0].name < pair[1].name));
}

pub fn config(bytes: &[u8]) {
    if let Ok(config) = Config::decode(bytes) {
        // What is accepted can be cut with.
        let chunker = ghostsnap::format::Chunker::new(&keys(), config.file_chunks);
        let data = [7; 100_000];
        assert!((1..=data.len()).contains(&chunker.cut(&data)));
    }
}

pub fn lock(bytes: &[u8]) {
    if let Ok(lock) = Lock::decode(bytes) {
        std::hint::black_box(lock.time.local());
        assert_eq!(Lock::decode(&lock.encode()).unwrap(), lock);
    }
}

pub fn row_table(bytes: &[u8]) {
    if let Ok(table) = RowTable::decode(bytes) {
        assert!(table.groups.iter().all(|(_, length)| *length > 0));
        assert_eq!(RowTable::decode(&table.encode()).unwrap(), table);
    }
}

pub fn row_map(bytes: &[u8]) {
    let Ok(map) = RowMap::decode(bytes) else { return };
    for span in &map.spans {
        let whole = map.chunks[span.chunk as usize].length;
        assert!(
            span.length > 0 && u64::from(span.from) + u64::from(span.length) <= u64::from(whole)
        );
    }
    assert_eq!(RowMap::decode(&map.encode()).unwrap(), map);
}

/// Whoever signed it: numbers that lie must not cost more than their bytes.
pub fn history(bytes: &[u8]) {
    let here = FileId([9; 32]);
    let Ok(signed) = SignedEntry::decode(bytes) else { return };
    let mut ledger = Ledger::new(&Memory::default());
    ledger.add(here, &signed, Some(FileId([5; 32])), |_| true);
    ledger.settle();
    let wrong = ledger.wrong();
    std::hint::black_box((wrong.problems().len(), wrong.gone()));
    std::hint::black_box(ledger.removed_if_accepted(&wrong));
}

pub fn memory(bytes: &[u8]) {
    drop(Memory::decode(bytes));
}

/// A pack as it is stored.
pub fn pack(bytes: &[u8]) {
    let size = bytes.len() as u64;
    let Ok(reader) = PackReader::new(&keys(), PackClass::Data, bytes) else { return };
    let footer = bytes.len().saturating_sub(8);
    if let Ok(length) = end_length(&bytes[footer..], size) {
        assert!(length <= size);
        drop(reader.open_end(&bytes[footer - length as usize..footer]));
    }
    let mut sealed = bytes.get(48..71).unwrap_or_default().to_vec();
    drop(reader.open_blob(0, &mut sealed));
}

/// The list in the end of a pack, as if somebody with the keys had sealed it.
pub fn pack_end(bytes: &[u8]) {
    static HEADER: LazyLock<[u8; 48]> =
        LazyLock::new(|| Header::new(PackClass::Data.kind(), [4; 32]).encode());
    let keys = keys();
    let mut text = frame(bytes, &mut Compressor::new(1).unwrap()).unwrap();
    let key = keys.file_key(Purpose::DataPack, 0, false, &[4; 32]).unwrap();
    let tag = key.seal(NonceIndex::End, &bound_data(&HEADER, NonceIndex::End), &mut text);
    text.extend_from_slice(&tag);
    let reader = PackReader::from_header(&keys, PackClass::Data, &HEADER).unwrap();
    let Ok(blobs) = reader.open_end(&text) else { return };
    assert!(blobs_end(&blobs) <= 4 << 30);
    for blob in blobs {
        let lengths: u64 = blob.chunks.iter().map(|(_, length)| u64::from(*length)).sum();
        assert_eq!(lengths, u64::from(blob.plain_length));
    }
}

/// What lies sealed in the end of a pack.
pub fn plain_end(pack: &[u8]) -> Vec<u8> {
    let header: &[u8; 48] = pack.first_chunk().unwrap();
    let salt = Header::decode(pack, PackClass::Data.kind()).unwrap().salt;
    let key = keys().file_key(Purpose::DataPack, 0, false, &salt).unwrap();
    let (before, footer) = pack.split_at(pack.len() - 8);
    let length = end_length(footer, pack.len() as u64).unwrap() as usize;
    let mut sealed = before[before.len() - length..].to_vec();
    let bound = bound_data(header, NonceIndex::End);
    unframe(key.open(NonceIndex::End, &bound, &mut sealed).unwrap(), RECORD_PLAIN_BYTES_MAX)
        .unwrap()
}

/// The secret of [`slot`].
pub fn secret() -> Secret {
    Secret::from_file_text(&Secret::key_file_text(&[8; 32])).unwrap()
}

/// The only slot that [`secret`] opens.
pub fn slot() -> Vec<u8> {
    let created = ghostsnap::base::Timestamp::from_seconds(1);
    let label = "l".to_owned();
    let slot = KeySlot { label, created, kdf: None, epoch: 0, write_only: false };
    let keys = Keys::new(MasterKey::new([5; 32]));
    seal_slot(&keys, &secret(), &slot, &World::seeded(1)).unwrap()
}

/// The same where there are write-only keys: it says who made it.
pub fn proven_slot(write_only: bool) -> Vec<u8> {
    let created = ghostsnap::base::Timestamp::from_seconds(1);
    let label = "l".to_owned();
    let slot = KeySlot { label, created, kdf: None, epoch: 0, write_only };
    seal_slot(&authority(), &secret(), &slot, &World::seeded(2)).unwrap()
}

/// What is wrapped in a write-only slot, as if somebody who knows its secret had wrapped it.
pub fn write_only_slot(bytes: &[u8]) {
    static PLAIN: LazyLock<Vec<u8>> = LazyLock::new(|| wrapped().0);
    let salt = Header::decode(&PLAIN, RecordKind::KeySlot).unwrap().salt;
    let mut text = bytes.to_vec();
    let key = SealKey::new(&derive_from_key_file(&[8; 32], &salt));
    let tag = key.seal(NonceIndex::Message(0), &PLAIN, &mut text);
    let stored = [&PLAIN[..], &text, &tag, &[0; 64]].concat();
    if let Ok(keys) = open_slot(&stored, &secret()) {
        let keys = keys.unwrap();
        assert!(keys.is_write_only() && keys.masters().next().is_none());
    }
}

/// A write-only slot: what is readable in it, and what is wrapped.
pub fn wrapped() -> (Vec<u8>, Vec<u8>) {
    let mut stored = proven_slot(true);
    stored.truncate(stored.len() - 64);
    let length = u32::from_le_bytes(*stored[48..].first_chunk().unwrap()) as usize;
    let mut sealed = stored.split_off(52 + length);
    let salt = Header::decode(&stored, RecordKind::KeySlot).unwrap().salt;
    let key = SealKey::new(&derive_from_key_file(&[8; 32], &salt));
    let plain = key.open(NonceIndex::Message(0), &stored, &mut sealed).unwrap().to_vec();
    (stored, plain)
}

pub fn key_slot(bytes: &[u8]) {
    static SLOTS: LazyLock<Vec<Vec<u8>>> =
        LazyLock::new(|| vec![slot(), proven_slot(false), proven_slot(true)]);
    drop(describe_slot(bytes));
    let described = describe_proven_slot(&authority(), bytes);
    let opened = open_slot(bytes, &secret());
    let is_ours = SLOTS.iter().any(|slot| slot == bytes);
    assert!(is_ours || !matches!(described, Ok(Some(_))), "a forgery was believed");
    // Whose it is shows when it opens, whatever proof it has.
    let unproven = |slot: &[u8]| slot.len().checked_sub(64).map(|end| slot[..end].to_vec());
    let is_ours = is_ours || SLOTS[1..].iter().any(|slot| unproven(slot) == unproven(bytes));
    assert!(is_ours || !matches!(opened, Ok(Some(_))), "a forgery was opened");
}

pub fn key_file(bytes: &[u8]) {
    drop(Secret::from_file_text(&String::from_utf8_lossy(bytes)));
}

pub fn recovery_kit(bytes: &[u8]) {
    if let Ok(Secret::KeyFile(key)) = kit::read(&String::from_utf8_lossy(bytes)) {
        // What was typed is what is printed.
        let lines: Vec<String> = kit::key_lines(&key).iter().map(|line| line.to_string()).collect();
        assert!(matches!(kit::read(&lines.join("\n")), Ok(Secret::KeyFile(same)) if same == key));
    }
}

fn a_path() -> &'static Path {
    Path::new("/etc/ghostsnap/x.toml")
}

/// What is changed of the settings is no worse than it was.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop(Settings::parse(&text, a_path()));
    let name = setting_edit::path_of("keep.daily").unwrap();
    if let Ok(after) = setting_edit::changed(&text, &name, Some(&7.into())) {
        let is_good = |text: &str| Settings::parse(text, a_path()).is_ok();
        assert!(!is_good(&text) || is_good(&after), "{text}\n->\n{after}");
    }
}

pub fn schedule(bytes: &[u8]) {
    if let Ok(one) = Schedule::parse("x", &String::from_utf8_lossy(bytes), a_path()) {
        assert!(!one.jobs("x").is_empty());
    }
}

/// A repository with a name.
pub fn repository_entry(bytes: &[u8]) {
    let name = || RepositoryName::parse("offsite").unwrap();
    let text = String::from_utf8_lossy(bytes);
    if let Ok(entry) = Named::parse(name(), &text, a_path()) {
        // What was read is written so that it reads back as the same.
        let again = Named::parse(name(), &entry.text(), a_path());
        assert_eq!(again.unwrap().text(), entry.text());
    }
}

pub fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop(ByteSize::parse(&text));
    drop(FileId::parse(&text));
    drop(name_matches(&text, "some name"));
    if let Ok(path) = RelPath::parse(bytes) {
        assert!(path.names().all(|name| name != b".." && !name.is_empty()));
        if let Ok(selection) = Selection::new(&[&text], &[&text]) {
            std::hint::black_box(selection.verdict(&path, true));
        }
    }
}

/// Reads all a source yields; content in small pieces, as much as it says and no more.
pub fn drain(source: &mut dyn Source) -> Result<usize> {
    let monitor = Collect::default();
    let mut count = 0;
    while let Some(entry) = source.next_entry(&monitor)? {
        count += 1;
        if let Content::Stream(mut content) | Content::Rows(mut content) = entry.content {
            let mut buffer = [0; 4096];
            let mut read = 0;
            loop {
                match content.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => read += n as u64,
                    Err(_) => break,
                }
                assert!(read < 1 << 30, "{} never ends", entry.path);
            }
        }
    }
    Ok(count)
}

pub fn tar(bytes: &[u8]) {
    drop(drain(&mut TarSource::new(bytes)));
}

pub fn hestia_tarball(bytes: &[u8]) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(mut source) = HestiaTarball::open(file, "bob") {
        drop(drain(&mut source));
        drop(source.objects());
    }
}

/// Rows and `KEY='value'` files.
pub fn hestia_rows(bytes: &[u8]) {
    let rows = conf::parse_rows(bytes);
    for row in &rows.rows {
        // What was read is written so that it reads back as the same.
        assert_eq!(conf::Row::parse(row.to_line().as_bytes()).as_ref(), Ok(row));
    }
    drop(conf::parse_keys(bytes));
    let leading = conf::Row::parse_leading(bytes);
    assert_eq!(conf::Row::parse(leading.to_line().as_bytes()), Ok(leading));
    let text = String::from_utf8_lossy(bytes);
    drop(conf::cron_command(&text));
}

/// What is left of a dump on its way into a database is the same however it comes in.
fn dump(kind: DbKind, bytes: &[u8]) {
    let run = |size: usize| {
        let mut editor = Editor::new(kind, None);
        let mut passed = Vec::new();
        for piece in bytes.chunks(size) {
            editor.push(piece, &mut passed)?;
        }
        editor.finish(&mut passed).map(|_| passed)
    };
    match (run(bytes.len().max(1)), run(7)) {
        (Ok(whole), Ok(pieces)) => assert!(whole == pieces, "pieces pass other bytes on"),
        (whole, pieces) => assert_eq!(whole.is_ok(), pieces.is_ok()),
    }
}

pub fn dump_mysql(bytes: &[u8]) {
    dump(DbKind::Mysql, bytes);
}

pub fn dump_pgsql(bytes: &[u8]) {
    dump(DbKind::Pgsql, bytes);
}
