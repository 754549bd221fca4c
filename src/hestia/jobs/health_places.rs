// SPDX-License-Identifier: MIT
//! How well a repository is: a light by what its last check found, and how long ago that was.

use super::health::Light;
use crate::base::Timestamp;
use crate::hestia::records::{Tended, noted_time};
use crate::hestia::settings::Settings;

/// What a check came to.
pub const DAMAGED: &str = "damaged";

/// The light of a repository that can be read, and why it is not green.
pub fn light(settings: &Settings, check: Option<&Tended>, now: Timestamp) -> (Light, String) {
    let day = |time: i64| Timestamp::from_seconds(time).local().date();
    if let Some(check) = check {
        if check.result == DAMAGED {
            let why = format!("the check of {} found damage: {}", day(check.time), check.reason);
            return (Light::Red, why);
        }
        if let Some(time) = check.damage {
            let why = format!(
                "the check of {} found damage, and no check with --read-data has found all whole since",
                day(time)
            );
            return (Light::Red, why);
        }
        if check.result == "failed" {
            let why = format!("the check of {} failed: {}", day(check.time), check.reason);
            return (Light::Yellow, why);
        }
    }
    let most = i64::from(settings.check_days);
    match check {
        _ if most == 0 => (Light::Green, String::new()),
        None => (Light::Yellow, "it was never checked from here".to_owned()),
        Some(check) => {
            let days = now.seconds.saturating_sub(check.time).max(0) / 86_400;
            if days >= most {
                return (Light::Yellow, format!("the last check is {days} days old"));
            }
            (Light::Green, String::new())
        }
    }
}

/// What is noted of a check. `before` is the one before it: what that found stays until a check
/// that read everything has found it gone, as one that reads less does not look there.
pub fn note_of_check(
    before: Option<&Tended>,
    done: Tended,
    read_everything: bool,
    now: Timestamp,
) -> Tended {
    let older = before.and_then(|before| before.damage);
    let damage = match done.result.as_str() {
        DAMAGED => older.or(Some(noted_time(now))),
        "succeeded" if read_everything => None,
        _ => older,
    };
    Tended { damage, time: noted_time(now), ..done }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn check(before: Option<&Tended>, result: &str, everything: bool, day: i64) -> Tended {
        let done = Tended { result: result.into(), reason: "x".into(), ..Tended::default() };
        note_of_check(before, done, everything, Timestamp::from_seconds(day * DAY))
    }

    fn seen(check: Option<&Tended>, check_days: u16, day: i64) -> Light {
        let settings = Settings { check_days, ..Settings::default() };
        let (light, why) = light(&settings, check, Timestamp::from_seconds(day * DAY));
        assert_eq!(why.is_empty(), light == Light::Green, "{why}");
        light
    }

    #[test]
    fn damage_stays_red_until_everything_was_read_and_found_whole() {
        let first = check(None, DAMAGED, true, 1);
        assert_eq!(seen(Some(&first), 0, 1), Light::Red);
        let structure = check(Some(&first), "succeeded", false, 2);
        assert_eq!(seen(Some(&structure), 0, 2), Light::Red);
        let broken_off = check(Some(&structure), "failed", true, 3);
        assert_eq!(seen(Some(&broken_off), 0, 3), Light::Red);
        let all = check(Some(&broken_off), "succeeded", true, 4);
        assert_eq!((seen(Some(&all), 0, 4), all.time), (Light::Green, 4 * DAY));
    }

    #[test]
    fn a_check_that_is_too_old_or_failed_is_yellow() {
        assert_eq!((seen(None, 0, 9), seen(None, 7, 9)), (Light::Green, Light::Yellow));
        let sound = check(None, "succeeded", false, 1);
        assert_eq!(seen(Some(&sound), 7, 7), Light::Green);
        assert_eq!(seen(Some(&sound), 7, 8), Light::Yellow);
        assert_eq!(seen(Some(&sound), 0, 800), Light::Green);
        assert_eq!(seen(Some(&check(Some(&sound), "failed", true, 2)), 0, 2), Light::Yellow);
    }
}
