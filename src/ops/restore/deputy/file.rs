// SPDX-License-Identifier: MIT
//! Files through a deputy: what is there is compared chunk by chunk, and what is right of it is
//! not fetched from the repository again.

use super::super::folder::matching;
use super::super::plan::{Place, places};
use super::book::Item;
use super::{Change, Done, Mails, Overwrite, Plan, change};
use crate::base::{Counter, Error, Kind, Monitor, RelPath, Result, limits, units};
use crate::format::tree::Meta;
use crate::format::{Node, NodeKind};
use crate::repo::Reader;
use crate::tree::deputy::{Order, temporary_name};
use crate::tree::dir::{Existing, Target};
use crate::tree::walk::data_extents;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

impl Plan<'_> {
    pub(super) fn file(&mut self, node: &Node, path: &RelPath) -> Result<()> {
        let done = self.place_file(node, path);
        if done.is_err() {
            self.book.failed.insert(path.clone());
        }
        done
    }

    fn place_file(&mut self, node: &Node, path: &RelPath) -> Result<()> {
        let existing = self.look(path)?;
        if self.rules.maildir
            && !self.is_alone
            && self.is_mail_servers(path, node, existing.is_some())
        {
            self.leave();
            return Ok(());
        }
        let allowed = |one: &Existing| self.rules.overwrite.allows(one, &node.meta);
        let keep = existing.as_ref().is_some_and(|one| !allowed(one));
        let taken_to_be_right = keep && self.rules.overwrite == Overwrite::IfChanged;
        if let Some(key) = node.meta.hard_link()
            && (!keep || taken_to_be_right)
        {
            // Only a name whose content will be the snapshot's may lend it to others.
            if let Some(first) = self.links.get(&key) {
                self.waiting_links.push((first.clone(), path.clone(), node.meta.size));
                return Ok(());
            }
            self.links.insert(key, path.clone());
        }
        if keep {
            self.leave();
            return Ok(());
        }
        self.count_owner(&node.meta);
        let places = places(node, &self.reader.spans_of(node)?)?;
        let old = existing.as_ref().and_then(|one| self.old_content(path, one, node, &places));
        if let (Some(old), Some(existing)) = (&old, &existing)
            && old.is_right
        {
            return self.dress(path, existing, &node.meta);
        }
        self.make_room(path, existing.as_ref())?;
        let done = if existing.is_some() { Done::Overwritten } else { Done::Created };
        let change = change(done, path, node);
        if self.rules.dry_run {
            self.book.report.add(change, 1);
            return Ok(());
        }
        self.send_file(path, node, &places, old.as_ref(), change)
    }

    pub(super) fn leave(&mut self) {
        self.book.report.unchanged += 1;
        self.monitor.count(Counter::FilesUnchanged, 1);
    }

    /// The content is right; the rest may not be.
    fn dress(&mut self, path: &RelPath, existing: &Existing, meta: &Meta) -> Result<()> {
        self.leave();
        let looks_right = existing.mode & 0o1777 == meta.mode & 0o1777
            && existing.mtime == meta.mtime
            && meta.xattrs.is_empty();
        let is_his = existing.owner.0 == self.place.person.uid;
        if looks_right || !is_his || self.rules.dry_run {
            return Ok(());
        }
        self.book.items.push_back(Item::Dressed(path.clone()));
        self.send(&Order::Dress { path: path.clone(), meta: meta.clone() })
    }

    /// The file that is there, if it may be read, and which parts of it are right.
    pub(super) fn old_content(
        &self,
        path: &RelPath,
        existing: &Existing,
        node: &Node,
        places: &[Place],
    ) -> Option<Old> {
        if existing.kind != NodeKind::File {
            return None;
        }
        let file = self.place.home.open_same_to_read(path, existing.inode).ok()?;
        let right = matching(&self.reader, &file, places);
        let same_holes = node.extents.is_empty()
            || data_extents(&file, existing.size).is_ok_and(|extents| extents == node.extents);
        let is_right = same_holes && existing.size == node.meta.size && right.len() == places.len();
        Some(Old { file, right, is_right })
    }

    /// What is in the way goes; a folder with something in it only where removing was asked for.
    pub(super) fn make_room(&mut self, path: &RelPath, existing: Option<&Existing>) -> Result<()> {
        let Some(existing) = existing.filter(|one| one.kind == NodeKind::Folder) else {
            return Ok(());
        };
        if self.rules.undoes.is_some() {
            return self.clear(path, existing.kind);
        }
        let names = self.place.home.names(path)?;
        if !self.rules.exact && !names.is_empty() {
            return Err(Error::new(Kind::Exists, format!("put {path} in place"))
                .why("a folder that is not empty is there")
                .hint("--exact removes what the snapshot does not have"));
        }
        let below = self.place.path.strip(path).unwrap_or_default();
        let mut empty = !self.place.home.is_mount(path)?;
        for name in names {
            empty = empty && self.remove_other(&path.join(&name)?, &below.join(&name)?)?;
        }
        if !empty {
            return Err(Error::new(Kind::Exists, format!("put {path} in place"))
                .why("in the folder that is there now is what is not to be removed"));
        }
        self.remove(path, existing.kind, true)
    }

    fn send_file(
        &mut self,
        path: &RelPath,
        node: &Node,
        places: &[Place],
        old: Option<&Old>,
        change: Change,
    ) -> Result<()> {
        let prepared = if self.is_ours_to_make(path) { Some(self.prepare(path)?) } else { None };
        let (place, meta) = (path.clone(), node.meta.clone());
        self.send(&Order::File { path: place, meta, prepared: prepared.clone() })?;
        let content = self.send_content(node, places, old);
        let complete = match &content {
            Err(error) if self.ends_all(error) => return content,
            content => content.is_ok(),
        };
        // What is lacking is reported here, with its reason, and not once more by the reply.
        self.book.items.push_back(if complete { Item::Changed(change) } else { Item::Dropped });
        self.send(&Order::End { complete })?;
        if let Some(name) = prepared {
            let before = self.book.failures;
            self.settle()?;
            if complete && self.book.failures == before {
                self.place.home.rename(path, &name)?;
            } else {
                self.place.home.unlink(path, &name)?;
            }
        }
        content
    }

    /// Makes an empty file for the deputy to fill.
    pub(super) fn prepare(&self, path: &RelPath) -> Result<Vec<u8>> {
        let name = temporary_name(self.repository.world())?;
        let file = self.place.home.create_as(path, &name)?;
        let person = self.place.person;
        Target::hand_over(path, &file, (person.uid, person.gid))?;
        Ok(name)
    }

    fn send_content(&mut self, node: &Node, places: &[Place], old: Option<&Old>) -> Result<()> {
        let mut at = 0;
        for place @ Place { span, to } in places {
            if *to > at {
                self.send(&Order::Hole(*to - at))?;
            }
            let chunk = match old.and_then(|old| old.chunk(&self.reader, place)) {
                Some(chunk) => chunk,
                None => self.reader.span(span)?,
            };
            for piece in chunk.chunks(limits::DEPUTY_PIECE_BYTES) {
                self.send(&Order::Data(piece.to_vec()))?;
            }
            at = to + u64::from(span.length);
        }
        if node.meta.size > at {
            self.send(&Order::Hole(node.meta.size - at))?;
        }
        Ok(())
    }

    /// What a merge into a maildir leaves alone: a mail that is there under another name, and the
    /// server's own index of mails that may be newer than the snapshot's. One that is there under
    /// its own name is compared as any file is.
    fn is_mail_servers(&mut self, path: &RelPath, node: &Node, is_there: bool) -> bool {
        if is_there {
            return path.name().is_some_and(|name| name.starts_with(b"dovecot"));
        }
        self.has_mail(path, node.meta.size)
    }

    /// Whether a maildir has this mail already, under whatever flags and read or not. Mails never
    /// change: one of another size is damaged, or not the same.
    fn has_mail(&mut self, path: &RelPath, size: u64) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.name()) else { return false };
        if !matches!(folder.name(), Some(b"cur" | b"new")) {
            return false;
        }
        let maildir = folder.parent().unwrap_or_default();
        if self.mails.as_ref().is_none_or(|(known, _)| *known != maildir) {
            let mut mails = Mails::new();
            for folder in [&b"cur"[..], b"new"].iter().filter_map(|part| maildir.join(part).ok()) {
                for name in self.names_of_today(&folder) {
                    let known = mails.entry(mail_identity(&name).to_vec()).or_default();
                    known.extend(folder.join(&name));
                }
            }
            self.mails = Some((maildir, mails));
        }
        let mails = self.mails.as_ref().and_then(|(_, mails)| mails.get(mail_identity(name)));
        let is_it = |mail: &RelPath| {
            let there = self.place.home.look(mail).ok().flatten();
            there.is_some_and(|one| one.kind == NodeKind::File && one.size == size)
        };
        mails.is_some_and(|mails| mails.iter().any(is_it))
    }
}

/// The part of a mail's name that stays when it is read, answered or moved from `new` to `cur`.
pub(super) fn mail_identity(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b':').next().unwrap_or(name)
}

/// The file that is to be replaced.
pub(super) struct Old {
    file: File,
    right: HashSet<u64>,
    pub(super) is_right: bool,
}

impl Old {
    /// A chunk of it, if it is the right one still.
    fn chunk(&self, reader: &Reader<'_>, place: &Place) -> Option<Vec<u8>> {
        if !self.right.contains(&place.to) {
            return None;
        }
        let mut bytes = vec![0; units::length(u64::from(place.span.length))];
        self.file.read_exact_at(&mut bytes, place.to).ok()?;
        reader.holds(&place.span, &bytes).unwrap_or(false).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_the_same_whatever_its_flags() {
        assert_eq!(mail_identity(b"17.M1P2.host,S=9:2,S"), b"17.M1P2.host,S=9");
        assert_eq!(mail_identity(b"17.M1P2.host,S=9"), b"17.M1P2.host,S=9");
    }
}
