// SPDX-License-Identifier: MIT
//! A program as a stream: what it prints as the content of a file ([`Output`]), or what is written
//! to it ([`Input`]). Arguments travel as a vector, never through a shell; the environment holds
//! nothing but what the caller names.
//!
//! The end of an output is only reported if the program ended well and its closing line was seen:
//! half a dump never looks like a whole one. A program is ended together with its children when
//! its stream is dropped, when somebody says stop, or when it has been silent for too long.

use crate::base::monitor::Stop;
use crate::base::{Error, Kind, Result, WhatIo, World, limits, units};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A program to run.
#[derive(Clone)]
pub struct Program {
    /// What it does, completing "cannot ...", such as "dump the database alice_wp".
    pub what: String,
    /// Its absolute path.
    pub path: PathBuf,
    /// Its arguments, without the program itself.
    pub arguments: Vec<OsString>,
    /// All of its environment beside `PATH` and `LANG`.
    pub environment: Vec<(String, String)>,
    /// Files that must stay open while it runs, such as one that holds a password.
    pub keep: Vec<Arc<File>>,
    /// What it reads, if its output is read; nothing without it.
    pub script: Option<Arc<File>>,
    /// The line that what it prints must end with.
    pub closing: Option<Closing>,
    /// How the line of its complaints begins that alone is told: what stands around it is what it
    /// was given, such as rows of customers.
    pub error_start: Option<&'static str>,
    /// The kind of error that a failure of the program is.
    pub kind: Kind,
    /// Runs with the lowest priority, as Hestia's own nightly backup does.
    pub low_priority: bool,
    /// Asked whether to stop, several times a second while the program is waited for.
    pub stop: Stop,
}

/// A line that proves an output whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// How the line begins.
    pub begins: &'static str,
    /// It is one of this many last lines that are not empty.
    pub within_last: usize,
}

impl Program {
    /// A program with nothing but arguments.
    pub fn new<A: Into<OsString>>(
        what: impl Into<String>,
        path: PathBuf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            what: what.into(),
            path,
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            keep: Vec::new(),
            script: None,
            closing: None,
            error_start: None,
            kind: Kind::Internal,
            low_priority: false,
            stop: Stop::NEVER,
        }
    }

    /// Starts it to read what it prints.
    pub fn output(self) -> Result<Output> {
        let mut command = self.command();
        let script = match &self.script {
            Some(file) => Stdio::from(file.try_clone().what_io(|| "copy a file handle")?),
            None => Stdio::null(),
        };
        command.stdin(script).stdout(Stdio::piped());
        let mut child = self.start(command)?;
        let stream = child.stdout.take().ok_or_else(|| self.error("it has no output"))?;
        nonblocking(&stream)?;
        // A system that allows less just makes us read more often.
        let _bytes = fcntl(&stream, FcntlArg::F_SETPIPE_SZ(limits::PIPE_BYTES));
        let errors = listen(child.stderr.take());
        let running = Running { program: self, child, errors, world: World::system() };
        let end = VecDeque::with_capacity(limits::CLOSING_BYTES);
        Ok(Output { running, stream, end, ended: None })
    }

    /// Starts it to write to it. What it prints is thrown away but for its complaints.
    pub fn input(self) -> Result<Input> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = self.start(command)?;
        let stream = child.stdin.take().ok_or_else(|| self.error("it has no input"))?;
        nonblocking(&stream)?;
        let errors = listen(child.stderr.take());
        let running = Running { program: self, child, errors, world: World::system() };
        Ok(Input { running, stream: Some(stream) })
    }

    fn command(&self) -> Command {
        let ionice = PathBuf::from("/usr/bin/ionice");
        let mut command = if self.low_priority && ionice.exists() {
            let mut command = Command::new("/usr/bin/nice");
            command.args(["-n", "19"]).arg(ionice).args(["-c2", "-n7"]).arg(&self.path);
            command
        } else {
            Command::new(&self.path)
        };
        command.args(&self.arguments).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        // Its own group, so that a stop reaches its children and a Ctrl-C only us.
        command.current_dir("/").process_group(0).stderr(Stdio::piped());
        command
    }

    fn start(&self, mut command: Command) -> Result<Child> {
        command.spawn().what_io(|| format!("start {}", self.path.display()))
    }

    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    fn error(&self, why: impl Into<String>) -> Error {
        Error::new(self.kind, self.what.clone()).why(why)
    }
}

fn nonblocking(stream: &impl AsFd) -> Result<()> {
    fcntl(stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop).what_io(|| "prepare a pipe")
}

/// Reads a program's complaints to their end, so that it never waits for us to take them, and
/// keeps the last of them.
fn listen(stream: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    let mut stream = stream?;
    Some(std::thread::spawn(move || {
        let mut kept = VecDeque::new();
        let mut piece = [0; 4096];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => keep_end(
                    &mut kept,
                    piece.get(..length).unwrap_or_default(),
                    limits::COMPLAINT_BYTES_MAX,
                ),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What was said so far is told; the exit status speaks for itself.
                Err(_) => break,
            }
        }
        kept.into()
    }))
}

fn keep_end(kept: &mut VecDeque<u8>, piece: &[u8], most: usize) {
    let piece = piece.get(piece.len().saturating_sub(most)..).unwrap_or_default();
    let too_many = (kept.len() + piece.len()).saturating_sub(most);
    kept.drain(..too_many.min(kept.len()));
    kept.extend(piece);
}

/// A file in memory, for what a program must be told without a command line. It is gone when the
/// last handle is closed, and [`path_of`] names it for programs of the same user as long as that.
pub fn memory_file(content: &[u8]) -> Result<Arc<File>> {
    let what = || "make a file in memory";
    let file = memfd_create("ghostsnap", MFdFlags::MFD_CLOEXEC).what_io(what)?;
    let mut file = File::from(file);
    file.set_permissions(Permissions::from_mode(0o600)).what_io(what)?;
    file.write_all(content).and_then(|()| file.rewind()).what_io(what)?;
    Ok(Arc::new(file))
}

/// Where a program that we start finds an open file of ours.
pub fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", Pid::this(), file.as_raw_fd()))
}

/// The last lines of complaints, as one; of those that may be told, the last alone.
fn said(text: &[u8], error_start: Option<&str>) -> String {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    let begins =
        |line: &&&[u8]| error_start.is_some_and(|start| line.starts_with(start.as_bytes()));
    let lines = match lines.iter().rfind(begins) {
        Some(error) => std::slice::from_ref(error),
        // Without such a line it did not get to what it was given.
        None => {
            lines.get(lines.len().saturating_sub(limits::COMPLAINT_LINES)..).unwrap_or_default()
        }
    };
    let lines: Vec<String> =
        lines.iter().map(|line| crate::base::path::display_bytes(line)).collect();
    lines.join("; ")
}

/// A program that runs.
struct Running {
    program: Program,
    child: Child,
    errors: Option<JoinHandle<Vec<u8>>>,
    /// Programs live in real time, whatever clock the rest of the run has.
    world: World,
}

impl Running {
    /// Waits until the stream is ready, somebody says stop, or the program was silent for long.
    fn ready(&self, stream: &impl AsFd, flags: PollFlags) -> Result<()> {
        let started = self.world.ticks();
        loop {
            let mut asked = [PollFd::new(stream.as_fd(), flags)];
            match poll(&mut asked, PollTimeout::from(200u8)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno).what_io(|| self.program.what.clone()),
            }
            self.check_stop()?;
            let silent = self.world.ticks().saturating_sub(started);
            if silent > Duration::from_secs(limits::SILENCE_SECONDS) {
                let span = units::Span(silent);
                let why = format!("{} did nothing for {span}", self.program.name());
                return Err(self.program.error(why));
            }
        }
    }

    fn check_stop(&self) -> Result<()> {
        if self.program.stop.asked() {
            return Err(
                Error::new(Kind::Cancelled, self.program.what.clone()).why("stopped on request")
            );
        }
        Ok(())
    }

    /// Waits for the end of a program that has closed its streams, or has them closed.
    fn wait(&mut self) -> Result<ExitStatus> {
        let started = self.world.ticks();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.child.try_wait().what_io(|| self.program.what.clone())? {
                return Ok(status);
            }
            self.check_stop()?;
            if self.world.ticks().saturating_sub(started)
                > Duration::from_secs(limits::SILENCE_SECONDS)
            {
                let why = format!("{} does not come to its end", self.program.name());
                return Err(self.program.error(why));
            }
            self.world.sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// The program has ended: well, or with what it complained about.
    fn check(&mut self, status: ExitStatus) -> Result<()> {
        let complaint = self.complaint();
        if status.success() {
            return Ok(());
        }
        let name = self.program.name();
        let ended = match status.code() {
            Some(code) => format!("{name} ended with exit code {code}"),
            None => format!("{name} was ended by a signal"),
        };
        let why = if complaint.is_empty() { ended } else { format!("{ended}: {complaint}") };
        Err(self.program.error(why))
    }

    /// What it complained about, on one line.
    fn complaint(&mut self) -> String {
        let Some(errors) = self.errors.take() else { return String::new() };
        // A child of it that holds its error stream open would keep the listener for ever.
        for _ in 0..limits::LISTENER_WAITS {
            if errors.is_finished() {
                break;
            }
            self.world.sleep(Duration::from_millis(5));
        }
        if !errors.is_finished() {
            return String::new();
        }
        said(&errors.join().unwrap_or_default(), self.program.error_start)
    }

    fn kill_group(&self) {
        // The group may be gone already, which is what is wanted.
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _gone = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only while the program is not yet waited for is its number surely its own.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill_group();
            // It was killed, so this does not take long; there is nobody left to tell.
            let _ended = self.child.wait();
        }
    }
}

/// What a program prints. `Ok(0)` means that it ended well and with its closing line; anything
/// else is an error that carries ours (see [`crate::base::error::io_error`]).
pub struct Output {
    running: Running,
    stream: ChildStdout,
    /// The last bytes read, for the closing line.
    end: VecDeque<u8>,
    /// How it ended, once it has.
    ended: Option<Result<(), String>>,
}

impl Output {
    fn end(&mut self) -> Result<()> {
        match &self.ended {
            Some(Ok(())) => return Ok(()),
            Some(Err(why)) => return Err(self.running.program.error(why.clone())),
            None => {}
        }
        let done = self.finish();
        self.ended = Some(done.as_ref().copied().map_err(Error::reasons_or_what));
        done
    }

    fn finish(&mut self) -> Result<()> {
        let status = self.running.wait()?;
        self.running.check(status)?;
        let Some(closing) = self.running.program.closing else { return Ok(()) };
        let text: Vec<u8> = self.end.iter().copied().collect();
        let mut lines = text.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        if lines
            .by_ref()
            .take(closing.within_last)
            .any(|line| line.starts_with(closing.begins.as_bytes()))
        {
            return Ok(());
        }
        let name = self.running.program.name();
        Err(self.running.program.error(format!(
            "what {name} printed does not end with '{}', so it is not whole",
            closing.begins
        )))
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.ended.is_some() {
            return self.end().map(|()| 0).map_err(io::Error::from);
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return self.end().map(|()| 0).map_err(io::Error::from),
                Ok(length) => {
                    let piece = buffer.get(..length).unwrap_or_default();
                    keep_end(&mut self.end, piece, limits::CLOSING_BYTES);
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.running.ready(&self.stream, PollFlags::POLLIN)?;
                    // Programs write in small pieces; to be woken for each costs more than the
                    // pieces. The pipe has room for many, so nobody waits for this.
                    self.running.world.sleep(limits::PIPE_PAUSE);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is written to a program. Only [`Input::finish`] says whether the program took it.
pub struct Input {
    running: Running,
    stream: Option<ChildStdin>,
}

impl Input {
    /// Ends the stream and waits until the program has done all of it.
    pub fn finish(mut self) -> Result<()> {
        self.stream = None;
        let status = self.running.wait()?;
        self.running.check(status)
    }

    fn write_some(&mut self, piece: &[u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Err(ErrorKind::BrokenPipe.into()) };
        loop {
            match stream.write(piece) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.running.ready(stream, PollFlags::POLLOUT)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Write for Input {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self.write_some(piece) {
            // The program is gone or does not listen any more: it has said why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.stream = None;
                let status = self.running.wait()?;
                self.running.check(status)?;
                Err(self.running.program.error("it stopped reading before the end").into())
            }
            done => done,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::io_error;
    use std::sync::atomic::{AtomicBool, Ordering};

    const CLOSING: Closing = Closing { begins: "-- done", within_last: 2 };

    fn bash(script: &str) -> Program {
        let mut program = Program::new("dump it", "/bin/bash".into(), ["-c", script]);
        program.closing = Some(CLOSING);
        program.kind = Kind::Db;
        program
    }

    fn read(script: &str) -> Result<String> {
        let mut text = String::new();
        bash(script).output()?.read_to_string(&mut text).what_io(|| "read")?;
        Ok(text)
    }

    #[test]
    fn of_complaints_around_what_a_program_was_given_its_error_alone_is_told() {
        let text = b"--------------\nINSERT INTO t VALUES ('mail of alice');\nERROR 9 of a row\n\
                     --------------\n\nERROR 1062 (23000) at line 3: Duplicate entry '1'\n";
        let error = "ERROR 1062 (23000) at line 3: Duplicate entry '1'";
        assert_eq!(said(text, Some("ERROR ")), error);
        assert!(said(text, None).contains("alice"));
        assert_eq!(said(b"a\n\nno such option\n", Some("ERROR ")), "a; no such option");
    }

    #[test]
    fn a_whole_output_is_read_to_its_end() {
        assert_eq!(read("printf 'a\\n-- done\\n--\\n\\n'").unwrap(), "a\n-- done\n--\n\n");
    }

    #[test]
    fn an_output_without_its_closing_line_is_never_whole() {
        for script in ["echo a", "true", "printf -- '-- done\\na\\nb\\n'", "printf 'x-- done\\n'"] {
            let error = read(script).unwrap_err();
            assert_eq!(error.kind(), Kind::Db);
            assert!(error.one_line().contains("is not whole"), "{error}");
        }
    }

    #[test]
    fn a_program_that_fails_at_the_end_is_told_with_its_complaint_and_stays_failed() {
        let mut output =
            bash("echo -- done; echo one >&2; echo '  two' >&2; exit 3").output().unwrap();
        let mut text = Vec::new();
        for _ in 0..2 {
            let error = io_error(output.read_to_end(&mut text).unwrap_err(), "store it");
            assert_eq!(
                error.one_line(),
                "cannot store it: cannot dump it: bash ended with exit code 3: one; two"
            );
        }
        assert!(read("echo -- done; kill -9 $$").unwrap_err().one_line().contains("a signal"));
    }

    #[test]
    fn many_complaints_neither_block_nor_fill_the_memory() {
        let script = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo last >&2; \
                      echo a; echo -- done; exit 1";
        let message = read(script).unwrap_err().one_line();
        assert!(message.ends_with("last") && message.len() < 20_000);
    }

    #[test]
    fn the_environment_is_what_was_given_and_nothing_else() {
        let mut program = bash(
            "env | cut -d= -f1 | grep -v -e _ -e PWD -e SHLVL | sort; \
                                echo $SECRET; echo -- done",
        );
        program.environment.push(("SECRET".into(), "a b".into()));
        let mut text = String::new();
        program.output().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "LANG\nPATH\nSECRET\na b\n-- done\n");
    }

    fn is_gone(pid: &str) -> bool {
        // A killed child of a child stays a zombie until the first process of the system looks.
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.is_empty() || status.contains(") Z")
    }

    #[test]
    fn dropping_or_stopping_ends_the_program_and_its_children() {
        let script = "sleep 600 & echo $!; sleep 600";
        let mut output = bash(script).output().unwrap();
        let mut buffer = [0; 64];
        let length = output.read(&mut buffer).unwrap();
        drop(output);
        let pid = String::from_utf8(buffer[..length].to_vec()).unwrap();
        let patience = World::system();
        let gone = (0..1000).any(|_| {
            patience.sleep(Duration::from_millis(5));
            is_gone(pid.trim())
        });
        assert!(gone);

        let stop = Arc::new(AtomicBool::new(false));
        let mut program = bash(script);
        let asked = Arc::clone(&stop);
        program.stop = Stop::when(move || asked.swap(true, Ordering::Relaxed));
        let mut text = Vec::new();
        let error = program.output().unwrap().read_to_end(&mut text).unwrap_err();
        assert_eq!(io_error(error, "x").kind(), Kind::Cancelled);
    }

    #[test]
    fn a_file_in_memory_is_told_by_its_path_and_private() {
        let file = memory_file(b"secret\n").unwrap();
        let mut program =
            bash(&format!("cat; cat {0}; stat -Lc %a {0}; echo -- done", path_of(&file).display()));
        program.script = Some(memory_file(b"script\n").unwrap());
        program.keep.push(file);
        let mut text = String::new();
        program.output().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "script\nsecret\n600\n-- done\n");
    }

    #[test]
    fn a_program_takes_its_input_and_says_how_it_went() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let script = format!("cat > {}; sleep 0.05", path.display());
        let mut input = bash(&script).input().unwrap();
        let text = vec![b'x'; 1_000_000];
        input.write_all(&text).unwrap();
        input.finish().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), text);

        let mut input = bash("head -c 10 >&2; exit 4").input().unwrap();
        let error = input.write_all(&text).and_then(|()| Ok(input.finish()?)).unwrap_err();
        let message = io_error(error, "x").one_line();
        assert!(message.contains("exit code 4: xxxxxxxxxx"), "{message}");

        let mut input = bash("exec 0<&-; sleep 0.05").input().unwrap();
        assert!(input.write_all(&text).is_err());
    }
}
