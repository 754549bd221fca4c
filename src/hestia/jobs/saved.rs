// SPDX-License-Identifier: MIT
//! Whether a safety snapshot has all that a restore would overwrite or remove: what is missing
//! decides what is not restored. Gone through entry by entry where something could not be read.

use super::Server;
use super::in_place::mail_folder;
use crate::base::{Kind, RelPath, Result, limits};
use crate::format::snapshot::Object;
use crate::format::{Node, NodeKind, Snapshot};
use crate::hestia::asuser;
use crate::hestia::layout::UserName;
use crate::hestia::paths::{self, Meaning};
use crate::ops::restore::find_node;
use crate::repo::{IndexedRepository, Reader};
use crate::tree::dir::{OwnerPolicy, Target};

/// What is compared with what.
pub(super) struct Scope<'s> {
    pub server: &'s Server,
    pub repository: &'s IndexedRepository,
    pub user: &'s UserName,
    /// What is to be restored, and what was saved.
    pub snapshots: (&'s Snapshot, &'s Snapshot),
    /// Whether what the first lacks goes.
    pub exact: bool,
    /// Whether each entry is looked for, and not the object alone.
    pub is_thorough: bool,
}

/// Something of an object, or at a place, that a restore would touch and that was not saved.
pub(super) fn lacking(
    scope: &Scope<'_>,
    object: &Object,
    place: Option<(&RelPath, &RelPath)>,
) -> Result<Option<String>> {
    let (_, saved) = scope.snapshots;
    let reader = Reader::new(scope.repository);
    let home = Target::open(&scope.server.hestia.user_home(scope.user), OwnerPolicy::Keep)?;
    let Scope { exact, is_thorough, .. } = *scope;
    let compare = Compare { reader: &reader, home: &home, exact, is_thorough };
    let name = object.name.as_str();
    let path = |text: String| RelPath::parse(text.as_bytes());
    if let Some((from, to)) = place {
        let meant = match paths::meaning(saved, to) {
            Ok(Meaning::At(meant)) => Some(meant),
            _ => None,
        };
        return compare.run(scope, from, meant.as_ref(), to, false);
    }
    match object.section.as_str() {
        "WEB" => {
            let content = path(format!("web/{name}/data"))?;
            compare.run(scope, &content, Some(&content), &path(format!("web/{name}"))?, true)
        }
        "UDIR" => {
            let content = path(format!("user_dir/{name}"))?;
            compare.run(scope, &content, Some(&content), &path(name.to_owned())?, false)
        }
        "MAIL" => {
            let domain = name.rsplit('@').next().unwrap_or_default();
            let content = path(format!("mail/{domain}/accounts"))?;
            let target = path(format!("mail/{}", mail_folder(domain)?))?;
            let found = compare.run(scope, &content, Some(&content), &target, false)?;
            let rows = (format!("mail/{domain}.conf"), format!("mail/{domain}/hestia"));
            Ok(found.or(scope.lacks_rows(&reader, &rows.0, &rows.1)?))
        }
        "DNS" => {
            let rows = (format!("dns/{name}.conf"), format!("dns/{name}/hestia"));
            scope.lacks_rows(&reader, &rows.0, &rows.1)
        }
        "CRON" => scope.lacks_rows(&reader, "cron.conf", "cron"),
        "DB" => {
            let folder = node(&reader, saved, &path(format!("db/{name}"))?)?;
            let files = folder.map(|folder| reader.tree(&folder.chunks)).transpose()?;
            let is_dump = |file: &Node| file.name.ends_with(b".sql") && file.meta.size > 0;
            let is_saved = files.is_some_and(|files| files.iter().any(is_dump));
            Ok((!is_saved).then(|| format!("the dump of {name}")))
        }
        _ => Ok(None),
    }
}

fn node(reader: &Reader<'_>, snapshot: &Snapshot, path: &RelPath) -> Result<Option<Node>> {
    match find_node(reader, snapshot, path) {
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        node => node.map(Some),
    }
}

impl Scope<'_> {
    /// A file of rows that Hestia has and that was not saved in this folder of the tree.
    fn lacks_rows(&self, reader: &Reader<'_>, file: &str, folder: &str) -> Result<Option<String>> {
        let live = self.server.hestia.user_file(self.user, file);
        let name = file.rsplit('/').next().unwrap_or_default();
        let path = RelPath::parse(format!("{folder}/{name}").as_bytes())?;
        let is_saved = node(reader, self.snapshots.1, &path)?.is_some();
        Ok((live.exists() && !is_saved).then(|| live.display().to_string()))
    }
}

struct Compare<'c> {
    reader: &'c Reader<'c>,
    home: &'c Target,
    exact: bool,
    is_thorough: bool,
}

impl Compare<'_> {
    fn run(
        &self,
        scope: &Scope<'_>,
        from: &RelPath,
        saved_at: Option<&RelPath>,
        target: &RelPath,
        is_site: bool,
    ) -> Result<Option<String>> {
        let (restored, saved) = scope.snapshots;
        let Some(restored) = node(self.reader, restored, from)? else { return Ok(None) };
        let saved = match saved_at {
            Some(path) => node(self.reader, saved, path)?,
            None => None,
        };
        let found = self.entry(&restored, saved.as_ref(), target, is_site.then_some(0))?;
        Ok(found.map(|path| path.to_string()))
    }

    /// The first entry that is there and was not saved. `site` is how deep in a site it is, where
    /// a restore removes what is in `public_html` and the snapshot lacks.
    fn entry(
        &self,
        restored: &Node,
        saved: Option<&Node>,
        path: &RelPath,
        site: Option<usize>,
    ) -> Result<Option<RelPath>> {
        let there = match self.home.look(path) {
            // Nothing is written there, or through it.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => None,
            there => there?,
        };
        let Some(there) = there else { return Ok(None) };
        let Some(saved) = saved else { return Ok(Some(path.clone())) };
        if !self.is_thorough || there.kind != NodeKind::Folder {
            return Ok(None);
        }
        let removes = self.exact || site.is_some_and(|depth| depth > 0);
        if !restored.is_folder() {
            // It gives way, with all that is in it.
            return if removes { self.all(Some(saved), path, there.inode.0) } else { Ok(None) };
        }
        let (wanted, kept) = (self.nodes(restored)?, self.nodes(saved)?);
        for name in self.home.names(path)? {
            let find = |nodes: &[Node]| nodes.iter().find(|node| node.name == name).cloned();
            let below = path.join(&name)?;
            let deeper = match site {
                Some(0) if name != b"public_html" => None,
                deeper => deeper.map(|depth| depth + 1),
            };
            let found = match (find(&wanted), find(&kept)) {
                (Some(wanted), kept) => self.entry(&wanted, kept.as_ref(), &below, deeper)?,
                (None, kept) if removes => self.all(kept.as_ref(), &below, there.inode.0)?,
                (None, _) => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first entry at or below a path that was not saved, but for those that no restore
    /// removes.
    fn all(&self, saved: Option<&Node>, path: &RelPath, device: u64) -> Result<Option<RelPath>> {
        let Some(there) = self.home.look(path)? else { return Ok(None) };
        if there.inode.0 != device || asuser::is_hestias(path) {
            return Ok(None);
        }
        let Some(saved) = saved else { return Ok(Some(path.clone())) };
        if there.kind != NodeKind::Folder || path.depth() > limits::TREE_DEPTH_MAX {
            return Ok(None);
        }
        let kept = self.nodes(saved)?;
        for name in self.home.names(path)? {
            let kept = kept.iter().find(|node| node.name == name);
            let found = self.all(kept, &path.join(&name)?, device)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn nodes(&self, node: &Node) -> Result<Vec<Node>> {
        if node.is_folder() { self.reader.tree(&node.chunks) } else { Ok(Vec::new()) }
    }
}
