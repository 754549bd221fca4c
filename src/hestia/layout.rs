// SPDX-License-Identifier: MIT
//! Where Hestia keeps what: every path this room touches is made here. The roots are data, so
//! that tests work on a temporary tree. User names are validated before they become a path.

use crate::base::{Error, Kind, Result, limits};
use std::fmt;
use std::path::{Path, PathBuf};

/// A Hestia installation and the folders around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hestia {
    /// Hestia itself, `/usr/local/hestia`.
    pub root: PathBuf,
    /// Where Hestia puts and looks for tarballs, `/backup`; fixed since Hestia 1.9.9.
    pub backup: PathBuf,
    /// Where the users' homes are, `/home`.
    pub home: PathBuf,
    /// Where the clients of the database servers are, `/usr/bin`.
    pub tools: PathBuf,
    /// Where the programs that manage accounts are, `/usr/sbin`.
    pub admin_tools: PathBuf,
    /// Where the accounts of the system are listed, `/etc`.
    pub etc: PathBuf,
}

impl Default for Hestia {
    fn default() -> Self {
        Self {
            root: "/usr/local/hestia".into(),
            backup: "/backup".into(),
            home: "/home".into(),
            tools: "/usr/bin".into(),
            admin_tools: "/usr/sbin".into(),
            etc: "/etc".into(),
        }
    }
}

impl Hestia {
    /// A whole installation below one folder, for tests and rehearsals.
    pub fn below(folder: &Path) -> Self {
        Self {
            root: folder.join("usr/local/hestia"),
            backup: folder.join("backup"),
            home: folder.join("home"),
            tools: folder.join("usr/bin"),
            admin_tools: folder.join("usr/sbin"),
            etc: folder.join("etc"),
        }
    }

    /// Fails with a clear word if there is no Hestia here.
    pub fn check_installed(&self) -> Result<()> {
        if self.users().is_dir() && self.root.join("bin").is_dir() {
            return Ok(());
        }
        Err(Error::new(Kind::NotFound, "find HestiaCP on this machine")
            .why(format!("{} is not there", self.users().display()))
            .hint("the plain commands, such as ghostsnap backup PATH, work without it"))
    }

    /// The command of this name.
    pub fn command(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// Hestia's own settings.
    pub fn hestia_conf(&self) -> PathBuf {
        self.root.join("conf/hestia.conf")
    }

    /// A file of Hestia's folder of settings and credentials.
    pub fn conf(&self, name: &str) -> PathBuf {
        self.root.join("conf").join(name)
    }

    /// The folder with one folder per user.
    pub fn users(&self) -> PathBuf {
        self.root.join("data/users")
    }

    /// What Hestia knows of a user.
    pub fn user_data(&self, user: &UserName) -> PathBuf {
        self.users().join(user.as_str())
    }

    /// One file of what Hestia knows of a user, such as `web.conf`.
    pub fn user_file(&self, user: &UserName, name: &str) -> PathBuf {
        self.user_data(user).join(name)
    }

    /// The user's home.
    pub fn user_home(&self, user: &UserName) -> PathBuf {
        self.home.join(user.as_str())
    }

    /// A file in the folder of tarballs.
    pub fn in_backup(&self, name: &str) -> PathBuf {
        self.backup.join(name)
    }
}

/// The name of a Hestia user, harmless as a file name and as an argument. Hestia compares names
/// by patterns in places; here `bob` and `bob.x` are two users.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

impl UserName {
    /// Takes what Hestia takes for existing users, but for the `|` that its pattern lets through
    /// by accident: 1 to 30 letters, digits, dots, dashes and underscores, with a letter or digit
    /// at both ends.
    pub fn parse(text: &str) -> Result<Self> {
        let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        let end = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        let fits = bytes.len() <= limits::USER_NAME_BYTES_MAX
            && bytes.iter().all(|c| inner(*c))
            && end(bytes.first())
            && end(bytes.last());
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(Kind::Invalid, format!("take '{}' for a user name", text.escape_debug()))
            .why("user names have 1 to 30 letters, digits, dots, dashes and underscores"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_what_hestia_accepts_and_harmless_as_paths() {
        for good in ["a", "bob", "bob.x", "Bob-1", "a_b", "9lives", "a..b", &"x".repeat(30)] {
            assert_eq!(UserName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            ".bob",
            "bob.",
            "-x",
            "_x",
            "a|b",
            "a/b",
            "../etc",
            "bob ",
            "a\nb",
            "a'b",
            "äb",
            "a\0b",
            &"x".repeat(31),
        ] {
            assert_eq!(UserName::parse(bad).unwrap_err().kind(), Kind::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn a_machine_without_hestia_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        assert_eq!(hestia.check_installed().unwrap_err().kind(), Kind::NotFound);
        std::fs::create_dir_all(hestia.users()).unwrap();
        std::fs::create_dir_all(hestia.command("")).unwrap();
        hestia.check_installed().unwrap();
    }
}
