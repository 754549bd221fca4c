// SPDX-License-Identifier: MIT
//! Removes a whole repository, in an order in which it stays one until its packs are gone: what was
//! begun can be taken up again. Only files that are a repository's own are ever touched.

use crate::backend::{Backend, FileKind, Leftovers};
use crate::base::units::bytes;
use crate::base::{Error, Kind, Monitor, Result, Within};
use crate::repo::Repository;
use crate::repo::locks::in_use;

/// Snapshots first, as nothing may refer to what is gone; what opens it last.
const ORDER: [FileKind; 7] = [
    FileKind::Snapshot,
    FileKind::History,
    FileKind::Index,
    FileKind::Pack,
    FileKind::Lock,
    FileKind::Config,
    FileKind::Key,
];

/// Removes every file of a repository; returns how many there were.
pub fn wipe(repository: &Repository, monitor: &dyn Monitor) -> Result<u64> {
    let backend = repository.backend();
    let what = || format!("remove the repository at {}", backend.location());
    repository.refuse_write_only("remove a repository")?;
    if backend.properties().append_only {
        return Err(Error::new(Kind::Forbidden, what()).why("its place is append-only"));
    }
    refuse_at_work(repository, monitor).within(what)?;
    let mut removed = 0;
    for kind in ORDER {
        if kind == FileKind::Lock {
            refuse_at_work(repository, monitor).within(what)?;
        }
        // While it can still be opened: whoever stores something now would lose it with success.
        if kind == FileKind::Config {
            refuse_in_use(backend.as_ref()).within(what)?;
            removed += backend.leftovers(i64::MAX, Leftovers::Remove).within(what)?.0;
        }
        let files = backend.list(kind)?;
        for (name, _) in &files {
            if monitor.cancelled() {
                return Err(Error::new(Kind::Cancelled, what()).why("stopped on request"));
            }
            backend.remove(name)?;
        }
        removed += bytes(files.len());
    }
    Ok(removed)
}

/// Fails if somebody has noted to be writing.
fn refuse_at_work(repository: &Repository, monitor: &dyn Monitor) -> Result<()> {
    let others = repository.others_at_work(None, monitor)?;
    if others.is_empty() { Ok(()) } else { Err(in_use("remove what is there", &others)) }
}

/// Fails if there is again what has just been removed.
fn refuse_in_use(backend: &dyn Backend) -> Result<()> {
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
        if !backend.list(kind)?.is_empty() {
            return Err(Error::new(Kind::InUse, "remove what is there")
                .why("somebody is storing something in it")
                .hint("run the command again when that has ended"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::FileName;
    use crate::backend::fault::{Fault, Faulty};
    use crate::backend::local::Local;
    use crate::backend::mem::Mem;
    use crate::base::FileId;
    use crate::base::World;
    use crate::base::monitor::Collect;
    use crate::format::keyslot::Secret;
    use std::sync::Arc;

    #[test]
    fn a_repository_that_somebody_writes_to_stays_open() {
        let store = Mem::new();
        store.create(&FileName::new(FileKind::Pack, FileId([1; 32])), b"x").unwrap();
        let error = refuse_in_use(&store).unwrap_err();
        assert_eq!(error.kind(), Kind::InUse);
        refuse_in_use(&Mem::new()).unwrap();
    }

    #[test]
    fn what_killed_writers_left_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Backend> = Arc::new(Local::new(folder.path()));
        let world = || Arc::new(World::seeded(1));
        let secret = Secret::from_file_text(&Secret::key_file_text(&[7; 32])).unwrap();
        let repository = Repository::init(store, &secret, "x", world()).unwrap();
        let left = folder.path().join("tmp/4711-0");
        std::fs::write(&left, "part").unwrap();
        assert_eq!(wipe(&repository, &Collect::default()).unwrap(), 3);
        assert!(!left.exists());
    }

    #[test]
    fn nothing_of_a_repository_stays_and_what_was_cut_off_can_be_taken_up() {
        let store = Mem::new();
        let world = || Arc::new(World::seeded(1));
        let secret = Secret::from_file_text(&Secret::key_file_text(&[7; 32])).unwrap();
        let open = |backend: Arc<dyn Backend>| Repository::open(backend, &secret, world());
        Repository::init(Arc::new(store.clone()), &secret, "x", world()).unwrap();
        for number in 0..3 {
            let name = FileName::new(FileKind::Pack, FileId([number; 32]));
            store.create(&name, b"x").unwrap();
        }
        let held = open(Arc::new(store.clone())).unwrap().lock("backup").unwrap();
        let refused = wipe(&open(Arc::new(store.clone())).unwrap(), &Collect::default());
        assert_eq!(refused.unwrap_err().kind(), Kind::InUse);
        drop(held);
        let dies = Faulty::new(Arc::new(store.clone()), Fault::DieBefore(1));
        wipe(&open(Arc::new(dies)).unwrap(), &Collect::default()).unwrap_err();
        let removed = wipe(&open(Arc::new(store.clone())).unwrap(), &Collect::default()).unwrap();
        assert_eq!((removed, store.names().len()), (4, 0));
    }
}
