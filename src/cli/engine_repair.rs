// SPDX-License-Identifier: MIT
//! The commands that mend a damaged repository: its index, its packs, its snapshots.

use super::Context;
use super::args::Invocation;
use super::repository::{self, Opened};
use super::rows::Cell;
use crate::base::units::{ByteSize, bytes, number_of};
use crate::base::{Error, FileId, Kind, Result};
use crate::ops::repair::{
    Affected, LossKind, PackOptions, PacksReport, Repaired, SnapshotFate, SnapshotOptions,
    rebuild_index, repair_packs, repair_snapshots, survey,
};
use std::collections::{BTreeSet, HashSet};

/// `ghostsnap repair index`.
pub fn index(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let repository = repository.without_copy();
    let progress = context.progress();
    let result = rebuild_index(&repository, &progress);
    progress.finish();
    let packs = result?;
    context.output.note(&format!("the index names {} now", number_of(packs, "pack")));
    let mut rows = context.output.rows(call.command().columns);
    rows.row(&[repository.backend().location().into(), packs.into()])?;
    rows.finish()?;
    progress.partial("index every pack").map_or(Ok(()), Err)
}

/// `ghostsnap repair packs`.
pub fn packs(context: &Context, call: &Invocation) -> Result<()> {
    let wanted = call.texts("PACK").into_iter().map(pack_id).collect::<Result<Vec<_>>>()?;
    let level = repository::readable_settings(call)?.compression_level;
    let dry_run = call.has("dry-run");
    let Opened { repository, .. } = repository::open(context, call)?;
    let progress = context.progress();
    let other = match call.text("from") {
        None => None,
        Some(text) => {
            let meant = repository::by_text(context, call, text)?;
            let other = repository::open_meant(context, call, &meant)?.repository;
            // It may be an older copy of this one's files.
            let other = other.without_copy().without_diary();
            Some(other.indexed_to_judge("repair", &progress)?)
        }
    };
    let options = PackOptions { dry_run, level };
    let repository = repository.without_copy();
    let result = repair_packs(repository, &wanted, other.as_ref(), options, &progress);
    progress.finish();
    let report = result?;
    let mut rows = context.output.rows(call.command().columns);
    for pack in &report.packs {
        rows.row(&[
            pack.id.to_string().into(),
            pack.fate.word().into(),
            pack.saved.into(),
            bytes(pack.lost.len()).into(),
            pack.why.as_str().into(),
        ])?;
    }
    rows.finish()?;
    tell(context, &report, dry_run);
    if let Some(error) = what_is_lost(&report, dry_run) {
        return Err(error);
    }
    progress.partial("judge every pack and snapshot").map_or(Ok(()), Err)
}

/// `packs/ab/abcd...` of a finding, or the id alone.
fn pack_id(text: &str) -> Result<FileId> {
    let id = text.rsplit('/').next().unwrap_or(text);
    FileId::parse(id).map_err(|error| error.hint("a pack is named by all 64 digits of its id"))
}

fn tell(context: &Context, report: &PacksReport, dry_run: bool) {
    let (mut saved, mut lost) = (0, 0);
    for pack in &report.packs {
        saved += pack.saved;
        lost += bytes(pack.lost.len());
    }
    let would = if dry_run { " would be" } else { "" };
    let mut told = format!(
        "{} looked at closely, {}{would} saved, {} lost",
        number_of(bytes(report.packs.len()), "pack"),
        number_of(saved, "chunk"),
        lost,
    );
    if report.healed > 0 {
        told += &format!("; {} taken from the other repository", ByteSize(report.healed));
    }
    context.output.note(&told);
}

/// What that was backed up cannot be had.
fn what_is_lost(report: &PacksReport, dry_run: bool) -> Option<Error> {
    let what = "have everything that was backed up";
    if dry_run && report.affected.is_empty() {
        let lost: usize = report.packs.iter().map(|pack| pack.lost.len()).sum();
        let chunks = number_of(bytes(lost), "chunk");
        let why = format!("{chunks} cannot be read");
        return (lost > 0).then(|| Error::new(Kind::Damaged, what).why(why));
    }
    let broken: Vec<&Affected> = report.affected.iter().filter(|one| one.loses_content()).collect();
    if broken.is_empty() {
        return None;
    }
    let mut users = BTreeSet::new();
    let mut losses = 0;
    for one in &broken {
        let content = one.losses.iter().filter(|loss| loss.kind != LossKind::Table);
        losses += bytes(content.count()).max(u64::from(one.snapshot.is_none()));
        users.extend(one.snapshot.iter().map(|one| one.user.as_str()).filter(|u| !u.is_empty()));
    }
    let of = if users.is_empty() {
        String::new()
    } else {
        format!(" of {}", users.into_iter().collect::<Vec<_>>().join(", "))
    };
    let snapshots = number_of(bytes(broken.len()), "snapshot");
    let losses = number_of(losses, "thing");
    Some(
        Error::new(Kind::Damaged, what)
            .why(format!("{losses} in {snapshots}{of} cannot be restored"))
            .hint(
                "'ghostsnap repair snapshots --dry-run' names them; a repository with copies \
                 may still have them: 'ghostsnap repair packs --from OTHER'",
            ),
    )
}

/// `ghostsnap repair snapshots`.
pub fn snapshots(context: &Context, call: &Invocation) -> Result<()> {
    let level = repository::readable_settings(call)?.compression_level;
    let Opened { repository, .. } = repository::open(context, call)?;
    let repository = repository.without_copy();
    let progress = context.progress();
    let options = SnapshotOptions {
        keep: call.has("keep"),
        drop: call.has("drop"),
        for_good: call.has("for-good"),
        level,
    };
    let wanted = call.texts("SNAPSHOT");
    let (mut broken, repository) = survey(repository, options, &progress)?;
    progress.finish();
    broken.retain(|one| wanted.is_empty() || wanted.iter().any(|text| names(text, &one.was)));
    let meant = bytes(broken.len());
    let done = if call.has("dry-run") || meant == 0 {
        broken
    } else {
        context.confirm(call, "repair snapshots", &question(&broken, options))?;
        // Only what was shown: more may be damaged by now.
        let shown: HashSet<FileId> = broken.iter().map(|one| one.was.id).collect();
        let is_meant = |one: &Affected| shown.contains(&one.id);
        let result = repair_snapshots(repository, options, is_meant, &progress);
        progress.finish();
        result?
    };
    print(context, call, &done)?;
    let repaired = done.iter().filter(|one| matches!(one.fate, SnapshotFate::Repaired(_))).count();
    let dropped = done.iter().filter(|one| one.fate == SnapshotFate::Dropped).count();
    context.output.note(&format!(
        "{} damaged, {repaired} repaired, {dropped} dropped",
        number_of(meant, "snapshot")
    ));
    let hopeless = done.iter().filter(|one| one.fate == SnapshotFate::Hopeless).count();
    let is_bad = |one: &Repaired| {
        one.was.loses_content() && (call.has("dry-run") || one.fate == SnapshotFate::Hopeless)
    };
    let bad = done.iter().filter(|one| is_bad(one)).count();
    if bad > 0 {
        let error = Error::new(Kind::Damaged, "have everything that was backed up")
            .why(format!("{} lost something", number_of(bytes(bad), "snapshot")));
        return Err(if hopeless > 0 {
            error.hint(format!("of {hopeless} nothing can be had: --drop drops them"))
        } else {
            error
        });
    }
    progress.partial("judge every snapshot").map_or(Ok(()), Err)
}

fn question(broken: &[Repaired], options: SnapshotOptions) -> String {
    let hopeless = broken.iter().filter(|one| one.fate == SnapshotFate::Hopeless).count();
    let rest = bytes(broken.len().saturating_sub(hopeless));
    let rest = format!("Store {} anew without what is lost", number_of(rest, "damaged snapshot"));
    if hopeless == 0 || !options.drop || options.keep {
        return format!("{rest}?");
    }
    let hopeless = number_of(bytes(hopeless), "snapshot");
    format!("{rest}, and drop {hopeless} of which nothing can be had?")
}

/// Whether a person means this snapshot.
fn names(text: &str, one: &Affected) -> bool {
    let by_name = one.snapshot.as_ref().is_some_and(|snapshot| snapshot.name == text);
    by_name || text.len() >= 4 && one.id.to_string().starts_with(text)
}

fn print(context: &Context, call: &Invocation, done: &[Repaired]) -> Result<()> {
    let mut rows = context.output.rows(call.command().columns);
    let mut number = 0;
    for one in done {
        let (result, new) = match one.fate {
            SnapshotFate::Repaired(id) => ("repaired", Cell::from(id.to_string())),
            SnapshotFate::Dropped => ("dropped", Cell::empty()),
            SnapshotFate::Left => ("left", Cell::empty()),
            SnapshotFate::Hopeless => ("hopeless", Cell::empty()),
        };
        let (name, user) = one
            .was
            .snapshot
            .as_ref()
            .map_or(("", ""), |one| (one.name.as_str(), one.user.as_str()));
        let lost = one.was.losses.iter();
        let mut losses: Vec<_> =
            lost.map(|loss| (loss.kind.word(), loss.path.to_string(), loss.why.clone())).collect();
        if one.was.snapshot.is_none() {
            let why = "its record is damaged".to_owned();
            losses.push(("snapshot", String::new(), why));
        }
        for (kind, path, why) in losses {
            number += 1;
            rows.row(&[
                Cell::from(number),
                one.was.id.to_string().into(),
                name.into(),
                user.into(),
                kind.into(),
                path.into(),
                why.into(),
                result.into(),
                new.clone(),
            ])?;
        }
    }
    rows.finish()
}
