// SPDX-License-Identifier: MIT
//! What belongs to a PostgreSQL database as a whole and stands in no dump of it: its locale, who
//! may connect, how many, settings of its own, its comment. It is read from the live database and
//! given to the new one before that takes its place.

use super::database::DatabaseServer;
use super::dump_text::quoted;
use super::import_pgsql_keys::unhex;
use crate::base::{Error, Kind, Monitor, Result};

/// All of that.
#[derive(Debug)]
pub(super) struct Attributes {
    /// The end of the statement that makes such a database.
    pub create: String,
    limit: String,
    comment: String,
    /// Who may do what: the right, the account as SQL has it, and what stands behind that. As the
    /// server makes databases, if none.
    rights: Option<Vec<[String; 3]>>,
    /// Settings, and of which account, as SQL has it; of all without.
    settings: Vec<Setting>,
}

#[derive(Debug, PartialEq, Eq)]
struct Setting {
    role: String,
    name: String,
    value: String,
}

/// Settings whose values are lists of names, each with quotes of its own.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

const WHAT: &str = "look what belongs to the database";

impl Attributes {
    /// Reads them.
    pub fn read(server: &DatabaseServer, database: &str) -> Result<Self> {
        let rows = |query: String| -> Result<Vec<Vec<String>>> {
            let answer = server.ask_text(WHAT, None, &query)?;
            let row = |line: &str| line.split('\t').map(unhex).collect::<Option<Vec<_>>>();
            answer.lines().map(|line| row(line).ok_or_else(unexpected)).collect()
        };
        let hex = |texts: &[&str]| {
            let one = |text: &&str| format!("encode(convert_to({text}, 'UTF8'), 'hex')");
            texts.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        // Servers have these columns since 15, 16 and 17.
        let first = hex(&[
            "pg_encoding_to_char(d.encoding)",
            "d.datcollate",
            "d.datctype",
            "COALESCE(to_jsonb(d) ->> 'datlocprovider', 'c')",
            "COALESCE(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', '')",
            "COALESCE(to_jsonb(d) ->> 'daticurules', '')",
            "t.spcname",
            "d.datconnlimit::text",
            "COALESCE(shobj_description(d.oid, 'pg_database'), '')",
            "(d.datacl IS NULL)::text",
        ]);
        let from = format!(
            "pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace \
                            WHERE d.datname = '{database}'"
        );
        let found = rows(format!("SELECT {first} FROM {from};\n"))?;
        let found = found.first().ok_or_else(unexpected)?;
        let [encoding, collate, ctype, provider, locale, rules, space, limit, comment, is_plain] =
            found.as_slice()
        else {
            return Err(unexpected());
        };
        let grants = hex(&[
            "a.privilege_type",
            "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END",
            "CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END",
        ]);
        let grants = rows(format!(
            "SELECT {grants} FROM pg_database d, aclexplode(d.datacl) a WHERE \
             d.datname = '{database}' AND a.grantee <> d.datdba;\n"
        ))?;
        let grants = grants.into_iter().filter_map(|row| row.try_into().ok()).collect();
        let settings = hex(&[
            "CASE s.setrole WHEN 0 THEN '' ELSE quote_ident(pg_get_userbyid(s.setrole)) END",
            "c",
        ]);
        let settings = rows(format!(
            "SELECT {settings} FROM pg_db_role_setting s JOIN pg_database d ON d.oid = \
             s.setdatabase, unnest(s.setconfig) c WHERE d.datname = '{database}';\n"
        ))?;
        Ok(Self {
            create: create((encoding, collate, ctype), (provider, locale, rules), space),
            limit: limit.clone(),
            comment: comment.clone(),
            rights: (is_plain != "true").then_some(grants),
            settings: settings.iter().filter_map(|row| Setting::read(row)).collect(),
        })
    }

    /// Gives them to another database. A setting that cannot be made is told.
    pub fn give(&self, server: &DatabaseServer, name: &str, monitor: &dyn Monitor) -> Result<()> {
        let what = "make the new database like the old one";
        let mut sql = format!(
            "COMMENT ON DATABASE \"{name}\" IS {};\n\
             ALTER DATABASE \"{name}\" CONNECTION LIMIT {};\n",
            text(&self.comment),
            self.limit
        );
        match &self.rights {
            None => sql.push_str(&open(name)),
            Some(rights) => {
                for [right, who, option] in rights {
                    sql.push_str(&format!(
                        "GRANT {right} ON DATABASE \"{name}\" TO {who}{option};\n"
                    ));
                }
            }
        }
        server.ask(what, None, &sql)?;
        for setting in &self.settings {
            let what = format!("bring back the setting {} of the database", setting.name);
            if let Err(error) = server.ask(&what, None, &setting.sql(name)) {
                monitor.warn(error);
            }
        }
        Ok(())
    }
}

/// The statement that lets everybody connect, as the server does by itself.
pub(super) fn open(name: &str) -> String {
    format!("GRANT CONNECT, TEMPORARY ON DATABASE \"{name}\" TO PUBLIC;\n")
}

fn unexpected() -> Error {
    Error::new(Kind::Db, WHAT).why("the server's answer is not what it should be")
}

fn create(
    (encoding, collate, ctype): (&str, &str, &str),
    (provider, locale, rules): (&str, &str, &str),
    space: &str,
) -> String {
    let mut sql = format!(
        " TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        text(encoding),
        text(collate),
        text(ctype)
    );
    match provider {
        "i" => sql.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", text(locale))),
        "b" => sql.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", text(locale))),
        _ => {}
    }
    if !rules.is_empty() {
        sql.push_str(&format!(" ICU_RULES {}", text(rules)));
    }
    if space != "pg_default" {
        sql.push_str(&format!(" TABLESPACE \"{}\"", space.replace('"', "\"\"")));
    }
    sql
}

/// A text in SQL.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

impl Setting {
    fn read(row: &[String]) -> Option<Self> {
        let [role, setting] = row else { return None };
        let (name, value) = setting.split_once('=')?;
        let (role, name, value) = (role.clone(), name.to_owned(), value.to_owned());
        Some(Self { role, name, value })
    }

    fn sql(&self, database: &str) -> String {
        let whose = match self.role.as_str() {
            "" => format!("DATABASE \"{database}\""),
            role => format!("ROLE {role} IN DATABASE \"{database}\""),
        };
        let value = if LISTS.contains(&self.name.as_str()) {
            let names: Vec<String> = names(&self.value).iter().map(|name| text(name)).collect();
            if names.is_empty() { text("") } else { names.join(", ") }
        } else {
            text(&self.value)
        };
        format!("ALTER {whose} SET \"{}\" TO {value};\n", self.name.replace('"', "\"\""))
    }
}

/// The names of a list. Its text may be a customer's, so it never becomes part of a statement.
fn names(list: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), list.trim());
    while !rest.is_empty() {
        let name = if let Some((name, length)) = quoted(rest.as_bytes(), b'"') {
            rest = rest.get(length..).unwrap_or_default();
            name
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            rest = after;
            name.trim().to_owned()
        };
        found.push(name);
        rest = rest.trim_start().strip_prefix(',').unwrap_or_default().trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_customer_has_set_never_becomes_part_of_a_statement() {
        for (value, is) in [
            ("\"$user\", public", "'$user', 'public'"),
            ("x;DROP/**/DATABASE/**/y, \"a\"\"b,'\"", "'x;DROP/**/DATABASE/**/y', 'a\"b,'''"),
            ("\"\"", "''"),
            ("", "''"),
        ] {
            let row = ["u".to_owned(), format!("search_path={value}")];
            let sql = Setting::read(&row).unwrap().sql("d");
            assert_eq!(
                sql,
                format!("ALTER ROLE u IN DATABASE \"d\" SET \"search_path\" TO {is};\n")
            );
        }
        let row = [String::new(), "a.b=it's, \\".to_owned()];
        let sql = Setting::read(&row).unwrap().sql("d");
        assert_eq!(sql, "ALTER DATABASE \"d\" SET \"a.b\" TO 'it''s, \\';\n");
    }
}
