// SPDX-License-Identifier: MIT
//! Changes `ghostsnap.toml`: one key, the whole file judged by the parser before it takes the place
//! of the old one, and one change at a time.

use super::conf;
use super::named::write_private;
use super::setting_edit::{self, Path as KeyPath, Value};
use super::settings::Settings;
use crate::backend::private_file::{Hold, hold};
use crate::base::{Error, Kind, Result, WhatIo, World, settings_limits};
use std::fs::File;
use std::path::Path;

/// The text of the settings file; empty, if there is none.
pub fn read(file: &Path) -> Result<String> {
    let bytes = conf::read_file(file)?.unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| {
        Error::new(Kind::Invalid, format!("read the settings in {}", file.display()))
            .why("it is not UTF-8 text")
    })
}

/// Sets a key of the file, or takes it out, and returns what the text is then. `check` is asked
/// about the settings that come of it before anything is written.
pub fn change(
    file: &Path,
    (name, value): (&KeyPath, Option<&Value>),
    world: &World,
    check: impl FnOnce(&Settings) -> Result<()>,
) -> Result<String> {
    let shown = setting_edit::name_of(name);
    let what = || format!("set {shown}");
    let folder = file.parent().unwrap_or(Path::new("/"));
    if file.symlink_metadata().is_ok_and(|data| data.is_symlink()) {
        return Err(Error::new(Kind::Invalid, what())
            .why(format!("{} is a link to a file that is somebody else's matter", file.display()))
            .hint("change the file that it leads to"));
    }
    super::call::private_folder(folder)?;
    let _held = lock(folder, world)?;
    let before = read(file)?;
    let after = setting_edit::changed(&before, name, value)?;
    let settings = Settings::parse(&after, file).map_err(|error| {
        // What was wrong before is told with its line, what is asked for now needs none.
        if Settings::parse(&before, file).is_err() {
            return error.within(what());
        }
        Error::new(error.kind(), what()).why(error.reasons_or_what())
    })?;
    check(&settings)?;
    if after != before {
        write_private(folder, file, after.as_bytes(), false)?;
    }
    Ok(after)
}

/// Two that change at the same time must not each undo what the other has done.
pub(super) fn lock(folder: &Path, world: &World) -> Result<Hold> {
    let file = File::open(folder).what_io(|| format!("lock {}", folder.display()))?;
    hold(file, world, settings_limits::LOCK_WAIT)?.ok_or_else(|| {
        Error::new(Kind::InUse, "change the settings").why("somebody else does, for quite a while")
    })
}
