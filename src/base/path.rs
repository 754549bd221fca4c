// SPDX-License-Identifier: MIT
//! Paths inside a tree: raw bytes, relative, without `.` or `..`. Names that come from a disk, a
//! tarball or a repository pass through here before anything is done with them.

use super::error::{Error, Kind, Result};
use super::limits;
use std::fmt::{self, Write as _};

/// A relative path of zero or more names; the empty one is the root of a tree.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The root of the tree.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Parses a path: leading `./` and `/` and trailing or doubled slashes are dropped; `..`, NUL
    /// bytes and over-long names are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut path = Self::root();
        for name in bytes.split(|byte| *byte == b'/') {
            if name.is_empty() || name == b"." {
                continue;
            }
            path.push(name)?;
        }
        Ok(path)
    }

    /// Appends one name.
    pub fn push(&mut self, name: &[u8]) -> Result<()> {
        check_name(name)?;
        if self.0.len() + name.len() + 1 > limits::PATH_BYTES_MAX {
            return Err(too_long(self));
        }
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
        Ok(())
    }

    /// The path with one name appended.
    pub fn join(&self, name: &[u8]) -> Result<Self> {
        let mut path = Self(Vec::with_capacity(self.0.len() + 1 + name.len()));
        path.0.extend_from_slice(&self.0);
        path.push(name)?;
        Ok(path)
    }

    /// The path with another one appended.
    pub fn join_path(&self, tail: &Self) -> Result<Self> {
        if tail.is_root() {
            return Ok(self.clone());
        }
        // The names of both were checked when they were made.
        let mut path = Vec::with_capacity(self.0.len() + 1 + tail.0.len());
        path.extend_from_slice(&self.0);
        if !self.is_root() {
            path.push(b'/');
        }
        path.extend_from_slice(&tail.0);
        let path = Self(path);
        if path.0.len() > limits::PATH_BYTES_MAX {
            return Err(too_long(&path));
        }
        Ok(path)
    }

    /// Drops the last name; does nothing at the root.
    pub fn pop(&mut self) {
        let cut = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.0.truncate(cut);
    }

    /// The folder this path lies in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let mut path = self.clone();
        path.pop();
        Some(path)
    }

    /// The last name; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        let start = self.0.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        self.0.get(start..).filter(|name| !name.is_empty())
    }

    /// The names from the root down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// How many names it has.
    pub fn depth(&self) -> usize {
        if self.is_root() { 0 } else { 1 + memchr::memchr_iter(b'/', &self.0).count() }
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(&self, other: &Self) -> bool {
        self.is_root()
            || other.0 == self.0
            || (other.0.starts_with(&self.0) && other.0.get(self.0.len()) == Some(&b'/'))
    }

    /// What remains of `other` below this path; `None` if it is not below.
    pub fn strip(&self, other: &Self) -> Option<Self> {
        if !self.contains(other) {
            return None;
        }
        let skip = if self.is_root() { 0 } else { (self.0.len() + 1).min(other.0.len()) };
        other.0.get(skip..).map(|rest| Self(rest.to_vec()))
    }

    /// The raw bytes, names joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn too_long(path: &RelPath) -> Error {
    Error::new(Kind::Limit, format!("use the path {path}"))
        .why(format!("it is longer than {} bytes", limits::PATH_BYTES_MAX))
}

/// Refuses what can never be the name of one directory entry.
pub fn check_name(name: &[u8]) -> Result<()> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name == b"." || name == b".." {
        "it would leave its folder"
    } else if name.iter().any(|byte| *byte == b'/' || *byte == 0) {
        "it holds a slash or a zero byte"
    } else if name.len() > limits::NAME_BYTES_MAX {
        "it is longer than 255 bytes"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Invalid, format!("use the name '{}'", display_bytes(name))).why(problem))
}

/// Shows bytes to a person: printable UTF-8 as it is, everything else escaped.
pub fn display_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for piece in bytes.utf8_chunks() {
        for letter in piece.valid().chars() {
            if letter.is_control() || is_deceptive(letter) {
                text.extend(letter.escape_unicode());
            } else {
                text.push(letter);
            }
        }
        for byte in piece.invalid() {
            // A String takes any text: writing to it cannot fail.
            write!(text, "\\x{byte:02x}").unwrap_or_default();
        }
    }
    text
}

/// Characters that turn or hide the text around them on a terminal.
fn is_deceptive(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str(".") } else { f.write_str(&display_bytes(&self.0)) }
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelPath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn parsing_drops_what_means_nothing() {
        assert_eq!(path("./a//b/./c/").as_bytes(), b"a/b/c");
        assert_eq!(path("/a").as_bytes(), b"a");
        assert!(path("./").is_root());
    }

    #[test]
    fn what_would_leave_the_tree_is_refused() {
        for text in [&b".."[..], b"a/../b", b"a/b\0c", &[b'x'; 256]] {
            assert!(RelPath::parse(text).is_err());
        }
    }

    #[test]
    fn containment_respects_whole_names() {
        assert!(path("bob").contains(&path("bob/x")));
        assert!(!path("bob").contains(&path("bob.x")));
        assert_eq!(path("a/b").strip(&path("a/b/c/d")), Some(path("c/d")));
        assert_eq!(path("a/b").strip(&path("a/b")), Some(RelPath::root()));
        assert_eq!(path("a").strip(&path("b")), None);
    }

    #[test]
    fn display_escapes_what_could_fool_a_terminal() {
        assert_eq!(display_bytes(b"a\x1b[2J\xff"), "a\\u{1b}[2J\\xff");
        assert_eq!(display_bytes("grün\u{202e}".as_bytes()), "grün\\u{202e}");
    }
}
