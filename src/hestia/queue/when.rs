// SPDX-License-Identifier: MIT
//! When a schedule is due: a cron expression of five fields, or `hourly`, `daily 02:30`,
//! `weekly sun 03:00`, `monthly 1 04:00`. Times are those of this machine's zone: one that the
//! clock leaves out in spring comes an hour later, one that it shows twice in autumn comes once.

use crate::base::{Error, Kind, Result, Timestamp, limits};
use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};
use jiff::ToSpan;
use jiff::tz::TimeZone;

/// When something is due, again and again.
#[derive(Debug, Clone)]
pub struct When {
    text: String,
    /// On a calendar without a zone: what the clock of a zone leaves out or shows twice is decided
    /// here, as the crate would leave out a night in spring.
    crontab: Crontab,
    is_cron: bool,
}

impl PartialEq for When {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for When {}

impl When {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self> {
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_ascii_whitespace().collect();
        let clock = |time: &str| {
            let (hour, minute) = time.split_once(':')?;
            let is_time = hour.len() <= 2 && minute.len() == 2;
            is_time.then(|| format!("{minute} {hour}"))
        };
        let fields = match words.as_slice() {
            ["hourly"] => Some("0 * * * *".to_owned()),
            ["daily", time] => clock(time).map(|clock| format!("{clock} * * *")),
            ["weekly", day, time] => clock(time).map(|clock| format!("{clock} * * {day}")),
            ["monthly", day, time] => clock(time).map(|clock| format!("{clock} {day} * *")),
            [_, _, _, _, _] => Some(words.join(" ")),
            _ => None,
        };
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = fields.and_then(|fields| parse_crontab_with(&fields, options).ok());
        let crontab = crontab.ok_or_else(|| {
            refused(
                text,
                "write `daily 02:30`, `weekly sun 03:00`, \
            `monthly 1 04:00`, `hourly`, or the five fields of cron",
            )
        })?;
        let when = Self { text: text.to_owned(), crontab, is_cron: words.len() == 5 };
        if when.next(Timestamp::from_seconds(0), &TimeZone::UTC).is_none() {
            return Err(refused(text, "there is no such day"));
        }
        Ok(when)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it was written as cron has it: whoever does that means the minute.
    pub fn is_cron(&self) -> bool {
        self.is_cron
    }

    /// The first time after this one at which it is due.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_second(after.seconds).ok()?;
        // The clock may have been set: the hours before may still have something to give.
        let from = zone.to_datetime(after).checked_sub(3.hours()).ok()?;
        let mut shown = TimeZone::UTC.to_timestamp(from).ok()?;
        for _ in 0..limits::SCHEDULE_TIMES_SEARCHED {
            shown = self.crontab.find_next(MakeTimestamp(shown)).ok()?.timestamp();
            let time = TimeZone::UTC.to_datetime(shown);
            let due = zone.to_ambiguous_timestamp(time).compatible().ok()?;
            if due > after {
                return Some(Timestamp::from_seconds(due.as_second()));
            }
        }
        None
    }
}

fn refused(text: &str, why: &str) -> Error {
    let shown: String = text.escape_debug().take(80).collect();
    Error::new(Kind::Invalid, format!("take '{shown}' for a time")).why(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str, zone: &TimeZone) -> Timestamp {
        let time: jiff::civil::DateTime = text.parse().unwrap();
        Timestamp::from_seconds(zone.to_timestamp(time).unwrap().as_second())
    }

    fn next_in(when: &str, after: &str, zone: &TimeZone) -> String {
        let next = When::parse(when).unwrap().next(at(after, zone), zone).unwrap();
        let next = jiff::Timestamp::from_second(next.seconds).unwrap();
        zone.to_datetime(next).strftime("%a %Y-%m-%d %H:%M").to_string()
    }

    fn next(when: &str, after: &str) -> String {
        next_in(when, after, &TimeZone::UTC)
    }

    #[test]
    fn the_next_time_is_the_one_that_people_expect() {
        for (when, after, expected) in [
            ("daily 02:30", "2026-11-30T02:29:59", "Mon 2026-11-30 02:30"),
            ("daily 02:30", "2026-11-30T02:30", "Tue 2026-12-01 02:30"),
            ("daily 2:05", "2026-12-31T23:00", "Fri 2027-01-01 02:05"),
            ("weekly sun 03:00", "2026-11-30T00:00", "Sun 2026-12-06 03:00"),
            ("Weekly SUN 03:00", "2026-12-06T03:00", "Sun 2026-12-13 03:00"),
            ("monthly 31 04:00", "2026-11-30T00:00", "Thu 2026-12-31 04:00"),
            ("hourly", "2026-11-30T10:00", "Mon 2026-11-30 11:00"),
            ("*/15 * * * *", "2026-11-30T10:44:30", "Mon 2026-11-30 10:45"),
            ("0 22-23,0-2/2 * * *", "2026-11-30T23:00", "Tue 2026-12-01 00:00"),
            ("5/20 * * * *", "2026-11-30T10:06", "Mon 2026-11-30 10:25"),
            ("30 1 * * mon-fri", "2026-12-04T02:00", "Mon 2026-12-07 01:30"),
            ("0 0 29 2 *", "2026-11-30T00:00", "Tue 2028-02-29 00:00"),
            ("0 0 * jan 7", "2026-11-30T00:00", "Sun 2027-01-03 00:00"),
            // Either the first or a Monday.
            ("0 5 1 * 1", "2026-12-01T05:00", "Mon 2026-12-07 05:00"),
            ("0 5 1 * 1", "2026-12-28T05:00", "Fri 2027-01-01 05:00"),
        ] {
            assert_eq!(next(when, after), expected, "{when} after {after}");
        }
    }

    #[test]
    fn a_clock_that_is_set_loses_no_night_and_doubles_none() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let next = |when: &str, after: &str| next_in(when, after, &zone);
        // At two it is three.
        assert_eq!(next("daily 02:30", "2026-03-28T12:00"), "Sun 2026-03-29 03:30");
        assert_eq!(next("daily 02:30", "2026-03-29T03:30"), "Mon 2026-03-30 02:30");
        // At three it is two again: the first half past two counts.
        assert_eq!(next("daily 02:30", "2026-10-24T12:00"), "Sun 2026-10-25 02:30");
        let when = When::parse("daily 02:30").unwrap();
        let first = when.next(at("2026-10-24T12:00", &zone), &zone).unwrap();
        let second = when.next(first, &zone).unwrap();
        assert_eq!(second.seconds - first.seconds, 25 * 3600);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "daily",
            "daily 24:00",
            "daily 2:5",
            "daily 02:60",
            "weekly 03:00",
            "weekly xyz 03:00",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "1,,2 * * * *",
            "-1 * * * *",
            "+1 * * * *",
            "a * * * *",
            "* * 31 2 *",
            "* * 30 feb *",
            "@daily",
            "monthly 32 01:00",
            "monthly 0 01:00",
        ] {
            assert_eq!(When::parse(text).unwrap_err().kind(), Kind::Invalid, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_next_time_fits_and_none_before_it_does(
            minute in 0_u8..60, hour in 0_u8..24, day in 1_u8..=28, weekday in 0_u8..7,
            start in 0_i64..4_000_000_000, shape in 0..4,
        ) {
            let text = match shape {
                0 => format!("{minute} {hour} * * *"),
                1 => format!("{minute} * {day} * *"),
                2 => format!("{minute} {hour} * * {weekday}"),
                _ => format!("{minute} {hour} {day} * {weekday}"),
            };
            let when = When::parse(&text).unwrap();
            let next = when.next(Timestamp::from_seconds(start), &TimeZone::UTC).unwrap();
            prop_assert!(next.seconds > start);
            let fits = |seconds: i64| {
                let time = Timestamp::from_seconds(seconds).utc();
                let on_day = time.day() == i8::try_from(day).unwrap();
                let on_weekday =
                    time.weekday().to_sunday_zero_offset() == i8::try_from(weekday).unwrap();
                let date = match shape {
                    0 => true,
                    1 => on_day,
                    2 => on_weekday,
                    _ => on_day || on_weekday,
                };
                let hour_fits = shape == 1 || time.hour() == i8::try_from(hour).unwrap();
                let minute_fits = time.minute() == i8::try_from(minute).unwrap();
                date && hour_fits && minute_fits && time.second() == 0
            };
            prop_assert!(fits(next.seconds));
            let first = (start / 60 + 1) * 60;
            prop_assert!((first..next.seconds).step_by(60).all(|seconds| !fits(seconds)));
        }
    }
}
