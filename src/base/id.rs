// SPDX-License-Identifier: MIT
//! One type per kind of identifier, so that a tree id can never be passed as a pack id. All are
//! 32 bytes, printed as 64 lower-case hexadecimal digits.

use super::error::{Error, Kind, Result};
use std::fmt;

/// Bytes in every identifier.
pub const ID_BYTES: usize = 32;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub [u8; ID_BYTES]);

        impl $name {
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
                &self.0
            }

            /// Takes exactly 32 bytes; `None` for any other length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                <[u8; ID_BYTES]>::try_from(bytes).ok().map(Self)
            }

            /// Parses 64 hexadecimal digits.
            pub fn parse(text: &str) -> Result<Self> {
                parse_hex(text).map(Self)
            }

            /// The first eight digits, for people.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
    };
}

id_type!(
    /// A chunk of file content or of a tree: keyed hash of its plain bytes.
    ChunkId
);
id_type!(
    /// A stored file of the repository: hash of its stored bytes. Packs, index segments,
    /// snapshots and key slots are all named like this.
    FileId
);

fn parse_hex(text: &str) -> Result<[u8; ID_BYTES]> {
    let wrong = || {
        Error::new(Kind::Invalid, format!("read '{}' as an id", text.escape_debug()))
            .why("an id is 64 hexadecimal digits")
    };
    let digits = text.as_bytes();
    if digits.len() != ID_BYTES * 2 {
        return Err(wrong());
    }
    let mut id = [0; ID_BYTES];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let text = std::str::from_utf8(pair).map_err(|_| wrong())?;
        if pair.iter().any(|digit| !matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        *byte = u8::from_str_radix(text, 16).map_err(|_| wrong())?;
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_and_parses_back() {
        let id = ChunkId([0xab; 32]);
        assert_eq!(ChunkId::parse(&id.to_string()).unwrap(), id);
        assert_eq!(id.short(), "abababab");
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in ["", "ab", &"AB".repeat(32), &"+1".repeat(32), &"zz".repeat(32)] {
            assert!(FileId::parse(text).is_err(), "{text}");
        }
    }
}
