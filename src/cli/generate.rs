// SPDX-License-Identifier: MIT
//! Writes what is made from the table: the shims and API profiles of the panel, the reference in
//! docs/, man pages and completions. The first three are committed, and a test compares them.

use super::args::{capital, clap_command};
use super::table::{self, Shim};
use super::{generate_api, generate_docs, generate_shims};
use crate::base::{Result, WhatIo};
use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The folder of the shims.
const SHIM_FOLDER: &str = "bin-shims";

/// A file made from the table.
pub struct Generated {
    /// Where it lies in the project.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// Whether it can be executed.
    pub executable: bool,
}

/// All the committed files.
pub fn files() -> Vec<Generated> {
    let mut files: Vec<Generated> = table::shims()
        .into_iter()
        .map(|(command, shim)| Generated {
            path: Path::new(SHIM_FOLDER).join(shim.name),
            text: generate_shims::shim(command, shim),
            executable: true,
        })
        .collect();
    let plain =
        |path: &str, text: String| Generated { path: PathBuf::from(path), text, executable: false };
    for (name, text) in generate_shims::api_profiles() {
        files.push(plain(&format!("hestia-plugin/api/{name}"), text));
    }
    files.push(plain("docs/cli.md", generate_docs::cli()));
    files.push(plain("docs/errors.md", generate_docs::errors()));
    files.push(plain("docs/api.md", generate_api::api()));
    files
}

/// Writes the files that differ and removes shims the table does not have; returns which.
pub fn write(root: &Path) -> Result<Vec<PathBuf>> {
    let mut changed = Vec::new();
    for file in files() {
        let path = root.join(&file.path);
        let doing = || format!("write {}", path.display());
        if !differs(&path, &file) {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).what_io(doing)?;
        }
        fs::write(&path, &file.text).what_io(doing)?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).what_io(doing)?;
        changed.push(file.path);
    }
    for path in strangers(root)? {
        fs::remove_file(root.join(&path)).what_io(|| format!("remove {}", path.display()))?;
        changed.push(path);
    }
    Ok(changed)
}

/// Says which files differ from the table, one sentence each.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings: Vec<String> = files()
        .iter()
        .filter(|file| differs(&root.join(&file.path), file))
        .map(|file| format!("{} differs", file.path.display()))
        .collect();
    let strangers = strangers(root)?;
    findings.extend(strangers.iter().map(|path| format!("{} has no row", path.display())));
    Ok(findings)
}

fn differs(path: &Path, file: &Generated) -> bool {
    let executable = |meta: fs::Metadata| meta.permissions().mode() & 0o111 == 0o111;
    let same_text = fs::read(path).is_ok_and(|bytes| bytes == file.text.as_bytes());
    let same_mode = fs::metadata(path).is_ok_and(|meta| executable(meta) == file.executable);
    !same_text || !same_mode
}

/// Shims in the folder that the table does not have.
fn strangers(root: &Path) -> Result<Vec<PathBuf>> {
    let known: BTreeSet<&str> = table::shims().iter().map(|(_, shim)| shim.name).collect();
    let doing = || format!("list {}", root.join(SHIM_FOLDER).display());
    let entries = match fs::read_dir(root.join(SHIM_FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).what_io(doing),
    };
    let mut strangers = Vec::new();
    for entry in entries {
        let name = entry.what_io(doing)?.file_name();
        if !name.to_str().is_some_and(|name| known.contains(name)) {
            strangers.push(Path::new(SHIM_FOLDER).join(name));
        }
    }
    strangers.sort();
    Ok(strangers)
}

/// Writes `ghostsnap.1`, a page for each command and one for each shim (section 8).
pub fn write_man_pages(folder: &Path) -> Result<()> {
    let doing = || format!("write the man pages to {}", folder.display());
    fs::create_dir_all(folder).what_io(doing)?;
    clap_mangen::generate_to(clap_command(), folder).what_io(doing)?;
    for (_, shim) in table::shims() {
        let mut page = Vec::new();
        Man::new(shim_command(shim))
            .section("8")
            .manual("HestiaCP commands")
            .render(&mut page)
            .what_io(doing)?;
        fs::write(folder.join(format!("{}.8", shim.name)), page).what_io(doing)?;
    }
    Ok(())
}

/// The shim as clap would see it, for its man page.
fn shim_command(shim: &'static Shim) -> Command {
    let args = shim
        .args
        .iter()
        .map(|arg| Arg::new(arg.name).value_name(arg.name).help(arg.about).required(arg.required));
    Command::new(shim.name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(shim.about)
        .long_about(format!("{}\n\n{}", capital(shim.about), shim.details))
        .after_help(format!("Example:\n  {}", shim.example))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(args)
}

/// Writes the completion scripts of the shells that Debian knows.
pub fn write_completions(folder: &Path) -> Result<()> {
    let doing = || format!("write the completions to {}", folder.display());
    fs::create_dir_all(folder).what_io(doing)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut clap_command(), "ghostsnap", folder)
            .what_io(doing)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_twice_changes_nothing_and_strangers_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!write(folder.path()).unwrap().is_empty());
        assert!(write(folder.path()).unwrap().is_empty());
        assert!(check(folder.path()).unwrap().is_empty());
        let stranger = folder.path().join("bin-shims/v-ghostsnap-nonsense");
        fs::write(&stranger, "x").unwrap();
        fs::write(folder.path().join("docs/errors.md"), "edited").unwrap();
        let findings = check(folder.path()).unwrap();
        assert_eq!(findings.len(), 2, "{findings:?}");
        write(folder.path()).unwrap();
        assert!(!stranger.exists());
    }

    #[test]
    fn man_pages_and_completions_cover_every_name() {
        let folder = tempfile::tempdir().unwrap();
        write_man_pages(folder.path()).unwrap();
        write_completions(folder.path()).unwrap();
        for command in table::commands().filter(|command| !command.hidden) {
            let page = format!("ghostsnap-{}.1", command.name.replace(' ', "-"));
            assert!(folder.path().join(&page).exists(), "{page}");
        }
        for (_, shim) in table::shims() {
            let page = fs::read_to_string(folder.path().join(format!("{}.8", shim.name))).unwrap();
            assert!(page.contains(shim.about), "{}", shim.name);
        }
        assert!(folder.path().join("ghostsnap.bash").exists());
    }
}
