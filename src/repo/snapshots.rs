// SPDX-License-Identifier: MIT
//! Snapshots of a repository: list, find by id, prefix, name or `latest`, save and remove.

use super::Repository;
use super::history::is_of_file;
use crate::backend::{FileKind, FileName, read_all};
use crate::base::monitor::Stage;
use crate::base::{Error, FileId, Kind, Monitor, Result, Timestamp, Within, limits, units};
use crate::format::envelope::{self, write_only};
use crate::format::{Header, RecordKind, Snapshot, pack};

impl Repository {
    /// All snapshots, oldest first (see `sort`). One that cannot be read is an error: whoever
    /// deletes by this list must know all of them.
    pub fn snapshots(&self) -> Result<Vec<(FileId, Snapshot)>> {
        let mut found = Vec::new();
        for (name, snapshot) in self.each_snapshot(self.backend.list(FileKind::Snapshot)?) {
            match snapshot {
                // Forgotten by another process since the listing.
                Err(error)
                    if error.kind() == Kind::NotFound && self.backend.size(&name)?.is_none() => {}
                snapshot => {
                    let snapshot = snapshot?.ok_or_else(|| write_only("read all snapshots"))?;
                    found.push((name.id, snapshot));
                }
            }
        }
        sort(&mut found, self.world.now());
        self.note_history(&found, 0);
        Ok(found)
    }

    /// Every snapshot of a listing, read as they are asked for; `None` stands for those of others,
    /// if these keys can only add.
    pub(super) fn each_snapshot(
        &self,
        listed: Vec<(FileName, u64)>,
    ) -> impl Iterator<Item = (FileName, Result<Option<Snapshot>>)> {
        if let Some(copy) = self.copy() {
            copy.keep_only(FileKind::Snapshot, &listed.iter().map(|(name, _)| *name).collect());
        }
        listed.into_iter().map(|(name, size)| {
            let opened = self.load_listed(RecordKind::Snapshot, (name, size));
            let what = || format!("read snapshot {}", name.id);
            let read = |(header, plain): (Header, Vec<u8>)| of_file(&header, &plain).within(what);
            (name, opened.and_then(|opened| opened.map(read).transpose()))
        })
    }

    /// All snapshots that can be read, oldest first; the others are warnings. For lists and for
    /// finding a parent. How many others there are that write-only keys cannot read is told.
    pub fn readable_snapshots(&self, monitor: &dyn Monitor) -> Result<Vec<(FileId, Snapshot)>> {
        let (mut found, mut unreadable, mut others) = (Vec::new(), 0u64, 0u64);
        for (name, snapshot) in self.each_snapshot(self.list(FileKind::Snapshot)?) {
            match snapshot {
                Ok(Some(snapshot)) => found.push((name.id, snapshot)),
                Ok(None) => others = others.saturating_add(1),
                // Forgotten by another process since the listing.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => {
                    unreadable = unreadable.saturating_add(u64::from(is_of_file(&error)));
                    monitor.warn(error);
                }
            }
        }
        if others > 0 {
            let more = units::number_of(others, "more snapshot");
            let note = format!("{more} there, which this write-only key cannot read");
            monitor.stage(Stage::Note(note));
        }
        sort(&mut found, self.world.now());
        self.note_history(&found, unreadable);
        if let Err(error) = self.check_history() {
            monitor.warn(error);
        }
        Ok(found)
    }

    /// One snapshot.
    pub fn snapshot(&self, id: &FileId) -> Result<Snapshot> {
        let (header, plain) = self.load_with_header(RecordKind::Snapshot, id)?;
        of_file(&header, &plain).within(|| format!("read snapshot {id}"))
    }

    /// The same; `None` if these keys can only add, and somebody else has stored it.
    pub fn snapshot_if_ours(&self, id: &FileId) -> Result<Option<Snapshot>> {
        let name = FileName::new(FileKind::Snapshot, *id);
        let stored = read_all(self.backend.as_ref(), &name)?;
        let opened = self.open_if_ours(RecordKind::Snapshot, &name, &stored)?;
        let what = || format!("read snapshot {id}");
        opened.map(|(header, plain)| of_file(&header, &plain).within(what)).transpose()
    }

    /// Stores a snapshot and reads it back: the commit point of a backup. All that it names must
    /// be durable before. `is_seen`: others see that somebody is at work here, and leave the
    /// repository where it is; far away, that is enough.
    pub(super) fn save_snapshot(&self, snapshot: &Snapshot, is_seen: bool) -> Result<FileId> {
        self.with_entry(snapshot, |snapshot| self.store_snapshot(snapshot, is_seen))
    }

    fn store_snapshot(&self, snapshot: &Snapshot, is_seen: bool) -> Result<FileId> {
        let stored = self.seal(RecordKind::Snapshot, snapshot.features, &snapshot.encode())?;
        let name = FileName::new(FileKind::Snapshot, pack::file_id(&stored));
        self.keep_keys();
        self.backend.create(&name, &stored)?;
        let what = || "read the new snapshot back";
        let back = self.backend.read(&name, 0..units::bytes(stored.len())).within(what)?;
        let (_, plain) = self.open_named(RecordKind::Snapshot, &name, &back).within(what)?;
        let meant = Snapshot { is_deposit: false, ..snapshot.clone() };
        if Snapshot::decode(&plain).within(what)? != meant {
            return Err(Error::new(Kind::Damaged, what())
                .why("the store returned something else than it was given"));
        }
        // Without it nobody can open the repository: it was removed while this backup ran.
        let is_certain = is_seen && self.backend.properties().is_far;
        if !is_certain && self.backend.size(&FileName::CONFIG)?.is_none() {
            return Err(Error::new(Kind::Damaged, "end the backup")
                .why("the repository was removed meanwhile: its config is gone"));
        }
        if let Some(copy) = self.copy() {
            copy.keep(&name, &stored);
        }
        Ok(name.id)
    }
}

fn of_file(header: &Header, plain: &[u8]) -> Result<Snapshot> {
    let is_deposit = header.features & envelope::FEATURE_WRITE_ONLY != 0;
    Ok(Snapshot { is_deposit, ..Snapshot::decode(plain)? })
}

/// Oldest first. Of one that is dated in the future nobody knows how old it is: it comes before all
/// others, so that the newest one, which is restored from and compared with, is a true one.
fn sort(snapshots: &mut [(FileId, Snapshot)], now: Timestamp) {
    let latest = now.seconds.saturating_add(limits::CLOCK_SKEW_SECONDS);
    snapshots.sort_by_key(|(id, one)| (one.time.seconds <= latest, one.time, *id));
}

/// Finds the snapshot that a person means: a full id, an unambiguous prefix of four digits or
/// more, a name, or `latest`, which is the newest backup and never a safety snapshot. With `user`
/// given, a snapshot of anybody else does not exist.
pub fn find<'a>(
    all: &'a [(FileId, Snapshot)],
    wanted: &str,
    user: Option<&str>,
) -> Result<&'a (FileId, Snapshot)> {
    let missing = |why: String| {
        Err(Error::new(Kind::NotFound, format!("find snapshot '{}'", wanted.escape_debug()))
            .why(why)
            .hint("list them with 'ghostsnap snapshots'"))
    };
    let mine = || all.iter().filter(|(_, one)| user.is_none_or(|user| one.user == user));
    if wanted == "latest" {
        return match mine().rfind(|(_, one)| !one.is_safety()) {
            Some(found) => Ok(found),
            None => missing(match user {
                Some(user) => format!("there is none of user {user}"),
                None => "the repository has none".to_owned(),
            }),
        };
    }
    if let Some(found) = mine().rfind(|(_, one)| !one.name.is_empty() && one.name == wanted) {
        return Ok(found);
    }
    let is_prefix =
        wanted.len() >= 4 && wanted.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut matches = mine().filter(|(id, _)| is_prefix && id.to_string().starts_with(wanted));
    match (matches.next(), matches.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(Error::new(Kind::Invalid, format!("find snapshot '{wanted}'"))
            .why("several ids start like this")
            .hint("give more digits")),
        (None, _) => missing("there is no snapshot of that id or name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(first: u8, user: &str, name: &str, time: i64) -> (FileId, Snapshot) {
        let mut id = [0; 32];
        id[0] = 0xab;
        id[1] = first;
        let snapshot = Snapshot {
            user: user.to_owned(),
            name: name.to_owned(),
            time: Timestamp::from_seconds(time),
            ..Snapshot::default()
        };
        (FileId(id), snapshot)
    }

    #[test]
    fn one_of_the_future_is_not_the_latest() {
        let day = 86_400;
        let mut all =
            [1, 2, 400].map(|days| snapshot(0, "alice", &format!("day {days}"), days * day));
        sort(&mut all, Timestamp::from_seconds(3 * day));
        assert_eq!(find(&all, "latest", Some("alice")).unwrap().1.name, "day 2");
        assert_eq!(all[0].1.name, "day 400");
        sort(&mut all, Timestamp::from_seconds(400 * day));
        assert_eq!(find(&all, "latest", None).unwrap().1.name, "day 400");
    }

    #[test]
    fn snapshots_are_found_by_id_prefix_name_and_latest() {
        let all = [
            snapshot(0x11, "alice", "hestia-alice-1", 1),
            snapshot(0x12, "bob", "hestia-bob-1", 2),
            snapshot(0x22, "alice", "hestia-alice-2", 3),
        ];
        let found = |wanted, user| find(&all, wanted, user).map(|(_, one)| one.name.clone());
        assert_eq!(found("ab11", None).unwrap(), "hestia-alice-1");
        assert_eq!(found("hestia-bob-1", None).unwrap(), "hestia-bob-1");
        assert_eq!(found("latest", Some("bob")).unwrap(), "hestia-bob-1");
        let full = all[2].0.to_string();
        assert_eq!(found(&full, None).unwrap(), "hestia-alice-2");
        assert_eq!(found("ab", None).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(found("latest", Some("carol")).unwrap_err().kind(), Kind::NotFound);
        // Another user's snapshot does not exist for this one.
        assert_eq!(found("hestia-bob-1", Some("alice")).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(found("ab12", Some("alice")).unwrap_err().kind(), Kind::NotFound);
        let mut with_safety = all.to_vec();
        with_safety.push(snapshot(0x33, "alice", "safety-alice-1", 4));
        with_safety[3].1.source = crate::format::snapshot::SAFETY.to_owned();
        assert_eq!(find(&with_safety, "latest", Some("alice")).unwrap().1.name, "hestia-alice-2");
        assert_eq!(find(&with_safety, "safety-alice-1", None).unwrap().0.0[1], 0x33);
        let twins = [snapshot(0x11, "a", "", 1), snapshot(0x11, "a", "", 2)];
        assert_eq!(find(&twins, "ab11", None).unwrap_err().kind(), Kind::Invalid);
    }
}
