// SPDX-License-Identifier: MIT
//! Where in PostgreSQL's SQL strings, quoted names and comments begin and end, so that the text of
//! a customer is not taken for the dump's own words. Standard strings are meant, as pg_dump writes
//! them. A confused reading harms nobody but the dump's author.

use crate::base::limits;

/// Knows whether a place of PostgreSQL's SQL lies within a string, a quoted name or a comment.
#[derive(Default)]
pub(super) struct Lexer {
    state: State,
    /// The tag of the dollar quotes in hand, or what may become one.
    tag: Vec<u8>,
    /// How much of the closing tag has come.
    matched: usize,
    last: u8,
    before_last: u8,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    /// `'...'`; a backslash means something only after an E.
    Text {
        escapes: bool,
        escaped: bool,
    },
    Name,
    Line,
    /// After a `$` that may open a quote.
    Opening,
    Dollar,
}

impl Lexer {
    /// Whether a statement or comment may begin here.
    pub(super) fn is_outside(&self) -> bool {
        self.state == State::Outside
    }

    /// Reads on.
    pub(super) fn take(&mut self, text: &[u8]) {
        for byte in text {
            self.byte(*byte);
            self.before_last = self.last;
            self.last = *byte;
        }
    }

    fn byte(&mut self, byte: u8) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | 0x80..);
        match self.state {
            State::Outside => match byte {
                b'\'' => {
                    let escapes = matches!(self.last, b'E' | b'e') && !is_word(self.before_last);
                    self.state = State::Text { escapes, escaped: false };
                }
                b'"' => self.state = State::Name,
                b'-' if self.last == b'-' => self.state = State::Line,
                b'$' if !is_word(self.last) && self.last != b'$' => {
                    self.state = State::Opening;
                    self.tag.clear();
                    self.tag.push(b'$');
                }
                _ => {}
            },
            State::Text { escapes, escaped } => {
                // A doubled quote ends the text and begins it again, which comes to the same.
                self.state = match byte {
                    _ if escaped => State::Text { escapes, escaped: false },
                    b'\\' if escapes => State::Text { escapes, escaped: true },
                    b'\'' => State::Outside,
                    _ => self.state,
                };
            }
            State::Name if byte == b'"' => self.state = State::Outside,
            State::Line if byte == b'\n' => self.state = State::Outside,
            State::Name | State::Line => {}
            State::Opening => {
                self.tag.push(byte);
                if byte == b'$' {
                    self.state = State::Dollar;
                    self.matched = 0;
                } else if !is_word(byte) || self.tag.len() > limits::NAME_BYTES_MAX {
                    self.state = State::Outside;
                }
            }
            State::Dollar => {
                if self.tag.get(self.matched) == Some(&byte) {
                    self.matched += 1;
                } else {
                    self.matched = usize::from(byte == b'$');
                }
                if self.matched == self.tag.len() {
                    self.state = State::Outside;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(text: &str) -> bool {
        let mut lexer = Lexer::default();
        // In pieces, as a pipe would give it.
        text.as_bytes().chunks(3).for_each(|piece| lexer.take(piece));
        lexer.is_outside()
    }

    #[test]
    fn strings_names_and_comments_end_where_postgresql_ends_them() {
        for text in [
            "",
            "SELECT 'it''s';\n",
            "SELECT 'a\\';\n",
            "SELECT E'a\\'b';\n",
            "SELECT e'\\\\';\n",
            "SELECT \"a'b\"\"\";\n",
            "-- it's\n",
            "AS $$ it's $$;\n",
            "AS $x$ $$ $y$ ' $x$;\n",
            "SELECT $1, a$b, 5;\n",
            "SELECT $$a$b$$;\n",
            "SELECT 1 - 1;\n",
        ] {
            assert!(outside(text), "{text}");
        }
        for text in ["'a", "'a''", "E'a\\'", "\"a", "-- a", "$$ a $", "$x$ $$ $y$", "'\n-- Name: x"]
        {
            assert!(!outside(text), "{text}");
        }
    }
}
