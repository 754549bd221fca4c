// SPDX-License-Identifier: MIT
//! Passwords into keys: Argon2id (RFC 9106) with the parameters stored beside the salt. The floor
//! keeps a weak slot from being made, the ceiling keeps a crafted slot from eating the machine.

use crate::base::{Error, Kind, Result};
use zeroize::Zeroizing;

/// Cost of one password guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl KdfParams {
    /// The second recommended choice of RFC 9106 (64 MiB, 3 passes, 4 lanes): fits a small server.
    pub const STANDARD: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// The weakest slot we make or open.
    pub const FLOOR: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    /// The dearest slot we open: 4 GiB and 64 passes.
    pub const CEILING: Self = Self { memory_kib: 4 * 1024 * 1024, passes: 64, lanes: 64 };

    /// Refuses parameters outside floor and ceiling.
    pub fn check(self) -> Result<()> {
        let weak = self.memory_kib < Self::FLOOR.memory_kib
            || self.passes < Self::FLOOR.passes
            || self.lanes < Self::FLOOR.lanes;
        let absurd = self.memory_kib > Self::CEILING.memory_kib
            || self.passes > Self::CEILING.passes
            || self.lanes > Self::CEILING.lanes;
        if weak || absurd {
            return Err(Error::new(Kind::Damaged, "use the key slot's Argon2 parameters").why(
                format!(
                    "{} KiB, {} passes, {} lanes are {} than this program allows",
                    self.memory_kib,
                    self.passes,
                    self.lanes,
                    if weak { "weaker" } else { "dearer" },
                ),
            ));
        }
        Ok(())
    }

    /// Derives the key-encryption key of a slot from a password.
    pub fn derive(self, password: &[u8], salt: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>> {
        self.check()?;
        let failed = |cause: argon2::Error| {
            Error::new(Kind::Internal, "derive a key from the password").why(cause.to_string())
        };
        let params = argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(failed)?;
        let argon =
            argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        argon.hash_password_into(password, salt, key.as_mut()).map_err(failed)?;
        Ok(key)
    }
}

/// Derives the key-encryption key of a slot from a random key file of full entropy: no stretching
/// is needed, so a nightly job pays neither memory nor time.
pub fn derive_from_key_file(secret: &[u8; 32], salt: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key("ghostsnap v1 key file slot");
    hasher.update(secret);
    hasher.update(salt);
    Zeroizing::new(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_absurd_parameters_are_refused_before_any_memory_is_taken() {
        for params in [
            KdfParams { memory_kib: 1024, ..KdfParams::STANDARD },
            KdfParams { passes: 1, ..KdfParams::STANDARD },
            KdfParams { lanes: 0, ..KdfParams::STANDARD },
            KdfParams { memory_kib: u32::MAX, ..KdfParams::STANDARD },
            KdfParams { passes: u32::MAX, ..KdfParams::STANDARD },
        ] {
            assert_eq!(params.derive(b"x", &[0; 32]).unwrap_err().kind(), Kind::Damaged);
        }
    }

    #[test]
    fn salt_and_password_both_matter() {
        let key = |password: &[u8], salt| *KdfParams::FLOOR.derive(password, &[salt; 32]).unwrap();
        assert_ne!(key(b"a", 1), key(b"b", 1));
        assert_ne!(key(b"a", 1), key(b"a", 2));
    }
}
