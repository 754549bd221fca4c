// SPDX-License-Identifier: MIT
//! Users with databases on real servers that the tests start themselves, backed up and given back:
//! Hestia is a double, MariaDB and PostgreSQL are not.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;
#[path = "common/servers.rs"]
mod servers;

use double::{Machine, all, only, user};
use ghostsnap::hestia::jobs::{self, DatabaseRequest, RestoreRequest, Server, Through};
use servers::{DbServer, PASSWORD};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

struct Bench {
    machine: Machine,
    mysql: DbServer,
    pgsql: DbServer,
}

/// A machine with alice, whose databases lie on real servers.
fn bench() -> Option<Bench> {
    let (mysql, pgsql) = (DbServer::mariadb()?, DbServer::postgres()?);
    let mut machine = Machine::empty("zstd");
    machine.hestia.tools = "/usr/bin".into();
    fs::write(machine.hestia.conf("mysql.conf"), mysql.row("root")).unwrap();
    fs::write(machine.hestia.conf("pgsql.conf"), pgsql.row("postgres")).unwrap();
    let mut settings = machine.server.settings.clone();
    settings.mode = ghostsnap::hestia::BackupMode::Direct;
    let world = Arc::clone(&machine.server.world);
    machine.server = Server::new(machine.hestia.clone(), settings, world);
    let bench = Bench { machine, mysql, pgsql };
    bench.let_hestia_rebuild_databases();
    bench.add_alice();
    Some(bench)
}

impl Bench {
    /// Puts up a command that does to the server what Hestia's does.
    fn let_hestia_rebuild_databases(&self) {
        let text = format!(
            "#!/bin/bash\nsource \"$(dirname \"$0\")/common.sh\"\n\
             row=$(grep \"DB='$2'\" \"$HESTIA/data/users/$1/db.conf\") || fail 3 \"no $2\"\n\
             echo \"rebuild-database $1 $2\" >> \"$BASE/history\"\n\
             user=$(value \"$row\" DBUSER) hash=$(value \"$row\" MD5)\n\
             for host in % localhost; do\n\
             echo \"CREATE USER IF NOT EXISTS '$user'@'$host'; \
             GRANT ALL ON \\`$2\\`.* TO '$user'@'$host'; \
             SET PASSWORD FOR '$user'@'$host' = '$hash';\"\n\
             done | MYSQL_PWD='{PASSWORD}' mariadb --no-defaults -h 127.0.0.1 -u root -P {}\n",
            self.mysql.port
        );
        let path = self.machine.hestia.command("v-rebuild-database");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn add_alice(&self) {
        self.machine.add_user("alice");
        self.machine.add_user("bob");
        let hash = self.mysql.mysql("SELECT PASSWORD('alice secret')");
        for name in ["alice_a", "alice_b"] {
            self.mysql.mysql(&format!(
                "CREATE DATABASE {name} CHARACTER SET utf8mb4; \
                 CREATE USER IF NOT EXISTS alice_u@localhost IDENTIFIED BY PASSWORD '{hash}'; \
                 CREATE USER IF NOT EXISTS alice_u@'%' IDENTIFIED BY PASSWORD '{hash}'; \
                 GRANT ALL ON {name}.* TO alice_u@localhost; GRANT ALL ON {name}.* TO alice_u@'%'"
            ));
            self.list("mysql", name, "alice_u", &hash);
        }
        // Each of the two looks into the other one.
        self.mysql.mysql(
            "CREATE TABLE alice_a.t (id INT PRIMARY KEY, t TEXT); \
             INSERT INTO alice_a.t VALUES (1, 'one'), (2, 'two'); \
             CREATE TABLE alice_b.t (id INT PRIMARY KEY); INSERT INTO alice_b.t VALUES (7); \
             CREATE DEFINER=alice_u@localhost VIEW alice_a.v AS \
             SELECT a.id, a.t FROM alice_a.t a; \
             CREATE DEFINER=alice_u@localhost VIEW alice_b.other AS SELECT id FROM alice_a.t; \
             USE alice_a; CREATE DEFINER=alice_u@localhost TRIGGER n BEFORE INSERT ON t \
             FOR EACH ROW SET NEW.t = UPPER(NEW.t)",
        );
        self.pgsql.psql("postgres", "CREATE ROLE alice_p LOGIN PASSWORD 'alice secret'");
        self.pgsql.psql("postgres", "CREATE DATABASE alice_geo OWNER alice_p");
        // Only the administrator may add the second one.
        self.pgsql.psql("alice_geo", "CREATE EXTENSION cube; CREATE EXTENSION earthdistance");
        self.pgsql.psql(
            "alice_geo",
            "SET ROLE alice_p; CREATE TABLE places (id int PRIMARY KEY, n text); \
             INSERT INTO places VALUES (1, 'Ort'), (2, 'Place')",
        );
        self.list("pgsql", "alice_geo", "alice_p", "");
    }

    fn list(&self, kind: &str, name: &str, account: &str, hash: &str) {
        let row = format!(
            "DB='{name}' DBUSER='{account}' MD5='{hash}' HOST='127.0.0.1' TYPE='{kind}' \
             CHARSET='UTF8MB4' U_DISK='1' SUSPENDED='no' TIME='07:06:17' DATE='2026-11-22'"
        );
        self.machine.add_row("alice", "db.conf", &row);
    }

    /// The server of the machine, whose client of MySQL refuses statements with these words.
    fn with_a_client_that_fails_to(&self, words: &str) -> Server {
        let mut hestia = self.machine.hestia.clone();
        hestia.tools = self.machine.path("failing-tools");
        fs::create_dir(&hestia.tools).unwrap();
        let text = format!(
            "#!/bin/bash\nif [ ! -p /dev/stdin ] && grep -q '{words}' /proc/self/fd/0; then\n\
             echo 'ERROR 1205 (HY000): refused' >&2; exit 1; fi\n\
             exec /usr/bin/mariadb \"$@\"\n"
        );
        let client = hestia.tools.join("mariadb");
        fs::write(&client, text).unwrap();
        fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
        let server = &self.machine.server;
        Server::new(hestia, server.settings.clone(), Arc::clone(&server.world))
    }

    fn unlist(&self, name: &str) {
        let path = self.machine.hestia.user_file(&user("alice"), "db.conf");
        let text = fs::read_to_string(&path).unwrap();
        let rest = text.lines().filter(|row| !row.starts_with(&format!("DB='{name}'")));
        fs::write(&path, rest.map(|row| row.to_owned() + "\n").collect::<String>()).unwrap();
    }

    fn restore(&self, name: &str, request: RestoreRequest) -> Vec<String> {
        let request = RestoreRequest { through: Through::Place, ..request };
        let report = self.machine.restore(name, request).unwrap();
        let problems = report.problems().map(|(one, why)| format!("{}: {why}", one.name));
        let mut problems: Vec<String> = problems.collect();
        problems.extend(report.warnings.iter().cloned());
        assert_eq!(self.temporary(), "");
        problems
    }

    /// What the restore of one of alice's databases would do.
    fn look(&self, database: &str, table: Option<&str>) -> Vec<String> {
        let request = DatabaseRequest {
            snapshot: "latest".into(),
            database: database.into(),
            table: table.map(str::to_owned),
            ..DatabaseRequest::default()
        };
        let (machine, repository) = (&self.machine, self.machine.repository());
        let alice = user("alice");
        let outlook = jobs::preview_database(
            &machine.server,
            &repository,
            &alice,
            &request,
            &machine.monitor,
        );
        let outlook = outlook.unwrap();
        let found = outlook.findings.iter();
        let found = found.map(|one| format!("{}: {} ({})", one.name(), one.why, one.mend));
        let paths = outlook.plans.iter().flat_map(|plan| &plan.paths);
        found.chain(paths.map(|(action, path)| format!("{} {path}", action.word()))).collect()
    }

    /// What the restore of all databases of a user would do.
    fn look_at_user(&self, name: &str, from: Option<&str>) -> Vec<String> {
        let request = RestoreRequest { from: from.map(user), ..all() };
        let (machine, repository) = (&self.machine, self.machine.repository());
        let (server, monitor) = (&machine.server, &machine.monitor);
        let outlook = jobs::preview(server, &repository, &user(name), &request, monitor).unwrap();
        let plans = outlook.plans.iter().filter(|plan| plan.object.section == "DB");
        let mut found = Vec::new();
        for plan in plans {
            for (action, path) in &plan.paths {
                found.push(format!("{}: {} {path}", plan.object.name, action.word()));
            }
        }
        found
    }

    /// Databases and accounts that should be gone.
    fn temporary(&self) -> String {
        let mysql = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE \
                     'ghostsnap%' UNION SELECT User FROM mysql.user WHERE User LIKE 'ghostsnap%'";
        let pgsql = "SELECT datname FROM pg_database WHERE datname LIKE 'ghostsnap%' UNION \
                     SELECT rolname FROM pg_roles WHERE rolname LIKE 'ghostsnap%'";
        self.mysql.mysql(mysql) + &self.pgsql.psql("postgres", pgsql)
    }

    /// What the databases of a name hold, as their accounts see it.
    fn rows(&self, name: &str) -> String {
        let mysql = self.mysql.mysql_as(
            &format!("{name}_u"),
            "alice secret",
            &format!(
                "SELECT * FROM {name}_a.t; SELECT COUNT(*) FROM {name}_a.v; \
                 SELECT * FROM {name}_b.t; SELECT * FROM {name}_b.other ORDER BY id; \
                 SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_NAME = 'other'"
            ),
        );
        let pgsql = self.pgsql.psql_as(
            &format!("{name}_p"),
            "alice secret",
            &format!("{name}_geo"),
            "SELECT * FROM places ORDER BY id; SELECT tableowner FROM pg_tables \
             WHERE tablename = 'places'; SELECT round(earth_distance(ll_to_earth(0, 0), \
             ll_to_earth(0, 1)))",
        );
        format!("{mysql}\n{pgsql}")
    }
}

const ALICES: &str =
    "1\tone\n2\ttwo\n2\n7\n1\n2\nalice_u@localhost\n1|Ort\n2|Place\nalice_p\n111320";

#[test]
fn databases_of_a_user_come_back_on_real_servers_in_place_after_deletion_and_for_another_user() {
    let Some(bench) = bench() else { return };
    let machine = &bench.machine;
    assert_eq!(bench.rows("alice"), ALICES);
    machine.good_backup("alice");

    // In place.
    bench.mysql.mysql("DELETE FROM alice_a.t; DROP VIEW alice_b.other; DROP TABLE alice_b.t");
    bench.mysql.mysql("CREATE TABLE alice_a.later (id INT)");
    bench.pgsql.psql("alice_geo", "DROP TABLE places; CREATE TABLE later (id int)");
    let before = bench.mysql.mysql("SHOW TABLES FROM alice_a");
    assert_eq!(
        bench.look("alice_a", None),
        [
            "overwrite table t, about 0 rows now",
            "overwrite view v",
            "remove table later, about 0 rows"
        ]
    );
    assert_eq!(bench.look("alice_b", None), ["create table t", "create view other"]);
    assert_eq!(bench.look("alice_b", Some("t")), ["create table t"]);
    assert_eq!(
        bench.look("alice_b", Some("nosuch")),
        [
            "DB alice_b: its dump has no table nosuch (--dry-run without the table names those it has)"
        ]
    );
    assert_eq!(
        bench.look("alice_geo", None),
        ["create table public.places", "remove table public.later"]
    );
    assert_eq!(
        bench.look_at_user("alice", None),
        [
            "alice_a: overwrite table t, about 0 rows now",
            "alice_a: overwrite view v",
            "alice_a: remove table later, about 0 rows",
            "alice_b: create table t",
            "alice_b: create view other",
            "alice_geo: create table public.places",
            "alice_geo: remove table public.later",
        ]
    );
    assert_eq!(
        bench.look_at_user("bob", Some("alice"))[..3],
        ["alice_a: create table t", "alice_a: create view v", "alice_b: create table t"]
    );
    assert_eq!(bench.mysql.mysql("SHOW TABLES FROM alice_a"), before);
    assert_eq!(bench.temporary(), "");
    assert_eq!(bench.restore("alice", all()), [""; 0]);
    assert_eq!(bench.rows("alice"), ALICES);
    assert_eq!(bench.mysql.mysql("SHOW TABLES FROM alice_a"), "t\nv");
    assert!(!machine.history().contains("rebuild-database"), "the accounts were there");

    // For another user of the same server.
    let request = RestoreRequest { from: Some(user("alice")), ..all() };
    let request =
        RestoreRequest { sections: only(["no", "no", "no", "", "no", "no"]).sections, ..request };
    let problems = bench.restore("bob", request);
    // The view names the other database by its old name, and that stays somebody else's.
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("alice_b: ") && problems[0].contains("denied"), "{problems:?}");
    assert!(problems[0].contains("--through tarball"), "{problems:?}");
    let bobs = bench.mysql.mysql_as("bob_u", "alice secret", "SELECT * FROM bob_a.v");
    assert_eq!(bobs, "1\tone\n2\ttwo");
    let bobs = bench.pgsql.psql_as("bob_p", "alice secret", "bob_geo", "SELECT n FROM places");
    assert_eq!(bobs, "Ort\nPlace");
    let listed = fs::read_to_string(machine.hestia.user_file(&user("bob"), "db.conf")).unwrap();
    assert!(listed.contains("bob_a") && listed.contains("bob_geo") && !listed.contains("bob_b"));
    assert_eq!(bench.rows("alice"), ALICES);

    // A user that is gone with everything: the first database waits for the one it looks into.
    bench.mysql.mysql(
        "DROP DATABASE alice_a; DROP DATABASE alice_b; DROP USER alice_u@localhost; \
         DROP USER alice_u@'%'",
    );
    bench.pgsql.psql("postgres", "DROP DATABASE alice_geo");
    bench.pgsql.psql("postgres", "DROP OWNED BY alice_p; DROP ROLE alice_p");
    assert_eq!(machine.run("v-delete-user", &["alice"]), 0);
    assert_eq!(bench.restore("alice", all()), [""; 0]);
    assert_eq!(bench.rows("alice"), ALICES);
}

#[test]
fn a_table_that_cannot_come_back_alone_is_known_before() {
    let Some(bench) = bench() else { return };
    bench.pgsql.psql(
        "alice_geo",
        "SET ROLE alice_p; CREATE TABLE m (id int) PARTITION BY RANGE (id); \
         CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (1) TO (9); \
         CREATE TABLE \"My.Own\" (id int)",
    );
    bench.machine.good_backup("alice");
    for table in ["m", "public.m1"] {
        let found = bench.look("alice_geo", Some(table));
        let is_told = |line: &&String| line.contains("it is partitioned, a partition, or one");
        assert_eq!(found.iter().filter(is_told).count(), 1, "{found:?}");
    }
    let row = ["overwrite table public.My.Own"];
    for table in ["My.Own", "\"My.Own\"", "public.My.Own"] {
        assert_eq!(bench.look("alice_geo", Some(table)), row, "{table}");
    }
    bench.pgsql.psql("alice_geo", "DROP TABLE m");
    let found = bench.look("alice_geo", Some("m"));
    assert!(found[0].contains("it is partitioned, a partition, or one"), "{found:?}");
}

/// A view that calls a function needs an account that may call it, before there is one.
#[test]
fn a_view_that_calls_a_function_comes_back_with_a_user_made_anew() {
    let Some(bench) = bench() else { return };
    let machine = &bench.machine;
    let hash = bench.mysql.mysql("SELECT PASSWORD('alice secret')");
    bench.mysql.mysql(&format!(
        "CREATE DATABASE alice_f; CREATE USER alice_f@localhost IDENTIFIED BY PASSWORD '{hash}'; \
         CREATE USER alice_f@'%' IDENTIFIED BY PASSWORD '{hash}'; \
         GRANT ALL ON alice_f.* TO alice_f@localhost; GRANT ALL ON alice_f.* TO alice_f@'%'; \
         USE alice_f; CREATE TABLE t (n INT); INSERT INTO t VALUES (20); \
         CREATE DEFINER=alice_f@localhost FUNCTION twice(n INT) RETURNS INT DETERMINISTIC \
         RETURN 2 * n; \
         CREATE DEFINER=alice_f@localhost VIEW v AS SELECT twice(n) AS n FROM t"
    ));
    bench.list("mysql", "alice_f", "alice_f", &hash);
    machine.good_backup("alice");
    let grants = bench.mysql.mysql("SHOW GRANTS FOR alice_f@localhost");
    let remove = "DROP DATABASE alice_f; DROP USER alice_f@localhost; DROP USER alice_f@'%'";
    bench.mysql.mysql(remove);
    bench.unlist("alice_f");
    let databases = only(["no", "no", "no", "alice_f", "no", "no"]);
    assert_eq!(bench.restore("alice", databases.clone()), [""; 0]);
    let as_owner = |sql: &str| bench.mysql.mysql_as("alice_f", "alice secret", sql);
    assert_eq!(as_owner("SELECT n FROM alice_f.v"), "40");
    assert_eq!(bench.mysql.mysql("SHOW GRANTS FOR alice_f@localhost"), grants);

    // One that cannot take its place leaves nothing of what was made for it.
    bench.mysql.mysql(remove);
    bench.unlist("alice_f");
    let failing = bench.with_a_client_that_fails_to("RENAME TABLE");
    let request = RestoreRequest { through: Through::Place, ..databases };
    let (repository, alice) = (machine.repository(), user("alice"));
    let report = jobs::restore(&failing, &repository, &alice, &request, &machine.monitor);
    let report = report.unwrap();
    let (_, why) = report.problems().next().unwrap();
    assert!(why.contains("put the new tables in the place of the old ones"), "{why}");
    assert_eq!(
        bench.mysql.mysql(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'alice_f' \
             UNION SELECT User FROM mysql.user WHERE User = 'alice_f'"
        ),
        ""
    );
    assert_eq!(bench.temporary(), "");
}
