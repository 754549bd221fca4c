// SPDX-License-Identifier: MIT
//! Taking an earlier restore back. Three states are compared: what was there before it, which is
//! restored now; what it restored; and what is there. An entry that was not there before goes only
//! if the earlier restore made it and nobody has touched it since. What is newer than both stays.

use super::file::mail_identity;
use super::{Existing, Plan};
use crate::base::{Kind, RelPath, Result};
use crate::format::{Node, NodeKind, Snapshot};
use crate::ops::restore::{find_node, places};
use std::collections::{BTreeMap, BTreeSet};

/// The restore that is taken back.
#[derive(Debug, Clone)]
pub struct Undoes {
    /// What it restored.
    pub snapshot: Snapshot,
    /// From where in it.
    pub from: RelPath,
    /// To where below the home.
    pub to: RelPath,
}

/// The folder of the restored snapshot that was looked at last.
#[derive(Default)]
pub(super) struct LastFolder {
    path: Option<RelPath>,
    nodes: BTreeMap<Vec<u8>, Node>,
}

impl Plan<'_> {
    /// Whether an entry that was not there before the earlier restore is its work, untouched.
    /// What is in a folder has gone before it, as far as it goes.
    pub(super) fn is_its_work(&mut self, path: &RelPath, there: &Existing) -> Result<bool> {
        let Some(undoes) = &self.rules.undoes else { return Ok(true) };
        if there.kind == NodeKind::Folder && undoes.to.strip(path).is_none() {
            // A folder above the place: made for it, if there is nothing else in it.
            return Ok(path.strip(&undoes.to).is_some());
        }
        let Some(node) = self.restored(path)? else { return Ok(false) };
        if node.meta.kind != there.kind {
            return Ok(false);
        }
        match there.kind {
            NodeKind::File => {
                let places = places(&node, &self.reader.spans_of(&node)?)?;
                let old = self.old_content(path, there, &node, &places);
                Ok(old.is_some_and(|old| old.is_right))
            }
            NodeKind::Symlink => Ok(self.is_same_link(path, &node.meta)),
            _ => Ok(true),
        }
    }

    /// Removes the folders above the place that were not there before the earlier restore, as far
    /// as nothing is in them.
    pub(super) fn remove_parents(&mut self) -> Result<()> {
        if self.rules.undoes.is_none() {
            return Ok(());
        }
        let (snapshot, base) = self.before;
        let (mut here, mut there) = (self.place.path.clone(), base.clone());
        while here.name() == there.name() {
            let (Some(above), Some(known)) = (here.parent(), there.parent()) else { break };
            (here, there) = (above, known);
            let was_there = found(find_node(&self.reader, snapshot, &there))?.is_some();
            if here.is_root() || here.name() != there.name() || was_there {
                break;
            }
            if !self.rules.dry_run {
                // What was in it must be gone before it is looked into.
                self.settle()?;
            }
            if !self.remove_other(&here, &RelPath::root())? {
                break;
            }
        }
        Ok(())
    }

    /// What the earlier restore put at a path. A mail is the same under whatever flags.
    fn restored(&mut self, path: &RelPath) -> Result<Option<Node>> {
        let (Some(folder), Some(name)) = (path.parent(), path.name()) else { return Ok(None) };
        let Some(undoes) = &self.rules.undoes else { return Ok(None) };
        if path == &undoes.to {
            return self.node_at(&undoes.from.clone());
        }
        let Some(below) = undoes.to.strip(&folder) else { return Ok(None) };
        let from = undoes.from.join_path(&below)?;
        self.look_into(&from)?;
        if let Some(found) = self.last_folder.nodes.get(name) {
            return Ok(Some(found.clone()));
        }
        let is_maildir = self.rules.maildir && matches!(folder.name(), Some(b"cur" | b"new"));
        if !is_maildir || self.was_there(path)? {
            return Ok(None);
        }
        let identity = mail_identity(name).to_vec();
        for part in [&b"cur"[..], b"new"] {
            self.look_into(&from.parent().unwrap_or_default().join(part)?)?;
            let nodes = &self.last_folder.nodes;
            if let Some((_, found)) = nodes.iter().find(|(name, _)| mail_identity(name) == identity)
            {
                return Ok(Some(found.clone()));
            }
        }
        Ok(None)
    }

    /// Whether a mail was there before the earlier restore, under whatever flags.
    fn was_there(&mut self, path: &RelPath) -> Result<bool> {
        let maildir = path.parent().and_then(|folder| folder.parent()).unwrap_or_default();
        if self.mails_before.as_ref().is_none_or(|(known, _)| *known != maildir) {
            let (snapshot, base) = self.before;
            let below = self.place.path.strip(&maildir).unwrap_or_default();
            let mut mails = BTreeSet::new();
            for part in [&b"cur"[..], b"new"] {
                let path = base.join_path(&below)?.join(part)?;
                let node = found(find_node(&self.reader, snapshot, &path))?;
                let nodes = node.filter(Node::is_folder).map(|one| self.reader.tree(&one.chunks));
                let names = nodes.transpose()?.unwrap_or_default();
                mails.extend(names.iter().map(|mail| mail_identity(&mail.name).to_vec()));
            }
            self.mails_before = Some((maildir, mails));
        }
        let mails = self.mails_before.as_ref().map(|(_, mails)| mails);
        let name = path.name().unwrap_or_default();
        Ok(mails.is_some_and(|mails| mails.contains(mail_identity(name))))
    }

    fn node_at(&self, path: &RelPath) -> Result<Option<Node>> {
        let Some(undoes) = &self.rules.undoes else { return Ok(None) };
        found(find_node(&self.reader, &undoes.snapshot, path))
    }

    fn look_into(&mut self, path: &RelPath) -> Result<()> {
        if self.last_folder.path.as_ref() == Some(path) {
            return Ok(());
        }
        let node = self.node_at(path)?.filter(Node::is_folder);
        let nodes = node.map(|node| self.reader.tree(&node.chunks)).transpose()?;
        let nodes = nodes.unwrap_or_default().into_iter().map(|node| (node.name.clone(), node));
        self.last_folder = LastFolder { path: Some(path.clone()), nodes: nodes.collect() };
        Ok(())
    }

    /// Of the names in a maildir those that say where a mail is now: not one that the earlier
    /// restore wrote, which is about to go or to become what was there.
    pub(super) fn names_of_today(&mut self, folder: &RelPath) -> Vec<Vec<u8>> {
        // A maildir that is not there yet has no mails.
        let names = self.place.home.names(folder).unwrap_or_default();
        let Some(undoes) = &self.rules.undoes else { return names };
        let below = undoes.to.strip(folder);
        let from = below.and_then(|below| undoes.from.join_path(&below).ok());
        let known = from.is_some_and(|from| self.look_into(&from).is_ok());
        let written = |name: &Vec<u8>| known && self.last_folder.nodes.contains_key(name);
        names.into_iter().filter(|name| !written(name)).collect()
    }
}

fn found(node: Result<Node>) -> Result<Option<Node>> {
    match node {
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        node => node.map(Some),
    }
}
