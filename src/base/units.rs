// SPDX-License-Identifier: MIT
//! Sizes, counts and times as people write and read them.

use super::error::{Error, Kind, Result};
use std::fmt;

/// A length as the 64-bit number that files and reports use.
pub fn bytes(length: usize) -> u64 {
    // usize has at most 64 bits on every platform Rust supports.
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A 64-bit length as a length in memory; saturates where memory could not hold it anyway.
pub fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A number of the kernel's as 64 bits: hard links, for one, have 64 on amd64 and 32 on arm64.
pub fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// A number of bytes that prints as `812.4 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// Parses `12`, `12K`, `12 MiB`, `1.5G`; units are powers of 1024.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(Kind::Invalid, format!("read '{}' as a size", text.escape_debug()))
                .why("a size is a number with an optional K, M, G or T")
        };
        let trimmed = text.trim();
        let split =
            trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let unit = unit.trim().to_ascii_uppercase();
        let factor = match unit.trim_end_matches('B').trim_end_matches('I') {
            "" => 1,
            "K" => 1 << 10,
            "M" => 1 << 20,
            "G" => 1 << 30,
            "T" => 1 << 40,
            _ => return Err(wrong()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let mut size = whole.checked_mul(factor).ok_or_else(wrong)?;
        let mut place: u64 = 1;
        for digit in fraction.chars() {
            place = place.checked_mul(10).ok_or_else(wrong)?;
            let digit = u64::from(digit.to_digit(10).ok_or_else(wrong)?);
            let part = digit.checked_mul(factor).ok_or_else(wrong)? / place;
            size = size.checked_add(part).ok_or_else(wrong)?;
        }
        Ok(Self(size))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) =
            UNITS.into_iter().find(|(_, factor)| self.0 >= *factor).unwrap_or(("B", 1));
        if factor == 1 {
            return f.pad(&format!("{} B", self.0));
        }
        let tenths = u128::from(self.0) * 10 / u128::from(factor);
        f.pad(&format!("{}.{} {unit}", tenths / 10, tenths % 10))
    }
}

/// A duration that prints as `1 h 02 min`, `3 min 04 s` or `5.6 s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub std::time::Duration);

impl Span {
    /// Parses `90s`, `30m`, `2h`, `1d`; at most a year.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(Kind::Invalid, format!("read '{}' as a time", text.escape_debug()))
                .why("a time is a number with s, m, h or d behind it, and at most a year")
        };
        let text = text.trim();
        let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(at);
        let factor = match unit.trim() {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        let seconds = seconds.filter(|seconds| (1..=366 * 86_400).contains(seconds));
        seconds.map(|seconds| Self(std::time::Duration::from_secs(seconds))).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds >= 3600 {
            f.pad(&format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60))
        } else if seconds >= 60 {
            f.pad(&format!("{} min {:02} s", seconds / 60, seconds % 60))
        } else {
            f.pad(&format!("{}.{} s", seconds, self.0.subsec_millis() / 100))
        }
    }
}

/// `part` of `whole` in percent with one decimal, as text; `whole` 0 gives `0.0`.
pub fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// `1 snapshot`, `2 snapshots`; for words that take a plain s.
pub fn number_of(number: u64, word: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {word}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_parse() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("2 h", 7200), ("366d", 31_622_400)] {
            assert_eq!(Span::parse(text).unwrap().0.as_secs(), seconds, "{text}");
        }
        for text in ["", "h", "2", "0h", "-1h", "1.5h", "2 weeks", "367d", "99999999999999999d"] {
            assert_eq!(Span::parse(text).unwrap_err().kind(), Kind::Invalid, "{text}");
        }
    }

    #[test]
    fn sizes_parse_and_print() {
        for (text, value) in [("12", 12), ("4K", 4096), ("1.5 GiB", 1_610_612_736), ("2m", 2 << 20)]
        {
            assert_eq!(ByteSize::parse(text).unwrap(), ByteSize(value), "{text}");
        }
        for text in ["", "x", "1.2.3", "5 parsecs", "-1", "99999999999T"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
        assert_eq!(ByteSize(1_610_612_736).to_string(), "1.5 GiB");
        assert_eq!(ByteSize(12).to_string(), "12 B");
    }

    #[test]
    fn a_share_of_nothing_is_zero() {
        assert_eq!(percent(1, 8), "12.5");
        assert_eq!(percent(0, 0), "0.0");
    }
}
