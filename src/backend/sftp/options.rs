// SPDX-License-Identifier: MIT
//! Where a folder on an SSH server is: from an address and variables. Pure.

use crate::backend::Variables;
use crate::base::{Error, Kind, Result};
use std::ffi::OsString;

/// A folder on an SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SftpOptions {
    /// The host, as `ssh` takes it; may be a name in its configuration.
    pub host: String,
    /// Who logs in; `None` leaves it to `ssh`.
    pub user: Option<String>,
    /// The port; `None` leaves it to `ssh`.
    pub port: Option<u16>,
    /// The folder, without a slash at its end; does not begin with one if it is below the folder
    /// that a login ends up in.
    pub path: String,
    /// A file to take instead of `~/.ssh/config`.
    pub config: Option<String>,
    /// What `ssh` finds in its environment.
    pub environment: Vec<(String, String)>,
    /// Nothing can be removed.
    pub append_only: bool,
}

impl SftpOptions {
    /// Reads `sftp://user@host:port/path`; `/~/path` is below the login's folder.
    pub fn new(address: &str, variables: &Variables) -> Result<Self> {
        let rest = address.strip_prefix("sftp://").ok_or_else(|| wrong("it does not begin so"))?;
        let (place, path) = rest.split_once('/').ok_or_else(|| wrong("it names no folder"))?;
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(wrong("it holds a password").hint(
                "let ssh log in with a key: ssh-copy-id, or a line in ~/.ssh/config of root",
            ));
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, Some(port.parse().map_err(|_| wrong("its port is no number"))?))
            }
            _ => (place, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // What begins with a hyphen would be an option of ssh.
        let is_name = |text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:%+".contains(c);
            !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
        };
        if !is_name(host) || !user.is_none_or(is_name) {
            return Err(wrong("its host or user has characters that no name has"));
        }
        let path = path.trim_end_matches('/');
        let path = match path.strip_prefix("~/").or_else(|| path.strip_prefix("./")) {
            Some(below) => below.to_owned(),
            None => format!("/{path}"),
        };
        if path.len() < 2 || path.split('/').any(|part| part == "..") {
            return Err(wrong("it names no folder"));
        }
        let passed_on = ["HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK"];
        let environment = passed_on.into_iter();
        Ok(Self {
            host: host.to_owned(),
            user: user.map(str::to_owned),
            port,
            path,
            config: variables.get("GHOSTSNAP_SSH_CONFIG"),
            environment: environment
                .filter_map(|name| Some((name.to_owned(), variables.get(name)?)))
                .collect(),
            append_only: variables.flag("GHOSTSNAP_APPEND_ONLY")?,
        })
    }

    /// How `ssh` is called. It asks nothing: there is nobody to answer.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<String> = Vec::new();
        if let Some(config) = &self.config {
            words.extend(["-F".to_owned(), config.clone()]);
        }
        for option in [
            "BatchMode=yes",
            "ConnectTimeout=20",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=4",
            "ForwardAgent=no",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
            "PermitLocalCommand=no",
        ] {
            words.extend(["-o".to_owned(), option.to_owned()]);
        }
        if let Some(port) = self.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = &self.user {
            words.extend(["-l".to_owned(), user.clone()]);
        }
        words.extend(["-s", "--", &self.host, "sftp"].map(str::to_owned));
        words.into_iter().map(OsString::from).collect()
    }

    /// The address again, for messages.
    pub fn location(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let below = if self.path.starts_with('/') { "" } else { "/~/" };
        format!("sftp://{user}{}{port}{below}{}", self.host, self.path)
    }
}

fn wrong(why: &str) -> Error {
    Error::new(Kind::Invalid, "use this SFTP address")
        .why(why.to_owned())
        .hint("write sftp://user@host:port/path")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> SftpOptions {
        SftpOptions::new(address, &Variables::none()).unwrap()
    }

    #[test]
    fn an_address_names_user_host_port_and_folder() {
        let one = read("sftp://u123@box.example:23/backups/server1/");
        assert_eq!(
            (one.host.as_str(), one.user.as_deref(), one.port),
            ("box.example", Some("u123"), Some(23))
        );
        assert_eq!(one.path, "/backups/server1");
        assert_eq!(one.location(), "sftp://u123@box.example:23/backups/server1");
        let one = read("sftp://box/~/backups");
        assert_eq!(
            (one.path.as_str(), one.location().as_str()),
            ("backups", "sftp://box/~/backups")
        );
        assert_eq!(read("sftp://[2001:db8::1]:22/x").host, "2001:db8::1");
    }

    #[test]
    fn nothing_in_an_address_becomes_an_option_of_ssh() {
        for address in [
            "sftp://-oProxyCommand=x/y",
            "sftp://a b/y",
            "sftp://-l@host/y",
            "sftp://host",
            "sftp://host/",
            "sftp://host/a/../..",
            "sftp://host:port/y",
        ] {
            assert!(SftpOptions::new(address, &Variables::none()).is_err(), "{address}");
        }
        let error = SftpOptions::new("sftp://me:hush@host/y", &Variables::none()).unwrap_err();
        assert!(!error.to_string().contains("hush") && error.to_string().contains("ssh-copy-id"));
        let words = read("sftp://me@host:23/y").arguments();
        let end: Vec<_> = words.iter().rev().take(4).rev().collect();
        assert_eq!(end, ["-s", "--", "host", "sftp"]);
    }
}
