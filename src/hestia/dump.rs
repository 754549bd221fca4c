// SPDX-License-Identifier: MIT
//! Dumps of live databases as streams, in the form that Hestia's own backup makes and its restore
//! takes, so that both deduplicate against each other row by row: the same tools with the same
//! options, and beside them only what loses nothing (events, binary columns in hexadecimal) and
//! what does not change from night to night (no date at the end).
//!
//! A dump counts only if the program ended well and its closing line is there; reading its end
//! fails otherwise. Nothing is written to a disk.

use super::database::{DatabaseRow, DatabaseServer, RunOptions, Tool};
use super::inventory::DbKind;
use super::layout::Hestia;
use crate::base::Result;
use crate::tree::command::{Closing, Output};

/// The last line of a MySQL or MariaDB dump.
const MYSQL_CLOSING: Closing = Closing { begins: "-- Dump completed", within_last: 1 };
/// After PostgreSQL's come a comment sign and, since 2025, the end of its restricted mode.
const PGSQL_CLOSING: Closing =
    Closing { begins: "-- PostgreSQL database dump complete", within_last: 3 };

/// Starts a dump of a database. What cannot be found out before is said by reading it.
///
/// ```no_run
/// # use ghostsnap::hestia::{Hestia, conf, database::{DatabaseRow, RunOptions}, dump};
/// # use std::io::Read;
/// # fn main() -> ghostsnap::base::Result<()> {
/// let row = conf::Row::parse(b"DB='alice_wp' DBUSER='alice_u' HOST='localhost' TYPE='mysql'");
/// let database = DatabaseRow::parse(&row.unwrap_or_default())?;
/// let mut dump = dump::open(&Hestia::default(), &database, &RunOptions::default())?;
/// let mut text = Vec::new();
/// dump.read_to_end(&mut text).unwrap_or(0);
/// # Ok(())
/// # }
/// ```
pub fn open(hestia: &Hestia, database: &DatabaseRow, options: &RunOptions) -> Result<Output> {
    let server = DatabaseServer::find(hestia, database.kind, &database.host)?;
    of_server(&server, &database.name, options)
}

/// Starts a dump of a database of a server.
pub fn of_server(server: &DatabaseServer, name: &str, options: &RunOptions) -> Result<Output> {
    let what = format!("dump the database {name}");
    let (arguments, closing): (&[&str], Closing) = match server.kind {
        DbKind::Mysql => (
            &[
                "--single-transaction",
                "--routines",
                "--events",
                "--triggers",
                "--skip-dump-date",
                "--hex-blob",
                "--default-character-set=utf8mb4",
                // The length of its INSERT lines does not depend on it: only its memory does.
                "--max-allowed-packet=1G",
                name,
            ],
            MYSQL_CLOSING,
        ),
        DbKind::Pgsql => (&["-c", "--inserts", "-O", "-x", "-d", name], PGSQL_CLOSING),
    };
    let mut program = server.tool(Tool::Dump, what, arguments)?;
    if program.path.ends_with("mysqldump") {
        // Oracle's tool writes statements without these that only an administrator may run, or
        // asks an older server for what it does not have; that of an older MariaDB only warns.
        // Tablespaces are an administrator's too, and only such a one may ask for them.
        let more =
            ["--loose-set-gtid-purged=OFF", "--loose-column-statistics=0", "--no-tablespaces"];
        program.arguments.extend(more.map(std::ffi::OsString::from));
    }
    program.closing = Some(closing);
    options.apply(&mut program);
    program.output()
}

/// The name of the dump in `db/<name>/` of a backup.
pub fn file_name(database: &DatabaseRow) -> String {
    format!("{}.{}.sql", database.name, database.kind.word())
}

/// The name of the file in `db/<name>/conf/` that holds the grants of the database's user.
pub fn grants_name(database: &DatabaseRow) -> String {
    format!("{}.{}.{}", database.name, database.kind.word(), database.user)
}

/// The content of that file, as Hestia writes it. For PostgreSQL it holds the hash of the
/// password, which Hestia means to store and loses.
pub fn grants(hestia: &Hestia, database: &DatabaseRow, options: &RunOptions) -> Result<Vec<u8>> {
    let server = DatabaseServer::find(hestia, database.kind, &database.host)?;
    let server = server.hearing(&options.stop);
    let (name, user) = (&database.name, &database.user);
    let what = format!("read the grants of the database {name}");
    match server.kind {
        DbKind::Mysql => {
            let accounts = "SELECT COUNT(*) FROM mysql.user WHERE Host = '%' AND User = ";
            if server.ask_number(&what, None, &format!("{accounts}'{user}';\n"))? == 0 {
                return Ok(Vec::new());
            }
            server.ask(&what, None, &format!("SHOW GRANTS FOR '{user}'@'%';\n"))
        }
        DbKind::Pgsql => {
            let query =
                format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{user}' LIMIT 1;\n");
            let hash = server.ask_text(&what, None, &query)?;
            let hash = hash.trim();
            Ok(format!(
                "UPDATE pg_authid SET rolpassword='{hash}' WHERE rolname='{user}'\n\
                 GRANT ALL PRIVILEGES ON DATABASE {name} to '{user}'\n"
            )
            .into_bytes())
        }
    }
}
