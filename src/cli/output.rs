// SPDX-License-Identifier: MIT
//! The only place that prints results: rows in Hestia's four formats and as a table for a person,
//! plain lines, and errors. Values come from customers' disks; whatever they hold, they neither
//! break the format nor move the cursor.

use super::table::{Column, Holds};
use crate::base::path::display_bytes;
use crate::base::units::ByteSize;
use crate::base::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An object keyed by the first column, all values strings, as Hestia does.
    Json,
    /// Values separated by tabs, no header.
    Plain,
    /// Comma-separated with a header.
    Csv,
    /// Aligned columns with a dashed rule.
    Shell,
    /// Aligned columns with units and colour, for a person at a terminal.
    Table,
}

impl Format {
    /// The format of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "json" => Self::Json,
            "plain" => Self::Plain,
            "csv" => Self::Csv,
            "shell" => Self::Shell,
            "table" => Self::Table,
            _ => return None,
        })
    }
}

/// One value: the exact bytes. How it is shown depends on the column and the format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell(Vec<u8>);

impl From<&[u8]> for Cell {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::from(number.to_string())
    }
}

impl From<bool> for Cell {
    fn from(yes: bool) -> Self {
        Self::from(if yes { "yes" } else { "no" })
    }
}

impl Cell {
    /// A cell without a value.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Names joined by commas.
    pub fn list<'t>(names: impl IntoIterator<Item = &'t str>) -> Self {
        Self::from(names.into_iter().collect::<Vec<_>>().join(","))
    }

    fn shown(&self) -> String {
        display_bytes(&self.0)
    }

    fn is_text(&self) -> bool {
        std::str::from_utf8(&self.0).is_ok()
    }
}

/// A command's answer: rows under the columns that the table gives the command.
#[derive(Debug, Clone)]
pub struct Rows {
    columns: &'static [Column],
    rows: Vec<Vec<Cell>>,
}

impl Rows {
    /// No rows yet.
    pub fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not one cell for each column: the caller and the table disagree.
    pub fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(row);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as text.
    pub fn render(&self, format: Format, colour: bool) -> String {
        match format {
            Format::Json => self.json_pretty(),
            Format::Plain => self.plain(),
            Format::Csv => self.csv(),
            Format::Shell => self.aligned(false, false),
            Format::Table => self.aligned(true, colour),
        }
    }

    /// Columns that hold bytes no text can: they get a second column with the exact bytes.
    fn byte_columns(&self) -> Vec<usize> {
        let has_bytes = |place: &usize| {
            self.rows.iter().any(|row| row.get(*place).is_some_and(|cell| !cell.is_text()))
        };
        (0..self.columns.len()).filter(has_bytes).collect()
    }

    /// Key of each row and its other values, in order. Keys that would be equal get a number, so
    /// that no row is lost to a parser that keeps the last.
    fn objects(&self) -> Vec<(String, Vec<(String, String)>)> {
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        let mut objects = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let mut key = row.first().map(json_text).unwrap_or_default();
            let times = seen.entry(key.clone()).or_insert(0);
            *times += 1;
            if *times > 1 {
                key.push_str(&format!("#{times}"));
            }
            let mut fields = Vec::with_capacity(self.columns.len());
            for (place, (column, cell)) in self.columns.iter().zip(row).enumerate() {
                if place > 0 {
                    fields.push((column.name.to_owned(), json_text(cell)));
                }
                if !cell.is_text() {
                    fields.push((format!("{}_B64", column.name), base64(&cell.0)));
                }
            }
            objects.push((key, fields));
        }
        objects
    }

    fn json_pretty(&self) -> String {
        let mut text = String::from("{\n");
        let objects = self.objects();
        let last = objects.len();
        for (place, (key, fields)) in objects.iter().enumerate() {
            text.push_str(&format!("    {}: {{\n", quote_json(key)));
            for (number, (name, value)) in fields.iter().enumerate() {
                let comma = if number + 1 < fields.len() { "," } else { "" };
                let (name, value) = (quote_json(name), quote_json(value));
                text.push_str(&format!("        {name}: {value}{comma}\n"));
            }
            text.push_str(if place + 1 < last { "    },\n" } else { "    }\n" });
        }
        text.push_str("}\n");
        text
    }

    /// The same object as [`Format::Json`], as a value for one line.
    pub fn json_value(&self) -> serde_json::Value {
        let objects = self.objects().into_iter().map(|(key, fields)| {
            let fields = fields.into_iter().map(|(name, value)| (name, value.into()));
            (key, serde_json::Value::Object(fields.collect()))
        });
        serde_json::Value::Object(objects.collect())
    }

    fn plain(&self) -> String {
        let extra = self.byte_columns();
        let mut text = String::new();
        for row in &self.rows {
            let exact = extra.iter().filter_map(|place| row.get(*place)).map(exact_bytes);
            let cells: Vec<String> = row.iter().map(Cell::shown).chain(exact).collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        text
    }

    fn csv(&self) -> String {
        let extra = self.byte_columns();
        let names = self.columns.iter().map(|column| column.name.to_owned());
        let exact = extra.iter().filter_map(|place| self.columns.get(*place));
        let names: Vec<String> =
            names.chain(exact.map(|one| format!("{}_B64", one.name))).collect();
        let mut text = names.join(",");
        text.push('\n');
        for row in &self.rows {
            let shown = self.columns.iter().zip(row).map(|(column, cell)| {
                let always = matches!(column.holds, Holds::Text | Holds::List);
                quote_csv(&cell.shown(), always)
            });
            let exact = extra.iter().filter_map(|place| row.get(*place)).map(exact_bytes);
            text.push_str(&shown.chain(exact).collect::<Vec<_>>().join(","));
            text.push('\n');
        }
        text
    }

    /// Columns as wide as their widest value. For programs an empty value is a dash, so that the
    /// columns can be counted; for people sizes have units and the rule is bold or missing.
    fn aligned(&self, people: bool, colour: bool) -> String {
        let shown: Vec<(usize, &Column)> =
            self.columns.iter().enumerate().filter(|(_, column)| column.shown).collect();
        let mut lines: Vec<Vec<String>> = Vec::with_capacity(self.rows.len() + 2);
        lines.push(shown.iter().map(|(_, column)| column.name.to_owned()).collect());
        if !people {
            lines.push(shown.iter().map(|(_, column)| "-".repeat(column.name.len())).collect());
        }
        for row in &self.rows {
            let cells = shown.iter().map(|(place, column)| {
                row.get(*place).map(|cell| aligned_cell(column, cell, people)).unwrap_or_default()
            });
            lines.push(cells.collect());
        }
        let right: Vec<bool> =
            shown.iter().map(|(_, column)| people && is_number(column.holds)).collect();
        align(&lines, &right, colour)
    }
}

fn is_number(holds: Holds) -> bool {
    matches!(holds, Holds::Count | Holds::Bytes | Holds::Mib)
}

fn aligned_cell(column: &Column, cell: &Cell, people: bool) -> String {
    let text = cell.shown();
    if column.holds == Holds::Id {
        return text.chars().take(8).collect();
    }
    if !people {
        let dash = text.is_empty();
        return if dash { "-".to_owned() } else { text };
    }
    match (column.holds, text.parse::<u64>()) {
        (Holds::Bytes, Ok(bytes)) => ByteSize(bytes).to_string(),
        (Holds::Mib, Ok(mib)) => ByteSize(mib.saturating_mul(1 << 20)).to_string(),
        (Holds::List, _) => text.replace(',', ", "),
        _ => text,
    }
}

fn align(lines: &[Vec<String>], right: &[bool], colour: bool) -> String {
    let mut widths = vec![0_usize; right.len()];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let mut out = String::new();
        for ((cell, width), right) in line.iter().zip(&widths).zip(right) {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, behind) = if *right { (gap, String::new()) } else { (String::new(), gap) };
            out.push_str(&format!("{before}{cell}{behind}  "));
        }
        let out = out.trim_end();
        if colour && number == 0 {
            text.push_str(&format!("\x1b[1m{out}\x1b[0m\n"));
        } else {
            text.push_str(out);
            text.push('\n');
        }
    }
    text
}

/// The text for JSON: exact if it is text, else with the strange bytes escaped.
fn json_text(cell: &Cell) -> String {
    std::str::from_utf8(&cell.0).map_or_else(|_| cell.shown(), str::to_owned)
}

/// A JSON string. Beyond what JSON demands, it escapes what moves a terminal's cursor: DEL and
/// the second set of control characters.
fn quote_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let mut safe = String::with_capacity(quoted.len());
    for letter in quoted.chars() {
        if letter.is_control() {
            safe.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            safe.push(letter);
        }
    }
    safe
}

fn quote_csv(text: &str, always: bool) -> String {
    if !always && !text.contains([',', '"', ' ']) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// What a `*_B64` column holds: nothing where the text says it all.
fn exact_bytes(cell: &Cell) -> String {
    if cell.is_text() { String::new() } else { base64(&cell.0) }
}

/// Base64 with padding (RFC 4648).
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32| {
        let place = usize::try_from(bits & 63).unwrap_or(0);
        LETTERS.get(place).copied().map_or('=', char::from)
    };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| group.get(place).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.push(letter(bits >> 18));
        text.push(letter(bits >> 12));
        text.push(if group.len() > 1 { letter(bits >> 6) } else { '=' });
        text.push(if group.len() > 2 { letter(bits) } else { '=' });
    }
    text
}

// ---- where it goes ------------------------------------------------------------------------

/// What a command's output should look like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// The format asked for; `None` lets the kind of standard output decide.
    pub format: Option<Format>,
    /// One line of JSON per event, the result last (`--json` on a long job).
    pub events: bool,
    /// As Hestia's own commands speak: all on standard output, no colour.
    pub panel: bool,
    /// Results, warnings and errors only.
    pub quiet: bool,
    /// Every object too.
    pub verbose: bool,
}

/// Standard output and standard error.
#[derive(Debug)]
pub struct Output {
    style: Style,
    format: Format,
    colour: bool,
    closed: AtomicBool,
}

impl Output {
    /// The process's own output.
    pub fn new(style: Style) -> Self {
        let terminal = io::stdout().is_terminal() && !style.panel;
        let usual = if terminal { Format::Table } else { Format::Shell };
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            style,
            format: style.format.unwrap_or(usual),
            colour: terminal && !no_colour,
            closed: AtomicBool::new(false),
        }
    }

    /// How it was asked to be.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether a program reads standard output rather than a person.
    pub fn is_machine(&self) -> bool {
        self.style.events || matches!(self.format, Format::Json | Format::Plain | Format::Csv)
    }

    /// Whether whoever read standard output has gone, which is no failure.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Prints a command's rows.
    pub fn rows(&self, rows: &Rows) -> Result<()> {
        if self.style.events {
            return self
                .event(&serde_json::json!({ "event": "result", "rows": rows.json_value() }));
        }
        if rows.is_empty() && self.format == Format::Table {
            self.note("nothing to show");
            return Ok(());
        }
        self.bytes(rows.render(self.format, self.colour).as_bytes())
    }

    /// Prints one line of JSON.
    pub fn event(&self, event: &serde_json::Value) -> Result<()> {
        self.bytes(format!("{event}\n").as_bytes())
    }

    /// Prints a line of the result for a person or a script; control characters are escaped.
    pub fn line(&self, text: &str) -> Result<()> {
        self.bytes(format!("{}\n", display_bytes(text.as_bytes())).as_bytes())
    }

    /// Prints bytes as they are, such as a file's content.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|cause| self.write_failed(cause))
    }

    /// Turns a failed write into an error, and remembers a reader that has gone.
    pub fn write_failed(&self, cause: io::Error) -> Error {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            self.closed.store(true, Ordering::Relaxed);
        }
        Error::new(Kind::Disk, "write to standard output").cause(cause)
    }

    /// Tells a person something that is not the result. Lost if standard error is closed, since
    /// there is nobody left to tell.
    pub fn note(&self, text: &str) {
        if !self.style.quiet && !self.style.panel {
            to_stderr(&printable(text));
        }
    }

    /// Tells what must not be missed even when quiet, such as how to keep a recovery key. The
    /// panel reads standard output only.
    pub fn important(&self, text: &str) {
        if self.style.panel {
            self.out_or_lost(&printable(text));
        } else {
            to_stderr(&printable(text));
        }
    }

    /// Prints a warning.
    pub fn warning(&self, warning: &Error) {
        if self.style.events {
            let event = serde_json::json!({ "event": "warning", "text": warning.one_line() });
            self.out_or_lost(&event.to_string());
        } else if self.style.panel {
            self.out_or_lost(&printable(&format!("Warning: {}", warning.one_line())));
        }
        if !self.style.panel {
            to_stderr(&printable(&format!("Warning: {warning}")));
        }
    }

    /// Prints the error a command ended with.
    pub fn error(&self, error: &Error) {
        if self.style.events {
            let event = serde_json::json!({
                "event": "error",
                "exit": error.kind().exit_code(),
                "kind": format!("{:?}", error.kind()).to_lowercase(),
                "text": error.one_line(),
            });
            self.out_or_lost(&event.to_string());
        }
        if self.style.panel {
            self.out_or_lost(&printable(&format!("Error: {}", error.one_line())));
        } else {
            to_stderr(&printable(&format!("Error: {error}")));
        }
    }

    /// For lines whose loss changes nothing: the exit code tells the same.
    fn out_or_lost(&self, line: &str) {
        if let Err(error) = self.bytes(format!("{line}\n").as_bytes()) {
            drop(error);
        }
    }
}

/// Line by line, with everything escaped that could fool a terminal.
fn printable(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| display_bytes(line.as_bytes())).collect();
    lines.join("\n")
}

/// Writes a line to standard error. A failure is not reported: there is nowhere to report it.
pub fn to_stderr(line: &str) {
    if let Err(error) = writeln!(io::stderr().lock(), "{line}") {
        drop(error);
    }
}

/// Writes text to standard output, for help and usage.
pub fn to_stdout(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::super::table::{col, wide};
    use super::*;
    use insta::assert_snapshot;

    const COLUMNS: &[Column] = &[
        col("SNAPSHOT", Holds::Id, "id"),
        col("USER", Holds::Text, "user"),
        col("SIZE", Holds::Mib, "size"),
        wide("WEB", Holds::List, "domains"),
    ];

    fn sample() -> Rows {
        let mut rows = Rows::new(COLUMNS);
        let id = "3f9c2a1b".repeat(8);
        rows.push(vec![id.into(), "alice".into(), 812_u64.into(), Cell::list(["a.tld", "b.tld"])]);
        rows.push(vec!["00ff".into(), Cell::empty(), 3_u64.into(), Cell::empty()]);
        rows
    }

    #[test]
    fn json_looks_as_hestias_does() {
        assert_snapshot!(sample().render(Format::Json, false), @r#"
        {
            "3f9c2a1b3f9c2a1b3f9c2a1b3f9c2a1b3f9c2a1b3f9c2a1b3f9c2a1b3f9c2a1b": {
                "USER": "alice",
                "SIZE": "812",
                "WEB": "a.tld,b.tld"
            },
            "00ff": {
                "USER": "",
                "SIZE": "3",
                "WEB": ""
            }
        }
        "#);
        assert_eq!(Rows::new(COLUMNS).render(Format::Json, false), "{\n}\n");
    }

    #[test]
    fn plain_has_tabs_and_no_header() {
        let text = sample().render(Format::Plain, false);
        assert_eq!(text.lines().nth(1), Some("00ff\t\t3\t"));
        assert_eq!(text.lines().count(), 2);
        assert_eq!(Rows::new(COLUMNS).render(Format::Plain, false), "");
    }

    #[test]
    fn csv_has_a_header_and_quotes_text() {
        let text = sample().render(Format::Csv, false);
        assert_eq!(text.lines().next(), Some("SNAPSHOT,USER,SIZE,WEB"));
        assert_eq!(text.lines().nth(2), Some("00ff,\"\",3,\"\""));
        assert!(text.contains("\"a.tld,b.tld\""));
    }

    #[test]
    fn shell_is_aligned_under_a_dashed_rule_and_leaves_wide_columns_out() {
        assert_snapshot!(sample().render(Format::Shell, false), @r"
        SNAPSHOT  USER   SIZE
        --------  ----   ----
        3f9c2a1b  alice  812
        00ff      -      3
        ");
    }

    #[test]
    fn a_person_sees_units_and_bold_headers() {
        assert_snapshot!(sample().render(Format::Table, false), @r"
        SNAPSHOT  USER        SIZE
        3f9c2a1b  alice  812.0 MiB
        00ff               3.0 MiB
        ");
        assert!(sample().render(Format::Table, true).starts_with("\x1b[1mSNAPSHOT"));
    }

    #[test]
    fn hostile_values_break_no_format() {
        let mut rows = Rows::new(COLUMNS);
        let evil: &[u8] = b"a\"b\\\n\t\x1b[2J,\xff";
        rows.push(vec![evil.into(), evil.into(), 1_u64.into(), "x\u{9b}y".into()]);
        rows.push(vec![evil.into(), "x".into(), 1_u64.into(), Cell::empty()]);
        for format in [Format::Json, Format::Plain, Format::Csv, Format::Shell, Format::Table] {
            let text = rows.render(format, false);
            assert!(!text.contains(['\x1b', '\u{9b}', '\r']), "{format:?}: {text}");
            let lines = if format == Format::Json { 15 } else { text.lines().count() };
            assert_eq!(text.lines().count(), lines, "{format:?}");
        }
        assert_eq!(rows.render(Format::Plain, false).lines().count(), 2);
        let json: serde_json::Value =
            serde_json::from_str(&rows.render(Format::Json, false)).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 2, "equal keys are told apart: {keys:?}");
        let first = json.as_object().unwrap().values().next().unwrap();
        assert_eq!(first["USER_B64"], base64(evil));
        assert_eq!(first["WEB"], "x\u{9b}y");
        let csv = rows.render(Format::Csv, false);
        assert!(csv.starts_with("SNAPSHOT,USER,SIZE,WEB,SNAPSHOT_B64,USER_B64\n"), "{csv}");
    }

    #[test]
    fn base64_is_the_usual_one() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd, 0xfc]), "//79/A==");
    }
}
