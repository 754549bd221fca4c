// SPDX-License-Identifier: MIT
//! The only place of this room that starts programs: Hestia's commands and the clients of the
//! database servers. Arguments travel as a vector, never through a shell; the environment is
//! what sudo or cron would give, whatever the caller's was.
//!
//! What a command prints goes straight into a file, not through a pipe: services that a restore
//! restarts inherit it, and a pipe that a daemon holds open would never end.

use super::layout::{Hestia, UserName};
use crate::base::monitor::{Stage, Stop};
use crate::base::{Counter, Error, Kind, Monitor, Result, WhatIo, Within, World, limits, units};
use crate::tree::deputy::Person;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its absolute path.
    pub program: PathBuf,
    /// Its arguments, without the program itself.
    pub arguments: Vec<OsString>,
    /// Variables beside the fixed ones, such as a database password.
    pub environment: Vec<(String, String)>,
    /// Runs with the lowest priority, as Hestia's own nightly backup does.
    pub low_priority: bool,
    /// Longest time it may take.
    pub limit: Duration,
    /// What it reads on standard input; nothing, if `None`.
    pub input: Option<Vec<u8>>,
}

impl Call {
    /// A call of a `v-*` command.
    pub fn hestia<A: Into<OsString>>(
        hestia: &Hestia,
        command: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self::program(hestia.command(command), arguments)
    }

    /// A call of any program.
    pub fn program<A: Into<OsString>>(
        program: PathBuf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            low_priority: false,
            limit: Duration::from_secs(600),
            input: None,
        }
    }

    /// The name of the program, for messages and tests.
    pub fn name(&self) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// The name and the arguments, for messages and tests; never the environment.
    pub fn line(&self) -> String {
        let mut words = vec![self.name()];
        words.extend(self.arguments.iter().map(|word| word.to_string_lossy().into_owned()));
        words.join(" ")
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The end of what it printed, both streams in order, escaped where it is not text.
    pub output: String,
}

impl Outcome {
    /// Whether it says that all went well. For several of Hestia's commands that proves nothing.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// The last line that starts with `Error:`, without that word, or the last line at all.
    pub fn complaint(&self) -> &str {
        let mut lines = self.output.lines().rev().map(str::trim).filter(|line| !line.is_empty());
        let last = lines.clone().next().unwrap_or("it printed nothing");
        lines.find_map(|line| line.strip_prefix("Error: ")).unwrap_or(last)
    }

    /// Turns anything but exit code 0 into an error of the kind that Hestia's code stands for.
    pub fn check(self, what: impl Into<String>, call: &Call) -> Result<Self> {
        if self.is_ok() {
            return Ok(self);
        }
        let name = call.name();
        let ended = match self.code {
            Some(code) => format!("{name} ended with exit code {code}"),
            None => format!("{name} was ended by a signal"),
        };
        let kind = self.code.map_or(Kind::Internal, kind_of_code);
        Err(Error::new(kind, what).why(format!("{ended}: {}", self.complaint())))
    }
}

/// The kind that an exit code of Hestia stands for.
pub fn kind_of_code(code: i32) -> Kind {
    match code {
        2 => Kind::Invalid,
        3 => Kind::NotFound,
        4 => Kind::Exists,
        5 | 6 => Kind::Suspended,
        7 => Kind::InUse,
        8 => Kind::Limit,
        9 => Kind::Password,
        10 => Kind::Forbidden,
        11 => Kind::Disabled,
        12 => Kind::Parsing,
        13 => Kind::Disk,
        14 => Kind::Load,
        15 | 16 => Kind::Connect,
        17 => Kind::Db,
        _ => Kind::Internal,
    }
}

/// Runs programs; a recording one stands in for it in tests.
pub trait Caller: Send + Sync {
    /// Runs a program to its end. Fails if it cannot be started, takes too long or is stopped on
    /// request; how it ended by itself is the [`Outcome`].
    fn call(&self, call: &Call, monitor: &dyn Monitor) -> Result<Outcome>;
}

/// Runs programs for real.
#[derive(Debug)]
pub struct SystemCaller {
    /// Value of `HESTIA` for the programs.
    hestia_root: PathBuf,
    /// Where the programs' output is kept for people.
    log: Option<PathBuf>,
    /// Real programs live in real time, whatever clock the rest of the run has.
    world: World,
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl SystemCaller {
    /// A caller for this Hestia; what the programs print is appended to `log`.
    pub fn new(hestia: &Hestia, log: Option<PathBuf>) -> Self {
        Self { hestia_root: hestia.root.clone(), log, world: World::system() }
    }

    /// Adds a finished call to the log. The log is for people: two jobs may share it, so nothing
    /// is ever read back from it.
    fn note(&self, call: &Call, outcome: &Outcome) -> Result<()> {
        let Some(path) = &self.log else { return Ok(()) };
        let what = || format!("write the log {}", path.display());
        if let Some(folder) = path.parent() {
            private_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o640).custom_flags(OFlag::O_NOFOLLOW.bits());
        let mut log = options.open(path).what_io(what)?;
        let ended = outcome.code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
        let time = self.world.now().rfc3339();
        let text = format!("{time} {} -> {ended}\n{}\n", call.line(), outcome.output.trim_end());
        log.write_all(text.as_bytes()).what_io(what)
    }

    fn command(&self, call: &Call, output: &File) -> Result<Command> {
        let both = || output.try_clone().what_io(|| "copy a file handle");
        let mut command = if call.low_priority && Path::new("/usr/bin/ionice").exists() {
            let mut command = Command::new("/usr/bin/nice");
            command.args(["-n", "19", "/usr/bin/ionice", "-c2", "-n7"]).arg(&call.program);
            command
        } else {
            Command::new(&call.program)
        };
        command.args(&call.arguments).env_clear();
        command.env("PATH", PATH).env("HOME", "/root").env("HESTIA", &self.hestia_root);
        // GNU tar escapes names beyond ASCII in the C locale, and Hestia's scripts read its lists.
        command.env("LANG", "C.UTF-8").env("USER", "root").env("LOGNAME", "root");
        if let Some(zone) = std::env::var_os("TZ") {
            command.env("TZ", zone);
        }
        command.envs(call.environment.iter().map(|(key, value)| (key, value)));
        let input = match &call.input {
            None => Stdio::null(),
            Some(bytes) => {
                let what = || format!("hand something over to {}", call.name());
                let mut file = unnamed_file()?;
                file.write_all(bytes).and_then(|()| file.rewind()).what_io(what)?;
                file.into()
            }
        };
        command.stdin(input).stdout(both()?).stderr(both()?);
        // Its own group, so that a stop reaches its children and a Ctrl-C only us.
        command.current_dir("/").process_group(0);
        Ok(command)
    }

    fn wait(&self, child: &mut Child, call: &Call, monitor: &dyn Monitor) -> Result<Option<i32>> {
        let started = self.world.ticks();
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(status) =
                child.try_wait().what_io(|| format!("wait for {}", call.name()))?
            {
                return Ok(status
                    .code()
                    .or_else(|| status.signal().map(|_| -1))
                    .filter(|code| *code >= 0));
            }
            if monitor.cancelled() {
                self.stop(child)?;
                return Err(Error::new(Kind::Cancelled, format!("wait for {}", call.name()))
                    .why("stopped on request"));
            }
            if self.world.ticks().saturating_sub(started) > call.limit {
                self.stop(child)?;
                return Err(Error::new(Kind::Load, format!("wait for {}", call.name()))
                    .why(format!("it took longer than {}", units::Span(call.limit))));
            }
            self.world.sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Asks the program and its children to end, then makes them.
    fn stop(&self, child: &mut Child) -> Result<()> {
        let what = || "stop a command";
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let started = self.world.ticks();
        // The group may be gone already; the wait below tells.
        let mut gone = killpg(group, Signal::SIGTERM).is_err();
        while child.try_wait().what_io(what)?.is_none() {
            let waited = self.world.ticks().saturating_sub(started);
            if gone || waited > Duration::from_secs(limits::STOP_SECONDS) {
                gone = killpg(group, Signal::SIGKILL).is_err();
            }
            self.world.sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Starts a program; waits a moment for one that is just being written.
fn start(command: &mut Command, world: &World) -> std::io::Result<Child> {
    for _ in 0..limits::BUSY_PROGRAM_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                world.sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
    command.spawn()
}

impl Caller for SystemCaller {
    fn call(&self, call: &Call, monitor: &dyn Monitor) -> Result<Outcome> {
        let mut output = unnamed_file()?;
        let what = || format!("read the output of {}", call.name());
        let mut child = start(&mut self.command(call, &output)?, &self.world)
            .what_io(|| format!("start {}", call.program.display()))?;
        let code = self.wait(&mut child, call, monitor)?;
        let end = output.seek(SeekFrom::End(0)).what_io(what)?;
        output.seek(SeekFrom::Start(end.saturating_sub(limits::OUTPUT_BYTES_MAX))).what_io(what)?;
        let mut bytes = Vec::new();
        output.take(limits::OUTPUT_BYTES_MAX).read_to_end(&mut bytes).what_io(what)?;
        let outcome = Outcome { code, output: readable(&bytes) };
        if let Err(error) = self.note(call, &outcome) {
            monitor.warn(error);
        }
        Ok(outcome)
    }
}

/// What is needed to start a deputy.
pub(crate) struct DeputyCall<'d> {
    /// This program.
    pub program: &'d Path,
    /// Whose rights it takes on.
    pub person: &'d Person,
    /// The folder below which it works.
    pub root: &'d Path,
}

/// A deputy's process. Ends by itself when its socket is closed.
pub(crate) struct DeputyProcess(Child);

/// In the environment of a deputy.
const DEPUTY_MARK: &str = "GHOSTSNAP_DEPUTY";

/// Starts this program again as a deputy: a process without our memory, our keys, our environment
/// and our files, that gives up root's rights before it does anything.
pub(crate) fn start_deputy(call: &DeputyCall<'_>) -> Result<(DeputyProcess, UnixStream)> {
    let what = || "start a process that acts as the user";
    check_program(call.program, std::env::current_exe().ok().as_deref()).within(what)?;
    // Whatever is started by mistake must not start itself again and again.
    if std::env::var_os(DEPUTY_MARK).is_some() {
        return Err(Error::new(Kind::Internal, what()).why("this process is such a one itself"));
    }
    let (ours, theirs) = UnixStream::pair().what_io(what)?;
    let person = call.person;
    let groups: Vec<String> = person.groups.iter().map(u32::to_string).collect();
    let mut command = Command::new(call.program);
    command.args(["hestia", "act-as", &person.uid.to_string(), &person.gid.to_string()]);
    command.arg(groups.join(",")).arg(call.root).env_clear().env("PATH", PATH);
    command.env(DEPUTY_MARK, "1");
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::null());
    // Its own group, so that a Ctrl-C reaches only us and it can tidy up.
    command.current_dir("/").process_group(0);
    let child = start(&mut command, &World::system()).what_io(what)?;
    Ok((DeputyProcess(child), ours))
}

/// Only this program itself may be started: anything else that links its library, a test runner
/// above all, would take the words for its own and start over and over again.
fn check_program(program: &Path, own: Option<&Path>) -> Result<()> {
    if program != Path::new("/proc/self/exe") {
        return Ok(());
    }
    let name = own.and_then(Path::file_name).unwrap_or_default().as_encoded_bytes();
    // A running program whose file was replaced by an upgrade is marked so.
    if name == b"ghostsnap" || name == b"ghostsnap (deleted)" {
        return Ok(());
    }
    Err(Error::new(Kind::Internal, "start this program again")
        .why("this program is not ghostsnap itself; its settings must say where that is"))
}

impl DeputyProcess {
    /// Waits for its end, and makes it end if its user has stopped it.
    pub(crate) fn end(mut self) -> Result<()> {
        // Real programs live in real time.
        let world = World::system();
        let what = || "end the process that acts as the user";
        let mut pause = Duration::from_millis(1);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(status) = self.0.try_wait().what_io(what)? {
                if status.success() {
                    return Ok(());
                }
                return Err(
                    Error::new(Kind::Internal, what()).why(format!("it ended with {status}"))
                );
            }
            if waited > Duration::from_secs(limits::STOP_SECONDS) {
                self.0.kill().what_io(what)?;
            }
            world.sleep(pause);
            waited += pause;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

/// Keeps line breaks, escapes the rest of what a terminal must not get. Of a line that a progress
/// display wrote over and over, only the last state is kept, as a terminal would show it.
fn readable(bytes: &[u8]) -> String {
    let last_state = |line: &[u8]| {
        let mut states = line.rsplit(|byte| *byte == b'\r');
        let shown = states.find(|state| !state.trim_ascii().is_empty()).unwrap_or_default();
        crate::base::path::display_bytes(shown)
    };
    let lines: Vec<String> = bytes.split(|byte| *byte == b'\n').map(last_state).collect();
    lines.join("\n")
}

/// A file without a name, gone when it is closed.
fn unnamed_file() -> Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_APPEND | OFlag::O_CLOEXEC;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(flags.bits());
    let folder = std::env::temp_dir();
    options.open(&folder).what_io(|| format!("make a temporary file in {}", folder.display()))
}

/// Makes a folder that only root may look into, if it is not there.
pub(crate) fn private_folder(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .what_io(|| format!("make the folder {}", path.display()))
}

/// How much a line in Hestia's log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the record.
    Info,
    /// Something failed.
    Error,
}

/// Writes a line into Hestia's history of a user (of the system, if the user is gone). A failure
/// is a warning: the job itself is done.
pub fn log_action(
    caller: &dyn Caller,
    hestia: &Hestia,
    user: &UserName,
    level: Level,
    text: &str,
    monitor: &dyn Monitor,
) {
    let known = super::inventory::exists(hestia, user);
    let whose = if known { user.as_str() } else { "system" };
    let level = match level {
        Level::Info => "Info",
        Level::Error => "Error",
    };
    // Rows are one line and hold no quote; Hestia would mangle them.
    let text = text.replace('\'', "\u{b4}").replace(['\n', '\r'], " ");
    let call = Call::hestia(hestia, "v-log-action", [whose, level, "Backup", &text]);
    warn_if_failed(caller, &call, monitor);
}

/// Rings the bell of a user's panel.
pub fn notify(
    caller: &dyn Caller,
    hestia: &Hestia,
    user: &UserName,
    topic: &str,
    text: &str,
    monitor: &dyn Monitor,
) {
    if super::inventory::exists(hestia, user) {
        let call = bell(hestia, user, topic, &[text.to_owned()]);
        warn_if_failed(caller, &call, monitor);
    }
}

/// The call that rings the bell of a user's panel, with a paragraph for each of these texts.
/// Hestia's lists of notifications are JSON in which nothing is escaped: a backslash would break
/// all of it.
pub fn bell(hestia: &Hestia, user: &UserName, topic: &str, paragraphs: &[String]) -> Call {
    let harmless = |text: &str| text.replace('\\', "\u{ff3c}");
    let paragraph = |text: &String| format!("<p>{}</p>", harmless(&html(text)));
    let body: String = paragraphs.iter().map(paragraph).collect();
    let topic = harmless(&topic.replace(['"', '\n', '\r'], " "));
    Call::hestia(hestia, "v-add-user-notification", [user.as_str(), &topic, &body])
}

/// The call that hands a mail over to Hestia's own way of sending. It makes HTML of the body, and
/// says that all is well whatever becomes of the mail. A third word after the subject would be
/// taken for a wish to send nothing.
pub fn mail(hestia: &Hestia, to: &str, subject: &str, body: &str) -> Call {
    let program = hestia.root.join("web/inc/mail-wrapper.php");
    let subject = subject.replace(['\n', '\r'], " ");
    let mut call = Call::program(program, ["-s", &subject, to]);
    call.input = Some(body.as_bytes().to_vec());
    call
}

/// Text in HTML, between tags or in an attribute, on one line.
pub fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\r' => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

/// Passes everything on but the wish to stop: a job that was stopped still says so to Hestia.
pub(super) struct ToTheEnd<'m>(pub(super) &'m dyn Monitor);

impl Monitor for ToTheEnd<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.0.count(counter, n);
    }
    fn warn(&self, warning: Error) {
        self.0.warn(warning);
    }
    fn stage(&self, stage: Stage) {
        self.0.stage(stage);
    }
    fn cancelled(&self) -> bool {
        false
    }
    fn stop(&self) -> Stop {
        Stop::NEVER
    }
}

fn warn_if_failed(caller: &dyn Caller, call: &Call, monitor: &dyn Monitor) {
    let done = caller
        .call(call, &ToTheEnd(monitor))
        .and_then(|outcome| outcome.check("tell Hestia", call));
    if let Err(error) = done {
        monitor.warn(error);
    }
}

/// Stands in for real programs in tests: answers from a closure and keeps what was called.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;
    use std::sync::Mutex;

    type Answer = Box<dyn Fn(&Call) -> Outcome + Send + Sync>;

    pub(crate) struct Recorder {
        answer: Answer,
        pub(crate) lines: Mutex<Vec<String>>,
    }

    impl Recorder {
        pub(crate) fn new(answer: impl Fn(&Call) -> Outcome + Send + Sync + 'static) -> Self {
            Self { answer: Box::new(answer), lines: Mutex::new(Vec::new()) }
        }

        pub(crate) fn lines(&self) -> Vec<String> {
            self.lines.lock().unwrap().clone()
        }
    }

    impl Caller for Recorder {
        fn call(&self, call: &Call, _monitor: &dyn Monitor) -> Result<Outcome> {
            self.lines.lock().unwrap().push(call.line());
            Ok((self.answer)(call))
        }
    }

    pub(crate) fn outcome(code: i32, output: &str) -> Outcome {
        Outcome { code: Some(code), output: output.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::monitor::Collect;
    use std::os::unix::fs::PermissionsExt;

    struct Stopping;

    impl Monitor for Stopping {
        fn count(&self, _: Counter, _: u64) {}
        fn warn(&self, _: Error) {}
        fn stage(&self, _: Stage) {}
        fn cancelled(&self) -> bool {
            true
        }
        fn stop(&self) -> Stop {
            Stop::when(|| true)
        }
    }

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("v-test");
        std::fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn run(text: &str, arguments: &[&str]) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let call = Call::program(script(folder.path(), text), arguments.iter().copied());
        let caller = SystemCaller::new(&Hestia::default(), Some(folder.path().join("log/x.log")));
        caller.call(&call, &Collect::default()).unwrap()
    }

    #[test]
    fn a_program_that_is_not_this_one_is_never_started_as_a_deputy() {
        let own = Path::new("/proc/self/exe");
        for name in ["/usr/bin/ghostsnap", "/usr/bin/ghostsnap (deleted)"] {
            check_program(own, Some(Path::new(name))).unwrap();
        }
        // The runner of these tests would run them again, and those would run them again.
        for name in ["/x/deps/ghostsnap-0123456789abcdef", "/x/deps/files-01", "/"] {
            assert!(check_program(own, Some(Path::new(name))).is_err(), "{name}");
        }
        assert!(check_program(own, None).is_err());
        check_program(Path::new("/x/ghostsnap"), None).unwrap();
        let person = Person { uid: 0, gid: 0, groups: Vec::new() };
        let call = DeputyCall { program: own, person: &person, root: Path::new("/") };
        assert!(start_deputy(&call).is_err());
    }

    #[test]
    fn arguments_arrive_untouched_and_both_streams_are_kept() {
        let outcome = run(
            "printf '%s\\n' \"$#\" \"$@\"; echo oops >&2; exit 12",
            &["a b", "$(id)", "'; rm", ""],
        );
        assert_eq!(outcome.output, "4\na b\n$(id)\n'; rm\n\noops\n");
        assert_eq!(outcome.code, Some(12));
    }

    #[test]
    fn a_progress_display_is_kept_in_its_last_state() {
        assert_eq!(
            readable(b"a\r    \rWritten: 9\nline\r\n\x1b[2J\n"),
            "Written: 9\nline\n\\u{1b}[2J\n"
        );
    }

    #[test]
    fn the_environment_is_clean_and_input_is_empty() {
        let outcome = run(
            "cat; env | sort | cut -d= -f1 | grep -v -e _ -e PWD -e SHLVL -e TZ; echo $PATH $HESTIA $HOME",
            &[],
        );
        let expected =
            format!("HESTIA\nHOME\nLANG\nLOGNAME\nPATH\nUSER\n{PATH} /usr/local/hestia /root\n");
        assert_eq!(outcome.output, expected);
    }

    #[test]
    fn a_failure_is_told_by_the_line_that_says_error() {
        let call = Call::program("/x/v-backup-user".into(), ["a"]);
        let outcome = fake::outcome(5, "-- x --\nError: user carol is suspended\ntail\n");
        let error = outcome.check("back up the user carol", &call).unwrap_err();
        assert_eq!(error.kind(), Kind::Suspended);
        assert_eq!(
            error.one_line(),
            "cannot back up the user carol: v-backup-user ended with exit code 5: user carol is suspended"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let caller = SystemCaller::new(&Hestia::default(), None);
        let call = Call::program("/nonexistent/v-x".into(), [""; 0]);
        assert_eq!(caller.call(&call, &Collect::default()).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn a_stop_on_request_and_a_limit_end_the_program_and_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let path = script(folder.path(), "sleep 600 & sleep 600");
        let caller = SystemCaller::new(&Hestia::default(), None);
        let mut call = Call::program(path, [""; 0]);
        assert_eq!(caller.call(&call, &Stopping).unwrap_err().kind(), Kind::Cancelled);
        call.limit = Duration::from_millis(30);
        assert_eq!(caller.call(&call, &Collect::default()).unwrap_err().kind(), Kind::Load);
    }

    #[test]
    fn a_daemon_that_keeps_the_output_open_does_not_hold_us_up() {
        let outcome = run("sleep 30 & disown; echo done", &[]);
        assert_eq!(outcome.output, "done\n");
    }

    #[test]
    fn output_that_never_ends_is_cut_to_its_end() {
        let outcome = run("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo Error: last", &[]);
        assert!(units::bytes(outcome.output.len()) <= limits::OUTPUT_BYTES_MAX);
        assert_eq!(outcome.complaint(), "last");
    }

    #[test]
    fn what_hestia_is_told_cannot_break_its_rows_or_its_pages() {
        let folder = tempfile::tempdir().unwrap();
        let hestia = Hestia::below(folder.path());
        let user = UserName::parse("alice").unwrap();
        let recorder = fake::Recorder::new(|_| fake::outcome(3, "Error: no\n"));
        let monitor = Collect::default();
        notify(&recorder, &hestia, &user, "x", "y", &monitor);
        log_action(&recorder, &hestia, &user, Level::Error, "it's\nbroken", &monitor);
        std::fs::create_dir_all(hestia.user_data(&user)).unwrap();
        std::fs::write(hestia.user_file(&user, "user.conf"), "").unwrap();
        notify(&recorder, &hestia, &user, "a \"b\"", "<script>'\n", &monitor);
        assert_eq!(
            recorder.lines(),
            [
                "v-log-action system Error Backup it\u{b4}s broken",
                "v-add-user-notification alice a  b  <p>&lt;script&gt;&#39; </p>",
            ]
        );
        assert_eq!(monitor.warnings().len(), 2);
    }
}
