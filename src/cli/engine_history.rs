// SPDX-License-Identifier: MIT
//! The commands about a repository's history.

use super::Context;
use super::args::Invocation;
use super::engine_look::day_and_time;
use super::repository::{self, Opened};
use super::rows::Cell;
use crate::base::units::{bytes, number_of};
use crate::base::{Error, Kind, Result};
use crate::crypto::sign::WriterId;
use crate::format::history::Spans;
use crate::repo::history::History;
use crate::repo::ledger::{Chain, Problem};

/// `ghostsnap history`.
pub fn history(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let history = repository.history(true)?;
    list(context, call, &history)?;
    verdict(&history)
}

/// `ghostsnap accept-history`.
pub fn accept(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let history = repository.history(true)?;
    let problems = history.problems();
    if problems.is_empty() && history.broken.is_empty() {
        context.output.note("nothing was taken away");
        return list(context, call, &history);
    }
    for problem in &problems {
        context.output.note(&problem.to_string());
    }
    for (id, error) in &history.broken {
        context.output.note(&format!("history/{id}: {}", error.one_line()));
    }
    if call.has("dry-run") {
        return list(context, call, &history);
    }
    let question = "Go on from what is there, and take what is gone for removed?";
    context.confirm(call, "accept the history", question)?;
    // Not what has come back meanwhile.
    let now = repository.history(true)?;
    let wrong = history.wrong.common(&now.wrong);
    repository.accept_history(&History { wrong, ..now })?;
    context.output.note(&format!("{} accepted", number_of(bytes(problems.len()), "problem")));
    list(context, call, &repository.history(true)?)
}

fn list(context: &Context, call: &Invocation, history: &History) -> Result<()> {
    let mut rows = context.output.rows(call.command().columns);
    let problems = history.problems();
    for (writer, chain) in &history.ledger.chains {
        rows.row(&row(history, writer, chain, &problems))?;
    }
    rows.finish()
}

fn row(history: &History, writer: &WriterId, chain: &Chain, problems: &[Problem]) -> [Cell; 10] {
    let own = problems.iter().filter(|one| one.writer() == writer);
    let reasons: Vec<String> = own.map(ToString::to_string).collect();
    let head = chain.live.last_key_value();
    let (day, time) = match head {
        Some(_) => day_and_time(chain.time),
        None => (String::new(), String::new()),
    };
    [
        writer.to_string().into(),
        chain.host.as_str().into(),
        bytes(chain.live.len()).into(),
        history.ledger.removed.get(writer).map_or(0, Spans::count).into(),
        chain.top.into(),
        day.into(),
        time.into(),
        if reasons.is_empty() { "well" } else { "wrong" }.into(),
        reasons.join("; ").into(),
        head.map_or_else(Cell::empty, |(_, digest)| digest.to_string().into()),
    ]
}

fn verdict(history: &History) -> Result<()> {
    let what = "find the whole history of the repository";
    let problems = number_of(bytes(history.problems().len()), "problem");
    let forged = number_of(bytes(history.ledger.forged.len()), "snapshot");
    let broken = number_of(bytes(history.broken.len()), "file");
    let mut why = Vec::new();
    if !history.problems().is_empty() {
        why.push(problems);
    }
    if !history.ledger.forged.is_empty() {
        why.push(format!("{forged} with an entry that its writer did not sign for it"));
    }
    if !history.broken.is_empty() {
        why.push(format!("{broken} of the history cannot be read"));
    }
    if why.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Damaged, what)
        .why(why.join("; "))
        .hint("docs/operations.md says what to look for before 'ghostsnap accept-history'"))
}
