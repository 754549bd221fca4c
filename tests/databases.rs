// SPDX-License-Identifier: MIT
//! Databases against real servers that the tests start themselves: dumps that are whole or fail,
//! and restores that bring back what was asked for, touch nothing else, or change nothing.
#![allow(missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

mod common {
    pub mod servers;
}

use common::servers::DbServer;
use ghostsnap::base::error::io_error;
use ghostsnap::base::{Kind, Result};
use ghostsnap::hestia::conf::Row;
use ghostsnap::hestia::database::{DatabaseRow, RunOptions};
use ghostsnap::hestia::inventory::DbKind;
use ghostsnap::hestia::{Hestia, dump};
use std::fs;
use std::io::Read;

struct Bench {
    db: DbServer,
    _folder: tempfile::TempDir,
    hestia: Hestia,
    kind: DbKind,
}

fn bench(kind: DbKind) -> Option<Bench> {
    let db = match kind {
        DbKind::Mysql => DbServer::mariadb()?,
        DbKind::Pgsql => DbServer::postgres()?,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut hestia = Hestia::below(folder.path());
    hestia.tools = "/usr/bin".into();
    for path in [hestia.conf(""), hestia.users(), hestia.command("")] {
        fs::create_dir_all(path).unwrap();
    }
    let (file, admin) = match kind {
        DbKind::Mysql => ("mysql.conf", "root"),
        DbKind::Pgsql => ("pgsql.conf", "postgres"),
    };
    fs::write(hestia.conf(file), db.row(admin)).unwrap();
    Some(Bench { db, _folder: folder, hestia, kind })
}

impl Bench {
    fn row(&self, name: &str) -> DatabaseRow {
        let row = format!(
            "DB='{name}' DBUSER='u_{name}' MD5='' HOST='127.0.0.1' TYPE='{}' CHARSET='UTF8MB4' \
             U_DISK='1' SUSPENDED='no'",
            self.kind.word()
        );
        DatabaseRow::parse(&Row::parse(row.as_bytes()).unwrap()).unwrap()
    }

    fn dump(&self, name: &str) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut output = dump::open(&self.hestia, &self.row(name), &RunOptions::default())?;
        output.read_to_end(&mut text).map_err(|error| io_error(error, "store the dump"))?;
        Ok(text)
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.dump(name).unwrap()).unwrap()
    }
}

/// All that a customer's MariaDB database may hold.
const RICH_MYSQL: &str = "
CREATE USER u_rich@'%' IDENTIFIED BY 'x';
CREATE DATABASE rich CHARACTER SET utf8mb4;
GRANT ALL ON rich.* TO u_rich@'%';
USE rich;
CREATE TABLE texts (id INT PRIMARY KEY AUTO_INCREMENT, t LONGTEXT) DEFAULT CHARSET utf8mb4;
INSERT INTO texts (t) VALUES ('plain'), ('😀 ünï 名前'), ('it''s \"q\" \\\\ back; -- no'), (NULL), ('a\\nb\\tc\\rd');
CREATE TABLE bytes (id INT PRIMARY KEY, b LONGBLOB, v VARBINARY(20), f BIT(3));
INSERT INTO bytes VALUES (1, X'00FF0A0D1A275C22', X'0001', b'101'), (2, '', NULL, NULL), (3, REPEAT(X'00', 100000), X'80', b'0');
CREATE TABLE old (id INT PRIMARY KEY, t VARCHAR(50)) DEFAULT CHARSET latin1;
INSERT INTO old VALUES (1, 'äöü');
CREATE TABLE isam (id INT) ENGINE=MyISAM;
INSERT INTO isam VALUES (7);
CREATE TABLE empty (id INT);
CREATE TABLE `odd name; -- ``x` (`a b` INT);
INSERT INTO `odd name; -- ``x` VALUES (1);
CREATE TABLE parent (id INT PRIMARY KEY);
CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id));
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1);
CREATE SEQUENCE counter START WITH 5; SELECT NEXTVAL(counter);
CREATE TABLE log (what VARCHAR(50));
CREATE DEFINER=u_rich@'%' TRIGGER logs AFTER INSERT ON texts FOR EACH ROW INSERT INTO log VALUES (NEW.id);
CREATE DEFINER=u_rich@'%' VIEW a_view AS SELECT id FROM z_view;
";
const RICH_MYSQL_2: &str = "
USE rich;
DROP VIEW a_view;
CREATE DEFINER=u_rich@'%' VIEW z_view AS SELECT id, t FROM texts WHERE id > 1;
CREATE DEFINER=u_rich@'%' VIEW a_view AS SELECT id FROM z_view;
CREATE DEFINER=u_rich@'%' FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2;
DELIMITER //
CREATE DEFINER=u_rich@'%' PROCEDURE many()
BEGIN
  -- Table structure for table `fake`
  DECLARE n INT DEFAULT 0;
  SELECT COUNT(*) INTO n FROM texts; SELECT n;
END//
DELIMITER ;
CREATE DEFINER=u_rich@'%' EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' DO DELETE FROM log;
";

fn make_rich_mysql(bench: &Bench) {
    let first = RICH_MYSQL.replace(
        "CREATE DEFINER=u_rich@'%' VIEW a_view AS SELECT id FROM z_view;\n",
        "CREATE VIEW a_view AS SELECT 1;\n",
    );
    bench.db.mysql(&first);
    bench.db.mysql(RICH_MYSQL_2);
}

#[test]
fn a_dump_of_mariadb_is_what_hestia_makes_and_whole() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    make_rich_mysql(&bench);
    let text = bench.text("rich");
    for part in [
        "0x00FF0A0D1A275C22",
        "😀 ünï 名前",
        "'äöü'",
        "CREATE DEFINER=`u_rich`@`%` FUNCTION `twice`",
        "EVENT `nightly`",
        "TRIGGER logs",
        "VIEW `a_view`",
        "SEQUENCE `counter`",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(text.ends_with("-- Dump completed\n"));
    assert_eq!(bench.text("rich"), text, "the second dump is the same to the byte");
    let grants = String::from_utf8(dump::grants(&bench.hestia, &bench.row("rich")).unwrap());
    assert!(grants.unwrap().contains("GRANT ALL PRIVILEGES ON `rich`.* TO `u_rich`@`%`"));

    // What cannot be dumped whole is an error, told with the server's words.
    bench.db.mysql("USE rich; DROP VIEW z_view; DROP TABLE child");
    let error = bench.dump("rich").unwrap_err();
    assert_eq!(error.kind(), Kind::Db);
    assert!(error.one_line().contains("a_view"), "{error}");
    let error = bench.dump("nosuch").unwrap_err().one_line();
    assert!(error.contains("Unknown database 'nosuch'"), "{error}");
    let conf = bench.hestia.conf("mysql.conf");
    let rows = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, rows.replace("word'", "word!'")).unwrap();
    let error = bench.dump("rich").unwrap_err().one_line();
    assert!(error.contains("Access denied") && !error.contains("word!"), "{error}");
    bench.db.mysql(&format!(
        "CREATE DATABASE big; USE big; CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(200)); \
         INSERT INTO t SELECT seq, REPEAT('x', 190) FROM seq_1_to_1000000; \
         SET GLOBAL general_log = 0;"
    ));
    fs::write(&conf, rows).unwrap();
    let whole = bench.dump("big").unwrap().len();
    let mut output = dump::open(&bench.hestia, &bench.row("big"), &RunOptions::default()).unwrap();
    let mut piece = vec![0; 1 << 16];
    output.read_exact(&mut piece).unwrap();
    bench.db.kill();
    let mut rest = Vec::new();
    let error = io_error(output.read_to_end(&mut rest).unwrap_err(), "store it");
    assert_eq!(error.kind(), Kind::Db);
    assert!(rest.len() + piece.len() < whole);
}
