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
use ghostsnap::base::monitor::{Collect, Stop};
use ghostsnap::base::{Kind, Result, World};
use ghostsnap::hestia::conf::Row;
use ghostsnap::hestia::database::{DatabaseRow, DatabaseServer, RunOptions};
use ghostsnap::hestia::import::{self, Import, Orphans, Purpose};
use ghostsnap::hestia::inventory::DbKind;
use ghostsnap::hestia::{Hestia, dump, import_leftovers, import_rehearsal};
use std::fs;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

struct Bench {
    db: DbServer,
    _folder: tempfile::TempDir,
    hestia: Hestia,
    kind: DbKind,
    siblings: Vec<String>,
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
    Some(Bench { db, _folder: folder, hestia, kind, siblings: Vec::new() })
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

    /// Imports a dump into the database `name`; the error as one line.
    fn import(&self, name: &str, table: Option<&str>, dump: &[u8]) -> Result<(), String> {
        let target = self.row(name);
        let server = DatabaseServer::find(&self.hestia, self.kind, "127.0.0.1").unwrap();
        let exists = self.names().contains(&name.to_owned());
        let options = RunOptions::default();
        let siblings = &self.siblings;
        let whose = "test";
        let import = Import {
            target: &target,
            exists,
            table,
            siblings,
            whose,
            options,
            purpose: Purpose::Restore,
            orphans: Orphans::Refuse,
        };
        let monitor = Collect::default();
        let done = import::run(&server, &import, &mut &*dump, &World::system(), &monitor);
        assert_eq!(monitor.warnings(), [""; 0]);
        assert!(!self.names().iter().any(|name| name.starts_with("ghostsnap")));
        done.map(drop).map_err(|error| error.one_line())
    }

    /// The names of all databases and accounts.
    fn names(&self) -> Vec<String> {
        let text = match self.kind {
            DbKind::Mysql => self.db.mysql("SHOW DATABASES; SELECT User FROM mysql.user"),
            DbKind::Pgsql => self.db.psql(
                "postgres",
                "SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles",
            ),
        };
        text.lines().map(str::to_owned).collect()
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
INSERT INTO bytes VALUES (1, X'00FF0A0D1A275C22', X'0001', b'101'),
 (2, '', NULL, NULL), (3, REPEAT(X'00', 100000), X'80', b'0');
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
CREATE DEFINER=u_rich@'%' TRIGGER logs AFTER INSERT ON texts FOR EACH ROW
 INSERT INTO log VALUES (NEW.id);
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
CREATE DEFINER=u_rich@'%' EVENT nightly ON SCHEDULE EVERY 1 DAY
 STARTS '2030-01-01 03:00:00' DO DELETE FROM log;
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
    let grants = String::from_utf8(
        dump::grants(&bench.hestia, &bench.row("rich"), &RunOptions::default()).unwrap(),
    );
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

#[test]
fn a_database_of_mariadb_comes_back_whole_or_stays_as_it_is() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    make_rich_mysql(&bench);
    let dump = bench.dump("rich").unwrap();
    let text = String::from_utf8(dump.clone()).unwrap();
    // The definer of everything is the database's user at the host that Hestia makes first.
    bench.db.mysql("CREATE USER u_rich@localhost; GRANT ALL ON rich.* TO u_rich@localhost");
    let at_home = |text: &str| text.replace("`u_rich`@`%`", "`u_rich`@`localhost`");
    bench.db.mysql(
        "USE rich; DELETE FROM texts; DROP VIEW z_view; CREATE TABLE newer (id INT); \
         DROP PROCEDURE many; CREATE TRIGGER other BEFORE DELETE ON old FOR EACH ROW SET @a = 1; \
         CREATE VIEW v2 AS SELECT * FROM old; CREATE EVENT e2 ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    );
    bench.import("rich", None, &dump).unwrap();
    assert_eq!(bench.text("rich"), at_home(&text));

    // One after another, dumps that fail leave everything as it was.
    bench.db.mysql("USE rich; CREATE TABLE newer (id INT); INSERT INTO newer VALUES (3)");
    let before = bench.text("rich");
    let cut = &dump[..dump.len() / 2];
    let with = |line: &str| text.replacen("-- Dumping routines", &format!("{line}\n--"), 1);
    let marker = bench._folder.path().join("marker");
    fs::write(&marker, "root:x:0:0").unwrap();
    let place = marker.display();
    bench.db.mysql(
        "CREATE DATABASE victim; CREATE TABLE victim.t (id INT); INSERT INTO victim.t VALUES (1)",
    );
    for (bad, words) in [
        (String::from_utf8_lossy(cut).into_owned(), "not whole"),
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
        (with("DELETE FROM texts;"), "texts"),
        (with("DROP TABLE old;"), "old"),
        (with("GRANT ALL ON *.* TO u_rich@localhost;"), "Access denied"),
    ] {
        let error = bench.import("rich", None, bad.as_bytes()).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
        assert_eq!(bench.text("rich"), before, "{words}");
        assert!(marker.exists());
        assert_eq!(bench.db.mysql("SELECT COUNT(*) FROM victim.t"), "1");
    }

    // A database that is gone is made.
    bench.db.mysql("DROP DATABASE rich");
    bench.import("rich", None, &dump).unwrap();
    assert_eq!(bench.text("rich"), at_home(&text));
}

#[test]
fn one_table_of_mariadb_comes_back_and_nothing_else_changes() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    make_rich_mysql(&bench);
    bench.db.mysql("CREATE USER u_rich@localhost");
    let dump = bench.dump("rich").unwrap();
    bench.db.mysql("USE rich; UPDATE texts SET t = 'x'; DROP TRIGGER logs; DELETE FROM old; DROP TABLE `odd name; -- ``x`");
    bench.import("rich", Some("texts"), &dump).unwrap();
    bench.import("rich", Some("odd name; -- `x"), &dump).unwrap();
    assert_eq!(bench.db.mysql("SELECT COUNT(*) FROM rich.texts WHERE t <> 'x' OR t IS NULL"), "5");
    assert_eq!(bench.db.mysql("SELECT COUNT(*) FROM rich.old"), "0");
    assert_eq!(bench.db.mysql("SELECT * FROM rich.`odd name; -- ``x`"), "1");
    let text = bench.text("rich");
    assert!(text.contains("TRIGGER logs") && text.contains("VIEW `z_view`"));
    let error = bench.import("rich", Some("fake"), &dump).unwrap_err();
    assert!(error.contains("no such table"), "{error}");
    for tied in ["child", "parent"] {
        bench.import("rich", Some(tied), &dump).unwrap();
    }
    assert_eq!(bench.text("rich"), text);

    // Names that some comparisons take for the same are several tables.
    let three = ["caf", "Caf", "Cäf"];
    for (table, id) in three.iter().zip(1..) {
        bench.db.mysql(&format!(
            "USE rich; CREATE TABLE {table} (id INT); INSERT INTO {table} VALUES ({id})"
        ));
    }
    let dump = bench.text("rich");
    for table in three {
        bench.db.mysql("USE rich; DELETE FROM caf; DELETE FROM Caf; DELETE FROM Cäf");
        bench.import("rich", Some(table), dump.as_bytes()).unwrap();
        for other in three {
            let rows = bench.db.mysql(&format!("SELECT COUNT(*) FROM rich.{other}"));
            assert_eq!(rows, u8::from(table == other).to_string(), "{table} {other}");
        }
    }
    // So are databases.
    bench.db.mysql(
        "CREATE DATABASE Rich; USE Rich; CREATE TABLE t (id INT); \
         CREATE TRIGGER theirs BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
    );
    let dump = dump.into_bytes();
    bench.import("rich", None, &dump).unwrap();
    bench.db.mysql("DROP DATABASE Rich");

    // What fails after the tables have changed places is undone.
    bench.db.mysql(
        "USE rich; UPDATE texts SET t = 'newer'; DROP TRIGGER logs; \
         CREATE TRIGGER mine BEFORE UPDATE ON texts FOR EACH ROW SET @a = 1; \
         CREATE TRIGGER logs BEFORE DELETE ON old FOR EACH ROW SET @a = 1",
    );
    let text = bench.text("rich");
    let error = bench.import("rich", Some("texts"), &dump).unwrap_err();
    assert!(error.contains("already exists"), "{error}");
    assert_eq!(bench.text("rich"), text);
    assert!(bench.import("gone", Some("texts"), &dump).unwrap_err().contains("no such database"));
}

const RICH_PGSQL: &str = "
CREATE SCHEMA extra;
CREATE TABLE public.places (id serial PRIMARY KEY, name text NOT NULL, raw bytea,
 meta jsonb, tags text[]);
INSERT INTO places (name, raw, meta, tags) VALUES ('Ort ü 😀', '\\x00ff', '{\"n\": 1}', '{a,\"b c\"}'),
 (E'it''s \\\\ back\nslash; -- Name: x; Type: TABLE; Schema: public; Owner: -\nCREATE TABLE x (',
 NULL, NULL, NULL);
CREATE TABLE public.\"Odd one\" (id int GENERATED BY DEFAULT AS IDENTITY, place int REFERENCES places (id));
INSERT INTO \"Odd one\" (place) VALUES (1), (2);
CREATE TABLE extra.\"order\" (a int, b text DEFAULT 'x', CHECK (a > 0));
INSERT INTO extra.\"order\" VALUES (1), (2);
CREATE INDEX by_b ON extra.\"order\" (b);
CREATE TABLE empty (id int);
CREATE VIEW public.big AS SELECT id FROM places WHERE id > 1;
CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM places;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql
 AS $body$ BEGIN -- '; \n RETURN NEW; END $body$;
CREATE TRIGGER notes BEFORE INSERT ON extra.\"order\" FOR EACH ROW EXECUTE FUNCTION noted();
COMMENT ON TABLE extra.\"order\" IS 'orders';
";

fn make_rich_pgsql(bench: &Bench) {
    bench.db.psql("postgres", "CREATE ROLE u_rich LOGIN PASSWORD 'x'");
    bench.db.psql("postgres", "CREATE DATABASE rich OWNER u_rich");
    bench.db.psql(
        "rich",
        &format!("GRANT CREATE ON DATABASE rich TO u_rich; SET ROLE u_rich; {RICH_PGSQL}"),
    );
}

/// A dump without what is different every time.
fn plain(dump: &str) -> String {
    let lines = dump
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_database_of_postgres_is_dumped_whole_and_comes_back_or_stays_as_it_is() {
    let Some(bench) = bench(DbKind::Pgsql) else { return };
    make_rich_pgsql(&bench);
    let text = bench.text("rich");
    let dump = text.clone().into_bytes();
    for part in ["INSERT INTO public.places VALUES (1, 'Ort ü 😀'", "CREATE SCHEMA extra", "by_b"]
    {
        assert!(text.contains(part), "{part}");
    }
    assert_eq!(plain(&text), plain(&bench.text("rich")));
    let grants = dump::grants(&bench.hestia, &bench.row("rich"), &RunOptions::default()).unwrap();
    assert!(String::from_utf8(grants).unwrap().contains("rolpassword='SCRAM-SHA-256$"));
    assert!(bench.dump("nosuch").unwrap_err().one_line().contains("nosuch"));

    bench.db.psql("rich", "DELETE FROM \"Odd one\"; DROP VIEW big; CREATE TABLE newer (a int)");
    bench.import("rich", None, &dump).unwrap();
    assert_eq!(plain(&bench.text("rich")), plain(&text));
    let owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'extra')";
    assert_eq!(bench.db.psql("rich", owner), "u_rich");

    bench
        .db
        .psql("postgres", "CREATE DATABASE victim; REVOKE CONNECT ON DATABASE victim FROM PUBLIC");
    bench.db.psql("rich", "SET ROLE u_rich; CREATE TABLE newer (a int)");
    let before = plain(&bench.text("rich"));
    let marker = bench._folder.path().join("marker");
    fs::write(&marker, "x").unwrap();
    let place = marker.display();
    let cut = &text[..text.len() / 2];
    let with = |line: &str| text.replacen("CREATE VIEW", &format!("{line}\nCREATE VIEW"), 1);
    let mut wrong = Vec::new();
    for (bad, words) in [
        (cut.to_owned(), "not whole"),
        (with(&format!("\\! rm {place}")), "restrict"),
        (with(&format!("SELECT 1 \\! rm {place}\n;")), "restrict"),
        (with(&format!("\\i {place}")), "restrict"),
        (with(&format!("\\copy places FROM '{place}'")), "restrict"),
        (with("\\c victim"), "restrict"),
        (with(&format!("\\unrestrict x\n\\! rm {place}")), "restrict"),
        (
            with(&format!(
                "SELECT set_config('standard_conforming_strings', 'off', false);\n\
                 SELECT '\\'';\n\\! rm {place} #';"
            )),
            "restrict",
        ),
        (with(&format!("COPY places FROM PROGRAM 'rm {place}';")), "must be superuser"),
        (with(&format!("COPY places FROM '{place}';")), "must be superuser"),
        (with("COMMIT; DROP DATABASE victim;"), "must be owner"),
        (with("ALTER ROLE postgres PASSWORD 'x';"), "must be superuser"),
        (with("RESET ROLE; ALTER ROLE u_rich SUPERUSER;"), "must be superuser"),
        (with("RESET ROLE; SET ROLE postgres;"), "permission denied"),
        (with("DELETE FROM public.places; COMMIT; SELECT 1/0;"), "division"),
        (
            text.replacen(
                "--\n-- PostgreSQL database dump complete",
                "DELETE FROM extra.\"order\";\n--\n-- PostgreSQL database dump complete",
                1,
            ),
            "should have rows",
        ),
    ] {
        let error = bench.import("rich", None, bad.as_bytes()).err().unwrap_or_default();
        if !error.contains(words) {
            wrong.push(format!("{words}: {error}"));
        }
        assert_eq!(plain(&bench.text("rich")), before, "{words}");
        assert!(marker.exists());
    }

    assert_eq!(wrong, [""; 0]);

    bench.db.psql("postgres", "DROP DATABASE rich");
    bench.import("rich", None, &dump).unwrap();
    assert_eq!(plain(&bench.text("rich")), plain(&text));
}

#[test]
fn one_table_of_postgres_comes_back_and_nothing_else_changes() {
    let Some(bench) = bench(DbKind::Pgsql) else { return };
    make_rich_pgsql(&bench);
    let text = bench.text("rich");
    let dump = text.clone().into_bytes();
    bench.db.psql("rich", "DROP TABLE extra.\"order\"; UPDATE places SET meta = NULL");
    bench.import("rich", Some("extra.order"), &dump).unwrap();
    bench.db.psql("rich", "UPDATE \"Odd one\" SET place = 1");
    bench.import("rich", Some("Odd one"), &dump).unwrap();
    // A view depends on it.
    let error = bench.import("rich", Some("places"), &dump).unwrap_err();
    assert!(error.contains("other objects depend on it"), "{error}");
    // One that is newer than the dump stays as it is.
    bench.db.psql("rich", "CREATE TABLE later AS SELECT 1 AS a");
    for missing in ["x", "later"] {
        let error = bench.import("rich", Some(missing), &dump).unwrap_err();
        assert!(error.contains("no such table"), "{error}");
    }
    bench.db.psql("rich", "DO 'BEGIN ASSERT (SELECT a FROM later) = 1; END'; DROP TABLE later");
    // What the owner of a database makes of the server's own names is never called by us.
    bench.db.psql(
        "rich",
        "CREATE FUNCTION public.eq(name, name) RETURNS boolean LANGUAGE plpgsql AS \
         'BEGIN RAISE EXCEPTION ''hijacked''; END'; \
         CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = name, PROCEDURE = public.eq); \
         ALTER DATABASE rich SET search_path = public, pg_catalog",
    );
    bench.import("rich", None, &dump).unwrap();
    bench.db.psql("rich", "UPDATE places SET meta = '{\"n\": 1}' WHERE id = 1");
    let sorted = |text: &str| {
        let text = plain(text);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&bench.text("rich")), sorted(&text));
}

#[test]
fn an_import_that_is_stopped_at_any_time_leaves_everything_as_it_was() {
    let Some(bench) = bench(DbKind::Mysql) else { return };
    bench
        .db
        .mysql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT); INSERT INTO shop.t VALUES (1)");
    let (names, before) = (bench.names(), bench.text("shop"));
    let dump = before.replace("(1)", "(2)");
    let target = bench.row("shop");
    let server = DatabaseServer::find(&bench.hestia, bench.kind, "127.0.0.1").unwrap();
    let mut stopped = 0;
    for patience in [0, 1, 2, 4, 8, 16] {
        let asked = AtomicU64::new(0);
        let stop = Stop::when(move || asked.fetch_add(1, Ordering::Relaxed) >= patience);
        let options = RunOptions { stop, ..RunOptions::default() };
        let import = Import {
            target: &target,
            exists: true,
            table: None,
            siblings: &[],
            whose: "test",
            options,
            purpose: Purpose::Restore,
            orphans: Orphans::Refuse,
        };
        let monitor = Collect::default();
        let done = import::run(&server, &import, &mut dump.as_bytes(), &World::system(), &monitor);
        assert_eq!(monitor.warnings(), [""; 0]);
        assert_eq!(bench.names(), names);
        match done {
            Ok(_) => assert_eq!(bench.text("shop"), dump),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Cancelled, "{error}");
                assert_eq!(bench.text("shop"), before);
                stopped += 1;
            }
        }
    }
    assert!(stopped >= 2, "{stopped}");
}

/// Puts a client in front of the real one that hands on so many calls, of the next one so many
/// lines, and then nothing more: to the server that looks like a process that was killed there.
fn mortal(bench: &mut Bench, client: &str, dump: &str) {
    let tools = bench._folder.path().join("tools");
    fs::create_dir_all(&tools).unwrap();
    std::os::unix::fs::symlink(format!("/usr/bin/{dump}"), tools.join(dump)).unwrap();
    let text = format!(
        "#!/bin/bash\nhere=$(dirname \"$0\")\nread -r calls lines < \"$here/life\"\n\
         if [ \"$calls\" -gt 0 ]; then echo \"$((calls - 1)) $lines\" > \"$here/life\"; \
         exec /usr/bin/{client} \"$@\"; fi\n\
         echo \"0 0\" > \"$here/life\"\n\
         [ \"$lines\" -gt 0 ] && head -n \"$lines\" | /usr/bin/{client} \"$@\" > /dev/null 2>&1\n\
         exit 1\n"
    );
    fs::write(tools.join(client), text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(tools.join(client), mode).unwrap();
    bench.hestia.tools = tools;
}

impl Bench {
    fn lives_for(&self, calls: usize, lines: usize) {
        fs::write(self.hestia.tools.join("life"), format!("{calls} {lines}\n")).unwrap();
    }

    /// Kills an import at each of its steps and lets the next one clean up: afterwards all is as
    /// before or as restored, and nothing is left. Says how often it was the one and the other.
    fn sweep(&self, name: &str, dump: &[u8], spoil: &str, state: impl Fn() -> String) -> [u32; 2] {
        let server = DatabaseServer::find(&self.hestia, self.kind, "127.0.0.1").unwrap();
        let row = self.row(name);
        let run_sql = |sql: &str| match self.kind {
            DbKind::Mysql => self.db.mysql(&format!("USE {name}; {sql}")),
            DbKind::Pgsql => self.db.psql(name, sql),
        };
        let restored = state();
        let mut seen = [0; 2];
        for (calls, lines) in (0..60).flat_map(|calls| [(calls, 0), (calls, 1), (calls, 2)]) {
            run_sql(spoil);
            let before = state();
            self.lives_for(calls, lines);
            let import = Import {
                target: &row,
                exists: true,
                table: None,
                siblings: &[],
                whose: "test",
                options: RunOptions::default(),
                purpose: Purpose::Restore,
                orphans: Orphans::Refuse,
            };
            let done =
                import::run(&server, &import, &mut &*dump, &World::system(), &Collect::default());
            self.lives_for(1_000_000, 0);
            let monitor = Collect::default();
            // Somebody else's import is left alone.
            let count = self.names().len();
            let rows = std::slice::from_ref(&row);
            import_leftovers::finish(&server, "tes", rows, &World::system(), &monitor).unwrap();
            assert_eq!(self.names().len(), count);
            import_leftovers::finish(&server, "test", rows, &World::system(), &monitor).unwrap();
            assert_eq!(monitor.warnings(), [""; 0], "{calls} {lines}");
            let after = state();
            assert!(after == before || after == restored, "{calls} {lines}: {after}");
            seen[usize::from(after == restored)] += 1;
            let left: Vec<String> = self.names();
            let left: Vec<&String> = left.iter().filter(|one| one.starts_with("ghost")).collect();
            // One that died before it could say whose it is has nothing in it.
            assert!(left.len() <= usize::from(calls == 0 && lines > 0), "{calls}: {left:?}");
            left.iter().for_each(|one| drop(self.db.mysql(&format!("DROP DATABASE {one}"))));
            if done.is_ok() {
                assert_eq!(state(), restored);
                return seen;
            }
        }
        panic!("an import has too many steps");
    }
}

#[test]
fn an_import_into_mariadb_that_is_killed_anywhere_is_brought_to_an_end() {
    let Some(mut bench) = bench(DbKind::Mysql) else { return };
    bench.db.mysql(
        "CREATE USER u_rich@localhost; CREATE DATABASE rich; GRANT ALL ON rich.* TO \
         u_rich@localhost; USE rich; CREATE TABLE t (id INT); INSERT INTO t VALUES (1), (2); \
         CREATE TABLE log (id INT); \
         CREATE DEFINER=u_rich@localhost TRIGGER n AFTER INSERT ON t FOR EACH ROW \
         INSERT INTO log VALUES (NEW.id); \
         CREATE DEFINER=u_rich@localhost VIEW v AS SELECT id FROM t; \
         CREATE DEFINER=u_rich@localhost PROCEDURE p() SELECT 1",
    );
    let dump = bench.dump("rich").unwrap();
    mortal(&mut bench, "mariadb", "mariadb-dump");
    bench.lives_for(1_000_000, 0);
    let spoil = "DELETE FROM t; INSERT INTO t VALUES (9); DROP VIEW IF EXISTS v; \
                 CREATE OR REPLACE DEFINER=u_rich@localhost VIEW w AS SELECT id FROM log; \
                 DROP PROCEDURE IF EXISTS p; CREATE OR REPLACE DEFINER=u_rich@localhost \
                 TRIGGER d BEFORE DELETE ON t FOR EACH ROW SET @a = 1";
    let seen = bench.sweep("rich", &dump, spoil, || bench.text("rich"));
    assert!(seen[0] > 10 && seen[1] > 5, "{seen:?}");
}

#[test]
fn an_import_into_postgres_that_is_killed_anywhere_is_brought_to_an_end() {
    let Some(mut bench) = bench(DbKind::Pgsql) else { return };
    bench.db.psql("postgres", "CREATE ROLE u_rich LOGIN PASSWORD 'x'");
    bench.db.psql("postgres", "CREATE DATABASE rich OWNER u_rich");
    bench
        .db
        .psql("rich", "SET ROLE u_rich; CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)");
    let dump = bench.dump("rich").unwrap();
    mortal(&mut bench, "psql", "pg_dump");
    bench.lives_for(1_000_000, 0);
    let spoil = "SET ROLE u_rich; DELETE FROM t; INSERT INTO t VALUES (9)";
    let seen = bench.sweep("rich", &dump, spoil, || plain(&bench.text("rich")));
    assert!(seen[0] > 5 && seen[1] > 1, "{seen:?}");
}

impl Bench {
    /// Kills a rehearsal at each of its steps and lets the next one clean up: the live database is
    /// as it was all the time, and nothing is left.
    fn sweep_rehearsals(&self, name: &str, dump: &[u8], state: impl Fn() -> String) {
        let server = DatabaseServer::find(&self.hestia, self.kind, "127.0.0.1").unwrap();
        let row = self.row(name);
        let before = (state(), self.names());
        for (calls, lines) in (0..60).flat_map(|calls| [(calls, 0), (calls, 1), (calls, 2)]) {
            self.lives_for(calls, lines);
            let import = Import {
                target: &row,
                exists: true,
                table: None,
                siblings: &[],
                whose: "test",
                options: RunOptions::default(),
                purpose: Purpose::Rehearsal,
                orphans: Orphans::Refuse,
            };
            let done =
                import::run(&server, &import, &mut &*dump, &World::system(), &Collect::default());
            self.lives_for(1_000_000, 0);
            assert_eq!(state(), before.0, "{calls} {lines}");
            let (world, monitor) = (World::system(), Collect::default());
            // Neither somebody else's rehearsal nor a restore takes it for its own.
            let count = self.names().len();
            import_rehearsal::finish(&server, "tes", &world, &monitor).unwrap();
            let rows = std::slice::from_ref(&row);
            import_leftovers::finish(&server, "test", rows, &world, &monitor).unwrap();
            assert_eq!(self.names().len(), count);
            let is_said = import_rehearsal::left_by(&server).unwrap().contains("test");
            let told = import_rehearsal::finish(&server, "test", &world, &monitor).unwrap();
            assert_eq!(told.is_empty(), !is_said);
            assert_eq!(monitor.warnings(), [""; 0], "{calls} {lines}");
            let left: Vec<String> = self.names();
            let left: Vec<&String> = left.iter().filter(|one| one.starts_with("ghost")).collect();
            // One that died before it could say whose it is has nothing in it.
            assert!(left.len() <= usize::from(calls == 0 && lines > 0), "{calls}: {left:?}");
            left.iter().for_each(|one| drop(self.db.mysql(&format!("DROP DATABASE {one}"))));
            assert_eq!((state(), self.names()), before, "{calls} {lines}");
            if let Ok(done) = done {
                let counted = done.counted.unwrap();
                assert_eq!((counted.tables, counted.rows), (2, 3));
                return;
            }
        }
        panic!("a rehearsal has too many steps");
    }
}

#[test]
fn a_rehearsal_on_mariadb_that_is_killed_anywhere_leaves_nothing() {
    let Some(mut bench) = bench(DbKind::Mysql) else { return };
    bench.db.mysql(
        "CREATE USER u_rich@localhost; CREATE DATABASE rich; GRANT ALL ON rich.* TO \
         u_rich@localhost; USE rich; CREATE TABLE t (id INT); INSERT INTO t VALUES (1), (2); \
         CREATE TABLE log (id INT); INSERT INTO log VALUES (1); \
         CREATE DEFINER=u_rich@localhost TRIGGER n AFTER INSERT ON t FOR EACH ROW \
         INSERT INTO log VALUES (NEW.id); \
         CREATE DEFINER=u_rich@localhost EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM log",
    );
    let dump = bench.dump("rich").unwrap();
    mortal(&mut bench, "mariadb", "mariadb-dump");
    bench.lives_for(1_000_000, 0);
    bench.sweep_rehearsals("rich", &dump, || bench.text("rich"));
}

#[test]
fn a_rehearsal_on_postgres_that_is_killed_anywhere_leaves_nothing() {
    let Some(mut bench) = bench(DbKind::Pgsql) else { return };
    bench.db.psql("postgres", "CREATE ROLE u_rich LOGIN PASSWORD 'x'");
    bench.db.psql("postgres", "CREATE DATABASE rich OWNER u_rich");
    bench.db.psql(
        "rich",
        "GRANT CREATE ON DATABASE rich TO u_rich; SET ROLE u_rich; CREATE TABLE t (id int); \
         INSERT INTO t VALUES (1), (2); CREATE SCHEMA s; CREATE TABLE s.u (id int); INSERT INTO s.u VALUES (1)",
    );
    let dump = bench.dump("rich").unwrap();
    mortal(&mut bench, "psql", "pg_dump");
    bench.lives_for(1_000_000, 0);
    bench.sweep_rehearsals("rich", &dump, || plain(&bench.text("rich")));
}
