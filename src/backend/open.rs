// SPDX-License-Identifier: MIT
//! From a repository's address to its backend: the only list of schemes.

use super::Backend;
use super::local::Local;
use crate::base::{Error, Kind, Result};
use std::path::Path;
use std::sync::Arc;

/// Opens the backend at an address: `/path` or `file:///path`.
pub fn open(address: &str) -> Result<Arc<dyn Backend>> {
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
    Ok(Arc::new(Local::new(Path::new(path))))
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
    fn local_paths_open_and_other_schemes_say_so() {
        assert_eq!(open("/tmp/x").unwrap().location(), "/tmp/x");
        assert_eq!(open("file:///tmp/x").unwrap().location(), "/tmp/x");
        assert_eq!(open("./a:b").unwrap().location(), "./a:b");
        let error = open("s3://key:secret@host/b?sig=1").err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("sig"));
    }
}
