// SPDX-License-Identifier: MIT
//! Databases of Hestia users: their rows, the servers they lie on, and how those are talked to.
//! Credentials come from Hestia's own `conf/mysql.conf` and `conf/pgsql.conf` and reach a client
//! through a file in memory or its environment, statements through its input: no command line
//! ever holds either.

use super::conf::{self, Row};
use super::inventory::DbKind;
use super::layout::Hestia;
use crate::base::monitor::Stop;
use crate::base::{Error, Kind, Result, WhatIo, limits, units};
use crate::tree::command::{self, Program};
use std::ffi::OsString;
use std::io::Read;

/// One database, as Hestia's row has it. Every text in it is harmless within quotes of SQL, as a
/// file name and as an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRow {
    /// Its name.
    pub name: String,
    /// The user that it is for.
    pub user: String,
    /// Its engine.
    pub kind: DbKind,
    /// The server it lies on, by Hestia's name for it.
    pub host: String,
    /// Its character set, such as `UTF8MB4`; Hestia notes that one for PostgreSQL too.
    pub charset: String,
    /// The hash of its user's password; empty where Hestia failed to read it, or where it holds
    /// letters that mean something in SQL.
    pub password_hash: String,
    /// What Hestia counted last, in bytes: a hint for the size of a dump, no more.
    pub size_hint: u64,
    /// Whether Hestia has it suspended.
    pub is_suspended: bool,
}

impl DatabaseRow {
    /// Takes a row of db.conf, if nothing in it could mean more than it says.
    pub fn parse(row: &Row) -> Result<Self> {
        let name = row.text("DB");
        let wrong = |why: String| {
            Error::new(Kind::Invalid, format!("use the database '{}'", name.escape_debug()))
                .why(why)
        };
        let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '$');
        for key in ["DB", "DBUSER", "HOST"] {
            let value = row.text(key);
            let fits = value.chars().all(harmless) && value.len() <= limits::NAME_BYTES_MAX;
            if !fits || value.is_empty() || value.starts_with('-') {
                let value = value.escape_debug();
                return Err(wrong(format!("its {key} '{value}' is none that Hestia makes")));
            }
        }
        let kind = DbKind::parse(row.text("TYPE"))
            .ok_or_else(|| wrong("its row names no known engine".to_owned()))?;
        let charset = row.text("CHARSET");
        if !charset.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(wrong("its character set is none that Hestia makes".to_owned()));
        }
        let mut hash = row.text("MD5");
        if hash.contains(|c: char| !c.is_ascii_graphic() || matches!(c, '\\' | '`' | ';' | '"')) {
            // One of MySQL 8 may hold any letter. Where it is written into SQL, it is none.
            if kind != DbKind::Mysql || !hash.starts_with("$A$") {
                return Err(wrong("its password hash is none that Hestia makes".to_owned()));
            }
            hash = "";
        }
        Ok(Self {
            name: name.to_owned(),
            user: row.text("DBUSER").to_owned(),
            kind,
            host: row.text("HOST").to_owned(),
            charset: charset.to_owned(),
            password_hash: hash.to_owned(),
            size_hint: row.number("U_DISK").saturating_mul(1 << 20),
            is_suspended: row.is_yes("SUSPENDED"),
        })
    }
}

/// A database server with the credentials of its administrator.
#[derive(Clone)]
pub struct DatabaseServer {
    /// Its engine.
    pub kind: DbKind,
    /// Its host name; `localhost` means the socket.
    pub host: String,
    port: String,
    user: String,
    password: String,
    tools: std::path::PathBuf,
    stop: Stop,
    /// The lock that each script takes first.
    turn: Option<String>,
}

impl DatabaseServer {
    /// The server that Hestia knows by this name.
    pub fn find(hestia: &Hestia, kind: DbKind, host: &str) -> Result<Self> {
        let path = hestia.conf(&format!("{}.conf", kind.word()));
        let rows = conf::read_rows(&path)?.rows;
        let what = || format!("find the database server {host} in {}", path.display());
        let row = rows.iter().find(|row| row.get("HOST") == Some(host));
        let row = row.ok_or_else(|| Error::new(Kind::NotFound, what()).why("it is not there"))?;
        let default = match kind {
            DbKind::Mysql => "3306",
            DbKind::Pgsql => "5432",
        };
        let port = if row.text("PORT").is_empty() { default } else { row.text("PORT") };
        let user = row.text("USER");
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if port.parse::<u16>().is_err() || user.is_empty() || !user.chars().all(plain) {
            return Err(Error::new(Kind::Parsing, what()).why("its row is not complete"));
        }
        let text = |key: &str| row.text(key).to_owned();
        Ok(Self {
            kind,
            host: host.to_owned(),
            port: port.to_owned(),
            user: text("USER"),
            password: text("PASSWORD"),
            tools: hestia.tools.clone(),
            stop: Stop::NEVER,
            turn: None,
        })
    }

    /// The same server; who waits for an answer of it hears a wish to stop.
    #[must_use]
    pub fn hearing(&self, stop: &Stop) -> Self {
        Self { stop: stop.clone(), ..self.clone() }
    }

    /// The same server for somebody else.
    #[must_use]
    pub fn logged_in_as(&self, user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        Self { user, password, ..self.clone() }
    }

    /// The same server of MySQL for work of several steps, which has this name: no step begins
    /// while another one runs, and others find the session that is at it by
    /// `IS_USED_LOCK('name')`.
    #[must_use]
    pub(super) fn in_turn(&self, name: &str) -> Self {
        Self { turn: Some(name.to_owned()), ..self.clone() }
    }

    /// The same server without a lock.
    #[must_use]
    pub(super) fn out_of_turn(&self) -> Self {
        Self { turn: None, ..self.clone() }
    }

    /// Where connections to it come from, as its accounts are named.
    pub fn account_host(&self) -> &'static str {
        if self.host == "localhost" { "localhost" } else { "%" }
    }

    /// A tool of the engine, ready but for its own arguments.
    pub fn tool(&self, tool: Tool, what: String, arguments: &[&str]) -> Result<Program> {
        let mut program = match self.kind {
            DbKind::Mysql => self.mysql_tool(tool, what)?,
            DbKind::Pgsql => self.pgsql_tool(tool, what),
        };
        program.kind = Kind::Db;
        if (self.kind, tool) == (DbKind::Mysql, Tool::Client) {
            program.error_start = Some("ERROR ");
        }
        program.stop.clone_from(&self.stop);
        program.arguments.extend(arguments.iter().map(OsString::from));
        Ok(program)
    }

    fn mysql_tool(&self, tool: Tool, what: String) -> Result<Program> {
        let (new, old) = match tool {
            Tool::Client => ("mariadb", "mysql"),
            Tool::Dump => ("mariadb-dump", "mysqldump"),
        };
        let path = self.tools.join(new);
        let path = if path.exists() { path } else { self.tools.join(old) };
        // Between quotes only the backslash means something there; Hestia's rows hold no quote.
        let password = self.password.replace('\\', "\\\\");
        let mut options = format!(
            "[client]\nhost='{}'\nport='{}'\nuser='{}'\npassword='{password}'\n",
            self.host, self.port, self.user
        );
        // MySQL 8 takes a password over a line without TLS only with a key of the server's, and the
        // client asks for that only if told. On this machine nobody can stand between the two.
        if path.ends_with(old) && matches!(self.host.as_str(), "127.0.0.1" | "::1") {
            options.push_str("loose-get-server-public-key\n");
        }
        let options = command::memory_file(options.as_bytes())?;
        let first = format!("--defaults-file={}", command::path_of(&options).display());
        let mut program = Program::new(what, path, [first]);
        program.keep.push(options);
        Ok(program)
    }

    fn pgsql_tool(&self, tool: Tool, what: String) -> Program {
        let path = self.tools.join(match tool {
            Tool::Client => "psql",
            Tool::Dump => "pg_dump",
        });
        let arguments = ["-w", "-h", &self.host, "-p", &self.port, "-U", &self.user];
        let mut program = Program::new(what, path, arguments);
        program.environment.push(("PGPASSWORD".to_owned(), self.password.clone()));
        program.environment.push(("PGOPTIONS".to_owned(), PGSQL_OPTIONS.to_owned()));
        program
    }

    /// What the client answers to statements of ours, as bytes: a line per row, tabs between the
    /// columns (MySQL escapes tabs and line breaks, PostgreSQL does not). Fails with the first
    /// statement that does. The statements are ours: names in them are checked, no customer's
    /// text is.
    pub fn ask(&self, what: &str, database: Option<&str>, statements: &str) -> Result<Vec<u8>> {
        self.ask_bytes(what, database, statements.as_bytes())
    }

    /// As [`Self::ask`], for statements that may not be text.
    pub fn ask_bytes(&self, what: &str, database: Option<&str>, sql: &[u8]) -> Result<Vec<u8>> {
        let arguments: Vec<&str> = match (self.kind, database) {
            (DbKind::Mysql, Some(name)) => vec!["-D", name],
            (DbKind::Mysql, None) => vec![],
            (DbKind::Pgsql, name) => vec!["-d", name.unwrap_or("postgres")],
        };
        let mut program = self.tool(Tool::Client, what.to_owned(), self.plain_client())?;
        program.arguments.extend(arguments.into_iter().map(OsString::from));
        // Without the lock the setting is a wrong one, and the client ends at the first error.
        let turn = self.turn.as_ref().filter(|_| self.kind == DbKind::Mysql).map(|name| {
            let seconds = limits::TABLE_LOCK_SECONDS;
            format!("SET sql_mode = IF(GET_LOCK('{name}', {seconds}) = 1, @@sql_mode, 'locked'); ")
        });
        let script = [turn.unwrap_or_default().as_bytes(), sql].concat();
        program.script = Some(command::memory_file(&script)?);
        let mut answer = Vec::new();
        let output = program.output()?;
        output.take(limits::ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).what_io(|| what)?;
        if units::bytes(answer.len()) > limits::ANSWER_BYTES_MAX {
            return Err(Error::new(Kind::Limit, what).why("the server's answer is too long"));
        }
        Ok(answer)
    }

    /// As [`Self::ask`], for an answer that is text.
    pub fn ask_text(&self, what: &str, database: Option<&str>, sql: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.ask(what, database, sql)?).into_owned())
    }

    /// As [`Self::ask`], for an answer that is one number.
    pub fn ask_number(&self, what: &str, database: Option<&str>, sql: &str) -> Result<u64> {
        let text = self.ask_text(what, database, sql)?;
        text.trim().parse().map_err(|_| {
            let text = text.trim().escape_debug();
            Error::new(Kind::Db, what).why(format!("the server answered '{text}'"))
        })
    }

    /// Arguments that make the client print rows and nothing else.
    fn plain_client(&self) -> &'static [&'static str] {
        match self.kind {
            // Binary mode: no word in the input is a command of the client but DELIMITER.
            DbKind::Mysql => {
                // A session that was ended stays so.
                &[
                    "--batch",
                    "--skip-column-names",
                    "--binary-mode",
                    "--skip-local-infile",
                    "--skip-reconnect",
                ]
            }
            DbKind::Pgsql => &["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"],
        }
    }
}

/// Names in our statements must never mean what a customer made of them, and the statements be read
/// and run as they are meant: this outranks what the owner of a database may set for it.
const PGSQL_OPTIONS: &str = "-c search_path=pg_catalog -c standard_conforming_strings=on \
                             -c default_transaction_read_only=off -c statement_timeout=0 \
                             -c quote_all_identifiers=off";

/// A program of a database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Runs statements.
    Client,
    /// Makes dumps.
    Dump,
}

/// How a program is run.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// With the lowest priority, as Hestia's own nightly backup does.
    pub low_priority: bool,
    /// Asked whether to stop.
    pub stop: Stop,
}

impl RunOptions {
    /// Takes the options over into a program.
    pub fn apply(&self, program: &mut Program) {
        program.low_priority = self.low_priority;
        program.stop.clone_from(&self.stop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(row: &str) -> Result<DatabaseRow> {
        DatabaseRow::parse(&Row::parse(row.as_bytes()).unwrap())
    }

    #[test]
    fn a_row_is_taken_if_nothing_in_it_means_more_than_it_says() {
        let row = "DB='alice_wp' DBUSER='alice_u' MD5='*47B4' HOST='localhost' TYPE='mysql' \
                   CHARSET='UTF8MB4' U_DISK='3' SUSPENDED='no'";
        let found = parse(row).unwrap();
        assert_eq!(
            (found.name.as_str(), found.user.as_str(), found.kind),
            ("alice_wp", "alice_u", DbKind::Mysql)
        );
        assert_eq!((found.size_hint, found.is_suspended), (3 << 20, false));
        for (old, new) in [
            ("alice_wp", "alice`wp"),
            ("alice_wp", "-x"),
            ("alice_wp", ""),
            ("alice_u", "a@b"),
            ("localhost", "/tmp/x"),
            ("mysql", "oracle"),
            ("UTF8MB4", "x; DROP"),
            ("*47B4", "\\"),
        ] {
            assert_eq!(parse(&row.replace(old, new)).unwrap_err().kind(), Kind::Invalid, "{new}");
        }
        // MySQL 8 makes such hashes; a database is not left out for one.
        for (hash, known) in
            [("$A$005$ab", "$A$005$ab"), ("$A$005$a;\\ b", ""), ("0x2441", "0x2441")]
        {
            assert_eq!(parse(&row.replace("*47B4", hash)).unwrap().password_hash, known);
        }
    }

    #[test]
    fn a_server_is_found_by_its_host_and_its_password_is_on_no_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        std::fs::create_dir_all(hestia.conf("")).unwrap();
        let rows = "HOST='localhost' USER='root' PASSWORD='a\\b#c' PORT=''\n\
                    HOST='db.example' USER='r' PASSWORD='x' PORT='3307'\nHOST='bad' USER='' PORT=''\n";
        std::fs::write(hestia.conf("mysql.conf"), rows).unwrap();
        let find = |host| DatabaseServer::find(&hestia, DbKind::Mysql, host);
        let local = find("localhost").unwrap();
        assert_eq!((local.account_host(), local.port.as_str()), ("localhost", "3306"));
        assert_eq!(find("db.example").unwrap().account_host(), "%");
        assert_eq!(find("bad").err().unwrap().kind(), Kind::Parsing);
        assert_eq!(find("elsewhere").err().unwrap().kind(), Kind::NotFound);
        let program = local.tool(Tool::Dump, "dump".into(), &["x"]).unwrap();
        let file = command::path_of(&program.keep[0]);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("password='a\\\\b#c'"), "{text}");
        assert_eq!(program.arguments.len(), 2);
        assert_eq!(
            program.arguments[0].to_str().unwrap(),
            format!("--defaults-file={}", file.display())
        );
    }
}
