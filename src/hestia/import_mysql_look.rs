// SPDX-License-Identifier: MIT
//! What is in a database of MySQL or MariaDB: objects by their names, rows by number or estimate.

use super::database::DatabaseServer;
use super::import::{self, Live};
use super::import_mysql::{quoted, unexpected, unhex};
use crate::base::Result;
use std::collections::BTreeMap;

/// What a live database has.
pub(super) fn live(server: &DatabaseServer, database: &str) -> Result<Live> {
    let what = format!("look into the database {database}");
    let query = format!(
        "SELECT CONCAT('T', HEX(TABLE_NAME)) FROM information_schema.TABLES WHERE \
         TABLE_SCHEMA = '{database}' AND TABLE_TYPE NOT LIKE '%VIEW';\n\
         SELECT CONCAT('V', HEX(TABLE_NAME)) FROM information_schema.VIEWS WHERE \
         TABLE_SCHEMA = '{database}';\n\
         SELECT CONCAT('r', COUNT(*)) FROM information_schema.ROUTINES WHERE \
         ROUTINE_SCHEMA = '{database}';\n\
         SELECT CONCAT('t', COUNT(*)) FROM information_schema.TRIGGERS WHERE \
         EVENT_OBJECT_SCHEMA = '{database}';\n\
         SELECT CONCAT('e', COUNT(*)) FROM information_schema.EVENTS WHERE \
         EVENT_SCHEMA = '{database}';\n"
    );
    let mut found = Live::default();
    for line in server.ask_text(&what, None, &query)?.lines() {
        let Some((kind, rest)) = line.split_at_checked(1) else { continue };
        let number = || rest.trim().parse().map_err(|_| unexpected(&what));
        match kind {
            "T" => drop(found.tables.insert(unhex(rest)?)),
            "V" => drop(found.views.insert(unhex(rest)?)),
            "r" => found.routines = number()?,
            "t" => found.triggers = number()?,
            "e" => found.events = number()?,
            _ => return Err(unexpected(&what)),
        }
    }
    Ok(found)
}

/// How many rows the server thinks the tables have.
pub(super) fn estimates(server: &DatabaseServer, database: &str) -> Result<BTreeMap<String, u64>> {
    // MySQL 8 keeps its estimates for a day, MariaDB does not read this.
    let query = format!(
        "/*!80000 SET SESSION information_schema_stats_expiry = 0 */;\n\
         SELECT TABLE_ROWS, HEX(TABLE_NAME) FROM information_schema.TABLES WHERE \
         TABLE_SCHEMA = '{database}' AND TABLE_ROWS IS NOT NULL;\n"
    );
    let answer = server.ask_text("look how large the tables are", None, &query)?;
    let found = import::estimated(&answer);
    found.into_iter().map(|(name, rows)| Ok((unhex(&name)?, rows))).collect()
}

/// Asks whether tables have rows, and of some how many.
pub(super) fn rows(
    server: &DatabaseServer,
    database: &str,
    tables: &[&String],
    is_counted: impl Fn(&String) -> bool,
) -> Result<String> {
    let text = |text: &str| text.replace('\\', "\\\\").replace('\'', "''");
    let mut sql = String::from("SET NAMES utf8mb4;\nSET SESSION sql_mode = '';\n");
    for table in tables {
        let name = quoted(table);
        let question = if is_counted(table) {
            format!("SELECT CONCAT('c', COUNT(*)) FROM {name}")
        } else {
            format!("SELECT CONCAT('e', EXISTS (SELECT 1 FROM {name}))")
        };
        // Locked, it cannot be swapped any more for a view, whose functions would run with our
        // rights; and only if it is a table it is asked.
        sql.push_str(&format!(
            "LOCK TABLES {name} READ;\n\
             SET @question = (SELECT IF(TABLE_TYPE LIKE '%VIEW', 'SELECT 1', '{}') FROM \
             information_schema.TABLES WHERE TABLE_SCHEMA = '{database}' AND \
             BINARY TABLE_NAME = BINARY '{}');\n\
             PREPARE question FROM @question;\nEXECUTE question;\nUNLOCK TABLES;\n",
            text(&question),
            text(table)
        ));
    }
    server.ask_text("look for rows in the tables", Some(database), &sql)
}
