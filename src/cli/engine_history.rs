// SPDX-License-Identifier: MIT
//! The command about a repository's history.

use super::Context;
use super::args::Invocation;
use super::engine_look::day_and_time;
use super::repository::{self, Opened};
use super::rows::Cell;
use crate::base::units::{bytes, number_of};
use crate::base::{Error, Kind, Result};
use crate::crypto::sign::WriterId;
use crate::format::history::Spans;
use crate::repo::Repository;
use crate::repo::ledger::{Chain, Ledger, Problem};

/// `ghostsnap history`.
pub fn history(context: &Context, call: &Invocation) -> Result<()> {
    let Opened { repository, .. } = repository::open(context, call)?;
    let (ledger, unreadable) = repository.ledger(&repository.memory()?, true)?;
    let problems = ledger.problems();
    if !call.has("accept") {
        list(context, call, &ledger, &problems)?;
        return verdict(&ledger, &problems, unreadable);
    }
    accept(context, call, &repository, &problems)?;
    let (ledger, _) = repository.ledger(&repository.memory()?, true)?;
    list(context, call, &ledger, &ledger.problems())
}

fn accept(
    context: &Context,
    call: &Invocation,
    repository: &Repository,
    problems: &[Problem],
) -> Result<()> {
    if problems.is_empty() {
        context.output.note("nothing is wrong");
        return Ok(());
    }
    for problem in problems {
        context.output.note(&problem.to_string());
    }
    if call.has("dry-run") {
        return Ok(());
    }
    let question = "Go on from what is there, and take what is gone for removed?";
    context.confirm(call, "accept the history", question)?;
    let accepted = repository.accept_history()?;
    context.output.note(&format!("{} accepted", number_of(bytes(accepted.len()), "problem")));
    Ok(())
}

fn list(context: &Context, call: &Invocation, ledger: &Ledger, problems: &[Problem]) -> Result<()> {
    let mut rows = context.output.rows(call.command().columns);
    for (writer, chain) in &ledger.chains {
        rows.row(&row(ledger, writer, chain, problems))?;
    }
    rows.finish()
}

fn row(ledger: &Ledger, writer: &WriterId, chain: &Chain, problems: &[Problem]) -> [Cell; 10] {
    let reasons: Vec<String> =
        problems.iter().filter(|one| one.writer() == writer).map(ToString::to_string).collect();
    let head = chain.live.last_key_value();
    let (day, time) = match head {
        Some(_) => day_and_time(chain.time),
        None => (String::new(), String::new()),
    };
    [
        writer.to_string().into(),
        chain.host.as_str().into(),
        bytes(chain.live.len()).into(),
        ledger.removed.get(writer).map_or(0, Spans::count).into(),
        chain.top.into(),
        day.into(),
        time.into(),
        if reasons.is_empty() { "well" } else { "wrong" }.into(),
        reasons.join("; ").into(),
        head.map_or_else(Cell::empty, |(_, digest)| digest.to_string().into()),
    ]
}

fn verdict(ledger: &Ledger, problems: &[Problem], unreadable: u64) -> Result<()> {
    let forged = ledger.forged.len();
    if problems.is_empty() && forged == 0 {
        return Ok(());
    }
    let mut why: Vec<String> = Vec::new();
    if !problems.is_empty() {
        why.push(number_of(bytes(problems.len()), "problem"));
    }
    if forged > 0 {
        let files = number_of(bytes(forged), "file");
        why.push(format!("{files} with an entry that its writer did not sign"));
    }
    if unreadable > 0 {
        why.push(format!("{} cannot be read", number_of(unreadable, "file")));
    }
    Err(Error::new(Kind::Damaged, "find the whole history of the repository")
        .why(why.join("; "))
        .hint("docs/operations.md says what to look for before 'ghostsnap history --accept'"))
}
