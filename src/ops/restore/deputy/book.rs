// SPDX-License-Identifier: MIT
//! What the deputy still owes an answer for, and what the answers add up to.

use super::{Change, Done, Report};
use crate::base::monitor::Scoped;
use crate::base::{Counter, Error, Kind, Monitor, RelPath, limits};
use crate::tree::deputy::{Answers, Reply};
use std::collections::{BTreeSet, VecDeque};

/// What an awaited reply is about.
pub(super) enum Item {
    /// A change that counts when it is done.
    Changed(Change),
    /// The attributes of an entry.
    Dressed(RelPath),
    /// Something that is waited for, whose failure is told to the one who waits.
    Asked,
    /// A file whose failure has been told already.
    Dropped,
}

/// Matches replies with what they are about.
pub(super) struct Book<'m> {
    monitor: &'m Scoped<'m>,
    pub(super) items: VecDeque<Item>,
    pub(super) report: Report,
    pub(super) asked: Option<Error>,
    pub(super) failures: u64,
    /// Entries that are not in place: no other name may be made a link to them.
    pub(super) failed: BTreeSet<RelPath>,
    /// Failures in a row for want of room.
    full: u64,
    /// Files for which there was no room, and what of them was told first.
    no_room: Option<(u64, Kind, String)>,
}

impl<'m> Book<'m> {
    pub(super) fn new(monitor: &'m Scoped<'m>) -> Self {
        Self {
            monitor,
            items: VecDeque::new(),
            report: Report::default(),
            asked: None,
            failures: 0,
            failed: BTreeSet::new(),
            full: 0,
            no_room: None,
        }
    }

    /// Half of something for want of room is not what anybody asked for: that is a failure of the
    /// whole, unlike a file that the repository or the person's rights do not give.
    pub(super) fn no_room(&self, place: &RelPath) -> Option<Error> {
        let (count, kind, why) = self.no_room.as_ref()?;
        let what = format!("restore all of {place}");
        Some(Error::new(*kind, what).why(format!("no room for {count} of its files: {why}")))
    }

    pub(super) fn is_hopeless(&self) -> bool {
        self.full >= limits::FULL_DISK_FAILURES
    }

    fn done(&mut self, change: Change, reply: &Reply) {
        if change.done == Done::Removed {
            self.monitor.count(Counter::FilesRemoved, reply.removed);
        } else {
            self.monitor.count(Counter::FilesRestored, 1);
            self.monitor.count(Counter::BytesRestored, change.bytes);
        }
        let count = if change.done == Done::Removed { reply.removed } else { 1 };
        self.report.add(change, count);
    }
}

impl Answers for Book<'_> {
    fn answered(&mut self, reply: Reply) {
        let failure = reply.failure.clone();
        let full =
            failure.as_ref().is_some_and(|(kind, _)| matches!(kind, Kind::Disk | Kind::Limit));
        self.full = if full { self.full + 1 } else { 0 };
        let error = |what: String| {
            let (kind, text) = failure.clone()?;
            Some(Error::new(kind, what).why(text))
        };
        match self.items.pop_front() {
            Some(Item::Asked) => self.asked = error("do it as the user".to_owned()),
            Some(Item::Dropped) | None => {}
            Some(Item::Dressed(path)) => {
                if let Some(error) = error(format!("give {path} its mode and times")) {
                    self.monitor.warn(error);
                }
            }
            Some(Item::Changed(change)) => {
                let verb = if change.done == Done::Removed { "remove" } else { "restore" };
                if let Some(error) = error(format!("{verb} {}", change.path)) {
                    self.failures += u64::from(!reply.in_place);
                    if let Some((kind, why)) = failure.filter(|_| full && !reply.in_place) {
                        let (count, ..) = self.no_room.get_or_insert((0, kind, why));
                        *count += u64::from(change.done != Done::Removed);
                    }
                    self.monitor.warn(error);
                }
                if reply.in_place {
                    self.done(change, &reply);
                } else {
                    self.failed.insert(change.path);
                }
            }
        }
    }
}
