// SPDX-License-Identifier: MIT
//! Splits one line into words the way a person quotes them, without any of a shell's powers: no
//! variables, no globs, no pipes.

use crate::base::{Error, Kind, Result};

/// Splits at spaces; `'...'` and `"..."` keep them, a backslash keeps the next character (inside
/// double quotes only `"` and `\`).
pub fn split_words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => quoted(&mut letters, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut letters, '"', word.get_or_insert_default())?,
            '\\' => {
                let next = letters.next().ok_or_else(|| unfinished("a backslash ends it"))?;
                word.get_or_insert_default().push(next);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(letters: &mut std::str::Chars<'_>, end: char, word: &mut String) -> Result<()> {
    while let Some(letter) = letters.next() {
        if letter == end {
            return Ok(());
        }
        if letter != '\\' || end == '\'' {
            word.push(letter);
            continue;
        }
        match letters.next() {
            Some(next @ ('"' | '\\')) => word.push(next),
            Some(next) => word.extend(['\\', next]),
            None => break,
        }
    }
    Err(unfinished("a quote is not closed"))
}

fn unfinished(why: &str) -> Error {
    Error::new(Kind::Invalid, "split the command into words").why(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_split_as_a_person_means_them() {
        let words = split_words(r#"pass  show 'a b' "c \"d\" \x" e\ f '' "#).unwrap();
        assert_eq!(words, ["pass", "show", "a b", r#"c "d" \x"#, "e f", ""]);
        assert!(split_words("").unwrap().is_empty());
    }

    #[test]
    fn nothing_is_expanded() {
        assert_eq!(split_words("$HOME `id` *;|").unwrap(), ["$HOME", "`id`", "*;|"]);
    }

    #[test]
    fn an_unfinished_line_is_refused() {
        for line in ["'", "\"a", "a\\", "\"\\"] {
            assert_eq!(split_words(line).unwrap_err().kind(), Kind::Invalid, "{line}");
        }
    }

    proptest! {
        #[test]
        fn single_quotes_keep_everything(words in proptest::collection::vec("[^']{0,8}", 0..5)) {
            let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(split_words(&line.join(" ")).unwrap(), words);
        }
    }
}
