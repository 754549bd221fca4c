// SPDX-License-Identifier: MIT
//! One source into several repositories in one run: it is walked once and its streams are read once
//! ([`crate::tree::tee`]), and each repository gets a backup of its own, with keys, borders of
//! chunks and a parent of its own. One that fails drops out and the others go on.

use super::backup::{BackupOptions, BackupReport, backup};
use crate::base::monitor::{Counts, Stage, Stop};
use crate::base::{Counter, Error, Monitor, Result, limits, units};
use crate::repo::IndexedRepository;
use crate::tree::{Source, tee};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where a backup goes, and how.
pub struct Target<'t> {
    /// The repository.
    pub repository: &'t IndexedRepository,
    /// How it is stored there.
    pub options: BackupOptions,
    /// Hears everything of this target: what it counts, what it warns of.
    pub monitor: &'t dyn Monitor,
}

/// Backs one source up into every target, and gives back what came of each, in order. `monitor`
/// hears what a person wants to know of the whole: a warning that several targets give once, and of
/// what all read alike how much the one reads that is furthest.
pub fn backup_to_each(
    source: &mut dyn Source,
    targets: &[Target<'_>],
    monitor: &dyn Monitor,
) -> Vec<Result<BackupReport>> {
    let whole = Whole::new(targets.len(), monitor);
    let back_up = |number: usize, target: &Target<'_>, source: &mut dyn Source| {
        let part = Part { whole: &whole, number, own: target.monitor };
        let _ending = Ending(&whole, number);
        backup(target.repository, source, &target.options, &part)
    };
    if let [only] = targets {
        return vec![back_up(0, only, source)];
    }
    let results = tee::share(source, targets.len(), monitor, |number, source| {
        targets.get(number).map(|target| back_up(number, target, source))
    });
    let missing = || Error::new(crate::base::Kind::Internal, "find the target of a backup");
    results.into_iter().map(|result| result?.ok_or_else(missing)?).collect()
}

/// What the targets tell together.
struct Whole<'m> {
    outer: &'m dyn Monitor,
    /// What each counted.
    counts: Vec<Counts>,
    /// What the outside was told of that.
    told: Mutex<Counts>,
    /// How often each gave a warning of these words.
    warnings: Mutex<HashMap<String, Vec<u32>>>,
    /// Which have ended: what one is at that has, is of no interest.
    ended: Vec<AtomicBool>,
}

impl<'m> Whole<'m> {
    fn new(targets: usize, outer: &'m dyn Monitor) -> Self {
        let each = || (0..targets).map(|_| Counts::default()).collect();
        let ended = (0..targets).map(|_| AtomicBool::new(false)).collect();
        let (told, warnings) = (Mutex::default(), Mutex::default());
        Self { outer, counts: each(), told, warnings, ended }
    }

    /// Whether this is the first of those that are still at it.
    fn speaks(&self, number: usize) -> bool {
        let first = self.ended.iter().position(|ended| !ended.load(Ordering::Relaxed));
        first == Some(number)
    }

    fn count(&self, number: usize, counter: Counter, n: u64) {
        if !is_of_source(counter) {
            return self.outer.count(counter, n);
        }
        let Some(own) = self.counts.get(number) else { return };
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        own.add(counter, n);
        let more = own.get(counter).saturating_sub(told.get(counter));
        told.add(counter, more);
        drop(told);
        if more > 0 {
            self.outer.count(counter, more);
        }
    }

    fn warn(&self, number: usize, warning: Error) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond that warnings are only counted; then twice does not matter.
        if units::bytes(warnings.len()) < limits::WARNINGS_SHOWN_MAX {
            let each = warnings.entry(warning.one_line()).or_default();
            each.resize(self.counts.len(), 0);
            let most = each.iter().copied().max().unwrap_or(0);
            let Some(own) = each.get_mut(number) else { return };
            *own += 1;
            if *own <= most {
                return;
            }
        }
        drop(warnings);
        self.outer.warn(warning);
    }
}

/// Says at the end of a target, however it comes, that it has ended.
struct Ending<'w, 'm>(&'w Whole<'m>, usize);

impl Drop for Ending<'_, '_> {
    fn drop(&mut self) {
        if let Some(ended) = self.0.ended.get(self.1) {
            ended.store(true, Ordering::Relaxed);
        }
    }
}

/// What every target counts alike, since it reads the same.
fn is_of_source(counter: Counter) -> bool {
    matches!(
        counter,
        Counter::FilesNew
            | Counter::FilesChanged
            | Counter::FilesReused
            | Counter::FilesVanished
            | Counter::FilesSkipped
            | Counter::Folders
            | Counter::FoldersReused
            | Counter::BytesSource
            | Counter::BytesRead
    )
}

/// The monitor of one target.
struct Part<'w> {
    whole: &'w Whole<'w>,
    number: usize,
    own: &'w dyn Monitor,
}

impl Monitor for Part<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.own.count(counter, n);
        self.whole.count(self.number, counter, n);
    }

    fn warn(&self, warning: Error) {
        self.own.warn(warning.retold());
        self.whole.warn(self.number, warning);
    }

    fn stage(&self, stage: Stage) {
        if self.whole.speaks(self.number) {
            self.whole.outer.stage(stage);
        }
    }

    fn cancelled(&self) -> bool {
        self.own.cancelled() || self.whole.outer.cancelled()
    }

    fn stop(&self) -> Stop {
        let (own, all) = (self.own.stop(), self.whole.outer.stop());
        Stop::when(move || own.asked() || all.asked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Kind;
    use crate::base::monitor::Collect;

    #[test]
    fn what_several_say_is_told_once_and_what_one_says_is_told_too() {
        let (all, own) = (Collect::default(), [Collect::default(), Collect::default()]);
        let whole = Whole::new(2, &all);
        let part = |number: usize| Part { whole: &whole, number, own: &own[number] };
        let say = |number: usize, what: &str| part(number).warn(Error::new(Kind::Disk, what));
        for (number, what) in [(0, "a"), (1, "b"), (1, "a"), (0, "a"), (0, "b"), (1, "c"), (1, "a")]
        {
            say(number, what);
        }
        assert_eq!(all.warnings(), ["cannot a", "cannot b", "cannot a", "cannot c"]);
        assert_eq!(own[0].warnings(), ["cannot a", "cannot a", "cannot b"]);
        assert_eq!(own[1].warnings(), ["cannot b", "cannot a", "cannot c", "cannot a"]);
    }

    #[test]
    fn what_all_read_is_counted_once_and_what_each_stores_is_added_up() {
        let (all, own) = (Collect::default(), [Collect::default(), Collect::default()]);
        let whole = Whole::new(2, &all);
        let part = |number: usize| Part { whole: &whole, number, own: &own[number] };
        for (number, read) in [(0, 10), (1, 30), (0, 30), (1, 5)] {
            part(number).count(Counter::BytesRead, read);
            part(number).count(Counter::BytesStored, read);
        }
        let counts = |counter| (all.counts.get(counter), own[1].counts.get(counter));
        assert_eq!(counts(Counter::BytesRead), (40, 35));
        assert_eq!(counts(Counter::BytesStored), (75, 35));
    }
}
