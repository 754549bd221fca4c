// SPDX-License-Identifier: MIT
//! Foreign keys of a single table of PostgreSQL that takes its old place. All of it happens in the
//! transaction that replaces the table: keys of other tables to it are taken off before it is
//! dropped and made again, its own come with the dump, all of them without a look at the rows; then
//! each is looked at, and one error tells which rows would point at nothing, and how many.
//!
//! What is asked as the administrator are the server's own tables; rows are looked at by the
//! account of the import, which acts as the database's own user.

use super::database::DatabaseServer;
use super::dump_text::quoted;
use super::dump_text_pgsql::{Named, OneTable, unquoted_pair};
use super::import::Orphans;
use super::import_pgsql_table::{shown, shown_name};
use crate::base::{Error, Kind, Result, limits};
use std::collections::BTreeSet;

/// A foreign key of another table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ForeignKey {
    /// Its table, as SQL names it.
    table: String,
    /// Its name, as SQL has it.
    name: String,
    /// What it says.
    definition: String,
    /// Whether the server can make it without a look at the rows.
    is_plain: bool,
    /// The comment on it.
    comment: String,
}

/// The foreign keys that lead to the table.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<ForeignKey>);

impl Keys {
    /// Finds those of other tables to this one.
    pub fn find(server: &DatabaseServer, database: &str, table: &Named) -> Result<Self> {
        let what = "look for foreign keys";
        let (schema, name) = table;
        let hex = |text: &str| format!("encode(convert_to({text}, 'UTF8'), 'hex')");
        let query = format!(
            "SELECT {}, {}, {}, c.relkind, {} FROM pg_constraint k JOIN pg_class c \
             ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_class p ON p.oid = k.confrelid \
             JOIN pg_namespace s ON s.oid = p.relnamespace WHERE k.contype = 'f' AND \
             k.conparentid = 0 AND k.conrelid <> k.confrelid AND s.nspname = {} AND p.relname = {} \
             ORDER BY 1, 2;\n",
            hex("quote_ident(n.nspname) || '.' || quote_ident(c.relname)"),
            hex("quote_ident(k.conname)"),
            hex("pg_get_constraintdef(k.oid)"),
            hex("COALESCE(obj_description(k.oid, 'pg_constraint'), '')"),
            literal(schema),
            literal(name)
        );
        let mut keys = Vec::new();
        for line in server.ask_text(what, Some(database), &query)?.lines() {
            let unexpected =
                || Error::new(Kind::Db, what).why("the server's answer is not what it should be");
            let parts: Vec<&str> = line.split('\t').collect();
            let [table, name, definition, kind, comment] = parts.as_slice() else {
                return Err(unexpected());
            };
            let text = |hex: &str| unhex(hex).ok_or_else(unexpected);
            keys.push(ForeignKey {
                table: text(table)?,
                name: text(name)?,
                definition: text(definition)?,
                is_plain: *kind != "p",
                comment: text(comment)?,
            });
            if keys.len() > limits::HESTIA_OBJECTS_MAX {
                return Err(Error::new(Kind::Limit, what).why("there are too many"));
            }
        }
        Ok(Self(keys))
    }

    /// The statements that take them off.
    pub fn take_off(&self) -> String {
        let one =
            |key: &ForeignKey| format!("ALTER TABLE {} DROP CONSTRAINT {};\n", key.table, key.name);
        self.0.iter().map(one).collect()
    }

    /// The statements that make them again and look at the rows.
    pub fn end(&self, own: &OneTable, orphans: Orphans, secret: &str) -> String {
        let mut sql = String::new();
        let mut looked_at: Vec<(&str, &str)> = Vec::new();
        for key in &self.0 {
            let ForeignKey { table, name, definition, is_plain, comment } = key;
            let is_checked = *is_plain
                && ![" NOT VALID", " NOT ENFORCED"].iter().any(|end| definition.ends_with(end));
            let later = if is_checked { " NOT VALID" } else { "" };
            sql.push_str(&format!(
                "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}{later};\n"
            ));
            if !comment.is_empty() {
                let comment = comment.replace('\'', "''");
                sql.push_str(&format!("COMMENT ON CONSTRAINT {name} ON {table} IS '{comment}';\n"));
            }
            // What was left pointing at nothing by an earlier restore may be whole again.
            let may_be_whole = orphans == Orphans::Leave && definition.ends_with(" NOT VALID");
            if is_checked || may_be_whole {
                looked_at.push((table, name));
            }
        }
        looked_at.extend(own.keys.iter().map(|name| (own.token.as_str(), name.as_str())));
        if !looked_at.is_empty() {
            sql.push_str(&look(&looked_at, orphans, secret));
        }
        sql
    }
}

/// The other tables of a database that have a foreign key to this one.
pub(super) fn referring(
    server: &DatabaseServer,
    database: &str,
    table: &Named,
) -> Result<BTreeSet<String>> {
    let keys = Keys::find(server, database, table)?.0.into_iter();
    Ok(keys.map(|key| unquoted_pair(&key.table)).collect())
}

/// A block that looks at the rows of foreign keys.
fn look(keys: &[(&str, &str)], orphans: Orphans, secret: &str) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|(table, name)| {
            format!("({}::regclass, {})", literal(table), literal(&unquoted(name)))
        })
        .collect();
    let end = match orphans {
        Orphans::Refuse => {
            "IF told <> '' THEN RAISE EXCEPTION 'these would point at nothing: %', \
             substr(told, 3); END IF;"
        }
        Orphans::Leave => "",
    };
    format!(
        "DO $gs{secret}$ DECLARE\n\
         told text := ''; key record; filled text; same text; missing bigint;\n\
         BEGIN\n\
         FOR key IN SELECT k.* FROM pg_catalog.pg_constraint k JOIN (VALUES {}) AS v (t, n) \
         ON k.conrelid = v.t AND k.conname = v.n WHERE k.contype = 'f' LOOP\n\
         BEGIN\n\
         EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', key.conrelid::regclass, \
         key.conname);\n\
         EXCEPTION WHEN foreign_key_violation THEN\n\
         SELECT string_agg(format('own.%I IS NOT NULL', a.attname), \
         CASE key.confmatchtype WHEN 'f' THEN ' OR ' ELSE ' AND ' END), \
         string_agg(format('own.%I OPERATOR(%I.%s) other.%I', a.attname, n.nspname, o.oprname, \
         b.attname), ' AND ') INTO filled, same \
         FROM unnest(key.conkey, key.confkey, key.conpfeqop) AS u (c, p, op) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = key.conrelid AND a.attnum = u.c \
         JOIN pg_catalog.pg_attribute b ON b.attrelid = key.confrelid AND b.attnum = u.p \
         JOIN pg_catalog.pg_operator o ON o.oid = u.op \
         JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace;\n\
         EXECUTE format('SELECT count(*) FROM ONLY %s AS own WHERE (%s) AND NOT EXISTS \
         (SELECT FROM %s AS other WHERE %s)', key.conrelid::regclass, filled, \
         key.confrelid::regclass, same) INTO missing;\n\
         told := told || ', ' || format('%s of %s without their row of %s (%s)', \
         CASE missing WHEN 1 THEN '1 row' ELSE missing || ' rows' END, \
         key.conrelid::regclass, key.confrelid::regclass, key.conname);\n\
         END;\n\
         END LOOP;\n\
         {end}\n\
         END $gs{secret}$;\n",
        keys.join(", ")
    )
}

/// The keys of a table or to it that rows do not keep to, told.
pub(super) fn left(
    server: &DatabaseServer,
    database: &str,
    table: &Named,
    keys: &Keys,
) -> Result<Option<Error>> {
    let (schema, name) = table;
    let query = format!(
        "SELECT n.nspname || '.' || c.relname || ' (' || k.conname || ')' FROM \
         pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n \
         ON n.oid = c.relnamespace JOIN pg_class p \
         ON p.oid IN (k.conrelid, k.confrelid) JOIN pg_namespace s ON s.oid = p.relnamespace \
         WHERE k.contype = 'f' AND NOT k.convalidated AND s.nspname = {} AND p.relname = {} \
         ORDER BY 1;\n",
        literal(schema),
        literal(name)
    );
    let answer = server.ask_text("look at foreign keys", Some(database), &query)?;
    let was_so = |line: &str| {
        let same = |key: &&ForeignKey| {
            line == format!("{} ({})", unquoted_pair(&key.table), unquoted(&key.name))
        };
        keys.0.iter().find(same).is_some_and(|key| key.definition.ends_with(" NOT VALID"))
    };
    let found: Vec<String> = answer
        .lines()
        .filter(|line| !was_so(line))
        .map(|line| shown(line).escape_debug().to_string())
        .collect();
    if found.is_empty() {
        return Ok(None);
    }
    let what = format!("keep all foreign keys around the table {}", shown_name(table));
    let why = format!("rows point at nothing: those of {}", found.join(", "));
    Ok(Some(Error::new(Kind::Partial, what).why(why).hint(
        "once they are gone, ALTER TABLE ... VALIDATE CONSTRAINT makes the key a whole one again",
    )))
}

/// The statement that makes a foreign key, so that it is made without a look at the rows, and the
/// name of the key; unchanged where that cannot be.
pub(super) fn unchecked(text: &str) -> (String, Option<String>) {
    let same = || (text.to_owned(), None);
    let Some((_, rest)) = text.split_once(" ADD CONSTRAINT ") else { return same() };
    let name = match quoted(rest.as_bytes(), b'"') {
        Some((_, length)) => rest.get(..length),
        None => rest.split_once(' ').map(|(name, _)| name),
    };
    // Behind it stands the beginning of the next section's header.
    let statement = text.trim_end_matches(['-', '\n', ' ']);
    let Some(before) = statement.strip_suffix(';') else { return same() };
    let is_plain = text.contains("ALTER TABLE ONLY ")
        && ![" NOT VALID", " NOT ENFORCED"].iter().any(|end| before.ends_with(end));
    match name {
        Some(name) if is_plain => (format!("{before} NOT VALID;\n\n"), Some(name.to_owned())),
        _ => same(),
    }
}

/// A text within SQL.
pub(super) fn literal(text: &str) -> String {
    let hex: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("convert_from(decode('{}', 'hex'), 'UTF8')", hex.concat())
}

/// A name without the quotes that SQL needs.
fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

/// A text that the server has given in hexadecimal digits.
pub(super) fn unhex(hex: &str) -> Option<String> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(hex.as_bytes().chunks(2).map(byte).collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_of_one_table_of_postgresql_are_made_before_their_rows_are_looked_at() {
        let key = |end: &str| {
            format!(
                "--\nALTER TABLE ONLY public.\"a b\"\n    ADD CONSTRAINT \"k FOREIGN KEY \"\"x\" \
                 FOREIGN KEY (p) REFERENCES public.p(id){end};\n\n\n--\n"
            )
        };
        let (text, name) = unchecked(&key(" ON DELETE CASCADE"));
        assert!(
            text.ends_with("REFERENCES public.p(id) ON DELETE CASCADE NOT VALID;\n\n"),
            "{text}"
        );
        assert_eq!(name.as_deref(), Some("\"k FOREIGN KEY \"\"x\""));
        // What never was looked at needs no look now; the server takes no such key between
        // partitions.
        let partitioned = key("").replace("ONLY ", "");
        for same in [key(" NOT VALID"), partitioned] {
            assert_eq!(unchecked(&same), (same.clone(), None));
        }
    }
}
