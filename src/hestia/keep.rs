// SPDX-License-Identifier: MIT
//! How many backups are kept: a rule for the server, for a package and for a user, as the settings
//! have them.

use super::customers::WrittenMay;
use super::settings::Place;
use crate::base::Result;
use crate::ops::forget::Policy;
use serde::Deserialize;
use toml::Spanned;

/// A table `keep` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenKeep {
    last: Option<Spanned<i64>>,
    hourly: Option<Spanned<i64>>,
    daily: Option<Spanned<i64>>,
    weekly: Option<Spanned<i64>>,
    monthly: Option<Spanned<i64>>,
    yearly: Option<Spanned<i64>>,
    within_days: Option<Spanned<i64>>,
    tags: Option<Vec<String>>,
}

/// The table of one package.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPackage {
    pub(super) keep: Option<Spanned<WrittenKeep>>,
    pub(super) customers: Option<WrittenMay>,
}

/// Reads a rule. One that keeps nothing is an error: it would drop all but the newest.
pub(super) fn policy(
    place: &Place<'_>,
    written: Option<Spanned<WrittenKeep>>,
) -> Result<Option<Policy>> {
    let Some(written) = written else { return Ok(None) };
    let start = written.span().start;
    let written = written.into_inner();
    let number = |value: &Option<Spanned<i64>>| match value {
        Some(value) => place.number(value, 0, 100_000),
        None => Ok(0),
    };
    let days: i64 = match &written.within_days {
        Some(value) => place.number(value, 0, 100_000)?,
        None => 0,
    };
    let policy = Policy {
        last: number(&written.last)?,
        hourly: number(&written.hourly)?,
        daily: number(&written.daily)?,
        weekly: number(&written.weekly)?,
        monthly: number(&written.monthly)?,
        yearly: number(&written.yearly)?,
        within_seconds: (days > 0).then_some(days * 86_400),
        tags: written.tags.unwrap_or_default(),
        safety_seconds: 0,
    };
    if policy.is_empty() {
        return Err(place.error(Some(start), "this keeps nothing; leave it out to keep everything"));
    }
    Ok(Some(policy))
}
