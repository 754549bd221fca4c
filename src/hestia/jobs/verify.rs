// SPDX-License-Identifier: MIT
//! What a restore really brought back. `v-restore-user` swallows a failed import and a dump it
//! could not unpack, and ends with 0; so its transcript, Hestia's rows, the disk and the database
//! servers are asked afterwards.

use super::filter::Facts;
use crate::base::{Error, Kind, Monitor, Result};
use crate::format::snapshot::Object;
use crate::hestia::call::{Call, Caller, Outcome};
use crate::hestia::conf::{self, Row};
use crate::hestia::inventory::{self, DbKind};
use crate::hestia::layout::{Hestia, UserName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One object after a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Which.
    pub object: Object,
    /// Why it is not back; `None` if it is.
    pub problem: Option<String>,
}

/// What `v-restore-user` said it was at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    /// Section and name, in order.
    reached: Vec<(String, String)>,
}

impl Transcript {
    fn parse(output: &str) -> Self {
        let mut found = Self::default();
        let mut section = None;
        for line in output.lines() {
            if let Some(title) = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"))
            {
                section = match title {
                    "WEB" | "DNS" | "MAIL" | "DB" | "CRON" => Some(title),
                    "USER FILES" => Some("UDIR"),
                    _ => None,
                };
            } else if let (Some(section), Some(name)) = (section, after_time(line)) {
                found.reached.push((section.to_owned(), name.to_owned()));
            }
        }
        found
    }

    fn has(&self, object: &Object) -> bool {
        self.reached.iter().any(|(section, name)| {
            *section == object.section && (section == "CRON" || *name == object.name)
        })
    }

    fn is_last(&self, object: &Object) -> bool {
        self.reached.last().is_some_and(|(section, name)| {
            *section == object.section && (section == "CRON" || *name == object.name)
        })
    }
}

/// Whether a restore came to any object before it ended.
pub fn reached_anything(outcome: &Outcome) -> bool {
    !Transcript::parse(&outcome.output).reached.is_empty()
}

/// The rest of a line that starts with `2026-11-22 07:36:57 `.
fn after_time(line: &str) -> Option<&str> {
    let (stamp, name) = line.split_at_checked(20)?;
    let shape = "dddd-dd-dd dd:dd:dd ";
    let fits = stamp.chars().zip(shape.chars()).all(|(c, shape)| match shape {
        'd' => c.is_ascii_digit(),
        other => c == other,
    });
    fits.then_some(name)
}

/// What is known of a restore from those who did it.
pub struct Done<'d> {
    /// How `v-restore-user` ended.
    pub outcome: &'d Outcome,
    /// Whether sites, mailboxes and the home were put in place by us.
    pub in_place: bool,
    /// What of those was tried, and what went wrong with it.
    pub placed: &'d BTreeMap<Object, Option<String>>,
}

/// Looks at every object that a restore of `facts` should have brought back for `user`. `from` is
/// the user it was backed up from. What could not be looked at is a warning.
pub fn verify(
    server: (&Hestia, &dyn Caller),
    users: (&UserName, &UserName),
    facts: &Facts,
    done: &Done<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<Restored>> {
    let (hestia, caller) = server;
    let (user, _) = users;
    let outcome = done.outcome;
    let transcript = Transcript::parse(&outcome.output);
    let live = Live::read(hestia, user)?;
    let mut restored = Vec::new();
    for object in facts.all_objects() {
        let placed = done.placed.get(&object);
        let is_hestias = !done.in_place || !matches!(object.section.as_str(), "WEB" | "UDIR");
        let mut shown = object.clone();
        if object.section == "DB" {
            shown.name = renamed(&object.name, users.0, users.1);
        }
        let problem = if let Some(Some(problem)) = placed {
            Some(problem.clone())
        } else if !is_hestias {
            match placed {
                Some(_) => live.problem(hestia, user, &object),
                None => Some("the restore did not come to it".to_owned()),
            }
        } else if !transcript.has(&shown) {
            Some("Hestia did not come to it".to_owned())
        } else if !outcome.is_ok() && transcript.is_last(&shown) {
            Some(format!("Hestia stopped here: {}", outcome.complaint()))
        } else if object.section == "DB" {
            database(hestia, caller, &live, users, &object.name, facts, monitor)
        } else {
            live.problem(hestia, user, &object)
        };
        restored.push(Restored { object, problem });
    }
    Ok(restored)
}

/// The objects of a restore whose end could not be looked at: what became of them is not known.
pub fn unverified(facts: &Facts, error: &Error) -> Vec<Restored> {
    let problem = format!("not verified: {}", error.one_line());
    let one = |object| Restored { object, problem: Some(problem.clone()) };
    facts.all_objects().into_iter().map(one).collect()
}

/// What Hestia has of the user now.
struct Live {
    domains: BTreeMap<&'static str, BTreeSet<String>>,
    databases: Vec<Row>,
    cron_jobs: usize,
}

impl Live {
    fn read(hestia: &Hestia, user: &UserName) -> Result<Self> {
        let rows =
            |file: &str| Ok::<_, Error>(conf::read_rows(&hestia.user_file(user, file))?.rows);
        let mut domains = BTreeMap::new();
        for (section, file) in [("WEB", "web.conf"), ("DNS", "dns.conf"), ("MAIL", "mail.conf")] {
            let names = rows(file)?.iter().map(|row| row.text("DOMAIN").to_owned()).collect();
            domains.insert(section, names);
        }
        Ok(Self { domains, databases: rows("db.conf")?, cron_jobs: rows("cron.conf")?.len() })
    }

    fn problem(&self, hestia: &Hestia, user: &UserName, object: &Object) -> Option<String> {
        let name = &object.name;
        let domains = self.domains.get(object.section.as_str());
        if domains.is_some_and(|domains| !domains.contains(name)) {
            return Some("Hestia does not list it afterwards".to_owned());
        }
        let path = match object.section.as_str() {
            "WEB" => hestia.user_home(user).join("web").join(name),
            "DNS" => hestia.user_file(user, "dns").join(format!("{name}.conf")),
            "MAIL" => hestia.user_file(user, "mail").join(format!("{name}.conf")),
            // A name that is shown escaped has another one on the disk.
            "UDIR" if !name.contains('\\') => hestia.user_home(user).join(name),
            "CRON" if self.cron_jobs.to_string() != *name => {
                return Some(format!("Hestia lists {} of {name} jobs", self.cron_jobs));
            }
            _ => return None,
        };
        is_missing(&path).then(|| format!("{} is not there afterwards", path.display()))
    }
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err()
}

/// The name that Hestia gives a database of `from` that is restored for `user`.
pub fn renamed(name: &str, user: &UserName, from: &UserName) -> String {
    let rest = name.strip_prefix(from.as_str()).and_then(|rest| rest.strip_prefix('_'));
    match rest {
        Some(rest) if user != from => format!("{user}_{rest}"),
        _ => name.to_owned(),
    }
}

fn database(
    hestia: &Hestia,
    caller: &dyn Caller,
    live: &Live,
    (user, from): (&UserName, &UserName),
    name: &str,
    facts: &Facts,
    monitor: &dyn Monitor,
) -> Option<String> {
    let here = renamed(name, user, from);
    let Some(row) = live.databases.iter().find(|row| row.get("DB") == Some(&here)) else {
        return Some("Hestia does not list it afterwards".to_owned());
    };
    let expected = facts.databases.get(name).and_then(|one| one.dump).map_or(0, |dump| dump.tables);
    match tables(hestia, caller, row, monitor) {
        Ok(found) if found < expected => Some(format!("it has {found} of {expected} tables")),
        Ok(_) => None,
        Err(error) => {
            monitor.warn(error.within(format!("check that the database {here} is back")));
            None
        }
    }
}

/// How many tables a live database has.
pub fn tables(
    hestia: &Hestia,
    caller: &dyn Caller,
    row: &Row,
    monitor: &dyn Monitor,
) -> Result<u64> {
    let name = row.text("DB");
    let what = || format!("count the tables of {name}");
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '$');
    if name.is_empty() || !name.chars().all(harmless) || name.starts_with('-') {
        return Err(Error::new(Kind::Invalid, what()).why("its name cannot be put into a query"));
    }
    let host = row.text("HOST");
    if !host.chars().all(harmless) || host.is_empty() {
        return Err(Error::new(Kind::Invalid, what()).why("its server has no proper name"));
    }
    let call = match DbKind::parse(row.text("TYPE")) {
        Some(DbKind::Mysql) => mysql_count(hestia, name, host),
        Some(DbKind::Pgsql) => pgsql_count(hestia, name, host)?,
        None => return Err(Error::new(Kind::Invalid, what()).why("its engine is not known")),
    };
    let outcome = caller.call(&call, monitor)?;
    let outcome = outcome.check(what(), &call).map_err(|error| error.with_kind(Kind::Db))?;
    let number = outcome.output.lines().rev().find_map(|line| line.trim().parse().ok());
    number.ok_or_else(|| {
        Error::new(Kind::Db, what()).why(format!("{} printed no number", call.name()))
    })
}

fn mysql_count(hestia: &Hestia, name: &str, host: &str) -> Call {
    let client = hestia.tools.join("mariadb");
    let client = if client.exists() { client } else { hestia.tools.join("mysql") };
    let query = format!(
        "SELECT COUNT(*) FROM information_schema.tables \
         WHERE table_schema = '{name}' AND table_type NOT IN ('VIEW', 'SYSTEM VIEW')"
    );
    let credentials = hestia.conf(&format!(".mysql.{host}"));
    let defaults = format!("--defaults-file={}", credentials.display());
    Call::program(client, [defaults, "-N".into(), "-B".into(), "-e".into(), query])
}

fn pgsql_count(hestia: &Hestia, name: &str, host: &str) -> Result<Call> {
    let path = hestia.conf("pgsql.conf");
    let rows = conf::read_rows(&path)?.rows;
    let server = rows.iter().find(|row| row.get("HOST") == Some(host)).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("find the server {host} in {}", path.display()))
    })?;
    let port = if server.text("PORT").is_empty() { "5432" } else { server.text("PORT") };
    let query = "SELECT count(*) FROM information_schema.tables WHERE table_type = 'BASE TABLE' \
                 AND table_schema NOT IN ('pg_catalog', 'information_schema')";
    let user = server.text("USER");
    let arguments = ["-X", "-A", "-t", "-h", host, "-p", port, "-U", user, "-d", name, "-c", query];
    let mut call = Call::program(hestia.tools.join("psql"), arguments);
    call.environment.push(("PGPASSWORD".to_owned(), server.text("PASSWORD").to_owned()));
    Ok(call)
}

/// Whether the user is there after a restore.
pub fn user_is_there(hestia: &Hestia, user: &UserName) -> Result<()> {
    if inventory::exists(hestia, user) {
        return Ok(());
    }
    Err(Error::new(Kind::Partial, format!("restore the user {user}"))
        .why("Hestia has no such user afterwards"))
}

#[cfg(test)]
mod tests {
    use super::super::filter::{DbFacts, DumpFacts};
    use super::*;
    use crate::base::monitor::Collect;
    use crate::hestia::call::fake::{Recorder, outcome};
    use std::fs;

    const TRANSCRIPT: &str = "-- USER --\n2026-11-22 07:44:04 bob\n\n-- WEB --\n2026-11-22 07:44:13 b.example\n\
        \n-- DB --\n2026-11-22 07:46:44 bob_notes\n\n-- CRON --\n2026-11-22 07:46:48 1 cron job\n\
        \n-- USER FILES --\n2026-11-22 07:46:50 My Files\ngrep: warning: ? at start of expression\n";

    fn object(section: &str, name: &str) -> Object {
        Object { section: section.into(), name: name.into() }
    }

    #[test]
    fn the_transcript_tells_what_hestia_came_to() {
        let found = Transcript::parse(TRANSCRIPT);
        assert_eq!(found.reached.len(), 4);
        assert!(found.has(&object("WEB", "b.example")) && found.has(&object("CRON", "1")));
        assert!(found.has(&object("UDIR", "My Files")) && !found.has(&object("UDIR", "bob")));
        assert!(found.is_last(&object("UDIR", "My Files")));
    }

    struct Fixture {
        _folder: tempfile::TempDir,
        hestia: Hestia,
        user: UserName,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        let user = UserName::parse("bob").unwrap();
        fs::create_dir_all(hestia.user_data(&user)).unwrap();
        fs::create_dir_all(hestia.user_home(&user).join("web/b.example")).unwrap();
        fs::create_dir_all(hestia.user_home(&user).join("My Files")).unwrap();
        let put = |name: &str, text: &str| fs::write(hestia.user_file(&user, name), text).unwrap();
        put("web.conf", "DOMAIN='b.example'\n");
        put("cron.conf", "JOB='1' CMD='x'\n");
        put("db.conf", "DB='bob_notes' HOST='localhost' TYPE='mysql'\n");
        Fixture { _folder: folder, hestia, user }
    }

    fn facts() -> Facts {
        let mut facts = Facts { cron_jobs: 1, has_cron: true, ..Facts::default() };
        for (section, name) in [("WEB", "b.example"), ("DB", "bob_notes"), ("UDIR", "My Files")] {
            facts.objects.insert(object(section, name));
        }
        let dump = Some(DumpFacts { kind: DbKind::Mysql, bytes: 9, tables: 2 });
        facts.databases.insert("bob_notes".into(), DbFacts { row: None, dump });
        facts
    }

    fn problems(fixture: &Fixture, output: &str, code: i32, tables: &'static str) -> Vec<String> {
        let caller = Recorder::new(move |_| outcome(i32::from(tables.is_empty()), tables));
        let monitor = Collect::default();
        let users = (&fixture.user, &fixture.user);
        let server: (&Hestia, &dyn Caller) = (&fixture.hestia, &caller);
        let found = verify(
            server,
            users,
            &facts(),
            &Done { outcome: &outcome(code, output), in_place: false, placed: &BTreeMap::new() },
            &monitor,
        )
        .unwrap();
        let mut problems: Vec<String> = found
            .into_iter()
            .filter_map(|one| {
                one.problem.map(|why| format!("{} {}: {why}", one.object.section, one.object.name))
            })
            .collect();
        problems.extend(monitor.warnings());
        problems
    }

    #[test]
    fn a_restore_that_brought_everything_back_has_no_problems() {
        assert_eq!(problems(&fixture(), TRANSCRIPT, 0, "2\n"), [""; 0]);
    }

    #[test]
    fn an_import_that_failed_silently_is_found_by_its_missing_tables() {
        assert_eq!(
            problems(&fixture(), TRANSCRIPT, 0, "0\n"),
            ["DB bob_notes: it has 0 of 2 tables"]
        );
    }

    #[test]
    fn a_server_that_cannot_be_asked_is_a_warning_not_a_success_in_silence() {
        let found = problems(&fixture(), TRANSCRIPT, 0, "");
        assert!(
            found.len() == 1 && found[0].contains("check that the database bob_notes is back"),
            "{found:?}"
        );
    }

    #[test]
    fn a_section_that_silently_did_not_happen_is_named() {
        let fixture = fixture();
        let without_web = TRANSCRIPT.replace("2026-11-22 07:44:13 b.example\n", "");
        assert_eq!(
            problems(&fixture, &without_web, 0, "2"),
            ["WEB b.example: Hestia did not come to it"]
        );
        fs::write(fixture.hestia.user_file(&fixture.user, "web.conf"), "").unwrap();
        fs::remove_dir(fixture.hestia.user_home(&fixture.user).join("My Files")).unwrap();
        let found = problems(&fixture, TRANSCRIPT, 0, "2");
        assert_eq!(found[0], "WEB b.example: Hestia does not list it afterwards");
        assert!(found[1].ends_with("My Files is not there afterwards"));
    }

    #[test]
    fn where_hestia_stopped_is_where_it_failed() {
        let output =
            TRANSCRIPT.split("\n-- CRON").next().unwrap().to_owned() + "\nError: Can't unpack it\n";
        let found = problems(&fixture(), &output, 12, "2");
        assert_eq!(found[0], "DB bob_notes: Hestia stopped here: Can't unpack it");
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn both_servers_are_asked_with_hestias_own_credentials() {
        let Fixture { hestia, _folder, .. } = fixture();
        fs::create_dir_all(hestia.conf("")).unwrap();
        fs::write(
            hestia.conf("pgsql.conf"),
            "HOST='db.example' USER='postgres' PASSWORD='s3cret' PORT='5433'\n",
        )
        .unwrap();
        let caller = Recorder::new(|call| {
            let secret = call.environment.first().map_or("", |(_, value)| value.as_str());
            outcome(i32::from(call.name() == "psql" && secret != "s3cret"), " 7\n")
        });
        let monitor = Collect::default();
        for row in
            ["DB='a_b' HOST='localhost' TYPE='mysql'", "DB='a_b' HOST='db.example' TYPE='pgsql'"]
        {
            let row = Row::parse(row.as_bytes()).unwrap();
            assert_eq!(tables(&hestia, &caller, &row, &monitor).unwrap(), 7);
        }
        let lines = caller.lines();
        assert!(
            lines[0].starts_with("mysql --defaults-file=")
                && lines[0].contains("conf/.mysql.localhost -N -B -e")
        );
        assert!(lines[1].starts_with("psql -X -A -t -h db.example -p 5433 -U postgres -d a_b -c"));
        assert!(!lines[1].contains("s3cret"));
        for row in
            ["DB='a' HOST='../x' TYPE='mysql'", "DB='-x' HOST='h' TYPE='mysql'", "DB='a'' HOST='h'"]
        {
            let row = Row::parse_leading(row.as_bytes());
            assert!(tables(&hestia, &caller, &row, &monitor).is_err());
        }
    }
}
