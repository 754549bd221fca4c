// SPDX-License-Identifier: MIT
//! Tries out what a repository will ask of its place: find it, write, read back, list, remove. With
//! one small file under a name that no repository uses, so that it disturbs none that is there.

use super::{Backend, FileKind, FileName, read_all};
use crate::base::units::bytes as length_of;
use crate::base::{Error, FileId, Kind, Result, World};

/// What is tried, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The place is found and lets us in.
    Connect,
    /// A new file is stored.
    Write,
    /// Its bytes come back as they were.
    Read,
    /// A listing names it.
    List,
    /// It goes again.
    Delete,
}

impl Step {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Write => "write",
            Self::Read => "read",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// How a step went.
#[derive(Debug)]
pub enum Outcome {
    /// As it should.
    Good,
    /// The place keeps every file: it is append-only.
    Kept(Error),
    /// It failed.
    Failed(Error),
}

/// Each step that was tried; the last one is the first that failed.
pub fn probe(backend: &dyn Backend, world: &World) -> Result<Vec<(Step, Outcome)>> {
    let name = FileName::new(FileKind::Lock, FileId(world.random_32_for("name of a probe")?));
    let bytes = world.random_32_for("bytes of a probe")?;
    let steps: [(Step, &dyn Fn() -> Result<()>); 4] = [
        (Step::Connect, &|| connect(backend)),
        (Step::Write, &|| backend.create(&name, &bytes)),
        (Step::Read, &|| {
            if read_all(backend, &name)? == bytes {
                return Ok(());
            }
            let error = Error::new(Kind::Damaged, format!("read {name} back"));
            Err(error.why("other bytes came back than were stored"))
        }),
        (Step::List, &|| {
            let found = backend.list(FileKind::Lock)?;
            if found.contains(&(name, length_of(bytes.len()))) {
                return Ok(());
            }
            let error = Error::new(Kind::Damaged, format!("find {name} in a listing"));
            Err(error
                .why("the place lists other files, but not one that was just stored")
                .hint("a store that lists with a delay cannot hold a repository"))
        }),
    ];
    let mut done = Vec::new();
    for (step, act) in steps {
        if let Err(error) = act() {
            if step != Step::Connect {
                // The failure of the step is what is told; one small file may stay.
                drop(backend.remove(&name));
            }
            done.push((step, Outcome::Failed(error)));
            return Ok(done);
        }
        done.push((step, Outcome::Good));
    }
    let gone = backend.remove(&name).and_then(|()| match backend.size(&name)? {
        None => Ok(()),
        Some(_) => Err(Error::new(Kind::Forbidden, format!("remove {name}"))
            .why("the store says that it is gone and still has it")),
    });
    done.push((
        Step::Delete,
        match gone {
            Ok(()) => Outcome::Good,
            Err(error) if error.kind() == Kind::Forbidden => Outcome::Kept(error),
            Err(error) => Outcome::Failed(error),
        },
    ));
    Ok(done)
}

/// Asks for one file. Where there is none, a listing tells a missing bucket from a missing file;
/// what else a listing may fail of is told by its own step.
fn connect(backend: &dyn Backend) -> Result<()> {
    if backend.size(&FileName::CONFIG)?.is_some() {
        return Ok(());
    }
    match backend.list(FileKind::Lock) {
        Err(error) if error.kind() == Kind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::mem::Mem;
    use super::*;
    use std::ops::Range;
    use std::sync::Arc;

    /// Fails one step, with this kind.
    struct Odd(Mem, Step, Kind);

    impl Odd {
        fn may(&self, step: Step) -> Result<()> {
            if self.1 == step { Err(Error::new(self.2, "do that")) } else { Ok(()) }
        }
    }

    impl Backend for Odd {
        fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
            self.may(Step::List)?;
            self.0.list(kind)
        }
        fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
            crate::backend::list_each(self, kinds)
        }
        fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
            self.may(Step::Read)?;
            self.0.read(name, range)
        }
        fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
            crate::backend::whole_by_size(self, name, most)
        }
        fn size(&self, name: &FileName) -> Result<Option<u64>> {
            if *name == FileName::CONFIG {
                self.may(Step::Connect)?;
            }
            self.0.size(name)
        }
        fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
            crate::backend::size_each(self, names)
        }
        fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
            self.may(Step::Write)?;
            self.0.create(name, bytes)
        }
        fn remove(&self, name: &FileName) -> Result<()> {
            self.may(Step::Delete)?;
            self.0.remove(name)
        }
        fn leftovers(&self, before: i64, task: crate::backend::Leftovers) -> Result<(u64, u64)> {
            self.0.leftovers(before, task)
        }
        fn properties(&self) -> super::super::Properties {
            self.0.properties()
        }
        fn location(&self) -> String {
            self.0.location()
        }
    }

    #[test]
    fn a_good_place_passes_every_step_and_keeps_nothing() {
        let store = Arc::new(Mem::default());
        let done = probe(store.as_ref(), &World::seeded(1)).unwrap();
        assert_eq!(done.len(), 5);
        assert!(done.iter().all(|(_, outcome)| matches!(outcome, Outcome::Good)), "{done:?}");
        assert!(store.list(FileKind::Lock).unwrap().is_empty());
    }

    #[test]
    fn the_first_step_that_fails_is_the_last_one_told() {
        for (at, step) in [Step::Connect, Step::Write, Step::Read, Step::List, Step::Delete]
            .into_iter()
            .enumerate()
        {
            let store = Odd(Mem::default(), step, Kind::Connect);
            let done = probe(&store, &World::seeded(1)).unwrap();
            assert_eq!(done.len(), at + 1, "{step:?}");
            let (last, outcome) = done.last().unwrap();
            assert!(*last == step && matches!(outcome, Outcome::Failed(_)), "{done:?}");
            let left = store.0.list(FileKind::Lock).unwrap().len();
            assert_eq!(left, usize::from(step == Step::Delete), "{step:?}");
        }
    }

    #[test]
    fn a_place_that_keeps_everything_is_told_as_such() {
        let store = Odd(Mem::default(), Step::Delete, Kind::Forbidden);
        let done = probe(&store, &World::seeded(1)).unwrap();
        assert!(matches!(done.last(), Some((Step::Delete, Outcome::Kept(_)))), "{done:?}");
    }
}
