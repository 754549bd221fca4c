// SPDX-License-Identifier: MIT
//! What a user has taken out of the own backups: Hestia's `backup-excludes.conf`, read and never
//! run (Hestia itself runs it as a shell script).
//!
//! Names are compared exactly and paths are anchored where they stand. Hestia's own comparison is
//! looser in places (`cache` leaves out every folder of that name, the account `infodesk` takes
//! `info` along), so what is kept here is what Hestia keeps, or more, and never less.

use super::conf;
use super::layout::{Hestia, UserName};
use crate::base::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The exclusions of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excludes {
    web: Domains,
    mail: Domains,
    dns: Names,
    db: Names,
    /// No cron jobs.
    pub cron: bool,
    user: Names,
}

/// A list of names, or everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    all: bool,
    names: Vec<String>,
}

/// Domains that are left out, and parts of domains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Domains {
    all: bool,
    whole: Vec<String>,
    parts: BTreeMap<String, Vec<String>>,
}

impl Excludes {
    /// Reads the text of the file; also says what in it is no setting. `path` is for the messages.
    pub fn parse(text: &[u8], path: &Path) -> (Self, Vec<Error>) {
        let (row, bad) = conf::parse_keys(text);
        let excludes = Self {
            web: Domains::parse(row.text("WEB")),
            mail: Domains::parse(row.text("MAIL")),
            dns: Names::parse(row.text("DNS")),
            db: Names::parse(row.text("DB")),
            cron: row.text("CRON") == "*",
            user: Names::parse(row.text("USER")),
        };
        (excludes, conf::complaints(path, &bad))
    }

    /// Those of a user. What in the file is no setting is told by whoever backs the user up.
    pub fn of(hestia: &Hestia, user: &UserName) -> Result<Self> {
        let path = hestia.user_file(user, "backup-excludes.conf");
        let text = conf::read_file(&path)?.unwrap_or_default();
        Ok(Self::parse(&text, &path).0)
    }

    /// Whether a section of domains, zones, databases or home folders is left out as a whole.
    pub fn section(&self, section: &str) -> bool {
        match section {
            "WEB" => self.web.all,
            "MAIL" => self.mail.all,
            "DNS" => self.dns.all,
            "DB" => self.db.all,
            "CRON" => self.cron,
            "UDIR" => self.user.all,
            _ => false,
        }
    }

    /// Whether this domain, zone or database is left out as a whole.
    pub fn object(&self, section: &str, name: &str) -> bool {
        let listed = |names: &[String], name: &str| names.iter().any(|one| one == name);
        self.section(section)
            || match section {
                // Only here a star among other entries means all of them.
                "WEB" => listed(&self.web.whole, name) || listed(&self.web.whole, "*"),
                "MAIL" => listed(&self.mail.whole, name),
                "DNS" => listed(&self.dns.names, name),
                "DB" => listed(&self.db.names, name),
                _ => false,
            }
    }

    /// The paths in a web domain's folder that are left out.
    pub fn web_paths(&self, domain: &str) -> Vec<&str> {
        self.web.parts_of(domain)
    }

    /// The accounts of a mail domain that are left out; `*` is all of them. What is said of the
    /// domain `*` holds for sites only.
    pub fn mail_accounts(&self, domain: &str) -> Vec<&str> {
        self.mail.parts.get(domain).into_iter().flatten().map(String::as_str).collect()
    }

    /// Globs of all that they leave out below the home; a star of Hestia's is one of ours.
    pub fn below_home(&self) -> Vec<String> {
        let mut globs = Vec::new();
        for (above, domains) in [("/web", &self.web), ("/mail", &self.mail)] {
            globs.extend(domains.whole.iter().map(|name| below(above, name)));
            for (domain, parts) in &domains.parts {
                let above = below(above, domain);
                globs.extend(parts.iter().map(|part| below(&above, part)));
            }
        }
        globs.extend(self.home_paths().into_iter().map(|path| below("", path)));
        globs
    }

    /// The same as Hestia's own tarballs read it: a path of a site is left out in each of its
    /// folders, and of each of these sites whose name begins that of the site it was meant for.
    pub fn below_home_in_tarballs(&self, sites: &[String]) -> Vec<String> {
        let mut globs = self.below_home();
        for (domain, parts) in &self.web.parts {
            let is_meant = |site: &&String| domain == "*" || domain.starts_with(site.as_str());
            for site in sites.iter().filter(is_meant) {
                let above = format!("{}/**", below("/web", site));
                globs.extend(parts.iter().map(|part| below(&above, part)));
            }
        }
        globs
    }

    /// The paths in the home that are left out.
    pub fn home_paths(&self) -> Vec<&str> {
        self.user.names.iter().filter_map(|path| plain(path)).collect()
    }
}

impl Names {
    fn parse(value: &str) -> Self {
        let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
        Self { all: value.trim() == "*", names: names.map(str::to_owned).collect() }
    }
}

impl Domains {
    fn parse(value: &str) -> Self {
        let mut found = Self { all: value.trim() == "*", ..Self::default() };
        for entry in value.split(',').map(str::trim) {
            let mut parts = entry.split(':');
            let domain = parts.next().unwrap_or_default();
            let parts: Vec<String> = parts.filter_map(plain).map(str::to_owned).collect();
            if parts.is_empty() && !domain.is_empty() && !entry.contains(':') {
                found.whole.push(domain.to_owned());
            } else {
                found.parts.entry(domain.to_owned()).or_default().extend(parts);
            }
        }
        found
    }

    fn parts_of(&self, domain: &str) -> Vec<&str> {
        let of = |name: &str| self.parts.get(name).into_iter().flatten().map(String::as_str);
        of(domain).chain(of("*")).collect()
    }
}

/// A glob of a path below another one; a name that is a star is any.
fn below(above: &str, path: &str) -> String {
    let name = |name: &str| if name == "*" { name.to_owned() } else { globset::escape(name) };
    let names: Vec<String> = path.split('/').map(name).collect();
    format!("{above}/{}", names.join("/"))
}

/// A path without what does not change its meaning; `None` if it could mean anything outside.
fn plain(path: &str) -> Option<&str> {
    let path = path.trim().trim_end_matches('/');
    let path = path.strip_prefix("./").unwrap_or(path);
    let leaves =
        path.starts_with('/') || path.split('/').any(|name| matches!(name, ".." | "." | ""));
    (!leaves).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Excludes {
        let (found, problems) = Excludes::parse(text.as_bytes(), Path::new("/x"));
        assert_eq!(problems.len(), 0);
        found
    }

    #[test]
    fn entries_are_compared_exactly() {
        let text = "WEB='a.example:public_html/cache/:./x,b.example'\nDNS='a.example'\n\
                    MAIL='a.example:info,c.example'\nDB='u_a'\nCRON='*'\nUSER='docs,a/b'\n";
        let found = parse(text);
        assert!(found.object("WEB", "b.example") && !found.object("WEB", "b.example.au"));
        assert!(!found.object("WEB", "a.example"));
        assert_eq!(found.web_paths("a.example"), ["public_html/cache", "x"]);
        assert_eq!(found.web_paths("a.example.au"), [""; 0]);
        assert!(found.object("DNS", "a.example") && !found.object("DNS", "aXexample"));
        assert_eq!(found.mail_accounts("a.example"), ["info"]);
        assert!(found.object("MAIL", "c.example"));
        assert!(found.object("DB", "u_a") && !found.object("DB", "u_ab"));
        assert!(found.section("CRON") && !found.section("WEB"));
        assert_eq!(found.home_paths(), ["docs", "a/b"]);
    }

    #[test]
    fn a_star_means_every_domain_and_alone_the_whole_section() {
        let found = parse("WEB='*'\nMAIL='a.example,*'\nDNS='a,*'\nDB='*'\nUSER='*'\n");
        assert!(found.section("WEB") && found.section("DB") && found.section("UDIR"));
        assert!(!found.section("MAIL") && !found.object("MAIL", "any.example"));
        assert!(parse("WEB='a.example,*'").object("WEB", "any.example"));
        assert!(!found.section("DNS") && !found.object("DNS", "b"));
        let found = parse("WEB='*:cache,a.example:x'\nMAIL='a.example:*'\n");
        let globs = ["/web/*/cache", "/web/a.example/x", "/mail/a.example/*"];
        assert_eq!(found.below_home(), globs);
        let odd = parse("WEB='b.example'\nMAIL='*'\nUSER='a[b/c'\n").below_home();
        assert_eq!(odd, ["/web/b.example", "/mail/*", "/a[[]b/c"]);
        assert_eq!(parse("WEB='*'\nUSER='*'\n").below_home(), ["/web/*", "/*"]);
        let sites = ["a.example".to_owned(), "b.example".to_owned(), "a.ex".to_owned()];
        let mut tarballs = found.below_home_in_tarballs(&sites);
        tarballs.retain(|glob| glob.contains("**"));
        tarballs.sort();
        let globs = ["a.ex/**/cache", "a.ex/**/x", "a.example/**/cache", "a.example/**/x"];
        let globs = globs.into_iter().chain(["b.example/**/cache"]);
        assert_eq!(tarballs, globs.map(|glob| format!("/web/{glob}")).collect::<Vec<_>>());
        assert_eq!(found.web_paths("a.example"), ["x", "cache"]);
        assert_eq!(found.web_paths("b.example"), ["cache"]);
        assert!(!found.object("WEB", "a.example"));
        assert_eq!(found.mail_accounts("a.example"), ["*"]);
    }

    #[test]
    fn hostile_text_leaves_nothing_out_and_is_told() {
        let (found, problems) = Excludes::parse(
            b"WEB='a:../../b:/etc:x/../y'; touch /tmp/x\nUSER=$(id)\nDB='a'\n",
            Path::new("/x"),
        );
        assert_eq!((found.web_paths("a"), problems.len()), (vec![], 2));
        assert!(found.object("DB", "a"));
        assert_eq!(parse("USER='..,/etc,a/./b,ok'").home_paths(), ["ok"]);
    }
}
