// SPDX-License-Identifier: MIT
//! Where the password or key comes from: a file, a command, the environment or a person. It is
//! never taken from an argument, which everybody on the machine could read, and never printed.

use super::args::Invocation;
use super::output::Output;
use super::signals::Stop;
use super::words::split_words;
use crate::base::units::Span;
use crate::base::{Error, Kind, Result, What, WhatIo, Within, World, limits};
use crate::format::keyslot::Secret;
use crate::hestia::call::private_folder;
use crate::hestia::named::{self, Entry, SecretPlace};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use zeroize::Zeroizing;

/// What is known about who asks.
pub struct Asker<'a> {
    /// The command and its options.
    pub call: &'a Invocation,
    /// Where warnings go.
    pub output: &'a Output,
    /// What puts the terminal back on Ctrl-C.
    pub stop: &'a Stop,
    /// Where a new key's randomness comes from.
    pub world: &'a World,
}

/// A secret for a new key slot.
pub struct NewSecret {
    /// What opens the slot.
    pub secret: Secret,
    /// The key file that was made for it just now.
    pub made: Option<PathBuf>,
}

/// Names of the three options that say where a secret is.
struct Names {
    file: &'static str,
    command: &'static str,
    key: &'static str,
}

const PRESENT: Names =
    Names { file: "password-file", command: "password-command", key: "key-file" };
const NEW: Names =
    Names { file: "new-password-file", command: "new-password-command", key: "new-key-file" };

impl Asker<'_> {
    /// The secret that opens the repository; where nothing is said, `key_file` is tried before a
    /// person is asked.
    pub fn present(&self, key_file: Option<&Path>) -> Result<Secret> {
        if let Some(secret) = self.named(&PRESENT)? {
            return Ok(secret);
        }
        match (password_from_env(), key_file) {
            (Some(password), _) => password,
            (None, Some(path)) => self.read_file(path, "key file"),
            (None, None) => self.prompt("Password of the repository: "),
        }
    }

    /// The secret that opens a repository with a name: what the options say, else its entry.
    pub fn of_entry(&self, entry: &Entry, key_file: &Path) -> Result<Secret> {
        if let Some(secret) = self.named(&PRESENT)? {
            return Ok(secret);
        }
        if let Some(place) = entry.password() {
            return Secret::from_file_text(&find_secret(entry, "password", place)?);
        }
        self.read_file(key_file, "key file").map_err(|error| match error.kind() {
            Kind::NotFound => error
                .hint("the first backup makes it; if there are backups already, put its copy back"),
            _ => error,
        })
    }

    /// The secret of a repository that is being made: the options and the environment say where
    /// it is, else the `key_file` of the settings is it; a key file that does not exist is made;
    /// without any of them a person is asked twice.
    pub fn first(&self, key_file: Option<&Path>) -> Result<NewSecret> {
        if let Some(secret) = self.new_secret(&PRESENT)? {
            return Ok(secret);
        }
        match (password_from_env(), key_file) {
            (Some(password), _) => password.map(existing),
            (None, Some(path)) => self.first_key(path),
            (None, None) => self.prompt_twice().map(existing),
        }
    }

    /// The key in this file, which is made if it does not exist.
    pub fn first_key(&self, path: &Path) -> Result<NewSecret> {
        if path.exists() {
            return self.key_file(path, &PRESENT).map(existing);
        }
        private_folder(path.parent().unwrap_or(Path::new("/")))?;
        let secret = make_key_file(path, self.world)?;
        Ok(NewSecret { secret, made: Some(path.to_owned()) })
    }

    /// The secret of one more key slot (`--new-...`).
    pub fn further(&self) -> Result<NewSecret> {
        match self.new_secret(&NEW)? {
            Some(secret) => Ok(secret),
            None => self.prompt_twice().map(existing),
        }
    }

    fn new_secret(&self, names: &Names) -> Result<Option<NewSecret>> {
        if let Some(path) = self.call.path(names.key) {
            self.at_most_one(names)?;
            if !path.exists() {
                let secret = make_key_file(path, self.world)?;
                return Ok(Some(NewSecret { secret, made: Some(path.to_owned()) }));
            }
        }
        Ok(self.named(names)?.map(existing))
    }

    fn named(&self, names: &Names) -> Result<Option<Secret>> {
        self.at_most_one(names)?;
        if let Some(path) = self.call.path(names.key) {
            return self.key_file(path, names).map(Some);
        }
        if let Some(path) = self.call.path(names.file) {
            return self.read_file(path, "password file").map(Some);
        }
        let Some(line) = self.call.text(names.command) else { return Ok(None) };
        password_from_command(line).map(Some)
    }

    fn key_file(&self, path: &Path, names: &Names) -> Result<Secret> {
        let secret = self.read_file(path, "key file")?;
        if matches!(secret, Secret::Password(_)) {
            let what = format!("use {} as a key file", path.display());
            return Err(Error::new(Kind::Password, what)
                .why("its first line is not `ghostsnap-key-file v1`")
                .hint(format!("a password in a file goes with --{}", names.file)));
        }
        Ok(secret)
    }

    fn at_most_one(&self, names: &Names) -> Result<()> {
        let given: Vec<String> = [names.file, names.command, names.key]
            .into_iter()
            .filter(|name| self.call.has(name))
            .map(|name| format!("--{name}"))
            .collect();
        if given.len() > 1 {
            return Err(Error::new(Kind::Usage, "choose the password").why(format!(
                "{} are given together (or in the environment)",
                given.join(" and ")
            )));
        }
        Ok(())
    }

    /// What a file of a key, a password or a recovery kit holds.
    pub fn of_file(&self, path: &Path) -> Result<Secret> {
        self.read_file(path, "file")
    }

    fn read_file(&self, path: &Path, what: &str) -> Result<Secret> {
        let doing = || format!("read the {what} {}", path.display());
        let file = File::open(path).what_io(doing)?;
        let meta = file.metadata().what_io(doing)?;
        if meta.is_file() && meta.mode() & 0o077 != 0 {
            let error = Error::new(Kind::Forbidden, format!("keep {} secret", path.display()))
                .why(format!("its mode {:o} lets others read or change it", meta.mode() & 0o777))
                .hint(format!("chmod 600 {}", path.display()));
            self.output.warning(&error);
        }
        let text = read_bounded(file).within(doing)?;
        Secret::from_file_text(&text).within(doing)
    }

    fn prompt(&self, question: &str) -> Result<Secret> {
        let answer = self.ask(question)?;
        if answer.is_empty() {
            return Err(Error::new(Kind::Password, "use an empty password"));
        }
        Ok(Secret::password(&answer))
    }

    fn prompt_twice(&self) -> Result<Secret> {
        let first = self.ask("New password: ")?;
        if first.is_empty() {
            return Err(Error::new(Kind::Password, "use an empty password"));
        }
        if *first != *self.ask("New password again: ")? {
            return Err(
                Error::new(Kind::Password, "take the new password").why("the two passwords differ")
            );
        }
        Ok(Secret::password(&first))
    }

    fn ask(&self, question: &str) -> Result<Zeroizing<String>> {
        if self.output.style().panel || File::open("/dev/tty").is_err() {
            return Err(Error::new(Kind::Password, "find the password of the repository")
                .why("none is given and there is no terminal to ask on")
                .hint(
                    "use --password-file, --password-command, --key-file or GHOSTSNAP_PASSWORD",
                ));
        }
        let answer = self.stop.while_asking(|| rpassword::prompt_password(question));
        let answer = answer.what_io(|| "read the password from the terminal");
        answer.map(Zeroizing::new).map_err(|error| match error.kind() {
            Kind::Cancelled => error,
            _ => error.with_kind(Kind::Password),
        })
    }
}

fn existing(secret: Secret) -> NewSecret {
    NewSecret { secret, made: None }
}

fn password_from_env() -> Option<Result<Secret>> {
    let value: OsString = std::env::var_os("GHOSTSNAP_PASSWORD")?;
    let bytes = value.as_bytes();
    if bytes.is_empty() {
        return Some(Err(Error::new(Kind::Password, "use an empty GHOSTSNAP_PASSWORD")));
    }
    Some(Ok(Secret::Password(Zeroizing::new(bytes.to_vec()))))
}

/// Runs the command and takes the first line it prints. It is split into words and started
/// without a shell.
fn password_from_command(line: &str) -> Result<Secret> {
    let doing = || "take the password from the command";
    let text = said_by(&split_words(line).within(doing)?).within(doing)?;
    Secret::from_file_text(&text).within(doing)
}

/// What a command prints, within bounds.
fn said_by(words: &[String]) -> Result<Zeroizing<String>> {
    let doing = || "run it";
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::new(Kind::Usage, doing()).why("the command is empty"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        // It is asked for one secret; another one is none of its business.
        .env_remove("GHOSTSNAP_PASSWORD")
        .stdout(Stdio::piped())
        .spawn()
        .what_io(|| format!("start '{program}' for a secret"))?;
    let Some(output) = child.stdout.take() else { return Ok(Zeroizing::default()) };
    let (sender, receiver) = crossbeam_channel::bounded(1);
    // Reading stops at the bound, which closes the pipe; a command that goes on writing ends. The
    // receiver is gone only if nobody waits for the text any more.
    std::thread::spawn(move || drop(sender.send(read_bounded(output))));
    let patience = Duration::from_secs(limits::SECRET_COMMAND_SECONDS);
    let Ok(text) = receiver.recv_timeout(patience) else {
        // It may have ended meanwhile; then there is nothing to end.
        drop(child.kill());
        drop(child.wait());
        return Err(Error::new(Kind::Password, doing())
            .why(format!("{program} said nothing for {}", Span(patience))));
    };
    let status = child.wait().what_io(doing)?;
    if !status.success() {
        return Err(Error::new(Kind::Password, doing()).why(format!("{program}: {status}")));
    }
    text
}

/// Finds a secret of a repository with a name. Errors say where it was looked for, never what was
/// found.
pub fn find_secret(entry: &Entry, key: &str, place: &SecretPlace) -> Result<Zeroizing<String>> {
    find_secret_for(&format!("find {key} of the repository {}", entry.name), place)
}

/// The same of anything; the text says what for.
pub fn find_secret_for(what: &str, place: &SecretPlace) -> Result<Zeroizing<String>> {
    let doing = || format!("{what} in the {place}");
    let text = match place {
        SecretPlace::File(path) => named::read_private(path).within(doing)?.map(Zeroizing::new),
        SecretPlace::Environment(name) => std::env::var(name).ok().map(Zeroizing::new),
        SecretPlace::Command(words) => Some(said_by(words).within(doing)?),
    };
    let text = text.filter(|text| !text.lines().next().unwrap_or_default().trim().is_empty());
    text.ok_or_else(|| {
        let why = match place {
            SecretPlace::File(_) => "there is no such file, or its first line is empty",
            SecretPlace::Environment(_) => "it is not set here",
            SecretPlace::Command(_) => "its first line is empty",
        };
        Error::new(Kind::Password, doing()).why(why)
    })
}

fn read_bounded(from: impl Read) -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.take(limits::SECRET_FILE_BYTES_MAX).read_to_end(&mut bytes).what_io(|| "read it")?;
    let text = std::str::from_utf8(&bytes).what(Kind::Password, || "read it as text")?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Writes a new random key to a file that must not exist; it is durable on return.
pub fn make_key_file(path: &Path, world: &World) -> Result<Secret> {
    let doing = || format!("make the key file {}", path.display());
    let key = Zeroizing::new(world.random_32()?);
    make_secret_file(path, &Secret::key_file_text(&key)).within(doing)?;
    Ok(Secret::KeyFile(key))
}

/// Writes a new file that only its owner reads; it is durable on return.
pub fn make_secret_file(path: &Path, text: &str) -> Result<()> {
    let doing = || format!("make the file {}", path.display());
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).what_io(doing)?;
    file.write_all(text.as_bytes()).what_io(doing)?;
    file.sync_all().what_io(doing)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).what_io(doing)
}

#[cfg(test)]
#[allow(clippy::redundant_closure_for_method_calls)] // a method's path has one lifetime, not all
mod tests {
    use super::super::args::{Parsed, parse_words};
    use super::super::output::Style;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn asked(line: &[&str]) -> Result<Secret> {
        with_asker(line, |asker| asker.present(None))
    }

    fn with_asker<T>(line: &[&str], act: impl FnOnce(&Asker<'_>) -> T) -> T {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        let Parsed::Run(call) = parse_words(&words, &|_| None) else { panic!("{line:?}") };
        let output = Output::new(Style { panel: true, ..Style::default() });
        let (stop, world) = (Stop::default(), World::seeded(1));
        act(&Asker { call: &call, output: &output, stop: &stop, world: &world })
    }

    fn password(secret: &Secret) -> String {
        match secret {
            Secret::Password(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Secret::KeyFile(_) => panic!("a key file"),
        }
    }

    fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_first_line_of_a_file_is_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "p", "correct horse \nsecond line\n");
        let secret = asked(&["stats", "--password-file", &path]).unwrap();
        assert_eq!(password(&secret), "correct horse");
        let empty = file(&folder, "empty", "\n");
        assert_eq!(
            asked(&["stats", "--password-file", &empty]).unwrap_err().kind(),
            Kind::Password
        );
        let error = asked(&["stats", "--password-file", "/nowhere"]).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.one_line().contains("/nowhere"), "{}", error.one_line());
    }

    #[test]
    fn a_command_is_split_but_never_given_to_a_shell() {
        let secret = asked(&["stats", "--password-command", "printf '%s' '$HOME; id'"]).unwrap();
        assert_eq!(password(&secret), "$HOME; id");
        for line in ["false", "printf ''", "/nowhere/x", "yes '", "yes"] {
            assert!(asked(&["stats", "--password-command", line]).is_err(), "{line}");
        }
    }

    #[test]
    fn two_sources_at_once_are_refused() {
        let error = asked(&["stats", "--password-file", "/a", "--key-file", "/b"]).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
    }

    #[test]
    fn a_key_file_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let line = ["init", "--key-file", path.to_str().unwrap()];
        let made = with_asker(&line, |asker| asker.first(None)).unwrap();
        assert_eq!(made.made.as_deref(), Some(path.as_path()));
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let again = with_asker(&line, |asker| asker.first(None)).unwrap();
        assert!(again.made.is_none());
        let (Secret::KeyFile(one), Secret::KeyFile(two)) = (made.secret, again.secret) else {
            panic!("not key files");
        };
        assert_eq!(*one, *two);
        assert!(make_key_file(&path, &World::seeded(2)).is_err(), "never overwritten");
    }

    #[test]
    fn a_password_file_is_no_key_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "p", "hunter2\n");
        let error = asked(&["stats", "--key-file", &path]).unwrap_err();
        assert!(error.hint_text().unwrap().contains("--password-file"));
        assert!(!error.one_line().contains("hunter2"));
    }

    #[test]
    fn without_a_terminal_the_error_says_what_to_do() {
        if std::env::var_os("GHOSTSNAP_PASSWORD").is_none() {
            let error = asked(&["stats"]).unwrap_err();
            assert_eq!(error.kind(), Kind::Password);
            assert!(error.hint_text().unwrap().contains("GHOSTSNAP_PASSWORD"));
        }
    }
}
