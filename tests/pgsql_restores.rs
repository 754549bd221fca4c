// SPDX-License-Identifier: MIT
//! What of a PostgreSQL database comes back with it or with one of its tables, against a real
//! server that the tests start themselves: also what stands in no dump, and nothing by halves.
#![allow(missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common {
    pub mod servers;
}

use common::servers::DbServer;
use ghostsnap::base::World;
use ghostsnap::base::monitor::Collect;
use ghostsnap::hestia::conf::Row;
use ghostsnap::hestia::database::{DatabaseRow, DatabaseServer, RunOptions};
use ghostsnap::hestia::import::{self, Import, Orphans, Purpose};
use ghostsnap::hestia::inventory::DbKind;
use ghostsnap::hestia::{Hestia, dump, import_leftovers, import_trace};
use std::fs;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

struct Bench {
    db: DbServer,
    _folder: tempfile::TempDir,
    hestia: Hestia,
}

/// A database of alice's, made with these words and filled with these statements.
fn bench(made: &str, sql: &str) -> Option<Bench> {
    let db = DbServer::postgres()?;
    let folder = tempfile::tempdir().unwrap();
    let mut hestia = Hestia::below(folder.path());
    hestia.tools = "/usr/bin".into();
    fs::create_dir_all(hestia.conf("")).unwrap();
    fs::write(hestia.conf("pgsql.conf"), db.row("postgres")).unwrap();
    db.psql(
        "postgres",
        "CREATE ROLE u_shop LOGIN PASSWORD 'x'; CREATE ROLE \"the reader\" LOGIN PASSWORD 'x'",
    );
    db.psql("postgres", &format!("CREATE DATABASE shop OWNER u_shop {made}"));
    db.psql("shop", &format!("SET ROLE u_shop; {sql}"));
    Some(Bench { db, _folder: folder, hestia })
}

impl Bench {
    fn row(&self) -> DatabaseRow {
        let row = "DB='shop' DBUSER='u_shop' MD5='' HOST='127.0.0.1' TYPE='pgsql' CHARSET='UTF8' \
                   U_DISK='1' SUSPENDED='no'";
        DatabaseRow::parse(&Row::parse(row.as_bytes()).unwrap()).unwrap()
    }

    fn dump(&self) -> String {
        let mut text = String::new();
        let options = RunOptions::default();
        let mut output = dump::open(&self.hestia, &self.row(), &options).unwrap();
        output.read_to_string(&mut text).unwrap();
        text
    }

    /// A dump's lines in any order, without what is different every time: tables are dumped in the
    /// order they were made in.
    fn state(&self) -> Vec<String> {
        let text = self.dump();
        let lines = text.lines().filter(|line| !line.contains("restrict "));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn own(&self, sql: &str) -> String {
        self.db.psql("shop", &format!("SET ROLE u_shop; {sql}"))
    }

    /// Restores a table or all; the warnings, or the error with its hint.
    fn import(&self, table: Option<&str>, dump: &mut dyn Read) -> Result<Vec<String>, String> {
        self.import_with(table, dump, Orphans::Refuse)
    }

    fn import_with(
        &self,
        table: Option<&str>,
        dump: &mut dyn Read,
        orphans: Orphans,
    ) -> Result<Vec<String>, String> {
        let target = self.row();
        let server = DatabaseServer::find(&self.hestia, DbKind::Pgsql, "127.0.0.1").unwrap();
        let import = Import {
            target: &target,
            exists: true,
            table,
            siblings: &[],
            whose: "test",
            options: RunOptions::default(),
            purpose: Purpose::Restore,
            orphans,
        };
        let monitor = Collect::default();
        let done = import::run(&server, &import, dump, &World::system(), &monitor);
        let left = "SELECT datname FROM pg_database WHERE datname LIKE 'ghostsnap%' UNION \
                    SELECT rolname FROM pg_roles WHERE rolname LIKE 'ghostsnap%'";
        assert_eq!(self.db.psql("postgres", left), "");
        done.map(|_| monitor.warnings()).map_err(|error| error.to_string())
    }

    fn table(&self, table: &str, dump: &str) -> Result<Vec<String>, String> {
        self.import(Some(table), &mut dump.as_bytes())
    }

    fn all(&self, dump: &str) -> Result<Vec<String>, String> {
        self.import(None, &mut dump.as_bytes())
    }
}

const NONE: Result<Vec<String>, String> = Ok(Vec::new());

const TREES: &str = "
CREATE TABLE m (id int, d date) PARTITION BY RANGE (d);
CREATE TABLE m25 PARTITION OF m FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO m VALUES (1, '2025-02-02');
CREATE TABLE parent (a int); CREATE TABLE \"the kid\" (b int) INHERITS (parent);
INSERT INTO \"the kid\" VALUES (1, 2);
";

#[test]
fn a_table_that_is_not_whole_by_itself_is_refused_and_nothing_changes() {
    let Some(bench) = bench("", TREES) else { return };
    let (dump, before) = (bench.dump(), bench.state());
    for table in ["m", "m25", "public.m25", "parent"] {
        let error = bench.table(table, &dump).unwrap_err();
        assert!(error.contains("in several tables") && error.contains("--as"), "{error}");
    }
    assert_eq!(bench.state(), before);
    assert_eq!(bench.table("the kid", &dump), NONE);
    assert_eq!(bench.own("SELECT * FROM parent"), "1");
    // The dump knows it too, where today's database does not.
    bench.own("DROP TABLE m; DROP TABLE \"the kid\"; DROP TABLE parent");
    let before = bench.state();
    for table in ["m", "m25", "parent"] {
        let error = bench.table(table, &dump).unwrap_err();
        assert!(error.contains("in several tables"), "{error}");
    }
    assert_eq!(bench.state(), before);
}

/// A dump in whose middle somebody uses the table.
struct Halting<'d> {
    dump: &'d [u8],
    at: usize,
    read: usize,
    meanwhile: &'d dyn Fn(),
}

impl Read for Halting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.at {
            (self.meanwhile)();
        }
        let end = if self.read < self.at { self.at } else { self.dump.len() };
        let count = buffer.len().min(end - self.read);
        buffer[..count].copy_from_slice(&self.dump[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

#[test]
fn a_table_and_those_tied_to_it_are_in_use_while_its_dump_is_read() {
    let sql = "CREATE TABLE c (id serial PRIMARY KEY, x text); \
               INSERT INTO c (x) VALUES ('a'), ('b'); \
               CREATE TABLE o (c int REFERENCES c (id)); INSERT INTO o VALUES (1); \
               CREATE TABLE z (i int); INSERT INTO z SELECT generate_series(1, 2000)";
    let Some(bench) = bench("", sql) else { return };
    let (dump, before) = (bench.dump(), bench.state());
    bench.own("UPDATE c SET x = 'newer'");
    let meanwhile = || {
        bench.own(
            "SET lock_timeout = '100ms'; UPDATE c SET x = 'newest'; INSERT INTO o VALUES (2); \
             DELETE FROM o WHERE c = 2",
        );
    };
    // Behind the rows of the table, before those of the last one have ended.
    let at = dump.find("INSERT INTO public.z VALUES (1999)").unwrap();
    let mut halting = Halting { dump: dump.as_bytes(), at, read: 0, meanwhile: &meanwhile };
    assert_eq!(bench.import(Some("c"), &mut halting), NONE);
    assert_eq!(bench.state(), before);
    // Rows that did not come are not lost in silence.
    let line = "INSERT INTO public.c VALUES (2, 'b');";
    let fewer = dump.replace(line, "INSERT INTO public.c SELECT 2, 'b' WHERE false;");
    let error = bench.table("c", &fewer).unwrap_err();
    assert!(error.contains("the table got 1 of 2 rows") && fewer != dump, "{error}");
    assert_eq!(bench.state(), before);
}

#[test]
fn what_belongs_to_a_database_and_not_to_its_dump_comes_back_with_it() {
    let made = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-u-kn' LC_COLLATE 'C' \
                LC_CTYPE 'C' CONNECTION LIMIT 7";
    let Some(bench) = bench(made, "CREATE TABLE t (id int)") else { return };
    bench.db.psql(
        "postgres",
        "COMMENT ON DATABASE shop IS 'it''s\nalice''s'; \
         ALTER DATABASE shop SET search_path = \"$user\", public, \"odd, \"\"one\"; \
         ALTER DATABASE shop SET timezone = 'Asia/Tokyo'; \
         ALTER ROLE \"the reader\" IN DATABASE shop SET work_mem = '7MB'; \
         REVOKE ALL ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO \"the reader\"",
    );
    let attributes = || {
        bench.db.psql(
            "postgres",
            "SELECT datcollate, datctype, datlocprovider, daticulocale, datconnlimit, \
             shobj_description(oid, 'pg_database'), \
             has_database_privilege('public', oid, 'CONNECT'), \
             has_database_privilege('the reader', oid, 'CONNECT'), \
             has_database_privilege('the reader', oid, 'TEMP') \
             FROM pg_database WHERE datname = 'shop'; \
             SELECT setrole::regrole, setconfig FROM pg_db_role_setting s JOIN pg_database d \
             ON d.oid = s.setdatabase WHERE datname = 'shop' ORDER BY 1",
        )
    };
    let (dump, before) = (bench.dump(), attributes());
    assert!(
        before.contains("Tokyo") && before.contains("7MB") && before.contains("|i|"),
        "{before}"
    );
    assert_eq!(bench.all(&dump), NONE);
    assert_eq!(attributes(), before);
    // One that is open to everybody stays so.
    bench.db.psql("postgres", "GRANT CONNECT ON DATABASE shop TO PUBLIC");
    let before = attributes();
    assert_eq!(bench.all(&dump), NONE);
    assert_eq!(attributes(), before);
}

#[test]
fn nobody_else_gets_into_a_database_that_is_being_restored() {
    let Some(bench) = bench("", "CREATE TABLE t (id int)") else { return };
    let dump = bench.dump();
    let meanwhile = || {
        let open = "SELECT count(*) FROM pg_database WHERE datname LIKE 'ghostsnap%' AND \
                    has_database_privilege('public', oid, 'CONNECT')";
        assert_eq!(bench.db.psql("postgres", open), "0");
    };
    // Before it is read, its beginning is looked at.
    let at = dump.len();
    let mut halting = Halting { dump: dump.as_bytes(), at, read: 0, meanwhile: &meanwhile };
    assert_eq!(bench.import(None, &mut halting), NONE);
    bench.db.psql_as("the reader", "x", "shop", "SELECT 1");
}

const SHARED: &str = "
CREATE TABLE t (id serial PRIMARY KEY, a text, b text);
CREATE TABLE \"other, one\" (id int);
CREATE VIEW v AS SELECT 1 AS one;
CREATE SCHEMA s; CREATE TABLE s.t (id int);
CREATE FUNCTION closed(text) RETURNS int LANGUAGE sql AS 'SELECT 1';
GRANT SELECT, UPDATE ON t TO \"the reader\" WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE t_id_seq TO \"the reader\";
GRANT INSERT (id) ON \"other, one\" TO PUBLIC;
GRANT SELECT ON v TO PUBLIC; GRANT USAGE ON SCHEMA s TO \"the reader\";
REVOKE ALL ON FUNCTION closed FROM PUBLIC; GRANT EXECUTE ON FUNCTION closed TO \"the reader\";
ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO \"the reader\";
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
";

const RIGHTS: &str = "
SELECT c.oid::regclass, a.* FROM pg_class c, aclexplode(relacl) a WHERE relnamespace > 16000
 OR relnamespace = 'public'::regnamespace;
SELECT attrelid::regclass, attname, a.* FROM pg_attribute, aclexplode(attacl) a WHERE
 attrelid > 16000;
SELECT nspname, a.* FROM pg_namespace, aclexplode(nspacl) a WHERE nspname = 's';
SELECT proname, a.* FROM pg_proc, aclexplode(proacl) a WHERE proname = 'closed';
SELECT defaclobjtype, a.* FROM pg_default_acl, aclexplode(defaclacl) a;
";

impl Bench {
    fn rights(&self) -> Vec<String> {
        let text = self.db.psql("shop", RIGHTS);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

#[test]
fn what_others_may_do_in_a_database_they_may_do_afterwards() {
    let Some(bench) = bench("", SHARED) else { return };
    let (dump, before) = (bench.dump(), bench.rights());
    assert!(before.len() > 12, "{before:?}");
    assert_eq!(bench.all(&dump), NONE);
    assert_eq!(bench.rights(), before);
    assert_eq!(bench.table("t", &dump), NONE);
    assert_eq!(bench.rights(), before);
    assert_eq!(bench.table("other, one", &dump), NONE);
    assert_eq!(bench.rights(), before);
    // What only the administrator can give is told.
    bench.db.psql(
        "shop",
        "CREATE ROLE boss; ALTER DEFAULT PRIVILEGES FOR ROLE boss GRANT INSERT ON TABLES TO \
         \"the reader\"",
    );
    let warnings = bench.all(&dump).unwrap();
    let told =
        "ALTER DEFAULT PRIVILEGES FOR ROLE boss GRANT INSERT ON TABLES TO \\\"the reader\\\"";
    assert!(warnings.len() == 1 && warnings[0].contains(told), "{warnings:?}");
}

#[test]
fn what_hangs_on_a_table_comes_back_with_it() {
    let sql = "
        CREATE TABLE t (id serial PRIMARY KEY, a int CHECK (a > 0), b int,
         i int GENERATED ALWAYS AS IDENTITY);
        INSERT INTO t (a, b) VALUES (1, 1), (2, 2);
        CREATE INDEX \"by a\" ON t (a); CREATE TABLE o (t int CONSTRAINT k REFERENCES t (id));
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
        CREATE STATISTICS st (dependencies) ON a, b FROM t; ALTER STATISTICS st SET STATISTICS 50;
        COMMENT ON STATISTICS st IS 'on statistics'; COMMENT ON INDEX \"by a\" IS 'on an index';
        COMMENT ON INDEX t_pkey IS 'on a key''s index';
        COMMENT ON CONSTRAINT t_pkey ON t IS 'on a key';
        COMMENT ON CONSTRAINT t_a_check ON t IS 'on a check'; COMMENT ON TRIGGER g ON t IS 'on g';
        COMMENT ON SEQUENCE t_id_seq IS 'on a sequence'; COMMENT ON COLUMN t.a IS 'on a column';
        COMMENT ON SEQUENCE t_i_seq IS 'on another'; COMMENT ON TABLE t IS 'on t';
        COMMENT ON CONSTRAINT k ON o IS 'on another''s key';
        CREATE TABLE other (a int); CREATE INDEX by_b ON other (a);
        COMMENT ON INDEX by_b IS 'not its';
        CREATE TYPE ty AS (x int, y text); CREATE TABLE typed OF ty;
        INSERT INTO typed VALUES (1, 'one');
        CREATE TABLE \"log (old\" (a int); INSERT INTO \"log (old\" VALUES (1);";
    let Some(bench) = bench("", sql) else { return };
    let (dump, before) = (bench.dump(), bench.state());
    bench.own("UPDATE t SET a = 7; DELETE FROM typed; DELETE FROM \"log (old\"");
    for table in ["t", "typed", "log (old"] {
        assert_eq!(bench.table(table, &dump), NONE, "{table}");
    }
    assert_eq!(bench.state(), before);
    bench.own("DROP TABLE typed; DROP TABLE \"log (old\"; DROP TABLE o; DROP TABLE t");
    for table in ["typed", "log (old", "t", "o"] {
        assert_eq!(bench.table(table, &dump), NONE, "{table}");
    }
    let without = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| !line.starts_with("COMMENT ON CONSTRAINT k")).collect()
    };
    assert_eq!(without(bench.state()), without(before));
}

#[test]
fn a_table_is_found_by_every_name_that_means_it_and_by_no_other() {
    let sql = "CREATE SCHEMA \"a.b\"; CREATE TABLE \"a.b\".t (i int); \
               INSERT INTO \"a.b\".t VALUES (1); \
               CREATE TABLE \"a.b\".c (i int PRIMARY KEY); INSERT INTO \"a.b\".c VALUES (1); \
               CREATE TABLE \"a.b\".d (i int REFERENCES \"a.b\".c); \
               INSERT INTO \"a.b\".d VALUES (1); \
               CREATE TABLE \"Orders\" (i int); INSERT INTO \"Orders\" VALUES (1); \
               CREATE TABLE \"my.own\" (i int); INSERT INTO \"my.own\" VALUES (1); \
               CREATE SCHEMA x; CREATE SCHEMA \"x.y\"; CREATE TABLE x.\"y.z\" (i int); \
               CREATE TABLE \"x.y\".z (i int); INSERT INTO \"x.y\".z VALUES (1)";
    let Some(bench) = bench("", sql) else { return };
    let (dump, before) = (bench.dump(), bench.state());
    for (given, name) in [
        ("a.b.t", "\"a.b\".t"),
        ("\"a.b\".t", "\"a.b\".t"),
        ("Orders", "\"Orders\""),
        ("\"Orders\"", "\"Orders\""),
        ("public.Orders", "\"Orders\""),
        ("public.\"Orders\"", "\"Orders\""),
        ("my.own", "\"my.own\""),
        ("\"x.y\".z", "\"x.y\".z"),
        ("a.b.d", "\"a.b\".d"),
    ] {
        bench.own(&format!("DELETE FROM {name}"));
        assert_eq!(bench.table(given, &dump), NONE, "{given}");
        assert_eq!(bench.state(), before, "{given}");
    }
    bench.own("INSERT INTO \"a.b\".c VALUES (2)");
    assert_eq!(bench.table("a.b.c", &dump), NONE);
    for (given, words) in [
        ("orders", "it has public.\"Orders\""),
        ("t", "it has \"a.b\".t"),
        ("nosuch", "the dump has no such table"),
        ("x.y.z", "the dump has x.\"y.z\" and \"x.y\".z"),
    ] {
        let error = bench.table(given, &dump).unwrap_err();
        assert!(error.contains(words), "{given}: {error}");
    }
    assert_eq!(bench.state(), before);
}

#[test]
fn what_stands_in_the_way_of_a_table_is_told_with_a_way_out() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); \
               CREATE TABLE seen (id int); CREATE VIEW v AS SELECT * FROM seen; \
               CREATE SCHEMA s; CREATE TABLE s.o (t int CONSTRAINT k REFERENCES t (id))";
    let Some(bench) = bench("", sql) else { return };
    let dump = bench.dump();
    let error = bench.table("seen", &dump).unwrap_err();
    assert!(
        error.contains("view public.v depends on table public.seen") && error.contains("--as"),
        "{error}"
    );
    assert!(!error.contains("CASCADE"), "{error}");
    bench.own("INSERT INTO t VALUES (2); INSERT INTO s.o VALUES (2)");
    let error = bench.table("t", &dump).unwrap_err();
    assert!(error.contains("1 row of s.o without their row of"), "{error}");
    assert!(!error.contains("CONTEXT") && error.contains("(k); nothing was changed"), "{error}");
    let warnings = bench.import_with(Some("t"), &mut dump.as_bytes(), Orphans::Leave).unwrap();
    assert!(warnings[0].contains("those of s.o (k)") && warnings.len() == 1, "{warnings:?}");
    bench.own(
        "DELETE FROM s.o; ALTER TABLE s.o VALIDATE CONSTRAINT k; INSERT INTO t VALUES (2); \
         INSERT INTO s.o VALUES (2); ALTER TABLE s.o ENABLE ROW LEVEL SECURITY; \
         ALTER TABLE s.o FORCE ROW LEVEL SECURITY",
    );
    let before = bench.state();
    let error = bench.table("t", &dump).unwrap_err();
    assert!(error.contains("FORCE ROW LEVEL SECURITY") && error.contains("--as"), "{error}");
    assert!(!error.contains("SELECT"), "{error}");
    assert_eq!(bench.state(), before);
}

#[test]
fn what_a_new_table_gives_to_others_an_old_one_that_comes_back_does_not() {
    let sql = "CREATE TABLE t (id serial PRIMARY KEY, a text); \
               ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO \"the reader\"; \
               ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO PUBLIC; \
               ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO \"the reader\"; \
               CREATE TABLE o (id int); GRANT UPDATE ON o TO \"the reader\"; \
               REVOKE INSERT ON o FROM PUBLIC";
    let Some(bench) = bench("", sql) else { return };
    let dump = bench.dump();
    let may = "SELECT relname, has_table_privilege('the reader', oid, 'SELECT'), \
               has_table_privilege('the reader', oid, 'INSERT'), \
               has_table_privilege('the reader', oid, 'UPDATE') FROM pg_class \
               WHERE relname IN ('t', 'o') ORDER BY 1; \
               SELECT has_sequence_privilege('the reader', 't_id_seq', 'USAGE')";
    let before = bench.db.psql("shop", may);
    assert_eq!(before.trim(), "o|t|f|t\nt|f|f|f\nf");
    for table in ["t", "o"] {
        assert_eq!(bench.table(table, &dump), NONE, "{table}");
    }
    assert_eq!(bench.db.psql("shop", may), before);
    // One that was not there is a new one.
    bench.own("DROP TABLE t");
    assert_eq!(bench.table("t", &dump), NONE);
    assert_eq!(bench.db.psql("shop", may).trim(), "o|t|f|t\nt|t|t|f\nt");
}

#[test]
fn how_a_table_is_set_up_comes_back_with_it_whether_it_is_there_or_not() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT '\nALTER TABLE ONLY public.t x'); \
               INSERT INTO t VALUES (1, 'one'); ALTER TABLE t ALTER a SET STATISTICS 50; \
               ALTER TABLE t ALTER a SET STORAGE EXTERNAL; ALTER TABLE t REPLICA IDENTITY FULL; \
               ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY";
    let Some(bench) = bench("", sql) else { return };
    let (dump, before) = (bench.dump(), bench.state());
    for word in ["SET STATISTICS", "SET STORAGE", "REPLICA IDENTITY FULL", "FORCE ROW LEVEL"] {
        assert!(dump.contains(word), "{word}: {dump}");
    }
    assert_eq!(bench.table("t", &dump), NONE);
    assert_eq!(bench.state(), before);
    bench.own("DROP TABLE t");
    assert_eq!(bench.table("t", &dump), NONE);
    assert_eq!(bench.state(), before);
}

#[test]
fn a_table_is_there_by_every_name_that_an_import_of_it_takes() {
    let sql = "CREATE TABLE \"Orders\" (i int); CREATE SCHEMA \"a.b\"; CREATE TABLE \"a.b\".t ()";
    let Some(bench) = bench("", sql) else { return };
    let server = DatabaseServer::find(&bench.hestia, DbKind::Pgsql, "127.0.0.1").unwrap();
    for (name, is_there) in [
        ("Orders", true),
        ("\"Orders\"", true),
        ("public.\"Orders\"", true),
        ("\"a.b\".t", true),
        ("a.b.t", true),
        ("orders", false),
        ("t", false),
        ("it's\\", false),
    ] {
        assert_eq!(import_trace::has_table(&server, "shop", name).unwrap(), is_there, "{name}");
    }
    for (name, token) in [("\"Orders\"", "public.\"Orders\""), ("a.b.t", "\"a.b\".t")] {
        let found = import_trace::pgsql_table(&server, "shop", name);
        assert_eq!(found.unwrap(), token, "{name}");
    }
    bench.own("CREATE SCHEMA a; CREATE TABLE a.\"b.t\" ()");
    let error = import_trace::pgsql_table(&server, "shop", "a.b.t").unwrap_err().to_string();
    assert!(error.contains("and"), "{error}");
    let error = import_trace::pgsql_table(&server, "shop", "orders").unwrap_err().to_string();
    assert!(error.contains("there is none"), "{error}");
}

#[test]
fn what_the_owner_sets_for_his_database_stops_no_restore() {
    let sql = "CREATE TABLE t (id serial PRIMARY KEY, a text); INSERT INTO t (a) VALUES ('b\\'); \
               GRANT SELECT ON t TO \"the reader\"; CREATE TABLE o (t int REFERENCES t (id))";
    let Some(bench) = bench("", sql) else { return };
    let dump = bench.dump();
    bench.own(
        "ALTER DATABASE shop SET standard_conforming_strings = off; \
         ALTER DATABASE shop SET default_transaction_read_only = on; \
         ALTER DATABASE shop SET statement_timeout = 1; \
         ALTER DATABASE shop SET quote_all_identifiers = on; \
         ALTER DATABASE shop SET search_path = nowhere",
    );
    assert_eq!(bench.dump().len(), dump.len());
    assert_eq!(bench.table("t", &dump), NONE);
    assert_eq!(bench.all(&dump), NONE);
}

#[test]
fn what_a_killed_restore_still_does_is_ended_and_what_others_do_stops_nothing() {
    let Some(bench) = bench("", "CREATE TABLE t (id int)") else { return };
    let role = "ghostsnap0123456789ab";
    bench.db.psql(
        "postgres",
        &format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT u_shop TO {role}; \
             COMMENT ON ROLE {role} IS 'test: shop'"
        ),
    );
    let server = DatabaseServer::find(&bench.hestia, DbKind::Pgsql, "127.0.0.1").unwrap();
    let sleep = |who: &str| {
        let mut command = Command::new("/usr/bin/psql");
        command.args(["-X", "-h", "127.0.0.1", "-d", "shop", "-U", who, "-c"]);
        command.args(["SELECT pg_sleep(60) AS \"0123456789ab\"", "-p", &bench.db.port.to_string()]);
        command.env("PGPASSWORD", "x").stderr(Stdio::null()).spawn().unwrap()
    };
    let mut clients = [sleep(role), sleep("the reader")];
    let at_it = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> \
                 pg_backend_pid()";
    while bench.db.psql("postgres", at_it) != "2" {
        World::system().sleep(Duration::from_millis(50));
    }
    let (world, monitor) = (World::system(), Collect::default());
    let told = import_leftovers::finish(&server, "test", &[bench.row()], &world, &monitor);
    assert_eq!(bench.db.psql("postgres", at_it), "1");
    assert!(!clients[0].wait().unwrap().success());
    clients[1].kill().unwrap();
    clients[1].wait().unwrap();
    assert!(told.unwrap()[0].starts_with("shop: ") && monitor.warnings().is_empty());
    let left = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'ghostsnap%'";
    assert_eq!(bench.db.psql("postgres", left), "0");
}
