// SPDX-License-Identifier: MIT
//! Extensions of PostgreSQL that only an administrator may add to a database. A dump that needs
//! some could not be imported with a customer's rights, so the server's administrator adds them to
//! the temporary database while there is nothing of the customer in it yet: those of a short list
//! alone, and only if the dump names them and the server has them.

use super::database::DatabaseServer;
use crate::base::{Result, WhatIo, limits, units};
use std::io::Read;

/// Types, functions and index methods: nothing of theirs reaches files, the network, other
/// databases or more rights. Newer servers let customers add most of them.
const HARMLESS: [&str; 21] = [
    "address_standardizer",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "postgis",
    "postgis_sfcgal",
    "seg",
    "tablefunc",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// The beginning of a dump, up to its first table: whatever extensions it needs stand there.
pub(super) fn head(dump: &mut dyn Read) -> Result<Vec<u8>> {
    let table = b"\nCREATE TABLE ";
    let (mut head, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    let mut looked_at = 0;
    while units::bytes(head.len()) < limits::DUMP_HEAD_BYTES_MAX {
        let count = dump.read(&mut piece).what_io(|| "read the dump")?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(piece.get(..count).unwrap_or_default());
        let fresh = head.get(looked_at..).unwrap_or_default();
        if fresh.windows(table.len()).any(|part| part == table) {
            break;
        }
        looked_at = head.len().saturating_sub(table.len());
    }
    Ok(head)
}

/// The extensions that the beginning of a dump adds to the schema `public`, of the list.
pub(super) fn named(head: &[u8]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        let Some(rest) = line.strip_prefix(b"CREATE EXTENSION IF NOT EXISTS ") else { continue };
        let Some(name) = rest.trim_ascii_end().strip_suffix(b" WITH SCHEMA public;") else {
            continue;
        };
        let name = name.strip_prefix(b"\"").and_then(|n| n.strip_suffix(b"\"")).unwrap_or(name);
        let known = HARMLESS.into_iter().find(|known| known.as_bytes() == name);
        found.extend(known.filter(|known| !found.contains(known)));
    }
    found
}

/// Adds those to a database that its owner may not add.
pub(super) fn add(server: &DatabaseServer, database: &str, names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let what = "add the extensions that the dump needs";
    let list: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    // Servers before 13 have no column that says which ones a customer may add.
    let query = format!(
        "SELECT DISTINCT name FROM pg_available_extension_versions v WHERE name IN ({}) AND \
         COALESCE(to_jsonb(v) ->> 'trusted', 'false') <> 'true';\n",
        list.join(", ")
    );
    let answer = server.ask_text(what, None, &query)?;
    let closed: Vec<&str> = answer.lines().collect();
    let mut sql = String::new();
    // Some need others, which a customer may add.
    for name in names.iter().filter(|name| closed.contains(name)) {
        sql.push_str(&format!(
            "CREATE EXTENSION IF NOT EXISTS \"{name}\" WITH SCHEMA public CASCADE;\n"
        ));
    }
    server.ask(what, Some(database), &sql).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_extensions_of_the_list_are_found_and_in_their_order() {
        let dump = "-- x\nCREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;\n\
                    CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public;\n\
                    CREATE EXTENSION IF NOT EXISTS file_fdw WITH SCHEMA public;\n\
                    CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA own;\n\
                    CREATE EXTENSION IF NOT EXISTS cube WITH SCHEMA public; DROP TABLE x;\n\
                    CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;\n";
        assert_eq!(named(dump.as_bytes()), ["postgis", "uuid-ossp"]);
    }

    #[test]
    fn the_head_ends_where_tables_begin_and_nothing_is_lost() {
        let long = format!("{}\nCREATE TABLE x (", "-".repeat(200_000));
        let text = format!("{long}{}", "y".repeat(500_000));
        let mut rest = text.as_bytes();
        let head = head(&mut rest).unwrap();
        assert!((long.len()..long.len() + 70_000).contains(&head.len()));
        assert_eq!([head.as_slice(), rest].concat(), text.as_bytes());
    }
}
