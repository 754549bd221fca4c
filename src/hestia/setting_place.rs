// SPDX-License-Identifier: MIT
//! Where in which file of settings something is wrong, and what would be right: what everybody who
//! reads a table of `ghostsnap.toml` says it with. A value is never repeated: it may be a secret.

use crate::base::{Error, Kind, Result};
use std::path::Path;
use toml::Spanned;

/// For saying where in which file.
pub(super) struct Place<'t> {
    /// The file's text.
    pub(super) text: &'t str,
    /// The file.
    pub(super) path: &'t Path,
}

impl Place<'_> {
    /// What is wrong at an offset of the text.
    pub(super) fn error(&self, offset: Option<usize>, why: &str) -> Error {
        let before = self.text.get(..offset.unwrap_or(0)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Error::new(
            Kind::Invalid,
            format!("read the settings in {}, line {line}", self.path.display()),
        )
        .why(why.trim().replace('\n', "; "))
    }

    pub(super) fn check<T>(
        &self,
        value: &Spanned<T>,
        allowed: &str,
        good: impl Fn(&T) -> bool,
    ) -> Result<()> {
        if good(value.get_ref()) {
            return Ok(());
        }
        Err(self.error(Some(value.span().start), &format!("this must be {allowed}")))
    }

    pub(super) fn number<N: TryFrom<i64>>(
        &self,
        value: &Spanned<i64>,
        from: i64,
        to: i64,
    ) -> Result<N> {
        let allowed = format!("a number from {from} to {to}");
        self.check(value, &allowed, |number| (from..=to).contains(number))?;
        N::try_from(*value.get_ref())
            .map_err(|_| self.error(Some(value.span().start), &format!("this must be {allowed}")))
    }
}

/// What a parser says of text that is in the wrong place, without the text: it may be a secret.
pub(super) fn without_value(message: &str) -> String {
    if let (Some(start), Some(end)) = (message.find("variant `"), message.rfind("`, expected"))
        && start < end
    {
        let (before, after) = (message.get(..start), message.get(end + 1..));
        return format!("{}word{}", before.unwrap_or_default(), after.unwrap_or_default());
    }
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => {
            let (before, after) = (message.get(..start), message.get(end + 1..));
            format!("{}text{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => message.to_owned(),
    }
}
