// SPDX-License-Identifier: MIT
//! The one error type. An [`Error`] says what we were doing, why it failed and what to do about
//! it; its [`Kind`] decides the exit code. Rooms below `cli` never print it.

use std::fmt;
use std::io;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it was; each has one exit code (see [`Kind::exit_code`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Not enough or contradictory arguments.
    Usage,
    /// A malformed value.
    Invalid,
    /// The named object does not exist.
    NotFound,
    /// The object exists already.
    Exists,
    /// The Hestia user or object is suspended.
    Suspended,
    /// Somebody else is working on it.
    InUse,
    /// A package or program limit was hit.
    Limit,
    /// No key slot opens with what was given.
    Password,
    /// Not allowed.
    Forbidden,
    /// The subsystem is switched off.
    Disabled,
    /// A foreign file (tarball, configuration) cannot be understood.
    Parsing,
    /// The disk is full or broken.
    Disk,
    /// The load stayed too high.
    Load,
    /// The backend cannot be reached.
    Connect,
    /// A database dump or import failed.
    Db,
    /// Some of it worked; the report names what did not.
    Partial,
    /// The repository is damaged.
    Damaged,
    /// Written by a newer Ghostsnap.
    Newer,
    /// Stopped on request.
    Cancelled,
    /// A bug.
    Internal,
}

impl Kind {
    /// Every kind, in the order of the exit codes.
    pub const ALL: [Self; 20] = [
        Self::Usage,
        Self::Invalid,
        Self::NotFound,
        Self::Exists,
        Self::Suspended,
        Self::InUse,
        Self::Limit,
        Self::Password,
        Self::Forbidden,
        Self::Disabled,
        Self::Parsing,
        Self::Disk,
        Self::Load,
        Self::Connect,
        Self::Db,
        Self::Partial,
        Self::Damaged,
        Self::Newer,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The process exit code: Hestia's own where one fits, ours from 30. Never 21 (taken by the
    /// panel) and never 100 or more (the API reads those as HTTP status).
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 1,
            Self::Invalid => 2,
            Self::NotFound => 3,
            Self::Exists => 4,
            Self::Suspended => 5,
            Self::InUse => 7,
            Self::Limit => 8,
            Self::Password => 9,
            Self::Forbidden => 10,
            Self::Disabled => 11,
            Self::Parsing => 12,
            Self::Disk => 13,
            Self::Load => 14,
            Self::Connect => 15,
            Self::Db => 17,
            Self::Partial => 30,
            Self::Damaged => 31,
            Self::Newer => 32,
            Self::Cancelled => 33,
            Self::Internal => 39,
        }
    }

    /// One line for docs/errors.md and the man page.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Usage => "not enough or contradictory arguments",
            Self::Invalid => "a value is malformed",
            Self::NotFound => "the user, snapshot, repository or object does not exist",
            Self::Exists => "it exists already",
            Self::Suspended => "the user or object is suspended",
            Self::InUse => "another run is working on it",
            Self::Limit => "a limit of the package or of the program was hit",
            Self::Password => "no key slot opens with the password or key file given",
            Self::Forbidden => "not allowed",
            Self::Disabled => "the subsystem is switched off",
            Self::Parsing => "a tarball or configuration file cannot be understood",
            Self::Disk => "the disk is full or failing",
            Self::Load => "the load of the machine stayed too high",
            Self::Connect => "the backend cannot be reached",
            Self::Db => "a database dump or import failed",
            Self::Partial => "some of it worked; the output names what did not",
            Self::Damaged => "the repository is damaged",
            Self::Newer => "written by a newer Ghostsnap; update this one",
            Self::Cancelled => "stopped on request",
            Self::Internal => "a bug in Ghostsnap; please report it",
        }
    }
}

/// A failure: `what` completes the sentence "cannot ...", `why` is its cause, `hint` a way out.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    why: Option<Why>,
    hint: Option<String>,
    aside: Option<String>,
    transient: bool,
}

#[derive(Debug)]
enum Why {
    Text(String),
    Cause(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Makes an error; `what` completes "cannot ...".
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), why: None, hint: None, aside: None, transient: false }
    }

    /// Adds the reason as text.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(Why::Text(why.into()));
        self
    }

    /// Adds the reason as the error that caused this one.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.why = Some(Why::Cause(cause.into()));
        self
    }

    /// Adds a command or file to look at.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what an administrator may know and a customer may not, such as whose domain it is. It
    /// is part of the lines on a terminal, never of [`Self::one_line`], which the panel shows.
    #[must_use]
    pub fn aside(mut self, aside: impl Into<String>) -> Self {
        self.aside = Some(aside.into());
        self
    }

    /// Wraps the error in what the caller was doing; kind, hint, aside and whether it is transient
    /// stay.
    #[must_use]
    pub fn within(mut self, what: impl Into<String>) -> Self {
        let (hint, aside) = (self.hint.take(), self.aside.take());
        let (kind, what, transient) = (self.kind, what.into(), self.transient);
        Self { kind, what, hint, aside, transient, why: Some(Why::Cause(Box::new(self))) }
    }

    /// Says the same in other words; kind and whether it is transient stay.
    #[must_use]
    pub fn reworded(self, word: impl Fn(&str) -> String) -> Self {
        let reasons = self.reasons();
        let why = (!reasons.is_empty()).then(|| Why::Text(word(&reasons)));
        let change = |text: Option<String>| text.map(|text| word(&text));
        let Self { kind, what, hint, aside, transient, .. } = self;
        let (what, hint, aside) = (word(&what), change(hint), change(aside));
        Self { kind, what, why, hint, aside, transient }
    }

    /// The same error once more, its causes as text: for telling it in several places.
    #[must_use]
    pub fn retold(&self) -> Self {
        let reasons = self.reasons();
        Self {
            kind: self.kind,
            what: self.what.clone(),
            why: (!reasons.is_empty()).then_some(Why::Text(reasons)),
            hint: self.hint.clone(),
            aside: self.aside.clone(),
            transient: self.transient,
        }
    }

    /// Says that the same request may well succeed in a while: a lost connection, a server that is
    /// overloaded. Backends set it where they see the failure; `backend::retry` acts on it.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    /// Says that it was asked for often enough.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.transient = false;
        self
    }

    /// Whether the same request may well succeed in a while.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// Changes the kind, for callers that know better what the failure means.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The kind, and with it the exit code.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What could not be done, completing "cannot ...".
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The way out, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What is for an administrator only, if there is something.
    pub fn aside_text(&self) -> Option<&str> {
        self.aside.as_deref()
    }

    /// The causes, outermost first, joined by ": "; empty if none is known.
    pub fn reasons(&self) -> String {
        match &self.why {
            None => String::new(),
            Some(Why::Text(text)) => text.clone(),
            Some(Why::Cause(cause)) => match cause.downcast_ref::<Error>() {
                Some(inner) if inner.why.is_some() => {
                    format!("{}: {}", inner.what_sentence(), inner.reasons())
                }
                Some(inner) => inner.what_sentence(),
                None => chain(cause.as_ref()),
            },
        }
    }

    /// The causes; what could not be done where no cause is known.
    pub fn reasons_or_what(&self) -> String {
        let reasons = self.reasons();
        if reasons.is_empty() { self.what_sentence() } else { reasons }
    }

    fn what_sentence(&self) -> String {
        format!("cannot {}", self.what)
    }

    /// The whole error on one line, as the panel and the API show it.
    pub fn one_line(&self) -> String {
        let reasons = self.reasons();
        let mut line = self.what_sentence();
        if !reasons.is_empty() {
            line.push_str(": ");
            line.push_str(&reasons);
        }
        if let Some(hint) = &self.hint {
            line.push_str(" (");
            line.push_str(hint);
            line.push(')');
        }
        line.replace(['\n', '\r'], " ")
    }
}

/// Joins an error and its sources, leaving out a source whose text its parent already ends with.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for Error {
    /// Four lines at most: `cannot ...`, `why:`, `note:`, `hint:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what_sentence())?;
        let reasons = self.reasons();
        if !reasons.is_empty() {
            write!(f, "\n  why:  {reasons}")?;
        }
        if let Some(aside) = &self.aside {
            write!(f, "\n  note: {aside}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Some(Why::Cause(cause)) => Some(cause.as_ref()),
            _ => None,
        }
    }
}

/// Turns foreign errors into ours, with what we were doing.
pub trait What<T> {
    /// Names what was being done and the kind of failure.
    fn what<S: Into<String>>(self, kind: Kind, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> What<T> for Result<T, E> {
    fn what<S: Into<String>>(self, kind: Kind, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|cause| Error::new(kind, what()).cause(cause))
    }
}

/// Adds context to our own errors, keeping their kind.
pub trait Within<T> {
    /// Wraps the error in what the caller was doing.
    fn within<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Within<T> for Result<T> {
    fn within<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.within(what()))
    }
}

/// Turns an I/O error into ours, reading the kind off the operating system's word.
pub trait WhatIo<T> {
    /// Names what was being done; the kind follows from the I/O error.
    fn what_io<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T> WhatIo<T> for io::Result<T> {
    fn what_io<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|cause| io_error(cause, what()))
    }
}

impl<T> WhatIo<T> for nix::Result<T> {
    fn what_io<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|errno| io_error(io::Error::from(errno), what()))
    }
}

/// Makes our error from an I/O error. An [`Error`] that travelled through `std::io` (a reader of
/// ours) comes out as it went in, wrapped in `what`.
pub fn io_error(cause: io::Error, what: impl Into<String>) -> Error {
    let cause = match cause.downcast::<Error>() {
        Ok(ours) => return ours.within(what),
        Err(cause) => cause,
    };
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::AlreadyExists => Kind::Exists,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::Forbidden,
        // The name is at fault, not the disk.
        io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidFilename => Kind::Invalid,
        io::ErrorKind::Interrupted => Kind::Cancelled,
        io::ErrorKind::QuotaExceeded => Kind::Limit,
        _ => Kind::Disk,
    };
    let error = Error::new(kind, what);
    let error = if cause.kind() == io::ErrorKind::StorageFull {
        error.hint("free some space there, then run the command again")
    } else {
        error
    };
    error.cause(cause)
}

impl From<Error> for io::Error {
    /// Lets our readers travel through `std::io`; [`io_error`] unpacks them again.
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_what_why_hint() {
        let cause = io::Error::from_raw_os_error(13);
        let error = io_error(cause, "read the key file of user alice").hint("chmod 600 it");
        assert_eq!(
            error.to_string(),
            "cannot read the key file of user alice\n  why:  Permission denied (os error 13)\n  hint: chmod 600 it"
        );
        assert_eq!(error.kind(), Kind::Forbidden);
    }

    #[test]
    fn context_keeps_kind_and_hint_and_joins_the_reasons() {
        let inner = Error::new(Kind::Damaged, "open pack 12")
            .why("its tag does not match")
            .hint("run check");
        let outer = inner.within("restore a.txt");
        assert_eq!(outer.kind(), Kind::Damaged);
        assert_eq!(
            outer.one_line(),
            "cannot restore a.txt: cannot open pack 12: its tag does not match (run check)"
        );
    }

    #[test]
    fn a_transient_failure_stays_one_in_any_context_until_it_is_settled() {
        let error = Error::new(Kind::Connect, "write pack 1").transient().within("store it");
        assert!(error.is_transient());
        let settled = error.settled();
        assert!(!settled.is_transient() && !Error::new(Kind::Connect, "x").is_transient());
    }

    #[test]
    fn what_is_for_the_administrator_never_gets_to_the_panel() {
        let error = Error::new(Kind::Exists, "restore WEB x.example")
            .why("it belongs to another user")
            .aside("that user is bob")
            .within("restore alice");
        assert!(error.to_string().contains("\n  note: that user is bob"), "{error}");
        assert!(!error.one_line().contains("bob"), "{}", error.one_line());
    }

    #[test]
    fn an_error_told_again_reads_the_same() {
        let cause = io::Error::from_raw_os_error(13);
        let error = io_error(cause, "read x").hint("look").aside("bob's").transient();
        let error = error.within("back up y");
        let again = error.retold();
        assert_eq!(again.to_string(), error.to_string());
        assert_eq!((again.kind(), again.is_transient()), (Kind::Forbidden, true));
    }

    #[test]
    fn our_error_survives_a_trip_through_std_io() {
        let ours = Error::new(Kind::Damaged, "open blob 3");
        let back = io_error(io::Error::from(ours), "copy it");
        assert_eq!(back.kind(), Kind::Damaged);
    }

    #[test]
    fn exit_codes_are_unique_and_never_clash_with_the_panel() {
        let mut codes: Vec<u8> = Kind::ALL.iter().map(|kind| kind.exit_code()).collect();
        codes.sort_unstable();
        let before = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), before);
        assert!(codes.iter().all(|code| *code != 21 && *code < 100 && *code != 0));
    }
}
