// SPDX-License-Identifier: MIT
//! From a repository's address to its backend: the only list of schemes.

use super::Backend;
use super::local::Local;
use crate::base::{Error, Kind, Result};
use std::path::Path;
use std::sync::Arc;

/// Opens the backend at an address: `/path` or `file:///path`.
pub fn open(address: &str) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(local(address)?))
}

/// Fails if a repository made at this address would lie among files that are not its own: in
/// somebody's home, say, or among the tarballs of Hestia.
pub fn refuse_foreign_place(address: &str) -> Result<()> {
    let local = local(address)?;
    let Some(found) = local.foreign_entry()? else { return Ok(()) };
    Err(Error::new(Kind::Exists, format!("make a repository at {}", local.location()))
        .why(format!("the folder holds other things, such as {}", found.display())))
}

fn local(address: &str) -> Result<Local> {
    let path = address.strip_prefix("file://").unwrap_or(address);
    if path.is_empty() {
        return Err(Error::new(Kind::Usage, "open the repository").why("its address is empty"));
    }
    if !path.starts_with('/') && has_scheme(path) {
        return Err(Error::new(
            Kind::Invalid,
            format!("open the repository {}", without_secrets(path)),
        )
        .why("this version keeps repositories in a local folder only")
        .hint("give a path such as /var/lib/ghostsnap/repository"));
    }
    Ok(Local::new(Path::new(path)))
}

fn has_scheme(address: &str) -> bool {
    address.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// The address as it may be shown: without `user:password@` and without a query.
fn without_secrets(address: &str) -> String {
    let shown = address.split('?').next().unwrap_or_default();
    match (shown.find("://"), shown.rfind('@')) {
        (Some(start), Some(end)) if start < end => {
            let (scheme, rest) = shown.split_at(start + 3);
            format!("{scheme}***{}", rest.get(end - start - 3..).unwrap_or_default())
        }
        _ => shown.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_other_things_is_no_place_for_a_repository() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("r").display().to_string();
        refuse_foreign_place(&address).unwrap();
        // What a disk brings along, and what an interrupted beginning left.
        for name in ["lost+found", "keys", "tmp"] {
            std::fs::create_dir_all(folder.path().join("r").join(name)).unwrap();
        }
        refuse_foreign_place(&address).unwrap();
        std::fs::write(folder.path().join("r/alice.2026-01-02_03-04-05.tar"), "x").unwrap();
        let error = refuse_foreign_place(&address).unwrap_err();
        assert_eq!(error.kind(), Kind::Exists);
        assert!(error.one_line().contains("alice.2026"), "{error}");
    }

    #[test]
    fn local_paths_open_and_other_schemes_say_so() {
        assert_eq!(open("/tmp/x").unwrap().location(), "/tmp/x");
        assert_eq!(open("file:///tmp/x").unwrap().location(), "/tmp/x");
        assert_eq!(open("./a:b").unwrap().location(), "./a:b");
        let error = open("s3://key:secret@host/b?sig=1").err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("sig"));
    }
}
