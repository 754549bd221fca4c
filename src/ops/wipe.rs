// SPDX-License-Identifier: MIT
//! Removes a whole repository, in an order in which it stays one until its packs are gone: what was
//! begun can be taken up again. Only files that are a repository's own are ever touched.

use crate::backend::FileKind;
use crate::base::units::bytes;
use crate::base::{Error, Kind, Monitor, Result};
use crate::repo::Repository;

/// Snapshots first, as nothing may refer to what is gone; what opens it last.
const ORDER: [FileKind; 6] = [
    FileKind::Snapshot,
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
    if backend.properties().append_only {
        return Err(Error::new(Kind::Forbidden, what()).why("its place is append-only"));
    }
    let mut removed = 0;
    for kind in ORDER {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::backend::fault::{Fault, Faulty};
    use crate::backend::mem::Mem;
    use crate::base::World;
    use crate::base::monitor::Collect;
    use crate::format::keyslot::Secret;
    use std::sync::Arc;

    #[test]
    fn nothing_of_a_repository_stays_and_what_was_cut_off_can_be_taken_up() {
        let store = Mem::new();
        let world = || Arc::new(World::seeded(1));
        let secret = Secret::from_file_text(&Secret::key_file_text(&[7; 32])).unwrap();
        let open = |backend: Arc<dyn Backend>| Repository::open(backend, &secret, world());
        Repository::init(Arc::new(store.clone()), &secret, "x", world()).unwrap();
        for number in 0..3 {
            let name =
                crate::backend::FileName::new(FileKind::Pack, crate::base::FileId([number; 32]));
            store.create(&name, b"x").unwrap();
        }
        let dies = Faulty::new(Arc::new(store.clone()), Fault::DieBefore(1));
        wipe(&open(Arc::new(dies)).unwrap(), &Collect::default()).unwrap_err();
        let removed = wipe(&open(Arc::new(store.clone())).unwrap(), &Collect::default()).unwrap();
        assert_eq!((removed, store.names().len()), (4, 0));
    }
}
