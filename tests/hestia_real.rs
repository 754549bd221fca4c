// SPDX-License-Identifier: MIT
//! The same against a real Hestia: a user named in `GHOSTSNAP_REAL_USER` is backed up and restored
//! over itself, with `GHOSTSNAP_REAL_DELETE=yes` after it was deleted. Runs only when asked:
//! `GHOSTSNAP_REAL_USER=bob cargo test --test hestia_real -- --ignored --nocapture`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use ghostsnap::backend;
use ghostsnap::base::World;
use ghostsnap::base::monitor::Collect;
use ghostsnap::format::keyslot::Secret;
use ghostsnap::hestia::call::Call;
use ghostsnap::hestia::jobs::{BackupRequest, RestoreRequest, Server, backup_users, restore};
use ghostsnap::hestia::{Hestia, Settings, UserName};
use ghostsnap::repo::Repository;
use std::sync::Arc;

#[test]
#[ignore = "needs a real Hestia and changes one of its users"]
fn a_real_user_is_backed_up_and_restored() {
    let name = std::env::var("GHOSTSNAP_REAL_USER").expect("GHOSTSNAP_REAL_USER names the user");
    let user = UserName::parse(&name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        repository: folder.path().join("repository").display().to_string(),
        run_folder: folder.path().join("run"),
        log_folder: folder.path().join("log"),
        ..Settings::default()
    };
    let server = Server::new(Hestia::default(), settings, Arc::new(World::system()));
    let monitor = Collect::default();
    let secret = Secret::from_file_text(&Secret::key_file_text(&[42; 32])).unwrap();
    let backend = backend::open(&server.settings.repository).unwrap();
    let repository = Repository::init(backend, &secret, "test", Arc::clone(&server.world)).unwrap();
    let mut repository = repository.indexed(&monitor).unwrap();

    let request = BackupRequest { users: vec![name], ..BackupRequest::default() };
    for _ in 0..2 {
        let report = backup_users(&server, &mut repository, &request, &monitor).unwrap();
        println!("{report:#?}");
        assert_eq!(report.kind(), None);
    }
    if std::env::var("GHOSTSNAP_REAL_DELETE").is_ok_and(|answer| answer == "yes") {
        let call = Call::hestia(&server.hestia, "v-delete-user", [user.as_str()]);
        assert!(server.caller.call(&call, &monitor).unwrap().is_ok());
    }
    let request =
        RestoreRequest { snapshot: "latest".into(), confirmed: true, ..RestoreRequest::default() };
    let report = restore(&server, &repository, &user, &request, &monitor);
    println!("{}", std::fs::read_to_string(folder.path().join("log/hestia.log")).unwrap());
    let report = report.unwrap();
    println!("{report:#?}");
    assert_eq!(report.kind(), None);
}
