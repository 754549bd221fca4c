// SPDX-License-Identifier: MIT
//! One mail account of a user: its mails in place as the user, and its configuration through
//! Hestia where the account is gone. An account that is there keeps its password, aliases and
//! forwards: only mails come back.

use super::files::check_user;
use super::rollback::Rollback;
use super::safety::{self, Intent, Safety};
use super::{News, Server, answers, manage};
use crate::base::monitor::Stage;
use crate::base::path::display_bytes;
use crate::base::units::bytes;
use crate::base::{Error, FileId, Kind, Monitor, RelPath, Result, Within};
use crate::format::Snapshot;
use crate::format::snapshot::Object;
use crate::hestia::asuser::{self, Options};
use crate::hestia::call::{Call, ToTheEnd};
use crate::hestia::conf::{self, Row};
use crate::hestia::layout::UserName;
use crate::hestia::{inventory, paths};
use crate::ops::restore::{Report, find_node};
use crate::repo::{IndexedRepository, Reader};
use std::collections::BTreeSet;

/// Which account, and how.
#[derive(Debug, Clone, Default)]
pub struct MailRequest {
    /// Which snapshot: id, prefix, name or `latest`.
    pub snapshot: String,
    /// The address, such as `info@example.com`.
    pub address: String,
    /// Remove mails that came since.
    pub exact: bool,
    /// Change nothing; say what would change.
    pub dry_run: bool,
    /// Take the snapshot of an earlier user of this name.
    pub force: bool,
    /// Do not save before what will be overwritten.
    pub no_safety: bool,
}

/// What a restore of an account did.
#[derive(Debug)]
pub struct MailRestored {
    /// The snapshot.
    pub snapshot: (FileId, Snapshot),
    /// The account was gone and was made again, or would be.
    pub made: bool,
    /// What became of its mails.
    pub report: Report,
    /// What takes it back.
    pub safety: Option<Safety>,
}

/// An address whose parts are harmless as file names and in Hestia's rows.
pub(super) struct Address {
    pub(super) account: String,
    pub(super) domain: String,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let what = || format!("take '{}' for a mail address", text.escape_debug());
        let wrong = |why: &str| Error::new(Kind::Invalid, what()).why(why.to_owned());
        let (account, domain) =
            text.split_once('@').ok_or_else(|| wrong("it is not written ACCOUNT@DOMAIN"))?;
        if !is_local_part(account) || domain.is_empty() || domain.contains(['/', '@', '\'']) {
            return Err(wrong("Hestia has no accounts of such a name"));
        }
        Ok(Self { account: account.to_owned(), domain: domain.to_owned() })
    }

    /// The folder of its mails in the canonical tree.
    fn mails(&self) -> Result<RelPath> {
        RelPath::parse(format!("mail/{}/accounts/{}", self.domain, self.account).as_bytes())
    }

    /// A file that the snapshot may have of its domain.
    pub(super) fn file(&self, name: &str) -> Result<RelPath> {
        RelPath::parse(format!("mail/{}/{name}", self.domain).as_bytes())
    }
}

fn is_local_part(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    let first = text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_');
    first && text.len() <= 64 && text.bytes().all(fits)
}

/// Brings a mail account back. Its domain must be there.
pub fn restore_mail_account(
    server: &Server,
    repository: &IndexedRepository,
    user: &UserName,
    request: &MailRequest,
    monitor: &dyn Monitor,
) -> Result<MailRestored> {
    let address = Address::parse(&request.address)?;
    let _lock = server.lock(user, "a restore")?;
    let (id, snapshot) = manage::find(repository, user, &request.snapshot, monitor)?;
    check_user(server, user, &snapshot, request.force)?;
    monitor.stage(Stage::Object(format!("{} from {}", request.address, snapshot.name)));
    let job = Job { server, repository, user, snapshot: (&id, &snapshot), address, request };
    let done = job.run(monitor);
    if !request.dry_run {
        server.tell(user, &news(request, &snapshot, &done), monitor);
    }
    let (made, report, safety) = done?;
    Ok(MailRestored { snapshot: (id, snapshot), made, report, safety })
}

fn news(
    request: &MailRequest,
    snapshot: &Snapshot,
    done: &Result<(bool, Report, Option<Safety>)>,
) -> News<'static> {
    let (address, name) = (&request.address, &snapshot.name);
    let (topic, text) = match done {
        Ok((_, report, _)) if report.warnings == 0 => {
            ("Restore done", format!("Ghostsnap restored the mails of {address} from {name}."))
        }
        Ok((_, report, _)) => (
            "Restore incomplete",
            format!("Ghostsnap restored {address}, but for {} problems.", report.warnings),
        ),
        Err(error) => {
            let why = error.one_line();
            ("Restore failed", format!("Ghostsnap did not restore all of {address}: {why}"))
        }
    };
    News { topic, text, is_problem: topic != "Restore done", asked_for: false }
}

struct Job<'j> {
    server: &'j Server,
    repository: &'j IndexedRepository,
    user: &'j UserName,
    snapshot: (&'j FileId, &'j Snapshot),
    address: Address,
    request: &'j MailRequest,
}

impl Job<'_> {
    fn run(&self, monitor: &dyn Monitor) -> Result<(bool, Report, Option<Safety>)> {
        let (account, domain) = (&self.address.account, &self.address.domain);
        let what = || format!("restore the mail account {account}@{domain}");
        let has = inventory::of_user(&self.server.hestia, self.user)?;
        let Some(live) = has.mail.iter().find(|one| one.name == *domain) else {
            return Err(Error::new(Kind::NotFound, what())
                .why(format!("the user has no mail domain {domain}"))
                .hint("v-ghostsnap-restore-mail-domain brings the whole domain back"));
        };
        let made = !live.accounts.iter().any(|one| one == account);
        let has_mails = self.has_mails()?;
        if made {
            let row = self.stored_row(monitor)?.ok_or_else(|| {
                Error::new(Kind::NotFound, what()).why("the snapshot has no such account")
            })?;
            self.check_limit(bytes(live.accounts.len()))?;
            let safety = self.save(monitor)?;
            if !self.request.dry_run {
                self.make(&row, monitor).within(what)?;
            }
            if !has_mails {
                return Ok((made, Report::default(), safety));
            }
            return Ok((made, self.mails_or_back(safety.as_ref(), monitor)?, safety));
        }
        if !has_mails {
            return Err(Error::new(Kind::NotFound, what()).why("the snapshot has no mails of it"));
        }
        let safety = self.save(monitor)?;
        Ok((made, self.mails_or_back(safety.as_ref(), monitor)?, safety))
    }

    fn mails_or_back(&self, safety: Option<&Safety>, monitor: &dyn Monitor) -> Result<Report> {
        let (server, repository, user) = (self.server, self.repository, self.user);
        let rollback = Rollback { server, repository, user, restored: self.snapshot.1, safety };
        self.mails(monitor).map_err(|error| rollback.place(error, monitor))
    }

    fn save(&self, monitor: &dyn Monitor) -> Result<Option<Safety>> {
        let base = self.address.mails()?;
        let target = paths::home_path(&base)?.unwrap_or_default();
        let name = format!("{}@{}", self.address.account, self.address.domain);
        let intent = Intent {
            command: "restore-mail-account",
            restored: (*self.snapshot.0, self.snapshot.1),
            objects: vec![Object { section: "MAIL".to_owned(), name }],
            table: None,
            table_created: false,
            place: Some((base, target)),
            exact: self.request.exact,
        };
        let no_safety = self.request.no_safety || self.request.dry_run;
        safety::of_one(self.server, self.repository, self.user, &intent, no_safety, monitor)
    }

    fn has_mails(&self) -> Result<bool> {
        let reader = Reader::new(self.repository);
        match find_node(&reader, self.snapshot.1, &self.address.mails()?) {
            Ok(node) => Ok(node.is_folder()),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn mails(&self, monitor: &dyn Monitor) -> Result<Report> {
        let base = self.address.mails()?;
        let target = paths::home_path(&base)?.unwrap_or_default();
        let (exact, dry_run) = (self.request.exact, self.request.dry_run);
        let options = Options { exact, dry_run, ..Options::default() };
        let from = (self.repository, self.snapshot.1, &base);
        asuser::restore(self.server, from, self.user, &target, &options, monitor)
    }

    /// A small file of the snapshot; `None` if it has none.
    fn stored(&self, path: &RelPath) -> Result<Option<Vec<u8>>> {
        answers::stored((self.repository, self.snapshot.1), path)
    }

    /// The row of the account, made of those values alone that Hestia's scripts can be trusted
    /// with: they turn rows into variables of a shell that runs as root.
    fn stored_row(&self, monitor: &dyn Monitor) -> Result<Option<Row>> {
        let (account, domain) = (&self.address.account, &self.address.domain);
        let name = self.address.file(&format!("hestia/{domain}.conf"))?;
        let Some(text) = self.stored(&name)? else { return Ok(None) };
        let rows = conf::parse_rows(&text).rows;
        let Some(old) = rows.iter().find(|row| row.text("ACCOUNT") == account) else {
            return Ok(None);
        };
        let taken = self.taken_names()?;
        let warn = |what: &str| {
            let what = format!("give {account}@{domain} its {what} back");
            monitor.warn(Error::new(Kind::Partial, what).why("it is taken or not safe to use"));
        };
        let mut aliases = Vec::new();
        for alias in old.list("ALIAS") {
            if is_local_part(alias) && !taken.contains(alias) {
                aliases.push(alias);
            } else {
                warn(&format!("alias '{}'", display_bytes(alias.as_bytes())));
            }
        }
        let safe = |key: &str, what: &str, is_safe: &dyn Fn(&str) -> bool| {
            let value = old.text(key);
            if value.is_empty() || is_safe(value) {
                return value.to_owned();
            }
            warn(what);
            String::new()
        };
        let hash = safe("MD5", "password", &is_hash);
        let forward = safe("FWD", "forwarding", &is_addresses);
        let quota = safe("QUOTA", "quota", &|text| text == "unlimited" || is_number(text));
        let rate = safe("RATE_LIMIT", "rate limit", &is_number);
        let now = self.server.world.now().local();
        let (time, date) = (now.strftime("%T").to_string(), now.strftime("%F").to_string());
        let mut row = Row::default();
        for (key, value) in [
            ("ACCOUNT", account.as_str()),
            ("ALIAS", &aliases.join(",")),
            ("AUTOREPLY", "no"),
            ("FWD", &forward),
            ("FWD_ONLY", if old.is_yes("FWD_ONLY") && !forward.is_empty() { "yes" } else { "" }),
            ("MD5", &hash),
            ("QUOTA", if quota.is_empty() { "unlimited" } else { &quota }),
            ("U_DISK", "0"),
            ("RATE_LIMIT", &rate),
            ("SUSPENDED", "no"),
            ("TIME", &time),
            ("DATE", &date),
        ] {
            if key != "RATE_LIMIT" || !value.is_empty() {
                row.set(key, value)?;
            }
        }
        Ok(Some(row))
    }

    fn rows_file(&self) -> std::path::PathBuf {
        let name = format!("mail/{}.conf", self.address.domain);
        self.server.hestia.user_file(self.user, &name)
    }

    /// Names of the domain that are accounts or aliases now.
    fn taken_names(&self) -> Result<BTreeSet<String>> {
        let rows = conf::read_rows(&self.rows_file())?.rows;
        let names = rows.iter().flat_map(|row| {
            std::iter::once(row.text("ACCOUNT")).chain(row.list("ALIAS")).map(str::to_owned)
        });
        Ok(names.collect())
    }

    fn check_limit(&self, accounts: u64) -> Result<()> {
        let user = inventory::user(&self.server.hestia, self.user)?;
        let limit = user.row.text("MAIL_ACCOUNTS");
        // The package's number is of accounts per domain; one without a number has no limit.
        match limit.parse::<u64>() {
            Ok(most) if accounts >= most => {
                Err(Error::new(Kind::Limit, "make one more mail account")
                    .why(format!(
                        "the user's package allows {most} in a domain, and there are {accounts}"
                    ))
                    .hint("raise the limit of the package, or remove another account"))
            }
            _ => Ok(()),
        }
    }

    /// Adds the row and lets Hestia make the account of it.
    fn make(&self, row: &Row, monitor: &dyn Monitor) -> Result<()> {
        let path = self.rows_file();
        let line = row.to_line();
        conf::append_row(&path, &line)?;
        let (user, domain) = (self.user.as_str(), self.address.domain.as_str());
        let hestia = &self.server.hestia;
        let call = Call::hestia(hestia, "v-rebuild-mail-domain", [user, domain]);
        let outcome = self.server.caller.call(&call, &ToTheEnd(monitor));
        let rebuilt = outcome.and_then(|outcome| outcome.check("rebuild the mail domain", &call));
        if let Err(error) = rebuilt {
            // The row without the rest would be half an account.
            conf::take_back_row(&path, &line)?;
            return Err(error);
        }
        let (server, repository, user) = (self.server, self.repository, self.user);
        let from = (repository, self.snapshot.1);
        if let Err(error) = answers::bring(server, from, user, &self.address, monitor) {
            monitor.warn(error);
        }
        Ok(())
    }
}

fn is_number(text: &str) -> bool {
    text.len() <= 12 && text.bytes().all(|c| c.is_ascii_digit())
}

/// A password's hash as doveadm writes it: nothing that ends a field or starts something in a
/// shell, but for the dollars that every hash has.
fn is_hash(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"{}$./=,+-_".contains(&c);
    text.len() <= 512 && text.starts_with('{') && text.bytes().all(fits)
}

fn is_addresses(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"@.,_+-".contains(&c);
    text.len() <= 4096 && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_harmless_as_names_of_files() {
        let good = Address::parse("info.x@a.example").unwrap();
        assert_eq!(good.mails().unwrap().as_bytes(), b"mail/a.example/accounts/info.x");
        for bad in ["info", "@a", "a@", "../x@a", ".@a", "a/b@c", "a@b/c", "a@b@c", "a'@b", "-a@b"]
        {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_a_shell_leaves_alone_gets_into_a_row() {
        assert!(is_hash("{BLF-CRYPT}$2y$05$nRcD6/It8Z16LouewY40ne"));
        assert!(is_hash("{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$abc$def+/"));
        for bad in ["", "plain", "{X}a:b", "{X}$(id)", "{X}`id`", "{X}a b", "{X}a\\nb"] {
            assert!(!is_hash(bad), "{bad}");
        }
        assert!(is_addresses("a.b+c@d.example,e@f.example"));
        for bad in ["|/bin/sh", ":include:/etc/passwd", "\"a b\"@c", "/var/x"] {
            assert!(!is_addresses(bad), "{bad}");
        }
    }
}
