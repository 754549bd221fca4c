// SPDX-License-Identifier: MIT
//! x
use super::{Context, args::Invocation};
use crate::base::{Error, Kind, Result};
/// x
pub fn init(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn backup(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn restore(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn forget(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn check(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
