// SPDX-License-Identifier: MIT
//! Authenticated encryption: ChaCha20-Poly1305 (RFC 8439) under a key that belongs to exactly one
//! file. The nonce is the message's index inside that file, so it can never repeat.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};

/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;

/// Which message of its file this is. A file's blobs count from 0; its end record has an index of
/// its own that no blob can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceIndex {
    /// The n-th blob of a pack, or the only message of a record (0).
    Message(u32),
    /// The sealed end of a pack.
    End,
}

impl NonceIndex {
    fn nonce(self) -> Nonce {
        let index = match self {
            Self::Message(index) => u64::from(index),
            Self::End => u64::MAX,
        };
        let mut nonce = [0; 12];
        let (low, _) = nonce.split_at_mut(8);
        low.copy_from_slice(&index.to_le_bytes());
        nonce.into()
    }
}

/// The key of one file. Sealing two different messages under one index is a programmer error that
/// the callers exclude by counting.
pub struct SealKey(ChaCha20Poly1305);

impl SealKey {
    /// Takes a key made by [`super::Keys::file_key`] or a key-encryption key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(&(*key).into()))
    }

    /// Encrypts in place and returns the tag to be stored behind the text.
    pub fn seal(&self, index: NonceIndex, bound: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
        match self.0.encrypt_inout_detached(&index.nonce(), bound, text.into()) {
            Ok(tag) => tag.into(),
            // Only a text beyond 256 GiB can fail; ours end at a few MiB.
            Err(_) => unreachable!("invariant: sealed messages are bounded by limits.rs"),
        }
    }

    /// Checks and decrypts `text` followed by its tag, in place; returns the plain part, or `None`
    /// if key, index, bound data or any byte is not what was sealed.
    pub fn open<'t>(
        &self,
        index: NonceIndex,
        bound: &[u8],
        sealed: &'t mut [u8],
    ) -> Option<&'t mut [u8]> {
        let cut = sealed.len().checked_sub(TAG_BYTES)?;
        let (text, tag) = sealed.split_at_mut(cut);
        let tag: [u8; TAG_BYTES] = (&*tag).try_into().ok()?;
        self.0
            .decrypt_inout_detached(&index.nonce(), bound, (&mut *text).into(), &Tag::from(tag))
            .ok()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let key = SealKey::new(&[1; 32]);
        let seal = |index| {
            let mut text = *b"yesterday's mail";
            let tag = key.seal(index, b"pack", &mut text);
            [&text[..], &tag[..]].concat()
        };
        let sealed = seal(NonceIndex::Message(3));
        assert_eq!(
            key.open(NonceIndex::Message(3), b"pack", &mut sealed.clone()).unwrap(),
            b"yesterday's mail"
        );
        assert!(key.open(NonceIndex::Message(4), b"pack", &mut sealed.clone()).is_none());
        assert!(key.open(NonceIndex::End, b"pack", &mut sealed.clone()).is_none());
        assert!(key.open(NonceIndex::Message(3), b"index", &mut sealed.clone()).is_none());
        assert!(
            SealKey::new(&[2; 32])
                .open(NonceIndex::Message(3), b"pack", &mut sealed.clone())
                .is_none()
        );
        for place in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[place] ^= 1;
            assert!(key.open(NonceIndex::Message(3), b"pack", &mut bent).is_none());
        }
        assert!(key.open(NonceIndex::Message(3), b"pack", &mut [0; 15]).is_none());
    }

    #[test]
    fn the_cipher_is_the_one_of_rfc_8439() {
        // Checked against an independent implementation (OpenSSL, zero key and nonce, no bound data).
        let key = SealKey::new(&[0; 32]);
        let mut text = [0; 4];
        let tag = key.seal(NonceIndex::Message(0), b"", &mut text);
        assert_eq!(text, [0x9f, 0x07, 0xe7, 0xbe]);
        assert_eq!(tag.len(), TAG_BYTES);
    }
}
