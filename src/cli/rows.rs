// SPDX-License-Identifier: MIT
//! Rows as text: Hestia's four formats and a table for a person, one row at a time, so that a list
//! of millions of files needs no memory. Values come from customers' disks; whatever they hold,
//! they neither break the format nor move the cursor.

use super::table::{Column, Holds};
use crate::base::path::display_bytes;
use crate::base::units::ByteSize;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Rows looked at before the widths of aligned columns are settled.
const ROWS_MEASURED: usize = 2000;

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

/// Turns rows into text as they come.
pub struct Renderer {
    columns: &'static [Column],
    format: Format,
    /// JSON on one line, inside a `result` event.
    event: bool,
    colour: bool,
    text: String,
    count: u64,
    /// Hashes of the JSON keys so far: a key that comes again gets a number, so that no row is lost
    /// to a parser that keeps the last one of a name.
    keys: HashSet<u64>,
    /// Aligned lines whose widths are not settled yet.
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Renderer {
    /// No rows yet.
    pub fn new(columns: &'static [Column], format: Format, event: bool, colour: bool) -> Self {
        let mut renderer = Self {
            columns,
            format: if event { Format::Json } else { format },
            event,
            colour,
            text: String::new(),
            count: 0,
            keys: HashSet::new(),
            waiting: Vec::new(),
            widths: None,
        };
        renderer.start();
        renderer
    }

    fn start(&mut self) {
        match self.format {
            Format::Json if self.event => self.text.push_str("{\"event\":\"result\",\"rows\":{"),
            Format::Json => self.text.push_str("{\n"),
            Format::Plain => {}
            Format::Csv => {
                let names = self.columns.iter().map(|column| column.name.to_owned());
                let exact = raw(self.columns).map(|(_, column)| format!("{}_B64", column.name));
                let names: Vec<String> = names.chain(exact).collect();
                self.text.push_str(&names.join(","));
                self.text.push('\n');
            }
            Format::Shell | Format::Table => {
                let names = shown(self.columns).map(|(_, column)| column.name.to_owned());
                self.waiting.push(names.collect());
                if self.format == Format::Shell {
                    let rule = shown(self.columns).map(|(_, column)| "-".repeat(column.name.len()));
                    self.waiting.push(rule.collect());
                }
            }
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not one cell for each column: the caller and the table disagree.
    pub fn row(&mut self, row: &[Cell]) {
        assert_eq!(row.len(), self.columns.len(), "a row has a cell for each column");
        self.count += 1;
        match self.format {
            Format::Json => self.json_row(row),
            Format::Plain => {
                let line: Vec<String> =
                    row.iter().map(Cell::shown).chain(exact_cells(self.columns, row)).collect();
                self.text.push_str(&line.join("\t"));
                self.text.push('\n');
            }
            Format::Csv => {
                let values = self.columns.iter().zip(row).map(|(column, cell)| {
                    let always = !is_number(column.holds) && column.holds != Holds::Id;
                    quote_csv(&cell.shown(), always)
                });
                let line: Vec<String> = values.chain(exact_cells(self.columns, row)).collect();
                self.text.push_str(&line.join(","));
                self.text.push('\n');
            }
            Format::Shell | Format::Table => self.aligned_row(row),
        }
    }

    /// How many rows there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The text so far, once there are at least this many bytes of it; it is forgotten.
    pub fn take(&mut self, least: usize) -> Option<String> {
        (self.text.len() >= least).then(|| std::mem::take(&mut self.text))
    }

    /// The rest of the text.
    pub fn finish(mut self) -> String {
        match self.format {
            // Whoever prints the event adds how it went.
            Format::Json if self.event => self.text.push('}'),
            Format::Json => self.text.push_str(if self.count > 0 { "\n}\n" } else { "}\n" }),
            Format::Plain | Format::Csv => {}
            Format::Shell | Format::Table => self.settle(),
        }
        self.text
    }

    fn json_row(&mut self, row: &[Cell]) {
        let mut key = row.first().map(json_text).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        if !self.keys.insert(hasher.finish()) {
            key.push_str(&format!("#{}", self.count));
        }
        let mut fields = Vec::with_capacity(row.len());
        for (place, (column, cell)) in self.columns.iter().zip(row).enumerate() {
            if place > 0 {
                fields.push((column.name.to_owned(), json_text(cell)));
            }
            if !cell.is_text() {
                fields.push((format!("{}_B64", column.name), base64(&cell.0)));
            }
        }
        let (indent, space, end) = if self.event { ("", "", "") } else { ("    ", " ", "\n") };
        if self.count > 1 {
            self.text.push_str(&format!(",{end}"));
        }
        self.text.push_str(&format!("{indent}{}:{space}{{{end}", quote_json(&key)));
        let last = fields.len();
        for (place, (name, value)) in fields.iter().enumerate() {
            let comma = if place + 1 < last { "," } else { "" };
            let (name, value) = (quote_json(name), quote_json(value));
            self.text.push_str(&format!("{indent}{indent}{name}:{space}{value}{comma}{end}"));
        }
        self.text.push_str(&format!("{indent}}}"));
    }

    /// Columns as wide as their widest value among the first rows.
    fn aligned_row(&mut self, row: &[Cell]) {
        let people = self.format == Format::Table;
        let cells = shown(self.columns).map(|(place, column)| {
            row.get(place).map(|cell| aligned_cell(column, cell, people)).unwrap_or_default()
        });
        let line: Vec<String> = cells.collect();
        if let Some(widths) = &self.widths {
            self.text.push_str(&aligned_line(&line, widths, &self.right()));
        } else {
            self.waiting.push(line);
            if self.waiting.len() > ROWS_MEASURED {
                self.settle();
            }
        }
    }

    /// Whether each shown column is aligned to the right: numbers are, for people.
    fn right(&self) -> Vec<bool> {
        let people = self.format == Format::Table;
        shown(self.columns).map(|(_, column)| people && is_number(column.holds)).collect()
    }

    fn settle(&mut self) {
        if self.widths.is_some() {
            return;
        }
        let right = self.right();
        let mut widths = vec![0_usize; right.len()];
        for line in &self.waiting {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (number, line) in self.waiting.drain(..).enumerate() {
            let line = aligned_line(&line, &widths, &right);
            if self.colour && number == 0 {
                self.text.push_str(&format!("\x1b[1m{}\x1b[0m\n", line.trim_end()));
            } else {
                self.text.push_str(&line);
            }
        }
        self.widths = Some(widths);
    }
}

fn aligned_line(line: &[String], widths: &[usize], right: &[bool]) -> String {
    let mut out = String::new();
    for ((cell, width), right) in line.iter().zip(widths).zip(right) {
        let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
        let (before, behind) = if *right { (gap, String::new()) } else { (String::new(), gap) };
        out.push_str(&format!("{before}{cell}{behind}  "));
    }
    format!("{}\n", out.trim_end())
}

/// The columns that people see, with their places.
fn shown(columns: &'static [Column]) -> impl Iterator<Item = (usize, &'static Column)> {
    columns.iter().enumerate().filter(|(_, column)| column.shown)
}

/// The columns that may hold bytes no text can.
fn raw(columns: &'static [Column]) -> impl Iterator<Item = (usize, &'static Column)> {
    columns.iter().enumerate().filter(|(_, column)| column.holds == Holds::Raw)
}

/// What the `*_B64` columns hold: nothing where the text says it all.
fn exact_cells(columns: &'static [Column], row: &[Cell]) -> impl Iterator<Item = String> {
    let cells = raw(columns).filter_map(|(place, _)| row.get(place));
    cells.map(|cell| if cell.is_text() { String::new() } else { base64(&cell.0) })
}

fn is_number(holds: Holds) -> bool {
    matches!(holds, Holds::Count | Holds::Bytes | Holds::Mib)
}

/// For programs an empty value is a dash, so that the columns can be counted.
fn aligned_cell(column: &Column, cell: &Cell, people: bool) -> String {
    let text = cell.shown();
    if text.is_empty() && !people {
        return "-".to_owned();
    }
    if column.holds == Holds::Id {
        return text.chars().take(8).collect();
    }
    if !people {
        return text;
    }
    match (column.holds, text.parse::<u64>()) {
        (Holds::Bytes, Ok(bytes)) => ByteSize(bytes).to_string(),
        (Holds::Mib, Ok(mib)) => ByteSize(mib.saturating_mul(1 << 20)).to_string(),
        (Holds::List, _) => text.replace(',', ", "),
        _ => text,
    }
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

#[cfg(test)]
mod tests {
    use super::super::table::{col, wide};
    use super::*;
    use insta::assert_snapshot;

    const COLUMNS: &[Column] = &[
        col("SNAPSHOT", Holds::Id, "id"),
        col("USER", Holds::Raw, "user"),
        col("SIZE", Holds::Mib, "size"),
        wide("WEB", Holds::List, "domains"),
    ];

    fn rendered(rows: &[Vec<Cell>], format: Format, event: bool, colour: bool) -> String {
        let mut renderer = Renderer::new(COLUMNS, format, event, colour);
        for row in rows {
            renderer.row(row);
        }
        renderer.finish()
    }

    fn sample(format: Format) -> String {
        rendered(&sample_rows(), format, false, false)
    }

    fn sample_rows() -> Vec<Vec<Cell>> {
        let id = "3f9c2a1b".repeat(8);
        vec![
            vec![id.into(), "alice".into(), 812_u64.into(), Cell::list(["a.tld", "b.tld"])],
            vec!["00ff".into(), Cell::empty(), 3_u64.into(), Cell::empty()],
        ]
    }

    #[test]
    fn json_looks_as_hestias_does() {
        assert_snapshot!(sample(Format::Json), @r#"
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
        assert_eq!(rendered(&[], Format::Json, false, false), "{\n}\n");
    }

    #[test]
    fn plain_has_tabs_and_no_header() {
        let text = sample(Format::Plain);
        assert_eq!(text.lines().nth(1), Some("00ff\t\t3\t\t"));
        assert_eq!(text.lines().count(), 2);
        assert_eq!(rendered(&[], Format::Plain, false, false), "");
    }

    #[test]
    fn csv_has_a_header_and_quotes_text() {
        let text = sample(Format::Csv);
        assert_eq!(text.lines().next(), Some("SNAPSHOT,USER,SIZE,WEB,USER_B64"));
        assert_eq!(text.lines().nth(2), Some("00ff,\"\",3,\"\","));
        assert!(text.contains("\"a.tld,b.tld\""));
    }

    #[test]
    fn shell_is_aligned_under_a_dashed_rule_and_leaves_wide_columns_out() {
        assert_snapshot!(sample(Format::Shell), @r"
        SNAPSHOT  USER   SIZE
        --------  ----   ----
        3f9c2a1b  alice  812
        00ff      -      3
        ");
    }

    #[test]
    fn a_person_sees_units_and_bold_headers() {
        assert_snapshot!(sample(Format::Table), @r"
        SNAPSHOT  USER        SIZE
        3f9c2a1b  alice  812.0 MiB
        00ff               3.0 MiB
        ");
        assert!(
            rendered(&sample_rows(), Format::Table, false, true).starts_with("\x1b[1mSNAPSHOT")
        );
    }

    #[test]
    fn hostile_values_break_no_format() {
        let evil: &[u8] = b"a\"b\\\n\t\x1b[2J,\xff";
        let rows = vec![
            vec!["one".into(), evil.into(), 1_u64.into(), "x\u{9b}y".into()],
            vec!["one".into(), "x".into(), 1_u64.into(), Cell::empty()],
        ];
        for format in [Format::Json, Format::Plain, Format::Csv, Format::Shell, Format::Table] {
            let text = rendered(&rows, format, false, false);
            assert!(!text.contains(['\x1b', '\u{9b}', '\r']), "{format:?}: {text}");
        }
        assert_eq!(rendered(&rows, Format::Plain, false, false).lines().count(), 2);
        assert_eq!(rendered(&rows, Format::Csv, false, false).lines().count(), 3);
        for event in [false, true] {
            let end = if event { "}" } else { "" };
            let text = rendered(&rows, Format::Json, event, false) + end;
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let rows = if event { &json["rows"] } else { &json };
            let keys: Vec<_> = rows.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["one", "one#2"], "equal keys are told apart");
            assert_eq!(rows["one"]["USER_B64"], base64(evil));
            assert_eq!(rows["one"]["WEB"], "x\u{9b}y");
            assert!(!event || text.lines().count() == 1);
        }
    }

    #[test]
    fn a_long_list_keeps_its_columns_and_its_memory() {
        let mut renderer = Renderer::new(COLUMNS, Format::Shell, false, false);
        for number in 0..3 * u64::try_from(ROWS_MEASURED).unwrap() {
            renderer.row(&["aa".into(), "b".into(), number.into(), Cell::empty()]);
            assert!(renderer.waiting.len() <= ROWS_MEASURED);
        }
        let text = renderer.take(0).unwrap() + &renderer.finish();
        assert!(text.ends_with("aa        b     5999\n"), "{:?}", text.lines().last());
        assert_eq!(text.lines().count(), 6002);
    }

    #[test]
    fn base64_is_the_usual_one() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd, 0xfc]), "//79/A==");
    }
}
