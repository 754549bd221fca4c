// SPDX-License-Identifier: MIT
//! MySQL 8 as it is installed beside HestiaCP instead of MariaDB: its own client, dump program and
//! server. The server is not on every machine, so these tests run where `GHOSTSNAP_TEST_MYSQL8`
//! names the folder of its programs.
#![allow(missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common {
    pub mod servers;
}

use common::servers::DbServer;
use ghostsnap::base::error::io_error;
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Kind, Result, World};
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
}

fn bench(db: DbServer) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let mut hestia = Hestia::below(folder.path());
    hestia.tools = db.tools.clone();
    for path in [hestia.conf(""), hestia.users(), hestia.command("")] {
        fs::create_dir_all(path).unwrap();
    }
    fs::write(hestia.conf("mysql.conf"), db.row("root")).unwrap();
    Bench { db, folder, hestia }
}

impl Bench {
    fn row(&self, name: &str) -> DatabaseRow {
        let row = format!(
            "DB='{name}' DBUSER='u_{name}' MD5='' HOST='127.0.0.1' TYPE='mysql' \
             CHARSET='UTF8MB4' U_DISK='1' SUSPENDED='no'"
        );
        DatabaseRow::parse(&Row::parse(row.as_bytes()).unwrap()).unwrap()
    }

    fn dump(&self, name: &str) -> Result<String> {
        let mut text = Vec::new();
        let mut output = dump::open(&self.hestia, &self.row(name), &RunOptions::default())?;
        output.read_to_end(&mut text).map_err(|error| io_error(error, "store the dump"))?;
        Ok(String::from_utf8(text).unwrap())
    }

    fn text(&self, name: &str) -> String {
        self.dump(name).unwrap()
    }

    /// Restores a database, or a table of it; the warnings, or the error as one line.
    fn import(&self, name: &str, table: Option<&str>, dump: &str) -> Result<Vec<String>, String> {
        self.import_with(name, table, dump, Orphans::Refuse)
    }

    fn import_with(
        &self,
        name: &str,
        table: Option<&str>,
        dump: &str,
        orphans: Orphans,
    ) -> Result<Vec<String>, String> {
        let target = self.row(name);
        let server = DatabaseServer::find(&self.hestia, DbKind::Mysql, "127.0.0.1").unwrap();
        let import = Import {
            target: &target,
            exists: self.names().contains(&name.to_owned()),
            table,
            siblings: &[],
            whose: "test",
            options: RunOptions::default(),
            purpose: Purpose::Restore,
            orphans,
        };
        let monitor = Collect::default();
        let done = import::run(&server, &import, &mut dump.as_bytes(), &World::system(), &monitor);
        let names = self.names();
        let left: Vec<&String> = names.iter().filter(|one| one.starts_with("ghost")).collect();
        assert!(left.is_empty(), "{left:?} after {done:?}");
        done.map(|_| monitor.warnings()).map_err(|error| error.to_string())
    }

    /// The names of all databases and accounts.
    fn names(&self) -> Vec<String> {
        let text = self.db.mysql("SHOW DATABASES; SELECT User FROM mysql.user");
        text.lines().map(str::to_owned).collect()
    }

    fn run(&self, sql: &str) -> String {
        self.db.mysql(sql)
    }

    fn fails(&self, sql: &str) -> bool {
        std::panic::catch_unwind(|| self.db.mysql(sql)).is_err()
    }
}

/// All that a customer's database may hold.
const RICH: &str = "
CREATE USER u_rich@localhost IDENTIFIED BY 'x'; CREATE USER u_rich@'%' IDENTIFIED BY 'x';
CREATE DATABASE rich CHARACTER SET utf8mb4;
GRANT ALL ON rich.* TO u_rich@localhost; GRANT ALL ON rich.* TO u_rich@'%';
SET GLOBAL log_bin_trust_function_creators = 1;
USE rich;
CREATE TABLE texts (id INT PRIMARY KEY AUTO_INCREMENT, t LONGTEXT, KEY beginning (t(20) DESC));
INSERT INTO texts (t) VALUES ('plain'), ('😀 ünï 名前'), ('it''s \"q\" \\\\ back; -- no'), (NULL),
 ('a\\nb\\tc\\rd');
CREATE TABLE bytes (id INT PRIMARY KEY, b LONGBLOB, v VARBINARY(20), f BIT(3));
INSERT INTO bytes VALUES (1, X'00FF0A0D1A275C22', X'0001', b'101'),
 (2, '', NULL, NULL), (3, REPEAT(X'00', 100000), X'80', b'0');
CREATE TABLE old (id INT PRIMARY KEY, t VARCHAR(50)) DEFAULT CHARSET latin1;
INSERT INTO old VALUES (1, 'äöü');
CREATE TABLE isam (id INT) ENGINE=MyISAM;
INSERT INTO isam VALUES (7);
CREATE TABLE bare (id INT);
CREATE TABLE `odd name; -- ``x` (`a b` INT);
INSERT INTO `odd name; -- ``x` VALUES (1);
CREATE TABLE goods (id INT PRIMARY KEY, net DECIMAL(8,2), gross DECIMAL(8,2) AS (net * 1.2) STORED,
 half DECIMAL(8,2) AS (net / 2) VIRTUAL, secret INT DEFAULT 7 INVISIBLE, code CHAR(36)
 DEFAULT (UUID()), facts JSON, place POINT SRID 4326 NOT NULL,
 CONSTRAINT dear CHECK (net > 0), CHECK (net < 1000), SPATIAL KEY (place),
 KEY many ((CAST(facts->'$.tags' AS UNSIGNED ARRAY))), KEY upper_code ((UPPER(code))),
 KEY hidden (net) INVISIBLE);
INSERT INTO goods (id, net, code, facts, place) VALUES (1, 10, 'x', '{\"tags\": [1, 2]}',
 ST_SRID(POINT(9, 50), 4326)), (2, 20, 'y', NULL, ST_SRID(POINT(1, 2), 4326));
CREATE TABLE parts (id INT PRIMARY KEY, y INT, UNIQUE KEY (id, y)) ;
CREATE TABLE by_year (y INT NOT NULL, t TEXT) PARTITION BY RANGE (y)
 (PARTITION a VALUES LESS THAN (2000), PARTITION b VALUES LESS THAN MAXVALUE);
INSERT INTO by_year VALUES (1999, 'a'), (2020, 'b');
CREATE TABLE parent (id INT PRIMARY KEY);
CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id));
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1);
CREATE TABLE log (what VARCHAR(50));
CREATE DEFINER=u_rich@localhost TRIGGER logs AFTER INSERT ON texts FOR EACH ROW
 INSERT INTO log VALUES (NEW.id);
CREATE DEFINER=u_rich@localhost VIEW z_view AS SELECT id, t FROM texts WHERE id > 1;
CREATE DEFINER=u_rich@localhost VIEW a_view AS SELECT id FROM z_view;
CREATE DEFINER=u_rich@localhost FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2;
DELIMITER //
CREATE DEFINER=u_rich@localhost PROCEDURE many()
BEGIN
  -- Table structure for table `fake`
  DECLARE n INT DEFAULT 0;
  SELECT COUNT(*) INTO n FROM texts; SELECT n;
END//
DELIMITER ;
CREATE DEFINER=u_rich@localhost EVENT nightly ON SCHEDULE EVERY 1 DAY
 STARTS '2030-01-01 03:00:00' DO DELETE FROM log;
";

/// A server with a rich database.
fn rich() -> Option<Bench> {
    let bench = bench(DbServer::mysql8()?);
    bench.run(RICH);
    Some(bench)
}

#[test]
fn a_dump_of_mysql_is_whole_and_the_same_every_night() {
    let Some(bench) = rich() else { return };
    let text = bench.text("rich");
    for part in [
        "0x00FF0A0D1A275C22",
        "😀 ünï 名前",
        "'äöü'",
        "CREATE DEFINER=`u_rich`@`localhost` FUNCTION `twice`",
        "EVENT `nightly`",
        "TRIGGER `logs`",
        "VIEW `a_view`",
        "INVISIBLE",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.ends_with("-- Dump completed\n"));
    assert_same(&bench.text("rich"), &text, "the second dump is the same to the byte");
    let grants = dump::grants(&bench.hestia, &bench.row("rich"), &RunOptions::default()).unwrap();
    let grants = String::from_utf8(grants).unwrap();
    assert!(grants.contains("GRANT ALL PRIVILEGES ON `rich`.* TO `u_rich`@`%`"), "{grants}");

    // An administrator of databases alone, as on a server elsewhere.
    bench.run(
        "CREATE USER dba@'%' IDENTIFIED BY 'x'; GRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, \
         EVENT, SHOW_ROUTINE ON *.* TO dba@'%'",
    );
    let conf = bench.hestia.conf("mysql.conf");
    let row = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, bench.db.row("dba").replace(common::servers::PASSWORD, "x")).unwrap();
    assert_same(&bench.text("rich"), &text, "");
    fs::write(&conf, row.replace("word'", "word!'")).unwrap();
    let error = bench.dump("rich").unwrap_err().one_line();
    assert!(error.contains("Access denied") && !error.contains("word!"), "{error}");
    fs::write(&conf, row).unwrap();

    // What cannot be dumped whole is an error, told with the server's words.
    bench.run("USE rich; DROP VIEW z_view; DROP TABLE child");
    let error = bench.dump("rich").unwrap_err();
    assert_eq!(error.kind(), Kind::Db);
    assert!(error.one_line().contains("a_view"), "{error}");
    let error = bench.dump("nosuch").unwrap_err().one_line();
    assert!(error.contains("Unknown database 'nosuch'"), "{error}");
}

#[test]
fn a_database_of_mysql_comes_back_whole_or_stays_as_it_is() {
    let Some(bench) = rich() else { return };
    let text = bench.text("rich");
    bench.run(
        "USE rich; DELETE FROM texts; DROP VIEW z_view; CREATE TABLE newer (id INT); \
         DROP PROCEDURE many; CREATE TRIGGER other BEFORE DELETE ON old FOR EACH ROW SET @a = 1; \
         CREATE VIEW v2 AS SELECT * FROM old; CREATE EVENT e2 ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    );
    assert_eq!(bench.import("rich", None, &text), Ok(vec![]));
    assert_same(&bench.text("rich"), &text, "");

    // One after another, dumps that fail leave everything as it was.
    bench.run("USE rich; CREATE TABLE newer (id INT); INSERT INTO newer VALUES (3)");
    let before = bench.text("rich");
    let with = |line: &str| text.replacen("-- Dumping routines", &format!("{line}\n--"), 1);
    let marker = bench.folder.path().join("marker");
    fs::write(&marker, "root:x:0:0").unwrap();
    let place = marker.display();
    bench.run(
        "CREATE DATABASE victim; CREATE TABLE victim.t (id INT); INSERT INTO victim.t VALUES (1)",
    );
    for (bad, words) in [
        (text[..text.len() / 2].to_owned(), "not whole"),
        (with("DROP DATABASE victim;"), "Access denied"),
        (with("DROP TABLE victim.t;"), "denied"),
        (with("USE victim;"), "Access denied"),
        (with("CREATE DATABASE gs_x;"), "Access denied"),
        (with("INSERT INTO rich.newer VALUES (1);"), "denied"),
        (with("CREATE DEFINER=`root`@`localhost` VIEW x AS SELECT * FROM mysql.user;"), "denied"),
        (
            with("SET @x = 1; CREATE SQL SECURITY DEFINER VIEW x AS SELECT * FROM mysql.user;"),
            "denied",
        ),
        (with(&format!("\\! rm {place}")), "ERROR"),
        (with(&format!("SELECT 1 \\! rm {place}\n;")), "ERROR"),
        (with(&format!("system rm {place}")), "ERROR"),
        (with(&format!("source {place}")), "ERROR"),
        (with(&format!("\\. {place}")), "ERROR"),
        (with(&format!("LOAD DATA LOCAL INFILE '{place}' INTO TABLE texts (t);")), "ERROR"),
        (with(&format!("LOAD DATA INFILE '{place}' INTO TABLE texts (t);")), "Access denied"),
        (with(&format!("SELECT 1 INTO OUTFILE '{place}.out';")), "Access denied"),
        (with("SET GLOBAL general_log = 1;"), "Access denied"),
        (with("SET PERSIST general_log = 1;"), "Access denied"),
        (with("DELETE FROM texts;"), "texts"),
        (with("DROP TABLE old;"), "old"),
        (with("GRANT ALL ON *.* TO u_rich@localhost;"), "Access denied"),
    ] {
        let error = bench.import("rich", None, &bad).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
        assert_same(&bench.text("rich"), &before, words);
        assert!(marker.exists());
        assert_eq!(bench.run("SELECT COUNT(*) FROM victim.t"), "1");
    }

    // A database that is gone is made.
    bench.run("DROP DATABASE rich");
    assert_eq!(bench.import("rich", None, &text), Ok(vec![]));
    assert_same(&bench.text("rich"), &text, "");
}

#[test]
fn one_table_of_mysql_comes_back_and_nothing_else_changes() {
    let Some(bench) = rich() else { return };
    bench.run(
        "USE rich; CREATE TABLE caf (id INT PRIMARY KEY); CREATE TABLE Caf LIKE caf; \
         CREATE TABLE Cäf LIKE caf; INSERT INTO caf VALUES (1); INSERT INTO Caf VALUES (2); \
         INSERT INTO Cäf VALUES (3); \
         CREATE DEFINER=u_rich@localhost TRIGGER big BEFORE DELETE ON Caf FOR EACH ROW SET @a = 1",
    );
    let dump = bench.text("rich");
    bench.run(
        "USE rich; UPDATE texts SET t = 'x'; DROP TRIGGER logs; DELETE FROM old; \
         DROP TABLE `odd name; -- ``x`; DELETE FROM goods; DELETE FROM by_year",
    );
    for table in ["texts", "odd name; -- `x", "goods", "by_year", "old", "child", "parent"] {
        assert_eq!(bench.import("rich", Some(table), &dump), Ok(vec![]), "{table}");
    }
    bench.run("DELETE FROM rich.log");
    assert_same(&bench.text("rich"), &dump, "");
    // Names that some comparisons take for the same are several tables.
    for table in ["caf", "Caf", "Cäf"] {
        bench.run("USE rich; DELETE FROM caf; DELETE FROM Caf; DELETE FROM Cäf");
        assert_eq!(bench.import("rich", Some(table), &dump), Ok(vec![]), "{table}");
        let count = "SELECT COUNT(*) FROM rich.";
        for other in ["caf", "Caf", "Cäf"] {
            let rows = bench.run(&format!("{count}{other}"));
            assert_eq!(rows, u8::from(table == other).to_string(), "{table} {other}");
        }
    }
    for table in ["caf", "Caf", "Cäf"] {
        assert_eq!(bench.import("rich", Some(table), &dump), Ok(vec![]), "{table}");
    }
    assert_same(&bench.text("rich"), &dump, "");
    let error = bench.import("rich", Some("fake"), &dump).unwrap_err();
    assert!(error.contains("no such table"), "{error}");

    // What fails after the tables have changed places is undone.
    bench.run(
        "USE rich; UPDATE texts SET t = 'newer'; DROP TRIGGER logs; \
         CREATE TRIGGER mine BEFORE UPDATE ON texts FOR EACH ROW SET @a = 1; \
         CREATE TRIGGER logs BEFORE DELETE ON old FOR EACH ROW SET @a = 1",
    );
    let text = bench.text("rich");
    let error = bench.import("rich", Some("texts"), &dump).unwrap_err();
    assert!(error.contains("already exists"), "{error}");
    assert_same(&bench.text("rich"), &text, "");
}

/// Compares two dumps, and shows what differs alone.
#[track_caller]
fn assert_same(is: &str, was: &str, when: &str) {
    let only = |a: &str, b: &str| -> Vec<String> {
        let there: Vec<&str> = b.lines().collect();
        a.lines().filter(|line| !there.contains(line)).map(str::to_owned).collect()
    };
    assert!(is == was, "{when}\nwas {:#?}\nis {:#?}", only(was, is), only(is, was));
}

/// A shop as in `tests/foreign_keys.rs`, with what MySQL alone has.
const SHOP: &str = "
CREATE USER u_shop@localhost IDENTIFIED BY 'x'; CREATE DATABASE shop;
GRANT ALL ON shop.* TO u_shop@localhost;
SET GLOBAL log_bin_trust_function_creators = 1;
USE shop;
CREATE TABLE regions (id INT PRIMARY KEY);
CREATE TABLE customers (id INT PRIMARY KEY, region INT, boss INT, name VARCHAR(20),
 UNIQUE KEY pair (id, region), CONSTRAINT real_one CHECK (id > 0),
 CONSTRAINT in_region FOREIGN KEY (region) REFERENCES regions (id) ON UPDATE CASCADE,
 CONSTRAINT under FOREIGN KEY (boss) REFERENCES customers (id));
CREATE TABLE orders (id INT PRIMARY KEY, customer INT NOT NULL, twice INT AS (id * 2) STORED,
 hidden INT DEFAULT 7 INVISIBLE, KEY by_customer (customer),
 CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE,
 FOREIGN KEY (customer) REFERENCES customers (id) ON UPDATE RESTRICT);
CREATE TABLE `odd ``one` (id INT PRIMARY KEY, `a b` INT, region INT,
 CONSTRAINT `k; --` FOREIGN KEY (`a b`, region) REFERENCES customers (id, region)
 ON DELETE SET NULL ON UPDATE NO ACTION);
CREATE TABLE log (what INT);
INSERT INTO regions VALUES (1), (2);
INSERT INTO customers VALUES (1, 1, NULL, 'one'), (2, 2, 1, 'two'), (3, NULL, 1, 'three');
INSERT INTO orders (id, customer) VALUES (1, 1), (2, 2);
INSERT INTO `odd ``one` VALUES (1, 2, 2), (2, NULL, 7);
CREATE DEFINER=u_shop@localhost TRIGGER logs AFTER INSERT ON customers FOR EACH ROW
 INSERT INTO log VALUES (NEW.id);
";

fn shop() -> Option<Bench> {
    let bench = bench(DbServer::mysql8()?);
    bench.run(SHOP);
    Some(bench)
}

#[test]
fn a_table_with_foreign_keys_comes_back_and_all_of_them_hold() {
    let Some(bench) = shop() else { return };
    let dump = bench.text("shop");
    bench.run(
        "USE shop; UPDATE customers SET name = 'x', boss = NULL; DELETE FROM customers WHERE \
         id = 3; INSERT INTO customers VALUES (4, 1, NULL, 'four')",
    );
    for table in ["customers", "orders", "regions", "odd `one"] {
        assert_eq!(bench.import("shop", Some(table), &dump), Ok(vec![]), "{table}");
        bench.run("DELETE FROM shop.log");
        assert_same(&bench.text("shop"), &dump, table);
    }
    for bad in [
        "INSERT INTO shop.orders (id, customer) VALUES (9, 99)",
        "INSERT INTO shop.customers VALUES (9, 99, NULL, 'x')",
        "INSERT INTO shop.customers VALUES (9, 1, 99, 'x')",
        "INSERT INTO shop.customers VALUES (-9, 1, 1, 'x')",
        "DELETE FROM shop.regions WHERE id = 1",
    ] {
        assert!(bench.fails(bad), "{bad}");
    }

    // Rows that would point at nothing are told before anything changes.
    bench.run(
        "USE shop; INSERT INTO customers VALUES (4, 1, NULL, 'four'); \
         INSERT INTO orders (id, customer) VALUES (3, 4), (4, 4)",
    );
    let before = bench.text("shop");
    let error = bench.import("shop", Some("customers"), &dump).unwrap_err();
    for words in ["2 rows of orders without their row of customers", "nothing was changed"] {
        assert!(error.contains(words), "{error}");
    }
    assert_same(&bench.text("shop"), &before, "");
    let warnings = bench.import_with("shop", Some("customers"), &dump, Orphans::Leave).unwrap();
    assert!(warnings[0].contains("of_customer"), "{warnings:?}");
    assert!(bench.fails("INSERT INTO shop.orders (id, customer) VALUES (9, 99)"));
    assert_eq!(bench.import("shop", Some("orders"), &dump), Ok(vec![]));
    bench.run("DELETE FROM shop.log");
    assert_same(&bench.text("shop"), &dump, "");

    // Another database's key would go on pointing to the old table.
    bench.run(
        "CREATE DATABASE `other-db`; CREATE TABLE `other-db`.t (c INT, FOREIGN KEY (c) REFERENCES \
         shop.customers (id))",
    );
    let error = bench.import("shop", Some("customers"), &dump).unwrap_err();
    assert!(error.contains("it is in other-db"), "{error}");
    bench.run("DROP DATABASE `other-db`");
    // One that was dropped comes back to those that point to it.
    bench.run("USE shop; SET foreign_key_checks = 0; DROP TABLE customers");
    assert_eq!(bench.import("shop", Some("customers"), &dump), Ok(vec![]));
    bench.run("DELETE FROM shop.log");
    assert_same(&bench.text("shop"), &dump, "");
}

/// Puts a client in front of the real one that hands on so many calls, of the next one so many
/// lines, and then nothing more: to the server that looks like a process that was killed there.
fn mortal(bench: &mut Bench) {
    let tools = bench.folder.path().join("tools");
    fs::create_dir_all(&tools).unwrap();
    let real = bench.db.tools.display().to_string();
    std::os::unix::fs::symlink(format!("{real}/mysqldump"), tools.join("mysqldump")).unwrap();
    let text = format!(
        "#!/bin/bash\nhere=$(dirname \"$0\")\nread -r calls lines < \"$here/life\"\n\
         if [ \"$calls\" -gt 0 ]; then echo \"$((calls - 1)) $lines\" > \"$here/life\"; \
         exec {real}/mysql \"$@\"; fi\n\
         echo \"0 0\" > \"$here/life\"\n\
         [ \"$lines\" -gt 0 ] && head -n \"$lines\" | {real}/mysql \"$@\" > /dev/null 2>&1\n\
         exit 1\n"
    );
    fs::write(tools.join("mysql"), text).unwrap();
    fs::set_permissions(tools.join("mysql"), fs::Permissions::from_mode(0o755)).unwrap();
    bench.hestia.tools = tools;
}

#[test]
fn a_restore_into_mysql_that_is_killed_anywhere_is_brought_to_an_end() {
    let Some(mut bench) = shop() else { return };
    let restored = bench.text("shop");
    mortal(&mut bench);
    let life = bench.hestia.tools.join("life");
    let lives_for = |calls: usize, lines: usize| {
        fs::write(&life, format!("{calls} {lines}\n")).unwrap();
    };
    let server = DatabaseServer::find(&bench.hestia, DbKind::Mysql, "127.0.0.1").unwrap();
    let row = bench.row("shop");
    for table in [None, Some("customers")] {
        let mut seen = [0; 2];
        let spoil = "USE shop; UPDATE customers SET name = 'x'; DELETE FROM log";
        bench.run(spoil);
        lives_for(1_000_000, 0);
        let before = bench.text("shop");
        for (calls, lines) in (0..60).map(|calls| (calls, [0, 3][calls % 2])) {
            bench.run(spoil);
            lives_for(calls, lines);
            let import = Import {
                target: &row,
                exists: true,
                table,
                siblings: &[],
                whose: "test",
                options: RunOptions::default(),
                purpose: Purpose::Restore,
                orphans: Orphans::Refuse,
            };
            let (world, quiet) = (World::system(), Collect::default());
            let done = import::run(&server, &import, &mut restored.as_bytes(), &world, &quiet);
            lives_for(1_000_000, 0);
            let (rows, monitor) = (std::slice::from_ref(&row), Collect::default());
            import_leftovers::finish(&server, "test", rows, &world, &monitor).unwrap();
            assert_eq!(monitor.warnings(), [""; 0], "{calls} {lines}");
            if table.is_some() {
                bench.run("DELETE FROM shop.log");
            }
            let after = bench.text("shop");
            assert!(after == before || after == restored, "{table:?} {calls} {lines}: {after}");
            seen[usize::from(after == restored)] += 1;
            let left: Vec<String> = bench.names();
            assert!(
                !left.iter().any(|name| name.starts_with("ghost")),
                "{calls} {lines}: {left:?}"
            );
            if done.is_ok() {
                break;
            }
        }
        assert!(seen[0] > 5 && seen[1] > 2, "{table:?} {seen:?}");
    }
}

#[test]
fn a_server_with_strict_settings_takes_a_restore_and_one_without_rights_says_what_is_missing() {
    let Some(bench) = shop() else { return };
    let dump = bench.text("shop");
    // Routines and triggers need an administrator where there is a binary log, as there always is.
    bench.run("SET GLOBAL log_bin_trust_function_creators = 0; DELETE FROM shop.orders");
    let before = bench.text("shop");
    let error = bench.import("shop", None, &dump).unwrap_err();
    assert!(error.contains("SET GLOBAL log_bin_trust_function_creators = 1"), "{error}");
    assert_same(&bench.text("shop"), &before, "");
    bench.run(
        "SET GLOBAL log_bin_trust_function_creators = 1; DROP TABLE shop.log; \
         CREATE TABLE shop.log (what INT PRIMARY KEY); \
         INSTALL COMPONENT 'file://component_validate_password'; \
         SET GLOBAL sql_require_primary_key = 1; \
         SET GLOBAL sql_generate_invisible_primary_key = 1",
    );
    let dump = bench.text("shop");
    bench.run("DELETE FROM shop.orders");
    assert_eq!(bench.import("shop", None, &dump), Ok(vec![]));
    assert_same(&bench.text("shop"), &dump, "");
    bench.run("DROP DATABASE shop; DROP USER u_shop@localhost");
    assert_eq!(bench.import("shop", None, &dump), Ok(vec![]));
    let names = |text: &str| text.replace("`u_shop`@`%`", "`u_shop`@`localhost`");
    assert_eq!(names(&bench.text("shop")), dump);
}

#[test]
fn a_server_without_tls_takes_a_restore() {
    let Some(db) = DbServer::mysql8_with(&["--tls-version="]) else { return };
    let bench = bench(db);
    bench.run(SHOP);
    let dump = bench.text("shop");
    bench.run("DELETE FROM shop.orders");
    assert_eq!(bench.import("shop", None, &dump), Ok(vec![]));
    assert_same(&bench.text("shop"), &dump, "");
}

#[test]
fn a_database_whose_collation_was_changed_comes_back() {
    for server in [DbServer::mysql8, DbServer::mariadb] {
        let Some(db) = server() else { return };
        let bench = bench(db);
        bench.run(
            "CREATE USER u_two@localhost; CREATE DATABASE two CHARACTER SET latin1; USE two; \
             SET GLOBAL log_bin_trust_function_creators = 1; \
             CREATE TABLE t (id INT); CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET @a = 1; \
             CREATE PROCEDURE p() SELECT 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1; \
             ALTER DATABASE two CHARACTER SET utf8mb4; CREATE DATABASE three",
        );
        let dump = bench.text("two");
        assert!(dump.contains("ALTER DATABASE `two` CHARACTER SET latin1"), "{dump}");
        assert_eq!(bench.import("two", None, &dump), Ok(vec![]));
        assert_eq!(bench.import("two", Some("t"), &dump), Ok(vec![]));
        assert_eq!(bench.import("three", None, &dump), Ok(vec![]));
        let lines = |text: String| {
            let same = |line: &&str| line.contains("TRIGGER") || line.contains("PROCEDURE");
            text.lines().filter(same).count()
        };
        assert_eq!(lines(bench.text("three")), lines(bench.text("two")));
        let charset = "SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE \
                       SCHEMA_NAME = 'two'";
        assert_eq!(bench.run(charset), "utf8mb4");
    }
}

#[test]
fn a_dump_of_mariadb_goes_into_mysql_or_is_refused_whole() {
    let (Some(old), Some(new)) = (DbServer::mariadb(), DbServer::mysql8()) else { return };
    let (old, new) = (bench(old), bench(new));
    let accounts = "CREATE USER u_shop@localhost IDENTIFIED BY 'x'; GRANT ALL ON shop.* TO \
                    u_shop@localhost; CREATE DATABASE shop";
    old.run(&format!("{accounts} CHARACTER SET utf8mb4"));
    new.run(&format!("{accounts}; SET GLOBAL log_bin_trust_function_creators = 1"));
    old.run(
        "USE shop; CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE t (id INT PRIMARY KEY \
         AUTO_INCREMENT, p INT, x TEXT, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE \
         CURRENT_TIMESTAMP, facts JSON, CHECK (p > 0), \
         FOREIGN KEY (p) REFERENCES parent (id)); INSERT INTO parent VALUES (1); \
         INSERT INTO t (p, x, facts) VALUES (1, 'ü 😀', '{\"a\": 1}'), (NULL, 'b', NULL); \
         CREATE DEFINER=u_shop@localhost TRIGGER r BEFORE INSERT ON t FOR EACH ROW \
         SET NEW.x = 'r'; \
         CREATE DEFINER=u_shop@localhost VIEW v AS SELECT id, x FROM t WHERE id > 1; \
         CREATE DEFINER=u_shop@localhost FUNCTION f(a INT) RETURNS INT DETERMINISTIC RETURN a + 1; \
         CREATE DEFINER=u_shop@localhost EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM parent",
    );
    let dump = old.text("shop");
    assert!(dump.contains("NO_AUTO_CREATE_USER"));
    assert_eq!(new.import("shop", None, &dump), Ok(vec![]));
    let same = "SELECT id, p, x, made, JSON_EXTRACT(facts, '$.a') FROM shop.t; \
                SELECT * FROM shop.v; SELECT shop.f(1); SELECT EVENT_NAME FROM \
                information_schema.EVENTS; SELECT DEFINER FROM information_schema.TRIGGERS WHERE \
                TRIGGER_SCHEMA = 'shop'";
    assert_eq!(new.run(same), old.run(same));
    assert!(new.fails("INSERT INTO shop.t (p) VALUES (99)"));
    new.run("DELETE FROM shop.t");
    assert_eq!(new.import("shop", Some("t"), &dump), Ok(vec![]));
    assert_eq!(new.run(same), old.run(same));

    // What MySQL does not have is refused, with what to do.
    let before = new.text("shop");
    for (sql, word) in [
        ("CREATE SEQUENCE s", "SEQUENCE"),
        (
            "CREATE TABLE a (d INT, e INT AS (d + 1)); INSERT INTO a (d) VALUES (1)",
            "generated column",
        ),
        ("CREATE TABLE a (id UUID)", "uuid"),
        ("CREATE TABLE a (id INT) ENGINE=Aria", "PAGE_CHECKSUM"),
        ("CREATE TABLE a (d DATE DEFAULT (CURRENT_DATE))", "curdate()"),
        ("CREATE TABLE a (d INT) WITH SYSTEM VERSIONING", "SYSTEM VERSIONING"),
    ] {
        old.run(&format!("USE shop; {sql}"));
        let error = new.import("shop", None, &old.text("shop")).unwrap_err();
        assert!(error.contains(word), "{word}: {error}");
        assert!(error.contains("is from MariaDB and the server is MySQL"), "{error}");
        assert_same(&new.text("shop"), &before, word);
        old.run("USE shop; DROP TABLE IF EXISTS a; DROP SEQUENCE IF EXISTS s");
    }
}

#[test]
fn a_dump_of_mysql_goes_into_mariadb_or_is_refused_whole() {
    let (Some(old), Some(new)) = (DbServer::mysql8(), DbServer::mariadb()) else { return };
    let (old, new) = (bench(old), bench(new));
    let accounts = "CREATE USER u_shop@localhost IDENTIFIED BY 'x'; GRANT ALL ON shop.* TO \
                    u_shop@localhost; CREATE DATABASE shop";
    old.run(&format!("{accounts} COLLATE utf8mb4_unicode_520_ci"));
    new.run(&format!("{accounts} COLLATE utf8mb4_unicode_520_ci"));
    old.run(
        "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_520_ci; \
         SET GLOBAL log_bin_trust_function_creators = 1; \
         USE shop; CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE t (id INT PRIMARY KEY \
         AUTO_INCREMENT, p INT, x TEXT, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE \
         CURRENT_TIMESTAMP, facts JSON, twice INT AS (p * 2) STORED, CHECK (p > 0), \
         FOREIGN KEY (p) REFERENCES parent (id)); INSERT INTO parent VALUES (1); \
         INSERT INTO t (p, x, facts) VALUES (1, 'ü 😀', '{\"a\": 1}'), (NULL, 'b', NULL); \
         CREATE DEFINER=u_shop@localhost TRIGGER r BEFORE INSERT ON t FOR EACH ROW \
         SET NEW.x = 'r'; \
         CREATE DEFINER=u_shop@localhost VIEW v AS SELECT id, x FROM t WHERE id > 1; \
         CREATE DEFINER=u_shop@localhost FUNCTION f(a INT) RETURNS INT DETERMINISTIC RETURN a + 1; \
         CREATE DEFINER=u_shop@localhost EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM parent",
    );
    let dump = old.text("shop");
    assert_eq!(new.import("shop", None, &dump), Ok(vec![]));
    let same = "SELECT id, p, x, made, twice, JSON_EXTRACT(facts, '$.a') FROM shop.t; \
                SELECT * FROM shop.v; SELECT shop.f(1); SELECT EVENT_NAME FROM \
                information_schema.EVENTS; SELECT DEFINER FROM information_schema.TRIGGERS WHERE \
                TRIGGER_SCHEMA = 'shop'";
    assert_eq!(new.run(same), old.run(same));
    assert!(new.fails("INSERT INTO shop.t (p) VALUES (99)"));

    // What MariaDB does not read of a table is told, what it does not take is refused.
    let before = new.text("shop");
    let plain = "CREATE TABLE shop.a (id INT, h INT";
    for (sql, word) in [
        (format!("{plain}) COLLATE utf8mb4_0900_ai_ci"), "utf8mb4_0900_ai_ci"),
        (format!("{plain}, KEY k ((id + 1)))"), "syntax"),
    ] {
        old.run(&sql);
        let dump = old.text("shop");
        let error = new.import("shop", None, &dump).unwrap_err();
        assert!(error.contains(word), "{word}: {error}");
        assert!(error.contains("is from MySQL and the server is MariaDB"), "{error}");
        assert_same(&new.text("shop"), &before, word);
        old.run("DROP TABLE shop.a");
    }
    old.run(&format!(
        "{plain} INVISIBLE, CHECK (id < 9) NOT ENFORCED); INSERT INTO shop.a (id) VALUES (5)"
    ));
    let warnings = new.import("shop", None, &old.text("shop")).unwrap();
    assert!(
        warnings[0].contains("MariaDB has no INVISIBLE in a, NOT ENFORCED in a"),
        "{warnings:?}"
    );
    assert_eq!(new.run("SELECT id FROM shop.a"), "5");
}
