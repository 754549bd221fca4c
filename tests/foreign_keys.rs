// SPDX-License-Identifier: MIT
//! Single tables with foreign keys against real servers that the tests start themselves: the rows
//! come back, every key around the table holds as before, and rows that would point at nothing are
//! told before anything changes.
#![allow(missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common {
    pub mod servers;
}

use common::servers::DbServer;
use ghostsnap::base::monitor::{Collect, Stop};
use ghostsnap::base::{Kind, World};
use ghostsnap::hestia::conf::Row;
use ghostsnap::hestia::database::{DatabaseRow, DatabaseServer, RunOptions};
use ghostsnap::hestia::import::{self, Import, Orphans, Purpose};
use ghostsnap::hestia::inventory::DbKind;
use ghostsnap::hestia::{Hestia, dump, import_leftovers};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

struct Bench {
    db: DbServer,
    folder: tempfile::TempDir,
    hestia: Hestia,
    kind: DbKind,
}

/// A shop: customers lie in regions, have a customer above them, and orders; a table with a key of
/// two columns and odd names points to them too. The server is stricter than the days of old.
const SHOP_MYSQL: &str = "
SET GLOBAL sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE';
SET sql_mode = '';
CREATE USER u_shop@localhost; CREATE DATABASE shop; GRANT ALL ON shop.* TO u_shop@localhost;
USE shop;
CREATE TABLE regions (id INT PRIMARY KEY);
CREATE TABLE customers (id INT PRIMARY KEY, region INT, boss INT, name VARCHAR(20),
 UNIQUE KEY pair (id, region),
 CONSTRAINT in_region FOREIGN KEY (region) REFERENCES regions (id) ON UPDATE CASCADE,
 CONSTRAINT under FOREIGN KEY (boss) REFERENCES customers (id));
CREATE TABLE orders (id INT PRIMARY KEY, customer INT NOT NULL,
 day DATE NOT NULL DEFAULT '0000-00-00' INVISIBLE,
 CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE);
CREATE TABLE `odd ``one` (id INT PRIMARY KEY, `a b` INT, region INT,
 CONSTRAINT `k; --` FOREIGN KEY (`a b`, region) REFERENCES customers (id, region)
 ON DELETE SET NULL ON UPDATE NO ACTION);
CREATE TABLE log (what INT);
INSERT INTO regions VALUES (1), (2);
INSERT INTO customers VALUES (1, 1, NULL, 'one'), (2, 2, 1, 'two'), (3, NULL, 1, 'three');
INSERT INTO orders VALUES (1, 1), (2, 2);
INSERT INTO `odd ``one` VALUES (1, 2, 2), (2, NULL, 7);
CREATE DEFINER=u_shop@localhost TRIGGER logs AFTER INSERT ON customers FOR EACH ROW
 INSERT INTO log VALUES (NEW.id);
";

const SHOP_PGSQL: &str = "
CREATE TABLE regions (id int PRIMARY KEY);
CREATE TABLE customers (id int PRIMARY KEY, region int, boss int, name text, UNIQUE (id, region),
 CONSTRAINT in_region FOREIGN KEY (region) REFERENCES regions (id) ON UPDATE CASCADE,
 CONSTRAINT under FOREIGN KEY (boss) REFERENCES customers (id));
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL,
 CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE
 DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE \"odd \"\"one\" (id int PRIMARY KEY, \"a b\" int, region int,
 CONSTRAINT \"k; --\" FOREIGN KEY (\"a b\", region) REFERENCES customers (id, region)
 ON DELETE SET NULL);
INSERT INTO regions VALUES (1), (2);
INSERT INTO customers VALUES (1, 1, NULL, 'one'), (2, 2, 1, 'two'), (3, NULL, 1, 'three');
INSERT INTO orders VALUES (1, 1), (2, 2);
INSERT INTO \"odd \"\"one\" VALUES (1, 2, 2), (2, NULL, 7);
ALTER TABLE orders ADD CONSTRAINT never_looked_at FOREIGN KEY (customer) REFERENCES customers (id)
 ON DELETE CASCADE NOT VALID;
";

fn bench(kind: DbKind) -> Option<Bench> {
    let db = match kind {
        DbKind::Mysql => DbServer::mariadb()?,
        DbKind::Pgsql => DbServer::postgres()?,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut hestia = Hestia::below(folder.path());
    hestia.tools = "/usr/bin".into();
    fs::create_dir_all(hestia.conf("")).unwrap();
    match kind {
        DbKind::Mysql => {
            fs::write(hestia.conf("mysql.conf"), db.row("root")).unwrap();
            db.mysql(SHOP_MYSQL);
        }
        DbKind::Pgsql => {
            fs::write(hestia.conf("pgsql.conf"), db.row("postgres")).unwrap();
            db.psql("postgres", "CREATE ROLE u_shop LOGIN PASSWORD 'x'");
            db.psql("postgres", "CREATE DATABASE shop OWNER u_shop");
            db.psql("shop", &format!("SET ROLE u_shop; {SHOP_PGSQL}"));
        }
    }
    Some(Bench { db, folder, hestia, kind })
}

impl Bench {
    fn row(&self) -> DatabaseRow {
        let row = format!(
            "DB='shop' DBUSER='u_shop' MD5='' HOST='127.0.0.1' TYPE='{}' CHARSET='UTF8MB4' \
             U_DISK='1' SUSPENDED='no'",
            self.kind.word()
        );
        DatabaseRow::parse(&Row::parse(row.as_bytes()).unwrap()).unwrap()
    }

    /// Its dump, without what is different every time.
    fn dump(&self) -> String {
        let mut text = String::new();
        let options = RunOptions::default();
        let mut output = dump::open(&self.hestia, &self.row(), &options).unwrap();
        output.read_to_string(&mut text).unwrap();
        let is_same = |line: &&str| !line.contains("restrict ");
        text.lines().filter(is_same).map(|line| format!("{line}\n")).collect()
    }

    /// The same in any order: PostgreSQL's dumps have the tables in the order they were made in.
    fn state(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.dump().lines().map(str::to_owned).collect();
        if self.kind == DbKind::Pgsql {
            lines.sort();
        }
        lines
    }

    fn run(&self, sql: &str) -> String {
        match self.kind {
            DbKind::Mysql => self.db.mysql(&format!("USE shop; SET sql_mode = ''; {sql}")),
            DbKind::Pgsql => self.db.psql("shop", sql),
        }
    }

    /// Whether the server takes this from a customer.
    fn takes(&self, sql: &str) -> bool {
        match self.kind {
            DbKind::Mysql => {
                self.db.mysql(
                    "CREATE USER IF NOT EXISTS root2@'%' IDENTIFIED BY 'x'; \
                     GRANT ALL ON *.* TO root2@'%'",
                );
                let text = format!("USE shop; START TRANSACTION; {sql}; ROLLBACK");
                std::panic::catch_unwind(|| self.db.mysql_as("root2", "x", &text)).is_ok()
            }
            DbKind::Pgsql => {
                let text = format!("BEGIN; {sql}; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK");
                std::panic::catch_unwind(|| self.db.psql("shop", &text)).is_ok()
            }
        }
    }

    /// Restores a table; the warnings, or the error as one line.
    fn import(&self, table: &str, dump: &str, orphans: Orphans) -> Result<Vec<String>, String> {
        let target = self.row();
        let server = DatabaseServer::find(&self.hestia, self.kind, "127.0.0.1").unwrap();
        let import = Import {
            target: &target,
            exists: true,
            table: Some(table),
            siblings: &[],
            whose: "test",
            options: RunOptions { stop: Stop::NEVER, ..RunOptions::default() },
            purpose: Purpose::Restore,
            orphans,
        };
        let monitor = Collect::default();
        let done = import::run(&server, &import, &mut dump.as_bytes(), &World::system(), &monitor);
        assert_eq!(self.temporary(), "");
        done.map(|_| monitor.warnings()).map_err(|error| {
            assert!(matches!(error.kind(), Kind::Forbidden | Kind::Db), "{error:?}");
            error.to_string()
        })
    }

    /// Databases and accounts that should be gone.
    fn temporary(&self) -> String {
        match self.kind {
            DbKind::Mysql => self.db.mysql(
                "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE \
                 'ghostsnap%' UNION SELECT User FROM mysql.user WHERE User LIKE 'ghostsnap%'",
            ),
            DbKind::Pgsql => self.db.psql(
                "postgres",
                "SELECT datname FROM pg_database WHERE datname LIKE 'ghostsnap%' UNION \
                 SELECT rolname FROM pg_roles WHERE rolname LIKE 'ghostsnap%'",
            ),
        }
    }
}

/// What differs between the engines: a word of the client's that makes foreign keys wait.
fn unchecked(kind: DbKind, sql: &str) -> String {
    match kind {
        DbKind::Mysql => format!("SET foreign_key_checks = 0; {sql}"),
        DbKind::Pgsql => format!("SET session_replication_role = replica; {sql}"),
    }
}

/// Compares two states, and shows what differs alone.
#[track_caller]
fn assert_same(is: &[String], was: &[String], when: &str) {
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|line| !b.contains(line)).cloned().collect()
    };
    let (now, then) = (only(is, was), only(was, is));
    assert!(is == was, "{when}\nwas {then:#?}\nis {now:#?}");
}

const BOTH: [DbKind; 2] = [DbKind::Mysql, DbKind::Pgsql];

#[test]
fn a_table_with_foreign_keys_comes_back_and_all_of_them_hold() {
    for kind in BOTH {
        let Some(bench) = bench(kind) else { continue };
        let (dump, before) = (bench.dump(), bench.state());
        // Of a table that others point to and that points to others, rows are changed and added.
        bench.run(
            "UPDATE customers SET name = 'x', boss = NULL; DELETE FROM customers WHERE id = 3; \
             INSERT INTO customers VALUES (4, 1, NULL, 'four')",
        );
        assert_ne!(bench.state(), before);
        assert_eq!(bench.import("customers", &dump, Orphans::Refuse), Ok(vec![]), "{kind:?}");
        if kind == DbKind::Mysql {
            bench.run("DELETE FROM log");
        }
        assert_same(&bench.state(), &before, kind.word());
        for bad in [
            "INSERT INTO orders VALUES (9, 99)",
            "INSERT INTO customers VALUES (9, 99, NULL, 'x')",
            "INSERT INTO customers VALUES (9, 1, 99, 'x')",
            "DELETE FROM regions WHERE id = 1",
        ] {
            assert!(!bench.takes(bad), "{kind:?} {bad}");
        }
        assert!(bench.takes("INSERT INTO orders VALUES (9, 3)"));
        bench.run("UPDATE customers SET boss = NULL; DELETE FROM customers WHERE id = 2");
        assert_eq!(bench.run("SELECT COUNT(*) FROM orders"), "1", "{kind:?}");

        // One that only points, and one that is only pointed to.
        bench.run("DELETE FROM orders; INSERT INTO regions VALUES (3)");
        for table in ["customers", "orders", "regions"] {
            assert_eq!(bench.import(table, &dump, Orphans::Refuse), Ok(vec![]), "{kind:?} {table}");
        }
        assert_eq!(bench.run("SELECT COUNT(*) FROM regions"), "2");
        assert_eq!(bench.run("SELECT COUNT(*) FROM orders"), "2");
        assert!(!bench.takes("INSERT INTO orders VALUES (9, 99)"));
    }
}

#[test]
fn rows_that_would_point_at_nothing_are_told_before_anything_changes() {
    for kind in BOTH {
        let Some(bench) = bench(kind) else { continue };
        let dump = bench.dump();
        let odd = if kind == DbKind::Mysql { "`odd ``one`" } else { "\"odd \"\"one\"" };
        bench.run(&format!(
            "INSERT INTO customers VALUES (4, 1, NULL, 'four'); \
             INSERT INTO orders VALUES (3, 4), (4, 4); INSERT INTO {odd} VALUES (3, 4, 1); \
             DELETE FROM {odd} WHERE id = 1; UPDATE customers SET region = 1; \
             DELETE FROM regions WHERE id = 2"
        ));
        let before = bench.state();
        let error = bench.import("customers", &dump, Orphans::Refuse).unwrap_err();
        for words in [
            "1 row of customers without their row of regions (in_region)",
            "2 rows of orders without their row of customers (of_customer)",
            "(k; --)",
            "nothing was changed",
            "--leave-orphans",
        ] {
            let error = error.replace("public.", "");
            assert!(error.contains(words), "{kind:?} {words}: {error}");
        }
        assert!(!error.contains("never_looked_at") && !error.contains("under"), "{error}");
        assert_same(&bench.state(), &before, kind.word());

        // Told otherwise, it says what it left, and the keys hold for what comes.
        let warnings = bench.import("customers", &dump, Orphans::Leave).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for words in ["in_region", "of_customer", "k; --"] {
            assert!(warnings[0].contains(words), "{kind:?} {words}: {warnings:?}");
        }
        assert_eq!(bench.run("SELECT name FROM customers WHERE id = 2"), "two");
        assert_eq!(bench.run("SELECT COUNT(*) FROM orders"), "4");
        assert!(!bench.takes("INSERT INTO orders VALUES (9, 99)"), "{kind:?}");
        assert!(!bench.takes("INSERT INTO customers VALUES (9, 2, NULL, 'x')"), "{kind:?}");
        // The table that was missing rows comes back, and then all is whole again.
        assert_eq!(bench.import("regions", &dump, Orphans::Refuse), Ok(vec![]), "{kind:?}");
        bench
            .run(&format!("DELETE FROM orders WHERE customer = 4; DELETE FROM {odd} WHERE id = 3"));
        assert_eq!(bench.import("orders", &dump, Orphans::Refuse), Ok(vec![]), "{kind:?}");
    }
}

#[test]
fn a_table_that_was_dropped_comes_back_to_those_that_point_to_it() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    let (dump, before) = (bench.dump(), bench.state());
    bench.run(&unchecked(DbKind::Mysql, "DROP TABLE customers"));
    assert_eq!(bench.import("customers", &dump, Orphans::Refuse), Ok(vec![]));
    bench.run("DELETE FROM log");
    assert_same(&bench.state(), &before, "");
    // Both are gone: one of them has to come first.
    bench.run(&unchecked(DbKind::Mysql, "DROP TABLE customers; DROP TABLE regions"));
    let gone = bench.state();
    let error = bench.import("customers", &dump, Orphans::Refuse).unwrap_err();
    assert!(error.contains("leads to regions, which is not there"), "{error}");
    assert!(error.contains("restore regions first"), "{error}");
    assert_same(&bench.state(), &gone, "");
    let warnings = bench.import("customers", &dump, Orphans::Leave).unwrap();
    assert!(
        warnings[0].contains("2 rows of customers without their row of regions"),
        "{warnings:?}"
    );
    assert_eq!(bench.import("regions", &dump, Orphans::Refuse), Ok(vec![]));
    bench.run("DELETE FROM log");
    assert_same(&bench.state(), &before, "");
}

#[test]
fn a_key_that_does_not_fit_any_more_stops_the_restore_before_anything_changes() {
    for kind in BOTH {
        let Some(bench) = bench(kind) else { continue };
        let dump = bench.dump();
        let sql = match kind {
            DbKind::Mysql => {
                "ALTER TABLE customers ADD COLUMN code INT, ADD UNIQUE KEY (code); \
                 ALTER TABLE orders ADD COLUMN code INT; \
                 ALTER TABLE orders ADD CONSTRAINT by_code FOREIGN KEY (code) \
                 REFERENCES customers (code)"
            }
            DbKind::Pgsql => {
                "ALTER TABLE customers ADD COLUMN code int UNIQUE; \
                 ALTER TABLE orders ADD COLUMN code int; \
                 ALTER TABLE orders ADD CONSTRAINT by_code FOREIGN KEY (code) \
                 REFERENCES customers (code)"
            }
        };
        bench.run(sql);
        let before = bench.state();
        for orphans in [Orphans::Refuse, Orphans::Leave] {
            let error = bench.import("customers", &dump, orphans).unwrap_err();
            assert!(error.contains("code"), "{kind:?}: {error}");
            assert_same(&bench.state(), &before, kind.word());
        }
    }
}

#[test]
fn what_fails_after_the_change_of_places_leaves_all_keys_as_they_were() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    let dump = bench.dump();
    // Another database's key would go on pointing to the old table.
    bench.db.mysql(
        "CREATE DATABASE `other-db`; CREATE TABLE `other-db`.t (c INT, FOREIGN KEY (c) REFERENCES \
         shop.customers (id))",
    );
    let before = bench.state();
    let error = bench.import("customers", &dump, Orphans::Leave).unwrap_err();
    assert!(error.contains("a table of another database has a foreign key to it"), "{error}");
    assert!(error.contains("it is in other-db"), "{error}");
    assert_same(&bench.state(), &before, "");
    bench.db.mysql("DROP DATABASE `other-db`");
    // The name of a trigger is taken, which is seen when all else is done.
    bench.run(
        "DROP TRIGGER logs; CREATE TRIGGER logs BEFORE DELETE ON log FOR EACH ROW SET @a = 1; \
         UPDATE customers SET name = 'newer'",
    );
    let before = bench.state();
    let error = bench.import("customers", &dump, Orphans::Refuse).unwrap_err();
    assert!(error.contains("already exists"), "{error}");
    assert_same(&bench.state(), &before, "");
    assert!(!bench.takes("INSERT INTO orders VALUES (9, 99)"));
}

/// Puts a script in front of the client of MariaDB: it gets every statement of ours in a file.
fn in_front_of_the_client(bench: &mut Bench, script: &str) {
    let tools = bench.folder.path().join("tools");
    fs::create_dir_all(&tools).unwrap();
    let text =
        format!("#!/bin/bash\nhere=$(dirname \"$0\")\n{script}\nexec /usr/bin/mariadb \"$@\"\n");
    fs::write(tools.join("mariadb"), text).unwrap();
    fs::set_permissions(tools.join("mariadb"), fs::Permissions::from_mode(0o755)).unwrap();
    let dump = tools.join("mariadb-dump");
    if !dump.exists() {
        std::os::unix::fs::symlink("/usr/bin/mariadb-dump", dump).unwrap();
    }
    bench.hestia.tools = tools;
}

#[test]
fn rows_that_customers_write_meanwhile_are_not_left_pointing_at_nothing() {
    let Some(mut bench) = bench(DbKind::Mysql) else { return };
    let dump = bench.dump();
    bench.run("INSERT INTO customers VALUES (4, 1, NULL, 'four')");
    let before = bench.state();
    // An order of the newest customer comes in when its table is about to change places.
    in_front_of_the_client(
        &mut bench,
        "if [ ! -p /dev/stdin ] && grep -q 'DROP FOREIGN KEY `of_customer`' /proc/self/fd/0 && \
         [ ! -e \"$here/done\" ]; then touch \"$here/done\"; \
         echo 'INSERT INTO shop.orders VALUES (7, 4)' | /usr/bin/mariadb \"$@\"; fi",
    );
    let error = bench.import("customers", &dump, Orphans::Refuse).unwrap_err();
    assert!(error.contains("1 row of orders without their row of customers"), "{error}");
    assert_eq!(bench.run("SELECT customer FROM orders WHERE id = 7"), "4");
    bench.run("DELETE FROM orders WHERE id = 7");
    assert_same(&bench.state(), &before, "");
}

#[test]
fn a_restore_of_a_table_with_foreign_keys_that_is_killed_anywhere_is_brought_to_an_end() {
    let Some(mut bench) = bench(DbKind::Mysql) else { return };
    let (dump, restored) = (bench.dump(), bench.state());
    in_front_of_the_client(
        &mut bench,
        "read -r calls lines < \"$here/life\"\n\
         if [ \"$calls\" -gt 0 ]; then echo \"$((calls - 1)) $lines\" > \"$here/life\"; else\n\
         echo \"0 0\" > \"$here/life\"\n\
         [ \"$lines\" -gt 0 ] && head -n \"$lines\" | /usr/bin/mariadb \"$@\" > /dev/null 2>&1\n\
         exit 1; fi",
    );
    let life = bench.hestia.tools.join("life");
    let lives_for = |calls: usize, lines: usize| {
        fs::write(&life, format!("{calls} {lines}\n")).unwrap();
    };
    let server = DatabaseServer::find(&bench.hestia, bench.kind, "127.0.0.1").unwrap();
    let row = bench.row();
    let mut seen = [0; 2];
    for (calls, lines) in (0..60).flat_map(|calls| [(calls, 0), (calls, 3)]) {
        bench.run("UPDATE customers SET name = 'x'; DELETE FROM log");
        let before = bench.state();
        lives_for(calls, lines);
        let import = Import {
            target: &row,
            exists: true,
            table: Some("customers"),
            siblings: &[],
            whose: "test",
            options: RunOptions::default(),
            purpose: Purpose::Restore,
            orphans: Orphans::Refuse,
        };
        let (world, monitor) = (World::system(), Collect::default());
        let done = import::run(&server, &import, &mut dump.as_bytes(), &world, &Collect::default());
        lives_for(1_000_000, 0);
        let rows = std::slice::from_ref(&row);
        import_leftovers::finish(&server, "test", rows, &world, &monitor).unwrap();
        assert_eq!(monitor.warnings(), [""; 0], "{calls} {lines}");
        let after = bench.state();
        if after != before {
            assert_same(&after, &restored, &format!("{calls} {lines}: {done:?}"));
        }
        seen[usize::from(after == restored)] += 1;
        // One that died before it could say whose it is has nothing in it.
        for left in bench.temporary().lines() {
            assert!(calls == 0 && lines > 0, "{calls} {lines}: {left}");
            bench.db.mysql(&format!("DROP DATABASE {left}"));
        }
        if done.is_ok() {
            assert!(seen[0] > 10 && seen[1] > 3, "{seen:?}");
            return;
        }
    }
    panic!("a restore has too many steps");
}

impl Bench {
    /// Works while somebody who has said this is in the middle of a transaction.
    fn while_somebody(&self, said: &str, work: impl FnOnce()) {
        let transaction = format!("START TRANSACTION; {said}; SELECT SLEEP(600)");
        self.db.mysql("CREATE USER idler@'%' IDENTIFIED BY 'x'; GRANT ALL ON *.* TO idler@'%'");
        std::thread::scope(|scope| {
            // It ends by being killed, which is a failure.
            let hold = || self.db.mysql_as("idler", "x", &transaction);
            scope.spawn(move || drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(hold))));
            let sleeps =
                "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'";
            let id = loop {
                let id = self.db.mysql(sleeps);
                if !id.is_empty() {
                    break id;
                }
            };
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            self.db.mysql(&format!("KILL {id}"));
            worked.unwrap();
        });
    }

    /// Restores a table, or all of it; what it warned of, and the error as text.
    fn restore(&self, table: Option<&str>, dump: &str) -> (Vec<String>, Option<String>) {
        let target = self.row();
        let server = DatabaseServer::find(&self.hestia, self.kind, "127.0.0.1").unwrap();
        let import = Import {
            target: &target,
            exists: true,
            table,
            siblings: &[],
            whose: "test",
            options: RunOptions::default(),
            purpose: Purpose::Restore,
            orphans: Orphans::Refuse,
        };
        let (world, monitor) = (World::system(), Collect::default());
        let done = import::run(&server, &import, &mut dump.as_bytes(), &world, &monitor);
        (monitor.warnings(), done.err().map(|error| error.to_string()))
    }
}

#[test]
fn tables_whose_names_differ_in_case_or_accents_alone_are_several() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    bench.run(
        "CREATE TABLE Orders (id INT); INSERT INTO Orders VALUES (5); \
         CREATE TABLE `órders` (id INT); INSERT INTO `órders` VALUES (6); \
         CREATE DEFINER=u_shop@localhost TRIGGER small BEFORE DELETE ON orders FOR EACH ROW \
         SET @a = 1; \
         CREATE DEFINER=u_shop@localhost TRIGGER large BEFORE DELETE ON Orders FOR EACH ROW \
         SET @a = 2",
    );
    let (dump, before) = (bench.dump(), bench.state());
    for table in ["Orders", "orders"] {
        bench.run(&format!("DELETE FROM {table}"));
        assert_eq!(bench.import(table, &dump, Orphans::Refuse), Ok(vec![]));
        assert_same(&bench.state(), &before, table);
    }
    bench.run("DROP TABLE Orders, orders");
    assert_eq!(bench.restore(None, &dump), (vec![], None));
    assert_same(&bench.state(), &before, "all of it");
}

#[test]
fn a_key_from_another_database_stops_the_restore_of_the_whole_one() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    bench.db.mysql(
        "CREATE DATABASE `other-db`; CREATE TABLE `other-db`.t (c INT, CONSTRAINT far FOREIGN KEY \
         (c) REFERENCES shop.customers (id))",
    );
    let dump = bench.dump();
    bench.run("DELETE FROM orders");
    let before = bench.state();
    let (_, error) = bench.restore(None, &dump);
    let error = error.unwrap();
    assert!(error.contains("a table of another database has a foreign key to it"), "{error}");
    assert!(error.contains("it is in other-db: the key far of t leads to customers"), "{error}");
    assert_same(&bench.state(), &before, "");
    assert_eq!(bench.temporary(), "");
    bench.db.mysql("ALTER TABLE `other-db`.t DROP FOREIGN KEY far");
    assert_eq!(bench.restore(None, &dump), (vec![], None));
}

#[test]
fn nothing_is_taken_off_before_those_who_use_the_tables_are_gone() {
    let Some(mut bench) = bench(DbKind::Mysql) else { return };
    bench.run("CREATE DEFINER=u_shop@localhost VIEW names AS SELECT name FROM customers");
    let (dump, before) = (bench.dump(), bench.state());
    in_front_of_the_client(
        &mut bench,
        "if [ ! -p /dev/stdin ]; then sed 's/lock_wait_timeout = [0-9]*/lock_wait_timeout = 1/' \
         | tee -a \"$here/said\" | /usr/bin/mariadb \"$@\"; exit $?; fi",
    );
    bench.while_somebody("SELECT COUNT(*) FROM shop.orders", || {
        for table in [Some("customers"), None] {
            let (_, error) = bench.restore(table, &dump);
            let error = error.unwrap();
            assert!(error.contains("somebody uses them"), "{table:?}: {error}");
            assert!(error.contains("nothing was changed"), "{table:?}: {error}");
        }
    });
    let said = fs::read_to_string(bench.hestia.tools.join("said")).unwrap();
    assert!(!said.contains("DROP FOREIGN KEY `of_customer`") && !said.contains("DROP VIEW"));
    assert_same(&bench.state(), &before, "");
    assert_eq!(bench.restore(Some("customers"), &dump), (vec![], None));
}

#[test]
fn rows_that_came_while_keys_were_off_are_told_when_the_old_table_is_back() {
    let Some(mut bench) = bench(DbKind::Mysql) else { return };
    let (dump, before) = (bench.dump(), bench.state());
    in_front_of_the_client(
        &mut bench,
        "if [ ! -p /dev/stdin ] && grep -q 'RENAME TABLE' /proc/self/fd/0; then \
         echo 'INSERT INTO shop.orders VALUES (77, 99)' | /usr/bin/mariadb \"$@\"; exit 1; fi",
    );
    let (warnings, error) = bench.restore(Some("customers"), &dump);
    assert!(error.is_some());
    let words = "1 row of orders without their row of customers (of_customer)";
    assert!(warnings.iter().any(|warning| warning.contains(words)), "{warnings:?}");
    bench.run("DELETE FROM orders WHERE id = 77");
    assert_same(&bench.state(), &before, "");
}

#[test]
fn a_client_that_outlives_a_killed_restore_changes_nothing_any_more() {
    let Some(mut bench) = bench(DbKind::Mysql) else { return };
    let (dump, before) = (bench.dump(), bench.state());
    // The restore dies when its client waits for somebody who uses the table `orders`, and the
    // client does not.
    in_front_of_the_client(
        &mut bench,
        "[ -e \"$here/dead\" ] && exit 1\n\
         if [ ! -p /dev/stdin ] && grep -q 'DROP FOREIGN KEY `of_customer`' /proc/self/fd/0; then\n\
         cat > \"$here/script\"; cp \"${1#--defaults-file=}\" \"$here/conf\"; shift\n\
         client() { /usr/bin/mariadb --defaults-file=\"$here/conf\" \"$@\"; }\n\
         until_seen() { until client -N -e \"SELECT INFO FROM information_schema.PROCESSLIST\" \
         | grep -q \"^$1\"; do sleep 0.1; done; }\n\
         (echo 'START TRANSACTION; SELECT COUNT(*) FROM shop.orders; SELECT SLEEP(600);' \
         | client) > /dev/null 2>&1 &\n\
         until_seen 'SELECT SLEEP'\n\
         (client \"$@\" < \"$here/script\" > /dev/null 2>&1; touch \"$here/ended\") > /dev/null 2>&1 &\n\
         until_seen 'ALTER TABLE `orders` DROP'\n\
         touch \"$here/dead\"; exit 1; fi",
    );
    let (_, error) = bench.restore(Some("customers"), &dump);
    let tools = std::mem::replace(&mut bench.hestia.tools, "/usr/bin".into());
    assert!(tools.join("dead").exists(), "{error:?}");
    let server = DatabaseServer::find(&bench.hestia, bench.kind, "127.0.0.1").unwrap();
    let (world, monitor, row) = (World::system(), Collect::default(), bench.row());
    let rows = std::slice::from_ref(&row);
    let told = import_leftovers::finish(&server, "test", rows, &world, &monitor).unwrap();
    assert_eq!(monitor.warnings(), [""; 0]);
    assert!(told[0].contains("it is as it was before"), "{told:?}");
    let holder = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'";
    bench.db.mysql(&format!("KILL {}", bench.db.mysql(holder)));
    let ended = || tools.join("ended").exists();
    assert!((0..300).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        ended()
    }));
    assert_same(&bench.state(), &before, "");
    assert_eq!(bench.temporary(), "");
}

#[test]
fn an_error_of_the_server_tells_no_rows() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    let dump = bench.dump();
    let bad = dump.replace("(3,NULL,1,'three')", "(3,NULL,'three')");
    assert_ne!(bad, dump);
    let (_, error) = bench.restore(None, &bad);
    let error = error.unwrap();
    assert!(error.contains("ERROR 1136"), "{error}");
    assert!(!error.contains("three") && !error.contains("INSERT"), "{error}");
}

#[test]
fn a_server_whose_names_stand_in_double_quotes_takes_views_and_triggers() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    bench.run("CREATE DEFINER=u_shop@localhost VIEW names AS SELECT name FROM customers");
    let (dump, before) = (bench.dump(), bench.state());
    bench.db.mysql("SET GLOBAL sql_mode = 'ANSI_QUOTES'");
    bench.run("DELETE FROM orders");
    assert_eq!(bench.restore(None, &dump), (vec![], None));
    assert_same(&bench.state(), &before, "");
}

#[test]
fn a_function_that_somebody_is_in_the_middle_of_stops_the_restore_and_none_is_lost() {
    let Some(mut bench) = bench(DbKind::Mysql) else { return };
    for name in ["a_function", "z_function"] {
        let making = "CREATE DEFINER=u_shop@localhost FUNCTION";
        bench.run(&format!("{making} {name}() RETURNS INT RETURN 1"));
    }
    let functions = "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = \
                     'shop' ORDER BY 1";
    let (dump, before, both) = (bench.dump(), bench.state(), bench.db.mysql(functions));
    assert!(dump.contains("a_function") && both.contains("z_function"), "{both}");
    in_front_of_the_client(
        &mut bench,
        "if [ ! -p /dev/stdin ]; then sed 's/lock_wait_timeout = [0-9]*/lock_wait_timeout = 1/' \
         | /usr/bin/mariadb \"$@\"; exit $?; fi",
    );
    bench.while_somebody("SELECT shop.z_function()", || {
        let (_, error) = bench.restore(None, &dump);
        assert!(error.unwrap().contains("ERROR 1205"));
    });
    assert_eq!(bench.db.mysql(functions), both);
    assert_same(&bench.state(), &before, "");
    assert_eq!(bench.temporary(), "");
    assert_eq!(bench.restore(None, &dump), (vec![], None));
    assert_eq!(bench.db.mysql(functions), both);
}
