// SPDX-License-Identifier: MIT
//! The row of a web domain that Hestia does not have yet, made of the one in a snapshot. What this
//! server lacks is replaced as Hestia's own restore replaces it, and every change is said. Hestia
//! puts the values into configuration of web servers and into paths, as root: one that holds more
//! than it should is left out.

use super::offers::Offers;
use crate::base::Result;
use crate::hestia::conf::Row;
use crate::hestia::layout::{Hestia, UserName};

/// Keys in Hestia's own order.
const KEYS: [&str; 31] = [
    "DOMAIN",
    "IP",
    "IP6",
    "ALIAS",
    "CUSTOM_DOCROOT",
    "CUSTOM_PHPROOT",
    "REDIRECT",
    "REDIRECT_CODE",
    "FASTCGI_CACHE",
    "FASTCGI_DURATION",
    "TPL",
    "SSL",
    "SSL_HOME",
    "SSL_HSTS",
    "SSL_FORCE",
    "LETSENCRYPT",
    "FTP_USER",
    "FTP_MD5",
    "FTP_PATH",
    "BACKEND",
    "PROXY",
    "PROXY_EXT",
    "STATS",
    "STATS_USER",
    "STATS_CRYPT",
    "AUTH_USER",
    "AUTH_HASH",
    "U_DISK",
    "U_BANDWIDTH",
    "SUSPENDED",
    "TIME",
];

/// Who a domain is restored for, and what of its names is taken.
pub struct Recipient<'r> {
    /// The Hestia it comes to.
    pub hestia: &'r Hestia,
    /// What that offers.
    pub offers: &'r Offers,
    /// The user it is restored for.
    pub user: &'r UserName,
    /// The user it was backed up from.
    pub from: &'r UserName,
    /// Names that other domains have.
    pub taken: &'r dyn Fn(&str) -> bool,
    /// Day and time, as Hestia writes them.
    pub now: (String, String),
}

/// Something that the new row has otherwise than the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What, and why.
    pub why: String,
    /// What makes it unnecessary, or undoes it afterwards.
    pub mend: String,
}

fn change(why: String, mend: impl Into<String>) -> Change {
    Change { why, mend: mend.into() }
}

/// The row for `domain`, and what of the old one was changed.
pub fn make(old: &Row, domain: &str, to: &Recipient<'_>) -> Result<(Row, Vec<Change>)> {
    let mut changes = Vec::new();
    let mut row = Row::default();
    for key in KEYS {
        let value = match key {
            "DOMAIN" => domain.to_owned(),
            "U_BANDWIDTH" => "0".to_owned(),
            "SUSPENDED" => "no".to_owned(),
            "TIME" => to.now.1.clone(),
            _ => sound(key, old.text(key), to, &mut changes),
        };
        let is_optional = matches!(key, "AUTH_USER" | "AUTH_HASH");
        if !(is_optional && value.is_empty()) {
            row.set(key, &value)?;
        }
    }
    row.set("DATE", &to.now.0)?;
    Ok((row, changes))
}

fn sound(key: &str, value: &str, to: &Recipient<'_>, changes: &mut Vec<Change>) -> String {
    if !is_harmless(key, value) {
        let why = format!("{key} '{}' is none that Hestia makes: left out", value.escape_debug());
        changes.push(change(why, "set it anew in the panel"));
        return if matches!(key, "TPL" | "BACKEND") { "default".into() } else { String::new() };
    }
    match key {
        "IP" => address(value, to, changes),
        "ALIAS" => aliases(value, to, changes),
        "TPL" | "PROXY" | "BACKEND" if !to.offers.has_template(key, value) => {
            let (meant, later) = match key {
                "TPL" => ("web template", "v-change-web-domain-tpl"),
                "PROXY" => ("proxy template", "v-change-web-domain-proxy-tpl"),
                _ => ("backend template (PHP version)", "v-change-web-domain-backend-tpl"),
            };
            let why = format!("the {meant} '{value}' is not here: 'default' takes its place");
            let version = value.strip_prefix("PHP-").map(|version| version.replace('_', "."));
            let first = match (key, version) {
                ("BACKEND", Some(version)) => format!("v-add-web-php {version} installs it"),
                _ => "install it before".to_owned(),
            };
            changes.push(change(why, format!("{first}, or {later} changes it afterwards")));
            "default".into()
        }
        "CUSTOM_DOCROOT" | "CUSTOM_PHPROOT" => docroot(key, value, to, changes),
        "FTP_USER" => {
            let names = value.split(':').filter(|name| !name.is_empty());
            let names: Vec<String> = names.map(|name| new_name(name, to.user, to.from)).collect();
            names.join(":")
        }
        _ => value.to_owned(),
    }
}

/// What a name that begins with a user's becomes for another.
pub fn new_name(name: &str, user: &UserName, from: &UserName) -> String {
    let own = |whose: &UserName| name.strip_prefix(whose.as_str())?.strip_prefix('_');
    // As Hestia does it: whatever had no name of its user before it has one now.
    let rest = own(from).or_else(|| own(user)).unwrap_or(name);
    format!("{user}_{rest}")
}

fn address(value: &str, to: &Recipient<'_>, changes: &mut Vec<Change>) -> String {
    if to.offers.has_address(value, to.user) {
        return value.to_owned();
    }
    let new = to.offers.address_for(to.user).unwrap_or(value);
    let why = format!("the address {value} is not here or not the user's: {new} takes its place");
    changes.push(change(why, "v-change-web-domain-ip gives it another one afterwards"));
    new.to_owned()
}

fn aliases(value: &str, to: &Recipient<'_>, changes: &mut Vec<Change>) -> String {
    let kept = |alias: &&str| {
        if !is_host_name(alias) {
            let why = format!("the alias '{alias}' is no host name: left out");
            changes.push(change(why, "v-add-web-domain-alias adds one that is"));
            return false;
        }
        let taken = (to.taken)(alias);
        if taken {
            let why = format!("the alias {alias} is somebody else's: left out");
            changes.push(change(why, "take it from that user first"));
        }
        !taken
    };
    let names: Vec<&str> = value.split(',').filter(|one| !one.is_empty()).filter(kept).collect();
    names.join(",")
}

/// Whether it means one name, or all below one: not a pattern of a web server's own.
fn is_host_name(alias: &str) -> bool {
    let name = alias.strip_prefix("*.").unwrap_or(alias);
    name.starts_with(char::is_alphanumeric)
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

fn docroot(key: &str, value: &str, to: &Recipient<'_>, changes: &mut Vec<Change>) -> String {
    if value.is_empty() {
        return String::new();
    }
    let home = |user: &UserName| format!("{}/web/", to.hestia.user_home(user).display());
    let below = value.strip_prefix(&home(to.from)).or_else(|| value.strip_prefix(&home(to.user)));
    if let Some(rest) = below.filter(|rest| rest.split('/').all(|name| name != "..")) {
        return format!("{}{rest}", home(to.user));
    }
    let why = format!("{key} '{value}' lies outside the user's sites: left out");
    changes.push(change(why, "choose another folder in the panel"));
    String::new()
}

/// Hashes are opaque, but hold neither space nor quote; other values are words, lists and paths.
fn is_harmless(key: &str, value: &str) -> bool {
    // A path that leaves the site, and a program that is none of Hestia's.
    let leaves = match key {
        "FTP_PATH" => value.split(['/', ':']).any(|name| name == ".."),
        "STATS" => value.contains(['/', '.']),
        _ => false,
    };
    if leaves {
        return false;
    }
    let is_hash = matches!(key, "FTP_MD5" | "STATS_CRYPT" | "AUTH_HASH");
    value.chars().all(|c| {
        let ends_a_word =
            matches!(c, ';' | '{' | '}' | '"' | '`' | '\\' | '<' | '>' | '|' | '(' | ')');
        let is_word = !c.is_whitespace() && !c.is_control() && !ends_a_word && c != '\'';
        is_word && (is_hash || (c != '$' && c != '&') || (key == "REDIRECT" && c == '&'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(line: &str, user: &str, from: &str, taken: &str) -> (String, Vec<Change>) {
        let hestia = Hestia::default();
        let offers = Offers::default();
        let (user, from) = (UserName::parse(user).unwrap(), UserName::parse(from).unwrap());
        let is_taken = |name: &str| name == taken;
        let to = Recipient {
            hestia: &hestia,
            offers: &offers,
            user: &user,
            from: &from,
            taken: &is_taken,
            now: ("2026-11-23".into(), "07:00:00".into()),
        };
        let row = Row::parse(line.as_bytes()).unwrap();
        let (row, changes) = make(&row, "a.example", &to).unwrap();
        let set = row.pairs().filter(|(key, value)| {
            !value.is_empty() && !["TIME", "DATE", "U_BANDWIDTH", "SUSPENDED"].contains(key)
        });
        let set: Vec<String> = set.map(|(key, value)| format!("{key}={value}")).collect();
        (set.join(" "), changes)
    }

    #[test]
    fn a_row_keeps_what_it_has_and_ends_its_suspension() {
        let line = "DOMAIN='x' IP='192.0.2.1' ALIAS='b.example' TPL='default' FTP_USER='al_f1:al_f2' \
                    FTP_PATH='/p:/q' AUTH_USER='joe' AUTH_HASH='$1$x/y' SUSPENDED='yes'";
        let (row, changes) = made(line, "al", "al", "");
        assert_eq!(
            row,
            "DOMAIN=a.example IP=192.0.2.1 ALIAS=b.example TPL=default FTP_USER=al_f1:al_f2 \
             FTP_PATH=/p:/q AUTH_USER=joe AUTH_HASH=$1$x/y"
        );
        assert_eq!(changes, []);
    }

    #[test]
    fn everything_that_carries_the_old_name_gets_the_new_one() {
        let line = "TPL='t' FTP_USER='al_f1:al_f2:x' CUSTOM_DOCROOT='/home/al/web/b.example/p/'";
        let (row, _) = made(line, "bo", "al", "");
        assert_eq!(
            row,
            "DOMAIN=a.example CUSTOM_DOCROOT=/home/bo/web/b.example/p/ TPL=t \
             FTP_USER=bo_f1:bo_f2:bo_x"
        );
    }

    #[test]
    fn what_would_reach_into_other_peoples_things_is_left_out_and_named() {
        let line = "TPL='../../../../home/al/t' ALIAS='b.example,c.example' PROXY='default' \
                    CUSTOM_DOCROOT='/home/al/web/../../bo/' REDIRECT='https://x;include /etc/x'";
        let (row, changes) = made(line, "al", "al", "c.example");
        assert_eq!(row, "DOMAIN=a.example ALIAS=b.example TPL=default PROXY=default");
        assert_eq!(changes.len(), 4, "{changes:?}");
        assert!(changes.iter().any(|one| one.why.contains("c.example is somebody else's")));
        let line = "ALIAS='*.b.example,~.*,~^x,www.*,*,B_1.example,b\u{fc}cher.example'";
        let (row, changes) = made(line, "al", "al", "");
        assert_eq!(row, "DOMAIN=a.example ALIAS=*.b.example,B_1.example,b\u{fc}cher.example");
        assert_eq!(changes.len(), 4, "{changes:?}");
    }
}
