// SPDX-License-Identifier: MIT
//! Signatures (Ed25519, RFC 8032) of the history of a repository: whoever writes there has a key of
//! its own, so that others who can open the repository cannot write in its name.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// What is signed begins with this: a signature says nothing anywhere else.
const CONTEXT: &[u8] = b"ghostsnap v1 history entry";

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Whoever writes into a repository, by its public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriterId(pub [u8; 32]);

impl WriterId {
    /// Takes 32 bytes; `None` for any other number.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Whether this writer has signed these bytes, for this repository.
    pub fn has_signed(&self, repository: &[u8; 32], bytes: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        key.verify_strict(&signed(repository, bytes), &signature).is_ok()
    }

    /// Its first eight digits, as people see it.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

impl std::fmt::Display for WriterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The private key of a writer. It never leaves its machine.
pub struct WriterKey(SigningKey);

impl WriterKey {
    /// That of 32 random bytes.
    pub fn new(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Whose it is.
    pub fn writer(&self) -> WriterId {
        WriterId(self.0.verifying_key().to_bytes())
    }

    /// Signs bytes for a repository.
    pub fn sign(&self, repository: &[u8; 32], bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&signed(repository, bytes)).to_bytes()
    }
}

fn signed(repository: &[u8; 32], bytes: &[u8]) -> Vec<u8> {
    [CONTEXT, repository.as_slice(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_writer_one_repository_and_these_bytes() {
        let key = WriterKey::new(&Zeroizing::new([1; 32]));
        let other = WriterKey::new(&Zeroizing::new([2; 32]));
        let signature = key.sign(&[9; 32], b"entry");
        let writer = key.writer();
        assert!(writer.has_signed(&[9; 32], b"entry", &signature));
        assert!(!writer.has_signed(&[8; 32], b"entry", &signature));
        assert!(!writer.has_signed(&[9; 32], b"entrx", &signature));
        assert!(!other.writer().has_signed(&[9; 32], b"entry", &signature));
        assert!(!writer.has_signed(&[9; 32], b"entry", &signature[1..]));
        // Not a point of the curve, and a weak key that would verify anything.
        assert!(!WriterId([2; 32]).has_signed(&[9; 32], b"entry", &signature));
        assert!(!WriterId([0; 32]).has_signed(&[9; 32], b"entry", &signature));
    }
}
