// SPDX-License-Identifier: MIT
//! Which objects of a user a canonical tree holds, read off the paths of its entries: the list is
//! the same whichever source the tree comes from.

use crate::base::path::display_bytes;
use crate::base::units::bytes;
use crate::base::{Error, Kind, RelPath, Result, limits};
use crate::format::snapshot::Object;
use crate::format::tree::NodeKind;
use std::collections::BTreeSet;

/// The folders whose names are objects, with what Hestia calls them.
const SECTIONS: [(&[u8], &str); 5] =
    [(b"web", "WEB"), (b"dns", "DNS"), (b"mail", "MAIL"), (b"db", "DB"), (b"user_dir", "UDIR")];

/// The objects seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    cron_jobs: u64,
    /// Index into [`SECTIONS`] and name.
    objects: BTreeSet<(usize, Vec<u8>)>,
}

impl Seen {
    /// Remembers the domain, database or entry of the home that a path belongs to.
    pub fn note(&mut self, path: &RelPath, kind: NodeKind) -> Result<()> {
        let mut names = path.names();
        let (Some(top), Some(name)) = (names.next(), names.next()) else { return Ok(()) };
        let Some(section) = SECTIONS.iter().position(|(folder, _)| *folder == top) else {
            return Ok(());
        };
        let is_leaf = names.next().is_none();
        if is_leaf && kind != NodeKind::Folder && top != b"user_dir" {
            return Ok(());
        }
        self.objects.insert((section, name.to_vec()));
        if self.objects.len() > limits::HESTIA_OBJECTS_MAX {
            return Err(Error::new(Kind::Limit, "list what belongs to the user").why(format!(
                "there are more than {} domains, databases and folders",
                limits::HESTIA_OBJECTS_MAX
            )));
        }
        Ok(())
    }

    /// Counts the jobs in a `cron.conf`.
    pub fn count_jobs(&mut self, cron_conf: &[u8]) {
        let jobs = cron_conf.split(|byte| *byte == b'\n').filter(|row| row.starts_with(b"JOB="));
        self.cron_jobs = bytes(jobs.count());
    }

    /// The list for a snapshot, in Hestia's order.
    pub fn objects(&self) -> Vec<Object> {
        let mut objects = Vec::with_capacity(self.objects.len() + 1);
        for (section, name) in &self.objects {
            let word = SECTIONS.get(*section).map_or("", |(_, word)| *word);
            if word == "UDIR" {
                self.push_cron(&mut objects);
            }
            objects.push(Object { section: word.to_owned(), name: display_bytes(name) });
        }
        self.push_cron(&mut objects);
        objects
    }

    /// Adds the count of cron jobs in its place, once.
    fn push_cron(&self, objects: &mut Vec<Object>) {
        if self.cron_jobs > 0 && !objects.iter().any(|one| one.section == "CRON") {
            let name = self.cron_jobs.to_string();
            objects.push(Object { section: "CRON".to_owned(), name });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_sections_and_everything_in_the_home_are_objects() {
        let mut seen = Seen::default();
        for (path, kind) in [
            ("web", NodeKind::Folder),
            ("web/a.example", NodeKind::Folder),
            ("web/a.example/data/x", NodeKind::File),
            ("web/note.txt", NodeKind::File),
            ("user_dir/.bashrc", NodeKind::File),
            ("user_dir/link", NodeKind::Symlink),
            ("db/u_a/hestia/db.conf", NodeKind::File),
            ("extra/web/z.example", NodeKind::Folder),
        ] {
            seen.note(&RelPath::parse(path.as_bytes()).unwrap(), kind).unwrap();
        }
        seen.count_jobs(b"JOB='1' CMD='x'\n\nJOB='2'\n");
        let found: Vec<String> =
            seen.objects().iter().map(|one| format!("{} {}", one.section, one.name)).collect();
        assert_eq!(found, ["WEB a.example", "DB u_a", "CRON 2", "UDIR .bashrc", "UDIR link"]);
    }
}
