// SPDX-License-Identifier: MIT
//! Four runs on one repository, request by request in an order that a seed decides: backups that
//! count on what a prune is about to remove, restores, checks, forgetting, repair, and clocks that
//! differ. Whatever the order, each snapshot that exists restores whole, each backup that said it
//! was done is there, and who gave up said that somebody else was at work.
//!
//! GHOSTSNAP_TEST_SEED=n replays one order (as far as the threads of a run allow);
//! GHOSTSNAP_TEST_LONG=1 runs thousands.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod common;

use common::*;
use ghostsnap::backend::{Backend, FileKind, FileName, Properties};
use ghostsnap::base::monitor::Collect;
use ghostsnap::base::{Error, FileId, Kind, RelPath, Result, World};
use ghostsnap::ops::check::{ReadData, Severity, check};
use ghostsnap::ops::prune::{PruneOptions, prune};
use ghostsnap::ops::repair::rebuild_index;
use ghostsnap::ops::restore::to_folder;
use ghostsnap::repo::Repository;
use ghostsnap::repo::diary::Diary;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

const HOUR: u64 = 3600;

/// Numbers that follow from a seed.
struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.drawn += 1;
        let hash = blake3::hash(&[self.seed.to_le_bytes(), self.drawn.to_le_bytes()].concat());
        let number = u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap());
        usize::try_from(number % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Lets one request pass at a time: the next one is drawn when every run that goes on asks for one.
struct Floor {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    dice: Dice,
    /// What each run that goes on asks for.
    asking: BTreeMap<usize, Vec<String>>,
    /// Who may pass, or is passing.
    passes: Option<(usize, String)>,
    is_passing: bool,
    story: Vec<String>,
}

impl Floor {
    fn new(dice: Dice, runs: usize) -> Self {
        let asking = (0..runs).map(|run| (run, Vec::new())).collect();
        let story = Vec::new();
        let state = State { dice, asking, passes: None, is_passing: false, story };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn pass<T>(&self, run: usize, what: String, act: impl FnOnce() -> T) -> T {
        let me = (run, what.clone());
        let mut state = self.state.lock().unwrap();
        state.asking.get_mut(&run).unwrap().push(what);
        loop {
            if state.passes.as_ref() == Some(&me) && !state.is_passing {
                break;
            }
            let all_ask = state.asking.values().all(|asked| !asked.is_empty());
            if state.passes.is_none() && all_ask {
                state.draw();
                self.changed.notify_all();
                continue;
            }
            // A run may be waiting for something else than a request.
            let (again, waited) =
                self.changed.wait_timeout(state, Duration::from_millis(500)).unwrap();
            state = again;
            if waited.timed_out() && state.passes.is_none() {
                state.draw();
                self.changed.notify_all();
            }
        }
        state.is_passing = true;
        let (run, what) = me;
        let asked = state.asking.get_mut(&run).unwrap();
        let place = asked.iter().position(|one| *one == what).unwrap();
        asked.remove(place);
        state.story.push(format!("{run}: {what}"));
        drop(state);
        let done = act();
        let mut state = self.state.lock().unwrap();
        (state.passes, state.is_passing) = (None, false);
        self.changed.notify_all();
        done
    }

    fn leave(&self, run: usize) {
        self.state.lock().unwrap().asking.remove(&run);
        self.changed.notify_all();
    }
}

impl State {
    fn draw(&mut self) {
        let asking: Vec<usize> = self
            .asking
            .iter()
            .filter(|(_, asked)| !asked.is_empty())
            .map(|(run, _)| *run)
            .collect();
        if asking.is_empty() {
            return;
        }
        let run = asking[self.dice.below(asking.len())];
        // Of several threads of a run, always the one that asks for the first name.
        let what = self.asking[&run].iter().min().unwrap().clone();
        self.passes = Some((run, what));
    }
}

/// The store as one run sees it.
struct Turned {
    inner: Arc<dyn Backend>,
    floor: Arc<Floor>,
    run: usize,
    is_far: bool,
}

impl Backend for Turned {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        self.floor.pass(self.run, format!("list {}", kind.folder()), || self.inner.list(kind))
    }
    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        self.floor.pass(self.run, "list all".to_owned(), || self.inner.list_together(kinds))
    }
    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        let what = format!("read {name} {range:?}");
        self.floor.pass(self.run, what, || self.inner.read(name, range))
    }
    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        self.floor.pass(self.run, format!("read {name}"), || self.inner.read_whole(name, most))
    }
    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        self.floor.pass(self.run, format!("size {name}"), || self.inner.size(name))
    }
    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        ghostsnap::backend::size_each(self, names)
    }
    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        self.floor.pass(self.run, format!("create {name}"), || self.inner.create(name, bytes))
    }
    fn remove(&self, name: &FileName) -> Result<()> {
        self.floor.pass(self.run, format!("remove {name}"), || self.inner.remove(name))
    }
    fn leftovers(&self, before: i64, task: ghostsnap::backend::Leftovers) -> Result<(u64, u64)> {
        self.inner.leftovers(before, task)
    }

    fn properties(&self) -> Properties {
        Properties { is_far: self.is_far, ..self.inner.properties() }
    }
    fn location(&self) -> String {
        self.inner.location()
    }
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Backup,
    Prune,
    PruneNow,
    Forget,
    Restore,
    Check,
    RepairIndex,
}

const OTHERS: [Work; 8] = [
    Work::Backup,
    Work::Prune,
    Work::Prune,
    Work::PruneNow,
    Work::Forget,
    Work::Restore,
    Work::Check,
    Work::RepairIndex,
];

/// A run: its clock, its salts, its home.
struct Run<'s> {
    work: Work,
    world: Arc<World>,
    home: PathBuf,
    scene: &'s Scene,
}

/// A repository with two snapshots, of which the first is forgotten and what only it needed is
/// marked; a home in which some of that is back.
struct Scene {
    folder: tempfile::TempDir,
    disk: Arc<dyn Backend>,
    last: FileId,
}

fn world_at(seed: u64, seconds: u64) -> Arc<World> {
    let world = World::seeded(seed);
    world.sleep(Duration::from_secs(seconds));
    Arc::new(world)
}

/// Opens it as a machine that remembers what it has seen; each seed is a machine.
fn opened(backend: Arc<dyn Backend>, world: Arc<World>) -> Result<Repository> {
    static MEMORIES: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    let machine = world.machine_id();
    let repository = Repository::open(backend, &secret(), world)?;
    let id = repository.config().repository_id;
    let diary = Diary::new(&MEMORIES.path().join(&machine), &id, &machine);
    diary.prepare()?;
    Ok(repository.with_diary(diary))
}

fn small_packs() -> PruneOptions {
    PruneOptions { max_unused: 0, pack_bytes: 64 * 1024, ..PruneOptions::default() }
}

fn back_up(backend: Arc<dyn Backend>, world: Arc<World>, home: &Path) -> Result<FileId> {
    let repository = opened(backend, world)?.indexed_to_write("backup", &Collect::default())?;
    Ok(try_backup(&repository, home)?.id.unwrap())
}

fn scene(seed: u64) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let disk = fresh_store();
    Repository::init(Arc::clone(&disk), &secret(), "test", world_at(seed, 0)).unwrap();
    let home = folder.path().join("home-0");
    fs::create_dir(&home).unwrap();
    let write = |name: &str, length| fs::write(home.join(name), noise(name, length)).unwrap();
    write("both", 150_000);
    write("old", 200_000);
    let first = back_up(Arc::clone(&disk), world_at(seed + 1, 0), &home).unwrap();
    fs::remove_file(home.join("old")).unwrap();
    write("new", 80_000);
    let last = back_up(Arc::clone(&disk), world_at(seed + 2, 60), &home).unwrap();
    let repository = opened(Arc::clone(&disk), world_at(seed + 3, 90)).unwrap();
    repository.remove_snapshot(&first).unwrap();
    let repository = opened(Arc::clone(&disk), world_at(seed + 4, 25 * HOUR)).unwrap();
    prune(repository, &small_packs(), false, &Collect::default()).unwrap();
    // What is marked is wanted again, by two homes.
    write("old", 200_000);
    let other = folder.path().join("home-1");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("old"), noise("old", 200_000)).unwrap();
    fs::write(other.join("own"), noise("own", 90_000)).unwrap();
    Scene { folder, disk, last }
}

impl Run<'_> {
    /// Does it; a backup returns its snapshot.
    fn go(&self, backend: Arc<dyn Backend>) -> Result<Option<FileId>> {
        let world = Arc::clone(&self.world);
        let heard = Collect::default();
        if self.work == Work::Backup {
            return back_up(backend, world, &self.home).map(Some);
        }
        let repository = opened(backend, world)?;
        match self.work {
            Work::Prune => drop(prune(repository, &small_packs(), false, &heard)?),
            Work::PruneNow => {
                let options = PruneOptions { now: true, ..small_packs() };
                drop(prune(repository, &options, false, &heard)?);
            }
            Work::Forget => repository.remove_snapshot(&self.scene.last)?,
            Work::Restore => self.restore(repository)?,
            Work::RepairIndex => drop(rebuild_index(&repository, &heard)?),
            Work::Check | Work::Backup => {
                let found = check(repository, ReadData::All, &heard)?;
                let bad = found.findings.iter().find(|one| one.severity == Severity::Damaged);
                if let Some(bad) = bad {
                    return Err(Error::new(Kind::Internal, format!("false alarm: {bad:?}")));
                }
            }
        }
        Ok(None)
    }

    fn restore(&self, repository: Repository) -> Result<()> {
        let heard = Collect::default();
        let snapshot = repository.snapshot(&self.scene.last)?;
        let repository = repository.indexed_to_read("restore", &heard)?;
        let target = tempfile::tempdir().unwrap();
        let root = RelPath::root();
        to_folder(&repository, &snapshot, &root, &restore_options(), target.path(), &heard)?;
        match heard.warnings().into_iter().next() {
            Some(warning) => Err(Error::new(Kind::Partial, warning)),
            None => Ok(()),
        }
    }
}

/// Whether a run may give up like this.
fn is_fair(work: Work, works: &[Work], error: &Error) -> bool {
    let forgets = works.contains(&Work::Forget);
    match error.kind() {
        Kind::InUse => true,
        // The only snapshot, or the one to be read, was just forgotten.
        Kind::NotFound | Kind::Damaged | Kind::Partial => {
            forgets && matches!(work, Work::Restore | Work::Prune | Work::PruneNow | Work::Forget)
        }
        _ => false,
    }
}

fn play(seed: u64) {
    let mut dice = Dice { seed, drawn: 0 };
    let scene = scene(seed * 1000);
    let mut works = vec![Work::Backup, Work::Prune];
    while works.len() < 4 {
        works.push(OTHERS[dice.below(OTHERS.len())]);
    }
    let is_far = dice.below(2) == 0;
    let runs: Vec<Run<'_>> = (0u64..)
        .zip(&works)
        .map(|(number, work)| {
            // Their clocks differ by up to an hour.
            let skew = 60 * u64::try_from(dice.below(60)).unwrap();
            let world = world_at(seed * 1000 + 10 + number, 50 * HOUR + skew);
            let home = scene.folder.path().join(if number == 0 { "home-0" } else { "home-1" });
            Run { work: *work, world, home, scene: &scene }
        })
        .collect();
    for run in &runs {
        // All of them have seen what there is, and will miss what goes.
        let repository = opened(Arc::clone(&scene.disk), Arc::clone(&run.world)).unwrap();
        repository.snapshots().unwrap();
        repository.check_history().unwrap();
        assert!(!repository.memory().unwrap().heads.is_empty());
    }
    let floor = Arc::new(Floor::new(dice, runs.len()));
    let ended: Vec<Result<Option<FileId>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = runs
            .iter()
            .enumerate()
            .map(|(number, run)| {
                let (inner, floor) = (Arc::clone(&scene.disk), Arc::clone(&floor));
                scope.spawn(move || {
                    let leaves = Leaves(Arc::clone(&floor), number);
                    let ended = run.go(Arc::new(Turned { inner, floor, run: number, is_far }));
                    drop(leaves);
                    ended
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let told = || {
        let story = floor.state.lock().unwrap().story.join("\n");
        format!("seed {seed}, {works:?}, far: {is_far}, {ended:?}\n{story}")
    };
    for (work, end) in works.iter().zip(&ended) {
        if let Err(error) = end {
            assert!(is_fair(*work, &works, error), "{work:?}: {error}\n{}", told());
        }
    }
    let made: Vec<FileId> = ended.iter().flatten().filter_map(|id| *id).collect();
    assert_whole(&scene, seed, &made, works.contains(&Work::Forget), &told);
}

/// A run leaves the floor however it ends.
struct Leaves(Arc<Floor>, usize);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

fn assert_whole(
    scene: &Scene,
    seed: u64,
    made: &[FileId],
    is_forgotten: bool,
    told: &dyn Fn() -> String,
) {
    let world = || world_at(seed * 1000 + 500, 60 * HOUR);
    let repository = opened(Arc::clone(&scene.disk), world()).unwrap();
    let repository = repository.indexed(&Collect::default()).unwrap();
    let all = repository.snapshots().unwrap();
    let has = |id: &FileId| all.iter().any(|(one, _)| one == id);
    assert!(made.iter().all(has), "a backup is not there: {}", told());
    assert_eq!(has(&scene.last), !is_forgotten, "{}", told());
    for (id, snapshot) in &all {
        let (target, heard) = (tempfile::tempdir().unwrap(), Collect::default());
        let options = restore_options();
        let root = RelPath::root();
        let done = to_folder(&repository, snapshot, &root, &options, target.path(), &heard);
        assert!(done.is_ok(), "{id}: {:?}\n{}", done.err(), told());
        assert!(heard.warnings().is_empty(), "{id}: {:?}\n{}", heard.warnings(), told());
    }
    let repository = opened(Arc::clone(&scene.disk), world()).unwrap();
    let found = check(repository, ReadData::All, &Collect::default()).unwrap();
    let bad = found.findings.iter().find(|one| one.severity != Severity::Garbage);
    assert!(bad.is_none(), "{bad:?}\n{}", told());
    // And what follows finds its way: a prune when all marks are old, and a backup after it.
    let repository = opened(Arc::clone(&scene.disk), world_at(seed * 1000 + 501, 90 * HOUR));
    let options = PruneOptions { may_empty: true, ..small_packs() };
    prune(repository.unwrap(), &options, false, &Collect::default()).unwrap();
    let home = scene.folder.path().join("home-0");
    back_up(Arc::clone(&scene.disk), world_at(seed * 1000 + 502, 91 * HOUR), &home).unwrap();
    let repository = opened(Arc::clone(&scene.disk), world()).unwrap();
    let found = check(repository, ReadData::All, &Collect::default()).unwrap();
    assert!(!found.is_damaged(), "{:?}\n{}", found.findings, told());
}

#[test]
fn four_runs_in_any_order_of_their_requests_lose_nothing() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("GHOSTSNAP_TEST_SEED") {
        return play(seed);
    }
    let seeds = if number("GHOSTSNAP_TEST_LONG").is_some() { 4000 } else { 200 };
    for seed in 1..=seeds {
        play(seed);
    }
}
