// SPDX-License-Identifier: MIT
//! Automatic answers of mail accounts. Hestia's own backup means to keep their texts and loses
//! them, so its restore leaves accounts that answer with nothing to say.

use super::Server;
use super::mailbox::Address;
use crate::base::{Error, Kind, Monitor, RelPath, Result, WhatIo, limits};
use crate::format::{NodeKind, Snapshot};
use crate::hestia::call::{Call, ToTheEnd};
use crate::hestia::conf;
use crate::hestia::layout::UserName;
use crate::ops::restore::{FileReader, find_node};
use crate::repo::{IndexedRepository, Reader};
use std::io::Read;

/// A snapshot and the repository that has it.
pub(super) type From<'f> = (&'f IndexedRepository, &'f Snapshot);

/// Gives the accounts of a domain that answer by themselves the texts of the snapshot. Those whose
/// text is right already stay as they are; one that fails is a warning.
pub(super) fn bring_all(
    server: &Server,
    from: From<'_>,
    user: &UserName,
    domain: &str,
    monitor: &dyn Monitor,
) -> Result<()> {
    let rows = conf::read_rows(&server.hestia.user_file(user, &format!("mail/{domain}.conf")))?;
    for row in rows.rows.iter().filter(|row| row.is_yes("AUTOREPLY")) {
        let address = Address::parse(&format!("{}@{domain}", row.text("ACCOUNT")));
        let brought = address.and_then(|address| bring(server, from, user, &address, monitor));
        if let Err(error) = brought {
            monitor.warn(error);
        }
    }
    Ok(())
}

/// Sets the text with which an account answers by itself, if the snapshot has one.
pub(super) fn bring(
    server: &Server,
    from: From<'_>,
    user: &UserName,
    address: &Address,
    monitor: &dyn Monitor,
) -> Result<()> {
    let (account, domain) = (&address.account, &address.domain);
    let file = format!("{account}@{domain}.msg");
    let names = [
        address.file(&format!("conf/autoreply.{account}.msg"))?,
        address.file(&format!("hestia/{file}"))?,
        RelPath::parse(format!("extra/mail/{domain}/{file}").as_bytes())?,
    ];
    let mut text = None;
    for name in names {
        text = text.or(stored(from, &name)?);
    }
    let Some(text) = text else { return Ok(()) };
    let live = conf::read_file(&server.hestia.user_file(user, &format!("mail/{file}")))?;
    if live.as_ref() == Some(&text) {
        return Ok(());
    }
    let what = || format!("give {account}@{domain} its automatic answer back");
    let text = String::from_utf8(text)
        .map_err(|_| Error::new(Kind::Invalid, what()).why("it is not UTF-8 text"))?;
    // Hestia prints it with `echo -e`.
    let text = text.trim_end().replace('\\', "\\\\");
    let arguments = [user.as_str(), domain, account, &text];
    let call = Call::hestia(&server.hestia, "v-add-mail-account-autoreply", arguments);
    server.caller.call(&call, &ToTheEnd(monitor))?.check(what(), &call).map(drop)
}

/// A small file of a snapshot; `None` if it has none.
pub(super) fn stored((repository, snapshot): From<'_>, path: &RelPath) -> Result<Option<Vec<u8>>> {
    let reader = Reader::new(repository);
    let node = match find_node(&reader, snapshot, path) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        node => node?,
    };
    if node.meta.kind != NodeKind::File || node.meta.size > limits::HESTIA_FILE_BYTES_MAX {
        return Ok(None);
    }
    let mut text = Vec::new();
    let mut file = FileReader::new(&reader, &node)?;
    file.read_to_end(&mut text).what_io(|| format!("read {path}"))?;
    Ok(Some(text))
}
