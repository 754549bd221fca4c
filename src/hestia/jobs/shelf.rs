// SPDX-License-Identifier: MIT
//! Sorts a user's configuration on its way out of a snapshot: what Hestia's own restore takes goes
//! into its tarball, what we put in place ourselves stays here. No content of sites, mailboxes,
//! databases and homes passes by: it goes from the repository to its place without a copy in
//! between.

use crate::base::path::display_bytes;
use crate::base::units::bytes;
use crate::base::{RelPath, Result, WhatIo, limits};
use crate::format::tree::{Node, NodeKind};
use crate::hestia::conf::{self, Row};
use crate::tree::Sink;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// The configuration of one web domain.
#[derive(Debug, Default, Clone)]
pub struct WebParts {
    /// Its row; only one that passed the filter gets here.
    pub row: Option<Row>,
    /// Certificate, key and chain, by the names they have in Hestia's folder of certificates.
    pub certificates: BTreeMap<String, Vec<u8>>,
    /// Additions to the configuration of web servers, by name.
    pub snippets: BTreeMap<String, Vec<u8>>,
}

/// What was kept of a snapshot.
#[derive(Debug, Default, Clone)]
pub struct Shelf {
    /// The web domains.
    pub web: BTreeMap<String, WebParts>,
    /// What Hestia knew of the user.
    pub user: Row,
    /// Names of files that were too large to be configuration.
    pub too_large: Vec<String>,
    bytes: u64,
}

/// The shelf, for the one who waits for the sink to be done.
#[derive(Clone, Default)]
pub struct SharedShelf(Arc<Mutex<Shelf>>);

impl SharedShelf {
    /// Takes what is on it.
    pub fn take(&self) -> Shelf {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A sink for those who only want to look: takes everything and reads nothing.
pub struct Nowhere;

impl Sink for Nowhere {
    fn entry(&mut self, _: &RelPath, _: &Node, _: &mut dyn Read) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A sink that keeps the configuration of web domains, lets all content and all databases go, and
/// hands on the rest.
pub struct Sorter {
    inner: Box<dyn Sink>,
    shelf: SharedShelf,
}

impl Sorter {
    /// Puts a sorter in front of a sink.
    pub fn new(inner: Box<dyn Sink>, shelf: &SharedShelf) -> Self {
        Self { inner, shelf: shelf.clone() }
    }

    /// A user comes back unsuspended: Hestia rebuilds nothing for one who is not, and a half
    /// suspended user, which its own restore makes, can be neither used nor unsuspended.
    fn user_conf(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let mut text = Vec::new();
        let limit = limits::HESTIA_FILE_BYTES_MAX;
        content.take(limit).read_to_end(&mut text).what_io(|| format!("read {path}"))?;
        let (mut row, _) = conf::parse_keys(&text);
        self.shelf.0.lock().unwrap_or_else(PoisonError::into_inner).user = row.clone();
        if row.is_yes("SUSPENDED") {
            row.set("SUSPENDED", "no")?;
            text = row.to_lines().into_bytes();
        }
        let mut node = node.clone();
        node.meta.size = bytes(text.len());
        self.inner.entry(path, &node, &mut text.as_slice())
    }

    fn keep(&self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let names: Vec<&[u8]> = path.names().collect();
        let (domain, kind) = match names.as_slice() {
            [_, domain, b"hestia", name] => (*domain, kind_of(b"hestia", name, domain)),
            [_, domain, b"conf", name] => (*domain, kind_of(b"conf", name, domain)),
            _ => return Ok(()),
        };
        let Some(kind) = kind.filter(|_| node.meta.kind == NodeKind::File) else { return Ok(()) };
        let mut text = Vec::new();
        let limit = limits::SNIPPET_BYTES_MAX;
        content.take(limit + 1).read_to_end(&mut text).what_io(|| format!("read {path}"))?;
        let mut shelf = self.shelf.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.bytes = shelf.bytes.saturating_add(bytes(text.len()));
        if bytes(text.len()) > limit || shelf.bytes > limits::SNIPPETS_BYTES_MAX {
            shelf.too_large.push(path.to_string());
            return Ok(());
        }
        let parts = shelf.web.entry(display_bytes(domain)).or_default();
        match kind {
            Part::Row => parts.row = conf::parse_rows(&text).rows.into_iter().next(),
            // Those in Hestia's own folder count; `hestia` comes after `conf` in a tree.
            Part::Certificate(name) => drop(parts.certificates.insert(name, text)),
            Part::Snippet(name) => {
                if let Some(secure) = twin_for_https(&name) {
                    // One of its own comes later in a tree, and counts.
                    parts.snippets.entry(secure).or_insert_with(|| text.clone());
                }
                parts.snippets.insert(name, text);
            }
        }
        Ok(())
    }
}

/// Hestia makes the file that asks for a password over HTTPS together with the one for HTTP, and
/// only if that one is not there: a site that has none yet would be open to all from its first
/// certificate on.
fn twin_for_https(name: &str) -> Option<String> {
    let server = name.strip_suffix(".conf_htaccess")?;
    server.strip_suffix(".ssl").is_none().then(|| format!("{server}.ssl.conf_htaccess"))
}

enum Part {
    Row,
    Certificate(String),
    Snippet(String),
}

const CERTIFICATE_ENDINGS: [&str; 4] = [".crt", ".key", ".ca", ".pem"];

fn kind_of(folder: &[u8], name: &[u8], domain: &[u8]) -> Option<Part> {
    // A name that is no text is none of Hestia's.
    let (name, domain) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(domain).ok()?);
    if folder == b"hestia" {
        let ending = name.strip_prefix(domain).filter(|end| CERTIFICATE_ENDINGS.contains(end));
        return match (name, ending) {
            ("web.conf", _) => Some(Part::Row),
            (_, Some(_)) => Some(Part::Certificate(name.to_owned())),
            _ => None,
        };
    }
    let old = name.strip_prefix("ssl.").filter(|rest| {
        rest.strip_prefix(domain).is_some_and(|end| CERTIFICATE_ENDINGS.contains(&end))
    });
    match old {
        Some(name) => Some(Part::Certificate(name.to_owned())),
        None => is_snippet(name).then(|| Part::Snippet(name.to_owned())),
    }
}

/// Whether a file of a domain's configuration is an addition that Hestia takes over: neither a
/// certificate nor one that it writes itself.
pub fn is_snippet(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let is_certificate = CERTIFICATE_ENDINGS.iter().any(|end| name.ends_with(end));
    ending != Some("conf") && !is_certificate && !name.starts_with('.')
}

/// Whether a path of the canonical tree is content: of a site, a mailbox, the home.
pub fn is_content(names: &[&[u8]]) -> bool {
    matches!(names, [b"web", _, b"data", ..] | [b"mail", _, b"accounts", ..] | [b"user_dir", ..])
}

impl Sink for Sorter {
    fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()> {
        let names: Vec<&[u8]> = path.names().collect();
        if is_content(&names) || names.first() == Some(&&b"db"[..]) {
            return Ok(());
        }
        if names.first() == Some(&&b"web"[..]) {
            return self.keep(path, node, content);
        }
        if names.as_slice() == [b"hestia", &b"user.conf"[..]] && node.meta.kind == NodeKind::File {
            return self.user_conf(path, node, content);
        }
        self.inner.entry(path, node, content)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.inner.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::Meta;

    struct Nothing;

    impl Sink for Nothing {
        fn entry(&mut self, path: &RelPath, _: &Node, _: &mut dyn Read) -> Result<()> {
            assert!(!path.to_string().starts_with("web/"), "{path}");
            assert!(!path.to_string().starts_with("user_dir"), "{path}");
            assert!(!path.to_string().starts_with("db/"), "{path}");
            Ok(())
        }
        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn configuration_of_sites_is_kept_and_their_content_is_not_read() {
        let shared = SharedShelf::default();
        let mut sorter = Sorter::new(Box::new(Nothing), &shared);
        let mut put = |path: &str, text: &str| {
            let meta = Meta { kind: NodeKind::File, size: bytes(text.len()), ..Meta::default() };
            let node = Node { meta, ..Node::default() };
            let path = RelPath::parse(path.as_bytes()).unwrap();
            sorter.entry(&path, &node, &mut text.as_bytes()).unwrap();
        };
        put("web/a.example/conf/nginx.conf", "generated");
        put("web/a.example/conf/nginx.conf_x", "addition");
        put("web/a.example/conf/nginx.conf_htaccess", "ask");
        put("web/a.example/conf/apache2.conf_htaccess", "ask");
        put("web/a.example/conf/apache2.ssl.conf_htaccess", "ask as well");
        put("web/a.example/conf/ssl.a.example.crt", "old");
        put("web/a.example/hestia/a.example.crt", "new");
        put("web/a.example/hestia/b.example.crt", "of another");
        put("web/a.example/hestia/web.conf", "DOMAIN='a.example'\n");
        put("web/a.example/data/public_html/index.php", "content");
        put("user_dir/.bashrc", "content");
        put("mail/a.example/accounts/info/cur/1", "content");
        put("db/alice_wp/alice_wp.mysql.sql", "content");
        put("hestia/user.conf", "for the tarball");
        let shelf = shared.take();
        let parts = &shelf.web["a.example"];
        assert_eq!(parts.row.as_ref().unwrap().text("DOMAIN"), "a.example");
        let asking = [
            ("apache2.conf_htaccess", "ask"),
            ("apache2.ssl.conf_htaccess", "ask as well"),
            ("nginx.conf_htaccess", "ask"),
            ("nginx.conf_x", "addition"),
            ("nginx.ssl.conf_htaccess", "ask"),
        ];
        let snippets = parts.snippets.iter();
        let snippets: Vec<_> =
            snippets.map(|(name, text)| (name.as_str(), str::from_utf8(text).unwrap())).collect();
        assert_eq!(snippets, asking);
        assert_eq!(parts.certificates.keys().collect::<Vec<_>>(), ["a.example.crt"]);
        assert_eq!(parts.certificates["a.example.crt"], b"new");
    }
}
