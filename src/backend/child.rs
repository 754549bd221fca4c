// SPDX-License-Identifier: MIT
//! A program that is talked to as long as a store is open: OpenSSH's `ssh`, rclone. Started with an
//! argument vector, never through a shell; its environment holds nothing but what is named. It is
//! never waited for without end, it is ended together with its children when this is dropped, and
//! what it complains about is kept for a message.

use crate::base::{Result, WhatIo, limits};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A running program.
pub struct Child {
    process: process::Child,
    input: ChildStdin,
    output: ChildStdout,
    received: VecDeque<u8>,
    complaints: Arc<Mutex<VecDeque<u8>>>,
    silence: Duration,
}

impl Child {
    /// Starts a program.
    pub fn start(
        path: &Path,
        arguments: Vec<OsString>,
        environment: Vec<(String, String)>,
        silence: Duration,
    ) -> Result<Self> {
        let what = || format!("start {}", path.display());
        let mut command = Command::new(path);
        command.args(arguments).env_clear().envs(environment).current_dir("/");
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
        // Its own group, so that a stop reaches its children and a Ctrl-C only us.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().what_io(what)?;
        let streams = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(input), Some(output), Some(mut errors)) = streams else {
            return Err(io::Error::from(ErrorKind::BrokenPipe)).what_io(what);
        };
        fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).what_io(what)?;
        let complaints = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&complaints);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = errors.read(&mut piece) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(piece.get(..length).unwrap_or_default());
                let too_many = kept.len().saturating_sub(limits::COMPLAINT_BYTES_MAX);
                kept.drain(..too_many);
            }
        });
        Ok(Self { process, input, output, received: VecDeque::new(), complaints, silence })
    }

    /// Whether it has come to its end.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// What it has complained about so far, on one line.
    pub fn complaint(&self) -> String {
        let kept = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let text: Vec<u8> = kept.iter().copied().collect();
        let lines: Vec<String> = text
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .map(crate::base::path::display_bytes)
            .collect();
        let last = lines.len().saturating_sub(limits::COMPLAINT_LINES);
        lines.get(last..).unwrap_or_default().join("; ")
    }

    /// Sends bytes; takes meanwhile what it says, so that neither waits for the other.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let ready = self.wait(true)?;
            if ready.output {
                self.take()?;
            }
            if ready.input {
                match self.input.write(bytes) {
                    Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::WouldBlock | ErrorKind::Interrupted
                        ) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Receives exactly as many bytes.
    pub fn receive(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < length {
            if self.wait(false)?.output {
                self.take()?;
            }
        }
        Ok(self.received.drain(..length).collect())
    }

    fn take(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        match self.output.read(&mut piece) {
            Ok(0) => Err(io::Error::from(ErrorKind::UnexpectedEof)),
            Ok(length) => {
                self.received.extend(piece.get(..length).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn wait(&self, writing: bool) -> io::Result<Ready> {
        let readable = PollFd::new(self.output.as_fd(), PollFlags::POLLIN);
        let writable = PollFd::new(self.input.as_fd(), PollFlags::POLLOUT);
        let mut asked = vec![readable];
        if writing {
            asked.push(writable);
        }
        let time = PollTimeout::try_from(self.silence).unwrap_or(PollTimeout::MAX);
        match poll(&mut asked, time) {
            Ok(0) => Err(io::Error::from(ErrorKind::TimedOut)),
            Err(nix::errno::Errno::EINTR) => Ok(Ready { output: false, input: false }),
            Err(errno) => Err(errno.into()),
            Ok(_) => {
                let mut any = asked.iter().map(|one| one.any().unwrap_or(true));
                let output = any.next().unwrap_or(false);
                Ok(Ready { output, input: any.next().unwrap_or(false) })
            }
        }
    }
}

struct Ready {
    output: bool,
    input: bool,
}

impl Drop for Child {
    fn drop(&mut self) {
        // Only while it is not yet waited for is its number surely its own.
        if matches!(self.process.try_wait(), Ok(None)) {
            if let Ok(id) = i32::try_from(self.process.id()) {
                // The group may be gone already, which is what is wanted.
                let _gone = killpg(Pid::from_raw(id), Signal::SIGKILL);
            }
            // It was killed, so this does not take long; there is nobody left to tell.
            drop(self.process.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, silence: u64) -> Child {
        let arguments = vec!["-c".into(), script.into()];
        Child::start(Path::new("/bin/sh"), arguments, Vec::new(), Duration::from_millis(silence))
            .unwrap()
    }

    #[test]
    fn what_is_sent_comes_back_though_nobody_reads_in_between() {
        let mut child = shell("exec cat", 10_000);
        let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
        child.send(&bytes).unwrap();
        assert!(child.receive(3_000_000).unwrap() == bytes);
    }

    #[test]
    fn one_that_says_nothing_or_ends_is_no_answer() {
        let mut silent = shell("exec sleep 60", 50);
        assert_eq!(silent.receive(1).unwrap_err().kind(), ErrorKind::TimedOut);
        let mut ended = shell("echo no such host >&2; exit 3", 10_000);
        assert_eq!(ended.receive(1).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        for _ in 0..200 {
            if !ended.complaint().is_empty() {
                break;
            }
            crate::base::World::system().sleep(Duration::from_millis(10));
        }
        assert_eq!(ended.complaint(), "no such host");
    }
}
