// SPDX-License-Identifier: MIT
//! What a failed import has changed of what is live, and whether a table is there before one. Both
//! decide what an undo may do, so both are answered by the server, and where it does not answer
//! plainly, by what loses nothing: a table counts as there, and a change as made.

use super::database::DatabaseServer;
use super::dump_text_pgsql;
use super::import::Import;
use super::import_pgsql_keys::literal;
use super::inventory::DbKind;
use crate::base::{Error, Kind, Result};

/// An import that failed.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// Whether it is certain that nothing which is live was changed.
    pub is_untouched: bool,
}

impl Failure {
    /// One that came before anything was done.
    pub fn early(error: Error) -> Self {
        Self { error, is_untouched: true }
    }
}

/// Whether a database has a table that somebody may mean by this name.
pub fn has_table(server: &DatabaseServer, database: &str, table: &str) -> Result<bool> {
    let what = format!("look for the table {}", table.escape_debug());
    let count = match server.kind {
        DbKind::Mysql => {
            let query = format!(
                "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{database}' \
                 AND IF(@@lower_case_table_names = 0, HEX(TABLE_NAME) = '{}', TABLE_NAME = \
                 CONVERT(X'{0}' USING utf8mb4));\n",
                hex(table)
            );
            server.ask_number(&what, None, &query)?
        }
        DbKind::Pgsql => {
            let query = format!("SELECT count(*) FROM {};\n", pgsql_tables(table));
            server.ask_number(&what, Some(database), &query)?
        }
    };
    Ok(count > 0)
}

/// What a table or a database of PostgreSQL is known by as long as nobody puts another one in its
/// place.
pub(super) struct Trace(Option<String>);

impl Trace {
    /// Looks before an import.
    pub fn take(server: &DatabaseServer, import: &Import<'_>) -> Self {
        Self(Self::look(server, import))
    }

    /// Whether it is still the same, for sure.
    pub fn is_same(&self, server: &DatabaseServer, import: &Import<'_>, error: &Error) -> bool {
        // A client that was stopped may have sent its last word, and the server is still at it.
        error.kind() != Kind::Cancelled && self.0.is_some() && self.0 == Self::look(server, import)
    }

    fn look(server: &DatabaseServer, import: &Import<'_>) -> Option<String> {
        if server.kind != DbKind::Pgsql {
            return None;
        }
        let live = &import.target.name;
        let (database, query) = match import.table.filter(|_| import.exists) {
            Some(table) => {
                let tables = pgsql_tables(table);
                (Some(live.as_str()), format!("SELECT c.oid FROM {tables} ORDER BY 1;\n"))
            }
            None => (
                None,
                format!("SELECT oid, datallowconn FROM pg_database WHERE datname = '{live}';\n"),
            ),
        };
        // Without an answer nothing is certain, which is what this says.
        server.ask_text("look at what is there", database, &query).ok()
    }
}

/// Whatever a name may mean, as an import of that table reads it.
fn pgsql_tables(table: &str) -> String {
    let one =
        |(schema, name): &(String, String)| format!("({}, {})", literal(schema), literal(name));
    let readings: Vec<String> = dump_text_pgsql::readings(table).iter().map(one).collect();
    format!(
        "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind <> 'i' AND \
         (n.nspname, c.relname) IN ({})",
        readings.join(", ")
    )
}

/// The one table of a PostgreSQL database that a name means, as SQL names it.
pub fn pgsql_table(server: &DatabaseServer, database: &str, table: &str) -> Result<String> {
    let what = format!("find the table {} in {database}", table.escape_debug());
    let name = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)";
    let query = format!("SELECT {name} FROM {} ORDER BY 1;\n", pgsql_tables(table));
    let answer = server.ask_text(&what, Some(database), &query)?;
    let found: Vec<&str> = answer.lines().collect();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Error::new(Kind::NotFound, what).why("there is none of that name")),
        several => Err(Error::new(Kind::Invalid, what)
            .why(format!("it has {}", several.join(" and ").escape_debug()))),
    }
}

fn hex(text: &str) -> String {
    let digits: Vec<String> = text.bytes().map(|byte| format!("{byte:02X}")).collect();
    digits.concat()
}
