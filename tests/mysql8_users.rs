// SPDX-License-Identifier: MIT
//! Users whose databases lie on MySQL 8, backed up, looked at, given back and taken back; and users
//! who come from MariaDB to MySQL or go the other way. Hestia is a double, the servers are not.
//! They run where `GHOSTSNAP_TEST_MYSQL8` names the folder of the programs of MySQL 8.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;
#[path = "common/servers.rs"]
mod servers;

use double::{Machine, all, user};
use ghostsnap::hestia::jobs::{
    self, DatabaseRequest, RestoreRequest, Server, Through, UndoRequest,
};
use servers::{DbServer, PASSWORD};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

struct Bench {
    machine: Machine,
    db: DbServer,
}

/// A machine with alice and bob, whose Hestia has this database server.
fn bench(db: DbServer) -> Bench {
    let machine = Machine::empty("zstd");
    machine.add_user("alice");
    machine.add_user("bob");
    let mut bench = Bench { machine, db };
    bench.use_server();
    bench
}

impl Bench {
    /// The same machine with another server, which is empty.
    fn moves_to(mut self, db: DbServer) -> Self {
        self.db = db;
        self.use_server();
        self
    }

    fn use_server(&mut self) {
        let machine = &mut self.machine;
        machine.hestia.tools = self.db.tools.clone();
        fs::write(machine.hestia.conf("mysql.conf"), self.db.row("root")).unwrap();
        let mut settings = machine.server.settings.clone();
        settings.mode = ghostsnap::hestia::BackupMode::Direct;
        let world = Arc::clone(&machine.server.world);
        machine.server = Server::new(machine.hestia.clone(), settings, world);
        let is_mysql = self.db.mysql("SELECT VERSION() NOT LIKE '%MariaDB%'") == "1";
        // Puts up commands that do to the server what Hestia's do, which go on after errors.
        let password = if is_mysql {
            "[ \"${hash:0:2}\" = 0x ] && value=\"UNHEX('${hash:2}')\" || value=\"'$hash'\"\n\
             echo \"UPDATE mysql.user SET authentication_string=$value WHERE User='$user'; \
             FLUSH PRIVILEGES;\""
        } else {
            "echo \"SET PASSWORD FOR '$user'@'%' = '$hash'; \
             SET PASSWORD FOR '$user'@localhost = '$hash';\""
        };
        let make = if is_mysql { "" } else { " IDENTIFIED BY PASSWORD '$hash'" };
        self.command(
            "v-rebuild-database",
            &format!(
                "row=$(grep \"DB='$2'\" \"$HESTIA/data/users/$1/db.conf\") || fail 3 \"no $2\"\n\
                 user=$(value \"$row\" DBUSER) hash=$(value \"$row\" MD5)\n\
                 {{ for host in % localhost; do\n\
                 echo \"CREATE USER IF NOT EXISTS '$user'@'$host'{make}; \
                 GRANT ALL ON \\`$2\\`.* TO '$user'@'$host';\"\ndone\n{password}\n}} | client --force\n\
                 exit 0\n"
            ),
        );
        self.command(
            "v-delete-database",
            "delete_row \"$1\" db.conf DB \"$2\"\necho \"DROP DATABASE \\`$2\\`\" | client\n",
        );
    }

    fn command(&self, name: &str, script: &str) {
        let client = self.db.tools.join("mysql");
        let text = format!(
            "#!/bin/bash\nsource \"$(dirname \"$0\")/common.sh\"\n\
             client() {{ MYSQL_PWD='{PASSWORD}' {} --no-defaults -h 127.0.0.1 -u root -P {} \"$@\" \
             2> /dev/null; }}\n{script}",
            client.display(),
            self.db.port
        );
        let path = self.machine.hestia.command(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Alice's two databases, which look into each other. Says the hash that Hestia notes.
    fn add_databases(&self) -> String {
        self.db.mysql(
            "CREATE USER alice_u@localhost IDENTIFIED BY 'alice secret'; \
             CREATE USER alice_u@'%' IDENTIFIED BY 'alice secret'",
        );
        let hash = self.db.mysql(
            "SELECT IF(plugin = 'caching_sha2_password', CONCAT('0x', HEX(authentication_string)), \
             authentication_string) FROM mysql.user WHERE User = 'alice_u' AND Host = '%'",
        );
        for name in ["alice_a", "alice_b"] {
            self.db.mysql(&format!(
                "CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci; \
                 GRANT ALL ON {name}.* TO alice_u@localhost; GRANT ALL ON {name}.* TO alice_u@'%'"
            ));
            let row = format!(
                "DB='{name}' DBUSER='alice_u' MD5='{hash}' HOST='127.0.0.1' TYPE='mysql' \
                 CHARSET='UTF8MB4' U_DISK='1' SUSPENDED='no' TIME='07:06:17' DATE='2026-11-22'"
            );
            self.machine.add_row("alice", "db.conf", &row);
        }
        self.db.mysql(
            "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_520_ci; CREATE TABLE alice_a.t (id INT PRIMARY KEY, t TEXT); \
             INSERT INTO alice_a.t VALUES (1, 'one'), (2, 'two'); \
             CREATE TABLE alice_b.t (id INT PRIMARY KEY); INSERT INTO alice_b.t VALUES (7); \
             CREATE DEFINER=alice_u@localhost VIEW alice_a.v AS SELECT a.id, a.t FROM alice_a.t a; \
             CREATE DEFINER=alice_u@localhost VIEW alice_b.other AS SELECT id FROM alice_a.t",
        );
        hash
    }

    /// Takes the user away with all databases.
    fn lose_alice(&self) {
        self.db.mysql(
            "DROP DATABASE IF EXISTS alice_a; DROP DATABASE IF EXISTS alice_b; \
             DROP USER IF EXISTS alice_u@localhost; DROP USER IF EXISTS alice_u@'%'",
        );
        assert_eq!(self.machine.run("v-delete-user", &["alice"]), 0);
    }

    /// What went wrong, if anything did.
    fn restore(&self, name: &str, request: RestoreRequest) -> Vec<String> {
        let request = RestoreRequest { through: Through::Place, ..request };
        let report = self.machine.restore(name, request).unwrap();
        let problems = report.problems().map(|(one, why)| format!("{}: {why}", one.name));
        let mut problems: Vec<String> = problems.collect();
        problems.extend(report.warnings.iter().cloned());
        let temporary = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME \
                         LIKE 'ghostsnap%' UNION SELECT User FROM mysql.user WHERE User LIKE \
                         'ghostsnap%'";
        assert_eq!(self.db.mysql(temporary), "");
        problems
    }

    /// What the restore of a database would do.
    fn look(&self, database: &str) -> Vec<String> {
        let (machine, repository) = (&self.machine, self.machine.repository());
        let request = DatabaseRequest {
            snapshot: "latest".into(),
            database: database.into(),
            ..DatabaseRequest::default()
        };
        let (server, monitor) = (&machine.server, &machine.monitor);
        let outlook =
            jobs::preview_database(server, &repository, &user("alice"), &request, monitor).unwrap();
        let found = outlook.findings.iter().map(|one| format!("{}: {}", one.name(), one.why));
        let paths = outlook.plans.iter().flat_map(|plan| &plan.paths);
        found.chain(paths.map(|(action, path)| format!("{} {path}", action.word()))).collect()
    }

    /// What the databases hold, as their account sees it from this host.
    fn rows(&self) -> String {
        self.db.mysql_as(
            "alice_u",
            "alice secret",
            "SELECT * FROM alice_a.t; SELECT COUNT(*) FROM alice_a.v; SELECT * FROM alice_b.t; \
             SELECT * FROM alice_b.other ORDER BY id; \
             SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_NAME = 'other'",
        )
    }

    fn db_conf(&self) -> String {
        fs::read_to_string(self.machine.hestia.user_file(&user("alice"), "db.conf")).unwrap()
    }
}

const ALICES: &str = "1\tone\n2\ttwo\n2\n7\n1\n2\nalice_u@localhost";

#[test]
fn databases_on_mysql_come_back_in_place_after_deletion_and_go_back_again() {
    let Some(db) = DbServer::mysql8() else { return };
    let bench = bench(db);
    let hash = bench.add_databases();
    assert_eq!(bench.rows(), ALICES);
    bench.machine.good_backup("alice");

    // In place, with a look before and the undo after.
    bench.db.mysql(
        "DELETE FROM alice_a.t; DROP VIEW alice_b.other; DROP TABLE alice_b.t; \
         CREATE TABLE alice_a.later (id INT); INSERT INTO alice_a.later VALUES (1), (2), (3); \
         ANALYZE TABLE alice_a.later",
    );
    let remove = "remove table later, about 3 rows";
    let looked = ["overwrite table t, about 0 rows now", "overwrite view v", remove];
    assert_eq!(bench.look("alice_a"), looked);
    // MySQL would keep what it said for a day.
    bench.db.mysql("INSERT INTO alice_a.later VALUES (4), (5); ANALYZE TABLE alice_a.later");
    assert_eq!(bench.look("alice_a")[2], remove.replace('3', "5"));
    assert_eq!(bench.look("alice_b"), ["create table t", "create view other"]);
    assert_eq!(bench.restore("alice", all()), [""; 0]);
    assert_eq!(bench.rows(), ALICES);
    let (machine, alice) = (&bench.machine, user("alice"));
    let request = UndoRequest { job: "latest".into(), ..UndoRequest::default() };
    let (server, repository) = (&machine.server, machine.repository());
    let undone = jobs::undo(server, &repository, &alice, &request, &machine.monitor).unwrap();
    assert_eq!(undone.kind(), None, "{undone:?}");
    assert_eq!(bench.db.mysql("SHOW TABLES FROM alice_a; SHOW TABLES FROM alice_b"), "later\nt\nv");
    assert_eq!(bench.db.mysql("SELECT COUNT(*) FROM alice_a.later"), "5");

    // A user that is gone with everything has the password of old.
    bench.lose_alice();
    assert_eq!(bench.restore("alice", all()), [""; 0]);
    assert_eq!(bench.rows(), ALICES);
    assert_eq!(bench.db_conf().matches(&hash).count(), 2);

    // For another user of the same server.
    let request = RestoreRequest { from: Some(user("alice")), ..all() };
    let problems = bench.restore("bob", request);
    // The view names the other database by its old name, and that stays somebody else's.
    assert!(problems[0].starts_with("alice_b: ") && problems[0].contains("denied"), "{problems:?}");
    let bobs = bench.db.mysql_as("bob_u", "alice secret", "SELECT * FROM bob_a.v");
    assert_eq!(bobs, "1\tone\n2\ttwo");
    assert_eq!(bench.rows(), ALICES);
}

#[test]
fn a_user_comes_from_mariadb_to_mysql_with_the_password() {
    let (Some(old), Some(new)) = (DbServer::mariadb(), DbServer::mysql8()) else { return };
    let bench = bench(old);
    let hash = bench.add_databases();
    assert!(hash.starts_with('*'));
    bench.machine.good_backup("alice");
    bench.lose_alice();
    let bench = bench.moves_to(new);
    assert_eq!(bench.restore("alice", all()), [""; 0]);
    assert_eq!(bench.rows(), ALICES);
    // Hestia makes the accounts anew now and then.
    for name in ["alice_a", "alice_b"] {
        assert_eq!(bench.machine.run("v-rebuild-database", &["alice", name]), 0);
    }
    assert_eq!(bench.rows(), ALICES);
    // It changes a password so.
    bench.db.mysql(
        "SET PASSWORD FOR alice_u@'%' = 'new one'; SET PASSWORD FOR alice_u@localhost = 'new one'",
    );
    assert_eq!(bench.db.mysql_as("alice_u", "new one", "SELECT COUNT(*) FROM alice_a.t"), "2");
}

#[test]
fn a_user_goes_from_mysql_to_mariadb_and_is_told_that_the_password_does_not() {
    let (Some(old), Some(new)) = (DbServer::mysql8(), DbServer::mariadb()) else { return };
    let bench = bench(old);
    let hash = bench.add_databases();
    bench.machine.good_backup("alice");
    bench.lose_alice();
    let bench = bench.moves_to(new);
    let problems = bench.restore("alice", all());
    assert!(
        problems[0].contains("cannot give the account alice_u its password back"),
        "{problems:?}"
    );
    assert!(problems[0].contains("its hash is one of MySQL 8"), "{problems:?}");
    assert!(problems[0].contains("v-change-database-password alice alice_a"), "{problems:?}");
    assert!(!bench.db_conf().contains(&hash), "Hestia would not make the account with it");
    assert_eq!(bench.db.mysql("SELECT COUNT(*) FROM mysql.user WHERE User = 'alice_u'"), "2");
    // Hestia changes a password so.
    bench.db.mysql(
        "GRANT ALL ON alice_a.* TO alice_u@'%' IDENTIFIED BY 'alice secret'; \
         GRANT ALL ON alice_a.* TO alice_u@localhost IDENTIFIED BY 'alice secret'",
    );
    assert_eq!(bench.rows(), ALICES);
}
