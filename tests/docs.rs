// SPDX-License-Identifier: MIT
//! Proves what can be proven of the pages that people write. configuration.md names every key that
//! a file of settings may have, and none that there is not: what the parser knows is read off the
//! source, the `Written...` structs below src/hestia and the table of a repository's options. And
//! commands that a page names exist, with their options, as the generated cli.md has them.
#![allow(missing_docs, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../docs/configuration.md");
const COMMANDS: &str = include_str!("../docs/cli.md");

/// The part of the page below a heading of the second order.
fn part(heading: &str) -> &'static str {
    let start = format!("\n## {heading}\n");
    let (_, after) = PAGE.split_once(start.as_str()).unwrap();
    after.split("\n## ").next().unwrap()
}

/// The words in backquotes in a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The keys that the tables of a part are about: what is quoted in their first column.
fn keys_on_page(part: &str) -> BTreeSet<&str> {
    let rows = part.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" |").next());
    cells.filter(|cell| cell.starts_with('`')).flat_map(quoted).collect()
}

/// The tables that a part speaks of, such as `packages` and `NAME` in `[packages.NAME]`.
fn tables_on_page(part: &str) -> BTreeSet<&str> {
    let tables = quoted(part).filter_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    tables.flat_map(|table| table.split('.')).collect()
}

/// The files below a folder with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn source(path: &str) -> PathBuf {
    project("src/hestia").join(path)
}

/// A key as a struct has it.
#[derive(Debug)]
struct Field {
    key: String,
    /// Whether it is a table.
    is_table: bool,
}

/// The fields of the structs `Written...` of a file that serde fills. One that is only there to be
/// refused with a better message is left out.
fn fields(text: &str) -> Vec<Field> {
    let (mut found, mut derive, mut renamed) = (Vec::new(), "", None);
    let mut is_inside = false;
    for line in text.lines().take_while(|line| *line != "#[cfg(test)]").map(str::trim) {
        if line.starts_with("#[derive(") {
            derive = line;
        } else if line.contains("struct Written") && line.ends_with('{') {
            is_inside = derive.contains("Deserialize");
        } else if line == "}" {
            is_inside = false;
        } else if let Some((_, name)) = line.split_once("rename = \"") {
            renamed = name.split('"').next();
        } else if let (true, Some((name, kind))) = (is_inside, line.split_once(": ")) {
            if line.starts_with("//") || kind.contains("IgnoredAny") {
                continue;
            }
            let key = renamed.take().or(name.split_whitespace().last()).unwrap().to_owned();
            let is_table = kind.contains("Written") || kind.contains("BTreeMap");
            found.push(Field { key, is_table });
        }
    }
    found
}

/// Holds the keys of a part against those of the source, in both directions.
fn compare(heading: &str, fields: &[Field]) {
    let (keys, tables) = (keys_on_page(part(heading)), tables_on_page(part(heading)));
    let is_there = |one: &&Field| {
        keys.contains(one.key.as_str()) || (one.is_table && tables.contains(one.key.as_str()))
    };
    let lacking: Vec<&Field> = fields.iter().filter(|one| !is_there(one)).collect();
    assert!(lacking.is_empty(), "docs/configuration.md, {heading}, lacks {lacking:?}");
    let known: BTreeSet<&str> = fields.iter().map(|one| one.key.as_str()).collect();
    let invented: Vec<&&str> = keys.difference(&known).collect();
    assert!(invented.is_empty(), "docs/configuration.md, {heading}, invents {invented:?}");
}

#[test]
fn the_page_names_every_key_of_the_settings() {
    let schedules = source("queue/schedule.rs");
    let paths = files(&source(""), "rs").into_iter().filter(|path| *path != schedules);
    let all: Vec<Field> =
        paths.flat_map(|path| fields(&fs::read_to_string(path).unwrap())).collect();
    assert!(all.len() > 70, "there are more keys than {}", all.len());
    compare("ghostsnap.toml", &all);
}

#[test]
fn the_page_names_every_key_of_a_schedule() {
    let all = fields(&fs::read_to_string(source("queue/schedule.rs")).unwrap());
    assert!(all.len() > 10, "there are more keys than {}", all.len());
    compare("schedules/NAME.toml", &all);
}

#[test]
fn the_page_names_every_option_of_a_repository() {
    let text = fs::read_to_string(source("named.rs")).unwrap();
    let mut all = vec!["url".to_owned()];
    for line in text.lines().map(str::trim) {
        let row =
            line.strip_prefix("setting(\"").or_else(|| line.strip_prefix("Setting { key: \""));
        let Some((key, rest)) = row.and_then(|row| row.split_once('"')) else { continue };
        let more = if rest.contains("Holds::Secret") { "_..." } else { "" };
        all.push(format!("{key}{more}"));
    }
    assert!(all.len() > 15, "there are more options than {}", all.len());
    let part = part("repositories/NAME.toml");
    // The second table is about the three ways to a secret.
    let options = part.split("Where `...` stands").next().unwrap();
    let on_page: BTreeSet<String> = keys_on_page(options).into_iter().map(str::to_owned).collect();
    assert_eq!(on_page, all.into_iter().collect());
}

/// The commands of cli.md, without `ghostsnap` in front, and the long options that each has.
struct Known {
    options: BTreeMap<&'static str, BTreeSet<&'static str>>,
    of_all: BTreeSet<&'static str>,
    panel: BTreeSet<&'static str>,
}

impl Known {
    fn read() -> Self {
        let (mut options, mut of_all) = (BTreeMap::new(), BTreeSet::from(["--help", "--version"]));
        for part in COMMANDS.split("\n## ") {
            let heading = part.lines().next().unwrap();
            let found = long_options(part).collect();
            if let Some(name) = heading.strip_prefix("ghostsnap ") {
                options.insert(name, found);
            } else if heading == "Options of every command" {
                of_all.extend(found);
            }
        }
        let panel = COMMANDS.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        Self { options, of_all, panel }
    }

    /// What is wrong with a line of code, or with what is quoted, in a page.
    fn wrong(&self, code: &str) -> Vec<String> {
        let mut found = Vec::new();
        for after in code.split("v-ghostsnap-").skip(1) {
            let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
            let end = after.find(|c| !is_part(c)).unwrap_or(after.len());
            let name = format!("v-ghostsnap-{}", &after[..end]);
            // `v-ghostsnap-schedule-*` and its like mean several.
            let is_known = match name.strip_suffix('-') {
                Some(_) => self.panel.iter().any(|one| one.starts_with(&name)),
                None => self.panel.contains(name.as_str()),
            };
            if !is_known {
                found.push(format!("there is no {name}"));
            }
        }
        let calls = code.split(['|', ';', '#', '&', '(', ')']);
        for call in calls.filter_map(|part| part.split_once("ghostsnap ")) {
            // `/etc/ghostsnap and` is no call.
            if call.0.is_empty() || call.0.ends_with(' ') || call.0.ends_with("bin/") {
                found.extend(self.wrong_call(call.1));
            }
        }
        found
    }

    fn wrong_call(&self, call: &str) -> Option<String> {
        let mut words: Vec<&str> = call.split_ascii_whitespace().collect();
        // Options in front of the command, each with its value.
        while words.first().is_some_and(|word| word.starts_with('-')) && words.len() > 2 {
            words.drain(..2);
        }
        let begins = words.first().is_some_and(|word| word.starts_with(|c: char| c.is_lowercase()));
        if !begins {
            return None;
        }
        let mut name = [2, 1].into_iter().map(|count| words[..count.min(words.len())].join(" "));
        let Some((name, own)) = name.find_map(|name| self.options.get_key_value(name.as_str()))
        else {
            return Some(format!("there is no 'ghostsnap {}'", words.join(" ")));
        };
        let unknown =
            long_options(call).find(|one| !own.contains(one) && !self.of_all.contains(one));
        unknown.map(|one| format!("'ghostsnap {name}' has no {one}"))
    }
}

/// What looks like a long option in a text.
fn long_options(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 3 && !word.starts_with("---"))
}

/// Lines of code of a page, and what is quoted in its text.
fn code_of(page: &str) -> Vec<String> {
    let (mut found, mut text) = (Vec::new(), String::new());
    let mut is_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            found.push(line.trim().to_owned());
        } else {
            text.push_str(line.trim());
            text.push(' ');
        }
    }
    found.extend(quoted(&text).map(str::to_owned));
    found
}

#[test]
fn commands_in_pages_exist_with_their_options() {
    let known = Known::read();
    let mut pages = files(&project("docs"), "md");
    pages.push(project("README.md"));
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in pages {
        let text = fs::read_to_string(&path).unwrap();
        // What is generated is true; the format speaks of other things by our name.
        if text.contains("Made by `ghostsnap generate`") || path.ends_with("docs/format.md") {
            continue;
        }
        for code in code_of(&text) {
            seen += usize::from(code.contains("ghostsnap "));
            let found = known.wrong(&code).into_iter();
            wrong.extend(found.map(|what| format!("{}: {what}: {code}", path.display())));
        }
    }
    assert!(seen > 150, "the pages have more commands than {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_seen() {
    let known = Known::read();
    for good in [
        "ghostsnap -r offsite key test kit.txt",
        "v-ghostsnap-list-health && ghostsnap hestia status --check --quiet",
        "45 5 * * * root /usr/bin/ghostsnap copy --from default --to offsite",
        "look into /etc/ghostsnap there",
        "v-ghostsnap-schedule-*",
    ] {
        assert_eq!(known.wrong(good), [""; 0], "{good}");
    }
    for bad in [
        "ghostsnap hestia backup --everybody",
        "sudo ghostsnap fetch x",
        "ghostsnap hestia bakcup",
        "v-ghostsnap-list-healths",
        "v-ghostsnap-plan-*",
    ] {
        assert_eq!(known.wrong(bad).len(), 1, "{bad}");
    }
}
