// SPDX-License-Identifier: MIT
//! Listings that will be asked for in a moment, taken together: in a store far away each is a
//! journey of its own. Each is given out once, and only while it is young; never to whoever removes
//! something by it.

use super::Repository;
use crate::backend::{FileKind, FileName};
use crate::base::{Result, limits};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

type Listing = Vec<(FileName, u64)>;

/// Listings in hand, with the time by the steady clock at which they were asked for.
#[derive(Default)]
pub(super) struct Foreseen(Mutex<HashMap<FileKind, (Duration, Listing)>>);

impl Repository {
    /// Lists these kinds together if that is cheaper than one after the other.
    pub(super) fn foresee(&self, kinds: &[FileKind]) -> Result<()> {
        if !self.backend.properties().is_far {
            return Ok(());
        }
        let asked = self.world.ticks();
        let mut listings: HashMap<FileKind, (Duration, Listing)> =
            kinds.iter().map(|kind| (*kind, (asked, Listing::new()))).collect();
        for (name, size) in self.backend.list_together(kinds)? {
            if let Some((_, listing)) = listings.get_mut(&name.kind) {
                listing.push((name, size));
            }
        }
        *self.foreseen.0.lock().unwrap_or_else(PoisonError::into_inner) = listings;
        Ok(())
    }

    /// All files of a kind: those foreseen, if it was just now, or else those of this moment.
    pub(super) fn list(&self, kind: FileKind) -> Result<Listing> {
        let foreseen = self.foreseen.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&kind);
        match foreseen {
            Some((asked, listing))
                if self.world.ticks().saturating_sub(asked) < limits::FORESEEN_SPAN =>
            {
                Ok(listing)
            }
            _ => self.backend.list(kind),
        }
    }
}
