// SPDX-License-Identifier: MIT
//! The tables `[notifications]` and `[metrics]` of the settings: who is told what, and where. An
//! address that is told something is a secret (whoever knows it can write there), so that the
//! settings only say where it is, as entries of repositories do.

use crate::base::{Result, limits, notify_limits};
use crate::hestia::layout::UserName;
use crate::hestia::named::SecretPlace;
use crate::hestia::settings::Place;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// How often a summary is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    /// Not at all.
    #[default]
    Never,
    /// Every day.
    Daily,
    /// Every Monday.
    Weekly,
}

/// What a webhook speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Ghostsnap's own JSON.
    #[default]
    Json,
    /// Slack's incoming webhooks, and what takes them, such as Mattermost.
    Slack,
    /// Discord's webhooks.
    Discord,
    /// Telegram's bots.
    Telegram,
    /// ntfy.
    Ntfy,
}

impl Preset {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Telegram => "telegram",
            Self::Ntfy => "ntfy",
        }
    }
}

/// What a ping is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pinged {
    /// Backups of everybody, or of one user.
    #[default]
    Backup,
    /// Checks of a repository.
    Check,
    /// Rehearsals of restores.
    Verify,
    /// Prunes of a repository.
    Prune,
    /// Copies into a repository.
    Copy,
}

/// Where something is sent over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Where the URL is.
    pub url: SecretPlace,
    /// Whether it may be without TLS.
    pub allow_http: bool,
    /// Certificates of an authority of one's own.
    pub ca_file: Option<PathBuf>,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is.
    pub address: Address,
    /// What it speaks.
    pub preset: Preset,
    /// A token that goes along in a header.
    pub token: Option<SecretPlace>,
    /// The chat, for Telegram.
    pub chat_id: Option<String>,
    /// Whose news it gets, as this customer may know them; those of the administrator, if `None`.
    pub user: Option<UserName>,
    /// How often it gets a summary, if not as others.
    pub digest: Option<Digest>,
}

/// A URL that is asked when something begins and ends, as healthchecks.io takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingUrl {
    /// Where it is.
    pub address: Address,
    /// What it is about.
    pub of: Pinged,
    /// The user whose backups it is about; those of everybody, if `None`.
    pub user: Option<UserName>,
}

/// What customers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Customer {
    /// Whether their panel shows it.
    pub panel: bool,
    /// Whether they get mails.
    pub mail: bool,
    /// How often they get a summary by mail.
    pub digest: Digest,
}

/// Who is told what, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyRules {
    /// Seconds after which the same trouble is told again.
    pub again_seconds: i64,
    /// From what share of a disk on, in hundredths, a repository on it is nearly full; never, if 0.
    pub full_percent: u8,
    /// How long a receiver of a webhook or ping may take to answer.
    pub patience: Duration,
    /// Whether the administrator's panel shows it.
    pub panel: bool,
    /// Mail addresses of the administrator.
    pub mail: Vec<String>,
    /// How often the administrator gets a summary.
    pub digest: Digest,
    /// From which hour of the day on summaries are sent.
    pub digest_hour: i8,
    /// What customers get who have nothing of their own.
    pub users: Customer,
    /// What single customers get.
    pub single: BTreeMap<String, Customer>,
    /// Webhooks by their names.
    pub webhooks: BTreeMap<String, Webhook>,
    /// URLs that are asked when something begins and ends, by their names.
    pub pings: BTreeMap<String, PingUrl>,
}

impl Default for NotifyRules {
    fn default() -> Self {
        Self {
            again_seconds: 24 * 3600,
            full_percent: 90,
            patience: notify_limits::REQUEST_WAIT,
            panel: false,
            mail: Vec::new(),
            digest: Digest::Never,
            digest_hour: 8,
            users: Customer::default(),
            single: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            pings: BTreeMap::new(),
        }
    }
}

impl NotifyRules {
    /// What this customer gets.
    pub fn of_user(&self, name: &str) -> Customer {
        self.single.get(name).copied().unwrap_or(self.users)
    }

    /// Whether anybody is told anything.
    pub fn tell_anybody(&self) -> bool {
        let customer = |one: &Customer| one.panel || one.mail;
        self.panel
            || !self.mail.is_empty()
            || !self.webhooks.is_empty()
            || customer(&self.users)
            || self.single.values().any(customer)
    }
}

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::hestia) struct WrittenNotify {
    again_hours: Option<Spanned<i64>>,
    full_percent: Option<Spanned<i64>>,
    timeout_seconds: Option<Spanned<i64>>,
    panel: Option<bool>,
    mail: Option<Spanned<Vec<String>>>,
    digest: Option<Digest>,
    digest_hour: Option<Spanned<i64>>,
    #[serde(default)]
    users: WrittenCustomer,
    #[serde(default)]
    webhooks: BTreeMap<Spanned<String>, WrittenWebhook>,
    #[serde(default)]
    pings: BTreeMap<Spanned<String>, WrittenPing>,
}

/// What customers get, as it is written.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::hestia) struct WrittenCustomer {
    panel: Option<bool>,
    mail: Option<bool>,
    digest: Option<Digest>,
}

/// A secret can be in one of three places, and never here.
#[derive(Debug, Default)]
struct WrittenSecret {
    itself: Option<Spanned<serde::de::IgnoredAny>>,
    file: Option<Spanned<PathBuf>>,
    environment: Option<Spanned<String>>,
    command: Option<Spanned<Vec<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWebhook {
    preset: Option<Preset>,
    url: Option<Spanned<serde::de::IgnoredAny>>,
    url_file: Option<Spanned<PathBuf>>,
    url_env: Option<Spanned<String>>,
    url_command: Option<Spanned<Vec<String>>>,
    token: Option<Spanned<serde::de::IgnoredAny>>,
    token_file: Option<Spanned<PathBuf>>,
    token_env: Option<Spanned<String>>,
    token_command: Option<Spanned<Vec<String>>>,
    chat_id: Option<Spanned<String>>,
    user: Option<Spanned<String>>,
    digest: Option<Digest>,
    allow_http: Option<bool>,
    ca_file: Option<Spanned<PathBuf>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPing {
    url: Option<Spanned<serde::de::IgnoredAny>>,
    url_file: Option<Spanned<PathBuf>>,
    url_env: Option<Spanned<String>>,
    url_command: Option<Spanned<Vec<String>>>,
    of: Option<Pinged>,
    user: Option<Spanned<String>>,
    allow_http: Option<bool>,
    ca_file: Option<Spanned<PathBuf>>,
}

/// The table `[metrics]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::hestia) struct WrittenMetrics {
    file: Option<Spanned<PathBuf>>,
}

/// Reads that table: the file that metrics are written into.
pub(in crate::hestia) fn metrics_file(
    place: &Place<'_>,
    written: WrittenMetrics,
) -> Result<Option<PathBuf>> {
    let Some(file) = written.file else { return Ok(None) };
    let is_file =
        |path: &PathBuf| path.is_absolute() && path.extension().is_some_and(|end| end == "prom");
    place.check(&file, "an absolute path that ends in .prom", is_file)?;
    Ok(Some(file.into_inner()))
}

/// Reads the table `[notifications]`, with what `[users.NAME]` says of single customers.
pub(in crate::hestia) fn rules(
    place: &Place<'_>,
    written: WrittenNotify,
    single: BTreeMap<String, WrittenCustomer>,
) -> Result<NotifyRules> {
    let mut rules = NotifyRules::default();
    if let Some(value) = &written.again_hours {
        rules.again_seconds = place.number::<i64>(value, 1, 8760)? * 3600;
    }
    if let Some(value) = &written.full_percent {
        rules.full_percent = place.number(value, 0, 99)?;
    }
    if let Some(value) = &written.timeout_seconds {
        rules.patience = Duration::from_secs(place.number(value, 1, 60)?);
    }
    if let Some(value) = &written.digest_hour {
        rules.digest_hour = place.number(value, 0, 23)?;
    }
    rules.panel = written.panel.unwrap_or(false);
    rules.digest = written.digest.unwrap_or_default();
    if let Some(mail) = written.mail {
        let allowed =
            format!("a list of at most {} different mail addresses", notify_limits::TARGETS_MAX);
        let fits = |list: &Vec<String>| {
            let different: BTreeSet<&String> = list.iter().collect();
            list.len() <= notify_limits::TARGETS_MAX
                && different.len() == list.len()
                && list.iter().all(|one| is_mail(one))
        };
        place.check(&mail, &allowed, fits)?;
        rules.mail = mail.into_inner();
    }
    let nothing = Customer::default();
    rules.users = written.users.over(nothing);
    let single = single.into_iter().map(|(name, one)| (name, one.over(rules.users)));
    rules.single = single.collect();
    let most = notify_limits::TARGETS_MAX;
    for (name, webhook) in written.webhooks {
        name_fits(place, &name, rules.webhooks.len() < most)?;
        rules.webhooks.insert(name.get_ref().clone(), webhook.read(place, &name)?);
    }
    for (name, ping) in written.pings {
        name_fits(place, &name, rules.pings.len() < most)?;
        rules.pings.insert(name.get_ref().clone(), ping.read(place, &name)?);
    }
    Ok(rules)
}

/// Names stand in lists and in a file of ours.
fn name_fits(place: &Place<'_>, name: &Spanned<String>, has_room: bool) -> Result<()> {
    let fits = |text: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        (1..=limits::REPOSITORY_NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(plain)
    };
    place.check(name, "a name of letters, digits, hyphens and underscores", fits)?;
    let allowed = format!("one of at most {}", notify_limits::TARGETS_MAX);
    place.check(name, &allowed, |_| has_room)
}

/// Whether a text is a mail address that is harmless in a header: one person, no words around.
pub fn is_mail(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"\"(),:;<>[]\\".contains(c);
    let Some((person, host)) = text.split_once('@') else { return false };
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    text.len() <= 254
        && !person.is_empty()
        && person.chars().all(plain)
        && !person.starts_with('-')
        && !host.is_empty()
        && host.chars().all(is_host)
}

impl WrittenCustomer {
    fn over(self, usual: Customer) -> Customer {
        Customer {
            panel: self.panel.unwrap_or(usual.panel),
            mail: self.mail.unwrap_or(usual.mail),
            digest: self.digest.unwrap_or(usual.digest),
        }
    }
}

impl WrittenSecret {
    /// Where it is, if anything is said about it.
    fn read(self, place: &Place<'_>, key: &str) -> Result<Option<SecretPlace>> {
        if let Some(itself) = self.itself {
            let why = format!("{key} is a secret: use {key}_file, {key}_env or {key}_command");
            return Err(place.error(Some(itself.span().start), &why));
        }
        let mut found = None;
        if let Some(file) = self.file {
            place.check(&file, "an absolute path", |path| path.is_absolute())?;
            found = Some((file.span().start, SecretPlace::File(file.into_inner())));
        }
        let second = |is: bool, at: usize| {
            if !is {
                return Ok(());
            }
            Err(place.error(Some(at), &format!("{key} is given in two ways")))
        };
        if let Some(name) = self.environment {
            second(found.is_some(), name.span().start)?;
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let fits = |text: &String| !text.is_empty() && text.chars().all(is_name);
            place.check(&name, "the name of a variable", fits)?;
            found = Some((name.span().start, SecretPlace::Environment(name.into_inner())));
        }
        if let Some(words) = self.command {
            second(found.is_some(), words.span().start)?;
            let fits =
                |words: &Vec<String>| words.first().is_some_and(|program| program.starts_with('/'));
            place.check(&words, "a list of words that begins with an absolute path", fits)?;
            found = Some((words.span().start, SecretPlace::Command(words.into_inner())));
        }
        Ok(found.map(|(_, secret)| secret))
    }
}

fn address(
    place: &Place<'_>,
    name: &Spanned<String>,
    url: WrittenSecret,
    (allow_http, ca_file): (Option<bool>, Option<Spanned<PathBuf>>),
) -> Result<Address> {
    let Some(url) = url.read(place, "url")? else {
        return Err(place.error(Some(name.span().start), "it has no url_file"));
    };
    if let Some(file) = &ca_file {
        place.check(file, "an absolute path", |path| path.is_absolute())?;
    }
    let ca_file = ca_file.map(Spanned::into_inner);
    Ok(Address { url, allow_http: allow_http.unwrap_or(false), ca_file })
}

fn user(place: &Place<'_>, written: Option<Spanned<String>>) -> Result<Option<UserName>> {
    let Some(name) = written else { return Ok(None) };
    place.check(&name, "the name of a user", |name| UserName::parse(name).is_ok())?;
    UserName::parse(name.get_ref()).map(Some)
}

impl WrittenWebhook {
    fn read(self, place: &Place<'_>, name: &Spanned<String>) -> Result<Webhook> {
        let at = Some(name.span().start);
        let preset = self.preset.unwrap_or_default();
        let url = WrittenSecret {
            itself: self.url,
            file: self.url_file,
            environment: self.url_env,
            command: self.url_command,
        };
        let token = WrittenSecret {
            itself: self.token,
            file: self.token_file,
            environment: self.token_env,
            command: self.token_command,
        };
        let token = token.read(place, "token")?;
        if token.is_some() && !matches!(preset, Preset::Json | Preset::Ntfy) {
            return Err(place.error(at, "only the presets json and ntfy have a token"));
        }
        if self.chat_id.is_some() != (preset == Preset::Telegram) {
            return Err(place.error(at, "the preset telegram has a chat_id, and no other one"));
        }
        if let Some(chat) = &self.chat_id {
            let fits = |text: &String| {
                !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic())
            };
            place.check(chat, "the number or @name of a chat", fits)?;
        }
        Ok(Webhook {
            address: address(place, name, url, (self.allow_http, self.ca_file))?,
            preset,
            token,
            chat_id: self.chat_id.map(Spanned::into_inner),
            user: user(place, self.user)?,
            digest: self.digest,
        })
    }
}

impl WrittenPing {
    fn read(self, place: &Place<'_>, name: &Spanned<String>) -> Result<PingUrl> {
        let at = Some(name.span().start);
        let url = WrittenSecret {
            itself: self.url,
            file: self.url_file,
            environment: self.url_env,
            command: self.url_command,
        };
        let of = self.of.unwrap_or_default();
        let user = user(place, self.user)?;
        if user.is_some() && of != Pinged::Backup {
            return Err(place.error(at, "only a ping of backups can be about one user"));
        }
        let address = address(place, name, url, (self.allow_http, self.ca_file))?;
        Ok(PingUrl { address, of, user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hestia::Settings;
    use std::path::Path;

    fn parse(text: &str) -> Result<NotifyRules> {
        Settings::parse(text, Path::new("/etc/ghostsnap/ghostsnap.toml")).map(|it| it.notifications)
    }

    #[test]
    fn nobody_is_told_anything_unless_somebody_says_so() {
        let rules = parse("").unwrap();
        assert_eq!(rules, NotifyRules::default());
        assert!(!rules.tell_anybody());
        for text in [
            "[notifications]\npanel = true",
            "[notifications]\nmail = ['a@b.example']",
            "[notifications.users]\nmail = true",
            "[users.alice]\nnotifications = { panel = true }",
            "[notifications.webhooks.ops]\nurl_file = '/etc/ghostsnap/ops.url'",
        ] {
            assert!(parse(text).unwrap().tell_anybody(), "{text}");
        }
    }

    #[test]
    fn a_customer_may_have_other_rules_than_the_rest() {
        let rules = parse(
            "[notifications.users]\nmail = true\ndigest = 'weekly'\n\
             [users.alice]\nnotifications = { mail = false, panel = true }\n",
        )
        .unwrap();
        let weekly = Digest::Weekly;
        let bob = Customer { panel: false, mail: true, digest: weekly };
        assert_eq!(rules.of_user("bob"), bob);
        assert_eq!(rules.of_user("alice"), Customer { panel: true, mail: false, digest: weekly });
    }

    #[test]
    fn webhooks_and_pings_say_where_their_secrets_are() {
        let rules = parse(
            "[notifications.webhooks.chat]\npreset = 'telegram'\nurl_file = '/t'\nchat_id = '-1'\n\
             [notifications.webhooks.push]\npreset = 'ntfy'\nurl_env = 'NTFY'\n\
             token_command = ['/usr/bin/pass', 'ntfy']\nuser = 'alice'\ndigest = 'daily'\n\
             [notifications.pings.nightly]\nurl_file = '/p'\nallow_http = true\nuser = 'bob'\n",
        )
        .unwrap();
        let push = &rules.webhooks["push"];
        assert_eq!(push.address.url, SecretPlace::Environment("NTFY".into()));
        assert_eq!(push.user, UserName::parse("alice").ok());
        assert_eq!((push.digest, push.preset), (Some(Digest::Daily), Preset::Ntfy));
        assert!(matches!(&push.token, Some(SecretPlace::Command(words)) if words.len() == 2));
        assert_eq!(rules.webhooks["chat"].chat_id.as_deref(), Some("-1"));
        let ping = &rules.pings["nightly"];
        assert_eq!((ping.of, ping.address.allow_http), (Pinged::Backup, true));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_without_the_secret() {
        let hook = "[notifications.webhooks.ops]\n";
        let ping = "[notifications.pings.p]\nurl_file = '/p'\n";
        for (text, line, words) in [
            (format!("{hook}url = 'https://x.example/SECRET'"), 2, "use url_file"),
            (format!("{hook}url_file = 'https://x.example/SECRET'"), 2, "an absolute path"),
            (format!("{hook}url_command = '/bin/echo SECRET'"), 2, "expected a sequence"),
            (format!("{hook}url_env = 'SECRET-X'"), 2, "the name of a variable"),
            (format!("{hook}url_file = '/a'\nurl_env = 'B'"), 3, "in two ways"),
            (format!("{hook}preset = 'slack'"), 1, "it has no url_file"),
            (format!("{hook}url_file = '/a'\nchat_id = '1'"), 1, "the preset telegram"),
            (format!("{hook}url_file = '/a'\npreset = 'telegram'"), 1, "the preset telegram"),
            (
                format!("{hook}url_file = '/a'\npreset = 'slack'\ntoken_file = '/t'"),
                1,
                "json and ntfy",
            ),
            (format!("{hook}url_file = '/a'\ntoken = 'SECRET'"), 3, "use token_file"),
            ("[notifications]\nwebhooks = 'https://x.example/SECRET'".into(), 2, "map"),
            ("[notifications.webhooks.'a b']\nurl_file = '/a'".into(), 1, "letters, digits"),
            ("[notifications]\nmail = ['a']".into(), 2, "mail addresses"),
            ("[notifications]\nagain_hours = 0".into(), 2, "from 1 to 8760"),
            (format!("{ping}of = 'check'\nuser = 'alice'"), 1, "of backups"),
            ("[metrics]\nfile = 'x.prom'".into(), 2, "an absolute path"),
            ("[metrics]\nfile = '/x/y.txt'".into(), 2, "ends in .prom"),
        ] {
            let error = parse(&text).unwrap_err().one_line();
            let place = format!("ghostsnap.toml, line {line}:");
            assert!(error.contains(&place) && error.contains(words), "{text}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn only_a_single_harmless_address_is_one() {
        for good in ["a@b", "ops+backup@mail.example.com", "o'neil@b.example"] {
            assert!(is_mail(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "-f@b",
            "a@b,c@d",
            "a@b\nBcc: c@d",
            "A <a@b>",
            "a b@c",
            "a@b@c",
            &format!("{}@b", "a".repeat(300)),
        ] {
            assert!(!is_mail(bad), "{bad:?}");
        }
    }
}
