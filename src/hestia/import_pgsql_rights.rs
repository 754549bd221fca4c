// SPDX-License-Identifier: MIT
//! Who else may do what with the objects of a PostgreSQL database. Dumps do not say that, so it is
//! read from the live database and given again by the account of the import, which can give only
//! what is its own to give. What did not come back is told.

use super::database::{DatabaseRow, DatabaseServer};
use super::dump_text_pgsql::Named;
use super::import_pgsql_keys::{literal, unhex};
use crate::base::{Error, Kind, Result, limits};
use std::collections::{BTreeMap, BTreeSet};

/// Objects by their names in SQL, and the statements that give the rights to each; those that take
/// some from everybody come first.
#[derive(Debug, Default)]
pub(super) struct Rights(BTreeMap<String, BTreeSet<String>>);

/// Statements that a warning tells.
const TOLD: usize = 5;

impl Rights {
    /// Those of all that a database holds. `target` says whose they are not: its own account's.
    pub fn of_database(
        server: &DatabaseServer,
        target: &DatabaseRow,
        database: &str,
    ) -> Result<Self> {
        let own = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";
        let objects = format!(
            "{} UNION ALL SELECT 'SCHEMA ' || quote_ident(n.nspname), n.nspacl, n.nspowner, NULL \
             FROM pg_namespace n WHERE {own} UNION ALL SELECT 'ROUTINE ' || \
             format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), \
             p.proacl, p.proowner, NULL FROM pg_proc p JOIN pg_namespace n \
             ON n.oid = p.pronamespace WHERE {own}",
            relations(own)
        );
        let mut rights = Self::read(server, target, database, &objects)?;
        rights.add(server, database, &defaults(target))?;
        Ok(rights)
    }

    /// Those of a table of the live database and of its sequences.
    pub fn of_table(
        server: &DatabaseServer,
        target: &DatabaseRow,
        (schema, table): &Named,
    ) -> Result<Self> {
        let is_it = |oid: &str| {
            format!(
                "{oid} IN (SELECT t.oid FROM pg_class t JOIN pg_namespace s \
                 ON s.oid = t.relnamespace WHERE s.nspname = {} AND t.relname = {})",
                literal(schema),
                literal(table)
            )
        };
        let which = format!(
            "({} OR (c.relkind = 'S' AND c.oid IN (SELECT d.objid FROM pg_depend d WHERE \
             d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND \
             d.deptype IN ('a', 'i') AND {})))",
            is_it("c.oid"),
            is_it("d.refobjid")
        );
        Self::read(server, target, &target.name, &relations(&which))
    }

    fn read(
        server: &DatabaseServer,
        target: &DatabaseRow,
        database: &str,
        objects: &str,
    ) -> Result<Self> {
        let (who, again) = (WHO, GRANTABLE);
        let owner = &target.user;
        let query = format!(
            "WITH objects (object, acl, owner, part) AS ({objects}), \
             told (object, statement) AS (SELECT object, '' FROM objects UNION ALL \
             SELECT object, 'REVOKE ALL ON ' || object || ' FROM PUBLIC' FROM objects \
             WHERE acl IS NOT NULL AND part IS NULL UNION ALL \
             SELECT object, 'GRANT ' || a.privilege_type || COALESCE(' (' || part || ')', '') || \
             ' ON ' || object || ' TO ' || {who} || {again} FROM objects, aclexplode(acl) a \
             WHERE a.grantee <> owner AND pg_get_userbyid(a.grantee) <> '{owner}') \
             SELECT encode(convert_to(object, 'UTF8'), 'hex'), \
             encode(convert_to(statement, 'UTF8'), 'hex') FROM told;\n"
        );
        let mut rights = Self::default();
        rights.add(server, database, &query)?;
        Ok(rights)
    }

    fn add(&mut self, server: &DatabaseServer, database: &str, query: &str) -> Result<()> {
        let what = "look who may do what in the database";
        // With no path, names in answers have their schemas.
        let query = format!("SET search_path = '';\n{query}");
        for line in server.ask_text(what, Some(database), &query)?.lines() {
            let pair = line.split_once('\t').and_then(|(a, b)| Some((unhex(a)?, unhex(b)?)));
            let Some((object, statement)) = pair else {
                return Err(
                    Error::new(Kind::Db, what).why("the server's answer is not what it should be")
                );
            };
            let statements = self.0.entry(object).or_default();
            if !statement.is_empty() {
                statements.insert(statement);
            }
            if self.0.len() > limits::HESTIA_OBJECTS_MAX {
                return Err(Error::new(Kind::Limit, what).why("there are too many objects"));
            }
        }
        Ok(())
    }

    /// The statements that give them again, each of which may fail.
    pub fn again(&self, secret: &str) -> String {
        let is_first = |statement: &&String| statement.contains("REVOKE ALL ON ");
        let all = || self.0.values().flatten();
        let (first, then) = (all().filter(is_first), all().filter(|one| !is_first(one)));
        let text = |one: &String| format!("'{}'", one.replace('\'', "''"));
        let list: Vec<String> = first.chain(then).map(text).collect();
        if list.is_empty() {
            return String::new();
        }
        format!(
            "DO $gs{secret}$ DECLARE one text; BEGIN\n\
             FOREACH one IN ARRAY ARRAY[{}] LOOP\n\
             BEGIN EXECUTE one; EXCEPTION WHEN OTHERS THEN NULL; END;\n\
             END LOOP; END $gs{secret}$;\n",
            list.join(",\n")
        )
    }

    /// The statements that take from everybody else what the database gives to all new tables. A
    /// table that was not there is a new one.
    pub fn only(&self, token: &str, secret: &str) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let table = format!("'{}'::pg_catalog.regclass", token.replace('\'', "''"));
        let class = "'pg_catalog.pg_class'::pg_catalog.regclass";
        let query = format!(
            "SELECT DISTINCT c.oid, c.relkind, a.grantee FROM pg_catalog.pg_class c, \
             pg_catalog.aclexplode(c.relacl) a WHERE a.grantee <> c.relowner AND \
             (c.oid = {table} OR (c.relkind = 'S' AND c.oid IN (SELECT d.objid FROM \
             pg_catalog.pg_depend d WHERE d.classid = {class} AND d.refclassid = {class} AND \
             d.refobjid = {table} AND d.deptype IN ('a', 'i'))))"
        );
        format!(
            "DO $gs{secret}$ DECLARE r record; BEGIN\nFOR r IN {query} LOOP\n\
             BEGIN EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s', \
             CASE r.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, \
             r.oid::pg_catalog.regclass, CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE \
             pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(r.grantee)) END);\n\
             EXCEPTION WHEN OTHERS THEN NULL; END;\n\
             END LOOP; END $gs{secret}$;\n"
        )
    }

    /// A warning about those that are not there any more, of objects that are, and about those that
    /// were not there.
    pub fn lost(&self, now: &Self) -> Option<Error> {
        let lost = told(&self.beyond(now));
        let is_given = |one: &String| !one.contains("REVOKE ALL ON ");
        let new = told(&now.beyond(self).into_iter().filter(is_given).collect::<Vec<_>>());
        let (why, hint) = match (lost, new) {
            (None, None) => return None,
            (Some(lost), None) => {
                (format!("these are gone: {lost}"), "run them as the server's administrator")
            }
            (None, Some(new)) => (
                format!("others had not these before: {new}"),
                "revoke them as the server's administrator",
            ),
            (Some(lost), Some(new)) => (
                format!("these are gone: {lost}; others had not these before: {new}"),
                "run the first and revoke the others as the server's administrator",
            ),
        };
        let what = "bring back all rights that others had on the database";
        Some(Error::new(Kind::Partial, what).why(why).hint(hint))
    }

    /// Those that another reading of the same objects has not.
    fn beyond(&self, other: &Self) -> Vec<String> {
        let of = |(object, statements): (&String, &BTreeSet<String>)| {
            let has = other.0.get(object)?;
            Some(statements.difference(has).cloned().collect::<Vec<_>>())
        };
        self.0.iter().filter_map(of).flatten().collect()
    }
}

fn told(all: &[String]) -> Option<String> {
    let mut told: Vec<String> =
        all.iter().take(TOLD).map(|one| one.escape_debug().to_string()).collect();
    if all.len() > TOLD {
        told.push(format!("{} more", all.len() - TOLD));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

const WHO: &str = "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE \
                   quote_ident(pg_get_userbyid(a.grantee)) END";
const GRANTABLE: &str = "CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END";

/// Tables, views and sequences, and columns that have rights of their own.
fn relations(which: &str) -> String {
    let name = "CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || \
                format('%I.%I', n.nspname, c.relname)";
    let from = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace";
    let kinds = "c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')";
    format!(
        "SELECT {name}, c.relacl, c.relowner, NULL::text FROM {from} WHERE {kinds} AND {which} \
         UNION ALL SELECT {name}, a.attacl, c.relowner, quote_ident(a.attname) FROM {from} \
         JOIN pg_attribute a ON a.attrelid = c.oid WHERE {kinds} AND {which} AND a.attnum > 0 AND \
         NOT a.attisdropped AND a.attacl IS NOT NULL"
    )
}

/// What others may do with objects that will be made.
fn defaults(target: &DatabaseRow) -> String {
    let owner = &target.user;
    let front = "'ALTER DEFAULT PRIVILEGES FOR ROLE ' || \
                 quote_ident(pg_get_userbyid(d.defaclrole)) || \
                 COALESCE(' IN SCHEMA ' || quote_ident(n.nspname), '')";
    let kind = "CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' \
                WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END";
    let from = "pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace";
    format!(
        "WITH told (statement) AS (SELECT '' UNION ALL \
         SELECT {front} || ' REVOKE ALL ON ' || {kind} || ' FROM PUBLIC' FROM {from} \
         WHERE d.defaclnamespace = 0 UNION ALL SELECT {front} || ' GRANT ' || a.privilege_type || \
         ' ON ' || {kind} || ' TO ' || {WHO} || {GRANTABLE} FROM {from}, aclexplode(d.defaclacl) a \
         WHERE a.grantee <> d.defaclrole AND pg_get_userbyid(a.grantee) <> '{owner}') \
         SELECT encode(convert_to('DEFAULT PRIVILEGES', 'UTF8'), 'hex'), \
         encode(convert_to(statement, 'UTF8'), 'hex') FROM told;\n"
    )
}
