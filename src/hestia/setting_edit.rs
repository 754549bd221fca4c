// SPDX-License-Identifier: MIT
//! Changes one value in the text of a TOML file and nothing else: comments, order and spaces stay
//! as somebody wrote them. What comes out is read again and compared: it says what the text said
//! before, and the one change.

use crate::base::{Error, Kind, Result};
use std::ops::Range;
use toml_edit::{Document, DocumentMut, InlineTable, Item, Key, Table, TableLike};

pub use toml_edit::Value;

/// The parts of a dotted name.
pub type Path = Vec<Key>;

/// Reads a dotted name, such as `users.alice.mode`.
pub fn path_of(name: &str) -> Option<Path> {
    Key::parse(name).ok().filter(|path| !path.is_empty())
}

/// The dotted name of a path.
pub fn name_of(path: &[Key]) -> String {
    path.iter().map(|key| Key::new(key.get()).to_string()).collect::<Vec<_>>().join(".")
}

/// A value as a command takes it.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.value().clone(),
        Value::Integer(number) => number.value().to_string(),
        Value::Boolean(yes) => if *yes.value() { "yes" } else { "no" }.to_owned(),
        Value::Array(array) => {
            let texts = array.iter().map(|one| one.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map_or_else(|| bare(value), |list| list_text(&list))
        }
        _ => bare(value),
    }
}

/// A value as TOML has it, without what stands around it.
fn bare(value: &Value) -> String {
    value.clone().decorated("", "").to_string()
}

/// A list as a command takes it: with commas between, or as TOML has it where that would be taken
/// for another list.
fn list_text(list: &[String]) -> String {
    let short = list.join(",");
    if !list.is_empty() && list_of(&short).as_deref() == Ok(list) {
        return short;
    }
    let array: toml_edit::Array = list.iter().map(String::as_str).collect();
    bare(&array.into())
}

/// Reads a list: texts with commas between, of which those in braces belong to a glob, or what TOML
/// has for one.
pub fn list_of(text: &str) -> Result<Vec<String>, String> {
    if text.starts_with('[') && text.ends_with(']') {
        let wrong = || "this must be a list such as [\"a\", \"b\"]".to_owned();
        let value: Value = text.parse().map_err(|_| wrong())?;
        let array = value.as_array().ok_or_else(wrong)?;
        let texts = array.iter().map(|one| one.as_str().map(str::to_owned));
        return texts.collect::<Option<_>>().ok_or_else(wrong);
    }
    let (mut list, mut one, mut depth) = (Vec::new(), String::new(), 0_usize);
    for letter in text.chars() {
        match letter {
            ',' if depth == 0 => list.push(std::mem::take(&mut one)),
            _ => one.push(letter),
        }
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    list.push(one);
    let trimmed = list.iter().map(|one| one.trim().to_owned());
    Ok(trimmed.filter(|one| !one.is_empty()).collect())
}

/// The text with this value, or without it.
pub fn changed(text: &str, path: &[Key], value: Option<&Value>) -> Result<String> {
    let new = match value {
        Some(value) => with(text, path, value)?,
        None => without(text, path)?,
    };
    // Whatever the layout of a file may be, nothing but this value is ever changed.
    if table_of(&new)? == expected(table_of(text)?, path, value) {
        return Ok(new);
    }
    Err(Error::new(Kind::Internal, format!("set {} without changing more", name_of(path)))
        .why("the file is written in a way that this command does not master")
        .hint("change it with an editor"))
}

fn table_of(text: &str) -> Result<toml::Table> {
    text.parse().map_err(|error: toml::de::Error| unreadable(error.message()))
}

fn unreadable(why: &str) -> Error {
    Error::new(Kind::Invalid, "read the settings").why(why.trim().replace('\n', "; "))
}

fn document(text: &str) -> Result<Document<&str>> {
    Document::parse(text).map_err(|error| unreadable(error.message()))
}

/// What the file must say afterwards.
fn expected(mut table: toml::Table, path: &[Key], value: Option<&Value>) -> toml::Table {
    fn put(table: &mut toml::Table, path: &[Key], value: Option<&toml::Value>) {
        let Some((key, below)) = path.split_first() else { return };
        if below.is_empty() {
            match value {
                Some(value) => table.insert(key.get().to_owned(), value.clone()),
                None => table.remove(key.get()),
            };
            return;
        }
        let new = || toml::Value::Table(toml::Table::new());
        let next = table.entry(key.get()).or_insert_with(new).as_table_mut();
        let is_empty = next.is_some_and(|next| {
            put(next, below, value);
            next.is_empty()
        });
        if is_empty {
            table.remove(key.get());
        }
    }
    let value = value.and_then(|value| {
        let line = format!("value = {}", bare(value));
        line.parse::<toml::Table>().ok()?.remove("value")
    });
    put(&mut table, path, value.as_ref());
    table
}

/// Where a value is, and what it stands in.
fn find<'d>(table: &'d dyn TableLike, path: &[Key]) -> Option<(&'d Key, &'d Item, bool)> {
    let (first, below) = path.split_first()?;
    let (key, item) = table.get_key_value(first.get())?;
    if below.is_empty() {
        return Some((key, item, false));
    }
    let is_inline = item.is_inline_table();
    let (key, item, deeper) = find(item.as_table_like()?, below)?;
    Some((key, item, deeper || is_inline))
}

fn with(text: &str, path: &[Key], value: &Value) -> Result<String> {
    let document = document(text)?;
    let span = find(document.as_table(), path).and_then(|(_, item, _)| item.as_value()?.span());
    if let Some(span) = span {
        return Ok(spliced(text, span, &bare(value)));
    }
    let [tables @ .., key] = path else { return Ok(text.to_owned()) };
    if tables.is_empty() {
        return Ok(at_the_top(text, document.as_table(), key, value));
    }
    if may_have_table_at_the_end(document.as_table(), tables) {
        let gap = if text.is_empty() || text.ends_with("\n\n") {
            ""
        } else if text.ends_with('\n') {
            "\n"
        } else {
            "\n\n"
        };
        return Ok(format!("{text}{gap}[{}]\n{}", name_of(tables), line_of(key, value)));
    }
    inserted(text, tables, key, value)
}

fn line_of(key: &Key, value: &Value) -> String {
    format!("{} = {}\n", name_of(std::slice::from_ref(key)), bare(value))
}

/// A new value of the file itself: below the line that shows its default, if there is one, else
/// behind the others, else below the words that the file begins with.
fn at_the_top(text: &str, root: &Table, key: &Key, value: &Value) -> String {
    let line = line_of(key, value);
    let end = first_header(root).unwrap_or(text.len());
    let top = text.get(..end).unwrap_or_default();
    let shown = [format!("#{} =", key.get()), format!("# {} =", key.get())];
    let (mut at, mut place, mut last, mut intro) = (0, None, None, None);
    let spans: Vec<Range<usize>> =
        root.iter().filter_map(|(_, item)| item.as_value()?.span()).collect();
    for one in top.split_inclusive('\n') {
        at += one.len();
        if spans.iter().any(|span| span.start < at && at < span.end) {
            continue;
        }
        if shown.iter().any(|shown| one.starts_with(shown.as_str())) {
            place = Some(at);
        }
        if spans.iter().any(|span| (at - one.len()..at).contains(&span.end.saturating_sub(1))) {
            last = Some(at);
        }
        if one.trim().is_empty() && intro.is_none() && last.is_none() {
            intro = Some(at);
        }
    }
    let place = place.or(last).or(intro).unwrap_or(0);
    spliced(text, place..place, &line)
}

/// Where the first header of a table is.
fn first_header(table: &Table) -> Option<usize> {
    let below = table.iter().filter_map(|(_, item)| item.as_table());
    let start = |one: &Table| {
        let own = if one.is_implicit() || one.is_dotted() { None } else { one.span() };
        own.map(|span| span.start).into_iter().chain(first_header(one)).min()
    };
    below.filter_map(start).min()
}

/// Whether a table that is not there yet can stand at the end of the file: not below one that is
/// written in a line.
fn may_have_table_at_the_end(root: &Table, tables: &[Key]) -> bool {
    let mut table = root;
    for key in tables {
        match table.get(key.get()) {
            None => return true,
            Some(Item::Table(below)) if !below.is_dotted() => table = below,
            Some(_) => return false,
        }
    }
    // It is there, but only as what others stand in.
    table.is_implicit()
}

/// Into a table that is there, or where only the library knows how.
fn inserted(text: &str, tables: &[Key], key: &Key, value: &Value) -> Result<String> {
    let mut document: DocumentMut = document(text)?.into_mut();
    let mut table: &mut dyn TableLike = document.as_table_mut();
    let mut is_inline = false;
    for one in tables {
        if is_inline && !table.contains_key(one.get()) {
            close_up(table);
        }
        let entry = table.entry(one.get()).or_insert_with(|| {
            if is_inline {
                Item::Value(InlineTable::new().into())
            } else {
                Item::Table(Table::new())
            }
        });
        is_inline = entry.is_inline_table();
        table = entry.as_table_like_mut().ok_or_else(|| {
            Error::new(Kind::Invalid, format!("set {}", key.get()))
                .why(format!("{} is no table in the file", one.get()))
        })?;
    }
    if is_inline {
        close_up(table);
    }
    table.insert(key.get(), Item::Value(value.clone()));
    Ok(document.to_string())
}

/// Takes the space before a closing brace away: something follows there.
fn close_up(table: &mut dyn TableLike) {
    if let Some(value) = table.iter_mut().last().and_then(|(_, last)| last.as_value_mut()) {
        value.decor_mut().set_suffix("");
    }
}

/// Without the value, and without the tables that are empty then.
fn without(text: &str, path: &[Key]) -> Result<String> {
    let mut text = text.to_owned();
    let mut path = path;
    loop {
        text = without_one(&text, path)?;
        path = match path.split_last() {
            Some((_, above)) if !above.is_empty() => above,
            _ => return Ok(text),
        };
        let document = document(&text)?;
        let is_empty = find(document.as_table(), path)
            .and_then(|(_, item, _)| item.as_table_like())
            .is_some_and(TableLike::is_empty);
        if !is_empty {
            return Ok(text);
        }
    }
}

/// Without a value or an empty table; what is said beside it stays.
fn without_one(text: &str, path: &[Key]) -> Result<String> {
    let read = document(text)?;
    let Some((key, item, is_inline)) = find(read.as_table(), path) else {
        return Ok(text.to_owned());
    };
    let span = match item {
        Item::Table(table) if table.is_implicit() && !table.is_dotted() => None,
        Item::Table(table) => table.span(),
        item => key.span().zip(item.span()).map(|(key, value)| key.start..value.end),
    };
    match span {
        Some(span) if !is_inline => Ok(without_line(text, &span)),
        _ => {
            let mut document = read.into_mut();
            remove(document.as_table_mut(), path);
            Ok(document.to_string())
        }
    }
}

fn remove(table: &mut dyn TableLike, path: &[Key]) {
    match path {
        [] => {}
        [key] => drop(table.remove(key.get())),
        [key, below @ ..] => {
            if let Some(next) = table.get_mut(key.get()).and_then(Item::as_table_like_mut) {
                remove(next, below);
            }
        }
    }
}

/// Without what begins on the line of this span: all of the line before it, since a dotted name has
/// parts there. A comment behind it becomes a line of its own.
fn without_line(text: &str, span: &Range<usize>) -> String {
    let before = text.get(..span.start).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let after = text.get(span.end..).unwrap_or_default();
    let rest = after.find('\n').map_or(after.len(), |at| at + 1);
    let comment = after.get(..rest).unwrap_or_default().trim_start_matches([' ', '\t']);
    let comment = if comment.trim().is_empty() { "" } else { comment };
    spliced(text, start..span.end + rest, comment)
}

fn spliced(text: &str, span: Range<usize>, with: &str) -> String {
    let before = text.get(..span.start).unwrap_or_default();
    let after = text.get(span.end..).unwrap_or_default();
    // A last line without its end would swallow what comes.
    let gap = if with.ends_with('\n') && !before.is_empty() && !before.ends_with('\n') {
        "\n"
    } else {
        ""
    };
    format!("{before}{gap}{with}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(text: &str, name: &str, value: &str) -> String {
        let value: Value = value.parse().unwrap();
        changed(text, &path_of(name).unwrap(), Some(&value)).unwrap()
    }

    fn reset(text: &str, name: &str) -> String {
        changed(text, &path_of(name).unwrap(), None).unwrap()
    }

    const WRITTEN: &str = "# Our server.\n\njobs = 2   # the new box\nexclude = [\n  'a', # why\n]\n\
                           \n# By hand.\n[ queue ]\n  workers=1\n\n[users.alice]\n\
                           keep = { last = 3, daily = 7 }\nnotifications.mail = true # so\n# end\n";

    #[test]
    fn a_value_is_exchanged_and_all_else_stays_as_it_was_written() {
        for (name, value, from, to) in [
            ("jobs", "4", "jobs = 2   #", "jobs = 4   #"),
            ("exclude", "['b']", "[\n  'a', # why\n]", "['b']"),
            ("queue.workers", "3", "workers=1", "workers=3"),
            ("users.alice.keep.daily", "9", "daily = 7", "daily = 9"),
            ("users.alice.notifications.mail", "false", "mail = true #", "mail = false #"),
        ] {
            assert_eq!(set(WRITTEN, name, value), WRITTEN.replace(from, to), "{name}");
        }
    }

    #[test]
    fn a_new_value_comes_where_somebody_would_look_for_it() {
        for (name, value, from, to) in [
            ("mode", "'direct'", "]\n\n# By hand", "]\nmode = 'direct'\n\n# By hand"),
            ("queue.days_kept", "3", "workers=1\n", "workers=1\ndays_kept = 3\n"),
            ("users.alice.keep.weekly", "1", "daily = 7 }", "daily = 7, weekly = 1 }"),
            ("keep.last", "1", "# end\n", "# end\n\n[keep]\nlast = 1\n"),
            ("users.'b c'.mode", "'x'", "# end\n", "# end\n\n[users.\"b c\"]\nmode = 'x'\n"),
            (
                "users.alice.notifications.panel",
                "true",
                "notifications.mail = true # so\n",
                "notifications.mail = true # so\nnotifications.panel = true\n",
            ),
        ] {
            assert_eq!(set(WRITTEN, name, value), WRITTEN.replace(from, to), "{name}");
        }
        let example = "# Words.\n\n# How many.\n#jobs = 1\n\n# [queue]\n# workers = 1\n";
        let text = set(example, "jobs", "2");
        assert_eq!(text, example.replace("#jobs = 1\n", "#jobs = 1\njobs = 2\n"));
        assert_eq!(set(example, "mode", "'x'"), example.replacen("\n\n", "\n\nmode = 'x'\n", 1));
        assert_eq!(reset(&text, "jobs"), example);
        let text = set(example, "queue.workers", "2");
        assert_eq!(text, format!("{example}\n[queue]\nworkers = 2\n"));
        assert_eq!(set(&text, "jobs", "2").matches("jobs = 2\n\n# [queue]").count(), 1);
        assert_eq!(set("", "jobs", "2"), "jobs = 2\n");
        assert_eq!(set("a = 1", "b", "2"), "a = 1\nb = 2\n");
        assert_eq!(set("[users.a]\nmode = 'x'", "jobs", "2"), "jobs = 2\n[users.a]\nmode = 'x'");
        assert_eq!(set("[a.b]\nc = 1\n", "a.d", "2"), "[a.b]\nc = 1\n\n[a]\nd = 2\n");
        assert_eq!(set("a = { b = 1 }\n", "a.c.d", "2"), "a = { b = 1, c = { d = 2 } }\n");
    }

    #[test]
    fn what_goes_takes_no_words_of_anybody_along() {
        for (name, from, to) in [
            ("jobs", "jobs = 2   # the new box", "# the new box"),
            ("exclude", "exclude = [\n  'a', # why\n]\n", ""),
            ("queue.workers", "[ queue ]\n  workers=1\n", ""),
            ("users.alice.keep.last", "{ last = 3, daily", "{ daily"),
            ("users.alice.notifications.mail", "notifications.mail = true # so", "# so"),
            ("users.alice.mode", "", ""),
            ("keep.last", "", ""),
        ] {
            assert_eq!(reset(WRITTEN, name), WRITTEN.replace(from, to), "{name}");
        }
        let text = reset(&reset(WRITTEN, "users.alice.keep.last"), "users.alice.keep.daily");
        assert_eq!(text, WRITTEN.replace("keep = { last = 3, daily = 7 }\n", ""));
        assert_eq!(reset("[a.b]\nc = 1\n[d]\ne = 1\n", "a.b.c"), "[d]\ne = 1\n");
    }

    #[test]
    fn a_text_that_looks_like_a_line_is_none() {
        let text = "exclude = ['''\n#jobs = 1\n''']\n";
        assert_eq!(set(text, "jobs", "2"), format!("{text}jobs = 2\n"));
        let wrong = changed("a = 'x'\n", &path_of("a.b").unwrap(), Some(&1.into())).unwrap_err();
        assert!(wrong.to_string().contains("no table"), "{wrong}");
        assert_eq!(path_of(""), None);
        assert_eq!(path_of("a..b"), None);
        assert_eq!(path_of("a = 1\nb"), None);
    }

    #[test]
    fn a_list_is_written_with_commas_or_as_the_file_has_it() {
        let list = |text: &str| list_of(text).unwrap().join("|");
        assert_eq!(list("a, *.{jpg,png} ,,b"), "a|*.{jpg,png}|b");
        assert_eq!(list("['a,b', \"c\"]"), "a,b|c");
        assert_eq!(list("[]"), "");
        assert_eq!(list("[ab]*,c"), "[ab]*|c");
        for bad in ["[1]", "['a', 1]", "[a]"] {
            assert!(list_of(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_list_that_is_shown_is_the_list_that_is_meant(
            list in proptest::collection::vec("[a,{}\\[\\]\"'\\n #*]{0,6}", 0..4)
        ) {
            let array: toml_edit::Array = list.iter().map(String::as_str).collect();
            prop_assert_eq!(list_of(&text_of(&array.into())), Ok(list));
        }

        /// Whatever a file looks like: `changed` compares what it has made.
        #[test]
        fn changes_in_any_order_end_where_they_began(
            order in Just(["jobs", "keep.last", "users.alice.mode", "queue.workers", "users.b.mode"])
                .prop_shuffle()
        ) {
            let mut text = WRITTEN.to_owned();
            for name in order {
                text = set(&text, name, "7");
            }
            for (name, value) in [("jobs", "2"), ("queue.workers", "1")] {
                text = set(&text, name, value);
            }
            for name in ["users.b.mode", "users.alice.mode", "keep.last"] {
                text = reset(&text, name);
            }
            let lines = |text: &str| {
                text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            };
            prop_assert_eq!(lines(&text), lines(WRITTEN));
        }
    }
}
