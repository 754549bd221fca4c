// SPDX-License-Identifier: MIT
//! Sealing for somebody else (X25519, RFC 7748): whoever has only the public key of an epoch makes
//! files that only those who have its master key can open. Each file has an ephemeral key of its
//! own, whose public half stands in the place of the salt; whoever made the file can open it as
//! long as it remembers the file's key, and no longer.

use super::keys::{MasterKey, Purpose};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

const PRIVATE_CONTEXT: &str = "ghostsnap v1 deposit private key";
const FILE_CONTEXT: &str = "ghostsnap v1 deposit file key";

/// The key of one file.
pub(super) type FileKey = Zeroizing<[u8; 32]>;

/// What opens the deposits of an epoch.
#[derive(Clone)]
pub(super) struct DepositSecret {
    secret: StaticSecret,
    public: PublicKey,
}

impl DepositSecret {
    /// That of an epoch's master key.
    pub(super) fn of(master: &MasterKey) -> Self {
        let bytes = Zeroizing::new(blake3::derive_key(PRIVATE_CONTEXT, master.expose()));
        let secret = StaticSecret::from(*bytes);
        Self { public: PublicKey::from(&secret), secret }
    }

    /// What write-only keys hold.
    pub(super) fn public(&self) -> DepositPublic {
        DepositPublic(self.public)
    }

    /// The key of a file with this salt; `None` if the salt is a point that gives everybody the
    /// same key.
    pub(super) fn open(&self, purpose: Purpose, salt: &[u8; 32]) -> Option<FileKey> {
        let ephemeral = PublicKey::from(*salt);
        file_key(&self.secret.diffie_hellman(&ephemeral), purpose, salt, &self.public)
    }
}

/// What makes deposits of an epoch, and opens none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct DepositPublic(PublicKey);

impl DepositPublic {
    /// Takes a public key; `None` for one with which everybody could open everything.
    pub(super) fn new(bytes: [u8; 32]) -> Option<Self> {
        let public = PublicKey::from(bytes);
        let any = StaticSecret::from([1; 32]);
        any.diffie_hellman(&public).was_contributory().then_some(Self(public))
    }

    pub(super) fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The salt of a new file and its key, from 32 bytes that nobody knows or uses again. `None`
    /// for a purpose that has no deposits.
    pub(super) fn seal(&self, purpose: Purpose, random: &[u8; 32]) -> Option<([u8; 32], FileKey)> {
        let secret = StaticSecret::from(*random);
        let salt = PublicKey::from(&secret).to_bytes();
        let key = file_key(&secret.diffie_hellman(&self.0), purpose, &salt, &self.0)?;
        Some((salt, key))
    }
}

fn file_key(
    shared: &SharedSecret,
    purpose: Purpose,
    salt: &[u8; 32],
    public: &PublicKey,
) -> Option<FileKey> {
    let code = purpose.deposit_code().filter(|_| shared.was_contributory())?;
    let mut hasher = blake3::Hasher::new_derive_key(FILE_CONTEXT);
    hasher.update(shared.as_bytes());
    hasher.update(salt);
    hasher.update(public.as_bytes());
    hasher.update(&[code]);
    Some(Zeroizing::new(*hasher.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(seed: u8) -> DepositSecret {
        DepositSecret::of(&MasterKey::new([seed; 32]))
    }

    #[test]
    fn what_is_sealed_for_an_epoch_opens_with_its_master_key_only() {
        let public = secret(1).public();
        let (salt, key) = public.seal(Purpose::DataPack, &[7; 32]).unwrap();
        assert_eq!(secret(1).open(Purpose::DataPack, &salt).unwrap(), key);
        assert_ne!(secret(1).open(Purpose::MetaPack, &salt).unwrap(), key);
        assert_ne!(secret(2).open(Purpose::DataPack, &salt).unwrap(), key);
        let (other, second) = public.seal(Purpose::DataPack, &[8; 32]).unwrap();
        assert!(salt != other && key != second && salt != [7; 32]);
        assert!(DepositPublic::new(public.to_bytes()) == Some(public));
    }

    #[test]
    fn only_what_a_backup_writes_can_be_a_deposit() {
        let public = secret(1).public();
        for purpose in [Purpose::Index, Purpose::Config, Purpose::Lock, Purpose::History] {
            assert!(public.seal(purpose, &[7; 32]).is_none(), "{purpose:?}");
            assert!(secret(1).open(purpose, &public.to_bytes()).is_none(), "{purpose:?}");
        }
    }

    #[test]
    fn points_that_give_everybody_the_same_key_are_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        // The points of order 8 (RFC 7748 section 6.1 speaks of them).
        let eight = [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
            0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
            0x5f, 0x49, 0xb8, 0x00,
        ];
        for point in [[0; 32], one, eight] {
            assert!(DepositPublic::new(point).is_none());
            assert!(secret(1).open(Purpose::DataPack, &point).is_none());
        }
    }

    #[test]
    fn the_exchange_is_that_of_rfc_7748() {
        // The first test vector of its section 5.2.
        let hex = |text: &str| -> [u8; 32] {
            std::array::from_fn(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap())
        };
        let scalar = hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
        let point = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
        let shared = StaticSecret::from(scalar).diffie_hellman(&PublicKey::from(point));
        let expected = hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
        assert_eq!(*shared.as_bytes(), expected);
    }
}
