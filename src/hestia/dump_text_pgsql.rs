// SPDX-License-Identifier: MIT
//! The half of the editor of dumps that knows PostgreSQL's. A dump has its objects in sections,
//! each with a header. Of a single table, its definition and its rows come under another name, and
//! what can only be made once it has its own is kept until then.

use super::dump_text::{Content, Verdict, WRITE, quoted};
use super::import_pgsql_keys::unchecked;
use super::sql_lexer::Lexer;
use crate::base::{Error, Kind, Result, WhatIo, limits};
use std::collections::BTreeSet;
use std::io::Write;

/// The one table that is wanted.
#[derive(Debug, Default, Clone)]
pub(super) struct Wanted {
    /// What was given for its name.
    pub given: String,
    /// What that may mean: schema and table.
    pub readings: Vec<Named>,
    /// The name under which it is filled, in the same schema.
    pub interim: String,
}

/// The names of a schema and of a table in it, without quotes.
pub(super) type Named = (String, String);

/// What of a dump belongs to the one table, beside its definition and rows.
#[derive(Debug, Default)]
pub(super) struct OneTable {
    /// Its name as SQL has it, with its schema; empty if the dump has no such table.
    pub token: String,
    /// The name under which it is filled, likewise.
    pub interim: String,
    /// All that is made once it has its place.
    pub later: Vec<u8>,
    /// Its foreign keys that are made without a look at the rows, as SQL names them.
    pub keys: Vec<String>,
    /// Names of the dump that are nearly the one that was given.
    pub near: Vec<String>,
}

#[derive(Default)]
pub(super) struct Pgsql {
    lexer: Lexer,
    wanted: Option<Wanted>,
    /// Whether objects have begun; before them stand settings and the drops of what is not there.
    objects: bool,
    /// What the section in hand makes.
    kind: String,
    /// The table that was defined last.
    last_table: String,
    /// The section in hand, held back until its end says whether it is wanted.
    held: Option<Section>,
    /// A sequence that may turn out to belong to the table.
    sequence: Option<Section>,
    /// The wanted table, once its definition has come.
    found: OneTable,
    /// The names of sequences, constraints, indexes and statistics that are its own.
    own: BTreeSet<String>,
    /// Whether the rows of another table pass by.
    is_foreign: bool,
}

struct Section {
    name: String,
    kind: String,
    text: Vec<u8>,
}

impl Section {
    /// Whether that is the comment on this sequence.
    fn is_told_by(&self, comment: &Self) -> bool {
        let parts = comment.name.split_once(".SEQUENCE ");
        parts.is_some_and(|(schema, name)| self.name == format!("{schema}.{}", plain(name)))
    }
}

/// Names that an error tells.
const NEAR_MAX: usize = 3;

impl Pgsql {
    pub(super) fn of_table(wanted: Wanted) -> Self {
        Self { wanted: Some(wanted), ..Self::default() }
    }

    pub(super) fn finish(self) -> OneTable {
        self.found
    }

    /// Takes a part of a line, whose fate is decided; says whether it is held back.
    pub(super) fn take(&mut self, keep: bool, part: &[u8]) -> Result<bool> {
        self.lexer.take(part);
        let Some(section) = &mut self.held else { return Ok(false) };
        if keep {
            if section.text.len() + part.len() > limits::SECTION_BYTES_MAX {
                return Err(Error::new(Kind::Limit, "read a dump")
                    .why(format!("the definition of {} is too long", section.name)));
            }
            section.text.extend_from_slice(part);
        }
        Ok(true)
    }

    pub(super) fn line(
        &mut self,
        line: &[u8],
        content: &mut Content,
        to: &mut dyn Write,
    ) -> Result<Verdict> {
        if !self.lexer.is_outside() {
            return Ok(self.verdict());
        }
        let text = line.trim_ascii_end();
        if text.starts_with(b"-- PostgreSQL database dump complete") {
            content.is_whole = true;
            self.end_held(to)?;
            self.is_foreign = false;
        }
        if text.starts_with(b"\\restrict ") || text.starts_with(b"\\unrestrict ") {
            return Ok(Verdict::Drop);
        }
        let header = text.strip_prefix(b"-- Name: ");
        let header = header.or_else(|| text.strip_prefix(b"-- Data for Name: "));
        if let Some((name, kind, schema)) = header.and_then(section_header) {
            self.objects = true;
            self.end_held(to)?;
            self.begin_section(&name, kind, &schema);
        }
        self.note(text, content);
        if !self.objects {
            // An empty database has nothing to drop but its schema.
            let is_kept = text.is_empty()
                || [&b"--"[..], b"SET ", b"SELECT pg_catalog.set_config(", b"DROP SCHEMA public;"]
                    .iter()
                    .any(|word| text.starts_with(word));
            return Ok(if is_kept { Verdict::Keep } else { Verdict::Drop });
        }
        // Only an extension's owner may, and that is the administrator.
        if text.starts_with(b"COMMENT ON EXTENSION ") {
            return Ok(Verdict::Drop);
        }
        if self.wanted.is_some() && self.kind == "TABLE DATA" && !self.is_foreign {
            let insert = format!("INSERT INTO {}", self.found.token);
            if text.strip_prefix(insert.as_bytes()).is_some_and(|rest| rest.starts_with(b" ")) {
                let other = format!("INSERT INTO {}", self.found.interim);
                return Ok(Verdict::Replace(insert.len(), other.into_bytes()));
            }
        }
        Ok(self.verdict())
    }

    fn verdict(&self) -> Verdict {
        if self.is_foreign { Verdict::Drop } else { Verdict::Keep }
    }

    fn begin_section(&mut self, name: &str, kind: String, schema: &str) {
        self.kind.clone_from(&kind);
        self.is_foreign = false;
        if self.wanted.is_none() {
            return;
        }
        if kind == "TABLE DATA" {
            let own = named(&self.found.token);
            self.is_foreign = own.is_none_or(|own| own != (schema.to_owned(), name.to_owned()));
        } else {
            let name = format!("{schema}.{name}");
            self.held = Some(Section { name, kind, text: Vec::new() });
        }
    }

    /// Ends the section in hand, if it is held.
    pub(super) fn end_held(&mut self, to: &mut dyn Write) -> Result<()> {
        match self.held.take() {
            Some(section) => self.end_section(section, to),
            None => Ok(()),
        }
    }

    /// Decides whether a section belongs to the one table that is wanted.
    fn end_section(&mut self, section: Section, to: &mut dyn Write) -> Result<()> {
        let text = String::from_utf8_lossy(&section.text).into_owned();
        let statement: String = text
            .lines()
            .filter(|line| !line.starts_with("--") && !line.is_empty())
            .take(2)
            .collect::<Vec<_>>()
            .join(" ");
        if section.kind == "TABLE"
            && let Some((token, _)) = created_table(&statement)
            && self.is_wanted(token)?
        {
            let text = self.begin_table(token, &section.text)?;
            return to.write_all(&text).what_io(|| WRITE);
        }
        if self.found.token.is_empty() {
            return Ok(());
        }
        let mut sequence = self.sequence.take();
        match section.kind.as_str() {
            "SEQUENCE" if !self.alters(&statement, " ALTER COLUMN ") => {
                self.sequence = Some(section);
                return Ok(());
            }
            "COMMENT" if sequence.as_ref().is_some_and(|one| one.is_told_by(&section)) => {
                if let Some(sequence) = &mut sequence {
                    sequence.text.extend_from_slice(&section.text);
                }
                self.sequence = sequence;
                return Ok(());
            }
            "SEQUENCE OWNED BY" if self.owns(&statement) => {
                if let Some(sequence) = sequence.filter(|one| one.name == section.name) {
                    self.keep(&sequence.text)?;
                }
            }
            "FK CONSTRAINT" if self.alters(&statement, " ") => {
                let (text, name) = unchecked(&text);
                self.found.keys.extend(name);
                return self.keep(text.as_bytes());
            }
            _ if self.belongs(&section, &statement) => {}
            _ => {
                self.sequence = sequence;
                return Ok(());
            }
        }
        self.own.insert(section.name);
        self.keep(&section.text)
    }

    /// Whether this is the table; an error if it is a second one of that name.
    fn is_wanted(&mut self, token: &str) -> Result<bool> {
        let (Some(wanted), Some(pair)) = (&self.wanted, named(token)) else { return Ok(false) };
        if !wanted.readings.contains(&pair) {
            let same = |one: &Named| one.1.to_lowercase() == pair.1.to_lowercase();
            if wanted.readings.iter().any(same) && self.found.near.len() < NEAR_MAX {
                self.found.near.push(token.to_owned());
            }
            return Ok(false);
        }
        if self.found.token.is_empty() {
            return Ok(true);
        }
        let (one, given) = (&self.found.token, wanted.given.escape_debug());
        Err(Error::new(Kind::Invalid, format!("find the table {given} in the dump"))
            .why(format!("the dump has {one} and {token}"))
            .hint("write the one that you mean with its quotes"))
    }

    /// The definition of the table, under its other name.
    fn begin_table(&mut self, token: &str, text: &[u8]) -> Result<Vec<u8>> {
        let interim = self.wanted.as_ref().map_or("", |wanted| &wanted.interim);
        let schema = token.strip_suffix(last_part(token)).unwrap_or_default();
        let interim = format!("{schema}{interim}");
        let what = format!(" TABLE {token}");
        let begin = text.split_inclusive(|byte| *byte == b'\n');
        let begin: usize = begin.take_while(|l| !l.starts_with(b"CREATE ")).map(<[u8]>::len).sum();
        let (head, rest) = text.split_at_checked(begin).unwrap_or((text, &[]));
        let at = rest.windows(what.len()).position(|part| part == what.as_bytes());
        let Some((before, after)) = at.and_then(|at| rest.split_at_checked(at)) else {
            return Err(Error::new(Kind::Parsing, format!("read the definition of {token}"))
                .why("its name is not written as the server's own are"));
        };
        let after = after.get(what.len()..).unwrap_or_default();
        token.clone_into(&mut self.found.token);
        self.found.interim.clone_from(&interim);
        let after = settings_renamed(after, token, &interim);
        Ok([head, before, format!(" TABLE {interim}").as_bytes(), &after].concat())
    }

    fn alters(&self, statement: &str, rest: &str) -> bool {
        ["ALTER TABLE ONLY ", "ALTER TABLE "].iter().any(|word| {
            statement
                .strip_prefix(word)
                .and_then(|after| after.strip_prefix(self.found.token.as_str()))
                .is_some_and(|after| after.starts_with(rest))
        })
    }

    fn owns(&self, statement: &str) -> bool {
        statement.contains(&format!(" OWNED BY {}.", self.found.token))
    }

    fn belongs(&self, section: &Section, statement: &str) -> bool {
        let only = &self.found.token;
        let on_table = || {
            [" ON ", " ON ONLY "].iter().any(|word| {
                let word = format!("{word}{only} ");
                statement.contains(&word)
            })
        };
        match section.kind.as_str() {
            "SEQUENCE" => true,
            "SEQUENCE SET" => self.own.contains(&section.name),
            "DEFAULT" | "CONSTRAINT" | "ROW SECURITY" => self.alters(statement, " "),
            "INDEX" | "TRIGGER" | "POLICY" => on_table(),
            "RULE" => statement.contains(&format!(" TO {only} ")),
            "STATISTICS" => {
                let first = statement.split_once(';').map_or(statement, |(first, _)| first);
                first.ends_with(&format!(" FROM {only}"))
            }
            "COMMENT" => self.is_comment(section, statement),
            _ => false,
        }
    }

    /// Whether a comment is on the table or on what is its own.
    fn is_comment(&self, section: &Section, statement: &str) -> bool {
        let only = &self.found.token;
        let Some(rest) = statement.strip_prefix("COMMENT ON ") else { return false };
        if let Some(rest) = rest.strip_prefix("TABLE ").or_else(|| rest.strip_prefix("COLUMN ")) {
            let after = rest.strip_prefix(only.as_str());
            return after.is_some_and(|after| after.starts_with([' ', '.']));
        }
        let words = ["CONSTRAINT ", "TRIGGER ", "POLICY ", "RULE "];
        if let Some(rest) = words.iter().find_map(|word| rest.strip_prefix(word)) {
            let rest = after_name(rest).and_then(|rest| rest.strip_prefix(" ON "));
            let after = rest.and_then(|rest| rest.strip_prefix(only.as_str()));
            return after.is_some_and(|after| after.starts_with(" IS "));
        }
        // `public.INDEX by_name` is the section's name.
        let Some((schema, name)) = section.name.split_once('.') else { return false };
        let words = ["INDEX ", "SEQUENCE ", "STATISTICS "];
        let name = words.iter().find_map(|word| name.strip_prefix(word));
        name.map(plain).is_some_and(|name| {
            let is_own = |own: &String| {
                own.strip_prefix(schema).and_then(|own| own.strip_prefix('.')).is_some_and(|own| {
                    // A constraint's section is called after its table too.
                    own == name
                        || own.strip_suffix(&*name).is_some_and(|front| front.ends_with(' '))
                })
            };
            self.own.iter().any(is_own)
        })
    }

    fn keep(&mut self, text: &[u8]) -> Result<()> {
        if self.found.later.len() + text.len() > limits::TABLE_DEFINITIONS_BYTES_MAX {
            return Err(Error::new(Kind::Limit, "read a dump")
                .why(format!("too much belongs to {}", self.found.token)));
        }
        self.found.later.extend_from_slice(text);
        Ok(())
    }

    /// Notes what the line begins.
    fn note(&mut self, text: &[u8], content: &mut Content) {
        let text = String::from_utf8_lossy(text);
        let text = &*text;
        if let Some((name, rest)) = created_table(text) {
            let pair = named(name);
            let is_meant =
                |wanted: &Wanted| pair.is_some_and(|pair| wanted.readings.contains(&pair));
            if self.wanted.as_ref().is_none_or(is_meant) {
                content.tables.entry(name.to_owned()).or_default();
            }
            name.clone_into(&mut self.last_table);
            if let Some((parent, _)) = rest.strip_prefix(" PARTITION OF ").and_then(qualified) {
                content.trees.extend([name.to_owned(), parent.to_owned()]);
            }
        } else if let Some((name, _)) = text.strip_prefix("INSERT INTO ").and_then(qualified) {
            content.note_row(Some(name));
        } else if self.kind == "TABLE" || self.kind == "TABLE ATTACH" {
            self.note_tree(text, content);
        } else if self.wanted.is_none() {
            if let Some((name, _)) = ["CREATE VIEW ", "CREATE MATERIALIZED VIEW "]
                .iter()
                .find_map(|word| text.strip_prefix(word).and_then(qualified))
            {
                content.views.insert(name.to_owned());
            } else if text.starts_with("CREATE FUNCTION ") || text.starts_with("CREATE PROCEDURE ")
            {
                content.routines += 1;
            } else if text.starts_with("CREATE TRIGGER ") {
                content.triggers += 1;
            }
        }
    }

    /// Notes which tables are not whole by themselves.
    fn note_tree(&self, text: &str, content: &mut Content) {
        if text.starts_with("PARTITION BY ") {
            content.trees.insert(self.last_table.clone());
        } else if let Some(mut rest) = text.strip_prefix("INHERITS (") {
            while let Some((parent, after)) = qualified(rest) {
                content.trees.insert(parent.to_owned());
                rest = after.trim_start_matches([',', ' ']);
            }
        } else if let Some((parent, rest)) =
            text.strip_prefix("ALTER TABLE ONLY ").and_then(qualified)
            && let Some((child, _)) = rest.strip_prefix(" ATTACH PARTITION ").and_then(qualified)
        {
            content.trees.extend([parent.to_owned(), child.to_owned()]);
        }
    }
}

/// `places; Type: TABLE; Schema: public; Owner: -` in its parts: name, kind, schema.
fn section_header(text: &[u8]) -> Option<(String, String, String)> {
    let text = String::from_utf8_lossy(text);
    let (name, rest) = text.split_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let (schema, _) = rest.split_once("; Owner: ")?;
    Some((name.to_owned(), kind.to_owned(), schema.to_owned()))
}

/// The name in the first line of a table's definition, and what stands behind it.
fn created_table(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("CREATE ")?;
    qualified(rest.strip_prefix("UNLOGGED ").unwrap_or(rest).strip_prefix("TABLE ")?)
}

/// What stands behind the name in a table's definition, with the other name also where columns or
/// the table itself are set up, which is done before it has its place.
fn settings_renamed(after: &[u8], token: &str, interim: &str) -> Vec<u8> {
    let word = |name: &str| format!("ALTER TABLE ONLY {name} ");
    let (from, to) = (word(token), word(interim));
    let (mut lexer, mut text) = (Lexer::default(), Vec::new());
    for line in after.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(from.as_bytes()).filter(|_| lexer.is_outside()) {
            Some(rest) => {
                text.extend_from_slice(to.as_bytes());
                text.extend_from_slice(rest);
            }
            None => text.extend_from_slice(line),
        }
        lexer.take(line);
    }
    text
}

/// What stands behind a name.
fn after_name(text: &str) -> Option<&str> {
    if let Some((_, length)) = quoted(text.as_bytes(), b'"') {
        return text.get(length..);
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$'));
    text.get(end.unwrap_or(text.len())..).filter(|rest| rest.len() < text.len())
}

/// A name with or without its schema at the front of a text, and the rest of that.
fn qualified(text: &str) -> Option<(&str, &str)> {
    let mut rest = after_name(text)?;
    if let Some(after) = rest.strip_prefix('.').and_then(after_name) {
        rest = after;
    }
    text.strip_suffix(rest).map(|name| (name, rest))
}

/// The last part of a name that may have a schema.
pub(super) fn last_part(token: &str) -> &str {
    let rest = after_name(token).and_then(|rest| rest.strip_prefix('.'));
    rest.unwrap_or(token)
}

/// A name without the quotes that SQL needs.
fn plain(name: &str) -> String {
    match quoted(name.as_bytes(), b'"') {
        Some((name, _)) => name,
        None => name.to_owned(),
    }
}

/// A name as SQL has it, schema and table without quotes; without a schema it is of `public`.
pub(super) fn named(token: &str) -> Option<Named> {
    let (whole, rest) = qualified(token)?;
    let last = last_part(whole);
    let schema = whole.strip_suffix(last).and_then(|front| front.strip_suffix('.'));
    rest.is_empty().then(|| (schema.map_or_else(|| "public".to_owned(), plain), plain(last)))
}

/// What somebody may mean by the name of a table: it may have its schema and its quotes, or not.
pub(super) fn readings(given: &str) -> Vec<Named> {
    let mut found: Vec<Named> = named(given).filter(|_| given.contains('"')).into_iter().collect();
    let split = given.match_indices('.').filter_map(|(at, _)| {
        let (schema, name) = (given.get(..at)?, given.get(at + 1..)?);
        (!schema.is_empty() && !name.is_empty()).then(|| (schema.to_owned(), name.to_owned()))
    });
    found.extend(split);
    found.push(("public".to_owned(), given.to_owned()));
    found
}

/// Whether somebody who wants the table `given` means this one.
pub(super) fn is_meant(given: &str, token: &str) -> bool {
    named(token).is_some_and(|name| readings(given).contains(&name))
}

/// `public."Odd one"` as `public.Odd one`, as comments have it.
pub(super) fn unquoted_pair(name: &str) -> String {
    name.replace("\"\"", "\u{0}").replace('"', "").replace('\u{0}', "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sql_has_them_and_as_people_write_them() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        for (token, is) in [
            ("public.t", Some(pair("public", "t"))),
            ("\"a.b\".\"x \"\"y (\"", Some(pair("a.b", "x \"y ("))),
            ("\"Orders\"", Some(pair("public", "Orders"))),
            ("a.b.c", None),
            ("", None),
        ] {
            assert_eq!(named(token), is, "{token}");
        }
        assert_eq!(readings("t"), [pair("public", "t")]);
        assert_eq!(readings("\"T\"")[0], pair("public", "T"));
        let three = readings("a.b.t");
        assert_eq!(three, [pair("a", "b.t"), pair("a.b", "t"), pair("public", "a.b.t")]);
        for (line, is) in [
            ("CREATE TABLE public.\"log (old\" (", Some(("public.\"log (old\"", " ("))),
            ("CREATE UNLOGGED TABLE public.t (", Some(("public.t", " ("))),
            ("CREATE TABLE public.t OF public.ty;", Some(("public.t", " OF public.ty;"))),
            ("CREATE VIEW public.t AS", None),
        ] {
            assert_eq!(created_table(line), is);
        }
    }
}
