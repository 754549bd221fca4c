// SPDX-License-Identifier: MIT
//! Notices in the very run when files were encrypted in place: content that looks like noise where
//! the backup before had files. The backup is made all the same; it carries an alarm, the last good
//! one is pinned, and no policy drops a backup of the same user until somebody has looked.
//!
//! Only the start of files whose content is new is looked at, and only with a backup before.

use super::backup::BackupOptions;
use super::parent::Parents;
use super::pin::pin;
use crate::base::{Error, FileId, Kind, Monitor, Result, limits, units};
use crate::format::Snapshot;
use crate::format::snapshot::ALARM;
use crate::repo::IndexedRepository;

/// How known kinds of files begin that are compressed or encrypted by design.
const KNOWN_STARTS: &[(usize, &[u8])] = &[
    (0, b"\xff\xd8\xff"),
    (0, b"\x89PNG"),
    (0, b"GIF8"),
    (0, b"RIFF"),
    (0, b"PK"),
    (0, b"\x1f\x8b"),
    (0, b"BZh"),
    (0, b"\xfd7zXZ"),
    (0, b"\x28\xb5\x2f\xfd"),
    (0, b"\x04\x22\x4d\x18"),
    (0, b"7z\xbc\xaf"),
    (0, b"Rar!"),
    (0, b"%PDF"),
    (0, b"ID3"),
    (0, b"\xff\xfb"),
    (0, b"\xff\xf3"),
    (0, b"\xff\xf1"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"FLV"),
    (0, b"wOFF"),
    (0, b"wOF2"),
    (0, b"\0asm"),
    (0, b"PACK"),
    (0, b"\x78\x01"),
    (0, b"\x78\x5e"),
    (0, b"LZIP"),
    (0, b"MSCF"),
    (0, b"\x30\x26\xb2\x75"),
    (0, b"\0\0\x01\xba"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"8BPS"),
    (0, b"\xff\xfa"),
    (0, b"\xff\xf2"),
    (4, b"jP  "),
    (0, b"\xd0\xcf\x11\xe0"),
    (0, b"\x78\x9c"),
    (0, b"\x78\xda"),
    (0, b"SQLite format 3"),
    (0, b"-----BEGIN"),
    (0, b"Salted__"),
    (0, b"age-encryption.org"),
    (0, b"BORG_SEG"),
    (0, b"GSNP"),
    (4, b"ftyp"),
    (257, b"ustar"),
];

/// Whether the start of a file looks like nothing but noise, and like no kind of file that is
/// compressed by design. What a good cipher made is as even as dice, but so is what xz, brotli and
/// often deflate made: those are told by how they begin, and brotli, which has no such beginning,
/// by its name.
pub fn looks_encrypted(name: &[u8], start: &[u8]) -> bool {
    if name.ends_with(b".br") {
        return false;
    }
    let start = start.get(..limits::TRIPWIRE_SAMPLE_BYTES).unwrap_or(start);
    if start.len() < limits::TRIPWIRE_SAMPLE_BYTES_MIN {
        return false;
    }
    let begins =
        |(at, known): &(usize, &[u8])| start.get(*at..).is_some_and(|rest| rest.starts_with(known));
    if KNOWN_STARTS.iter().any(begins) {
        return false;
    }
    let mut counts = [0u64; 256];
    for byte in start {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    // Chi-square against even bytes: 255 on average, 389 once in a million times. In whole numbers:
    // the sum of (count - n/256)^2 / (n/256) is the sum of count^2 * 256 / n, less n.
    let total = units::bytes(start.len());
    let squares: u64 = counts.iter().map(|count| count * count).sum();
    (squares * 256 / total).saturating_sub(total) < limits::TRIPWIRE_CHI_SQUARE
}

/// How many files of the backup before were replaced by what looks encrypted; `None` if that is
/// nothing to worry about. Files that came beside the old ones replaced none.
pub fn replaced(before: &Snapshot, now: &Snapshot, scrambled: u64) -> Option<u64> {
    let grown = now.totals.files.saturating_sub(before.totals.files);
    let replaced = scrambled.saturating_sub(grown);
    let quarter = before.totals.files / 4;
    let enough = quarter.clamp(limits::TRIPWIRE_FILES_MIN, limits::TRIPWIRE_FILES_MAX);
    (replaced >= enough).then_some(replaced)
}

/// Whether two snapshots are of the same person on the same machine: in a repository of several
/// servers a user of the same name may be somebody else.
fn is_of_same(one: &Snapshot, other: &Snapshot) -> bool {
    let who = |one: &Snapshot| (one.host.clone(), one.user.clone(), one.user_identity.clone());
    who(one) == who(other)
}

/// Since when content is new: since the backup before had ended. `None` if there is none, or nobody
/// asks.
pub fn since(parents: &Parents, options: &BackupOptions) -> Option<i64> {
    let (_, before) = parents.direct.as_ref().filter(|_| options.tripwire)?;
    let took = i64::try_from(before.totals.milliseconds / 1000).unwrap_or(i64::MAX);
    let ended = before.time.seconds.saturating_add(took).saturating_add(60);
    is_of_same(before, &options.template).then_some(ended)
}

/// The backup to go back to: the newest complete one without an alarm.
fn last_good<'p>(parents: &'p Parents, now: &Snapshot) -> Option<&'p (FileId, Snapshot)> {
    let all = parents.direct.iter().chain(&parents.older);
    let mut own = all.filter(|(_, one)| is_of_same(one, now));
    own.find(|(_, one)| !one.is_partial() && !one.has_alarm())
}

/// Puts the alarm on a snapshot that is about to be stored, if there is reason to.
pub fn mark(snapshot: &mut Snapshot, parents: &Parents, scrambled: u64) -> Option<u64> {
    let (_, before) = parents.direct.as_ref().filter(|(_, one)| is_of_same(one, snapshot))?;
    let replaced = replaced(before, snapshot, scrambled)?;
    snapshot.tags.push(ALARM.to_owned());
    Some(replaced)
}

/// Tells of an alarm, and pins the last good backup.
pub fn raise(
    repository: &IndexedRepository,
    parents: &Parents,
    (snapshot, replaced): (&Snapshot, u64),
    monitor: &dyn Monitor,
) {
    let files = units::number_of(replaced, "file");
    let error = Error::new(Kind::Partial, "trust what was backed up")
        .why(format!("{files} of the backup before were replaced by what looks encrypted"));
    let Some((id, good)) = last_good(parents, snapshot) else {
        monitor.warn(error.hint("look at the files; no backup is dropped until the alarm is off"));
        return;
    };
    if repository.keys().is_write_only() {
        monitor.warn(error.hint(format!(
            "look at the files now; the last good backup is {}, and none is dropped until the \
             owner takes the alarm off",
            id.short()
        )));
        return;
    }
    match pin(repository, (id, good), true) {
        Ok(id) => monitor.warn(error.hint(format!(
            "look at the files now; the last good backup, {}, is pinned, and none is dropped \
             until 'ghostsnap alarm-off'",
            id.short()
        ))),
        Err(trouble) => {
            monitor.warn(error.hint("look at the files now"));
            monitor.warn(trouble.within(format!("pin the last good backup, {}", id.short())));
        }
    }
}

/// Takes the alarm off a snapshot; returns its id from now on.
pub fn alarm_off(
    repository: &IndexedRepository,
    (id, snapshot): (&FileId, &Snapshot),
) -> Result<FileId> {
    let mut calm = snapshot.clone();
    calm.tags.retain(|tag| tag != ALARM);
    super::pin::replace(repository, (id, snapshot), calm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::snapshot::Totals;

    fn noise(seed: &str, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn noise_is_told_from_all_that_files_usually_are() {
        let mut found = 0;
        for number in 0..1000 {
            for length in [1024, 5000, 200_000] {
                found +=
                    usize::from(looks_encrypted(b"a.php", &noise(&format!("{number}"), length)));
            }
        }
        assert!(found >= 2995, "{found} of 3000");
        let php = b"<?php echo htmlspecialchars($name); ?>\n".repeat(100);
        assert!(!looks_encrypted(b"a.php", &php));
        let mut packed = Vec::new();
        let mut compressor = crate::format::compress::Compressor::new(3).unwrap();
        compressor.compress_onto(&noise_of_words(400_000), &mut packed);
        assert!(!looks_encrypted(b"a", &packed), "it begins like zstd");
        // What brotli makes begins like nothing.
        assert!(looks_encrypted(b"a.js", &noise("brotli", 9000)));
        assert!(!looks_encrypted(b"a.js.br", &noise("brotli", 9000)));
        let mut jpeg = noise("jpeg", 50_000);
        jpeg[..3].copy_from_slice(b"\xff\xd8\xff");
        assert!(!looks_encrypted(b"a.jpg", &jpeg));
        assert!(!looks_encrypted(b"a", &noise("short", 500)));
        assert!(!looks_encrypted(b"a", &[]));
    }

    fn noise_of_words(length: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for number in 0u64.. {
            text.extend(blake3::hash(&number.to_le_bytes()).to_hex().as_bytes()[..7].iter());
            text.push(b' ');
            if text.len() > length {
                return text;
            }
        }
        text
    }

    fn with(files: u64) -> Snapshot {
        Snapshot { totals: Totals { files, ..Totals::default() }, ..Snapshot::default() }
    }

    #[test]
    fn only_what_takes_the_place_of_old_files_counts() {
        // Encrypted where they are, or under new names: as many files as before.
        assert_eq!(replaced(&with(1000), &with(1000), 900), Some(900));
        assert_eq!(replaced(&with(1000), &with(1010), 910), Some(900));
        // Encrypted backups that somebody uploads come beside what was there.
        assert_eq!(replaced(&with(1000), &with(1500), 500), None);
        // A few may be anything; of a small site a quarter counts, of a large one 200.
        assert_eq!(replaced(&with(1000), &with(1000), 30), None);
        assert_eq!(replaced(&with(100), &with(100), 30), Some(30));
        assert_eq!(replaced(&with(1_000_000), &with(1_000_000), 250), Some(250));
        assert_eq!(replaced(&with(10), &with(10), 10), None);
    }
}
