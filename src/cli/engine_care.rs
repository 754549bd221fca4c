// SPDX-License-Identifier: MIT
//! The commands that look after a repository: forget, prune, check, unlock.

use super::args::{self, Invocation};
use super::progress::Progress;
use super::repository::{self, Opened};
use super::rows::Cell;
use super::tended::Tending;
use super::{Context, engine_look, panel};
use crate::backend::{FileKind, FileName};
use crate::base::units::{ByteSize, bytes, number_of};
use crate::base::{Counter, Error, FileId, Kind, Result, limits};
use crate::format::Snapshot;
use crate::hestia::UserName;
use crate::hestia::jobs::retention;
use crate::ops::check::{
    self, CheckReport, Finding, ReadData, Severity, check as check_repository,
};
use crate::ops::forget::{self, Policy, Verdict};
use crate::ops::pin::pin as pin_snapshot;
use crate::ops::prune::{Fate, PruneOptions, PruneReport, prune as prune_repository};
use crate::ops::tripwire;
use crate::repo::Repository;
use crate::repo::locks::{Found, Holder};
use crate::repo::snapshots::find;
use std::collections::HashSet;

/// `ghostsnap forget`.
pub fn forget(context: &Context, call: &Invocation) -> Result<()> {
    let ids = call.texts("SNAPSHOT");
    let policy = policy(call)?;
    if ids.is_empty() == policy.is_empty() {
        return Err(Error::new(Kind::Usage, "forget snapshots")
            .why("give either snapshots or --keep options")
            .hint("list them with 'ghostsnap snapshots'"));
    }
    let opened = repository::open(context, call)?;
    let repository = &opened.repository;
    let plan = if ids.is_empty() {
        // Whoever drops by a rule must know all.
        let mut all = repository.snapshots().map_err(|error| {
            error.hint("'ghostsnap forget ID' drops one that cannot be read, by its whole id")
        })?;
        all.retain(|(_, snapshot)| engine_look::is_wanted(snapshot, call));
        forget::plan(all, &policy, repository.world().now())?
    } else {
        let mut all = opened.readable(context)?;
        all.retain(|(_, snapshot)| engine_look::is_wanted(snapshot, call));
        named(repository, &all, &ids)?
    };
    carry_out(context, call, repository, &plan)
}

/// Asks, drops what is not kept, and prints what became of each.
fn carry_out(
    context: &Context,
    call: &Invocation,
    repository: &Repository,
    plan: &[Verdict],
) -> Result<()> {
    let going = plan.iter().filter(|verdict| !verdict.is_kept()).count();
    if going > 0 && !call.has("dry-run") {
        let all = number_of(bytes(plan.len()), "snapshot");
        let question = format!("Forget {going} of {all}?");
        context.confirm(call, "forget snapshots", &question)?;
        forget::execute(repository, plan)?;
    }
    let mut rows = context.output.rows(call.command().columns);
    for verdict in plan {
        rows.row(&verdict_row(verdict))?;
    }
    rows.finish()?;
    let word = if call.has("dry-run") { "would be forgotten" } else { "forgotten" };
    let going = number_of(bytes(going), "snapshot");
    let staying = plan.iter().filter(|verdict| verdict.is_kept()).count();
    context.output.note(&format!("{going} {word}, {staying} kept"));
    Ok(())
}

fn policy(call: &Invocation) -> Result<Policy> {
    let number = |name: &str| match call.number(name) {
        None => Ok(0),
        Some(number) => u32::try_from(number).map_err(|_| {
            Error::new(Kind::Invalid, format!("use {number} for --{name}")).why("it is too large")
        }),
    };
    let days = number("keep-within")?;
    Ok(Policy {
        last: number("keep-last")?,
        hourly: number("keep-hourly")?,
        daily: number("keep-daily")?,
        weekly: number("keep-weekly")?,
        monthly: number("keep-monthly")?,
        yearly: number("keep-yearly")?,
        within_seconds: (days > 0).then(|| i64::from(days) * 86_400),
        tags: call.texts("keep-tag").into_iter().map(str::to_owned).collect(),
        safety_seconds: i64::from(repository::settings(call)?.safety_days) * 86_400,
    })
}

/// The plan of a person who named what is to go.
fn named(
    repository: &Repository,
    all: &[(FileId, Snapshot)],
    wanted: &[&str],
) -> Result<Vec<Verdict>> {
    let mut plan: Vec<Verdict> = Vec::new();
    for one in wanted {
        // One that cannot be read has no name, and nothing of it can be shown.
        if let Ok(id) = FileId::parse(one)
            && all.iter().all(|(known, _)| *known != id)
            && repository.backend().size(&FileName::new(FileKind::Snapshot, id))?.is_some()
            && is_unreadable(repository, &id)?
        {
            plan.push(Verdict { id, snapshot: Snapshot::default(), reasons: Vec::new() });
            continue;
        }
        let (id, snapshot) = find(all, one, None)?;
        if !plan.iter().any(|verdict| verdict.id == *id) {
            let snapshot = snapshot.clone();
            plan.push(Verdict { id: *id, snapshot, reasons: Vec::new() });
        }
    }
    Ok(plan)
}

/// Whether nothing can be read of a snapshot that is there.
fn is_unreadable(repository: &Repository, id: &FileId) -> Result<bool> {
    match repository.snapshot(id) {
        Ok(_) => Ok(false),
        Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Newer) => Ok(true),
        Err(error) => Err(error),
    }
}

fn verdict_row(verdict: &Verdict) -> [Cell; 8] {
    let (day, time) = engine_look::day_and_time(verdict.snapshot.time);
    [
        verdict.id.to_string().into(),
        verdict.snapshot.name.as_str().into(),
        day.into(),
        time.into(),
        verdict.snapshot.host.as_str().into(),
        verdict.snapshot.user.as_str().into(),
        if verdict.is_kept() { "keep" } else { "forget" }.into(),
        Cell::list(verdict.reasons.iter().map(String::as_str)),
    ]
}

/// `ghostsnap check`.
pub fn check(context: &Context, call: &Invocation) -> Result<()> {
    let read = how_much(context, call)?;
    let Opened { repository, .. } = repository::open(context, call)?;
    let progress = context.progress();
    let tending = Tending::begin(context, call, &repository);
    let result = check_repository(repository.without_copy(), read, &progress);
    progress.finish();
    tending.end_check(context, read, &result);
    let report = result?;
    let mut rows = context.output.rows(call.command().columns);
    for (number, finding) in report.findings.iter().enumerate() {
        rows.row(&[
            bytes(number + 1).into(),
            finding.severity.word().into(),
            finding.object.as_str().into(),
            finding.detail.as_str().into(),
        ])?;
    }
    if !report.findings.is_empty() || context.output.is_machine() {
        rows.finish()?;
    }
    context.output.note(&format!(
        "{} and {} checked, {} read; {}",
        number_of(report.snapshots, "snapshot"),
        number_of(report.packs, "pack"),
        number_of(report.packs_read, "pack"),
        progress.throughput(progress.counts().get(Counter::BytesChecked)),
    ));
    verdict_of(&report, &progress)
}

/// What of the data is read.
fn how_much(context: &Context, call: &Invocation) -> Result<ReadData> {
    let share = call.text("read-data").and_then(args::percent);
    match (share, call.text("read-data-subset")) {
        (Some(_), Some(_)) => Err(Error::new(Kind::Usage, "check")
            .why("--read-data and --read-data-subset are two ways to say how much is read")),
        (None, Some(text)) => ReadData::part(text, context.world.now()),
        (None, None) => Ok(ReadData::None),
        (Some(1000), None) => Ok(ReadData::All),
        (Some(share), None) => {
            Ok(ReadData::Percent(u8::try_from(share.div_ceil(10)).unwrap_or(100)))
        }
    }
}

fn verdict_of(report: &CheckReport, progress: &Progress<'_>) -> Result<()> {
    let count = |severity| report.findings.iter().filter(|one| one.severity == severity).count();
    let what = "find everything in the repository whole";
    if report.is_damaged() {
        let why = format!("{} damaged", number_of(bytes(count(Severity::Damaged)), "thing"));
        let error = Error::new(Kind::Damaged, what).why(why);
        let is_lost = |one: &Finding| {
            one.severity == Severity::Garbage && one.detail.starts_with(check::UNNAMED)
        };
        let is_pack = |one: &Finding| {
            one.severity == Severity::Damaged && one.object.starts_with(FileKind::Pack.folder())
        };
        return Err(if report.findings.iter().any(is_pack) {
            error.hint(
                "'ghostsnap repair packs' saves what can be read of them, and takes the rest from \
                 a repository with copies: --from",
            )
        } else if report.findings.iter().any(is_lost) {
            error.hint(
                "there are packs that the index does not name: if it was lost or damaged, \
                 'ghostsnap repair index' makes it anew from them",
            )
        } else {
            error
        });
    }
    if count(Severity::Newer) > 0 {
        return Err(Error::new(Kind::Newer, "judge everything in the repository").why(format!(
            "{} written by a newer version",
            number_of(bytes(count(Severity::Newer)), "thing")
        )));
    }
    progress.partial(what).map_or(Ok(()), Err)
}

/// `ghostsnap hestia forget`.
pub fn forget_of_users(context: &Context, call: &Invocation) -> Result<()> {
    let users = call.texts("USER").into_iter().map(UserName::parse).collect::<Result<Vec<_>>>()?;
    let server = panel::server(context, call)?;
    let one = if let [one] = users.as_slice() { Some(one) } else { None };
    let repository = panel::open(context, call, &server, one, false)?;
    let plan = retention::plan(&server, &repository, &users, server.world.now())?;
    carry_out(context, call, &repository, &plan)
}

/// `ghostsnap pin` and `ghostsnap unpin`.
pub fn pin(context: &Context, call: &Invocation) -> Result<()> {
    let pinned = call.command().name == "pin";
    let Opened { repository, .. } = repository::open(context, call)?;
    let progress = context.progress();
    let repository = repository.indexed_to_write("pin", &progress)?;
    let all = repository.readable_snapshots(&progress)?;
    let mut rows = context.output.rows(call.command().columns);
    let mut done = HashSet::new();
    for wanted in call.texts("SNAPSHOT") {
        let (id, snapshot) = find(&all, wanted, None)?;
        if !done.insert(*id) {
            continue;
        }
        let new = pin_snapshot(&repository, (id, snapshot), pinned)?;
        rows.row(&pinned_row(&new, &Snapshot { pinned, ..snapshot.clone() }, id))?;
    }
    progress.finish();
    rows.finish()
}

/// `ghostsnap alarm-off`.
pub fn alarm_off(context: &Context, call: &Invocation) -> Result<()> {
    if call.texts("SNAPSHOT").is_empty() && !call.has("user") {
        return Err(Error::new(Kind::Usage, "take an alarm off")
            .why("it does not say whose")
            .hint("name snapshots, or a user with --user"));
    }
    let Opened { repository, .. } = repository::open(context, call)?;
    let progress = context.progress();
    let repository = repository.indexed_to_write("alarm-off", &progress)?;
    let mut all = repository.readable_snapshots(&progress)?;
    all.retain(|(_, one)| engine_look::is_wanted(one, call));
    if context.output.style().panel {
        // A user of the same name on another server is somebody else.
        all.retain(|(_, one)| one.host == context.world.host());
    }
    let wanted = call.texts("SNAPSHOT");
    let named = wanted.iter().map(|text| find(&all, text, None)).collect::<Result<Vec<_>>>()?;
    let meant = if wanted.is_empty() { all.iter().collect() } else { named };
    let mut rows = context.output.rows(call.command().columns);
    let mut done = HashSet::new();
    for (id, snapshot) in meant.into_iter().filter(|(_, one)| one.has_alarm()) {
        if done.insert(*id) {
            let new = tripwire::alarm_off(&repository, (id, snapshot))?;
            rows.row(&pinned_row(&new, snapshot, id))?;
        }
    }
    progress.finish();
    rows.finish()?;
    context.output.note(&format!("{} off", number_of(bytes(done.len()), "alarm")));
    Ok(())
}

/// A snapshot that was stored anew.
fn pinned_row(new: &FileId, snapshot: &Snapshot, before: &FileId) -> [Cell; 4] {
    [
        new.to_string().into(),
        snapshot.name.as_str().into(),
        if snapshot.pinned { "yes" } else { "no" }.into(),
        before.to_string().into(),
    ]
}

/// `ghostsnap prune`.
pub fn prune(context: &Context, call: &Invocation) -> Result<()> {
    let options = prune_options(call)?;
    let Opened { repository, .. } = repository::open(context, call)?;
    let progress = context.progress();
    let tending = Tending::begin(context, call, &repository);
    let result = prune_repository(repository, &options, call.has("dry-run"), &progress);
    progress.finish();
    if !call.has("dry-run") {
        let (extent, error) = match &result {
            Ok(report) => (told(report, &options, false), report.held_back.as_ref()),
            Err(error) => (String::new(), Some(error)),
        };
        tending.end_prune(context, extent, error);
    }
    let report = result?;
    let mut rows = context.output.rows(call.command().columns);
    for (action, files, size) in sums(&report, options.now && call.has("dry-run")) {
        rows.row(&[action.into(), files.into(), size.into()])?;
    }
    rows.finish()?;
    context.output.note(&told(&report, &options, call.has("dry-run")));
    if let Some(error) = report.held_back {
        return Err(error);
    }
    let what = "write anew all that is worth it";
    if let Some(error) = progress.partial(what) {
        return Err(error.hint("'ghostsnap check --read-data' names everything that is damaged"));
    }
    Ok(())
}

fn prune_options(call: &Invocation) -> Result<PruneOptions> {
    let usual = PruneOptions::default();
    let settings = repository::settings(call)?;
    let size = |text: &str| ByteSize::parse(text).map(|size| size.0);
    let hours = call.number("grace").map(|hours| {
        let seconds = i64::try_from(hours).unwrap_or(i64::MAX).saturating_mul(3600);
        if seconds < limits::PRUNE_GRACE_SECONDS_MIN {
            let least = limits::PRUNE_GRACE_SECONDS_MIN / 3600;
            return Err(Error::new(Kind::Invalid, format!("wait only {hours} hours"))
                .why(format!("at least {least} are needed for backups that are under way"))
                .hint("--now removes at once, if nobody else is writing"));
        }
        Ok(seconds)
    });
    let unused = call.text("max-unused").and_then(args::percent);
    Ok(PruneOptions {
        max_unused: if call.has("repack-all") { 0 } else { unused.unwrap_or(usual.max_unused) },
        max_repack: call.text("max-repack-size").map(size).transpose()?,
        max_reseal: call.text("max-reseal-size").map(size).transpose()?.unwrap_or(usual.max_reseal),
        grace_seconds: hours.transpose()?.unwrap_or(usual.grace_seconds),
        now: call.has("now"),
        may_empty: call.has("force"),
        level: settings.compression_level,
        ..usual
    })
}

/// What becomes of how many files, and their bytes. Files that no segment names are either removed
/// or wait. `at_once` says what a run would do that waits for nothing.
fn sums(report: &PruneReport, at_once: bool) -> Vec<(&'static str, u64, u64)> {
    let plan = &report.plan;
    let add = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
    let mut sums: Vec<(&str, u64, u64)> = Vec::new();
    let mut strays = add(plan.stray_sum(Fate::Mark), plan.stray_sum(Fate::Wait));
    let mut removed = add(plan.sum(Fate::Remove), plan.stray_sum(Fate::Remove));
    removed = add(removed, report.leftovers);
    for fate in Fate::ALL {
        let mut sum = plan.sum(fate);
        if at_once && matches!(fate, Fate::Mark | Fate::Wait) {
            removed = add(removed, std::mem::take(&mut sum));
        }
        if fate == Fate::Remove {
            if at_once {
                removed = add(removed, std::mem::take(&mut strays));
            }
            sum = removed;
        }
        sums.push((fate.word(), sum.0, sum.1));
    }
    sums.push(("stray", strays.0, strays.1));
    sums.push(("freed", report.removed.0, report.removed.1));
    sums
}

fn told(report: &PruneReport, options: &PruneOptions, is_dry: bool) -> String {
    let start = format!(
        "{} stored, {} needed",
        ByteSize(report.stored_bytes),
        ByteSize(report.plan.needed_bytes)
    );
    if is_dry {
        let rows = sums(report, options.now);
        let removed = rows.iter().find(|row| row.0 == Fate::Remove.word()).map_or(0, |row| row.2);
        return format!("{start}; {} would be removed now", ByteSize(removed));
    }
    let files = number_of(report.removed.0, "file");
    let mut told = format!("{start}; {files} removed, {} freed", ByteSize(report.removed.1));
    if report.written > 0 {
        told += &format!(", {} written anew", ByteSize(report.written));
    }
    if report.plan.of_old_keys.0 > 0 {
        told += &format!(
            "; {} are sealed under the keys of before, and the next prunes go on with them",
            ByteSize(report.plan.of_old_keys.1)
        );
    }
    if report.marked.0 > 0 {
        told += &format!(
            "; {} more can go at the first prune in {} hours",
            ByteSize(report.marked.1),
            options.grace_seconds / 3600
        );
    }
    told
}

/// `ghostsnap unlock`.
pub fn unlock(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let locks = repository.locks()?;
    let goes = |lock: &Found| call.has("all") || lock.holder == Holder::Dead;
    let living = locks.iter().filter(|lock| goes(lock) && lock.holder != Holder::Dead).count();
    if living > 0 && !call.has("dry-run") {
        let question = format!(
            "Remove {} whose holder may still be writing?",
            number_of(bytes(living), "lock")
        );
        context.confirm(call, "remove locks", &question)?;
    }
    let mut rows = context.output.rows(call.command().columns);
    let mut removed = 0;
    for lock in &locks {
        let goes = goes(lock);
        if goes && !call.has("dry-run") {
            repository.remove_lock(&lock.id)?;
        }
        removed += u64::from(goes);
        rows.row(&lock_row(lock, goes))?;
    }
    rows.finish()?;
    let word = if call.has("dry-run") { "would be removed" } else { "removed" };
    let kept = number_of(bytes(locks.len()).saturating_sub(removed), "lock");
    context.output.note(&format!("{} {word}, {kept} left", number_of(removed, "lock")));
    Ok(())
}

fn lock_row(found: &Found, goes: bool) -> [Cell; 8] {
    let lock = found.lock.clone().unwrap_or_default();
    let (day, time) = match &found.lock {
        Some(lock) => engine_look::day_and_time(lock.time),
        None => (String::new(), String::new()),
    };
    [
        found.id.to_string().into(),
        lock.work.into(),
        lock.host.into(),
        u64::from(lock.process.id).into(),
        day.into(),
        time.into(),
        found.holder.word().into(),
        if goes { "remove" } else { "keep" }.into(),
    ]
}
