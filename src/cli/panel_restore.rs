// SPDX-License-Identifier: MIT
//! `ghostsnap hestia restore` and the panel's commands that end in it: back to Hestia, into a
//! folder, or only looked at.

use super::Context;
use super::args::Invocation;
use super::engine_look::day_and_time;
use super::panel::{open, sections, server, user_of};
use super::panel_look::{find, visible};
use super::panel_undo::{job_of, tell_way_back};
use super::progress::Progress;
use super::rows::Cell;
use crate::base::monitor::Stop;
use crate::base::units::{ByteSize, bytes, number_of};
use crate::base::{Counter, Error, FileId, Kind, Monitor, RelPath, Result, WhatIo};
use crate::format::snapshot::{Object, Snapshot};
use crate::hestia::UserName;
use crate::hestia::inventory;
use crate::hestia::jobs::{self, Outlook, RestoreReport, RestoreRequest, Through, findings};
use crate::hestia::select::Sections;
use crate::ops::restore::{RestoreOptions, to_folder};
use crate::repo::Repository;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// `ghostsnap hestia restore`.
pub fn restore(context: &Context, call: &Invocation) -> Result<()> {
    let user = UserName::parse(call.required("USER")?)?;
    let from = user_of(call, "from")?;
    let server = server(context, call)?;
    let sections = sections(call)?;
    let owner = from.as_ref().unwrap_or(&user);
    let repository = open(context, call, &server, Some(owner), false)?;
    let progress = context.progress();
    let all = visible(call, &server, &repository, Some(owner), &progress)?;
    let (id, snapshot) =
        find(call, &all, call.required("snapshot")?, Some(owner.as_str()))?.clone();
    if call.has("target") || call.has("temp") {
        return restore_files(context, call, repository, &snapshot, &sections, &progress);
    }
    let dry_run = call.has("dry-run");
    if !dry_run && inventory::exists(&server.hestia, &user) {
        let (day, time) = day_and_time(snapshot.time);
        let what = if sections.is_all() { "everything" } else { "the chosen parts" };
        let question = format!("Replace {what} of {user} by what it was on {day} at {time}?");
        context.confirm(call, &format!("restore the user {user}"), &question)?;
    }
    let request = RestoreRequest {
        snapshot: id.to_string(),
        from,
        sections,
        confirmed: true,
        // The panel acts for whoever has the name today, never for an earlier user of it.
        force: call.has("force") && call.shim().is_none(),
        admin: call.has("admin"),
        notify: call.has("notify"),
        through: call.text("through").and_then(Through::parse).unwrap_or_default(),
        trust_config: call.has("trust-config") && call.shim().is_none(),
        no_safety: call.has("no-safety"),
    };
    let repository = if dry_run {
        repository.indexed_to_look(&progress)?
    } else {
        repository.indexed_to_read("restore", &progress)?
    };
    if dry_run {
        let outlook = jobs::preview(&server, &repository, &user, &request, &progress);
        progress.finish();
        return report_outlook(context, call, &user, &outlook?);
    }
    let result = jobs::restore(&server, &repository, &user, &request, &progress);
    progress.finish();
    report_restore(context, call, &result?)
}

/// What a restore would do. Ends with the error that the restore would end with.
pub(super) fn report_outlook(
    context: &Context,
    call: &Invocation,
    user: &UserName,
    outlook: &Outlook,
) -> Result<()> {
    let mut rows = context.output.rows(call.command().columns);
    for one in &outlook.findings {
        let weight = if one.stops.is_some() { "stops" } else { "changes" };
        let mut mend = if one.mend.is_empty() { String::new() } else { format!(" ({})", one.mend) };
        if call.shim().is_none() && !one.aside.is_empty() {
            mend.push_str(&format!(" ({})", one.aside));
        }
        rows.row(&[
            one.name().into(),
            weight.into(),
            format!("{}{mend}", one.why).into(),
            Cell::empty(),
        ])?;
    }
    for plan in &outlook.plans {
        let name = format!("{} {}", plan.object.section, plan.object.name);
        let counts = format!(
            "{}: {} to create, {} to overwrite, {} to remove, {} right already, about {} more",
            if plan.exists { "there" } else { "not there" },
            plan.created,
            plan.overwritten,
            plan.removed,
            plan.unchanged,
            ByteSize(plan.growth),
        );
        rows.row(&[name.as_str().into(), "planned".into(), counts.into(), Cell::empty()])?;
        for (action, path) in &plan.paths {
            rows.row(&[
                name.as_str().into(),
                action.word().into(),
                path.as_str().into(),
                Cell::empty(),
            ])?;
        }
        let shown = bytes(plan.paths.len());
        let hidden = (plan.created + plan.overwritten + plan.removed).saturating_sub(shown);
        if hidden > 0 {
            rows.row(&[
                name.into(),
                "planned".into(),
                format!("{hidden} more").into(),
                Cell::empty(),
            ])?;
        }
    }
    rows.finish()?;
    context.output.note("nothing was changed");
    findings::as_error(user, &outlook.findings).map_or(Ok(()), Err)
}

fn report_restore(context: &Context, call: &Invocation, report: &RestoreReport) -> Result<()> {
    let mut rows = context.output.rows(call.command().columns);
    for one in &report.objects {
        rows.row(&[
            format!("{} {}", one.object.section, one.object.name).into(),
            if one.problem.is_some() { "failed" } else { "restored" }.into(),
            one.problem.as_deref().unwrap_or_default().into(),
            job_of(report.safety.as_ref()),
        ])?;
    }
    rows.finish()?;
    if call.shim().is_some() {
        // Elsewhere it was told before; whoever moved a user here must know.
        report.changes.iter().for_each(|change| context.output.important(change));
    }
    let made = if report.created { ", who was made anew" } else { "" };
    context.output.note(&format!(
        "restored {} of {}{made}",
        number_of(bytes(report.objects.len() - report.problems().count()), "object"),
        report.user,
    ));
    if report.created {
        context.output.note(&format!(
            "there is no undo for a user made anew; v-delete-user {} removes the user",
            report.user
        ));
    }
    tell_way_back(context, report.safety.as_ref());
    let Some(kind) = report.kind() else { return Ok(()) };
    let failed: Vec<String> = report
        .problems()
        .map(|(object, _)| format!("{} {}", object.section, object.name))
        .chain(report.warnings.iter().cloned())
        .collect();
    Err(Error::new(kind, format!("restore everything of {}", report.user)).why(failed.join("; ")))
}

/// Puts the chosen parts into a folder, in the shape they have in the repository.
fn restore_files(
    context: &Context,
    call: &Invocation,
    repository: Repository,
    snapshot: &Snapshot,
    sections: &Sections,
    progress: &Progress<'_>,
) -> Result<()> {
    if call.has("target") && call.has("temp") {
        return Err(Error::new(Kind::Usage, "restore").why("give either --target or --temp"));
    }
    sections.check_against(&snapshot.objects)?;
    let target = match call.path("target") {
        Some(target) => target.to_owned(),
        None => temporary_folder(context, &snapshot.user)?,
    };
    let occupied = target.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        let question = format!("{} is not empty. Overwrite what is in it?", target.display());
        context.confirm(call, "restore over existing files", &question)?;
    }
    let repository = repository.indexed_to_read("restore", progress)?;
    let options = RestoreOptions { selection: sections.selection()?, ..RestoreOptions::default() };
    let base = RelPath::root();
    let objects: Vec<_> = snapshot.objects.iter().filter(|one| sections.takes(one)).collect();
    let places = objects.iter().map(|one| place_of(one)).collect();
    let losses = Losses { outer: progress, places, found: Mutex::default() };
    let result = to_folder(&repository, snapshot, &base, &options, &target, &losses);
    progress.finish();
    let report = result?;
    let mut rows = context.output.rows(call.command().columns);
    let mut found = losses.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (number, object) in objects.iter().enumerate() {
        let name = format!("{} {}", object.section, object.name);
        let why = found.remove(&number);
        let result = if why.is_some() { "partial" } else { "restored" };
        rows.row(&[name.into(), result.into(), why.unwrap_or_default().into(), Cell::empty()])?;
    }
    rows.finish()?;
    context.output.important(&format!("the files are in {}", target.display()));
    if report.warnings > 0 {
        return Err(Error::new(Kind::Partial, "restore everything")
            .why(format!("{}, named above", number_of(report.warnings, "failure"))));
    }
    Ok(())
}

/// Keeps for each object its first warning; one that tells no object concerns them all.
struct Losses<'l> {
    outer: &'l dyn Monitor,
    places: Vec<String>,
    found: Mutex<BTreeMap<usize, String>>,
}

impl Monitor for Losses<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.outer.count(counter, n);
    }
    fn warn(&self, warning: Error) {
        let path = path_in(warning.what());
        let is_within = |path: &str, folder: &str| {
            path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let concerns = |place: &String| is_within(path, place) || is_within(place, path);
        let is_known = self.places.iter().any(concerns);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, place) in self.places.iter().enumerate() {
            if !is_known || concerns(place) {
                found.entry(number).or_insert_with(|| warning.one_line());
            }
        }
        self.outer.warn(warning);
    }
    fn stage(&self, stage: crate::base::monitor::Stage) {
        self.outer.stage(stage);
    }
    fn cancelled(&self) -> bool {
        self.outer.cancelled()
    }
    fn stop(&self) -> Stop {
        self.outer.stop()
    }
}

fn place_of(object: &Object) -> String {
    match object.section.as_str() {
        "CRON" => "cron".to_owned(),
        "UDIR" => format!("user_dir/{}", object.name),
        section => format!("{}/{}", section.to_lowercase(), object.name),
    }
}

/// The path that words like `restore PATH and all in it` or `give PATH its mode` are about.
fn path_in(what: &str) -> &str {
    let path = what.split_once(' ').map_or(what, |(_, path)| path);
    let mut endings = [" and all in it", " its owner", " its mode", " its time"].into_iter();
    endings.find_map(|ending| path.strip_suffix(ending)).unwrap_or(path)
}

/// A folder that nobody else can look into or has prepared.
fn temporary_folder(context: &Context, user: &str) -> Result<PathBuf> {
    let random = FileId(context.world.random_32()?);
    let path = std::env::temp_dir().join(format!("ghostsnap-{user}-{}", random.short()));
    let what = || format!("make the folder {}", path.display());
    DirBuilder::new().mode(0o700).create(&path).what_io(what)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::monitor::Collect;

    #[test]
    fn files_that_were_not_restored_make_their_object_partial_and_no_other() {
        let objects: Vec<Object> = [
            ("WEB", "a.example"),
            ("WEB", "a.example.org"),
            ("MAIL", "a.example"),
            ("DB", "alice_wp"),
            ("CRON", "2"),
            ("UDIR", "My"),
            ("UDIR", "My Files"),
        ]
        .map(|(section, name)| Object { section: section.into(), name: name.into() })
        .into();
        let partial = |what: &str| -> Vec<String> {
            let outer = Collect::default();
            let places = objects.iter().map(place_of).collect();
            let losses = Losses { outer: &outer, places, found: Mutex::default() };
            losses.warn(Error::new(Kind::Disk, what).why("no space"));
            assert_eq!(outer.warnings().len(), 1);
            let found = losses.found.into_inner().unwrap();
            assert!(found.values().all(|why| why.ends_with("no space")));
            let name =
                |number: &usize| format!("{} {}", objects[*number].section, objects[*number].name);
            found.keys().map(name).collect()
        };
        assert_eq!(partial("restore web/a.example/data/x y"), ["WEB a.example"]);
        assert_eq!(partial("restore web/a.example.org and all in it"), ["WEB a.example.org"]);
        assert_eq!(partial("restore web and all in it"), ["WEB a.example", "WEB a.example.org"]);
        assert_eq!(partial("give user_dir/My Files its mode"), ["UDIR My Files"]);
        assert_eq!(partial("verify user_dir/My"), ["UDIR My"]);
        assert_eq!(partial("restore cron/cron.conf"), ["CRON 2"]);
        assert_eq!(partial("restore db/alice_wp/alice_wp.mysql.sql"), ["DB alice_wp"]);
        assert_eq!(partial("flush the folder").len(), objects.len());
        assert_eq!(partial("restore hestia/user.conf").len(), objects.len());
    }
}
