// SPDX-License-Identifier: MIT
//! What an import of MySQL notes of itself on the server, in a table beside the old tables, where
//! no customer can write; and how it is brought to an end after it was killed.

use super::database::DatabaseServer;
use super::import::{Import, Scratch};
use super::import_leftovers::marker;
use super::import_mysql::{Definition, Swap, clean_up, unhex};
use super::import_mysql_keys::{self, Keys};
use crate::base::{Error, Kind, Result};
use std::collections::BTreeSet;

const WHAT: &str = "note what the import is about";

/// The statements that make the table and say whose import it is.
pub(super) fn begin(import: &Import<'_>, scratch: &Scratch) -> String {
    let Scratch { name, aside, .. } = scratch;
    format!(
        "CREATE TABLE `{aside}`.`{name}` (id INT AUTO_INCREMENT PRIMARY KEY, part VARCHAR(8), \
         kind VARCHAR(20), name BLOB, settings BLOB, text LONGBLOB) ENGINE=InnoDB;\n\
         INSERT INTO `{aside}`.`{name}` (part, text) VALUES ('for', {});\n",
        hex(marker(import).as_bytes())
    )
}

/// Notes everything that is needed to complete the old state or the new one.
pub(super) fn note<'d>(
    swap: &Swap<'_>,
    (old, new): (impl Iterator<Item = &'d Definition>, impl Iterator<Item = &'d Definition>),
    (kept, moved): (&[String], &[String]),
) -> Result<()> {
    let Scratch { name, aside, .. } = swap.scratch;
    let mut sql = String::from("START TRANSACTION;\n");
    let mut row = |part: &str, kind: &str, named: &str, settings: &str, text: &[u8]| {
        sql.push_str(&format!(
            "INSERT INTO `{aside}`.`{name}` (part, kind, name, settings, text) VALUES \
             ('{part}', '{kind}', {}, {}, {});\n",
            hex(named.as_bytes()),
            hex(settings.as_bytes()),
            hex(text)
        ));
    };
    let all = old.map(|one| ("old", one)).chain(new.map(|one| ("new", one)));
    for (part, one) in all {
        row(part, &one.kind, &one.name, &one.settings, &one.create);
    }
    for (part, tables) in [("kept", kept), ("moved", moved)] {
        for table in tables {
            row(part, "TABLE", table, "", b"");
        }
    }
    row("noted", "", "", "", b"");
    sql.push_str("COMMIT;\n");
    swap.server.ask(WHAT, None, &sql).map(drop)
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("X'{}'", digits.concat())
}

/// The imports that left such a table: the name of the database aside, and whose it is.
pub(super) fn markers(server: &DatabaseServer) -> Result<Vec<(String, String)>> {
    let what = "look for what killed restores left";
    let query = "SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE \
                 'ghostsnapold%' AND TABLE_NAME = CONCAT('ghostsnap', SUBSTR(TABLE_SCHEMA, 13));\n";
    let mut found = Vec::new();
    for aside in server.ask_text(what, None, query)?.lines() {
        if !aside.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            continue;
        }
        let table = aside.replacen("ghostsnapold", "ghostsnap", 1);
        let query = format!("SELECT HEX(text) FROM `{aside}`.`{table}` WHERE part = 'for';\n");
        let text = server.ask_text(what, None, &query)?;
        if !text.trim().is_empty() {
            found.push((aside.to_owned(), unhex(&text)?));
        }
    }
    Ok(found)
}

/// What was noted.
#[derive(Default)]
struct Noted {
    is_complete: bool,
    old: Vec<Definition>,
    new: Vec<Definition>,
    kept: BTreeSet<String>,
    moved: BTreeSet<String>,
}

impl Noted {
    fn read(server: &DatabaseServer, scratch: &Scratch) -> Result<Self> {
        let Scratch { name, aside, .. } = scratch;
        let query = format!(
            "SELECT part, kind, HEX(name), HEX(settings), HEX(text) FROM `{aside}`.`{name}` \
             WHERE part <> 'for';\n"
        );
        let mut noted = Self::default();
        for line in server.ask_text(WHAT, None, &query)?.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let [part, kind, name, settings, text] = columns.as_slice() else { continue };
            let definition = || -> Result<Definition> {
                let (name, settings) = (unhex(name)?, unhex(settings)?);
                Ok(Definition { kind: (*kind).to_owned(), name, settings, create: bytes(text)? })
            };
            match *part {
                "old" => noted.old.push(definition()?),
                "new" => noted.new.push(definition()?),
                "kept" => drop(noted.kept.insert(unhex(name)?)),
                "moved" => drop(noted.moved.insert(unhex(name)?)),
                "noted" => noted.is_complete = true,
                _ => {}
            }
        }
        Ok(noted)
    }
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect::<Option<_>>().ok_or_else(|| {
        Error::new(Kind::Db, WHAT).why("the server's answer is not what it should be")
    })
}

/// Brings an import that was killed to an end.
pub(super) fn finish(
    server: &DatabaseServer,
    import: &Import<'_>,
    scratch: &Scratch,
) -> Result<&'static str> {
    let swap = Swap { server, import, scratch, keys: Keys::default() };
    // The account first: what it makes meanwhile is nobody's.
    let (name, host) = (&scratch.name, server.account_host());
    let out_of_turn = server.out_of_turn();
    out_of_turn.ask(WHAT, None, &format!("DROP USER IF EXISTS `{name}`@`{host}`;\n"))?;
    let noted = Noted::read(server, scratch)?;
    let aside: BTreeSet<String> = swap.tables(&scratch.aside)?.into_iter().collect();
    let mut end = "it was not touched, and what was temporary is gone";
    if noted.is_complete {
        let live: BTreeSet<String> = swap.tables(&import.target.name)?.into_iter().collect();
        // All tables change places in one step, so one look tells on which side of it we are.
        let is_changed = if noted.kept.is_empty() {
            let waiting = swap.tables(name)?;
            waiting.iter().all(|table| !noted.moved.contains(table))
                && noted.moved.iter().any(|table| live.contains(table))
        } else {
            noted.kept.is_subset(&aside)
        };
        let is_emptied = !noted.moved.is_empty() && noted.moved.is_disjoint(&live);
        if (is_changed && is_emptied) || (!is_changed && !aside.is_empty()) {
            return Err(Error::new(Kind::Db, "tell the old tables from the new ones")
                .why("somebody has changed the database since")
                .hint(format!("the tables as they were are in {}", scratch.aside)));
        }
        swap.make_missing(if is_changed { &noted.new } else { &noted.old }.iter())?;
        end = if is_changed { "the restore is complete now" } else { "it is as it was before" };
    } else if !aside.is_empty() {
        return Err(Error::new(Kind::Db, "tell what was done")
            .why(format!("there are tables in {}", scratch.aside)));
    }
    clean_up(server, scratch, None)?;
    Ok(end)
}

impl Swap<'_> {
    /// Makes those definitions that the live database lacks.
    pub(super) fn make_missing<'d>(
        &self,
        wanted: impl Iterator<Item = &'d Definition>,
    ) -> Result<()> {
        let live = &self.import.target.name;
        let (keys, wanted): (Vec<_>, Vec<_>) =
            wanted.partition(|one| one.kind == import_mysql_keys::KIND);
        if !keys.is_empty() {
            import_mysql_keys::make_missing(self.server, live, &keys)?;
        }
        let has = self.definitions(live)?;
        let is_there = |one: &Definition| {
            has.iter().any(|other| (&other.kind, &other.name) == (&one.kind, &one.name))
        };
        let missing: Vec<&Definition> = wanted.into_iter().filter(|one| !is_there(one)).collect();
        self.make_all(missing)
    }
}
