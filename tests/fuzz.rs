// SPDX-License-Identifier: MIT
//! Every decoder on mutated and on random input: a value or an error, never a panic, never a hang.
//! What it takes is bounded by what the input holds, not by what it claims.
//!
//! All follows from fixed seeds; GHOSTSNAP_TEST_LONG=1 runs fifty times as many rounds.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]
#![allow(clippy::as_conversions, clippy::print_stderr)]

mod common;

use common::*;
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::units::ByteSize;
use ghostsnap::base::{ChunkId, FileId, Kind, RelPath, Result, Timestamp, World};
use ghostsnap::crypto::sign::WriterKey;
use ghostsnap::crypto::{Keys, MasterKey};
use ghostsnap::format::chunker::ChunkSizes;
use ghostsnap::format::compress::{Compression, Compressor, decompress};
use ghostsnap::format::envelope::{Header, frame, open_record, seal_record, unframe};
use ghostsnap::format::history::{Entry, Head, Memory, SignedEntry, Spans};
use ghostsnap::format::keyslot::{KeySlot, Secret, describe_slot, open_slot, seal_slot};
use ghostsnap::format::pack::{BlobEntry, PackWriter, end_length};
use ghostsnap::format::tree::{Meta, Node, NodeKind};
use ghostsnap::format::{
    Config, IndexSegment, Note, NoteKind as NoteWord, PackClass, PackEntry, PackReader, RecordKind,
    Snapshot, Tree,
};
use ghostsnap::hestia::queue::schedule::Schedule;
use ghostsnap::hestia::tarball_in::HestiaTarball;
use ghostsnap::hestia::{Settings, conf, setting_edit};
use ghostsnap::repo::Index;
use ghostsnap::repo::ledger::Ledger;
use ghostsnap::tree::select::{Selection, name_matches};
use ghostsnap::tree::source::{Content, Source};
use ghostsnap::tree::tar_in::TarSource;
use std::fs;
use std::io::{Read, Write};
use std::time::Duration;
use zeroize::Zeroizing;

fn rounds(quick: usize) -> usize {
    let long = std::env::var("GHOSTSNAP_TEST_LONG").is_ok_and(|value| value != "0");
    if long { quick * 50 } else { quick }
}

/// Says which input it was, if the code below panics, and fails if it took long.
struct Watched<'a>(&'a str, usize, World);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("decoder '{}', round {}", self.0, self.1);
        } else {
            let spent = self.2.ticks();
            assert!(spent < Duration::from_secs(5), "'{}' {} took {spent:?}", self.0, self.1);
        }
    }
}

/// Changes a few things about some bytes.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..1 + dice.below(4) {
        if bytes.is_empty() {
            bytes.push(dice.next() as u8);
        }
        let at = dice.below(bytes.len());
        let length = (1 + dice.below(16)).min(bytes.len() - at);
        match dice.below(9) {
            0 | 1 => bytes[at] ^= 1 << dice.below(8),
            2 => bytes[at] = dice.next() as u8,
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..at + length)),
            5 => {
                let copy = bytes[at..at + length].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            // Numbers at their ends, as varints and as fixed ones.
            6 => {
                let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
                let take = 1 + dice.below(10);
                bytes.splice(at..at + length, huge[10 - take..].iter().copied());
            }
            7 => bytes[at..at + length].fill([0, 0x7f, 0x80, 0xff][dice.below(4)]),
            _ => {
                let random = noise(&format!("{}", dice.next()), length);
                bytes.splice(at..at, random);
            }
        }
    }
}

/// Feeds a decoder mutations of good inputs, and noise.
fn torture(name: &str, count: usize, good: &[Vec<u8>], decode: impl Fn(Vec<u8>)) {
    let mut dice = Dice(name.bytes().map(u64::from).sum());
    for input in good {
        decode(input.clone());
    }
    for round in 0..rounds(count) {
        let mut bytes = match dice.below(10) {
            0 => {
                let length = dice.below(300);
                noise(&format!("{}", dice.next()), length)
            }
            _ => dice.pick(good).unwrap().clone(),
        };
        mutate(&mut dice, &mut bytes);
        let _watched = Watched(name, round, World::system());
        decode(bytes);
    }
}

fn keys() -> Keys {
    Keys::new(MasterKey::new([9; 32]))
}

fn blob(ordinal: u32, chunks: u8) -> BlobEntry {
    BlobEntry {
        ordinal,
        offset: 48 + 100 * u64::from(ordinal),
        stored_length: 100,
        plain_length: 10 * u32::from(chunks),
        compression: Compression::Zstd,
        chunks: (0..chunks).map(|n| (ChunkId([n; 32]), 10)).collect(),
    }
}

fn segment() -> IndexSegment {
    let pack = |n| PackEntry {
        id: FileId([n; 32]),
        class: if n == 1 { PackClass::Data } else { PackClass::Meta },
        size: 10_000,
        header: Header::new(RecordKind::DataPack, [n; 32]).encode(),
        blobs: vec![blob(0, 1), blob(1, 3), blob(2, 2)],
    };
    let note = |kind, first| Note { kind, pack: FileId([first; 32]), time: 1_800_000_000 };
    IndexSegment {
        packs: vec![pack(1), pack(2), pack(3)],
        replaces: vec![FileId([8; 32])],
        notes: vec![
            note(NoteWord::Mark, 1),
            note(NoteWord::Stray, 4),
            note(NoteWord::Drop, 5),
            note(NoteWord::Claim, 2),
            note(NoteWord::Damaged, 7),
        ],
        time: 1_800_000_000,
    }
}

fn nodes() -> Vec<Node> {
    let node = |name: &[u8], kind| Node {
        name: name.to_vec(),
        meta: Meta { kind, mode: 0o644, uid: 5, user: "alice".to_owned(), ..Meta::default() },
        ..Node::default()
    };
    let mut file = node(b"b", NodeKind::File);
    file.meta.size = 1000;
    file.meta.xattrs = vec![(b"user.x".to_vec(), vec![1, 2])];
    file.chunks = vec![ChunkId([3; 32]); 3];
    file.extents = vec![(0, 100), (500, 400)];
    let mut link = node(b"c", NodeKind::Symlink);
    link.meta.target = b"../x".to_vec();
    vec![node(b"a", NodeKind::Folder), file, link]
}

#[test]
fn sealed_records_and_their_headers() {
    let (keys, kind) = (keys(), RecordKind::Index);
    let sealed = seal_record(&keys, kind, [1; 32], &segment().encode()).unwrap();
    torture("sealed record", 3000, std::slice::from_ref(&sealed), |bytes| {
        drop(Header::decode(&bytes, kind));
        if bytes != sealed {
            assert!(open_record(&keys, kind, &bytes).is_err(), "a forgery was opened");
        }
    });
    let mut compressor = Compressor::new(3).unwrap();
    let framed: Vec<Vec<u8>> = [&b"short"[..], &b"long ".repeat(2000)]
        .map(|plain| frame(plain, &mut compressor).unwrap())
        .to_vec();
    torture("frame", 1000, &framed, |bytes| {
        if let Ok(plain) = unframe(&bytes) {
            assert!(plain.len() <= 512 * 1024 * 1024);
        }
    });
    torture("blob", 2000, &framed, |bytes| {
        let code = bytes.first().copied().unwrap_or_default();
        let claimed = bytes.get(1).map_or(0, |byte| usize::from(*byte) * 40);
        if let Ok(plain) = decompress(code, bytes.get(5..).unwrap_or_default(), claimed) {
            assert_eq!(plain.len(), claimed);
        }
    });
}

#[test]
fn plain_records() {
    torture("index segment", 4000, &[segment().encode()], |bytes| {
        let Ok(segment) = IndexSegment::decode(&bytes) else { return };
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
    });
    // Sizes that would overflow when they are added up.
    let mut huge = segment();
    huge.packs.iter_mut().for_each(|pack| pack.size = u64::MAX);
    assert!(IndexSegment::decode(&huge.encode()).is_err());
    let snapshot = Snapshot {
        name: "hestia-alice-20260102-030405".to_owned(),
        time: Timestamp { seconds: 5, nanos: 6 },
        paths: vec![b"/home/\xff".to_vec()],
        tags: vec!["nightly".to_owned()],
        tree: vec![ChunkId([1; 32])],
        parent: Some(FileId([3; 32])),
        ..Snapshot::default()
    };
    torture("snapshot", 4000, &[snapshot.encode()], |bytes| {
        if let Ok(snapshot) = Snapshot::decode(&bytes) {
            assert!(!snapshot.tree.is_empty());
            // Any time can be shown.
            drop(snapshot.time.rfc3339());
            std::hint::black_box(snapshot.time.local());
        }
    });
    torture("tree", 6000, &[Tree::encode(&nodes())], |bytes| {
        let Ok(tree) = Tree::decode(&bytes) else { return };
        for node in &tree.0 {
            ghostsnap::base::path::check_name(&node.name).unwrap();
            assert!(node.extents.iter().all(|(at, length)| at + length <= node.meta.size));
            assert!(node.meta.mode <= 0o7777);
        }
        assert!(tree.0.windows(2).all(|pair| pair[0].name < pair[1].name));
    });
    let config = Config {
        repository_id: FileId([3; 32]),
        created: Timestamp::from_seconds(5),
        file_chunks: ChunkSizes::FILES,
    };
    torture("config", 4000, &[config.encode()], |bytes| {
        if let Ok(config) = Config::decode(&bytes) {
            // What is accepted can be cut with.
            let chunker = ghostsnap::format::Chunker::new(&keys(), config.file_chunks);
            let data = [7; 100_000];
            assert!((1..=data.len()).contains(&chunker.cut(&data)));
        }
    });
}

#[test]
fn entries_of_the_history() {
    let key = WriterKey::new(&Zeroizing::new([3; 32]));
    let here = FileId([9; 32]);
    let spans = Spans::of([(2, 5), (9, 1 << 40)]);
    let head = Head { number: 7, digest: FileId([4; 32]) };
    let entry = Entry {
        writer: key.writer(),
        host: "web1".to_owned(),
        number: 1 << 39,
        before: Some(head),
        time: Timestamp::from_seconds(5),
        content: Some(FileId([5; 32])),
        removed: [(key.writer(), spans.clone())].into(),
        seen: [(key.writer(), head)].into(),
    };
    let good = [entry.sign(&key, &here).encode()];
    torture("history", 4000, &good, |bytes| {
        let Ok(signed) = SignedEntry::decode(&bytes) else { return };
        // Whoever signed it: numbers that lie must not cost more than their bytes.
        let mut ledger = Ledger::new(&Memory::default());
        ledger.add(here, &signed, Some(FileId([5; 32])), |_| true);
        ledger.settle();
        let wrong = ledger.wrong();
        std::hint::black_box((wrong.problems().len(), wrong.gone()));
        std::hint::black_box(ledger.removed_if_accepted(&wrong));
    });
    let memory = Memory {
        next: 9,
        last: Some(head),
        heads: entry.seen,
        removed: entry.removed,
        ..Memory::default()
    };
    torture("memory", 4000, &[memory.encode().to_vec()], |bytes| drop(Memory::decode(&bytes)));
}

#[test]
fn settings_and_schedules() {
    let example = include_bytes!("../hestia-plugin/conf/ghostsnap.toml").to_vec();
    let all = String::from_utf8(example.clone()).unwrap().replace("\n#", "\n");
    let place = std::path::Path::new("/etc/ghostsnap/ghostsnap.toml");
    torture("settings", 1500, &[example, all.into_bytes()], |bytes| {
        let text = String::from_utf8_lossy(&bytes);
        drop(Settings::parse(&text, place));
        // What is changed of it is no worse than it was.
        let name = setting_edit::path_of("keep.daily").unwrap();
        if let Ok(after) = setting_edit::changed(&text, &name, Some(&7.into())) {
            let is_good = |text: &str| Settings::parse(text, place).is_ok();
            assert!(!is_good(&text) || is_good(&after), "{text}\n->\n{after}");
        }
    });
    let schedule =
        b"do = 'check'\nwhen = 'daily 06:00'\nsubset = 'day/30'\nload_max = 4\n".to_vec();
    torture("schedule", 3000, &[schedule], |bytes| {
        drop(Schedule::parse("x", &String::from_utf8_lossy(&bytes), place));
    });
}

#[test]
fn a_tree_that_claims_more_nodes_than_any_folder_is_refused_before_they_are_made() {
    // Two bytes each in the record, some hundred in memory.
    let bytes = [0x0a, 0x00].repeat(4_000_000);
    let before = peak_memory();
    assert_eq!(Tree::decode(&bytes).unwrap_err().kind(), Kind::Damaged);
    let grown = peak_memory() - before;
    assert!(grown < 200 << 20, "{} MiB", grown >> 20);
}

fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn packs_and_their_ends() {
    let keys = keys();
    let mut writer = PackWriter::new(&keys, PackClass::Data, [4; 32], 1000).unwrap();
    writer.add(b"abcdefg", Compression::None, vec![(ChunkId([1; 32]), 7)]).unwrap();
    let (pack, _) = writer.finish().unwrap();
    torture("pack", 3000, &[pack], |bytes| {
        let size = bytes.len() as u64;
        let Ok(reader) = PackReader::new(&keys, PackClass::Data, &bytes) else { return };
        let footer = bytes.len().saturating_sub(8);
        if let Ok(length) = end_length(&bytes[footer..], size) {
            assert!(length <= size);
            drop(reader.open_end(&bytes[footer - length as usize..footer]));
        }
        let mut sealed = bytes.get(48..71).unwrap_or_default().to_vec();
        drop(reader.open_blob(0, &mut sealed));
    });
}

#[test]
fn key_slots_and_key_files() {
    let secret = Secret::from_file_text(&Secret::key_file_text(&[8; 32])).unwrap();
    let slot =
        KeySlot { label: "l".to_owned(), created: Timestamp::from_seconds(1), kdf: None, epoch: 0 };
    let stored =
        seal_slot(&Keys::new(MasterKey::new([5; 32])), &secret, &slot, &World::seeded(1)).unwrap();
    torture("key slot", 4000, std::slice::from_ref(&stored), |bytes| {
        drop(describe_slot(&bytes));
        let opened = open_slot(&bytes, &secret);
        assert!(bytes == stored || !matches!(opened, Ok(Some(_))), "a forgery was opened");
    });
    let text = Secret::key_file_text(&[8; 32]).as_bytes().to_vec();
    torture("key file", 2000, &[text, b"password\n".to_vec()], |bytes| {
        drop(Secret::from_file_text(&String::from_utf8_lossy(&bytes)));
    });
}

#[test]
fn words_from_people() {
    let words: Vec<Vec<u8>> =
        ["web/*/x[1-5]{a,b}/**", "1.5 GiB", "a/../b", "ab12", "hestia-alice", "\\*\\", "[!a-", "{"]
            .map(|word| word.as_bytes().to_vec())
            .to_vec();
    torture("words", 6000, &words, |bytes| {
        let text = String::from_utf8_lossy(&bytes);
        drop(ByteSize::parse(&text));
        drop(FileId::parse(&text));
        drop(name_matches(&text, "some name"));
        if let Ok(path) = RelPath::parse(&bytes) {
            assert!(path.names().all(|name| name != b".." && !name.is_empty()));
            if let Ok(selection) = Selection::new(&[&text], &[&text]) {
                std::hint::black_box(selection.verdict(&path, true));
            }
        }
    });
}

/// Reads all a source yields; content in small pieces, as much as it says and no more.
fn drain(source: &mut dyn Source) -> Result<usize> {
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

fn tar_of_everything(option: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    sample_tree(folder.path());
    fs::remove_file(folder.path().join("site/public_html/big.jpg")).unwrap();
    let long = "n".repeat(200);
    fs::create_dir_all(folder.path().join(&long)).unwrap();
    fs::write(folder.path().join(&long).join(&long), b"x").unwrap();
    let mut command = std::process::Command::new("tar");
    command.args([option, "--xattrs", "-C"]).arg(folder.path());
    let done = command.args(["-cf", "-", "site", "mail", &long]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

#[test]
fn tar_streams() {
    let tar = tar_of_everything("--format=posix");
    let whole = drain(&mut TarSource::new(tar.as_slice())).unwrap();
    assert!(whole > 45, "{whole}");
    let sparse = tar_of_everything("--sparse");
    let all = [tar.clone(), tar_of_everything("--format=gnu"), sparse];
    torture("tar", 400, &all, |bytes| {
        drop(drain(&mut TarSource::new(bytes.as_slice())));
    });
    // Mutations of the headers alone, checksums put right, so that they are believed.
    let mut dice = Dice(77);
    for round in 0..rounds(600) {
        let mut bytes = tar.clone();
        let header = dice.below(30) * 512;
        let at = header + dice.below(512);
        let length = (1 + dice.below(12)).min(header + 512 - at);
        bytes[at..at + length].fill([0, b'7', b'9', 0x80, 0xff, b'/'][dice.below(6)]);
        let sum: u64 = (0..512)
            .map(|n| if (148..156).contains(&n) { 32 } else { u64::from(bytes[header + n]) })
            .sum();
        bytes[header + 148..header + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let _watched = Watched("tar with good checksums", round, World::system());
        drop(drain(&mut TarSource::new(bytes.as_slice())));
    }
}

#[test]
fn hestia_tarballs() {
    for mode in ["gzip", "zstd"] {
        let path = format!("tests/fixtures/hestia/bob-{mode}-sample.tar");
        let good = fs::read(path).unwrap();
        torture(&format!("Hestia tarball, {mode}"), 150, &[good], |bytes| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            if let Ok(mut source) = HestiaTarball::open(file, "bob") {
                drop(drain(&mut source));
                drop(source.objects());
            }
        });
    }
}

#[test]
fn configuration_of_hestia() {
    let good: Vec<Vec<u8>> = [
        &b"DOMAIN='example.com' IP='192.0.2.1' ALIAS='a,b' SSL='yes'\n"[..],
        b"# comment\nNAME='x'\nHOME_DIR='/home'\n\nBAD\nLAST='y'",
        b"JOB='1' CMD='echo %quote%hi%quote% %dots%' TIME='0'",
        b"A='' B='='",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    torture("rows", 6000, &good, |bytes| {
        let rows = conf::parse_rows(&bytes);
        for row in &rows.rows {
            // What was read is written so that it reads back as the same.
            assert_eq!(conf::Row::parse(row.to_line().as_bytes()).as_ref(), Ok(row));
        }
        drop(conf::parse_keys(&bytes));
        let leading = conf::Row::parse_leading(&bytes);
        assert_eq!(conf::Row::parse(leading.to_line().as_bytes()), Ok(leading));
        let text = String::from_utf8_lossy(&bytes);
        drop(conf::cron_command(&text));
    });
    // As long as a line may be.
    for line in ["A='' ".repeat(200_000), "A='".repeat(300_000), "'".repeat(1_000_000)] {
        let _watched = Watched("a long line", 0, World::system());
        drop(conf::Row::parse(line.as_bytes()));
        drop(conf::parse_rows(line.as_bytes()));
        drop(conf::parse_keys(line.as_bytes()));
        drop(conf::Row::parse_leading(line.as_bytes()));
    }
}
