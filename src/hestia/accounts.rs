// SPDX-License-Identifier: MIT
//! Accounts of the system: whose they are, and the hashes of their passwords.

use super::conf;
use super::layout::Hestia;
use crate::base::{Error, Kind, Result, WhatIo};
use crate::tree::command::{Program, memory_file};
use std::collections::BTreeMap;
use std::io::Read;

/// What no password hashes to: nobody logs in.
pub const LOCKED: &str = "!";

/// Name and number of the accounts whose names begin so.
pub fn numbers(hestia: &Hestia, start: &str) -> Result<BTreeMap<String, String>> {
    columns(hestia, "passwd", start, 2)
}

/// Name and hash of the accounts whose names begin so. An empty hash lets everybody in.
pub fn hashes(hestia: &Hestia, start: &str) -> Result<BTreeMap<String, String>> {
    columns(hestia, "shadow", start, 1)
}

fn columns(
    hestia: &Hestia,
    file: &str,
    start: &str,
    column: usize,
) -> Result<BTreeMap<String, String>> {
    let text = conf::read_file(&hestia.etc.join(file))?.unwrap_or_default();
    let mut found = BTreeMap::new();
    for row in String::from_utf8_lossy(&text).lines().filter(|row| row.starts_with(start)) {
        let mut columns = row.split(':');
        if let (Some(name), Some(value)) = (columns.next(), columns.nth(column - 1)) {
            found.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    Ok(found)
}

/// Whether a text can be the hash of a password, and nothing else of a row.
pub fn is_hash(text: &str) -> bool {
    text.starts_with(['$', '!', '*']) && text.bytes().all(|c| c.is_ascii_graphic() && c != b':')
}

/// Gives an account of the system the hash of its password.
pub fn set_hash(hestia: &Hestia, name: &str, hash: &str) -> Result<()> {
    let what = || format!("set the password of the account {name}");
    if !is_hash(hash) || name.contains([':', '\n']) {
        return Err(Error::new(Kind::Invalid, what()).why("its hash is none"));
    }
    // On a command line, others could read it.
    let mut program = Program::new(what(), hestia.admin_tools.join("chpasswd"), ["-e"]);
    program.script = Some(memory_file(format!("{name}:{hash}\n").as_bytes())?);
    let mut answer = String::new();
    program.output()?.read_to_string(&mut answer).what_io(what).map(drop)
}
