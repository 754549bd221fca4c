// SPDX-License-Identifier: MIT
//! The passwords of a site's FTP accounts. Hestia keeps them as lists side by side, and when it
//! makes the accounts of a site with several, it leaves the hash of the last one alone in the list:
//! the next time, the accounts get each other's passwords, and one gets an empty one, with which
//! everybody may log in. So what Hestia made is looked at, and made right.

use super::Server;
use super::answers::{From, stored};
use super::web_row::new_name;
use crate::base::{Error, Kind, Monitor, RelPath, Result};
use crate::hestia::accounts::{self, LOCKED};
use crate::hestia::conf::{self, Row};
use crate::hestia::layout::UserName;
use std::collections::{BTreeMap, BTreeSet};

/// The hashes that a snapshot has of FTP accounts, by the names that they have for the user it is
/// restored for.
#[derive(Debug, Default)]
pub(super) struct Wanted(BTreeMap<String, String>);

impl Wanted {
    /// Reads those of some domains.
    pub fn read<'d>(
        from: From<'_>,
        domains: impl IntoIterator<Item = &'d str>,
        (user, whose): (&UserName, &UserName),
    ) -> Result<Self> {
        let mut wanted = Self::default();
        for domain in domains {
            let path = RelPath::parse(format!("web/{domain}/hestia/web.conf").as_bytes())?;
            let text = stored(from, &path)?.unwrap_or_default();
            for row in conf::parse_rows(&text).rows {
                let (names, hashes) = (list(&row, "FTP_USER"), list(&row, "FTP_MD5"));
                // Lists of different lengths do not tell whose hash is whose.
                if names.len() == hashes.len() {
                    for (name, hash) in names.into_iter().zip(hashes) {
                        wanted.add(new_name(name, user, whose), hash);
                    }
                }
            }
        }
        // A direct backup knows better.
        let text = stored(from, &RelPath::parse(b"extra/ftp.conf")?)?.unwrap_or_default();
        for row in conf::parse_rows(&text).rows {
            wanted.add(new_name(row.text("FTP_USER"), user, whose), row.text("FTP_MD5"));
        }
        Ok(wanted)
    }

    fn add(&mut self, name: String, hash: &str) {
        if accounts::is_hash(hash) {
            self.0.insert(name, hash.to_owned());
        }
    }

    /// The hash of an account; one whose password nobody knows lets nobody in.
    fn of(&self, name: &str) -> &str {
        self.0.get(name).map_or(LOCKED, String::as_str)
    }

    /// The list of hashes that goes with a row's list of accounts.
    pub fn list_for(&self, row: &Row) -> String {
        let names = list(row, "FTP_USER");
        names.into_iter().map(|name| self.of(name)).collect::<Vec<_>>().join(":")
    }
}

fn list<'r>(row: &'r Row, key: &str) -> Vec<&'r str> {
    row.text(key).split(':').filter(|one| !one.is_empty()).collect()
}

/// The FTP accounts of a user before a restore.
#[derive(Debug)]
pub(super) struct Before(BTreeSet<String>);

impl Before {
    /// Looks.
    pub fn look(server: &Server, user: &UserName) -> Result<Self> {
        let found = accounts::numbers(&server.hestia, &format!("{user}_"))?;
        Ok(Self(found.into_keys().collect()))
    }

    /// Makes the passwords of those accounts right that are there since, and Hestia's list of them.
    pub fn settle(
        &self,
        server: &Server,
        user: &UserName,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let hestia = &server.hestia;
        let start = format!("{user}_");
        let numbers = accounts::numbers(hestia, &start)?;
        let own = accounts::numbers(hestia, user.as_str())?.remove(user.as_str());
        let hashes = accounts::hashes(hestia, &start)?;
        // Another user may have a name that begins so.
        let is_own = |name: &str| own.is_some() && numbers.get(name) == own.as_ref();
        let file = hestia.user_file(user, "web.conf");
        for row in conf::read_rows(&file)?.rows {
            let names = list(&row, "FTP_USER");
            let made = |name: &&str| is_own(name) && !self.0.contains(*name);
            let made: Vec<&str> = names.iter().copied().filter(made).collect();
            for name in &made {
                let hash = wanted.of(name);
                if hash == LOCKED {
                    monitor.warn(without_password(user, &row, name));
                }
                // One that fails must not leave another one open.
                if hashes.get(*name).map(String::as_str) != Some(hash)
                    && let Err(error) = accounts::set_hash(hestia, name, hash)
                {
                    monitor.warn(error);
                }
            }
            if !made.is_empty() {
                let known = accounts::hashes(hestia, &start)?;
                let hashes = names.iter().map(|name| known.get(*name).map_or(LOCKED, |one| one));
                let mut right = row.clone();
                right.set("FTP_MD5", &hashes.collect::<Vec<_>>().join(":"))?;
                conf::change_row(&file, &row, &right)?;
            }
        }
        Ok(())
    }
}

fn without_password(user: &UserName, row: &Row, name: &str) -> Error {
    let domain = row.text("DOMAIN");
    Error::new(Kind::Partial, format!("give the FTP account {name} its password back"))
        .why("the backup does not tell it: nobody can log in with it")
        .hint(format!(
            "v-change-web-domain-ftp-password {user} {domain} {name} PASSWORD sets a new one"
        ))
}
