// SPDX-License-Identifier: MIT
//! The repositories of this server: the one of its settings and those with a name. The first backup
//! into one where nothing is set up makes a random key file and a repository; ever after, a missing
//! key or a missing repository is an error: a new key would not open the old backups, and an empty
//! folder where the repository was is more likely a disk that is not mounted than a wish to begin
//! anew.

use super::call::private_folder;
use super::conf;
use super::named::Entry;
use super::settings::Settings;
use crate::backend::{self, Access};
use crate::base::error::io_error;
use crate::base::{Error, Kind, Result, WhatIo, Within, World};
use crate::format::keyslot::Secret;
use crate::repo::{Found, Repository};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where a repository of this server is, and the file with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A path or URL.
    pub address: String,
    /// The key file; it need not exist yet.
    pub key_file: PathBuf,
    /// The repository's name, if it has one.
    pub name: Option<String>,
}

impl Place {
    /// The repository that the settings describe themselves.
    pub fn of_settings(settings: &Settings) -> Self {
        let (address, key_file) = (settings.repository.clone(), settings.key_file.clone());
        Self { address, key_file, name: None }
    }

    /// A repository with a name; entries are in this folder.
    pub fn of_entry(entry: &Entry, folder: &Path) -> Self {
        let (address, key_file) = (entry.url.clone(), entry.key_file(folder));
        Self { address, key_file, name: Some(entry.name.to_string()) }
    }

    /// What messages call it.
    fn called(&self) -> String {
        match &self.name {
            Some(name) => format!("the repository {name}"),
            None => "the repository of this server".to_owned(),
        }
    }

    fn lost(&self) -> String {
        let again = match &self.name {
            Some(name) => format!("ghostsnap init -r {name}"),
            None => {
                format!("ghostsnap init -r {} --key-file {}", self.address, self.key_file.display())
            }
        };
        let key = self.key_file.display();
        format!("{key} exists, so there was one: is the disk mounted? To begin anew, run '{again}'")
    }
}

/// A repository of this server, and whether it was made just now.
pub struct Opened {
    /// The repository.
    pub repository: Repository,
    /// What was made for it; the admin has to hear of it.
    pub made: Option<Made>,
}

/// What the first backup made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The key file.
    pub key_file: PathBuf,
    /// The repository.
    pub repository: String,
}

impl Made {
    /// One paragraph for the admin.
    pub fn advice(&self) -> String {
        let key = self.key_file.display();
        format!(
            "A new repository was made at {}. It is encrypted, and {key} is the only key. Whoever \
             has that file can read every backup; if it is lost, nobody can, you included. Copy it \
             to a place off this server now, such as a password manager (it is two lines of text), \
             or add a password as a second key with 'ghostsnap key add'.",
            self.repository
        )
    }
}

/// Opens a repository; fails if there is none.
pub fn open(place: &Place, access: &Access) -> Result<Repository> {
    let Some(secret) = read_key(&place.key_file)? else {
        return Err(Error::new(Kind::NotFound, format!("open {}", place.called()))
            .why(format!("there is no key file {}", place.key_file.display()))
            .hint("the first backup makes one; if there are backups already, put its copy back"));
    };
    let backend = backend::open(&place.address, access)?;
    Found::at(backend)?.open(&secret, Arc::clone(&access.world))
}

/// Opens a repository; makes it and its key, if neither is there.
pub fn open_or_make(place: &Place, access: &Access) -> Result<Opened> {
    let backend = backend::open(&place.address, access)?;
    let world = Arc::clone(&access.world);
    let key_file = &place.key_file;
    let made = Made { key_file: key_file.clone(), repository: place.address.clone() };
    if let Some(secret) = read_key(key_file)? {
        let found = Found::at(backend);
        let repository = found.and_then(|found| found.open(&secret, world)).map_err(|error| {
            let gone = error.kind() == Kind::NotFound;
            if gone { error.hint(place.lost()) } else { error }
        })?;
        return Ok(Opened { repository, made: None });
    }
    let draft = draft_of(key_file);
    if backend.size(&backend::FileName::CONFIG)?.is_some() {
        // The first time was interrupted when all but this was done.
        if let Ok(Some(secret)) = read_key(&draft)
            && let Ok(repository) = Repository::open(Arc::clone(&backend), &secret, world)
        {
            keep_key(&draft, key_file)?;
            return Ok(Opened { repository, made: Some(made) });
        }
        return Err(Error::new(Kind::Password, format!("open the repository {}", place.address))
            .why(format!("its key file {} is missing", key_file.display()))
            .hint("put the copy of it back; a new key would not open the old backups"));
    }
    backend::refuse_foreign_place(&place.address).map_err(|error| match &place.name {
        None => error.hint("name an empty or new folder as 'repository' in the settings"),
        Some(name) => error.hint(format!(
            "give an empty or new folder: ghostsnap repository change {name} url=/FOLDER"
        )),
    })?;
    // Under another name until there is a repository: a key says that there was one.
    let secret = match read_key(&draft) {
        Ok(Some(secret)) => secret,
        // One that was cut off opens nothing, as it is durable before anything is sealed with it.
        unusable => {
            if unusable.is_err() {
                std::fs::remove_file(&draft)
                    .what_io(|| format!("remove the unfinished key file {}", draft.display()))?;
            }
            make_key(&draft, &world)?
        }
    };
    let repository = Repository::init(backend, &secret, "this server's key file", world)?;
    keep_key(&draft, key_file)?;
    Ok(Opened { repository, made: Some(made) })
}

/// Where a key is until the repository is made that it opens.
fn draft_of(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Gives the key of a repository that was made its own name, never over another.
fn keep_key(draft: &Path, key_file: &Path) -> Result<()> {
    let what = || format!("make the key file {}", key_file.display());
    std::fs::hard_link(draft, key_file).what_io(what)?;
    std::fs::remove_file(draft).what_io(what)?;
    let folder = key_file.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).what_io(what)
}

/// Reads a key file; `None` if there is none. One that others can read is refused.
fn read_key(path: &Path) -> Result<Option<Secret>> {
    let what = || format!("read the key file {}", path.display());
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error, what())),
    };
    let me = nix::unistd::geteuid().as_raw();
    if meta.mode() & 0o077 != 0 || (meta.uid() != me && meta.uid() != 0) {
        return Err(Error::new(Kind::Password, what())
            .why("others may read it")
            .hint(format!("chown root {0} && chmod 600 {0}", path.display())));
    }
    let Some(bytes) = conf::read_file(path)? else { return Ok(None) };
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Error::new(Kind::Password, what()).why("it is not text"))?;
    Secret::from_file_text(text).within(what).map(Some)
}

/// Makes a key file, readable by root alone and durable before anything is sealed with it.
fn make_key(path: &Path, world: &World) -> Result<Secret> {
    let what = || format!("make the key file {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("/"));
    private_folder(folder)?;
    let key = Zeroizing::new(world.random_32()?);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).what_io(what)?;
    file.write_all(Secret::key_file_text(&key).as_bytes()).what_io(what)?;
    file.sync_all().what_io(what)?;
    File::open(folder).and_then(|folder| folder.sync_all()).what_io(what)?;
    Ok(Secret::KeyFile(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn fixture() -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            repository: folder.path().join("lib/repository").display().to_string(),
            key_file: folder.path().join("etc/repository.key"),
            ..Settings::default()
        };
        (folder, settings)
    }

    fn place(settings: &Settings) -> Place {
        Place::of_settings(settings)
    }

    fn access() -> Access {
        Access::bare(Arc::new(World::system()))
    }

    #[test]
    fn the_first_time_makes_key_and_repository_and_the_second_opens_them() {
        let (_folder, settings) = fixture();
        assert_eq!(open(&place(&settings), &access()).err().unwrap().kind(), Kind::NotFound);
        let first = open_or_make(&place(&settings), &access()).unwrap();
        let advice = first.made.unwrap().advice();
        assert!(advice.contains(settings.key_file.to_str().unwrap()));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&settings.key_file), 0o600);
        assert_eq!(mode(settings.key_file.parent().unwrap()), 0o700);
        assert_eq!(open_or_make(&place(&settings), &access()).unwrap().made, None);
        open(&place(&settings), &access()).unwrap();
    }

    #[test]
    fn a_first_time_that_was_cut_off_anywhere_is_taken_up() {
        let again = |prepare: &dyn Fn(&Settings)| {
            let (_folder, settings) = fixture();
            fs::create_dir_all(settings.key_file.parent().unwrap()).unwrap();
            prepare(&settings);
            assert!(open_or_make(&place(&settings), &access()).unwrap().made.is_some());
            assert!(!draft_of(&settings.key_file).exists());
            assert_eq!(open_or_make(&place(&settings), &access()).unwrap().made, None);
        };
        let draft = |settings: &Settings| {
            make_key(&draft_of(&settings.key_file), &World::system()).unwrap()
        };
        let store = |settings: &Settings| backend::open(&settings.repository, &access()).unwrap();
        // In the key, behind the key, in the repository, behind it.
        again(&|settings| fs::write(draft_of(&settings.key_file), "ghostsnap-key").unwrap());
        again(&|settings| drop(draft(settings)));
        again(&|settings| {
            let secret = draft(settings);
            let world = Arc::new(World::system());
            Repository::init(store(settings), &secret, "x", world).unwrap();
            store(settings).remove(&backend::FileName::CONFIG).unwrap();
        });
        again(&|settings| {
            let secret = draft(settings);
            let world = Arc::new(World::system());
            Repository::init(store(settings), &secret, "x", world).unwrap();
        });
    }

    #[test]
    fn a_folder_that_holds_other_things_gets_neither_key_nor_repository() {
        let (folder, settings) = fixture();
        let repository = folder.path().join("lib/repository");
        fs::create_dir_all(&repository).unwrap();
        fs::write(repository.join("alice.2026-01-02_03-04-05.tar"), "x").unwrap();
        let error = open_or_make(&place(&settings), &access()).err().unwrap();
        assert_eq!(error.kind(), Kind::Exists);
        assert!(error.hint_text().unwrap().contains("settings"));
        assert!(!settings.key_file.exists() && !repository.join("keys").exists());
    }

    #[test]
    fn a_lost_key_is_never_replaced_by_a_new_one() {
        let (_folder, settings) = fixture();
        open_or_make(&place(&settings), &access()).unwrap();
        fs::remove_file(&settings.key_file).unwrap();
        let error = open_or_make(&place(&settings), &access()).err().unwrap();
        assert_eq!(error.kind(), Kind::Password);
        assert!(!settings.key_file.exists());
    }

    #[test]
    fn a_disk_that_is_not_mounted_gets_no_new_repository() {
        let (folder, settings) = fixture();
        open_or_make(&place(&settings), &access()).unwrap();
        fs::remove_dir_all(folder.path().join("lib")).unwrap();
        let error = open_or_make(&place(&settings), &access()).err().unwrap();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.hint_text().unwrap().contains("mounted"));
        assert!(!folder.path().join("lib").exists());
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let (_folder, settings) = fixture();
        open_or_make(&place(&settings), &access()).unwrap();
        fs::set_permissions(&settings.key_file, fs::Permissions::from_mode(0o644)).unwrap();
        let error = open_or_make(&place(&settings), &access()).err().unwrap();
        assert_eq!(error.kind(), Kind::Password);
        assert!(error.hint_text().unwrap().contains("chmod 600"));
    }
}
