// SPDX-License-Identifier: MIT
//! The processes of the queue: a job's, which outlives its runner, and a runner's, where no systemd
//! starts one. Argument vectors only, and the environment that cron would give: what somebody had
//! in theirs when a job was handed in is no part of it.

use super::job::Job;
use super::runner::{Launch, Process};
use super::spool::Spool;
use crate::base::{Error, Kind, Result, WhatIo};
use nix::fcntl::OFlag;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const NICE: &str = "/usr/bin/nice";
const IONICE: &str = "/usr/bin/ionice";
const BASH: &str = "/bin/bash";
const SETSID: &str = "/usr/bin/setsid";
/// Closes what the caller had open: a lock that a script of the administrator holds
/// around the call, or a pipe that the panel reads to its end, must not stay open until the queue
/// is empty. Closing a file by its number is nothing that safe Rust can do.
const ALONE: &str = "for file in /proc/$$/fd/*; do file=${file##*/}; \
                     [ \"$file\" -le 2 ] || eval \"exec $file>&-\"; done; exec \"$@\"";
const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// The service that works the queue off where systemd runs.
const SERVICE: &str = "ghostsnap-jobs.service";
/// Where that service is described.
const SERVICE_FILES: [&str; 2] = [
    "/usr/lib/systemd/system/ghostsnap-jobs.service",
    "/etc/systemd/system/ghostsnap-jobs.service",
];

/// How this program is started again.
#[derive(Debug, Clone)]
pub struct Again {
    /// The program.
    pub program: PathBuf,
    /// The options that say which settings and which Hestia are meant.
    pub options: Vec<OsString>,
    /// Whether jobs that nobody waits for run with low priority.
    pub low_priority: bool,
    /// Where a runner that nobody watches says what is wrong.
    pub log: PathBuf,
}

impl Again {
    /// This program, from where it was started. After an upgrade that is another one of its name.
    pub fn program() -> PathBuf {
        let usual = || PathBuf::from("/usr/bin/ghostsnap");
        let own = std::env::current_exe().ok();
        own.filter(|path| path.is_file()).unwrap_or_else(usual)
    }

    fn command(&self, before: &[&str]) -> Command {
        let mut words = before.iter().map(OsString::from).chain([self.program.clone().into()]);
        let first = words.next().unwrap_or_default();
        let mut command = Command::new(first);
        command.args(words).env_clear().current_dir("/").stdin(Stdio::null());
        command.env("PATH", PATH).env("HOME", "/root").env("USER", "root").env("LANG", "C.UTF-8");
        if let Some(zone) = std::env::var_os("TZ") {
            command.env("TZ", zone);
        }
        command
    }

    /// Sees to it that somebody works the queue off, if nobody does. Does not wait for it.
    pub fn start_runner(&self, real: bool) -> Result<()> {
        let what = || "start to work off the queue";
        let has_service = real
            && Path::new("/run/systemd/system").is_dir()
            && SERVICE_FILES.iter().any(|path| Path::new(path).exists());
        let mut command = if has_service {
            let mut command = Command::new(SYSTEMCTL);
            command.args(["--quiet", "--no-block", "start", SERVICE]).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        } else {
            let before = [BASH, "-c", ALONE, "bash", SETSID, "--fork"];
            let mut command = self.command(&before);
            command.args(["hestia", "run-jobs", "--until-empty"]).args(&self.options);
            let log = self.log.parent().map(super::super::call::private_folder);
            log.transpose()?;
            command.stdout(Stdio::null()).stderr(append(&self.log)?);
            command
        };
        let status = command.status().what_io(what)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::new(Kind::Internal, what()).why(format!("it ended with {status}")))
    }
}

/// This program once more beside this one, in the same environment: it finds the same secrets. It
/// goes on if this one ends before it, and hears no Ctrl-C that was meant for this one.
pub fn beside(words: &[&str], options: &[OsString]) -> Result<Box<dyn Process>> {
    let mut command = Command::new(BASH);
    command.args(["-c", ALONE, "bash"]).arg(Again::program()).args(words).args(options);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.process_group(0).spawn();
    Ok(Box::new(Started(child.what_io(|| format!("start 'ghostsnap {}'", words.join(" ")))?)))
}

impl Launch for Again {
    fn launch(&self, spool: &Spool, job: &Job) -> Result<Box<dyn Process>> {
        // What somebody waits for is not slowed down; and Hestia's commands in a restore start
        // services again, which would stay slow for ever.
        let slow = self.low_priority && job.kind.is_repeatable() && !job.kind.is_awaited();
        let before: &[&str] = if slow && Path::new(IONICE).exists() {
            &[NICE, "-n", "10", IONICE, "-c2", "-n7"]
        } else {
            &[]
        };
        let log = append(&spool.log_path(&job.id))?;
        let what = || format!("begin the job {}", job.id);
        let mut command = self.command(before);
        command.args(["hestia", "run-job", job.id.as_str(), &job.attempt.to_string()]);
        // What it says is shown to its user: in the words that are for users.
        command
            .arg("--panel")
            .args(&self.options)
            .stdout(log.try_clone().what_io(what)?)
            .stderr(log);
        // Its own group: Ctrl-C on a runner is not meant for its jobs.
        let child = command.process_group(0).spawn().what_io(what)?;
        Ok(Box::new(Started(child)))
    }
}

struct Started(Child);

impl Process for Started {
    fn id(&self) -> u32 {
        self.0.id()
    }

    fn ended(&mut self) -> Result<Option<Option<u8>>> {
        let status = self.0.try_wait().what_io(|| "wait for a job")?;
        Ok(status.map(|status| status.code().and_then(|code| u8::try_from(code).ok())))
    }
}

fn append(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    options.open(path).what_io(|| format!("write {}", path.display()))
}
