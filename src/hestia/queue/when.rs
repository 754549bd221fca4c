// SPDX-License-Identifier: MIT
//! When a schedule is due: a cron expression of five fields, or `hourly`, `daily 02:30`,
//! `weekly sun 03:00`, `monthly 1 04:00`. Times are those of this machine's zone: one that the
//! clock leaves out in spring comes an hour later, one that it shows twice in autumn comes once.
//!
//! A crate was considered. Those that are kept well bring a second calendar beside the one that
//! this program has, for what are five sets of small numbers.

use crate::base::{Error, Kind, Result, Timestamp, limits};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::ops::RangeInclusive;

/// When something is due, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    text: String,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    is_cron: bool,
}

/// Small numbers, and whether it was written as all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set {
    bits: u64,
    is_all: bool,
}

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

impl When {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self> {
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_ascii_whitespace().collect();
        let clock = |time: &str| {
            let (hour, minute) = time.split_once(':')?;
            let is_time = hour.len() <= 2 && minute.len() == 2;
            is_time.then(|| (hour.to_owned(), minute.to_owned()))
        };
        let fields = match words.as_slice() {
            ["hourly"] => Some(["0", "*", "*", "*", "*"].map(str::to_owned)),
            ["daily", time] => clock(time).map(|(hour, minute)| {
                [minute, hour, "*".to_owned(), "*".to_owned(), "*".to_owned()]
            }),
            ["weekly", day, time] => clock(time).map(|(hour, minute)| {
                [minute, hour, "*".to_owned(), "*".to_owned(), (*day).to_owned()]
            }),
            ["monthly", day, time] => clock(time).map(|(hour, minute)| {
                [minute, hour, (*day).to_owned(), "*".to_owned(), "*".to_owned()]
            }),
            [minute, hour, day, month, weekday] => {
                Some([minute, hour, day, month, weekday].map(|field| (*field).to_owned()))
            }
            _ => None,
        };
        let is_cron = words.len() == 5;
        let read = fields.and_then(|fields| Self::of_fields(text, &fields, is_cron));
        let when = read.ok_or_else(|| {
            refused(
                text,
                "write `daily 02:30`, `weekly sun 03:00`, \
            `monthly 1 04:00`, `hourly`, or the five fields of cron",
            )
        })?;
        if when.next_date(jiff::civil::date(2024, 1, 1)).is_none() {
            return Err(refused(text, "there is no such day"));
        }
        Ok(when)
    }

    fn of_fields(text: &str, fields: &[String; 5], is_cron: bool) -> Option<Self> {
        let [minute, hour, day, month, weekday] = fields;
        let mut weekdays = Set::parse(weekday, 0..=7, &WEEKDAYS, 0)?;
        // Sunday has two numbers.
        if weekdays.has(7) {
            weekdays.bits |= 1;
        }
        Some(Self {
            text: text.to_owned(),
            minutes: Set::parse(minute, 0..=59, &[], 0)?,
            hours: Set::parse(hour, 0..=23, &[], 0)?,
            days: Set::parse(day, 1..=31, &[], 0)?,
            months: Set::parse(month, 1..=12, &MONTHS, 1)?,
            weekdays,
            is_cron,
        })
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
        // The clock may have been set back: the day before may still have something to give.
        let mut date = zone.to_datetime(after).date().yesterday().ok()?;
        for _ in 0..limits::SCHEDULE_DAYS_SEARCHED {
            date = self.next_date(date)?;
            for hour in self.hours.all() {
                for minute in self.minutes.all() {
                    let time = date.at(hour, minute, 0, 0);
                    let due = zone.to_ambiguous_timestamp(time).compatible().ok()?;
                    if due > after {
                        return Some(Timestamp::from_seconds(due.as_second()));
                    }
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The first day from this one on that fits.
    fn next_date(&self, from: Date) -> Option<Date> {
        let mut date = from;
        for _ in 0..limits::SCHEDULE_DAYS_SEARCHED {
            if self.fits(date) {
                return Some(date);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn fits(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        // As cron has it: where both are given, either will do.
        let both = !self.days.is_all && !self.weekdays.is_all;
        self.months.has(date.month()) && if both { day || weekday } else { day && weekday }
    }
}

impl Set {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| number < 64 && self.bits >> number & 1 == 1)
    }

    fn all(self) -> impl Iterator<Item = i8> {
        (0..60).filter(move |number| self.has(*number))
    }

    /// `*`, `5`, `1-5`, `*/15`, `10-40/10`, `mon`, and several of them with commas between.
    fn parse(text: &str, range: RangeInclusive<u32>, names: &[&str], first: u32) -> Option<Self> {
        let number = |word: &str| -> Option<u32> {
            let named = names.iter().position(|name| *name == word);
            let number = match named {
                Some(place) => u32::try_from(place).ok()? + first,
                None if word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit()) => {
                    word.parse().ok()?
                }
                None => return None,
            };
            range.contains(&number).then_some(number)
        };
        let mut bits = 0_u64;
        for part in text.split(',') {
            let (span, step) = match part.split_once('/') {
                Some((span, step)) => (span, step.parse::<usize>().ok().filter(|step| *step > 0)?),
                None => (part, 1),
            };
            let span = if span == "*" {
                range.clone()
            } else if let Some((from, to)) = span.split_once('-') {
                number(from)?..=number(to)?
            } else if part.contains('/') {
                return None;
            } else {
                number(span)?..=number(span)?
            };
            if span.is_empty() {
                return None;
            }
            for one in span.step_by(step) {
                bits |= 1 << one;
            }
        }
        Some(Self { bits, is_all: text == "*" })
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
            "5/2 * * * *",
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
