// SPDX-License-Identifier: MIT
//! The commands for single files, folders and mail accounts of Hestia users.

use super::Context;
use super::args::Invocation;
use crate::base::{Kind, Result, What, WhatIo};
use crate::tree::deputy::{Person, become_person, serve};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// `ghostsnap hestia act-as`: the other end of a restore.
pub fn act_as(context: &Context, call: &Invocation) -> Result<()> {
    let number = |text: &str| {
        text.parse::<u32>().what(Kind::Invalid, || format!("use '{text}' as a number of a user"))
    };
    let person = Person {
        uid: number(call.required("UID")?)?,
        gid: number(call.required("GID")?)?,
        groups: call.texts("GROUPS").into_iter().map(number).collect::<Result<_>>()?,
    };
    let home = call.path("HOME").unwrap_or(Path::new("/")).to_owned();
    become_person(&person)?;
    let orders = std::io::stdin().as_fd().try_clone_to_owned().what_io(|| "take orders")?;
    match serve(UnixStream::from(orders), &home, &context.world) {
        // Whoever gave the orders is gone, and with him the one who could be told.
        Err(error) if error.kind() == Kind::Disk => Ok(()),
        done => done,
    }
}
