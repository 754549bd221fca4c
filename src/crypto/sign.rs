// SPDX-License-Identifier: MIT
//! Signatures (Ed25519, RFC 8032). Of the history of a repository: whoever writes there has a key
//! of its own, so that others who can open the repository cannot write in its name. And of its
//! index, by those who have the master key: whoever can only add cannot say in their name what
//! counts.

use super::keys::MasterKey;
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

/// What begins all that an authority signs.
const AUTHORITY_CONTEXT: &[u8] = b"ghostsnap v1 index authority proof";

/// Signs index segments in the name of those who have an epoch's master key.
#[derive(Clone)]
pub(super) struct Authority(SigningKey);

impl Authority {
    /// That of an epoch's master key.
    pub(super) fn of(master: &MasterKey) -> Self {
        let context = "ghostsnap v1 index authority";
        let seed = Zeroizing::new(blake3::derive_key(context, master.expose()));
        Self(SigningKey::from_bytes(&seed))
    }

    /// What its proofs are compared with.
    pub(super) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The proof for a record in a file with this salt.
    pub(super) fn prove(&self, salt: &[u8; 32], record: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&claimed(salt, record)).to_bytes()
    }

    /// The proof for the file of a key slot.
    pub(super) fn prove_slot(&self, slot: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&[SLOT_CONTEXT, slot].concat()).to_bytes()
    }
}

/// What begins the proof of a key slot.
const SLOT_CONTEXT: &[u8] = b"ghostsnap v1 key slot proof";

/// Whether the authority with this public key has made the file of a key slot.
pub(super) fn is_slot_proof(
    authority: &[u8; 32],
    slot: &[u8],
    proof: &[u8; SIGNATURE_BYTES],
) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(authority) else { return false };
    let claimed = [SLOT_CONTEXT, slot].concat();
    key.verify_strict(&claimed, &Signature::from_bytes(proof)).is_ok()
}

/// Whether the authority with this public key has proven a record.
pub(super) fn is_proof(
    authority: &[u8; 32],
    salt: &[u8; 32],
    record: &[u8],
    proof: &[u8; SIGNATURE_BYTES],
) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(authority) else { return false };
    key.verify_strict(&claimed(salt, record), &Signature::from_bytes(proof)).is_ok()
}

/// A record may be large, and a signature reads it twice: so its hash is signed.
fn claimed(salt: &[u8; 32], record: &[u8]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(salt);
    hasher.update(record);
    [AUTHORITY_CONTEXT, hasher.finalize().as_bytes()].concat()
}

fn signed(repository: &[u8; 32], bytes: &[u8]) -> Vec<u8> {
    [CONTEXT, repository.as_slice(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_authority_one_file_and_these_bytes() {
        let authority = |seed| Authority::of(&MasterKey::new([seed; 32]));
        let proof = authority(1).prove(&[9; 32], b"record");
        let holds = |seed, salt, record: &[u8]| {
            is_proof(&authority(seed).public(), &[salt; 32], record, &proof)
        };
        assert!(holds(1, 9, b"record"));
        assert!(!holds(2, 9, b"record") && !holds(1, 8, b"record") && !holds(1, 9, b"recorx"));
        assert!(!is_proof(&[0; 32], &[9; 32], b"record", &proof));
    }

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
