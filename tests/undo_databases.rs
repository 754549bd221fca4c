// SPDX-License-Identifier: MIT
//! Restores of databases that are taken back: Hestia is a double, MariaDB and PostgreSQL are not.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;
#[path = "common/servers.rs"]
mod servers;

use double::{Machine, user};
use ghostsnap::base::{Kind, Result};
use ghostsnap::hestia::BackupMode;
use ghostsnap::hestia::import::Orphans;
use ghostsnap::hestia::jobs::{
    self, DatabaseReport, DatabaseRequest, Server, UndoReport, UndoRequest,
};
use servers::{DbServer, PASSWORD};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

struct Bench {
    machine: Machine,
    mysql: DbServer,
    pgsql: DbServer,
}

/// Alice, whose databases lie on real servers, backed up.
fn bench() -> Option<Bench> {
    let (mysql, pgsql) = (DbServer::mariadb()?, DbServer::postgres()?);
    let mut machine = Machine::empty("gzip");
    machine.hestia.tools = "/usr/bin".into();
    fs::write(machine.hestia.conf("mysql.conf"), mysql.row("root")).unwrap();
    fs::write(machine.hestia.conf("pgsql.conf"), pgsql.row("postgres")).unwrap();
    let mut settings = machine.server.settings.clone();
    settings.mode = BackupMode::Direct;
    let world = Arc::clone(&machine.server.world);
    machine.server = Server::new(machine.hestia.clone(), settings, world);
    let bench = Bench { machine, mysql, pgsql };
    bench.command(
        "v-delete-database",
        "type=$(value \"$(grep \"DB='$2'\" \"$HESTIA/data/users/$1/db.conf\")\" TYPE)\n\
         delete_row \"$1\" db.conf DB \"$2\"\n\
         if [ \"$type\" = mysql ]; then mysql \"DROP DATABASE \\`$2\\`\"; \
         else psql \"DROP DATABASE \\\"$2\\\"\"; fi\n",
    );
    bench.command("v-rebuild-database", "true\n");
    bench.machine.add_user("alice");
    let hash = bench.mysql.mysql("SELECT PASSWORD('alice secret')");
    bench.mysql.mysql(&format!(
        "CREATE DATABASE alice_m CHARACTER SET utf8mb4; \
         CREATE USER alice_u@'%' IDENTIFIED BY PASSWORD '{hash}'; \
         GRANT ALL ON alice_m.* TO alice_u@'%'; USE alice_m; \
         CREATE TABLE t (id INT PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'one'); \
         CREATE TABLE gone (id INT PRIMARY KEY); INSERT INTO gone VALUES (4); \
         CREATE DEFINER=alice_u@'%' VIEW v AS SELECT id FROM t"
    ));
    bench.list("mysql", "alice_m", &hash);
    bench.pgsql.psql("postgres", "CREATE ROLE alice_u LOGIN PASSWORD 'alice secret'");
    bench.pgsql.psql("postgres", "CREATE DATABASE alice_p OWNER alice_u");
    bench.pgsql.psql(
        "alice_p",
        "SET ROLE alice_u; CREATE TABLE t (id int PRIMARY KEY, x text); \
         INSERT INTO t VALUES (1, 'one'); CREATE TABLE gone (id int PRIMARY KEY); \
         INSERT INTO gone VALUES (4)",
    );
    bench.list("pgsql", "alice_p", "");
    assert_eq!(bench.machine.good_backup("alice").1.objects_of("DB").count(), 2);
    // What a restore undoes, and its undo brings back.
    bench.mysql.mysql(
        "USE alice_m; UPDATE t SET x = 'changed'; INSERT INTO t VALUES (2, 'two'); \
         DROP TABLE gone; CREATE TABLE newer (id INT PRIMARY KEY); \
         CREATE DEFINER=alice_u@'%' PROCEDURE p() SELECT 1",
    );
    bench.pgsql.psql(
        "alice_p",
        "SET ROLE alice_u; UPDATE t SET x = 'changed'; INSERT INTO t VALUES (2, 'two'); \
         DROP TABLE gone; CREATE TABLE newer (id int PRIMARY KEY)",
    );
    Some(bench)
}

impl Bench {
    /// Puts up a command that does to the servers what Hestia's does.
    fn command(&self, name: &str, script: &str) {
        let text = format!(
            "#!/bin/bash\nsource \"$(dirname \"$0\")/common.sh\"\n\
             mysql() {{ MYSQL_PWD='{PASSWORD}' mariadb --no-defaults -h 127.0.0.1 -u root -P {} \
             <<< \"$1\"; }}\n\
             psql() {{ PGPASSWORD='{PASSWORD}' command psql -q -h 127.0.0.1 -U postgres -p {} \
             <<< \"$1\"; }}\n{script}",
            self.mysql.port, self.pgsql.port
        );
        let path = self.machine.hestia.command(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn list(&self, kind: &str, name: &str, hash: &str) {
        let row = format!(
            "DB='{name}' DBUSER='alice_u' MD5='{hash}' HOST='127.0.0.1' TYPE='{kind}' \
             CHARSET='UTF8MB4' U_DISK='1' SUSPENDED='no' TIME='07:06:17' DATE='2026-11-22'"
        );
        self.machine.add_row("alice", "db.conf", &row);
    }

    fn try_restore(&self, request: DatabaseRequest) -> Result<DatabaseReport> {
        let request = DatabaseRequest { snapshot: "latest".into(), ..request };
        let machine = &self.machine;
        let (server, repository) = (&machine.server, machine.repository());
        jobs::restore_database(server, &repository, &user("alice"), &request, &machine.monitor)
    }

    fn restore(&self, database: &str, table: Option<&str>) {
        let (database, table) = (database.to_owned(), table.map(str::to_owned));
        let request = DatabaseRequest { database, table, ..DatabaseRequest::default() };
        assert!(self.try_restore(request).unwrap().safety.is_some());
    }

    fn undo(&self) -> UndoReport {
        let request = UndoRequest { job: "latest".into(), ..UndoRequest::default() };
        let machine = &self.machine;
        let (server, repository) = (&machine.server, machine.repository());
        let report =
            jobs::undo(server, &repository, &user("alice"), &request, &machine.monitor).unwrap();
        assert_eq!(report.kind(), None, "{report:?}");
        report
    }

    /// All that the databases hold, and the rows of both.
    fn state(&self) -> String {
        let mysql = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE \
                     'alice%' OR TABLE_SCHEMA LIKE 'ghostsnap%' ORDER BY 1; \
                     SELECT ROUTINE_NAME, DEFINER FROM information_schema.ROUTINES WHERE \
                     ROUTINE_SCHEMA LIKE 'alice%'; SELECT * FROM alice_m.t; \
                     SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1";
        let pgsql = "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public' \
                     ORDER BY 1; SELECT * FROM t ORDER BY 1; \
                     SELECT datname FROM pg_database ORDER BY 1";
        let rows = self.machine.hestia.user_file(&user("alice"), "db.conf");
        let rows = fs::read_to_string(rows).unwrap();
        self.mysql.mysql(mysql) + "\n" + &self.pgsql.psql("alice_p", pgsql) + "\n" + &rows
    }
}

#[test]
fn databases_and_tables_go_back_to_what_they_were() {
    let Some(bench) = bench() else { return };
    let before = bench.state();
    for (database, table) in [
        ("alice_m", None),
        ("alice_p", None),
        ("alice_m", Some("t")),
        ("alice_p", Some("t")),
        // The backup has it and today's database does not: the restore makes it.
        ("alice_m", Some("gone")),
        ("alice_p", Some("gone")),
    ] {
        bench.restore(database, table);
        assert_ne!(bench.state(), before, "{database} {table:?}");
        bench.undo();
        assert_eq!(bench.state(), before, "{database} {table:?}");
    }
}

#[test]
fn a_restored_table_goes_back_alone() {
    let Some(bench) = bench() else { return };
    for (database, table) in [("alice_m", "t"), ("alice_p", "t")] {
        bench.restore(database, Some(table));
    }
    // Customers come meanwhile.
    bench.mysql.mysql("INSERT INTO alice_m.newer VALUES (9)");
    bench.undo_both();
    assert_eq!(bench.mysql.mysql("SELECT * FROM alice_m.newer"), "9");
    assert_eq!(bench.mysql.mysql("SELECT x FROM alice_m.t WHERE id = 1"), "changed");
    assert_eq!(bench.pgsql.psql("alice_p", "SELECT x FROM t WHERE id = 1"), "changed");
}

impl Bench {
    fn undo_both(&self) {
        let machine = &self.machine;
        let (server, repository) = (&machine.server, machine.repository());
        let alice = user("alice");
        let list = jobs::list_restores(server, &repository, &alice, &machine.monitor).unwrap();
        for job in list {
            let request = UndoRequest { job: job.id.to_string(), ..UndoRequest::default() };
            let done = jobs::undo(server, &repository, &alice, &request, &machine.monitor);
            assert_eq!(done.unwrap().kind(), None);
        }
    }
}

#[test]
fn a_table_with_foreign_keys_goes_back_with_all_of_them() {
    let Some(bench) = bench() else { return };
    let keys = "INSERT INTO t VALUES (1, 'one'); CREATE TABLE c (id INT PRIMARY KEY, t INT, \
                CONSTRAINT to_t FOREIGN KEY (t) REFERENCES t (id)); INSERT INTO c VALUES (1, 1);";
    bench.mysql.mysql(&format!("USE alice_m; DELETE FROM t; {keys}"));
    bench.pgsql.psql("alice_p", &format!("SET ROLE alice_u; DELETE FROM t; {keys}"));
    bench.machine.good_backup("alice");
    // Newer rows that the backup lacks, and others that need them.
    let newer =
        "INSERT INTO t VALUES (2, 'two'), (3, 'three'); INSERT INTO c VALUES (2, 2), (3, 2);";
    bench.mysql.mysql(&format!("USE alice_m; {newer}"));
    bench.pgsql.psql("alice_p", &format!("SET ROLE alice_u; {newer}"));
    let before = bench.state();
    let mysql_keys = "SHOW CREATE TABLE alice_m.c; SELECT * FROM alice_m.c";
    let pgsql_keys = "SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint \
                      WHERE contype = 'f'; SELECT * FROM c ORDER BY id";
    let all_keys = || bench.mysql.mysql(mysql_keys) + &bench.pgsql.psql("alice_p", pgsql_keys);
    let keys_before = all_keys();
    for (database, told) in [("alice_m", "c"), ("alice_p", "public.c")] {
        let request = DatabaseRequest {
            database: database.into(),
            table: Some("t".into()),
            ..DatabaseRequest::default()
        };
        let error = bench.try_restore(request.clone()).unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden, "{error:?}");
        let words = format!("2 rows of {told} without their row of ");
        assert!(error.one_line().replace("ROW", "row").contains(&words), "{error}");
        assert_eq!((bench.state(), all_keys()), (before.clone(), keys_before.clone()));

        let request = DatabaseRequest { orphans: Orphans::Leave, ..request };
        let report = bench.try_restore(request).unwrap();
        assert!(report.warnings[0].contains("to_t"), "{:?}", report.warnings);
        assert_ne!(bench.state(), before);
        bench.undo();
        assert_eq!((bench.state(), all_keys()), (before.clone(), keys_before.clone()));
    }

    // A table that was dropped although others need it: the restore makes it, the undo removes it.
    bench
        .mysql
        .mysql("USE alice_m; SET foreign_key_checks = 0; DROP VIEW v; DROP TABLE t; DELETE FROM c WHERE id > 1");
    let gone = bench.mysql.mysql(mysql_keys);
    bench.restore("alice_m", Some("t"));
    assert_eq!(bench.mysql.mysql("SELECT x FROM alice_m.t"), "one");
    bench.undo();
    assert_eq!(bench.mysql.mysql(mysql_keys), gone);
    assert_eq!(bench.mysql.mysql("SHOW TABLES FROM alice_m LIKE 't'"), "");
}

#[test]
fn a_database_that_a_restore_made_goes_again() {
    let Some(bench) = bench() else { return };
    let before = bench.state();
    let request = DatabaseRequest {
        database: "alice_m".into(),
        new_name: Some("copy".into()),
        ..DatabaseRequest::default()
    };
    assert!(bench.try_restore(request).unwrap().created);
    assert!(bench.state().contains("alice_copy"));
    let undone = bench.undo();
    assert!(undone.objects[0].removed, "{undone:?}");
    assert_eq!(bench.state(), before);
}

#[test]
fn a_database_that_cannot_be_dumped_is_not_overwritten_and_one_that_is_lost_comes_back() {
    let Some(bench) = bench() else { return };
    bench
        .mysql
        .mysql("USE alice_m; CREATE VIEW broken AS SELECT * FROM t; DROP VIEW v; DROP TABLE t");
    let request = DatabaseRequest { database: "alice_m".into(), ..DatabaseRequest::default() };
    let error = bench.try_restore(request.clone()).unwrap_err();
    assert_eq!(error.kind(), Kind::Partial);
    assert!(error.one_line().contains("could not be saved before"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("--no-safety"), "{error:?}");
    assert!(bench.mysql.mysql("SHOW TABLES IN alice_m").contains("broken"));
    let forced = DatabaseRequest { no_safety: true, ..request.clone() };
    assert!(bench.try_restore(forced).unwrap().safety.is_none());
    assert_eq!(bench.mysql.mysql("SELECT x FROM alice_m.t"), "one");
    // Dropped by its owner: there is nothing that could be lost.
    bench.mysql.mysql("DROP DATABASE alice_m");
    bench.try_restore(request).unwrap();
    assert_eq!(bench.mysql.mysql("SELECT x FROM alice_m.t"), "one");
}

impl Bench {
    fn jobs(&self) -> Vec<jobs::RestoreJob> {
        let machine = &self.machine;
        let (server, repository) = (&machine.server, machine.repository());
        jobs::list_restores(server, &repository, &user("alice"), &machine.monitor).unwrap()
    }
}

#[test]
fn a_restore_that_changed_nothing_leaves_nothing_that_an_undo_could_take_away() {
    let Some(bench) = bench() else { return };
    let before = bench.state();
    // A table that no backup has, in databases that are there.
    for (database, table) in [("alice_m", "newer"), ("alice_p", "newer"), ("alice_m", "v")] {
        let (database, table) = (database.to_owned(), Some(table.to_owned()));
        let request = DatabaseRequest { database, table, ..DatabaseRequest::default() };
        let error = bench.try_restore(request).unwrap_err();
        assert!(error.one_line().contains("the dump has no such table"), "{error}");
        assert_eq!(bench.jobs().len(), 0);
        assert_eq!(bench.state(), before);
    }
    // One of a database that is gone: what comes back later is no work of that restore.
    bench.mysql.mysql("DROP DATABASE alice_m");
    let table = Some("t".to_owned());
    let request = DatabaseRequest { database: "alice_m".into(), table, ..Default::default() };
    let error = bench.try_restore(request.clone()).unwrap_err();
    assert!(error.one_line().contains("there is no such database"), "{error}");
    assert_eq!(bench.jobs().len(), 0);
    bench.try_restore(DatabaseRequest { table: None, ..request.clone() }).unwrap();
    // What came whole but may not take the old one's place.
    bench.mysql.mysql(
        "USE alice_m; DELETE FROM t; INSERT INTO t VALUES (2, 'two'); \
         CREATE TABLE c (t INT, FOREIGN KEY (t) REFERENCES t (id)); INSERT INTO c VALUES (2)",
    );
    let error = bench.try_restore(request).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden, "{error}");
    let jobs = bench.jobs();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].before.table, "");
    assert_eq!(bench.mysql.mysql("SELECT x FROM alice_m.t"), "two");
}

#[test]
fn an_undo_removes_no_table_that_was_there_and_can_be_tried_again() {
    let Some(bench) = bench() else { return };
    bench.restore("alice_m", Some("gone"));
    bench.restore("alice_m", Some("t"));
    let made: Vec<bool> = bench.jobs().iter().map(|job| job.before.table_created).collect();
    assert_eq!(made, [true, false]);
    // Without its database nothing can be put back, and the undo is not used up by that.
    bench.mysql.mysql("RENAME TABLE alice_m.t TO mysql.t; DROP DATABASE alice_m");
    let request = UndoRequest { job: "latest".into(), ..UndoRequest::default() };
    let undo = || {
        let machine = &bench.machine;
        let (server, repository) = (&machine.server, machine.repository());
        jobs::undo(server, &repository, &user("alice"), &request, &machine.monitor).unwrap()
    };
    let report = undo();
    let problem = report.objects[0].problem.as_deref().unwrap_or_default();
    assert!(problem.contains("there is no such database"), "{report:?}");
    assert!(report.safety.is_none() && bench.jobs().len() == 2);
    bench.mysql.mysql("CREATE DATABASE alice_m; RENAME TABLE mysql.t TO alice_m.t");
    assert_eq!(undo().kind(), None);
    assert_eq!(bench.mysql.mysql("SELECT x FROM alice_m.t WHERE id = 1"), "changed");
}

#[test]
fn a_view_into_a_sibling_that_names_its_own_tables_comes_back() {
    let Some(bench) = bench() else { return };
    bench.mysql.mysql(
        "CREATE DATABASE alice_n; GRANT ALL ON alice_n.* TO alice_u@'%'; \
         CREATE TABLE alice_n.x (id INT); INSERT INTO alice_n.x VALUES (1); USE alice_m; \
         CREATE DEFINER=alice_u@'%' VIEW mixed AS SELECT t.id FROM t JOIN alice_n.x ON x.id = t.id",
    );
    let hash = bench.mysql.mysql("SELECT PASSWORD('alice secret')");
    bench.list("mysql", "alice_n", &hash);
    bench.machine.good_backup("alice");
    let view = "SHOW CREATE VIEW alice_m.mixed; SELECT * FROM alice_m.mixed";
    let before = bench.mysql.mysql(view);
    bench.mysql.mysql("DROP VIEW alice_m.mixed");
    bench.restore("alice_m", None);
    assert_eq!(bench.mysql.mysql(view), before);
}

#[test]
fn a_backup_ends_a_killed_restore_first() {
    let Some(bench) = bench() else { return };
    let host = bench.machine.server.world.host();
    bench.mysql.mysql(&format!(
        "CREATE DATABASE ghostsnapold0123456789ab; CREATE DATABASE ghostsnap0123456789ab; \
         CREATE TABLE ghostsnapold0123456789ab.ghostsnap0123456789ab (id INT AUTO_INCREMENT \
         PRIMARY KEY, part VARCHAR(8), kind VARCHAR(20), name BLOB, settings BLOB, text LONGBLOB); \
         INSERT INTO ghostsnapold0123456789ab.ghostsnap0123456789ab (part, text) VALUES \
         ('for', 'alice on {host}: alice_m')"
    ));
    bench.machine.good_backup("alice");
    assert_eq!(bench.mysql.mysql("SHOW DATABASES LIKE 'ghostsnap%'"), "");
}
