// SPDX-License-Identifier: MIT
//! x
use super::{Context, args::Invocation};
use crate::base::{Error, Kind, Result};
/// x
pub fn list(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn add(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn change(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn remove(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
