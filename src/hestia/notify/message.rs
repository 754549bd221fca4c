// SPDX-License-Identifier: MIT
//! What a message says, before it is dressed for mail, a panel or a chat: plain lines without
//! control characters, bounded. Names of files, users' words and answers of programs are in it, so
//! nothing here is markup, and whoever dresses it must escape all of it.

use super::look::{Look, UserLook};
use super::plan::{News, Over, Plan};
use super::target::Target;
use super::trouble::{Seen, Sort, Subject, Trouble};
use crate::base::path::display_bytes;
use crate::base::units::{ByteSize, bytes, number_of};
use crate::base::{Timestamp, limits, notify_limits};
use crate::hestia::UserName;
use crate::hestia::jobs::health::Light;
use std::collections::BTreeMap;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Something is wrong, and perhaps something else is over.
    Trouble,
    /// Something is over.
    Over,
    /// A summary.
    Digest,
    /// Somebody tries whether messages arrive.
    Test,
}

impl Event {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trouble => "trouble",
            Self::Over => "over",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }
}

/// One trouble, for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `user`, `repository` or `receiver`.
    pub about: &'static str,
    /// Its name.
    pub name: String,
    /// What sort it is.
    pub sort: &'static str,
    /// `yellow`, `red` or `over`.
    pub state: &'static str,
    /// What is told of it.
    pub text: String,
    /// Since when it is known; 0 if that is not told.
    pub since: i64,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub event: Event,
    /// How bad the worst of it is.
    pub light: Light,
    /// One line that says the most of it; nothing in it is anybody's free text.
    pub title: String,
    /// What it says.
    pub lines: Vec<String>,
    /// Lines that were left out.
    pub more: usize,
    /// The troubles, for programs.
    pub items: Vec<Item>,
    /// When it was made.
    pub time: Timestamp,
    /// This machine; for the administrator, who may have several.
    pub host: Option<String>,
}

/// One line of plain text.
pub fn plain(text: &str, letters_max: usize) -> String {
    let text = display_bytes(text.replace(['\n', '\r', '\t'], " ").trim().as_bytes());
    let mut letters = text.chars();
    let mut kept: String = letters.by_ref().take(letters_max).collect();
    if letters.next().is_some() {
        kept.push_str(" ...");
    }
    kept
}

/// What messages are made of.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'w> {
    /// This machine.
    pub host: &'w str,
    /// The time.
    pub now: Timestamp,
}

impl Writer<'_> {
    /// That something is wrong or over.
    pub fn news(&self, target: &Target, plan: &Plan) -> Option<Message> {
        if plan.news.is_empty() && plan.over.is_empty() {
            return None;
        }
        let of = target.of.as_ref();
        let worst = plan.news.iter().map(|one| one.trouble.light).max();
        let problems = number_of(bytes(plan.news.len()), "problem");
        let title = match (plan.news.len(), plan.over.len()) {
            (0, 1) => "1 problem is over".to_owned(),
            (0, over) => format!("{over} problems are over"),
            (_, 0) => problems,
            (_, over) => format!("{problems}, {over} over"),
        };
        let mut lines = lines_of(of, &plan.news);
        lines.extend(plan.over.iter().map(|one| over_line(of, one)));
        let event = if plan.news.is_empty() { Event::Over } else { Event::Trouble };
        let mut message = self.message(event, of, &title, lines);
        message.light = worst.unwrap_or(Light::Green);
        let news = plan.news.iter().map(|one| Item {
            state: one.trouble.light.word(),
            ..item(&one.trouble.subject, one.trouble.sort, text_of(of, &one.trouble), one.since)
        });
        let over = plan.over.iter().map(|one| Item {
            state: "over",
            ..item(&one.subject, one.sort, one.sort.over(), one.since)
        });
        message.items = news.chain(over).take(limits::REASONS_NOTED_MAX).collect();
        Some(message)
    }

    /// A summary.
    pub fn digest(&self, target: &Target, look: &Look, seen: &Seen) -> Message {
        let of = target.of.as_ref();
        let theirs = look.users.iter().filter(|one| of.is_none_or(|name| one.user.name == *name));
        let theirs: Vec<&UserLook> = theirs.collect();
        let count = |light| theirs.iter().filter(|one| one.light == light).count();
        let [green, yellow, red, off] =
            [Light::Green, Light::Yellow, Light::Red, Light::Off].map(count);
        let title = match of {
            None => format!("summary: {green} green, {yellow} yellow, {red} red"),
            Some(_) => "summary".to_owned(),
        };
        let mut lines = Vec::new();
        if of.is_none() {
            let without = if off > 0 { format!(", {off} without backups") } else { String::new() };
            let users = number_of(bytes(theirs.len()), "user");
            lines.push(format!("{users}: {green} green, {yellow} yellow, {red} red{without}"));
            let week: u64 = theirs.iter().map(|one| one.added_week()).sum();
            lines.push(format!("Stored within seven days: {}", ByteSize(week)));
        }
        lines.extend(theirs.iter().filter(|_| of.is_some()).filter_map(|one| Self::last(one)));
        let troubles: Vec<News> = seen
            .troubles
            .iter()
            .filter(|one| super::plan::is_for(target, one))
            .map(|one| News { trouble: one.clone(), since: 0, is_again: false })
            .collect();
        lines.extend(lines_of(of, &troubles));
        let is_unknown =
            theirs.iter().any(|one| seen.unknown.contains(&Subject::User(one.user.name.clone())));
        if troubles.is_empty() {
            lines.push(
                match (is_unknown, red + yellow > 0) {
                    (true, _) => "The backups cannot be read at this moment.",
                    // Whoever is new has time for it.
                    (false, true) => "A first backup has not been made yet.",
                    (false, false) => "Nothing is wrong.",
                }
                .to_owned(),
            );
        }
        let mut message = self.message(Event::Digest, of, &title, lines);
        let worst = troubles.iter().map(|one| one.trouble.light).max();
        let otherwise = if is_unknown { Light::Yellow } else { Light::Green };
        message.light = worst.unwrap_or(otherwise);
        let items = troubles.iter().map(|one| Item {
            state: one.trouble.light.word(),
            ..item(&one.trouble.subject, one.trouble.sort, text_of(of, &one.trouble), 0)
        });
        message.items = items.take(limits::REASONS_NOTED_MAX).collect();
        message
    }

    /// Whether messages arrive.
    pub fn test(&self, target: &Target) -> Message {
        let line = "This is a test: messages of Ghostsnap arrive here. Nothing is wrong.";
        self.message(Event::Test, target.of.as_ref(), "a test", vec![line.to_owned()])
    }

    fn last(one: &UserLook) -> Option<String> {
        let health = one.first()?;
        let (_, newest) = health.good.as_ref()?;
        let day = newest.time.local().strftime("%Y-%m-%d %H:%M");
        let backups = number_of(bytes(health.backups), "backup");
        let size = ByteSize(newest.totals.bytes);
        Some(format!("The last complete backup is of {day} and holds {size}; {backups} in all."))
    }

    fn message(
        &self,
        event: Event,
        of: Option<&UserName>,
        title: &str,
        mut lines: Vec<String>,
    ) -> Message {
        let more = lines.len().saturating_sub(notify_limits::LINES_MAX);
        lines.truncate(notify_limits::LINES_MAX);
        let lines = lines.iter().map(|line| plain(line, notify_limits::LINE_LETTERS)).collect();
        let host = plain(self.host, limits::REPOSITORY_NAME_BYTES_MAX);
        let title = match of {
            None => format!("Ghostsnap on {host}: {title}"),
            Some(user) => format!("Backups of {user}: {title}"),
        };
        let host = of.is_none().then_some(host);
        let (items, light) = (Vec::new(), Light::Green);
        Message { event, light, title, lines, more, items, time: self.now, host }
    }
}

fn item(subject: &Subject, sort: Sort, text: &str, since: i64) -> Item {
    Item {
        about: subject.word(),
        name: subject.name().to_owned(),
        sort: sort.word(),
        state: "",
        text: plain(text, notify_limits::LINE_LETTERS),
        since,
    }
}

/// What this receiver may know of a trouble.
fn text_of<'t>(of: Option<&UserName>, trouble: &'t Trouble) -> &'t str {
    match of {
        None => &trouble.full,
        Some(_) => trouble.own.as_deref().unwrap_or_default(),
    }
}

/// A line for each text, with all whom it is about: when a store is gone, that is one line and not
/// one for each user.
fn lines_of(of: Option<&UserName>, news: &[News]) -> Vec<String> {
    let mut groups: BTreeMap<(Sort, bool, &str), Vec<&Subject>> = BTreeMap::new();
    for one in news {
        let text = text_of(of, &one.trouble);
        let key = (one.trouble.sort, one.is_again, text);
        groups.entry(key).or_default().push(&one.trouble.subject);
    }
    let line = |((_, is_again, text), subjects): ((Sort, bool, &str), Vec<&Subject>)| {
        let still = if is_again { "still: " } else { "" };
        format!("{}: {still}{text}", named(&subjects))
    };
    groups.into_iter().map(line).collect()
}

fn over_line(of: Option<&UserName>, over: &Over) -> String {
    match of {
        None => format!("Over: {}: {}", over.subject, over.sort.over()),
        Some(_) => format!("Over: {}", over.sort.over()),
    }
}

fn named(subjects: &[&Subject]) -> String {
    let names = subjects.iter().take(notify_limits::USERS_NAMED).map(ToString::to_string);
    let names = names.collect::<Vec<_>>().join(", ");
    match subjects.len().saturating_sub(notify_limits::USERS_NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::rules::Digest;
    use super::super::target::Way;
    use super::super::told::Told;
    use super::*;

    pub(in super::super) fn target(of: Option<&str>) -> Target {
        let of = of.map(|name| UserName::parse(name).unwrap());
        let way = Way::Mail("ops@a.example".into());
        Target { name: "mail".into(), of, way, digest: Digest::Never }
    }

    pub(in super::super) fn late(name: &str, text: &str) -> News {
        let subject = Subject::User(UserName::parse(name).unwrap());
        let (own, full) = (Some("it is late".into()), text.to_owned());
        let trouble = Trouble { subject, sort: Sort::Late, light: Light::Red, own, full };
        News { trouble, since: 5, is_again: false }
    }

    pub(in super::super) fn told(of: Option<&str>, news: Vec<News>, over: Vec<Over>) -> Message {
        let plan = Plan { news, over, digest: false, after: Told::default() };
        let writer = Writer { host: "web1", now: Timestamp::from_seconds(1_796_000_000) };
        writer.news(&target(of), &plan).unwrap()
    }

    #[test]
    fn a_message_groups_whom_the_same_is_about() {
        let many: Vec<News> = (10..30).map(|n| late(&format!("u{n}"), "gone")).collect();
        let over = Over { subject: many[0].trouble.subject.clone(), sort: Sort::Failed, since: 3 };
        let message = told(None, many, vec![over]);
        assert_eq!(message.title, "Ghostsnap on web1: 20 problems, 1 over");
        assert_eq!(
            message.lines,
            [
                "u10, u11, u12, u13, u14, u15, u16, u17, u18, u19 and 10 more: gone",
                "Over: u10: the last backup did not fail",
            ]
        );
        assert_eq!((message.light, message.items.len()), (Light::Red, 20));
    }

    #[test]
    fn a_customer_reads_what_is_theirs_and_neither_host_nor_more() {
        let message = told(Some("alice"), vec![late("alice", "/srv/secret is gone")], vec![]);
        assert_eq!(message.title, "Backups of alice: 1 problem");
        assert_eq!(message.lines, ["alice: it is late"]);
        assert!(!format!("{message:?}").contains("secret"), "{message:?}");
        assert!(!format!("{message:?}").contains("web1"), "{message:?}");
    }

    #[test]
    fn whatever_is_in_it_a_line_is_one_line_and_bounded() {
        let hostile = format!("a\r\nBcc: x\u{202e}\u{1b}[31m{}", "y".repeat(10_000));
        let message = told(
            None,
            (0..100).map(|n| late(&format!("u{n}"), &format!("{n}{hostile}"))).collect(),
            vec![],
        );
        assert_eq!((message.lines.len(), message.more), (25, 75));
        for line in &message.lines {
            assert!(line.chars().count() <= 404, "{line}");
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line}");
        }
    }
}
