// SPDX-License-Identifier: MIT
//! Ghostsnap: encrypted, deduplicated backups of HestiaCP users, and their restore.
//!
//! This page is the map of the house. What the words mean and why things are as they are stands in
//! `docs/design.md`; every byte on a disk is defined in `docs/format.md`. A room is a folder of
//! `src/` and uses only rooms of lower rank:
//!
//! ```text
//! rank 6   cli            the outside: words, formats, arguments
//! rank 5   hestia         all that knows HestiaCP
//! rank 4   ops            the verbs: back up, restore, check, forget, list
//! rank 3   repo   tree    chunks in a repository     entries of a file tree
//! rank 2   format         docs/format.md in Rust
//! rank 1   crypto backend keys and sealing           named immutable files
//! rank 0   base           words everybody uses
//! ```
//!
//! `tests/tidy.rs` fails on an import against the ranks, and on a file that this map lacks.
//!
//! # base: the words everybody uses
//!
//! Knows nothing of backups. Everything that another room might be tempted to make a second time
//! lives here: one error type, one clock, one notion of a path.
//!
//! - `base/mod.rs`: what the other rooms import
//! - `base/error.rs`: `Error` with what, why, hint and kind; `Kind` and its exit codes
//! - `base/id.rs`: `ChunkId` and `FileId`
//! - `base/limits.rs`: every bound of the program, with its reason
//! - `base/monitor.rs`: counts, stages, warnings and the wish to stop; nothing is printed
//! - `base/path.rs`: `RelPath`, raw bytes that never leave their tree; display without deceit
//! - `base/units.rs`: sizes and durations, parsed and printed
//! - `base/world.rs`: the only clock and the only random generator, real or seeded
//!
//! # crypto: the room an auditor reads in one sitting
//!
//! Pure functions on bytes: no I/O, no clock, no generator.
//!
//! - `crypto/mod.rs`: what the other rooms import
//! - `crypto/kdf.rs`: passwords into keys by Argon2id, with floor and ceiling; key files
//! - `crypto/keys.rs`: the master key, its sub-keys, file keys, chunk ids, the chunker's table
//! - `crypto/seal.rs`: ChaCha20-Poly1305 with counted nonces
//!
//! # backend: named immutable files somewhere
//!
//! Sees opaque bytes, never a key or a snapshot. One suite (`tests/backend.rs`) runs against every
//! backend and every wrapper.
//!
//! - `backend/mod.rs`: the trait `Backend`, file kinds and names
//! - `backend/open.rs`: from an address to a backend; the only list of schemes
//! - `backend/local.rs`: a folder; files appear whole and durable or not at all
//! - `backend/mem.rs`: in memory, with an optional quota: the disk of most tests
//! - `backend/fault.rs`: fails on purpose: dies at the n-th change, full disk, cut listing
//!
//! # format: docs/format.md in Rust
//!
//! Bytes in, values out. What is decoded here may be anything: the answer is a value or an error.
//!
//! - `format/mod.rs`: what the other rooms import
//! - `format/envelope.rs`: the 48-byte header, framing, sealed records
//! - `format/chunker.rs`: content-defined borders from a secret table
//! - `format/compress.rs`: zstd per blob, bounded by the recorded length
//! - `format/config.rs`: the repository's own description
//! - `format/keyslot.rs`: the master key wrapped under a password or key file
//! - `format/pack.rs`: blobs, the sealed end, the footer
//! - `format/index.rs`: index segments
//! - `format/snapshot.rs`: the commit record, with all that a list shows
//! - `format/tree.rs`: nodes of a folder
//!
//! # repo: chunks in, chunks out
//!
//! Never a path of a backed-up tree, never a Hestia word.
//!
//! - `repo/mod.rs`: `Repository` (make, open) and `IndexedRepository`
//! - `repo/keys.rs`: key slots: unlock, list, add, change, remove
//! - `repo/index.rs`: the index in memory: which chunk lies where
//! - `repo/writer.rs`: chunk, blob, pack, verify, upload, index; `finish` makes all durable
//! - `repo/reader.rs`: chunks and trees back, with a cache of blobs
//! - `repo/snapshots.rs`: list, find, save, remove
//!
//! # tree: where entries come from and where they go
//!
//! Never a repository. Paths that a hosting user controls are walked beneath an open handle.
//!
//! - `tree/mod.rs`: what the other rooms import
//! - `tree/source.rs`: the trait `Source`, `Entry` and its content
//! - `tree/sink.rs`: the trait `Sink`
//! - `tree/select.rs`: which entries are meant: globs
//! - `tree/build.rs`: sorted nodes, split into tree chunks
//! - `tree/walk.rs`: source: folders on a disk
//! - `tree/dir.rs`: target: a folder on a disk, owners, modes, times, attributes
//! - `tree/tar_member.rs`: the members of a tar stream, strictly read
//! - `tree/tar_in.rs`: source: a tar stream
//! - `tree/tar_out.rs`: sink: a tar stream
//!
//! # ops: the verbs
//!
//! Functions from (repository, options, monitor) to a report. They print nothing and ask nobody.
//!
//! - `ops/mod.rs`: what the other rooms import
//! - `ops/backup.rs`: from a source to a snapshot: the feeder of the pipeline
//! - `ops/work.rs`: its workers: read, cut, hash, hand to the writer
//! - `ops/assemble.rs`: its assembler: trees, bottom up, in the order of the source
//! - `ops/parent.rs`: the snapshot that unchanged files are taken over from
//! - `ops/restore/mod.rs`: options, report, finding an entry by its path
//! - `ops/restore/plan.rs`: which parts of which packs go where
//! - `ops/restore/fetch.rs`: the workers that read packs and write files
//! - `ops/restore/folder.rs`: into a folder: decide, fetch, links, attributes, sync
//! - `ops/restore/sink.rs`: into a sink, in the order of the tree
//! - `ops/list.rs`: walk, find, compare
//! - `ops/forget.rs`: which snapshots a policy keeps, and why
//! - `ops/check.rs`: structure and data; typed findings
//! - `ops/repair.rs`: a new index from the ends of all packs
//! - `ops/stats.rs`: numbers about a repository
//!
//! # hestia: all that knows HestiaCP
//!
//! What it relies on is listed in `docs/hestia.md`.
//!
//! - `hestia/mod.rs`: what the other rooms import
//! - `hestia/tarball_in.rs`: a native tarball as a source: the canonical tree
//! - `hestia/tarball_out.rs`: the canonical tree as a native tarball
//!
//! # The program
//!
//! - `main.rs`: arguments in, exit code out
//!
//! # Where do I add ...
//!
//! - a place to store repositories? A file in `backend`, a line in its `open`, a row in the suite.
//! - a fact about an entry? `format/tree.rs` with a new field number, `docs/format.md`, then
//!   `tree/walk.rs` and `tree/dir.rs`.
//! - something to back up? A `Source` in `tree` (or in `hestia`, if it knows Hestia).
//! - something to restore into? A `Sink`.
//! - a verb? A function in `ops` with options and a report, then a row in the table of `cli`.
//! - a command for Hestia? A job in `hestia`, then a row with a shim.
//! - a bound? `base/limits.rs`, with its reason.
//! - an exit code? Think twice, then `base/error.rs`: others parse them.

pub mod backend;
pub mod base;
pub mod cli;
pub mod crypto;
pub mod format;
pub mod hestia;
pub mod ops;
pub mod repo;
pub mod tree;
