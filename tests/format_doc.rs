// SPDX-License-Identifier: MIT
//! Proves docs/format.md: a reader written from that page alone, sharing no code with the program,
//! restores files from a repository that the program made. Section numbers are those of the page.
#![allow(missing_docs, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::as_conversions, clippy::panic)]

mod common;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../docs/format.md");

type Id = [u8; 32];

/// Section 12: a protobuf message as (number, value) pairs.
struct Record(Vec<(u64, u64, Vec<u8>)>);

impl Record {
    fn parse(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let value = varint(&mut bytes);
            match tag & 7 {
                0 => fields.push((tag >> 3, value, Vec::new())),
                2 => fields.push((tag >> 3, 0, take(&mut bytes, value as usize).to_vec())),
                other => panic!("wire type {other} does not occur"),
            }
        }
        Self(fields)
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |field| field.0 == number).map(|field| field.2.as_slice())
    }

    fn bytes(&self, number: u64) -> &[u8] {
        self.all(number).last().unwrap_or_default()
    }

    fn number(&self, number: u64) -> u64 {
        self.0.iter().rfind(|field| field.0 == number).map_or(0, |field| field.1)
    }

    fn packed(&self, number: u64) -> Vec<u64> {
        let mut bytes = self.bytes(number);
        std::iter::from_fn(|| (!bytes.is_empty()).then(|| varint(&mut bytes))).collect()
    }

    fn ids(&self, number: u64) -> Vec<Id> {
        ids(self.bytes(number))
    }
}

fn ids(bytes: &[u8]) -> Vec<Id> {
    assert_eq!(bytes.len() % 32, 0);
    bytes.chunks(32).map(|id| id.try_into().unwrap()).collect()
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (head, tail) = bytes.split_at(length);
    *bytes = tail;
    head
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Section 3.1.
fn deposit_key(master: &Id, header: &[u8]) -> Id {
    let private = blake3::derive_key("ghostsnap v1 deposit private key", master);
    let private = x25519_dalek::StaticSecret::from(private);
    let public = x25519_dalek::PublicKey::from(&private);
    let ephemeral: Id = header[16..48].try_into().unwrap();
    let shared = private.diffie_hellman(&ephemeral.into());
    let parts = [shared.as_bytes(), &ephemeral, public.as_bytes(), &header[4..5]];
    blake3::derive_key("ghostsnap v1 deposit file key", &parts.concat())
}

/// Section 6.2: what counts of a segment in a repository that admits write-only keys.
fn is_proven(master: &Id, file: &[u8], record: &[u8]) -> bool {
    use ed25519_dalek::{Signature, SigningKey};
    let Some(at) = record.len().checked_sub(66) else { return false };
    let (proven, proof) = record.split_at(at);
    let seed = blake3::derive_key("ghostsnap v1 index authority", master);
    let authority = SigningKey::from_bytes(&seed).verifying_key();
    let digest = blake3::hash(&[&file[16..48], proven].concat());
    let claim = [&b"ghostsnap v1 index authority proof"[..], digest.as_bytes()].concat();
    let signature = Signature::from_slice(&proof[2..]).unwrap();
    proof[..2] == [0x2a, 0x40] && authority.verify_strict(&claim, &signature).is_ok()
}

/// Section 3.
fn file_key(master: &Id, context: &str, header: &[u8]) -> Id {
    if header[8] & 4 != 0 && [3, 5, 6].contains(&header[4]) {
        return deposit_key(master, header);
    }
    let sub_key = blake3::derive_key(context, master);
    *blake3::keyed_hash(&sub_key, &header[16..48]).as_bytes()
}

/// Section 4.
fn open(key: &Id, index: u64, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&index.to_le_bytes());
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    cipher.decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad: bound }).ok()
}

fn open_message(key: &Id, header: &[u8], index: u64, sealed: &[u8]) -> Vec<u8> {
    let bound = [&header[..16], &index.to_le_bytes()].concat();
    open(key, index, &bound, sealed).expect("the message opens")
}

fn inflate(compression: u64, stored: &[u8], length: usize) -> Vec<u8> {
    let plain = match compression {
        0 => stored.to_vec(),
        1 => zstd::bulk::decompress(stored, length).unwrap(),
        other => panic!("compression {other} is newer"),
    };
    assert_eq!(plain.len(), length);
    plain
}

fn unframe(framed: &[u8]) -> Record {
    Record::parse(&unframed(framed))
}

fn unframed(framed: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(framed[1..5].try_into().unwrap());
    inflate(framed[0].into(), &framed[5..], length as usize)
}

/// Section 2.
fn check_header(file: &[u8], kind: u8) {
    assert_eq!(&file[..4], b"GSNP");
    assert_eq!(file[5], 1, "version");
    let features = u64::from_le_bytes(file[8..16].try_into().unwrap());
    let known = match kind {
        2 => 4 | 8,
        1 | 5 | 6 => 4,
        3 => 1 | 4,
        4 => 2,
        _ => 0,
    };
    assert_eq!(features & !known, 0, "features");
    assert_eq!(file[4], kind);
}

fn open_record(master: &Id, kind: u8, context: &str, file: &[u8]) -> Record {
    check_header(file, kind);
    let key = file_key(master, context, file);
    unframe(&open_message(&key, file, 0, &file[48..]))
}

/// An index segment, as far as it counts, and whether all of it does.
fn open_segment(master: &Id, has_authority: bool, file: &[u8]) -> (Record, bool) {
    check_header(file, 4);
    let key = file_key(master, "ghostsnap v1 index", file);
    let record = unframed(&open_message(&key, file, 0, &file[48..]));
    let is_proven = !has_authority || is_proven(master, file, &record);
    (Record::parse(&record), is_proven)
}

/// Section 1: all files of a folder, their bytes checked against their names.
fn files(folder: &Path) -> Vec<(Id, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let id = *blake3::hash(&bytes).as_bytes();
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), hex(&id));
        found.push((id, bytes));
    }
    found
}

/// A slot without who made it.
fn without_proof(slot: &[u8]) -> &[u8] {
    let proof = if slot[8] & 8 != 0 { 64 } else { 0 };
    &slot[..slot.len() - proof]
}

fn check_proof(master: &Id, slot: &[u8]) {
    use ed25519_dalek::{Signature, SigningKey};
    let signed = without_proof(slot);
    if let Ok(proof) = Signature::from_slice(&slot[signed.len()..]) {
        let seed = blake3::derive_key("ghostsnap v1 index authority", master);
        let authority = SigningKey::from_bytes(&seed).verifying_key();
        let claim = [b"ghostsnap v1 key slot proof", signed].concat();
        authority.verify_strict(&claim, &proof).unwrap();
    }
}

/// Section 5.
fn master_key(root: &Path, key_file: Option<&str>, password: &[u8]) -> Id {
    for (_, file) in files(&root.join("keys")) {
        check_header(&file, 2);
        let length = u32::from_le_bytes(file[48..52].try_into().unwrap()) as usize;
        let (clear, sealed) = without_proof(&file).split_at(52 + length);
        let (slot, salt) = (Record::parse(&clear[52..]), &clear[16..48]);
        let key = match (slot.number(3), key_file) {
            (2, Some(text)) => {
                let secret = text.strip_prefix("ghostsnap-key-file v1\n").unwrap();
                let secret: Vec<u8> = (0..64)
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&secret[at..at + 2], 16).unwrap())
                    .collect();
                blake3::derive_key("ghostsnap v1 key file slot", &[&secret, salt].concat())
            }
            (1, None) => {
                let cost = |number| slot.number(number) as u32;
                let params = argon2::Params::new(cost(4), cost(5), cost(6), Some(32)).unwrap();
                let (kind, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
                let mut key = [0; 32];
                argon2::Argon2::new(kind, version, params)
                    .hash_password_into(password, salt, &mut key)
                    .unwrap();
                key
            }
            _ => continue,
        };
        // One that can only add is of no use to a reader.
        if file[8] & 4 != 0 {
            continue;
        }
        if let Some(wrapped) = open(&key, 0, clear, sealed) {
            let wrapped = Record::parse(&wrapped);
            let master = Record::parse(wrapped.bytes(1)).bytes(2).try_into().unwrap();
            assert_eq!(file[8] & 8 != 0, wrapped.number(3) == 1);
            files(&root.join("keys")).iter().for_each(|(_, slot)| check_proof(&master, slot));
            return master;
        }
    }
    panic!("no slot opens");
}

/// Where a chunk lies (sections 6.2 and 7).
#[derive(Debug, Clone, PartialEq)]
struct Place {
    pack: Id,
    class: u64,
    ordinal: u64,
    stored: (usize, usize),
    plain_length: usize,
    compression: u64,
    within: (usize, usize),
}

type Index = HashMap<Id, Place>;

fn add_blobs(index: &mut Index, pack: Id, class: u64, blobs: &[Record]) -> usize {
    let mut offset = 48;
    for (ordinal, blob) in (0..).zip(blobs) {
        let (stored, plain_length) = (blob.number(1) as usize, blob.number(2) as usize);
        let ids = blob.ids(4);
        let lengths = if ids.len() == 1 { vec![plain_length as u64] } else { blob.packed(5) };
        assert_eq!(ids.len(), lengths.len());
        let mut start = 0;
        for (id, length) in ids.into_iter().zip(lengths) {
            let end = start + length as usize;
            let place = Place {
                pack,
                class,
                ordinal,
                stored: (offset, offset + stored),
                plain_length,
                compression: blob.number(3),
                within: (start, end),
            };
            index.insert(id, place);
            start = end;
        }
        assert_eq!(start, plain_length);
        offset += stored;
    }
    offset
}

/// A repository, read as section 13 says.
struct Reader {
    root: PathBuf,
    master: Id,
    config: Record,
    index: Index,
}

impl Reader {
    fn open(root: &Path, key_file: Option<&str>, password: &[u8]) -> Self {
        let master = master_key(root, key_file, password);
        let file = fs::read(root.join("config")).unwrap();
        let config = open_record(&master, 1, "ghostsnap v1 config", &file);
        let has_authority = config.number(6) == 1;
        assert_eq!(has_authority, file[8] == 4, "the header says it, too");
        let mut segments: Vec<(Id, (Record, bool))> = files(&root.join("index"))
            .into_iter()
            .map(|(id, file)| (id, open_segment(&master, has_authority, &file)))
            .collect();
        // What is proven is believed first.
        segments.sort_by_key(|(_, (_, is_proven))| *is_proven);
        let replaced: Vec<Id> = segments
            .iter()
            .filter(|(_, (_, is_proven))| *is_proven)
            .flat_map(|(_, (segment, _))| segment.all(2).map(|id| id.try_into().unwrap()))
            .collect();
        let mut index = Index::new();
        for (_, (segment, _)) in segments.iter().filter(|(id, _)| !replaced.contains(id)) {
            for pack in segment.all(1).map(Record::parse) {
                assert_eq!((pack.bytes(6).len(), pack.number(5)), (48, 0));
                let blobs: Vec<Record> = pack.all(4).map(Record::parse).collect();
                let id = pack.bytes(1).try_into().unwrap();
                let end = add_blobs(&mut index, id, pack.number(2), &blobs);
                assert!(end as u64 <= pack.number(3));
            }
        }
        Self { root: root.to_owned(), master, config, index }
    }

    fn pack_key(&self, class: u64, header: &[u8]) -> Id {
        check_header(header, 4 + class as u8);
        let contexts = ["ghostsnap v1 data pack", "ghostsnap v1 meta pack"];
        file_key(&self.master, contexts[class as usize - 1], header)
    }

    /// Section 7: the index once more, from pack ends alone.
    fn index_from_packs(&self) -> Index {
        let mut index = Index::new();
        for (id, pack) in files(&self.root.join("packs")) {
            let (rest, footer) = pack.split_at(pack.len() - 8);
            assert_eq!(&footer[4..], b"GSNE");
            let length = u32::from_le_bytes(footer[..4].try_into().unwrap()) as usize;
            let (blobs, end) = rest.split_at(rest.len() - length);
            let class = u64::from(pack[4]) - 4;
            let key = self.pack_key(class, &pack);
            let list = unframe(&open_message(&key, &pack, u64::MAX, end));
            let list: Vec<Record> = list.all(1).map(Record::parse).collect();
            assert_eq!(add_blobs(&mut index, id, class, &list), blobs.len());
        }
        index
    }

    /// Section 8.1, verified.
    fn chunk(&self, class: u64, id: &Id) -> Vec<u8> {
        let place = &self.index[id];
        assert_eq!(place.class, class);
        let name = hex(&place.pack);
        let pack = fs::read(self.root.join("packs").join(&name[..2]).join(&name)).unwrap();
        let key = self.pack_key(class, &pack);
        let sealed = &pack[place.stored.0..place.stored.1];
        let packed = open_message(&key, &pack, place.ordinal, sealed);
        let plain = inflate(place.compression, &packed, place.plain_length);
        let chunk = plain[place.within.0..place.within.1].to_vec();
        let contexts = ["ghostsnap v1 data chunk id", "ghostsnap v1 tree chunk id"];
        let key = blake3::derive_key(contexts[class as usize - 1], &self.master);
        assert_eq!(blake3::keyed_hash(&key, &chunk).as_bytes(), id);
        chunk
    }

    fn only_snapshot(&self) -> Record {
        let found = files(&self.root.join("snapshots"));
        assert_eq!(found.len(), 1);
        open_record(&self.master, 3, "ghostsnap v1 snapshot", &found[0].1)
    }

    /// Section 8.2.
    fn folder(&self, chunks: &[Id]) -> Vec<Record> {
        let trees = chunks.iter().map(|id| Record::parse(&self.chunk(2, id)));
        let nodes: Vec<Record> =
            trees.flat_map(|tree| tree.all(1).map(Record::parse).collect::<Vec<_>>()).collect();
        assert!(nodes.windows(2).all(|pair| pair[0].bytes(1) < pair[1].bytes(1)));
        nodes
    }

    fn find(&self, snapshot: &Record, path: &Path) -> Record {
        let mut chunks = snapshot.ids(10);
        let mut found = None;
        for name in path.strip_prefix("/").unwrap() {
            let nodes = self.folder(&chunks);
            let node = nodes.into_iter().find(|node| node.bytes(1) == name.as_encoded_bytes());
            let node = node.unwrap_or_else(|| panic!("{name:?} of {path:?} is there"));
            chunks = node.ids(17);
            found = Some(node);
        }
        found.unwrap()
    }

    /// Sections 8.3 and 8.4: the chunks of a file.
    fn chunk_list(&self, node: &Record) -> Vec<Id> {
        if node.number(18) == 0 {
            return node.ids(17);
        }
        let lists = node.ids(17).into_iter().map(|id| self.chunk(2, &id));
        lists.flat_map(|list| ids(list.strip_prefix(b"ids\0").unwrap())).collect()
    }

    /// Section 8.5: the content of a file of rows, and its groups as the tables tell them.
    fn rows(&self, node: &Record) -> (Vec<u8>, Vec<usize>) {
        let (mut data, mut groups) = (Vec::new(), Vec::new());
        for id in node.ids(17) {
            let map = self.chunk(2, &id);
            let map = Record::parse(map.strip_prefix(b"map\0").unwrap());
            let chunks: Vec<_> = map.ids(1).iter().map(|id| self.chunk(1, id)).collect();
            let lengths: Vec<_> = chunks.iter().map(|chunk| chunk.len() as u64).collect();
            assert_eq!(map.packed(3), lengths);
            for span in map.packed(4).chunks(3) {
                let (from, length) = (span[1] as usize, span[2] as usize);
                data.extend_from_slice(&chunks[span[0] as usize][from..from + length]);
            }
            let key = blake3::derive_key("ghostsnap v1 row group name", &self.master);
            for (chunk, table) in chunks.iter().zip(map.ids(2)) {
                let table = self.chunk(2, &table);
                let (mut table, mut rest) = (table.strip_prefix(b"tab\0").unwrap(), &chunk[..]);
                while !table.is_empty() {
                    let name = take(&mut table, 10);
                    let group = take(&mut rest, varint(&mut table) as usize);
                    assert_eq!(&blake3::keyed_hash(&key, group).as_bytes()[..10], name);
                    groups.push(group.len());
                }
                assert!(rest.is_empty());
            }
        }
        assert_eq!(data.len() as u64, node.number(10));
        (data, groups)
    }

    fn content(&self, node: &Record) -> Vec<u8> {
        if node.number(21) == 1 {
            return self.rows(node).0;
        }
        let mut data = Vec::new();
        for id in self.chunk_list(node) {
            data.extend(self.chunk(1, &id));
        }
        let extents = node.packed(19);
        if extents.is_empty() {
            assert_eq!(data.len() as u64, node.number(10));
            return data;
        }
        let (mut file, mut data) = (vec![0; node.number(10) as usize], data.as_slice());
        for pair in extents.chunks(2) {
            let (offset, length) = (pair[0] as usize, pair[1] as usize);
            file[offset..offset + length].copy_from_slice(take(&mut data, length));
        }
        assert!(data.is_empty());
        file
    }
}

/// Section 9: the length of the next chunk.
fn cut(gear: &[u64], sizes: [u64; 3], masks: (u64, u64), data: &[u8]) -> usize {
    let [smallest, average, largest] = sizes.map(|size| size as usize);
    let n = data.len().min(largest);
    if n <= smallest {
        return n;
    }
    let center = average.min(n) / 2 * 2;
    let mut hash: u64 = 0;
    for i in smallest..n / 2 * 2 {
        hash = (hash << 1).wrapping_add(gear[usize::from(data[i])]);
        let mask = if i < center { masks.0 } else { masks.1 };
        if hash & mask == 0 {
            return i;
        }
    }
    n
}

/// Section 8.5: the length of the next group.
fn cut_rows(gear: &[u64], average: u64, data: &[u8]) -> usize {
    let half = average / 2;
    let odd: u64 = 0x9e37_79b9_7f4a_7c15;
    let n = data.len().min(65_536);
    let mut row_start = 0;
    for i in 0..n {
        let end = match data[i] {
            b'\n' => i + 1,
            b'(' if data[..i].ends_with(b"),") => i,
            _ => continue,
        };
        let row = &data[row_start..end];
        row_start = end;
        let mut state = gear[0] ^ row.len() as u64;
        let whole = row.len() / 8 * 8;
        for word in row[..whole].chunks(8) {
            let word = u64::from_le_bytes(word.try_into().unwrap());
            state = (state ^ word).wrapping_mul(odd);
            state ^= state >> 29;
        }
        let mut last = [0; 8];
        last[..row.len() - whole].copy_from_slice(&row[whole..]);
        state = (state ^ u64::from_le_bytes(last)).wrapping_mul(odd);
        state ^= state >> 32;
        let mix = state.wrapping_mul(odd);
        let length = row.len() as u64;
        if end as u64 >= half && (length >= half || mix < length * (u64::MAX / half)) {
            return end;
        }
    }
    n
}

/// Section 3.
fn gear(master: &Id) -> Vec<u64> {
    let mut hasher = blake3::Hasher::new_derive_key("ghostsnap v1 chunker gear table");
    hasher.update(master);
    let mut bytes = [0; 2048];
    hasher.finalize_xof().fill(&mut bytes);
    bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

// ---- Only from here on is the program itself used: to make a repository, and to compare. ----

use common::*;
use ghostsnap::backend::local::Local;
use ghostsnap::format::keyslot::Secret;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A file with so many holes that its list of chunks needs chunks of its own.
fn file_of_many_holes(path: &Path) {
    let file = fs::File::create(path).unwrap();
    file.set_len(700 * 65_536).unwrap();
    for n in 0..700 {
        file.write_all_at(&noise(&format!("island {n}"), 4096), n * 65_536).unwrap();
    }
}

#[test]
fn a_reader_made_from_the_page_alone_restores_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder_path = fs::canonicalize(folder.path()).unwrap();
    let (source, root) = (folder_path.join("source"), folder_path.join("repository"));
    sample_tree(&source);
    file_of_many_holes(&source.join("site/holes.img"));
    let rows = (0..9000).map(|n| format!("({n},'{}')", hex(&noise(&format!("row {n}"), 20))));
    let dump = format!("INSERT INTO `t` VALUES {};\n", rows.collect::<Vec<_>>().join(","));
    fs::write(source.join("site/dump.sql"), &dump).unwrap();
    fs::create_dir(source.join("crowd")).unwrap();
    for n in 0..1500 {
        fs::write(source.join(format!("crowd/{n}")), format!("member {n}")).unwrap();
    }
    let backend: Arc<dyn ghostsnap::backend::Backend> = Arc::new(Local::new(&root));
    let repository = init(Arc::clone(&backend));
    backup_now(&backend, &source);
    repository.add_key(&Secret::password("correct horse"), "a person").unwrap();

    let reader = Reader::open(&root, Some(&Secret::key_file_text(&[42; 32])), b"");
    assert_eq!(master_key(&root, None, b"correct horse"), reader.master);
    assert_eq!(reader.index_from_packs(), reader.index);
    let snapshot = reader.only_snapshot();
    assert_eq!(snapshot.bytes(7), b"paths");
    for name in [
        "site/public_html/index.php",
        "site/public_html/big.jpg",
        "site/empty",
        "site/two",
        "site/sparse.img",
        "site/holes.img",
        "site/dump.sql",
        "mail/cur/0007.host:2,S",
        "crowd/1499",
    ] {
        let node = reader.find(&snapshot, &source.join(name));
        assert!(reader.content(&node) == fs::read(source.join(name)).unwrap(), "{name}");
    }
    assert_eq!(
        reader.find(&snapshot, &source.join("site/dangling")).bytes(14),
        b"../does/not/exist"
    );
    assert_eq!(reader.find(&snapshot, &source.join("site/.htaccess")).number(3), 0o4750);
    let (_, groups) = reader.rows(&reader.find(&snapshot, &source.join("site/dump.sql")));
    let (gear, mut rest) = (gear(&reader.master), dump.as_bytes());
    for group in groups {
        assert_eq!(cut_rows(&gear, 768, rest), group);
        rest = &rest[group..];
    }
    assert!(rest.is_empty());
    let crowd = reader.find(&snapshot, &source.join("crowd"));
    assert_eq!(reader.folder(&crowd.ids(17)).len(), 1500);
    check_borders_of_trees(&reader, &crowd.ids(17));
    let holes = reader.find(&snapshot, &source.join("site/holes.img"));
    // File systems that cannot tell holes give one long file instead.
    assert_eq!(holes.number(18) == 1, !holes.packed(19).is_empty());
    check_borders_of_files(&reader, &snapshot, &source.join("site/public_html/big.jpg"));
}

#[test]
fn that_reader_restores_what_write_only_keys_have_stored() {
    let folder = tempfile::tempdir().unwrap();
    let folder_path = fs::canonicalize(folder.path()).unwrap();
    let (source, root) = (folder_path.join("source"), folder_path.join("repository"));
    sample_tree(&source);
    let backend: Arc<dyn ghostsnap::backend::Backend> = Arc::new(Local::new(&root));
    let world = |seed| Arc::new(ghostsnap::base::World::seeded(seed));
    let heard = ghostsnap::base::monitor::Collect::default();
    let made = ghostsnap::repo::Repository::init_for_write_only_keys(
        Arc::clone(&backend),
        &secret(),
        "owner",
        world(1),
    );
    let made = made.unwrap();
    let server = Secret::from_file_text(&Secret::key_file_text(&[43; 32])).unwrap();
    made.add_write_only_key(&server, "server").unwrap();
    let adding =
        ghostsnap::repo::Repository::open(Arc::clone(&backend), &server, world(2)).unwrap();
    try_backup(&adding.indexed_to_write("backup", &heard).unwrap(), &source).unwrap();
    // What somebody with the server's key says against it counts for nothing.
    let thief = ghostsnap::repo::Repository::open(Arc::clone(&backend), &server, world(3)).unwrap();
    let replaces = files(&root.join("index")).into_iter();
    let replaces = replaces.map(|(id, _)| ghostsnap::base::FileId(id)).collect();
    let lie = ghostsnap::format::IndexSegment { replaces, ..Default::default() };
    thief.store_segment(&lie).unwrap();
    let look = || {
        let reader = Reader::open(&root, Some(&Secret::key_file_text(&[42; 32])), b"");
        assert_eq!(reader.index_from_packs(), reader.index);
        let snapshot = reader.only_snapshot();
        for name in ["site/public_html/index.php", "site/public_html/big.jpg", "site/two"] {
            let node = reader.find(&snapshot, &source.join(name));
            assert!(reader.content(&node) == fs::read(source.join(name)).unwrap(), "{name}");
        }
    };
    look();
    // And what the owner proves.
    let options = ghostsnap::ops::prune::PruneOptions::default();
    ghostsnap::ops::prune::prune(made, &options, false, &heard).unwrap();
    look();
}

/// Section 8.2: where a large folder is split.
fn check_borders_of_trees(reader: &Reader, chunks: &[Id]) {
    assert!(chunks.len() > 1);
    for id in &chunks[..chunks.len() - 1] {
        let nodes = reader.folder(&[*id]);
        let ends = |node: &Record| blake3::hash(node.bytes(1)).as_bytes()[0] == 0;
        let border = nodes.iter().skip(63).position(ends).map_or(1024, |place| place + 64);
        assert_eq!(nodes.len(), border.min(1024));
    }
}

/// Section 9: where a file is cut.
fn check_borders_of_files(reader: &Reader, snapshot: &Record, path: &Path) {
    let sizes = [3, 4, 5].map(|number| reader.config.number(number));
    assert_eq!(sizes, [524_288, 1_048_576, 4_194_304]);
    let (gear, content) = (gear(&reader.master), fs::read(path).unwrap());
    let mut data = content.as_slice();
    let chunks = reader.find(snapshot, path).ids(17);
    assert!(chunks.len() > 1);
    for id in chunks {
        let length = cut(&gear, sizes, (0x0000_d917_6753_7000, 0x0000_d917_0753_7000), data);
        assert_eq!(take(&mut data, length), reader.chunk(1, &id));
    }
    assert!(data.is_empty());
}

#[test]
fn the_masks_of_the_page_cut_as_the_program_does() {
    use ghostsnap::crypto::{Keys, MasterKey};
    use ghostsnap::format::chunker::{ChunkSizes, Chunker};
    let words: Vec<&str> = PAGE.split(['|', '\n']).map(str::trim).collect();
    let mask_of = |size: &str| {
        let place = words.iter().position(|word| *word == size).unwrap();
        u64::from_str_radix(words[place + 1].trim_matches('`').trim_start_matches("0x"), 16)
            .unwrap()
    };
    let names: Vec<String> = (6..24)
        .map(|bits: u32| match bits {
            0..10 => format!("{} B", 1 << bits),
            10..20 => format!("{} KiB", 1 << (bits - 10)),
            _ => format!("{} MiB", 1 << (bits - 20)),
        })
        .collect();
    let gear = gear(&[7; 32]);
    for bits in 8..=22_u32 {
        let average = 1 << bits;
        let min = (average / 4).max(64);
        let max = (average * 2).max(1024);
        let chunker =
            Chunker::new(&Keys::new(MasterKey::new([7; 32])), ChunkSizes { min, average, max });
        let place = bits as usize - 6;
        let masks = (mask_of(&names[place + 1]), mask_of(&names[place - 1]));
        let data = noise("masks", (average * 5 + 333) as usize);
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            let length = chunker.cut(rest);
            let sizes = [min, average, max].map(u64::from);
            assert_eq!(length, cut(&gear, sizes, masks, rest), "average {average}");
            rest = &rest[length..];
        }
    }
}

#[test]
fn the_test_vectors_of_the_page_are_true() {
    let master = [1; 32];
    let header = [b"GSNP\x03\x01\0\0\0\0\0\0\0\0\0\0".as_slice(), &[2; 32]].concat();
    let context = "ghostsnap v1 snapshot";
    let key = file_key(&master, context, &header);
    let keys = ghostsnap::crypto::Keys::new(ghostsnap::crypto::MasterKey::new(master));
    let kind = ghostsnap::format::RecordKind::Snapshot;
    let sealed = ghostsnap::format::envelope::seal_record(&keys, kind, [2; 32], b"hello").unwrap();
    assert_eq!(open_message(&key, &sealed, 0, &sealed[48..]), b"\0\x05\0\0\0hello");
    let id = |context, plain: &[u8]| {
        hex(blake3::keyed_hash(&blake3::derive_key(context, &master), plain).as_bytes())
    };
    assert_eq!(id("ghostsnap v1 data chunk id", b"hello"), keys.data_id(b"hello").to_string());
    let slot = blake3::derive_key("ghostsnap v1 key file slot", &[[1; 32], [2; 32]].concat());
    let ephemeral = x25519_dalek::StaticSecret::from([2; 32]);
    let salt = x25519_dalek::PublicKey::from(&ephemeral).to_bytes();
    let only = ghostsnap::crypto::Keys::write_only(keys.write_only_parts().unwrap()).unwrap();
    let deposit = ghostsnap::format::envelope::seal_record(&only, kind, [2; 32], b"hello").unwrap();
    assert_eq!(deposit[16..48], salt);
    let deposit_key = deposit_key(&master, &deposit);
    assert_eq!(open_message(&deposit_key, &deposit, 0, &deposit[48..]), b"\0\x05\0\0\0hello");
    let parts = keys.write_only_parts().unwrap();
    let vectors = [
        ("public key for deposits", hex(&parts.deposit)),
        ("salt of a deposit with the ephemeral private key `02` 32 times", hex(&salt)),
        ("file key of that deposit, a snapshot", hex(&deposit_key)),
        ("public key of the authority", hex(&parts.epochs[0].2)),
        ("sub-key for snapshots", hex(&blake3::derive_key(context, &master))),
        ("file key of a snapshot", hex(&key)),
        ("id of the data chunk `hello`", id("ghostsnap v1 data chunk id", b"hello")),
        ("id of an empty tree", id("ghostsnap v1 tree chunk id", b"")),
        ("first word of the gear table", format!("{:016x}", gear(&master)[0])),
        ("last word of the gear table", format!("{:016x}", gear(&master)[255])),
        ("wrapping key of a key file of 32 bytes `01`", hex(&slot)),
        ("a snapshot file with the plain record `hello`, from byte 48", hex(&sealed[48..])),
    ];
    let rows = vectors.map(|(what, value)| format!("| {what} | `{value}` |"));
    let lacking: Vec<String> = rows.into_iter().filter(|row| !PAGE.contains(row)).collect();
    assert!(
        lacking.is_empty(),
        "the page lacks:
{}",
        lacking.join(
            "
"
        )
    );
}

#[test]
fn the_page_names_every_field_of_every_record() {
    // The schema of the page against the numbers in the source: nothing missing, nothing invented.
    let sources = [
        "config", "keyslot", "index", "lock", "pack", "snapshot", "tree", "rows", "history", "kept",
    ]
    .map(|name| {
        fs::read_to_string(format!("{}/src/format/{name}.rs", env!("CARGO_MANIFEST_DIR"))).unwrap()
    });
    let mut in_code = Vec::new();
    for source in &sources {
        let (mut record, mut tag) = ("", 0);
        for line in source.lines().map(str::trim) {
            if let Some(at) = line.find("struct ") {
                record = line[at + 7..].trim_end_matches(" {");
            } else if let Some((_, rest)) = line.split_once("tag = \"") {
                tag = rest.split('"').next().unwrap().parse().unwrap();
            } else if let (true, Some((name, _))) = (tag > 0, line.split_once(": ")) {
                in_code.push(format!("{record} {name} {tag}"));
                tag = 0;
            }
        }
    }
    let mut on_page = Vec::new();
    let schema = PAGE.split("```proto").nth(1).unwrap().split("```").next().unwrap();
    let mut record = "";
    for line in schema.lines().map(|line| line.split("//").next().unwrap().trim()) {
        if let Some(name) = line.strip_prefix("message ") {
            record = name.trim_end_matches(" {");
        } else if let Some((left, number)) = line.trim_end_matches(';').split_once(" = ") {
            let name = left.split_whitespace().last().unwrap();
            if !record.is_empty() {
                on_page.push(format!("{record} {name} {number}"));
            }
        }
    }
    in_code.sort();
    on_page.sort();
    assert_eq!(in_code, on_page);
}
