// SPDX-License-Identifier: MIT
//! Every decoder on mutated and on random input: a value or an error, never a panic, never a hang.
//! What it takes is bounded by what the input holds, not by what it claims.
//!
//! The decoders are those of `fuzz/`, whose committed corpus is run here, too; its good inputs are
//! made by this file. To make them anew: GHOSTSNAP_WRITE_CORPUS=1. What libFuzzer finds goes beside
//! them as `fuzz/corpus/DECODER/found-...` once it is mended.
//!
//! All follows from fixed seeds; GHOSTSNAP_TEST_LONG=1 runs fifty times as many rounds.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]
#![allow(clippy::as_conversions, clippy::panic, clippy::print_stderr)]

mod common;
#[path = "../fuzz/src/decoders.rs"]
mod decoders;

use common::*;
use decoders::{DECODERS, Decoder, PROVEN_SALT, drain, keys};
use ghostsnap::base::world::Process;
use ghostsnap::base::{ChunkId, FileId, Kind, Timestamp, World};
use ghostsnap::crypto::sign::WriterKey;
use ghostsnap::crypto::{KeptKey, Purpose};
use ghostsnap::format::chunker::ChunkSizes;
use ghostsnap::format::compress::{Compression, Compressor};
use ghostsnap::format::envelope::{Header, frame, seal_record};
use ghostsnap::format::history::{Entry, Head, Memory, Spans};
use ghostsnap::format::keyslot::Secret;
use ghostsnap::format::kit::{FIRST_LINE, key_lines};
use ghostsnap::format::lock::Lock;
use ghostsnap::format::pack::{BlobEntry, PackWriter};
use ghostsnap::format::rows::{RowChunk, RowSpan};
use ghostsnap::format::tree::{Meta, Node, NodeKind};
use ghostsnap::format::{
    Config, IndexSegment, Note, NoteKind as NoteWord, PackClass, PackEntry, RecordKind, RowMap,
    RowTable, Snapshot, Tree, kept,
};
use ghostsnap::hestia::conf;
use ghostsnap::tree::tar_in::TarSource;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use zeroize::Zeroizing;

fn rounds(quick: usize) -> usize {
    let long = std::env::var("GHOSTSNAP_TEST_LONG").is_ok_and(|value| value != "0");
    if long { quick * 50 } else { quick }
}

/// Says which input it was, if the code below panics, and fails if it took long.
struct Watched<'a>(&'a str, String, World);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("decoder '{}', {}", self.0, self.1);
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
fn torture(decoder: &Decoder, good: &[Vec<u8>]) {
    let name = decoder.name;
    let mut dice = Dice(name.bytes().map(u64::from).sum());
    for (number, input) in good.iter().enumerate() {
        let _watched = Watched(name, format!("input {number}"), World::system());
        (decoder.decode)(input);
    }
    for round in 0..rounds(decoder.rounds) {
        let mut bytes = match dice.below(10) {
            0 => {
                let length = dice.below(300);
                noise(&format!("{}", dice.next()), length)
            }
            _ => dice.pick(good).unwrap().clone(),
        };
        mutate(&mut dice, &mut bytes);
        let _watched = Watched(name, format!("round {round}"), World::system());
        (decoder.decode)(&bytes);
    }
}

fn corpus(name: &str) -> PathBuf {
    Path::new("fuzz/corpus").join(name)
}

/// What is committed for a decoder.
fn committed(name: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = fs::read_dir(corpus(name));
    let folder = folder.unwrap_or_else(|error| panic!("{name} has no corpus: {error}"));
    let entries = folder.map(|entry| entry.unwrap());
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
}

/// A share of the decoders, so that shares run at the same time.
fn run_share(number: usize) {
    for decoder in DECODERS.iter().skip(number).step_by(4) {
        torture(decoder, &committed(decoder.name).into_values().collect::<Vec<_>>());
    }
}

#[test]
fn every_decoder_takes_its_corpus_and_what_is_like_it_first_share() {
    run_share(0);
}

#[test]
fn every_decoder_takes_its_corpus_and_what_is_like_it_second_share() {
    run_share(1);
}

#[test]
fn every_decoder_takes_its_corpus_and_what_is_like_it_third_share() {
    run_share(2);
}

#[test]
fn every_decoder_takes_its_corpus_and_what_is_like_it_fourth_share() {
    run_share(3);
}

#[test]
fn every_decoder_has_a_target_and_a_corpus_that_the_program_made() {
    let mut made: BTreeMap<&str, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for (decoder, name, bytes) in seeds() {
        made.entry(decoder).or_default().insert(name.to_owned(), bytes);
    }
    if std::env::var_os("GHOSTSNAP_WRITE_CORPUS").is_some() {
        for (decoder, files) in &made {
            fs::create_dir_all(corpus(decoder)).unwrap();
            for (name, bytes) in files {
                fs::write(corpus(decoder).join(name), bytes).unwrap();
            }
        }
    }
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let known: BTreeSet<String> = DECODERS.iter().map(|one| one.name.to_owned()).collect();
    assert_eq!((names("fuzz/fuzz_targets"), names("fuzz/corpus")), (known.clone(), known));
    let manifest = fs::read_to_string("fuzz/Cargo.toml").unwrap();
    for decoder in DECODERS {
        let name = decoder.name;
        let target = fs::read_to_string(format!("fuzz/fuzz_targets/{name}.rs")).unwrap();
        assert!(target.contains(&format!("ghostsnap_fuzz::target!({name});")), "{name}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let committed = committed(name);
        let made = &made[name];
        for (file, bytes) in made {
            let found = committed.get(file);
            let found = found.unwrap_or_else(|| panic!("fuzz/corpus/{name}/{file} is missing"));
            // Other versions of tar write other archives.
            let is_ours = !file.starts_with("gnu-");
            assert!(!is_ours || found == bytes, "fuzz/corpus/{name}/{file} is not what we write");
        }
        let is_known = |file: &String| made.contains_key(file) || file.starts_with("found-");
        let strange: Vec<_> = committed.keys().filter(|file| !is_known(file)).collect();
        assert!(strange.is_empty(), "{name}: {strange:?}");
    }
}

/// Good inputs: for which decoder, the name, the bytes. What GNU tar makes is called `gnu-...`.
fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let keys = keys();
    let mut compressor = Compressor::new(3).unwrap();
    let framed =
        [&b"short"[..], &b"long ".repeat(2000)].map(|plain| frame(plain, &mut compressor).unwrap());
    let [short, long] = framed;
    let sealed = seal_record(&keys, RecordKind::Index, [1; 32], decoders::SEALED).unwrap();
    let config = Config {
        repository_id: FileId([3; 32]),
        created: Timestamp::from_seconds(5),
        file_chunks: ChunkSizes::FILES,
        write_only_keys: false,
    };
    let example = include_bytes!("../hestia-plugin/conf/ghostsnap.toml").to_vec();
    let all = String::from_utf8(example.clone()).unwrap().replace("\n#", "\n");
    let (pack, end) = pack();
    let (entry, memory) = history();
    let mut seeds = vec![
        ("blob", "short", short.clone()),
        ("blob", "long", long.clone()),
        ("frame_of_record", "short", short),
        ("frame_of_record", "long", long),
        ("sealed_record", "index", sealed),
        ("index", "segment", segment().encode()),
        ("snapshot", "hestia", snapshot().encode()),
        ("tree", "nodes", Tree::encode(&nodes())),
        ("config", "config", config.encode()),
        ("lock", "lock", lock().encode()),
        ("row_table", "table", row_table().encode()),
        ("row_map", "map", row_map().encode()),
        ("history", "entry", entry),
        ("memory", "memory", memory),
        ("pack", "pack", pack),
        ("pack_end", "end", end),
        ("key_slot", "slot", decoders::slot()),
        ("key_slot", "proven", decoders::proven_slot(false)),
        ("key_slot", "write-only", decoders::proven_slot(true)),
        ("write_only_slot", "wrapped", decoders::wrapped().1),
        ("kept_keys", "keys", kept_keys()),
        ("proven_segment", "proven", segment().encode_for(&decoders::authority(), &PROVEN_SALT)),
        ("proven_segment", "unproven", segment().encode()),
        ("key_file", "key", Secret::key_file_text(&[8; 32]).as_bytes().to_vec()),
        ("key_file", "password", b"password\n".to_vec()),
        ("recovery_kit", "kit", recovery_kit()),
        ("settings", "example", example),
        ("settings", "everything", all.into_bytes()),
    ];
    seeds.extend(texts().into_iter().map(|(of, name, text)| (of, name, text.as_bytes().to_vec())));
    seeds.extend(archives());
    seeds
}

fn kept_keys() -> Vec<u8> {
    let kept = |purpose, byte| KeptKey {
        salt: [byte; 32],
        purpose,
        used: 9 << byte,
        key: Zeroizing::new([byte; 32]),
    };
    let keys = vec![kept(Purpose::Snapshot, 1), kept(Purpose::MetaPack, 2)];
    kept::encode(&kept::Keeping { keys, owner: Some([3; 32]) }).to_vec()
}

fn texts() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        ("schedule", "check", "do = 'check'\nwhen = 'daily 06:00'\nsubset = 'day/30'\n"),
        (
            "schedule",
            "backup",
            "do = 'backup'\nwhen = '30 2 * * mon-fri'\nspread_minutes = 10\ninclude = ['prod-*']\n\
             exclude = ['x']\nrepositories = ['offsite']\nhours_max = 6\nload_max = 4\nenabled = false\n",
        ),
        (
            "repository_entry",
            "s3",
            "url = 's3:https://s3.example.com/bucket/server1'\nkey_id = 'x'\n\
             secret_file = '/etc/ghostsnap/secret'\npassword_command = ['pass', 'x']\n",
        ),
        ("repository_entry", "folder", "url = '/mnt/backup'\npassword_env = 'PASSWORD'\n"),
        ("words", "glob", "web/*/x[1-5]{a,b}/**"),
        ("words", "size", "1.5 GiB"),
        ("words", "path", "a/../b"),
        ("words", "id", "ab12"),
        ("words", "name", "hestia-alice"),
        ("words", "escapes", "\\*\\"),
        ("words", "class", "[!a-"),
        ("words", "brace", "{"),
        ("hestia_rows", "web", "DOMAIN='example.com' IP='192.0.2.1' ALIAS='a,b' SSL='yes'\n"),
        ("hestia_rows", "keys", "# comment\nNAME='x'\nHOME_DIR='/home'\n\nBAD\nLAST='y'"),
        ("hestia_rows", "cron", "JOB='1' CMD='echo %quote%hi%quote% %dots%' TIME='0'"),
        ("hestia_rows", "odd", "A='' B='='"),
        ("dump_mysql", "dump", MYSQL),
        ("dump_pgsql", "dump", PGSQL),
    ]
}

const MYSQL: &str = "/*M!999999\\- enable the sandbox mode */ \n\
SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '';\n\
--\n-- Table structure for table `a`\n--\n\n\
DROP TABLE IF EXISTS `a`;\nCREATE TABLE `a` (\n  `id` int(11) NOT NULL\n) ENGINE=InnoDB;\n\
--\n-- Dumping data for table `a`\n--\n\n\
INSERT INTO `a` VALUES (1,'x\\'y'),(2,'--');\nINSERT INTO `a` VALUES\n(3,NULL),\n(4,';;');\n\
/*!50001 VIEW `v` AS select 1 AS `1`*/;\n\
DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER t BEFORE\n\
INSERT ON a FOR EACH ROW SET @x = 1 */;;\nDELIMITER ;\n\
CREATE DEFINER=`u`@`%` PROCEDURE `p`()\nBEGIN END ;;\n\
-- Dump completed on 2026-11-30  2:30:00\n";

const PGSQL: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n\
SET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\
--\n-- Name: a; Type: TABLE; Schema: public; Owner: u\n--\n\n\
CREATE TABLE public.a (\n    id integer NOT NULL,\n    t text DEFAULT 'x;--'\n);\n\n\
ALTER TABLE public.a OWNER TO u;\n\n\
--\n-- Name: f(); Type: FUNCTION; Schema: public; Owner: u\n--\n\n\
CREATE FUNCTION public.f() RETURNS void\n    LANGUAGE plpgsql AS $_$ BEGIN /* ; */ END $_$;\n\n\
--\n-- Data for Name: a; Type: TABLE DATA; Schema: public; Owner: u\n--\n\n\
COPY public.a (id, t) FROM stdin;\n1\t\\N\n2\tx\\\\y\n\\.\n\n\
INSERT INTO public.a VALUES (3, E'\\'');\n\n\
--\n-- Name: EXTENSION x; Type: COMMENT\n--\n\nCOMMENT ON EXTENSION x IS 'y';\n\n\
\\unrestrict abc\n--\n-- PostgreSQL database dump complete\n--\n";

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
        is_unproven: false,
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

fn snapshot() -> Snapshot {
    Snapshot {
        name: "hestia-alice-20260102-030405".to_owned(),
        time: Timestamp { seconds: 5, nanos: 6 },
        paths: vec![b"/home/\xff".to_vec()],
        tags: vec!["nightly".to_owned()],
        tree: vec![ChunkId([1; 32])],
        parent: Some(FileId([3; 32])),
        ..Snapshot::default()
    }
}

fn lock() -> Lock {
    Lock {
        work: "backup".to_owned(),
        host: "web1.example".to_owned(),
        process: Process { machine: "boot 1".to_owned(), id: 42, started: 99 },
        time: Timestamp::from_seconds(1_800_000_000),
    }
}

fn row_table() -> RowTable {
    RowTable { groups: vec![([1; 10], 1000), ([2; 10], 1), ([3; 10], u32::MAX)] }
}

fn row_map() -> RowMap {
    let chunk =
        |n: u8, length| RowChunk { id: ChunkId([n; 32]), table: ChunkId([n + 100; 32]), length };
    let span = |chunk, from, length| RowSpan { chunk, from, length };
    RowMap {
        chunks: vec![chunk(1, 1000), chunk(2, 50)],
        spans: vec![span(0, 0, 600), span(1, 10, 40), span(0, 700, 300)],
        average: 1024,
    }
}

/// A pack, and the plain list of its end.
fn pack() -> (Vec<u8>, Vec<u8>) {
    let mut writer = PackWriter::new(&keys(), PackClass::Data, [4; 32], 1000).unwrap();
    writer.add(b"abcdefg", Compression::None, vec![(ChunkId([1; 32]), 7)]).unwrap();
    let chunks = vec![(ChunkId([2; 32]), 3), (ChunkId([3; 32]), 2)];
    writer.add(b"hijkl", Compression::None, chunks).unwrap();
    let (pack, _) = writer.finish().unwrap();
    let end = decoders::plain_end(&pack);
    (pack, end)
}

fn history() -> (Vec<u8>, Vec<u8>) {
    let key = WriterKey::new(&Zeroizing::new([3; 32]));
    let head = Head { number: 7, digest: FileId([4; 32]) };
    let entry = Entry {
        writer: key.writer(),
        host: "web1".to_owned(),
        number: 1 << 39,
        before: Some(head),
        time: Timestamp::from_seconds(5),
        content: Some(FileId([5; 32])),
        removed: [(key.writer(), Spans::of([(2, 5), (9, 1 << 40)]))].into(),
        seen: [(key.writer(), head)].into(),
    };
    let signed = entry.sign(&key, &FileId([9; 32])).encode();
    let memory = Memory {
        next: 9,
        last: Some(head),
        heads: entry.seen,
        removed: entry.removed,
        ..Memory::default()
    };
    (signed, memory.encode().to_vec())
}

fn recovery_kit() -> Vec<u8> {
    let lines: Vec<String> = key_lines(&[8; 32]).iter().map(|line| line.to_string()).collect();
    format!("{FIRST_LINE}\n\nsome words\n  {}\nmore words\n", lines.join("\n  ")).into_bytes()
}

/// GNU tar with whatever differs from run to run taken out.
fn gnu_tar(folder: &Path, options: &[&str], names: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tar");
    command.args(["--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--sort=name", "-b1"]);
    command.args(options).arg("-C").arg(folder).args(["-cf", "-"]).args(names);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// Everything that a tar header can say, in few bytes.
fn folder_for_tar() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/one"), b"one").unwrap();
    fs::hard_link(at("d/one"), at("d/two")).unwrap();
    std::os::unix::fs::symlink("../x", at("d/link")).unwrap();
    let long = "n".repeat(150);
    fs::write(at(&format!("d/{long}")), b"x").unwrap();
    let sparse = fs::File::create(at("d/sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 1 << 20).unwrap();
    xattr::set(at("d/one"), "user.x", b"y").unwrap();
    folder
}

fn archives() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let folder = folder_for_tar();
    let pax = "--pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime";
    let tar = |options: &[&str]| gnu_tar(folder.path(), options, &["d"]);
    let mut all = vec![
        ("tar", "gnu-pax", tar(&["--format=posix", pax, "--xattrs", "--sparse"])),
        ("tar", "gnu-gnu", tar(&["--format=gnu", "--sparse"])),
    ];
    for (mode, name) in [("gzip", "gnu-gzip"), ("zstd", "gnu-zstd")] {
        let whole = tempfile::tempdir().unwrap();
        let sample = format!("tests/fixtures/hestia/bob-{mode}-sample.tar");
        let mut command = Command::new("tar");
        assert!(
            command.arg("-xf").arg(sample).arg("-C").arg(whole.path()).status().unwrap().success()
        );
        let ending = if mode == "gzip" { "gz" } else { "zst" };
        let marker = if mode == "gzip" { None } else { Some("./.zstd") };
        let profile = format!("./user_dir/.profile.tar.{ending}");
        let mut names = vec!["./hestia/user.conf", "./pam", "./cron", &profile];
        names.push("./db/bob_notes");
        names.extend(marker);
        all.push(("hestia_tarball", name, gnu_tar(whole.path(), &["--format=gnu"], &names)));
    }
    all
}

#[test]
fn sizes_that_would_overflow_when_they_are_added_up_are_refused() {
    let mut huge = segment();
    huge.packs.iter_mut().for_each(|pack| pack.size = u64::MAX);
    assert!(IndexSegment::decode(&huge.encode()).is_err());
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

/// Large ones, and headers that are believed: with checksums put right.
#[test]
fn tar_streams_of_everything() {
    let folder = tempfile::tempdir().unwrap();
    sample_tree(folder.path());
    fs::remove_file(folder.path().join("site/public_html/big.jpg")).unwrap();
    let long = "n".repeat(200);
    fs::create_dir_all(folder.path().join(&long)).unwrap();
    fs::write(folder.path().join(&long).join(&long), b"x").unwrap();
    let tar_of = |option| gnu_tar(folder.path(), &[option, "--xattrs"], &["site", "mail", &long]);
    let tar = tar_of("--format=posix");
    let whole = drain(&mut TarSource::new(tar.as_slice())).unwrap();
    assert!(whole > 45, "{whole}");
    let all = [tar.clone(), tar_of("--format=gnu"), tar_of("--sparse")];
    let decoder = DECODERS.iter().find(|one| one.name == "tar").unwrap();
    torture(&Decoder { rounds: 400, ..*decoder }, &all);
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
        let _watched = Watched("tar with good checksums", format!("{round}"), World::system());
        drop(drain(&mut TarSource::new(bytes.as_slice())));
    }
}

#[test]
fn tarballs_as_hestia_makes_them() {
    let decoder = DECODERS.iter().find(|one| one.name == "hestia_tarball").unwrap();
    let good = ["gzip", "zstd"]
        .map(|mode| fs::read(format!("tests/fixtures/hestia/bob-{mode}-sample.tar")).unwrap());
    torture(&Decoder { rounds: 200, ..*decoder }, &good);
}

#[test]
fn rows_as_long_as_a_line_may_be() {
    for line in ["A='' ".repeat(200_000), "A='".repeat(300_000), "'".repeat(1_000_000)] {
        let _watched = Watched("hestia_rows", "a long line".to_owned(), World::system());
        drop(conf::Row::parse(line.as_bytes()));
        drop(conf::parse_rows(line.as_bytes()));
        drop(conf::parse_keys(line.as_bytes()));
        drop(conf::Row::parse_leading(line.as_bytes()));
    }
}
