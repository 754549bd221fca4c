// SPDX-License-Identifier: MIT
//! x
use super::{Context, args::Invocation};
use crate::base::{Error, Kind, Result};
/// x
pub fn list_users(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn user_info(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn backup(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn import(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn list_backups(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn show_backup(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn export(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn restore(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn delete_backup(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
