// SPDX-License-Identifier: MIT
//! Who the users of this Hestia are and what belongs to them, read from Hestia's own rows.
//!
//! The truth is the folder of a user with its user.conf, not the list that Hestia makes from the
//! password file, which loses users whose comment field has no `@`. Rows that cannot be read are
//! reported and left out; nothing here follows a link.

use super::conf::{self, Row};
use super::layout::{Hestia, UserName};
use crate::base::error::io_error;
use crate::base::path::display_bytes;
use crate::base::{Error, Kind, Result, What, WhatIo, limits};
use crate::format::snapshot::Object;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// The sections of a backup in Hestia's order.
pub const SECTIONS: [&str; 6] = ["WEB", "DNS", "MAIL", "DB", "CRON", "UDIR"];

/// Folders of a home that Hestia backs up by other means or not at all.
const NOT_USER_DIRS: [&[u8]; 5] = [b"conf", b"web", b"dns", b"tmp", b"mail"];

/// What Hestia knows of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: UserName,
    /// All of user.conf. It holds secrets: show single values only.
    pub row: Row,
    /// When the user was made, which tells him from a later one of the same name.
    pub identity: String,
}

impl User {
    /// Whether the account is suspended.
    pub fn is_suspended(&self) -> bool {
        self.row.is_yes("SUSPENDED")
    }

    /// The mail address of the user.
    pub fn contact(&self) -> &str {
        self.row.text("CONTACT")
    }

    /// The package (plan) of the user.
    pub fn package(&self) -> &str {
        self.row.text("PACKAGE")
    }

    /// How many tarballs Hestia keeps for the user; 0 switches its backups off.
    pub fn tarballs_kept(&self) -> u64 {
        self.row.number("BACKUPS")
    }
}

/// What tells a user from a later one of the same name, from the user's user.conf; empty if the
/// file does not say when the user was made.
pub fn identity(user_conf: &Row) -> String {
    match (user_conf.text("DATE"), user_conf.text("TIME")) {
        ("", _) | (_, "") => String::new(),
        (date, time) => format!("{date}T{time}"),
    }
}

/// The engine of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbKind {
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Pgsql,
}

impl DbKind {
    /// Reads Hestia's word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "mysql" => Some(Self::Mysql),
            "pgsql" => Some(Self::Pgsql),
            _ => None,
        }
    }

    /// Hestia's word, as in file names and rows.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Pgsql => "pgsql",
        }
    }
}

/// A database row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its user.
    pub user: String,
    /// Its engine; `None` if Hestia names one this program does not know.
    pub kind: Option<DbKind>,
    /// The server it lies on, by Hestia's name for it.
    pub host: String,
}

/// A mail domain and its accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailDomain {
    /// The domain.
    pub name: String,
    /// The local parts of its accounts.
    pub accounts: Vec<String>,
}

/// All that belongs to one user.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Web domains.
    pub web: Vec<String>,
    /// DNS zones.
    pub dns: Vec<String>,
    /// Mail domains.
    pub mail: Vec<MailDomain>,
    /// Databases.
    pub databases: Vec<Database>,
    /// Numbers of the cron jobs.
    pub cron: Vec<String>,
    /// Top-level entries of the home that Hestia backs up, escaped for display.
    pub user_dirs: Vec<String>,
    /// Rows that could not be read.
    pub problems: Vec<Error>,
}

impl Inventory {
    /// As the list that a snapshot carries.
    pub fn objects(&self) -> Vec<Object> {
        let object =
            |section: &str, name: &str| Object { section: section.into(), name: name.into() };
        let mut objects = Vec::new();
        objects.extend(self.web.iter().map(|name| object("WEB", name)));
        objects.extend(self.dns.iter().map(|name| object("DNS", name)));
        objects.extend(self.mail.iter().map(|domain| object("MAIL", &domain.name)));
        objects.extend(self.databases.iter().map(|database| object("DB", &database.name)));
        if !self.cron.is_empty() {
            objects.push(object("CRON", &self.cron.len().to_string()));
        }
        objects.extend(self.user_dirs.iter().map(|name| object("UDIR", name)));
        objects
    }
}

/// Every user of this Hestia, sorted.
pub fn users(hestia: &Hestia) -> Result<Vec<UserName>> {
    hestia.check_installed()?;
    let folder = hestia.users();
    let what = || format!("list the users in {}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).what_io(what)?.take(limits::LISTED_ENTRIES_MAX) {
        let entry = entry.what_io(what)?;
        let Some(name) = entry.file_name().to_str().and_then(|name| UserName::parse(name).ok())
        else {
            continue;
        };
        if exists(hestia, &name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Folders of `data/users` that look like users but bear names that Hestia never gives: whatever
/// they are, nothing here touches them.
pub fn unusable(hestia: &Hestia) -> Result<Vec<Error>> {
    let folder = hestia.users();
    let what = || format!("list the users in {}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).what_io(what)?.take(limits::LISTED_ENTRIES_MAX) {
        let entry = entry.what_io(what)?;
        let name = entry.file_name();
        let is_usable = name.to_str().is_some_and(|name| UserName::parse(name).is_ok());
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_usable && is_folder && entry.path().join("user.conf").is_file() {
            let shown = display_bytes(entry.path().as_os_str().as_bytes());
            found.push(
                Error::new(Kind::Invalid, format!("take {shown} for a user"))
                    .why("Hestia gives no user such a name; it is neither backed up nor listed"),
            );
        }
    }
    Ok(found)
}

/// Whether Hestia has this user: a real folder directly in `data/users`, with a user.conf.
pub fn exists(hestia: &Hestia, user: &UserName) -> bool {
    let is_folder = hestia.user_data(user).symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let conf = hestia.user_file(user, "user.conf").symlink_metadata();
    is_folder && conf.is_ok_and(|meta| meta.is_file())
}

/// One user; [`Kind::NotFound`] if Hestia has none of that name.
pub fn user(hestia: &Hestia, name: &UserName) -> Result<User> {
    hestia.check_installed()?;
    let path = hestia.user_file(name, "user.conf");
    let text = if exists(hestia, name) { conf::read_file(&path)? } else { None };
    let text = text.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("find the user {name}"))
            .why("Hestia has no user of this name")
            .hint("ghostsnap hestia list-users names them all")
    })?;
    let (row, _) = conf::parse_keys(&text);
    Ok(User { name: name.clone(), identity: identity(&row), row })
}

/// Everything that belongs to a user.
pub fn of_user(hestia: &Hestia, name: &UserName) -> Result<Inventory> {
    let mut found = Inventory::default();
    let mut names = |file: &str, key: &str| -> Result<Vec<Row>> {
        let path = hestia.user_file(name, file);
        let rows = conf::read_rows(&path)?;
        found.problems.extend(conf::complaints(&path, &rows.bad));
        Ok(rows.rows.into_iter().filter(|row| !row.text(key).is_empty()).collect())
    };
    let only =
        |rows: Vec<Row>, key: &str| rows.iter().map(|row| row.text(key).to_owned()).collect();
    let web = only(names("web.conf", "DOMAIN")?, "DOMAIN");
    let dns = only(names("dns.conf", "DOMAIN")?, "DOMAIN");
    let cron = only(names("cron.conf", "JOB")?, "JOB");
    let databases = names("db.conf", "DB")?.iter().map(database).collect();
    let mut mail = Vec::new();
    for row in names("mail.conf", "DOMAIN")? {
        let domain = row.text("DOMAIN");
        // A name that is no plain file name has no file of accounts.
        let accounts = if domain.contains('/') {
            Vec::new()
        } else {
            only(names(&format!("mail/{domain}.conf"), "ACCOUNT")?, "ACCOUNT")
        };
        mail.push(MailDomain { name: domain.to_owned(), accounts });
    }
    found.user_dirs = user_dirs(hestia, name)?;
    Ok(Inventory { web, dns, mail, databases, cron, ..found })
}

fn database(row: &Row) -> Database {
    Database {
        name: row.text("DB").to_owned(),
        user: row.text("DBUSER").to_owned(),
        kind: DbKind::parse(row.text("TYPE")),
        host: row.text("HOST").to_owned(),
    }
}

fn user_dirs(hestia: &Hestia, name: &UserName) -> Result<Vec<String>> {
    let home = hestia.user_home(name);
    let what = || format!("list {}", home.display());
    let entries = match std::fs::read_dir(&home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(error, what())),
    };
    let mut found = Vec::new();
    for entry in entries.take(limits::LISTED_ENTRIES_MAX) {
        let entry = entry.what_io(what)?.file_name();
        if !NOT_USER_DIRS.contains(&entry.as_bytes()) {
            found.push(display_bytes(entry.as_bytes()));
        }
    }
    found.sort();
    Ok(found)
}

/// The rows of every other user in one file, with their owners: what this user must not touch.
pub fn rows_of_others(hestia: &Hestia, but: &UserName, file: &str) -> Result<Vec<(UserName, Row)>> {
    let mut found = Vec::new();
    for user in users(hestia)? {
        if user != *but {
            let rows = conf::read_rows(&hestia.user_file(&user, file))?;
            found.extend(rows.rows.into_iter().map(|row| (user.clone(), row)));
        }
    }
    Ok(found)
}

/// The users a command means, and the names it gave that Hestia does not have.
#[derive(Debug, Default)]
pub struct Chosen {
    /// The users, sorted.
    pub users: Vec<UserName>,
    /// Names that mean nobody, and why.
    pub unknown: Vec<(String, Error)>,
}

/// The users a command means: those named, those an `include` pattern matches (all, if neither is
/// given), without those an `exclude` pattern matches. Names that Hestia does not have come back
/// as errors beside the others.
pub fn choose(
    hestia: &Hestia,
    named: &[String],
    include: &[String],
    exclude: &[String],
) -> Result<Chosen> {
    let all = users(hestia)?;
    let (mut chosen, mut unknown) = (BTreeSet::new(), Vec::new());
    for name in named {
        match UserName::parse(name).and_then(|name| user(hestia, &name)) {
            Ok(user) => {
                chosen.insert(user.name);
            }
            Err(error) => unknown.push((name.clone(), error)),
        }
    }
    if named.is_empty() || !include.is_empty() {
        for user in all {
            if is_meant(&user, include, &[])? {
                chosen.insert(user);
            }
        }
    }
    let mut users = Vec::new();
    for user in chosen {
        if !matches_any(exclude, &user)? {
            users.push(user);
        }
    }
    Ok(Chosen { users, unknown })
}

/// Whether patterns mean a user: one of `include` does, or there is none, and none of `exclude`.
pub fn is_meant(user: &UserName, include: &[String], exclude: &[String]) -> Result<bool> {
    let is_included = include.is_empty() || matches_any(include, user)?;
    Ok(is_included && !matches_any(exclude, user)?)
}

fn matches_any(patterns: &[String], user: &UserName) -> Result<bool> {
    for pattern in patterns {
        if crate::tree::select::name_matches(pattern, user.as_str())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A value of Hestia's own settings; empty if it is not set.
pub fn system_setting(hestia: &Hestia, key: &str) -> Result<String> {
    let path = hestia.hestia_conf();
    let text = conf::read_file(&path)?.unwrap_or_default();
    let (row, _) = conf::parse_keys(&text);
    Ok(row.text(key).to_owned())
}

/// Parses a user name and looks the user up.
pub fn named(hestia: &Hestia, name: &str) -> Result<User> {
    let name = UserName::parse(name).what(Kind::Invalid, || "find the user")?;
    user(hestia, &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Fixture {
        _folder: tempfile::TempDir,
        hestia: Hestia,
    }

    fn fixture(users: &[&str]) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        fs::create_dir_all(hestia.command("")).unwrap();
        fs::create_dir_all(hestia.users()).unwrap();
        for user in users {
            let name = UserName::parse(user).unwrap();
            fs::create_dir_all(hestia.user_file(&name, "mail")).unwrap();
            let text = format!(
                "NAME='{user}'\nPACKAGE='default'\nBACKUPS='3'\nSUSPENDED='no'\nTIME='07:03:50'\nDATE='2026-11-22'\n"
            );
            fs::write(hestia.user_file(&name, "user.conf"), text).unwrap();
        }
        Fixture { _folder: folder, hestia }
    }

    fn names(users: &[UserName]) -> Vec<&str> {
        users.iter().map(UserName::as_str).collect()
    }

    #[test]
    fn users_are_folders_with_a_user_conf_and_nothing_else() {
        let Fixture { hestia, _folder } = fixture(&["bob", "bob.x", "alice"]);
        fs::create_dir(hestia.users().join("empty")).unwrap();
        fs::create_dir(hestia.users().join(".hidden")).unwrap();
        fs::write(hestia.users().join("file"), "").unwrap();
        std::os::unix::fs::symlink("alice", hestia.users().join("link")).unwrap();
        assert_eq!(names(&users(&hestia).unwrap()), ["alice", "bob", "bob.x"]);
        let error = named(&hestia, "link").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(named(&hestia, "../etc").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(named(&hestia, "bob").unwrap().identity, "2026-11-22T07:03:50");
    }

    #[test]
    fn objects_come_from_the_rows_and_the_home() {
        let Fixture { hestia, _folder } = fixture(&["alice"]);
        let alice = UserName::parse("alice").unwrap();
        let put = |file: &str, text: &str| fs::write(hestia.user_file(&alice, file), text).unwrap();
        put("web.conf", "DOMAIN='a.example' ALIAS=''\nbroken\nDOMAIN='b.example'\n");
        put("mail.conf", "DOMAIN='a.example'\n");
        put("mail/a.example.conf", "ACCOUNT='info' ALIAS=''\nACCOUNT='sales'\n");
        put(
            "db.conf",
            "DB='alice_wp' DBUSER='alice_u' HOST='localhost' TYPE='mysql'\nDB='alice_g' DBUSER='x' HOST='h' TYPE='pgsql'\n",
        );
        put("cron.conf", "JOB='1' CMD='x'\nJOB='7' CMD='y'\n");
        for entry in ["web", "conf", "tmp", "mail", "dns", ".ssh", "documents"] {
            fs::create_dir_all(hestia.user_home(&alice).join(entry)).unwrap();
        }
        let found = of_user(&hestia, &alice).unwrap();
        assert_eq!(found.web, ["a.example", "b.example"]);
        assert_eq!(
            found.mail,
            [MailDomain {
                name: "a.example".into(),
                accounts: vec!["info".into(), "sales".into()]
            }]
        );
        assert_eq!(
            found.databases.iter().map(|db| db.kind).collect::<Vec<_>>(),
            [Some(DbKind::Mysql), Some(DbKind::Pgsql)]
        );
        assert_eq!(found.user_dirs, [".ssh", "documents"]);
        assert_eq!(found.problems.len(), 1);
        assert!(found.objects().contains(&Object { section: "CRON".into(), name: "2".into() }));
    }

    #[test]
    fn names_and_patterns_combine_and_unknown_names_do_not_stop_the_others() {
        let Fixture { hestia, _folder } =
            fixture(&["alice", "bob", "bob.x", "prod-1", "prod-2", "user7"]);
        let choose = |named: &[&str], include: &[&str], exclude: &[&str]| {
            let owned =
                |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            let Chosen { users, unknown } =
                choose(&hestia, &owned(named), &owned(include), &owned(exclude)).unwrap();
            (users.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), unknown.len())
        };
        assert_eq!(choose(&[], &[], &["prod-*", "bob"]), ("alice bob.x user7".into(), 0));
        assert_eq!(
            choose(&["alice", "nobody"], &["prod-*", "user[1-9]"], &["*-2"]),
            ("alice prod-1 user7".into(), 1)
        );
        assert_eq!(choose(&["bob"], &[], &[]), ("bob".into(), 0));
        assert_eq!(choose(&["bob", "bob"], &[], &[]), ("bob".into(), 0));
    }
}
