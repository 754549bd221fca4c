// SPDX-License-Identifier: MIT
//! The key of a recovery kit: a key file that a person can type from paper. Each line has a check
//! of its own, so that a mistyped one is named.

use super::keyslot::Secret;
use crate::base::{Error, Kind, Result};
use zeroize::Zeroizing;

/// First line of a recovery kit.
pub const FIRST_LINE: &str = "GHOSTSNAP RECOVERY KIT v1";

/// Lines that the key is written in.
const LINES: usize = 4;

/// Bytes of the key in a line.
const LINE_BYTES: usize = 8;

/// The key as lines: number, four groups of four digits, check.
pub fn key_lines(key: &[u8; 32]) -> Vec<Zeroizing<String>> {
    let lines = key.chunks(LINE_BYTES).zip(1..);
    lines
        .map(|(bytes, number)| {
            let mut line = Zeroizing::new(format!("{number}:"));
            for pair in bytes.chunks(2) {
                line.push(' ');
                for byte in pair {
                    line.push_str(&format!("{byte:02x}"));
                }
            }
            line.push_str(&format!("  {}", check(number, bytes)));
            line
        })
        .collect()
}

/// Two digits that a slip of the fingers changes.
fn check(number: usize, bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("ghostsnap v1 recovery kit line");
    hasher.update(&number.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize().to_hex().chars().take(2).collect()
}

/// Reads the key out of the text of a kit. Lines that are not of the key are passed over; those
/// that are may have their spaces and capitals anywhere.
pub fn read(text: &str) -> Result<Secret> {
    let wrong = |why: String| Error::new(Kind::Password, "read the recovery kit").why(why);
    let mut key = Zeroizing::new([0; LINES * LINE_BYTES]);
    for (number, slot) in (1..).zip(key.chunks_mut(LINE_BYTES)) {
        let start = format!("{number}:");
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(&start));
        let line = line.ok_or_else(|| wrong(format!("line {start} of the key is missing")))?;
        let digits: Zeroizing<String> = Zeroizing::new(
            line.chars().filter(|one| !one.is_whitespace()).flat_map(char::to_lowercase).collect(),
        );
        let mistyped = || wrong(format!("line {start} of the key is mistyped"));
        let (bytes, given) = digits.split_at_checked(2 * LINE_BYTES).ok_or_else(mistyped)?;
        for (at, byte) in slot.iter_mut().enumerate() {
            let pair = bytes.get(2 * at..2 * at + 2).ok_or_else(mistyped)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| mistyped())?;
        }
        if given != check(number, slot) || bytes.contains('+') {
            return Err(mistyped());
        }
    }
    Ok(Secret::KeyFile(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kit(key: &[u8; 32]) -> String {
        let lines: Vec<String> = key_lines(key).iter().map(|line| line.to_string()).collect();
        format!("{FIRST_LINE}\n\nsome words\n  {}\nmore words", lines.join("\n  "))
    }

    fn key() -> [u8; 32] {
        *blake3::hash(b"a key").as_bytes()
    }

    fn read_key(text: &str) -> [u8; 32] {
        match Secret::from_file_text(text).unwrap() {
            Secret::KeyFile(key) => *key,
            Secret::Password(_) => panic!("a password"),
        }
    }

    #[test]
    fn a_typed_kit_gives_the_key_however_it_is_spaced() {
        assert_eq!(read_key(&kit(&key())), key());
        let upper = kit(&key()).to_uppercase();
        assert_eq!(read_key(&upper.replace("  ", " ")), key());
        let bare: Vec<String> =
            key_lines(&key()).iter().map(|line| line.replace(' ', "")).collect();
        assert_eq!(read_key(&format!("{FIRST_LINE}\r\n{}\r\n", bare.join("\r\n"))), key());
    }

    #[test]
    fn every_slip_of_the_fingers_is_found_and_its_line_named() {
        let good = kit(&key());
        let mut found = 0;
        let mut tried = 0;
        let start = good.find("1:").unwrap();
        for (at, one) in good.char_indices().filter(|(at, _)| *at > start) {
            if !one.is_ascii_hexdigit() || at > good.find("more").unwrap() {
                continue;
            }
            let other = if one == '0' { "1" } else { "0" };
            let mut bad = good.clone();
            bad.replace_range(at..=at, other);
            tried += 1;
            found += usize::from(Secret::from_file_text(&bad).is_err());
        }
        // Two digits of check: one slip in 256 gets through, and opens nothing then.
        assert!(tried > 70 && found >= tried - 3, "{found} of {tried}");
        let swapped = good.replace("2:", "9:").replace("3:", "2:").replace("9:", "3:");
        let error = Secret::from_file_text(&swapped).unwrap_err().to_string();
        assert!(error.contains("line 2: of the key is mistyped"), "{error}");
        let cut = good.split("4:").next().unwrap();
        let error = Secret::from_file_text(cut).unwrap_err().to_string();
        assert!(error.contains("line 4: of the key is missing"), "{error}");
    }

    #[test]
    fn whatever_a_file_holds_there_is_an_answer() {
        for text in ["1:", "1: ü", "1: +1+1+1+1+1+1+1+1 00\n2:", "1:\n2:\n3:\n4:", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
