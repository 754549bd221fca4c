// SPDX-License-Identifier: MIT
//! A source as a flat list of what somebody who restores it would see: for comparing two sources
//! of one user. Times are left out.
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use ghostsnap::base::Monitor;
use ghostsnap::format::tree::NodeKind;
use ghostsnap::tree::{Content, Source};
use std::collections::BTreeMap;
use std::io::Read;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flat {
    pub kind: NodeKind,
    pub mode: u32,
    pub owner: String,
    /// Of a file its hash and length, of a link where it leads.
    pub content: String,
}

/// All entries of a source, by their escaped paths.
pub fn flatten(source: &mut dyn Source, monitor: &dyn Monitor) -> BTreeMap<String, Flat> {
    let mut found: BTreeMap<String, Flat> = BTreeMap::new();
    let mut folders: Vec<String> = Vec::new();
    while let Some(entry) = source.next_entry(monitor).unwrap() {
        let name = entry.path.to_string();
        if let Some(above) = entry.path.parent() {
            assert!(folders.contains(&above.to_string()), "{name} comes before its folder");
        }
        let meta = entry.meta;
        let mut kind = meta.kind;
        let mut bytes = Vec::new();
        let content = match entry.content {
            Content::Nothing => String::from_utf8_lossy(&meta.target).into_owned(),
            Content::File(opener) => {
                let Some(mut file) = opener.open().unwrap() else { continue };
                let now = file.meta().unwrap();
                assert_eq!((now.mode, now.uid, now.gid), (meta.mode, meta.uid, meta.gid), "{name}");
                file.read_to_end(&mut bytes).unwrap();
                hash(&bytes)
            }
            Content::Stream(mut reader) | Content::Rows(mut reader) => {
                reader.read_to_end(&mut bytes).unwrap();
                hash(&bytes)
            }
            Content::SameAs(other) => {
                let other = &found[&other.to_string()];
                kind = other.kind;
                other.content.clone()
            }
        };
        if kind == NodeKind::Folder {
            folders.push(name.clone());
        }
        let mode = if kind == NodeKind::Symlink { 0o777 } else { meta.mode };
        let owner = format!("{}:{} {}:{}", meta.uid, meta.gid, meta.user, meta.group);
        let before = found.insert(name.clone(), Flat { kind, mode, owner, content });
        assert_eq!(before, None, "{name} comes twice");
    }
    found
}

fn hash(bytes: &[u8]) -> String {
    format!("{} {}", bytes.len(), &blake3::hash(bytes).to_hex()[..16])
}

/// What differs, one line each.
pub fn differences(
    tarball: &BTreeMap<String, Flat>,
    direct: &BTreeMap<String, Flat>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, was) in tarball {
        match direct.get(name) {
            None => found.push(format!("only in the tarball: {name} {was:?}")),
            Some(is) if is != was => {
                found.push(format!("{name}\n  tarball {was:?}\n  direct  {is:?}"))
            }
            Some(_) => {}
        }
    }
    let only = direct.keys().filter(|name| !tarball.contains_key(*name));
    found.extend(only.map(|name| format!("only in direct: {name}")));
    found
}

/// All files below a folder with their content.
pub fn of_folder(folder: &std::path::Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(of_folder(&path));
        } else {
            found.insert(path.display().to_string(), hash(&std::fs::read(&path).unwrap()));
        }
    }
    found
}
