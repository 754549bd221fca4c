// SPDX-License-Identifier: MIT
//! Why the tarballs are opened: day after day of a native zstd tarball, one percent of the files
//! changed, must cost about one percent, not another copy.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "common/hestia.rs"]
mod double;

use double::*;
use std::fs;
use std::path::Path;

fn stored(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        bytes += if meta.is_dir() { stored(&entry.path()) } else { meta.len() };
    }
    bytes
}

#[test]
fn a_day_with_one_percent_changed_adds_less_than_five_percent() {
    for mode in ["zstd", "gzip"] {
        let machine = Machine::empty(mode);
        machine.add_user("alice");
        machine.add_web("alice", "shop.example");
        let site = machine.hestia.user_home(&user("alice")).join("web/shop.example/public_html");
        for n in 0..400 {
            fs::write(site.join(format!("{n}.jpg")), noise(&n.to_string(), 20_000)).unwrap();
        }
        machine.good_backup("alice");
        let repository = Path::new(&machine.server.settings.repository);
        let first = stored(repository);
        let mut before = first;
        for day in 0..2 {
            for n in 0..4 {
                let name = format!("{}.jpg", day * 100 + n);
                fs::write(site.join(name), noise(&format!("{day} {n}"), 20_000)).unwrap();
            }
            machine.good_backup("alice");
            let now = stored(repository);
            let added = now - before;
            assert!(added * 20 < first, "{mode}, day {}: {added} bytes on {first}", day + 2);
            before = now;
        }
    }
}
