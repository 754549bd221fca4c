// SPDX-License-Identifier: MIT
//! What this Hestia offers a domain that comes from elsewhere: its addresses, templates, database
//! servers and packages. Read from Hestia's own files, as its commands do.

use crate::base::{Result, WhatIo, limits};
use crate::hestia::conf::{self, Row};
use crate::hestia::layout::{Hestia, UserName};
use std::path::PathBuf;

/// An address of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address itself.
    pub ip: String,
    /// What the world sees of it, if that is another one.
    pub nat: String,
    /// Whose it is.
    pub owner: String,
    /// Whether it is for its owner alone.
    pub is_dedicated: bool,
}

/// What this Hestia offers.
#[derive(Debug, Clone, Default)]
pub struct Offers {
    settings: Row,
    addresses: Vec<Address>,
    database_servers: Vec<(String, String)>,
    templates: PathBuf,
    packages: PathBuf,
}

impl Offers {
    /// Reads what there is.
    pub fn read(hestia: &Hestia) -> Result<Self> {
        let text = conf::read_file(&hestia.hestia_conf())?.unwrap_or_default();
        let mut database_servers = Vec::new();
        for kind in ["mysql", "pgsql"] {
            let rows = conf::read_rows(&hestia.conf(&format!("{kind}.conf")))?.rows;
            let hosts = rows.iter().map(|row| (kind.to_owned(), row.text("HOST").to_owned()));
            database_servers.extend(hosts);
        }
        Ok(Self {
            settings: conf::parse_keys(&text).0,
            addresses: addresses(hestia)?,
            database_servers,
            templates: hestia.root.join("data/templates/web"),
            packages: hestia.root.join("data/packages"),
        })
    }

    /// A value of Hestia's settings, empty if it is not set.
    pub fn setting(&self, key: &str) -> &str {
        self.settings.text(key)
    }

    /// The user that owns what is everybody's.
    pub fn root_user(&self) -> &str {
        match self.setting("ROOT_USER") {
            "" => "admin",
            name => name,
        }
    }

    /// Whether a domain of this user may have this address. Where no addresses are known, nothing
    /// can be said against it.
    pub fn has_address(&self, ip: &str, user: &UserName) -> bool {
        let fits = |one: &&Address| one.ip == ip || (!one.nat.is_empty() && one.nat == ip);
        let found = self.addresses.iter().find(fits);
        self.addresses.is_empty() || found.is_some_and(|one| self.may_use(one, user))
    }

    /// The address that Hestia gives a domain whose own is not here: the user's, else a shared one.
    pub fn address_for(&self, user: &UserName) -> Option<&str> {
        let own = self.addresses.iter().find(|one| one.owner == user.as_str());
        let shared = || self.addresses.iter().find(|one| self.may_use(one, user));
        let found = own.or_else(shared)?;
        Some(if found.nat.is_empty() { &found.ip } else { &found.nat })
    }

    fn may_use(&self, address: &Address, user: &UserName) -> bool {
        let is_shared = !address.is_dedicated && address.owner == self.root_user();
        is_shared || address.owner == user.as_str()
    }

    /// Whether there is a template for this key of a web domain: `TPL`, `PROXY` or `BACKEND`.
    /// What is no plain name is none: Hestia makes a path of it and runs what lies beside.
    pub fn has_template(&self, key: &str, name: &str) -> bool {
        let (web, backend) = (self.setting("WEB_SYSTEM"), self.setting("WEB_BACKEND"));
        let proxy = self.setting("PROXY_SYSTEM");
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_name = name.chars().all(inner) && !name.starts_with(['.', '-']);
        let in_folder = |folder: PathBuf, endings: &[&str]| {
            endings.iter().all(|ending| folder.join(format!("{name}.{ending}")).is_file())
        };
        is_name
            && match key {
                "TPL" if web.is_empty() => true,
                "TPL" => in_folder(self.templates.join(web).join(backend), &["tpl", "stpl"]),
                "PROXY" if proxy.is_empty() || name.is_empty() => true,
                "PROXY" => in_folder(self.templates.join(proxy), &["tpl", "stpl"]),
                "BACKEND" if backend.is_empty() || name.is_empty() => true,
                "BACKEND" => in_folder(self.templates.join(backend), &["tpl"]),
                _ => true,
            }
    }

    /// Whether databases of this engine are served here, and by a server of this name.
    pub fn has_database_server(&self, kind: &str, host: &str) -> bool {
        self.database_servers.iter().any(|(engine, name)| engine == kind && name == host)
    }

    /// The names of the servers of one engine.
    pub fn database_servers_of<'o>(&'o self, kind: &'o str) -> impl Iterator<Item = &'o str> {
        let of_kind = move |(engine, _): &&(String, String)| engine == kind;
        self.database_servers.iter().filter(of_kind).map(|(_, host)| host.as_str())
    }

    /// Whether there is a package of this name.
    pub fn has_package(&self, name: &str) -> bool {
        !self.packages.is_dir() || self.packages.join(format!("{name}.pkg")).is_file()
    }
}

fn addresses(hestia: &Hestia) -> Result<Vec<Address>> {
    let folder = hestia.root.join("data/ips");
    let what = || format!("list the addresses in {}", folder.display());
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.what_io(what)?,
    };
    let mut found = Vec::new();
    for entry in entries.take(limits::LISTED_ENTRIES_MAX) {
        let path = entry.what_io(what)?.path();
        let Some(ip) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(text) = conf::read_file(&path)? else { continue };
        let (row, _) = conf::parse_keys(&text);
        found.push(Address {
            ip: ip.to_owned(),
            nat: row.text("NAT").to_owned(),
            owner: row.text("OWNER").to_owned(),
            is_dedicated: row.text("STATUS") == "dedicated",
        });
    }
    found.sort_by(|a, b| a.ip.cmp(&b.ip));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn fixture() -> (tempfile::TempDir, Hestia) {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        for path in ["conf", "data/ips", "data/packages", "data/templates/web/apache2/php-fpm"] {
            fs::create_dir_all(hestia.root.join(path)).unwrap();
        }
        let settings = "WEB_SYSTEM='apache2'\nWEB_BACKEND='php-fpm'\nROOT_USER='admin'\n";
        fs::write(hestia.hestia_conf(), settings).unwrap();
        let put = |path: &str, text: &str| fs::write(hestia.root.join(path), text).unwrap();
        put("data/ips/192.0.2.1", "OWNER='admin'\nSTATUS='shared'\nNAT='198.51.100.1'\n");
        put("data/ips/192.0.2.2", "OWNER='bob'\nSTATUS='dedicated'\n");
        put("data/templates/web/apache2/php-fpm/default.tpl", "");
        put("data/templates/web/apache2/php-fpm/default.stpl", "");
        put("data/packages/default.pkg", "");
        put("conf/mysql.conf", "HOST='localhost' USER='root'\n");
        (folder, hestia)
    }

    #[test]
    fn an_address_is_offered_to_its_owner_and_a_shared_one_to_all() {
        let (_folder, hestia) = fixture();
        let offers = Offers::read(&hestia).unwrap();
        let user = |name| UserName::parse(name).unwrap();
        assert!(offers.has_address("192.0.2.1", &user("alice")));
        assert!(offers.has_address("198.51.100.1", &user("alice")));
        assert!(!offers.has_address("192.0.2.2", &user("alice")));
        assert!(!offers.has_address("192.0.2.9", &user("alice")));
        assert_eq!(offers.address_for(&user("alice")), Some("198.51.100.1"));
        assert_eq!(offers.address_for(&user("bob")), Some("192.0.2.2"));
    }

    #[test]
    fn a_template_is_a_plain_name_that_is_there() {
        let (_folder, hestia) = fixture();
        let offers = Offers::read(&hestia).unwrap();
        assert!(offers.has_template("TPL", "default"));
        for bad in ["wordpress", "../php-fpm/default", ".hidden", ""] {
            assert!(!offers.has_template("TPL", bad), "{bad}");
        }
        assert!(offers.has_template("PROXY", "anything"));
        assert!(!offers.has_template("BACKEND", "PHP-5_6"));
        assert!(offers.has_package("default") && !offers.has_package("gold"));
        assert!(offers.has_database_server("mysql", "localhost"));
        assert!(!offers.has_database_server("pgsql", "localhost"));
    }
}
