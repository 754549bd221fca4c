// SPDX-License-Identifier: MIT
//! What a long job tells while it runs: a bar on a terminal, events for a program, nothing for
//! the panel; warnings always. Counts everything for the summary at the end.

use super::job_note::JobNote;
use super::output::{Output, to_stderr};
use super::signals::Stop;
use crate::base::monitor::{self, Counter, Counts, Monitor, Stage};
use crate::base::path::display_bytes;
use crate::base::units::{ByteSize, Span, number_of};
use crate::base::{Error, Kind, World, limits};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Time between two progress events.
const EVENT_EVERY: Duration = Duration::from_millis(500);

/// The monitor of a command.
#[derive(Debug)]
pub struct Progress<'o> {
    output: &'o Output,
    stop: Stop,
    world: Arc<World>,
    started: Duration,
    counts: Counts,
    warnings: AtomicU64,
    view: View,
    /// Of a job of the queue: what is noted beside it.
    note: Option<Arc<JobNote>>,
}

#[derive(Debug)]
enum View {
    /// Only warnings.
    Silent,
    /// A bar on standard error.
    Bar(Box<Bar>),
    /// Lines of JSON on standard output.
    Events {
        /// Milliseconds at which the next progress event is due.
        next: AtomicU64,
        /// The same for objects: there may be a hundred thousand folders.
        next_object: AtomicU64,
    },
}

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    /// What the bar's length counts, if the amount of work is known.
    measured: Mutex<Option<Counter>>,
}

impl<'o> Progress<'o> {
    /// The monitor that fits how the output was asked to be; from here on Ctrl-C asks first.
    pub fn new(output: &'o Output, stop: &Stop, world: &Arc<World>) -> Self {
        let style = output.style();
        let terminal = std::io::stderr().is_terminal() && !style.quiet && !style.panel;
        let view = if style.events {
            View::Events { next: AtomicU64::new(0), next_object: AtomicU64::new(0) }
        } else if terminal {
            let bar = Bar::new();
            output.show_bar(Some(bar.bar.clone()));
            View::Bar(Box::new(bar))
        } else {
            View::Silent
        };
        stop.listen();
        Self {
            output,
            stop: stop.clone(),
            world: Arc::clone(world),
            started: world.ticks(),
            counts: Counts::default(),
            warnings: AtomicU64::new(0),
            view,
            note: None,
        }
    }

    /// Also notes how far it is.
    #[must_use]
    pub fn beside(self, note: Option<Arc<JobNote>>) -> Self {
        Self { note, ..self }
    }

    /// How many warnings there were.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Time since the job began.
    pub fn elapsed(&self) -> Duration {
        self.world.ticks().saturating_sub(self.started)
    }

    /// Takes the bar off the screen, so that the result stands alone.
    pub fn finish(&self) {
        match &self.view {
            View::Bar(bar) => {
                self.output.show_bar(None);
                bar.bar.finish_and_clear();
            }
            View::Events { .. } => self.progress_event(),
            View::Silent => {}
        }
    }

    /// `12.3 MiB in 4.0 s, 3.1 MiB/s`.
    pub fn throughput(&self, bytes: u64) -> String {
        let elapsed = self.elapsed();
        let millis = elapsed.as_millis().max(1);
        let rate = u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX);
        format!("{} in {}, {}/s", ByteSize(bytes), Span(elapsed), ByteSize(rate))
    }

    /// The error of a job that did most of its work, if there were warnings.
    pub fn partial(&self, what: &str) -> Option<Error> {
        let count = self.warnings();
        (count > 0).then(|| {
            Error::new(Kind::Partial, what)
                .why(format!("{}, named above", number_of(count, "warning")))
        })
    }

    fn event(&self, event: &serde_json::Value) {
        // A reader that has gone shows when the result is printed; the job itself goes on.
        if let Err(error) = self.output.event(event) {
            drop(error);
        }
    }

    fn progress_event(&self) {
        let counts: serde_json::Map<String, serde_json::Value> = Counter::ALL
            .iter()
            .map(|counter| (counter.word().to_owned(), self.counts.get(*counter)))
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| (word, count.into()))
            .collect();
        let millis = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.event(&serde_json::json!({
            "event": "progress",
            "milliseconds": millis,
            "counts": counts,
        }));
    }

    /// Whether an event is due; says so to one thread only.
    fn event_due(&self, next: &AtomicU64) -> bool {
        let now = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = next.load(Ordering::Relaxed);
        let later = now.saturating_add(u64::try_from(EVENT_EVERY.as_millis()).unwrap_or(500));
        now >= due
            && next.compare_exchange(due, later, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// What stores report to. They live longer than a job, and work before its first step.
#[derive(Debug)]
pub struct StoreMonitor {
    output: Arc<Output>,
    stop: Stop,
}

impl StoreMonitor {
    /// Tells on this output.
    pub fn new(output: &Arc<Output>, stop: &Stop) -> Self {
        Self { output: Arc::clone(output), stop: stop.clone() }
    }
}

impl Monitor for StoreMonitor {
    fn count(&self, counter: Counter, n: u64) {
        self.output.traffic().add(counter, n);
    }

    fn warn(&self, warning: Error) {
        self.output.note_between(&warning.one_line());
    }

    fn stage(&self, stage: Stage) {
        if let Stage::Note(text) = stage {
            self.output.note_between(&text);
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.asked()
    }

    fn stop(&self) -> monitor::Stop {
        self.stop.handle()
    }
}

impl Monitor for Progress<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.counts.add(counter, n);
        if let Some(note) = &self.note {
            note.count(counter, n);
        }
        match &self.view {
            View::Silent => {}
            View::Bar(bar) => bar.count(counter, n),
            View::Events { next, .. } => {
                if self.event_due(next) {
                    self.progress_event();
                }
            }
        }
    }

    fn warn(&self, warning: Error) {
        let number = self.warnings.fetch_add(1, Ordering::Relaxed);
        if let Some(note) = &self.note {
            note.warn();
        }
        if number == limits::WARNINGS_SHOWN_MAX {
            let flood = Error::new(Kind::Partial, "show all warnings").why("there are too many");
            self.show_warning(&flood);
        } else if number < limits::WARNINGS_SHOWN_MAX {
            self.show_warning(&warning);
        }
    }

    fn stage(&self, stage: Stage) {
        if let Some(note) = &self.note {
            note.stage(&stage);
        }
        match (&self.view, stage) {
            (View::Bar(bar), Stage::Note(text)) => bar.bar.suspend(|| self.output.note(&text)),
            (View::Bar(bar), stage) => bar.stage(stage, self.output.style().verbose),
            (View::Events { .. }, Stage::Step { name, total }) => {
                let total = total.map(|(counter, amount)| {
                    serde_json::json!({ "counter": counter.word(), "amount": amount })
                });
                self.event(&serde_json::json!({ "event": "step", "name": name, "total": total }));
            }
            (View::Events { next_object, .. }, Stage::Object(name)) => {
                // Paths come by the thousand, users and tarballs by the minute.
                let few = !name.contains('/');
                if few || self.output.style().verbose || self.event_due(next_object) {
                    self.event(&serde_json::json!({ "event": "object", "name": name }));
                }
            }
            (View::Events { .. }, Stage::Note(text)) => {
                self.event(&serde_json::json!({ "event": "note", "text": text }));
            }
            (View::Silent, Stage::Object(text)) if self.output.style().verbose => {
                self.output.note(&text);
            }
            (View::Silent, Stage::Note(text)) => self.output.note(&text),
            (View::Silent, _) => {}
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.asked()
    }

    fn stop(&self) -> monitor::Stop {
        self.stop.handle()
    }
}

impl Progress<'_> {
    fn show_warning(&self, warning: &Error) {
        match &self.view {
            View::Bar(bar) => bar.bar.suspend(|| self.output.warning(warning)),
            _ => self.output.warning(warning),
        }
    }
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        bar.set_style(style(OPEN_TEMPLATE));
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, measured: Mutex::new(None) }
    }

    fn measured(&self) -> std::sync::MutexGuard<'_, Option<Counter>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, counter: Counter, n: u64) {
        let moves = match *self.measured() {
            Some(measured) => measured == counter,
            None => matches!(
                counter,
                Counter::BytesSource | Counter::BytesRestored | Counter::BytesChecked
            ),
        };
        if moves {
            self.bar.inc(n);
        }
    }

    fn stage(&self, stage: Stage, verbose: bool) {
        match stage {
            Stage::Step { name, total } => {
                *self.measured() = total.map(|(counter, _)| counter);
                self.bar.set_prefix(name);
                self.bar.reset();
                if let Some((counter, amount)) = total {
                    self.bar.set_length(amount);
                    self.bar.set_style(style(measured_template(counter)));
                } else {
                    self.bar.unset_length();
                    self.bar.set_style(style(OPEN_TEMPLATE));
                }
            }
            Stage::Object(name) => {
                let name = display_bytes(name.as_bytes());
                if verbose {
                    self.bar.suspend(|| to_stderr(&name));
                }
                self.bar.set_message(name);
            }
            Stage::Note(_) => {}
        }
    }
}

/// Where nobody knows how much there is to do.
const OPEN_TEMPLATE: &str = "{spinner} {prefix} {bytes} {bytes_per_sec} {wide_msg}";

fn measured_template(counter: Counter) -> &'static str {
    if counter.word().starts_with("bytes") {
        "{spinner} {prefix} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left {wide_msg}"
    } else {
        "{spinner} {prefix} [{bar:24}] {pos}/{len} {eta} left {wide_msg}"
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::super::output::Style;
    use super::*;

    fn quiet() -> Output {
        Output::new(Style { quiet: true, panel: true, ..Style::default() })
    }

    #[test]
    fn the_templates_are_understood() {
        let measured = [Counter::BytesRead, Counter::Checked].map(measured_template);
        for template in measured.into_iter().chain([OPEN_TEMPLATE]) {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn counts_and_warnings_add_up_to_a_partial_result() {
        let (output, world) = (quiet(), Arc::new(World::seeded(1)));
        let progress = Progress::new(&output, &Stop::default(), &world);
        progress.count(Counter::Packs, 2);
        assert!(progress.partial("back up everything").is_none());
        for _ in 0..3 {
            progress.warn(Error::new(Kind::Disk, "read x"));
        }
        let error = progress.partial("back up everything").unwrap();
        assert_eq!((error.kind(), progress.counts().get(Counter::Packs)), (Kind::Partial, 2));
        assert!(error.one_line().contains("3 warnings"), "{}", error.one_line());
        progress.finish();
    }

    #[test]
    fn events_are_due_at_intervals_and_once() {
        let (output, world) = (quiet(), Arc::new(World::seeded(1)));
        let progress = Progress::new(&output, &Stop::default(), &world);
        let next = AtomicU64::new(0);
        assert!(progress.event_due(&next));
        assert!(!progress.event_due(&next));
        world.sleep(EVENT_EVERY);
        assert!(progress.event_due(&next));
    }
}
