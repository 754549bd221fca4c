// SPDX-License-Identifier: MIT
//! Puts sites, mailboxes and the home in place from the repository, without a second copy of them
//! on the disk, and makes Hestia rebuild the configuration around them.
//!
//! Hestia's own restore empties `public_html`, unpacks an archive over each site and mailbox as
//! the user, and rebuilds before and after. Here the same happens without the archive, and a file
//! that is right already is not touched.

use super::ftp_accounts::Wanted;
use super::offers::Offers;
use super::shelf::WebParts;
use super::web_row::{self, Change, Recipient};
use super::{Server, answers};
use crate::base::monitor::Stage;
use crate::base::path::display_bytes;
use crate::base::{Error, Kind, Monitor, RelPath, Result, WhatIo, Within, limits};
use crate::format::{NodeKind, Snapshot};
use crate::hestia::asuser::{self, Options};
use crate::hestia::call::Call;
use crate::hestia::conf;
use crate::hestia::direct::idn::to_ascii;
use crate::hestia::layout::UserName;
use crate::ops::restore::Undoes;
use crate::repo::IndexedRepository;
use crate::tree::Selection;
use crate::tree::dir::{OwnerPolicy, Target};
use nix::sys::stat::{Mode, fchmod, fstat};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What of whom goes where.
pub(super) struct Site<'s> {
    /// The machine.
    pub server: &'s Server,
    /// Where the content is.
    pub repository: &'s IndexedRepository,
    /// The snapshot it is in.
    pub snapshot: &'s Snapshot,
    /// The user it is restored for.
    pub user: &'s UserName,
    /// The user it was backed up from.
    pub from: &'s UserName,
    /// What this Hestia offers.
    pub offers: &'s Offers,
    /// Names of domains that others have.
    pub taken: &'s dyn Fn(&str) -> bool,
    /// The restore that is taken back; what is restored is what was there before it.
    pub undoes: Option<&'s Undo<'s>>,
}

/// A restore that is taken back.
pub(super) struct Undo<'u> {
    /// What it restored, if that is still there to compare with.
    pub restored: Option<&'u Snapshot>,
    /// The additions to web servers that it brought, by domain.
    pub snippets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Entries that are newer than it, which stay.
    pub newer: Cell<u64>,
}

impl Site<'_> {
    /// Restores a web domain. Returns what of its row was changed.
    pub fn web(
        &self,
        domain: &str,
        parts: &WebParts,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Change>> {
        monitor.stage(Stage::Object(format!("web domain {domain}")));
        let changes = self.web_row(domain, parts).within(|| format!("list the domain {domain}"))?;
        self.snippets(domain, parts)?;
        let home = self.server.hestia.user_home(self.user);
        let site = home.join("web").join(domain);
        let rebuild = ["v-rebuild-web-domain", self.user.as_str(), domain, "no"];
        let content = format!("web/{domain}/data");
        let has_content = self.has(&content)?;
        if has_content && !site.join("public_html").is_dir() {
            // It makes the folders of a site that has none.
            self.run(&rebuild, monitor)?;
        }
        if self.undoes.is_some() {
            return self.web_back(domain, &content, &site, monitor).map(|()| changes);
        }
        let mut placed = Ok(());
        if has_content {
            make_writable(&home, domain)?;
            placed = self.site_content(&content, &site, monitor);
        }
        // Sets owners and modes as Hestia has them, and makes FTP accounts find their folder.
        self.run(&rebuild, monitor)?;
        placed?;
        if has_content {
            let errors = format!("{content}/document_errors");
            // Hestia has put its own pages there.
            if self.has(&errors)? && site.join("document_errors").is_dir() {
                self.place(&errors, &site.join("document_errors"), Surplus::Stays, &[], monitor)?;
            }
        }
        Ok(changes)
    }

    /// A site as it was before a restore, its modes too: Hestia's rebuild comes first.
    fn web_back(
        &self,
        domain: &str,
        content: &str,
        site: &Path,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        self.run(&["v-rebuild-web-domain", self.user.as_str(), domain, "no"], monitor)?;
        make_writable(&self.server.hestia.user_home(self.user), domain)?;
        self.place(content, site, Surplus::Stays, &["/logs/**"], monitor)
    }

    /// As Hestia does it: what the snapshot lacks goes from `public_html`, but for names with a
    /// dot, and stays everywhere else.
    fn site_content(&self, content: &str, site: &Path, monitor: &dyn Monitor) -> Result<()> {
        let public = format!("{content}/public_html");
        let mut elsewhere = vec!["/logs/**", "/document_errors"];
        if self.has(&public)? {
            let target = site.join("public_html");
            self.place(&public, &target, Surplus::Goes, &["/.*"], monitor)?;
            elsewhere.push("/public_html/[!.]*");
        }
        self.place(content, site, Surplus::Stays, &elsewhere, monitor)
    }

    /// Restores the mailboxes of a domain whose configuration is there already, and what its
    /// accounts answer by themselves.
    pub fn mailboxes(&self, domain: &str, monitor: &dyn Monitor) -> Result<()> {
        let from = (self.repository, self.snapshot);
        answers::bring_all(self.server, from, self.user, domain, monitor)?;
        let content = format!("mail/{domain}/accounts");
        if self.undoes.is_none() && !self.has(&content)? {
            return Ok(());
        }
        monitor.stage(Stage::Object(format!("mailboxes of {domain}")));
        let folder = mail_folder(domain)?;
        let target = self.server.hestia.user_home(self.user).join("mail").join(folder);
        self.keeping_mode(&target, || self.place(&content, &target, Surplus::Stays, &[], monitor))
    }

    /// A folder that exists only in the tree has no mode worth giving to the one on the disk.
    fn keeping_mode(&self, folder: &Path, place: impl FnOnce() -> Result<()>) -> Result<()> {
        let what = || format!("keep the mode of {}", folder.display());
        let home = self.server.hestia.user_home(self.user);
        let below = folder.strip_prefix(&home).unwrap_or(Path::new(""));
        let path = RelPath::parse(below.as_os_str().as_bytes())?;
        let handle = match Target::open(&home, OwnerPolicy::Keep)?.folder(&path) {
            Err(error) if error.kind() == Kind::NotFound => return place(),
            handle => handle?,
        };
        let before = fstat(&handle).what_io(what)?.st_mode & 0o7777;
        let placed = place();
        if fstat(&handle).what_io(what)?.st_mode & 0o7777 != before {
            fchmod(&handle, Mode::from_bits_truncate(before)).what_io(what)?;
        }
        placed
    }

    /// Restores an entry of the home.
    pub fn home_entry(&self, name: &str, monitor: &dyn Monitor) -> Result<()> {
        monitor.stage(Stage::Object(format!("{name} of the home")));
        if self.undoes.is_some() {
            let target = self.server.hestia.user_home(self.user).join(name);
            let base = format!("user_dir/{name}");
            return self.place(&base, &target, Surplus::Stays, &[], monitor);
        }
        let home = self.server.hestia.user_home(self.user);
        let names = names_in_home(self.repository, self.snapshot, name)?;
        if names.is_empty() {
            return Err(Error::new(Kind::NotFound, format!("find {name} of the home"))
                .why("the snapshot does not have it"));
        }
        for real in names {
            let base = RelPath::parse(b"user_dir")?.join(&real)?;
            let target = RelPath::root().join(&real)?;
            self.keeping_mode(&home, || {
                self.place_at(&base, &target, Surplus::Stays, Selection::all(), monitor)
            })?;
        }
        Ok(())
    }

    /// What Hestia does after each of its own restores.
    pub fn finish(&self, has_web: bool, monitor: &dyn Monitor) {
        let mut calls: Vec<Vec<&str>> = Vec::new();
        if has_web && !self.offers.setting("WEB_SYSTEM").is_empty() {
            calls.push(vec!["v-restart-web"]);
            if !self.offers.setting("PROXY_SYSTEM").is_empty() {
                calls.push(vec!["v-restart-proxy"]);
            }
        }
        calls.push(vec!["v-update-user-counters", self.user.as_str()]);
        calls.push(vec!["v-update-user-counters", self.offers.root_user()]);
        calls.push(vec!["v-update-sys-ip-counters"]);
        for words in calls {
            if let Err(error) = self.run(&words, monitor) {
                monitor.warn(error);
            }
        }
    }

    fn run(&self, words: &[&str], monitor: &dyn Monitor) -> Result<()> {
        let [command, arguments @ ..] = words else { return Ok(()) };
        let call = Call::hestia(&self.server.hestia, command, arguments.iter().copied());
        // Half a rebuild is worse than a late stop.
        let outcome = self.server.caller.call(&call, &crate::hestia::call::ToTheEnd(monitor))?;
        outcome.check(format!("run {}", call.line()), &call).map(drop)
    }

    fn has(&self, path: &str) -> Result<bool> {
        let reader = crate::repo::Reader::new(self.repository);
        let path = RelPath::parse(path.as_bytes())?;
        match crate::ops::restore::find_node(&reader, self.snapshot, &path) {
            Ok(node) => Ok(node.is_folder()),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// For whom a domain's row is made.
    pub fn recipient(&self) -> Recipient<'_> {
        let now = self.server.world.now().local();
        Recipient {
            hestia: &self.server.hestia,
            offers: self.offers,
            user: self.user,
            from: self.from,
            taken: self.taken,
            now: (now.strftime("%F").to_string(), now.strftime("%T").to_string()),
        }
    }

    fn web_row(&self, domain: &str, parts: &WebParts) -> Result<Vec<Change>> {
        let path = self.server.hestia.user_file(self.user, "web.conf");
        let live = conf::read_rows(&path)?.rows;
        if live.iter().any(|row| row.get("DOMAIN") == Some(domain)) {
            return Ok(Vec::new());
        }
        let old = parts.row.as_ref().ok_or_else(|| {
            Error::new(Kind::Parsing, "make its row").why("the snapshot has no sound row of it")
        })?;
        let to = self.recipient();
        let (mut row, changes) = web_row::make(old, domain, &to)?;
        if !row.text("FTP_USER").is_empty() {
            let from = (self.repository, self.snapshot);
            let wanted = Wanted::read(from, [domain], (self.user, self.from))?;
            row.set("FTP_MD5", &wanted.list_for(&row))?;
        }
        if row.is_yes("SSL") {
            let folder = self.server.hestia.user_file(self.user, "ssl");
            for (name, text) in &parts.certificates {
                replace_file(&folder, name, text)?;
            }
        }
        conf::append_row(&path, &row.to_line())?;
        Ok(changes)
    }

    /// Additions to the configuration of the web servers, as Hestia takes them over.
    fn snippets(&self, domain: &str, parts: &WebParts) -> Result<()> {
        let what = || format!("restore the configuration of {domain}");
        let own_php = |text: &[u8]| text.windows(12).any(|part| part == b"fastcgi_pass");
        let taken: Vec<_> = parts.snippets.iter().filter(|(_, text)| !own_php(text)).collect();
        self.remove_snippets(domain, parts)?;
        if taken.is_empty() {
            return Ok(());
        }
        let home = Target::open(&self.server.hestia.user_home(self.user), OwnerPolicy::Keep)?;
        let mut folder = RelPath::root();
        for name in ["conf", "web", domain] {
            folder = folder.join(name.as_bytes())?;
            if home.make_folder(&folder).within(what)? {
                fchmod(home.folder(&folder)?, Mode::from_bits_truncate(0o755)).what_io(what)?;
            }
        }
        for (name, text) in taken {
            let path = folder.join(name.as_bytes())?;
            let draft = format!(".{name}.ghostsnap");
            // One that a killed restore left.
            if let Some(_leftover) = home.look(&folder.join(draft.as_bytes())?)? {
                home.unlink(&path, draft.as_bytes())?;
            }
            let mut file = home.create_as(&path, draft.as_bytes()).within(what)?;
            file.write_all(text).what_io(what)?;
            fchmod(&file, Mode::from_bits_truncate(0o644)).what_io(what)?;
            home.rename(&path, draft.as_bytes()).within(what)?;
        }
        Ok(())
    }

    /// Additions that a restore brought, that were not there before, and that are as it left them.
    fn remove_snippets(&self, domain: &str, before: &WebParts) -> Result<()> {
        let brought = self.undoes.and_then(|undoes| undoes.snippets.get(domain));
        let Some(brought) = brought else { return Ok(()) };
        let home = Target::open(&self.server.hestia.user_home(self.user), OwnerPolicy::Keep)?;
        for (name, text) in brought.iter().filter(|(name, _)| !before.snippets.contains_key(*name))
        {
            let path = RelPath::parse(format!("conf/web/{domain}/{name}").as_bytes())?;
            let Some(there) = home.look(&path)?.filter(|one| one.kind == NodeKind::File) else {
                continue;
            };
            let file = home.open_same_to_read(&path, there.inode)?;
            let mut live = Vec::new();
            let limit = limits::SNIPPET_BYTES_MAX + 1;
            file.take(limit).read_to_end(&mut live).what_io(|| format!("read {path}"))?;
            if live == *text {
                home.unlink(&path, name.as_bytes())?;
            }
        }
        Ok(())
    }

    fn place(
        &self,
        base: &str,
        target: &Path,
        surplus: Surplus,
        exclude: &[&str],
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let selection = Selection::new(&[], exclude)?;
        let home = self.server.hestia.user_home(self.user);
        let target = target.strip_prefix(&home).unwrap_or(Path::new(""));
        let target = RelPath::parse(target.as_os_str().as_bytes())?;
        let base = RelPath::parse(base.as_bytes())?;
        self.place_at(&base, &target, surplus, selection, monitor)
    }

    /// Restores what lies at a path of the tree to a path below the home.
    fn place_at(
        &self,
        base: &RelPath,
        target: &RelPath,
        surplus: Surplus,
        selection: Selection,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let mut exact = surplus == Surplus::Goes;
        if exact && self.snapshot.is_partial() {
            exact = false;
            let what = format!("remove what {base} of the snapshot lacks");
            let error = Error::new(Kind::Partial, what);
            monitor.warn(error.why("the snapshot is not complete, so it may have been there"));
        }
        let undoes = self.undoes.and_then(|undoes| undoes.restored).map(|snapshot| Undoes {
            snapshot: snapshot.clone(),
            from: base.clone(),
            to: target.clone(),
        });
        let options = Options { selection, exact, undoes, ..Options::default() };
        let from = (self.repository, self.snapshot, base);
        let monitor = &crate::hestia::call::ToTheEnd(monitor);
        let report = asuser::restore(self.server, from, self.user, target, &options, monitor)
            // Partial is what only lacks some of its files, and this has broken off.
            .map_err(|error| match error.kind() {
                Kind::Partial => error.with_kind(Kind::Internal),
                _ => error,
            })?;
        if let Some(undoes) = self.undoes {
            undoes.newer.set(undoes.newer.get() + report.newer);
        }
        match report.warnings {
            0 => Ok(()),
            count => Err(Error::new(Kind::Partial, format!("restore all of {base}"))
                .why(format!("{count} of its files or attributes are not back, see the warnings"))),
        }
    }
}

/// The real names of an entry of the home, if the snapshot has it: an object is called by what can
/// be shown of it, and two entries may look the same.
pub(super) fn names_in_home(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    shown: &str,
) -> Result<Vec<Vec<u8>>> {
    let reader = crate::repo::Reader::new(repository);
    let home = RelPath::parse(b"user_dir")?;
    let home = match crate::ops::restore::find_node(&reader, snapshot, &home) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
        home => home?,
    };
    let nodes = reader.tree(&home.chunks)?.into_iter();
    Ok(nodes.map(|node| node.name).filter(|name| display_bytes(name) == shown).collect())
}

/// The name of a domain's folder of mail.
pub(super) fn mail_folder(domain: &str) -> Result<String> {
    to_ascii(domain).ok_or_else(|| {
        let what = format!("find the mail of {}", domain.escape_debug());
        Error::new(Kind::Invalid, what).why("its name cannot be written in ASCII")
    })
}

/// What becomes of files that the snapshot lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surplus {
    Goes,
    Stays,
}

/// Lets the owner write in the folder of a site and of its statistics, as Hestia does before it
/// unpacks there; its rebuild afterwards sets their modes.
fn make_writable(home: &Path, domain: &str) -> Result<()> {
    let home = Target::open(home, OwnerPolicy::Keep)?;
    let site = RelPath::parse(b"web")?.join(domain.as_bytes())?;
    for path in [site.clone(), site.join(b"stats")?] {
        let what = || format!("open {path} to its owner");
        let folder = match home.folder(&path) {
            Err(error) if error.kind() == Kind::NotFound => continue,
            folder => folder?,
        };
        let mode = Mode::from_bits_truncate(fstat(&folder).what_io(what)?.st_mode | 0o200);
        fchmod(&folder, mode).what_io(what)?;
    }
    Ok(())
}

/// Writes a file of Hestia's own folders, whole or not at all.
fn replace_file(folder: &Path, name: &str, text: &[u8]) -> Result<()> {
    let path = folder.join(name);
    let what = || format!("write {}", path.display());
    std::fs::create_dir_all(folder).what_io(what)?;
    let draft = folder.join(format!(".{name}.ghostsnap"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o660);
    options.custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
    let mut file: File = options.open(&draft).what_io(what)?;
    file.write_all(text).what_io(what)?;
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o660)).what_io(what)?;
    file.sync_all().what_io(what)?;
    std::fs::rename(&draft, &path).what_io(what)
}
