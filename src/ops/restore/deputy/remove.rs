// SPDX-License-Identifier: MIT
//! What goes when a restore through a deputy is exact, and what makes room for something else.

use super::book::Item;
use super::{Change, Done, Plan};
use crate::base::{Error, Kind, Monitor, RelPath, Result, limits};
use crate::format::{Node, NodeKind};
use crate::tree::deputy::Order;
use crate::tree::select::Verdict;

impl Plan<'_> {
    /// Removes what the snapshot's folder does not hold.
    pub(super) fn remove_others(
        &mut self,
        nodes: &[Node],
        path: &RelPath,
        below: &RelPath,
    ) -> Result<()> {
        let names = match self.place.home.names(path) {
            // A folder that is not there has nothing to remove.
            Err(error) if error.kind() == Kind::NotFound => return Ok(()),
            Err(error) if self.rules.dry_run && error.kind() == Kind::Forbidden => return Ok(()),
            Err(error) => {
                self.monitor.warn(error);
                return Ok(());
            }
            Ok(names) => names,
        };
        // A backup that stays on its file system leaves the folder of a mount empty.
        if nodes.is_empty() && !names.is_empty() && self.place.home.is_mount(path)? {
            return Ok(());
        }
        for name in names {
            if nodes.binary_search_by(|node| node.name.cmp(&name)).is_ok() {
                continue;
            }
            let (inner, inner_below) = (path.join(&name)?, below.join(&name)?);
            if let Err(error) = self.remove_other(&inner, &inner_below) {
                if self.ends_all(&error) {
                    return Err(error);
                }
                self.monitor.warn(error);
            }
        }
        Ok(())
    }

    /// Removes an entry that the snapshot lacks, with all in it but what is left out or spared at
    /// any depth; says whether the entry itself goes.
    pub(super) fn remove_other(&mut self, path: &RelPath, below: &RelPath) -> Result<bool> {
        let selection = &self.rules.selection;
        if selection.verdict(below, false) == Verdict::Leave || (self.rules.spared)(path) {
            return Ok(false);
        }
        let Some(existing) = self.place.home.look(path)? else { return Ok(true) };
        let is_folder = existing.kind == NodeKind::Folder;
        let left_out = &self.rules.left_out;
        // Nor does a backup go into what is mounted in a home.
        let (device, _) = self.place.home.identity(&path.parent().unwrap_or_default())?;
        if left_out.verdict(path, is_folder) == Verdict::Leave || existing.inode.0 != device {
            return Ok(false);
        }
        let mut empty = true;
        // What is spared lies directly in a folder of a domain, so others go in one step.
        let is_undo = self.rules.undoes.is_some();
        let in_parts = !selection.is_all() || !left_out.is_all() || path.depth() <= 3 || is_undo;
        if is_folder && in_parts && path.depth() < limits::TREE_DEPTH_MAX {
            for name in self.place.home.names(path)? {
                empty &= self.remove_other(&path.join(&name)?, &below.join(&name)?)?;
            }
        }
        if empty && !self.is_its_work(path, &existing)? {
            self.book.report.newer += 1;
            empty = false;
        }
        if empty {
            self.remove(path, existing.kind, false)?;
        }
        Ok(empty)
    }

    /// Removes what of a folder is an earlier restore's, so that something else can take its
    /// place.
    pub(super) fn clear(&mut self, path: &RelPath, kind: NodeKind) -> Result<()> {
        let below = self.place.path.strip(path).unwrap_or_default();
        let goes = kind != NodeKind::Folder || self.remove_other(path, &below)?;
        if !goes {
            return Err(Error::new(Kind::Exists, format!("put {path} in place"))
                .why("the folder that is there now holds what is newer"));
        }
        if self.rules.dry_run { Ok(()) } else { self.settle() }
    }

    /// Removes what is at a path. What is to be replaced is no change of its own.
    pub(super) fn remove(
        &mut self,
        path: &RelPath,
        kind: NodeKind,
        is_replaced: bool,
    ) -> Result<()> {
        // Such as web, mail and tmp: what is in them goes with the user's own rights or not at all.
        let is_undo = self.rules.undoes.is_some() && !is_replaced;
        if kind == NodeKind::Folder && self.is_ours_to_make(path) && !is_undo {
            return Err(Error::new(Kind::Forbidden, format!("remove {path}"))
                .why("it is a folder in a home that belongs to root"));
        }
        let gone = Change { done: Done::Removed, path: path.clone(), kind, bytes: 0 };
        if self.rules.dry_run {
            if !is_replaced {
                self.book.report.add(gone, 1);
            }
            return Ok(());
        }
        if self.is_ours_to_make(path) {
            if kind == NodeKind::Folder {
                // What was in it has been removed by its owner, and is gone when he says so.
                self.settle()?;
                self.place.home.remove_empty_folder(path)?;
                self.book.report.add(gone, 1);
                return Ok(());
            }
            let count = self.place.home.remove(path)?;
            if !is_replaced {
                self.book.report.add(gone, count);
            }
            return Ok(());
        }
        if is_replaced {
            return self.ask(&Order::Remove { path: path.clone() });
        }
        self.book.items.push_back(Item::Changed(gone));
        if kind == NodeKind::Folder && is_undo {
            // What came into it since it was looked at is newer, and stays.
            return self.send(&Order::RemoveEmpty { path: path.clone() });
        }
        self.send(&Order::Remove { path: path.clone() })
    }
}
