// SPDX-License-Identifier: MIT
//! Native Hestia tarballs: what is packed opens again as the same tree, GNU tar agrees, and a
//! damaged tarball is an error, never another tree.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]

use ghostsnap::backend::mem::Mem;
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Kind, RelPath, Result, Timestamp, World};
use ghostsnap::format::Snapshot;
use ghostsnap::format::keyslot::Secret;
use ghostsnap::format::tree::{Meta, Node, NodeKind};
use ghostsnap::hestia::tarball_in::HestiaTarball;
use ghostsnap::hestia::tarball_out::{HestiaTarballSink, Mode, Options};
use ghostsnap::ops::backup::{BackupOptions, backup};
use ghostsnap::ops::restore::to_sink;
use ghostsnap::repo::Repository;
use ghostsnap::tree::Selection;
use ghostsnap::tree::sink::Sink;
use ghostsnap::tree::source::{Content, SIZE_UNKNOWN, Source};
use ghostsnap::tree::tar_in::TarSource;
use ghostsnap::tree::tar_out::{TarSink, TarWriter};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Names from the root down, so that iteration is the order of a sink.
type Names = Vec<Vec<u8>>;
type Tree = BTreeMap<Names, (Meta, Vec<u8>)>;

struct Opened {
    tree: Tree,
    objects: Vec<String>,
    warnings: Vec<String>,
}

const ZSTD: Options = Options { mode: Mode::Zstd, level: 3, role_admin_allowed: false };
const GZIP: Options = Options { mode: Mode::Gzip, level: 4, role_admin_allowed: false };

fn names(path: &RelPath) -> Names {
    path.names().map(<[u8]>::to_vec).collect()
}

fn path_of(names: &Names) -> RelPath {
    RelPath::parse(&names.join(&b'/')).unwrap()
}

fn key(path: &str) -> Names {
    names(&RelPath::parse(path.as_bytes()).unwrap())
}

/// Takes everything a source yields, as a backup would.
fn collect(source: &mut dyn Source, monitor: &Collect) -> Result<Tree> {
    let mut tree = Tree::new();
    while let Some(entry) = source.next_entry(monitor)? {
        let mut meta = entry.meta;
        let mut text = Vec::new();
        match entry.content {
            Content::Nothing => {}
            Content::File(_) => panic!("a tar stream has no files"),
            Content::Stream(mut content) | Content::Rows(mut content) => {
                content
                    .read_to_end(&mut text)
                    .map_err(|cause| ghostsnap::base::error::io_error(cause, "read a file"))?;
                if meta.size == SIZE_UNKNOWN {
                    meta.size = text.len() as u64;
                }
                assert_eq!(meta.size, text.len() as u64, "{}", entry.path);
            }
            Content::SameAs(path) => {
                let (other, content) = tree.get(&names(&path)).cloned().unwrap_or_else(|| {
                    panic!("{} is another name of {path}, which is not there", entry.path)
                });
                (meta.kind, meta.size, meta.target) = (other.kind, other.size, other.target);
                text = content;
            }
        }
        let old = tree.insert(names(&entry.path), (meta, text));
        assert!(old.is_none(), "{} came twice", entry.path);
    }
    Ok(tree)
}

fn open(mut file: File) -> Result<Opened> {
    file.rewind().unwrap();
    let user = "bob";
    let monitor = Collect::default();
    let mut source = HestiaTarball::open(file, user)?;
    let tree = collect(&mut source, &monitor)?;
    let objects = source.objects();
    let objects = objects.iter().map(|one| format!("{} {}", one.section, one.name)).collect();
    Ok(Opened { tree, objects, warnings: monitor.warnings() })
}

fn fill(sink: &mut dyn Sink, tree: &Tree) -> Result<()> {
    for (names, (meta, text)) in tree {
        let node = Node {
            name: names.last().cloned().unwrap_or_default(),
            meta: meta.clone(),
            ..Node::default()
        };
        sink.entry(&path_of(names), &node, &mut text.as_slice())?;
    }
    Ok(())
}

fn try_pack(tree: &Tree, options: Options) -> Result<File> {
    let file = tempfile::tempfile().unwrap();
    let mut sink = Box::new(HestiaTarballSink::new(file.try_clone().unwrap(), options)?);
    fill(sink.as_mut(), tree)?;
    sink.finish()?;
    Ok(file)
}

fn pack(tree: &Tree, options: Options) -> File {
    try_pack(tree, options).unwrap()
}

fn bytes_of(mut file: File) -> Vec<u8> {
    let mut text = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut text).unwrap();
    text
}

fn file_of(text: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text).unwrap();
    file
}

fn sample(mode: &str) -> File {
    let name = format!("tests/fixtures/hestia/bob-{mode}-sample.tar");
    File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Metadata as the outer archive has it.
fn outer(kind: NodeKind) -> Meta {
    Meta {
        kind,
        mode: if kind == NodeKind::Folder { 0o755 } else { 0o644 },
        user: "root".to_owned(),
        group: "root".to_owned(),
        mtime: Timestamp::from_seconds(1_790_000_000),
        links: 1,
        ..Meta::default()
    }
}

fn put(tree: &mut Tree, path: &str, text: &[u8]) {
    let names = key(path);
    for depth in 1..names.len() {
        let folder = (outer(NodeKind::Folder), Vec::new());
        tree.entry(names[..depth].to_vec()).or_insert(folder);
    }
    let meta = Meta { size: text.len() as u64, ..outer(NodeKind::File) };
    tree.insert(names, (meta, text.to_vec()));
}

/// The least that Hestia restores.
fn minimal() -> Tree {
    let mut tree = Tree::new();
    let root = Meta { mode: 0o700, mtime: Timestamp::default(), ..outer(NodeKind::Folder) };
    tree.insert(Vec::new(), (root, Vec::new()));
    put(&mut tree, "pam/passwd", b"bob:x:1005:1005:bob@x.example:/home/bob:/bin/bash\n");
    put(&mut tree, "hestia/user.conf", b"NAME='Bob'\nROLE='user'\n");
    put(&mut tree, "cron/cron.conf", b"JOB='1' CMD='true'\nJOB='2' CMD='false'\n");
    tree
}

fn entry(kind: NodeKind, text: &[u8]) -> (Meta, Vec<u8>) {
    let meta = Meta {
        kind,
        mode: if kind == NodeKind::Folder { 0o750 } else { 0o640 },
        uid: 1005,
        gid: 1006,
        user: "bob".to_owned(),
        group: "mail".to_owned(),
        mtime: Timestamp { seconds: 1_790_000_123, nanos: 456_000_001 },
        size: text.len() as u64,
        links: 1,
        ..Meta::default()
    };
    (meta, text.to_vec())
}

/// One of each object.
fn typical() -> Tree {
    let mut tree = minimal();
    put(&mut tree, "web/x.example/hestia/web.conf", b"DOMAIN='x.example'\n");
    put(&mut tree, "mail/x.example/hestia/mail.conf", b"DOMAIN='x.example'\n");
    put(&mut tree, "db/bob_wp/hestia/db.conf", b"DB='bob_wp'\n");
    put(&mut tree, "db/bob_wp/bob_wp.mysql.sql", b"CREATE TABLE a;\n-- Dump completed\n");
    tree.insert(key("user_dir"), (outer(NodeKind::Folder), Vec::new()));
    let folder = || entry(NodeKind::Folder, b"");
    for path in ["web/x.example/data", "web/x.example/data/public_html", "user_dir/.ssh"] {
        tree.insert(key(path), folder());
    }
    let accounts = Meta { user: String::new(), group: String::new(), ..outer(NodeKind::Folder) };
    let accounts = Meta { mtime: Timestamp::default(), ..accounts };
    tree.insert(key("mail/x.example/accounts"), (accounts, Vec::new()));
    tree.insert(key("mail/x.example/accounts/info"), folder());
    tree.insert(key("mail/x.example/accounts/info/1"), entry(NodeKind::File, b"From: a"));
    tree.insert(key("web/x.example/data/public_html/a.php"), entry(NodeKind::File, &[7; 3000]));
    let (mut link, _) = entry(NodeKind::Symlink, b"");
    link.target = b"../../logs/x.log".to_vec();
    tree.insert(key("web/x.example/data/public_html/log"), (link, Vec::new()));
    tree.insert(key("user_dir/.ssh/authorized_keys"), entry(NodeKind::File, b"ssh-ed25519"));
    tree.insert(key("user_dir/notes.tar.gz"), entry(NodeKind::File, b"a plain file"));
    tree
}

fn assert_same(found: &Tree, expected: &Tree) {
    for (names, entry) in expected {
        assert_eq!(found.get(names), Some(entry), "{}", path_of(names));
    }
    for names in found.keys() {
        assert!(expected.contains_key(names), "{} is new", path_of(names));
    }
}

/// The sink writes the outer archive's modes as Hestia does at its plainest, and its own root.
fn with_plain_modes(tree: &Tree) -> Tree {
    let is_inner = |names: &Names| match names.first().map(Vec::as_slice) {
        Some(b"web") => names.get(2).is_some_and(|name| name == b"data"),
        Some(b"mail") => names.get(2).is_some_and(|name| name == b"accounts"),
        Some(b"user_dir") => names.len() > 1,
        _ => false,
    };
    let mut tree = tree.clone();
    for (names, (meta, _)) in &mut tree {
        if !is_inner(names) {
            let is_private = names.first().is_some_and(|name| name == b"hestia");
            meta.mode = match meta.kind {
                NodeKind::File => meta.mode & 0o755,
                NodeKind::Folder if is_private => meta.mode & 0o755,
                NodeKind::Folder => 0o755,
                _ => 0o644,
            };
        }
    }
    tree.get_mut(&Vec::new()).unwrap().0 = minimal().get(&Vec::new()).unwrap().0.clone();
    tree
}

#[test]
fn a_real_tarball_of_either_mode_opens_as_the_canonical_tree() {
    let zstd = open(sample("zstd")).unwrap();
    let gzip = open(sample("gzip")).unwrap();
    let home = [
        ".bash_logout",
        ".bashrc",
        ".cache",
        ".composer",
        ".config",
        ".local",
        ".npm",
        ".profile",
        ".ssh",
        ".vscode-server",
        ".wp-cli",
    ];
    let mut expected: Vec<String> = ["WEB", "DNS", "MAIL"]
        .iter()
        .map(|section| format!("{section} bob-small.example"))
        .chain(["DB bob_notes".to_owned(), "CRON 1".to_owned()])
        .collect();
    expected.extend(home.iter().map(|name| format!("UDIR {name}")));
    for opened in [&zstd, &gzip] {
        assert_eq!(opened.objects, expected);
        assert_eq!(opened.warnings, Vec::<String>::new());
        let (meta, text) = &opened.tree[&key("web/bob-small.example/data/public_html/hello.php")];
        assert_eq!((meta.size, meta.mode, meta.user.as_str()), (43, 0o644, "bob"));
        assert!(text.starts_with(b"<?php"));
        let (meta, _) = &opened.tree[&key("web/bob-small.example/data")];
        assert_eq!((meta.kind, meta.mode), (NodeKind::Folder, 0o551));
        let mailbox = "mail/bob-small.example/accounts/bob.b/.Sent/cur";
        assert!(opened.tree.contains_key(&key(mailbox)));
        let (_, dump) = &opened.tree[&key("db/bob_notes/bob_notes.mysql.sql")];
        assert!(dump.windows(17).any(|text| text == b"-- Dump completed"));
        assert!(opened.tree.contains_key(&key("user_dir/.ssh")));
        assert!(!opened.tree.contains_key(&key(".zstd")));
    }
    assert!(zstd.tree.keys().eq(gzip.tree.keys()), "both modes make the same tree");
}

#[test]
fn a_real_tarball_packed_again_is_the_same_tree() {
    for mode in ["zstd", "gzip"] {
        let tree = open(sample(mode)).unwrap().tree;
        for options in [ZSTD, GZIP] {
            let again = open(pack(&tree, options)).unwrap();
            assert_same(&again.tree, &with_plain_modes(&tree));
        }
    }
}

/// In through a repository in one mode, out in the other.
#[test]
fn a_real_tarball_survives_the_repository() {
    for (mode, options) in [("zstd", GZIP), ("gzip", ZSTD)] {
        let monitor = Collect::default();
        let secret = Secret::KeyFile([7; 32].into());
        let world = Arc::new(World::seeded(1));
        let backend = Arc::new(Mem::new());
        Repository::init(backend.clone(), &secret, "test", world.clone()).unwrap();
        let open_again = || {
            let repository = Repository::open(backend.clone(), &secret, world.clone()).unwrap();
            repository.indexed(&monitor).unwrap()
        };
        let template = Snapshot { user: "bob".to_owned(), ..Snapshot::default() };
        let mut source = HestiaTarball::open(sample(mode), "bob").unwrap();
        let report =
            backup(&open_again(), &mut source, &BackupOptions::new(template), &monitor).unwrap();
        assert_eq!(report.snapshot.objects_of("DB").collect::<Vec<_>>(), ["bob_notes"]);
        let file = tempfile::tempfile().unwrap();
        let sink = Box::new(HestiaTarballSink::new(file.try_clone().unwrap(), options).unwrap());
        let (root, all) = (RelPath::root(), Selection::all());
        to_sink(&open_again(), &report.snapshot, &root, &all, sink, &monitor).unwrap();
        assert_eq!(monitor.warnings(), Vec::<String>::new());
        let tree = open(sample(mode)).unwrap().tree;
        assert_same(&open(file).unwrap().tree, &with_plain_modes(&tree));
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| if byte == b'/' || byte == 0 { b'_' } else { byte });
    prop_oneof![
        8 => "[a-c]{1,2}".prop_map(String::into_bytes),
        2 => proptest::collection::vec(byte.clone(), 1..20),
        1 => proptest::collection::vec(byte, 90..=240),
    ]
    .prop_filter("a name", |name| name != b"." && name != b"..")
}

fn leaf() -> impl Strategy<Value = (Meta, Vec<u8>)> {
    let kind = prop_oneof![
        6 => Just(NodeKind::File),
        2 => Just(NodeKind::Folder),
        2 => Just(NodeKind::Symlink),
        1 => Just(NodeKind::Fifo),
    ];
    let size = prop_oneof![Just(0..1_usize), Just(1..600), Just(500..2000)];
    let text = size.prop_flat_map(|size| proptest::collection::vec(any::<u8>(), size));
    let xattr =
        proptest::option::of(("user.[a-z=%]{1,5}", proptest::collection::vec(any::<u8>(), 0..9)));
    let owner = prop_oneof![0..3000_u32, any::<u32>()];
    let time = (prop_oneof![0..2_000_000_000_i64, any::<i64>()], 0..1_000_000_000_u32);
    (kind, text, 0..0o10000_u32, owner, time, xattr, name()).prop_map(
        |(kind, text, mode, uid, (seconds, nanos), xattr, target)| {
            let text = if kind == NodeKind::File { text } else { Vec::new() };
            let mut meta = entry(kind, &text).0;
            (meta.mode, meta.uid) = (mode, uid);
            meta.mtime = Timestamp { seconds, nanos };
            if kind == NodeKind::Symlink {
                meta.target = target;
            }
            meta.xattrs =
                xattr.map(|(name, value)| (name.into_bytes(), value)).into_iter().collect();
            (meta, text)
        },
    )
}

/// Adds leaves below a folder; one that would lie in a file is left out.
fn grow(tree: &mut Tree, base: &str, leaves: &[(Names, (Meta, Vec<u8>))]) {
    for (below, leaf) in leaves {
        let whole = [key(base), below.clone()].concat();
        let is_folder = |entry: &(Meta, Vec<u8>)| entry.0.kind == NodeKind::Folder;
        let blocked =
            (1..whole.len()).any(|n| tree.get(&whole[..n]).is_some_and(|e| !is_folder(e)));
        if blocked || tree.contains_key(&whole) {
            continue;
        }
        for depth in key(base).len() + 1..whole.len() {
            tree.entry(whole[..depth].to_vec()).or_insert_with(|| entry(NodeKind::Folder, b""));
        }
        tree.insert(whole, leaf.clone());
    }
}

fn leaves() -> impl Strategy<Value = Vec<(Names, (Meta, Vec<u8>))>> {
    proptest::collection::vec((proptest::collection::vec(name(), 1..4), leaf()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_opens_as_the_same_tree(
        web in leaves(),
        mail in leaves(),
        home in leaves(),
        gzip in any::<bool>(),
    ) {
        let mut tree = typical();
        grow(&mut tree, "web/x.example/data", &web);
        grow(&mut tree, "mail/x.example/accounts", &mail);
        grow(&mut tree, "user_dir", &home);
        let opened = open(pack(&tree, if gzip { GZIP } else { ZSTD })).unwrap();
        prop_assert_eq!(opened.warnings, Vec::<String>::new());
        assert_same(&opened.tree, &tree);
    }

    #[test]
    fn a_plain_tar_stream_holds_any_tree(all in leaves()) {
        let mut tree = Tree::new();
        tree.insert(Vec::new(), entry(NodeKind::Folder, b""));
        grow(&mut tree, "", &all);
        let file = tempfile::tempfile().unwrap();
        let mut sink = Box::new(TarSink::new(file.try_clone().unwrap()));
        fill(sink.as_mut(), &tree).unwrap();
        sink.finish().unwrap();
        let stream = bytes_of(file);
        let found = collect(&mut TarSource::new(stream.as_slice()), &Collect::default()).unwrap();
        assert_same(&found, &tree);
    }
}

#[test]
fn packing_twice_writes_the_same_bytes() {
    let tree = typical();
    assert_eq!(bytes_of(pack(&tree, ZSTD)), bytes_of(pack(&tree, ZSTD)));
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    assert_eq!(errors, "", "{program} {arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn gnu_tar_lists_and_unpacks_what_we_pack() {
    if !["tar", "zstd", "gzip"].iter().all(|program| has(program)) {
        return;
    }
    for (options, suffix, flag) in [(ZSTD, "zst", "--zstd"), (GZIP, "gz", "-z")] {
        let mut tree = typical();
        let long = format!("web/x.example/data/{}/{}", "l".repeat(150), "n".repeat(200));
        let folder = format!("web/x.example/data/{}", "l".repeat(150));
        tree.insert(key(&folder), entry(NodeKind::Folder, b""));
        tree.insert(key(&long), entry(NodeKind::File, b"long"));
        let mut big = entry(NodeKind::File, b"big numbers");
        (big.0.uid, big.0.gid) = (3_000_000, 4_000_000_000);
        big.0.xattrs = vec![(b"user.a".to_vec(), b"b".to_vec())];
        tree.insert(key("web/x.example/data/big"), big);
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("t.tar"), bytes_of(pack(&tree, options))).unwrap();
        let listing = run("tar", &["--numeric-owner", "-tf", "t.tar"], place.path());
        let members: Vec<&str> = listing.lines().collect();
        let mut expected = vec!["./".to_owned()];
        if suffix == "zst" {
            expected.push("./.zstd".to_owned());
        }
        expected.extend(
            [
                "cron/",
                "cron/cron.conf",
                "db/",
                "db/bob_wp/",
                "db/bob_wp/bob_wp.mysql.sql.X",
                "db/bob_wp/hestia/",
                "db/bob_wp/hestia/db.conf",
                "hestia/",
                "hestia/user.conf",
                "mail/",
                "mail/x.example/",
                "mail/x.example/accounts.tar.X",
                "mail/x.example/hestia/",
                "mail/x.example/hestia/mail.conf",
                "pam/",
                "pam/passwd",
                "user_dir/",
                "user_dir/.ssh.tar.X",
                "user_dir/notes.tar.gz.tar.X",
                "web/",
                "web/x.example/",
                "web/x.example/domain_data.tar.X",
                "web/x.example/hestia/",
                "web/x.example/hestia/web.conf",
            ]
            .map(|name| format!("./{}", name.replace('X', suffix))),
        );
        assert_eq!(members, expected);
        let verbose = run("tar", &["-tvf", "t.tar"], place.path());
        assert!(verbose.contains("-rw-r--r-- root/root"), "{verbose}");
        assert!(verbose.contains("drwx------ root/root         0"), "{verbose}");
        run("tar", &["-xf", "t.tar", "--no-same-owner"], place.path());
        let data = format!("web/x.example/domain_data.tar.{suffix}");
        let inner = run("tar", &[flag, "--numeric-owner", "-tvf", &data], place.path());
        assert!(inner.contains("3000000/4000000000"), "{inner}");
        assert!(inner.contains("log -> ../../logs/x.log"), "{inner}");
        assert!(inner.lines().next().unwrap().ends_with(" ./"), "{inner}");
        run("tar", &[flag, "-xpf", &data, "--no-same-owner"], place.path());
        let found = |path: &str| std::fs::read(place.path().join(path)).unwrap();
        assert_eq!(found("public_html/a.php"), [7; 3000]);
        assert_eq!(found(&long["web/x.example/data/".len()..]), b"long");
        let modified = std::fs::metadata(place.path().join("public_html/a.php")).unwrap();
        assert_eq!((modified.mtime(), modified.mtime_nsec()), (1_790_000_123, 456_000_001));
        assert_eq!(modified.mode() & 0o7777, 0o640);
        let home = format!("user_dir/.ssh.tar.{suffix}");
        let names = run("tar", &[flag, "-tf", &home], place.path());
        assert_eq!(names, ".ssh/\n.ssh/authorized_keys\n");
        let mail = format!("mail/x.example/accounts.tar.{suffix}");
        let names = run("tar", &[flag, "-tf", &mail], place.path());
        assert_eq!(names, "info/\ninfo/1\n");
        let dump = format!("db/bob_wp/bob_wp.mysql.sql.{suffix}");
        let tool = if suffix == "zst" { "zstd" } else { "gzip" };
        assert!(run(tool, &["-dc", &dump], place.path()).starts_with("CREATE TABLE"));
        if suffix == "zst" && has("pzstd") {
            let plain =
                Command::new("pzstd").args(["-dc", &dump]).current_dir(place.path()).output();
            assert!(plain.unwrap().stdout.starts_with(b"CREATE TABLE"));
        }
    }
}

#[test]
fn a_file_of_several_names_stays_one_file_within_its_archive() {
    let mut tree = typical();
    let text = vec![9; 5000];
    let twin = |inode: u64, text: &[u8]| {
        let (meta, text) = entry(NodeKind::File, text);
        (Meta { inode, device: 1, links: 3, ..meta }, text)
    };
    for path in ["data/logs/0", "data/public_html/one", "data/public_html/three"] {
        tree.insert(key(&format!("web/x.example/{path}")), twin(5, &text));
    }
    tree.insert(key("web/x.example/data/logs"), entry(NodeKind::Folder, b""));
    // The same inode with other content: it changed between the two.
    tree.insert(key("web/x.example/data/public_html/two"), twin(5, b"changed"));
    // Another archive knows nothing of it.
    tree.insert(key("user_dir/.ssh/twin"), twin(5, &text));
    let packed = pack(&tree, GZIP);
    let found = open(packed.try_clone().unwrap()).unwrap();
    for path in ["web/x.example/data/public_html/one", "web/x.example/data/public_html/three"] {
        assert_eq!(found.tree[&key(path)].1, text, "{path}");
    }
    assert_eq!(found.tree[&key("web/x.example/data/public_html/two")].1, b"changed");
    assert_eq!(found.tree[&key("user_dir/.ssh/twin")].1, text);
    if !["tar", "gzip"].iter().all(|program| has(program)) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("t.tar"), bytes_of(packed)).unwrap();
    run("tar", &["-xf", "t.tar", "--no-same-owner"], place.path());
    let data = "web/x.example/domain_data.tar.gz";
    let unpack = ["-xzpf", data, "--no-same-owner", "--anchored", "--exclude=./logs/*"];
    run("tar", &unpack, place.path());
    let inode = |name: &str| {
        let meta = std::fs::metadata(place.path().join("public_html").join(name)).unwrap();
        (meta.ino(), meta.nlink(), meta.size())
    };
    assert_eq!(inode("one"), inode("three"));
    assert_eq!(inode("one").1, 2);
    assert_eq!((inode("two").1, inode("two").2), (1, 7));
}

/// A tarball made by GNU tar as `v-backup-user` does, from real files.
#[test]
fn what_gnu_tar_packs_with_links_opens() {
    if !["tar", "gzip"].iter().all(|program| has(program)) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let at = |path: &str| place.path().join(path);
    for folder in ["data/a/b", "t/web/x.example", "t/pam", "t/hestia", "t/user_dir"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    std::fs::write(at("t/pam/passwd"), "bob:x:1\n").unwrap();
    std::fs::write(at("t/hestia/user.conf"), "ROLE='user'\n").unwrap();
    std::fs::write(at("data/a/first"), "twin").unwrap();
    std::fs::hard_link(at("data/a/first"), at("data/a/b/second")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("data/a/link")).unwrap();
    std::fs::hard_link(at("data/a/link"), at("data/a/twin-link")).unwrap();
    let archive = at("t/web/x.example/domain_data.tar.gz");
    run(
        "tar",
        &["--sort=name", "-C", "data", "-czf", archive.to_str().unwrap(), "."],
        place.path(),
    );
    let archive = at("t/user_dir/a.tar.gz");
    run("tar", &["-C", "data", "-czf", archive.to_str().unwrap(), "a"], place.path());
    run("tar", &["-C", "t", "-cf", "t.tar", "."], place.path());
    let tree = open(File::open(at("t.tar")).unwrap()).unwrap().tree;
    for base in ["web/x.example/data/a", "user_dir/a"] {
        for name in ["first", "b/second"] {
            let (meta, text) = &tree[&key(&format!("{base}/{name}"))];
            assert_eq!((meta.kind, meta.size, text.as_slice()), (NodeKind::File, 4, &b"twin"[..]));
        }
        for name in ["link", "twin-link"] {
            let (meta, _) = &tree[&key(&format!("{base}/{name}"))];
            assert_eq!((meta.kind, meta.target.as_slice()), (NodeKind::Symlink, &b"nowhere"[..]));
        }
    }
}

/// A tarball of members as given.
fn handmade(members: &[(&str, &[u8])]) -> File {
    let mut tar = TarWriter::new(Vec::new());
    for (name, text) in members {
        let kind = if name.ends_with('/') { NodeKind::Folder } else { NodeKind::File };
        let meta = Meta { size: text.len() as u64, ..outer(kind) };
        tar.member(name.as_bytes(), &meta, &mut &text[..]).unwrap();
    }
    file_of(&tar.finish().unwrap())
}

const PASSWD: (&str, &[u8]) = ("./pam/passwd", b"bob:x:1005:1005::/home/bob:/bin/sh\n");
const USER_CONF: (&str, &[u8]) = ("./hestia/user.conf", b"ROLE='user'\n");

fn opened_with(name: &str, text: &[u8]) -> Result<Opened> {
    open(handmade(&[PASSWD, USER_CONF, (name, text)]))
}

fn zstd_of(text: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn gzip_of(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(4));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A small inner archive.
fn inner(names: &[&str]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for name in names {
        let (meta, text) = entry(NodeKind::File, name.as_bytes());
        tar.member(name.as_bytes(), &meta, &mut text.as_slice()).unwrap();
    }
    tar.finish().unwrap()
}

fn failure(opened: Result<Opened>) -> String {
    let error = opened.err().expect("this must fail");
    assert_eq!(error.kind(), Kind::Parsing, "{error}");
    error.one_line()
}

#[test]
fn what_is_no_tarball_of_this_user_is_refused() {
    for (members, expected) in [
        (&[USER_CONF][..], "no ./pam/passwd"),
        (&[PASSWD][..], "no ./hestia/user.conf"),
        (&[("./pam/passwd", &b"alice:x:1\n"[..]), USER_CONF], "a tarball of 'alice'"),
        (&[("./pam/passwd", b"bob:x:1\nalice:x:2\n"), USER_CONF], "a tarball of 'alice'"),
        (&[("./pam/passwd", b"bob2:x:1\n"), USER_CONF], "a tarball of 'bob2'"),
        (&[("./pam/passwd", b"\n"), USER_CONF], "passwd is empty"),
        (&[("./vesta/user.conf", b""), PASSWD], "no ./hestia/user.conf"),
    ] {
        let failure = failure(open(handmade(members)));
        assert!(failure.contains(expected), "{failure}");
        assert!(failure.contains("not a Hestia tarball of this user"), "{failure}");
    }
    assert!(failure(open(file_of(b""))).contains("cut off"));
    assert!(failure(open(file_of(&[b'x'; 5000]))).contains("checksum"));
    assert!(open(handmade(&[("x/unknown", b"kept"), PASSWD, USER_CONF])).is_ok());
}

#[test]
fn several_frames_and_members_are_read_to_the_last() {
    let whole = inner(&["./a", "./b"]);
    let (one, two) = whole.split_at(700);
    for (suffix, text) in [
        ("zst", [zstd_of(one), zstd_of(two)].concat()),
        ("gz", [gzip_of(one), gzip_of(two)].concat()),
        // Told by its content, not by its name.
        ("gz", zstd_of(&whole)),
    ] {
        let name = format!("./web/x.example/domain_data.tar.{suffix}");
        let tree = opened_with(&name, &text).unwrap().tree;
        assert_eq!(tree[&key("web/x.example/data/b")].1, b"./b");
    }
}

#[test]
fn a_broken_archive_within_names_itself() {
    let whole = inner(&["./a", "./b"]);
    for (suffix, pack) in [("zst", zstd_of as fn(&[u8]) -> Vec<u8>), ("gz", gzip_of)] {
        let name = format!("./web/x.example/domain_data.tar.{suffix}");
        let packed = pack(&whole);
        let mut wrong: Vec<Vec<u8>> = vec![
            Vec::new(),
            b"plain".to_vec(),
            whole.clone(),
            [packed.as_slice(), b"x"].concat(),
            [packed.as_slice(), b"more than a magic number"].concat(),
            // Whole as a stream, cut off as an archive.
            pack(&whole[..3000]),
            pack(&whole[..1024]),
            pack(&[]),
            pack(&[whole.as_slice(), b"x"].concat()),
        ];
        wrong.extend((0..packed.len()).map(|cut| packed[..cut].to_vec()));
        for (place, text) in wrong.iter().enumerate() {
            let opened = opened_with(&name, text);
            assert!(opened.is_err(), "{suffix} {place} went unseen");
            let failure = failure(opened);
            assert!(failure.contains("domain_data.tar"), "{suffix} {place}: {failure}");
        }
        assert!(opened_with(&name, &packed).is_ok());
    }
}

#[test]
fn an_archive_of_the_home_holds_its_own_entry_only() {
    let packed = zstd_of(&inner(&["docs/a"]));
    assert!(opened_with("./user_dir/docs.tar.zst", &packed).is_ok());
    let failed = failure(opened_with("./user_dir/other.tar.zst", &packed));
    assert!(failed.contains("'other' only"), "{failed}");
    let empty = opened_with("./user_dir/docs.tar.zst", &zstd_of(&inner(&[]))).unwrap();
    assert!(empty.warnings[0].contains("its archive is empty"), "{:?}", empty.warnings);
}

#[test]
fn nothing_may_hide_under_the_name_of_an_archive() {
    let packed = zstd_of(&inner(&["./a"]));
    for members in [
        [("./web/x/domain_data.tar.zst", packed.as_slice()), ("./web/x/data/b", &b""[..])],
        [("./web/x/data/b", b""), ("./web/x/domain_data.tar.zst", &packed)],
        [("./web/x/domain_data.tar.zst", &packed), ("./web/x/domain_data.tar.gz", &packed)],
        [("./web/x/data/", b""), ("./web/x/domain_data.tar.zst", &packed)],
    ] {
        let members = [&[PASSWD, USER_CONF][..], &members].concat();
        failure(open(handmade(&members)));
    }
}

#[test]
fn a_dump_without_its_end_is_reported() {
    for (name, text, expected) in [
        ("bob_wp.mysql.sql.zst", &b"x\n-- Dump completed on 2026-11-22\n"[..], None),
        ("bob_wp.mysql.sql.zst", b"x\n-- Dump completed", None),
        ("bob_wp.mysql.sql.zst", b"INSERT INTO", Some("closing line '-- Dump completed'")),
        ("bob_wp.mysql.sql.zst", b"x -- Dump completed", Some("closing line")),
        ("bob_wp.mysql.sql.zst", b"", Some("the dump is empty")),
        (
            "bob_wp.pgsql.sql.zst",
            b"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n",
            None,
        ),
        ("bob_wp.pgsql.sql.zst", b"-- Dump completed", Some("closing line '-- PostgreSQL")),
        ("bob_wp.other.sql.zst", b"x", None),
    ] {
        let member = format!("./db/bob_wp/{name}");
        let opened = opened_with(&member, &zstd_of(text)).unwrap();
        let plain = key(&member.replace(".zst", ""));
        assert_eq!(opened.tree[&plain].1, text);
        match expected {
            None => assert_eq!(opened.warnings, Vec::<String>::new(), "{name}"),
            Some(words) => assert!(opened.warnings[0].contains(words), "{:?}", opened.warnings),
        }
        assert_eq!(opened.objects, ["DB bob_wp"]);
    }
    // A file that is not the dump of this database stays what it is.
    let opened = opened_with("./db/bob_wp/other.sql.zst", b"as it is").unwrap();
    assert_eq!(opened.tree[&key("db/bob_wp/other.sql.zst")].1, b"as it is");
}

#[test]
fn a_dump_is_looked_at_even_if_nobody_reads_it() {
    let mut broken = zstd_of(&[b'x'; 5000]);
    broken.truncate(broken.len() - 2);
    let file = handmade(&[PASSWD, USER_CONF, ("./db/bob_wp/bob_wp.mysql.sql.zst", &broken)]);
    let monitor = Collect::default();
    let mut source = HestiaTarball::open(file, "bob").unwrap();
    let error = loop {
        match source.next_entry(&monitor) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a broken dump went unseen"),
            Err(error) => break error,
        }
    };
    assert!(error.one_line().contains("bob_wp.mysql.sql"), "{error}");
}

#[test]
fn what_hestia_would_trip_over_is_left_out_or_added() {
    let mut tree = minimal();
    tree.remove(&key("cron"));
    tree.remove(&key("cron/cron.conf"));
    tree.insert(key("user_dir"), (outer(NodeKind::Folder), Vec::new()));
    put(&mut tree, "vesta/user.conf", b"ROLE='admin'\n");
    put(&mut tree, "hestia/user.conf", b"ROLE='admin'\n");
    let found = open(pack(&tree, ZSTD)).unwrap().tree;
    assert_eq!(found[&key("cron/cron.conf")].1, b"");
    assert_eq!(found[&key("hestia/user.conf")].1, b"ROLE='user'\n");
    for gone in ["user_dir", "vesta", "vesta/user.conf"] {
        assert!(!found.contains_key(&key(gone)), "{gone}");
    }
    let admin = Options { role_admin_allowed: true, ..GZIP };
    let found = open(pack(&tree, admin)).unwrap().tree;
    assert_eq!(found[&key("hestia/user.conf")].1, b"ROLE='admin'\n");
}

#[test]
fn what_no_tarball_can_say_is_refused() {
    let mut tree = minimal();
    tree.remove(&key("pam/passwd"));
    assert!(try_pack(&tree, ZSTD).unwrap_err().one_line().contains("pam/passwd"));
    for hidden in [
        "web/x.example/domain_data.tar.zst",
        "web/x.example/domain_data.tar.gz",
        "mail/x.example/accounts.tar.gz",
        "db/bob_wp/bob_wp.mysql.sql.zst",
    ] {
        let mut tree = minimal();
        put(&mut tree, hidden, b"");
        let error = try_pack(&tree, ZSTD).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{hidden}");
    }
    let mut tree = minimal();
    tree.insert(key("user_dir"), (outer(NodeKind::Folder), Vec::new()));
    tree.insert(key(&format!("user_dir/{}", "x".repeat(250))), entry(NodeKind::File, b""));
    assert!(try_pack(&tree, ZSTD).is_err());
    let mut tree = minimal();
    tree.get_mut(&key("cron/cron.conf")).unwrap().0.size += 1;
    assert!(try_pack(&tree, ZSTD).is_err(), "content that ends early");
    tree.get_mut(&key("cron/cron.conf")).unwrap().0.size -= 2;
    assert!(try_pack(&tree, ZSTD).is_err(), "content that goes on");
}

#[test]
fn a_selection_makes_a_tarball_too() {
    let all = typical();
    let only_mail: Tree = all
        .iter()
        .filter(|(names, _)| {
            let top = names.first().map_or(&b""[..], Vec::as_slice);
            [&b""[..], b"mail", b"pam", b"hestia"].contains(&top)
        })
        .map(|(names, entry)| (names.clone(), entry.clone()))
        .collect();
    let opened = open(pack(&only_mail, ZSTD)).unwrap();
    assert_eq!(opened.objects, ["MAIL x.example"]);
    assert!(opened.tree.contains_key(&key("mail/x.example/accounts/info/1")));
}

/// Where the plain content of the outer archive lies: no checksum guards it, so a change there
/// makes another tree and nobody can know.
fn unguarded(stream: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut archive = tar::Archive::new(stream);
    let mut ranges = Vec::new();
    for member in archive.entries().unwrap() {
        let member = member.unwrap();
        let name = member.path_bytes().into_owned();
        let start = usize::try_from(member.raw_file_position()).unwrap();
        let size = usize::try_from(member.size()).unwrap();
        if !name.ends_with(b".zst") && !name.ends_with(b".gz") {
            ranges.push(start..start + size);
        }
    }
    ranges
}

#[test]
fn every_cut_is_an_error() {
    for options in [ZSTD, GZIP] {
        let whole = bytes_of(pack(&typical(), options));
        let content = whole.iter().rposition(|byte| *byte != 0).unwrap();
        // Behind the end mark there is only padding, which nobody misses.
        let end = (content / 512 + 1) * 512 + 1024;
        for cut in (0..end).step_by(37).chain((0..end).step_by(512)) {
            failure(open(file_of(&whole[..cut])));
        }
        assert_same(&open(file_of(&whole[..end])).unwrap().tree, &typical());
    }
}

#[test]
fn a_changed_bit_is_an_error_or_changes_nothing() {
    for options in [ZSTD, GZIP] {
        let whole = bytes_of(pack(&typical(), options));
        let unguarded = unguarded(&whole);
        let expected = typical();
        for place in 0..whole.len() {
            if unguarded.iter().any(|range| range.contains(&place)) {
                continue;
            }
            let mut broken = whole.clone();
            broken[place] ^= 1 << (place % 8);
            if let Ok(opened) = open(file_of(&broken)) {
                assert_same(&opened.tree, &expected);
            }
        }
    }
}
