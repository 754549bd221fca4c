// SPDX-License-Identifier: MIT
//! What would stop or surprise a restore on this server, found before anything is touched, each
//! with what mends it.

use super::filter::Facts;
use super::offers::Offers;
use super::plan::Plan;
use super::shelf::Shelf;
use super::web_row::{self, Recipient};
use crate::base::{Error, Kind, Result, units};
use crate::format::snapshot::Object;
use crate::hestia::conf::{self, Row};
use crate::hestia::inventory;
use crate::hestia::layout::{Hestia, UserName};
use std::path::Path;

/// Something that stands in the way of a restore, or comes out otherwise than it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about; `None` if it is about the user as a whole.
    pub object: Option<Object>,
    /// Why the restore stops here; without one, it goes on and this is how things will differ.
    pub stops: Option<Kind>,
    /// What is found.
    pub why: String,
    /// What mends it.
    pub mend: String,
    /// What an administrator may know beside and a customer may not.
    pub aside: String,
}

impl Finding {
    pub(super) fn stop(
        object: Option<Object>,
        kind: Kind,
        why: String,
        mend: impl Into<String>,
    ) -> Self {
        Self { object, stops: Some(kind), why, mend: mend.into(), aside: String::new() }
    }

    pub(super) fn change(object: Option<Object>, why: String, mend: impl Into<String>) -> Self {
        Self { object, stops: None, why, mend: mend.into(), aside: String::new() }
    }

    /// What an error says, as a finding.
    pub fn from_error(error: &Error) -> Self {
        let mend = error.hint_text().unwrap_or_default();
        let why = format!("cannot {}: {}", error.what(), error.reasons_or_what());
        // All findings together say that once.
        let why = why.replace("; nothing was changed", "");
        let aside = error.aside_text().unwrap_or_default().to_owned();
        Self { aside, ..Self::stop(None, error.kind(), why, mend) }
    }

    /// The object as people name it.
    pub fn name(&self) -> String {
        self.object
            .as_ref()
            .map_or("user".to_owned(), |one| format!("{} {}", one.section, one.name))
    }
}

/// The error that findings make which stop a restore; `None` if none does.
pub fn as_error(user: &UserName, findings: &[Finding]) -> Option<Error> {
    let stops: Vec<&Finding> = findings.iter().filter(|one| one.stops.is_some()).collect();
    let first = stops.first()?;
    let line = |one: &&Finding| format!("{}: {}", one.name(), one.why);
    let whys: Vec<String> = stops.iter().map(line).collect();
    let mut mends: Vec<&str> = stops.iter().map(|one| one.mend.as_str()).collect();
    mends.sort_unstable();
    mends.dedup();
    let kind = first.stops.unwrap_or(Kind::Invalid);
    let error = Error::new(kind, format!("restore the user {user}"));
    let error = error.why(format!("{}; nothing was changed", whys.join("; ")));
    let error = error.hint(mends.join("; "));
    let asides = stops.iter().map(|one| one.aside.as_str()).filter(|aside| !aside.is_empty());
    let asides = asides.collect::<Vec<_>>().join("; ");
    Some(if asides.is_empty() { error } else { error.aside(asides) })
}

/// What a restore is looked at with.
pub struct Question<'q> {
    /// The Hestia it comes to.
    pub hestia: &'q Hestia,
    /// What that offers.
    pub offers: &'q Offers,
    /// The user it is restored for.
    pub user: &'q UserName,
    /// What the snapshot has of it.
    pub facts: &'q Facts,
    /// The configuration that is known.
    pub shelf: &'q Shelf,
    /// What would be written.
    pub plans: &'q [Plan],
}

/// Everything that would stop or surprise the restore.
pub fn look(question: &Question<'_>, to: &Recipient<'_>) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let is_new = !inventory::exists(question.hestia, question.user);
    if is_new {
        new_user(question, &mut found);
    }
    parents(question, &mut found)?;
    services(question, &mut found);
    sites(question, to, &mut found)?;
    databases(question, &mut found)?;
    limits(question, is_new, &mut found)?;
    room(question, is_new, &mut found)?;
    Ok(found)
}

fn new_user(question: &Question<'_>, found: &mut Vec<Finding>) {
    let old = &question.shelf.user;
    let package = old.text("PACKAGE");
    if !package.is_empty() && !question.offers.has_package(package) {
        let why = format!("the package '{package}' is not here; the limits in the snapshot hold");
        let mend = "make the package first, or v-change-user-package afterwards";
        found.push(Finding::change(None, why, mend));
    }
    if old.is_yes("SUSPENDED") {
        let why = "was suspended when backed up, and comes back unsuspended".to_owned();
        found.push(Finding::change(None, why, format!("v-suspend-user {}", question.user)));
    }
}

/// What no service is here for: Hestia passes it over without a word.
fn services(question: &Question<'_>, found: &mut Vec<Finding>) {
    let setting = |key: &str| question.offers.setting(key);
    if setting("WEB_SYSTEM").is_empty() {
        // Not even sites are served: what this Hestia has was never written down.
        return;
    }
    for (section, key, service) in
        [("DNS", "DNS_SYSTEM", "name server"), ("MAIL", "MAIL_SYSTEM", "mail server")]
    {
        if !matches!(setting(key), "" | "no") {
            continue;
        }
        for name in question.facts.of(section) {
            let object = Object { section: section.to_owned(), name: name.to_owned() };
            let why = format!("this Hestia has no {service} ({key})");
            let mend = format!("install one, or restore with 'no' for {section}");
            found.push(Finding::stop(Some(object), Kind::Disabled, why, mend));
        }
    }
}

/// A domain below one of somebody else's. Hestia lets nobody add such a one unless that user or
/// the administrator allows it, but restores it.
fn parents(question: &Question<'_>, found: &mut Vec<Finding>) -> Result<()> {
    if question.offers.setting("ENFORCE_SUBDOMAIN_OWNERSHIP") != "yes" {
        return Ok(());
    }
    let others = inventory::rows_of_others(question.hestia, question.user, "web.conf")?;
    let owner_of = |name: &str| {
        let row = others.iter().find(|(_, row)| row.get("DOMAIN") == Some(name))?;
        (!row.1.is_yes("ALLOW_USERS")).then_some(&row.0)
    };
    for (section, file) in [("WEB", "web.conf"), ("DNS", "dns.conf"), ("MAIL", "mail.conf")] {
        let own = conf::read_rows(&question.hestia.user_file(question.user, file))?.rows;
        for name in question.facts.of(section) {
            if own.iter().any(|row| row.get("DOMAIN") == Some(name)) {
                continue;
            }
            let above = parents_of(name).find_map(|parent| Some((parent, owner_of(parent)?)));
            if let Some((parent, owner)) = above {
                let object = Object { section: section.to_owned(), name: name.to_owned() };
                let why = format!("it lies below {parent}, which belongs to another user");
                let mend = "name the domains to restore without it, or let that user allow it with \
                            v-add-web-domain-allow-users";
                let aside = format!("{parent} is of user {owner}");
                let stop = Finding::stop(Some(object), Kind::Exists, why, mend);
                found.push(Finding { aside, ..stop });
            }
        }
    }
    Ok(())
}

/// The domains above one, down to those of two names.
fn parents_of(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(domain.split_once('.'), |(_, rest)| rest.split_once('.'))
        .map(|(_, rest)| rest)
        .filter(|rest| rest.contains('.'))
}

fn sites(question: &Question<'_>, to: &Recipient<'_>, found: &mut Vec<Finding>) -> Result<()> {
    let own = conf::read_rows(&question.hestia.user_file(question.user, "web.conf"))?.rows;
    for name in question.facts.of("WEB") {
        let object = || Some(Object { section: "WEB".to_owned(), name: name.to_owned() });
        if own.iter().any(|row| row.get("DOMAIN") == Some(name)) {
            continue;
        }
        let Some(row) = question.shelf.web.get(name).and_then(|parts| parts.row.as_ref()) else {
            let why = "its row in the snapshot is none that Hestia makes".to_owned();
            let mend = "make the domain in the panel first; then its files can be restored";
            found.push(Finding::stop(object(), Kind::Parsing, why, mend));
            continue;
        };
        let (_, changes) = web_row::make(row, name, to)?;
        let changed = changes.into_iter();
        found.extend(changed.map(|one| Finding::change(object(), one.why, one.mend)));
    }
    Ok(())
}

fn databases(question: &Question<'_>, found: &mut Vec<Finding>) -> Result<()> {
    let own = conf::read_rows(&question.hestia.user_file(question.user, "db.conf"))?.rows;
    let systems = question.offers.setting("DB_SYSTEM");
    for (name, database) in &question.facts.databases {
        let Some(row) = &database.row else { continue };
        // What is here already is restored where it is.
        let here = own.iter().find(|own| own.get("DB") == Some(name)).unwrap_or(row);
        let (kind, host) = (here.text("TYPE"), here.text("HOST"));
        let is_served = systems.is_empty() || systems.split(',').any(|one| one == kind);
        let known: Vec<&str> = question.offers.database_servers_of(kind).collect();
        if is_served && (known.is_empty() || question.offers.has_database_server(kind, host)) {
            continue;
        }
        let object = Object { section: "DB".to_owned(), name: name.clone() };
        let why = if is_served {
            format!("it is on the {kind} server '{host}', and this Hestia has {}", known.join(", "))
        } else {
            format!("this Hestia has no {kind}")
        };
        let mend = format!("v-add-database-host {kind} adds a server; or restore without it");
        found.push(Finding::stop(Some(object), Kind::Db, why, mend));
    }
    Ok(())
}

const LIMITS: [(&str, &str, &str, &str); 5] = [
    ("WEB", "WEB_DOMAINS", "web.conf", "DOMAIN"),
    ("DNS", "DNS_DOMAINS", "dns.conf", "DOMAIN"),
    ("MAIL", "MAIL_DOMAINS", "mail.conf", "DOMAIN"),
    ("DB", "DATABASES", "db.conf", "DB"),
    ("CRON", "CRON_JOBS", "cron.conf", "JOB"),
];

/// What the user's package allows. Hestia restores beyond it, and then lets nothing be added.
fn limits(question: &Question<'_>, is_new: bool, found: &mut Vec<Finding>) -> Result<()> {
    let row = user_row(question, is_new)?;
    for (section, limit, file, key) in LIMITS {
        let Ok(allowed) = row.text(limit).parse::<u64>() else { continue };
        let own = conf::read_rows(&question.hestia.user_file(question.user, file))?.rows;
        let is_own = |name: &str| own.iter().any(|row| row.get(key) == Some(name));
        let count = |number: usize| units::bytes(number);
        let after = if section == "CRON" {
            if question.facts.has_cron { question.facts.cron_jobs } else { count(own.len()) }
        } else {
            let new = question.facts.of(section).filter(|name| !is_own(name)).count();
            count(own.len()) + count(new)
        };
        if after > allowed && after > count(own.len()) {
            let why = format!("there will be {after} of {section}, the package allows {allowed}");
            let mend = format!("a larger package: v-change-user-package {}", question.user);
            found.push(Finding::change(None, why, mend));
        }
    }
    Ok(())
}

fn user_row(question: &Question<'_>, is_new: bool) -> Result<Row> {
    if is_new {
        return Ok(question.shelf.user.clone());
    }
    Ok(inventory::user(question.hestia, question.user)?.row)
}

/// Whether the disk and the user's quota hold what is to come.
fn room(question: &Question<'_>, is_new: bool, found: &mut Vec<Finding>) -> Result<()> {
    let growth = question.plans.iter().map(|plan| plan.growth).fold(0, u64::saturating_add);
    if let Some(free) = free_bytes(&question.hestia.home)
        && growth > free
    {
        let why = format!(
            "{} are free in {}, and the restore adds about {}",
            units::ByteSize(free),
            question.hestia.home.display(),
            units::ByteSize(growth)
        );
        let mend = "free some space there, or choose less of the snapshot";
        found.push(Finding::stop(None, Kind::Disk, why, mend));
    }
    let row = user_row(question, is_new)?;
    let Ok(quota) = row.text("DISK_QUOTA").parse::<u64>() else { return Ok(()) };
    let quota_bytes = quota.saturating_mul(1 << 20);
    let used = if is_new { 0 } else { row.number("U_DISK").saturating_mul(1 << 20) };
    if question.offers.setting("DISK_QUOTA") == "yes"
        && growth > 0
        && used.saturating_add(growth) > quota_bytes
    {
        let why = format!(
            "the quota is {}, {} are used, and the restore adds about {}",
            units::ByteSize(quota_bytes),
            units::ByteSize(used),
            units::ByteSize(growth)
        );
        let mend = "a package with a larger quota, or choose less of the snapshot";
        // Of what is used only Hestia's count of last night is known.
        found.push(if growth > quota_bytes {
            Finding::stop(None, Kind::Limit, why, mend)
        } else {
            Finding::change(None, why, mend)
        });
    }
    Ok(())
}

fn free_bytes(folder: &Path) -> Option<u64> {
    // A disk that cannot be asked is no reason to refuse: the restore itself will tell.
    let disk = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::super::filter::{DbFacts, DumpFacts};
    use super::*;
    use crate::hestia::dump_text::Content;
    use crate::hestia::inventory::DbKind;
    use std::fs;

    struct Fixture {
        _folder: tempfile::TempDir,
        hestia: Hestia,
        facts: Facts,
        shelf: Shelf,
        plans: Vec<Plan>,
    }

    fn user(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn fixture(settings: &str) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        for path in [hestia.command(""), hestia.conf(""), hestia.home.clone()] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(hestia.hestia_conf(), settings).unwrap();
        for name in ["alice", "bob"] {
            fs::create_dir_all(hestia.user_data(&user(name))).unwrap();
            let row = "WEB_DOMAINS='1'\nDATABASES='unlimited'\nDISK_QUOTA='1'\nU_DISK='0'\n";
            fs::write(hestia.user_file(&user(name), "user.conf"), row).unwrap();
        }
        let (facts, shelf) = (Facts::default(), Shelf::default());
        Fixture { _folder: folder, hestia, facts, shelf, plans: Vec::new() }
    }

    impl Fixture {
        fn has(&mut self, section: &str, name: &str) {
            self.facts.objects.insert(Object { section: section.into(), name: name.into() });
        }

        fn look(&self, name: &str) -> Vec<String> {
            let offers = Offers::read(&self.hestia).unwrap();
            let user = user(name);
            let question = Question {
                hestia: &self.hestia,
                offers: &offers,
                user: &user,
                facts: &self.facts,
                shelf: &self.shelf,
                plans: &self.plans,
            };
            let to = Recipient {
                hestia: &self.hestia,
                offers: &offers,
                user: &user,
                from: &user,
                taken: &|_| false,
                now: (String::new(), String::new()),
            };
            let found = look(&question, &to).unwrap();
            let weight = |one: &Finding| if one.stops.is_some() { "stops" } else { "changes" };
            assert!(found.iter().all(|one| !one.mend.is_empty()));
            found.iter().map(|one| format!("{} {}: {}", one.name(), weight(one), one.why)).collect()
        }
    }

    #[test]
    fn a_domain_below_somebody_elses_is_refused_unless_that_is_allowed() {
        let mut fixture = fixture("ENFORCE_SUBDOMAIN_OWNERSHIP='yes'\n");
        fixture.has("MAIL", "shop.b.example");
        let rows = |text: &str| {
            fs::write(fixture.hestia.user_file(&user("bob"), "web.conf"), text).unwrap();
            fixture.look("alice")
        };
        assert_eq!(
            rows("DOMAIN='b.example'\n"),
            ["MAIL shop.b.example stops: it lies below b.example, which belongs to another user"]
        );
        assert_eq!(rows("DOMAIN='b.example' ALLOW_USERS='yes'\n"), [""; 0]);
        assert_eq!(rows("DOMAIN='op.b.example'\n"), [""; 0]);
    }

    #[test]
    fn what_this_server_lacks_is_said_with_what_takes_its_place() {
        let mut fixture = fixture("WEB_SYSTEM='apache2'\nDB_SYSTEM='mysql'\n");
        fixture.has("WEB", "a.example");
        fixture.has("WEB", "bad.example");
        let row = Row::parse(b"DOMAIN='a.example' TPL='wordpress'").unwrap();
        fixture.shelf.web.entry("a.example".into()).or_default().row = Some(row);
        let row = Some(Row::parse(b"DB='alice_x' TYPE='pgsql' HOST='localhost'").unwrap());
        let dump = Some(DumpFacts { kind: DbKind::Pgsql, bytes: 9, content: Content::default() });
        fixture.facts.databases.insert("alice_x".into(), DbFacts { row, dump });
        assert_eq!(
            fixture.look("alice"),
            [
                "WEB a.example changes: the web template 'wordpress' is not here: 'default' \
                 takes its place",
                "WEB bad.example stops: its row in the snapshot is none that Hestia makes",
                "DB alice_x stops: this Hestia has no pgsql",
                "user changes: there will be 2 of WEB, the package allows 1",
            ]
        );
    }

    #[test]
    fn what_no_service_is_here_for_is_not_passed_over() {
        for (conf, told) in [
            ("WEB_SYSTEM='nginx'\nDNS_SYSTEM=''\nMAIL_SYSTEM='exim4'\n", 1),
            ("WEB_SYSTEM='nginx'\n", 2),
            ("WEB_SYSTEM='nginx'\nDNS_SYSTEM='bind9'\nMAIL_SYSTEM='exim4'\n", 0),
            ("", 0),
        ] {
            let mut fixture = fixture(conf);
            fixture.has("DNS", "a.example");
            fixture.has("MAIL", "a.example");
            let found = fixture.look("alice");
            let is_told = |one: &&String| one.contains("stops: this Hestia has no ");
            assert_eq!(found.iter().filter(is_told).count(), told, "{found:?}");
        }
    }

    #[test]
    fn neither_the_disk_nor_the_quota_is_overrun_unasked() {
        let mut fixture = fixture("DISK_QUOTA='yes'\n");
        let mut plan = Plan::new(Object { section: "WEB".into(), name: "a".into() }, true);
        plan.growth = 2 << 20;
        fixture.plans.push(plan.clone());
        let found = fixture.look("alice");
        assert!(found.len() == 1 && found[0].starts_with("user stops: the quota is"), "{found:?}");
        plan.growth = u64::MAX;
        fixture.plans.push(plan);
        let found = fixture.look("alice");
        assert!(found[0].contains("are free in"), "{found:?}");
    }

    #[test]
    fn all_that_stops_is_one_error() {
        let object = || Some(Object { section: "WEB".into(), name: "a.example".into() });
        let findings = [
            Finding::change(None, "x".into(), "y"),
            Finding::stop(object(), Kind::Exists, "it is bob's".into(), "take it"),
            Finding::stop(None, Kind::Disk, "no room".into(), "take it"),
        ];
        let error = as_error(&user("alice"), &findings).unwrap();
        assert_eq!(error.kind(), Kind::Exists);
        assert_eq!(
            error.one_line(),
            "cannot restore the user alice: WEB a.example: it is bob's; user: no room; nothing was changed (take it)"
        );
        assert_eq!(error.hint_text(), Some("take it"));
        assert!(as_error(&user("alice"), &findings[..1]).is_none());
    }
}
