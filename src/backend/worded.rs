// SPDX-License-Identifier: MIT
//! Errors in the words of whoever set the options. A store speaks of variables such as
//! `AWS_SECRET_ACCESS_KEY`; a repository that somebody gave a name has the option `secret` instead,
//! and an error that sends its admin to the environment would send him to the wrong place.

use super::{Backend, FileKind, FileName, Leftovers, Properties};
use crate::base::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// What variables are called, and where they are set.
pub struct Words {
    names: Vec<(String, String)>,
    place: String,
}

impl Words {
    /// Names of variables and what to call them; `place` says where those are set and completes
    /// "see ...".
    pub fn new(names: impl IntoIterator<Item = (String, String)>, place: String) -> Self {
        let mut names: Vec<(String, String)> = names.into_iter().collect();
        // A name can be the beginning of a longer one.
        names.sort_by_key(|(variable, _)| std::cmp::Reverse(variable.len()));
        Self { names, place }
    }

    /// The error in these words.
    pub fn say(&self, error: Error) -> Error {
        let speaks = |text: &str| self.names.iter().any(|(variable, _)| text.contains(variable));
        let concerned = speaks(&error.reasons()) || error.hint_text().is_some_and(speaks);
        let error = error.reworded(|text| self.reword(text));
        if !concerned {
            return error;
        }
        let hint = error.hint_text().map(|hint| format!("{hint}; ")).unwrap_or_default();
        error.hint(format!("{hint}see {}", self.place))
    }

    fn reword(&self, text: &str) -> String {
        let mut words = text.replace(" in the environment", "");
        for (variable, name) in &self.names {
            words = words.replace(variable, name);
        }
        words
    }
}

/// A backend whose errors are put into other words.
pub struct Worded {
    inner: Arc<dyn Backend>,
    words: Arc<Words>,
}

impl Worded {
    /// Wraps a backend.
    pub fn new(inner: Arc<dyn Backend>, words: Arc<Words>) -> Self {
        Self { inner, words }
    }

    fn said<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.words.say(error))
    }
}

impl Backend for Worded {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        self.said(self.inner.list(kind))
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        self.said(self.inner.list_together(kinds))
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        self.said(self.inner.read(name, range))
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        self.said(self.inner.read_whole(name, most))
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.said(self.inner.size(name))
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        self.said(self.inner.sizes(names))
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        self.said(self.inner.create(name, bytes))
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        self.said(self.inner.remove(name))
    }

    fn leftovers(&self, before: i64, task: Leftovers) -> Result<(u64, u64)> {
        self.said(self.inner.leftovers(before, task))
    }

    fn properties(&self) -> Properties {
        self.inner.properties()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Kind;

    fn words() -> Words {
        let pairs = [
            ("RCLONE_CONFIG", "rclone_config"),
            ("RCLONE_CONFIG_PASS", "rclone_password"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let pairs = pairs.map(|(one, other)| (one.to_owned(), other.to_owned()));
        Words::new(pairs, "/etc/x.toml".to_owned())
    }

    #[test]
    fn an_error_names_the_option_and_where_it_is() {
        let error = Error::new(Kind::Forbidden, "write x")
            .why("the signature is wrong")
            .hint("set AWS_SECRET_ACCESS_KEY in the environment")
            .transient();
        let said = words().say(error);
        assert_eq!(said.hint_text(), Some("set secret; see /etc/x.toml"));
        assert!(said.is_transient() && said.kind() == Kind::Forbidden);
        let error = Error::new(Kind::Usage, "open").why("RCLONE_CONFIG_PASS is wrong");
        let said = words().say(error).one_line();
        assert_eq!(said, "cannot open: rclone_password is wrong (see /etc/x.toml)");
    }

    #[test]
    fn what_is_no_matter_of_options_stays_as_it_is() {
        let error = Error::new(Kind::Disk, "write x").why("the store is full").hint("free some");
        let said = words().say(error);
        assert_eq!(said.one_line(), "cannot write x: the store is full (free some)");
    }
}
