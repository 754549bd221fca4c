// SPDX-License-Identifier: MIT
//! Every key of `/etc/ghostsnap/ghostsnap.toml`: what it means, what it is without being written,
//! and who may change it by a command. The command that lists settings and the one that changes
//! them are made from this table alone; a test holds it to the parser, so that no key is missing.
//!
//! What the panel's command may change gives nobody more power than there is in an administrator's
//! access key anyway (backups are removed by it as well); and it is no way to choose which file of
//! the server root reads or writes, nor which program root starts.

pub use super::setting_edit::list_of;
use super::setting_edit::{self, Path, Value};
use crate::backend::shown_address;
use crate::base::{Error, Kind, Result};
use toml_edit::DocumentMut;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Text.
    Text,
    /// A whole number.
    Number,
    /// `yes` or `no`.
    YesNo,
    /// Several texts.
    List,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Holds {
    /// Its word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::YesNo => "yesno",
            Self::List => "list",
            Self::Choice(_) => "choice",
        }
    }

    /// The words to choose from, if it is one of some.
    pub const fn choices(self) -> &'static [&'static str] {
        match self {
            Self::Choice(words) => words,
            Self::YesNo => &["yes", "no"],
            _ => &[],
        }
    }
}

/// Who may change a key by a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The panel, the API, and whoever is root.
    Anywhere,
    /// Root at a shell: it decides what root reads or writes, or takes a protection away.
    Shell,
    /// Nobody: it says where a secret is, and its value is shown nowhere.
    File,
}

impl Change {
    /// Its word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Anywhere => "anywhere",
            Self::Shell => "shell",
            Self::File => "file",
        }
    }
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct SettingKey {
    /// Its dotted name; `NAME` stands for a user, a package or a receiver.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// What it is where it is not written; empty for nothing.
    pub default: &'static str,
    /// Who may change it.
    pub change: Change,
    /// What it means, in a line.
    pub about: &'static str,
}

const fn key(
    name: &'static str,
    holds: Holds,
    default: &'static str,
    about: &'static str,
) -> SettingKey {
    SettingKey { name, holds, default, change: Change::Anywhere, about }
}

impl SettingKey {
    const fn only(self, change: Change) -> Self {
        Self { change, ..self }
    }

    /// The group it is shown in: the table it stands in, or what it is about.
    pub fn group(&self) -> &'static str {
        let group = GROUPS.iter().find(|(_, keys)| keys.iter().any(|one| one.name == self.name));
        group.map_or("", |(group, _)| group)
    }

    /// Whether it is one of many of a kind, such as those of single users.
    pub fn is_pattern(&self) -> bool {
        self.name.split('.').any(|part| part == "NAME")
    }

    fn fits(&self, path: &Path) -> bool {
        let mut parts = self.name.split('.');
        let same = path
            .iter()
            .all(|one| parts.next().is_some_and(|part| part == "NAME" || part == one.get()));
        same && parts.next().is_none()
    }
}

const DIGESTS: Holds = Holds::Choice(&["never", "daily", "weekly"]);
const MODES: Holds = Holds::Choice(&["direct", "tarball"]);

/// All keys, in groups, in the order of the annotated example.
pub const GROUPS: &[(&str, &[SettingKey])] = &[
    ("repository", REPOSITORY),
    ("backup", BACKUP),
    ("restore", RESTORE),
    ("keep", KEEP),
    ("watch", WATCH),
    ("queue", QUEUE),
    ("customers", CUSTOMERS),
    ("notifications", NOTIFICATIONS),
    ("folders", FOLDERS),
    ("users", USERS),
    ("packages", PACKAGES),
    ("receivers", RECEIVERS),
];

const REPOSITORY: &[SettingKey] = &[
    key(
        "repository",
        Holds::Text,
        "/var/lib/ghostsnap/repository",
        "where backups go: the name of a repository, an absolute path or a URL",
    ),
    key("key_file", Holds::Text, "/etc/ghostsnap/repository.key", "the key file that opens it")
        .only(Change::Shell),
    key("also", Holds::List, "", "names of further repositories that every user is backed up into"),
];

const BACKUP: &[SettingKey] = &[
    key("mode", MODES, "direct", "read the live user, or the tarball that Hestia makes"),
    key("exclude", Holds::List, "", "globs of what direct backups leave out, as paths in a home"),
    key("default_excludes", Holds::YesNo, "yes", "leave out caches and sessions"),
    key("other_file_systems", Holds::YesNo, "no", "take what is mounted inside a home"),
    key(
        "load_wait_minutes",
        Holds::Number,
        "60",
        "how long a backup waits for the load to fall, from 0 to 10080 minutes",
    ),
    key("jobs", Holds::Number, "1", "users backed up at the same time, from 1 to 16"),
    key(
        "limit_read",
        Holds::Text,
        "0",
        "bytes a second read of a live user, such as 20M; 0: no limit",
    ),
    key("limit_upload", Holds::Text, "0", "bytes a second to the repository; 0: no limit"),
    key("limit_download", Holds::Text, "0", "bytes a second from the repository; 0: no limit"),
    key(
        "keep_tarballs",
        Holds::Number,
        "3",
        "tarballs of a user that a backup with cleanup leaves in /backup, from 0 to 100000",
    ),
    key("compression_level", Holds::Number, "3", "effort of the compression, from 1 to 19"),
    key(
        "suspended_users",
        Holds::Choice(&["hestia", "skip"]),
        "hestia",
        "suspended users: as Hestia's own setting says, or left out",
    ),
    key("low_priority", Holds::YesNo, "yes", "backups run with the lowest priority"),
    key(
        "backup_hours_max",
        Holds::Number,
        "24",
        "longest time for Hestia to make a tarball, from 1 to 720 hours",
    ),
    key("tripwire", Holds::YesNo, "yes", "raise an alarm if many files look encrypted"),
];

const RESTORE: &[SettingKey] = &[
    key(
        "restore_hours_max",
        Holds::Number,
        "24",
        "longest time for Hestia to take a tarball back, from 1 to 720 hours",
    ),
    key("safety", Holds::YesNo, "yes", "save what a restore overwrites, so that it can be undone"),
    key("safety_days", Holds::Number, "7", "for how many days that is kept, from 1 to 3650"),
];

const KEEP: &[SettingKey] = &[
    key("keep.last", Holds::Number, "", "how many of the newest backups are kept"),
    key("keep.hourly", Holds::Number, "", "of how many hours the newest backup is kept"),
    key("keep.daily", Holds::Number, "", "of how many days the newest backup is kept"),
    key("keep.weekly", Holds::Number, "", "of how many weeks the newest backup is kept"),
    key("keep.monthly", Holds::Number, "", "of how many months the newest backup is kept"),
    key("keep.yearly", Holds::Number, "", "of how many years the newest backup is kept"),
    key("keep.within_days", Holds::Number, "", "for how many days every backup is kept"),
    key("keep.tags", Holds::List, "", "backups with one of these tags are kept"),
    key(
        "deleted_user_days",
        Holds::Number,
        "",
        "for how many days backups of deleted users are kept, from 1 to 36500; for ever without",
    ),
];

const WATCH: &[SettingKey] = &[
    key(
        "warn_hours",
        Holds::Number,
        "26",
        "age of the last complete backup that is late, in hours",
    ),
    key("alarm_hours", Holds::Number, "50", "age of it that is far too old, in hours"),
    key(
        "verify_days",
        Holds::Number,
        "0",
        "days after which the last rehearsal of a restore is too old; 0: never",
    ),
    key("check_days", Holds::Number, "0", "days after which the last check is too old; 0: never"),
];

const QUEUE: &[SettingKey] = &[
    key("queue.workers", Holds::Number, "1", "jobs that run at the same time, from 1 to 16"),
    key("queue.hours_max", Holds::Number, "24", "longest time of a job, from 1 to 720 hours"),
    key(
        "queue.days_kept",
        Holds::Number,
        "14",
        "for how many days jobs are listed, from 1 to 3650",
    ),
    key(
        "queue.requests_a_day",
        Holds::Number,
        "6",
        "backups a day that a customer's own cron jobs may ask for, from 0 to 1000",
    ),
];

const NOTIFICATIONS: &[SettingKey] = &[
    key(
        "notify",
        Holds::Choice(&["never", "problems", "always"]),
        "problems",
        "when a backup or restore is told in the panel of its user",
    ),
    key(
        "notifications.panel",
        Holds::YesNo,
        "no",
        "tell the administrator in the panel what is wrong",
    ),
    key("notifications.mail", Holds::List, "", "mail addresses of the administrator, 20 at most"),
    key("notifications.digest", DIGESTS, "never", "a summary by mail and webhooks"),
    key("notifications.digest_hour", Holds::Number, "8", "from which hour on, from 0 to 23"),
    key(
        "notifications.again_hours",
        Holds::Number,
        "24",
        "after how many hours the same is told again, from 1 to 8760",
    ),
    key(
        "notifications.full_percent",
        Holds::Number,
        "90",
        "how full the disk of a repository is when that is told, from 0 (never) to 99",
    ),
    key(
        "notifications.timeout_seconds",
        Holds::Number,
        "10",
        "how long a receiver may take to answer, from 1 to 60 seconds",
    ),
    key("notifications.users.panel", Holds::YesNo, "no", "tell customers in their panel"),
    key("notifications.users.mail", Holds::YesNo, "no", "tell customers by mail"),
    key("notifications.users.digest", DIGESTS, "never", "a summary for customers, by mail"),
];

const CUSTOMERS: &[SettingKey] = &[
    key("customers.schedule", Holds::YesNo, "no", "customers say when their own backup begins"),
    key("customers.exclude", Holds::YesNo, "no", "customers leave files of their own out"),
];

const FOLDERS: &[SettingKey] = &[
    key("log_folder", Holds::Text, "/var/log/ghostsnap", "the folder of the logs")
        .only(Change::Shell),
    key("cache_folder", Holds::Text, "/var/cache/ghostsnap", "the folder of local copies")
        .only(Change::Shell),
    key("state_folder", Holds::Text, "/var/lib/ghostsnap", "the folder of what is noted")
        .only(Change::Shell),
    key("metrics.file", Holds::Text, "", "the file for the collector of node_exporter")
        .only(Change::Shell),
];

const USERS: &[SettingKey] = &[
    key("users.NAME.mode", MODES, "", "how this user is backed up"),
    key("users.NAME.exclude", Holds::List, "", "what backups of this user leave out, too"),
    key("users.NAME.repository", Holds::Text, "", "the name of the repository of this user"),
    key("users.NAME.also", Holds::List, "", "names of further repositories of this user"),
    key("users.NAME.keep.last", Holds::Number, "", "how many of the newest backups are kept"),
    key("users.NAME.keep.hourly", Holds::Number, "", "of how many hours the newest is kept"),
    key("users.NAME.keep.daily", Holds::Number, "", "of how many days the newest is kept"),
    key("users.NAME.keep.weekly", Holds::Number, "", "of how many weeks the newest is kept"),
    key("users.NAME.keep.monthly", Holds::Number, "", "of how many months the newest is kept"),
    key("users.NAME.keep.yearly", Holds::Number, "", "of how many years the newest is kept"),
    key("users.NAME.keep.within_days", Holds::Number, "", "for how many days every one is kept"),
    key("users.NAME.keep.tags", Holds::List, "", "backups with one of these tags are kept"),
    key(
        "users.NAME.customer.schedule",
        Holds::YesNo,
        "",
        "this user says when the own backup begins",
    ),
    key("users.NAME.customer.exclude", Holds::YesNo, "", "this user leaves own files out"),
    key("users.NAME.notifications.panel", Holds::YesNo, "", "tell this user in the panel"),
    key("users.NAME.notifications.mail", Holds::YesNo, "", "tell this user by mail"),
    key("users.NAME.notifications.digest", DIGESTS, "", "a summary for this user, by mail"),
];

const PACKAGES: &[SettingKey] = &[
    key("packages.NAME.keep.last", Holds::Number, "", "how many of the newest backups are kept"),
    key("packages.NAME.keep.hourly", Holds::Number, "", "of how many hours the newest is kept"),
    key("packages.NAME.keep.daily", Holds::Number, "", "of how many days the newest is kept"),
    key("packages.NAME.keep.weekly", Holds::Number, "", "of how many weeks the newest is kept"),
    key("packages.NAME.keep.monthly", Holds::Number, "", "of how many months the newest is kept"),
    key("packages.NAME.keep.yearly", Holds::Number, "", "of how many years the newest is kept"),
    key("packages.NAME.keep.within_days", Holds::Number, "", "for how many days every one is kept"),
    key("packages.NAME.keep.tags", Holds::List, "", "backups with one of these tags are kept"),
    key(
        "packages.NAME.customers.schedule",
        Holds::YesNo,
        "",
        "they say when their own backup begins",
    ),
    key("packages.NAME.customers.exclude", Holds::YesNo, "", "they leave files of their own out"),
];

const PRESETS: Holds = Holds::Choice(&["json", "slack", "discord", "telegram", "ntfy"]);
const PINGED: Holds = Holds::Choice(&["backup", "check", "verify", "prune", "copy"]);

const fn secret(name: &'static str, holds: Holds, about: &'static str) -> SettingKey {
    key(name, holds, "", about).only(Change::File)
}

const RECEIVERS: &[SettingKey] = &[
    key("notifications.webhooks.NAME.preset", PRESETS, "", "what the webhook speaks"),
    secret("notifications.webhooks.NAME.url", Holds::Text, "a secret, which stands in a file"),
    secret("notifications.webhooks.NAME.url_file", Holds::Text, "the file that holds its URL"),
    secret("notifications.webhooks.NAME.url_env", Holds::Text, "the variable that holds its URL"),
    secret(
        "notifications.webhooks.NAME.url_command",
        Holds::List,
        "the command that prints its URL",
    ),
    secret("notifications.webhooks.NAME.token", Holds::Text, "a secret, which stands in a file"),
    secret("notifications.webhooks.NAME.token_file", Holds::Text, "the file that holds its token"),
    secret(
        "notifications.webhooks.NAME.token_env",
        Holds::Text,
        "the variable that holds its token",
    ),
    secret(
        "notifications.webhooks.NAME.token_command",
        Holds::List,
        "the command that prints its token",
    ),
    key("notifications.webhooks.NAME.chat_id", Holds::Text, "", "the chat, for telegram"),
    key("notifications.webhooks.NAME.user", Holds::Text, "", "the customer whose news it gets"),
    key("notifications.webhooks.NAME.digest", DIGESTS, "", "how often it gets a summary"),
    key("notifications.webhooks.NAME.allow_http", Holds::YesNo, "", "its URL may be without TLS")
        .only(Change::Shell),
    key(
        "notifications.webhooks.NAME.ca_file",
        Holds::Text,
        "",
        "certificates of your own authority",
    )
    .only(Change::Shell),
    secret("notifications.pings.NAME.url", Holds::Text, "a secret, which stands in a file"),
    secret("notifications.pings.NAME.url_file", Holds::Text, "the file that holds its URL"),
    secret("notifications.pings.NAME.url_env", Holds::Text, "the variable that holds its URL"),
    secret("notifications.pings.NAME.url_command", Holds::List, "the command that prints its URL"),
    key("notifications.pings.NAME.of", PINGED, "", "what it is pinged about"),
    key("notifications.pings.NAME.user", Holds::Text, "", "the user whose backups it is about"),
    key("notifications.pings.NAME.allow_http", Holds::YesNo, "", "its URL may be without TLS")
        .only(Change::Shell),
    key("notifications.pings.NAME.ca_file", Holds::Text, "", "certificates of your own authority")
        .only(Change::Shell),
];

/// Every key.
pub fn all() -> impl Iterator<Item = &'static SettingKey> {
    GROUPS.iter().flat_map(|(_, keys)| keys.iter())
}

/// The key of this name in the table.
pub fn row(name: &str) -> Result<&'static SettingKey> {
    all().find(|one| one.name == name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    let shown: String = name.escape_debug().take(80).collect();
    Error::new(Kind::NotFound, format!("find the setting '{shown}'"))
        .why("there is none of that name")
        .hint("v-ghostsnap-list-settings lists them")
}

/// A setting that somebody names.
pub struct Wanted {
    /// The row of the table that it is.
    pub key: &'static SettingKey,
    /// The parts of its name.
    pub path: Path,
}

impl Wanted {
    /// Reads its dotted name.
    pub fn find(name: &str) -> Result<Self> {
        let path = setting_edit::path_of(name).ok_or_else(|| unknown(name))?;
        let key = all().find(|one| one.fits(&path)).ok_or_else(|| unknown(name))?;
        Ok(Self { key, path })
    }

    /// Its name as lists show it.
    pub fn name(&self) -> String {
        setting_edit::name_of(&self.path)
    }

    /// What VALUE means for it; `None` for an empty one, which is the default.
    pub fn value(&self, text: &str) -> Result<Option<Value>> {
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = |why: &str| Error::new(Kind::Invalid, format!("set {}", self.name())).why(why);
        Ok(Some(match self.key.holds {
            Holds::Text | Holds::Choice(_) => text.into(),
            Holds::Number => {
                text.parse::<i64>().map_err(|_| wrong("this must be a number"))?.into()
            }
            Holds::YesNo => match text {
                "yes" => true.into(),
                "no" => false.into(),
                _ => return Err(wrong("this must be yes or no")),
            },
            Holds::List => {
                let list = list_of(text).map_err(|why| wrong(&why))?;
                list.into_iter().collect::<toml_edit::Array>().into()
            }
        }))
    }
}

/// A setting as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its dotted name.
    pub name: String,
    /// The row of the table that it is.
    pub key: &'static str,
    /// What is in force: what is written, else the default. Nothing of what says where a secret is.
    pub value: String,
    /// Whether it is written.
    pub is_set: bool,
}

/// All settings that every server has, and those of single users, packages and receivers that the
/// text of the file names. The text is one that the parser has taken.
pub fn listed(text: &str) -> Result<Vec<Listed>> {
    let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Error::new(Kind::Invalid, "list the settings").why(error.message().replace('\n', "; "))
    })?;
    let mut written = Vec::new();
    leaves(document.as_table(), &mut Vec::new(), &mut written);
    let mut rows = Vec::new();
    for one in all() {
        let mut mine = written.iter().filter(|(path, _)| one.fits(path)).peekable();
        if mine.peek().is_none() && !one.is_pattern() {
            let (name, value) = (one.name.to_owned(), one.default.to_owned());
            rows.push(Listed { name, key: one.name, value, is_set: false });
        }
        for (path, value) in mine {
            let value = match (one.change, one.name) {
                (Change::File, _) => String::new(),
                // An address may carry a password.
                (_, "repository") => shown_address(value),
                _ => value.clone(),
            };
            let name = setting_edit::name_of(path);
            rows.push(Listed { name, key: one.name, value, is_set: true });
        }
    }
    Ok(rows)
}

/// Every value of a table and the tables in it, with its path.
fn leaves(table: &dyn toml_edit::TableLike, above: &mut Path, found: &mut Vec<(Path, String)>) {
    for (name, item) in table.iter() {
        above.push(toml_edit::Key::new(name));
        match (item.as_table_like(), item.as_value()) {
            (Some(below), _) => leaves(below, above, found),
            (None, Some(value)) => found.push((above.clone(), setting_edit::text_of(value))),
            (None, None) => {}
        }
        above.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    fn parse(text: &str) -> Result<Settings> {
        Settings::parse(text, std::path::Path::new("/etc/ghostsnap/ghostsnap.toml"))
    }

    /// The keys that the parser knows in a table, from what it says of one that it does not.
    fn known(above: &str) -> Vec<String> {
        let error = parse(&format!("{above}zzz = 1\n")).unwrap_err().one_line();
        let (_, expected) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Everything below a table that the parser takes, with `NAME` for what has any name.
    fn of_parser(above: &str) -> Vec<String> {
        let many = ["users", "packages", "notifications.webhooks", "notifications.pings"];
        let mut found = Vec::new();
        for key in known(&above.replace("NAME", "alice")) {
            let name = format!("{above}{key}");
            let below = if many.contains(&name.as_str()) {
                format!("{name}.NAME.")
            } else {
                format!("{name}.")
            };
            if all().any(|one| one.name.starts_with(&below)) {
                found.extend(of_parser(&below));
            } else {
                found.push(name);
            }
        }
        found
    }

    #[test]
    fn every_key_of_the_parser_is_in_the_table_and_no_other() {
        let mut of_parser = of_parser("");
        let mut ours: Vec<&str> = all().map(|one| one.name).collect();
        of_parser.sort();
        ours.sort_unstable();
        assert_eq!(ours, of_parser);
        assert!(ours.windows(2).all(|two| two[0] != two[1]));
    }

    #[test]
    fn what_is_said_to_be_the_default_is_it() {
        let mut text = String::new();
        for one in all().filter(|one| !one.default.is_empty()) {
            let wanted = Wanted::find(one.name).unwrap();
            let value = wanted.value(one.default).unwrap();
            text = setting_edit::changed(&text, &wanted.path, value.as_ref()).unwrap();
        }
        assert_eq!(parse(&text).unwrap(), Settings::default());
        let rows = listed(&text).unwrap();
        for row in &rows {
            let key = self::row(row.key).unwrap();
            assert_eq!((row.value.as_str(), row.is_set), (key.default, !key.default.is_empty()));
        }
        // Whatever has none changes nothing by being left out.
        assert_eq!(listed("").unwrap().len(), all().filter(|one| !one.is_pattern()).count());
    }

    #[test]
    fn words_to_choose_from_are_those_of_the_parser() {
        for one in all() {
            let name = one.name.replace("NAME", "alice");
            let text = |value: &str| {
                let (table, key) = name.rsplit_once('.').unwrap_or(("", &name));
                let needed = match one.name.split('.').nth(1) {
                    Some("webhooks") if one.name.ends_with("preset") && value == "telegram" => {
                        "url_file = '/u'\nchat_id = '1'\n"
                    }
                    Some("webhooks" | "pings") => "url_file = '/u'\n",
                    _ => "",
                };
                let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
                format!("{head}{needed}{key} = '{value}'\n")
            };
            if let Holds::Choice(words) = one.holds {
                assert!(words.iter().all(|word| parse(&text(word)).is_ok()), "{name}");
                let error = parse(&text("zzz")).unwrap_err().one_line();
                assert_eq!(error.matches('`').count(), 2 * words.len(), "{error}");
            }
        }
    }

    #[test]
    fn what_decides_over_files_and_programs_of_root_is_not_for_the_panel() {
        for one in all() {
            let last = one.name.rsplit('.').next().unwrap();
            let ends = |what: &str| last.ends_with(what);
            let is_risky = ends("file") || ends("folder") || ends("command") || ends("_env");
            let is_secret = ["url", "token"].contains(&last);
            let is_free = one.change == Change::Anywhere;
            assert_eq!(is_free, !is_risky && !is_secret && last != "allow_http", "{}", one.name);
        }
    }

    #[test]
    fn a_secret_and_the_way_to_it_are_in_no_list() {
        let rows = listed(
            "repository = 's3:https://key:SECRET@s3.example.com/b?sig=SECRET'\n\
             [notifications.webhooks.ops]\nurl_command = ['/bin/echo', 'SECRET']\n\
             token_env = 'SECRET'\ndigest = 'daily'\n\
             [users.'alice']\nexclude = ['a', '*.{b,c}']\nkeep.last = 2\n",
        )
        .unwrap();
        let of = |name: &str| rows.iter().find(|one| one.name == name).unwrap();
        assert!(rows.iter().all(|one| !one.value.contains("SECRET")), "{rows:?}");
        assert!(of("notifications.webhooks.ops.url_command").is_set);
        assert_eq!(of("notifications.webhooks.ops.digest").value, "daily");
        assert_eq!(of("users.alice.exclude").value, "a,*.{b,c}");
        assert_eq!(of("users.alice.keep.last").key, "users.NAME.keep.last");
        assert_eq!((of("jobs").value.as_str(), of("jobs").is_set), ("1", false));
    }

    #[test]
    fn a_name_leads_to_its_key_or_to_an_error_that_shows_it_harmlessly() {
        let key = |name: &str| Wanted::find(name).unwrap().key.name;
        assert_eq!(key("users.alice.mode"), "users.NAME.mode");
        assert_eq!(key("packages.'big one'.keep.daily"), "packages.NAME.keep.daily");
        for bad in ["", "users", "users.alice", "user.alice.mode", "jobs.x", "a\u{1b}[2J", "x.y.z"]
        {
            let error = Wanted::find(bad).err().unwrap();
            assert_eq!(error.kind(), Kind::NotFound);
            assert!(!error.one_line().contains('\u{1b}'));
        }
        let wanted = Wanted::find("jobs").unwrap();
        assert_eq!(wanted.value("").unwrap().map(|one| one.to_string()), None);
        assert!(wanted.value("many").is_err());
        assert!(Wanted::find("safety").unwrap().value("true").is_err());
    }
}
