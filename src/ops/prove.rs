// SPDX-License-Identifier: MIT
//! Rebuilds everything that a snapshot holds and throws it away: every folder is read, every chunk
//! opened and compared with its name, every file put together to its last byte. What cannot be read
//! is a finding and stops nothing else. Nothing is written anywhere.

use super::restore::FileReader;
use crate::base::monitor::check_cancelled;
use crate::base::{ChunkId, Counter, Error, Kind, Monitor, RelPath, Result, WhatIo, limits, units};
use crate::format::{Node, NodeKind, PackClass, Snapshot};
use crate::repo::{IndexedRepository, Reader};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::HashSet;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

/// Somebody who looks at what passes by.
pub trait Witness: Sync {
    /// Sees an entry, in the order of the tree. Says whether the content is to be rebuilt here; if
    /// not, somebody else does it.
    fn entry(&self, path: &RelPath, node: &Node) -> bool;
    /// May read as much of a file's content as it likes. An error is one of the repository: what
    /// the witness itself finds it keeps.
    fn content(&self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()>;
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Proof {
    /// Files that were rebuilt.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// What cannot be read: a path and why; the first ones of very many.
    pub findings: Vec<(String, Error)>,
    /// How many there are.
    pub found: u64,
}

/// Rebuilds a snapshot. `repository` must not read from a copy on this machine: that would prove
/// the copy. Fails if the store cannot be reached, or if somebody says stop.
pub fn prove(
    repository: &IndexedRepository,
    snapshot: &Snapshot,
    witness: &dyn Witness,
    monitor: &dyn Monitor,
) -> Result<Proof> {
    let reader = Reader::new(repository);
    let (proof, names, trouble) = (Mutex::default(), Mutex::default(), Mutex::default());
    let run =
        Run { reader: &reader, witness, monitor, proof: &proof, names: &names, trouble: &trouble };
    let (sender, receiver) = bounded(limits::PROOF_FILES_WAITING);
    let workers = repository.world().cores().clamp(1, limits::WORKERS_MAX);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let receiver = receiver.clone();
            scope.spawn(move || run.work(&receiver));
        }
        // With the last worker the channel closes, and the walk hears it.
        drop(receiver);
        run.settle("/", run.folder(&snapshot.tree, &RelPath::root(), &sender));
        drop(sender);
    });
    if let Some(error) = trouble.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut proof: Proof = proof.into_inner().unwrap_or_else(PoisonError::into_inner);
    proof.findings.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(proof)
}

/// A file on its way to a worker.
type Job = (RelPath, Node);

/// What the walk and the workers share.
#[derive(Clone, Copy)]
struct Run<'r> {
    reader: &'r Reader<'r>,
    witness: &'r dyn Witness,
    monitor: &'r dyn Monitor,
    proof: &'r Mutex<Proof>,
    /// Sizes and chunks of files with several names that were rebuilt.
    names: &'r Mutex<HashSet<(u64, Vec<ChunkId>)>>,
    /// What ends the whole.
    trouble: &'r Mutex<Option<Error>>,
}

impl Run<'_> {
    fn folder(&self, chunks: &[ChunkId], path: &RelPath, jobs: &Sender<Job>) -> Result<()> {
        self.check_trees(chunks)?;
        for node in self.reader.tree(chunks)? {
            if self.is_over() {
                return Ok(());
            }
            check_cancelled(self.monitor)?;
            let below = path.join(&node.name)?;
            let is_ours = self.witness.entry(&below, &node);
            if node.is_folder() {
                self.settle(&below.to_string(), self.folder(&node.chunks, &below, jobs));
            } else if node.meta.kind == NodeKind::File
                && is_ours
                && jobs.send((below, node)).is_err()
            {
                // All workers are gone: one of them has said why.
                return Ok(());
            }
        }
        Ok(())
    }

    fn work(&self, jobs: &Receiver<Job>) {
        for (path, node) in jobs {
            if self.is_over() {
                return;
            }
            self.settle(&path.to_string(), self.file(&path, &node));
        }
    }

    fn file(&self, path: &RelPath, node: &Node) -> Result<()> {
        if node.rows || node.indirect {
            self.check_trees(&node.chunks)?;
        }
        let mut content = Counting { inner: FileReader::proving(self.reader, node)?, bytes: 0 };
        self.witness.content(path, node, &mut content)?;
        if self.is_known(node) {
            self.add(node.meta.size);
            return Ok(());
        }
        let mut piece = vec![0; 256 * 1024];
        loop {
            check_cancelled(self.monitor)?;
            content.bytes += content.inner.pass_hole();
            if content.read(&mut piece).what_io(|| "read it")? == 0 {
                break;
            }
        }
        if content.bytes != node.meta.size {
            return Err(Error::new(Kind::Damaged, "put it together")
                .why(format!("it has {} bytes instead of {}", content.bytes, node.meta.size)));
        }
        if node.meta.hard_link().is_some() {
            let content = (node.meta.size, node.chunks.clone());
            self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(content);
        }
        self.add(content.bytes);
        Ok(())
    }

    /// Whether it is another name of a file that was rebuilt, with the same chunks.
    fn is_known(&self, node: &Node) -> bool {
        let is_in = || {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.contains(&(node.meta.size, node.chunks.clone()))
        };
        node.meta.hard_link().is_some() && node.extents.is_empty() && is_in()
    }

    fn add(&self, bytes: u64) {
        self.monitor.count(Counter::FilesRestored, 1);
        self.monitor.count(Counter::BytesRestored, bytes);
        let mut proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        proof.files += 1;
        proof.bytes += bytes;
    }

    /// Compares chunks that hold trees, or lists of chunks, with their names.
    fn check_trees(&self, chunks: &[ChunkId]) -> Result<()> {
        for id in chunks {
            let plain = self.reader.chunk(PackClass::Meta, id)?;
            if self.reader.repository().keys().tree_id(&plain) != *id {
                return Err(Error::new(Kind::Damaged, format!("read chunk {id}"))
                    .why("its content does not match its name"));
            }
        }
        Ok(())
    }

    /// Keeps what cannot be read as a finding; anything else ends the whole.
    fn settle(&self, path: &str, done: Result<()>) {
        let Err(error) = done else { return };
        if !matches!(error.kind(), Kind::Damaged | Kind::NotFound | Kind::Newer) {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            trouble.get_or_insert(error.within(format!("rebuild {path}")));
            return;
        }
        let mut proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        proof.found += 1;
        if proof.findings.len() < limits::REASONS_MAX {
            proof.findings.push((path.to_owned(), error));
        }
    }

    fn is_over(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Counts what is read.
struct Counting<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += units::bytes(count);
        Ok(count)
    }
}
