// SPDX-License-Identifier: MIT
//! Decides what each receiver is told: what is new, what is still wrong after a while, what is
//! over, and whether a summary is due. Pure: from what was seen, what this receiver was told
//! before, the rules and the time. What comes and goes is not told at each turn, and what nobody
//! could look at is neither told nor over.

use super::rules::{Digest, NotifyRules};
use super::target::Target;
use super::told::{Told, ToldOne};
use super::trouble::{Seen, Sort, Subject, Trouble};
use crate::base::Timestamp;
use crate::hestia::jobs::health::Light;

/// Something that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What is wrong.
    pub trouble: Trouble,
    /// Since when it is known.
    pub since: i64,
    /// Whether it was told before and is still wrong.
    pub is_again: bool,
}

/// Something that is not wrong any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Whom or what it was about.
    pub subject: Subject,
    /// What sort it was.
    pub sort: Sort,
    /// Since when it was known.
    pub since: i64,
}

/// What one receiver is told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is wrong.
    pub news: Vec<News>,
    /// What is over.
    pub over: Vec<Over>,
    /// Whether a summary is due.
    pub digest: bool,
    /// What the receiver has been told once all of it has arrived.
    pub after: Told,
}

impl Plan {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.news.is_empty() && self.over.is_empty() && !self.digest
    }
}

/// Whether a trouble is for this receiver.
pub fn is_for(target: &Target, trouble: &Trouble) -> bool {
    match (&target.of, &trouble.subject) {
        (_, Subject::Receiver(name)) if *name == target.name => false,
        (None, _) => true,
        (Some(user), Subject::User(name)) => user == name && trouble.own.is_some(),
        (Some(_), _) => false,
    }
}

/// Decides.
pub fn plan(
    target: &Target,
    seen: &Seen,
    before: &Told,
    rules: &NotifyRules,
    now: Timestamp,
) -> Plan {
    let mut plan =
        Plan { news: Vec::new(), over: Vec::new(), digest: false, after: before.clone() };
    let mut left = std::mem::take(&mut plan.after.troubles);
    for trouble in seen.troubles.iter().filter(|one| is_for(target, one)) {
        let place = left.iter().position(|one| one.is(&trouble.subject, trouble.sort));
        let old = place.map(|place| left.swap_remove(place));
        let (one, news) = decide(trouble, old, rules, now);
        plan.after.troubles.push(one);
        plan.news.extend(news);
    }
    for mut one in left {
        let Some((subject, sort)) = one.meaning() else { continue };
        let is_held = held_back(&one, rules, now);
        if seen.unknown.contains(&subject) {
            plan.after.troubles.push(one);
        } else if seen.looked.contains(&subject) {
            if one.is_open {
                plan.over.push(Over { subject, sort, since: one.since });
            }
            one.is_open = false;
            // Remembered for as long as it would be held back if it came again.
            if is_held {
                plan.after.troubles.push(one);
            }
        }
    }
    plan.news.sort_by(|a, b| {
        (a.trouble.sort, &a.trouble.subject).cmp(&(b.trouble.sort, &b.trouble.subject))
    });
    plan.over.sort_by(|a, b| (a.sort, &a.subject).cmp(&(b.sort, &b.subject)));
    plan.after.troubles.sort();
    let boundary = boundary(target.digest, rules.digest_hour, now);
    match (boundary, before.digest) {
        (None, _) => plan.after.digest = None,
        // Whoever is new gets the first one when the next one is due.
        (Some(_), None) => plan.after.digest = Some(now.seconds),
        (Some(boundary), Some(last)) => {
            // A clock that was ahead must not hold summaries back for ever.
            let last = Timestamp::from_seconds(last.min(now.seconds)).local();
            plan.digest = last < boundary;
            if plan.digest {
                plan.after.digest = Some(now.seconds);
            }
        }
    }
    plan
}

fn decide(
    trouble: &Trouble,
    old: Option<ToldOne>,
    rules: &NotifyRules,
    now: Timestamp,
) -> (ToldOne, Option<News>) {
    let is_red = trouble.light == Light::Red;
    let news = |since, is_again| News { trouble: trouble.clone(), since, is_again };
    let Some(old) = old else {
        let one = ToldOne::new(&trouble.subject, trouble.sort, now.seconds, is_red);
        return (one, Some(news(now.seconds, false)));
    };
    let is_worse = is_red && !old.is_red;
    if held_back(&old, rules, now) && !is_worse {
        return (old, None);
    }
    let since = if old.is_open { old.since.min(now.seconds) } else { now.seconds };
    let one = ToldOne { since, told: now.seconds, is_red, is_open: true, ..old.clone() };
    (one, Some(news(since, old.is_open)))
}

/// Whether it was told so short a time ago that it is not told again.
fn held_back(one: &ToldOne, rules: &NotifyRules, now: Timestamp) -> bool {
    // Told in the future: the clock was ahead.
    (0..rules.again_seconds).contains(&now.seconds.saturating_sub(one.told))
}

/// When the latest summary was due, in local time.
fn boundary(digest: Digest, hour: i8, now: Timestamp) -> Option<jiff::civil::DateTime> {
    let local = now.local();
    let days_back = match digest {
        Digest::Never => return None,
        Digest::Daily => 0,
        Digest::Weekly => i64::from(local.date().weekday().to_monday_zero_offset()),
    };
    let step = if digest == Digest::Weekly { 7 } else { 1 };
    let at = |days: i64| {
        let date = local.date().checked_sub(jiff::Span::new().days(days)).ok()?;
        Some(date.at(hour, 0, 0, 0))
    };
    let latest = at(days_back)?;
    if latest <= local { Some(latest) } else { at(days_back + step) }
}

#[cfg(test)]
mod tests {
    use super::super::target::Way;
    use super::*;
    use crate::hestia::UserName;
    use proptest::prelude::*;

    const HOUR: i64 = 3600;
    const START: i64 = 1_796_000_000;

    fn user(name: &str) -> Subject {
        Subject::User(UserName::parse(name).unwrap())
    }

    fn admin() -> Target {
        let way = Way::Mail("ops@a.example".into());
        Target { name: "mail ops".into(), of: None, way, digest: Digest::Never }
    }

    fn trouble(subject: Subject, sort: Sort, light: Light) -> Trouble {
        let own = matches!(subject, Subject::User(_)).then(|| "own".to_owned());
        Trouble { subject, sort, light, own, full: "full".into() }
    }

    fn late(name: &str, light: Light) -> Trouble {
        trouble(user(name), Sort::Late, light)
    }

    fn seen(troubles: Vec<Trouble>) -> Seen {
        let looked = ["alice", "bob", "carol"].map(user).into_iter();
        let looked = looked.chain([Subject::Repository("box".into())]).collect();
        Seen { troubles, looked, ..Seen::default() }
    }

    /// Whatever is told at these hours, one word each.
    fn story(target: &Target, steps: Vec<(i64, Seen)>) -> Vec<String> {
        let rules = NotifyRules::default();
        let mut told = Told::default();
        let mut said = Vec::new();
        for (hour, seen) in steps {
            let now = Timestamp::from_seconds(START + hour * HOUR);
            let plan = plan(target, &seen, &told, &rules, now);
            let news = plan.news.iter().map(|one| {
                let again = if one.is_again { "still " } else { "" };
                format!("{hour}: {again}{} {}", one.trouble.subject, one.trouble.light.word())
            });
            said.extend(news);
            said.extend(plan.over.iter().map(|one| format!("{hour}: over {}", one.subject)));
            told = plan.after;
        }
        said
    }

    #[test]
    fn the_same_is_told_once_and_again_after_a_day_and_when_it_is_over() {
        let wrong = || seen(vec![late("alice", Light::Yellow)]);
        let said = story(
            &admin(),
            vec![
                (0, wrong()),
                (1, wrong()),
                (23, wrong()),
                (24, wrong()),
                (30, seen(vec![])),
                (31, seen(vec![])),
            ],
        );
        assert_eq!(said, ["0: alice yellow", "24: still alice yellow", "30: over alice"]);
    }

    #[test]
    fn what_gets_worse_is_told_at_once() {
        let said = story(
            &admin(),
            vec![
                (0, seen(vec![late("alice", Light::Yellow)])),
                (1, seen(vec![late("alice", Light::Red)])),
                (2, seen(vec![late("alice", Light::Yellow)])),
                (3, seen(vec![late("alice", Light::Red)])),
            ],
        );
        assert_eq!(said, ["0: alice yellow", "1: still alice red"]);
    }

    #[test]
    fn what_comes_and_goes_is_not_told_at_each_turn() {
        let (wrong, well) = (|| seen(vec![late("alice", Light::Red)]), || seen(vec![]));
        let mut steps = Vec::new();
        for hour in 0..12 {
            steps.push((hour, if hour % 2 == 0 { wrong() } else { well() }));
        }
        steps.extend([(30, wrong()), (31, well())]);
        let said = story(&admin(), steps);
        assert_eq!(said, ["0: alice red", "1: over alice", "30: alice red", "31: over alice"]);
    }

    #[test]
    fn what_nobody_could_look_at_is_neither_told_nor_over() {
        let mut nobody_knows = seen(vec![]);
        nobody_knows.looked.remove(&user("alice"));
        nobody_knows.unknown.insert(user("alice"));
        let mut deleted = seen(vec![]);
        deleted.looked.remove(&user("alice"));
        let wrong = || seen(vec![late("alice", Light::Red)]);
        let steps = vec![
            (0, wrong()),
            (30, nobody_knows),
            (31, wrong()),
            (32, deleted),
            (33, seen(vec![])),
        ];
        assert_eq!(story(&admin(), steps), ["0: alice red", "31: still alice red"]);
    }

    #[test]
    fn a_customer_is_told_what_is_theirs_and_no_more() {
        let alice = Target { of: UserName::parse("alice").ok(), ..admin() };
        let hidden = Trouble { own: None, ..trouble(user("alice"), Sort::Check, Light::Red) };
        let repository = trouble(Subject::Repository("box".into()), Sort::Unreadable, Light::Red);
        let all = vec![late("alice", Light::Red), late("bob", Light::Red), hidden, repository];
        assert_eq!(story(&alice, vec![(0, seen(all.clone()))]), ["0: alice red"]);
        assert_eq!(story(&admin(), vec![(0, seen(all))]).len(), 4);
    }

    #[test]
    fn nobody_is_told_of_themselves_that_they_cannot_be_told() {
        let mine = trouble(Subject::Receiver("mail ops".into()), Sort::Undelivered, Light::Yellow);
        let other =
            trouble(Subject::Receiver("webhook x".into()), Sort::Undelivered, Light::Yellow);
        let said = story(&admin(), vec![(0, seen(vec![mine, other]))]);
        assert_eq!(said, ["0: notifications to webhook x yellow"]);
    }

    #[test]
    fn a_clock_that_was_ahead_holds_nothing_back_for_ever() {
        let wrong = || seen(vec![late("alice", Light::Red)]);
        let said = story(&admin(), vec![(9000, wrong()), (0, wrong()), (1, wrong())]);
        assert_eq!(said, ["9000: alice red", "0: still alice red"]);
    }

    fn summaries(digest: Digest, hours: impl Iterator<Item = i64>) -> Vec<String> {
        let target = Target { digest, ..admin() };
        let (mut told, mut due) = (Told::default(), Vec::new());
        for hour in hours {
            let now = Timestamp::from_seconds(START + hour * HOUR);
            let plan = plan(&target, &seen(vec![]), &told, &NotifyRules::default(), now);
            if plan.digest {
                due.push(now.local().strftime("%a %H").to_string());
            }
            told = plan.after;
        }
        due
    }

    #[test]
    fn summaries_come_at_their_hour_once() {
        assert_eq!(summaries(Digest::Never, 0..200), [""; 0]);
        let daily = summaries(Digest::Daily, 0..72);
        assert_eq!(daily.len(), 3);
        assert!(daily.iter().all(|one| one.ends_with(" 08")), "{daily:?}");
        assert_eq!(summaries(Digest::Weekly, 0..21 * 24), ["Mon 08"; 3]);
        // A machine that was off sends one, late.
        assert_eq!(summaries(Digest::Daily, [0, 100, 101].into_iter()).len(), 1);
    }

    fn any_light() -> impl Strategy<Value = Option<Light>> {
        prop_oneof![Just(None), Just(Some(Light::Yellow)), Just(Some(Light::Red))]
    }

    proptest! {
        /// Whatever happens: within a day nothing of the same light is told twice, an end is told
        /// only after a beginning, and a beginning is never told as new over an open one.
        #[test]
        fn no_story_tells_the_same_twice(
            lights in proptest::collection::vec(any_light(), 1..60),
            minutes in proptest::collection::vec(1i64..600, 60),
        ) {
            let (rules, target) = (NotifyRules::default(), admin());
            let (mut told, mut now) = (Told::default(), START);
            let (mut last, mut open): (Option<(i64, Light)>, bool) = (None, false);
            for (light, minutes) in lights.into_iter().zip(minutes) {
                now += minutes * 60;
                let all = seen(light.map(|light| late("alice", light)).into_iter().collect());
                let plan = plan(&target, &all, &told, &rules, Timestamp::from_seconds(now));
                prop_assert!(plan.news.len() + plan.over.len() <= 1);
                for one in &plan.news {
                    if let Some((when, before)) = last {
                        prop_assert!(now - when >= 24 * HOUR || one.trouble.light > before);
                    }
                    prop_assert_eq!(one.is_again, open);
                    last = Some((now, one.trouble.light));
                    open = true;
                }
                if !plan.over.is_empty() {
                    prop_assert!(open && light.is_none());
                    open = false;
                }
                prop_assert!(light.is_some() || !open, "an end is always told");
                // The same look once more says nothing.
                told = plan.after;
                let again = super::plan(&target, &all, &told, &rules, Timestamp::from_seconds(now));
                prop_assert!(again.is_empty());
                prop_assert_eq!(&again.after, &told);
            }
        }
    }
}
