// SPDX-License-Identifier: MIT
//! What is looked at before Hestia is let loose on a tarball, so that nothing is half done and
//! nothing of anybody else is touched. Hestia's restore drops the database that the archive names,
//! as the server's root, puts values of rows into SQL, and stops in the middle at a domain that
//! belongs to somebody else; all of that is refused here, before anything has changed.

use super::filter::{DbFacts, Facts};
use super::verify;
use crate::base::{Error, Kind, Result, limits};
use crate::format::snapshot::Object;
use crate::hestia::conf::{self, Row};
use crate::hestia::direct::idn::to_ascii;
use crate::hestia::inventory::{self, DbKind};
use crate::hestia::layout::{Hestia, UserName};
use std::collections::{BTreeMap, BTreeSet};

/// Fails if a restore of this content for `user` would touch what is not the user's. `from` is the
/// user the content was backed up from.
pub fn check(hestia: &Hestia, user: &UserName, from: &UserName, facts: &Facts) -> Result<()> {
    let objects: Vec<&Object> = facts.objects.iter().collect();
    check_objects(hestia, user, &objects)?;
    check_databases(hestia, user, from, facts)
}

/// The part of it that needs only the list of objects that a snapshot carries.
pub fn check_objects(hestia: &Hestia, user: &UserName, objects: &[&Object]) -> Result<()> {
    for object in objects.iter().filter(|one| one.section != "CRON") {
        check_object_name(&object.section, &object.name)?;
    }
    check_domains(hestia, user, objects)
}

/// Fails if a folder that Hestia empties or writes as root has been exchanged for a link: whoever
/// owns it would choose what is emptied.
pub fn check_live_folders(hestia: &Hestia, user: &UserName, objects: &[&Object]) -> Result<()> {
    let home = hestia.user_home(user);
    let mut folders = vec![home.clone(), home.join("web"), home.join("mail")];
    for object in objects {
        match object.section.as_str() {
            "WEB" => {
                let domain = home.join("web").join(&object.name);
                let parts = ["public_html", "public_shtml", "private", "cgi-bin", "stats", "logs"];
                folders
                    .extend(parts.iter().chain(&["document_errors"]).map(|one| domain.join(one)));
                folders.push(domain);
            }
            "MAIL" => folders.push(home.join("mail").join(&object.name)),
            // A file of the home may be a link of the user's own; a folder must be one.
            "UDIR" => folders.push(home.join(&object.name)),
            _ => {}
        }
    }
    for folder in folders {
        let is_link = folder.symlink_metadata().is_ok_and(|meta| meta.file_type().is_symlink());
        if is_link {
            return Err(Error::new(Kind::Forbidden, format!("restore the user {user}"))
                .why(format!(
                    "{} is a link, and Hestia would follow it as root",
                    folder.display().to_string().escape_debug()
                ))
                .hint("look where it leads, remove it, then restore again"));
        }
    }
    Ok(())
}

/// The databases that Hestia would empty or cannot restore, and why.
pub fn unsound_databases(facts: &Facts) -> BTreeMap<String, String> {
    let unsound = |(name, database): (&String, &DbFacts)| {
        check_database(name, database).err().map(|why| (name.clone(), why))
    };
    facts.databases.iter().filter_map(unsound).collect()
}

/// The same without the databases that will be left alone.
pub fn without_unsound(facts: &Facts) -> Facts {
    let mut sound = facts.clone();
    sound.databases.retain(|name, database| check_database(name, database).is_ok());
    sound
}

/// The same without the home, which Hestia never sees of a restore in place.
pub fn without_home(facts: &Facts) -> Facts {
    let mut rest = facts.clone();
    rest.objects.retain(|object| object.section != "UDIR");
    rest
}

/// Names go into unquoted words of Hestia's scripts. Folders of the home are handled with care
/// there, the others are not.
fn check_object_name(section: &str, name: &str) -> Result<()> {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '$');
    let first = |c: char| c.is_alphanumeric() || c == '_';
    // Tar's listing of the home is read line by line, with unusual letters escaped.
    let harmless_file = !name.contains(['\n', '\\']);
    let harmless_word = name.starts_with(first) && name.chars().all(inner);
    let harmless = if section == "UDIR" { harmless_file } else { harmless_word };
    if harmless {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, format!("restore {section} '{}'", name.escape_debug()))
        .why("Hestia's restore cannot handle this name")
        .hint("restore the rest by naming the other objects, or this one into a folder"))
}

/// The names of web domains and their aliases, zones and mail domains that other users have.
pub struct TakenNames(BTreeSet<String>);

impl TakenNames {
    /// Those of all users but this one.
    pub fn but_of(hestia: &Hestia, user: &UserName) -> Result<Self> {
        let mut names = BTreeSet::new();
        for file in ["web.conf", "dns.conf", "mail.conf"] {
            for (_, row) in inventory::rows_of_others(hestia, user, file)? {
                names.extend(row.get("DOMAIN").map(as_servers_see));
                names.extend(row.list("ALIAS").map(as_servers_see));
            }
        }
        Ok(Self(names))
    }

    /// Whether somebody has this name, or one that it would answer for.
    pub fn has(&self, name: &str) -> bool {
        let name = as_servers_see(name);
        let Some(base) = name.strip_prefix("*.") else { return self.0.contains(&name) };
        let is_below = |one: &String| one.strip_suffix(base).is_some_and(|r| r.ends_with('.'));
        self.0.contains(base) || self.0.iter().any(is_below)
    }
}

/// A domain as name servers and web servers compare it: in either case, in any script, with a dot
/// at its end or without.
fn as_servers_see(domain: &str) -> String {
    let name = domain.trim_end_matches('.').to_lowercase();
    to_ascii(&name).unwrap_or(name)
}

fn check_domains(hestia: &Hestia, user: &UserName, objects: &[&Object]) -> Result<()> {
    let mut taken: Vec<(UserName, String, &str)> = Vec::new();
    for (file, kind) in [("web.conf", "web"), ("dns.conf", "dns"), ("mail.conf", "mail")] {
        for (owner, row) in inventory::rows_of_others(hestia, user, file)? {
            taken.extend(row.get("DOMAIN").map(|name| (owner.clone(), name.to_owned(), kind)));
            taken.extend(row.list("ALIAS").map(|name| (owner.clone(), name.to_owned(), "alias")));
        }
    }
    let mut elsewhere = Vec::new();
    for (section, file) in [("WEB", "web.conf"), ("DNS", "dns.conf"), ("MAIL", "mail.conf")] {
        let own = conf::read_rows(&hestia.user_file(user, file))?;
        for domain in objects.iter().filter(|one| one.section == section).map(|one| &one.name) {
            if own.rows.iter().any(|row| row.get("DOMAIN") == Some(domain.as_str())) {
                continue;
            }
            if domain.ends_with('.') || domain.to_lowercase() != *domain {
                return Err(Error::new(Kind::Invalid, format!("restore {section} {domain}"))
                    .why("Hestia writes names in small letters and without a dot at the end")
                    .hint("name the other domains, and '*' for the other sections"));
            }
            let seen = as_servers_see(domain);
            let is_same = |name: &str| as_servers_see(name) == seen;
            if let Some((owner, _, kind)) = taken.iter().find(|(_, name, _)| is_same(name)) {
                elsewhere.push((format!("{section} {domain}"), owner.to_string(), *kind));
            }
        }
    }
    let Some((_, owner, kind)) = elsewhere.first() else { return Ok(()) };
    let names: Vec<&str> = elsewhere.iter().map(|(name, ..)| name.as_str()).collect();
    let error = Error::new(Kind::Exists, format!("restore {} for {user}", names.join(", "))).hint(
        "name the other domains, and '*' for the other sections; or take it from that user first",
    );
    if names.len() == 1 {
        let why = format!("it belongs to another user here ({kind}); nothing was changed");
        return Err(error.why(why).aside(format!("that user is {owner}")));
    }
    let owners: BTreeSet<&str> = elsewhere.iter().map(|(_, owner, _)| owner.as_str()).collect();
    let (whose, word) = match owners.len() {
        1 => ("another user", "that user is"),
        _ => ("other users", "those users are"),
    };
    let owners = owners.into_iter().collect::<Vec<_>>().join(", ");
    Err(error
        .why(format!("they belong to {whose} here; nothing was changed"))
        .aside(format!("{word} {owners}")))
}

fn check_databases(hestia: &Hestia, user: &UserName, from: &UserName, facts: &Facts) -> Result<()> {
    if facts.databases.is_empty() {
        return Ok(());
    }
    let others = inventory::rows_of_others(hestia, user, "db.conf")?;
    let own = conf::read_rows(&hestia.user_file(user, "db.conf"))?;
    for (name, database) in &facts.databases {
        let what = || format!("restore the database {name} for {user}");
        let refuse = |why: String| Err(Error::new(Kind::Forbidden, what()).why(why));
        let row = check_database(name, database).map_err(|why| {
            Error::new(Kind::Parsing, what())
                .why(why)
                .hint("restore without it: name the others in DB, and '*' for the other sections")
        })?;
        let kind = DbKind::parse(row.text("TYPE")).unwrap_or(DbKind::Mysql);
        // What two engines call the same are two things.
        let is_same = |row: &Row| row.get("TYPE") == Some(kind.word());
        let has = |row: &Row, key: &str, value: &str| is_same(row) && row.get(key) == Some(value);
        let is_own = |key: &str, value: &str| own.rows.iter().any(|row| has(row, key, value));
        let start = verify::start_of(kind, from);
        for (key, value) in [("DB", name.as_str()), ("DBUSER", row.text("DBUSER"))] {
            let other = others.iter().find(|(_, row)| has(row, key, value));
            // Under another name it is another one: that is looked at below.
            if let Some((owner, _)) = other.filter(|_| user == from) {
                return refuse(format!(
                    "{key} {value} belongs to another user; nothing was changed"
                ))
                .map_err(|error| error.aside(format!("that user is {owner}")));
            }
            let is_listed = user == from && is_own(key, value);
            if !is_listed && !value.starts_with(&start) {
                return refuse(format!(
                    "{key} {value} does not begin with {start}, so Hestia made it for nobody here"
                ));
            }
        }
        if user != from {
            check_new_names(name, row, (user, from), &own.rows, &others)?;
        }
    }
    Ok(())
}

/// Hestia gives what it restores for another user names of that user, and drops what has them.
fn check_new_names(
    name: &str,
    row: &Row,
    (user, from): (&UserName, &UserName),
    own: &[Row],
    others: &[(UserName, Row)],
) -> Result<()> {
    let kind = DbKind::parse(row.text("TYPE")).unwrap_or(DbKind::Mysql);
    for (key, value) in [("DB", name), ("DBUSER", row.text("DBUSER"))] {
        let new = verify::renamed_here(kind, value, user, from);
        let is_it = |row: &Row| row.get(key) == Some(new.as_str());
        let is_same = |row: &Row| row.get("TYPE") == Some(kind.word());
        if new.len() > limits::DATABASE_NAME_BYTES_MAX {
            return Err(Error::new(
                Kind::Invalid,
                format!("restore the database {name} for {user}"),
            )
            .why(format!("{new} is too long for a {key}; nothing was changed"))
            .hint("restore without it: name the others in DB, or give 'no'"));
        }
        // A user's own have one name each, whatever the engine: Hestia finds them by it.
        let kind_and_owner = if own.iter().any(is_it) {
            Some((Kind::Exists, user))
        } else {
            let other = others.iter().find(|(_, row)| is_same(row) && is_it(row));
            other.map(|(owner, _)| (Kind::Forbidden, owner))
        };
        if let Some((kind, owner)) = kind_and_owner {
            let whose = if owner == user { user.as_str() } else { "another user" };
            return Err(Error::new(kind, format!("restore the database {name} for {user}"))
                .why(format!(
                    "it would get the {key} {new}, which {whose} has; nothing was changed"
                ))
                .aside(format!("that user is {owner}"))
                .hint("restore without it: give 'no' for DB"));
        }
    }
    Ok(())
}

/// Checks that a database of an archive is what Hestia makes, and returns its row.
fn check_database<'f>(name: &str, database: &'f DbFacts) -> Result<&'f Row, String> {
    let row = database.row.as_ref().ok_or("it has no row in the archive")?;
    if row.text("DB") != name {
        return Err(format!(
            "its row in the archive is that of '{}'",
            row.text("DB").escape_debug()
        ));
    }
    let kind = DbKind::parse(row.text("TYPE")).ok_or("its row names no known engine")?;
    match &database.dump {
        None => return Err("the archive has no dump of it, and restoring it would empty it".into()),
        Some(dump) if dump.kind != kind => {
            return Err("its row and its dump name two engines".into());
        }
        Some(dump) if dump.bytes == 0 => {
            return Err("its dump is empty, and restoring it would empty it".into());
        }
        Some(_) => {}
    }
    // These values end up in SQL that is run as the server's root.
    for key in ["DBUSER", "HOST", "CHARSET"] {
        let value = row.text(key);
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '$');
        if !value.chars().all(inner) {
            return Err(format!("its {key} '{}' is none that Hestia makes", value.escape_debug()));
        }
    }
    if row
        .text("MD5")
        .contains(|c: char| !c.is_ascii_graphic() || matches!(c, '\\' | '`' | ';' | '"'))
    {
        return Err("its password hash is none that Hestia makes".into());
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::super::filter::DumpFacts;
    use super::*;
    use crate::hestia::dump_text::Content;
    use std::fs;

    fn user(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn fixture(users: &[&str]) -> (tempfile::TempDir, Hestia) {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        fs::create_dir_all(hestia.command("")).unwrap();
        fs::create_dir_all(hestia.users()).unwrap();
        for name in users {
            fs::create_dir_all(hestia.user_data(&user(name))).unwrap();
            fs::write(hestia.user_file(&user(name), "user.conf"), "").unwrap();
        }
        (folder, hestia)
    }

    fn with_object(section: &str, name: &str) -> Facts {
        let mut facts = Facts::default();
        facts.objects.insert(Object { section: section.into(), name: name.into() });
        facts
    }

    fn with_database(name: &str, row: &str, bytes: u64) -> Facts {
        let mut facts = Facts::default();
        let row = Some(Row::parse(row.as_bytes()).unwrap());
        let dump = Some(DumpFacts { kind: DbKind::Mysql, bytes, content: Content::default() });
        facts.databases.insert(name.into(), DbFacts { row, dump });
        facts
    }

    fn row(db: &str, user: &str) -> String {
        format!(
            "DB='{db}' DBUSER='{user}' MD5='*56' HOST='localhost' TYPE='mysql' CHARSET='UTF8MB4'"
        )
    }

    #[test]
    fn a_domain_of_somebody_else_is_refused_before_anything_happens() {
        let (_folder, hestia) = fixture(&["alice", "bob"]);
        fs::write(
            hestia.user_file(&user("bob"), "web.conf"),
            "DOMAIN='b.example' ALIAS='www.b.example,x.example'\n",
        )
        .unwrap();
        fs::write(hestia.user_file(&user("bob"), "mail.conf"), "DOMAIN='m.example'\n").unwrap();
        let check = |section: &str, name: &str| {
            check(&hestia, &user("alice"), &user("alice"), &with_object(section, name))
        };
        for (section, name) in [
            ("WEB", "b.example"),
            ("WEB", "x.example"),
            ("DNS", "b.example"),
            ("MAIL", "m.example"),
        ] {
            let error = check(section, name).unwrap_err();
            assert_eq!(error.kind(), Kind::Exists);
            assert!(error.one_line().contains("belongs to another user"), "{error}");
            assert!(!error.one_line().contains("bob"), "{error}");
            assert!(error.to_string().contains("that user is bob"), "{error}");
        }
        check("WEB", "a.example").unwrap();
        // An own domain is restored in place, whoever else has it as well.
        fs::write(hestia.user_file(&user("alice"), "web.conf"), "DOMAIN='x.example'\n").unwrap();
        check("WEB", "x.example").unwrap();
    }

    #[test]
    fn a_name_is_taken_in_whatever_form_it_is_written() {
        let (_folder, hestia) = fixture(&["alice", "bob"]);
        let row = "DOMAIN='shop.example' ALIAS='www.shop.example,b\u{fc}cher.example'\n";
        fs::write(hestia.user_file(&user("bob"), "web.conf"), row).unwrap();
        let taken = TakenNames::but_of(&hestia, &user("alice")).unwrap();
        for name in ["shop.example", "WWW.Shop.example", "shop.example.", "xn--bcher-kva.example"] {
            assert!(taken.has(name), "{name}");
        }
        assert!(taken.has("*.shop.example") && taken.has("*.example"));
        assert!(
            !taken.has("*.my.example") && !taken.has("op.example") && !taken.has("*.op.example")
        );
    }

    #[test]
    fn names_that_would_become_words_of_a_script_are_refused() {
        let (_folder, hestia) = fixture(&["alice"]);
        let check = |section: &str, name: &str| {
            check(&hestia, &user("alice"), &user("alice"), &with_object(section, name))
        };
        for name in ["a b", "$(id).example", "-x", "*.example", "a;b", "a`b"] {
            assert_eq!(check("WEB", name).unwrap_err().kind(), Kind::Invalid, "{name}");
        }
        for name in ["A.example", "a.example."] {
            assert_eq!(check("DNS", name).unwrap_err().kind(), Kind::Invalid, "{name}");
        }
        check("WEB", "xn--bcher-kva.example").unwrap();
        check("WEB", "b\u{fc}cher.example").unwrap();
        check("UDIR", "My Documents (old)").unwrap();
        assert!(check("UDIR", "a\\u{a}b").is_err());
    }

    #[test]
    fn only_databases_of_the_user_are_let_near_the_server() {
        let (_folder, hestia) = fixture(&["alice", "alice_x", "bob"]);
        fs::write(hestia.user_file(&user("alice_x"), "db.conf"), row("alice_x_wp", "alice_x_u"))
            .unwrap();
        let refused = |name: &str, row: &str, bytes: u64| {
            let facts = with_database(name, row, bytes);
            check(&hestia, &user("alice"), &user("alice"), &facts)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(refused("alice_wp", &row("alice_wp", "alice_u"), 9), None);
        for (name, row, bytes, words) in [
            ("mysql", row("mysql", "alice_u"), 9, "does not begin with alice_"),
            ("alice_wp", row("alice_wp", "root"), 9, "DBUSER root"),
            ("alice_x_wp", row("alice_x_wp", "alice_u"), 9, "that user is alice_x"),
            ("alice_wp", row("alice_wp", "alice_x_u"), 9, "that user is alice_x"),
            ("alice_wp", row("mysql", "alice_u"), 9, "that of 'mysql'"),
            ("alice_wp", row("alice_wp", "alice_u"), 0, "dump is empty"),
            (
                "alice_wp",
                row("alice_wp", "alice_u").replace("UTF8MB4", "x; DROP DATABASE y"),
                9,
                "CHARSET",
            ),
            (
                "alice_wp",
                row("alice_wp", "alice_u").replace("'mysql'", "'oracle'"),
                9,
                "no known engine",
            ),
            (
                "alice_wp",
                row("alice_wp", "alice_u").replace("'mysql'", "'pgsql'"),
                9,
                "two engines",
            ),
        ] {
            let message = refused(name, &row, bytes).unwrap_or_default();
            assert!(message.contains(words), "{name} {row}: {message}");
        }
        // What Hestia lists as the user's own may be called anything.
        fs::write(hestia.user_file(&user("alice"), "db.conf"), row("legacy", "legacy_u")).unwrap();
        assert_eq!(refused("legacy", &row("legacy", "legacy_u"), 9), None);
    }

    #[test]
    fn names_for_postgresql_are_small_letters_and_those_for_mysql_are_as_their_user_is_written() {
        let (_folder, hestia) = fixture(&["Bob", "bob", "Carol"]);
        let pgsql = |row: String| row.replace("'mysql'", "'pgsql'");
        let refused = |user_name: &str, from: &str, database: &str, row: String| {
            let mut facts = with_database(database, &row, 9);
            let kind = if row.contains("'pgsql'") { DbKind::Pgsql } else { DbKind::Mysql };
            let databases = facts.databases.values_mut().filter_map(|one| one.dump.as_mut());
            databases.for_each(|dump| dump.kind = kind);
            let done = check(&hestia, &user(user_name), &user(from), &facts);
            done.err().map(|error| error.to_string()).unwrap_or_default()
        };
        // A user that was deleted, so that nothing of it is listed any more.
        assert_eq!(refused("Bob", "Bob", "bob_geo", pgsql(row("bob_geo", "bob_u"))), "");
        assert_eq!(refused("Bob", "Bob", "Bob_wp", row("Bob_wp", "Bob_u")), "");
        let error = refused("Bob", "Bob", "bob_wp", row("bob_wp", "Bob_u"));
        assert!(error.contains("does not begin with Bob_"), "{error}");
        let error = refused("Bob", "Bob", "Bob_geo", pgsql(row("Bob_geo", "bob_u")));
        assert!(error.contains("does not begin with bob_"), "{error}");
        assert_eq!(refused("Carol", "Bob", "bob_geo", pgsql(row("bob_geo", "bob_u"))), "");

        // Two users may share such a beginning, but no database of one engine.
        let bobs = format!("{}\n{}\n", row("bob_wp", "bob_u"), pgsql(row("bob_mine", "bob_m")));
        fs::write(hestia.user_file(&user("bob"), "db.conf"), bobs).unwrap();
        assert_eq!(refused("Bob", "Bob", "bob_wp", pgsql(row("bob_wp", "bob_u"))), "");
        let error = refused("Bob", "Bob", "bob_mine", pgsql(row("bob_mine", "bob_u")));
        assert!(error.contains("that user is bob"), "{error}");
        let carols = pgsql(row("carol_geo", "carol_u"));
        fs::write(hestia.user_file(&user("Carol"), "db.conf"), carols).unwrap();
        let error = refused("Carol", "Bob", "bob_geo", pgsql(row("bob_geo", "bob_x")));
        assert!(error.contains("DB carol_geo, which Carol has"), "{error}");
    }

    #[test]
    fn another_user_gets_databases_of_a_living_one_under_new_names() {
        let (_folder, hestia) = fixture(&["alice", "carol"]);
        let mut facts = with_database("alice_wp", &row("alice_wp", "alice_u"), 9);
        facts.objects.insert(Object { section: "DB".into(), name: "alice_wp".into() });
        let alices = row("alice_wp", "alice_u");
        fs::write(hestia.user_file(&user("alice"), "db.conf"), alices).unwrap();
        check(&hestia, &user("carol"), &user("alice"), &facts).unwrap();
        let facts = with_database("bob_wp", &row("bob_wp", "alice_u"), 9);
        let error = check(&hestia, &user("carol"), &user("alice"), &facts).unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden);
    }

    #[test]
    fn under_the_names_it_would_get_nothing_may_be_there_already() {
        let (_folder, hestia) = fixture(&["carol", "carol_x"]);
        let refused = |database: &str, db_user: &str| {
            let facts = with_database(database, &row(database, db_user), 9);
            check(&hestia, &user("carol"), &user("old"), &facts)
                .err()
                .map(|error| (error.kind(), error.to_string()))
        };
        assert_eq!(refused("old_wp", "old_u"), None);
        let listed = row("carol_wp", "carol_u");
        fs::write(hestia.user_file(&user("carol"), "db.conf"), listed).unwrap();
        let listed = row("carol_x_wp", "carol_x_u");
        fs::write(hestia.user_file(&user("carol_x"), "db.conf"), listed).unwrap();
        for (database, db_user, kind, words) in [
            ("old_wp", "old_new", Kind::Exists, "DB carol_wp, which carol has"),
            ("old_new", "old_u", Kind::Exists, "DBUSER carol_u, which carol has"),
            ("old_x_wp", "old_new", Kind::Forbidden, "that user is carol_x"),
            ("old_new", "old_x_u", Kind::Forbidden, "that user is carol_x"),
        ] {
            let (found, message) = refused(database, db_user).unwrap();
            assert_eq!(found, kind, "{message}");
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(refused("old_new", "old_new"), None);
    }
}
