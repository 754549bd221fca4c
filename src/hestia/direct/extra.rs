// SPDX-License-Identifier: MIT
//! `extra/` of the tree: what Hestia's tarballs leave out and somebody would miss. No tarball that
//! we make holds it, since Hestia would not know what to do with it.
//!
//! ```text
//! extra/package.pkg             the user's package as it is now: the plan
//! extra/ftp.conf                a row for each FTP account of each domain
//! extra/access-keys.conf        the ids of the user's API keys, without their secrets
//! extra/mail/<domain>/*.msg     the texts of automatic replies
//! extra/web/<domain>/conf/*     what else is in the domain's configuration, such as htpasswd
//! ```

use super::copies::copy_of;
use super::sections::{Steps, web_conf};
use super::subject::{Object, path};
use crate::base::path::check_name;
use crate::base::{Result, limits};
use crate::hestia::accounts;
use crate::hestia::conf::{self, Row};
use crate::tree::live::Folder;
use std::collections::BTreeMap;

impl Steps<'_> {
    /// All of it.
    pub fn extra(&mut self) -> Result<()> {
        let subject = self.subject();
        self.folder(&["extra"])?;
        if subject.is_whole() {
            let package = self.package();
            self.forgiving(package);
            let keys = self.access_keys();
            self.forgiving(keys);
        }
        let web = subject.objects("web.conf", "DOMAIN", "WEB", &Unheard)?;
        let logins = accounts::hashes(&subject.hestia, &format!("{}_", subject.name))?;
        let ftp: Vec<u8> = web.iter().flat_map(|domain| ftp_rows(domain, &logins)).collect();
        if !ftp.is_empty() {
            self.text(&["extra", "ftp.conf"], ftp)?;
        }
        if subject.has_section("MAIL", "MAIL_SYSTEM") {
            let mail = subject.objects("mail.conf", "DOMAIN", "MAIL", &Unheard)?;
            let replies = self.replies(&mail);
            self.forgiving(replies);
        }
        if subject.has_section("WEB", "WEB_SYSTEM") && !web.is_empty() {
            self.folder(&["extra", "web"])?;
            for domain in &web {
                let rest = self.rest_of_conf(domain);
                self.forgiving(rest);
            }
        }
        Ok(())
    }

    fn package(&mut self) -> Result<()> {
        let subject = self.subject();
        let name = format!("{}.pkg", subject.row.text("PACKAGE"));
        check_name(name.as_bytes())?;
        let file = subject.hestia.root.join("data/packages").join(name);
        if let Some(text) = conf::read_file(&file)? {
            self.text(&["extra", "package.pkg"], text)?;
        }
        Ok(())
    }

    /// Ids and permissions: with a secret, whoever reads a backup could use the key.
    fn access_keys(&mut self) -> Result<()> {
        let subject = self.subject();
        let Some(folder) = Folder::open(&subject.hestia.root.join("data/access-keys"))? else {
            return Ok(());
        };
        let mut rows = Vec::new();
        for id in folder.names()?.into_iter().take(limits::LISTED_ENTRIES_MAX) {
            let Some(text) = folder.read(&id, limits::HESTIA_FILE_BYTES_MAX)? else { continue };
            let (key, _) = conf::parse_keys(&text);
            if key.text("USER") != subject.name.as_str() {
                continue;
            }
            let mut row = Row::default();
            row.set("ACCESS_KEY_ID", &String::from_utf8_lossy(&id))?;
            for (name, value) in key.pairs().filter(|(name, _)| !name.contains("SECRET")) {
                row.set(name, &value.replace('\'', ""))?;
            }
            rows.extend_from_slice(row.to_line().as_bytes());
            rows.push(b'\n');
        }
        if rows.is_empty() { Ok(()) } else { self.text(&["extra", "access-keys.conf"], rows) }
    }

    /// Hestia means to copy these and does not: its pattern is wrong.
    fn replies(&mut self, domains: &[Object]) -> Result<()> {
        let subject = self.subject();
        let Some(folder) = subject.data.below(b"mail")? else { return Ok(()) };
        let names = folder.names()?;
        let mut has_any = false;
        for domain in domains {
            let end = format!("@{}.msg", domain.name);
            let mut of_domain =
                names.iter().filter(|name| name.ends_with(end.as_bytes())).peekable();
            if of_domain.peek().is_none() {
                continue;
            }
            if !std::mem::replace(&mut has_any, true) {
                self.folder(&["extra", "mail"])?;
            }
            self.folder(&["extra", "mail", &domain.name])?;
            let to = path(&["extra", "mail", &domain.name])?;
            for name in of_domain {
                self.copy(&folder, name, to.join(name)?);
            }
        }
        Ok(())
    }

    fn rest_of_conf(&mut self, domain: &Object) -> Result<()> {
        let (subject, name) = (self.subject(), domain.name.as_str());
        let own = subject.home.beneath([b"conf".as_slice(), b"web", name.as_bytes()])?;
        let Some(own) = own else { return Ok(()) };
        let known = web_conf(subject, domain)?;
        let to = path(&["extra", "web", name, "conf"])?;
        let mut entries = Vec::new();
        for file in own.names()?.into_iter().take(limits::LISTED_ENTRIES_MAX) {
            if !known.contains_key(&file) {
                entries.extend(copy_of(&own, &file, to.join(&file)?, self.monitor()));
            }
        }
        if !entries.is_empty() {
            self.folder(&["extra", "web", name])?;
            self.folder(&["extra", "web", name, "conf"])?;
            for entry in entries {
                self.entry(entry);
            }
        }
        Ok(())
    }
}

/// A row for each FTP account of a web domain: Hestia keeps them as lists side by side, and a
/// restore by Hestia mixes them up. The system knows the hash of each.
fn ftp_rows(domain: &Object, logins: &BTreeMap<String, String>) -> Vec<u8> {
    let list = |key: &str| domain.row.text(key).split(':').map(str::to_owned).collect::<Vec<_>>();
    let (users, hashes, folders) = (list("FTP_USER"), list("FTP_MD5"), list("FTP_PATH"));
    let at = |list: &[String], place: usize| list.get(place).cloned().unwrap_or_default();
    let is_parallel = users.len() == hashes.len();
    let mut rows = Vec::new();
    for (place, user) in users.iter().enumerate().filter(|(_, user)| !user.is_empty()) {
        let listed = if is_parallel { at(&hashes, place) } else { String::new() };
        let login = logins.get(user).filter(|hash| accounts::is_hash(hash));
        let hash = login.cloned().unwrap_or(listed);
        let folder = at(&folders, place);
        let name = &domain.name;
        rows.extend_from_slice(
            format!("DOMAIN='{name}' FTP_USER='{user}' FTP_MD5='{hash}' FTP_PATH='{folder}'\n")
                .as_bytes(),
        );
    }
    rows
}

/// What is wrong with a row was said when its section was read.
struct Unheard;

impl crate::base::Monitor for Unheard {
    fn count(&self, _: crate::base::Counter, _: u64) {}
    fn warn(&self, _: crate::base::Error) {}
    fn stage(&self, _: crate::base::monitor::Stage) {}
    fn cancelled(&self) -> bool {
        false
    }
    fn stop(&self) -> crate::base::monitor::Stop {
        crate::base::monitor::Stop::NEVER
    }
}
