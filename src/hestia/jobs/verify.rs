// SPDX-License-Identifier: MIT
//! What a restore really brought back. `v-restore-user` swallows a failed import and a dump it
//! could not unpack, and ends with 0; so its transcript, Hestia's rows, the disk and the database
//! servers are asked afterwards.

use super::filter::Facts;
use crate::base::{Error, Kind, Monitor, Result};
use crate::format::snapshot::Object;
use crate::hestia::call::Outcome;
use crate::hestia::conf::{self, Row};
use crate::hestia::database::{DatabaseRow, DatabaseServer};
use crate::hestia::import;
use crate::hestia::inventory::{self, DbKind};
use crate::hestia::layout::{Hestia, UserName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Why an object is not back that Hestia's restore ended before.
pub(super) const NOT_REACHED: &str = "Hestia did not come to it";
/// Why an object is not back that ours ended before.
pub(super) const NOT_TRIED: &str = "the restore did not come to it";

/// How the reason begins why nobody knows whether an object is back.
pub(super) const NOT_VERIFIED: &str = "not verified";

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
    /// Whether sites, databases, mailboxes and the home were put in place by us.
    pub in_place: bool,
    /// What of those was tried, and what went wrong with it.
    pub placed: &'d BTreeMap<Object, Option<String>>,
}

/// Looks at every object that a restore of `facts` should have brought back for `user`. `from` is
/// the user it was backed up from. What could not be looked at is a warning.
pub fn verify(
    hestia: &Hestia,
    users: (&UserName, &UserName),
    facts: &Facts,
    done: &Done<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<Restored>> {
    let (user, _) = users;
    let outcome = done.outcome;
    let transcript = Transcript::parse(&outcome.output);
    let live = Live::read(hestia, user)?;
    let mut restored = Vec::new();
    for object in facts.all_objects() {
        let placed = done.placed.get(&object);
        let section = object.section.as_str();
        let is_hestias = !done.in_place || !matches!(section, "WEB" | "DB" | "UDIR");
        let mut shown = object.clone();
        if object.section == "DB" {
            shown.name = renamed(&object.name, users.0, users.1);
        }
        let problem = if let Some(Some(problem)) = placed {
            Some(problem.clone())
        } else if !is_hestias {
            match placed {
                Some(_) => live.problem(hestia, user, &shown),
                None => Some(NOT_TRIED.to_owned()),
            }
        } else if !transcript.has(&shown) {
            Some(NOT_REACHED.to_owned())
        } else if !outcome.is_ok() && transcript.is_last(&shown) {
            Some(format!("Hestia stopped here: {}", outcome.complaint()))
        } else if object.section == "DB" {
            database(hestia, &live, users, &object.name, facts, monitor)
        } else {
            live.problem(hestia, user, &object)
        };
        restored.push(Restored { object, problem });
    }
    Ok(restored)
}

/// The objects of a restore whose end could not be looked at: what became of them is not known.
pub fn unverified(facts: &Facts, error: &Error) -> Vec<Restored> {
    let problem = format!("{NOT_VERIFIED}: {}", error.one_line());
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
        let lists = |row: &Row| row.text("DB").eq_ignore_ascii_case(name);
        if object.section == "DB" && !self.databases.iter().any(lists) {
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

/// The name that Hestia gives a database of `from` that is restored for `user`, of whatever kind it
/// is: one that begins as Hestia makes names for MySQL, or else for PostgreSQL.
pub fn renamed(name: &str, user: &UserName, from: &UserName) -> String {
    let of_kind = |kind| {
        let rest = name.strip_prefix(&start_of(kind, from))?;
        Some(format!("{}{rest}", start_of(kind, user)))
    };
    if user == from {
        return name.to_owned();
    }
    of_kind(DbKind::Mysql).or_else(|| of_kind(DbKind::Pgsql)).unwrap_or_else(|| name.to_owned())
}

/// The name that a database, or its account, of `from` has for `user`. Hestia makes names for
/// PostgreSQL in small letters, those of its user too; for MySQL they are as the user is written,
/// and two that differ in that are two.
pub fn renamed_here(kind: DbKind, name: &str, user: &UserName, from: &UserName) -> String {
    if user == from {
        return name.to_owned();
    }
    match name.strip_prefix(&start_of(kind, from)) {
        Some(rest) => format!("{}{rest}", start_of(kind, user)),
        None => name.to_owned(),
    }
}

/// How the names of databases and of their accounts begin that Hestia makes for a user.
pub fn start_of(kind: DbKind, user: &UserName) -> String {
    match kind {
        DbKind::Mysql => format!("{user}_"),
        DbKind::Pgsql => format!("{user}_").to_lowercase(),
    }
}

fn database(
    hestia: &Hestia,
    live: &Live,
    (user, from): (&UserName, &UserName),
    name: &str,
    facts: &Facts,
    monitor: &dyn Monitor,
) -> Option<String> {
    let dump = facts.databases.get(name).and_then(|one| one.dump.as_ref());
    let kinds = dump.map_or(vec![DbKind::Mysql, DbKind::Pgsql], |dump| vec![dump.kind]);
    let names: Vec<String> =
        kinds.into_iter().map(|kind| renamed_here(kind, name, user, from)).collect();
    let found = live.databases.iter().find_map(|row| {
        let here = names.iter().find(|here| row.get("DB") == Some(*here))?;
        Some((here, row))
    });
    let Some((here, row)) = found else {
        return Some("Hestia does not list it afterwards".to_owned());
    };
    let dump = dump?;
    let missing = DatabaseRow::parse(row).and_then(|row| {
        let server = DatabaseServer::find(hestia, row.kind, &row.host)?;
        import::missing(&server.hearing(&monitor.stop()), &row.name, &dump.content)
    });
    missing.unwrap_or_else(|error| {
        monitor.warn(error.within(format!("check that the database {here} is back")));
        None
    })
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
    use crate::hestia::call::fake::outcome;
    use crate::hestia::dump_text::Content;
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

    #[test]
    fn databases_are_called_after_whom_they_are_restored_for() {
        let user = |name: &str| UserName::parse(name).unwrap();
        let named = |name: &str, from: &str, to: &str| renamed(name, &user(to), &user(from));
        assert_eq!(named("bob_wp", "bob", "carol"), "carol_wp");
        assert_eq!(named("bobby_wp", "bob", "carol"), "bobby_wp");
        assert_eq!(named("Bob_wp", "Bob", "Robert"), "Robert_wp");
        // Names for PostgreSQL are in small letters.
        assert_eq!(named("bob_geo", "Bob", "Robert"), "robert_geo");
        assert_eq!(named("bob_geo", "Bob", "Bob"), "bob_geo");
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
        put("db.conf", "DB='bob_notes' DBUSER='bob_n' HOST='localhost' TYPE='mysql'\n");
        fs::create_dir_all(hestia.conf("")).unwrap();
        fs::create_dir_all(&hestia.tools).unwrap();
        fs::write(hestia.conf("mysql.conf"), "HOST='localhost' USER='root' PASSWORD='x'\n")
            .unwrap();
        Fixture { _folder: folder, hestia, user }
    }

    fn facts() -> Facts {
        let mut facts = Facts { cron_jobs: 1, has_cron: true, ..Facts::default() };
        for (section, name) in [("WEB", "b.example"), ("DB", "bob_notes"), ("UDIR", "My Files")] {
            facts.objects.insert(object(section, name));
        }
        let mut content = Content { last_filled: Some("b".into()), ..Content::default() };
        content.tables.extend([("a".to_owned(), 2), ("b".to_owned(), 3), ("c".to_owned(), 0)]);
        let dump = Some(DumpFacts { kind: DbKind::Mysql, bytes: 9, content });
        facts.databases.insert("bob_notes".into(), DbFacts { row: None, dump });
        facts
    }

    /// Puts up a client that knows these tables and says this of their rows.
    fn serve(fixture: &Fixture, tables: &[&str], rows: &str) {
        let known: String = tables
            .iter()
            .flat_map(|name| name.bytes())
            .map(|byte| format!("T{byte:02X}\\n"))
            .collect::<Vec<_>>()
            .concat();
        let text = format!(
            "#!/bin/bash\ncase $(cat) in\n*EXISTS*) printf '{rows}' ;;\n*) printf '{known}r0\\nt0\\ne0\\n' ;;\nesac\n"
        );
        let path = fixture.hestia.tools.join("mariadb");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        // Another test may have started a program while the script was open for writing, and that
        // keeps it open for a moment: busy.
        let start =
            || std::process::Command::new(&path).stdin(std::process::Stdio::null()).output();
        while start().is_err_and(|error| error.raw_os_error() == Some(26)) {}
    }

    const ALL: [&str; 3] = ["a", "b", "c"];
    const ALL_ROWS: &str = "e1\\nc3\\n";

    fn problems(fixture: &Fixture, output: &str, code: i32) -> Vec<String> {
        let monitor = Collect::default();
        let users = (&fixture.user, &fixture.user);
        let found = verify(
            &fixture.hestia,
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

    /// A machine where all came back.
    fn good() -> Fixture {
        let fixture = fixture();
        serve(&fixture, &ALL, ALL_ROWS);
        fixture
    }

    #[test]
    fn a_restore_that_brought_everything_back_has_no_problems() {
        assert_eq!(problems(&good(), TRANSCRIPT, 0), [""; 0]);
    }

    #[test]
    fn an_import_that_failed_silently_is_found_by_what_it_lacks() {
        let fixture = good();
        for (tables, rows, problem) in [
            (&ALL[..0], "", "it has 0 of 3 tables, without a, b, c"),
            (&ALL[..2], ALL_ROWS, "it has 2 of 3 tables, without c"),
            (&ALL[..], "e0\\nc3\\n", "1 of 2 tables that should have rows have none: a"),
            (&ALL[..], "e1\\nc2\\n", "b has 2 of 3 rows"),
            (&ALL[..], "e1\\nc0\\n", "1 of 2 tables that should have rows have none: b"),
        ] {
            serve(&fixture, tables, rows);
            let found = problems(&fixture, TRANSCRIPT, 0);
            assert_eq!(found, [format!("DB bob_notes: {problem}")]);
        }
        serve(&fixture, &ALL, "e1\\nc9\\n");
        assert_eq!(problems(&fixture, TRANSCRIPT, 0), [""; 0]);
    }

    #[test]
    fn a_server_that_cannot_be_asked_is_a_warning_not_a_success_in_silence() {
        let fixture = good();
        for rows in ["e1\\n", "no\\n"] {
            serve(&fixture, &ALL, rows);
            let found = problems(&fixture, TRANSCRIPT, 0);
            assert!(
                found.len() == 1 && found[0].contains("check that the database bob_notes is back"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_section_that_silently_did_not_happen_is_named() {
        let fixture = good();
        let without_web = TRANSCRIPT.replace("2026-11-22 07:44:13 b.example\n", "");
        assert_eq!(
            problems(&fixture, &without_web, 0),
            ["WEB b.example: Hestia did not come to it"]
        );
        fs::write(fixture.hestia.user_file(&fixture.user, "web.conf"), "").unwrap();
        fs::remove_dir(fixture.hestia.user_home(&fixture.user).join("My Files")).unwrap();
        let found = problems(&fixture, TRANSCRIPT, 0);
        assert_eq!(found[0], "WEB b.example: Hestia does not list it afterwards");
        assert!(found[1].ends_with("My Files is not there afterwards"));
    }

    #[test]
    fn where_hestia_stopped_is_where_it_failed() {
        let output =
            TRANSCRIPT.split("\n-- CRON").next().unwrap().to_owned() + "\nError: Can't unpack it\n";
        let found = problems(&good(), &output, 12);
        assert_eq!(found[0], "DB bob_notes: Hestia stopped here: Can't unpack it");
        assert_eq!(found.len(), 3);
    }
}
