// SPDX-License-Identifier: MIT
//! The rules of the house as data, and the checks that hold them. Each rule is a function from a
//! file to what is wrong with it, with a small test of its own; one test runs them over all files.
#![allow(missing_docs, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms and their ranks: a room uses rooms of lower rank only (docs/design.md).
const RANKS: &[(&str, u8)] = &[
    ("base", 0),
    ("crypto", 1),
    ("backend", 1),
    ("format", 2),
    ("repo", 3),
    ("tree", 3),
    ("ops", 4),
    ("hestia", 5),
    ("cli", 6),
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;
const STRING_COLUMNS_MAX: usize = 160;

/// Words that belong to one place, outside of unit tests: all of them on one line, where they may
/// stand, and what to use instead.
const PLACES: &[(&[&str], &[&str], &str)] = &[
    (&["SystemTime::now"], &["base/world.rs"], "World::now"),
    (&["Instant::now"], &["base/world.rs"], "World::ticks"),
    (&["thread::sleep"], &["base/world.rs"], "World::sleep"),
    (&["getrandom::"], &["base/world.rs"], "World::fill_random"),
    (
        &["process::", "Command"],
        // backend/child.rs: `ssh` and rclone reach places that no library of ours does.
        // hestia/queue/child.rs: jobs outlive whoever starts them.
        &[
            "hestia/call.rs",
            "hestia/queue/child.rs",
            "tree/command.rs",
            "cli/secret.rs",
            "backend/child.rs",
        ],
        "hestia::call or tree::command",
    ),
    (&["println!("], &["cli/output.rs", "cli/progress.rs"], "cli::output, a report or a monitor"),
    (&["print!("], &["cli/output.rs", "cli/progress.rs"], "cli::output, a report or a monitor"),
    (&["stdout()"], &["cli/output.rs", "cli/progress.rs"], "cli::output"),
    (&["stderr()"], &["cli/output.rs", "cli/progress.rs"], "cli::output"),
    (
        &["std::fs"],
        &["base/world.rs", "backend/", "tree/", "ops/restore/", "hestia/", "cli/"],
        "a Backend or a Source",
    ),
    (&["std::net"], &["backend/"], "a Backend"),
    (&["std::env"], &["base/world.rs", "hestia/", "cli/", "main.rs"], "options handed in"),
];

/// What breaks a rule today, with the reason. This list only ever gets shorter.
const KNOWN: &[(&str, &str, &str)] = &[
    ("line length", "src/base/limits.rs", "a comment that wants one word less"),
    ("line length", "src/base/path.rs", "a pattern inside a macro that rustfmt leaves alone"),
    ("line length", "src/crypto/seal.rs", "a comment that wants one word less"),
    ("line length", "src/hestia/conf.rs", "the name of a property test"),
    ("line length", "src/hestia/jobs/filter.rs", "a row as Hestia writes it, in a test"),
    ("line length", "src/repo/index.rs", "a comment that wants one word less"),
    ("line length", "tests/common/hestia.rs", "rows as Hestia writes them"),
];

struct File {
    path: String,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Wrong {
    rule: &'static str,
    path: String,
    detail: String,
}

fn wrong(rule: &'static str, file: &File, detail: impl Into<String>) -> Wrong {
    Wrong { rule, path: file.path.clone(), detail: detail.into() }
}

impl File {
    fn is_source(&self) -> bool {
        self.path.starts_with("src/") && self.has_ending("rs")
    }

    fn has_ending(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == ending)
    }

    fn in_src(&self) -> &str {
        self.path.strip_prefix("src/").unwrap_or(&self.path)
    }

    fn room(&self) -> Option<(&'static str, u8)> {
        let folder = self.in_src().split_once('/')?.0;
        RANKS.iter().copied().find(|(room, _)| *room == folder)
    }

    /// The lines before the unit tests, which end a file.
    fn before_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(place, line)| (place + 1, line));
        lines.take_while(|(_, line)| *line != "#[cfg(test)]")
    }
}

/// The code of a line, without its comment. (A `//` inside a string cuts too much: harmless here.)
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

// ---- The rules. ----

fn ranks(file: &File) -> Vec<Wrong> {
    let Some((room, rank)) = file.room() else { return Vec::new() };
    let mut found = Vec::new();
    for (place, line) in (1..).zip(file.text.lines()) {
        for used in rooms_used(code(line)) {
            let other = RANKS.iter().find(|(name, _)| *name == used);
            if used != room && other.is_some_and(|(_, other)| *other >= rank) {
                found.push(wrong("ranks", file, format!("line {place}: {room} uses {used}")));
            }
        }
    }
    found
}

/// The rooms that a line names as `crate::room` or `crate::{room::.., room::..}`.
fn rooms_used(line: &str) -> Vec<&str> {
    let word =
        |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut used = Vec::new();
    for after in line.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => used.push(&after[..word(after)]),
            Some(group) => {
                for part in group.split(',').map(str::trim_start) {
                    used.push(&part[..word(part)]);
                }
            }
        }
    }
    used
}

fn file_length(file: &File) -> Vec<Wrong> {
    let lines = file.before_tests().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![wrong("file length", file, format!("{lines} lines before its tests"))]
}

/// Relies on rustfmt: a function ends at the first `}` of its own indentation.
fn function_length(file: &File) -> Vec<Wrong> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let rest = &lines[place..];
        let opens = rest.iter().position(|line| line.ends_with(['{', ';', '}'])).unwrap_or(0);
        if !rest[opens].ends_with('{') {
            continue;
        }
        let end = format!("{indent}}}");
        let length = rest.iter().position(|line| *line == end).map_or(0, |place| place + 1);
        if length > FUNCTION_LINES_MAX {
            found.push(wrong("function length", file, format!("{name} has {length} lines")));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let before = ["pub", "pub(crate)", "pub(super)", "const", "async", "extern", "\"C\""];
    let word = words.find(|word| !before.contains(word))?;
    if word != "fn" {
        return None;
    }
    words.next().map(|name| name.split(['(', '<']).next().unwrap_or(name))
}

/// rustfmt breaks what it can; a string it cannot break may be somewhat longer.
fn line_length(file: &File) -> Vec<Wrong> {
    let long = (1..).zip(file.text.lines()).filter(|(_, line)| {
        let room = if line.contains('"') { STRING_COLUMNS_MAX } else { LINE_COLUMNS_MAX };
        line.chars().count() > room
    });
    long.map(|(place, _)| wrong("line length", file, format!("line {place}"))).collect()
}

fn header(file: &File) -> Vec<Wrong> {
    let opens = |line: &&str| line.starts_with("#!") || *line == "<?php";
    let mut lines = file.text.lines().skip_while(opens);
    let licence = lines.next().unwrap_or_default();
    let purpose = lines.next().unwrap_or_default();
    let licence = licence.trim_start_matches(['#', '/', ' ']);
    if licence != "SPDX-License-Identifier: MIT" {
        return vec![wrong("header", file, "its first line is not the SPDX line")];
    }
    if file.has_ending("rs") && !purpose.starts_with("//! ") {
        return vec![wrong("header", file, "its second line does not say what it is for")];
    }
    Vec::new()
}

fn places(file: &File) -> Vec<Wrong> {
    let mut found = Vec::new();
    for (place, line) in file.before_tests() {
        // Asking whether somebody is watching prints nothing.
        let line =
            code(line).replace("stdout().is_terminal", "").replace("stderr().is_terminal", "");
        for (words, allowed, instead) in PLACES {
            let here = allowed.iter().any(|one| file.in_src().starts_with(one));
            if !here && words.iter().all(|word| line.contains(word)) {
                let detail = format!("line {place}: {}: use {instead}", words.join(" .. "));
                found.push(wrong("places", file, detail));
            }
        }
    }
    found
}

fn unfinished(file: &File) -> Vec<Wrong> {
    // Put together here, so that this file does not trip over itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let mut found = Vec::new();
    for (place, line) in (1..).zip(file.text.lines()) {
        let mut parts = line.split(|c: char| !c.is_alphanumeric());
        if parts.any(|part| words.iter().any(|word| word == part)) {
            found.push(wrong("unfinished", file, format!("line {place}")));
        }
    }
    found
}

fn build_paths(file: &File) -> Vec<Wrong> {
    // An administrator may keep a key below the home of root; a toolchain's folders there are ours.
    let words = [("work", ""), ("root", ".")].map(|(name, dot)| format!("/{name}/{dot}"));
    let mut found = Vec::new();
    for (place, line) in (1..).zip(file.text.lines()) {
        for word in words.iter().filter(|word| line.contains(word.as_str())) {
            found.push(wrong("build paths", file, format!("line {place}: {word}")));
        }
    }
    found
}

fn title(file: &File) -> Vec<Wrong> {
    // A generated document says first that it is generated.
    let first = file.text.lines().find(|line| !line.starts_with("<!--") && !line.is_empty());
    if first.is_some_and(|line| line.starts_with("# ")) {
        return Vec::new();
    }
    vec![wrong("title", file, "it does not start with a title")]
}

fn links(file: &File, exists: &dyn Fn(&str) -> bool) -> Vec<Wrong> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for after in file.text.split("](").skip(1) {
        let target = after.split([')', '#', ' ']).next().unwrap_or_default();
        if target.is_empty() || target.contains(':') {
            continue;
        }
        if !exists(&resolve(folder, target)) {
            found.push(wrong("links", file, format!("{target} does not exist")));
        }
    }
    found
}

fn resolve(folder: &str, target: &str) -> String {
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// Every file is named in the map, and the map names no file that is not there.
fn map(map: &File, sources: &BTreeSet<String>) -> Vec<Wrong> {
    let named: BTreeSet<String> = map
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|word| word.ends_with(".rs") && !word.starts_with("tests/"))
        .map(str::to_owned)
        .collect();
    let lacking = sources.difference(&named).map(|path| format!("{path} is not named"));
    let gone = named.difference(sources).map(|path| format!("{path} does not exist"));
    lacking.chain(gone).map(|detail| wrong("map", map, detail)).collect()
}

/// Every direct dependency has its reason in deny.toml.
fn dependencies(manifest: &File, deny: &str) -> Vec<Wrong> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.text.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.contains("dependencies")
            && let Some((name, _)) = line.split_once(" = ")
            && !deny.lines().any(|line| line.starts_with(&format!("# {name}:")))
        {
            found.push(wrong(
                "dependencies",
                manifest,
                format!("deny.toml says nothing of {name}"),
            ));
        }
    }
    found
}

// ---- All of them over all files. ----

/// The folder of Cargo.toml; cargo tells it when it runs the test.
fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into()))
}

/// Text files of the project, by their path below its root. Folders of build results are left out.
fn project() -> Vec<File> {
    let mut files = Vec::new();
    collect(&root(), "", &mut files);
    assert!(files.len() > 50, "the project has more files than {}", files.len());
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    const LEFT_OUT: &[&str] =
        &[".git", "target", "tmp", "tests/golden", "debian/ghostsnap", "debian/.debhelper"];
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if LEFT_OUT.contains(&path.as_str()) {
            continue;
        }
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            files.push(File { path, text });
        }
    }
}

fn everything_wrong(files: &[File]) -> Vec<Wrong> {
    let mut found = Vec::new();
    for file in files {
        if file.is_source() {
            for rule in [ranks, file_length, function_length, places] {
                found.extend(rule(file));
            }
        }
        if ["rs", "py", "sh", "php", "js"].iter().any(|ending| file.has_ending(ending)) {
            found.extend(header(file));
        }
        if file.has_ending("rs") {
            found.extend(line_length(file));
        }
        if file.has_ending("md") {
            found.extend(title(file));
            let root = root();
            found.extend(links(file, &|path| root.join(path).exists()));
        }
        found.extend(unfinished(file));
        found.extend(build_paths(file));
    }
    let named = |path: &str| files.iter().find(|file| file.path == path).unwrap();
    let in_map = |file: &&File| file.is_source() && file.in_src() != "lib.rs";
    let sources = files.iter().filter(in_map).map(|file| file.in_src().to_owned()).collect();
    found.extend(map(named("src/lib.rs"), &sources));
    found.extend(dependencies(named("Cargo.toml"), &named("deny.toml").text));
    found
}

#[test]
fn the_house_is_tidy() {
    let found = everything_wrong(&project());
    let is_known =
        |one: &Wrong| KNOWN.iter().any(|(rule, path, _)| *rule == one.rule && *path == one.path);
    let report: Vec<String> = found
        .iter()
        .filter(|one| !is_known(one))
        .map(|one| format!("{}: {}: {}", one.rule, one.path, one.detail))
        .collect();
    assert!(report.is_empty(), "{} things to tidy:\n{}", report.len(), report.join("\n"));
    for (rule, path, reason) in KNOWN {
        let still = found.iter().any(|one| one.rule == *rule && one.path == *path);
        assert!(still, "{path} no longer breaks '{rule}' ({reason}): take it off the list");
    }
}

// ---- Each rule by itself. ----

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn a_room_uses_lower_ranks_only() {
    let bad = |path, text| ranks(&file(path, text)).len();
    assert_eq!(bad("src/repo/x.rs", "use crate::format::{Tree, Node};\ncrate::base::x();"), 0);
    assert_eq!(bad("src/repo/x.rs", "use crate::repo::Index;\nuse crate::backend;"), 0);
    assert_eq!(bad("src/repo/x.rs", "use crate::tree::Source;"), 1);
    assert_eq!(bad("src/base/x.rs", "    let y = crate::ops::backup::run(); // crate::cli"), 1);
    assert_eq!(bad("src/crypto/x.rs", "use crate::{base::Error, backend::Backend};"), 1);
    assert_eq!(bad("src/repo/x.rs", "//! See [`crate::ops`]."), 0);
    assert_eq!(bad("src/main.rs", "use crate::cli;"), 0);
}

#[test]
fn long_files_and_functions_are_found_and_tests_do_not_count() {
    let long = format!("{}#[cfg(test)]\n{}", "x\n".repeat(600), "y\n".repeat(600));
    assert!(file_length(&file("src/a.rs", &long)).is_empty());
    assert_eq!(file_length(&file("src/a.rs", &"x\n".repeat(601))).len(), 1);
    let function = |lines: usize| {
        format!(
            "impl A {{\n    pub fn f(\n        a: u8,\n    ) {{\n{}    }}\n}}\n",
            "        x;\n".repeat(lines)
        )
    };
    assert!(function_length(&file("src/a.rs", &function(66))).is_empty());
    let found = function_length(&file("src/a.rs", &function(67)));
    assert_eq!(found[0].detail, "f has 71 lines");
    let declared =
        format!("trait T {{\n    fn f();\n    fn g() {{}}\n{}}}\n", "    // x\n".repeat(90));
    assert!(function_length(&file("src/a.rs", &declared)).is_empty());
}

#[test]
fn long_lines_are_found() {
    assert!(line_length(&file("a.rs", &"ä".repeat(100))).is_empty());
    assert_eq!(line_length(&file("a.rs", &"ä".repeat(101))).len(), 1);
    assert!(line_length(&file("a.rs", &format!("\"{}\"", "a".repeat(150)))).is_empty());
    assert_eq!(line_length(&file("a.rs", &format!("\"{}\"", "a".repeat(159)))).len(), 1);
}

#[test]
fn a_file_starts_with_its_licence_and_its_purpose() {
    let spdx = "SPDX-License-Identifier: MIT";
    assert!(header(&file("a.rs", &format!("// {spdx}\n//! What it is.\n"))).is_empty());
    assert!(header(&file("a.sh", &format!("#!/bin/sh\n# {spdx}\n"))).is_empty());
    assert!(header(&file("a.php", &format!("<?php\n// {spdx}\n"))).is_empty());
    assert_eq!(header(&file("a.rs", &format!("// {spdx}\nfn x() {{}}\n"))).len(), 1);
    assert_eq!(header(&file("a.py", "print(1)\n")).len(), 1);
}

#[test]
fn words_stay_in_their_places() {
    let bad = |path, text| places(&file(path, text)).len();
    assert_eq!(bad("src/base/world.rs", "SystemTime::now()"), 0);
    assert_eq!(bad("src/ops/a.rs", "SystemTime::now()"), 1);
    assert_eq!(bad("src/ops/a.rs", "use std::process::{Child, Command};"), 1);
    assert_eq!(bad("src/hestia/call.rs", "use std::process::Command;"), 0);
    assert_eq!(bad("src/cli/args.rs", "clap::Command::new(\"ghostsnap\")"), 0);
    assert_eq!(bad("src/ops/a.rs", "    eprintln!(\"x\");"), 1);
    assert_eq!(bad("src/repo/a.rs", "use std::fs::File;"), 1);
    assert_eq!(bad("src/ops/a.rs", "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }"), 0);
    assert_eq!(bad("src/ops/a.rs", "// Instant::now is not for us"), 0);
}

#[test]
fn what_is_unfinished_is_found() {
    let text = [["TO", "DO: later\n"], ["mktemp /tmp/a.XX", "XXXX\n"]].map(|parts| parts.concat());
    assert_eq!(unfinished(&file("a.sh", &text.concat())).len(), 1);
}

#[test]
fn paths_of_the_machine_it_was_made_on_are_found() {
    let text = ["a", "work", "b\n", "root", ".cargo\n"].join("/");
    let found = build_paths(&file("a.md", &text));
    assert_eq!(found.len(), 2, "{found:?}");
    let fine = ["/home/work-shop, network/rooted, ", "root", "recovery.key"].join("/");
    assert!(build_paths(&file("a.md", &fine)).is_empty());
}

#[test]
fn a_document_has_a_title_and_its_links_lead_somewhere() {
    assert!(title(&file("a.md", "<!-- generated -->\n# A\n")).is_empty());
    assert_eq!(title(&file("a.md", "text\n")).len(), 1);
    let text = "[a](b.md#c) [d](https://e) [f](../g.md) [h](#i)";
    let found = links(&file("docs/a.md", text), &|path| path == "docs/b.md");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].detail, "../g.md does not exist");
    assert!(links(&file("docs/adr/a.md", "[x](../b.md)"), &|path| path == "docs/b.md").is_empty());
}

#[test]
fn the_map_names_what_is_there() {
    let lib = file("src/lib.rs", "//! - `base/id.rs`: ids\n//! - `base/gone.rs`: x `World`\n");
    let sources = ["base/id.rs", "base/new.rs"].map(str::to_owned).into();
    let found: Vec<String> = map(&lib, &sources).into_iter().map(|one| one.detail).collect();
    assert_eq!(found, ["base/new.rs is not named", "base/gone.rs does not exist"]);
}

#[test]
fn a_dependency_has_a_reason() {
    let manifest =
        file("Cargo.toml", "[package]\nname = \"x\"\n[dependencies]\na = \"1\"\nb = \"1\"\n");
    let found = dependencies(&manifest, "# a: does a\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].detail.ends_with(" b"));
}
