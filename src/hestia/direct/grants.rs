// SPDX-License-Identifier: MIT
//! What grants a database to its user, as Hestia's tarball has it beside the dump: of MariaDB the
//! server's own statements for the user at `%`, of PostgreSQL two statements with the password's
//! hash. Hestia's restore does not use them; they are kept for people.

use crate::base::{Error, Kind, Monitor, Result};
use crate::hestia::call::{Call, Caller};
use crate::hestia::conf;
use crate::hestia::inventory::{Database, DbKind};
use crate::hestia::layout::Hestia;

/// The text of the file of grants.
pub fn of(
    hestia: &Hestia,
    caller: &dyn Caller,
    database: &Database,
    monitor: &dyn Monitor,
) -> Result<Vec<u8>> {
    let what = || format!("ask for the grants of {}", database.name);
    let harmless = |text: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '$');
        !text.is_empty() && !text.starts_with('-') && text.chars().all(good)
    };
    if !harmless(&database.user) || !harmless(&database.host) || !harmless(&database.name) {
        return Err(Error::new(Kind::Invalid, what()).why("a name cannot be put into a query"));
    }
    let is_mysql = database.kind == Some(DbKind::Mysql);
    let call = if is_mysql { mysql(hestia, database) } else { pgsql(hestia, database)? };
    let outcome = caller.call(&call, monitor)?;
    let outcome = outcome.check(what(), &call).map_err(|error| error.with_kind(Kind::Db))?;
    if is_mysql {
        return Ok(outcome.output.into_bytes());
    }
    let (name, user) = (&database.name, &database.user);
    let hash = outcome.output.lines().next().unwrap_or_default().trim();
    let text = format!(
        "UPDATE pg_authid SET rolpassword='{hash}' WHERE rolname='{user}'\n\
         GRANT ALL PRIVILEGES ON DATABASE {name} to '{user}'\n"
    );
    Ok(text.into_bytes())
}

fn mysql(hestia: &Hestia, database: &Database) -> Call {
    let client = hestia.tools.join("mariadb");
    let client = if client.exists() { client } else { hestia.tools.join("mysql") };
    let credentials = hestia.conf(&format!(".mysql.{}", database.host));
    let defaults = format!("--defaults-file={}", credentials.display());
    let query = format!("SHOW GRANTS FOR '{}'@'%'", database.user);
    Call::program(client, [defaults, "-N".into(), "-B".into(), "-e".into(), query])
}

fn pgsql(hestia: &Hestia, database: &Database) -> Result<Call> {
    let path = hestia.conf("pgsql.conf");
    let rows = conf::read_rows(&path)?.rows;
    let host = database.host.as_str();
    let server = rows.iter().find(|row| row.get("HOST") == Some(host)).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("find the server {host} in {}", path.display()))
    })?;
    let port = if server.text("PORT").is_empty() { "5432" } else { server.text("PORT") };
    let user = server.text("USER");
    let query = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{}'", database.user);
    let arguments = ["-X", "-A", "-t", "-h", host, "-p", port, "-U", user, "-c", &query];
    let mut call = Call::program(hestia.tools.join("psql"), arguments);
    call.environment.push(("PGPASSWORD".to_owned(), server.text("PASSWORD").to_owned()));
    Ok(call)
}
