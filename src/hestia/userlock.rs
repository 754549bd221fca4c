// SPDX-License-Identifier: MIT
//! One job at a time per Hestia user: Hestia itself locks nothing, and a backup taken while a
//! restore runs is a backup of neither state. The lock is a flock on a file under `/run`: it is
//! gone with the process, however that ends, so nothing is ever left behind to clean up.

use super::layout::{Hestia, UserName};
use crate::base::error::io_error;
use crate::base::{Error, Kind, Result, WhatIo};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::{major, minor};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Where the locks live on a real machine.
pub const RUN_FOLDER: &str = "/run/ghostsnap";

/// A held lock; dropping it lets the next job in.
#[derive(Debug)]
pub struct UserLock(#[expect(dead_code, reason = "held for its drop")] Flock<File>);

impl UserLock {
    /// Takes the lock of a user or says at once who holds it. `purpose` is told to those who come
    /// while it is held.
    pub fn take(run_folder: &Path, user: &UserName, purpose: &str) -> Result<Self> {
        super::call::private_folder(run_folder)?;
        let path = run_folder.join(format!("user-{user}.lock"));
        let what = || format!("lock the user {user}");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(&path).what_io(what)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut held) => {
                let note = format!("{purpose} (process {})\n", std::process::id());
                held.set_len(0).what_io(what)?;
                held.write_all(note.as_bytes()).what_io(what)?;
                Ok(Self(held))
            }
            Err((file, Errno::EWOULDBLOCK)) => Err(Error::new(Kind::InUse, what())
                .why(format!("{} is running", holder(file)))
                .hint("wait for it to end, then run this again")),
            Err((_, errno)) => Err(io_error(errno.into(), what())),
        }
    }
}

/// Who holds the lock of a user, if anybody does. Looks into the kernel's list: to take the lock
/// for a look would turn a job away that comes just then.
pub fn holder_of(run_folder: &Path, user: &UserName) -> Option<String> {
    let path = run_folder.join(format!("user-{user}.lock"));
    let found = path.symlink_metadata().ok()?;
    let device = found.dev();
    let lock = format!("{:02x}:{:02x}:{}", major(device), minor(device), found.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let is_it = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // One that waits for the lock has an arrow instead.
        words.get(1) == Some(&"FLOCK") && words.contains(&lock.as_str())
    };
    locks.lines().any(is_it).then(|| File::open(&path).map_or_else(|_| String::new(), holder))
}

/// Fails while a `v-backup-user` or `v-restore-user` of this user runs, whoever started it.
pub fn refuse_while_hestia_works(hestia: &Hestia, user: &UserName) -> Result<()> {
    let what = || format!("work on the user {user}");
    let scripts = ["v-backup-user", "v-restore-user"].map(|name| (name, hestia.command(name)));
    for entry in std::fs::read_dir("/proc").what_io(what)? {
        let folder = entry.what_io(what)?.path();
        // What ended meanwhile, and what is no process, has no command line.
        let Ok(line) = std::fs::read(folder.join("cmdline")) else { continue };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).take(8).collect();
        for (name, path) in &scripts {
            let is_it = words.windows(2).any(|pair| {
                matches!(pair, [script, whose]
                    if *script == path.as_os_str().as_encoded_bytes()
                        && *whose == user.as_str().as_bytes())
            });
            if is_it && is_believed(&folder) {
                let process = folder.file_name().unwrap_or_default().display();
                return Err(Error::new(Kind::InUse, what())
                    .why(format!("Hestia's {name} is running for it (process {process})"))
                    .hint("wait for it to end, then run this again"));
            }
        }
    }
    Ok(())
}

/// Whether a process was started by root, as Hestia's scripts are, or by whoever runs this: anybody
/// can give a program of theirs the same words.
fn is_believed(process: &Path) -> bool {
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    // Of four ids the first is that of who started it, also if the program has root's rights.
    let starter = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let starter = starter.and_then(|ids| ids.split_ascii_whitespace().next()?.parse().ok());
    starter.is_some_and(|uid: u32| uid == 0 || uid == nix::unistd::getuid().as_raw())
}

fn holder(file: File) -> String {
    let mut note = Vec::new();
    // What the holder wrote is a courtesy: without it the message only says less.
    if file.take(200).read_to_end(&mut note).is_err() || note.is_empty() {
        return "another job of this user".to_owned();
    }
    crate::base::path::display_bytes(note.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process whose words are those of a script of Hestia's, run by this user.
    fn look_alike(hestia: &Hestia, user: &str, uid: u32) -> std::process::Child {
        use std::os::unix::process::CommandExt;
        let script = hestia.command("v-backup-user");
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "read line"]).arg(script).arg(user).uid(uid);
        command.stdin(std::process::Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn only_roots_processes_are_taken_for_hestias() {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        let name = UserName::parse("bob").unwrap();
        let own = nix::unistd::getuid();
        if own.is_root() {
            let mut other = look_alike(&hestia, "bob", 65534);
            refuse_while_hestia_works(&hestia, &name).unwrap();
            other.kill().unwrap();
            other.wait().unwrap();
        }
        let mut real = look_alike(&hestia, "bob", own.as_raw());
        let error = refuse_while_hestia_works(&hestia, &name).unwrap_err();
        assert_eq!(error.kind(), Kind::InUse);
        assert!(error.one_line().contains("Hestia's v-backup-user is running for it"), "{error}");
        refuse_while_hestia_works(&hestia, &UserName::parse("bo").unwrap()).unwrap();
        real.kill().unwrap();
        real.wait().unwrap();
    }

    #[test]
    fn a_second_job_of_a_user_is_told_who_is_first_and_other_users_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let name = |text| UserName::parse(text).unwrap();
        assert_eq!(holder_of(&run, &name("bob")), None);
        let held = UserLock::take(&run, &name("bob"), "a backup").unwrap();
        let holder = holder_of(&run, &name("bob")).unwrap();
        assert_eq!(holder, format!("a backup (process {})", std::process::id()));
        assert_eq!(holder_of(&run, &name("bob.x")), None);
        let error = UserLock::take(&run, &name("bob"), "a restore").unwrap_err();
        assert_eq!(error.kind(), Kind::InUse);
        assert!(error.one_line().contains("a backup (process "), "{error}");
        UserLock::take(&run, &name("bob.x"), "a backup").unwrap();
        drop(held);
        assert_eq!(holder_of(&run, &name("bob")), None);
        UserLock::take(&run, &name("bob"), "a restore").unwrap();
    }
}
