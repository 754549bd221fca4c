// SPDX-License-Identifier: MIT
//! x
use super::{Context, args::Invocation};
use crate::base::{Error, Kind, Result};
/// x
pub fn snapshots(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn ls(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn find(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn dump(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn diff(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
/// x
pub fn stats(_: &Context, _: &Invocation) -> Result<()> {
    Err(Error::new(Kind::Disabled, "x"))
}
