// SPDX-License-Identifier: MIT
//! Snapshots: the commit record of a backup. It names the root tree and carries all that a list
//! shows, so that listing reads no trees.

use super::damaged;
use super::history::{SignedEntry, SignedRecord};
use super::tree::ids_from;
use crate::base::id::{ChunkId, FileId};
use crate::base::{Result, Timestamp};
use prost::Message;

/// One user (or some paths) at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// What people call it: `hestia-USER-YYYYMMDD-HHMMSS`, or empty for plain paths.
    pub name: String,
    /// The time its content stands for.
    pub time: Timestamp,
    /// The machine it was made on.
    pub host: String,
    /// The Hestia user; empty for plain paths.
    pub user: String,
    /// What tells this user from a later one of the same name; empty if unknown.
    pub user_identity: String,
    /// Where the content came from: `paths`, `stdin`, `tarball`, `direct`, or [`SAFETY`].
    pub source: String,
    /// The paths backed up, as given.
    pub paths: Vec<Vec<u8>>,
    /// Free labels.
    pub tags: Vec<String>,
    /// The chunks of the root tree.
    pub tree: Vec<ChunkId>,
    /// The snapshot it was compared with.
    pub parent: Option<FileId>,
    /// The program that wrote it.
    pub program: String,
    /// Things that went wrong without stopping the backup; more than 0 makes it partial.
    pub warnings: u64,
    /// What was counted.
    pub totals: Totals,
    /// The parts a person would restore, such as a web domain or a database.
    pub objects: Vec<Object>,
    /// Never forgotten by a policy.
    pub pinned: bool,
    /// What a reader of its trees must know, as in the header of its file.
    pub features: u64,
    /// Of a safety snapshot: what was about to happen when it was taken.
    pub before: Option<Before>,
    /// Of a copy: the snapshot it was made of.
    pub origin: Option<Origin>,
    /// Globs of what was left out of it, as paths in the home of a Hestia user.
    pub left_out: Vec<String>,
    /// The entry of the history that stored it; none if its writer kept no history.
    pub history: Option<SignedEntry>,
    /// Whether its file was sealed by write-only keys, as its header says: no part of the record.
    pub is_deposit: bool,
}

/// The snapshot that a copy was made of, in the repository where it was made first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Origin {
    /// The id in that repository's config.
    pub repository: FileId,
    /// Its id there.
    pub snapshot: FileId,
}

/// The source of a safety snapshot: what a restore was about to overwrite or remove. It is no
/// backup: nobody's latest snapshot, no parent of a backup, and no policy counts it.
pub const SAFETY: &str = "safety";

/// The tag of a snapshot whose files look as if somebody had encrypted them. While one of a user
/// has it, no policy drops any of that user.
pub const ALARM: &str = "alarm";

/// What was about to happen when a safety snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Before {
    /// The snapshot that was to be restored.
    pub restored: FileId,
    /// The command that did it.
    pub command: String,
    /// The objects that were to be restored, as they are called where they are.
    pub objects: Vec<Object>,
    /// Those of them that were not there.
    pub created: Vec<Object>,
    /// One table of a database, if that was all.
    pub table: String,
    /// Whether that table was not there.
    pub table_created: bool,
    /// The one file or folder, if that was all.
    pub place: Option<Place>,
}

/// From where in a snapshot something went to where on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Its path in the tree of the restored snapshot.
    pub from: Vec<u8>,
    /// Its path below the home.
    pub to: Vec<u8>,
}

/// The counts a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Plain bytes the repository did not have.
    pub bytes_new: u64,
    /// Bytes written for them.
    pub bytes_stored: u64,
    /// Milliseconds it took.
    pub milliseconds: u64,
}

/// A part of a Hestia user that can be restored by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// `WEB`, `DNS`, `MAIL`, `DB`, `CRON` or `UDIR`.
    pub section: String,
    /// Its name: a domain, a database, a folder; for `CRON` the number of jobs.
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
struct SnapshotRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(sint64, tag = "2")]
    seconds: i64,
    #[prost(uint32, tag = "3")]
    nanos: u32,
    #[prost(string, tag = "4")]
    host: String,
    #[prost(string, tag = "5")]
    user: String,
    #[prost(string, tag = "6")]
    user_identity: String,
    #[prost(string, tag = "7")]
    source: String,
    #[prost(bytes = "vec", repeated, tag = "8")]
    paths: Vec<Vec<u8>>,
    #[prost(string, repeated, tag = "9")]
    tags: Vec<String>,
    #[prost(bytes = "vec", tag = "10")]
    tree: Vec<u8>,
    #[prost(bytes = "vec", tag = "11")]
    parent: Vec<u8>,
    #[prost(string, tag = "12")]
    program: String,
    #[prost(uint64, tag = "13")]
    warnings: u64,
    #[prost(uint64, tag = "14")]
    files: u64,
    #[prost(uint64, tag = "15")]
    folders: u64,
    #[prost(uint64, tag = "16")]
    bytes: u64,
    #[prost(uint64, tag = "17")]
    bytes_new: u64,
    #[prost(uint64, tag = "18")]
    bytes_stored: u64,
    #[prost(uint64, tag = "19")]
    milliseconds: u64,
    #[prost(message, repeated, tag = "20")]
    objects: Vec<ObjectRecord>,
    #[prost(bool, tag = "21")]
    pinned: bool,
    #[prost(uint64, tag = "22")]
    features: u64,
    #[prost(message, optional, tag = "23")]
    before: Option<BeforeRecord>,
    #[prost(message, optional, tag = "24")]
    origin: Option<OriginRecord>,
    #[prost(message, optional, tag = "25")]
    history: Option<SignedRecord>,
    #[prost(string, repeated, tag = "26")]
    left_out: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct OriginRecord {
    #[prost(bytes = "vec", tag = "1")]
    repository: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    snapshot: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct BeforeRecord {
    #[prost(bytes = "vec", tag = "1")]
    restored: Vec<u8>,
    #[prost(string, tag = "2")]
    command: String,
    #[prost(message, repeated, tag = "3")]
    objects: Vec<ObjectRecord>,
    #[prost(message, repeated, tag = "4")]
    created: Vec<ObjectRecord>,
    #[prost(string, tag = "5")]
    table: String,
    #[prost(message, optional, tag = "6")]
    place: Option<PlaceRecord>,
    #[prost(bool, tag = "7")]
    table_created: bool,
}

#[derive(Clone, PartialEq, Message)]
struct PlaceRecord {
    #[prost(bytes = "vec", tag = "1")]
    from: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    to: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectRecord {
    #[prost(string, tag = "1")]
    section: String,
    #[prost(string, tag = "2")]
    name: String,
}

impl From<&Object> for ObjectRecord {
    fn from(one: &Object) -> Self {
        Self { section: one.section.clone(), name: one.name.clone() }
    }
}

impl From<ObjectRecord> for Object {
    fn from(one: ObjectRecord) -> Self {
        Self { section: one.section, name: one.name }
    }
}

impl Before {
    fn to_record(&self) -> BeforeRecord {
        let place = |one: &Place| PlaceRecord { from: one.from.clone(), to: one.to.clone() };
        BeforeRecord {
            restored: self.restored.as_bytes().to_vec(),
            command: self.command.clone(),
            objects: self.objects.iter().map(Into::into).collect(),
            created: self.created.iter().map(Into::into).collect(),
            table: self.table.clone(),
            place: self.place.as_ref().map(place),
            table_created: self.table_created,
        }
    }

    fn from_record(record: BeforeRecord) -> Result<Self> {
        let restored = FileId::from_slice(&record.restored)
            .ok_or_else(|| damaged("read a snapshot", "it does not name what was restored"))?;
        Ok(Self {
            restored,
            command: record.command,
            objects: record.objects.into_iter().map(Into::into).collect(),
            created: record.created.into_iter().map(Into::into).collect(),
            table: record.table,
            place: record.place.map(|one| Place { from: one.from, to: one.to }),
            table_created: record.table_created,
        })
    }
}

impl Snapshot {
    /// Whether it was taken before a restore, to take that back; it is no backup.
    pub fn is_safety(&self) -> bool {
        self.source == SAFETY
    }

    /// Whether its files look as if somebody had encrypted them, and nobody has looked yet.
    pub fn has_alarm(&self) -> bool {
        self.tags.iter().any(|tag| tag == ALARM)
    }

    /// Whether something was left out of it.
    pub fn is_partial(&self) -> bool {
        self.warnings > 0
    }

    /// The names of its objects in one section, in order.
    pub fn objects_of<'s>(&'s self, section: &'s str) -> impl Iterator<Item = &'s str> {
        self.objects.iter().filter(move |one| one.section == section).map(|one| one.name.as_str())
    }

    /// The plain record.
    pub fn encode(&self) -> Vec<u8> {
        let totals = self.totals;
        SnapshotRecord {
            name: self.name.clone(),
            seconds: self.time.seconds,
            nanos: self.time.nanos,
            host: self.host.clone(),
            user: self.user.clone(),
            user_identity: self.user_identity.clone(),
            source: self.source.clone(),
            paths: self.paths.clone(),
            tags: self.tags.clone(),
            tree: self.tree.iter().flat_map(|id| *id.as_bytes()).collect(),
            parent: self.parent.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
            program: self.program.clone(),
            warnings: self.warnings,
            files: totals.files,
            folders: totals.folders,
            bytes: totals.bytes,
            bytes_new: totals.bytes_new,
            bytes_stored: totals.bytes_stored,
            milliseconds: totals.milliseconds,
            objects: self.objects.iter().map(Into::into).collect(),
            pinned: self.pinned,
            features: self.features,
            before: self.before.as_ref().map(Before::to_record),
            origin: self.origin.map(|one| OriginRecord {
                repository: one.repository.as_bytes().to_vec(),
                snapshot: one.snapshot.as_bytes().to_vec(),
            }),
            history: self.history.as_ref().map(SignedEntry::record),
            left_out: self.left_out.clone(),
        }
        .encode_to_vec()
    }

    /// Reads a plain record.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let what = "read a snapshot";
        let record =
            SnapshotRecord::decode(plain).map_err(|cause| damaged(what, cause.to_string()))?;
        let tree = ids_from(&record.tree)?;
        if tree.is_empty() {
            return Err(damaged(what, "it names no tree"));
        }
        let totals = Totals {
            files: record.files,
            folders: record.folders,
            bytes: record.bytes,
            bytes_new: record.bytes_new,
            bytes_stored: record.bytes_stored,
            milliseconds: record.milliseconds,
        };
        Ok(Self {
            name: record.name,
            time: Timestamp { seconds: record.seconds, nanos: record.nanos },
            host: record.host,
            user: record.user,
            user_identity: record.user_identity,
            source: record.source,
            paths: record.paths,
            tags: record.tags,
            tree,
            parent: FileId::from_slice(&record.parent),
            program: record.program,
            warnings: record.warnings,
            totals,
            objects: record.objects.into_iter().map(Into::into).collect(),
            pinned: record.pinned,
            features: record.features,
            before: record.before.map(Before::from_record).transpose()?,
            origin: record.origin.as_ref().and_then(|one| {
                let repository = FileId::from_slice(&one.repository)?;
                let snapshot = FileId::from_slice(&one.snapshot)?;
                Some(Origin { repository, snapshot })
            }),
            left_out: record.left_out,
            history: record.history.map(SignedEntry::of_record),
            is_deposit: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_survives_encoding() {
        let snapshot = Snapshot {
            name: "hestia-alice-20260102-030405".to_owned(),
            time: Timestamp { seconds: 1, nanos: 2 },
            host: "h".to_owned(),
            user: "alice".to_owned(),
            paths: vec![b"/home/\xff".to_vec()],
            tags: vec!["nightly".to_owned()],
            tree: vec![ChunkId([1; 32]), ChunkId([2; 32])],
            parent: Some(FileId([3; 32])),
            warnings: 1,
            left_out: vec!["/web/*/cache".to_owned()],
            totals: Totals {
                files: 1,
                folders: 2,
                bytes: 3,
                bytes_new: 4,
                bytes_stored: 5,
                milliseconds: 6,
            },
            objects: vec![Object { section: "WEB".to_owned(), name: "example.com".to_owned() }],
            ..Snapshot::default()
        };
        assert_eq!(Snapshot::decode(&snapshot.encode()).unwrap(), snapshot);
        let before = Before {
            restored: FileId([4; 32]),
            command: "restore".to_owned(),
            objects: snapshot.objects.clone(),
            created: snapshot.objects.clone(),
            table: "t".to_owned(),
            table_created: true,
            place: Some(Place { from: b"user_dir/x".to_vec(), to: b"x".to_vec() }),
        };
        let safety =
            Snapshot { source: SAFETY.to_owned(), before: Some(before), ..snapshot.clone() };
        assert_eq!(Snapshot::decode(&safety.encode()).unwrap(), safety);
        let origin = Origin { repository: FileId([5; 32]), snapshot: FileId([6; 32]) };
        let copy = Snapshot { origin: Some(origin), ..snapshot.clone() };
        assert_eq!(Snapshot::decode(&copy.encode()).unwrap(), copy);
        assert!(safety.is_safety() && !snapshot.is_safety());
        assert_eq!(snapshot.objects_of("WEB").collect::<Vec<_>>(), ["example.com"]);
        assert!(Snapshot::decode(&Snapshot::default().encode()).is_err());
    }
}
