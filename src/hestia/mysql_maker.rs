// SPDX-License-Identifier: MIT
//! MySQL and MariaDB where they differ: Hestia calls both `mysql`. What a dump of the one holds may
//! be unknown to the other, and so may be the hash of a password. What cannot be taken over is told
//! with what it is and what mends it; nothing is taken over by halves in silence.

use super::database::{DatabaseRow, DatabaseServer};
use super::dump_text::Content;
use crate::base::{Error, Kind, Monitor, Result, WhatIo};
use std::io::Read;

/// Who made a server, or the server that a dump is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// MariaDB.
    Mariadb,
    /// Oracle's MySQL.
    Mysql,
}

/// A dump says within so many bytes which server it is from.
const BEGINNING_BYTES: u64 = 4096;

impl Maker {
    /// Reads it off what a server says of its version; `None` if that is nothing.
    pub fn of_version(version: &str) -> Option<Self> {
        match version.trim() {
            "" => None,
            version if version.contains("MariaDB") => Some(Self::Mariadb),
            _ => Some(Self::Mysql),
        }
    }

    /// Asks a server.
    pub fn of_server(server: &DatabaseServer) -> Result<Option<Self>> {
        let answer =
            server.ask_text("ask for the server's version", None, "SELECT VERSION();\n")?;
        Ok(Self::of_version(&answer))
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mariadb => "MariaDB",
            Self::Mysql => "MySQL",
        }
    }

    /// Whether a server of it can tell a password by this hash.
    pub fn knows_hash(self, hash: &str) -> bool {
        // As Hestia stores those of caching_sha2_password: in hexadecimal, where that is needed.
        let is_sha2 = hash.starts_with("0x") || hash.starts_with("$A$");
        self == Self::Mysql || !is_sha2
    }
}

/// Whether a hash is one that both have: 40 digits behind an asterisk.
fn is_native(hash: &str) -> bool {
    let digits = hash.strip_prefix('*').unwrap_or_default();
    digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Hestia makes an account by MySQL's own method and then exchanges the hash of its password. One
/// of MariaDB or of an older MySQL is none for that method, and the server knows the account no
/// more, not even to give it another password. So it is made here, by the method of the hash.
pub(super) fn make_accounts(server: &DatabaseServer, target: &DatabaseRow) -> Result<()> {
    let (user, hash) = (&target.user, &target.password_hash);
    if !is_native(hash) || Maker::of_server(server)? != Some(Maker::Mysql) {
        return Ok(());
    }
    let mut sql = String::new();
    for host in ["localhost", "%"] {
        let account =
            format!("`{user}`@`{host}` IDENTIFIED WITH mysql_native_password AS '{hash}'");
        sql.push_str(&format!("CREATE USER IF NOT EXISTS {account};\nALTER USER {account};\n"));
    }
    let what = format!("give the account {user} its password back");
    server.ask(&what, None, &sql).map(drop).map_err(|error| {
        error.hint("load the plugin mysql_native_password for it, or set another password")
    })
}

/// From whose server a dump is, and on whose it goes.
pub(super) struct Way {
    from: Option<Maker>,
    /// The server's.
    pub to: Option<Maker>,
}

impl Way {
    /// Finds out by the beginning of the dump.
    pub fn new(beginning: &[u8], to: Option<Maker>) -> Self {
        let word = b"-- Server version\t";
        let mut lines = beginning.split(|byte| *byte == b'\n');
        let version = lines.find_map(|line| line.strip_prefix(word));
        let version = version.map(|text| String::from_utf8_lossy(text).into_owned());
        Self { from: version.and_then(|text| Maker::of_version(&text)), to }
    }

    /// The two, if they are not the same.
    fn makers(&self) -> Option<(&'static str, &'static str)> {
        let (from, to) = (self.from?, self.to?);
        (from != to).then(|| (from.word(), to.word()))
    }

    /// Says with the error of an import that the dump is another maker's.
    pub fn explain(&self, error: Error) -> Error {
        let Some((from, to)) = self.makers() else { return error };
        let text = error.one_line();
        let is_theirs = error.kind() == Kind::Db && text.contains("ERROR ");
        if !is_theirs || text.contains("denied") || text.contains("SUPER") {
            return error;
        }
        let way = "ghostsnap dump SNAPSHOT db/NAME/NAME.mysql.sql --user USER > FILE";
        let collation = "utf8mb4_0900_ai_ci";
        let how = if text.contains(collation) {
            format!(
                "; there, sed -i 's/{collation}/utf8mb4_unicode_520_ci/g' FILE may be all it needs"
            )
        } else {
            String::new()
        };
        error.hint(format!(
            "the dump is from {from} and the server is {to}, which does not know all of it: take \
             the dump out, change what the error names, and import it by hand: {way}{how}"
        ))
    }

    /// Warns of what the server did not read, because it stands in comments for the other one's.
    pub fn warn(&self, content: &Content, monitor: &dyn Monitor) {
        let Some((from, to)) = self.makers() else { return };
        if content.left_out.is_empty() {
            return;
        }
        let what = format!("take over all that {from} knows of tables");
        let parts: Vec<&str> = content.left_out.iter().map(String::as_str).take(5).collect();
        let more = content.left_out.len() - parts.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        monitor.warn(
            Error::new(Kind::Partial, what)
                .why(format!("{to} has no {}{more}", parts.join(", ")))
                .hint("the rows are there; look whether the tables are as their site needs them"),
        );
    }
}

/// The beginning of a dump, as much of it as says from where it is.
pub(super) fn beginning(dump: &mut dyn Read) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    dump.take(BEGINNING_BYTES).read_to_end(&mut start).what_io(|| "read the dump")?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maker_is_told_by_the_version_and_a_dump_by_its_beginning() {
        for (version, maker) in [
            ("8.0.46-0ubuntu0.22.04.5\n", Some(Maker::Mysql)),
            ("10.11.14-MariaDB-0+deb12u2\n", Some(Maker::Mariadb)),
            ("\n", None),
        ] {
            assert_eq!(Maker::of_version(version), maker);
            let dump = format!("-- A dump\n-- Server version\t{version}\nCREATE");
            assert_eq!(Way::new(dump.as_bytes(), None).from, maker);
        }
        let dump = b"-- Host: x\nINSERT INTO t VALUES ('\n-- Server version');";
        assert_eq!(Way::new(dump, None).from, None);
    }

    #[test]
    fn only_an_error_of_the_server_about_another_ones_dump_is_explained() {
        let way = |to| Way::new(b"-- Server version\t8.0.46\n", to);
        let error = |kind, why: &str| Error::new(kind, "import the dump").why(why.to_owned());
        let unknown = "ERROR 1273 (HY000): Unknown collation: 'utf8mb4_0900_ai_ci'";
        let told = way(Some(Maker::Mariadb)).explain(error(Kind::Db, unknown));
        let hint = told.hint_text().unwrap();
        assert!(hint.contains("is from MySQL and the server is MariaDB"), "{hint}");
        assert!(hint.contains("utf8mb4_unicode_520_ci"), "{hint}");
        for (to, kind, why) in [
            (Some(Maker::Mysql), Kind::Db, unknown),
            (None, Kind::Db, unknown),
            (Some(Maker::Mariadb), Kind::Cancelled, unknown),
            (Some(Maker::Mariadb), Kind::Db, "ERROR 1044: Access denied"),
            (Some(Maker::Mariadb), Kind::Db, "its closing line is missing"),
        ] {
            assert_eq!(way(to).explain(error(kind, why)).hint_text(), None, "{why}");
        }
    }

    #[test]
    fn a_hash_of_mysql_8_is_none_for_mariadb() {
        let native = format!("*{}", "0A".repeat(20));
        for (hash, by_mariadb) in [("0x244124", false), ("$A$005$x", false), (&native, true)] {
            assert_eq!(Maker::Mariadb.knows_hash(hash), by_mariadb, "{hash}");
            assert!(Maker::Mysql.knows_hash(hash));
        }
        assert!(is_native(&native) && !is_native("*0A") && !is_native(&"A".repeat(41)));
    }
}
