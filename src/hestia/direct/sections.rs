// SPDX-License-Identifier: MIT
//! The sections of Hestia's tarball, each as the steps that read it from the live user: which file
//! of the configuration goes where, and which folder is walked. Layout and conditions are those of
//! `v-backup-user` (docs/hestia.md lists what is relied on).

use super::copies::{copied, copy_of, folder, text};
use super::idn::to_ascii;
use super::subject::{Object, Subject, path};
use super::{Dress, Step};
use crate::base::{Error, Kind, Monitor, RelPath, Result, limits};
use crate::format::tree::{Meta, NodeKind};
use crate::hestia::conf;
use crate::hestia::database::DatabaseRow;
use crate::hestia::dump;
use crate::tree::live::Folder;
use crate::tree::source::{Content, Entry};
use crate::tree::{Selection, Walk, WalkOptions};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The steps of one section or object, put together.
pub struct Steps<'s> {
    subject: &'s Subject,
    monitor: &'s dyn Monitor,
    list: Vec<Step>,
}

impl<'s> Steps<'s> {
    /// None yet.
    pub fn of(subject: &'s Subject, monitor: &'s dyn Monitor) -> Self {
        Self { subject, monitor, list: Vec::new() }
    }

    /// The steps.
    pub fn into_vec(self) -> Vec<Step> {
        self.list
    }

    /// The user being read.
    pub(super) fn subject(&self) -> &'s Subject {
        self.subject
    }

    /// Who is told.
    pub(super) fn monitor(&self) -> &'s dyn Monitor {
        self.monitor
    }

    pub(super) fn entry(&mut self, entry: Entry<'static>) {
        self.list.push(Step::Entry(Box::new(entry)));
    }

    pub(super) fn folder(&mut self, names: &[&str]) -> Result<()> {
        self.entry(folder(path(names)?, 0o755, self.subject.made));
        Ok(())
    }

    pub(super) fn text(&mut self, names: &[&str], content: Vec<u8>) -> Result<()> {
        self.entry(text(path(names)?, content, self.subject.made));
        Ok(())
    }

    /// A copy of one of root's files; whether it is there.
    pub(super) fn copy(&mut self, from: &Folder, name: &[u8], to: RelPath) -> bool {
        let entry = copy_of(from, name, to, self.monitor);
        let found = entry.is_some();
        self.list.extend(entry.map(|entry| Step::Entry(Box::new(entry))));
        found
    }

    /// Copies of all files whose names begin with `start`; says whether there were any.
    fn copies(&mut self, from: &Folder, start: &str, to: &RelPath) -> Result<bool> {
        let names = names_from(from, start)?;
        for name in &names {
            self.copy(from, name, to.join(name)?);
        }
        Ok(!names.is_empty())
    }

    fn warn(&self, what: impl Into<String>, why: &str) {
        self.monitor.warn(Error::new(Kind::NotFound, what).why(why));
    }

    /// What is left out is told, and the others go on.
    pub(super) fn forgiving(&self, done: Result<()>) {
        if let Err(error) = done {
            self.monitor.warn(error);
        }
    }

    /// `hestia/`, `pam/` and `cron/`.
    pub fn account(&mut self) -> Result<()> {
        let subject = self.subject;
        self.folder(&["hestia"])?;
        if !self.copy(&subject.data, b"user.conf", path(&["hestia", "user.conf"])?) {
            return Err(Error::new(Kind::NotFound, "read the user's user.conf"));
        }
        for name in ["stats.log", "history.log", "backup-excludes.conf"] {
            self.copy(&subject.data, name.as_bytes(), path(&["hestia", name])?);
        }
        if let Some(ssl) = subject.data.below(b"ssl")? {
            self.tree(ssl, path(&["hestia", "ssl"])?, Dress::Copied, &[])?;
        }
        self.folder(&["pam"])?;
        for file in ["passwd", "shadow", "group"] {
            let rows = self.account_rows(file)?;
            if rows.is_empty() && file == "passwd" {
                return Err(Error::new(Kind::NotFound, "find the user's account")
                    .why(format!("{} has no row of it", subject.hestia.etc.join(file).display())));
            }
            self.text(&["pam", file], rows)?;
        }
        if subject.has_section("CRON", "CRON_SYSTEM") {
            self.folder(&["cron"])?;
            self.copy(&subject.data, b"cron.conf", path(&["cron", "cron.conf"])?);
        }
        Ok(())
    }

    /// The user's own rows of a file in `/etc`.
    fn account_rows(&self, file: &str) -> Result<Vec<u8>> {
        let start = format!("{}:", self.subject.name);
        let text = conf::read_file(&self.subject.hestia.etc.join(file))?.unwrap_or_default();
        let rows = text.split_inclusive(|byte| *byte == b'\n');
        Ok(rows.filter(|row| row.starts_with(start.as_bytes())).collect::<Vec<_>>().concat())
    }

    /// A folder of root's configuration with all that is in it. What is in it is root's or a mail
    /// server's; links in it are kept as links.
    fn tree(&mut self, from: Folder, to: RelPath, dress: Dress, leave: &[&str]) -> Result<()> {
        let options = WalkOptions {
            selection: Selection::new(&[], leave)?,
            one_file_system: true,
            mounts_told: true,
            special_files: false,
            xattrs: false,
            leave_out: Vec::new(),
            whose: None,
        };
        let walk = Walk::beneath(from, to, RelPath::root(), options);
        self.list.push(Step::Walk(Box::new(walk), dress));
        Ok(())
    }

    /// One web domain.
    pub fn web(&mut self, domain: &Object) -> Result<()> {
        let (subject, name) = (self.subject, domain.name.as_str());
        self.folder(&["web", name])?;
        self.folder(&["web", name, "hestia"])?;
        self.text(&["web", name, "hestia", "web.conf"], domain.text.clone())?;
        let is_ssl = domain.row.is_yes("SSL");
        if is_ssl {
            let to = path(&["web", name, "hestia"])?;
            let found = match subject.data.below(b"ssl")? {
                Some(ssl) => self.copies(&ssl, &format!("{name}."), &to)?,
                None => false,
            };
            if !found {
                self.warn(format!("back up the certificate of {name}"), "Hestia has none");
            }
        }
        self.folder(&["web", name, "conf"])?;
        let found = web_conf(subject, domain)?;
        if found.is_empty() {
            let service = subject.system.text("WEB_SYSTEM");
            self.warn(
                format!("back up the {service} configuration of {name}"),
                "it is not in the user's conf/web",
            );
        }
        let place = subject.hestia.user_home(&subject.name).join("conf/web").join(name);
        for (file, from) in found {
            self.conf_file((&from, &place), &file, path(&["web", name, "conf"])?.join(&file)?);
        }
        let templates = self.templates(domain);
        self.forgiving(templates);
        let mut leave = vec![subject.pattern(&["web", name], "logs", false) + "/*"];
        for part in subject.excludes.web_paths(name) {
            leave.push(subject.pattern(&["web", name], part, true));
        }
        match subject.home.beneath([b"web".as_slice(), name.as_bytes()])? {
            Some(site) => {
                let options = subject.walk_options(&leave)?;
                let (to, seen) = (path(&["web", name, "data"])?, path(&["web", name])?);
                let walk = Walk::beneath(site, to, seen, options);
                self.list.push(Step::Walk(Box::new(walk), Dress::Own));
            }
            None => {
                self.warn(format!("back up the files of {name}"), "the home has no such folder");
            }
        }
        Ok(())
    }

    /// A file of `conf/web`. Hestia links some names in there to others beside them; as in its own
    /// backups, those become files. Other links stay links: nothing is read through them.
    fn conf_file(&mut self, (from, place): (&Folder, &Path), name: &[u8], to: RelPath) {
        let meta = from.look(name).ok().flatten();
        let beside = meta.and_then(|meta| linked_beside(&meta, place));
        let name = beside.filter(|other| is_file(from, other)).unwrap_or_else(|| name.to_vec());
        self.copy(from, &name, to);
    }

    /// The templates of a web domain. A restore does not use them, so one that is missing is none
    /// of its troubles.
    fn templates(&mut self, domain: &Object) -> Result<()> {
        let (subject, name) = (self.subject, domain.name.as_str());
        let (web, backend) =
            (subject.system.text("WEB_SYSTEM"), subject.system.text("WEB_BACKEND"));
        let proxy = subject.system.text("PROXY_SYSTEM");
        let row = &domain.row;
        self.folder(&["web", name, "template"])?;
        // By the folder they go to: where they come from, and which.
        let mut wanted: BTreeMap<&str, (Vec<&str>, Vec<String>)> = BTreeMap::new();
        let both = |template: &str| vec![format!("{template}.tpl"), format!("{template}.stpl")];
        let with_fpm = backend == "php-fpm";
        let from = if with_fpm { vec![web, "php-fpm"] } else { vec![web] };
        wanted.insert(web, (from, both(row.text("TPL"))));
        let fpm = if with_fpm { vec![format!("{}.tpl", row.text("BACKEND"))] } else { Vec::new() };
        wanted.insert("php-fpm", (vec!["php-fpm"], fpm));
        if !proxy.is_empty() && !row.text("PROXY").is_empty() {
            wanted.insert(proxy, (vec![proxy], both(row.text("PROXY"))));
        }
        let place = subject.hestia.root.join("data/templates/web");
        let all = Folder::open(&place)?;
        for (to, (from, files)) in wanted {
            self.folder(&["web", name, "template", to])?;
            let place = from.iter().fold(place.clone(), |place, name| place.join(name));
            let from = from.iter().map(|name| name.as_bytes());
            let from = all.as_ref().map(|all| all.beneath(from)).transpose()?.flatten();
            for file in files {
                if let Some(from) = &from {
                    let to = path(&["web", name, "template", to, &file])?;
                    self.conf_file((from, &place), file.as_bytes(), to);
                }
            }
        }
        Ok(())
    }

    /// One DNS zone.
    pub fn dns(&mut self, zone: &Object) -> Result<()> {
        let (subject, name) = (self.subject, zone.name.as_str());
        self.folder(&["dns", name])?;
        self.folder(&["dns", name, "hestia"])?;
        self.text(&["dns", name, "hestia", "dns.conf"], zone.text.clone())?;
        let file = format!("{name}.conf");
        let rows = subject.data.below(b"dns")?;
        let to = path(&["dns", name, "hestia", &file])?;
        if !rows.is_some_and(|rows| self.copy(&rows, file.as_bytes(), to)) {
            self.warn(format!("back up the records of {name}"), "Hestia has no file of them");
        }
        self.folder(&["dns", name, "conf"])?;
        if subject.system.text("DNS_SYSTEM") != "remote" {
            let file = format!("{name}.db");
            let to = path(&["dns", name, "conf", &file])?;
            let zones = subject.home.beneath([b"conf".as_slice(), b"dns"])?;
            if !zones.is_some_and(|zones| self.copy(&zones, file.as_bytes(), to)) {
                self.warn(format!("back up the zone of {name}"), "the user's conf/dns lacks it");
            }
        }
        self.folder(&["dns", name, "conf", "keys"])?;
        if zone.row.is_yes("DNSSEC") {
            let start = format!("K{}", to_ascii(name).unwrap_or_else(|| name.to_owned()));
            let keys = subject.data.below(b"keys")?;
            let to = path(&["dns", name, "conf", "keys"])?;
            let found = match keys {
                Some(keys) => self.copies(&keys, &start, &to)?,
                None => false,
            };
            if !found {
                self.warn(format!("back up the keys of {name}"), "Hestia has none");
            }
        }
        Ok(())
    }

    /// One mail domain.
    pub fn mail(&mut self, domain: &Object) -> Result<()> {
        let (subject, name) = (self.subject, domain.name.as_str());
        let has_exim = subject.system.text("MAIL_SYSTEM").contains("exim");
        self.folder(&["mail", name])?;
        self.folder(&["mail", name, "hestia"])?;
        self.text(&["mail", name, "hestia", "mail.conf"], domain.text.clone())?;
        let to = path(&["mail", name, "hestia"])?;
        let found = match subject.data.below(b"mail")? {
            Some(rows) => self.copies(&rows, &format!("{name}."), &to)?,
            None => false,
        };
        if !found {
            self.warn(format!("back up the accounts of {name}"), "Hestia has no list");
        }
        let names = [b"conf".as_slice(), b"mail", name.as_bytes()];
        let found = if has_exim { subject.home.beneath(names)? } else { None };
        let to = path(&["mail", name, "conf"])?;
        if let Some(found) = found {
            self.tree(found, to, Dress::CopiedInto, &["/.*"])?;
        } else {
            self.folder(&["mail", name, "conf"])?;
            if has_exim {
                self.warn(format!("back up the configuration of {name}"), "it is not there");
            }
        }
        if has_exim { self.mailboxes(name) } else { Ok(()) }
    }

    fn mailboxes(&mut self, domain: &str) -> Result<()> {
        let subject = self.subject;
        let Some(folder) = to_ascii(domain) else {
            self.warn(format!("back up the mail of {domain}"), "its name has no form for a folder");
            return Ok(());
        };
        let above = ["mail", folder.as_str()];
        // Hestia takes what a shell's star takes.
        let mut leave = vec![subject.pattern(&["mail"], &folder, false) + "/.*"];
        for account in subject.excludes.mail_accounts(domain) {
            if account == "*" {
                return Ok(());
            }
            leave.push(subject.pattern(&above, account, false));
        }
        match subject.home.beneath(above.map(str::as_bytes))? {
            Some(from) => {
                let options = subject.walk_options(&leave)?;
                let walk = Walk::beneath(
                    from,
                    path(&["mail", domain, "accounts"])?,
                    path(&above)?,
                    options,
                );
                self.list.push(Step::Walk(Box::new(walk), Dress::Own));
            }
            None => {
                self.warn(format!("back up the mail of {domain}"), "the home has no such folder");
            }
        }
        Ok(())
    }

    /// One database: its rows and what grants it; the dump is a step of its own.
    pub fn database(&mut self, object: &Object) -> Result<()> {
        let (name, row) = (object.name.as_str(), &object.row);
        self.folder(&["db", name])?;
        self.folder(&["db", name, "hestia"])?;
        self.text(&["db", name, "hestia", "db.conf"], object.text.clone())?;
        self.folder(&["db", name, "conf"])?;
        let database = Box::new(DatabaseRow::parse(row)?);
        let grants = path(&["db", name, "conf", &dump::grants_name(&database)])?;
        self.list.push(Step::Grants(grants, database.clone()));
        let dump = path(&["db", name, &dump::file_name(&database)])?;
        self.list.push(Step::Dump(dump, database));
        Ok(())
    }

    /// The home, but for what has a place of its own.
    pub fn home(&mut self) -> Result<()> {
        let subject = self.subject;
        let options = subject.home_options()?;
        let home = subject.home.clone();
        let walk = Walk::beneath(home, path(&["user_dir"])?, RelPath::root(), options);
        self.list.push(Step::Walk(Box::new(walk), Dress::OwnInto));
        Ok(())
    }
}

/// The names in a folder that begin with `start`.
fn names_from(folder: &Folder, start: &str) -> Result<Vec<Vec<u8>>> {
    let names = folder.names()?.into_iter().take(limits::LISTED_ENTRIES_MAX);
    Ok(names.filter(|name| name.starts_with(start.as_bytes())).collect())
}

fn is_file(folder: &Folder, name: &[u8]) -> bool {
    folder.look(name).is_ok_and(|meta| meta.is_some_and(|meta| meta.kind == NodeKind::File))
}

/// The name beside a link that it leads to, if that is where it leads: `place` is the folder of
/// both. The link itself is not followed.
fn linked_beside(meta: &Meta, place: &Path) -> Option<Vec<u8>> {
    let target = Path::new(OsStr::from_bytes(&meta.target));
    let above = target.parent().filter(|_| meta.kind == NodeKind::Symlink)?;
    let is_beside = above == place || above.as_os_str().is_empty();
    target.file_name().filter(|_| is_beside).map(|name| name.as_bytes().to_vec())
}

/// The files of a web domain's configuration that Hestia backs up, and where each is.
pub fn web_conf(subject: &Subject, domain: &Object) -> Result<BTreeMap<Vec<u8>, Folder>> {
    let (system, row) = (&subject.system, &domain.row);
    let name = domain.name.as_str();
    let all = subject.home.beneath([b"conf".as_slice(), b"web"])?;
    let own = all.as_ref().map(|all| all.below(name.as_bytes())).transpose()?.flatten();
    let mut services = vec![system.text("WEB_SYSTEM")];
    if !system.text("PROXY_SYSTEM").is_empty() && !row.text("PROXY").is_empty() {
        services.push(system.text("PROXY_SYSTEM"));
    }
    let mut found = BTreeMap::new();
    for service in services {
        for end in if row.is_yes("SSL") { vec!["conf", "ssl.conf"] } else { vec!["conf"] } {
            let start = format!("{service}.{end}");
            // Before it gave each domain a folder, Hestia put the domain before the name.
            let old = format!("{name}.{start}");
            let own = own.as_ref().filter(|own| is_file(own, start.as_bytes()));
            let place = own.map(|own| (own, start)).or(all.as_ref().map(|all| (all, old)));
            if let Some((folder, start)) = place {
                let names = names_from(folder, &start)?;
                found.extend(names.into_iter().map(|name| (name, folder.clone())));
            }
        }
    }
    let ssl = own.as_ref().map(|own| own.below(b"ssl")).transpose()?.flatten();
    if row.is_yes("SSL")
        && let Some(ssl) = ssl
    {
        let names = names_from(&ssl, &format!("{name}."))?;
        found.extend(names.into_iter().map(|name| (name, ssl.clone())));
    }
    Ok(found)
}

/// Dresses what a walk yields; `None` for what stays out.
pub fn dressed<'e>(
    entry: Entry<'e>,
    dress: Dress,
    is_top: bool,
    made: crate::base::Timestamp,
    monitor: &dyn Monitor,
) -> Option<Entry<'e>> {
    match dress {
        Dress::OwnInto | Dress::CopiedInto if is_top => Some(folder(entry.path, 0o755, made)),
        Dress::Own | Dress::OwnInto => super::copies::own(entry, monitor),
        Dress::Copied | Dress::CopiedInto => {
            let is_plain = matches!(entry.content, Content::File(_) | Content::Nothing);
            is_plain.then(|| copied(entry))
        }
    }
}
