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
//! - `base/notify_limits.rs`: the same of notifications
//! - `base/settings_limits.rs`: the same of what is set by commands
//! - `base/monitor.rs`: counts, stages, warnings and the wish to stop; nothing is printed
//! - `base/pace.rs`: a rate that several threads keep together
//! - `base/path.rs`: `RelPath`, raw bytes that never leave their tree; display without deceit
//! - `base/units.rs`: sizes and durations, parsed and printed
//! - `base/world.rs`: the only clock and the only random generator, real or seeded
//!
//! # crypto: the room an auditor reads in one sitting
//!
//! Pure functions on bytes: no I/O, no clock, no generator.
//!
//! - `crypto/mod.rs`: what the other rooms import
//! - `crypto/deposit.rs`: sealing for those who have the master keys, by those who have not
//! - `crypto/kept.rs`: the keys of files that write-only keys have made
//! - `crypto/kdf.rs`: passwords into keys by Argon2id, with floor and ceiling; key files
//! - `crypto/keys.rs`: the master keys, their sub-keys, file keys, chunk ids, the chunker's table
//! - `crypto/seal.rs`: ChaCha20-Poly1305 with counted nonces
//! - `crypto/sign.rs`: signatures of those who write, and of the index by the owner
//!
//! # backend: named immutable files somewhere
//!
//! Sees opaque bytes, never a key or a snapshot. One suite (`tests/backend.rs`) runs against every
//! backend and every wrapper.
//!
//! - `backend/mod.rs`: the trait `Backend`, file kinds and names
//! - `backend/open.rs`: from an address to a backend; the only list of schemes
//! - `backend/retry.rs`: asks again what failed in a way that may pass; nobody else does
//! - `backend/local.rs`: a folder; files appear whole and durable or not at all
//! - `backend/http.rs`: requests over HTTP: bounded, watched for progress, never asked again
//! - `backend/lent.rs`: keys that a provider lends to its own machines
//! - `backend/s3/mod.rs`: a bucket of S3 and its likenesses
//! - `backend/s3/options.rs`: which bucket, and how it is reached
//! - `backend/s3/errors.rs`: what a refusal of S3 means, and what mends it
//! - `backend/azure/mod.rs`: a container of Azure Blob Storage
//! - `backend/azure/options.rs`: which container, and how it is reached
//! - `backend/azure/line.rs`: the SDK's requests over our client, signed with an account's key
//! - `backend/azure/errors.rs`: what a refusal of Azure means, and what mends it
//! - `backend/child.rs`: a program that is talked to, with bounds: `ssh`, rclone
//! - `backend/sftp/mod.rs`: a folder on an SSH server
//! - `backend/sftp/options.rs`: which folder, and how `ssh` is called
//! - `backend/sftp/wire.rs`: the SFTP protocol, many requests under way
//! - `backend/rclone.rs`: whatever rclone reaches, over its remote control
//! - `backend/mem.rs`: in memory, with an optional quota: the disk of most tests
//! - `backend/throttle.rs`: no faster than asked for
//! - `backend/worded.rs`: errors in the words of whoever set the options
//! - `backend/probe.rs`: tries out what a repository will ask of its place
//! - `backend/private_file.rs`: a small file of this machine that is nobody else's
//! - `backend/scratch.rs`: room on a disk for what does not fit into memory
//! - `backend/fault.rs`: fails on purpose: dies at the n-th change, full disk, cut listing, lost
//!   answers
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
//! - `format/keyslot.rs`: the master keys wrapped under a password or key file
//! - `format/kept.rs`: the keys that a machine with write-only keys keeps
//! - `format/kit.rs`: the key of a recovery kit, typed from paper
//! - `format/lock.rs`: who is writing at this moment
//! - `format/history.rs`: who stored and removed what, signed
//! - `format/pack.rs`: blobs, the sealed end, the footer
//! - `format/rows.rs`: SQL dumps: groups of rows, row tables, row maps
//! - `format/index.rs`: index segments
//! - `format/snapshot.rs`: the commit record, with all that a list shows
//! - `format/tree.rs`: nodes of a folder
//!
//! # repo: chunks in, chunks out
//!
//! Never a path of a backed-up tree, never a Hestia word.
//!
//! - `repo/mod.rs`: `Repository` (make, open) and `IndexedRepository`
//! - `repo/found.rs`: whether there is one, and opening it
//! - `repo/unlock.rs`: which key slot a secret opens, and which to take
//! - `repo/keys.rs`: key slots: list, add, change, remove, rotate
//! - `repo/local_copy.rs`: index, snapshots and trees of a repository far away, on this machine
//! - `repo/index.rs`: the index in memory: which chunk lies where
//! - `repo/indexed.rs`: a repository with its index, for whoever looks or writes
//! - `repo/naming.rs`: which segments count, and so which packs
//! - `repo/pack_list.rs`: the packs of an index with all that it says of them
//! - `repo/authority.rs`: whom to believe about packs, where there are write-only keys
//! - `repo/kept.rs`: keeps the keys of a machine's own trees, if it has no others
//! - `repo/chunk_table.rs`: its sorted table of chunks
//! - `repo/foreseen.rs`: listings taken together, where each is a journey
//! - `repo/fresh.rs`: what this process has stored since: shared by all its writers
//! - `repo/locks.rs`: notes of who is writing; nobody waits for them
//! - `repo/history.rs`: signs what is stored and removed, and refuses what was rolled back
//! - `repo/ledger.rs`: all entries side by side, and what is wrong with them
//! - `repo/diary.rs`: what this machine remembers of them
//! - `repo/fence.rs`: the last look before a snapshot is stored: was anything pruned?
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
//! - `tree/command.rs`: a program as a stream, read or written
//! - `tree/build.rs`: sorted nodes, split into tree chunks
//! - `tree/live.rs`: folders and files of a live file system, held by handles
//! - `tree/walk.rs`: source: folders on a disk
//! - `tree/dir.rs`: target: a folder on a disk, owners, modes, times, attributes
//! - `tree/pace.rs`: a source, read no faster than asked for
//! - `tree/deputy/mod.rs`: a process that changes files as somebody else, on order: the messages
//! - `tree/deputy/client.rs`: the side that gives the orders
//! - `tree/deputy/serve.rs`: the side that gives up its rights and obeys
//! - `tree/tee.rs`: one source for several readers, its streams read once
//! - `tree/stream.rs`: source: one file from a stream
//! - `tree/tar_member.rs`: the members of a tar stream, strictly read
//! - `tree/tar_in.rs`: source: a tar stream
//! - `tree/tar_out.rs`: sink: a tar stream
//! - `tree/zip_out.rs`: sink: a zip archive
//!
//! # ops: the verbs
//!
//! Functions from (repository, options, monitor) to a report. They print nothing and ask nobody.
//!
//! - `ops/mod.rs`: what the other rooms import
//! - `ops/backup.rs`: from a source to a snapshot: the feeder of the pipeline
//! - `ops/several.rs`: the same source into several repositories at once
//! - `ops/work.rs`: its workers: read, cut, hash, hand to the writer
//! - `ops/assemble.rs`: its assembler: trees, bottom up, in the order of the source
//! - `ops/rows.rs`: SQL dumps, row by row against the parent's
//! - `ops/parent.rs`: the snapshot that unchanged files are taken over from
//! - `ops/restore/mod.rs`: options, report, finding an entry by its path
//! - `ops/restore/origin.rs`: the same to where it came from, with the folders that lead there
//! - `ops/restore/plan.rs`: which parts of which packs go where
//! - `ops/restore/fetch.rs`: the workers that read packs and write files
//! - `ops/restore/folder.rs`: into a folder: decide, fetch, links, attributes, sync
//! - `ops/restore/deputy/mod.rs`: below a home, through a deputy: decide, order, folders, links
//! - `ops/restore/deputy/file.rs`: its files: compare, send what differs
//! - `ops/restore/deputy/remove.rs`: what goes
//! - `ops/restore/deputy/undo.rs`: what an earlier restore made, and what is newer
//! - `ops/restore/deputy/book.rs`: what is still owed an answer
//! - `ops/restore/sink.rs`: into a sink, in the order of the tree
//! - `ops/list.rs`: walk, find, compare
//! - `ops/forget.rs`: which snapshots a policy keeps, and why
//! - `ops/pin.rs`: snapshots that no policy drops
//! - `ops/prove.rs`: rebuilds all of a snapshot and throws it away
//! - `ops/prune/mod.rs`: frees what no snapshot needs: mark, wait, remove
//! - `ops/prune/needed.rs`: which chunks the snapshots need
//! - `ops/prune/plan.rs`: what becomes of each pack
//! - `ops/prune/repack.rs`: what is needed of a pack, written anew
//! - `ops/prune/vouch.rs`: what only write-only keys say of packs, compared with the packs
//! - `ops/prune/book.rs`: its notes, and the merging of index segments
//! - `ops/copy/mod.rs`: snapshots into a repository with other keys
//! - `ops/copy/content.rs`: what is new of one of them
//! - `ops/check.rs`: structure and data; typed findings
//! - `ops/check_unproven.rs`: what only write-only keys say of packs
//! - `ops/repair/mod.rs`: mending: first the index, then packs, then snapshots
//! - `ops/repair/index.rs`: a new index from the ends of all packs
//! - `ops/repair/packs.rs`: what can be read of damaged packs into new ones
//! - `ops/repair/heal.rs`: what is lost from another repository that has it
//! - `ops/repair/losses.rs`: what of the snapshots cannot be had any more
//! - `ops/repair/snapshots.rs`: damaged snapshots anew, without what is lost
//! - `ops/stats.rs`: numbers about a repository
//! - `ops/tripwire.rs`: notices when files were encrypted in place
//! - `ops/wipe.rs`: removes a whole repository
//!
//! # hestia: all that knows HestiaCP
//!
//! What it relies on is listed in `docs/hestia.md`.
//!
//! - `hestia/mod.rs`: what the other rooms import
//! - `hestia/layout.rs`: every path of Hestia; user names
//! - `hestia/conf.rs`: `KEY='value'` files, read and never run
//! - `hestia/excludes.rs`: what a user has taken out of the backups
//! - `hestia/customers.rs`: what customers decide about their own backups, if they may
//! - `hestia/inventory.rs`: users and what belongs to them
//! - `hestia/select.rs`: the arguments WEB DNS MAIL DB CRON UDIR
//! - `hestia/settings.rs`: `/etc/ghostsnap/ghostsnap.toml`
//! - `hestia/setting_place.rs`: where in the file something is wrong
//! - `hestia/setting_keys.rs`: all of its keys: what they mean, and who may change them
//! - `hestia/setting_edit.rs`: one value of a text exchanged, all else as it was written
//! - `hestia/setting_file.rs`: that for the file
//! - `hestia/keep.rs`: which backups are kept, as the settings say it
//! - `hestia/named.rs`: repositories with a name, in `/etc/ghostsnap/repositories`
//! - `hestia/records.rs`: what runs and rehearsals came to, noted for lists
//! - `hestia/setup.rs`: the repository and key file of this server, made by the first backup
//! - `hestia/call.rs`: runs `v-*` commands and database clients; fakeable
//! - `hestia/accounts.rs`: accounts of the system and the hashes of their passwords
//! - `hestia/paths.rs`: paths as a customer knows them, and where they lie in the tree
//! - `hestia/database.rs`: rows of databases, their servers, and how those are asked
//! - `hestia/dump.rs`: dumps of live databases as streams
//! - `hestia/dump_text.rs`: what a dump makes, and what an import of it must not see
//! - `hestia/dump_text_mysql.rs`: that for MySQL and MariaDB
//! - `hestia/dump_text_pgsql.rs`: that for PostgreSQL
//! - `hestia/dump_watch.rs`: passes one on as it is, and notes what it makes
//! - `hestia/sql_lexer.rs`: where strings and comments of PostgreSQL's SQL end
//! - `hestia/import.rs`: a dump into a database, without trusting it
//! - `hestia/import_mysql.rs`: that for MySQL and MariaDB
//! - `hestia/import_mysql_look.rs`: what it finds in a database
//! - `hestia/import_mysql_keys.rs`: foreign keys of a single table of it that changes places
//! - `hestia/import_mysql_marker.rs`: what it notes of itself, and its end after it was killed
//! - `hestia/import_mysql_turn.rs`: one step of it at a time, and the wait for those who use tables
//! - `hestia/mysql_maker.rs`: MySQL and MariaDB where they differ: dumps, hashes of passwords
//! - `hestia/import_pgsql.rs`: that for PostgreSQL
//! - `hestia/import_pgsql_attributes.rs`: what of a database there stands in no dump
//! - `hestia/import_pgsql_rights.rs`: who else may do what in it
//! - `hestia/import_pgsql_table.rs`: a single table there, and its change of places
//! - `hestia/import_pgsql_keys.rs`: its foreign keys, taken off and looked at again
//! - `hestia/import_leftovers.rs`: what killed imports left, brought to an end
//! - `hestia/import_rehearsal.rs`: an import that is only rehearsed, and goes again
//! - `hestia/import_trace.rs`: what a failed one has changed, and whether a table was there before
//! - `hestia/pgsql_extensions.rs`: those that only an administrator may add, and a dump needs
//! - `hestia/asuser.rs`: files back into a home by a process that acts as the user
//! - `hestia/userlock.rs`: one job per user at a time
//! - `hestia/tarballs.rs`: the tarballs in `/backup` and the rows that register them
//! - `hestia/tarball_in.rs`: source: a native tarball, opened into the canonical tree
//! - `hestia/objects.rs`: which objects a canonical tree holds
//! - `hestia/direct/mod.rs`: source: a live user, as the canonical tree
//! - `hestia/direct/subject.rs`: the user being read: handles, rows, what is left out
//! - `hestia/direct/sections.rs`: each section of the tree, read from the live user
//! - `hestia/direct/again.rs`: dumps that were kept waiting, made once more
//! - `hestia/direct/copies.rs`: entries as Hestia's backup copies them
//! - `hestia/direct/extra.rs`: what Hestia's tarballs lose
//! - `hestia/direct/idn.rs`: the folder names of mail domains
//! - `hestia/tarball_dump.rs`: a dump in it, read to its closing line
//! - `hestia/tarball_out.rs`: sink: the canonical tree as a native tarball
//! - `hestia/queue/mod.rs`: the queue of jobs: its folders
//! - `hestia/queue/job.rs`: what a job is, and how it went
//! - `hestia/queue/spool.rs`: where jobs are kept
//! - `hestia/queue/note.rs`: how far a running one is
//! - `hestia/queue/turn.rs`: whose turn it is, and what becomes of a job that ended
//! - `hestia/queue/runner.rs`: begins jobs, stops them, notes how they ended
//! - `hestia/queue/child.rs`: the processes of jobs and runners
//! - `hestia/queue/request.rs`: requests of customers who have no rights
//! - `hestia/queue/schedule.rs`: what is done again and again
//! - `hestia/queue/due.rs`: what of it is due, and when it was due last
//! - `hestia/queue/when.rs`: cron expressions and their like
//! - `hestia/queue/rules.rs`: the settings of the queue
//! - `hestia/notify/mod.rs`: telling people how backups are
//! - `hestia/notify/rules.rs`: who is told what and where, in the settings
//! - `hestia/notify/target.rs`: everybody who is told
//! - `hestia/notify/look.rs`: one look at all users and repositories
//! - `hestia/notify/trouble.rs`: what is wrong, one by one
//! - `hestia/notify/plan.rs`: who is told what of it now
//! - `hestia/notify/told.rs`: what was told already
//! - `hestia/notify/message.rs`: what a message says
//! - `hestia/notify/dress.rs`: the same for mail, the panel, and each sort of webhook
//! - `hestia/notify/send.rs`: sends one message to one receiver
//! - `hestia/notify/pass.rs`: sends everything, and notes what arrived
//! - `hestia/notify/ping.rs`: who outside is told that a run began and ended
//! - `hestia/notify/metrics.rs`: how all is, in numbers
//! - `hestia/jobs/mod.rs`: what a job is given: the server, the repository, a monitor
//! - `hestia/jobs/files.rs`: files of a user: list, put back in place, compare
//! - `hestia/jobs/answers.rs`: automatic answers of mail accounts, which Hestia's backup loses
//! - `hestia/jobs/ftp_accounts.rs`: passwords of FTP accounts, which Hestia's rebuild mixes up
//! - `hestia/jobs/mailbox.rs`: one mail account, its mails and its configuration
//! - `hestia/jobs/download.rs`: a file or folder as one file that the panel can serve
//! - `hestia/jobs/backup.rs`: back users up, in one of two ways
//! - `hestia/jobs/backup_places.rs`: the repositories that a user is stored in, all at once
//! - `hestia/jobs/several.rs`: several users at the same time, each on its own
//! - `hestia/jobs/backup_tarball.rs`: let Hestia make a tarball, prove it, open it
//! - `hestia/jobs/backup_direct.rs`: read the live user, when the machine has time for it
//! - `hestia/jobs/leftovers.rs`: what a stopped `v-backup-user` leaves behind
//! - `hestia/jobs/cleanup.rs`: thin out tarballs whose content is stored
//! - `hestia/jobs/import.rs`: take old tarballs in
//! - `hestia/jobs/export.rs`: make a native tarball of a snapshot
//! - `hestia/jobs/preflight.rs`: what is looked at before Hestia takes a tarball
//! - `hestia/jobs/filter.rs`: what of an archive Hestia's scripts must not believe
//! - `hestia/jobs/restore.rs`: give a user back, with or through `v-restore-user`
//! - `hestia/jobs/restore_steps.rs`: the steps of that
//! - `hestia/jobs/outlook.rs`: what a restore would do, and what stands in its way
//! - `hestia/jobs/findings.rs`: what would stop or surprise a restore, and what mends it
//! - `hestia/jobs/plan.rs`: what would be made, overwritten and removed
//! - `hestia/jobs/offers.rs`: addresses, templates, servers and packages of this Hestia
//! - `hestia/jobs/shelf.rs`: configuration that is sorted out of a snapshot
//! - `hestia/jobs/in_place.rs`: sites, mailboxes and the home, straight to their place
//! - `hestia/jobs/rename.rs`: a user's tree under another name
//! - `hestia/jobs/web_row.rs`: the row of a web domain that is new here
//! - `hestia/jobs/restore_database.rs`: give a database or a table back, without Hestia's restore
//! - `hestia/jobs/look_database.rs`: what the restore of a database would do
//! - `hestia/jobs/databases_in_place.rs`: those of a restored user, each straight to its place
//! - `hestia/jobs/database_plan.rs`: a database in a snapshot, and what giving it back will do
//! - `hestia/jobs/safety.rs`: what a restore will overwrite, saved before it does
//! - `hestia/jobs/saved.rs`: whether all of that was saved
//! - `hestia/jobs/put_back.rs`: objects and files as they were before a restore
//! - `hestia/jobs/rollback.rs`: what a restore could not do, put back at once
//! - `hestia/jobs/undo.rs`: list restores, take one back
//! - `hestia/jobs/verify.rs`: what a restore really brought back
//! - `hestia/jobs/rehearsal.rs`: a restore that is rehearsed, to prove a backup
//! - `hestia/jobs/rehearsal_users.rs`: that for many users, the longest unproven first
//! - `hestia/jobs/rehearsal_parts.rs`: whether Hestia would understand its own files
//! - `hestia/jobs/rehearsal_databases.rs`: dumps into throw-away databases
//! - `hestia/jobs/manage.rs`: list, find and remove snapshots of users
//! - `hestia/jobs/last_run.rs`: what the last run of a user said, noted
//! - `hestia/jobs/health.rs`: how well each user is backed up
//! - `hestia/jobs/health_places.rs`: how well a repository is
//! - `hestia/jobs/retention.rs`: which backups of users are kept, by whose rule
//! - `hestia/jobs/report.rs`: each user's result, and the exit code of the whole
//!
//! # cli: the outside
//!
//! One table describes every command. The parser, the help, the shims, the API profiles, man pages,
//! completions and two documents are made from it. Only this room prints.
//!
//! - `cli/mod.rs`: from words to an exit code
//! - `cli/table.rs`: what a row of the table holds, and what must hold for all rows
//! - `cli/table_engine.rs`: the rows of the engine's commands
//! - `cli/table_care.rs`: the rows of those that look after a repository
//! - `cli/table_rehearsal.rs`: the rows of the commands that prove backups
//! - `cli/table_health.rs`: the rows of how well users are backed up, and repositories are
//! - `cli/table_backup.rs`: the row of the engine's backup
//! - `cli/table_hestia.rs`: the rows of the commands for Hestia users, with their shims
//! - `cli/table_databases.rs`: the row of the restore of a database, the shims of restores
//! - `cli/table_files.rs`: the rows for single files, folders and mail accounts, with their shims
//! - `cli/table_restore.rs`: the panel's commands that restore
//! - `cli/table_undo.rs`: the rows that list restores and take them back
//! - `cli/table_keys.rs`: those of the commands about keys
//! - `cli/table_history.rs`: that of the history
//! - `cli/table_repair.rs`: those of the commands that mend a repository
//! - `cli/table_queue.rs`: the rows that hand jobs to the queue, with their shims
//! - `cli/table_jobs.rs`: the rows that look at the queue
//! - `cli/table_schedules.rs`: the rows of what is done again and again
//! - `cli/table_own.rs`: the rows of what customers decide themselves
//! - `cli/table_settings.rs`: the rows that list and change the settings
//! - `cli/table_notify.rs`: the rows that tell people how backups are
//! - `cli/table_monitoring.rs`: the rows for programs that watch
//! - `cli/table_repositories.rs`: the rows for repositories that have a name, with their shims
//! - `cli/table_flags.rs`: options and arguments that several rows share
//! - `cli/args.rs`: from words to an invocation
//! - `cli/engine.rs`: init, restore
//! - `cli/engine_backup.rs`: backup, into one repository or several
//! - `cli/engine_care.rs`: forget, prune, check, unlock
//! - `cli/engine_repair.rs`: repair index, packs, snapshots
//! - `cli/engine_look.rs`: snapshots, ls, find, dump, diff, stats
//! - `cli/engine_copy.rs`: copy between repositories
//! - `cli/kit.rs`: the page of a recovery kit
//! - `cli/engine_keys.rs`: key list, add, change, remove
//! - `cli/engine_history.rs`: history
//! - `cli/files.rs`: files, folders and mail accounts of Hestia users
//! - `cli/panel.rs`: the commands for Hestia users
//! - `cli/panel_backup.rs`: their backup, each into the repositories that are theirs
//! - `cli/panel_look.rs`: those of them that only look
//! - `cli/panel_restore.rs`: those that restore them
//! - `cli/panel_database.rs`: the restore of a database or a table
//! - `cli/panel_health.rs`: how well users are backed up
//! - `cli/panel_queue.rs`: hand jobs in, look at them, cancel them
//! - `cli/panel_schedules.rs`: add, list, change and delete schedules; hand in what is due
//! - `cli/run_jobs.rs`: work the queue off; the process of one job
//! - `cli/job_note.rs`: what that notes of how far it is
//! - `cli/panel_places.rs`: how well repositories are
//! - `cli/tended.rs`: notes of checks and prunes
//! - `cli/panel_rehearsal.rs`: backups proven by a rehearsal of their restore
//! - `cli/panel_undo.rs`: list restores, take one back
//! - `cli/panel_own.rs`: a customer's own schedule and exclusions
//! - `cli/settings.rs`: list and change the settings
//! - `cli/notify.rs`: telling people how backups are
//! - `cli/around.rs`: the same before and after runs, and pings
//! - `cli/monitoring.rs`: metrics, and an answer for Nagios
//! - `cli/named.rs`: add, list, change, delete and test repositories that have a name
//! - `cli/tools.rs`: completions, generate
//! - `cli/repository.rs`: which repository is meant, and opening it
//! - `cli/places.rs`: the repositories of one run, open or with what is wrong
//! - `cli/secret.rs`: where the password or key comes from
//! - `cli/words.rs`: splits a line into words, without a shell
//! - `cli/output.rs`: the only place that prints
//! - `cli/rows.rs`: rows as json, plain, csv, shell or a table
//! - `cli/progress.rs`: what a long job tells while it runs
//! - `cli/signals.rs`: Ctrl-C
//! - `cli/generate.rs`: writes and compares what is made from the table
//! - `cli/generate_api.rs`: docs/api.md
//! - `cli/generate_docs.rs`: docs/cli.md and docs/errors.md
//! - `cli/generate_shims.rs`: shims and API profiles
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
