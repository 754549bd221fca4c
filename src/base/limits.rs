// SPDX-License-Identifier: MIT
//! Every bound of the program, with its reason. A loop over foreign data, a buffer, a queue or a
//! wait names its bound here.

/// Longest name of one directory entry: what Linux file systems allow.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest path inside a tree. Linux allows 4,096 per call; trees may be deeper, but not endless.
pub const PATH_BYTES_MAX: usize = 32 * 1024;
/// Deepest nesting of folders: each level costs an open handle while walking.
pub const TREE_DEPTH_MAX: usize = 512;

/// Plain size of a blob that collects small chunks. Measured on 200,000 mails: 128 KiB stores 251 MB,
/// 512 KiB 230 MB, 1 MiB 224 MB; a single mail costs the reading of one such blob.
pub const BUNDLE_BYTES: usize = 512 * 1024;
/// Plain size of a blob that collects large chunks which compress: zstd finds more in 4 MiB of a
/// dump than in 1 MiB.
pub const LARGE_BUNDLE_BYTES: usize = 4 * 1024 * 1024;
/// Largest plain blob: the largest chunk. A length above this in a record is damage.
pub const BLOB_PLAIN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest chunk list of one bundle; bounds what one record can make us allocate.
pub const BLOB_CHUNKS_MAX: usize = 128 * 1024;
/// Smallest and largest pack; packs grow with the repository between the two. The upper end keeps
/// one pack being built and one being written inside the memory budget of 256 MiB.
pub const PACK_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// See [`PACK_BYTES_MIN`].
pub const PACK_BYTES_MAX: u64 = 48 * 1024 * 1024;
/// Packs of trees stay small: they are read for listing and browsing.
pub const META_PACK_BYTES: u64 = 8 * 1024 * 1024;
/// A pack file above this is not ours: 4 GiB is where its 32-bit offsets end.
pub const PACK_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024 - 1;
/// Largest sealed end of a pack.
pub const PACK_END_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest index segment, snapshot or other sealed record, as stored and as decompressed.
pub const RECORD_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Largest plain record, after decompression.
pub const RECORD_PLAIN_BYTES_MAX: usize = 512 * 1024 * 1024;
/// The same of a snapshot, which names no more than a user's objects.
pub const SNAPSHOT_PLAIN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How often keys may be rotated, and once more: each slot holds the keys of all epochs.
pub const EPOCHS_MAX: u16 = 512;
/// Largest key slot file: parameters, a label and a wrapped key.
pub const KEY_SLOT_BYTES_MAX: u64 = 64 * 1024;
/// Most key slots of a repository, and most that are tried when opening; each password slot costs a
/// full Argon2.
pub const KEY_SLOTS_MAX: usize = 64;
/// Most files that are looked at for key slots: others than its owner may be able to add some.
pub const KEY_FILES_MAX: usize = 1024;

/// Data written after which a running backup stores an index segment, so that a killed run has
/// not worked in vain. Later ones follow when a sixteenth has been added to what was written, so
/// that a terabyte makes some hundred of them and not thousands.
pub const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;
/// See [`CHECKPOINT_BYTES`].
pub const CHECKPOINT_SHARE: u64 = 16;
/// In a store far away they are as far apart at least: the work that a killed run may lose.
pub const CHECKPOINT_FAR_SPAN: std::time::Duration = std::time::Duration::from_secs(30);
/// How long a listing that was taken ahead may be used: no longer than one may take.
pub const FORESEEN_SPAN: std::time::Duration = std::time::Duration::from_secs(10);
/// Files that a bucket names in one answer: what S3 allows.
pub const LISTED_AT_ONCE: usize = 1000;
/// Files that are asked for in one answer to look for two or three that lie beside each other: more
/// than the index segments, keys and locks that are usual, and few enough to cost a packet or two.
pub const LOOKED_AT_ONCE: usize = 100;
/// Most chunks in one index segment that is merged at the end of a backup.
pub const INDEX_SEGMENT_CHUNKS: usize = 500_000;
/// Most chunks of an index whose table is kept in memory, if there is a disk for a larger one.
pub const INDEX_ROWS_IN_MEMORY: usize = 1 << 20;

/// How far the clocks of two servers may differ and still be believed.
pub const CLOCK_SKEW_SECONDS: i64 = 86_400;

/// Times the index is listed until nothing new appears.
pub const INDEX_LISTINGS_MAX: usize = 8;
/// A run that took longer looks, before it stores a snapshot, whether what it counts on was pruned
/// meanwhile. Far below [`PRUNE_GRACE_SECONDS_MIN`].
pub const FENCE_SECONDS: u64 = 30 * 60;
/// How long what nothing needs stays marked before it is removed: the next night's prune does it.
pub const PRUNE_GRACE_SECONDS: i64 = 20 * 3600;
/// No grace period is shorter: clocks of servers differ, and [`FENCE_SECONDS`] must fit in twice.
pub const PRUNE_GRACE_SECONDS_MIN: i64 = 2 * 3600;
/// Packs sealed under keys from before a rotation that one prune writes anew, unless told otherwise.
pub const RESEAL_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Packs of less than a quarter of a full one that may lie about before a prune makes one of them.
pub const SMALL_PACKS_MAX: usize = 32;
/// A lock of another machine that is older belongs to a process that was killed. If not, its run
/// is longer than [`FENCE_SECONDS`] and looks for itself.
pub const LOCK_SECONDS: i64 = 7 * 86_400;

/// Node count after which a tree chunk may end, and must end: a folder of 200,000 mails becomes
/// some 800 chunks, of which a night rewrites few.
pub const TREE_NODES_MIN: usize = 64;
/// See [`TREE_NODES_MIN`].
pub const TREE_NODES_MAX: usize = 1024;
/// Most entries, owners and groups that a tree chunk is believed to hold: many times what is
/// written, for the sake of later versions.
pub const TREE_FIELDS_MAX: usize = 64 * 1024;
/// Encoded bytes after which a tree chunk ends whatever its nodes: it has to fit into a blob.
pub const TREE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Chunk ids that a node holds by itself; a longer list is stored as chunks of its own.
pub const NODE_CHUNKS_MAX: usize = 512;

/// Longest group of rows: a row of this size or more is cut by length.
pub const ROW_GROUP_BYTES_MAX: usize = 64 * 1024;
/// What groups of rows aim at. The smaller, the less of a dump is stored again after a day, and
/// the larger the tables: 12 bytes a group that do not compress. See docs/performance.md.
pub const ROW_GROUP_BYTES: u32 = 768;
/// Bytes of new rows that become a chunk. Smaller ones compress worse; of larger ones more is
/// read in vain once most of their rows are out of date.
pub const ROW_CHUNK_BYTES: usize = 512 * 1024;
/// Chunks of new rows that become one blob.
pub const ROW_CHUNKS_TOGETHER: usize = LARGE_BUNDLE_BYTES / ROW_CHUNK_BYTES;
/// Groups of one size in one file, and groups known from earlier backups that are looked up: what
/// a table of two million places of 25 bytes holds. Groups of larger dumps are larger.
pub const ROW_GROUPS_MAX: usize = 2 * 1024 * 1024 / 8 * 7;
/// Groups after which a row map may end, and must end.
pub const ROW_MAP_GROUPS_MIN: usize = 16 * 1024;
/// See [`ROW_MAP_GROUPS_MIN`].
pub const ROW_MAP_GROUPS_MAX: usize = 64 * 1024;
/// A chunk of which less than this many percent are still in use lends no more rows: a restore
/// reads whole blobs, and should not read mostly what nobody wants.
pub const ROW_CHUNK_ALIVE_PERCENT: u64 = 40;
/// Chunks of rows smaller than a quarter of [`ROW_CHUNK_BYTES`] that a file may refer to, before
/// they are stored again as one.
pub const ROW_CHUNKS_SMALL_MAX: usize = 24;
/// Where chunks of rows turn out to be changed one after the other, up to two to the power of this
/// many are passed by before one is tried whole again.
pub const ROW_CHUNKS_PASSED_BY_BITS: u32 = 4;
/// Snapshots before the parent that are asked for a dump which the parent lacks: a week of nights
/// in which it failed.
pub const PARENTS_OLDER_MAX: usize = 7;
/// What is looked at of a new file to see whether it was encrypted.
pub const TRIPWIRE_SAMPLE_BYTES: usize = 64 * 1024;
/// Of less nobody can tell.
pub const TRIPWIRE_SAMPLE_BYTES_MIN: usize = 1024;
/// Below this its bytes are as even as chance makes them: 255 on average, above 389 once in a million.
pub const TRIPWIRE_CHI_SQUARE: u64 = 390;
/// Files replaced by what looks encrypted that raise an alarm: a quarter of all, but so many at least.
pub const TRIPWIRE_FILES_MIN: u64 = 20;
/// And so many in any case.
pub const TRIPWIRE_FILES_MAX: u64 = 200;
/// What a chunk of rows has at most: its last group may end far behind where it was full.
pub const ROW_CHUNK_BYTES_MAX: usize = ROW_CHUNK_BYTES + ROW_GROUP_BYTES_MAX;
/// What is read of a stream of rows at once: several chunks.
pub const ROW_READ_BYTES: usize = 4 * 1024 * 1024;
/// Streams of rows shorter than this are stored like any small file.
pub const ROW_FILE_BYTES_MIN: usize = 128 * 1024;

/// How far apart two times of a file may be and still read the same: twice the longest step of
/// Linux' coarse clock.
pub const TIME_STEP: std::time::Duration = std::time::Duration::from_millis(20);
/// The same where times are whole seconds; FAT counts two at once.
pub const COARSE_TIME_STEP: std::time::Duration = std::time::Duration::from_secs(2);

/// Files smaller than this are read whole and handed to a worker in batches.
pub const SMALL_FILE_BYTES: u64 = 512 * 1024;
/// Files in one batch of work.
pub const BATCH_FILES: usize = 64;
/// Bytes in one batch of work.
pub const BATCH_BYTES: u64 = 2 * 1024 * 1024;
/// Room for the entries of a folder that are read at once.
pub const FOLDER_READ_BYTES: usize = 32 * 1024;
/// Messages in flight between walking and writing trees.
pub const EVENTS_IN_FLIGHT: usize = 256;
/// Events that travel together between the reader of a backup and the one who builds its trees: a
/// message each would cost more than an unchanged file.
pub const EVENTS_TOGETHER: usize = 256;
/// Jobs waiting for a worker.
pub const JOBS_WAITING: usize = 8;
/// Most users that are backed up at the same time: each holds a pack of 16 MiB and some buffers, and
/// waits for the same disk.
pub const JOBS_MAX: usize = 16;
/// Stack of a thread that backs a user up: what the first thread of a program has.
pub const JOB_STACK_BYTES: usize = 8 * 1024 * 1024;
/// Most repositories that one backup goes into: each has threads and packs of its own.
pub const REPOSITORIES_AT_ONCE_MAX: usize = 8;
/// Messages from a shared source that wait for one of its readers: what a reader may be behind the
/// fastest one. Each is a block, or a batch of entries.
pub const TEE_MESSAGES: usize = 4;
/// Bytes of a stream that are handed to all readers at once.
pub const TEE_BLOCK_BYTES: usize = 512 * 1024;
/// Streams up to this size travel with the entries around them.
pub const TEE_SMALL_BYTES: usize = 32 * 1024;
/// Entries that travel together.
pub const TEE_ENTRIES: usize = 256;
/// Folders that travel together: their files hold them open.
pub const TEE_FOLDERS: usize = 4;
/// Bytes of paths, attributes and small streams that travel together.
pub const TEE_BATCH_BYTES: usize = 256 * 1024;
/// Most worker threads: each holds a few MiB of buffers.
pub const WORKERS_MAX: usize = 8;

/// Slowest rate that a repository can be held to, in bytes a second: below it a night is not enough
/// for anything.
pub const RATE_BYTES_MIN: u64 = 64 * 1024;

/// Longest gap that a restore reads over instead of asking twice.
pub const COALESCE_GAP_BYTES: u64 = 256 * 1024;
/// Longest single read of a restore or a check.
pub const COALESCE_READ_BYTES: u64 = 8 * 1024 * 1024;
/// The same from a store far away: a pack of the usual size at once.
pub const COALESCE_FAR_READ_BYTES: u64 = 24 * 1024 * 1024;
/// Files planned together in a restore: bounds the plan's memory.
pub const RESTORE_BATCH_FILES: usize = 50_000;
/// A pack of trees up to this size is copied to this machine as soon as a part of it is read.
pub const COPY_AT_ONCE_BYTES: u64 = 1024 * 1024;
/// A larger one when parts of it were read this often.
pub const COPY_AFTER_MISSES: u32 = 3;
/// Room for the copies of one repository's index, snapshots and trees, unless told otherwise.
pub const COPY_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Decoded blobs of trees kept by a reader; a backup reads its parent through one.
pub const TREE_CACHE_BYTES: usize = 24 * 1024 * 1024;
/// Decoded blobs of content kept by a reader: a dump that is read in its order needs one blob of
/// each of some twenty nights at a time.
pub const CONTENT_CACHE_BYTES: usize = 112 * 1024 * 1024;
/// Chunks of rows that a reader which proves them keeps: a dump goes to and fro between those of
/// some twenty nights.
pub const PROVEN_CHUNKS_KEPT: usize = 24;
/// Files that wait for the workers of a rehearsal.
pub const PROOF_FILES_WAITING: usize = 256;
/// Times the size of its dump that a database may need on its server's disk while a restore is
/// rehearsed: rows, indexes, and the server's own log of both.
pub const REHEARSAL_SPACE_TIMES: u64 = 3;
/// Free bytes that a rehearsal leaves to the server beside that.
pub const REHEARSAL_SPACE_BYTES: u64 = 512 * 1024 * 1024;

/// Extended attributes of one entry, in bytes; the kernel allows 64 KiB each.
pub const XATTR_BYTES_MAX: usize = 256 * 1024;
/// Holes of one file that are kept; of a file with more, the smallest are read as zeros.
pub const EXTENTS_MAX: usize = 4096;
/// Holes of one file that are looked at; a file with more is read whole.
pub const EXTENTS_READ_MAX: usize = 1_000_000;

/// Largest configuration file of Hestia or of ours that is read: thousands of domains at a
/// kilobyte each fit many times.
pub const CONF_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Longest line of a configuration file; a web domain with many aliases has a few kilobytes.
pub const CONF_LINE_BYTES_MAX: usize = 1024 * 1024;
/// Largest addition to a web server's configuration, or certificate, that a restore puts in place.
pub const SNIPPET_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// All of those that one restore holds in memory.
pub const SNIPPETS_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longest name of a database or its user that both engines take.
pub const DATABASE_NAME_BYTES_MAX: usize = 63;
/// Paths of one object that a restore which only looks names; the others are counted.
pub const PLANNED_PATHS_MAX: usize = 10_000;
/// Most entries of one folder that is listed whole, such as `/backup` or `data/users`.
pub const LISTED_ENTRIES_MAX: usize = 1_000_000;
/// Times, 10 ms apart, that the start of a program is tried while somebody is writing it.
pub const BUSY_PROGRAM_TRIES: usize = 50;
/// What is kept of a command's output: its end, where the error stands.
pub const OUTPUT_BYTES_MAX: u64 = 256 * 1024;
/// Time that a stopped command has for cleaning up before it is killed.
pub const STOP_SECONDS: u64 = 20;
/// Longest name of a Hestia user, set by Hestia.
pub const USER_NAME_BYTES_MAX: usize = 30;
/// Warnings that a report keeps for one user; the others are in the log.
pub const REASONS_MAX: usize = 50;
/// Reasons that are noted of a run in the state folder, and letters of each: the whole note stays
/// below what is read of such a file.
pub const REASONS_NOTED_MAX: usize = 20;
/// Letters of a reason that are noted.
pub const REASON_LETTERS_MAX: usize = 300;
/// Seconds since 1970 at which the calendar of our lists ends, with the year 9999.
pub const CALENDAR_SECONDS_MAX: i64 = 253_402_300_800;
/// Seconds that a snapshot's name may lie behind its time, when the names before are taken.
pub const SNAPSHOT_NAME_TRIES: i64 = 86_400;
/// Warnings printed one by one; what a broken disk adds beyond is only counted.
pub const WARNINGS_SHOWN_MAX: u64 = 10_000;
/// Jobs that wait at one time; the file of each is about a kilobyte.
pub const JOBS_ACTIVE_MAX: usize = 10_000;
/// Of one user: whoever clicks more often has lost patience, not data.
pub const JOBS_OF_USER_MAX: usize = 50;
/// Jobs that have ended and are kept, however young: a list of them takes a fraction of a second.
pub const JOBS_KEPT_MAX: usize = 5000;
/// Ended jobs of one user that are kept.
pub const JOBS_KEPT_OF_USER_MAX: usize = 200;
/// Warnings an hour about what was no request.
pub const REQUESTS_TOLD_AN_HOUR: u32 = 20;
/// How long a job lets more urgent ones go before it: then all wait in the order in which they were
/// asked for, so that nobody keeps others waiting for ever.
pub const JOB_OVERDUE_MILLIS: i64 = 30 * 60 * 1000;
/// Bytes of the result of a job that are kept.
pub const JOB_RESULT_BYTES_MAX: u64 = 1024 * 1024;
/// Jobs of which it is noted what they wait for: the first in the order of their turns.
pub const JOBS_EXPLAINED: usize = 100;
/// How often jobs that have ended are looked through for old ones.
pub const JOBS_SWEEP_EVERY: std::time::Duration = std::time::Duration::from_secs(3600);
/// How long a job that was asked to stop may take: it ends where the repository and the user are in
/// a good state, and an import into a database does not end at once.
pub const JOB_STOP_WAIT: std::time::Duration = std::time::Duration::from_secs(120);
/// How long it may take once it was told to stop at once.
pub const JOB_KILL_WAIT: std::time::Duration = std::time::Duration::from_secs(30);
/// Before a job whose user somebody else works on is tried again.
pub const JOB_BUSY_PAUSE: std::time::Duration = std::time::Duration::from_secs(20);
/// For how long it is.
pub const JOB_BUSY_MILLIS_MAX: i64 = 86_400_000;
/// Before a job that was cut off is begun again.
pub const JOB_AGAIN_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);
/// How often whoever works the queue off looks at it while something runs, and while nothing does.
pub const RUNNER_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
/// See [`RUNNER_PAUSE`].
pub const RUNNER_IDLE_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// How long it leaves alone what does not work, such as a full disk.
pub const RUNNER_TROUBLE_PAUSE: std::time::Duration = std::time::Duration::from_secs(10);
/// Different troubles that are told before one look succeeds.
pub const RUNNER_TROUBLES_TOLD: usize = 100;
/// Tries to become the one who works the queue off: others only look whether there is one.
pub const RUNNER_LOCK_TRIES: usize = 20;
/// Time between them.
pub const RUNNER_LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(25);
/// The clock by which file systems note changes moves in steps of up to 10 ms.
pub const FILE_CLOCK_TICK_NANOS: i128 = 100_000_000;
/// How often schedules are looked at: they are due by the minute.
pub const SCHEDULES_LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(15);
/// Times that are looked at for one after the present: those of the hours before, in which a clock may
/// have been set.
pub const SCHEDULE_TIMES_SEARCHED: usize = 400;
/// Requests of customers that are looked at before something else is.
pub const REQUESTS_AT_ONCE: usize = 1000;
/// Names in their folder that are, those of requests being written among them.
pub const REQUESTS_LOOKED_AT: usize = 50_000;
/// How long a request may be in the writing: it is one write.
pub const REQUEST_DRAFT_SECONDS: u64 = 60;
/// Requests that one account may be writing at the same time.
pub const REQUEST_DRAFTS_OF_OWNER: usize = 8;
/// Refused ones of them that are named in the log.
pub const REQUESTS_REFUSED_TOLD: usize = 10;
/// Longest request: a user's name has 30 letters.
pub const REQUEST_BYTES_MAX: u64 = 512;
/// The end of a job's log that is shown.
pub const JOB_LOG_SHOWN_BYTES: u64 = 16 * 1024;
/// A job's result up to which it is shown: what the panel asks for is a few rows.
pub const JOB_RESULT_SHOWN_BYTES: u64 = 256 * 1024;
/// Longest password or key file read: they hold one or two lines.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Longest time for a command to tell a secret: a person may have to unlock a store of passwords.
pub const SECRET_COMMAND_SECONDS: u64 = 300;
/// Chunks that one job of a copy brings over: some megabytes, so that large files are shared among
/// the workers and small ones cost one hand-over.
pub const COPY_JOB_CHUNKS: usize = 16;
/// Chunks whose ids in the other repository a copy remembers, at some 100 bytes each.
pub const COPIED_CHUNKS_REMEMBERED: usize = 500_000;
/// Longest name of a repository: it becomes the name of files.
pub const REPOSITORY_NAME_BYTES_MAX: usize = 64;

/// Extended header of one tar member: room for the longest path, the longest link and all
/// extended attributes; GNU tar writes a few hundred bytes.
pub const TAR_EXTENSION_BYTES_MAX: u64 = 1024 * 1024;
/// Names remembered while a tar stream is read, to tell a member that comes twice: those of one
/// folder and the folders above it. 16 bytes each.
pub const TAR_NAMES_MAX: usize = 4_000_000;
/// Zeros after the end mark of a tar stream; GNU tar pads to 10 KiB unless told otherwise.
pub const TAR_PADDING_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest target of a symbolic link that Linux can make.
pub const LINK_TARGET_BYTES_MAX: usize = 4095;

/// The small files of a Hestia tarball that are read whole to look into them (`pam/passwd`,
/// `hestia/user.conf`, `cron/cron.conf`); real ones have a few KiB.
pub const HESTIA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files with several names that are remembered while one archive of a tarball is written; beyond
/// that, names become files of their own. About 200 bytes each.
pub const TARBALL_LINKED_MAX: usize = 200_000;
/// Names that one file gets in such an archive: ext4 allows 65,000.
pub const TARBALL_LINKS_MAX: u32 = 10_000;
/// Domains, databases and folders of one Hestia user.
pub const HESTIA_OBJECTS_MAX: usize = 100_000;

/// Names tried for one temporary file: each that is taken is another writer's or a leftover.
pub const TEMP_NAMES_TRIED: usize = 10_000;

/// What is kept of a program's complaints: their end, where the reason stands.
pub const COMPLAINT_BYTES_MAX: usize = 16 * 1024;
/// Lines of them that a message shows.
pub const COMPLAINT_LINES: usize = 5;
/// What is kept of an output's end to find its closing line: the last lines of a dump have less
/// than a hundred bytes.
pub const CLOSING_BYTES: usize = 1024;
/// How long a program whose output is read may be silent: a database server that waits for a lock
/// or sorts a large table takes its time, but not for ever.
pub const SILENCE_SECONDS: u64 = 4 * 3600;
/// Looks, 5 ms apart, whether the last complaint of an ended program has been read.
pub const LISTENER_WAITS: usize = 100;
/// Largest answer of a database server to a question of ours: names and definitions of everything
/// in a database but its rows.
pub const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longest definition of one object in a dump of PostgreSQL that a restore of a single table holds
/// back until it is clear whether it belongs to the table: functions are programs, not books.
pub const SECTION_BYTES_MAX: usize = 16 * 1024 * 1024;
/// All definitions of such a table together: indexes, triggers, policies, comments.
pub const TABLE_DEFINITIONS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A dump that failed was kept waiting if nobody read it for this long, and is made once more:
/// MariaDB ends a connection after a minute.
pub const DUMP_HELD_UP_SECONDS: u64 = 30;

/// How much of a dump of PostgreSQL is held to find the extensions it needs, which stand before its
/// first table: before them stands a line for everything in it.
pub const DUMP_HEAD_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How long the change of places of tables waits for those who use the old ones.
pub const TABLE_LOCK_SECONDS: u64 = 60;
/// How long each step of it waits once keys, triggers or views are off: nobody used the tables a
/// moment before.
pub const TABLE_STEP_SECONDS: u64 = 10;
/// Largest message between a restore and its deputy: the longest path, link and attributes of an
/// entry fit, and file content is cut into pieces.
pub const DEPUTY_FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of file content sent to a deputy at a time.
pub const DEPUTY_PIECE_BYTES: usize = 256 * 1024;
/// Longest text in a deputy's reply: a message with a path in it.
pub const DEPUTY_TEXT_BYTES_MAX: usize = 2048;
/// Items a deputy may owe a reply for; bounds what is remembered of them.
pub const DEPUTY_ITEMS_IN_FLIGHT: usize = 1024;
/// Changes up to which a deputy writes each file and folder to the disk by itself.
pub const SYNC_ONE_BY_ONE_MAX: usize = 64;
/// Longest silence of a deputy while it has something to do: its user can stop it.
pub const DEPUTY_SILENCE_SECONDS: u64 = 300;
/// Failures in a row, for want of room or quota, after which a restore gives up.
pub const FULL_DISK_FAILURES: u64 = 50;
/// Changes that a restore names one by one; more are only counted.
pub const CHANGES_NAMED_MAX: usize = 100_000;
/// Names and places of a zip archive's entries, kept until its end: some million files.
pub const ZIP_DIRECTORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Seconds that a file made for download stays: a day, as Hestia gives its own.
pub const DOWNLOAD_SECONDS: i64 = 86_400;
/// Files for download that one user has at a time: the folder is everybody's.
pub const DOWNLOADS_KEPT: usize = 3;
/// What a pipe from a program holds: what unprivileged processes may ask for.
pub const PIPE_BYTES: i32 = 1024 * 1024;
/// How long a pipe fills before it is read again: at 500 MB/s it is then half full.
pub const PIPE_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// First pause before a store is asked again; each is twice the one before, up to
/// [`RETRY_PAUSE_MAX`], and shortened at random by up to a half, so that several servers that were
/// cut off together do not come back together.
pub const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
/// See [`RETRY_PAUSE`].
pub const RETRY_PAUSE_MAX: std::time::Duration = std::time::Duration::from_secs(60);
/// How long one request to a store is asked again: a provider's bad quarter of an hour passes,
/// and a night does not hang on a store that is gone.
pub const RETRY_SECONDS: u64 = 900;
/// Most times that one request is tried, whatever the time.
pub const RETRY_TRIES: u32 = 100;
/// The same for a store that has not answered this run at all: more likely its address is wrong.
pub const RETRY_TRIES_AT_FIRST: u32 = 4;
/// How often somebody who waits to try again looks whether to stop.
pub const RETRY_LOOK: std::time::Duration = std::time::Duration::from_millis(200);
/// How long a store may take to accept a connection.
pub const CONNECT_WAIT: std::time::Duration = std::time::Duration::from_secs(20);
/// How long a request may stand still: stores write to several disks before they answer.
pub const SILENCE_WAIT: std::time::Duration = std::time::Duration::from_secs(90);
/// Bytes a second that rclone passes on at least: some remotes take no stream, so that it has all of a
/// file before it sends any, and says nothing meanwhile. A pack of 48 MiB may take a quarter of an hour.
pub const PASSED_ON_BYTES_A_SECOND: u64 = 56 * 1024;
/// What must move in that time to count as progress: 180 bytes a second is no line.
pub const PROGRESS_BYTES: u64 = 16 * 1024;
/// Pieces that the body of a request is sent in.
pub const HTTP_PIECE_BYTES: usize = 128 * 1024;
/// Characters of a store's answer that a message quotes.
pub const ANSWER_QUOTED_CHARS: usize = 300;
/// Longest answer that is not content, such as a page of a listing: 1,000 names at a kilobyte each
/// fit many times.
pub const STORE_ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Pages of one listing: a hundred million files.
pub const STORE_PAGES_MAX: usize = 100_000;
/// Files above this are uploaded in parts to S3. A pack fits: it is one request then.
pub const S3_WHOLE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of one such part. S3 takes at most 10,000 and at least 5 MiB each but for the last.
pub const S3_PART_BYTES: u64 = 16 * 1024 * 1024;
/// Files above this are uploaded to Azure in blocks: the SDK wants a copy of what it sends. A pack
/// fits: it is one request then.
pub const AZURE_WHOLE_BYTES_MAX: u64 = 24 * 1024 * 1024;
/// What a provider lends is asked for again when it is good for no longer than this.
pub const LENT_RENEWED_SECONDS: i64 = 300;
/// What a run left unfinished in `tmp/` is removed after a day at the earliest.
pub const LEFTOVER_SECONDS: i64 = 86_400;
/// The largest pack meant for Azure; the last blob may pass it by half of what a blob may have.
pub const AZURE_PACK_BYTES_MAX: u64 = 20 * 1024 * 1024;
/// Bytes of one such block.
pub const AZURE_BLOCK_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes that one request of SFTP reads or writes: what every server takes.
pub const SFTP_PIECE_BYTES: usize = 32 * 1024;
/// Requests of SFTP under way at once: 2 MiB keep a line of 300 Mbit/s and 50 ms busy.
pub const SFTP_REQUESTS_IN_FLIGHT: usize = 64;
/// Longest packet of SFTP that is believed: OpenSSH's own bound.
pub const SFTP_PACKET_BYTES_MAX: usize = 256 * 1024;
/// Folders of packs that are listed at once over SFTP: servers allow some hundred open handles.
pub const SFTP_FOLDERS_AT_ONCE: usize = 32;
/// How long the last words of a program that has ended may take to arrive.
pub const LAST_WORDS_WAIT: std::time::Duration = std::time::Duration::from_millis(200);
/// How often whoever waits for a lock looks.
pub const LOCK_LOOK: std::time::Duration = std::time::Duration::from_millis(20);
/// How long a run waits for another of this machine that is storing a snapshot. After that it signs
/// its own as a writer of its own.
pub const MEMORY_WAIT: std::time::Duration = std::time::Duration::from_secs(60);
/// Chunks that a reader remembers to have compared with their names; then it forgets all.
pub const JUDGED_MAX: usize = 1 << 20;
/// Keys of its own trees and snapshots that a machine with write-only keys keeps: those of a pack a
/// night for a hundred users and a year fit. Without the rest it reads some files once more.
pub const KEPT_KEYS_MAX: usize = 65_536;
/// Bytes of the file with them.
pub const KEPT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How long such a key is kept that no backup had a use for. Whoever breaks into the machine can
/// read what they open, so not for ever; and whoever is backed up once a month should have a parent.
pub const KEPT_KEY_SECONDS: i64 = 35 * 86_400;
/// Bytes of what a machine remembers of a repository: a hundred thousand removed ranges fit.
pub const MEMORY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Chains of others that an entry of the history names.
pub const HISTORY_SEEN_MAX: usize = 64;
/// How often a history that looks wrong is looked at before somebody is told.
pub const HISTORY_LOOKS: usize = 3;
/// How long a look at a history counts for what the same process removes.
pub const HISTORY_LOOK_SPAN: std::time::Duration = std::time::Duration::from_secs(10 * 60);
/// How long one waits between two such looks.
pub const HISTORY_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// Hours within which a customer's own schedule is done once: less than a day, as it is spread.
pub const OWN_BACKUP_HOURS: i64 = 20;
