// SPDX-License-Identifier: MIT
//! Which entries of a tree are meant: globs that include, globs that exclude.
//!
//! A pattern with a slash inside is anchored at the root of the tree; one without matches a name
//! at any depth. `*` stays inside one name, `**` crosses folders. A folder that matches brings
//! everything below it along.

use crate::base::{Kind, RelPath, Result, What};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A choice of entries.
#[derive(Debug, Clone)]
pub struct Selection {
    include: Option<Patterns>,
    exclude: Patterns,
}

#[derive(Debug, Clone)]
struct Patterns {
    set: GlobSet,
    /// The leading literal names of each pattern: folders above a match must be entered.
    prefixes: Vec<Prefix>,
}

#[derive(Debug, Clone)]
enum Prefix {
    /// May match anywhere.
    Anywhere,
    /// Matches at or below this path only.
    At(RelPath),
}

/// What a selection says about a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is meant.
    Take,
    /// It is not meant itself, but something below it may be.
    Enter,
    /// Neither it nor anything below it is meant.
    Leave,
}

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        let none = Patterns { set: GlobSet::empty(), prefixes: Vec::new() };
        Self { include: None, exclude: none }
    }

    /// Everything that an `include` pattern matches (all, if there is none) and no `exclude`
    /// pattern does.
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self> {
        let include = if include.is_empty() { None } else { Some(Patterns::new(include)?) };
        Ok(Self { include, exclude: Patterns::new(exclude)? })
    }

    /// Whether this entry is meant, given that nothing above it was left out.
    pub fn verdict(&self, path: &RelPath, is_folder: bool) -> Verdict {
        if path.is_root() {
            return Verdict::Take;
        }
        if self.exclude.matches(path) {
            return Verdict::Leave;
        }
        let Some(include) = &self.include else { return Verdict::Take };
        if include.matches_or_lies_below(path) {
            Verdict::Take
        } else if is_folder && include.may_match_below(path) {
            Verdict::Enter
        } else {
            Verdict::Leave
        }
    }

    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        self.include.is_none() && self.exclude.set.is_empty()
    }
}

impl Patterns {
    fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        let mut prefixes = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let trimmed = pattern.trim_end_matches('/');
            let anchored = trimmed.contains('/');
            let body = trimmed.trim_start_matches("./").trim_start_matches('/');
            let whole = if anchored { body.to_owned() } else { format!("**/{body}") };
            let glob =
                GlobBuilder::new(&whole).literal_separator(true).backslash_escape(true).build();
            set.add(glob.what(Kind::Invalid, || {
                format!("read the pattern '{}'", pattern.escape_debug())
            })?);
            prefixes.push(if anchored { literal_prefix(body)? } else { Prefix::Anywhere });
        }
        let set = set.build().what(Kind::Invalid, || "read the patterns")?;
        Ok(Self { set, prefixes })
    }

    fn matches(&self, path: &RelPath) -> bool {
        self.set.is_match(Path::new(OsStr::from_bytes(path.as_bytes())))
    }

    fn matches_or_lies_below(&self, path: &RelPath) -> bool {
        let mut above = Some(path.clone());
        while let Some(path) = above {
            if path.is_root() {
                return false;
            }
            if self.matches(&path) {
                return true;
            }
            above = path.parent();
        }
        false
    }

    fn may_match_below(&self, folder: &RelPath) -> bool {
        self.prefixes.iter().any(|prefix| match prefix {
            Prefix::Anywhere => true,
            Prefix::At(path) => path.contains(folder) || folder.contains(path),
        })
    }
}

/// The names before the first one with a wildcard.
fn literal_prefix(pattern: &str) -> Result<Prefix> {
    let literal: Vec<&str> =
        pattern.split('/').take_while(|name| !name.contains(['*', '?', '[', '{', '\\'])).collect();
    let path = RelPath::parse(literal.join("/").as_bytes())?;
    Ok(if path.is_root() { Prefix::Anywhere } else { Prefix::At(path) })
}

/// Matches one plain name, such as a user's, against a glob.
pub fn name_matches(pattern: &str, name: &str) -> Result<bool> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    let glob =
        glob.what(Kind::Invalid, || format!("read the pattern '{}'", pattern.escape_debug()))?;
    Ok(glob.compile_matcher().is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(include: &[&str], exclude: &[&str], path: &str, is_folder: bool) -> Verdict {
        let path = RelPath::parse(path.as_bytes()).unwrap();
        Selection::new(include, exclude).unwrap().verdict(&path, is_folder)
    }

    #[test]
    fn a_name_matches_at_any_depth_and_a_path_only_at_its_place() {
        assert_eq!(verdict(&[], &["node_modules"], "x/a/node_modules", true), Verdict::Leave);
        assert_eq!(verdict(&[], &["*.log"], "a/b.log", false), Verdict::Leave);
        assert_eq!(verdict(&[], &["/cache"], "cache", true), Verdict::Leave);
        assert_eq!(verdict(&[], &["/cache"], "wp/cache", true), Verdict::Take);
        assert_eq!(verdict(&[], &["a/*/tmp"], "a/b/tmp", true), Verdict::Leave);
        assert_eq!(verdict(&[], &["a/*/tmp"], "a/b/c/tmp", true), Verdict::Take);
        assert_eq!(verdict(&[], &["a/**/tmp"], "a/b/c/tmp", true), Verdict::Leave);
    }

    #[test]
    fn including_enters_what_leads_to_a_match_and_nothing_else() {
        let include = ["web/example.com/public_html"];
        assert_eq!(verdict(&include, &[], "web", true), Verdict::Enter);
        assert_eq!(verdict(&include, &[], "mail", true), Verdict::Leave);
        assert_eq!(verdict(&include, &[], "web/example.com/public_html/a/b", false), Verdict::Take);
        assert_eq!(verdict(&include, &[], "web/example.com", false), Verdict::Leave);
        assert_eq!(verdict(&["*.php"], &["vendor"], "a/x.php", false), Verdict::Take);
        assert_eq!(verdict(&["*.php"], &["vendor"], "vendor", true), Verdict::Leave);
        assert_eq!(verdict(&["*.php"], &[], "a", true), Verdict::Enter);
    }

    #[test]
    fn names_match_full_globs() {
        for (pattern, name, expected) in [
            ("prod-*", "prod-1", true),
            ("user[1-5]", "user3", true),
            ("user[1-5]", "user7", false),
            ("ab*ba", "aba", false),
            ("bob", "bob.x", false),
            ("{a,b}", "b", true),
        ] {
            assert_eq!(name_matches(pattern, name).unwrap(), expected, "{pattern} {name}");
        }
        assert!(name_matches("[", "x").is_err());
    }
}
