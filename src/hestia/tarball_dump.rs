// SPDX-License-Identifier: MIT
//! A dump in a Hestia tarball on its way out of its compressed form. Hestia does not look at the
//! exit codes of the programs that make it, so it is read to its end, and its last lines tell
//! whether it is whole.

use super::tarball_in::{skipped, unpack};
use crate::base::units::bytes;
use crate::base::{Error, Kind, Monitor, RelPath, Result};
use crate::tree::tar_in::read_some;
use crate::tree::tar_member::foreign;
use std::io::{self, Read};

/// The part of a dump's end in which its closing line must stand; pg_dump adds a few lines.
const DUMP_TAIL_BYTES: usize = 1024;
/// What is read at once of what nobody took.
const READ_BYTES: usize = 128 * 1024;

/// How the name of a dump ends, and the line that closes a complete one.
const CLOSING_LINES: [(&str, &str); 2] =
    [(".mysql.sql", "-- Dump completed"), (".pgsql.sql", "-- PostgreSQL database dump complete")];

/// A dump on its way out of its compressed form.
pub(super) struct Dump<R> {
    decoder: R,
    member: String,
    /// The line that closes a complete dump of this kind; none if the kind is not known.
    closing: Option<&'static str>,
    tail: Vec<u8>,
    total: u64,
    ended: bool,
    /// Why it cannot be read: a tarball that is damaged here is not to be trusted elsewhere.
    broken: Option<(Kind, String)>,
}

impl<R: Read> Dump<R> {
    /// A dump that this reader decompresses: the content of this member, stored as `plain`.
    pub(super) fn new(decoder: R, member: &str, plain: &RelPath) -> Self {
        let name = plain.name().unwrap_or_default();
        let known = CLOSING_LINES.iter().find(|(end, _)| name.ends_with(end.as_bytes()));
        let closing = known.map(|(_, line)| *line);
        let member = member.to_owned();
        Self { decoder, member, closing, tail: Vec::new(), total: 0, ended: false, broken: None }
    }

    /// Reads what was not taken, so that a broken end is seen, and looks at the last lines.
    pub(super) fn end(&mut self, monitor: &dyn Monitor) -> Result<()> {
        if let Some((kind, why)) = self.broken.take() {
            return Err(Error::new(kind, unpack(&self.member)).why(why));
        }
        let mut buffer = vec![0; READ_BYTES];
        while !self.ended {
            let what = unpack(&self.member);
            read_some(self, &mut buffer, || what.clone())?;
        }
        let why = if self.total == 0 {
            "the dump is empty".to_owned()
        } else {
            match self.closing {
                Some(line) if !self.has_line(line) => {
                    format!("the dump has no closing line '{line}': it may be cut off")
                }
                _ => return Ok(()),
            }
        };
        monitor.warn(skipped(&self.member, &why));
        Ok(())
    }

    fn has_line(&self, line: &str) -> bool {
        self.tail.split(|byte| *byte == b'\n').any(|one| one.starts_with(line.as_bytes()))
    }
}

impl<R: Read> Read for Dump<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let got = match self.decoder.read(buffer) {
            Ok(got) => got,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => return Err(cause),
            Err(cause) => {
                let error = foreign(cause, unpack(&self.member));
                self.broken = Some((error.kind(), error.reasons()));
                return Err(error.into());
            }
        };
        self.ended = got == 0;
        self.total += bytes(got);
        let piece = buffer.get(got.saturating_sub(DUMP_TAIL_BYTES)..got).unwrap_or_default();
        self.tail.extend_from_slice(piece);
        let old = self.tail.len().saturating_sub(DUMP_TAIL_BYTES);
        self.tail.drain(..old);
        Ok(got)
    }
}
